/**
 * A backend dies at the n-th step that it takes on its disk, for n = 1, 2, ... until the story has no
 * n-th step: before it, or right after it. Whatever n is, the next life has the rows of all visible
 * versions that it says it has, nothing of aborted ones, and no file too many.
 */
import { afterEach, describe, expect, it } from '@jest/globals';
import { type TabletId, id } from '../../../base/ids.ts';
import type { ObjectStore, PutOptions } from '../../../base/ports.ts';
import { segmentKey } from '../../../base/schema.ts';
import type { ReplicaHost } from '../../../be-agent/replica/replica_host.ts';
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
const STEPS_MAX = 100;

class Crash extends Error {}

/** Dies at a step; dead, it does nothing any more. */
class Fuse {
  readonly #at: number;
  readonly #when: 'before' | 'after';
  readonly #die: () => void;
  #steps = 0;
  isDead = false;

  constructor(at: number, when: 'before' | 'after', die: () => void) {
    this.#at = at;
    this.#when = when;
    this.#die = die;
  }

  /** Whether the story was too short for it. */
  get isUnused(): boolean {
    return this.#steps < this.#at;
  }

  async step<T>(work: () => Promise<T>): Promise<T> {
    const isLast = this.begin();
    const result = await work();
    if (isLast) this.crash();
    return result;
  }

  /** Whether the crash comes right after the step that begins now. */
  begin(): boolean {
    if (this.isDead) throw new Crash('dead');
    this.#steps += 1;
    if (this.#steps !== this.#at) return false;
    if (this.#when === 'before') this.crash();
    return true;
  }

  crash(): never {
    this.isDead = true;
    this.#die();
    throw new Crash('now');
  }
}

function fused(store: ObjectStore, fuse: Fuse): ObjectStore {
  return {
    url: store.url,
    get: async (key, options) => await store.get(key, options),
    head: async (key, options) => await store.head(key, options),
    list: (prefix, options) => store.list(prefix, options),
    upload: async (...args) => await store.upload(...args),
    close: async () => {
      await store.close();
    },
    put: async (key: string, body: Uint8Array, options?: PutOptions) =>
      await fuse.step(async () => await store.put(key, body, options)),
    delete: async (keys, options) => {
      await fuse.step(async () => {
        await store.delete(keys, options);
      });
    },
  };
}

let cluster: Cluster;

afterEach(() => {
  cluster.close();
});

/** A commit to agent.db is a step. */
function fuseCommits(host: ReplicaHost, fuse: Fuse): void {
  const batch = host.store.batch.bind(host.store);
  let depth = 0;
  host.store.batch = <T>(work: () => T): T => {
    const isOuter = depth === 0;
    const isLast = isOuter && fuse.begin();
    depth += 1;
    let result: T;
    try {
      result = batch(work);
    } finally {
      depth -= 1;
    }
    if (isLast) fuse.crash();
    return result;
  };
}

/** Tells it twice, as a message that came again. */
async function told(work: () => Promise<unknown>): Promise<void> {
  for (let times = 0; times < 2; times += 1) await ignoring(work);
}

async function ignoring(work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
  } catch {
    // It is dead, or it was: the server goes on.
  }
}

/** All that happens to backend 2; what the server then says is visible. */
async function story(): Promise<void> {
  const both = loadTarget(1, [1, 2]);
  const one = loadTarget(1, [1]);
  const tolerant = {
    ...both,
    replicas: {
      backends: both.replicas?.backends ?? [],
      tablets: (both.replicas?.tablets ?? []).map((tablet) => ({ ...tablet, required: 1 })),
    },
  };
  await ignoring(async () => await createTable(cluster, both));
  await load(cluster, tolerant, 2, [[2, 'b']]);
  await publish(2);
  await load(cluster, tolerant, 13, [[13, 'never']]);
  await abort(13);
  await load(cluster, one, 3, [[3, 'c']]);
  await publish(3);
  await told(clone);
  await load(cluster, tolerant, 4, [[4, 'd']]);
  await publish(4);
}

async function publish(version: number): Promise<void> {
  const outcome = visibleAs(version, version);
  await ignoring(async () => await settle(cluster, outcome));
  await ignoring(async () => await settle(cluster, outcome));
}

async function abort(txn: number): Promise<void> {
  await told(async () => await settle(cluster, { txnId: id(txn), state: 'ABORTED' }));
}

async function clone(): Promise<void> {
  const source = { ...cluster.address(1), replicaId: replicaOf(TABLET, 1).replicaId };
  const request = { tabletId: TABLET, replica: replicaOf(TABLET, 2), source, timeoutMs: 60_000 };
  await cluster.host(2).handlers.cloneReplica(request, NEVER);
}

const ALL = [
  [2, 'b'],
  [3, 'c'],
  [4, 'd'],
];

/** What must be so in the next life, whatever happened. */
async function expectRecovered(): Promise<void> {
  const host = await cluster.restart(2);
  await until('outcomes are known', () => host.store.prepared().length === 0);
  const state = host.store.get(TABLET);
  const version = state?.version ?? 1;
  if (state !== undefined) {
    expect(await read(host, 2, [TABLET], version)).toEqual(ALL.slice(0, version - 1));
  }
  await expectFiles(host);
  await clone();
  expect(await read(host, 2, [TABLET], 4)).toEqual(ALL);
  await expectFiles(host);
}

/** The files that agent.db speaks of, and no others. */
async function expectFiles(host: ReplicaHost): Promise<void> {
  const expected = host.store
    .list()
    .flatMap(({ tabletId, rowsets }) =>
      rowsets.flatMap(({ rowsetId, segments }) =>
        segments.map(({ segment }) => segmentKey(tabletId, rowsetId, segment)),
      ),
    )
    .toSorted();
  expect(await filesBecome(cluster, 2, expected)).toEqual(expected);
}

describe.each(['before', 'after'] as const)('a crash %s a step', (when) => {
  it('loses nothing that is visible and keeps nothing that is not', async () => {
    let steps = 0;
    for (let at = 1; at < STEPS_MAX; at += 1) {
      cluster = new Cluster();
      await cluster.start(1);
      const fuse = new Fuse(at, when, () => {
        cluster.host(2).store.close();
      });
      const host = await cluster.start(2, (files) => fused(files, fuse));
      fuseCommits(host, fuse);
      await story();
      if (fuse.isUnused) break;
      steps = at;
      await expectRecovered();
      cluster.close();
    }
    expect(steps).toBeGreaterThan(10);
    expect(steps).toBeLessThan(STEPS_MAX - 1);
  });
});
