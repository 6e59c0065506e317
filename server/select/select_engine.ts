/**
 * SELECT: spell it for SQLite, bring the tables, run it, hand out rows (ADR 0003). Statements
 * without tables, and those over small ones, run at once on connections of the main thread, all
 * others in a query process.
 */
import { SqlError } from '../../base/errors.ts';
import type { ColumnType, ResultColumn, RowsResult, SqlValue } from '../../base/values.ts';
import {
  QueryJob,
  type SelectEngineOptions,
  type SelectOptions,
  wantedColumns,
} from './query_job.ts';
import { type PlannedTable, type QueryPlan, planSteps } from './query_plan.ts';
import { QueryPool } from './query_pool.ts';
import { type TableRows, hasRecentResult } from './recent_results.ts';
import { runStatement } from './run_statement.ts';
import { answeredBefore, runHere } from './run_here.ts';
import { type SelectResult, resultColumns, staticTypes, withInto } from './select_result.ts';
import { SMALL_ROWS_MAX } from './small_bound.ts';
import { SmallTables } from './small_tables.ts';
import { quoteName } from './spelled.ts';
import { spellStatement, type SpelledStatement } from './speller.ts';
import { Spellings } from './spellings.ts';
import { openMemoryConnection, type Connection } from './sqlite_connection.ts';
import { sqlErrorOf } from './sqlite_errors.ts';
import type { SelectSession, SelectTable } from './table_provider.ts';
import { sqliteType } from './value_storage.ts';

export class SelectEngine<Context> {
  readonly #options: SelectEngineOptions<Context>;
  readonly #pool: QueryPool;
  readonly #small: SmallTables;
  readonly #spellings = new Spellings();
  #memory: Connection | undefined;

  constructor(options: SelectEngineOptions<Context>) {
    this.#options = options;
    this.#pool = new QueryPool(options.log, options.clock);
    this.#small = new SmallTables(options.smallRowsMax ?? SMALL_ROWS_MAX);
  }

  /** SELECTs over tables that ran on the main thread. */
  get smallRuns(): number {
    return this.#small.runs;
  }

  /**
   * Runs one SELECT, WITH, VALUES or TABLE statement. A small result comes as an array, a large
   * one as batches with back pressure: leaving the loop early ends the statement. Errors are
   * `SqlError`s, also in the middle of the rows.
   */
  async run(sql: string, options: SelectOptions<Context>): Promise<SelectResult> {
    const nowMs = this.#options.clock.now();
    const first = this.#spellings.first(sql, options.session, nowMs);
    if (!first.heavy) {
      const called = first.lockCalls.length === 0 ? first : await this.#callLocks(first, options);
      return withInto(this.#runHere(sql, called, options), first);
    }
    const tables = await this.#resolve(first, options.context);
    const spelled = this.#spellings.resolved(sql, options.session, nowMs, tables);
    const now = this.#rowsNow(spelled, tables, options);
    const before = now === undefined ? undefined : this.#small.again(spelled, now, options);
    if (before !== undefined) return withInto(before, spelled);
    const called =
      spelled.lockCalls.length === 0 ? spelled : await this.#callLocks(spelled, options);
    const job = new QueryJob(sql, called, tables, this.#options, options, {
      pool: this.#pool,
      small: this.#small,
      now,
    });
    return withInto(await job.start(), spelled);
  }

  /**
   * What is in the tables of a statement whose last answer is kept, when nobody has to be waited for:
   * then there is nothing that a kill or a time limit could stop.
   */
  #rowsNow(
    spelled: SpelledStatement,
    tables: ReadonlyMap<string, SelectTable>,
    { rowsMax, signal }: SelectOptions<Context>,
  ): readonly TableRows[] | undefined {
    const { references } = spelled;
    const [only] = references;
    if (references.length !== 1 || only === undefined || !this.#small.isOpen) return undefined;
    if (signal.aborted || !hasRecentResult({ spelled, rowsMax })) return undefined;
    const table = tables.get(only.key);
    const names = table === undefined ? [] : wantedColumns(table, spelled).names;
    const rows = table?.now?.(names, spelled.predicates);
    return rows === undefined ? undefined : [rows];
  }

  /** GET_LOCK and its like, one after the other; their values take their places. */
  async #callLocks(
    spelled: SpelledStatement,
    { session, signal, timeoutMs }: SelectOptions<Context>,
  ): Promise<SpelledStatement> {
    const { lockCalls } = spelled;
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
      const columns = wantedColumns(table, spelled).names;
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
    this.#small.close();
    this.#memory?.close();
    this.#memory = undefined;
  }

  #runHere(
    text: string,
    spelled: SpelledStatement,
    { session, rowsMax }: SelectOptions<Context>,
  ): RowsResult {
    const run = { spelled, session, rowsMax, inputs: [] };
    const before = answeredBefore(run);
    if (before !== undefined) return before;
    this.#memory ??= openMemoryConnection();
    return runHere(this.#memory, { ...run, text, tables: new Map() });
  }

  async #resolve(spelled: SpelledStatement, context: Context): Promise<Map<string, SelectTable>> {
    const tables = new Map<string, SelectTable>();
    for (const { key, database, table } of spelled.references) {
      const resolved = this.#options.provider.resolve(database, table, context);
      const found = resolved instanceof Promise ? await resolved : resolved;
      if (found === undefined) {
        throw new SqlError('NO_SUCH_TABLE', { name: `${database}.${table}` });
      }
      tables.set(key, found);
    }
    return tables;
  }
}
