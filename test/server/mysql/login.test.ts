import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { systemRandom } from '../../../base/system_ports.ts';
import { Authenticator } from '../../../server/mysql/authenticator.ts';
import type { AuthChannel } from '../../../server/mysql/authenticator.ts';
import { makeCachingSha2 } from '../../../server/mysql/passwords.ts';
import { ManualClock } from '../../manual_clock.ts';
import {
  FLAGS,
  RawClient,
  commandBytes,
  packetBytes,
  parseError,
  parseOk,
  sha2Response,
} from './raw_client.ts';
import { startServer, until } from './scripted_front_door.ts';
import type { TestServer } from './scripted_front_door.ts';

const SHA = 'caching_sha2_password';
const DROP_ALL = commandBytes(0x03, 'DROP EVERYTHING');

let server: TestServer;
const clients: RawClient[] = [];

async function connect(port = server.port): Promise<RawClient> {
  const client = await RawClient.connect(port);
  clients.push(client);
  return client;
}

beforeEach(async () => {
  server = await startServer();
});
afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy();
  await server.close();
});

describe('greeting', () => {
  it('is version 10 with a tame scramble and true capabilities', async () => {
    const client = await connect();
    const greeting = await client.readGreeting();
    expect(greeting.protocol).toBe(10);
    expect(greeting.version).toBe('5.7.99-thermocline');
    expect(greeting.plugin).toBe('mysql_native_password');
    expect(greeting.scramble).toHaveLength(20);
    expect([...greeting.scramble].every((b) => b > 0 && b < 0x80 && b !== 0x24)).toBe(true);
    // LONG_PASSWORD, CONNECT_WITH_DB, PROTOCOL_41, SECURE_CONNECTION, PLUGIN_AUTH, DEPRECATE_EOF
    // COMPRESS, SESSION_TRACK, ZSTD, QUERY_ATTRIBUTES
    for (const bit of [0, 3, 5, 9, 15, 16, 17, 18, 19, 20, 21, 23, 24, 26, 27]) {
      expect(greeting.capabilities & (1 << bit)).not.toBe(0);
    }
    // no LOCAL_FILES
    expect(greeting.capabilities & (1 << 7)).toBe(0);
  });
});

describe('passwords', () => {
  it.each([
    ['root', '', 'ok', []],
    ['root', 'x', 'error', []],
    ['native', 'secret', 'ok', []],
    ['native', 'wrong', 'error', []],
    ['native', '', 'error', []],
    ['sha', 'secret', 'ok', [`switch ${SHA}`, 'full']],
    ['sha', 'wrong', 'error', [`switch ${SHA}`, 'full']],
    ['sha', '', 'error', [`switch ${SHA}`]],
    ['shaempty', '', 'ok', [`switch ${SHA}`]],
    ['shaempty', 'x', 'error', [`switch ${SHA}`, 'full']],
    ['nobody', 'x', 'error', [`switch ${SHA}`, 'full']],
    ['nobody', '', 'error', [`switch ${SHA}`]],
  ])('%s with "%s": %s', async (user, password, kind, steps) => {
    const client = await connect();
    const result = await client.logIn({ user, password });
    expect(result.kind).toBe(kind);
    expect(client.authSteps).toEqual(steps);
    if (kind === 'error') {
      const using = password === '' ? 'NO' : 'YES';
      expect(result.errno).toBe(1045);
      expect(result.message).toBe(
        `Access denied for user '${user}'@'127.0.0.1' (using password: ${using})`,
      );
      expect(await client.read()).toBeUndefined();
    }
  });

  it('a client that starts with the plugin of the account needs no switch', async () => {
    const client = await connect();
    const result = await client.logIn({ user: 'sha', password: 'secret', plugin: SHA });
    expect([result.kind, client.authSteps]).toEqual(['ok', ['full']]);
  });

  it('an account without a password needs no switch to a plugin that new clients lack', async () => {
    const client = await connect();
    const result = await client.logIn({ user: 'root', plugin: SHA });
    expect([result.kind, client.authSteps]).toEqual(['ok', []]);
    const wrong = await connect();
    const refused = await wrong.logIn({ user: 'root', password: 'x', plugin: SHA });
    expect(refused.errno).toBe(1045);
  });

  it('an account of the other plugin switches back', async () => {
    const client = await connect();
    const result = await client.logIn({ user: 'native', password: 'secret', plugin: SHA });
    expect([result.kind, client.authSteps]).toEqual(['ok', ['switch mysql_native_password']]);
  });

  it('the second login is fast, a wrong password is not, a changed one is full again', async () => {
    const logIn = async (password: string): Promise<string> => {
      const client = await connect();
      const result = await client.logIn({ user: 'sha', password, plugin: SHA });
      return `${client.authSteps.join()} ${result.kind}`;
    };
    expect(await logIn('secret')).toBe('full ok');
    expect(await logIn('secret')).toBe('fast ok');
    expect(await logIn('wrong')).toBe('full error');
    const authString = await makeCachingSha2('other', systemRandom.bytes(20));
    server.door.accounts.set('sha', { plugin: SHA, authString });
    expect(await logIn('secret')).toBe('full error');
    expect(await logIn('other')).toBe('full ok');
    expect(await logIn('other')).toBe('fast ok');
  });

  it('a password in clear is accepted from loopback and refused where others can read', async () => {
    const client = await connect();
    await client.readGreeting();
    client.send(client.loginPayload({ user: 'sha', password: 'secret', plugin: SHA }), 1);
    await client.read();
    client.send(Buffer.from('secret\0'), 3);
    expect((await client.read())?.payload[0]).toBe(0);

    const answers = [sha2Response('secret', Buffer.alloc(20, 1)), Buffer.from('secret\0')];
    const remote: AuthChannel = {
      host: '192.0.2.1',
      scramble: Buffer.alloc(20, 1),
      canSwitch: true,
      isPrivate: false,
      send: () => undefined,
      sendLater: () => undefined,
      receive: () => Promise.resolve(answers.shift() ?? Buffer.alloc(0)),
    };
    const claim = { user: 'sha', database: '', plugin: '', collationId: 45, attributes: {} };
    const login = new Authenticator(server.door).authenticate(remote, {
      ...claim,
      response: Buffer.alloc(0),
    });
    await expect(login).rejects.toMatchObject({ errno: 1045 });
  });

  it('a client without plugins logs in natively, and is told when it cannot', async () => {
    const flags = FLAGS.base;
    const native = await connect();
    expect((await native.logIn({ user: 'native', password: 'secret', flags })).kind).toBe('ok');
    for (const user of ['sha', 'nobody']) {
      const client = await connect();
      const result = await client.logIn({ user, password: 'secret', flags });
      expect(result.errno).toBe(1251);
    }
  });

  it('an unknown database ends the login with 1049', async () => {
    const client = await connect();
    const result = await client.logIn({ database: 'nowhere' });
    expect(result.errno).toBe(1049);
    expect(await client.read()).toBeUndefined();
  });

  it('hands name, database, collation and attributes to the session', async () => {
    const client = await connect();
    await client.readGreeting();
    const flags = FLAGS.base | FLAGS.pluginAuth | FLAGS.connectAttrs;
    const payload = client.loginPayload({ database: 'adm', flags, collation: 8 });
    const attributes = Buffer.from('\x10\x04_pid\x011\x04name\x04test');
    attributes[0] = attributes.length - 1;
    client.send(Buffer.concat([payload, attributes]), 1);
    expect((await client.finishLogin('')).kind).toBe('ok');
    expect(server.door.sessions[0]?.login).toMatchObject({
      user: 'root',
      host: '127.0.0.1',
      database: 'adm',
      collationId: 8,
      attributes: { _pid: '1', name: 'test' },
    });
  });
});

describe('nothing runs before a login has succeeded', () => {
  it.each(['root', 'native', 'sha', 'nobody'])(
    'a command behind a bad login of %s',
    async (user) => {
      const client = await connect();
      await client.readGreeting();
      const login = packetBytes(client.loginPayload({ user, password: 'wrong' }), 1);
      client.write(Buffer.concat([login, DROP_ALL, DROP_ALL]));
      const answers = await client.readToEnd();
      expect(answers.every(({ payload }) => payload[0] !== 0x00)).toBe(true);
      expect(answers.at(-1)?.payload[0]).toBe(0xff);
      expect(server.door.calls).toEqual([]);
      expect(server.door.sessions).toEqual([]);
    },
  );

  it('a command instead of a login', async () => {
    const client = await connect();
    await client.readGreeting();
    client.write(DROP_ALL);
    expect(await client.readToEnd()).toHaveLength(1);
    expect(server.door.calls).toEqual([]);
  });

  it('commands at every stage of an unfinished login', async () => {
    // after: the auth switch, the request for full authentication, the public key
    for (const stage of [1, 2, 3]) {
      const client = await connect();
      await client.readGreeting();
      client.send(client.loginPayload({ user: 'sha', password: 'secret' }), 1);
      const switched = await client.read();
      expect(switched?.payload[0]).toBe(0xfe);
      if (stage > 1) {
        client.send(Buffer.alloc(32, 1), 3);
        await client.read();
      }
      if (stage > 2) {
        client.send(Buffer.of(2), 5);
        await client.read();
      }
      client.write(Buffer.concat([DROP_ALL, DROP_ALL]));
      const answers = await client.readToEnd();
      expect(answers.map(({ payload }) => payload[0])).toEqual([0xff]);
    }
    expect(server.door.calls).toEqual([]);
    expect(server.door.sessions).toEqual([]);
  });

  it('a command with the sequence number of the answer that is awaited', async () => {
    const client = await connect();
    await client.readGreeting();
    client.send(client.loginPayload({ user: 'sha', password: 'secret' }), 1);
    await client.read();
    client.send(Buffer.from('\u0003DROP EVERYTHING'), 3);
    client.send(Buffer.from('\u0003DROP EVERYTHING'), 5);
    const answers = await client.readToEnd();
    expect(answers.at(-1)?.payload[0]).toBe(0xff);
    expect(server.door.calls).toEqual([]);
  });

  it('but one behind a good login runs after it', async () => {
    const client = await connect();
    await client.readGreeting();
    const login = packetBytes(client.loginPayload(), 1);
    client.write(Buffer.concat([login, commandBytes(0x03, 'SELECT 1'), commandBytes(0x0e)]));
    for (let answer = 0; answer < 3; answer += 1) {
      const packet = await client.read();
      expect(parseOk(packet?.payload ?? Buffer.of(0xff)).kind).toBe('ok');
    }
    expect(server.door.calls).toEqual(['query SELECT 1']);
  });
});

describe('before the greeting', () => {
  it('holds what a health check sends at once: login and QUIT', async () => {
    const client = await connect();
    const login = packetBytes(client.loginPayload(), 1);
    client.write(Buffer.concat([login, commandBytes(0x01)]));
    const answers = await client.readToEnd();
    expect(answers.map(({ payload }) => payload[0])).toEqual([10, 0]);
    expect(server.door.calls).toEqual([]);
  });
});

describe('handshake timeout', () => {
  it('ends a login that comes byte by byte, and one that never comes', async () => {
    const clock = new ManualClock();
    const slow = await startServer({ handshake_timeout_ms: '1000' }, clock);
    try {
      const dripping = await connect(slow.port);
      const silent = await connect(slow.port);
      await dripping.readGreeting();
      await silent.readGreeting();
      const login = packetBytes(dripping.loginPayload(), 1);
      for (let index = 0; index < 10; index += 1) {
        dripping.write(login.subarray(index, index + 1));
        clock.advance(99);
      }
      expect(slow.listener.connections.size).toBe(2);
      clock.advance(99);
      for (const client of [dripping, silent]) {
        const packet = await client.read();
        expect(parseError(packet?.payload ?? Buffer.alloc(9)).errno).toBe(1159);
        client.destroy();
      }
      await until(() => slow.listener.connections.size === 0);
      expect(slow.door.sessions).toEqual([]);
    } finally {
      await slow.close();
    }
  });
});

describe('COM_CHANGE_USER', () => {
  const changeUser = (user: string, database = ''): Buffer =>
    Buffer.concat([
      Buffer.from(`${user}\0\0${database}\0`),
      Buffer.of(45, 0),
      Buffer.from('mysql_native_password\0'),
    ]);

  it('is a whole login again, with a new session', async () => {
    const client = await connect();
    await client.logIn();
    client.command(0x11, changeUser('sha', 'adm'));
    expect((await client.finishLogin('secret')).kind).toBe('ok');
    expect(client.authSteps).toEqual([`switch ${SHA}`, 'full']);
    const [first, second] = server.door.sessions;
    expect(first?.closeCount).toBe(1);
    expect(second?.login).toMatchObject({ user: 'sha', database: 'adm' });
    expect((await client.queryOne('SELECT 1')).kind).toBe('ok');
    expect(server.listener.connections.list()).toMatchObject([{ user: 'sha', database: 'adm' }]);
  });

  it('ends the connection when it fails, and what was sent behind it is not run', async () => {
    const client = await connect();
    await client.logIn();
    client.write(Buffer.concat([commandBytes(0x11, changeUser('native')), DROP_ALL]));
    const [answer, ...more] = await client.readToEnd();
    expect(parseError(answer?.payload ?? Buffer.alloc(9)).errno).toBe(1045);
    expect(more).toEqual([]);
    expect(server.door.calls).toEqual([]);
    expect(server.door.sessions.map((session) => session.closeCount)).toEqual([1]);
  });

  it('is limited in time like a login', async () => {
    const clock = new ManualClock();
    const slow = await startServer({ handshake_timeout_ms: '1000' }, clock);
    try {
      const client = await connect(slow.port);
      await client.logIn();
      client.command(0x11, changeUser('sha'));
      expect((await client.read())?.payload[0]).toBe(0xfe);
      clock.advance(1001);
      expect(parseError((await client.read())?.payload ?? Buffer.alloc(9)).errno).toBe(1159);
      client.destroy();
    } finally {
      await slow.close();
    }
  });
});
