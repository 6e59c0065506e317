/** Whether a leader may delete what its list does not name, and what backends know of policies. */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { UnusedFilesQuestion } from '../../base/agent_messages.ts';
import type { TabletId } from '../../base/ids.ts';
import type { ReplicaReport } from '../../base/replica.ts';
import { CooldownWorld, type FakeBackend } from './cooldown_world.ts';

let world: CooldownWorld;

beforeEach(async () => {
  world = await CooldownWorld.make();
});
afterEach(async () => {
  await world.remove();
});

describe('unused objects', () => {
  let tablet: TabletId;
  let leader: FakeBackend;
  let question: UnusedFilesQuestion;

  beforeEach(async () => {
    world.heartbeats();
    const table = await world.table();
    const [first] = world.tablets(table);
    if (first === undefined) throw new Error('no tablet');
    tablet = first;
    await world.round();
    leader = world.leaderOf(tablet);
    const lead = world.catalog.cooldown.lead(tablet);
    if (lead === undefined) throw new Error('no lead');
    question = { tabletId: tablet, ...lead, metaId: 'm1' };
    everywhere({ metaId: 'm1', cooledVersion: 3 });
    world.reportAll();
    await world.round();
  });

  function everywhere(change: Partial<ReplicaReport>): void {
    for (const { backend } of world.replicasOf(tablet)) backend.change(tablet, change);
  }

  function other(): FakeBackend {
    const found = [...world.backends.values()].find((backend) => backend !== leader);
    if (found === undefined) throw new Error('one backend only');
    return found;
  }

  async function ask(change: Partial<UnusedFilesQuestion> = {}, from = leader): Promise<unknown> {
    const questions = [{ ...question, ...change }];
    const reply = await world.cooldown.confirmUnusedFiles({ questions }, from.backendId);
    return reply.confirmed;
  }

  it('may go when every replica has the same list in the same term, after a write', async () => {
    const seq = (): number => world.fixture.number('seq FROM lease');
    const before = seq();
    expect(await ask()).toEqual([tablet]);
    expect(seq()).toBe(before + 1);
  });

  it('stay when somebody else asks, or for another term or list', async () => {
    expect(await ask({}, other())).toEqual([]);
    expect(await ask({ term: 2 })).toEqual([]);
    expect(await ask({ metaId: 'm2' })).toEqual([]);
    const [replica] = world.replicasOf(tablet).filter(({ backend }) => backend !== leader);
    expect(await ask({ replicaId: replica?.replicaId as never }, other())).toEqual([]);
    expect(await ask({ tabletId: 1 as TabletId })).toEqual([]);
  });

  it.each<[string, () => Promise<void> | void]>([
    ['another list', () => other().change(tablet, { metaId: 'm0' })],
    ['no list', () => other().replicas.set(tablet, withoutMeta(other().replicas.get(tablet)))],
    ['an upload, a clone or a follow', () => other().change(tablet, { busy: true })],
  ])('stay while a replica has %s', async (_what, change) => {
    await change();
    world.reportAll();
    expect(await ask()).toEqual([]);
  });

  it('stay while a replica is dead, missing, or being copied', async () => {
    const [second, third] = world.replicasOf(tablet).filter(({ backend }) => backend !== leader);
    if (second === undefined || third === undefined) throw new Error('no replicas');
    second.backend.isAlive = false;
    await world.rounds(10);
    expect(await ask()).toEqual([]);
    second.backend.isAlive = true;
    await world.round();
    expect(await ask()).toEqual([tablet]);
    await world.catalog.replicas.setState(second, ['NORMAL'], 'CLONING');
    expect(await ask()).toEqual([]);
    await world.catalog.replicas.setState(second, ['CLONING'], 'NORMAL');
    expect(await ask()).toEqual([tablet]);
    await world.catalog.replicas.remove([third]);
    expect(await ask()).toEqual([]);
  });

  it('stay until queries have ended that began before all replicas had the list', async () => {
    const early = world.holds.take();
    expect(await ask()).toEqual([]);
    const late = world.holds.take();
    expect(await ask()).toEqual([]);
    early();
    expect(await ask()).toEqual([tablet]);
    everywhere({ metaId: 'm2', cooledVersion: 3 });
    world.reportAll();
    await world.round();
    expect(await ask({ metaId: 'm2' })).toEqual([]);
    late();
    expect(await ask({ metaId: 'm2' })).toEqual([tablet]);
  });

  it('stay while the leader lacks what is visible', async () => {
    leader.change(tablet, { version: 0 });
    world.reportAll();
    expect(await ask()).toEqual([]);
  });

  it('stay while a backend has not reported since its start, whatever it said before', async () => {
    other().incarnation = 'second';
    await world.round();
    expect(await ask()).toEqual([]);
    world.report(other());
    await world.round();
    expect(await ask()).toEqual([tablet]);
  });

  it('stay after a restart of the server until all have reported', async () => {
    await world.restartServer();
    await world.round();
    expect(await ask()).toEqual([]);
    world.reportAll();
    await world.round();
    expect(await ask()).toEqual([tablet]);
  });

  it('stay while a new leader is on its way', async () => {
    for (const backend of world.backends.values()) backend.loses = 'requests';
    const [next] = world.replicasOf(tablet).filter(({ backend }) => backend !== leader);
    if (next === undefined) throw new Error('no replica');
    await world.scheduler.setLeader(tablet, next.replicaId);
    expect(await ask()).toEqual([]);
    expect(await ask({ replicaId: next.replicaId, term: 2 }, next.backend)).toEqual([]);
  });

  it('cannot be deleted by the word of a server that another one has replaced', async () => {
    world.fixture.raw((db) => {
      db.prepare("UPDATE lease SET epoch = epoch + 1, holder = 'another'").run();
    });
    await expect(ask()).rejects.toThrow('another');
  });
});

function withoutMeta(report: ReplicaReport | undefined): ReplicaReport {
  if (report === undefined) throw new Error('no replica');
  const { metaId: _metaId, ...rest } = report;
  return rest;
}

describe('policies and resources', () => {
  const versions = ({ policies, resources }: FakeBackend): unknown => [
    [...policies.values()],
    [...resources.values()],
  ];
  const all = (): FakeBackend[] => [...world.backends.values()];
  const first = (): FakeBackend => {
    const [backend] = world.backends.values();
    if (backend === undefined) throw new Error('no backend');
    return backend;
  };

  it('are told at once to who is alive, and later to who missed it', async () => {
    world.heartbeats();
    await world.policy();
    first().loses = 'requests';
    await world.cooldown.policies.changed();
    expect(all().map(versions)).toEqual([
      [[], []],
      [[0], [0]],
      [[0], [0]],
    ]);
    first().loses = 'nothing';
    world.reportAll();
    await world.cooldown.policies.close();
    expect(versions(first())).toEqual([[0], [0]]);
  });

  it('are told again with a higher version, and not when nothing is new', async () => {
    world.heartbeats();
    await world.policy();
    world.reportAll();
    await world.cooldown.policies.close();
    const { sent } = world.cooldown.policies;
    world.reportAll();
    await world.cooldown.policies.close();
    expect(world.cooldown.policies.sent).toBe(sent);
    const policy = await world.catalog.storagePolicies.get('p');
    await world.catalog.storagePolicies.alter(policy, { kind: 'ttl', seconds: 5 });
    const resource = await world.catalog.resources.get('r');
    await world.catalog.resources.alter(resource, resource, undefined);
    world.reportAll();
    await world.cooldown.policies.close();
    expect(all().map(versions)).toEqual(Array.from({ length: 3 }, () => [[1], [1]]));
  });

  it('that were dropped are forgotten, and no credentials are told', async () => {
    world.heartbeats();
    await world.policy();
    world.reportAll();
    await world.cooldown.policies.close();
    await world.catalog.storagePolicies.drop('p');
    world.reportAll();
    await world.cooldown.policies.close();
    expect(all().map(versions)).toEqual(Array.from({ length: 3 }, () => [[], [0]]));
    const calls = all().flatMap((backend) => backend.calls.map(({ request }) => request));
    expect(JSON.stringify(calls)).not.toContain('nowhere');
  });
});
