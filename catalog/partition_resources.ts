/**
 * Resources in which partitions may have cooled data: each that a policy of theirs named, until
 * nothing of them lies there any more. So a policy can be taken away, or dropped, and the way to the
 * data stays.
 */
import { SqlError } from '../base/errors.ts';
import type { PartitionId } from '../base/ids.ts';
import type { Session, WriteSession } from './session.ts';

/** Together with giving the policy, or before. Throws UNKNOWN_POLICY when it was dropped. */
export function rememberResource(
  tx: WriteSession,
  partitionId: PartitionId,
  policyId: number | null,
): void {
  if (policyId === null) return;
  const [policy] = tx.bulk.all<[number]>(
    'SELECT resource_id FROM storage_policy WHERE policy_id = ?',
    [policyId],
  );
  if (policy === undefined) {
    throw new SqlError('UNKNOWN_POLICY', { name: `(id ${policyId}, dropped meanwhile)` });
  }
  const [resourceId] = policy;
  if (resourcesOf(tx, partitionId).includes(resourceId)) return;
  tx.bulk.run('INSERT INTO partition_resource (partition_id, resource_id) VALUES (?, ?)', [
    partitionId,
    resourceId,
  ]);
}

/** Ids of resources. */
export function resourcesOf(tx: Pick<Session, 'bulk'>, partitionId: number): number[] {
  return tx.bulk
    .all<[number]>('SELECT resource_id FROM partition_resource WHERE partition_id = ?', [
      partitionId,
    ])
    .map(([resourceId]) => resourceId);
}
