import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { id } from '../../base/ids.ts';
import type { BackendId, ComputeGroupId, ReplicaId, TabletId } from '../../base/ids.ts';
import type { PreparedReplicas } from '../../base/replica.ts';
import type { TableDef } from '../../base/schema.ts';
import type { Catalog } from '../../catalog/catalog.ts';
import { type ReplicaDef, ReplicaIndex } from '../../catalog/replica_index.ts';
import { isComplete, requiredReplicas } from '../../catalog/replicas.ts';
import type { NewTable, PlacedReplica, ReplicaMaker } from '../../catalog/table_changes.ts';
import { COUNTS, CatalogFixture, beginLoad, newTable, rowsetsFor } from './fixture.ts';

const BACKENDS = [1, 2, 3].map((number) => id<BackendId>(number));

let fixture: CatalogFixture;
let catalog: Catalog;
let made: PlacedReplica[];

/** Says at once that all is there. */
const maker: ReplicaMaker = {
  place: (count) => BACKENDS.slice(0, count),
  make: async (replicas) => {
    made.push(...replicas);
    await catalog.replicas.created(replicas);
  },
};

beforeEach(async () => {
  fixture = new CatalogFixture();
  catalog = await fixture.open();
  await catalog.databases.create('d');
  made = [];
});

afterEach(async () => {
  await fixture.remove();
});

async function replicated(name: string, replicationNum = 3): Promise<NewTable> {
  const table = await newTable(catalog, name, 2, 2);
  return {
    ...table,
    replication: { replicationNum, computeGroupId: id<ComputeGroupId>(9) },
    partitions: table.partitions.map((partition) => ({ ...partition, replicationNum })),
  };
}

async function create(name: string, replicationNum = 3): Promise<TableDef> {
  await catalog.tableChanges.create(await replicated(name, replicationNum), maker);
  return catalog.tables.get('d', name);
}

function replicas(table: TableDef): ReplicaDef[] {
  return [...catalog.replicas.byTable(table.tableId).values()].flat();
}

/** All replicas but those on the backends named. */
function preparedBut(table: TableDef, ...without: readonly number[]): PreparedReplicas[] {
  return [...catalog.replicas.byTable(table.tableId)].map(([tabletId, own]) => ({
    tabletId,
    replicaIds: own
      .filter(({ backendId }) => !without.includes(backendId))
      .map(({ replicaId }) => replicaId),
  }));
}

let label = 0;

async function load(table: TableDef, prepared: readonly PreparedReplicas[]) {
  label += 1;
  const txnId = await beginLoad(catalog, table, `label-${label}`);
  const rowsets = rowsetsFor(catalog, table, label);
  await catalog.commitLoad(txnId, rowsets, COUNTS, undefined, prepared);
  return txnId;
}

describe('the index of replicas', () => {
  const key = (tablet: number, replica: number) =>
    [id<TabletId>(tablet), id<ReplicaId>(replica)] as const;

  it('is a list of all replicas, whatever is added and removed', () => {
    const index = new ReplicaIndex();
    const model = new Map<number, ReplicaDef>();
    const states = ['NORMAL', 'CREATING', 'CLONING', 'DROPPING'] as const;
    for (let step = 1; step <= 20_000; step += 1) {
      const tabletId = id<TabletId>((step * 7919) % 1500);
      if (tabletId === 0) continue;
      const [victim] = [...model.values()].filter((one) => one.tabletId === tabletId);
      if (step % 3 === 0 && victim !== undefined) {
        index.remove(victim.tabletId, victim.replicaId);
        model.delete(victim.replicaId);
        continue;
      }
      const replica: ReplicaDef = {
        replicaId: id<ReplicaId>(step),
        tabletId,
        backendId: id<BackendId>(1 + (step % 5)),
        state: states[step % 4] ?? 'NORMAL',
        ...(step % 10 === 0 ? { missing: { from: 2, to: step } } : {}),
      };
      index.add(replica);
      model.set(step, replica);
      if (model.size > 3000) break;
    }
    expect(index.size).toBe(model.size);
    for (const backend of [1, 2, 3, 4, 5]) {
      const backendId = id<BackendId>(backend);
      const expected = [...model.values()].filter((one) => one.backendId === backendId);
      expect(index.countOf(backendId)).toBe(expected.length);
      const byId = (a: ReplicaDef, b: ReplicaDef): number => a.replicaId - b.replicaId;
      expect(index.ofBackend(backendId).toSorted(byId)).toEqual(expected.toSorted(byId));
    }
    for (const replica of model.values()) {
      expect(index.get(replica.tabletId, replica.replicaId)).toEqual(replica);
    }
    const dropping = [...model.values()].filter(({ state }) => state === 'DROPPING');
    expect(index.countIn('DROPPING')).toBe(dropping.length);
    expect(new Set(index.inState('DROPPING'))).toEqual(new Set(dropping));
    expect(index.missing()).toHaveLength([...model.values()].filter((one) => one.missing).length);
  });

  it('changes states and what is missed', () => {
    const index = new ReplicaIndex();
    const [tabletId, replicaId] = key(5, 6);
    const backendId = id<BackendId>(1);
    index.add({ tabletId, replicaId, backendId, state: 'CREATING' });
    index.setState(tabletId, replicaId, 'NORMAL');
    index.setMissing(tabletId, replicaId, { from: 3, to: 4 });
    expect(index.countIn('CREATING')).toBe(0);
    expect(index.get(tabletId, replicaId)).toEqual({
      tabletId,
      replicaId,
      backendId,
      state: 'NORMAL',
      missing: { from: 3, to: 4 },
    });
    index.setMissing(tabletId, replicaId, undefined);
    expect(index.missing()).toEqual([]);
    expect(index.get(...key(5, 7))).toBeUndefined();
  });
});

describe('a replicated table', () => {
  it('has its replicas when it is there, also after a restart', async () => {
    const table = await create('t');
    expect(table.replication).toEqual({ replicationNum: 3, computeGroupId: 9 });
    expect(table.partitions.map((one) => one.replicationNum)).toEqual([3, 3]);
    const before = replicas(table);
    expect(before).toHaveLength(12);
    expect(before.every(isComplete)).toBe(true);
    expect(made).toHaveLength(12);
    expect(made[0]).toMatchObject({ tableId: table.tableId, backendId: 1 });
    catalog = await fixture.reopen(catalog);
    expect(replicas(table)).toEqual(before);
  });

  it('is not there when its replicas cannot be made, and they are dropped', async () => {
    const failing: ReplicaMaker = {
      ...maker,
      make: async () => await Promise.reject(new Error('no backend answers')),
    };
    const table = await replicated('t');
    await expect(catalog.tableChanges.create(table, failing)).rejects.toThrow('no backend answers');
    expect(await catalog.tables.find('d', 't')).toBeUndefined();
    const left = catalog.replicas.inState('DROPPING');
    expect(left).toHaveLength(12);
    await catalog.replicas.remove(left);
    expect(catalog.replicas.size).toBe(0);
    expect(fixture.number('count(*) FROM replica')).toBe(0);
    expect(await catalog.garbage.count()).toBe(0);
  });

  it('that a crash left half created is dropped on backends, too', async () => {
    const crashed = Promise.withResolvers<CatalogFixture>();
    const dying: ReplicaMaker = {
      ...maker,
      make: async (all) => {
        await catalog.replicas.created(all.slice(0, 5));
        crashed.resolve(fixture.crashImage());
      },
    };
    await catalog.tableChanges.create(await replicated('t'), dying);
    const image = await crashed.promise;
    const after = await image.open();
    expect(await after.tables.find('d', 't')).toBeUndefined();
    expect(after.replicas.inState('DROPPING')).toHaveLength(12);
  });

  it('leaves rows of its replicas until backends have dropped them', async () => {
    const table = await create('t');
    await catalog.tables.drop(table.tableId);
    await catalog.purged();
    expect(catalog.replicas.inState('DROPPING')).toHaveLength(12);
    expect(fixture.number('count(*) FROM tablet')).toBe(0);
    expect(await catalog.garbage.count()).toBe(0);
    catalog = await fixture.reopen(catalog);
    await catalog.replicas.remove(catalog.replicas.inState('DROPPING'));
    expect(fixture.number('count(*) FROM replica')).toBe(0);
  });
});

describe('a load of a replicated table', () => {
  it('is visible with a majority, and the others miss it', async () => {
    const table = await create('t');
    const txnId = await load(table, preparedBut(table, 3));
    const [p0, p1] = table.partitions;
    expect(catalog.replicas.versionsOf(txnId)).toEqual([
      { partitionId: p0?.partitionId, version: 2 },
      { partitionId: p1?.partitionId, version: 2 },
    ]);
    for (const { backendId, missing } of replicas(table)) {
      expect(missing).toEqual(backendId === 3 ? { from: 2, to: 2 } : undefined);
    }
    await load(table, preparedBut(table, 3));
    expect(catalog.replicas.missing()).toHaveLength(4);
    expect(catalog.replicas.missing()[0]?.missing).toEqual({ from: 2, to: 3 });
    const known = await catalog.tables.get('d', 't');
    expect(known.partitions.map(({ visibleVersion }) => visibleVersion)).toEqual([3, 3]);
    expect(catalog.tablets.tableSize(table.tableId)).toEqual({ tablets: 4, bytes: 800, rows: 80 });
    catalog = await fixture.reopen(catalog);
    expect(catalog.replicas.missing()[0]?.missing).toEqual({ from: 2, to: 3 });
    expect(catalog.tablets.tableSize(table.tableId).rows).toBe(80);
  });

  it('fails without a majority, and leaves nothing', async () => {
    const table = await create('t');
    await expect(load(table, preparedBut(table, 2, 3))).rejects.toMatchObject({
      code: 'LOAD_NO_MAJORITY',
      args: { prepared: 1, required: 2, replicas: 3 },
    });
    expect(catalog.replicas.missing()).toEqual([]);
    expect(fixture.number('count(*) FROM replica_version')).toBe(0);
    expect(fixture.number("count(*) FROM load_txn WHERE state = 'ABORTED'")).toBe(1);
  });

  it('does not count replicas that lack versions before', async () => {
    const table = await create('t');
    await load(table, preparedBut(table, 3));
    // Backend 2 is away now, and 3 is back with a gap: one replica would have everything.
    await expect(load(table, preparedBut(table, 2))).rejects.toMatchObject({
      code: 'LOAD_NO_MAJORITY',
    });
    for (const replica of catalog.replicas.missing()) {
      expect(await catalog.replicas.clearMissing(replica, 1)).toBe(false);
      expect(await catalog.replicas.clearMissing(replica, 2)).toBe(true);
    }
    await load(table, preparedBut(table, 2));
  });

  it('needs the word of every tablet of the partition', async () => {
    const table = await create('t');
    const [first, ...others] = preparedBut(table);
    expect(first).toBeDefined();
    await expect(load(table, others)).rejects.toMatchObject({ code: 'LOAD_FAILED' });
    const rowsets = rowsetsFor(catalog, table, 7).slice(1);
    const txnId = await beginLoad(catalog, table, 'without');
    await expect(
      catalog.commitLoad(txnId, rowsets, COUNTS, undefined, others),
    ).rejects.toMatchObject({ code: 'LOAD_NO_MAJORITY', args: { prepared: 0 } });
  });

  it('that a repeat commits again is the same', async () => {
    const table = await create('t');
    const txnId = await load(table, preparedBut(table, 3));
    const again = await catalog.commitLoad(txnId, [], COUNTS, undefined, []);
    expect(again.state).toBe('VISIBLE');
    expect(catalog.replicas.versionsOf(txnId)).toHaveLength(2);
  });

  it('answers for its versions after its label is forgotten', async () => {
    const table = await create('t');
    const txnId = await load(table, preparedBut(table));
    fixture.clock.ms += 1000;
    expect(await catalog.loads.expire(fixture.clock.ms, 10)).toBe(1);
    expect(catalog.replicas.versionsOf(txnId)).toHaveLength(2);
    const [first] = table.partitions;
    if (first === undefined) throw new Error('no partition');
    expect(await catalog.replicas.forgetVersions(first.partitionId, 2)).toBe(1);
    expect(catalog.replicas.versionsOf(txnId)).toHaveLength(1);
  });

  it('cannot be committed as one of a shared table', async () => {
    const table = await create('t');
    const txnId = await beginLoad(catalog, table, 'shared');
    await expect(
      catalog.commitLoad(txnId, rowsetsFor(catalog, table, 1), COUNTS),
    ).rejects.toMatchObject({ code: 'LOAD_FAILED' });
  });
});

describe('how many replicas must have a load', () => {
  const some = (...states: ReplicaDef['state'][]): ReplicaDef[] =>
    states.map((state, at) => ({
      replicaId: id<ReplicaId>(at + 1),
      tabletId: id<TabletId>(1),
      backendId: id<BackendId>(at + 1),
      state,
    }));

  // A table that goes from one replica to three takes loads while the new ones are filled.
  it.each([
    [3, some('NORMAL', 'NORMAL', 'NORMAL'), 2],
    [3, some('NORMAL', 'NORMAL', 'CREATING'), 2],
    [5, some('NORMAL', 'NORMAL', 'NORMAL', 'CREATING', 'CREATING'), 3],
    [3, some('NORMAL', 'CLONING', 'CLONING'), 1],
    [3, some('NORMAL', 'NORMAL', 'DECOMMISSIONING', 'CLONING'), 2],
    [1, some('NORMAL', 'NORMAL', 'NORMAL'), 1],
    [2, some('NORMAL', 'NORMAL'), 2],
  ])('of %i', (replicationNum, replicaDefs, required) => {
    expect(requiredReplicas(replicationNum, replicaDefs)).toBe(required);
  });
});

describe('storage policies of partitions', () => {
  async function policy(name: string, resource = 'r') {
    if ((await catalog.resources.find(resource)) === undefined) {
      const store = { kind: 'file', path: `/${resource}` } as const;
      const body = { store, validityCheck: false, conditionalWrites: 'true' } as const;
      await catalog.resources.create(resource, body);
    }
    return catalog.storagePolicies.create(name, resource, { kind: 'ttl', seconds: 5 });
  }

  const policies = async (name: string): Promise<unknown[]> =>
    (await catalog.tables.get('d', name)).partitions.map((one) => one.storagePolicyId);

  it('follow the table when SET and ADD PARTITION cross', async () => {
    const { policyId, ...p } = await policy('p');
    const table = await create('t');
    const crossing: ReplicaMaker = {
      ...maker,
      make: async (all) => {
        await maker.make(all);
        await catalog.storagePolicies.bind(table.tableId, 'table', { policyId, ...p });
      },
    };
    const [p0] = table.partitions;
    if (p0 === undefined) throw new Error('no partition');
    const values = { ...p0.values, lower: [{ value: 90 }], upper: [{ value: 99 }] };
    const added = { name: 'late', buckets: 1, replicationNum: 3, values } as const;
    await catalog.tableChanges.addPartitions(table, [added], crossing);
    expect(await policies('t')).toEqual([policyId, policyId, policyId]);
  });

  it('stay with TRUNCATE, as they are when it ends', async () => {
    const { policyId, ...p } = await policy('p');
    const table = await create('t');
    await catalog.storagePolicies.bind(table.tableId, 'table', { policyId, ...p });
    const crossing: ReplicaMaker = {
      ...maker,
      make: async (all) => {
        await maker.make(all);
        await catalog.storagePolicies.bind(table.tableId, ['p0'], undefined);
      },
    };
    await catalog.tableChanges.truncate(await catalog.tables.get('d', 't'), undefined, crossing);
    expect(await policies('t')).toEqual([undefined, policyId]);
  });

  it('do not outlive a DROP POLICY that comes while their table is created', async () => {
    const { policyId } = await policy('p');
    const dropping: ReplicaMaker = {
      ...maker,
      make: async (all) => {
        await maker.make(all);
        await catalog.storagePolicies.drop('p');
      },
    };
    const table = { ...(await replicated('t')), storagePolicyId: policyId };
    await expect(catalog.tableChanges.create(table, dropping)).rejects.toMatchObject({
      code: 'UNKNOWN_POLICY',
    });
    expect(await catalog.tables.find('d', 't')).toBeUndefined();
  });

  it('keep their resource until the objects of their tablets are deleted', async () => {
    const { policyId, resourceId, ...p } = await policy('p');
    await policy('far', 'elsewhere');
    const table = await create('t');
    await catalog.storagePolicies.bind(table.tableId, 'table', { policyId, resourceId, ...p });
    await catalog.storagePolicies.bind(table.tableId, 'table', undefined);
    const far = await catalog.storagePolicies.get('far');
    await expect(catalog.storagePolicies.bind(table.tableId, ['p1'], far)).rejects.toMatchObject({
      code: 'POLICY_OTHER_RESOURCE',
    });
    await catalog.storagePolicies.drop('p');
    await expect(catalog.resources.drop('r')).rejects.toMatchObject({ code: 'RESOURCE_HAS_DATA' });
    await catalog.tables.drop(table.tableId);
    await catalog.resources.drop('r');
    expect(await catalog.resources.find('r')).toBeUndefined();
    await catalog.purged();
    // The way there stays for who deletes.
    expect((await catalog.resources.byId(resourceId))?.resourceId).toBe(resourceId);
    const [first, ...others] = catalog.replicas.inState('DROPPING');
    if (first === undefined) throw new Error('no replica');
    await catalog.replicas.remove(others);
    expect(await catalog.garbage.count()).toBe(3);
    await catalog.replicas.remove([first]);
    const items = await catalog.garbage.claim(10, 1000);
    expect(items.map((item) => item.vaultId)).toEqual(Array.from({ length: 4 }, () => resourceId));
    expect(items.map((item) => item.prefix)).toContain(`data/${first.tabletId}/`);
    await catalog.resources.forgetDropped();
    expect(await catalog.resources.byId(resourceId)).toBeDefined();
    await catalog.garbage.done(items.map((item) => item.garbageId));
    await catalog.resources.forgetDropped();
    expect(await catalog.resources.byId(resourceId)).toBeUndefined();
  });
});
