/** SHOW TABLETS FROM a shared table: its tablets, and which backend of a group serves each. */
import type { IndexDef, PartitionDef, TableDef } from '../../base/schema.ts';
import { servingBackend } from '../../base/placement.ts';
import { bytesText } from '../../base/units.ts';
import { type SqlRow, bigintColumn, textColumn } from '../../base/values.ts';
import type { Services } from '../services.ts';
import { type Listing, everyRow } from './listing.ts';

export interface TabletsSource {
  readonly services: Pick<Services, 'catalog' | 'registry'>;
  readonly table: TableDef;
  /** Those of the table that are wanted. */
  readonly partitions: readonly PartitionDef[];
  /** The session's; undefined: there is none yet, and no backend serves. */
  readonly computeGroup: string | undefined;
}

export const TABLETS: Listing<TabletsSource> = {
  columns: [
    bigintColumn('TabletId'),
    textColumn('PartitionName'),
    ...['Bucket', 'Version'].map(bigintColumn),
    textColumn('DataSize'),
    ...['RowCount', 'BackendId'].map(bigintColumn),
    ...['ComputeGroup', 'IndexName'].map(textColumn),
  ],
  likeColumns: ['PartitionName'],
  seen: everyRow,
  rows: async (source) => {
    const { services, table, partitions, computeGroup } = source;
    const { catalog, registry } = services;
    const members = (await catalog.backends.list()).filter(
      (backend) => backend.computeGroupName === computeGroup,
    );
    const alive = registry.alive(members.map((backend) => backend.backendId));
    const indexes = new Map<number, IndexDef>(table.indexes.map((index) => [index.indexId, index]));
    return partitions.flatMap((partition) =>
      catalog.tablets.ofPartition(partition.partitionId).map((tablet): SqlRow => {
        const backendId = servingBackend(tablet.tabletId, alive);
        return [
          BigInt(tablet.tabletId),
          partition.name,
          BigInt(tablet.bucket),
          BigInt(partition.visibleVersion),
          bytesText(tablet.bytes),
          BigInt(tablet.rows),
          backendId === undefined ? null : BigInt(backendId),
          computeGroup ?? null,
          indexes.get(tablet.indexId)?.name ?? null,
        ];
      }),
    );
  },
};
