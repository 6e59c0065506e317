/** What leaders and followers do without crashes; see crashes.test.ts for those. */
import { describe, expect, it } from '@jest/globals';
import { headKey } from '../../../be-agent/cooldown/manifest.ts';
import type { ObjectStore } from '../../../base/ports.ts';
import { TABLET, TTL_SECONDS, World } from './cooling_world.ts';

const DUE_MS = TTL_SECONDS * 1000 + 1000;
const LONG_MS = 600_000;

describe('cooling by a leader', () => {
  it('does nothing before a leader is named, whatever is due', async () => {
    const world = new World({ replicas: 2 });
    await world.load(2);
    await world.clock.run(LONG_MS);
    expect(world.bucket.keys()).toEqual([]);
    expect(world.node(1).engine.stateOf(TABLET)).toMatchObject({
      state: 'WAITING',
      waits: 'a leader to be elected',
    });
  });

  it('uploads each segment once, publishes, and drops the local copies of all replicas', async () => {
    const world = new World({ replicas: 3 });
    await world.load(2, [100, 200]);
    await world.load(3, []);
    await world.load(4, [300]);
    await world.conf(1, 1);
    expect(world.node(1).engine.stateOf(TABLET)).toMatchObject({ state: 'HOT', waits: '' });
    await world.clock.run(DUE_MS);
    expect(await world.clock.runUntil(() => world.isCooled(4), LONG_MS)).toBe(true);
    await world.check();
    expect(world.dataKeys()).toHaveLength(3);
    expect(await world.head()).toMatchObject({ term: 1, replica: 101, seq: 1, cooledVersion: 4 });
    expect((await world.manifest())?.rowsets.map((each) => each.endVersion)).toEqual([1, 2, 3, 4]);
    for (const node of world.nodes) {
      expect(node.disk.keys()).toEqual([]);
      expect(node.store.uploads()).toEqual([]);
      expect(node.engine.stateOf(TABLET)).toMatchObject({ state: 'COOLED', error: '', waits: '' });
    }
    const { counts } = world.node(1).engine;
    expect(counts).toMatchObject({ uploadedObjects: 3, uploadedBytes: 600, published: 1 });
    expect(world.node(2).engine.counts).toMatchObject({ uploadedObjects: 0, followed: 1 });
  });

  it('cools nothing before its time, and an empty tablet never', async () => {
    const world = new World();
    await world.conf(1, 1);
    await world.clock.run(LONG_MS);
    await world.load(2, []);
    await world.clock.run(LONG_MS);
    expect(world.bucket.keys()).toEqual([]);
    await world.load(3);
    await world.clock.run(TTL_SECONDS * 1000 - 100);
    expect(world.bucket.keys()).toEqual([]);
    expect(await world.clock.runUntil(() => world.isCooled(3), 5000)).toBe(true);
    // Empty ones after it are cooled too, in their time.
    await world.load(4, []);
    await world.clock.run(DUE_MS);
    expect(await world.clock.runUntil(() => world.isCooled(4), LONG_MS)).toBe(true);
    expect(world.dataKeys()).toHaveLength(1);
    await world.check();
  });

  it('cools what is asked for at once, and nothing that is loaded after it', async () => {
    const world = new World({ replicas: 2, policy: { cooldown: { kind: 'ttl', seconds: 1e9 } } });
    await world.load(2);
    await world.conf(2, 1);
    for (const node of world.nodes) node.engine.coolNow([TABLET]);
    expect(await world.clock.runUntil(() => world.isCooled(2), 60_000)).toBe(true);
    await world.load(3);
    await world.clock.run(LONG_MS);
    expect(world.isCooled(2)).toBe(true);
    await world.check();
  });

  it('is followed by replicas whose policy was taken away before they had looked', async () => {
    const world = new World({ replicas: 2 });
    await world.load(2);
    const [leader, follower] = [world.node(1), world.node(2)];
    follower.store.setPolicy(TABLET, undefined);
    await world.conf(1, 1);
    await world.clock.run(LONG_MS);
    const resource = leader.store.get(TABLET)?.rowsets.at(-1)?.place;
    expect(world.isCooled(2)).toBe(false);
    if (resource?.kind !== 'remote') throw new Error('the leader has not cooled');
    leader.store.setPolicy(TABLET, undefined);
    follower.engine.followIn(TABLET, resource.resourceId);
    expect(await world.clock.runUntil(() => world.isCooled(2), 60_000)).toBe(true);
    await world.check();
  });

  it('follows as soon as the interval of its looks is shorter', async () => {
    const config = { generate_cooldown_task_interval_sec: '86400' };
    const world = new World({ replicas: 2, config });
    await world.load(2);
    await world.conf(1, 1);
    await world.clock.run(TTL_SECONDS * 1000 + 3000);
    expect(world.node(1).cooledVersion).toBe(2);
    expect(world.node(2).cooledVersion).toBe(-1);
    world.node(2).config.replace({ generate_cooldown_task_interval_sec: '10' });
    await world.clock.run(11_000);
    expect(world.isCooled(2)).toBe(true);
  });

  it('follows at once when it is told of something new', async () => {
    const config = { generate_cooldown_task_interval_sec: '86400' };
    const world = new World({ replicas: 2, config });
    await world.load(2);
    await world.conf(1, 1);
    await world.clock.run(DUE_MS + 2000);
    expect(world.node(1).cooledVersion).toBe(2);
    expect(world.node(2).cooledVersion).toBe(-1);
    for (const node of world.nodes) node.engine.followNow([TABLET]);
    await world.clock.run(1000);
    expect(world.isCooled(2)).toBe(true);
    expect(world.node(1).engine.counts.published).toBe(1);
    await world.check();
  });

  it('cools at a moment, not at it but after it', async () => {
    const world = new World();
    const atMs = world.clock.now() + 100_000;
    const { store } = world.node(1);
    const [policy] = store.policies();
    if (policy === undefined) throw new Error('no policy');
    const dated = { ...policy, version: 1, cooldown: { kind: 'datetime', atMs } as const };
    store.applyPolicies({ policies: [dated], resources: [], dropped: [] });
    await world.load(2);
    await world.conf(1, 1);
    await world.clock.run(atMs - world.clock.now());
    expect(world.bucket.keys()).toEqual([]);
    expect(await world.clock.runUntil(() => world.isCooled(2), 3000)).toBe(true);
  });

  it('uploads large segments in pieces and verifies them', async () => {
    const world = new World({ replicas: 2 });
    await world.load(2, [17 * 2 ** 20 + 17, 5]);
    await world.conf(1, 1);
    await world.clock.run(DUE_MS);
    expect(await world.clock.runUntil(() => world.isCooled(2), LONG_MS)).toBe(true);
    await world.check();
  });

  it('uploads no faster than it may', async () => {
    const limit = { cooldown_upload_rate_limit_bytes_per_second: '1000', cooldown_thread_num: '2' };
    const world = new World({ config: limit });
    await world.load(2, [5000, 5000, 5000, 5000]);
    await world.conf(1, 1);
    await world.clock.run(DUE_MS);
    const before = world.clock.now();
    expect(await world.clock.runUntil(() => world.isCooled(2), LONG_MS)).toBe(true);
    // The first piece passes at once.
    expect(world.clock.now() - before).toBeGreaterThan(13_000);
  });
});

describe('what is damaged', () => {
  it('never uploads a damaged local segment, and says that the replica is bad', async () => {
    const world = new World({ replicas: 2 });
    await world.load(2);
    const [key = ''] = world.node(1).disk.keys();
    await world.node(1).disk.put(key, new Uint8Array(100));
    await world.conf(1, 1);
    await world.clock.run(DUE_MS + LONG_MS);
    expect(world.dataKeys()).toEqual([]);
    expect(await world.head()).toBeUndefined();
    expect(world.node(1).state.isBad).toBe(true);
    // Another one leads, and the damaged replica takes over what it uploads.
    await world.conf(2, 2);
    expect(await world.clock.runUntil(() => world.isCooled(2), LONG_MS)).toBe(true);
    await world.check();
    expect(world.node(1).state.isBad).toBe(false);
  });

  it.each([0, 50, 100])(
    'replaces an unpublished object with %d bytes in its place',
    async (size) => {
      const world = new World({ replicas: 2 });
      await world.load(2);
      const [key = ''] = world.node(1).disk.keys();
      await world.bucket.put(key, new Uint8Array(size));
      await world.conf(1, 1);
      await world.clock.run(DUE_MS);
      expect(await world.clock.runUntil(() => world.isCooled(2), LONG_MS)).toBe(true);
      await world.check();
      expect(world.node(1).engine.counts.replacedObjects).toBe(1);
    },
  );

  it('says that it waits for its next try when it failed as the leader', async () => {
    const world = new World({ replicas: 1 });
    await world.load(2);
    await world.bucket.put(headKey(TABLET), Buffer.from('no JSON'));
    await world.conf(1, 1);
    await world.clock.run(DUE_MS + 1000);
    expect(world.node(1).engine.stateOf(TABLET)).toMatchObject({
      state: 'FAILED',
      waits: 'its next try, after a pause',
    });
  });

  it('keeps its copy when a published object is missing, and says which', async () => {
    const world = new World({ replicas: 2 });
    await world.load(2);
    const [key = ''] = world.node(1).disk.keys();
    await world.conf(1, 1, [world.node(1)]);
    await world.clock.run(DUE_MS);
    await world.clock.run(5000);
    expect(world.node(1).cooledVersion).toBe(2);
    const body = await world.bucket.get(key);
    await world.bucket.delete([key]);
    await world.conf(1, 1);
    await world.clock.run(30_000);
    expect(world.node(2).cooledVersion).toBe(-1);
    const { state, error } = world.node(2).engine.stateOf(TABLET) ?? {};
    expect(state).toBe('FAILED');
    expect(error).toContain(key);
    await world.bucket.put(key, body);
    expect(await world.clock.runUntil(() => world.isCooled(2), LONG_MS)).toBe(true);
  });

  it.each([undefined, 5])(
    'writes a lost object again when it leads, %s bytes left',
    async (left) => {
      const world = new World({ replicas: 3 });
      await world.load(2, [100, 50]);
      await world.conf(1, 1, [world.node(1)]);
      await world.clock.run(DUE_MS + 5000);
      expect(world.node(1).cooledVersion).toBe(2);
      const [key = ''] = world.dataKeys();
      if (left === undefined) await world.bucket.delete([key]);
      else await world.bucket.put(key, new Uint8Array(left));
      await world.conf(2, 2);
      expect(await world.clock.runUntil(() => world.isCooled(2), LONG_MS)).toBe(true);
      await world.check();
      expect(world.node(2).engine.counts).toMatchObject({ claimed: 1, published: 0 });
    },
  );

  it('keeps its copy until what it found there is named, and still there', async () => {
    // A collector of an older term, which stood still, deletes what was nobody's when it listed.
    const lost: string[] = [];
    const world = new World({
      bucketOf: (bucket) =>
        new Proxy<ObjectStore>(bucket, {
          get: (target, property) => {
            const value: unknown = Reflect.get(target, property, target);
            if (property !== 'put' || typeof value !== 'function') {
              return typeof value === 'function' ? (value.bind(target) as unknown) : value;
            }
            return async (key: string, ...rest: unknown[]): Promise<unknown> => {
              if (key.endsWith('/HEAD')) await bucket.delete(lost.splice(0));
              return (await Reflect.apply(value, target, [key, ...rest])) as unknown;
            };
          },
        }),
    });
    await world.load(2, [100, 50]);
    for (const key of world.node(1).disk.keys()) {
      await world.bucket.put(key, await world.node(1).disk.get(key));
      lost.push(key);
    }
    await world.conf(1, 1);
    await world.clock.run(DUE_MS);
    expect(await world.clock.runUntil(() => world.isCooled(2), LONG_MS)).toBe(true);
    expect(lost).toEqual([]);
    await world.check();
    const { counts } = world.node(1).engine;
    expect(counts).toMatchObject({ reusedObjects: 2, uploadedObjects: 2, published: 1 });
  });

  it('does not follow a manifest that is not what HEAD says', async () => {
    const world = new World({ replicas: 2 });
    await world.load(2);
    await world.conf(1, 1, [world.node(1)]);
    await world.clock.run(DUE_MS + 5000);
    const head = await world.head();
    const manifest = await world.bucket.get(head?.manifestKey ?? '');
    await world.bucket.put(head?.manifestKey ?? '', new TextEncoder().encode('{}'));
    await world.conf(1, 1);
    await world.clock.run(60_000);
    expect(world.node(2).cooledVersion).toBe(-1);
    expect(world.node(2).engine.stateOf(TABLET)?.error).toMatch(/HEAD names another sha256/);
    await world.bucket.put(head?.manifestKey ?? '', manifest);
    expect(await world.clock.runUntil(() => world.isCooled(2), LONG_MS)).toBe(true);
  });
});

describe('changes of the leader', () => {
  it('claims HEAD and builds upon what the one before it has published', async () => {
    const world = new World({ replicas: 3 });
    await world.load(2);
    await world.conf(1, 1);
    await world.clock.run(DUE_MS);
    expect(await world.clock.runUntil(() => world.isCooled(2), LONG_MS)).toBe(true);
    await world.load(3);
    await world.conf(2, 2);
    await world.clock.run(1000);
    expect(await world.head()).toMatchObject({ term: 2, replica: 102, seq: 0, cooledVersion: 2 });
    await world.clock.run(DUE_MS);
    expect(await world.clock.runUntil(() => world.isCooled(3), LONG_MS)).toBe(true);
    await world.check();
    expect(world.node(2).engine.counts).toMatchObject({ uploadedObjects: 1, claimed: 1 });
    expect(world.dataKeys()).toHaveLength(2);
  });

  it('refuses an old leader that has not heard of the new one', async () => {
    const world = new World({ replicas: 3 });
    const [first, second, third] = [world.node(1), world.node(2), world.node(3)];
    await world.load(2);
    await world.conf(1, 1);
    await world.clock.run(DUE_MS);
    await world.clock.runUntil(() => world.isCooled(2), LONG_MS);
    await world.load(3);
    await world.conf(2, 2, [second, third]);
    await world.clock.run(DUE_MS + 60_000);
    const counts = [first, second].map(({ engine }) => engine.counts.uploadedObjects);
    // Either may have sent the object; only the new one published it.
    expect(counts.reduce((sum, count) => sum + count)).toBe(2);
    expect(await world.head()).toMatchObject({ term: 2, replica: 102, cooledVersion: 3 });
    expect(first.engine.counts.fenced).toBe(1);
    await world.conf(2, 2);
    expect(await world.clock.runUntil(() => world.isCooled(3), LONG_MS)).toBe(true);
    await world.check();
  });

  it('answers what it knows, and keeps a term to one replica', async () => {
    const world = new World({ replicas: 2 });
    const { engine } = world.node(1);
    const conf = (replica: number, term: number) => ({
      tabletId: TABLET,
      replicaId: world.node(replica).replicaId,
      term,
    });
    const push = async (replica: number, term: number): Promise<string | undefined> =>
      (await engine.pushConf([conf(replica, term)]))[0]?.outcome;
    expect(await push(1, 2)).toBe('ACCEPTED');
    expect(await push(1, 2)).toBe('SAME');
    expect(await push(2, 2)).toBe('CONFLICT');
    expect(await push(2, 1)).toBe('STALE');
    expect(await push(2, 5)).toBe('ACCEPTED');
    expect(world.node(1).state.lead).toEqual({ replicaId: 102, term: 5 });
    const unknown = { ...conf(1, 9), tabletId: (TABLET + 1) as typeof TABLET };
    expect((await engine.pushConf([unknown]))[0]?.outcome).toBe('MISSING');
  });

  it('stops an upload by an older term before it accepts a new one', async () => {
    const limit = { cooldown_upload_rate_limit_bytes_per_second: '10' };
    const world = new World({ replicas: 2, config: limit });
    await world.load(2, [100, 100, 100]);
    await world.conf(1, 1);
    await world.clock.run(DUE_MS + 5000);
    expect(world.node(1).engine.isBusy(TABLET)).toBe(true);
    expect(world.node(1).engine.stateOf(TABLET)?.state).toBe('COOLING');
    await world.conf(2, 2);
    await world.clock.settle();
    const sent = world.node(1).engine.counts.uploadedObjects;
    expect(await world.clock.runUntil(() => world.isCooled(2), LONG_MS)).toBe(true);
    expect(world.node(1).engine.counts.uploadedObjects).toBe(sent);
    expect(await world.head()).toMatchObject({ term: 2, replica: 102 });
    await world.check();
  });

  it('is told by the resource that a term has two replicas, and publishes nothing', async () => {
    const world = new World({ replicas: 2 });
    await world.load(2);
    await world.conf(1, 3, [world.node(1)]);
    await world.clock.run(DUE_MS + 5000);
    await world.load(3);
    await world.conf(2, 3, [world.node(2)]);
    await world.clock.run(DUE_MS);
    expect(world.node(2).engine.counts.published).toBe(0);
    expect(world.node(2).engine.stateOf(TABLET)?.error).toContain('both have term 3');
    await world.check();
  });
});

describe('replicas that are not alike', () => {
  it('gets versions that it missed with the manifest', async () => {
    const world = new World({ replicas: 3 });
    const [first, second] = [world.node(1), world.node(2)];
    await world.load(2);
    await world.load(3, [50], [first, second]);
    await world.load(4);
    expect(world.node(3).state.version).toBe(2);
    await world.conf(1, 1);
    await world.clock.run(DUE_MS);
    expect(await world.clock.runUntil(() => world.isCooled(4), LONG_MS)).toBe(true);
    expect(world.node(3).state.version).toBe(4);
    await world.check();
  });

  it('a leader that lags adopts what is published before it publishes', async () => {
    const world = new World({ replicas: 2 });
    const [first, second] = [world.node(1), world.node(2)];
    await world.load(2);
    await world.load(3, [50], [first]);
    await world.conf(1, 1, [first]);
    await world.clock.run(DUE_MS + 5000);
    expect(first.cooledVersion).toBe(3);
    await world.load(4);
    await world.conf(2, 2);
    await world.clock.run(DUE_MS);
    expect(await world.clock.runUntil(() => world.isCooled(4), LONG_MS)).toBe(true);
    expect(second.state.version).toBe(4);
    await world.check();
  });

  it('refuses a manifest with other rows, and keeps what it has', async () => {
    const world = new World({ replicas: 2 });
    await world.load(2, [100], [world.node(1)]);
    const other = [{ segment: 0, bytes: 7, rows: 99, indexOffset: 1, crc32: 5 }];
    world.node(2).addRowset('c'.repeat(32) as never, 2, other);
    await world.conf(1, 1);
    await world.clock.run(DUE_MS + 60_000);
    expect(world.node(1).cooledVersion).toBe(2);
    expect(world.node(2).cooledVersion).toBe(-1);
    expect(world.node(2).engine.stateOf(TABLET)?.error).toContain('99 rows here and 10');
    const before = world.clock.now();
    const { failures } = world.node(2).engine.counts;
    await world.clock.run(140_000);
    expect(world.node(2).engine.counts.failures - failures).toBeLessThanOrEqual(1);
    expect(world.clock.now()).toBeGreaterThan(before);
  });
});

describe('a replica that is dropped', () => {
  it('ends its upload first', async () => {
    const limit = { cooldown_upload_rate_limit_bytes_per_second: '10' };
    const world = new World({ config: limit });
    await world.load(2, [100, 100, 100]);
    await world.conf(1, 1);
    await world.clock.run(DUE_MS + 5000);
    const { engine, store, replicaId } = world.node(1);
    expect(engine.isBusy(TABLET)).toBe(true);
    await engine.quiesce([TABLET]);
    store.drop(TABLET, replicaId);
    const keys = world.bucket.keys();
    await world.clock.run(LONG_MS);
    expect(world.bucket.keys()).toEqual(keys);
    expect(await world.head()).toBeUndefined();
    expect(engine.stateOf(TABLET)).toBeUndefined();
  });
});
