import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { WarmUpTablet } from '../../base/agent_messages.ts';
import { type PartitionId, type TabletId, id } from '../../base/ids.ts';
import { ObjectStoreError, SILENT_LOG } from '../../base/ports.ts';
import type { RowsetMeta } from '../../base/schema.ts';
import type { BlockCache } from '../../be-agent/cache/block_cache.ts';
import type { CacheObject } from '../../be-agent/cache/cache_object.ts';
import { NewRowsetCaching } from '../../be-agent/new_rowset_caching.ts';
import { CacheFixture, MIB, until } from './cache/cache_fixture.ts';

describe('new rowsets of the own group', () => {
  let fixture: CacheFixture;
  let cache: BlockCache;
  let caching: NewRowsetCaching;
  const objects = new Map<number, CacheObject>();

  beforeEach(async () => {
    fixture = new CacheFixture();
    cache = await fixture.cache();
    objects.clear();
    caching = new NewRowsetCaching({
      cache,
      log: SILENT_LOG,
      rangeBytes: () => 8 * MIB,
      open: async ({ tabletId, rowsets: [first] }) => {
        await Promise.resolve();
        const object = objects.get(first?.rows ?? tabletId);
        return object === undefined ? [] : [object];
      },
    });
  });
  afterEach(async () => {
    caching.close();
    await fixture.end();
  });

  const tablet = (number: number): WarmUpTablet => {
    objects.set(number, fixture.object(`o${number}`, 3 * MIB + 5));
    return {
      tabletId: id<TabletId>(number),
      partitionId: id<PartitionId>(1),
      ttlSeconds: 0,
      rowsets: [],
    };
  };
  /** One whose object is that of the tablet with this number. */
  const rowset = (number: number): RowsetMeta => ({ rows: number }) as RowsetMeta;
  const isThere = (number: number): boolean => {
    const object = objects.get(number);
    return object !== undefined && cache.hasBlocks(object);
  };

  it('that replace others come where most of those are cached', async () => {
    caching.add([tablet(1)]);
    await until(() => isThere(1));
    for (const number of [2, 3, 4]) tablet(number);
    const { remoteRequests } = cache.stats();
    caching.add([
      { ...tablet(3), replaces: [rowset(2)] },
      { ...tablet(4), replaces: [rowset(1)] },
    ]);
    await until(() => isThere(4));
    expect(isThere(3)).toBe(false);
    expect(cache.stats().remoteRequests).toBe(remoteRequests + 1);
  });

  it('come into the cache, and count neither as misses nor as warm-up', async () => {
    caching.add([tablet(1), tablet(2), tablet(3)]);
    await until(() => [1, 2, 3].every(isThere));
    const { misses, hits, warmUpRequests, remoteRequests } = cache.stats();
    expect({ misses, hits, warmUpRequests, remoteRequests }).toEqual({
      misses: 0,
      hits: 0,
      warmUpRequests: 0,
      remoteRequests: 3,
    });
    caching.add([tablet(1)]);
    caching.add([tablet(4)]);
    await until(() => isThere(4));
    expect(cache.stats().remoteRequests).toBe(4);
  });

  it('are left out when they cannot be had, and the next ones come', async () => {
    fixture.store.fail = ({ key }) =>
      key === 'o1' ? new ObjectStoreError('NOT_FOUND', key, 'gone') : undefined;
    caching.add([tablet(1), tablet(2)]);
    await until(() => isThere(2));
    expect(isThere(1)).toBe(false);
  });

  it('are not waited for without end: what is too much is refused', () => {
    fixture.store.holding = true;
    caching.add(Array.from({ length: 3000 }, (_, number) => tablet(number + 1)));
    expect(caching.refused).toBe(1000);
    caching.close();
    fixture.store.release();
  });
});
