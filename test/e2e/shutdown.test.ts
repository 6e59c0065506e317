/** How the server ends, and what it leaves: no process, no lock, no lost statement. */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { ServerProcess, until } from './server_process.ts';
import { csvLines, streamLoad } from './warm_up_steps.ts';

const ENDLESS =
  'WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT COUNT(*) FROM c';
const GRACE_MS = 300;
const CLIENTS = 150;

let server: ServerProcess;

beforeAll(async () => {
  server = await ServerProcess.start({ args: ['--set', `shutdown_grace_ms=${GRACE_MS}`] });
  await server.sql('CREATE DATABASE d');
  await server.sql(
    'CREATE TABLE d.t (id INT, name STRING) DUPLICATE KEY(id) DISTRIBUTED BY HASH(id) BUCKETS 2',
  );
});
afterAll(async () => {
  await server.stop();
});

/** Process ids of the children, as Linux tells them. */
function children(pid: number): number[] {
  return readdirSync(`/proc/${pid}/task`).flatMap((task) =>
    readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8')
      .split(' ')
      .filter((text) => text !== '')
      .map(Number),
  );
}

function isThere(pid: number): boolean {
  try {
    const state = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.[0];
    return state !== 'Z';
  } catch {
    return false;
  }
}

async function isListening(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connect({ host: '127.0.0.1', port });
  socket.on('connect', () => {
    resolve(true);
  });
  socket.on('error', () => {
    resolve(false);
  });
  const listening = await promise;
  socket.destroy();
  return listening;
}

/** Goes on until its server ends; how it ends is not looked at. */
async function endlessStatement(on: ServerProcess): Promise<void> {
  const connection = await on.connect();
  connection.query(ENDLESS).catch(() => undefined);
  await until('the statement', async () => {
    const list = await on.sql('SHOW FULL PROCESSLIST');
    return list.some((row) => String(row['Info']).includes('RECURSIVE'));
  });
}

(existsSync('/proc/self/task') ? describe : describe.skip)('processes of the server', () => {
  it('end with it, also in the middle of a statement and by kill -9', async () => {
    await endlessStatement(server);
    await until('a query process', () => children(server.pid).length > 0);
    const pids = children(server.pid);
    await server.kill9();
    await until('the end of the query processes', () => !pids.some(isThere));
    await server.launch();
  });

  it('end with it in order, within the grace period', async () => {
    await endlessStatement(server);
    const pids = [server.pid, ...children(server.pid)];
    expect(await server.terminate()).toBe(0);
    await until('the end of all', () => !pids.some(isThere));
    await server.launch();
  });
});

describe('SHUTDOWN', () => {
  it('is answered, and ends the server as SIGTERM does; mysqladmin sends it as a command', async () => {
    await server.sql("CREATE USER plain IDENTIFIED BY 'x'");
    const plain = await server.connect({ user: 'plain', password: 'x' });
    await expect(plain.query('SHUTDOWN')).rejects.toMatchObject({ errno: 1227 });
    const { pid } = server;
    const connection = await server.connect();
    connection.on('error', () => undefined);
    await connection.query('SHUTDOWN');
    await until('the end', () => !isThere(pid));
    expect(await server.terminate()).toBe(0);
    await server.launch();
  });
});

describe('SIGTERM', () => {
  it('lets a load that is under way end, or undoes it whole', async () => {
    const text = csvLines(0, 100_000, 30);
    const load = streamLoad(server, 'd.t', {
      text,
      headers: { column_separator: ',', label: 'l' },
    }).then(
      (answer) => String(answer['Status']),
      () => 'broken',
    );
    await until('the load', async () => {
      return (await server.sql("SHOW STREAM LOAD FROM d WHERE Label = 'l'")).length > 0;
    });
    expect(await server.terminate()).toBe(0);
    const status = await load;
    await server.launch();
    const { n } = await server.row('SELECT COUNT(*) AS n FROM d.t');
    if (status === 'Success') expect(n).toBe(100_000);
    else expect([0, 100_000]).toContain(n);
  });

  it('refuses new connections while it waits, and a second signal does not wait', async () => {
    const other = await ServerProcess.start({ args: ['--set', 'shutdown_grace_ms=60000'] });
    try {
      await endlessStatement(other);
      process.kill(other.pid, 'SIGTERM');
      await until('the end of listening', async () => !(await isListening(other.mysqlPort)));
      expect(isThere(other.pid)).toBe(true);
      const { pid } = other;
      process.kill(pid, 'SIGTERM');
      await until('the end', () => !isThere(pid));
    } finally {
      await other.stop();
    }
  });
});

it('a server whose catalog another one has taken over changes nothing more and ends', async () => {
  const other = await ServerProcess.start();
  try {
    const { pid } = other;
    // What a second server does when it takes the lease.
    const catalog = new Database(join(other.dataDir, 'catalog.db'));
    catalog.exec("UPDATE lease SET epoch = epoch + 1, holder = 'other:9030'");
    catalog.close();
    // The first write finds out: this one, or one of the server's own before it.
    const failure = await other.sql('CREATE DATABASE late').then(
      () => 'none',
      (error: unknown) => (error instanceof Error ? error.message : String(error)),
    );
    expect(failure).toMatch(
      /^another server \(other:9030\) has taken over the catalog|ECONNREFUSED|shutdown|closed/,
    );
    await until('the end', () => !isThere(pid));
    expect(other.stderr).toContain('another server has taken over the data directory; stopping');
  } finally {
    await other.stop();
  }
});

it('many clients at once are all served', async () => {
  const before = Number((await server.row('SELECT COUNT(*) AS n FROM d.t'))['n']);
  const clients = Array.from({ length: CLIENTS }, async (_, client) => {
    const connection = await server.connect();
    await connection.query(client % 2 === 0 ? 'USE @read_group' : 'USE @write_group');
    const [[one]] = (await connection.query(`SELECT ${client} AS client`)) as unknown as [
      { client: number }[],
    ];
    await connection.query(`SHOW WARM UP JOB WHERE ID = ${client}`);
    if (client % 10 === 0) {
      await connection.query(`INSERT INTO d.t VALUES (${-client}, 'client ${client}')`);
    }
    connection.destroy();
    return one?.client;
  });
  expect(await Promise.all(clients)).toEqual(
    Array.from({ length: CLIENTS }, (_, client) => client),
  );
  const after = Number((await server.row('SELECT COUNT(*) AS n FROM d.t'))['n']);
  expect(after - before).toBe(CLIENTS / 10);
});
