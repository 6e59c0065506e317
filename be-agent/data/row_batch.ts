/** Rows on their way into a load, as the parsers hand them over. */
import type { InputValue } from '../../base/convert.ts';

/** A row that could not even be split into values: what is wrong with it, in words. */
export interface BadRow {
  readonly problem: string;
}

/** undefined: the row does not have this column (a JSON object without the field): its default. */
export type SourceValues = readonly (InputValue | undefined)[];

export type SourceRow = SourceValues | BadRow;

export interface RowBatch {
  readonly rows: readonly SourceRow[];
  /** Bytes of the source that these rows took; counted into `loadBytes`. */
  readonly bytes: number;
}

export function isBadRow(row: SourceRow): row is BadRow {
  return !Array.isArray(row);
}
