import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type { BlockCache } from '../../../be-agent/cache/block_cache.ts';
import type { CacheObject } from '../../../be-agent/cache/cache_object.ts';
import { snapshotPath, temporarySnapshotPath } from '../../../be-agent/cache/snapshot.ts';
import { CacheFixture, MIB, blockFiles, content, slabFiles, until } from './cache_fixture.ts';

let fixture: CacheFixture;

beforeEach(() => {
  fixture = new CacheFixture();
});

afterEach(async () => {
  await fixture.end();
});

async function fill(cache: BlockCache, object: CacheObject): Promise<void> {
  await cache.read(object, 0, object.size);
  await until(() => cache.hasBlocks(object));
}

/** The directory as a kill -9 would leave it now. */
function killed(): string {
  const copy = join(fixture.root, 'killed');
  cpSync(fixture.dir, copy, { recursive: true });
  return copy;
}

describe('restart', () => {
  it('keeps blocks, queues and LRU order', async () => {
    const cache = await fixture.cache({ capacityBytes: 8 * MIB });
    const objects = [1, 2, 3, 4, 5, 6].map((n) => fixture.object(`data/${n}`, MIB));
    for (const object of objects) await fill(cache, object);
    // The order from cold to hot is now 2 4 5 6 1 3.
    await cache.read(fixture.object('data/1', MIB), 0, 1);
    await cache.read(fixture.object('data/3', MIB), 0, 1);
    const before = cache.stats();
    await cache.close();
    const again = await fixture.cache({ capacityBytes: 8 * MIB });
    expect(again.rebuilt).toEqual({ blocks: 6, unknown: 0, dropped: 0, missing: 0 });
    expect(again.stats().usedBytes).toBe(before.usedBytes);
    const gets = fixture.store.gets.length;
    for (const n of [7, 8, 9, 10]) await fill(again, fixture.object(`data/${n}`, MIB));
    expect(objects.map((object) => again.hasBlocks(object))).toEqual([
      true,
      false,
      true,
      false,
      false,
      true,
    ]);
    expect(fixture.store.gets.length - gets).toBe(4);
  });

  it('without close: everything written is there, unknown files at the cold end', async () => {
    const cache = await fixture.cache({ capacityBytes: 8 * MIB });
    const old = fixture.object('old', 2 * MIB);
    await fill(cache, old);
    await fixture.clock.advance(10_250);
    await until(() => existsSync(snapshotPath(fixture.dir)));
    const young = fixture.object('young', 2 * MIB + 7, {
      expiresMs: fixture.clock.now() + 60_000,
      indexOffset: 2 * MIB,
    });
    await fill(cache, young);
    const again = await fixture.cache({ dir: killed(), capacityBytes: 8 * MIB });
    expect(again.rebuilt).toEqual({ blocks: 5, unknown: 3, dropped: 0, missing: 0 });
    expect(again.hasBlocks(old) && again.hasBlocks(young)).toBe(true);
    const used = again.stats().queues.map(({ queue, blocks }) => [queue, blocks]);
    expect(used).toEqual([
      ['DISPOSABLE', 0],
      ['NORMAL', 2],
      ['INDEX', 1],
      ['TTL', 2],
    ]);
    const gets = fixture.store.gets.length;
    const bytes = await again.read(young, MIB - 3, MIB);
    expect(Buffer.compare(bytes, content('young', MIB - 3, MIB))).toBe(0);
    expect(fixture.store.gets).toHaveLength(gets);
  });

  it('after abandon in the same process: nothing saved, nothing lost, nothing half', async () => {
    const cache = await fixture.cache();
    const whole = fixture.object('whole', MIB);
    const cut = fixture.object('cut', MIB);
    await fill(cache, whole);
    fixture.store.holding = true;
    const reading = cache.read(cut, 0, 10);
    await until(() => fixture.store.held === 1);
    const abandoned = cache.abandon();
    await expect(reading).rejects.toMatchObject({ name: 'AbortError' });
    await abandoned;
    expect(existsSync(snapshotPath(fixture.dir))).toBe(false);
    const again = await fixture.cache();
    expect([again.hasBlocks(whole), again.missingBytes(cut)]).toEqual([true, MIB]);
  });

  it('drops torn, foreign and temporary files, and what the snapshot names but is gone', async () => {
    const cache = await fixture.cache();
    const objects = [1, 2, 3, 4].map((n) => fixture.object(`k${n}`, 70_000));
    for (const object of objects) await fill(cache, object);
    await cache.close();
    const [gone = '', torn = '', flipped = ''] = await blockFiles(fixture.dir);
    rmSync(join(fixture.dir, gone));
    truncateSync(join(fixture.dir, torn), 500);
    writeFileSync(temporarySnapshotPath(fixture.dir), 'half a snapshot');
    writeFileSync(join(fixture.dir, flipped, '..', 'x.tmp'), 'left over');
    mkdirSync(join(fixture.dir, 'abc', 'abc'.padEnd(32, '0')), { recursive: true });
    writeFileSync(join(fixture.dir, 'readme'), 'not ours, not touched');
    const again = await fixture.cache();
    expect(again.rebuilt).toEqual({ blocks: 2, unknown: 0, dropped: 2, missing: 2 });
    expect(objects.filter((object) => again.hasBlocks(object))).toHaveLength(2);
    expect(await blockFiles(fixture.dir)).toHaveLength(2);
    expect(existsSync(temporarySnapshotPath(fixture.dir))).toBe(false);
    for (const foreign of ['abc', 'readme'])
      expect(existsSync(join(fixture.dir, foreign))).toBe(true);
    for (const { key, size } of objects) {
      const bytes = await again.read(fixture.object(key, size), 0, size);
      expect(Buffer.compare(bytes, content(key, 0, size))).toBe(0);
    }
  });

  it('finds everything without a snapshot, and with a damaged one', async () => {
    const cache = await fixture.cache();
    const object = fixture.object('k', 3 * MIB + 5);
    await fill(cache, object);
    await cache.close();
    const snapshot = readFileSync(snapshotPath(fixture.dir));
    snapshot.writeUInt8(snapshot.readUInt8(20) ^ 1, 20);
    writeFileSync(snapshotPath(fixture.dir), snapshot);
    const damaged = await fixture.cache();
    expect(damaged.rebuilt).toEqual({ blocks: 4, unknown: 4, dropped: 0, missing: 0 });
    await damaged.close();
    rmSync(snapshotPath(fixture.dir), { force: true });
    const none = await fixture.cache();
    expect(none.rebuilt).toEqual({ blocks: 4, unknown: 4, dropped: 0, missing: 0 });
    // A torn file of an unknown object is found out by its trailer.
    const [file = ''] = await blockFiles(fixture.dir);
    await none.close();
    rmSync(snapshotPath(fixture.dir), { force: true });
    truncateSync(join(fixture.dir, file), 40);
    const torn = await fixture.cache();
    expect(torn.rebuilt).toEqual({ blocks: 3, unknown: 3, dropped: 1, missing: 0 });
  });

  it('with a smaller capacity evicts the coldest down', async () => {
    const cache = await fixture.cache();
    const objects = [1, 2, 3, 4, 5, 6].map((n) => fixture.object(`data/${n}`, MIB));
    for (const object of objects) await fill(cache, object);
    await cache.close();
    const again = await fixture.cache({ capacityBytes: 4 * MIB });
    expect(await fixture.diskBytes()).toBeLessThanOrEqual(4 * MIB);
    expect(objects.map((object) => again.hasBlocks(object))).toEqual([
      false,
      false,
      false,
      true,
      true,
      true,
    ]);
  });
});

describe('an operator', () => {
  it('clears, lists, resets the capacity and drops objects', async () => {
    const cache = await fixture.cache();
    const [a, b] = [
      fixture.object('data/7/aa_0.dat', 2 * MIB),
      fixture.object('data/8/bb_0.dat', 9),
    ];
    await fill(cache, a);
    await fill(cache, b);
    const tablet = { vaultId: 1, tabletId: 10 };
    expect(cache.list('aa_0.dat', 100)).toEqual([
      { ...tablet, key: a.key, offset: 0, size: MIB, queue: 'NORMAL' },
      { ...tablet, key: a.key, offset: MIB, size: MIB, queue: 'NORMAL' },
    ]);
    expect(cache.list('.dat', 2)).toHaveLength(2);
    await cache.resetCapacity(2 * MIB);
    expect(await fixture.diskBytes()).toBeLessThanOrEqual(2 * MIB);
    expect(cache.stats().capacityBytes).toBe(2 * MIB);
    await cache.resetCapacity(64 * MIB);
    await fill(cache, a);
    cache.dropObject(1, b.key);
    expect([cache.hasBlocks(a), cache.hasBlocks(b)]).toEqual([true, false]);
    await cache.dropPrefix(1, 'data/7/');
    expect(cache.hasBlocks(a)).toBe(false);
    await fill(cache, a);
    const used = cache.stats().usedBytes;
    expect(await cache.clear()).toBe(used);
    expect(cache.stats().usedBytes).toBe(0);
    expect([await blockFiles(fixture.dir), slabFiles(fixture.dir)]).toEqual([[], []]);
    await fill(cache, a);
    expect(cache.hasBlocks(a)).toBe(true);
  });

  it('drops an object while it arrives: it is served, not kept', async () => {
    const cache = await fixture.cache();
    const object = fixture.object('k', MIB);
    fixture.store.holding = true;
    const reading = cache.read(object, 0, 10);
    await until(() => fixture.store.held === 1);
    cache.dropObject(1, 'k');
    fixture.store.release();
    expect(await reading).toHaveLength(10);
    await cache.close();
    expect(cache.hasBlocks(object)).toBe(false);
    const again = await fixture.cache();
    expect(again.rebuilt).toEqual({ blocks: 0, unknown: 0, dropped: 0, missing: 0 });
  });
});

describe('TTL', () => {
  it('expired blocks are demoted to NORMAL as time goes by', async () => {
    const cache = await fixture.cache();
    const expiresMs = fixture.clock.now() + 5000;
    const object = fixture.object('k', 3 * MIB, { expiresMs });
    await fill(cache, object);
    const queues = (): number[] => cache.stats().queues.map(({ blocks }) => blocks);
    expect(queues()).toEqual([0, 0, 0, 3]);
    await fixture.clock.advance(4000);
    expect(queues()).toEqual([0, 0, 0, 3]);
    await fixture.clock.advance(1500);
    expect(queues()).toEqual([0, 3, 0, 0]);
  });

  it('a read moves a block to the queue its table now wants', async () => {
    const cache = await fixture.cache();
    const object = fixture.object('k', 10);
    await fill(cache, object);
    await cache.read({ ...object, expiresMs: fixture.clock.now() + 9999 }, 0, 1);
    expect(cache.stats().queues.map(({ blocks }) => blocks)).toEqual([0, 0, 0, 1]);
  });
});
