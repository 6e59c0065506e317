/** Clock and Random for store tests. */
import type { Clock, Random } from '../../../base/ports.ts';

/** Sleeps end at once and are remembered; timers fire when `advance` passes them. */
export class StepClock implements Clock {
  readonly sleeps: number[] = [];
  readonly #timers = new Set<{ at: number; fn: () => void }>();
  #offset = 0;

  now(): number {
    return Date.now() + this.#offset;
  }
  monotonic(): number {
    return performance.now() + this.#offset;
  }
  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    this.sleeps.push(ms);
    this.#offset += ms;
    await Promise.resolve();
  }
  after(ms: number, fn: () => void): () => void {
    const timer = { at: this.monotonic() + ms, fn };
    this.#timers.add(timer);
    return () => {
      this.#timers.delete(timer);
    };
  }
  /** Timers set and neither fired nor taken back. */
  get pendingTimers(): number {
    return this.#timers.size;
  }
  advance(ms: number): void {
    this.#offset += ms;
    for (const timer of this.#timers) {
      if (timer.at <= this.monotonic()) {
        this.#timers.delete(timer);
        timer.fn();
      }
    }
  }
}

/** xorshift32: the same numbers for the same seed (1..2^32-1). */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state;
  };
  return {
    bytes: (count) => Uint8Array.from({ length: count }, () => next() & 0xff),
    int: (below) => next() % below,
  };
}
