/** `__internal_schema.cloud_cache_hotspot`, with Doris's column names (reference/warm-up 1.7). */
import { timeText } from '../../base/units.ts';
import { type ResultColumn, bigintColumn, textColumn } from '../../base/values.ts';
import type { Services } from '../services.ts';
import { type Listing, type RowTest, splitTable } from './listing.ts';

const day: ResultColumn = { name: 'insert_day', type: { kind: 'DATE' } };
const lastAccess: ResultColumn = {
  name: 'last_access_time',
  type: { kind: 'DATETIME', precision: 0 },
};

export const CLOUD_CACHE_HOTSPOT: Listing<Pick<Services, 'catalog'>> = {
  columns: [
    textColumn('cluster_id'),
    ...['backend_id', 'table_id', 'index_id', 'partition_id'].map(bigintColumn),
    day,
    ...['table_name', 'index_name', 'partition_name', 'cluster_name'].map(textColumn),
    ...['file_cache_size', 'query_per_day', 'query_per_week'].map(bigintColumn),
    lastAccess,
  ],
  likeColumns: ['table_name', 'cluster_name'],
  seen:
    (rights): RowTest =>
    (cell) =>
      rights.mayUse('COMPUTE_GROUP', String(cell('cluster_name'))) &&
      rights.seesTable(...splitTable(String(cell('table_name')))),
  rows: async ({ catalog }) =>
    (await catalog.hotspots.list()).map((row) => [
      String(row.computeGroupId),
      BigInt(row.backendId),
      BigInt(row.tableId),
      BigInt(row.indexId),
      BigInt(row.partitionId),
      row.day,
      row.tableName,
      row.indexName,
      row.partitionName,
      row.computeGroupName,
      BigInt(row.fileCacheSize),
      BigInt(row.queryPerDay),
      BigInt(row.queryPerWeek),
      timeText(row.lastAccessMs).slice(0, 19),
    ]),
};
