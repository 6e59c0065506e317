/** More of MySQL's functions in JavaScript: sums of times, regular expressions, JSON documents. */
import { SqlError } from '../../base/errors.ts';
import { formatDatetime, formatDuration, parseDuration, parseMoment } from './date_math.ts';
import { compileRegexp } from './patterns.ts';

type Value = null | number | bigint | string | Uint8Array;
type Args = readonly Value[];

const text = (value: Value | undefined): string =>
  ArrayBuffer.isView(value) ? Buffer.from(value).toString('utf8') : String(value ?? '');
const whole = (value: Value | undefined): number => Math.round(Number(text(value)) || 0);

/** NULL in, NULL out. */
const strict =
  (fn: (...args: Args) => Value) =>
  (...args: Args): Value =>
    args.includes(null) ? null : fn(...args);

/** A time or a moment, and a time to it. */
function addTime(value: Value, by: Value, sign: 1n | -1n): Value {
  const amount = parseDuration(text(by));
  if (amount === undefined) return null;
  const duration = parseDuration(text(value));
  if (duration !== undefined) return formatDuration(duration + sign * amount);
  const moment = parseMoment(text(value));
  return moment === undefined ? null : (formatDatetime(moment.micros + sign * amount) ?? null);
}

const HOURS_MAX = 838;

function makeTime(hour: Value, minute: Value, second: Value): Value {
  const [h, m, s] = [whole(hour), whole(minute), Number(text(second))];
  if (m < 0 || m > 59 || s < 0 || s >= 60) return null;
  const hours = Math.min(Math.abs(h), HOURS_MAX);
  const micros = BigInt(hours * 3600 + m * 60) * 1_000_000n + BigInt(Math.round(s * 1e6));
  return formatDuration(h < 0 ? -micros : micros);
}

/** From the year 0 to 1970, days. */
const EPOCH_DAYS = 719_528n;

/** Months since the year 0 of `YYYYMM` or `YYMM`. */
function months(period: Value): number {
  const value = whole(period);
  const year = Math.floor(value / 100);
  const full = year < 70 ? year + 2000 : year < 100 ? year + 1900 : year;
  return full * 12 + (value % 100) - 1;
}

const periodOf = (count: number): bigint => BigInt(Math.floor(count / 12) * 100 + (count % 12) + 1);

interface Found {
  readonly start: number;
  readonly end: number;
}

/** The occurrence asked for, from a place on, both counted from 1. */
function find(
  args: Args,
  position: Value | undefined,
  occurrence: Value | undefined,
): Found | null {
  const [value, pattern] = args;
  const from = Math.max(1, position === undefined ? 1 : whole(position)) - 1;
  const wanted = Math.max(1, occurrence === undefined ? 1 : whole(occurrence));
  const expression = new RegExp(compileRegexp(text(pattern)), 'giu');
  let count = 0;
  for (const match of text(value).slice(from).matchAll(expression)) {
    count += 1;
    if (count < wanted) continue;
    const start = from + match.index;
    return { start, end: start + match[0].length };
  }
  return null;
}

function regexpReplace(...args: Args): Value {
  const [value, pattern, replacement, position, occurrence] = args;
  const all = text(value);
  const wanted = occurrence === undefined ? 0 : whole(occurrence);
  if (wanted > 0) {
    const found = find(args, position, occurrence);
    if (found === null) return all;
    return `${all.slice(0, found.start)}${text(replacement)}${all.slice(found.end)}`;
  }
  const from = Math.max(1, position === undefined ? 1 : whole(position)) - 1;
  const expression = new RegExp(compileRegexp(text(pattern)), 'giu');
  return all.slice(0, from) + all.slice(from).replaceAll(expression, text(replacement));
}

/** Levels of a JSON document, as in MySQL. */
const JSON_DEPTH_MAX = 100;

/** Throws BAD_JSON, JSON_TOO_DEEP. */
function parseJson(value: Value | undefined): unknown {
  let document: unknown;
  try {
    document = JSON.parse(text(value)) as unknown;
  } catch (error) {
    throw new SqlError('BAD_JSON', {}, { cause: error });
  }
  expectShallow(document, 1);
  return document;
}

function expectShallow(value: unknown, level: number): void {
  if (typeof value !== 'object' || value === null) return;
  if (level > JSON_DEPTH_MAX) throw new SqlError('JSON_TOO_DEEP');
  for (const child of Object.values(value)) expectShallow(child, level + 1);
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function jsonType(value: unknown): string {
  if (value === null) return 'NULL';
  if (Array.isArray(value)) return 'ARRAY';
  if (typeof value === 'number') return Number.isInteger(value) ? 'INTEGER' : 'DOUBLE';
  return typeof value === 'object' ? 'OBJECT' : typeof value === 'string' ? 'STRING' : 'BOOLEAN';
}

/** As MySQL: an array has each of its elements, an object each of its members. */
function jsonContains(target: unknown, candidate: unknown): boolean {
  if (Array.isArray(target)) {
    const wanted: readonly unknown[] = Array.isArray(candidate) ? candidate : [candidate];
    return wanted.every((one) => target.some((element) => jsonContains(element, one)));
  }
  if (isObject(target) && isObject(candidate)) {
    return Object.entries(candidate).every(
      ([key, value]) => Object.hasOwn(target, key) && jsonContains(target[key], value),
    );
  }
  return !isObject(target) && !isObject(candidate) && target === candidate;
}

export const MORE_FUNCTIONS: Readonly<Record<string, (...args: Args) => Value>> = {
  addtime: strict((value = null, by = null) => addTime(value, by, 1n)),
  subtime: strict((value = null, by = null) => addTime(value, by, -1n)),
  maketime: strict((hour = null, minute = null, second = null) => makeTime(hour, minute, second)),
  to_seconds: strict((value) => {
    const moment = parseMoment(text(value));
    return moment === undefined ? null : moment.micros / 1_000_000n + EPOCH_DAYS * 86_400n;
  }),
  period_add: strict((period = null, count = null) => periodOf(months(period) + whole(count))),
  period_diff: strict((a = null, b = null) => BigInt(months(a) - months(b))),
  regexp_replace: strict(regexpReplace),
  regexp_substr: strict((...args) => {
    const found = find(args, args[2], args[3]);
    return found === null ? null : text(args[0]).slice(found.start, found.end);
  }),
  regexp_instr: strict((...args) => {
    const found = find(args, args[2], args[3]);
    return found === null ? 0n : BigInt(found.start + 1);
  }),
  json_keys: strict((value) => {
    const document = parseJson(value);
    return isObject(document) ? JSON.stringify(Object.keys(document)) : null;
  }),
  json_length: strict((value) => {
    const document = parseJson(value);
    if (Array.isArray(document)) return BigInt(document.length);
    return isObject(document) ? BigInt(Object.keys(document).length) : 1n;
  }),
  json_type: strict((value) => jsonType(parseJson(value))),
  json_contains: strict((target, candidate) =>
    jsonContains(parseJson(target), parseJson(candidate)) ? 1n : 0n,
  ),
  json_pretty: strict((value) => JSON.stringify(parseJson(value), undefined, 2)),
};
