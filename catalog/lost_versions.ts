/**
 * Versions of tablets that got lost: written before a replica is made without them, so that nobody
 * loses them silently, whatever becomes of the message that says so.
 */
import { type ReplicaId, type TabletId, id } from '../base/ids.ts';
import type { Session } from './session.ts';

/** Rows that are kept; the oldest are forgotten. */
const KEPT_MAX = 100_000;

export interface LostVersions {
  readonly tabletId: TabletId;
  /** That was made, or filled, without them. */
  readonly replicaId: ReplicaId;
  /** Both inclusive. */
  readonly from: number;
  readonly to: number;
  /** Up to which version the tablet was cooled; undefined: not at all. */
  readonly cooledVersion: number | undefined;
  readonly lostMs: number;
}

type LostRow = [
  tabletId: number,
  replicaId: number,
  from: number,
  to: number,
  cooledVersion: number | null,
  lostMs: number,
];

const COLUMNS = 'tablet_id, replica_id, from_version, to_version, cooled_version, lost_ms';

export class LostVersionStore {
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  /** In place of what was said of the replica before; none: nothing is lost. */
  async put(
    { tabletId, replicaId }: Pick<LostVersions, 'tabletId' | 'replicaId'>,
    ranges: readonly Pick<LostVersions, 'from' | 'to'>[],
    cooledVersion: number | undefined,
  ): Promise<void> {
    await this.#session.write(async (tx) => {
      tx.bulk.run('DELETE FROM lost_version WHERE tablet_id = ? AND replica_id = ?', [
        tabletId,
        replicaId,
      ]);
      for (const { from, to } of ranges) {
        tx.bulk.run(`INSERT INTO lost_version (${COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)`, [
          tabletId,
          replicaId,
          from,
          to,
          cooledVersion ?? null,
          tx.clock.now(),
        ]);
      }
      tx.bulk.run(
        `DELETE FROM lost_version WHERE lost_ms < (
           SELECT lost_ms FROM lost_version ORDER BY lost_ms DESC LIMIT 1 OFFSET ?)`,
        [KEPT_MAX],
      );
    });
  }

  /** By version. */
  of(tabletId: TabletId, replicaId: ReplicaId): LostVersions[] {
    return this.#read('WHERE tablet_id = ? AND replica_id = ?', [tabletId, replicaId]);
  }

  /** By tablet, also of tablets that were dropped since. */
  list(): LostVersions[] {
    return this.#read('', []);
  }

  #read(where: string, values: readonly number[]): LostVersions[] {
    const sql = `SELECT ${COLUMNS} FROM lost_version ${where}
      ORDER BY tablet_id, replica_id, from_version`;
    return this.#session.bulk
      .all<LostRow>(sql, values)
      .map(([tabletId, replicaId, from, to, cooledVersion, lostMs]) => ({
        tabletId: id<TabletId>(tabletId),
        replicaId: id<ReplicaId>(replicaId),
        from,
        to,
        cooledVersion: cooledVersion ?? undefined,
        lostMs,
      }));
  }
}
