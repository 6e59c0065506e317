/** What the speller knows of an expression: its SQLite spelling and as much of its type as is cheap. */
import type { ScanPredicate } from '../../base/agent_messages.ts';
import type { ColumnType, SqlValue } from '../../base/values.ts';

/** undefined: not known before the rows are seen. */
export type StaticType = ColumnType | { readonly kind: 'NULL' } | undefined;

/** Where a plain column reference leads; for result metadata. */
export interface ColumnOrigin {
  readonly database: string;
  readonly table: string;
  readonly alias: string;
  readonly column: string;
  readonly nullable: boolean;
}

export interface Spelled {
  readonly sql: string;
  /** The exact value as a key (exact_decimal.ts); `sql` is then its number, right to 15 digits. */
  readonly key?: string;
  /** The parts of a row, `(a, b)`. */
  readonly items?: readonly Spelled[];
  /** A query of several columns with keys, and which columns these are. */
  readonly keyRows?: { readonly sql: string; readonly keyed: readonly boolean[] };
  /** Asked only when the whole query is spelled: FROM comes after the select list. */
  readonly type: () => StaticType;
  /** The name of a column when this is nothing but a column reference. */
  readonly column?: { readonly qualifier: string | undefined; readonly name: string };
  readonly origin?: () => ColumnOrigin | undefined;
  /** Compares without case. */
  readonly nocase?: () => boolean;
  /** The value when this is a literal. */
  readonly literal?: SqlValue;
  /** Hints that must all hold when this holds. */
  readonly conjuncts?: () => readonly ScanPredicate[];
}

export const BIGINT: ColumnType = { kind: 'BIGINT' };
export const DOUBLE: ColumnType = { kind: 'DOUBLE' };
export const STRING: ColumnType = { kind: 'STRING' };
/** Text to SQLite and to whoever calculates with it. */
export const TIME: ColumnType = { kind: 'STRING', wire: 'TIME' };
export const DATE: ColumnType = { kind: 'DATE' };
export const DATETIME: ColumnType = { kind: 'DATETIME', precision: 0 };
/** Widest decimal of base/values. */
const PRECISION_MAX = 38;
/** Digits that a division adds to the dividend's scale (MySQL's div_precision_increment). */
const DIVISION_SCALE = 4;

export function decimal(scale: number, precision: number = PRECISION_MAX): ColumnType {
  return { kind: 'DECIMAL', precision, scale: Math.min(scale, precision) };
}

export function typed(sql: string, type: StaticType): Spelled {
  return { sql, type: () => type };
}

const INTEGERS: ReadonlySet<string> = new Set([
  'BOOLEAN',
  'TINYINT',
  'SMALLINT',
  'INT',
  'BIGINT',
  'LARGEINT',
]);

export function isInteger(type: StaticType): boolean {
  return type !== undefined && INTEGERS.has(type.kind);
}

export function isText(type: StaticType): boolean {
  return type?.kind === 'STRING' || type?.kind === 'VARCHAR' || type?.kind === 'CHAR';
}

export function isNumber(type: StaticType): boolean {
  return (
    isInteger(type) || type?.kind === 'FLOAT' || type?.kind === 'DOUBLE' || type?.kind === 'DECIMAL'
  );
}

/** The type of + - * / % and of CASE-like choices, by MySQL's rules without precision. */
export function arithmeticType(operator: string, left: StaticType, right: StaticType): StaticType {
  if (left === undefined || right === undefined) return undefined;
  if (left.kind === 'NULL' || right.kind === 'NULL') return left.kind === 'NULL' ? right : left;
  const exact = (type: ColumnType): boolean => isInteger(type) || type.kind === 'DECIMAL';
  if (!exact(left) || !exact(right)) return DOUBLE;
  const scales = [scaleOf(left), scaleOf(right)] as const;
  switch (operator) {
    case '/':
      return decimal(Math.min(scales[0] + DIVISION_SCALE, PRECISION_MAX));
    case '*':
      return isInteger(left) && isInteger(right) ? BIGINT : decimal(scales[0] + scales[1]);
    case 'DIV':
      return BIGINT;
    default:
      return isInteger(left) && isInteger(right) ? BIGINT : decimal(Math.max(...scales));
  }
}

function scaleOf(type: ColumnType): number {
  return type.kind === 'DECIMAL' ? type.scale : 0;
}

/** The type of AVG: four digits more than what is averaged, DOUBLE for inexact values. */
export function averageType(type: StaticType): StaticType {
  return arithmeticType('/', type, BIGINT);
}

/** SUM: Doris's BIGINT for integers, the same scale for decimals, else DOUBLE. */
export function sumType(type: StaticType): StaticType {
  if (type === undefined || type.kind === 'NULL') return undefined;
  if (isInteger(type)) return BIGINT;
  return type.kind === 'DECIMAL' ? decimal(type.scale) : DOUBLE;
}

/** The common type of the branches of CASE, IF, IFNULL, COALESCE and UNION. */
export function commonType(types: readonly StaticType[]): StaticType {
  let common: NonNullable<StaticType> = { kind: 'NULL' };
  for (const type of types) {
    if (type === undefined) return undefined;
    if (type.kind === 'NULL' || type.kind === common.kind) {
      common = type.kind === 'NULL' ? common : widest(common, type);
      continue;
    }
    if (common.kind === 'NULL') common = type;
    else if (isNumber(type) && isNumber(common))
      common = arithmeticType('+', common, type) ?? DOUBLE;
    else common = STRING;
  }
  return common;
}

function widest(left: NonNullable<StaticType>, right: ColumnType): NonNullable<StaticType> {
  if (left.kind === 'DECIMAL' && right.kind === 'DECIMAL') {
    return decimal(Math.max(left.scale, right.scale));
  }
  if (left.kind === 'VARCHAR' && right.kind === 'VARCHAR' && left.length > right.length) {
    return left;
  }
  if (left.kind === 'STRING' && right.kind === 'STRING' && left.wire !== right.wire) return STRING;
  return right;
}

export function quoteName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** A string as a SQLite literal. NUL would end the statement text, so such strings go as hex. */
export function quoteText(text: string): string {
  if (!text.includes('\0')) return `'${text.replaceAll("'", "''")}'`;
  return `CAST(x'${Buffer.from(text, 'utf8').toString('hex')}' AS TEXT)`;
}
