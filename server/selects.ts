/** SELECT for sessions: the engine, with user tables and the system's own behind it. */
import { SqlError } from '../base/errors.ts';
import type { AccountName } from '../base/privileges.ts';
import type { ResultColumn, SqlValue } from '../base/values.ts';
import { INFORMATION_SCHEMA } from './information_schema/catalog_tables.ts';
import { whileHeld } from './held_rows.ts';
import type { NamedLocks } from './named_locks.ts';
import type { ExecContext } from './executors/executor.ts';
import { tableDenied } from './access/ask.ts';
import { ACCOUNTS_DATABASE } from './access/rights.ts';
import { computeGroupOf, knownComputeGroupOf, rightsOf } from './executors/executor.ts';
import { InformationSchema, virtualTable } from './information_schema/information_schema.ts';
import { PERFORMANCE_SCHEMA, performanceTable } from './information_schema/performance_tables.ts';
import { mysqlTable } from './information_schema/mysql_tables.ts';
import { isSystemDatabase } from './information_schema/system_databases.ts';
import { RecentScans } from './recent_scans.ts';
import { SCHEMA, SchemaSource } from './schema_source.ts';
import type { QueryPlan } from './select/query_plan.ts';
import { SelectEngine } from './select/select_engine.ts';
import type { SelectResult } from './select/select_result.ts';
import type { SelectSession, SelectTable } from './select/table_provider.ts';
import type { LockFunction } from './select/user_locks.ts';
import type { Services } from './services.ts';
import type { SessionState } from './session_state.ts';
import { userTable } from './user_tables.ts';

/** Tries of a SELECT whose tables keep being altered. */
const TRIES_MAX = 5;

export class Selects {
  readonly #engine: SelectEngine<ExecContext>;
  readonly #scanning: Parameters<typeof userTable>[0];

  constructor(services: Services) {
    this.#scanning = { ...services, scans: new RecentScans(services) };
    this.#engine = new SelectEngine<ExecContext>({
      clock: services.clock,
      log: services.log,
      memoryBytes: () => services.config.get('query_memory_bytes'),
      provider: {
        resolve: (database, table, context) => this.#resolve(database, table, context),
      },
    });
  }

  /** Again from the start when a table got another schema before the first row was there. */
  async run(sql: string, context: ExecContext): Promise<SelectResult> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await whileHeld(context.services.holds, () => this.#run(sql, context));
      } catch (error) {
        const isChanged = error instanceof SqlError && error.code === 'TABLE_CHANGED';
        if (!isChanged || attempt === TRIES_MAX) throw error;
      }
    }
  }

  async #run(sql: string, context: ExecContext): Promise<SelectResult> {
    const { variables } = context.session;
    const limit = variables.get('sql_select_limit').value;
    return await this.#engine.run(sql, {
      context,
      session: selectSession(context),
      signal: context.signal,
      timeoutMs: timeLimitMs(sql, variables),
      memoryMax: variables.number('exec_mem_limit'),
      rowsMax: typeof limit === 'bigint' && limit <= 2n ** 53n ? Number(limit) : 0,
    });
  }

  /** What it would do, without running it. */
  async explain(sql: string, context: ExecContext): Promise<QueryPlan> {
    return await this.#engine.explain(sql, selectSession(context), context);
  }

  /** Columns of the result, without running it; a type that only a run tells is STRING. */
  async describe(sql: string, context: ExecContext): Promise<readonly ResultColumn[]> {
    return await this.#engine.describe(sql, selectSession(context), context);
  }

  close(): void {
    this.#engine.close();
  }

  /** Tables made in memory at once. */
  #resolve(
    database: string,
    table: string,
    context: ExecContext,
  ): Promise<SelectTable | undefined> | SelectTable | undefined {
    if (InformationSchema.isName(database)) {
      const found = SCHEMA.resolve(table, new SchemaSource(context));
      if (found !== undefined) return found;
      throw new SqlError('UNKNOWN_SCHEMA_TABLE', { name: table, database: INFORMATION_SCHEMA });
    }
    if (database === '__internal_schema' && table === 'cloud_cache_hotspot') {
      return SCHEMA.resolve(table, new SchemaSource(context));
    }
    if (database.toLowerCase() === PERFORMANCE_SCHEMA) {
      const found = performanceTable(table);
      const source = new SchemaSource(context);
      return found === undefined ? undefined : virtualTable(PERFORMANCE_SCHEMA, found, source);
    }
    const rights = rightsOf(context);
    if (!rights.onTable('SELECT', database, table)) throw tableDenied(context, 'SELECT', table);
    if (database === ACCOUNTS_DATABASE) return accountsTable(table, context);
    if (isSystemDatabase(database)) return undefined;
    const known = context.services.catalog.tables.known(database, table);
    const group = known === undefined ? undefined : knownComputeGroupOf(context);
    return known === undefined || group === undefined
      ? this.#ofUsers(database, table, context)
      : userTable(this.#scanning, known, group);
  }

  async #ofUsers(
    database: string,
    table: string,
    context: ExecContext,
  ): Promise<SelectTable | undefined> {
    const { services } = context;
    const found = await services.catalog.tables.find(database, table);
    if (found !== undefined) {
      return userTable(this.#scanning, found, await computeGroupOf(context));
    }
    if ((await services.catalog.databases.find(database)) === undefined) {
      throw new SqlError('BAD_DB', { name: database });
    }
    return undefined;
  }
}

/** `mysql.user` and its like. */
function accountsTable(name: string, context: ExecContext): SelectTable | undefined {
  const table = mysqlTable(name);
  if (table === undefined) return undefined;
  const { access } = context.services;
  const source = {
    accounts: access.accounts(),
    rightsOf: (account: AccountName) => access.rightsOf(account),
    rolesOf: (account: AccountName) => access.rolesOf(account),
    defaultRolesOf: (account: AccountName) => access.defaultRolesOf(account),
    showsHashes: rightsOf(context).isAdmin,
  };
  return virtualTable(ACCOUNTS_DATABASE, table, source);
}

/** A hint at the beginning of a SELECT. */
const HINT = /^\s*SELECT\s*\/\*\+[^*]*\bMAX_EXECUTION_TIME\s*\(\s*(\d{1,10})\s*\)/i;

/** The shorter of query_timeout, seconds, and max_execution_time, milliseconds; 0 is none. */
function timeLimitMs(sql: string, variables: SessionState['variables']): number {
  const hinted = HINT.exec(sql)?.[1];
  const own = hinted === undefined ? variables.number('max_execution_time') : Number(hinted);
  const limits = [variables.number('query_timeout') * 1000, own].filter((ms) => ms > 0);
  return limits.length === 0 ? 0 : Math.min(...limits);
}

function selectSession({ services, session }: ExecContext): SelectSession {
  const { variables } = session;
  return {
    database: session.database,
    user: `${session.user}@${session.host}`,
    currentUser: `${session.account.user}@${session.account.host}`,
    roles: () => session.activeRoles ?? services.access.defaultRolesOf(session.account),
    connectionId: session.connectionId,
    rowCount: session.affectedRows,
    foundRows: session.foundRows ?? 0n,
    ansiQuotes: variables.sqlModeHas('ANSI_QUOTES'),
    noBackslashEscapes: variables.sqlModeHas('NO_BACKSLASH_ESCAPES'),
    pipesAsConcat: variables.sqlModeHas('PIPES_AS_CONCAT'),
    timeZone: variables.timeZone,
    warnsOfZeroDivision: variables.sqlModeHas('ERROR_FOR_DIVISION_BY_ZERO'),
    systemVariable: (name, scope) => {
      if (scope !== 'global') {
        const key = name.toLowerCase();
        if (key === 'warning_count') {
          return { value: BigInt(session.warningCount), type: { kind: 'BIGINT' } };
        }
      }
      return variables.get(name, scope);
    },
    userVariable: (name) => variables.userVariable(name),
    setUserVariable: (name, value) => {
      variables.setUserVariable(name, value);
    },
    lock: async (name, args, signal) =>
      await callLock(services.locks, session.connectionId, name, args, signal),
    warn: (warning) => {
      session.warn(warning);
    },
  };
}

/** One of MySQL's functions on user-level locks. */
async function callLock(
  locks: NamedLocks,
  owner: number,
  name: LockFunction,
  [first, second]: readonly SqlValue[],
  signal: AbortSignal,
): Promise<SqlValue> {
  const lock = first === null || first === undefined ? '' : String(first);
  switch (name) {
    case 'GET_LOCK':
      return await locks.get(owner, lock, Number(second ?? 0), signal);
    case 'RELEASE_LOCK':
      return locks.release(owner, lock);
    case 'IS_FREE_LOCK':
      return locks.ownerOf(lock) === undefined ? 1n : 0n;
    case 'IS_USED_LOCK': {
      const holder = locks.ownerOf(lock);
      return holder === undefined ? null : BigInt(holder);
    }
    case 'RELEASE_ALL_LOCKS':
      return locks.releaseAll(owner);
  }
}
