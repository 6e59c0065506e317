/** Broken and hostile bytes in every state: the server stays, and nothing runs that must not. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { SqlError } from '../../../base/errors.ts';
import { FLAGS, RawClient, commandBytes, packetBytes, parseError } from './raw_client.ts';
import { okStep, startServer, textStep, until } from './scripted_front_door.ts';
import type { TestServer } from './scripted_front_door.ts';

let server: TestServer;
let unhandled: unknown[] = [];
const remember = (error: unknown): void => {
  unhandled.push(error);
};

beforeAll(() => {
  process.on('unhandledRejection', remember);
});
afterAll(() => {
  process.off('unhandledRejection', remember);
});
beforeEach(async () => {
  unhandled = [];
  server = await startServer({ max_allowed_packet: '100000' });
});
afterEach(async () => {
  await server.close();
  expect(unhandled).toEqual([]);
});

/** The server answers a new client, and nobody else is left. */
async function stillServes(): Promise<void> {
  const client = await RawClient.loggedIn(server.port);
  expect((await client.queryOne('x')).kind).toBe('ok');
  client.destroy();
  await until(() => server.listener.connections.size === 0);
}

/** Sends the bytes in place of a login and returns what comes after the greeting. */
async function insteadOfLogin(payload: Uint8Array, sequence = 1): Promise<number[]> {
  const client = await RawClient.connect(server.port);
  await client.readGreeting();
  client.send(payload, sequence);
  client.socket.end();
  const answers = await client.readToEnd();
  return answers.map((answer) => parseError(answer.payload).errno);
}

describe('logins', () => {
  it('cut at every byte never log in', async () => {
    const sample = new RawClient((await RawClient.connect(server.port)).socket);
    const flags = FLAGS.base | FLAGS.pluginAuth | FLAGS.connectAttrs;
    const whole = sample.loginPayload({ user: 'native', password: 'secret', database: 'd', flags });
    sample.destroy();
    for (let length = 0; length < whole.length; length += 1) {
      const client = await RawClient.connect(server.port);
      await client.readGreeting();
      client.send(whole.subarray(0, length), 1);
      const first = await client.read();
      expect(first?.payload[0]).not.toBe(0);
      client.destroy();
    }
    expect(server.door.sessions).toEqual([]);
    await stillServes();
  });

  it('too long, of another protocol, or out of order are refused', async () => {
    const client = await RawClient.connect(server.port);
    await client.readGreeting();
    const good = client.loginPayload();
    client.destroy();
    const old = Buffer.from(good);
    old.writeUInt32LE(0x85, 0);
    const longUser = Buffer.concat([
      good.subarray(0, 32),
      Buffer.alloc(5000, 'u'),
      Buffer.alloc(9),
    ]);
    expect(await insteadOfLogin(Buffer.alloc(200_000))).toEqual([1153]);
    expect(await insteadOfLogin(old)).toEqual([1043]);
    expect(await insteadOfLogin(longUser)).toEqual([1043]);
    expect(await insteadOfLogin(good, 2)).toEqual([1156]);
    expect(server.door.sessions).toEqual([]);
    await stillServes();
  });

  it('random bytes before and in place of a login', async () => {
    const property = fc.asyncProperty(
      fc.uint8Array({ maxLength: 400 }),
      fc.boolean(),
      async (bytes, framed) => {
        const client = await RawClient.connect(server.port);
        if (framed) client.send(bytes, 1);
        else client.write(Buffer.from(bytes));
        client.socket.end();
        const [greeting, ...rest] = await client.readToEnd();
        expect(greeting === undefined || greeting.payload[0] === 10).toBe(true);
        expect(rest.every(({ payload }) => payload[0] !== 0)).toBe(true);
      },
    );
    await fc.assert(property, { seed: 20_261_122, numRuns: 150 });
    expect(server.door.calls).toEqual([]);
    expect(server.door.sessions).toEqual([]);
    await stillServes();
  });
});

describe('commands', () => {
  it('random ones get an answer or none, never an unknown state', async () => {
    const client = await RawClient.loggedIn(server.port);
    const silent = new Set([0x01, 0x11, 0x18, 0x19]);
    const property = fc.asyncProperty(
      fc.integer({ min: 0, max: 255 }).filter((byte) => !silent.has(byte)),
      fc.uint8Array({ maxLength: 200 }),
      async (command, body) => {
        client.command(command, Buffer.from(body));
        if (command === 0x04) await readList(client);
        else await client.read();
        client.command(0x0e);
        const pong = await client.read();
        expect([pong?.sequence, pong?.payload[0]]).toEqual([1, 0]);
      },
    );
    await fc.assert(property, { seed: 4711, numRuns: 300 });
    client.destroy();
    await stillServes();
  });

  it('a random COM_CHANGE_USER never becomes somebody', async () => {
    const property = fc.asyncProperty(fc.uint8Array({ maxLength: 120 }), async (body) => {
      const client = await RawClient.loggedIn(server.port);
      const before = server.door.sessions.length;
      client.write(
        Buffer.concat([
          commandBytes(0x11, Buffer.concat([Buffer.from('native\0'), body])),
          commandBytes(0x03, 'NEVER'),
        ]),
      );
      const answers = await client.readToEnd();
      expect(answers.every(({ payload }) => payload[0] !== 0)).toBe(true);
      expect(server.door.sessions).toHaveLength(before);
      client.destroy();
    });
    await fc.assert(property, { seed: 99, numRuns: 60 });
    expect(server.door.calls).toEqual([]);
    await stillServes();
  });

  it('an empty packet, a wrong number and a length over the limit end the connection', async () => {
    const broken: readonly [Buffer, number][] = [
      [packetBytes(Buffer.alloc(0), 0), 1835],
      [packetBytes(Buffer.of(0x0e), 3), 1156],
      [Buffer.from('ffffff0003', 'hex'), 1153],
    ];
    for (const [bytes, errno] of broken) {
      const client = await RawClient.loggedIn(server.port);
      client.write(bytes);
      const answers = await client.readToEnd();
      expect(answers.map(({ payload }) => parseError(payload).errno)).toEqual([errno]);
    }
    await stillServes();
  });

  it('errors of every kind leave the connection usable', async () => {
    const client = await RawClient.loggedIn(server.port);
    const thrown: readonly unknown[] = [
      new SqlError('NO_DB'),
      new RangeError('x'),
      'a string',
      undefined,
      null,
      { name: 'odd' },
    ];
    for (const value of thrown) {
      server.door.onQuery = () => {
        throw value;
      };
      expect((await client.queryOne('x')).kind).toBe('error');
    }
    server.door.onQuery = async function* answer() {
      await Promise.resolve();
      yield textStep([Symbol('not a value') as unknown as string]);
    };
    expect((await client.queryOne('x')).kind).toBe('error');
    server.door.onQuery = async function* answer() {
      await Promise.resolve();
      yield okStep();
    };
    expect((await client.queryOne('x')).kind).toBe('ok');
    client.destroy();
  });

  it('thousands pipelined at once are answered in order, in bounded memory', async () => {
    server.door.onQuery = async function* answer(sql) {
      await Promise.resolve();
      yield textStep([sql]);
    };
    const client = await RawClient.loggedIn(server.port);
    const count = 5000;
    const all = Array.from({ length: count }, (_, index) => commandBytes(0x03, `q${index}`));
    client.write(Buffer.concat(all));
    for (let index = 0; index < count; index += 1) {
      expect((await client.readResult()).rows).toEqual([[`q${index}`]]);
    }
    client.destroy();
  });
});

async function readList(client: RawClient): Promise<void> {
  for (;;) {
    const packet = await client.read();
    if (packet === undefined || packet.payload[0] === 0xfe || packet.payload[0] === 0xff) return;
  }
}
