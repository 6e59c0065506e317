/**
 * One request for neighbouring blocks and everybody who waits for it. It belongs to nobody: it
 * goes on as long as one waits, and ends when the last one has gone.
 */
import type { CacheObject } from './cache_object.ts';
import type { Kept } from './block_disk.ts';
import { BLOCK_BYTES } from '../../base/schema.ts';

interface Waiter {
  readonly consume: (range: Uint8Array) => void;
  readonly resolve: () => void;
  readonly reject: (reason: unknown) => void;
}

export class RangeDownload {
  readonly object: CacheObject;
  readonly first: number;
  readonly count: number;
  /** bytes of the range */
  readonly length: number;
  /** Set when the object was dropped meanwhile: the blocks are handed out, but not kept. */
  discarded = false;
  /** What became of each block on disk; never rejects. Empty when the download failed. */
  readonly written: Promise<readonly Kept[]>;
  readonly #controller = new AbortController();
  readonly #waiters = new Set<Waiter>();
  readonly #onAbandoned: () => void;
  readonly #settle: (kept: readonly Kept[]) => void;
  #data: Uint8Array | undefined;

  constructor(object: CacheObject, first: number, count: number, onAbandoned: () => void) {
    this.object = object;
    this.first = first;
    this.count = count;
    this.length = Math.min(count * BLOCK_BYTES, object.size - first * BLOCK_BYTES);
    this.#onAbandoned = onAbandoned;
    const { promise, resolve } = Promise.withResolvers<readonly Kept[]>();
    this.written = promise;
    this.#settle = resolve;
  }

  /** Offset of the range in the object. */
  get offset(): number {
    return this.first * BLOCK_BYTES;
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Bytes of one block within the range. */
  blockOf(range: Uint8Array, block: number): Uint8Array {
    const start = (block - this.first) * BLOCK_BYTES;
    return range.subarray(start, start + BLOCK_BYTES);
  }

  /**
   * Waits for the bytes. `consume` is called as soon as they are there and must copy what it
   * wants: the buffer is used again. Rejects with the download's error, or the signal's reason.
   */
  async take(consume: (range: Uint8Array) => void, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    if (this.#data !== undefined) {
      consume(this.#data);
      return;
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiter: Waiter = { consume, resolve, reject };
    this.#waiters.add(waiter);
    const leave = (): void => {
      this.#waiters.delete(waiter);
      reject(signal?.reason);
      if (this.#waiters.size === 0 && this.#data === undefined) this.abort();
    };
    signal?.addEventListener('abort', leave, { once: true });
    try {
      await promise;
    } finally {
      signal?.removeEventListener('abort', leave);
    }
  }

  abort(): void {
    this.#onAbandoned();
    this.#controller.abort();
  }

  arrived(range: Uint8Array): void {
    this.#data = range;
    for (const waiter of this.#waiters) {
      waiter.consume(range);
      waiter.resolve();
    }
    this.#waiters.clear();
  }

  failed(error: unknown): void {
    for (const waiter of this.#waiters) waiter.reject(error);
    this.#waiters.clear();
  }

  /** The buffer is given back now. */
  ended(kept: readonly Kept[]): void {
    this.#data = undefined;
    this.#settle(kept);
  }
}
