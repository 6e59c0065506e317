/** The warm-up part of a backend's `/metrics`; names are Doris's (reference/warm-up 1.11). */
import type { Registry } from 'prom-client';
import { counter, gauge, histogram } from '../base/read_metrics.ts';
import type { SyncCounts } from '../base/sync_windows.ts';
import type { BlockCache } from './cache/block_cache.ts';
import type { DownloadRate } from './download_rate.ts';
import type { WarmUpBatches } from './warm_up_batches.ts';
import { LATENCIES, LATENCY_KINDS, type WarmUpTraffic } from './warm_up_traffic.ts';

const PLANNED = 'file_cache_once_or_periodic_warm_up';
const EVENT = 'file_cache_event_driven_warm_up';
const ROWSET = 'file_cache_warm_up_rowset';
const MICROS_PER_MS = 1000;

export interface WarmUpMetricsDeps {
  readonly cache: BlockCache;
  readonly traffic: WarmUpTraffic;
  readonly batches: WarmUpBatches;
  readonly rate: DownloadRate;
}

type Add = (name: string, help: string, read: () => number) => void;

export function registerWarmUpMetrics(registry: Registry, deps: WarmUpMetricsDeps): void {
  const count: Add = (name, help, read) => {
    counter(registry, { name, help }, () => [[{}, read()]]);
  };
  const show: Add = (name, help, read) => {
    gauge(registry, { name, help }, () => [[{}, read()]]);
  };
  plannedMetrics(count, deps.traffic);
  eventMetrics(count, show, deps.traffic);
  rowsetMetrics(count, deps.traffic);
  waitMetrics(count, show);
  for (const kind of LATENCY_KINDS) {
    const { name, help } = LATENCIES[kind];
    const latency = { name: `${name}_latency`, help: `Microseconds from the ${help}.` };
    histogram(registry, latency, deps.traffic.latency[kind]);
  }
  show(
    'file_cache_warm_up_job_num',
    'Warm-up jobs that have a batch going on here.',
    () => deps.batches.runningJobs.size,
  );
  show(
    'file_cache_warm_up_batch_num',
    'Warm-up batches going on here, those that wait for others included.',
    () => deps.batches.running,
  );
  show(
    'file_cache_warm_up_throttled',
    '1 while downloads of warm-ups wait for the rate limit, else 0.',
    () => (deps.rate.throttled ? 1 : 0),
  );
  show(
    'file_cache_warm_up_rate_limit_bytes_per_second',
    'Bytes per second that warm-ups may download now; 0: no limit.',
    () => Math.max(0, deps.rate.bytesPerSecond),
  );
  downloadMetrics(count, deps.cache);
}

function plannedMetrics(count: Add, { planned }: WarmUpTraffic): void {
  for (const stage of ['submitted', 'finished'] as const) {
    const what = stage === 'submitted' ? 'asked for by' : 'wholly in the cache for';
    const whom = 'batches of ONCE and PERIODIC jobs.';
    count(`${PLANNED}_${stage}_tablet_num`, `Tablets ${what} ${whom}`, () =>
      stage === 'submitted' ? planned.submittedTablets : planned.finishedTablets,
    );
    segmentMetrics(count, `${PLANNED}_${stage}`, `${what} ${whom}`, () => planned[stage]);
  }
}

function eventMetrics(count: Add, show: Add, traffic: WarmUpTraffic): void {
  const { events, last } = traffic;
  const stages = {
    requested: 'of rowsets written here that event-driven jobs take to their targets.',
    submitted: 'of new rowsets that event-driven jobs brought here.',
    finished: 'of new rowsets of event-driven jobs that are wholly in the cache.',
    failed:
      'of new rowsets of event-driven jobs that were given up; the server may send them again.',
  } as const;
  for (const stage of ['requested', 'submitted', 'finished', 'failed'] as const) {
    segmentMetrics(count, `${EVENT}_${stage}`, stages[stage], () => events[stage]);
  }
  count(
    `${EVENT}_skipped_rowset_num`,
    'New rowsets of event-driven jobs that were in the cache already; they count as finished.',
    () => events.skippedRowsets,
  );
  show(
    `${ROWSET}_last_call_unix_ts`,
    'When rowsets written here were last handed to an event-driven job, microseconds since 1970; 0: never.',
    () => last.callMs * MICROS_PER_MS,
  );
  show(
    `${ROWSET}_last_handle_unix_ts`,
    'When a new rowset of an event-driven job last arrived here, microseconds since 1970; 0: never.',
    () => last.handleMs * MICROS_PER_MS,
  );
  show(
    `${ROWSET}_last_finish_unix_ts`,
    'When a new rowset of an event-driven job was last in the cache, microseconds since 1970; 0: never.',
    () => last.finishMs * MICROS_PER_MS,
  );
}

function rowsetMetrics(count: Add, traffic: WarmUpTraffic): void {
  count(
    `${ROWSET}_triggered_by_job_num`,
    'Rowsets in batches of ONCE and PERIODIC jobs.',
    () => traffic.planned.rowsets,
  );
  count(
    `${ROWSET}_triggered_by_event_driven_num`,
    'New rowsets that event-driven jobs brought here.',
    () => traffic.events.rowsets,
  );
  count(
    `${ROWSET}_complete_num`,
    'Rowsets of all warm-up jobs that are wholly in the cache.',
    () => traffic.completeRowsets,
  );
  count(
    'file_cache_warm_up_failed_task_num',
    'Segments of all warm-up jobs that were given up.',
    () => traffic.failedSegments,
  );
  for (const kind of LATENCY_KINDS) {
    const { name, help } = LATENCIES[kind];
    count(
      `${name}_slow_count`,
      `New rowsets for which it took longer than warm_up_rowset_slow_log_ms from the ${help}.`,
      () => traffic.slow[kind],
    );
  }
}

/**
 * Doris can hold a compaction's commit back until its result is warm elsewhere. Here nothing waits:
 * what was replaced stays readable and the result is an event. Dashboards made for Doris ask for
 * these names, and 0 is the truth.
 */
function waitMetrics(count: Add, show: Add): void {
  const never = 'always 0, since no compaction waits for a warm-up here.';
  count(
    `${ROWSET}_wait_for_compaction_num`,
    `Warm-ups that a compaction waited for: ${never}`,
    zero,
  );
  count(
    `${ROWSET}_wait_for_compaction_timeout_num`,
    `Warm-ups that a compaction waited for in vain: ${never}`,
    zero,
  );
  show(
    `${ROWSET}_wait_for_compaction_latency`,
    `Microseconds that compactions waited for warm-ups: ${never}`,
    zero,
  );
}

const zero = (): number => 0;

function downloadMetrics(count: Add, cache: BlockCache): void {
  for (const stage of ['submitted', 'finished', 'failed'] as const) {
    count(
      `file_cache_download_${stage}_num`,
      `Range downloads of warm-ups that were ${stage}${stage === 'failed' ? ' or cancelled' : ''}.`,
      () => cache.warmUpDownloads[stage],
    );
  }
  for (const stage of ['requested', 'finished'] as const) {
    const what = stage === 'requested' ? 'are to leave' : 'have left';
    for (const part of ['segment', 'index'] as const) {
      const help =
        part === 'segment'
          ? `Segments that ${what} the cache because they are gone from the object store.`
          : 'Index parts of these segments: each has one.';
      count(`file_cache_recycle_cache_${stage}_${part}_num`, help, () => cache.recycled[stage]);
    }
  }
}

function segmentMetrics(count: Add, prefix: string, what: string, read: () => SyncCounts): void {
  count(`${prefix}_segment_num`, `Segments ${what}`, () => read().segNum);
  count(
    `${prefix}_segment_size`,
    `Bytes of segments without their index part, ${what}`,
    () => read().segBytes,
  );
  count(`${prefix}_index_num`, `Index parts of segments, ${what}`, () => read().idxNum);
  count(`${prefix}_index_size`, `Bytes of index parts of segments, ${what}`, () => read().idxBytes);
}
