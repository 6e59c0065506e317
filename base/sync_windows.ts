/**
 * How much of what an event-driven warm-up job was asked to do is done, over the last 5 minutes,
 * half hour and hour (reference/warm-up 1.11): a ring of counters per job, so that the memory is
 * bounded whatever the traffic. The server counts its deliveries with it, a backend what it saw.
 */
import type { RowsetMeta } from './schema.ts';

/** Segments, and the index part (footer and page index) that each of them has. */
export interface SyncCounts {
  readonly segNum: number;
  readonly segBytes: number;
  readonly idxNum: number;
  readonly idxBytes: number;
}

/** The windows and their lengths. */
const WINDOW_MS = { '5m': 300_000, '30m': 1_800_000, '1h': 3_600_000 } as const;
export type SyncWindow = keyof typeof WINDOW_MS;
export const SYNC_WINDOWS = Object.keys(WINDOW_MS) as SyncWindow[];

/** A window is this much longer at most than its name says, never shorter. */
const BUCKET_MS = 30_000;
const BUCKETS = WINDOW_MS['1h'] / BUCKET_MS + 1;
/** Distinct unfinished triggers kept apart; beyond it neighbours count as the older of the two. */
const OPEN_TRIGGERS_MAX = 512;

const OUTCOMES = ['requested', 'finished', 'failed'] as const;
type Outcome = (typeof OUTCOMES)[number];
const FIELDS = ['segNum', 'segBytes', 'idxNum', 'idxBytes'] as const;
const ROW = OUTCOMES.length * FIELDS.length;

export interface SyncTotals extends Readonly<Record<Outcome, SyncCounts>> {}

export interface SyncSnapshot {
  readonly windows: Readonly<Record<SyncWindow, SyncTotals>>;
  /** When the newest event was made, milliseconds since the epoch; null: there was none. */
  readonly lastTriggerMs: number | null;
  /** When something last arrived in a cache. */
  readonly lastFinishMs: number | null;
  /** The oldest trigger that is not done with, or the newest finished one when all are. */
  readonly progressMs: number | null;
  /** max(0, lastTrigger − progress) */
  readonly triggerGapMs: number;
}

/** The counts of a rowset: what is before a segment's footer is its data, the rest its index. */
export function syncCountsOf(rowset: Pick<RowsetMeta, 'segments'>): SyncCounts {
  let segBytes = 0;
  let idxBytes = 0;
  for (const { bytes, indexOffset } of rowset.segments) {
    segBytes += indexOffset;
    idxBytes += bytes - indexOffset;
  }
  const { length } = rowset.segments;
  return { segNum: length, segBytes, idxNum: length, idxBytes };
}

/** The counters of one job. Moments are handed in: `atMonotonic` for windows, wall clock else. */
export class SyncCounters {
  readonly #ring = new Float64Array(BUCKETS * ROW);
  /** Number of the bucket written last, since the monotonic clock's zero. */
  #bucket: number;
  readonly #open = new OpenTriggers();
  #firstTriggerMs: number | null = null;
  #lastTriggerMs: number | null = null;
  #lastFinishMs: number | null = null;
  #settledMs: number | null = null;

  constructor(atMonotonic: number) {
    this.#bucket = Math.floor(atMonotonic / BUCKET_MS);
  }

  /** Something is to be warmed because of an event made at `triggeredMs`. */
  requested(counts: SyncCounts, triggeredMs: number, atMonotonic: number): void {
    this.#add('requested', counts, atMonotonic);
    this.#open.add(triggeredMs, unitsOf(counts));
    this.#firstTriggerMs = Math.min(this.#firstTriggerMs ?? triggeredMs, triggeredMs);
    this.#lastTriggerMs = Math.max(this.#lastTriggerMs ?? 0, triggeredMs);
  }

  /** Some of it is in the target's cache since `nowMs`. */
  finished(counts: SyncCounts, triggeredMs: number, nowMs: number, atMonotonic: number): void {
    this.#add('finished', counts, atMonotonic);
    this.#lastFinishMs = nowMs;
    this.#settle(counts, triggeredMs);
  }

  /** Some of it will not be warmed: it failed for good. */
  failed(counts: SyncCounts, triggeredMs: number, atMonotonic: number): void {
    this.#add('failed', counts, atMonotonic);
    this.#open.take(triggeredMs, unitsOf(counts));
  }

  /**
   * Some of it need not be warmed any more: its rowset was replaced or its table dropped before
   * its turn. It leaves the windows it was requested in, for there is no gap to close.
   */
  superseded(counts: SyncCounts, triggeredMs: number, atMonotonic: number): void {
    this.#add('requested', minus(NO_COUNTS, counts), atMonotonic);
    this.#settle(counts, triggeredMs);
  }

  snapshot(atMonotonic: number): SyncSnapshot {
    this.#advance(atMonotonic);
    const windows = Object.fromEntries(
      SYNC_WINDOWS.map((window) => [window, this.#totals(WINDOW_MS[window])]),
    ) as Record<SyncWindow, SyncTotals>;
    const progressMs = this.#open.oldestMs ?? this.#settledMs;
    const from = progressMs ?? this.#firstTriggerMs ?? 0;
    return {
      windows,
      lastTriggerMs: this.#lastTriggerMs,
      lastFinishMs: this.#lastFinishMs,
      progressMs,
      triggerGapMs: Math.max(0, (this.#lastTriggerMs ?? 0) - from),
    };
  }

  #settle(counts: SyncCounts, triggeredMs: number): void {
    this.#open.take(triggeredMs, unitsOf(counts));
    this.#settledMs = Math.max(this.#settledMs ?? 0, triggeredMs);
  }

  #add(outcome: Outcome, counts: SyncCounts, atMonotonic: number): void {
    this.#advance(atMonotonic);
    const row = (this.#bucket % BUCKETS) * ROW + OUTCOMES.indexOf(outcome) * FIELDS.length;
    for (const [place, field] of FIELDS.entries()) {
      this.#ring[row + place] = (this.#ring[row + place] ?? 0) + counts[field];
    }
  }

  /** Empties the buckets that time has passed over. */
  #advance(atMonotonic: number): void {
    const bucket = Math.floor(atMonotonic / BUCKET_MS);
    const steps = Math.min(bucket - this.#bucket, BUCKETS);
    for (let step = 0; step < steps; step += 1) {
      const row = ((bucket - step) % BUCKETS) * ROW;
      this.#ring.fill(0, row, row + ROW);
    }
    this.#bucket = Math.max(bucket, this.#bucket);
  }

  #totals(windowMs: number): SyncTotals {
    const sums = new Float64Array(ROW);
    const oldest = Math.max(0, this.#bucket - windowMs / BUCKET_MS);
    for (let bucket = oldest; bucket <= this.#bucket; bucket += 1) {
      const row = (bucket % BUCKETS) * ROW;
      for (let place = 0; place < ROW; place += 1) {
        sums[place] = (sums[place] ?? 0) + (this.#ring[row + place] ?? 0);
      }
    }
    return {
      requested: countsAt(sums, 'requested'),
      finished: countsAt(sums, 'finished'),
      failed: countsAt(sums, 'failed'),
    };
  }
}

/** How many units of work each trigger still has, oldest first. */
class OpenTriggers {
  #entries: { readonly fromMs: number; units: number }[] = [];

  get oldestMs(): number | undefined {
    return this.#entries[0]?.fromMs;
  }

  add(triggeredMs: number, units: number): void {
    if (units <= 0) return;
    const place = this.#placeOf(triggeredMs);
    const entry = this.#entries[place];
    if (entry?.fromMs === triggeredMs) {
      entry.units += units;
      return;
    }
    this.#entries.splice(place + 1, 0, { fromMs: triggeredMs, units });
    if (this.#entries.length > OPEN_TRIGGERS_MAX) this.#thin();
  }

  /** What was never added (counted before a restart) is not taken. */
  take(triggeredMs: number, units: number): void {
    const place = this.#placeOf(triggeredMs);
    const entry = this.#entries[place];
    if (entry === undefined) return;
    entry.units -= units;
    if (entry.units <= 0) this.#entries.splice(place, 1);
  }

  /** The last entry that begins at or before the moment; -1: all are later. */
  #placeOf(triggeredMs: number): number {
    let low = 0;
    let high = this.#entries.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#entries[middle]?.fromMs ?? Infinity) <= triggeredMs) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  #thin(): void {
    const kept: { fromMs: number; units: number }[] = [];
    for (const [place, entry] of this.#entries.entries()) {
      const before = kept.at(-1);
      if (place % 2 === 1 && before !== undefined) before.units += entry.units;
      else kept.push(entry);
    }
    this.#entries = kept;
  }
}

export const NO_COUNTS: SyncCounts = { segNum: 0, segBytes: 0, idxNum: 0, idxBytes: 0 };

export function plus(left: SyncCounts, right: SyncCounts): SyncCounts {
  return {
    segNum: left.segNum + right.segNum,
    segBytes: left.segBytes + right.segBytes,
    idxNum: left.idxNum + right.idxNum,
    idxBytes: left.idxBytes + right.idxBytes,
  };
}

export function minus(left: SyncCounts, right: SyncCounts): SyncCounts {
  return {
    segNum: left.segNum - right.segNum,
    segBytes: left.segBytes - right.segBytes,
    idxNum: left.idxNum - right.idxNum,
    idxBytes: left.idxBytes - right.idxBytes,
  };
}

function unitsOf({ segNum, idxNum }: SyncCounts): number {
  return segNum + idxNum;
}

function countsAt(sums: Float64Array, outcome: Outcome): SyncCounts {
  const row = OUTCOMES.indexOf(outcome) * FIELDS.length;
  const [segNum = 0, segBytes = 0, idxNum = 0, idxBytes = 0] = sums.subarray(row);
  return { segNum, segBytes, idxNum, idxBytes };
}
