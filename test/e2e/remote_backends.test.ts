/** Backends as processes: they join, serve, die, come back, outlive the server, and are refused. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { cp, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { request } from 'undici';
import { BackendProcess } from './backend_process.ts';
import { ServerProcess, until } from './server_process.ts';
import { backendsOf, csvLines, finished, loadRows, storeReads, warmUp } from './warm_up_steps.ts';

const CSV = { column_separator: ',' };
const QUERY = 'SELECT COUNT(*) AS n, COUNT(DISTINCT name) AS d FROM d.t';
const ALL = [{ n: 3000, d: 3000 }];

let server: ServerProcess;
let first: BackendProcess;

beforeAll(async () => {
  server = await ServerProcess.start({ args: ['--set', 'heartbeat_interval_ms=100'] });
  await server.sql('CREATE COMPUTE GROUP far');
  await server.sql('CREATE DATABASE d');
  await server.sql(
    'CREATE TABLE d.t (id INT, name STRING) DUPLICATE KEY(id) DISTRIBUTED BY HASH(id) BUCKETS 8',
  );
  await loadRows(server, 'd.t', { text: csvLines(0, 3000, 40), headers: CSV });
  first = await BackendProcess.start({ server, args: ['--compute-group', 'far'] });
  await first.alive();
});
afterAll(async () => {
  await first.stop();
  await server.stop();
});

describe('a backend that is a process', () => {
  it('joins by itself and is listed as the others are', async () => {
    const [row] = await backendsOf(server, 'far');
    expect(row).toMatchObject({
      BackendId: String(first.backendId),
      Host: '127.0.0.1',
      HttpPort: String(first.httpPort),
      Alive: 'true',
      ErrMsg: '',
    });
    expect(JSON.parse(String(row?.['Status']))).toMatchObject({ kind: 'remote' });
  });

  it('serves SELECT, loads and warm-ups', async () => {
    const job = await finished(
      server,
      await warmUp(server, 'WARM UP COMPUTE GROUP far WITH TABLE d.t'),
    );
    expect(job).toMatchObject({ Status: 'FINISHED', ErrMsg: '' });
    const before = await storeReads(server, 'far');
    expect(before).toBeGreaterThan(0);
    await server.sql('USE @far');
    expect(await server.sql(QUERY)).toEqual(ALL);
    expect(await storeReads(server, 'far')).toBe(before);
    await server.sql('CREATE TABLE d.big (id BIGINT, v DOUBLE)');
    await server.sql('INSERT INTO d.big VALUES (9223372036854775807, 0.1), (-5, NULL)');
    expect(await server.sql('SELECT id, v FROM d.big ORDER BY id')).toEqual([
      { id: -5, v: null },
      { id: '9223372036854775807', v: 0.1 },
    ]);
  });

  it('reports errors of statements as they are', async () => {
    const error = await server.error("INSERT INTO d.big VALUES ('x', 1)");
    expect(error.message).toMatch(/x/);
    expect(error.errno).not.toBe(1105);
  });

  it('dies by kill -9 and comes back as the same backend', async () => {
    await first.kill9();
    const failed = await server.error(QUERY);
    expect(failed.message).toMatch(/did not answer|no alive backend/);
    const id = first.backendId;
    await first.launch();
    expect(first.backendId).toBe(id);
    await first.alive();
    expect(await server.sql(QUERY)).toEqual(ALL);
  });

  it('stops in order and is dead for the server at once', async () => {
    expect(await first.terminate()).toBe(0);
    expect((await backendsOf(server, 'far'))[0]).toMatchObject({ Alive: 'false' });
    await first.launch();
    await first.alive();
  });

  it('outlives the server', async () => {
    const { pid } = first;
    await server.kill9();
    await server.launch({ httpPort: server.httpPort });
    await first.alive();
    expect(first.pid).toBe(pid);
    await server.sql('USE @far');
    expect(await server.sql(QUERY)).toEqual(ALL);
  });
});

describe('a group of both kinds', () => {
  it('has replicas here and there, loaded through either', async () => {
    await server.sql('ALTER SYSTEM ADD BACKEND "embedded" TO COMPUTE GROUP far');
    await server.sql(
      `CREATE TABLE d.both (id INT, name STRING) DUPLICATE KEY(id)
       DISTRIBUTED BY HASH(id) BUCKETS 2
       PROPERTIES ("replication_num" = "2", "resource_group" = "far")`,
    );
    const rows = await backendsOf(server, 'far');
    expect(rows.map((row) => row['Alive'])).toEqual(['true', 'true']);
    for (const [at, row] of rows.entries()) {
      const url = `http://127.0.0.1:${String(row['HttpPort'])}/api/d/both/_stream_load`;
      const answer = await request(url, {
        method: 'PUT',
        headers: { authorization: `Basic ${Buffer.from('root:').toString('base64')}`, ...CSV },
        body: csvLines(at * 100, 100, 10),
      });
      expect(await answer.body.json()).toMatchObject({ Status: 'Success' });
    }
    const replicas = await server.sql('ADMIN SHOW REPLICA STATUS FROM d.both');
    expect(replicas.map((row) => row['Status'])).toEqual(['OK', 'OK', 'OK', 'OK']);
    await first.kill9();
    await until('the rows of the other', async () => {
      return await server.sql('SELECT COUNT(*) AS n FROM d.both').then(
        (found) => Number(found[0]?.['n']) === 200,
        () => false,
      );
    });
    await first.launch();
    await first.alive();
    const held = await server.error('DROP COMPUTE GROUP far FORCE');
    expect(held.message).toBe(
      'Compute group far has the replicas of table d.both; drop that first',
    );
    await server.sql('DROP TABLE d.both FORCE');
    const embedded = rows.find((row) => row['BackendId'] !== String(first.backendId));
    await server.sql(`ALTER SYSTEM DROPP BACKEND "${String(embedded?.['BackendId'])}"`);
  });
});

describe('ALTER SYSTEM', () => {
  it('adds a backend that waits for its process, and drops it', async () => {
    const port = await freePort();
    await server.sql(`ALTER SYSTEM ADD BACKEND "127.0.0.1:${port}" TO COMPUTE GROUP far`);
    const waiting = (await backendsOf(server, 'far')).find((row) => row['HttpPort'] === `${port}`);
    expect(waiting).toMatchObject({ Alive: 'false', ErrMsg: 'no heartbeat' });
    const second = await BackendProcess.start({ server, httpPort: port });
    try {
      expect(String(second.backendId)).toBe(waiting?.['BackendId']);
      await second.alive();
      await server.sql(`ALTER SYSTEM DROPP BACKEND "127.0.0.1:${port}"`);
      await until('the refusal', () => second.stderr.includes('was dropped'));
      await server.sql(`ALTER SYSTEM ADD BACKEND "127.0.0.1:${port}" TO COMPUTE GROUP far`);
      await until('its return', async () =>
        (await backendsOf(server, 'far')).every((row) => row['Alive'] === 'true'),
      );
      await server.sql(`ALTER SYSTEM DROPP BACKEND "127.0.0.1:${port}"`);
    } finally {
      await second.stop();
    }
  });

  it('leaves starting and stopping to who started the process', async () => {
    const error = await server.error(`ALTER SYSTEM KILL BACKEND "${first.backendId}"`);
    expect(error.message).toMatch(/whose process is not the server's \(kill the process on /);
  });
});

describe('who may not', () => {
  it('has another token', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'thermocline-token-'));
    const tokenFile = join(dir, 'token');
    await writeFile(tokenFile, 'ab'.repeat(32));
    const backend = await BackendProcess.spawned({ server, tokenFile });
    try {
      await until('the refusal', () => backend.stderr.includes('answered 401'));
      expect(backend.stderr).not.toContain('ab'.repeat(32));
      const url = `http://127.0.0.1:${server.httpPort}/api/_backend/poll`;
      const answer = await request(url, { method: 'POST', body: '{}' });
      expect(answer.statusCode).toBe(401);
      await answer.body.dump();
    } finally {
      await backend.stop();
      await rm(dir, { recursive: true, force: true });
    }
  });

  it('runs on a directory that another process has', async () => {
    const twin = await BackendProcess.spawned({ server, dataDir: first.dataDir });
    await until('its end', () => !twin.running);
    expect(twin.stderr).toMatch(/in use by another/);
  });

  it('was started before another process on a copy of its directory', async () => {
    const copy = await mkdtemp(join(tmpdir(), 'thermocline-copy-'));
    await first.terminate();
    await cp(first.dataDir, copy, { recursive: true });
    await first.launch();
    const old = await BackendProcess.spawned({ server, dataDir: copy });
    try {
      await until('its end', () => !old.running);
      expect(old.stderr).toMatch(/another process has taken over backend/);
      await first.alive();
    } finally {
      await old.stop();
      await rm(copy, { recursive: true, force: true });
    }
  });

  it('reads the token: it is for the owner of the files alone', async () => {
    const { mode } = await stat(join(server.dataDir, 'cluster.token'));
    expect(mode & 0o777).toBe(0o600);
  });
});

async function freePort(): Promise<number> {
  const { createServer } = await import('node:net');
  const probe = createServer();
  await new Promise<void>((resolve) => {
    probe.listen(0, '127.0.0.1', resolve);
  });
  const address = probe.address();
  await new Promise((resolve) => {
    probe.close(resolve);
  });
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}
