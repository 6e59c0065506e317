/** FROM clauses: stored tables, derived tables, common table expressions, joins. */
import { SqlError } from '../../base/errors.ts';
import { isKeyed } from './exact_decimal.ts';
import { quoteName } from './spelled.ts';
import type { ScopeColumn, SpellerContext } from './speller_context.ts';
import type { SelectTable } from './table_provider.ts';
import { RESERVED, isQueryAhead } from './words.ts';

/** The tables behind FROM; fills the current scope. */
export function spellTables(ctx: SpellerContext): string {
  let sql = spellJoined(ctx);
  while (ctx.accept(',')) sql += `, ${spellJoined(ctx)}`;
  return sql;
}

function spellJoined(ctx: SpellerContext): string {
  let sql = spellFactor(ctx);
  for (;;) {
    const join = acceptJoin(ctx);
    if (join === undefined) return sql;
    sql += ` ${join} ${spellFactor(ctx)}`;
    if (join.startsWith('NATURAL')) mergeColumns(ctx);
    if (ctx.accept('ON')) {
      const condition = ctx.within('ON', () => ctx.grammar.expression(ctx));
      sql += ` ON ${condition.sql}`;
    } else if (ctx.accept('USING')) sql += ` USING (${spellUsing(ctx)})`;
  }
}

const JOINS: readonly (readonly [readonly string[], string])[] = [
  [['JOIN'], 'JOIN'],
  [['INNER', 'JOIN'], 'JOIN'],
  [['CROSS', 'JOIN'], 'JOIN'],
  [['STRAIGHT_JOIN'], 'JOIN'],
  [['LEFT', 'JOIN'], 'LEFT JOIN'],
  [['LEFT', 'OUTER', 'JOIN'], 'LEFT JOIN'],
  [['RIGHT', 'JOIN'], 'RIGHT JOIN'],
  [['RIGHT', 'OUTER', 'JOIN'], 'RIGHT JOIN'],
  [['FULL', 'JOIN'], 'FULL JOIN'],
  [['FULL', 'OUTER', 'JOIN'], 'FULL JOIN'],
  [['NATURAL', 'JOIN'], 'NATURAL JOIN'],
  [['NATURAL', 'INNER', 'JOIN'], 'NATURAL JOIN'],
  [['NATURAL', 'LEFT', 'JOIN'], 'NATURAL LEFT JOIN'],
  [['NATURAL', 'LEFT', 'OUTER', 'JOIN'], 'NATURAL LEFT JOIN'],
  [['NATURAL', 'RIGHT', 'JOIN'], 'NATURAL RIGHT JOIN'],
];

function acceptJoin(ctx: SpellerContext): string | undefined {
  for (const [words, spelling] of JOINS) {
    if (!ctx.accept(...words)) continue;
    if (words[0] === 'NATURAL') ctx.wantsAll = true;
    return spelling;
  }
  return undefined;
}

function spellUsing(ctx: SpellerContext): string {
  ctx.expect('(');
  const names: string[] = [];
  do {
    const name = ctx.name();
    ctx.columnNames.add(name.toLowerCase());
    names.push(name);
  } while (ctx.accept(','));
  ctx.expect(')');
  mergeColumns(
    ctx,
    names.map((name) => name.toLowerCase()),
  );
  return names.map((name) => quoteName(name)).join(', ');
}

/**
 * The last table is joined by names: `names`, or all that it shares. These columns are one column
 * to `*`. Such joins compare what lies in SQLite, where a key never equals a number.
 */
function mergeColumns(ctx: SpellerContext, names?: readonly string[]): void {
  const tables = ctx.scope?.tables ?? [];
  const last = tables.at(-1);
  const before = new Map<string, boolean>();
  for (const column of tables.slice(0, -1).flatMap((table) => table.columns() ?? [])) {
    before.set(column.name.toLowerCase(), column.keyed === true);
  }
  const merged = new Set<string>();
  for (const column of last?.columns() ?? []) {
    const name = column.name.toLowerCase();
    if (!before.has(name) || names?.includes(name) === false) continue;
    merged.add(name);
    if (before.get(name) !== (column.keyed === true)) {
      throw ctx.unsupported(`a join USING ${name}, which is exact on one side only; use ON`);
    }
  }
  if (last !== undefined) last.merged = merged;
}

function spellFactor(ctx: SpellerContext): string {
  if (ctx.is('LATERAL')) throw ctx.unsupported('LATERAL');
  if (ctx.is('(')) {
    if (isQueryAhead(ctx)) return spellDerivedTable(ctx);
    return ctx.nested(() => {
      ctx.expect('(');
      const sql = spellTables(ctx);
      ctx.expect(')');
      return `(${sql})`;
    });
  }
  if (ctx.is('{')) {
    // ODBC: { OJ a LEFT JOIN b ON ... }
    ctx.next();
    ctx.name();
    const sql = ctx.nested(() => spellTables(ctx));
    ctx.expect('}');
    return sql;
  }
  return spellNamed(ctx);
}

function spellDerivedTable(ctx: SpellerContext): string {
  // It sees what is around this SELECT, but neither the tables beside it nor itself.
  const { scope } = ctx;
  ctx.scope = scope?.parent;
  ctx.derivedDepth += 1;
  const derived = ctx.nested(() => ctx.grammar.derived(ctx));
  ctx.derivedDepth -= 1;
  ctx.scope = scope;
  const alias = acceptAlias(ctx);
  if (alias === undefined) throw new SqlError('DERIVED_NEEDS_ALIAS');
  let { columns } = derived;
  if (ctx.is('(')) {
    const names = nameList(ctx);
    if (names.length !== columns.length) throw new SqlError('WRONG_COLUMN_COUNT');
    columns = columns.map((column, at) => ({ ...column, name: names[at] ?? column.name }));
    const list = names.map((name) => quoteName(name)).join(', ');
    ctx.derivedTables += 1;
    const inner = quoteName(`derived ${ctx.derivedTables}`);
    // SQLite has no column list on a derived table, but on a common table expression.
    addToScope(ctx, alias, () => columns);
    return `(WITH ${inner} (${list}) AS ${derived.sql} SELECT * FROM ${inner}) AS ${quoteName(alias)}`;
  }
  addToScope(ctx, alias, () => columns);
  return `${derived.sql} AS ${quoteName(alias)}`;
}

export function nameList(ctx: SpellerContext): string[] {
  ctx.expect('(');
  const names: string[] = [];
  do names.push(ctx.name());
  while (ctx.accept(','));
  ctx.expect(')');
  return names;
}

function addToScope(
  ctx: SpellerContext,
  alias: string,
  columns: () => readonly ScopeColumn[] | undefined,
): void {
  const { scope } = ctx;
  if (scope === undefined) throw new TypeError('a table outside a SELECT');
  if (scope.tables.some((table) => table.alias.toLowerCase() === alias.toLowerCase())) {
    throw new SqlError('NON_UNIQUE_TABLE', { name: alias });
  }
  scope.tables.push({ alias, columns });
}

/** A stored table, or the name of a common table expression. */
function spellNamed(ctx: SpellerContext): string {
  const first = ctx.token;
  if (first.kind === 'word' && RESERVED.has(first.key)) throw ctx.unexpected('a table name');
  const path = [ctx.name()];
  while (ctx.accept('.')) path.push(ctx.name());
  if (ctx.is('(')) throw new SqlError('UNKNOWN_FUNCTION', { name: path.join('.') });
  if (path.length > 2) path.splice(0, path.length - 2);
  const name = path.at(-1) ?? '';
  const cte = path.length === 1 ? ctx.findCte(name) : undefined;
  if (cte !== undefined) {
    const alias = acceptAlias(ctx) ?? name;
    addToScope(ctx, alias, cte.columns);
    return `${quoteName(cte.sqlName)} AS ${quoteName(alias)}`;
  }
  const database = path.length > 1 ? (path[0] ?? '') : ctx.session.database;
  if (database === '') throw new SqlError('NO_DB');
  const reference = ctx.refer(database, name);
  if (ctx.accept('PARTITION')) throw ctx.unsupported('SELECT ... PARTITION (...)');
  const alias = acceptAlias(ctx) ?? name;
  skipIndexHints(ctx);
  const table = ctx.tables.get(reference.key);
  addToScope(ctx, alias, () => table && tableColumns(table, alias));
  return `${quoteName(reference.sqlName)} AS ${quoteName(alias)}`;
}

function tableColumns(table: SelectTable, alias: string): readonly ScopeColumn[] {
  return table.columns.map((column) => ({
    name: column.name,
    type: () => column.type,
    keyed: isKeyed(column.type),
    nocase: table.nocase === true,
    origin: {
      database: table.database,
      table: table.name,
      alias,
      column: column.name,
      nullable: column.nullable,
    },
  }));
}

export function acceptAlias(ctx: SpellerContext): string | undefined {
  if (ctx.accept('AS')) return ctx.token.kind === 'string' ? ctx.next().text : ctx.name();
  const { token } = ctx;
  const plain = token.kind === 'word' && !RESERVED.has(token.key);
  return plain && token.key !== 'FULL'
    ? ctx.name()
    : token.kind === 'name'
      ? ctx.name()
      : undefined;
}

/** USE INDEX (...), FORCE KEY FOR ORDER BY (...): there is nothing to hint at. */
function skipIndexHints(ctx: SpellerContext): void {
  while (ctx.acceptAny(['USE', 'FORCE', 'IGNORE']) !== undefined) {
    if (ctx.acceptAny(['INDEX', 'KEY']) === undefined) throw ctx.unexpected("'INDEX'");
    if (ctx.accept('FOR') && !ctx.accept('JOIN')) {
      ctx.next();
      ctx.expect('BY');
    }
    ctx.expect('(');
    while (!ctx.accept(')')) {
      if (ctx.token.kind === 'end') throw ctx.unexpected("')'");
      ctx.next();
    }
    ctx.accept(',');
  }
}
