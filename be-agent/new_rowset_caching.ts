/**
 * Rowsets that loads of the backend's own group just wrote, brought into its cache (as Doris's
 * loads fill the file cache), and what compactions anywhere made of rowsets that it has cached. Best effort, a few downloads at a time, and no warm-up: what comes
 * while too much is waiting is left to the first query that wants it.
 */
import type { NewlyWritten, WarmUpTablet } from '../base/agent_messages.ts';
import type { Log } from '../base/ports.ts';
import { BLOCK_BYTES } from '../base/schema.ts';
import type { BlockCache } from './cache/block_cache.ts';
import { blockCount, type CacheObject } from './cache/cache_object.ts';
import { joinBlocks } from './cache/reading.ts';

/** Tablets that wait; more are not taken. */
const WAITING_MAX = 2000;
/** Share of the replaced blocks that must be cached for the new ones to be. */
const FOLLOW_SHARE_MIN = 0.5;
/** Objects downloaded at once. */
const DOWNLOADS_MAX = 2;

export interface NewRowsetCachingDeps {
  readonly cache: BlockCache;
  readonly log: Log;
  /** Longest range in bytes. */
  readonly rangeBytes: () => number;
  readonly open: (tablet: WarmUpTablet) => Promise<readonly CacheObject[]>;
}

export class NewRowsetCaching {
  readonly #deps: NewRowsetCachingDeps;
  readonly #waiting: NewlyWritten[] = [];
  readonly #stop = new AbortController();
  #running = 0;
  /** Tablets refused because too many were waiting. */
  refused = 0;

  constructor(deps: NewRowsetCachingDeps) {
    this.#deps = deps;
  }

  add(tablets: readonly NewlyWritten[]): void {
    const room = Math.max(0, WAITING_MAX - this.#waiting.length);
    this.#waiting.push(...tablets.slice(0, room));
    this.refused += Math.max(0, tablets.length - room);
    while (this.#running < Math.min(DOWNLOADS_MAX, this.#waiting.length)) void this.#work();
  }

  close(): void {
    this.#waiting.length = 0;
    this.#stop.abort();
  }

  async #work(): Promise<void> {
    this.#running += 1;
    for (;;) {
      const tablet = this.#waiting.shift();
      if (tablet === undefined || this.#stop.signal.aborted) break;
      try {
        if (!(await this.#isWanted(tablet))) continue;
        for (const object of await this.#deps.open(tablet)) await this.#bring(object);
      } catch (error) {
        if (this.#stop.signal.aborted) break;
        const { tabletId } = tablet;
        this.#deps.log.debug('new rowsets not cached', { tabletId, error: String(error) });
      }
    }
    this.#running -= 1;
  }

  /** What replaces something is wanted where that was. */
  async #isWanted({ replaces, ...tablet }: NewlyWritten): Promise<boolean> {
    if (replaces === undefined) return true;
    let blocks = 0;
    let cached = 0;
    for (const object of await this.#deps.open({ ...tablet, rowsets: replaces })) {
      const count = blockCount(object.size);
      blocks += count;
      for (let block = 0; block < count; block += 1) {
        if (this.#deps.cache.isCached(object, block)) cached += 1;
      }
    }
    return cached > blocks * FOLLOW_SHARE_MIN;
  }

  async #bring(object: CacheObject): Promise<void> {
    const { cache, rangeBytes } = this.#deps;
    const missing: number[] = [];
    for (let block = 0; block < blockCount(object.size); block += 1) {
      if (!cache.isCached(object, block)) missing.push(block);
    }
    for (const { first, count } of joinBlocks(missing, rangeBytes())) {
      const offset = first * BLOCK_BYTES;
      const length = Math.min(count * BLOCK_BYTES, object.size - offset);
      await cache.read(object, offset, length, { purpose: 'other', signal: this.#stop.signal });
    }
  }
}
