/** WARM UP and EXPLAIN WARM UP, in all modes (reference/warm-up 1.1-1.4, 1.8). */
import { SqlError } from '../../base/errors.ts';
import { isReplicated } from '../../base/schema.ts';
import { tableFilterText } from '../../base/table_filter.ts';
import { bytesText } from '../../base/units.ts';
import { type RowsResult, type SqlRow, textColumn } from '../../base/values.ts';
import type { NewWarmUpJob, WarmUpItem } from '../../catalog/warm_up_jobs.ts';
import type { Plan } from '../../jobs/warm_up_planner.ts';
import { planFromGroup, planFromTables, resolveItems } from '../../jobs/warm_up_plans.ts';
import type { WarmUp, WarmUpTable } from '../../parser/statement.ts';
import { type WarmUpRules, checkWarmUp } from '../../parser/warm_up_rules.ts';
import type { MatchedNow } from '../../jobs/matched_tables.ts';
import { splitTable } from '../listings/listing.ts';
import { type ExecContext, type Executor, databaseOf, rightsOf } from './executor.ts';

const JOB_ID_COLUMN = [textColumn('JobId')];

export const warmUp: Executor<'WarmUp'> = async (statement, context) => {
  const { services, session } = context;
  const { job, plan } = await prepare(statement, checkWarmUp(statement), context);
  const { jobId, existing } = await services.warmUps.create(job, plan);
  if (job.tableFilter !== null) services.matchedTables.jobsChanged();
  if (existing) {
    session.warn({
      level: 'Warning',
      code: 1105,
      message: `job ${jobId} does the same and is still pending; no second one was made`,
    });
  } else if (plan !== undefined) {
    warnOfRest(plan, job.dstGroup, context);
  }
  return jobIdRow(String(jobId));
};

/** The job will be FINISHED without them: whoever makes it hears so. */
function warnOfRest(plan: Plan, target: string, { session }: ExecContext): void {
  const { leftOut, totalTablets, neededBytes, capacityBytes } = plan;
  if (leftOut === 0) return;
  const sizes = `${bytesText(neededBytes)} needed, ${bytesText(capacityBytes)} there`;
  const message =
    `${leftOut} of ${leftOut + totalTablets} tablets are left out: ` +
    `the caches of ${target} are too small (${sizes})`;
  session.warn({ level: 'Warning', code: 1105, message });
}

/** What WARM UP and RETRY answer. */
export function jobIdRow(jobId: string): RowsResult {
  return { kind: 'rows', columns: JOB_ID_COLUMN, rows: [[jobId]] };
}

interface Prepared {
  readonly job: Omit<NewWarmUpJob, 'epoch'>;
  /** Only of a job that runs once: the others plan anew at each start, or never. */
  readonly plan: Plan | undefined;
  /** Tables that ON TABLES matches now. */
  readonly matched: MatchedNow;
}

const NO_MATCH: MatchedNow = { count: 0, first: [] };

/** Everything that can be wrong with the statement is found here, before anything is made. */
async function prepare(
  statement: WarmUp,
  rules: WarmUpRules,
  context: ExecContext,
): Promise<Prepared> {
  const { target, source, force } = statement;
  const { services } = context;
  if ((await services.catalog.computeGroups.find(target)) === undefined) {
    throw new SqlError('WARM_UP_DST_UNKNOWN', { name: target });
  }
  if (source.kind === 'tables') {
    const items = await resolveItems(services.catalog, itemsOf(source.tables, context));
    if (items.some(({ table }) => isReplicated(table))) {
      throw new SqlError('NOT_SUPPORTED', { what: 'WARM UP of replicated tables' });
    }
    const plan = await planFromTables(services, target, items, force);
    const tables = items.map((item) => item.item);
    return { job: newJob(statement, rules, tables), plan, matched: NO_MATCH };
  }
  await expectSource(source.name, target, context);
  const plan =
    rules.syncMode === 'ONCE' ? await planFromGroup(services, target, source.name) : undefined;
  const matched = await matchedNow(rules, context);
  return { job: newJob(statement, rules, []), plan, matched };
}

/** Throws WARM_UP_SRC_UNKNOWN, WARM_UP_SAME. */
async function expectSource(source: string, target: string, context: ExecContext): Promise<void> {
  const group = await context.services.catalog.computeGroups.find(source);
  if (group === undefined) throw new SqlError('WARM_UP_SRC_UNKNOWN', { name: source });
  if (source === target) throw new SqlError('WARM_UP_SAME', { name: target });
}

/** Throws WARM_UP_NO_MATCH when there is a filter and no table matches it. */
async function matchedNow(rules: WarmUpRules, { services }: ExecContext): Promise<MatchedNow> {
  if (rules.syncMode !== 'EVENT_DRIVEN' || rules.filter === undefined) return NO_MATCH;
  const matched = await services.matchedTables.matchNow(rules.filter);
  if (matched.count === 0) throw new SqlError('WARM_UP_NO_MATCH');
  return matched;
}

function newJob(
  { target, source, force }: WarmUp,
  rules: WarmUpRules,
  tables: readonly WarmUpItem[],
): Omit<NewWarmUpJob, 'epoch'> {
  const filter = rules.syncMode === 'EVENT_DRIVEN' ? rules.filter : undefined;
  const kind = source.kind === 'tables' ? 'TABLE' : filter === undefined ? 'CLUSTER' : 'TABLES';
  return {
    kind,
    srcGroup: source.kind === 'tables' ? null : source.name,
    dstGroup: target,
    syncMode: rules.syncMode,
    syncIntervalS: rules.syncMode === 'PERIODIC' ? rules.intervalSeconds : null,
    syncEvent: rules.syncMode === 'EVENT_DRIVEN' ? rules.event : null,
    tableFilter: filter === undefined ? null : tableFilterText(filter),
    force,
    tables,
  };
}

function itemsOf(tables: readonly WarmUpTable[], { session }: ExecContext): WarmUpItem[] {
  return tables.map(({ db: named, name, partition }) => {
    const item = { db: databaseOf(named, session), table: name };
    return partition === undefined ? item : { ...item, partition };
  });
}

// ---------------------------------------------------------------------------------------------
// EXPLAIN

/**
 * What WARM UP would do, without doing it. A run: its batches per backend, for a periodic job those
 * of a run that starts now. Event-driven: who would be served by whom, one fact a row.
 */
export const explainWarmUp: Executor<'ExplainWarmUp'> = async (
  { warmUp: statement },
  context,
): Promise<RowsResult> => {
  const rules = checkWarmUp(statement);
  const { job, plan, matched } = await prepare(statement, rules, context);
  if (rules.syncMode === 'EVENT_DRIVEN') return await eventFacts(job, rules, matched, context);
  const { srcGroup, dstGroup } = job;
  const run = plan ?? (await planFromGroup(context.services, dstGroup, srcGroup ?? ''));
  warnOfRest(run, dstGroup, context);
  return planRows(run);
};

function planRows({ batches }: Plan): RowsResult {
  const rows = batches.map(({ backendId, batch, tabletIds, bytes }) =>
    [backendId, batch, tabletIds.length, bytes].map(String),
  );
  return {
    kind: 'rows',
    columns: ['BackendId', 'Batch', 'Tablets', 'Bytes'].map(textColumn),
    rows,
  };
}

async function eventFacts(
  { srcGroup, dstGroup, tableFilter }: Omit<NewWarmUpJob, 'epoch'>,
  { syncModeText }: WarmUpRules,
  { count, first }: MatchedNow,
  context: ExecContext,
): Promise<RowsResult> {
  const rights = rightsOf(context);
  const seen = first.filter((name) => rights.seesTable(...splitTable(name)));
  const rows: SqlRow[] = [
    ['sync mode', syncModeText],
    ...(await backendFacts('source', srcGroup ?? '', context)),
    ...(await backendFacts('target', dstGroup, context)),
    ['table filter', tableFilter ?? 'none: every table'],
    ...seen.map((name) => ['matched table', name]),
  ];
  if (rights.seesAllTables && count > first.length)
    rows.push(['matched table', `... and ${count - first.length} more`]);
  return { kind: 'rows', columns: ['Item', 'Value'].map(textColumn), rows };
}

async function backendFacts(
  what: 'source' | 'target',
  group: string,
  { services }: ExecContext,
): Promise<SqlRow[]> {
  const { computeGroupId } = await services.catalog.computeGroups.get(group);
  const backends = await services.catalog.backends.ofGroup(computeGroupId);
  return [
    [`${what} group`, group],
    ...backends.map(({ backendId, host, httpPort }) => {
      const alive = services.registry.isAlive(backendId) ? 'alive' : 'not alive';
      return [`${what} backend`, `${backendId} (${host}:${httpPort}), ${alive}`];
    }),
  ];
}
