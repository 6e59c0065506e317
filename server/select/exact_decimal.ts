/**
 * DECIMAL columns with more digits than a DOUBLE holds for certain, and LARGEINT. SQLite has no
 * such numbers, so they lie in it as *keys*: texts whose byte order is the order of the numbers,
 * one text per number whatever its scale. SQLite sorts, groups, joins and compares keys by itself;
 * whoever calculates takes the key's number (`Spelled.sql` is that; `Spelled.key` is the key).
 */
import { isInteger, isText, quoteText, type Spelled, type StaticType } from './spelled.ts';

/** Significant digits a DOUBLE holds for certain. */
const DIGITS_EXACT = 15;
const PLAIN = /^([-+]?)0*(\d*)(?:\.(\d*?)0*)?$/;
/** Behind the last digit of a negative key: a longer number is a smaller one. */
const NEGATIVE_END = '~';
const LENGTH_DIGITS = 2;

/** Whether values of the type lie in SQLite as keys. */
export function isKeyed(type: StaticType): boolean {
  if (type?.kind === 'LARGEINT') return true;
  return type?.kind === 'DECIMAL' && type.precision > DIGITS_EXACT;
}

/**
 * The key of a number in plain notation (up to 99 digits before the point); undefined for other
 * texts. `p` or `-`, the number of digits before the point, these digits, those behind it without
 * trailing zeros; for negative numbers every digit's complement to nine.
 */
export function decimalKey(plain: string): string | undefined {
  const match = PLAIN.exec(plain);
  if (match === null || !/\d/.test(plain)) return undefined;
  const [, sign = '', integer = '', fraction = ''] = match;
  const digits = String(integer.length).padStart(LENGTH_DIGITS, '0') + integer + fraction;
  const zero = integer === '' && fraction === '';
  if (sign !== '-' || zero) return `p${digits}`;
  return `-${complement(digits)}${NEGATIVE_END}`;
}

function complement(digits: string): string {
  return digits.replaceAll(/\d/g, (digit) => String(9 - Number(digit)));
}

const KEY = /^(?:p(\d{2,})|-(\d{2,})~)$/;

/** The number of a key in plain notation with at least `scale` digits behind the point. */
export function decimalOfKey(key: string, scale: number): string | undefined {
  const match = KEY.exec(key);
  if (match === null) return undefined;
  const digits = match[1] ?? complement(match[2] ?? '');
  const point = LENGTH_DIGITS + Number(digits.slice(0, LENGTH_DIGITS));
  const integer = digits.slice(LENGTH_DIGITS, point) || '0';
  const fraction = digits.slice(point).padEnd(scale, '0');
  const sign = match[1] === undefined ? '-' : '';
  return fraction === '' ? sign + integer : `${sign}${integer}.${fraction}`;
}

/**
 * SQLite's text for the number of a key of that type: the DOUBLE next to a DECIMAL, an INTEGER for
 * a LARGEINT of up to 64 bits. A larger one is its digits, which SQLite takes for a DOUBLE.
 */
export function numberOfKey(key: string, type: StaticType): string {
  return isInteger(type) ? `mysql_largeint_number(${key})` : `mysql_decimal_number(${key})`;
}

/** What is exact (`key` is defined) and its number, which is what everything else asks for. */
export function keyed(key: string, type: () => StaticType): Spelled {
  return { sql: numberOfKey(key, type()), type, key };
}

/** The key of a literal number. */
function literalKey(side: Spelled, textToo: boolean): string | undefined {
  const { literal } = side;
  if (typeof literal !== 'bigint' && typeof literal !== 'string') return undefined;
  if (typeof literal === 'string' && isText(side.type()) && !textToo) return undefined;
  const key = decimalKey(String(literal));
  return key === undefined ? undefined : quoteText(key);
}

/** The key of a side that has none of its own but is exact; undefined for what is not. */
function keyOf(side: Spelled, textToo: boolean): string | undefined {
  if (side.key !== undefined) return side.key;
  if (side.literal === null) return 'NULL';
  if (side.literal !== undefined) return literalKey(side, textToo);
  const type = side.type();
  if (isInteger(type)) return `mysql_decimal_key(${side.sql}, 0)`;
  if (type?.kind === 'DECIMAL' && !isKeyed(type)) {
    return `mysql_decimal_key(${side.sql}, ${type.scale})`;
  }
  return undefined;
}

/** Keys under which two sides compare exactly; undefined when they compare as numbers. */
export function comparableKeys(
  left: Spelled,
  right: Spelled,
): readonly [string, string] | undefined {
  if (left.key === undefined && right.key === undefined) return undefined;
  const [a, b] = [keyOf(left, true), keyOf(right, true)];
  return a === undefined || b === undefined ? undefined : [a, b];
}

/** Keys for the branches of a choice (CASE, IF ...); undefined unless all of them are exact. */
export function choiceKeys(branches: readonly Spelled[]): readonly string[] | undefined {
  if (branches.every((branch) => branch.key === undefined)) return undefined;
  const keys = branches.map((branch) => keyOf(branch, false));
  return keys.some((key) => key === undefined)
    ? undefined
    : keys.filter((key) => key !== undefined);
}

/** The exact text where there is one. */
export function plainText(side: Spelled): string {
  const type = side.type();
  if (side.key === undefined) return side.sql;
  return `mysql_decimal_text(${side.key}, ${type?.kind === 'DECIMAL' ? type.scale : 0})`;
}
