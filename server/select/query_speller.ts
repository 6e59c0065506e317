/** Queries: WITH, SELECT, VALUES, set operations, ORDER BY and LIMIT. */
import { SqlError } from '../../base/errors.ts';
import type { ScanPredicate } from '../../base/agent_messages.ts';
import { spellExpression } from './expression_speller.ts';
import { acceptAlias, nameList, spellTables } from './from_speller.ts';
import { holdsKeys, numbersFor } from './key_numbers.ts';
import { commonType, quoteName, typed, type Spelled, type StaticType } from './spelled.ts';
import type { Scope, ScopeColumn, SpelledQuery, SpellerContext } from './speller_context.ts';
import { spellStar } from './star_speller.ts';
import { spellWindows } from './window_speller.ts';
import { RESERVED, isQueryAhead } from './words.ts';

const NO_PREDICATES = (): readonly ScanPredicate[] => [];

/** `[WITH ...] body [ORDER BY] [LIMIT]`. */
export function spellQuery(ctx: SpellerContext): SpelledQuery {
  return ctx.nested(() => {
    const before = ctx.ctes;
    const head = ctx.accept('WITH') ? spellWith(ctx) : '';
    const scopeBefore = ctx.scope;
    const { query, tail } = spellBody(ctx);
    ctx.scope = scopeBefore;
    ctx.ctes = before;
    const oneRow = query.oneRow === true || / LIMIT [01](?: OFFSET \d+)?$/.test(tail);
    return { ...query, sql: `${head}${query.sql}${tail}`, oneRow };
  });
}

function spellWith(ctx: SpellerContext): string {
  ctx.heavy = true;
  const recursive = ctx.accept('RECURSIVE') ? 'RECURSIVE ' : '';
  const parts: string[] = [];
  do {
    const name = ctx.name();
    ctx.derivedTables += 1;
    const sqlName = `cte ${ctx.derivedTables} ${name}`;
    const names = ctx.is('(') ? nameList(ctx) : undefined;
    ctx.expect('AS');
    const known: { columns?: readonly ScopeColumn[] } = {};
    const outer = ctx.ctes;
    const keylessBefore = ctx.keyless;
    if (recursive !== '') ctx.keyless = true;
    const entry = { name, sqlName, columns: () => known.columns };
    if (recursive !== '') ctx.ctes = [entry, ...outer];
    ctx.expect('(');
    const query = spellQuery(ctx);
    ctx.keyless = keylessBefore;
    ctx.expect(')');
    const columns = query.columns.map((column, at) => ({
      ...column,
      name: names?.[at] ?? column.name,
    }));
    known.columns = columns;
    ctx.ctes = [entry, ...outer];
    const list = columns.map((column) => quoteName(column.name)).join(', ');
    const head = columns.length === 0 ? quoteName(sqlName) : `${quoteName(sqlName)} (${list})`;
    parts.push(`${head} AS (${query.sql})`);
  } while (ctx.accept(','));
  return `WITH ${recursive}${parts.join(', ')} `;
}

/** SELECTs joined by UNION and the like, with what follows them. */
function spellBody(ctx: SpellerContext): { readonly query: SpelledQuery; readonly tail: string } {
  const first = spellTerm(ctx);
  const operators: string[] = [];
  const branches = [first];
  let operator = acceptSetOperator(ctx);
  while (operator !== undefined) {
    const branch = spellTerm(ctx);
    branches.push(branch);
    operators.push(operator);
    operator = acceptSetOperator(ctx);
  }
  const tail = spellTail(ctx, branches.length > 1 ? undefined : first.scope);
  if (branches.length === 1) return { query: first, tail };
  const keyedAt = first.columns.map((_, at) =>
    branches.every((branch) => holdsKeys(branch.columns[at])),
  );
  const parts = branches.map((branch) => numbersFor(ctx, branch, keyedAt));
  const sql = parts.map((part, at) => (at === 0 ? part : `${operators[at - 1]} ${part}`)).join(' ');
  const columns = first.columns.map((column, at) => ({
    name: column.name,
    nocase: column.nocase,
    origin: undefined,
    keyed: keyedAt[at] === true,
    type: unlessAsking(() => commonType(branches.map((branch) => branch.columns[at]?.type()))),
  }));
  return { query: { sql, columns, predicates: NO_PREDICATES }, tail };
}

/** A recursive query's type is asked for while it is found out; there it says nothing. */
function unlessAsking(find: () => StaticType): () => StaticType {
  let asking = false;
  return () => {
    if (asking) return { kind: 'NULL' };
    asking = true;
    try {
      return find();
    } finally {
      asking = false;
    }
  };
}

function acceptSetOperator(ctx: SpellerContext): string | undefined {
  const operator = ctx.acceptAny(['UNION', 'EXCEPT', 'INTERSECT', 'MINUS']);
  if (operator === undefined) return undefined;
  const all = ctx.accept('ALL');
  ctx.accept('DISTINCT');
  if (all && operator !== 'UNION') throw ctx.unsupported(`${operator} ALL`);
  return operator === 'MINUS' ? 'EXCEPT' : all ? 'UNION ALL' : operator;
}

type Term = SpelledQuery & { readonly scope: Scope | undefined };

function spellTerm(ctx: SpellerContext): Term {
  if (ctx.is('(')) {
    ctx.next();
    const inner = spellQuery(ctx);
    ctx.expect(')');
    return {
      ...inner,
      sql: `SELECT * FROM (${inner.sql})`,
      predicates: NO_PREDICATES,
      scope: undefined,
    };
  }
  if (ctx.accept('VALUES')) return spellValues(ctx);
  if (ctx.accept('TABLE')) {
    const scope: Scope = { parent: ctx.scope, tables: [] };
    ctx.scope = scope;
    ctx.selects += 1;
    ctx.wantsAll = true;
    ctx.heavy = true;
    const from = spellTables(ctx);
    const { sql, columns } = spellStar(ctx, scope, undefined);
    return { sql: `SELECT ${sql} FROM ${from}`, columns, predicates: NO_PREDICATES, scope };
  }
  ctx.expect('SELECT');
  return spellSelect(ctx);
}

/** VALUES ROW(1, 2), ROW(3, 4): columns are named column_0, column_1 ... */
function spellValues(ctx: SpellerContext): Term {
  const rows: Spelled[][] = [];
  do {
    ctx.accept('ROW');
    ctx.expect('(');
    const row: Spelled[] = [];
    do row.push(spellExpression(ctx));
    while (ctx.accept(','));
    ctx.expect(')');
    rows.push(row);
  } while (ctx.accept(','));
  const width = rows[0]?.length ?? 0;
  if (rows.some((row) => row.length !== width)) throw new SqlError('WRONG_COLUMN_COUNT');
  const columns = Array.from({ length: width }, (_, at) => ({
    name: `column_${at}`,
    nocase: false,
    origin: undefined,
    type: () => commonType(rows.map((row) => row[at]?.type())),
  }));
  const names = columns.map((column, at) => `column${at + 1} AS ${quoteName(column.name)}`);
  const tuples = rows.map((row) => `(${row.map((cell) => cell.sql).join(', ')})`);
  const sql = `SELECT ${names.join(', ')} FROM (VALUES ${tuples.join(', ')})`;
  return { sql, columns, predicates: NO_PREDICATES, scope: undefined };
}

const MODIFIERS = [
  'ALL',
  'DISTINCT',
  'DISTINCTROW',
  'HIGH_PRIORITY',
  'STRAIGHT_JOIN',
  'SQL_SMALL_RESULT',
  'SQL_BIG_RESULT',
  'SQL_BUFFER_RESULT',
  'SQL_CACHE',
  'SQL_NO_CACHE',
  'SQL_CALC_FOUND_ROWS',
];

/** Behind SELECT. FROM is spelled first, so that the types of columns are known in the list. */
function spellSelect(ctx: SpellerContext): Term {
  ctx.selects += 1;
  const scope: Scope = { parent: ctx.scope, tables: [] };
  const outerScope = ctx.scope;
  const outerAggregates = ctx.aggregates;
  ctx.aggregates = 0;
  ctx.scope = scope;
  const modifiers = new Set<string>();
  for (let word = ctx.acceptAny(MODIFIERS); word !== undefined; word = ctx.acceptAny(MODIFIERS)) {
    modifiers.add(word);
  }
  const listAt = ctx.at;
  const from = jumpToFrom(ctx) ? spellFrom(ctx) : '';
  const afterFrom = ctx.at;
  ctx.at = listAt;
  const list = ctx.within('SELECT', () => spellList(ctx, scope));
  scope.aliases = list.aliases;
  acceptInto(ctx);
  if (ctx.accept('FROM')) ctx.at = afterFrom;
  else if (from !== '') throw ctx.unexpected("'FROM'");
  const distinct = modifiers.has('DISTINCT') || modifiers.has('DISTINCTROW') ? 'DISTINCT ' : '';
  const where = ctx.accept('WHERE') ? ctx.within('WHERE', () => spellExpression(ctx)) : undefined;
  const group = spellGroupBy(ctx);
  const having = spellHaving(ctx, group === '', list.aliases);
  const windows = spellWindows(ctx);
  const filters = [where?.sql, having.filter].filter((filter) => filter !== undefined);
  let sql = `SELECT ${distinct}${list.sql}${from}`;
  if (filters.length > 0) sql += ` WHERE ${filters.join(' AND ')}`;
  sql += group + having.clause;
  const isAggregate = ctx.aggregates > 0 && !list.sql.includes(' OVER ');
  const oneRow = group === '' && (from.trim() === '' || isAggregate);
  ctx.aggregates = outerAggregates;
  ctx.scope = outerScope;
  const predicates = where?.conjuncts ?? NO_PREDICATES;
  return { sql: sql + windows, columns: list.columns, predicates, scope, oneRow };
}

/**
 * HAVING as SQLite has it, or, where nothing is grouped, as a filter of rows: MySQL lets it use the
 * names of the select list there.
 */
function spellHaving(
  ctx: SpellerContext,
  ungrouped: boolean,
  aliases: ReadonlyMap<string, Spelled>,
): { readonly clause: string; readonly filter: string | undefined } {
  if (!ctx.accept('HAVING')) return { clause: '', filter: undefined };
  const start = ctx.at;
  if (ungrouped && ctx.aggregates === 0) {
    const before = ctx.aliases;
    ctx.aliases = aliases;
    const filter = ctx.within('HAVING', () => spellExpression(ctx));
    ctx.aliases = before;
    if (ctx.aggregates === 0) return { clause: '', filter: filter.sql };
    ctx.at = start;
  }
  const condition = ctx.within('HAVING', () => spellExpression(ctx));
  return { clause: ` HAVING ${condition.sql}`, filter: undefined };
}

/** Moves behind this SELECT's FROM; false when it has none. */
function jumpToFrom(ctx: SpellerContext): boolean {
  let depth = 0;
  for (let at = ctx.at; at < ctx.tokens.length; at += 1) {
    const key = ctx.tokens[at]?.key;
    if (key === '(') depth += 1;
    else if (key === ')') depth -= 1;
    if (depth < 0) return false;
    if (depth > 0) continue;
    if (key === 'FROM') {
      ctx.at = at + 1;
      return true;
    }
    if (key === 'UNION' || key === 'EXCEPT' || key === 'INTERSECT') return false;
  }
  return false;
}

function spellFrom(ctx: SpellerContext): string {
  if (ctx.is('DUAL') && ctx.peek(1).key !== '.') {
    ctx.next();
    return ' ';
  }
  ctx.heavy = true;
  return ` FROM ${spellTables(ctx)}`;
}

interface SelectList {
  /** Expressions by the lower-case name they are given. */
  readonly aliases: ReadonlyMap<string, Spelled>;
  readonly sql: string;
  readonly columns: readonly ScopeColumn[];
}

function spellList(ctx: SpellerContext, scope: Scope): SelectList {
  const sql: string[] = [];
  const columns: ScopeColumn[] = [];
  const aliases = new Map<string, Spelled>();
  do {
    const star = acceptStar(ctx);
    if (star !== undefined) {
      ctx.wantsAll = true;
      const all = spellStar(ctx, scope, star.qualifier);
      sql.push(all.sql);
      columns.push(...all.columns);
      continue;
    }
    const start = ctx.token.offset;
    const item = spellExpression(ctx);
    const end = ctx.tokens[ctx.at - 1]?.end ?? start;
    const alias = ctx.token.kind === 'string' ? ctx.next().text : acceptAlias(ctx);
    const name = alias ?? itemName(ctx, item, start, end);
    aliases.set(name.toLowerCase(), item);
    const value = ctx.keyless ? item.sql : (item.key ?? item.sql);
    sql.push(`${value} AS ${quoteName(name)}`);
    columns.push({
      name,
      type: item.type,
      keyed: item.key !== undefined && !ctx.keyless,
      nocase: item.nocase?.() === true,
      origin: item.origin?.(),
    });
  } while (ctx.accept(','));
  return { sql: sql.join(', '), columns, aliases };
}

/** MySQL's name for a column without an alias: a column's name, a string's value, else the text. */
function itemName(ctx: SpellerContext, item: Spelled, start: number, end: number): string {
  if (item.column !== undefined) return item.column.name;
  if (typeof item.literal === 'string' && item.type()?.kind === 'STRING') return item.literal;
  return ctx.sql.slice(start, end);
}

/** `*`, `t.*`, `db.t.*`. */
function acceptStar(ctx: SpellerContext): { readonly qualifier: string | undefined } | undefined {
  if (ctx.accept('*')) return { qualifier: undefined };
  for (const ahead of [2, 4]) {
    if (ctx.peek(ahead).key !== '*' || ctx.peek(ahead - 1).key !== '.') continue;
    if (ahead === 4 && ctx.peek(1).key !== '.') continue;
    const { kind, key, text } = ctx.peek(ahead - 2);
    if (kind !== 'name' && (kind !== 'word' || RESERVED.has(key))) continue;
    ctx.at += ahead + 1;
    return { qualifier: text };
  }
  return undefined;
}

function spellGroupBy(ctx: SpellerContext): string {
  if (!ctx.accept('GROUP', 'BY')) return '';
  const items = ctx.within('GROUP BY', () => spellOrderItems(ctx, false));
  if (ctx.accept('WITH', 'ROLLUP')) throw ctx.unsupported('WITH ROLLUP');
  return ` GROUP BY ${items}`;
}

/** Expressions separated by commas, with ASC and DESC unless `ordered` is false. */
export function spellOrderItems(ctx: SpellerContext, ordered = true, exact = true): string {
  const items: string[] = [];
  do {
    const { kind } = ctx.token;
    const position =
      kind === 'number' && [',', ')', '', 'ASC', 'DESC', 'LIMIT'].includes(ctx.peek(1).key);
    const item = spellExpression(ctx);
    // A bare number is the position of a column, so it must stay bare.
    const value = exact ? (item.key ?? item.sql) : item.sql;
    const sql = kind === 'number' && !position ? `+${value}` : value;
    const direction = ctx.acceptAny(['ASC', 'DESC']);
    items.push(ordered && direction !== undefined ? `${sql} ${direction}` : sql);
  } while (ctx.accept(','));
  return items.join(', ');
}

/** ORDER BY, LIMIT and locks, in the scope of the SELECT they stand behind. */
function spellTail(ctx: SpellerContext, scope: Scope | undefined): string {
  const outer = ctx.scope;
  ctx.scope = scope ?? outer;
  let sql = '';
  if (ctx.accept('ORDER', 'BY')) {
    sql += ` ORDER BY ${ctx.within('ORDER BY', () => spellOrderItems(ctx))}`;
  }
  ctx.scope = outer;
  if (ctx.accept('LIMIT')) sql += ctx.within('LIMIT', () => spellLimit(ctx));
  acceptInto(ctx);
  if (ctx.accept('LOCK', 'IN', 'SHARE', 'MODE')) return sql;
  if (ctx.accept('FOR')) {
    if (ctx.acceptAny(['UPDATE', 'SHARE']) === undefined) throw ctx.unexpected("'UPDATE'");
    ctx.acceptAny(['NOWAIT']);
    if (ctx.accept('SKIP')) ctx.next();
  }
  acceptInto(ctx);
  return sql;
}

/** `INTO @a, @b`, once, of the outermost query. */
function acceptInto(ctx: SpellerContext): void {
  if (!ctx.is('INTO')) return;
  if (ctx.peek(1).kind !== 'userVariable') throw ctx.unsupported('SELECT ... INTO a file');
  if (ctx.depth > 1 || ctx.into !== undefined) throw ctx.unexpected();
  ctx.next();
  const names: string[] = [];
  do {
    if (ctx.token.kind !== 'userVariable') throw ctx.unexpected("'@name'");
    names.push(ctx.next().text);
  } while (ctx.accept(','));
  ctx.into = names;
}

const INT64_MAX = 2n ** 63n - 1n;

function spellLimit(ctx: SpellerContext): string {
  const first = limitNumber(ctx);
  if (ctx.accept(',')) return ` LIMIT ${limitNumber(ctx)} OFFSET ${first}`;
  return ctx.accept('OFFSET') ? ` LIMIT ${first} OFFSET ${limitNumber(ctx)}` : ` LIMIT ${first}`;
}

/** "All rows" is written as 18446744073709551615, more than SQLite can count. */
function limitNumber(ctx: SpellerContext): bigint {
  const { token } = ctx;
  if (token.kind !== 'number' || !/^\d+$/.test(token.text))
    throw ctx.unexpected('a number of rows');
  ctx.next();
  const value = BigInt(token.text);
  return value > INT64_MAX ? INT64_MAX : value;
}

/** A query in parentheses as an operand: of EXISTS, of IN, a row. */
export function spellSubquery(ctx: SpellerContext): Spelled {
  ctx.heavy = true;
  return operandOf(ctx, spellDerived(ctx));
}

/** A query in parentheses whose value is that of its only row (1242 when it has more). */
export function spellScalarSubquery(ctx: SpellerContext): Spelled {
  ctx.heavy = true;
  const query = spellDerived(ctx);
  const [column] = query.columns;
  if (query.oneRow === true || column === undefined || query.columns.length > 1) {
    return operandOf(ctx, query);
  }
  // SQLite would take the first row. This is one group of up to two rows, and the column in it
  // is still the column: it keeps its affinity and collation, which an aggregate of ours would not.
  const rows = `SELECT * FROM ${query.sql} LIMIT 2`;
  const group = 'GROUP BY NULL HAVING mysql_one_row(count(*))';
  const sql = `(SELECT ${quoteName(column.name)} FROM (${rows}) ${group})`;
  return operandOf(ctx, { ...query, sql });
}

function operandOf(ctx: SpellerContext, query: SpelledQuery): Spelled {
  const type = (): StaticType => query.columns[0]?.type();
  if (!query.columns.some(holdsKeys)) return { ...typed(query.sql, undefined), type };
  const bare = { ...query, sql: query.sql.slice(1, -1) };
  const numbers = `(${numbersFor(ctx, bare)})`;
  if (query.columns.length === 1) return { sql: numbers, type, key: query.sql };
  const keyRows = { sql: query.sql, keyed: query.columns.map(holdsKeys) };
  return { sql: numbers, type, keyRows };
}

/** `( query )`, with superfluous parentheses taken away. */
export function spellDerived(ctx: SpellerContext): SpelledQuery {
  return ctx.nested(() => {
    ctx.expect('(');
    const doubled = ctx.is('(') && isQueryAhead(ctx) && closesAtOnce(ctx);
    if (doubled) {
      const inner = spellDerived(ctx);
      ctx.expect(')');
      return inner;
    }
    const clause = ctx.clause;
    const query = ctx.within(clause, () => spellQuery(ctx));
    ctx.expect(')');
    return { ...query, sql: `(${query.sql})` };
  });
}

/** Whether the parenthesis that opens here closes right before another closing one. */
function closesAtOnce(ctx: SpellerContext): boolean {
  let depth = 0;
  for (let ahead = 0; ; ahead += 1) {
    const token = ctx.peek(ahead);
    if (token.kind === 'end') return false;
    if (token.key === '(') depth += 1;
    if (token.key === ')') depth -= 1;
    if (depth === 0) return ctx.peek(ahead + 1).key === ')';
  }
}
