/**
 * MySQL expressions → SQLite's, by operator precedence. Every operation is put in parentheses: the
 * two dialects disagree on precedence (`||`, `!`, NOT, `&`, `|`), so order must not matter.
 * SQLite still decides what is an expression; this only needs to know where operands end.
 */
import { SqlError } from '../../base/errors.ts';
import { canonicalPredicate, comparable, rowEquality } from './comparison.ts';
import { choiceKeys, comparableKeys, keyed, plainText } from './exact_decimal.ts';
import { isIntervalUnit } from './date_math.ts';
import { spellDateAdd, spellInterval } from './interval_speller.ts';
import { spellLiteral, spellVariable } from './literal_speller.ts';
import {
  BIGINT,
  STRING,
  arithmeticType,
  commonType,
  isInteger,
  quoteName,
  typed,
  type Spelled,
} from './spelled.ts';
import { spellMembership, spellPredicate } from './predicate_speller.ts';
import type { SpellerContext } from './speller_context.ts';
import { RESERVED, isQueryAhead } from './words.ts';

/** Binding powers, MySQL's order. */
const OR = 1;
const XOR = 2;
const AND = 3;
const NOT = 4;
const COMPARE = 6;
const BIT_OR = 7;
const CONCAT = 12.5;
const UNARY = 13;

// prettier-ignore
const BINARY: Readonly<Record<string, number>> = {
  OR, '||': OR, XOR, AND, '&&': AND,
  '=': COMPARE, '<=>': COMPARE, '>=': COMPARE, '>': COMPARE, '<=': COMPARE, '<': COMPARE, '<>': COMPARE, '!=': COMPARE,
  '|': BIT_OR, '&': 8, '<<': 9, '>>': 9, '+': 10, '-': 10, '*': 11, '/': 11, '%': 11, DIV: 11, MOD: 11, '^': 12,
};
const POSTFIX = new Set([
  'IS',
  'LIKE',
  'REGEXP',
  'RLIKE',
  'IN',
  'BETWEEN',
  'NOT',
  'COLLATE',
  '->',
  '->>',
]);

export function spellExpression(ctx: SpellerContext, power = 0): Spelled {
  return ctx.nested(() => {
    let left = spellPrefix(ctx, power);
    for (;;) {
      const next = spellNext(ctx, left, power);
      if (next === undefined) return left;
      left = next;
    }
  });
}

/** `left` joined with the operator that comes next; undefined when none that binds strongly enough does. */
function spellNext(ctx: SpellerContext, left: Spelled, power: number): Spelled | undefined {
  const { key } = ctx.token;
  const joins = key === '||' && ctx.session.pipesAsConcat;
  const strength = joins ? CONCAT : BINARY[key];
  if (strength !== undefined) {
    if (strength <= power) return undefined;
    ctx.next();
    return joins ? spellConcat(ctx, left) : spellBinary(ctx, key, left, strength);
  }
  if (!POSTFIX.has(key)) return undefined;
  if (key === 'COLLATE') return spellCollate(ctx, left);
  if (key === '->' || key === '->>') {
    ctx.next();
    const path = spellPrefix(ctx, UNARY);
    return typed(`(${left.sql} ${key} ${path.sql})`, STRING);
  }
  return power < COMPARE ? spellPredicate(ctx, left) : undefined;
}

function spellPrefix(ctx: SpellerContext, power: number): Spelled {
  const { key } = ctx.token;
  switch (key) {
    case 'NOT':
    case '!': {
      if (key === 'NOT' && power > NOT) throw ctx.unexpected();
      ctx.next();
      const operand = spellExpression(ctx, key === '!' ? UNARY : NOT);
      return typed(`(NOT ${operand.sql})`, BIGINT);
    }
    case '-':
    case '+':
    case '~': {
      ctx.next();
      return spellSign(key, spellExpression(ctx, UNARY));
    }
    case 'BINARY': {
      ctx.next();
      const operand = spellExpression(ctx, UNARY);
      return { sql: `(${operand.sql} COLLATE BINARY)`, type: operand.type };
    }
    case 'INTERVAL':
      if (ctx.peek(1).key !== '(' || !isCallOfInterval(ctx)) return spellIntervalPlus(ctx);
      return ctx.grammar.call(ctx);
    case 'EXISTS':
      ctx.next();
      return typed(`(EXISTS ${ctx.grammar.subquery(ctx).sql})`, BIGINT);
    case 'CASE':
      return spellCase(ctx);
    case '(':
      return spellParenthesis(ctx);
    case '{':
      return spellOdbcEscape(ctx);
    case 'ROW':
      if (ctx.peek(1).key === '(') ctx.next();
      return key === 'ROW' && ctx.is('(') ? spellParenthesis(ctx) : spellAtom(ctx);
    default:
      return spellAtom(ctx);
  }
}

function spellSign(sign: string, operand: Spelled): Spelled {
  const { literal } = operand;
  const negative = sign === '-' && (typeof literal === 'bigint' || typeof literal === 'string');
  return {
    sql: sign === '+' ? operand.sql : `(${sign} ${operand.sql})`,
    type: sign === '~' ? () => BIGINT : operand.type,
    ...(negative && isNumericLiteral(operand) ? { literal: negate(literal) } : {}),
    ...(sign === '+' && literal !== undefined ? { literal } : {}),
  };
}

function isNumericLiteral(operand: Spelled): boolean {
  return typeof operand.literal === 'bigint' || operand.type()?.kind === 'DECIMAL';
}

function negate(literal: bigint | string): bigint | string {
  return typeof literal === 'bigint' ? -literal : `-${literal}`;
}

/** Literal, variable, function call or column. */
function spellAtom(ctx: SpellerContext): Spelled {
  const { token } = ctx;
  const literal = spellLiteral(ctx) ?? spellVariable(ctx);
  if (literal !== undefined) return literal;
  if (token.kind === 'word' && ctx.peek(1).key === '(') return ctx.grammar.call(ctx);
  if (token.kind === 'word' && RESERVED.has(token.key)) throw ctx.unexpected();
  if (token.kind !== 'word' && token.kind !== 'name') throw ctx.unexpected();
  return spellBareCall(ctx) ?? spellColumn(ctx);
}

const BARE_CALLS = new Set([
  'CURRENT_DATE',
  'CURRENT_TIME',
  'CURRENT_TIMESTAMP',
  'CURRENT_USER',
  'LOCALTIME',
  'LOCALTIMESTAMP',
  'UTC_DATE',
  'UTC_TIME',
  'UTC_TIMESTAMP',
]);

function spellBareCall(ctx: SpellerContext): Spelled | undefined {
  return ctx.token.kind === 'word' && BARE_CALLS.has(ctx.token.key)
    ? ctx.grammar.call(ctx)
    : undefined;
}

function spellColumn(ctx: SpellerContext): Spelled {
  const path = [ctx.name()];
  while (ctx.is('.') && path.length < 3 && ctx.peek(1).key !== '*') {
    ctx.next();
    path.push(ctx.name());
  }
  if (ctx.is('(')) throw new SqlError('UNKNOWN_FUNCTION', { name: path.join('.') });
  const name = path.at(-1) ?? '';
  const qualifier = path.at(-2);
  const alias = qualifier === undefined ? ctx.aliases.get(name.toLowerCase()) : undefined;
  if (alias !== undefined) return alias;
  const form = path.slice(-2).join('.').toLowerCase();
  if (!ctx.firstClause.has(form)) ctx.firstClause.set(form, ctx.clause);
  ctx.columnNames.add(name.toLowerCase());
  const { scope } = ctx;
  if (ROW_IDS.has(name.toLowerCase())) refuseRowId(ctx, path);
  const found = (): ReturnType<typeof ctx.lookup> => ctx.lookup(scope, qualifier, name);
  const sql =
    qualifier === undefined ? quoteName(name) : `${quoteName(qualifier)}.${quoteName(name)}`;
  const listed = qualifier === undefined ? listedItem(ctx, name.toLowerCase()) : undefined;
  if (listed !== undefined) {
    const { type, nocase } = listed;
    const value = listed.key === undefined ? { sql, type } : keyed(sql, type);
    return { ...value, ...(nocase === undefined ? {} : { nocase }) };
  }
  return {
    ...(found()?.keyed === true ? keyed(sql, () => found()?.type()) : { sql }),
    type: () => found()?.type(),
    column: { qualifier, name },
    origin: () => found()?.origin,
    nocase: () => found()?.nocase === true,
  };
}

/** What a name of the select list stands for, unless a table has a column of that name. */
function listedItem(ctx: SpellerContext, name: string): Spelled | undefined {
  const { scope } = ctx;
  const item = scope?.aliases?.get(name);
  if (scope === undefined || item === undefined) return undefined;
  const own = ctx.lookup({ parent: undefined, tables: scope.tables }, undefined, name);
  return own === undefined ? item : undefined;
}

/** SQLite's hidden columns, which MySQL does not have. */
const ROW_IDS = new Set(['rowid', 'oid', '_rowid_']);

function refuseRowId(ctx: SpellerContext, path: readonly string[]): void {
  const known = ctx.lookup(ctx.scope, path.at(-2), path.at(-1) ?? '') !== undefined;
  // Before the tables are resolved nothing is known.
  if (known || ctx.tables.size < ctx.references.size) return;
  throw new SqlError('UNKNOWN_COLUMN', { name: path.join('.'), where: ctx.clause });
}

function spellBinary(ctx: SpellerContext, operator: string, left: Spelled, power: number): Spelled {
  if (power === COMPARE && ['ANY', 'SOME', 'ALL'].includes(ctx.token.key)) {
    return spellQuantified(ctx, operator, left);
  }
  if ((operator === '+' || operator === '-') && ctx.is('INTERVAL')) {
    const [amount, unit] = spellInterval(ctx);
    return spellDateAdd(left, amount, unit, operator === '+' ? 1 : -1);
  }
  const right = spellExpression(ctx, power);
  switch (operator) {
    case 'AND':
    case '&&':
      return {
        sql: `(${left.sql} AND ${right.sql})`,
        type: () => BIGINT,
        conjuncts: () => [...(left.conjuncts?.() ?? []), ...(right.conjuncts?.() ?? [])],
      };
    case 'OR':
    case '||':
      return typed(`(${left.sql} OR ${right.sql})`, BIGINT);
    case 'XOR':
      return typed(`mysql_xor(${left.sql}, ${right.sql})`, BIGINT);
    case '^':
      return typed(`mysql_bitxor(${left.sql}, ${right.sql})`, BIGINT);
    case '|':
    case '&':
    case '<<':
    case '>>':
      return typed(`(${left.sql} ${operator} ${right.sql})`, BIGINT);
    case '+':
    case '-':
    case '*':
    case '/':
    case '%':
    case 'MOD':
    case 'DIV':
      return spellArithmetic(operator, left, divisor(ctx, operator, right));
    default:
      return spellComparison(operator, left, right);
  }
}

/** `||` with sql_mode PIPES_AS_CONCAT: NULL when either side is. */
function spellConcat(ctx: SpellerContext, left: Spelled): Spelled {
  const right = spellExpression(ctx, CONCAT);
  return typed(`(${plainText(left)} || ${plainText(right)})`, STRING);
}

const DIVISIONS = new Set(['/', '%', 'MOD', 'DIV']);

/** Counts zeros for warning 1365, unless a literal says that there are none. */
function divisor(ctx: SpellerContext, operator: string, right: Spelled): Spelled {
  if (!DIVISIONS.has(operator) || !ctx.session.warnsOfZeroDivision) return right;
  if (right.literal !== undefined && Number(right.literal) !== 0) return right;
  return { ...right, sql: `mysql_divisor(${right.sql})` };
}

function spellArithmetic(operator: string, left: Spelled, right: Spelled): Spelled {
  const type = (): ReturnType<typeof left.type> =>
    arithmeticType(operator, left.type(), right.type());
  const integers = isInteger(left.type()) && isInteger(right.type());
  if (operator === '/') return { sql: `(${left.sql} * 1.0 / ${right.sql})`, type };
  if (operator === 'DIV') {
    const sql = integers ? `(${left.sql} / ${right.sql})` : `mysql_div(${left.sql}, ${right.sql})`;
    return { sql, type };
  }
  if (operator === '%' || operator === 'MOD') {
    const sql = integers ? `(${left.sql} % ${right.sql})` : `mysql_mod(${left.sql}, ${right.sql})`;
    return { sql, type };
  }
  return { sql: `(${left.sql} ${operator} ${right.sql})`, type };
}

const SQLITE_COMPARISON: Readonly<Record<string, string>> = { '<=>': 'IS', '!=': '<>' };

function spellComparison(operator: string, left: Spelled, right: Spelled): Spelled {
  const row = rowEquality(operator, left, right);
  if (row !== undefined) return typed(row, BIGINT);
  const [a, b] = comparable(left, right);
  const spelling = SQLITE_COMPARISON[operator] ?? operator;
  return {
    sql: `(${a} ${spelling} ${b})`,
    type: () => BIGINT,
    conjuncts: () => canonicalPredicate(operator, left, [right]),
  };
}

function spellQuantified(ctx: SpellerContext, operator: string, left: Spelled): Spelled {
  const { key } = ctx.next();
  const query = ctx.grammar.subquery(ctx);
  if (operator === '=' && key !== 'ALL') return spellMembership(left, '', query);
  if ((operator === '<>' || operator === '!=') && key === 'ALL') {
    return spellMembership(left, 'NOT ', query);
  }
  throw ctx.unsupported(`${operator} ${key} (subquery)`);
}

function spellCollate(ctx: SpellerContext, left: Spelled): Spelled {
  ctx.next();
  const name = ctx.token.kind === 'string' ? ctx.next().text : ctx.name();
  const collation = /_ci$/i.test(name) ? 'NOCASE' : 'BINARY';
  return {
    sql: `(${left.sql} COLLATE ${collation})`,
    type: left.type,
    nocase: () => collation === 'NOCASE',
  };
}

function spellCase(ctx: SpellerContext): Spelled {
  ctx.expect('CASE');
  const operand = ctx.is('WHEN') ? undefined : spellExpression(ctx);
  const conditions: string[] = [];
  const results: Spelled[] = [];
  while (ctx.accept('WHEN')) {
    const when = spellExpression(ctx);
    // Keys compare with keys only, so the operand is then repeated in every condition.
    const keys = operand?.key === undefined ? undefined : comparableKeys(operand, when);
    conditions.push(keys === undefined ? when.sql : `${keys[0]} = ${keys[1]}`);
    if (operand !== undefined && keys === undefined && operand.key !== undefined) {
      conditions.push(`${operand.sql} = ${conditions.pop()}`);
    }
    ctx.expect('THEN');
    results.push(spellExpression(ctx));
  }
  if (results.length === 0) throw ctx.unexpected("'WHEN'");
  if (ctx.accept('ELSE')) results.push(spellExpression(ctx));
  ctx.expect('END');
  const head = operand === undefined || operand.key !== undefined ? 'CASE' : `CASE ${operand.sql}`;
  const spell = (values: readonly string[]): string => {
    const branches = conditions.map((when, at) => ` WHEN ${when} THEN ${values[at]}`);
    const otherwise = values.length > conditions.length ? ` ELSE ${values.at(-1)}` : '';
    return `(${head}${branches.join('')}${otherwise} END)`;
  };
  const type = (): ReturnType<Spelled['type']> =>
    commonType(results.map((result) => result.type()));
  const keys = choiceKeys(results);
  if (keys !== undefined) return keyed(spell(keys), type);
  return { sql: spell(results.map((result) => result.sql)), type };
}

function spellParenthesis(ctx: SpellerContext): Spelled {
  if (isQueryAhead(ctx)) return ctx.grammar.scalarSubquery(ctx);
  ctx.expect('(');
  const items: Spelled[] = [];
  do items.push(spellExpression(ctx));
  while (ctx.accept(','));
  ctx.expect(')');
  const [only] = items;
  if (items.length === 1 && only !== undefined) {
    const key = only.key === undefined ? {} : { key: `(${only.key})` };
    return { ...only, sql: `(${only.sql})`, ...key };
  }
  const row = typed(`(${items.map((item) => item.sql).join(', ')})`, undefined);
  return { ...row, items };
}

/** ODBC's `{d '2024-01-01'}`, `{ts '...'}`, `{fn NOW()}`. */
function spellOdbcEscape(ctx: SpellerContext): Spelled {
  ctx.expect('{');
  ctx.name();
  const inner = spellExpression(ctx);
  ctx.expect('}');
  return inner;
}

/** INTERVAL(n, a, b, ...) is a function; INTERVAL (expr) DAY is not. */
function isCallOfInterval(ctx: SpellerContext): boolean {
  let depth = 0;
  for (let ahead = 1; ; ahead += 1) {
    const token = ctx.peek(ahead);
    if (token.kind === 'end') return false;
    if (token.key === '(') depth += 1;
    if (token.key === ')') depth -= 1;
    if (token.key === ',' && depth === 1) return true;
    if (depth === 0) return !isIntervalUnit(ctx.peek(ahead + 1).key);
  }
}

/** `INTERVAL 1 DAY + date`. */
function spellIntervalPlus(ctx: SpellerContext): Spelled {
  const [amount, unit] = spellInterval(ctx);
  ctx.expect('+');
  return spellDateAdd(spellExpression(ctx, 10), amount, unit, 1);
}
