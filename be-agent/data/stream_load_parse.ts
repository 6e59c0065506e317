/** The body of a stream load → source columns and rows, in bounded memory whatever its size. */
import { mkdtemp, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable, pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';
import type { LoadTarget } from '../../base/agent_messages.ts';
import { quoteValue } from '../../base/convert.ts';
import { SqlError } from '../../base/errors.ts';
import type { TableDef } from '../../base/schema.ts';
import { type CsvRecord, CsvReader } from './csv_rows.ts';
import { ArraySplitter, type JsonSplitter, LineSplitter, WholeBody, jsonRow } from './json_rows.ts';
import { type LoadReport, type LoadServices, runLoad } from './load.ts';
import { type SpooledParquet, openParquet, parquetRows } from './parquet_rows.ts';
import { messageOf } from './message_of.ts';
import type { RowBatch, SourceRow } from './row_batch.ts';
import type { StreamLoadOptions } from './stream_load_options.ts';

/** Larger chunks of the body are cut, so that a batch of rows stays small. */
const CHUNK_BYTES_MAX = 1024 * 1024;

export interface StreamLoadInput {
  /**
   * When the load fails early, a stream is not destroyed but read to its end and dropped: destroying
   * a request would close the connection before the client has its answer.
   */
  readonly body: AsyncIterable<Uint8Array> | Readable;
  readonly options: StreamLoadOptions;
  readonly target: LoadTarget;
  /** Existing directory for the spool file of Parquet bodies. */
  readonly tempDir: string;
  readonly signal?: AbortSignal;
}

interface Source {
  readonly columns: readonly string[];
  readonly rows: AsyncIterable<RowBatch>;
}

/** Parses and loads a body; nothing is visible before the server commits. Throws SqlError. */
export async function runStreamLoad(
  input: StreamLoadInput,
  services: LoadServices,
): Promise<LoadReport> {
  const body = new CountedBody(input.body, services.config.get('streaming_load_max_bytes'));
  try {
    return await loadBody(body, input, services);
  } finally {
    body.drop();
  }
}

async function loadBody(
  body: CountedBody,
  input: StreamLoadInput,
  services: LoadServices,
): Promise<LoadReport> {
  const { options, target, signal } = input;
  const load = async (source: Source) =>
    runLoad(
      target,
      source.rows,
      {
        columns: source.columns,
        maxFilterRatio: options.maxFilterRatio,
        strict: options.strictMode,
        ...(options.partitions === undefined ? {} : { partitions: options.partitions }),
        ...(signal === undefined ? {} : { signal }),
      },
      services,
    );
  switch (options.format) {
    case 'csv':
    case 'csv_with_names':
      return load(await csvSource(body, options, target.table));
    case 'json':
      return load(jsonSource(body, options, target.table));
    case 'parquet':
      return spooled(body, input.tempDir, async (file) =>
        load(parquetSource(file, body, options, target.table)),
      );
  }
}

/** Counts and limits the bytes of the body, before they are unpacked. */
class CountedBody {
  readonly #source: AsyncIterable<Uint8Array> | Readable;
  readonly #bytesMax: number;
  #bytes = 0;
  #reported = 0;

  constructor(source: AsyncIterable<Uint8Array> | Readable, bytesMax: number) {
    this.#source = source;
    this.#bytesMax = bytesMax;
  }

  /** Bytes since the last call. */
  takeBytes(): number {
    const fresh = this.#bytes - this.#reported;
    this.#reported = this.#bytes;
    return fresh;
  }

  async *raw(): AsyncGenerator<Uint8Array, void, undefined> {
    for await (const chunk of this.#chunks()) {
      this.#bytes += chunk.byteLength;
      if (this.#bytes > this.#bytesMax) {
        const why = `the body exceeds streaming_load_max_bytes (${this.#bytesMax})`;
        throw new SqlError('LOAD_FAILED', { why });
      }
      for (let at = 0; at < chunk.byteLength; at += CHUNK_BYTES_MAX) {
        yield chunk.subarray(at, at + CHUNK_BYTES_MAX);
      }
    }
  }

  /** Reads and drops what is left of a stream. */
  drop(): void {
    if ('resume' in this.#source) this.#source.resume();
  }

  #chunks(): AsyncIterable<Uint8Array> {
    return 'resume' in this.#source
      ? (this.#source.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>)
      : this.#source;
  }

  chunks(gzip: boolean): AsyncGenerator<Uint8Array, void, undefined> {
    return gzip ? this.#unpacked() : this.raw();
  }

  async *#unpacked(): AsyncGenerator<Uint8Array, void, undefined> {
    let failure: unknown;
    const unpacked = pipeline(Readable.from(this.raw()), createGunzip(), (error) => {
      failure = error;
    });
    try {
      for await (const chunk of unpacked) yield chunk as Uint8Array;
    } catch (error) {
      const cause = failure ?? error;
      if (cause instanceof SqlError) throw cause;
      const why = `the gzip stream is damaged or cut off: ${messageOf(cause)}`;
      throw new SqlError('LOAD_FAILED', { why }, { cause });
    }
  }
}

// ---------------------------------------------------------------------------------------------
// CSV

async function csvSource(
  body: CountedBody,
  options: StreamLoadOptions,
  table: TableDef,
): Promise<Source> {
  const records = csvRecords(body, options);
  let names = options.columns ?? table.columns.map(({ name }) => name);
  if (options.format === 'csv_with_names') {
    const header = await takeHeader(records);
    if (options.columns === undefined) names = header.names;
    return csvRows(names, options, table, chain(header.rest, records), body);
  }
  return csvRows(names, options, table, records, body);
}

async function* csvRecords(
  body: CountedBody,
  options: StreamLoadOptions,
): AsyncGenerator<CsvRecord[], void, undefined> {
  const reader = new CsvReader(options);
  for await (const chunk of body.chunks(options.gzip)) yield reader.push(chunk);
  yield reader.end();
}

async function takeHeader(
  records: AsyncGenerator<CsvRecord[], void, undefined>,
): Promise<{ names: readonly string[]; rest: CsvRecord[] }> {
  for (;;) {
    const { value, done } = await records.next();
    if (done === true) throw new SqlError('LOAD_FAILED', { why: 'the line of names is missing' });
    const [header, ...rest] = value;
    if (header === undefined) continue;
    if (header.problem !== undefined) {
      throw new SqlError('LOAD_FAILED', { why: `line of names: ${header.problem}` });
    }
    return { names: header.fields.map((name) => name.trim()), rest };
  }
}

async function* chain(
  first: CsvRecord[],
  rest: AsyncIterable<CsvRecord[]>,
): AsyncGenerator<CsvRecord[], void, undefined> {
  yield first;
  yield* rest;
}

/** Columns named in `columns` that the table has not are read and dropped, as in Doris. */
function csvRows(
  names: readonly string[],
  options: StreamLoadOptions,
  table: TableDef,
  records: AsyncIterable<CsvRecord[]>,
  body: CountedBody,
): Source {
  const known = new Set(table.columns.map(({ name }) => name.toLowerCase()));
  const dropUnknown = options.columns !== undefined;
  const kept = names.flatMap((name, i) => (!dropUnknown || known.has(name.toLowerCase()) ? i : []));
  const toRow = ({ fields, problem }: CsvRecord): SourceRow[] => {
    if (problem !== undefined) return [{ problem }];
    if (fields.length !== names.length) {
      if (fields.length === 1 && fields[0] === '') return [];
      const line = quoteValue(fields.join(options.columnSeparator));
      return [{ problem: `${fields.length} values for ${names.length} columns: ${line}` }];
    }
    return [kept.map((i) => (fields[i] === '\\N' ? null : fields[i]))];
  };
  async function* rows(): AsyncGenerator<RowBatch, void, undefined> {
    for await (const batch of records) {
      yield { rows: batch.flatMap(toRow), bytes: body.takeBytes() };
    }
  }
  return { columns: kept.map((i) => names[i] ?? ''), rows: rows() };
}

// ---------------------------------------------------------------------------------------------
// JSON

/** Fields that the table has not are not loaded, as in Doris. */
function jsonSource(body: CountedBody, options: StreamLoadOptions, table: TableDef): Source {
  const known = new Set(table.columns.map(({ name }) => name.toLowerCase()));
  const columns =
    options.columns?.filter((name) => known.has(name.toLowerCase())) ??
    table.columns.map(({ name }) => name);
  const splitter: JsonSplitter = options.stripOuterArray
    ? new ArraySplitter()
    : options.readJsonByLine
      ? new LineSplitter()
      : new WholeBody();
  const toRows = (values: readonly Buffer[]): SourceRow[] =>
    values.flatMap((value) => {
      const row = jsonRow(value, columns);
      if (row !== undefined) return [row];
      return options.stripOuterArray ? [{ problem: 'an empty array element' }] : [];
    });
  async function* rows(): AsyncGenerator<RowBatch, void, undefined> {
    for await (const chunk of body.chunks(options.gzip)) {
      yield { rows: toRows(splitter.push(chunk)), bytes: body.takeBytes() };
    }
    yield { rows: toRows(splitter.end()), bytes: body.takeBytes() };
  }
  return { columns, rows: rows() };
}

// ---------------------------------------------------------------------------------------------
// Parquet

async function spooled<T>(
  body: CountedBody,
  tempDir: string,
  work: (file: SpooledParquet) => Promise<T>,
): Promise<T> {
  const directory = await mkdtemp(join(tempDir, 'stream-load-'));
  try {
    const handle = await open(join(directory, 'body.parquet'), 'wx+');
    try {
      for await (const chunk of body.raw()) await handle.writeFile(chunk);
      return await work(await openParquet(handle));
    } finally {
      await handle.close();
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** Columns meet by name, letter case aside; those that the table has not are not loaded. */
function parquetSource(
  spool: SpooledParquet,
  body: CountedBody,
  options: StreamLoadOptions,
  table: TableDef,
): Source {
  const { file } = spool;
  const stored = new Map([...file.leaves.keys()].map((name) => [name.toLowerCase(), name]));
  const wanted = (options.columns ?? table.columns.map(({ name }) => name)).filter((name) =>
    table.columns.some((column) => column.name.toLowerCase() === name.toLowerCase()),
  );
  for (const name of file.nested) {
    if (wanted.some((candidate) => candidate.toLowerCase() === name.toLowerCase())) {
      throw new SqlError('NOT_SUPPORTED', { what: `nested Parquet column ${name}` });
    }
  }
  const names = wanted.flatMap((name) => stored.get(name.toLowerCase()) ?? []);
  const absent = options.columns?.find((name) => !stored.has(name.toLowerCase()));
  if (absent !== undefined || names.length === 0) {
    const has = [...stored.values(), ...file.nested].join(', ');
    const what = absent === undefined ? 'no column of the table' : `no column ${absent}`;
    throw new SqlError('LOAD_FAILED', { why: `the Parquet file has ${what}; it has: ${has}` });
  }
  async function* rows(): AsyncGenerator<RowBatch, void, undefined> {
    for await (const batch of parquetRows(spool, names)) {
      yield { rows: batch, bytes: body.takeBytes() };
    }
  }
  return { columns: names, rows: rows() };
}
