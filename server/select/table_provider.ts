/**
 * Ports of the SELECT engine: where tables come from, and what it may know of the session. User
 * tables are scanned through the backends, `information_schema` is made from the server's state.
 */
import type { ScanPredicate } from '../../base/agent_messages.ts';
import type { ColumnType, SqlValue, Warning } from '../../base/values.ts';
import type { TablePlan } from './query_plan.ts';
import type { LockFunction } from './user_locks.ts';

export interface SelectColumn {
  readonly name: string;
  readonly type: ColumnType;
  readonly nullable: boolean;
}

export interface ScanRows {
  readonly rows: number;
  /** One array of `rows` values per wanted column, in the order asked for. */
  readonly columns: readonly (readonly SqlValue[])[];
}

export interface SelectTable {
  /** As result metadata shows it. */
  readonly database: string;
  readonly name: string;
  readonly columns: readonly SelectColumn[];
  /** Text columns compare without case (information_schema); default false, as in Doris. */
  readonly nocase?: boolean;
  /**
   * Rows in batches. `wanted` may be empty: then only row counts matter. `predicates` are AND-ed
   * hints for skipping data, the engine filters again. Stops at `return()` or when the signal
   * aborts.
   */
  scan(
    wanted: readonly string[],
    predicates: readonly ScanPredicate[],
    signal: AbortSignal,
  ): AsyncIterable<ScanRows>;
  /**
   * All rows, when they are at hand without waiting for anybody; undefined: they have to be read.
   * What they are counts as read.
   */
  now?(
    wanted: readonly string[],
    predicates: readonly ScanPredicate[],
  ): readonly ScanRows[] | undefined;
  /**
   * As `scan`; an array when all rows are at hand, so that a small statement waits for them once and
   * not for each batch. Absent: `scan` is the only way.
   */
  read?(
    wanted: readonly string[],
    predicates: readonly ScanPredicate[],
    signal: AbortSignal,
  ): Promise<readonly ScanRows[] | AsyncIterable<ScanRows>>;
  /** What `scan` would read, without reading it; absent: rows made in memory. */
  plan?(wanted: readonly string[], predicates: readonly ScanPredicate[]): Promise<TablePlan>;
}

export interface TableProvider<Context> {
  /** undefined when there is no such table; throws BAD_DB when there is no such database. */
  resolve(
    database: string,
    table: string,
    context: Context,
  ): Promise<SelectTable | undefined> | SelectTable | undefined;
}

type VariableScope = 'session' | 'global';

/** What a SELECT may read of its session, at the moment it starts. */
export interface SelectSession {
  /** '' when none is selected. */
  readonly database: string;
  /** `user@host` as the client logged in. */
  readonly user: string;
  /** `user@host` of the matching account. */
  readonly currentUser: string;
  /** Those that are active. */
  readonly roles: () => readonly string[];
  readonly connectionId: number;
  readonly rowCount: bigint;
  readonly foundRows: bigint;
  readonly ansiQuotes: boolean;
  readonly noBackslashEscapes: boolean;
  /** sql_mode PIPES_AS_CONCAT: `||` joins texts. */
  readonly pipesAsConcat: boolean;
  /** What NOW() and FROM_UNIXTIME() use (`time_zones.ts`). */
  readonly timeZone: string;
  /** A division by zero is worth a warning (sql_mode). */
  readonly warnsOfZeroDivision: boolean;
  /** Throws UNKNOWN_VARIABLE. `scope` is undefined for plain `@@name`. */
  systemVariable(name: string, scope: VariableScope | undefined): VariableValue;
  /** NULL when it was never set. */
  userVariable(name: string): SqlValue;
  setUserVariable(name: string, value: SqlValue): void;
  /** GET_LOCK and its like. Throws WRONG_LOCK_NAME, LOCK_DEADLOCK, the signal's reason. */
  lock(name: LockFunction, args: readonly SqlValue[], signal: AbortSignal): Promise<SqlValue>;
  warn(warning: Warning): void;
}

interface VariableValue {
  readonly value: SqlValue;
  readonly type: ColumnType;
}
