/**
 * Makes a load of a replicated table visible, in one transaction: versions of its partitions rise,
 * replicas that have not prepared it miss the version from now on, and which transaction made which
 * version is kept for backends that ask later. The rowsets themselves are the backends' knowledge.
 */
import { SqlError } from '../base/errors.ts';
import type { PartitionId, ReplicaId, TabletId } from '../base/ids.ts';
import type { PreparedReplicas } from '../base/replica.ts';
import type { NewRowset } from '../base/schema.ts';
import { isComplete, missVersions, requiredReplicas } from './replicas.ts';
import { addTabletSize } from './rowsets.ts';
import type { WriteSession } from './session.ts';
import type { TableMemory } from './tables.ts';
import { partitionGone, raiseVisibleVersion } from './visible_versions.ts';

export interface PreparedLoad {
  readonly txnId: number;
  readonly tableId: number;
  /** Those with rows: what they add to their tablets' sizes. */
  readonly rowsets: readonly NewRowset[];
  /** Of every tablet of the partitions that got rows. */
  readonly prepared: readonly PreparedReplicas[];
}

/**
 * The new versions of the partitions. Throws LOAD_FAILED when a partition was dropped or a tablet is
 * none of the table's, LOAD_NO_MAJORITY.
 */
export function publishReplicated(
  tx: WriteSession,
  memory: Pick<TableMemory, 'tablets' | 'replicas'>,
  load: PreparedLoad,
): ReadonlyMap<PartitionId, number> {
  const prepared = preparedByPartition(memory, load);
  const raised = new Map<PartitionId, number>();
  for (const [partitionId, tablets] of prepared) {
    const { version, replicationNum } = partitionRow(tx, partitionId);
    const next = version + 1;
    for (const { tabletId } of memory.tablets.ofPartition(partitionId)) {
      const have = tablets.get(tabletId) ?? new Set<ReplicaId>();
      publishTablet(tx, memory, { tabletId, have, version: next, replicationNum });
    }
    tx.bulk.run('INSERT INTO replica_version (partition_id, version, txn_id) VALUES (?, ?, ?)', [
      partitionId,
      next,
      load.txnId,
    ]);
    raiseVisibleVersion(tx, partitionId, version);
    raised.set(partitionId, next);
  }
  for (const { tabletId, bytes, rows } of load.rowsets) addTabletSize(tx, tabletId, bytes, rows);
  return raised;
}

function preparedByPartition(
  { tablets }: Pick<TableMemory, 'tablets'>,
  { tableId, prepared, rowsets }: PreparedLoad,
): Map<PartitionId, Map<TabletId, ReadonlySet<ReplicaId>>> {
  const byPartition = new Map<PartitionId, Map<TabletId, ReadonlySet<ReplicaId>>>();
  for (const { tabletId, replicaIds } of prepared) {
    const tablet = tablets.get(tabletId);
    if (tablet?.tableId !== tableId) {
      throw new SqlError('LOAD_FAILED', { why: `tablet ${tabletId} was dropped meanwhile` });
    }
    const { partitionId } = tablet;
    const own = byPartition.get(partitionId) ?? new Map<TabletId, ReadonlySet<ReplicaId>>();
    byPartition.set(partitionId, own.set(tabletId, new Set(replicaIds)));
  }
  for (const { tabletId, partitionId } of rowsets) {
    if (byPartition.get(partitionId)?.has(tabletId) === true) continue;
    throw new SqlError('LOAD_FAILED', { why: `tablet ${tabletId} has rows and no replica` });
  }
  return byPartition;
}

function publishTablet(
  tx: WriteSession,
  { replicas: index }: Pick<TableMemory, 'replicas'>,
  tablet: {
    readonly tabletId: TabletId;
    readonly have: ReadonlySet<ReplicaId>;
    readonly version: number;
    readonly replicationNum: number;
  },
): void {
  const { tabletId, have, version, replicationNum } = tablet;
  const replicas = index.ofTablet(tabletId).filter(({ state }) => state !== 'DROPPING');
  // Only replicas that have all versions before count: the load must not be complete nowhere.
  const complete = replicas.filter((one) => isComplete(one) && have.has(one.replicaId)).length;
  const required = requiredReplicas(replicationNum, replicas);
  if (complete < required) {
    const counts = { prepared: complete, required, replicas: replicationNum };
    throw new SqlError('LOAD_NO_MAJORITY', { tablet: tabletId, ...counts });
  }
  for (const { replicaId } of replicas) {
    if (have.has(replicaId)) continue;
    missVersions(tx, index, replicaId, { from: version, to: version });
  }
}

function partitionRow(
  tx: WriteSession,
  partitionId: PartitionId,
): { readonly version: number; readonly replicationNum: number } {
  const [row] = tx.bulk.all<[number, number | null]>(
    `SELECT visible_version, replication_num FROM partition_def
     WHERE partition_id = ? AND state = 'NORMAL'`,
    [partitionId],
  );
  if (row === undefined) throw partitionGone(partitionId);
  const [version, replicationNum] = row;
  if (replicationNum === null) throw new Error(`partition ${partitionId} has no replicas`);
  return { version, replicationNum };
}
