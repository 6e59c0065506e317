/** Dynamic partitions in statements: SHOW, and what CREATE TABLE and ALTER TABLE ... SET need. */
import { planPartitions } from '../../base/dynamic_partition.ts';
import { SqlError } from '../../base/errors.ts';
import type { Replication, TableDef } from '../../base/schema.ts';
import type { NewPartition } from '../../catalog/table_changes.ts';
import { dynamicPartitions } from '../../jobs/dynamic_partitions.ts';
import type { Properties } from '../../parser/statement.ts';
import {
  type DynamicProperties,
  type Partitioned,
  readDynamicProperties,
} from '../dynamic_partition_properties.ts';
import { DYNAMIC_PARTITION_TABLES } from '../listings/dynamic_partition_tables.ts';
import { seenRows } from '../listings/listing.ts';
import { type ExecContext, type Executor, databaseOf, rightsOf } from './executor.ts';
import { filtered } from './filtered.ts';
import { addedPolicy } from './policy_binding.ts';
import { expectDatabase } from './databases.ts';

/** Of one database, whose name is not a column. */
export const showDynamicPartitionTables: Executor<'ShowDynamicPartitionTables'> = async (
  { db, filter },
  context,
) => {
  const { services, session } = context;
  const database = databaseOf(db, session);
  await expectDatabase(services, database);
  const rows = await seenRows(DYNAMIC_PARTITION_TABLES, services, rightsOf(context));
  const { columns, likeColumns } = DYNAMIC_PARTITION_TABLES;
  const own = rows.filter(([name]) => name === database).map((row) => row.slice(1));
  return filtered({ columns: columns.slice(1), likeColumns }, own, filter, context);
};

/** What `readDynamicProperties` throws; warns of what has no effect. */
export function dynamicProperties(
  given: Properties,
  before: Readonly<Record<string, string>>,
  table: Partitioned,
  { services, session }: ExecContext,
): DynamicProperties | undefined {
  const most = services.config.get('max_dynamic_partition_num');
  const read = readDynamicProperties(given, before, table, most);
  for (const name of read?.withoutEffect ?? []) {
    const message = `property '${name}' has no effect here`;
    session.warn({ level: 'Warning', code: 1105, message });
  }
  return read;
}

/** Of ALTER TABLE ... SET. Throws besides UNKNOWN_POLICY, NOT_SUPPORTED. */
export async function changedDynamic(
  table: TableDef,
  given: Properties,
  context: ExecContext,
): Promise<DynamicProperties | undefined> {
  const read = dynamicProperties(given, table.properties, table, context);
  const policy = given.find(({ key }) => key === 'dynamic_partition.storage_policy');
  if (policy !== undefined) {
    await addedPolicy(table, [{ ...policy, key: 'storage_policy' }], context);
  }
  const isShared = table.replication === undefined;
  if (isShared && read?.rule.replicationNum !== undefined) {
    const what = "property 'dynamic_partition.replication_num' of a shared table";
    throw new SqlError('NOT_SUPPORTED', { what });
  }
  return read;
}

/** Partitions come and go at once; why they could not is a warning, and tried again later. */
export async function lookAtDynamic({ tableId }: TableDef, context: ExecContext): Promise<void> {
  const { services, session } = context;
  if (!services.config.get('dynamic_partition_enable')) return;
  const { createError, dropError } = (await services.dynamicPartitions.look(tableId)) ?? {};
  for (const error of [createError, dropError]) {
    if (error === undefined) continue;
    session.warn({ level: 'Warning', code: 1105, message: `dynamic partitions: ${error}` });
  }
}

/** The partitions that a new table has from the beginning, beside those of the statement. */
export async function firstPartitions(
  { rule, column }: DynamicProperties,
  table: { readonly buckets: number; readonly replication?: Replication | undefined },
  stated: Parameters<typeof planPartitions>[2],
  { services }: ExecContext,
): Promise<NewPartition[]> {
  if (!rule.enabled || !services.config.get('dynamic_partition_enable')) return [];
  const { added } = planPartitions(rule, column, stated, services.clock.now());
  const { buckets, replication } = table;
  const like = replication === undefined ? { buckets } : { buckets, replication };
  return await dynamicPartitions(added, rule, like, services.catalog);
}
