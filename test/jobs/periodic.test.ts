import { describe, expect, it } from '@jest/globals';
import { SILENT_LOG } from '../../base/ports.ts';
import { Periodic } from '../../jobs/periodic.ts';
import { ManualClock } from '../manual_clock.ts';

const turn = async (): Promise<void> => {
  await new Promise((resolve) => {
    setImmediate(resolve);
  });
};

describe('Periodic', () => {
  it('does one round after each pause, also after one that failed', async () => {
    const clock = new ManualClock();
    let rounds = 0;
    const periodic = new Periodic({
      clock,
      log: SILENT_LOG,
      what: 'a test',
      pauseMs: () => 100,
      round: async () => {
        rounds += 1;
        await turn();
        if (rounds === 1) throw new Error('the first one fails');
      },
    });
    periodic.start();
    clock.advance(99);
    expect(rounds).toBe(0);
    for (let expected = 1; expected <= 3; expected += 1) {
      clock.advance(100);
      await turn();
      await turn();
      expect(rounds).toBe(expected);
    }
    await periodic.close();
    expect(clock.pending).toBe(0);
  });

  it('waits at close for the round that runs, and never begins two', async () => {
    const clock = new ManualClock();
    const { promise, resolve } = Promise.withResolvers<undefined>();
    let rounds = 0;
    const periodic = new Periodic({
      clock,
      log: SILENT_LOG,
      what: 'a test',
      pauseMs: () => 100,
      round: async () => {
        rounds += 1;
        await promise;
      },
    });
    periodic.start();
    clock.advance(100);
    clock.advance(1000);
    let closed = false;
    const closing = periodic.close().then(() => {
      closed = true;
    });
    await turn();
    expect([rounds, closed]).toEqual([1, false]);
    resolve(undefined);
    await closing;
    expect(clock.pending).toBe(0);
  });
});
