import { once } from 'node:events';
import { Agent, type IncomingMessage, request } from 'node:http';
import { type Socket, connect } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { SqlError } from '../../base/errors.ts';
import { HttpServer, basicCredentials } from '../../base/http_server.ts';
import { SILENT_LOG } from '../../base/ports.ts';
import { systemClock } from '../../base/system_ports.ts';

const HOST = '127.0.0.1';

interface Answer {
  readonly status: number | undefined;
  readonly headers: IncomingMessage['headers'];
  readonly text: string;
}

describe('HttpServer', () => {
  let server: HttpServer;
  let port = 0;
  /** Of this server alone: another one may get the port of one that was closed. */
  let agent: Agent;
  /** Ends the slow request with its answer. */
  let running: PromiseWithResolvers<string>;
  /** The slow request has come. */
  let begun: PromiseWithResolvers<undefined>;

  beforeEach(async () => {
    agent = new Agent({ keepAlive: true });
    running = Promise.withResolvers<string>();
    begun = Promise.withResolvers<undefined>();
    server = new HttpServer(
      [
        { method: 'GET', path: '/plain', run: () => ({ body: 'text' }) },
        { method: 'GET', path: '/api/{db}/{table}', run: ({ params }) => ({ body: params }) },
        { method: 'PUT', path: '/away', run: () => ({ status: 307, body: '' }) },
        {
          method: 'PUT',
          path: '/count',
          readsBody: true,
          run: async ({ message }) => {
            let bytes = 0;
            for await (const chunk of message as AsyncIterable<Uint8Array>) bytes += chunk.length;
            return { body: { bytes } };
          },
        },
        {
          method: 'GET',
          path: '/refused',
          run: () => {
            throw new SqlError('NO_DB');
          },
        },
        {
          method: 'GET',
          path: '/slow',
          run: async () => {
            begun.resolve(undefined);
            return { body: await running.promise };
          },
        },
      ],
      systemClock,
      SILENT_LOG,
    );
    port = await server.listen(HOST, 0);
  });
  afterEach(async () => {
    running.resolve('');
    agent.destroy();
    await server.close(0);
  });

  async function send(method: string, path: string, body?: Buffer): Promise<Answer> {
    const asked = request({ host: HOST, port, method, path, agent });
    asked.end(body);
    const [message] = (await once(asked, 'response')) as [IncomingMessage];
    const chunks: Uint8Array[] = [];
    for await (const chunk of message as AsyncIterable<Uint8Array>) chunks.push(chunk);
    const text = Buffer.concat(chunks).toString();
    return { status: message.statusCode, headers: message.headers, text };
  }

  it('takes any request target for what it is', async () => {
    expect((await send('GET', '//')).status).toBe(404);
    expect((await send('GET', '//plain')).status).toBe(404);
    expect((await send('GET', 'http://elsewhere/plain')).text).toBe('text');
    expect((await send('GET', 'http://[/plain')).status).toBe(400);
    expect((await send('OPTIONS', '*')).status).toBe(400);
  });

  it('routes by method and path, with decoded parts', async () => {
    expect((await send('GET', '/plain')).text).toBe('text');
    expect(JSON.parse((await send('GET', '/api/a%20b/t%2Fx')).text)).toEqual({
      db: 'a b',
      table: 't/x',
    });
    expect((await send('GET', '/nowhere')).status).toBe(404);
    expect((await send('PUT', '/plain')).status).toBe(405);
    expect((await send('HEAD', '/plain')).text).toBe('');
  });

  it('answers bad input with 400 and what it was', async () => {
    const bad = await send('GET', '/api/%zz/t');
    expect([bad.status, JSON.parse(bad.text)]).toEqual([
      400,
      { status: 'FAILED', msg: 'the path is not valid percent-encoding' },
    ]);
    const refused = await send('GET', '/refused');
    expect(JSON.parse(refused.text)).toMatchObject({ errno: 1046, msg: 'No database selected' });
  });

  it('gives its answer to a client that sends a body nobody reads', async () => {
    const body = Buffer.alloc(4 * 2 ** 20, 'x');
    for (let i = 0; i < 10; i += 1) expect((await send('PUT', '/away', body)).status).toBe(307);
  });

  it('lets a client that asks first send its body only where it is read', async () => {
    const ask = async (path: string): Promise<string> => {
      const socket: Socket = connect(port, HOST);
      socket.write(
        `PUT ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n`,
      );
      const [first] = (await once(socket, 'data')) as [Buffer];
      socket.destroy();
      return first.toString().split('\r\n')[0] ?? '';
    };
    expect(await ask('/count')).toBe('HTTP/1.1 100 Continue');
    expect(await ask('/away')).toBe('HTTP/1.1 307 Temporary Redirect');
    const body = Buffer.alloc(100_000);
    expect(JSON.parse((await send('PUT', '/count', body)).text)).toEqual({ bytes: 100_000 });
  });

  it('lets a running request end, and breaks it when the grace period is over', async () => {
    const slow = send('GET', '/slow');
    await begun.promise;
    const closed = server.close(60_000);
    running.resolve('done');
    expect((await slow).text).toBe('done');
    await closed;
  });

  it('does not wait for a request that never ends', async () => {
    const socket = connect(port, HOST);
    socket.write('GET /slow HTTP/1.1\r\nHost: x\r\n\r\n');
    await begun.promise;
    const gone = once(socket, 'close');
    await server.close(1);
    await gone;
  });

  it('keeps connections of clients that ask once a minute', async () => {
    expect((await send('GET', '/plain')).headers['keep-alive']).toBe('timeout=75');
  });

  it('says which address is taken', async () => {
    const other = new HttpServer([], systemClock, SILENT_LOG);
    await expect(other.listen(HOST, port)).rejects.toMatchObject({ code: 'EADDRINUSE' });
  });
});

describe('basicCredentials', () => {
  it('reads user and password; the password may have colons', () => {
    const header = `Basic ${Buffer.from('root:a:b').toString('base64')}`;
    expect(basicCredentials(header)).toEqual({ user: 'root', password: 'a:b' });
    expect(basicCredentials('Bearer x')).toBeUndefined();
    expect(basicCredentials(undefined)).toBeUndefined();
    expect(basicCredentials(`Basic ${Buffer.from('nocolon').toString('base64')}`)).toBeUndefined();
  });
});
