/** SHOW COOLDOWN JOB and information_schema.cooldown_jobs: elections, and what became of them. */
import { timeText, timeTextOrNull } from '../../base/units.ts';
import { bigintColumn, textColumn } from '../../base/values.ts';
import type { Services } from '../services.ts';
import { type Listing, nobody } from './listing.ts';

export const COOLDOWN_JOBS: Listing<Pick<Services, 'catalog' | 'cooldown'>> = {
  columns: [
    bigintColumn('JobId'),
    textColumn('State'),
    // Elected: for so many of the tablets it made a new term. Unconfirmed: replicas; NULL at the end.
    ...['Tablets', 'Elected', 'Unconfirmed'].map(bigintColumn),
    ...['CreateTime', 'StartTime', 'FinishTime'].map(textColumn),
    bigintColumn('TimeoutSecond'),
    ...['Reason', 'ErrMsg'].map(textColumn),
  ],
  likeColumns: ['State', 'Reason'],
  seen: nobody,
  rows: async ({ catalog, cooldown }) =>
    (await catalog.cooldown.list()).map((job) => {
      const unconfirmed = cooldown.scheduler.unconfirmed(job.jobId);
      return [
        BigInt(job.jobId),
        job.state,
        BigInt(job.tablets),
        BigInt(job.elected),
        unconfirmed === undefined ? null : BigInt(unconfirmed),
        timeText(job.createMs),
        timeTextOrNull(job.startMs),
        timeTextOrNull(job.finishMs),
        BigInt(Math.round(job.timeoutMs / 1000)),
        job.reason,
        job.errMsg,
      ];
    }),
};
