/** Resources on a real S3 server: what CREATE finds out, and that secrets stay secret. */
import { readFile, readdir } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { ListObjectsV2Command, type S3Client } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type S3Server, s3ServerMissing, startS3Server } from '../s3_server.ts';
import { ServerProcess } from './server_process.ts';

const WRONG_SECRET = 'thisIsNotTheSecretKeyOfThatUser0123456789';
const TOKEN = 'aSessionTokenThatNobodyMaySee';
const BUCKET = 'cold';

let server: ServerProcess;
beforeAll(async () => {
  server = await ServerProcess.start({
    args: ['--embedded', 'none', '--set', 'object_store_retries=0'],
  });
});
afterAll(async () => {
  await server?.stop();
});

function createResource(name: string, properties: Readonly<Record<string, string>>): string {
  const list = Object.entries(properties).map(([key, value]) => `"${key}" = "${value}"`);
  return `CREATE RESOURCE ${name} PROPERTIES(${list.join(', ')})`;
}

async function item(name: string, key: string): Promise<unknown> {
  const rows = await server.sql(`SHOW RESOURCES WHERE Name = '${name}' AND Item = '${key}'`);
  return rows[0]?.['Value'];
}

const missing = s3ServerMissing();
(missing === undefined ? describe : describe.skip)('a resource in a bucket', () => {
  let s3: S3Server;
  let client: S3Client;

  beforeAll(async () => {
    s3 = await startS3Server();
    await s3.createBucket(BUCKET);
    client = s3.client();
  });
  afterAll(async () => {
    client?.destroy();
    await s3?.stop();
  });

  function properties(changes: Readonly<Record<string, string>> = {}): Record<string, string> {
    return {
      type: 's3',
      's3.endpoint': s3.endpoint,
      's3.region': s3.region,
      's3.bucket': BUCKET,
      's3.root.path': 'root',
      's3.access_key': s3.accessKey,
      's3.secret_key': s3.secretKey,
      ...changes,
    };
  }

  it('is tried out, and nothing of it stays', async () => {
    await server.sql(createResource('good', properties()));
    expect(await server.sql('SHOW WARNINGS')).toEqual([]);
    expect(await item('good', 'supports_conditional_writes')).toBe('true');
    const { Contents = [] } = await client.send(new ListObjectsV2Command({ Bucket: BUCKET }));
    expect(Contents).toEqual([]);
  });

  it.each<[string, Readonly<Record<string, string>>, RegExp]>([
    ['a wrong secret key', { 's3.secret_key': WRONG_SECRET }, /secret key is wrong/],
    ['an unknown access key', { 's3.access_key': 'NOBODY' }, /access key is not known/],
    ['a bucket that is not there', { 's3.bucket': 'nosuch' }, /bucket 'nosuch' does not exist/],
    ['nobody who listens', { 's3.endpoint': 'http://127.0.0.1:1' }, /refused/],
  ])('is refused with %s', async (_, changes, text) => {
    const error = await server.error(createResource('bad', properties(changes)));
    expect(error).toMatchObject({ errno: 1105, sqlState: 'HY000' });
    expect(error.message).toMatch(/^Resource\(bad\) cannot be used: /);
    expect(error.message).toMatch(text);
    expect(await item('bad', 'id')).toBeUndefined();
  });

  it('is tried out again when it is altered', async () => {
    const alter = 'ALTER RESOURCE good PROPERTIES';
    const error = await server.error(`${alter}("s3.secret_key" = "${WRONG_SECRET}")`);
    expect(error.message).toMatch(/^Resource\(good\) cannot be used: .*secret key is wrong/);
    expect(await item('good', 'version')).toBe('0');
    await server.sql(`${alter}("s3.secret_key" = "${s3.secretKey}", "s3.bucket" = "${BUCKET}")`);
    expect(await item('good', 'version')).toBe('1');
  });

  it('keeps its secrets to itself, also over a restart', async () => {
    const unchecked = { 's3.session_token': TOKEN, s3_validity_check: 'false' };
    await server.sql(createResource('token', properties(unchecked)));
    const broken = createResource('token', properties()).replace('PROPERTIES', 'PROPERTEIS');
    const answers: unknown[] = [
      await server.error(broken),
      await server.error(createResource('token', properties(unchecked))),
      await server.sql('SHOW WARNINGS'),
      await server.sql('SHOW RESOURCES'),
      await server.sql('SHOW FULL PROCESSLIST'),
      await server.sql('SELECT * FROM information_schema.resources'),
      await server.sql('SELECT * FROM information_schema.audit_log'),
    ];
    await server.restart();
    expect(await item('token', 's3.session_token')).toBe('******');
    answers.push(await server.sql('SHOW RESOURCES'));
    // The credentials are still there.
    await server.sql('ALTER RESOURCE good PROPERTIES("s3_validity_check" = "true")');
    const texts = [JSON.stringify(answers), server.stderr];
    for (const entry of await readdir(server.dataDir, { recursive: true, withFileTypes: true })) {
      if (entry.isFile()) {
        texts.push(await readFile(join(entry.parentPath, entry.name), 'latin1'));
      }
    }
    expect(texts.join('')).toContain(BUCKET);
    for (const secret of [s3.secretKey, WRONG_SECRET, TOKEN]) {
      expect(texts.filter((text) => text.includes(secret))).toEqual([]);
    }
  });
});

describe('a store without conditional writes', () => {
  let store: Server;
  const objects = new Map<string, Buffer>();

  beforeAll(async () => {
    store = createServer((request, response) => {
      void answer(request).then(({ status, headers, body }) => {
        response.writeHead(status, { ...headers, 'content-length': String(body.byteLength) });
        response.end(request.method === 'HEAD' ? undefined : body);
      });
    });
    await new Promise<void>((resolve) => store.listen(0, '127.0.0.1', resolve));
  });
  afterAll(async () => {
    store.closeAllConnections();
    await new Promise((resolve) => store.close(resolve));
  });

  interface Answer {
    readonly status: number;
    readonly headers: Readonly<Record<string, string>>;
    readonly body: Buffer;
  }

  /** Takes every PUT, whatever its conditions: as the oldest servers do. */
  async function answer(request: IncomingMessage): Promise<Answer> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks);
    const url = new URL(request.url ?? '/', 'http://s3');
    const key = url.pathname.slice('/plain/'.length);
    const headers = { etag: '"e"', 'last-modified': 'Thu, 01 Jan 1970 00:00:00 GMT' };
    if (request.method === 'PUT') {
      objects.set(key, body);
      return { status: 200, headers, body: Buffer.alloc(0) };
    }
    if (request.method === 'POST') {
      for (const [, gone = ''] of body.toString().matchAll(/<Key>([^<]*)<\/Key>/g)) {
        objects.delete(gone);
      }
      return { status: 200, headers, body: Buffer.from('<DeleteResult></DeleteResult>') };
    }
    if (url.searchParams.has('list-type')) {
      const prefix = url.searchParams.get('prefix') ?? '';
      const found = [...objects].filter(([name]) => name.startsWith(prefix));
      const items = found.map(
        ([name, data]) =>
          `<Contents><Key>${name}</Key><Size>${data.byteLength}</Size><ETag>e</ETag></Contents>`,
      );
      const list = `<ListBucketResult>${items.join('')}</ListBucketResult>`;
      return { status: 200, headers, body: Buffer.from(list) };
    }
    const object = objects.get(key);
    if (object === undefined) {
      const text = '<Error><Code>NoSuchKey</Code></Error>';
      return { status: 404, headers: {}, body: Buffer.from(text) };
    }
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
    if (first === undefined) return { status: 200, headers, body: object };
    const part = object.subarray(Number(first), Number(last) + 1);
    const range = { 'content-range': `bytes ${first}-${last}/${object.byteLength}` };
    return { status: 206, headers: { ...headers, ...range }, body: part };
  }

  it('makes a resource, with a warning', async () => {
    const { port } = store.address() as AddressInfo;
    await server.sql(
      createResource('plain', {
        type: 's3',
        's3.endpoint': `http://127.0.0.1:${port}`,
        's3.region': 'r',
        's3.bucket': 'plain',
        's3.root.path': 'root',
        's3.access_key': 'a',
        's3.secret_key': 's',
      }),
    );
    expect(await server.sql('SHOW WARNINGS')).toEqual([
      {
        Level: 'Warning',
        Code: 1105,
        Message:
          'Resource(plain): the store has no conditional writes (If-None-Match, If-Match); ' +
          'who may write is told by leases and terms alone',
      },
    ]);
    expect(await item('plain', 'supports_conditional_writes')).toBe('false');
    expect([...objects.keys()]).toEqual([]);
  });
});
