/** Changing how many replicas tablets have; replicas come and go afterwards. */
import { SqlError } from '../../base/errors.ts';
import { type TableDef, isReplicated } from '../../base/schema.ts';
import type { Properties } from '../../parser/statement.ts';
import { isReplicationKey, partitionReplicas } from '../table_replication.ts';
import type { ExecContext } from './executor.ts';

/** Does what was checked. */
export type ReplicasChange = () => Promise<void>;

/**
 * Of all partitions and those to come, only of these, or of some, as far as the properties say something
 * of it. Checked at once and changed later, so that one statement does all it says or nothing.
 * Throws BAD_PROPERTY, UNKNOWN_PARTITION, REPLICA_NO_ROOM, NOT_SUPPORTED for a shared table.
 */
export async function replicasChange(
  table: TableDef,
  target: 'table' | 'default' | readonly string[],
  properties: Properties,
  { services }: ExecContext,
): Promise<ReplicasChange> {
  const { catalog, replicaRepair } = services;
  const asked = properties.filter(isReplicationKey);
  if (asked.length === 0) return nothing;
  const wanted = await partitionReplicas(table, asked, services);
  if (wanted === undefined || !isReplicated(table)) return nothing;
  const backends = await catalog.backends.ofGroup(table.replication.computeGroupId);
  const enabled = backends.filter(({ adminState }) => adminState === 'ENABLED').length;
  if (wanted > enabled) {
    const group = backends[0]?.computeGroupName ?? '';
    throw new SqlError('REPLICA_NO_ROOM', { wanted, group, enabled });
  }
  return async () => {
    await catalog.tables.setReplicationNum(table.tableId, target, wanted);
    replicaRepair.noteTable(table.tableId);
  };
}

async function nothing(): Promise<void> {
  await Promise.resolve();
}
