/** CANCEL, PAUSE, RESUME, RETRY, ALTER and WAIT FOR WARM UP JOB. */
import { SqlError } from '../../base/errors.ts';
import type { JobId } from '../../base/ids.ts';
import { id } from '../../base/ids.ts';
import { tableFilterText } from '../../base/table_filter.ts';
import { OK, type RowsResult } from '../../base/values.ts';
import type { JobRef } from '../../parser/statement.ts';
import { jobIdOf } from '../../parser/job_ref.ts';
import { alteration } from '../../parser/warm_up_rules.ts';
import { everyRow, seenRows } from '../listings/listing.ts';
import { WARM_UP_JOBS, warmUpRow } from '../listings/warm_up_jobs.ts';
import { type Executor, rightsOf } from './executor.ts';
import { jobIdRow } from './warm_up.ts';

/** Throws WARM_UP_NO_ID, WARM_UP_WHERE. */
function wanted(job: JobRef): JobId {
  return id<JobId>(jobIdOf(job));
}

export const cancelWarmUpJob: Executor<'CancelWarmUpJob'> = async ({ job }, { services }) => {
  await services.warmUps.cancel(wanted(job));
  services.matchedTables.jobsChanged();
  return OK;
};

export const pauseWarmUpJob: Executor<'PauseWarmUpJob'> = async ({ job }, { services }) => {
  await services.warmUps.pause(wanted(job));
  return OK;
};

export const resumeWarmUpJob: Executor<'ResumeWarmUpJob'> = async ({ job }, { services }) => {
  await services.warmUps.resume(wanted(job));
  return OK;
};

/** Answers the job that tries again: a new one for a job that ran once, else the same. */
export const retryWarmUpJob: Executor<'RetryWarmUpJob'> = async ({ job }, { services }) =>
  jobIdRow(String(await services.warmUps.retry(wanted(job))));

export const alterWarmUpJob: Executor<'AlterWarmUpJob'> = async (statement, { services }) => {
  const jobId = wanted(statement.job);
  const { intervalSeconds, filter } = alteration(statement);
  if (filter !== undefined && (await services.matchedTables.matchNow(filter)).count === 0) {
    throw new SqlError('WARM_UP_NO_MATCH');
  }
  await services.warmUps.alter(jobId, {
    ...(intervalSeconds === undefined ? {} : { syncIntervalS: intervalSeconds }),
    ...(filter === undefined ? {} : { tableFilter: tableFilterText(filter) }),
  });
  if (filter !== undefined) services.matchedTables.jobsChanged();
  return OK;
};

/**
 * The row of SHOW when the job is done. Nothing is held meanwhile but the connection; it ends when
 * the client goes away, at KILL, and at shutdown.
 */
export const waitForWarmUpJob: Executor<'WaitForWarmUpJob'> = async (
  { job, timeoutSeconds },
  context,
): Promise<RowsResult> => {
  const { services, signal } = context;
  const limit = timeoutSeconds === undefined ? {} : { timeoutMs: timeoutSeconds * 1000 };
  try {
    const done = await services.warmUps.waitFor(wanted(job), { ...limit, signal });
    const one = { seen: everyRow, rows: () => [warmUpRow(services, done, 'detailed')] };
    const rows = await seenRows({ ...WARM_UP_JOBS, ...one }, services, rightsOf(context));
    return { kind: 'rows', columns: WARM_UP_JOBS.columns, rows };
  } catch (error) {
    if (signal.aborted && !(error instanceof SqlError)) throw new SqlError('QUERY_INTERRUPTED');
    throw error;
  }
};
