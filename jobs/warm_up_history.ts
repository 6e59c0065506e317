/**
 * What jobs leave behind goes again: the work of runs that have ended, old runs and transitions,
 * and jobs that ended long ago. A periodic job of one second would leave a million rows a day.
 */
import type { Config } from '../base/config.ts';
import type { JobId } from '../base/ids.ts';
import type { Clock } from '../base/ports.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { WarmUpJob } from '../catalog/warm_up_jobs.ts';

/** Runs of one job that are kept, however young they are. */
export const RUNS_PER_JOB_MAX = 1000;
/** Of these newest runs the failed items are kept by name. */
const RUNS_WITH_FAILURES = 50;
/** Transitions of one job that are kept. */
const TRANSITIONS_PER_JOB_MAX = 1000;
/** Scheduler intervals between two sweeps (reference/warm-up 1.5: every 20 ticks). */
const SWEEP_EVERY = 20;
/** Expired jobs deleted per sweep. */
const EXPIRE_PER_SWEEP = 100;
/** Jobs looked at in one round: a sweep over many jobs takes several. */
const JOBS_PER_ROUND = 20;

export interface HistoryDeps {
  readonly catalog: Catalog;
  readonly config: Config;
  readonly clock: Clock;
}

export class WarmUpHistory {
  readonly #deps: HistoryDeps;
  /** Monotonic. */
  #nextSweep = 0;
  /** What is left of the sweep that is on. */
  #left: (() => Promise<void>)[] = [];

  constructor(deps: HistoryDeps) {
    this.#deps = deps;
  }

  /** A piece of a sweep, which begins every 20 scheduler intervals. Small transactions. */
  async sweep(): Promise<void> {
    const { config, clock } = this.#deps;
    const now = clock.monotonic();
    if (this.#left.length === 0 && now >= this.#nextSweep) {
      const interval = config.get('cloud_warm_up_job_scheduler_interval_millisecond');
      this.#nextSweep = now + SWEEP_EVERY * interval;
      await this.#begin();
    }
    for (const work of this.#left.splice(0, JOBS_PER_ROUND)) await work();
  }

  async #begin(): Promise<void> {
    const { catalog, config, clock } = this.#deps;
    const beforeMs = clock.now() - config.get('history_cloud_warm_up_job_keep_max_second') * 1000;
    await catalog.warmUpJobs.expire(beforeMs, EXPIRE_PER_SWEEP);
    const withWork = await catalog.warmUpBatches.runsWithWork();
    const jobs = await catalog.warmUpJobs.active();
    this.#left = [
      ...withWork.map(({ jobId, run }) => async () => {
        await this.#dropWork(jobId, run);
      }),
      ...jobs
        .filter((job) => job.syncMode === 'PERIODIC')
        .map((job) => async () => {
          await this.#expireRuns(job, beforeMs);
        }),
      ...jobs
        .filter((job) => job.syncMode === 'EVENT_DRIVEN')
        .map(({ jobId }) => async () => {
          await catalog.eventCursors.forgetGone(jobId, beforeMs);
        }),
    ];
  }

  /** A CANCELLED one-time job keeps its batches: RETRY needs to know what was not done. */
  async #dropWork(jobId: JobId, run: number): Promise<void> {
    const { catalog } = this.#deps;
    await catalog.transaction(async (tx) => {
      const job = await tx.warmUpJobs.find(jobId);
      if (job !== undefined && isNeeded(job, run)) return;
      await tx.warmUpBatches.deleteRun(jobId, run);
    });
  }

  async #expireRuns(job: WarmUpJob, beforeMs: number): Promise<void> {
    const { warmUpRuns, warmUpJobs } = this.#deps.catalog;
    const { jobId, run, version } = job;
    while ((await warmUpRuns.expire(jobId, run - RUNS_PER_JOB_MAX, beforeMs)) > 0);
    await warmUpRuns.expireFailures(jobId, run - RUNS_WITH_FAILURES);
    await warmUpJobs.expireTransitions(jobId, version - TRANSITIONS_PER_JOB_MAX);
  }
}

function isNeeded(job: WarmUpJob, run: number): boolean {
  if (job.run !== run) return false;
  return job.syncMode === 'ONCE' ? job.state !== 'FINISHED' : job.state === 'RUNNING';
}
