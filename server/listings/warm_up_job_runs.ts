/** SHOW WARM UP JOB RUNS: what became of every run, newest first. */
import type { JobId } from '../../base/ids.ts';
import { type SqlRow, bigintColumn, textColumn } from '../../base/values.ts';
import { timeText, timeTextOrNull } from '../../base/units.ts';
import type { WarmUpRun } from '../../catalog/warm_up_runs.ts';
import type { Services } from '../services.ts';
import type { Listing } from './listing.ts';
import { seenJobs } from './warm_up_jobs.ts';

export const WARM_UP_JOB_RUNS: Listing<Services> = {
  columns: [
    textColumn('JobId'),
    bigintColumn('Run'),
    ...['StartTime', 'EndTime', 'Outcome'].map(textColumn),
    ...['FinishBytes', 'AllBytes', 'DoneTablets', 'AllTablets'].map(bigintColumn),
    ...['SkippedTablets', 'FailedTablets'].map(bigintColumn),
    textColumn('Reason'),
  ],
  likeColumns: ['Outcome', 'Reason'],
  seen: seenJobs,
  rows: async (services) => await warmUpRunRows(services, undefined),
};

/** Of one job, or of all. */
export async function warmUpRunRows(
  { catalog, warmUps }: Services,
  jobId: JobId | undefined,
): Promise<readonly SqlRow[]> {
  const runs = await catalog.warmUpRuns.list(jobId === undefined ? {} : { jobId });
  return runs.map((run) => runRow(run, warmUps.board.live(run.jobId)));
}

type Live = ReturnType<Services['warmUps']['board']['live']>;

/** A run that goes on has what its backends said last. */
function runRow(run: WarmUpRun, live: Live): SqlRow {
  const more = (of: keyof Live): number => (run.outcome === 'RUNNING' ? live[of] : 0);
  return [
    String(run.jobId),
    BigInt(run.run),
    timeText(run.startMs),
    timeTextOrNull(run.endMs),
    run.outcome,
    BigInt(run.finishBytes + more('doneBytes')),
    BigInt(run.allBytes),
    BigInt(run.doneTablets + more('doneTablets')),
    BigInt(run.allTablets),
    BigInt(run.skippedTablets + more('skippedTablets')),
    BigInt(run.failedTablets + more('failedTablets')),
    run.reason,
  ];
}
