/** What a store works with: queries on one connection, and a way into a transaction. */
import type { Kysely } from 'kysely';
import type { Id } from '../base/ids.ts';
import type { Clock } from '../base/ports.ts';
import type { RowsetEventHub } from './rowset_event_hub.ts';
import type { CatalogRows } from './rows.ts';

export type BulkValue = number | string | Uint8Array | null;

/** Prepared statements without a query builder, for places where rows are many. */
export interface Bulk {
  /** Runs a statement; the number of rows it changed. */
  run(sql: string, values: readonly BulkValue[]): number;
  /** Rows as arrays of column values. */
  all<Row extends readonly BulkValue[]>(sql: string, values: readonly BulkValue[]): Row[];
  /**
   * Another number whenever another connection has committed since: what a reading session read
   * at the same number before is still what there is.
   */
  dataVersion(): number;
}

/** Takes ids that are reserved already; see `IdAllocator`. */
export interface Ids {
  next<T extends Id<string>>(): T;
}

/**
 * A store gets one of two sessions. Inside a transaction `db` reads and writes its connection and
 * `write` joins it. Outside, `db` reads what was committed last, and `write` makes a transaction.
 */
export interface Session {
  readonly db: Kysely<CatalogRows>;
  readonly bulk: Bulk;
  readonly clock: Clock;
  readonly ids: Ids;
  /** Who hears of new rowsets. */
  readonly newRowsets: RowsetEventHub;
  /** Then nothing read may go into a cache: it may be rolled back. */
  readonly isTransaction: boolean;
  write<T>(body: (tx: WriteSession) => Promise<T>): Promise<T>;
}

export interface WriteSession extends Session {
  /** Runs `fn` right after the commit, before anybody else sees it; not at all on a rollback. */
  onCommit(fn: () => void): void;
}
