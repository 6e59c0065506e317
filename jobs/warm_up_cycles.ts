/**
 * How long runs have been going on, and when the next cycle of a periodic job is due. Durations
 * are monotonic as long as this process lives: a step of the wall clock, forwards or backwards,
 * neither starts a cycle early nor stalls a job. After a restart only the wall clock knows how
 * long ago a run started; then a job waits for one interval at most.
 */
import type { JobId } from '../base/ids.ts';
import type { Clock } from '../base/ports.ts';
import type { WarmUpJob } from '../catalog/warm_up_jobs.ts';

/**
 * The wall clock is corrected by up to this much all the time. So that two StartTimes never look
 * closer than the interval, a correction is waited for; more than this is a step, and is not.
 */
const CORRECTION_MAX_MS = 1000;

interface Start {
  readonly startMs: number;
  /** Monotonic moment of the start; may lie before that of the process. */
  readonly monotonic: number;
}

export class WarmUpCycles {
  readonly #clock: Clock;
  readonly #starts = new Map<JobId, Start>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Milliseconds since StartTime; undefined before the first start. */
  elapsedMs(job: Pick<WarmUpJob, 'jobId' | 'startMs'>): number | undefined {
    const { jobId, startMs } = job;
    if (startMs === null) return undefined;
    const monotonic = this.#clock.monotonic();
    let start = this.#starts.get(jobId);
    if (start?.startMs !== startMs) {
      const passed = Math.max(0, this.#clock.now() - startMs);
      start = { startMs, monotonic: monotonic - passed };
      this.#starts.set(jobId, start);
    }
    return monotonic - start.monotonic;
  }

  /** Milliseconds until a periodic job may start again, 0 when it may; 0 for other jobs. */
  untilDueMs(
    job: Pick<WarmUpJob, 'jobId' | 'startMs' | 'syncMode' | 'syncIntervalS' | 'startAsked'>,
  ): number {
    const elapsed = this.elapsedMs(job);
    if (elapsed === undefined || job.startMs === null || job.startAsked) return 0;
    if (job.syncMode !== 'PERIODIC' || job.syncIntervalS === null) return 0;
    const intervalMs = job.syncIntervalS * 1000;
    const left = intervalMs - elapsed;
    const leftByWall = job.startMs + intervalMs - this.#clock.now();
    const corrected = leftByWall > left && leftByWall - left <= CORRECTION_MAX_MS;
    return Math.max(0, corrected ? leftByWall : left);
  }

  /** Wall clock of the next start of a periodic job; undefined: due already, or it has none. */
  nextStartMs(job: WarmUpJob): number | undefined {
    if (job.state !== 'PENDING' && job.state !== 'RUNNING') return undefined;
    const untilDueMs = this.untilDueMs(job);
    if (untilDueMs <= 0 || job.startMs === null || job.syncIntervalS === null) return undefined;
    // The same moment every time it is asked for, unless the wall clock has stepped.
    const byWall = job.startMs + job.syncIntervalS * 1000;
    const expected = this.#clock.now() + untilDueMs;
    return Math.abs(expected - byWall) <= CORRECTION_MAX_MS ? byWall : Math.round(expected);
  }

  forget(jobId: JobId): void {
    this.#starts.delete(jobId);
  }
}
