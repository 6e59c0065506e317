/**
 * SELECT: spell it for SQLite, bring the tables, run it, hand out rows (ADR 0003). Statements
 * without tables run at once on a connection of the main thread, all others in a query process.
 */
import { SqlError } from '../../base/errors.ts';
import type { Clock, Log } from '../../base/ports.ts';
import type { ColumnType, ResultColumn, RowsResult, SqlRow, SqlValue } from '../../base/values.ts';
import { type Counted, beginVariables, takeCounted, variablesNow } from './function_library.ts';
import { QueryPool, type QueryProcess } from './query_pool.ts';
import { type PlannedTable, type QueryPlan, planSteps } from './query_plan.ts';
import type { QueryReply, QueryRequest, QueryTable } from './query_messages.ts';
import { runStatement } from './run_statement.ts';
import { quoteName } from './spelled.ts';
import { spellStatement, type SpelledStatement } from './speller.ts';
import type { ScopeColumn } from './speller_context.ts';
import { openMemoryConnection, type Connection } from './sqlite_connection.ts';
import { sqlErrorOf } from './sqlite_errors.ts';
import { sqliteType } from './value_storage.ts';
import type { ScanRows, SelectSession, SelectTable, TableProvider } from './table_provider.ts';

export interface SelectEngineOptions<Context> {
  readonly clock: Clock;
  readonly log: Log;
  readonly provider: TableProvider<Context>;
  /** Bytes one statement may hold in memory before it spills (config query_memory_bytes). */
  readonly memoryBytes: () => number;
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

/** A result whose one row goes into user variables instead of to the client. */
export interface SelectResult extends RowsResult {
  readonly into?: readonly string[];
}

export class SelectEngine<Context> {
  readonly #options: SelectEngineOptions<Context>;
  readonly #pool: QueryPool;
  #memory: Connection | undefined;

  constructor(options: SelectEngineOptions<Context>) {
    this.#options = options;
    this.#pool = new QueryPool(options.log, options.clock);
  }

  /**
   * Runs one SELECT, WITH, VALUES or TABLE statement. A small result comes as an array, a large
   * one as batches with back pressure: leaving the loop early ends the statement. Errors are
   * `SqlError`s, also in the middle of the rows.
   */
  async run(sql: string, options: SelectOptions<Context>): Promise<SelectResult> {
    const nowMs = this.#options.clock.now();
    const first = spellStatement(sql, options.session, nowMs);
    if (!first.heavy) {
      const called = first.lockCalls.length === 0 ? first : await this.#callLocks(first, options);
      return withInto(this.#runHere(sql, called, options), first);
    }
    const tables = await this.#resolve(first, options.context);
    const spelled = spellStatement(sql, options.session, nowMs, tables);
    const called = await this.#callLocks(spelled, options);
    const job = new QueryJob(sql, called, tables, this.#options, options, this.#pool);
    return withInto(await job.start(), spelled);
  }

  /** GET_LOCK and its like, one after the other; their values take their places. */
  async #callLocks(
    spelled: SpelledStatement,
    { session, signal, timeoutMs }: SelectOptions<Context>,
  ): Promise<SpelledStatement> {
    const { lockCalls } = spelled;
    if (lockCalls.length === 0) return spelled;
    const abort = new AbortController();
    const interrupted = (): void => abort.abort(new SqlError('QUERY_INTERRUPTED'));
    signal.addEventListener('abort', interrupted, { once: true });
    if (signal.aborted) interrupted();
    const cancelTimer =
      timeoutMs > 0
        ? this.#options.clock.after(timeoutMs, () => abort.abort(new SqlError('QUERY_TIMEOUT')))
        : (): void => undefined;
    const params = [...spelled.params];
    try {
      for (const { name, args, param } of lockCalls) {
        const values = this.#constants(args, params);
        params[param] = await session.lock(name, values, abort.signal);
      }
    } finally {
      signal.removeEventListener('abort', interrupted);
      cancelTimer();
    }
    return { ...spelled, params };
  }

  /** Throws NOT_SUPPORTED for an expression over columns. */
  #constants(args: readonly string[], params: readonly SqlValue[]): readonly SqlValue[] {
    if (args.length === 0) return [];
    this.#memory ??= openMemoryConnection();
    const run = {
      sql: `SELECT ${args.join(', ')}`,
      params,
      types: args.map(() => undefined),
      rowsMax: 1,
    };
    try {
      const [batch] = [...runStatement(this.#memory, run)];
      return batch?.rows[0] ?? [];
    } catch (error) {
      if (!/no such column/.test(String(error))) throw error;
      throw new SqlError('NOT_SUPPORTED', { what: 'names of user-level locks out of columns' });
    }
  }

  /** Columns of the result without running the statement; unknown types are STRING. */
  async describe(
    sql: string,
    session: SelectSession,
    context: Context,
  ): Promise<readonly ResultColumn[]> {
    const nowMs = this.#options.clock.now();
    const first = spellStatement(sql, session, nowMs);
    const tables = first.heavy ? await this.#resolve(first, context) : new Map();
    const spelled = first.heavy ? spellStatement(sql, session, nowMs, tables) : first;
    this.#compile(sql, spelled, tables, (db) => void db.prepare(spelled.sql));
    const types = staticTypes(spelled).map((type): ColumnType => type ?? { kind: 'STRING' });
    return resultColumns(spelled.columns, types);
  }

  /** What the statement would do; it is not run. */
  async explain(sql: string, session: SelectSession, context: Context): Promise<QueryPlan> {
    const nowMs = this.#options.clock.now();
    const first = spellStatement(sql, session, nowMs);
    const tables = first.heavy ? await this.#resolve(first, context) : new Map();
    const spelled = first.heavy ? spellStatement(sql, session, nowMs, tables) : first;
    const { references, streaming } = spelled;
    const names = new Map(
      references.map(({ sqlName, database, table }) => [sqlName, `${database}.${table}`]),
    );
    const steps = this.#compile(sql, spelled, tables, (db) => planSteps(db, spelled.sql, names));
    const predicates = references.length === 1 ? spelled.predicates : [];
    const planned: PlannedTable[] = [];
    for (const { key } of references) {
      const table: SelectTable | undefined = tables.get(key);
      if (table === undefined) continue;
      const columns = wantedColumns(table, spelled);
      const source = await table.plan?.(columns, predicates);
      planned.push({ database: table.database, table: table.name, columns, predicates, source });
    }
    return { tables: planned, streaming, steps };
  }

  /** Finds unknown columns and the like, over tables of the same shape without rows. */
  #compile<Result>(
    text: string,
    { references, firstClause }: SpelledStatement,
    tables: ReadonlyMap<string, SelectTable>,
    use: (db: Connection) => Result,
  ): Result {
    this.#memory ??= openMemoryConnection();
    const db = this.#memory;
    const names = references.map(({ sqlName }) => quoteName(sqlName));
    try {
      for (const [at, { key }] of references.entries()) {
        const columns = (tables.get(key)?.columns ?? []).map(
          ({ name, type }) => `${quoteName(name)} ${sqliteType(type)}`,
        );
        db.exec(`CREATE TEMP TABLE ${names[at]} (${columns.join(', ')})`);
      }
      return use(db);
    } catch (error) {
      const shown = references.map(
        ({ sqlName, database, table }) => [sqlName, `${database}.${table}`] as const,
      );
      throw sqlErrorOf(error, { text, firstClause, tables: new Map(shown) });
    } finally {
      for (const name of names) db.exec(`DROP TABLE IF EXISTS temp.${name}`);
    }
  }

  close(): void {
    this.#pool.close();
    this.#memory?.close();
    this.#memory = undefined;
  }

  #runHere(sql: string, spelled: SpelledStatement, options: SelectOptions<Context>): RowsResult {
    this.#memory ??= openMemoryConnection();
    const run = { ...spelled, types: staticTypes(spelled), rowsMax: options.rowsMax };
    const rows: SqlRow[] = [];
    let types: readonly ColumnType[] = [];
    takeCounted();
    beginVariables(spelled.variables);
    try {
      for (const batch of runStatement(this.#memory, run)) {
        types = batch.types ?? types;
        rows.push(...batch.rows);
      }
    } catch (error) {
      const { firstClause } = spelled;
      throw sqlErrorOf(error, { text: sql, firstClause, tables: new Map() });
    }
    warnOf(takeCounted(), options.session);
    if (spelled.variables.size > 0) keepVariables(variablesNow(), options.session);
    return { kind: 'rows', columns: resultColumns(spelled.columns, types), rows };
  }

  async #resolve(spelled: SpelledStatement, context: Context): Promise<Map<string, SelectTable>> {
    const tables = new Map<string, SelectTable>();
    for (const { key, database, table } of spelled.references) {
      const found = await this.#options.provider.resolve(database, table, context);
      if (found === undefined) {
        throw new SqlError('NO_SUCH_TABLE', { name: `${database}.${table}` });
      }
      tables.set(key, found);
    }
    return tables;
  }
}

/** As MySQL does; more of them than it counts are as many as it counts. */
function warnOf({ zeroDivisions, cutGroups }: Counted, session: SelectSession): void {
  for (let at = 0; at < Math.min(zeroDivisions, WARNINGS_MAX); at += 1) {
    session.warn({ level: 'Warning', code: 1365, message: 'Division by 0' });
  }
  for (let at = 1; at <= Math.min(cutGroups, WARNINGS_MAX); at += 1) {
    const message = `Row ${at} was cut by GROUP_CONCAT()`;
    session.warn({ level: 'Warning', code: 1260, message });
  }
}

/** MySQL counts warnings in 16 bits. */
const WARNINGS_MAX = 65_535;

function withInto(result: RowsResult, { into }: SpelledStatement): SelectResult {
  return into === undefined ? result : { ...result, into };
}

function keepVariables(
  values: ReadonlyMap<string, SqlValue> | undefined,
  session: SelectSession,
): void {
  for (const [name, value] of values ?? []) session.setUserVariable(name, value);
}

/** Types of expressions that are known from the text; NULL literals count as unknown. */
function staticTypes(spelled: SpelledStatement): readonly (ColumnType | undefined)[] {
  return spelled.columns.map((column) => {
    const type = column.type();
    return type === undefined || type.kind === 'NULL' ? undefined : type;
  });
}

function resultColumns(
  columns: readonly ScopeColumn[],
  types: readonly ColumnType[],
): readonly ResultColumn[] {
  return columns.map(({ name, origin }, at) => {
    const type = types[at] ?? { kind: 'STRING' };
    if (origin === undefined) return { name, type, nullable: true };
    return {
      name,
      type,
      nullable: origin.nullable,
      schema: origin.database,
      table: origin.alias,
      orgTable: origin.table,
      orgName: origin.column,
    };
  });
}

/** Processes that a statement is handed to until one answers. */
const BEGIN_TRIES_MAX = 4;

/** Rows in one message to a query process. */
const PART_ROWS_MAX = 8192;

interface TableScan {
  readonly table: SelectTable;
  readonly wanted: readonly string[];
  iterator: AsyncIterator<ScanRows> | undefined;
  /** Rows that have not been handed on yet. */
  rest: { readonly batch: ScanRows; readonly from: number } | undefined;
  /** Asked for before it is needed. */
  ahead: Promise<IteratorResult<ScanRows>> | undefined;
}

/** One statement in a query process. */
class QueryJob<Context> {
  readonly #text: string;
  readonly #spelled: SpelledStatement;
  readonly #engine: SelectEngineOptions<Context>;
  readonly #options: SelectOptions<Context>;
  readonly #pool: QueryPool;
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
    pool: QueryPool,
  ) {
    this.#text = text;
    this.#spelled = spelled;
    this.#engine = engine;
    this.#options = options;
    this.#pool = pool;
    this.#scans = spelled.references.map(({ key, database, table }) => {
      const found = tables.get(key);
      if (found === undefined)
        throw new SqlError('NO_SUCH_TABLE', { name: `${database}.${table}` });
      return {
        table: found,
        wanted: wantedColumns(found, spelled),
        iterator: undefined,
        rest: undefined,
        ahead: undefined,
      };
    });
  }

  async start(): Promise<RowsResult> {
    this.#watch();
    try {
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
      columns: wanted.map((name) => ({ name, type: columnType(table, name) })),
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
          await process.send(await this.#pulled(reply.table));
      }
    }
  }

  async #pulled(index: number): Promise<QueryRequest> {
    const scan = this.#scans[index];
    if (scan === undefined) throw new TypeError(`no table ${index}`);
    const { rest } = scan;
    if (rest !== undefined) return this.#part(scan, rest.batch, rest.from);
    if (scan.iterator === undefined) {
      const predicates = this.#scans.length === 1 ? this.#spelled.predicates : [];
      const rows = scan.table.scan(scan.wanted, predicates, this.#abort.signal);
      scan.iterator = rows[Symbol.asyncIterator]();
    }
    const result = await (scan.ahead ?? scan.iterator.next());
    scan.ahead = undefined;
    if (result.done === true) {
      scan.iterator = undefined;
      return { kind: 'rows', rows: 0, columns: [], done: true };
    }
    scan.ahead = scan.iterator.next();
    // Whoever awaits it sees the error; until then it must not count as unhandled.
    scan.ahead.catch(() => undefined);
    return this.#part(scan, result.value, 0);
  }

  /** What backends read at once is more than a query process needs at a time. */
  #part(scan: TableScan, batch: ScanRows, from: number): QueryRequest {
    const to = Math.min(batch.rows, from + PART_ROWS_MAX);
    scan.rest = to < batch.rows ? { batch, from: to } : undefined;
    const whole = from === 0 && to === batch.rows;
    const columns = whole ? batch.columns : batch.columns.map((column) => column.slice(from, to));
    return { kind: 'rows', rows: to - from, columns, done: false };
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

function wantedColumns(table: SelectTable, spelled: SpelledStatement): readonly string[] {
  const { wanted } = spelled;
  const names = table.columns.map((column) => column.name);
  return wanted === 'all' ? names : names.filter((name) => wanted.has(name.toLowerCase()));
}

function columnType(table: SelectTable, name: string): ColumnType {
  return table.columns.find((column) => column.name === name)?.type ?? { kind: 'STRING' };
}
