/**
 * What of each event of a job was asked for and is still open, so that SyncStats adds up: what is
 * neither finished nor failed when every target is past the event was superseded.
 */
import type { JobId } from '../base/ids.ts';
import type { SyncCounts } from '../base/sync_windows.ts';
import { syncCountsOf } from '../base/sync_windows.ts';
import type { Delivery } from './event_delivery_scan.ts';
import type { SyncStats } from './sync_stats.ts';

/** Events kept apart; older ones are no longer followed, their gap leaves with its window. */
const OPEN_EVENTS_MAX = 100_000;

interface OpenEvent {
  readonly triggerMs: number;
  readonly open: { -readonly [Name in keyof SyncCounts]: number };
}

export class DeliveryStats {
  readonly #stats: SyncStats;
  readonly #jobId: JobId;
  /** By number of the event, ascending. */
  readonly #events = new Map<number, OpenEvent>();

  constructor(stats: SyncStats, jobId: JobId) {
    this.#stats = stats;
    this.#jobId = jobId;
  }

  /** Something of an event is to be warmed; seq 0: it comes from the catalog, not from the log. */
  requested(seq: number, counts: SyncCounts, triggerMs: number): void {
    this.#stats.requested(this.#jobId, counts, triggerMs);
    if (seq === 0) return;
    const known = this.#events.get(seq);
    if (known !== undefined) {
      add(known.open, counts, 1);
      return;
    }
    this.#events.set(seq, { triggerMs, open: { ...counts } });
    if (this.#events.size <= OPEN_EVENTS_MAX) return;
    const oldest = this.#events.keys().next();
    if (oldest.done !== true) this.#events.delete(oldest.value);
  }

  finished(delivery: Delivery): void {
    const counts = this.#take(delivery);
    if (counts !== undefined) this.#stats.finished(this.#jobId, counts, delivery.triggerMs);
  }

  failed(delivery: Delivery): void {
    const counts = this.#take(delivery);
    if (counts !== undefined) this.#stats.failed(this.#jobId, counts, delivery.triggerMs);
  }

  /** Seen to be gone; what is not seen is found out by `settle`. */
  superseded(delivery: Delivery): void {
    const counts = this.#take(delivery);
    if (counts !== undefined) this.#stats.superseded(this.#jobId, counts, delivery.triggerMs);
  }

  /** Every target is past the events up to `seq`. */
  settle(seq: number): void {
    for (const [number, { open, triggerMs }] of this.#events) {
      if (number > seq) return;
      this.#events.delete(number);
      if (open.segNum > 0) this.#stats.superseded(this.#jobId, open, triggerMs);
    }
  }

  /** undefined: it was counted before; a repeated delivery counts once. */
  #take({ rowset, seq }: Delivery): SyncCounts | undefined {
    const counts = syncCountsOf(rowset);
    if (seq === 0) return counts;
    const event = this.#events.get(seq);
    if (event === undefined || event.open.segNum < counts.segNum) return undefined;
    add(event.open, counts, -1);
    return counts;
  }
}

function add(to: OpenEvent['open'], counts: SyncCounts, sign: 1 | -1): void {
  to.segNum += sign * counts.segNum;
  to.segBytes += sign * counts.segBytes;
  to.idxNum += sign * counts.idxNum;
  to.idxBytes += sign * counts.idxBytes;
}
