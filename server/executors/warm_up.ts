/** WARM UP, CANCEL WARM UP JOB and what belongs to them (reference/warm-up 1.1-1.8). */
import { SqlError } from '../../base/errors.ts';
import type { JobId } from '../../base/ids.ts';
import { id } from '../../base/ids.ts';
import { OK, type StatementResult, textColumn } from '../../base/values.ts';
import type { NewWarmUpJob, WarmUpItem } from '../../catalog/warm_up_jobs.ts';
import type { Plan } from '../../jobs/warm_up_planner.ts';
import { planFromGroup, planFromTables, resolveItems } from '../../jobs/warm_up_plans.ts';
import type { WarmUp, WarmUpTable } from '../../parser/statement.ts';
import { jobIdOf } from '../../parser/job_ref.ts';
import { checkWarmUp } from '../../parser/warm_up_rules.ts';
import { type ExecContext, type Executor, databaseOf } from './executor.ts';

const JOB_ID_COLUMN = [textColumn('JobId')];

export const warmUp: Executor<'WarmUp'> = async (statement, context) => {
  expectOnce(statement);
  const job = await plannedJob(statement, context);
  const { jobId, existing } = await context.services.warmUps.create(job.job, job.plan);
  if (existing) {
    context.session.warn({
      level: 'Warning',
      code: 1105,
      message: `job ${jobId} does the same and is still pending; no second one was made`,
    });
  }
  return { kind: 'rows', columns: JOB_ID_COLUMN, rows: [[String(jobId)]] };
};

/** Throws what is wrong with the properties, and NOT_SUPPORTED for the modes that are not there. */
function expectOnce(statement: WarmUp): void {
  const { syncMode } = checkWarmUp(statement);
  if (syncMode === 'ONCE') return;
  const what = `WARM UP with sync_mode=${syncMode.toLowerCase()}`;
  throw new SqlError('NOT_SUPPORTED', { what });
}

interface PlannedJob {
  readonly job: Omit<NewWarmUpJob, 'epoch'>;
  readonly plan: Plan;
}

async function plannedJob(statement: WarmUp, context: ExecContext): Promise<PlannedJob> {
  const { target, source, force } = statement;
  const { catalog } = context.services;
  if ((await catalog.computeGroups.find(target)) === undefined) {
    throw new SqlError('WARM_UP_DST_UNKNOWN', { name: target });
  }
  if (source.kind === 'computeGroup') {
    const plan = await planFromGroup(context.services, target, source.name);
    return { job: newJob('CLUSTER', { target, force, srcGroup: source.name, tables: [] }), plan };
  }
  const items = await resolveItems(catalog, itemsOf(source.tables, context));
  const tables = items.map((item) => item.item);
  const plan = await planFromTables(context.services, target, items, force);
  return { job: newJob('TABLE', { target, force, srcGroup: null, tables }), plan };
}

interface JobFacts {
  readonly target: string;
  readonly force: boolean;
  readonly srcGroup: string | null;
  readonly tables: readonly WarmUpItem[];
}

function newJob(kind: 'CLUSTER' | 'TABLE', facts: JobFacts): Omit<NewWarmUpJob, 'epoch'> {
  return {
    kind,
    srcGroup: facts.srcGroup,
    dstGroup: facts.target,
    syncMode: 'ONCE',
    syncIntervalS: null,
    syncEvent: null,
    tableFilter: null,
    force: facts.force,
    tables: facts.tables,
  };
}

function itemsOf(tables: readonly WarmUpTable[], { session }: ExecContext): WarmUpItem[] {
  return tables.map(({ db: named, name, partition }) => {
    const item = { db: databaseOf(named, session), table: name };
    return partition === undefined ? item : { ...item, partition };
  });
}

// ---------------------------------------------------------------------------------------------
// CANCEL, EXPLAIN

export const cancelWarmUpJob: Executor<'CancelWarmUpJob'> = async ({ job }, { services }) => {
  await services.warmUps.cancel(id<JobId>(jobIdOf(job)));
  return OK;
};

/** What WARM UP would do: batches per backend, without doing it. */
export const explainWarmUp: Executor<'ExplainWarmUp'> = async (
  { warmUp: statement },
  context,
): Promise<StatementResult> => {
  expectOnce(statement);
  const { plan } = await plannedJob(statement, context);
  return {
    kind: 'rows',
    columns: ['BackendId', 'Batch', 'Tablets', 'Bytes'].map(textColumn),
    rows: plan.batches.map(({ backendId, batch, tabletIds, bytes }) => [
      String(backendId),
      String(batch),
      String(tabletIds.length),
      String(bytes),
    ]),
  };
};
