/** SHOW WARM UP JOB: Doris's columns in Doris's order, then ours (DESIGN section 3). */
import type { WarmUpJob } from '../../catalog/warm_up_jobs.ts';
import { type SqlRow, bigintColumn, textColumn } from '../../base/values.ts';
import { timeText, timeTextOrNull } from '../../base/units.ts';
import type { Services } from '../services.ts';
import type { Listing } from './listing.ts';

export const WARM_UP_JOBS: Listing<Services> = {
  columns: [
    ...[
      'JobId',
      'SrcComputeGroup',
      'DstComputeGroup',
      'Status',
      'Type',
      'SyncMode',
      'CreateTime',
      'StartTime',
      'FinishBatch',
      'AllBatch',
      'FinishTime',
      'ErrMsg',
      'Tables',
      'TableFilter',
      'MatchedTables',
      'SyncStats',
      'ComputeGroup',
      'Progress',
    ].map(textColumn),
    ...['FinishBytes', 'AllBytes', 'BytesPerSec'].map(bigintColumn),
    textColumn('Eta'),
    ...['SkippedTablets', 'FailedTablets'].map(bigintColumn),
    ...['WaitReason', 'NextStartTime'].map(textColumn),
  ],
  likeColumns: ['SrcComputeGroup', 'DstComputeGroup', 'Tables'],
  rows: async (services) => {
    const jobs = await services.catalog.warmUpJobs.list();
    return jobs.map((job) => warmUpRow(services, job));
  },
};

/**
 * The table has one column more than SHOW, whose columns scripts rely on: which part of the bytes
 * was in the caches before the job.
 */
export const WARM_UP_JOBS_TABLE: Listing<Services> = {
  columns: [...WARM_UP_JOBS.columns, bigintColumn('CachedBytes')],
  likeColumns: WARM_UP_JOBS.likeColumns,
  rows: async (services) => {
    const jobs = await services.catalog.warmUpJobs.list();
    return jobs.map((job) => {
      const live = job.state === 'RUNNING' ? services.warmUps.board.live(job.jobId) : undefined;
      const cachedBytes = job.cachedBytes + (live?.cachedBytes ?? 0);
      return [...warmUpRow(services, job), BigInt(cachedBytes)];
    });
  },
};

/** Rows of jobs that have ended: nothing but the job is in them. */
const endedRows = new WeakMap<WarmUpJob, SqlRow>();

export function warmUpRow(services: Services, job: WarmUpJob): SqlRow {
  const known = endedRows.get(job);
  if (known !== undefined) return known;
  const row = makeRow(services, job);
  if (job.state === 'FINISHED' || job.state === 'CANCELLED') endedRows.set(job, row);
  return row;
}

function makeRow({ warmUps, clock }: Services, job: WarmUpJob): SqlRow {
  const { board } = warmUps;
  const running = job.state === 'RUNNING';
  const live = running ? board.live(job.jobId) : undefined;
  const finishBytes = job.finishBytes + (live?.doneBytes ?? 0);
  const eta = running ? board.etaMs(job.jobId, job.allBytes - finishBytes) : undefined;
  const rate = running ? board.rate(job.jobId) : undefined;
  return [
    String(job.jobId),
    job.srcGroup,
    job.dstGroup,
    job.state,
    job.kind,
    job.syncMode,
    timeTextOrNull(job.createMs),
    timeTextOrNull(job.startMs),
    String(job.finishBatch),
    String(job.allBatch),
    timeTextOrNull(job.finishMs),
    job.errMsg,
    job.tables.map(({ db, table, partition }) => tableText(db, table, partition)).join(', '),
    '',
    '',
    '',
    job.dstGroup,
    progressText(job, finishBytes),
    BigInt(finishBytes),
    BigInt(job.allBytes),
    rate === undefined ? null : BigInt(Math.round(rate)),
    eta === undefined ? null : timeText(clock.now() + eta),
    BigInt(job.skippedTablets + (live?.skippedTablets ?? 0)),
    BigInt(job.failedTablets + (live?.failedTablets ?? 0)),
    job.state === 'PENDING' || running ? board.waitReason(job.jobId) : '',
    null,
  ];
}

function tableText(db: string, table: string, partition: string | undefined): string {
  return partition === undefined ? `${db}.${table}` : `${db}.${table}.${partition}`;
}

/** Share of the bytes that are in the cache; 100 % only when nothing is left to do. */
function progressText(job: WarmUpJob, finishBytes: number): string {
  if (job.state === 'FINISHED') return '100.00%';
  if (job.allBytes === 0) return '0.00%';
  return `${Math.min(99.99, (100 * finishBytes) / job.allBytes).toFixed(2)}%`;
}
