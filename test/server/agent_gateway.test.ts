/** Remote backends and the server over real sockets, with answers that get lost on the way. */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { request } from 'undici';
import type { FrontendPort } from '../../base/agent_messages.ts';
import { SqlError } from '../../base/errors.ts';
import { HttpServer, type Route } from '../../base/http_server.ts';
import { type BackendId, id } from '../../base/ids.ts';
import { SILENT_LOG } from '../../base/ports.ts';
import {
  CALL_PATH,
  POLL_PATH,
  PROTOCOL,
  REGISTER_PATH,
  type RegisterRequest,
} from '../../base/remote_messages.ts';
import { systemClock, systemRandom } from '../../base/system_ports.ts';
import { fromWireText, toWireText } from '../../base/wire_json.ts';
import { ServerHttp } from '../../be-agent/remote/server_http.ts';
import { BackendRefused, ServerLink } from '../../be-agent/remote/server_link.ts';
import { type Admission, AgentGateway } from '../../server/agent_gateway.ts';

const HOST = '127.0.0.1';
const TOKEN = 'a'.repeat(64);
const BACKEND = id<BackendId>(7);
const OPTIONS = { timeoutMs: 10_000 };

const ADMITTED: Admission = {
  status: 'OK',
  clusterId: 'c',
  backendId: BACKEND,
  generation: 1,
  computeGroupName: 'g',
  config: {},
};

/** Every n-th answer of a route is lost after its request was carried out; 0: none. */
let loseEvery = 0;
let admission: Admission = ADMITTED;
/** What the backend is asked, and what the server is. */
let asked: unknown[] = [];
let told: unknown[] = [];
let left: BackendId[] = [];
let answer: (name: string, request: unknown, signal: AbortSignal) => Promise<unknown>;

let server: HttpServer;
let gateway: AgentGateway;
let port = 0;
let http: ServerHttp;
let link: ServerLink;
let running: Promise<void>;

function lossy(route: Route): Route {
  let answers = 0;
  return {
    ...route,
    run: async (message) => {
      const result = await route.run(message);
      answers += 1;
      const isLost = loseEvery > 0 && answers % loseEvery === 0 && route.path !== REGISTER_PATH;
      if (isLost) message.message.socket.destroy();
      return result;
    },
  };
}

function frontend(): FrontendPort {
  return {
    call: async (name, message) => {
      told.push([name, message]);
      if (name === 'abortLoad') throw new SqlError('LOAD_FAILED', { why: 'told so' });
      return await Promise.resolve({ confirmed: [] } as never);
    },
  };
}

async function startServer(): Promise<void> {
  gateway = new AgentGateway({
    clock: systemClock,
    random: systemRandom,
    log: SILENT_LOG,
    clusterToken: TOKEN,
    admit: async () => await Promise.resolve(admission),
    frontend,
    onLeave: (backendId) => left.push(backendId),
  });
  server = new HttpServer(gateway.routes().map(lossy), systemClock, SILENT_LOG);
  port = await server.listen(HOST, port);
}

beforeEach(async () => {
  [loseEvery, admission, port] = [0, ADMITTED, 0];
  [asked, told, left] = [[], [], []];
  answer = async (_name, message) => await Promise.resolve(message);
  await startServer();
  http = new ServerHttp(`http://${HOST}:${port}`, TOKEN);
  const identity: RegisterRequest = {
    protocol: PROTOCOL,
    process: 'p',
    host: HOST,
    httpPort: 1,
  };
  link = new ServerLink({
    http,
    clock: systemClock,
    random: systemRandom,
    log: SILENT_LOG,
    identity: () => identity,
    handler: async (name, message, signal) => {
      asked.push([name, message]);
      return await answer(name, message, signal);
    },
    onRegistered: async () => {
      await Promise.resolve();
    },
  });
  running = link.register().then(async () => {
    await link.run();
  });
  running.catch(() => undefined);
});
afterEach(async () => {
  await link.close();
  gateway.close();
  await server.close(0);
  await http.close();
  await running.catch(() => undefined);
});

async function registered(): Promise<void> {
  await until(() => gateway.hasSession(BACKEND));
}

async function until(ready: () => boolean): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<undefined>();
  const look = (): void => {
    if (ready()) resolve(undefined);
    else setImmediate(look);
  };
  look();
  await promise;
}

describe('a remote backend', () => {
  it('is asked, and asks', async () => {
    await registered();
    const message = { scanId: 'x', big: 9_223_372_036_854_775_807n, bytes: new Uint8Array([1]) };
    expect(await gateway.call(BACKEND, 'closeScan', message, OPTIONS)).toEqual(message);
    const reply = await link.frontend.call('confirmUnusedRemoteFiles', { questions: [] }, OPTIONS);
    expect(reply).toEqual({ confirmed: [] });
  });

  it('passes on errors as they are, both ways', async () => {
    await registered();
    answer = async () => await Promise.reject(new SqlError('UNKNOWN_VAULT', { name: 'v' }));
    await expect(gateway.call(BACKEND, 'ping', {}, OPTIONS)).rejects.toMatchObject({
      code: 'UNKNOWN_VAULT',
      args: { name: 'v' },
    });
    answer = async () => await Promise.reject(new TypeError('a bug with a secret in it'));
    await expect(gateway.call(BACKEND, 'ping', {}, OPTIONS)).rejects.toMatchObject({
      code: 'INTERNAL',
      message: expect.not.stringContaining('secret'),
    });
    await expect(
      link.frontend.call('abortLoad', { txnId: id(1), reason: '' }, OPTIONS),
    ).rejects.toMatchObject({ code: 'LOAD_FAILED' });
  });

  it('does everything once and answers all when every third answer is lost', async () => {
    await registered();
    loseEvery = 3;
    const numbers = Array.from({ length: 40 }, (_, at) => at);
    const calls = numbers.map(
      async (at) => await gateway.call(BACKEND, 'closeScan', { scanId: `${at}` }, OPTIONS),
    );
    const others = numbers.map(
      async (at) =>
        await link.frontend.call('txnOutcomes', { txnIds: [id(at)] }, { timeoutMs: 20_000 }),
    );
    expect(await Promise.all(calls)).toEqual(numbers.map((at) => ({ scanId: `${at}` })));
    await Promise.all(others);
    expect(asked).toHaveLength(40);
    expect(told).toHaveLength(40);
  });

  it('hears that nobody waits any more', async () => {
    await registered();
    const heard = Promise.withResolvers<undefined>();
    answer = async (_name, _message, signal) => {
      signal.addEventListener('abort', () => {
        heard.resolve(undefined);
      });
      return await heard.promise;
    };
    const stop = new AbortController();
    const call = gateway.call(BACKEND, 'ping', {}, { ...OPTIONS, signal: stop.signal });
    await until(() => asked.length === 1);
    stop.abort();
    await expect(call).rejects.toMatchObject({ code: 'QUERY_INTERRUPTED' });
    await heard.promise;
  });

  it('is given up by the call after its time', async () => {
    await registered();
    answer = async (_name, _message, signal) => {
      const { promise, reject } = Promise.withResolvers<undefined>();
      signal.addEventListener('abort', () => {
        reject(new SqlError('QUERY_INTERRUPTED'));
      });
      return await promise;
    };
    await expect(gateway.call(BACKEND, 'ping', {}, { timeoutMs: 50 })).rejects.toMatchObject({
      code: 'AGENT_LOST',
    });
  });

  it('registers again after a restart of the server, and stops what ran for the old one', async () => {
    await registered();
    const stopped = Promise.withResolvers<undefined>();
    answer = async (_name, _message, signal) => {
      signal.addEventListener('abort', () => {
        stopped.resolve(undefined);
      });
      return await stopped.promise;
    };
    const before = gateway.call(BACKEND, 'ping', {}, OPTIONS);
    await until(() => asked.length === 1);
    gateway.close();
    await expect(before).rejects.toMatchObject({ code: 'AGENT_LOST' });
    await server.close(0);
    await startServer();
    await stopped.promise;
    await registered();
    answer = async () => await Promise.resolve({ incarnation: 'i' });
    expect(await gateway.call(BACKEND, 'ping', {}, OPTIONS)).toEqual({ incarnation: 'i' });
  });

  it('ends when another process has taken it over', async () => {
    await registered();
    admission = { status: 'REFUSED', why: 'another one', isFinal: true };
    gateway.forget(BACKEND);
    await expect(running).rejects.toThrow(BackendRefused);
  });

  it('says goodbye', async () => {
    await registered();
    await gateway.call(BACKEND, 'ping', {}, OPTIONS);
    await link.close();
    expect(left).toEqual([BACKEND]);
    expect(gateway.hasSession(BACKEND)).toBe(false);
    await expect(gateway.call(BACKEND, 'ping', {}, OPTIONS)).rejects.toMatchObject({
      code: 'AGENT_LOST',
    });
  });
});

describe('whoever has no token, or an old session', () => {
  async function post(path: string, body: string, token: string): Promise<string> {
    const answered = await request(`http://${HOST}:${port}${path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}` },
      body,
    });
    return `${answered.statusCode} ${await answered.body.text()}`;
  }

  it('gets nowhere', async () => {
    await registered();
    expect(await post(POLL_PATH, '{}', 'b'.repeat(64))).toMatch(/^401 /);
    expect(await post(POLL_PATH, '{"$b":7}', TOKEN)).toMatch(/^400 /);
    const old = toWireText({ backendId: BACKEND, session: 'old', seen: 0 });
    expect(await post(POLL_PATH, old, TOKEN)).toBe('200 {"status":"REGISTER"}');
    const call = { backendId: BACKEND, session: 'old', number: 1, oldest: 1, name: 'heartbeat' };
    const answered = await post(CALL_PATH, toWireText(call), TOKEN);
    expect(fromWireText(answered.slice(4))).toEqual({ status: 'REGISTER' });
    expect(told).toEqual([]);
  });
});
