/** A cache on a real temporary directory over a store that counts, waits and fails on demand. */
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { BlockCache } from '../../../be-agent/cache/block_cache.ts';
import type { BlockCacheOptions } from '../../../be-agent/cache/block_cache.ts';
import type { CacheObject } from '../../../be-agent/cache/cache_object.ts';
import { SharedBufferPool } from '../../../be-agent/cache/buffer_pool.ts';
import { SLABS, slabPath } from '../../../be-agent/cache/slabs.ts';
import { WarmUpDownloader } from '../../../be-agent/cache/downloader.ts';
import type { WarmUpDownloaderDeps } from '../../../be-agent/cache/downloader.ts';
import { id } from '../../../base/ids.ts';
import type { PartitionId, TabletId, VaultId } from '../../../base/ids.ts';
import { ObjectStoreError, SILENT_LOG } from '../../../base/ports.ts';
import type { Clock, GetOptions, ObjectMeta, ObjectStore } from '../../../base/ports.ts';

export const MIB = 2 ** 20;

/** Time stands still until a test moves it. */
export class ManualClock implements Clock {
  #ms = 1_000_000_000_000;
  readonly #timers = new Set<{ readonly at: number; readonly fn: () => void }>();

  now(): number {
    return this.#ms;
  }

  monotonic(): number {
    return this.#ms;
  }

  get waiting(): number {
    return this.#timers.size;
  }

  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const cancel = this.after(ms, resolve);
    signal?.addEventListener('abort', () => {
      cancel();
      reject(signal.reason as Error);
    });
    await promise;
  }

  after(ms: number, fn: () => void): () => void {
    const timer = { at: this.#ms + ms, fn };
    this.#timers.add(timer);
    return () => {
      this.#timers.delete(timer);
    };
  }

  /** Fires what is due, in order. */
  async advance(ms: number): Promise<void> {
    const end = this.#ms + ms;
    for (;;) {
      const [next] = [...this.#timers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at);
      if (next === undefined) break;
      this.#timers.delete(next);
      this.#ms = next.at;
      next.fn();
      await nextTurn();
    }
    this.#ms = end;
  }
}

interface Get {
  readonly key: string;
  readonly offset: number;
  readonly length: number;
}

/** Content is a function of key and offset, so that any byte can be checked. */
export class ScriptedStore implements ObjectStore {
  readonly url = 'scripted';
  readonly sizes = new Map<string, number>();
  readonly gets: Get[] = [];
  readonly #held: (() => void)[] = [];
  holding = false;
  /** Asked before each get: an error to fail with. */
  fail: (get: Get) => Error | undefined = () => undefined;

  async get(key: string, options: GetOptions = {}): Promise<Uint8Array> {
    const size = this.sizes.get(key);
    const { offset = 0, into, signal } = options;
    const get = { key, offset, length: options.length ?? (size ?? 0) - offset };
    this.gets.push(get);
    if (this.holding) await this.#hold(signal);
    signal?.throwIfAborted();
    const failure = this.fail(get);
    if (failure !== undefined) throw failure;
    if (size === undefined) throw new ObjectStoreError('NOT_FOUND', key, `no object ${key}`);
    const target = into?.subarray(0, get.length) ?? new Uint8Array(get.length);
    target.set(content(key, offset, get.length));
    return target;
  }

  async #hold(signal: AbortSignal | undefined): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#held.push(resolve);
    signal?.addEventListener('abort', () => {
      reject(signal.reason as Error);
    });
    await promise;
  }

  get held(): number {
    return this.#held.length;
  }

  release(): void {
    this.holding = false;
    for (const go of this.#held.splice(0)) go();
  }

  async head(): Promise<ObjectMeta | undefined> {
    return await Promise.resolve(undefined);
  }

  async put(): Promise<{ readonly etag: string }> {
    return await Promise.reject(new Error('not in this test'));
  }

  async upload(): Promise<{ readonly etag: string }> {
    return await Promise.reject(new Error('not in this test'));
  }

  async *list(): AsyncGenerator<readonly ObjectMeta[]> {
    // Nothing to list.
  }

  async delete(): Promise<void> {
    await Promise.resolve();
  }

  async close(): Promise<void> {
    await Promise.resolve();
  }
}

/** Starts of objects, made once: the small ones are read again and again. */
const starts = new Map<string, Buffer>();
const STARTS_MAX = 50;
const START_BYTES_MAX = 2 ** 22 - 1;

/** What the scripted store has at `offset` of `key`. */
export function content(key: string, offset: number, length: number): Uint8Array {
  const end = offset + length;
  if (end > START_BYTES_MAX) return makeContent(key, offset, length);
  let start = starts.get(key);
  if (start === undefined || start.length < end) {
    start = makeContent(key, 0, 2 ** Math.ceil(Math.log2(end + 1)));
    if (starts.size >= STARTS_MAX) starts.clear();
    starts.set(key, start);
  }
  return Buffer.from(start.subarray(offset, end));
}

function makeContent(key: string, offset: number, length: number): Buffer {
  let seed = 7;
  for (const character of key) seed = (seed * 31 + character.charCodeAt(0)) % 65_521;
  const words = new Uint32Array(Math.ceil((length + 8) / 4));
  const first = Math.floor(offset / 4);
  for (let place = 0; place < words.length; place += 1) {
    words[place] = Math.imul(first + place + 1, 2_654_435_761) ^ seed;
  }
  return Buffer.from(words.buffer, offset - first * 4, length);
}

export class CacheFixture {
  readonly root = mkdtempSync(join(tmpdir(), 'thermocline-cache-'));
  readonly dir = join(this.root, 'file_cache');
  readonly clock = new ManualClock();
  readonly store = new ScriptedStore();
  readonly #open: BlockCache[] = [];

  async cache(options: Partial<BlockCacheOptions> = {}): Promise<BlockCache> {
    const cache = await BlockCache.open({
      dir: this.dir,
      capacityBytes: 64 * MIB,
      shares: [5, 40, 5, 50],
      clock: this.clock,
      log: SILENT_LOG,
      rangeBytes: () => 8 * MIB,
      ...options,
    });
    this.#open.push(cache);
    return cache;
  }

  downloader(
    cache: BlockCache,
    concurrency = 4,
    more: Partial<WarmUpDownloaderDeps> = {},
  ): WarmUpDownloader {
    return new WarmUpDownloader({
      ...more,
      cache,
      clock: this.clock,
      buffers: new SharedBufferPool(8 * MIB, concurrency * 8 * MIB),
      concurrency: () => concurrency,
      rangeBytes: () => 8 * MIB,
    });
  }

  object(key: string, size: number, more: Partial<CacheObject> = {}): CacheObject {
    this.store.sizes.set(key, size);
    return {
      store: this.store,
      vaultId: id<VaultId>(1),
      key,
      size,
      indexOffset: size,
      tabletId: id<TabletId>(10),
      partitionId: id<PartitionId>(20),
      expiresMs: 0,
      ...more,
    };
  }

  /** Bytes on the disk by a walk: what `du` would say, the larger of both its ways. */
  async diskBytes(dir = this.dir): Promise<number> {
    return await diskBytes(dir);
  }

  async end(): Promise<void> {
    this.store.release();
    for (const cache of this.#open) await cache.close();
    rmSync(this.root, { recursive: true, force: true });
  }
}

/** Files may vanish during the walk. */
export async function diskBytes(path: string): Promise<number> {
  try {
    const own = await stat(path);
    let bytes = Math.max(own.size, own.blocks * 512);
    if (own.isDirectory()) {
      for (const name of await readdir(path)) bytes += await diskBytes(join(path, name));
    }
    return bytes;
  } catch {
    return 0;
  }
}

/** Slabs that have something in them. */
export function slabFiles(dir: string): string[] {
  const paths = Array.from({ length: SLABS }, (_, slab) => slabPath(dir, slab));
  return paths.filter((path) => (statSync(path, { throwIfNoEntry: false })?.size ?? 0) > 0);
}

/** Bytes of all slabs, without their rows. */
export function slabBytes(dir: string): number {
  return slabFiles(dir).reduce((sum, path) => sum + statSync(path).size, 0);
}

/** Files of the blocks that have one of their own. */
export async function blockFiles(dir: string): Promise<string[]> {
  const names = await readdir(dir, { recursive: true });
  return names.filter((name) => /^[0-9a-f]\/[0-9a-f]{32}_\d+$/.test(name)).sort();
}

/** Polls, in turns of the event loop; fails by Jest's timeout. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await nextTurn();
}
