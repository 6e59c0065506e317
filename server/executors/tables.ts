/** CREATE, DROP, TRUNCATE and ALTER TABLE. */
import { SqlError } from '../../base/errors.ts';
import type { TableDef } from '../../base/schema.ts';
import { OK, type StatementResult } from '../../base/values.ts';
import type { AlterTableAction, CreateTable, Properties } from '../../parser/statement.ts';
import { readProperties } from '../../parser/properties.ts';
import { isSystemDatabase } from '../information_schema/system_databases.ts';
import { addPartitions, defineTable } from '../table_definition.ts';
import { type ExecContext, type Executor, tableNameOf } from './executor.ts';

/** Longest time to live of a table's blocks, seconds: ten years. */
const TTL_SECONDS_MAX = 315_360_000;

/** Doris properties that mean nothing here: accepted with a warning, so that scripts run. */
const WITHOUT_EFFECT: ReadonlySet<string> = new Set([
  'light_schema_change',
  'storage_format',
  'compression',
  'bloom_filter_columns',
  'in_memory',
  'disable_auto_compaction',
  'enable_single_replica_compaction',
  'store_row_column',
  'group_commit_interval_ms',
  'group_commit_data_bytes',
  'is_being_synced',
  'skip_write_index_on_load',
  'inverted_index_storage_format',
]);

/** Properties of tables with replicas on local disks: the cooldown work brings them. */
const REPLICATED: ReadonlySet<string> = new Set([
  'replication_num',
  'replication_allocation',
  'storage_policy',
  'resource_group',
]);

interface TableSettings {
  readonly ttlSeconds: number;
  readonly vaultName: string | undefined;
  /** As given, without what has no effect. */
  readonly properties: Readonly<Record<string, string>>;
}

function readTableProperties(given: Properties, context: ExecContext): TableSettings {
  const kept = given.filter(({ key }) => {
    if (REPLICATED.has(key)) {
      throw new SqlError('NOT_SUPPORTED', { what: `replicated tables (property '${key}')` });
    }
    if (!WITHOUT_EFFECT.has(key)) return true;
    const message = `property '${key}' has no effect here`;
    context.session.warn({ level: 'Warning', code: 1105, message });
    return false;
  });
  const values = readProperties(kept, {
    file_cache_ttl_seconds: { kind: 'int', min: 0, max: TTL_SECONDS_MAX },
    storage_vault_name: { kind: 'text' },
  });
  return {
    ttlSeconds: values.file_cache_ttl_seconds ?? 0,
    vaultName: values.storage_vault_name,
    properties: Object.fromEntries(kept.map(({ key, value }) => [key, value])),
  };
}

export const createTable: Executor<'CreateTable'> = async (statement, context) => {
  const { catalog } = context.services;
  const { db, table: name } = tableNameOf(statement.table, context.session);
  refuseSystemDatabase(db, context);
  if ((await catalog.databases.find(db)) === undefined) throw new SqlError('BAD_DB', { name: db });
  if ((await catalog.tables.find(db, name)) !== undefined) {
    if (!statement.ifNotExists) throw new SqlError('TABLE_EXISTS', { name });
    context.session.warn({
      level: 'Note',
      code: 1050,
      message: `Table '${name}' already exists`,
    });
    return OK;
  }
  await create(statement, db, name, context);
  return OK;
};

async function create(
  statement: CreateTable,
  db: string,
  name: string,
  context: ExecContext,
): Promise<void> {
  const { catalog } = context.services;
  const settings = readTableProperties(statement.properties, context);
  const definition = defineTable(statement);
  const vault =
    settings.vaultName === undefined
      ? await catalog.vaults.default()
      : await catalog.vaults.get(settings.vaultName);
  if (vault === undefined) {
    throw new SqlError('UNKNOWN_VAULT', { name: '(default)' }, { hint: 'no default is set' });
  }
  const { partitions, ...body } = definition;
  await catalog.tableChanges.create({
    ...body,
    keysType: 'DUPLICATE',
    ttlSeconds: settings.ttlSeconds,
    properties: settings.properties,
    databaseName: db,
    name,
    vaultId: vault.spec.vaultId,
    partitions: partitions.map((partition) => ({ ...partition, buckets: definition.buckets })),
  });
}

export const createTableLike: Executor<'CreateTableLike'> = async (statement, context) => {
  const { catalog } = context.services;
  const target = tableNameOf(statement.table, context.session);
  const source = tableNameOf(statement.like, context.session);
  refuseSystemDatabase(target.db, context);
  const like = await catalog.tables.get(source.db, source.table);
  if ((await catalog.tables.find(target.db, target.table)) !== undefined) {
    if (!statement.ifNotExists) throw new SqlError('TABLE_EXISTS', { name: target.table });
    context.session.warn({
      level: 'Note',
      code: 1050,
      message: `Table '${target.table}' already exists`,
    });
    return OK;
  }
  await catalog.tableChanges.create({
    ...like,
    databaseName: target.db,
    name: target.table,
    partitions: like.partitions.map(({ name, values, buckets }) => ({
      name: values.kind === 'NONE' ? target.table : name,
      values,
      buckets,
    })),
  });
  return OK;
};

/** All the tables named, or with a missing one and no IF EXISTS none of them. */
export const dropTable: Executor<'DropTable'> = async (statement, context) => {
  const { catalog } = context.services;
  const found: TableDef[] = [];
  const missing: string[] = [];
  for (const name of statement.tables) {
    const { db, table } = tableNameOf(name, context.session);
    refuseSystemDatabase(db, context);
    const known = await catalog.tables.find(db, table);
    if (known === undefined) missing.push(`${db}.${table}`);
    else found.push(known);
  }
  if (missing.length > 0 && !statement.ifExists) {
    throw new SqlError('BAD_TABLE', { name: missing.join(',') });
  }
  for (const table of found) await catalog.tables.drop(table.tableId);
  for (const name of missing) {
    context.session.warn({ level: 'Note', code: 1051, message: `Unknown table '${name}'` });
  }
  return OK;
};

export const truncateTable: Executor<'TruncateTable'> = async (statement, context) => {
  const { catalog } = context.services;
  const { db, table: name } = tableNameOf(statement.table, context.session);
  if (db === '__internal_schema' && name === 'cloud_cache_hotspot') {
    await catalog.hotspots.truncate();
    return OK;
  }
  refuseSystemDatabase(db, context);
  const table = await catalog.tables.get(db, name);
  const { partitions } = statement;
  await catalog.tableChanges.truncate(table, partitions.length === 0 ? undefined : partitions);
  return OK;
};

export const alterTable: Executor<'AlterTable'> = async (statement, context) => {
  const { db, table: name } = tableNameOf(statement.table, context.session);
  refuseSystemDatabase(db, context);
  const table = await context.services.catalog.tables.get(db, name);
  for (const action of statement.actions) refuseUnsupported(action);
  if (statement.actions.length > 1) {
    throw new SqlError('NOT_SUPPORTED', { what: 'several actions in one ALTER TABLE' });
  }
  for (const action of statement.actions) await alter(table, action, context);
  return OK;
};

const SUPPORTED_ACTIONS: ReadonlySet<AlterTableAction['kind']> = new Set([
  'AddPartition',
  'DropPartition',
  'Rename',
  'SetProperties',
  'Comment',
] as const);

function refuseUnsupported(action: AlterTableAction): void {
  if (SUPPORTED_ACTIONS.has(action.kind)) return;
  const words = action.kind.replaceAll(/([a-z])([A-Z])/g, '$1 $2').toUpperCase();
  throw new SqlError('NOT_SUPPORTED', { what: `ALTER TABLE ... ${words}` });
}

async function alter(
  table: TableDef,
  action: AlterTableAction,
  context: ExecContext,
): Promise<StatementResult> {
  const { catalog } = context.services;
  const { tableId } = table;
  switch (action.kind) {
    case 'Rename':
      await catalog.tables.rename(tableId, action.newName);
      return OK;
    case 'Comment':
      await catalog.tables.set(tableId, { comment: action.comment });
      return OK;
    case 'SetProperties': {
      const settings = readTableProperties(action.properties, context);
      if (settings.vaultName !== undefined) {
        throw new SqlError('NOT_SUPPORTED', { what: 'changing the storage vault of a table' });
      }
      const properties = { ...table.properties, ...settings.properties };
      const { ttlSeconds } =
        settings.properties['file_cache_ttl_seconds'] === undefined ? table : settings;
      await catalog.tables.set(tableId, { properties, ttlSeconds });
      return OK;
    }
    case 'DropPartition':
      if (action.ifExists && table.partitions.every((p) => p.name !== action.name)) return OK;
      await catalog.tables.dropPartition(tableId, action.name);
      return OK;
    case 'AddPartition':
      await addOnePartition(table, action, context);
      return OK;
    case 'AddColumn':
    case 'AddColumns':
    case 'DropColumn':
    case 'ModifyColumn':
    case 'RenameColumn':
    case 'OrderColumns':
    case 'RenamePartition':
    case 'ModifyPartition':
    case 'AddRollup':
    case 'DropRollup':
    case 'RenameRollup':
    case 'Compact':
      refuseUnsupported(action);
      return OK;
  }
}

async function addOnePartition(
  table: TableDef,
  action: Extract<AlterTableAction, { readonly kind: 'AddPartition' }>,
  { services }: ExecContext,
): Promise<void> {
  if (table.partitionKind === 'NONE') {
    const what = `table ${table.name} is not partitioned`;
    throw new SqlError('INVALID_TABLE', { what });
  }
  readProperties(action.partition.properties, {});
  const columns = table.partitionColumns.flatMap(
    (name) => table.columns.find((column) => column.name === name) ?? [],
  );
  const asked = action.distribution?.buckets;
  const buckets = asked === undefined || asked === 'AUTO' ? table.buckets : asked;
  const added = addPartitions(table.partitions, [action.partition], columns);
  if (added.length === 0) return;
  await services.catalog.tableChanges.addPartitions(
    table,
    added.map((partition) => ({ ...partition, buckets })),
  );
}

function refuseSystemDatabase(name: string, { session }: ExecContext): void {
  if (!isSystemDatabase(name)) return;
  throw new SqlError('SYSTEM_DB_ACCESS', { user: session.user, name });
}
