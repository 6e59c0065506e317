/**
 * SHOW PROC '/dbs/<database>/<table>/partitions/<partition>/<index>/<tablet>', and every place on the
 * way: where the statement that SHOW TABLET names leads to.
 */
import type { TabletId } from '../../base/ids.ts';
import type { IndexDef, PartitionDef, TableDef } from '../../base/schema.ts';
import { isReplicated } from '../../base/schema.ts';
import {
  type RowsResult,
  type SqlRow,
  type SqlValue,
  bigintColumn,
  textColumn,
} from '../../base/values.ts';
import { PARTITIONS } from '../listings/partitions.ts';
import { REPLICATED_TABLETS, TABLET_REPLICAS } from '../listings/replicas.ts';
import { TABLETS } from '../listings/tablets.ts';
import { type ExecContext, computeGroupOf } from './executor.ts';

/** The only place of a table. */
const BELOW_TABLE = 'partitions';

/** Of a tablet, in the form of Doris, with the semicolon. */
export function tabletProc(
  table: Pick<TableDef, 'databaseId' | 'tableId'>,
  {
    partitionId,
    indexId,
    tabletId,
  }: Readonly<Record<'partitionId' | 'indexId' | 'tabletId', number>>,
): string {
  const { databaseId, tableId } = table;
  const path = ['/dbs', databaseId, tableId, BELOW_TABLE, partitionId, indexId, tabletId].join('/');
  return `SHOW PROC '${path}';`;
}

/** `path`: what comes after the table. undefined: there is no such place. */
export async function procOfTable(
  table: TableDef,
  path: readonly string[],
  context: ExecContext,
): Promise<RowsResult | undefined> {
  const { services } = context;
  const [below, partitionId, indexId, tabletId, ...rest] = path;
  if (below === undefined) return result([textColumn('Nodes')], [[BELOW_TABLE]]);
  if (below !== BELOW_TABLE || rest.length > 0) return undefined;
  if (partitionId === undefined) {
    return result(PARTITIONS.columns, await PARTITIONS.rows({ services, table }));
  }
  const partition = table.partitions.find((one) => String(one.partitionId) === partitionId);
  if (partition === undefined) return undefined;
  if (indexId === undefined) return indexes(table);
  const index = table.indexes.find((one) => String(one.indexId) === indexId);
  if (index === undefined) return undefined;
  if (tabletId === undefined) return await tablets(table, partition, index, context);
  const tablet = services.catalog.tablets
    .ofPartition(partition.partitionId)
    .find((one) => String(one.tabletId) === tabletId && one.indexId === index.indexId);
  if (tablet === undefined) return undefined;
  return await replicas(table, partition, tablet.tabletId, context);
}

interface ListedRows extends RowsResult {
  readonly rows: readonly SqlRow[];
}

function result(columns: RowsResult['columns'], rows: readonly SqlRow[]): ListedRows {
  return { kind: 'rows', columns, rows };
}

/** Rows that have this value in the column. */
function where(from: ListedRows, name: string, value: SqlValue): ListedRows {
  const at = from.columns.findIndex((column) => column.name === name);
  return { ...from, rows: from.rows.filter((row) => row[at] === value) };
}

function indexes(table: TableDef): RowsResult {
  const columns = [
    bigintColumn('IndexId'),
    ...['IndexName', 'State', 'LastConsistencyCheckTime'].map(textColumn),
  ];
  const rows = table.indexes.map(({ indexId, name }) => [BigInt(indexId), name, 'NORMAL', null]);
  return result(columns, rows);
}

async function tablets(
  table: TableDef,
  partition: PartitionDef,
  index: IndexDef,
  context: ExecContext,
): Promise<RowsResult> {
  const partitions = [partition];
  if (!isReplicated(table)) {
    return where(await sharedTablets(table, partition, context), 'IndexName', index.name);
  }
  const rows = await REPLICATED_TABLETS.rows({ services: context.services, table, partitions });
  return where(result(REPLICATED_TABLETS.columns, rows), 'IndexName', index.name);
}

/** Of a shared table the tablet itself: it has no replicas. */
async function replicas(
  table: TableDef,
  partition: PartitionDef,
  tabletId: TabletId,
  context: ExecContext,
): Promise<RowsResult> {
  if (!isReplicated(table)) {
    return where(await sharedTablets(table, partition, context), 'TabletId', BigInt(tabletId));
  }
  const source = { services: context.services, table, partitions: [partition], tabletId };
  return result(TABLET_REPLICAS.columns, await TABLET_REPLICAS.rows(source));
}

async function sharedTablets(
  table: TableDef,
  partition: PartitionDef,
  context: ExecContext,
): Promise<ListedRows> {
  const { services } = context;
  const groups = await services.catalog.computeGroups.list();
  const computeGroup = groups.length === 0 ? undefined : await computeGroupOf(context);
  const source = { services, table, partitions: [partition], computeGroup };
  return result(TABLETS.columns, await TABLETS.rows(source));
}
