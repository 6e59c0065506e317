/** SHOW COOLDOWN, CANCEL COOLDOWN JOB, ADMIN COOLDOWN TABLE and ADMIN SET COOLDOWN LEADER. */
import { SqlError } from '../../base/errors.ts';
import { type JobId, type ReplicaId, type TabletId, id } from '../../base/ids.ts';
import { type TableDef, isReplicated } from '../../base/schema.ts';
import { OK } from '../../base/values.ts';
import { jobIdOf } from '../../parser/job_ref.ts';
import type { TableName } from '../../parser/statement.ts';
import { isSystemDatabase } from '../information_schema/system_databases.ts';
import { COOLDOWN_JOBS } from '../listings/cooldown_jobs.ts';
import { TABLE_COOLDOWN } from '../listings/cooldown_tablets.ts';
import { type ExecContext, type Executor, tableNameOf } from './executor.ts';
import { showListing } from './filtered.ts';
import { pinnedId } from './show_warm_up.ts';

/** An id that is not there is no error: no row, and one warning, as of warm-up jobs. */
export const showCooldownJobs: Executor<'ShowCooldownJobs'> = async ({ filter }, context) => {
  const { services, session } = context;
  const wanted = filter.where === undefined ? undefined : pinnedId(filter.where);
  const jobs = wanted === undefined ? [] : await services.catalog.cooldown.list();
  if (wanted !== undefined && jobs.every(({ jobId }) => String(jobId) !== wanted)) {
    const message = `cooldown job ${wanted} does not exist`;
    session.warn({ level: 'Warning', code: 1105, message });
  }
  return await showListing(COOLDOWN_JOBS, services, filter, context);
};

/** No row for a shared table: nothing of it cools. */
export const showCooldownTablets: Executor<'ShowCooldownTablets'> = async (
  { table: name, filter },
  context,
) => {
  const { services } = context;
  const table = await tableOf(name, context);
  return await showListing(TABLE_COOLDOWN, { services, table }, filter, context);
};

/** The leads stay; replicas that lack them hear of them from a later job. */
export const cancelCooldownJob: Executor<'CancelCooldownJob'> = async ({ job }, { services }) => {
  await services.cooldown.scheduler.cancel(id<JobId>(jobIdOf(job)), 'user cancel');
  return OK;
};

/** Answers at once; SHOW COOLDOWN FROM says what became of it. */
export const adminCooldownTable: Executor<'AdminCooldownTable'> = async (statement, context) => {
  const { catalog, cooldown } = context.services;
  const table = await tableOf(statement.table, context);
  if (!isReplicated(table)) throw nothing(table, 'it is not replicated');
  const wanted = statement.partitions.map((name) => {
    const found = table.partitions.find((partition) => partition.name === name);
    if (found !== undefined) return found;
    throw new SqlError('UNKNOWN_PARTITION', { partition: name, table: table.name });
  });
  const partitions = (wanted.length === 0 ? table.partitions : wanted).filter(
    ({ storagePolicyId }) => storagePolicyId !== undefined,
  );
  if (partitions.length === 0) {
    const what = wanted.length === 0 ? 'none of its partitions' : 'none of these partitions';
    throw nothing(table, `${what} has a storage policy`);
  }
  cooldown.scheduler.coolNow(
    partitions.flatMap(({ partitionId }) =>
      catalog.tablets.ofPartition(partitionId).map(({ tabletId }) => tabletId),
    ),
  );
  return OK;
};

export const adminSetCooldownLeader: Executor<'AdminSetCooldownLeader'> = async (
  { tabletId, replicaId },
  { services },
) => {
  await services.cooldown.scheduler.setLeader(id<TabletId>(tabletId), id<ReplicaId>(replicaId));
  return OK;
};

/** Throws NO_DB, BAD_DB, NO_SUCH_TABLE; NOT_SUPPORTED for the server's own tables. */
async function tableOf(name: TableName, context: ExecContext): Promise<TableDef> {
  const { db, table } = tableNameOf(name, context.session);
  if (isSystemDatabase(db)) throw new SqlError('NOT_SUPPORTED', { what: `COOLDOWN of ${db}` });
  return await context.services.catalog.tables.get(db, table);
}

function nothing({ databaseName, name }: TableDef, why: string): SqlError {
  return new SqlError('COOLDOWN_NOTHING', { table: `${databaseName}.${name}`, why });
}
