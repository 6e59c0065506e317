/** ADMIN REPAIR TABLE and ADMIN CANCEL REPAIR TABLE. */
import type { VersionRange } from '../../base/agent_messages.ts';
import { SqlError } from '../../base/errors.ts';
import type { TabletId } from '../../base/ids.ts';
import { isReplicated } from '../../base/schema.ts';
import { type SqlRow, OK, bigintColumn, textColumn } from '../../base/values.ts';
import type { RebuiltTablet } from '../../jobs/replica_rebuild.ts';
import type { Services } from '../services.ts';
import { type Executor, tableNameOf } from './executor.ts';

/** Tablets looked at side by side. */
const TABLETS_AT_ONCE = 8;
/** Of the warnings about what is lost. */
const LOST_CODE = 1105;

const COLUMNS = [
  bigintColumn('TabletId'),
  // Result: rebuilt, lossy (rebuilt without LostVersions), refused (nothing was changed).
  ...['PartitionName', 'Result'].map(textColumn),
  ...['ReplicaId', 'BackendId', 'VisibleVersion', 'CooledVersion'].map(bigintColumn),
  textColumn('LostVersions'),
  bigintColumn('RowCount'),
  textColumn('Detail'),
];

/**
 * As in Doris the table's tablets come first when replicas are copied. Those that have lost all
 * complete replicas are made readable again from what is left: a row for each says what is lost.
 */
export const adminRepairTable: Executor<'AdminRepairTable'> = async (statement, context) => {
  const { services, session, signal } = context;
  const { db, table: name } = tableNameOf(statement.table, session);
  const table = await services.catalog.tables.get(db, name);
  const known = new Map(table.partitions.map((partition) => [partition.name, partition]));
  const partitions = statement.partitions.map((partition) => {
    const found = known.get(partition);
    if (found !== undefined) return found;
    throw new SqlError('UNKNOWN_PARTITION', { partition, table: name });
  });
  const tablets = (partitions.length === 0 ? table.partitions : partitions).flatMap(
    ({ partitionId }) =>
      services.catalog.tablets.ofPartition(partitionId).map(({ tabletId }) => tabletId),
  );
  if (statement.cancel) {
    services.replicaRepair.noHurry(tablets);
    return OK;
  }
  if (!isReplicated(table)) return { kind: 'rows', columns: COLUMNS, rows: [] };
  services.replicaRepair.hurry(tablets);
  try {
    const rebuilt = await rebuildAll(services, tablets, signal);
    for (const { tabletId, isRebuilt, lost } of rebuilt) {
      if (!isRebuilt || lost.length === 0) continue;
      const message = `versions ${lost.map(rangeText).join(', ')} of tablet ${tabletId} are lost`;
      session.warn({ level: 'Warning', code: LOST_CODE, message });
    }
    return { kind: 'rows', columns: COLUMNS, rows: rebuilt.map(rowOf) };
  } catch (error) {
    if (signal.aborted && !(error instanceof SqlError)) throw new SqlError('QUERY_INTERRUPTED');
    throw error;
  }
};

/** By tablet; of those that had nothing to be rebuilt there is none. */
async function rebuildAll(
  { replicaRepair }: Services,
  tablets: readonly TabletId[],
  signal: AbortSignal,
): Promise<readonly RebuiltTablet[]> {
  const rest = tablets.values();
  const rebuilt: RebuiltTablet[] = [];
  const lane = async (): Promise<void> => {
    for (const tabletId of rest) {
      signal.throwIfAborted();
      const done = await replicaRepair.rebuild(tabletId, signal);
      if (done !== undefined) rebuilt.push(done);
    }
  };
  await Promise.all(Array.from({ length: TABLETS_AT_ONCE }, lane));
  return rebuilt.toSorted((a, b) => a.tabletId - b.tabletId);
}

function rowOf(one: RebuiltTablet): SqlRow {
  const { tabletId, partitionName, isRebuilt, replica, visibleVersion, lost, detail } = one;
  const result = !isRebuilt ? 'refused' : lost.length === 0 ? 'rebuilt' : 'lossy';
  return [
    BigInt(tabletId),
    partitionName,
    result,
    numberOrNull(replica?.replicaId),
    numberOrNull(replica?.backendId),
    BigInt(visibleVersion),
    numberOrNull(one.cooledVersion),
    lost.map(rangeText).join(','),
    numberOrNull(one.rows),
    detail,
  ];
}

function rangeText({ from, to }: VersionRange): string {
  return from === to ? String(from) : `${from}-${to}`;
}

function numberOrNull(value: number | undefined): bigint | null {
  return value === undefined ? null : BigInt(value);
}
