/** TLS in the middle of the handshake: what it protects, and what a hostile client tries. */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import type { TLSSocket } from 'node:tls';
import { createConnection } from 'mysql2/promise';
import type { Connection } from 'mysql2/promise';
import { generate } from 'selfsigned';
import { FLAGS, RawClient, commandBytes, packetBytes } from './raw_client.ts';
import { startServer } from './scripted_front_door.ts';
import type { TestServer } from './scripted_front_door.ts';

const SSL = 0x0800;

let server: TestServer;
const open: Connection[] = [];

beforeEach(async () => {
  server = await startServer();
});
afterEach(async () => {
  for (const connection of open.splice(0)) connection.destroy();
  await server.close();
});

async function connect(user: string, ca?: string): Promise<Connection> {
  const ssl = ca === undefined ? { rejectUnauthorized: false } : { ca, verifyIdentity: false };
  const password = user === 'root' ? '' : 'secret';
  const connection = await createConnection({
    host: '127.0.0.1',
    port: server.port,
    user,
    password,
    ssl,
  });
  open.push(connection);
  return connection;
}

/** The head of a login that asks for TLS. */
function tlsRequest(): Buffer {
  const head = Buffer.alloc(32);
  head.writeUInt32LE(FLAGS.base | FLAGS.pluginAuth | SSL, 0);
  return packetBytes(head, 1);
}

describe('TLS', () => {
  it.each(['root', 'native', 'sha'])('%s logs in and asks', async (user) => {
    const connection = await connect(user);
    const [rows] = await connection.query('hello');
    expect(rows).toMatchObject({ affectedRows: 0 });
    const { stream } = (connection as unknown as { connection: { stream: TLSSocket } }).connection;
    expect(stream.getProtocol?.()).toMatch(/^TLSv1\.[23]$/);
  });

  it('makes a certificate once, and keeps its key to itself', async () => {
    const [a, b] = await Promise.all([connect('root'), connect('root')]);
    await Promise.all([a.query('x'), b.query('x')]);
    const cert = readFileSync(join(server.dataDir, 'tls/server.pem'), 'utf8');
    expect(cert.match(/BEGIN CERTIFICATE/g)).toHaveLength(1);
    expect(statSync(join(server.dataDir, 'tls/key.pem')).mode & 0o777).toBe(0o600);
    await connect('root', cert);
    await expect(connect('root', 'nonsense')).rejects.toThrow();
  });

  it('reads a renewed certificate without a restart, and keeps the old one while the new is bad', async () => {
    await connect('root');
    const pair = await generate([{ name: 'commonName', value: 'renewed' }], {
      keyType: 'ec',
      curve: 'P-256',
      algorithm: 'sha256',
    });
    writeFileSync(join(server.dataDir, 'tls/server.pem'), 'broken');
    await connect('root');
    expect(server.errors).toHaveLength(1);
    writeFileSync(join(server.dataDir, 'tls/key.pem'), pair.private);
    writeFileSync(join(server.dataDir, 'tls/server.pem'), pair.cert);
    await connect('root', pair.cert);
  });

  it('refuses older versions than 1.2', async () => {
    const client = await RawClient.connect(server.port);
    await client.readGreeting();
    client.write(tlsRequest());
    client.socket.removeAllListeners('data');
    const secured = connectTls({
      socket: client.socket,
      rejectUnauthorized: false,
      minVersion: 'TLSv1',
      maxVersion: 'TLSv1.1',
      ciphers: 'DEFAULT@SECLEVEL=0',
    });
    const [error] = (await once(secured, 'error')) as [Error];
    expect(error.message).toMatch(/version|alert|disconnected|unsupported/i);
    client.destroy();
  });

  it('a login or a command sent in clear behind the request is never executed', async () => {
    for (const behind of [
      (client: RawClient) => packetBytes(client.loginPayload(), 2),
      () => commandBytes(0x03, 'DROP DATABASE d'),
      () => Buffer.alloc(5000, 'x'),
    ]) {
      const client = await RawClient.connect(server.port);
      await client.readGreeting();
      client.write(Buffer.concat([tlsRequest(), behind(client)]));
      const rest = await client.readToEnd();
      // At most a TLS alert comes back, which is no packet of the protocol.
      expect(rest.filter(({ payload }) => payload[0] === 0x00)).toEqual([]);
      client.destroy();
    }
    expect(server.door.calls).toEqual([]);
    expect(server.door.sessions).toEqual([]);
  });

  it('a client that asks and then says nothing is dropped in time', async () => {
    server.config.setLive('handshake_timeout_ms', '100');
    const client = await RawClient.connect(server.port);
    await client.readGreeting();
    client.write(tlsRequest());
    await client.readToEnd();
    expect(client.socket.destroyed || client.socket.readableEnded).toBe(true);
    client.destroy();
  });

  it('is not offered when it is off, and demanded when it is required', async () => {
    server.config.setLive('mysql_tls', 'false');
    const client = await RawClient.connect(server.port);
    expect((await client.readGreeting()).capabilities & SSL).toBe(0);
    client.destroy();
    server.config.setLive('mysql_tls', 'true');
    server.config.setLive('require_secure_transport', 'true');
    await expect(RawClient.loggedIn(server.port)).rejects.toThrow('3159');
    await connect('root');
  });
});
