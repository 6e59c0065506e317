/** Function calls, with the grammars of their own that some functions have. */
import { SqlError } from '../../base/errors.ts';
import { isIntervalUnit } from './date_math.ts';
import { spellCast } from './cast_speller.ts';
import { spellDateAdd, spellInterval } from './interval_speller.ts';
import { choiceKeys, keyed, plainText } from './exact_decimal.ts';
import { functionSpec, type FunctionSpec } from './functions.ts';
import { SESSION_FUNCTIONS, unixTimestamp } from './session_functions.ts';
import { BIGINT, DATETIME, STRING, quoteText, typed, type Spelled } from './spelled.ts';
import { lockFunction, spellLockCall } from './user_locks.ts';
import type { SpellerContext } from './speller_context.ts';

/** As in MySQL: microseconds. */
const FRACTION_DIGITS_MAX = 6;

type Special = (ctx: SpellerContext, name: string) => Spelled;

/** Functions whose arguments are no plain list. Each begins behind the opening parenthesis. */
const SPECIAL: Readonly<Record<string, Special>> = {
  COUNT: spellCount,
  GROUP_CONCAT: spellGroupConcat,
  CAST: spellCast,
  CONVERT: spellCast,
  EXTRACT: spellExtract,
  TRIM: spellTrim,
  SUBSTRING: spellSubstring,
  SUBSTR: spellSubstring,
  MID: spellSubstring,
  POSITION: spellPosition,
  DATE_ADD: spellDateFunction,
  DATE_SUB: spellDateFunction,
  ADDDATE: spellDateFunction,
  SUBDATE: spellDateFunction,
  TIMESTAMPADD: spellTimestampAdd,
  TIMESTAMPDIFF: spellTimestampDiff,
  UNIX_TIMESTAMP: spellUnixTimestamp,
  FROM_UNIXTIME: spellFromUnixtime,
  CHAR: spellChar,
};

/** A call; the name comes next. */
export function spellCall(ctx: SpellerContext): Spelled {
  const name = ctx.next().text;
  const key = name.toUpperCase();
  const session = Object.hasOwn(SESSION_FUNCTIONS, key) ? SESSION_FUNCTIONS[key] : undefined;
  if (session !== undefined) {
    let digits = 0;
    if (ctx.accept('(') && !ctx.accept(')')) {
      if (session.typeOf === undefined) throw wrongCount(name);
      digits = fractionDigits(ctx, name);
      ctx.expect(')');
    }
    const type = session.typeOf?.(digits) ?? session.type;
    return typed(ctx.bind(session.value(ctx.session, ctx.nowMs, digits)), type);
  }
  ctx.expect('(');
  const special = Object.hasOwn(SPECIAL, key) ? SPECIAL[key] : undefined;
  if (special !== undefined) return ctx.grammar.over(ctx, special(ctx, name));
  const lock = lockFunction(key);
  if (lock !== undefined) {
    const call = spellLockCall(ctx, lock, spellArguments(ctx));
    if (call === undefined) throw wrongCount(name);
    return call;
  }
  const spec = functionSpec(key);
  if (spec === undefined) throw unknownFunction(ctx, name);
  return spellPlain(ctx, name, spec);
}

/** Of the fraction of a second. Throws TOO_BIG_PRECISION. */
function fractionDigits(ctx: SpellerContext, name: string): number {
  const token = ctx.next();
  if (token.kind !== 'number' || !/^\d{1,5}$/.test(token.text)) {
    ctx.at -= 1;
    throw ctx.unexpected('a number of digits, 0 to 6');
  }
  const digits = Number(token.text);
  if (digits <= FRACTION_DIGITS_MAX) return digits;
  throw new SqlError('TOO_BIG_PRECISION', { digits, name: name.toLowerCase() });
}

function unknownFunction(ctx: SpellerContext, name: string): SqlError {
  const { database } = ctx.session;
  return new SqlError('UNKNOWN_FUNCTION', { name: database === '' ? name : `${database}.${name}` });
}

function wrongCount(name: string): SqlError {
  return new SqlError('WRONG_PARAM_COUNT', { name });
}

function spellPlain(ctx: SpellerContext, name: string, spec: FunctionSpec): Spelled {
  const distinct = spec.aggregate === true && ctx.accept('DISTINCT') ? 'DISTINCT ' : '';
  const args = spellArguments(ctx);
  if (args.length < spec.min || args.length > spec.max) throw wrongCount(name);
  if (spec.heavy === true) ctx.heavy = true;
  if (spec.aggregate === true) ctx.aggregates += 1;
  const keys = keyArguments(name.toUpperCase(), args);
  const sql = spec.spell(keys ?? args);
  const spelling = distinct === '' ? sql : sql.replace('(', `(${distinct}`);
  const call: Spelled = { sql: spelling, type: () => spec.type(args) };
  if (spec.window === true && !ctx.is('OVER')) throw ctx.unexpected("'OVER'");
  const over = spec.aggregate === true || spec.window === true ? ctx.grammar.over(ctx, call) : call;
  return keys === undefined ? over : keyed(over.sql, call.type);
}

const CHOICES = new Set(['IFNULL', 'NVL', 'COALESCE', 'NULLIF', 'GREATEST', 'LEAST']);
const CARRIERS = new Set('MIN MAX ANY_VALUE LAG LEAD FIRST_VALUE LAST_VALUE NTH_VALUE'.split(' '));

/** The arguments as keys, for functions that hand on one of them, when all of these have keys. */
function keyArguments(name: string, args: readonly Spelled[]): readonly Spelled[] | undefined {
  const fixed = name === 'IF' ? args.slice(0, 1) : [];
  const carrier = CARRIERS.has(name) && args.length < 3;
  if (!carrier && name !== 'IF' && !CHOICES.has(name)) return undefined;
  const rest = carrier ? args.slice(1) : [];
  const choices = args.slice(fixed.length, args.length - rest.length);
  const keys = choiceKeys(choices);
  if (keys === undefined) return undefined;
  const spelled = keys.map((sql, at) => ({ sql, type: choices[at]?.type ?? (() => undefined) }));
  return [...fixed, ...spelled, ...rest];
}

/** The arguments up to and with the closing parenthesis. */
function spellArguments(ctx: SpellerContext): Spelled[] {
  const args: Spelled[] = [];
  if (ctx.accept(')')) return args;
  do args.push(ctx.grammar.expression(ctx));
  while (ctx.accept(','));
  ctx.expect(')');
  return args;
}

function spellCount(ctx: SpellerContext): Spelled {
  ctx.aggregates += 1;
  if (ctx.accept('*')) {
    ctx.expect(')');
    return typed('count(*)', BIGINT);
  }
  const distinct = ctx.accept('DISTINCT');
  if (!distinct) ctx.accept('ALL');
  const args = spellArguments(ctx);
  const list = args.map((arg) => arg.key ?? arg.sql);
  if (args.length === 0 || (args.length > 1 && !distinct)) throw wrongCount('COUNT');
  if (args.length === 1) return typed(`count(${distinct ? 'DISTINCT ' : ''}${list[0]})`, BIGINT);
  // Tuples with a NULL do not count; json_array makes one comparable value of a tuple.
  const someNull = list.map((sql) => `${sql} IS NULL`).join(' OR ');
  const tuple = `CASE WHEN ${someNull} THEN NULL ELSE json_array(${list.join(', ')}) END`;
  return typed(`count(DISTINCT ${tuple})`, BIGINT);
}

function spellGroupConcat(ctx: SpellerContext): Spelled {
  ctx.aggregates += 1;
  const distinct = ctx.accept('DISTINCT');
  const parts: string[] = [];
  do parts.push(plainText(ctx.grammar.expression(ctx)));
  while (ctx.accept(','));
  const value = parts.length === 1 ? `CAST(${parts[0]} AS TEXT)` : `(${parts.join(' || ')})`;
  const order = ctx.accept('ORDER', 'BY') ? ` ORDER BY ${ctx.grammar.orderItems(ctx)}` : '';
  let separator = ',';
  if (ctx.accept('SEPARATOR')) {
    if (ctx.token.kind !== 'string') throw ctx.unexpected('a string');
    separator = ctx.next().text;
  }
  ctx.expect(')');
  // SQLite's own knows no limit, and its DISTINCT takes a single argument.
  const name = distinct ? 'mysql_group_concat_distinct' : 'mysql_group_concat';
  const { value: limit } = ctx.session.systemVariable('group_concat_max_len', undefined);
  const max = ctx.bind(limit);
  return typed(`${name}(${value}, ${quoteText(separator)}, ${max}${order})`, STRING);
}

function spellExtract(ctx: SpellerContext): Spelled {
  const unit = ctx.next().key;
  if (!isIntervalUnit(unit)) {
    ctx.at -= 1;
    throw ctx.unexpected('a unit such as DAY');
  }
  ctx.expect('FROM');
  const value = ctx.grammar.expression(ctx);
  ctx.expect(')');
  return typed(`mysql_extract('${unit}', ${value.sql})`, BIGINT);
}

function spellTrim(ctx: SpellerContext): Spelled {
  const side = ctx.acceptAny(['BOTH', 'LEADING', 'TRAILING']) ?? 'BOTH';
  const unit = ctx.is('FROM') ? typed(`' '`, STRING) : ctx.grammar.expression(ctx);
  if (ctx.accept('FROM')) {
    const value = ctx.grammar.expression(ctx);
    ctx.expect(')');
    return typed(`mysql_trim(${value.sql}, ${unit.sql}, '${side}')`, STRING);
  }
  ctx.expect(')');
  return typed(`mysql_trim(${unit.sql})`, STRING);
}

function spellSubstring(ctx: SpellerContext): Spelled {
  const args = [ctx.grammar.expression(ctx)];
  if (ctx.acceptAny(['FROM', ',']) === undefined) throw wrongCount('SUBSTRING');
  args.push(ctx.grammar.expression(ctx));
  if (ctx.acceptAny(['FOR', ',']) !== undefined) args.push(ctx.grammar.expression(ctx));
  ctx.expect(')');
  return typed(`mysql_substring(${args.map((arg) => arg.sql).join(', ')})`, STRING);
}

/** Binds more strongly than IN, so that `POSITION(a IN b)` can be read. */
const ABOVE_IN = 6;

function spellPosition(ctx: SpellerContext): Spelled {
  const part = ctx.grammar.expression(ctx, ABOVE_IN);
  ctx.expect('IN');
  const value = ctx.grammar.expression(ctx);
  ctx.expect(')');
  return typed(`mysql_locate(${part.sql}, ${value.sql})`, BIGINT);
}

function spellDateFunction(ctx: SpellerContext, name: string): Spelled {
  const date = ctx.grammar.expression(ctx);
  ctx.expect(',');
  const days = !ctx.is('INTERVAL');
  if (days && !/^(ADD|SUB)DATE$/i.test(name)) throw ctx.unexpected("'INTERVAL'");
  const [amount, unit] = days
    ? ([ctx.grammar.expression(ctx), 'DAY'] as const)
    : spellInterval(ctx);
  ctx.expect(')');
  return spellDateAdd(date, amount, unit, /SUB/i.test(name) ? -1 : 1);
}

function timestampUnit(ctx: SpellerContext): string {
  const unit = ctx.next().key.replace(/^SQL_TSI_/, '');
  if (!isIntervalUnit(unit)) {
    ctx.at -= 1;
    throw ctx.unexpected('a unit such as DAY');
  }
  ctx.expect(',');
  return unit;
}

function spellTimestampAdd(ctx: SpellerContext): Spelled {
  const unit = timestampUnit(ctx);
  const amount = ctx.grammar.expression(ctx);
  ctx.expect(',');
  const date = ctx.grammar.expression(ctx);
  ctx.expect(')');
  return spellDateAdd(date, amount, unit, 1);
}

function spellTimestampDiff(ctx: SpellerContext): Spelled {
  const unit = timestampUnit(ctx);
  const args = spellArguments(ctx);
  if (args.length !== 2) throw wrongCount('TIMESTAMPDIFF');
  const list = args.map((arg) => arg.sql).join(', ');
  return typed(`mysql_timestampdiff('${unit}', ${list})`, BIGINT);
}

function spellUnixTimestamp(ctx: SpellerContext): Spelled {
  const [value, more] = spellArguments(ctx);
  if (more !== undefined) throw wrongCount('UNIX_TIMESTAMP');
  if (value === undefined) return typed(ctx.bind(unixTimestamp(ctx.nowMs).value), BIGINT);
  return typed(`mysql_unix_timestamp(${value.sql}, ${quoteText(ctx.session.timeZone)})`, BIGINT);
}

function spellFromUnixtime(ctx: SpellerContext): Spelled {
  const [value, pattern, more] = spellArguments(ctx);
  if (value === undefined || more !== undefined) throw wrongCount('FROM_UNIXTIME');
  const moment = `mysql_from_unixtime(${value.sql}, ${quoteText(ctx.session.timeZone)})`;
  if (pattern === undefined) return typed(moment, DATETIME);
  return typed(`mysql_date_format(${moment}, ${pattern.sql})`, STRING);
}

function spellChar(ctx: SpellerContext): Spelled {
  const codes: string[] = [];
  do codes.push(ctx.grammar.expression(ctx).sql);
  while (ctx.accept(','));
  if (ctx.accept('USING')) ctx.name();
  ctx.expect(')');
  return typed(`mysql_char(${codes.join(', ')})`, STRING);
}
