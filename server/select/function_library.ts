/**
 * MySQL functions that SQLite lacks or means differently, as JavaScript functions registered on a
 * connection under `mysql_<name>`. Integers are returned as bigint, since a number becomes REAL.
 */
import { Buffer } from 'node:buffer';
import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import {
  DAY_NAMES,
  MONTH_NAMES,
  addInterval,
  daysInMonth,
  differenceIn,
  extractPart,
  formatDate,
  formatDatetime,
  formatDuration,
  formatPattern,
  parseDuration,
  parseMoment,
  weekOf,
} from './date_math.ts';
import { parseByPattern } from './date_parse.ts';
import { decimalKey, decimalOfKey } from './exact_decimal.ts';
import { likeMatcher, regexpMatcher } from './patterns.ts';
import { MORE_FUNCTIONS } from './text_and_time_functions.ts';
import { toLocal, toUtc } from './time_zones.ts';
import { roundDecimal } from './value_storage.ts';

export type LibraryValue = null | number | bigint | string | Uint8Array;
type LibraryFunction = (...args: readonly LibraryValue[]) => LibraryValue;

/** Longest text a function may make, bytes: what MySQL calls max_allowed_packet (then NULL). */
export const FUNCTION_TEXT_MAX = 16 * 1024 * 1024;

export function text(value: LibraryValue | undefined): string {
  if (value === null || value === undefined) return '';
  if (typeof value === 'string') return value;
  return ArrayBuffer.isView(value) ? Buffer.from(value).toString('utf8') : String(value);
}

function number(value: LibraryValue | undefined): number {
  if (typeof value === 'number') return value;
  if (typeof value === 'bigint') return Number(value);
  const parsed = Number.parseFloat(text(value));
  return Number.isFinite(parsed) ? parsed : 0;
}

function whole(value: LibraryValue | undefined): number {
  return Math.round(number(value));
}

const int = (value: number): bigint => BigInt(Math.trunc(value));
const chars = (value: LibraryValue | undefined): string[] => Array.from(text(value));
const finite = (value: number): number | null => (Number.isFinite(value) ? value : null);

/** NULL in, NULL out. */
const strict =
  (fn: LibraryFunction): LibraryFunction =>
  (...args) =>
    args.includes(null) ? null : fn(...args);

function repeat(unit: string, count: number): string | null {
  if (count <= 0) return '';
  return unit.length * count > FUNCTION_TEXT_MAX ? null : unit.repeat(count);
}

function pad(
  value: LibraryValue,
  size: LibraryValue,
  fill: LibraryValue,
  left: boolean,
): LibraryValue {
  const [have, want, unit] = [chars(value), whole(size), text(fill)];
  if (want < 0 || want > FUNCTION_TEXT_MAX) return null;
  if (have.length >= want) return have.slice(0, want).join('');
  if (unit === '') return null;
  const missing = want - have.length;
  const filler = chars(unit.repeat(Math.ceil(missing / Array.from(unit).length)))
    .slice(0, missing)
    .join('');
  return left ? filler + have.join('') : have.join('') + filler;
}

function substring(value: LibraryValue, position: LibraryValue, length?: LibraryValue): string {
  const all = chars(value);
  const at = whole(position);
  const start = at > 0 ? at - 1 : at < 0 ? all.length + at : -1;
  if (start < 0 || start >= all.length) return '';
  const end = length === undefined ? all.length : start + Math.max(0, whole(length));
  return all.slice(start, end).join('');
}

function locate(part: LibraryValue, value: LibraryValue, from: LibraryValue = 1): bigint {
  const all = text(value).toLowerCase();
  return BigInt(all.indexOf(text(part).toLowerCase(), Math.max(0, whole(from) - 1)) + 1);
}

function trim(value: LibraryValue, unit: LibraryValue, side: LibraryValue): string {
  const result = text(value);
  const cut = text(unit);
  if (cut === '') return result;
  let [start, end] = [0, result.length];
  if (side !== 'TRAILING') {
    while (end - start >= cut.length && result.startsWith(cut, start)) start += cut.length;
  }
  if (side !== 'LEADING') {
    while (end - start >= cut.length && result.endsWith(cut, end)) end -= cut.length;
  }
  return result.slice(start, end);
}

function substringIndex(value: LibraryValue, mark: LibraryValue, count: LibraryValue): string {
  const delimiter = text(mark);
  const n = whole(count);
  if (delimiter === '' || n === 0) return '';
  const parts = text(value).split(delimiter);
  return (n > 0 ? parts.slice(0, n) : parts.slice(n)).join(delimiter);
}

function hash(algorithm: string): LibraryFunction {
  return strict((value) => createHash(algorithm).update(bytes(value)).digest('hex'));
}

/** PASSWORD() of MySQL 5.7: what mysql_native_password keeps. */
function nativePassword(password: Uint8Array): string {
  if (password.length === 0) return '';
  const once = createHash('sha1').update(password).digest();
  return `*${createHash('sha1').update(once).digest('hex').toUpperCase()}`;
}

function bytes(value: LibraryValue | undefined): Uint8Array {
  return ArrayBuffer.isView(value) ? value : Buffer.from(text(value), 'utf8');
}

function round(value: LibraryValue, digits: LibraryValue, towardsZero: boolean): LibraryValue {
  const places = Math.max(-30, Math.min(30, whole(digits)));
  if (typeof value === 'bigint' && places >= 0) return value;
  const scaled = Number(`${number(value)}e${places}`);
  const size = Math.abs(Number.isFinite(scaled) ? scaled : number(value) * 10 ** places);
  const rounded = towardsZero ? Math.floor(size) : Math.round(size);
  const result = Number(`${rounded}e${-places}`) * Math.sign(number(value));
  return typeof value === 'bigint' ? int(result) : result + 0;
}

function groupThousands(value: LibraryValue, digits: LibraryValue): string {
  const places = Math.max(0, Math.min(30, whole(digits)));
  const fixed = Math.abs(number(round(value, places, false))).toFixed(places);
  const [integer = '', fraction] = fixed.split('.');
  const grouped = integer.replaceAll(/\B(?=(\d{3})+$)/g, ',');
  const sign = number(value) < 0 ? '-' : '';
  return sign + (fraction === undefined ? grouped : `${grouped}.${fraction}`);
}

function convertBase(value: LibraryValue, from: LibraryValue, to: LibraryValue): LibraryValue {
  const [base, target] = [whole(from), Math.abs(whole(to))];
  if (base < 2 || base > 36 || target < 2 || target > 36) return null;
  let result = 0n;
  const digits = text(value).trim().toLowerCase().replace(/^-/, '');
  for (const digit of digits) {
    const worth = Number.parseInt(digit, 36);
    if (Number.isNaN(worth) || worth >= base) break;
    result = result * BigInt(base) + BigInt(worth);
  }
  return BigInt.asUintN(64, result).toString(target).toUpperCase();
}

const moment = (
  fn: (
    moment: { readonly micros: bigint; readonly hasTime: boolean },
    ...rest: LibraryValue[]
  ) => LibraryValue,
): LibraryFunction =>
  strict((value, ...rest) => {
    const parsed = parseMoment(text(value));
    return parsed === undefined ? null : fn(parsed, ...rest);
  });

const DAY_MICROS = 86_400_000_000n;
/** TO_DAYS('1970-01-01'). */
const EPOCH_DAYS = 719_528n;
const dayNumber = (micros: bigint): bigint =>
  (micros - (((micros % DAY_MICROS) + DAY_MICROS) % DAY_MICROS)) / DAY_MICROS;
const dateOf = (micros: bigint): Date => new Date(Number(micros / 1000n));

function timeDifference(left: LibraryValue, right: LibraryValue): LibraryValue {
  const [a, b] = [timeValue(left), timeValue(right)];
  return a === undefined || b === undefined ? null : formatDuration(a - b);
}

function timeValue(value: LibraryValue): bigint | undefined {
  return parseDuration(text(value)) ?? parseMoment(text(value))?.micros;
}

/** All of them take any number of arguments; the speller has checked how many. */
// prettier-ignore
export const LIBRARY: Readonly<Record<string, LibraryFunction>> = {
  ...MORE_FUNCTIONS,
  upper: strict((value) => text(value).toUpperCase()),
  lower: strict((value) => text(value).toLowerCase()),
  concat_ws: (separator = null, ...rest) =>
    separator === null ? null : rest.filter((value) => value !== null).map(text).join(text(separator)),
  substring: strict((value = null, position = null, length?) => substring(value, position, length)),
  left: strict((value, count) => chars(value).slice(0, Math.max(0, whole(count))).join('')),
  right: strict((value, count) => (whole(count) <= 0 ? '' : chars(value).slice(-whole(count)).join(''))),
  locate: strict((part = null, value = null, from = 1) => locate(part, value, from)),
  lpad: strict((value = null, size = null, fill = ' ') => pad(value, size, fill, true)),
  rpad: strict((value = null, size = null, fill = ' ') => pad(value, size, fill, false)),
  repeat: strict((value, count) => repeat(text(value), whole(count))),
  space: strict((count) => repeat(' ', whole(count))),
  reverse: strict((value) => chars(value).toReversed().join('')),
  trim: strict((value = null, unit = ' ', side = 'BOTH') => trim(value, unit, side)),
  ascii: strict((value) => BigInt(bytes(value)[0] ?? 0)),
  char: (...codes) => Buffer.from(codes.filter((code) => code !== null).map((code) => whole(code) & 255)).toString('utf8'),
  hex: strict((value) => typeof value === 'number' || typeof value === 'bigint'
    ? BigInt.asUintN(64, BigInt(whole(value))).toString(16).toUpperCase()
    : Buffer.from(bytes(value)).toString('hex').toUpperCase()),
  unhex: strict((value) => /^([0-9a-f]{2})*$/i.test(text(value)) ? Buffer.from(text(value), 'hex').toString('utf8') : null),
  bin: strict((value) => BigInt.asUintN(64, BigInt(whole(value))).toString(2)),
  oct: strict((value) => BigInt.asUintN(64, BigInt(whole(value))).toString(8)),
  conv: strict((value = null, from = null, to = null) => convertBase(value, from, to)),
  md5: hash('md5'),
  sha1: hash('sha1'),
  password: strict((value) => nativePassword(bytes(value))),
  sha2: strict((value, bits) => {
    const size = whole(bits) === 0 ? 256 : whole(bits);
    return [224, 256, 384, 512].includes(size) ? createHash(`sha${size}`).update(bytes(value)).digest('hex') : null;
  }),
  to_base64: strict((value) => Buffer.from(bytes(value)).toString('base64')),
  from_base64: strict((value) => Buffer.from(text(value), 'base64').toString('utf8')),
  field: (wanted = null, ...rest) =>
    wanted === null ? 0n : BigInt(rest.findIndex((value) => value !== null && sameValue(wanted, value)) + 1),
  elt: (position = null, ...rest) => (position === null ? null : (rest[whole(position) - 1] ?? null)),
  find_in_set: strict((value, list) => text(list) === '' ? 0n : BigInt(text(list).split(',').indexOf(text(value)) + 1)),
  insert: strict((value, position, length, other) => {
    const [all, at] = [chars(value), whole(position)];
    if (at < 1 || at > all.length) return text(value);
    const size = whole(length) < 0 ? all.length : whole(length);
    return [...all.slice(0, at - 1), text(other), ...all.slice(at - 1 + size)].join('');
  }),
  strcmp: strict((a, b) => (text(a) === text(b) ? 0n : text(a) < text(b) ? -1n : 1n)),
  format: strict((value = null, digits = null) => groupThousands(value, digits)),
  substring_index: strict((value = null, mark = null, count = null) => substringIndex(value, mark, count)),
  quote: (value = null) => value === null ? 'NULL' : `'${text(value).replaceAll(/['\\]/g, String.raw`\$&`).replaceAll('\0', String.raw`\0`)}'`,
  round: strict((value = null, digits = 0) => round(value, digits, false)),
  truncate: strict((value = null, digits = 0) => round(value, digits, true)),
  floor: strict((value = null) => (typeof value === 'bigint' ? value : int(Math.floor(number(value))))),
  ceil: strict((value = null) => (typeof value === 'bigint' ? value : int(Math.ceil(number(value))))),
  mod: strict((a, b) => typeof a === 'bigint' && typeof b === 'bigint'
    ? (b === 0n ? null : a % b)
    : finite(number(a) % number(b))),
  div: strict((a, b) => typeof a === 'bigint' && typeof b === 'bigint'
    ? (b === 0n ? null : a / b)
    : (number(b) === 0 ? null : int(number(a) / number(b)))),
  decimal_number: strict((key = null) => typeof key === 'string' ? Number(decimalOfKey(key, 0) ?? 0) : key),
  largeint_number: strict((key = null) => typeof key === 'string' ? int64OrText(decimalOfKey(key, 0) ?? '0') : key),
  decimal_text: strict((key, scale) => decimalOfKey(text(key), whole(scale)) ?? null),
  decimal_key: strict((value, scale) =>
    decimalKey(typeof value === 'number' ? roundDecimal(value, whole(scale)) : text(value)) ?? null),
  log: strict((a, b) => finite(b === undefined ? Math.log(number(a)) : Math.log(number(b)) / Math.log(number(a)))),
  crc32: strict((value) => BigInt(crc32(bytes(value)))),
  xor: strict((a, b) => ((number(a) !== 0) === (number(b) !== 0) ? 0n : 1n)),
  bitxor: strict((a, b) => BigInt.asIntN(64, BigInt(whole(a)) ^ BigInt(whole(b)))),
  like: strict((value, pattern, escape) => (likeMatcher(text(pattern), text(escape))(text(value)) ? 1n : 0n)),
  regexp: strict((value, pattern) => (regexpMatcher(text(pattern))(text(value)) ? 1n : 0n)),
  inet_aton: strict((value) => ipv4(text(value))),
  json_unquote: strict((value) => jsonUnquote(text(value))),

  date: moment(({ micros }) => formatDate(micros) ?? null),
  datetime: moment(({ micros }, digits = 0) => formatDatetime(micros, whole(digits)) ?? null),
  time: strict((value) => {
    const duration = parseDuration(text(value)) ?? parseMoment(text(value))?.micros;
    return duration === undefined ? null : formatDuration(parseDuration(text(value)) ?? (((duration % DAY_MICROS) + DAY_MICROS) % DAY_MICROS));
  }),
  extract: strict((unit, value) => {
    const parsed = parseMoment(text(value)) ?? durationMoment(text(value));
    const part = parsed === undefined ? undefined : extractPart(text(unit), parsed);
    return part === undefined ? null : BigInt(part);
  }),
  date_format: moment((value, pattern = null) => formatPattern(value, text(pattern))),
  str_to_date: strict((value, pattern) => parseByPattern(text(value), text(pattern)) ?? null),
  date_add: strict((value, amount, unit, sign) => addInterval(text(value), text(amount), text(unit), sign === 1n || sign === 1 ? 1 : -1) ?? null),
  convert_tz: strict((value, from, to) => convertZone(text(value), text(from), text(to))),
  datediff: strict((a, b) => {
    const [left, right] = [parseMoment(text(a)), parseMoment(text(b))];
    return left === undefined || right === undefined ? null : dayNumber(left.micros) - dayNumber(right.micros);
  }),
  timediff: strict((a = null, b = null) => timeDifference(a, b)),
  timestampdiff: strict((unit, a, b) => {
    const [from, to] = [parseMoment(text(a)), parseMoment(text(b))];
    return from === undefined || to === undefined ? null : differenceIn(text(unit), from.micros, to.micros);
  }),
  unix_timestamp: strict((value, zone) => {
    const parsed = parseMoment(text(value));
    const utc = parsed === undefined ? undefined : toUtc(text(zone), parsed.micros);
    return utc === undefined ? null : utc / 1_000_000n;
  }),
  from_unixtime: strict((value, zone) => {
    const local = toLocal(text(zone), BigInt(Math.round(number(value) * 1e6)));
    return local === undefined ? null : (formatDatetime(local) ?? null);
  }),
  divisor: (value = null) => divisor(value),
  assign: (name = null, value = null) => {
    userVariables.set(text(name), value);
    return value;
  },
  variable: (name = null) => userVariables.get(text(name)) ?? null,
  dayname: moment(({ micros }) => DAY_NAMES[dateOf(micros).getUTCDay()] ?? null),
  monthname: moment(({ micros }) => MONTH_NAMES[dateOf(micros).getUTCMonth()] ?? null),
  last_day: moment(({ micros }) => {
    const date = dateOf(micros);
    date.setUTCDate(daysInMonth(date.getUTCFullYear(), date.getUTCMonth() + 1));
    return formatDate(BigInt(date.getTime()) * 1000n) ?? null;
  }),
  week: moment(({ micros }, mode = 0) => BigInt(weekOf(dateOf(micros), whole(mode)).week)),
  yearweek: moment(({ micros }, mode = 0) => {
    const { year, week } = weekOf(dateOf(micros), whole(mode) | 2);
    return BigInt(year * 100 + week);
  }),
  to_days: moment(({ micros }) => dayNumber(micros) + EPOCH_DAYS),
  from_days: strict((days) => formatDate((BigInt(whole(days)) - EPOCH_DAYS) * DAY_MICROS) ?? null),
  sec_to_time: strict((seconds) => formatDuration(BigInt(Math.round(number(seconds) * 1e6)))),
  time_to_sec: strict((value) => {
    const micros = timeValue(value ?? null);
    return micros === undefined ? null : (micros % DAY_MICROS) / 1_000_000n;
  }),
  makedate: strict((year, day) => whole(day) < 1 ? null : formatDate(BigInt(Date.UTC(whole(year), 0, whole(day))) * 1000n) ?? null),
  one_row: (count = null) => {
    if (number(count) > 1) throw new RangeError(TOO_MANY_ROWS);
    return 1n;
  },
  sleep: (seconds = null) => {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Math.max(0, number(seconds)) * 1000);
    return 0n;
  },
};

/** Of a query that stands where one value is meant; sqlite_errors.ts knows the text. */
const TOO_MANY_ROWS = 'more rows than one where one value is meant';

function sameValue(a: LibraryValue, b: LibraryValue): boolean {
  const numeric = (value: LibraryValue): boolean =>
    typeof value === 'number' || typeof value === 'bigint';
  return numeric(a) && numeric(b) ? number(a) === number(b) : text(a) === text(b);
}

function int64OrText(digits: string): bigint | string {
  const value = BigInt(digits);
  return BigInt.asIntN(64, value) === value ? value : digits;
}

function durationMoment(
  value: string,
): { readonly micros: bigint; readonly hasTime: boolean } | undefined {
  const micros = parseDuration(value);
  return micros === undefined
    ? undefined
    : { micros: micros < 0n ? -micros : micros, hasTime: true };
}

function ipv4(value: string): bigint | null {
  const parts = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(value)?.slice(1).map(Number);
  if (parts === undefined || parts.some((part) => part > 255)) return null;
  return BigInt(parts.reduce((sum, part) => sum * 256 + part, 0));
}

function jsonUnquote(value: string): string {
  if (!value.startsWith('"') || !value.endsWith('"') || value.length < 2) return value;
  try {
    return String(JSON.parse(value));
  } catch {
    return value;
  }
}

/** CONVERT_TZ: NULL for a zone that is unknown. */
function convertZone(value: string, from: string, to: string): string | null {
  const moment = parseMoment(value);
  const utc = moment === undefined ? undefined : toUtc(from, moment.micros);
  const local = utc === undefined ? undefined : toLocal(to, utc);
  return local === undefined ? null : (formatDatetime(local) ?? null);
}

/** User variables that the running statement assigns to. */
let userVariables = new Map<string, LibraryValue>();

/** Before the first row. Whole numbers stay such. */
export function beginVariables(values: ReadonlyMap<string, LibraryValue>): void {
  userVariables = new Map(
    Array.from(values, ([name, value]) => [
      name,
      typeof value === 'number' && Number.isInteger(value) ? BigInt(value) : value,
    ]),
  );
}

/** After the last row. */
export function variablesNow(): ReadonlyMap<string, Exclude<LibraryValue, Uint8Array>> {
  return new Map(
    Array.from(userVariables, ([name, value]) => [
      name,
      ArrayBuffer.isView(value) ? text(value) : value,
    ]),
  );
}

/** What a statement is warned of, by count. */
export interface Counted {
  readonly zeroDivisions: number;
  /** Results of GROUP_CONCAT that were too long. */
  readonly cutGroups: number;
}

let zeroDivisions = 0;
let cutGroups = 0;

export function noteCutGroup(): void {
  cutGroups += 1;
}

/** Since they were asked for last. */
export function takeCounted(): Counted {
  const counted = { zeroDivisions, cutGroups };
  zeroDivisions = 0;
  cutGroups = 0;
  return counted;
}

/** A divisor: zero counts, and becomes NULL, as the result of the division does. */
function divisor(value: LibraryValue): LibraryValue {
  if (value !== null && number(value) === 0) {
    zeroDivisions += 1;
    return null;
  }
  return value;
}
