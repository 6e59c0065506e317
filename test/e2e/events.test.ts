/** Event-driven warm-up on a real server: what is committed on one group is warm on another. */
import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { ServerProcess, until } from './server_process.ts';
import {
  backendsOf,
  csvLines,
  groupMetric,
  loadRows,
  storeReads,
  warmUp,
} from './warm_up_steps.ts';

/** A slow machine is no dead backend. */
const PATIENT = ['--set', 'max_backend_heartbeat_failure_tolerance_count=50'];

const CSV = { column_separator: ',' };
const EVENTS = `WARM UP COMPUTE GROUP read_group WITH COMPUTE GROUP write_group
  PROPERTIES("sync_mode" = "event_driven", "sync_event" = "load")`;

let server: ServerProcess;
let job: string;

beforeAll(async () => {
  server = await ServerProcess.start({
    args: ['--set', 'heartbeat_interval_ms=100', ...PATIENT],
  });
  await server.sql('CREATE DATABASE d');
  await server.sql(
    'CREATE TABLE d.t (id INT, name STRING) DUPLICATE KEY(id) DISTRIBUTED BY HASH(id) BUCKETS 8',
  );
  job = await warmUp(server, EVENTS);
});
afterAll(async () => {
  await server.stop();
});

const insert = async (from: number, count: number): Promise<void> => {
  await server.sql('USE @write_group');
  for (let id = from; id < from + count; id += 1) {
    await server.sql(`INSERT INTO d.t VALUES (${id}, 'row ${id}')`);
  }
};

/** Reads all of the table on the target; how many requests its backends sent to the store. */
const readsOfQuery = async (rows: number): Promise<number> => {
  const before = await storeReads(server, 'read_group');
  await server.sql('USE @read_group');
  expect(await server.row('SELECT COUNT(*) AS n, COUNT(DISTINCT name) AS d FROM d.t')).toEqual({
    n: rows,
    d: rows,
  });
  return (await storeReads(server, 'read_group')) - before;
};

const delivered = async (): Promise<void> => {
  await server.sql(`WAIT FOR WARM UP JOB ${job} TIMEOUT 30`);
};

describe('an event-driven job', () => {
  it('warms 100 inserts, also when a backend of the target stops and starts meanwhile', async () => {
    const [first] = await backendsOf(server, 'read_group');
    const id = String(first?.['BackendId']);
    await insert(0, 30);
    await server.sql(`ALTER SYSTEM STOP BACKEND "${id}"`);
    await insert(30, 40);
    await server.sql(`ALTER SYSTEM START BACKEND "${id}"`);
    await insert(70, 30);
    await delivered();
    expect(await readsOfQuery(100)).toBe(0);
  });

  it('goes on after the server was killed', async () => {
    await insert(100, 5);
    await server.kill9();
    await server.launch();
    await insert(105, 5);
    await delivered();
    expect(await readsOfQuery(110)).toBe(0);
    const row = await server.row(`SHOW WARM UP JOB WHERE ID = ${job}`);
    expect(row).toMatchObject({ Status: 'RUNNING', SyncMode: 'EVENT_DRIVEN (LOAD)' });
  });

  it('brings stream loads, and to the caches of the source itself, with their TTL', async () => {
    await server.sql(
      `CREATE TABLE d.ttl (id INT, name STRING) DUPLICATE KEY(id) DISTRIBUTED BY HASH(id) BUCKETS 2
       PROPERTIES("file_cache_ttl_seconds" = "3600")`,
    );
    await server.sql('USE @write_group');
    await loadRows(server, 'd.ttl', { text: csvLines(0, 2000, 200), headers: CSV });
    await delivered();
    const target = await groupMetric(server, 'read_group', 'ttl_cache_size');
    expect(target).toBeGreaterThan(200_000);
    await until('the caches of the source', async () => {
      return (await groupMetric(server, 'write_group', 'ttl_cache_size')) === target;
    });
  });

  it('says what is not warm, until that is gone or was tried again', async () => {
    await server.sql('CREATE TABLE d.lost (id INT) DISTRIBUTED BY HASH(id) BUCKETS 1');
    await server.sql(`PAUSE WARM UP JOB ${job}`);
    expect((await server.error(`RETRY WARM UP JOB ${job}`)).message).toBe(
      `job ${job} can not be retried. State: PAUSED`,
    );
    await server.sql('INSERT INTO d.lost VALUES (1)');
    const tablet = String((await server.row('SHOW TABLETS FROM d.lost'))['TabletId']);
    const objects = join(server.dataDir, 'vault', 'data', tablet);
    await rename(objects, `${objects}.away`);
    await server.sql(`RESUME WARM UP JOB ${job}`);
    const wait = `WAIT FOR WARM UP JOB ${job} TIMEOUT 30`;
    const error = await server.error(wait);
    expect(error.errno).toBe(6101);
    const row = await server.row(`SHOW WARM UP JOB ${job}`);
    expect(row).toMatchObject({ Status: 'RUNNING', FailedTablets: 1, FinishBytes: null });
    expect(row['ErrMsg']).toMatch(new RegExp(`^1 tablet is not warm: data/${tablet}/.*no such`));
    expect(error.message).toBe(`warm-up job ${job} failed: ${row['ErrMsg']}`);
    await rename(`${objects}.away`, objects);
    await server.sql(`RETRY WARM UP JOB ${job}`);
    await server.sql(wait);
    expect(await server.row(`SHOW WARM UP JOB ${job}`)).toMatchObject({
      FailedTablets: 0,
      ErrMsg: '',
    });
    await server.sql('DROP TABLE d.lost');
  });

  it('ends when it is cancelled: later loads stay cold', async () => {
    await server.sql(`CANCEL WARM UP JOB WHERE ID = ${job}`);
    await insert(110, 1);
    expect(await readsOfQuery(111)).toBeGreaterThan(0);
  });
});
