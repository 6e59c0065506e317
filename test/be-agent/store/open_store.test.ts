/** openStore, probeStore and MeteredStore. */
import { afterAll, describe, expect, it } from '@jest/globals';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Config } from '../../../base/config.ts';
import { ObjectStoreError, SILENT_LOG } from '../../../base/ports.ts';
import type { ObjectStore } from '../../../base/ports.ts';
import { systemClock, systemRandom } from '../../../base/system_ports.ts';
import { MemoryStore } from '../../../be-agent/store/memory_store.ts';
import { MeteredStore } from '../../../be-agent/store/metered_store.ts';
import { openStore } from '../../../be-agent/store/open_store.ts';
import { probeStore } from '../../../be-agent/store/probe.ts';
import { s3ServerMissing, startS3Server } from '../../s3_server.ts';
import { bytes, failure, kindOf, listAll, storeContract, text } from './contract.ts';
import { StepClock, seededRandom } from './test_ports.ts';

const directories: string[] = [];

async function temporary(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'thermocline-open-'));
  directories.push(directory);
  return directory;
}

afterAll(async () => {
  for (const directory of directories) await rm(directory, { recursive: true, force: true });
});

const deps = {
  config: new Config({ object_store_retries: '1' }),
  clock: systemClock,
  random: systemRandom,
  log: SILENT_LOG,
};

const memory = (): MemoryStore =>
  new MemoryStore({
    clock: new StepClock(),
    random: seededRandom(5),
    limits: () => ({ retries: 1, timeoutMs: 1000 }),
  });

/** `store` with some operations replaced. */
function changed(store: ObjectStore, changes: Partial<ObjectStore>): ObjectStore {
  return {
    url: store.url,
    get: async (key, options) => await store.get(key, options),
    head: async (key, options) => await store.head(key, options),
    put: async (key, body, options) => await store.put(key, body, options),
    upload: async (key, source, options) => await store.upload(key, source, options),
    list: (prefix, options) => store.list(prefix, options),
    delete: async (keys, options) => {
      await store.delete(keys, options);
    },
    close: async () => {
      await store.close();
    },
    ...changes,
  };
}

storeContract('MeteredStore', async () => {
  const store = new MeteredStore(memory());
  return { store, close: async () => await store.close() };
});

describe('MeteredStore', () => {
  it('counts requests, bytes, errors and what is in flight, by operation', async () => {
    const store = new MeteredStore(memory());
    await store.put('a', bytes('12345'));
    await store.get('a');
    const running = store.get('a', { length: 2 });
    expect(store.counts().inFlight).toBe(1);
    await running;
    await kindOf(store.get('missing'));
    await store.head('a');
    await listAll(store, '');
    await store.delete(['a']);
    expect(store.counts()).toEqual({
      put: { requests: 1, bytes: 5, errors: 0 },
      get: { requests: 3, bytes: 7, errors: 1 },
      head: { requests: 1, bytes: 0, errors: 0 },
      list: { requests: 2, bytes: 0, errors: 0 },
      delete: { requests: 1, bytes: 0, errors: 0 },
      inFlight: 0,
    });
  });
});

describe('openStore', () => {
  it('opens a directory', async () => {
    const path = join(await temporary(), 'vault');
    const store = await openStore({ kind: 'file', path }, deps);
    await store.put('a', bytes('x'));
    expect(text(await store.get('a'))).toBe('x');
    expect(store.url).toBe(`file://${path}`);
    await store.close();
  });

  it('opens a bucket without connecting', async () => {
    const spec = {
      kind: 's3',
      endpoint: 'storage.invalid',
      region: 'r',
      bucket: 'b',
      rootPath: 'p',
      accessKey: 'a',
      secretKey: 's',
      usePathStyle: false,
    } as const;
    const store = await openStore(spec, deps);
    expect(store.url).toBe('s3://b/p');
    await store.close();
    await expect(openStore({ ...spec, endpoint: 'no host' }, deps)).rejects.toThrow(TypeError);
  });
});

describe('probeStore', () => {
  it('finds everything in order, and leaves nothing behind', async () => {
    const store = memory();
    const report = await probeStore(store, seededRandom(1));
    expect(report).toEqual({ conditionalCreate: true, compareAndSet: true });
    expect(store.keys()).toEqual([]);
    const path = await temporary();
    const files = await openStore({ kind: 'file', path }, deps);
    expect(await probeStore(files, systemRandom)).toEqual(report);
    expect(await readdir(path)).toEqual(['.thermocline-tmp']);
  });

  it('finds out a store that ignores conditions', async () => {
    const inner = memory();
    const store = changed(inner, { put: async (key, body) => await inner.put(key, body) });
    expect(await probeStore(store, seededRandom(1))).toEqual({
      conditionalCreate: false,
      compareAndSet: false,
    });
    expect(inner.keys()).toEqual([]);
  });

  it('finds out a store that answers 501 to conditions', async () => {
    const inner = memory();
    const store = changed(inner, {
      put: async (key, body, options = {}) => {
        if (options.ifMatch === undefined && options.ifNoneMatch === undefined) {
          return await inner.put(key, body);
        }
        throw new ObjectStoreError('UNSUPPORTED', key, 'not implemented');
      },
    });
    expect(await probeStore(store, seededRandom(1))).toEqual({
      conditionalCreate: false,
      compareAndSet: false,
    });
  });

  it.each<[string, (inner: MemoryStore) => Partial<ObjectStore>, string]>([
    [
      'a store that cannot be written',
      () => ({
        put: async (key) => await Promise.reject(new ObjectStoreError('ACCESS_DENIED', key, 'no')),
      }),
      'cannot write: no',
    ],
    [
      'a store that reads something else',
      (inner) => ({ get: async (key) => (await inner.get(key)).toReversed() }),
      'what was read is not what was written',
    ],
    [
      'a store that ignores ranges',
      (inner) => ({ get: async (key) => await inner.get(key) }),
      'a range that was read',
    ],
    [
      'a store whose list is empty',
      (inner) => ({ list: () => inner.list('elsewhere/') }),
      'the list does not show',
    ],
    [
      'a store that does not delete',
      () => ({ delete: async () => await Promise.resolve() }),
      'cannot delete',
    ],
  ])('refuses %s', async (_what, changes, says) => {
    const inner = memory();
    const error = await failure(probeStore(changed(inner, changes(inner)), seededRandom(1)));
    expect(error.message).toContain(says);
  });

  const missing = s3ServerMissing();
  const title = 'tells what is wrong with a bucket on a real server';
  if (missing !== undefined) {
    it.skip(`${title}: ${missing}`, () => undefined);
    return;
  }
  it(title, async () => {
    const server = await startS3Server();
    try {
      await server.createBucket('probed');
      const { endpoint, region, accessKey, secretKey } = server;
      const good = {
        kind: 's3',
        endpoint,
        region,
        accessKey,
        secretKey,
        bucket: 'probed',
        rootPath: '',
        usePathStyle: true,
      } as const;
      const probe = async (changes: Partial<typeof good> | object): Promise<unknown> => {
        const store = await openStore({ ...good, ...changes }, deps);
        try {
          const report = await probeStore(store, systemRandom);
          expect(await listAll(store, '')).toEqual([]);
          return report;
        } finally {
          await store.close();
        }
      };
      expect(await probe({})).toEqual({ conditionalCreate: true, compareAndSet: true });
      const wrong: readonly [object, string, string][] = [
        [{ bucket: 'absent' }, 'BUCKET_MISSING', "bucket 'absent' does not exist"],
        [{ accessKey: 'nobody' }, 'ACCESS_DENIED', 'access key is not known'],
        [{ secretKey: 'wrong' }, 'ACCESS_DENIED', 'secret key is wrong'],
        [{ endpoint: 'http://127.0.0.1:1' }, 'UNAVAILABLE', 'refused the connection'],
        [{ endpoint: endpoint.replace('http:', 'https:') }, 'UNAVAILABLE', 'does not speak TLS'],
      ];
      for (const [changes, kind, says] of wrong) {
        const error = await failure(probe(changes));
        expect(error.kind).toBe(kind);
        expect(error.message).toMatch(/^cannot write: /);
        expect(error.message).toContain(says);
        expect(error.message).not.toContain(secretKey);
      }
    } finally {
      await server.stop();
    }
  });
});
