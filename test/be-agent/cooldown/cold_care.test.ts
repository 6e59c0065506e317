/** Compaction of cooled rowsets and collection of what nothing refers to. */
import { describe, expect, it } from '@jest/globals';
import type { ReplicaRowset } from '../../../base/replica.ts';
import { type Head, encode, headKey } from '../../../be-agent/cooldown/manifest.ts';
import { pickColdInputs } from '../../../be-agent/cooldown/cold_compaction.ts';
import { RESOURCE, TABLET, TTL_SECONDS, World, type WorldOptions } from './cooling_world.ts';

const DUE_MS = TTL_SECONDS * 1000 + 1000;
const LONG_MS = 600_000;

/** Often enough for a test; collection is asked for by name. */
const CONFIG = {
  cold_data_compaction_interval_sec: '100000',
  remove_unused_remote_files_interval_sec: '100000',
  cooldown_garbage_grace_seconds: '0',
};

/** A tablet with five loads, cooled on all replicas. */
async function cooled(options: WorldOptions = {}): Promise<World> {
  const world = new World({ replicas: 2, ...options, config: { ...CONFIG, ...options.config } });
  await world.conf(1, 1);
  for (let version = 2; version <= 6; version += 1) await world.load(version, [version * 10]);
  await world.clock.run(DUE_MS);
  expect(await world.clock.runUntil(() => world.isCooled(6), LONG_MS)).toBe(true);
  return world;
}

async function within<T>(world: World, work: Promise<T>): Promise<T> {
  let done = false;
  const ended = work.finally(() => (done = true));
  ended.catch(() => undefined);
  await world.clock.runUntil(() => done, LONG_MS);
  return await ended;
}

const compact = async (world: World, node = 1): Promise<boolean> =>
  await within(world, world.node(node).cooldown.compaction?.compact(TABLET) ?? never());

const collect = async (world: World, node = 1) =>
  await within(world, world.node(node).cooldown.collection.collect());

async function never(): Promise<boolean> {
  return await Promise.reject(new Error('no compaction'));
}

describe('compaction of cooled rowsets', () => {
  it('five loads become one object when what is unused is collected', async () => {
    const world = await cooled();
    expect(world.dataKeys()).toHaveLength(5);
    expect(await compact(world)).toBe(true);
    expect(world.dataKeys()).toHaveLength(6);
    await world.check();
    expect(await world.clock.runUntil(() => world.isCooled(6), LONG_MS)).toBe(true);
    world.confirm = (tabletIds) => tabletIds;
    expect(await collect(world)).toEqual({ refused: [], young: [] });
    expect(world.dataKeys()).toHaveLength(1);
    expect(world.bucket.keys()).toHaveLength(3);
    await world.check();
    const [only, ...rest] = (await world.manifest())?.rowsets ?? [];
    expect(rest).toEqual([]);
    expect(only).toMatchObject({ startVersion: 0, endVersion: 6, bytes: 200 });
    for (const node of world.nodes) expect(node.disk.keys()).toEqual([]);
    expect(world.node(1).store.uploads()).toEqual([]);
    expect(await compact(world)).toBe(false);
  });

  it('comes at once when its interval is shortened and is over by then', async () => {
    const world = await cooled();
    const { config, engine } = world.node(1);
    await world.clock.run(60_000);
    expect(engine.counts.compactions).toBe(0);
    config.replace({ cold_data_compaction_interval_sec: '200000' });
    await world.clock.run(1000);
    expect(engine.counts.compactions).toBe(0);
    config.replace({ cold_data_compaction_interval_sec: '30' });
    await world.clock.run(1000);
    expect(engine.counts.compactions).toBe(1);
  });

  it('comes by itself, and the rest of the tablet goes on', async () => {
    const world = await cooled({ config: { cold_data_compaction_interval_sec: '30' } });
    await world.clock.run(60_000);
    expect(world.node(1).engine.counts.compactions).toBe(1);
    await world.load(7, [70]);
    await world.clock.run(DUE_MS);
    expect(await world.clock.runUntil(() => world.isCooled(7), LONG_MS)).toBe(true);
    await world.check();
    const rowsets = (await world.manifest())?.rowsets.map((each) => each.startVersion);
    expect(rowsets).toEqual([0, 7]);
  });

  it('is not done by a follower, nor for fewer rowsets than the threshold', async () => {
    const world = await cooled();
    expect(await compact(world, 2)).toBe(false);
    const strict = await cooled({ config: { cold_data_compaction_score_threshold: '7' } });
    expect(await compact(strict)).toBe(false);
  });

  it('publishes nothing when another one leads meanwhile', async () => {
    const world = await cooled();
    const head = await world.head();
    await world.conf(2, 2, [world.node(2)]);
    await world.clock.run(1000);
    expect(await compact(world)).toBe(false);
    expect(await world.head()).toMatchObject({ term: 2, metaId: head?.metaId });
    expect(world.node(1).engine.counts.fenced).toBe(1);
    await world.check();
  });

  it('merges nothing of which a bit has changed in the resource', async () => {
    const world = await cooled();
    const [key = ''] = world.dataKeys();
    const body = await world.bucket.get(key);
    body[body.length >> 1] = (body[body.length >> 1] ?? 0) ^ 1;
    await world.bucket.put(key, body);
    await expect(compact(world)).rejects.toThrow(`object ${key} is damaged`);
    expect(world.dataKeys()).toHaveLength(5);
    body[body.length >> 1] = (body[body.length >> 1] ?? 0) ^ 1;
    await world.bucket.put(key, body);
    expect(await compact(world)).toBe(true);
    await world.check();
  });

  it.each([
    ['before', false],
    ['after', true],
  ])('dies at every call, %s it, and loses nothing', async (_, isDone) => {
    let died = true;
    let call = 1;
    for (; died; call += 1) {
      const world = await cooled();
      const node = world.node(1);
      node.start({ call, isDone });
      await world.clock.run(1000);
      void node.cooldown.compaction?.compact(TABLET).catch(() => undefined);
      await world.clock.runUntil(() => node.life.isDead, 60_000);
      died = node.life.isDead;
      await world.check();
      node.start();
      world.node(2).engine.coolNow([TABLET]);
      expect(await world.clock.runUntil(() => world.isCooled(6), LONG_MS)).toBe(true);
      world.confirm = (tabletIds) => tabletIds;
      await world.clock.run(60_000);
      expect(await collect(world)).toEqual({ refused: [], young: [] });
      await world.check();
      const { rowsets = [] } = (await world.manifest()) ?? {};
      expect(world.dataKeys()).toHaveLength(rowsets.length === 1 ? 1 : 5);
      expect(node.store.uploads()).toEqual([]);
    }
    expect(call).toBeGreaterThan(15);
  });
});

describe('what is merged', () => {
  const rowset = (n: number, bytes: number, kind: 'local' | 'remote' = 'remote') =>
    ({
      rowsetId: `r${n}`,
      startVersion: n,
      endVersion: n,
      bytes,
      place: { kind },
    }) as unknown as ReplicaRowset;
  const GIB = 2 ** 30;

  it.each<[string, readonly [number, ('local' | 'remote')?][], number, readonly number[]]>([
    ['all that is cooled', [[1], [1], [1], [1, 'local']], 3, [0, 1, 2]],
    ['nothing below the threshold', [[1], [1], [1, 'local']], 3, []],
    ['not a large one for little', [[2 * GIB], [1], [1], [1]], 3, [1, 2, 3]],
    ['a large one for as much', [[2 * GIB], [GIB], [GIB], [1]], 3, [0, 1, 2, 3]],
    ['not several large ones', [[9 * GIB], [2 * GIB], [1], [1]], 2, [2, 3]],
    ['nothing but a large one', [[9 * GIB], [1], [1]], 3, []],
  ])('%s', (_, sizes, threshold, wanted) => {
    const rowsets = sizes.map(([bytes, kind], n) => rowset(n, bytes, kind));
    const inputs = pickColdInputs(rowsets, threshold).map((each) => each.startVersion);
    expect(inputs).toEqual(wanted);
  });
});

describe('collection', () => {
  const ORPHAN = `data/${TABLET}/${'e'.repeat(32)}_0.dat`;

  async function withOrphans(options: WorldOptions = {}): Promise<World> {
    const world = await cooled(options);
    await world.bucket.put(ORPHAN, new Uint8Array(5));
    await world.bucket.put(`data/${TABLET}/m/1.0.101.meta`, new Uint8Array(5));
    return world;
  }

  it('deletes nothing that the server does not confirm', async () => {
    const world = await withOrphans();
    const keys = world.bucket.keys();
    expect(await collect(world)).toEqual({ refused: [TABLET], young: [] });
    expect(world.bucket.keys()).toEqual(keys);
    world.confirm = (tabletIds) => tabletIds;
    await collect(world);
    expect(world.bucket.keys()).toHaveLength(keys.length - 2);
    expect(await world.bucket.head(ORPHAN)).toBeUndefined();
    await world.check();
  });

  it('deletes nothing within the grace period, by the time of the store and by the own', async () => {
    const world = await withOrphans({ config: { cooldown_garbage_grace_seconds: '1000' } });
    world.confirm = (tabletIds) => tabletIds;
    expect(await collect(world)).toEqual({ refused: [], young: [TABLET] });
    await world.clock.run(900_000);
    expect(await collect(world)).toEqual({ refused: [], young: [TABLET] });
    await world.clock.run(101_000);
    expect(await collect(world)).toEqual({ refused: [], young: [] });
    expect(await world.bucket.head(ORPHAN)).toBeUndefined();
  });

  it('knows an object for the grace period before it believes its age', async () => {
    const world = await withOrphans({ config: { cooldown_garbage_grace_seconds: '1000' } });
    world.confirm = (tabletIds) => tabletIds;
    await world.clock.run(2_000_000);
    expect(await collect(world)).toEqual({ refused: [], young: [TABLET] });
    await world.clock.run(1_000_000);
    expect(await collect(world)).toEqual({ refused: [], young: [] });
  });

  it('spares what is being uploaded, what is pinned, and what is local', async () => {
    const world = await withOrphans();
    const node = world.node(1);
    const name = 'e'.repeat(32) as ReplicaRowset['rowsetId'];
    world.confirm = (tabletIds) => {
      // Begun between the listing and the deletion.
      node.store.beginUpload({
        tabletId: TABLET,
        rowsetId: name,
        resourceId: RESOURCE,
        startedMs: 1,
      });
      return tabletIds;
    };
    await collect(world);
    expect(await world.bucket.head(ORPHAN)).toBeDefined();
    node.store.endUpload(name);
    const unpin = node.local.pin(name);
    world.confirm = (tabletIds) => tabletIds;
    expect((await collect(world)).refused).toEqual([TABLET]);
    expect(await world.bucket.head(ORPHAN)).toBeDefined();
    unpin();
    await collect(world);
    expect(await world.bucket.head(ORPHAN)).toBeUndefined();
    // An earlier leader's upload of what is still local here.
    await world.load(7, [7]);
    const [key = ''] = node.disk.keys();
    await world.bucket.put(key, await node.disk.get(key));
    await collect(world);
    expect(await world.bucket.head(key)).toBeDefined();
  });

  it('deletes nothing when HEAD has changed since the listing', async () => {
    const world = await withOrphans();
    world.confirm = async (tabletIds) => {
      // A new leader's claim, between the listing and the deletion.
      const claim = encode({ ...((await world.head()) as Head), term: 2, seq: 0 });
      await world.bucket.put(headKey(TABLET), claim);
      return tabletIds;
    };
    const keys = world.bucket.keys();
    expect((await collect(world)).refused).toEqual([TABLET]);
    expect(world.bucket.keys()).toEqual(keys);
  });

  it('leaves alone what a higher term or somebody else has put there', async () => {
    const world = await withOrphans();
    world.confirm = (tabletIds) => tabletIds;
    const foreign = [`data/${TABLET}/m/2.1.102.meta`, `data/${TABLET}/notes.txt`];
    for (const key of foreign) await world.bucket.put(key, new Uint8Array(1));
    await collect(world);
    for (const key of foreign) expect(await world.bucket.head(key)).toBeDefined();
  });

  it('is for the leader only, with the list that HEAD names', async () => {
    const world = await withOrphans();
    world.confirm = (tabletIds) => tabletIds;
    const keys = world.bucket.keys();
    expect(await collect(world, 2)).toEqual({ refused: [], young: [] });
    await world.conf(2, 2, [world.node(2)]);
    await world.clock.run(1000);
    // Fenced, without knowing it before.
    await collect(world, 1);
    expect(world.bucket.keys()).toEqual(keys);
    await collect(world, 2);
    expect(await world.bucket.head(ORPHAN)).toBeUndefined();
    await world.check();
  });

  it('comes to an end although there is always something new to be cooled', async () => {
    const config = {
      cold_data_compaction_interval_sec: '60',
      cold_data_compaction_score_threshold: '2',
      remove_unused_remote_files_interval_sec: '600',
    };
    const world = await cooled({ config });
    // As the server: only when all have the same list.
    world.confirm = (tabletIds) => {
      const [first, ...rest] = world.nodes.map(({ state }) => state.metaId);
      return rest.every((metaId) => metaId === first) ? tabletIds : [];
    };
    const { counts } = world.node(1).engine;
    let most = 0;
    for (let version = 7; version < 7 + 600; version += 1) {
      await world.load(version, [10]);
      await world.clock.run(5000);
      most = Math.max(most, world.bucket.keys().length);
    }
    expect(counts.compactions).toBeGreaterThan(20);
    expect(counts.deletedObjects).toBeGreaterThan(200);
    expect(await world.clock.runUntil(() => world.isCooled(606), LONG_MS)).toBe(true);
    expect(most).toBeLessThan(600);
    await world.check();
  });

  it('comes by itself and asks again after a refusal', async () => {
    const config = {
      remove_unused_remote_files_interval_sec: '1000',
      confirm_unused_remote_files_interval_sec: '10',
    };
    const world = await withOrphans({ config });
    let asked = 0;
    world.confirm = (tabletIds) => {
      asked += 1;
      return asked < 3 ? [] : tabletIds;
    };
    await world.clock.run(1_100_000);
    expect(asked).toBe(3);
    expect(await world.bucket.head(ORPHAN)).toBeUndefined();
  });
});
