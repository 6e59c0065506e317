/**
 * The warm-up part of the server's `/metrics`; names are Doris's (reference/warm-up 1.11). Series
 * of a job come with it and leave with it: ended jobs are shown for a while only.
 */
import type { Registry } from 'prom-client';
import { type Sample, counter, gauge } from '../base/read_metrics.ts';
import { SYNC_WINDOWS } from '../base/sync_windows.ts';
import type { WarmUpJob } from '../catalog/warm_up_jobs.ts';
import type { TargetCounts } from '../jobs/warm_up_counts.ts';
import type { Services } from './services.ts';

const JOB = 'file_cache_warm_up_job';
const SYNC_JOB = 'doris_fe_file_cache_warm_up_sync_job';
/** How long the series of a job stay after its end, so that a scrape sees the end. */
const ENDED_SHOWN_MS = 600_000;
/** Jobs that have series of their own; of more the oldest have none. */
const JOBS_MAX = 1000;
const STATES = ['PENDING', 'RUNNING', 'PAUSED'] as const;

type Deps = Pick<Services, 'catalog' | 'clock' | 'syncStats' | 'warmUps'>;

export function registerWarmUpMetrics(registry: Registry, deps: Deps): void {
  stateMetrics(registry, deps);
  targetMetrics(registry, deps);
  timeMetrics(registry, deps);
  syncMetrics(registry, deps);
}

function stateMetrics(registry: Registry, { catalog, warmUps }: Deps): void {
  gauge(
    registry,
    {
      name: 'file_cache_warm_up_jobs',
      help: 'Warm-up jobs that are not final.',
      labels: ['job_state'],
    },
    async () => {
      const jobs = await catalog.warmUpJobs.active();
      return STATES.map((state): Sample => {
        const count = jobs.filter((job) => job.state === state).length;
        return [{ job_state: state }, count];
      });
    },
  );
  counter(
    registry,
    {
      name: 'file_cache_warm_up_late_events_total',
      help: 'Messages about warm-up jobs that came too late to matter.',
    },
    () => [[{}, warmUps.lateEvents]],
  );
}

/** Since the server started. */
function targetMetrics(registry: Registry, { warmUps }: Deps): void {
  const add = (name: string, help: string, read: (counts: TargetCounts) => number): void => {
    counter(registry, { name, help, labels: ['dst'] }, () =>
      [...warmUps.counts.targets].map(([dst, counts]): Sample => [{ dst }, read(counts)]),
    );
  };
  add(`${JOB}_exec_count`, 'Runs of warm-up jobs that started, per target group.', (c) => c.execs);
  add(
    `${JOB}_requested_tablets`,
    'Tablets that runs of ONCE and PERIODIC jobs were to warm, per target group.',
    (c) => c.requestedTablets,
  );
  add(
    `${JOB}_finished_tablets`,
    'Tablets that these runs brought wholly into the caches, per target group.',
    (c) => c.finishedTablets,
  );
}

function timeMetrics(registry: Registry, deps: Deps): void {
  const labels = ['job_id', 'src', 'dst'];
  const add = (name: string, help: string, read: (job: WarmUpJob) => number | null): void => {
    gauge(registry, { name, help, labels }, async () =>
      (await shownJobs(deps)).flatMap((job): Sample[] => {
        const value = read(job);
        return value === null ? [] : [[pairOf(job), value]];
      }),
    );
  };
  add(
    `${JOB}_latest_start_time`,
    'When the last run of a job started, milliseconds since 1970; absent before the first.',
    ({ startMs }) => startMs,
  );
  add(
    `${JOB}_last_finish_time`,
    'When the last run of a job ended, milliseconds since 1970; absent before the first end.',
    ({ finishMs }) => finishMs,
  );
}

function syncMetrics(registry: Registry, deps: Deps): void {
  const { syncStats } = deps;
  gauge(
    registry,
    {
      name: `${SYNC_JOB}_info`,
      help: 'Always 1: a PERIODIC or EVENT_DRIVEN job, described by labels.',
      labels: ['job_id', 'job_type', 'sync_mode', 'sync_event', 'job_state', 'src', 'dst'],
    },
    async () => {
      const jobs = await shownJobs(deps);
      return jobs.filter(({ syncMode }) => syncMode !== 'ONCE').map((job) => [infoOf(job), 1]);
    },
  );
  gauge(
    registry,
    {
      name: `${SYNC_JOB}_size_bytes`,
      help: 'Bytes of new rowsets of an EVENT_DRIVEN job that its source made (src) and its target has in its cache (dst), per window.',
      labels: ['job_id', 'side', 'window'],
    },
    async () => (await eventJobs(deps)).flatMap((job) => sizesOf(deps, job)),
  );
  gauge(
    registry,
    {
      name: `${SYNC_JOB}_trigger_gap_ms`,
      help: 'Milliseconds between the newest commit of an EVENT_DRIVEN job and the one that its target has come to.',
      labels: ['job_id'],
    },
    async () => {
      const jobs = await eventJobs(deps);
      return jobs.map(({ jobId }): Sample => {
        const { triggerGapMs } = syncStats.windows(jobId);
        return [{ job_id: String(jobId) }, triggerGapMs];
      });
    },
  );
}

function sizesOf({ syncStats }: Deps, { jobId }: WarmUpJob): Sample[] {
  const { windows } = syncStats.windows(jobId);
  const job_id = String(jobId);
  return SYNC_WINDOWS.flatMap((window): Sample[] => {
    const { requested, finished } = windows[window];
    return [
      [{ job_id, side: 'src', window }, requested.segBytes + requested.idxBytes],
      [{ job_id, side: 'dst', window }, finished.segBytes + finished.idxBytes],
    ];
  });
}

/** Newest first. */
async function shownJobs({ catalog, clock }: Deps): Promise<readonly WarmUpJob[]> {
  const active = await catalog.warmUpJobs.active();
  const known = new Set(active.map(({ jobId }) => jobId));
  const since = clock.now() - ENDED_SHOWN_MS;
  const ended = (await catalog.warmUpJobs.list()).filter(
    ({ jobId, finishMs }) => !known.has(jobId) && finishMs !== null && finishMs >= since,
  );
  return [...active.toReversed(), ...ended].slice(0, JOBS_MAX);
}

async function eventJobs(deps: Deps): Promise<readonly WarmUpJob[]> {
  return (await shownJobs(deps)).filter(({ syncMode }) => syncMode === 'EVENT_DRIVEN');
}

function pairOf({ jobId, srcGroup, dstGroup }: WarmUpJob): Record<string, string> {
  return { job_id: String(jobId), src: srcGroup ?? '', dst: dstGroup };
}

function infoOf(job: WarmUpJob): Record<string, string> {
  const { kind, syncMode, syncEvent, state } = job;
  return {
    ...pairOf(job),
    job_type: kind,
    sync_mode: syncMode,
    sync_event: syncEvent ?? '',
    job_state: state,
  };
}
