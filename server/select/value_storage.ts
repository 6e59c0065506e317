/**
 * How values lie in SQLite, and how they come back.
 *
 * Integers are INTEGER, dates and text are TEXT. DECIMAL of up to 15 digits is REAL, so comparisons
 * and sums are numeric; with more digits, and a LARGEINT, it is a key (exact_decimal.ts), which
 * keeps all of them.
 */
import type { ColumnType, SqlValue } from '../../base/values.ts';
import { decimalKey, decimalOfKey, isKeyed } from './exact_decimal.ts';

export type SqliteValue = null | number | bigint | string | Uint8Array;

/** The declared type of a column, or what a streamed column is cast to. */
export function sqliteType(type: ColumnType): 'INTEGER' | 'REAL' | 'TEXT' | 'BLOB' {
  switch (type.kind) {
    case 'BOOLEAN':
    case 'TINYINT':
    case 'SMALLINT':
    case 'INT':
    case 'BIGINT':
      return 'INTEGER';
    case 'FLOAT':
    case 'DOUBLE':
      return 'REAL';
    case 'DECIMAL':
      return isKeyed(type) ? 'BLOB' : 'REAL';
    case 'LARGEINT':
      // As a declared type: no conversion at all. See the head of this file.
      return 'BLOB';
    case 'DATE':
    case 'DATETIME':
    case 'CHAR':
    case 'VARCHAR':
    case 'STRING':
    case 'JSON':
      return 'TEXT';
  }
}

/** A canonical value as SQLite is to hold it. */
export function toSqlite(value: SqlValue, type: ColumnType): SqliteValue {
  if (value === null) return null;
  if (isKeyed(type)) return decimalKey(String(value)) ?? null;
  switch (sqliteType(type)) {
    case 'INTEGER':
      return typeof value === 'number' ? BigInt(value) : value;
    case 'REAL':
      return typeof value === 'number' ? value : Number(value);
    case 'BLOB':
    case 'TEXT':
      return typeof value === 'string' ? value : String(value);
  }
}

/** For a column whose type is not known before its values are. */
export function inferType(values: readonly SqliteValue[]): ColumnType {
  let type: ColumnType | undefined;
  for (const value of values) {
    if (value === null) continue;
    if (typeof value === 'bigint') type ??= { kind: 'BIGINT' };
    else if (typeof value === 'number') type = { kind: 'DOUBLE' };
    else return { kind: 'STRING' };
  }
  return type ?? { kind: 'STRING' };
}

/** A value of SQLite in the canonical form of `type` (base/values.ts). */
export function fromSqlite(value: SqliteValue, type: ColumnType): SqlValue {
  if (value === null) return null;
  switch (type.kind) {
    case 'BOOLEAN':
    case 'TINYINT':
    case 'SMALLINT':
    case 'INT':
      return typeof value === 'number' ? Math.round(value) : Number(wholeOf(value));
    case 'BIGINT':
    case 'LARGEINT':
      return wholeOf(value);
    case 'FLOAT':
    case 'DOUBLE':
      return finite(typeof value === 'number' ? value : numberOf(value));
    case 'DECIMAL':
      return typeof value === 'string'
        ? (decimalOfKey(value, type.scale) ?? decimalText(value, type.scale))
        : decimalText(value, type.scale);
    case 'DATE':
      return plainText(value).slice(0, 10);
    case 'DATETIME':
    case 'CHAR':
    case 'VARCHAR':
    case 'STRING':
    case 'JSON':
      return plainText(value);
  }
}

function wholeOf(value: Exclude<SqliteValue, null>): bigint {
  if (typeof value === 'bigint') return value;
  if (typeof value === 'number') return Number.isFinite(value) ? BigInt(Math.round(value)) : 0n;
  const keyed = typeof value === 'string' ? decimalOfKey(value, 0) : undefined;
  if (keyed !== undefined) return BigInt(/^-?\d+/.exec(keyed)?.[0] ?? 0);
  const digits = /^\s*[-+]?\d+/.exec(plainText(value))?.[0].trim().replace('+', '');
  return digits === undefined ? 0n : BigInt(digits);
}

function numberOf(value: Exclude<SqliteValue, null>): number {
  if (typeof value === 'bigint') return Number(value);
  const number = Number.parseFloat(plainText(value));
  return Number.isNaN(number) ? 0 : number;
}

/** DOUBLE has no infinity in MySQL: out of range is NULL there. */
function finite(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}

/** toFixed is exact up to here; larger numbers are whole anyway. */
const FIXED_MAX = 1e21;

function decimalText(value: Exclude<SqliteValue, null>, scale: number): string | null {
  if (typeof value === 'bigint')
    return scale === 0 ? String(value) : `${value}.${'0'.repeat(scale)}`;
  const number = typeof value === 'number' ? value : numberOf(value);
  if (!Number.isFinite(number)) return null;
  if (Math.abs(number) >= FIXED_MAX) return decimalText(BigInt(number), scale);
  return roundDecimal(number, scale);
}

/** Significant digits a DOUBLE holds for certain. */
const DIGITS_EXACT = 15;

/** Rounds half away from zero, as decimals do, on the 15 digits that are certain. */
export function roundDecimal(number: number, scale: number): string {
  const certain = Number(number.toPrecision(DIGITS_EXACT));
  const scaled = Number(`${Math.abs(certain)}e${scale}`);
  if (!Number.isFinite(scaled) || scaled >= 2 ** 53) return certain.toFixed(scale);
  const digits = String(Math.round(scaled)).padStart(scale + 1, '0');
  const sign = certain < 0 && Number(digits) !== 0 ? '-' : '';
  if (scale === 0) return sign + digits;
  return `${sign}${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
}

function plainText(value: Exclude<SqliteValue, null>): string {
  if (typeof value === 'string') return value;
  if (ArrayBuffer.isView(value)) return Buffer.from(value).toString('utf8');
  return String(value);
}
