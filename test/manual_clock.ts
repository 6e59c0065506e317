import type { Clock } from '../base/ports.ts';

/** Time that stands still until a test moves it. */
export class ManualClock implements Clock {
  #nowMs = 1_700_000_000_000;
  readonly #timers = new Set<{ readonly atMs: number; readonly fn: () => void }>();

  now(): number {
    return this.#nowMs;
  }

  monotonic(): number {
    return this.#nowMs;
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.after(ms, resolve);
    });
  }

  after(ms: number, fn: () => void): () => void {
    const timer = { atMs: this.#nowMs + ms, fn };
    this.#timers.add(timer);
    return () => {
      this.#timers.delete(timer);
    };
  }

  /** Timers that are set. */
  get pending(): number {
    return this.#timers.size;
  }

  /** Moves time and fires what is due, in order. */
  advance(ms: number): void {
    this.#nowMs += ms;
    const due = [...this.#timers].filter((timer) => timer.atMs <= this.#nowMs);
    for (const timer of due.toSorted((left, right) => left.atMs - right.atMs)) {
      if (this.#timers.delete(timer)) timer.fn();
    }
  }
}
