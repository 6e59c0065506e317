import { describe, expect, it } from '@jest/globals';
import { setImmediate as nextTurn } from 'node:timers/promises';
import {
  RUNNING_MAX,
  RUNNING_OF_JOB_MAX,
  RUNNING_TABLETS_MAX,
  WarmUpBatches,
} from '../../be-agent/warm_up_batches.ts';
import { DownloadSlots } from '../../be-agent/cache/download_slots.ts';
import type { WarmUpRequest, WarmUpTablet } from '../../base/agent_messages.ts';
import { type BackendId, type JobId, type PartitionId, type TabletId, id } from '../../base/ids.ts';
import { SILENT_LOG } from '../../base/ports.ts';
import { ManualClock } from '../manual_clock.ts';

function start() {
  const ends: (() => void)[] = [];
  const batches = new WarmUpBatches({
    backendId: id<BackendId>(1),
    incarnation: 'x',
    clock: new ManualClock(),
    log: SILENT_LOG,
    run: async () => {
      const { promise, resolve } = Promise.withResolvers<undefined>();
      ends.push(() => {
        resolve(undefined);
      });
      await promise;
    },
    throttled: () => false,
    report: () => undefined,
  });
  const tablets = (count: number): WarmUpTablet[] =>
    Array.from({ length: count }, (_, place) => ({
      tabletId: id<TabletId>(place + 1),
      partitionId: id<PartitionId>(1),
      ttlSeconds: 0,
      rowsets: [],
    }));
  const send = (job: number, batch: number, count = 1) => {
    const request: WarmUpRequest = {
      jobId: id<JobId>(job),
      run: 1,
      batch,
      epoch: 1,
      leaseMs: 1000,
      force: false,
      tablets: tablets(count),
    };
    return batches.dispatch(request).state;
  };
  return { batches, ends, send };
}

describe('batches that an agent holds', () => {
  it('are bounded per job: one more is taken when one has ended', async () => {
    const { batches, ends, send } = start();
    for (let batch = 0; batch < RUNNING_OF_JOB_MAX; batch += 1) {
      expect(send(1, batch)).toBe('RUNNING');
    }
    expect(send(1, 99)).toBe('BUSY');
    expect(send(1, 0)).toBe('RUNNING');
    expect(send(2, 0)).toBe('RUNNING');
    expect([...batches.runningJobs]).toEqual([1, 2]);
    ends[0]?.();
    await nextTurn();
    expect(send(1, 99)).toBe('RUNNING');
  });

  it('are bounded altogether, in number and in tablets', () => {
    const many = start();
    for (let job = 1; job <= RUNNING_MAX; job += 1) expect(many.send(job, 0)).toBe('RUNNING');
    expect(many.send(RUNNING_MAX + 1, 0)).toBe('BUSY');
    many.batches.cancel(id<JobId>(1), 1);
    expect(many.send(RUNNING_MAX + 1, 0)).toBe('RUNNING');
    const large = start();
    expect(large.send(1, 0, RUNNING_TABLETS_MAX + 5)).toBe('RUNNING');
    expect(large.send(2, 0)).toBe('BUSY');
  });
});

describe('DownloadSlots', () => {
  it('are given in order, up to a limit that may change', async () => {
    const limit = { now: 2 };
    const slots = new DownloadSlots(() => limit.now);
    const passed: string[] = [];
    const never = new AbortController().signal;
    const ask = (name: string, signal = never) =>
      slots.acquire(signal).then(() => {
        passed.push(name);
      });
    const cancel = new AbortController();
    const asked = ['a', 'b'].map(async (name) => await ask(name));
    const gone = ask('gone', cancel.signal);
    asked.push(ask('c'), ask('d'), ask('e'));
    await nextTurn();
    expect(passed).toEqual(['a', 'b']);
    cancel.abort(new Error('cancelled'));
    await expect(gone).rejects.toThrow('cancelled');
    limit.now = 3;
    slots.release();
    await nextTurn();
    expect(passed).toEqual(['a', 'b', 'c', 'd']);
    slots.release();
    await Promise.all(asked);
    expect(passed).toEqual(['a', 'b', 'c', 'd', 'e']);
  });
});
