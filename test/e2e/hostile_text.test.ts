/**
 * Texts that mean something to SQLite, paths, object keys, JavaScript or a terminal, in the place
 * of every name and every value that a client can send. Each is kept as it is or refused with an
 * error of its own; the catalog stays whole, and nothing appears beside the data directory.
 */
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { type Server, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import Database from 'better-sqlite3';
import { request } from 'undici';
import { RawClient } from '../server/mysql/raw_client.ts';
import { ServerProcess } from './server_process.ts';
import { backendsOf } from './warm_up_steps.ts';

const TEXTS: readonly string[] = [
  "'",
  "''",
  '"',
  '`',
  '\\',
  "\\'",
  "'; DROP TABLE backend; --",
  "x'); DELETE FROM compute_group; --",
  "' OR '1'='1",
  '" OR ""="',
  '`; DROP DATABASE safe; `',
  "' UNION SELECT * FROM sqlite_master --",
  '/**/--#;',
  '*/',
  '${7*7}{{7*7}}%7B',
  '%',
  '_',
  '%s%n%x',
  '?',
  ':p1',
  '@@version',
  '$1',
  '.',
  '..',
  '../../../../escape',
  '..\\..\\escape',
  'a/b',
  '/escape',
  '%2e%2e%2fescape',
  'file:escape?mode=rwc',
  'a\nb',
  'a\r\nX-Escape: 1',
  '\u0007\u001b[2Jb',
  'ü😀𝕏',
  '\ufeffbom',
  '\u202eevil',
  '＇ OR 1',
  '\u0000nul\u0000',
  '__proto__',
  'constructor',
  'toString',
  'NULL',
  '-1',
  '1e999',
  'x'.repeat(65),
  'x'.repeat(5000),
];

const text = (value: string): string =>
  `'${value.replaceAll('\\', '\\\\').replaceAll("'", "\\'").replaceAll('\0', '\\0')}'`;
const name = (value: string): string => `\`${value.replaceAll('`', '``')}\``;

const S3 = {
  's3.region': 'r',
  's3.bucket': 'bucket',
  's3.root.path': 'root',
  's3.access_key': 'a',
  's3.secret_key': 's',
  s3_validity_check: 'false',
} as const;
const s3With = (key: string, value: string): string =>
  Object.entries({ type: 's3', 's3.endpoint': 'http://127.0.0.1:1', ...S3, [key]: value })
    .map(([k, v]) => `${text(k)} = ${text(v)}`)
    .join(', ');

const TABLE = '(id INT, s VARCHAR(100)) DISTRIBUTED BY HASH(id) BUCKETS 1';

/** Every place where a client can put a name; `n` is quoted. */
const NAMES: Readonly<Record<string, (n: string) => readonly string[]>> = {
  database: (n) => [
    `CREATE DATABASE ${n}`,
    `USE ${n}`,
    `CREATE TABLE ${n}.${n} ${TABLE}`,
    `SHOW CREATE TABLE ${n}.${n}`,
    `SHOW TABLES FROM ${n}`,
    `SELECT * FROM ${n}.${n}`,
    `DROP DATABASE ${n}`,
  ],
  table: (n) => [
    `CREATE TABLE work.${n} ${TABLE}`,
    `DESC work.${n}`,
    `ALTER TABLE work.${n} MODIFY COMMENT 'x'`,
    `TRUNCATE TABLE work.${n}`,
    `DROP TABLE work.${n}`,
    `ALTER TABLE work.renamed RENAME ${n}`,
    `ALTER TABLE work.${n} RENAME renamed`,
  ],
  column: (n) => [
    `CREATE TABLE work.c (id INT, ${n} INT) DISTRIBUTED BY HASH(id) BUCKETS 1`,
    `INSERT INTO work.c (id, ${n}) VALUES (1, 2)`,
    `SELECT ${n}, work.c.${n} AS ${n} FROM work.c WHERE ${n} = 2 ORDER BY ${n}`,
    `SELECT 1 AS ${n} FROM (SELECT ${n} FROM work.c AS ${n}) AS ${n}`,
    'DROP TABLE work.c',
    `ALTER TABLE work.t ADD COLUMN ${n} INT`,
    `SELECT ${n} FROM information_schema.tables`,
    `SHOW TABLES FROM work WHERE ${n} = 1`,
    `SHOW WARM UP JOB ORDER BY ${n}`,
  ],
  partition: (n) => [
    `ALTER TABLE work.parts ADD PARTITION ${n} VALUES LESS THAN ("100")`,
    `ALTER TABLE work.parts DROP PARTITION ${n}`,
    `WARM UP COMPUTE GROUP read_group WITH TABLE work.parts PARTITION ${n}`,
  ],
  'group, role, resource, policy, vault': (n) => [
    `USE @${n}`,
    `CREATE ROLE ${n}`,
    `DROP ROLE ${n}`,
    `WARM UP COMPUTE GROUP ${n} WITH COMPUTE GROUP write_group`,
    `ALTER SYSTEM RENAME COMPUTE GROUP read_group ${n}`,
    `ALTER SYSTEM RENAME COMPUTE GROUP ${n} read_group`,
    `CREATE RESOURCE ${n} PROPERTIES (${s3With('s3.region', 'r')})`,
    `DROP RESOURCE ${n}`,
    `CREATE STORAGE POLICY ${n} PROPERTIES ("storage_resource" = "none", "cooldown_ttl" = "1d")`,
    `CREATE STORAGE VAULT ${n} PROPERTIES (${s3With('s3.region', 'r')})`,
    `SHOW CREATE TABLE work.${n}`,
    `SELECT * FROM information_schema.${n}`,
    `SELECT ${n}(1)`,
    `SET ${n} = 1`,
    `SET @${n} = 1`,
    `SHOW INDEX FROM ${n} FROM work`,
    `PREPARE ${n} FROM 'SELECT 1'`,
    `GRANT SELECT_PRIV ON ${n}.${n} TO 'root'@'%'`,
  ],
};

/** Every place where a client can put a value; `s` is quoted, `raw` is not. */
const VALUES: Readonly<Record<string, (s: string, raw: string) => readonly string[]>> = {
  account: (s) => [
    `CREATE USER ${s}@'%' IDENTIFIED BY ${s}`,
    `GRANT SELECT_PRIV ON work.* TO ${s}@'%'`,
    `SHOW GRANTS FOR ${s}@'%'`,
    `ALTER USER ${s}@'%' IDENTIFIED WITH mysql_native_password AS ${s}`,
    `DROP USER ${s}@'%'`,
    `CREATE USER 'u'@${s}`,
    `DROP USER 'u'@${s}`,
    `GRANT USAGE_PRIV ON COMPUTE GROUP ${s} TO 'root'@'%'`,
  ],
  'pattern and condition': (s) => [
    ...['DATABASES', 'TABLES FROM work', 'VARIABLES', 'WARM UP JOB', 'TABLE STATUS FROM work'].map(
      (what) => `SHOW ${what} LIKE ${s}`,
    ),
    `SHOW WARM UP JOB WHERE ID = ${s} OR Status LIKE ${s}`,
    `SHOW BACKENDS WHERE Host = ${s}`,
    `SHOW LOAD FROM work WHERE LABEL = ${s}`,
    `ADMIN SHOW FRONTEND CONFIG LIKE ${s}`,
    `CANCEL WARM UP JOB WHERE ID = ${s}`,
    `SHOW CACHE HOTSPOT ${s}`,
    `SELECT * FROM information_schema.tables WHERE table_schema = ${s} OR table_name LIKE ${s}`,
    `SELECT REGEXP_LIKE('x', ${s}), DATE_FORMAT(NOW(), ${s}), JSON_EXTRACT('{}', ${s})`,
    `SELECT * FROM work.t WHERE s = ${s} OR s LIKE ${s} OR s IN (${s}) OR s REGEXP ${s}`,
  ],
  property: (s) => [
    `CREATE TABLE work.p ${TABLE} PROPERTIES (${s} = ${s})`,
    ...['replication_num', 'storage_vault_name', 'resource_group', 'storage_policy'].map(
      (key) => `CREATE TABLE work.p ${TABLE} PROPERTIES ("${key}" = ${s})`,
    ),
    `CREATE TABLE work.p ${TABLE} PROPERTIES ("file_cache_ttl_seconds" = ${s})`,
    'DROP TABLE IF EXISTS work.p',
    `ALTER TABLE work.t SET (${s} = ${s})`,
    `CREATE DATABASE props PROPERTIES (${s} = ${s})`,
    'DROP DATABASE IF EXISTS props',
    `CREATE COMPUTE GROUP props PROPERTIES (${s} = ${s})`,
    `ADMIN SET FRONTEND CONFIG (${s} = ${s})`,
    `ADMIN SET FRONTEND CONFIG ("server_version" = ${s})`,
    'ADMIN SET FRONTEND CONFIG ("server_version" = "5.7.99-thermocline")',
    `WARM UP COMPUTE GROUP read_group WITH COMPUTE GROUP write_group PROPERTIES (${s} = ${s})`,
    `WARM UP COMPUTE GROUP read_group WITH COMPUTE GROUP write_group
       PROPERTIES ("sync_mode" = ${s}, "sync_interval_sec" = ${s})`,
    `CREATE STORAGE POLICY p PROPERTIES ("storage_resource" = ${s}, "cooldown_ttl" = ${s})`,
    `CREATE STORAGE POLICY p PROPERTIES ("storage_resource" = "r", ${s} = ${s})`,
  ],
  'resource and vault': (_, raw) => [
    ...Object.keys(S3).flatMap((key) => [
      `CREATE RESOURCE res PROPERTIES (${s3With(key, raw)})`,
      'SHOW RESOURCES',
      'DROP RESOURCE IF EXISTS res',
    ]),
    `CREATE RESOURCE res PROPERTIES (${s3With('s3.endpoint', raw)})`,
    'DROP RESOURCE IF EXISTS res',
    `CREATE RESOURCE res PROPERTIES (${s3With(raw, raw)})`,
    `CREATE RESOURCE res PROPERTIES ("type" = ${text(raw)})`,
    `CREATE RESOURCE res PROPERTIES ("type" = "local", "local.root.path" = ${text(`x${raw}`)})`,
  ],
  variable: (s) => [
    `SET NAMES ${s}`,
    `SET sql_mode = ${s}, time_zone = ${s}`,
    `SET session_track_system_variables = ${s}`,
    "SET NAMES utf8mb4, sql_mode = '', session_track_system_variables = ''",
    `PREPARE p FROM ${s}`,
    `SET @a = ${s}`,
    'SELECT @a',
    `SELECT GET_LOCK(${s}, 0), RELEASE_LOCK(${s})`,
    `SELECT 1 INTO OUTFILE ${s}`,
    `SELECT LOAD_FILE(${s})`,
    `LOAD DATA LOCAL INFILE ${s} INTO TABLE work.t`,
  ],
};

/** What SQLite would do and MySQL does not. */
const SQLITE: readonly string[] = [
  'SELECT * FROM sqlite_master',
  'SELECT * FROM sqlite_schema',
  'SELECT * FROM work.sqlite_master',
  'SELECT * FROM temp.sqlite_temp_master',
  'SELECT * FROM pragma_database_list',
  "SELECT * FROM pragma_table_info('t')",
  "SELECT load_extension('x')",
  "SELECT readfile('/etc/passwd')",
  "SELECT writefile('escape', 'x')",
  "SELECT edit('x')",
  'SELECT sqlite_version()',
  'SELECT randomblob(1000000000)',
  'SELECT zeroblob(1000000000)',
  "SELECT printf('%1000000000d', 1)",
  "SELECT fts3_tokenizer('x')",
  'SELECT rowid FROM work.t',
  'SELECT work.t.rowid, _rowid_, oid FROM work.t',
  "ATTACH DATABASE 'escape' AS x",
  'PRAGMA writable_schema = ON',
  'VACUUM INTO "escape"',
  "SELECT * FROM work.t; ATTACH 'escape' AS x",
];

let root: string;
let server: ServerProcess;
let schema: readonly unknown[];

beforeAll(async () => {
  // The data directory lies deep, so that a path that goes up still ends in our own.
  root = await mkdtemp(join(tmpdir(), 'thermocline-hostile-'));
  const dataDir = join(root, 'a', 'b', 'c', 'd', 'data');
  await mkdir(dataDir, { recursive: true });
  server = await ServerProcess.start({ dataDir, args: ['--set', 'log_level=warn'] });
  schema = catalogSchema(dataDir);
  for (const sql of [
    'CREATE DATABASE safe',
    `CREATE TABLE safe.t ${TABLE}`,
    "INSERT INTO safe.t VALUES (1, 'kept')",
    'CREATE DATABASE work',
    `CREATE TABLE work.t ${TABLE}`,
    `CREATE TABLE work.renamed ${TABLE}`,
    `CREATE TABLE work.parts (id INT NOT NULL) PARTITION BY RANGE(id) (PARTITION p1 VALUES LESS THAN ("10"))
       DISTRIBUTED BY HASH(id) BUCKETS 1`,
  ]) {
    await server.sql(sql);
  }
});
afterAll(async () => {
  await server.stop();
  await rm(root, { recursive: true, force: true, maxRetries: 5 });
});

function catalogSchema(dataDir: string): readonly unknown[] {
  const db = new Database(join(dataDir, 'catalog.db'), { readonly: true });
  try {
    return db.prepare('SELECT type, name, sql FROM sqlite_master ORDER BY 1, 2').all();
  } finally {
    db.close();
  }
}

/** Words that only SQLite, a query builder or the runtime say. */
const INNER =
  /SQLITE_[A-Z]|no such column: |near "|query failed|at Object\.|\.ts:\d|node:|internal error/;

/** 1064, and "not supported". */
const SYNTAX: ReadonlySet<number> = new Set([1064, 1235]);
/** These take whatever text stands there for a statement, or are refused whatever it is. */
const IN_TEXT = /^(?:PREPARE p FROM|LOAD DATA|SELECT 1 INTO OUTFILE|SELECT LOAD_FILE)/;

interface Told {
  readonly sql: string;
  readonly errno: number;
  readonly message: string;
}

/** What the server told of statements that failed. */
async function tell(statements: readonly string[]): Promise<readonly Told[]> {
  const told: Told[] = [];
  const client = await RawClient.loggedIn(server.mysqlPort);
  for (const sql of statements) {
    for (const { kind, errno, message } of await client.query(sql)) {
      if (kind === 'error') told.push({ sql, errno, message });
    }
  }
  client.destroy();
  return told;
}

/** Errors that nobody has written for a client. */
function inner(told: readonly Told[], own: string): readonly Told[] {
  return told.filter(({ message }) => INNER.test(message.replaceAll(own, '')));
}

async function expectSafe(): Promise<void> {
  expect(await server.sql('SELECT * FROM safe.t')).toEqual([{ id: 1, s: 'kept' }]);
  expect((await server.sql('SHOW COMPUTE GROUPS')).map(({ Name }) => String(Name)).sort()).toEqual([
    'read_group',
    'write_group',
  ]);
}

describe('hostile texts', () => {
  it('stand in statements that are right with a harmless one', async () => {
    const harmless = 'harmless';
    const statements = [
      ...Object.values(NAMES).flatMap((of) => of(name(harmless))),
      ...Object.values(VALUES).flatMap((of) => of(text(harmless), harmless)),
    ];
    const told = await tell(statements);
    const wrong = told.filter(({ errno, sql }) => SYNTAX.has(errno) && !IN_TEXT.test(sql));
    expect(wrong).toEqual([]);
  });

  it.each(Object.entries(NAMES))('as the name of a %s', async (_, statements) => {
    for (const value of TEXTS) {
      const told = await tell(statements(name(value)));
      expect(inner(told, value)).toEqual([]);
    }
    await expectSafe();
  });

  it.each(Object.entries(VALUES))('as a value: %s', async (_, statements) => {
    for (const value of TEXTS) {
      const told = await tell(statements(text(value), value));
      expect(inner(told, value)).toEqual([]);
    }
    await expectSafe();
  });

  it('as data come back as they were, and match themselves alone', async () => {
    const short = TEXTS.filter((value) => value.length <= 100);
    await server.sql(`CREATE TABLE work.data ${TABLE}`);
    await server.sql(
      `INSERT INTO work.data VALUES ${short.map((value, at) => `(${at}, ${text(value)})`).join(', ')}`,
    );
    for (const [at, value] of short.entries()) {
      expect(await server.sql(`SELECT id, s FROM work.data WHERE s = ${text(value)}`)).toEqual([
        { id: at, s: value },
      ]);
    }
  });

  it('in logins are refused as everybody else, word for word', async () => {
    for (const user of TEXTS.filter((value) => !value.includes('\0') && value.length < 200)) {
      for (const database of ['', user]) {
        const client = await RawClient.connect(server.mysqlPort);
        const options = database === '' ? { user } : { user, database };
        const { kind, errno, message } = await client.logIn(options);
        client.destroy();
        expect({ kind, errno, message }).toEqual({
          kind: 'error',
          errno: 1045,
          message: `Access denied for user '${user}'@'127.0.0.1' (using password: NO)`,
        });
      }
    }
  });

  it('in stream loads are kept as labels or refused', async () => {
    const port = Number((await backendsOf(server, 'write_group'))[0]?.['HttpPort']);
    // A header cannot hold the others.
    const sendable = TEXTS.filter((value) => /^[\x20-\x7e]*$/.test(value) && value.length < 1000);
    for (const value of sendable) {
      for (const key of ['label', 'columns', 'column_separator', 'format', 'jsonpaths', 'where']) {
        const headers = { format: 'csv', column_separator: ',', [key]: value };
        const { status, body } = await load(port, 'work/t', headers);
        expect(status).toBe(200);
        expect(body.replaceAll(JSON.stringify(value).slice(1, -1), '')).not.toMatch(INNER);
      }
      const path = encodeURIComponent(value);
      const { status, body } = await load(port, `${path}/${path}`, { format: 'csv' });
      expect(status).toBeLessThan(500);
      expect(body).not.toContain('"Status": "Success"');
    }
    await expectSafe();
  });
});

async function load(
  port: number,
  path: string,
  headers: Readonly<Record<string, string>>,
): Promise<{ readonly status: number; readonly body: string }> {
  const authorization = `Basic ${Buffer.from('root:').toString('base64')}`;
  const answer = await request(`http://127.0.0.1:${port}/api/${path}/_stream_load`, {
    method: 'PUT',
    headers: { ...headers, authorization },
    body: '100000,x\n',
  });
  return { status: answer.statusCode, body: await answer.body.text() };
}

describe('what only SQLite knows', () => {
  it.each(SQLITE)('%s', async (sql) => {
    const [first, ...more] = await tell([sql]);
    expect(more).toEqual([]);
    expect(first?.errno).toBeGreaterThan(1000);
    expect(first?.message).not.toMatch(/SQLITE_|\.ts:\d/);
  });
});

describe('object keys', () => {
  const asked: string[] = [];
  let askedEver = 0;
  let store: Server;
  let endpoint: string;

  beforeAll(async () => {
    store = createServer((request, response) => {
      asked.push(request.url ?? '');
      response.statusCode = 403;
      response.end();
    });
    await new Promise<void>((resolve) => store.listen(0, '127.0.0.1', resolve));
    endpoint = `http://127.0.0.1:${(store.address() as AddressInfo).port}`;
  });
  afterAll(() => {
    store.close();
    store.closeAllConnections();
  });

  it.each(TEXTS)('of a resource whose root is %j stay in its bucket', async (value) => {
    asked.length = 0;
    const given = { type: 's3', ...S3, 's3.endpoint': endpoint, 's3.root.path': value };
    const list = Object.entries({ ...given, s3_validity_check: 'true', use_path_style: 'true' });
    const properties = list.map(([key, one]) => `${text(key)} = ${text(one)}`).join(', ');
    const told = await tell([`CREATE RESOURCE key_test PROPERTIES (${properties})`]);
    expect(told).toHaveLength(1);
    askedEver += asked.length > 0 ? 1 : 0;
    for (const url of asked) {
      const { pathname } = new URL(url, endpoint);
      expect(pathname.startsWith('/bucket')).toBe(true);
      expect(pathname).toBe(url.split('?')[0]);
    }
  });

  it('of most of these texts have really been asked for', () => {
    expect(askedEver).toBeGreaterThan(TEXTS.length / 2);
  });
});

it('afterwards the catalog is whole and nothing lies beside the data directory', async () => {
  const { dataDir } = server;
  await server.sql('CREATE DATABASE last');
  await server.sql(`CREATE TABLE last.t ${TABLE}`);
  await server.sql("INSERT INTO last.t VALUES (1, 'x')");
  const errors = server.stderr.split('\n').filter((line) => line.includes('"level":50'));
  expect(errors).toEqual([]);
  expect(await server.terminate()).toBe(0);
  const db = new Database(join(dataDir, 'catalog.db'), { readonly: true });
  try {
    expect(db.pragma('integrity_check')).toEqual([{ integrity_check: 'ok' }]);
    expect(db.pragma('foreign_key_check')).toEqual([]);
  } finally {
    db.close();
  }
  expect(catalogSchema(dataDir)).toEqual(schema);
  const beside = (await readdir(root, { recursive: true })).filter(
    (path) => !path.startsWith('a/b/c/d/data/'),
  );
  expect(beside.sort()).toEqual(['a', 'a/b', 'a/b/c', 'a/b/c/d', 'a/b/c/d/data']);
  const objects = await readdir(join(dataDir, 'vault'), { recursive: true, withFileTypes: true });
  for (const object of objects.filter((one) => one.isFile())) {
    expect(join(object.parentPath, object.name).slice(dataDir.length)).toMatch(
      /^\/vault\/data\/\d+\/[0-9a-f]+_\d+\.dat$/,
    );
  }
});
