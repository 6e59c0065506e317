/** The tablet index against a plain map, for any order of changes. */
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { id } from '../../base/ids.ts';
import type { IndexId, PartitionId, TableId, TabletId } from '../../base/ids.ts';
import { TabletIndex, type TabletInfo } from '../../catalog/tablet_index.ts';

type Step =
  | {
      kind: 'partition';
      table: number;
      buckets: number;
      indexes: number;
      late: boolean;
      again: boolean;
    }
  | { kind: 'grow'; nth: number; bytes: number }
  | { kind: 'dropPartition'; nth: number }
  | { kind: 'dropIndex'; nth: number }
  | { kind: 'dropTable'; table: number };

const TABLE = fc.integer({ min: 1, max: 3 });
const STEP: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('partition' as const),
      table: TABLE,
      buckets: fc.integer({ min: 1, max: 5 }),
      indexes: fc.integer({ min: 1, max: 2 }),
      late: fc.boolean(),
      again: fc.boolean(),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('grow' as const), nth: fc.nat(50), bytes: fc.nat(9) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('dropPartition' as const), nth: fc.nat(10) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('dropIndex' as const), nth: fc.nat(10) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('dropTable' as const), table: TABLE }),
  },
);

/** The same as the index does, the slow way. */
class Model {
  tablets: TabletInfo[] = [];
  #nextId = 1;

  plan(step: Extract<Step, { kind: 'partition' }>): TabletInfo[] {
    // A rollup gives an old partition new tablets, whose ids do not follow the old ones.
    const old = this.tablets.find((tablet) => step.again && tablet.tableId === step.table);
    const partitionId = old?.partitionId ?? id<PartitionId>(this.#nextId);
    const firstIndex = old === undefined ? 0 : this.#nextId;
    this.#nextId += 1;
    const made: TabletInfo[] = [];
    for (let index = 0; index < step.indexes; index += 1) {
      for (let bucket = 0; bucket < step.buckets; bucket += 1) {
        made.push({
          tabletId: id<TabletId>(this.#nextId),
          tableId: id<TableId>(step.table),
          partitionId,
          indexId: id<IndexId>(step.table * 10 + firstIndex + index),
          bucket,
          bytes: 0,
          rows: 0,
        });
        this.#nextId += 1;
      }
    }
    return made;
  }

  add(made: readonly TabletInfo[]): void {
    this.tablets = [...this.tablets, ...made].sort((a, b) => a.tabletId - b.tabletId);
  }
}

function apply(step: Step, model: Model, index: TabletIndex, waiting: TabletInfo[][]): void {
  const { tablets } = model;
  switch (step.kind) {
    case 'partition': {
      const made = model.plan(step);
      // Ids are reserved before the commit: a later statement may commit first.
      if (step.late) waiting.push(made);
      if (step.late) return;
      // An alter shows tablets of many partitions at once, with others' between them.
      const shown = [made, ...waiting.splice(0)].flat().sort((a, b) => a.tabletId - b.tabletId);
      model.add(shown);
      index.add(shown);
      return;
    }
    case 'grow': {
      const tablet = tablets[step.nth % Math.max(1, tablets.length)];
      if (tablet === undefined) return;
      index.addSize(tablet.tabletId, step.bytes, 1);
      const grown = { ...tablet, bytes: tablet.bytes + step.bytes, rows: tablet.rows + 1 };
      model.tablets = tablets.map((other) => (other === tablet ? grown : other));
      return;
    }
    case 'dropPartition': {
      const ids = [...new Set(tablets.map((tablet) => tablet.partitionId))];
      const gone = ids[step.nth % Math.max(1, ids.length)];
      if (gone === undefined) return;
      index.removePartition(gone);
      model.tablets = tablets.filter((tablet) => tablet.partitionId !== gone);
      return;
    }
    case 'dropIndex': {
      const ids = [...new Set(tablets.map((tablet) => tablet.indexId))];
      const gone = ids[step.nth % Math.max(1, ids.length)];
      const found = tablets.find((tablet) => tablet.indexId === gone);
      if (gone === undefined || found === undefined) return;
      index.removeIndexOf(found.tableId, gone);
      model.tablets = tablets.filter((tablet) => tablet.indexId !== gone);
      return;
    }
    case 'dropTable':
      index.removeTable(id<TableId>(step.table));
      model.tablets = tablets.filter((tablet) => tablet.tableId !== step.table);
  }
}

function check({ tablets }: Model, index: TabletIndex): void {
  expect(index.size).toBe(tablets.length);
  expect(tablets.map((tablet) => index.get(tablet.tabletId))).toEqual(tablets);
  for (const table of [1, 2, 3].map((n) => id<TableId>(n))) {
    const mine = tablets.filter((tablet) => tablet.tableId === table);
    expect(index.ofTable(table)).toEqual(mine);
    expect(index.tableSize(table)).toEqual({
      tablets: mine.length,
      bytes: mine.reduce((sum, tablet) => sum + tablet.bytes, 0),
      rows: mine.reduce((sum, tablet) => sum + tablet.rows, 0),
    });
  }
  for (const [partitionId, mine] of Map.groupBy(tablets, (tablet) => tablet.partitionId)) {
    expect(index.ofPartition(partitionId)).toEqual(mine);
    const byIndex = Map.groupBy(mine, (tablet) => tablet.indexId);
    expect(index.indexesOf(partitionId)).toBe(byIndex.size);
    for (const [indexId, buckets] of byIndex) {
      expect(index.buckets(partitionId, indexId)).toEqual(buckets.map((one) => one.tabletId));
    }
  }
}

describe('tablet index', () => {
  it('knows what a plain list knows after any changes', () => {
    fc.assert(
      fc.property(fc.array(STEP, { maxLength: 40, size: 'max' }), (steps) => {
        const model = new Model();
        const index = new TabletIndex();
        const waiting: TabletInfo[][] = [];
        for (const step of steps) {
          apply(step, model, index, waiting);
          check(model, index);
        }
      }),
      { numRuns: 100, seed: 20_260_110 },
    );
  });

  it('knows nothing of tablets that never were', () => {
    const index = new TabletIndex();
    expect(index.get(id<TabletId>(5))).toBeUndefined();
    expect(index.ofPartition(id<PartitionId>(5))).toEqual([]);
    expect(index.ofTable(id<TableId>(5))).toEqual([]);
    index.removeTable(id<TableId>(5));
    index.addSize(id<TabletId>(5), 1, 1);
    expect(index.size).toBe(0);
  });
});
