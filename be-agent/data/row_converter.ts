/**
 * Source rows (values of some columns, in the source's order) → canonical rows of the table, and
 * for each row its partition and bucket. Built once per load.
 */
import { bucketOf } from '../../base/bucket.ts';
import { type Converter, defaultValue, makeConverter, quoteValue } from '../../base/convert.ts';
import { SqlError } from '../../base/errors.ts';
import { nearest } from '../../base/near_miss.ts';
import { partitionRouter } from '../../base/partition_routing.ts';
import type { Clock } from '../../base/ports.ts';
import type { ColumnDef, TableDef } from '../../base/schema.ts';
import type { SqlValue } from '../../base/values.ts';
import type { SourceValues } from './row_batch.ts';

export interface RowConverterOptions {
  /** Column names the source rows have, in order; letter case does not matter. */
  readonly columns: readonly string[];
  /** false: a value that does not fit a nullable column becomes NULL (`strict_mode: false`). */
  readonly strict: boolean;
  /** Only these partitions take rows; undefined: all. */
  readonly partitions?: readonly string[];
}

/** Where a row goes: indexes into `LoadTarget.tablets`. */
export interface Place {
  readonly partition: number;
  readonly bucket: number;
}

interface Slot {
  readonly convert: Converter;
  /** Index in the source row; undefined: always the default. */
  readonly source: number | undefined;
  /** The default, or why there is none. */
  readonly fallback: SqlValue | SqlError;
}

export class RowConverter {
  readonly #slots: readonly Slot[];
  readonly #width: number;
  readonly #table: TableDef;
  readonly #route: (values: readonly SqlValue[]) => number;
  readonly #partitionSlots: readonly number[];
  readonly #bucketSlots: readonly number[];
  readonly #allowed: ReadonlySet<number> | undefined;

  /** Throws UNKNOWN_COLUMN, DUP_FIELDNAME, NO_DEFAULT, UNKNOWN_PARTITION. */
  constructor(table: TableDef, options: RowConverterOptions, clock: Clock) {
    this.#table = table;
    this.#width = options.columns.length;
    this.#slots = buildSlots(table, options, clock);
    this.#route = partitionRouter(table);
    this.#partitionSlots = table.partitionColumns.map((name) => columnIndex(table, name));
    this.#bucketSlots = table.distributionColumns.map((name) => columnIndex(table, name));
    this.#allowed = allowedPartitions(table, options.partitions);
  }

  /** Canonical values of all columns; `row` is 1-based. Throws the errors of base/convert. */
  convert(values: SourceValues, row: number): SqlValue[] {
    if (values.length !== this.#width) throw new SqlError('WRONG_VALUE_COUNT', { row });
    const result: SqlValue[] = [];
    for (const { convert, source, fallback } of this.#slots) {
      const value = source === undefined ? undefined : values[source];
      if (value !== undefined) result.push(convert(value, row));
      else if (fallback instanceof SqlError) throw fallback;
      else result.push(fallback);
    }
    return result;
  }

  /** Throws NO_PARTITION_FOR_VALUE. */
  place(values: readonly SqlValue[], row: number): Place {
    const partition = this.#route(this.#partitionSlots.map((slot) => values[slot] ?? null));
    const definition = this.#table.partitions[partition];
    if (definition === undefined || this.#allowed?.has(partition) === false) {
      throw this.#noPartition(values, row);
    }
    if (definition.buckets === 1) return { partition, bucket: 0 };
    const key = this.#bucketSlots.map((slot) => values[slot] ?? null);
    return { partition, bucket: bucketOf(key, definition.buckets) };
  }

  #noPartition(values: readonly SqlValue[], row: number): SqlError {
    const shown = this.#partitionSlots.map((slot) => {
      const value = values[slot] ?? null;
      return value === null ? 'NULL' : `'${quoteValue(value)}'`;
    });
    const value = shown.length === 1 ? shown.join('') : `(${shown.join(', ')})`;
    return new SqlError('NO_PARTITION_FOR_VALUE', { value }, { hint: `row ${row}` });
  }
}

/** Index of a column by name, letter case aside; throws UNKNOWN_COLUMN. */
function columnIndex(table: TableDef, name: string): number {
  const wanted = name.toLowerCase();
  const index = table.columns.findIndex((column) => column.name.toLowerCase() === wanted);
  if (index >= 0) return index;
  const names = table.columns.map((column) => column.name);
  const near = nearest(name, names);
  throw new SqlError(
    'UNKNOWN_COLUMN',
    { name, where: 'field list' },
    { hint: near === undefined ? `columns: ${names.join(', ')}` : `did you mean '${near}'?` },
  );
}

function buildSlots(table: TableDef, options: RowConverterOptions, clock: Clock): Slot[] {
  const sources = new Map<number, number>();
  options.columns.forEach((name, position) => {
    const index = columnIndex(table, name);
    if (sources.has(index)) throw new SqlError('DUP_FIELDNAME', { name });
    sources.set(index, position);
  });
  return table.columns.map((column, index): Slot => {
    const source = sources.get(index);
    const strict = makeConverter(column);
    const convert = options.strict ? strict : lenient(column, strict);
    const fallback = fallbackOf(column, clock);
    if (source === undefined && fallback instanceof SqlError) throw fallback;
    return { convert, source, fallback };
  });
}

function fallbackOf(column: ColumnDef, clock: Clock): SqlValue | SqlError {
  try {
    return defaultValue(column, clock);
  } catch (error) {
    if (error instanceof SqlError) return error;
    throw error;
  }
}

function lenient(column: ColumnDef, strict: Converter): Converter {
  if (!column.nullable) return strict;
  return (value, row) => {
    try {
      return strict(value, row);
    } catch (error) {
      if (error instanceof SqlError) return null;
      throw error;
    }
  };
}

function allowedPartitions(
  table: TableDef,
  names: readonly string[] | undefined,
): ReadonlySet<number> | undefined {
  if (names === undefined) return undefined;
  const indexes = names.map((name) => {
    const wanted = name.toLowerCase();
    const index = table.partitions.findIndex((known) => known.name.toLowerCase() === wanted);
    if (index < 0) throw new SqlError('UNKNOWN_PARTITION', { partition: name, table: table.name });
    return index;
  });
  return new Set(indexes);
}
