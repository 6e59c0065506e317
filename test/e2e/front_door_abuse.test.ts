/** Many at the door that never come in: others still do, and the memory stays bounded. */
import { existsSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { RawClient } from '../server/mysql/raw_client.ts';
import { ServerProcess } from './server_process.ts';

const CONNECTIONS = 10_000;
const AT_ONCE = 250;
const MIB = 2 ** 20;

let server: ServerProcess;

beforeAll(async () => {
  server = await ServerProcess.start();
  await server.sql('SELECT 1');
});
afterAll(async () => {
  await server.stop();
});

/** Resident bytes of the server, where the system tells. */
function resident(): number {
  const file = `/proc/${server.pid}/status`;
  if (!existsSync(file)) return 0;
  const status = readFileSync(file, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? '0') * 1024;
}

it('10,000 half-open connections leave the door open for others', async () => {
  const before = resident();
  const held: RawClient[] = [];
  try {
    for (let opened = 0; opened < CONNECTIONS; opened += AT_ONCE) {
      const wave = Array.from({ length: AT_ONCE }, () => RawClient.connect(server.mysqlPort));
      held.push(...(await Promise.all(wave)));
      // A part of a login and then nothing.
      for (const client of held.slice(-AT_ONCE)) client.write(Buffer.of(40, 0, 0, 1, 0x85));
      if (opened % 2500 === 0) {
        const user = await RawClient.loggedIn(server.mysqlPort);
        expect((await user.queryOne('SELECT 1')).rows).toEqual([['1']]);
        user.destroy();
      }
    }
    expect(resident() - before).toBeLessThan(200 * MIB);
    expect(held.filter(({ socket }) => !socket.destroyed).length).toBeLessThan(CONNECTIONS / 2);
  } finally {
    for (const client of held) client.destroy();
  }
  const after = await RawClient.loggedIn(server.mysqlPort);
  expect((await after.queryOne('SELECT 2')).rows).toEqual([['2']]);
  after.destroy();
}, 60_000);
