/**
 * The same SELECT again and again: whatever is kept of the last one, each answers what is true then,
 * to whom may know it, and is counted as read.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Connection } from 'mysql2/promise';
import { ServerProcess, until } from './server_process.ts';
import { backendsOf, finished, groupMetric, storeReads, warmUp } from './warm_up_steps.ts';

const ARGS = ['--embedded', 'write_group=2,read_group=1'];

let server: ServerProcess;

beforeAll(async () => {
  server = await ServerProcess.start({ args: ARGS });
});

afterAll(async () => {
  await server.stop();
});

beforeEach(async () => {
  await server.sql('DROP DATABASE IF EXISTS d');
  await server.sql('CREATE DATABASE d');
  await server.sql('CREATE TABLE d.t (k INT, v VARCHAR(20)) DISTRIBUTED BY HASH (k) BUCKETS 3');
  await server.sql("INSERT INTO d.t VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd')");
});

type Asking = Pick<Connection, 'query'>;

/** Rows as text, so that they compare easily. */
async function ask(client: Asking, sql: string): Promise<string> {
  const [rows] = await client.query({ sql, rowsAsArray: true });
  return (rows as unknown[][]).map((row) => row.join(':')).join(' ');
}

const SELECT = 'SELECT k, v FROM d.t ORDER BY k';
const same = async (sql = SELECT): Promise<string> => {
  const client = { query: async (options: unknown) => await query(options) } as Asking;
  return await ask(client, sql);
};
let shared: Connection | undefined;
async function query(options: unknown): Promise<unknown> {
  shared ??= await server.connect();
  return await shared.query(options as Parameters<Connection['query']>[0]);
}

/** Three times, so that all that can be kept is. */
async function thrice(sql = SELECT): Promise<string> {
  await same(sql);
  await same(sql);
  return await same(sql);
}

describe('a table', () => {
  it('has the rows of each load at once', async () => {
    for (let round = 0; round < 20; round += 1) {
      const expected = Array.from({ length: 4 + round }, (_, at) => at + 1).join(' ');
      expect(await thrice('SELECT k FROM d.t ORDER BY k')).toBe(expected);
      await server.sql(`INSERT INTO d.t VALUES (${5 + round}, 'x')`);
    }
    await server.sql('ALTER TABLE d.t COMPACT FULL');
    await until('one rowset per tablet', async () => {
      expect((await same('SELECT k FROM d.t ORDER BY k')).split(' ')).toHaveLength(24);
      const rows = await server.sql('SHOW COMPACTION STATUS FROM d.t');
      return rows.reduce((sum, row) => sum + Number(row['Rowsets']), 0) === 3;
    });
    expect((await thrice('SELECT k FROM d.t ORDER BY k')).split(' ')).toHaveLength(24);
  });

  it('has other columns after an ALTER, other rows after TRUNCATE, and none after DROP', async () => {
    const all = 'SELECT * FROM d.t ORDER BY k';
    expect(await thrice(all)).toBe('1:a 2:b 3:c 4:d');
    await server.sql("ALTER TABLE d.t ADD COLUMN w INT DEFAULT '7'");
    await until('the new column', async () => (await same(all)) === '1:a:7 2:b:7 3:c:7 4:d:7');
    expect(await thrice(all)).toBe('1:a:7 2:b:7 3:c:7 4:d:7');
    await server.sql('ALTER TABLE d.t RENAME COLUMN v u');
    await expect(same()).rejects.toMatchObject({ errno: 1054 });
    await server.sql('ALTER TABLE d.t RENAME COLUMN u v');
    expect(await thrice()).toBe('1:a 2:b 3:c 4:d');
    await server.sql('TRUNCATE TABLE d.t');
    expect(await thrice()).toBe('');
    await server.sql("INSERT INTO d.t VALUES (9, 'z', 1)");
    expect(await thrice()).toBe('9:z');
    await server.sql('DROP TABLE d.t');
    await expect(same()).rejects.toMatchObject({ errno: 1146 });
    await server.sql('CREATE TABLE d.t (k INT, v VARCHAR(20)) DISTRIBUTED BY HASH (k) BUCKETS 3');
    expect(await thrice()).toBe('');
    await server.sql("INSERT INTO d.t VALUES (1, 'new')");
    expect(await thrice()).toBe('1:new');
    await server.sql('ALTER TABLE d.t RENAME old');
    await expect(same()).rejects.toMatchObject({ errno: 1146 });
  });

  it('with conditions and limits gives each statement its own rows', async () => {
    const by = (k: number): string => `SELECT v FROM d.t WHERE k = ${k}`;
    for (let round = 0; round < 3; round += 1) {
      expect(await same(by(1))).toBe('a');
      expect(await same(by(4))).toBe('d');
      expect(await same(by(5))).toBe('');
      expect(await same(`${SELECT} LIMIT 0`)).toBe('');
      expect(await same(`${SELECT} LIMIT 2`)).toBe('1:a 2:b');
      expect(await same('SELECT COUNT(*) FROM d.t')).toBe('4');
      expect(await same('SELECT a.v FROM d.t a JOIN d.t b ON a.k = b.k + 3')).toBe('d');
    }
    const limited = await server.connect();
    await limited.query('SET sql_select_limit = 1');
    expect(await ask(limited, SELECT)).toBe('1:a');
    expect(await thrice()).toBe('1:a 2:b 3:c 4:d');
    const prepared = 'SELECT v FROM d.t WHERE k = ?';
    for (const [k, v] of [
      [1, 'a'],
      [2, 'b'],
      [1, 'a'],
    ] as const) {
      const [rows] = await limited.execute(prepared, [k]);
      expect(rows).toEqual([{ v }]);
    }
  });

  it('of replicas has the rows of each load at once', async () => {
    await server.sql(`CREATE TABLE d.r (k INT) DISTRIBUTED BY HASH (k) BUCKETS 2
      PROPERTIES ("replication_num" = "2", "resource_group" = "write_group")`);
    for (let round = 1; round <= 10; round += 1) {
      await server.sql(`INSERT INTO d.r VALUES (${round})`);
      const expected = Array.from({ length: round }, (_, at) => at + 1).join(' ');
      expect(await thrice('SELECT k FROM d.r ORDER BY k')).toBe(expected);
    }
  });
});

describe('the block cache', () => {
  const hits = async (): Promise<number> =>
    await groupMetric(server, 'write_group', 'file_cache_hits_total');
  const reads = async (): Promise<number> => await storeReads(server, 'write_group');

  it('sees every statement', async () => {
    await thrice();
    const [before, stored] = [await hits(), await reads()];
    await same();
    const each = (await hits()) - before;
    expect(each).toBeGreaterThan(0);
    for (let time = 0; time < 5; time += 1) await same();
    expect((await hits()) - before).toBe(6 * each);
    // At once, too.
    const clients = await Promise.all(Array.from({ length: 6 }, () => server.connect()));
    const all = await Promise.all(clients.map(async (client) => await ask(client, SELECT)));
    expect(new Set(all)).toEqual(new Set(['1:a 2:b 3:c 4:d']));
    expect((await hits()) - before).toBe(12 * each);
    expect(await reads()).toBe(stored);
  });

  it('that was cleared is filled again by the next statement', async () => {
    expect(await thrice()).toBe('1:a 2:b 3:c 4:d');
    const before = await reads();
    for (const backend of await backendsOf(server, 'write_group')) {
      const url = `http://127.0.0.1:${String(backend['HttpPort'])}/api/file_cache`;
      expect((await fetch(`${url}?op=clear&sync=true`)).status).toBe(200);
    }
    expect(await same()).toBe('1:a 2:b 3:c 4:d');
    const after = await reads();
    expect(after).toBeGreaterThan(before);
    expect(await thrice()).toBe('1:a 2:b 3:c 4:d');
    expect(await reads()).toBe(after);
  });

  it('of another compute group is another one', async () => {
    await thrice();
    const reader = await server.connect();
    await reader.query('USE @read_group');
    const before = await storeReads(server, 'read_group');
    expect(await ask(reader, SELECT)).toBe('1:a 2:b 3:c 4:d');
    expect(await storeReads(server, 'read_group')).toBeGreaterThan(before);
    expect(await ask(reader, SELECT)).toBe('1:a 2:b 3:c 4:d');
    expect(await thrice()).toBe('1:a 2:b 3:c 4:d');
  });
});

describe('a session', () => {
  it('gets what its user may see, from one statement to the next', async () => {
    await server.sql('DROP USER IF EXISTS ann');
    await server.sql("CREATE USER ann IDENTIFIED BY 'pw'");
    await server.sql('GRANT SELECT_PRIV ON d.t TO ann');
    await server.sql("GRANT USAGE_PRIV ON COMPUTE GROUP 'write_group' TO ann");
    const ann = await server.connect({ user: 'ann', password: 'pw' });
    const tables =
      "SELECT table_name FROM information_schema.tables WHERE table_schema = 'd' ORDER BY 1";
    const threads = 'SELECT user FROM information_schema.processlist GROUP BY user ORDER BY user';
    await server.sql('CREATE TABLE d.hidden (k INT) DISTRIBUTED BY HASH (k) BUCKETS 1');
    for (let round = 0; round < 3; round += 1) {
      expect(await thrice()).toBe('1:a 2:b 3:c 4:d');
      expect(await ask(ann, SELECT)).toBe('1:a 2:b 3:c 4:d');
      expect(await thrice(tables)).toBe('hidden t');
      expect(await ask(ann, tables)).toBe('t');
      expect(await thrice(threads)).toBe('ann root');
      expect(await ask(ann, threads)).toBe('ann');
    }
    await server.sql('REVOKE SELECT_PRIV ON d.t FROM ann');
    await expect(ask(ann, SELECT)).rejects.toMatchObject({ errno: 1142 });
    expect(await ask(ann, tables)).toBe('');
    expect(await thrice()).toBe('1:a 2:b 3:c 4:d');
    await server.sql('GRANT SELECT_PRIV ON d.t TO ann');
    expect(await ask(ann, SELECT)).toBe('1:a 2:b 3:c 4:d');
  });

  it('sees each job as it is, if it may see it', async () => {
    await server.sql('DROP USER IF EXISTS bob');
    await server.sql("CREATE USER bob IDENTIFIED BY 'pw'");
    const bob = await server.connect({ user: 'bob', password: 'pw' });
    const jobs = 'SELECT JobId, Status FROM information_schema.warm_up_jobs ORDER BY JobId';
    let expected = await thrice(jobs);
    for (let round = 0; round < 3; round += 1) {
      const job = await warmUp(server, 'WARM UP COMPUTE GROUP read_group WITH TABLE d.t');
      const added = await same(jobs);
      expect(added.startsWith(expected)).toBe(true);
      expect(added.slice(expected.length).trim().split(':')[0]).toBe(job);
      await finished(server, job);
      expected = await thrice(jobs);
      expect(expected).toMatch(/:FINISHED$/);
      expect(await ask(bob, jobs)).toBe('');
    }
    for (const group of ['read_group', 'write_group']) {
      await server.sql(`GRANT USAGE_PRIV ON COMPUTE GROUP '${group}' TO bob`);
    }
    await server.sql('GRANT SELECT_PRIV ON d.t TO bob');
    expect((await ask(bob, jobs)).split(' ').length).toBeGreaterThanOrEqual(3);
    await server.sql('REVOKE SELECT_PRIV ON d.t FROM bob');
    expect(await ask(bob, jobs)).toBe('');
    expect(await thrice(jobs)).toBe(expected);
  });

  it('gets the tables of its database', async () => {
    await server.sql('DROP DATABASE IF EXISTS e');
    await server.sql('CREATE DATABASE e');
    await server.sql('CREATE TABLE e.t (k INT, v VARCHAR(20)) DISTRIBUTED BY HASH (k) BUCKETS 3');
    await server.sql("INSERT INTO e.t VALUES (7, 'e')");
    const client = await server.connect();
    for (let round = 0; round < 3; round += 1) {
      await client.query('USE d');
      expect(await ask(client, 'SELECT k, v FROM t ORDER BY k')).toBe('1:a 2:b 3:c 4:d');
      await client.query('USE e');
      expect(await ask(client, 'SELECT k, v FROM t ORDER BY k')).toBe('7:e');
    }
  });

  it('gets values in its character set, time zone and SQL mode', async () => {
    await server.sql("INSERT INTO d.t VALUES (5, 'grün')");
    const green = 'SELECT v FROM d.t WHERE k = 5';
    const zoned = 'SELECT FROM_UNIXTIME(k) FROM d.t WHERE k = 5';
    const quoted = 'SELECT "v" FROM d.t WHERE k = 5';
    const [plain, other] = [await server.connect(), await server.connect()];
    await other.query('SET NAMES latin1');
    await other.query("SET time_zone = '+05:00'");
    await other.query("SET sql_mode = 'ANSI_QUOTES'");
    const bytes = async (client: Connection): Promise<string> => {
      const typeCast = (field: { buffer(): Buffer | null }): unknown =>
        field.buffer()?.toString('latin1');
      const [rows] = await client.query({ sql: green, rowsAsArray: true, typeCast } as never);
      return String((rows as unknown as unknown[][])[0]?.[0]);
    };
    for (let round = 0; round < 3; round += 1) {
      expect(await bytes(plain)).toBe(Buffer.from('grün').toString('latin1'));
      expect(await bytes(other)).toBe('grün');
      expect(await ask(plain, quoted)).toBe('v');
      expect(await ask(other, quoted)).toBe('grün');
      const dates = [plain, other].map(async (client) => {
        const [rows] = await client.query({ sql: zoned, rowsAsArray: true, dateStrings: true });
        return String((rows as unknown as unknown[][])[0]?.[0]);
      });
      const [here, there] = await Promise.all(dates);
      expect(there).toBe('1970-01-01 05:00:05');
      expect(here).not.toBe(there);
    }
  });

  it('can be killed, and runs into its time limit, as ever', async () => {
    const client = await server.connect();
    expect(await ask(client, SELECT)).toBe('1:a 2:b 3:c 4:d');
    const slow = client.query('SELECT SLEEP(20), k FROM d.t');
    slow.catch(() => undefined);
    await until('the statement', async () => {
      const rows = await server.sql('SHOW PROCESSLIST');
      const row = rows.find(({ Info }) => String(Info).includes('SLEEP(20)'));
      if (row === undefined) return false;
      await server.sql(`KILL QUERY ${String(row['Id'])}`);
      return true;
    });
    await expect(slow).rejects.toMatchObject({ errno: 1317 });
    expect(await ask(client, SELECT)).toBe('1:a 2:b 3:c 4:d');
    await client.query('SET max_execution_time = 50');
    await expect(client.query('SELECT SLEEP(20), k FROM d.t')).rejects.toMatchObject({
      errno: 3024,
    });
    expect(await ask(client, SELECT)).toBe('1:a 2:b 3:c 4:d');
  });
});
