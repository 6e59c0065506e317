/** Statements about storage policies, and the property "storage_policy" of tables. */
import type { AgentCalls } from '../../../base/agent_messages.ts';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { ShowFixture } from './fixture.ts';

let fixture: ShowFixture;
beforeEach(async () => {
  fixture = await ShowFixture.open();
  for (const name of ['r', 'other']) {
    await fixture.run(`CREATE RESOURCE ${name} PROPERTIES("type" = "s3",
      "s3.endpoint" = "http://127.0.0.1:1", "s3.region" = "bj", "s3.root.path" = "root",
      "s3.access_key" = "a", "s3.secret_key" = "s", "s3.bucket" = "b",
      "s3_validity_check" = "false")`);
  }
});
afterEach(async () => {
  await fixture.close();
});

async function create(name: string, ...properties: readonly string[]): Promise<string> {
  return await fixture.error(
    `CREATE STORAGE POLICY ${name} PROPERTIES(${properties.map(quoted).join(', ')})`,
  );
}

async function alter(name: string, ...properties: readonly string[]): Promise<string> {
  return await fixture.error(
    `ALTER STORAGE POLICY ${name} PROPERTIES(${properties.map(quoted).join(', ')})`,
  );
}

/** `key=value` → `"key" = "value"`. */
function quoted(property: string): string {
  const at = property.indexOf('=');
  return `"${property.slice(0, at)}" = "${property.slice(at + 1)}"`;
}

/** Version, CooldownDatetime and CooldownTtl. */
async function times(name: string): Promise<unknown[]> {
  const [row = {}] = await fixture.objects(`SHOW STORAGE POLICY WHERE PolicyName = '${name}'`);
  return [row['Version'], row['CooldownDatetime'], row['CooldownTtl']];
}

const IN_R = 'storage_resource=r';

describe('CREATE STORAGE POLICY', () => {
  it('shows in Doris’s columns', async () => {
    expect(await create('p1', IN_R, 'cooldown_datetime=2022-06-08 00:00:00')).toBe('no error');
    expect(await create('p2', IN_R, 'cooldown_ttl=10086')).toBe('no error');
    const { names, rows } = await fixture.rows('SHOW STORAGE POLICY');
    expect(names.join(' ')).toBe(
      'PolicyName Id Version Type StorageResource CooldownDatetime CooldownTtl',
    );
    expect(rows.map((row) => row.filter((_, at) => at !== 1))).toEqual([
      ['p1', '0', 'STORAGE', 'r', '2022-06-08 00:00:00', '-1'],
      ['p2', '0', 'STORAGE', 'r', '-1', '10086'],
    ]);
    expect(rows.every((row) => /^\d+$/.test(String(row[1])))).toBe(true);
  });

  it.each([
    ['0', '0'],
    ['1d', '86400'],
    ['2day', '172800'],
    ['3h', '10800'],
    ['1hour', '3600'],
    ['1week', '604800'],
    [' 5 ', '5'],
    ['31536000000', '31536000000'],
  ])('reads a time to live of %j', async (text, seconds) => {
    expect(await create('p', IN_R, `cooldown_ttl=${text}`)).toBe('no error');
    expect(await times('p')).toEqual(['0', '-1', seconds]);
  });

  it.each([
    ['-10086', "cooldownTtl can't be less than 0"],
    ['-1d', "cooldownTtl can't be less than 0"],
    ['', 'getSecByCooldownTtl failed.'],
    ['soon', 'getSecByCooldownTtl failed.'],
    ['1.5h', 'getSecByCooldownTtl failed.'],
    ['3 days', 'getSecByCooldownTtl failed.'],
    ['31536000001', 'getSecByCooldownTtl failed.'],
    ['99999999999999999999999', 'getSecByCooldownTtl failed.'],
  ])('refuses a time to live of %j', async (text, message) => {
    expect(await create('p', IN_R, `cooldown_ttl=${text}`)).toContain(`1105 ${message}`);
    expect(await times('p')).toEqual([undefined, undefined, undefined]);
  });

  it.each(['2022-06-08', '2023-13-32 00:00:00', 'tomorrow', '', '2022-06-08T00:00:00'])(
    'refuses a datetime of %j',
    async (text) => {
      expect(await create('p', IN_R, `cooldown_datetime=${text}`)).toBe(
        `1105 cooldown_datetime format error: ${text} (allowed: yyyy-MM-dd HH:mm:ss)`,
      );
    },
  );

  it('takes exactly one time, and a resource that is there', async () => {
    const [ttl, datetime] = ['cooldown_ttl=10086', 'cooldown_datetime=2022-06-08 00:00:00'];
    expect(await create('p', IN_R, ttl, datetime)).toBe(
      "1105 cooldown_datetime and cooldown_ttl can't be set together.",
    );
    expect(await create('p', IN_R)).toBe('1105 cooldown_datetime or cooldown_ttl must be set');
    expect(await create('p', ttl)).toBe('1105 Missing [storage_resource] in properties.');
    expect(await create('p', 'storage_resource=x', ttl)).toBe(
      "1105 storage resource doesn't exist: x",
    );
    expect(await create('p', IN_R, ttl, 'retention_days=3')).toMatch(
      /^1105 Unknown Storage policy properties: \{retention_days\}/,
    );
    expect(await create('p', IN_R, ttl, ttl)).toBe("1105 Property 'cooldown_ttl' is given twice");
    expect(await create('`p `', IN_R, ttl)).toMatch(/^1105 Incorrect storage policy name/);
    expect((await fixture.rows('SHOW STORAGE POLICY')).rows).toEqual([]);
  });

  it('refuses names that are taken', async () => {
    expect(await create('p', IN_R, 'cooldown_ttl=1')).toBe('no error');
    expect(await create('p', IN_R, 'cooldown_ttl=1')).toBe('1105 the policy p already create');
    expect(await create('default_storage_policy', IN_R, 'cooldown_ttl=1')).toBe(
      '1105 the policy default_storage_policy already create',
    );
    await fixture.run(`CREATE STORAGE POLICY IF NOT EXISTS p
      PROPERTIES("storage_resource" = "r", "cooldown_ttl" = "7")`);
    expect(fixture.warnings()).toEqual(['Note 1105 the policy p already create']);
    expect(await times('p')).toEqual(['0', '-1', '1']);
  });
});

describe('ALTER STORAGE POLICY', () => {
  it('changes the time, and counts versions', async () => {
    await create('p', IN_R, 'cooldown_ttl=10086');
    expect(await alter('p', 'cooldown_ttl=10000')).toBe('no error');
    expect(await times('p')).toEqual(['1', '-1', '10000']);
    expect(await alter('p', 'cooldown_ttl=-10000')).toBe("1105 cooldownTtl can't be less than 0");
    // Not both: the other one is unset in the same statement.
    const datetime = 'cooldown_datetime=2023-06-08 00:00:00';
    expect(await alter('p', datetime)).toBe(
      "1105 cooldown_datetime and cooldown_ttl can't be set together.",
    );
    expect(await alter('p', datetime, 'cooldown_ttl=')).toBe('no error');
    expect(await times('p')).toEqual(['2', '2023-06-08 00:00:00', '-1']);
    expect(await alter('p', 'cooldown_datetime=2023-13-32 00:00:00')).toMatch(
      /^1105 cooldown_datetime format error: 2023-13-32 00:00:00/,
    );
    expect(await alter('p', 'cooldown_ttl=5')).toBe(
      "1105 cooldown_datetime and cooldown_ttl can't be set together.",
    );
    expect(await alter('p', 'cooldown_datetime=', 'cooldown_ttl=1h')).toBe('no error');
    expect(await times('p')).toEqual(['3', '-1', '3600']);
  });

  it('leaves one time, which is not 0', async () => {
    await create('p', IN_R, 'cooldown_ttl=10');
    expect(await alter('p', 'cooldown_ttl=0')).toBe(
      '1105 cooldown_datetime or cooldown_ttl must be set',
    );
    expect(await alter('p', 'cooldown_ttl=')).toBe(
      '1105 cooldown_datetime or cooldown_ttl must be set',
    );
    expect(await times('p')).toEqual(['0', '-1', '10']);
    await create('zero', IN_R, 'cooldown_ttl=0');
    expect(await alter('zero', 'cooldown_datetime=2030-01-01 00:00:00')).toBe('no error');
    expect(await times('zero')).toEqual(['1', '2030-01-01 00:00:00', '-1']);
  });

  it('does not move data', async () => {
    await create('p', IN_R, 'cooldown_ttl=10');
    expect(await alter('p', 'storage_resource=other')).toBe(
      "1105 not support change storage policy's storage resource, you can change s3 properties by alter resource",
    );
    expect(await alter('p', IN_R, 'cooldown_ttl=11')).toBe('no error');
    expect(await alter('p', 'retention_days=3')).toBe(
      '1105 Unknown Storage policy properties: {retention_days} (allowed: storage_resource, cooldown_datetime, cooldown_ttl)',
    );
    expect(await alter('x', 'cooldown_ttl=1')).toBe('1105 Storage policy does not exist. name: x');
  });

  it('gives the default policy its resource', async () => {
    const name = 'default_storage_policy';
    expect((await fixture.rows('SHOW STORAGE POLICY')).rows).toEqual([]);
    expect(await alter(name, 'cooldown_ttl=60')).toBe(
      '1105 Missing [storage_resource] in properties.',
    );
    expect(await alter(name, 'storage_resource=x', 'cooldown_ttl=60')).toBe(
      "1105 storage resource doesn't exist: x",
    );
    expect(await alter(name, IN_R, 'cooldown_ttl=60')).toBe('no error');
    expect(await times(name)).toEqual(['0', '-1', '60']);
    expect(await alter(name, 'storage_resource=other')).toMatch(/^1105 not support change/);
    expect(await alter(name, 'cooldown_ttl=61')).toBe('no error');
    await fixture.run(`DROP STORAGE POLICY ${name}`);
    expect(await alter(name, 'storage_resource=other', 'cooldown_ttl=60')).toBe('no error');
  });
});

describe('DROP and SHOW STORAGE POLICY', () => {
  it('drops what no table uses', async () => {
    await create('p', IN_R, 'cooldown_ttl=10');
    await fixture.run('DROP STORAGE POLICY p');
    expect(await fixture.error('DROP STORAGE POLICY p')).toBe(
      '1105 Storage policy does not exist. name: p',
    );
    await fixture.run('DROP STORAGE POLICY IF EXISTS p');
    expect(fixture.warnings()).toEqual(['Note 1105 Storage policy does not exist. name: p']);
  });

  it('filters, sorts and limits', async () => {
    for (const name of ['p1', 'p2', 'q']) await create(name, IN_R, 'cooldown_ttl=10');
    const names = async (sql: string): Promise<unknown[]> =>
      (await fixture.rows(sql)).rows.map(([name]) => name);
    expect(await names("SHOW STORAGE POLICY LIKE 'p%' ORDER BY PolicyName DESC")).toEqual([
      'p2',
      'p1',
    ]);
    expect(await names('SHOW STORAGE POLICY WHERE CooldownTtl = 10 LIMIT 1 OFFSET 2')).toEqual([
      'q',
    ]);
    expect(
      await names("SELECT PolicyName FROM information_schema.storage_policies WHERE Version = '0'"),
    ).toEqual(['p1', 'p2', 'q']);
  });
});

describe('the property "storage_policy"', () => {
  const SHARED =
    "1235 not supported yet: property 'storage_policy' of a shared table, whose data lies in a " +
    'vault (create it with "replication_num")';
  const UNKNOWN = '1105 Storage policy does not exist. name: nosuch';

  beforeEach(async () => {
    await create('p', IN_R, 'cooldown_ttl=10');
    await create('past', IN_R, 'cooldown_datetime=2020-01-01 00:00:00');
    await fixture.group('g', [1, 2]);
    const table = (name: string): string => `CREATE TABLE d.${name} (k INT, v INT) DUPLICATE KEY(k)
      PARTITION BY RANGE(k) (PARTITION p1 VALUES LESS THAN ("10"), PARTITION p2 VALUES LESS THAN ("20"))
      DISTRIBUTED BY HASH(k) BUCKETS 1`;
    await fixture.run(`CREATE DATABASE d; ${table('shared')};
      ${table('t')} PROPERTIES("replication_num" = "2")`);
  });

  const policies = async (table: string): Promise<unknown[]> =>
    (await fixture.rows(`SHOW PARTITIONS FROM ${table}`)).rows.map((row) => row[12]);

  async function createTable(
    ofTable: Readonly<Record<string, string>>,
    ofPartition: string | undefined,
    keys = 'DUPLICATE',
  ): Promise<string> {
    const partition = ofPartition === undefined ? '' : `("storage_policy" = "${ofPartition}")`;
    const properties = Object.entries(ofTable).map(([key, value]) => `"${key}" = "${value}"`);
    const end = properties.length === 0 ? '' : `PROPERTIES(${properties.join(', ')})`;
    return await fixture.error(`CREATE TABLE d.n (k INT, v INT) ${keys} KEY(k)
      PARTITION BY RANGE(k) (PARTITION p1 VALUES LESS THAN ("10") ${partition})
      DISTRIBUTED BY HASH(k) BUCKETS 1 ${end}`);
  }

  it('of CREATE TABLE names a policy that is there', async () => {
    const table = { storage_policy: 'nosuch', replication_num: '3' };
    expect(await createTable(table, undefined)).toBe(UNKNOWN);
    expect(await createTable({}, 'nosuch')).toBe(UNKNOWN);
    expect(await createTable({ storage_policy: 'p' }, 'nosuch')).toBe(UNKNOWN);
    const again = async (): Promise<unknown> => {
      const shown = await policies('d.n');
      await fixture.run('DROP TABLE d.n');
      return shown;
    };
    expect(await createTable({ storage_policy: 'p' }, undefined)).toBe('no error');
    expect(await again()).toEqual(['p']);
    expect(await createTable({}, 'p')).toBe('no error');
    expect(await again()).toEqual(['p']);
    // The table's wins.
    expect(await createTable({ storage_policy: 'p' }, 'past')).toBe('no error');
    expect(await again()).toEqual(['p']);
    expect(await createTable({ replication_num: '3' }, undefined)).toMatch(
      /^1105 Failed to find enough backend, .* 3 replicas wanted, compute group g has 2 enabled/,
    );
    expect(await createTable({ replication_num: '0' }, undefined)).toMatch(
      /^1105 .*'replication_num'.* a whole number from 1 to 32767/,
    );
    const allocation = { replication_allocation: 'tag.location.h: 1' };
    expect(await createTable(allocation, undefined)).toMatch(/Compute group h does not exist/);
    expect(await createTable({ ...allocation, replication_num: '2' }, undefined)).toMatch(
      /'replication_num'/,
    );
    expect(await createTable({ storage_policy: 'default_storage_policy' }, undefined)).toMatch(
      /^1105 Use default storage policy, but not give s3 info, please use alter resource/,
    );
    expect(await createTable({ storage_policy: '' }, '')).toBe('no error');
  });

  it('does not go with merge-on-write', async () => {
    const text =
      '1105 Can not create UNIQUE KEY table that enables Merge-On-write with storage policy(p)';
    expect(await createTable({ storage_policy: 'p' }, undefined, 'UNIQUE')).toBe(text);
    expect(await createTable({}, 'p', 'UNIQUE')).toBe(text);
    const without = { storage_policy: 'p', enable_unique_key_merge_on_write: 'false' };
    expect(await createTable(without, undefined, 'UNIQUE')).toMatch(/^1235 .*UNIQUE KEY tables/);
  });

  it('is given and created only while enable_storage_policy is true', async () => {
    const off =
      "1105 storage policy feature is disabled. Enable it by setting 'enable_storage_policy=true'";
    await fixture.run('ALTER TABLE d.t MODIFY PARTITION p1 SET ("storage_policy" = "p")');
    await fixture.run('ADMIN SET FRONTEND CONFIG ("enable_storage_policy" = "false")');
    for (const sql of [
      'CREATE STORAGE POLICY q PROPERTIES("storage_resource" = "r", "cooldown_ttl" = "1")',
      'ALTER TABLE d.t SET ("storage_policy" = "p")',
      'ALTER TABLE d.t MODIFY PARTITION p2 SET ("storage_policy" = "p")',
      'ALTER TABLE d.t ADD PARTITION p3 VALUES LESS THAN ("30") ("storage_policy" = "p")',
    ]) {
      expect(await fixture.error(sql)).toBe(off);
    }
    expect(await createTable({ storage_policy: 'p' }, undefined)).toBe(off);
    expect(await policies('d.t')).toEqual(['p', '']);
    await fixture.run('ALTER TABLE d.t MODIFY PARTITION (*) SET ("storage_policy" = "")');
    await fixture.run('ADMIN SET FRONTEND CONFIG ("enable_storage_policy" = "true")');
    await fixture.run('ALTER TABLE d.t SET ("storage_policy" = "p")');
    expect(await policies('d.t')).toEqual(['p', 'p']);
  });

  it('is not dropped while partitions to come would have it', async () => {
    await fixture.run(`CREATE TABLE d.dy (k DATE) PARTITION BY RANGE(k)
      (PARTITION p0 VALUES LESS THAN ("2020-01-01")) DISTRIBUTED BY HASH(k) BUCKETS 1
      PROPERTIES("replication_num" = "1", "dynamic_partition.enable" = "false",
        "dynamic_partition.time_unit" = "DAY", "dynamic_partition.end" = "1",
        "dynamic_partition.prefix" = "p", "dynamic_partition.storage_policy" = "p")`);
    expect(await fixture.error('DROP STORAGE POLICY p')).toBe(
      '1105 the policy p is used by table: dy',
    );
    await fixture.run('DROP STORAGE POLICY past; DROP TABLE d.dy; DROP STORAGE POLICY p');
  });

  it('is told to all backends that have replicas', async () => {
    const told = (name: string): number[] =>
      fixture.replicaCalls.filter((call) => call.name === name).map((call) => call.backendId);
    expect(new Set(told('createReplicas')).size).toBe(2);
    await fixture.run('ALTER TABLE d.t SET ("storage_policy" = "p")');
    expect(new Set(told('setPolicies')).size).toBe(2);
    const { policyId } = await fixture.catalog.storagePolicies.get('p');
    const { request } = fixture.replicaCalls.at(-1) ?? { request: {} };
    const { replicas } = request as AgentCalls['setPolicies']['request'];
    expect(replicas.map((replica) => replica.policyId)).toEqual([policyId, policyId]);
  });

  it('of the only partition of a table without partitions is that of the table', async () => {
    await fixture.run(`CREATE TABLE d.u (k INT) DISTRIBUTED BY HASH(k) BUCKETS 1
      PROPERTIES("replication_num" = "2", "storage_policy" = "p")`);
    const using = async (): Promise<unknown> =>
      (await fixture.rows('SHOW STORAGE POLICY USING')).rows;
    expect(await using()).toEqual([['p', 'd', 'u', 'ALL']]);
    await fixture.run('ALTER TABLE d.u MODIFY PARTITION (*) SET ("storage_policy" = "")');
    expect(await using()).toEqual([]);
    await fixture.run('TRUNCATE TABLE d.u');
    expect(await policies('d.u')).toEqual(['']);
    expect((await fixture.text('SHOW CREATE TABLE d.u')).join('')).not.toContain('storage_policy');
    await fixture.run('ALTER TABLE d.u MODIFY PARTITION u SET ("storage_policy" = "p")');
    expect(await using()).toEqual([['p', 'd', 'u', 'ALL']]);
    expect((await fixture.text('SHOW CREATE TABLE d.u')).join('')).toContain('"storage_policy"');
  });

  it('is set by ALTER TABLE', async () => {
    const set = async (name: string): Promise<string> =>
      await fixture.error(`ALTER TABLE d.t SET ("storage_policy" = "${name}")`);
    expect(await set('nosuch')).toBe(UNKNOWN);
    expect(await fixture.error('ALTER TABLE d.shared SET ("storage_policy" = "p")')).toBe(SHARED);
    expect(await set('p')).toBe('no error');
    expect(await policies('d.t')).toEqual(['p', 'p']);
    expect((await fixture.text('SHOW CREATE TABLE d.t')).join('')).toContain(
      '"storage_policy" = "p"',
    );
    expect(await set('past')).toBe('no error');
    expect(await set('')).toBe('no error');
    expect((await fixture.text('SHOW CREATE TABLE d.t')).join('')).not.toContain('storage_policy');
    const add = async (name: string): Promise<string> =>
      await fixture.error(`ALTER TABLE d.t ADD PARTITION p3 VALUES LESS THAN ("30")
        ("storage_policy" = "${name}")`);
    expect(await add('nosuch')).toBe(UNKNOWN);
    expect(await add('p')).toBe('no error');
    expect(await policies('d.t')).toEqual(['', '', 'p']);
    await fixture.run('ALTER TABLE d.t DROP PARTITION p3');
    expect(await add('')).toBe('no error');
  });

  it.each(['p1', '(p1, p2)', '(*)'])('is set by MODIFY PARTITION %s', async (partitions) => {
    const modify = async (name: string): Promise<string> =>
      await fixture.error(`ALTER TABLE d.t MODIFY PARTITION ${partitions}
        SET ("storage_policy" = "${name}")`);
    expect(await modify('nosuch')).toBe(UNKNOWN);
    expect(await modify('p')).toBe('no error');
    expect(await modify('past')).toMatch(
      /^1105 remote storage cool down time: 2020-01-01 00:00:00 should later than now: \d{4}-/,
    );
    expect(await modify('')).toBe('no error');
    const shared = 'ALTER TABLE d.shared MODIFY PARTITION (*) SET ("storage_policy" = "p")';
    expect(await fixture.error(shared)).toBe(SHARED);
    expect(
      await fixture.error('ALTER TABLE d.t MODIFY PARTITION p9 SET ("storage_policy" = "p")'),
    ).toBe("1735 Unknown partition 'p9' in table 't'");
    expect(
      await fixture.error('ALTER TABLE d.t MODIFY PARTITION p1 SET ("in_memory" = "true")'),
    ).toMatch(/^1105 Unknown property 'in_memory'/);
  });

  it('shows where it is', async () => {
    const { storagePolicies } = fixture.catalog;
    const { tableId } = await fixture.table('d', 't');
    await storagePolicies.bind(tableId, ['p2'], await storagePolicies.get('p'));
    const partitions = await fixture.rows('SHOW PARTITIONS FROM d.t');
    expect(partitions.rows.map((row) => row[12])).toEqual(['', 'p']);
    expect(await fixture.text('SHOW STORAGE POLICY USING FOR p')).toEqual([
      'PolicyName | Database | Table | Partitions',
      'p | d | t | p2',
    ]);
    expect(await fixture.error('DROP STORAGE POLICY p')).toBe(
      '1105 the policy p is used by table: t',
    );
    await storagePolicies.bind(tableId, 'table', await storagePolicies.get('past'));
    await fixture.run('ALTER TABLE d.t ADD PARTITION p3 VALUES LESS THAN ("30")');
    expect((await fixture.text('SHOW STORAGE POLICY USING')).slice(1)).toEqual([
      'past | d | t | ALL',
    ]);
    await storagePolicies.bind(tableId, ['p1'], await storagePolicies.get('p'));
    expect(
      (await fixture.text('SELECT * FROM information_schema.storage_policy_usages')).slice(1),
    ).toEqual(['p | d | t | p1', 'past | d | t | p2,p3']);
    expect((await fixture.rows('SHOW STORAGE POLICY USING FOR nosuch')).rows).toEqual([]);
    await fixture.run('ALTER TABLE d.t MODIFY PARTITION (p1) SET ("storage_policy" = "")');
    expect((await fixture.rows('SHOW STORAGE POLICY USING FOR p')).rows).toEqual([]);
    await fixture.run('ALTER TABLE d.t SET ("storage_policy" = "")');
    await fixture.run('DROP STORAGE POLICY p; DROP STORAGE POLICY past');
  });
});
