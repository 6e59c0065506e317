/**
 * Secrets that were given to the server in every way there is, and then looked for in all it says
 * and writes: every SHOW, every table, errors, metrics, the log, and the files of the data directory.
 */
import { readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { ServerProcess, until } from './server_process.ts';

/** No word of any of them may be found anywhere. */
const SECRETS = [
  'Hunter2-user-pw',
  'Hunter2-altered-pw',
  'Hunter2-set-pw',
  'Hunter2-prepared-pw',
  'Hunter2-bound-pw',
  'Hunter2-broken-pw',
  'Hunter2-variable-pw',
  'Hunter2-s3-secret',
  'Hunter2-s3-altered',
  'Hunter2-s3-token',
  'Hunter2-s3-catalog',
  'Hunter2-s3-function',
  'Hunter2-vault-secret',
  'Hunter2-bearer-token-1',
  'Hunter2-root-password',
] as const;

let server: ServerProcess;
/** What clients were told of what went wrong. */
const errors: string[] = [];

async function attempt(sql: string): Promise<void> {
  try {
    await server.sql(sql);
  } catch (error) {
    errors.push((error as Error).message);
  }
}

beforeAll(async () => {
  server = await ServerProcess.start({
    args: ['--set', 'log_level=debug'],
    env: { THERMOCLINE_HTTP_BEARER_TOKEN: 'Hunter2-bearer-token-0' },
  });
  await server.sql('CREATE DATABASE d');
  await server.sql("CREATE USER u IDENTIFIED BY 'Hunter2-user-pw'");
  await server.sql("ALTER USER u IDENTIFIED BY 'Hunter2-altered-pw'");
  await server.sql("SET PASSWORD FOR u = 'Hunter2-set-pw'");
  await server.sql("SET PASSWORD FOR u = PASSWORD('Hunter2-set-pw')");
  await server.sql(`PREPARE s FROM "ALTER USER u IDENTIFIED BY 'Hunter2-prepared-pw'"`);
  await server.sql('EXECUTE s');
  await server.sql(`SET @v = "ALTER USER u IDENTIFIED BY 'Hunter2-variable-pw'"`);
  await server.sql('PREPARE w FROM @v');
  await server.sql('EXECUTE w');
  const connection = await server.connect();
  await connection.execute('ALTER USER u IDENTIFIED BY ?', ['Hunter2-bound-pw']);
  const s3 = `"type"="s3", "s3.endpoint"="http://127.0.0.1:1", "s3.region"="r", "s3.bucket"="b",
    "s3.root.path"="p", "s3.access_key"="AKID"`;
  await attempt(`CREATE RESOURCE r PROPERTIES(${s3}, "s3.secret_key"="Hunter2-s3-secret",
    "s3.session_token"="Hunter2-s3-token", "s3_validity_check"="false")`);
  await attempt(`ALTER RESOURCE r PROPERTIES("s3.secret_key"="Hunter2-s3-altered")`);
  // These cannot be reached, or are wrong.
  await attempt(`CREATE RESOURCE q PROPERTIES(${s3}, "s3.secret_key"="Hunter2-s3-secret")`);
  await attempt(`CREATE RESOURCE q PROPERTIES("type"="s3", "s3.secret_key"="Hunter2-s3-secret")`);
  await attempt(`CREATE RESOURCE q PROPERTIES("s3.secret_keys"="Hunter2-s3-secret")`);
  await attempt(`CREATE CATALOG c PROPERTIES(${s3}, "s3.secret_key"="Hunter2-s3-catalog")`);
  await attempt(`SELECT * FROM S3("uri"="s3://b", "s3.secret_key"="Hunter2-s3-function")`);
  await attempt(`CREATE STORAGE VAULT v PROPERTIES(${s3}, "s3.secret_key"="Hunter2-vault-secret")`);
  await attempt(
    `CREATE STORAGE VAULT v PROPERTIES("type"="s3" "s3.secret_key"="Hunter2-vault-secret")`,
  );
  await attempt("CREATE USER b IDENTIFIED BY 'Hunter2-broken-pw' oops");
  await attempt("CREATE USER b IDENTIFIED WITH nothing BY 'Hunter2-broken-pw'");
  await attempt("CREATE USER b IDENTIFIED AS 'Hunter2-broken-pw'");
  await attempt('ADMIN SET FRONTEND CONFIG ("http_bearer_token" = "Hunter2-bearer-token-1 \\n")');
  await attempt('ADMIN SET FRONTEND CONFIG ("http_bearer_token" = "Hunter2-bearer-token-1")');
  await attempt('ADMIN SET FRONTEND CONFIG ("initial_root_password" = "Hunter2-root-password")');
  await attempt("SET GLOBAL initial_root_password = 'Hunter2-root-password'");
});
afterAll(async () => {
  await server.stop();
});

/** Which of them are in the text. */
const found = (text: string): string[] => SECRETS.filter((secret) => text.includes(secret));

describe('a secret', () => {
  it('is in no error', () => {
    expect(errors.length).toBeGreaterThan(6);
    expect(found(errors.join('\n'))).toEqual([]);
  });

  it('is in no row of any table of the server', async () => {
    const tables = await server.sql(
      `SELECT TABLE_SCHEMA AS s, TABLE_NAME AS t FROM information_schema.tables
       WHERE TABLE_SCHEMA IN ('information_schema', 'performance_schema', 'mysql')`,
    );
    expect(tables.length).toBeGreaterThan(60);
    for (const { s, t } of tables) {
      const name = `${String(s)}.${String(t)}`;
      const text = JSON.stringify(await server.sql(`SELECT * FROM ${name}`), (_, value: unknown) =>
        typeof value === 'bigint' ? String(value) : value,
      );
      // One's own user variables and hashes are not among them; an access key is no secret.
      expect([name, found(text)]).toEqual([name, []]);
    }
  });

  it.each([
    'SHOW RESOURCES',
    'SHOW STORAGE VAULTS',
    'SHOW ALL GRANTS',
    'SHOW CREATE USER u',
    'SHOW FULL PROCESSLIST',
    'SHOW WARNINGS',
    'SHOW CONFIG',
    'ADMIN SHOW FRONTEND CONFIG',
    'SHOW VARIABLES',
    'SHOW STATUS',
    'SHOW ENGINE olap STATUS',
  ])('is not in %s', async (statement) => {
    try {
      expect(found(JSON.stringify(await server.sql(statement)))).toEqual([]);
    } catch (error) {
      expect(found(String(error))).toEqual([]);
    }
  });

  it('is not in the metrics, nor in what the server logs', async () => {
    const answer = await fetch(`http://127.0.0.1:${server.httpPort}/metrics`);
    expect(found(await answer.text())).toEqual([]);
    expect(server.stderr).toContain('{');
    expect(found(server.stderr)).toEqual([]);
  });

  it('is in no file of the data directory', async () => {
    const audit = join(server.dataDir, 'log', 'audit.jsonl');
    await until('the audit log', () =>
      readFileSync(audit, 'utf8').includes('initial_root_password'),
    );
    await server.sql('SELECT 1');
    const leaks = filesIn(server.dataDir).flatMap((path) => {
      const text = readFileSync(path, 'latin1');
      return found(text).map((secret) => `${path}: ${secret}`);
    });
    expect(leaks).toEqual([]);
    // What was done with them is there.
    expect(readFileSync(audit, 'utf8')).toContain("CREATE USER 'u'@`%` IDENTIFIED BY '******'");
  });
});

function filesIn(directory: string): string[] {
  return readdirSync(directory).flatMap((name) => {
    const path = join(directory, name);
    const kind = statSync(path);
    return kind.isDirectory() ? filesIn(path) : kind.isFile() ? [path] : [];
  });
}
