/** Configuration, accounts and loads. */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { beginLoad, load } from '../../catalog/fixture.ts';
import { makeNative, verifyCachingSha2 } from '../../../server/mysql/passwords.ts';
import { ShowFixture } from './fixture.ts';

let show: ShowFixture;
beforeEach(async () => {
  show = await ShowFixture.open();
});
afterEach(async () => {
  await show.close();
});

describe('ADMIN SHOW and SET FRONTEND CONFIG', () => {
  it('shows keys with their values', async () => {
    expect(await show.text("ADMIN SHOW FRONTEND CONFIG LIKE 'cloud_warm_up_timeout%'")).toEqual([
      'Key | Value | Type | IsMutable | MasterOnly | Comment',
      'cloud_warm_up_timeout_second | 2592000 | int | true | false | Seconds after which a run of a warm-up job is ended, from its start.',
    ]);
    const fixed = await show.objects("SHOW CONFIG WHERE IsMutable = 'false' AND Type = 'long'");
    expect(fixed.map(({ Key }) => Key)).toContain('file_cache_capacity_bytes');
  });

  it('changes several keys at once, and only for now', async () => {
    await show.run(
      'ADMIN SET FRONTEND CONFIG ("max_connections" = "5", "cloud_warm_up_force_all_partitions" = "true")',
    );
    expect(show.config.get('max_connections')).toBe(5);
    expect(show.config.get('cloud_warm_up_force_all_partitions')).toBe(true);
    expect(await show.catalog.configOverrides.all()).toEqual({});
  });

  it('persists when asked to', async () => {
    await show.run('ADMIN SET FRONTEND CONFIG ("max_connections" = "5", "persist" = "true")');
    expect(await show.catalog.configOverrides.all()).toEqual({ max_connections: '5' });
    expect(show.config.get('max_connections')).toBe(5);
  });

  it.each([
    ['"wait_timeout" = "x"', /^1105 Invalid value 'x' for config 'wait_timeout'; allowed: /],
    ['"log_level" = "info"', /^1105 Config 'log_level' is not mutable/],
    ['"max_connection" = "1"', /^1105 .*did you mean 'max_connections'/],
    ['"max_connections" = "6"', /^1105 Property 'max_connections' is given twice/],
    ['"persist" = "maybe"', /^1105 Invalid value 'maybe' for property 'persist'/],
  ])('changes nothing when one is wrong: %s', async (wrong, expected) => {
    const sql = `ADMIN SET FRONTEND CONFIG ("max_connections" = "5", ${wrong})`;
    expect(await show.error(sql)).toMatch(expected);
    expect(show.config.get('max_connections')).toBe(1024);
    expect(await show.catalog.configOverrides.all()).toEqual({});
  });

  it('wants something to set', async () => {
    expect(await show.error('ADMIN SET FRONTEND CONFIG ("persist" = "true")')).toMatch(/^1105 /);
  });
});

describe('SET GLOBAL and SET PERSIST', () => {
  it('of a variable that is a setting of the server change the setting', async () => {
    await show.run('SET GLOBAL max_connections = 5, @@global.require_secure_transport = ON');
    expect(show.config.get('max_connections')).toBe(5);
    expect(show.config.get('require_secure_transport')).toBe(true);
    expect(await show.catalog.configOverrides.all()).toEqual({});
    await show.run(
      'SET GLOBAL max_connections = DEFAULT, GLOBAL Max_Prepared_Stmt_Count = 99999999',
    );
    expect(show.config.get('max_connections')).toBe(1024);
    expect(show.config.get('max_prepared_stmt_count')).toBe(1_048_576);
  });

  it('keep it over a restart with PERSIST', async () => {
    await show.run('SET PERSIST max_connections = 5, @@persist.wait_timeout = 60');
    expect(show.config.get('wait_timeout')).toBe(60);
    expect(await show.catalog.configOverrides.all()).toEqual({
      max_connections: '5',
      wait_timeout: '60',
    });
  });

  it('is taken back by RESET PERSIST, for the next start', async () => {
    await show.run('SET PERSIST max_connections = 5, PERSIST wait_timeout = 60');
    await show.run('RESET PERSIST Max_Connections');
    expect(await show.catalog.configOverrides.all()).toEqual({ wait_timeout: '60' });
    expect(show.config.get('max_connections')).toBe(5);
    expect(await show.error('RESET PERSIST max_connections')).toBe(
      '3615 Variable max_connections does not exist in persisted config file',
    );
    await show.run('RESET PERSIST IF EXISTS nonsense');
    expect(show.warnings()).toEqual([
      'Warning 3615 Variable nonsense does not exist in persisted config file',
    ]);
    await show.run(
      'ADMIN SET FRONTEND CONFIG ("cloud_warm_up_force_all_partitions" = "true", "persist" = "true")',
    );
    await show.run('RESET PERSIST');
    expect(Object.keys(await show.catalog.configOverrides.all())).toEqual([
      'cloud_warm_up_force_all_partitions',
    ]);
  });

  it.each([
    ['SET PERSIST sql_mode = ANSI', /^1235 .*SET PERSIST sql_mode/],
    ['SET PERSIST_ONLY max_connections = 6', /^1235 .*SET PERSIST_ONLY/],
    ['SET PERSIST nonsense = 6', /^1235 /],
    ["SET PERSIST max_connections = 'x'", /^1231 /],
    ['SET PERSIST max_connections = 6, GLOBAL version = 1', /^1238 /],
    ['SET GLOBAL max_connections = 6, GLOBAL nonsense = 1', /^1193 /],
  ])('change nothing when one is wrong: %s', async (sql, expected) => {
    expect(await show.error(sql)).toMatch(expected);
    expect(show.config.get('max_connections')).toBe(1024);
    expect(await show.catalog.configOverrides.all()).toEqual({});
    expect(show.session.variables.get('max_connections', 'global').value).toBe(1024n);
  });

  it('of the session leave the setting alone', async () => {
    await show.run('SET wait_timeout = 7');
    expect(show.config.get('wait_timeout')).toBe(28_800);
  });
});

describe('UNSET DEFAULT STORAGE VAULT', () => {
  it('leaves new tables without a vault unless they name one', async () => {
    await show.run('CREATE DATABASE d; UNSET DEFAULT STORAGE VAULT');
    const vaults = await show.objects('SHOW STORAGE VAULTS');
    expect(vaults.map(({ IsDefault }) => IsDefault)).toEqual(['false']);
    const create = 'CREATE TABLE d.t (a INT) DISTRIBUTED BY HASH(a) BUCKETS 1';
    expect(await show.error(create)).toContain('no default is set');
    const name = String(vaults[0]?.['Name']);
    await show.run(`${create} PROPERTIES ("storage_vault_name" = "${name}")`);
    await show.run(`SET ${name} AS DEFAULT STORAGE VAULT; CREATE TABLE d.u LIKE d.t`);
  });
});

describe('passwords', () => {
  const root = async () => await show.catalog.accounts.find('root', '%');

  it('sets the own password with the safer plugin', async () => {
    await show.run("SET PASSWORD = 'secret'");
    const account = await root();
    expect(account?.plugin).toBe('caching_sha2_password');
    const check = (password: string): Promise<boolean> =>
      verifyCachingSha2(account?.authString ?? '', Buffer.from(password));
    expect(await check('secret')).toBe(true);
    expect(await check('other')).toBe(false);
  });

  it('takes a plugin, a hash, or nothing', async () => {
    await show.run("ALTER USER root IDENTIFIED WITH mysql_native_password BY 'secret'");
    const native = makeNative('secret');
    expect(await root()).toMatchObject({ plugin: 'mysql_native_password', authString: native });
    const hash = makeNative('other');
    await show.run(`ALTER USER CURRENT_USER() IDENTIFIED WITH mysql_native_password AS '${hash}'`);
    expect(await root()).toMatchObject({ plugin: 'mysql_native_password', authString: hash });
    await show.run(`SET PASSWORD FOR 'root'@'%' = '${native}'`);
    await show.run("ALTER USER root IDENTIFIED BY ''");
    expect((await root())?.authString).toBe('');
  });

  it('refuses what it cannot use, and changes nothing', async () => {
    const before = await root();
    const refused = [
      "ALTER USER root IDENTIFIED BY 'x', nobody IDENTIFIED BY 'y'",
      "ALTER USER root IDENTIFIED WITH sha256_password BY 'x'",
      "ALTER USER root IDENTIFIED WITH mysql_native_password AS 'x'",
      `ALTER USER root IDENTIFIED BY '${'x'.repeat(257)}'`,
      "SET PASSWORD FOR nobody = 'x'",
      "CREATE USER root IDENTIFIED BY 'y'",
    ];
    const numbers: string[] = [];
    for (const sql of refused) numbers.push((await show.error(sql)).slice(0, 4));
    expect(numbers).toEqual(['1396', '1524', '1827', '1105', '1396', '1396']);
    expect(await root()).toEqual(before);
  });

  it('warns of missing accounts with IF EXISTS', async () => {
    await show.run("ALTER USER IF EXISTS nobody IDENTIFIED BY 'y'");
    expect(show.warnings()).toEqual([
      "Note 3162 Operation ALTER USER failed for 'nobody'@'%': no such user",
    ]);
  });

  it('shows grants', async () => {
    expect(await show.text('SHOW GRANTS')).toEqual([
      'Grants for root@%',
      "GRANT ALL PRIVILEGES ON *.* TO 'root'@'%' WITH GRANT OPTION",
    ]);
    expect(await show.objects('SHOW ALL GRANTS')).toMatchObject([{ Password: 'No' }]);
    expect(await show.error("SHOW GRANTS FOR 'x'@'y'")).toBe(
      "1141 There is no such grant defined for user 'x' on host 'y'",
    );
  });
});

describe('loads', () => {
  it('shows what was loaded and what failed', async () => {
    await show.run(
      'CREATE DATABASE d; USE d; CREATE TABLE t (k INT) DISTRIBUTED BY HASH (k) BUCKETS 1',
    );
    const table = await show.table('d', 't');
    await load(show.catalog, table, 1);
    const txnId = await beginLoad(show.catalog, table, 'second');
    await show.catalog.loads.abort(txnId, 'too bad');
    const loads = await show.objects('SHOW LOAD FROM d ORDER BY Label');
    expect(loads).toMatchObject([
      { Label: 'label-1', State: 'FINISHED', Progress: '100.00%', ErrorMsg: '' },
      { Label: 'second', State: 'CANCELLED', Progress: '0.00%', ErrorMsg: 'too bad' },
    ]);
    expect(JSON.parse(String(loads[0]?.['JobDetails']))).toEqual({
      Table: 't',
      LoadedRows: 60,
      FilteredRows: 1,
      LoadBytes: 500,
    });
    const [stream] = await show.objects("SHOW STREAM LOAD WHERE Label = 'label-1'");
    expect(stream).toMatchObject({ Db: 'd', Table: 't', Status: 'Success', LoadedRows: 60n });
    expect(stream).toMatchObject({ TotalRows: 61n, FilteredRows: 1n, LoadBytes: 500n });
    const [txn] = await show.objects(`SHOW TRANSACTION WHERE TransactionId = ${txnId}`);
    expect(txn).toMatchObject({ Label: 'second', TransactionStatus: 'ABORTED', Reason: 'too bad' });
    expect(await show.error('SHOW LOAD FROM nowhere')).toBe("1049 Unknown database 'nowhere'");
  });
});
