/** The MySQL port with real statements behind it, as the mysql2 package sees it. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { Connection, ConnectionOptions, ResultSetHeader } from 'mysql2/promise';
import { RawClient } from '../server/mysql/raw_client.ts';
import { type Row, ServerProcess, until } from './server_process.ts';
import { csvLines, loadRows } from './warm_up_steps.ts';

const ENDLESS =
  'WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT COUNT(*) FROM c';
const ROWS = 20_000;
const MIB = 2 ** 20;

let server: ServerProcess;
const connections: Connection[] = [];

beforeAll(async () => {
  server = await ServerProcess.start();
  await server.sql('CREATE DATABASE d');
  await server.sql(`CREATE TABLE d.t (id INT, name STRING) DUPLICATE KEY(id)
    DISTRIBUTED BY HASH(id) BUCKETS 4`);
  const text = csvLines(0, ROWS, 100);
  await loadRows(server, 'd.t', { text, headers: { column_separator: ',' } });
});
afterAll(async () => {
  await server.stop();
});
afterEach(() => {
  for (const connection of connections.splice(0)) connection.destroy();
});

async function connect(options: ConnectionOptions = {}): Promise<Connection> {
  const connection = await server.connect({ database: 'd', ...options });
  connections.push(connection);
  return connection;
}

async function failure(work: Promise<unknown>): Promise<{ errno: number; message: string }> {
  try {
    await work;
  } catch (error) {
    const { errno, message } = error as { errno?: number; message: string };
    return { errno: errno ?? 0, message };
  }
  throw new Error('no error');
}

describe('several statements at once', () => {
  it('answer one by one', async () => {
    const connection = await connect({ multipleStatements: true });
    const [results] = await connection.query(
      "SET @@query_timeout = 5; SELECT 1 AS a; /* two */ SELECT COUNT(*) AS n FROM t; USE @read_group; SELECT 'b;c' AS d;",
    );
    expect(results).toMatchObject([
      { affectedRows: 0 },
      [{ a: 1 }],
      [{ n: ROWS }],
      { affectedRows: 0 },
      [{ d: 'b;c' }],
    ]);
  });

  it('stop at the first that fails', async () => {
    const connection = await connect({ multipleStatements: true });
    const run = connection.query('CREATE DATABASE m1; DROP DATABASE nosuch; CREATE DATABASE m2');
    expect(await failure(run)).toMatchObject({ errno: 1008 });
    const [rows] = await connection.query("SHOW DATABASES LIKE 'm_'");
    expect((rows as Row[]).map((row) => Object.values(row)[0])).toEqual(['m1']);
    // A syntax error behind statements that ran.
    expect(await failure(connection.query('DROP DATABASE m1; SELEC 1'))).toMatchObject({
      errno: 1064,
    });
    expect((await connection.query("SHOW DATABASES LIKE 'm_'"))[0]).toEqual([]);
  });

  it('are refused to a client that did not ask for them', async () => {
    const connection = await connect();
    expect(await failure(connection.query('SELECT 1; DROP DATABASE d'))).toMatchObject({
      errno: 1064,
    });
    expect((await connection.query("SHOW DATABASES LIKE 'd'"))[0]).toHaveLength(1);
  });
});

describe('large packets', () => {
  it('INSERT of more than 16 MiB, and all of it read again', async () => {
    await server.sql(`CREATE TABLE d.big (id INT, body STRING) DUPLICATE KEY(id)
      DISTRIBUTED BY HASH(id) BUCKETS 2`);
    const connection = await connect();
    const count = 600;
    const body = 'ab_%\\\\"é'.repeat(3300);
    const values = Array.from({ length: count }, (_, id) => `(${id}, '${body}')`);
    const sql = `INSERT INTO big VALUES ${values.join(', ')}`;
    expect(Buffer.byteLength(sql)).toBeGreaterThan(17 * MIB);
    const [done] = await connection.query<ResultSetHeader>(sql);
    expect(done).toMatchObject({ affectedRows: count });
    const [rows] = await connection.query<Row[]>('SELECT id, body FROM big ORDER BY id');
    expect(rows).toHaveLength(count);
    expect(
      rows.every((row, id) => row['id'] === id && row['body'] === body.replaceAll('\\\\', '\\')),
    ).toBe(true);
  });

  it('a row of more than 16 MiB', async () => {
    const connection = await connect();
    const [rows] = await connection.query<Row[]>(
      `SELECT CONCAT(REPEAT('0123456789abcdef', ${9 * 65_536}), REPEAT('0123456789abcdef', ${8 * 65_536})) AS x`,
    );
    const text = String(rows[0]?.['x']);
    expect(text).toHaveLength(17 * MIB);
    expect(text.startsWith('0123456789abcdef0')).toBe(true);
  });

  it('more than max_allowed_packet is refused with its number', async () => {
    await server.sql('ADMIN SET FRONTEND CONFIG ("max_allowed_packet" = "1MB")');
    const connection = await connect();
    const sql = `INSERT INTO t VALUES (1, '${'x'.repeat(2 * MIB)}')`;
    expect(await failure(connection.query(sql))).toMatchObject({ errno: 1153 });
    await server.sql('ADMIN SET FRONTEND CONFIG ("max_allowed_packet" = "64MB")');
    expect(await server.sql('SELECT COUNT(*) AS n FROM d.t')).toEqual([{ n: ROWS }]);
  });
});

describe('warnings', () => {
  it('are counted in the answer and listed until the next statement', async () => {
    const connection = await connect();
    const [drop] = await connection.query<ResultSetHeader>('DROP TABLE IF EXISTS nosuch');
    expect(drop).toMatchObject({ warningStatus: 1 });
    const [warnings] = await connection.query('SHOW WARNINGS');
    expect(warnings).toEqual([{ Level: 'Note', Code: 1051, Message: "Unknown table 'd.nosuch'" }]);
    expect((await connection.query('SHOW COUNT(*) WARNINGS'))[0]).toEqual([
      { '@@session.warning_count': 1 },
    ]);
    await connection.query('CREATE DATABASE IF NOT EXISTS d');
    expect((await connection.query('SHOW WARNINGS'))[0]).toMatchObject([
      { Level: 'Note', Code: 1007 },
    ]);
    await connection.query('SELECT 1');
    expect((await connection.query('SHOW WARNINGS'))[0]).toEqual([]);
    await failure(connection.query('SELECT nosuch'));
    expect((await connection.query('SHOW ERRORS'))[0]).toMatchObject([
      { Level: 'Error', Code: 1054 },
    ]);
  });
});

describe('KILL', () => {
  it('QUERY ends a statement and leaves the connection', async () => {
    const connection = await connect();
    const running = failure(connection.query(ENDLESS));
    const id = connection.threadId;
    await until('the statement in the list', async () => {
      const list = await server.sql('SHOW FULL PROCESSLIST');
      return list.some(
        (row) => Number(row['Id']) === id && String(row['Info']).includes('RECURSIVE'),
      );
    });
    await server.sql(`KILL QUERY ${id}`);
    expect(await running).toMatchObject({ errno: 1317 });
    expect((await connection.query('SELECT 1 AS a'))[0]).toEqual([{ a: 1 }]);
  });

  it('CONNECTION ends both', async () => {
    const connection = await connect();
    const running = failure(connection.query(ENDLESS));
    const id = connection.threadId;
    await until('the statement in the list', async () => {
      const list = await server.sql('SHOW FULL PROCESSLIST');
      return list.some(
        (row) => Number(row['Id']) === id && String(row['Info']).includes('RECURSIVE'),
      );
    });
    await server.sql(`KILL ${id}`);
    expect((await running).message).toMatch(/killed|closed|interrupted/i);
    await until('the end of the connection', async () => {
      const list = await server.sql('SHOW PROCESSLIST');
      return list.every((row) => Number(row['Id']) !== id);
    });
    expect(await server.error(`KILL ${id}`)).toMatchObject({ errno: 1094 });
  });

  it('query_timeout ends a statement by itself', async () => {
    const connection = await connect();
    await connection.query('SET query_timeout = 1');
    expect(await failure(connection.query(ENDLESS))).toMatchObject({ errno: 3024 });
    expect((await connection.query('SELECT 1 AS a'))[0]).toEqual([{ a: 1 }]);
  });
});

describe('a session', () => {
  it('has its own compute group and database', async () => {
    const [a, b] = [await connect(), await connect()];
    await a.query('USE @read_group');
    const current = async (connection: Connection): Promise<unknown> => {
      const [rows] = await connection.query<Row[]>("SHOW COMPUTE GROUPS WHERE IsCurrent = 'TRUE'");
      return rows.map((row) => row['Name']);
    };
    expect(await current(a)).toEqual(['read_group']);
    expect(await current(b)).toEqual(['write_group']);
    expect(await failure(a.query('USE @nosuch'))).toMatchObject({ errno: 1105 });
    expect(await current(a)).toEqual(['read_group']);
    await a.query('USE information_schema');
    expect((await a.query('SELECT DATABASE() AS d'))[0]).toEqual([{ d: 'information_schema' }]);
    await a.changeUser({ user: 'root', database: 'd' });
    expect((await a.query('SELECT DATABASE() AS d'))[0]).toEqual([{ d: 'd' }]);
    expect(await failure(connect({ database: 'nosuch' }))).toMatchObject({ errno: 1049 });
    expect(await failure(connect({ user: 'nobody' }))).toMatchObject({ errno: 1045 });
  });

  it('SET NAMES latin1 goes both ways', async () => {
    const client = await RawClient.loggedIn(server.mysqlPort);
    try {
      expect(await client.queryOne('SET NAMES latin1')).toMatchObject({ kind: 'ok' });
      const sql = Buffer.from("SELECT HEX('ü') AS h, LENGTH('ü'), 'ü', '日'", 'latin1');
      const [hex] = (await client.queryOne(sql)).rows;
      // The character arrived as one of latin1.
      expect(hex?.slice(0, 1)).toEqual(['C3BC']);
    } finally {
      client.destroy();
    }
    const latin1 = await connect({ charset: 'latin1' });
    await latin1.query("INSERT INTO t VALUES (-1, 'Grüße')");
    const [rows] = await latin1.query<Row[]>('SELECT name FROM t WHERE id = -1');
    expect(rows).toEqual([{ name: 'Grüße' }]);
    const utf8 = await connect();
    expect(
      (await utf8.query('SELECT name, CHAR_LENGTH(name) AS n FROM t WHERE id = -1'))[0],
    ).toEqual([{ name: 'Grüße', n: 5 }]);
  });

  it('gets types that its client understands', async () => {
    await server.sql(`CREATE TABLE d.types (i BIGINT, d DECIMAL(15, 4), f DOUBLE, b BOOLEAN, day DATE, at DATETIME, s STRING)
      DUPLICATE KEY(i) DISTRIBUTED BY HASH(i) BUCKETS 1`);
    await server.sql(`INSERT INTO d.types VALUES
      (9223372036854775807, 12345678901.7891, 0.1, true, '2024-02-29', '2024-02-29 23:59:59', 'grüße 日本 🎉'),
      (NULL, NULL, NULL, NULL, NULL, NULL, NULL)`);
    const connection = await connect({ dateStrings: true, supportBigNumbers: true });
    const [rows] = await connection.query('SELECT * FROM types ORDER BY i DESC');
    expect(rows).toEqual([
      {
        i: '9223372036854775807',
        d: '12345678901.7891',
        f: 0.1,
        b: 1,
        day: '2024-02-29',
        at: '2024-02-29 23:59:59',
        s: 'grüße 日本 🎉',
      },
      { i: null, d: null, f: null, b: null, day: null, at: null, s: null },
    ]);
  });

  it('may leave while a large result is on its way', async () => {
    const client = await RawClient.loggedIn(server.mysqlPort);
    client.command(0x03, 'SELECT a.id, b.name FROM d.t a JOIN d.t b ON a.id <> b.id');
    for (let packet = 0; packet < 100; packet += 1) expect(await client.read()).toBeDefined();
    const going = async (): Promise<boolean> => {
      const list = await server.sql('SHOW FULL PROCESSLIST');
      return list.some((row) => String(row['Info']).includes('a.id <> b.id'));
    };
    expect(await going()).toBe(true);
    client.destroy();
    await until('the end of the statement', async () => !(await going()));
    expect(await server.sql('SELECT COUNT(*) AS n FROM d.t WHERE id >= 0')).toEqual([{ n: ROWS }]);
  });
});
