/** CREATE, DROP and TRUNCATE TABLE. */
import { SqlError } from '../../base/errors.ts';
import type { ColumnDef, TableDef } from '../../base/schema.ts';
import type { NewRollup } from '../../catalog/table_changes.ts';
import { OK } from '../../base/values.ts';
import type { CreateTable, Properties } from '../../parser/statement.ts';
import { readProperties } from '../../parser/properties.ts';
import { isSystemDatabase } from '../information_schema/system_databases.ts';
import { defineTable } from '../table_definition.ts';
import { rollupShape } from './alter_table_rollup.ts';
import { type ExecContext, type Executor, tableNameOf } from './executor.ts';
import { checkPolicies, withoutPolicy } from './policy_binding.ts';

/** Longest time to live of a table's blocks, seconds: ten years. */
const TTL_SECONDS_MAX = 315_360_000;

/** Doris properties that mean nothing here: accepted with a warning, so that scripts run. */
const WITHOUT_EFFECT: ReadonlySet<string> = new Set([
  'light_schema_change',
  'storage_format',
  'compression',
  'bloom_filter_columns',
  'in_memory',
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
  'resource_group',
]);

export interface TableSettings {
  readonly ttlSeconds: number;
  readonly vaultName: string | undefined;
  /** As given, without what has no effect. */
  readonly properties: Readonly<Record<string, string>>;
}

/**
 * All but the storage policy, which `policy_binding.ts` sees to. Throws NOT_SUPPORTED, and what
 * `readProperties` throws; warns of what has no effect.
 */
export function readTableProperties(given: Properties, context: ExecContext): TableSettings {
  const kept = withoutPolicy(given).filter(({ key }) => {
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
    disable_auto_compaction: { kind: 'bool' },
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
  await checkPolicies(statement, context);
  const settings = readTableProperties(statement.properties, context);
  for (const { properties } of statement.partitioning?.partitions ?? []) {
    readProperties(withoutPolicy(properties), {});
  }
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
    rollups: newRollups(statement, definition.columns),
    partitions: partitions.map((partition) => ({ ...partition, buckets: definition.buckets })),
  });
}

/** Throws DUP_KEYNAME, and what `rollupShape` throws. */
function newRollups(
  { table, rollups }: CreateTable,
  columns: readonly ColumnDef[],
): readonly NewRollup[] {
  const names = new Set([table.name]);
  return rollups.map((rollup) => {
    const { name } = rollup;
    if (names.has(name)) throw new SqlError('DUP_KEYNAME', { name });
    names.add(name);
    readProperties(rollup.properties, {});
    return { name, shape: rollupShape(name, rollup.columns, columns) };
  });
}

/** Without the rollups, as in Doris. */
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
    rollups: [],
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

/** Throws SYSTEM_DB_ACCESS. */
export function refuseSystemDatabase(name: string, { session }: ExecContext): void {
  if (!isSystemDatabase(name)) return;
  throw new SqlError('SYSTEM_DB_ACCESS', { user: session.user, name });
}
