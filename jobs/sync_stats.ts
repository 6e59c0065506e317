/**
 * SyncStats of SHOW WARM UP JOB: how far behind its source each event-driven job is, from the
 * server's own counts, so that SHOW asks nobody. Memory only: after a restart of the server the
 * windows begin anew, while the deliveries themselves go on from their cursors.
 */
import type { JobId } from '../base/ids.ts';
import type { Clock } from '../base/ports.ts';
import {
  SYNC_WINDOWS,
  SyncCounters,
  type SyncCounts,
  type SyncSnapshot,
  type SyncTotals,
  type SyncWindow,
  minus,
} from '../base/sync_windows.ts';
import { shortBytesText, timeText } from '../base/units.ts';

/** The window of the list form. */
const COMPACT_WINDOW: SyncWindow = '30m';
/** Jobs whose counters are kept (about 23 KB each); the one that was quiet longest goes first. */
const JOBS_MAX = 2000;

export class SyncStats {
  readonly #clock: Clock;
  readonly #jobs = new Map<JobId, SyncCounters>();

  /** For jobs that nothing was counted for: 500 idle ones are listed at once. */
  readonly #nothing: SyncCounters;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#nothing = new SyncCounters(clock.monotonic());
  }

  /**
   * Something is to be warmed on a target. `triggeredMs` is when its event was made (wall clock);
   * the same value goes with what becomes of it: `finished`, `failed` or `superseded`.
   */
  requested(jobId: JobId, counts: SyncCounts, triggeredMs: number): void {
    this.#of(jobId).requested(counts, triggeredMs, this.#clock.monotonic());
  }

  /** It is in the target's cache. */
  finished(jobId: JobId, counts: SyncCounts, triggeredMs: number): void {
    const clock = this.#clock;
    this.#of(jobId).finished(counts, triggeredMs, clock.now(), clock.monotonic());
  }

  /** It failed for good. */
  failed(jobId: JobId, counts: SyncCounts, triggeredMs: number): void {
    this.#of(jobId).failed(counts, triggeredMs, this.#clock.monotonic());
  }

  /** It was replaced or dropped before its turn: no longer asked for, and no gap. */
  superseded(jobId: JobId, counts: SyncCounts, triggeredMs: number): void {
    this.#of(jobId).superseded(counts, triggeredMs, this.#clock.monotonic());
  }

  windows(jobId: JobId): SyncSnapshot {
    const atMonotonic = this.#clock.monotonic();
    return (this.#jobs.get(jobId) ?? this.#nothing).snapshot(atMonotonic);
  }

  /** The form of a list of jobs: the last half hour, segments and indexes together. */
  compactText(jobId: JobId): string {
    const { windows, triggerGapMs } = this.windows(jobId);
    const { requested, finished } = windows[COMPACT_WINDOW];
    return JSON.stringify({
      window: COMPACT_WINDOW,
      src_size: shortBytesText(sizeOf(requested)),
      dst_size: shortBytesText(sizeOf(finished)),
      gap_size: shortBytesText(sizeOf(minus(requested, finished))),
      trigger_gap_ms: triggerGapMs,
    });
  }

  /** The form of `WHERE ID = n`: every window and kind. */
  detailedText(jobId: JobId): string {
    const { windows, lastTriggerMs, lastFinishMs, progressMs, triggerGapMs } = this.windows(jobId);
    return JSON.stringify({
      seg_num: byOutcome(windows, ({ segNum }) => segNum),
      seg_size: byOutcome(windows, ({ segBytes }) => shortBytesText(segBytes)),
      idx_num: byOutcome(windows, ({ idxNum }) => idxNum),
      idx_size: byOutcome(windows, ({ idxBytes }) => shortBytesText(idxBytes)),
      last_trigger_ts: secondText(lastTriggerMs),
      last_finish_ts: secondText(lastFinishMs),
      progress_trigger_ts: secondText(progressMs),
      trigger_gap_ms: triggerGapMs,
    });
  }

  #of(jobId: JobId): SyncCounters {
    const counters = this.#jobs.get(jobId) ?? new SyncCounters(this.#clock.monotonic());
    this.#jobs.delete(jobId);
    this.#jobs.set(jobId, counters);
    const quietest = this.#jobs.size > JOBS_MAX ? this.#jobs.keys().next() : undefined;
    if (quietest?.done === false) this.#jobs.delete(quietest.value);
    return counters;
  }
}

function sizeOf({ segBytes, idxBytes }: SyncCounts): number {
  return segBytes + idxBytes;
}

function byOutcome<T>(
  windows: Readonly<Record<SyncWindow, SyncTotals>>,
  pick: (counts: SyncCounts) => T,
): Record<string, T> {
  const entry = (name: string, of: (totals: SyncTotals) => SyncCounts): [string, T][] =>
    SYNC_WINDOWS.map((window) => [`${name}_${window}`, pick(of(windows[window]))]);
  return Object.fromEntries([
    ...entry('requested', ({ requested }) => requested),
    ...entry('finish', ({ finished }) => finished),
    ...entry('gap', ({ requested, finished }) => minus(requested, finished)),
    ...entry('fail', ({ failed }) => failed),
  ]);
}

/** `yyyy-MM-dd HH:mm:ss` in UTC; empty when there is no such moment. */
function secondText(ms: number | null): string {
  return ms === null ? '' : timeText(ms).slice(0, 19);
}
