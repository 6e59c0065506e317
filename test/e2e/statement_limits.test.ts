/** Time and memory that statements may take, and KILL of all that can take long. */
import { readFileSync, readdirSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Connection } from 'mysql2/promise';
import { BackendProcess } from './backend_process.ts';
import { type Row, ServerProcess, until } from './server_process.ts';
import { csvLines, loadRows, warmUp } from './warm_up_steps.ts';

let server: ServerProcess;
let one: Connection;

beforeAll(async () => {
  server = await ServerProcess.start({
    args: ['--set', 'file_cache_warmup_download_rate_limit_bytes_per_second=100'],
  });
  await server.sql('CREATE DATABASE d');
  await server.sql(`CREATE TABLE d.t (id INT, name STRING) DUPLICATE KEY(id)
    DISTRIBUTED BY HASH(id) BUCKETS 4`);
  await loadRows(server, 'd.t', {
    text: csvLines(0, 4000, 100),
    headers: { column_separator: ',' },
  });
});
afterAll(async () => {
  await server.stop();
});
beforeEach(async () => {
  one = await server.connect({ database: 'd' });
});

async function errnoOf(action: Promise<unknown>): Promise<number> {
  try {
    await action;
    return 0;
  } catch (error) {
    return (error as { errno: number }).errno;
  }
}

/** Never ends by itself. */
const ENDLESS =
  'WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT COUNT(*) FROM r';

async function killed(sql: string): Promise<number> {
  const [rows] = await one.query<Row[]>('SELECT CONNECTION_ID() AS id');
  const id = Number(rows[0]?.['id']);
  const ended = errnoOf(one.query(sql));
  await until('the statement', async () => {
    const [row] = await server.sql(
      `SELECT COMMAND FROM information_schema.processlist WHERE ID = ${id}`,
    );
    return row?.['COMMAND'] === 'Query';
  });
  await server.sql(`KILL QUERY ${id}`);
  return await ended;
}

/** Linux tells the children of each thread. */
function queryProcesses(pid: number): number[] {
  const children = readdirSync(`/proc/${pid}/task`).flatMap((task) =>
    readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').trim().split(' '),
  );
  return children.filter((text) => text !== '').map(Number);
}

describe('KILL QUERY', () => {
  it.each([
    ENDLESS,
    `EXPLAIN ANALYZE ${ENDLESS}`,
    'DO SLEEP(1000)',
    `SET @a = (${ENDLESS})`,
    `INSERT INTO t (id) ${ENDLESS}`,
    `SELECT SLEEP(1000) FROM t`,
    `SELECT COUNT(*) FROM t a, t b, t c, t d`,
    `PREPARE s FROM 'SELECT SLEEP(1000)'; EXECUTE s`,
  ])('ends %s', async (sql) => {
    one = await server.connect({ database: 'd', multipleStatements: true });
    expect(await killed(sql)).toBe(1317);
    await one.query('SELECT 1');
  });

  it('ends an INSERT whose backend does not answer, and nothing of it is there', async () => {
    await server.sql('CREATE COMPUTE GROUP far');
    const far = await BackendProcess.start({ server, args: ['--compute-group', 'far'] });
    try {
      await far.alive();
      await server.sql('CREATE TABLE d.u (id INT) DISTRIBUTED BY HASH(id) BUCKETS 2');
      await one.query('USE @far');
      process.kill(far.pid, 'SIGSTOP');
      expect(await killed('INSERT INTO u VALUES (1), (2)')).toBe(1317);
      process.kill(far.pid, 'SIGCONT');
      await far.alive();
      await one.query('INSERT INTO u VALUES (3)');
      expect((await one.query('SELECT id FROM u'))[0]).toEqual([{ id: 3 }]);
    } finally {
      await far.stop();
    }
  });

  it('ends a wait for a job, and not the job', async () => {
    const jobId = await warmUp(server, 'WARM UP COMPUTE GROUP read_group WITH TABLE d.t');
    expect(await killed(`WAIT FOR WARM UP JOB ${jobId}`)).toBe(1317);
    await one.query('SET max_execution_time = 50');
    expect(await errnoOf(one.query(`WAIT FOR WARM UP JOB ${jobId}`))).toBe(3024);
    const [row] = await server.sql(`SHOW WARM UP JOB ${jobId}`);
    expect(row?.['Status']).toBe('RUNNING');
    await server.sql(`CANCEL WARM UP JOB ${jobId}`);
  });
});

describe('max_execution_time', () => {
  it.each([
    ENDLESS,
    'DO SLEEP(1000)',
    `EXPLAIN ANALYZE ${ENDLESS}`,
    `INSERT INTO t (id) ${ENDLESS}`,
    `SET @a = (${ENDLESS})`,
  ])('ends %s', async (sql) => {
    await one.query('SET max_execution_time = 200');
    expect(await errnoOf(one.query(sql))).toBe(3024);
    await one.query('SET max_execution_time = 0');
    await one.query('SELECT 1');
  });
});

describe('memory', () => {
  it('of a SELECT is bounded by exec_mem_limit, with an error that says so', async () => {
    // 4,000 texts of 250 KB as one; what SQLite sorts by would go to the disk, and take long.
    const hungry = `SELECT LENGTH(GROUP_CONCAT(REPEAT(name, 25000))) FROM t`;
    await one.query('SET exec_mem_limit = 134217728, group_concat_max_len = 4294967295');
    await expect(one.query(hungry)).rejects.toMatchObject({
      errno: 3170,
      message: expect.stringContaining("134217728 bytes for 'exec_mem_limit'") as unknown,
    });
    // The session and all others go on.
    const [rows] = await one.query<Row[]>('SELECT COUNT(*) AS n FROM t');
    expect(rows).toEqual([{ n: 4000 }]);
    const [shown] = await server.sql("SHOW VARIABLES LIKE 'exec_mem_limit'");
    expect(shown?.['Value']).toBe(String(512 * 2 ** 20));
  });

  it('runs out elsewhere, and the kernel ends idle processes: nobody notices', async () => {
    const count = async (): Promise<unknown> => await server.sql('SELECT COUNT(*) AS n FROM d.t');
    expect(await count()).toEqual([{ n: 4000 }]);
    for (const pid of queryProcesses(server.pid)) process.kill(pid, 'SIGKILL');
    expect(await count()).toEqual([{ n: 4000 }]);
  });

  it('of GROUP_CONCAT is bounded by group_concat_max_len', async () => {
    await one.query('SET group_concat_max_len = 10');
    const [rows] = await one.query<Row[]>(
      "SELECT GROUP_CONCAT(name) AS a, GROUP_CONCAT(DISTINCT 'é' ORDER BY id) AS b FROM t",
    );
    expect(Buffer.byteLength(String(rows[0]?.['a']))).toBeLessThanOrEqual(10);
    expect(rows[0]?.['b']).toBe('é');
    const [warnings] = await one.query<Row[]>('SHOW WARNINGS');
    expect(warnings).toEqual([
      { Level: 'Warning', Code: 1260, Message: 'Row 1 was cut by GROUP_CONCAT()' },
    ]);
  });
});
