/** SHOW PROCESSLIST with what jobs do on backends, and KILL of such a row. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type Row, ServerProcess, until } from './server_process.ts';
import { csvLines, loadRows, warmUp } from './warm_up_steps.ts';

let server: ServerProcess;
let jobId: string;

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
  jobId = await warmUp(server, 'WARM UP COMPUTE GROUP read_group WITH TABLE d.t');
  await until('a batch', async () => (await jobRows()).length > 0);
});
afterAll(async () => {
  await server.stop();
});

const jobRows = async (): Promise<Row[]> =>
  await server.sql("SHOW FULL PROCESSLIST WHERE Command = 'Daemon' ORDER BY Id");

describe('batches of a running job', () => {
  it('are rows of the list of processes', async () => {
    const rows = await jobRows();
    const [row] = rows;
    expect(Object.keys(row ?? {})).toEqual([
      'Id',
      'User',
      'Host',
      'db',
      'Command',
      'Time',
      'State',
      'Info',
      'Progress',
    ]);
    expect(row).toMatchObject({ User: 'system user', db: null });
    expect(row?.['Host']).toMatch(/^[\d.]+:\d+$/);
    expect(row?.['Info']).toMatch(
      new RegExp(`^WARM UP JOB ${jobId}: run 1, batch 0 on backend \\d+ of read_group`),
    );
    expect(row?.['State']).toMatch(/^downloading(, throttled)?: \d+ of \d+ tablets, /);
    expect(Number(row?.['Id'])).toBeGreaterThan(2 ** 32);
    expect(new Set(rows.map((one) => String(one['Id']))).size).toBe(rows.length);
  });

  it('keep their ids, and have them in information_schema as well', async () => {
    const ids = async (): Promise<string[]> => (await jobRows()).map((row) => String(row['Id']));
    let before = await ids();
    let listed: Row[] = [];
    let other: Row[] = [];
    // A batch of few bytes may end in between.
    await until('lists of one moment', async () => {
      before = await ids();
      listed = await server.sql(
        `SELECT p.ID, j.JobId FROM information_schema.processlist p JOIN information_schema.warm_up_jobs j
         ON p.INFO LIKE CONCAT('WARM UP JOB ', j.JobId, ':%') ORDER BY p.ID`,
      );
      other = await server.sql(
        "SELECT COUNT(*) AS n FROM performance_schema.processlist WHERE COMMAND = 'Daemon'",
      );
      return before.join() === (await ids()).join();
    });
    expect(before.length).toBeGreaterThan(0);
    expect(listed.map((row) => String(row['ID']))).toEqual(before);
    expect(listed.map((row) => String(row['JobId']))).toEqual(before.map(() => jobId));
    expect(other[0]?.['n']).toBe(before.length);
  });

  it('are not ended by KILL, which says what ends them', async () => {
    const [row] = await jobRows();
    const killed = server.sql(`KILL ${String(row?.['Id'])}`);
    await expect(killed).rejects.toMatchObject({
      errno: 1094,
      message: expect.stringContaining(`CANCEL WARM UP JOB ${jobId}`) as unknown as string,
    });
    await expect(server.sql('KILL 4294999999')).rejects.toMatchObject({
      errno: 1094,
      message: 'Unknown thread id: 4294999999',
    });
  });

  it('show to nobody who may not know of them', async () => {
    await server.sql("CREATE USER plain IDENTIFIED BY 'x'");
    const plain = await server.connect({ user: 'plain', password: 'x' });
    const [rows] = await plain.query<Row[]>('SHOW PROCESSLIST');
    expect(rows.map((row) => String(row['User']))).toEqual(['plain']);
  });

  it('are gone when the job is', async () => {
    await server.sql(`CANCEL WARM UP JOB ${jobId}`);
    await until('the end of the batches', async () => (await jobRows()).length === 0);
  });
});
