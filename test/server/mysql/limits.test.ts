import { afterEach, describe, expect, it } from '@jest/globals';
import type { QueryStep } from '../../../server/mysql/handler.ts';
import { ManualClock } from '../../manual_clock.ts';
import { RawClient, commandBytes, parseError } from './raw_client.ts';
import { okStep, rowsResult, startServer, textStep, until } from './scripted_front_door.ts';
import type { TestServer } from './scripted_front_door.ts';
import { textColumn } from '../../../base/values.ts';

const servers: TestServer[] = [];
const clients: RawClient[] = [];

async function start(
  settings: Record<string, string> = {},
  clock?: ManualClock,
): Promise<TestServer> {
  const server = await startServer(settings, clock);
  servers.push(server);
  return server;
}
async function logIn(server: TestServer, user = 'root', password = ''): Promise<RawClient> {
  const client = await RawClient.loggedIn(server.port, { user, password });
  clients.push(client);
  return client;
}
async function nextErrno(client: RawClient): Promise<number> {
  const packet = await client.read();
  return packet === undefined ? 0 : parseError(packet.payload).errno;
}

afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy();
  for (const server of servers.splice(0)) await server.close();
});

/** A statement that waits for its signal. */
function hang(server: TestServer): void {
  server.door.onQuery = async function* answer(_sql, { signal }): AsyncIterable<QueryStep> {
    await new Promise((_resolve, reject) => {
      signal.addEventListener('abort', () => {
        reject(signal.reason as Error);
      });
    });
    yield okStep();
  };
}

describe('idle timeout', () => {
  it('ends a connection that asks nothing for wait_timeout, and not one that does', async () => {
    const clock = new ManualClock();
    const server = await start({}, clock);
    const quiet = await logIn(server);
    const lively = await logIn(server);
    const session = server.door.sessions[0];
    clock.advance(20_000_000);
    await lively.query('x');
    clock.advance(9_000_000);
    expect(await nextErrno(quiet)).toBe(4031);
    expect(session?.closeCount).toBe(1);
    expect((await lively.queryOne('x')).kind).toBe('ok');
  });

  it('follows the session variable at once', async () => {
    const clock = new ManualClock();
    const server = await start({}, clock);
    const client = await logIn(server);
    const [session] = server.door.sessions;
    if (session !== undefined) session.idleTimeoutSeconds = 5;
    await client.query('SET wait_timeout = 5');
    clock.advance(4999);
    expect((await client.queryOne('x')).kind).toBe('ok');
    clock.advance(5000);
    expect(await nextErrno(client)).toBe(4031);
  });

  it('does not count while a statement runs', async () => {
    const clock = new ManualClock();
    const server = await start({}, clock);
    const client = await logIn(server);
    let finish: () => void = () => undefined;
    server.door.onQuery = async function* answer() {
      await new Promise<void>((resolve) => {
        finish = resolve;
      });
      yield okStep();
    };
    client.command(0x03, 'long');
    await until(() => server.door.calls.length === 1);
    clock.advance(100_000_000);
    finish();
    expect((await client.readResult()).kind).toBe('ok');
  });
});

describe('connection limit', () => {
  it('refuses one more with 1040, except root once, and forgets who left', async () => {
    const server = await start({ max_connections: '2' });
    const first = await logIn(server, 'native', 'secret');
    await logIn(server, 'native', 'secret');
    await expect(logIn(server, 'native', 'secret')).rejects.toThrow('1040 Too many connections');
    await logIn(server, 'root');
    await expect(logIn(server, 'root')).rejects.toThrow('Too many connections (limit 2');
    first.destroy();
    await until(() => server.listener.connections.size === 2);
    await expect(logIn(server, 'native', 'secret')).rejects.toThrow('1040');
    server.config.setLive('max_connections', '3');
    await logIn(server, 'native', 'secret');
  });

  it('refuses one more of a user with 1203, except of root, and forgets who left', async () => {
    const server = await start({ max_user_connections: '1' });
    const first = await logIn(server, 'native', 'secret');
    await expect(logIn(server, 'native', 'secret')).rejects.toThrow('1203 User native already has');
    await logIn(server, 'sha', 'secret');
    await logIn(server, 'root');
    await logIn(server, 'root');
    first.destroy();
    await until(() => server.listener.connections.size === 3);
    await logIn(server, 'native', 'secret');
  });

  it('half-open connections push out their oldest, and logins still come through', async () => {
    const server = await start({ max_connections: '4' });
    const flood = await Promise.all(
      Array.from({ length: 530 }, () => RawClient.connect(server.port)),
    );
    clients.push(...flood);
    const client = await logIn(server);
    await until(() => server.listener.connections.size <= 513);
    expect((await client.queryOne('x')).kind).toBe('ok');
    await flood[0]?.readToEnd();
    expect(flood[0]?.socket.destroyed).toBe(true);
  });
});

describe('kill', () => {
  it('QUERY stops the statement, the connection goes on', async () => {
    const server = await start();
    hang(server);
    const client = await logIn(server);
    client.command(0x03, 'sleep');
    await until(() => server.door.calls.length === 1);
    const [entry] = server.listener.connections.list();
    expect(entry).toMatchObject({
      user: 'root',
      host: '127.0.0.1',
      command: 'Query',
      state: 'executing',
      statement: 'sleep',
    });
    expect(server.listener.connections.kill(entry?.id ?? 0, 'QUERY')).toBe(true);
    expect((await client.readResult()).errno).toBe(1317);
    server.door.onQuery = async function* answer(_sql, { signal }) {
      await Promise.resolve();
      expect(signal.aborted).toBe(false);
      yield okStep();
    };
    expect((await client.queryOne('x')).kind).toBe('ok');
    expect(server.listener.connections.list()[0]).toMatchObject({ command: 'Sleep', state: '' });
  });

  it('QUERY on an idle connection does not touch its next statement', async () => {
    const server = await start();
    const client = await logIn(server);
    const id = server.listener.connections.list()[0]?.id ?? 0;
    server.listener.connections.kill(id, 'QUERY');
    expect((await client.queryOne('x')).kind).toBe('ok');
    expect(server.listener.connections.kill(id + 1000, 'QUERY')).toBe(false);
  });

  it('CONNECTION ends it, running or idle', async () => {
    const server = await start();
    hang(server);
    const running = await logIn(server);
    const idle = await logIn(server);
    running.command(0x03, 'sleep');
    await until(() => server.door.calls.length === 1);
    for (const { id } of server.listener.connections.list()) {
      server.listener.connections.kill(id, 'CONNECTION');
    }
    expect(await nextErrno(running)).toBe(1927);
    expect(await nextErrno(idle)).toBe(1927);
    expect(await running.read()).toBeUndefined();
    expect(await idle.read()).toBeUndefined();
    expect(server.door.sessions.map((session) => session.closeCount)).toEqual([1, 1]);
  });

  it('CONNECTION ends a statement that does not listen, after a second', async () => {
    const clock = new ManualClock();
    const server = await start({}, clock);
    server.door.onQuery = async function* deaf() {
      await new Promise(() => undefined);
      yield okStep();
    };
    const client = await logIn(server);
    client.command(0x03, 'deaf');
    await until(() => server.door.calls.length === 1);
    const id = server.listener.connections.list()[0]?.id ?? 0;
    server.listener.connections.kill(id, 'CONNECTION');
    // Until the socket is closed it is listed as what it is, not as one that works.
    expect(server.listener.connections.list()).toMatchObject([{ id, command: 'Killed' }]);
    clock.advance(1000);
    expect(await client.read()).toBeUndefined();
    await until(() => server.listener.connections.size === 0);
    expect(server.door.sessions[0]?.closeCount).toBe(1);
  });

  it('of oneself answers first', async () => {
    const server = await start();
    server.door.onQuery = async function* answer(_sql, _options, session) {
      await Promise.resolve();
      session.control.kill('CONNECTION');
      yield okStep();
    };
    const client = await logIn(server);
    client.write(Buffer.concat([commandBytes(0x03, 'KILL me'), commandBytes(0x03, 'more')]));
    expect((await client.readResult()).kind).toBe('ok');
    expect(await client.read()).toBeUndefined();
    expect(server.door.calls).toEqual(['query KILL me']);
  });
});

describe('a client that vanishes', () => {
  it('stops its statement and closes its session once', async () => {
    const server = await start();
    let aborted = false;
    server.door.onQuery = async function* answer(_sql, { signal }): AsyncIterable<QueryStep> {
      await new Promise<void>((resolve) => {
        signal.addEventListener('abort', () => {
          resolve();
        });
      });
      aborted = signal.aborted;
      yield okStep();
    };
    const client = await logIn(server);
    client.command(0x03, 'sleep');
    await until(() => server.door.calls.length === 1);
    client.destroy();
    await until(() => aborted && server.listener.connections.size === 0);
    expect(server.door.sessions[0]?.closeCount).toBe(1);
  });

  it('in the middle of its rows ends the iteration', async () => {
    const server = await start();
    let returned = false;
    server.door.onQuery = async function* answer() {
      const rows = (async function* batches() {
        try {
          for (;;) {
            await Promise.resolve();
            yield [['x'.repeat(10_000)]];
          }
        } finally {
          returned = true;
        }
      })();
      await Promise.resolve();
      yield { result: rowsResult([textColumn('t')], rows), warnings: 0, more: false };
    };
    const client = await logIn(server);
    client.command(0x03, 'rows');
    await client.read();
    client.destroy();
    await until(() => returned && server.listener.connections.size === 0);
    expect(server.errors).toEqual([]);
  });
});

describe('shutdown', () => {
  it('lets a statement finish, ends the idle, and accepts nobody', async () => {
    const server = await startServer();
    let finish: () => void = () => undefined;
    server.door.onQuery = async function* answer() {
      await new Promise<void>((resolve) => {
        finish = resolve;
      });
      yield textStep(['done']);
    };
    const busy = await logIn(server);
    const idle = await logIn(server);
    busy.write(Buffer.concat([commandBytes(0x03, 'long'), commandBytes(0x03, 'next')]));
    await until(() => server.door.calls.length === 1);
    const closed = server.listener.close(60_000);
    expect(await nextErrno(idle)).toBe(1053);
    await expect(RawClient.connect(server.port)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    finish();
    expect((await busy.readResult()).rows).toEqual([['done']]);
    expect(await busy.read()).toBeUndefined();
    await closed;
    expect(server.door.calls).toEqual(['query long']);
  });

  it('stops a statement after the grace period with 1053', async () => {
    const clock = new ManualClock();
    const server = await startServer({}, clock);
    hang(server);
    const client = await logIn(server);
    client.command(0x03, 'sleep');
    await until(() => server.door.calls.length === 1);
    const closed = server.listener.close(500);
    clock.advance(500);
    expect((await client.readResult()).errno).toBe(1053);
    client.destroy();
    await closed;
    expect(clock.pending).toBe(0);
  });
});

describe('listen', () => {
  it('says which address is in use', async () => {
    const server = await start();
    const other = await startServer();
    await other.close();
    const { port } = server;
    await expect(other.listener.listen('127.0.0.1', port)).rejects.toMatchObject({
      message: `cannot listen on 127.0.0.1:${port}: another program uses this port`,
      code: 'EADDRINUSE',
    });
  });
});
