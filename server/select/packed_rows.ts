/** Rows that a backend sent as bytes, for whoever passes them on; values for whoever looks. */
import { unpackColumns } from '../../base/packed_columns.ts';
import type { SqlValue } from '../../base/values.ts';
import type { ScanRows } from './table_provider.ts';

export class PackedRows implements ScanRows {
  readonly rows: number;
  readonly packed: Uint8Array;
  #columns: readonly (readonly SqlValue[])[] | undefined;

  constructor(rows: number, packed: Uint8Array) {
    this.rows = rows;
    this.packed = packed;
  }

  get columns(): readonly (readonly SqlValue[])[] {
    this.#columns ??= unpackColumns(this.packed);
    return this.#columns;
  }
}
