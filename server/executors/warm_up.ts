/** WARM UP, CANCEL WARM UP JOB and what belongs to them (reference/warm-up 1.1-1.8). */
import { SqlError } from '../../base/errors.ts';
import type { JobId, PartitionId, TabletId } from '../../base/ids.ts';
import { id } from '../../base/ids.ts';
import type { TableDef } from '../../base/schema.ts';
import { bytesText } from '../../base/units.ts';
import { OK, type StatementResult, textColumn } from '../../base/values.ts';
import type { NewWarmUpJob, WarmUpItem } from '../../catalog/warm_up_jobs.ts';
import { planTablets } from '../../jobs/cache_need.ts';
import {
  type Plan,
  type PlanBackend,
  type PlanTablet,
  planWarmUp,
} from '../../jobs/warm_up_planner.ts';
import type { WarmUp, WarmUpTable } from '../../parser/statement.ts';
import { jobIdOf } from '../../parser/job_ref.ts';
import { checkWarmUp } from '../../parser/warm_up_rules.ts';
import type { Services } from '../services.ts';
import { type ExecContext, type Executor, databaseOf } from './executor.ts';

/** Hot partitions considered for one warm-up, hottest first. */
const HOT_PARTITIONS_MAX = 100_000;
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
    const plan = await planFromGroup(context, target, source.name);
    return { job: newJob('CLUSTER', { target, force, srcGroup: source.name, tables: [] }), plan };
  }
  const items = await resolveTables(source.tables, context);
  const tables = items.map((item) => item.item);
  const plan = await planTables(context, target, items, force);
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

// ---------------------------------------------------------------------------------------------
// WITH TABLE

interface ResolvedItem {
  readonly item: WarmUpItem;
  readonly table: TableDef;
  readonly partitionIds: readonly PartitionId[];
}

async function resolveTables(
  tables: readonly WarmUpTable[],
  { services, session }: ExecContext,
): Promise<ResolvedItem[]> {
  const items: ResolvedItem[] = [];
  for (const { db: named, name, partition } of tables) {
    const db = databaseOf(named, session);
    if ((await services.catalog.databases.find(db)) === undefined) {
      throw new SqlError('BAD_DB', { name: db });
    }
    const table = await services.catalog.tables.find(db, name);
    if (table === undefined) throw new SqlError('BAD_TABLE', { name: `${db}.${name}` });
    if (partition === undefined) {
      const partitionIds = table.partitions.map((p) => p.partitionId);
      items.push({ item: { db, table: table.name }, table, partitionIds });
      continue;
    }
    const found = table.partitions.find((p) => p.name === partition);
    if (found === undefined) throw new SqlError('WARM_UP_NO_PARTITION', { name: partition });
    const item = { db, table: table.name, partition: found.name };
    items.push({ item, table, partitionIds: [found.partitionId] });
  }
  return items;
}

async function planTables(
  context: ExecContext,
  target: string,
  items: readonly ResolvedItem[],
  force: boolean,
): Promise<Plan> {
  const { catalog } = context.services;
  // A table or partition named twice is warmed once.
  const tabletIds = new Set<TabletId>();
  for (const { partitionIds } of items) {
    for (const partitionId of partitionIds) {
      for (const tablet of catalog.tablets.ofPartition(partitionId)) tabletIds.add(tablet.tabletId);
    }
  }
  const tablets = await planTablets(catalog, [...tabletIds]);
  const plan = planWarmUp(tablets, { ...(await planOptions(context, target)), order: 'given' });
  if (plan.leftOut > 0 && !force) {
    throw new SqlError('WARM_UP_TOO_BIG', {
      name: target,
      needed: bytesText(plan.neededBytes),
      capacity: bytesText(plan.capacityBytes),
    });
  }
  return plan;
}

// ---------------------------------------------------------------------------------------------
// WITH COMPUTE GROUP

async function planFromGroup(context: ExecContext, target: string, src: string): Promise<Plan> {
  const { services } = context;
  const { catalog, hotspots, config } = services;
  const group = await catalog.computeGroups.find(src);
  if (group === undefined) throw new SqlError('WARM_UP_SRC_UNKNOWN', { name: src });
  if (src === target) throw new SqlError('WARM_UP_SAME', { name: target });
  const options = { ...(await planOptions(context, target)), order: 'hottestFirst' as const };
  if (config.get('cloud_warm_up_force_all_partitions')) {
    return planWarmUp(await allTablets(services), options);
  }
  await hotspots.collect(src);
  const hot = await catalog.hotspots.top(group.computeGroupId, HOT_PARTITIONS_MAX);
  const tabletIds = hot.flatMap(({ partitionId, indexId }) =>
    catalog.tablets
      .ofPartition(partitionId)
      .filter((tablet) => tablet.indexId === indexId)
      .map((tablet) => tablet.tabletId),
  );
  return planWarmUp(await planTablets(catalog, tabletIds), options);
}

async function allTablets({ catalog }: Services): Promise<PlanTablet[]> {
  const tables = await catalog.tables.list();
  const tablets = tables.flatMap((table) => catalog.tablets.ofTable(table.tableId));
  return await planTablets(
    catalog,
    tablets.map((tablet) => tablet.tabletId),
  );
}

async function planOptions(
  { services }: ExecContext,
  target: string,
): Promise<{ readonly backends: readonly PlanBackend[]; readonly maxBatchBytes: number }> {
  const { catalog, registry, config } = services;
  const group = await catalog.computeGroups.get(target);
  const members = await catalog.backends.ofGroup(group.computeGroupId);
  const backends = members.flatMap(({ backendId }): PlanBackend[] => {
    const status = registry.status(backendId);
    if (status?.alive !== true) return [];
    return [{ backendId, cacheCapacityBytes: status.cacheCapacityBytes }];
  });
  if (backends.length === 0) throw new SqlError('NO_ALIVE_BACKEND', { name: target });
  return { backends, maxBatchBytes: config.get('cloud_warm_up_job_max_bytes_per_batch') };
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
