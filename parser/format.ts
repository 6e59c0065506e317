/**
 * Statement → text. The text parses to the same statement (offsets aside), and secrets can be
 * masked for logs. A table by kind: a new kind does not compile until it is here.
 */
import { nameText, stringText } from '../grammar/literals.ts';
import type { BackendRef } from '../grammar/nodes/cluster.ts';
import type { ShowFilter, TableName } from '../grammar/nodes/clauses.ts';
import type { Assignment } from '../grammar/nodes/session.ts';
import type { Statement, StatementKind, StatementOf } from '../grammar/nodes/statement.ts';
import type { WarmUp } from '../grammar/nodes/warm_up.ts';
import {
  accountText,
  accountOptionsText,
  granteeText,
  passwordText,
  privilegesText,
  roleChoiceText,
  scopeText,
  strings,
  usersText,
} from './format_accounts.ts';
import {
  filterText,
  jobText,
  partitionsText,
  properties,
  propertyList,
  tableText,
  words,
  type FormatOptions,
} from './format_clauses.ts';
import { formatExpr, userVarText, variableText } from './format_expr.ts';
import { alterActionText, createTableText, insertSelectText, insertText } from './format_tables.ts';

type Formatter<Kind extends StatementKind> = (
  statement: StatementOf<Kind>,
  options: FormatOptions,
) => string;
type Formatters = { readonly [Kind in StatementKind]: Formatter<Kind> };

/** Text of a statement; canonical: one spelling where the language has several. */
export function formatStatement(
  statement: Statement,
  options: FormatOptions = { maskSecrets: false },
): string {
  return (FORMATTERS[statement.kind] as Formatter<StatementKind>)(statement, options);
}

/** `SHOW words filter`. */
const show =
  (what: string) =>
  ({ filter }: { readonly filter: ShowFilter }): string =>
    words(`SHOW ${what}`, filterText(filter));

/** `SHOW words [FROM db] filter`. */
const showIn =
  (what: string) =>
  (statement: { readonly db: string | undefined; readonly filter: ShowFilter }): string =>
    words(`SHOW ${what}`, inDatabase(statement.db), filterText(statement.filter));

const inDatabase = (db: string | undefined): string | undefined =>
  db === undefined ? undefined : `FROM ${nameText(db)}`;

const showFrom =
  (what: string) =>
  (statement: { readonly table: TableName; readonly filter: ShowFilter }): string =>
    words(`SHOW ${what} FROM`, tableText(statement.table), filterText(statement.filter));

const ofTable = (table: TableName | undefined): string | undefined =>
  table === undefined ? undefined : `FROM ${tableText(table)}`;

const ifExists = (written: boolean): string | false => written && 'IF EXISTS';
const ifNotExists = (written: boolean): string | false => written && 'IF NOT EXISTS';
const force = (written: boolean): string | false => written && 'FORCE';

type Stored = { readonly name: string; readonly properties: WarmUp['properties'] };

const createStored =
  (what: string) =>
  (statement: Stored & { readonly ifNotExists: boolean }, options: FormatOptions): string =>
    words(
      `CREATE ${what}`,
      ifNotExists(statement.ifNotExists),
      nameText(statement.name),
      `PROPERTIES ${propertyList(statement.properties, options)}`,
    );

const alterStored =
  (what: string) =>
  (statement: Stored, options: FormatOptions): string =>
    `ALTER ${what} ${nameText(statement.name)} PROPERTIES ${propertyList(statement.properties, options)}`;

const dropStored =
  (what: string) =>
  (statement: { readonly name: string; readonly ifExists: boolean }): string =>
    words(`DROP ${what}`, ifExists(statement.ifExists), nameText(statement.name));

const jobStatement =
  (what: string) =>
  ({
    job,
  }: StatementOf<
    | 'CancelWarmUpJob'
    | 'CancelCooldownJob'
    | 'PauseWarmUpJob'
    | 'ResumeWarmUpJob'
    | 'RetryWarmUpJob'
  >): string =>
    words(what, jobText(job));

const backend = (ref: BackendRef): string =>
  ref.kind === 'id' ? String(ref.id) : stringText(`${ref.host}:${ref.port}`);

function warmUpText(statement: WarmUp, options: FormatOptions): string {
  const { source, onTables } = statement;
  const from =
    source.kind === 'computeGroup'
      ? `COMPUTE GROUP ${nameText(source.name)}`
      : source.tables
          .map((table) =>
            words(
              `TABLE ${tableText(table)}`,
              table.partition !== undefined && `PARTITION ${nameText(table.partition)}`,
            ),
          )
          .join(' AND ');
  return words(
    `WARM UP COMPUTE GROUP ${nameText(statement.target)} WITH ${from}`,
    force(statement.force),
    onTables.length > 0 && onTablesText(onTables),
    properties(statement.properties, options),
  );
}

function onTablesText(rules: WarmUp['onTables']): string {
  const texts = rules.map(({ action, pattern }) => `${action} ${stringText(pattern)}`);
  return `ON TABLES (${texts.join(', ')})`;
}

function assignmentText(assignment: Assignment, options: FormatOptions): string {
  switch (assignment.kind) {
    case 'userVar':
      return `${userVarText(assignment.name)} = ${formatExpr(assignment.value)}`;
    case 'systemVar': {
      const scope = assignment.scope === undefined ? '' : `${assignment.scope}.`;
      return `@@${scope}${variableText(assignment.name)} = ${formatExpr(assignment.value)}`;
    }
    case 'names':
      return words(
        'NAMES',
        assignment.charset === undefined ? 'DEFAULT' : nameText(assignment.charset),
        assignment.collation !== undefined && `COLLATE ${nameText(assignment.collation)}`,
      );
    case 'charset': {
      const { charset } = assignment;
      return `CHARACTER SET ${charset === undefined ? 'DEFAULT' : nameText(charset)}`;
    }
    case 'password':
      return words(
        'PASSWORD',
        assignment.account !== undefined && `FOR ${accountText(assignment.account)}`,
        `= ${passwordText(assignment.password, options)}`,
      );
    case 'transaction': {
      const { scope, isolation, readOnly } = assignment;
      const parts = [
        isolation === undefined ? undefined : `ISOLATION LEVEL ${isolation}`,
        accessMode(readOnly),
      ];
      return words(scope, 'TRANSACTION', parts.filter((part) => part !== undefined).join(', '));
    }
  }
}

const afterTransaction = ({ chain, release }: StatementOf<'Commit' | 'Rollback'>): string =>
  words(chain && 'AND CHAIN', release && 'RELEASE');

const accessMode = (readOnly: boolean | undefined): string | undefined =>
  readOnly === undefined ? undefined : readOnly ? 'READ ONLY' : 'READ WRITE';

const FORMATTERS: Formatters = {
  // warm-up
  WarmUp: warmUpText,
  ExplainWarmUp: ({ warmUp }, options) => `EXPLAIN ${warmUpText(warmUp, options)}`,
  WarmUpSelect: ({ explain, text }) => words(explain && 'EXPLAIN', 'WARM UP', text),
  ShowWarmUpJobs: show('WARM UP JOB'),
  ShowWarmUpJobRuns: ({ id, filter }) =>
    words('SHOW WARM UP JOB', id?.toString(), 'RUNS', filterText(filter)),
  ShowWarmUpJobFailures: ({ id, filter }) =>
    words('SHOW WARM UP JOB', id?.toString(), 'FAILURES', filterText(filter)),
  CancelWarmUpJob: jobStatement('CANCEL WARM UP JOB'),
  PauseWarmUpJob: jobStatement('PAUSE WARM UP JOB'),
  ResumeWarmUpJob: jobStatement('RESUME WARM UP JOB'),
  RetryWarmUpJob: jobStatement('RETRY WARM UP JOB'),
  AlterWarmUpJob: ({ job, change }, options) =>
    words(
      'ALTER WARM UP JOB',
      jobText(job),
      change.kind === 'onTables'
        ? onTablesText(change.rules)
        : `SET ${propertyList(change.properties, options)}`,
    ),
  WaitForWarmUpJob: ({ job, timeoutSeconds }) =>
    words(
      'WAIT FOR WARM UP JOB',
      jobText(job),
      timeoutSeconds !== undefined && `TIMEOUT ${timeoutSeconds}`,
    ),
  ShowCacheHotspot: ({ path, filter }) =>
    words(`SHOW CACHE HOTSPOT ${stringText(path)}`, filterText(filter)),

  // databases and tables
  CreateDatabase: (statement, options) => {
    const { charset, collation } = statement;
    return words(
      'CREATE DATABASE',
      ifNotExists(statement.ifNotExists),
      nameText(statement.name),
      charset !== undefined && `CHARSET ${nameText(charset)}`,
      collation !== undefined && `COLLATE ${nameText(collation)}`,
      properties(statement.properties, options),
    );
  },
  DropDatabase: (statement) =>
    words(
      'DROP DATABASE',
      ifExists(statement.ifExists),
      nameText(statement.name),
      force(statement.force),
    ),
  CreateTable: createTableText,
  CreateTableLike: (statement) =>
    words(
      'CREATE TABLE',
      ifNotExists(statement.ifNotExists),
      tableText(statement.table),
      'LIKE',
      tableText(statement.like),
    ),
  DropTable: (statement) =>
    words(
      'DROP TABLE',
      ifExists(statement.ifExists),
      statement.tables.map(tableText).join(', '),
      force(statement.force),
    ),
  TruncateTable: (statement) =>
    words(
      'TRUNCATE TABLE',
      tableText(statement.table),
      partitionsText(statement.partitions),
      force(statement.force),
    ),
  AlterTable: ({ table, actions }, options) =>
    `ALTER TABLE ${tableText(table)} ${actions.map((action) => alterActionText(action, options)).join(', ')}`,
  CancelAlterTable: ({ what, table, jobs }) =>
    words(
      `CANCEL ALTER TABLE ${what} FROM ${tableText(table)}`,
      jobs.length > 0 && `(${jobs.join(', ')})`,
    ),
  Insert: insertText,
  InsertSelect: insertSelectText,
  RenameTables: ({ renames }) =>
    `RENAME TABLE ${renames.map(({ from, to }) => `${tableText(from)} TO ${tableText(to)}`).join(', ')}`,

  // compute groups and backends
  CreateComputeGroup: (statement, options) =>
    words(
      'CREATE COMPUTE GROUP',
      ifNotExists(statement.ifNotExists),
      nameText(statement.name),
      properties(statement.properties, options),
    ),
  DropComputeGroup: (statement) =>
    words(
      'DROP COMPUTE GROUP',
      ifExists(statement.ifExists),
      nameText(statement.name),
      force(statement.force),
    ),
  AlterComputeGroup: ({ name, properties: list }, options) =>
    `ALTER COMPUTE GROUP ${nameText(name)} PROPERTIES ${propertyList(list, options)}`,
  RenameComputeGroup: ({ name, newName }) =>
    `ALTER SYSTEM RENAME COMPUTE GROUP ${nameText(name)} ${nameText(newName)}`,
  AddBackend: ({ backends, computeGroup, properties: list }, options) => {
    const added = backends.map((one) =>
      one.kind === 'embedded' ? "'embedded'" : stringText(`${one.host}:${one.port}`),
    );
    return words(
      'ALTER SYSTEM ADD BACKEND',
      added.join(', '),
      computeGroup !== undefined && `TO COMPUTE GROUP ${nameText(computeGroup)}`,
      properties(list, options),
    );
  },
  DropBackend: (statement) =>
    `ALTER SYSTEM ${statement.force ? 'DROPP' : 'DROP'} BACKEND ${statement.backends.map(backend).join(', ')}`,
  DecommissionBackend: ({ backends }) =>
    `ALTER SYSTEM DECOMMISSION BACKEND ${backends.map(backend).join(', ')}`,
  CancelDecommission: ({ backends }) =>
    `CANCEL DECOMMISSION BACKEND ${backends.map(backend).join(', ')}`,
  StopBackend: (statement) => `ALTER SYSTEM STOP BACKEND ${backend(statement.backend)}`,
  StartBackend: (statement) => `ALTER SYSTEM START BACKEND ${backend(statement.backend)}`,
  KillBackend: (statement) => `ALTER SYSTEM KILL BACKEND ${backend(statement.backend)}`,
  ShowBackends: show('BACKENDS'),
  ShowComputeGroups: show('COMPUTE GROUPS'),
  ShowFrontends: show('FRONTENDS'),

  // vaults, resources, policies, cooldown
  CreateStorageVault: createStored('STORAGE VAULT'),
  AlterStorageVault: alterStored('STORAGE VAULT'),
  DropStorageVault: dropStored('STORAGE VAULT'),
  ShowStorageVaults: show('STORAGE VAULTS'),
  SetDefaultStorageVault: ({ name }) => `SET ${nameText(name)} AS DEFAULT STORAGE VAULT`,
  UnsetDefaultStorageVault: () => 'UNSET DEFAULT STORAGE VAULT',
  CreateResource: createStored('RESOURCE'),
  AlterResource: alterStored('RESOURCE'),
  DropResource: dropStored('RESOURCE'),
  ShowResources: show('RESOURCES'),
  CreateStoragePolicy: createStored('STORAGE POLICY'),
  AlterStoragePolicy: alterStored('STORAGE POLICY'),
  DropStoragePolicy: dropStored('STORAGE POLICY'),
  ShowStoragePolicies: show('STORAGE POLICY'),
  ShowStoragePolicyUsing: ({ policy, filter }) =>
    words(
      'SHOW STORAGE POLICY USING',
      policy !== undefined && `FOR ${nameText(policy)}`,
      filterText(filter),
    ),
  ShowCooldownJobs: show('COOLDOWN JOB'),
  ShowCooldownTablets: showFrom('COOLDOWN'),
  CancelCooldownJob: jobStatement('CANCEL COOLDOWN JOB'),
  AdminCooldownTable: ({ table, partitions }) =>
    words('ADMIN COOLDOWN TABLE', tableText(table), partitionsText(partitions)),
  AdminSetCooldownLeader: ({ tabletId, replicaId }) =>
    `ADMIN SET COOLDOWN LEADER FOR TABLET ${tabletId} TO REPLICA ${replicaId}`,
  CheckCooldownTable: ({ table, repair }) =>
    words('CHECK COOLDOWN TABLE', tableText(table), repair && 'REPAIR'),
  AdminRepairTable: ({ table, partitions, cancel }) =>
    words(
      'ADMIN',
      cancel && 'CANCEL',
      'REPAIR TABLE',
      tableText(table),
      partitionsText(partitions),
    ),

  // SHOW
  ShowDatabases: show('DATABASES'),
  ShowTables: ({ full, db, filter }) =>
    words('SHOW', full && 'FULL', 'TABLES', inDatabase(db), filterText(filter)),
  ShowColumns: ({ full, table, filter }) =>
    words('SHOW', full && 'FULL', 'COLUMNS', ofTable(table), filterText(filter)),
  Describe: ({ table, column, all }) =>
    words('DESCRIBE', tableText(table), column !== undefined && stringText(column), all && 'ALL'),
  ShowCreateTable: ({ table }) => `SHOW CREATE TABLE ${tableText(table)}`,
  ShowCreateDatabase: (statement) =>
    words('SHOW CREATE DATABASE', ifNotExists(statement.ifNotExists), nameText(statement.name)),
  ShowCreateOther: ({ what, name }) => `SHOW CREATE ${what} ${tableText(name)}`,
  ShowTableStatus: showIn('TABLE STATUS'),
  ShowOpenTables: showIn('OPEN TABLES'),
  ShowDynamicPartitionTables: showIn('DYNAMIC PARTITION TABLES'),
  ShowTriggers: showIn('TRIGGERS'),
  ShowEvents: showIn('EVENTS'),
  ShowIndex: showFrom('INDEX'),
  ShowPartitions: ({ temporary, table, filter }) =>
    words('SHOW', temporary && 'TEMPORARY', 'PARTITIONS', ofTable(table), filterText(filter)),
  ShowTablets: ({ table, partitions, filter }) =>
    words('SHOW TABLETS', ofTable(table), partitionsText(partitions), filterText(filter)),
  ShowTablet: ({ tabletId }) => `SHOW TABLET ${tabletId}`,
  ShowData: ({ table, filter }) => words('SHOW DATA', ofTable(table), filterText(filter)),
  ShowDataSkew: ({ table, partitions, filter }) =>
    words('SHOW DATA SKEW', ofTable(table), partitionsText(partitions), filterText(filter)),
  ShowReplicaStatus: ({ table, partitions, filter }) =>
    words(
      'ADMIN SHOW REPLICA STATUS',
      ofTable(table),
      partitionsText(partitions),
      filterText(filter),
    ),
  ShowReplicaDistribution: ({ table, partitions, filter }) =>
    words(
      'ADMIN SHOW REPLICA DISTRIBUTION',
      ofTable(table),
      partitionsText(partitions),
      filterText(filter),
    ),
  ShowVariables: ({ scope, filter }) => words('SHOW', scope, 'VARIABLES', filterText(filter)),
  ShowStatus: ({ scope, filter }) => words('SHOW', scope, 'STATUS', filterText(filter)),
  ShowWarnings: ({ count, filter }) =>
    words('SHOW', count && 'COUNT(*)', 'WARNINGS', filterText(filter)),
  ShowErrors: ({ count, filter }) =>
    words('SHOW', count && 'COUNT(*)', 'ERRORS', filterText(filter)),
  ShowProcesslist: ({ full, filter }) =>
    words('SHOW', full && 'FULL', 'PROCESSLIST', filterText(filter)),
  ShowEngines: show('ENGINES'),
  ShowEngineStatus: ({ engine, what }) => `SHOW ENGINE ${nameText(engine)} ${what}`,
  ShowCollation: show('COLLATION'),
  ShowCharset: show('CHARACTER SET'),
  ShowPlugins: show('PLUGINS'),
  ShowPrivileges: show('PRIVILEGES'),
  ShowProcedureStatus: show('PROCEDURE STATUS'),
  ShowFunctionStatus: show('FUNCTION STATUS'),
  ShowCatalogs: show('CATALOGS'),
  ShowConfig: show('CONFIG'),
  AdminShowConfig: ({ filter }) => words('ADMIN SHOW FRONTEND CONFIG', filterText(filter)),
  AdminSetConfig: ({ properties: list, all }, options) =>
    words('ADMIN SET', all ? 'ALL FRONTENDS' : 'FRONTEND', 'CONFIG', propertyList(list, options)),
  ShowCompactionStatus: ({ table, filter }) =>
    words('SHOW COMPACTION STATUS', ofTable(table), filterText(filter)),
  ShowAlterTable: ({ what, db, filter }) =>
    words('SHOW ALTER TABLE', what, inDatabase(db), filterText(filter)),
  ShowLoad: showIn('LOAD'),
  ShowStreamLoad: showIn('STREAM LOAD'),
  ShowTransaction: showIn('TRANSACTION'),
  ShowProc: ({ path }) => `SHOW PROC ${stringText(path)}`,
  ShowReplication: ({ what }) => `SHOW ${what}`,
  ShowProfiles: () => 'SHOW PROFILES',

  // session
  Use: ({ db, computeGroup }) =>
    `USE ${nameText(db)}${computeGroup === undefined ? '' : userVarText(computeGroup)}`,
  UseComputeGroup: ({ name }) => `USE ${userVarText(name)}`,
  ResetPersist: (statement) =>
    words(
      'RESET PERSIST',
      ifExists(statement.ifExists),
      statement.name && variableText(statement.name),
    ),
  SetVariables: ({ assignments }, options) =>
    `SET ${assignments.map((one) => assignmentText(one, options)).join(', ')}`,
  Select: ({ text }) => text,
  Explain: ({ option, text }) => words('EXPLAIN', option, text),
  Kill: ({ what, connectionId }) => `KILL ${what} ${connectionId}`,
  Begin: ({ consistentSnapshot, readOnly }) => {
    const parts = [
      consistentSnapshot ? 'WITH CONSISTENT SNAPSHOT' : undefined,
      accessMode(readOnly),
    ];
    return words('START TRANSACTION', parts.filter((part) => part !== undefined).join(', '));
  },
  Commit: (statement) => words('COMMIT', afterTransaction(statement)),
  Rollback: (statement) =>
    words(
      'ROLLBACK',
      statement.savepoint !== undefined && `TO SAVEPOINT ${nameText(statement.savepoint)}`,
      afterTransaction(statement),
    ),
  Savepoint: ({ name }) => `SAVEPOINT ${nameText(name)}`,
  ReleaseSavepoint: ({ name }) => `RELEASE SAVEPOINT ${nameText(name)}`,
  LockTables: ({ tables }) =>
    `LOCK TABLES ${tables.map((table) => words(tableText(table), table.alias !== undefined && `AS ${nameText(table.alias)}`, table.mode)).join(', ')}`,
  UnlockTables: () => 'UNLOCK TABLES',
  Flush: ({ options: list, tables, withReadLock }) =>
    words(
      'FLUSH',
      list.join(', '),
      tables.map(tableText).join(', '),
      withReadLock && 'WITH READ LOCK',
    ),
  Help: ({ topic }) => `HELP ${stringText(topic)}`,
  PrepareStatement: ({ name, source }) =>
    `PREPARE ${nameText(name)} FROM ${source.kind === 'text' ? stringText(source.text) : userVarText(source.name)}`,
  ExecuteStatement: ({ name, using }) =>
    words(
      'EXECUTE',
      nameText(name),
      using.length > 0 && `USING ${using.map(userVarText).join(', ')}`,
    ),
  DeallocateStatement: ({ name }) => `DEALLOCATE PREPARE ${nameText(name)}`,
  TableMaintenance: ({ what, tables }) => `${what} TABLE ${tables.map(tableText).join(', ')}`,
  TableKeys: ({ table, enable }) =>
    `ALTER TABLE ${tableText(table)} ${enable ? 'ENABLE' : 'DISABLE'} KEYS`,
  Do: ({ exprs }) => `DO ${exprs.map(formatExpr).join(', ')}`,
  Shutdown: () => 'SHUTDOWN',
  Empty: () => '/* */',
  Unsupported: ({ text }) => text,

  // accounts
  CreateUser: (statement, options) =>
    words(
      'CREATE USER',
      ifNotExists(statement.ifNotExists),
      usersText(statement.users, options),
      statement.defaultRole !== undefined && `DEFAULT ROLE ${stringText(statement.defaultRole)}`,
      accountOptionsText(statement.options),
    ),
  AlterUser: (statement, options) =>
    words(
      'ALTER USER',
      ifExists(statement.ifExists),
      usersText(statement.users, options),
      accountOptionsText(statement.options),
    ),
  DropUser: (statement) =>
    words(
      'DROP USER',
      ifExists(statement.ifExists),
      statement.accounts.map(accountText).join(', '),
    ),
  RenameUser: ({ renames }) =>
    `RENAME USER ${renames.map(({ from, to }) => `${accountText(from)} TO ${accountText(to)}`).join(', ')}`,
  SetPassword: (statement, options) =>
    words(
      'SET PASSWORD',
      statement.account !== undefined && `FOR ${accountText(statement.account)}`,
      '=',
      passwordText(statement.password, options),
    ),
  SetRole: ({ choice }) => `SET ROLE ${roleChoiceText(choice)}`,
  SetDefaultRole: ({ choice, to }) =>
    `SET DEFAULT ROLE ${roleChoiceText(choice)} TO ${to.map(accountText).join(', ')}`,
  CreateRole: (statement) =>
    words('CREATE ROLE', ifNotExists(statement.ifNotExists), strings(statement.roles)),
  DropRole: (statement) =>
    words('DROP ROLE', ifExists(statement.ifExists), strings(statement.roles)),
  Grant: (statement) =>
    words(
      `GRANT ${privilegesText(statement.privileges)} ON ${scopeText(statement.on)} TO ${statement.to.map(granteeText).join(', ')}`,
      statement.withGrantOption && 'WITH GRANT OPTION',
    ),
  Revoke: (statement) =>
    `REVOKE ${privilegesText(statement.privileges)} ON ${scopeText(statement.on)} FROM ${statement.from.map(granteeText).join(', ')}`,
  GrantRole: ({ roles, to }) => `GRANT ${strings(roles)} TO ${to.map(accountText).join(', ')}`,
  RevokeRole: ({ roles, from }) =>
    `REVOKE ${strings(roles)} FROM ${from.map(accountText).join(', ')}`,
  ShowGrants: (statement) =>
    words(
      'SHOW',
      statement.all && 'ALL',
      'GRANTS',
      statement.account !== undefined && `FOR ${accountText(statement.account)}`,
      filterText(statement.filter),
    ),
  ShowCreateUser: (statement) => `SHOW CREATE USER ${accountText(statement.account)}`,
  ShowRoles: show('ROLES'),
};
