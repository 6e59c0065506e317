/**
 * Tablets that are left alone until nothing has been loaded into them for a while: a burst of loads
 * is merged once, when it is over, and what readers just cached is not replaced at once.
 */
import type { TableId, TabletId } from '../base/ids.ts';
import type { Clock } from '../base/ports.ts';

export interface RestingTablet {
  readonly tableId: TableId;
  readonly tabletId: TabletId;
}

interface Entry extends RestingTablet {
  readonly untilMonotonic: number;
}

/** The timer looks no more often than this, milliseconds. */
const LOOK_MS_MIN = 100;

export class RestingTablets {
  readonly #clock: Clock;
  readonly #countMax: number;
  readonly #onRested: (tablets: readonly RestingTablet[]) => void;
  /** In the order of their last load, which is about that of their ends. */
  readonly #entries = new Map<TabletId, Entry>();
  #stopTimer: (() => void) | undefined;
  #closed = false;

  /** What comes when `countMax` rest is left out: the next load, or a sweep, brings it again. */
  constructor(
    clock: Clock,
    countMax: number,
    onRested: (tablets: readonly RestingTablet[]) => void,
  ) {
    this.#clock = clock;
    this.#countMax = countMax;
    this.#onRested = onRested;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Its rest of `ms` begins (again). */
  rest({ tableId, tabletId }: RestingTablet, ms: number): void {
    if (this.#closed) return;
    if (!this.#entries.delete(tabletId) && this.#entries.size >= this.#countMax) return;
    const untilMonotonic = this.#clock.monotonic() + ms;
    this.#entries.set(tabletId, { tableId, tabletId, untilMonotonic });
    this.#arm();
  }

  close(): void {
    this.#closed = true;
    this.#stopTimer?.();
    this.#entries.clear();
  }

  #arm(): void {
    if (this.#closed || this.#stopTimer !== undefined) return;
    const [first] = this.#entries.values();
    if (first === undefined) return;
    const ms = Math.max(LOOK_MS_MIN, first.untilMonotonic - this.#clock.monotonic());
    this.#stopTimer = this.#clock.after(ms, () => {
      this.#stopTimer = undefined;
      this.#look();
    });
  }

  #look(): void {
    const now = this.#clock.monotonic();
    const rested: Entry[] = [];
    for (const entry of this.#entries.values()) {
      if (entry.untilMonotonic > now) break;
      rested.push(entry);
    }
    for (const { tabletId } of rested) this.#entries.delete(tabletId);
    if (rested.length > 0) this.#onRested(rested);
    this.#arm();
  }
}
