/** CHECK COOLDOWN TABLE: what is wrong is found and named, and repaired where a good copy is left. */
import { describe, expect, it } from '@jest/globals';
import type { CooldownProblem, ReplicaSnapshot } from '../../../base/replica.ts';
import { headKey } from '../../../be-agent/cooldown/manifest.ts';
import { TABLET, TTL_SECONDS, World } from './cooling_world.ts';

const DUE_MS = TTL_SECONDS * 1000 + 1000;
const LONG_MS = 600_000;
const CONFIG = { cooldown_garbage_grace_seconds: '0' };

async function within<T>(world: World, work: Promise<T>): Promise<T> {
  let done = false;
  const ended = work.finally(() => (done = true));
  ended.catch(() => undefined);
  await world.clock.runUntil(() => done, LONG_MS);
  return await ended;
}

/** `waiting`: the second replica has not taken over what the first one published. */
async function cooled(
  isWaiting = false,
  config: Readonly<Record<string, string>> = CONFIG,
): Promise<World> {
  const world = new World({ replicas: 2, config });
  await world.load(2, [100]);
  await world.load(3, [200]);
  await world.conf(1, 1, isWaiting ? [world.node(1)] : world.nodes);
  await world.clock.run(DUE_MS);
  const nodes = isWaiting ? [world.node(1)] : world.nodes;
  expect(await world.clock.runUntil(() => world.isCooled(3, nodes), LONG_MS)).toBe(true);
  return world;
}

function others(world: World, besides: number): ReplicaSnapshot[] {
  return world.nodes.filter((node) => node !== world.node(besides)).map((node) => node.state);
}

async function problems(world: World, checksum = false): Promise<readonly CooldownProblem[]> {
  const { signal } = new AbortController();
  const request = { tabletIds: [TABLET], others: others(world, 1), checksum };
  const reply = await within(world, world.node(1).cooldown.check(request, signal));
  return reply.tablets[0]?.problems ?? [];
}

async function repair(world: World, node: number): Promise<readonly string[]> {
  const request = { tabletIds: [TABLET], others: others(world, node) };
  const { repaired } = await within(world, world.node(node).cooldown.repair(request));
  return repaired.map(({ key }) => key);
}

const briefly = (found: readonly CooldownProblem[]): string[] =>
  found.map(({ kind, key }) => `${kind} ${key.replace(`data/${TABLET}/`, '')}`);

describe('a check', () => {
  it('finds nothing wrong with what is right', async () => {
    const world = await cooled();
    expect(await problems(world, true)).toEqual([]);
    const { signal } = new AbortController();
    const request = { tabletIds: [TABLET, 99 as typeof TABLET], others: [], checksum: false };
    const { tablets } = await within(world, world.node(2).cooldown.check(request, signal));
    expect(tablets).toHaveLength(1);
    expect(tablets[0]).toMatchObject({
      objects: 4,
      head: { term: 1, replicaId: 101, cooledVersion: 3 },
    });
  });

  it('names objects that are missing, too short, or of another content', async () => {
    const world = await cooled();
    const [first = '', second = ''] = world.dataKeys();
    await world.bucket.put(second, new Uint8Array(200));
    expect(await problems(world)).toEqual([]);
    expect(briefly(await problems(world, true))).toEqual([`DAMAGED ${second.slice(8)}`]);
    await world.bucket.put(second, new Uint8Array(7));
    await world.bucket.delete([first]);
    expect(briefly(await problems(world))).toEqual([
      `MISSING ${first.slice(8)}`,
      `DAMAGED ${second.slice(8)}`,
    ]);
  });

  it('names what nothing refers to, old lists, and what is there twice', async () => {
    const world = await cooled();
    const orphan = `data/${TABLET}/${'e'.repeat(32)}_0.dat`;
    await world.bucket.put(orphan, new Uint8Array(5));
    await world.bucket.put(`data/${TABLET}/m/1.0.101.meta`, new Uint8Array(5));
    await world.bucket.put(`data/${TABLET}/notes.txt`, new Uint8Array(5));
    const found = await problems(world);
    expect(new Set(briefly(found))).toEqual(
      new Set([`ORPHAN ${'e'.repeat(32)}_0.dat`, 'ORPHAN m/1.0.101.meta', 'ORPHAN notes.txt']),
    );
    expect(found.find(({ key }) => key === orphan)?.bytes).toBe(5);
  });

  it('says nothing of former lists before it is time to collect them', async () => {
    const world = await cooled(false, {});
    const [first] = world.bucket.keys().filter((key) => key.includes('/m/'));
    await world.load(4, [300]);
    await world.clock.run(DUE_MS);
    expect(await world.clock.runUntil(() => world.isCooled(4), LONG_MS)).toBe(true);
    expect(world.bucket.keys()).toContain(first);
    await world.bucket.put(`data/${TABLET}/m/2.0.102.meta`, new Uint8Array(5));
    expect(briefly(await problems(world))).toEqual(['ORPHAN m/2.0.102.meta']);
  });

  it('tells a copy of a used object by its content, whatever the etags say', async () => {
    const world = await cooled();
    const [used = ''] = world.dataKeys();
    const body = await world.bucket.get(used);
    const copy = `data/${TABLET}/${'d'.repeat(32)}_0.dat`;
    await world.bucket.put(copy, body);
    const other = `data/${TABLET}/${'e'.repeat(32)}_0.dat`;
    await world.bucket.put(other, new Uint8Array(body.byteLength));
    const found = await problems(world, true);
    expect(new Set(briefly(found))).toEqual(
      new Set([`DOUBLE ${copy.slice(8)}`, `ORPHAN ${other.slice(8)}`]),
    );
    expect(found.find(({ key }) => key === copy)?.what).toContain(used);
  });

  it('says what is wrong with HEAD, its list, and the replicas', async () => {
    const world = await cooled(true);
    expect(briefly(await problems(world))).toEqual(['REPLICA ']);
    const head = await world.head();
    const list = head?.manifestKey ?? '';
    const body = await world.bucket.get(list);
    await world.bucket.put(list, new TextEncoder().encode('[]'));
    expect(briefly(await problems(world))).toContain(`MANIFEST ${list.slice(8)}`);
    await world.bucket.put(list, body);
    await world.bucket.put(headKey(TABLET), new TextEncoder().encode('{}'));
    expect(briefly(await problems(world))).toContain('HEAD HEAD');
    await world.bucket.delete([headKey(TABLET)]);
    const [problem] = await problems(world);
    expect(problem).toMatchObject({ kind: 'HEAD', what: expect.stringMatching(/missing/) });
  });

  it('says why the resource cannot be reached', async () => {
    const world = await cooled();
    world.bucket.faults.bucketMissing = true;
    await expect(problems(world)).rejects.toThrow(/^object store: .*bucket does not exist/);
  });
});

describe('a repair', () => {
  it('writes objects anew from a replica that still has its copy', async () => {
    const world = await cooled(true);
    const [first = '', second = ''] = world.dataKeys();
    await world.bucket.put(second, new Uint8Array(200));
    await world.bucket.delete([first]);
    expect(await repair(world, 1)).toEqual([]);
    await world.conf(1, 1);
    await world.clock.run(5000);
    expect(world.node(2).cooledVersion).toBe(-1);
    expect(await repair(world, 2)).toEqual([first, second]);
    expect(await world.clock.runUntil(() => world.isCooled(3), LONG_MS)).toBe(true);
    await world.check();
    expect(await problems(world, true)).toEqual([]);
  });

  it('does not write anything from a damaged copy', async () => {
    const world = await cooled(true);
    const [first = ''] = world.dataKeys();
    await world.bucket.delete([first]);
    await world.node(2).disk.put(first, new Uint8Array(100));
    await world.conf(1, 1);
    await expect(repair(world, 2)).rejects.toThrow(/local segment .* is damaged/);
    expect(await world.bucket.head(first)).toBeUndefined();
  });

  it('publishes a lost HEAD again, when all that it names is there', async () => {
    const world = await cooled();
    const before = await world.head();
    await world.bucket.delete([headKey(TABLET)]);
    const [first = ''] = world.dataKeys();
    const body = await world.bucket.get(first);
    await world.bucket.delete([first]);
    expect(await repair(world, 1)).toEqual([]);
    await world.bucket.put(first, body);
    // A follower does not.
    expect(await repair(world, 2)).toEqual([]);
    expect(await repair(world, 1)).toEqual([headKey(TABLET)]);
    expect(await world.head()).toMatchObject({ metaId: before?.metaId, term: 1, replica: 101 });
    await world.load(4);
    await world.clock.run(DUE_MS);
    expect(await world.clock.runUntil(() => world.isCooled(4), LONG_MS)).toBe(true);
    await world.check();
  });

  it('does not publish a HEAD that ends before what another replica has', async () => {
    const world = await cooled();
    await world.load(4);
    await world.clock.run(DUE_MS);
    await world.clock.runUntil(() => world.isCooled(4), LONG_MS);
    await world.bucket.delete([headKey(TABLET)]);
    const ahead = { ...world.node(2).state };
    const [last] = ahead.rowsets.slice(-1);
    if (last === undefined) throw new Error('no rowset');
    const more = { ...last, startVersion: 5, endVersion: 5 };
    const request = {
      tabletIds: [TABLET],
      others: [{ ...ahead, rowsets: [...ahead.rowsets, more] }],
    };
    const { repaired } = await within(world, world.node(1).cooldown.repair(request));
    expect(repaired).toEqual([]);
    expect(await world.head()).toBeUndefined();
  });

  it('of a lost HEAD is taken for newer than what followers have seen', async () => {
    const world = await cooled();
    await world.bucket.delete(world.bucket.keys().filter((key) => !key.endsWith('.dat')));
    expect(await repair(world, 1)).toEqual([headKey(TABLET)]);
    await world.load(4, [300]);
    await world.clock.run(DUE_MS);
    expect(await world.clock.runUntil(() => world.isCooled(4), LONG_MS)).toBe(true);
    await world.check();
  });

  it.each(['HEAD', 'the list'])('replaces %s when it cannot be read', async (what) => {
    const world = await cooled();
    const key = what === 'HEAD' ? headKey(TABLET) : ((await world.head())?.manifestKey ?? '');
    await world.bucket.put(key, new TextEncoder().encode('{"term":'));
    expect((await problems(world)).length).toBeGreaterThan(0);
    expect(await repair(world, 2)).toEqual([]);
    expect(await repair(world, 1)).toEqual([headKey(TABLET)]);
    // The one before waits for its collection.
    const left = await problems(world, true);
    expect(left.filter(({ kind }) => kind !== 'ORPHAN')).toEqual([]);
    await world.load(4, [300]);
    await world.clock.run(DUE_MS);
    expect(await world.clock.runUntil(() => world.isCooled(4), LONG_MS)).toBe(true);
    await world.check();
  });

  it('puts HEAD forward again that somebody has put back', async () => {
    const world = await cooled();
    const old = await world.bucket.get(headKey(TABLET));
    await world.load(4, [300]);
    await world.clock.run(DUE_MS);
    expect(await world.clock.runUntil(() => world.isCooled(4), LONG_MS)).toBe(true);
    await world.bucket.put(headKey(TABLET), old);
    expect(await repair(world, 1)).toEqual([headKey(TABLET)]);
    expect(await world.manifest()).toMatchObject({ cooledVersion: 4 });
    expect(await world.clock.runUntil(() => world.isCooled(4), LONG_MS)).toBe(true);
    expect(await repair(world, 1)).toEqual([]);
  });

  it('leaves HEAD of a higher term alone', async () => {
    const world = await cooled();
    const head = { ...(await world.head()), term: 9, cooledVersion: 2 };
    const body = new TextEncoder().encode(JSON.stringify(head));
    await world.bucket.put(headKey(TABLET), body);
    expect(await repair(world, 1)).toEqual([]);
    expect(await world.bucket.get(headKey(TABLET))).toEqual(body);
  });

  it('deletes what is unused, when the server confirms it', async () => {
    const world = await cooled();
    const orphan = `data/${TABLET}/${'e'.repeat(32)}_0.dat`;
    await world.bucket.put(orphan, new Uint8Array(5));
    expect(await repair(world, 1)).toEqual([]);
    world.confirm = (tabletIds) => tabletIds;
    expect(await repair(world, 1)).toEqual([orphan]);
    expect(await problems(world, true)).toEqual([]);
  });
});
