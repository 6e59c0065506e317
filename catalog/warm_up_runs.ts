/**
 * Runs of warm-up jobs: one row per cycle of a periodic job, one (or one per resumption) of a
 * one-time job, kept after their work is gone. Event-driven jobs have none.
 */
import type { WarmUpFailure } from '../base/agent_messages.ts';
import { id } from '../base/ids.ts';
import type { JobId, TabletId } from '../base/ids.ts';
import type { CatalogRows, WarmUpOutcome } from './rows.ts';
import type { Session, WriteSession } from './session.ts';
import type { WarmUpCounts, WarmUpJob } from './warm_up_jobs.ts';

/** Most rows that one listing returns. */
export const LIST_MAX = 2000;
/** Runs deleted in one transaction. */
const DELETE_AT_ONCE = 200;

export interface WarmUpRun extends WarmUpCounts {
  readonly jobId: JobId;
  readonly run: number;
  readonly startMs: number;
  /** null while it goes on. */
  readonly endMs: number | null;
  /** FINISHED only if nothing failed. */
  readonly outcome: WarmUpOutcome;
  /** Why it did not finish; empty else. */
  readonly reason: string;
}

/** How a run ended. */
export interface RunEnd {
  readonly endMs: number;
  readonly outcome: WarmUpOutcome;
  /** Why it did not finish; empty else. */
  readonly reason: string;
  readonly counts: WarmUpCounts;
}

export interface ListedFailure extends WarmUpFailure {
  readonly jobId: JobId;
  readonly run: number;
  /** In the order they happened, per (job, run). */
  readonly seq: number;
  /** When the server heard of it; null in catalogs of before it was kept. */
  readonly atMs: number | null;
}

export interface RunFilter {
  readonly jobId?: JobId;
  /** Default and maximum 2000. */
  readonly limit?: number;
}

type RunRow = CatalogRows['warm_up_run'];

export class WarmUpRunStore {
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  /** Newest first. A run that goes on shows what its job counted so far. */
  async list({ jobId, limit }: RunFilter = {}): Promise<WarmUpRun[]> {
    let query = this.#session.db.selectFrom('warm_up_run').selectAll();
    if (jobId !== undefined) query = query.where('job_id', '=', jobId);
    const rows = await query
      .orderBy('start_ms', 'desc')
      .orderBy('job_id', 'desc')
      .orderBy('run', 'desc')
      .limit(Math.min(limit ?? LIST_MAX, LIST_MAX))
      .execute();
    return await this.#withLiveCounts(rows);
  }

  async find(jobId: JobId, run: number): Promise<WarmUpRun | undefined> {
    const rows = await this.#session.db
      .selectFrom('warm_up_run')
      .selectAll()
      .where('job_id', '=', jobId)
      .where('run', '=', run)
      .execute();
    return (await this.#withLiveCounts(rows))[0];
  }

  /** Failed items: newest run first, in it in the order they happened. */
  async failures({ jobId, limit }: RunFilter = {}): Promise<ListedFailure[]> {
    let query = this.#session.db.selectFrom('warm_up_failure').selectAll();
    if (jobId !== undefined) query = query.where('job_id', '=', jobId);
    const rows = await query
      .orderBy('job_id', 'desc')
      .orderBy('run', 'desc')
      .orderBy('seq')
      .limit(Math.min(limit ?? LIST_MAX, LIST_MAX))
      .execute();
    return rows.map((row) => ({
      jobId: id<JobId>(row.job_id),
      run: row.run,
      seq: row.seq,
      tabletId: id<TabletId>(row.tablet_id),
      item: row.item,
      reason: row.reason,
      atMs: row.at_ms,
    }));
  }

  /** A run begins; `job` is as it is after the transition that began it. */
  async begin(job: WarmUpJob): Promise<void> {
    await this.#session.write(async (tx) => {
      const startMs = job.startMs ?? tx.clock.now();
      const values: RunRow = {
        job_id: job.jobId,
        run: job.run,
        start_ms: startMs,
        end_ms: null,
        outcome: 'RUNNING',
        reason: '',
        ...countColumns(job),
      };
      await tx.db.insertInto('warm_up_run').values(values).execute();
    });
  }

  /** The job's run is over. No error when there is no such run. */
  async end({ jobId, run }: WarmUpJob, end: RunEnd): Promise<void> {
    const { endMs, outcome, reason, counts } = end;
    await this.#session.write(async (tx) => {
      await tx.db
        .updateTable('warm_up_run')
        .set({ end_ms: endMs, outcome, reason, ...countColumns(counts) })
        .where('job_id', '=', jobId)
        .where('run', '=', run)
        .where('outcome', '=', 'RUNNING')
        .execute();
    });
  }

  /**
   * Deletes runs of a job, with their failed items: those up to number `uptoRun`, and of the ended
   * ones those that ended before `beforeMs`. One small transaction; call again until it says 0.
   */
  async expire(jobId: JobId, uptoRun: number, beforeMs: number): Promise<number> {
    const rows = await this.#session.db
      .selectFrom('warm_up_run')
      .select('run')
      .where('job_id', '=', jobId)
      .where('outcome', '!=', 'RUNNING')
      .where((eb) => eb.or([eb('run', '<=', uptoRun), eb('end_ms', '<', beforeMs)]))
      .orderBy('run')
      .limit(DELETE_AT_ONCE)
      .execute();
    const runs = rows.map((row) => row.run);
    if (runs.length > 0) await this.#session.write((tx) => deleteRuns(tx, jobId, runs));
    return runs.length;
  }

  /** Forgets by name what failed in runs up to `uptoRun`; the runs still say how many. */
  async expireFailures(jobId: JobId, uptoRun: number): Promise<void> {
    const old = await this.#session.db
      .selectFrom('warm_up_failure')
      .select('run')
      .where('job_id', '=', jobId)
      .where('run', '<=', uptoRun)
      .limit(1)
      .execute();
    if (old.length === 0) return;
    await this.#session.write(async (tx) => {
      await tx.db
        .deleteFrom('warm_up_failure')
        .where('job_id', '=', jobId)
        .where('run', '<=', uptoRun)
        .execute();
    });
  }

  async #withLiveCounts(rows: readonly RunRow[]): Promise<WarmUpRun[]> {
    const running = rows.filter((row) => row.outcome === 'RUNNING').map((row) => row.job_id);
    const jobs =
      running.length === 0
        ? []
        : await this.#session.db
            .selectFrom('warm_up_job')
            .selectAll()
            .where('job_id', 'in', running)
            .execute();
    const byId = new Map(jobs.map((job) => [job.job_id, job]));
    return rows.map((row) => {
      const job = row.outcome === 'RUNNING' ? byId.get(row.job_id) : undefined;
      return toRun(row, job?.run === row.run ? job : row);
    });
  }
}

async function deleteRuns(tx: WriteSession, jobId: JobId, runs: readonly number[]): Promise<void> {
  for (const table of ['warm_up_failure', 'warm_up_run'] as const) {
    await tx.db.deleteFrom(table).where('job_id', '=', jobId).where('run', 'in', runs).execute();
  }
}

type CountColumns = Pick<
  RunRow,
  | 'all_batch'
  | 'finish_batch'
  | 'all_bytes'
  | 'finish_bytes'
  | 'cached_bytes'
  | 'all_tablets'
  | 'done_tablets'
  | 'skipped_tablets'
  | 'failed_tablets'
>;

function countColumns(counts: WarmUpCounts): CountColumns {
  return {
    all_batch: counts.allBatch,
    finish_batch: counts.finishBatch,
    all_bytes: counts.allBytes,
    finish_bytes: counts.finishBytes,
    cached_bytes: counts.cachedBytes,
    all_tablets: counts.allTablets,
    done_tablets: counts.doneTablets,
    skipped_tablets: counts.skippedTablets,
    failed_tablets: counts.failedTablets,
  };
}

function toRun(row: RunRow, counts: CountColumns): WarmUpRun {
  return {
    jobId: id<JobId>(row.job_id),
    run: row.run,
    startMs: row.start_ms,
    endMs: row.end_ms,
    outcome: row.outcome,
    reason: row.reason,
    allBatch: counts.all_batch,
    finishBatch: counts.finish_batch,
    allBytes: counts.all_bytes,
    finishBytes: counts.finish_bytes,
    cachedBytes: counts.cached_bytes,
    allTablets: counts.all_tablets,
    doneTablets: counts.done_tablets,
    skippedTablets: counts.skipped_tablets,
    failedTablets: counts.failed_tablets,
  };
}
