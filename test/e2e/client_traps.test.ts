/** What clients were seen to stumble over, each with the program that does. */
import { createRequire } from 'node:module';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Connection } from 'mysql2/promise';
import { FLAGS, RawClient, commandBytes } from '../server/mysql/raw_client.ts';
import { ServerProcess, until } from './server_process.ts';

const TIME = 11;

let server: ServerProcess;
const raw: RawClient[] = [];

beforeAll(async () => {
  server = await ServerProcess.start();
  await server.sql('CREATE DATABASE d');
  await server.sql(
    'CREATE TABLE d.t (id INT, at DATETIME) DUPLICATE KEY(id) DISTRIBUTED BY HASH(id) BUCKETS 1',
  );
  await server.sql("INSERT INTO d.t VALUES (1, '2026-11-22 10:00:00')");
});
afterAll(async () => {
  for (const client of raw) client.destroy();
  await server.stop();
});

async function login(flags = 0): Promise<RawClient> {
  const client = await RawClient.loggedIn(server.mysqlPort, {
    flags: FLAGS.base | FLAGS.pluginAuth | flags,
  });
  raw.push(client);
  return client;
}

describe('the handshake', () => {
  it('has a 7-bit challenge without NUL and $ every time (Connector/J)', async () => {
    for (let count = 0; count < 50; count += 1) {
      const client = await RawClient.connect(server.mysqlPort);
      const { scramble } = await client.readGreeting();
      client.destroy();
      expect(scramble).toHaveLength(20);
      expect([...scramble].filter((byte) => byte === 0 || byte === 0x24 || byte > 0x7f)).toEqual(
        [],
      );
    }
  });

  it('holds a login and QUIT that come before the greeting (HAProxy)', async () => {
    const client = await RawClient.connect(server.mysqlPort);
    raw.push(client);
    const hello = Buffer.from('0a000001008500000000000000686170726f7879000001', 'hex');
    client.write(Buffer.concat([hello, commandBytes(0x01)]));
    const packets = await client.readToEnd();
    expect(packets[0]?.payload[0]).toBe(10);
    // The check's user does not exist here: an error is an answer, too.
    expect(packets.length).toBeGreaterThan(1);
  });
});

describe('commands', () => {
  it('number their packets from 0, and the answers from 1, every time', async () => {
    const client = await login();
    for (let count = 0; count < 3; count += 1) {
      client.command(0x0e);
      expect((await client.read())?.sequence).toBe(1);
    }
  });

  it('may come before the answer to the last (pipelining)', async () => {
    const client = await login();
    const texts = ['SELECT 1', 'SELECT nosuch', 'SELECT 2', 'SET @a = 3', 'SELECT @a'];
    client.write(Buffer.concat(texts.map((sql) => commandBytes(0x03, sql))));
    const answers: unknown[] = [];
    for (const _ of texts) {
      const { kind, rows, errno } = await client.readResult();
      answers.push(kind === 'error' ? errno : (rows[0]?.[0] ?? kind));
    }
    expect(answers).toEqual(['1', 1054, '2', 'ok', '3']);
  });

  it('may end with a NUL (mysqlslap)', async () => {
    const client = await login();
    expect((await client.queryOne('SELECT 1\0')).rows).toEqual([['1']]);
  });

  it.each([0, FLAGS.deprecateEof])(
    'end their rows with EOF or OK as the client asked (%d)',
    async (flags) => {
      const client = await login(flags);
      client.command(0x03, 'SELECT 1');
      const headers: (number | undefined)[] = [];
      const expected = flags === 0 ? 5 : 4;
      for (let count = 0; count < expected; count += 1)
        headers.push((await client.read())?.payload[0]);
      expect(headers).toEqual(flags === 0 ? [1, 3, 0xfe, 1, 0xfe] : [1, 3, 1, 0xfe]);
      client.command(0x0e);
      expect((await client.readResult()).kind).toBe('ok');
    },
  );

  it('of LOAD DATA LOCAL are refused by name, and no file is asked for', async () => {
    const localFiles = 0x80;
    const client = await login(localFiles);
    expect((await client.queryOne("LOAD DATA LOCAL INFILE 'x' INTO TABLE d.t")).errno).toBe(3948);
    expect((await client.queryOne("LOAD DATA INFILE 'x' INTO TABLE d.t")).errno).toBe(1235);
    expect((await client.queryOne('SELECT 1')).rows).toEqual([['1']]);
  });
});

describe('SET', () => {
  it('takes expressions, and NAMES inside a list', async () => {
    const session = await server.connect();
    await session.query(
      "SET NAMES utf8mb4, @@session.sql_mode = CONCAT(@@sql_mode, ',ANSI_QUOTES'), autocommit = 1, @x = 1 + 2",
    );
    await session.query('SET autocommit=1, NAMES latin1, sql_select_limit = @x * 10');
    const [rows] = await session.query(
      "SELECT @@character_set_client AS c, @@sql_select_limit AS l, @@sql_mode LIKE '%ANSI_QUOTES%' AS m, @x AS x",
    );
    expect(rows).toEqual([{ c: 'latin1', l: 30, m: 1, x: 3 }]);
    await session.end();
  });

  it('has an error of its own for unknown zones, character sets and collations', async () => {
    expect((await server.error("SET time_zone = 'Mars/Olympus'")).errno).toBe(1298);
    expect((await server.error('SET character_set_client = ebcdic')).errno).toBe(1115);
    expect((await server.error('SET NAMES ebcdic')).errno).toBe(1115);
    expect((await server.error("SET collation_connection = 'x'")).errno).toBe(1273);
    expect((await server.error("SET sql_mode = 'NOSUCH'")).errno).toBe(1231);
    expect((await server.error('SET autocommit = 7')).errno).toBe(1231);
  });

  it('changes nothing when one of the list is wrong', async () => {
    const session = await server.connect();
    await expect(session.query('SET wait_timeout = 77, nosuch = 1')).rejects.toMatchObject({
      errno: 1193,
    });
    const [rows] = await session.query('SELECT @@wait_timeout AS w');
    expect(rows).toEqual([{ w: 28_800 }]);
    await session.end();
  });
});

describe('Power BI', () => {
  it('reads variables by columns that are called as they are written', async () => {
    const [row] = await server.sql(
      'SELECT @@version_comment, @@SESSION.wait_timeout, @@max_allowed_packet LIMIT 1',
    );
    expect(Object.keys(row ?? {})).toEqual([
      '@@version_comment',
      '@@SESSION.wait_timeout',
      '@@max_allowed_packet',
    ]);
  });

  it('gets a TIME from TIMEDIFF, as text and in binary', async () => {
    const session = await server.connect();
    const sql =
      "SELECT TIMEDIFF(at, '2026-11-21 08:30:05') AS t, TIMEDIFF('00:00:01', '00:00:02') AS n FROM d.t";
    for (const [rows, fields] of [await session.query(sql), await session.execute(sql)]) {
      expect(fields.map(({ type }) => type)).toEqual([TIME, TIME]);
      expect(rows).toEqual([{ t: '25:29:55', n: '-00:00:01' }]);
    }
    const [zone] = await session.query('SELECT TIMEDIFF(NOW(), UTC_TIMESTAMP()) AS z');
    expect(zone).toEqual([{ z: '00:00:00' }]);
    await session.end();
  });

  it('finds every collation of its character sets, by the id that MySQL has', async () => {
    const { Charsets: charsets } = createRequire(import.meta.url)('mysql2') as {
      Charsets: Record<string, number>;
    };
    const rows = await server.sql('SHOW COLLATION');
    const ids = new Map(rows.map((row) => [row['Collation'] as string, row['Id'] as number]));
    const missing = Object.entries(charsets).filter(([name, id]) => {
      const collation = name.toLowerCase();
      const isOurs = /^(utf8mb4|utf8|latin1|ascii)_|^binary$/.test(collation);
      // Two of very old servers.
      return isOurs && collation !== 'utf8_general50_ci' && ids.get(collation) !== id;
    });
    expect(missing).toEqual([]);
    expect(rows.filter((row) => row['Id'] === null)).toEqual([]);
    expect(new Set(ids.values()).size).toBe(rows.length);
    expect(rows.filter((row) => row['Default'] === 'Yes')).toHaveLength(5);
  });
});

it('Metabase: SHOW GRANTS FOR CURRENT_USER()', async () => {
  const one = await server.sql('SHOW GRANTS FOR CURRENT_USER()');
  expect(one.length).toBeGreaterThan(0);
  expect(await server.sql('SHOW GRANTS FOR CURRENT_USER')).toEqual(one);
  expect(await server.sql('SHOW GRANTS')).toEqual(one);
});

it('JDBC: a second connection cancels by KILL QUERY', async () => {
  const session = await server.connect();
  const ended = session.query('SELECT SLEEP(60)').then(
    () => 0,
    (error: unknown) => (error as { errno?: number }).errno,
  );
  const id = session.threadId;
  await until('SLEEP to run', async () => {
    const found = await server.sql(
      `SELECT ID FROM information_schema.PROCESSLIST WHERE ID = ${id} AND COMMAND = 'Query'`,
    );
    return found.length > 0;
  });
  await server.sql(`KILL QUERY ${id}`);
  expect(await ended).toBe(1317);
  expect((await session.query('SELECT 1 AS a'))[0]).toEqual([{ a: 1 }]);
  await session.end();
});

describe('what a client tells of itself', () => {
  let session: Connection;
  beforeAll(async () => {
    session = await server.connect({ connectAttributes: { program_name: 'report', team: 'bi' } });
  });

  it('is in performance_schema.session_connect_attrs', async () => {
    const [rows] = await session.query(
      'SELECT ATTR_NAME AS n, ATTR_VALUE AS v FROM performance_schema.session_connect_attrs WHERE PROCESSLIST_ID = CONNECTION_ID() AND ATTR_NAME IN (?, ?) ORDER BY 1',
      ['program_name', 'team'],
    );
    expect(rows).toEqual([
      { n: 'program_name', v: 'report' },
      { n: 'team', v: 'bi' },
    ]);
    const tables = await server.sql('SHOW TABLES FROM performance_schema');
    expect(tables).toContainEqual({ Tables_in_performance_schema: 'session_connect_attrs' });
    const columns = await server.sql('SHOW COLUMNS FROM performance_schema.session_connect_attrs');
    expect(columns.map(({ Field }) => Field as string)).toEqual([
      'PROCESSLIST_ID',
      'ATTR_NAME',
      'ATTR_VALUE',
      'ORDINAL_POSITION',
    ]);
  });

  it('is seen by nobody else who may not see the connection', async () => {
    await server.sql("CREATE USER other IDENTIFIED BY 'pw'");
    const other = await server.connect({ user: 'other', password: 'pw' });
    const [rows] = await other.query(
      "SELECT COUNT(*) AS n FROM performance_schema.session_connect_attrs WHERE ATTR_VALUE = 'report'",
    );
    expect(rows).toEqual([{ n: 0 }]);
    await other.end();
  });

  it('variables and status are there under the names of MySQL 8', async () => {
    const [row] = await server.sql(
      "SELECT VARIABLE_VALUE AS v FROM performance_schema.session_variables WHERE VARIABLE_NAME = 'max_allowed_packet'",
    );
    expect(row).toEqual({ v: '67108864' });
  });
});

describe('time limits of a statement', () => {
  it('max_execution_time in milliseconds, of the session or by a hint', async () => {
    const session = await server.connect();
    const errno = async (sql: string): Promise<unknown> =>
      await session.query(sql).then(
        () => 0,
        (error: unknown) => (error as { errno?: number }).errno,
      );
    expect(await errno('SELECT /*+ MAX_EXECUTION_TIME(40) */ SLEEP(60)')).toBe(3024);
    await session.query('SET max_execution_time = 40');
    expect(await errno('SELECT SLEEP(60)')).toBe(3024);
    expect(await errno('SELECT 1')).toBe(0);
    await session.end();
  });
});

describe('what is not there', () => {
  it('has the errors of a server that never had it', async () => {
    expect(await server.error('CALL d.p(1)')).toMatchObject({ errno: 1305, sqlState: '42000' });
    expect((await server.error('SHOW CREATE VIEW d.nosuch')).errno).toBe(1146);
    expect((await server.error('SHOW CREATE VIEW d.t')).errno).toBe(1347);
    expect((await server.error('SHOW CREATE PROCEDURE d.p')).errno).toBe(1305);
    expect((await server.error('SHOW CREATE TRIGGER d.p')).errno).toBe(1360);
    expect((await server.error('SHOW CREATE EVENT d.p')).errno).toBe(1539);
    expect((await server.error('SHOW BINARY LOGS')).errno).toBe(1381);
  });

  it('or no rows, in its columns', async () => {
    const session = await server.connect();
    const names = async (sql: string): Promise<string[]> => {
      const [rows, fields] = await session.query(sql);
      expect(rows).toEqual([]);
      return fields.map(({ name }) => name);
    };
    expect((await names('SHOW MASTER STATUS')).slice(0, 2)).toEqual(['File', 'Position']);
    expect((await names('SHOW SLAVE STATUS')).slice(0, 2)).toEqual([
      'Slave_IO_State',
      'Master_Host',
    ]);
    expect((await names('SHOW REPLICA STATUS')).slice(0, 2)).toEqual([
      'Replica_IO_State',
      'Source_Host',
    ]);
    // mysqldump of MySQL 8 asks for it.
    expect(await names('SELECT * FROM information_schema.COLUMN_STATISTICS')).toHaveLength(4);
    await session.end();
  });

  it('ANALYZE, CHECK and OPTIMIZE TABLE say that the engine does not do that', async () => {
    expect(await server.sql('CHECK TABLE d.t')).toEqual([
      {
        Table: 'd.t',
        Op: 'check',
        Msg_type: 'note',
        Msg_text: "The storage engine for the table doesn't support check",
      },
    ]);
    const [missing] = await server.sql('OPTIMIZE TABLE d.nosuch');
    expect(missing).toMatchObject({
      Msg_type: 'Error',
      Msg_text: "Table 'd.nosuch' doesn't exist",
    });
  });
});

it('information_schema.metrics has what /metrics has', async () => {
  const [row] = await server.sql(
    "SELECT VALUE, TYPE FROM information_schema.metrics WHERE NAME = 'thermocline_backends' AND LABELS = 'alive=\"true\"'",
  );
  expect(row).toEqual({ VALUE: 4, TYPE: 'gauge' });
});

it('CONVERT_TZ, UUID and their like', async () => {
  const [row] = await server.sql(
    "SELECT CONVERT_TZ('2026-01-01 00:00:00', 'UTC', '+02:30') AS a, CONVERT_TZ(NOW(), 'UTC', 'Mars') AS b, LENGTH(UUID()) AS c, CHARSET('x') AS d",
  );
  expect(row).toEqual({ a: new Date('2026-01-01T02:30:00'), b: null, c: 36, d: 'utf8mb4' });
});
