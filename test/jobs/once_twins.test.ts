/** What makes two one-time jobs the same work is in warm_up_conflicts.test.ts. */
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import type { Catalog } from '../../catalog/catalog.ts';
import type { NewWarmUpJob, WarmUpJob } from '../../catalog/warm_up_jobs.ts';
import { OnceTwins } from '../../jobs/once_twins.ts';
import { CatalogFixture } from '../catalog/fixture.ts';

let fixture: CatalogFixture;
let catalog: Catalog;
let twins: OnceTwins;
beforeEach(async () => {
  fixture = new CatalogFixture();
  catalog = await fixture.open();
  twins = new OnceTwins();
});
afterEach(() => fixture.remove());

const [A, B] = [
  { db: 'd', table: 'a' },
  { db: 'd', table: 'b' },
];
const JOB: NewWarmUpJob = {
  kind: 'TABLE',
  srcGroup: null,
  dstGroup: 'read_group',
  syncMode: 'ONCE',
  syncIntervalS: null,
  syncEvent: null,
  tableFilter: null,
  force: false,
  tables: [A, B],
  epoch: 1,
};

async function idsOf(work: NewWarmUpJob): Promise<readonly number[]> {
  const jobs = await catalog.transaction(async (tx) => await twins.of(tx, work));
  return jobs.map(({ jobId }) => jobId);
}

async function create(job: NewWarmUpJob): Promise<WarmUpJob> {
  const created = await catalog.warmUpJobs.create(job);
  twins.add(created);
  return created;
}

it('knows the jobs of before, those that were added, and not those that are forgotten', async () => {
  const before = await create(JOB);
  await create({ ...JOB, tables: [A] });
  await create({ ...JOB, dstGroup: 'other' });
  await create({ ...JOB, force: true });
  expect(await idsOf({ ...JOB, tables: [B, A, B] })).toEqual([before.jobId]);
  const after = await create(JOB);
  expect(await idsOf(JOB)).toEqual([before.jobId, after.jobId]);
  twins.forget(before);
  expect(await idsOf(JOB)).toEqual([after.jobId]);
  twins.forget(after);
  expect(await idsOf(JOB)).toEqual([]);
});

it('answers them as they are now, and none that is not there any more', async () => {
  const { jobId } = await create(JOB);
  expect(await idsOf(JOB)).toEqual([jobId]);
  await catalog.warmUpJobs.update(jobId, 1, { state: 'CANCELLED', finishMs: 1 });
  const [twin] = await catalog.transaction(async (tx) => await twins.of(tx, JOB));
  expect(twin?.state).toBe('CANCELLED');
  expect(await catalog.warmUpJobs.expire(2, 10)).toBe(1);
  expect(await idsOf(JOB)).toEqual([]);
});
