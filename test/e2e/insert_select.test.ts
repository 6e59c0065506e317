/** INSERT ... SELECT and RENAME TABLE. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { ServerProcess } from './server_process.ts';

let server: ServerProcess;

beforeAll(async () => {
  server = await ServerProcess.start();
  await server.sql('CREATE DATABASE d');
  await server.sql('USE d');
  await server.sql(`CREATE TABLE a (id INT NOT NULL, name VARCHAR(10), price DECIMAL(10,2), at DATETIME,
    big LARGEINT, ok BOOLEAN, x DOUBLE) DISTRIBUTED BY HASH(id) BUCKETS 2`);
  await server.sql('CREATE TABLE b LIKE a');
  await server.sql(`INSERT INTO a VALUES (1, 'one', 1.25, '2026-01-02 03:04:05', 170141183460469231731687303715884105727, 1, 0.5),
    (2, NULL, NULL, NULL, NULL, NULL, NULL)`);
});
afterAll(async () => {
  await server.stop();
});

async function errnoOf(sql: string): Promise<number> {
  try {
    await server.sql(sql);
    return 0;
  } catch (error) {
    return (error as { errno: number }).errno;
  }
}

describe('INSERT ... SELECT', () => {
  it('copies values of all types', async () => {
    await server.sql('INSERT INTO b SELECT * FROM a');
    expect(await server.sql('SELECT ROW_COUNT() AS n')).toEqual([{ n: 2 }]);
    expect(await server.sql('SELECT * FROM b ORDER BY id')).toEqual(
      await server.sql('SELECT * FROM a ORDER BY id'),
    );
  });

  it('takes columns, a label, parentheses, WITH, and its own table', async () => {
    await server.sql('TRUNCATE TABLE b');
    await server.sql("INSERT INTO b WITH LABEL l2 (id, name) (SELECT id + 20, 'p' FROM a)");
    await server.sql(
      'INSERT INTO b (id) WITH c AS (SELECT MAX(id) AS m FROM b) SELECT m + 1 FROM c',
    );
    expect(await server.sql('SELECT id, name FROM b ORDER BY id')).toEqual([
      { id: 21, name: 'p' },
      { id: 22, name: 'p' },
      { id: 23, name: null },
    ]);
    const [load] = await server.sql("SHOW LOAD WHERE Label = 'l2'");
    expect(load?.['State']).toBe('FINISHED');
    await server.sql('INSERT INTO b (id) SELECT id FROM b WHERE id > 1000');
  });

  it('inserts all or nothing, and says what is wrong', async () => {
    const [before] = await server.sql('SELECT COUNT(*) AS n FROM b');
    expect(await errnoOf('INSERT INTO b (id) SELECT id, name FROM a')).toBe(1136);
    expect(await errnoOf('INSERT INTO b (id) SELECT NULL')).toBe(1048);
    expect(await errnoOf("INSERT INTO b (id) SELECT 'x' UNION SELECT 5")).toBe(1366);
    expect(await errnoOf('INSERT INTO b (id) SELECT nosuch FROM a')).toBe(1054);
    expect(await errnoOf('INSERT INTO nosuch SELECT 1')).toBe(1146);
    expect(await errnoOf('INSERT IGNORE INTO b SELECT * FROM a')).toBe(1235);
    await server.sql("ADMIN SET FRONTEND CONFIG ('max_allowed_packet' = '10KB')");
    expect(
      await errnoOf(
        "INSERT INTO b (id) SELECT a.id FROM a, (SELECT REPEAT('x', 9000) AS y) z WHERE LENGTH(y) > 1",
      ),
    ).toBe(0);
    const many =
      'WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 5000) SELECT n FROM r';
    expect(await errnoOf(`INSERT INTO b (id) ${many}`)).toBe(1105);
    const [after] = await server.sql('SELECT COUNT(*) AS n FROM b');
    expect(Number(after?.['n'])).toBe(Number(before?.['n']) + 2);
  });
});

describe('RENAME TABLE', () => {
  it('lets tables change places', async () => {
    const [a] = await server.sql('SELECT COUNT(*) AS n FROM a');
    const [b] = await server.sql('SELECT COUNT(*) AS n FROM b');
    await server.sql('RENAME TABLE a TO tmp, d.b TO a, tmp TO b');
    expect(await server.sql('SELECT COUNT(*) AS n FROM a')).toEqual([b]);
    expect(await server.sql('SELECT COUNT(*) AS n FROM b')).toEqual([a]);
  });

  it('renames all or none', async () => {
    expect(await errnoOf('RENAME TABLE a TO c, b TO c')).toBe(1050);
    expect(await errnoOf('RENAME TABLE a TO other.c')).toBe(1235);
    expect(await errnoOf('RENAME TABLE nosuch TO c')).toBe(1146);
    const tables = await server.sql('SHOW TABLES');
    expect(tables.map((row) => Object.values(row)[0])).toEqual(['a', 'b']);
  });
});
