/** CANCEL ALTER TABLE: the job ends, the table stays as it is. */
import { SqlError } from '../../base/errors.ts';
import { OK } from '../../base/values.ts';
import { type Executor, tableNameOf } from './executor.ts';

/** Throws ALTER_NO_JOB when none of the table runs, or another one than was named. */
export const cancelAlterTable: Executor<'CancelAlterTable'> = async (
  { what, table: name, jobs },
  { services, session },
) => {
  const { db, table: tableName } = tableNameOf(name, session);
  const table = await services.catalog.tables.get(db, tableName);
  const kind = what === 'COLUMN' ? 'SCHEMA_CHANGE' : 'ROLLUP';
  const job = (await services.catalog.alterJobs.active()).find(
    (active) => active.tableId === table.tableId && active.kind === kind,
  );
  const isMeant = job !== undefined && (jobs.length === 0 || jobs.includes(job.jobId));
  if (!isMeant) throw new SqlError('ALTER_NO_JOB', { table: table.name, kind });
  await services.alters.cancel(job.jobId, 'user cancelled');
  return OK;
};
