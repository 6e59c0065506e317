/**
 * How a run of a ONCE or PERIODIC job begins: what it has to load, then one transaction with the
 * slot, the state, the batches and the run's row. A plan that cannot be made ends the run before
 * it began, and leaves the slot free (reference/warm-up 1.5).
 */
import { SqlError } from '../base/errors.ts';
import type { CatalogTransaction } from '../catalog/catalog.ts';
import type { NewBatch } from '../catalog/warm_up_batches.ts';
import type { WarmUpCounts, WarmUpJob, WarmUpJobChange } from '../catalog/warm_up_jobs.ts';
import type { Clock, Log } from '../base/ports.ts';
import type { WarmUpChanges } from './warm_up_changes.ts';
import type { Plan } from './warm_up_planner.ts';
import { type PlanDeps, planFromGroup } from './warm_up_plans.ts';

/** A job WITH COMPUTE GROUP that waited longer for its slot is planned again, milliseconds. */
const PLAN_KEEPS_MS = 60_000;

const WAITED_FOR: ReadonlySet<string> = new Set([
  'UNKNOWN_COMPUTE_GROUP',
  'WARM_UP_SRC_UNKNOWN',
  'NO_ALIVE_BACKEND',
]);

export interface StartsDeps extends PlanDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly changes: WarmUpChanges;
}

export class WarmUpStarts {
  readonly #deps: StartsDeps;

  constructor(deps: StartsDeps) {
    this.#deps = deps;
  }

  /** PENDING → RUNNING, or the run is recorded as failed. Its slot must be free. */
  async start(job: WarmUpJob): Promise<void> {
    if (job.srcGroup === null || !this.#plansAnew(job)) {
      await this.#begin(job, undefined);
      return;
    }
    let plan: Plan;
    try {
      plan = await planFromGroup(this.#deps, job.dstGroup, job.srcGroup);
    } catch (error) {
      if (!isWaitedFor(error)) await this.#failed(job, error);
      return;
    }
    await this.#begin(job, plan);
  }

  /** Hot partitions age; what was begun is finished as it was planned. */
  #plansAnew(job: WarmUpJob): boolean {
    if (job.syncMode === 'PERIODIC') return true;
    if (job.kind !== 'CLUSTER' || job.startMs !== null || job.startAsked) return false;
    return this.#deps.clock.now() - job.createMs > PLAN_KEEPS_MS;
  }

  /** The transaction reads the job again: whoever paused it or renamed its group was faster. */
  async #begin(job: WarmUpJob, plan: Plan | undefined): Promise<void> {
    const { changes, catalog } = this.#deps;
    await catalog.transaction(async (tx) => {
      const now = await tx.warmUpJobs.find(job.jobId);
      if (now === undefined || now.run !== job.run || !(await hasGroups(tx, now))) return;
      const change = { ...this.#nextRun(now), ...(plan === undefined ? {} : countsOf(plan)) };
      const after = await changes.transition(tx, now, 'started', change);
      if (after === undefined) return;
      if (plan === undefined) {
        if (after.run !== now.run) await tx.warmUpBatches.renumber(now.jobId, now.run, after.run);
        return;
      }
      if (after.run === now.run) await tx.warmUpBatches.deleteRun(now.jobId, now.run);
      await createBatches(tx, after, plan);
    });
  }

  #nextRun(job: WarmUpJob): WarmUpJobChange {
    const { clock, catalog } = this.#deps;
    return {
      run: job.startMs === null ? job.run : job.run + 1,
      epoch: catalog.epoch,
      startMs: clock.now(),
      finishMs: null,
      startAsked: false,
    };
  }

  async #failed(job: WarmUpJob, error: unknown): Promise<void> {
    const { log, changes } = this.#deps;
    const errMsg = error instanceof Error ? error.message : String(error);
    if (!(error instanceof SqlError)) {
      const stack = error instanceof Error ? error.stack : undefined;
      log.error('planning a warm-up failed', { jobId: job.jobId, error: errMsg, stack });
    }
    const nothing = countsOf({ batches: [], totalBytes: 0, totalTablets: 0 });
    const { finishMs: _, ...next } = this.#nextRun(job);
    await changes.apply(job.jobId, 'initFailed', { ...next, ...nothing, errMsg });
  }
}

async function hasGroups(tx: CatalogTransaction, job: WarmUpJob): Promise<boolean> {
  for (const name of [job.dstGroup, job.srcGroup]) {
    if (name !== null && (await tx.computeGroups.find(name)) === undefined) return false;
  }
  return true;
}

/** A group lost its name or its backends in this very moment: the next round waits for them. */
function isWaitedFor(error: unknown): boolean {
  return error instanceof SqlError && WAITED_FOR.has(error.code);
}

type PlannedWork = Pick<Plan, 'batches' | 'totalBytes' | 'totalTablets'>;

export function countsOf(plan: PlannedWork): WarmUpCounts {
  return {
    allBatch: plan.batches.length,
    finishBatch: 0,
    allBytes: plan.totalBytes,
    finishBytes: 0,
    cachedBytes: 0,
    allTablets: plan.totalTablets,
    doneTablets: 0,
    skippedTablets: 0,
    failedTablets: 0,
  };
}

export async function createBatches(
  tx: CatalogTransaction,
  { jobId, run }: Pick<WarmUpJob, 'jobId' | 'run'>,
  plan: PlannedWork,
): Promise<void> {
  await tx.warmUpBatches.create(
    jobId,
    run,
    plan.batches.map((batch): NewBatch => {
      const { backendId, tabletIds, bytes } = batch;
      return { backendId, batch: batch.batch, totalBytes: bytes, tabletIds };
    }),
  );
}
