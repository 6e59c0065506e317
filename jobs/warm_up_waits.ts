/** WAIT FOR WARM UP JOB: until the job, or its run, or its events so far have come to an end. */
import { SqlError } from '../base/errors.ts';
import type { JobId } from '../base/ids.ts';
import type { Clock } from '../base/ports.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { NotWarm } from '../catalog/event_cursors.ts';
import type { WarmUpJob } from '../catalog/warm_up_jobs.ts';
import type { ProgressBoard } from './progress_board.ts';
import { isFinal } from './warm_up_changes.ts';
import type { RowsetEventDelivery } from './warm_up_deps.ts';

/** Cursors of event-driven jobs move without a transition: they are looked at this often. */
const LOOK_EVERY_MS = 200;

export interface WaitOptions {
  /** Absent: as long as it takes. */
  readonly timeoutMs?: number;
  readonly signal: AbortSignal;
}

/** What is waited for; a job's end ends every wait. */
type Goal =
  | { readonly kind: 'end' }
  /** The first run of this number or a higher one that comes to an end by itself. */
  | { readonly kind: 'run'; run: number }
  /** Everything up to this event of the source. */
  | { readonly kind: 'events'; readonly seq: number };

/** How a person reads what an event-driven job could not warm; empty: everything is warm. */
export function notWarmText({ tablets, first }: NotWarm): string {
  if (tablets === 0) return '';
  return `${tablets} ${tablets === 1 ? 'tablet is' : 'tablets are'} not warm: ${first}`;
}

export interface WaitsDeps {
  readonly catalog: Catalog;
  readonly clock: Clock;
  readonly board: ProgressBoard;
  readonly events: Pick<RowsetEventDelivery, 'newestSeq' | 'isPast'>;
}

export class WarmUpWaits {
  readonly #deps: WaitsDeps;
  readonly #waiters = new Map<JobId, Set<() => void>>();

  constructor(deps: WaitsDeps) {
    this.#deps = deps;
  }

  /** The job's row has changed. */
  changed(jobId: JobId): void {
    for (const wake of this.#waiters.get(jobId) ?? []) wake();
  }

  /** See `WarmUpJobs.waitFor`. */
  async waitFor(jobId: JobId, { timeoutMs, signal }: WaitOptions): Promise<WarmUpJob> {
    const { clock } = this.#deps;
    const goal = this.#goalOf(await this.#find(jobId));
    const deadline = timeoutMs === undefined ? Infinity : clock.monotonic() + timeoutMs;
    for (;;) {
      signal.throwIfAborted();
      // Listens before it looks: a change in between is not missed.
      const change = this.#nextChange(jobId, signal);
      try {
        const job = await this.#find(jobId);
        if (await this.#reached(job, goal)) return job;
        const leftMs = deadline - clock.monotonic();
        if (leftMs <= 0) throw this.#timeout(job, timeoutMs ?? 0);
        await change.within(Math.min(leftMs, LOOK_EVERY_MS));
      } finally {
        change.stop();
      }
    }
  }

  #goalOf(job: WarmUpJob): Goal {
    switch (job.syncMode) {
      case 'ONCE':
        return { kind: 'end' };
      case 'PERIODIC': {
        const comesNext = job.startMs === null ? job.run : job.run + 1;
        return { kind: 'run', run: job.state === 'RUNNING' ? job.run : comesNext };
      }
      case 'EVENT_DRIVEN':
        return { kind: 'events', seq: this.#deps.events.newestSeq(job) };
    }
  }

  /** Throws when it cannot be reached any more, or something is not warm that should be. */
  async #reached(job: WarmUpJob, goal: Goal): Promise<boolean> {
    if (isFinal(job)) {
      if (job.state === 'FINISHED') return true;
      throw await this.#endedOtherwise(job);
    }
    switch (goal.kind) {
      case 'end':
        return false;
      case 'run':
        return await this.#runEnded(job, goal);
      case 'events':
        return this.#deps.events.isPast(job.jobId, goal.seq) && this.#isWarm(job);
    }
  }

  /** What failed for good is delivered, but not warm. */
  #isWarm({ jobId }: WarmUpJob): boolean {
    const why = notWarmText(this.#deps.catalog.eventCursors.notWarm(jobId));
    if (why === '') return true;
    throw new SqlError('WARM_UP_WAIT_FAILED', { id: jobId, why });
  }

  /** A run that somebody paused does not count: the next one does. */
  async #runEnded({ jobId, run }: WarmUpJob, goal: { run: number }): Promise<boolean> {
    for (; goal.run <= run; goal.run += 1) {
      const found = await this.#deps.catalog.warmUpRuns.find(jobId, goal.run);
      if (found?.outcome === 'RUNNING') return false;
      if (found?.outcome === 'FINISHED') return true;
      if (found?.outcome === 'FAILED' || found?.outcome === 'TIMEOUT') {
        throw new SqlError('WARM_UP_WAIT_FAILED', { id: jobId, why: found.reason });
      }
      // The run that comes next has not begun.
      if (found === undefined && goal.run === run) return false;
    }
    return false;
  }

  async #endedOtherwise({ jobId, errMsg }: WarmUpJob): Promise<SqlError> {
    const last = (await this.#deps.catalog.warmUpJobs.transitions(jobId)).at(-1);
    const asked = last?.event === 'cancelAsked' || last?.event === 'groupDropped';
    return new SqlError(asked ? 'WARM_UP_WAIT_CANCELLED' : 'WARM_UP_WAIT_FAILED', {
      id: jobId,
      why: errMsg,
    });
  }

  #timeout({ jobId, state }: WarmUpJob, timeoutMs: number): SqlError {
    const reason = this.#deps.board.waitReason(jobId);
    return new SqlError('WARM_UP_WAIT_TIMEOUT', {
      id: jobId,
      seconds: timeoutMs / 1000,
      state,
      why: reason === '' ? '' : `: ${reason}`,
    });
  }

  async #find(jobId: JobId): Promise<WarmUpJob> {
    const job = await this.#deps.catalog.warmUpJobs.find(jobId);
    if (job === undefined) throw new SqlError('WARM_UP_UNKNOWN_JOB', { id: jobId });
    return job;
  }

  #nextChange(jobId: JobId, signal: AbortSignal) {
    const { promise, resolve } = Promise.withResolvers<undefined>();
    const wake = (): void => {
      resolve(undefined);
    };
    const waiters = this.#waiters.get(jobId) ?? new Set();
    this.#waiters.set(jobId, waiters.add(wake));
    signal.addEventListener('abort', wake);
    return {
      within: async (ms: number): Promise<void> => {
        const stopTimer = this.#deps.clock.after(ms, wake);
        await promise;
        stopTimer();
      },
      stop: (): void => {
        signal.removeEventListener('abort', wake);
        waiters.delete(wake);
        if (waiters.size === 0) this.#waiters.delete(jobId);
      },
    };
  }
}
