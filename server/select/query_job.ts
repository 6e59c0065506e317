/** One SELECT over tables: reads them, and runs it here when it is small, else in a process. */
import type { ScanPredicate } from '../../base/agent_messages.ts';
import { SqlError } from '../../base/errors.ts';
import type { Clock, Log } from '../../base/ports.ts';
import type { ColumnType, RowsResult, SqlRow } from '../../base/values.ts';
import { PackedRows } from './packed_rows.ts';
import type { QueryPool, QueryProcess } from './query_pool.ts';
import type { QueryReply, QueryRequest, QueryTable } from './query_messages.ts';
import type { TableRows } from './recent_results.ts';
import { keepVariables, resultColumns, staticTypes, warnOf } from './select_result.ts';
import { SmallInput, smallShape } from './small_bound.ts';
import type { SmallTables } from './small_tables.ts';
import type { SpelledStatement } from './speller.ts';
import type { ScanRows, SelectSession, SelectTable, TableProvider } from './table_provider.ts';

export interface SelectEngineOptions<Context> {
  readonly clock: Clock;
  readonly log: Log;
  readonly provider: TableProvider<Context>;
  /** Bytes one statement may hold in memory before it spills (config query_memory_bytes). */
  readonly memoryBytes: () => number;
  /** Rows of the tables of a statement that runs on the main thread; default SMALL_ROWS_MAX. */
  readonly smallRowsMax?: number;
}

export interface SelectOptions<Context> {
  /** Handed to the table provider as it is. */
  readonly context: Context;
  readonly session: SelectSession;
  readonly signal: AbortSignal;
  /** Milliseconds after which the statement is stopped, QUERY_TIMEOUT; 0: never. */
  readonly timeoutMs: number;
  /** Bytes its process may take, QUERY_MEMORY. */
  readonly memoryMax: number;
  /** sql_select_limit; 0: no limit. */
  readonly rowsMax: number;
}

const NO_PREDICATES: readonly ScanPredicate[] = [];

/** Processes that a statement is handed to until one answers. */
const BEGIN_TRIES_MAX = 4;

/** Rows in one message to a query process. */
const PART_ROWS_MAX = 8192;

interface TableScan {
  readonly table: SelectTable;
  readonly wanted: WantedColumns;
  iterator: AsyncIterator<ScanRows> | undefined;
  /** Rows that have not been handed on yet. */
  rest: { readonly batch: ScanRows; readonly from: number } | undefined;
  /** Asked for before it is needed. */
  ahead: Promise<IteratorResult<ScanRows>> | undefined;
  /** Read before it was known where the statement runs; handed on first. */
  readonly early: ScanRows[];
  /** `early` is all there is. */
  isRead: boolean;
}

/** Where it can run, and what was read for it. */
interface Means {
  readonly pool: QueryPool;
  readonly small: SmallTables;
  /** All rows of its tables, by its references; undefined: nothing has been read. */
  readonly now?: readonly TableRows[] | undefined;
}

/** One statement in a query process. */
export class QueryJob<Context> {
  readonly #text: string;
  readonly #spelled: SpelledStatement;
  readonly #engine: SelectEngineOptions<Context>;
  readonly #options: SelectOptions<Context>;
  readonly #pool: QueryPool;
  readonly #small: SmallTables;
  readonly #scans: readonly TableScan[];
  readonly #abort = new AbortController();
  #process: QueryProcess | undefined;
  /** Heard, and not looked at yet. */
  #firstReply: QueryReply | undefined;
  #stopWatching: () => void = () => undefined;

  constructor(
    text: string,
    spelled: SpelledStatement,
    tables: ReadonlyMap<string, SelectTable>,
    engine: SelectEngineOptions<Context>,
    options: SelectOptions<Context>,
    { pool, small, now }: Means,
  ) {
    this.#text = text;
    this.#spelled = spelled;
    this.#engine = engine;
    this.#options = options;
    this.#pool = pool;
    this.#small = small;
    this.#scans = spelled.references.map(({ key, database, table }, at) => {
      const found = tables.get(key);
      if (found === undefined)
        throw new SqlError('NO_SUCH_TABLE', { name: `${database}.${table}` });
      return {
        table: found,
        wanted: wantedColumns(found, spelled),
        iterator: undefined,
        rest: undefined,
        ahead: undefined,
        early: [...(now?.[at] ?? [])],
        isRead: now !== undefined,
      };
    });
  }

  async start(): Promise<RowsResult> {
    this.#watch();
    try {
      const small = await this.#runSmall();
      if (small !== undefined) {
        this.#stopWatching();
        return small;
      }
      const process = await this.#begin();
      const first = await this.#nextBatch(process);
      const columns = resultColumns(this.#spelled.columns, first.types ?? []);
      if (!first.done) return { kind: 'rows', columns, rows: this.#rows(process, first.rows) };
      this.#finish(true);
      return { kind: 'rows', columns, rows: first.rows };
    } catch (error) {
      const reason = this.#reason(error);
      this.#finish(isStatementError(error));
      throw reason;
    }
  }

  /** Runs it on the main thread; undefined when it is not small enough for that. */
  async #runSmall(): Promise<RowsResult | undefined> {
    const { session, rowsMax } = this.#options;
    const shape = this.#small.isOpen ? smallShape(this.#text, this.#spelled, session) : undefined;
    if (shape === undefined) return undefined;
    const input = new SmallInput(this.#small.rowsMax);
    for (const [index, scan] of this.#scans.entries()) {
      if (!(await this.#readEarly(scan, (batch) => input.add(index, batch)))) return undefined;
    }
    if (!input.isWithin(shape, this.#spelled)) return undefined;
    this.#abort.signal.throwIfAborted();
    const tables = this.#scans.map(({ table, wanted, early }) => ({
      fullName: `${table.database}.${table.name}`,
      columns: wanted.columns,
      nocase: table.nocase === true,
      batches: early,
    }));
    return this.#small.run({ text: this.#text, spelled: this.#spelled, tables, session, rowsMax });
  }

  /** Reads all of a table, unless it turns out to be too much for `add`: false. */
  async #readEarly(scan: TableScan, add: (batch: ScanRows) => boolean): Promise<boolean> {
    if (scan.isRead) return scan.early.every(add);
    const { table, wanted } = scan;
    const rows = await table.read?.(wanted.names, this.#predicates, this.#abort.signal);
    if (rows !== undefined && !(Symbol.asyncIterator in rows)) {
      scan.early.push(...rows);
      scan.isRead = true;
      return rows.every(add);
    }
    scan.iterator = rows?.[Symbol.asyncIterator]();
    for (;;) {
      const result = await this.#iteratorOf(scan).next();
      if (result.done === true) break;
      scan.early.push(result.value);
      if (!add(result.value)) return false;
    }
    scan.iterator = undefined;
    scan.isRead = true;
    return true;
  }

  get #predicates(): readonly ScanPredicate[] {
    return this.#scans.length === 1 ? this.#spelled.predicates : NO_PREDICATES;
  }

  #iteratorOf(scan: TableScan): AsyncIterator<ScanRows> {
    if (scan.iterator === undefined) {
      const rows = scan.table.scan(scan.wanted.names, this.#predicates, this.#abort.signal);
      scan.iterator = rows[Symbol.asyncIterator]();
    }
    return scan.iterator;
  }

  /**
   * Hands the statement to a process and waits for its first word. One that was kept may have ended
   * meanwhile, of which nobody has heard yet: then another one is asked.
   */
  async #begin(): Promise<QueryProcess> {
    for (let attempt = 1; ; attempt += 1) {
      const process = await this.#pool.acquire(this.#abort.signal);
      this.#process = process;
      this.#abort.signal.throwIfAborted();
      try {
        await process.send(this.#request());
        this.#firstReply = await process.receive();
        return process;
      } catch (error) {
        const isGone = error instanceof SqlError && error.code === 'QUERY_FAILED';
        if (!isGone || attempt === BEGIN_TRIES_MAX || this.#abort.signal.aborted) throw error;
        this.#pool.release(process, false);
      }
    }
  }

  /** Ties the job to the statement's signal and to the time limit. */
  #watch(): void {
    const { signal, timeoutMs } = this.#options;
    const stop = (error: SqlError): void => {
      this.#abort.abort(error);
      this.#process?.kill();
    };
    const interrupted = (): void => stop(new SqlError('QUERY_INTERRUPTED'));
    signal.addEventListener('abort', interrupted, { once: true });
    const cancelTimer =
      timeoutMs > 0
        ? this.#engine.clock.after(timeoutMs, () => stop(new SqlError('QUERY_TIMEOUT')))
        : (): void => undefined;
    this.#stopWatching = () => {
      signal.removeEventListener('abort', interrupted);
      cancelTimer();
    };
    if (signal.aborted) interrupted();
  }

  #request(): QueryRequest {
    const { sql, params, references, streaming, firstClause, variables } = this.#spelled;
    const tables = this.#scans.map(({ table, wanted }, at): QueryTable => ({
      sqlName: references[at]?.sqlName ?? '',
      fullName: `${table.database}.${table.name}`,
      columns: wanted.columns,
      nocase: table.nocase === true,
      streaming: streaming && table.nocase !== true,
    }));
    return {
      kind: 'run',
      text: this.#text,
      sql,
      params,
      types: staticTypes(this.#spelled),
      rowsMax: this.#options.rowsMax,
      memoryBytes: this.#engine.memoryBytes(),
      memoryMax: this.#options.memoryMax,
      firstClause,
      tables,
      variables,
    };
  }

  /** The next batch of the result; answers the process's requests for table rows meanwhile. */
  async #nextBatch(process: QueryProcess): Promise<{
    readonly types: readonly ColumnType[] | undefined;
    readonly rows: readonly SqlRow[];
    readonly done: boolean;
  }> {
    for (;;) {
      const reply = this.#firstReply ?? (await process.receive());
      this.#firstReply = undefined;
      switch (reply.kind) {
        case 'batch':
          warnOf(reply.counted, this.#options.session);
          keepVariables(reply.variables, this.#options.session);
          return reply;
        case 'failed':
          throw new StatementFailed(SqlError.fromWire(reply.error));
        case 'pull':
          await sendPart(process, await this.#pulled(reply.table));
      }
    }
  }

  /** undefined: there are no more rows. */
  async #pulled(index: number): Promise<ScanRows | undefined> {
    const scan = this.#scans[index];
    if (scan === undefined) throw new TypeError(`no table ${index}`);
    const { rest } = scan;
    if (rest !== undefined) return this.#part(scan, rest.batch, rest.from);
    const early = scan.early.shift();
    if (early !== undefined) return this.#part(scan, early, 0);
    if (scan.isRead) {
      scan.isRead = false;
      return undefined;
    }
    const iterator = this.#iteratorOf(scan);
    const result = await (scan.ahead ?? iterator.next());
    scan.ahead = undefined;
    if (result.done === true) {
      scan.iterator = undefined;
      return undefined;
    }
    scan.ahead = iterator.next();
    // Whoever awaits it sees the error; until then it must not count as unhandled.
    scan.ahead.catch(() => undefined);
    return this.#part(scan, result.value, 0);
  }

  /** What backends read at once is more than a query process needs at a time. */
  #part(scan: TableScan, batch: ScanRows, from: number): ScanRows {
    const to = Math.min(batch.rows, from + PART_ROWS_MAX);
    scan.rest = to < batch.rows ? { batch, from: to } : undefined;
    if (from === 0 && to === batch.rows) return batch;
    return { rows: to - from, columns: batch.columns.map((column) => column.slice(from, to)) };
  }

  async *#rows(process: QueryProcess, first: readonly SqlRow[]): AsyncIterable<readonly SqlRow[]> {
    let clean = false;
    try {
      yield first;
      for (let done = false; !done;) {
        const batch = await this.#nextBatch(process);
        done = batch.done;
        clean = done;
        if (batch.rows.length > 0) yield batch.rows;
      }
    } catch (error) {
      clean = isStatementError(error);
      throw this.#reason(error);
    } finally {
      this.#finish(clean);
    }
  }

  #finish(clean: boolean): void {
    this.#stopWatching();
    if (this.#process !== undefined) this.#pool.release(this.#process, clean);
    this.#process = undefined;
    for (const scan of this.#scans) {
      void scan.iterator?.return?.().catch(() => undefined);
      scan.iterator = undefined;
    }
    this.#abort.abort(new SqlError('QUERY_INTERRUPTED'));
  }

  /** What ended the statement: a kill or the time limit rather than the broken pipe it left. */
  #reason(error: unknown): unknown {
    if (error instanceof StatementFailed) return error.cause;
    const { signal } = this.#abort;
    return signal.aborted ? signal.reason : error;
  }
}

/** The answer to a `pull`. */
async function sendPart(process: QueryProcess, part: ScanRows | undefined): Promise<void> {
  if (part instanceof PackedRows) {
    const { rows, packed } = part;
    const packedBytes = packed.byteLength;
    await process.send({ kind: 'rows', rows, packedBytes, columns: [], done: false }, packed);
  } else if (part === undefined) {
    await process.send({ kind: 'rows', rows: 0, columns: [], done: true });
  } else {
    const { rows, columns } = part;
    await process.send({ kind: 'rows', rows, columns, done: false });
  }
}

/** The statement failed inside a process that is well. */
class StatementFailed extends Error {
  constructor(cause: SqlError) {
    super(cause.message, { cause });
    this.name = 'StatementFailed';
  }
}

function isStatementError(error: unknown): boolean {
  return error instanceof StatementFailed;
}

/** Columns of a table that a statement needs. */
export interface WantedColumns {
  readonly names: readonly string[];
  readonly columns: readonly { readonly name: string; readonly type: ColumnType }[];
}

/** Of statements whose spelling is kept, by the columns of the table. */
const wantedBy = new WeakMap<SpelledStatement, Map<SelectTable['columns'], WantedColumns>>();

/** The same object for the same spelling and table, as long as that has the same columns. */
export function wantedColumns({ columns }: SelectTable, spelled: SpelledStatement): WantedColumns {
  let known = wantedBy.get(spelled);
  if (known === undefined) {
    known = new Map();
    wantedBy.set(spelled, known);
  }
  let found = known.get(columns);
  if (found === undefined) {
    const { wanted } = spelled;
    const some = columns.filter(({ name }) => wanted === 'all' || wanted.has(name.toLowerCase()));
    found = {
      names: some.map(({ name }) => name),
      columns: some.map(({ name, type }) => ({ name, type })),
    };
    known.set(columns, found);
  }
  return found;
}
