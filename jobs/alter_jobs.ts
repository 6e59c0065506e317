/**
 * Schema change and rollup jobs: one lane each for those that run, the oldest first. There is no
 * recovery code: after a crash the tick reads the rows and lanes go on from there.
 */
import type { JobId } from '../base/ids.ts';
import type { AlterJob, NewAlterJob } from '../catalog/alter_jobs.ts';
import { AlterLane, type AlterLaneDeps } from './alter_lane.ts';

/** Jobs that run at once; the others stay PENDING. */
const LANES_MAX = 4;
const TICK_MS = 1000;
/** Old jobs forgotten per tick. */
const EXPIRE_PER_TICK = 50;

interface Running {
  readonly lane: AlterLane;
  readonly ended: Promise<void>;
  readonly stop: AbortController;
}

export class AlterJobs {
  readonly #deps: AlterLaneDeps;
  readonly #running = new Map<JobId, Running>();
  #stopTimer: () => void = () => undefined;
  #ticking: Promise<void> | undefined;
  #tickAgain = false;
  #closed = false;

  constructor(deps: AlterLaneDeps) {
    this.#deps = deps;
  }

  start(): void {
    this.wake();
  }

  /** Lanes stop where they are; the rows say how to go on. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#stopTimer();
    for (const { stop } of this.#running.values()) stop.abort();
    await this.#ticking;
    await Promise.all([...this.#running.values()].map(({ ended }) => ended));
  }

  /** See `AlterJobStore.create` for what it throws. */
  async create(job: NewAlterJob): Promise<AlterJob> {
    const created = await this.#deps.catalog.alterJobs.create(job);
    this.wake();
    return created;
  }

  /** Rowsets rewritten since the server started; undefined when the job does not run here. */
  progress(jobId: JobId): { readonly done: number; readonly found: number } | undefined {
    return this.#running.get(jobId)?.lane.progress;
  }

  /** Starts lanes soon. */
  wake(): void {
    if (this.#closed) return;
    if (this.#ticking !== undefined) {
      this.#tickAgain = true;
      return;
    }
    this.#stopTimer();
    this.#ticking = this.#tick();
  }

  async #tick(): Promise<void> {
    const { catalog, clock, config, log } = this.#deps;
    this.#tickAgain = false;
    try {
      for (const job of await catalog.alterJobs.active()) {
        if (this.#closed || this.#running.size >= LANES_MAX) break;
        if (!this.#running.has(job.jobId)) this.#start(job);
      }
      const keepMs = config.get('history_job_keep_max_second') * 1000;
      await catalog.alterJobs.expire(clock.now() - keepMs, EXPIRE_PER_TICK);
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      if (!this.#closed) log.error('the tick of alter jobs failed', { error: text });
    } finally {
      this.#ticking = undefined;
      if (this.#tickAgain) this.wake();
      else if (!this.#closed) {
        this.#stopTimer = clock.after(TICK_MS, () => {
          this.wake();
        });
      }
    }
  }

  #start(job: AlterJob): void {
    const { log } = this.#deps;
    const stop = new AbortController();
    const lane = new AlterLane(this.#deps, job, stop.signal);
    const ended = lane
      .run()
      .catch((error: unknown) => {
        const stack = error instanceof Error ? error.stack : String(error);
        if (!this.#closed) log.error('an alter job stopped', { jobId: job.jobId, stack });
      })
      .finally(() => {
        this.#running.delete(job.jobId);
        if (!this.#closed) this.wake();
      });
    this.#running.set(job.jobId, { lane, ended, stop });
  }
}
