/** Which jobs may stand beside each other: duplicates and conflicts (reference/warm-up 1.6). */
import { SqlError } from '../base/errors.ts';
import type { JobId } from '../base/ids.ts';
import type { NewWarmUpJob, WarmUpJob } from '../catalog/warm_up_jobs.ts';
import { workKey } from './once_twins.ts';

export type WantedJob = Pick<
  NewWarmUpJob,
  'kind' | 'srcGroup' | 'dstGroup' | 'syncMode' | 'tableFilter' | 'force' | 'tables'
>;
type KnownJob = WantedJob & Pick<WarmUpJob, 'jobId' | 'state'>;

export type Verdict =
  | { readonly kind: 'free' }
  /** The same work is still to come: its job is answered instead of a second one (DESIGN 4.3). */
  | { readonly kind: 'existing'; readonly jobId: JobId }
  | { readonly kind: 'refused'; readonly error: SqlError };

const FREE: Verdict = { kind: 'free' };

/**
 * `active`: jobs that are not final; of the wanted one's mode, source and target at least, and for
 * a one-time job those with the same work.
 */
export function judgeWanted(wanted: WantedJob, active: readonly KnownJob[]): Verdict {
  const rivals = active.filter(
    (job) =>
      job.syncMode === wanted.syncMode &&
      job.srcGroup === wanted.srcGroup &&
      job.dstGroup === wanted.dstGroup,
  );
  switch (wanted.syncMode) {
    case 'ONCE':
      return judgeOnce(wanted, rivals);
    case 'PERIODIC':
      return rivals.length === 0 ? FREE : { kind: 'refused', error: twin(wanted) };
    case 'EVENT_DRIVEN':
      return judgeEvents(wanted, rivals);
  }
}

function judgeOnce(wanted: WantedJob, rivals: readonly KnownJob[]): Verdict {
  const work = workKey(wanted);
  const same = rivals.find((job) => job.state === 'PENDING' && workKey(job) === work);
  return same === undefined ? FREE : { kind: 'existing', jobId: same.jobId };
}

/** One unfiltered job, or any number with different filters; never both. */
function judgeEvents(wanted: WantedJob, rivals: readonly KnownJob[]): Verdict {
  const same = rivals.some((job) => job.tableFilter === wanted.tableFilter);
  if (same) return { kind: 'refused', error: twin(wanted) };
  const other = rivals.find((job) => (job.tableFilter === null) !== (wanted.tableFilter === null));
  if (other === undefined) return FREE;
  const error = new SqlError('WARM_UP_CONFLICT', {
    level: level(wanted),
    otherLevel: level(other),
    src: wanted.srcGroup ?? '',
    dst: wanted.dstGroup,
    id: other.jobId,
    filter: other.tableFilter === null ? '' : ` with table filter ${other.tableFilter}`,
  });
  return { kind: 'refused', error };
}

function level({ tableFilter }: WantedJob): string {
  return tableFilter === null ? 'cluster-level' : 'table-level';
}

function twin({ srcGroup, dstGroup, syncMode, tableFilter }: WantedJob): SqlError {
  return new SqlError('WARM_UP_TWIN', {
    src: srcGroup ?? '',
    dst: dstGroup,
    mode: syncMode,
    filter: tableFilter === null ? '' : `, tableFilter=${tableFilter}`,
  });
}
