import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { type BackendId, type TabletId, id } from '../../base/ids.ts';
import { CACHE_FIXED_BYTES } from '../../base/cache_charge.ts';
import { servingBackend } from '../../base/placement.ts';
import { BATCH_TABLETS_MAX, cutIntoBatches, planWarmUp } from '../../jobs/warm_up_planner.ts';

const backend = (n: number, forBlocks: number) => ({
  backendId: id<BackendId>(n),
  cacheCapacityBytes: forBlocks + CACHE_FIXED_BYTES,
});
const tablet = (n: number, bytes: number) => ({
  tabletId: id<TabletId>(n),
  bytes,
  needBytes: bytes,
});

describe('planWarmUp', () => {
  it('gives each tablet to the backend that serves it', () => {
    const backends = [backend(1, 1000), backend(2, 1000), backend(3, 1000)];
    const tablets = Array.from({ length: 50 }, (_, i) => tablet(i + 100, 10));
    const plan = planWarmUp(tablets, { backends, maxBatchBytes: 1000, order: 'given' });
    const ids = backends.map((b) => b.backendId);
    for (const batch of plan.batches) {
      for (const tabletId of batch.tabletIds) {
        expect(servingBackend(tabletId, ids)).toBe(batch.backendId);
      }
    }
    expect(plan).toMatchObject({ totalTablets: 50, totalBytes: 500, leftOut: 0 });
  });

  it('loads the hottest last, so that it stays newest', () => {
    const tablets = [tablet(1, 5), tablet(2, 5), tablet(3, 5)];
    const options = { backends: [backend(9, 100)], maxBatchBytes: 100 } as const;
    const given = planWarmUp(tablets, { ...options, order: 'given' });
    const hottest = planWarmUp(tablets, { ...options, order: 'hottestFirst' });
    expect(given.batches[0]?.tabletIds).toEqual([1, 2, 3]);
    expect(hottest.batches[0]?.tabletIds).toEqual([3, 2, 1]);
  });

  it('takes the prefix that fits and no colder tablet behind one that does not', () => {
    const tablets = [tablet(1, 60), tablet(2, 60), tablet(3, 10)];
    const plan = planWarmUp(tablets, {
      backends: [backend(9, 100)],
      maxBatchBytes: 100,
      order: 'given',
    });
    expect(plan.batches.flatMap((batch) => batch.tabletIds)).toEqual([1]);
    const capacityBytes = 100 + CACHE_FIXED_BYTES;
    expect(plan).toMatchObject({ leftOut: 2, neededBytes: 130, capacityBytes });
  });

  it('never plans more than a cache holds, nor a tablet twice', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 500 }), { maxLength: 200 }),
        fc.array(fc.integer({ min: 1, max: 5000 }), { minLength: 1, maxLength: 5 }),
        fc.integer({ min: 1, max: 1000 }),
        fc.constantFrom('given' as const, 'hottestFirst' as const),
        (sizes, capacities, maxBatchBytes, order) => {
          const backends = capacities.map((bytes, i) => backend(i + 1, bytes));
          const tablets = sizes.map((bytes, i) => tablet(i + 1, bytes));
          const plan = planWarmUp(tablets, { backends, maxBatchBytes, order });
          const planned = plan.batches.flatMap((batch) => batch.tabletIds);
          expect(new Set(planned).size).toBe(planned.length);
          expect(planned.length + plan.leftOut).toBe(tablets.length);
          for (const { backendId, cacheCapacityBytes } of backends) {
            const mine = plan.batches.filter((batch) => batch.backendId === backendId);
            const bytes = mine.reduce((sum, batch) => sum + batch.bytes, 0);
            expect(bytes).toBeLessThanOrEqual(cacheCapacityBytes);
            expect(mine.map((batch) => batch.batch)).toEqual(mine.map((_, i) => i));
          }
        },
      ),
    );
  });
});

describe('cutIntoBatches', () => {
  it('keeps to bytes and to the number of tablets; one too large is alone', () => {
    const tablets = [tablet(1, 4), tablet(2, 4), tablet(3, 40), tablet(4, 4)];
    const batches = cutIntoBatches(id<BackendId>(1), tablets, 10);
    expect(batches.map((batch) => batch.tabletIds)).toEqual([[1, 2], [3], [4]]);
    const many = Array.from({ length: BATCH_TABLETS_MAX + 1 }, (_, i) => tablet(i + 1, 0));
    expect(cutIntoBatches(id<BackendId>(1), many, 10).map((b) => b.tabletIds.length)).toEqual([
      BATCH_TABLETS_MAX,
      1,
    ]);
  });
});

describe('servingBackend', () => {
  it('moves about 1/n of the tablets when a backend joins, all of them to it', () => {
    const before = [1, 2, 3].map((n) => id<BackendId>(n));
    const after = [...before, id<BackendId>(4)];
    let moved = 0;
    for (let n = 10_001; n < 20_001; n += 1) {
      const from = servingBackend(id<TabletId>(n), before);
      const to = servingBackend(id<TabletId>(n), after);
      if (from === to) continue;
      moved += 1;
      expect(to).toBe(4);
    }
    expect(moved).toBeGreaterThan(2200);
    expect(moved).toBeLessThan(2800);
  });

  it('does not depend on the order, and is undefined without backends', () => {
    const ids = [5, 3, 9].map((n) => id<BackendId>(n));
    expect(servingBackend(id<TabletId>(77), ids)).toBe(
      servingBackend(id<TabletId>(77), ids.toReversed()),
    );
    expect(servingBackend(id<TabletId>(77), [])).toBeUndefined();
  });
});
