/**
 * User tables for the SELECT engine: rows come from the backends that serve the tablets in the
 * session's compute group, read through their block caches; of replicated tables from the backends
 * that have replicas (`replica_scans.ts`).
 */
import type { OpenScanRequest, ScanPredicate } from '../base/agent_messages.ts';
import { bucketOf } from '../base/bucket.ts';
import { convertValue } from '../base/convert.ts';
import { SqlError } from '../base/errors.ts';
import type { BackendId, IndexId, TabletId } from '../base/ids.ts';
import { servingBackend } from '../base/placement.ts';
import {
  type ColumnDef,
  type IndexDef,
  type PartitionDef,
  type TableDef,
  baseIndexOf,
  columnsOfIndex,
  isReplicated,
} from '../base/schema.ts';
import type { SqlValue } from '../base/values.ts';
import type { BackendScan } from './backend_scan.ts';
import { RecentScans } from './recent_scans.ts';
import {
  type ReplicaScanServices,
  type ScanShape,
  planReplicaScans,
  scanReplicas,
} from './replica_scans.ts';
import { columnsFor, keepPlan, knownPlan } from './scan_plans.ts';
import type { TablePlan } from './select/query_plan.ts';
import type { ScanRows, SelectTable } from './select/table_provider.ts';
import type { Services } from './services.ts';

/** Values of an IN list for which single buckets are looked up. */
const PRUNE_VALUES_MAX = 64;

type ScanServices = ReplicaScanServices & Pick<Services, 'holds'>;

export function userTable(
  services: ScanServices,
  table: TableDef,
  computeGroup: string,
): SelectTable {
  return {
    database: table.databaseName,
    name: table.name,
    columns: table.columns,
    scan: (wanted, predicates, signal) =>
      scan(services, { table, computeGroup, wanted, predicates, signal }),
    now: (wanted, predicates) => rowsNow(services, { table, computeGroup, wanted, predicates }),
    read: async (wanted, predicates, signal) =>
      await read(services, { table, computeGroup, wanted, predicates, signal }),
    plan: async (wanted, predicates) => {
      const { signal } = new AbortController();
      const job = { table, computeGroup, wanted, predicates, signal };
      return await planOf(services, job, await plan(services, job));
    },
  };
}

/** For EXPLAIN: the scans that would be opened, in numbers. */
async function planOf(
  { catalog }: ScanServices,
  { table, computeGroup }: ScanJob,
  scans: readonly BackendScan[],
): Promise<TablePlan> {
  const tablets = scans.flatMap(({ request }) => request.tablets);
  const read = new Set(tablets.map(({ partitionId }) => partitionId));
  const sizes = tablets.map(({ tabletId }) => catalog.tablets.get(tabletId));
  const [scan] = scans;
  const rollup = table.indexes.find(
    (index) => index.indexId === scan?.request.indexId && index !== baseIndexOf(table),
  );
  const indexId = rollup?.indexId ?? baseIndexOf(table).indexId;
  const all = table.partitions.reduce(
    (sum, { partitionId }) => sum + catalog.tablets.buckets(partitionId, indexId).length,
    0,
  );
  const addresses = new Map(
    (await catalog.backends.list()).map((one) => [one.backendId, `${one.host}:${one.httpPort}`]),
  );
  return {
    partitions: table.partitions
      .filter(({ partitionId }) => read.has(partitionId))
      .map(({ name }) => name),
    rollup: rollup?.name,
    tabletsRead: tablets.length,
    tabletsAll: all,
    computeGroup,
    backends: scans.map(({ backendId, request }) => ({
      name: `${backendId}@${addresses.get(backendId) ?? ''}`,
      tablets: request.tablets.length,
    })),
    rows: sizes.reduce((sum, size) => sum + (size?.rows ?? 0), 0),
    bytes: sizes.reduce((sum, size) => sum + (size?.bytes ?? 0), 0),
  };
}

interface ScanJob {
  readonly table: TableDef;
  readonly computeGroup: string;
  readonly wanted: readonly string[];
  readonly predicates: readonly ScanPredicate[];
  readonly signal: AbortSignal;
}

/** What is known of scans before they are read. */
interface BegunScans {
  readonly planned: readonly BackendScan[];
  readonly rows: readonly (ScanRows | undefined)[];
}

/** As `read`, when nobody has to be asked. */
function rowsNow(
  services: ScanServices,
  job: Omit<ScanJob, 'signal'>,
): readonly ScanRows[] | undefined {
  if (services.scans === undefined || isReplicated(job.table)) return undefined;
  const planned = knownPlan(services, job);
  const rows = planned === undefined ? undefined : services.scans.leased(planned);
  return rows?.filter((one) => one.rows > 0);
}

/** All rows, when every backend still has what they were read from; else a scan. */
async function read(
  services: ScanServices,
  job: ScanJob,
): Promise<readonly ScanRows[] | AsyncIterable<ScanRows>> {
  if (services.scans === undefined || isReplicated(job.table)) return scan(services, job);
  const release = services.holds.take();
  try {
    const planned = knownPlan(services, job) ?? (await plan(services, job));
    const rows = await services.scans.begin(planned, job.signal);
    const all = rows.filter((one) => one !== undefined);
    return all.length === planned.length
      ? all.filter((one) => one.rows > 0)
      : scan(services, job, { planned, rows });
  } finally {
    release();
  }
}

/** Objects of the rowsets it reads stay in the vault until it has ended. */
async function* scan(
  services: ScanServices,
  job: ScanJob,
  begun?: BegunScans,
): AsyncGenerator<ScanRows> {
  const release = services.holds.take();
  try {
    yield* scanPlanned(services, job, begun);
  } finally {
    release();
  }
}

/** One scan per backend, read in turn; a scan that is not read to its end is closed. */
async function* scanPlanned(
  services: ScanServices,
  job: ScanJob,
  begun?: BegunScans,
): AsyncGenerator<ScanRows> {
  const { signal } = job;
  if (isReplicated(job.table)) {
    const index = baseIndexOf(job.table);
    yield* scanReplicas(services, shapeOf(job, index), tabletsOf(services, job, index), signal);
    return;
  }
  const { scans = new RecentScans(services) } = services;
  const planned = await plan(services, job);
  // After a commit in between it is another plan.
  const known = begun?.planned === planned ? begun.rows : await scans.begin(planned, signal);
  yield* scans.readAll(planned, signal, known);
}

async function plan(services: ScanServices, job: ScanJob): Promise<readonly BackendScan[]> {
  const { catalog, registry } = services;
  const { table, computeGroup, wanted } = job;
  if (isReplicated(table)) {
    const base = baseIndexOf(table);
    return await planReplicaScans(services, shapeOf(job, base), tabletsOf(services, job, base));
  }
  const known = knownPlan(services, job);
  if (known !== undefined) return known;
  const { dataVersion } = catalog.rowsets;
  const group = await catalog.computeGroups.get(computeGroup);
  const backends = await catalog.backends.ofGroup(group.computeGroupId);
  const members = backends.map(({ backendId }) => backendId);
  const alive = registry.alive(members);
  if (alive.length === 0) throw new SqlError('NO_ALIVE_BACKEND', { name: computeGroup });
  const index = bestIndex(services, table, wanted);
  const partitionOf = tabletsOf(services, job, index);
  const rowsets = await catalog.rowsets.visible([...partitionOf.keys()]);
  await expectIndex(services, table, index);
  const byBackend = new Map<BackendId, OpenScanRequest['tablets'][number][]>();
  for (const [tabletId, { partitionId }] of partitionOf) {
    const visible = rowsets.get(tabletId) ?? [];
    const backendId = servingBackend(tabletId, alive);
    if (backendId === undefined || visible.length === 0) continue;
    const list = byBackend.get(backendId) ?? [];
    list.push({ tabletId, partitionId, rowsets: visible });
    byBackend.set(backendId, list);
  }
  const shared = shapeOf(job, index);
  const scans = [...byBackend].map(([backendId, tablets]) => ({
    backendId,
    request: { ...shared, tablets },
  }));
  const { predicates } = job;
  keepPlan(wanted, { table, computeGroup, predicates, dataVersion, members, alive, scans });
  return scans;
}

/** The tablets of an index that can have the rows, with their partitions. */
function tabletsOf(
  { catalog }: Pick<ScanServices, 'catalog'>,
  { table, predicates }: ScanJob,
  index: IndexDef,
): Map<TabletId, PartitionDef> {
  const partitionOf = new Map<TabletId, PartitionDef>();
  for (const partition of table.partitions) {
    const tablets = catalog.tablets.buckets(partition.partitionId, index.indexId);
    for (const tabletId of pruneBuckets(table, partition, tablets, predicates)) {
      partitionOf.set(tabletId, partition);
    }
  }
  return partitionOf;
}

function shapeOf({ table, wanted, predicates }: ScanJob, index: IndexDef): ScanShape {
  return {
    tableId: table.tableId,
    tableName: `${table.databaseName}.${table.name}`,
    indexId: index.indexId,
    ttlSeconds: table.ttlSeconds,
    columns: columnsFor(wanted, table, () => wanted.map((name) => columnNamed(table, name))),
    predicates,
  };
}

/**
 * The smallest index that has all wanted columns: a rollup has the rows of its table one by one,
 * bucket by bucket, and becomes visible together with them.
 */
function bestIndex(
  { catalog }: ScanServices,
  table: TableDef,
  wanted: readonly string[],
): IndexDef {
  const base = baseIndexOf(table);
  const covering = table.indexes.filter((index) => {
    if (index === base) return false;
    const names = new Set(
      columnsOfIndex(table, index.indexId).map(({ name }) => name.toLowerCase()),
    );
    return wanted.every((name) => names.has(name.toLowerCase()));
  });
  if (covering.length === 0 || wanted.length === 0) return base;
  const bytes = new Map<IndexId, number>();
  for (const tablet of catalog.tablets.ofTable(table.tableId)) {
    bytes.set(tablet.indexId, (bytes.get(tablet.indexId) ?? 0) + tablet.bytes);
  }
  const sizeOf = ({ indexId }: IndexDef): number => bytes.get(indexId) ?? 0;
  return covering.reduce((best, index) => (sizeOf(index) < sizeOf(best) ? index : best), base);
}

/**
 * The rowsets were read while the index was there: it may have been replaced since the statement
 * began, and then what was read is nothing. Throws TABLE_CHANGED.
 */
async function expectIndex(
  { catalog }: ScanServices,
  { tableId }: TableDef,
  { indexId }: IndexDef,
): Promise<void> {
  const now = await catalog.tables.byId(tableId);
  if (now === undefined || now.indexes.some((index) => index.indexId === indexId)) return;
  throw new SqlError('TABLE_CHANGED');
}

function columnNamed(table: TableDef, name: string): ColumnDef {
  const column = table.columns.find((c) => c.name.toLowerCase() === name.toLowerCase());
  if (column === undefined) throw new SqlError('UNKNOWN_COLUMN', { name, where: 'SELECT' });
  return column;
}

/** With `=` or IN on the one distribution column only some buckets can have the rows. */
function pruneBuckets(
  table: TableDef,
  partition: PartitionDef,
  tablets: readonly TabletId[],
  predicates: readonly ScanPredicate[],
): readonly TabletId[] {
  const [name, ...others] = table.distributionColumns;
  if (name === undefined || others.length > 0) return tablets;
  const column = columnNamed(table, name);
  const predicate = predicates.find(
    (p) => p.column.toLowerCase() === name.toLowerCase() && (p.op === '=' || p.op === 'in'),
  );
  if (predicate === undefined || predicate.values.length > PRUNE_VALUES_MAX) return tablets;
  const wanted = new Set<TabletId>();
  for (const value of predicate.values) {
    const canonical = exactly(value, column);
    if (canonical === undefined) return tablets;
    const tabletId = tablets[bucketOf([canonical], partition.buckets)];
    if (tabletId !== undefined) wanted.add(tabletId);
  }
  return [...wanted];
}

/**
 * The value as the column stores it; undefined when comparing could match other stored values too
 * (a number against a text column, a value that does not convert).
 */
function exactly(value: SqlValue, column: ColumnDef): SqlValue | undefined {
  const isText = ['CHAR', 'VARCHAR', 'STRING'].includes(column.type.kind);
  const isInt = ['TINYINT', 'SMALLINT', 'INT', 'BIGINT', 'LARGEINT'].includes(column.type.kind);
  if (value === null) return undefined;
  if (isText) return typeof value === 'string' ? value : undefined;
  if (!isInt || typeof value === 'string') return undefined;
  if (typeof value === 'number' && !Number.isSafeInteger(value)) return undefined;
  try {
    return convertValue(value, column, 1);
  } catch {
    return undefined;
  }
}
