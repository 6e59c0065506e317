/** S3Store on a real S3 server: Ceph's radosgw. Faults are in s3_faults.test.ts. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { systemClock, systemRandom } from '../../../base/system_ports.ts';
import type { S3StoreSpec } from '../../../base/schema.ts';
import { CreateMultipartUploadCommand, ListMultipartUploadsCommand } from '@aws-sdk/client-s3';
import type { BodySource } from '../../../base/ports.ts';
import { S3Store } from '../../../be-agent/store/s3_store.ts';
import { s3ServerMissing, startS3Server } from '../../s3_server.ts';
import type { S3Server } from '../../s3_server.ts';
import { bytes, failure, kindOf, listAll, storeContract, text } from './contract.ts';

const missing = s3ServerMissing();
const BUCKET = 'contract';
let server: S3Server;

const deps = {
  clock: systemClock,
  random: systemRandom,
  limits: () => ({ retries: 2, timeoutMs: 20_000 }),
};

function specOf(changes: Partial<S3StoreSpec> = {}): S3StoreSpec {
  return {
    kind: 's3',
    endpoint: server.endpoint,
    region: server.region,
    bucket: BUCKET,
    rootPath: 'root/path',
    accessKey: server.accessKey,
    secretKey: server.secretKey,
    usePathStyle: true,
    ...changes,
  };
}

async function closedPort(): Promise<number> {
  const listener = createServer();
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  const { port } = listener.address() as AddressInfo;
  await new Promise((resolve) => listener.close(resolve));
  return port;
}

if (missing !== undefined) {
  // eslint-disable-next-line jest/no-disabled-tests
  it.skip(`S3Store on radosgw: ${missing}`, () => undefined);
} else {
  beforeAll(async () => {
    server = await startS3Server();
    await server.createBucket(BUCKET);
  });
  afterAll(async () => {
    await server.stop();
  });

  storeContract('S3Store on radosgw', async () => {
    const store = new S3Store(specOf(), deps);
    return { store, close: async () => await store.close() };
  });

  describe('S3Store on radosgw', () => {
    const stores: S3Store[] = [];
    const open = (changes: Partial<S3StoreSpec> = {}): S3Store => {
      const store = new S3Store(specOf(changes), deps);
      stores.push(store);
      return store;
    };
    afterAll(async () => {
      for (const store of stores) await store.close();
    });

    it('keeps vaults of one bucket apart by their root paths', async () => {
      const one = open({ rootPath: 'apart/one' });
      const two = open({ rootPath: 'apart/two' });
      const whole = open({ rootPath: '' });
      await one.put('k', bytes('1'));
      await two.put('k', bytes('2'));
      expect(text(await one.get('k'))).toBe('1');
      expect((await listAll(two, '')).map((meta) => meta.key)).toEqual(['k']);
      expect((await listAll(whole, 'apart/')).map((meta) => meta.key)).toEqual([
        'apart/one/k',
        'apart/two/k',
      ]);
      expect(one.url).toBe(`s3://${BUCKET}/apart/one`);
    });

    it('leaves no parts behind, neither of what failed nor of what a crash has left', async () => {
      const store = open();
      const client = server.client();
      const uploads = async (): Promise<(string | undefined)[]> => {
        const answer = await client.send(new ListMultipartUploadsCommand({ Bucket: BUCKET }));
        return (answer.Uploads ?? []).map(({ Key }) => Key);
      };
      const source = (failAt: number): BodySource => ({
        size: 20 * 2 ** 20,
        read: async (offset, length) => {
          if (offset >= failAt) throw new EvalError('the disk');
          return await Promise.resolve(new Uint8Array(length));
        },
      });
      for (const name of ['parts/a', 'parts/ab']) {
        const Key = `root/path/${name}`;
        await client.send(new CreateMultipartUploadCommand({ Bucket: BUCKET, Key }));
      }
      expect(await uploads()).toEqual(['root/path/parts/a', 'root/path/parts/ab']);
      const again = { isRetry: true };
      await expect(store.upload('parts/a', source(2 ** 24), again)).rejects.toThrow(EvalError);
      // Those of another key are somebody else's.
      expect(await uploads()).toEqual(['root/path/parts/ab']);
      await store.upload('parts/ab', source(2 ** 30), again);
      expect(await uploads()).toEqual([]);
      for (const name of ['parts/1/a', 'parts/1/b', 'parts/11/a']) {
        const Key = `root/path/${name}`;
        await client.send(new CreateMultipartUploadCommand({ Bucket: BUCKET, Key }));
      }
      expect(await store.discardUploads('parts/1/', Date.now() - 3_600_000)).toBe(0);
      expect(await store.discardUploads('parts/1/', Date.now() + 3_600_000)).toBe(2);
      expect(await uploads()).toEqual(['root/path/parts/11/a']);
      expect(await store.discardUploads('parts/', Number.POSITIVE_INFINITY)).toBe(1);
      client.destroy();
    });

    it('deletes more keys than one request may name', async () => {
      const store = open();
      await store.put('bulk/last', bytes('x'));
      const keys = Array.from({ length: 1500 }, (_, n) => `bulk/missing-${n}`);
      await store.delete([...keys, 'bulk/last']);
      expect(await listAll(store, 'bulk/')).toEqual([]);
    });

    it.each([
      ['a wrong secret key', { secretKey: 'wrong' }, 'ACCESS_DENIED', 'secret key is wrong'],
      [
        'an unknown access key',
        { accessKey: 'nobody' },
        'ACCESS_DENIED',
        'access key is not known',
      ],
      ['a missing bucket', { bucket: 'nowhere' }, 'BUCKET_MISSING', "'nowhere' does not exist"],
    ])('tells %s by every call', async (_what, changes, kind, says) => {
      const store = open(changes);
      const calls = [
        async () => await store.get('k'),
        async () => await store.head('k'),
        async () => await store.put('k', bytes('x')),
        async () => await store.put('k', bytes('x'), { ifNoneMatch: '*' }),
        async () => await store.put('k', bytes('x'), { ifMatch: 'e' }),
        async () => {
          await store.delete(['k']);
        },
        async () => await listAll(store, ''),
      ];
      for (const call of calls) {
        const error = await failure(call());
        expect({ kind: error.kind, message: error.message }).toEqual({
          kind,
          message: expect.stringContaining(says),
        });
        expect(error.message).not.toContain(server.secretKey);
      }
    });

    it('tells an endpoint that refuses the connection', async () => {
      const store = open({ endpoint: `http://127.0.0.1:${await closedPort()}` });
      const calls = [
        async () => await store.get('k'),
        async () => await store.put('k', bytes('x')),
        async () => await listAll(store, ''),
      ];
      for (const call of calls) {
        const error = await failure(call());
        expect(error.kind).toBe('UNAVAILABLE');
        expect(error.message).toContain('refused the connection');
      }
      // Nothing was sent, so the outcome of a conditional put is known.
      expect(await kindOf(store.put('k', bytes('x'), { ifNoneMatch: '*' }))).toBe('UNAVAILABLE');
    });

    it('says that the bucket vanished in the middle', async () => {
      await server.createBucket('vanishing');
      const store = open({ bucket: 'vanishing' });
      await store.put('k', bytes('x'));
      await server.deleteBucket('vanishing');
      expect(await kindOf(store.get('k'))).toBe('BUCKET_MISSING');
      expect(await kindOf(store.head('k'))).toBe('BUCKET_MISSING');
      expect(await kindOf(store.put('k', bytes('x')))).toBe('BUCKET_MISSING');
    });

    it('refuses an endpoint that is no URL', () => {
      expect(() => open({ endpoint: 'http://' })).toThrow(TypeError);
      expect(() => open({ endpoint: 'http://user:pass@host' })).toThrow(TypeError);
    });

    it('goes on after the gateway was away', async () => {
      const store = open();
      await store.put('away', bytes('x'));
      await server.stopGateway();
      expect(await kindOf(store.get('away'))).toBe('UNAVAILABLE');
      await server.startGateway();
      expect(text(await store.get('away'))).toBe('x');
    });
  });
}
