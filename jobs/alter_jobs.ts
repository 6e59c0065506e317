/**
 * Schema change and rollup jobs: one lane each, the oldest first, some of them running at once.
 * There is no recovery code: after a crash the tick reads the rows and lanes go on from there.
 */
import { SqlError } from '../base/errors.ts';
import type { JobId } from '../base/ids.ts';
import type { AlterJob, NewAlterJob } from '../catalog/alter_jobs.ts';
import { ALTER } from './alter_lifecycle.ts';
import { AlterLane, type AlterLaneDeps, LOST_WRITE_GRACE_MS } from './alter_lane.ts';

/** Lanes that run at once; those that wait for loads or backends do not count. */
const LANES_MAX = 4;
const TICK_MS = 500;
/** Old jobs forgotten per tick. */
const EXPIRE_PER_TICK = 50;
/** Leftover writes forgotten at a start; more than the calls of all lanes have cannot be there. */
const STRAYS_MAX = 600;

interface Entry {
  readonly lane: AlterLane;
  readonly stop: AbortController;
  /** While it runs. */
  running: Promise<void> | undefined;
  /** On the monotonic clock: it waits until then. */
  notBeforeMs: number;
}

export class AlterJobs {
  readonly #deps: AlterLaneDeps;
  readonly #lanes = new Map<JobId, Entry>();
  #stopTimer: () => void = () => undefined;
  #ticking: Promise<void> | undefined;
  #tickAgain = false;
  #isFirst = true;
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
    for (const { stop } of this.#lanes.values()) stop.abort();
    await this.#ticking;
    await Promise.all([...this.#lanes.values()].flatMap(({ running }) => running ?? []));
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
    this.#lanes.get(jobId)?.stop.abort();
  }

  /** Rowsets rewritten since the server started; undefined when the job does not run here. */
  progress(jobId: JobId): { readonly done: number; readonly found: number } | undefined {
    return this.#lanes.get(jobId)?.lane.progress;
  }

  /** Runs a tick soon. */
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
      if (this.#isFirst) await catalog.alterWrites.dropStrays(LOST_WRITE_GRACE_MS, STRAYS_MAX);
      this.#isFirst = false;
      const jobs = await catalog.alterJobs.active();
      this.#forgetEnded(new Set(jobs.map(({ jobId }) => jobId)));
      for (const job of jobs) {
        if (this.#closed || this.#runningCount() >= LANES_MAX) break;
        this.#run(job);
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

  #runningCount(): number {
    return [...this.#lanes.values()].filter(({ running }) => running !== undefined).length;
  }

  /** Of jobs that were cancelled while they waited. */
  #forgetEnded(active: ReadonlySet<JobId>): void {
    for (const [jobId, { running }] of this.#lanes) {
      if (running === undefined && !active.has(jobId)) this.#lanes.delete(jobId);
    }
  }

  #run(job: AlterJob): void {
    const { clock } = this.#deps;
    const { jobId } = job;
    const entry = this.#lanes.get(jobId) ?? this.#newEntry(job);
    this.#lanes.set(jobId, entry);
    if (entry.running !== undefined || clock.monotonic() < entry.notBeforeMs) return;
    entry.running = this.#drive(jobId, entry);
  }

  #newEntry(job: AlterJob): Entry {
    const stop = new AbortController();
    const lane = new AlterLane(this.#deps, job, stop.signal);
    return { lane, stop, running: undefined, notBeforeMs: 0 };
  }

  async #drive(jobId: JobId, entry: Entry): Promise<void> {
    const { clock, log } = this.#deps;
    let pauseMs: number | undefined;
    try {
      pauseMs = await entry.lane.run();
    } catch (error) {
      const stack = error instanceof Error ? error.stack : String(error);
      if (!this.#closed) log.error('an alter job stopped', { jobId, stack });
      pauseMs = TICK_MS;
    }
    entry.running = undefined;
    if (pauseMs !== undefined) entry.notBeforeMs = clock.monotonic() + pauseMs;
    else this.#lanes.delete(jobId);
    // There is a place for the next one.
    if (pauseMs === undefined) this.wake();
  }
}
