/** Scans that are asked for again: counted as read while all of it is here, and opened when not. */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { systemRandom } from '../../base/system_ports.ts';
import { LeasedScan } from '../../base/scan_lease.ts';
import { ScanTickets, ScanTrace } from '../../be-agent/scan_tickets.ts';
import type { BlockCache } from '../../be-agent/cache/block_cache.ts';
import type { CacheObject } from '../../be-agent/cache/cache_object.ts';
import { CacheFixture, MIB, until } from './cache/cache_fixture.ts';

let fixture: CacheFixture;
let cache: BlockCache;
let tickets: ScanTickets;
let scans = 0;
let isSame = true;

beforeEach(async () => {
  fixture = new CacheFixture();
  cache = await fixture.cache();
  tickets = new ScanTickets(systemRandom);
  scans = 0;
  isSame = true;
});

afterEach(async () => {
  await fixture.end();
});

function newTrace(): ScanTrace {
  return new ScanTrace(
    cache,
    () => {
      scans += 1;
    },
    async () => await Promise.resolve(isSame),
  );
}

/** Reads as a scan does, until what it read is written. */
async function read(trace: ScanTrace, object: CacheObject, offset: number, length: number) {
  await cache.read(object, offset, length, { purpose: 'query' });
  await until(() => cache.hasRange(object, offset, length));
  trace.add(object, offset, length);
}

const issue = (trace: ScanTrace): string => tickets.issue(trace).ticket ?? '';

const repeat = async (...scansAsked: readonly (readonly [string, number])[]) =>
  await tickets.repeat({ scans: scansAsked.map(([ticket, times]) => ({ ticket, times })) });

function hits() {
  const { hits: blocks, hitBytes, misses, queues } = cache.stats();
  const byQueue = queues.reduce((sum, queue) => sum + queue.hits, 0);
  return { blocks, hitBytes, misses, byQueue };
}

describe('a repeated scan', () => {
  it('counts as the reads that it stands for', async () => {
    const object = fixture.object('a', 3 * MIB);
    const trace = newTrace();
    await read(trace, object, MIB - 10, 20);
    await read(trace, object, 2 * MIB, 5);
    const first = hits();
    expect(first.misses).toBeGreaterThan(0);
    // What a scan that reads counts.
    await cache.read(object, MIB - 10, 20);
    await cache.read(object, 2 * MIB, 5);
    const second = hits();
    const ticket = issue(trace);
    expect(await repeat([ticket, 1])).toEqual([true]);
    const third = hits();
    expect(third.blocks - second.blocks).toBe(second.blocks - first.blocks);
    expect(third.hitBytes - second.hitBytes).toBe(second.hitBytes - first.hitBytes);
    expect(third.byQueue - second.byQueue).toBe(second.byQueue - first.byQueue);
    expect(third.misses).toBe(first.misses);
    expect(await repeat([ticket, 5])).toEqual([true]);
    expect(hits().hitBytes - third.hitBytes).toBe(5 * 25);
    expect(scans).toBe(6);
  });

  it('keeps its blocks among those used last', async () => {
    const small = await fixture.cache({ dir: `${fixture.dir}2`, capacityBytes: 8 * MIB });
    cache = small;
    const old = fixture.object('old', MIB);
    const trace = newTrace();
    await read(trace, old, 0, 10);
    const ticket = issue(trace);
    for (let at = 0; at < 20; at += 1) {
      await read(newTrace(), fixture.object(`new${at}`, MIB), 0, 10);
      expect(await repeat([ticket, 1])).toEqual([true]);
    }
    for (let at = 20; at < 40; at += 1) {
      const object = fixture.object(`new${at}`, MIB);
      await read(newTrace(), object, 0, 10);
    }
    expect(await repeat([ticket, 1])).toEqual([false]);
  });

  it.each([
    ['its blocks were cleared', async () => await cache.clear().then(() => undefined)],
    ['its object was dropped', async () => await cache.dropPrefix(1, 'a')],
    ['one of its blocks is missing', async () => await evictLast()],
    [
      'it would read something else',
      async () => {
        isSame = false;
        await Promise.resolve();
      },
    ],
  ])('is opened when %s, and nothing is counted', async (_why, happens) => {
    const object = fixture.object('a', 2 * MIB);
    const trace = newTrace();
    await read(trace, object, 0, 10);
    await read(trace, object, MIB, 10);
    const ticket = issue(trace);
    await happens();
    const before = hits();
    expect(await repeat([ticket, 3])).toEqual([false]);
    expect(hits()).toEqual(before);
    expect(scans).toBe(0);
    // The ticket is void, also when all is there again.
    isSame = true;
    await cache.read(object, 0, 2 * MIB);
    expect(await repeat([ticket, 1])).toEqual([false]);
  });

  async function evictLast(): Promise<void> {
    cache.dropObject(1, 'a');
    await cache.read(fixture.object('a', 2 * MIB), 0, 10);
  }

  it('of no blocks needs none', async () => {
    const ticket = issue(newTrace());
    expect(await repeat([ticket, 2])).toEqual([true]);
    expect(scans).toBe(2);
  });

  it('does not read footers, which are kept', async () => {
    const object = fixture.object('a', 2 * MIB, { indexOffset: MIB });
    const trace = newTrace();
    await read(trace, object, MIB, 100);
    const before = hits();
    expect(await repeat([issue(trace), 1])).toEqual([true]);
    expect(hits()).toEqual(before);
  });

  it('has no ticket when it reads very much', async () => {
    const object = fixture.object('a', MIB);
    const trace = newTrace();
    for (let at = 0; at < 256; at += 1) trace.add(object, at, 1);
    expect(trace.isShort).toBe(true);
    for (let at = 0; at < 10; at += 1) trace.add(object, at, 1);
    expect(trace.isShort).toBe(false);
    await Promise.resolve();
  });
});

describe('tickets', () => {
  it('are answered in their order, unknown ones with no', async () => {
    const [one, other] = [issue(newTrace()), issue(newTrace())];
    expect(await repeat([other, 1], ['nobody', 1], [one, 2])).toEqual([true, false, true]);
    expect(await repeat()).toEqual([]);
  });

  it('are forgotten when there are very many, those in use last', async () => {
    const [used, unused] = [issue(newTrace()), issue(newTrace())];
    for (let at = 0; at < 998; at += 1) issue(newTrace());
    expect(await repeat([used, 1])).toEqual([true]);
    issue(newTrace());
    expect(await repeat([used, 1], [unused, 1])).toEqual([true, false]);
  });

  it('may be asked for twice at once', async () => {
    const ticket = issue(newTrace());
    const both = await Promise.all([repeat([ticket, 1]), repeat([ticket, 1])]);
    expect(both).toEqual([[true], [true]]);
  });
});

describe('a lease', () => {
  /** A scan that needs nothing but the cache, read once, and what the server holds of it. */
  async function lease(key: string): Promise<{ ticket: string; leased: LeasedScan }> {
    const count = (): void => {
      scans += 1;
    };
    const trace = new ScanTrace(cache, count, undefined);
    await read(trace, fixture.object(key, MIB), 0, 10);
    const { ticket = '', lease: given } = tickets.issue(trace);
    if (given === undefined) throw new Error('no lease');
    return { ticket, leased: new LeasedScan(given) };
  }

  /** As the server asks. */
  async function renew({ ticket, leased }: { ticket: string; leased: LeasedScan }) {
    const { era } = leased;
    const [isHere] = await repeat([ticket, 1]);
    if (isHere === true) leased.renew(era);
    return isHere;
  }

  beforeEach(() => {
    tickets = new ScanTickets(systemRandom, true);
    cache.followOutsideReads(tickets);
  });

  it('counts nothing before the backend has said that all is there', async () => {
    const { leased } = await lease('a');
    expect(leased.count()).toBe(false);
  });

  it('is counted as the reads that it stands for, by whoever looks', async () => {
    const one = await lease('a');
    expect(await renew(one)).toBe(true);
    const before = hits();
    for (let time = 0; time < 7; time += 1) expect(one.leased.count()).toBe(true);
    const after = hits();
    expect(after.blocks - before.blocks).toBe(7);
    expect(after.hitBytes - before.hitBytes).toBe(70);
    expect(after.byQueue - before.byQueue).toBe(7);
    expect(scans).toBe(8);
    expect(hits()).toEqual(after);
  });

  it.each([
    ['a block was dropped', () => cache.dropObject(1, 'other')],
    ['the backend stops', () => tickets.endLeases()],
  ])('ends when %s, with all that was counted, until the backend is asked', async (_why, end) => {
    const one = await lease('a');
    await lease('other');
    await renew(one);
    const before = hits().blocks;
    expect(one.leased.count()).toBe(true);
    end();
    expect(one.leased.count()).toBe(false);
    expect(hits().blocks - before).toBe(1);
    expect(await renew(one)).toBe(true);
    expect(one.leased.count()).toBe(true);
  });

  it('ends for good when its own block is dropped, however the answer comes', async () => {
    const one = await lease('a');
    await renew(one);
    const { era } = one.leased;
    const answer = repeat([one.ticket, 1]);
    cache.dropObject(1, 'a');
    // The answer was yes, and came after the block had gone.
    if ((await answer)[0] === true) one.leased.renew(era);
    expect(one.leased.count()).toBe(false);
    expect(await renew(one)).toBe(false);
    expect(one.leased.count()).toBe(false);
  });

  it('keeps what is read by it from being evicted', async () => {
    cache = await fixture.cache({ dir: `${fixture.dir}2`, capacityBytes: 8 * MIB });
    cache.followOutsideReads(tickets);
    const one = await lease('old');
    for (let at = 0; at < 20; at += 1) {
      if (!one.leased.count()) expect(await renew(one)).toBe(true);
      await read(newTrace(), fixture.object(`new${at}`, MIB), 0, 10);
    }
    expect(await renew(one)).toBe(true);
  });

  it('of a scan of replicas there is none: their files are looked for each time', () => {
    expect(tickets.issue(newTrace())).not.toHaveProperty('lease');
    const apart = new ScanTickets(systemRandom);
    expect(apart.issue(new ScanTrace(cache, () => undefined, undefined))).not.toHaveProperty(
      'lease',
    );
  });

  it('is never counted for another scan when tickets are many', async () => {
    const one = await lease('a');
    await renew(one);
    let others = 0;
    const other = new ScanTrace(cache, () => void (others += 1), undefined);
    for (let at = 0; at < 5000; at += 1) {
      tickets.issue(other);
      if (at === 500) expect(one.leased.count()).toBe(true);
      if (at === 1700) one.leased.count();
    }
    cache.stats();
    expect(others).toBe(0);
    expect(scans).toBeGreaterThan(1);
    expect(one.leased.count()).toBe(false);
  });
});
