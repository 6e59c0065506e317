/** Replicas of tablets of replicated tables: which backend should have one, and what it misses. */
import { id } from '../base/ids.ts';
import type { BackendId, PartitionId, ReplicaId, TableId, TabletId, TxnId } from '../base/ids.ts';
import type { PublishedVersion } from '../base/replica.ts';
import type { MissingVersions, ReplicaDef, ReplicaIndex } from './replica_index.ts';
import type { ReplicaState } from './rows.ts';
import type { Bulk, Session, WriteSession } from './session.ts';
import { expectOne } from './stale_row.ts';
import type { TabletIndex } from './tablet_index.ts';

export type { MissingVersions, ReplicaDef };

/** The names of a replica; messages to backends have both. */
export type ReplicaKey = Pick<ReplicaDef, 'tabletId' | 'replicaId'>;

/** A replica that lacks everything until it is cloned, or one of a new tablet. */
export interface AddedReplica {
  readonly tabletId: TabletId;
  readonly backendId: BackendId;
  readonly state: 'CREATING' | 'CLONING';
  readonly missing?: MissingVersions;
}

type ReplicaRow = [
  replicaId: number,
  tabletId: number,
  backendId: number,
  state: ReplicaState,
  missingFrom: number | null,
  missingTo: number | null,
  version: number,
];

/** Rows of versions that one transaction deletes. */
const VERSIONS_PER_TRANSACTION = 1500;
const COLUMNS = 'replica_id, tablet_id, backend_id, state, missing_from, missing_to, version';

/**
 * What reads, reads memory: what was committed last, also inside a transaction. In memory are the
 * replicas of tablets that are still being created, too, and of dropped ones until they are gone.
 */
export class ReplicaStore {
  readonly #session: Session;
  readonly #index: ReplicaIndex;
  readonly #tablets: TabletIndex;

  constructor(session: Session, index: ReplicaIndex, tablets: TabletIndex) {
    this.#session = session;
    this.#index = index;
    this.#tablets = tablets;
  }

  /** Replicas there are, in every state. */
  get size(): number {
    return this.#index.size;
  }

  get(tabletId: TabletId, replicaId: ReplicaId): ReplicaDef | undefined {
    return this.#index.get(tabletId, replicaId);
  }

  /** Without those that are being dropped; empty for tablets of shared tables. */
  ofTablet(tabletId: TabletId): ReplicaDef[] {
    return this.#index.ofTablet(tabletId).filter(({ state }) => state !== 'DROPPING');
  }

  /** The same, by tablet, in the order of the tablets' ids. */
  byTable(tableId: TableId): Map<TabletId, ReplicaDef[]> {
    const tablets = this.#tablets.ofTable(tableId);
    return new Map(tablets.map(({ tabletId }) => [tabletId, this.ofTablet(tabletId)]));
  }

  /** In every state. Looks at all replicas there are. */
  ofBackend(backendId: BackendId): ReplicaDef[] {
    return this.#index.ofBackend(backendId);
  }

  /** In every state. */
  countOf(backendId: BackendId): number {
    return this.#index.countOf(backendId);
  }

  inState(state: Exclude<ReplicaState, 'NORMAL'>): ReplicaDef[] {
    return this.#index.inState(state);
  }

  countIn(state: Exclude<ReplicaState, 'NORMAL'>): number {
    return this.#index.countIn(state);
  }

  /** All that miss versions. */
  missing(): ReplicaDef[] {
    return this.#index.missing();
  }

  /** At most ~900 at once: one transaction, which may hold more than this. */
  async add(added: readonly AddedReplica[]): Promise<ReplicaDef[]> {
    return this.#session.write(async (tx) => {
      const replicas = added.map((one) => ({ ...one, replicaId: tx.ids.next<ReplicaId>() }));
      for (const replica of replicas) insertReplica(tx, this.#index, replica);
      return replicas;
    });
  }

  /** False: it is gone, or in none of the states `from`; then nothing was changed. */
  async setState(
    { tabletId, replicaId }: ReplicaKey,
    from: readonly ReplicaState[],
    to: ReplicaState,
  ): Promise<boolean> {
    return this.#session.write(async (tx) => {
      const row = readReplica(tx, replicaId);
      if (row === undefined || !from.includes(row[3])) return false;
      const changed = tx.bulk.run(
        `UPDATE replica SET state = ?, version = version + 1
         WHERE replica_id = ? AND state = ? AND version = ?`,
        [to, replicaId, row[3], row[6]],
      );
      expectOne(BigInt(changed), `replica ${replicaId}`);
      tx.onCommit(() => {
        this.#index.setState(tabletId, replicaId, to);
      });
      return true;
    });
  }

  /** CREATING → NORMAL for all that are CREATING; at most ~2,000 at once. */
  async created(replicas: readonly ReplicaKey[]): Promise<void> {
    await this.#session.write(async (tx) => {
      for (const { tabletId, replicaId } of replicas) {
        const changed = tx.bulk.run(
          `UPDATE replica SET state = 'NORMAL', version = version + 1
           WHERE replica_id = ? AND state = 'CREATING'`,
          [replicaId],
        );
        if (changed === 0) continue;
        tx.onCommit(() => {
          this.#index.setState(tabletId, replicaId, 'NORMAL');
        });
      }
    });
  }

  /**
   * It does not have all of `versions` and has to be repaired; what it missed before counts, too.
   * A replica that is gone is passed over.
   */
  async markMissing({ replicaId }: ReplicaKey, versions: MissingVersions): Promise<void> {
    await this.#session.write(async (tx) => {
      missVersions(tx, this.#index, replicaId, versions);
    });
  }

  /**
   * It has all versions up to `version` by now. True: it misses nothing; false: it missed a later
   * one, or it is gone.
   */
  async clearMissing({ tabletId, replicaId }: ReplicaKey, version: number): Promise<boolean> {
    return this.#session.write(async (tx) => {
      const row = readReplica(tx, replicaId);
      if (row === undefined) return false;
      if (row[5] === null) return true;
      if (row[5] > version) return false;
      tx.bulk.run(
        `UPDATE replica SET missing_from = NULL, missing_to = NULL, version = version + 1
         WHERE replica_id = ? AND version = ?`,
        [replicaId, row[6]],
      );
      tx.onCommit(() => {
        this.#index.setMissing(tabletId, replicaId, undefined);
      });
      return true;
    });
  }

  /**
   * Its backend has dropped it, or was dropped itself. With a dropped tablet's last replica the
   * tablet's objects become garbage. No error for one that is gone. At most ~500 at once.
   */
  async remove(replicas: readonly ReplicaKey[]): Promise<void> {
    await this.#session.write(async (tx) => {
      for (const { tabletId, replicaId } of replicas) {
        tx.bulk.run('DELETE FROM replica WHERE replica_id = ?', [replicaId]);
        discardDropped(tx, tabletId);
        tx.onCommit(() => {
          this.#index.remove(tabletId, replicaId);
        });
      }
    });
  }

  /** Versions that a visible load made, of partitions that are there; empty: none is known. */
  versionsOf(txnId: TxnId): PublishedVersion[] {
    return this.#session.bulk
      .all<[number, number]>(
        'SELECT partition_id, version FROM replica_version WHERE txn_id = ? ORDER BY partition_id',
        [txnId],
      )
      .map(([partitionId, version]) => ({ partitionId: id<PartitionId>(partitionId), version }));
  }

  /** Partitions above `after` of which versions are known, in the order of their ids. */
  versionedPartitions(after: number, limit: number): PartitionId[] {
    const found: PartitionId[] = [];
    // One look-up each: a partition whose replica is away has a row for each of its loads.
    for (let last = after; found.length < limit;) {
      const [row] = this.#session.bulk.all<[PartitionId]>(
        `SELECT partition_id FROM replica_version WHERE partition_id > ?
         ORDER BY partition_id LIMIT 1`,
        [last],
      );
      if (row === undefined) break;
      [last] = row;
      found.push(row[0]);
    }
    return found;
  }

  /** Nobody will ask for the partition's versions up to this one any more; how many were known. */
  async forgetVersions(partitionId: PartitionId, upTo: number): Promise<number> {
    let forgotten = 0;
    for (;;) {
      const [row] = this.#session.bulk.all<[number | null]>(
        'SELECT min(version) FROM replica_version WHERE partition_id = ?',
        [partitionId],
      );
      const first = row?.[0] ?? Infinity;
      if (first > upTo) return forgotten;
      const last = Math.min(upTo, first + VERSIONS_PER_TRANSACTION - 1);
      forgotten += await this.#session.write(async (tx) =>
        tx.bulk.run('DELETE FROM replica_version WHERE partition_id = ? AND version <= ?', [
          partitionId,
          last,
        ]),
      );
    }
  }
}

/** Inserts a row, and with the commit the entry in memory. */
export function insertReplica(
  tx: WriteSession,
  index: ReplicaIndex,
  replica: AddedReplica & { readonly replicaId: ReplicaId },
): void {
  const { replicaId, tabletId, backendId, state, missing } = replica;
  tx.bulk.run(
    `INSERT INTO replica (replica_id, tablet_id, backend_id, state, missing_from, missing_to,
       created_ms, version)
     VALUES (?, ?, ?, ?, ?, ?, ?, 1)`,
    [
      replicaId,
      tabletId,
      backendId,
      state,
      missing?.from ?? null,
      missing?.to ?? null,
      tx.clock.now(),
    ],
  );
  tx.onCommit(() => {
    index.add(replica);
  });
}

/** Widens what a replica misses. */
export function missVersions(
  tx: WriteSession,
  index: ReplicaIndex,
  replicaId: ReplicaId,
  { from, to }: MissingVersions,
): void {
  const row = readReplica(tx, replicaId);
  if (row === undefined) return;
  const missing = { from: Math.min(row[4] ?? from, from), to: Math.max(row[5] ?? to, to) };
  tx.bulk.run(
    `UPDATE replica SET missing_from = ?, missing_to = ?, version = version + 1
     WHERE replica_id = ? AND version = ?`,
    [missing.from, missing.to, replicaId, row[6]],
  );
  tx.onCommit(() => {
    index.setMissing(id<TabletId>(row[1]), replicaId, missing);
  });
}

/**
 * The tablet is gone: its replicas are to be dropped, and its objects in resources follow when no
 * backend has a replica any more.
 */
export function dropReplicas(tx: WriteSession, index: ReplicaIndex, tabletId: TabletId): void {
  const rows = tx.bulk.all<[number]>(
    "SELECT replica_id FROM replica WHERE tablet_id = ? AND state <> 'DROPPING'",
    [tabletId],
  );
  for (const [replicaId] of rows) {
    tx.bulk.run(
      "UPDATE replica SET state = 'DROPPING', version = version + 1 WHERE replica_id = ?",
      [replicaId],
    );
    tx.onCommit(() => {
      index.setState(tabletId, id<ReplicaId>(replicaId), 'DROPPING');
    });
  }
  discardDropped(tx, tabletId);
}

/** Objects of a tablet that was dropped, as soon as it has no replica. */
function discardDropped(tx: WriteSession, tabletId: TabletId): void {
  const resources = tx.bulk.all<[number]>(
    `SELECT resource_id FROM dropped_tablet WHERE tablet_id = ?
       AND NOT EXISTS (SELECT 1 FROM replica WHERE replica.tablet_id = dropped_tablet.tablet_id)`,
    [tabletId],
  );
  if (resources.length === 0) return;
  for (const [resourceId] of resources) {
    tx.bulk.run(
      `INSERT INTO garbage (garbage_id, vault_id, prefix, reason, not_before_ms, attempts)
       VALUES (?, ?, ?, 'dropped', ?, 0)`,
      [tx.ids.next(), resourceId, `data/${tabletId}/`, tx.clock.now()],
    );
  }
  tx.bulk.run('DELETE FROM dropped_tablet WHERE tablet_id = ?', [tabletId]);
}

function readReplica(session: Session, replicaId: ReplicaId): ReplicaRow | undefined {
  const [row] = session.bulk.all<ReplicaRow>(
    `SELECT ${COLUMNS} FROM replica WHERE replica_id = ?`,
    [replicaId],
  );
  return row;
}

/** Rows in the order of their ids, for loading memory. */
export function replicasAfter(bulk: Bulk, after: number, limit: number): ReplicaDef[] {
  return bulk
    .all<ReplicaRow>(
      `SELECT ${COLUMNS} FROM replica WHERE replica_id > ? ORDER BY replica_id LIMIT ?`,
      [after, limit],
    )
    .map(([replicaId, tabletId, backendId, state, from, to]) => ({
      replicaId: id<ReplicaId>(replicaId),
      tabletId: id<TabletId>(tabletId),
      backendId: id<BackendId>(backendId),
      state,
      ...(from === null ? {} : { missing: { from, to: to ?? from } }),
    }));
}

/** Whether it has all versions that it should have, and no job has it in its hands. */
export function isComplete({ state, missing }: ReplicaDef): boolean {
  return missing === undefined && (state === 'NORMAL' || state === 'DECOMMISSIONING');
}

/**
 * How many of a tablet's replicas must have a load before it is visible: a majority of those that it
 * should have, and while some are still to be added, of those that are no new copies.
 */
export function requiredReplicas(replicationNum: number, replicas: readonly ReplicaDef[]): number {
  const members = replicas.filter(({ state }) => state !== 'CLONING' && state !== 'DROPPING');
  return majorityOf(Math.min(replicationNum, members.length));
}

export function majorityOf(replicationNum: number): number {
  return Math.floor(replicationNum / 2) + 1;
}
