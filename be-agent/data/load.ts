/**
 * A load on a backend: converts rows, routes each to its tablet, writes Parquet segments straight
 * into the vault, or to the replicas, with bounded memory. Nothing of it is visible before the server commits the
 * rowsets; when anything fails, what was written is deleted and the cause is thrown.
 */
import { setImmediate } from 'node:timers/promises';
import type { LoadOutcome, LoadTarget } from '../../base/agent_messages.ts';
import type { Config } from '../../base/config.ts';
import { SqlError } from '../../base/errors.ts';
import { type RowsetId, type TabletId, rowsetId } from '../../base/ids.ts';
import type { Clock, Log, ObjectStore, Random } from '../../base/ports.ts';
import {
  type ColumnDef,
  type NewRowset,
  type SegmentMeta,
  type TableDef,
  columnsOfIndex,
  segmentKey,
} from '../../base/schema.ts';
import type { SqlValue } from '../../base/values.ts';
import type { ColumnCodec } from './column_codec.ts';
import { type RowBatch, type SourceRow, isBadRow } from './row_batch.ts';
import { type Place, RowConverter } from './row_converter.ts';
import { SegmentUploader } from './segment_uploader.ts';
import { type BuiltSegment, SEGMENT_ROWS_MAX, SegmentBuilder, codecsOf } from './segment_writer.ts';

/** Errors of refused rows that an answer quotes; the rest only count. */
const ROW_ERRORS_MAX = 10;

/** Rows after which other work of the thread (heartbeats, reads) gets its turn, some 20 ms. */
const ROWS_WITHOUT_PAUSE = 4096;

/** Where a load's segments go. */
export interface LoadSink {
  /** Bytes of the bodies that are on their way. */
  readonly bytesInFlight: number;
  /** Begins to write a segment; waits while too many are being written. Throws earlier failures. */
  add(rowset: Pick<NewRowset, 'tabletId' | 'rowsetId'>, built: BuiltSegment): Promise<void>;
  /** One of those that are on their way has ended. */
  waitForOne(): Promise<void>;
  /**
   * All are written. `rowsets` are those that got rows; what is given back belongs to the outcome.
   * Throws the first failure.
   */
  finish(rowsets: readonly NewRowset[]): Promise<Pick<LoadOutcome, 'rowsets' | 'prepared'>>;
  /** Deletes what was written, as well as it can. */
  discard(): Promise<void>;
}

export interface LoadServices {
  readonly store: ObjectStore;
  /** Replicas, instead of the store; needed for a target with `replicas`. */
  readonly sink?: LoadSink;
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

/** An index of the table: where its tablets are, and which columns of a row it has. */
interface IndexTarget {
  readonly tablets: LoadTarget['tablets'];
  readonly columns: readonly ColumnDef[];
  readonly codecs: readonly ColumnCodec[];
  /** Places of its columns in a row of the table; undefined: all, in order. */
  readonly places: readonly number[] | undefined;
}

interface TabletWriter {
  readonly place: Place;
  readonly index: IndexTarget;
  readonly tabletId: TabletId;
  readonly rowsetId: RowsetId;
  readonly segments: SegmentMeta[];
  builder: SegmentBuilder;
}

class Load {
  readonly #table: TableDef;
  readonly #services: LoadServices;
  readonly #converter: RowConverter;
  readonly #indexes: readonly IndexTarget[];
  readonly #sink: LoadSink;
  readonly #ratio: number;
  readonly #signal: AbortSignal | undefined;
  /** By place, `partition * 2^20 + bucket`: one for every index. */
  readonly #writers = new Map<number, readonly TabletWriter[]>();
  readonly #rowErrors: string[] = [];
  #heldBytes = 0;
  #rows = 0;
  #filtered = 0;
  #sourceBytes = 0;

  constructor(target: LoadTarget, options: LoadOptions, services: LoadServices) {
    const { columns, strict = true, partitions, signal } = options;
    const { store, clock, log } = services;
    this.#table = target.table;
    this.#services = services;
    this.#ratio = options.maxFilterRatio ?? 0;
    this.#signal = signal;
    const narrowed = partitions === undefined ? {} : { partitions };
    this.#converter = new RowConverter(target.table, { columns, strict, ...narrowed }, clock);
    this.#indexes = indexTargets(target);
    const aborts = signal === undefined ? {} : { signal };
    const { sink } = services;
    if (target.replicas !== undefined && sink === undefined) {
      throw new TypeError('a load of a replicated table needs its replicas');
    }
    this.#sink = sink ?? new VaultSink(new SegmentUploader({ store, clock, log, ...aborts }));
  }

  async add(batch: RowBatch): Promise<void> {
    this.#signal?.throwIfAborted();
    this.#sourceBytes += batch.bytes;
    for (const row of batch.rows) {
      for (const writer of this.#addRow(row)) {
        if (this.#isFull(writer)) await this.#makeRoom(writer);
      }
      if (this.#rows % ROWS_WITHOUT_PAUSE === 0) await setImmediate();
    }
  }

  async finish(): Promise<LoadReport> {
    this.#checkRatio();
    for (const writer of this.#allWriters()) await this.#flush(writer);
    const rowsets = [...this.#allWriters()].map((writer) => this.#rowset(writer));
    const written = await this.#sink.finish(rowsets);
    this.#signal?.throwIfAborted();
    return {
      ...written,
      loadedRows: this.#rows - this.#filtered,
      filteredRows: this.#filtered,
      unselectedRows: 0,
      loadBytes: this.#sourceBytes,
      rowErrors: this.#rowErrors,
    };
  }

  async discard(): Promise<void> {
    this.#writers.clear();
    await this.#sink.discard();
  }

  *#allWriters(): Generator<TabletWriter> {
    for (const writers of this.#writers.values()) yield* writers;
  }

  /** The writers that got it; none when it was refused. */
  #addRow(source: SourceRow): readonly TabletWriter[] {
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
      return [];
    }
    const writers = this.#writersOf(place);
    for (const { builder, index } of writers) {
      const before = builder.bytes;
      builder.append(index.places?.map((at) => values[at] ?? null) ?? values);
      this.#heldBytes += builder.bytes - before;
    }
    return writers;
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
      this.#heldBytes + this.#sink.bytesInFlight >= config.get('load_memory_bytes')
    );
  }

  /** Writes the full tablet, then the largest ones until the load holds less than its share. */
  async #makeRoom(full: TabletWriter): Promise<void> {
    const { config } = this.#services;
    const limit = config.get('load_memory_bytes');
    const { builder } = full;
    const segmentFull = builder.bytes >= config.get('segment_max_bytes');
    if (segmentFull || builder.rows >= SEGMENT_ROWS_MAX) await this.#flush(full);
    while (this.#heldBytes + this.#sink.bytesInFlight >= limit) {
      // Writing small segments does not help while it is the uploads that hold the memory.
      if (this.#sink.bytesInFlight >= limit / 2) await this.#sink.waitForOne();
      else if (!(await this.#flushLargest())) return;
    }
  }

  async #flushLargest(): Promise<boolean> {
    let largest: TabletWriter | undefined;
    for (const writer of this.#allWriters()) {
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
    const built = await builder.build();
    segments.push(built.meta);
    this.#heldBytes -= builder.bytes;
    writer.builder = this.#newBuilder(writer.index, tabletId, writer.rowsetId, segments.length);
    await this.#sink.add(writer, built);
  }

  #writersOf(place: Place): readonly TabletWriter[] {
    const key = place.partition * 2 ** 20 + place.bucket;
    const known = this.#writers.get(key);
    if (known !== undefined) return known;
    const writers = this.#indexes.map((index): TabletWriter => {
      const tabletId = index.tablets[place.partition]?.[place.bucket];
      if (tabletId === undefined) {
        throw new TypeError(`no tablet for partition ${place.partition} bucket ${place.bucket}`);
      }
      const rowset = rowsetId(Buffer.from(this.#services.random.bytes(16)).toString('hex'));
      const builder = this.#newBuilder(index, tabletId, rowset, 0);
      return { place, index, tabletId, rowsetId: rowset, segments: [], builder };
    });
    this.#writers.set(key, writers);
    return writers;
  }

  #newBuilder(
    { columns, codecs }: IndexTarget,
    tabletId: TabletId,
    rowset: RowsetId,
    segment: number,
  ): SegmentBuilder {
    const { schemaVersion } = this.#table;
    const identity = { tabletId, rowsetId: rowset, segment, schemaVersion };
    return new SegmentBuilder(columns, codecs, identity);
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

class VaultSink implements LoadSink {
  readonly #uploader: SegmentUploader;

  constructor(uploader: SegmentUploader) {
    this.#uploader = uploader;
  }

  get bytesInFlight(): number {
    return this.#uploader.bytesInFlight;
  }

  async add(
    { tabletId, rowsetId: rowset }: Pick<NewRowset, 'tabletId' | 'rowsetId'>,
    { meta, body }: BuiltSegment,
  ): Promise<void> {
    await this.#uploader.add(segmentKey(tabletId, rowset, meta.segment), body);
  }

  async waitForOne(): Promise<void> {
    await this.#uploader.waitForOne();
  }

  async finish(rowsets: readonly NewRowset[]): Promise<Pick<LoadOutcome, 'rowsets'>> {
    await this.#uploader.finish();
    return { rowsets };
  }

  async discard(): Promise<void> {
    await this.#uploader.discard();
  }
}

/** The base index first. */
function indexTargets({ table, tablets, rollups }: LoadTarget): IndexTarget[] {
  const { columns } = table;
  const base = { tablets, columns, codecs: codecsOf(columns), places: undefined };
  return [
    base,
    ...rollups.map((rollup): IndexTarget => {
      const own = columnsOfIndex(table, rollup.indexId);
      const places = own.map(({ name }) => columns.findIndex((column) => column.name === name));
      return { tablets: rollup.tablets, columns: own, codecs: codecsOf(own), places };
    }),
  ];
}

function badRow(row: number, problem: string): SqlError {
  return new SqlError('LOAD_FAILED', { why: `row ${row}: ${problem}` });
}
