import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { ColumnDef, PartitionValues, RangeValue } from '../../base/schema.ts';
import { PartitionPlaces } from '../../server/partition_places.ts';

const COLUMNS = [{ name: 'id', type: { kind: 'INT' } }] as unknown as ColumnDef[];
type Range = Extract<PartitionValues, { readonly kind: 'RANGE' }>;

const bound = (value: number): RangeValue[] => [{ value }];
const startOf = ({ lower }: Range): number => {
  const [first] = lower ?? [];
  return first !== undefined && 'value' in first ? Number(first.value) : -Infinity;
};
const endOf = ({ upper: [first] }: Range): number =>
  first !== undefined && 'value' in first ? Number(first.value) : Infinity;
const doOverlap = (a: Range, b: Range): boolean => startOf(a) < endOf(b) && startOf(b) < endOf(a);

const anyRange = fc
  .record({
    start: fc.option(fc.integer({ min: 0, max: 60 })),
    length: fc.integer({ min: 1, max: 8 }),
    isOpen: fc.integer({ min: 0, max: 20 }),
  })
  .map(({ start, length, isOpen }): Range => {
    const upper = isOpen === 0 ? [{ max: true } as const] : bound((start ?? 0) + length);
    return start === null
      ? { kind: 'RANGE', upper }
      : { kind: 'RANGE', lower: bound(start), upper };
  });

describe('PartitionPlaces', () => {
  it('finds what a comparison with each partition finds', () => {
    fc.assert(
      fc.property(fc.array(anyRange, { maxLength: 30 }), (ranges) => {
        const places = new PartitionPlaces(COLUMNS);
        const taken: Range[] = [];
        for (const range of ranges) {
          const name = places.overlapped(range);
          expect(name !== undefined).toBe(taken.some((other) => doOverlap(range, other)));
          if (name === undefined) {
            places.add(String(taken.length), range);
            taken.push(range);
          } else {
            const other = taken[Number(name)];
            expect(other !== undefined && doOverlap(range, other)).toBe(true);
          }
        }
        const ends = taken.map(endOf);
        expect(places.highest === undefined).toBe(taken.length === 0);
        if (places.highest !== undefined) {
          expect(endOf({ kind: 'RANGE', upper: places.highest })).toBe(Math.max(...ends));
        }
      }),
    );
  });

  it('knows which list has a tuple, NULL too', () => {
    const places = new PartitionPlaces(COLUMNS);
    places.add('one', { kind: 'LIST', tuples: [[1], [null]] });
    expect(places.overlapped({ kind: 'LIST', tuples: [[2], ['n']] })).toBeUndefined();
    expect(places.overlapped({ kind: 'LIST', tuples: [[2], [null]] })).toBe('one');
  });
});
