/** SHOW REPLICA DISTRIBUTION: how a table's replicas are spread over backends. */
import type { BackendId } from '../../base/ids.ts';
import type { PartitionDef, TableDef } from '../../base/schema.ts';
import { type SqlRow, bigintColumn, textColumn } from '../../base/values.ts';
import type { Services } from '../services.ts';
import { type Listing, everyRow } from './listing.ts';
import { shareGraph } from './share_graph.ts';

export interface DistributionSource {
  readonly services: Pick<Services, 'board' | 'catalog'>;
  readonly table: TableDef;
  /** Those of the table that are wanted. */
  readonly partitions: readonly PartitionDef[];
}

interface Share {
  replicas: number;
  /** On its disk. */
  bytes: number;
}

/** The columns that Doris's manual names, then what it has of sizes. */
export const REPLICA_DISTRIBUTION: Listing<DistributionSource> = {
  columns: [
    ...['BackendId', 'ReplicaNum'].map(bigintColumn),
    ...['Graph', 'Percent'].map(textColumn),
    bigintColumn('ReplicaSize'),
    ...['SizeGraph', 'SizePercent'].map(textColumn),
  ],
  likeColumns: [],
  seen: everyRow,
  rows: async (source) => {
    const shares = await sharesOf(source);
    const all = [...shares.values()];
    const replicas = all.reduce((sum, share) => sum + share.replicas, 0);
    const bytes = all.reduce((sum, share) => sum + share.bytes, 0);
    return [...shares]
      .toSorted(([a], [b]) => a - b)
      .map(([backendId, share]): SqlRow => [
        BigInt(backendId),
        BigInt(share.replicas),
        ...part(share.replicas, replicas),
        BigInt(share.bytes),
        ...part(share.bytes, bytes),
      ]);
  },
};

/** Of all backends of the table's compute group, and of others that still have a replica. */
async function sharesOf({
  services: { board, catalog },
  table,
  partitions,
}: DistributionSource): Promise<Map<BackendId, Share>> {
  const groupId = table.replication?.computeGroupId;
  const members = groupId === undefined ? [] : await catalog.backends.ofGroup(groupId);
  const shares = new Map<BackendId, Share>(
    members.map(({ backendId }) => [backendId, { replicas: 0, bytes: 0 }]),
  );
  for (const { partitionId } of partitions) {
    for (const { tabletId } of catalog.tablets.ofPartition(partitionId)) {
      for (const { backendId, replicaId } of catalog.replicas.ofTablet(tabletId)) {
        const share = shares.get(backendId) ?? { replicas: 0, bytes: 0 };
        shares.set(backendId, share);
        share.replicas += 1;
        share.bytes += board.get(backendId, tabletId, replicaId)?.localBytes ?? 0;
      }
    }
  }
  return shares;
}

function part(some: number, all: number): readonly [graph: string, percent: string] {
  const { graph, percent } = shareGraph(some, all);
  return [graph, `${percent} %`];
}
