/**
 * The function table: every function a SELECT may call, with its arguments' number, its spelling
 * for SQLite and its result type. What is not here is answered with 1305, so that none of SQLite's
 * own functions (load_extension, pragma_*, fts3_tokenizer ...) can be reached.
 */
import { plainText } from './exact_decimal.ts';
import {
  BIGINT,
  DATE,
  DATETIME,
  DOUBLE,
  STRING,
  TIME,
  averageType,
  commonType,
  decimal,
  isInteger,
  sumType,
  type Spelled,
  type StaticType,
} from './spelled.ts';

export interface FunctionSpec {
  readonly min: number;
  readonly max: number;
  readonly spell: (args: readonly Spelled[]) => string;
  readonly type: (args: readonly Spelled[]) => StaticType;
  /** May take long for a short statement: never on the main thread. */
  readonly heavy?: true;
  /** May stand over a group of rows. */
  readonly aggregate?: true;
  /** Only with OVER. */
  readonly window?: true;
}

const MANY = 200;
type TypeRule = StaticType | ((args: readonly Spelled[]) => StaticType);
const rule = (type: TypeRule): ((args: readonly Spelled[]) => StaticType) =>
  typeof type === 'function' ? type : () => type;
const list = (args: readonly Spelled[]): string => args.map((arg) => arg.sql).join(', ');
const first = (args: readonly Spelled[]): StaticType => args[0]?.type();
const common = (args: readonly Spelled[]): StaticType => commonType(args.map((arg) => arg.type()));

/** A function of SQLite under the same meaning. */
function native(name: string, min: number, max: number, type: TypeRule): FunctionSpec {
  return { min, max, type: rule(type), spell: (args) => `${name}(${list(args)})` };
}

/** One of `LIBRARY`. */
function own(name: string, min: number, max: number, type: TypeRule): FunctionSpec {
  return native(`mysql_${name}`, min, max, type);
}

function heavy(name: string, min: number, max: number, type: TypeRule): FunctionSpec {
  return { ...own(name, min, max, type), heavy: true };
}

function aggregate(name: string, type: TypeRule): FunctionSpec {
  return { ...native(name, 1, 1, type), aggregate: true };
}

function window(name: string, min: number, max: number, type: TypeRule): FunctionSpec {
  return { ...native(name, min, max, type), window: true };
}

function spelled(
  min: number,
  max: number,
  type: TypeRule,
  spell: (args: readonly Spelled[]) => string,
): FunctionSpec {
  return { min, max, type: rule(type), spell };
}

const at = (args: readonly Spelled[], index: number): string => args[index]?.sql ?? 'NULL';
/** `mysql_extract('unit', x)` behind YEAR(x), HOUR(x) ... */
const part = (unit: string): FunctionSpec =>
  spelled(1, 1, BIGINT, (args) => `mysql_extract('${unit}', ${at(args, 0)})`);
const MAX_ROUND_SCALE = 30;

function roundType(args: readonly Spelled[]): StaticType {
  const type = first(args);
  if (type === undefined || type.kind !== 'DECIMAL') return isInteger(type) ? BIGINT : type;
  const digits = args[1] === undefined ? 0 : args[1].literal;
  if (digits === undefined || digits === null) return DOUBLE;
  return decimal(Math.max(0, Math.min(Number(digits), type.scale, MAX_ROUND_SCALE)));
}

const upper = own('upper', 1, 1, STRING);
const lower = own('lower', 1, 1, STRING);
const substring = own('substring', 2, 3, STRING);
const charLength = spelled(1, 1, BIGINT, (args) => `length(CAST(${at(args, 0)} AS TEXT))`);
const byteLength = spelled(1, 1, BIGINT, (args) => `octet_length(CAST(${at(args, 0)} AS TEXT))`);
const ceil = own('ceil', 1, 1, BIGINT);
const power = native('pow', 2, 2, DOUBLE);
const sha1 = own('sha1', 1, 1, STRING);
const dayOfMonth = part('DAY');
const variance = (name: string): FunctionSpec => aggregate(`mysql_${name}`, DOUBLE);

// prettier-ignore
const FUNCTIONS: Readonly<Record<string, FunctionSpec>> = {
  // choice
  IF: spelled(3, 3, (args) => common(args.slice(1)), (args) => `iif(${list(args)})`),
  IFNULL: native('ifnull', 2, 2, common), NVL: native('ifnull', 2, 2, common),
  COALESCE: spelled(1, MANY, common, (args) => (args.length === 1 ? at(args, 0) : `coalesce(${list(args)})`)),
  NULLIF: native('nullif', 2, 2, first),
  ISNULL: spelled(1, 1, BIGINT, (args) => `(${at(args, 0)} IS NULL)`),
  GREATEST: native('max', 2, MANY, common), LEAST: native('min', 2, MANY, common),
  INTERVAL: spelled(2, MANY, BIGINT, (args) => `(CASE ${args.slice(1).map((arg, i) => `WHEN ${at(args, 0)} < ${arg.sql} THEN ${i}`).join(' ')} ELSE ${args.length - 1} END)`),
  ANY_VALUE: aggregate('max', first),

  // text
  CONCAT: spelled(1, MANY, STRING, (args) => (args.length === 1 ? `CAST(${args.map(plainText).join('')} AS TEXT)` : `(${args.map(plainText).join(' || ')})`)),
  CONCAT_WS: own('concat_ws', 2, MANY, STRING),
  UPPER: upper, UCASE: upper, LOWER: lower, LCASE: lower,
  SUBSTRING: substring, SUBSTR: substring, MID: substring,
  LEFT: own('left', 2, 2, STRING), RIGHT: own('right', 2, 2, STRING),
  LOCATE: own('locate', 2, 3, BIGINT), POSITION: own('locate', 2, 2, BIGINT),
  INSTR: spelled(2, 2, BIGINT, (args) => `mysql_locate(${at(args, 1)}, ${at(args, 0)})`),
  LTRIM: native('ltrim', 1, 1, STRING), RTRIM: native('rtrim', 1, 1, STRING), TRIM: own('trim', 1, 3, STRING),
  LPAD: heavy('lpad', 3, 3, STRING), RPAD: heavy('rpad', 3, 3, STRING),
  REPEAT: heavy('repeat', 2, 2, STRING), SPACE: heavy('space', 1, 1, STRING),
  REPLACE: { ...native('replace', 3, 3, STRING), heavy: true }, REVERSE: own('reverse', 1, 1, STRING),
  LENGTH: byteLength, OCTET_LENGTH: byteLength, CHAR_LENGTH: charLength, CHARACTER_LENGTH: charLength,
  BIT_LENGTH: spelled(1, 1, BIGINT, (args) => `(octet_length(CAST(${at(args, 0)} AS TEXT)) * 8)`),
  ASCII: own('ascii', 1, 1, BIGINT), ORD: own('ascii', 1, 1, BIGINT), CHAR: own('char', 1, MANY, STRING),
  HEX: own('hex', 1, 1, STRING), UNHEX: own('unhex', 1, 1, STRING), BIN: own('bin', 1, 1, STRING), OCT: own('oct', 1, 1, STRING),
  CONV: own('conv', 3, 3, STRING), MD5: own('md5', 1, 1, STRING), SHA: sha1, SHA1: sha1, SHA2: own('sha2', 2, 2, STRING),
  PASSWORD: own('password', 1, 1, STRING),
  TO_BASE64: own('to_base64', 1, 1, STRING), FROM_BASE64: own('from_base64', 1, 1, STRING), CRC32: own('crc32', 1, 1, BIGINT),
  FIELD: own('field', 2, MANY, BIGINT), ELT: own('elt', 2, MANY, STRING), FIND_IN_SET: own('find_in_set', 2, 2, BIGINT),
  INSERT: own('insert', 4, 4, STRING), STRCMP: own('strcmp', 2, 2, BIGINT), FORMAT: own('format', 2, 2, STRING),
  SUBSTRING_INDEX: own('substring_index', 3, 3, STRING), QUOTE: own('quote', 1, 1, STRING),
  REGEXP_LIKE: heavy('regexp', 2, 2, BIGINT), REGEXP_REPLACE: heavy('regexp_replace', 3, 5, STRING),
  REGEXP_SUBSTR: heavy('regexp_substr', 2, 4, STRING), REGEXP_INSTR: heavy('regexp_instr', 2, 4, BIGINT),
  JSON_KEYS: own('json_keys', 1, 1, STRING), JSON_LENGTH: own('json_length', 1, 1, BIGINT), JSON_TYPE: own('json_type', 1, 1, STRING),
  JSON_CONTAINS: own('json_contains', 2, 2, BIGINT), JSON_PRETTY: own('json_pretty', 1, 1, STRING), INET_ATON: own('inet_aton', 1, 1, BIGINT),
  JSON_VALID: native('json_valid', 1, 1, BIGINT), JSON_UNQUOTE: own('json_unquote', 1, 1, STRING),
  JSON_EXTRACT: spelled(2, 2, STRING, (args) => `(${at(args, 0)} -> ${at(args, 1)})`),

  // numbers
  ABS: native('abs', 1, 1, first), SIGN: native('sign', 1, 1, BIGINT),
  ROUND: own('round', 1, 2, roundType), TRUNCATE: own('truncate', 2, 2, roundType),
  FLOOR: own('floor', 1, 1, BIGINT), CEIL: ceil, CEILING: ceil,
  MOD: own('mod', 2, 2, common), POW: power, POWER: power, SQRT: native('sqrt', 1, 1, DOUBLE), EXP: native('exp', 1, 1, DOUBLE),
  LN: own('log', 1, 1, DOUBLE), LOG: own('log', 1, 2, DOUBLE), LOG2: native('log2', 1, 1, DOUBLE), LOG10: native('log10', 1, 1, DOUBLE),
  PI: native('pi', 0, 0, DOUBLE), SIN: native('sin', 1, 1, DOUBLE), COS: native('cos', 1, 1, DOUBLE), TAN: native('tan', 1, 1, DOUBLE),
  ASIN: native('asin', 1, 1, DOUBLE), ACOS: native('acos', 1, 1, DOUBLE), ATAN: native('atan', 1, 1, DOUBLE), ATAN2: native('atan2', 2, 2, DOUBLE),
  DEGREES: native('degrees', 1, 1, DOUBLE), RADIANS: native('radians', 1, 1, DOUBLE),
  UUID: spelled(0, 0, STRING, () => `lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89ab', 1 + (random() & 3), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))`),
  CHARSET: spelled(1, 1, STRING, () => `'utf8mb4'`), COLLATION: spelled(1, 1, STRING, () => `'utf8mb4_general_ci'`), COERCIBILITY: spelled(1, 1, BIGINT, () => '4'),
  CONVERT_TZ: own('convert_tz', 3, 3, DATETIME), JSON_OBJECT: { ...native('json_object', 0, MANY, STRING), heavy: true }, JSON_ARRAY: { ...native('json_array', 0, MANY, STRING), heavy: true },
  RAND: spelled(0, 1, DOUBLE, () => '((random() & 9007199254740991) / 9007199254740992.0)'),

  // dates; NOW() and its like are in session_functions.ts
  DATE: own('date', 1, 1, DATE),
  TIMESTAMP: spelled(1, 2, DATETIME, (args) => (args.length === 1 ? `mysql_datetime(${at(args, 0)})` : `mysql_addtime(mysql_datetime(${at(args, 0)}), ${at(args, 1)})`)),
  ADDTIME: own('addtime', 2, 2, undefined), SUBTIME: own('subtime', 2, 2, undefined), MAKETIME: own('maketime', 3, 3, TIME),
  TO_SECONDS: own('to_seconds', 1, 1, BIGINT), PERIOD_ADD: own('period_add', 2, 2, BIGINT), PERIOD_DIFF: own('period_diff', 2, 2, BIGINT),
  TIME: own('time', 1, 1, TIME),
  YEAR: part('YEAR'), QUARTER: part('QUARTER'), MONTH: part('MONTH'), DAY: dayOfMonth, DAYOFMONTH: dayOfMonth,
  HOUR: part('HOUR'), MINUTE: part('MINUTE'), SECOND: part('SECOND'), MICROSECOND: part('MICROSECOND'),
  DAYOFWEEK: part('DAYOFWEEK'), WEEKDAY: part('WEEKDAY'), DAYOFYEAR: part('DAYOFYEAR'),
  WEEK: own('week', 1, 2, BIGINT), YEARWEEK: own('yearweek', 1, 2, BIGINT),
  WEEKOFYEAR: spelled(1, 1, BIGINT, (args) => `mysql_week(${at(args, 0)}, 3)`),
  DAYNAME: own('dayname', 1, 1, STRING), MONTHNAME: own('monthname', 1, 1, STRING), LAST_DAY: own('last_day', 1, 1, DATE),
  DATE_FORMAT: own('date_format', 2, 2, STRING), TIME_FORMAT: own('date_format', 2, 2, STRING), STR_TO_DATE: own('str_to_date', 2, 2, STRING),
  DATEDIFF: own('datediff', 2, 2, BIGINT), TIMEDIFF: own('timediff', 2, 2, TIME),
  TO_DAYS: own('to_days', 1, 1, BIGINT), FROM_DAYS: own('from_days', 1, 1, DATE),
  SEC_TO_TIME: own('sec_to_time', 1, 1, TIME), TIME_TO_SEC: own('time_to_sec', 1, 1, BIGINT), MAKEDATE: own('makedate', 2, 2, DATE),
  SLEEP: heavy('sleep', 1, 1, BIGINT),

  // aggregates; COUNT and GROUP_CONCAT have a grammar of their own (call_speller.ts)
  SUM: aggregate('sum', (args) => sumType(first(args))), AVG: aggregate('avg', (args) => averageType(first(args))),
  MIN: aggregate('min', first), MAX: aggregate('max', first),
  STD: variance('stddev_pop'), STDDEV: variance('stddev_pop'), STDDEV_POP: variance('stddev_pop'), STDDEV_SAMP: variance('stddev_samp'),
  VARIANCE: variance('var_pop'), VAR_POP: variance('var_pop'), VAR_SAMP: variance('var_samp'),
  BIT_AND: aggregate('mysql_bit_and', BIGINT), BIT_OR: aggregate('mysql_bit_or', BIGINT), BIT_XOR: aggregate('mysql_bit_xor', BIGINT),
  JSON_ARRAYAGG: aggregate('json_group_array', STRING),

  // windows
  ROW_NUMBER: window('row_number', 0, 0, BIGINT), RANK: window('rank', 0, 0, BIGINT), DENSE_RANK: window('dense_rank', 0, 0, BIGINT),
  PERCENT_RANK: window('percent_rank', 0, 0, DOUBLE), CUME_DIST: window('cume_dist', 0, 0, DOUBLE), NTILE: window('ntile', 1, 1, BIGINT),
  LAG: window('lag', 1, 3, first), LEAD: window('lead', 1, 3, first),
  FIRST_VALUE: window('first_value', 1, 1, first), LAST_VALUE: window('last_value', 1, 1, first), NTH_VALUE: window('nth_value', 2, 2, first),
};

export function functionSpec(name: string): FunctionSpec | undefined {
  const key = name.toUpperCase();
  return Object.hasOwn(FUNCTIONS, key) ? FUNCTIONS[key] : undefined;
}
