/** Brings ranges of an object into a block cache for warm-ups, within the room, the rate and the memory they have. */
import type { BlockDisk, Kept } from './block_disk.ts';
import type { BufferPool } from './buffer_pool.ts';
import type { CacheObject } from './cache_object.ts';
import { type Downloads, blocksOf, rangeLength } from './downloads.ts';
import type { AdmitRule } from './queues.ts';
import type { RangeDownload } from './range_download.ts';
import { joinBlocks } from './reading.ts';

/** Attempts of one warm-up range against downloads of others that come to nothing. */
const WARM_PASSES = 3;

/** Bounds bytes per second of warm-up traffic. */
export interface RateLimiter {
  acquire(bytes: number, signal: AbortSignal): Promise<void>;
  /** Of what was acquired, these bytes need not be downloaded after all. */
  giveBack(bytes: number): void;
}

export interface WarmRangeOptions {
  readonly rule: AdmitRule;
  readonly buffers: BufferPool;
  readonly signal: AbortSignal;
  readonly limiter: RateLimiter | undefined;
  /** Called for each request sent to the store. */
  readonly onRequest: () => void;
}

/** Why some blocks of a warmed range are not in the cache; undefined: nothing was refused. */
export type WarmRangeResult = Exclude<Kept, { readonly kept: true }> | undefined;

export class RangeWarmer {
  readonly #disk: BlockDisk;
  readonly #downloads: Downloads;
  readonly #rangeBytes: () => number;

  constructor(disk: BlockDisk, downloads: Downloads, rangeBytes: () => number) {
    this.#disk = disk;
    this.#downloads = downloads;
    this.#rangeBytes = rangeBytes;
  }

  /** See `BlockCache.warmRange`. */
  async warm(
    object: CacheObject,
    first: number,
    count: number,
    options: WarmRangeOptions,
  ): Promise<WarmRangeResult> {
    // What others were bringing in may have failed or been refused: then it is fetched here.
    for (let pass = 1; pass <= WARM_PASSES; pass += 1) {
      const refused = await this.#pass(object, first, count, options);
      if (refused !== undefined) return refused;
      if (blocksOf(first, count).every((block) => this.#isCached(object, block))) return undefined;
    }
    return undefined;
  }

  #isCached(object: CacheObject, block: number): boolean {
    return this.#disk.slotOf(object, block) !== undefined;
  }

  async #pass(
    object: CacheObject,
    first: number,
    count: number,
    options: WarmRangeOptions,
  ): Promise<WarmRangeResult> {
    const foreign: Promise<unknown>[] = [];
    const missing: number[] = [];
    for (const block of blocksOf(first, count)) {
      if (this.#isCached(object, block)) continue;
      const download = this.#downloads.of(object, block);
      if (download === undefined) missing.push(block);
      else foreign.push(awaitWritten(download, options.signal));
    }
    let refused: WarmRangeResult;
    for (const range of joinBlocks(missing, this.#rangeBytes())) {
      refused ??= await this.#missing(object, range.first, range.count, options);
    }
    await Promise.all(foreign);
    return refused;
  }

  async #missing(
    object: CacheObject,
    first: number,
    count: number,
    options: WarmRangeOptions,
  ): Promise<WarmRangeResult> {
    options.signal.throwIfAborted();
    // Before anything is taken: who waits for the rate holds no room and no buffer, and a query
    // that wants these blocks meanwhile downloads them at its own pace.
    const bytes = rangeLength(object, first, count);
    await options.limiter?.acquire(bytes, options.signal);
    const slots: number[] = [];
    let refused: WarmRangeResult;
    // While others were waited for, a query may have asked for some of these blocks.
    for (let block = first; block < first + count && refused === undefined; block += 1) {
      if (this.#isCached(object, block) || this.#downloads.of(object, block) !== undefined) break;
      const slot = this.#disk.reserve(object, block, options.rule);
      if (typeof slot === 'number') slots.push(slot);
      else if (!slot.kept) refused = slot;
    }
    options.limiter?.giveBack(bytes - rangeLength(object, first, slots.length));
    if (slots.length === 0) return refused;
    const download = this.#downloads.start(object, first, slots.length, {
      ...options,
      slots,
      isQuery: false,
    });
    await download.take(() => undefined, options.signal);
    const kept = await abortable(download.written, options.signal);
    for (const outcome of kept) if (!outcome.kept) refused ??= outcome;
    return refused;
  }
}

/** Waits for somebody else's download; its failure is theirs, the caller looks at the result. */
async function awaitWritten(download: RangeDownload, signal: AbortSignal): Promise<void> {
  try {
    await download.take(() => undefined, signal);
  } catch {
    signal.throwIfAborted();
  }
  await abortable(download.written, signal);
}

/** Rejects with the signal's reason as soon as it aborts. */
async function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => {
    reject(signal.reason);
  };
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
