/** information_schema.lost_versions: what ADMIN REPAIR TABLE had to go on without, of all tables. */
import { timeText } from '../../base/units.ts';
import { type SqlRow, bigintColumn, textColumn } from '../../base/values.ts';
import type { Services } from '../services.ts';
import { type Listing, ofTable } from './listing.ts';

export const LOST_VERSIONS: Listing<Pick<Services, 'catalog'>> = {
  columns: [
    ...['DbName', 'TableName', 'PartitionName'].map(textColumn),
    ...['TabletId', 'ReplicaId', 'FromVersion', 'ToVersion', 'CooledVersion'].map(bigintColumn),
    textColumn('LostTime'),
  ],
  likeColumns: ['TableName'],
  seen: ofTable('DbName', 'TableName'),
  rows: async ({ catalog }) => {
    const rows: SqlRow[] = [];
    for (const lost of catalog.lostVersions.list()) {
      const tablet = catalog.tablets.get(lost.tabletId);
      const table = tablet === undefined ? undefined : await catalog.tables.byId(tablet.tableId);
      if (table === undefined) continue;
      const partition = table.partitions.find((one) => one.partitionId === tablet?.partitionId);
      rows.push([
        table.databaseName,
        table.name,
        partition?.name ?? null,
        BigInt(lost.tabletId),
        BigInt(lost.replicaId),
        BigInt(lost.from),
        BigInt(lost.to),
        lost.cooledVersion === undefined ? null : BigInt(lost.cooledVersion),
        timeText(lost.lostMs),
      ]);
    }
    return rows;
  },
};
