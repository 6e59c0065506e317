/** Statements about resources and storage policies, and the property "storage_policy" of tables. */
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { ShowFixture } from './fixture.ts';

const SECRET = 'the-secret-key-of-a-test';
const TOKEN = 'the-token-of-a-test';
const ACCESS = 'the-access-key';

/** By the spelling of Doris's first version. */
const S3: Readonly<Record<string, string>> = {
  type: 's3',
  s3_endpoint: 'http://127.0.0.1:1',
  s3_region: 'bj',
  s3_root_path: '/path/to/root/',
  s3_access_key: ACCESS,
  s3_secret_key: SECRET,
  s3_max_connections: '51',
  s3_request_timeout_ms: '3001',
  s3_connection_timeout_ms: '1001',
  s3_bucket: 'test-bucket',
  s3_validity_check: 'false',
};

function list(properties: Readonly<Record<string, string>>): string {
  const items = Object.entries(properties).map(([key, value]) => `"${key}" = "${value}"`);
  return `PROPERTIES(${items.join(', ')})`;
}

function without(name: string): Record<string, string> {
  return Object.fromEntries(Object.entries(S3).filter(([key]) => key !== name));
}

let fixture: ShowFixture;
let directory: string;
beforeEach(async () => {
  fixture = await ShowFixture.open();
  directory = mkdtempSync(join(tmpdir(), 'thermocline-resource-'));
});
afterEach(async () => {
  await fixture.close();
  rmSync(directory, { recursive: true, force: true });
});

async function items(name: string): Promise<Record<string, unknown>> {
  const rows = await fixture.objects(`SHOW RESOURCES WHERE NAME = "${name}"`);
  return Object.fromEntries(rows.map(({ Item, Value }) => [String(Item), Value]));
}

describe('CREATE RESOURCE', () => {
  it.each([
    ['s3_', S3],
    [
      's3.',
      {
        type: 'S3',
        's3.endpoint': 'http://127.0.0.1:1',
        's3.region': 'bj',
        's3.root.path': 'path/to/root',
        's3.access_key': ACCESS,
        's3.secret_key': SECRET,
        's3.connection.maximum': '51',
        's3.connection.request.timeout': '3001',
        's3.connection.timeout': '1001',
        's3.bucket': 'test-bucket',
        s3_validity_check: 'false',
      },
    ],
    [
      'AWS_',
      {
        type: 's3',
        AWS_ENDPOINT: 'http://127.0.0.1:1',
        AWS_REGION: 'bj',
        AWS_ROOT_PATH: 'path/to/root/',
        AWS_ACCESS_KEY: ACCESS,
        AWS_SECRET_KEY: SECRET,
        AWS_MAX_CONNECTIONS: '51',
        AWS_REQUEST_TIMEOUT_MS: '3001',
        AWS_CONNECTION_TIMEOUT_MS: '1001',
        AWS_BUCKET: 'test-bucket',
        s3_validity_check: 'false',
      },
    ],
  ])('takes properties that are spelled %s', async (_, properties) => {
    await fixture.run(`CREATE RESOURCE "r" ${list(properties)}`);
    const { names, rows } = await fixture.rows('SHOW RESOURCES WHERE NAME = "r"');
    expect(names).toEqual(['Name', 'ResourceType', 'Item', 'Value']);
    const [[, , , id] = []] = rows;
    expect(rows.map((row) => row.slice(2))).toEqual([
      ['id', id],
      ['s3.access_key', ACCESS],
      ['s3.bucket', 'test-bucket'],
      ['s3.connection.maximum', '51'],
      ['s3.connection.request.timeout', '3001'],
      ['s3.connection.timeout', '1001'],
      ['s3.endpoint', 'http://127.0.0.1:1'],
      ['s3.region', 'bj'],
      ['s3.root.path', 'path/to/root'],
      ['s3.secret_key', '******'],
      ['s3_validity_check', 'false'],
      ['supports_conditional_writes', 'unknown'],
      ['type', 's3'],
      ['use_path_style', 'true'],
      ['version', '0'],
    ]);
  });

  it('is no directory of the embedded backends', async () => {
    const path = join(fixture.dir, 'vault', '..', 'backends', '10001', 'storage');
    const why = `${path} is of the embedded backends, who delete there what they do not know`;
    const refused = (what: string): string => `1105 ${what}(r) cannot be used: ${why}`;
    const local = list({ type: 'local', 'local.root.path': path });
    expect(await fixture.error(`CREATE RESOURCE r ${local}`)).toBe(refused('Resource'));
    const file = list({ type: 'file', path });
    expect(await fixture.error(`CREATE STORAGE VAULT r ${file}`)).toContain(why);
    await fixture.run(
      `CREATE RESOURCE r ${list({ type: 'local', 'local.root.path': `${fixture.dir}/backends2` })}`,
    );
    const change = list({ 'local.root.path': path });
    expect(await fixture.error(`ALTER RESOURCE r ${change}`)).toBe(refused('Resource'));
  });

  it('takes no endpoint that says who signs in, and does not tell it', async () => {
    const address = 'https://me:hunter2@127.0.0.1:1';
    const refused =
      "1105 Invalid value 'https://******@127.0.0.1:1' for property 's3.endpoint'; allowed: " +
      'a host or a URL, without a user name and a password';
    const s3 = { type: 's3', 's3.endpoint': address };
    for (const kind of ['RESOURCE', 'STORAGE VAULT']) {
      expect(await fixture.error(`CREATE ${kind} r ${list(s3)}`)).toBe(refused);
    }
    await fixture.run(`CREATE RESOURCE r ${list(without(''))}`);
    const change = list({ 's3.endpoint': address });
    expect(await fixture.error(`ALTER RESOURCE r ${change}`)).toBe(refused);
  });

  it.each([
    ['s3_endpoint', 'Missing [s3_endpoint] in properties.'],
    ['s3_region', 'Missing [s3_region] in properties.'],
    ['s3_root_path', 'Missing [s3_root_path] in properties.'],
    ['s3_access_key', 'Missing [s3_access_key] in properties.'],
    ['s3_secret_key', 'Missing [s3_secret_key] in properties.'],
    ['s3_bucket', 'Missing [s3_bucket] in properties.'],
    ['type', "Resource type can't be null"],
  ])('needs %s', async (name, text) => {
    expect(await fixture.error(`CREATE RESOURCE r ${list(without(name))}`)).toBe(`1105 ${text}`);
    expect(await items('r')).toEqual({});
  });

  it('names what is missing as the statement spells the others', async () => {
    const aws = { type: 's3', AWS_REGION: 'bj' };
    expect(await fixture.error(`CREATE RESOURCE r ${list(aws)}`)).toBe(
      '1105 Missing [AWS_ENDPOINT] in properties.',
    );
    expect(await fixture.error('CREATE RESOURCE r PROPERTIES("type" = "s3")')).toBe(
      '1105 Missing [s3.endpoint] in properties.',
    );
  });

  it('has Doris’s defaults', async () => {
    const { s3_max_connections, s3_request_timeout_ms, s3_connection_timeout_ms, ...rest } = S3;
    expect([s3_max_connections, s3_request_timeout_ms, s3_connection_timeout_ms]).toHaveLength(3);
    await fixture.run(`CREATE RESOURCE r ${list(rest)}`);
    expect(await items('r')).toMatchObject({
      's3.connection.maximum': '50',
      's3.connection.request.timeout': '3000',
      's3.connection.timeout': '1000',
    });
  });

  it('refuses a name that is taken, what it does not know, and properties given twice', async () => {
    await fixture.run(`CREATE RESOURCE r ${list(S3)}`);
    expect(await fixture.error(`CREATE RESOURCE r ${list(S3)}`)).toBe(
      '1105 Resource(r) already exist',
    );
    await fixture.run(`CREATE RESOURCE IF NOT EXISTS r ${list(S3)}`);
    expect(fixture.warnings()).toEqual(['Note 1105 Resource(r) already exist']);
    const error = async (more: Readonly<Record<string, string>>): Promise<string> =>
      await fixture.error(`CREATE RESOURCE q ${list({ ...S3, ...more })}`);
    expect(await error({ s3_bukket: 'x' })).toMatch(/^1105 Unknown property 's3_bukket'/);
    expect(await error({ 's3.bucket': 'x' })).toBe("1105 Property 's3.bucket' is given twice");
    expect(await error({ type: 'hdfs' })).toBe(
      "1105 Invalid value 'hdfs' for property 'type'; allowed: s3, local",
    );
    expect(await error({ s3_max_connections: '0' })).toMatch(/allowed: a whole number from 1/);
    expect(await fixture.error(`CREATE RESOURCE "a/b" ${list(S3)}`)).toMatch(
      /^1105 Incorrect resource name 'a\/b'/,
    );
    expect(await fixture.error(`CREATE RESOURCE ${'x'.repeat(65)} ${list(S3)}`)).toMatch(/^1059 /);
  });

  it('tries the store out and says what is wrong, but no secret', async () => {
    const checked = { ...S3, s3_validity_check: 'true', s3_request_timeout_ms: '2000' };
    await fixture.run('ADMIN SET FRONTEND CONFIG ("object_store_retries" = "0")');
    const error = await fixture.error(`CREATE RESOURCE r ${list(checked)}`);
    expect(error).toMatch(/^1105 Resource\(r\) cannot be used: cannot write: .*refused/);
    expect(error).not.toContain(SECRET);
    expect(error).not.toContain(ACCESS);
    expect(await items('r')).toEqual({});
  });

  it('makes a resource of a directory', async () => {
    const create = (path: string): string =>
      `CREATE RESOURCE l PROPERTIES("type" = "local", "local.root.path" = "${path}")`;
    expect(await fixture.error('CREATE RESOURCE l PROPERTIES("type" = "local")')).toBe(
      '1105 Missing [local.root.path] in properties.',
    );
    expect(await fixture.error(create('relative'))).toMatch(/allowed: an absolute directory/);
    expect(await fixture.error(create('/dev/null/x'))).toMatch(
      /^1105 Resource\(l\) cannot be used: /,
    );
    await fixture.run(create(directory));
    expect(await items('l')).toMatchObject({
      'local.root.path': directory,
      supports_conditional_writes: 'true',
      type: 'local',
      version: '0',
    });
    expect(readdirSync(directory)).toEqual(['.thermocline-tmp']);
  });

  it('keeps credentials out of everything that is shown or written', async () => {
    await fixture.run(`CREATE RESOURCE r ${list({ ...S3, s3_token: TOKEN })}`);
    const shown = JSON.stringify([
      await fixture.text('SHOW RESOURCES'),
      await fixture.text('SELECT * FROM information_schema.resources'),
    ]);
    const files = readdirSync(fixture.dir).filter((name) => name.startsWith('catalog.db'));
    const texts = files.map((name) => readFileSync(join(fixture.dir, name), 'latin1'));
    expect(texts.join('')).toContain('test-bucket');
    for (const text of [shown, ...texts]) {
      expect(text).not.toContain(SECRET);
      expect(text).not.toContain(TOKEN);
    }
    expect(texts.join('')).not.toContain(ACCESS);
    expect((await items('r'))['s3.session_token']).toBe('******');
    const { store } = await fixture.catalog.resources.get('r');
    expect(store).toMatchObject({ secretKey: SECRET, sessionToken: TOKEN, accessKey: ACCESS });
  });
});

const ALTERED: Readonly<Record<string, string>> = {
  AWS_MAX_CONNECTIONS: '1111',
  AWS_CONNECTION_TIMEOUT_MS: '2222',
  AWS_SECRET_KEY: '5555',
  AWS_ACCESS_KEY: '6666',
  AWS_REQUEST_TIMEOUT_MS: '7777',
  AWS_TOKEN: 'new_session_token',
};
const MOVED: Readonly<Record<string, string>> = {
  AWS_REGION: '8888',
  AWS_BUCKET: '9999',
  AWS_ROOT_PATH: '10101010',
  AWS_ENDPOINT: '11111111',
};
const ALTERED_ITEMS = {
  's3.access_key': '6666',
  's3.connection.maximum': '1111',
  's3.connection.request.timeout': '7777',
  's3.connection.timeout': '2222',
  's3.secret_key': '******',
  's3.session_token': '******',
};

describe('ALTER RESOURCE', () => {
  async function alter(properties: Readonly<Record<string, string>>): Promise<string> {
    return await fixture.error(`ALTER RESOURCE "r" ${list(properties)}`);
  }

  it('changes all but the type while no policy uses it', async () => {
    await fixture.run(`CREATE RESOURCE r ${list(S3)}`);
    for (const [key, value] of Object.entries({ ...ALTERED, ...MOVED })) {
      expect(await alter({ [key]: value })).toBe('no error');
    }
    expect(await alter({ type: 'local' })).toBe('1105 current not support modify property : type');
    expect(await items('r')).toMatchObject({
      ...ALTERED_ITEMS,
      's3.bucket': '9999',
      's3.endpoint': '11111111',
      's3.region': '8888',
      's3.root.path': '10101010',
      version: '10',
    });
    expect((await fixture.catalog.resources.get('r')).store).toMatchObject({
      accessKey: '6666',
      secretKey: '5555',
      sessionToken: 'new_session_token',
    });
    expect(await alter({ AWS_TOKEN: '' })).toBe('no error');
    expect(await items('r')).not.toHaveProperty('s3.session_token');
    expect(await alter({ AWS_BUCKET: '' })).toBe('1105 Missing [AWS_BUCKET] in properties.');
  });

  it('leaves the data where it is while a policy uses it', async () => {
    await fixture.run(`CREATE RESOURCE r ${list(S3)};
      CREATE STORAGE POLICY p PROPERTIES("storage_resource" = "r", "cooldown_ttl" = "1d")`);
    for (const [key, value] of Object.entries(ALTERED)) {
      expect(await alter({ [key]: value })).toBe('no error');
    }
    for (const [key, value] of Object.entries(MOVED)) {
      expect(await alter({ [key]: value })).toBe(
        `1105 current not support modify property : ${key}`,
      );
    }
    expect(await items('r')).toMatchObject({
      ...ALTERED_ITEMS,
      's3.bucket': 'test-bucket',
      's3.endpoint': 'http://127.0.0.1:1',
      's3.region': 'bj',
      's3.root.path': 'path/to/root',
    });
  });

  it('tries the store out when it is asked to, and changes nothing when it does not work', async () => {
    await fixture.run(`CREATE RESOURCE r ${list(S3)}`);
    await fixture.run('ADMIN SET FRONTEND CONFIG ("object_store_retries" = "0")');
    expect(await alter({ s3_validity_check: 'true' })).toMatch(/cannot be used: cannot write/);
    expect(await items('r')).toMatchObject({ s3_validity_check: 'false', version: '0' });
    const path = join(directory, 'first');
    await fixture.run(
      `CREATE RESOURCE l PROPERTIES("type" = "local", "local.root.path" = "${path}")`,
    );
    const next = join(directory, 'next');
    await fixture.run(`ALTER RESOURCE l PROPERTIES("local.root.path" = "${next}")`);
    expect(await items('l')).toMatchObject({ 'local.root.path': next, version: '1' });
    // What is known of a store stays while it is the same one.
    await fixture.catalog.resources.alter(
      await fixture.catalog.resources.get('r'),
      { ...(await fixture.catalog.resources.get('r')), conditionalWrites: 'false' },
      undefined,
    );
    expect(await alter({ s3_max_connections: '7' })).toBe('no error');
    expect(await items('r')).toMatchObject({ supports_conditional_writes: 'false' });
    expect(await alter({ s3_bucket: 'moved' })).toBe('no error');
    expect(await items('r')).toMatchObject({ supports_conditional_writes: 'unknown' });
    expect(await fixture.error('ALTER RESOURCE l PROPERTIES("s3.bucket" = "b")')).toMatch(
      /^1105 Unknown property 's3.bucket'/,
    );
  });

  it('needs a resource that is there', async () => {
    expect(await alter({ AWS_TOKEN: 'x' })).toBe('1105 Resource(r) does not exist');
  });
});

describe('DROP and SHOW RESOURCE', () => {
  it('drops what no policy uses', async () => {
    await fixture.run(`CREATE RESOURCE r ${list(S3)};
      CREATE STORAGE POLICY p PROPERTIES("storage_resource" = "r", "cooldown_ttl" = "1d")`);
    expect(await fixture.error("DROP RESOURCE 'r'")).toBe(
      "1105 S3 resource used by policy, can't drop it. (by p)",
    );
    await fixture.run('DROP STORAGE POLICY p; DROP RESOURCE r');
    expect(await fixture.error('DROP RESOURCE r')).toBe('1105 Resource(r) does not exist');
    await fixture.run('DROP RESOURCE IF EXISTS r');
    expect(fixture.warnings()).toEqual(['Note 1105 Resource(r) does not exist']);
  });

  it('filters, sorts and limits', async () => {
    await fixture.run(`CREATE RESOURCE r1 ${list(S3)}; CREATE RESOURCE r2 ${list(S3)}`);
    const one = async (sql: string): Promise<string[]> => (await fixture.text(sql)).slice(1);
    expect(await one('SHOW RESOURCES LIKE "r2" ORDER BY Item DESC LIMIT 1')).toEqual([
      'r2 | s3 | version | 0',
    ]);
    expect(await one("SHOW RESOURCES WHERE item = 's3.bucket' AND name LIKE 'r%'")).toEqual([
      'r1 | s3 | s3.bucket | test-bucket',
      'r2 | s3 | s3.bucket | test-bucket',
    ]);
    expect(
      await one(`SELECT Name, COUNT(*) FROM information_schema.resources
        GROUP BY Name ORDER BY Name DESC LIMIT 1`),
    ).toEqual(['r2 | 15']);
  });
});
