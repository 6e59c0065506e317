/**
 * Rewrites rowsets into other columns, for schema changes and rollups: reads a rowset batch by
 * batch, converts, sorts by the new key, and writes segments under the names that the server has
 * planned. Memory is bounded as a load's. When anything fails, what was written is deleted.
 */
import { setImmediate } from 'node:timers/promises';
import type { RewriteItem, RewriteRequest, ScanBatch } from '../../base/agent_messages.ts';
import { type Converter, defaultValue, makeConverter } from '../../base/convert.ts';
import { SqlError } from '../../base/errors.ts';
import { type IndexId, type TableId, id } from '../../base/ids.ts';
import type { ColumnDef, NewRowset } from '../../base/schema.ts';
import { type ColumnType, type SqlValue, typeText } from '../../base/values.ts';
import type { ColumnCodec } from './column_codec.ts';
import { FooterCache } from './footer_cache.ts';
import type { LoadServices } from './load.ts';
import { RowsetWriter } from './rowset_writer.ts';
import { type OpenObject, Scan } from './scan.ts';
import { SegmentUploader } from './segment_uploader.ts';
import { codecsOf } from './segment_writer.ts';

/** Rows after which other work of the thread (heartbeats, reads) gets its turn, some 20 ms. */
const ROWS_WITHOUT_PAUSE = 4096;
/** Significant digits that a FLOAT's text may need. */
const FLOAT_DIGITS_MIN = 6;
const FLOAT_DIGITS_MAX = 9;

/** A value of the new column, from the values of the old row. */
type Cell = (old: readonly SqlValue[], row: number) => SqlValue;

/**
 * All items or none, in their order. Throws the first value's error that the new type cannot take
 * (base/convert), NO_DEFAULT, CORRUPT_OBJECT, STORE_FAILED, or the signal's reason.
 */
export async function rewriteRowsets(
  request: RewriteRequest,
  openObject: OpenObject,
  services: LoadServices,
  signal: AbortSignal,
): Promise<NewRowset[]> {
  const { store, clock, log } = services;
  const uploader = new SegmentUploader({ store, clock, log, signal });
  const work = new Rewrite(request, openObject, services, uploader, signal);
  try {
    const rowsets: NewRowset[] = [];
    for (const item of request.items) rowsets.push(await work.rewrite(item));
    await uploader.finish();
    signal.throwIfAborted();
    return rowsets;
  } catch (error) {
    await uploader.discard();
    throw error;
  }
}

class Rewrite {
  readonly #request: RewriteRequest;
  readonly #openObject: OpenObject;
  readonly #services: LoadServices;
  readonly #uploader: SegmentUploader;
  readonly #signal: AbortSignal;
  readonly #sources: readonly ColumnDef[];
  readonly #columns: readonly ColumnDef[];
  readonly #cells: readonly Cell[];
  readonly #codecs: readonly ColumnCodec[];
  readonly #footers = new FooterCache();

  constructor(
    request: RewriteRequest,
    openObject: OpenObject,
    services: LoadServices,
    uploader: SegmentUploader,
    signal: AbortSignal,
  ) {
    this.#request = request;
    this.#openObject = openObject;
    this.#services = services;
    this.#uploader = uploader;
    this.#signal = signal;
    this.#sources = request.columns.flatMap(({ source }) => source ?? []);
    this.#columns = request.columns.map(({ column }) => column);
    this.#cells = cellsOf(request);
    this.#codecs = codecsOf(this.#columns);
  }

  async rewrite(item: RewriteItem): Promise<NewRowset> {
    const { source } = item;
    const writer = this.#newWriter(item);
    for await (const { rows, columns } of this.#batches(item)) {
      for (let at = 0; at < rows; at += 1) {
        const row = writer.rows + 1;
        const old = columns.map((column) => column[at] ?? null);
        if (writer.append(this.#cells.map((cell) => cell(old, row)))) {
          this.#signal.throwIfAborted();
          await writer.flush();
        }
        if (row % ROWS_WITHOUT_PAUSE === 0) await setImmediate();
      }
    }
    if (writer.rows !== source.rows) {
      const what = `it has ${writer.rows} rows instead of ${source.rows}`;
      throw new SqlError('CORRUPT_OBJECT', { key: `rowset ${source.rowsetId}`, what });
    }
    return await writer.finish();
  }

  async *#batches({ source }: RewriteItem): AsyncGenerator<ScanBatch> {
    const { tabletId, partitionId } = source;
    const scan = new Scan(
      {
        tableId: id<TableId>(0),
        tableName: this.#request.tableName,
        indexId: id<IndexId>(0),
        ttlSeconds: 0,
        columns: this.#sources,
        predicates: [],
        tablets: [{ tabletId, partitionId, rowsets: [source] }],
      },
      this.#openObject,
      this.#footers,
    );
    try {
      for (;;) {
        this.#signal.throwIfAborted();
        const batch = await scan.nextBatch();
        yield batch;
        if (batch.done) return;
      }
    } finally {
      scan.close();
    }
  }

  #newWriter({ source, tabletId, rowsetId }: RewriteItem): RowsetWriter {
    const { schemaVersion } = this.#request;
    const { partitionId } = source;
    return new RowsetWriter({
      identity: { tabletId, rowsetId, partitionId, schemaVersion },
      columns: this.#columns,
      codecs: this.#codecs,
      uploader: this.#uploader,
      config: this.#services.config,
    });
  }
}

/** One function per new column. */
function cellsOf({ columns, nowMs }: RewriteRequest): Cell[] {
  let place = 0;
  return columns.map(({ column, source }): Cell => {
    if (source === undefined) {
      const value = defaultValue(column, { now: () => nowMs });
      return () => value;
    }
    const at = place;
    place += 1;
    const convert = conversion(source, column);
    return (old, row) => convert(old[at] ?? null, row);
  });
}

function conversion(source: ColumnDef, column: ColumnDef): Converter {
  const convert = makeConverter(column);
  if (typeText(source.type) === typeText(column.type)) {
    // The values are in the type's form already; only NULL may be new to the column.
    return (value, row) => (value === null ? convert(null, row) : (value as SqlValue));
  }
  const text = source.type.kind === 'FLOAT' && isText(column.type);
  return (value, row) =>
    convert(text && typeof value === 'number' ? shortestFloat(value) : value, row);
}

function isText({ kind }: ColumnType): boolean {
  return kind === 'CHAR' || kind === 'VARCHAR' || kind === 'STRING';
}

/** As a FLOAT is shown: the fewest digits that are the same float. */
function shortestFloat(value: number): number {
  for (let digits = FLOAT_DIGITS_MIN; digits < FLOAT_DIGITS_MAX; digits += 1) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return short;
  }
  return value;
}
