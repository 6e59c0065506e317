/**
 * Ids of everything, from one sequence: reserved durably in batches, never handed out twice. Also
 * not by a catalog that was restored from an older copy: ids that backends have and that were not
 * given yet were given by the catalog that is lost, and are skipped.
 */
import type { Id } from '../base/ids.ts';
import type { Ids } from './session.ts';
import type { SqliteConnection } from './sqlite_connection.ts';

/** Ids reserved at once, and lost at a crash. */
const BATCH = 2000;
/** What is in hand, at least, when a transaction begins: no transaction takes more than these. */
const IDS_PER_TRANSACTION_MAX = 1000;
/** Rows beside the sequence: its first id in the name, its end as the number. */
const LOST = 'lost from ';

/** Ids that a catalog handed out that is lost. */
interface LostIds {
  readonly first: number;
  readonly end: number;
}

export class IdAllocator implements Ids {
  readonly #connection: SqliteConnection;
  #next = 0;
  #end = 0;
  /** No smaller id is handed out any more, as soon as no transaction counts on those in hand. */
  #floor = 0;
  /** End of all that was ever taken. */
  #taken: number;
  #lost: readonly LostIds[];

  constructor(connection: SqliteConnection) {
    this.#connection = connection;
    this.#taken = this.#read('id');
    this.#lost = this.#readLost();
  }

  /**
   * Somebody has this id. True: it was never handed out by this catalog, but by one of which this
   * is an older copy.
   */
  seen(id: number): boolean {
    const isInHand = id >= this.#next && id < this.#end;
    if (!isInHand && id < this.#taken) return this.#isLost(id);
    this.#floor = Math.max(this.#floor, id + 1);
    return true;
  }

  #isLost(id: number): boolean {
    return this.#lost.some(({ first, end }) => id >= first && id < end);
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
    const isBelow = this.#next < this.#floor;
    if (!isBelow && this.#end - this.#next >= IDS_PER_TRANSACTION_MAX) return;
    this.#next = this.take(BATCH);
    this.#end = this.#next + BATCH;
  }

  /** For `Writer`: the first of `count` consecutive ids. A durable transaction of its own. */
  take(count: number): number {
    const connection = this.#connection;
    connection.exec('BEGIN IMMEDIATE');
    try {
      const next = this.#read('id');
      if (next === 0) throw new Error('the id allocator has no row');
      const first = Math.max(next, this.#floor);
      const skipped = this.#skip(next);
      const changed = connection.run(
        "UPDATE id_allocator SET next = ? WHERE name = 'id' AND next = ?",
        [first + count, next],
      );
      if (changed !== 1) throw new Error('the id allocator was changed by somebody else');
      connection.exec('COMMIT');
      this.#taken = first + count;
      this.#lost = [...this.#lost, ...skipped];
      return first;
    } catch (error) {
      if (connection.inTransaction) connection.exec('ROLLBACK');
      throw error;
    }
  }

  /** Durable with the ids that are taken beyond them: the next start knows them, too. */
  #skip(next: number): LostIds[] {
    if (this.#floor === 0 || this.#isLost(this.#floor - 1)) return [];
    // What is in hand, and what nobody has taken; between them may be what was taken as a whole.
    const parts = [
      { first: this.#next, end: Math.min(this.#end, this.#floor) },
      { first: next, end: this.#floor },
    ].filter(({ first, end }) => first < end && !this.#isLost(end - 1));
    for (const { first, end } of parts) {
      const name = LOST + String(first);
      this.#connection.run('DELETE FROM id_allocator WHERE name = ?', [name]);
      this.#connection.run('INSERT INTO id_allocator (name, next) VALUES (?, ?)', [name, end]);
    }
    return parts;
  }

  #readLost(): LostIds[] {
    const rows = this.#connection.all<[string, number]>(
      'SELECT name, next FROM id_allocator WHERE name LIKE ?',
      [`${LOST}%`],
    );
    return rows.map(([name, end]) => ({ first: Number(name.slice(LOST.length)), end }));
  }

  #read(name: string): number {
    const [row] = this.#connection.all<[number]>('SELECT next FROM id_allocator WHERE name = ?', [
      name,
    ]);
    return row?.[0] ?? 0;
  }
}
