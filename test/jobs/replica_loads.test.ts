import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { AgentTransport } from '../../base/agent_messages.ts';
import { Config } from '../../base/config.ts';
import { SqlError } from '../../base/errors.ts';
import { id } from '../../base/ids.ts';
import type { BackendId, TxnId } from '../../base/ids.ts';
import { systemRandom } from '../../base/system_ports.ts';
import { LoadCoordinator } from '../../jobs/loads.ts';
import { loadReplicas, settleVisible, txnOutcomes } from '../../jobs/replica_loads.ts';
import { ReplicaPlacement } from '../../jobs/replica_maker.ts';
import { COUNTS, beginLoad, rowsetsFor } from '../catalog/fixture.ts';
import { ReplicaWorld } from './replica_world.ts';

let world: ReplicaWorld;

afterEach(async () => {
  await world.close();
});

describe('a load', () => {
  beforeEach(async () => {
    world = await ReplicaWorld.open(['a', 'b', 'c']);
  });

  it('goes to all replicas on backends that are alive', async () => {
    const table = await world.table('t', 3);
    const [dead] = world.backends;
    if (dead === undefined) throw new Error('no backend');
    world.clock.ms += 60_000;
    world.beat(dead.backendId);
    const { backends, tablets } = await loadReplicas(world.deps, table);
    expect(backends.map(({ host }) => host)).toEqual(['b', 'c']);
    expect(tablets).toHaveLength(2);
    for (const { replicas, required } of tablets) {
      expect(replicas).toHaveLength(3);
      expect(required).toBe(2);
    }
  });

  it('is of no use any more to who asks when all replicas have its versions', async () => {
    const { catalog } = world;
    const table = await world.table('t', 3);
    const txnId = await beginLoad(catalog, table, 'visible');
    const rowsets = rowsetsFor(catalog, table, 1);
    await catalog.commitLoad(txnId, rowsets, COUNTS, undefined, world.prepared(table));
    const [partition] = table.partitions;
    if (partition === undefined) throw new Error('no partition');
    await catalog.replicas.forgetVersions(partition.partitionId, 2);
    expect(await txnOutcomes(catalog, [txnId])).toEqual([{ txnId, state: 'UNKNOWN' }]);
  });

  it('tells backends what became of it, whenever they ask', async () => {
    const { catalog } = world;
    const table = await world.table('t', 3);
    const visible = await beginLoad(catalog, table, 'visible');
    const rowsets = rowsetsFor(catalog, table, 1);
    await catalog.commitLoad(visible, rowsets, COUNTS, undefined, world.prepared(table));
    const running = await beginLoad(catalog, table, 'running');
    const aborted = await beginLoad(catalog, table, 'aborted');
    await catalog.loads.abort(aborted, 'for a test');
    const unknown = id<TxnId>(424_242);
    const [partition] = table.partitions;
    const versions = [{ partitionId: partition?.partitionId, version: 2 }];
    const all = [visible, running, aborted, unknown];
    expect(await txnOutcomes(catalog, all)).toEqual([
      { txnId: visible, state: 'VISIBLE', versions },
      { txnId: running, state: 'RUNNING' },
      { txnId: aborted, state: 'ABORTED' },
      { txnId: unknown, state: 'UNKNOWN' },
    ]);
    // A server that is killed now has the same answers, but that nobody runs any more.
    const after = await world.files.crashImage().open();
    const states = (await txnOutcomes(after, all)).map(({ state }) => state);
    expect(states).toEqual(['VISIBLE', 'ABORTED', 'ABORTED', 'UNKNOWN']);
    // Labels are forgotten sooner than what a replica may lack.
    world.clock.ms += 1000;
    await catalog.loads.expire(world.clock.ms, 100);
    expect(await txnOutcomes(catalog, [visible])).toEqual([
      { txnId: visible, state: 'VISIBLE', versions },
    ]);
  });

  it('is settled when a majority has heard', async () => {
    const table = await world.table('t', 3);
    const txnId = await beginLoad(world.catalog, table, 'one');
    const prepared = world.prepared(table);
    const rowsets = rowsetsFor(world.catalog, table, 1);
    await world.catalog.commitLoad(txnId, rowsets, COUNTS, undefined, prepared);
    const [mute] = world.backends;
    if (mute === undefined) throw new Error('no backend');
    world.mute.add(mute.backendId);
    world.heard('settleTxns');
    await settleVisible(world.deps, txnId, prepared);
    const told = world.heard('settleTxns');
    expect(told).toHaveLength(3);
    const [partition] = table.partitions;
    const versions = [{ partitionId: partition?.partitionId, version: 2 }];
    expect(told[0]?.request.txns).toEqual([{ txnId, state: 'VISIBLE', versions }]);
  });
});

describe('an INSERT', () => {
  const lost = (backend: BackendId): SqlError =>
    new SqlError('AGENT_LOST', { backend, what: 'load', why: 'for a test' });

  async function insert(answer: (backendId: BackendId, calls: number) => SqlError | undefined) {
    world = await ReplicaWorld.open(['a', 'b', 'c']);
    const table = await world.table('t', 3);
    world.reportAll();
    const asked: BackendId[] = [];
    const transport: AgentTransport = {
      call: async (backendId, name, request, options) => {
        if (name !== 'load') return await world.transport.call(backendId, name, request, options);
        asked.push(backendId);
        const refusal = answer(backendId, asked.length);
        if (refusal !== undefined) throw refusal;
        const rowsets = rowsetsFor(world.catalog, table, 1);
        const outcome = { ...COUNTS, rowsets, unselectedRows: 0, prepared: world.prepared(table) };
        return outcome;
      },
    };
    const deps = { ...world.deps, transport, config: new Config(), random: systemRandom };
    const loads = new LoadCoordinator(deps);
    const { signal } = new AbortController();
    const rows = {
      table,
      columns: ['k'],
      rows: [[1]],
      label: 'once',
      computeGroupName: 'g',
      signal,
    };
    return { asked, table, done: loads.insert(rows) };
  }

  it('is begun again by another backend when the one that writes is lost', async () => {
    const { asked, table, done } = await insert((backend, calls) =>
      calls === 1 ? lost(backend) : undefined,
    );
    expect((await done).label).toBe('once');
    expect(new Set(asked).size).toBe(2);
    const known = await world.catalog.tables.get('d', 't');
    expect(known.partitions[0]?.visibleVersion).toBe(2);
    const loads = await world.catalog.loads.list(table.databaseId, 10);
    expect(loads.map(({ state }) => state).toSorted()).toEqual(['ABORTED', 'VISIBLE']);
    // All backends were told that the first try is nothing.
    const aborted = world
      .heard('settleTxns')
      .filter(({ request }) => request.txns.some(({ state }) => state === 'ABORTED'));
    expect(aborted).toHaveLength(3);
  });

  it('gets no version that replicas have already', async () => {
    const { table, done } = await insert(() => undefined);
    world.report(world.replicas(table), { version: 5 });
    await done;
    const known = await world.catalog.tables.get('d', 't');
    expect(known.partitions[0]?.visibleVersion).toBe(6);
  });

  it('fails when all are lost, or when it is the rows that are wrong', async () => {
    const { asked, done } = await insert((backend) => lost(backend));
    await expect(done).rejects.toMatchObject({ code: 'AGENT_LOST' });
    expect(asked).toHaveLength(3);
    await world.close();
    const wrong = await insert(() => new SqlError('LOAD_FAILED', { why: 'row 1' }));
    await expect(wrong.done).rejects.toMatchObject({ code: 'LOAD_FAILED' });
    expect(wrong.asked).toHaveLength(1);
  });
});

describe('the place of replicas', () => {
  const place = (count: number, taken: readonly BackendId[] = []): readonly string[] => {
    const placement = new ReplicaPlacement(world.deps, 'g', world.backends);
    return named(placement.place(count, taken));
  };
  const named = (backends: readonly BackendId[]): string[] =>
    backends.map((backendId) => {
      const found = world.backends.find((one) => one.backendId === backendId);
      return `${found?.host ?? ''}${found?.httpPort ?? ''}`;
    });

  it('is on different backends, on different hosts while there are some', async () => {
    world = await ReplicaWorld.open(['a', 'a', 'b', 'b']);
    expect(place(2)).toEqual(['a1', 'b3']);
    expect(place(4).toSorted()).toEqual(['a1', 'a2', 'b3', 'b4']);
    const [a1] = world.backends;
    if (a1 === undefined) throw new Error('no backend');
    expect(place(1, [a1.backendId])).toEqual(['b3']);
    expect(() => place(5)).toThrow(/5 replicas wanted, compute group g has 4 enabled backends/);
  });

  it('is even', async () => {
    world = await ReplicaWorld.open(['a', 'b', 'c', 'd', 'e']);
    const table = await world.table('t', 3, 10);
    const counts = world.backends.map(({ backendId }) => world.catalog.replicas.countOf(backendId));
    expect(counts).toEqual([6, 6, 6, 6, 6]);
    for (const replicas of world.catalog.replicas.byTable(table.tableId).values()) {
      expect(new Set(replicas.map(({ backendId }) => backendId)).size).toBe(3);
    }
  });

  it('is on backends that are alive, and on no stopped one', async () => {
    world = await ReplicaWorld.open(['a', 'b', 'c']);
    const [a, b] = world.backends;
    if (a === undefined || b === undefined) throw new Error('no backend');
    world.clock.ms += 60_000;
    world.beat(a.backendId);
    expect(place(2)).toEqual(['b2', 'c3']);
    expect(place(3)).toHaveLength(3);
    await world.catalog.backends.setAdminState(b.backendId, 'STOPPED');
    world.backends = await world.catalog.backends.list();
    expect(() => place(3)).toThrow(/2 enabled backends/);
  });
});
