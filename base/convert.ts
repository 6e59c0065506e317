/**
 * Conversion of a value as it came (a literal of INSERT, CSV text, a JSON or Parquet value) to the
 * canonical form of its column (base/values.ts), strict as MySQL's STRICT_ALL_TABLES: what does
 * not fit is an error that names column and row, never a changed value. Fractions of exact numbers
 * are rounded half away from zero to the column's scale, as MySQL does even in strict mode.
 */
import { civilOfMillis, civilText, dayText, parseCivil, roundCivil } from './civil_time.ts';
import { type ErrorName, SqlError } from './errors.ts';
import type { Clock } from './ports.ts';
import type { ColumnDef } from './schema.ts';
import type { SqlValue } from './values.ts';

/** What may come in: canonical values of any type, and JSON's and Parquet's booleans. */
export type InputValue = SqlValue | boolean;

/** `row` is 1-based and only used in messages. Throws SqlError. */
export type Converter = (value: InputValue, row: number) => SqlValue;

/** Longest STRING or JSON value, characters (Doris: string_type_length_soft_limit_bytes). */
const STRING_LENGTH_MAX = 1_048_576;

/** Characters of a bad value that an error quotes. */
const QUOTED_VALUE_MAX = 80;

/** Digits of the longest number read as text; a longer exponent cannot fit any column. */
const EXPONENT_MAX = 400;

type Present = Exclude<InputValue, null>;

/** Builds the converter of a column once; use it for every row. */
export function makeConverter(column: ColumnDef): Converter {
  const convert = presentConverter(column);
  return (value, row) => {
    if (value !== null) return convert(value, row);
    if (column.nullable) return null;
    throw new SqlError('BAD_NULL', { column: column.name }, { hint: `row ${row}` });
  };
}

/** One value; for many of a column take `makeConverter`. */
export function convertValue(value: InputValue, column: ColumnDef, row: number): SqlValue {
  return makeConverter(column)(value, row);
}

/** What a column gets when a row does not name it; throws NO_DEFAULT. */
export function defaultValue(column: ColumnDef, clock: Pick<Clock, 'now'>): SqlValue {
  const given = column.defaultValue;
  if (given === undefined || given === null) {
    if (column.nullable) return null;
    throw new SqlError('NO_DEFAULT', { column: column.name });
  }
  if (typeof given !== 'object') return convertValue(given, column, 1);
  const text = civilText(civilOfMillis(clock.now()), 6);
  return convertValue(text ?? null, column, 1);
}

/** The value as an error quotes it. */
export function quoteValue(value: InputValue): string {
  const text = String(value);
  return text.length <= QUOTED_VALUE_MAX ? text : `${text.slice(0, QUOTED_VALUE_MAX)}...`;
}

function presentConverter(column: ColumnDef): (value: Present, row: number) => SqlValue {
  const { type } = column;
  switch (type.kind) {
    case 'BOOLEAN':
      return booleanConverter(column);
    case 'TINYINT':
      return intConverter(column, -128, 127);
    case 'SMALLINT':
      return intConverter(column, -32_768, 32_767);
    case 'INT':
      return intConverter(column, -2_147_483_648, 2_147_483_647);
    case 'BIGINT':
      return bigintConverter(column, 63n);
    case 'LARGEINT':
      return bigintConverter(column, 127n);
    case 'FLOAT':
    case 'DOUBLE':
      return floatConverter(column, type.kind === 'FLOAT');
    case 'DECIMAL':
      return decimalConverter(column, type.precision, type.scale);
    case 'DATE':
      return dateConverter(column);
    case 'DATETIME':
      return datetimeConverter(column, type.precision);
    case 'CHAR':
    case 'VARCHAR':
      return textConverter(column, type.length, true);
    case 'STRING':
      return textConverter(column, STRING_LENGTH_MAX, false);
    case 'JSON':
      return jsonConverter(column);
  }
}

/** The type's name in MySQL's "Incorrect ... value". */
function typeWord(column: ColumnDef): string {
  switch (column.type.kind) {
    case 'BOOLEAN':
    case 'TINYINT':
    case 'SMALLINT':
    case 'INT':
    case 'BIGINT':
    case 'LARGEINT':
      return 'integer';
    case 'CHAR':
    case 'VARCHAR':
    case 'STRING':
      return 'string';
    case 'FLOAT':
    case 'DOUBLE':
    case 'DECIMAL':
    case 'DATE':
    case 'DATETIME':
    case 'JSON':
      return column.type.kind.toLowerCase();
  }
}

function fail(code: ErrorName, column: ColumnDef, value: InputValue, row: number): SqlError {
  const args = { column: column.name, row };
  if (code === 'BAD_VALUE' || code === 'BAD_DATETIME') {
    return new SqlError(code, { ...args, type: typeWord(column), value: quoteValue(value) });
  }
  return new SqlError(code, args, { hint: `value '${quoteValue(value)}'` });
}

// ---------------------------------------------------------------------------------------------
// Numbers

/** `[-]digits × 10^-scale`. */
interface Decimal {
  readonly negative: boolean;
  readonly digits: string;
  readonly scale: number;
}

const NUMBER = /^([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d{1,9}))?$/;
const PLAIN_INT = /^-?\d{1,15}$/;

/** undefined when the text is no number, or one so large or small that no column holds it. */
function parseDecimal(text: string): Decimal | 'huge' | undefined {
  const match = NUMBER.exec(text.trim());
  if (match === null) return undefined;
  const [, sign = '', whole = '', fraction = '', exponentText = '0'] = match;
  if (whole === '' && fraction === '') return undefined;
  const exponent = Number(exponentText);
  const digits = (whole + fraction).replace(/^0+(?=\d)/, '');
  if (digits === '0') return { negative: false, digits, scale: 0 };
  const scale = fraction.length - exponent;
  if (digits.length - scale > EXPONENT_MAX) return 'huge';
  // Far below every column's scale: rounds to zero.
  if (scale - digits.length > EXPONENT_MAX) return { negative: false, digits: '0', scale: 0 };
  return { negative: sign === '-', digits, scale };
}

/** The number × 10^scale as a bigint, rounded half away from zero. */
function unscaled(decimal: Decimal, scale: number): bigint {
  const drop = decimal.scale - scale;
  let magnitude: bigint;
  if (drop <= 0) {
    magnitude = BigInt(decimal.digits) * 10n ** BigInt(-drop);
  } else {
    const keep = decimal.digits.length - drop;
    const kept = keep > 0 ? BigInt(decimal.digits.slice(0, keep)) : 0n;
    const up = keep >= 0 && decimal.digits.charCodeAt(keep) >= 0x35;
    magnitude = up ? kept + 1n : kept;
  }
  return decimal.negative ? -magnitude : magnitude;
}

function decimalOf(value: Present, column: ColumnDef, row: number): Decimal {
  if (typeof value === 'boolean') {
    return { negative: false, digits: value ? '1' : '0', scale: 0 };
  }
  const parsed = parseDecimal(String(value));
  if (parsed === undefined) throw fail('BAD_VALUE', column, value, row);
  if (parsed === 'huge') throw fail('OUT_OF_RANGE', column, value, row);
  return parsed;
}

function booleanConverter(column: ColumnDef): (value: Present, row: number) => SqlValue {
  return (value, row) => {
    if (value === true || value === 1) return 1;
    if (value === false || value === 0) return 0;
    const text = String(value).trim().toLowerCase();
    if (text === 'true' || text === '1') return 1;
    if (text === 'false' || text === '0') return 0;
    const number = unscaled(decimalOf(value, column, row), 0);
    if (number !== 0n && number !== 1n) throw fail('OUT_OF_RANGE', column, value, row);
    return Number(number);
  };
}

function intConverter(
  column: ColumnDef,
  min: number,
  max: number,
): (value: Present, row: number) => SqlValue {
  return (value, row) => {
    let number: number;
    if (typeof value === 'number' && Number.isInteger(value)) number = value;
    else if (typeof value === 'string' && PLAIN_INT.test(value)) number = Number(value);
    else if (typeof value === 'bigint') number = Number(value);
    else {
      const exact = unscaled(decimalOf(value, column, row), 0);
      if (exact < min || exact > max) throw fail('OUT_OF_RANGE', column, value, row);
      return Number(exact);
    }
    if (number < min || number > max) throw fail('OUT_OF_RANGE', column, value, row);
    // -0 has no place among integers.
    return number === 0 ? 0 : number;
  };
}

/** Signed integers of `bits` bits and a sign. */
function bigintConverter(
  column: ColumnDef,
  bits: bigint,
): (value: Present, row: number) => SqlValue {
  const min = -(2n ** bits);
  const max = 2n ** bits - 1n;
  return (value, row) => {
    if (typeof value === 'number' && Number.isSafeInteger(value)) return BigInt(value);
    const exact =
      typeof value === 'bigint'
        ? value
        : typeof value === 'string' && PLAIN_INT.test(value)
          ? BigInt(value)
          : unscaled(decimalOf(value, column, row), 0);
    if (exact < min || exact > max) throw fail('OUT_OF_RANGE', column, value, row);
    return exact;
  };
}

function floatConverter(
  column: ColumnDef,
  single: boolean,
): (value: Present, row: number) => SqlValue {
  return (value, row) => {
    let number: number;
    if (typeof value === 'number') number = value;
    else if (typeof value === 'string') {
      const text = value.trim();
      const match = NUMBER.exec(text);
      if (match === null || ((match[2] ?? '') === '' && (match[3] ?? '') === '')) {
        throw fail('BAD_VALUE', column, value, row);
      }
      number = Number(text);
    } else number = Number(value);
    if (Number.isNaN(number)) throw fail('BAD_VALUE', column, value, row);
    const stored = single ? Math.fround(number) : number;
    if (!Number.isFinite(stored)) throw fail('OUT_OF_RANGE', column, value, row);
    // One zero: a Parquet dictionary does not tell them apart.
    return stored === 0 ? 0 : stored;
  };
}

function decimalConverter(
  column: ColumnDef,
  precision: number,
  scale: number,
): (value: Present, row: number) => SqlValue {
  const limit = 10n ** BigInt(precision);
  const canonical = new RegExp(
    `^(?:0|-?[1-9]\\d{0,${Math.max(0, precision - scale - 1)}}|-0(?=\\.\\d*[1-9]))` +
      (scale === 0 ? '$' : `\\.\\d{${scale}}$`),
  );
  const short = precision > scale;
  return (value, row) => {
    // What is in canonical form already, as the values of most files are, needs no arithmetic.
    if (short && typeof value === 'string' && canonical.test(value)) return value;
    const exact = unscaled(decimalOf(value, column, row), scale);
    if (exact >= limit || exact <= -limit) throw fail('OUT_OF_RANGE', column, value, row);
    return decimalText(exact, scale);
  };
}

/** Plain notation of `unscaledValue × 10^-scale` with exactly `scale` fraction digits. */
export function decimalText(unscaledValue: bigint, scale: number): string {
  if (scale === 0) return String(unscaledValue);
  const negative = unscaledValue < 0n;
  const digits = String(negative ? -unscaledValue : unscaledValue).padStart(scale + 1, '0');
  const point = digits.length - scale;
  return `${negative ? '-' : ''}${digits.slice(0, point)}.${digits.slice(point)}`;
}

// ---------------------------------------------------------------------------------------------
// Dates

function dateConverter(column: ColumnDef): (value: Present, row: number) => SqlValue {
  return (value, row) => {
    const time = typeof value === 'boolean' ? undefined : parseCivil(String(value));
    const text = time === undefined ? undefined : dayText(Math.floor(time.seconds / 86_400));
    if (text === undefined) throw fail('BAD_DATETIME', column, value, row);
    return text;
  };
}

function datetimeConverter(
  column: ColumnDef,
  precision: number,
): (value: Present, row: number) => SqlValue {
  return (value, row) => {
    const time = typeof value === 'boolean' ? undefined : parseCivil(String(value));
    const text = time === undefined ? undefined : civilText(roundCivil(time, precision), precision);
    if (text === undefined) throw fail('BAD_DATETIME', column, value, row);
    return text;
  };
}

// ---------------------------------------------------------------------------------------------
// Text

/** NUL is an ordinary character. Half a surrogate pair is none: it has no UTF-8 form. */
function textConverter(
  column: ColumnDef,
  length: number,
  cutSpaces: boolean,
): (value: Present, row: number) => SqlValue {
  return (value, row) => {
    const text =
      typeof value === 'string'
        ? value
        : typeof value === 'boolean'
          ? value
            ? '1'
            : '0'
          : String(value);
    if (!text.isWellFormed()) {
      throw fail('BAD_VALUE', column, text.toWellFormed(), row);
    }
    if (text.length <= length || characters(text) <= length) return text;
    // MySQL drops spaces beyond the column's length and nothing else.
    const cut = cutSpaces ? text.replace(/ +$/, '') : text;
    if (characters(cut) > length) throw fail('DATA_TOO_LONG', column, value, row);
    return cut + ' '.repeat(length - characters(cut));
  };
}

function characters(text: string): number {
  let count = text.length;
  for (let i = 0; i < text.length; i += 1) {
    const code = text.charCodeAt(i);
    if (code >= 0xd800 && code <= 0xdbff) count -= 1;
  }
  return count;
}

function jsonConverter(column: ColumnDef): (value: Present, row: number) => SqlValue {
  const checkText = textConverter(column, STRING_LENGTH_MAX, false);
  return (value, row) => {
    if (typeof value === 'boolean') return String(value);
    const text = checkText(value, row);
    try {
      JSON.parse(String(text));
    } catch {
      throw fail('BAD_VALUE', column, value, row);
    }
    return text;
  };
}
