/** Users and privileges, end to end: the mysql program, mysql2, HTTP. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Connection } from 'mysql2/promise';
import { missingPrograms } from '../clients/programs.ts';
import { mysqlProgram } from './mysql_program.ts';
import { type Row, ServerProcess } from './server_process.ts';

const withProgram = missingPrograms(['mysql']) === undefined ? it : it.skip;

let server: ServerProcess;

beforeAll(async () => {
  server = await ServerProcess.start();
  await server.sql('CREATE DATABASE d');
  await server.sql('CREATE TABLE d.t (a INT) DISTRIBUTED BY HASH(a) BUCKETS 1');
  await server.sql('CREATE TABLE d.u LIKE d.t');
  await server.sql('INSERT INTO d.t VALUES (1), (2)');
  await server.sql("CREATE USER reader IDENTIFIED BY 'Secret.1'");
  await server.sql('GRANT SELECT_PRIV ON d.t TO reader');
});
afterAll(async () => {
  await server.stop();
});

const AS_READER = ['-ureader', '-pSecret.1'];

/** The error's number and text; empty: there was none. */
async function failure(connection: Connection, sql: string): Promise<string> {
  try {
    await connection.query(sql);
    return '';
  } catch (error) {
    const { errno, message } = error as { errno: number; message: string };
    return `${errno} ${message}`;
  }
}

async function rows(connection: Connection, sql: string): Promise<Row[]> {
  const [result] = await connection.query<Row[]>(sql);
  return result;
}

describe('a user', () => {
  withProgram('reads what it was given, and nothing else (mysql)', async () => {
    const read = await mysqlProgram(server.mysqlPort, 'SELECT COUNT(*) FROM d.t', AS_READER);
    expect(read).toEqual({ code: 0, output: 'COUNT(*)\n2\n' });
    const denied = await mysqlProgram(server.mysqlPort, 'SELECT * FROM d.u', AS_READER);
    expect(denied.code).toBe(1);
    expect(denied.output).toContain(
      "ERROR 1142 (42000) at line 1: SELECT command denied to user 'reader'@'127.0.0.1' for table 'u'",
    );
    const wrong = await mysqlProgram(server.mysqlPort, 'SELECT 1', ['-ureader', '-pwrong']);
    expect(wrong.code).toBe(1);
    expect(wrong.output).toContain('ERROR 1045 (28000)');
    const database = await mysqlProgram(server.mysqlPort, 'SELECT 1', [...AS_READER, '-Dmysql']);
    expect(database.output).toContain('ERROR 1044 (42000)');
  });

  it('has what it was given from the next statement on, and has it no more when it was taken', async () => {
    const reader = await server.connect({ user: 'reader', password: 'Secret.1' });
    expect(await failure(reader, 'INSERT INTO d.u VALUES (1)')).toBe(
      "1142 INSERT command denied to user 'reader'@'127.0.0.1' for table 'u'",
    );
    await server.sql("GRANT INSERT ON d.* TO 'reader'");
    expect(await failure(reader, 'INSERT INTO d.u VALUES (1)')).toBe('');
    await server.sql("REVOKE INSERT ON d.* FROM 'reader'");
    expect(await failure(reader, 'INSERT INTO d.u VALUES (1)')).toMatch(/^1142 /);
    expect(await rows(reader, 'SELECT CURRENT_USER() AS a, USER() AS b')).toEqual([
      { a: 'reader@%', b: 'reader@127.0.0.1' },
    ]);
  });

  it('can do nothing more when it is dropped', async () => {
    await server.sql("CREATE USER gone IDENTIFIED BY 'x'");
    await server.sql('GRANT ALL ON *.* TO gone');
    const gone = await server.connect({ user: 'gone', password: 'x' });
    expect(await failure(gone, 'SELECT * FROM d.t')).toBe('');
    await server.sql('DROP USER gone');
    expect(await failure(gone, 'SELECT * FROM d.t')).toMatch(/^1142 /);
    await expect(server.connect({ user: 'gone', password: 'x' })).rejects.toMatchObject({
      errno: 1045,
    });
  });

  it('may change its own password and no other', async () => {
    await server.sql("CREATE USER own IDENTIFIED BY 'first'");
    const own = await server.connect({ user: 'own', password: 'first' });
    expect(await failure(own, "SET PASSWORD FOR root = 'mine'")).toMatch(/^1227 /);
    expect(await failure(own, "ALTER USER root IDENTIFIED BY 'mine'")).toMatch(/^1227 /);
    expect(await failure(own, "SET PASSWORD = 'second'")).toBe('');
    await expect(server.connect({ user: 'own', password: 'first' })).rejects.toMatchObject({
      errno: 1045,
    });
    await server.connect({ user: 'own', password: 'second' });
  });

  it('keeps its rights over a restart', async () => {
    await server.restart();
    const reader = await server.connect({ user: 'reader', password: 'Secret.1' });
    expect(await rows(reader, 'SELECT COUNT(*) AS n FROM d.t')).toEqual([{ n: 2 }]);
    expect(await failure(reader, 'SELECT * FROM d.u')).toMatch(/^1142 /);
  });
});

describe('lists', () => {
  const listed = async (connection: Connection, sql: string): Promise<unknown[]> =>
    (await rows(connection, sql)).map((row) => Object.values(row)[0]);

  it('have what the user may see', async () => {
    const reader = await server.connect({ user: 'reader', password: 'Secret.1', database: 'd' });
    expect(
      await listed(
        reader,
        "SHOW DATABASES WHERE `Database` NOT IN ('information_schema', 'performance_schema')",
      ),
    ).toEqual(['d']);
    expect(await listed(reader, 'SHOW TABLES')).toEqual(['t']);
    expect(await listed(reader, 'SHOW TABLE STATUS')).toEqual(['t']);
    expect(
      await listed(
        reader,
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'd'",
      ),
    ).toEqual(['t']);
    expect(
      await listed(
        reader,
        "SELECT table_name FROM information_schema.columns WHERE table_schema = 'd'",
      ),
    ).toEqual(['t']);
    expect(await listed(reader, 'SHOW COMPUTE GROUPS')).toEqual([]);
    expect(await listed(reader, 'SHOW BACKENDS')).toEqual([]);
    // Its own connections, and no others.
    const users = async (connection: Connection): Promise<unknown[]> => [
      ...new Set((await rows(connection, 'SHOW PROCESSLIST')).map((row) => row['User'])),
    ];
    expect(await users(reader)).toEqual(['reader']);
    expect(await users(await server.connect())).toEqual(expect.arrayContaining(['reader', 'root']));
  });

  it('of grants are those of MySQL', async () => {
    const reader = await server.connect({ user: 'reader', password: 'Secret.1' });
    expect(await listed(reader, 'SHOW GRANTS FOR CURRENT_USER()')).toEqual([
      "GRANT USAGE ON *.* TO 'reader'@'%'",
      "GRANT SELECT ON `d`.`t` TO 'reader'@'%'",
    ]);
    expect(await failure(reader, 'SHOW GRANTS FOR root')).toMatch(/^1227 /);
    const privileges = 'SELECT grantee, table_schema, table_name, privilege_type FROM';
    expect(await rows(reader, `${privileges} information_schema.table_privileges`)).toEqual([
      { grantee: "'reader'@'%'", table_schema: 'd', table_name: 't', privilege_type: 'SELECT' },
    ]);
    expect(
      await rows(reader, 'SELECT grantee, privilege_type FROM information_schema.user_privileges'),
    ).toEqual([{ grantee: "'reader'@'%'", privilege_type: 'USAGE' }]);
    expect(
      await server.sql(
        "SELECT user, host, select_priv, super_priv FROM mysql.user WHERE user IN ('root', 'reader') ORDER BY user",
      ),
    ).toEqual([
      { user: 'reader', host: '%', select_priv: 'N', super_priv: 'N' },
      { user: 'root', host: '%', select_priv: 'Y', super_priv: 'Y' },
    ]);
    expect(
      await server.sql('SELECT user, db, table_name, table_priv FROM mysql.tables_priv'),
    ).toEqual([{ user: 'reader', db: 'd', table_name: 't', table_priv: 'Select' }]);
    expect(await failure(reader, 'SELECT user FROM mysql.user')).toMatch(/^1142 /);
  });
});

describe('connections of others', () => {
  it('are ended by administrators and by their own user only', async () => {
    const reader = await server.connect({ user: 'reader', password: 'Secret.1' });
    const other = await server.connect({ user: 'reader', password: 'Secret.1' });
    const [root] = await server.sql('SELECT CONNECTION_ID() AS id');
    const [second] = await rows(other, 'SELECT CONNECTION_ID() AS id');
    expect(await failure(reader, `KILL ${root?.['id']}`)).toBe(
      `1095 You are not owner of thread ${root?.['id']}`,
    );
    expect(await failure(reader, `KILL ${second?.['id']}`)).toBe('');
    await expect(other.query('SELECT 1')).rejects.toThrow(/.+/);
  });
});

describe('a compute group', () => {
  it('that was given is the default, and the others cannot be used', async () => {
    await server.sql("CREATE USER grouped IDENTIFIED BY 'x'");
    await server.sql('GRANT SELECT ON d.* TO grouped');
    await server.sql("GRANT USAGE_PRIV ON COMPUTE GROUP 'read_group' TO grouped");
    const grouped = await server.connect({ user: 'grouped', password: 'x' });
    expect(await rows(grouped, 'SHOW COMPUTE GROUPS')).toMatchObject([
      { Name: 'read_group', IsCurrent: 'TRUE' },
    ]);
    expect((await rows(grouped, 'SHOW BACKENDS')).map((row) => row['ComputeGroup'])).toEqual([
      'read_group',
      'read_group',
    ]);
    expect(await failure(grouped, 'USE @write_group')).toMatch(/^1227 /);
    expect(await failure(grouped, 'USE d@write_group')).toMatch(/^1227 /);
    expect(await failure(grouped, 'USE d@read_group')).toBe('');
    expect(await rows(grouped, 'SELECT COUNT(*) AS n FROM t')).toEqual([{ n: 2 }]);
    await expect(
      server.connect({ user: 'grouped', password: 'x', database: 'd@write_group' }),
    ).rejects.toMatchObject({ errno: 1227 });
  });
});
