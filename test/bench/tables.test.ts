import { expect, it } from '@jest/globals';
import { partitionPair } from '../../bench/tables.ts';

it('every pair of partitions comes once, those of the first partitions first', () => {
  const pairs = Array.from({ length: 4950 }, (_, n) => partitionPair(n));
  expect(pairs.slice(0, 4)).toEqual([
    [0, 1],
    [0, 2],
    [1, 2],
    [0, 3],
  ]);
  expect(pairs.every(([a, b]) => 0 <= a && a < b && b < 100)).toBe(true);
  expect(new Set(pairs.map(String)).size).toBe(4950);
});
