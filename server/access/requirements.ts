/**
 * What each kind of statement needs: the only place where statements are checked, before their
 * executors run. Total: a new kind does not compile until it is here. What a statement shows is
 * limited row by row besides (`Listing.visible`, `SchemaSource`), and tables of queries are checked
 * where they are resolved (`server/selects.ts`).
 */
import { ANY, type AccountName } from '../../base/privileges.ts';
import { SqlError } from '../../base/errors.ts';
import type { TabletId } from '../../base/ids.ts';
import { id } from '../../base/ids.ts';
import type {
  AccountRef,
  AlterTableAction,
  Properties,
  Statement,
  StatementKind,
  StatementOf,
  TableName,
  WarmUp,
} from '../../parser/statement.ts';
import { type ExecContext, tableNameOf } from '../executors/executor.ts';
import { isSystemDatabase } from '../information_schema/system_databases.ts';
import { Ask, privilegeNeeded } from './ask.ts';

/** Nothing is asked of those who may do everything. */
type Check<Kind extends StatementKind> = (
  statement: StatementOf<Kind>,
  ask: Ask,
) => void | Promise<void>;

interface Requirement<Kind extends StatementKind> {
  /** In words, for docs/security.md. */
  readonly needs: string;
  /** Absent: everybody may. */
  readonly check?: Check<Kind>;
}

const FREE = { needs: 'nothing' } as const;
const OWN_ROWS = { needs: 'nothing; lists what the user may see' } as const;
const QUERY = { needs: 'SELECT on the tables it reads' } as const;
const ADMIN = { needs: 'ADMIN', check: (_: Statement, ask: Ask) => ask.global('ADMIN') } as const;
const NODE = {
  needs: 'NODE or ADMIN',
  check: (_: Statement, ask: Ask) => ask.global('NODE', 'ADMIN'),
} as const;
const GRANT = {
  needs: 'GRANT on *.*, and every privilege that the user or role concerned has',
  check: (_: Statement, ask: Ask) => ask.global('GRANT', 'ADMIN'),
} as const;
const SEES_TABLE = {
  needs: 'any privilege on the table',
  check: ({ table }: { readonly table: TableName }, ask: Ask) => ask.seesTable(table),
} as const;
const SEES_DATABASE = {
  needs: 'any privilege on the database or a table of it',
  check: ({ db }: { readonly db: string | undefined }, ask: Ask) => ask.seesDatabase(db),
} as const;
const WARM_UP_JOB = {
  needs: 'USAGE on both compute groups of the job, SELECT on the tables it names',
  check: async ({ job }: Pick<StatementOf<'CancelWarmUpJob'>, 'job'>, ask: Ask) =>
    ask.warmUpJob(job),
} as const;

function warmUp({ target, source }: WarmUp, ask: Ask): void {
  ask.use('COMPUTE_GROUP', target);
  if (source.kind === 'computeGroup') ask.use('COMPUTE_GROUP', source.name);
  else for (const table of source.tables) ask.table('SELECT', table);
}

/** One's own password may be changed by everybody. */
function ofOthers(refs: readonly (AccountRef | undefined)[], { context, rights }: Ask): void {
  const own: AccountName = context.session.account;
  const others = refs.some(
    (ref) => ref?.kind === 'account' && (ref.user !== own.user || ref.host !== own.host),
  );
  if (!others || rights.hasGlobal('GRANT')) return;
  throw privilegeNeeded('GRANT');
}

async function alterTable({ table, actions }: StatementOf<'AlterTable'>, ask: Ask): Promise<void> {
  ask.table('ALTER', table);
  for (const action of actions) {
    renamed(action, table, ask);
    if ('properties' in action) await named(action.properties, ask);
    if (action.kind === 'AddPartition') await named(action.partition.properties, ask);
    if (action.kind === 'AddRollup') await named(action.rollup.properties, ask);
  }
}

/** Of tables and partitions: those that name a storage policy. */
const POLICY_KEYS: ReadonlySet<string> = new Set([
  'storage_policy',
  'dynamic_partition.storage_policy',
]);

/** USAGE of what properties of a table name: where its data goes, and who serves it. */
async function named(
  properties: readonly Pick<Properties[number], 'key' | 'value'>[],
  ask: Ask,
): Promise<void> {
  const { storagePolicies } = ask.context.services.catalog;
  for (const { key, value } of properties) {
    if (key === 'storage_vault_name') ask.use('STORAGE_VAULT', value);
    if (key === 'resource_group') ask.use('COMPUTE_GROUP', value);
    if (!POLICY_KEYS.has(key) || value === '') continue;
    const policy = await storagePolicies.find(value);
    if (policy === undefined) ask.use('RESOURCE', ANY);
    else ask.use('RESOURCE', policy.resourceName);
  }
}

/** As in MySQL: otherwise a table could be renamed to where others' privileges hold. */
function renamed(action: AlterTableAction, table: TableName, ask: Ask): void {
  if (action.kind !== 'Rename') return;
  ask.table('DROP', table);
  const target = { db: table.db, name: action.newName };
  ask.table('CREATE', target);
  ask.table('LOAD', target);
}

async function seesTablet({ tabletId }: StatementOf<'ShowTablet'>, ask: Ask): Promise<void> {
  const { catalog } = ask.context.services;
  const tablet = catalog.tablets.get(id<TabletId>(tabletId));
  const table = tablet === undefined ? undefined : await catalog.tables.byId(tablet.tableId);
  if (table === undefined) ask.global('ADMIN');
  else if (!ask.rights.seesTable(table.databaseName, table.name)) throw privilegeNeeded('ADMIN');
}

function kill({ connectionId }: StatementOf<'Kill'>, { context, rights }: Ask): void {
  const { services, session } = context;
  const entry = services.connections.get(connectionId);
  if (rights.isAdmin || entry === undefined || entry.user === session.user) return;
  throw new SqlError('NOT_OWNER_OF_THREAD', { id: connectionId });
}

function setVariables({ assignments }: StatementOf<'SetVariables'>, ask: Ask): void {
  for (const assignment of assignments) {
    if (assignment.kind === 'password') ofOthers([assignment.account], ask);
    const scoped = assignment.kind === 'systemVar' || assignment.kind === 'transaction';
    const ofServer = scoped && assignment.scope !== undefined && assignment.scope !== 'SESSION';
    if (ofServer) ask.global('ADMIN');
  }
}

async function createTable(
  { table, properties, partitioning }: StatementOf<'CreateTable'>,
  ask: Ask,
): Promise<void> {
  ask.table('CREATE', table);
  await named(properties, ask);
  for (const partition of partitioning?.partitions ?? []) await named(partition.properties, ask);
}

/** The new table is where the other is. */
async function createTableLike(
  { table, like }: StatementOf<'CreateTableLike'>,
  ask: Ask,
): Promise<void> {
  ask.table('CREATE', table);
  ask.seesTable(like);
  const { services, session } = ask.context;
  const source = tableNameOf(like, session);
  const known = await services.catalog.tables.find(source.db, source.table);
  if (known === undefined) return;
  const own = Object.entries(known.properties).map(([key, value]) => ({ key, value }));
  await named(own, ask);
  const { computeGroups, storagePolicies } = services.catalog;
  const { replication, partitions } = known;
  if (replication === undefined) return;
  const { computeGroupId } = replication;
  const group = (await computeGroups.list()).find((one) => one.computeGroupId === computeGroupId);
  if (group !== undefined) ask.use('COMPUTE_GROUP', group.name);
  const policies = [known, ...partitions].map(({ storagePolicyId }) => storagePolicyId);
  for (const { policyId, resourceName } of await storagePolicies.list()) {
    if (policies.includes(policyId)) ask.use('RESOURCE', resourceName);
  }
}

function hotspots({ path }: StatementOf<'ShowCacheHotspot'>, ask: Ask): void {
  const [, group, table = ''] = path.split('/');
  if (group === undefined || group === '') return;
  ask.use('COMPUTE_GROUP', group);
  const dot = table.indexOf('.');
  if (dot > 0) ask.seesTable({ db: table.slice(0, dot), name: table.slice(dot + 1) });
}

export const REQUIREMENTS: { readonly [Kind in StatementKind]: Requirement<Kind> } = {
  // accounts; what more GRANT, REVOKE and changes of others need is in their executors, since it
  // depends on what the others may do
  CreateUser: GRANT,
  AlterUser: {
    needs: `nothing for one's own password; else ${GRANT.needs}`,
    check: ({ users, options }, ask) => {
      if (Object.values(options).some((option) => option !== undefined)) {
        ask.global('GRANT', 'ADMIN');
      }
      ofOthers(
        users.map(({ account }) => account),
        ask,
      );
    },
  },
  DropUser: GRANT,
  RenameUser: GRANT,
  SetPassword: {
    needs: `nothing for one's own password; else ${GRANT.needs}`,
    check: ({ account }, ask) => ofOthers([account], ask),
  },
  SetRole: { needs: 'the roles, which must be given to the account' },
  SetDefaultRole: {
    needs: `nothing for one's own; else ${GRANT.needs}`,
    check: ({ to }, ask) => ofOthers(to, ask),
  },
  CreateRole: GRANT,
  DropRole: GRANT,
  Grant: { needs: 'GRANT on what it is given on, and the privileges that are given' },
  Revoke: { needs: 'GRANT on what it is taken from, and the privileges that are taken' },
  GrantRole: GRANT,
  RevokeRole: GRANT,
  ShowGrants: {
    needs: "nothing for one's own; else GRANT on *.*",
    check: ({ account }, ask) => ofOthers([account], ask),
  },
  ShowCreateUser: {
    needs: "nothing for one's own; else GRANT on *.*",
    check: ({ account }, ask) => ofOthers([account], ask),
  },
  ShowRoles: OWN_ROWS,

  // cluster
  CreateComputeGroup: NODE,
  DropComputeGroup: NODE,
  AlterComputeGroup: NODE,
  RenameComputeGroup: NODE,
  AddBackend: NODE,
  DropBackend: NODE,
  DecommissionBackend: NODE,
  CancelDecommission: NODE,
  StopBackend: NODE,
  StartBackend: NODE,
  KillBackend: NODE,
  ShowBackends: OWN_ROWS,
  ShowComputeGroups: OWN_ROWS,
  ShowFrontends: NODE,

  // session
  Use: {
    needs: 'any privilege on the database; USAGE on the compute group',
    check: ({ db, computeGroup }, ask) => {
      ask.seesDatabase(db);
      if (computeGroup !== undefined) ask.use('COMPUTE_GROUP', computeGroup);
    },
  },
  UseComputeGroup: {
    needs: 'USAGE on the compute group',
    check: ({ name }, ask) => ask.use('COMPUTE_GROUP', name),
  },
  ResetPersist: ADMIN,
  SetVariables: { needs: 'nothing; ADMIN for GLOBAL and PERSIST', check: setVariables },
  Select: QUERY,
  Explain: QUERY,
  Kill: { needs: "nothing for one's own connections; else ADMIN", check: kill },
  Begin: FREE,
  Commit: FREE,
  Rollback: FREE,
  Savepoint: FREE,
  ReleaseSavepoint: FREE,
  LockTables: {
    needs: 'SELECT on the tables',
    check: ({ tables }, ask) => {
      for (const table of tables) ask.table('SELECT', table);
    },
  },
  UnlockTables: FREE,
  Flush: ADMIN,
  Help: FREE,
  PrepareStatement: FREE,
  ExecuteStatement: { needs: 'what the prepared statement needs' },
  DeallocateStatement: FREE,
  TableMaintenance: {
    needs: 'ALTER on the tables',
    check: ({ tables }, ask) => {
      for (const table of tables) ask.table('ALTER', table);
    },
  },
  TableKeys: {
    needs: 'LOAD on the table',
    check: ({ table }, ask) => ask.table('LOAD', table),
  },
  Do: FREE,
  Shutdown: ADMIN,
  Empty: FREE,
  Unsupported: FREE,

  // show
  ShowDatabases: OWN_ROWS,
  ShowTables: SEES_DATABASE,
  ShowColumns: SEES_TABLE,
  Describe: SEES_TABLE,
  ShowCreateTable: SEES_TABLE,
  ShowCreateDatabase: {
    needs: SEES_DATABASE.needs,
    check: ({ name }, ask) => ask.seesDatabase(name),
  },
  ShowCreateOther: {
    needs: 'any privilege on the database',
    check: ({ name }, ask) => ask.seesDatabase(name.db),
  },
  ShowTableStatus: SEES_DATABASE,
  ShowOpenTables: OWN_ROWS,
  ShowDynamicPartitionTables: OWN_ROWS,
  ShowTriggers: SEES_DATABASE,
  ShowEvents: SEES_DATABASE,
  ShowIndex: SEES_TABLE,
  ShowPartitions: SEES_TABLE,
  ShowTablets: SEES_TABLE,
  ShowTablet: { needs: 'any privilege on its table', check: seesTablet },
  ShowData: {
    needs: 'any privilege on the table or the database',
    check: ({ table }, ask) => {
      if (table === undefined) ask.seesDatabase(undefined);
      else ask.seesTable(table);
    },
  },
  ShowReplicaStatus: SEES_TABLE,
  ShowDataSkew: SEES_TABLE,
  ShowReplicaDistribution: SEES_TABLE,
  ShowVariables: FREE,
  ShowStatus: FREE,
  ShowWarnings: FREE,
  ShowErrors: FREE,
  ShowProcesslist: OWN_ROWS,
  ShowEngines: FREE,
  ShowEngineStatus: FREE,
  ShowCollation: FREE,
  ShowCharset: FREE,
  ShowPlugins: FREE,
  ShowPrivileges: FREE,
  ShowProcedureStatus: FREE,
  ShowFunctionStatus: FREE,
  ShowCatalogs: FREE,
  ShowConfig: ADMIN,
  AdminShowConfig: ADMIN,
  AdminSetConfig: ADMIN,
  ShowCompactionStatus: {
    needs: 'nothing; lists what the user may see',
    check: ({ table }, ask) => {
      if (table !== undefined) ask.seesTable(table);
    },
  },
  ShowAlterTable: SEES_DATABASE,
  ShowLoad: SEES_DATABASE,
  ShowStreamLoad: SEES_DATABASE,
  ShowTransaction: SEES_DATABASE,
  ShowProc: ADMIN,
  ShowReplication: ADMIN,
  ShowProfiles: FREE,

  // storage
  CreateStorageVault: ADMIN,
  AlterStorageVault: ADMIN,
  DropStorageVault: ADMIN,
  ShowStorageVaults: OWN_ROWS,
  SetDefaultStorageVault: ADMIN,
  UnsetDefaultStorageVault: ADMIN,
  CreateResource: ADMIN,
  AlterResource: ADMIN,
  DropResource: ADMIN,
  ShowResources: OWN_ROWS,
  CreateStoragePolicy: ADMIN,
  AlterStoragePolicy: ADMIN,
  DropStoragePolicy: ADMIN,
  ShowStoragePolicies: ADMIN,
  ShowStoragePolicyUsing: ADMIN,
  ShowCooldownJobs: ADMIN,
  ShowCooldownTablets: SEES_TABLE,
  CancelCooldownJob: ADMIN,
  AdminCooldownTable: ADMIN,
  AdminSetCooldownLeader: ADMIN,
  AdminRepairTable: ADMIN,
  CheckCooldownTable: {
    needs: 'ALTER on the table',
    check: ({ table }, ask) => ask.table('ALTER', table),
  },

  // tables
  CreateDatabase: {
    needs: 'CREATE on the database',
    check: ({ name }, ask) => ask.database('CREATE', name),
  },
  DropDatabase: {
    needs: 'DROP on the database',
    check: ({ name }, ask) => ask.database('DROP', name),
  },
  CreateTable: {
    needs:
      'CREATE on the table; USAGE on the vault, the compute group and the resource of the storage policy that it names',
    check: createTable,
  },
  CreateTableLike: {
    needs:
      'CREATE on the table, any privilege on the other, USAGE on the vault, or the compute group ' +
      "and its policies' resources, that it names",
    check: createTableLike,
  },
  DropTable: {
    needs: 'DROP on the tables',
    check: ({ tables }, ask) => {
      for (const table of tables) ask.table('DROP', table);
    },
  },
  TruncateTable: {
    needs: 'DROP on the table; ADMIN for tables of the server',
    check: ({ table }, ask) => {
      if (isSystemDatabase(table.db ?? ask.context.session.database)) ask.global('ADMIN');
      else ask.table('DROP', table);
    },
  },
  AlterTable: {
    needs:
      'ALTER on the table, USAGE on what its properties name; RENAME: DROP on it, too, CREATE and LOAD on the new name',
    check: alterTable,
  },
  CancelAlterTable: {
    needs: 'ALTER on the table',
    check: ({ table }, ask) => ask.table('ALTER', table),
  },
  InsertSelect: {
    needs: 'LOAD on the table, SELECT on the tables it reads',
    check: ({ table }, ask) => ask.table('LOAD', table),
  },
  RenameTables: {
    needs: 'ALTER and DROP on the tables, CREATE and LOAD on the new names',
    check: ({ renames }, ask) => {
      for (const { from, to } of renames) {
        ask.table('ALTER', from);
        ask.table('DROP', from);
        ask.table('CREATE', to);
        ask.table('LOAD', to);
      }
    },
  },
  Insert: { needs: 'LOAD on the table', check: ({ table }, ask) => ask.table('LOAD', table) },

  // warm-up
  WarmUp: {
    needs: 'USAGE on both compute groups, SELECT on the tables it names',
    check: warmUp,
  },
  ExplainWarmUp: {
    needs: 'USAGE on both compute groups, SELECT on the tables it names',
    check: ({ warmUp: statement }, ask) => warmUp(statement, ask),
  },
  WarmUpSelect: QUERY,
  ShowWarmUpJobs: OWN_ROWS,
  ShowWarmUpJobRuns: OWN_ROWS,
  ShowWarmUpJobFailures: OWN_ROWS,
  CancelWarmUpJob: WARM_UP_JOB,
  PauseWarmUpJob: WARM_UP_JOB,
  ResumeWarmUpJob: WARM_UP_JOB,
  RetryWarmUpJob: WARM_UP_JOB,
  AlterWarmUpJob: WARM_UP_JOB,
  WaitForWarmUpJob: WARM_UP_JOB,
  ShowCacheHotspot: {
    needs: 'USAGE on the compute group, any privilege on the table; lists what the user may see',
    check: hotspots,
  },
};

/** Throws DB_ACCESS_DENIED, TABLE_ACCESS_DENIED, PRIVILEGE_NEEDED, NO_DB. */
export async function expectAllowed(statement: Statement, context: ExecContext): Promise<void> {
  const { check } = REQUIREMENTS[statement.kind];
  if (check === undefined) return;
  const ask = new Ask(context);
  if (ask.rights.isAdmin) return;
  // Each check takes its own kind, which is the one it was looked up by.
  await (check as Check<StatementKind>)(statement, ask);
}
