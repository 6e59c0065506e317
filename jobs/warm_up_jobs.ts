/**
 * Warm-up jobs: what statements and backends may ask of them. Where to look for what:
 * `warm_up_lifecycle.ts` (what may happen in which state), `warm_up_changes.ts` (one event = one
 * transaction), `warm_up_scheduler.ts` (who starts, whose turn it is, what a turn does),
 * `warm_up_starts.ts`, `warm_up_lanes.ts`, `warm_up_batch_ends.ts`, `warm_up_settle.ts` (a run from
 * its plan to its end), `event_delivery.ts` (event-driven jobs), `warm_up_history.ts` (what goes).
 */
import type { BatchProgress } from '../base/agent_messages.ts';
import { SqlError } from '../base/errors.ts';
import type { BackendId, JobId } from '../base/ids.ts';
import type { CatalogTransaction } from '../catalog/catalog.ts';
import type { NewWarmUpJob, WarmUpJob, WarmUpJobChange } from '../catalog/warm_up_jobs.ts';
import { OnceTwins } from './once_twins.ts';
import { ProgressBoard } from './progress_board.ts';
import { WarmUpBatchEnds } from './warm_up_batch_ends.ts';
import { WarmUpChanges, isFinal, usesSlot } from './warm_up_changes.ts';
import { judgeWanted } from './warm_up_conflicts.ts';
import type { WarmUpCounts } from './warm_up_counts.ts';
import { WarmUpCycles } from './warm_up_cycles.ts';
import type { StopReason, WarmUpJobsDeps } from './warm_up_deps.ts';
import { WarmUpHistory } from './warm_up_history.ts';
import { WarmUpLanes } from './warm_up_lanes.ts';
import type { WarmUpEvent } from './warm_up_lifecycle.ts';
import type { Plan } from './warm_up_planner.ts';
import { planFromTablets } from './warm_up_plans.ts';
import { leftOver } from './warm_up_retry.ts';
import { WarmUpScheduler } from './warm_up_scheduler.ts';
import { WarmUpSettle } from './warm_up_settle.ts';
import { WarmUpStarts, countsOf, createBatches } from './warm_up_starts.ts';
import { WarmUpStops } from './warm_up_stops.ts';
import { type WaitOptions, WarmUpWaits } from './warm_up_waits.ts';

/**
 * A round with 500 jobs takes 3 to 4 ms, and every batch that ends asks for one: rounds may take this
 * small a part of the main thread, one in four.
 */
const REST_PER_ROUND = 3;
/** A round that waited for the catalog is no reason to let batches wait. */
const REST_MAX_MS = 50;

export interface CreatedJob {
  readonly jobId: JobId;
  /** An identical job was still PENDING: this is its id (DESIGN 4.3). */
  readonly existing: boolean;
}

export interface WarmUpAlteration {
  readonly syncIntervalS?: number;
  /** ON TABLES rules as canonical text. */
  readonly tableFilter?: string;
}

export class WarmUpJobs {
  readonly board: ProgressBoard;
  readonly #deps: WarmUpJobsDeps;
  readonly #changes: WarmUpChanges;
  readonly #cycles: WarmUpCycles;
  readonly #ends: WarmUpBatchEnds;
  readonly #lanes: WarmUpLanes;
  readonly #settle: WarmUpSettle;
  readonly #stops: WarmUpStops;
  readonly #scheduler: WarmUpScheduler;
  readonly #twins = new OnceTwins();
  readonly #waits: WarmUpWaits;
  #stopTimer: () => void = () => undefined;
  #ticking: Promise<void> | undefined;
  #tickAgain = false;
  /** Monotonic: no round begins before. */
  #restUntil = -Infinity;
  #closed = false;

  constructor(deps: WarmUpJobsDeps) {
    this.#deps = deps;
    this.board = new ProgressBoard(deps.clock);
    this.#changes = new WarmUpChanges(deps, {
      live: (jobId) => this.board.live(jobId),
      stop: (before, why, backends) => {
        this.#stop(before, why, backends);
      },
      changed: (after) => {
        this.#changed(after);
      },
    });
    const shared = { ...deps, board: this.board, changes: this.#changes };
    this.#cycles = new WarmUpCycles(deps.clock);
    this.#ends = new WarmUpBatchEnds(shared);
    this.#lanes = new WarmUpLanes(deps, async (progress) => {
      await this.onProgress(progress);
    });
    this.#settle = new WarmUpSettle({ ...shared, ends: this.#ends });
    this.#stops = new WarmUpStops({ ...deps, epoch: deps.catalog.epoch });
    this.#waits = new WarmUpWaits(shared);
    this.#scheduler = new WarmUpScheduler({
      ...shared,
      cycles: this.#cycles,
      history: new WarmUpHistory(deps),
      lanes: this.#lanes,
      settle: this.#settle,
      starts: new WarmUpStarts(shared),
      stops: this.#stops,
    });
  }

  /** Events that came too late to change anything. */
  get lateEvents(): number {
    return this.#changes.lateEvents;
  }

  /** What was asked of target groups and done, since the start. */
  get counts(): WarmUpCounts {
    return this.#changes.counts;
  }

  start(): void {
    this.wake();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#stopTimer();
    this.#scheduler.close();
    this.#stops.close();
    await this.#ticking;
  }

  // -------------------------------------------------------------------------------------------
  // What statements ask for

  /**
   * Persists a job as PENDING. A one-time job comes with its plan, the others make theirs when
   * they start. Throws WARM_UP_TWIN, WARM_UP_CONFLICT (reference/warm-up 1.6).
   */
  async create(job: Omit<NewWarmUpJob, 'epoch'>, planned: Plan | undefined): Promise<CreatedJob> {
    const { catalog } = this.#deps;
    const plan = planned ?? { batches: [], totalBytes: 0, totalTablets: 0 };
    const created = await catalog.transaction(async (tx): Promise<CreatedJob> => {
      const active = await this.#rivals(tx, job);
      const verdict = judgeWanted(job, active);
      if (verdict.kind === 'refused') throw verdict.error;
      if (verdict.kind === 'existing') return { jobId: verdict.jobId, existing: true };
      const row = await tx.warmUpJobs.create({ ...job, epoch: catalog.epoch }, countsOf(plan));
      await createBatches(tx, row, plan);
      tx.onCommit(() => {
        this.#twins.add(row);
      });
      return { jobId: row.jobId, existing: false };
    });
    this.wake();
    return created;
  }

  /** Throws WARM_UP_UNKNOWN_JOB, WARM_UP_FINAL. Never waits for a backend. */
  async cancel(jobId: JobId, reason = 'user cancel'): Promise<void> {
    const job = await this.#find(jobId);
    const after = isFinal(job)
      ? undefined
      : await this.#changes.apply(jobId, 'cancelAsked', { errMsg: reason });
    if (after === undefined) {
      throw new SqlError('WARM_UP_FINAL', { state: (await this.#find(jobId)).state });
    }
  }

  /**
   * Stops what runs and keeps what is done. A one-time job goes on where it was, a periodic one
   * with its next cycle, an event-driven one with what it has missed.
   * Throws WARM_UP_UNKNOWN_JOB, WARM_UP_STATE.
   */
  async pause(jobId: JobId): Promise<void> {
    await this.#ask(jobId, 'pauseAsked', 'paused', { detail: 'paused' });
  }

  /** Throws WARM_UP_UNKNOWN_JOB, WARM_UP_STATE when it is not PAUSED. */
  async resume(jobId: JobId): Promise<void> {
    await this.#ask(jobId, 'resumeAsked', 'resumed', {});
  }

  /**
   * ONCE that did not finish: a new job for what failed or was not done. PERIODIC: the next cycle
   * now. EVENT_DRIVEN: failed items again. Answers the id of the job that does it.
   * Throws WARM_UP_UNKNOWN_JOB, WARM_UP_STATE, NO_ALIVE_BACKEND, UNKNOWN_COMPUTE_GROUP.
   */
  async retry(jobId: JobId): Promise<JobId> {
    const job = await this.#find(jobId);
    switch (job.syncMode) {
      case 'ONCE':
        return await this.#retryOnce(job);
      case 'PERIODIC':
        await this.#ask(jobId, 'startAsked', 'retried', { startAsked: true });
        return jobId;
      case 'EVENT_DRIVEN':
        // One that is paused would have nobody to do it.
        if (isFinal(job) || job.state === 'PAUSED') throw cannot(job, 'retried');
        await this.#deps.events.retryFailed(jobId);
        this.wake();
        return jobId;
    }
  }

  /** Throws WARM_UP_UNKNOWN_JOB, WARM_UP_STATE, WARM_UP_ALTER, WARM_UP_TWIN, WARM_UP_CONFLICT. */
  async alter(jobId: JobId, { syncIntervalS, tableFilter }: WarmUpAlteration): Promise<void> {
    const { catalog } = this.#deps;
    await catalog.transaction(async (tx) => {
      const job = await tx.warmUpJobs.find(jobId);
      if (job === undefined) throw new SqlError('WARM_UP_UNKNOWN_JOB', { id: jobId });
      const { syncMode, srcGroup } = job;
      if (isFinal(job)) throw cannot(job, 'altered');
      if (syncIntervalS !== undefined && syncMode !== 'PERIODIC') {
        throw new SqlError('WARM_UP_ALTER', { id: jobId, mode: syncMode, what: 'interval' });
      }
      if (tableFilter !== undefined && job.tableFilter === null) {
        throw new SqlError('WARM_UP_ALTER', { id: jobId, mode: syncMode, what: 'ON TABLES rules' });
      }
      const change: WarmUpJobChange = {
        ...(syncIntervalS === undefined ? {} : { syncIntervalS }),
        ...(tableFilter === undefined ? {} : { tableFilter }),
      };
      if (tableFilter !== undefined) {
        const others = await tx.warmUpJobs.activeOf(syncMode, srcGroup, job.dstGroup);
        const wanted = { ...job, tableFilter };
        const verdict = judgeWanted(
          wanted,
          others.filter((other) => other.jobId !== jobId),
        );
        if (verdict.kind === 'refused') throw verdict.error;
      }
      const detail = JSON.stringify(change);
      const after = await this.#changes.transition(tx, job, 'alterAsked', { ...change, detail });
      if (after === undefined) return;
      tx.onCommit(() => {
        this.#deps.events.altered(after);
      });
    });
  }

  /**
   * ONCE: until it ended. PERIODIC: until the run that is on, or comes next, ended. EVENT_DRIVEN:
   * until nothing is undelivered that was committed before. Throws WARM_UP_UNKNOWN_JOB,
   * WARM_UP_WAIT_FAILED, WARM_UP_WAIT_CANCELLED, WARM_UP_WAIT_TIMEOUT, and the signal's reason.
   */
  async waitFor(jobId: JobId, options: WaitOptions): Promise<WarmUpJob> {
    return await this.#waits.waitFor(jobId, options);
  }

  /** When the next cycle of a periodic job is due, wall clock; undefined: now, or there is none. */
  nextStartMs(job: WarmUpJob): number | undefined {
    return this.#cycles.nextStartMs(job);
  }

  /**
   * Jobs are bound to names (DESIGN 4.1): those of the old name stop and wait, ON TABLES jobs too,
   * and those that waited for the new name go on.
   */
  groupRenamed(): void {
    this.wake();
  }

  /** A compute group was dropped: its jobs, as target or source, end (DESIGN 4.1). */
  async groupDropped(name: string): Promise<void> {
    for (const job of await this.#deps.catalog.warmUpJobs.active()) {
      if (job.dstGroup !== name && job.srcGroup !== name) continue;
      const errMsg = `system cancel: compute group '${name}' was dropped`;
      await this.#changes.apply(job.jobId, 'groupDropped', { errMsg });
    }
  }

  // -------------------------------------------------------------------------------------------
  // What backends say

  /** A backend says how far it is; unasked, repeated or late is all the same. */
  async onProgress(progress: BatchProgress): Promise<void> {
    if (progress.epoch !== this.#deps.catalog.epoch) {
      this.#changes.lateEvents += 1;
      return;
    }
    if (await this.#deps.events.onProgress(progress)) return;
    if (await this.#ends.heard(progress)) {
      this.#lanes.release(progress);
      this.wake();
    }
  }

  // -------------------------------------------------------------------------------------------
  // Rounds

  /** Runs a round soon. */
  wake(): void {
    if (this.#closed) return;
    const restMs = this.#restUntil - this.#deps.clock.monotonic();
    if (this.#ticking !== undefined) this.#tickAgain = true;
    else if (restMs > 0) this.#arm(restMs);
    else {
      this.#stopTimer();
      this.#ticking = this.#tick();
    }
  }

  async #tick(): Promise<void> {
    const { clock, log } = this.#deps;
    const began = clock.monotonic();
    this.#tickAgain = false;
    try {
      await this.#scheduler.round();
    } catch (error) {
      const stack = error instanceof Error ? error.stack : String(error);
      log.error('warm-up tick failed', { stack });
    }
    const ended = clock.monotonic();
    this.#restUntil = ended + Math.min(REST_MAX_MS, (ended - began) * REST_PER_ROUND);
    this.#ticking = undefined;
    if (this.#closed) return;
    this.#arm(this.#scheduler.nextRoundMs);
    if (this.#tickAgain) this.wake();
  }

  #arm(ms: number): void {
    this.#stopTimer();
    this.#stopTimer = this.#deps.clock.after(ms, () => {
      this.wake();
    });
  }

  /** Tells backends to stop; who does not hear it stops when the lease is over. */
  #stop(before: WarmUpJob, why: StopReason, backends: readonly BackendId[]): void {
    if (usesSlot(before)) {
      this.#stops.stop(before.jobId, before.run, backends);
      return;
    }
    this.#scheduler.stopped(before.jobId);
    this.#deps.events.stop(before, why).catch((error: unknown) => {
      const detail = { jobId: before.jobId, error: String(error) };
      this.#deps.log.warn('an event-driven job could not be stopped', detail);
    });
  }

  #changed(after: WarmUpJob): void {
    const { jobId } = after;
    if (after.state !== 'RUNNING') {
      this.board.endRun(jobId);
      this.#lanes.forget(jobId);
      this.#ends.forget(after);
      this.#settle.forget(jobId);
    }
    if (isFinal(after)) {
      this.board.forget(jobId);
      this.#cycles.forget(jobId);
      this.#twins.forget(after);
      this.#scheduler.forget(jobId);
    }
    this.#waits.changed(jobId);
    this.wake();
  }

  // -------------------------------------------------------------------------------------------

  /** Jobs that the wanted one may be a duplicate of, or in conflict with. */
  async #rivals(tx: CatalogTransaction, job: Omit<NewWarmUpJob, 'epoch'>): Promise<WarmUpJob[]> {
    if (job.syncMode === 'ONCE') return await this.#twins.of(tx, job);
    return await tx.warmUpJobs.activeOf(job.syncMode, job.srcGroup, job.dstGroup);
  }

  async #find(jobId: JobId): Promise<WarmUpJob> {
    const job = await this.#deps.catalog.warmUpJobs.find(jobId);
    if (job === undefined) throw new SqlError('WARM_UP_UNKNOWN_JOB', { id: jobId });
    return job;
  }

  async #ask(
    jobId: JobId,
    event: WarmUpEvent,
    what: string,
    change: WarmUpJobChange,
  ): Promise<void> {
    await this.#find(jobId);
    const after = await this.#changes.apply(jobId, event, change);
    if (after === undefined) throw cannot(await this.#find(jobId), what);
  }

  async #retryOnce(job: WarmUpJob): Promise<JobId> {
    if (job.state !== 'CANCELLED') throw cannot(job, 'retried');
    const tabletIds = await leftOver(this.#deps.catalog, job);
    const plan = await planFromTablets(this.#deps, job.dstGroup, tabletIds);
    return (await this.create({ ...job, startAsked: true }, plan)).jobId;
  }
}

function cannot({ jobId, state }: WarmUpJob, what: string): SqlError {
  return new SqlError('WARM_UP_STATE', { id: jobId, what, state });
}
