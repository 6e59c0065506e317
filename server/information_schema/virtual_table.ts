/** One record per virtual table: columns and a function that makes its rows. */
import type { ColumnType, ResultColumn, SqlRow, SqlValue } from '../../base/values.ts';
import type { SelectColumn } from '../select/table_provider.ts';

export interface VirtualTable<Source> {
  readonly name: string;
  readonly columns: readonly SelectColumn[];
  rows(source: Source): Promise<readonly SqlRow[]> | readonly SqlRow[];
  /** The same at once; undefined, or absent: somebody has to be waited for. */
  rowsNow?(source: Source): readonly SqlRow[] | undefined;
  /** The same a few at a time, where they may be very many. */
  batches?(source: Source): AsyncIterable<readonly SqlRow[]>;
}

/** A row by column name; what is missing is NULL. */
export type NamedRow = Readonly<Record<string, SqlValue>>;

const TYPES: Readonly<Record<string, ColumnType>> = {
  '#': { kind: 'BIGINT' },
  '@': { kind: 'DATETIME', precision: 0 },
  '~': { kind: 'STRING' },
  '%': { kind: 'DOUBLE' },
};
const NAME_LENGTH = 512;

/**
 * Columns in one string: `NAME` is text, `NAME#` BIGINT, `NAME@` DATETIME, `NAME~` long text, `NAME%` DOUBLE;
 * a `?` behind it means that it may be NULL.
 */
function columnsOf(names: string): readonly SelectColumn[] {
  return names
    .trim()
    .split(/\s+/)
    .map((word) => {
      const match = /^(\w+)([#@~%]?)(\??)$/.exec(word);
      if (match === null) throw new TypeError(`not a column: ${word}`);
      const type = TYPES[match[2] ?? ''] ?? { kind: 'VARCHAR', length: NAME_LENGTH };
      return { name: match[1] ?? '', type, nullable: match[3] === '?' };
    });
}

/** A table whose rows are given by column name. */
export function namedTable<Source>(
  name: string,
  columns: string,
  rows: (source: Source) => Promise<readonly NamedRow[]> | readonly NamedRow[],
): VirtualTable<Source> {
  const list = columnsOf(columns);
  return {
    name,
    columns: list,
    rows: async (source) => {
      const named = await rows(source);
      return named.map((row) => list.map((column) => row[column.name] ?? null));
    },
  };
}

/** A table that this server has no rows for, such as triggers. */
export function emptyTable<Source>(name: string, columns: string): VirtualTable<Source> {
  return namedTable(name, columns, () => []);
}

/** The table behind a SHOW statement: its columns and rows as they are (`server/listings/`). */
export function listingTable<Source>(
  name: string,
  listing: {
    readonly columns: readonly ResultColumn[];
    rows(source: Source): Promise<readonly SqlRow[]> | readonly SqlRow[];
    rowsNow?(source: Source): readonly SqlRow[] | undefined;
  },
): VirtualTable<Source> {
  return {
    name,
    columns: listing.columns.map((column) => ({
      name: column.name,
      type: column.type,
      nullable: column.nullable !== false,
    })),
    rows: (source) => listing.rows(source),
    rowsNow: (source) => listing.rowsNow?.(source),
  };
}
