/** Whole blocks in slabs: slots are used again, given back, moved, and never mixed up. */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import {
  cpSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import type { BlockCache } from '../../../be-agent/cache/block_cache.ts';
import { blockPath, encodeTail, objectHash } from '../../../be-agent/cache/block_file.ts';
import { systemBlockIo } from '../../../be-agent/cache/block_files.ts';
import type { BlockIo } from '../../../be-agent/cache/block_files.ts';
import type { CacheObject } from '../../../be-agent/cache/cache_object.ts';
import { SlabSpace } from '../../../be-agent/cache/slab_space.ts';
import { SLABS, slabPath, slabRowsPath } from '../../../be-agent/cache/slabs.ts';
import { snapshotPath } from '../../../be-agent/cache/snapshot.ts';
import { CacheFixture, MIB, content, slabBytes, slabFiles, until } from './cache_fixture.ts';

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

async function check(cache: BlockCache, object: CacheObject): Promise<void> {
  const bytes = await cache.read(object, 0, object.size);
  expect(Buffer.compare(bytes, content(object.key, 0, object.size))).toBe(0);
}

/** The directory as a kill -9 would leave it now. */
function killed(name: string): string {
  const copy = join(fixture.root, name);
  cpSync(fixture.dir, copy, { recursive: true });
  return copy;
}

describe('slots', () => {
  it('of evicted blocks are used again, and neighbours are written at once', async () => {
    const writes: number[] = [];
    const io: BlockIo = {
      ...systemBlockIo,
      writev: async (fd, parts, position) => {
        writes.push(parts.reduce((sum, { length }) => sum + length, 0));
        return await systemBlockIo.writev(fd, parts, position);
      },
    };
    const cache = await fixture.cache({ capacityBytes: 8.2 * MIB, io });
    await fill(cache, fixture.object('a', 4 * MIB));
    expect(writes.filter((bytes) => bytes >= MIB)).toEqual([4 * MIB]);
    for (const key of ['b', 'c', 'd', 'e', 'f']) {
      await fill(cache, fixture.object(key, 4 * MIB));
      expect(await fixture.diskBytes()).toBeLessThanOrEqual(8.2 * MIB);
    }
    expect(slabBytes(fixture.dir)).toBe(8 * MIB);
    for (const key of ['e', 'f']) await check(cache, fixture.object(key, 4 * MIB));
    expect(fixture.store.gets).toHaveLength(6);
  });

  it('give way to small blocks, and small blocks to them', async () => {
    const cache = await fixture.cache({ capacityBytes: 6.2 * MIB, windowBytes: 0 });
    const objects = [1, 2, 3, 4, 5, 6].map((n) => fixture.object(`whole${n}`, MIB));
    for (const object of objects) await fill(cache, object);
    const small = Array.from({ length: 12 }, (_, n) => fixture.object(`small${n}`, 400_000));
    for (const object of small) {
      await fill(cache, object);
      expect(await fixture.diskBytes()).toBeLessThanOrEqual(6.2 * MIB);
    }
    expect(slabBytes(fixture.dir)).toBeLessThanOrEqual(2 * MIB);
    for (const object of objects) await fill(cache, object);
    expect(await fixture.diskBytes()).toBeLessThanOrEqual(6.2 * MIB);
    expect(slabBytes(fixture.dir)).toBe(6 * MIB);
    for (const object of objects) await check(cache, object);
  });

  it('a block that is being read keeps its slot until the reader is done', async () => {
    let holding = false;
    const held: (() => void)[] = [];
    const io: BlockIo = {
      ...systemBlockIo,
      read: async (fd, into, position) => {
        if (holding) {
          await new Promise<void>((go) => {
            held.push(go);
          });
        }
        return await systemBlockIo.read(fd, into, position);
      },
    };
    const cache = await fixture.cache({ capacityBytes: 2.2 * MIB, windowBytes: 0, io });
    const read = fixture.object('read', MIB);
    await fill(cache, read);
    holding = true;
    const reading = cache.read(read, 0, MIB);
    await until(() => held.length === 1);
    holding = false;
    cache.dropObject(1, 'read');
    await fill(cache, fixture.object('x', MIB));
    // Its room comes from the dropped block; that of the next one from the evicted `x`.
    await cache.read(fixture.object('y', MIB), 0, 1);
    await cache.read(fixture.object('z', MIB), 0, 1);
    held[0]?.();
    expect(Buffer.compare(await reading, content('read', 0, MIB))).toBe(0);
    expect(cache.stats().damagedBlocks).toBe(0);
    await until(() => ['y', 'z'].some((key) => cache.hasBlocks(fixture.object(key, MIB))));
    expect(await fixture.diskBytes()).toBeLessThanOrEqual(2.2 * MIB);
  });

  it('free ones at the end go when no blocks come in', async () => {
    const cache = await fixture.cache();
    for (const key of ['a', 'b', 'c']) await fill(cache, fixture.object(key, 3 * MIB));
    await cache.dropPrefix(1, '');
    // Their rows are erased in the background: how many rounds that takes is the disk's affair.
    while (slabFiles(fixture.dir).length > 0) await fixture.clock.advance(250);
    expect(slabBytes(fixture.dir)).toBe(0);
  });

  it('are as a naive model says', () => {
    const step = fc.oneof(
      fc.record({ do: fc.constant('take' as const), count: fc.integer({ min: 1, max: 9 }) }),
      fc.record({ do: fc.constant('extend' as const), count: fc.integer({ min: 1, max: 9 }) }),
      fc.record({ do: fc.constant('free' as const), count: fc.nat(200) }),
      fc.record({ do: fc.constant('move' as const), count: fc.nat(1) }),
      fc.record({ do: fc.constant('cut' as const), count: fc.nat(1) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const space = new SlabSpace();
        const live = new Set<number>();
        const add = (slot: number): void => {
          expect(live.has(slot)).toBe(false);
          live.add(slot);
          space.setLive(slot, slot);
        };
        for (const { do: action, count } of steps) {
          if (action === 'take') {
            const run = space.takeFree(count);
            expect(run === undefined).toBe(space.high === live.size);
            for (let n = 0; n < (run?.count ?? 0); n += 1) add((run?.first ?? 0) + n);
          } else if (action === 'extend') {
            const { first } = space.extend(count);
            for (let n = 0; n < count; n += 1) add(first + n);
          } else if (action === 'free') {
            const slot = [...live][count % Math.max(1, live.size)];
            if (slot === undefined) continue;
            live.delete(slot);
            space.retire(slot);
            space.release(slot);
          } else if (action === 'move') {
            const move = space.beginMove();
            if (move === undefined) continue;
            expect([move.owner, move.from]).toEqual([move.from, space.high - 1]);
            expect(space.idle).toBe(space.high - live.size);
            live.delete(move.from);
            add(move.to);
            space.retire(move.from);
            space.release(move.from);
          } else {
            space.cut(space.trailingFree());
            expect(space.high).toBe(Math.max(0, ...[...live].map((slot) => slot + 1)));
          }
          expect(space.free).toBe(space.high - live.size);
        }
      }),
    );
  });
});

describe('random lives', () => {
  it('serve the right bytes and stay within the capacity', async () => {
    const sizes = [MIB, MIB, 2 * MIB + 5, 3 * MIB, 200_000, 70_000, 5000];
    const capacities = [3.2, 5.2, 8.2].map((mib) => mib * MIB);
    const actions = fc.array(fc.tuple(fc.nat(19), fc.nat(11)), { maxLength: 25 });
    let life = 0;
    await fc.assert(
      fc.asyncProperty(actions, async (steps) => {
        life += 1;
        const dir = join(fixture.root, `life${life}`);
        let capacityBytes = capacities[1] ?? 0;
        // A write that was let in under an old, larger capacity may still end.
        let bound = capacityBytes;
        let cache = await fixture.cache({ dir, capacityBytes, windowBytes: 0 });
        for (const [n, action] of steps) {
          const object = fixture.object(`o${n}`, sizes[n % sizes.length] ?? 0);
          if (action === 0) {
            cache.dropObject(1, object.key);
          } else if (action === 1) {
            capacityBytes = capacities[n % 3] ?? 0;
            bound = Math.max(bound, capacityBytes);
            await cache.resetCapacity(capacityBytes);
          } else if (action === 2) {
            await cache.close();
            cache = await fixture.cache({ dir, capacityBytes, windowBytes: 0 });
          } else if (action === 3) {
            await cache.abandon();
            cache = await fixture.cache({ dir, capacityBytes, windowBytes: 0 });
          } else {
            await check(cache, object);
          }
          expect(await fixture.diskBytes(dir)).toBeLessThanOrEqual(bound);
        }
        expect(cache.stats().damagedBlocks).toBe(0);
        await cache.abandon();
        const again = await fixture.cache({ dir, capacityBytes, windowBytes: 0 });
        expect(await fixture.diskBytes(dir)).toBeLessThanOrEqual(capacityBytes);
        await again.close();
        rmSync(dir, { recursive: true, force: true });
      }),
      { numRuns: 25, seed: 7 },
    );
  }, 120_000);
});

describe('restart', () => {
  it('after a kill in the middle of a write over a used slot: neither block is there', async () => {
    let cutShort = false;
    const io: BlockIo = {
      ...systemBlockIo,
      writev: async (fd, parts, position) => {
        const [first = new Uint8Array(0)] = parts;
        if (!cutShort || first.length < MIB) return await systemBlockIo.writev(fd, parts, position);
        return await new Promise<number>((_, reject) => {
          void systemBlockIo.writev(fd, [first.subarray(0, 5000)], position).then(() => {
            killed('middle');
            reject(Object.assign(new Error('EIO'), { code: 'EIO' }));
          });
        });
      },
    };
    const cache = await fixture.cache({ capacityBytes: 1.2 * MIB, windowBytes: 0, io });
    const old = fixture.object('old', MIB);
    await fill(cache, old);
    await fixture.clock.advance(10_250);
    await until(() => statSync(snapshotPath(fixture.dir), { throwIfNoEntry: false }) !== undefined);
    cutShort = true;
    const young = fixture.object('young', MIB);
    await check(cache, young);
    await until(() => cache.stats().writeErrors > 0);
    const dir = join(fixture.root, 'middle');
    const again = await fixture.cache({ dir, capacityBytes: 1.2 * MIB, windowBytes: 0 });
    expect(again.rebuilt).toEqual({ blocks: 0, unknown: 0, dropped: 0, missing: 1 });
    for (const object of [old, young]) await check(again, object);
    expect(again.stats().damagedBlocks).toBe(0);
  });

  it('an evicted block does not come back, the one in its slot is found', async () => {
    const cache = await fixture.cache({ capacityBytes: 1.2 * MIB });
    const [old, young] = [fixture.object('old', MIB), fixture.object('young', MIB)];
    await fill(cache, old);
    await fixture.clock.advance(10_250);
    await until(() => statSync(snapshotPath(fixture.dir), { throwIfNoEntry: false }) !== undefined);
    await fill(cache, young);
    const again = await fixture.cache({ dir: killed('after'), capacityBytes: 1.2 * MIB });
    expect(again.rebuilt).toEqual({ blocks: 1, unknown: 1, dropped: 0, missing: 1 });
    expect([again.hasBlocks(old), again.hasBlocks(young)]).toEqual([false, true]);
    const gets = fixture.store.gets.length;
    await check(again, young);
    expect(fixture.store.gets).toHaveLength(gets);
  });

  it.each<readonly [string, (slab: string, rows: string) => void, object]>([
    ['a torn slab', (slab) => truncateSync(slab, MIB + 17), { blocks: 1, dropped: 2 }],
    ['no slab', (slab) => rmSync(slab), { blocks: 0, dropped: 3 }],
    ['no rows', (_, rows) => rmSync(rows), { blocks: 0, dropped: 0 }],
    ['torn rows', (_, rows) => truncateSync(rows, 1152 + 1100), { blocks: 1, dropped: 0 }],
    ['garbage instead of rows', (_, rows) => garbage(rows), { blocks: 0, dropped: 3 }],
    ['a flipped bit in a row', (_, rows) => flipBit(rows, 1152 - 30), { blocks: 2, dropped: 1 }],
    ['a slab that is too long', (slab) => truncateSync(slab, 9 * MIB), { blocks: 3, dropped: 0 }],
  ])('%s costs the blocks concerned', async (_, damage, rebuilt) => {
    const cache = await fixture.cache();
    const object = fixture.object('k', 3 * MIB);
    await fill(cache, object);
    await cache.close();
    const [slab = ''] = slabFiles(fixture.dir);
    damage(slab, `${slab}.rows`);
    for (let start = 0; start < 2; start += 1) {
      const again = await fixture.cache({ capacityBytes: 4.2 * MIB, windowBytes: 0 });
      if (start === 0) expect(again.rebuilt).toMatchObject(rebuilt);
      expect(await fixture.diskBytes()).toBeLessThanOrEqual(4.2 * MIB);
      await check(again, object);
      await until(() => again.hasBlocks(object));
      await check(again, object);
      expect(again.stats().damagedBlocks).toBe(0);
      await again.close();
    }
    expect((await fixture.cache()).rebuilt).toMatchObject({ blocks: 3, dropped: 0 });
  });

  it('directories where slabs should be: everything is read from the store', async () => {
    for (let slab = 0; slab < SLABS; slab += 1)
      mkdirSync(slabPath(fixture.dir, slab), { recursive: true });
    mkdirSync(slabRowsPath(fixture.dir, 0));
    const cache = await fixture.cache();
    const object = fixture.object('k', MIB);
    await check(cache, object);
    await until(() => cache.stats().writeErrors > 0);
    await check(cache, object);
    expect(cache.hasBlocks(object)).toBe(false);
  });

  it('reads whole blocks that older versions wrote into files of their own', async () => {
    const object = fixture.object('k', MIB);
    const path = blockPath(fixture.dir, objectHash(1, 'k'), 0);
    const data = content('k', 0, MIB);
    const identity = { ...object, block: 0, queue: 1, expirySec: 0 } as const;
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, Buffer.concat([data, encodeTail(identity, MIB, crc32(data))]));
    const cache = await fixture.cache({ capacityBytes: 1.2 * MIB });
    expect(cache.rebuilt).toEqual({ blocks: 1, unknown: 1, dropped: 0, missing: 0 });
    await check(cache, object);
    expect(fixture.store.gets).toHaveLength(0);
    await fill(cache, fixture.object('l', MIB));
    expect(statSync(path, { throwIfNoEntry: false })).toBeUndefined();
    expect(await fixture.diskBytes()).toBeLessThanOrEqual(1.2 * MIB);
  });
});

function garbage(path: string): void {
  writeFileSync(path, Buffer.alloc(readFileSync(path).length, 'garbage'));
}

function flipBit(path: string, place: number): void {
  const bytes = readFileSync(path);
  bytes.writeUInt8(bytes.readUInt8(place) ^ 4, place);
  writeFileSync(path, bytes);
}
