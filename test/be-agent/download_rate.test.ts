import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { DownloadRate } from '../../be-agent/download_rate.ts';
import type { RateLimiter } from '../../be-agent/cache/range_warmer.ts';
import { newWarmUpProgress } from '../../be-agent/cache/downloader.ts';
import { type TabletId, id } from '../../base/ids.ts';
import { CacheFixture, MIB, ManualClock, until } from './cache/cache_fixture.ts';

const NEVER = new AbortController().signal;

function start(bytesPerSecond: number) {
  const clock = new ManualClock();
  const rate = { now: bytesPerSecond };
  const limiter = new DownloadRate(clock, () => rate.now);
  const passed: string[] = [];
  const ask = (name: string, bytes: number, signal = NEVER): Promise<void> =>
    limiter.acquire(bytes, signal).then(() => {
      passed.push(name);
    });
  return { clock, rate, limiter, passed, ask };
}

describe('DownloadRate', () => {
  it('lets pass what the rate allows, in the order asked', async () => {
    const { clock, limiter, passed, ask } = start(1000);
    void ask('a', 2000);
    void ask('b', 500);
    void ask('c', 1);
    await nextTurn();
    expect(passed).toEqual(['a']);
    expect(limiter.throttled).toBe(true);
    await clock.advance(1990);
    expect(passed).toEqual(['a']);
    await clock.advance(10);
    expect(passed).toEqual(['a', 'b']);
    await clock.advance(500);
    expect(passed).toEqual(['a', 'b', 'c']);
    await clock.advance(3100);
    expect(limiter.throttled).toBe(false);
    expect(clock.waiting).toBe(0);
  });

  it('is exact over time, whatever the sizes', async () => {
    const { clock, passed, ask } = start(10_000);
    const startMs = clock.now();
    const sizes = Array.from({ length: 200 }, (_, place) => 100 + ((place * 37) % 900));
    const all = Promise.all(sizes.map(async (bytes, place) => await ask(String(place), bytes)));
    while (passed.length < sizes.length) await clock.advance(10);
    await all;
    const seconds = (clock.now() - startMs) / 1000;
    const total = sizes.slice(0, -1).reduce((sum, bytes) => sum + bytes, 0);
    expect(seconds).toBeGreaterThanOrEqual(total / 10_000);
    expect(seconds).toBeLessThan(total / 10_000 + 0.1);
  });

  it('saves up a quarter of a second at most', async () => {
    const { clock, passed, ask } = start(1000);
    await clock.advance(60_000);
    void ask('a', 250);
    void ask('b', 1000);
    void ask('c', 1);
    await nextTurn();
    expect(passed).toEqual(['a', 'b']);
    await clock.advance(1000);
    expect(passed).toEqual(['a', 'b', 'c']);
  });

  it('follows a changed rate while somebody waits', async () => {
    const { clock, rate, passed, ask } = start(1000);
    void ask('a', 1_000_000);
    void ask('b', 1);
    await clock.advance(400);
    expect(passed).toEqual(['a']);
    rate.now = 0;
    await clock.advance(200);
    expect(passed).toEqual(['a', 'b']);
    rate.now = 10;
    void ask('c', 100);
    void ask('d', 1);
    await clock.advance(9900);
    expect(passed).toEqual(['a', 'b', 'c']);
    await clock.advance(100);
    expect(passed).toEqual(['a', 'b', 'c', 'd']);
  });

  it('never waits without a limit', async () => {
    const { limiter, passed, ask } = start(-1);
    for (const name of ['a', 'b', 'c']) await ask(name, 2 ** 40);
    expect(passed).toEqual(['a', 'b', 'c']);
    expect(limiter.throttled).toBe(false);
  });

  it('forgets who gave up, and takes back what was not used', async () => {
    const { clock, limiter, passed, ask } = start(1000);
    const controller = new AbortController();
    void ask('a', 5000);
    const gone = ask('gone', 1_000_000, controller.signal);
    void ask('b', 1);
    controller.abort(new Error('cancelled'));
    await expect(gone).rejects.toThrow('cancelled');
    await expect(ask('late', 1, controller.signal)).rejects.toThrow('cancelled');
    limiter.giveBack(4000);
    await clock.advance(1000);
    expect(passed).toEqual(['a', 'b']);
    expect(clock.waiting).toBe(0);
  });
});

describe('a warm-up with a rate', () => {
  let fixture: CacheFixture;
  beforeEach(() => {
    fixture = new CacheFixture();
  });
  afterEach(async () => {
    await fixture.end();
  });

  it('takes its time, while a query for the same blocks does not wait', async () => {
    const cache = await fixture.cache();
    const object = fixture.object('a', 40 * MIB);
    const limiter = new DownloadRate(fixture.clock, () => MIB);
    const progress = newWarmUpProgress();
    const running = fixture
      .downloader(cache, 8, { limiter })
      .run([{ tabletId: id<TabletId>(1), objects: [object] }], {
        force: false,
        signal: NEVER,
        progress,
      });
    await until(() => progress.doneBytes === 8 * MIB);
    expect(limiter.throttled).toBe(true);
    await cache.read(object, 8 * MIB, 3 * MIB);
    expect(cache.stats()).toMatchObject({ misses: 3, warmUpBytes: 8 * MIB });
    await fixture.clock.advance(7900);
    expect(progress.requests).toBe(1);
    let seconds = 7.9;
    const ended = { yet: false };
    void running.then(() => {
      ended.yet = true;
    });
    // Time moves only while a download waits for it: one timer is the cache's own.
    const settled = (): boolean => ended.yet || fixture.clock.waiting > 1;
    for (await until(settled); !ended.yet; await until(settled)) {
      await fixture.clock.advance(1000);
      seconds += 1;
    }
    await running;
    // What the query fetched is not paid for, and the last range need not wait for its own bytes.
    expect(seconds).toBeGreaterThanOrEqual(40 - 3 - 8);
    expect(seconds).toBeLessThan(40);
    expect(cache.stats()).toMatchObject({ warmUpBytes: 37 * MIB, missBytes: 3 * MIB });
  });

  it('does not pay for what the cache refuses', async () => {
    const cache = await fixture.cache({ capacityBytes: 12 * MIB });
    const objects = Array.from({ length: 20 }, (_, at) => fixture.object(`o${at}`, 4 * MIB));
    let paid = 0;
    const limiter: RateLimiter = {
      acquire: async (bytes) => {
        paid += bytes;
        await nextTurn();
      },
      giveBack: (bytes) => {
        paid -= bytes;
      },
    };
    const progress = newWarmUpProgress();
    await fixture
      .downloader(cache, 2, { limiter })
      .run([{ tabletId: id<TabletId>(1), objects }], { force: false, signal: NEVER, progress });
    expect(progress.failures.length).toBeGreaterThan(10);
    expect(cache.stats().warmUpBytes).toBeGreaterThan(0);
    expect(paid).toBe(cache.stats().warmUpBytes);
  });
});
