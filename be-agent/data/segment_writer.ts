/**
 * Collects the rows of one tablet and writes them as a Parquet segment: rows sorted by the key
 * columns, so that the minima and maxima of row groups let scans skip; row groups of at most
 * ROW_GROUP_ROWS_MAX rows, so that a scan holds one at a time; footer and indexes at the end.
 */
import { setImmediate } from 'node:timers/promises';
import { crc32 } from 'node:zlib';
import type { SchemaElement } from 'hyparquet';
import { ByteWriter, ParquetWriter } from 'hyparquet-writer';
import type { RowsetId, TabletId } from '../../base/ids.ts';
import { type ColumnDef, type SegmentMeta, storedName } from '../../base/schema.ts';
import { type ColumnType, type SqlValue } from '../../base/values.ts';
import { type Cells, newCells } from './cells.ts';
import { type ColumnCodec, columnCodec } from './column_codec.ts';

export const ROW_GROUP_ROWS_MAX = 65_536;
/**
 * Rows of one segment: sorting is the longest step that cannot be interrupted (about 0.5 s for a
 * million rows), and heartbeats run in the same thread.
 */
export const SEGMENT_ROWS_MAX = 1_048_576;

/** Keys of the file's key-value metadata. */
export const FILE_KEYS = {
  tablet: 'thermocline.tablet_id',
  rowset: 'thermocline.rowset_id',
  segment: 'thermocline.segment',
  schemaVersion: 'thermocline.schema_version',
  /** JSON: `[{name, type}]`, the SQL types that the file was written with. */
  columns: 'thermocline.columns',
} as const;

export interface FileColumn {
  readonly name: string;
  readonly type: ColumnType;
  /** Part of the sort key; absent also in files written before this was kept. */
  readonly isKey?: true;
}

export interface SegmentIdentity {
  readonly tabletId: TabletId;
  readonly rowsetId: RowsetId;
  readonly segment: number;
  readonly schemaVersion: number;
}

export interface BuiltSegment {
  readonly meta: SegmentMeta;
  readonly body: Uint8Array;
}

export class SegmentBuilder {
  readonly #columns: readonly ColumnDef[];
  readonly #codecs: readonly ColumnCodec[];
  readonly #cells: readonly Cells[];
  readonly #identity: SegmentIdentity;
  #rows = 0;
  #bytes = 0;

  /** `codecs`: one per column; shared by all builders of a load. */
  constructor(
    columns: readonly ColumnDef[],
    codecs: readonly ColumnCodec[],
    identity: SegmentIdentity,
  ) {
    this.#columns = columns;
    this.#codecs = codecs;
    this.#cells = codecs.map(({ storage }) => newCells(storage));
    this.#identity = identity;
  }

  get rows(): number {
    return this.#rows;
  }

  /** Memory that the collected rows hold, bytes, about. */
  get bytes(): number {
    return this.#bytes;
  }

  /** `row`: canonical values, one per column. */
  append(row: readonly SqlValue[]): void {
    let bytes = 0;
    for (let i = 0; i < this.#codecs.length; i += 1) {
      const codec = this.#codecs[i];
      const cells = this.#cells[i];
      if (codec === undefined || cells === undefined) break;
      const value = row[i] ?? null;
      if (value === null) {
        cells.push(null);
        bytes += 1;
      } else {
        cells.push(codec.encode(value));
        bytes += codec.bytes(value);
      }
    }
    this.#bytes += bytes;
    this.#rows += 1;
  }

  /** Writes what was collected (at least one row). Lets other work in between row groups. */
  async build(): Promise<BuiltSegment> {
    if (this.#rows === 0) throw new RangeError('a segment needs at least one row');
    const order = this.#sortedOrder();
    const target = new ByteWriter(Math.min(this.#bytes + 4096, 2 ** 22));
    const writer = new ParquetWriter({
      writer: target,
      schema: this.#schema(),
      codec: 'SNAPPY',
      kvMetadata: this.#fileMetadata(),
      createdBy: 'thermocline',
    });
    for (let start = 0; start < this.#rows; start += ROW_GROUP_ROWS_MAX) {
      if (start > 0) await setImmediate();
      await writer.write({
        columnData: this.#rowGroup(order, start),
        rowGroupSize: ROW_GROUP_ROWS_MAX,
      });
    }
    const indexOffset = target.offset;
    await writer.finish();
    const body = target.getBytes();
    const { segment } = this.#identity;
    const meta = { segment, bytes: body.length, rows: this.#rows, indexOffset, crc32: crc32(body) };
    return { meta, body };
  }

  #schema(): SchemaElement[] {
    const root: SchemaElement = { name: 'schema', num_children: this.#columns.length };
    const leaves = this.#columns.map((column, i): SchemaElement => {
      const repetition = column.nullable ? 'OPTIONAL' : 'REQUIRED';
      const name = storedName(column);
      return { ...this.#codecs[i]?.element, name, repetition_type: repetition };
    });
    return [root, ...leaves];
  }

  #fileMetadata(): { key: string; value: string }[] {
    const { tabletId, rowsetId, segment, schemaVersion } = this.#identity;
    const columns: FileColumn[] = this.#columns.map((column) => ({
      name: storedName(column),
      type: column.type,
      ...(column.isKey ? { isKey: true } : {}),
    }));
    return [
      { key: FILE_KEYS.tablet, value: String(tabletId) },
      { key: FILE_KEYS.rowset, value: rowsetId },
      { key: FILE_KEYS.segment, value: String(segment) },
      { key: FILE_KEYS.schemaVersion, value: String(schemaVersion) },
      { key: FILE_KEYS.columns, value: JSON.stringify(columns) },
    ];
  }

  #rowGroup(order: Uint32Array | undefined, start: number) {
    const end = Math.min(start + ROW_GROUP_ROWS_MAX, this.#rows);
    return this.#columns.map((column, i) => {
      const data = this.#cells[i]?.slice(order, start, end) ?? [];
      return { name: storedName(column), data, columnIndex: true };
    });
  }

  /** Row numbers in key order; undefined when the rows came in that order. */
  #sortedOrder(): Uint32Array | undefined {
    const keys = this.#cells.filter((_, i) => this.#columns[i]?.isKey === true);
    if (keys.length === 0) return undefined;
    const compare = (a: number, b: number): number => {
      for (const cells of keys) {
        const compared = cells.compare(a, b);
        if (compared !== 0) return compared;
      }
      return a - b;
    };
    let sorted = true;
    for (let row = 1; sorted && row < this.#rows; row += 1) sorted = compare(row - 1, row) < 0;
    if (sorted) return undefined;
    return Uint32Array.from({ length: this.#rows }, (_, row) => row).sort(compare);
  }
}

/** Codecs of a table's columns, in order. */
export function codecsOf(columns: readonly ColumnDef[]): ColumnCodec[] {
  return columns.map((column) => columnCodec(column.type));
}
