/**
 * `file_cache_warmup_download_rate_limit_bytes_per_second`: a token bucket in front of the
 * downloads of warm-ups. Queries never pass here. First come, first served.
 */
import type { Clock } from '../base/ports.ts';
import type { RateLimiter } from './cache/range_warmer.ts';

/** How much of a second's bytes may be saved up while nothing is downloaded. */
const BURST_SECONDS = 0.25;
/** Longest pause before the rate is read again: a change is felt this soon. */
const PAUSE_MS_MAX = 200;
/** A wait counts as "now" for this long, or a job would flicker between two ranges. */
const THROTTLED_FOR_MS = 3000;

interface Waiter {
  readonly bytes: number;
  readonly pass: () => void;
}

export class DownloadRate implements RateLimiter {
  readonly #clock: Clock;
  readonly #bytesPerSecond: () => number;
  readonly #waiting = new Set<Waiter>();
  /** Bytes that may pass now. Negative: a range passed whole, those after it wait for the rest. */
  #balance = 0;
  #countedAt: number;
  #waitedAt = -Infinity;
  #stopPause: () => void = () => undefined;
  #pausing = false;

  /** `bytesPerSecond` is asked again all the time; 0 or less: no limit. */
  constructor(clock: Clock, bytesPerSecond: () => number) {
    this.#clock = clock;
    this.#bytesPerSecond = bytesPerSecond;
    this.#countedAt = clock.monotonic();
  }

  /** Whether a download waits, or has waited within the last seconds. */
  get throttled(): boolean {
    const sinceWait = this.#clock.monotonic() - this.#waitedAt;
    return this.#waiting.size > 0 || sinceWait < THROTTLED_FOR_MS;
  }

  get bytesPerSecond(): number {
    return this.#bytesPerSecond();
  }

  async acquire(bytes: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#waiting.size === 0 && this.#take(bytes)) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiter: Waiter = { bytes, pass: resolve };
    const onAbort = (): void => {
      this.#waiting.delete(waiter);
      reject(signal.reason);
    };
    signal.addEventListener('abort', onAbort, { once: true });
    this.#waiting.add(waiter);
    this.#serve();
    try {
      await promise;
    } finally {
      signal.removeEventListener('abort', onAbort);
      this.#rest();
    }
  }

  giveBack(bytes: number): void {
    this.#balance += bytes;
    if (bytes > 0 && this.#waiting.size > 0) this.#serve();
  }

  /** Lets pass whoever may, then sleeps until the next one may or the rate may have changed. */
  #serve(): void {
    for (const waiter of this.#waiting) {
      if (!this.#take(waiter.bytes)) break;
      this.#waiting.delete(waiter);
      waiter.pass();
    }
    if (this.#waiting.size === 0 || this.#pausing) return;
    this.#waitedAt = this.#clock.monotonic();
    const untilDue = (-this.#balance / this.#bytesPerSecond()) * 1000;
    this.#pausing = true;
    this.#stopPause = this.#clock.after(Math.min(PAUSE_MS_MAX, Math.max(1, untilDue)), () => {
      this.#pausing = false;
      this.#serve();
    });
  }

  /** No timer is left when nobody waits. */
  #rest(): void {
    if (this.#waiting.size > 0 || !this.#pausing) return;
    this.#stopPause();
    this.#pausing = false;
  }

  #take(bytes: number): boolean {
    const now = this.#clock.monotonic();
    const rate = this.#bytesPerSecond();
    const earned = (rate * Math.max(0, now - this.#countedAt)) / 1000;
    this.#countedAt = now;
    if (rate <= 0) {
      this.#balance = 0;
      return true;
    }
    this.#balance = Math.min(rate * BURST_SECONDS, this.#balance + earned);
    if (this.#balance < 0) return false;
    this.#balance -= bytes;
    return true;
  }
}
