import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { JobId } from '../../base/ids.ts';
import type { WarmUpJob } from '../../catalog/warm_up_jobs.ts';
import { type FakeBackend, WarmUpWorld } from './warm_up_world.ts';

let world: WarmUpWorld;
beforeEach(async () => {
  world = await WarmUpWorld.create();
});
afterEach(async () => {
  await world.remove();
});

const slots = async (): Promise<unknown> => [...(await world.catalog.warmUpJobs.slots())];
const outcomes = async (jobId: JobId): Promise<string[]> =>
  (await world.catalog.warmUpRuns.list({ jobId })).toReversed().map((run) => run.outcome);
const untilFinished = async (jobId: JobId): Promise<void> => {
  await world.until(async () => {
    await world.finish();
    return (await world.job(jobId)).state === 'FINISHED';
  });
};

describe('after a restart of the server', () => {
  it('a RUNNING job has its slot again, although the row was lost, before others look for one', async () => {
    const running = await world.warmTable();
    await world.untilHeld(2);
    const waiting = await world.warmTable(true);
    await world.restartServer();
    world.fixture.raw((db) => db.exec('DELETE FROM warm_up_slot'));
    world.jobs.start();
    await world.settle();
    expect(await slots()).toEqual([['dst', running]]);
    expect((await world.job(waiting)).state).toBe('PENDING');
    expect(world.jobs.board.waitReason(waiting)).toBe(`slot held by job ${running}`);
    await untilFinished(running);
    await untilFinished(waiting);
  });

  it('a slot whose job is over is free', async () => {
    const jobId = await world.warmTable();
    await world.restartServer();
    world.fixture.raw((db) => db.exec("INSERT INTO warm_up_slot VALUES ('dst', 4711)"));
    world.jobs.start();
    await world.untilState(jobId, 'RUNNING');
    expect(await slots()).toEqual([['dst', jobId]]);
  });

  it('two RUNNING jobs for one target do not both go on', async () => {
    const first = await world.warmTable();
    await world.untilHeld(2);
    const second = await world.warmTable(true);
    await world.restartServer();
    world.fixture.raw((db) => {
      db.prepare("UPDATE warm_up_job SET state = 'RUNNING' WHERE job_id = ?").run(second);
    });
    world.jobs.start();
    await world.settle();
    expect(await slots()).toEqual([['dst', first]]);
    expect((await world.job(second)).state).toBe('PENDING');
  });

  it.each(['before it started', 'while its batches are out', 'when one batch is done'])(
    'a job goes on from where its rows say: %s',
    async (when) => {
      const members = await world.membersOf('dst');
      if (when === 'before it started') for (const backend of members) backend.unreachable = true;
      const jobId = await world.warmTable();
      if (when !== 'before it started') await world.untilHeld(2);
      if (when === 'when one batch is done') {
        members[0]?.held.splice(0).forEach((run) => {
          run.finish();
        });
        await world.until(async () => (await world.job(jobId)).finishBatch === 1);
      }
      for (const backend of members) backend.unreachable = false;
      await world.restartServer();
      world.jobs.start();
      await untilFinished(jobId);
      expect(await world.job(jobId)).toMatchObject({ run: 1, finishBytes: 800, doneTablets: 8 });
      expect(await outcomes(jobId)).toEqual(['FINISHED']);
    },
  );

  it('a cancellation that reached nobody is heard after all', async () => {
    const jobId = await world.warmTable();
    const backends = await world.untilHeld(2);
    for (const backend of backends) backend.unreachable = true;
    await world.jobs.cancel(jobId);
    await world.restartServer();
    for (const backend of backends) backend.unreachable = false;
    world.jobs.start();
    await world.settle();
    expect(backends.map((backend) => backend.held[0]?.run.signal.aborted)).toEqual([true, true]);
  });

  it('a batch whose message was never sent is sent', async () => {
    const jobId = await world.warmTable();
    await world.untilHeld(2);
    for (const backend of await world.membersOf('dst')) backend.restart();
    await world.restartServer();
    world.jobs.start();
    await untilFinished(jobId);
    for (const backend of await world.membersOf('dst')) {
      expect(backend.dispatched.map(({ run, batch }) => [run, batch])).toEqual([
        [1, 0],
        [1, 0],
      ]);
    }
  });
});

describe('a batch that is checked again', () => {
  /** One batch found 30 bytes of it in the cache, and is done; the server restarts then. */
  async function checkedAgain(meanwhile: (backend: FakeBackend) => void): Promise<WarmUpJob> {
    const jobId = await world.warmTable();
    const [first] = await world.untilHeld(2);
    if (first === undefined) throw new Error('no backend');
    for (const run of first.held.splice(0)) {
      run.run.counts.cachedBytes = 30;
      run.finish();
    }
    await world.until(async () => (await world.job(jobId)).finishBatch === 1);
    await world.restartServer();
    meanwhile(first);
    world.jobs.start();
    await world.until(async () => {
      for (const run of first.held) run.run.counts.cachedBytes = run.run.counts.totalBytes;
      await world.finish();
      return (await world.job(jobId)).state === 'FINISHED';
    });
    return await world.job(jobId);
  }

  it('by a backend that repeats its answer still had found what it had found', async () => {
    const job = await checkedAgain(() => undefined);
    expect(job).toMatchObject({ finishBytes: 800, cachedBytes: 30 });
  });

  it('by one that restarted finds what it had downloaded, which was not there before', async () => {
    const job = await checkedAgain((backend) => {
      backend.restart();
      world.heartbeats();
    });
    expect(job).toMatchObject({ finishBytes: 800, cachedBytes: 30 });
  });
});

describe('a backend that restarts', () => {
  it('after its batch was done does it again, before the job may be FINISHED', async () => {
    const jobId = await world.warmTable();
    const [first, second] = await world.untilHeld(2);
    first?.held.splice(0).forEach((run) => {
      run.finish();
    });
    await world.until(async () => (await world.job(jobId)).finishBatch === 1);
    first?.restart();
    world.heartbeats();
    second?.held.splice(0).forEach((run) => {
      run.finish();
    });
    await world.until(() => first?.held.length === 1);
    expect(await world.job(jobId)).toMatchObject({ state: 'RUNNING', finishBatch: 1 });
    await untilFinished(jobId);
    expect(await world.job(jobId)).toMatchObject({ finishBatch: 2, finishBytes: 800 });
    expect(first?.dispatched).toHaveLength(2);
    expect(second?.dispatched).toHaveLength(1);
  });

  it('and says later that it had been told to stop, gets the work as another run', async () => {
    const jobId = await world.warmTable();
    const [first] = await world.untilHeld(2);
    first?.batches.cancel(jobId, world.catalog.epoch, 1);
    first?.held.splice(0);
    await untilFinished(jobId);
    expect(await outcomes(jobId)).toEqual(['PAUSED', 'FINISHED']);
    expect(await world.job(jobId)).toMatchObject({ run: 2, doneTablets: 8 });
  });
});

describe('a cancellation', () => {
  it('is repeated until the backend hears it', async () => {
    const jobId = await world.warmTable();
    const [deaf, other] = await world.untilHeld(2);
    if (deaf === undefined || other === undefined) throw new Error('two backends expected');
    deaf.unreachable = true;
    await world.jobs.cancel(jobId);
    await world.settle();
    expect(other.held[0]?.run.signal.aborted).toBe(true);
    expect(deaf.held[0]?.run.signal.aborted).toBe(false);
    deaf.unreachable = false;
    world.clock.advance(250);
    await world.settle();
    expect(deaf.held[0]?.run.signal.aborted).toBe(true);
    expect([deaf.cancels, other.cancels]).toEqual([1, 1]);
    world.clock.advance(60_000);
    await world.settle();
    expect([deaf.cancels, other.cancels]).toEqual([1, 1]);
  });

  it('of a backend that never hears it ends with its lease', async () => {
    const jobId = await world.warmTable();
    const [deaf] = await world.untilHeld(2);
    if (deaf === undefined) throw new Error('a backend expected');
    deaf.unreachable = true;
    await world.jobs.cancel(jobId);
    const leaseMs = world.config.get('warm_up_lease_ms');
    for (let ms = 0; ms <= leaseMs; ms += 1000) {
      world.clock.advance(1000);
      await world.settle();
    }
    expect(deaf.held[0]?.run.signal.aborted).toBe(true);
    const timers = world.clock.pending;
    world.clock.advance(5000);
    await world.settle();
    expect(world.clock.pending).toBeLessThanOrEqual(timers);
  });

  it('does not wait for a message that the backend is busy with', async () => {
    const answer = Promise.withResolvers<undefined>();
    const [busy] = await world.membersOf('dst');
    if (busy === undefined) throw new Error('a backend expected');
    const jobId = await world.warmTable();
    await world.untilHeld(2);
    const call = busy.call.bind(busy);
    busy.call = (name, request) =>
      name === 'renewWarmUp' ? answer.promise.then(() => call(name, request)) : call(name, request);
    world.clock.advance(1000);
    await world.settle();
    await world.jobs.cancel(jobId);
    await world.settle();
    expect(busy.held[0]?.run.signal.aborted).toBe(true);
    answer.resolve(undefined);
    await world.settle();
    expect(await world.job(jobId)).toMatchObject({ state: 'CANCELLED', errMsg: 'user cancel' });
  });
});

describe('leases', () => {
  it('are renewed in time, however short they and however long the pauses of the scheduler', async () => {
    world.config.setLive('warm_up_lease_ms', '300');
    world.config.setLive('cloud_warm_up_job_scheduler_interval_millisecond', '60000');
    const jobId = await world.warmTable();
    const backends = await world.untilHeld(2);
    for (let ms = 0; ms < 3000; ms += 50) {
      world.clock.advance(50);
      world.heartbeats();
      await world.settle();
    }
    for (const { batches, dispatched, renewals } of backends) {
      expect(batches.running).toBe(1);
      expect(dispatched).toHaveLength(1);
      expect(renewals).toBeLessThan(40);
    }
    await world.finish();
    await world.until(async () => (await world.job(jobId)).state === 'FINISHED');
  });

  it('one slow backend holds up neither the renewal nor the next batch of others', async () => {
    world.config.setLive('cloud_warm_up_job_max_bytes_per_batch', '100');
    const [slow, fast] = await world.membersOf('dst');
    if (slow === undefined || fast === undefined) throw new Error('two backends expected');
    const never = Promise.withResolvers<undefined>();
    slow.call = () => never.promise;
    const jobId = await world.warmTable();
    const mine = (await world.catalog.warmUpBatches.ofRun(jobId, 1)).filter(
      (batch) => batch.backendId === fast.backendId,
    );
    expect(mine.length).toBeGreaterThan(1);
    await world.until(async () => {
      fast.held.splice(0).forEach((run) => {
        run.finish();
      });
      return (await world.job(jobId)).finishBatch === mine.length;
    });
    expect((await world.job(jobId)).state).toBe('RUNNING');
  });
});

describe('at most max_active_cloud_warm_up_job steps', () => {
  it('run at once, and every job has its turn', async () => {
    world.config.setLive('max_active_cloud_warm_up_job', '1');
    for (const name of ['g1', 'g2', 'g3']) await world.addGroup(name);
    const jobs: JobId[] = [];
    for (const name of ['g1', 'g2', 'g3']) jobs.push(await world.periodic(1, 'src', name));
    for (const name of ['g1', 'g2', 'g3']) await world.oneRun(1, name);
    for (const jobId of jobs) {
      await world.until(async () => (await outcomes(jobId)).includes('FINISHED'));
    }
  });
});
