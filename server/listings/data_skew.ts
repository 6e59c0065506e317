/** SHOW DATA SKEW: how the data of a table's partitions is spread over their buckets. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { PartitionDef, TableDef } from '../../base/schema.ts';
import { type SqlRow, bigintColumn, textColumn } from '../../base/values.ts';
import { tabletsSize } from '../replica_sizes.ts';
import type { Services } from '../services.ts';
import { type Listing, everyRow } from './listing.ts';
import { shareGraph } from './share_graph.ts';

export interface SkewSource {
  readonly services: Pick<Services, 'board' | 'catalog'>;
  readonly table: TableDef;
  /** Those of the table that are wanted. */
  readonly partitions: readonly PartitionDef[];
}

interface Bucket {
  rows: number;
  /** Of one replica, on its disk and cooled. */
  bytes: number;
}

/** Tablets between two turns of the event loop, some 5 ms. */
const TABLETS_PER_TURN = 500;

/** Doris's columns. A bucket's tablets, one of each index, are taken together. */
export const DATA_SKEW: Listing<SkewSource> = {
  columns: [
    textColumn('PartitionName'),
    ...['BucketIdx', 'AvgRowCount', 'AvgDataSize'].map(bigintColumn),
    ...['Graph', 'Percent'].map(textColumn),
  ],
  likeColumns: ['PartitionName'],
  seen: everyRow,
  rows: async (source) => {
    const rows: SqlRow[] = [];
    for (const partition of source.partitions) {
      const buckets = await bucketsOf(source, partition);
      const all = buckets.reduce((sum, { bytes }) => sum + bytes, 0);
      for (const [at, bucket] of buckets.entries()) {
        const { graph, percent } = shareGraph(bucket.bytes, all);
        rows.push([
          partition.name,
          BigInt(at),
          BigInt(bucket.rows),
          BigInt(Math.round(bucket.bytes)),
          graph,
          `${percent}%`,
        ]);
      }
    }
    return rows;
  },
};

async function bucketsOf(
  { services, table }: SkewSource,
  { partitionId, buckets: count }: PartitionDef,
): Promise<readonly Bucket[]> {
  const buckets = Array.from({ length: count }, (): Bucket => ({ rows: 0, bytes: 0 }));
  const { tablets } = services.catalog;
  for (const [at, tablet] of tablets.ofPartition(partitionId).entries()) {
    const bucket = buckets[tablet.bucket];
    if (bucket === undefined) continue;
    const { bytes, remoteBytes, replicas, rows } = tabletsSize(services, table, [tablet]);
    bucket.rows += rows;
    // Of a shared table both are the same bytes, in its vault.
    bucket.bytes +=
      table.replication === undefined ? bytes : bytes / Math.max(1, replicas) + remoteBytes;
    if ((at + 1) % TABLETS_PER_TURN === 0) await nextTurn();
  }
  return buckets;
}
