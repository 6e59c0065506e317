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
import type { ColumnDef, NewRowset, SegmentMeta } from '../../base/schema.ts';
import { segmentKey } from '../../base/schema.ts';
import { type ColumnType, type SqlValue, typeText } from '../../base/values.ts';
import type { ColumnCodec } from './column_codec.ts';
import { FooterCache } from './footer_cache.ts';
import type { LoadServices } from './load.ts';
import { type OpenObject, Scan } from './scan.ts';
import { SegmentUploader } from './segment_uploader.ts';
import { SEGMENT_ROWS_MAX, SegmentBuilder, codecsOf } from './segment_writer.ts';

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
    const segments: SegmentMeta[] = [];
    let builder = this.#newBuilder(item, 0);
    let row = 0;
    for await (const { rows, columns } of this.#batches(item)) {
      for (let at = 0; at < rows; at += 1) {
        row += 1;
        const old = columns.map((column) => column[at] ?? null);
        builder.append(this.#cells.map((cell) => cell(old, row)));
        if (this.#isFull(builder)) {
          segments.push(await this.#write(item, builder));
          builder = this.#newBuilder(item, segments.length);
        }
        if (row % ROWS_WITHOUT_PAUSE === 0) await setImmediate();
      }
    }
    if (builder.rows > 0) segments.push(await this.#write(item, builder));
    const { source, tabletId, rowsetId } = item;
    if (row !== source.rows) {
      const what = `it has ${row} rows instead of ${source.rows}`;
      throw new SqlError('CORRUPT_OBJECT', { key: `rowset ${source.rowsetId}`, what });
    }
    const bytes = segments.reduce((sum, segment) => sum + segment.bytes, 0);
    const { partitionId } = source;
    return { rowsetId, tabletId, partitionId, rows: row, bytes, segments };
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

  #isFull({ bytes, rows }: SegmentBuilder): boolean {
    const { config } = this.#services;
    const limit = Math.min(config.get('segment_max_bytes'), config.get('load_memory_bytes') / 2);
    return bytes >= limit || rows >= SEGMENT_ROWS_MAX;
  }

  async #write(item: RewriteItem, builder: SegmentBuilder): Promise<SegmentMeta> {
    this.#signal.throwIfAborted();
    const { meta, body } = await builder.build();
    const half = this.#services.config.get('load_memory_bytes') / 2;
    while (this.#uploader.bytesInFlight >= half) await this.#uploader.waitForOne();
    await this.#uploader.add(segmentKey(item.tabletId, item.rowsetId, meta.segment), body);
    return meta;
  }

  #newBuilder({ tabletId, rowsetId }: RewriteItem, segment: number): SegmentBuilder {
    const { schemaVersion } = this.#request;
    const identity = { tabletId, rowsetId, segment, schemaVersion };
    return new SegmentBuilder(this.#columns, this.#codecs, identity);
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
