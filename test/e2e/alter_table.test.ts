/** Schema changes and rollups while people load and read, and while the server dies. */
import Database from 'better-sqlite3';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Connection, RowDataPacket } from 'mysql2/promise';
import { ServerProcess, until } from './server_process.ts';
import { finished, storeReads, warmUp } from './warm_up_steps.ts';

/** Rows of one INSERT: readers must never see a part of them. */
const BATCH = 7;

async function rowsOf(connection: Connection, text: string): Promise<RowDataPacket[]> {
  const [rows] = await connection.query<RowDataPacket[]>(text);
  return rows;
}

/** The newest job of the table, when it has ended. */
async function ended(server: ServerProcess, what: 'COLUMN' | 'ROLLUP'): Promise<RowDataPacket> {
  let last: RowDataPacket | undefined;
  await until(`the end of the ${what} job`, async () => {
    const show = `SHOW ALTER TABLE ${what} FROM d WHERE TableName = 't' ORDER BY JobId DESC LIMIT 1`;
    [last] = await server.sql(show);
    return last?.['State'] === 'FINISHED' || last?.['State'] === 'CANCELLED';
  });
  if (last === undefined) throw new Error('no job');
  return last;
}

/** Rows that SHOW DATA counts, by index. */
async function rowsByIndex(server: ServerProcess): Promise<Record<string, number>> {
  const rows = await server.sql('SHOW DATA FROM d.t');
  const counted = rows.filter((row) => row['IndexName'] !== 'Total');
  return Object.fromEntries(
    counted.map((row) => [String(row['IndexName']), Number(row['RowCount'])]),
  );
}

class Traffic {
  #stopped = false;
  readonly #running: Promise<void>[] = [];
  inserted = 0;
  reads = 0;

  /** Inserts batches until it is stopped: `k` is the number of the row, the rest follows from it. */
  load(connection: Connection, first: number): void {
    const run = async (): Promise<void> => {
      for (let batch = 0; !this.#stopped; batch += 1) {
        const from = first + batch * BATCH;
        const values = Array.from({ length: BATCH }, (_, i) => `(${from + i}, ${(from + i) * 3})`);
        await connection.query(`INSERT INTO d.t (k, v) VALUES ${values.join(', ')}`);
        this.inserted += BATCH;
      }
    };
    this.#running.push(run());
  }

  /** Reads until it is stopped: whole batches, never fewer than before. */
  read(connection: Connection, text: string): void {
    const run = async (): Promise<void> => {
      let before = 0;
      while (!this.#stopped) {
        const atLeast = this.inserted;
        const [row] = await rowsOf(connection, text);
        const [count, sum] = [Number(row?.['n']), Number(row?.['s'])];
        if (
          count % BATCH !== 0 ||
          count < before ||
          count < atLeast ||
          sum !== 3 * Number(row?.['k'])
        ) {
          throw new Error(
            `a reader saw ${JSON.stringify(row)} after ${before} and ${atLeast} rows`,
          );
        }
        before = count;
        this.reads += 1;
      }
    };
    this.#running.push(run());
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#running);
  }
}

describe('while people load and read', () => {
  let server: ServerProcess;

  beforeAll(async () => {
    server = await ServerProcess.start();
    await server.sql('CREATE DATABASE d');
    await server.sql(
      'CREATE TABLE d.t (k BIGINT NOT NULL, v BIGINT) DUPLICATE KEY(k) DISTRIBUTED BY HASH(k) BUCKETS 4',
    );
  });
  afterAll(async () => {
    await server.stop();
  });

  it('columns and rollups come and go, and every reader sees whole batches', async () => {
    const traffic = new Traffic();
    const connections: Connection[] = [];
    for (let i = 0; i < 4; i += 1) connections.push(await server.connect());
    const [loader, second, reader, other] = connections as [
      Connection,
      Connection,
      Connection,
      Connection,
    ];
    traffic.load(loader, 0);
    traffic.load(second, 1_000_000_000);
    await until('the first rows', () => traffic.inserted > 10 * BATCH);
    traffic.read(reader, 'SELECT COUNT(*) AS n, SUM(v) AS s, SUM(k) AS k FROM d.t');
    traffic.read(other, 'SELECT COUNT(*) AS n, SUM(v) AS s, SUM(k) AS k FROM d.t WHERE k >= 0');

    await server.sql("ALTER TABLE d.t ADD COLUMN w INT NOT NULL DEFAULT '5' AFTER k");
    expect(await ended(server, 'COLUMN')).toMatchObject({ State: 'FINISHED', Msg: '' });
    await server.sql('ALTER TABLE d.t ADD ROLLUP r (v, k)');
    expect(await ended(server, 'ROLLUP')).toMatchObject({ State: 'FINISHED' });
    await server.sql('ALTER TABLE d.t MODIFY COLUMN w BIGINT');
    expect(await ended(server, 'COLUMN')).toMatchObject({ State: 'FINISHED' });
    await server.sql('ALTER TABLE d.t DROP COLUMN w, ADD COLUMN x STRING');
    expect(await ended(server, 'COLUMN')).toMatchObject({ State: 'FINISHED' });

    await traffic.stop();
    const { inserted, reads } = traffic;
    expect(reads).toBeGreaterThan(3);
    expect(await rowsByIndex(server)).toEqual({ t: inserted, r: inserted });
    // Once from the base index, once from the rollup.
    const all = 'COUNT(*) AS n, SUM(v) AS s, SUM(k) AS k';
    const [base] = await server.sql(`SELECT ${all}, MAX(x) AS x FROM d.t`);
    const [rollup] = await server.sql(`SELECT ${all} FROM d.t`);
    expect(base).toEqual({ ...rollup, x: null });
    expect(Number(rollup?.['n'])).toBe(inserted);
  });
});

describe('what an alter writes', () => {
  let server: ServerProcess;

  beforeAll(async () => {
    server = await ServerProcess.start();
    await server.sql('CREATE DATABASE d');
    await server.sql(
      `CREATE TABLE d.t (k BIGINT NOT NULL, v BIGINT) DUPLICATE KEY(k) DISTRIBUTED BY HASH(k) BUCKETS 3
       PROPERTIES ("file_cache_ttl_seconds" = "3600")`,
    );
    await server.sql('INSERT INTO d.t VALUES (1, 10), (2, 20), (3, 30)');
  });
  afterAll(async () => {
    await server.stop();
  });

  it('is in the caches of an event-driven target, and rollups are warmed with their table', async () => {
    const [job] = await server.sql(
      `WARM UP COMPUTE GROUP read_group WITH COMPUTE GROUP write_group
       PROPERTIES ("sync_mode" = "event_driven", "sync_event" = "load")`,
    );
    const id = String(job?.['JobId']);
    await server.sql("ALTER TABLE d.t ADD COLUMN w INT DEFAULT '4'");
    expect(await ended(server, 'COLUMN')).toMatchObject({ State: 'FINISHED' });
    await server.sql('ALTER TABLE d.t ADD ROLLUP r (v)');
    expect(await ended(server, 'ROLLUP')).toMatchObject({ State: 'FINISHED' });
    await server.sql(`WAIT FOR WARM UP JOB ${id} TIMEOUT 30`);
    const before = await storeReads(server, 'read_group');
    await server.sql('USE @read_group');
    expect(await server.sql('SELECT * FROM d.t ORDER BY k')).toEqual([
      { k: 1, v: 10, w: 4 },
      { k: 2, v: 20, w: 4 },
      { k: 3, v: 30, w: 4 },
    ]);
    expect(await server.sql('SELECT v FROM d.t ORDER BY v')).toEqual([
      { v: 10 },
      { v: 20 },
      { v: 30 },
    ]);
    expect(await storeReads(server, 'read_group')).toBe(before);
    await server.sql(`CANCEL WARM UP JOB ${id}`);
    // Three tablets of each index that have a row.
    const jobId = await warmUp(server, 'WARM UP COMPUTE GROUP read_group WITH TABLE d.t');
    const done = await finished(server, jobId);
    const sizes = await server.sql('SHOW TABLETS FROM d.t');
    expect(sizes).toHaveLength(6);
    const plan = await server.sql('EXPLAIN WARM UP COMPUTE GROUP read_group WITH TABLE d.t');
    expect(done['AllBytes']).toBe(plan.reduce((sum, row) => sum + Number(row['Bytes']), 0));
  });

  it('shows in what describes the table, with the properties it had', async () => {
    const [row] = await server.sql('SHOW CREATE TABLE d.t');
    expect(row?.['Create Table']).toContain('ROLLUP (\n`r` (`v`)\n)');
    expect(row?.['Create Table']).toContain('"file_cache_ttl_seconds" = "3600"');
    const described = await server.sql('DESC d.t ALL');
    expect(described.map((one) => [one['IndexName'], one['Field']])).toEqual([
      ['t', 'k'],
      ['', 'v'],
      ['', 'w'],
      ['r', 'v'],
    ]);
    await server.sql('ALTER TABLE d.t RENAME COLUMN v price');
    expect(await server.sql('SELECT price FROM d.t WHERE price > 10 ORDER BY price')).toEqual([
      { price: 20 },
      { price: 30 },
    ]);
    await server.sql('INSERT INTO d.t (k, price) VALUES (4, 40)');
    await server.sql('CREATE TABLE d.u LIKE d.t');
    await server.sql('INSERT INTO d.u (k, price) VALUES (1, 11)');
    expect(await server.sql('SELECT price FROM d.u')).toEqual([{ price: 11 }]);
    expect(await rowsByIndex(server)).toEqual({ t: 4, r: 4 });
    const [counted] = await server.sql(
      "SELECT TABLE_ROWS AS n FROM information_schema.tables WHERE TABLE_NAME = 't'",
    );
    expect(Number(counted?.['n'])).toBe(4);
    expect(await server.error('CANCEL ALTER TABLE ROLLUP FROM d.t')).toMatchObject({ errno: 1105 });
    await server.sql('ALTER TABLE d.t DROP ROLLUP r');
    expect(await rowsByIndex(server)).toEqual({ t: 4 });
  });
});

describe('when the server dies in the middle', () => {
  let server: ServerProcess;

  beforeEach(async () => {
    server = await ServerProcess.start({ args: ['--set', 'garbage_grace_ms=0'] });
    await server.sql('CREATE DATABASE d');
    await server.sql(
      'CREATE TABLE d.t (k BIGINT NOT NULL, v BIGINT) DUPLICATE KEY(k) DISTRIBUTED BY HASH(k) BUCKETS 3',
    );
  });
  afterEach(async () => {
    await server.stop();
  });

  /** Objects of the vault that neither a rowset nor an item of garbage accounts for. */
  function orphans(): string[] {
    const database = new Database(join(server.dataDir, 'catalog.db'), { readonly: true });
    try {
      const known = database
        .prepare("SELECT 'data/' || tablet_id || '/' || rowset_id || '_' FROM rowset")
        .pluck()
        .all() as string[];
      const garbage = database.prepare('SELECT prefix FROM garbage').pluck().all() as string[];
      const planned = database.prepare('SELECT count(*) FROM alter_write').pluck().get();
      expect(planned).toBe(0);
      const vault = join(server.dataDir, 'vault');
      const files = existsSync(vault)
        ? readdirSync(vault, { recursive: true, withFileTypes: true })
        : [];
      return files
        .filter((file) => file.name.endsWith('.dat'))
        .map((file) => join(file.parentPath, file.name).slice(vault.length + 1))
        .filter((key) => ![...known, ...garbage].some((prefix) => key.startsWith(prefix)));
    } finally {
      database.close();
    }
  }

  it('the job goes on after the restart, nothing is lost and nothing is left', async () => {
    let rows = 0;
    const insert = async (): Promise<void> => {
      const values = Array.from({ length: BATCH }, (_, i) => `(${rows + i}, ${(rows + i) * 3})`);
      await server.sql(`INSERT INTO d.t (k, v) VALUES ${values.join(', ')}`);
      rows += BATCH;
    };
    const statements = [
      "ALTER TABLE d.t ADD COLUMN a INT DEFAULT '1'",
      'ALTER TABLE d.t ADD ROLLUP r (v)',
      'ALTER TABLE d.t MODIFY COLUMN a BIGINT',
      'ALTER TABLE d.t MODIFY COLUMN v VARCHAR(30)',
      'ALTER TABLE d.t DROP COLUMN a',
    ];
    for (const [round, statement] of statements.entries()) {
      for (let load = 0; load < 6; load += 1) await insert();
      await server.sql(statement);
      // A different place in the job every time: nothing of it, or a load's way behind its start.
      if (round % 2 === 1) await insert();
      await server.kill9();
      await server.launch();
      await insert();
      const job = await ended(server, statement.includes('ROLLUP') ? 'ROLLUP' : 'COLUMN');
      expect(job).toMatchObject({ State: 'FINISHED', Msg: '' });
      const [row] = await server.sql('SELECT COUNT(*) AS n, SUM(v) AS s, SUM(k) AS k FROM d.t');
      expect(Number(row?.['n'])).toBe(rows);
      expect(Number(row?.['s'])).toBe(3 * Number(row?.['k']));
    }
    expect(await rowsByIndex(server)).toEqual({ t: rows, r: rows });
    await server.terminate();
    expect(orphans()).toEqual([]);
  });

  it('a value that does not fit ends the job, and the table is as it was', async () => {
    await server.sql('INSERT INTO d.t VALUES (1, 1), (2, 2), (3, NULL)');
    await server.sql('ALTER TABLE d.t MODIFY COLUMN v STRING');
    expect(await ended(server, 'COLUMN')).toMatchObject({ State: 'FINISHED' });
    await server.sql("INSERT INTO d.t VALUES (4, 'four')");
    await server.sql('ALTER TABLE d.t MODIFY COLUMN v INT');
    expect(await ended(server, 'COLUMN')).toMatchObject({
      State: 'CANCELLED',
      Msg: expect.stringContaining("Incorrect integer value: 'four' for column 'v'"),
    });
    expect(await server.sql('SELECT k, v FROM d.t ORDER BY k')).toEqual([
      { k: 1, v: '1' },
      { k: 2, v: '2' },
      { k: 3, v: null },
      { k: 4, v: 'four' },
    ]);
    // A dropped table takes its job along; another table's is possible at once.
    await server.sql("ALTER TABLE d.t ADD COLUMN z INT DEFAULT '1'");
    await server.sql('DROP TABLE d.t');
    const ends = async (): Promise<boolean> => {
      const rows = await server.sql('SELECT State FROM information_schema.alter_jobs');
      return rows.every((row) => row['State'] === 'FINISHED' || row['State'] === 'CANCELLED');
    };
    await until('no job runs', ends);
    await server.terminate();
    expect(orphans()).toEqual([]);
  });
});
