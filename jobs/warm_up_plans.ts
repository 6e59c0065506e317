/**
 * What a warm-up has to load, worked out from the catalog as it is now: hot partitions of a group,
 * or named tables (reference/warm-up 1.4). A periodic job plans anew at each start, so this knows
 * no statement.
 */
import type { Config } from '../base/config.ts';
import { SqlError } from '../base/errors.ts';
import type { PartitionId, TabletId } from '../base/ids.ts';
import { type TableDef, baseIndexOf } from '../base/schema.ts';
import { bytesText } from '../base/units.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { HotPartitionWeight } from '../catalog/hotspots.ts';
import type { WarmUpItem } from '../catalog/warm_up_jobs.ts';
import type { BackendRegistry } from './backend_registry.ts';
import { planTablets } from './cache_need.ts';
import type { HotspotCollector } from './hotspot_collector.ts';
import { type Plan, type PlanBackend, type PlanTablet, planWarmUp } from './warm_up_planner.ts';

/** Hot partitions considered for one warm-up, hottest first. */
const HOT_PARTITIONS_MAX = 100_000;

export interface PlanDeps {
  readonly catalog: Catalog;
  readonly registry: BackendRegistry;
  readonly config: Config;
  readonly hotspots: Pick<HotspotCollector, 'collect'>;
}

/** A `WITH TABLE` item that exists; names as the catalog spells them. */
export interface ResolvedItem {
  readonly item: WarmUpItem;
  readonly table: TableDef;
  readonly partitionIds: readonly PartitionId[];
}

/** Throws BAD_DB, BAD_TABLE, WARM_UP_NO_PARTITION for the first item that is not there. */
export async function resolveItems(
  catalog: Catalog,
  items: readonly WarmUpItem[],
): Promise<ResolvedItem[]> {
  const resolved: ResolvedItem[] = [];
  for (const { db, table: name, partition } of items) {
    if ((await catalog.databases.find(db)) === undefined)
      throw new SqlError('BAD_DB', { name: db });
    const table = await catalog.tables.find(db, name);
    if (table === undefined) throw new SqlError('BAD_TABLE', { name: `${db}.${name}` });
    if (partition === undefined) {
      const partitionIds = table.partitions.map((p) => p.partitionId);
      resolved.push({ item: { db, table: table.name }, table, partitionIds });
      continue;
    }
    const found = table.partitions.find((p) => p.name === partition);
    if (found === undefined) throw new SqlError('WARM_UP_NO_PARTITION', { name: partition });
    const item = { db, table: table.name, partition: found.name };
    resolved.push({ item, table, partitionIds: [found.partitionId] });
  }
  return resolved;
}

/**
 * WITH TABLE: all tablets of the items in the given order. Throws WARM_UP_TOO_BIG when they do not
 * fit and `force` is not set, NO_ALIVE_BACKEND, UNKNOWN_COMPUTE_GROUP.
 */
export async function planFromTables(
  deps: PlanDeps,
  target: string,
  items: readonly ResolvedItem[],
  force: boolean,
): Promise<Plan> {
  const { catalog } = deps;
  // A table or partition named twice is warmed once.
  const tabletIds = new Set<TabletId>();
  for (const { partitionIds } of items) {
    for (const partitionId of partitionIds) {
      for (const tablet of catalog.tablets.ofPartition(partitionId)) tabletIds.add(tablet.tabletId);
    }
  }
  const plan = await planFromTablets(deps, target, [...tabletIds]);
  if (plan.leftOut > 0 && !force) {
    throw new SqlError('WARM_UP_TOO_BIG', {
      name: target,
      needed: bytesText(plan.neededBytes),
      capacity: bytesText(plan.capacityBytes),
    });
  }
  return plan;
}

/**
 * What fits of these tablets, in the given order; those without data are left out. Throws
 * NO_ALIVE_BACKEND, UNKNOWN_COMPUTE_GROUP.
 */
export async function planFromTablets(
  deps: Omit<PlanDeps, 'hotspots'>,
  target: string,
  tabletIds: readonly TabletId[],
): Promise<Plan> {
  const tablets = await planTablets(deps.catalog, tabletIds);
  return planWarmUp(tablets, { ...(await planOptions(deps, target)), order: 'given' });
}

/**
 * WITH COMPUTE GROUP: the hot partitions of `src`, counted up to this moment, hottest loaded last.
 * Throws WARM_UP_SRC_UNKNOWN, WARM_UP_SAME, NO_ALIVE_BACKEND, UNKNOWN_COMPUTE_GROUP.
 */
export async function planFromGroup(deps: PlanDeps, target: string, src: string): Promise<Plan> {
  const { catalog, hotspots, config } = deps;
  const group = await catalog.computeGroups.find(src);
  if (group === undefined) throw new SqlError('WARM_UP_SRC_UNKNOWN', { name: src });
  if (src === target) throw new SqlError('WARM_UP_SAME', { name: target });
  const options = { ...(await planOptions(deps, target)), order: 'hottestFirst' as const };
  if (config.get('cloud_warm_up_force_all_partitions')) {
    return planWarmUp(await allTablets(catalog), options);
  }
  await hotspots.collect(src);
  const hot = await catalog.hotspots.top(group.computeGroupId, HOT_PARTITIONS_MAX);
  const tabletIds = new Set<TabletId>();
  for (const place of hot) for (const id of await hotTablets(catalog, place)) tabletIds.add(id);
  return planWarmUp(await planTablets(catalog, [...tabletIds]), options);
}

/** Accesses of an index that a schema change has replaced since count for the base index. */
async function hotTablets(
  catalog: Catalog,
  { tableId, partitionId, indexId }: HotPartitionWeight,
): Promise<readonly TabletId[]> {
  const tablets = catalog.tablets.ofPartition(partitionId);
  const table = await catalog.tables.byId(tableId);
  const isThere = table?.indexes.some((index) => index.indexId === indexId) ?? true;
  const meant = isThere || table === undefined ? indexId : baseIndexOf(table).indexId;
  return tablets.filter((tablet) => tablet.indexId === meant).map(({ tabletId }) => tabletId);
}

async function allTablets(catalog: Catalog): Promise<PlanTablet[]> {
  const tables = await catalog.tables.list();
  const tablets = tables.flatMap((table) => catalog.tablets.ofTable(table.tableId));
  return await planTablets(
    catalog,
    tablets.map((tablet) => tablet.tabletId),
  );
}

async function planOptions(
  { catalog, registry, config }: Omit<PlanDeps, 'hotspots'>,
  target: string,
): Promise<{ readonly backends: readonly PlanBackend[]; readonly maxBatchBytes: number }> {
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
