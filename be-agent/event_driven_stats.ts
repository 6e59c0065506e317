/** `/api/warmup_event_driven_stats` of a backend, in Doris's form (reference/warm-up 1.11). */
import type { Clock } from '../base/ports.ts';
import {
  SYNC_WINDOWS,
  type SyncCounts,
  type SyncSnapshot,
  type SyncTotals,
  type SyncWindow,
} from '../base/sync_windows.ts';
import type { WarmUpTraffic } from './warm_up_traffic.ts';

type ByWindow = Readonly<Record<SyncWindow, number>>;
interface NumAndSize {
  readonly num: ByWindow;
  readonly size: ByWindow;
}
interface Part {
  readonly seg: NumAndSize;
  readonly idx: NumAndSize;
}

export interface EventDrivenStats {
  readonly job_id: number;
  readonly requested: Part;
  readonly finish: Part;
  readonly fail: Part;
  /** Milliseconds since the epoch; 0: there is none. */
  readonly last_trigger_ts: number;
  readonly last_finish_ts: number;
  readonly progress_trigger_ts: number;
}

/** What this backend saw as a target, one entry per event-driven job, by job id. */
export function eventDrivenStats(traffic: WarmUpTraffic, clock: Clock): EventDrivenStats[] {
  const atMonotonic = clock.monotonic();
  const jobs = [...traffic.jobs].toSorted(([left], [right]) => left - right);
  return jobs.map(([jobId, counters]) => {
    const snapshot = counters.snapshot(atMonotonic);
    return {
      job_id: jobId,
      requested: part(snapshot, ({ requested }) => requested),
      finish: part(snapshot, ({ finished }) => finished),
      fail: part(snapshot, ({ failed }) => failed),
      last_trigger_ts: snapshot.lastTriggerMs ?? 0,
      last_finish_ts: snapshot.lastFinishMs ?? 0,
      progress_trigger_ts: snapshot.progressMs ?? 0,
    };
  });
}

function part({ windows }: SyncSnapshot, of: (totals: SyncTotals) => SyncCounts): Part {
  const byWindow = (pick: (counts: SyncCounts) => number): ByWindow =>
    Object.fromEntries(SYNC_WINDOWS.map((window) => [window, pick(of(windows[window]))])) as Record<
      SyncWindow,
      number
    >;
  return {
    seg: { num: byWindow(({ segNum }) => segNum), size: byWindow(({ segBytes }) => segBytes) },
    idx: { num: byWindow(({ idxNum }) => idxNum), size: byWindow(({ idxBytes }) => idxBytes) },
  };
}
