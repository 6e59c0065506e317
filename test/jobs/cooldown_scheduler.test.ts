/** Elections, pushes and their jobs, on a real catalog with backends that misbehave. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { type ReplicaId, type TabletId, id } from '../../base/ids.ts';
import type { TableDef } from '../../base/schema.ts';
import { COOLDOWN_JOB } from '../../jobs/cooldown_lifecycle.ts';
import { CooldownWorld, type FakeBackend } from './cooldown_world.ts';

let world: CooldownWorld;
let table: TableDef;
let tablet: TabletId;

beforeEach(async () => {
  world = await CooldownWorld.make();
});
afterEach(async () => {
  await world.remove();
});

/** Nobody is alive yet, so that nobody is elected before the first round. */
async function oneTablet(): Promise<void> {
  table = await world.table();
  await world.scheduler.idle();
  const [first] = world.tablets(table);
  if (first === undefined) throw new Error('no tablet');
  tablet = first;
}

const termsOf = (of: TabletId = tablet): (number | undefined)[] =>
  world.replicasOf(of).map(({ backend }) => backend.leadOf(of)?.term);

const pushesTo = ({ calls }: FakeBackend): number =>
  calls.filter(({ name }) => name === 'pushCooldownConf').length;

describe('the life of a job', () => {
  it('goes from the election to FINISHED when every replica has confirmed (A1, A3, defects 1, 3)', async () => {
    await oneTablet();
    await world.round();
    const [job, ...others] = await world.jobs();
    expect(others).toEqual([]);
    expect(job).toMatchObject({ state: 'FINISHED', tablets: 1, elected: 1, errMsg: '' });
    const lead = world.catalog.cooldown.lead(tablet);
    expect(lead?.term).toBe(1);
    const replicas = world.replicasOf(tablet);
    expect(replicas.map(({ replicaId }) => replicaId)).toContain(lead?.replicaId);
    for (const { backend } of replicas) expect(backend.leadOf(tablet)).toEqual(lead);
    const states = world.fixture.raw((db) =>
      db.prepare('SELECT to_state FROM job_transition ORDER BY seq').pluck().all(),
    );
    expect(states).toEqual(['SEND_CONF', 'RUNNING', 'FINISHED']);
  });

  it('rests then: nothing is sent and nothing is written as long as nothing changes', async () => {
    await oneTablet();
    await world.round();
    world.reportAll();
    await world.rounds(70, 5000);
    expect(await world.jobs()).toHaveLength(1);
    for (const backend of world.backends.values()) expect(pushesTo(backend)).toBe(1);
  });

  it('has a table of states in which every final state stays (A4, A5)', () => {
    for (const state of COOLDOWN_JOB.final) {
      for (const event of COOLDOWN_JOB.events) {
        expect(COOLDOWN_JOB.cell(state, event)).toEqual({ kind: 'late' });
      }
    }
  });

  it('waits for a backend that does not answer, and times out by its creation (defect 23)', async () => {
    await oneTablet();
    const [, , last] = [...world.backends.values()];
    if (last === undefined) throw new Error('no backend');
    last.loses = 'requests';
    await world.round();
    expect(await world.jobs()).toMatchObject([{ state: 'RUNNING' }]);
    await world.rounds(5, 5000);
    expect(pushesTo(last)).toBeGreaterThan(3);
    // A restart does not begin the time anew.
    world.fixture.clock.ms += 300_000;
    await world.restartServer();
    await world.round();
    await world.round(300_000);
    const [job] = await world.jobs();
    expect(job).toMatchObject({ state: 'CANCELLED' });
    expect(job?.errMsg).toBe(
      `Timeout: after 600 s not confirmed by backend ${last.backendId}: 1 tablets`,
    );
    // The term stands, and the replica gets it as soon as it can: nobody asks twice for a minute.
    last.loses = 'nothing';
    world.reportAll();
    await world.round();
    expect(await world.jobs()).toHaveLength(1);
    await world.round(61_000);
    expect((await world.jobs()).map(({ state, elected }) => [state, elected])).toEqual([
      ['CANCELLED', 1],
      ['FINISHED', 0],
    ]);
    expect(termsOf()).toEqual([1, 1, 1]);
  });

  it('ends by reports when the replies are lost', async () => {
    await oneTablet();
    for (const backend of world.backends.values()) backend.loses = 'replies';
    await world.round();
    expect(await world.jobs()).toMatchObject([{ state: 'RUNNING' }]);
    world.reportAll();
    await world.round();
    expect(await world.jobs()).toMatchObject([{ state: 'FINISHED' }]);
  });

  it('is cancelled by a user, once, and its term is not given again (A5, defects 20, 22)', async () => {
    await oneTablet();
    for (const backend of world.backends.values()) backend.loses = 'requests';
    await world.round();
    const [job] = await world.jobs();
    if (job === undefined) throw new Error('no job');
    await world.scheduler.cancel(job.jobId, 'user cancel');
    expect(await world.jobs()).toMatchObject([{ state: 'CANCELLED', errMsg: 'user cancel' }]);
    await expect(world.scheduler.cancel(job.jobId, 'again')).rejects.toThrow('has ended');
    await expect(world.scheduler.cancel(id(999), 'x')).rejects.toThrow('does not exist');
    for (const backend of world.backends.values()) backend.loses = 'nothing';
    world.reportAll();
    await world.round(61_000);
    expect(termsOf()).toEqual([1, 1, 1]);
  });
});

describe('a server that fails over', () => {
  it('between journal and push sends what the journal has (N16, A2, I16)', async () => {
    await oneTablet();
    for (const backend of world.backends.values()) backend.loses = 'requests';
    await world.round();
    const before = world.catalog.cooldown.lead(tablet);
    await world.restartServer();
    for (const backend of world.backends.values()) backend.loses = 'nothing';
    await world.round();
    expect(await world.jobs()).toMatchObject([{ state: 'FINISHED', elected: 1 }]);
    expect(world.catalog.cooldown.lead(tablet)).toEqual(before);
    expect(termsOf()).toEqual([1, 1, 1]);
  });

  it('does not call a job finished because it has not heard of any backend yet', async () => {
    await oneTablet();
    for (const backend of world.backends.values()) backend.loses = 'requests';
    await world.round();
    await world.restartServer();
    world.fixture.clock.ms += 1000;
    world.scheduler.wake();
    await world.scheduler.idle();
    expect(await world.jobs()).toMatchObject([{ state: 'RUNNING' }]);
  });

  it('never pushes what is not in the catalog, whatever call it dies in (I16)', async () => {
    await oneTablet();
    await world.round();
    for (const { backend } of world.replicasOf(tablet)) {
      for (const { name, request } of backend.calls) {
        if (name !== 'pushCooldownConf') continue;
        const { confs } = request as { readonly confs: readonly { readonly term: number }[] };
        const journaled = world.fixture.number(
          `count(*) FROM cooldown_job_tablet WHERE term = ${confs[0]?.term ?? -1}`,
        );
        expect(journaled).toBe(1);
      }
    }
  });
});

describe('an election', () => {
  it('raises the term by one and picks a replica of the tablet (A6)', async () => {
    await oneTablet();
    await world.catalog.cooldown.create({
      elections: [{ tabletId: tablet, before: undefined, after: { replicaId: id(1), term: 100 } }],
      pushes: [],
      reason: 'a leader that is no replica of it',
      timeoutMs: 1,
    });
    await world.round();
    await world.round(61_000);
    const lead = world.catalog.cooldown.lead(tablet);
    expect(lead?.term).toBe(101);
    expect(world.replicasOf(tablet).map(({ replicaId }) => replicaId)).toContain(lead?.replicaId);
  });

  it('replaces a leader whose backend is dead, with one that is alive (N6, L3, defect 16)', async () => {
    await oneTablet();
    await world.round();
    const old = world.leaderOf(tablet);
    old.isAlive = false;
    await world.rounds(40);
    expect(world.leaderOf(tablet)).toBe(old);
    await world.rounds(40);
    expect(world.leaderOf(tablet)).not.toBe(old);
    expect(world.catalog.cooldown.lead(tablet)?.term).toBe(2);
    expect((await world.jobs()).at(-1)).toMatchObject({ state: 'FINISHED', elected: 1 });
    // It comes back, hears of the new leader, and follows (N7).
    old.isAlive = true;
    old.incarnation = 'second';
    await world.round();
    world.report(old);
    await world.round();
    expect(old.leadOf(tablet)).toEqual(world.catalog.cooldown.lead(tablet));
    expect((await world.jobs()).at(-1)).toMatchObject({ state: 'FINISHED', elected: 0 });
  });

  it('does not replace one that is only away for a moment', async () => {
    await oneTablet();
    await world.round();
    const leader = world.leaderOf(tablet);
    for (let i = 0; i < 3; i += 1) {
      leader.isAlive = false;
      await world.rounds(30);
      leader.isAlive = true;
      await world.rounds(5);
    }
    expect(world.catalog.cooldown.lead(tablet)?.term).toBe(1);
  });

  it('waits while no replica is alive and complete, and says what for (defect 17)', async () => {
    await oneTablet();
    for (const backend of world.backends.values()) backend.isAlive = false;
    await world.round();
    expect(world.catalog.cooldown.lead(tablet)).toBeUndefined();
    expect(world.scheduler.waitsFor(tablet)).toBe(
      'no leader: no replica is on a backend that is alive',
    );
    for (const backend of world.backends.values()) backend.isAlive = true;
    const [first, second, third] = world.replicasOf(tablet);
    if (first === undefined || second === undefined || third === undefined) throw new Error();
    await world.catalog.replicas.markMissing(first, { from: 2, to: 2 });
    second.backend.change(tablet, { isBad: true });
    await world.catalog.replicas.setState(third, ['NORMAL'], 'CLONING');
    world.heartbeats();
    world.reportAll();
    await world.round();
    expect(world.scheduler.waitsFor(tablet)).toBe(
      'no leader: no replica that is alive is complete',
    );
    await world.catalog.replicas.clearMissing(first, 2);
    await world.round(31_000);
    expect(world.catalog.cooldown.lead(tablet)?.replicaId).toBe(first.replicaId);
    expect(world.scheduler.waitsFor(tablet)).toBe('');
  });

  it('takes the most advanced replica', async () => {
    await oneTablet();
    const [, , last] = world.replicasOf(tablet);
    last?.backend.change(tablet, { cooledVersion: 5, metaId: 'm', version: 7 });
    world.heartbeats();
    world.reportAll();
    await world.round();
    expect(world.catalog.cooldown.lead(tablet)?.replicaId).toBe(last?.replicaId);
  });

  it('moves away from a damaged replica', async () => {
    await oneTablet();
    await world.round();
    const old = world.leaderOf(tablet);
    old.change(tablet, { isBad: true });
    world.reportAll();
    await world.round();
    expect(world.leaderOf(tablet)).not.toBe(old);
    expect(world.catalog.cooldown.lead(tablet)?.term).toBe(2);
  });

  it('gives every backend as many leads as the others (defect 17)', async () => {
    world.heartbeats();
    table = await world.table({ buckets: 30, replicas: 2 });
    await world.round();
    const leads = [...world.backends.values()].map(
      (backend) => world.tablets(table).filter((one) => world.leaderOf(one) === backend).length,
    );
    expect(leads).toEqual([10, 10, 10]);
  });

  it('goes on under loads: what was visible when it began to wait is enough', async () => {
    await oneTablet();
    const load = async (version: number): Promise<void> => {
      await publish(world, table, version);
    };
    world.scheduler.wake();
    await world.scheduler.idle();
    await load(5);
    world.heartbeats();
    for (const { backend } of world.replicasOf(tablet)) backend.change(tablet, { version: 4 });
    world.reportAll();
    await world.round();
    expect(world.scheduler.waitsFor(tablet)).toContain('has reported version 5 yet');
    // Each report is behind again when it comes.
    for (const { backend } of world.replicasOf(tablet)) backend.change(tablet, { version: 5 });
    await load(6);
    await world.round(6000);
    await world.round();
    expect(world.catalog.cooldown.lead(tablet)?.term).toBe(1);
  });
});

/** As a load does: the partition's next visible version. */
async function publish(of: CooldownWorld, { tableId, partitions }: TableDef, version: number) {
  of.fixture.raw((db) => {
    db.prepare('UPDATE partition_def SET visible_version = ? WHERE partition_id = ?').run(
      version,
      partitions[0]?.partitionId,
    );
  });
  // Forgets what it has in memory of the table.
  const bound = await of.catalog.storagePolicies.find('p');
  await of.catalog.storagePolicies.bind(tableId, 'table', bound);
}

describe('terms that cannot be', () => {
  it('a term above the catalog is told loudly, and overtaken (I2, defects 18, 26)', async () => {
    await oneTablet();
    await world.round();
    const [first] = world.replicasOf(tablet);
    first?.backend.change(tablet, { lead: { replicaId: first.replicaId, term: 7 } });
    world.reportAll();
    await world.rounds(3);
    expect(world.errors()).toEqual(['corruption: a backend has a term of its own']);
    expect(world.scheduler.counts.impossibleTerms).toBe(1);
    expect(world.catalog.cooldown.lead(tablet)?.term).toBe(8);
    expect(termsOf()).toEqual([8, 8, 8]);
  });

  it('the same term with another replica is told loudly, and overtaken (I1)', async () => {
    await oneTablet();
    await world.round();
    const lead = world.catalog.cooldown.lead(tablet);
    const other = world.replicasOf(tablet).find(({ replicaId }) => replicaId !== lead?.replicaId);
    if (other === undefined) throw new Error('one replica only');
    other.backend.change(tablet, { lead: { replicaId: other.replicaId, term: 1 } });
    world.reportAll();
    await world.rounds(3);
    expect(world.errors()).toEqual(['corruption: a backend has another leader in this term']);
    expect(world.catalog.cooldown.lead(tablet)?.term).toBe(2);
    expect(termsOf()).toEqual([2, 2, 2]);
  });

  it('an older term is pushed again, with the right replica (defect 18: A 1, B 2, A 3)', async () => {
    await oneTablet();
    await world.round();
    const lead = world.catalog.cooldown.lead(tablet);
    const [a, b] = world.replicasOf(tablet);
    if (a === undefined || b === undefined) throw new Error('no replicas');
    await world.scheduler.setLeader(tablet, b.replicaId);
    await world.round();
    await world.scheduler.setLeader(tablet, a.replicaId);
    await world.round();
    expect(world.catalog.cooldown.lead(tablet)).toEqual({ replicaId: a.replicaId, term: 3 });
    // It has the right leader by an older term.
    a.backend.change(tablet, { lead: { replicaId: a.replicaId, term: lead?.term ?? 0 } });
    a.backend.incarnation = 'second';
    world.heartbeats();
    world.report(a.backend);
    await world.round();
    expect(termsOf()).toEqual([3, 3, 3]);
    expect(world.errors()).toEqual([]);
  });

  it('a repeated push changes nothing (N3, I17)', async () => {
    await oneTablet();
    for (const backend of world.backends.values()) backend.loses = 'replies';
    await world.round();
    await world.round(6000);
    for (const backend of world.backends.values()) backend.loses = 'nothing';
    await world.round(6000);
    expect(await world.jobs()).toMatchObject([{ state: 'FINISHED' }]);
    for (const backend of world.backends.values()) expect(pushesTo(backend)).toBeGreaterThan(1);
    expect(termsOf()).toEqual([1, 1, 1]);
  });
});

describe('backends that restart', () => {
  it('have what they persisted, and nothing is sent (N5)', async () => {
    await oneTablet();
    await world.round();
    world.reportAll();
    const [first] = [...world.backends.values()];
    if (first === undefined) throw new Error('no backend');
    first.incarnation = 'second';
    world.heartbeats();
    world.report(first);
    await world.rounds(3);
    expect(await world.jobs()).toHaveLength(1);
    expect(pushesTo(first)).toBe(1);
  });

  it('without what they had are told again within two reports (N2, N5)', async () => {
    await oneTablet();
    await world.round();
    world.reportAll();
    const [first] = world.replicasOf(tablet);
    if (first === undefined) throw new Error('no replica');
    const { lead: _lost, ...rest } = first.backend.replicas.get(tablet) ?? {};
    first.backend.replicas.set(tablet, rest as never);
    first.backend.incarnation = 'second';
    world.heartbeats();
    world.report(first.backend);
    await world.round();
    expect(termsOf()).toEqual([1, 1, 1]);
    expect(world.catalog.cooldown.lead(tablet)?.term).toBe(1);
  });
});

describe('replicas that are being made or copied', () => {
  it('hear of their leader as soon as they are there', async () => {
    await oneTablet();
    const [first, second, third] = world.replicasOf(tablet);
    if (first === undefined || second === undefined || third === undefined) throw new Error();
    // Reported, but the server was killed before it noted that; and one that is not there yet.
    await world.catalog.replicas.setState(second, ['NORMAL'], 'CREATING');
    await world.catalog.replicas.setState(third, ['NORMAL'], 'CLONING');
    world.heartbeats();
    world.reportAll();
    await world.round();
    expect(await world.jobs()).toMatchObject([{ state: 'FINISHED' }]);
    expect(termsOf()).toEqual([1, 1, undefined]);
    // The catalog's change alone reaches nobody.
    await world.catalog.replicas.setState(third, ['CLONING'], 'NORMAL');
    await world.round(6000);
    expect(termsOf()).toEqual([1, 1, 1]);
  });
});

describe('many tablets', () => {
  it('a dropped one leaves its job and harms none of the other 99 (defects 20, 21)', async () => {
    for (const backend of world.backends.values()) backend.loses = 'requests';
    const keep = await world.table({ name: 'keep', buckets: 50 });
    const drop = await world.table({ name: 'gone', buckets: 50 });
    await world.scheduler.idle();
    await world.round();
    expect(await world.jobs()).toMatchObject([{ state: 'RUNNING', tablets: 100 }]);
    const gone = world.tablets(drop);
    await world.catalog.tables.drop((await world.catalog.tables.get('d', 'gone')).tableId);
    for (const backend of world.backends.values()) {
      backend.loses = 'nothing';
      for (const one of gone) backend.replicas.delete(one);
    }
    await world.round(6000);
    expect(await world.jobs()).toMatchObject([{ state: 'FINISHED', tablets: 100 }]);
    for (const one of world.tablets(keep)) expect(termsOf(one)).toEqual([1, 1, 1]);
    // Nobody will ask for the term of what is gone.
    await world.round(61_000);
    expect(new Set(world.catalog.cooldown.ledTablets())).toEqual(new Set(world.tablets(keep)));
  });

  it('more than fit into the queue wait for a later round, and lose nothing (defects 2, 24)', async () => {
    world.heartbeats();
    table = await world.table({ buckets: 1000 });
    const more = await Promise.all(
      Array.from({ length: 10 }, async (_, i) => world.table({ name: `m${i}`, buckets: 1000 })),
    );
    expect(more).toHaveLength(10);
    await world.round();
    const all = [table, ...more].flatMap((one) => world.tablets(one));
    expect(all).toHaveLength(11_000);
    for (const one of all) expect(world.catalog.cooldown.lead(one)?.term).toBe(1);
    for (const backend of world.backends.values()) {
      for (const replica of backend.replicas.values()) expect(replica.lead?.term).toBe(1);
    }
    const jobs = await world.jobs();
    expect(Math.max(...jobs.map(({ tablets }) => tablets))).toBe(100);
    expect(new Set(jobs.map(({ state }) => state))).toEqual(new Set(['FINISHED']));
  }, 60_000);

  it('a backend that hangs does not keep the others from being elected', async () => {
    world.heartbeats();
    const [first] = [...world.backends.values()];
    if (first === undefined) throw new Error('no backend');
    first.loses = 'requests';
    table = await world.table({ buckets: 1024 });
    await world.round();
    expect(await world.jobs()).toHaveLength(11);
    const states = async (): Promise<string[]> => (await world.jobs()).map(({ state }) => state);
    expect((await states()).filter((state) => state === 'PENDING')).toHaveLength(1);
    await world.rounds(8, 5000);
    expect(await states()).not.toContain('PENDING');
  });
});

describe('statements', () => {
  it('a leader that was asked for gets the next term; one that cannot lead is refused', async () => {
    await oneTablet();
    await world.round();
    const [, second, third] = world.replicasOf(tablet);
    if (second === undefined || third === undefined) throw new Error('no replicas');
    await world.scheduler.setLeader(tablet, second.replicaId);
    await world.round();
    expect(world.catalog.cooldown.lead(tablet)?.replicaId).toBe(second.replicaId);
    third.backend.isAlive = false;
    await world.rounds(10);
    const ask = world.scheduler.setLeader(tablet, third.replicaId);
    await expect(ask).rejects.toThrow(`its backend ${third.backend.backendId} is not alive`);
    const unknown = world.scheduler.setLeader(tablet, id<ReplicaId>(1));
    await expect(unknown).rejects.toThrow('the tablet has no such replica');
  });

  it('a leader that was asked for right after a load is waited for until it has reported that', async () => {
    await oneTablet();
    await world.round();
    const [, second] = world.replicasOf(tablet);
    if (second === undefined) throw new Error('no replicas');
    await publish(world, table, 5);
    world.fixture.clock.sleep = async () => {
      await nextTurn();
    };
    const ask = world.scheduler.setLeader(tablet, second.replicaId);
    await world.round();
    expect(world.catalog.cooldown.lead(tablet)?.term).toBe(1);
    // There is a later load meanwhile, which it need not have.
    await publish(world, table, 6);
    second.backend.change(tablet, { version: 5 });
    world.reportAll();
    expect(await ask).toMatchObject({ elected: 1 });
    expect(world.catalog.cooldown.lead(tablet)?.replicaId).toBe(second.replicaId);
  });

  it('ADMIN COOLDOWN elects first, then tells leader and followers', async () => {
    await oneTablet();
    world.scheduler.coolNow([tablet]);
    await world.round();
    await world.round();
    for (const { calls } of world.backends.values()) {
      const now = calls.filter(({ name }) => name === 'cooldownNow');
      expect(now.map(({ request }) => request)).toEqual([{ tabletIds: [tablet] }]);
      expect(calls.findIndex(({ name }) => name === 'pushCooldownConf')).toBe(0);
    }
  });
});

it('what a backend reported that was dropped is forgotten', async () => {
  world.heartbeats();
  table = await world.table({ replicas: 2, policy: false });
  world.reportAll();
  await world.round();
  const replicas = world.tablets(table).flatMap((one) => world.replicasOf(one));
  const [spare] = [...world.backends.values()].filter((backend) =>
    replicas.every(({ backendId }) => backendId !== backend.backendId),
  );
  if (spare === undefined) throw new Error('no backend to spare');
  expect(world.board.backends()).toContain(spare.backendId);
  await world.catalog.backends.drop(spare.backendId);
  world.backends.delete(spare.backendId);
  await world.round();
  expect(world.board.backends()).toHaveLength(2);
});

it('a table without a policy gets no leader; with one bound later it does', async () => {
  world.heartbeats();
  table = await world.table({ policy: false });
  const [first] = world.tablets(table);
  if (first === undefined) throw new Error('no tablet');
  tablet = first;
  await world.rounds(3);
  expect(world.catalog.cooldown.lead(tablet)).toBeUndefined();
  await world.policy();
  const policy = await world.catalog.storagePolicies.get('p');
  await world.catalog.storagePolicies.bind(table.tableId, 'table', policy);
  await world.round();
  expect(world.catalog.cooldown.lead(tablet)?.term).toBe(1);
});
