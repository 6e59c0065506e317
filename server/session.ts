/**
 * One logged-in connection: text → statements → executors, one at a time; what goes wrong becomes
 * a warning list and an error packet (made by the listener).
 */
import { SqlError } from '../base/errors.ts';
import type { StatementResult } from '../base/values.ts';
import { StatementReader } from '../parser/parse.ts';
import { formatStatement } from '../parser/format.ts';
import type { Statement, StatementKind } from '../parser/statement.ts';
import { expectDatabase } from './executors/databases.ts';
import type { ExecContext } from './executors/executor.ts';
import { executeStatement } from './executors/table.ts';
import type {
  FieldListing,
  QueryOptions,
  QueryStep,
  SessionCharsets,
  SessionHandler,
} from './mysql/handler.ts';
import { splitDatabase } from './database_name.ts';
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
    const { config } = this.#deps.services;
    const { state } = this.#deps;
    const reader = new StatementReader(sql, {
      maxBytes: config.get('max_statement_bytes'),
      insertMaxBytes: config.get('max_allowed_packet'),
      allowMulti: options.allowMulti,
    });
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

  /** `USE` of the mysql client comes this way: `db`, `@group` and `db@group`, as in Doris. */
  async useDatabase(name: string): Promise<void> {
    const { services, state } = this.#deps;
    const { database, computeGroup } = splitDatabase(name);
    if (database !== '') await expectDatabase(services, database);
    if (computeGroup !== undefined) {
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

  async #execute(statement: Statement, signal: AbortSignal): Promise<StatementResult> {
    const { services, selects, state } = this.#deps;
    const both = AbortSignal.any([signal, this.#closed.signal]);
    const context: ExecContext = { services, selects, session: state, signal: both };
    try {
      const result = await executeStatement(statement, context);
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
