/** How MySQL compares values of different types, and what of it can become a hint for a scan. */
import type { ScanPredicate } from '../../base/agent_messages.ts';
import type { SqlValue } from '../../base/values.ts';
import { comparableKeys } from './exact_decimal.ts';
import { isInteger, isNumber, isText, type Spelled } from './spelled.ts';

const DATE_FORM = /^\d{4}-\d\d-\d\d$/;
const MIDNIGHT = / 00:00:00(?:\.0+)?$/;

/**
 * Spellings under which SQLite compares as MySQL does: text against number compares as numbers,
 * a date against a datetime's text as datetimes.
 */
export function comparable(left: Spelled, right: Spelled): readonly [string, string] {
  const keys = comparableKeys(left, right);
  if (keys !== undefined) return keys;
  const [a, b] = [left.type(), right.type()];
  // A column with a numeric type converts text by its affinity; an expression has none.
  if (isText(a) && isNumber(b)) return [asNumber(left), right.sql];
  if (isNumber(a) && isText(b)) return [left.sql, asNumber(right)];
  if (a?.kind === 'DATETIME') return [left.sql, asDatetime(right)];
  if (b?.kind === 'DATETIME') return [asDatetime(left), right.sql];
  if (a?.kind === 'DATE') return [left.sql, asDate(right)];
  if (b?.kind === 'DATE') return [asDate(left), right.sql];
  return [left.sql, right.sql];
}

/**
 * `(a, b) = (c, d)` part by part, where a part has a key; undefined for all else. SQLite's own
 * comparison of rows would need keys on both sides of every part.
 */
export function rowEquality(operator: string, left: Spelled, right: Spelled): string | undefined {
  const [a, b] = [left.items, right.items];
  if (a === undefined || b === undefined || a.length !== b.length) return undefined;
  if ([...a, ...b].every((part) => part.key === undefined)) return undefined;
  const equals = operator === '<=>' ? 'IS' : '=';
  const parts = a.map((part, at) => comparable(part, b[at] ?? part).join(` ${equals} `));
  const all = `(${parts.join(' AND ')})`;
  if (operator === '=' || operator === '<=>') return all;
  return operator === '<>' || operator === '!=' ? `(NOT ${all})` : undefined;
}

/** CAST to REAL takes the leading number of a text and 0 for none, as MySQL does. */
function asNumber(text: Spelled): string {
  if (typeof text.literal === 'string' && /^-?\d{1,18}$/.test(text.literal)) return text.literal;
  return `CAST(${text.sql} AS REAL)`;
}

function asDatetime(side: Spelled): string {
  if (side.type()?.kind === 'DATE') return `(${side.sql} || ' 00:00:00')`;
  const { literal } = side;
  return typeof literal === 'string' && DATE_FORM.test(literal)
    ? `'${literal} 00:00:00'`
    : side.sql;
}

function asDate(side: Spelled): string {
  const { literal } = side;
  const midnight = typeof literal === 'string' && MIDNIGHT.test(literal);
  return midnight ? `'${literal.slice(0, 10)}'` : side.sql;
}

const OPERATORS: Readonly<Record<string, ScanPredicate['op']>> = {
  '=': '=',
  '<=>': '=',
  '<': '<',
  '<=': '<=',
  '>': '>',
  '>=': '>=',
  in: 'in',
};
const MIRRORED: Readonly<Record<string, string>> = { '<': '>', '<=': '>=', '>': '<', '>=': '<=' };

/**
 * `column op literal` as a hint with values in the column's canonical form; nothing when either
 * side is something else, or when the value's form could mean another order than the column's.
 */
export function canonicalPredicate(
  operator: string,
  left: Spelled,
  right: readonly Spelled[],
): readonly ScanPredicate[] {
  const [only] = right;
  if (left.column === undefined && right.length === 1 && only?.column !== undefined) {
    return canonicalPredicate(MIRRORED[operator] ?? operator, only, [left]);
  }
  const op = OPERATORS[operator];
  const origin = left.origin?.();
  if (op === undefined || origin === undefined || left.column === undefined) return [];
  const values: SqlValue[] = [];
  for (const side of right) {
    const value = canonicalValue(left, side);
    if (value === undefined) return [];
    values.push(value);
  }
  return [{ column: origin.column, op, values }];
}

function canonicalValue(column: Spelled, side: Spelled): SqlValue | undefined {
  const type = column.type();
  const { literal } = side;
  if (literal === undefined || literal === null || type === undefined) return undefined;
  if (isInteger(type)) {
    if (typeof literal !== 'bigint') return undefined;
    return type.kind === 'BIGINT' || type.kind === 'LARGEINT' ? literal : Number(literal);
  }
  if (typeof literal !== 'string' || !isText(side.type())) return undefined;
  if (isText(type)) return literal;
  if (type.kind === 'DATE') return DATE_FORM.test(literal) ? literal : undefined;
  return undefined;
}
