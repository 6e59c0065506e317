/** What the drivers' own public tests ask of a server, as far as it takes no full MySQL. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Connection as CallbackConnection } from 'mysql2';
import { type Pool, type RowDataPacket, createPool } from 'mysql2/promise';
import { RawClient, lenencText } from '../server/mysql/raw_client.ts';
import { ServerProcess } from './server_process.ts';

let server: ServerProcess;
let pool: Pool;

beforeAll(async () => {
  server = await ServerProcess.start();
  await server.sql('CREATE DATABASE d');
  await server.sql(`CREATE TABLE d.t (id BIGINT, flag BOOLEAN, big LARGEINT, f FLOAT, x DOUBLE, price DECIMAL(30,10),
    day DATE, at DATETIME(6), name VARCHAR(200), doc JSON) DUPLICATE KEY(id) DISTRIBUTED BY HASH(id) BUCKETS 1`);
  pool = createPool({ host: '127.0.0.1', port: server.mysqlPort, user: 'root', database: 'd' });
});
afterAll(async () => {
  await pool.end();
  await server.stop();
});

describe('mysql2', () => {
  it('affected rows, info and warnings of an INSERT', async () => {
    const [result] = await pool.query("INSERT INTO t (id, name) VALUES (1, 'a'), (2, 'b')");
    expect(result).toMatchObject({ affectedRows: 2, insertId: 0, warningStatus: 0 });
    expect(result).not.toHaveProperty('columns');
  });

  it('an object as a row: INSERT ... SET', async () => {
    await pool.query('CREATE TABLE s LIKE t');
    const row = { id: 77, name: "O'Neill; --", price: '1.5000000000', day: null };
    const [result] = await pool.query('INSERT INTO s SET ?', [row]);
    expect(result).toMatchObject({ affectedRows: 1 });
    await pool.execute('INSERT INTO s SET id = ?, flag = ?, name = DEFAULT', [78, 1]);
    const [rows] = await pool.query('SELECT id, flag, name, price, day FROM s ORDER BY id');
    expect(rows).toEqual([
      { ...row, flag: null },
      { id: 78, flag: 1, name: null, price: null, day: null },
    ]);
    const unknown = pool.query('INSERT INTO s SET ?', [{ nothing: 1 }]);
    await expect(unknown).rejects.toMatchObject({ errno: 1054 });
    const twice = pool.query('INSERT INTO s SET id = 1, id = 2');
    await expect(twice).rejects.toMatchObject({ errno: 1110 });
  });

  it('NULL in every column, as text and in binary', async () => {
    for (const [rows] of [
      await pool.query('SELECT * FROM t WHERE id = 1'),
      await pool.execute('SELECT * FROM t WHERE id = 1'),
    ]) {
      const [row] = rows as RowDataPacket[];
      const nulls = Object.entries(row ?? {}).filter(([, value]) => value === null);
      expect(nulls.map(([name]) => name)).toEqual([
        'flag',
        'big',
        'f',
        'x',
        'price',
        'day',
        'at',
        'doc',
      ]);
    }
  });

  it('the same values in both protocols, at the edges of their types', async () => {
    await pool.query(`INSERT INTO t VALUES
      (9223372036854775807, 1, '170141183460469231731687303715884105727', 1.5, 1.7976931348623157e308,
       '99999999999999999999.9999999999', '9999-12-31', '9999-12-31 23:59:59.999999', '\\u{1F600} ß \\\\ '' "', '{"a":[1,null]}'),
      (-9223372036854775808, 0, '-170141183460469231731687303715884105728', -0.25, 5e-324,
       '-0.0000000001', '0001-01-01', '1000-01-01 00:00:00.000001', '', 'null')`);
    const options = { supportBigNumbers: true, bigNumberStrings: true, dateStrings: true };
    const sql = 'SELECT * FROM t WHERE id > 2 OR id < 0 ORDER BY id';
    const session = await server.connect({ database: 'd', ...options });
    const [text] = await session.query(sql);
    const [binary] = await session.execute(sql);
    expect(binary).toEqual(text);
    expect(text).toHaveLength(2);
    expect((text as RowDataPacket[])[1]).toMatchObject({
      id: '9223372036854775807',
      big: '170141183460469231731687303715884105727',
      price: '99999999999999999999.9999999999',
      day: '9999-12-31',
      at: '9999-12-31 23:59:59.999999',
    });
    await session.end();
  });

  it('rows as arrays, nested tables, named placeholders', async () => {
    const [arrays] = await pool.query({
      sql: 'SELECT id, name FROM t WHERE id = 1',
      rowsAsArray: true,
    });
    expect(arrays).toEqual([[1, 'a']]);
    const [nested] = await pool.query({
      sql: 'SELECT a.id, b.name FROM t a JOIN t b ON a.id = b.id WHERE a.id = 1',
      nestTables: true,
    });
    expect(nested).toEqual([{ a: { id: 1 }, b: { name: 'a' } }]);
    const session = await server.connect({ namedPlaceholders: true });
    const [named] = await session.execute('SELECT :x AS x, :y AS y, :x AS z', { x: 1, y: 'b' });
    expect(named).toEqual([{ x: 1, y: 'b', z: 1 }]);
    await session.end();
  });

  it('a statement is prepared once and run often, and closed when there are too many', async () => {
    const session = await server.connect({ maxPreparedStatements: 3 });
    for (let n = 0; n < 20; n += 1) {
      const [rows] = await session.execute(`SELECT ? + ${n % 7} AS n`, [n]);
      expect(rows).toEqual([{ n: n + (n % 7) }]);
    }
    session.unprepare('SELECT ? + 1 AS n');
    expect((await session.execute('SELECT ? + 1 AS n', [1]))[0]).toEqual([{ n: 2 }]);
    await session.end();
  });

  it('a stream of rows that is paused', async () => {
    const session = await server.connect();
    const { connection } = session as unknown as { connection: CallbackConnection };
    const stream = connection
      .query(
        'SELECT a.TABLE_NAME FROM information_schema.COLUMNS a JOIN information_schema.ENGINES b',
      )
      .stream({ highWaterMark: 5 });
    let count = 0;
    for await (const _ of stream) count += 1;
    const row = await server.row('SELECT COUNT(*) * 2 AS n FROM information_schema.COLUMNS');
    expect(count).toBe(row['n']);
    await session.end();
  });

  it('a pool of connections at once, each its own session', async () => {
    const many = createPool({
      host: '127.0.0.1',
      port: server.mysqlPort,
      user: 'root',
      connectionLimit: 20,
    });
    const answers = await Promise.all(
      Array.from({ length: 200 }, async (_, n) => {
        const connection = await many.getConnection();
        await connection.query('SET @n = ?', [n]);
        const [rows] = await connection.query('SELECT @n AS n, CONNECTION_ID() AS c');
        connection.release();
        return (rows as RowDataPacket[])[0];
      }),
    );
    expect(answers.map((row) => row?.['n'] as number)).toEqual(
      Array.from({ length: 200 }, (_, n) => n),
    );
    expect(new Set(answers.map((row) => row?.['c'] as number)).size).toBeLessThanOrEqual(20);
    await many.end();
  });

  it('an error does not end the connection, nor what is behind it', async () => {
    const session = await server.connect({ multipleStatements: true });
    const settled = await Promise.allSettled([
      session.query('SELECT 1 AS a'),
      session.query('SELEC'),
      session.query('SELECT 2 AS a; SELECT nosuch; SELECT 3'),
      session.execute('SELECT 4 AS a'),
    ]);
    expect(settled.map(({ status }) => status)).toEqual([
      'fulfilled',
      'rejected',
      'rejected',
      'fulfilled',
    ]);
    await session.end();
  });

  it('resets a session and changes its user', async () => {
    await server.sql("CREATE USER u IDENTIFIED BY 'secret'");
    const session = await server.connect({ database: 'd' });
    await session.query("SET @a = 1, sql_mode = 'ANSI'");
    await session.reset();
    expect((await session.query("SELECT @a AS a, @@sql_mode LIKE '%ANSI%' AS m"))[0]).toEqual([
      { a: null, m: 0 },
    ]);
    await session.changeUser({ user: 'u', password: 'secret', database: 'information_schema' });
    expect((await session.query('SELECT CURRENT_USER() AS u, DATABASE() AS d'))[0]).toEqual([
      { u: 'u@%', d: 'information_schema' },
    ]);
    await session.end();
  });
});

describe('go-sql-driver', () => {
  it('asks for the largest packet when it connects', async () => {
    expect(await server.row('SELECT @@max_allowed_packet AS n')).toEqual({ n: 67_108_864 });
  });

  it('binds hundreds of values with NULLs among them', async () => {
    const values = Array.from({ length: 700 }, (_, n) => (n % 3 === 0 ? null : n));
    const [rows] = await pool.execute(
      `SELECT ${values.map((_, n) => `? AS c${n}`).join(', ')}`,
      values,
    );
    expect(Object.values((rows as RowDataPacket[])[0] ?? {})).toEqual(values);
  });

  it('sends large values in pieces', async () => {
    const client = await RawClient.loggedIn(server.mysqlPort);
    client.command(0x16, 'SELECT LENGTH(?) AS n');
    const { id } = await client.readPrepared();
    const head = Buffer.alloc(6);
    head.writeUInt32LE(id);
    for (let piece = 0; piece < 20; piece += 1) {
      client.command(0x18, Buffer.concat([head, Buffer.alloc(100_000, 'x')]));
    }
    const execution = Buffer.concat([head.subarray(0, 4), Buffer.of(0, 1, 0, 0, 0, 0, 1, 0xfe, 0)]);
    client.command(0x17, execution);
    expect((await client.readResult({ binary: true })).rows).toHaveLength(1);
    client.destroy();
  });

  it('reads results of several statements to the last, whatever each is', async () => {
    const session = await server.connect({ multipleStatements: true, database: 'd' });
    const [results] = await session.query(
      'SELECT 1 AS a; SET @x = 1; INSERT INTO t (id) VALUES (77); SELECT id FROM t WHERE id = 77; SELECT 1 FROM t WHERE 1 = 0',
    );
    expect(results).toMatchObject([
      [{ a: 1 }],
      { affectedRows: 0 },
      { affectedRows: 1 },
      [{ id: 77 }],
      [],
    ]);
    await session.end();
  });

  it('is refused a wrong password and an unknown user in the same words', async () => {
    const messages = await Promise.all(
      ['u', 'nobody'].map(async (user) => {
        const client = await RawClient.connect(server.mysqlPort);
        const { errno, message } = await client.logIn({ user, password: 'wrong' });
        client.destroy();
        return `${errno} ${message.replace(`'${user}'`, 'NAME')}`;
      }),
    );
    expect(new Set(messages).size).toBe(1);
    expect(messages[0]).toContain('1045');
  });

  it('is not confused by names and values of any length', async () => {
    const name = 'n'.repeat(64);
    await server.sql(`CREATE DATABASE \`${name}\``);
    const session = await server.connect({ database: name });
    expect((await session.query('SELECT DATABASE() AS d'))[0]).toEqual([{ d: name }]);
    for (const length of [0, 1, 250, 251, 252, 65_535, 65_536, 70_000]) {
      const [rows] = await session.query('SELECT ? AS v', ['v'.repeat(length)]);
      expect((rows as RowDataPacket[])[0]?.['v']).toHaveLength(length);
    }
    expect(lenencText('x'.repeat(251))).toHaveLength(254);
    await session.end();
  });
});
