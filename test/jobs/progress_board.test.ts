import { beforeEach, describe, expect, it } from '@jest/globals';
import { id } from '../../base/ids.ts';
import type { JobId } from '../../base/ids.ts';
import { ProgressBoard } from '../../jobs/progress_board.ts';
import { ManualClock } from '../manual_clock.ts';

const JOB = id<JobId>(1);
const MIB = 2 ** 20;

describe('rate and ETA of a job', () => {
  let clock: ManualClock;
  let board: ProgressBoard;
  beforeEach(() => {
    clock = new ManualClock();
    board = new ProgressBoard(clock);
  });

  /** One sample a second. */
  const samples = (...bytes: number[]): void => {
    for (const all of bytes) {
      board.sample(JOB, all);
      clock.advance(1000);
    }
  };

  it('are not there before there are samples enough', () => {
    expect(board.rate(JOB)).toBeUndefined();
    samples(0);
    expect(board.rate(JOB)).toBeUndefined();
    samples(MIB);
    expect(board.rate(JOB)).toBe(MIB);
    expect(board.etaMs(JOB, 10 * MIB)).toBeUndefined();
    samples(2 * MIB);
    expect(board.etaMs(JOB, 10 * MIB)).toBe(10_000);
  });

  it('take one range of a slow download for no trend', () => {
    samples(0, 8 * MIB, 8 * MIB, 8 * MIB, 8 * MIB);
    expect(board.rate(JOB)).toBe(2 * MIB);
    expect(board.etaMs(JOB, 24 * MIB)).toBeUndefined();
    samples(...Array.from({ length: 11 }, () => 8 * MIB), 16 * MIB);
    expect(board.rate(JOB)).toBe(MIB);
    expect(board.etaMs(JOB, 16 * MIB)).toBe(16_000);
  });

  it('are of the last minute, and begin anew with the next run', () => {
    samples(...Array.from({ length: 60 }, (_, second) => second * MIB));
    samples(...Array.from({ length: 61 }, () => 59 * MIB));
    expect(board.rate(JOB)).toBe(0);
    expect(board.etaMs(JOB, MIB)).toBeUndefined();
    board.endRun(JOB);
    expect(board.rate(JOB)).toBeUndefined();
  });
});
