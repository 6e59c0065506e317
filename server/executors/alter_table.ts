/**
 * ALTER TABLE. What rewrites rowsets (columns, rollups) becomes a job and the statement answers at
 * once, see SHOW ALTER TABLE; everything else is done when it answers.
 */
import { SqlError } from '../../base/errors.ts';
import { type TableDef, isReplicated, storedName } from '../../base/schema.ts';
import { OK } from '../../base/values.ts';
import { retryStale } from '../../catalog/stale_row.ts';
import type { AlterTableAction } from '../../parser/statement.ts';
import { readProperties } from '../../parser/properties.ts';
import { expectNotDynamic, withoutDynamic } from '../dynamic_partition_properties.ts';
import { addPartitions, checkName } from '../table_definition.ts';
import { type ColumnAction, isColumnAction, isNamed, planColumns } from './alter_table_columns.ts';
import { planRollup, rollupNamed } from './alter_table_rollup.ts';
import { compactTable } from './compaction.ts';
import { changedDynamic, lookAtDynamic } from './dynamic_partitions.ts';
import { type ExecContext, type Executor, computeGroupOf, tableNameOf } from './executor.ts';
import {
  PARTITION_KEYS,
  addedPolicy,
  modifyPartitions,
  policyNamed,
  setTablePolicy,
  withoutPolicy,
} from './policy_binding.ts';
import { replicasChange } from './replica_number.ts';
import { makerOf, readTableProperties, refuseSystemDatabase } from './tables.ts';
import {
  partitionReplicas,
  replicationDefaults,
  withoutDefaults,
  withoutReplication,
} from '../table_replication.ts';

export const alterTable: Executor<'AlterTable'> = async (statement, context) => {
  const { db, table: name } = tableNameOf(statement.table, context.session);
  refuseSystemDatabase(db, context);
  const { catalog } = context.services;
  await retryStale(async () => {
    await alter(await catalog.tables.get(db, name), statement.actions, context);
  });
  return OK;
};

async function alter(
  table: TableDef,
  actions: readonly AlterTableAction[],
  context: ExecContext,
): Promise<void> {
  if (actions.every(isColumnAction)) {
    await alterColumns(table, actions, context);
    return;
  }
  const [action, ...others] = actions;
  if (action === undefined) return;
  if (others.length > 0) {
    const what =
      'several actions in one ALTER TABLE, other than ADD, DROP, MODIFY COLUMN and ORDER BY';
    throw new SqlError('NOT_SUPPORTED', { what });
  }
  await alterOnce(table, action, context);
}

async function alterColumns(
  table: TableDef,
  actions: readonly ColumnAction[],
  context: ExecContext,
): Promise<void> {
  const { alters, catalog, config } = context.services;
  const { tableId, schemaVersion } = table;
  const { columns, indexes } = planColumns(table, actions);
  if (indexes.length === 0) {
    await catalog.alterDefinition.redefine(tableId, schemaVersion, { columns });
    return;
  }
  refuseReplicated(table, 'changes of columns that rewrite data');
  await alters.create({
    kind: 'SCHEMA_CHANGE',
    tableId,
    schemaVersion,
    columns,
    indexes,
    sourceGroup: await computeGroupOf(context),
    timeoutMs: config.get('alter_table_timeout_second') * 1000,
  });
}

async function alterOnce(
  table: TableDef,
  action: AlterTableAction,
  context: ExecContext,
): Promise<void> {
  const { catalog } = context.services;
  const { tableId } = table;
  switch (action.kind) {
    case 'Rename':
      await catalog.tables.rename(tableId, action.newName);
      return;
    case 'Comment':
      await catalog.tables.set(tableId, { comment: action.comment });
      return;
    case 'SetProperties': {
      const own = withoutDynamic(withoutDefaults(action.properties));
      const settings = readTableProperties(own, context);
      if (settings.vaultName !== undefined) {
        throw new SqlError('NOT_SUPPORTED', { what: 'changing the storage vault of a table' });
      }
      const dynamic = await changedDynamic(table, action.properties, context);
      const properties = { ...table.properties, ...settings.properties, ...dynamic?.stored };
      const { ttlSeconds } =
        settings.properties['file_cache_ttl_seconds'] === undefined ? table : settings;
      const given = action.properties;
      const policy = policyNamed(given);
      const replicas = await replicasChange(table, 'table', given, context);
      const defaults = await replicasChange(table, 'default', replicationDefaults(given), context);
      if (policy !== undefined) await setTablePolicy(table, policy, context);
      await replicas();
      await defaults();
      await catalog.tables.set(tableId, { properties, ttlSeconds });
      if (dynamic !== undefined) await lookAtDynamic(table, context);
      return;
    }
    case 'DropPartition':
      if (action.ifExists && table.partitions.every((p) => p.name !== action.name)) return;
      expectNotDynamic(table);
      await catalog.tables.dropPartition(tableId, action.name);
      return;
    case 'AddPartition':
      await addOnePartition(table, action, context);
      return;
    case 'ModifyPartition':
      await modifyPartition(table, action, context);
      return;
    case 'RenameColumn':
      await renameColumn(table, action.name, action.newName, context);
      return;
    case 'AddRollup':
      await addRollup(table, action, context);
      return;
    case 'DropRollup': {
      const dropped = new Set(action.names.map((name) => rollupNamed(table, name).indexId));
      await catalog.alterDefinition.dropRollups(tableId, [...dropped]);
      return;
    }
    case 'Compact':
      refuseReplicated(table, 'COMPACT');
      compactTable(table, action, context);
      return;
    case 'RenameRollup': {
      const { indexId } = rollupNamed(table, action.name);
      await catalog.alterDefinition.renameRollup(tableId, indexId, action.newName);
      return;
    }
    case 'AddColumn':
    case 'AddColumns':
    case 'DropColumn':
    case 'ModifyColumn':
    case 'OrderColumns':
    case 'RenamePartition': {
      const words = action.kind.replaceAll(/([a-z])([A-Z])/g, '$1 $2').toUpperCase();
      throw new SqlError('NOT_SUPPORTED', { what: `ALTER TABLE ... ${words}` });
    }
  }
}

/** What needs rowsets that the server knows. Throws NOT_SUPPORTED. */
function refuseReplicated(table: TableDef, what: string): void {
  if (!isReplicated(table)) return;
  throw new SqlError('NOT_SUPPORTED', { what: `${what} of replicated tables` });
}

/** The segments keep the old name, so nothing is rewritten. */
async function renameColumn(
  table: TableDef,
  name: string,
  newName: string,
  { services }: ExecContext,
): Promise<void> {
  checkName(newName, 'WRONG_COLUMN_NAME');
  const old = table.columns.find((column) => isNamed(column, name));
  if (old === undefined) throw new SqlError('UNKNOWN_COLUMN', { name, where: table.name });
  const twin = table.columns.find((column) => isNamed(column, newName));
  if (twin !== undefined && twin !== old) throw new SqlError('DUP_FIELDNAME', { name: newName });
  const renamed = (known: string): string => (known === old.name ? newName : known);
  const { tableId, schemaVersion, partitionColumns, distributionColumns } = table;
  await services.catalog.alterDefinition.redefine(tableId, schemaVersion, {
    columns: table.columns.map((column) =>
      column === old ? { ...old, name: newName, storedName: storedName(old) } : column,
    ),
    partitionColumns: partitionColumns.map(renamed),
    distributionColumns: distributionColumns.map(renamed),
  });
}

async function addRollup(
  table: TableDef,
  { rollup, from }: Extract<AlterTableAction, { readonly kind: 'AddRollup' }>,
  context: ExecContext,
): Promise<void> {
  refuseReplicated(table, 'rollups');
  const { alters, config } = context.services;
  const { tableId, schemaVersion, columns } = table;
  readProperties(rollup.properties, {});
  await alters.create({
    kind: 'ROLLUP',
    tableId,
    schemaVersion,
    columns,
    indexes: [planRollup(table, rollup.name, rollup.columns, from)],
    sourceGroup: await computeGroupOf(context),
    timeoutMs: config.get('alter_table_timeout_second') * 1000,
  });
}

async function modifyPartition(
  table: TableDef,
  { partitions, properties }: Extract<AlterTableAction, { readonly kind: 'ModifyPartition' }>,
  context: ExecContext,
): Promise<void> {
  const names = table.partitions.map(({ name }) => name);
  const target = partitions === 'all' ? names : partitions;
  const replicas = await replicasChange(table, target, properties, context);
  const others = withoutReplication(properties);
  if (others.length > 0 || properties.length === 0) {
    await modifyPartitions(table, partitions, others, context);
  }
  await replicas();
}

async function addOnePartition(
  table: TableDef,
  action: Extract<AlterTableAction, { readonly kind: 'AddPartition' }>,
  context: ExecContext,
): Promise<void> {
  if (table.partitionKind === 'NONE') {
    const what = `table ${table.name} is not partitioned`;
    throw new SqlError('INVALID_TABLE', { what });
  }
  expectNotDynamic(table);
  const { properties } = action.partition;
  const { services } = context;
  const storagePolicyId = await addedPolicy(table, properties, context);
  readProperties(withoutReplication(withoutPolicy(properties)), {}, PARTITION_KEYS);
  const replicationNum = await partitionReplicas(table, properties, services);
  const columns = table.partitionColumns.flatMap(
    (name) => table.columns.find((column) => column.name === name) ?? [],
  );
  const asked = action.distribution?.buckets;
  const buckets = asked === undefined || asked === 'AUTO' ? table.buckets : asked;
  const added = addPartitions(table.partitions, [action.partition], columns);
  if (added.length === 0) return;
  await services.catalog.tableChanges.addPartitions(
    table,
    added.map((partition) => ({ ...partition, buckets, storagePolicyId, replicationNum })),
    await makerOf(table, services),
  );
}
