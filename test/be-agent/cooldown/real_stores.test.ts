/** Cooling on a directory, with a store of its own for every backend, and on a real S3 server. */
import { CreateMultipartUploadCommand, ListMultipartUploadsCommand } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { ObjectStore } from '../../../base/ports.ts';
import { systemClock, systemRandom } from '../../../base/system_ports.ts';
import { FileStore } from '../../../be-agent/store/file_store.ts';
import { S3Store } from '../../../be-agent/store/s3_store.ts';
import { type S3Server, s3ServerMissing, startS3Server } from '../../s3_server.ts';
import { headKey } from '../../../be-agent/cooldown/manifest.ts';
import { listAll } from '../store/contract.ts';
import { TABLET, TTL_SECONDS, World } from './cooling_world.ts';

const DUE_MS = TTL_SECONDS * 1000 + 1000;
const POLLS_MAX = 2000;

const deps = {
  clock: systemClock,
  random: systemRandom,
  limits: () => ({ retries: 3, timeoutMs: 20_000 }),
};

/** Virtual time, real calls: time goes on while they are on their way. */
async function until(world: World, isDone: () => boolean): Promise<void> {
  for (let poll = 0; poll < POLLS_MAX && !isDone(); poll += 1) {
    await world.clock.run(500);
    await pause(2);
  }
  expect(isDone()).toBe(true);
}

async function run(
  stores: readonly ObjectStore[],
  large: number,
  leaveParts: () => Promise<void> = async () => await Promise.resolve(),
): Promise<void> {
  const [reader] = stores;
  if (reader === undefined) throw new Error('no store');
  const world = new World({
    replicas: stores.length,
    // The objects get real times.
    startMs: Date.now() + 3_600_000,
    bucketOf: (_, node) => stores[node.backendId - 1] ?? reader,
    config: { cooldown_garbage_grace_seconds: '0' },
  });
  await world.load(2, [1000, large]);
  await world.load(3, []);
  await world.load(4, [2000]);
  await world.conf(1, 1);
  await world.clock.run(DUE_MS);
  await until(world, () => world.isCooled(4));
  const { counts } = world.node(1).engine;
  expect(counts).toMatchObject({ uploadedBytes: 3000 + large, uploadedObjects: 3, failures: 0 });
  const metas = await listAll(reader, `data/${TABLET}/`);
  expect(metas).toHaveLength(5);
  for (const { rowsetId, segments } of world.loaded) {
    for (const { segment, bytes } of segments) {
      const body = await reader.get(`data/${TABLET}/${rowsetId}_${segment}.dat`);
      expect(body.byteLength).toBe(bytes);
    }
  }
  // The next leader claims, and the one before it is refused by the store itself.
  await world.load(5, [10]);
  const pushed = { done: false };
  const confs = [{ tabletId: TABLET, replicaId: world.node(2).replicaId, term: 2 }];
  void world
    .node(2)
    .engine.pushConf(confs)
    .then(() => (pushed.done = true));
  await until(world, () => pushed.done);
  await world.clock.run(DUE_MS);
  await until(world, () => world.node(1).engine.counts.fenced === 1 && world.isCooled(5));
  const head = JSON.parse(new TextDecoder().decode(await reader.get(headKey(TABLET)))) as object;
  expect(head).toMatchObject({ term: 2, replica: 102, cooledVersion: 5 });
  // Merged and collected.
  world.confirm = (tabletIds) => tabletIds;
  await leaveParts();
  const merged = { done: false };
  void world
    .node(2)
    .cooldown.compaction?.compact(TABLET)
    .then(() => (merged.done = true));
  await until(world, () => merged.done && world.isCooled(5));
  const swept = { done: false };
  void world
    .node(2)
    .cooldown.collection.collect()
    .then(() => (swept.done = true));
  await until(world, () => swept.done);
  expect(await listAll(reader, `data/${TABLET}/`)).toHaveLength(3);
  for (const node of world.nodes) await node.cooldown.close();
}

describe('a directory', () => {
  let root = '';
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'thermocline-cooling-'));
  });
  afterAll(async () => {
    await rm(root, { recursive: true, force: true });
  });

  it('cools, claims, merges and collects', async () => {
    const open = async (): Promise<FileStore> => await FileStore.open(root, deps);
    const stores = [await open(), await open(), await open()];
    await run(stores, 17 * 2 ** 20);
    for (const store of stores) await store.close();
  }, 60_000);
});

const missing = s3ServerMissing();
if (missing !== undefined) {
  // eslint-disable-next-line jest/no-disabled-tests
  it.skip(`cooling on radosgw: ${missing}`, () => undefined);
} else {
  describe('radosgw', () => {
    let server: S3Server;
    beforeAll(async () => {
      server = await startS3Server();
      await server.createBucket('cold');
    }, 60_000);
    afterAll(async () => {
      await server.stop();
    });

    it('cools, claims, merges and collects, and reads nothing back', async () => {
      const { endpoint, region, accessKey, secretKey } = server;
      const spec = { kind: 's3', endpoint, region, accessKey, secretKey } as const;
      const place = { bucket: 'cold', rootPath: 'root', usePathStyle: true };
      const store = new S3Store({ ...spec, ...place }, deps);
      const client = server.client();
      // As a leader leaves them that is killed in the middle of an upload.
      await run([store, store], 33 * 2 ** 20, async () => {
        const Key = `root/data/${TABLET}/${'a'.repeat(32)}_0.dat`;
        await client.send(new CreateMultipartUploadCommand({ Bucket: 'cold', Key }));
      });
      const left = await client.send(new ListMultipartUploadsCommand({ Bucket: 'cold' }));
      expect(left.Uploads ?? []).toEqual([]);
      client.destroy();
      await store.close();
    }, 60_000);
  });
}
