/** Tablets and their compactions: SHOW COMPACTION STATUS, `information_schema.compaction_status`. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type TableDef, isReplicated } from '../../base/schema.ts';
import { timeTextOrNull } from '../../base/units.ts';
import { type SqlRow, bigintColumn, textColumn } from '../../base/values.ts';
import type { TabletInfo } from '../../catalog/tablet_index.ts';
import type { Services } from '../services.ts';
import { type Listing, everyRow, ofTable } from './listing.ts';

/** Tablets listed before the event loop gets its turn. */
const TABLETS_PER_TURN = 200;

type CompactionServices = Pick<Services, 'catalog' | 'compactions'>;

const COLUMNS = [
  bigintColumn('TabletId'),
  ...['DbName', 'TableName', 'PartitionName', 'IndexName', 'State'].map(textColumn),
  // How many there are, and how many of them the policy would merge next.
  ...['Rowsets', 'Candidates'].map(bigintColumn),
  ...['LastType', 'LastTime', 'LastSuccessTime'].map(textColumn),
  ...['Compactions', 'BytesRead', 'BytesWritten'].map(bigintColumn),
  textColumn('LastError'),
];

/** Of one table. */
export const TABLE_COMPACTION_STATUS: Listing<{
  readonly services: CompactionServices;
  readonly table: TableDef;
}> = {
  columns: COLUMNS,
  likeColumns: ['PartitionName'],
  seen: everyRow,
  rows: async ({ services, table }) => await tableRows(services, table),
};

/** Of all tables. */
export const COMPACTION_STATUS: Listing<CompactionServices> = {
  columns: COLUMNS,
  likeColumns: ['TableName'],
  seen: ofTable('DbName', 'TableName'),
  rows: async (services) => {
    const rows: SqlRow[] = [];
    for (const { tableId } of await services.catalog.tables.list()) {
      const table = await services.catalog.tables.byId(tableId);
      if (table === undefined) continue;
      for (const row of await tableRows(services, table)) rows.push(row);
    }
    return rows;
  },
};

async function tableRows(services: CompactionServices, table: TableDef): Promise<SqlRow[]> {
  const rows: SqlRow[] = [];
  // The rowsets of replicas are merged by their backends, once they are cooled.
  if (isReplicated(table)) return rows;
  for (const tablet of services.catalog.tablets.ofTable(table.tableId)) {
    if (rows.length % TABLETS_PER_TURN === TABLETS_PER_TURN - 1) await nextTurn();
    rows.push(tabletRow(services, table, tablet));
  }
  return rows;
}

function tabletRow(
  { catalog, compactions }: CompactionServices,
  table: TableDef,
  { tabletId, partitionId, indexId }: TabletInfo,
): SqlRow {
  const { rowsets, merge } = compactions.candidates(tabletId);
  const last = catalog.compactions.lastOf(tabletId);
  return [
    BigInt(tabletId),
    table.databaseName,
    table.name,
    table.partitions.find((partition) => partition.partitionId === partitionId)?.name ?? null,
    table.indexes.find((index) => index.indexId === indexId)?.name ?? null,
    compactions.stateOf(table.tableId, tabletId),
    BigInt(rowsets),
    BigInt(merge),
    last?.kind ?? null,
    timeTextOrNull(last?.endMs ?? null),
    timeTextOrNull(last?.successMs ?? null),
    BigInt(last?.compactions ?? 0),
    BigInt(last?.bytesRead ?? 0),
    BigInt(last?.bytesWritten ?? 0),
    last?.error ?? '',
  ];
}
