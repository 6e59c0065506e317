import { beforeEach, describe, expect, it } from '@jest/globals';
import { id } from '../../base/ids.ts';
import type { TableId, TabletId } from '../../base/ids.ts';
import { RestingTablets } from '../../jobs/resting_tablets.ts';
import { ManualClock } from '../manual_clock.ts';

const tablet = (number: number) => ({ tableId: id<TableId>(1), tabletId: id<TabletId>(number) });

let clock: ManualClock;
let rested: number[];
let resting: RestingTablets;

beforeEach(() => {
  clock = new ManualClock();
  rested = [];
  resting = new RestingTablets(clock, 3, (tablets) => {
    rested.push(...tablets.map(({ tabletId }) => tabletId));
  });
});

describe('RestingTablets', () => {
  it('come back when nothing touched them for their rest', () => {
    resting.rest(tablet(1), 1000);
    clock.advance(600);
    resting.rest(tablet(2), 1000);
    resting.rest(tablet(1), 1000);
    clock.advance(600);
    expect(rested).toEqual([]);
    clock.advance(500);
    expect(rested).toEqual([2, 1]);
    expect(resting.size).toBe(0);
    expect(clock.pending).toBe(0);
  });

  it('are bounded, and forgotten at the end', () => {
    for (const number of [1, 2, 3, 4]) resting.rest(tablet(number), 1000);
    expect(resting.size).toBe(3);
    resting.rest(tablet(2), 1000);
    resting.close();
    clock.advance(5000);
    resting.rest(tablet(5), 10);
    clock.advance(5000);
    expect(rested).toEqual([]);
    expect(clock.pending).toBe(0);
  });
});
