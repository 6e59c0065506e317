/**
 * The n-th call to the disk fails, for n = 1, 2, ... until the run has no n-th (SQLite's way): what
 * is read is right all the same, and what the cache says it has is there.
 */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { rm } from 'node:fs/promises';
import { systemBlockIo } from '../../../be-agent/cache/block_files.ts';
import type { BlockIo } from '../../../be-agent/cache/block_files.ts';
import { newWarmUpProgress } from '../../../be-agent/cache/downloader.ts';
import { id } from '../../../base/ids.ts';
import type { TabletId } from '../../../base/ids.ts';
import { SILENT_LOG } from '../../../base/ports.ts';
import type { Log } from '../../../base/ports.ts';
import { CacheFixture, MIB, content, diskBytes, until } from './cache_fixture.ts';

let fixture: CacheFixture;

beforeEach(() => {
  fixture = new CacheFixture();
});

afterEach(async () => {
  await fixture.end();
});

/** Counts calls and fails some of them; a failing writev writes half of the first part first. */
class FaultyIo implements BlockIo {
  calls = 0;
  failures = 0;
  fails: (call: number, operation: keyof BlockIo) => boolean = () => false;
  code = 'EIO';

  async #call<T>(operation: keyof BlockIo, call: () => Promise<T>): Promise<T> {
    this.calls += 1;
    if (this.fails(this.calls, operation)) {
      this.failures += 1;
      throw Object.assign(new Error(`${this.code}: ${operation}`), { code: this.code });
    }
    return await call();
  }

  open: BlockIo['open'] = async (path, flags) =>
    await this.#call('open', async () => await systemBlockIo.open(path, flags));
  writev: BlockIo['writev'] = async (fd, parts, position) => {
    const half = parts[0]?.subarray(0, parts[0].length / 2) ?? new Uint8Array(0);
    this.calls += 1;
    if (!this.fails(this.calls, 'writev')) return await systemBlockIo.writev(fd, parts, position);
    this.failures += 1;
    await systemBlockIo.writev(fd, [half], position);
    throw Object.assign(new Error(this.code), { code: this.code });
  };
  read: BlockIo['read'] = async (fd, into, position) =>
    await this.#call('read', async () => await systemBlockIo.read(fd, into, position));
  /** Closes all the same, as the kernel does. */
  close: BlockIo['close'] = async (fd) => {
    await systemBlockIo.close(fd);
    await this.#call('close', async () => await Promise.resolve());
  };
  rename: BlockIo['rename'] = async (from, to) => {
    await this.#call('rename', async () => await systemBlockIo.rename(from, to));
  };
  unlink: BlockIo['unlink'] = async (path) => {
    await this.#call('unlink', async () => await systemBlockIo.unlink(path));
  };
  truncate: BlockIo['truncate'] = async (fd, bytes) => {
    await this.#call('truncate', async () => await systemBlockIo.truncate(fd, bytes));
  };
  mkdir: BlockIo['mkdir'] = async (path) => {
    await this.#call('mkdir', async () => await systemBlockIo.mkdir(path));
  };
  readdir: BlockIo['readdir'] = async (path) =>
    await this.#call('readdir', async () => await systemBlockIo.readdir(path));
  size: BlockIo['size'] = (path) => systemBlockIo.size(path);
}

/** Reads, evicts, warms and reads again in a small cache; checks bytes and the disk all along. */
async function life(io: FaultyIo, dir: string, { capacityBytes, sizes }: Life): Promise<void> {
  const cache = await fixture.cache({ io, dir, capacityBytes, windowBytes: 0 });
  const objects = sizes.map((size, n) => fixture.object(`o${n}`, size));
  for (const object of [...objects, ...objects.toReversed()]) {
    const bytes = await cache.read(object, 500, 90_000);
    expect(Buffer.compare(bytes, content(object.key, 500, 90_000))).toBe(0);
    await until(() => cache.isCached(object, 0) || io.failures > 0);
  }
  const progress = newWarmUpProgress();
  const { signal } = new AbortController();
  const warmed = objects.slice(0, 2);
  const tablets = warmed.map((object) => ({ tabletId: id<TabletId>(1), objects: [object] }));
  await fixture.downloader(cache).run(tablets, { force: true, signal, progress });
  for (const object of warmed) {
    const failed = progress.failures.some(({ item }) => item === object.key);
    expect(cache.hasBlocks(object) || failed).toBe(true);
  }
  expect(await diskBytes(dir)).toBeLessThanOrEqual(capacityBytes);
  await cache.close();
  const reopened = await fixture.cache({ dir, capacityBytes });
  for (const object of objects) {
    const bytes = await reopened.read(object, 0, object.size);
    expect(Buffer.compare(bytes, content(object.key, 0, object.size))).toBe(0);
  }
  await reopened.close();
}

interface Life {
  readonly capacityBytes: number;
  readonly sizes: readonly number[];
}

const LIVES: readonly (readonly [string, Life])[] = [
  ['blocks with files', { capacityBytes: 300_000, sizes: [100_001, 100_002, 100_003] }],
  // Room for two whole blocks: a small one takes the place of a slot, and the other way round.
  ['blocks in slabs', { capacityBytes: 2.4 * MIB, sizes: [MIB, MIB + 300_000, 600_000, MIB] }],
];

describe('disk faults', () => {
  it.each(LIVES)(
    '%s: no single failing call makes a read wrong or the cache too large',
    async (_, what) => {
      const whole = new FaultyIo();
      await life(whole, `${fixture.dir}/0`, what);
      expect(whole.calls).toBeGreaterThan(30);
      // Open itself may refuse a directory it cannot read; everything later degrades.
      const opening = new FaultyIo();
      const cache = await fixture.cache({ io: opening, dir: `${fixture.dir}/open` });
      const first = opening.calls + 1;
      await cache.close();
      let n = first;
      // A failure shortens a run, so the undisturbed one says how many calls there are; 10 more,
      // because their number depends on what overlaps.
      for (; n <= whole.calls + 10; n += 1) {
        const io = new FaultyIo();
        io.fails = (call) => call === n;
        await life(io, `${fixture.dir}/${n}`, what);
        await rm(`${fixture.dir}/${n}`, { recursive: true, force: true });
      }
    },
    120_000,
  );

  it.each([
    ['ENOSPC', 1000],
    ['EROFS', MIB],
    ['EIO', 1000],
    ['ENOSPC', MIB],
  ])(
    '%s for blocks of %i bytes: reads go to the store, then it tries again',
    async (code, size) => {
      const warnings: string[] = [];
      const log: Log = { ...SILENT_LOG, warn: (event) => warnings.push(event) };
      const io = new FaultyIo();
      io.code = code;
      const cache = await fixture.cache({ io, log });
      io.fails = (_, operation) => operation === 'writev' || operation === 'unlink';
      const objects = Array.from({ length: 5 }, (_, n) => fixture.object(`o${n}`, size));
      for (const object of objects) {
        const bytes = await cache.read(object, 0, 1000);
        expect(Buffer.compare(bytes, content(object.key, 0, 1000))).toBe(0);
        // The write, and the removal of what it may have left.
        await until(() => cache.stats().writeErrors >= 2);
      }
      const progress = newWarmUpProgress();
      const { signal } = new AbortController();
      const tablets = [{ tabletId: id<TabletId>(1), objects }];
      await fixture.downloader(cache).run(tablets, { force: false, signal, progress });
      expect(progress.failures).toHaveLength(5);
      expect(progress.failures[0]?.reason).toBe(`the cache disk cannot be written: ${code}`);
      const { writeErrors } = cache.stats();
      expect(writeErrors).toBeGreaterThanOrEqual(2);
      await cache.read(fixture.object('later', 1000), 0, 1000);
      // The disk is left alone for a while.
      expect(cache.stats().writeErrors).toBe(writeErrors);
      expect(warnings).toEqual(['the cache cannot write a block; reads go to the store']);
      io.fails = () => false;
      await fixture.clock.advance(11_000);
      const [object] = objects;
      if (object === undefined) return;
      await cache.read(object, 0, 1000);
      await until(() => cache.hasBlocks(object));
      expect(cache.stats().writeErrors).toBe(writeErrors);
    },
  );

  it('a failing read costs the block, not the query', async () => {
    const io = new FaultyIo();
    const cache = await fixture.cache({ io, windowBytes: 0 });
    const object = fixture.object('k', MIB);
    await cache.read(object, 0, 10);
    await until(() => cache.hasBlocks(object));
    io.fails = (_, operation) => operation === 'read';
    expect(await cache.read(object, 0, 10)).toHaveLength(10);
    expect([cache.stats().damagedBlocks, fixture.store.gets.length]).toEqual([1, 2]);
  });
});
