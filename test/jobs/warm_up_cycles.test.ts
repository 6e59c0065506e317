import { beforeEach, describe, expect, it } from '@jest/globals';
import type { JobId } from '../../base/ids.ts';
import { id } from '../../base/ids.ts';
import type { Clock } from '../../base/ports.ts';
import { WarmUpCycles } from '../../jobs/warm_up_cycles.ts';

/** Both clocks move by hand. */
class TwoClocks implements Clock {
  wall = 1_000_000_000;
  mono = 5000;
  now = (): number => this.wall;
  monotonic = (): number => this.mono;
  sleep = async (): Promise<void> => undefined;
  after = (): (() => void) => () => undefined;

  pass(ms: number): void {
    this.wall += ms;
    this.mono += ms;
  }
}

describe('the cycles of a periodic job', () => {
  let clock: TwoClocks;
  let cycles: WarmUpCycles;
  beforeEach(() => {
    clock = new TwoClocks();
    cycles = new WarmUpCycles(clock);
  });

  const jobOf = (startMs: number | null, startAsked = false) =>
    ({
      jobId: id<JobId>(1),
      startMs,
      syncMode: 'PERIODIC',
      syncIntervalS: 600,
      startAsked,
    }) as const;
  const started = (): ReturnType<typeof jobOf> => {
    const job = jobOf(clock.wall);
    expect(cycles.elapsedMs(job)).toBe(0);
    return job;
  };

  it('begin at once the first time, and when an operator asks', () => {
    expect(cycles.untilDueMs(jobOf(null))).toBe(0);
    expect(cycles.untilDueMs(jobOf(clock.wall, true))).toBe(0);
  });

  it('begin an interval after the last start', () => {
    const job = started();
    clock.pass(599_000);
    expect(cycles.untilDueMs(job)).toBe(1000);
    clock.pass(1000);
    expect(cycles.untilDueMs(job)).toBe(0);
  });

  it('do not wait for hours when the wall clock steps back', () => {
    const job = started();
    clock.pass(300_000);
    clock.wall -= 7_200_000;
    expect(cycles.untilDueMs(job)).toBe(300_000);
    expect(cycles.elapsedMs(job)).toBe(300_000);
  });

  it('do not begin early when the wall clock steps forward', () => {
    const job = started();
    clock.pass(300_000);
    clock.wall += 7_200_000;
    expect(cycles.untilDueMs(job)).toBe(300_000);
  });

  it('wait for a small correction, so that two StartTimes never look too close', () => {
    const job = started();
    clock.pass(600_000);
    clock.wall -= 40;
    expect(cycles.untilDueMs(job)).toBe(40);
  });

  it('wait for one interval at most after a restart with a clock that stepped back', () => {
    const job = jobOf(clock.wall + 7_200_000);
    expect(cycles.untilDueMs(job)).toBe(600_000);
    clock.pass(600_000);
    expect(cycles.untilDueMs(job)).toBe(0);
  });

  it('count the time that the server was down', () => {
    expect(cycles.untilDueMs(jobOf(clock.wall - 400_000))).toBe(200_000);
    cycles.forget(id<JobId>(1));
    expect(cycles.untilDueMs(jobOf(clock.wall - 900_000))).toBe(0);
  });
});
