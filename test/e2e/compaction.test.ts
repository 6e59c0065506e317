/** Compactions in a real server: kill -9 in the middle, readers beside it, nothing left in the vault. */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import Database from 'better-sqlite3';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { ServerProcess, until } from './server_process.ts';
import { jobRow, storeReads, warmUp } from './warm_up_steps.ts';

const INSERTS = 200;
const FAST = [
  '--set',
  'garbage_grace_ms=200',
  '--set',
  'cumulative_compaction_quiet_second=0',
  '--embedded',
  'write_group=1,read_group=1',
];

describe('compaction', () => {
  let server: ServerProcess;

  beforeEach(async () => {
    server = await ServerProcess.start({ args: FAST });
    await server.sql('CREATE DATABASE d');
    await server.sql('USE d');
    await server.sql(
      'CREATE TABLE t (k INT, v VARCHAR(20)) DUPLICATE KEY (k) DISTRIBUTED BY HASH (k) BUCKETS 2',
    );
  });

  afterEach(async () => {
    await server.stop();
  });

  async function insert(from: number, to: number): Promise<void> {
    const values = (k: number): string => `(${k}, 'v${k}'), (${k + 100_000}, 'w${k}')`;
    for (let k = from; k < to; k += 1) {
      await server.sql(`INSERT INTO d.t VALUES ${values(k)}`);
    }
  }

  async function sums(): Promise<readonly number[]> {
    const row = await server.row('SELECT COUNT(*) AS n, SUM(k) AS s FROM d.t');
    return [Number(row['n']), Number(row['s'])];
  }

  function expected(inserts: number): readonly number[] {
    const sum = (inserts * (inserts - 1)) / 2;
    return [2 * inserts, 2 * sum + 100_000 * inserts];
  }

  /** Objects in the vault under `data/`. */
  function objects(): string[] {
    const data = join(server.dataDir, 'vault', 'data');
    if (!existsSync(data)) return [];
    return readdirSync(data).flatMap((tablet) =>
      readdirSync(join(data, tablet)).map((name) => `${tablet}/${name}`),
    );
  }

  /** Compactions of so few rows are short: comes back when there is none any more, too. */
  async function untilOneRuns(): Promise<void> {
    const catalog = new Database(join(server.dataDir, 'catalog.db'), { readonly: true });
    const running = catalog.prepare('SELECT count(*) FROM compaction').pluck();
    try {
      for (let tries = 0; tries < 20_000 && running.get() === 0; tries += 1) await nextTurn();
    } finally {
      catalog.close();
    }
  }

  async function total(column: string): Promise<number> {
    const rows = await server.sql('SHOW COMPACTION STATUS FROM d.t');
    return rows.reduce((sum, row) => sum + Number(row[column]), 0);
  }

  it('loses and doubles nothing when it is killed, and leaves no orphan in the vault', async () => {
    for (let round = 0; round < 4; round += 1) {
      await insert(round * (INSERTS / 4), (round + 1) * (INSERTS / 4));
      await server.sql('ALTER TABLE d.t COMPACT FULL');
      await untilOneRuns();
      await server.kill9();
      await server.launch();
      expect(await sums()).toEqual(expected((round + 1) * (INSERTS / 4)));
    }
    expect(server.stderr).toContain('compactions were interrupted');
    await server.sql('ALTER TABLE d.t COMPACT FULL');
    await until('one rowset per tablet', async () => (await total('Rowsets')) === 2);
    await until('the vault without garbage', () => objects().length === 2);
    expect(await sums()).toEqual(expected(INSERTS));
    // The caches have the new ones at most.
    await server.sql('USE @read_group');
    expect(await sums()).toEqual(expected(INSERTS));
    expect(await total('Compactions')).toBeGreaterThan(0);
    const failed = await server.sql(
      "SELECT * FROM information_schema.compaction_status WHERE LastError <> ''",
    );
    expect(failed).toEqual([]);
  }, 120_000);

  it('is seen by readers as before or after, never as a mix', async () => {
    const done = { inserts: 0 };
    const reader = (async () => {
      for (let reads = 0; done.inserts < 60 || reads < 20; reads += 1) {
        const atLeast = done.inserts;
        const connection = await server.connect();
        const [rows] = await connection.query('SELECT COUNT(*) AS n, SUM(k) AS s FROM d.t');
        await connection.end();
        const [row] = rows as { readonly n: number; readonly s: number | string | null }[];
        const count = Number(row?.n) / 2;
        expect(count).toBeGreaterThanOrEqual(atLeast);
        expect([Number(row?.n), Number(row?.s)]).toEqual(expected(count));
      }
    })();
    for (; done.inserts < 60; done.inserts += 1) {
      await insert(done.inserts, done.inserts + 1);
      if (done.inserts % 10 === 9) await server.sql('ALTER TABLE d.t COMPACT FULL');
    }
    await reader;
    expect(await total('Compactions')).toBeGreaterThan(1);
  }, 60_000);

  it('is an event: the target of an event-driven job has its result before anybody asks', async () => {
    await server.sql('ALTER TABLE d.t SET ("disable_auto_compaction" = "true")');
    const jobId = await warmUp(
      server,
      `WARM UP COMPUTE GROUP read_group WITH COMPUTE GROUP write_group
       PROPERTIES ("sync_mode" = "event_driven", "sync_event" = "load")`,
    );
    await until('RUNNING', async () => (await jobRow(server, jobId))['Status'] === 'RUNNING');
    await insert(0, 12);
    await server.sql('ALTER TABLE d.t COMPACT FULL');
    await until('one rowset per tablet', async () => (await total('Rowsets')) === 2);
    await server.sql(`WAIT FOR WARM UP JOB ${jobId} TIMEOUT 30`);
    await until('the vault without garbage', () => objects().length === 2);
    await server.sql('USE @read_group');
    const before = await storeReads(server, 'read_group');
    expect(await sums()).toEqual(expected(12));
    expect(await storeReads(server, 'read_group')).toBe(before);
  }, 60_000);

  it('leaves a group warm that was warmed once', async () => {
    await server.sql('ALTER TABLE d.t SET ("disable_auto_compaction" = "true")');
    await insert(0, 12);
    const jobId = await warmUp(server, 'WARM UP COMPUTE GROUP read_group WITH TABLE d.t');
    await server.sql(`WAIT FOR WARM UP JOB ${jobId} TIMEOUT 30`);
    const before = await storeReads(server, 'read_group');
    await server.sql('ALTER TABLE d.t COMPACT FULL');
    await until('one rowset per tablet', async () => (await total('Rowsets')) === 2);
    const both = async (): Promise<boolean> =>
      (await storeReads(server, 'read_group')) === before + 2;
    await until('both results in the caches of the readers', both);
    await server.sql('USE @read_group');
    expect(await sums()).toEqual(expected(12));
    expect(await both()).toBe(true);
  }, 60_000);

  it('can be switched off for a table, and says what it would do', async () => {
    await server.sql('ALTER TABLE d.t SET ("disable_auto_compaction" = "true")');
    await insert(0, 8);
    const rows = await server.sql("SHOW COMPACTION STATUS FROM d.t WHERE State = 'IDLE' LIMIT 1");
    expect(rows).toMatchObject([{ DbName: 'd', TableName: 't', Compactions: 0, LastTime: null }]);
    expect(await total('Rowsets')).toBeGreaterThan(8);
    expect(await total('Candidates')).toBe(await total('Rowsets'));
    expect(await server.sql("SHOW COMPACTION STATUS LIKE 'nothing%'")).toEqual([]);
    expect(await server.error('ALTER TABLE d.t COMPACT PARTITION (nope)')).toMatchObject({
      message: expect.stringContaining('nope') as unknown,
    });
    expect(
      await server.error('ALTER TABLE d.t SET ("disable_auto_compaction" = "maybe")'),
    ).toMatchObject({ message: expect.stringContaining('disable_auto_compaction') as unknown });
    await server.sql('ALTER TABLE d.t SET ("disable_auto_compaction" = "false")');
    await until('the compaction', async () => (await total('Rowsets')) === 2);
    await insert(8, 9);
    expect(await sums()).toEqual(expected(9));
    const data = await server.sql('SHOW TABLETS FROM d.t');
    expect(data.reduce((sum, row) => sum + Number(row['RowCount']), 0)).toBe(18);
  }, 60_000);
});
