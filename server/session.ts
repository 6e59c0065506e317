/**
 * One logged-in connection: text → statements → executors, one at a time; what goes wrong becomes
 * a warning list and an error packet (made by the listener).
 */
import { SqlError } from '../base/errors.ts';
import type { ResultColumn, RowsResult, SqlRow, StatementResult } from '../base/values.ts';
import { DEFAULT_MODES } from '../grammar/lexer.ts';
import { StatementReader } from '../parser/parse.ts';
import { formatStatement } from '../parser/format.ts';
import type { AccountRef, Statement, StatementKind } from '../parser/statement.ts';
import { AuditedStatement } from './audit/audited_statement.ts';
import { expectSeenDatabase, expectUsage } from './access/ask.ts';
import { expectDatabase } from './executors/databases.ts';
import type { ExecContext } from './executors/executor.ts';
import { executeStatement } from './executors/table.ts';
import type {
  FieldListing,
  PreparedQuery,
  QueryOptions,
  QueryStep,
  SessionCharsets,
  SessionHandler,
} from './mysql/handler.ts';
import { splitDatabase } from './database_name.ts';
import { PreparedText, placeholderName } from './prepared_text.ts';
import { trackedState } from './session_tracking.ts';
import type { TrackedState } from './mysql/session_tracker.ts';
import { sessionCharsets } from './session_charsets.ts';
import { countOfAll } from './found_rows.ts';
import type { Selects } from './selects.ts';
import type { Services } from './services.ts';
import type { SessionState } from './session_state.ts';
import { ShowTexts } from './show_texts.ts';
import { StatementAbort } from './statement_abort.ts';

export interface SessionDeps {
  readonly services: Services;
  readonly selects: Selects;
  readonly state: SessionState;
  readonly onStatement: (kind: StatementKind) => void;
  /** Called once, when the session ends. */
  readonly onClose?: () => void;
}

/** These look at what the statement before left behind, so they keep its warnings. */
const KEEPS_WARNINGS: ReadonlySet<StatementKind> = new Set(['ShowWarnings', 'ShowErrors'] as const);

/** Kinds that change nothing and tell what there is. */
const LISTS = /^(?:Show|Describe$|Help$)/;

/** Kinds whose texts are kept with what was read in them. */
const KEPT = /^(?:Show|Describe$|Help$|Select$)/;

/** Kinds that commit before they begin, as MySQL's DDL. */
const COMMITS = /^(?:Create|Alter|Drop|Rename|Truncate|Grant|Revoke|SetPassword|LockTables|Flush)/;

/** Kinds that write rows. */
const WRITES = /^Insert/;

/** Kinds that count against MAX_UPDATES_PER_HOUR. */
const CHANGES =
  /^(?:Create|Alter|Drop|Rename|Truncate|Insert|Grant|Revoke|SetPassword|WarmUp$|Cancel|Pause|Resume|Retry|Add|Decommission|AdminSet|SetDefault|Unset)/;

const SHOWS = new ShowTexts();

type Reader = Pick<StatementReader, 'next'>;
const NO_MORE: Reader = { next: () => undefined };

/** Characters of a statement in a log line. */
const LOGGED_STATEMENT_MAX = 1000;

export class Session implements SessionHandler {
  readonly #deps: SessionDeps;
  /** Of statements that are not over: those of open cursors, and the one that runs. */
  readonly #aborts = new Set<StatementAbort>();
  #isClosed = false;

  constructor(deps: SessionDeps) {
    this.#deps = deps;
  }

  get inTransaction(): boolean {
    return this.#deps.state.inTransaction;
  }

  get autocommit(): boolean {
    return this.#deps.state.variables.number('autocommit') === 1;
  }

  get noBackslashEscapes(): boolean {
    return this.#deps.state.variables.scanModes.noBackslashEscapes;
  }

  get currentDatabase(): string {
    return this.#deps.state.database;
  }

  get charsets(): SessionCharsets {
    return sessionCharsets(this.#deps.state.variables);
  }

  get tracked(): TrackedState {
    const { variables, database } = this.#deps.state;
    return trackedState(variables, database);
  }

  get idleTimeoutSeconds(): number {
    return this.#deps.state.variables.number('wait_timeout');
  }

  /** `valueBytes`: of values bound into the text, which max_statement_bytes does not count. */
  async *query(sql: string, options: QueryOptions, valueBytes = 0): AsyncGenerator<QueryStep> {
    const { state, services } = this.#deps;
    // What is kept was read without any mode.
    const isPlain = state.variables.scanModes === DEFAULT_MODES;
    const bytesMax = services.config.get('max_statement_bytes');
    const known = isPlain ? SHOWS.get(sql, bytesMax) : undefined;
    const reader =
      known === undefined ? this.#reader(sql, options.allowMulti, valueBytes) : NO_MORE;
    let parsed = known ?? this.#read(reader, sql);
    while (parsed !== undefined) {
      const { statement } = parsed;
      this.#deps.onStatement(statement.kind);
      if (state.inTransaction && COMMITS.test(statement.kind)) state.endTransaction();
      if (state.inTransaction && WRITES.test(statement.kind)) state.hasWritten = true;
      if (!KEEPS_WARNINGS.has(statement.kind)) state.clearWarnings();
      const audited = this.#audited(statement, parsed.text);
      const abort = this.#begin(options.signal);
      let next;
      try {
        const result = audited.counted(await this.#execute(statement, abort));
        // What follows is read now: the answer to this one says whether there is more.
        next = this.#readAhead(reader);
        const isAll = known === undefined && next === undefined && parsed.start === 0;
        if (isAll && isPlain && KEPT.test(statement.kind)) SHOWS.keep(sql, parsed);
        yield {
          result,
          get warnings() {
            return state.warningCount;
          },
          more: next !== undefined,
        };
      } catch (error) {
        audited.failed(error);
        throw error;
      } finally {
        audited.end();
        state.foundRows ??= BigInt(audited.rows);
        this.#end(abort);
      }
      if (next instanceof SqlError) {
        this.#unread(next, sql.slice(parsed.end));
        throw this.#remember(next);
      }
      parsed = next;
    }
  }

  /** Statements that only list tell their columns before they run; the others have none. */
  async prepare(sql: string, { signal }: Pick<QueryOptions, 'signal'>): Promise<PreparedQuery> {
    const { state } = this.#deps;
    const text = new PreparedText(sql, state.variables.scanModes);
    const { parameters } = text;
    const sample = this.#sample(text);
    const sampled = sample === undefined ? [] : await this.#columns(sample, parameters, signal);
    const columns = sampled.map((column) => ({ ...column, name: placeholderName(column.name) }));
    // What a placeholder stands for is not part of the name, whatever it is.
    const names = sampled
      .map(({ name }) => placeholderName(name))
      .map((name, at) => (name === sampled[at]?.name ? undefined : name));
    const run = (
      values: Parameters<PreparedQuery['run']>[0],
      options: Pick<QueryOptions, 'signal'>,
    ): AsyncIterable<QueryStep> => {
      const backslashEscapes = !state.variables.sqlModeHas('NO_BACKSLASH_ESCAPES');
      const bound = text.bind(values, backslashEscapes);
      const valueBytes = Math.max(0, Buffer.byteLength(bound) - Buffer.byteLength(sql));
      const steps = this.query(bound, { ...options, allowMulti: false }, valueBytes);
      return names.some((name) => name !== undefined) ? renamed(steps, names) : steps;
    };
    return { parameters, columns, text: sql, run };
  }

  #sample(text: PreparedText): Statement | undefined {
    try {
      return text.sample((sql) => {
        const reader = this.#reader(sql, false);
        const parsed = reader.next();
        return parsed !== undefined && reader.next() === undefined ? parsed.statement : undefined;
      });
    } catch (error) {
      this.#deps.state.clearWarnings();
      throw error instanceof SqlError ? this.#remember(error) : error;
    }
  }

  /**
   * Columns of a statement that is not run. What SHOW lists is made and thrown away: ODBC's
   * programs ask for the columns of a prepared SHOW before they execute it.
   */
  async #columns(
    statement: Statement,
    parameters: number,
    signal: AbortSignal,
  ): Promise<readonly ResultColumn[]> {
    const abort = this.#begin(signal);
    const context = this.#context(abort.signal);
    try {
      if (statement.kind === 'Select') {
        return await this.#deps.selects.describe(statement.text, context);
      }
      if (!LISTS.test(statement.kind)) return [];
      const result = await executeStatement(statement, context);
      if (result.kind === 'ok') return [];
      if (!Array.isArray(result.rows)) for await (const _ of result.rows) break;
      return result.columns;
    } catch (error) {
      // With other values it may be right.
      const isOfList = statement.kind !== 'Select';
      if (isOfList && error instanceof SqlError && parameters > 0) return [];
      throw error;
    } finally {
      this.#end(abort);
    }
  }

  /** `USE` of the mysql client comes this way: `db`, `@group` and `db@group`, as in Doris. */
  async useDatabase(name: string): Promise<void> {
    const { services, state } = this.#deps;
    const { database, computeGroup } = splitDatabase(name);
    const context = this.#context(new AbortController().signal);
    if (database !== '') {
      expectSeenDatabase(context, database);
      await expectDatabase(services, database);
    }
    if (computeGroup !== undefined) {
      expectUsage(context, 'COMPUTE_GROUP', computeGroup);
      state.computeGroup = (await services.catalog.computeGroups.get(computeGroup)).name;
    }
    if (database !== '' || computeGroup === undefined) state.database = database;
  }

  async fieldList({ table }: FieldListing): Promise<StatementResult> {
    const { services, selects, state } = this.#deps;
    if (state.database === '') throw new SqlError('NO_DB');
    const quoted = `\`${table.replaceAll('`', '``')}\``;
    const abort = this.#begin(new AbortController().signal);
    try {
      const context = { services, selects, session: state, signal: abort.signal };
      return await selects.run(`SELECT * FROM ${quoted} LIMIT 0`, context);
    } finally {
      this.#end(abort);
    }
  }

  statistics(): string {
    const { services } = this.#deps;
    const uptime = Math.floor((services.clock.now() - services.startedMs) / 1000);
    const threads = services.connections.size;
    const questions = services.statements.total;
    const perSecond = (questions / Math.max(1, uptime)).toFixed(3);
    return [
      `Uptime: ${uptime}`,
      `Threads: ${threads}`,
      `Questions: ${questions}`,
      // There is no log of slow queries and no cache of open tables.
      'Slow queries: 0',
      'Opens: 0',
      'Open tables: 0',
      `Queries per second avg: ${perSecond}`,
    ].join('  ');
  }

  async reset(): Promise<void> {
    const { state } = this.#deps;
    state.variables.reset();
    state.prepared.clear();
    state.activeRoles = undefined;
    this.#deps.services.locks.releaseAll(state.connectionId);
    state.clearWarnings();
    state.endTransaction();
    await Promise.resolve();
  }

  close(): void {
    this.#isClosed = true;
    for (const abort of this.#aborts) abort.abort();
    this.#deps.services.locks.releaseAll(this.#deps.state.connectionId);
    this.#deps.onClose?.();
  }

  #reader(sql: string, allowMulti: boolean, valueBytes = 0): StatementReader {
    const { config } = this.#deps.services;
    return new StatementReader(sql, {
      maxBytes: config.get('max_statement_bytes') + valueBytes,
      insertMaxBytes: config.get('max_allowed_packet'),
      allowMulti,
      modes: this.#deps.state.variables.scanModes,
    });
  }

  #audited(statement: Statement | undefined, text: string): AuditedStatement {
    const { services, state } = this.#deps;
    return new AuditedStatement(
      { log: services.audit, clock: services.clock, state },
      statement,
      text,
    );
  }

  /** A text that is no statement goes into the audit log, too. */
  #unread(error: unknown, text: string): void {
    const audited = this.#audited(undefined, text);
    audited.failed(error);
    audited.end();
  }

  #read(reader: Reader, sql: string) {
    try {
      return reader.next();
    } catch (error) {
      this.#unread(error, sql);
      this.#deps.state.clearWarnings();
      throw error instanceof SqlError ? this.#remember(error) : error;
    }
  }

  /** The next statement, or why it cannot be read: that comes after the answer to this one. */
  #readAhead(reader: Reader) {
    try {
      return reader.next();
    } catch (error) {
      if (error instanceof SqlError) return error;
      throw error;
    }
  }

  #context(signal: AbortSignal): ExecContext {
    const { services, selects, state } = this.#deps;
    return { services, selects, session: state, signal };
  }

  /** What will stop a statement; it goes on to be so until `#end`, also while rows are fetched. */
  #begin(parent: AbortSignal): StatementAbort {
    const abort = new StatementAbort(parent);
    if (this.#isClosed) abort.abort();
    this.#aborts.add(abort);
    return abort;
  }

  #end(abort: StatementAbort): void {
    abort.end();
    this.#aborts.delete(abort);
  }

  async #execute(statement: Statement, abort: StatementAbort): Promise<StatementResult> {
    const { services, state } = this.#deps;
    const limit = this.#timeLimit(statement, abort);
    try {
      this.#expectMayRun(statement);
      const context = this.#context(abort.signal);
      const running = executeStatement(statement, context);
      const result = await (LISTS.test(statement.kind) ? unlessAborted(running, context) : running);
      state.affectedRows = result.kind === 'ok' ? BigInt(result.affectedRows) : -1n;
      if (result.kind === 'rows') await this.#findRows(statement, result, context);
      return result;
    } catch (caught) {
      state.affectedRows = -1n;
      const error: unknown = limit.reached() ?? caught;
      if (error instanceof SqlError) throw this.#remember(error);
      const text = formatStatement(statement, { maskSecrets: true });
      const logged = text.slice(0, LOGGED_STATEMENT_MAX);
      services.log.error('a statement failed unexpectedly', { statement: logged });
      throw error;
    } finally {
      limit.cancel();
    }
  }

  /** For FOUND_ROWS(); rows that come in batches are counted as they are read. */
  async #findRows(statement: Statement, { rows }: RowsResult, context: ExecContext): Promise<void> {
    const { selects, state } = this.#deps;
    state.foundRows = Array.isArray(rows) ? BigInt(rows.length) : undefined;
    if (statement.kind !== 'Select') return;
    const count = countOfAll(statement.text, state.variables.scanModes);
    if (count === undefined) return;
    const found = await selects.run(count, context);
    for await (const batch of Array.isArray(found.rows) ? [found.rows] : found.rows) {
      state.foundRows = BigInt(String((batch as readonly SqlRow[])[0]?.[0] ?? 0));
    }
  }

  /** max_execution_time of what is no SELECT, which has its own (`Selects`). */
  #timeLimit({ kind }: Statement, abort: StatementAbort): TimeLimit {
    const { services, state } = this.#deps;
    const limitMs = state.variables.number('max_execution_time');
    if (limitMs === 0 || kind === 'Select') return NO_LIMIT;
    let reached: SqlError | undefined;
    const cancel = services.clock.after(limitMs, () => {
      reached = new SqlError('QUERY_TIMEOUT');
      abort.abort(reached);
    });
    return { reached: () => reached, cancel };
  }

  /** Throws MUST_CHANGE_PASSWORD, ACCOUNT_LIMIT. */
  #expectMayRun(statement: Statement): void {
    const { services, state } = this.#deps;
    if (state.mustChangePassword && !this.#mayStill(statement)) {
      throw new SqlError('MUST_CHANGE_PASSWORD');
    }
    const account = services.access.find(state.account);
    if (account === undefined) return;
    services.accountUse.statement(state.account, account, CHANGES.test(statement.kind));
  }

  /** What a session with an expired password may do. */
  #mayStill(statement: Statement): boolean {
    const { user, host } = this.#deps.state.account;
    const own = (ref: AccountRef | undefined): boolean =>
      ref?.kind !== 'account' || (ref.user === user && ref.host === host);
    const { kind } = statement;
    if (kind === 'SetPassword') return own(statement.account);
    if (kind === 'AlterUser') return statement.users.every(({ account }) => own(account));
    return kind === 'SetVariables';
  }

  /** SHOW WARNINGS and SHOW ERRORS tell of the error, too. */
  #remember(error: SqlError): SqlError {
    const { errno: code, message } = error;
    this.#deps.state.warn({ level: 'Error', code, message });
    return error;
  }
}

interface TimeLimit {
  /** The error when the time was over before the statement. */
  readonly reached: () => SqlError | undefined;
  readonly cancel: () => void;
}

const NO_LIMIT: TimeLimit = { reached: () => undefined, cancel: () => undefined };

/** What only looks may be left alone when nobody waits for it any more. */
async function unlessAborted<Result>(
  running: Promise<Result>,
  { signal }: ExecContext,
): Promise<Result> {
  const { promise, reject } = Promise.withResolvers<never>();
  const aborted = (): void => reject(signal.reason as Error);
  signal.addEventListener('abort', aborted, { once: true });
  if (signal.aborted) aborted();
  try {
    return await Promise.race([running, promise]);
  } finally {
    signal.removeEventListener('abort', aborted);
    // Whatever it comes to then is nobody's business.
    running.catch(() => undefined);
  }
}

async function* renamed(
  steps: AsyncIterable<QueryStep>,
  names: readonly (string | undefined)[],
): AsyncIterable<QueryStep> {
  for await (const step of steps) {
    const { result } = step;
    if (result.kind === 'rows' && result.columns.length === names.length) {
      const columns = result.columns.map((column, at) => ({
        ...column,
        name: names[at] ?? column.name,
      }));
      yield {
        result: { ...result, columns },
        get warnings() {
          return step.warnings;
        },
        more: step.more,
      };
    } else {
      yield step;
    }
  }
}
