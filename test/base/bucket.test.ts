import { describe, expect, it } from '@jest/globals';
import { bucketOf } from '../../base/bucket.ts';
import type { SqlValue } from '../../base/values.ts';

describe('bucketOf', () => {
  // These say where rows lie that were written long ago: they may never change.
  it.each<[readonly SqlValue[], number]>([
    [[null], 944],
    [[0], 557],
    [[1], 478],
    [[-1], 323],
    [[9223372036854775807n], 837],
    [[''], 615],
    [['abc'], 147],
    [['Zürich'], 1003],
    [['\u{1f600}'], 130],
    [['1.50'], 37],
    [['2024-01-05'], 819],
    [[1, 'abc', null], 1013],
  ])('%p → %p of 1024', (values, bucket) => {
    expect(bucketOf(values, 1024)).toBe(bucket);
  });

  it('gives equal values of narrow and wide integer types the same bucket', () => {
    expect(bucketOf([77], 1024)).toBe(bucketOf([77n], 1024));
  });

  it('tells column borders and NULL apart', () => {
    const keys = [
      ['ab', 'c'],
      ['a', 'bc'],
      ['abc', ''],
      ['abc', null],
      [null, 'abc'],
    ];
    const buckets = new Set(keys.map((key) => bucketOf(key, 2 ** 30)));
    expect(buckets.size).toBe(keys.length);
  });

  it.each([2, 7, 16, 1000])('spreads consecutive numbers evenly over %p buckets', (buckets) => {
    const counts = Array.from({ length: buckets }, () => 0);
    const rows = buckets * 1000;
    for (let i = 0; i < rows; i += 1) {
      const bucket = bucketOf([i], buckets);
      counts[bucket] = (counts[bucket] ?? 0) + 1;
    }
    // Six standard deviations of a fair hash.
    for (const count of counts) expect(Math.abs(count - 1000)).toBeLessThan(6 * Math.sqrt(1000));
  });
});
