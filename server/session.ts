/**
 * One logged-in connection: text → statements → executors, one at a time; what goes wrong becomes
 * a warning list and an error packet (made by the listener).
 */
import { SqlError } from '../base/errors.ts';
import type { StatementResult } from '../base/values.ts';
import { StatementReader } from '../parser/parse.ts';
import { formatStatement } from '../parser/format.ts';
import type { Statement, StatementKind } from '../parser/statement.ts';
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
import { PreparedText } from './prepared_text.ts';
import { sessionCharsets } from './session_charsets.ts';
import type { Selects } from './selects.ts';
import type { Services } from './services.ts';
import type { SessionState } from './session_state.ts';

export interface SessionDeps {
  readonly services: Services;
  readonly selects: Selects;
  readonly state: SessionState;
  readonly onStatement: () => void;
}

/** These look at what the statement before left behind, so they keep its warnings. */
const KEEPS_WARNINGS: ReadonlySet<StatementKind> = new Set(['ShowWarnings', 'ShowErrors'] as const);

/** Characters of a statement in a log line. */
const LOGGED_STATEMENT_MAX = 1000;

export class Session implements SessionHandler {
  readonly #deps: SessionDeps;
  readonly #closed = new AbortController();

  constructor(deps: SessionDeps) {
    this.#deps = deps;
  }

  get inTransaction(): boolean {
    return this.#deps.state.inTransaction;
  }

  get autocommit(): boolean {
    return this.#deps.state.variables.number('autocommit') === 1;
  }

  get currentDatabase(): string {
    return this.#deps.state.database;
  }

  get charsets(): SessionCharsets {
    return sessionCharsets(this.#deps.state.variables);
  }

  get idleTimeoutSeconds(): number {
    return this.#deps.state.variables.number('wait_timeout');
  }

  async *query(sql: string, options: QueryOptions): AsyncGenerator<QueryStep> {
    const { state } = this.#deps;
    const reader = this.#reader(sql, options.allowMulti);
    let parsed = this.#read(reader);
    while (parsed !== undefined) {
      const { statement } = parsed;
      this.#deps.onStatement();
      if (!KEEPS_WARNINGS.has(statement.kind)) state.clearWarnings();
      const result = await this.#execute(statement, options.signal);
      // What follows is read now: the answer to this one says whether there is more.
      const next = this.#readAhead(reader);
      yield {
        result,
        get warnings() {
          return state.warningCount;
        },
        more: next !== undefined,
      };
      if (next instanceof SqlError) throw this.#remember(next);
      parsed = next;
    }
  }

  /** Only SELECT tells its columns before it runs; other results tell them when they come. */
  async prepare(sql: string, { signal }: Pick<QueryOptions, 'signal'>): Promise<PreparedQuery> {
    const { selects, state } = this.#deps;
    const text = new PreparedText(sql);
    const { parameters } = text;
    const sample = this.#sample(text);
    const columns =
      sample?.kind === 'Select' ? await selects.describe(sample.text, this.#context(signal)) : [];
    return {
      parameters,
      columns,
      text: sql,
      run: (values, options) => {
        const backslashEscapes = !state.variables.sqlModeHas('NO_BACKSLASH_ESCAPES');
        const bound = text.bind(values, backslashEscapes);
        return this.query(bound, { ...options, allowMulti: false });
      },
    };
  }

  /**
   * The statement with values in place of its placeholders, to see whether it can be read at all;
   * undefined when that depends on what comes in (a number here, a string there).
   */
  #sample(text: PreparedText): Statement | undefined {
    let failure: unknown;
    for (const value of [1, '1']) {
      try {
        const bound = text.bind(
          Array.from({ length: text.parameters }, () => value),
          true,
        );
        const reader = this.#reader(bound, false);
        const parsed = reader.next();
        if (parsed !== undefined && reader.next() === undefined) return parsed.statement;
        return undefined;
      } catch (error) {
        failure ??= error;
      }
    }
    if (text.parameters >= 2) return undefined;
    this.#deps.state.clearWarnings();
    throw failure instanceof SqlError ? this.#remember(failure) : failure;
  }

  /** `USE` of the mysql client comes this way: `db`, `@group` and `db@group`, as in Doris. */
  async useDatabase(name: string): Promise<void> {
    const { services, state } = this.#deps;
    const { database, computeGroup } = splitDatabase(name);
    const context = this.#context(this.#closed.signal);
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
    const { signal } = this.#closed;
    const quoted = `\`${table.replaceAll('`', '``')}\``;
    return await selects.run(`SELECT * FROM ${quoted} LIMIT 0`, {
      services,
      selects,
      session: state,
      signal,
    });
  }

  statistics(): string {
    const { services } = this.#deps;
    const uptime = Math.floor((services.clock.now() - services.startedMs) / 1000);
    const threads = services.connections.size;
    return `Uptime: ${uptime}  Threads: ${threads}`;
  }

  async reset(): Promise<void> {
    const { state } = this.#deps;
    state.variables.reset();
    state.clearWarnings();
    state.inTransaction = false;
    await Promise.resolve();
  }

  close(): void {
    this.#closed.abort();
  }

  #reader(sql: string, allowMulti: boolean): StatementReader {
    const { config } = this.#deps.services;
    return new StatementReader(sql, {
      maxBytes: config.get('max_statement_bytes'),
      insertMaxBytes: config.get('max_allowed_packet'),
      allowMulti,
    });
  }

  #read(reader: StatementReader) {
    try {
      return reader.next();
    } catch (error) {
      this.#deps.state.clearWarnings();
      throw error instanceof SqlError ? this.#remember(error) : error;
    }
  }

  /** The next statement, or why it cannot be read: that comes after the answer to this one. */
  #readAhead(reader: StatementReader) {
    try {
      return reader.next();
    } catch (error) {
      if (error instanceof SqlError) return error;
      throw error;
    }
  }

  #context(signal: AbortSignal): ExecContext {
    const { services, selects, state } = this.#deps;
    const both = AbortSignal.any([signal, this.#closed.signal]);
    return { services, selects, session: state, signal: both };
  }

  async #execute(statement: Statement, signal: AbortSignal): Promise<StatementResult> {
    const { services, state } = this.#deps;
    try {
      const result = await executeStatement(statement, this.#context(signal));
      state.affectedRows = result.kind === 'ok' ? BigInt(result.affectedRows) : -1n;
      if (result.kind === 'rows' && Array.isArray(result.rows)) {
        state.foundRows = BigInt(result.rows.length);
      }
      return result;
    } catch (error) {
      state.affectedRows = -1n;
      if (error instanceof SqlError) throw this.#remember(error);
      const text = formatStatement(statement, { maskSecrets: true });
      const logged = text.slice(0, LOGGED_STATEMENT_MAX);
      services.log.error('a statement failed unexpectedly', { statement: logged });
      throw error;
    }
  }

  /** SHOW WARNINGS and SHOW ERRORS tell of the error, too. */
  #remember(error: SqlError): SqlError {
    const { errno: code, message } = error;
    this.#deps.state.warn({ level: 'Error', code, message });
    return error;
  }
}
