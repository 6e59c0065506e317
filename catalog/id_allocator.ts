/** Ids of everything, from one sequence: reserved durably in batches, never handed out twice. */
import type { Id } from '../base/ids.ts';
import type { Ids } from './session.ts';
import type { SqliteConnection } from './sqlite_connection.ts';

/** Ids reserved at once, and lost at a crash. */
const BATCH = 2000;
/** What is in hand, at least, when a transaction begins: no transaction takes more than these. */
const IDS_PER_TRANSACTION_MAX = 1000;

export class IdAllocator implements Ids {
  readonly #connection: SqliteConnection;
  #next = 0;
  #end = 0;

  constructor(connection: SqliteConnection) {
    this.#connection = connection;
  }

  /** Throws when a transaction wants more than was put in hand for it: `reserve` first then. */
  next<T extends Id<string>>(): T {
    if (this.#next >= this.#end) {
      throw new Error(`a transaction took more than ${IDS_PER_TRANSACTION_MAX} ids`);
    }
    const taken = this.#next;
    this.#next += 1;
    return taken as T;
  }

  /** For `Writer`, outside of transactions: ids taken by one that is rolled back stay taken. */
  topUp(): void {
    if (this.#end - this.#next >= IDS_PER_TRANSACTION_MAX) return;
    this.#next = this.take(BATCH);
    this.#end = this.#next + BATCH;
  }

  /** For `Writer`: the first of `count` consecutive ids. A durable transaction of its own. */
  take(count: number): number {
    const connection = this.#connection;
    connection.exec('BEGIN IMMEDIATE');
    try {
      const [row] = connection.all<[number]>("SELECT next FROM id_allocator WHERE name = 'id'", []);
      if (row === undefined) throw new Error('the id allocator has no row');
      const [first] = row;
      const changed = connection.run(
        "UPDATE id_allocator SET next = ? WHERE name = 'id' AND next = ?",
        [first + count, first],
      );
      if (changed !== 1) throw new Error('the id allocator was changed by somebody else');
      connection.exec('COMMIT');
      return first;
    } catch (error) {
      if (connection.inTransaction) connection.exec('ROLLBACK');
      throw error;
    }
  }
}
