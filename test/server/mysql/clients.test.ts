/** Clients that people use: the mysql2 package, and the command line programs where installed. */
import { execFile } from 'node:child_process';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import mysql from 'mysql2/promise';
import type { Connection, ConnectionOptions } from 'mysql2/promise';
import { SqlError } from '../../../base/errors.ts';
import type { QueryStep } from '../../../server/mysql/handler.ts';
import { missingPrograms, programPath } from '../../clients/programs.ts';
import { okStep, rowsResult, startServer, textStep, until } from './scripted_front_door.ts';
import type { TestServer } from './scripted_front_door.ts';

let server: TestServer;
const connections: Connection[] = [];

beforeEach(async () => {
  server = await startServer();
  server.door.onQuery = answer;
});
afterEach(async () => {
  for (const connection of connections.splice(0)) connection.destroy();
  await server.close();
});

/** A little server: `;` separates statements, `fail` fails, `types` answers one row of types. */
async function* answer(sql: string): AsyncIterable<QueryStep> {
  await Promise.resolve();
  const statements = sql.split(';').map((text) => text.trim());
  for (const [index, statement] of statements.entries()) {
    const more = index < statements.length - 1;
    if (statement === 'fail') throw new SqlError('NO_SUCH_TABLE', { name: 'd.t' });
    if (statement === 'types') yield { ...typesStep(), more };
    else if (statement.startsWith('set')) yield { ...okStep(more), warnings: 2 };
    else yield textStep([statement, null], more);
  }
}

function typesStep(): QueryStep {
  const table = 't';
  const columns = [
    { name: 'i', table, type: { kind: 'INT' } },
    { name: 'b', table, type: { kind: 'BIGINT' } },
    { name: 'd', table, type: { kind: 'DOUBLE' } },
    { name: 'dec', table, type: { kind: 'DECIMAL', precision: 10, scale: 2 } },
    { name: 'dt', table, type: { kind: 'DATETIME', precision: 0 } },
    { name: 's', table, type: { kind: 'VARCHAR', length: 20 } },
    { name: 'j', table, type: { kind: 'JSON' } },
  ] as const;
  const row = [7, 8n, 1.5, '10.25', '2024-01-02 03:04:05', 'grüße', '{"a":1}'];
  return { result: rowsResult(columns, [row]), warnings: 0, more: false };
}

async function connect(options: ConnectionOptions = {}): Promise<Connection> {
  const { port } = server;
  const connection = await mysql.createConnection({
    host: '127.0.0.1',
    port,
    user: 'root',
    ...options,
  });
  connections.push(connection);
  return connection;
}

describe('mysql2', () => {
  it.each([
    ['root', ''],
    ['native', 'secret'],
    ['sha', 'secret'],
    ['shaempty', ''],
  ])('logs in as %s and asks', async (user, password) => {
    for (let login = 0; login < 2; login += 1) {
      const connection = await connect({ user, password });
      const [rows] = await connection.query('show something');
      expect(rows).toEqual([{ text: 'show something' }, { text: null }]);
      await connection.ping();
      await connection.end();
    }
    expect(server.door.sessions).toHaveLength(2);
    await until(() => server.door.sessions.every((session) => session.closeCount === 1));
  });

  it('is refused with a wrong password', async () => {
    for (const user of ['native', 'sha', 'nobody']) {
      await expect(connect({ user, password: 'wrong' })).rejects.toMatchObject({
        errno: 1045,
        sqlState: '28000',
      });
    }
  });

  it('reads types as they are meant', async () => {
    const connection = await connect({ dateStrings: true });
    const [rows] = await connection.query('types');
    expect(rows).toEqual([
      { i: 7, b: 8, d: 1.5, dec: '10.25', dt: '2024-01-02 03:04:05', s: 'grüße', j: { a: 1 } },
    ]);
  });

  it('reads several results, errors, and goes on', async () => {
    const connection = await connect({ multipleStatements: true });
    const [results] = await connection.query('a; set x; b');
    expect(results).toMatchObject([
      [{ text: 'a' }, { text: null }],
      { warningStatus: 2 },
      [{ text: 'b' }, { text: null }],
    ]);
    await expect(connection.query('a; fail; b')).rejects.toMatchObject({
      errno: 1146,
      sqlState: '42S02',
      sqlMessage: "Table 'd.t' doesn't exist",
    });
    expect((await connection.query('x'))[0]).toHaveLength(2);
  });

  it('changes its user, resets, and prepares', async () => {
    const connection = await connect();
    await connection.changeUser({ user: 'native', password: 'secret' });
    await connection.changeUser({ user: 'sha', password: 'secret' });
    expect(server.door.sessions.map(({ login }) => login.user)).toEqual(['root', 'native', 'sha']);
    expect((await connection.execute('SELECT ?', [1]))[0]).toMatchObject([
      { text: 'SELECT ? [1]' },
      {},
    ]);
    await connection.reset();
    expect((await connection.query('x'))[0]).toHaveLength(2);
  });

  it('sends and reads 20 MB', async () => {
    const connection = await connect();
    const text = 'x'.repeat(20_000_000);
    const [rows] = await connection.query(text);
    expect((rows as { text: string }[])[0]?.text === text).toBe(true);
  });
});

interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

function run(program: string, args: readonly string[], password = ''): Promise<Outcome> {
  const base = ['--no-defaults', '-h127.0.0.1', `-P${server.port}`];
  const env = { ...process.env, MYSQL_PWD: password };
  return new Promise((resolve) => {
    execFile(programPath(program) ?? program, [...base, ...args], { env }, (error, out, err) => {
      resolve({ code: error === null ? 0 : Number(error.code), out, err });
    });
  });
}

/** Skipped with the reason where the programs are missing; in CI they must be there. */
const missing = missingPrograms(['mysql', 'mysqladmin']);
const withPrograms =
  missing === undefined || process.env['CI'] !== undefined ? describe : describe.skip;
const reason = missing === undefined ? '' : ` (${missing})`;

withPrograms(`command line programs${reason}`, () => {
  it.each([
    ['root', ''],
    ['native', 'secret'],
    ['sha', 'secret'],
    ['shaempty', ''],
  ])('mysql as %s, twice', async (user, password) => {
    for (let login = 0; login < 2; login += 1) {
      const outcome = await run('mysql', [`-u${user}`, '-e', 'show x'], password);
      expect(outcome).toEqual({ code: 0, out: 'text\nshow x\nNULL\n', err: '' });
    }
  });

  it('mysql with a wrong password exits with 1', async () => {
    for (const user of ['native', 'sha', 'nobody']) {
      const outcome = await run('mysql', [`-u${user}`, '-e', 'show x'], 'wrong');
      expect(outcome.code).toBe(1);
      expect(outcome.err).toContain(`ERROR 1045 (28000): Access denied for user '${user}'`);
    }
  });

  it('mysql shows a table, and a failing script stops with 1', async () => {
    const table = await run('mysql', [
      '-uroot',
      '--default-character-set=utf8mb4',
      '--table',
      '-e',
      'types',
    ]);
    // Two blanks after the name: this client sizes a column by its bytes.
    expect(table.out.split('\n')[3]).toBe(
      '|    7 |    8 |  1.5 | 10.25 | 2024-01-02 03:04:05 | grüße   | {"a":1} |',
    );
    const script = await run('mysql', ['-uroot', '-e', 'one; fail; two']);
    expect(script.code).toBe(1);
    expect(script.out).toContain('one');
    expect(script.out).not.toContain('two');
    expect(script.err).toContain("ERROR 1146 (42S02) at line 1: Table 'd.t' doesn't exist");
  });

  it('mysql chooses a database and refuses one that is not there', async () => {
    expect((await run('mysql', ['-uroot', '-D', 'adm', '-e', 'x'])).code).toBe(0);
    expect(server.door.sessions[0]?.login.database).toBe('adm');
    const refused = await run('mysql', ['-uroot', '-D', 'nowhere', '-e', 'x']);
    expect(refused.err).toContain('ERROR 1049 (42000)');
  });

  it('mysqladmin pings and asks for the status', async () => {
    const outcome = await run('mysqladmin', ['-uroot', 'ping', 'status']);
    expect(outcome).toEqual({
      code: 0,
      out: 'mysqld is alive\nUptime: 1  Threads: 1\n',
      err: '',
    });
  });
});
