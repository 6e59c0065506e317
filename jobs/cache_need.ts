/** How much of a cache's capacity tablets take when all of their visible data is in it. */
import { objectChargeBytes } from '../base/cache_charge.ts';
import type { TabletId } from '../base/ids.ts';
import { type RowsetMeta, segmentKey } from '../base/schema.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { PlanTablet } from './warm_up_planner.ts';

/** Tablets whose rowsets are read at once. */
const TABLETS_AT_ONCE = 2000;

/** In the order given; tablets without data, and those that are gone, are left out. */
export async function planTablets(
  { rowsets }: Catalog,
  tabletIds: readonly TabletId[],
): Promise<PlanTablet[]> {
  const tablets: PlanTablet[] = [];
  for (let at = 0; at < tabletIds.length; at += TABLETS_AT_ONCE) {
    const some = tabletIds.slice(at, at + TABLETS_AT_ONCE);
    const visible = await rowsets.visible(some);
    for (const tabletId of some) {
      const bytes = sum(visible.get(tabletId) ?? [], (rowset) => rowset.bytes);
      const needBytes = sum(visible.get(tabletId) ?? [], rowsetNeed);
      if (bytes > 0) tablets.push({ tabletId, bytes, needBytes });
    }
  }
  return tablets;
}

function rowsetNeed({ tabletId, rowsetId, segments }: RowsetMeta): number {
  return sum(segments, ({ segment, bytes }) =>
    objectChargeBytes(bytes, segmentKey(tabletId, rowsetId, segment).length),
  );
}

function sum<T>(items: readonly T[], value: (item: T) => number): number {
  return items.reduce((total, item) => total + value(item), 0);
}
