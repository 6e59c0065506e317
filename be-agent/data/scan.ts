/**
 * A scan over the visible rowsets of some tablets: reads footers, skips row groups that cannot
 * match, fetches only the byte ranges of the wanted columns, and hands out canonical values. It
 * reads ahead by a bounded number of footers and row groups, because each may be a request to the
 * object store.
 */
import type { OpenScanRequest, ScanBatch, ScanTablet } from '../../base/agent_messages.ts';
import { makeConverter } from '../../base/convert.ts';
import { SqlError } from '../../base/errors.ts';
import { ObjectStoreError } from '../../base/ports.ts';
import {
  type ColumnDef,
  type RowsetMeta,
  type SegmentMeta,
  storedName,
} from '../../base/schema.ts';
import { type ColumnType, type SqlValue, typeText } from '../../base/values.ts';
import { type Physical, columnCodec } from './column_codec.ts';
import type { FooterCache, ReadObject } from './footer_cache.ts';
import { messageOf } from './message_of.ts';
import {
  type ByteRange,
  type ParquetFile,
  type PhysicalColumn,
  chunkRanges,
  joinRanges,
  readRows,
} from './parquet_file.ts';
import { canSkip } from './row_group_filter.ts';
import { FILE_KEYS, type FileColumn } from './segment_writer.ts';

/**
 * Rows of a batch at most: each is held several times on its way to a client (here, as bytes in the
 * server, in the query process). With 65,536 a client that read nothing of three million rows of
 * five columns cost the server 208 MB, see docs/benchmarks.md; from 8,192 to 2,048 the CPU per row
 * is the same.
 */
const BATCH_ROWS_MAX = 4096;
/** Small row groups are joined until a batch has this many rows. */
const BATCH_ROWS_MIN = 2048;
/** Footers asked for at once. */
const FOOTERS_AHEAD = 8;
/** Row groups whose bytes are read before they are asked for. */
const GROUPS_AHEAD = 2;
/** Unwanted bytes read to save a request. */
const JOIN_GAP_BYTES = 64 * 1024;

export interface SegmentSource {
  readonly tablet: ScanTablet;
  readonly rowset: RowsetMeta;
  readonly segment: SegmentMeta;
}

/** The object of a segment, read through the cache. */
export type OpenObject = (source: SegmentSource) => ReadObject;

interface OpenSegment {
  readonly object: ReadObject;
  readonly file: ParquetFile;
  readonly types: ReadonlyMap<string, ColumnType>;
}

interface GroupRef {
  readonly segment: OpenSegment;
  readonly group: number;
  readonly start: number;
  readonly rows: number;
}

/** Bytes of a row group that wait to be decoded: many times smaller than its values. */
interface FetchedGroup {
  readonly ref: GroupRef;
  /** Names of the wanted columns that the file has. */
  readonly names: readonly string[];
  readonly read: (start: number, end?: number) => ArrayBuffer;
}

interface Block {
  readonly rows: number;
  readonly columns: readonly SqlValue[][];
}

/**
 * A row group as it is stored. Its values are made for one batch after the other: a date of eight
 * bytes becomes a text of some sixty.
 */
interface Group {
  /** For messages. */
  readonly key: string;
  readonly rows: number;
  /** Values of rows [start, end), by column. */
  readonly columns: readonly ((start: number, end: number) => SqlValue[])[];
}

/** What is left of a row group. */
interface Rest {
  readonly group: Group;
  readonly from: number;
}

export class Scan {
  readonly #request: OpenScanRequest;
  readonly #openObject: OpenObject;
  readonly #footers: FooterCache;
  readonly #groups: AsyncGenerator<GroupRef, void, undefined>;
  readonly #ahead: Promise<FetchedGroup | undefined>[] = [];
  #tail: Promise<unknown> = Promise.resolve();
  #rest: Rest | undefined;
  #closed = false;

  constructor(request: OpenScanRequest, openObject: OpenObject, footers: FooterCache) {
    this.#request = request;
    this.#openObject = openObject;
    this.#footers = footers;
    this.#groups = this.#walk();
  }

  /** The next rows; after `done` only empty batches. Throws CORRUPT_OBJECT, STORE_FAILED. */
  async nextBatch(): Promise<ScanBatch> {
    const { columns } = this.#request;
    if (columns.length === 0) return this.#countBatch();
    const parts: Block[] = [];
    let rows = 0;
    while (rows < BATCH_ROWS_MIN) {
      const rest = this.#rest ?? (await this.#nextRest());
      this.#rest = undefined;
      if (rest === undefined) return { rows, columns: joinBlocks(parts, columns), done: true };
      const { group, from } = rest;
      const end = Math.min(group.rows, from + BATCH_ROWS_MAX - rows);
      parts.push(await valuesOf(group, from, end));
      if (end < group.rows) this.#rest = { group, from: end };
      rows += end - from;
    }
    return { rows, columns: joinBlocks(parts, columns), done: false };
  }

  /** Reads that are on their way end by themselves; nothing new begins. */
  close(): void {
    this.#closed = true;
    this.#rest = undefined;
    this.#ahead.length = 0;
  }

  /** The catalog knows how many rows there are, so nothing is read. */
  #countBatch(): ScanBatch {
    if (this.#closed) return { rows: 0, columns: [], done: true };
    this.close();
    const rowsets = this.#request.tablets.flatMap((tablet) => tablet.rowsets);
    return { rows: rowsets.reduce((sum, { rows }) => sum + rows, 0), columns: [], done: true };
  }

  async #nextRest(): Promise<Rest | undefined> {
    while (this.#ahead.length < GROUPS_AHEAD && !this.#closed) {
      const group = this.#startRead();
      // Whoever takes it sees the failure; a scan that was closed before that does not.
      group.catch(() => undefined);
      this.#ahead.push(group);
    }
    const fetched = await this.#ahead.shift();
    if (fetched === undefined || this.#closed) return undefined;
    return { group: await this.#decode(fetched), from: 0 };
  }

  /** Finding the next group is strictly in order, reading it is not. */
  async #startRead(): Promise<FetchedGroup | undefined> {
    const found = this.#tail.then(() => this.#groups.next());
    this.#tail = found.catch(() => undefined);
    const { value } = await found;
    return value === undefined || this.#closed ? undefined : this.#fetch(value);
  }

  async *#walk(): AsyncGenerator<GroupRef, void, undefined> {
    const sources = this.#request.tablets.flatMap((tablet) =>
      tablet.rowsets.flatMap((rowset) =>
        rowset.segments.map((segment): SegmentSource => ({ tablet, rowset, segment })),
      ),
    );
    // A queue: a scan over many segments must not hold all of their footers.
    const opening: Promise<OpenSegment>[] = [];
    for (const [index] of sources.entries()) {
      const next = index + opening.length;
      for (const source of sources.slice(next, index + FOOTERS_AHEAD)) {
        const segment = this.#openSegment(source);
        segment.catch(() => undefined);
        opening.push(segment);
      }
      const segment = await opening.shift();
      if (segment === undefined || this.#closed) return;
      yield* this.#groupsOf(segment);
    }
  }

  async #openSegment(source: SegmentSource): Promise<OpenSegment> {
    const object = this.#openObject(source);
    return damageAs(object.key, async () => {
      const file = await this.#footers.open(object);
      const tablet = file.keys.get(FILE_KEYS.tablet);
      if (tablet !== String(source.tablet.tabletId)) {
        throw new Error(`it belongs to tablet ${tablet ?? 'none'}`);
      }
      if (file.rows !== source.segment.rows) {
        throw new Error(`it has ${file.rows} rows instead of ${source.segment.rows}`);
      }
      return { object, file, types: fileTypes(file) };
    });
  }

  *#groupsOf(segment: OpenSegment): Generator<GroupRef, void, undefined> {
    const { columns } = this.#request;
    // After an ALTER of the type the statistics have another order than the engine's comparison.
    const predicates = this.#request.predicates.flatMap((predicate) => {
      const column = columns.find(({ name }) => name === predicate.column);
      if (column === undefined) return [];
      const stored = segment.types.get(storedName(column));
      const isUsable = stored !== undefined && sameType(column.type, stored);
      return isUsable ? [{ ...predicate, column: storedName(column) }] : [];
    });
    let start = 0;
    for (const [group, { num_rows }] of segment.file.metadata.row_groups.entries()) {
      const rows = Number(num_rows);
      if (!canSkip(segment.file, group, segment.types, predicates)) {
        yield { segment, group, start, rows };
      }
      start += rows;
    }
  }

  async #fetch(ref: GroupRef): Promise<FetchedGroup> {
    const { object, file, types } = ref.segment;
    return damageAs(object.key, async () => {
      const names = this.#request.columns.map(storedName).filter((name) => types.has(name));
      const chunks = chunkRanges(file, ref.group, new Set(names), object.size);
      return { ref, names, read: await fetchRanges(object, joinRanges(chunks, JOIN_GAP_BYTES)) };
    });
  }

  async #decode({ ref, names, read }: FetchedGroup): Promise<Group> {
    const { segment, start, rows } = ref;
    const { object, file, types } = segment;
    return damageAs(object.key, async () => {
      const wanted = this.#request.columns;
      const decoded =
        names.length === 0
          ? []
          : await readRows(file, names, start, start + rows, object.size, read);
      const columns = wanted.map((column) => {
        const data = decoded[names.indexOf(storedName(column))];
        const type = types.get(storedName(column));
        return data === undefined || type === undefined
          ? missing(column)
          : canonical(data, type, column);
      });
      return { key: object.key, rows, columns };
    });
  }
}

async function valuesOf({ key, columns }: Group, start: number, end: number): Promise<Block> {
  return await damageAs(key, () => ({
    rows: end - start,
    columns: columns.map((values) => values(start, end)),
  }));
}

/** The SQL types the file was written with. */
function fileTypes(file: ParquetFile): Map<string, ColumnType> {
  const columns = JSON.parse(file.keys.get(FILE_KEYS.columns) ?? 'null') as FileColumn[] | null;
  if (columns === null) throw new Error('it has no Thermocline column list');
  return new Map(columns.map(({ name, type }) => [name, type]));
}

/** Reads each range once and answers the decoder's requests from memory. */
async function fetchRanges(
  object: ReadObject,
  ranges: readonly ByteRange[],
): Promise<(start: number, end?: number) => ArrayBuffer> {
  const parts = await Promise.all(
    ranges.map(async ({ start, end }) => {
      const bytes = await object.read(start, end - start);
      if (bytes.byteLength !== end - start) throw new Error('it is shorter than its footer says');
      return { start, end, bytes };
    }),
  );
  return (start, end = object.size) => {
    const part = parts.find((candidate) => candidate.start <= start && end <= candidate.end);
    if (part === undefined) throw new Error(`bytes ${start} to ${end} are in no column`);
    const { bytes } = part;
    const from = bytes.byteOffset + start - part.start;
    // A copy: the decoder lays typed arrays over the buffer, and the cache may reuse its own.
    const copy = new Uint8Array(end - start);
    copy.set(new Uint8Array(bytes.buffer, from, end - start));
    return copy.buffer;
  };
}

/** A column added by a later ALTER: every older row has its default. */
function missing(column: ColumnDef): Group['columns'][number] {
  const given = column.defaultValue;
  const constant = given === undefined || (given !== null && typeof given === 'object');
  return (start, end) => Array.from({ length: end - start }, () => (constant ? null : given));
}

function canonical(
  data: PhysicalColumn,
  stored: ColumnType,
  column: ColumnDef,
): Group['columns'][number] {
  const { decode } = columnCodec(stored);
  const decoded = (start: number, end: number): SqlValue[] => {
    const values: SqlValue[] = [];
    for (let at = start; at < end; at += 1) {
      const value: Physical | null | undefined = data[at];
      values.push(value === null || value === undefined ? null : decode(value));
    }
    return values;
  };
  if (sameType(stored, column.type)) return decoded;
  const convert = makeConverter({ ...column, nullable: true });
  return (start, end) => decoded(start, end).map((value, i) => convert(value, start + i + 1));
}

function sameType(left: ColumnType, right: ColumnType): boolean {
  return left.kind === right.kind && typeText(left) === typeText(right);
}

function joinBlocks(parts: readonly Block[], columns: readonly ColumnDef[]): SqlValue[][] {
  const [only] = parts;
  if (parts.length === 1 && only !== undefined) return [...only.columns];
  return columns.map((_, i) => parts.flatMap((part) => part.columns[i] ?? []));
}

/** What goes wrong while decoding is damage of the object; what the store says is the store's. */
async function damageAs<T>(key: string, work: () => Promise<T> | T): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof SqlError) throw error;
    if (error instanceof ObjectStoreError) {
      throw new SqlError('STORE_FAILED', { what: error.message }, { cause: error });
    }
    throw new SqlError('CORRUPT_OBJECT', { key, what: messageOf(error) }, { cause: error });
  }
}
