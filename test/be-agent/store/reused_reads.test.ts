/** undici over sockets that read into one buffer, against a real HTTP server. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { type Server, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { Pool } from 'undici';
import { reusedReads } from '../../../be-agent/store/reused_reads.ts';
import { systemClock } from '../../../base/system_ports.ts';

const BODY = Buffer.alloc(3_000_017, 0).map((_, at) => (at * 31 + (at >> 9)) % 251);

const WHOLE = digest(BODY);

let server: Server;
let pool: Pool;
let connections: number;
beforeEach(async () => {
  server = createServer((request, response) => {
    if (request.url === '/break') {
      response.writeHead(200, { 'content-length': BODY.length });
      response.write(BODY.subarray(0, 1000), () => request.socket.destroy());
      return;
    }
    if (request.url === '/chunked') {
      for (let at = 0; at < BODY.length; at += 70_001)
        response.write(BODY.subarray(at, at + 70_001));
      response.end();
      return;
    }
    response.end(BODY);
  }).listen(0, '127.0.0.1');
  connections = 0;
  server.on('connection', () => {
    connections += 1;
  });
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const connect = reusedReads({ clock: systemClock, timeoutMs: 5000 });
  pool = new Pool(`http://127.0.0.1:${port}`, { connections: 1, pipelining: 1, connect });
});
afterEach(async () => {
  await pool.destroy();
  server.closeAllConnections();
  server.close();
});

function digest(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

it('bodies arrive whole over one connection', async () => {
  for (const path of ['/', '/chunked', '/']) expect(digest(await get(path, false))).toBe(WHOLE);
  expect(connections).toBe(1);
});

it.each(['/', '/chunked'])('bodies arrive whole through pauses: %s', async (path) => {
  expect(digest(await get(path, true))).toBe(WHOLE);
});

it('an answer that breaks off is an error', async () => {
  await expect(get('/break', false)).rejects.toMatchObject({ code: 'UND_ERR_SOCKET' });
});

it('a connection that is refused is an error with the system code', async () => {
  const closed = new Pool('http://127.0.0.1:1', {
    connect: reusedReads({ clock: systemClock, timeoutMs: 5000 }),
  });
  await expect(closed.request({ path: '/', method: 'GET' })).rejects.toMatchObject({
    code: 'ECONNREFUSED',
  });
  await closed.destroy();
});

/** As the store does it: parts are copied at once. */
async function get(path: string, pauses: boolean): Promise<Buffer> {
  const parts: Buffer[] = [];
  const { promise, resolve, reject } = Promise.withResolvers<undefined>();
  pool.dispatch(
    { path, method: 'GET' },
    {
      onRequestStart: () => undefined,
      onResponseStart: () => undefined,
      onResponseData: (controller, chunk) => {
        parts.push(Buffer.from(chunk));
        // Pausing in the middle leaves bytes in the buffer that the next read would overwrite.
        if (!pauses || parts.length % 3 !== 0) return;
        controller.pause();
        setImmediate(() => {
          controller.resume();
        });
      },
      onResponseEnd: () => {
        resolve(undefined);
      },
      onResponseError: (_controller, error) => {
        reject(error);
      },
    },
  );
  await promise;
  return Buffer.concat(parts);
}
