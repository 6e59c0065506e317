import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { AgentTransport, OpenScanRequest } from '../../base/agent_messages.ts';
import { SqlError } from '../../base/errors.ts';
import type { BackendId, TabletId } from '../../base/ids.ts';
import { type PartitionDef, type TableDef, baseIndexOf } from '../../base/schema.ts';
import { planReplicaScans, scanReplicas } from '../../server/replica_scans.ts';
import { COUNTS, beginLoad, rowsetsFor } from '../catalog/fixture.ts';
import { ReplicaWorld } from '../jobs/replica_world.ts';

let world: ReplicaWorld;
let table: TableDef;
/** What `openScan` or the first `nextBatch` of a backend says instead of rows. */
let refusals: Map<BackendId, (request: OpenScanRequest) => SqlError | undefined>;
let opened: { readonly backendId: BackendId; readonly tablets: readonly TabletId[] }[];

beforeEach(async () => {
  world = await ReplicaWorld.open(['a', 'b', 'c']);
  table = await world.table('t', 3, 4);
  refusals = new Map();
  opened = [];
});

afterEach(async () => {
  await world.close();
});

/** One row per tablet, whose value is the tablet's id. */
const transport: AgentTransport = {
  call: async (backendId, name, request) => {
    await Promise.resolve();
    if (name === 'closeScan') return {};
    if (name === 'openScan') {
      const { tablets } = request as OpenScanRequest;
      opened.push({ backendId, tablets: tablets.map(({ tabletId }) => tabletId) });
      const refusal = refusals.get(backendId)?.(request as OpenScanRequest);
      if (refusal !== undefined) throw refusal;
      return { scanId: tablets.map(({ tabletId }) => tabletId).join(',') } as never;
    }
    const { scanId } = request as { readonly scanId: string };
    const values = scanId.split(',').map(Number);
    return { rows: values.length, columns: [values], done: true } as never;
  },
};

async function load(): Promise<void> {
  const txnId = await beginLoad(world.catalog, table, `l${world.clock.ms}`);
  world.clock.ms += 1;
  const rowsets = rowsetsFor(world.catalog, table, world.clock.ms);
  await world.catalog.commitLoad(txnId, rowsets, COUNTS, undefined, world.prepared(table));
  table = await world.catalog.tables.get('d', 't');
}

function tablets(): Map<TabletId, PartitionDef> {
  return new Map(
    table.partitions.flatMap((partition) =>
      world.catalog.tablets
        .ofPartition(partition.partitionId)
        .map(({ tabletId }) => [tabletId, partition] as const),
    ),
  );
}

function shape() {
  const { indexId } = baseIndexOf(table);
  const { tableId } = table;
  return { tableId, tableName: 'd.t', indexId, ttlSeconds: 0, columns: [], predicates: [] };
}

async function read(): Promise<number[]> {
  const found: number[] = [];
  const { signal } = new AbortController();
  const services = { ...world.deps, transport };
  for await (const { columns } of scanReplicas(services, shape(), tablets(), signal)) {
    found.push(...(columns[0] ?? []).map(Number));
  }
  return found.toSorted((a, b) => a - b);
}

const all = (): TabletId[] => [...tablets().keys()];

function lost(backend: BackendId): SqlError {
  return new SqlError('AGENT_LOST', { backend, what: 'openScan', why: 'for a test' });
}

describe('a scan of replicas', () => {
  it('does not ask for what is empty', async () => {
    expect(await read()).toEqual([]);
    expect(opened).toEqual([]);
  });

  it('reads each tablet once, from several backends', async () => {
    await load();
    expect(await read()).toEqual(all());
    expect(opened.length).toBeGreaterThan(1);
    const again = opened.length;
    expect(await read()).toEqual(all());
    expect(opened.slice(again)).toEqual(opened.slice(0, again));
  });

  it('takes another replica when a backend is lost', async () => {
    await load();
    await read();
    const [first] = opened;
    if (first === undefined) throw new Error('nothing was opened');
    opened = [];
    refusals.set(first.backendId, () => lost(first.backendId));
    expect(await read()).toEqual(all());
    expect(opened.filter(({ backendId }) => backendId === first.backendId)).toHaveLength(1);
  });

  it('takes another replica of that tablet alone which is behind', async () => {
    await load();
    await read();
    const first = opened.find((one) => one.tablets.length > 1) ?? opened[0];
    const behind = first?.tablets[0];
    if (first === undefined || behind === undefined) throw new Error('nothing was opened');
    opened = [];
    refusals.set(first.backendId, ({ tablets: asked }) =>
      asked.some(({ tabletId }) => tabletId === behind)
        ? new SqlError('REPLICA_BEHIND', {
            replica: 1,
            tablet: behind,
            backend: first.backendId,
            version: 1,
            wanted: 2,
          })
        : undefined,
    );
    expect(await read()).toEqual(all());
    const kept = opened.filter(({ backendId }) => backendId === first.backendId).at(-1)?.tablets;
    expect(kept).toEqual(first.tablets.filter((tabletId) => tabletId !== behind));
  });

  it('says which replicas cannot be read, and why', async () => {
    await load();
    for (const { backendId } of world.backends) refusals.set(backendId, () => lost(backendId));
    await expect(read()).rejects.toMatchObject({ code: 'REPLICA_NONE_READABLE' });
    await expect(read()).rejects.toThrow(
      /^no replica of tablet \d+ can be read at version 2: \d+ \(backend \d+: Backend \d+ did not/,
    );
  });

  it('does not try another replica when it is the query that is wrong', async () => {
    await load();
    for (const { backendId } of world.backends) {
      refusals.set(backendId, () => new SqlError('UNKNOWN_COLUMN', { name: 'x', where: 'y' }));
    }
    await expect(read()).rejects.toMatchObject({ code: 'UNKNOWN_COLUMN' });
    expect(opened).toHaveLength(1);
  });

  it('reads what is cooled where its leader is, so that one cache has it', async () => {
    await load();
    const [leader] = world.backends;
    if (leader === undefined) throw new Error('no backend');
    const replicas = world.replicas(table);
    const leading = replicas.filter(({ backendId }) => backendId === leader.backendId);
    await world.catalog.cooldown.create({
      elections: leading.map(({ tabletId, replicaId }) => ({
        tabletId,
        before: undefined,
        after: { replicaId, term: 1 },
      })),
      pushes: [],
      reason: 'for a test',
      timeoutMs: 1000,
    });
    world.report(replicas, { version: 2, localBytes: 10 });
    const backends = async (): Promise<BackendId[]> =>
      (await planReplicaScans(world.deps, shape(), tablets())).map(({ backendId }) => backendId);
    expect((await backends()).length).toBeGreaterThan(1);
    world.report(replicas, { version: 2, localBytes: 0, remoteBytes: 10 });
    expect(await backends()).toEqual([leader.backendId]);
  });

  it('leaves replicas that miss versions or are damaged for the end', async () => {
    await load();
    const [worst, other] = world.backends;
    if (worst === undefined || other === undefined) throw new Error('no backends');
    for (const replica of world.replicas(table)) {
      if (replica.backendId === worst.backendId) {
        await world.catalog.replicas.markMissing(replica, { from: 2, to: 2 });
      } else if (replica.backendId === other.backendId) {
        world.report([replica], { isBad: true, version: 2 });
      }
    }
    const used = await planReplicaScans(world.deps, shape(), tablets());
    expect(used.map(({ backendId }) => backendId)).toEqual([world.backends[2]?.backendId]);
    expect(used[0]?.request.tablets).toHaveLength(4);
    expect(used[0]?.request.tablets[0]).toMatchObject({ rowsets: [], replica: { version: 2 } });
  });
});
