/** What sessions keep and share: user variables, roles, locks by name, time zones, warnings. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Connection, ResultSetHeader } from 'mysql2/promise';
import { type Row, ServerProcess, until } from './server_process.ts';

let server: ServerProcess;
let one: Connection;
let other: Connection;

beforeAll(async () => {
  server = await ServerProcess.start();
  await server.sql('CREATE DATABASE d');
  await server.sql('CREATE TABLE d.t (a INT, b INT) DISTRIBUTED BY HASH(a) BUCKETS 2');
  await server.sql('INSERT INTO d.t VALUES (1, 0), (2, 1), (3, 0)');
});
afterAll(async () => {
  await server.stop();
});
beforeEach(async () => {
  one = await server.connect({ database: 'd' });
  other = await server.connect({ database: 'd' });
});

async function rows(connection: Connection, sql: string): Promise<Row[]> {
  const [result] = await connection.query<Row[]>(sql);
  return result;
}

async function value(connection: Connection, sql: string): Promise<unknown> {
  const [row] = await rows(connection, sql);
  return Object.values(row ?? {})[0];
}

async function failure(action: Promise<unknown>): Promise<number> {
  try {
    await action;
    return 0;
  } catch (error) {
    return (error as { errno: number }).errno;
  }
}

describe('SELECT ... INTO', () => {
  it('puts one row into user variables', async () => {
    const [done] = await one.query('SELECT a, b INTO @a, @b FROM t WHERE a = 2');
    expect(done).toMatchObject({ affectedRows: 1 });
    await one.query("SELECT COUNT(*), 'x' FROM t ORDER BY 1 LIMIT 1 INTO @n, @x");
    expect(await rows(one, 'SELECT @a, @b, @n, @x')).toEqual([
      { '@a': 2, '@b': 1, '@n': 3, '@x': 'x' },
    ]);
    expect(await value(other, 'SELECT @a')).toBeNull();
  });

  it('leaves them without a row, and refuses several rows and another number of columns', async () => {
    await one.query('SET @a = 7');
    await one.query('SELECT a FROM t WHERE a = 99 INTO @a');
    expect(await rows(one, 'SHOW WARNINGS')).toMatchObject([{ Code: 1329 }]);
    expect(await failure(one.query('SELECT a FROM t INTO @a'))).toBe(1172);
    expect(await failure(one.query('SELECT a, b FROM t LIMIT 1 INTO @a'))).toBe(1222);
    expect(await value(one, 'SELECT @a')).toBe(7);
  });

  it('has SET and DO of a query beside it', async () => {
    await one.query(
      'SET @n = (SELECT COUNT(*) FROM t), @m = 1 + (SELECT MAX(a) FROM t WHERE b = 0)',
    );
    expect(await rows(one, 'SELECT @n, @m')).toEqual([{ '@n': 3, '@m': 4 }]);
    await one.query('DO (SELECT 1 FROM t LIMIT 1)');
    expect(await failure(one.query('SET @n = (SELECT a FROM nosuch)'))).toBe(1146);
    expect(await failure(one.query('SET @n = (SELECT a, b FROM t)'))).toBe(1241);
    expect(await value(one, 'SELECT @n')).toBe(3);
  });

  it('has assignments in the select list beside it', async () => {
    expect(await rows(one, 'SELECT @s := SUM(a) AS s FROM t')).toEqual([{ s: 6 }]);
    expect(await value(one, 'SELECT @s + 1')).toBe(7);
  });
});

describe('locks by name', () => {
  it('are of one session at a time, and go with it', async () => {
    expect(await value(one, "SELECT GET_LOCK('Migrate', 0)")).toBe(1);
    expect(await value(other, "SELECT GET_LOCK('migrate', 0)")).toBe(0);
    expect(await value(other, "SELECT IS_FREE_LOCK('migrate')")).toBe(0);
    expect(await value(other, "SELECT IS_USED_LOCK('migrate') = CONNECTION_ID()")).toBe(0);
    expect(await value(one, "SELECT IS_USED_LOCK('migrate') = CONNECTION_ID()")).toBe(1);
    expect(await value(other, "SELECT RELEASE_LOCK('migrate')")).toBe(0);
    expect(await value(other, "SELECT RELEASE_LOCK('no')")).toBeNull();
    const waiting = value(other, "SELECT GET_LOCK('migrate', 60)");
    await until('the wait', async () =>
      (await server.sql('SHOW PROCESSLIST')).some((row) => String(row['Info']).includes('60')),
    );
    await one.end();
    expect(await waiting).toBe(1);
    await other.query("DO RELEASE_LOCK('migrate')");
    expect(await value(other, "SELECT IS_FREE_LOCK('migrate')")).toBe(1);
  });

  it('are counted, and given back all at once', async () => {
    await one.query("SELECT GET_LOCK('a', 1), GET_LOCK('a', 1), GET_LOCK('b', 1)");
    expect(await value(one, "SELECT RELEASE_LOCK('a')")).toBe(1);
    expect(await value(other, "SELECT GET_LOCK('a', 0)")).toBe(0);
    expect(await value(one, 'SELECT RELEASE_ALL_LOCKS()')).toBe(2);
    expect(await value(other, "SELECT GET_LOCK('a', 0)")).toBe(1);
    expect(await failure(one.query("SELECT GET_LOCK('', 1)"))).toBe(3057);
    expect(await failure(one.query(`SELECT GET_LOCK('${'x'.repeat(65)}', 1)`))).toBe(3057);
  });

  it('end a wait at KILL, at the time limit, and where two would wait for each other', async () => {
    await one.query("SELECT GET_LOCK('p', 1)");
    await other.query("SELECT GET_LOCK('q', 1)");
    const id = await value(other, 'SELECT CONNECTION_ID()');
    const waiting = failure(other.query("SELECT GET_LOCK('p', -1)"));
    await until('the wait', async () =>
      (await server.sql('SHOW PROCESSLIST')).some((row) => String(row['Info']).includes('-1')),
    );
    expect(await failure(one.query("SELECT GET_LOCK('q', 10)"))).toBe(3058);
    await one.query(`KILL QUERY ${String(id)}`);
    expect(await waiting).toBe(1317);
    await other.query('SET max_execution_time = 20');
    expect(await failure(other.query("SELECT GET_LOCK('p', -1)"))).toBe(3024);
  });
});

describe('roles', () => {
  it('are put on and off, by the session and for its logins', async () => {
    await server.sql("CREATE ROLE 'r', 's'");
    await server.sql("GRANT SELECT_PRIV ON d.* TO ROLE 'r'");
    await server.sql("CREATE USER u IDENTIFIED BY 'x'");
    await server.sql("GRANT 'r', 's' TO u");
    const login = { user: 'u', password: 'x' };
    const user = await server.connect(login);
    const count = 'SELECT COUNT(*) FROM d.t';
    expect(await value(user, 'SELECT CURRENT_ROLE()')).toBe('`r`@`%`,`s`@`%`');
    expect(await value(user, count)).toBe(3);
    await user.query('SET ROLE NONE');
    expect(await value(user, 'SELECT CURRENT_ROLE()')).toBe('NONE');
    expect(await failure(user.query(count))).toBe(1142);
    await user.query("SET ROLE ALL EXCEPT 's'");
    expect(await value(user, count)).toBe(3);
    await user.query("SET ROLE 's'");
    expect(await failure(user.query(count))).toBe(1142);
    expect(await failure(user.query("SET ROLE 'admin'"))).toBe(3530);
    await user.query('SET ROLE DEFAULT');
    expect(await value(user, count)).toBe(3);
    await user.query("SET DEFAULT ROLE 's' TO CURRENT_USER()");
    const again = await server.connect(login);
    expect(await value(again, 'SELECT CURRENT_ROLE()')).toBe('`s`@`%`');
    expect(await failure(again.query(count))).toBe(1142);
    await again.query('SET ROLE ALL');
    expect(await value(again, count)).toBe(3);
    expect(await failure(again.query('SET DEFAULT ROLE ALL TO root'))).toBe(1227);
    await server.sql('SET DEFAULT ROLE ALL TO u');
    await again.query('SET ROLE DEFAULT');
    expect(await value(again, count)).toBe(3);
  });
});

describe('COMMIT and ROLLBACK', () => {
  const SERVER_STATUS_IN_TRANS = 1;
  const isIn = async (sql: string): Promise<boolean> => {
    const [header] = await one.query<ResultSetHeader>(sql);
    return (header.serverStatus & SERVER_STATUS_IN_TRANS) !== 0;
  };

  // PDO does not send COMMIT, but throws, when the server did not say that there is something open.
  it('are told apart by the status flag of a transaction', async () => {
    expect(await isIn('SET @a = 1')).toBe(false);
    for (const begin of ['BEGIN', 'START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY']) {
      expect(await isIn(begin)).toBe(true);
      expect(await isIn('SET @a = 1')).toBe(true);
      expect(await isIn('SAVEPOINT s')).toBe(true);
      expect(await isIn('ROLLBACK TO SAVEPOINT s')).toBe(true);
      expect(await isIn('COMMIT')).toBe(false);
    }
    expect(await isIn('BEGIN')).toBe(true);
    expect(await isIn('COMMIT AND CHAIN')).toBe(true);
    expect(await isIn('ROLLBACK')).toBe(false);
    expect(await isIn('ROLLBACK AND CHAIN')).toBe(true);
    expect(await isIn('SET autocommit = 1')).toBe(true);
    expect(await isIn('COMMIT')).toBe(false);
  });

  it('come by themselves with DDL and with a session of its own', async () => {
    await one.query('BEGIN');
    expect(await isIn('CREATE DATABASE IF NOT EXISTS d')).toBe(false);
    await one.query('BEGIN');
    await expect(one.query('DROP DATABASE nosuch')).rejects.toMatchObject({ errno: 1008 });
    expect(await isIn('SET @a = 1')).toBe(false);
    await one.query('BEGIN');
    await one.changeUser({ user: 'root', database: 'd' });
    expect(await isIn('SET @a = 1')).toBe(false);
  });

  it('a ROLLBACK behind rows that stay warns as MySQL does', async () => {
    await one.query('CREATE TABLE written LIKE t');
    await one.query('BEGIN');
    await one.query('INSERT INTO written VALUES (9, 9)');
    await one.query('ROLLBACK');
    expect(await rows(one, 'SHOW WARNINGS')).toMatchObject([{ Level: 'Warning', Code: 1196 }]);
    await one.query('ROLLBACK');
    expect(await rows(one, 'SHOW WARNINGS')).toEqual([]);
    await one.query('BEGIN');
    await one.query('INSERT INTO written SELECT a, b FROM t');
    await one.query('COMMIT');
    await one.query('ROLLBACK');
    expect(await rows(one, 'SHOW WARNINGS')).toEqual([]);
  });

  it('take AND CHAIN and RELEASE', async () => {
    await one.query('BEGIN');
    await one.query('COMMIT AND NO CHAIN NO RELEASE');
    await one.query('ROLLBACK WORK AND CHAIN');
    const ended = new Promise((resolve) => one.once('end', resolve));
    one.on('error', () => undefined);
    await one.query('COMMIT RELEASE');
    await ended;
  });
});

describe('FOUND_ROWS()', () => {
  const FOUND = 'SELECT FOUND_ROWS() AS n';

  it('is the rows of the last result, and with SQL_CALC_FOUND_ROWS those without its LIMIT', async () => {
    await rows(one, 'SELECT * FROM t WHERE a < 4 LIMIT 2');
    expect(await value(one, FOUND)).toBe(2);
    expect(await value(one, FOUND)).toBe(1);
    const all = await rows(
      one,
      'SELECT SQL_CALC_FOUND_ROWS x.*, y.* FROM t x JOIN t y ON x.a = y.a WHERE x.a IN (SELECT a FROM t WHERE a < 4 LIMIT 9) ORDER BY 1 LIMIT 1, 1',
    );
    expect(all).toHaveLength(1);
    expect(await value(one, FOUND)).toBe(3);
    await rows(one, 'SELECT SQL_CALC_FOUND_ROWS a FROM t WHERE a = 99 LIMIT 1');
    expect(await value(one, FOUND)).toBe(0);
    await rows(one, 'select sql_calc_found_rows a from t where a < 4');
    expect(await value(one, FOUND)).toBe(3);
  });

  it('counts rows that come in batches', async () => {
    const many = `WITH RECURSIVE c AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM c WHERE n < 20000) SELECT * FROM c`;
    expect(await rows(one, many)).toHaveLength(20_000);
    expect(await value(one, FOUND)).toBe(20_000);
  });
});

describe('time zones', () => {
  it('have names, and know summer time', async () => {
    await one.query("SET time_zone = 'Europe/Berlin'");
    expect(await value(one, 'SELECT @@time_zone')).toBe('Europe/Berlin');
    expect(
      await rows(
        one,
        'SELECT CAST(FROM_UNIXTIME(1782900000) AS CHAR) AS s, CAST(FROM_UNIXTIME(1767268800) AS CHAR) AS w',
      ),
    ).toEqual([{ s: '2026-07-01 12:00:00', w: '2026-01-01 13:00:00' }]);
    expect(await value(one, "SELECT UNIX_TIMESTAMP('2026-07-01 12:00:00')")).toBe(1_782_900_000);
    const minutes = await value(one, 'SELECT TIMESTAMPDIFF(MINUTE, UTC_TIMESTAMP(), NOW())');
    expect([60, 120]).toContain(minutes);
    expect(await failure(one.query("SET time_zone = 'Nowhere/Else'"))).toBe(1298);
  });
});

describe('a division by zero', () => {
  it('is NULL and a warning, unless sql_mode wants none', async () => {
    expect(await rows(one, 'SELECT a / b AS q FROM t ORDER BY a')).toMatchObject([
      { q: null },
      { q: '2.0000' },
      { q: null },
    ]);
    const warning = { Level: 'Warning', Code: 1365, Message: 'Division by 0' };
    expect(await rows(one, 'SHOW WARNINGS')).toEqual([warning, warning]);
    await one.query('SELECT 1 DIV 0');
    expect(await rows(one, 'SHOW WARNINGS')).toEqual([warning]);
    await one.query("SET sql_mode = ''");
    await one.query('SELECT 1 / 0');
    expect(await rows(one, 'SHOW WARNINGS')).toEqual([]);
  });
});

describe('information_schema', () => {
  it('has the tables of accounts and of performance_schema as well', async () => {
    const listed = await rows(
      one,
      `SELECT TABLE_SCHEMA s, TABLE_NAME t, COUNT(*) n FROM information_schema.columns
       WHERE TABLE_SCHEMA IN ('mysql', 'performance_schema') GROUP BY 1, 2 ORDER BY 1, 2`,
    );
    const tables = await rows(
      one,
      `SELECT TABLE_SCHEMA s, TABLE_NAME t FROM information_schema.tables
       WHERE TABLE_SCHEMA IN ('mysql', 'performance_schema') ORDER BY 1, 2`,
    );
    expect(tables).toEqual(listed.map(({ s, t }) => ({ s: s as string, t: t as string })));
    expect(tables.map(({ s, t }) => `${String(s)}.${String(t)}`)).toContain('mysql.user');
    expect(await rows(one, "SHOW COLUMNS FROM mysql.user LIKE 'max_%'")).toHaveLength(4);
    await server.sql("CREATE USER nobody_much IDENTIFIED BY 'x'");
    const nobody = await server.connect({ user: 'nobody_much', password: 'x' });
    const seen = await rows(
      nobody,
      "SELECT 1 FROM information_schema.tables WHERE TABLE_SCHEMA = 'mysql'",
    );
    expect(seen).toEqual([]);
  });

  it('says that it has no such table as MySQL does', async () => {
    const query = one.query('SELECT * FROM information_schema.nosuch');
    await expect(query).rejects.toMatchObject({
      errno: 1109,
      sqlState: '42S02',
      message: "Unknown table 'nosuch' in information_schema",
    });
  });
});
