/** A tablet that lost its replicas comes back from what is published, and says what is lost. */
import { describe, expect, it } from '@jest/globals';
import type { AgentCalls } from '../../../base/agent_messages.ts';
import { type RowsetId, id, rowsetId } from '../../../base/ids.ts';
import {
  POLICY,
  RESOURCE,
  TABLET,
  TTL_SECONDS,
  World,
  type WorldOptions,
} from './cooling_world.ts';

const DUE_MS = TTL_SECONDS * 1000 + 1000;
const LONG_MS = 600_000;

async function within<T>(world: World, work: Promise<T>): Promise<T> {
  let done = false;
  const ended = work.finally(() => (done = true));
  ended.catch(() => undefined);
  await world.clock.runUntil(() => done, LONG_MS);
  return await ended;
}

/** Node 1 has cooled versions 0 to 3 in term 1 and has 4 on its disk; node 2 has nothing. */
async function lost(options: WorldOptions = {}): Promise<World> {
  const world = new World({ replicas: 2, ...options });
  const [first, second] = [world.node(1), world.node(2)];
  second.store.drop(TABLET, second.replicaId);
  await world.load(2, [100], [first]);
  await world.load(3, [200], [first]);
  await world.conf(1, 1, [first]);
  await world.clock.run(DUE_MS);
  expect(await world.clock.runUntil(() => first.cooledVersion === 3, LONG_MS)).toBe(true);
  await world.load(4, [300], [first]);
  return world;
}

type Request = AgentCalls['rebuildReplica']['request'];
type Reply = AgentCalls['rebuildReplica']['reply'];

async function rebuild(
  world: World,
  change: Partial<Request> = {},
  damaged: readonly RowsetId[] = [],
): Promise<Reply> {
  const { replicaId, cooldown } = world.node(2);
  const places = { tableId: id<never>(1), partitionId: id<never>(5), indexId: id<never>(3) };
  const request: Request = {
    replica: { tabletId: TABLET, replicaId, policyId: POLICY, ...places },
    term: 2,
    resourceId: RESOURCE,
    version: 4,
    isLossAllowed: true,
    ...change,
  };
  const { signal } = new AbortController();
  return await within(world, cooldown.rebuild(request, new Set(damaged), signal));
}

const ranges = (world: World, n: number): string[] =>
  world.node(n).state.rowsets.map(({ startVersion, endVersion, rows, place }) => {
    return `${place.kind} [${startVersion}-${endVersion}] ${rows}`;
  });

describe('what is published of a tablet', () => {
  const read = async (world: World, resourceIds = [RESOURCE]) => {
    const asked = { tablets: [{ tabletId: TABLET, resourceIds }] };
    const { signal } = new AbortController();
    const { tablets } = await within(world, world.node(2).cooldown.readCooled(asked, signal));
    return tablets[0];
  };

  it('is told by a backend that has no replica of it', async () => {
    const world = await lost();
    expect(await read(world)).toMatchObject({
      head: { term: 1, replicaId: 101, resourceId: RESOURCE, cooledVersion: 3, rows: 20 },
      problem: '',
    });
    expect(await read(world, [])).toEqual({ tabletId: TABLET, problem: '' });
  });

  it('is told where the store has no conditional writes, too', async () => {
    const world = await lost({ isConditional: false });
    expect(await read(world)).toMatchObject({ head: { term: 1, cooledVersion: 3 }, problem: '' });
  });

  it('is a problem when an object or its list is missing', async () => {
    const world = await lost();
    const [first = ''] = world.dataKeys();
    await world.bucket.delete([first]);
    expect((await read(world))?.problem).toBe(
      `1 of its objects are missing or damaged, ${first} is the first`,
    );
    const head = await world.head();
    await world.bucket.delete([head?.manifestKey ?? '']);
    expect((await read(world))?.problem).toMatch(/HEAD names it, and it is missing/);
  });
});

describe('a rebuild', () => {
  it('claims what is published, and makes an empty rowset of what is lost', async () => {
    const world = await lost();
    const reply = await rebuild(world);
    expect(reply).toEqual({ emptied: [{ from: 4, to: 4 }], cooledVersion: 3, rows: 20 });
    expect(ranges(world, 2)).toEqual([
      'remote [0-1] 0',
      'remote [2-2] 10',
      'remote [3-3] 10',
      'local [4-4] 0',
    ]);
    expect(await world.head()).toMatchObject({ term: 2, replica: 102, cooledVersion: 3 });
    // A repeat changes nothing.
    expect(await rebuild(world)).toEqual({ emptied: [], cooledVersion: 3, rows: 20 });
    expect(ranges(world, 2)).toHaveLength(4);
  });

  it('is a replica like any other: loads go on, and cool', async () => {
    const world = await lost();
    await rebuild(world);
    const second = world.node(2);
    await world.load(5, [50], [second]);
    await world.clock.run(DUE_MS);
    expect(await world.clock.runUntil(() => second.cooledVersion === 5, LONG_MS)).toBe(true);
    const manifest = await world.manifest();
    expect(manifest?.rowsets.map(({ startVersion, rows }) => [startVersion, rows])).toEqual([
      [0, 0],
      [2, 10],
      [3, 10],
      [4, 0],
      [5, 10],
    ]);
  });

  it('is not disturbed by the disk that was lost and comes back', async () => {
    const world = await lost();
    await rebuild(world);
    const first = world.node(1);
    first.start();
    // Its version 4 is due, and it takes itself for the leader of term 1.
    await world.clock.run(DUE_MS);
    const isFenced = (): boolean => first.engine.counts.fenced > 0;
    expect(await world.clock.runUntil(isFenced, LONG_MS)).toBe(true);
    await world.clock.run(LONG_MS);
    expect(await world.head()).toMatchObject({ term: 2, replica: 102 });
    expect(world.node(2).cooledVersion).toBe(4);
    const published = (await world.manifest())?.rowsets.map(({ rowsetId }) => rowsetId);
    expect(published).not.toContain(world.loaded.at(-1)?.rowsetId);
    await world.checkPublished();
  });

  it('fills a replica that has some versions, and keeps what it has', async () => {
    const world = new World({ replicas: 2 });
    const [first, second] = [world.node(1), world.node(2)];
    await world.load(2);
    await world.conf(1, 1, [first]);
    await world.clock.run(DUE_MS);
    expect(first.cooledVersion).toBe(2);
    await world.load(3, [100], [first]);
    await world.load(4, [100]);
    expect(second.state.version).toBe(2);
    expect(await rebuild(world)).toEqual({
      emptied: [{ from: 3, to: 3 }],
      cooledVersion: 2,
      rows: 20,
    });
    expect(ranges(world, 2)).toEqual([
      'remote [0-1] 0',
      'remote [2-2] 10',
      'local [3-3] 0',
      'local [4-4] 10',
    ]);
    await world.checkPublished();
  });

  it('does without what is damaged of a replica, and says that it is good then', async () => {
    const world = new World({ replicas: 2 });
    const [first, second] = [world.node(1), world.node(2)];
    await world.load(2);
    await world.conf(1, 1, [first]);
    await world.clock.run(DUE_MS);
    for (const version of [3, 4, 5]) await world.load(version, [100], [second]);
    const broken = second.state.rowsets.find(({ startVersion }) => startVersion === 4)?.rowsetId;
    second.store.markBad(TABLET, 'a bit has flipped');
    const damaged = broken === undefined ? [] : [broken];
    await expect(rebuild(world, { version: 5, isLossAllowed: false }, damaged)).rejects.toThrow(
      /version 4 is not in its cooled data/,
    );
    expect(second.state.isBad).toBe(true);
    expect(await rebuild(world, { version: 5 }, damaged)).toEqual({
      emptied: [{ from: 4, to: 4 }],
      cooledVersion: 2,
      rows: 30,
    });
    expect(second.state).toMatchObject({ isBad: false, version: 5 });
    expect(second.disk.keys().some((key) => key.includes(String(broken)))).toBe(false);
  });

  it('loses no load whose outcome has not come yet', async () => {
    const world = await lost();
    const { store, replicaId } = world.node(2);
    const places = { tableId: id<never>(1), partitionId: id<never>(5), indexId: id<never>(3) };
    store.create({ tabletId: TABLET, replicaId, ...places });
    const prepared = { tabletId: TABLET, replicaId, rowsetId: rowsetId('c'.repeat(32)) };
    store.prepare(id(4), [{ ...prepared, rows: 1, bytes: 0, segments: [], newestWriteMs: 0 }]);
    await expect(rebuild(world)).rejects.toThrow(/loads whose outcome it has not heard of yet/);
    const versions = [{ partitionId: id<never>(5), version: 4 }];
    store.settle({ txnId: id(4), state: 'VISIBLE', versions });
    expect(await rebuild(world)).toMatchObject({ emptied: [], cooledVersion: 3 });
  });

  it('is refused when something would get lost that may not', async () => {
    const world = await lost();
    await expect(rebuild(world, { isLossAllowed: false })).rejects.toThrow(
      'tablet 10 was not rebuilt: version 4 is not in its cooled data',
    );
    expect(world.node(2).state.version).toBe(3);
    const whole = await rebuild(world, { isLossAllowed: false, version: 3 });
    expect(whole).toEqual({ emptied: [], cooledVersion: 3, rows: 20 });
  });

  it('makes an empty tablet of nothing when that is wanted', async () => {
    const world = await lost();
    const { cooldown, replicaId } = world.node(2);
    const places = { tableId: id<never>(1), partitionId: id<never>(5), indexId: id<never>(3) };
    const replica = { tabletId: TABLET, replicaId, ...places };
    const request = { replica, term: 2, version: 4, isLossAllowed: true };
    const { signal } = new AbortController();
    const reply = await within(world, cooldown.rebuild(request, new Set(), signal));
    expect(reply).toEqual({ emptied: [{ from: 2, to: 4 }], cooledVersion: -1, rows: 0 });
  });

  it('takes no term that is not higher than the published one', async () => {
    const world = await lost();
    await world.conf(1, 5, [world.node(1)]);
    await world.clock.run(DUE_MS);
    expect(await world.head()).toMatchObject({ term: 5 });
    await expect(rebuild(world, { term: 4 })).rejects.toThrow(/replica 101 leads with term 5/);
    expect(await world.head()).toMatchObject({ term: 5, replica: 101 });
  });

  it('fails, and can be asked for again, while an object is missing', async () => {
    const world = await lost();
    const [first = ''] = world.dataKeys();
    const body = await world.bucket.get(first);
    await world.bucket.delete([first]);
    await expect(rebuild(world)).rejects.toThrow(/a manifest names it, and it is missing/);
    expect(world.node(2).state.version).toBe(1);
    await world.bucket.put(first, body);
    expect(await rebuild(world)).toMatchObject({ cooledVersion: 3 });
  });
});
