import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { RUNNING_MAX } from '../../be-agent/warm_up_batches.ts';
import type { JobId } from '../../base/ids.ts';
import { id } from '../../base/ids.ts';
import { type FakeBackend, WarmUpWorld } from './warm_up_world.ts';

describe('a warm-up job', () => {
  let world: WarmUpWorld;
  beforeEach(async () => {
    world = await WarmUpWorld.create();
  });
  afterEach(async () => {
    await world.remove();
  });

  const held = async (): Promise<FakeBackend[]> =>
    (await world.membersOf('dst')).filter((backend) => backend.held.length > 0);
  const untilHeld = async (count: number): Promise<FakeBackend[]> => {
    await world.until(async () => (await held()).length === count);
    return await held();
  };
  const finishAll = (backends: readonly FakeBackend[]): void => {
    for (const backend of backends) for (const run of backend.held.splice(0)) run.finish();
  };
  const untilState = async (jobId: JobId, state: string): Promise<void> => {
    await world.until(async () => (await world.job(jobId)).state === state);
  };

  it('goes from PENDING over RUNNING to FINISHED, with the bytes that are in the caches', async () => {
    const jobId = await world.warmTable();
    const backends = await untilHeld(2);
    expect((await world.job(jobId)).state).toBe('RUNNING');
    finishAll(backends);
    await untilState(jobId, 'FINISHED');
    const job = await world.job(jobId);
    expect(job).toMatchObject({ allBytes: 800, finishBytes: 800, allTablets: 8, doneTablets: 8 });
    expect(job.errMsg).toBe('');
    const events = (await world.catalog.warmUpJobs.transitions(jobId)).map((t) => t.event);
    expect(events).toEqual(['created', 'started', 'batchDone', 'batchDone', 'lastBatchDone']);
    expect((await world.catalog.warmUpJobs.slots()).size).toBe(0);
  });

  it('says which backend has no room for its batch, and sends it again', async () => {
    const [full] = await world.membersOf('dst');
    if (full === undefined) throw new Error('no backend');
    const others = Array.from({ length: RUNNING_MAX }, (_, n) => id<JobId>(900_000 + n));
    const { epoch } = world.catalog;
    const sent = { run: 1, batch: 0, epoch, leaseMs: 600_000, force: false, tablets: [] };
    for (const jobId of others) full.batches.dispatch({ jobId, ...sent });
    const jobId = await world.warmTable();
    const reason = `backend ${full.backendId} has no room for another batch`;
    await world.until(() => world.jobs.board.waitReason(jobId) === reason);
    for (const other of others) full.batches.cancel(other, epoch);
    full.held.length = 0;
    await world.until(async () => {
      world.clock.advance(1000);
      world.heartbeats();
      await world.finish();
      return (await world.job(jobId)).state === 'FINISHED';
    });
    expect(world.jobs.board.waitReason(jobId)).toBe('');
  });

  it('is not FINISHED while one batch is missing', async () => {
    const jobId = await world.warmTable();
    const [first, second] = await untilHeld(2);
    first?.held.splice(0).forEach((run) => {
      run.finish();
    });
    await world.settle();
    expect(await world.job(jobId)).toMatchObject({ state: 'RUNNING', finishBatch: 1 });
    expect(second?.held).toHaveLength(1);
  });

  it('ends CANCELLED and says which item failed', async () => {
    const jobId = await world.warmTable();
    const [first, second] = await untilHeld(2);
    first?.held.splice(0).forEach((run) => {
      run.finish([{ item: 'data/1/x_0.dat', reason: 'there is no such object' }]);
    });
    finishAll(second === undefined ? [] : [second]);
    await untilState(jobId, 'CANCELLED');
    const job = await world.job(jobId);
    expect(job.errMsg).toBe('1 of 8 tablets failed: data/1/x_0.dat: there is no such object');
    expect(job.failedTablets).toBe(1);
  });

  it('finds out by asking when the report of a finished batch is lost', async () => {
    world.loseReports = true;
    const jobId = await world.warmTable();
    finishAll(await untilHeld(2));
    await untilState(jobId, 'FINISHED');
  });

  it('hands a batch out again when its backend restarted', async () => {
    const jobId = await world.warmTable();
    const [first, second] = await untilHeld(2);
    first?.restart();
    await world.until(() => first?.held.length === 1);
    finishAll([first, second].flatMap((backend) => backend ?? []));
    await untilState(jobId, 'FINISHED');
    expect(first?.dispatched).toHaveLength(2);
    expect(second?.dispatched).toHaveLength(1);
  });

  it('gives the tablets of a dead backend to those that serve them now', async () => {
    const jobId = await world.warmTable();
    const [dead, other] = await untilHeld(2);
    if (dead === undefined || other === undefined) throw new Error('two backends expected');
    dead.unreachable = true;
    other.held.splice(0).forEach((run) => {
      run.finish();
    });
    await world.until(() => other.held.length === 1);
    const moved = other.dispatched.at(-1)?.tablets.map((tablet) => tablet.tabletId);
    expect(moved).toEqual(dead.dispatched[0]?.tablets.map((tablet) => tablet.tabletId));
    finishAll([other]);
    await untilState(jobId, 'FINISHED');
    expect((await world.job(jobId)).doneTablets).toBe(8);
  });

  it('follows tablets to a backend that joined before the job ended', async () => {
    const jobId = await world.warmTable();
    const backends = await untilHeld(2);
    const joined = await world.addBackend('dst');
    finishAll(backends);
    await world.until(() => joined.held.length === 1);
    expect((await world.job(jobId)).state).toBe('RUNNING');
    finishAll([joined]);
    await untilState(jobId, 'FINISHED');
  });

  it('counts tablets of a dropped table as skipped, not as failed', async () => {
    const jobId = await world.warmTable();
    const backends = await untilHeld(2);
    const table = await world.catalog.tables.get('d', 't');
    await world.catalog.tables.drop(table.tableId);
    for (const backend of backends) {
      backend.held.splice(0).forEach((run) => {
        run.finish([{ item: 'data/1/x_0.dat', reason: 'there is no such object' }]);
      });
    }
    await untilState(jobId, 'FINISHED');
    expect(await world.job(jobId)).toMatchObject({ skippedTablets: 2, failedTablets: 0 });
  });

  it('is cancelled at once, and its downloads stop', async () => {
    const jobId = await world.warmTable();
    const backends = await untilHeld(2);
    const runs = backends.flatMap((backend) => backend.held);
    await world.jobs.cancel(jobId);
    expect(await world.job(jobId)).toMatchObject({ state: 'CANCELLED', errMsg: 'user cancel' });
    await world.settle();
    expect(runs.map((run) => run.run.signal.aborted)).toEqual([true, true]);
    await expect(world.jobs.cancel(jobId)).rejects.toThrow(
      'job can not be cancelled. State: CANCELLED',
    );
  });

  it('is cancelled although a backend is dead', async () => {
    const jobId = await world.warmTable();
    const [dead] = await untilHeld(2);
    if (dead !== undefined) dead.unreachable = true;
    await world.jobs.cancel(jobId);
    expect((await world.job(jobId)).state).toBe('CANCELLED');
  });

  it('does not start on a backend that hears of the cancellation first', async () => {
    const jobId = await world.warmTable();
    const [backend] = await untilHeld(2);
    if (backend === undefined) throw new Error('a backend expected');
    const request = backend.dispatched[0];
    await world.jobs.cancel(jobId);
    await world.settle();
    const before = backend.held.length;
    if (request !== undefined) expect(backend.batches.dispatch(request).state).toBe('STOPPED');
    expect(backend.held).toHaveLength(before);
  });

  it('waits for the slot of its target, and says who has it', async () => {
    const first = await world.warmTable();
    const backends = await untilHeld(2);
    const second = await world.warmTable(true);
    await world.settle();
    expect((await world.job(second)).state).toBe('PENDING');
    expect(world.jobs.board.waitReason(second)).toBe(`slot held by job ${first}`);
    finishAll(backends);
    await untilState(first, 'FINISHED');
    finishAll(await untilHeld(2));
    await untilState(second, 'FINISHED');
  });

  it('is returned again while an identical one is PENDING', async () => {
    await world.warmTable();
    await untilHeld(2);
    const second = await world.warmTable();
    expect(await world.warmTable()).toBe(second);
  });

  it('goes on after a restart of the server, and keeps its slot', async () => {
    const jobId = await world.warmTable();
    const backends = await untilHeld(2);
    await world.restartServer();
    world.jobs.start();
    await world.settle();
    expect([...(await world.catalog.warmUpJobs.slots())]).toEqual([['dst', jobId]]);
    finishAll(backends);
    await untilState(jobId, 'FINISHED');
    // The backends knew the batches: they were asked, not told to do them again.
    for (const backend of backends) expect(backend.dispatched).toHaveLength(1);
  });

  it('refuses what a backend says to the server before', async () => {
    const jobId = await world.warmTable();
    const [backend] = await untilHeld(2);
    const request = backend?.dispatched[0];
    if (backend === undefined || request === undefined) throw new Error('a batch expected');
    const progress = backend.batches.renew(request);
    await world.restartServer();
    await world.jobs.onProgress({ ...progress, state: 'DONE' });
    expect((await world.job(jobId)).finishBatch).toBe(0);
    expect(world.jobs.lateEvents).toBe(1);
  });

  it('ends with Timeout when its run takes too long', async () => {
    world.config.setLive('cloud_warm_up_timeout_second', '5');
    const jobId = await world.warmTable();
    await untilHeld(2);
    await untilState(jobId, 'CANCELLED');
    expect((await world.job(jobId)).errMsg).toBe('Timeout');
  });

  it('waits while its group has no alive backend, and goes on when one is back', async () => {
    const members = await world.membersOf('dst');
    for (const backend of members) backend.unreachable = true;
    const jobId = await world.warmTable();
    await world.until(() => world.jobs.board.waitReason(jobId).includes('no alive backend'));
    for (const backend of members) backend.unreachable = false;
    world.heartbeats();
    finishAll(await untilHeld(2));
    await untilState(jobId, 'FINISHED');
  });

  it('waits for a renamed group by name, and ends when the group is dropped', async () => {
    await world.catalog.computeGroups.rename('dst', 'elsewhere');
    const table = await world.catalog.tables.get('d', 't');
    expect(table.name).toBe('t');
    await world.catalog.computeGroups.rename('elsewhere', 'dst');
    const jobId = await world.warmTable();
    await untilHeld(2);
    await world.catalog.computeGroups.rename('dst', 'elsewhere');
    await world.until(() => world.jobs.board.waitReason(jobId) !== '');
    expect(world.jobs.board.waitReason(jobId)).toBe("compute group 'dst' does not exist");
    await world.jobs.groupDropped('dst');
    expect(await world.job(jobId)).toMatchObject({
      state: 'CANCELLED',
      errMsg: "system cancel: compute group 'dst' was dropped",
    });
  });

  it('drops a batch by itself when the server is silent for the lease', async () => {
    await world.warmTable();
    const backends = await untilHeld(2);
    await world.jobs.close();
    const leaseMs = world.config.get('warm_up_lease_ms');
    expect(backends.map((backend) => backend.batches.running)).toEqual([1, 1]);
    world.clock.advance(leaseMs + 1);
    expect(backends.map((backend) => backend.batches.running)).toEqual([0, 0]);
  });

  it('cannot be cancelled when there is none', async () => {
    await expect(world.jobs.cancel(id<JobId>(4711))).rejects.toThrow(
      'job id: 4711 does not exist.',
    );
  });
});
