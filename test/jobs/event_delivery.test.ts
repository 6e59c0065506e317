import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { JobId } from '../../base/ids.ts';
import { segmentKey } from '../../base/schema.ts';
import { createTable } from '../catalog/fixture.ts';
import { type EventBackend, EventWorld } from './event_world.ts';

const TABLETS = 8;

describe('event delivery', () => {
  let world: EventWorld;
  beforeEach(async () => {
    world = await EventWorld.create();
  });
  afterEach(async () => {
    await world.remove();
  });

  const dst = async (): Promise<[EventBackend, EventBackend]> => {
    const [first, second] = await world.membersOf('dst');
    if (first === undefined || second === undefined) throw new Error('two backends expected');
    return [first, second];
  };
  const targets = (jobId: JobId) => world.catalog.eventCursors.targets(jobId);
  const lastSeq = (): number => world.catalog.rowsetEvents.lastSeq('src');
  const log = () => world.catalog.rowsetEvents.after('src', 0, 1000);
  const untilAcked = async (jobId: JobId): Promise<void> => {
    await world.until(() => {
      const all = targets(jobId);
      return all.every((target) => target.state === 'LIVE' && target.ackedSeq === lastSeq());
    });
  };
  const count = (jobId: JobId) => {
    const { requested, finished, failed } = world.stats.windows(jobId).windows['5m'];
    return [requested.segNum, finished.segNum, failed.segNum];
  };

  it('warms what is committed, without waiting for a tick, and nothing from before', async () => {
    await world.load();
    const jobId = await world.job();
    const old = (await world.missing()).length;
    expect(old).toBe(TABLETS);
    await world.load();
    await world.settle();
    expect(await world.missing()).toHaveLength(old);
    expect(count(jobId)).toEqual([TABLETS, TABLETS, 0]);
    await untilAcked(jobId);
    expect(log()).toEqual([]);
    expect(world.holds.size).toBe(0);
  });

  it('joins events that came while batches were under way', async () => {
    const jobId = await world.job();
    const [first, second] = await dst();
    first.isSlow = true;
    second.isSlow = true;
    for (let load = 0; load < 50; load += 1) await world.load();
    await world.settle();
    first.isSlow = false;
    second.isSlow = false;
    await world.untilWarm();
    await untilAcked(jobId);
    expect(first.dispatched.length + second.dispatched.length).toBeLessThan(30);
    expect(count(jobId)).toEqual([50 * TABLETS, 50 * TABLETS, 0]);
  });

  it('tells which commit each rowset is of', async () => {
    await world.job();
    await world.load();
    await world.settle();
    const [{ dispatched }] = await dst();
    const rowsets = dispatched[0]?.tablets.flatMap((tablet) => tablet.rowsets) ?? [];
    expect(dispatched[0]?.event?.triggersMs).toEqual(rowsets.map(() => world.fixture.clock.ms));
  });

  it('catches up a backend that was down, and lets another one serve meanwhile', async () => {
    const jobId = await world.job();
    const [dead, other] = await dst();
    world.down(dead);
    await world.load();
    await world.untilWarm();
    expect(other.cache.size).toBe(TABLETS);
    expect(await world.tick()).toBe(`backend ${dead.backendId}: no heartbeat`);
    expect(log()).toHaveLength(1);
    world.up(dead);
    await world.untilWarm();
    await untilAcked(jobId);
    expect(log()).toEqual([]);
    expect(count(jobId)).toEqual([TABLETS, TABLETS, 0]);
  });

  it('gives others what a backend had not done when it died', async () => {
    await world.job();
    const [dead, other] = await dst();
    dead.isSlow = true;
    await world.load();
    await world.settle();
    world.down(dead);
    await world.untilWarm();
    expect(other.cache.size).toBe(TABLETS);
  });

  it('does it again when a reply was lost, and the backend does nothing twice', async () => {
    const jobId = await world.job();
    const [first, second] = await dst();
    first.losesReplies = true;
    for (let load = 0; load < 10; load += 1) await world.load();
    for (let tick = 0; tick < 3; tick += 1) await world.tick();
    expect(targets(jobId).map((target) => target.ackedSeq)).toContain(0);
    first.losesReplies = false;
    await untilAcked(jobId);
    expect(await world.missing()).toEqual([]);
    expect(first.downloads + second.downloads).toBe(10 * TABLETS);
    expect(count(jobId)).toEqual([10 * TABLETS, 10 * TABLETS, 0]);
  });

  it('does it again when a backend restarted in the middle', async () => {
    await world.job();
    const [first] = await dst();
    first.isSlow = true;
    await world.load();
    await world.settle();
    first.isSlow = false;
    first.restart();
    await world.untilWarm();
  });

  it('goes on after a restart of the server, at any point', async () => {
    const jobId = await world.job();
    const [first, second] = await dst();
    for (let load = 0; load < 5; load += 1) await world.load();
    await world.restartServer();
    first.isSlow = true;
    for (let load = 0; load < 5; load += 1) await world.load();
    await world.tick();
    await world.restartServer();
    first.isSlow = false;
    await world.load();
    await world.untilWarm();
    await untilAcked(jobId);
    expect(first.downloads + second.downloads).toBe(11 * TABLETS);
    expect(count(jobId)[0]).toBe(count(jobId)[1]);
  });

  it('delivers once more what was not stored as acknowledged when the server died', async () => {
    const jobId = await world.job();
    const stored = targets(jobId);
    for (let load = 0; load < 3; load += 1) await world.load();
    await world.settle();
    await world.delivery.close();
    await world.catalog.eventCursors.save(stored);
    await world.restartServer();
    await untilAcked(jobId);
    expect(await world.missing()).toEqual([]);
    const [first, second] = await dst();
    expect(first.downloads + second.downloads).toBe(3 * TABLETS);
    expect(count(jobId)).toEqual([3 * TABLETS, 3 * TABLETS, 0]);
  });

  it('forgets jobs that ended while nobody could say so', async () => {
    const jobId = await world.job();
    await world.load();
    await world.move(jobId, 'CANCELLED');
    await world.restartServer();
    await world.until(() => world.catalog.eventCursors.start(jobId) === undefined);
    expect(log()).toEqual([]);
  });

  it('brings a backend that joins what the job has delivered so far, and no more', async () => {
    await world.load();
    const jobId = await world.job();
    const old = await world.missing();
    for (let load = 0; load < 3; load += 1) await world.load();
    await untilAcked(jobId);
    const joined = await world.addBackend('dst');
    await world.tick();
    await untilAcked(jobId);
    expect(joined.cache.size).toBeGreaterThan(0);
    expect(joined.cache.size % 3).toBe(0);
    expect((await world.missing()).every((key) => old.includes(key))).toBe(true);
    expect(await world.missing()).toHaveLength(old.length);
    expect(count(jobId)[0]).toBe(count(jobId)[1]);
  });

  it('brings it also what began before the job and ended after', async () => {
    const older = await world.catalog.eventCursors.newestTxn();
    const jobId = await world.job();
    const txnId = await world.load();
    world.fixture.raw((db) => {
      db.prepare('UPDATE rowset SET txn_id = ? WHERE txn_id = ?').run(older, txnId);
      db.prepare('UPDATE rowset_event SET txn_id = ? WHERE txn_id = ?').run(older, txnId);
    });
    await untilAcked(jobId);
    await world.restartServer();
    const joined = await world.addBackend('dst');
    await world.tick();
    await untilAcked(jobId);
    expect(joined.cache.size).toBeGreaterThan(0);
    expect(await world.missing()).toEqual([]);
  });

  it('hands over what a dropped backend had not done', async () => {
    const jobId = await world.job();
    const [first] = await dst();
    first.isSlow = true;
    for (let load = 0; load < 3; load += 1) await world.load();
    await world.settle();
    await world.dropBackend(first);
    await world.untilWarm();
    await untilAcked(jobId);
    expect(targets(jobId)).toHaveLength(1);
    expect(log()).toEqual([]);
  });

  it('hands over also when the server restarts before it is done', async () => {
    const jobId = await world.job();
    const [first, second] = await dst();
    first.isSlow = true;
    for (let load = 0; load < 3; load += 1) await world.load();
    await untilSecondIsPast(jobId, second);
    second.isSlow = true;
    await world.dropBackend(first);
    await world.tick();
    await world.restartServer();
    second.isSlow = false;
    await world.untilWarm();
    await untilAcked(jobId);
  });
  const untilSecondIsPast = async (jobId: JobId, second: EventBackend): Promise<void> => {
    await world.until(
      () => targets(jobId).find((t) => t.backendId === second.backendId)?.ackedSeq === 3,
    );
  };

  it('catches up from the catalog when it is too far behind for the log', async () => {
    world.config.setLive('warm_up_event_backlog_max', '100');
    const jobId = await world.job();
    const [first] = await dst();
    await world.load();
    await world.settle();
    world.down(first);
    for (let load = 0; load < 130; load += 1) await world.load();
    await world.tick();
    await world.tick();
    expect(targets(jobId).find((t) => t.backendId === first.backendId)?.state).toBe('CATCHING_UP');
    await world.until(() => log().length === 0);
    await world.restartServer();
    world.up(first);
    await world.untilWarm();
    await untilAcked(jobId);
  });

  it('keeps the log while the target has another name, and goes on afterwards', async () => {
    const jobId = await world.job();
    await world.catalog.computeGroups.rename('dst', 'away');
    await world.load();
    const reason = await world.tick();
    expect(reason).toBe("compute group 'dst' does not exist");
    expect(targets(jobId)).toHaveLength(2);
    await world.catalog.computeGroups.rename('away', 'dst');
    await world.untilWarm();
    await untilAcked(jobId);
  });

  it('has nothing to do while the source has another name, and says so', async () => {
    await world.job();
    await world.catalog.computeGroups.rename('src', 'away');
    await world.load('t', 'away');
    expect(await world.tick()).toBe("compute group 'src' does not exist");
    expect(await world.missing()).toHaveLength(TABLETS);
    await world.catalog.computeGroups.rename('away', 'src');
    await world.load();
    await world.until(async () => (await world.missing()).length === TABLETS);
  });

  it('follows the name to another group', async () => {
    const jobId = await world.job();
    await world.load();
    await untilAcked(jobId);
    await world.catalog.computeGroups.rename('dst', 'away');
    await world.catalog.computeGroups.create('dst');
    await world.addBackend('dst');
    await world.load();
    await world.untilWarm();
    await untilAcked(jobId);
    expect(targets(jobId)).toHaveLength(1);
  });

  it('sends nothing while it is paused, and everything afterwards', async () => {
    const jobId = await world.job();
    const [first, second] = await dst();
    first.isSlow = true;
    await world.load();
    await world.settle();
    await world.delivery.stop(await world.move(jobId, 'PAUSED'), 'paused');
    await world.settle();
    expect(first.running).toBe(0);
    first.isSlow = false;
    const sent = first.dispatched.length + second.dispatched.length;
    await world.load();
    await world.tick();
    expect(first.dispatched.length + second.dispatched.length).toBe(sent);
    await world.move(jobId, 'RUNNING');
    await world.untilWarm();
    await untilAcked(jobId);
  });

  it('does not let the log grow without end for a paused job', async () => {
    world.config.setLive('warm_up_event_backlog_max', '100');
    const jobId = await world.job();
    await world.delivery.stop(await world.move(jobId, 'PAUSED'), 'paused');
    for (let load = 0; load < 500; load += 1) await world.load();
    await world.until(() => log().length === 0);
    await world.move(jobId, 'RUNNING');
    await world.untilWarm();
  });

  it('stops within the second when it is cancelled, and forgets its cursors', async () => {
    const jobId = await world.job();
    const [first] = await dst();
    first.isSlow = true;
    await world.load();
    await world.settle();
    expect(first.running).toBe(1);
    await world.delivery.stop(await world.move(jobId, 'CANCELLED'), 'ended');
    await world.settle();
    expect(first.running).toBe(0);
    expect(targets(jobId)).toEqual([]);
    expect(log()).toEqual([]);
    await world.load();
    expect(log()).toEqual([]);
  });

  it('keeps no log without end for a job that has not begun', async () => {
    world.config.setLive('warm_up_event_backlog_max', '100');
    const jobId = await world.job({ dst: 'later' });
    expect(targets(jobId)).toEqual([]);
    world.fixture.raw((db) => db.prepare('DELETE FROM warm_up_event_job').run());
    for (let load = 0; load < 500; load += 1) await world.load();
    await world.until(() => log().length === 0);
    await world.catalog.computeGroups.create('later');
    await world.addBackend('later');
    await world.untilWarm('t', 'later');
    await untilAcked(jobId);
  });

  it('warms a load of very many rowsets in batches', async () => {
    await createTable(world.catalog, 'wide', 4, 300);
    const jobId = await world.job();
    await world.load('wide');
    await world.untilWarm('wide');
    await untilAcked(jobId);
    const [first, second] = await dst();
    const sizes = [first, second].flatMap(({ dispatched }) =>
      dispatched.map(({ tablets }) => tablets.length),
    );
    expect(Math.max(...sizes)).toBeLessThanOrEqual(750);
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(1200);
    expect(count(jobId)).toEqual([1200, 1200, 0]);
  });

  it('delivers only the tables of its filter, by their names at the commit', async () => {
    await createTable(world.catalog, 'tmp_a', 1, 4);
    const jobId = await world.job({ filter: '{"include":["d.*"],"exclude":["d.tmp_*"]}' });
    await world.load();
    await world.load('tmp_a');
    await world.untilWarm();
    expect(await world.missing('tmp_a')).toHaveLength(4);
    expect(count(jobId)[0]).toBe(TABLETS);
    const table = await world.catalog.tables.get('d', 'tmp_a');
    await world.catalog.tables.rename(table.tableId, 'a');
    await world.load('a');
    await world.until(async () => (await world.missing('a')).length === 4);
    await untilAcked(jobId);
  });

  it('does not wait for what was superseded', async () => {
    const jobId = await world.job();
    const [first, second] = await dst();
    first.isSlow = true;
    second.isSlow = true;
    const txnId = await world.load();
    await world.settle();
    world.fixture.raw((db) => db.prepare('DELETE FROM rowset WHERE txn_id = ?').run(txnId));
    for (const backend of [first, second]) {
      for (const { tablets } of backend.dispatched) {
        for (const { tabletId, rowsets } of tablets) {
          for (const rowset of rowsets) {
            const key = segmentKey(tabletId, rowset.rowsetId, 0);
            backend.broken.set(key, { reason: 'there is no such object', transient: false });
          }
        }
      }
      backend.isSlow = false;
    }
    await untilAcked(jobId);
    expect(count(jobId)).toEqual([0, 0, 0]);
    expect(await world.catalog.warmUpRuns.failures({ jobId })).toEqual([]);
  });

  it('lists what failed for good, goes on, and tries it again when asked', async () => {
    const jobId = await world.job();
    const [first] = await dst();
    first.isSlow = true;
    await world.load();
    await world.settle();
    const tablet = first.dispatched[0]?.tablets[0];
    const rowset = tablet?.rowsets[0];
    if (tablet === undefined || rowset === undefined) throw new Error('nothing was sent');
    const key = segmentKey(tablet.tabletId, rowset.rowsetId, 0);
    first.broken.set(key, { reason: 'there is no room', transient: false });
    first.isSlow = false;
    await untilAcked(jobId);
    expect(await world.catalog.warmUpRuns.failures({ jobId })).toMatchObject([
      { tabletId: tablet.tabletId, item: key, reason: 'there is no room' },
    ]);
    expect(count(jobId)).toEqual([TABLETS, TABLETS - 1, 1]);
    expect(await world.missing()).toEqual([key]);
    const { eventCursors } = world.catalog;
    const what = `${key}: there is no room`;
    expect(eventCursors.notWarm(jobId)).toEqual({ tablets: 1, first: what });
    // What is there stays on the list, however old; what was replaced is only history.
    await eventCursors.forgetGone(jobId, Infinity);
    expect(eventCursors.notWarm(jobId).tablets).toBe(1);
    first.broken.clear();
    expect(await world.delivery.retryFailed(jobId)).toBe(1);
    await world.untilWarm();
    expect(await world.catalog.warmUpRuns.failures({ jobId })).toEqual([]);
    expect(eventCursors.notWarm(jobId)).toEqual({ tablets: 0, first: '' });
    const replaced = { ...tablet, item: `data/1/${'0'.repeat(32)}_0.dat`, reason: 'no room' };
    await world.catalog.warmUpBatches.addFailures(jobId, 1, [replaced]);
    expect(eventCursors.notWarm(jobId).tablets).toBe(0);
    await eventCursors.forgetGone(jobId, 0);
    expect(await world.catalog.warmUpRuns.failures({ jobId })).toHaveLength(1);
    await eventCursors.forgetGone(jobId, Infinity);
    expect(await world.catalog.warmUpRuns.failures({ jobId })).toEqual([]);
    await untilAcked(jobId);
  });

  it('tries again for ever what may pass, and lets the rest go on', async () => {
    const jobId = await world.job();
    const [first] = await dst();
    first.isSlow = true;
    await world.load();
    await world.settle();
    const tablet = first.dispatched[0]?.tablets[0];
    const rowset = tablet?.rowsets[0];
    if (tablet === undefined || rowset === undefined) throw new Error('nothing was sent');
    const key = segmentKey(tablet.tabletId, rowset.rowsetId, 0);
    first.broken.set(key, { reason: '503', transient: true });
    first.isSlow = false;
    for (let load = 0; load < 20; load += 1) await world.load();
    for (let tick = 0; tick < 30; tick += 1) await world.tick();
    expect(await world.missing()).toEqual([key]);
    expect(await world.catalog.warmUpRuns.failures({ jobId })).toEqual([]);
    expect(first.dispatched.length).toBeLessThan(40);
    first.broken.clear();
    await untilAcked(jobId);
    expect(await world.missing()).toEqual([]);
  });

  it('two jobs to one target: each counts its own, nothing is downloaded twice', async () => {
    const one = await world.job();
    const two = await world.job({ filter: '{"include":["d.t"]}' });
    for (let load = 0; load < 5; load += 1) await world.load();
    await world.untilWarm();
    await untilAcked(one);
    await untilAcked(two);
    expect(count(one)).toEqual([5 * TABLETS, 5 * TABLETS, 0]);
    expect(count(two)).toEqual(count(one));
    const [first, second] = await dst();
    expect(first.downloads + second.downloads).toBe(5 * TABLETS);
  });

  it('a later job does not get the events of before', async () => {
    const one = await world.job();
    const [first] = await dst();
    world.down(first);
    await world.load();
    world.fixture.clock.ms += 1000;
    await world.catalog.computeGroups.create('third');
    await world.addBackend('third');
    const two = await world.job({ dst: 'third' });
    await world.load();
    await world.until(() => targets(two).every((target) => target.ackedSeq === 2));
    expect(await world.missing('t', 'third')).toHaveLength(TABLETS);
    expect(count(one)[0]).toBe(2 * TABLETS);
    expect(count(two)[0]).toBe(TABLETS);
  });
});
