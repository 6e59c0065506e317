/**
 * Order of canonical values of one column type: NULL first, numbers by value, text by code points
 * (which is the order of the UTF-8 bytes). It is the order of partition ranges, of rows inside a
 * segment and of Parquet statistics.
 */
import type { ColumnType, SqlValue } from './values.ts';

export type ValueOrder = (left: SqlValue, right: SqlValue) => number;

/** Negative, 0 or positive, as Array.sort wants it. Both values are canonical for the type. */
export function valueOrder(type: ColumnType): ValueOrder {
  const present = type.kind === 'DECIMAL' ? compareDecimals : comparePresent;
  return (left, right) => {
    if (left === right) return 0;
    if (left === null) return -1;
    return right === null ? 1 : present(left, right);
  };
}

type Present = Exclude<SqlValue, null>;

function comparePresent(left: Present, right: Present): number {
  if (typeof left === 'string' && typeof right === 'string') return compareText(left, right);
  return left < right ? -1 : left > right ? 1 : 0;
}

/** Both have the same number of fraction digits, so the digits compare as integers. */
function compareDecimals(left: Present, right: Present): number {
  const [a, b] = [digits(left), digits(right)];
  return a < b ? -1 : a > b ? 1 : 0;
}

function digits(value: Present): bigint {
  return BigInt(String(value).replace('.', ''));
}

/** Code point order; JavaScript's `<` has UTF-16 order, which differs beyond U+FFFF. */
export function compareText(left: string, right: string): number {
  const length = Math.min(left.length, right.length);
  for (let i = 0; i < length; i += 1) {
    const a = left.charCodeAt(i);
    const b = right.charCodeAt(i);
    if (a !== b) return rank(a) - rank(b);
  }
  return left.length - right.length;
}

/** Surrogates stand for code points above all others. */
function rank(unit: number): number {
  return unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit;
}
