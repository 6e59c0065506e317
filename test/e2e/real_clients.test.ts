/**
 * Programs and libraries that people have, as Debian packages them, against a server with its
 * default settings. Each is skipped where it is not installed, except in CI.
 */
import { execFile, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import mariadb from 'mariadb';
import { missingLibraries, missingPrograms, programPath } from '../clients/programs.ts';
import { ServerProcess } from './server_process.ts';

const SCRIPTS = fileURLToPath(new URL('../clients/scripts/', import.meta.url));
const ROW = '1|ann|1.25|2026-11-22 01:02:03';

let server: ServerProcess;

beforeAll(async () => {
  server = await ServerProcess.start();
  await server.sql('CREATE DATABASE d');
  await server.sql("CREATE USER app IDENTIFIED BY 'secret'");
  await server.sql('GRANT ALL ON *.* TO app');
  await server.sql(`CREATE TABLE d.t (id INT, name VARCHAR(64), price DECIMAL(10,2), at DATETIME)
    DUPLICATE KEY(id) DISTRIBUTED BY HASH(id) BUCKETS 1`);
  await server.sql("INSERT INTO d.t VALUES (1, 'ann', 1.25, '2026-11-22 01:02:03')");
});
afterAll(async () => {
  await server.stop();
});

interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function run(program: string, args: readonly string[], input = ''): Promise<Outcome> {
  const { promise, resolve } = Promise.withResolvers<Outcome>();
  const child = execFile(programPath(program) ?? program, args, (error, out, err) => {
    resolve({ code: error === null ? 0 : Number(error.code), out, err });
  });
  child.stdin?.end(input);
  return await promise;
}

const address = (): string[] => ['--no-defaults', '-h127.0.0.1', `-P${server.mysqlPort}`];
const mysql = async (args: readonly string[], input = ''): Promise<Outcome> =>
  await run('mysql', [...address(), '-uroot', ...args], input);

/** The suite, or why it is skipped. */
function given(programs: readonly string[], libraries: readonly string[] = []) {
  const missing = missingPrograms(programs) ?? missingLibraries(libraries);
  const runs = missing === undefined || process.env['CI'] !== undefined;
  return {
    describe: runs ? describe : describe.skip,
    why: missing === undefined ? '' : ` (${missing})`,
  };
}

const cli = given(['mysql', 'mysqladmin', 'mysqldump', 'mysqlslap']);

cli.describe(`the mysql programs${cli.why}`, () => {
  it('mysql in batch, as a table, by name of a database', async () => {
    expect(await mysql(['-e', 'SELECT * FROM d.t'])).toEqual({
      code: 0,
      out: `id\tname\tprice\tat\n${ROW.replaceAll('|', '\t')}\n`,
      err: '',
    });
    const table = await mysql(['--table', '-D', 'd', '-e', 'SELECT id, name FROM t']);
    expect(table.out.split('\n').slice(0, 4)).toEqual([
      '+------+------+',
      '| id   | name |',
      '+------+------+',
      '|    1 | ann  |',
    ]);
    const vertical = await mysql(['-e', 'SHOW WARM UP JOB\\G SELECT 1 AS a\\G']);
    expect(vertical.out).toContain('a: 1');
  });

  it('mysql ends a script that fails in the middle with exit code 1', async () => {
    const script = 'SELECT 1;\nSELECT * FROM d.nosuch;\nSELECT 3;\n';
    const failed = await mysql([], script);
    expect(failed.code).toBe(1);
    expect(failed.out).toBe('1\n1\n');
    expect(failed.err).toContain("ERROR 1146 (42S02) at line 2: Table 'd.nosuch' doesn't exist");
    const forced = await mysql(['--force'], script);
    expect(forced.out).toBe('1\n1\n3\n3\n');
  });

  it('mysql with compression, with TLS and without', async () => {
    const text = "SELECT REPEAT('x', 100000) AS x";
    const plain = await mysql(['--skip-ssl', '-N', '-e', text]);
    expect(plain.out).toHaveLength(100_001);
    expect(await mysql(['--compress', '--skip-ssl', '-N', '-e', text])).toEqual(plain);
    expect(await mysql(['--compress', '--ssl', '-N', '-e', text])).toEqual(plain);
    const cipher = await mysql(['--ssl', '-N', '-e', "SHOW STATUS LIKE 'Ssl_cipher'"]);
    expect(cipher.out).toMatch(/^Ssl_cipher\tTLS_/);
  });

  it('mysqldump dumps a database with its defaults, and the dump restores it', async () => {
    const dump = await run('mysqldump', [...address(), '-uroot', 'd']);
    expect(dump).toMatchObject({ code: 0, err: '' });
    expect(dump.out).toContain("(1,'ann',1.25,'2026-11-22 01:02:03')");
    await server.sql('CREATE DATABASE restored');
    expect(await mysql(['restored'], dump.out)).toEqual({ code: 0, out: '', err: '' });
    expect(await server.sql('SELECT * FROM restored.t')).toEqual(
      await server.sql('SELECT * FROM d.t'),
    );
    const all = await run('mysqldump', [...address(), '-uroot', '--databases', 'd', 'restored']);
    expect(all).toMatchObject({ code: 0, err: '' });
    const single = await run('mysqldump', [...address(), '-uroot', '--single-transaction', 'd']);
    expect(single).toMatchObject({ code: 0, err: '' });
    await server.sql('DROP DATABASE restored');
  });

  it('mysqladmin', async () => {
    const admin = async (...args: string[]): Promise<Outcome> =>
      await run('mysqladmin', [...address(), '-uroot', ...args]);
    expect(await admin('ping')).toEqual({ code: 0, out: 'mysqld is alive\n', err: '' });
    expect((await admin('status')).out).toMatch(/^Uptime: \d+ {2}Threads: \d+ {2}Questions: \d+/);
    for (const command of ['version', 'processlist', 'variables', 'extended-status', 'debug']) {
      expect(await admin(command)).toMatchObject({ code: 0, err: '' });
    }
    for (const command of ['flush-privileges', 'flush-tables', 'flush-logs', 'refresh', 'reload']) {
      expect(await admin(command)).toMatchObject({ code: 0, err: '' });
    }
    expect(await admin('create', 'made')).toMatchObject({ code: 0, err: '' });
    expect(await admin('--force', 'drop', 'made')).toMatchObject({ code: 0, err: '' });
    expect((await admin('kill', '999999')).code).toBe(1);
  });

  it('mysql through a unix socket, also after the server was killed', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'thermocline-socket-'));
    const socket = join(directory, 'mysql.sock');
    const other = await ServerProcess.start({ args: ['--set', `socket=${socket}`] });
    try {
      const say = async (sql: string): Promise<Outcome> =>
        await run('mysql', ['--no-defaults', '-S', socket, '-uroot', '-N', '-e', sql]);
      expect(await say('SELECT USER(), @@socket')).toEqual({
        code: 0,
        out: `root@localhost\t${socket}\n`,
        err: '',
      });
      await other.kill9();
      await other.launch();
      expect((await say('SELECT 1')).out).toBe('1\n');
      expect(await other.terminate()).toBe(0);
      expect(existsSync(socket)).toBe(false);
    } finally {
      await other.stop();
      rmSync(directory, { recursive: true, force: true });
    }
  });

  it('mysqlslap', async () => {
    const query = [
      '--create-schema=d',
      '--query=SELECT 1',
      '--concurrency=4',
      '--iterations=2',
      '--number-of-queries=40',
    ];
    const outcome = await run('mysqlslap', [...address(), '-uroot', '--skip-ssl', ...query]);
    expect(outcome).toMatchObject({ code: 0, err: '' });
  });
});

const pymysql = given(['python3'], ['python3-pymysql']);
pymysql.describe(`PyMySQL${pymysql.why}`, () => {
  it('inserts, reads, and gets the errors it knows', async () => {
    const { code, out, err } = await script('/usr/bin/python3', 'pymysql_client.py');
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(JSON.parse(out)).toEqual({
      rows: [
        ROW.split('|'),
        ['2', "it's ü", '2.50', 'None'],
        ['3', 'c', '3.00', 'None'],
        ['4', 'd', '4.00', 'None'],
      ],
      names: ['id', 'name', 'price', 'at'],
      tables: [['t']],
      version: '5.7.99-thermocline',
      error: 1146,
      date: '2026-11-22',
    });
  });
});

const mysqldb = given(['python3'], ['python3-mysqldb']);
mysqldb.describe(`mysqlclient${mysqldb.why}`, () => {
  it('reads rows at once and as a stream', async () => {
    const { code, out, err } = await script('/usr/bin/python3', 'mysqldb_client.py');
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(JSON.parse(out)).toEqual({
      rows: [{ id: '1', name: 'ann', price: '1.25', at: '2026-11-22 01:02:03' }],
      columns: ['id', 'name', 'price', 'at'],
      error: 1064,
      streamed: true,
      stat: true,
    });
  });
});

const php = given(['php'], ['php-mysql']);
php.describe(`PHP${php.why}`, () => {
  it('PDO with emulated and with real prepared statements, mysqli with several results', async () => {
    const { code, out, err } = await script('php', 'pdo_client.php');
    expect({ code, err }).toEqual({ code: 0, err: '' });
    const seen = {
      id: 1,
      name: 'ann',
      price: '1.25',
      at: '2026-11-22 01:02:03',
      error: '42S02 1146',
      transaction: true,
      tables: ['t'],
    };
    expect(JSON.parse(out)).toEqual({
      emulated: seen,
      prepared: seen,
      version: '5.7.99-thermocline',
      multi: [{ a: '1' }, { b: '2' }],
      fields: ['id', 'name', 'price', 'at'],
    });
  });
});

const perl = given(['perl'], ['libdbd-mysql-perl']);
perl.describe(`Perl DBD${perl.why}`, () => {
  it('with statements prepared by the client and by the server', async () => {
    const once = [ROW, 'id,name,price,at', '1 t', 'id,name,price,at', '1146 42S02', 'alive', ''];
    expect(await script('perl', 'dbd_client.pl')).toEqual({
      code: 0,
      out: once.join('\n').repeat(2),
      err: '',
    });
  });
});

const java = given(['java'], ['libmariadb-java']);
java.describe(`MariaDB Connector/J${java.why}`, () => {
  it('queries, DatabaseMetaData, and a statement that takes too long', async () => {
    const jar = '/usr/share/java/mariadb-java-client.jar';
    const file = `${SCRIPTS}JdbcClient.java`;
    const { code, out, err } = await run('java', ['-cp', jar, file, String(server.mysqlPort)]);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    const query = [`${ROW}.0`, '1146 42S02'];
    expect(out.trim().split('\n')).toEqual([
      ...query,
      ...query,
      ...query,
      '5.7.99-thermocline',
      expect.stringMatching(/^catalogs .*\bd information_schema mysql performance_schema/),
      'tables t',
      expect.stringMatching(/^types .*TABLE/),
      'columns id name price at',
      'keys',
      'indexes id',
      'foreign',
      'procedures',
      'timeout true',
    ]);
  });
});

/** What the test uses of the package `mysql`, which has no types. */
interface OldMysql {
  readonly createConnection: (options: Record<string, unknown>) => OldConnection;
}
interface OldConnection {
  readonly query: (
    sql: string,
    values: unknown[],
    done: (error: unknown, rows: unknown) => void,
  ) => void;
  readonly statistics: (done: (error: unknown, packet: { message: string }) => void) => void;
  readonly changeUser: (options: Record<string, unknown>, done: (error: unknown) => void) => void;
  readonly end: (done: (error: unknown) => void) => void;
}

describe('packages of npm', () => {
  it('mysql: values, several statements, an error, statistics, another user', async () => {
    const require = createRequire(import.meta.url);
    const { createConnection } = require('mysql') as OldMysql;
    await server.sql("CREATE USER old IDENTIFIED WITH mysql_native_password BY 'secret'");
    await server.sql('GRANT ALL ON *.* TO old');
    const login = { user: 'old', password: 'secret' };
    const connection = createConnection({
      host: '127.0.0.1',
      port: server.mysqlPort,
      ...login,
      database: 'd',
      multipleStatements: true,
      dateStrings: true,
    });
    const query = async (sql: string, values: unknown[] = []): Promise<unknown> =>
      await new Promise((resolve, reject) => {
        connection.query(sql, values, (error, rows) => {
          if (error === null) resolve(rows);
          else reject(error);
        });
      });
    expect(await query('SELECT name, price, at FROM t WHERE id = ?', [1])).toEqual([
      { name: 'ann', price: 1.25, at: '2026-11-22 01:02:03' },
    ]);
    expect(await query('SELECT 1 AS a; SHOW TABLES')).toEqual([[{ a: 1 }], [{ Tables_in_d: 't' }]]);
    await expect(query('SELECT * FROM nosuch')).rejects.toMatchObject({ errno: 1146 });
    const text = await new Promise<string>((resolve) => {
      connection.statistics((_, { message }) => resolve(message));
    });
    expect(text).toMatch(/^Uptime: /);
    const changed = await new Promise((resolve) => connection.changeUser(login, resolve));
    expect(changed).toBeNull();
    expect(await new Promise((resolve) => connection.end(resolve))).toBeFalsy();
  });

  it.each([{}, { compress: true }, { ssl: { rejectUnauthorized: false } }])(
    'mariadb with %j: pipelined, prepared, in batches, as a stream',
    async (options) => {
      const connection = await mariadb.createConnection({
        host: '127.0.0.1',
        port: server.mysqlPort,
        user: 'app',
        password: 'secret',
        database: 'd',
        allowPublicKeyRetrieval: true,
        decimalAsNumber: true,
        bigIntAsNumber: true,
        ...options,
      });
      const answers = await Promise.all(
        [1, 2, 3].map(async (n) => await connection.query<unknown[]>('SELECT ? AS n', [n])),
      );
      expect(answers.map(([row]) => row)).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }]);
      const found = await connection.execute('SELECT id, price FROM t WHERE name = ? AND id < ?', [
        'ann',
        2,
      ]);
      expect(found).toMatchObject([{ id: 1, price: 1.25 }]);
      let rows = 0;
      for await (const _ of connection.queryStream('SELECT * FROM information_schema.COLUMNS')) {
        rows += 1;
      }
      expect(rows).toBeGreaterThan(100);
      await expect(connection.query('SELECT nosuch')).rejects.toMatchObject({ errno: 1054 });
      await connection.reset();
      await connection.ping();
      await connection.end();
    },
  );
});

async function script(program: string, name: string): Promise<Outcome> {
  return await run(program, [`${SCRIPTS}${name}`, String(server.mysqlPort)]);
}

it('a client that is killed in the middle of a result leaves nothing behind', async () => {
  const child = spawn(
    programPath('mysql') ?? 'true',
    [
      ...address(),
      '-uroot',
      '-e',
      'SELECT a.ID FROM information_schema.COLUMNS a JOIN information_schema.COLUMNS b',
    ].map((arg) => arg.replace('a.ID', 'a.TABLE_NAME')),
  );
  const { promise, resolve } = Promise.withResolvers<void>();
  child.stdout.once('data', () => {
    child.kill('SIGKILL');
  });
  child.once('close', () => {
    resolve();
  });
  await promise;
  expect((await server.sql('SELECT 1 AS a'))[0]).toEqual({ a: 1 });
});
