/**
 * Schema change and rollup jobs: one lane each for those that run, the oldest first. There is no
 * recovery code: after a crash the tick reads the rows and lanes go on from there.
 */
import { SqlError } from '../base/errors.ts';
import type { JobId } from '../base/ids.ts';
import type { AlterJob, NewAlterJob } from '../catalog/alter_jobs.ts';
import { ALTER } from './alter_lifecycle.ts';
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

  /** Throws ALTER_NO_JOB when it has ended. Never waits for a backend. */
  async cancel(jobId: JobId, reason: string): Promise<void> {
    const { catalog } = this.#deps;
    for (;;) {
      const job = await catalog.alterJobs.find(jobId);
      if (job === undefined || ALTER.cell(job.state, 'cancelAsked').kind !== 'move') {
        const { tableName: table = '', kind = '' } = job ?? {};
        throw new SqlError('ALTER_NO_JOB', { table, kind });
      }
      try {
        await catalog.alterTables.cancel(job, reason);
        break;
      } catch (error) {
        // Its lane has moved it on: what is true now decides.
        if ((error as { readonly code?: unknown }).code !== 'STALE_ROW') throw error;
      }
    }
    this.#running.get(jobId)?.stop.abort();
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
