/** Dates and times as MySQL's functions see them: text `YYYY-MM-DD[ HH:MM:SS[.ffffff]]`, no zone. */

/** Microseconds since the epoch, read as if the text were UTC. */
export type Micros = bigint;

const FORM =
  /^\s*(\d{4})-(\d{1,2})-(\d{1,2})(?:[ T](\d{1,2})(?::(\d{1,2})(?::(\d{1,2})(?:\.(\d{1,6})\d*)?)?)?)?\s*$/;
const SECOND = 1_000_000n;
const DAY = 86_400n * SECOND;

export interface Moment {
  readonly micros: Micros;
  /** Whether the text had a time of day. */
  readonly hasTime: boolean;
}

/** undefined: not a date MySQL would take. */
export function parseMoment(text: string): Moment | undefined {
  const match = FORM.exec(text) ?? compactForm(text);
  if (match === null) return undefined;
  const part = (index: number): number => Number(match[index] ?? 0);
  const [year, month, day] = [part(1), part(2), part(3)];
  const [hour, minute, second] = [part(4), part(5), part(6)];
  if (month < 1 || month > 12 || hour > 23 || minute > 59 || second > 59) return undefined;
  if (day < 1 || day > daysInMonth(year, month)) return undefined;
  const millis = BigInt(utcMillis(year, month, day, hour, minute, second));
  const fraction = BigInt((match[7] ?? '').padEnd(6, '0'));
  return { micros: millis * 1000n + fraction, hasTime: match[4] !== undefined };
}

/** `20240131` and `20240131235959`. */
function compactForm(text: string): RegExpExecArray | null {
  return /^(\d{4})(\d\d)(\d\d)(?:(\d\d)(\d\d)(\d\d))?$/.exec(text);
}

function utcMillis(
  year: number,
  month: number,
  day: number,
  hour = 0,
  minute = 0,
  second = 0,
): number {
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  date.setUTCHours(hour, minute, second, 0);
  return date.getTime();
}

export function daysInMonth(year: number, month: number): number {
  const date = new Date(0);
  date.setUTCFullYear(year, month, 0);
  return date.getUTCDate();
}

/** `YYYY-MM-DD HH:MM:SS`, with the fraction when there is one; undefined outside years 0..9999. */
export function formatDatetime(micros: Micros, digits?: number): string | undefined {
  const fraction = mod(micros, SECOND);
  const text = isoText(micros);
  if (text === undefined) return undefined;
  const base = `${text.slice(0, 10)} ${text.slice(11, 19)}`;
  if (digits === undefined ? fraction === 0n : digits === 0) return base;
  return `${base}.${String(fraction)
    .padStart(6, '0')
    .slice(0, digits ?? 6)}`;
}

export function formatDate(micros: Micros): string | undefined {
  return isoText(micros)?.slice(0, 10);
}

function isoText(micros: Micros): string | undefined {
  const date = new Date(Number((micros - mod(micros, 1000n)) / 1000n));
  const year = date.getUTCFullYear();
  return Number.isNaN(year) || year < 0 || year > 9999 ? undefined : date.toISOString();
}

function mod(value: bigint, by: bigint): bigint {
  return ((value % by) + by) % by;
}

const UNIT_MICROS: Readonly<Record<string, bigint>> = {
  MICROSECOND: 1n,
  SECOND,
  MINUTE: 60n * SECOND,
  HOUR: 3600n * SECOND,
  DAY,
  WEEK: 7n * DAY,
};
const UNIT_MONTHS: Readonly<Record<string, number>> = { MONTH: 1, QUARTER: 3, YEAR: 12 };
/** Units made of several numbers, by the units of their parts. */
const COMPOUND: Readonly<Record<string, readonly string[]>> = {
  SECOND_MICROSECOND: ['SECOND', 'MICROSECOND'],
  MINUTE_MICROSECOND: ['MINUTE', 'SECOND', 'MICROSECOND'],
  MINUTE_SECOND: ['MINUTE', 'SECOND'],
  HOUR_MICROSECOND: ['HOUR', 'MINUTE', 'SECOND', 'MICROSECOND'],
  HOUR_SECOND: ['HOUR', 'MINUTE', 'SECOND'],
  HOUR_MINUTE: ['HOUR', 'MINUTE'],
  DAY_MICROSECOND: ['DAY', 'HOUR', 'MINUTE', 'SECOND', 'MICROSECOND'],
  DAY_SECOND: ['DAY', 'HOUR', 'MINUTE', 'SECOND'],
  DAY_MINUTE: ['DAY', 'HOUR', 'MINUTE'],
  DAY_HOUR: ['DAY', 'HOUR'],
  YEAR_MONTH: ['YEAR', 'MONTH'],
};

export function isIntervalUnit(unit: string): boolean {
  return unit in UNIT_MICROS || unit in UNIT_MONTHS || unit in COMPOUND;
}

/** `text + amount unit`; keeps the form DATE when text has no time and the unit is days or more. */
export function addInterval(
  text: string,
  amount: string,
  unit: string,
  sign: 1 | -1,
): string | undefined {
  const moment = parseMoment(text);
  if (moment === undefined) return undefined;
  let { micros } = moment;
  let { hasTime } = moment;
  for (const [part, count] of intervalParts(amount, unit)) {
    const months = UNIT_MONTHS[part];
    if (months === undefined) {
      const size = UNIT_MICROS[part] ?? 0n;
      micros += BigInt(Math.round(count * sign * Number(size)));
      hasTime ||= size < DAY;
    } else {
      micros = addMonths(micros, Math.round(count) * sign * months);
    }
  }
  return hasTime ? formatDatetime(micros) : formatDate(micros);
}

function intervalParts(amount: string, unit: string): readonly (readonly [string, number])[] {
  const parts = COMPOUND[unit];
  if (parts === undefined) {
    const count = Number.parseFloat(amount);
    const whole = unit === 'SECOND' ? count : Math.round(count);
    return [[unit, Number.isFinite(whole) ? whole : 0]];
  }
  const negative = amount.trim().startsWith('-') ? -1 : 1;
  const numbers = amount.match(/\d+/g) ?? [];
  // As in MySQL, missing numbers are missing on the left.
  const shift = parts.length - numbers.length;
  return parts.map((part, at) => [part, negative * Number(numbers[at - shift] ?? 0)] as const);
}

function addMonths(micros: Micros, months: number): Micros {
  const time = mod(micros, DAY);
  const date = new Date(Number((micros - time) / 1000n));
  const index = date.getUTCFullYear() * 12 + date.getUTCMonth() + months;
  const [year, month] = [Math.floor(index / 12), (((index % 12) + 12) % 12) + 1];
  const day = Math.min(date.getUTCDate(), daysInMonth(year, month));
  return BigInt(utcMillis(year, month, day)) * 1000n + time;
}

/** `to - from` in whole units, as TIMESTAMPDIFF. */
export function differenceIn(unit: string, from: Micros, to: Micros): bigint {
  const size = UNIT_MICROS[unit];
  if (size !== undefined) return (to - from) / size;
  const step = UNIT_MONTHS[unit] ?? 1;
  const sign = to < from ? -1 : 1;
  const [low, high] = sign < 0 ? [to, from] : [from, to];
  const month = (value: Micros): number => {
    const date = new Date(Number(value / 1000n));
    return date.getUTCFullYear() * 12 + date.getUTCMonth();
  };
  // Days are compared as numbers: from the 31st to the 29th is no full month, whatever the month.
  const rest = (value: Micros): bigint =>
    BigInt(new Date(Number(value / 1000n)).getUTCDate()) * DAY + mod(value, DAY);
  const months = month(high) - month(low) - (rest(high) < rest(low) ? 1 : 0);
  return BigInt(sign * Math.trunc(months / step));
}

/** `[-]HHH:MM:SS[.ffffff]` as TIMEDIFF and SEC_TO_TIME print it. */
export function formatDuration(micros: bigint): string {
  const size = micros < 0n ? -micros : micros;
  const seconds = size / SECOND;
  const two = (value: bigint): string => String(value).padStart(2, '0');
  const fraction = size % SECOND;
  const tail = fraction === 0n ? '' : `.${String(fraction).padStart(6, '0')}`;
  const text = `${two(seconds / 3600n)}:${two((seconds / 60n) % 60n)}:${two(seconds % 60n)}${tail}`;
  return micros < 0n ? `-${text}` : text;
}

/** `HH:MM:SS` or a full date's time of day, in microseconds. */
export function parseDuration(text: string): bigint | undefined {
  const match = /^\s*(-)?(\d{1,3}):(\d\d)(?::(\d\d)(?:\.(\d{1,6}))?)?\s*$/.exec(text);
  if (match === null) return undefined;
  const seconds =
    BigInt(match[2] ?? 0) * 3600n + BigInt(match[3] ?? 0) * 60n + BigInt(match[4] ?? 0);
  const micros = seconds * SECOND + BigInt((match[5] ?? '').padEnd(6, '0'));
  return match[1] === undefined ? micros : -micros;
}

/** The number EXTRACT(unit FROM text), YEAR(), HOUR() ... give. */
export function extractPart(unit: string, moment: Moment): number | undefined {
  const date = new Date(Number((moment.micros - mod(moment.micros, 1000n)) / 1000n));
  switch (unit) {
    case 'YEAR':
      return date.getUTCFullYear();
    case 'QUARTER':
      return Math.floor(date.getUTCMonth() / 3) + 1;
    case 'MONTH':
      return date.getUTCMonth() + 1;
    case 'DAY':
      return date.getUTCDate();
    case 'HOUR':
      return date.getUTCHours();
    case 'MINUTE':
      return date.getUTCMinutes();
    case 'SECOND':
      return date.getUTCSeconds();
    case 'MICROSECOND':
      return Number(mod(moment.micros, SECOND));
    case 'DAYOFWEEK':
      return date.getUTCDay() + 1;
    case 'WEEKDAY':
      return (date.getUTCDay() + 6) % 7;
    case 'DAYOFYEAR':
      return dayOfYear(date);
    case 'WEEK':
      return weekOf(date, 0).week;
    case 'YEAR_MONTH':
      return date.getUTCFullYear() * 100 + date.getUTCMonth() + 1;
    default:
      return undefined;
  }
}

function dayOfYear(date: Date): number {
  const start = utcMillis(date.getUTCFullYear(), 1, 1);
  return Math.floor((date.getTime() - start) / 86_400_000) + 1;
}

/** MySQL's WEEK(date, mode), modes 0..7, with the year the week belongs to (YEARWEEK). */
export function weekOf(date: Date, mode: number): { readonly week: number; readonly year: number } {
  const mondayFirst = (mode & 1) !== 0;
  const zeroAllowed = (mode & 2) === 0;
  // MySQL flips "first weekday" for the modes that begin weeks on Sunday.
  const firstWeekday = ((mode & 4) !== 0) === mondayFirst;
  const weekday = (value: Date): number =>
    mondayFirst ? (value.getUTCDay() + 6) % 7 : value.getUTCDay();
  const year = date.getUTCFullYear();
  const weekOneStart = (of: number): number => {
    const first = new Date(utcMillis(of, 1, 1));
    const offset = weekday(first);
    const back = firstWeekday
      ? offset === 0
        ? 0
        : 7 - offset
      : offset <= 3
        ? -offset
        : 7 - offset;
    return first.getTime() + back * 86_400_000;
  };
  const day = utcMillis(year, date.getUTCMonth() + 1, date.getUTCDate());
  const weeks = (start: number): number => Math.floor((day - start) / 604_800_000) + 1;
  if (day < weekOneStart(year)) {
    return zeroAllowed
      ? { week: 0, year }
      : { week: weeks(weekOneStart(year - 1)), year: year - 1 };
  }
  if (!zeroAllowed && day >= weekOneStart(year + 1)) return { week: 1, year: year + 1 };
  return { week: weeks(weekOneStart(year)), year };
}

export const DAY_NAMES = [
  'Sunday',
  'Monday',
  'Tuesday',
  'Wednesday',
  'Thursday',
  'Friday',
  'Saturday',
] as const;
export const MONTH_NAMES = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
] as const;

/** DATE_FORMAT. */
export function formatPattern(moment: Moment, pattern: string): string {
  const date = new Date(Number((moment.micros - mod(moment.micros, 1000n)) / 1000n));
  const two = (value: number): string => String(value).padStart(2, '0');
  const hour12 = ((date.getUTCHours() + 11) % 12) + 1;
  const time = `${two(date.getUTCMinutes())}:${two(date.getUTCSeconds())}`;
  const half = date.getUTCHours() < 12 ? 'AM' : 'PM';
  const weekText = (mode: number): string => two(weekOf(date, mode).week);
  const yearText = (mode: number): string => String(weekOf(date, mode).year).padStart(4, '0');
  const fields: Readonly<Record<string, () => string>> = {
    Y: () => String(date.getUTCFullYear()).padStart(4, '0'),
    y: () => two(date.getUTCFullYear() % 100),
    m: () => two(date.getUTCMonth() + 1),
    c: () => String(date.getUTCMonth() + 1),
    M: () => MONTH_NAMES[date.getUTCMonth()] ?? '',
    b: () => (MONTH_NAMES[date.getUTCMonth()] ?? '').slice(0, 3),
    d: () => two(date.getUTCDate()),
    e: () => String(date.getUTCDate()),
    D: () => `${date.getUTCDate()}${ordinalSuffix(date.getUTCDate())}`,
    j: () => String(dayOfYear(date)).padStart(3, '0'),
    H: () => two(date.getUTCHours()),
    k: () => String(date.getUTCHours()),
    h: () => two(hour12),
    I: () => two(hour12),
    l: () => String(hour12),
    i: () => two(date.getUTCMinutes()),
    s: () => two(date.getUTCSeconds()),
    S: () => two(date.getUTCSeconds()),
    f: () => String(mod(moment.micros, SECOND)).padStart(6, '0'),
    p: () => half,
    r: () => `${two(hour12)}:${time} ${half}`,
    T: () => `${two(date.getUTCHours())}:${time}`,
    W: () => DAY_NAMES[date.getUTCDay()] ?? '',
    a: () => (DAY_NAMES[date.getUTCDay()] ?? '').slice(0, 3),
    w: () => String(date.getUTCDay()),
    U: () => weekText(0),
    u: () => weekText(1),
    V: () => weekText(2),
    v: () => weekText(3),
    X: () => yearText(2),
    x: () => yearText(3),
  };
  return pattern.replaceAll(/%(.)/g, (_, letter: string) => fields[letter]?.() ?? letter);
}

function ordinalSuffix(day: number): string {
  if (day >= 11 && day <= 13) return 'th';
  return ['th', 'st', 'nd', 'rd'][day % 10] ?? 'th';
}
