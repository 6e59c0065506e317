/** What docs/statements.md says of each statement: group, rule for the diagram, syntax, meaning. */
import type { RuleName } from '../grammar/statement_parser.ts';
import type { StatementKind } from '../parser/statement.ts';

export interface StatementDoc {
  /** undefined: not parsed by a rule (queries are kept as text). */
  readonly rule: RuleName | undefined;
  readonly syntax: string;
  readonly about: string;
}

type Group = Partial<Record<StatementKind, readonly [RuleName | undefined, string, string]>>;

/** `filter` in a syntax line. */
export const FILTER =
  "[LIKE 'pattern' | WHERE condition] [ORDER BY expr [DESC], ...] [LIMIT n [OFFSET m]]";

// prettier-ignore
const GROUPS = {
  'Warm-up': {
    WarmUp: ['warmUp', 'WARM UP {COMPUTE GROUP | CLUSTER} target WITH {{COMPUTE GROUP | CLUSTER} source | TABLE [db.]t [PARTITION p] [AND TABLE ...]} [FORCE] [ON TABLES ({INCLUDE | EXCLUDE} \'db.glob\', ...)] [PROPERTIES (...)]', 'Starts a warm-up job and answers with its JobId.'],
    ExplainWarmUp: ['explainWarmUp', 'EXPLAIN WARM UP ...', 'What the job would load, without starting it.'],
    WarmUpSelect: [undefined, '[EXPLAIN] WARM UP SELECT ...', 'Warms what a query reads.'],
    ShowWarmUpJobs: ['showWarmUpJob', 'SHOW WARM UP JOB [id] filter', 'Warm-up jobs with state and progress.'],
    ShowWarmUpJobRuns: ['showWarmUpJob', 'SHOW WARM UP JOB [id] RUNS filter', 'One row per run of a job.'],
    ShowWarmUpJobFailures: ['showWarmUpJob', 'SHOW WARM UP JOB [id] FAILURES filter', 'Items that could not be warmed, with reasons.'],
    CancelWarmUpJob: ['cancelWarmUpJob', 'CANCEL WARM UP JOB {id | WHERE id = n}', 'Ends a job; running downloads stop.'],
    PauseWarmUpJob: ['pauseWarmUpJob', 'PAUSE WARM UP JOB {id | WHERE id = n}', 'Holds a job until it is resumed.'],
    ResumeWarmUpJob: ['resumeWarmUpJob', 'RESUME WARM UP JOB {id | WHERE id = n}', 'Lets a paused job go on.'],
    RetryWarmUpJob: ['retryWarmUpJob', 'RETRY WARM UP JOB {id | WHERE id = n}', 'Loads again what failed.'],
    AlterWarmUpJob: ['alterWarmUpJob', 'ALTER WARM UP JOB {id | WHERE id = n} SET ("key" = "value", ...)', 'Changes the properties of a job.'],
    WaitForWarmUpJob: ['waitForWarmUpJob', 'WAIT FOR WARM UP JOB {id | WHERE id = n} [TIMEOUT seconds]', 'Waits for the end of a job; an error when it failed or the time is over.'],
    ShowCacheHotspot: ['showCacheHotspot', 'SHOW CACHE HOTSPOT \'/[group[/db.table]]\'', 'The most read tables or partitions.'],
  },
  'Databases and tables': {
    CreateDatabase: ['createDatabase', 'CREATE {DATABASE | SCHEMA} [IF NOT EXISTS] db [CHARSET c] [COLLATE c] [PROPERTIES (...)]', 'Makes a database.'],
    DropDatabase: ['dropDatabase', 'DROP {DATABASE | SCHEMA} [IF EXISTS] db [FORCE]', 'Removes a database.'],
    CreateTable: ['createTable', 'CREATE TABLE [IF NOT EXISTS] [db.]t (column type [options], ...) [DUPLICATE | UNIQUE | AGGREGATE KEY (...)] [COMMENT \'text\'] [PARTITION BY RANGE | LIST (...) (...)] [DISTRIBUTED BY HASH (...) | RANDOM [BUCKETS n | AUTO]] [ROLLUP (...)] [PROPERTIES (...)]', 'Makes a table. `replication_num` (1 to 32767, and no more than the group has backends; by default 3, or as many as there are), `replication_allocation` (`"tag.location.g: 3"`; the tag `default` is the first group), `resource_group` or `storage_policy` make it replicated; without them it is shared, and its data lies in a vault. Partitions may have their own `replication_num` and `storage_policy`; a policy of the table wins over theirs, unless `"own_storage_policy" = "true"` stands beside it, as SHOW CREATE TABLE shows it after MODIFY PARTITION.'],
    CreateTableLike: ['createTable', 'CREATE TABLE [IF NOT EXISTS] [db.]t LIKE [db.]u', 'Makes an empty table of the same form.'],
    DropTable: ['dropTable', 'DROP TABLE [IF EXISTS] [db.]t, ... [FORCE]', 'Removes tables.'],
    TruncateTable: ['truncateTable', 'TRUNCATE TABLE [db.]t [PARTITION (p, ...)] [FORCE]', 'Empties a table or partitions.'],
    CancelAlterTable: ['cancelAlterTable', 'CANCEL ALTER TABLE {COLUMN | ROLLUP} FROM [db.]t [(job, ...)]', 'Ends a schema change or rollup job; the table stays as it is.'],
    AlterTable: ['alterTable', 'ALTER TABLE [db.]t action, ...', 'Columns, partitions, rollups, names, properties, compaction. Of replicated tables: `SET ("storage_policy" = "p")` for all partitions and those to come, `MODIFY PARTITION p | (p, q) | (*) SET (...)` for some; an empty text takes the policy away, and another one must have the resource where data lies already; the error names what lies there. `SET ("replication_num" = "n")` for all, `default.replication_num` for partitions to come; replicas come and go afterwards. `SET ("dynamic_partition.end" = "3", ...)` makes partitions come and go with time, as Doris does (`time_unit`, `time_zone`, `start`, `end`, `prefix`, `buckets`, `replication_num`, `start_day_of_week`, `start_day_of_month`, `create_history_partition`, `history_partition_num`, `reserved_history_periods`, `storage_policy`); their bounds are days of `time_zone`, UTC by default.'],
    InsertSelect: ['insertHead', 'INSERT INTO [db.]t [WITH LABEL l] [(column, ...)] query', 'Adds the rows of a query, up to max_allowed_packet bytes of them.'],
    RenameTables: ['renameTables', 'RENAME TABLE [db.]t TO [db.]u, ...', 'Gives tables other names, in the same database: all of them or none.'],
    Insert: ['insertHead', 'INSERT INTO [db.]t [PARTITION (p)] [WITH LABEL l] {[(column, ...)] VALUES (value, ...), ... | SET column = value, ...}', 'Adds rows.'],
  },
  'Compute groups and backends': {
    CreateComputeGroup: ['createComputeGroup', 'CREATE COMPUTE GROUP [IF NOT EXISTS] g [PROPERTIES (...)]', 'Makes a compute group.'],
    DropComputeGroup: ['dropComputeGroup', 'DROP COMPUTE GROUP [IF EXISTS] g [FORCE]', 'Removes a compute group.'],
    AlterComputeGroup: ['alterComputeGroup', "ALTER COMPUTE GROUP g PROPERTIES ('balance_type' = 'without_warmup')", 'Takes the one balance_type that there is: tablets that get another backend are read from the vault there.'],
    RenameComputeGroup: ['renameComputeGroup', 'ALTER SYSTEM RENAME COMPUTE GROUP g [TO] h', 'Gives a compute group another name.'],
    AddBackend: ['addBackend', 'ALTER SYSTEM ADD BACKEND {"host:port" | "embedded"}, ... [TO COMPUTE GROUP g] [PROPERTIES (...)]', 'Adds backends.'],
    DropBackend: ['dropBackend', 'ALTER SYSTEM {DROP | DROPP} BACKEND {"host:port" | id}, ...', 'Removes backends; DROPP at once.'],
    DecommissionBackend: ['decommissionBackend', 'ALTER SYSTEM DECOMMISSION BACKEND {"host:port" | id}, ...', 'Moves replicas away, then removes it; the statement answers at once, see SHOW BACKENDS.'],
    CancelDecommission: ['cancelDecommission', 'CANCEL DECOMMISSION BACKEND {"host:port" | id}, ...', 'Leaves a backend that is being decommissioned where it is.'],
    StopBackend: ['driveBackend', 'ALTER SYSTEM STOP BACKEND {"host:port" | id}', 'Stops a backend cleanly. Of embedded backends, as START and KILL: the error for others says what to do where their process is.'],
    StartBackend: ['driveBackend', 'ALTER SYSTEM START BACKEND {"host:port" | id}', 'Starts a stopped backend.'],
    KillBackend: ['driveBackend', 'ALTER SYSTEM KILL BACKEND {"host:port" | id}', 'Stops a backend as a crash would.'],
    ShowBackends: ['showListing', 'SHOW BACKENDS filter', 'Backends and their state.'],
    ShowComputeGroups: ['showListing', 'SHOW {COMPUTE GROUPS | CLUSTERS} filter', 'Compute groups.'],
    ShowFrontends: ['showListing', 'SHOW FRONTENDS filter', 'Servers.'],
  },
  'Vaults, resources, policies': {
    CreateStorageVault: ['createStored', 'CREATE STORAGE VAULT [IF NOT EXISTS] v PROPERTIES (...)', 'Names an object store for shared tables.'],
    AlterStorageVault: ['alterStored', 'ALTER STORAGE VAULT v PROPERTIES (...)', 'Changes a vault.'],
    DropStorageVault: ['dropStored', 'DROP STORAGE VAULT [IF EXISTS] v', 'Removes a vault.'],
    ShowStorageVaults: ['showStorageVaults', 'SHOW STORAGE {VAULT | VAULTS} filter', 'Vaults, credentials masked.'],
    SetDefaultStorageVault: ['setDefaultStorageVault', 'SET v AS DEFAULT STORAGE VAULT', 'The vault of tables that name none.'],
    UnsetDefaultStorageVault: ['unsetDefaultStorageVault', 'UNSET DEFAULT STORAGE VAULT', 'No default vault any more.'],
    CreateResource: ['createStored', 'CREATE [EXTERNAL] RESOURCE [IF NOT EXISTS] "r" PROPERTIES ("type" = {"s3" | "local"}, ...)', 'Names an object store for cooled data, and tries it out: write, read, list, delete, conditional writes. s3: `s3.endpoint`, `s3.region`, `s3.bucket`, `s3.root.path`, `s3.access_key`, `s3.secret_key`; `s3.session_token`, `s3.connection.maximum`, `s3.connection.request.timeout`, `s3.connection.timeout` (ms), `use_path_style`, `s3_validity_check`; also spelled `s3_endpoint`, `AWS_ENDPOINT`, and so on. local: `local.root.path`.'],
    AlterResource: ['alterStored', 'ALTER RESOURCE "r" PROPERTIES (...)', 'Changes a resource and tries it out again. While a policy uses it, what says where the data lies stays; the type always does.'],
    DropResource: ['dropStored', 'DROP RESOURCE [IF EXISTS] "r"', 'Removes a resource that no policy uses and in which no cooled data lies.'],
    ShowResources: ['showListing', 'SHOW RESOURCES filter', 'Resources, one row per property, secrets masked; `supports_conditional_writes` is what was found out. Also `information_schema.resources`.'],
    CreateStoragePolicy: ['createStored', 'CREATE STORAGE POLICY [IF NOT EXISTS] p PROPERTIES ("storage_resource" = "r", {"cooldown_ttl" = "1d" | "cooldown_datetime" = "yyyy-MM-dd HH:mm:ss"})', 'When data cools and where it goes. A time to live is seconds, or 3h, 3hour, 1d, 1day, 1week; a datetime is UTC.'],
    AlterStoragePolicy: ['alterStored', 'ALTER STORAGE POLICY p PROPERTIES (...)', 'Changes the time of a policy, never its resource; an empty text unsets one, and exactly one must be left (a time to live of 0 counts as none). Gives `default_storage_policy`, which every server has, its resource.'],
    DropStoragePolicy: ['dropStored', 'DROP STORAGE POLICY [IF EXISTS] p', 'Removes a policy that no table and no partition has.'],
    ShowStoragePolicies: ['showStoragePolicy', 'SHOW STORAGE POLICY filter', 'Policies; what is not set is -1, times to live are in seconds. Also `information_schema.storage_policies`.'],
    ShowStoragePolicyUsing: ['showStoragePolicy', 'SHOW STORAGE POLICY USING [FOR p] filter', 'Tables that have policies, with the names of the partitions or `ALL`. Also `information_schema.storage_policy_usages`.'],
  },
  'Cooldown': {
    ShowCooldownJobs: ['showCooldown', 'SHOW COOLDOWN JOB filter', 'Leaders being told to backends, at most 100 tablets in a job: PENDING, SEND_CONF, RUNNING, FINISHED, CANCELLED. `Unconfirmed`: replicas that do not know their leader yet. Also `information_schema.cooldown_jobs`.'],
    ShowCooldownTablets: ['showCooldown', 'SHOW COOLDOWN FROM [db.]t filter', 'Who uploads each tablet of a replicated table, in which term, how far (`CooledVersion` of `VisibleVersion`), when the next data is due, and what it waits for. State: NONE (no policy), HOT (nothing is due; an empty tablet stays so), WAITING, COOLING, COOLED (all that is due is remote, on all replicas), FAILED (`LastError`). `LocalDataSize` is the bytes of all replicas together, `RemoteDataSize` those in the resource. What backends know is as old as their last report. Also `information_schema.cooldown_tablets`.'],
    CancelCooldownJob: ['cancelCooldownJob', 'CANCEL COOLDOWN JOB {id | WHERE id = n}', 'Ends a cooldown job. Its tablets keep the leaders it has given them, and are left alone for a minute.'],
    AdminCooldownTable: ['adminCooldownTable', 'ADMIN COOLDOWN TABLE [db.]t [PARTITION p]', 'Cools what is there now, whatever the time of its policy; answers at once, see SHOW COOLDOWN FROM.'],
    AdminSetCooldownLeader: ['adminSetCooldownLeader', 'ADMIN SET COOLDOWN LEADER FOR TABLET n TO REPLICA r', 'Gives the tablet a new term with this replica as the one that uploads. It must be alive and complete; its report of what is visible is waited for, for 5 seconds.'],
    AdminRepairTable: ['adminRepairTable', 'ADMIN [CANCEL] REPAIR TABLE [db.]t [PARTITION (p, ...)]', 'Has replicas of a replicated table copied before those of others, for 4 hours, or, with CANCEL, no longer. Tablets of which no replica is complete any more are made readable again, from what is cooled of them and from replicas that have some versions or are damaged; there is a row for each, and what is lost stays in `information_schema.lost_versions`. Result: `rebuilt` (nothing is lost), `lossy` (LostVersions are empty from now on), `refused` (nothing was changed; Detail says why: a backend that may have the data is not alive, its cooled data is not whole, nothing is cooled ...). What is cooled as a whole is rebuilt without being asked for.'],
    CheckCooldownTable: ['checkCooldownTable', 'CHECK COOLDOWN TABLE [db.]t [REPAIR]', 'Compares lists, replicas and the bucket, and reads every object in use; no row: all is well. Problem: `head`, `manifest`, `missing`, `damaged`, `orphan`, `double` (an orphan with the content of a used object), `replica` (it has another list), `unchecked` (nobody could look, and why). REPAIR writes again what a replica has a good copy of and deletes what nobody needs and is older than `cooldown_garbage_grace_seconds`; `Repaired` is what a second look says.'],
  },
  'SHOW': {
    ShowDatabases: ['showListing', 'SHOW {DATABASES | SCHEMAS} filter', 'Databases.'],
    ShowTables: ['showInDatabase', 'SHOW [FULL] TABLES [FROM db] filter', 'Tables of a database.'],
    ShowColumns: ['showColumns', 'SHOW [FULL] {COLUMNS | FIELDS} FROM t [FROM db] filter', 'Columns of a table.'],
    Describe: ['describe', '{DESC | DESCRIBE | EXPLAIN} [db.]t [column | \'pattern\' | ALL]', 'Columns of a table.'],
    ShowCreateTable: ['showCreate', 'SHOW CREATE TABLE [db.]t', 'The statement that makes the table.'],
    ShowCreateDatabase: ['showCreate', 'SHOW CREATE {DATABASE | SCHEMA} [IF NOT EXISTS] db', 'The statement that makes the database.'],
    ShowCreateOther: ['showCreate', 'SHOW CREATE {VIEW | PROCEDURE | FUNCTION | TRIGGER | EVENT | USER} name', 'Known to MySQL.'],
    ShowTableStatus: ['showInDatabase', 'SHOW TABLE STATUS [FROM db] filter', 'Tables with sizes.'],
    ShowDynamicPartitionTables: ['showInDatabase', 'SHOW DYNAMIC PARTITION TABLES [FROM db] filter', 'Tables whose partitions come and go by themselves, and what became of them since the server started. Also `information_schema.dynamic_partition_tables`.'],
    ShowOpenTables: ['showInDatabase', 'SHOW OPEN TABLES [FROM db] filter', 'Open tables.'],
    ShowTriggers: ['showInDatabase', 'SHOW TRIGGERS [FROM db] filter', 'Triggers.'],
    ShowEvents: ['showInDatabase', 'SHOW EVENTS [FROM db] filter', 'Events.'],
    ShowIndex: ['showIndex', 'SHOW [EXTENDED] {INDEX | INDEXES | KEYS} FROM t [FROM db] filter', 'Keys of a table.'],
    ShowPartitions: ['showPartitions', 'SHOW [TEMPORARY] PARTITIONS FROM t [FROM db] filter', 'Partitions of a table: Doris\'s columns, so that RemoteStoragePolicy is at 12; what this server does not know is NULL. Also `information_schema.table_partitions`.'],
    ShowTablets: ['showTablets', 'SHOW TABLETS FROM t [PARTITION (p, ...)] filter', 'Tablets of a table. Of a replicated one a row per replica with Doris\'s columns, then PartitionName, Bucket, IndexName, IsBad: sizes in bytes by the last report, CooldownReplicaId -1 and CooldownMetaId empty when there is none; MetaUrl tells its rowsets. Also `information_schema.tablets`, a row per tablet.'],
    ShowTablet: ['showTablet', 'SHOW TABLET id', 'Where one tablet belongs; no row when there is none. DetailCmd is the SHOW PROC that shows its replicas.'],
    ShowData: ['showData', 'SHOW DATA [FROM t] filter', 'Sizes of tables, or of the indexes of one. Of a replicated table Size is what lies on the disks of its backends, all replicas together, RemoteSize what is cooled, once; of a shared one both are what lies in its vault.'],
    ShowDataSkew: ['showDataSkew', 'SHOW DATA SKEW FROM t [PARTITION (p, ...)] filter', 'How rows and bytes are spread over the buckets of each partition: of a replicated table what one replica has, on its disk and cooled.'],
    ShowReplicaStatus: ['showReplicaStatus', '[ADMIN] SHOW REPLICA STATUS FROM t [PARTITION (p, ...)] filter', 'Replicas of a replicated table; Status is OK, DEAD, BAD, MISSING or VERSION_ERROR, WaitReason why it is not repaired yet. A replica that a tablet should have and has not is a row of its own, with -1 as its ids.'],
    ShowReplicaDistribution: ['showReplicaDistribution', '[ADMIN] SHOW REPLICA DISTRIBUTION FROM t [PARTITION (p, ...)] filter', 'How many replicas of a replicated table each backend of its compute group has, and how large they are on its disk.'],
    ShowVariables: ['showVariables', 'SHOW [GLOBAL | SESSION] VARIABLES filter', 'System variables.'],
    ShowStatus: ['showVariables', 'SHOW [GLOBAL | SESSION] STATUS filter', 'Status counters.'],
    ShowWarnings: ['showWarnings', 'SHOW [COUNT(*)] WARNINGS filter', 'Warnings of the last statement.'],
    ShowErrors: ['showWarnings', 'SHOW [COUNT(*)] ERRORS filter', 'Errors of the last statement.'],
    ShowProcesslist: ['showProcesslist', 'SHOW [FULL] PROCESSLIST filter', 'Connections.'],
    ShowEngines: ['showListing', 'SHOW [STORAGE] ENGINES filter', 'Storage engines.'],
    ShowEngineStatus: ['showEngineStatus', 'SHOW ENGINE name {STATUS | MUTEX | LOGS}', 'Known to MySQL.'],
    ShowCollation: ['showListing', 'SHOW COLLATION filter', 'Collations.'],
    ShowCharset: ['showListing', 'SHOW {CHARACTER SET | CHARSET} filter', 'Character sets.'],
    ShowPlugins: ['showListing', 'SHOW PLUGINS filter', 'Plugins.'],
    ShowPrivileges: ['showListing', 'SHOW PRIVILEGES filter', 'Privileges there are.'],
    ShowProcedureStatus: ['showListing', 'SHOW PROCEDURE STATUS filter', 'Procedures.'],
    ShowFunctionStatus: ['showListing', 'SHOW FUNCTION STATUS filter', 'Functions.'],
    ShowCatalogs: ['showListing', 'SHOW CATALOGS filter', 'Catalogs.'],
    ShowConfig: ['showListing', 'SHOW CONFIG filter', 'Settings of the server.'],
    AdminShowConfig: ['adminShowConfig', 'ADMIN SHOW FRONTEND CONFIG filter', 'Settings of the server, Doris\'s columns.'],
    AdminSetConfig: ['adminSetConfig', 'ADMIN SET FRONTEND CONFIG ("key" = "value", ...)', 'Changes settings while running.'],
    ShowCompactionStatus: ['showCompactionStatus', 'SHOW COMPACTION STATUS [FROM t] filter', 'Compactions.'],
    ShowAlterTable: ['showAlterTable', 'SHOW ALTER TABLE {COLUMN | ROLLUP} [FROM db] filter', 'Schema changes.'],
    ShowLoad: ['showLoads', 'SHOW LOAD [FROM db] filter', 'Loads.'],
    ShowStreamLoad: ['showLoads', 'SHOW STREAM LOAD [FROM db] filter', 'Stream loads.'],
    ShowTransaction: ['showLoads', 'SHOW TRANSACTION [FROM db] filter', 'Load transactions.'],
    ShowProc: ['showProc', 'SHOW PROC \'/path\'', 'Doris\'s tree of internals: `/backends`, `/frontends`, `/resources`, `/dbs` down to the replicas of a tablet (`/dbs/<database id>/<table id>/partitions/<partition id>/<index id>/<tablet id>`), and `/statistic`: tablets per database, and how many are not healthy; `/statistic/<database id>` says which.'],
    ShowReplication: ['showReplication', 'SHOW {MASTER STATUS | SLAVE STATUS | REPLICA STATUS | BINARY LOGS | ...}', 'Known to MySQL.'],
    ShowProfiles: ['showProfiles', 'SHOW PROFILES', 'Known to MySQL.'],
  },
  'Session': {
    Use: ['use', 'USE db[@group]', 'Chooses the database (and compute group).'],
    UseComputeGroup: ['use', 'USE @group', 'Chooses the compute group that reads.'],
    ResetPersist: ['resetPersist', 'RESET PERSIST [[IF EXISTS] name]', 'Takes back what SET PERSIST keeps; the value stays until the next start.'],
    SetVariables: ['set', 'SET {[GLOBAL | PERSIST | SESSION] name = value | @name = value | NAMES charset | TRANSACTION ...}, ...', 'Sets variables.'],
    Select: [undefined, '{SELECT | WITH | VALUES | TABLE | (SELECT ...)} ...', 'A query; run by the query engine.'],
    Explain: [undefined, 'EXPLAIN [option] SELECT ...', 'How a query would run.'],
    Kill: ['kill', 'KILL [CONNECTION | QUERY] id', 'Ends a connection, or what it runs.'],
    Begin: ['startTransaction', 'BEGIN | START TRANSACTION [WITH CONSISTENT SNAPSHOT] [READ ONLY | READ WRITE]', 'Begins a transaction.'],
    Commit: ['commit', 'COMMIT [WORK]', 'Ends a transaction.'],
    Rollback: ['rollback', 'ROLLBACK [WORK] [TO [SAVEPOINT] name]', 'Ends a transaction.'],
    Savepoint: ['savepoint', 'SAVEPOINT name', 'Marks a place in a transaction.'],
    ReleaseSavepoint: ['releaseSavepoint', 'RELEASE SAVEPOINT name', 'Forgets a mark.'],
    LockTables: ['lockTables', 'LOCK TABLES t [AS alias] {READ [LOCAL] | WRITE}, ...', 'As dump tools send it.'],
    UnlockTables: ['unlockTables', 'UNLOCK TABLES', 'As dump tools send it.'],
    Flush: ['flush', 'FLUSH {PRIVILEGES | TABLES | LOGS | STATUS | ...}', 'As admin tools send it.'],
    Help: ['help', 'HELP \'topic\'', 'Known to MySQL.'],
    PrepareStatement: ['prepareStatement', 'PREPARE name FROM {\'text\' | @variable}', 'Prepares a statement with ? placeholders.'],
    ExecuteStatement: ['executeStatement', 'EXECUTE name [USING @variable, ...]', 'Runs a prepared statement.'],
    DeallocateStatement: ['deallocateStatement', '{DEALLOCATE | DROP} PREPARE name', 'Forgets a prepared statement.'],
    TableMaintenance: ['tableMaintenance', '{ANALYZE | CHECK | OPTIMIZE | REPAIR} TABLE t, ...', 'Known to MySQL.'],
    TableKeys: ['tableKeys', 'ALTER TABLE t {DISABLE | ENABLE} KEYS', 'As dumps have it; changes nothing.'],
    Do: ['doExprs', 'DO expr, ...', 'Evaluates and answers OK.'],
    Shutdown: ['shutdown', 'SHUTDOWN', 'Stops the server.'],
    Empty: [undefined, '/* comment */', 'Nothing but comments.'],
    Unsupported: [undefined, 'DELETE, UPDATE, CALL, LOAD DATA, ...', 'Statements of MySQL and Doris that are recognised and refused with error 1235.'],
  },
  'Users and privileges': {
    CreateUser: ['createUser', 'CREATE USER [IF NOT EXISTS] \'u\'[@\'host\'] [IDENTIFIED ...], ... [DEFAULT ROLE \'r\'] [REQUIRE ...] [WITH MAX_...] [PASSWORD EXPIRE ...] [FAILED_LOGIN_ATTEMPTS n] [PASSWORD_LOCK_TIME {n [DAY | HOUR | SECOND] | UNBOUNDED}] [ACCOUNT LOCK | UNLOCK] [COMMENT \'text\']', 'Makes accounts.'],
    AlterUser: ['alterUser', 'ALTER USER [IF EXISTS] \'u\'[@\'host\'] [IDENTIFIED ...], ... [the options of CREATE USER]', 'Changes accounts.'],
    DropUser: ['dropUser', 'DROP USER [IF EXISTS] \'u\'[@\'host\'], ...', 'Removes accounts.'],
    RenameUser: ['renameUser', 'RENAME USER \'u\'[@\'host\'] TO \'v\'[@\'host\'], ...', 'Gives accounts other names; what they were given goes with them.'],
    SetPassword: ['set', 'SET PASSWORD [FOR \'u\'[@\'host\']] = {PASSWORD(\'text\') | \'text\'}', 'Changes a password.'],
    CreateRole: ['createRole', 'CREATE ROLE [IF NOT EXISTS] \'r\', ...', 'Makes roles.'],
    DropRole: ['dropRole', 'DROP ROLE [IF EXISTS] \'r\', ...', 'Removes roles.'],
    Grant: ['grant', 'GRANT privilege, ... ON {*.* | db.* | db.t | COMPUTE GROUP g | RESOURCE r | STORAGE VAULT v} TO {user | ROLE r}, ... [WITH GRANT OPTION]', 'Gives privileges.'],
    Revoke: ['revoke', 'REVOKE privilege, ... ON ... FROM {user | ROLE r}, ...', 'Takes privileges.'],
    GrantRole: ['grant', 'GRANT \'role\', ... TO user, ...', 'Gives roles.'],
    RevokeRole: ['revoke', 'REVOKE \'role\', ... FROM user, ...', 'Takes roles.'],
    ShowGrants: ['showGrants', 'SHOW [ALL] GRANTS [FOR user]', 'Privileges of accounts.'],
    SetRole: ['setRole', "SET ROLE {DEFAULT | NONE | ALL [EXCEPT 'role', ...] | 'role', ...}", 'Which of its roles a session uses.'],
    SetDefaultRole: ['setDefaultRole', "SET DEFAULT ROLE {NONE | ALL | 'role', ...} TO account, ...", 'Which roles are active from the login on.'],
    ShowCreateUser: ['showCreateUser', 'SHOW CREATE USER account', 'The statement that makes an account; the hash of its password shows to ADMIN only.'],
    ShowRoles: ['showListing', 'SHOW ROLES filter', 'Roles.'],
  },
} as const satisfies Record<string, Group>;

type Documented = {
  [Name in keyof typeof GROUPS]: keyof (typeof GROUPS)[Name];
}[keyof typeof GROUPS];
/** A kind that is in no group does not compile. */
const COMPLETE: StatementKind extends Documented ? true : never = true;

export function statementGroups(): {
  title: string;
  statements: [StatementKind, StatementDoc][];
}[] {
  if (!COMPLETE) throw new Error('a statement is not documented');
  return Object.entries<Group>(GROUPS).map(([title, group]) => ({
    title,
    statements: Object.entries(group).map(([kind, [rule, syntax, about]]) => [
      kind as StatementKind,
      { rule, syntax, about },
    ]),
  }));
}
