/**
 * What S3Store makes of a server that misbehaves: a small HTTP server answers by script. What a
 * good server does is tested on a real one in s3_store.test.ts.
 */
import { afterEach, describe, expect, it } from '@jest/globals';
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { S3StoreSpec } from '../../../base/schema.ts';
import { S3Store } from '../../../be-agent/store/s3_store.ts';
import { bytes, failure, kindOf, listAll, text } from './contract.ts';
import { StepClock, seededRandom } from './test_ports.ts';

type Reply = (request: IncomingMessage, response: ServerResponse) => void;

interface Setup {
  readonly store: S3Store;
  readonly clock: StepClock;
  /** What arrived: method, path, headers. */
  readonly requests: IncomingMessage[];
  /** Resolves when request number n (from 1) has arrived. */
  readonly arrived: (n: number) => Promise<void>;
}

const SECRET = 'a-very-secret-key';
const running: { server: Server; store: S3Store }[] = [];

/** A store on a server that gives one reply after the other; the last stays. */
async function scripted(
  replies: readonly Reply[],
  retries = 3,
  spec: Partial<S3StoreSpec> = {},
): Promise<Setup> {
  const requests: IncomingMessage[] = [];
  const waiting: { n: number; resolve: () => void }[] = [];
  const server = createServer((request, response) => {
    const reply = replies[Math.min(requests.length, replies.length - 1)];
    requests.push(request);
    for (const waiter of waiting) if (waiter.n <= requests.length) waiter.resolve();
    request.resume();
    request.on('end', () => reply?.(request, response));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const clock = new StepClock();
  const store = new S3Store(
    {
      kind: 's3',
      endpoint: `http://127.0.0.1:${port}`,
      region: 'us-east-1',
      bucket: 'b',
      rootPath: '',
      accessKey: 'access',
      secretKey: SECRET,
      usePathStyle: true,
      ...spec,
    },
    { clock, random: seededRandom(3), limits: () => ({ retries, timeoutMs: 5000 }) },
  );
  running.push({ server, store });
  const arrived = async (n: number): Promise<void> => {
    await new Promise<void>((resolve) => {
      if (requests.length >= n) resolve();
      else waiting.push({ n, resolve });
    });
  };
  return { store, clock, requests, arrived };
}

afterEach(async () => {
  for (const { server, store } of running.splice(0)) {
    await store.close();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});

const xmlError = (code: string): string =>
  `<?xml version="1.0"?><Error><Code>${code}</Code><Message>says the server</Message></Error>`;

const error =
  (status: number, code?: string, headers: Record<string, string> = {}): Reply =>
  (_request, response) => {
    response.writeHead(status, headers).end(code === undefined ? '' : xmlError(code));
  };

const good =
  (body: string): Reply =>
  (_request, response) => {
    response.writeHead(200, { 'content-length': String(body.length), etag: '"e1"' }).end(body);
  };

/** Announces 10 bytes, sends 4, cuts the connection. */
const truncated: Reply = (_request, response) => {
  response.writeHead(200, { 'content-length': '10' });
  response.write('four', () => response.destroy());
};

const reset: Reply = (request) => {
  request.socket.resetAndDestroy();
};

const silent: Reply = () => undefined;

describe('S3Store retries', () => {
  it.each([
    ['503', error(503)],
    ['503 SlowDown', error(503, 'SlowDown')],
    ['500 InternalError', error(500, 'InternalError')],
    ['502 of a proxy', error(502)],
    ['429', error(429)],
    ['a truncated body', truncated],
    ['a reset connection', reset],
  ])('get and put after %s', async (_what, fault) => {
    const reading = await scripted([fault, fault, good('0123456789')]);
    expect(text(await reading.store.get('k'))).toBe('0123456789');
    expect(reading.requests).toHaveLength(3);
    expect(reading.clock.sleeps).toHaveLength(2);
    if (fault === truncated) return;
    const writing = await scripted([fault, good('')]);
    expect(await writing.store.put('k', bytes('x'))).toEqual({ etag: 'e1' });
  });

  it('gives up after the configured number, with the last error', async () => {
    const { store, requests, clock } = await scripted([error(503, 'SlowDown')], 2);
    expect((await failure(store.get('k'))).kind).toBe('THROTTLED');
    expect(requests).toHaveLength(3);
    expect(clock.sleeps).toHaveLength(2);
  });

  it('waits as long as Retry-After says', async () => {
    const later = error(503, 'SlowDown', { 'retry-after': '7' });
    const { store, clock } = await scripted([later, good('ok')]);
    await store.get('k');
    expect(clock.sleeps).toEqual([7000]);
  });

  it('fills the same buffer again after a truncated body', async () => {
    const { store } = await scripted([truncated, good('0123456789')]);
    const into = new Uint8Array(16);
    expect(text(await store.get('k', { into }))).toBe('0123456789');
    expect(text(into.subarray(0, 10))).toBe('0123456789');
  });

  it.each([
    [403, 'AccessDenied', 'ACCESS_DENIED'],
    [404, 'NoSuchKey', 'NOT_FOUND'],
    [404, 'NoSuchBucket', 'BUCKET_MISSING'],
    [416, 'InvalidRange', 'RANGE'],
    [501, 'NotImplemented', 'UNSUPPORTED'],
    [301, 'PermanentRedirect', 'UNSUPPORTED'],
    [400, 'AuthorizationHeaderMalformed', 'UNSUPPORTED'],
  ])('not after %i %s', async (status, code, kind) => {
    const { store, requests } = await scripted([error(status, code)]);
    const failed = await failure(store.get('k', { offset: 1 }));
    expect(failed.kind).toBe(kind);
    expect(failed.message).toContain(`${code} ${status}`);
    expect(requests).toHaveLength(1);
  });

  it('lists and deletes after a 503 as well', async () => {
    const page =
      '<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>a</Key><Size>1</Size>' +
      '<ETag>"e"</ETag><LastModified>2026-01-01T00:00:00Z</LastModified></Contents></ListBucketResult>';
    const xml: Reply = (_request, response) => {
      response.writeHead(200, { 'content-type': 'application/xml' }).end(page);
    };
    const listing = await scripted([error(503, 'SlowDown'), reset, xml]);
    expect((await listAll(listing.store, '')).map((meta) => meta.key)).toEqual(['a']);
    const done: Reply = (_request, response) => {
      response.writeHead(200).end('<DeleteResult></DeleteResult>');
    };
    const deleting = await scripted([error(500, 'InternalError'), done]);
    await deleting.store.delete(['a']);
    expect(deleting.requests[1]?.headers['content-md5']).toMatch(/^[\w+/]{22}==$/);
  });

  it('reports the key whose deletion failed', async () => {
    const partly: Reply = (_request, response) => {
      const failed = '<Error><Key>b</Key><Code>AccessDenied</Code><Message>no</Message></Error>';
      response.writeHead(200).end(`<DeleteResult>${failed}</DeleteResult>`);
    };
    const { store } = await scripted([partly]);
    expect(await failure(store.delete(['a', 'b']))).toMatchObject({
      kind: 'ACCESS_DENIED',
      key: 'b',
    });
  });
});

describe('S3Store conditional puts', () => {
  const create = async (store: S3Store): Promise<unknown> =>
    await store.put('k', bytes('x'), { ifNoneMatch: '*' });

  it.each([
    ['a reset connection', reset],
    ['500', error(500, 'InternalError')],
    ['504 of a proxy', error(504)],
  ])('have an unknown outcome after %s, and are not sent again', async (_what, fault) => {
    const { store, requests } = await scripted([fault, good('')]);
    expect(await kindOf(create(store))).toBe('UNKNOWN_OUTCOME');
    expect(requests).toHaveLength(1);
  });

  it.each([
    ['409 ConditionalRequestConflict', error(409, 'ConditionalRequestConflict')],
    ['503 SlowDown', error(503, 'SlowDown')],
    ['429', error(429)],
  ])('are sent again after %s, which says that nothing was done', async (_what, fault) => {
    const { store, requests } = await scripted([fault, good('')]);
    await create(store);
    expect(requests).toHaveLength(2);
    expect(requests[1]?.headers['if-none-match']).toBe('*');
  });

  it('fail with PRECONDITION after 412 and UNSUPPORTED after 501', async () => {
    const taken = await scripted([error(412, 'PreconditionFailed')]);
    expect(await kindOf(create(taken.store))).toBe('PRECONDITION');
    const unable = await scripted([error(501, 'NotImplemented')]);
    expect(await kindOf(create(unable.store))).toBe('UNSUPPORTED');
  });

  it('try the quoted etag, then the bare one, and keep the one that worked', async () => {
    const no = error(412, 'PreconditionFailed');
    const { store, requests } = await scripted([no, good(''), good(''), no]);
    await store.put('k', bytes('x'), { ifMatch: 'e' });
    await store.put('k', bytes('x'), { ifMatch: 'f' });
    expect(await kindOf(store.put('k', bytes('x'), { ifMatch: 'g' }))).toBe('PRECONDITION');
    expect(requests.map((request) => request.headers['if-match'])).toEqual(['"e"', 'e', 'f', 'g']);
  });
});

describe('S3Store time limits and aborts', () => {
  it('gives up after the time limit without progress, and tries again', async () => {
    const { store, clock, arrived } = await scripted([silent, good('late')]);
    const got = store.get('k');
    await arrived(1);
    clock.advance(4999);
    clock.advance(2);
    expect(text(await got)).toBe('late');
    expect(clock.pendingTimers).toBe(0);
  });

  it('does not give up while bytes arrive', async () => {
    const steps = Promise.withResolvers<ServerResponse>();
    const slow: Reply = (_request, response) => {
      response.writeHead(200, { 'content-length': '4' });
      steps.resolve(response);
    };
    const { store, clock } = await scripted([slow], 0);
    const into = new Uint8Array(4);
    const got = store.get('k', { into });
    const response = await steps.promise;
    for (const [at, char] of ['w', 'x', 'y', 'z'].entries()) {
      response.write(char);
      while (into[at] === 0) await new Promise((resolve) => setImmediate(resolve));
      clock.advance(4000);
    }
    expect(text(await got)).toBe('wxyz');
  });

  it('names the time limit when nothing helps', async () => {
    const { store, clock, arrived } = await scripted([silent], 0);
    const put = failure(store.put('k', bytes('x')));
    await arrived(1);
    clock.advance(5001);
    expect(await put).toMatchObject({
      kind: 'UNAVAILABLE',
      message: expect.stringContaining('no progress for 5000 ms'),
    });
  });

  it('aborts a request that is under way, and one that lists', async () => {
    const { store, clock, arrived } = await scripted([silent]);
    const abort = new AbortController();
    const kinds = [
      kindOf(store.get('k', { signal: abort.signal })),
      kindOf(store.put('k', bytes('x'), { signal: abort.signal, ifNoneMatch: '*' })),
      kindOf(store.delete(['k'], { signal: abort.signal })),
    ];
    await arrived(3);
    abort.abort();
    expect(await Promise.all(kinds)).toEqual(['ABORTED', 'ABORTED', 'ABORTED']);
    expect(clock.pendingTimers).toBe(0);
  });

  it('leaves the buffer alone once the call has failed', async () => {
    const held = Promise.withResolvers<ServerResponse>();
    const half: Reply = (_request, response) => {
      response.writeHead(200, { 'content-length': '8' });
      response.write('half');
      held.resolve(response);
    };
    const { store } = await scripted([half]);
    const abort = new AbortController();
    const into = new Uint8Array(8);
    const got = kindOf(store.get('k', { into, signal: abort.signal }));
    const response = await held.promise;
    while (into[3] === 0) await new Promise((resolve) => setImmediate(resolve));
    abort.abort();
    into.fill(0);
    response.end('rest');
    expect(await got).toBe('ABORTED');
    expect([...into]).toEqual([0, 0, 0, 0, 0, 0, 0, 0]);
  });
});

describe('S3Store distrusts answers', () => {
  it('a body longer or shorter than the range asked for', async () => {
    const range =
      (header: string, body: string): Reply =>
      (_request, response) => {
        const headers = { 'content-range': header, 'content-length': String(body.length) };
        response.writeHead(206, headers).end(body);
      };
    const other = await scripted([range('bytes 5-8/20', 'abcd')], 0);
    expect(await kindOf(other.store.get('k', { offset: 4, length: 4 }))).toBe('TRUNCATED');
    const short = await scripted([range('bytes 4-6/20', 'abc')], 0);
    expect(await kindOf(short.store.get('k', { offset: 4, length: 4 }))).toBe('TRUNCATED');
    const right = await scripted([range('bytes 4-7/20', 'abcd')], 0);
    expect(text(await right.store.get('k', { offset: 4, length: 4 }))).toBe('abcd');
  });

  it('a server that ignores Range', async () => {
    const { store } = await scripted([good('0123456789')]);
    expect(await kindOf(store.get('k', { offset: 4, length: 4 }))).toBe('UNSUPPORTED');
  });

  it('never shows the secret, not even when the server quotes it', async () => {
    const leak: Reply = (_request, response) => {
      const details = `<StringToSign>${SECRET}</StringToSign>`;
      const body = `<Error><Code>SignatureDoesNotMatch</Code>${details}</Error>`;
      response.writeHead(403).end(body);
    };
    const { store, requests } = await scripted([leak]);
    const failed = await failure(store.get('k'));
    expect(failed.message).toContain('secret key is wrong');
    expect(JSON.stringify([failed.message, store.url])).not.toContain(SECRET);
    expect(JSON.stringify(requests[0]?.headers)).not.toContain(SECRET);
  });
});

describe('a store with limits and a token of its own', () => {
  const limits = { connectionsMax: 1, requestTimeoutMs: 700, connectTimeoutMs: 700 };

  it('signs every request with the token', async () => {
    const listing = good('<ListBucketResult></ListBucketResult>');
    const { store, requests } = await scripted([good('x'), listing], 0, { sessionToken: 'tok' });
    await store.get('k');
    await listAll(store, '');
    expect(requests.map(({ headers }) => headers['x-amz-security-token'])).toEqual(['tok', 'tok']);
    for (const { headers } of requests) {
      expect(headers.authorization).toContain('x-amz-security-token');
    }
  });

  it('gives up after its own time', async () => {
    const { store, clock, arrived } = await scripted([silent], 0, { limits });
    const reading = failure(store.get('k'));
    await arrived(1);
    clock.advance(700);
    expect((await reading).message).toContain('no progress for 700 ms');
  });

  it('opens no more connections than it may', async () => {
    const held: ServerResponse[] = [];
    const hold: Reply = (_request, response) => void held.push(response);
    const { store, requests, arrived } = await scripted([hold], 0, { limits });
    const reading = Promise.all([store.get('a'), store.get('b')]);
    await arrived(1);
    expect(requests).toHaveLength(1);
    const answer = (): void =>
      good('x')(requests[0] as IncomingMessage, held.shift() as ServerResponse);
    answer();
    await arrived(2);
    answer();
    await reading;
  });
});
