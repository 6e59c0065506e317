/**
 * Statement kind → executor. Total: a new kind does not compile until it is here. LATER stands for
 * statements that parse but answer NOT_SUPPORTED (1235) so far.
 */
import { SqlError } from '../../base/errors.ts';
import type { StatementResult } from '../../base/values.ts';
import type { Statement, StatementKind } from '../../parser/statement.ts';
import { expectAllowed } from '../access/requirements.ts';
import type { ExecContext, Executor } from './executor.ts';
import { alterTable } from './alter_table.ts';
import { cancelAlterTable } from './alter_table_cancel.ts';
import { showAlterTable } from './alter_table_show.ts';
import { alterUser, createUser, dropUser, renameUser, setPassword } from './accounts.ts';
import {
  addBackend,
  alterComputeGroup,
  createComputeGroup,
  cancelDecommission,
  decommissionBackend,
  dropBackend,
  dropComputeGroup,
  killBackend,
  renameComputeGroup,
  startBackend,
  stopBackend,
} from './cluster.ts';
import {
  adminCooldownTable,
  adminSetCooldownLeader,
  cancelCooldownJob,
  showCooldownJobs,
  showCooldownTablets,
} from './cooldown.ts';
import { checkCooldownTable } from './check_cooldown.ts';
import { showCompactionStatus } from './compaction.ts';
import { adminSetConfig, adminShowConfig, showConfig } from './config.ts';
import { createDatabase, dropDatabase, use, useComputeGroup } from './databases.ts';
import { createRole, dropRole, grant, grantRole, revoke, revokeRole } from './grants.ts';
import { showDynamicPartitionTables } from './dynamic_partitions.ts';
import { explain } from './explain.ts';
import { insert } from './insert.ts';
import { insertSelect } from './insert_select.ts';
import { renameTables } from './rename_tables.ts';
import { adminRepairTable } from './repair_table.ts';
import { alterResource, createResource, dropResource, showResources } from './resources.ts';
import { doExpressions, select, setVariables } from './select.ts';
import { boundStatement, deallocateStatement, prepareStatement } from './prepare.ts';
import {
  begin,
  commit,
  empty,
  flush,
  help,
  kill,
  lockTables,
  releaseSavepoint,
  resetPersist,
  rollback,
  savepoint,
  shutdown,
  tableKeys,
  unlockTables,
  unsupported,
} from './session.ts';
import {
  showBackends,
  showCatalogs,
  showComputeGroups,
  showFrontends,
  showStorageVaults,
} from './show_cluster.ts';
import { setDefaultRole, setRole } from './roles.ts';
import { showCreateUser } from './show_create_user.ts';
import { showGrants, showRoles } from './show_grants.ts';
import { showCreateOther, showReplication, tableMaintenance } from './show_missing.ts';
import { showProc } from './show_proc.ts';
import { showLoad, showStreamLoad, showTransaction } from './show_loads.ts';
import {
  describe,
  showColumns,
  showDatabases,
  showEvents,
  showIndex,
  showOpenTables,
  showTableStatus,
  showTables,
  showTriggers,
} from './show_schema.ts';
import {
  showCharset,
  showCollation,
  showEngineStatus,
  showEngines,
  showErrors,
  showFunctionStatus,
  showPlugins,
  showPrivileges,
  showProcedureStatus,
  showProcesslist,
  showProfiles,
  showStatus,
  showVariables,
  showWarnings,
} from './show_server.ts';
import {
  showCreateDatabase,
  showCreateTable,
  showData,
  showDataSkew,
  showPartitions,
  showReplicaDistribution,
  showReplicaStatus,
  showTablet,
  showTablets,
} from './show_storage.ts';
import {
  showCacheHotspot,
  showWarmUpJobFailures,
  showWarmUpJobRuns,
  showWarmUpJobs,
} from './show_warm_up.ts';
import {
  createStorageVault,
  dropStorageVault,
  setDefaultStorageVault,
  unsetDefaultStorageVault,
} from './storage.ts';
import {
  alterStoragePolicy,
  createStoragePolicy,
  dropStoragePolicy,
  showStoragePolicies,
  showStoragePolicyUsing,
} from './storage_policies.ts';
import { createTable, createTableLike, dropTable, truncateTable } from './tables.ts';
import { explainWarmUp, warmUp } from './warm_up.ts';
import {
  alterWarmUpJob,
  cancelWarmUpJob,
  pauseWarmUpJob,
  resumeWarmUpJob,
  retryWarmUpJob,
  waitForWarmUpJob,
} from './warm_up_control.ts';

const LATER = 'later';

type AnyExecutor = (
  statement: Statement,
  context: ExecContext,
) => Promise<StatementResult> | StatementResult;

export const EXECUTORS: {
  readonly [Kind in StatementKind]: Executor<Kind> | typeof LATER;
} = {
  // accounts
  CreateUser: createUser,
  AlterUser: alterUser,
  DropUser: dropUser,
  RenameUser: renameUser,
  SetPassword: setPassword,
  SetRole: setRole,
  SetDefaultRole: setDefaultRole,
  CreateRole: createRole,
  DropRole: dropRole,
  Grant: grant,
  Revoke: revoke,
  GrantRole: grantRole,
  RevokeRole: revokeRole,
  ShowGrants: showGrants,
  ShowCreateUser: showCreateUser,
  ShowRoles: showRoles,

  // cluster
  CreateComputeGroup: createComputeGroup,
  DropComputeGroup: dropComputeGroup,
  AlterComputeGroup: alterComputeGroup,
  RenameComputeGroup: renameComputeGroup,
  AddBackend: addBackend,
  DropBackend: dropBackend,
  DecommissionBackend: decommissionBackend,
  CancelDecommission: cancelDecommission,
  StopBackend: stopBackend,
  StartBackend: startBackend,
  KillBackend: killBackend,
  ShowBackends: showBackends,
  ShowComputeGroups: showComputeGroups,
  ShowFrontends: showFrontends,

  // session
  Use: use,
  UseComputeGroup: useComputeGroup,
  SetVariables: setVariables,
  ResetPersist: resetPersist,
  Select: select,
  Explain: explain,
  Kill: kill,
  Begin: begin,
  Commit: commit,
  Rollback: rollback,
  Savepoint: savepoint,
  ReleaseSavepoint: releaseSavepoint,
  LockTables: lockTables,
  UnlockTables: unlockTables,
  Flush: flush,
  Help: help,
  PrepareStatement: prepareStatement,
  ExecuteStatement: async (statement, context) =>
    await executeStatement(boundStatement(statement, context), context),
  DeallocateStatement: deallocateStatement,
  TableMaintenance: tableMaintenance,
  TableKeys: tableKeys,
  Do: doExpressions,
  Shutdown: shutdown,
  Empty: empty,
  Unsupported: unsupported,

  // show
  ShowDatabases: showDatabases,
  ShowTables: showTables,
  ShowColumns: showColumns,
  Describe: describe,
  ShowCreateTable: showCreateTable,
  ShowCreateDatabase: showCreateDatabase,
  ShowCreateOther: showCreateOther,
  ShowTableStatus: showTableStatus,
  ShowOpenTables: showOpenTables,
  ShowTriggers: showTriggers,
  ShowEvents: showEvents,
  ShowDynamicPartitionTables: showDynamicPartitionTables,
  ShowIndex: showIndex,
  ShowPartitions: showPartitions,
  ShowTablets: showTablets,
  ShowTablet: showTablet,
  ShowData: showData,
  ShowDataSkew: showDataSkew,
  ShowReplicaStatus: showReplicaStatus,
  ShowReplicaDistribution: showReplicaDistribution,
  ShowVariables: showVariables,
  ShowStatus: showStatus,
  ShowWarnings: showWarnings,
  ShowErrors: showErrors,
  ShowProcesslist: showProcesslist,
  ShowEngines: showEngines,
  ShowEngineStatus: showEngineStatus,
  ShowCollation: showCollation,
  ShowCharset: showCharset,
  ShowPlugins: showPlugins,
  ShowPrivileges: showPrivileges,
  ShowProcedureStatus: showProcedureStatus,
  ShowFunctionStatus: showFunctionStatus,
  ShowCatalogs: showCatalogs,
  ShowConfig: showConfig,
  AdminShowConfig: adminShowConfig,
  AdminSetConfig: adminSetConfig,
  ShowCompactionStatus: showCompactionStatus,
  ShowAlterTable: showAlterTable,
  ShowLoad: showLoad,
  ShowStreamLoad: showStreamLoad,
  ShowTransaction: showTransaction,
  ShowProc: showProc,
  ShowReplication: showReplication,
  ShowProfiles: showProfiles,

  // storage
  CreateStorageVault: createStorageVault,
  AlterStorageVault: LATER,
  DropStorageVault: dropStorageVault,
  ShowStorageVaults: showStorageVaults,
  SetDefaultStorageVault: setDefaultStorageVault,
  UnsetDefaultStorageVault: unsetDefaultStorageVault,
  CreateResource: createResource,
  AlterResource: alterResource,
  DropResource: dropResource,
  ShowResources: showResources,
  CreateStoragePolicy: createStoragePolicy,
  AlterStoragePolicy: alterStoragePolicy,
  DropStoragePolicy: dropStoragePolicy,
  ShowStoragePolicies: showStoragePolicies,
  ShowStoragePolicyUsing: showStoragePolicyUsing,
  ShowCooldownJobs: showCooldownJobs,
  ShowCooldownTablets: showCooldownTablets,
  CancelCooldownJob: cancelCooldownJob,
  AdminCooldownTable: adminCooldownTable,
  AdminSetCooldownLeader: adminSetCooldownLeader,
  CheckCooldownTable: checkCooldownTable,
  AdminRepairTable: adminRepairTable,

  // tables
  CreateDatabase: createDatabase,
  DropDatabase: dropDatabase,
  CreateTable: createTable,
  CreateTableLike: createTableLike,
  DropTable: dropTable,
  TruncateTable: truncateTable,
  AlterTable: alterTable,
  CancelAlterTable: cancelAlterTable,
  Insert: insert,
  InsertSelect: insertSelect,
  RenameTables: renameTables,

  // warm-up
  WarmUp: warmUp,
  ExplainWarmUp: explainWarmUp,
  WarmUpSelect: LATER,
  ShowWarmUpJobs: showWarmUpJobs,
  ShowWarmUpJobRuns: showWarmUpJobRuns,
  ShowWarmUpJobFailures: showWarmUpJobFailures,
  CancelWarmUpJob: cancelWarmUpJob,
  PauseWarmUpJob: pauseWarmUpJob,
  ResumeWarmUpJob: resumeWarmUpJob,
  RetryWarmUpJob: retryWarmUpJob,
  AlterWarmUpJob: alterWarmUpJob,
  WaitForWarmUpJob: waitForWarmUpJob,
  ShowCacheHotspot: showCacheHotspot,
};

/**
 * Throws what `expectAllowed` throws, NOT_SUPPORTED for what has no executor yet, and what the
 * executor throws.
 */
export async function executeStatement(
  statement: Statement,
  context: ExecContext,
): Promise<StatementResult> {
  await expectAllowed(statement, context);
  const executor = EXECUTORS[statement.kind];
  if (executor === LATER) {
    throw new SqlError('NOT_SUPPORTED', { what: statementWords(statement.kind) });
  }
  // Each function takes its own kind, which is the one it was looked up by.
  return await (executor as AnyExecutor)(statement, context);
}

/** `CreateUser` → `CREATE USER`. */
function statementWords(kind: StatementKind): string {
  return kind.replaceAll(/([a-z])([A-Z])/g, '$1 $2').toUpperCase();
}
