import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { truncateSync, writeFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CacheFixture, MIB, blockFiles, content, slabFiles, until } from './cache_fixture.ts';

let fixture: CacheFixture;

beforeEach(() => {
  fixture = new CacheFixture();
});

afterEach(async () => {
  await fixture.end();
});

describe('reading', () => {
  it('serves the second read without the store', async () => {
    const cache = await fixture.cache();
    const object = fixture.object('data/1/a_0.dat', 3 * MIB + 100);
    const all = await cache.read(object, 0, object.size);
    expect(Buffer.compare(all, content(object.key, 0, object.size))).toBe(0);
    expect(fixture.store.gets).toEqual([{ key: object.key, offset: 0, length: object.size }]);
    await until(() => cache.hasBlocks(object));
    const part = await cache.read(object, MIB - 5, 10);
    expect(Buffer.compare(part, content(object.key, MIB - 5, 10))).toBe(0);
    expect(fixture.store.gets).toHaveLength(1);
    const { hits, hitBytes, misses, missBytes, remoteRequests, remoteBytes } = cache.stats();
    expect({ hits, hitBytes, misses, missBytes, remoteRequests, remoteBytes }).toEqual({
      hits: 2,
      hitBytes: 10,
      misses: 4,
      missBytes: object.size,
      remoteRequests: 1,
      remoteBytes: object.size,
    });
  });

  it('downloads only blocks it needs, and joins missing neighbours up to the range', async () => {
    const cache = await fixture.cache({ rangeBytes: () => 2 * MIB });
    const object = fixture.object('k', 8 * MIB);
    await cache.read(object, 3 * MIB + 1, 10);
    await until(() => cache.isCached(object, 3));
    fixture.store.gets.length = 0;
    await cache.read(object, MIB / 2, 6 * MIB);
    expect(fixture.store.gets.map(({ offset, length }) => [offset / MIB, length / MIB])).toEqual([
      [0, 2],
      [2, 1],
      [4, 2],
      [6, 1],
    ]);
  });

  it('refuses ranges outside the object', async () => {
    const cache = await fixture.cache();
    const object = fixture.object('k', 10);
    await expect(cache.read(object, 5, 6)).rejects.toThrow('bytes 5..11 are not in k of 10 bytes');
    await expect(cache.read(object, -1, 2)).rejects.toThrow('are not in k');
    expect(await cache.read(object, 10, 0)).toHaveLength(0);
  });

  it('lets concurrent readers of a block cause one download, and outlive one that leaves', async () => {
    const cache = await fixture.cache();
    const object = fixture.object('k', MIB);
    fixture.store.holding = true;
    const leaving = new AbortController();
    const first = cache.read(object, 0, 10, { signal: leaving.signal });
    const others = Array.from({ length: 20 }, async (_, n) => await cache.read(object, n, 10));
    await until(() => fixture.store.held === 1);
    leaving.abort(new Error('left'));
    await expect(first).rejects.toThrow('left');
    fixture.store.release();
    for (const [n, bytes] of (await Promise.all(others)).entries()) {
      expect(Buffer.compare(bytes, content('k', n, 10))).toBe(0);
    }
    expect(fixture.store.gets).toHaveLength(1);
  });

  it('ends the download when the last reader has left, and the next one starts anew', async () => {
    const cache = await fixture.cache();
    const object = fixture.object('k', MIB);
    fixture.store.holding = true;
    const leaving = new AbortController();
    const first = cache.read(object, 0, 10, { signal: leaving.signal });
    await until(() => fixture.store.held === 1);
    leaving.abort(new Error('left'));
    await expect(first).rejects.toThrow('left');
    fixture.store.release();
    expect(await cache.read(object, 0, 10)).toHaveLength(10);
    expect(fixture.store.gets).toHaveLength(2);
  });

  it('hands a download error to all who wait, and tries again for the next', async () => {
    const cache = await fixture.cache();
    const object = fixture.object('k', MIB);
    let failing = true;
    fixture.store.fail = () => (failing ? new Error('store broke') : undefined);
    const reads = [cache.read(object, 0, 10), cache.read(object, 5, 10)];
    for (const read of await Promise.allSettled(reads)) expect(read.status).toBe('rejected');
    expect(fixture.store.gets).toHaveLength(1);
    failing = false;
    expect(await cache.read(object, 0, 10)).toHaveLength(10);
  });
});

describe('damage', () => {
  it.each([
    ['a torn file', (path: string) => truncateSync(path, 1000)],
    ['an empty file', (path: string) => truncateSync(path, 0)],
    ['a flipped bit', flipBit],
  ])('%s is dropped, counted and fetched again', async (_, damage) => {
    const cache = await fixture.cache({ windowBytes: 0 });
    // The first block is in a slab, the second has a file of its own.
    const object = fixture.object('k', MIB + 50_000);
    await cache.read(object, 0, object.size);
    await until(() => cache.hasBlocks(object));
    const own = (await blockFiles(fixture.dir)).map((file) => join(fixture.dir, file));
    const files = [...slabFiles(fixture.dir), ...own];
    expect(files).toHaveLength(2);
    for (const [place, file] of files.entries()) {
      damage(file);
      const again = await cache.read(object, 0, object.size);
      expect(Buffer.compare(again, content('k', 0, object.size))).toBe(0);
      expect(cache.stats().damagedBlocks).toBe(place + 1);
      expect(fixture.store.gets).toHaveLength(place + 2);
      await until(() => cache.hasBlocks(object));
      await cache.read(object, 0, object.size);
      expect(fixture.store.gets).toHaveLength(place + 2);
    }
  });
});

function flipBit(path: string): void {
  const bytes = readFileSync(path);
  bytes.writeUInt8(bytes.readUInt8(12_345) ^ 4, 12_345);
  writeFileSync(path, bytes);
}
