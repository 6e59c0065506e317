/** SHOW WARM UP JOB [RUNS | FAILURES] and SHOW CACHE HOTSPOT. */
import { SqlError } from '../../base/errors.ts';
import type { ComputeGroupId, JobId } from '../../base/ids.ts';
import { id } from '../../base/ids.ts';
import { type RowsResult, type SqlRow, textColumn } from '../../base/values.ts';
import type { HotPartitionWeight } from '../../catalog/hotspots.ts';
import type { WarmUpJob } from '../../catalog/warm_up_jobs.ts';
import { LIST_MAX } from '../../catalog/warm_up_runs.ts';
import type { Expr, ShowFilter } from '../../parser/statement.ts';
import { type Listing, everyRow, splitTable } from '../listings/listing.ts';
import { WARM_UP_JOB_FAILURES, warmUpFailureRows } from '../listings/warm_up_job_failures.ts';
import { WARM_UP_JOB_RUNS, warmUpRunRows } from '../listings/warm_up_job_runs.ts';
import { WARM_UP_JOBS, matchesKnown, seesJob, warmUpRow } from '../listings/warm_up_jobs.ts';
import type { Services } from '../services.ts';
import { type ExecContext, type Executor, rightsOf } from './executor.ts';
import { filtered, showListing } from './filtered.ts';

/**
 * `WHERE id = n` reads one row and no list, and has the detailed form of SyncStats. An id that is
 * not there is no error: no row, and one warning (DESIGN 4.2).
 */
export const showWarmUpJobs: Executor<'ShowWarmUpJobs'> = async ({ filter }, context) => {
  const { services } = context;
  const pinned = filter.where === undefined ? undefined : pinnedId(filter.where);
  if (pinned === undefined) return await showListing(WARM_UP_JOBS, services, filter, context);
  const job = await findJob(pinned, context);
  if (job === undefined) return filtered(WARM_UP_JOBS, [], filter, context);
  await matchesKnown(services, [job]);
  const rows = [warmUpRow(services, job, 'detailed')];
  return await showListing({ ...WARM_UP_JOBS, ...known(rows) }, services, filter, context);
};

/** Rows of a job that the user sees. */
const known = (rows: readonly SqlRow[]): Pick<Listing<Services>, 'rows' | 'seen'> => ({
  rows: () => rows,
  seen: everyRow,
});

/** Undefined, and a warning, when there is none. */
async function findJob(wanted: string, context: ExecContext): Promise<WarmUpJob | undefined> {
  const { services, session } = context;
  const number = Number(wanted);
  const isId = Number.isSafeInteger(number);
  const found = isId ? await services.catalog.warmUpJobs.find(id<JobId>(number)) : undefined;
  // One that the user may not see is not there.
  const job = found !== undefined && seesJob(rightsOf(context), found) ? found : undefined;
  if (job === undefined) {
    const message = `cloud warm up with job ${wanted} does not exist`;
    session.warn({ level: 'Warning', code: 1105, message });
  }
  return job;
}

/** The n of `id = n` or `JobId = n`, alone or before AND; undefined: another condition. */
export function pinnedId(where: Expr): string | undefined {
  if (where.kind !== 'Binary') return undefined;
  const { op, left, right } = where;
  if (op === 'AND') return pinnedId(left) ?? pinnedId(right);
  if (op !== '=' || left.kind !== 'Column' || left.path.length !== 1) return undefined;
  if (!['id', 'jobid'].includes((left.path[0] ?? '').toLowerCase())) return undefined;
  const text = right.kind === 'Number' ? right.text : right.kind === 'String' ? right.value : '';
  return /^\d{1,40}$/.test(text) ? text.replace(/^0+(?=\d)/, '') : undefined;
}

/** Nobody shall take the newest rows for all there are. */
function warnOfMore({ length }: readonly SqlRow[], { session }: ExecContext): void {
  if (length < LIST_MAX) return;
  const message = `only the newest ${LIST_MAX} rows were looked at; there may be more of older runs`;
  session.warn({ level: 'Warning', code: 1105, message });
}

type RowsOfJob = (services: Services, jobId: JobId | undefined) => Promise<readonly SqlRow[]>;

/** `SHOW WARM UP JOB [n] RUNS` and FAILURES: of one job when it is named, in whatever way. */
async function showOfJob(
  { id: named, filter }: { readonly id: number | undefined; readonly filter: ShowFilter },
  listing: Listing<Services>,
  rowsOf: RowsOfJob,
  context: ExecContext,
): Promise<RowsResult> {
  const inWhere = filter.where === undefined ? undefined : pinnedId(filter.where);
  const wanted = named === undefined ? inWhere : String(named);
  if (wanted === undefined) {
    const all = await listing.rows(context.services);
    warnOfMore(all, context);
    return await showListing({ ...listing, rows: () => all }, context.services, filter, context);
  }
  const job = await findJob(wanted, context);
  const rows = job === undefined ? [] : await rowsOf(context.services, job.jobId);
  warnOfMore(rows, context);
  return await showListing({ ...listing, ...known(rows) }, context.services, filter, context);
}

export const showWarmUpJobRuns: Executor<'ShowWarmUpJobRuns'> = async (statement, context) =>
  await showOfJob(statement, WARM_UP_JOB_RUNS, warmUpRunRows, context);

export const showWarmUpJobFailures: Executor<'ShowWarmUpJobFailures'> = async (
  statement,
  context,
) => await showOfJob(statement, WARM_UP_JOB_FAILURES, warmUpFailureRows, context);

// ---------------------------------------------------------------------------------------------
// SHOW CACHE HOTSPOT

/** Partitions looked at per group. */
const HOT_PARTITIONS_MAX = 100_000;

/**
 * `/`: the hottest table of each group; `/group`: the hottest partition of each of its tables;
 * `/group/db.table`: the table's partitions. Hottest first; what nobody read is not there.
 * At `/group` the partition's name is the fourth column, where Doris's scripts read it.
 */
export const showCacheHotspot: Executor<'ShowCacheHotspot'> = async ({ path, filter }, context) => {
  const { columns, rows } = await hotspotsAt(path, context);
  const likeColumns = ['ComputeGroupName', 'TableName', 'PartitionName'].filter((name) =>
    columns.some((column) => column.name === name),
  );
  return filtered({ columns, likeColumns }, rows as readonly SqlRow[], filter, context);
};

async function hotspotsAt(path: string, context: ExecContext): Promise<RowsResult> {
  const match = /^\/(?:([^/]+)(?:\/([^/]+))?)?\/?$/.exec(path);
  if (match === null) throw new SqlError('BAD_HOTSPOT_PATH', { path });
  const [, group, table] = match;
  const { catalog, hotspots } = context.services;
  if (group === undefined) return await hottestTables(context);
  const { computeGroupId } = await catalog.computeGroups.get(group);
  await hotspots.collect(group);
  const hot = await hotPartitions(computeGroupId, context);
  return table === undefined ? hottestPartitions(hot) : partitionsOf(table, hot);
}

async function hotPartitions(
  computeGroupId: ComputeGroupId,
  context: ExecContext,
): Promise<readonly HotPartitionWeight[]> {
  const rights = rightsOf(context);
  const hot = await context.services.catalog.hotspots.top(computeGroupId, HOT_PARTITIONS_MAX);
  return rights.seesAllTables
    ? hot
    : hot.filter(({ tableName }) => rights.seesTable(...splitTable(tableName)));
}

async function hottestTables(context: ExecContext): Promise<RowsResult> {
  const { catalog, hotspots } = context.services;
  await hotspots.collect();
  const rows: SqlRow[] = [];
  for (const { computeGroupId, name } of await catalog.computeGroups.list()) {
    if (!rightsOf(context).mayUse('COMPUTE_GROUP', name)) continue;
    const [first] = byTable(await hotPartitions(computeGroupId, context));
    if (first === undefined) continue;
    const { tableId, tableName } = first.hottest;
    rows.push([String(computeGroupId), name, String(tableId), tableName]);
  }
  const columns = ['ComputeGroupId', 'ComputeGroupName', 'TableId', 'TableName'];
  return { kind: 'rows', columns: columns.map(textColumn), rows };
}

function hottestPartitions(hot: readonly HotPartitionWeight[]): RowsResult {
  const columns = ['TableId', 'TableName', 'PartitionId', 'PartitionName'];
  const rows = byTable(hot).map(({ hottest }) => [
    String(hottest.tableId),
    hottest.tableName,
    String(hottest.partitionId),
    hottest.partitionName,
  ]);
  return { kind: 'rows', columns: columns.map(textColumn), rows };
}

function partitionsOf(table: string, hot: readonly HotPartitionWeight[]): RowsResult {
  const seen = new Set<number>();
  const rows: SqlRow[] = [];
  for (const { tableName, partitionId, partitionName } of hot) {
    if (tableName !== table || seen.has(partitionId)) continue;
    seen.add(partitionId);
    rows.push([String(partitionId), partitionName]);
  }
  return { kind: 'rows', columns: ['PartitionId', 'PartitionName'].map(textColumn), rows };
}

interface HotTable {
  readonly hottest: HotPartitionWeight;
  weight: number;
}

/** Tables by the weight of all their partitions, heaviest first. */
function byTable(hot: readonly HotPartitionWeight[]): readonly HotTable[] {
  const tables = new Map<number, HotTable>();
  for (const partition of hot) {
    const known = tables.get(partition.tableId);
    if (known === undefined) {
      tables.set(partition.tableId, { hottest: partition, weight: partition.weight });
    } else {
      known.weight += partition.weight;
    }
  }
  return [...tables.values()].sort((a, b) => b.weight - a.weight);
}
