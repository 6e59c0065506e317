import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { readAside } from '../../be-agent/aside_reads.ts';
import type { BlockCache } from '../../be-agent/cache/block_cache.ts';
import { CacheFixture, MIB, content, until } from './cache/cache_fixture.ts';

const NEVER = new AbortController().signal;

describe('readAside', () => {
  let fixture: CacheFixture;
  let cache: BlockCache;

  beforeEach(async () => {
    fixture = new CacheFixture();
    cache = await fixture.cache({ capacityBytes: 8 * MIB, shares: [0, 100, 0, 0] });
  });

  afterEach(async () => {
    await fixture.end();
  });

  it('takes what the cache has, leaves the rest where it is, and is no query', async () => {
    const object = fixture.object('data/1/a_0.dat', 3 * MIB);
    await cache.read(object, 0, MIB);
    await until(() => cache.isCached(object, 0));
    const before = cache.stats();
    const requests = fixture.store.gets.length;
    const cached = await readAside(cache, object, 100, 1000, NEVER);
    expect(Buffer.from(cached).equals(content(object.key, 100, 1000))).toBe(true);
    expect(fixture.store.gets).toHaveLength(requests);
    // Over the edge of what is cached.
    const both = await readAside(cache, object, MIB - 10, 20, NEVER);
    expect(Buffer.from(both).equals(content(object.key, MIB - 10, 20))).toBe(true);
    expect(fixture.store.gets.slice(requests)).toEqual([
      { key: object.key, offset: MIB - 10, length: 20 },
    ]);
    expect(cache.isCached(object, 1)).toBe(false);
    const { hits, hitBytes, misses, missBytes, usedBytes } = cache.stats();
    expect({ hits, hitBytes, misses, missBytes, usedBytes }).toEqual({
      hits: before.hits,
      hitBytes: before.hitBytes,
      misses: before.misses,
      missBytes: before.missBytes,
      usedBytes: before.usedBytes,
    });
  });

  it('does not make its blocks the newest: they still go first', async () => {
    const first = fixture.object('data/1/first_0.dat', MIB);
    await cache.read(first, 0, 10);
    await until(() => cache.isCached(first, 0));
    const later: (typeof first)[] = [];
    while (cache.isCached(first, 0) && later.length < 100) {
      await readAside(cache, first, 0, 10, NEVER);
      const object = fixture.object(`data/1/${later.length}_0.dat`, MIB);
      later.push(object);
      await cache.read(object, 0, 10);
      await until(() => cache.isCached(object, 0));
    }
    expect(later.length).toBeLessThan(100);
    expect(later.every((object) => cache.isCached(object, 0))).toBe(true);
  });
});
