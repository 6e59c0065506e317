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

  it('errors come at prepare when they can', async () => {
    expect(await failure('SELEC 1')).toBe(1064);
    expect(await failure('SELECT * FROM nosuch WHERE a = ?', [1])).toBe(1146);
    expect(await failure('SELECT 1; SELECT 2')).toBe(1064);
    expect(await failure('SHOW TABLES FROM nosuch')).toBe(1049);
    expect((await connection.execute('SELECT 1 AS a'))[0]).toEqual([{ a: 1 }]);
  });
});
