import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { BlockCache } from '../../../be-agent/cache/block_cache.ts';
import type { CacheObject } from '../../../be-agent/cache/cache_object.ts';
import { newWarmUpProgress } from '../../../be-agent/cache/downloader.ts';
import type { WarmUpProgress, WarmTablet } from '../../../be-agent/cache/downloader.ts';
import { id } from '../../../base/ids.ts';
import type { TabletId } from '../../../base/ids.ts';
import { ObjectStoreError } from '../../../base/ports.ts';
import { CacheFixture, MIB, blockFiles, content, until } from './cache_fixture.ts';

let fixture: CacheFixture;

beforeEach(() => {
  fixture = new CacheFixture();
});

afterEach(async () => {
  await fixture.end();
});

const tablet = (number: number, ...objects: CacheObject[]): WarmTablet => ({
  tabletId: id<TabletId>(number),
  objects,
});

async function warm(
  cache: BlockCache,
  tablets: readonly WarmTablet[],
  more: {
    readonly force?: boolean;
    readonly signal?: AbortSignal;
    readonly spareQueriedSeconds?: () => number;
  } = {},
): Promise<WarmUpProgress> {
  const progress = newWarmUpProgress();
  const signal = more.signal ?? new AbortController().signal;
  const { spareQueriedSeconds = () => 0 } = more;
  await fixture
    .downloader(cache, 4, { spareQueriedSeconds })
    .run(tablets, { force: more.force ?? false, signal, progress });
  return progress;
}

describe('a warm-up', () => {
  it('brings everything in, in long ranges, and says what was there', async () => {
    const cache = await fixture.cache();
    const a = fixture.object('a', 20 * MIB + 3);
    const b = fixture.object('b', 100);
    await cache.read(a, 9 * MIB, 1);
    await until(() => cache.isCached(a, 9));
    fixture.store.gets.length = 0;
    const seen: number[] = [];
    const progress = newWarmUpProgress();
    await fixture.downloader(cache).run([tablet(1, a), tablet(2, b), tablet(3)], {
      force: false,
      signal: new AbortController().signal,
      progress,
      onProgress: () => seen.push(progress.doneBytes),
    });
    expect(progress).toEqual({
      totalBytes: a.size + b.size,
      doneBytes: a.size + b.size,
      cachedBytes: MIB,
      doneTablets: 3,
      failedTablets: 0,
      requests: 5,
      failures: [],
    });
    const ranges = fixture.store.gets.map(({ key, offset, length }) => [key, offset, length]);
    expect(ranges).toEqual([
      ['a', 0, 8 * MIB],
      ['a', 8 * MIB, MIB],
      ['a', 10 * MIB, 8 * MIB],
      ['a', 18 * MIB, 2 * MIB + 3],
      ['b', 0, 100],
    ]);
    expect(seen).toEqual(seen.toSorted((x, y) => x - y));
    const all = await cache.read(a, 0, a.size);
    expect(Buffer.compare(all, content('a', 0, a.size))).toBe(0);
    expect(fixture.store.gets).toHaveLength(5);
    const stats = cache.stats();
    expect([stats.warmUpRequests, stats.hits, stats.misses]).toEqual([5, 21, 1]);
    const again = await warm(cache, [tablet(1, a), tablet(2, b)]);
    expect([again.cachedBytes, again.requests]).toEqual([a.size + b.size, 0]);
  });

  it('leaves the last object newest', async () => {
    const cache = await fixture.cache({ capacityBytes: 5 * MIB });
    const [a, b, c, d] = ['a', 'b', 'c', 'd'].map((key) => fixture.object(key, MIB));
    if (a === undefined || b === undefined || c === undefined || d === undefined) return;
    await warm(cache, [tablet(1, a)]);
    await warm(cache, [tablet(1, c), tablet(2, b), tablet(3, a), tablet(4, d)]);
    for (const key of ['x', 'y', 'z']) await cache.read(fixture.object(key, MIB), 0, 1);
    await until(
      () => cache.stats().queues.reduce((sum, { evictedBlocks }) => sum + evictedBlocks, 0) === 3,
    );
    expect([a, b, c, d].map((object) => cache.hasBlocks(object))).toEqual([
      false,
      false,
      false,
      true,
    ]);
  });

  it('shares a download with a query that is under way, both ways', async () => {
    const cache = await fixture.cache();
    const object = fixture.object('k', 4 * MIB);
    fixture.store.holding = true;
    const early = cache.read(object, MIB, 10);
    await until(() => fixture.store.held === 1);
    const warming = warm(cache, [tablet(1, object)]);
    await until(() => fixture.store.held === 2);
    const late = cache.read(object, 3 * MIB, 10);
    fixture.store.release();
    const [one, progress, two] = await Promise.all([early, warming, late]);
    expect(Buffer.compare(one, content('k', MIB, 10))).toBe(0);
    expect(Buffer.compare(two, content('k', 3 * MIB, 10))).toBe(0);
    expect(progress.doneBytes).toBe(object.size);
    const bytes = fixture.store.gets.reduce((sum, { length }) => sum + length, 0);
    expect(bytes).toBe(object.size);
  });

  it('names a missing object, and warms the rest', async () => {
    const cache = await fixture.cache();
    const gone = { ...fixture.object('gone', 9 * MIB) };
    fixture.store.sizes.delete('gone');
    const there = fixture.object('there', MIB);
    const progress = await warm(cache, [tablet(1, gone), tablet(2, there)]);
    expect(progress.failures).toEqual([{ tabletId: 1, item: 'gone', reason: 'no object gone' }]);
    expect([progress.doneTablets, progress.failedTablets, progress.doneBytes]).toEqual([1, 1, MIB]);
    expect(cache.stats().usedBytes).toBeLessThan(2 * MIB);
  });

  it('says that an object is shorter than the catalog thinks', async () => {
    const cache = await fixture.cache();
    const short = fixture.object('short', 2 * MIB);
    const get = fixture.store.get.bind(fixture.store);
    fixture.store.get = async (key, options) => (await get(key, options)).subarray(0, 1000);
    const progress = await warm(cache, [tablet(1, short)]);
    expect(progress.failures.map(({ reason }) => reason)).toEqual([
      'object short ends at byte 1000, not at 2097152',
    ]);
  });

  it('tries transient errors again after pauses, a bounded number of times', async () => {
    const cache = await fixture.cache();
    const flaky = fixture.object('flaky', MIB);
    const broken = fixture.object('broken', MIB);
    fixture.store.fail = ({ key }) => {
      const tries = fixture.store.gets.filter((get) => get.key === key).length;
      if (key === 'flaky' && tries > 2) return undefined;
      return new ObjectStoreError('UNAVAILABLE', key, `503 for ${key}`);
    };
    const warming = warm(cache, [tablet(1, flaky), tablet(2, broken)]);
    let ended = false;
    void warming.finally(() => {
      ended = true;
    });
    await until(() => {
      void fixture.clock.advance(100);
      return ended;
    });
    const progress = await warming;
    const failure = { tabletId: 2, item: 'broken', reason: '503 for broken', transient: true };
    expect(progress.failures).toEqual([failure]);
    expect(cache.hasBlocks(flaky)).toBe(true);
    expect(fixture.store.gets).toHaveLength(3 + 4);
  });

  it.each(['BUCKET_MISSING', 'ACCESS_DENIED'] as const)(
    '%s fails all the rest at once',
    async (kind) => {
      const cache = await fixture.cache();
      const objects = Array.from({ length: 50 }, (_, n) => fixture.object(`o${n}`, MIB));
      fixture.store.fail = ({ key }) => new ObjectStoreError(kind, key, 'the bucket is gone');
      const progress = await warm(cache, [tablet(1, ...objects)]);
      expect(progress.failures).toHaveLength(50);
      expect(new Set(progress.failures.map(({ reason }) => reason))).toEqual(
        new Set(['the bucket is gone']),
      );
      expect(fixture.store.gets.length).toBeLessThanOrEqual(4);
    },
  );

  it('stops at once when it is cancelled, and leaves nothing half', async () => {
    const cache = await fixture.cache();
    const object = fixture.object('k', 40 * MIB);
    fixture.store.holding = true;
    const cancel = new AbortController();
    const warming = warm(cache, [tablet(1, object)], { signal: cancel.signal });
    await until(() => fixture.store.held === 4);
    cancel.abort(new Error('user cancel'));
    await expect(warming).rejects.toThrow('user cancel');
    fixture.store.release();
    await until(() => cache.stats().usedBytes === 0);
    expect(fixture.store.gets).toHaveLength(4);
    expect(await blockFiles(fixture.dir)).toEqual([]);
    const progress = await warm(cache, [tablet(1, object)]);
    expect(progress.doneBytes).toBe(object.size);
  });
});

describe('room', () => {
  const ttl = (): { expiresMs: number } => ({ expiresMs: fixture.clock.now() + 3_600_000 });

  it('without FORCE a batch spares TTL blocks and its own, and says what does not fit', async () => {
    const cache = await fixture.cache({ capacityBytes: 16 * MIB });
    const hot = fixture.object('hot', 12 * MIB, ttl());
    await warm(cache, [tablet(1, hot)]);
    const big = fixture.object('big', 6 * MIB);
    const progress = await warm(cache, [tablet(2, big)]);
    expect(cache.hasBlocks(hot)).toBe(true);
    expect(progress.failures).toHaveLength(1);
    expect(progress.failures[0]?.reason).toMatch(
      /^no room in the cache: \d+ bytes needed in queue NORMAL/,
    );
    expect(progress.doneBytes).toBe(3 * MIB);
    const forced = await warm(cache, [tablet(2, big)], { force: true });
    expect([forced.failures, forced.doneBytes]).toEqual([[], 6 * MIB]);
    expect(cache.hasBlocks(hot)).toBe(false);
    expect(await fixture.diskBytes()).toBeLessThanOrEqual(16 * MIB);
  });

  it('without FORCE a batch takes the place only of what no query read lately', async () => {
    const cache = await fixture.cache({ capacityBytes: 10 * MIB });
    const [asked, warmed] = [fixture.object('asked', 4 * MIB), fixture.object('warmed', 3 * MIB)];
    await warm(cache, [tablet(1, asked), tablet(2, warmed)]);
    await cache.read(asked, 0, asked.size);
    const spareQueriedSeconds = () => 600;
    const young = [fixture.object('young', 4 * MIB), fixture.object('younger', 2 * MIB)] as const;
    const first = await warm(cache, [tablet(3, young[0])], { spareQueriedSeconds });
    expect(first.failures).toEqual([]);
    const whole = [asked, warmed, young[0]].map((object) => cache.hasBlocks(object));
    expect(whole).toEqual([true, false, true]);
    // A read of a compaction is no query; that of a miss is.
    await cache.read(young[0], 0, young[0].size, { purpose: 'other' });
    const missed = fixture.object('missed', MIB);
    await cache.read(missed, 0, 1);
    await until(() => cache.hasBlocks(missed));
    const later = await warm(cache, [tablet(4, young[1])], { spareQueriedSeconds });
    expect([later.failures, cache.hasBlocks(asked), cache.hasBlocks(missed)]).toEqual([
      [],
      true,
      true,
    ]);
    expect(cache.hasBlocks(young[0])).toBe(false);
    const large = fixture.object('large', 9 * MIB);
    const refused = await warm(cache, [tablet(5, large)], { spareQueriedSeconds });
    expect(refused.failures[0]?.reason).toMatch(/^no room in the cache: .* queries read lately/);
    expect([cache.hasBlocks(asked), cache.hasBlocks(missed)]).toEqual([true, true]);
    await fixture.clock.advance(601_000);
    const afterwards = await warm(cache, [tablet(5, large)], { spareQueriedSeconds });
    expect([afterwards.failures, cache.hasBlocks(asked)]).toEqual([[], false]);
  });

  it('with FORCE a batch evicts what queries read', async () => {
    const cache = await fixture.cache({ capacityBytes: 8 * MIB });
    const asked = fixture.object('asked', 6 * MIB);
    await cache.read(asked, 0, asked.size);
    await until(() => cache.hasBlocks(asked));
    const large = fixture.object('large', 7 * MIB);
    const options = { spareQueriedSeconds: () => 600 };
    const refused = await warm(cache, [tablet(1, large)], options);
    expect([refused.failures.length, cache.hasBlocks(asked)]).toEqual([1, true]);
    const forced = await warm(cache, [tablet(1, large)], { ...options, force: true });
    expect([forced.failures, cache.hasBlocks(asked)]).toEqual([[], false]);
  });

  it('evicts older blocks of the own queue', async () => {
    const cache = await fixture.cache({ capacityBytes: 8 * MIB });
    const old = fixture.object('old', 7 * MIB);
    const young = fixture.object('young', 7 * MIB);
    await warm(cache, [tablet(1, old)]);
    const progress = await warm(cache, [tablet(1, young)]);
    expect(progress.failures).toEqual([]);
    expect([cache.hasBlocks(old), cache.hasBlocks(young)]).toEqual([false, true]);
  });

  it('fetches again what was evicted meanwhile, else says so', async () => {
    const cache = await fixture.cache({ capacityBytes: 64 * MIB });
    const a = fixture.object('a', 2 * MIB);
    const b = fixture.object('b', MIB);
    let drops = 0;
    fixture.store.fail = ({ key }) => {
      if (key === 'b' && drops === 0) {
        drops += 1;
        cache.dropObject(1, 'a');
      }
      return undefined;
    };
    const progress = newWarmUpProgress();
    const { signal } = new AbortController();
    const options = { force: false, signal, progress };
    await fixture.downloader(cache, 1).run([tablet(1, a), tablet(2, b)], options);
    expect([progress.failures, progress.doneBytes, progress.doneTablets]).toEqual([[], 3 * MIB, 2]);
    expect(fixture.store.gets.map(({ key }) => key)).toEqual(['a', 'b', 'a']);
  });

  it('is never exceeded on disk while readers and a warm-up fight for it', async () => {
    const capacityBytes = 12 * MIB;
    const cache = await fixture.cache({ capacityBytes, windowBytes: 2 * MIB });
    const objects = Array.from({ length: 24 }, (_, n) =>
      fixture.object(`o${n}`, (n % 3) * MIB + 1000 + n, n % 2 === 0 ? ttl() : {}),
    );
    const ended = new AbortController();
    let wrong = 0;
    const readers = Array.from({ length: 8 }, async (_, reader) => {
      for (let turn = 0; turn < 40; turn += 1) {
        const object = objects[(reader * 7 + turn * 5) % objects.length];
        if (object === undefined) continue;
        const offset = (turn * 77_777) % object.size;
        const length = Math.min(200_000, object.size - offset);
        const bytes = await cache.read(object, offset, length);
        if (Buffer.compare(bytes, content(object.key, offset, length)) !== 0) wrong += 1;
      }
    });
    const warming = warm(cache, [tablet(1, ...objects)], { force: true });
    let peak = 0;
    const watching = (async () => {
      while (!ended.signal.aborted) {
        peak = Math.max(peak, await fixture.diskBytes());
        await fixture.clock.advance(50);
      }
    })();
    await Promise.all([...readers, warming]);
    ended.abort();
    await watching;
    expect(wrong).toBe(0);
    expect(peak).toBeGreaterThan(capacityBytes / 2);
    expect(peak).toBeLessThanOrEqual(capacityBytes);
    expect(cache.stats().damagedBlocks).toBe(0);
  });
});
