import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type AddressInfo, type Server, createServer } from 'node:net';
import { ServerProcess } from '../e2e/server_process.ts';

const BACKENDS = 'SELECT BackendId, HttpPort, Alive FROM information_schema.backends';

let server: ServerProcess;
let other: Server;

beforeAll(async () => {
  server = await ServerProcess.start({ args: ['--embedded', 'only=1'] });
  other = createServer();
});

afterAll(async () => {
  other.close();
  await server.stop();
});

describe('the port of an embedded backend', () => {
  it('is another one when somebody took it between two starts of the server', async () => {
    const { HttpPort: before } = await server.row(BACKENDS);
    await server.kill9();
    await new Promise<void>((resolve) => other.listen(Number(before), '127.0.0.1', resolve));
    await server.launch();

    const now = await server.row(BACKENDS);
    expect(now['Alive']).toBe('true');
    expect(now['HttpPort']).not.toBe(before);
    expect(server.stderr).toContain('the port of last time is in use, took another');
  });

  it('is an error when the statement named it and it is taken', async () => {
    const { port: taken } = other.address() as AddressInfo;
    const error = await server.error(`ALTER SYSTEM ADD BACKEND "embedded:${taken}"`);
    expect(error.message).toContain('EADDRINUSE');
    expect(await server.sql(BACKENDS)).toHaveLength(1);
  });
});
