/** Notices a connection that nobody uses; cheap to touch, since it is touched by every command. */
import type { Clock } from '../../base/ports.ts';

/** What a timer of the runtime can wait at once, milliseconds; more would fire immediately. */
const WAIT_MS_MAX = 2 ** 31 - 1;

/**
 * Notices that nothing happened for a while. Starting it anew for every command costs a reading
 * of the clock and no new timer: the timer that runs looks at the last start when it fires.
 */
export class IdleTimer {
  readonly #clock: Clock;
  readonly #onIdle: () => void;
  #sinceMs = 0;
  #limitMs = 0;
  #cancel: (() => void) | undefined;

  constructor(clock: Clock, onIdle: () => void) {
    this.#clock = clock;
    this.#onIdle = onIdle;
  }

  /** Idle from now on; `onIdle` is called after `limitMs` unless started or stopped before. */
  start(limitMs: number): void {
    this.#sinceMs = this.#clock.monotonic();
    if (this.#cancel !== undefined && limitMs === this.#limitMs) return;
    this.stop();
    this.#limitMs = limitMs;
    this.#arm(limitMs);
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #arm(ms: number): void {
    this.#cancel = this.#clock.after(Math.min(ms, WAIT_MS_MAX), () => {
      this.#cancel = undefined;
      const left = this.#limitMs - (this.#clock.monotonic() - this.#sinceMs);
      if (left > 0) this.#arm(left);
      else this.#onIdle();
    });
  }
}
