/**
 * The end of a run, and whatever stands between its last batch and the end: tablets that other
 * backends serve by now, and batches whose backend has restarted since it did them. FINISHED must
 * be true for those who read at that moment (DESIGN 4.6).
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Config } from '../base/config.ts';
import type { BackendId, JobId, TabletId } from '../base/ids.ts';
import { servingBackend } from '../base/placement.ts';
import type { Catalog, CatalogTransaction } from '../catalog/catalog.ts';
import type { NewBatch, WarmUpBatch } from '../catalog/warm_up_batches.ts';
import type { WarmUpJob } from '../catalog/warm_up_jobs.ts';
import type { BackendRegistry } from './backend_registry.ts';
import type { GroupsNow } from './groups_now.ts';
import type { ProgressBoard } from './progress_board.ts';
import type { WarmUpBatchEnds } from './warm_up_batch_ends.ts';
import type { WarmUpChanges } from './warm_up_changes.ts';
import { cutIntoBatches, type PlanTablet } from './warm_up_planner.ts';

/** How often a run follows tablets that moved to other backends before it gives up. */
const MOVES_MAX = 20;
/** Batches that one change of a job may add at most: numbers of later changes begin behind it. */
const BATCHES_PER_CHANGE = 2 ** 20;
/** Batches (of up to 2,000 tablets) looked at before the event loop has its turn. */
const BATCHES_PER_TURN = 4;
/** Batches opened again in one transaction; the rest follows when these are done. */
const REOPENED_AT_ONCE = 500;
/** Failed items that ErrMsg names. */
const NAMED_FAILURES = 3;

export interface SettleDeps {
  readonly catalog: Catalog;
  readonly registry: BackendRegistry;
  readonly config: Config;
  readonly board: ProgressBoard;
  readonly changes: WarmUpChanges;
  readonly ends: WarmUpBatchEnds;
}

export class WarmUpSettle {
  readonly #deps: SettleDeps;
  /** How often the run that is on has followed its tablets. */
  readonly #moves = new Map<JobId, { readonly run: number; count: number }>();

  constructor(deps: SettleDeps) {
    this.#deps = deps;
  }

  /** All batches are done: check them, follow tablets that moved, else end the run. */
  async settle({ jobId, run }: WarmUpJob, groups: GroupsNow): Promise<void> {
    const { catalog, changes } = this.#deps;
    const before = await catalog.warmUpJobs.find(jobId);
    if (before?.state !== 'RUNNING' || before.run !== run) return;
    const batches = await catalog.warmUpBatches.ofRun(jobId, run, 'all');
    if (batches.some((batch) => batch.state !== 'DONE')) return;
    const alive = groups.servers(before.dstGroup);
    // Millions of tablets are looked at outside the transaction, batch by batch.
    const moved = await this.#movedTablets(batches, alive);
    await catalog.transaction(async (tx): Promise<void> => {
      const job = await tx.warmUpJobs.find(jobId);
      // Whatever happened to a batch meanwhile was an event of the job.
      if (job?.version !== before.version) return;
      if (await this.#reopen(tx, job, batches, alive)) return;
      if (moved.length === 0) {
        await this.#end(tx, job);
      } else if (this.#mayMove(job)) {
        await this.#follow(tx, job, moved, batches, alive);
      } else {
        const errMsg = `${moved.length} tablets kept moving between backends`;
        const failedTablets = job.failedTablets + moved.length;
        await changes.transition(tx, job, 'lastBatchFailed', { errMsg, failedTablets });
      }
    });
  }

  /** Open batches of a backend that will not come back go to those who serve the tablets now. */
  async moveBatches(
    job: WarmUpJob,
    lost: readonly WarmUpBatch[],
    alive: readonly BackendId[],
  ): Promise<void> {
    const { catalog, board, changes } = this.#deps;
    await catalog.transaction(async (tx) => {
      const current = await tx.warmUpJobs.find(job.jobId);
      if (current?.state !== 'RUNNING' || current.run !== job.run) return;
      let allBatch = current.allBatch;
      for (const batch of lost) {
        const all = await tx.warmUpBatches.ofRun(job.jobId, job.run, 'all');
        if (!all.some((other) => sameBatch(other, batch) && other.state !== 'DONE')) continue;
        const tabletIds = await tx.warmUpBatches.tablets(batch);
        const parts = this.#cut(tabletIds, alive, all, current.version);
        await tx.warmUpBatches.move(batch, parts);
        board.clear(batch.jobId, batch.backendId, batch.run, batch.batch);
        allBatch += parts.length - 1;
      }
      const detail = `batches of lost backend ${lost[0]?.backendId ?? ''} moved`;
      await changes.transition(tx, current, 'tabletsMoved', { allBatch, detail });
    });
  }

  forget(jobId: JobId): void {
    this.#moves.delete(jobId);
  }

  async #end(tx: CatalogTransaction, job: WarmUpJob): Promise<void> {
    const { changes } = this.#deps;
    if (job.failedTablets === 0) {
      await changes.transition(tx, job, 'lastBatchDone', { errMsg: '' });
      return;
    }
    const { jobId, run } = job;
    const some = await tx.warmUpBatches.failures(jobId, run, NAMED_FAILURES);
    const before = await tx.warmUpRuns.failures({ jobId, limit: NAMED_FAILURES });
    const named = (some.length > 0 ? some : before).map(({ item, reason }) => `${item}: ${reason}`);
    const errMsg = `${job.failedTablets} of ${job.allTablets} tablets failed: ${named.join('; ')}`;
    await changes.transition(tx, job, 'lastBatchFailed', { errMsg });
  }

  /**
   * A backend that has restarted since it did a batch may have lost blocks with its disk, or found
   * torn ones: it does the batch again, and has nearly nothing to do.
   */
  async #reopen(
    tx: CatalogTransaction,
    job: WarmUpJob,
    batches: readonly WarmUpBatch[],
    alive: readonly BackendId[],
  ): Promise<boolean> {
    const { registry, ends, changes } = this.#deps;
    const doubtful = batches.filter(
      (batch) =>
        alive.includes(batch.backendId) &&
        !ends.isVouchedFor(batch, registry.status(batch.backendId)?.incarnation),
    );
    let current = job;
    for (const batch of doubtful.slice(0, REOPENED_AT_ONCE)) {
      await tx.warmUpBatches.update(batch, batch.version, { state: 'PENDING' });
      const after = await changes.transition(tx, current, 'batchReopened', {
        finishBatch: current.finishBatch - 1,
        finishBytes: current.finishBytes - batch.doneBytes,
        cachedBytes: current.cachedBytes - batch.cachedBytes,
        doneTablets: current.doneTablets - batch.doneTablets,
        skippedTablets: current.skippedTablets - batch.skippedTablets,
        failedTablets: current.failedTablets - batch.failedTablets,
        detail: `backend ${batch.backendId} restarted after batch ${batch.batch}`,
      });
      current = after ?? current;
    }
    return doubtful.length > 0;
  }

  /** Tablets that another backend serves by now (one died, or joined) than those that warmed. */
  async #movedTablets(
    batches: readonly WarmUpBatch[],
    alive: readonly BackendId[],
  ): Promise<TabletId[]> {
    const { tablets } = this.#deps.catalog;
    const servedBy = new Map<TabletId, BackendId>();
    await this.#eachTablet(batches, (tabletId, batch) => {
      const serving = servingBackend(tabletId, alive);
      if (serving === undefined || serving === batch.backendId) return;
      if (tablets.get(tabletId) !== undefined) servedBy.set(tabletId, serving);
    });
    if (servedBy.size === 0) return [];
    // One that has moved before is in a batch of its new backend as well.
    await this.#eachTablet(batches, (tabletId, batch) => {
      if (servedBy.get(tabletId) === batch.backendId) servedBy.delete(tabletId);
    });
    return [...servedBy.keys()];
  }

  async #eachTablet(
    batches: readonly WarmUpBatch[],
    look: (tabletId: TabletId, batch: WarmUpBatch) => void,
  ): Promise<void> {
    for (const [at, batch] of batches.entries()) {
      for (const tabletId of await this.#deps.catalog.warmUpBatches.tablets(batch)) {
        look(tabletId, batch);
      }
      if ((at + 1) % BATCHES_PER_TURN === 0) await nextTurn();
    }
  }

  #mayMove({ jobId, run }: WarmUpJob): boolean {
    const known = this.#moves.get(jobId);
    const moves = known?.run === run ? known : { run, count: 0 };
    moves.count += 1;
    this.#moves.set(jobId, moves);
    return moves.count <= MOVES_MAX;
  }

  async #follow(
    tx: CatalogTransaction,
    job: WarmUpJob,
    moved: readonly TabletId[],
    batches: readonly WarmUpBatch[],
    alive: readonly BackendId[],
  ): Promise<void> {
    const parts = this.#cut(moved, alive, batches, job.version);
    await tx.warmUpBatches.create(job.jobId, job.run, parts);
    const bytes = parts.reduce((sum, part) => sum + part.totalBytes, 0);
    await this.#deps.changes.transition(tx, job, 'tabletsMoved', {
      allBatch: job.allBatch + parts.length,
      allBytes: job.allBytes + bytes,
      allTablets: job.allTablets + moved.length,
      detail: `${moved.length} tablets are served by other backends now`,
    });
  }

  /**
   * A number is never used twice in a run: a batch that was moved away is gone from the catalog,
   * but its backend may have done it, and would answer for it. The job's version grows with every
   * change, so what comes now is behind all that ever was.
   */
  #cut(
    tabletIds: readonly TabletId[],
    alive: readonly BackendId[],
    existing: readonly WarmUpBatch[],
    jobVersion: number,
  ): NewBatch[] {
    const { catalog, config } = this.#deps;
    const byBackend = new Map<BackendId, Pick<PlanTablet, 'tabletId' | 'bytes'>[]>();
    for (const tabletId of tabletIds) {
      const backendId = servingBackend(tabletId, alive);
      if (backendId === undefined) continue;
      const list = byBackend.get(backendId) ?? [];
      list.push({ tabletId, bytes: catalog.tablets.get(tabletId)?.bytes ?? 0 });
      byBackend.set(backendId, list);
    }
    const maxBytes = config.get('cloud_warm_up_job_max_bytes_per_batch');
    return [...byBackend].flatMap(([backendId, tablets]) => {
      const numbers = existing.filter((b) => b.backendId === backendId).map((b) => b.batch);
      const next = Math.max(jobVersion * BATCHES_PER_CHANGE - 1, ...numbers) + 1;
      return cutIntoBatches(backendId, tablets, maxBytes).map((batch): NewBatch => {
        const { bytes, tabletIds: ids } = batch;
        return { backendId, batch: next + batch.batch, totalBytes: bytes, tabletIds: ids };
      });
    });
  }
}

function sameBatch(a: WarmUpBatch, b: WarmUpBatch): boolean {
  return a.backendId === b.backendId && a.batch === b.batch && a.run === b.run;
}
