/** What backends say about batches: progress for the board, ends into the catalog. */
import {
  type BatchProgress,
  WARM_UP_FAILURES_MAX,
  type WarmUpFailure,
} from '../base/agent_messages.ts';
import type { TabletId } from '../base/ids.ts';
import { rowsetOfKey } from '../base/schema.ts';
import type { Catalog, CatalogTransaction } from '../catalog/catalog.ts';
import type { WarmUpBatch } from '../catalog/warm_up_batches.ts';
import type { WarmUpJob } from '../catalog/warm_up_jobs.ts';
import type { ProgressBoard } from './progress_board.ts';
import type { WarmUpChanges } from './warm_up_changes.ts';

export interface BatchEndsDeps {
  readonly catalog: Catalog;
  readonly board: ProgressBoard;
  readonly changes: WarmUpChanges;
}

export class WarmUpBatchEnds {
  readonly #deps: BatchEndsDeps;
  /**
   * Which life of its backend said that a batch is done. Memory only: after a restart of the
   * server nobody vouches for the batches of before.
   */
  readonly #doneBy = new Map<string, string>();

  constructor(deps: BatchEndsDeps) {
    this.#deps = deps;
  }

  /**
   * Unasked, repeated or late is all the same. Answers whether a batch has ended, so that there
   * is something new to do.
   */
  async heard(progress: BatchProgress): Promise<boolean> {
    switch (progress.state) {
      case 'RUNNING':
      // It has no room for the batch: the lane sends it again, and a person hears why it waits.
      case 'BUSY':
        this.#deps.board.note(progress);
        return false;
      case 'DONE': {
        const replaced = this.#replacedRowset(progress);
        if (replaced !== undefined) {
          const detail = `${replaced} was replaced by a compaction or an ALTER meanwhile`;
          return await this.#interrupt(progress, detail);
        }
        await this.#batchDone(progress);
        return true;
      }
      // It left the group for a while, or a message from before came late.
      case 'STOPPED': {
        const { backendId, run } = progress;
        return await this.#interrupt(
          progress,
          `backend ${backendId} had been told to stop run ${run}`,
        );
      }
      // The lane sends it again.
      case 'UNKNOWN':
      case 'STALE':
        return false;
    }
  }

  /** Whether the life of the backend that did the batch still goes on: what it said holds. */
  isVouchedFor(batch: WarmUpBatch, incarnation: string | undefined): boolean {
    return incarnation !== undefined && this.#doneBy.get(batchName(batch)) === incarnation;
  }

  /** The run is over. */
  forget(job: WarmUpJob): void {
    const prefix = `${job.jobId}/`;
    for (const name of this.#doneBy.keys()) if (name.startsWith(prefix)) this.#doneBy.delete(name);
  }

  /** The last word on a batch: numbers into the catalog. */
  async #batchDone(progress: BatchProgress): Promise<void> {
    const { catalog, board, changes } = this.#deps;
    const applied = await catalog.transaction(async (tx): Promise<boolean> => {
      const job = await tx.warmUpJobs.find(progress.jobId);
      const batch = await tx.warmUpBatches.find(progress);
      const expected = job?.state === 'RUNNING' && job.run === progress.run;
      if (job === undefined || batch?.state !== 'SENT' || !expected) return false;
      await this.#count(tx, job, batch, progress);
      // Known with the commit: who sees the batch done must see who vouches for it.
      tx.onCommit(() => {
        this.#doneBy.set(batchName(progress), progress.incarnation);
      });
      return true;
    });
    const { jobId, backendId, run, batch } = progress;
    board.clear(jobId, backendId, run, batch);
    if (!applied) changes.lateEvents += 1;
  }

  async #count(
    tx: CatalogTransaction,
    job: WarmUpJob,
    batch: WarmUpBatch,
    progress: BatchProgress,
  ): Promise<void> {
    const { failures, counts: said } = this.#judge(progress, batch.totalTablets);
    const counts = { ...said, cachedBytes: cachedBefore(batch, said.cachedBytes) };
    await tx.warmUpBatches.update(batch, batch.version, { state: 'DONE', ...counts });
    await tx.warmUpBatches.addFailures(job.jobId, job.run, failures);
    await this.#deps.changes.transition(tx, job, 'batchDone', {
      finishBatch: job.finishBatch + 1,
      allBytes: job.allBytes - batch.totalBytes + counts.totalBytes,
      finishBytes: job.finishBytes + counts.doneBytes,
      cachedBytes: job.cachedBytes + counts.cachedBytes,
      doneTablets: job.doneTablets + counts.doneTablets,
      skippedTablets: job.skippedTablets + counts.skippedTablets,
      failedTablets: job.failedTablets + counts.failedTablets,
    });
  }

  /** A failure of a tablet that was dropped meanwhile is no failure: it is skipped. */
  #judge(progress: BatchProgress, totalTablets: number) {
    const gone = new Set<TabletId>();
    const failures: WarmUpFailure[] = [];
    for (const failure of progress.failures) {
      if (this.#deps.catalog.tablets.get(failure.tabletId) === undefined) {
        gone.add(failure.tabletId);
      } else {
        failures.push(failure);
      }
    }
    const notSent = totalTablets - progress.totalTablets;
    return {
      failures: failures.slice(0, WARM_UP_FAILURES_MAX),
      counts: {
        totalBytes: progress.totalBytes,
        doneBytes: progress.doneBytes,
        cachedBytes: progress.cachedBytes,
        doneTablets: progress.doneTablets,
        skippedTablets: progress.skippedTablets + notSent + gone.size,
        failedTablets: Math.max(0, progress.failedTablets - gone.size),
      },
    };
  }

  /**
   * An object that failed because its rowset is not the tablet's any more, which is no failure, but
   * what replaced it is not warm yet. Holds keep such objects while a server lives; a backend may
   * go on with the batch of one that is gone.
   */
  #replacedRowset({ failures }: BatchProgress): string | undefined {
    const { catalog } = this.#deps;
    const replaced = failures.find(({ tabletId, item }) => {
      const rowset = rowsetOfKey(item);
      if (rowset === undefined || catalog.tablets.get(tabletId) === undefined) return false;
      return !catalog.rowsets.isThere(tabletId, rowset);
    });
    return replaced?.item;
  }

  /**
   * The run cannot go on as it is: the work goes on as a run of a higher number, with what is
   * visible then, and finds in the caches what this one brought there.
   */
  async #interrupt(progress: BatchProgress, detail: string): Promise<boolean> {
    const { catalog, changes } = this.#deps;
    const after = await catalog.transaction(async (tx) => {
      const job = await tx.warmUpJobs.find(progress.jobId);
      if (job?.state !== 'RUNNING' || job.run !== progress.run) return undefined;
      return await changes.transition(tx, job, 'interrupted', { detail });
    });
    return after !== undefined;
  }
}

function batchName(of: Pick<WarmUpBatch, 'jobId' | 'run' | 'backendId' | 'batch'>): string {
  return `${of.jobId}/${of.run}/${of.backendId}/${of.batch}`;
}

/**
 * A batch that is checked again finds what it had downloaded itself, which was not in the cache
 * before it. An answer that is only repeated says no more than it did.
 */
function cachedBefore(batch: WarmUpBatch, saidBytes: number): number {
  if (saidBytes <= batch.cachedBytes) return saidBytes;
  const ownBytes = batch.doneBytes - batch.cachedBytes;
  return Math.max(batch.cachedBytes, saidBytes - ownBytes);
}
