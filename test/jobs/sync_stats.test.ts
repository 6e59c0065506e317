import { describe, expect, it } from '@jest/globals';
import { type JobId, id } from '../../base/ids.ts';
import { syncCountsOf } from '../../base/sync_windows.ts';
import { SyncStats } from '../../jobs/sync_stats.ts';
import { ManualClock } from '../manual_clock.ts';

const JOB = id<JobId>(7);
const MIB = 2 ** 20;
const MINUTE = 60_000;
/** ManualClock starts at 2023-11-14 22:13:20. */
const START = 1_700_000_000_000;

const counts = (segBytes: number, idxBytes: number, num = 1) => ({
  segNum: num,
  segBytes,
  idxNum: num,
  idxBytes,
});

describe('SyncStats', () => {
  it('has both forms for a job that has seen nothing', () => {
    const stats = new SyncStats(new ManualClock());
    expect(stats.compactText(JOB)).toBe(
      '{"window":"30m","src_size":"0b","dst_size":"0b","gap_size":"0b","trigger_gap_ms":0}',
    );
    const nums = [
      '"requested_5m":0,"requested_30m":0,"requested_1h":0',
      '"finish_5m":0,"finish_30m":0,"finish_1h":0',
      '"gap_5m":0,"gap_30m":0,"gap_1h":0,"fail_5m":0,"fail_30m":0,"fail_1h":0',
    ].join(',');
    const sizes = nums.replaceAll(':0', ':"0b"');
    expect(stats.detailedText(JOB)).toBe(
      `{"seg_num":{${nums}},"seg_size":{${sizes}},"idx_num":{${nums}},"idx_size":{${sizes}},` +
        '"last_trigger_ts":"","last_finish_ts":"","progress_trigger_ts":"","trigger_gap_ms":0}',
    );
  });

  it('says what is behind: requested, finished, failed and the gap', () => {
    const clock = new ManualClock();
    const stats = new SyncStats(clock);
    stats.requested(JOB, counts(50 * MIB, 8.2 * MIB), clock.now());
    clock.advance(1200);
    stats.requested(JOB, counts(700 * 1024, 16 * 1024), clock.now());
    stats.finished(JOB, counts(50 * MIB, 8.2 * MIB), START);
    expect(stats.compactText(JOB)).toBe(
      '{"window":"30m","src_size":"58.9mb","dst_size":"58.2mb","gap_size":"716kb","trigger_gap_ms":0}',
    );
    stats.failed(JOB, counts(700 * 1024, 16 * 1024), START + 1200);
    const detailed = JSON.parse(stats.detailedText(JOB));
    expect(detailed.seg_num).toEqual({
      requested_5m: 2,
      requested_30m: 2,
      requested_1h: 2,
      finish_5m: 1,
      finish_30m: 1,
      finish_1h: 1,
      gap_5m: 1,
      gap_30m: 1,
      gap_1h: 1,
      fail_5m: 1,
      fail_30m: 1,
      fail_1h: 1,
    });
    expect(detailed.seg_size.gap_5m).toBe('700kb');
    expect(detailed.idx_size.fail_1h).toBe('16kb');
    expect(detailed.last_trigger_ts).toBe('2023-11-14 22:13:21');
    expect(detailed.last_finish_ts).toBe('2023-11-14 22:13:21');
    // The newest event failed for good: the target is as far as the one before it.
    expect(detailed.progress_trigger_ts).toBe('2023-11-14 22:13:20');
    expect(detailed.trigger_gap_ms).toBe(1200);
  });

  it('lets windows slide, each for itself', () => {
    const clock = new ManualClock();
    const stats = new SyncStats(clock);
    stats.requested(JOB, counts(10, 0), clock.now());
    clock.advance(4 * MINUTE);
    const requested = () => {
      const { windows } = stats.windows(JOB);
      return [windows['5m'], windows['30m'], windows['1h']].map((of) => of.requested.segBytes);
    };
    expect(requested()).toEqual([10, 10, 10]);
    clock.advance(2 * MINUTE);
    stats.requested(JOB, counts(5, 0), clock.now());
    expect(requested()).toEqual([5, 15, 15]);
    clock.advance(26 * MINUTE);
    expect(requested()).toEqual([0, 5, 15]);
    clock.advance(40 * MINUTE);
    expect(requested()).toEqual([0, 0, 0]);
    stats.finished(JOB, counts(2 * MIB, 0), START);
    expect(JSON.parse(stats.compactText(JOB)).gap_size).toBe('-2mb');
  });

  it('measures the gap from the oldest unfinished trigger, and is level when all are done', () => {
    const clock = new ManualClock();
    const stats = new SyncStats(clock);
    for (let event = 0; event < 2000; event += 1) {
      stats.requested(JOB, counts(1, 1), START + event);
    }
    const { progressMs, triggerGapMs } = stats.windows(JOB);
    expect([progressMs, triggerGapMs]).toEqual([START, 1999]);
    const finish = (from: number, to: number): void => {
      for (let event = from; event < to; event += 1) {
        stats.finished(JOB, counts(1, 1), START + event);
      }
    };
    finish(0, 1000);
    // More triggers than are kept apart: what is left counts as a little older than it is.
    const progress = stats.windows(JOB).progressMs ?? 0;
    expect(progress).toBeGreaterThan(START + 900);
    expect(progress).toBeLessThanOrEqual(START + 1000);
    finish(1000, 1999);
    expect(stats.windows(JOB)).toMatchObject({ progressMs: START + 1999, triggerGapMs: 0 });
    stats.finished(JOB, counts(1, 1), START + 1999);
    expect(stats.windows(JOB)).toMatchObject({ progressMs: START + 1999, triggerGapMs: 0 });
  });

  it('asks no longer for what was superseded', () => {
    const clock = new ManualClock();
    const stats = new SyncStats(clock);
    stats.requested(JOB, counts(100, 10), START);
    stats.requested(JOB, counts(30, 3), START + 50);
    stats.superseded(JOB, counts(100, 10), START);
    stats.finished(JOB, counts(30, 3), START + 50);
    expect(JSON.parse(stats.compactText(JOB))).toMatchObject({
      src_size: '33b',
      gap_size: '0b',
      trigger_gap_ms: 0,
    });
  });

  it('ignores outcomes of what a former server asked for, and keeps a bounded number of jobs', () => {
    const stats = new SyncStats(new ManualClock());
    stats.finished(JOB, counts(30, 3), START - 5000);
    stats.requested(JOB, counts(1, 1), START);
    expect(stats.windows(JOB).progressMs).toBe(START);
    for (let other = 100; other < 2100; other += 1) {
      stats.requested(id<JobId>(other), counts(1, 1), START);
    }
    expect(stats.windows(JOB)).toMatchObject({ lastTriggerMs: null, lastFinishMs: null });
    expect(stats.windows(id<JobId>(100)).lastTriggerMs).toBe(START);
  });

  it('counts the footer of a segment as its index', () => {
    const segments = [
      { segment: 0, rows: 1, bytes: 100, indexOffset: 90, crc32: 0 },
      { segment: 1, rows: 1, bytes: 50, indexOffset: 45, crc32: 0 },
    ];
    const expected = { segNum: 2, segBytes: 135, idxNum: 2, idxBytes: 15 };
    expect(syncCountsOf({ segments })).toEqual(expected);
  });
});
