/**
 * What warm-ups did on this backend: the numbers of `/metrics` and, per event-driven job, of
 * `/api/warmup_event_driven_stats` (reference/warm-up 1.11). Counted per segment when it is wholly
 * in the cache or given up, not when it is asked for.
 */
import type { TriggeredEvents, WarmUpRequest } from '../base/agent_messages.ts';
import { Distribution } from '../base/distribution.ts';
import type { JobId } from '../base/ids.ts';
import type { Clock, Log } from '../base/ports.ts';
import { NO_COUNTS, SyncCounters, type SyncCounts, plus } from '../base/sync_windows.ts';
import type { CacheObject } from './cache/cache_object.ts';
import type { Settled, WarmTablet } from './cache/downloader.ts';

/** Event-driven jobs whose windows are kept; the one that was quiet longest goes first. */
const JOBS_MAX = 1000;
const SLOW_LINES_EVERY_MS = 1000;
const LATENCY_BUCKETS_US = [
  1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
  5_000_000, 10_000_000, 30_000_000, 60_000_000, 300_000_000,
];

/** The three stretches of a new rowset's way into the cache, and Doris's names for them. */
export const LATENCIES = {
  total: {
    name: 'file_cache_warm_up_rowset',
    help: 'commit of a new rowset to its last block in the cache',
  },
  requestToHandle: {
    name: 'file_cache_warm_up_rowset_request_to_handle',
    help: 'commit of a new rowset to its arrival at this backend',
  },
  handleToFinish: {
    name: 'file_cache_warm_up_rowset_handle_to_finish',
    help: 'arrival of a new rowset at this backend to its last block in the cache',
  },
} as const;
export type Latency = keyof typeof LATENCIES;
export const LATENCY_KINDS = Object.keys(LATENCIES) as Latency[];

export interface WarmUpTrafficDeps {
  readonly clock: Clock;
  readonly log: Log;
  /** Slower ones are counted and logged. */
  readonly slowMs: () => number;
}

interface Origin extends Pick<WarmUpRequest, 'jobId' | 'tablets'> {
  /** undefined: a part of a plan. */
  readonly event: WarmUpRequest['event'];
}

export class WarmUpTraffic {
  readonly #deps: WarmUpTrafficDeps;
  readonly #jobs = new Map<JobId, SyncCounters>();
  #slowLoggedAt = -Infinity;

  /** Batches of ONCE and PERIODIC jobs. */
  readonly planned = {
    submitted: NO_COUNTS,
    finished: NO_COUNTS,
    submittedTablets: 0,
    finishedTablets: 0,
    rowsets: 0,
  };
  /** Rowsets of events: `requested` as a source, the others as a target. */
  readonly events = {
    requested: NO_COUNTS,
    submitted: NO_COUNTS,
    finished: NO_COUNTS,
    failed: NO_COUNTS,
    rowsets: 0,
    /** All their segments were in the cache before. */
    skippedRowsets: 0,
  };
  /** Rowsets of both kinds that are wholly in the cache. */
  completeRowsets = 0;
  /** Segments of both kinds that were given up. */
  failedSegments = 0;
  /** Wall clock, milliseconds; 0: not yet. */
  readonly last = { callMs: 0, handleMs: 0, finishMs: 0 };
  readonly slow: Record<Latency, number> = { total: 0, requestToHandle: 0, handleToFinish: 0 };
  /** Microseconds. */
  readonly latency: Readonly<Record<Latency, Distribution>> = {
    total: new Distribution(LATENCY_BUCKETS_US),
    requestToHandle: new Distribution(LATENCY_BUCKETS_US),
    handleToFinish: new Distribution(LATENCY_BUCKETS_US),
  };

  constructor(deps: WarmUpTrafficDeps) {
    this.#deps = deps;
  }

  /** Rowsets that this backend wrote were handed to event-driven jobs. */
  triggered(events: readonly TriggeredEvents[]): void {
    for (const { jobIds, counts } of events) {
      this.last.callMs = this.#deps.clock.now();
      // Each job sends them to a target of its own.
      for (const _ of jobIds) this.events.requested = plus(this.events.requested, counts);
    }
  }

  /** A batch starts; `tablets` are the objects of `origin.tablets`, in their order. */
  begin(origin: Origin, tablets: readonly WarmTablet[]): BatchTraffic {
    return new BatchTraffic(this, this.#deps.clock, origin, tablets);
  }

  /** The job was cancelled. */
  forget(jobId: JobId): void {
    this.#jobs.delete(jobId);
  }

  /** Event-driven jobs seen here, with their windows. */
  get jobs(): ReadonlyMap<JobId, SyncCounters> {
    return this.#jobs;
  }

  countersOf(jobId: JobId): SyncCounters {
    const known = this.#jobs.get(jobId);
    const counters = known ?? new SyncCounters(this.#deps.clock.monotonic());
    this.#jobs.delete(jobId);
    this.#jobs.set(jobId, counters);
    const quietest = this.#jobs.size > JOBS_MAX ? this.#jobs.keys().next() : undefined;
    if (quietest?.done === false) this.#jobs.delete(quietest.value);
    return counters;
  }

  took(kind: Latency, ms: number, rowset: Readonly<Record<string, unknown>>): void {
    this.latency[kind].observe(Math.max(0, ms) * 1000);
    if (ms <= this.#deps.slowMs()) return;
    this.slow[kind] += 1;
    const now = this.#deps.clock.monotonic();
    if (now - this.#slowLoggedAt < SLOW_LINES_EVERY_MS) return;
    this.#slowLoggedAt = now;
    this.#deps.log.warn('a new rowset was slow on its way into the cache', {
      ...rowset,
      stretch: kind,
      milliseconds: Math.round(ms),
    });
  }
}

interface Rowset {
  readonly rowsetId: string;
  readonly triggerMs: number;
  left: number;
  isFailed: boolean;
  isDownloaded: boolean;
}

interface Segment {
  readonly rowset: Rowset;
  readonly tablet: { left: number; isFailed: boolean };
  readonly counts: SyncCounts;
}

/** One batch's part of the numbers. */
export class BatchTraffic {
  readonly #traffic: WarmUpTraffic;
  readonly #clock: Clock;
  readonly #jobId: JobId;
  readonly #isEvent: boolean;
  readonly #handledMs: number;
  /** What is neither in the cache nor given up. */
  readonly #open = new Map<CacheObject, Segment>();

  constructor(
    traffic: WarmUpTraffic,
    clock: Clock,
    { jobId, event, tablets }: Origin,
    warmTablets: readonly WarmTablet[],
  ) {
    this.#traffic = traffic;
    this.#clock = clock;
    this.#jobId = jobId;
    this.#isEvent = event !== undefined;
    this.#handledMs = clock.now();
    let place = 0;
    for (const [at, { rowsets }] of tablets.entries()) {
      const objects = warmTablets[at]?.objects ?? [];
      const tablet = { left: objects.length, isFailed: false };
      if (!this.#isEvent) this.#planTablet(objects.length, rowsets.length);
      let next = 0;
      for (const { rowsetId, segments } of rowsets) {
        const triggerMs = event?.triggersMs[place] ?? this.#handledMs;
        place += 1;
        const left = segments.length;
        const rowset = { rowsetId, triggerMs, left, isFailed: false, isDownloaded: false };
        for (const object of objects.slice(next, next + left)) {
          this.#submit(object, { rowset, tablet, counts: countsOf(object) });
        }
        next += left;
        if (this.#isEvent) this.#arrived(rowset);
      }
    }
  }

  /** An object of the batch is wholly in the cache, or was given up. Counts once per object. */
  settled(object: CacheObject, outcome: Settled): void {
    const segment = this.#open.get(object);
    if (segment === undefined) return;
    this.#open.delete(object);
    const { rowset, tablet, counts } = segment;
    const isFailed = outcome === 'failed';
    if (isFailed) this.#traffic.failedSegments += 1;
    if (this.#isEvent) this.#countEvent(segment, isFailed);
    else if (!isFailed) {
      this.#traffic.planned.finished = plus(this.#traffic.planned.finished, counts);
    }
    rowset.left -= 1;
    rowset.isFailed ||= isFailed;
    rowset.isDownloaded ||= outcome === 'downloaded';
    if (rowset.left === 0 && !rowset.isFailed) this.#completed(rowset);
    tablet.left -= 1;
    tablet.isFailed ||= isFailed;
    if (tablet.left === 0 && !tablet.isFailed && !this.#isEvent) {
      this.#traffic.planned.finishedTablets += 1;
    }
  }

  /** The batch is over: what was not settled (cancelled, no lease) is no longer asked for. */
  end(): void {
    if (this.#isEvent) {
      for (const { counts, rowset } of this.#open.values()) {
        const counters = this.#traffic.jobs.get(this.#jobId);
        counters?.superseded(counts, rowset.triggerMs, this.#clock.monotonic());
      }
    }
    this.#open.clear();
  }

  #planTablet(objects: number, rowsets: number): void {
    const { planned } = this.#traffic;
    planned.submittedTablets += 1;
    planned.rowsets += rowsets;
    if (objects === 0) planned.finishedTablets += 1;
  }

  #submit(object: CacheObject, segment: Segment): void {
    const { planned, events } = this.#traffic;
    this.#open.set(object, segment);
    const { counts, rowset } = segment;
    if (this.#isEvent) {
      events.submitted = plus(events.submitted, counts);
      const counters = this.#traffic.countersOf(this.#jobId);
      counters.requested(counts, rowset.triggerMs, this.#clock.monotonic());
    } else {
      planned.submitted = plus(planned.submitted, counts);
    }
  }

  #arrived(rowset: Rowset): void {
    this.#traffic.events.rowsets += 1;
    this.#traffic.last.handleMs = this.#handledMs;
    this.#traffic.took('requestToHandle', this.#handledMs - rowset.triggerMs, this.#say(rowset));
  }

  #countEvent({ counts, rowset }: Segment, isFailed: boolean): void {
    const { events } = this.#traffic;
    const counters = this.#traffic.countersOf(this.#jobId);
    const at = this.#clock.monotonic();
    if (isFailed) {
      events.failed = plus(events.failed, counts);
      counters.failed(counts, rowset.triggerMs, at);
    } else {
      events.finished = plus(events.finished, counts);
      counters.finished(counts, rowset.triggerMs, this.#clock.now(), at);
    }
  }

  #completed(rowset: Rowset): void {
    this.#traffic.completeRowsets += 1;
    if (!this.#isEvent) return;
    const nowMs = this.#clock.now();
    this.#traffic.last.finishMs = nowMs;
    if (!rowset.isDownloaded) {
      this.#traffic.events.skippedRowsets += 1;
      return;
    }
    const say = this.#say(rowset);
    this.#traffic.took('handleToFinish', nowMs - this.#handledMs, say);
    this.#traffic.took('total', nowMs - rowset.triggerMs, say);
  }

  #say({ rowsetId }: Rowset): Readonly<Record<string, unknown>> {
    return { jobId: this.#jobId, rowsetId };
  }
}

function countsOf({ size, indexOffset }: CacheObject): SyncCounts {
  return { segNum: 1, segBytes: indexOffset, idxNum: 1, idxBytes: size - indexOffset };
}
