/** Limits of accounts, expired passwords and REQUIRE SSL, as clients meet them. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Connection } from 'mysql2/promise';
import { missingPrograms } from '../clients/programs.ts';
import { mysqlProgram } from './mysql_program.ts';
import { type Row, ServerProcess, until } from './server_process.ts';

const withProgram = missingPrograms(['mysql']) === undefined ? it : it.skip;

let server: ServerProcess;

beforeAll(async () => {
  server = await ServerProcess.start();
  await server.sql('CREATE DATABASE d');
  await server.sql('CREATE TABLE d.t (a INT) DISTRIBUTED BY HASH(a) BUCKETS 1');
});
afterAll(async () => {
  await server.stop();
});

async function account(name: string, options: string): Promise<void> {
  await server.sql(`CREATE USER ${name} IDENTIFIED BY 'Secret.1' ${options}`);
  await server.sql(`GRANT SELECT_PRIV, LOAD_PRIV ON d.* TO ${name}`);
}

const login = async (user: string, password = 'Secret.1'): Promise<Connection> =>
  await server.connect({ user, password });

async function failure(action: Promise<unknown>): Promise<string> {
  try {
    await action;
    return '';
  } catch (error) {
    const { errno, sqlState, message } = error as Record<string, unknown>;
    return `${String(errno)} ${String(sqlState)} ${String(message)}`;
  }
}

describe('limits of an account', () => {
  it('are of connections at once, whoever else is there', async () => {
    await account('two', 'WITH MAX_USER_CONNECTIONS 2');
    const first = await login('two');
    await login('two');
    expect(await failure(login('two'))).toBe(
      "1226 42000 User 'two' has exceeded the 'max_user_connections' resource (current value: 2)",
    );
    await first.end();
    await until('a free place', async () => (await failure(login('two'))) === '');
    // Others have theirs.
    await account('other', 'WITH MAX_USER_CONNECTIONS 1');
    await login('other');
  });

  it('are of connections in an hour', async () => {
    await account('often', 'WITH MAX_CONNECTIONS_PER_HOUR 2');
    await (await login('often')).end();
    await (await login('often')).end();
    expect(await failure(login('often'))).toBe(
      "1226 42000 User 'often' has exceeded the 'max_connections_per_hour' resource (current value: 2)",
    );
    await server.sql('FLUSH USER_RESOURCES');
    await (await login('often')).end();
  });

  it('are of statements and of changes in an hour, over all connections', async () => {
    await account('busy', 'WITH MAX_QUERIES_PER_HOUR 4 MAX_UPDATES_PER_HOUR 1');
    const one = await login('busy');
    const other = await login('busy');
    expect(await failure(one.query('INSERT INTO d.t VALUES (1)'))).toBe('');
    expect(await failure(other.query('INSERT INTO d.t VALUES (2)'))).toBe(
      "1226 42000 User 'busy' has exceeded the 'max_updates' resource (current value: 1)",
    );
    expect(await failure(one.query('SELECT 1'))).toBe('');
    expect(await failure(other.execute('SELECT 1'))).toBe('');
    expect(await failure(one.query('SELECT 1'))).toBe(
      "1226 42000 User 'busy' has exceeded the 'max_questions' resource (current value: 4)",
    );
    await server.sql('ALTER USER busy WITH MAX_QUERIES_PER_HOUR 0');
    expect(await failure(one.query('SELECT 1'))).toBe('');
  });

  it('show in SHOW CREATE USER and mysql.user, and outlive a restart', async () => {
    await account(
      'shown',
      "WITH MAX_USER_CONNECTIONS 3 MAX_UPDATES_PER_HOUR 7 PASSWORD EXPIRE INTERVAL 90 DAY COMMENT 'it''s'",
    );
    await server.restart();
    const [row] = await server.sql('SHOW CREATE USER shown');
    expect(Object.keys(row ?? {})).toEqual(['CREATE USER for shown@%']);
    const text = String(Object.values(row ?? {})[0]);
    expect(text).toMatch(
      /^CREATE USER 'shown'@'%' IDENTIFIED WITH 'caching_sha2_password' AS '[^]+' REQUIRE NONE WITH MAX_UPDATES_PER_HOUR 7 MAX_USER_CONNECTIONS 3 PASSWORD EXPIRE INTERVAL 90 DAY ACCOUNT UNLOCK COMMENT 'it''s'$/,
    );
    const columns =
      'max_updates, max_user_connections, max_questions, password_lifetime, password_expired';
    const [listed] = await server.sql(`SELECT ${columns} FROM mysql.user WHERE User = 'shown'`);
    expect(listed).toEqual({
      max_updates: 7,
      max_user_connections: 3,
      max_questions: 0,
      password_lifetime: 90,
      password_expired: 'N',
    });
    // The text makes the same account again.
    await server.sql('DROP USER shown');
    await server.sql(text);
    const [again] = await server.sql('SHOW CREATE USER shown');
    expect(Object.values(again ?? {})).toEqual([text]);
    await login('shown');
  });

  it('may be set by who may make accounts, and by nobody for himself', async () => {
    await account('plain', '');
    const plain = await login('plain');
    for (const change of ['WITH MAX_QUERIES_PER_HOUR 0', 'PASSWORD EXPIRE NEVER', 'REQUIRE NONE']) {
      expect(await failure(plain.query(`ALTER USER plain ${change}`))).toMatch(/^1227 /);
    }
    const [rows] = await plain.query<Row[]>('SHOW CREATE USER CURRENT_USER()');
    expect(Object.values(rows[0] ?? {})[0]).toContain("AS '******'");
    expect(await failure(plain.query('SHOW CREATE USER root'))).toMatch(/^1227 /);
  });
});

describe('an expired password', () => {
  it('keeps clients out that cannot change it', async () => {
    await account('expired', 'PASSWORD EXPIRE');
    expect(await failure(login('expired'))).toMatch(/^1862 HY000 Your password has expired\./);
    await server.sql("ALTER USER expired IDENTIFIED BY 'Secret.2'");
    await login('expired', 'Secret.2');
  });

  withProgram('must be changed before anything else (mysql)', async () => {
    await account('late', 'PASSWORD EXPIRE');
    await server.sql("ADMIN SET FRONTEND CONFIG ('disconnect_on_expired_password'='false')");
    const late = await login('late');
    expect(await failure(late.query('SELECT COUNT(*) FROM d.t'))).toMatch(/^1820 HY000 You must /);
    expect(await failure(late.query("ALTER USER root IDENTIFIED BY 'x'"))).toMatch(/^1820 /);
    expect(await failure(late.query("SET PASSWORD = 'Secret.2'"))).toBe('');
    expect(await failure(late.query('SELECT COUNT(*) FROM d.t'))).toBe('');
    await server.sql("ADMIN SET FRONTEND CONFIG ('disconnect_on_expired_password'='true')");
    const arguments_ = ['-ulate', '-pSecret.2'];
    const ran = await mysqlProgram(server.mysqlPort, 'SELECT 1', arguments_);
    expect(ran).toEqual({ code: 0, output: '1\n1\n' });
  });

  it('is refused over HTTP', async () => {
    await account('byhttp', 'PASSWORD EXPIRE');
    const answer = await fetch(`http://127.0.0.1:${server.httpPort}/api/d/t/_stream_load`, {
      method: 'PUT',
      redirect: 'manual',
      headers: { authorization: `Basic ${btoa('byhttp:Secret.1')}` },
      body: '1\n',
    });
    expect(await answer.text()).toContain('Your password has expired');
  });
});

describe('REQUIRE SSL', () => {
  it('lets an account in over TLS only', async () => {
    await account('secure', 'REQUIRE SSL');
    expect(await failure(login('secure'))).toMatch(/^1045 /);
    const connection = await server.connect({
      user: 'secure',
      password: 'Secret.1',
      ssl: { rejectUnauthorized: false },
    });
    expect(await failure(connection.query('SELECT 1'))).toBe('');
    await server.sql('ALTER USER secure REQUIRE NONE');
    await login('secure');
  });
});
