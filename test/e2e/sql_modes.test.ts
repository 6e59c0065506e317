/** What sql_mode says of quotes, backslashes and `||`, in all kinds of statements. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Connection, ResultSetHeader, RowDataPacket } from 'mysql2/promise';
import { ServerProcess } from './server_process.ts';

const SERVER_STATUS_NO_BACKSLASH_ESCAPES = 0x200;

let server: ServerProcess;
let session: Connection;

beforeAll(async () => {
  server = await ServerProcess.start();
  await server.sql('CREATE DATABASE d');
  await server.sql(
    "CREATE TABLE d.t (a INT, s STRING COMMENT 'x') DISTRIBUTED BY HASH(a) BUCKETS 1",
  );
});
afterAll(async () => {
  await server.stop();
});
beforeEach(async () => {
  session = await server.connect({ database: 'd' });
});

async function rows(sql: string): Promise<unknown[][]> {
  const [found] = await session.query<RowDataPacket[][]>({ sql, rowsAsArray: true });
  return found;
}

describe('NO_BACKSLASH_ESCAPES', () => {
  it('is in the status flags: clients escape by it', async () => {
    const status = async (mode: string): Promise<number> => {
      const [header] = await session.query<ResultSetHeader>(`SET sql_mode = '${mode}'`);
      return header.serverStatus & SERVER_STATUS_NO_BACKSLASH_ESCAPES;
    };
    expect(await status('NO_BACKSLASH_ESCAPES')).not.toBe(0);
    expect(await status('ANSI_QUOTES')).toBe(0);
    expect(await status('')).toBe(0);
  });

  it('makes a backslash a character, also outside queries', async () => {
    await session.query("SET sql_mode = 'NO_BACKSLASH_ESCAPES'");
    const text = String.raw`a\nb\'' c\\`;
    await session.query(`INSERT INTO t VALUES (1, '${text}'), (2, 'end\\')`);
    await session.query(`INSERT INTO t SELECT 3, '${text}'`);
    const kept = text.replace("''", "'");
    expect(await rows('SELECT s FROM t WHERE a < 4 ORDER BY a')).toEqual([
      [kept],
      [String.raw`end\ `.trim()],
      [kept],
    ]);
    await session.query(String.raw`SET @v = 'y\'`);
    expect(await rows('SELECT @v')).toEqual([[String.raw`y\ `.trim()]]);
    await session.query(String.raw`ALTER TABLE t MODIFY COLUMN s STRING COMMENT 'c:\d\'`);
    expect(await rows("SHOW FULL COLUMNS FROM t LIKE 's'")).toMatchObject([
      ['s', 'text', expect.anything(), 'YES', '', null, '', expect.anything(), 'c:\\d\\'],
    ]);
    // Placeholders behind a string that ends with a backslash, by PREPARE and by the protocol.
    await session.query(String.raw`SET @sql = 'SELECT ''x\'' AS x, ? AS y', @one = 1`);
    await session.query('PREPARE p FROM @sql');
    expect(await rows('EXECUTE p USING @one')).toEqual([['x\\', 1]]);
    const [executed] = await session.execute<RowDataPacket[]>(
      String.raw`SELECT 'x\' AS x, ? AS y`,
      ['it\\'],
    );
    expect(executed).toEqual([{ x: 'x\\', y: 'it\\' }]);
  });

  it('of one session is not another one', async () => {
    await session.query("SET sql_mode = 'NO_BACKSLASH_ESCAPES,ANSI_QUOTES'");
    const sql = String.raw`SHOW VARIABLES LIKE 'max\_connections'`;
    expect(await rows(sql)).toHaveLength(1);
    await session.query(`SHOW COLUMNS FROM "t"`);
    await expect(server.sql('SHOW COLUMNS FROM d."t"')).rejects.toMatchObject({ errno: 1064 });
    expect(await server.sql(sql)).toHaveLength(1);
  });
});

describe('ANSI_QUOTES', () => {
  it('makes "x" a name in every statement', async () => {
    await session.query("SET sql_mode = 'ANSI_QUOTES'");
    await session.query(`CREATE TABLE "d"."odd""name" ("k" INT, "v" INT) DUPLICATE KEY("k")
      DISTRIBUTED BY HASH("k") BUCKETS 1 PROPERTIES ('file_cache_ttl_seconds' = '60')`);
    await session.query(`INSERT INTO "odd""name" ("k") VALUES (1), (2)`);
    expect(await rows(`SELECT "k" FROM "odd""name" AS "n" ORDER BY "n"."k"`)).toEqual([[1], [2]]);
    expect(await rows(`DESC "odd""name"`)).toHaveLength(2);
    expect(await rows(`SHOW CREATE TABLE "d"."odd""name"`)).toHaveLength(1);
    expect(await rows(`SHOW TABLES FROM "d" LIKE 'odd%'`)).toEqual([['odd"name']]);
    await session.query(`DROP TABLE "odd""name"`);
    // A string in single quotes may hold them.
    expect(await rows(`SHOW TABLES LIKE '"'`)).toEqual([]);
  });
});

describe('PIPES_AS_CONCAT', () => {
  it('joins texts, and binds as MySQL says', async () => {
    const sql = "SELECT 'a' || 1 || NULL AS n, 'a' || 1 + 1 AS s, 1 = 1 || '' AS c";
    expect(await rows(sql)).toEqual([[1, 1, 1]]);
    await session.query("SET sql_mode = 'PIPES_AS_CONCAT'");
    expect(await rows(sql)).toEqual([[null, 1, 1]]);
    await session.query("SET sql_mode = 'ANSI'");
    expect(
      await rows(`SELECT "a" || '-' || "s" FROM (SELECT 7 AS "a", 'x' AS "s") AS "q"`),
    ).toEqual([['7-x']]);
  });
});
