import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { median, percentile } from '../../bench/statistics.ts';

describe('median', () => {
  it.each([
    [[3], 3],
    [[3, 1], 2],
    [[9, 1, 5], 5],
    [[4, 1, 3, 2], 2.5],
  ])('%j → %d', (values, expected) => {
    expect(median(values)).toBe(expected);
  });

  it('of nothing is no number', () => {
    expect(median([])).toBeNaN();
  });
});

describe('percentile', () => {
  it.each([
    [50, 2],
    [51, 3],
    [99, 4],
    [100, 4],
    [0, 1],
  ])('%d of 4, 2, 3, 1 is %d', (percent, expected) => {
    expect(percentile([4, 2, 3, 1], percent)).toBe(expected);
  });

  it('has at least that share of all values at or below it', () => {
    const values = fc.array(fc.double({ noNaN: true }), { minLength: 1 });
    fc.assert(
      fc.property(values, fc.integer({ min: 1, max: 100 }), (all, percent) => {
        const found = percentile(all, percent);
        expect(all).toContain(found);
        const below = all.filter((value) => value <= found).length;
        expect(below / all.length).toBeGreaterThanOrEqual(percent / 100 - 1e-9);
      }),
    );
  });
});
