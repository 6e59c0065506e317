/** What is left of a lost tablet, what is done about it, and what is never done. */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Config } from '../../base/config.ts';
import { SqlError } from '../../base/errors.ts';
import { type ResourceId, type TabletId, id } from '../../base/ids.ts';
import type { CooledTablet, ReplicaSnapshot } from '../../base/replica.ts';
import type { TableDef } from '../../base/schema.ts';
import type { ReplicaDef } from '../../catalog/replicas.ts';
import { type RebuiltTablet, ReplicaRebuild } from '../../jobs/replica_rebuild.ts';
import { WholeRebuilds } from '../../jobs/whole_rebuilds.ts';
import { COUNTS, beginLoad, rowsetsFor } from '../catalog/fixture.ts';
import { ReplicaWorld } from './replica_world.ts';

const VISIBLE = 4;
const STORE = { kind: 'file', path: '/nowhere' } as const;

let world: ReplicaWorld;
let table: TableDef;
let tabletId: TabletId;
let config: Config;
let resourceId: ResourceId;
/** What replicas have on their disks; one that is not here is lost. */
let disks: Map<number, Partial<ReplicaSnapshot>>;
let cooled: Omit<CooledTablet, 'tabletId'>;
let rebuild: ReplicaRebuild;

beforeEach(async () => {
  world = await ReplicaWorld.open(['a', 'b', 'c']);
  config = new Config();
  disks = new Map();
  cooled = { problem: '' };
  rebuild = new ReplicaRebuild({ ...world.deps, config });
  world.answers.replicaSnapshots = (_, backendId) => ({
    replicas: replicas()
      .filter((one) => one.backendId === backendId && disks.has(one.replicaId))
      .map(({ replicaId }) => ({
        tabletId,
        replicaId,
        rowsets: [],
        version: VISIBLE,
        ...disks.get(replicaId),
      })),
  });
  world.answers.readCooled = () => ({ tablets: [{ tabletId, ...cooled }] });
  world.answers.rebuildReplica = ({ replica, version, isLossAllowed }) => {
    const before = disks.get(replica.replicaId)?.version ?? 1;
    const from = Math.max(cooled.head?.cooledVersion ?? -1, before) + 1;
    const emptied = from <= version ? [{ from, to: version }] : [];
    if (emptied.length > 0 && !isLossAllowed) throw new Error('a loss that is not allowed');
    disks.set(replica.replicaId, { version });
    return { emptied, cooledVersion: cooled.head?.cooledVersion ?? -1, rows: 7 };
  };
});

afterEach(async () => {
  await world.close();
});

/** A table with one tablet and VISIBLE versions, bound to a policy, on these many replicas. */
async function lose(replicationNum: number): Promise<readonly ReplicaDef[]> {
  const { catalog } = world;
  const body = { store: STORE, validityCheck: true, conditionalWrites: 'true' } as const;
  ({ resourceId } = await catalog.resources.create('r', body));
  const policy = await catalog.storagePolicies.create('p', 'r', { kind: 'ttl', seconds: 1 });
  table = await world.table('t', replicationNum, 1);
  await catalog.storagePolicies.bind(table.tableId, 'table', policy);
  for (let version = 2; version <= VISIBLE; version += 1) {
    const txnId = await beginLoad(catalog, table, `l${version}`);
    const rowsets = rowsetsFor(catalog, table, 1);
    await catalog.commitLoad(txnId, rowsets, COUNTS, undefined, world.prepared(table));
  }
  table = await catalog.tables.get('d', 't');
  const lost = world.replicas(table);
  tabletId = lost[0]?.tabletId ?? id(0);
  for (const one of lost) await catalog.replicas.markMissing(one, { from: 0, to: VISIBLE });
  return lost;
}

function replicas(): ReplicaDef[] {
  return world.catalog.replicas.ofTablet(tabletId);
}

function head(cooledVersion: number, term = 3): void {
  const metaId = 'm';
  cooled = {
    problem: '',
    head: { replicaId: id(9), term, resourceId, metaId, cooledVersion, rows: 7 },
  };
}

async function run(isLossAllowed = true): Promise<RebuiltTablet | undefined> {
  const { signal } = new AbortController();
  return await rebuild.rebuild(tabletId, { isLossAllowed, signal });
}

describe('a tablet without a replica', () => {
  it('is made of what is cooled, whole, by a new replica with a new term', async () => {
    const [old] = await lose(1);
    head(VISIBLE);
    const done = await run(false);
    expect(done).toMatchObject({ isRebuilt: true, cooledVersion: VISIBLE, lost: [], rows: 7 });
    expect(done?.detail).toBe('made of its cooled data; nothing is lost');
    const [now, ...others] = replicas();
    expect(others).toEqual([]);
    expect(now).toMatchObject({ state: 'NORMAL', tabletId });
    expect(now?.missing).toBeUndefined();
    expect(now?.replicaId).not.toBe(old?.replicaId);
    expect(world.catalog.cooldown.lead(tabletId)).toEqual({ replicaId: now?.replicaId, term: 4 });
    expect(world.catalog.lostVersions.list()).toEqual([]);
  });

  it('is in the catalog with its term before its backend hears of it', async () => {
    await lose(1);
    head(VISIBLE);
    const inner = world.answers.rebuildReplica;
    let lead: unknown;
    world.answers.rebuildReplica = (request, backendId) => {
      lead = world.catalog.cooldown.lead(tabletId);
      expect(replicas()).toMatchObject([{ state: 'CLONING', missing: { from: 0, to: VISIBLE } }]);
      expect(request).toMatchObject({ term: 4, resourceId, version: VISIBLE });
      if (inner === undefined) throw new Error('no answer');
      return inner(request, backendId);
    };
    await run();
    expect(lead).toEqual(world.catalog.cooldown.lead(tabletId));
  });

  it('loses what is not cooled only when that is allowed, and then says so', async () => {
    await lose(1);
    head(2);
    const lost = [{ from: 3, to: VISIBLE }];
    const [before] = replicas();
    expect(await run(false)).toMatchObject({
      isRebuilt: false,
      cooledVersion: 2,
      lost,
      detail:
        'versions 3 to 4 are nowhere any more: ADMIN REPAIR TABLE d.t PARTITION (p0) makes it readable without them',
    });
    expect(replicas()).toEqual([before]);
    expect(await run()).toMatchObject({ isRebuilt: true, cooledVersion: 2, lost });
    const [now] = replicas();
    expect(world.catalog.lostVersions.list()).toMatchObject([
      { tabletId, replicaId: now?.replicaId, from: 3, to: VISIBLE, cooledVersion: 2 },
    ]);
    expect(await run()).toBeUndefined();
  });

  it('is not silent about a loss when the answer of the backend is lost', async () => {
    await lose(1);
    head(2);
    const inner = world.answers.rebuildReplica;
    world.answers.rebuildReplica = (request, backendId) => {
      inner?.(request, backendId);
      throw new SqlError('AGENT_LOST', { backend: 1, what: 'rebuildReplica', why: 'for a test' });
    };
    expect(await run()).toMatchObject({ isRebuilt: false });
    expect(replicas()).toMatchObject([{ state: 'CLONING' }]);
    expect(await run(false)).toMatchObject({
      isRebuilt: true,
      lost: [{ from: 3, to: VISIBLE }],
      detail: 'it has all versions; what is lost is empty',
    });
    expect(replicas()).toMatchObject([{ state: 'NORMAL' }]);
  });

  it('goes on with the replica that a failed try has made', async () => {
    await lose(1);
    head(VISIBLE);
    const inner = world.answers.rebuildReplica;
    world.answers.rebuildReplica = ({ replica }) => {
      disks.set(replica.replicaId, { version: 1 });
      throw new SqlError('REBUILD_FAILED', { tablet: tabletId, why: 'the store is away' });
    };
    expect((await run())?.detail).toMatch(/the store is away/);
    const [made] = replicas();
    if (inner !== undefined) world.answers.rebuildReplica = inner;
    expect(await run()).toMatchObject({ isRebuilt: true, lost: [] });
    expect(replicas()).toMatchObject([{ replicaId: made?.replicaId, state: 'NORMAL' }]);
    expect(world.catalog.cooldown.lead(tabletId)?.term).toBe(5);
  });

  it('is rebuilt once, whoever asks for it at the same time', async () => {
    await lose(1);
    head(2);
    const [first, second, third] = await Promise.all([run(false), run(), run()]);
    expect(first).toMatchObject({ isRebuilt: false });
    expect(second).toMatchObject({ isRebuilt: true, lost: [{ from: 3, to: VISIBLE }] });
    expect(third).toBeUndefined();
    expect(rebuild.counts).toEqual({ whole: 0, lossy: 1 });
    expect(replicas()).toHaveLength(1);
  });

  it('is left alone when nothing of it is cooled, or made anew, empty, if that is wanted', async () => {
    await lose(1);
    expect((await run())?.detail).toBe(
      'no replica has anything of it, and nothing of it is cooled: versions 2 to 4 are lost; with recover_with_empty_tablet=true it is made anew, empty',
    );
    config.replace({ recover_with_empty_tablet: 'true' });
    expect(await run()).toMatchObject({ isRebuilt: true, lost: [{ from: 2, to: VISIBLE }] });
  });

  it('is left alone when its cooled data is not whole', async () => {
    await lose(1);
    head(VISIBLE);
    cooled = { ...cooled, problem: 'data/1/x_0.dat is missing' };
    const before = replicas();
    expect((await run())?.detail).toBe('its cooled data cannot be used: data/1/x_0.dat is missing');
    expect(replicas()).toEqual(before);
  });
});

describe('a replica that is away', () => {
  it('may have everything: nothing is done without it', async () => {
    const [old] = await lose(1);
    head(2);
    world.clock.ms += 60_000;
    world.beat(old?.backendId ?? id(0));
    expect((await run())?.detail).toMatch(
      /^backend \d+ \(.:\d\) is not alive and may have replica \d+: start it, or, when its disk is lost for good, ALTER SYSTEM DROPP BACKEND$/,
    );
    world.beat();
    world.mute.add(old?.backendId ?? id(0));
    expect((await run())?.detail).toMatch(/^backend .* may have replica \d+ and cannot say/);
    expect(replicas()).toMatchObject([{ replicaId: old?.replicaId }]);
  });

  it('is as good as ever when it comes back', async () => {
    const [old] = await lose(1);
    disks.set(old?.replicaId ?? 0, {});
    expect(await run(false)).toMatchObject({
      isRebuilt: true,
      lost: [],
      detail: 'it has all versions',
    });
    expect(replicas()).toMatchObject([{ replicaId: old?.replicaId, state: 'NORMAL' }]);
    expect(replicas()[0]?.missing).toBeUndefined();
  });
});

describe('a replica that has not all versions', () => {
  it('is filled with what is cooled, and the others are dropped', async () => {
    const [best, less, none] = await lose(3);
    disks.set(best?.replicaId ?? 0, { version: 3 });
    disks.set(less?.replicaId ?? 0, { version: 2 });
    head(2);
    expect(await run()).toMatchObject({
      replica: { replicaId: best?.replicaId },
      lost: [{ from: 4, to: VISIBLE }],
      detail: `made of replica ${best?.replicaId} and its cooled data; what is lost is empty now`,
    });
    expect(replicas()).toMatchObject([{ replicaId: best?.replicaId, state: 'NORMAL' }]);
    const dropping = world.catalog.replicas.inState('DROPPING');
    expect(dropping).toMatchObject([{ replicaId: less?.replicaId }]);
    expect(world.catalog.replicas.get(tabletId, none?.replicaId ?? id(0))).toBeUndefined();
  });

  it('is kept but for what is damaged of it', async () => {
    const [bad] = await lose(1);
    disks.set(bad?.replicaId ?? 0, { version: VISIBLE });
    world.report(bad === undefined ? [] : [bad], { isBad: true, version: VISIBLE });
    head(2);
    expect((await run(false))?.detail).toMatch(
      /^what is damaged of versions 3 to 4 is nowhere any more: ADMIN REPAIR TABLE/,
    );
    world.answers.rebuildReplica = () => ({
      emptied: [{ from: 3, to: 3 }],
      cooledVersion: 2,
      rows: 5,
    });
    expect(await run()).toMatchObject({
      isRebuilt: true,
      replica: { replicaId: bad?.replicaId },
      lost: [{ from: 3, to: 3 }],
    });
    expect(world.catalog.lostVersions.list()).toMatchObject([{ from: 3, to: 3 }]);
    expect(replicas()[0]?.missing).toBeUndefined();
  });

  it('is left alone while it only has not caught up', async () => {
    const { catalog } = world;
    const [one] = await lose(1);
    await catalog.replicas.clearMissing(one ?? { tabletId, replicaId: id(0) }, VISIBLE);
    disks.set(one?.replicaId ?? 0, { version: 3 });
    expect((await run())?.detail).toMatch(/has version 3 of 4 and catches up: try again later/);
  });

  it('is left alone when another one may have what it lacks', async () => {
    const [best, torn] = await lose(2);
    disks.set(best?.replicaId ?? 0, { version: 3 });
    disks.set(torn?.replicaId ?? 0, { version: 2, later: 1 });
    expect((await run())?.detail).toMatch(
      /has versions after a gap which another replica may lack/,
    );
    expect(replicas()).toHaveLength(2);
  });
});

describe('a rebuild without loss', () => {
  it('is tried by itself, once a minute, and says why it is none', async () => {
    await lose(1);
    head(2);
    let ended = Promise.withResolvers<void>();
    const onEnd = (): void => {
      ended.resolve();
    };
    const whole = new WholeRebuilds({ ...world.deps, rebuild, onEnd });
    expect(whole.attempt(tabletId)).toBe('');
    await ended.promise;
    ended = Promise.withResolvers<void>();
    expect(whole.attempt(tabletId)).toMatch(/^versions 3 to 4 are nowhere any more/);
    head(VISIBLE);
    world.clock.ms += 60_000;
    whole.attempt(tabletId);
    await ended.promise;
    expect(replicas()).toMatchObject([{ state: 'NORMAL' }]);
    await whole.close();
  });
});
