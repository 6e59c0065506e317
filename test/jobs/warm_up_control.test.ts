import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { SqlError } from '../../base/errors.ts';
import type { JobId } from '../../base/ids.ts';
import { id } from '../../base/ids.ts';
import { WarmUpWorld } from './warm_up_world.ts';

let world: WarmUpWorld;
beforeEach(async () => {
  world = await WarmUpWorld.create();
});
afterEach(async () => {
  await world.remove();
});

const outcomes = async (jobId: JobId): Promise<string[]> =>
  (await world.catalog.warmUpRuns.list({ jobId })).toReversed().map((run) => run.outcome);
const seconds = async (count: number): Promise<void> => {
  for (let second = 0; second < count; second += 1) {
    world.clock.advance(1000);
    world.heartbeats();
    await world.settle();
  }
};
const NEVER = new AbortController().signal;

describe('a paused job', () => {
  it('that runs once stops its downloads, frees its slot, and goes on where it was', async () => {
    const jobId = await world.warmTable();
    const [first, second] = await world.untilHeld(2);
    first?.held.splice(0).forEach((run) => {
      run.finish();
    });
    await world.until(async () => (await world.job(jobId)).finishBatch === 1);
    const stopped = second?.held.splice(0) ?? [];
    await world.jobs.pause(jobId);
    await world.settle();
    expect(stopped.map(({ run }) => run.signal.aborted)).toEqual([true]);
    expect(await world.job(jobId)).toMatchObject({ state: 'PAUSED', finishBatch: 1, errMsg: '' });
    expect((await world.catalog.warmUpJobs.slots()).size).toBe(0);
    await seconds(5);
    expect(await world.held()).toEqual([]);
    await world.jobs.resume(jobId);
    await world.until(async () => {
      await world.finish();
      return (await world.job(jobId)).state === 'FINISHED';
    });
    expect(await world.job(jobId)).toMatchObject({ run: 2, finishBytes: 800, doneTablets: 8 });
    expect(await outcomes(jobId)).toEqual(['PAUSED', 'FINISHED']);
    const asked = second?.dispatched.map(({ run, tablets }) => [run, tablets.length]);
    expect(asked).toEqual([
      [1, asked?.[0]?.[1]],
      [2, asked?.[0]?.[1]],
    ]);
  });

  it.each([
    ['PAUSED', 'ONCE', 'pause', 0],
    ['CANCELLED', 'ONCE', 'cancel', 300],
    ['PAUSED', 'PERIODIC', 'pause', 300],
  ] as const)(
    'ends %s (%s): its run tells what was in the caches by then',
    async (state, mode, ask, bytes) => {
      const jobId = mode === 'ONCE' ? await world.warmTable() : await world.periodic(5);
      const [first] = await world.untilHeld(2);
      const counts = first?.held[0]?.run.counts;
      if (counts === undefined) throw new Error('nothing is held');
      Object.assign(counts, { doneBytes: 300, doneTablets: 3, cachedBytes: 100 });
      await world.until(async () => {
        await seconds(1);
        return world.jobs.board.live(jobId).doneBytes === 300;
      });
      await world.jobs[ask](jobId);
      expect(await world.catalog.warmUpRuns.list({ jobId })).toMatchObject([
        { outcome: state, finishBytes: 300, cachedBytes: 100, doneTablets: 3 },
      ]);
      // A ONCE job that goes on later counts the batch when it is done, whole.
      expect(await world.job(jobId)).toMatchObject({ state, finishBytes: bytes });
    },
  );

  it('lets another one have the slot meanwhile, and waits for it afterwards', async () => {
    const first = await world.warmTable();
    await world.untilHeld(2);
    await world.jobs.pause(first);
    const second = await world.warmTable(true);
    await world.untilState(second, 'RUNNING');
    await world.jobs.resume(first);
    await world.settle();
    expect((await world.job(first)).state).toBe('PENDING');
    expect(world.jobs.board.waitReason(first)).toBe(`slot held by job ${second}`);
  });

  it('that is periodic goes on with its next cycle', async () => {
    const jobId = await world.periodic(5);
    await world.untilHeld(2);
    await world.jobs.pause(jobId);
    await seconds(20);
    expect(await world.job(jobId)).toMatchObject({ state: 'PAUSED', run: 1 });
    await world.jobs.resume(jobId);
    await world.oneRun();
    expect(await outcomes(jobId)).toEqual(['PAUSED', 'FINISHED']);
  });

  it('stays paused over a restart, before it has begun as well', async () => {
    for (const backend of await world.membersOf('dst')) backend.unreachable = true;
    const jobId = await world.warmTable();
    await world.jobs.pause(jobId);
    await world.restartServer();
    world.jobs.start();
    for (const backend of await world.membersOf('dst')) backend.unreachable = false;
    await seconds(3);
    expect(await world.job(jobId)).toMatchObject({ state: 'PAUSED', startMs: null });
    await world.jobs.resume(jobId);
    await world.oneRun();
    await world.untilState(jobId, 'FINISHED');
    expect(await outcomes(jobId)).toEqual(['FINISHED']);
  });

  it('is cancelled as any other', async () => {
    const jobId = await world.warmTable();
    await world.untilHeld(2);
    await world.jobs.pause(jobId);
    await world.jobs.cancel(jobId);
    expect(await world.job(jobId)).toMatchObject({ state: 'CANCELLED', errMsg: 'user cancel' });
  });

  it('cannot be paused again, nor resumed when it is not paused', async () => {
    const jobId = await world.warmTable();
    const refused = (what: string, state: string) => ({
      code: 'WARM_UP_STATE',
      message: `job ${jobId} can not be ${what}. State: ${state}`,
    });
    await expect(world.jobs.resume(jobId)).rejects.toMatchObject(refused('resumed', 'PENDING'));
    await world.jobs.pause(jobId);
    await expect(world.jobs.pause(jobId)).rejects.toMatchObject(refused('paused', 'PAUSED'));
    await world.jobs.cancel(jobId);
    await expect(world.jobs.pause(jobId)).rejects.toMatchObject(refused('paused', 'CANCELLED'));
    await expect(world.jobs.resume(jobId)).rejects.toMatchObject(refused('resumed', 'CANCELLED'));
    const unknown = id<JobId>(4711);
    const asked = [
      world.jobs.pause(unknown),
      world.jobs.resume(unknown),
      world.jobs.retry(unknown),
    ];
    for (const result of await Promise.allSettled(asked)) {
      expect(result).toMatchObject({ reason: { code: 'WARM_UP_UNKNOWN_JOB' } });
    }
  });
});

describe('a group that is renamed away', () => {
  it('stops a job that runs once; back again it goes on where it was', async () => {
    const jobId = await world.warmTable();
    const [first, second] = await world.untilHeld(2);
    first?.held.splice(0).forEach((run) => {
      run.finish();
    });
    await world.until(async () => (await world.job(jobId)).finishBatch === 1);
    await world.catalog.computeGroups.rename('dst', 'elsewhere');
    world.jobs.groupRenamed();
    await world.settle();
    expect(second?.held[0]?.run.signal.aborted).toBe(true);
    second?.held.splice(0);
    expect(await world.job(jobId)).toMatchObject({ state: 'PENDING', finishBatch: 1 });
    await world.catalog.computeGroups.rename('elsewhere', 'dst');
    world.jobs.groupRenamed();
    await world.until(async () => {
      await world.finish();
      return (await world.job(jobId)).state === 'FINISHED';
    });
    expect(await world.job(jobId)).toMatchObject({ doneTablets: 8, errMsg: '' });
    expect(await outcomes(jobId)).toEqual(['PAUSED', 'FINISHED']);
  });
});

describe('retry', () => {
  it('of a one-time job makes one for what failed and what was not done', async () => {
    const jobId = await world.warmTable();
    const [first, second] = await world.untilHeld(2);
    const failed = first?.held[0]?.run.tablets[0]?.tabletId;
    first?.held.splice(0).forEach((run) => {
      run.finish([{ item: 'data/x.dat', reason: 'access denied' }]);
    });
    await world.until(async () => (await world.job(jobId)).finishBatch === 1);
    await world.jobs.cancel(jobId);
    const again = await world.jobs.retry(jobId);
    expect(again).not.toBe(jobId);
    const undone = second?.dispatched[0]?.tablets.map((tablet) => tablet.tabletId) ?? [];
    expect((await world.job(again)).allTablets).toBe(undone.length + 1);
    await world.until(async () => {
      await world.finish();
      return (await world.job(again)).state === 'FINISHED';
    });
    const asked = [first, second].flatMap((backend) => backend?.dispatched.slice(1) ?? []);
    const tabletIds = asked.flatMap(({ tablets }) => tablets.map((tablet) => tablet.tabletId));
    expect(new Set(tabletIds)).toEqual(new Set([failed, ...undone]));
  });

  it('keeps to what was left, where a job that waited as long is planned anew', async () => {
    const group = await world.warmGroup(2);
    await world.untilState(group, 'RUNNING');
    await world.jobs.cancel(group);
    const holder = await world.warmTable(true);
    await world.untilState(holder, 'RUNNING');
    for (const backend of await world.held()) backend.held.splice(0);
    const again = await world.jobs.retry(group);
    const fresh = await world.warmGroup(2, true);
    expect((await world.job(fresh)).allTablets).toBe(2);
    await seconds(70);
    await world.jobs.cancel(holder);
    for (const jobId of [again, fresh]) {
      await world.until(async () => {
        await world.finish();
        return (await world.job(jobId)).state === 'FINISHED';
      });
    }
    expect((await world.job(again)).allTablets).toBe(2);
    expect((await world.job(fresh)).allTablets).toBe(8);
  });

  it('of a one-time job that is not over, or finished, is refused', async () => {
    const jobId = await world.warmTable();
    await expect(world.jobs.retry(jobId)).rejects.toMatchObject({ code: 'WARM_UP_STATE' });
    await world.oneRun();
    await world.untilState(jobId, 'FINISHED');
    await expect(world.jobs.retry(jobId)).rejects.toThrow(
      `job ${jobId} can not be retried. State: FINISHED`,
    );
  });

  it('of a periodic job is the next cycle now, also after a restart', async () => {
    const jobId = await world.periodic(3600);
    await world.oneRun();
    const backends = await world.membersOf('dst');
    for (const backend of backends) backend.unreachable = true;
    await seconds(10);
    expect(await world.jobs.retry(jobId)).toBe(jobId);
    await world.restartServer();
    world.jobs.start();
    await world.settle();
    expect((await world.job(jobId)).startAsked).toBe(true);
    for (const backend of backends) backend.unreachable = false;
    await world.oneRun();
    expect(await world.job(jobId)).toMatchObject({ run: 2, startAsked: false, state: 'PENDING' });
    await seconds(10);
    expect((await world.job(jobId)).run).toBe(2);
  });

  it('of an event-driven job goes to its delivery', async () => {
    const jobId = await world.eventDriven();
    expect(await world.jobs.retry(jobId)).toBe(jobId);
    expect(world.events.calls).toEqual([`retry ${jobId}`]);
    await world.jobs.cancel(jobId);
    await expect(world.jobs.retry(jobId)).rejects.toMatchObject({ code: 'WARM_UP_STATE' });
  });
});

describe('alter', () => {
  it('changes the interval of the cycle that is waited for', async () => {
    const jobId = await world.periodic(3600);
    await world.oneRun();
    const job = await world.job(jobId);
    await world.jobs.alter(jobId, { syncIntervalS: 5 });
    const after = await world.job(jobId);
    expect(after).toMatchObject({ syncIntervalS: 5, state: 'PENDING', run: 1 });
    expect(world.jobs.nextStartMs(after)).toBe((job.startMs ?? 0) + 5000);
    await world.oneRun();
    expect((await world.job(jobId)).run).toBe(2);
  });

  it('changes rules, but never into those of another job', async () => {
    const first = await world.eventDriven('{"include":["a.*"]}');
    const second = await world.eventDriven('{"include":["b.*"]}');
    await expect(
      world.jobs.alter(first, { tableFilter: '{"include":["b.*"]}' }),
    ).rejects.toMatchObject({ code: 'WARM_UP_TWIN' });
    await world.jobs.alter(first, { tableFilter: '{"include":["c.*"]}' });
    await world.jobs.alter(second, { tableFilter: '{"include":["b.*"]}' });
    expect((await world.job(first)).tableFilter).toBe('{"include":["c.*"]}');
  });

  it('refuses what the job does not have, and jobs that are over', async () => {
    const once = await world.warmTable();
    const events = await world.eventDriven();
    const altered = async (jobId: JobId, change: Parameters<typeof world.jobs.alter>[1]) =>
      await world.jobs.alter(jobId, change).catch((error: unknown) => String(error));
    expect(await altered(once, { syncIntervalS: 5 })).toContain(
      'has no interval: its mode is ONCE',
    );
    expect(await altered(events, { tableFilter: '{}' })).toContain('has no ON TABLES rules');
    await world.jobs.cancel(events);
    expect(await altered(events, {})).toContain('can not be altered. State: CANCELLED');
    expect(await altered(id<JobId>(4711), {})).toContain('job id: 4711 does not exist');
  });
});

describe('waiting for a job', () => {
  const outcome = async (wait: Promise<unknown>): Promise<unknown> =>
    await wait.catch((error: unknown) => error);

  it('ends when it is FINISHED, with its row', async () => {
    const jobId = await world.warmTable();
    const wait = world.jobs.waitFor(jobId, { signal: NEVER });
    await world.oneRun();
    await world.untilState(jobId, 'FINISHED');
    expect(await wait).toMatchObject({ jobId, state: 'FINISHED', doneTablets: 8 });
    expect(await world.jobs.waitFor(jobId, { signal: NEVER, timeoutMs: 0 })).toMatchObject({
      jobId,
    });
  });

  it('fails with numbers of their own when it failed, was cancelled, or takes too long', async () => {
    const failing = await world.warmTable();
    const failed = outcome(world.jobs.waitFor(failing, { signal: NEVER }));
    for (const backend of await world.untilHeld(2)) {
      backend.held.splice(0).forEach((run) => {
        run.finish([{ item: 'data/x.dat', reason: 'access denied' }]);
      });
    }
    await world.untilState(failing, 'CANCELLED');
    const cancelling = await world.warmTable();
    const cancelled = outcome(world.jobs.waitFor(cancelling, { signal: NEVER }));
    await world.untilState(cancelling, 'RUNNING');
    const slow = outcome(world.jobs.waitFor(cancelling, { signal: NEVER, timeoutMs: 1500 }));
    await seconds(3);
    await world.jobs.cancel(cancelling);
    const errors = [await failed, await cancelled, await slow];
    for (const error of errors) expect(error).toBeInstanceOf(SqlError);
    expect(errors).toMatchObject([
      { errno: 6101, message: expect.stringContaining('data/x.dat: access denied') },
      { errno: 6102, message: `warm-up job ${cancelling} was cancelled: user cancel` },
      {
        errno: 6103,
        message: `warm-up job ${cancelling} did not end within 1.5 seconds; it is RUNNING`,
      },
    ]);
    await expect(world.jobs.waitFor(id<JobId>(4711), { signal: NEVER })).rejects.toMatchObject({
      code: 'WARM_UP_UNKNOWN_JOB',
    });
  });

  it('that is periodic ends with the run that is on, or comes next', async () => {
    const jobId = await world.periodic(10);
    const first = world.jobs.waitFor(jobId, { signal: NEVER });
    await world.oneRun();
    expect(await first).toMatchObject({ run: 1, state: 'PENDING' });
    const next = world.jobs.waitFor(jobId, { signal: NEVER });
    await world.untilHeld(2);
    await world.jobs.pause(jobId);
    await world.jobs.resume(jobId);
    await world.untilHeld(2);
    for (const backend of await world.untilHeld(2)) {
      backend.held.splice(0).forEach((run) => {
        run.finish(run.run.signal.aborted ? [] : [{ item: 'data/x.dat', reason: 'denied' }]);
      });
    }
    const error = outcome(next);
    await seconds(12);
    for (const backend of await world.held()) {
      backend.held.splice(0).forEach((run) => {
        run.finish([{ item: 'data/x.dat', reason: 'denied' }]);
      });
    }
    await seconds(2);
    expect(await error).toMatchObject({ code: 'WARM_UP_WAIT_FAILED' });
  });

  it('ends with the statement', async () => {
    const controller = new AbortController();
    const wait = world.jobs.waitFor(await world.periodic(10), { signal: controller.signal });
    const reason = new Error('the client is gone');
    controller.abort(reason);
    await expect(wait).rejects.toBe(reason);
  });
});
