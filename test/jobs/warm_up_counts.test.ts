import { describe, expect, it } from '@jest/globals';
import type { WarmUpJob } from '../../catalog/warm_up_jobs.ts';
import { WarmUpCounts } from '../../jobs/warm_up_counts.ts';

const job = (change: Partial<WarmUpJob>): WarmUpJob =>
  ({ dstGroup: 'g', state: 'PENDING', allTablets: 0, doneTablets: 0, ...change }) as WarmUpJob;

describe('WarmUpCounts', () => {
  it('count runs and tablets, and never fall', () => {
    const counts = new WarmUpCounts();
    const planned = job({ allTablets: 10 });
    const running = job({ allTablets: 10, state: 'RUNNING' });
    const half = { ...running, doneTablets: 6 };
    counts.changed(planned, running);
    counts.changed(running, half);
    // A backend lost what it had: its batch is done again.
    counts.changed(half, { ...half, doneTablets: 2 });
    expect(counts.targets.get('g')).toEqual({
      execs: 1,
      requestedTablets: 10,
      finishedTablets: 6,
    });
    // Paused and resumed: a run more, but nothing that was not asked for before.
    const paused = { ...half, state: 'PAUSED' as const };
    counts.changed(half, paused);
    counts.changed({ ...paused, state: 'PENDING' }, half);
    expect(counts.targets.get('g')).toMatchObject({ execs: 2, requestedTablets: 10 });
  });

  it('keep a bounded number of groups, those that were used last', () => {
    const counts = new WarmUpCounts();
    for (let group = 0; group < 1500; group += 1) {
      const dstGroup = `g${group}`;
      counts.changed(job({ dstGroup }), job({ dstGroup, state: 'RUNNING' }));
    }
    expect([counts.targets.size, counts.targets.has('g0'), counts.targets.has('g1499')]).toEqual([
      1000,
      false,
      true,
    ]);
  });
});
