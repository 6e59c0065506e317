/** SHOW WARM UP JOB: Doris's columns in Doris's order, then ours (DESIGN section 3). */
import type { NotWarm } from '../../catalog/event_cursors.ts';
import type { WarmUpJob } from '../../catalog/warm_up_jobs.ts';
import { type SqlRow, bigintColumn, textColumn } from '../../base/values.ts';
import { timeText, timeTextOrNull } from '../../base/units.ts';
import { notWarmText } from '../../jobs/warm_up_waits.ts';
import type { Rights } from '../access/rights.ts';
import type { Services } from '../services.ts';
import { type Listing, type RowTest } from './listing.ts';

/** Which form SyncStats has: one line in lists, all windows where one job is asked for. */
export type StatsForm = 'compact' | 'detailed';

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
  likeColumns: ['SrcComputeGroup', 'DstComputeGroup', 'Tables', 'MatchedTables'],
  likeLists: ['Tables', 'MatchedTables'],
  seen: seenJobs,
  namesTables: ['MatchedTables'],
  rows: async (services) => {
    const jobs = await services.catalog.warmUpJobs.list();
    await matchesKnown(services, jobs);
    return jobs.map((job) => warmUpRow(services, job, 'compact'));
  },
};

/**
 * The table has one column more than SHOW, whose columns scripts rely on: which part of the bytes
 * was in the caches before the job.
 */
export const WARM_UP_JOBS_TABLE: Listing<Services> = {
  columns: [...WARM_UP_JOBS.columns, bigintColumn('CachedBytes')],
  likeColumns: WARM_UP_JOBS.likeColumns,
  seen: seenJobs,
  namesTables: ['MatchedTables'],
  rows: async (services) => {
    const jobs = await services.catalog.warmUpJobs.list();
    await matchesKnown(services, jobs);
    return jobs.map((job) => tableRow(services, job));
  },
  rowsNow: (services) => {
    const jobs = services.catalog.warmUpJobs.known();
    if (jobs === undefined || jobs.some(mayBeMatched)) return undefined;
    return jobs.map((job) => tableRow(services, job));
  },
};

/** As `endedRows`, with the column that only the table has. */
const endedTableRows = new WeakMap<WarmUpJob, SqlRow>();

function tableRow(services: Services, job: WarmUpJob): SqlRow {
  const known = endedTableRows.get(job);
  if (known !== undefined) return known;
  const live = job.state === 'RUNNING' ? services.warmUps.board.live(job.jobId) : undefined;
  const cachedBytes = job.cachedBytes + (live?.cachedBytes ?? 0);
  const cell = job.syncMode === 'EVENT_DRIVEN' ? null : BigInt(cachedBytes);
  const row = [...warmUpRow(services, job, 'compact'), cell];
  if (endedRows.has(job)) endedTableRows.set(job, row);
  return row;
}

/** With USAGE of both its groups and any right on the tables it names. */
export function seesJob(rights: Rights, { dstGroup, srcGroup, tables }: WarmUpJob): boolean {
  return (
    rights.mayUse('COMPUTE_GROUP', dstGroup) &&
    (srcGroup === null || rights.mayUse('COMPUTE_GROUP', srcGroup)) &&
    tables.every(({ db, table }) => rights.seesTable(db, table))
  );
}

/** By the ids of the jobs that the user sees. */
export async function seenJobs(
  rights: Rights,
  { catalog }: Pick<Services, 'catalog'>,
): Promise<RowTest> {
  const jobs = (await catalog.warmUpJobs.list()).filter((job) => seesJob(rights, job));
  const ids = new Set(jobs.map(({ jobId }) => String(jobId)));
  return (cell) => ids.has(String(cell('JobId')));
}

/** Waits until MatchedTables tells of every table there is, when one of the jobs has a filter. */
export async function matchesKnown(
  { matchedTables }: Services,
  jobs: readonly WarmUpJob[],
): Promise<void> {
  if (jobs.some(mayBeMatched)) await matchedTables.settled();
}

function mayBeMatched(job: WarmUpJob): boolean {
  return job.tableFilter !== null && !isFinal(job);
}

function isFinal({ state }: WarmUpJob): boolean {
  return state === 'FINISHED' || state === 'CANCELLED';
}

/** Rows of jobs that have ended: nothing but the job is in them. */
const endedRows = new WeakMap<WarmUpJob, SqlRow>();

export function warmUpRow(services: Services, job: WarmUpJob, form: StatsForm): SqlRow {
  const known = endedRows.get(job);
  if (known !== undefined) return known;
  const row = makeRow(services, job, form);
  // The windows of SyncStats move on.
  if (isFinal(job) && job.syncMode !== 'EVENT_DRIVEN') endedRows.set(job, row);
  return row;
}

const NOTHING: NotWarm = { tablets: 0, first: '' };

/** Cells that only a change of the job changes: a quarter of the time of a long list went there. */
interface FixedCells {
  readonly created: string;
  readonly started: string | null;
  readonly finished: string | null;
  readonly tables: string;
}

const cellsOfJobs = new WeakMap<WarmUpJob, FixedCells>();

function fixedCells(job: WarmUpJob): FixedCells {
  const known = cellsOfJobs.get(job);
  if (known !== undefined) return known;
  const tables = job.tables.map(({ db, table, partition }) => tableText(db, table, partition));
  const cells: FixedCells = {
    created: timeText(job.createMs),
    started: timeTextOrNull(job.startMs),
    finished: timeTextOrNull(job.finishMs),
    tables: tables.join(', '),
  };
  cellsOfJobs.set(job, cells);
  return cells;
}

function makeRow(services: Services, job: WarmUpJob, form: StatsForm): SqlRow {
  const { board } = services.warmUps;
  const isEvents = job.syncMode === 'EVENT_DRIVEN';
  const notWarm = isEvents ? services.catalog.eventCursors.notWarm(job.jobId) : NOTHING;
  const running = job.state === 'RUNNING';
  const live = running ? board.live(job.jobId) : undefined;
  const finishBytes = job.finishBytes + (live?.doneBytes ?? 0);
  const eta = running ? board.etaMs(job.jobId, job.allBytes - finishBytes) : undefined;
  const rate = running ? board.rate(job.jobId) : undefined;
  const nextStart = isFinal(job) ? undefined : services.warmUps.nextStartMs(job);
  const fixed = fixedCells(job);
  return [
    String(job.jobId),
    job.srcGroup,
    job.dstGroup,
    job.state,
    job.kind,
    syncModeText(job),
    fixed.created,
    fixed.started,
    String(job.finishBatch),
    String(job.allBatch),
    fixed.finished,
    job.errMsg === '' ? notWarmText(notWarm) : job.errMsg,
    fixed.tables,
    job.tableFilter ?? '',
    job.tableFilter === null || isFinal(job) ? '' : services.matchedTables.text(job.jobId),
    syncStatsText(services, job, form),
    job.dstGroup,
    progressText(job, finishBytes),
    // No end to come nearer to: SyncStats has the bytes.
    isEvents ? null : BigInt(finishBytes),
    isEvents ? null : BigInt(job.allBytes),
    rate === undefined ? null : BigInt(Math.round(rate)),
    eta === undefined ? null : timeText(services.clock.now() + eta),
    BigInt(job.skippedTablets + (live?.skippedTablets ?? 0)),
    BigInt(job.failedTablets + (live?.failedTablets ?? 0) + notWarm.tablets),
    isFinal(job) ? '' : waitReason(services, job),
    nextStart === undefined ? null : timeText(nextStart),
  ];
}

/** `ONCE`, `PERIODIC (10s)`, `EVENT_DRIVEN (LOAD)`. */
function syncModeText({ syncMode, syncIntervalS, syncEvent }: WarmUpJob): string {
  switch (syncMode) {
    case 'ONCE':
      return 'ONCE';
    case 'PERIODIC':
      return `PERIODIC (${syncIntervalS ?? 0}s)`;
    case 'EVENT_DRIVEN':
      return `EVENT_DRIVEN (${syncEvent ?? ''})`;
  }
}

/** Only event-driven jobs have any. */
function syncStatsText({ syncStats }: Services, job: WarmUpJob, form: StatsForm): string {
  if (job.syncMode !== 'EVENT_DRIVEN') return '';
  return form === 'detailed' ? syncStats.detailedText(job.jobId) : syncStats.compactText(job.jobId);
}

function waitReason({ warmUps, matchedTables }: Services, job: WarmUpJob): string {
  const reason = warmUps.board.waitReason(job.jobId);
  if (reason !== '') return reason;
  if (job.state === 'PAUSED') return 'paused';
  return matchedTables.isEmpty(job.jobId) ? 'no table matches the ON TABLES filter' : '';
}

function tableText(db: string, table: string, partition: string | undefined): string {
  return partition === undefined ? `${db}.${table}` : `${db}.${table}.${partition}`;
}

/**
 * Share of the bytes that are in the cache; 100 % only when nothing is left to do: when the job, or
 * the last cycle of a periodic one, has ended well. An event-driven job has no end to come nearer to.
 */
function progressText(job: WarmUpJob, finishBytes: number): string | null {
  if (job.syncMode === 'EVENT_DRIVEN') return null;
  const cycleOver = job.state === 'PENDING' && job.finishMs !== null && job.errMsg === '';
  if (job.state === 'FINISHED' || cycleOver) return '100.00%';
  if (job.allBytes === 0) return '0.00%';
  return `${Math.min(99.99, (100 * finishBytes) / job.allBytes).toFixed(2)}%`;
}
