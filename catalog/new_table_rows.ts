/** Rows of tables and partitions that are being created, until they are visible. */
import { SqlError } from '../base/errors.ts';
import { id } from '../base/ids.ts';
import type { DatabaseId, IndexId, PartitionId, TableId } from '../base/ids.ts';
import { toJson } from './json_text.ts';
import { rememberResource } from './partition_resources.ts';
import type { WriteSession } from './session.ts';
import type { NewTable, PlannedPartition } from './table_changes.ts';
import { type TableBody, movePartition } from './tables.ts';
import type { TabletInfo } from './tablet_index.ts';
import { StaleRow } from './stale_row.ts';

export async function insertTable(
  tx: WriteSession,
  table: NewTable,
  databaseId: DatabaseId,
  tableId: TableId,
  [baseId = id<IndexId>(0), ...rollupIds]: readonly IndexId[],
): Promise<void> {
  const body: TableBody = {
    keysType: table.keysType,
    columns: table.columns,
    partitionKind: table.partitionKind,
    partitionColumns: table.partitionColumns,
    distributionColumns: table.distributionColumns,
    buckets: table.buckets,
    ttlSeconds: table.ttlSeconds,
    properties: table.properties,
    comment: table.comment,
    ...(table.replication === undefined ? {} : { replication: table.replication }),
  };
  await tx.db
    .insertInto('table_def')
    .values({
      table_id: tableId,
      database_id: databaseId,
      name: table.name,
      state: 'CREATING',
      version: 1,
      schema_version: 0,
      vault_id: table.vaultId,
      definition: toJson(body),
      created_ms: tx.clock.now(),
      storage_policy_id: table.storagePolicyId ?? null,
    })
    .execute();
  await tx.db
    .insertInto('index_def')
    .values({ table_id: tableId, index_id: baseId, name: table.name, kind: 'BASE' })
    .execute();
  for (const [at, { name, shape }] of (table.rollups ?? []).entries()) {
    await tx.db
      .insertInto('index_def')
      .values({
        table_id: tableId,
        index_id: rollupIds[at] ?? 0,
        name,
        kind: 'ROLLUP',
        shape: toJson(shape),
      })
      .execute();
  }
}

export function insertPartition(
  tx: WriteSession,
  tableId: TableId,
  partition: PlannedPartition,
): void {
  tx.bulk.run(
    `INSERT INTO partition_def (partition_id, table_id, name, position, bounds, buckets,
       visible_version, state, version, storage_policy_id, replication_num, visible_ms)
     VALUES (?, ?, ?, ?, ?, ?, 1, 'CREATING', 1, ?, ?, ?)`,
    [
      partition.partitionId,
      tableId,
      partition.name,
      partition.position,
      toJson(partition.values),
      partition.buckets,
      partition.storagePolicyId ?? null,
      partition.replicationNum ?? null,
      tx.clock.now(),
    ],
  );
  // Before a backend hears of the policy: it may cool the empty rowset at once.
  rememberResource(tx, partition.partitionId, partition.storagePolicyId ?? null);
}

export function insertTablet(tx: WriteSession, tablet: TabletInfo): void {
  tx.bulk.run(
    `INSERT INTO tablet (tablet_id, table_id, partition_id, index_id, bucket, bytes, row_count)
     VALUES (?, ?, ?, ?, ?, 0, 0)`,
    [tablet.tabletId, tablet.tableId, tablet.partitionId, tablet.indexId, tablet.bucket],
  );
}

/**
 * Policies may have been given and taken since the partitions were planned: what counts is the
 * table's when they become visible, of replacing ones that of the partition they replace.
 */
export async function showPartitions(
  tx: WriteSession,
  tablePolicy: number | null,
  partitions: readonly PlannedPartition[],
): Promise<void> {
  for (const { partitionId, name, storagePolicyId, hasOwnPolicy, replaces } of partitions) {
    const ofTable = hasOwnPolicy === true ? null : tablePolicy;
    const policyId =
      replaces === undefined
        ? (ofTable ?? storagePolicyId ?? null)
        : policyOfPartition(tx, replaces);
    rememberResource(tx, partitionId, policyId);
    const shown = tx.bulk.run(
      `UPDATE partition_def SET state = 'NORMAL', version = 2, storage_policy_id = ?
       WHERE partition_id = ? AND state = 'CREATING' AND version = 1`,
      [policyId, partitionId],
    );
    if (shown !== 1) throw new Error(`partition ${name} vanished while it was created`);
  }
}

function policyOfPartition(tx: WriteSession, partitionId: PartitionId): number | null {
  const [row] = tx.bulk.all<[number | null]>(
    'SELECT storage_policy_id FROM partition_def WHERE partition_id = ?',
    [partitionId],
  );
  return row?.[0] ?? null;
}

/** Throws `StaleRow` when it is not there any more. */
export async function dropPartition(tx: WriteSession, partitionId: PartitionId): Promise<void> {
  const row = await tx.db
    .selectFrom('partition_def')
    .selectAll()
    .where('partition_id', '=', partitionId)
    .where('state', '=', 'NORMAL')
    .executeTakeFirst();
  if (row === undefined) throw new StaleRow(`partition ${partitionId}`);
  await movePartition(tx, row, 'DROPPED');
}

export async function expectPartitionsFree(
  tx: WriteSession,
  tableId: TableId,
  partitions: readonly PlannedPartition[],
): Promise<void> {
  const rows = await tx.db
    .selectFrom('partition_def')
    .select('name')
    .where('table_id', '=', tableId)
    .where('state', '=', 'NORMAL')
    .execute();
  const taken = new Set(rows.map((row) => row.name));
  const twice = partitions.find((partition) => taken.has(partition.name));
  if (twice !== undefined) throw new SqlError('PARTITION_EXISTS', { name: twice.name });
}

export async function expectDatabase(
  tx: WriteSession,
  name: string,
  databaseId: number,
): Promise<void> {
  const row = await tx.db
    .selectFrom('database_def')
    .select('name')
    .where('database_id', '=', databaseId)
    .executeTakeFirst();
  if (row === undefined) throw new SqlError('BAD_DB', { name });
}

export async function creatingTable(tx: WriteSession, tableId: TableId) {
  return tx.db
    .selectFrom('table_def')
    .selectAll()
    .where('table_id', '=', tableId)
    .executeTakeFirstOrThrow();
}
