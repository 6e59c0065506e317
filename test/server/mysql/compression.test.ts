/** The compressed protocol: both directions, both algorithms, and what hostile frames cost. */
import { connect as connectSocket } from 'node:net';
import type { Socket } from 'node:net';
import zlib from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { FramedSocket, type Kind, frame, pack } from './framed_socket.ts';
import { FLAGS, RawClient, commandBytes } from './raw_client.ts';
import { type TestServer, startServer, textStep } from './scripted_front_door.ts';

const COMPRESS = 0x20;
const ZSTD = 0x400_0000;
const LONG = 'compressible '.repeat(20_000);

let server: TestServer;
const sockets: FramedSocket[] = [];

beforeEach(async () => {
  server = await startServer({ max_allowed_packet: '1048576' });
  server.door.onQuery = async function* (sql) {
    await Promise.resolve();
    yield textStep(sql === 'long' ? [LONG, LONG] : [sql]);
  };
});
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await server.close();
});

async function compressed(kind: Kind): Promise<{ client: RawClient; socket: FramedSocket }> {
  const plain = await new Promise<Socket>((resolve) => {
    const opened = connectSocket({ host: '127.0.0.1', port: server.port, noDelay: true }, () => {
      resolve(opened);
    });
  });
  const socket = new FramedSocket(plain);
  sockets.push(socket);
  const client = new RawClient(socket as unknown as Socket);
  await client.readGreeting();
  const flags = FLAGS.base | FLAGS.pluginAuth | (kind === 'zlib' ? COMPRESS : ZSTD);
  client.send(Buffer.concat([client.loginPayload({ flags }), Buffer.of(3)]), 1);
  const result = await client.finishLogin('');
  expect(result.kind).toBe('ok');
  socket.compress(kind);
  return { client, socket };
}

describe.each<Kind>(['zlib', 'zstd'])('%s', (kind) => {
  it('carries short and long statements and answers', async () => {
    const { client, socket } = await compressed(kind);
    expect((await client.queryOne('short')).rows).toEqual([['short']]);
    expect(socket.packed).toBeLessThan(200);
    const sql = `long text ${'y'.repeat(100_000)}`;
    expect((await client.queryOne(sql)).rows).toEqual([[sql]]);
    expect((await client.queryOne('long')).rows).toEqual([[LONG], [LONG]]);
    expect(socket.expanded).toBeGreaterThan(2 * LONG.length);
    expect(socket.packed).toBeLessThan(socket.expanded / 10);
  });

  it('several packets in one frame, one packet in several frames', async () => {
    const { client, socket } = await compressed(kind);
    const both = Buffer.concat([commandBytes(0x03, 'a'.repeat(60)), commandBytes(0x0e)]);
    socket.writeRaw(frame(pack(both, kind), both.length));
    expect((await client.readResult()).rows).toEqual([['a'.repeat(60)]]);
    expect((await client.readResult()).kind).toBe('ok');
    const one = commandBytes(0x03, 'b'.repeat(300));
    for (const [at, part] of [one.subarray(0, 100), one.subarray(100)].entries()) {
      const bytes = frame(pack(part, kind), part.length, at);
      for (const byte of bytes) socket.writeRaw(Buffer.of(byte));
    }
    expect((await client.readResult()).rows).toEqual([['b'.repeat(300)]]);
  });

  it('a frame that expands to more than it says ends the connection', async () => {
    const { client, socket } = await compressed(kind);
    const bomb = pack(Buffer.alloc(64 * 2 ** 20), kind);
    expect(bomb.length).toBeLessThan(100_000);
    socket.writeRaw(frame(bomb, 1000));
    expect((await client.readResult()).errno).toBe(1835);
    expect(await client.readToEnd()).toEqual([]);
  });

  it('a frame longer than any packet is refused before it is expanded', async () => {
    const { client, socket } = await compressed(kind);
    const bomb = pack(Buffer.alloc(16 * 2 ** 20 - 1), kind);
    const before = process.memoryUsage().rss;
    socket.writeRaw(frame(bomb, 16 * 2 ** 20 - 1));
    expect((await client.readResult()).errno).toBe(1153);
    expect(await client.readToEnd()).toEqual([]);
    expect(process.memoryUsage().rss - before).toBeLessThan(12 * 2 ** 20);
  });

  it.each([
    ['garbage', Buffer.from('this is not compressed at all')],
    ['a cut frame', pack(Buffer.alloc(5000, 'x'), 'zlib').subarray(0, 20)],
  ])('%s ends the connection with an error', async (_, body) => {
    const { client, socket } = await compressed(kind);
    socket.writeRaw(frame(body, 5000));
    expect((await client.readResult()).errno).toBe(1835);
    expect(await client.readToEnd()).toEqual([]);
  });

  it('a client that sends and does not read is not expanded without bound', async () => {
    const { client, socket } = await compressed(kind);
    const statement = commandBytes(0x03, `z${' '.repeat(900_000)}`);
    const bytes = frame(pack(statement, kind), statement.length);
    for (let count = 0; count < 20; count += 1) socket.writeRaw(bytes);
    for (let count = 0; count < 20; count += 1) {
      expect((await client.readResult()).rows[0]?.[0]).toHaveLength(900_001);
    }
  });
});

it('what a client sends behind its login is read as frames', async () => {
  const { client, socket } = await compressed('zlib');
  socket.writeRaw(Buffer.concat([frame(commandBytes(0x0e), 0), frame(commandBytes(0x03, 'x'), 0)]));
  expect((await client.readResult()).kind).toBe('ok');
  expect((await client.readResult()).rows).toEqual([['x']]);
  expect(typeof zlib.zstdCompressSync).toBe('function');
});
