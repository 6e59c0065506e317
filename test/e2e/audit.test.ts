/** The audit log: who did what, in the table and in the files. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { ServerProcess, until } from './server_process.ts';

let server: ServerProcess;

beforeAll(async () => {
  server = await ServerProcess.start();
  await server.sql('CREATE DATABASE d');
  await server.sql('CREATE TABLE d.t (a INT) DISTRIBUTED BY HASH(a) BUCKETS 1');
});
afterAll(async () => {
  await server.stop();
});

type Line = Record<string, unknown>;

async function lines(file = 'audit.jsonl'): Promise<Line[]> {
  const text = await readFile(join(server.dataDir, 'log', file), 'utf8').catch(() => '');
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Line);
}

async function logged(kind: string, statement: string): Promise<Line> {
  let found: Line | undefined;
  await until(`${kind} in the log`, async () => {
    found = (await lines()).find((line) => line['kind'] === kind && line['stmt'] === statement);
    return found !== undefined;
  });
  return found ?? {};
}

describe('the audit log', () => {
  it('has who, what, and what became of it', async () => {
    await server.sql('INSERT INTO d.t VALUES (1), (2), (3)');
    await server.error('SELECT * FROM d.nothing');
    await server.error('SELEC 1');
    await server.sql('SELECT * FROM d.t');
    expect(await logged('Insert', 'INSERT INTO d.t VALUES (1), (2), (3)')).toMatchObject({
      user: 'root',
      client_ip: '127.0.0.1',
      error_code: 0,
      rows: 3,
    });
    expect(await logged('Select', 'SELECT * FROM d.nothing')).toMatchObject({ error_code: 1146 });
    expect(await logged('', 'SELEC 1')).toMatchObject({ error_code: 1064 });
    const read = await logged('Select', 'SELECT * FROM d.t');
    expect(read).toMatchObject({ error_code: 0, rows: 3 });
    expect(read['duration_ms']).toBeGreaterThan(0);
    const [row] = await server.sql(
      "SELECT * FROM information_schema.audit_log WHERE stmt = 'SELECT * FROM d.t'",
    );
    expect(row).toMatchObject({ user: 'root', state: 'OK', return_rows: 3, stmt_type: 'Select' });
  });

  it('names the job that a statement made or was about', async () => {
    const text = 'WARM UP COMPUTE GROUP read_group WITH TABLE d.t';
    const jobId = String((await server.row(text))['JobId']);
    expect(await logged('WarmUp', text)).toMatchObject({ job_id: jobId });
    const wait = `WAIT FOR WARM UP JOB ${jobId}`;
    await server.sql(wait);
    expect(await logged('WaitForWarmUpJob', wait)).toMatchObject({ job_id: jobId });
  });

  it('has no secrets in it', async () => {
    await server.sql("CREATE USER s IDENTIFIED BY 'hidden-1'");
    await server.sql("SET PASSWORD FOR s = 'hidden-2'");
    await server.sql("SET @x = 'CREATE USER t IDENTIFIED BY ''hidden-3'''");
    await server.error("CREATE USER u IDENTIFIED BY 'hidden-4' WITH WHAT");
    await server.error(
      `CREATE STORAGE VAULT v PROPERTIES ('type' = 's3', 's3.secret_key' = 'hidden-5')`,
    );
    await server.sql("ADMIN SET FRONTEND CONFIG ('http_bearer_token' = 'hidden-6-hidden-6')");
    await server.sql('SELECT 1');
    await logged('Select', 'SELECT 1');
    expect(JSON.stringify(await lines())).not.toContain('hidden');
    const rows = await server.sql(
      "SELECT stmt FROM information_schema.audit_log WHERE stmt LIKE '%hid' 'den%'",
    );
    expect(rows).toEqual([]);
  });

  it('has logins, also those that failed', async () => {
    await expect(server.connect({ user: 'nobody', password: 'x' })).rejects.toMatchObject({
      errno: 1045,
    });
    await until('the failed login', async () =>
      (await lines()).some(
        (line) =>
          line['kind'] === 'Connect' && line['user'] === 'nobody' && line['error_code'] === 1045,
      ),
    );
  });

  it('shows to administrators only', async () => {
    const plain = await server.connect({ user: 's', password: 'hidden-2' });
    const [rows] = await plain.query('SELECT * FROM information_schema.audit_log');
    expect(rows).toEqual([]);
  });

  it('can be switched off, and rotates', async () => {
    await server.sql("ADMIN SET FRONTEND CONFIG ('enable_audit_log' = 'false')");
    await server.sql('SELECT 2');
    await server.sql("ADMIN SET FRONTEND CONFIG ('enable_audit_log' = 'true')");
    await server.sql(
      "ADMIN SET FRONTEND CONFIG ('audit_log_max_bytes' = '1024', 'audit_log_roll_num' = '2')",
    );
    await server.sql('SELECT 3');
    await until('two older files', async () => {
      await server.sql('SELECT 4');
      const files = await readdir(join(server.dataDir, 'log'));
      return files.includes('audit.jsonl.2');
    });
    await server.sql('SELECT 5');
    await server.restart();
    // What was done last before the shutdown is there; nothing is older than what is kept.
    const files = (await readdir(join(server.dataDir, 'log'))).toSorted();
    expect(files).toEqual(['audit.jsonl', 'audit.jsonl.1', 'audit.jsonl.2']);
    const all = [...(await lines()), ...(await lines('audit.jsonl.1'))];
    expect(all.some((line) => line['stmt'] === 'SELECT 5')).toBe(true);
    expect(all.some((line) => line['stmt'] === 'SELECT 2')).toBe(false);
  });
});
