/**
 * Decides from the statistics of a row group that no row of it can satisfy the predicates. The
 * engine filters again, so the only mistake that matters is to skip too much: whatever is unclear
 * (no statistics, another type, a value that had to be rounded) is not skipped. Text compares by
 * code points, dates and times as MySQL and as text both do.
 */
import type { ScanPredicate } from '../../base/agent_messages.ts';
import { civilOfMicros, civilText, dayText } from '../../base/civil_time.ts';
import { convertValue } from '../../base/convert.ts';
import type { ColumnDef } from '../../base/schema.ts';
import { compareText } from '../../base/value_order.ts';
import type { ColumnType, SqlValue } from '../../base/values.ts';
import type { ParquetFile } from './parquet_file.ts';

type Comparable = number | bigint | string;

interface Bounds {
  /** undefined: no row of the group has a value. */
  readonly range: { readonly min: Comparable; readonly max: Comparable } | undefined;
}

/** A footer has decimals as floats: this much relative doubt is left to them. */
const FLOAT_DOUBT = 1e-9;

/** `fileTypes`: SQL types of the columns; predicates on others are not used. */
export function canSkip(
  file: ParquetFile,
  group: number,
  fileTypes: ReadonlyMap<string, ColumnType>,
  predicates: readonly ScanPredicate[],
): boolean {
  return predicates.some((predicate) => {
    const type = fileTypes.get(predicate.column);
    if (type === undefined) return false;
    const bounds = boundsOf(file, group, predicate.column, type);
    if (bounds === undefined) return false;
    if (bounds.range === undefined) return true;
    return excludes(predicate, bounds.range, type);
  });
}

function excludes(
  predicate: ScanPredicate,
  range: { readonly min: Comparable; readonly max: Comparable },
  type: ColumnType,
): boolean {
  const wanted = predicate.values.map((value) => comparable(value, type));
  const below = (value: Comparable | undefined) =>
    value !== undefined && compare(value, range.min) < 0;
  const above = (value: Comparable | undefined) =>
    value !== undefined && compare(value, range.max) > 0;
  switch (predicate.op) {
    case '=':
    case 'in':
      return wanted.every((value) => below(value) || above(value));
    // Strict comparisons are taken as the others: skips less, and is true of texts cut short.
    case '<':
    case '<=':
      return wanted.length === 1 && below(wanted[0]);
    case '>':
    case '>=':
      return wanted.length === 1 && above(wanted[0]);
  }
}

function compare(left: Comparable, right: Comparable): number {
  if (typeof left === 'string' && typeof right === 'string') return compareText(left, right);
  return left < right ? -1 : left > right ? 1 : 0;
}

/** The statistics as comparable values; undefined when they do not say enough. */
function boundsOf(
  file: ParquetFile,
  group: number,
  name: string,
  type: ColumnType,
): Bounds | undefined {
  const rowGroup = file.metadata.row_groups[group];
  const chunk = rowGroup?.columns.find((column) => column.meta_data?.path_in_schema[0] === name);
  const statistics = chunk?.meta_data?.statistics;
  if (rowGroup === undefined || statistics === undefined) return undefined;
  if (statistics.null_count === rowGroup.num_rows) return { range: undefined };
  const min = bound(statistics.min_value, type, -1);
  const max = bound(statistics.max_value, type, 1);
  return min === undefined || max === undefined ? undefined : { range: { min, max } };
}

/** `side`: -1 for the minimum, 1 for the maximum, where doubt widens the range. */
function bound(raw: unknown, type: ColumnType, side: -1 | 1): Comparable | undefined {
  switch (type.kind) {
    case 'BOOLEAN':
      return typeof raw === 'boolean' ? Number(raw) : undefined;
    case 'TINYINT':
    case 'SMALLINT':
    case 'INT':
    case 'BIGINT':
      return typeof raw === 'number' || typeof raw === 'bigint' ? raw : undefined;
    case 'FLOAT':
    case 'DOUBLE':
      return typeof raw === 'number' ? raw : undefined;
    case 'LARGEINT':
    case 'DECIMAL':
      return typeof raw === 'number' ? raw + side * Math.abs(raw) * FLOAT_DOUBT : undefined;
    case 'DATE':
      return typeof raw === 'number' ? dayText(raw) : undefined;
    case 'DATETIME':
      return typeof raw === 'bigint' ? civilText(civilOfMicros(raw), type.precision) : undefined;
    case 'CHAR':
    case 'VARCHAR':
    case 'STRING':
    case 'JSON':
      return typeof raw === 'string' ? raw : undefined;
  }
}

const INTEGER_TEXT = /^-?\d{1,38}$/;
const NUMBER_TEXT = /^-?\d+(\.\d+)?([eE][+-]?\d+)?$/;

/** The predicate's value as the statistics have theirs; undefined when that is not exact. */
function comparable(value: SqlValue, type: ColumnType): Comparable | undefined {
  switch (type.kind) {
    case 'BOOLEAN':
    case 'TINYINT':
    case 'SMALLINT':
    case 'INT':
    case 'BIGINT':
    case 'FLOAT':
    case 'DOUBLE':
    case 'LARGEINT':
    case 'DECIMAL':
      if (typeof value !== 'string') return value ?? undefined;
      if (INTEGER_TEXT.test(value)) return BigInt(value);
      return NUMBER_TEXT.test(value) ? Number(value) : undefined;
    case 'DATE':
    case 'DATETIME':
      return timeText(value, type);
    case 'CHAR':
    case 'VARCHAR':
    case 'STRING':
    case 'JSON':
      return typeof value === 'string' ? value : undefined;
  }
}

/**
 * `2024-01-01` against a DATETIME is midnight for MySQL and sorts before it as text; both give the
 * same decision when the zeros are filled in. Anything else that is not canonical is not used.
 */
function timeText(value: SqlValue, type: ColumnType): string | undefined {
  if (typeof value !== 'string') return undefined;
  const column: ColumnDef = { name: '', type, nullable: true, isKey: false, comment: '' };
  try {
    const text = String(convertValue(value, column, 1));
    return text.startsWith(value) && /^[ 0:.]*$/.test(text.slice(value.length)) ? text : undefined;
  } catch {
    return undefined;
  }
}
