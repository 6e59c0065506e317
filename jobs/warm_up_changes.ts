/**
 * The one way a warm-up job changes: an event, the cell of its mode's table, one transaction with
 * all that belongs to it (row, transition, slot, run), and effects after the commit.
 */
import type { BackendId, JobId } from '../base/ids.ts';
import type { Clock } from '../base/ports.ts';
import type { Catalog, CatalogTransaction } from '../catalog/catalog.ts';
import type { WarmUpOutcome } from '../catalog/rows.ts';
import type {
  WarmUpCounts as RunCounts,
  WarmUpJob,
  WarmUpJobChange,
} from '../catalog/warm_up_jobs.ts';
import type { Lifecycle } from './lifecycle.ts';
import type { StopReason } from './warm_up_deps.ts';
import type { LiveCounts } from './progress_board.ts';
import { WarmUpCounts } from './warm_up_counts.ts';
import {
  WARM_UP_EVENT_DRIVEN,
  WARM_UP_ONCE,
  WARM_UP_PERIODIC,
  type WarmUpEffect,
  type WarmUpEvent,
  type WarmUpState,
} from './warm_up_lifecycle.ts';

type SyncMode = WarmUpJob['syncMode'];

export const LIFE_OF: Readonly<
  Record<SyncMode, Lifecycle<WarmUpState, WarmUpEvent, WarmUpEffect>>
> = {
  ONCE: WARM_UP_ONCE,
  PERIODIC: WARM_UP_PERIODIC,
  EVENT_DRIVEN: WARM_UP_EVENT_DRIVEN,
};

export function isFinal(job: Pick<WarmUpJob, 'state' | 'syncMode'>): boolean {
  return LIFE_OF[job.syncMode].final.has(job.state);
}

/** Jobs that run in the slot of their target group, each run a row of its own. */
export function usesSlot({ syncMode }: Pick<WarmUpJob, 'syncMode'>): boolean {
  return syncMode !== 'EVENT_DRIVEN';
}

/** What a run has come to when this event takes its job out of RUNNING. */
const OUTCOME: Readonly<Record<WarmUpEvent, WarmUpOutcome>> = {
  started: 'RUNNING',
  batchDone: 'RUNNING',
  batchReopened: 'RUNNING',
  tabletsMoved: 'RUNNING',
  resumeAsked: 'RUNNING',
  alterAsked: 'RUNNING',
  startAsked: 'RUNNING',
  initFailed: 'FAILED',
  lastBatchDone: 'FINISHED',
  lastBatchFailed: 'FAILED',
  timedOut: 'TIMEOUT',
  interrupted: 'PAUSED',
  pauseAsked: 'PAUSED',
  cancelAsked: 'CANCELLED',
  groupDropped: 'CANCELLED',
};

export interface ChangeHooks {
  /** What the backends at work on the job have said of batches that are not over. */
  live(jobId: JobId): LiveCounts;
  /** The job left RUNNING while these backends were at work; after the commit. */
  stop(before: WarmUpJob, why: StopReason, backends: readonly BackendId[]): void;
  /** After every committed transition. */
  changed(after: WarmUpJob): void;
}

export class WarmUpChanges {
  /** Events that changed nothing because the job had moved on: counted, for the metrics. */
  lateEvents = 0;
  /** For the metrics, too. */
  readonly counts = new WarmUpCounts();
  readonly #catalog: Catalog;
  readonly #clock: Clock;
  readonly #hooks: ChangeHooks;

  constructor({ catalog, clock }: { catalog: Catalog; clock: Clock }, hooks: ChangeHooks) {
    this.#catalog = catalog;
    this.#clock = clock;
    this.#hooks = hooks;
  }

  /** One event of one job in one transaction; undefined when it came too late. */
  async apply(
    jobId: JobId,
    event: WarmUpEvent,
    change: WarmUpJobChange,
    also?: (tx: CatalogTransaction, after: WarmUpJob) => Promise<void>,
  ): Promise<WarmUpJob | undefined> {
    return await this.#catalog.transaction(async (tx) => {
      const job = await tx.warmUpJobs.find(jobId);
      if (job === undefined) return undefined;
      const after = await this.transition(tx, job, event, change);
      if (after !== undefined) await also?.(tx, after);
      return after;
    });
  }

  /** In a transaction of the caller's, on the job as that transaction read it. */
  async transition(
    tx: CatalogTransaction,
    job: WarmUpJob,
    event: WarmUpEvent,
    change: WarmUpJobChange,
  ): Promise<WarmUpJob | undefined> {
    const life = LIFE_OF[job.syncMode];
    const cell = life.cell(job.state, event);
    if (cell.kind === 'bug') {
      throw new Error(`event ${event} in state ${job.state} of ${job.syncMode} job ${job.jobId}`);
    }
    if (cell.kind === 'late') {
      this.lateEvents += 1;
      return undefined;
    }
    const final = life.final.has(cell.to);
    const endsRun = (job.state === 'RUNNING' && cell.to !== 'RUNNING') || event === 'initFailed';
    const ended = final || (endsRun && job.syncMode === 'PERIODIC');
    const stops = cell.effect === 'stop';
    const endMs = this.#clock.now();
    // Of a batch that is stopped half-way, a part is in the caches. A ONCE job that may go on
    // counts the batch again when it is done, a PERIODIC one counts all anew.
    const brought = stops && endsRun ? withLive(job, this.#hooks.live(job.jobId)) : undefined;
    const after = await tx.warmUpJobs.update(job.jobId, job.version, {
      ...(ended ? { finishMs: endMs } : {}),
      ...(ended ? brought : {}),
      ...change,
      event,
      state: cell.to,
    });
    if (usesSlot(job)) {
      const reason = change.errMsg ?? change.detail ?? '';
      const counts = { ...after, ...brought };
      await this.#keepRuns(tx, { before: job, after, event, endsRun, endMs, reason, counts });
    }
    const backends = stops ? await backendsAtWork(tx, job) : [];
    tx.onCommit(() => {
      this.counts.changed(job, after);
      if (stops) this.#hooks.stop(job, final ? 'ended' : 'paused', backends);
      this.#hooks.changed(after);
    });
    return after;
  }

  /** The slot and the run's row go with the state. */
  async #keepRuns(tx: CatalogTransaction, change: Changed): Promise<void> {
    const { before, after, event, endsRun, endMs, reason, counts } = change;
    if (before.state !== 'RUNNING' && after.state === 'RUNNING') {
      if (!(await tx.warmUpJobs.takeSlot(after.dstGroup, after.jobId))) {
        throw new Error(`slot of ${after.dstGroup} was taken behind the scheduler's back`);
      }
      await tx.warmUpRuns.begin(after);
    }
    if (!endsRun) return;
    if (event === 'initFailed') await tx.warmUpRuns.begin(after);
    const skipped = event === 'interrupted' && after.syncMode === 'PERIODIC';
    const outcome = skipped ? 'FAILED' : OUTCOME[event];
    await tx.warmUpRuns.end(after, { endMs, outcome, reason, counts });
    await tx.warmUpJobs.releaseSlot(after.jobId);
  }
}

/** Asked in the transaction: afterwards the work may have gone to another run. */
async function backendsAtWork(
  tx: CatalogTransaction,
  { jobId, run }: WarmUpJob,
): Promise<BackendId[]> {
  const open = await tx.warmUpBatches.ofRun(jobId, run, 'open');
  const sent = open.filter((batch) => batch.state === 'SENT');
  return [...new Set(sent.map((batch) => batch.backendId))];
}

interface Changed {
  readonly before: WarmUpJob;
  readonly after: WarmUpJob;
  readonly event: WarmUpEvent;
  readonly endsRun: boolean;
  readonly endMs: number;
  /** Why the run ended, if it did. */
  readonly reason: string;
  /** The run's. */
  readonly counts: RunCounts;
}

type Brought = Pick<WarmUpJob, 'finishBytes' | 'cachedBytes' | 'doneTablets'>;

/** What the run has in the caches, batches that are not over included. */
function withLive(job: WarmUpJob, live: LiveCounts): Brought {
  const most = (counted: number, more: number, all: number): number =>
    Math.max(counted, Math.min(counted + more, all));
  const finishBytes = most(job.finishBytes, live.doneBytes, job.allBytes);
  return {
    finishBytes,
    cachedBytes: most(job.cachedBytes, live.cachedBytes, finishBytes),
    doneTablets: most(job.doneTablets, live.doneTablets, job.allTablets),
  };
}
