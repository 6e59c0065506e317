/** The work of a warm-up job: batches per backend, the tablets in them, and what failed. */
import type { WarmUpFailure } from '../base/agent_messages.ts';
import { id } from '../base/ids.ts';
import type { BackendId, JobId, TabletId } from '../base/ids.ts';
import type { CatalogRows, WarmUpBatchState } from './rows.ts';
import type { Session, WriteSession } from './session.ts';
import { StaleRow, expectOne } from './stale_row.ts';

/** Tablet ids in one `warm_up_batch_tablet` row: 64 KiB of blob. */
const TABLETS_PER_CHUNK = 8192;
/** Failures of one run that are kept by name; the rest only count. */
export const FAILURES_PER_RUN_MAX = 10_000;

export interface BatchId {
  readonly jobId: JobId;
  readonly run: number;
  readonly backendId: BackendId;
  /** 0-based, per backend. */
  readonly batch: number;
}

interface BatchCounts {
  readonly totalBytes: number;
  readonly doneBytes: number;
  readonly cachedBytes: number;
  readonly totalTablets: number;
  readonly doneTablets: number;
  readonly skippedTablets: number;
  readonly failedTablets: number;
}

export interface NewBatch {
  readonly backendId: BackendId;
  readonly batch: number;
  readonly totalBytes: number;
  readonly tabletIds: readonly TabletId[];
}

export interface WarmUpBatch extends BatchId, BatchCounts {
  readonly state: WarmUpBatchState;
  /** Row version: what `update` expects. */
  readonly version: number;
  /** How often it was handed out. */
  readonly attempts: number;
}

export interface BatchChange extends Partial<BatchCounts> {
  readonly state?: WarmUpBatchState;
  readonly attempts?: number;
}

type BatchRow = CatalogRows['warm_up_batch'];

export class WarmUpBatchStore {
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  /** PENDING batches of a run with their tablets, in the order given. */
  async create(jobId: JobId, run: number, batches: readonly NewBatch[]): Promise<void> {
    await this.#session.write(async (tx) => {
      for (const batch of batches) {
        const key = { job_id: jobId, run, backend_id: batch.backendId, batch: batch.batch };
        await tx.db
          .insertInto('warm_up_batch')
          .values({
            ...key,
            state: 'PENDING',
            version: 1,
            attempts: 0,
            total_bytes: batch.totalBytes,
            done_bytes: 0,
            cached_bytes: 0,
            total_tablets: batch.tabletIds.length,
            done_tablets: 0,
            skipped_tablets: 0,
            failed_tablets: 0,
          })
          .execute();
        await insertTablets(tx, key, batch.tabletIds);
      }
    });
  }

  /** Batches of a run, by backend and number; only those not DONE when asked so. */
  async ofRun(jobId: JobId, run: number, which: 'all' | 'open' = 'all'): Promise<WarmUpBatch[]> {
    let query = this.#session.db
      .selectFrom('warm_up_batch')
      .selectAll()
      .where('job_id', '=', jobId)
      .where('run', '=', run);
    if (which === 'open') query = query.where('state', '!=', 'DONE');
    const rows = await query.orderBy('backend_id').orderBy('batch').execute();
    return rows.map(toBatch);
  }

  async find(key: BatchId): Promise<WarmUpBatch | undefined> {
    const row = await this.#find(key);
    return row === undefined ? undefined : toBatch(row);
  }

  /** In the order they were given; empty for an unknown batch. */
  async tablets(key: BatchId): Promise<TabletId[]> {
    const rows = await this.#session.db
      .selectFrom('warm_up_batch_tablet')
      .select('tablet_ids')
      .where('job_id', '=', key.jobId)
      .where('run', '=', key.run)
      .where('backend_id', '=', key.backendId)
      .where('batch', '=', key.batch)
      .orderBy('chunk')
      .execute();
    return rows.flatMap((row) => unpackIds(row.tablet_ids));
  }

  /** Guarded by the version as `WarmUpJobStore.update` is; throws `StaleRow`. */
  async update(key: BatchId, expectVersion: number, change: BatchChange): Promise<WarmUpBatch> {
    return this.#session.write(async (tx) => {
      const before = await new WarmUpBatchStore(tx).#find(key);
      const what = `batch ${key.batch} of warm-up job ${key.jobId}`;
      if (before === undefined || before.version !== expectVersion) throw new StaleRow(what);
      const after: BatchRow = {
        ...before,
        state: change.state ?? before.state,
        version: expectVersion + 1,
        attempts: change.attempts ?? before.attempts,
        total_bytes: change.totalBytes ?? before.total_bytes,
        done_bytes: change.doneBytes ?? before.done_bytes,
        cached_bytes: change.cachedBytes ?? before.cached_bytes,
        total_tablets: change.totalTablets ?? before.total_tablets,
        done_tablets: change.doneTablets ?? before.done_tablets,
        skipped_tablets: change.skippedTablets ?? before.skipped_tablets,
        failed_tablets: change.failedTablets ?? before.failed_tablets,
      };
      const result = await tx.db
        .updateTable('warm_up_batch')
        .set(after)
        .where('job_id', '=', key.jobId)
        .where('run', '=', key.run)
        .where('backend_id', '=', key.backendId)
        .where('batch', '=', key.batch)
        .where('state', '=', before.state)
        .where('version', '=', expectVersion)
        .executeTakeFirst();
      expectOne(result.numUpdatedRows, what);
      return toBatch(after);
    });
  }

  /**
   * Gives a PENDING or SENT batch's tablets to other backends: the batch goes, `parts` come.
   * For when a backend left the group. The parts' numbers must be free.
   */
  async move(key: BatchId, parts: readonly NewBatch[]): Promise<void> {
    await this.#session.write(async (tx) => {
      for (const table of ['warm_up_batch_tablet', 'warm_up_batch'] as const) {
        await tx.db
          .deleteFrom(table)
          .where('job_id', '=', key.jobId)
          .where('run', '=', key.run)
          .where('backend_id', '=', key.backendId)
          .where('batch', '=', key.batch)
          .execute();
      }
      await new WarmUpBatchStore(tx).create(key.jobId, key.run, parts);
    });
  }

  /**
   * The work of a run goes on as a later run of the job: open batches are PENDING again, those
   * that are DONE stay so. No batch of `toRun` may exist.
   */
  async renumber(jobId: JobId, fromRun: number, toRun: number): Promise<void> {
    await this.#session.write(async (tx) => {
      await tx.db
        .updateTable('warm_up_batch')
        .set((eb) => ({ run: toRun, version: eb('version', '+', 1) }))
        .where('job_id', '=', jobId)
        .where('run', '=', fromRun)
        .execute();
      await tx.db
        .updateTable('warm_up_batch')
        .set({ state: 'PENDING' })
        .where('job_id', '=', jobId)
        .where('run', '=', toRun)
        .where('state', '=', 'SENT')
        .execute();
      await tx.db
        .updateTable('warm_up_batch_tablet')
        .set({ run: toRun })
        .where('job_id', '=', jobId)
        .where('run', '=', fromRun)
        .execute();
    });
  }

  /** Deletes all batches of a run with their tablets; its failed items stay. */
  async deleteRun(jobId: JobId, run: number): Promise<void> {
    await this.#session.write(async (tx) => {
      for (const table of ['warm_up_batch_tablet', 'warm_up_batch'] as const) {
        await tx.db.deleteFrom(table).where('job_id', '=', jobId).where('run', '=', run).execute();
      }
    });
  }

  /** Runs that have batches, of any job. */
  async runsWithWork(): Promise<{ readonly jobId: JobId; readonly run: number }[]> {
    const rows = await this.#session.db
      .selectFrom('warm_up_batch')
      .select(['job_id', 'run'])
      .distinct()
      .execute();
    return rows.map((row) => ({ jobId: id<JobId>(row.job_id), run: row.run }));
  }

  /** Appends failed items to a run, up to `FAILURES_PER_RUN_MAX`; how many were kept. */
  async addFailures(
    jobId: JobId,
    run: number,
    failures: readonly WarmUpFailure[],
  ): Promise<number> {
    if (failures.length === 0) return 0;
    return this.#session.write(async (tx) => {
      const last = await tx.db
        .selectFrom('warm_up_failure')
        .select((eb) => [eb.fn.max('seq').as('seq'), eb.fn.countAll<number>().as('count')])
        .where('job_id', '=', jobId)
        .where('run', '=', run)
        .executeTakeFirst();
      let seq = last?.seq ?? 0;
      const kept = failures.slice(0, Math.max(0, FAILURES_PER_RUN_MAX - (last?.count ?? 0)));
      for (const failure of kept) {
        seq += 1;
        await tx.db
          .insertInto('warm_up_failure')
          .values({
            job_id: jobId,
            run,
            seq,
            tablet_id: failure.tabletId,
            item: failure.item,
            reason: failure.reason,
            at_ms: tx.clock.now(),
          })
          .execute();
      }
      return kept.length;
    });
  }

  /** In the order they happened. */
  async failures(jobId: JobId, run: number, limit: number): Promise<WarmUpFailure[]> {
    const rows = await this.#session.db
      .selectFrom('warm_up_failure')
      .selectAll()
      .where('job_id', '=', jobId)
      .where('run', '=', run)
      .orderBy('seq')
      .limit(limit)
      .execute();
    return rows.map((row) => ({
      tabletId: id<TabletId>(row.tablet_id),
      item: row.item,
      reason: row.reason,
    }));
  }

  async #find(key: BatchId): Promise<BatchRow | undefined> {
    return this.#session.db
      .selectFrom('warm_up_batch')
      .selectAll()
      .where('job_id', '=', key.jobId)
      .where('run', '=', key.run)
      .where('backend_id', '=', key.backendId)
      .where('batch', '=', key.batch)
      .executeTakeFirst();
  }
}

type BatchKeyColumns = Pick<BatchRow, 'job_id' | 'run' | 'backend_id' | 'batch'>;

async function insertTablets(
  tx: WriteSession,
  key: BatchKeyColumns,
  tabletIds: readonly TabletId[],
): Promise<void> {
  for (let start = 0; start < tabletIds.length; start += TABLETS_PER_CHUNK) {
    const part = tabletIds.slice(start, start + TABLETS_PER_CHUNK);
    await tx.db
      .insertInto('warm_up_batch_tablet')
      .values({ ...key, chunk: start / TABLETS_PER_CHUNK, tablet_ids: packIds(part) })
      .execute();
  }
}

/** 8 bytes per id, little-endian unsigned. */
function packIds(ids: readonly number[]): Uint8Array {
  const bytes = Buffer.alloc(ids.length * 8);
  ids.forEach((value, i) => bytes.writeBigUInt64LE(BigInt(value), i * 8));
  return bytes;
}

function unpackIds(bytes: Uint8Array): TabletId[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const ids: TabletId[] = [];
  for (let at = 0; at < view.byteLength; at += 8) {
    ids.push(id<TabletId>(Number(view.getBigUint64(at, true))));
  }
  return ids;
}

function toBatch(row: BatchRow): WarmUpBatch {
  return {
    jobId: id<JobId>(row.job_id),
    run: row.run,
    backendId: id<BackendId>(row.backend_id),
    batch: row.batch,
    state: row.state,
    version: row.version,
    attempts: row.attempts,
    totalBytes: row.total_bytes,
    doneBytes: row.done_bytes,
    cachedBytes: row.cached_bytes,
    totalTablets: row.total_tablets,
    doneTablets: row.done_tablets,
    skippedTablets: row.skipped_tablets,
    failedTablets: row.failed_tablets,
  };
}
