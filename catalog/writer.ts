/** Transactions that write: one at a time, each proving that this server still has the lease. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { SqlError } from '../base/errors.ts';
import type { Clock } from '../base/ports.ts';
import { toCatalogError } from './driver_errors.ts';
import { IdAllocator } from './id_allocator.ts';
import { KeyedMutex } from './keyed_mutex.ts';
import { RowsetEventHub } from './rowset_event_hub.ts';
import type { WriteSession } from './session.ts';
import type { SqliteConnection } from './sqlite_connection.ts';

/**
 * Transactions that wait for each other follow without a turn of the event loop in between, and each
 * waits for its fsync. With 500 warm-up jobs such rows went on for 0.2 to 1.1 s, and meanwhile
 * nobody was answered: so after this long everybody else has a turn.
 */
const TURN_MAX_MS = 4;

/** Travels with the async context of a transaction's body, to tell a nested one. */
interface Scope {
  isOpen: boolean;
}

export class Writer {
  readonly ids: IdAllocator;
  readonly newRowsets = new RowsetEventHub();
  readonly #connection: SqliteConnection;
  readonly #clock: Clock;
  readonly #epoch: number;
  readonly #mutex = new KeyedMutex<'writer'>();
  readonly #current = new AsyncLocalStorage<Scope>();
  /** Monotonic moment of this turn's first transaction; undefined: there was none. */
  #turnBegan: number | undefined;
  #isClosed = false;
  #commits = 0;

  readonly #onLeaseLost: () => void;

  /** `onLeaseLost` is called with the first transaction that another server's lease stops. */
  constructor(
    connection: SqliteConnection,
    clock: Clock,
    epoch: number,
    onLeaseLost: () => void = () => undefined,
  ) {
    this.#connection = connection;
    this.#clock = clock;
    this.#epoch = epoch;
    this.#onLeaseLost = onLeaseLost;
    this.ids = new IdAllocator(connection);
  }

  /**
   * Runs `body` between BEGIN IMMEDIATE and COMMIT, after all transactions asked for before. The
   * body must await nothing but the session: everybody else who writes waits for it. It may touch
   * about 2,000 rows. When it throws, nothing was changed. Throws CATALOG_LEASE_LOST,
   * CATALOG_CLOSED and what `toCatalogError` makes of the driver's errors.
   */
  async transaction<T>(body: (tx: WriteSession) => Promise<T>): Promise<T> {
    if (this.#current.getStore()?.isOpen === true) {
      throw new Error('a transaction inside a transaction: use the session that was handed in');
    }
    return this.#mutex.run('writer', async () => {
      await this.#letOthersGo();
      if (this.#isClosed) throw new SqlError('CATALOG_CLOSED');
      const scope: Scope = { isOpen: true };
      try {
        return await this.#current.run(scope, () => this.#run(scope, body));
      } finally {
        scope.isOpen = false;
      }
    });
  }

  /** Transactions so far. */
  get commits(): number {
    return this.#commits;
  }

  /** The first of `count` consecutive ids, for work that needs many. */
  async reserveIds(count: number): Promise<number> {
    return this.#mutex.run('writer', async () => {
      if (this.#isClosed) throw new SqlError('CATALOG_CLOSED');
      this.#proveLease();
      return this.ids.take(count);
    });
  }

  /** Waits for what was asked for before; then every transaction throws CATALOG_CLOSED. */
  async close(): Promise<void> {
    await this.#mutex.run('writer', async () => {
      this.#isClosed = true;
    });
  }

  async #letOthersGo(): Promise<void> {
    const now = this.#clock.monotonic();
    const isLong = this.#turnBegan !== undefined && now - this.#turnBegan >= TURN_MAX_MS;
    if (this.#turnBegan === undefined) {
      this.#turnBegan = now;
      setImmediate(() => {
        this.#turnBegan = undefined;
      });
    }
    if (!isLong) return;
    await nextTurn();
    await this.#letOthersGo();
  }

  async #run<T>(scope: Scope, body: (tx: WriteSession) => Promise<T>): Promise<T> {
    const connection = this.#connection;
    const hooks: (() => void)[] = [];
    const session: WriteSession = {
      db: connection.db,
      bulk: connection,
      clock: this.#clock,
      ids: this.ids,
      newRowsets: this.newRowsets,
      isTransaction: true,
      write: (inner) => inner(session),
      onCommit: (fn) => {
        hooks.push(fn);
      },
    };
    this.ids.topUp();
    connection.exec('BEGIN IMMEDIATE');
    let result: T;
    try {
      this.#proveLease();
      result = await body(session);
      connection.exec('COMMIT');
      this.#commits += 1;
    } catch (error) {
      if (connection.inTransaction) connection.exec('ROLLBACK');
      throw toCatalogError(error);
    }
    // What a hook starts may want a transaction of its own.
    scope.isOpen = false;
    for (const hook of hooks) hook();
    return result;
  }

  #proveLease(): void {
    const changed = this.#connection.run(
      'UPDATE lease SET seq = seq + 1 WHERE id = 1 AND epoch = ?',
      [this.#epoch],
    );
    if (changed === 1) return;
    const [row] = this.#connection.all<[number, string]>(
      'SELECT epoch, holder FROM lease WHERE id = 1',
      [],
    );
    const [theirs, holder] = row ?? [0, 'unknown'];
    this.#onLeaseLost();
    throw new SqlError('CATALOG_LEASE_LOST', { theirs, holder, ours: this.#epoch });
  }
}
