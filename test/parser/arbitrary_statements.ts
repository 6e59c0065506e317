/** An arbitrary statement of every kind. */
import fc, { type Arbitrary } from 'fast-check';
import type {
  AccountRef,
  AlterTableAction,
  Assignment,
  BackendRef,
  ColumnSpec,
  Statement,
  StatementKind,
  StatementOf,
} from '../../parser/statement.ts';
import {
  expr,
  few,
  filter,
  id,
  job,
  name,
  optional,
  properties,
  some,
  someProperties,
  table,
  text,
} from './arbitrary_clauses.ts';

type Fields<T> = { [K in Exclude<keyof T, 'kind'>]: Arbitrary<T[K]> };
type Table = { readonly [Kind in StatementKind]: Fields<StatementOf<Kind>> };

const flag = fc.boolean();
const is = <const T>(value: T): Arbitrary<T> => fc.constant(value);
const scope = fc.constantFrom('GLOBAL' as const, 'SESSION' as const, undefined);
const password = fc.oneof(
  fc.record({ kind: is('clear'), text }),
  is({ kind: 'hash' as const, text: `*${'A1'.repeat(20)}` }),
);
const hashOrClear = fc.record({ kind: fc.constantFrom('clear' as const, 'hash' as const), text });
const account: Arbitrary<AccountRef> = fc.oneof(
  fc.record({ kind: is('account'), user: text, host: name }),
  is({ kind: 'current' as const }),
);
const user = fc.record({
  account,
  // IDENTIFIED alone says nothing, and would take a WITH behind it for its own.
  credential: optional(
    fc
      .record({ plugin: optional(text), password: optional(hashOrClear) })
      .filter(({ plugin, password: by }) => plugin !== undefined || by !== undefined),
  ),
});
const count = fc.nat(1000);
const accountOptions = fc.record({
  requireTls: optional(flag),
  queriesPerHour: optional(count),
  updatesPerHour: optional(count),
  connectionsPerHour: optional(count),
  userConnections: optional(count),
  expire: optional(
    fc.oneof(fc.constantFrom('NOW' as const, 'NEVER' as const, 'DEFAULT' as const), count),
  ),
  failedLoginAttempts: optional(count),
  passwordLockSecond: optional(fc.oneof(count, is('UNBOUNDED' as const))),
  lock: optional(flag),
  comment: optional(text),
});
const roleChoice = fc.oneof(
  is({ kind: 'none' as const }),
  is({ kind: 'default' as const }),
  fc.record({ kind: is('all'), except: few(text) }),
  fc.record({ kind: is('some'), roles: some(text) }),
);
const named = fc.record({ kind: is('role'), name: text });
const grantee = fc.oneof(fc.record({ kind: is('user'), account }), named);
const privilege = fc.record({
  name: fc.constantFrom('SELECT_PRIV', 'ALL', 'CREATE USER', 'select', 'Usage', 'my role'),
  columns: few(name),
});
const grantScope = fc.oneof(
  fc.record({ kind: is('table'), db: fc.oneof(name, is('*')), table: fc.oneof(name, is('*')) }),
  fc.record({ kind: is('localTable'), table: name }),
  fc.record({
    kind: fc.constantFrom('computeGroup' as const, 'resource' as const, 'storageVault' as const),
    name: text,
  }),
);
const host = fc.constantFrom('127.0.0.1', 'be-1.example', '[::1]');
const address = fc.record({ kind: is('address'), host, port: fc.integer({ min: 1, max: 65_535 }) });
const backend: Arbitrary<BackendRef> = fc.oneof(fc.record({ kind: is('id'), id }), address);

const columnType = fc.constantFrom<ColumnSpec['type']>(
  { kind: 'BOOLEAN' },
  { kind: 'TINYINT' },
  { kind: 'LARGEINT' },
  { kind: 'DECIMAL', precision: 38, scale: 38 },
  { kind: 'DATETIME', precision: 6 },
  { kind: 'DATETIME', precision: 0 },
  { kind: 'CHAR', length: 255 },
  { kind: 'VARCHAR', length: 65_533 },
  { kind: 'STRING' },
  { kind: 'JSON' },
);
const column: Arbitrary<ColumnSpec> = fc.record({
  name,
  type: columnType,
  key: flag,
  primary: flag,
  aggregation: fc.constantFrom(undefined, 'SUM' as const, 'REPLACE' as const),
  nullable: fc.constantFrom(undefined, true, false),
  autoIncrement: flag,
  defaultValue: optional(expr),
  comment: optional(text),
  at: is(0),
});
const bound = fc.oneof(is({ max: true as const }), fc.record({ max: is(false), value: expr }));
const partition = fc.record({
  name,
  ifNotExists: flag,
  values: fc.oneof(
    fc.record({ kind: is('lessThan'), upper: some(bound) }),
    fc.record({ kind: is('range'), lower: some(bound), upper: some(bound) }),
    fc.record({ kind: is('in'), tuples: some(some(expr)) }),
  ),
  properties,
  at: is(0),
});
const distribution = fc.record({
  columns: few(name),
  buckets: fc.constantFrom(undefined, 8, 'AUTO' as const),
});
const rollup = fc.record({ name, columns: some(name), properties });
const position = optional(
  fc.oneof(is({ kind: 'first' as const }), fc.record({ kind: is('after'), column: name })),
);
const inRollup = optional(name);
const action: Arbitrary<AlterTableAction> = fc.oneof(
  fc.record({ kind: is('AddColumn'), column, position, rollup: inRollup }),
  fc.record({ kind: is('AddColumns'), columns: some(column), rollup: inRollup }),
  fc.record({ kind: is('DropColumn'), name, rollup: inRollup }),
  fc.record({ kind: is('ModifyColumn'), column, position, rollup: inRollup }),
  fc.record({
    kind: fc.constantFrom(
      'RenameColumn' as const,
      'RenamePartition' as const,
      'RenameRollup' as const,
    ),
    name,
    newName: name,
  }),
  fc.record({ kind: is('OrderColumns'), columns: some(name), rollup: inRollup }),
  fc.record({ kind: is('AddPartition'), partition, distribution: optional(distribution) }),
  fc.record({ kind: is('DropPartition'), name, ifExists: flag, force: flag }),
  fc.record({
    kind: is('ModifyPartition'),
    partitions: fc.oneof(is('all' as const), some(name)),
    properties: someProperties,
  }),
  fc.record({ kind: is('AddRollup'), rollup, from: optional(name) }),
  fc.record({ kind: is('DropRollup'), names: some(name) }),
  fc.record({ kind: is('Rename'), newName: name }),
  fc.record({ kind: is('SetProperties'), properties: someProperties }),
  fc.record({
    kind: is('Compact'),
    partitions: few(name),
    type: fc.constantFrom(undefined, 'FULL' as const),
  }),
  fc.record({ kind: is('Comment'), comment: text }),
);
const variable = fc.stringMatching(/^[a-z_]{1,8}(\.[a-z_]{1,8})?$/);
const assignment: Arbitrary<Assignment> = fc.oneof(
  fc.record({ kind: is('userVar'), name, value: expr }),
  fc.record({
    kind: is('systemVar'),
    scope: fc.oneof(scope, fc.constantFrom('PERSIST' as const, 'PERSIST_ONLY' as const)),
    name: variable,
    value: expr,
  }),
  fc.record({ kind: is('names'), charset: optional(name), collation: optional(name) }),
  fc.record({ kind: is('charset'), charset: optional(name) }),
  fc.constantFrom<Assignment>(
    { kind: 'transaction', scope: 'SESSION', isolation: 'READ COMMITTED', readOnly: undefined },
    { kind: 'transaction', scope: undefined, isolation: undefined, readOnly: true },
    { kind: 'transaction', scope: 'GLOBAL', isolation: 'SERIALIZABLE', readOnly: false },
  ),
);
const assignments = fc.oneof(
  some(assignment),
  fc
    .tuple(fc.record({ kind: is('password'), account: optional(account), password }), assignment)
    .map(([one, other]): Assignment[] => [one, other]),
);
const onTablesRule = fc.record({
  action: fc.constantFrom('INCLUDE' as const, 'EXCLUDE' as const),
  pattern: text,
  at: is(0),
});
const warmUp = {
  target: name,
  source: fc.oneof(
    fc.record({ kind: is('computeGroup'), name }),
    fc.record({
      kind: is('tables'),
      tables: some(fc.record({ db: optional(name), name, partition: optional(name) })),
    }),
  ),
  force: flag,
  onTables: few(onTablesRule),
  properties,
};
const query = fc.constantFrom('SELECT 1', "WITH x AS (SELECT ';') SELECT * FROM x", '(SELECT 2)');
const created = { name, ifNotExists: flag, properties: someProperties };
const dropped = { name, ifExists: flag };
const inDatabase = { db: optional(name), filter };
const ofTable = { table, filter };
const lockMode = fc.constantFrom('READ' as const, 'READ LOCAL' as const, 'WRITE' as const);

// prettier-ignore
const FIELDS: Table = {
  WarmUp: warmUp,
  ExplainWarmUp: { warmUp: fc.record({ kind: is('WarmUp'), ...warmUp }) },
  WarmUpSelect: { explain: flag, text: is('SELECT * FROM t'), at: is(0) },
  ShowWarmUpJobs: { filter },
  ShowWarmUpJobRuns: { id: optional(id), filter },
  ShowWarmUpJobFailures: { id: optional(id), filter },
  CancelWarmUpJob: { job }, PauseWarmUpJob: { job }, ResumeWarmUpJob: { job }, RetryWarmUpJob: { job },
  AlterWarmUpJob: {
    job,
    change: fc.oneof(
      fc.record({ kind: is('properties'), properties: someProperties }),
      fc.record({ kind: is('onTables'), rules: some(onTablesRule) }),
    ),
  },
  WaitForWarmUpJob: { job, timeoutSeconds: optional(id) },
  ShowCacheHotspot: { path: text, filter },
  CreateDatabase: { name, ifNotExists: flag, charset: optional(name), collation: optional(name), properties },
  DropDatabase: { ...dropped, force: flag },
  CreateTable: {
    table, ifNotExists: flag, temporary: flag, columns: some(column),
    indexes: few(fc.record({ name: optional(name), unique: flag, columns: some(name), using: fc.constantFrom(undefined, 'INVERTED'), properties, comment: optional(text) })),
    primaryKey: few(name), engine: optional(name), charset: optional(name), collation: optional(name),
    keys: optional(fc.record({ type: fc.constantFrom('DUPLICATE' as const, 'UNIQUE' as const), columns: some(name) })),
    comment: optional(text),
    partitioning: optional(fc.record({ kind: fc.constantFrom('RANGE' as const, 'LIST' as const), columns: some(name), partitions: few(partition) })),
    distribution: optional(distribution), rollups: few(rollup), properties,
  },
  CreateTableLike: { table, ifNotExists: flag, like: table },
  DropTable: { tables: some(table), ifExists: flag, force: flag },
  TruncateTable: { table, partitions: few(name), force: flag },
  AlterTable: { table, actions: some(action) },
  CancelAlterTable: { what: fc.constantFrom('COLUMN' as const, 'ROLLUP' as const), table, jobs: fc.array(fc.nat(), { maxLength: 3 }) },
  Insert: { table, partitions: few(name), label: optional(name), columns: optional(few(name)), rows: some(few(expr)) },
  InsertSelect: { table, partitions: few(name), label: optional(name), columns: optional(some(name)), query: is('SELECT 1, a FROM t') },
  RenameTables: { renames: some(fc.record({ from: table, to: table })) },
  CreateComputeGroup: { name, ifNotExists: flag, properties },
  DropComputeGroup: { ...dropped, force: flag },
  AlterComputeGroup: { name, properties: someProperties },
  RenameComputeGroup: { name, newName: name },
  AddBackend: { backends: some(fc.oneof(is({ kind: 'embedded' as const }), address)), computeGroup: optional(name), properties },
  DropBackend: { backends: some(backend), force: flag },
  DecommissionBackend: { backends: some(backend) },
  CancelDecommission: { backends: some(backend) },
  StopBackend: { backend }, StartBackend: { backend }, KillBackend: { backend },
  ShowBackends: { filter }, ShowComputeGroups: { filter }, ShowFrontends: { filter },
  CreateStorageVault: created, AlterStorageVault: { name, properties: someProperties }, DropStorageVault: dropped, ShowStorageVaults: { filter },
  SetDefaultStorageVault: { name }, UnsetDefaultStorageVault: {},
  CreateResource: created, AlterResource: { name, properties: someProperties }, DropResource: dropped, ShowResources: { filter },
  CreateStoragePolicy: created, AlterStoragePolicy: { name, properties: someProperties }, DropStoragePolicy: dropped, ShowStoragePolicies: { filter },
  ShowStoragePolicyUsing: { policy: optional(name), filter },
  ShowCooldownJobs: { filter }, ShowCooldownTablets: ofTable, CancelCooldownJob: { job },
  AdminCooldownTable: { table, partitions: few(name) }, AdminSetCooldownLeader: { tabletId: id, replicaId: id }, CheckCooldownTable: { table, repair: flag },
  AdminRepairTable: { table, partitions: few(name), cancel: flag },
  ShowDatabases: { filter }, ShowTables: { full: flag, ...inDatabase }, ShowColumns: { full: flag, ...ofTable },
  Describe: { table, column: optional(text), all: is(false) },
  ShowCreateTable: { table }, ShowCreateDatabase: { name, ifNotExists: flag },
  ShowCreateOther: { what: fc.constantFrom('VIEW' as const, 'PROCEDURE' as const), name: table },
  ShowTableStatus: inDatabase, ShowOpenTables: inDatabase, ShowDynamicPartitionTables: inDatabase, ShowTriggers: inDatabase, ShowEvents: inDatabase,
  ShowIndex: ofTable, ShowPartitions: { temporary: flag, ...ofTable }, ShowTablets: { partitions: few(name), ...ofTable }, ShowTablet: { tabletId: id },
  ShowData: { table: optional(table), filter }, ShowDataSkew: { partitions: few(name), ...ofTable }, ShowReplicaStatus: { partitions: few(name), ...ofTable }, ShowReplicaDistribution: { partitions: few(name), ...ofTable },
  ShowVariables: { scope, filter }, ShowStatus: { scope, filter }, ShowWarnings: { count: flag, filter }, ShowErrors: { count: flag, filter },
  ShowProcesslist: { full: flag, filter }, ShowEngines: { filter },
  ShowEngineStatus: { engine: name, what: fc.constantFrom('STATUS' as const, 'MUTEX' as const, 'LOGS' as const) },
  ShowCollation: { filter }, ShowCharset: { filter }, ShowPlugins: { filter }, ShowPrivileges: { filter }, ShowProcedureStatus: { filter }, ShowFunctionStatus: { filter },
  ShowCatalogs: { filter }, ShowConfig: { filter }, AdminShowConfig: { filter }, AdminSetConfig: { properties: someProperties, all: flag },
  ShowCompactionStatus: { table: optional(table), filter }, ShowAlterTable: { what: fc.constantFrom('COLUMN' as const, 'ROLLUP' as const), ...inDatabase },
  ShowLoad: inDatabase, ShowStreamLoad: inDatabase, ShowTransaction: inDatabase, ShowProc: { path: text },
  ShowReplication: { what: fc.constantFrom('MASTER STATUS' as const, 'SLAVE STATUS' as const, 'REPLICA STATUS' as const, 'BINARY LOGS' as const, 'SLAVE HOSTS' as const, 'REPLICAS' as const) },
  ShowProfiles: {},
  Use: { db: name, computeGroup: optional(name) }, UseComputeGroup: { name }, SetVariables: { assignments }, ResetPersist: { ifExists: flag, name: optional(variable) },
  Select: { text: query, at: is(0) }, Explain: { option: fc.constantFrom('', 'EXTENDED', 'FORMAT=JSON'), text: query, at: is(0) },
  Kill: { what: fc.constantFrom('QUERY' as const, 'CONNECTION' as const), connectionId: id },
  Begin: { consistentSnapshot: flag, readOnly: fc.constantFrom(undefined, true, false) }, Commit: { chain: flag, release: flag }, Rollback: { savepoint: optional(name), chain: flag, release: flag },
  Savepoint: { name }, ReleaseSavepoint: { name },
  LockTables: { tables: some(fc.record({ db: optional(name), name, alias: optional(name), mode: lockMode })) }, UnlockTables: {},
  Flush: { options: is(['PRIVILEGES', 'ENGINE LOGS']), tables: is([]), withReadLock: is(false) },
  PrepareStatement: { name, source: fc.oneof(fc.record({ kind: is('text' as const), text }), fc.record({ kind: is('variable' as const), name })) },
  ExecuteStatement: { name, using: fc.array(name, { maxLength: 2 }) }, DeallocateStatement: { name },
  Help: { topic: text }, TableMaintenance: { what: fc.constantFrom('ANALYZE' as const, 'CHECK' as const), tables: some(table) },
  TableKeys: { table, enable: flag }, Do: { exprs: some(expr) }, Shutdown: {}, Empty: {}, Unsupported: { what: is('DELETE'), text: is('DELETE FROM t') },
  CreateUser: { ifNotExists: flag, users: some(user), defaultRole: optional(text), options: accountOptions },
  AlterUser: { ifExists: flag, users: some(user), options: accountOptions },
  DropUser: { ifExists: flag, accounts: some(account) }, RenameUser: { renames: some(fc.record({ from: account, to: account })) }, SetPassword: { account: optional(account), password },
  CreateRole: { ifNotExists: flag, roles: some(text) }, DropRole: { ifExists: flag, roles: some(text) },
  Grant: { privileges: some(privilege), on: grantScope, to: some(grantee), withGrantOption: flag },
  Revoke: { privileges: some(privilege), on: grantScope, from: some(grantee) },
  GrantRole: { roles: some(text), to: some(account) }, RevokeRole: { roles: some(text), from: some(account) },
  ShowGrants: { account: optional(account), all: flag, filter }, ShowRoles: { filter }, SetRole: { choice: roleChoice }, SetDefaultRole: { choice: roleChoice, to: some(account) }, ShowCreateUser: { account },
};

export const KINDS = Object.keys(FIELDS) as StatementKind[];

export function statementOf(kind: StatementKind): Arbitrary<Statement> {
  const fields = { kind: fc.constant(kind), ...FIELDS[kind] };
  return fc.record(fields) as Arbitrary<unknown> as Arbitrary<Statement>;
}

/** The same without what stands for a place in the text. */
export function placeless<T>(node: T): T {
  if (Array.isArray(node)) return node.map((one: unknown) => placeless(one)) as T;
  if (node === null || typeof node !== 'object') return node;
  const entries = Object.entries(node)
    .filter(([key, value]) => key !== 'at' && value !== undefined)
    .map(([key, value]) => [key, placeless(value as unknown)] as const);
  return Object.fromEntries(entries) as T;
}
