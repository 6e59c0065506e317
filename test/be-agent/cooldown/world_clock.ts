/** Virtual time for several engines: runs what is due in order and lets all work in between end. */
import { setImmediate } from 'node:timers/promises';
import type { Clock } from '../../../base/ports.ts';

interface Timer {
  readonly at: number;
  readonly fn: () => void;
}

export class WorldClock implements Clock {
  #nowMs: number;
  readonly #timers = new Set<Timer>();

  constructor(startMs = 1_700_000_000_000) {
    this.#nowMs = startMs;
  }

  now(): number {
    return this.#nowMs;
  }

  monotonic(): number {
    return this.#nowMs;
  }

  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    await new Promise<void>((resolve, reject) => {
      const cancel = this.after(ms, resolve);
      signal?.addEventListener('abort', () => {
        cancel();
        reject(signal.reason as Error);
      });
    });
  }

  after(ms: number, fn: () => void): () => void {
    const timer = { at: this.#nowMs + Math.max(0, ms), fn };
    this.#timers.add(timer);
    return () => {
      this.#timers.delete(timer);
    };
  }

  /** Everything that needs no time to pass. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < 3; turn += 1) await setImmediate();
  }

  async run(ms: number): Promise<void> {
    const end = this.#nowMs + ms;
    for (;;) {
      await this.settle();
      let next: Timer | undefined;
      for (const timer of this.#timers) if (next === undefined || timer.at < next.at) next = timer;
      if (next === undefined || next.at > end) break;
      this.#timers.delete(next);
      this.#nowMs = Math.max(this.#nowMs, next.at);
      next.fn();
    }
    this.#nowMs = end;
  }

  /** Runs in steps until `isDone`, for at most `ms`; whether it got there. */
  async runUntil(isDone: () => boolean, ms: number): Promise<boolean> {
    const end = this.#nowMs + ms;
    await this.settle();
    while (!isDone()) {
      if (this.#nowMs >= end) return false;
      await this.run(1000);
    }
    return true;
  }
}
