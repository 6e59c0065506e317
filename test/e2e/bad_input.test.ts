/** Bad input through every door: bytes, loads, files, caches. Nothing is lost or half done. */
import { readFile, rm, writeFile } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { RawClient } from '../server/mysql/raw_client.ts';
import { ServerProcess, until } from './server_process.ts';
import {
  backendsOf,
  csvLines,
  groupMetric,
  jobEnd,
  loadLocation,
  streamLoad,
  vaultObjects,
  warmUp,
} from './warm_up_steps.ts';

const CSV = { format: 'csv', column_separator: ',' };
const QUERY = 0x03;

let server: ServerProcess;

beforeAll(async () => {
  server = await ServerProcess.start();
  await server.sql('CREATE DATABASE d');
});
afterAll(async () => {
  await server.stop();
});
beforeEach(async () => {
  await server.sql('DROP TABLE IF EXISTS d.t');
  await server.sql(`CREATE TABLE d.t (id INT NOT NULL, name VARCHAR(40)) DUPLICATE KEY(id)
    DISTRIBUTED BY HASH(id) BUCKETS 4`);
});

async function count(): Promise<number> {
  return Number((await server.row('SELECT COUNT(*) AS n FROM d.t'))['n']);
}

describe('bytes that are no text', () => {
  it('are named in the error, and the connection goes on', async () => {
    const client = await RawClient.loggedIn(server.mysqlPort);
    try {
      const bad = Buffer.concat([
        Buffer.from("SELECT 'a"),
        Buffer.of(0xff, 0xfe, 0xc3),
        Buffer.from("'"),
      ]);
      expect(await client.queryOne(bad)).toMatchObject({ kind: 'error', errno: 1300 });
      const overlong = Buffer.concat([
        Buffer.from("SELECT '"),
        Buffer.of(0xc0, 0xaf),
        Buffer.from("'"),
      ]);
      expect(await client.queryOne(overlong)).toMatchObject({ kind: 'error', errno: 1300 });
      expect(await client.queryOne('SELECT 1')).toMatchObject({ kind: 'rows', rows: [['1']] });
      // A command that there is not.
      client.command(0x7e, 'x');
      expect(await client.readResult()).toMatchObject({ kind: 'error', errno: 1047 });
      client.command(QUERY, '');
      expect(await client.readResult()).toMatchObject({ kind: 'error', errno: 1065 });
    } finally {
      client.destroy();
    }
  });

  it('NUL is refused in names and kept in values', async () => {
    expect(await server.error('CREATE DATABASE `a\0b`')).toMatchObject({ errno: 1064 });
    expect(await server.error('CREATE TABLE d.`a\0b` (x INT)')).toMatchObject({ errno: 1064 });
    expect(await server.error('CREATE TABLE d.x (`a\0b` INT)')).toMatchObject({ errno: 1064 });
    expect(await server.error('SELECT 1 \0 2')).toMatchObject({ errno: 1064 });
    await server.sql("INSERT INTO d.t VALUES (1, 'a\0b'), (2, 'c\\0d')");
    expect(await server.sql('SELECT name FROM d.t ORDER BY id')).toEqual([
      { name: 'a\0b' },
      { name: 'c\0d' },
    ]);
  });

  it('long and deep statements get an error, not a stall', async () => {
    const comment = `SELECT 1 /* ${'x'.repeat(2 ** 20)} */`;
    expect(await server.error(comment)).toMatchObject({ errno: 1105 });
    const deep = `SELECT ${'('.repeat(10_000)}1${')'.repeat(10_000)}`;
    expect((await server.error(deep)).errno).toBe(1064);
    expect(
      await server.error(`SHOW WARM UP JOB WHERE ${'NOT '.repeat(50_000)} ID = 1`),
    ).toMatchObject({
      errno: 1064,
    });
  });
});

describe('a load', () => {
  it('with too few columns loads nothing, says which row, and its label is free again', async () => {
    const headers = { ...CSV, label: 'few' };
    const bad = await streamLoad(server, 'd.t', { text: '1,a\n2\n3,c\n', headers });
    expect(bad).toMatchObject({ Status: 'Fail', NumberLoadedRows: 0 });
    expect(String(bad['Message'])).toBe('load failed: row 2: 1 values for 2 columns: 2');
    expect(await count()).toBe(0);
    const good = await streamLoad(server, 'd.t', { text: '1,a\n2,b\n3,c\n', headers });
    expect(good).toMatchObject({ Status: 'Success', NumberLoadedRows: 3 });
    expect(await count()).toBe(3);
  });

  it('with a label that was used loads nothing twice', async () => {
    const source = { text: '1,a\n', headers: { ...CSV, label: 'once' } };
    const first = await streamLoad(server, 'd.t', source);
    const second = await streamLoad(server, 'd.t', source);
    expect(second).toMatchObject({
      Status: 'Label Already Exists',
      ExistingJobStatus: 'FINISHED',
      Label: 'once',
      TxnId: first['TxnId'],
      NumberLoadedRows: 0,
    });
    expect(await count()).toBe(1);
  });

  it('of the same label from many clients at once succeeds once', async () => {
    const source = { text: csvLines(0, 500, 20), headers: { ...CSV, label: 'race' } };
    const answers = await Promise.all(
      Array.from({ length: 6 }, async () => await streamLoad(server, 'd.t', source)),
    );
    const statuses = answers.map((answer) => String(answer['Status'])).toSorted();
    expect(statuses).toEqual([...Array<string>(5).fill('Label Already Exists'), 'Success']);
    expect(await count()).toBe(500);
  });

  it('of half a Parquet file loads nothing; of the whole file, everything', async () => {
    await streamLoad(server, 'd.t', { text: csvLines(0, 2000, 30), headers: CSV });
    const { paths } = await vaultObjects(join(server.dataDir, 'vault'));
    const files = await Promise.all(paths.map(async (path) => await readFile(path)));
    const [whole = Buffer.alloc(0)] = files.toSorted((a, b) => b.length - a.length);
    const before = await count();
    const headers = { format: 'parquet' };
    for (const cut of [Math.floor(whole.length / 2), whole.length - 1, 3]) {
      const text = whole.subarray(0, cut);
      const answer = await streamLoad(server, 'd.t', { text, headers });
      expect(answer).toMatchObject({ Status: 'Fail', NumberLoadedRows: 0 });
      expect(String(answer['Message'])).toMatch(/parquet/i);
    }
    expect(await count()).toBe(before);
    const answer = await streamLoad(server, 'd.t', { text: whole, headers });
    expect(answer).toMatchObject({ Status: 'Success' });
    expect(await count()).toBe(before + Number(answer['NumberLoadedRows']));
    expect(Number(answer['NumberLoadedRows'])).toBeGreaterThan(100);
  });

  it('with broken JSON, unknown headers or a bad value loads nothing', async () => {
    const cases: readonly [Record<string, string>, string | Buffer, RegExp][] = [
      [{ format: 'json' }, '{"id": 1, "name": "a"}\n{"id": 2, "na', /line 2|row 2|JSON/i],
      [{ format: 'json' }, '{"id": "x", "name": "a"}\n', /integer|id/i],
      [{ format: 'xml' }, '<a/>', /format/],
      [{ ...CSV, label: 'has space' }, '1,a\n', /Label format error/],
      [{ ...CSV, max_filter_ratio: '2' }, '1,a\n', /max_filter_ratio/],
      [{ ...CSV, timeout: '0' }, '1,a\n', /timeout/],
      [{ ...CSV, columns: 'id,(name' }, '1,a\n', /columns/],
      [{ ...CSV, partitions: 'nosuch' }, '1,a\n', /partition/i],
      [{ ...CSV, two_phase_commit: 'true' }, '1,a\n', /two_phase_commit/],
      [CSV, Buffer.from([0x31, 0x2c, 0xff, 0xfe, 0x0a]), /utf-?8/i],
      [{ ...CSV, 'content-encoding': 'gzip' }, 'no gzip', /gzip|encoding|header/i],
    ];
    for (const [headers, text, message] of cases) {
      const answer = await streamLoad(server, 'd.t', { text, headers });
      expect({ headers, ...answer }).toMatchObject({ Status: 'Fail', NumberLoadedRows: 0 });
      expect(String(answer['Message'])).toMatch(message);
    }
    expect(await count()).toBe(0);
  });

  it('into what is not there, or by somebody unknown, is refused', async () => {
    expect(await streamLoad(server, 'd.nosuch', { text: '1,a\n', headers: CSV })).toMatchObject({
      Status: 'Fail',
      ErrorCode: 1146,
    });
    expect(await streamLoad(server, 'nosuch.t', { text: '1,a\n', headers: CSV })).toMatchObject({
      Status: 'Fail',
      ErrorCode: 1049,
    });
    const location = await loadLocation(server, 'd.t');
    for (const authorization of ['', 'Basic bm9ib2R5Og==', 'Basic cm9vdDp3cm9uZw==', 'Bearer x']) {
      const headers: Record<string, string> = {
        ...CSV,
        ...(authorization === '' ? {} : { authorization }),
      };
      const answer = await fetch(location, { method: 'PUT', headers, body: '1,a\n' });
      expect(answer.status).toBe(401);
    }
    expect(await count()).toBe(0);
  });

  it('that its client leaves in the middle leaves nothing, and its label is free', async () => {
    const location = await loadLocation(server, 'd.t');
    const authorization = `Basic ${Buffer.from('root:').toString('base64')}`;
    const headers = { ...CSV, authorization, label: 'left', 'content-length': '100000000' };
    const going = httpRequest(location, { method: 'PUT', headers });
    going.on('error', () => undefined);
    going.write(csvLines(0, 20_000, 30));
    const load = async () => (await server.sql("SHOW STREAM LOAD FROM d WHERE Label = 'left'"))[0];
    await until('the load', async () => (await load())?.['Status'] === 'Running');
    going.destroy();
    await until('the end of the load', async () => (await load())?.['Status'] !== 'Running');
    expect(await load()).toMatchObject({
      Status: 'Fail',
      Message: 'load failed: the client closed the connection before the end of the body',
    });
    expect(await count()).toBe(0);
    const again = await streamLoad(server, 'd.t', {
      text: '1,a\n',
      headers: { ...CSV, label: 'left' },
    });
    expect(again).toMatchObject({ Status: 'Success', NumberLoadedRows: 1 });
    expect(await count()).toBe(1);
  });
});

describe('a cache that cannot be written', () => {
  it('degrades to reading from the object store, and a warm-up says why it failed', async () => {
    await streamLoad(server, 'd.t', { text: csvLines(0, 5000, 40), headers: CSV });
    await server.sql('CREATE COMPUTE GROUP broken');
    await server.sql('ALTER SYSTEM ADD BACKEND "embedded" TO COMPUTE GROUP broken');
    const [backend] = await backendsOf(server, 'broken');
    const cache = join(server.dataDir, 'backends', String(backend?.['BackendId']), 'file_cache');
    await rm(cache, { recursive: true });
    await writeFile(cache, 'not a directory');
    await server.sql('USE @write_group');
    const query = 'SELECT COUNT(*) AS n, MIN(name) AS a, MAX(name) AS z FROM d.t';
    const answer = await server.sql(query);
    await server.sql('USE @broken');
    expect(await server.sql(query)).toEqual(answer);
    expect(await server.sql(query)).toEqual(answer);
    expect(await groupMetric(server, 'broken', 'file_cache_write_errors_total')).toBeGreaterThan(0);
    const job = await jobEnd(
      server,
      await warmUp(server, 'WARM UP COMPUTE GROUP broken WITH TABLE d.t'),
    );
    expect(job).toMatchObject({ Status: 'CANCELLED', FinishBytes: 0, FailedTablets: 4 });
    expect(job['ErrMsg']).toMatch(/^4 of 4 tablets failed: data\/.*ENOTDIR/);
    await server.sql('USE @write_group');
    await server.sql('DROP COMPUTE GROUP broken FORCE');
  });

  it('that is tiny never holds more than it may, and reads stay right', async () => {
    await streamLoad(server, 'd.t', { text: csvLines(0, 60_000, 40), headers: CSV });
    await server.sql('CREATE COMPUTE GROUP tiny');
    await server.sql('ALTER SYSTEM ADD BACKEND "embedded" TO COMPUTE GROUP tiny');
    const [backend] = await backendsOf(server, 'tiny');
    const url = `http://127.0.0.1:${String(backend?.['HttpPort'])}/api/file_cache?op=reset&capacity=1048576`;
    expect(await (await fetch(url)).json()).toMatchObject({ status: 'OK' });
    await server.sql('USE @tiny');
    for (let time = 0; time < 3; time += 1) {
      expect(await server.sql('SELECT COUNT(*) AS n, COUNT(DISTINCT name) AS d FROM d.t')).toEqual([
        { n: 60_000, d: 60_000 },
      ]);
    }
    const used = await groupMetric(server, 'tiny', 'file_cache_used_bytes', 'queue="NORMAL"');
    expect(used).toBeLessThanOrEqual(1_048_576);
    await server.sql('USE @write_group');
    await server.sql('DROP COMPUTE GROUP tiny FORCE');
  });
});

it('nothing of all this was unexpected to the server', () => {
  const levels = server.stderr
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as { level: number; msg: string });
  expect(levels.filter(({ msg }) => /unexpected|internal/i.test(msg))).toEqual([]);
});
