/**
 * Statements about warm-up jobs on a real server, by those who use them: several sessions at once,
 * and the mysql program, whose exit code is what CI looks at.
 */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { programPath } from '../clients/programs.ts';
import { mysqlProgram } from './mysql_program.ts';
import { type Row, ServerProcess, until } from './server_process.ts';
import { csvLines, jobEnd, loadRows, vaultObjects, warmUp } from './warm_up_steps.ts';

const CSV = { format: 'csv', column_separator: ',' };
const withProgram = programPath('mysql') === undefined ? it.skip : it;

let server: ServerProcess;
beforeAll(async () => {
  server = await ServerProcess.start({
    args: ['--embedded', 'src=1,dst=1,more=1', '--set', 'object_store_retries=0'],
  });
  await server.sql('CREATE DATABASE w');
  for (const table of ['w.good', 'w.bad']) {
    await server.sql(`CREATE TABLE ${table} (id INT, name STRING) DUPLICATE KEY(id)
      DISTRIBUTED BY HASH(id) BUCKETS 2`);
    await loadRows(server, table, { text: csvLines(1, 100, 50), headers: CSV });
  }
});
afterAll(async () => {
  await server.stop();
});

/** A periodic job between its cycles: it does nothing for an hour. */
async function idleJob(target: string): Promise<string> {
  const jobId = await warmUp(
    server,
    `WARM UP COMPUTE GROUP ${target} WITH COMPUTE GROUP src
     PROPERTIES ("sync_mode" = "periodic", "sync_interval_sec" = "3600")`,
  );
  await until('the first cycle to end', async () => {
    const [run] = await server.sql(`SHOW WARM UP JOB ${jobId} RUNS`);
    return run?.['Outcome'] === 'FINISHED';
  });
  return jobId;
}

/** Ids of the sessions that wait for the job now. */
async function waiting(jobId: string): Promise<number[]> {
  const rows = await server.sql(`SELECT ID FROM information_schema.PROCESSLIST
    WHERE INFO LIKE 'WAIT FOR WARM UP JOB ${jobId}%'`);
  return rows.map((row: Row) => Number(row['ID']));
}

function runs(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

interface Waiting {
  readonly threadId: number;
  /** How the statement ended. */
  readonly answer: Promise<{ readonly errno?: number; readonly message?: string }>;
  readonly destroy: () => void;
}

/** Another session waits for the job; it does by the time this resolves. */
async function waitElsewhere(jobId: string): Promise<Waiting> {
  const connection = await server.connect();
  const before = await waiting(jobId);
  const answer = connection.query(`WAIT FOR WARM UP JOB ${jobId}`).then(
    () => ({}),
    (error: unknown) => error as { readonly errno: number; readonly message: string },
  );
  let added: number[] = [];
  await until('the session to wait', async () => {
    added = (await waiting(jobId)).filter((id) => !before.includes(id));
    return added.length > 0;
  });
  const [threadId = 0] = added;
  return {
    threadId,
    answer,
    destroy: () => {
      connection.destroy();
    },
  };
}

describe('WAIT FOR WARM UP JOB', () => {
  it('answers the row of a job that ended well', async () => {
    const jobId = await warmUp(server, 'WARM UP COMPUTE GROUP dst WITH TABLE w.good');
    const row = await server.row(`WAIT FOR WARM UP JOB ${jobId} TIMEOUT 30`);
    expect(row).toMatchObject({ JobId: jobId, Status: 'FINISHED', Progress: '100.00%' });
    expect(await server.row(`WAIT FOR WARM UP JOB WHERE id = ${jobId}`)).toEqual(row);
    expect(await server.row(`SHOW WARM UP JOB ${jobId}`)).toEqual(row);
  });

  it('ends when the job is cancelled, the statement killed or the client gone', async () => {
    const jobId = await idleJob('dst');
    const killed = await waitElsewhere(jobId);
    await server.sql(`KILL QUERY ${killed.threadId}`);
    expect(await killed.answer).toMatchObject({ errno: 1317 });
    const gone = await waitElsewhere(jobId);
    gone.destroy();
    await until('nobody to wait', async () => (await waiting(jobId)).length === 0);
    const first = await waitElsewhere(jobId);
    const second = await waitElsewhere(jobId);
    await server.sql(`CANCEL WARM UP JOB ${jobId}`);
    for (const { answer } of [first, second]) {
      expect(await answer).toMatchObject({
        errno: 6102,
        message: `warm-up job ${jobId} was cancelled: user cancel`,
      });
    }
  });

  it('says that the time is over', async () => {
    const jobId = await idleJob('more');
    for (const seconds of [0, 1]) {
      const error = await server.error(`WAIT FOR WARM UP JOB ${jobId} TIMEOUT ${seconds}`);
      expect(error).toMatchObject({ errno: 6103, sqlState: 'HY000' });
      const start = `warm-up job ${jobId} did not end within ${seconds} seconds; it is PENDING`;
      expect(error.message.slice(0, start.length)).toBe(start);
    }
    await server.sql(`CANCEL WARM UP JOB ${jobId}`);
  });

  withProgram('makes scripts fail when the job did', async () => {
    const run = async (sql: string) => await mysqlProgram(server.mysqlPort, sql, ['-N']);
    const good = await run('WARM UP COMPUTE GROUP dst WITH TABLE w.good');
    const jobId = good.output.trim();
    const waited = await run(`WAIT FOR WARM UP JOB ${jobId} TIMEOUT 30`);
    expect(waited.code).toBe(0);
    expect(waited.output.split('\t').slice(0, 4)).toEqual([jobId, 'NULL', 'dst', 'FINISHED']);
    const idle = await idleJob('more');
    const late = await run(`WAIT FOR WARM UP JOB ${idle} TIMEOUT 0`);
    expect(late.code).not.toBe(0);
    expect(late.output).toMatch(/^ERROR 6103 \(HY000\) at line 1: warm-up job \d+ did not end/m);
    await server.sql(`CANCEL WARM UP JOB ${idle}`);
    const cancelled = await run(`WAIT FOR WARM UP JOB ${idle}`);
    expect(cancelled.code).not.toBe(0);
    expect(cancelled.output).toMatch(/^ERROR 6102 \(HY000\) at line 1: .* user cancel\n$/m);
    const unknown = await run('WAIT FOR WARM UP JOB 1');
    expect(unknown.code).not.toBe(0);
    expect(unknown.output).toMatch(/^ERROR 1105 .*: job id: 1 does not exist\.\n$/m);
  });
});

describe('a job that fails', () => {
  it('says what failed and why, and is tried again', async () => {
    const vault = join(server.dataDir, 'vault');
    const tablets = (await server.sql('SHOW TABLETS FROM w.bad')).map((row) =>
      String(row['TabletId']),
    );
    const { paths } = await vaultObjects(vault);
    const [lost = ''] = paths.filter((path) => tablets.some((id) => path.includes(`/${id}/`)));
    await rm(lost);
    const jobId = await warmUp(server, 'WARM UP COMPUTE GROUP dst WITH TABLE w.bad');
    const error = await server.error(`WAIT FOR WARM UP JOB ${jobId} TIMEOUT 30`);
    expect(error.errno).toBe(6101);
    const row = await jobEnd(server, jobId);
    expect(row).toMatchObject({ Status: 'CANCELLED', FailedTablets: 1 });
    const [run, ...otherRuns] = await server.sql(`SHOW WARM UP JOB ${jobId} RUNS`);
    expect(otherRuns).toEqual([]);
    expect(run).toMatchObject({ Run: 1, Outcome: 'FAILED', FailedTablets: 1, AllTablets: 2 });
    expect(run?.['Reason']).toBe(row['ErrMsg']);
    const [failure, ...others] = await server.sql(`SHOW WARM UP JOB ${jobId} FAILURES`);
    expect(others).toEqual([]);
    expect(failure).toMatchObject({ JobId: jobId, Run: 1, TableName: 'w.bad' });
    expect(tablets).toContain(String(failure?.['TabletId']));
    expect(failure?.['Item']).toMatch(/^data\/\d+\/[0-9a-f]{32}_\d+\.dat$/);
    expect(failure?.['Reason']).not.toBe('');
    const times = [run?.['StartTime'], failure?.['Time'], run?.['EndTime']].map(String);
    expect(times).toEqual(times.toSorted());
    expect(run?.['EndTime']).toBe(row['FinishTime']);
    const again = String((await server.row(`RETRY WARM UP JOB ${jobId}`))['JobId']);
    expect(again).not.toBe(jobId);
    expect(await jobEnd(server, again)).toMatchObject({ Status: 'CANCELLED', FailedTablets: 1 });
    const [second] = await server.sql(`SHOW WARM UP JOB ${again} RUNS`);
    // What was warm already is not part of it.
    expect(second).toMatchObject({ AllTablets: 1, FailedTablets: 1 });
  });
});

describe('the end of the server', () => {
  it('ends those who wait, and the jobs are there again', async () => {
    const jobId = await idleJob('more');
    const { answer } = await waitElsewhere(jobId);
    const before = await server.row(`SHOW WARM UP JOB ${jobId}`);
    await server.sql('ADMIN SET FRONTEND CONFIG ("shutdown_grace_ms" = "200")');
    const { pid } = server;
    process.kill(pid, 'SIGTERM');
    expect(await answer).toMatchObject({ message: expect.any(String) });
    await until('the server to end', () => !runs(pid));
    // It has ended; this forgets the connections to it.
    await server.kill9();
    await server.launch();
    expect(await server.row(`SHOW WARM UP JOB ${jobId}`)).toEqual(before);
    expect(before['NextStartTime']).not.toBeNull();
  });
});
