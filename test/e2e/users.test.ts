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
