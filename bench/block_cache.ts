/** The block cache alone, on a real disk: reads of cached blocks, and the start with 100,000 blocks. */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { BlockCache } from '../be-agent/cache/block_cache.ts';
import { SharedBufferPool } from '../be-agent/cache/buffer_pool.ts';
import type { CacheObject } from '../be-agent/cache/cache_object.ts';
import { WarmUpDownloader, newWarmUpProgress } from '../be-agent/cache/downloader.ts';
import { parseShares } from '../be-agent/cache/queues.ts';
import { Config } from '../base/config.ts';
import { id } from '../base/ids.ts';
import type { PartitionId, TabletId, VaultId } from '../base/ids.ts';
import { type GetOptions, type ObjectStore, SILENT_LOG } from '../base/ports.ts';
import { systemClock } from '../base/system_ports.ts';
import type { Bench, Figure } from './bench.ts';
import { median } from './statistics.ts';

const MIB = 2 ** 20;
const CAPACITY_BYTES = 4 * 2 ** 30;
const BLOCKS = 100_000;
const BLOCKS_QUICK = 10_000;
/** Bytes of an object of the start's cache: one small block each, the most files per byte. */
const SMALL_BYTES = 200;
const HOT_OBJECTS = 32;
const HOT_OBJECT_BYTES = 8 * MIB;
const READERS = 8;
const READ_MS = 2000;
const READ_MS_QUICK = 500;
const OPENS = 3;

export const BLOCK_CACHE: Bench = {
  name: 'block-cache',
  about: 'reads of cached blocks, start with 100,000 blocks',
  run: async (context) => {
    const { quick } = context;
    const readMs = quick ? READ_MS_QUICK : READ_MS;
    const hot = await open(await context.directory());
    const objects = Array.from({ length: HOT_OBJECTS }, (_, n) => object(n, HOT_OBJECT_BYTES));
    await warm(hot, objects);
    const whole = await readRate(hot, objects, MIB, readMs);
    const small = await readRate(hot, objects, 64 * 1024, readMs);
    await hot.close();
    return [
      { name: 'hits of 1 MiB', value: whole, unit: 'MiB/s', note: `${READERS} readers` },
      { name: 'hits of 64 KiB', value: small * 16, unit: '1/s', note: 'any block, any place' },
      ...(await startFigures(await context.directory(), quick ? BLOCKS_QUICK : BLOCKS)),
    ];
  },
};

async function startFigures(dir: string, blocks: number): Promise<readonly Figure[]> {
  let cache = await open(dir);
  const objects = Array.from({ length: blocks }, (_, n) => object(n, SMALL_BYTES));
  const startMs = performance.now();
  await warm(cache, objects);
  const fillSeconds = (performance.now() - startMs) / 1000;
  const seconds: number[] = [];
  const cpu: number[] = [];
  for (let i = 0; i < OPENS; i += 1) {
    await cache.close();
    const cpuBefore = process.cpuUsage();
    const openMs = performance.now();
    cache = await open(dir);
    seconds.push((performance.now() - openMs) / 1000);
    const { user, system } = process.cpuUsage(cpuBefore);
    cpu.push((user + system) / 1e6);
    const found = cache.stats().queues.reduce((sum, queue) => sum + queue.blocks, 0);
    if (found !== blocks) throw new Error(`${found} of ${blocks} blocks were found again`);
  }
  await cache.close();
  const note = `${blocks} blocks, median of ${OPENS}`;
  return [
    { name: 'start', value: median(seconds), unit: 's', note },
    { name: 'start: CPU', value: median(cpu), unit: 's' },
    { name: 'small blocks cached', value: blocks / fillSeconds, unit: '1/s' },
  ];
}

async function open(dir: string): Promise<BlockCache> {
  const config = new Config();
  return await BlockCache.open({
    dir,
    capacityBytes: CAPACITY_BYTES,
    shares: parseShares(config.get('file_cache_shares')),
    clock: systemClock,
    log: SILENT_LOG,
    rangeBytes: () => config.get('file_cache_download_range_bytes'),
  });
}

/** All objects have the same bytes: what they say does not matter here. */
const CONTENT = randomBytes(HOT_OBJECT_BYTES);
const STORE: Pick<ObjectStore, 'get'> = {
  get: async (_key: string, { offset = 0, length = 0, into }: GetOptions = {}) => {
    const bytes = CONTENT.subarray(offset, offset + length);
    if (into === undefined) return await Promise.resolve(bytes);
    into.set(bytes);
    return await Promise.resolve(into.subarray(0, length));
  },
};

function object(n: number, size: number): CacheObject {
  return {
    // The cache asks a store for ranges and for nothing else.
    store: STORE as ObjectStore,
    vaultId: id<VaultId>(1),
    key: `data/${n}/${n}_0.dat`,
    size,
    indexOffset: size,
    tabletId: id<TabletId>(n + 1),
    partitionId: id<PartitionId>(1),
    expiresMs: 0,
  };
}

async function warm(cache: BlockCache, objects: readonly CacheObject[]): Promise<void> {
  const downloader = new WarmUpDownloader({
    cache,
    clock: systemClock,
    buffers: new SharedBufferPool(8 * MIB, 64 * MIB),
    concurrency: () => READERS,
    rangeBytes: () => 8 * MIB,
  });
  const progress = newWarmUpProgress();
  const tablets = objects.map((one) => ({ tabletId: one.tabletId, objects: [one] }));
  await downloader.run(tablets, { force: false, signal: new AbortController().signal, progress });
  if (progress.doneTablets !== objects.length) throw new Error('not everything is in the cache');
}

/** MiB per second of reads of `length` bytes at places all over the objects. */
async function readRate(
  cache: BlockCache,
  objects: readonly CacheObject[],
  length: number,
  ms: number,
): Promise<number> {
  const places = HOT_OBJECT_BYTES / length;
  const endMs = performance.now() + ms;
  let next = 0;
  let bytes = 0;
  const readers = Array.from({ length: READERS }, async () => {
    while (performance.now() < endMs) {
      // A step that is prime to the number of places: neighbours are read long after each other.
      next += 7919;
      const one = objects[next % objects.length];
      if (one === undefined) throw new Error('no object');
      await cache.read(one, (Math.floor(next / objects.length) % places) * length, length);
      bytes += length;
      if (next % 64 === 0) await sleep(0);
    }
  });
  await Promise.all(readers);
  return bytes / MIB / (ms / 1000);
}
