/**
 * When failed compactions are tried again: a tablet after a pause that doubles, and none at all for
 * a while when many fail one after the other, whatever their tablets: then it is the store.
 */
import type { TabletId } from '../base/ids.ts';
import type { Clock } from '../base/ports.ts';

const PAUSE_MS_MIN = 5000;
const PAUSE_MS_MAX = 3_600_000;
/** Failures in a row after which everything pauses. */
const FAILURES_IN_A_ROW = 5;
const ALL_PAUSE_MS_MIN = 1000;
const ALL_PAUSE_MS_MAX = 60_000;
/** Tablets with a pause of their own; more are left to their next load. */
const TABLETS_MAX = 10_000;

interface Pause {
  readonly failures: number;
  /** undefined: the pause is over, the next try has not ended. */
  stopTimer: (() => void) | undefined;
}

export class RetryPauses {
  readonly #clock: Clock;
  readonly #wake: () => void;
  readonly #tablets = new Map<TabletId, Pause>();
  #inARow = 0;
  #stopAll: (() => void) | undefined;

  /** `wake` is called when a pause is over. */
  constructor(clock: Clock, wake: () => void) {
    this.#clock = clock;
    this.#wake = wake;
  }

  /** Nothing is to begin now. */
  get isPaused(): boolean {
    return this.#stopAll !== undefined;
  }

  /** The tablet waits for its next try. */
  has(tabletId: TabletId): boolean {
    return this.#tablets.get(tabletId)?.stopTimer !== undefined;
  }

  /** `again` is called after the pause, before `wake`. */
  failed(tabletId: TabletId, again: () => void): void {
    this.#pauseAll();
    const failures = this.#tablets.get(tabletId)?.failures ?? 0;
    this.forget(tabletId);
    if (this.#tablets.size >= TABLETS_MAX) return;
    const ms = Math.min(PAUSE_MS_MAX, PAUSE_MS_MIN * 2 ** Math.min(failures, 20));
    const pause: Pause = { failures: failures + 1, stopTimer: undefined };
    pause.stopTimer = this.#clock.after(ms, () => {
      pause.stopTimer = undefined;
      again();
      this.#wake();
    });
    this.#tablets.set(tabletId, pause);
  }

  /** Some compaction: the store works. */
  succeeded(): void {
    this.#inARow = 0;
  }

  /** Its next try may come at once. */
  forget(tabletId: TabletId): void {
    this.#tablets.get(tabletId)?.stopTimer?.();
    this.#tablets.delete(tabletId);
  }

  close(): void {
    this.#stopAll?.();
    for (const pause of this.#tablets.values()) pause.stopTimer?.();
    this.#tablets.clear();
  }

  #pauseAll(): void {
    this.#inARow += 1;
    const over = this.#inARow - FAILURES_IN_A_ROW;
    if (over < 0 || this.#stopAll !== undefined) return;
    const ms = Math.min(ALL_PAUSE_MS_MAX, ALL_PAUSE_MS_MIN * 2 ** Math.min(over, 10));
    this.#stopAll = this.#clock.after(ms, () => {
      this.#stopAll = undefined;
      this.#wake();
    });
  }
}
