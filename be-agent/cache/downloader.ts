/**
 * Brings the objects of a warm-up batch into the block cache: what is missing, in long ranges, a
 * few at a time, in the order given (the hottest last, so that they stay newest in the LRU).
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { WARM_UP_FAILURES_MAX } from '../../base/agent_messages.ts';
import type { WarmUpFailure } from '../../base/agent_messages.ts';
import type { TabletId } from '../../base/ids.ts';
import { ObjectStoreError } from '../../base/ports.ts';
import type { Clock, ObjectStore, ObjectStoreErrorKind } from '../../base/ports.ts';
import type { BlockCache } from './block_cache.ts';
import type { BufferPool } from './buffer_pool.ts';
import { blockCount } from './cache_object.ts';
import type { CacheObject } from './cache_object.ts';
import type { AdmitRule } from './queues.ts';
import { DownloadSlots } from './download_slots.ts';
import { joinBlocks } from './reading.ts';
import type { RateLimiter } from './range_warmer.ts';

/** Transient failures are tried again this often, beside the retries inside the store. */
const ROUNDS_MAX = 4;
const BACK_OFF_MS = 250;
const BACK_OFF_MS_MAX = 5_000;
/** Objects looked at between two turns of the event loop. */
const STEP_ITEMS = 1024;

/** Kinds of failure that end without anybody changing the object; who waits may try again. */
const MAY_PASS: ReadonlySet<ObjectStoreErrorKind> = new Set([
  'BUCKET_MISSING',
  'ACCESS_DENIED',
  'THROTTLED',
  'UNAVAILABLE',
  'UNKNOWN_OUTCOME',
  'TRUNCATED',
  'DISK',
  'ABORTED',
]);

export interface WarmTablet {
  readonly tabletId: TabletId;
  readonly objects: readonly CacheObject[];
}

/** How far a batch is; the downloader updates it in place, the owner reads it at any time. */
export interface WarmUpProgress {
  totalBytes: number;
  /** Bytes of the batch that are in the cache. */
  doneBytes: number;
  /** Part of `doneBytes` that was there before. */
  cachedBytes: number;
  /** Tablets all of whose objects are in the cache. */
  doneTablets: number;
  failedTablets: number;
  /** Requests sent to object stores for this batch. */
  requests: number;
  /** The first `WARM_UP_FAILURES_MAX` by name. */
  readonly failures: WarmUpFailure[];
}

export function newWarmUpProgress(): WarmUpProgress {
  return {
    totalBytes: 0,
    doneBytes: 0,
    cachedBytes: 0,
    doneTablets: 0,
    failedTablets: 0,
    requests: 0,
    failures: [],
  };
}

/** What became of an object: it was there before, is there now, or was given up. */
export type Settled = 'cached' | 'downloaded' | 'failed';

export interface WarmUpOptions {
  /** Evict by the plain policy; without it unexpired TTL blocks are spared. */
  readonly force: boolean;
  readonly signal: AbortSignal;
  readonly progress: WarmUpProgress;
  /** Called after each range; must not throw. */
  readonly onProgress?: () => void;
  /** Called once for each object, at that moment; must not throw. */
  readonly onSettled?: (object: CacheObject, outcome: Settled) => void;
}

export interface WarmUpDownloaderDeps {
  readonly cache: BlockCache;
  readonly clock: Clock;
  /** Shared by all backends of a process; bounds their memory together. */
  readonly buffers: BufferPool;
  /** Downloads at once, of all batches together; asked again all the time. */
  readonly concurrency: () => number;
  /** Longest range in bytes; asked anew for every batch. */
  readonly rangeBytes: () => number;
  readonly limiter?: RateLimiter;
  /**
   * Blocks that queries read within so many seconds are not evicted without FORCE (see
   * `AdmitRule`); asked anew for every range. Default: none are spared.
   */
  readonly spareQueriedSeconds?: () => number;
}

export class WarmUpDownloader {
  readonly #deps: WarmUpDownloaderDeps;
  readonly #slots: DownloadSlots;

  constructor(deps: WarmUpDownloaderDeps) {
    this.#deps = deps;
    this.#slots = new DownloadSlots(deps.concurrency);
  }

  /**
   * Resolves when every object was tried and what is not in `failures` is wholly in the cache.
   * Rejects only with the signal's reason.
   */
  async run(tablets: readonly WarmTablet[], options: WarmUpOptions): Promise<void> {
    options.signal.throwIfAborted();
    await new Batch(this.#deps, this.#slots, tablets, options).run();
  }
}

interface Item {
  readonly object: CacheObject;
  readonly tablet: TabletItem;
  /** bytes known to be in the cache */
  cachedBytes: number;
  failed: boolean;
  settled: boolean;
}

interface TabletItem {
  readonly tabletId: TabletId;
  readonly items: Item[];
  done: boolean;
  failed: boolean;
}

/** Some neighbouring blocks of an object to be fetched. */
interface Work {
  readonly item: Item;
  readonly first: number;
  readonly count: number;
}

class Batch {
  readonly #deps: WarmUpDownloaderDeps;
  readonly #slots: DownloadSlots;
  readonly #options: WarmUpOptions;
  readonly #progress: WarmUpProgress;
  readonly #era: number;
  readonly #tablets: TabletItem[] = [];
  readonly #items: Item[] = [];
  /** Stores that refuse everything: what is left of them fails at once. */
  readonly #lostStores = new Map<ObjectStore, string>();
  /** Nothing was downloaded yet: what is there was there before. */
  #isFresh = true;

  constructor(
    deps: WarmUpDownloaderDeps,
    slots: DownloadSlots,
    tablets: readonly WarmTablet[],
    options: WarmUpOptions,
  ) {
    this.#deps = deps;
    this.#slots = slots;
    this.#options = options;
    this.#progress = options.progress;
    // A batch never evicts what it brought in itself, FORCE or not: it would run in circles.
    this.#era = deps.cache.beginBatch();
    for (const { tabletId, objects } of tablets) {
      const tablet: TabletItem = { tabletId, items: [], done: false, failed: false };
      for (const object of objects) {
        const item = { object, tablet, cachedBytes: 0, failed: false, settled: false };
        tablet.items.push(item);
        this.#items.push(item);
        this.#progress.totalBytes += object.size;
      }
      this.#tablets.push(tablet);
    }
  }

  async run(): Promise<void> {
    await this.#verify();
    for (const tablet of this.#tablets) this.#finish(tablet);
    this.#isFresh = false;
    this.#progress.cachedBytes = this.#progress.doneBytes;
    await this.#rounds(await this.#missing());
    await this.#verify();
    const lost = await this.#missing();
    if (lost.length > 0) {
      await this.#rounds(lost);
      await this.#verify();
      for (const { item } of await this.#missing()) {
        this.#fail(item, 'evicted during the warm-up', false);
      }
    }
    this.#options.onProgress?.();
  }

  /** Refreshes the order (the last stays newest) and looks what is really there. */
  async #verify(): Promise<void> {
    for (const [place, item] of this.#items.entries()) {
      if (place % STEP_ITEMS === STEP_ITEMS - 1) await this.#turn();
      this.#deps.cache.touch(item.object);
      this.#recount(item);
    }
  }

  async #missing(): Promise<Work[]> {
    const { cache, rangeBytes } = this.#deps;
    const work: Work[] = [];
    for (const [place, item] of this.#items.entries()) {
      if (place % STEP_ITEMS === STEP_ITEMS - 1) await this.#turn();
      if (item.failed || cache.hasBlocks(item.object)) continue;
      const blocks: number[] = [];
      for (let block = 0; block < blockCount(item.object.size); block += 1) {
        if (!cache.isCached(item.object, block)) blocks.push(block);
      }
      for (const range of joinBlocks(blocks, rangeBytes())) work.push({ item, ...range });
    }
    return work;
  }

  async #turn(): Promise<void> {
    await nextTurn();
    this.#options.signal.throwIfAborted();
  }

  /** Works through the ranges; those that failed for the moment come again after a pause. */
  async #rounds(work: readonly Work[]): Promise<void> {
    let left = work;
    for (let round = 1; left.length > 0; round += 1) {
      const again: Work[] = [];
      const queue = left.values();
      const workers = Math.min(this.#deps.concurrency(), left.length);
      const isLast = round === ROUNDS_MAX;
      const working = Array.from({ length: workers }, async () => {
        for (const one of queue) {
          if (await this.#fetch(one, isLast)) continue;
          again.push(one);
        }
      });
      await Promise.all(working);
      left = again;
      if (left.length === 0) return;
      const pause = Math.min(BACK_OFF_MS_MAX, BACK_OFF_MS * 2 ** (round - 1));
      await this.#deps.clock.sleep(pause, this.#options.signal);
    }
  }

  #rule(): AdmitRule {
    const { clock, spareQueriedSeconds } = this.#deps;
    if (this.#options.force || spareQueriedSeconds === undefined) {
      const spareTtl = !this.#options.force;
      return { keepFromEra: this.#era, spareTtl, spareQueriedSec: Infinity };
    }
    const since = Math.floor(clock.now() / 1000) - spareQueriedSeconds();
    // Marks are whole seconds, and 0 stands for "never".
    return { keepFromEra: this.#era, spareTtl: true, spareQueriedSec: Math.max(1, since + 1) };
  }

  /** False: try again later. */
  async #fetch(work: Work, isLast: boolean): Promise<boolean> {
    const { item, first, count } = work;
    const { signal, onProgress } = this.#options;
    signal.throwIfAborted();
    if (item.failed) return true;
    const lost = this.#lostStores.get(item.object.store);
    if (lost !== undefined) {
      this.#fail(item, lost, true);
      return true;
    }
    await this.#slots.acquire(signal);
    try {
      const { buffers, limiter, cache } = this.#deps;
      const refused = await cache.warmRange(item.object, first, count, {
        rule: this.#rule(),
        buffers,
        signal,
        limiter,
        onRequest: () => {
          this.#progress.requests += 1;
        },
      });
      this.#recount(item);
      if (refused !== undefined && refused.why !== 'DROPPED') {
        this.#fail(item, refused.text, refused.why === 'DISK');
      }
      // Somebody else's download failed, or was given up: then it is ours to fetch.
      const whole = refused !== undefined || this.#has(work);
      if (!whole && isLast) this.#fail(item, 'the download was given up by others', true);
      onProgress?.();
      return whole || isLast;
    } catch (error) {
      signal.throwIfAborted();
      return this.#failedFetch(item, error, isLast);
    } finally {
      this.#slots.release();
    }
  }

  #failedFetch(item: Item, error: unknown, isLast: boolean): boolean {
    const known = error instanceof ObjectStoreError ? error : undefined;
    if (known?.transient === true && !isLast) return false;
    const reason = error instanceof Error ? error.message : String(error);
    if (known?.kind === 'BUCKET_MISSING' || known?.kind === 'ACCESS_DENIED') {
      this.#lostStores.set(item.object.store, reason);
    }
    this.#fail(item, reason, known === undefined || MAY_PASS.has(known.kind));
    this.#options.onProgress?.();
    return true;
  }

  #has({ item, first, count }: Work): boolean {
    for (let block = first; block < first + count; block += 1) {
      if (!this.#deps.cache.isCached(item.object, block)) return false;
    }
    return true;
  }

  /** Brings the byte counts in line with what the cache has. */
  #recount(item: Item): void {
    const { object } = item;
    const cached = object.size - this.#deps.cache.missingBytes(object);
    this.#progress.doneBytes += cached - item.cachedBytes;
    item.cachedBytes = cached;
    if (cached === object.size) this.#settle(item, this.#isFresh ? 'cached' : 'downloaded');
    this.#finish(item.tablet);
  }

  #settle(item: Item, outcome: Settled): void {
    if (item.settled) return;
    item.settled = true;
    this.#options.onSettled?.(item.object, outcome);
  }

  #finish(tablet: TabletItem): void {
    const whole = tablet.items.every((item) => item.cachedBytes === item.object.size);
    const done = whole && !tablet.failed;
    if (done === tablet.done) return;
    tablet.done = done;
    this.#progress.doneTablets += done ? 1 : -1;
  }

  #fail(item: Item, reason: string, transient: boolean): void {
    if (item.failed) return;
    item.failed = true;
    this.#settle(item, 'failed');
    const { tablet, object } = item;
    if (!tablet.failed) {
      tablet.failed = true;
      this.#progress.failedTablets += 1;
      this.#finish(tablet);
    }
    const { failures } = this.#progress;
    if (failures.length >= WARM_UP_FAILURES_MAX) return;
    const { tabletId } = tablet;
    failures.push({ tabletId, item: object.key, reason, ...(transient ? { transient } : {}) });
  }
}
