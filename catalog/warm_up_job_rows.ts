/** A warm-up job as the row that it is. */
import { id } from '../base/ids.ts';
import type { JobId } from '../base/ids.ts';
import { fromJson, toJson } from './json_text.ts';
import type { CatalogRows } from './rows.ts';
import type { WriteSession } from './session.ts';
import type {
  NewWarmUpJob,
  WarmUpCounts,
  WarmUpItem,
  WarmUpJob,
  WarmUpJobChange,
} from './warm_up_jobs.ts';

export type JobRow = CatalogRows['warm_up_job'];

export function newJobRow(
  tx: Pick<WriteSession, 'ids' | 'clock'>,
  job: NewWarmUpJob,
  counts: Partial<WarmUpCounts>,
): JobRow {
  return {
    job_id: tx.ids.next<JobId>(),
    kind: job.kind,
    src_group: job.srcGroup,
    dst_group: job.dstGroup,
    sync_mode: job.syncMode,
    sync_interval_s: job.syncIntervalS,
    sync_event: job.syncEvent,
    table_filter: job.tableFilter,
    state: 'PENDING',
    force: job.force ? 1 : 0,
    tables: toJson(job.tables),
    run: 1,
    epoch: job.epoch,
    version: 1,
    create_ms: tx.clock.now(),
    start_ms: null,
    finish_ms: null,
    err_msg: '',
    all_batch: counts.allBatch ?? 0,
    finish_batch: counts.finishBatch ?? 0,
    all_bytes: counts.allBytes ?? 0,
    finish_bytes: counts.finishBytes ?? 0,
    cached_bytes: counts.cachedBytes ?? 0,
    all_tablets: counts.allTablets ?? 0,
    done_tablets: counts.doneTablets ?? 0,
    skipped_tablets: counts.skippedTablets ?? 0,
    failed_tablets: counts.failedTablets ?? 0,
    start_asked: job.startAsked === true ? 1 : 0,
  };
}

/** Property of a change → column. Total: a new property does not compile until it is here. */
const COLUMN_OF: Readonly<
  Record<Exclude<keyof WarmUpJobChange, 'event' | 'detail'>, keyof JobRow>
> = {
  state: 'state',
  run: 'run',
  epoch: 'epoch',
  startMs: 'start_ms',
  finishMs: 'finish_ms',
  errMsg: 'err_msg',
  allBatch: 'all_batch',
  finishBatch: 'finish_batch',
  allBytes: 'all_bytes',
  finishBytes: 'finish_bytes',
  cachedBytes: 'cached_bytes',
  allTablets: 'all_tablets',
  doneTablets: 'done_tablets',
  skippedTablets: 'skipped_tablets',
  failedTablets: 'failed_tablets',
  startAsked: 'start_asked',
  syncIntervalS: 'sync_interval_s',
  tableFilter: 'table_filter',
};

export function changedColumns(change: WarmUpJobChange): Partial<JobRow> {
  const columns: Record<string, unknown> = {};
  for (const property of Object.keys(COLUMN_OF) as (keyof typeof COLUMN_OF)[]) {
    const value = change[property];
    if (value === undefined) continue;
    columns[COLUMN_OF[property]] = typeof value === 'boolean' ? Number(value) : value;
  }
  return columns;
}

export function toJob(row: JobRow): WarmUpJob {
  return {
    jobId: id<JobId>(row.job_id),
    kind: row.kind,
    srcGroup: row.src_group,
    dstGroup: row.dst_group,
    syncMode: row.sync_mode,
    syncIntervalS: row.sync_interval_s,
    syncEvent: row.sync_event,
    tableFilter: row.table_filter,
    state: row.state,
    force: row.force === 1,
    tables: fromJson<WarmUpItem[]>(row.tables),
    run: row.run,
    epoch: row.epoch,
    version: row.version,
    createMs: row.create_ms,
    startMs: row.start_ms,
    finishMs: row.finish_ms,
    errMsg: row.err_msg,
    allBatch: row.all_batch,
    finishBatch: row.finish_batch,
    allBytes: row.all_bytes,
    finishBytes: row.finish_bytes,
    cachedBytes: row.cached_bytes,
    allTablets: row.all_tablets,
    doneTablets: row.done_tablets,
    skippedTablets: row.skipped_tablets,
    failedTablets: row.failed_tablets,
    startAsked: row.start_asked === 1,
  };
}
