/**
 * A load on a backend: converts rows, routes each to its tablet, writes Parquet segments straight
 * into the vault with bounded memory. Nothing of it is visible before the server commits the
 * rowsets; when anything fails, what was written is deleted and the cause is thrown.
 */
import { setImmediate } from 'node:timers/promises';
import type { LoadOutcome, LoadTarget } from '../../base/agent_messages.ts';
import type { Config } from '../../base/config.ts';
import { SqlError } from '../../base/errors.ts';
import { type RowsetId, type TabletId, rowsetId } from '../../base/ids.ts';
import type { Clock, Log, ObjectStore, Random } from '../../base/ports.ts';
import { type NewRowset, type SegmentMeta, type TableDef, segmentKey } from '../../base/schema.ts';
import type { SqlValue } from '../../base/values.ts';
import type { ColumnCodec } from './column_codec.ts';
import { type RowBatch, type SourceRow, isBadRow } from './row_batch.ts';
import { type Place, RowConverter } from './row_converter.ts';
import { SegmentUploader } from './segment_uploader.ts';
import { SEGMENT_ROWS_MAX, SegmentBuilder, codecsOf } from './segment_writer.ts';

/** Errors of refused rows that an answer quotes; the rest only count. */
const ROW_ERRORS_MAX = 10;

/** Rows after which other work of the thread (heartbeats, reads) gets its turn, some 20 ms. */
const ROWS_WITHOUT_PAUSE = 4096;

export interface LoadServices {
  readonly store: ObjectStore;
  readonly clock: Clock;
  readonly random: Random;
  readonly config: Config;
  readonly log: Log;
}

export interface LoadOptions {
  /** Column names the rows have, in order. */
  readonly columns: readonly string[];
  /** Share of refused rows that is tolerated, 0..1. Default 0: the first one fails the load. */
  readonly maxFilterRatio?: number;
  /** Default true; see RowConverterOptions. */
  readonly strict?: boolean;
  readonly partitions?: readonly string[];
  readonly signal?: AbortSignal;
}

export interface LoadReport extends LoadOutcome {
  /** The first errors of refused rows, at most ROW_ERRORS_MAX. */
  readonly rowErrors: readonly string[];
}

/** Throws the first bad row's error, LOAD_TOO_MANY_FILTERED, STORE_FAILED, or the signal's reason. */
export async function runLoad(
  target: LoadTarget,
  rows: AsyncIterable<RowBatch> | Iterable<RowBatch>,
  options: LoadOptions,
  services: LoadServices,
): Promise<LoadReport> {
  const load = new Load(target, options, services);
  try {
    for await (const batch of rows) await load.add(batch);
    return await load.finish();
  } catch (error) {
    await load.discard();
    throw error;
  }
}

interface TabletWriter {
  readonly place: Place;
  readonly tabletId: TabletId;
  readonly rowsetId: RowsetId;
  readonly segments: SegmentMeta[];
  builder: SegmentBuilder;
}

class Load {
  readonly #target: LoadTarget;
  readonly #table: TableDef;
  readonly #services: LoadServices;
  readonly #converter: RowConverter;
  readonly #codecs: readonly ColumnCodec[];
  readonly #uploader: SegmentUploader;
  readonly #ratio: number;
  readonly #signal: AbortSignal | undefined;
  /** By place: `partition * 2^20 + bucket`. */
  readonly #writers = new Map<number, TabletWriter>();
  readonly #rowErrors: string[] = [];
  #heldBytes = 0;
  #rows = 0;
  #filtered = 0;
  #sourceBytes = 0;

  constructor(target: LoadTarget, options: LoadOptions, services: LoadServices) {
    const { columns, strict = true, partitions, signal } = options;
    const { store, clock, log } = services;
    this.#target = target;
    this.#table = target.table;
    this.#services = services;
    this.#ratio = options.maxFilterRatio ?? 0;
    this.#signal = signal;
    const narrowed = partitions === undefined ? {} : { partitions };
    this.#converter = new RowConverter(target.table, { columns, strict, ...narrowed }, clock);
    this.#codecs = codecsOf(target.table.columns);
    const aborts = signal === undefined ? {} : { signal };
    this.#uploader = new SegmentUploader({ store, clock, log, ...aborts });
  }

  async add(batch: RowBatch): Promise<void> {
    this.#signal?.throwIfAborted();
    this.#sourceBytes += batch.bytes;
    for (const row of batch.rows) {
      const writer = this.#addRow(row);
      if (writer !== undefined) await this.#makeRoom(writer);
      if (this.#rows % ROWS_WITHOUT_PAUSE === 0) await setImmediate();
    }
  }

  async finish(): Promise<LoadReport> {
    this.#checkRatio();
    for (const writer of this.#writers.values()) await this.#flush(writer);
    await this.#uploader.finish();
    this.#signal?.throwIfAborted();
    return {
      rowsets: [...this.#writers.values()].map((writer) => this.#rowset(writer)),
      loadedRows: this.#rows - this.#filtered,
      filteredRows: this.#filtered,
      unselectedRows: 0,
      loadBytes: this.#sourceBytes,
      rowErrors: this.#rowErrors,
    };
  }

  async discard(): Promise<void> {
    this.#writers.clear();
    await this.#uploader.discard();
  }

  /** The writer when it may have become too big. */
  #addRow(source: SourceRow): TabletWriter | undefined {
    this.#rows += 1;
    const row = this.#rows;
    let values: SqlValue[];
    let place: Place;
    try {
      if (isBadRow(source)) throw badRow(row, source.problem);
      values = this.#converter.convert(source, row);
      place = this.#converter.place(values, row);
    } catch (error) {
      this.#refuse(error);
      return undefined;
    }
    const writer = this.#writer(place);
    const before = writer.builder.bytes;
    writer.builder.append(values);
    this.#heldBytes += writer.builder.bytes - before;
    return this.#isFull(writer) ? writer : undefined;
  }

  #refuse(error: unknown): void {
    if (!(error instanceof SqlError) || this.#ratio === 0) throw error;
    this.#filtered += 1;
    if (this.#rowErrors.length < ROW_ERRORS_MAX) this.#rowErrors.push(error.message);
  }

  #checkRatio(): void {
    if (this.#filtered <= this.#ratio * this.#rows) return;
    throw new SqlError('LOAD_TOO_MANY_FILTERED', {
      filtered: this.#filtered,
      total: this.#rows,
      ratio: this.#ratio,
      first: this.#rowErrors[0] ?? '',
    });
  }

  #isFull({ builder }: TabletWriter): boolean {
    const { config } = this.#services;
    return (
      builder.bytes >= config.get('segment_max_bytes') ||
      builder.rows >= SEGMENT_ROWS_MAX ||
      this.#heldBytes + this.#uploader.bytesInFlight >= config.get('load_memory_bytes')
    );
  }

  /** Writes the full tablet, then the largest ones until the load holds less than its share. */
  async #makeRoom(full: TabletWriter): Promise<void> {
    const { config } = this.#services;
    const limit = config.get('load_memory_bytes');
    const { builder } = full;
    const segmentFull = builder.bytes >= config.get('segment_max_bytes');
    if (segmentFull || builder.rows >= SEGMENT_ROWS_MAX) await this.#flush(full);
    while (this.#heldBytes + this.#uploader.bytesInFlight >= limit) {
      // Writing small segments does not help while it is the uploads that hold the memory.
      if (this.#uploader.bytesInFlight >= limit / 2) await this.#uploader.waitForOne();
      else if (!(await this.#flushLargest())) return;
    }
  }

  async #flushLargest(): Promise<boolean> {
    let largest: TabletWriter | undefined;
    for (const writer of this.#writers.values()) {
      if (writer.builder.bytes > (largest?.builder.bytes ?? 0)) largest = writer;
    }
    if (largest === undefined) return false;
    await this.#flush(largest);
    return true;
  }

  async #flush(writer: TabletWriter): Promise<void> {
    const { builder, tabletId, segments } = writer;
    if (builder.rows === 0) return;
    this.#signal?.throwIfAborted();
    const { meta, body } = await builder.build();
    segments.push(meta);
    this.#heldBytes -= builder.bytes;
    writer.builder = this.#newBuilder(tabletId, writer.rowsetId, segments.length);
    await this.#uploader.add(segmentKey(tabletId, writer.rowsetId, meta.segment), body);
  }

  #writer(place: Place): TabletWriter {
    const key = place.partition * 2 ** 20 + place.bucket;
    const known = this.#writers.get(key);
    if (known !== undefined) return known;
    const tabletId = this.#target.tablets[place.partition]?.[place.bucket];
    if (tabletId === undefined) {
      throw new TypeError(`no tablet for partition ${place.partition} bucket ${place.bucket}`);
    }
    const rowset = rowsetId(Buffer.from(this.#services.random.bytes(16)).toString('hex'));
    const builder = this.#newBuilder(tabletId, rowset, 0);
    const writer = { place, tabletId, rowsetId: rowset, segments: [], builder };
    this.#writers.set(key, writer);
    return writer;
  }

  #newBuilder(tabletId: TabletId, rowset: RowsetId, segment: number): SegmentBuilder {
    const { columns, schemaVersion } = this.#table;
    const identity = { tabletId, rowsetId: rowset, segment, schemaVersion };
    return new SegmentBuilder(columns, this.#codecs, identity);
  }

  #rowset({ place, tabletId, rowsetId: id, segments }: TabletWriter): NewRowset {
    const partition = this.#table.partitions[place.partition];
    if (partition === undefined) throw new TypeError(`no partition ${place.partition}`);
    return {
      rowsetId: id,
      tabletId,
      partitionId: partition.partitionId,
      rows: segments.reduce((sum, segment) => sum + segment.rows, 0),
      bytes: segments.reduce((sum, segment) => sum + segment.bytes, 0),
      segments,
    };
  }
}

function badRow(row: number, problem: string): SqlError {
  return new SqlError('LOAD_FAILED', { why: `row ${row}: ${problem}` });
}
