/**
 * What jobs leave behind goes again: the work of runs that have ended, old runs and transitions,
 * and jobs that ended long ago. A periodic job of one second would leave a million rows a day.
 */
import type { Config } from '../base/config.ts';
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

export interface HistoryDeps {
  readonly catalog: Catalog;
  readonly config: Config;
  readonly clock: Clock;
}

export class WarmUpHistory {
  readonly #deps: HistoryDeps;
  /** Monotonic. */
  #nextSweep = 0;

  constructor(deps: HistoryDeps) {
    this.#deps = deps;
  }

  /** Does something every 20 scheduler intervals. Many small transactions. */
  async sweep(): Promise<void> {
    const { catalog, config, clock } = this.#deps;
    const now = clock.monotonic();
    if (now < this.#nextSweep) return;
    const interval = config.get('cloud_warm_up_job_scheduler_interval_millisecond');
    this.#nextSweep = now + SWEEP_EVERY * interval;
    const beforeMs = clock.now() - config.get('history_cloud_warm_up_job_keep_max_second') * 1000;
    await catalog.warmUpJobs.expire(beforeMs, EXPIRE_PER_SWEEP);
    const jobs = await catalog.warmUpJobs.active();
    await this.#dropWork(jobs);
    for (const job of jobs) {
      if (job.syncMode !== 'PERIODIC') continue;
      await this.#expireRuns(job, beforeMs);
    }
  }

  /** A CANCELLED one-time job keeps its batches: RETRY needs to know what was not done. */
  async #dropWork(active: readonly WarmUpJob[]): Promise<void> {
    const { warmUpBatches, warmUpJobs } = this.#deps.catalog;
    const byId = new Map(active.map((job) => [job.jobId, job]));
    for (const { jobId, run } of await warmUpBatches.runsWithWork()) {
      const job = byId.get(jobId) ?? (await warmUpJobs.find(jobId));
      if (job !== undefined && isNeeded(job, run)) continue;
      await warmUpBatches.deleteRun(jobId, run);
    }
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
