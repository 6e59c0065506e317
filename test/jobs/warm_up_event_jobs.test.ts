import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { WarmUpWorld } from './warm_up_world.ts';

/** What the scheduler does with event-driven jobs; what they deliver is tested elsewhere. */
describe('an event-driven job', () => {
  let world: WarmUpWorld;
  beforeEach(async () => {
    world = await WarmUpWorld.create();
  });
  afterEach(async () => {
    await world.remove();
  });

  const second = async (): Promise<void> => {
    world.clock.advance(1000);
    world.heartbeats();
    await world.settle();
  };

  it('runs beside others, without a slot, and gets a turn every second', async () => {
    const jobId = await world.eventDriven();
    const once = await world.warmTable();
    await world.untilHeld(2);
    expect([...(await world.catalog.warmUpJobs.slots())]).toEqual([['dst', once]]);
    expect(await world.job(jobId)).toMatchObject({ state: 'RUNNING', errMsg: '' });
    const before = world.events.ticks;
    for (let i = 0; i < 5; i += 1) await second();
    expect(world.events.ticks - before).toBe(5);
    expect(await world.catalog.warmUpRuns.list({ jobId })).toEqual([]);
  });

  it('says what its delivery waits for', async () => {
    const jobId = await world.eventDriven();
    world.events.waitReason = 'backend 7: no heartbeat for 9 s';
    await world.until(() => world.jobs.board.waitReason(jobId) !== '');
    expect(world.jobs.board.waitReason(jobId)).toBe('backend 7: no heartbeat for 9 s');
  });

  it('goes on after a restart of the server, as the row says', async () => {
    const jobId = await world.eventDriven();
    await world.untilState(jobId, 'RUNNING');
    const { startMs } = await world.job(jobId);
    await world.restartServer();
    const ticks = world.events.ticks;
    world.jobs.start();
    await second();
    expect(world.events.ticks).toBeGreaterThan(ticks);
    expect(await world.job(jobId)).toMatchObject({ state: 'RUNNING', startMs });
    const events = (await world.catalog.warmUpJobs.transitions(jobId)).map((t) => t.event);
    expect(events).toEqual(['created', 'started']);
  });

  it('has no timeout', async () => {
    world.config.setLive('cloud_warm_up_timeout_second', '2');
    const jobId = await world.eventDriven();
    for (let i = 0; i < 6; i += 1) await second();
    expect((await world.job(jobId)).state).toBe('RUNNING');
  });

  it('stops for a pause, goes on when resumed, ends when cancelled', async () => {
    const jobId = await world.eventDriven();
    await world.untilState(jobId, 'RUNNING');
    await world.jobs.pause(jobId);
    const ticks = world.events.ticks;
    for (let i = 0; i < 3; i += 1) await second();
    expect(world.events.ticks).toBe(ticks);
    await world.jobs.resume(jobId);
    await world.untilState(jobId, 'RUNNING');
    await second();
    expect(world.events.ticks).toBeGreaterThan(ticks);
    await world.jobs.pause(jobId);
    await world.jobs.cancel(jobId);
    await world.settle();
    expect(world.events.calls).toEqual([
      `stop ${jobId} paused`,
      `stop ${jobId} paused`,
      `stop ${jobId} ended`,
    ]);
  });

  it.each(['dst', 'src'])(
    'waits while %s has another name, with ON TABLES as well',
    async (name) => {
      const jobId = await world.eventDriven('{"include":["d.*"]}');
      await world.untilState(jobId, 'RUNNING');
      await world.catalog.computeGroups.rename(name, 'elsewhere');
      world.jobs.groupRenamed();
      await world.settle();
      const ticks = world.events.ticks;
      for (let i = 0; i < 3; i += 1) await second();
      expect(world.events.ticks).toBe(ticks);
      expect(world.jobs.board.waitReason(jobId)).toBe(`compute group '${name}' does not exist`);
      expect(world.events.calls).toEqual([`stop ${jobId} paused`]);
      expect(await world.job(jobId)).toMatchObject({ state: 'RUNNING', srcGroup: 'src' });
      await world.catalog.computeGroups.rename('elsewhere', name);
      world.jobs.groupRenamed();
      await second();
      expect(world.events.ticks).toBeGreaterThan(ticks);
      await world.jobs.groupDropped(name);
      expect(await world.job(jobId)).toMatchObject({
        state: 'CANCELLED',
        errMsg: `system cancel: compute group '${name}' was dropped`,
      });
      expect(world.events.calls.at(-1)).toBe(`stop ${jobId} ended`);
    },
  );

  it('that is cancelled in the middle of its turn is stopped once more', async () => {
    const go = Promise.withResolvers<string>();
    const asked = Promise.withResolvers<undefined>();
    const jobId = await world.eventDriven();
    await world.untilState(jobId, 'RUNNING');
    world.events.tick = async () => {
      asked.resolve(undefined);
      return await go.promise;
    };
    world.clock.advance(1000);
    await asked.promise;
    await world.jobs.cancel(jobId);
    go.resolve('too late');
    await world.settle();
    expect(world.events.calls).toEqual([`stop ${jobId} ended`, `stop ${jobId} ended`]);
    expect(world.jobs.board.waitReason(jobId)).toBe('');
  });

  it('is waited for until what was committed before is delivered', async () => {
    const jobId = await world.eventDriven();
    await world.untilState(jobId, 'RUNNING');
    world.events.newest = 7;
    let done = false;
    const { signal } = new AbortController();
    const wait = world.jobs.waitFor(jobId, { signal }).then((job) => {
      done = true;
      return job;
    });
    await world.settle();
    world.events.newest = 9;
    world.events.delivered = 6;
    await second();
    expect(done).toBe(false);
    world.events.delivered = 7;
    await second();
    expect(await wait).toMatchObject({ jobId, state: 'RUNNING' });
  });

  it('is there once for the same rules, and any number of times for others', async () => {
    await world.eventDriven('{"include":["a.*"]}');
    await world.eventDriven('{"include":["b.*"]}');
    await expect(world.eventDriven('{"include":["a.*"]}')).rejects.toMatchObject({
      code: 'WARM_UP_TWIN',
    });
    await expect(world.eventDriven()).rejects.toMatchObject({ code: 'WARM_UP_CONFLICT' });
  });
});
