import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { id } from '../../base/ids.ts';
import type { BackendId, ReplicaId, TabletId } from '../../base/ids.ts';
import type { TableDef } from '../../base/schema.ts';
import { ReplicaUpkeep } from '../../jobs/replica_upkeep.ts';
import { COUNTS, beginLoad, rowsetsFor } from '../catalog/fixture.ts';
import { ReplicaWorld } from './replica_world.ts';

let world: ReplicaWorld;
let upkeep: ReplicaUpkeep;

beforeEach(async () => {
  world = await ReplicaWorld.open(['a', 'b', 'c']);
  upkeep = new ReplicaUpkeep(world.deps);
});

afterEach(async () => {
  await upkeep.close();
  await world.close();
});

function backendId(at: number): BackendId {
  const backend = world.backends[at];
  if (backend === undefined) throw new Error(`no backend ${at}`);
  return backend.backendId;
}

async function rounds(count: number, ms = 2000): Promise<void> {
  for (let round = 0; round < count; round += 1) {
    world.clock.ms += ms;
    world.beat();
    await upkeep.round();
  }
}

async function bind(table: TableDef): Promise<number> {
  const { resources, storagePolicies } = world.catalog;
  const store = { kind: 'file', path: '/r' } as const;
  await resources.create('r', { store, validityCheck: false, conditionalWrites: 'true' });
  const policy = await storagePolicies.create('p', 'r', { kind: 'ttl', seconds: 1 });
  await storagePolicies.bind(table.tableId, 'table', policy);
  return policy.policyId;
}

describe('replicas that are to be dropped', () => {
  it('go when their backends have dropped them, however long that takes', async () => {
    const table = await world.table('t', 3);
    await world.catalog.tables.drop(table.tableId);
    await world.catalog.purged();
    world.mute.add(backendId(2));
    world.heard('dropReplicas');
    await rounds(1);
    const dropped = world.heard('dropReplicas');
    expect(dropped.map((one) => one.request.replicas.length)).toEqual([2, 2, 2]);
    expect(world.catalog.replicas.size).toBe(2);
    // It fails again and again, and is asked ever less often.
    await rounds(20);
    expect(world.heard('dropReplicas').length).toBeLessThan(8);
    world.mute.clear();
    await rounds(2, 60_000);
    expect(world.catalog.replicas.size).toBe(0);
  });

  it('go with their backend', async () => {
    const table = await world.table('t', 3);
    await world.catalog.tables.drop(table.tableId);
    await world.catalog.purged();
    await world.catalog.backends.drop(backendId(1));
    world.backends = world.backends.filter((one) => one.backendId !== backendId(1));
    await rounds(1);
    expect(world.catalog.replicas.size).toBe(0);
  });

  it('are those that the catalog does not know', async () => {
    const table = await world.table('t', 2);
    const [known] = world.replicas(table);
    if (known === undefined) throw new Error('no replica');
    const stranger = { ...known, replicaId: id<ReplicaId>(9999) };
    const lost = { tabletId: id<TabletId>(888), replicaId: id<ReplicaId>(889) };
    world.report([known]);
    world.heard('dropReplicas');
    await rounds(1);
    expect(world.heard('dropReplicas')).toEqual([]);
    world.report([stranger, { ...lost, backendId: backendId(2) }]);
    await rounds(1);
    expect(world.heard('dropReplicas').map((one) => one.request.replicas)).toEqual([
      [{ tabletId: known.tabletId, replicaId: 9999 }],
      [lost],
    ]);
  });
});

describe('a catalog that was restored from an older copy', () => {
  it('shows the versions again that replicas have, and gives those that lack them time', async () => {
    const table = await world.table('t', 3);
    const [first, ...others] = world.replicas(table);
    if (first === undefined) throw new Error('no replica');
    const visible = async (): Promise<number | undefined> =>
      (await world.catalog.tables.get('d', 't')).partitions[0]?.visibleVersion;
    const same = others.filter(({ tabletId }) => tabletId === first.tabletId);
    const rest = others.filter(({ tabletId }) => tabletId !== first.tabletId);
    world.report([first], { version: 7 });
    world.report(same, { version: 4 });
    await rounds(1);
    // The other tablet has not said anything.
    expect(await visible()).toBe(1);
    world.report(rest, { version: 6 });
    await rounds(1);
    expect(await visible()).toBe(6);
    const missing = world.replicas(table).flatMap(({ missing: range }) => range ?? []);
    expect(missing).toEqual([
      { from: 5, to: 6 },
      { from: 5, to: 6 },
    ]);
    const after = await world.files.crashImage().open();
    expect((await after.tables.get('d', 't')).partitions[0]?.visibleVersion).toBe(6);
  });

  it('drops no replica of an id that it has not given, and gives it no more', async () => {
    const table = await world.table('t', 2);
    const [known] = world.replicas(table);
    if (known === undefined) throw new Error('no replica');
    const lost = { tabletId: id<TabletId>(888_888), replicaId: id<ReplicaId>(888_889) };
    world.heard('dropReplicas');
    world.report([{ ...lost, backendId: backendId(2) }]);
    await rounds(1);
    const later = await world.table('u', 2);
    expect(later.tableId).toBeGreaterThan(lost.replicaId);
    world.report([{ ...lost, backendId: backendId(2) }], { version: 2 });
    await rounds(1);
    expect(world.heard('dropReplicas')).toEqual([]);
    // Also after the next start.
    const after = await world.files.crashImage().open();
    expect(after.isFromLostCatalog(lost.replicaId)).toBe(true);
    expect(after.isFromLostCatalog(known.replicaId)).toBe(false);
    expect(after.isFromLostCatalog(later.tableId)).toBe(false);
  });
});

describe('replicas that are to be made', () => {
  it('come when their backend does, and the table is there before', async () => {
    world.mute.add(backendId(0));
    const table = await world.table('t', 3);
    const creating = (): number =>
      world.replicas(table).filter(({ state }) => state === 'CREATING').length;
    expect(creating()).toBe(2);
    await rounds(3);
    expect(creating()).toBe(2);
    world.mute.clear();
    await rounds(1, 60_000);
    expect(creating()).toBe(0);
  });

  it('make no table without a majority', async () => {
    world.mute.add(backendId(0)).add(backendId(1));
    await expect(world.table('t', 3)).rejects.toMatchObject({ code: 'REPLICA_NOT_MADE' });
    expect(await world.catalog.tables.find('d', 't')).toBeUndefined();
    world.mute.clear();
    await rounds(1);
    expect(world.catalog.replicas.size).toBe(0);
  });
});

describe('storage policies', () => {
  it('are told at once, and again to a backend that did not hear', async () => {
    const table = await world.table('t', 3);
    const policyId = await bind(table);
    world.report(world.replicas(table));
    await rounds(1);
    world.heard('setPolicies');
    world.mute.add(backendId(1));
    await upkeep.policiesChanged(table.tableId);
    expect(world.heard('setPolicies')).toHaveLength(3);
    world.mute.clear();
    await rounds(1);
    const again = world.heard('setPolicies');
    expect(again.map((one) => one.backendId)).toEqual([backendId(1)]);
    expect(again[0]?.request.replicas.map((one) => one.policyId)).toEqual([policyId, policyId]);
    world.report(world.replicas(table), { policyId: id(policyId) });
    await rounds(2);
    expect(world.heard('setPolicies')).toEqual([]);
  });

  it('that are taken away leave no replica behind that has not followed yet', async () => {
    const table = await world.table('t', 3, 1);
    await bind(table);
    await world.catalog.storagePolicies.bind(table.tableId, 'table', undefined);
    const [leader, ...others] = world.replicas(table);
    if (leader === undefined) throw new Error('no replica');
    world.report(others);
    await rounds(1);
    expect(world.heard('setPolicies')).toEqual([]);
    // The last of its rowsets was published while the policy went.
    world.report([leader], { metaId: 'a'.repeat(32) });
    await rounds(2);
    const [resource] = await world.catalog.resources.list();
    const told = world.heard('setPolicies');
    expect(new Set(told.map((one) => one.backendId))).toEqual(
      new Set(others.map((one) => one.backendId)),
    );
    expect(told).toHaveLength(others.length);
    const { tabletId } = leader;
    for (const { request } of told) {
      expect(request.replicas).toEqual([{ tabletId, resourceId: resource?.resourceId }]);
    }
    // Not again and again, but some time later: a restarted backend has forgotten it.
    await rounds(5);
    expect(world.heard('setPolicies')).toEqual([]);
    await rounds(60);
    expect(world.heard('setPolicies')).toHaveLength(others.length);
    world.report(others, { metaId: 'a'.repeat(32) });
    await rounds(120);
    expect(world.heard('setPolicies')).toEqual([]);
  });

  it('are corrected when a report says another', async () => {
    const table = await world.table('t', 3);
    const [replica] = world.replicas(table);
    if (replica === undefined) throw new Error('no replica');
    world.report([replica], { policyId: id(77) });
    await rounds(1);
    expect(world.heard('setPolicies').map((one) => one.request.replicas)).toEqual([
      [{ tabletId: replica.tabletId }],
    ]);
  });
});

describe('versions of transactions', () => {
  it('are kept until every replica has reported them', async () => {
    const table = await world.table('t', 3);
    const txnId = await beginLoad(world.catalog, table, 'one');
    const rowsets = rowsetsFor(world.catalog, table, 1);
    await world.catalog.commitLoad(txnId, rowsets, COUNTS, undefined, world.prepared(table));
    const [slow, ...others] = world.replicas(table);
    if (slow === undefined) throw new Error('no replica');
    await rounds(10);
    world.report(others, { version: 2 });
    await rounds(10);
    world.report([slow], { version: 1 });
    await rounds(10);
    expect(world.catalog.replicas.versionsOf(txnId)).toHaveLength(1);
    world.report([slow], { version: 2 });
    await rounds(10);
    expect(world.catalog.replicas.versionsOf(txnId)).toEqual([]);
  });
});
