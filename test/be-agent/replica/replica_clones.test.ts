import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { readFileSync, rmSync } from 'node:fs';
import type { CloneRequest, LoadTarget } from '../../../base/agent_messages.ts';
import { SqlError } from '../../../base/errors.ts';
import { type TabletId, id } from '../../../base/ids.ts';
import type { ReplicaPeer } from '../../../be-agent/replica/peers.ts';
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

const TABLET: TabletId = id(1);
const REMOTE = { kind: 'remote', resourceId: id<never>(7) } as const;

let cluster: Cluster;
/** Backend 2 misses loads into it. */
let partial: LoadTarget;
let whole: LoadTarget;

beforeEach(async () => {
  cluster = new Cluster();
  await cluster.start(1);
  await cluster.start(2);
  whole = loadTarget(1, [1, 2]);
  partial = loadTarget(1, [1]);
});

afterEach(() => {
  cluster.close();
});

/** Loads one row as version `version`, of transaction `version`. */
async function loadVersion(version: number, into: LoadTarget): Promise<void> {
  await load(cluster, into, version, [[version, `row ${version}`]]);
  await settle(cluster, visibleAs(version, version));
}

function request(more: Partial<CloneRequest> = {}): CloneRequest {
  return {
    tabletId: TABLET,
    replica: replicaOf(TABLET, 2),
    source: { ...cluster.address(1), replicaId: replicaOf(TABLET, 1).replicaId },
    timeoutMs: 60_000,
    ...more,
  };
}

async function clone(more: Partial<CloneRequest> = {}): Promise<{ readonly version: number }> {
  return await cluster.host(2).handlers.cloneReplica(request(more), NEVER);
}

function rowsOf(...versions: readonly number[]): (number | string)[][] {
  return versions.map((version) => [version, `row ${version}`]);
}

/** Replaces answers of backend 1. */
function fault(changes: (own: ReplicaPeer) => Partial<ReplicaPeer>): void {
  const { own } = cluster.host(1);
  const real: ReplicaPeer = {
    putSegment: own.putSegment.bind(own),
    prepare: own.prepare.bind(own),
    discard: own.discard.bind(own),
    snapshot: own.snapshot.bind(own),
    readSegment: own.readSegment.bind(own),
    releaseSnapshot: own.releaseSnapshot.bind(own),
  };
  cluster.peers.add(id(1), { ...real, ...changes(real) });
}

describe('a clone', () => {
  it('makes a new replica with all versions', async () => {
    await cluster.host(1).handlers.createReplicas({ replicas: [replicaOf(TABLET, 1)] }, NEVER);
    for (const version of [2, 3, 4]) await loadVersion(version, partial);
    expect(await clone()).toEqual({ version: 4 });
    expect(await read(cluster.host(2), 2, [TABLET], 4)).toEqual(rowsOf(2, 3, 4));
    expect(await cluster.files(2)).toEqual(await cluster.files(1));
    const rowsets = cluster.host(1).store.get(TABLET)?.rowsets;
    expect(cluster.host(2).store.get(TABLET)?.rowsets.slice(1)).toEqual(rowsets?.slice(1));
    const host = await cluster.restart(2);
    expect(await read(host, 2, [TABLET], 4)).toEqual(rowsOf(2, 3, 4));
  });

  it('copies only what is missing', async () => {
    await createTable(cluster, whole);
    await loadVersion(2, whole);
    await loadVersion(3, partial);
    await loadVersion(4, whole);
    expect(cluster.host(2).store.get(TABLET)?.version).toBe(2);
    const reads: string[] = [];
    fault((own) => ({
      readSegment: async (...args) => {
        reads.push(args[1]);
        return await own.readSegment(...args);
      },
    }));
    expect(await clone()).toEqual({ version: 4 });
    const third = cluster.host(1).store.get(TABLET)?.rowsets[2]?.rowsetId;
    expect(reads).toEqual([third]);
    expect(await read(cluster.host(2), 2, [TABLET], 4)).toEqual(rowsOf(2, 3, 4));
    expect(await clone()).toEqual({ version: 4 });
    expect(reads).toHaveLength(1);
  });

  it('takes cooled rowsets by description, with lead and meta id', async () => {
    await createTable(cluster, whole);
    for (const version of [2, 3]) await loadVersion(version, partial);
    const { store } = cluster.host(1);
    const replicaId = replicaOf(TABLET, 1).replicaId;
    const [first, second] = store.get(TABLET)?.rowsets ?? [];
    if (first === undefined || second === undefined) throw new Error('no rowsets');
    store.setLead({ tabletId: TABLET, replicaId, term: 3 });
    store.replace(TABLET, {
      replicaId,
      remove: [first.rowsetId, second.rowsetId],
      add: [
        { ...first, place: REMOTE },
        { ...second, place: REMOTE },
      ],
      metaId: 'm1',
    });
    expect(await clone()).toEqual({ version: 3 });
    const copy = cluster.host(2).store.get(TABLET);
    expect(copy).toMatchObject({ version: 3, metaId: 'm1', lead: { replicaId, term: 3 } });
    expect(copy?.rowsets.map(({ place }) => place.kind)).toEqual(['remote', 'remote', 'local']);
    expect(await cluster.files(2)).toHaveLength(1);
  });

  it('keeps a newer lead', async () => {
    await createTable(cluster, whole);
    await loadVersion(2, partial);
    const [one, two] = [cluster.host(1).store, cluster.host(2).store];
    one.setLead({ tabletId: TABLET, replicaId: id(11), term: 3 });
    two.setLead({ tabletId: TABLET, replicaId: id(12), term: 4 });
    await clone();
    expect(two.get(TABLET)?.lead).toEqual({ replicaId: 12, term: 4 });
  });

  it('repairs what is damaged', async () => {
    await createTable(cluster, whole);
    for (const version of [2, 3]) await loadVersion(version, whole);
    cluster.flipByte(2, TABLET, 2);
    rmSync(cluster.file(2, TABLET, 3));
    let host = await cluster.restart(2);
    await expect(read(host, 2, [TABLET], 3)).rejects.toMatchObject({ code: 'CORRUPT_OBJECT' });
    expect(host.store.get(TABLET)?.isBad).toBe(true);
    await clone();
    expect(host.store.get(TABLET)?.isBad).toBe(false);
    host = await cluster.restart(2);
    expect(await read(host, 2, [TABLET], 3)).toEqual(rowsOf(2, 3));
  });

  it('does not take damage along, and says that the source is damaged', async () => {
    await createTable(cluster, whole);
    await loadVersion(2, partial);
    const before = readFileSync(cluster.file(1, TABLET, 2));
    cluster.flipByte(1, TABLET, 2);
    expect(readFileSync(cluster.file(1, TABLET, 2))).not.toEqual(before);
    await cluster.restart(1);
    await expect(clone()).rejects.toMatchObject({ code: 'CORRUPT_OBJECT' });
    expect(cluster.host(2).store.get(TABLET)?.version).toBe(1);
    expect(cluster.host(1).store.get(TABLET)?.isBad).toBe(true);
    await expect(clone()).rejects.toMatchObject({ code: 'REPLICA_BAD' });
  });

  it('survives damage on the way', async () => {
    await createTable(cluster, whole);
    await loadVersion(2, partial);
    fault((own) => ({
      readSegment: async (...args) => {
        const bytes = Uint8Array.from(await own.readSegment(...args));
        bytes[5] = (bytes[5] ?? 0) ^ 8;
        return bytes;
      },
    }));
    await expect(clone()).rejects.toThrow(/checksum is another one at the source/);
    expect(cluster.host(2).store.get(TABLET)?.version).toBe(1);
    expect(await cluster.files(2)).toEqual([]);
  });

  it('goes on where an earlier try ended', async () => {
    await createTable(cluster, whole);
    for (const version of [2, 3, 4]) await loadVersion(version, partial);
    let reads = 0;
    fault((own) => ({
      readSegment: async (...args) => {
        reads += 1;
        if (reads === 3)
          throw new SqlError('AGENT_LOST', { backend: 1, what: 'x', why: 'for a test' });
        return await own.readSegment(...args);
      },
    }));
    await expect(clone()).rejects.toMatchObject({ code: 'AGENT_LOST' });
    expect(cluster.host(2).store.get(TABLET)?.version).toBe(1);
    expect(await clone()).toEqual({ version: 4 });
    expect(reads).toBe(4);
  });

  it('that a crash cut off leaves nothing', async () => {
    await createTable(cluster, whole);
    for (const version of [2, 3]) await loadVersion(version, partial);
    let reads = 0;
    fault((own) => ({
      readSegment: async (...args) => {
        reads += 1;
        if (reads === 2)
          throw new SqlError('AGENT_LOST', { backend: 1, what: 'x', why: 'for a test' });
        return await own.readSegment(...args);
      },
    }));
    await expect(clone()).rejects.toThrow();
    expect(await cluster.files(2)).toHaveLength(1);
    await cluster.restart(2);
    expect(await filesBecome(cluster, 2, [])).toEqual([]);
    expect(await clone()).toEqual({ version: 3 });
  });

  it('goes along with loads that become visible meanwhile', async () => {
    await createTable(cluster, whole);
    await loadVersion(2, partial);
    await loadVersion(3, partial);
    let isFirst = true;
    fault((own) => ({
      readSegment: async (...args) => {
        if (isFirst) {
          isFirst = false;
          await loadVersion(4, whole);
        }
        return await own.readSegment(...args);
      },
    }));
    expect(await clone()).toEqual({ version: 4 });
    expect(await read(cluster.host(2), 2, [TABLET], 4)).toEqual(rowsOf(2, 3, 4));
  });

  it('and a load of the same rowset come to the same, in any order', async () => {
    await createTable(cluster, whole);
    await load(cluster, whole, 2, [[2, 'row 2']]);
    const outcome = visibleAs(2, 2);
    await cluster.host(1).handlers.settleTxns({ txns: [outcome] }, NEVER);
    // Prepared here, and not known to be visible.
    expect(await clone()).toEqual({ version: 2 });
    await settle(cluster, outcome);
    expect(cluster.host(2).store.prepared()).toEqual([]);
    const host = await cluster.restart(2);
    expect(await read(host, 2, [TABLET], 2)).toEqual(rowsOf(2));
  });

  it('that is repeated joins the one that runs', async () => {
    await createTable(cluster, whole);
    await loadVersion(2, partial);
    let snapshots = 0;
    fault((own) => ({
      snapshot: async (...args) => {
        snapshots += 1;
        return await own.snapshot(...args);
      },
    }));
    const both = await Promise.all([clone(), clone()]);
    expect(both).toEqual([{ version: 2 }, { version: 2 }]);
    expect(snapshots).toBe(1);
  });

  it('ends with its time, with the replica, and with the backend', async () => {
    await createTable(cluster, whole);
    await loadVersion(2, partial);
    let isReading = false;
    fault(() => ({
      readSegment: async (...args) => {
        isReading = true;
        const signal = args[4];
        return await new Promise((_, reject) => {
          signal.addEventListener('abort', () => {
            reject(signal.reason as Error);
          });
        });
      },
    }));
    const late = clone({ timeoutMs: 5000 });
    await until('it reads', () => isReading);
    cluster.clock.advance(5000);
    await expect(late).rejects.toThrow(/took longer than 5000 ms/);
    isReading = false;
    const stopped = clone();
    await until('it reads', () => isReading);
    cluster.host(2).clones.close();
    await expect(stopped).rejects.toThrow(/the backend stops/);
  });

  it('of a replica that is dropped meanwhile does not bring it back', async () => {
    await createTable(cluster, whole);
    await loadVersion(2, partial);
    fault((own) => ({
      readSegment: async (...args) => {
        const replicas = [replicaOf(TABLET, 2)];
        await cluster.host(2).handlers.dropReplicas({ replicas }, NEVER);
        return await own.readSegment(...args);
      },
    }));
    await expect(clone()).rejects.toMatchObject({ code: 'REPLICA_MISSING' });
    expect(cluster.host(2).store.get(TABLET)).toBeUndefined();
  });

  it('reads files that were replaced at the source since its snapshot', async () => {
    await createTable(cluster, whole);
    await loadVersion(2, partial);
    const { store, local } = cluster.host(1);
    const state = store.get(TABLET);
    const rowset = state?.rowsets[1];
    if (state === undefined || rowset === undefined) throw new Error('no rowset');
    fault((own) => ({
      readSegment: async (...args) => {
        store.replace(TABLET, {
          replicaId: state.replicaId,
          remove: [rowset.rowsetId],
          add: [{ ...rowset, place: REMOTE }],
        });
        await local.delete(TABLET, [rowset]);
        return await own.readSegment(...args);
      },
    }));
    expect(await clone()).toEqual({ version: 2 });
    expect(await filesBecome(cluster, 1, [])).toEqual([]);
  });

  it('from or to another replica than asked is refused', async () => {
    await createTable(cluster, whole);
    const source = { ...cluster.address(1), replicaId: id<never>(99) };
    await expect(clone({ source })).rejects.toMatchObject({ code: 'CONFUSED_REPLICA' });
    const replica = { ...replicaOf(TABLET, 2), replicaId: id<never>(98) };
    await expect(clone({ replica })).rejects.toMatchObject({ code: 'CONFUSED_REPLICA' });
  });
});

describe('a lost disk', () => {
  it('is an empty report; nothing is made by itself', async () => {
    await createTable(cluster, whole);
    await load(cluster, whole, 2, [[2, 'row 2']]);
    cluster.server.outcomes.set(id(2), visibleAs(2, 2));
    const host = await cluster.loseDisk(2);
    await until('its report', () => {
      cluster.clock.advance(1);
      return host.counts.reports > 0;
    });
    const last = cluster.server.reports.findLast(({ backendId }) => backendId === 2);
    expect(last).toMatchObject({ kind: 'FULL', replicas: [], sums: [] });
    await host.handlers.settleTxns({ txns: [visibleAs(2, 2)] }, NEVER);
    await host.handlers.setPolicies({ replicas: [{ tabletId: TABLET, policyId: id(4) }] }, NEVER);
    const conf = { tabletId: TABLET, replicaId: id<never>(12), term: 1 };
    expect(await host.handlers.pushCooldownConf({ confs: [conf] }, NEVER)).toEqual({
      outcomes: [{ tabletId: TABLET, outcome: 'MISSING' }],
    });
    expect(host.store.list()).toEqual([]);
    await expect(read(host, 2, [TABLET], 2)).rejects.toMatchObject({ code: 'REPLICA_MISSING' });
    const loading = load(cluster, whole, 3, [[3, 'row 3']]);
    await expect(loading).rejects.toThrow(/1 of 2 replicas, 2 are needed/);
    expect(host.store.list()).toEqual([]);
  });

  it('is filled again by a clone', async () => {
    await createTable(cluster, whole);
    await loadVersion(2, whole);
    await cluster.loseDisk(2);
    expect(await clone()).toEqual({ version: 2 });
    expect(await read(cluster.host(2), 2, [TABLET], 2)).toEqual(rowsOf(2));
  });
});
