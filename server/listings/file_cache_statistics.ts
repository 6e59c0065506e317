/**
 * `information_schema.file_cache_statistics`: Doris's columns, one row per backend and number, and
 * STALE: the backend did not answer and this is what it said last.
 */
import type { CacheStats } from '../../base/agent_messages.ts';
import { type ResultColumn, bigintColumn, textColumn } from '../../base/values.ts';
import type { Services } from '../services.ts';
import { type Listing, type RowTest } from './listing.ts';

const value: ResultColumn = { name: 'METRIC_VALUE', type: { kind: 'DOUBLE' } };

export const FILE_CACHE_STATISTICS: Listing<Pick<Services, 'catalog' | 'cacheStats'>> = {
  columns: [
    bigintColumn('BE_ID'),
    ...['BE_IP', 'CACHE_PATH', 'METRIC_NAME'].map(textColumn),
    value,
    { name: 'STALE', type: { kind: 'BOOLEAN' } },
  ],
  likeColumns: ['METRIC_NAME'],
  seen: async (rights, { catalog }): Promise<RowTest> => {
    const backends = await catalog.backends.list();
    const usable = backends.filter(({ computeGroupName }) =>
      rights.mayUse('COMPUTE_GROUP', computeGroupName),
    );
    const ids = new Set(usable.map(({ backendId }) => String(backendId)));
    return (cell) => ids.has(String(cell('BE_ID')));
  },
  rows: async ({ catalog, cacheStats }) => {
    const known = await cacheStats.fetch(await catalog.backends.list());
    return known.flatMap(({ backend, stats, stale }) =>
      metrics(stats).map(([name, number]) => [
        BigInt(backend.backendId),
        backend.host,
        stats.path,
        name,
        number,
        stale ? 1 : 0,
      ]),
    );
  },
};

function metrics(stats: CacheStats): readonly (readonly [name: string, value: number])[] {
  const reads = stats.hits + stats.misses;
  return [
    ['capacity_bytes', stats.capacityBytes],
    ['used_bytes', stats.usedBytes],
    ['hits_ratio', reads === 0 ? 0 : stats.hits / reads],
    ['total_hit_counts', stats.hits],
    ['total_read_counts', reads],
    ['hit_bytes', stats.hitBytes],
    ['miss_bytes', stats.missBytes],
    ['remote_requests', stats.remoteRequests],
    ['remote_bytes', stats.remoteBytes],
    ['warm_up_requests', stats.warmUpRequests],
    ['warm_up_bytes', stats.warmUpBytes],
    ['damaged_blocks', stats.damagedBlocks],
    ['write_errors', stats.writeErrors],
    ...stats.queues.flatMap((queue) => {
      const prefix = `${queue.queue.toLowerCase()}_queue`;
      return [
        [`${prefix}_max_size`, queue.capacityBytes],
        [`${prefix}_curr_size`, queue.usedBytes],
        [`${prefix}_curr_elements`, queue.blocks],
        [`${prefix}_evicted_elements`, queue.evictedBlocks],
        [`${prefix}_evicted_size`, queue.evictedBytes],
        [`${prefix}_hit_counts`, queue.hits],
      ] as const;
    }),
  ];
}
