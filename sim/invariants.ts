/**
 * What must be true, one named function each with the sentence that it checks. They look at the
 * catalog's file and at the backends' disks, not at what the parts under test say of themselves.
 */
import type { BackendId, JobId, RowsetId, TabletId } from '../base/ids.ts';
import { servingBackend } from '../base/placement.ts';
import { SILENT_LOG } from '../base/ports.ts';
import { BLOCK_BYTES, segmentKey } from '../base/schema.ts';
import type { BlockCache } from '../be-agent/cache/block_cache.ts';
import { FINAL_STATES } from './observed.ts';
import type { CatalogView, JobView, RowsetView, RunView } from './observed.ts';
import { type SimBackend, cacheOn, objectsOf } from './sim_backend.ts';
import type { SimServer } from './sim_server.ts';
import { START_MS } from './virtual_time.ts';

/** What is known after a step that changed the catalog. */
export interface Seen {
  /** Milliseconds of the run. */
  readonly nowMs: number;
  readonly jobs: ReadonlyMap<JobId, JobView>;
  /** As they were after the last such step. */
  readonly before: ReadonlyMap<JobId, JobView>;
  readonly runs: readonly RunView[];
  readonly runsBefore: ReadonlyMap<string, RunView>;
  readonly slots: ReadonlyMap<string, JobId>;
  readonly catalog: CatalogView;
  readonly server: SimServer;
  /** Per run: how often somebody had asked for a start when it started. */
  readonly startsAsked: Map<string, number>;
  /** When a rowset was first seen to be visible, milliseconds of the run. */
  readonly visibleMs: (rowsetId: RowsetId) => number;
  /** For warmth: blocks that were looked at, and those excused. */
  readonly warmth: { checkedBlocks: number; excusedTablets: number };
}

export interface Invariant {
  readonly name: string;
  /** The sentence that is checked. */
  readonly claim: string;
  /** What is wrong; undefined: nothing. */
  check(seen: Seen): string | undefined | Promise<string | undefined>;
}

export function runName({ jobId, run }: { readonly jobId: JobId; readonly run: number }): string {
  return `${jobId}/${run}`;
}

const oneRunningPerTarget: Invariant = {
  name: 'one-running-per-target',
  claim: 'At most one ONCE or PERIODIC job is RUNNING per target group.',
  check: ({ jobs }) => {
    const running = new Map<string, JobId>();
    for (const job of jobs.values()) {
      if (job.state !== 'RUNNING' || job.syncMode === 'EVENT_DRIVEN') continue;
      const other = running.get(job.dstGroup);
      if (other !== undefined) {
        return `jobs ${other} and ${job.jobId} are both RUNNING on ${job.dstGroup}`;
      }
      running.set(job.dstGroup, job.jobId);
    }
    return undefined;
  },
};

const slotsMatchRunning: Invariant = {
  name: 'slots-match-running',
  claim: 'A slot is held by exactly the ONCE or PERIODIC job that is RUNNING on its target group.',
  check: ({ jobs, slots }) => {
    for (const [group, jobId] of slots) {
      const holder = jobs.get(jobId);
      if (holder?.state !== 'RUNNING' || holder.dstGroup !== group) {
        return `job ${jobId} (${holder?.state ?? 'gone'}) holds the slot of ${group}`;
      }
    }
    for (const job of jobs.values()) {
      if (job.state !== 'RUNNING' || job.syncMode === 'EVENT_DRIVEN') continue;
      if (slots.get(job.dstGroup) !== job.jobId) {
        return `job ${job.jobId} is RUNNING without the slot of ${job.dstGroup}`;
      }
    }
    return undefined;
  },
};

const finalIsFinal: Invariant = {
  name: 'final-is-final',
  claim: 'No state comes after a final one, and each transition begins where the last one ended.',
  check: ({ jobs, before, catalog }) => {
    for (const job of jobs.values()) {
      const old = before.get(job.jobId);
      if (old !== undefined && FINAL_STATES.has(old.state) && old.state !== job.state) {
        return `job ${job.jobId} was ${old.state} and is ${job.state}`;
      }
      if (old?.state === job.state && old.run === job.run) continue;
      let state: string | undefined;
      for (const { from, event, to } of catalog.transitions(job.jobId)) {
        if (state !== undefined && FINAL_STATES.has(state)) {
          return `job ${job.jobId}: ${event} after ${state}`;
        }
        if (state !== undefined && from !== state) {
          return `job ${job.jobId}: ${event} leads from ${from}, but it was ${state}`;
        }
        state = to;
      }
      if (state !== undefined && state !== job.state) {
        return `job ${job.jobId} is ${job.state}, its last transition led to ${state}`;
      }
    }
    return undefined;
  },
};

const numbersOnlyGrow: Invariant = {
  name: 'numbers-only-grow',
  claim:
    'Within a run, finished batches, bytes and tablets never become fewer, unless a batch is ' +
    'taken back because its backend has restarted; none is ever below zero.',
  check: ({ jobs, before }) => {
    const keys = [
      'finishBatch',
      'finishBytes',
      'doneTablets',
      'skippedTablets',
      'failedTablets',
    ] as const;
    for (const job of jobs.values()) {
      for (const key of keys) if (job[key] < 0) return `job ${job.jobId}: ${key} is ${job[key]}`;
      const old = before.get(job.jobId);
      if (old?.run !== job.run || old.reopened !== job.reopened) continue;
      for (const key of keys) {
        if (job[key] < old[key]) return `job ${job.jobId}: ${key} ${old[key]} -> ${job[key]}`;
      }
      if (job.finishBatch > job.allBatch) {
        return `job ${job.jobId}: ${job.finishBatch} of ${job.allBatch} batches are finished`;
      }
    }
    return undefined;
  },
};

const intervalIsKept: Invariant = {
  name: 'interval-is-kept',
  claim: 'Two starts of a PERIODIC job are at least its interval apart, unless somebody asked.',
  check: (seen) => {
    const { jobs, before, runs, runsBefore } = seen;
    const last = new Map<JobId, RunView>();
    for (const run of runs) {
      const previous = last.get(run.jobId);
      last.set(run.jobId, run);
      if (previous === undefined || runsBefore.has(runName(run))) continue;
      const job = jobs.get(run.jobId);
      const old = before.get(run.jobId);
      if (job?.syncMode !== 'PERIODIC' || askedSince(previous, job, seen)) continue;
      const intervalMs = 1000 * Math.min(job.intervalS ?? 0, old?.intervalS ?? Infinity);
      const gapMs = run.startMs - previous.startMs;
      if (gapMs < intervalMs) {
        return `job ${run.jobId} started after ${gapMs} ms, its interval is ${intervalMs} ms`;
      }
    }
    return undefined;
  },
};

/** Asked between the start before and this one: what the previous start had seen is remembered. */
function askedSince(previous: RunView, job: JobView, { startsAsked }: Seen): boolean {
  const then = startsAsked.get(runName(previous)) ?? 0;
  startsAsked.set(`${job.jobId}/${job.run}`, job.startsAsked);
  return job.startsAsked > then;
}

const finishedMeansWarm: Invariant = {
  name: 'finished-means-warm',
  claim:
    'When a run is FINISHED, every block of every tablet of it is in the cache of the backend ' +
    'that serves the tablet, and would be after a crash of that backend.',
  check: async (seen) => {
    for (const run of finishedNow(seen)) {
      const problem = await coldBlock(seen, run);
      if (problem !== undefined) return `run ${run.run} of job ${run.jobId}: ${problem}`;
    }
    return undefined;
  },
};

/** In the order in which they are checked: the first that fails is reported. */
export const INVARIANTS: readonly Invariant[] = [
  oneRunningPerTarget,
  slotsMatchRunning,
  finalIsFinal,
  numbersOnlyGrow,
  intervalIsKept,
  finishedMeansWarm,
];

/** A ONCE job says so by its own state, a run of another one by its row. */
function finishedNow({ jobs, before, runs, runsBefore }: Seen): Finished[] {
  const finished: Finished[] = [];
  for (const { jobId, run, state, startMs, syncMode } of jobs.values()) {
    if (syncMode !== 'ONCE' || state !== 'FINISHED' || startMs === null) continue;
    if (before.get(jobId)?.state !== 'FINISHED') finished.push({ jobId, run, startMs });
  }
  for (const run of runs) {
    if (run.outcome !== 'FINISHED' || jobs.get(run.jobId)?.syncMode === 'ONCE') continue;
    if (runsBefore.get(runName(run))?.outcome !== 'FINISHED') finished.push(run);
  }
  return finished;
}

type Finished = Pick<RunView, 'jobId' | 'run' | 'startMs'>;

async function coldBlock(seen: Seen, run: Finished): Promise<string | undefined> {
  const job = seen.jobs.get(run.jobId);
  if (job === undefined) return undefined;
  const tablets = seen.catalog.tabletsOfRun(run.jobId, run.run);
  // A compaction's result has the age of what it was made from: what was seen is what counts.
  const startMs = run.startMs - START_MS;
  const wanted = seen.catalog
    .visibleRowsets()
    .filter(
      ({ tabletId, rowsetId }) => tablets.has(tabletId) && seen.visibleMs(rowsetId) < startMs,
    );
  return await coldRowset(seen, job.dstGroup, wanted, startMs);
}

/**
 * The first rowset that is not wholly where the group's readers look for it. What left a cache for
 * lack of room, or because somebody cleared it, since `sinceMs` is excused.
 */
export async function coldRowset(
  { catalog, server, warmth }: Pick<Seen, 'catalog' | 'server' | 'warmth'>,
  group: string,
  rowsets: readonly RowsetView[],
  sinceMs: number,
): Promise<string | undefined> {
  const alive = aliveIn(catalog, server, group);
  const durable = new Map<BackendId, BlockCache>();
  try {
    for (const rowset of rowsets) {
      const backend = servedBy(rowset.tabletId, alive, server);
      if (backend === undefined) continue;
      if (backend.forgotMs >= sinceMs) {
        warmth.excusedTablets += 1;
        continue;
      }
      const known =
        durable.get(backend.backendId) ??
        (await cacheOn(backend.disk.image(), 2 ** 40, SILENT_LOG));
      durable.set(backend.backendId, known);
      const problem = coldSegment(rowset, backend, known);
      if (problem !== undefined) return problem;
      for (const { bytes } of rowset.segments) {
        warmth.checkedBlocks += Math.ceil(bytes / BLOCK_BYTES);
      }
    }
    return undefined;
  } finally {
    for (const cache of durable.values()) await cache.abandon();
  }
}

/** Who the group's readers go to, as the server knows it. */
export function aliveIn(catalog: CatalogView, server: SimServer, group: string): BackendId[] {
  return catalog
    .backends()
    .filter((backend) => backend.group === group)
    .map((backend) => backend.backendId as BackendId)
    .filter((backendId) => server.services?.registry.isAlive(backendId) === true);
}

function servedBy(
  tabletId: TabletId,
  alive: readonly BackendId[],
  server: SimServer,
): SimBackend | undefined {
  const backendId = servingBackend(tabletId, alive);
  return backendId === undefined ? undefined : server.backends.get(backendId);
}

function coldSegment(
  rowset: RowsetView,
  backend: SimBackend,
  durable: BlockCache,
): string | undefined {
  const { tabletId, rowsetId } = rowset;
  const place = {
    tabletId,
    partitionId: rowset.partitionId as never,
    ttlSeconds: rowset.ttlSeconds,
  };
  const objects = objectsOf(undefined as never, place, rowset);
  for (const [at, object] of objects.entries()) {
    const key = segmentKey(tabletId, rowsetId, rowset.segments[at]?.segment ?? 0);
    if (backend.cache?.hasBlocks(object) === false) {
      return `${key} is not in the cache of backend ${backend.backendId}`;
    }
    if (!durable.hasBlocks(object)) {
      return `${key} would not be in the cache of backend ${backend.backendId} after a crash`;
    }
  }
  return undefined;
}
