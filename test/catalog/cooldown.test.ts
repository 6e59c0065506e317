/** Leads and cooldown jobs in the catalog. */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { type BackendId, type ReplicaId, type TabletId, id } from '../../base/ids.ts';
import type { Catalog } from '../../catalog/catalog.ts';
import type { Election, NewCooldownJob } from '../../catalog/cooldown.ts';
import { CatalogFixture } from './fixture.ts';

let fixture: CatalogFixture;
let catalog: Catalog;

beforeEach(async () => {
  fixture = new CatalogFixture();
  catalog = await fixture.open();
});
afterEach(async () => {
  await fixture.remove();
});

const lead = (replica: number, term: number) => ({ replicaId: id<ReplicaId>(replica), term });
const conf = (tablet: number, replica: number, term: number) => ({
  tabletId: id<TabletId>(tablet),
  ...lead(replica, term),
});
const election = (
  tablet: number,
  before: ReturnType<typeof lead> | undefined,
  after: ReturnType<typeof lead>,
): Election => ({ tabletId: id<TabletId>(tablet), before, after });

async function create(job: Partial<NewCooldownJob>) {
  const empty = { elections: [], pushes: [], reason: 'test', timeoutMs: 600_000 };
  return catalog.cooldown.create({ ...empty, ...job });
}

describe('an election', () => {
  it('is one transaction with its job, and survives a restart', async () => {
    const made = await create({ elections: [election(1, undefined, lead(11, 1))] });
    expect(made).toMatchObject({
      state: 'PENDING',
      tablets: 1,
      elected: 1,
      confs: [conf(1, 11, 1)],
    });
    expect(catalog.cooldown.lead(id(1))).toEqual(lead(11, 1));
    catalog = await fixture.reopen(catalog);
    expect(catalog.cooldown.lead(id(1))).toEqual(lead(11, 1));
    expect(await catalog.cooldown.active()).toEqual([made]);
  });

  it('is refused for a tablet whose lead has changed; the others are elected', async () => {
    await create({ elections: [election(1, undefined, lead(11, 1))] });
    const second = await create({
      elections: [
        election(1, undefined, lead(12, 1)),
        election(1, lead(11, 3), lead(12, 4)),
        election(2, undefined, lead(21, 1)),
      ],
    });
    expect(second?.confs).toEqual([conf(2, 21, 1)]);
    expect(catalog.cooldown.lead(id(1))).toEqual(lead(11, 1));
    const third = await create({ elections: [election(1, undefined, lead(12, 9))] });
    expect(third).toBeUndefined();
    expect(await catalog.cooldown.list()).toHaveLength(2);
  });

  it('is refused for a replica that has missed a load since it was chosen', async () => {
    const [first, second] = await catalog.replicas.add(
      [1, 2].map((backend) => ({
        tabletId: id<TabletId>(1),
        backendId: id<BackendId>(backend),
        state: 'CREATING' as const,
      })),
    );
    if (first === undefined || second === undefined) throw new Error('no replicas');
    await catalog.replicas.markMissing(first, { from: 2, to: 2 });
    const to = (replicaId: ReplicaId) => [election(1, undefined, lead(replicaId, 1))];
    expect(await create({ elections: to(first.replicaId) })).toBeUndefined();
    expect(catalog.cooldown.lead(id(1))).toBeUndefined();
    expect((await create({ elections: to(second.replicaId) }))?.elected).toBe(1);
  });

  it('never lowers a term', async () => {
    await create({ elections: [election(1, undefined, lead(11, 5))] });
    await expect(create({ elections: [election(1, lead(11, 5), lead(12, 5))] })).rejects.toThrow(
      'does not rise',
    );
    await create({ elections: [election(1, lead(11, 5), lead(12, 8))] });
    expect(catalog.cooldown.lead(id(1))).toEqual(lead(12, 8));
  });

  it('that fails leaves nothing behind', async () => {
    const bad = [election(1, undefined, lead(11, 1)), election(2, lead(21, 3), lead(22, 3))];
    await expect(create({ elections: bad })).rejects.toThrow('does not rise');
    expect(catalog.cooldown.lead(id(1))).toBeUndefined();
    expect(fixture.number('count(*) FROM tablet_lead')).toBe(0);
    expect(await catalog.cooldown.list()).toEqual([]);
  });
});

describe('a job', () => {
  it('pushes only what is the lead', async () => {
    await create({ elections: [election(1, undefined, lead(11, 1))] });
    const job = await create({ pushes: [conf(1, 11, 1), conf(1, 12, 1), conf(2, 21, 1)] });
    expect(job).toMatchObject({ tablets: 1, elected: 0, confs: [conf(1, 11, 1)] });
  });

  it('moves once from each version', async () => {
    const job = await create({ elections: [election(1, undefined, lead(11, 1))] });
    if (job === undefined) throw new Error('no job');
    const sent = await catalog.cooldown.move(job, 'activated', 'SEND_CONF');
    expect(sent).toMatchObject({ state: 'SEND_CONF', version: 2, startMs: fixture.clock.ms });
    await expect(catalog.cooldown.move(job, 'cancelAsked', 'CANCELLED')).rejects.toThrow(
      'changed by somebody else',
    );
    const ended = await catalog.cooldown.move(sent, 'cancelAsked', 'CANCELLED', 'user cancel');
    expect(ended).toMatchObject({ finishMs: fixture.clock.ms, errMsg: 'user cancel' });
    expect(await catalog.cooldown.find(job.jobId)).toEqual(ended);
    expect(fixture.number('count(*) FROM job_transition')).toBe(2);
    expect([...catalog.cooldown.counts()]).toEqual([['CANCELLED', 1]]);
    // The term is used up, whatever became of the job.
    expect(catalog.cooldown.lead(id(1))).toEqual(lead(11, 1));
  });

  it('is forgotten by age, and by number', async () => {
    for (let tablet = 1; tablet <= 5; tablet += 1) {
      const job = await create({ elections: [election(tablet, undefined, lead(tablet, 1))] });
      if (job !== undefined && tablet < 5) {
        await catalog.cooldown.move(job, 'cancelAsked', 'CANCELLED');
      }
    }
    expect(await catalog.cooldown.expire(0, 3, 10)).toBe(1);
    expect(await catalog.cooldown.expire(0, 3, 10)).toBe(0);
    fixture.clock.ms += 1000;
    expect(await catalog.cooldown.expire(fixture.clock.ms, 100, 2)).toBe(2);
    expect(await catalog.cooldown.expire(fixture.clock.ms, 100, 2)).toBe(1);
    expect(await catalog.cooldown.list()).toHaveLength(1);
    expect(fixture.number('count(*) FROM cooldown_job_tablet')).toBe(1);
    expect(fixture.number('count(*) FROM job_transition')).toBe(0);
  });
});

it('leads of tablets that are gone are forgotten', async () => {
  await create({
    elections: [1, 2, 3].map((tablet) => election(tablet, undefined, lead(tablet * 10, 1))),
  });
  await catalog.cooldown.forgetLeads([id(1), id(3)]);
  expect([...catalog.cooldown.ledTablets()]).toEqual([2]);
  catalog = await fixture.reopen(catalog);
  expect([...catalog.cooldown.ledTablets()]).toEqual([2]);
});
