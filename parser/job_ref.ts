/** Which job a statement means. */
import { SqlError } from '../base/errors.ts';
import type { JobRef } from '../grammar/nodes/clauses.ts';

/** The job of CANCEL, PAUSE, ... : `17` or `WHERE id = 17`. Throws WARM_UP_NO_ID, WARM_UP_WHERE. */
export function jobIdOf(job: JobRef): number {
  switch (job.kind) {
    case 'id':
      return job.id;
    case 'none':
      throw new SqlError('WARM_UP_NO_ID');
    case 'where':
      return idInWhere(job.where);
  }
}

function idInWhere(where: Extract<JobRef, { kind: 'where' }>['where']): number {
  const id = where.kind === 'Binary' && where.op === '=' ? where : undefined;
  const column = id?.left.kind === 'Column' && id.left.path.length === 1 ? id.left.path[0] : '';
  const text = id?.right.kind === 'Number' ? id.right.text : '';
  if (!/^(?:id|jobid)$/i.test(column ?? '') || !/^\d{1,40}$/.test(text)) {
    throw new SqlError('WARM_UP_WHERE');
  }
  const value = Number(text);
  // No job has an id as long as that.
  if (!Number.isSafeInteger(value)) throw new SqlError('WARM_UP_UNKNOWN_JOB', { id: text });
  return value;
}
