/** SHOW CREATE, SHOW PARTITIONS, SHOW TABLETS, SHOW TABLET and SHOW DATA. */
import { SqlError } from '../../base/errors.ts';
import type { TabletId } from '../../base/ids.ts';
import { id } from '../../base/ids.ts';
import { type PartitionDef, type TableDef, isReplicated } from '../../base/schema.ts';
import { bytesText } from '../../base/units.ts';
import {
  type RowsResult,
  type SqlRow,
  bigintColumn,
  textColumn,
  typeText,
} from '../../base/values.ts';
import type { TableName } from '../../parser/statement.ts';
import { createTableText, quoted } from '../create_table_text.ts';
import { InformationSchema } from '../information_schema/information_schema.ts';
import { isSystemDatabase } from '../information_schema/system_databases.ts';
import { PARTITIONS } from '../listings/partitions.ts';
import { REPLICA_DISTRIBUTION } from '../listings/replica_distribution.ts';
import { DATA_SKEW } from '../listings/data_skew.ts';
import { REPLICATED_TABLETS, REPLICA_STATUS } from '../listings/replicas.ts';
import { TABLETS } from '../listings/tablets.ts';
import { type DataSize, plus, tabletsSize } from '../replica_sizes.ts';
import { expectDatabase } from './databases.ts';
import {
  type ExecContext,
  type Executor,
  computeGroupOf,
  rightsOf,
  tableNameOf,
} from './executor.ts';
import { filtered, showListing } from './filtered.ts';
import { tabletProc } from './proc_tables.ts';
import { systemTable } from './show_schema.ts';

/** Throws NO_DB, BAD_DB, NO_SUCH_TABLE; NOT_SUPPORTED for the server's own tables. */
async function tableOf(name: TableName, what: string, context: ExecContext): Promise<TableDef> {
  const { db, table } = tableNameOf(name, context.session);
  if (isSystemDatabase(db)) throw new SqlError('NOT_SUPPORTED', { what: `${what} of ${db}` });
  return await context.services.catalog.tables.get(db, table);
}

export const showCreateTable: Executor<'ShowCreateTable'> = async (statement, context) => {
  const { catalog } = context.services;
  const target = tableNameOf(statement.table, context.session);
  if (isSystemDatabase(target.db)) return createSystemTable(target);
  const table = await tableOf(statement.table, 'SHOW CREATE TABLE', context);
  const vault = await catalog.vaults.byId(table.vaultId);
  const named = vault.isDefault && table.properties['storage_vault_name'] === undefined;
  const groupId = table.replication?.computeGroupId;
  const groups = await catalog.computeGroups.list();
  const policies = await catalog.storagePolicies.list();
  const text = createTableText(table, {
    vault: named ? undefined : vault.spec.name,
    computeGroup: groups.find(({ computeGroupId }) => computeGroupId === groupId)?.name,
    policies: new Map(policies.map(({ policyId, name }) => [policyId, name])),
  });
  const columns = ['Table', 'Create Table'].map(textColumn);
  return { kind: 'rows', columns, rows: [[table.name, text]] };
};

/** As MySQL 5.7 shows tables of information_schema. Throws NO_SUCH_TABLE. */
function createSystemTable(name: { readonly db: string; readonly table: string }): RowsResult {
  const { db, table } = name;
  const known = systemTable(db, table);
  if (known === undefined) throw new SqlError('NO_SUCH_TABLE', { name: `${db}.${table}` });
  const lines = known.columns.map(
    ({ name: column, type, nullable }) =>
      `  ${quoted(column)} ${typeText(type)} ${nullable ? 'DEFAULT NULL' : 'NOT NULL'}`,
  );
  const temporary = InformationSchema.isName(db) ? 'TEMPORARY ' : '';
  const text = `CREATE ${temporary}TABLE ${quoted(known.name)} (\n${lines.join(',\n')}\n) ENGINE=MEMORY DEFAULT CHARSET=utf8mb4`;
  const columns = ['Table', 'Create Table'].map(textColumn);
  return { kind: 'rows', columns, rows: [[known.name, text]] };
}

export const showCreateDatabase: Executor<'ShowCreateDatabase'> = async (statement, context) => {
  const { name, ifNotExists } = statement;
  await expectDatabase(context.services, name);
  const text = `CREATE DATABASE ${ifNotExists ? '/*!32312 IF NOT EXISTS*/ ' : ''}${quoted(name)}`;
  const columns = ['Database', 'Create Database'].map(textColumn);
  return { kind: 'rows', columns, rows: [[name, text]] };
};

export const showPartitions: Executor<'ShowPartitions'> = async (statement, context) => {
  const { services } = context;
  const table = await tableOf(statement.table, 'SHOW PARTITIONS', context);
  if (statement.temporary) return { kind: 'rows', columns: PARTITIONS.columns, rows: [] };
  return await showListing(PARTITIONS, { services, table }, statement.filter, context);
};

/** Shared tables show who serves a tablet, replicated ones their replicas. */
export const showTablets: Executor<'ShowTablets'> = async (statement, context) => {
  const { services } = context;
  const table = await tableOf(statement.table, 'SHOW TABLETS', context);
  const partitions = partitionsOf(table, statement.partitions);
  if (isReplicated(table)) {
    const source = { services, table, partitions };
    return await showListing(REPLICATED_TABLETS, source, statement.filter, context);
  }
  const groups = await services.catalog.computeGroups.list();
  const computeGroup = groups.length === 0 ? undefined : await computeGroupOf(context);
  const source = { services, table, partitions, computeGroup };
  return await showListing(TABLETS, source, statement.filter, context);
};

/** Tablets of shared tables have no replicas. */
export const showReplicaStatus: Executor<'ShowReplicaStatus'> = async (statement, context) => {
  const { services } = context;
  const table = await tableOf(statement.table, 'SHOW REPLICA STATUS', context);
  const source = { services, table, partitions: partitionsOf(table, statement.partitions) };
  return await showListing(REPLICA_STATUS, source, statement.filter, context);
};

export const showDataSkew: Executor<'ShowDataSkew'> = async (statement, context) => {
  const { services } = context;
  const table = await tableOf(statement.table, 'SHOW DATA SKEW', context);
  const source = { services, table, partitions: partitionsOf(table, statement.partitions) };
  return await showListing(DATA_SKEW, source, statement.filter, context);
};

/** Shared tables have no replicas, and no row. */
export const showReplicaDistribution: Executor<'ShowReplicaDistribution'> = async (
  statement,
  context,
) => {
  const { services } = context;
  const table = await tableOf(statement.table, 'SHOW REPLICA DISTRIBUTION', context);
  const source = { services, table, partitions: partitionsOf(table, statement.partitions) };
  return await showListing(REPLICA_DISTRIBUTION, source, statement.filter, context);
};

/** All without names. Throws UNKNOWN_PARTITION. */
function partitionsOf(table: TableDef, names: readonly string[]): readonly PartitionDef[] {
  if (names.length === 0) return table.partitions;
  return names.map((name) => {
    const found = table.partitions.find((partition) => partition.name === name);
    if (found !== undefined) return found;
    throw new SqlError('UNKNOWN_PARTITION', { partition: name, table: table.name });
  });
}

/** Where a tablet belongs, in Doris's columns; no row when there is no such tablet. */
export const showTablet: Executor<'ShowTablet'> = async ({ tabletId }, { services }) => {
  const { catalog } = services;
  const columns = [
    ...['DbName', 'TableName', 'PartitionName', 'IndexName'].map(textColumn),
    ...['DbId', 'TableId', 'PartitionId', 'IndexId'].map(bigintColumn),
    textColumn('IsSync'),
    bigintColumn('Order'),
    bigintColumn('QueryHits'),
    textColumn('DetailCmd'),
  ];
  const tablet = catalog.tablets.get(id<TabletId>(tabletId));
  const table = tablet === undefined ? undefined : await catalog.tables.byId(tablet.tableId);
  if (tablet === undefined || table === undefined) return { kind: 'rows', columns, rows: [] };
  const { partitionId, indexId } = tablet;
  const row: SqlRow = [
    table.databaseName,
    table.name,
    table.partitions.find((partition) => partition.partitionId === partitionId)?.name ?? null,
    table.indexes.find((index) => index.indexId === indexId)?.name ?? null,
    BigInt(table.databaseId),
    BigInt(table.tableId),
    BigInt(partitionId),
    BigInt(indexId),
    'true',
    BigInt(tablet.bucket),
    null,
    tabletProc(table, { partitionId, indexId, tabletId }),
  ];
  return { kind: 'rows', columns, rows: [row] };
};

// ---------------------------------------------------------------------------------------------
// SHOW DATA

const NO_DATA: DataSize = { bytes: 0, remoteBytes: 0, replicas: 0, rows: 0 };
const DATABASE_DATA = ['TableName', 'Size', 'ReplicaCount', 'RemoteSize'];
const TABLE_DATA = ['TableName', 'IndexName', 'Size', 'ReplicaCount', 'RowCount', 'RemoteSize'];

/**
 * Of a shared table sizes are those of the data in the vault: Size and RemoteSize are the same, and
 * each tablet counts as one replica. Of a replicated one Size is what all replicas have on their
 * disks, RemoteSize what has cooled, once. The last row is the sum, also of tables beyond LIMIT.
 */
export const showData: Executor<'ShowData'> = async ({ table: name, filter }, context) => {
  const heading = (names: readonly string[]) => ({
    columns: names.map(textColumn),
    likeColumns: ['TableName'],
  });
  if (name === undefined) {
    const sizes = await databaseData(context);
    const rows = [...sizes.keys()];
    const matching = { ...filter, limit: undefined };
    const { rows: all } = filtered(heading(DATABASE_DATA), rows, matching, context);
    const sum = (all as readonly SqlRow[]).reduce(
      (before, row) => plus(before, sizes.get(row) ?? NO_DATA),
      NO_DATA,
    );
    const shown = filtered(heading(DATABASE_DATA), rows, filter, context);
    return withTotal(shown, ['Total', ...sizeCells(sum)]);
  }
  const table = await tableOf(name, 'SHOW DATA', context);
  const { services } = context;
  const tablets = services.catalog.tablets.ofTable(table.tableId);
  const sizes = table.indexes.map(({ indexId }) =>
    tabletsSize(
      services,
      table,
      tablets.filter((tablet) => tablet.indexId === indexId),
    ),
  );
  const rows = table.indexes.map(({ name: index }, at): SqlRow => {
    const size = sizes[at] ?? NO_DATA;
    const [bytes, replicas, remote] = sizeCells(size);
    return [at === 0 ? table.name : '', index, bytes, replicas, String(size.rows), remote];
  });
  const [bytes, replicas, remote] = sizeCells(sizes.reduce(plus, NO_DATA));
  const total = ['', 'Total', bytes, replicas, '', remote];
  return withTotal(filtered(heading(TABLE_DATA), rows, filter, context), total);
};

/** By table. */
async function databaseData(context: ExecContext): Promise<ReadonlyMap<SqlRow, DataSize>> {
  const { catalog } = context.services;
  const { database: name } = context.session;
  if (name === '') throw new SqlError('NO_DB');
  if (isSystemDatabase(name)) throw new SqlError('NOT_SUPPORTED', { what: `SHOW DATA of ${name}` });
  const { databaseId } = await catalog.databases.get(name);
  const rights = rightsOf(context);
  const tables = (await catalog.tables.list(databaseId)).filter((table) =>
    rights.seesTable(name, table.name),
  );
  const sizes = new Map<SqlRow, DataSize>();
  for (const { tableId, name: tableName } of tables) {
    const table = await catalog.tables.byId(tableId);
    if (table === undefined) continue;
    const size = tabletsSize(context.services, table, catalog.tablets.ofTable(tableId));
    sizes.set([tableName, ...sizeCells(size)], size);
  }
  return sizes;
}

function sizeCells(size: DataSize): readonly [bytes: string, replicas: string, remote: string] {
  return [bytesText(size.bytes), String(size.replicas), bytesText(size.remoteBytes)];
}

function withTotal({ columns, rows }: RowsResult, total: SqlRow): RowsResult {
  const shown = Array.isArray(rows) ? (rows as readonly SqlRow[]) : [];
  return { kind: 'rows', columns, rows: [...shown, total] };
}
