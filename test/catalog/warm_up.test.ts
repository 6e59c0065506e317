/** Warm-up jobs: the one door, slots, batches, failures, history. */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { id } from '../../base/ids.ts';
import type { BackendId, JobId, TabletId } from '../../base/ids.ts';
import type { Catalog } from '../../catalog/catalog.ts';
import { FAILURES_PER_RUN_MAX } from '../../catalog/warm_up_batches.ts';
import type { NewWarmUpJob } from '../../catalog/warm_up_jobs.ts';
import { CatalogFixture } from './fixture.ts';

let fixture: CatalogFixture;
let catalog: Catalog;
beforeEach(async () => {
  fixture = new CatalogFixture();
  catalog = await fixture.open();
});
afterEach(() => fixture.remove());

const JOB: NewWarmUpJob = {
  kind: 'TABLE',
  srcGroup: null,
  dstGroup: 'read_group',
  syncMode: 'ONCE',
  syncIntervalS: null,
  syncEvent: null,
  tableFilter: null,
  force: true,
  tables: [{ db: 'd', table: 't', partition: 'p' }],
  epoch: 1,
};
const BACKEND = id<BackendId>(7);
const UNKNOWN = id<JobId>(1);

describe('warm-up jobs', () => {
  it('come back as they were created', async () => {
    const job = await catalog.warmUpJobs.create(JOB, { allBytes: 10, allBatch: 2, allTablets: 3 });
    expect(job).toMatchObject({ ...JOB, state: 'PENDING', run: 1, version: 1, allBytes: 10 });
    expect(await catalog.warmUpJobs.find(job.jobId)).toEqual(job);
    catalog = await fixture.reopen(catalog);
    expect(await catalog.warmUpJobs.find(job.jobId)).toEqual(job);
    expect(await catalog.warmUpJobs.find(UNKNOWN)).toBeUndefined();
  });

  it('change through one door, each change recorded, an old version refused', async () => {
    const job = await catalog.warmUpJobs.create(JOB);
    const now = fixture.clock.ms;
    const started = await catalog.warmUpJobs.update(job.jobId, job.version, {
      event: 'slotTaken',
      state: 'RUNNING',
      startMs: now,
    });
    expect(started).toMatchObject({ state: 'RUNNING', version: 2, startMs: now, errMsg: '' });
    const late = catalog.warmUpJobs.update(job.jobId, job.version, { state: 'CANCELLED' });
    await expect(late).rejects.toMatchObject({ code: 'STALE_ROW' });
    const missing = catalog.warmUpJobs.update(UNKNOWN, 1, {});
    await expect(missing).rejects.toMatchObject({ code: 'STALE_ROW' });
    const counted = await catalog.warmUpJobs.update(job.jobId, 2, {
      finishBytes: 5,
      doneTablets: 1,
    });
    expect(counted).toMatchObject({ finishBytes: 5, doneTablets: 1, state: 'RUNNING' });
    await catalog.warmUpJobs.update(job.jobId, 3, {
      event: 'lastBatchFailed',
      detail: '1 of 2 tablets',
      state: 'CANCELLED',
      finishMs: now + 1,
      errMsg: 'failed',
    });
    const transitions = await catalog.warmUpJobs.transitions(job.jobId);
    expect(transitions.map((t) => [t.seq, t.from, t.event, t.to, t.detail])).toEqual([
      [1, 'PENDING', 'created', 'PENDING', ''],
      [2, 'PENDING', 'slotTaken', 'RUNNING', ''],
      [4, 'RUNNING', 'lastBatchFailed', 'CANCELLED', '1 of 2 tablets'],
    ]);
  });

  it('of two changes at once take one', async () => {
    const job = await catalog.warmUpJobs.create(JOB);
    const outcomes = await Promise.allSettled([
      catalog.warmUpJobs.update(job.jobId, 1, { state: 'RUNNING' }),
      catalog.warmUpJobs.update(job.jobId, 1, { state: 'CANCELLED' }),
    ]);
    expect(outcomes.map((outcome) => outcome.status)).toEqual(['fulfilled', 'rejected']);
    expect((await catalog.warmUpJobs.find(job.jobId))?.state).toBe('RUNNING');
  });

  it('hold the slot of their target group with the transition that took it', async () => {
    const one = await catalog.warmUpJobs.create(JOB);
    const two = await catalog.warmUpJobs.create(JOB);
    const take = (jobId: JobId) =>
      catalog.transaction(async (tx) => {
        if (!(await tx.warmUpJobs.takeSlot('read_group', jobId))) return false;
        await tx.warmUpJobs.update(jobId, 1, { state: 'RUNNING', event: 'slotTaken' });
        return true;
      });
    expect([await take(one.jobId), await take(two.jobId)]).toEqual([true, false]);
    expect(await catalog.warmUpJobs.takeSlot('read_group', one.jobId)).toBe(true);
    catalog = await fixture.reopen(catalog);
    expect(await catalog.warmUpJobs.slots()).toEqual(new Map([['read_group', one.jobId]]));
    await catalog.warmUpJobs.releaseSlot(one.jobId);
    await catalog.warmUpJobs.releaseSlot(one.jobId);
    expect(await take(two.jobId)).toBe(true);
  });

  it('are listed anew after every commit, and inside a transaction as it sees them', async () => {
    const job = await catalog.warmUpJobs.create(JOB);
    const state = async () => (await catalog.warmUpJobs.list()).map((one) => one.state);
    const before = await catalog.warmUpJobs.list();
    expect(await catalog.warmUpJobs.list()).toBe(before);
    const rolledBack = catalog.transaction(async (tx) => {
      await tx.warmUpJobs.update(job.jobId, 1, { state: 'CANCELLED', event: 'cancelAsked' });
      expect((await tx.warmUpJobs.list()).map((one) => one.state)).toEqual(['CANCELLED']);
      expect(await state()).toEqual(['PENDING']);
      throw new Error('changed its mind');
    });
    await expect(rolledBack).rejects.toThrow('changed its mind');
    expect(await state()).toEqual(['PENDING']);
    await catalog.warmUpJobs.update(job.jobId, 1, { state: 'RUNNING', event: 'slotTaken' });
    expect(await state()).toEqual(['RUNNING']);
    await catalog.transaction(async (tx) => {
      await tx.warmUpJobs.update(job.jobId, 2, { finishBytes: 7 });
      expect((await tx.warmUpJobs.list()).map((one) => one.finishBytes)).toEqual([7]);
    });
    expect((await catalog.warmUpJobs.list()).map((one) => one.finishBytes)).toEqual([7]);
  });

  it('are read again when they changed, and are the same objects when they did not', async () => {
    const one = await catalog.warmUpJobs.create(JOB);
    const two = await catalog.warmUpJobs.create({ ...JOB, dstGroup: 'other' });
    const [first, second] = await catalog.warmUpJobs.active();
    expect([first, second]).toEqual([one, two]);
    const rolledBack = catalog.transaction(async (tx) => {
      await tx.warmUpJobs.update(one.jobId, 1, { finishBytes: 1 });
      expect((await tx.warmUpJobs.active())[0]?.finishBytes).toBe(1);
      throw new Error('no');
    });
    await expect(rolledBack).rejects.toThrow('no');
    expect((await catalog.warmUpJobs.active())[0]).toBe(first);
    const changed = await catalog.warmUpJobs.update(one.jobId, 1, { finishBytes: 2 });
    const [after, same] = await catalog.warmUpJobs.active();
    expect(after).toEqual(changed);
    expect(same).toBe(second);
    expect(await catalog.warmUpJobs.activeOf('ONCE', null)).toEqual([changed, two]);
    expect(await catalog.warmUpJobs.activeOf('ONCE', null, 'other')).toEqual([two]);
    expect(await catalog.warmUpJobs.activeOf('ONCE', 'g')).toEqual([]);
  });

  it('are listed newest first, active ones oldest first, and expire with all they had', async () => {
    const jobs = [];
    for (let i = 0; i < 3; i += 1) {
      fixture.clock.ms += 1000;
      jobs.push(await catalog.warmUpJobs.create({ ...JOB, dstGroup: `g${i}` }));
    }
    const groups = async (list: Promise<readonly { dstGroup: string }[]>) =>
      (await list).map((job) => job.dstGroup);
    expect(await groups(catalog.warmUpJobs.list())).toEqual(['g2', 'g1', 'g0']);
    // However many newer ones there are, who has not ended is among them.
    expect(await groups(catalog.warmUpJobs.list(1))).toEqual(['g2', 'g1', 'g0']);
    const [first] = jobs;
    if (first === undefined) throw new Error('no job');
    const { jobId } = first;
    await catalog.warmUpBatches.create(jobId, 1, [
      { backendId: BACKEND, batch: 0, totalBytes: 1, tabletIds: [id<TabletId>(1)] },
    ]);
    await catalog.warmUpBatches.addFailures(jobId, 1, [
      { tabletId: id<TabletId>(1), item: 'i', reason: 'r' },
    ]);
    await catalog.warmUpJobs.update(jobId, 1, {
      state: 'FINISHED',
      event: 'done',
      finishMs: fixture.clock.ms,
    });
    expect(await groups(catalog.warmUpJobs.active())).toEqual(['g1', 'g2']);
    expect(await groups(catalog.warmUpJobs.list(1))).toEqual(['g2', 'g1']);
    expect(await catalog.warmUpJobs.expire(fixture.clock.ms, 10)).toBe(0);
    expect(await catalog.warmUpJobs.expire(fixture.clock.ms + 1, 10)).toBe(1);
    expect(await groups(catalog.warmUpJobs.list())).toEqual(['g2', 'g1']);
    for (const table of ['warm_up_batch', 'warm_up_batch_tablet', 'warm_up_failure']) {
      expect([table, fixture.number(`count(*) FROM ${table}`)]).toEqual([table, 0]);
    }
    expect(fixture.number('count(*) FROM job_transition')).toBe(2);
  });
});

describe('warm-up batches', () => {
  const tabletIds = Array.from({ length: 20_000 }, (_, i) => id<TabletId>(2 ** 40 + i * 3));

  it('keep their tablets in order, however many', async () => {
    const { jobId } = await catalog.warmUpJobs.create(JOB);
    const key = { jobId, run: 1, backendId: BACKEND, batch: 0 };
    await catalog.warmUpBatches.create(jobId, 1, [
      { backendId: BACKEND, batch: 0, totalBytes: 2 ** 40, tabletIds },
      { backendId: BACKEND, batch: 1, totalBytes: 0, tabletIds: [] },
    ]);
    expect(await catalog.warmUpBatches.tablets(key)).toEqual(tabletIds);
    expect(await catalog.warmUpBatches.tablets({ ...key, batch: 1 })).toEqual([]);
    expect(await catalog.warmUpBatches.find(key)).toMatchObject({
      ...key,
      state: 'PENDING',
      totalBytes: 2 ** 40,
      totalTablets: 20_000,
      attempts: 0,
    });
  });

  it('change guarded by their version', async () => {
    const { jobId } = await catalog.warmUpJobs.create(JOB);
    await catalog.warmUpBatches.create(jobId, 1, [
      { backendId: BACKEND, batch: 0, totalBytes: 5, tabletIds: tabletIds.slice(0, 2) },
      { backendId: BACKEND, batch: 1, totalBytes: 5, tabletIds: tabletIds.slice(2, 4) },
    ]);
    const key = { jobId, run: 1, backendId: BACKEND, batch: 0 };
    await catalog.warmUpBatches.update(key, 1, { state: 'SENT', attempts: 1 });
    const done = await catalog.warmUpBatches.update(key, 2, { state: 'DONE', doneBytes: 5 });
    expect(done).toMatchObject({ state: 'DONE', attempts: 1, doneBytes: 5, version: 3 });
    const late = catalog.warmUpBatches.update(key, 2, { state: 'PENDING' });
    await expect(late).rejects.toMatchObject({ code: 'STALE_ROW' });
    const open = await catalog.warmUpBatches.ofRun(jobId, 1, 'open');
    expect(open.map((batch) => batch.batch)).toEqual([1]);
    expect(await catalog.warmUpBatches.ofRun(jobId, 1)).toHaveLength(2);
  });

  it('move to other backends whole', async () => {
    const { jobId } = await catalog.warmUpJobs.create(JOB);
    const ids = tabletIds.slice(0, 4);
    await catalog.warmUpBatches.create(jobId, 1, [
      { backendId: BACKEND, batch: 0, totalBytes: 5, tabletIds: ids },
    ]);
    const other = id<BackendId>(8);
    await catalog.warmUpBatches.move({ jobId, run: 1, backendId: BACKEND, batch: 0 }, [
      { backendId: other, batch: 0, totalBytes: 5, tabletIds: ids },
    ]);
    const batches = await catalog.warmUpBatches.ofRun(jobId, 1);
    expect(batches.map((batch) => batch.backendId)).toEqual([other]);
    const [batch] = batches;
    expect(batch === undefined ? [] : await catalog.warmUpBatches.tablets(batch)).toEqual(ids);
  });

  it('keep failures by name up to a limit', async () => {
    const { jobId } = await catalog.warmUpJobs.create(JOB);
    const failures = Array.from({ length: 4000 }, (_, i) => ({
      tabletId: id<TabletId>(i),
      item: `data/${i}`,
      reason: 'gone',
    }));
    const kept = [];
    for (let i = 0; i < 3; i += 1) {
      kept.push(await catalog.warmUpBatches.addFailures(jobId, 1, failures));
    }
    expect(kept).toEqual([4000, 4000, FAILURES_PER_RUN_MAX - 8000]);
    expect(await catalog.warmUpBatches.failures(jobId, 1, 2)).toEqual(failures.slice(0, 2));
    expect(await catalog.warmUpBatches.failures(jobId, 2, 2)).toEqual([]);
  });
});
