/** CREATE, DROP and TRUNCATE TABLE. */
import { SqlError } from '../../base/errors.ts';
import type { ColumnDef, Replication, TableDef } from '../../base/schema.ts';
import type { NewRollup, NewTable, ReplicaMaker } from '../../catalog/table_changes.ts';
import type { VaultEntry } from '../../catalog/vaults.ts';
import { replicaMaker } from '../../jobs/replica_maker.ts';
import { OK } from '../../base/values.ts';
import type { CreateTable, Properties } from '../../parser/statement.ts';
import { readProperties } from '../../parser/properties.ts';
import { withoutDynamic } from '../dynamic_partition_properties.ts';
import { isSystemDatabase } from '../information_schema/system_databases.ts';
import type { Services } from '../services.ts';
import { defineTable } from '../table_definition.ts';
import {
  isReplicationKey,
  partitionReplicas,
  readReplication,
  withoutReplication,
} from '../table_replication.ts';
import { rollupShape } from './alter_table_rollup.ts';
import { dynamicProperties, firstPartitions } from './dynamic_partitions.ts';
import { type ExecContext, type Executor, tableNameOf } from './executor.ts';
import {
  PARTITION_KEYS,
  createdPolicies,
  withoutCreatedPolicy,
  withoutPolicy,
} from './policy_binding.ts';
import { systemTable } from './show_schema.ts';
import { noteOf } from './if_exists.ts';
import { retryStale } from '../../catalog/stale_row.ts';

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

export interface TableSettings {
  readonly ttlSeconds: number;
  readonly vaultName: string | undefined;
  /** As given, without what has no effect. */
  readonly properties: Readonly<Record<string, string>>;
}

/**
 * All but the storage policy, which `policy_binding.ts` sees to, and where replicas are
 * (`table_replication.ts`). Throws what `readProperties` throws; warns of what has no effect.
 */
export function readTableProperties(given: Properties, context: ExecContext): TableSettings {
  const kept = withoutReplication(withoutPolicy(given)).filter(({ key }) => {
    if (!WITHOUT_EFFECT.has(key)) return true;
    const message = `property '${key}' has no effect here`;
    context.session.warn({ level: 'Warning', code: 1105, message });
    return false;
  });
  const values = readProperties(
    kept,
    {
      file_cache_ttl_seconds: { kind: 'int', min: 0, max: TTL_SECONDS_MAX },
      storage_vault_name: { kind: 'text' },
      disable_auto_compaction: { kind: 'bool' },
    },
    PARTITION_KEYS,
  );
  return {
    ttlSeconds: values.file_cache_ttl_seconds ?? 0,
    vaultName: values.storage_vault_name,
    properties: Object.fromEntries(kept.map(({ key, value }) => [key, value])),
  };
}

export const createTable: Executor<'CreateTable'> = async (statement, context) => {
  const { catalog } = context.services;
  const { db, table: name } = tableNameOf(statement.table, context.session);
  const isMadeByServer = systemTable(db, name) !== undefined;
  if (!isMadeByServer || !statement.ifNotExists) refuseSystemDatabase(db, context);
  const isKnown = isMadeByServer || (await catalog.databases.find(db)) !== undefined;
  if (!isKnown) throw new SqlError('BAD_DB', { name: db });
  return await noteOf('TABLE_EXISTS', statement.ifNotExists, context, async () => {
    const isThere = isMadeByServer || (await catalog.tables.find(db, name)) !== undefined;
    if (isThere) throw new SqlError('TABLE_EXISTS', { name });
    await create(statement, db, name, context);
    return OK;
  });
};

async function create(
  statement: CreateTable,
  db: string,
  name: string,
  context: ExecContext,
): Promise<void> {
  const { services } = context;
  const { catalog } = services;
  const policies = await createdPolicies(statement, context);
  const definition = defineTable(statement);
  const settings = readTableProperties(withoutDynamic(statement.properties), context);
  const dynamic = dynamicProperties(statement.properties, {}, definition, context);
  const specs = new Map(
    (statement.partitioning?.partitions ?? []).map((spec) => [spec.name, spec.properties]),
  );
  for (const list of specs.values()) {
    readProperties(withoutReplication(withoutCreatedPolicy(list)), {}, PARTITION_KEYS);
  }
  const isReplicating =
    policies.any ||
    [...specs.values()].flat().some(isReplicationKey) ||
    dynamic?.rule.replicationNum !== undefined ||
    dynamic?.rule.storagePolicy !== undefined;
  const replication = await readReplication(statement.properties, isReplicating, context);
  if (replication !== undefined) expectReplicable(statement, settings);
  const vault = await vaultOf(settings, services);
  const { partitions, ...body } = definition;
  const shape = { buckets: definition.buckets, replication };
  const table: NewTable = {
    ...body,
    keysType: 'DUPLICATE',
    ttlSeconds: settings.ttlSeconds,
    properties: { ...settings.properties, ...dynamic?.stored },
    ...(replication === undefined ? {} : { replication }),
    databaseName: db,
    name,
    vaultId: vault.spec.vaultId,
    rollups: newRollups(statement, definition.columns),
    storagePolicyId: policies.ofTable,
    partitions: [
      ...(await Promise.all(
        partitions.map(async (partition) => ({
          ...partition,
          buckets: definition.buckets,
          storagePolicyId: policies.ofPartition.get(partition.name),
          hasOwnPolicy: policies.own.has(partition.name),
          replicationNum: await replicasOf({ replication }, specs.get(partition.name), services),
        })),
      )),
      ...(dynamic === undefined ? [] : await firstPartitions(dynamic, shape, partitions, context)),
    ],
  };
  await catalog.tableChanges.create(table, await makerOf({ replication }, services));
}

async function replicasOf(
  table: { readonly replication: Replication | undefined },
  properties: Properties | undefined,
  services: Services,
): Promise<number | undefined> {
  const { replication } = table;
  const known = replication === undefined ? {} : { replication };
  return await partitionReplicas(known, properties ?? [], services);
}

/** Who makes the replicas of new tablets; undefined: the table is shared. */
export async function makerOf(
  { replication }: { readonly replication?: Replication | undefined },
  services: Services,
): Promise<ReplicaMaker | undefined> {
  if (replication === undefined) return undefined;
  return await replicaMaker(services, replication.computeGroupId);
}

/** Throws NOT_SUPPORTED, INVALID_TABLE. */
function expectReplicable({ rollups }: CreateTable, { vaultName }: TableSettings): void {
  if (rollups.length > 0)
    throw new SqlError('NOT_SUPPORTED', { what: 'rollups of replicated tables' });
  if (vaultName === undefined) return;
  const what = "its data lies on backends, so that 'storage_vault_name' is not for it";
  throw new SqlError('INVALID_TABLE', { what });
}

/** Replicated tables put nothing there. */
async function vaultOf(settings: TableSettings, { catalog }: Services): Promise<VaultEntry> {
  const vault =
    settings.vaultName === undefined
      ? await catalog.vaults.default()
      : await catalog.vaults.get(settings.vaultName);
  if (vault !== undefined) return vault;
  throw new SqlError('UNKNOWN_VAULT', { name: '(default)' }, { hint: 'no default is set' });
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

/** Without the rollups, as in Doris; with replicas and storage policies. */
export const createTableLike: Executor<'CreateTableLike'> = async (statement, context) => {
  const { catalog } = context.services;
  const target = tableNameOf(statement.table, context.session);
  const source = tableNameOf(statement.like, context.session);
  refuseSystemDatabase(target.db, context);
  const like = await catalog.tables.get(source.db, source.table);
  const table: NewTable = {
    ...like,
    rollups: [],
    databaseName: target.db,
    name: target.table,
    partitions: like.partitions.map((partition) => ({
      ...partition,
      name: partition.values.kind === 'NONE' ? target.table : partition.name,
      hasOwnPolicy: true,
    })),
  };
  return await noteOf('TABLE_EXISTS', statement.ifNotExists, context, async () => {
    if ((await catalog.tables.find(target.db, target.table)) !== undefined) {
      throw new SqlError('TABLE_EXISTS', { name: target.table });
    }
    await catalog.tableChanges.create(table, await makerOf(like, context.services));
    return OK;
  });
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
  for (const name of missing) {
    context.session.warn({ level: 'Note', code: 1051, message: `Unknown table '${name}'` });
  }
  for (const table of found) {
    await noteOf('BAD_TABLE', statement.ifExists, context, async () => {
      await catalog.tables.drop(table.tableId);
      return OK;
    });
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
  const { partitions } = statement;
  const names = partitions.length === 0 ? undefined : partitions;
  // Another session may truncate it at the same time, and make new partitions of the same names.
  await retryStale(async () => {
    const table = await catalog.tables.get(db, name);
    await catalog.tableChanges.truncate(table, names, await makerOf(table, context.services));
  });
  return OK;
};

/** Throws SYSTEM_DB_ACCESS. */
export function refuseSystemDatabase(name: string, { session }: ExecContext): void {
  if (!isSystemDatabase(name)) return;
  throw new SqlError('SYSTEM_DB_ACCESS', { user: session.user, name });
}
