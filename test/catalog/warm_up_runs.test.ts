/** Runs of warm-up jobs, and what became of jobs from before there were runs. */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { join } from 'node:path';
import { id } from '../../base/ids.ts';
import type { BackendId, JobId, TabletId } from '../../base/ids.ts';
import type { Catalog } from '../../catalog/catalog.ts';
import { MIGRATIONS, migrate } from '../../catalog/migrator.ts';
import type { WarmUpOutcome } from '../../catalog/rows.ts';
import { SqliteConnection } from '../../catalog/sqlite_connection.ts';
import type { NewWarmUpJob, WarmUpJob } from '../../catalog/warm_up_jobs.ts';
import { CatalogFixture } from './fixture.ts';

const JOB: NewWarmUpJob = {
  kind: 'CLUSTER',
  srcGroup: 'a',
  dstGroup: 'b',
  syncMode: 'PERIODIC',
  syncIntervalS: 60,
  syncEvent: null,
  tableFilter: null,
  force: false,
  tables: [],
  epoch: 1,
};

describe('runs of warm-up jobs', () => {
  let fixture: CatalogFixture;
  let catalog: Catalog;
  beforeEach(async () => {
    fixture = new CatalogFixture();
    catalog = await fixture.open();
  });
  afterEach(() => fixture.remove());

  const start = async (jobId: JobId, run: number): Promise<WarmUpJob> => {
    const job = await catalog.warmUpJobs.find(jobId);
    if (job === undefined) throw new Error('a job expected');
    const startMs = fixture.clock.ms;
    const after = await catalog.warmUpJobs.update(jobId, job.version, {
      state: 'RUNNING',
      run,
      startMs,
    });
    await catalog.warmUpRuns.begin(after);
    return after;
  };
  const end = async (job: WarmUpJob, outcome: WarmUpOutcome, reason: string): Promise<void> => {
    const endMs = fixture.clock.ms;
    await catalog.warmUpRuns.end(job, { endMs, outcome, reason, counts: job });
  };

  it('show what their job counts while they go on, and what it had counted afterwards', async () => {
    const { jobId } = await catalog.warmUpJobs.create(JOB);
    const started = await start(jobId, 1);
    const counted = await catalog.warmUpJobs.update(jobId, started.version, {
      allTablets: 9,
      doneTablets: 4,
      failedTablets: 1,
    });
    const going = { outcome: 'RUNNING', endMs: null, reason: '', doneTablets: 4, allTablets: 9 };
    expect(await catalog.warmUpRuns.find(jobId, 1)).toMatchObject(going);
    expect(await catalog.warmUpRuns.list({ jobId })).toMatchObject([going]);
    await end(counted, 'FAILED', '1 of 9 failed');
    await start(jobId, 2);
    await end(counted, 'FINISHED', 'an end has no second');
    expect(await catalog.warmUpRuns.find(jobId, 1)).toMatchObject({
      outcome: 'FAILED',
      reason: '1 of 9 failed',
      endMs: fixture.clock.ms,
      failedTablets: 1,
    });
    expect(await catalog.warmUpRuns.find(jobId, 3)).toBeUndefined();
  });

  it('are listed newest first, of one job or of all, as many as asked for', async () => {
    const first = await catalog.warmUpJobs.create(JOB);
    const second = await catalog.warmUpJobs.create(JOB);
    for (const [jobId, run] of [
      [first.jobId, 1],
      [second.jobId, 1],
      [first.jobId, 2],
    ] as const) {
      fixture.clock.ms += 1000;
      await end(await start(jobId, run), 'FINISHED', '');
    }
    const listed = async (filter: Parameters<typeof catalog.warmUpRuns.list>[0]) =>
      (await catalog.warmUpRuns.list(filter)).map(({ jobId, run }) => [jobId, run]);
    expect(await listed({})).toEqual([
      [first.jobId, 2],
      [second.jobId, 1],
      [first.jobId, 1],
    ]);
    expect(await listed({ jobId: second.jobId })).toEqual([[second.jobId, 1]]);
    expect(await listed({ limit: 1 })).toEqual([[first.jobId, 2]]);
  });

  it('go by number and by age with what failed in them, but never while they go on', async () => {
    const { jobId } = await catalog.warmUpJobs.create(JOB);
    const tabletId = id<TabletId>(5);
    for (let run = 1; run <= 5; run += 1) {
      const job = await start(jobId, run);
      await catalog.warmUpBatches.addFailures(jobId, run, [{ tabletId, item: 'x', reason: 'y' }]);
      if (run < 5) await end(job, 'FAILED', 'y');
      fixture.clock.ms += 1000;
    }
    const left = async (): Promise<number[]> =>
      (await catalog.warmUpRuns.list({ jobId })).map((run) => run.run);
    expect(await catalog.warmUpRuns.expire(jobId, 2, 0)).toBe(2);
    expect(await left()).toEqual([5, 4, 3]);
    const failed = await catalog.warmUpRuns.failures({ jobId });
    expect(failed.map(({ run, item, reason }) => [run, item, reason])).toEqual([
      [5, 'x', 'y'],
      [4, 'x', 'y'],
      [3, 'x', 'y'],
    ]);
    await catalog.warmUpRuns.expireFailures(jobId, 3);
    expect(await catalog.warmUpRuns.failures({ jobId, limit: 9 })).toHaveLength(2);
    expect(await catalog.warmUpRuns.expire(jobId, 0, fixture.clock.ms + 1)).toBe(2);
    expect(await left()).toEqual([5]);
  });

  it('hand their work to the next one: what is done stays so', async () => {
    const { jobId } = await catalog.warmUpJobs.create(JOB);
    const backendId = id<BackendId>(7);
    const tabletIds = [1, 2, 3].map((n) => id<TabletId>(n));
    const batches = tabletIds.map((tabletId, batch) => ({
      backendId,
      batch,
      totalBytes: 1,
      tabletIds: [tabletId],
    }));
    await catalog.warmUpBatches.create(jobId, 1, batches);
    const [done, sent] = await catalog.warmUpBatches.ofRun(jobId, 1);
    if (done === undefined || sent === undefined) throw new Error('batches expected');
    await catalog.warmUpBatches.update(done, done.version, { state: 'DONE' });
    await catalog.warmUpBatches.update(sent, sent.version, { state: 'SENT' });
    await catalog.warmUpBatches.renumber(jobId, 1, 2);
    expect(await catalog.warmUpBatches.runsWithWork()).toEqual([{ jobId, run: 2 }]);
    const moved = await catalog.warmUpBatches.ofRun(jobId, 2);
    expect(moved.map((batch) => batch.state)).toEqual(['DONE', 'PENDING', 'PENDING']);
    const [, second] = moved;
    if (second !== undefined) expect(await catalog.warmUpBatches.tablets(second)).toEqual([2]);
    await catalog.warmUpBatches.deleteRun(jobId, 2);
    expect(await catalog.warmUpBatches.runsWithWork()).toEqual([]);
    expect(fixture.number('count(*) FROM warm_up_batch_tablet')).toBe(0);
  });
});

describe('jobs from before there were runs', () => {
  it('have the one run that they had', async () => {
    const fixture = new CatalogFixture();
    const file = join(fixture.dir, 'catalog.db');
    const connection = new SqliteConnection(file, 'write');
    try {
      migrate(connection, file, 1, MIGRATIONS.slice(0, 1));
      const old: readonly (readonly [number, string, number | null, string])[] = [
        [1, 'PENDING', null, ''],
        [2, 'RUNNING', 5, ''],
        [3, 'FINISHED', 5, ''],
        [4, 'CANCELLED', 5, 'user cancel'],
        [5, 'CANCELLED', 5, 'Timeout'],
        [6, 'CANCELLED', 5, '1 of 2 tablets failed: x: y'],
        [7, 'CANCELLED', 5, "system cancel: compute group 'b' was dropped"],
      ];
      for (const [jobId, state, startMs, errMsg] of old) {
        connection.run(
          `INSERT INTO warm_up_job VALUES (?, 'TABLE', NULL, 'b', 'ONCE', NULL, NULL, NULL, ?, 0,
             '[]', 1, 1, 3, 4, ?, NULL, ?, 1, 1, 2, 2, 2, 3, 3, 3, 3)`,
          [jobId, state, startMs, errMsg],
        );
      }
      migrate(connection, file, 2);
    } finally {
      connection.close();
    }
    try {
      const catalog = await fixture.open();
      expect(await catalog.warmUpJobs.list()).toHaveLength(7);
      const runs = (await catalog.warmUpRuns.list()).toReversed();
      expect(runs.map(({ jobId, outcome }) => [jobId, outcome])).toEqual([
        [2, 'RUNNING'],
        [3, 'FINISHED'],
        [4, 'CANCELLED'],
        [5, 'TIMEOUT'],
        [6, 'FAILED'],
        [7, 'CANCELLED'],
      ]);
      expect(await catalog.warmUpJobs.find(id<JobId>(2))).toMatchObject({
        state: 'RUNNING',
        startAsked: false,
        failedTablets: 3,
      });
      const refused = (state: string) => () =>
        fixture.raw((db) => db.prepare('UPDATE warm_up_job SET state = ?').run(state));
      expect(refused('PAUSED')).not.toThrow();
      expect(refused('SLEEPING')).toThrow('CHECK');
    } finally {
      await fixture.remove();
    }
  });
});
