/** Prepared statements with real statements behind them, as the mysql2 package sends them. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Connection } from 'mysql2/promise';
import { ServerProcess } from './server_process.ts';

let server: ServerProcess;
let connection: Connection;

beforeAll(async () => {
  server = await ServerProcess.start();
  await server.sql('CREATE DATABASE d');
  await server.sql(`CREATE TABLE d.t (id INT, big BIGINT, price DECIMAL(10,2), name STRING,
    day DATE, at DATETIME(3)) DUPLICATE KEY(id) DISTRIBUTED BY HASH(id) BUCKETS 2`);
  connection = await server.connect({ database: 'd', dateStrings: true, supportBigNumbers: true });
});
afterAll(async () => {
  await connection.end();
  await server.stop();
});

async function failure(sql: string, values: unknown[] = []): Promise<number> {
  try {
    await connection.execute(sql, values as string[]);
  } catch (error) {
    return (error as { errno?: number }).errno ?? 0;
  }
  throw new Error('no error');
}

describe('prepared statements', () => {
  it('INSERT and SELECT with values of every kind', async () => {
    const insert = 'INSERT INTO t VALUES (?, ?, ?, ?, ?, ?)';
    const rows = [
      [
        1,
        '9007199254740993',
        '12.50',
        'it\'s \\ "quoted" `é` \u0000 ;--',
        '2026-11-22',
        '2026-11-22 01:02:03.5',
      ],
      [-2, null, null, '', null, null],
    ];
    for (const row of rows) await connection.execute(insert, row);
    const [found] = await connection.execute(
      'SELECT * FROM t WHERE id = ? OR name = ? ORDER BY id',
      [1, ''],
    );
    expect(found).toEqual([
      { id: -2, big: null, price: null, name: '', day: null, at: null },
      {
        id: 1,
        big: '9007199254740993',
        price: '12.50',
        name: 'it\'s \\ "quoted" `é` \u0000 ;--',
        day: '2026-11-22',
        at: '2026-11-22 01:02:03.500',
      },
    ]);
  });

  it('LIMIT, IN, LIKE and expressions', async () => {
    const [rows] = await connection.execute(
      'SELECT id + ? AS n FROM t WHERE id IN (?, ?) AND name LIKE ? LIMIT ?',
      [10, 1, 5, 'it%', '1'],
    );
    expect(rows).toEqual([{ n: 11 }]);
  });

  it('what a value holds never becomes part of the statement', async () => {
    const evil = "x' OR '1'='1";
    expect((await connection.execute('SELECT id FROM t WHERE name = ?', [evil]))[0]).toEqual([]);
    const [rows] = await connection.execute(
      "SELECT ? AS a, '?' AS b, `id` AS `c?` FROM t LIMIT 1 -- ?",
      ['\\'],
    );
    expect(rows).toMatchObject([{ a: '\\', b: '?' }]);
    const other = await server.connect({ database: 'd' });
    await other.query("SET sql_mode = 'NO_BACKSLASH_ESCAPES'");
    expect((await other.execute('SELECT ? AS a', ["\\' OR 1=1 -- "]))[0]).toEqual([
      { a: "\\' OR 1=1 -- " },
    ]);
    await other.end();
  });

  it('SHOW, information_schema and our own statements', async () => {
    const [tables] = await connection.execute(
      'SELECT table_name AS n FROM information_schema.tables WHERE table_schema = ?',
      ['d'],
    );
    expect(tables).toEqual([{ n: 't' }]);
    expect(
      (await connection.execute('SHOW WARM UP JOB WHERE DstComputeGroup = ?', ['x']))[0],
    ).toEqual([]);
    const [job] = await connection.execute('WARM UP COMPUTE GROUP read_group WITH TABLE d.t');
    expect(job).toMatchObject([{ JobId: expect.stringMatching(/^\d+$/) }]);
  });

  it('tells columns of a SELECT before it ran', async () => {
    const prepared = await connection.prepare('SELECT id, name, ? AS x FROM t');
    const { statement } = prepared as unknown as {
      statement: { columns: { name: string }[]; parameters: unknown[] };
    };
    expect(statement.columns.map(({ name }) => name)).toEqual(['id', 'name', 'x']);
    expect(statement.parameters).toHaveLength(1);
    await prepared.close();
  });

  it('what only an execution would notice is told at prepare', async () => {
    const fails = async (sql: string): Promise<unknown> => {
      try {
        await connection.prepare(sql);
        return 0;
      } catch (error) {
        return (error as { errno?: number }).errno;
      }
    };
    expect(await fails('SELECT nosuch FROM t WHERE id = ?')).toBe(1054);
    expect(await fails('SELECT nosuch')).toBe(1054);
    expect(await fails('SELECT t.id FROM t JOIN t u ON t.id = u.id WHERE u.nosuch = ?')).toBe(1054);
    expect(await fails('SELECT COUNT(*) c FROM t GROUP BY id HAVING c > ? ORDER BY 9')).toBe(1054);
  });

  it('lists tell their columns when they are prepared, as ODBC asks for them', async () => {
    const names = async (sql: string): Promise<string[]> => {
      const prepared = await connection.prepare(sql);
      const { statement } = prepared as unknown as { statement: { columns: { name: string }[] } };
      await prepared.close();
      return statement.columns.map(({ name }) => name);
    };
    expect(await names('SHOW TABLES')).toEqual(['Tables_in_d']);
    expect(await names('SHOW FULL TABLES FROM `d` LIKE ?')).toHaveLength(2);
    expect(await names('DESCRIBE `d`.`t`')).toContain('Field');
    expect(await names('SELECT ?, LENGTH(?) FROM t')).toEqual(['?', 'LENGTH(?)']);
  });

  it('dates keep their type, columns their name', async () => {
    const [rows, fields] = await connection.execute('SELECT ? AS d, LENGTH(?) FROM t LIMIT 1', [
      new Date(Date.UTC(2026, 10, 22, 1, 2, 3)),
      'four',
    ]);
    expect(fields.map(({ name, type }) => [name, type])).toEqual([
      ['d', 12],
      ['LENGTH(?)', 8],
    ]);
    expect(rows).toHaveLength(1);
  });

  it('errors come at prepare when they can', async () => {
    expect(await failure('SELEC 1')).toBe(1064);
    expect(await failure('SELECT * FROM nosuch WHERE a = ?', [1])).toBe(1146);
    expect(await failure('SELECT 1; SELECT 2')).toBe(1064);
    expect(await failure('SHOW TABLES FROM nosuch')).toBe(1049);
    expect((await connection.execute('SELECT 1 AS a'))[0]).toEqual([{ a: 1 }]);
  });
});

describe('PREPARE of SQL', () => {
  it('runs with user variables, again and again', async () => {
    const session = await server.connect({ database: 'd' });
    await session.query("PREPARE s FROM 'SELECT ? + 1 AS n, ? AS t'");
    await session.query("SET @a = 41, @b = 'it''s'");
    const [rows] = await session.query('EXECUTE s USING @a, @b');
    expect(rows).toEqual([{ n: 42, t: "it's" }]);
    await session.query('SET @a = 1');
    expect((await session.query('EXECUTE S USING @a, @a'))[0]).toEqual([{ n: 2, t: 1 }]);
    await session.query("SET @text = 'SHOW DATABASES LIKE ''d'''");
    await session.query('PREPARE s FROM @text');
    expect((await session.query('EXECUTE s'))[0]).toEqual([{ 'Database (d)': 'd' }]);
    await session.query('DEALLOCATE PREPARE s');
    await session.end();
  });

  it('is bounded in number and in bytes', async () => {
    const session = await server.connect({ database: 'd' });
    await server.sql('SET GLOBAL max_prepared_stmt_count = 2');
    await session.query("PREPARE a FROM 'SELECT 1'");
    await session.query("PREPARE b FROM 'SELECT 1'");
    const full = { errno: 1461, message: expect.stringContaining('limit 2') as unknown };
    await expect(session.query("PREPARE c FROM 'SELECT 1'")).rejects.toMatchObject(full);
    await session.query("PREPARE b FROM 'SELECT 2'");
    await server.sql('SET GLOBAL max_prepared_stmt_count = DEFAULT');
    await session.query(`SET @text = CONCAT('SELECT ''', REPEAT('x', 1000000), '''')`);
    const prepareAll = async (): Promise<void> => {
      for (let at = 0; at < 20; at += 1) await session.query(`PREPARE p${at} FROM @text`);
    };
    await expect(prepareAll()).rejects.toMatchObject({
      errno: 1461,
      message: expect.stringContaining('bytes a session') as unknown,
    });
    await session.end();
  });

  it('what is wrong has the number MySQL has for it', async () => {
    const session = await server.connect({ database: 'd' });
    const errno = async (sql: string): Promise<unknown> => {
      const error = await session.query(sql).then(
        () => undefined,
        (reason: unknown) => reason,
      );
      return (error as { errno?: number } | undefined)?.errno;
    };
    expect(await errno('EXECUTE nosuch')).toBe(1243);
    expect(await errno('DROP PREPARE nosuch')).toBe(1243);
    expect(await errno("PREPARE s FROM 'SELEC 1'")).toBe(1064);
    expect(await errno("PREPARE s FROM 'SELECT 1; SELECT 2'")).toBe(1064);
    expect(await errno("PREPARE s FROM 'EXECUTE s'")).toBe(1295);
    expect(await errno("PREPARE s FROM 'SELECT ?'")).toBeUndefined();
    expect(await errno('EXECUTE s')).toBe(1210);
    await session.query('SET @x = 1');
    expect(await errno('EXECUTE s USING @x')).toBeUndefined();
    await session.changeUser({ user: 'root' });
    expect(await errno('EXECUTE s USING @x')).toBe(1243);
    await session.end();
  });
});
