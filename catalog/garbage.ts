/** Objects that nothing refers to any more, by prefix, until a job has deleted them. */
import { id } from '../base/ids.ts';
import type { VaultId } from '../base/ids.ts';
import type { Session } from './session.ts';

/** Longest reason or error text kept with an item, characters. */
const TEXT_MAX = 500;

export interface GarbageItem {
  readonly garbageId: number;
  readonly vaultId: VaultId;
  /** Everything under it goes. Always begins with `data/<tablet id>/`. */
  readonly prefix: string;
  readonly reason: string;
  /** Claims so far, this one included. */
  readonly attempts: number;
  readonly lastError: string | null;
}

export class GarbageStore {
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  async count(): Promise<number> {
    const row = await this.#session.db
      .selectFrom('garbage')
      .select((eb) => eb.fn.countAll<number>().as('count'))
      .executeTakeFirst();
    return row?.count ?? 0;
  }

  /** Adds items that are due at `notBeforeMs`. At most ~1,000 at once: one transaction. */
  async add(
    items: readonly { readonly vaultId: VaultId; readonly prefix: string }[],
    reason: string,
    notBeforeMs: number,
  ): Promise<void> {
    await this.#session.write(async (tx) => {
      for (const { vaultId, prefix } of items) {
        tx.bulk.run(
          `INSERT INTO garbage (garbage_id, vault_id, prefix, reason, not_before_ms, attempts)
           VALUES (?, ?, ?, ?, ?, 0)`,
          [tx.ids.next(), vaultId, prefix, reason.slice(0, TEXT_MAX), notBeforeMs],
        );
      }
    });
  }

  /** Of the items that are there; 0 without any. Items are numbered in the order of their commits. */
  newestId(): number {
    const [row] = this.#session.bulk.all<[number | null]>(
      'SELECT max(garbage_id) FROM garbage',
      [],
    );
    return row?.[0] ?? 0;
  }

  /** Items numbered above `after`, up to and with `newestId`, due or not; oldest first. */
  between(
    after: number,
    newestId: number,
    limit: number,
  ): Pick<GarbageItem, 'garbageId' | 'vaultId' | 'prefix'>[] {
    const rows = this.#session.bulk.all<[number, number, string]>(
      `SELECT garbage_id, vault_id, prefix FROM garbage
       WHERE garbage_id > ? AND garbage_id <= ? ORDER BY garbage_id LIMIT ?`,
      [after, newestId, limit],
    );
    return rows.map(([garbageId, vaultId, prefix]) => ({
      garbageId,
      vaultId: id<VaultId>(vaultId),
      prefix,
    }));
  }

  /**
   * Up to `limit` due items no newer than `newestId`, oldest first. A claim holds for `leaseMs`:
   * what is neither `done` nor `retry`ed by then is due again, so that a crash loses nothing.
   */
  async claim(
    limit: number,
    leaseMs: number,
    newestId: number = Number.MAX_SAFE_INTEGER,
  ): Promise<GarbageItem[]> {
    return this.#session.write(async (tx) => {
      const now = tx.clock.now();
      const rows = await tx.db
        .selectFrom('garbage')
        .selectAll()
        .where('not_before_ms', '<=', now)
        .where('garbage_id', '<=', newestId)
        .orderBy('not_before_ms')
        .orderBy('garbage_id')
        .limit(limit)
        .execute();
      for (const row of rows) {
        tx.bulk.run('UPDATE garbage SET not_before_ms = ?, attempts = ? WHERE garbage_id = ?', [
          now + leaseMs,
          row.attempts + 1,
          row.garbage_id,
        ]);
      }
      return rows.map((row) => ({
        garbageId: row.garbage_id,
        vaultId: id<VaultId>(row.vault_id),
        prefix: row.prefix,
        reason: row.reason,
        attempts: row.attempts + 1,
        lastError: row.last_error,
      }));
    });
  }

  /**
   * For the start: claims of the server before are void, and its pauses over. At most `limit` items;
   * how many there were.
   */
  async releaseClaims(limit: number): Promise<number> {
    return this.#session.write(async (tx) => {
      const now = tx.clock.now();
      return tx.bulk.run(
        `UPDATE garbage SET not_before_ms = ?, attempts = 0 WHERE garbage_id IN
           (SELECT garbage_id FROM garbage WHERE attempts > 0 AND not_before_ms > ? LIMIT ?)`,
        [now, now, limit],
      );
    });
  }

  /** The objects are gone. No error for an item that is not there. */
  async done(garbageIds: readonly number[]): Promise<void> {
    await this.#session.write(async (tx) => {
      for (const garbageId of garbageIds) {
        tx.bulk.run('DELETE FROM garbage WHERE garbage_id = ?', [garbageId]);
      }
    });
  }

  /** It failed: due again at `notBeforeMs`. */
  async retry(garbageIds: readonly number[], notBeforeMs: number, error: string): Promise<void> {
    await this.#session.write(async (tx) => {
      for (const garbageId of garbageIds) {
        tx.bulk.run('UPDATE garbage SET not_before_ms = ?, last_error = ? WHERE garbage_id = ?', [
          notBeforeMs,
          error.slice(0, TEXT_MAX),
          garbageId,
        ]);
      }
    });
  }
}
