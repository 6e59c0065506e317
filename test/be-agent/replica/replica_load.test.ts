import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { rmSync, truncateSync } from 'node:fs';
import type { OpenScanRequest } from '../../../base/agent_messages.ts';
import { crc32 } from 'node:zlib';
import { SqlError } from '../../../base/errors.ts';
import { type BackendId, type TabletId, id, rowsetId } from '../../../base/ids.ts';
import type { ReplicaPeer } from '../../../be-agent/replica/peers.ts';
import { rowsetName } from './replica_fixture.ts';
import {
  Cluster,
  NEVER,
  createTable,
  filesBecome,
  load,
  loadTarget,
  read,
  replicaOf,
  settle,
  until,
  visibleAs,
} from './replica_cluster.ts';

const TABLETS: readonly TabletId[] = [id(1), id(2), id(3)];
const ROWS = [
  [1, 'a'],
  [2, 'b'],
  [3, 'c'],
  [4, 'd'],
];

let cluster: Cluster;

beforeEach(async () => {
  cluster = new Cluster({ replica_write_lag_ms: '1000' });
  for (const backend of [1, 2, 3]) await cluster.start(backend);
});

afterEach(() => {
  cluster.close();
});

const table = loadTarget(3, [1, 2, 3]);

/** The backend's own answers, with some of them replaced. */
function fault(backend: number, changes: Partial<ReplicaPeer>): void {
  const { own } = cluster.host(backend);
  const real: ReplicaPeer = {
    putSegment: own.putSegment.bind(own),
    prepare: own.prepare.bind(own),
    discard: own.discard.bind(own),
    snapshot: own.snapshot.bind(own),
    readSegment: own.readSegment.bind(own),
    releaseSnapshot: own.releaseSnapshot.bind(own),
  };
  cluster.peers.add(id(backend), { ...real, ...changes });
}

const lost = async (): Promise<never> => {
  await Promise.resolve();
  throw new SqlError('AGENT_LOST', { backend: 0, what: 'putSegment', why: 'for a test' });
};

/** Never answers, whatever its signal says. */
const hung = async (): Promise<never> =>
  await new Promise<never>(() => {
    // It hangs.
  });

function prepared(backend: number): number {
  const txns = cluster.host(backend).store.prepared();
  return txns.reduce((sum, { rowsets }) => sum + rowsets.length, 0);
}

describe('a load into replicas', () => {
  it('is the same rowsets on all of them, an empty one where no rows fell', async () => {
    await createTable(cluster, table);
    const outcome = await load(cluster, table, 1, [[1, 'a']]);
    expect(outcome.loadedRows).toBe(1);
    expect(outcome.prepared).toEqual(
      TABLETS.map((tabletId) => ({
        tabletId,
        replicaIds: [1, 2, 3].map((backend) => replicaOf(tabletId, backend).replicaId),
      })),
    );
    const rowsets = [1, 2, 3].map((backend) =>
      cluster
        .host(backend)
        .store.prepared()[0]
        ?.rowsets.map((rowset) => ({ ...rowset, replicaId: 0 })),
    );
    expect(rowsets[0]).toHaveLength(3);
    expect(rowsets[0]?.map(({ rows }) => rows).toSorted()).toEqual([0, 0, 1]);
    expect(rowsets[1]).toEqual(rowsets[0]);
    expect(rowsets[2]).toEqual(rowsets[0]);
    expect(await cluster.files(1)).toHaveLength(1);
    expect(await cluster.files(2)).toEqual(await cluster.files(1));
  });

  it('can be read from each of them when it is visible', async () => {
    await createTable(cluster, table);
    await load(cluster, table, 1, ROWS);
    await settle(cluster, visibleAs(1, 2));
    await load(cluster, table, 2, [[5, 'e']]);
    await settle(cluster, visibleAs(2, 3));
    for (const backend of [1, 2, 3]) {
      const host = cluster.host(backend);
      expect(await read(host, backend, TABLETS, 3)).toEqual([...ROWS, [5, 'e']]);
      expect(await read(host, backend, TABLETS, 2)).toEqual(ROWS);
      expect(await read(host, backend, TABLETS, 1)).toEqual([]);
    }
  });

  it('without rows touches nothing', async () => {
    await createTable(cluster, table);
    const outcome = await load(cluster, table, 1, []);
    expect(outcome.prepared).toEqual([]);
    expect(prepared(1)).toBe(0);
  });

  it('goes on with a majority when a backend is lost, before or while it prepares', async () => {
    await createTable(cluster, table);
    fault(2, { putSegment: lost });
    const first = await load(cluster, table, 1, ROWS);
    const names = (backends: readonly number[], tabletId: TabletId) =>
      backends.map((backend) => replicaOf(tabletId, backend).replicaId);
    const expected = TABLETS.map((tabletId) => ({ tabletId, replicaIds: names([1, 3], tabletId) }));
    expect(first.prepared).toEqual(expected);
    expect(prepared(2)).toBe(0);
    fault(2, { prepare: lost });
    expect((await load(cluster, table, 2, ROWS)).prepared).toEqual(expected);
  });

  it('does not wait for long for one that hangs', async () => {
    await createTable(cluster, table);
    fault(3, { putSegment: hung });
    const loading = load(cluster, table, 1, ROWS);
    await until('the load has gone on without it', () => {
      cluster.clock.advance(10);
      return prepared(1) === 3;
    });
    expect((await loading).prepared?.[0]?.replicaIds).toHaveLength(2);
  });

  it('fails without a majority, and leaves nothing', async () => {
    await createTable(cluster, table);
    fault(2, { prepare: lost });
    fault(3, { prepare: lost });
    await expect(load(cluster, table, 1, ROWS)).rejects.toThrow(
      /could be written on 1 of 3 replicas, 2 are needed \(backend 2: .*; backend 3: /,
    );
    for (const backend of [1, 2, 3]) {
      expect(prepared(backend)).toBe(0);
      expect(await cluster.files(backend)).toEqual([]);
    }
  });

  it('fails at once when there cannot be a majority, although somebody hangs', async () => {
    await createTable(cluster, table);
    fault(2, { putSegment: hung });
    fault(3, { putSegment: lost });
    const loading = load(cluster, loadTarget(3, [2, 3]), 1, ROWS);
    await expect(loading).rejects.toThrow(/written on 1 of 2 replicas, 2 are needed/);
  });

  it('fails at its first bad row, and leaves nothing', async () => {
    await createTable(cluster, table);
    await expect(load(cluster, table, 1, [...ROWS, ['x', 'y']])).rejects.toThrow(/row 5/);
    expect(await cluster.files(1)).toEqual([]);
  });

  it('misses replicas that are not there, tablet by tablet', async () => {
    await createTable(cluster, table);
    const gone = replicaOf(id(2), 3);
    await cluster.host(3).handlers.dropReplicas({ replicas: [gone] }, NEVER);
    const outcome = await load(cluster, table, 1, ROWS);
    expect(outcome.prepared?.map(({ replicaIds }) => replicaIds.length)).toEqual([3, 2, 3]);
  });

  it('does not count a backend that has restarted between segments and prepare', async () => {
    await createTable(cluster, table);
    const { own } = cluster.host(3);
    fault(3, {
      prepare: async (txnId, rowsets, signal) => {
        for (const { tabletId, rowsetId, segments } of rowsets) {
          const local = cluster.host(3).local.store;
          for (const { segment } of segments) {
            await local.delete([`data/${tabletId}/${rowsetId}_${segment}.dat`]);
          }
        }
        await own.prepare(txnId, rowsets, signal);
      },
    });
    const outcome = await load(cluster, table, 1, ROWS);
    expect(outcome.prepared?.[0]?.replicaIds).toHaveLength(2);
    expect(prepared(3)).toBe(0);
  });

  it('that comes twice does no harm to what the first has prepared', async () => {
    await createTable(cluster, table);
    await load(cluster, table, 1, ROWS);
    const files = await cluster.files(1);
    // The message came twice: the same transaction, other rowset ids.
    await expect(load(cluster, table, 1, ROWS, 99)).rejects.toThrow(
      /0 of 3 replicas, 2 are needed/,
    );
    expect(await cluster.files(1)).toEqual(files);
    await settle(cluster, visibleAs(1, 2));
    expect(await read(cluster.host(1), 1, TABLETS, 2)).toEqual(ROWS);
  });

  it('with a wrong checksum on the way is refused', async () => {
    const { own } = cluster.host(1);
    const put = own.putSegment(id(1), rowsetName(1), 0, new Uint8Array(5), 1, NEVER);
    await expect(put).rejects.toThrow(/its checksum is not 1/);
  });
});

describe('what became of a load', () => {
  beforeEach(async () => {
    await createTable(cluster, table);
  });

  it('is asked after a restart', async () => {
    await load(cluster, table, 1, ROWS);
    cluster.server.outcomes.set(id(1), visibleAs(1, 2));
    const host = await cluster.restart(2);
    await until('version 2', () => host.store.get(id(1))?.version === 2);
    expect(await read(host, 2, TABLETS, 2)).toEqual(ROWS);
  });

  it('is asked when the word does not come, and again until there is one', async () => {
    await load(cluster, table, 1, ROWS);
    cluster.server.outcomes.set(id(1), { txnId: id(1), state: 'RUNNING' });
    const asked = () => cluster.server.asked.length;
    const step = async (ms: number, isSo: () => boolean) => {
      await until('time goes on', () => {
        cluster.clock.advance(ms);
        return isSo();
      });
    };
    await step(1000, () => asked() > 3);
    expect(prepared(1)).toBe(3);
    cluster.server.outcomes.set(id(1), { txnId: id(1), state: 'ABORTED' });
    await step(1000, () => prepared(1) === 0);
  });

  it('that is aborted takes its files along', async () => {
    await load(cluster, table, 1, ROWS);
    await settle(cluster, { txnId: id(1), state: 'ABORTED' });
    expect(await filesBecome(cluster, 1, [])).toEqual([]);
    expect(cluster.host(1).store.get(id(1))?.version).toBe(1);
  });

  it('is asked by a query that needs it', async () => {
    await load(cluster, table, 1, ROWS);
    cluster.server.outcomes.set(id(1), visibleAs(1, 2));
    expect(await read(cluster.host(2), 2, TABLETS, 2)).toEqual(ROWS);
  });
});

describe('a query of a replica', () => {
  beforeEach(async () => {
    await createTable(cluster, table);
    await load(cluster, table, 1, ROWS);
    await settle(cluster, visibleAs(1, 2));
  });

  it('that is behind is refused at once', async () => {
    const reading = read(cluster.host(2), 2, TABLETS, 3);
    await expect(reading).rejects.toMatchObject({ code: 'REPLICA_BEHIND' });
    const other = read(cluster.host(2), 3, TABLETS, 2);
    await expect(other).rejects.toMatchObject({ code: 'CONFUSED_REPLICA' });
    const none = read(cluster.host(2), 2, [id(77)], 2);
    await expect(none).rejects.toMatchObject({ code: 'REPLICA_MISSING' });
  });

  it('whose version was merged with later ones is refused', async () => {
    const { store } = cluster.host(2);
    await load(cluster, table, 2, ROWS);
    await settle(cluster, visibleAs(2, 3));
    const state = store.get(id(1));
    const [, second, third] = state?.rowsets ?? [];
    if (state === undefined || second === undefined || third === undefined) throw new Error('gone');
    store.replace(id(1), {
      replicaId: state.replicaId,
      remove: [second.rowsetId, third.rowsetId],
      add: [{ ...third, startVersion: 2, endVersion: 3 }],
    });
    const reading = read(cluster.host(2), 2, TABLETS, 2);
    await expect(reading).rejects.toMatchObject({ code: 'REPLICA_BEHIND' });
  });

  it.each(['missing', 'shorter', 'of another checksum'])(
    'whose segment is %s makes the replica bad and is reported at once',
    async (kind) => {
      const host = await cluster.restart(2);
      await until('a full report', () => {
        cluster.clock.advance(1);
        return host.counts.reports > 0;
      });
      const tablet = TABLETS.find((each) => (host.store.get(each)?.rowsets[1]?.rows ?? 0) > 0);
      if (tablet === undefined) throw new Error('no rows');
      if (kind === 'missing') rmSync(cluster.file(2, tablet, 2));
      else if (kind === 'shorter') truncateSync(cluster.file(2, tablet, 2), 30);
      else cluster.flipByte(2, tablet, 2);
      const reading = read(host, 2, TABLETS, 2);
      await expect(reading).rejects.toMatchObject({ code: 'CORRUPT_OBJECT' });
      expect(host.store.get(tablet)?.isBad).toBe(true);
      await until('the report', () => {
        cluster.clock.advance(1);
        return cluster.server.reports.some(({ replicas, backendId }) =>
          replicas.some((each) => backendId === 2 && each.tabletId === tablet && each.isBad),
        );
      });
      const again = read(host, 2, TABLETS, 2);
      await expect(again).rejects.toMatchObject({ code: 'REPLICA_BAD' });
    },
  );

  const scanAt = (version: number): OpenScanRequest => ({
    tableId: id(1),
    tableName: 'db.t',
    indexId: id(3),
    ttlSeconds: 0,
    columns: [],
    predicates: [],
    tablets: TABLETS.map((tabletId) => ({
      tabletId,
      partitionId: id(1),
      rowsets: [],
      replica: { replicaId: replicaOf(tabletId, 2).replicaId, version },
    })),
  });

  it('reads a version that was merged with later ones after the query had begun', async () => {
    const { store, scans } = cluster.host(2);
    const [tabletId] = TABLETS;
    if (tabletId === undefined) throw new Error('no tablet');
    const { replicaId } = replicaOf(tabletId, 2);
    const place = { kind: 'remote', resourceId: id<never>(9) } as const;
    const [first, second] = store.get(tabletId)?.rowsets ?? [];
    if (first === undefined || second === undefined) throw new Error('no rowsets');
    const third = { ...second, rowsetId: rowsetId('3'.repeat(32)), startVersion: 3, endVersion: 3 };
    const cooled = [first, second, third].map((each) => ({ ...each, place }));
    const remove = [first.rowsetId, second.rowsetId];
    expect(store.replace(tabletId, { replicaId, remove, add: cooled, metaId: 'a' })).toBe(true);
    const merged = { ...third, rowsetId: rowsetId('4'.repeat(32)), startVersion: 0, place };
    const all = cooled.map((each) => each.rowsetId);
    store.replace(tabletId, { replicaId, remove: all, add: [merged], metaId: 'b' });
    const { request, release } = await scans.plan(scanAt(2));
    const [own] = request.tablets;
    expect(own?.rowsets.map((each) => each.rowsetId)).toEqual(remove);
    expect(own?.rowsets.map(({ vaultId }) => vaultId)).toEqual([9, 9]);
    release();
  });

  it('keeps files until it ends', async () => {
    const host = cluster.host(2);
    const planned = await host.scans.plan(scanAt(2));
    const files = await cluster.files(2);
    expect(files.length).toBeGreaterThan(0);
    const replicas = TABLETS.map((tablet) => replicaOf(tablet, 2));
    await host.handlers.dropReplicas({ replicas }, NEVER);
    expect(await cluster.files(2)).toEqual(files);
    planned.release();
    planned.release();
    expect(await filesBecome(cluster, 2, [])).toEqual([]);
  });
});

it('replicas that are dropped are at rest before and after that', async () => {
  await createTable(cluster, table);
  const { handlers, store } = cluster.host(3);
  const there: boolean[][] = [];
  cluster.host(3).attachCooldown({
    quiesce: async (tabletIds: readonly TabletId[]) => {
      there.push(tabletIds.map((tabletId) => store.get(tabletId) !== undefined));
      await Promise.resolve();
    },
  } as never);
  const replicas = TABLETS.map((tablet) => replicaOf(tablet, 3));
  await handlers.dropReplicas({ replicas }, NEVER);
  expect(there).toEqual([TABLETS.map(() => true), TABLETS.map(() => false)]);
});

it('a segment that comes again when its rowset has been cooled is not written', async () => {
  await createTable(cluster, table);
  const { store, own } = cluster.host(2);
  const [tabletId] = TABLETS;
  const rowset = tabletId === undefined ? undefined : store.get(tabletId)?.rowsets[0];
  if (tabletId === undefined || rowset === undefined) throw new Error('no rowset');
  const place = { kind: 'remote', resourceId: id<never>(9) } as const;
  const remove = [rowset.rowsetId];
  const { replicaId } = replicaOf(tabletId, 2);
  store.replace(tabletId, { replicaId, remove, add: [{ ...rowset, place }], metaId: 'a' });
  const body = new Uint8Array([1, 2, 3]);
  await own.putSegment(tabletId, rowset.rowsetId, 0, body, crc32(body), NEVER);
  expect(await cluster.files(2)).toEqual([]);
  await own.putSegment(tabletId, rowsetId('5'.repeat(32)), 0, body, crc32(body), NEVER);
  expect(await cluster.files(2)).toHaveLength(1);
});

it('a backend that is not known is lost', async () => {
  const peer = cluster.host(1).peers({ ...cluster.address(9), backendId: id<BackendId>(9) });
  await expect(peer.snapshot(id(1), id(1), NEVER)).rejects.toMatchObject({ code: 'AGENT_LOST' });
});
