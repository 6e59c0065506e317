import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { JobId } from '../../base/ids.ts';
import type { WarmUpRun } from '../../catalog/warm_up_runs.ts';
import { RUNS_PER_JOB_MAX } from '../../jobs/warm_up_history.ts';
import { WarmUpWorld } from './warm_up_world.ts';

describe('a periodic warm-up job', () => {
  let world: WarmUpWorld;
  beforeEach(async () => {
    world = await WarmUpWorld.create();
  });
  afterEach(async () => {
    await world.remove();
  });

  /** Oldest first. */
  const runs = async (jobId: JobId): Promise<WarmUpRun[]> =>
    (await world.catalog.warmUpRuns.list({ jobId })).toReversed();
  const gaps = async (jobId: JobId): Promise<number[]> => {
    const starts = (await runs(jobId)).map((run) => run.startMs);
    return starts.slice(1).map((startMs, at) => startMs - (starts[at] ?? 0));
  };

  it('runs, waits for its time, and runs again, planned anew', async () => {
    const jobId = await world.periodic(10);
    await world.oneRun();
    const waiting = await world.job(jobId);
    expect(waiting).toMatchObject({ state: 'PENDING', run: 1, finishBytes: 800, errMsg: '' });
    expect(waiting.finishMs).not.toBeNull();
    expect(world.jobs.nextStartMs(waiting)).toBe((waiting.startMs ?? 0) + 10_000);
    expect(world.jobs.board.waitReason(jobId)).toMatch(/^next start at 20\d\d-/);
    expect((await world.catalog.warmUpJobs.slots()).size).toBe(0);
    await world.catalog.tables.drop((await world.catalog.tables.get('d', 't')).tableId);
    await world.until(async () => (await world.job(jobId)).run === 2);
    await world.untilState(jobId, 'PENDING');
    expect(await runs(jobId)).toMatchObject([
      { run: 1, outcome: 'FINISHED', allTablets: 8, doneTablets: 8, finishBytes: 800, reason: '' },
      { run: 2, outcome: 'FINISHED', allTablets: 0, finishBytes: 0 },
    ]);
    expect(await gaps(jobId)).toEqual([10_000]);
  });

  it('never overlaps itself: a slow run delays the next start, which then comes at once', async () => {
    const jobId = await world.periodic(3);
    const backends = await world.untilHeld(2);
    for (let second = 0; second < 8; second += 1) {
      world.clock.advance(1000);
      world.heartbeats();
      await world.settle();
      expect(await world.job(jobId)).toMatchObject({ state: 'RUNNING', run: 1 });
    }
    expect(backends.map((backend) => backend.dispatched.length)).toEqual([1, 1]);
    await world.finish();
    expect(await world.job(jobId)).toMatchObject({ state: 'RUNNING', run: 2 });
    expect(await gaps(jobId)).toEqual([8000]);
  });

  it('records a cycle in which something failed, and goes on with the next', async () => {
    const jobId = await world.periodic(5);
    for (const backend of await world.untilHeld(2)) {
      backend.held.splice(0).forEach((run) => {
        run.finish([{ item: `data/${backend.backendId}.dat`, reason: 'access denied' }]);
      });
    }
    await world.untilState(jobId, 'PENDING');
    const errMsg = (await world.job(jobId)).errMsg;
    expect(errMsg).toMatch(/^2 of 8 tablets failed: data\/\d+\.dat: access denied; data/);
    expect(await runs(jobId)).toMatchObject([
      { outcome: 'FAILED', failedTablets: 2, reason: errMsg },
    ]);
    expect(await world.catalog.warmUpRuns.failures({ jobId })).toHaveLength(2);
    await world.oneRun();
    expect(await world.job(jobId)).toMatchObject({ state: 'PENDING', run: 2, errMsg: '' });
    expect((await runs(jobId)).map((run) => run.outcome)).toEqual(['FAILED', 'FINISHED']);
    expect(await gaps(jobId)).toEqual([5000]);
  });

  it('a timeout ends the run, stops its downloads, and not the job', async () => {
    world.config.setLive('cloud_warm_up_timeout_second', '4');
    const jobId = await world.periodic(10);
    const backends = await world.untilHeld(2);
    const downloads = backends.flatMap((backend) => backend.held.splice(0));
    await world.untilState(jobId, 'PENDING');
    expect(downloads.map(({ run }) => run.signal.aborted)).toEqual([true, true]);
    expect(await world.job(jobId)).toMatchObject({ errMsg: 'Timeout', run: 1 });
    expect(await runs(jobId)).toMatchObject([{ outcome: 'TIMEOUT', reason: 'Timeout' }]);
    await world.oneRun();
    expect((await runs(jobId)).map((run) => run.outcome)).toEqual(['TIMEOUT', 'FINISHED']);
    expect(await gaps(jobId)).toEqual([10_000]);
  });

  it('a plan that cannot be made is a failed cycle; the slot is free', async () => {
    world.collect = async () => {
      await Promise.resolve();
      throw new Error('no counts today');
    };
    const jobId = await world.periodic(5);
    world.config.setLive('cloud_warm_up_force_all_partitions', 'false');
    await world.until(async () => (await runs(jobId)).length === 1);
    expect(await world.job(jobId)).toMatchObject({ state: 'PENDING', errMsg: 'no counts today' });
    expect((await world.catalog.warmUpJobs.slots()).size).toBe(0);
    world.config.setLive('cloud_warm_up_force_all_partitions', 'true');
    await world.oneRun();
    expect(await runs(jobId)).toMatchObject([
      { run: 1, outcome: 'FAILED', reason: 'no counts today', allTablets: 0 },
      { run: 2, outcome: 'FINISHED' },
    ]);
    expect(await gaps(jobId)).toEqual([5000]);
  });

  it('a job that is cancelled while its plan is made does not start', async () => {
    const asked = Promise.withResolvers<undefined>();
    const go = Promise.withResolvers<undefined>();
    world.collect = async () => {
      asked.resolve(undefined);
      await go.promise;
    };
    const jobId = await world.periodic(5);
    world.config.setLive('cloud_warm_up_force_all_partitions', 'false');
    await asked.promise;
    await world.jobs.cancel(jobId);
    go.resolve(undefined);
    await world.settle();
    expect(await world.job(jobId)).toMatchObject({ state: 'CANCELLED', startMs: null });
    expect(await runs(jobId)).toEqual([]);
    expect((await world.catalog.warmUpJobs.slots()).size).toBe(0);
  });

  it('shares the slot of a target fairly with others, a new one-time job first', async () => {
    await world.addGroup('third');
    const first = await world.periodic(1);
    const second = await world.periodic(1, 'third');
    const started: JobId[] = [];
    let once: JobId | undefined;
    for (let run = 0; run < 6; run += 1) {
      await world.untilHeld(2);
      const running = (await world.catalog.warmUpJobs.active()).filter(
        (j) => j.state === 'RUNNING',
      );
      expect(running).toHaveLength(1);
      const [{ jobId } = { jobId: first }] = running;
      started.push(jobId);
      const others = [first, second].filter((other) => other !== jobId);
      if (run > 0) {
        for (const other of others) {
          expect(world.jobs.board.waitReason(other)).toBe(`slot held by job ${jobId}`);
        }
      }
      if (run === 2) once = await world.warmTable();
      world.clock.advance(2000);
      world.heartbeats();
      await world.finish();
    }
    expect(started).toEqual([first, second, first, once, second, first]);
  });

  it('waits while a group of its has no bearer of the name, and goes on when it is back', async () => {
    const jobId = await world.periodic(1);
    const backends = await world.untilHeld(2);
    const downloads = backends.flatMap((backend) => backend.held.splice(0));
    await world.catalog.computeGroups.rename('dst', 'elsewhere');
    world.jobs.groupRenamed();
    await world.settle();
    expect(downloads.map(({ run }) => run.signal.aborted)).toEqual([true, true]);
    expect(await world.job(jobId)).toMatchObject({ state: 'PENDING', dstGroup: 'dst' });
    const before = backends.map((backend) => backend.dispatched.length);
    for (let second = 0; second < 5; second += 1) {
      world.clock.advance(1000);
      world.heartbeats();
      await world.settle();
    }
    expect(backends.map((backend) => backend.dispatched.length)).toEqual(before);
    const missing = "compute group 'dst' does not exist";
    expect(world.jobs.board.waitReason(jobId)).toBe(missing);
    expect(await runs(jobId)).toMatchObject([{ outcome: 'FAILED', reason: missing }]);
    await world.catalog.computeGroups.rename('elsewhere', 'dst');
    world.jobs.groupRenamed();
    await world.oneRun();
    expect((await runs(jobId)).at(-1)).toMatchObject({ run: 2, outcome: 'FINISHED' });
  });

  it('waits for its source by name as well, and ends when it is dropped', async () => {
    const jobId = await world.periodic(1);
    await world.oneRun();
    await world.catalog.computeGroups.rename('src', 'elsewhere');
    await world.until(
      () => world.jobs.board.waitReason(jobId) === "compute group 'src' does not exist",
    );
    await world.jobs.groupDropped('src');
    expect(await world.job(jobId)).toMatchObject({
      state: 'CANCELLED',
      errMsg: "system cancel: compute group 'src' was dropped",
    });
  });

  it('waits as well when the group goes away while the plan is made', async () => {
    const rename = async (from: string, to: string): Promise<void> => {
      await world.catalog.computeGroups.rename(from, to);
      world.jobs.groupRenamed();
    };
    let collected = 0;
    world.collect = async () => {
      collected += 1;
      if (collected === 1) await rename('dst', 'elsewhere');
      else throw new Error('no counts today');
    };
    const jobId = await world.periodic(60);
    world.config.setLive('cloud_warm_up_force_all_partitions', 'false');
    await world.until(() => world.jobs.board.waitReason(jobId).includes("'dst' does not exist"));
    expect(await world.job(jobId)).toMatchObject({ state: 'PENDING', startMs: null });
    await rename('elsewhere', 'dst');
    await world.until(async () => (await runs(jobId)).length > 0);
    expect(await runs(jobId)).toMatchObject([{ run: 1, reason: 'no counts today' }]);
  });

  it('gives its name to another group: that one is warmed', async () => {
    await world.addGroup('next', 2);
    const jobId = await world.periodic(2);
    const old = await world.untilHeld(2);
    await world.catalog.computeGroups.rename('dst', 'old');
    await world.catalog.computeGroups.rename('next', 'dst');
    const downloads = old.flatMap((backend) => backend.held);
    world.jobs.groupRenamed();
    await world.until(async () => {
      await world.finish();
      return (await runs(jobId)).some((run) => run.outcome === 'FINISHED');
    });
    expect(downloads.map(({ run }) => run.signal.aborted)).toEqual([true, true]);
    expect(await world.job(jobId)).toMatchObject({ dstGroup: 'dst', failedTablets: 0 });
  });

  it('keeps its time over a restart of the server', async () => {
    const jobId = await world.periodic(10);
    await world.oneRun();
    const { startMs } = await world.job(jobId);
    await world.restartServer();
    world.jobs.start();
    await world.oneRun();
    expect(await gaps(jobId)).toEqual([10_000]);
    expect((await runs(jobId)).map((run) => run.outcome)).toEqual(['FINISHED', 'FINISHED']);
    expect(startMs).not.toBeNull();
  });

  it('finishes the run that was on when the server died, without doing again what is done', async () => {
    const jobId = await world.periodic(10);
    const backends = await world.untilHeld(2);
    await world.restartServer();
    world.jobs.start();
    await world.settle();
    expect([...(await world.catalog.warmUpJobs.slots())]).toEqual([['dst', jobId]]);
    await world.finish();
    await world.untilState(jobId, 'PENDING');
    expect(backends.map((backend) => backend.dispatched.length)).toEqual([1, 1]);
    expect(await runs(jobId)).toMatchObject([{ run: 1, outcome: 'FINISHED', finishBytes: 800 }]);
  });

  it('leaves neither work nor endless history behind', async () => {
    const jobId = await world.periodic(1);
    await world.oneRun();
    await world.oneRun();
    await world.jobs.pause(jobId);
    await world.until(() => world.fixture.number('count(*) FROM warm_up_batch') === 0);
    expect(world.fixture.number('count(*) FROM warm_up_batch_tablet')).toBe(0);
    // A year of cycles later ...
    world.fixture.raw((db) => {
      const insert = db.prepare(
        `INSERT INTO warm_up_run SELECT job_id, run + ?, start_ms, end_ms, outcome, all_batch,
           finish_batch, all_bytes, finish_bytes, cached_bytes, all_tablets, done_tablets,
           skipped_tablets, failed_tablets, reason FROM warm_up_run WHERE run = 1`,
      );
      for (let run = 5; run < RUNS_PER_JOB_MAX + 500; run += 1) insert.run(run);
      db.prepare('UPDATE warm_up_job SET run = ?, version = version + 1').run(
        RUNS_PER_JOB_MAX + 500,
      );
    });
    await world.until(() => world.fixture.number('count(*) FROM warm_up_run') === RUNS_PER_JOB_MAX);
    // ... and when the time to keep history is over.
    world.config.setLive('history_cloud_warm_up_job_keep_max_second', '1');
    await world.until(() => world.fixture.number('count(*) FROM warm_up_run') === 0);
    expect((await world.job(jobId)).state).toBe('PAUSED');
  });
});
