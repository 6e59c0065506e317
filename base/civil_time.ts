/**
 * Calendar arithmetic without `Date` and time zones: days and microseconds since 1970-01-01 on the
 * proleptic Gregorian calendar, for the years 0000 to 9999 that DATE and DATETIME hold.
 */

const DAY_SECONDS = 86_400;
const MICROS = 1_000_000;
const DAYS_IN_MONTH = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] as const;

/** 0000-01-01 and 9999-12-31 as days since 1970-01-01. */
export const DAY_MIN = -719_528;
export const DAY_MAX = 2_932_896;

/** A moment without time zone: whole seconds since 1970-01-01 00:00:00, and 0..999,999 beyond. */
export interface CivilTime {
  readonly seconds: number;
  readonly micros: number;
}

function isLeapYear(year: number): boolean {
  return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
}

/** Whether there is such a day; year 0..9999. */
function isRealDate(year: number, month: number, day: number): boolean {
  const inside = year >= 0 && year <= 9999 && month >= 1 && month <= 12 && day >= 1;
  if (!inside) return false;
  const days = DAYS_IN_MONTH[month - 1] ?? 0;
  return day <= (month === 2 && isLeapYear(year) ? 29 : days);
}

/** Days since 1970-01-01 (Howard Hinnant's days_from_civil). */
export function daysOf(year: number, month: number, day: number): number {
  const y = month <= 2 ? year - 1 : year;
  const era = Math.floor(y / 400);
  const yearOfEra = y - era * 400;
  const dayOfYear = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1;
  const leaps = Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100);
  return era * 146_097 + yearOfEra * 365 + leaps + dayOfYear + DAY_MIN + 60;
}

/** `YYYY-MM-DD` of a day number DAY_MIN..DAY_MAX; undefined outside. */
export function dayText(days: number): string | undefined {
  if (!Number.isInteger(days) || days < DAY_MIN || days > DAY_MAX) return undefined;
  const z = days - DAY_MIN - 60;
  const era = Math.floor(z / 146_097);
  const dayOfEra = z - era * 146_097;
  const yearOfEra = Math.floor(
    (dayOfEra -
      Math.floor(dayOfEra / 1460) +
      Math.floor(dayOfEra / 36_524) -
      Math.floor(dayOfEra / 146_096)) /
      365,
  );
  const leaps = Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100);
  const dayOfYear = dayOfEra - (365 * yearOfEra + leaps);
  const shifted = Math.floor((5 * dayOfYear + 2) / 153);
  const day = dayOfYear - Math.floor((153 * shifted + 2) / 5) + 1;
  const month = shifted < 10 ? shifted + 3 : shifted - 9;
  const year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0);
  return `${pad(year, 4)}-${two(month)}-${two(day)}`;
}

/** `YYYY-MM-DD HH:MM:SS[.f{precision}]`; undefined outside the years 0000..9999. */
export function civilText(time: CivilTime, precision: number): string | undefined {
  const days = Math.floor(time.seconds / DAY_SECONDS);
  const date = dayText(days);
  if (date === undefined) return undefined;
  const rest = time.seconds - days * DAY_SECONDS;
  const hour = Math.floor(rest / 3600);
  const minute = Math.floor(rest / 60) % 60;
  const text = `${date} ${two(hour)}:${two(minute)}:${two(rest % 60)}`;
  return precision === 0 ? text : `${text}.${pad(time.micros, 6).slice(0, precision)}`;
}

/** Of microseconds since 1970-01-01, how Parquet's TIMESTAMP(MICROS) has them. */
export function civilOfMicros(micros: bigint): CivilTime {
  const seconds = Number(micros / 1_000_000n);
  const rest = Number(micros % 1_000_000n);
  return rest < 0 ? { seconds: seconds - 1, micros: rest + MICROS } : { seconds, micros: rest };
}

/** The clock's milliseconds since the epoch as civil time in UTC. */
export function civilOfMillis(ms: number): CivilTime {
  const seconds = Math.floor(ms / 1000);
  return { seconds, micros: Math.floor(ms - seconds * 1000) * 1000 };
}

/** Rounds half up to `precision` fraction digits, as MySQL does when it stores a DATETIME(p). */
export function roundCivil(time: CivilTime, precision: number): CivilTime {
  const unit = 10 ** (6 - precision);
  const micros = Math.floor((time.micros + unit / 2) / unit) * unit;
  return micros >= MICROS
    ? { seconds: time.seconds + 1, micros: micros - MICROS }
    : { seconds: time.seconds, micros };
}

const DELIMITED =
  /^(\d{4}|\d{2})[-/.](\d{1,2})[-/.](\d{1,2})(?:[T ]+(\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:\.(\d{0,9}))?)?)?(Z|[+-]\d{2}:\d{2})?$/i;
const COMPACT = /^(\d{4}|\d{2})(\d{2})(\d{2})(?:T?(\d{2})(\d{2})(\d{2})(?:\.(\d{0,9}))?)?$/i;

/**
 * Reads the forms MySQL takes: `2024-1-5`, `20240105`, `240105`, `2024/01/05 1:02`,
 * `2024-01-05T10:11:12.5Z`, with `Z` or `+hh:mm` moved to UTC. A fraction is cut after 7 digits
 * (the seventh rounds). undefined when it is none of them, or no real day or time.
 */
export function parseCivil(text: string): CivilTime | undefined {
  return parseCanonical(text) ?? parseLoose(text);
}

/** `YYYY-MM-DD` or `YYYY-MM-DD HH:MM:SS[.ffffff]`, the forms of nearly all data, four times as fast. */
function parseCanonical(text: string): CivilTime | undefined {
  const { length } = text;
  if (length !== 10 && length !== 19 && length !== 26) return undefined;
  if (text[4] !== '-' || text[7] !== '-') return undefined;
  const year = digits(text, 0, 4);
  const month = digits(text, 5, 7);
  const day = digits(text, 8, 10);
  if (!isRealDate(year, month, day)) return undefined;
  const seconds = daysOf(year, month, day) * DAY_SECONDS;
  if (length === 10) return { seconds, micros: 0 };
  if (text[10] !== ' ' || text[13] !== ':' || text[16] !== ':') return undefined;
  const hour = digits(text, 11, 13);
  const minute = digits(text, 14, 16);
  const second = digits(text, 17, 19);
  const micros = length === 19 ? 0 : text[19] === '.' ? digits(text, 20, 26) : NaN;
  const real = hour < 24 && minute < 60 && second < 60 && micros >= 0;
  return real ? { seconds: seconds + hour * 3600 + minute * 60 + second, micros } : undefined;
}

/** NaN when one of the characters is no digit. */
function digits(text: string, start: number, end: number): number {
  let value = 0;
  for (let i = start; i < end; i += 1) {
    const digit = text.charCodeAt(i) - 0x30;
    if (!(digit >= 0 && digit <= 9)) return NaN;
    value = value * 10 + digit;
  }
  return value;
}

function parseLoose(text: string): CivilTime | undefined {
  const trimmed = text.trim();
  const match = DELIMITED.exec(trimmed) ?? COMPACT.exec(trimmed);
  if (match === null) return undefined;
  const [, yearText = '', monthText, dayOfMonth, hourText, minuteText, secondText, fraction, zone] =
    match;
  const shortYear = Number(yearText);
  const year = yearText.length === 4 ? shortYear : shortYear + (shortYear < 70 ? 2000 : 1900);
  const [month, day] = [Number(monthText), Number(dayOfMonth)];
  const [hour, minute] = [Number(hourText ?? 0), Number(minuteText ?? 0)];
  const second = Number(secondText ?? 0);
  if (!isRealDate(year, month, day) || hour > 23 || minute > 59 || second > 59) return undefined;
  if (zone !== undefined && hourText === undefined) return undefined;
  const offset = zoneSeconds(zone);
  if (offset === undefined) return undefined;
  const seconds = daysOf(year, month, day) * DAY_SECONDS + hour * 3600 + minute * 60 + second;
  const digits = (fraction ?? '').padEnd(7, '0');
  const micros = Number(digits.slice(0, 6)) + (digits.charCodeAt(6) >= 0x35 ? 1 : 0);
  return micros === MICROS
    ? { seconds: seconds - offset + 1, micros: 0 }
    : { seconds: seconds - offset, micros };
}

/** Seconds east of UTC; MySQL allows -14:00..+14:00. */
function zoneSeconds(zone: string | undefined): number | undefined {
  if (zone === undefined || zone === 'Z' || zone === 'z') return 0;
  const [hours, minutes] = [Number(zone.slice(1, 3)), Number(zone.slice(4, 6))];
  if (minutes > 59 || hours * 60 + minutes > 14 * 60) return undefined;
  return (zone.startsWith('-') ? -1 : 1) * (hours * 3600 + minutes * 60);
}

function two(value: number): string {
  return value < 10 ? `0${value}` : String(value);
}

function pad(value: number, width: number): string {
  return String(value).padStart(width, '0');
}
