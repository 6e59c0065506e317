/** The visible version of a partition, which the commit of a load raises. */
import { SqlError } from '../base/errors.ts';
import type { PartitionId } from '../base/ids.ts';
import type { WriteSession } from './session.ts';

/** Throws LOAD_FAILED when it is not `version` any more, or the partition or its table is gone. */
export function raiseVisibleVersion(
  tx: WriteSession,
  partitionId: PartitionId,
  version: number,
): void {
  const changed = tx.bulk.run(
    `UPDATE partition_def SET visible_version = ?, visible_ms = ?
     WHERE partition_id = ? AND state = 'NORMAL' AND visible_version = ?
       AND table_id IN (SELECT table_id FROM table_def WHERE state = 'NORMAL')`,
    [version + 1, tx.clock.now(), partitionId, version],
  );
  if (changed !== 1) throw partitionGone(partitionId);
}

/** False: it was visible already, or the partition is gone. */
export function recoverVisibleVersion(
  tx: WriteSession,
  partitionId: PartitionId,
  version: number,
): boolean {
  const changed = tx.bulk.run(
    `UPDATE partition_def SET visible_version = ?, visible_ms = ?
     WHERE partition_id = ? AND state = 'NORMAL' AND visible_version < ?`,
    [version, tx.clock.now(), partitionId, version],
  );
  return changed === 1;
}

export function partitionGone(partitionId: PartitionId): SqlError {
  return new SqlError('LOAD_FAILED', { why: `partition ${partitionId} was dropped meanwhile` });
}
