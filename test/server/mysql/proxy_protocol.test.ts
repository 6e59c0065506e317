/** Where a client really comes from: PROXY headers of balancers, and the unix socket. */
import { chmodSync, existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, connect } from 'node:net';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from '@jest/globals';
import { isInNetworks, parseNetworks } from '../../../server/mysql/proxy_header.ts';
import { RawClient } from './raw_client.ts';
import { type TestServer, startServer } from './scripted_front_door.ts';

let server: TestServer;
const clients: RawClient[] = [];

afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy();
  await server.close();
});

const SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');

function header(command: number, family: number, addresses: Buffer): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(addresses.length);
  return Buffer.concat([SIGNATURE, Buffer.of(command, family), length, addresses]);
}

const TCP4 = header(0x21, 0x11, Buffer.from([203, 0, 113, 7, 10, 0, 0, 1, 0x30, 0x39, 0x0c, 0xea]));

function tcp6(source: readonly number[]): Buffer {
  return header(
    0x21,
    0x21,
    Buffer.from([...source, ...Array.from({ length: 16 }, () => 0), 0, 9, 0, 1]),
  );
}

async function opened(): Promise<RawClient> {
  const client = await RawClient.connect(server.port);
  clients.push(client);
  return client;
}

/** The address that the session was told. */
async function address(head: Buffer, piece = head.length): Promise<string> {
  const client = await opened();
  for (let at = 0; at < head.length; at += piece) client.write(head.subarray(at, at + piece));
  const result = await client.logIn();
  if (result.kind === 'error') return `error ${result.errno}`;
  const login = server.door.sessions.at(-1)?.login;
  return `${login?.host} ${login?.port}`;
}

describe('PROXY protocol', () => {
  it('tells the client behind a balancer of a configured network', async () => {
    server = await startServer({ proxy_protocol_networks: '127.0.0.0/8' });
    expect(await address(TCP4)).toBe('203.0.113.7 12345');
    expect(await address(TCP4, 1)).toBe('203.0.113.7 12345');
    const v6 = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5];
    expect(await address(tcp6(v6))).toBe('2001:db8::5 9');
    const mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 198, 51, 100, 9];
    expect(await address(tcp6(mapped))).toBe('198.51.100.9 9');
    const listed = server.listener.connections.list().map(({ host }) => host);
    expect(listed).toContain('203.0.113.7');
  });

  it('keeps the address of who connects for itself, with a header or without', async () => {
    server = await startServer({ proxy_protocol_networks: 'localhost' });
    expect(await address(header(0x20, 0, Buffer.alloc(0)))).toMatch(/^127\.0\.0\.1 \d+$/);
    expect(await address(Buffer.alloc(0), 1)).toMatch(/^127\.0\.0\.1 \d+$/);
    expect(await address(header(0x21, 0x31, Buffer.alloc(216)))).toMatch(/^127\.0\.0\.1 \d+$/);
  });

  it('is believed from nowhere else', async () => {
    server = await startServer({ proxy_protocol_networks: '10.0.0.0/8, ::1' });
    expect(await address(TCP4)).toBe('error 1156');
    server.config.setLive('proxy_protocol_networks', '');
    expect(await address(TCP4)).toBe('error 1156');
    server.config.setLive('proxy_protocol_networks', '*');
    expect(await address(TCP4)).toBe('203.0.113.7 12345');
  });

  it('that is malformed ends the connection', async () => {
    server = await startServer({ proxy_protocol_networks: '*' });
    expect(await address(header(0x11, 0x11, Buffer.alloc(12)))).toBe('error 1043');
    expect(await address(header(0x2f, 0x11, Buffer.alloc(12)))).toBe('error 1043');
    expect(await address(header(0x21, 0x11, Buffer.alloc(3)))).toBe('error 1043');
    expect(await address(header(0x21, 0x11, Buffer.alloc(60_000)))).toBe('error 1043');
  });

  it('knows networks as they are written', async () => {
    server = await startServer();
    const inside = (text: string, host: string): boolean => {
      const list = parseNetworks(text);
      return list !== undefined && isInNetworks(list, host);
    };
    expect(inside('10.0.0.0/8', '10.9.8.7')).toBe(true);
    expect(inside('10.0.0.0/8', '11.0.0.1')).toBe(false);
    expect(inside('2001:db8::/32, 192.0.2.1', '2001:db8::9')).toBe(true);
    expect(inside('192.0.2.1', '192.0.2.2')).toBe(false);
    expect(inside('*', '8.8.8.8')).toBe(true);
    expect(inside('*', 'localhost')).toBe(false);
    for (const bad of ['10.0.0.0/33', '300.0.0.1', 'x', '1.1.1.1/8/8', '::1/129']) {
      expect(parseNetworks(bad)).toBeUndefined();
    }
  });
});

describe('unix socket', () => {
  const directory = mkdtempSync(join(tmpdir(), 'thermocline-socket-'));
  const path = join(directory, 'mysql.sock');

  afterEach(() => {
    rmSync(path, { force: true });
  });

  async function overUnix(): Promise<RawClient> {
    const socket = await new Promise<Socket>((resolve, reject) => {
      const made = connect({ path }, () => {
        resolve(made);
      });
      made.once('error', reject);
    });
    const client = new RawClient(socket);
    clients.push(client);
    return client;
  }

  it('is a door beside TCP, whose clients come from localhost', async () => {
    server = await startServer();
    await server.listener.listenUnix(path, 0o600);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const client = await overUnix();
    // Nobody else can listen, so a password may come in clear.
    const result = await client.logIn({ user: 'sha', password: 'secret' });
    expect(result.kind).toBe('ok');
    expect(server.door.sessions.at(-1)?.login).toMatchObject({ host: 'localhost', port: 0 });
    expect((await client.queryOne('SELECT 1')).kind).toBe('ok');
    await server.listener.close(0);
    expect(existsSync(path)).toBe(false);
  });

  it('replaces what a dead server left, and nothing else', async () => {
    server = await startServer();
    writeFileSync(path, '');
    await expect(server.listener.listenUnix(path, 0o660)).rejects.toThrow('no socket');
    rmSync(path);
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(path, resolve));
    await expect(server.listener.listenUnix(path, 0o660)).rejects.toThrow('another server');
    // Its file stays when the socket is closed behind its back.
    chmodSync(path, 0o666);
    await new Promise<void>((resolve) => other.close(() => resolve()));
    await server.listener.listenUnix(path, 0o660);
    const client = await overUnix();
    expect((await client.logIn()).kind).toBe('ok');
    await expect(
      server.listener.listenUnix(join(directory, 'x'.repeat(200)), 0o660),
    ).rejects.toThrow('at most 107');
  });
});
