/** Every kind of statement by somebody without privileges: nothing is changed or revealed. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { SqlError } from '../../../base/errors.ts';
import type { RowsResult, SqlRow } from '../../../base/values.ts';
import { parseStatements } from '../../../parser/parse.ts';
import type { StatementKind } from '../../../parser/statement.ts';
import type { ExecContext } from '../../../server/executors/executor.ts';
import { executeStatement } from '../../../server/executors/table.ts';
import { ShowFixture } from './fixture.ts';

const LIMITS = { maxBytes: 2 ** 20, insertMaxBytes: 2 ** 20, allowMulti: true };

let show: ShowFixture;

beforeAll(async () => {
  show = await ShowFixture.open();
  await show.group('src', [8041]);
  await show.group('dst', [8042]);
  await show.run(`CREATE DATABASE d; CREATE TABLE d.t (a INT) DISTRIBUTED BY HASH (a) BUCKETS 1;
    CREATE TABLE d.u LIKE d.t; CREATE USER nobody, other IDENTIFIED BY 'x'; CREATE ROLE r;
    GRANT SELECT ON d.t TO ROLE r`);
  await show.warmUpJob('dst', 't');
});
afterAll(async () => {
  await show.close();
});

/** Number of the error; the rows, without what is NULL; or ok. */
async function outcome(sql: string, context: ExecContext): Promise<string> {
  try {
    let text = '';
    for (const { statement } of parseStatements(sql, LIMITS)) {
      const result = await executeStatement(statement, context);
      text = result.kind === 'ok' ? 'ok' : `${await rowCount(result)} rows`;
    }
    return text;
  } catch (error) {
    if (error instanceof SqlError) return String(error.errno);
    throw error;
  }
}

async function rowCount({ rows }: RowsResult): Promise<number> {
  let count = 0;
  for await (const batch of Array.isArray(rows) ? [rows as readonly SqlRow[]] : rows) {
    count += (batch as readonly SqlRow[]).length;
  }
  return count;
}

// prettier-ignore
const DENIED: Readonly<Record<StatementKind, readonly [sql: string, outcome: string | RegExp]>> = {
  CreateUser: ['CREATE USER x', '1227'],
  AlterUser: ["ALTER USER other IDENTIFIED BY 'y'", '1227'],
  DropUser: ['DROP USER other', '1227'],
  RenameUser: ['RENAME USER other TO x', '1227'],
  SetPassword: ["SET PASSWORD FOR root = 'y'", '1227'],
  SetRole: ["SET ROLE 'r'", '3530'],
  SetDefaultRole: ['SET DEFAULT ROLE NONE TO root', '1227'],
  CreateRole: ['CREATE ROLE x', '1227'],
  DropRole: ['DROP ROLE r', '1227'],
  Grant: ['GRANT SELECT ON d.t TO nobody', '1142'],
  Revoke: ['REVOKE SELECT ON d.t FROM ROLE r', '1142'],
  GrantRole: ["GRANT 'r' TO nobody", '1227'],
  RevokeRole: ["REVOKE 'r' FROM nobody", '1227'],
  ShowGrants: ['SHOW GRANTS FOR root', '1227'],
  ShowCreateUser: ['SHOW CREATE USER root', '1227'],
  ShowRoles: ['SHOW ROLES', '0 rows'],

  CreateComputeGroup: ['CREATE COMPUTE GROUP x', '1227'],
  DropComputeGroup: ['DROP COMPUTE GROUP dst FORCE', '1227'],
  AlterComputeGroup: ["ALTER COMPUTE GROUP dst PROPERTIES ('balance_type'='without_warmup')", '1227'],
  RenameComputeGroup: ['ALTER SYSTEM RENAME COMPUTE GROUP dst x', '1227'],
  AddBackend: ["ALTER SYSTEM ADD BACKEND 'embedded'", '1227'],
  DropBackend: ["ALTER SYSTEM DROP BACKEND '127.0.0.1:8041'", '1227'],
  CancelDecommission: ["CANCEL DECOMMISSION BACKEND '127.0.0.1:8041'", '1227'],
  DecommissionBackend: ["ALTER SYSTEM DECOMMISSION BACKEND '127.0.0.1:8041'", '1227'],
  StopBackend: ["ALTER SYSTEM STOP BACKEND '127.0.0.1:8041'", '1227'],
  StartBackend: ["ALTER SYSTEM START BACKEND '127.0.0.1:8041'", '1227'],
  KillBackend: ["ALTER SYSTEM KILL BACKEND '127.0.0.1:8041'", '1227'],
  ShowBackends: ['SHOW BACKENDS', '0 rows'],
  ShowComputeGroups: ['SHOW COMPUTE GROUPS', '0 rows'],
  ShowFrontends: ['SHOW FRONTENDS', '1227'],

  Use: ['USE d', '1044'],
  UseComputeGroup: ['USE @src', '1227'],
  ResetPersist: ['RESET PERSIST', '1227'],
  SetVariables: ['SET GLOBAL wait_timeout = 1', '1227'],
  Select: ['SELECT * FROM d.t', '1142'],
  Explain: ['EXPLAIN SELECT * FROM d.t', '1142'],
  Kill: ['KILL 99', '1094'],
  Begin: ['BEGIN', 'ok'],
  Commit: ['COMMIT', 'ok'],
  Rollback: ['ROLLBACK', 'ok'],
  Savepoint: ['SAVEPOINT s', /^(ok|1235)$/],
  ReleaseSavepoint: ['RELEASE SAVEPOINT s', /^(ok|1235|1305)$/],
  LockTables: ['LOCK TABLES d.t READ', '1142'],
  UnlockTables: ['UNLOCK TABLES', 'ok'],
  Flush: ['FLUSH PRIVILEGES', '1227'],
  Help: ["HELP 'x'", /^(1235|0 rows)$/],
  PrepareStatement: ["PREPARE s FROM 'SELECT 1'", 'ok'],
  ExecuteStatement: ['EXECUTE nosuch', '1243'],
  DeallocateStatement: ['DEALLOCATE PREPARE nosuch', '1243'],
  TableMaintenance: ['OPTIMIZE TABLE d.t', '1142'],
  TableKeys: ['ALTER TABLE d.t DISABLE KEYS', '1142'],
  Do: ['DO 1', 'ok'],
  Shutdown: ['SHUTDOWN', '1227'],
  Empty: ['/* nothing */', 'ok'],
  Unsupported: ['DELETE FROM d.t', '1235'],

  ShowDatabases: ["SHOW DATABASES WHERE `Database` NOT IN ('information_schema', 'performance_schema')", '0 rows'],
  ShowTables: ['SHOW TABLES FROM d', '1044'],
  ShowColumns: ['SHOW COLUMNS FROM d.t', '1142'],
  Describe: ['DESC d.t', '1142'],
  ShowCreateTable: ['SHOW CREATE TABLE d.t', '1142'],
  ShowCreateDatabase: ['SHOW CREATE DATABASE d', '1044'],
  ShowCreateOther: ['SHOW CREATE VIEW d.t', '1044'],
  ShowTableStatus: ['SHOW TABLE STATUS FROM d', '1044'],
  ShowDynamicPartitionTables: ['SHOW DYNAMIC PARTITION TABLES', /^(0 rows|1046)$/],
  ShowOpenTables: ['SHOW OPEN TABLES', /^(0 rows|1046)$/],
  ShowTriggers: ['SHOW TRIGGERS FROM d', '1044'],
  ShowEvents: ['SHOW EVENTS FROM d', '1044'],
  ShowIndex: ['SHOW INDEX FROM d.t', '1142'],
  ShowPartitions: ['SHOW PARTITIONS FROM d.t', '1142'],
  ShowTablets: ['SHOW TABLETS FROM d.t', '1142'],
  ShowTablet: ['SHOW TABLET 1', '1227'],
  ShowData: ['SHOW DATA FROM d.t', '1142'],
  ShowDataSkew: ['SHOW DATA SKEW FROM d.t', '1142'],
  ShowReplicaDistribution: ['SHOW REPLICA DISTRIBUTION FROM d.t', '1142'],
  ShowReplicaStatus: ['ADMIN SHOW REPLICA STATUS FROM d.t', '1142'],
  ShowVariables: ["SHOW VARIABLES LIKE 'port'", '1 rows'],
  ShowStatus: ["SHOW STATUS LIKE 'Uptime'", '1 rows'],
  ShowWarnings: ['SHOW WARNINGS', '0 rows'],
  ShowErrors: ['SHOW ERRORS', '0 rows'],
  ShowProcesslist: ['SHOW PROCESSLIST', '0 rows'],
  ShowEngines: ["SHOW ENGINES", '2 rows'],
  ShowEngineStatus: ['SHOW ENGINE INNODB STATUS', '1 rows'],
  ShowCollation: ["SHOW COLLATION LIKE 'utf8mb4_bin'", '1 rows'],
  ShowCharset: ["SHOW CHARSET LIKE 'utf8mb4'", '1 rows'],
  ShowPlugins: ['SHOW PLUGINS', /rows$/],
  ShowPrivileges: ["SHOW PRIVILEGES LIKE 'Select'", '1 rows'],
  ShowProcedureStatus: ['SHOW PROCEDURE STATUS', '0 rows'],
  ShowFunctionStatus: ['SHOW FUNCTION STATUS', '0 rows'],
  ShowCatalogs: ['SHOW CATALOGS', '1 rows'],
  ShowConfig: ['SHOW CONFIG', '1227'],
  AdminShowConfig: ['ADMIN SHOW FRONTEND CONFIG', '1227'],
  AdminSetConfig: ["ADMIN SET FRONTEND CONFIG ('wait_timeout' = '1')", '1227'],
  ShowCompactionStatus: ['SHOW COMPACTION STATUS', '0 rows'],
  ShowAlterTable: ['SHOW ALTER TABLE COLUMN FROM d', '1044'],
  ShowLoad: ['SHOW LOAD FROM d', '1044'],
  ShowStreamLoad: ['SHOW STREAM LOAD FROM d', '1044'],
  ShowTransaction: ['SHOW TRANSACTION FROM d', '1044'],
  ShowProc: ["SHOW PROC '/backends'", '1227'],
  ShowReplication: ['SHOW MASTER STATUS', '1227'],
  ShowProfiles: ['SHOW PROFILES', '0 rows'],

  CreateStorageVault: ["CREATE STORAGE VAULT v PROPERTIES ('type'='file', 'path'='/x')", '1227'],
  AlterStorageVault: ["ALTER STORAGE VAULT v PROPERTIES ('path'='/x')", '1227'],
  DropStorageVault: ['DROP STORAGE VAULT v', '1227'],
  ShowStorageVaults: ['SHOW STORAGE VAULTS', '0 rows'],
  SetDefaultStorageVault: ['SET v AS DEFAULT STORAGE VAULT', '1227'],
  UnsetDefaultStorageVault: ['UNSET DEFAULT STORAGE VAULT', '1227'],
  CreateResource: ["CREATE RESOURCE x PROPERTIES ('type'='s3')", '1227'],
  AlterResource: ["ALTER RESOURCE x PROPERTIES ('a'='b')", '1227'],
  DropResource: ['DROP RESOURCE x', '1227'],
  ShowResources: ['SHOW RESOURCES', /^(0 rows|1235)$/],
  CreateStoragePolicy: ["CREATE STORAGE POLICY p PROPERTIES ('a'='b')", '1227'],
  AlterStoragePolicy: ["ALTER STORAGE POLICY p PROPERTIES ('a'='b')", '1227'],
  DropStoragePolicy: ['DROP STORAGE POLICY p', '1227'],
  ShowStoragePolicies: ['SHOW STORAGE POLICY', '1227'],
  ShowStoragePolicyUsing: ['SHOW STORAGE POLICY USING', '1227'],
  ShowCooldownJobs: ['SHOW COOLDOWN JOB', '1227'],
  ShowCooldownTablets: ['SHOW COOLDOWN FROM d.t', '1142'],
  CancelCooldownJob: ['CANCEL COOLDOWN JOB WHERE ID = 1', '1227'],
  AdminCooldownTable: ['ADMIN COOLDOWN TABLE d.t', '1227'],
  AdminSetCooldownLeader: ['ADMIN SET COOLDOWN LEADER FOR TABLET 1 TO REPLICA 2', '1227'],
  AdminRepairTable: ['ADMIN REPAIR TABLE d.t', '1227'],
  CheckCooldownTable: ['CHECK COOLDOWN TABLE d.t', '1142'],

  CreateDatabase: ['CREATE DATABASE x', '1044'],
  DropDatabase: ['DROP DATABASE d', '1044'],
  CreateTable: ['CREATE TABLE d.x (a INT) DISTRIBUTED BY HASH (a) BUCKETS 1', '1142'],
  CreateTableLike: ['CREATE TABLE d.x LIKE d.t', '1142'],
  DropTable: ['DROP TABLE d.t', '1142'],
  TruncateTable: ['TRUNCATE TABLE d.t', '1142'],
  AlterTable: ['ALTER TABLE d.t RENAME x', '1142'],
  CancelAlterTable: ['CANCEL ALTER TABLE COLUMN FROM d.t', '1142'],
  InsertSelect: ['INSERT INTO d.t SELECT 1', '1142'],
  RenameTables: ['RENAME TABLE d.t TO d.u', '1142'],
  Insert: ['INSERT INTO d.t VALUES (1)', '1142'],

  WarmUp: ['WARM UP COMPUTE GROUP dst WITH COMPUTE GROUP src', '1227'],
  ExplainWarmUp: ['EXPLAIN WARM UP COMPUTE GROUP dst WITH TABLE d.t', '1227'],
  WarmUpSelect: ['WARM UP SELECT * FROM d.t', /^(1142|1235)$/],
  ShowWarmUpJobs: ['SHOW WARM UP JOB', '0 rows'],
  ShowWarmUpJobRuns: ['SHOW WARM UP JOB RUNS', '0 rows'],
  ShowWarmUpJobFailures: ['SHOW WARM UP JOB FAILURES', '0 rows'],
  CancelWarmUpJob: ['CANCEL WARM UP JOB $job', '1227'],
  PauseWarmUpJob: ['PAUSE WARM UP JOB $job', '1227'],
  ResumeWarmUpJob: ['RESUME WARM UP JOB $job', '1227'],
  RetryWarmUpJob: ['RETRY WARM UP JOB $job', '1227'],
  AlterWarmUpJob: ["ALTER WARM UP JOB $job SET ('sync_interval_sec' = '5')", '1227'],
  WaitForWarmUpJob: ['WAIT FOR WARM UP JOB $job TIMEOUT 1', '1227'],
  ShowCacheHotspot: ["SHOW CACHE HOTSPOT '/src'", '1227'],
};

async function jobId(): Promise<string> {
  const [job] = await show.catalog.warmUpJobs.list();
  return String(job?.jobId ?? 0);
}

describe('somebody without privileges', () => {
  it.each(Object.entries(DENIED))('%s', async (kind, [text, expected]) => {
    const sql = text.replace('$job', await jobId());
    const [parsed] = [...parseStatements(sql, LIMITS)];
    expect(parsed?.statement.kind).toBe(kind);
    expect(await outcome(sql, show.as('nobody'))).toMatch(
      typeof expected === 'string' ? new RegExp(`^${expected}$`) : expected,
    );
  });

  it('sees nothing in information_schema but what is the same for all', async () => {
    const tables: string[] = [];
    for (const database of ['information_schema', 'performance_schema']) {
      for (const row of await show.objects(`SHOW TABLES FROM ${database}`)) {
        tables.push(`${database}.${String(Object.values(row)[0])}`);
      }
    }
    const open = new Set(
      `catalogs character_sets collations collation_character_set_applicability engines keywords plugins privileges
       session_variables global_variables session_status global_status`.split(/\s+/),
    );
    const isOpen = (name: string): boolean => open.has(name.toLowerCase().replace(/^.*\./, ''));
    const context = show.as('nobody');
    for (const table of tables.filter((name) => !isOpen(name))) {
      const { rows } = await context.selects.run(`SELECT * FROM ${table}`, context);
      for await (const batch of Array.isArray(rows) ? [rows as readonly SqlRow[]] : rows) {
        // Rows about the server's own tables are the same for all; those about himself are his.
        const others = (batch as readonly SqlRow[]).filter((row) =>
          ['information_schema', 'performance_schema', "'nobody'@'%'"].every(
            (name) => !row.includes(name),
          ),
        );
        expect({ table, others }).toEqual({ table, others: [] });
      }
    }
  });

  it('changed nothing', async () => {
    expect(await show.objects('SHOW WARM UP JOB')).toMatchObject([{ Status: 'PENDING' }]);
    expect(await show.objects('SHOW TABLES FROM d')).toHaveLength(2);
    expect(await show.objects('SHOW COMPUTE GROUPS')).toHaveLength(2);
    expect(await show.objects('SHOW ALL GRANTS')).toHaveLength(3);
  });
});

describe('what makes a statement allowed', () => {
  const warmUp = 'WARM UP COMPUTE GROUP dst WITH COMPUTE GROUP src';
  const steps = [
    ['SELECT ON d.t', 'SHOW COLUMNS FROM d.t', '1142', '1 rows'],
    [
      'SELECT ON d.t',
      "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = 'd'",
      '1 rows',
      '1 rows',
    ],
    ['CREATE ON d.x', 'CREATE TABLE d.x LIKE d.x', '1142', '1146'],
    ['CREATE ON x.*', 'CREATE DATABASE x; ', '1044', 'ok'],
    ['DROP ON x.*', 'DROP DATABASE x', '1044', 'ok'],
    ['NODE_PRIV ON *.*', 'CREATE COMPUTE GROUP IF NOT EXISTS src', '1227', 'ok'],
    ['ADMIN_PRIV ON *.*', "SHOW CONFIG LIKE 'wait_timeout'", '1227', '1 rows'],
    ['USAGE_PRIV ON COMPUTE GROUP src', 'USE @src', '1227', 'ok'],
    ['USAGE_PRIV ON STORAGE VAULT %', 'SHOW STORAGE VAULTS', '0 rows', '1 rows'],
    ['GRANT_PRIV ON *.*', 'CREATE USER IF NOT EXISTS other', '1227', 'ok'],
  ] as const;

  it.each(steps)('%s: %s', async (privilege, sql, before, after) => {
    const on = privilege.replace('VAULT %', "VAULT '%'");
    const context = show.as('nobody');
    expect(await outcome(sql, context)).toBe(before);
    await show.run(`GRANT ${on} TO nobody`);
    expect(await outcome(sql, context)).toBe(after);
    await show.run(`REVOKE ${on} FROM nobody`);
    if (before !== after && after !== 'ok') expect(await outcome(sql, context)).toBe(before);
  });

  it('a warm-up needs USAGE of both groups, and SELECT of what it names', async () => {
    const context = show.as('nobody');
    const explain = `EXPLAIN ${warmUp}`;
    await show.run('GRANT USAGE_PRIV ON COMPUTE GROUP dst TO nobody');
    expect(await outcome(explain, context)).toBe('1227');
    expect(await outcome('EXPLAIN WARM UP COMPUTE GROUP dst WITH TABLE d.t', context)).toBe('1142');
    // The job there is names d.t.
    expect(await outcome('SHOW WARM UP JOB', context)).toBe('0 rows');
    expect(await outcome(`CANCEL WARM UP JOB ${await jobId()}`, context)).toBe('1142');
    await show.run("GRANT USAGE_PRIV ON COMPUTE GROUP src TO nobody; GRANT 'r' TO nobody");
    expect(await outcome(explain, context)).toMatch(/rows$/);
    expect(await outcome('EXPLAIN WARM UP COMPUTE GROUP dst WITH TABLE d.t', context)).toMatch(
      /rows$/,
    );
    expect(await outcome('SHOW WARM UP JOB', context)).toBe('1 rows');
    expect(await outcome(`SHOW WARM UP JOB WHERE id = ${await jobId()}`, context)).toBe('1 rows');
    await show.run("REVOKE 'r' FROM nobody; REVOKE ALL PRIVILEGES, GRANT OPTION FROM nobody");
    expect(await outcome(`SHOW WARM UP JOB WHERE id = ${await jobId()}`, context)).toBe('0 rows');
  });
});

describe('what a table names', () => {
  it('needs USAGE', async () => {
    await show.run('GRANT CREATE, ALTER ON d.* TO nobody');
    const context = show.as('nobody');
    const create = (name: string, property: string): string =>
      `CREATE TABLE d.${name} (a INT) DISTRIBUTED BY HASH (a) BUCKETS 1 PROPERTIES (${property})`;
    const builtIn = String((await show.objects('SHOW STORAGE VAULTS'))[0]?.['Name']);
    const inVault = create('v', `'storage_vault_name' = '${builtIn}'`);
    expect(await outcome(inVault, context)).toBe('1227');
    expect(await outcome(create('p', "'storage_policy' = 'p'"), context)).toBe('1227');
    expect(await outcome("ALTER TABLE d.t SET ('storage_policy' = 'p')", context)).toBe('1227');
    const dynamic = "SET ('dynamic_partition.storage_policy' = 'p')";
    expect(await outcome(`ALTER TABLE d.t ${dynamic}`, context)).toBe('1227');
    expect(await outcome(create('g', "'resource_group' = 'src'"), context)).toBe('1227');
    await show.run(inVault);
    expect(await outcome('CREATE TABLE d.w LIKE d.v', context)).toBe('1227');
    await show.run(`GRANT USAGE_PRIV ON STORAGE VAULT '${builtIn}' TO nobody`);
    expect(await outcome('CREATE TABLE d.w LIKE d.v', context)).toBe('ok');
    await show.run(`CREATE RESOURCE c PROPERTIES("type" = "local",
      "local.root.path" = "${show.dir}/c");
      CREATE STORAGE POLICY p PROPERTIES("storage_resource" = "c", "cooldown_ttl" = "60");
      CREATE TABLE d.y (a INT) PARTITION BY RANGE (a)
      (PARTITION a VALUES LESS THAN (5) ("storage_policy" = "p")) DISTRIBUTED BY HASH (a) BUCKETS 1
      PROPERTIES ("replication_num" = "1", "resource_group" = "src")`);
    expect(await outcome('CREATE TABLE d.z LIKE d.y', context)).toBe('1227');
    await show.run('GRANT USAGE_PRIV ON COMPUTE GROUP src TO nobody');
    expect(await outcome('CREATE TABLE d.z LIKE d.y', context)).toBe('1227');
    await show.run('GRANT USAGE_PRIV ON RESOURCE c TO nobody');
    expect(await outcome('CREATE TABLE d.z LIKE d.y', context)).toBe('ok');
    await show.run('DROP TABLE d.z; DROP TABLE d.y; DROP STORAGE POLICY p');
    // Renaming moves a table to where other privileges hold.
    expect(await outcome('ALTER TABLE d.w RENAME x', context)).toBe('1142');
    await show.run('GRANT DROP, INSERT ON d.* TO nobody');
    expect(await outcome('ALTER TABLE d.w RENAME x', context)).toBe('ok');
    await show.run('REVOKE ALL PRIVILEGES, GRANT OPTION FROM nobody');
  });
});

describe('nobody gives away or takes over what he has not', () => {
  it('with GRANT_PRIV alone', async () => {
    await show.run('CREATE USER granter; GRANT GRANT_PRIV, SELECT_PRIV ON *.* TO granter');
    const context = show.as('granter');
    expect(await outcome('GRANT SELECT ON d.t TO nobody', context)).toBe('ok');
    expect(await outcome('GRANT ADMIN_PRIV ON *.* TO granter', context)).toBe('1227');
    expect(await outcome('GRANT INSERT ON d.* TO granter', context)).toBe('1044');
    expect(await outcome('GRANT USAGE_PRIV ON COMPUTE GROUP src TO granter', context)).toBe('1227');
    expect(await outcome("ALTER USER root IDENTIFIED BY 'mine'", context)).toBe('1227');
    expect(await outcome("SET PASSWORD FOR root = 'mine'", context)).toBe('1227');
    await show.run('CREATE USER boss; GRANT ALL ON *.* TO boss; CREATE ROLE bosses');
    await show.run("GRANT ADMIN_PRIV ON *.* TO ROLE 'bosses'");
    expect(await outcome("SET PASSWORD FOR boss = 'mine'", context)).toBe('1227');
    expect(await outcome('DROP USER boss', context)).toBe('1227');
    expect(await outcome("GRANT 'bosses' TO granter", context)).toBe('1227');
    expect(await outcome('REVOKE SELECT ON d.t FROM nobody', context)).toBe('ok');
    // The accounts' own tables are not part of *.* for who reads.
    expect(await outcome('SELECT user FROM mysql.user', context)).toBe('1142');
    expect(await outcome('SELECT user FROM mysql.user', show.as('boss'))).toMatch(/rows$/);
  });

  it('root stays what it is', async () => {
    for (const sql of [
      'DROP USER root',
      'REVOKE SELECT ON *.* FROM root',
      'ALTER USER root ACCOUNT LOCK',
      'REVOKE ALL PRIVILEGES, GRANT OPTION FROM root',
    ]) {
      expect(await show.error(sql)).toMatch(/^1105 'root'@'%' may do everything: it cannot be /);
    }
  });
});

describe('users, roles and grants', () => {
  // prettier-ignore
  const ERRORS = [
    ['CREATE USER other', "1396 Operation CREATE USER failed for 'other'@'%'"],
    ["CREATE USER ''", "1105 Incorrect user name '': it is empty"],
    ["CREATE USER a@'10.0.0.0/99'", "1105 Incorrect host name '10.0.0.0/99': it is no network: address/bits or address/mask"],
    ["CREATE USER a DEFAULT ROLE 'nosuch'", '3523 Unknown authorization ID `nosuch`@`%`'],
    ['DROP USER nosuch', "1396 Operation DROP USER failed for 'nosuch'@'%': no such user"],
    ['CREATE ROLE r', "1396 Operation CREATE ROLE failed for 'r'@'%'"],
    ['DROP ROLE nosuch', '3523 Unknown authorization ID `nosuch`@`%`'],
    ["GRANT 'nosuch' TO other", '3523 Unknown authorization ID `nosuch`@`%`'],
    ['GRANT SELECT ON d.* TO nosuch', "1410 You are not allowed to create a user with GRANT: there is no 'nosuch'@'%'"],
    ['GRANT SELECT (a) ON d.t TO other', '1235 not supported yet: privileges on columns'],
    ['GRANT WALK ON d.t TO other', "1105 Privilege 'WALK' cannot be given on `d`.`t`; allowed: GRANT_PRIV, SELECT_PRIV, LOAD_PRIV, ALTER_PRIV, CREATE_PRIV, DROP_PRIV, ALL"],
    ['GRANT NODE_PRIV ON d.* TO other', "1105 Privilege 'NODE_PRIV' cannot be given on `d`.*; allowed: GRANT_PRIV, SELECT_PRIV, LOAD_PRIV, ALTER_PRIV, CREATE_PRIV, DROP_PRIV, ALL"],
    ['GRANT SELECT ON COMPUTE GROUP g TO other', "1105 Privilege 'SELECT' cannot be given on COMPUTE GROUP `g`; allowed: USAGE_PRIV, ALL"],
    ['GRANT SELECT ON *.t TO other', '1235 not supported yet: a grant on *.t'],
    ['REVOKE SELECT ON d.* FROM other', "1141 There is no such grant defined for user 'other' on host '%'"],
    ["REVOKE 'r' FROM other", "1141 There is no such grant defined for user 'other' on host '%'"],
  ] as const;

  it.each(ERRORS)('%s', async (sql, expected) => {
    expect(await show.error(sql)).toBe(expected);
  });

  it('are made all at once or not at all', async () => {
    expect(await show.error("CREATE USER one, other IDENTIFIED BY 'x'")).toMatch(/^1396 /);
    expect(await show.error('SHOW GRANTS FOR one')).toMatch(/^1141 /);
    await show.run('CREATE USER IF NOT EXISTS one, other');
    expect(show.warnings()).toEqual(["Note 3163 Authorization ID 'other'@'%' already exists."]);
    expect(await show.error('DROP USER one, nosuch')).toMatch(/^1396 /);
    await show.run('DROP USER IF EXISTS one, nosuch');
    expect(show.warnings()).toEqual([
      "Note 3162 Operation DROP USER failed for 'nosuch'@'%': no such user",
    ]);
  });

  it('a role gives what it has, as long as it is there', async () => {
    await show.run(`CREATE ROLE readers; GRANT SELECT ON d.* TO ROLE readers;
      CREATE USER member DEFAULT ROLE 'readers' COMMENT 'reads'`);
    const context = show.as('member');
    expect(await outcome('SHOW COLUMNS FROM d.t', context)).toBe('1 rows');
    expect(await show.text('SHOW GRANTS FOR member')).toEqual([
      'Grants for member@%',
      "GRANT USAGE ON *.* TO 'member'@'%'",
      "GRANT SELECT ON `d`.* TO 'member'@'%'",
      "GRANT 'readers' TO 'member'@'%'",
    ]);
    expect(await outcome('SHOW ROLES', context)).toBe('1 rows');
    await show.run('DROP ROLE readers');
    expect(await outcome('SHOW COLUMNS FROM d.t', context)).toBe('1142');
    // A user of the same name later is another one.
    await show.run('GRANT SELECT ON d.* TO member; DROP USER member; CREATE USER member');
    expect(await outcome('SHOW COLUMNS FROM d.t', context)).toBe('1142');
  });
});

describe('SHOW GRANTS', () => {
  it('is made of statements that give the same', async () => {
    await show.run(`CREATE USER 'a b'@'10.0.0.0/8'; GRANT SELECT, INSERT ON *.* TO 'a b'@'10.0.0.0/8';
      GRANT ALL ON \`we\`\`ird\`.* TO 'a b'@'10.0.0.0/8' WITH GRANT OPTION;
      GRANT DROP ON d.t TO 'a b'@'10.0.0.0/8';
      GRANT USAGE_PRIV ON COMPUTE GROUP * TO 'a b'@'10.0.0.0/8';
      GRANT USAGE_PRIV ON STORAGE VAULT 'v' TO 'a b'@'10.0.0.0/8'`);
    const sql = "SHOW GRANTS FOR 'a b'@'10.0.0.0/8'";
    const before = (await show.text(sql)).slice(1);
    expect(before).toEqual([
      "GRANT SELECT, INSERT ON *.* TO 'a b'@'10.0.0.0/8'",
      "GRANT DROP ON `d`.`t` TO 'a b'@'10.0.0.0/8'",
      "GRANT SELECT, INSERT, CREATE, DROP, ALTER ON `we``ird`.* TO 'a b'@'10.0.0.0/8' WITH GRANT OPTION",
      "GRANT USAGE_PRIV ON COMPUTE GROUP * TO 'a b'@'10.0.0.0/8'",
      "GRANT USAGE_PRIV ON STORAGE VAULT `v` TO 'a b'@'10.0.0.0/8'",
    ]);
    await show.run("REVOKE ALL PRIVILEGES, GRANT OPTION FROM 'a b'@'10.0.0.0/8'");
    expect((await show.text(sql)).slice(1)).toEqual(["GRANT USAGE ON *.* TO 'a b'@'10.0.0.0/8'"]);
    for (const statement of before) await show.run(statement);
    expect((await show.text(sql)).slice(1)).toEqual(before);
  });
});
