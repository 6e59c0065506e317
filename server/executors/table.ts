/**
 * Statement kind → executor. Total: a new kind does not compile until it is here. LATER stands for
 * statements that parse but answer NOT_SUPPORTED (1235) so far.
 */
import { SqlError } from '../../base/errors.ts';
import type { StatementResult } from '../../base/values.ts';
import type { Statement, StatementKind } from '../../parser/statement.ts';
import {
  addBackend,
  createComputeGroup,
  decommissionBackend,
  dropBackend,
  dropComputeGroup,
  killBackend,
  renameComputeGroup,
  startBackend,
  stopBackend,
} from './cluster.ts';
import { createDatabase, dropDatabase, use, useComputeGroup } from './databases.ts';
import type { ExecContext, Executor } from './executor.ts';
import { insert } from './insert.ts';
import { doExpressions, select, setVariables } from './select.ts';
import { begin, commit, empty, kill, rollback, unlockTables, unsupported } from './session.ts';
import { createStorageVault, dropStorageVault, setDefaultStorageVault } from './storage.ts';
import { alterTable, createTable, createTableLike, dropTable, truncateTable } from './tables.ts';
import { cancelWarmUpJob, explainWarmUp, warmUp } from './warm_up.ts';

const LATER = 'later';

type AnyExecutor = (
  statement: Statement,
  context: ExecContext,
) => Promise<StatementResult> | StatementResult;

export const EXECUTORS: {
  readonly [Kind in StatementKind]: Executor<Kind> | typeof LATER;
} = {
  // accounts
  CreateUser: LATER,
  AlterUser: LATER,
  DropUser: LATER,
  SetPassword: LATER,
  CreateRole: LATER,
  DropRole: LATER,
  Grant: LATER,
  Revoke: LATER,
  GrantRole: LATER,
  RevokeRole: LATER,
  ShowGrants: LATER,
  ShowRoles: LATER,

  // cluster
  CreateComputeGroup: createComputeGroup,
  DropComputeGroup: dropComputeGroup,
  RenameComputeGroup: renameComputeGroup,
  AddBackend: addBackend,
  DropBackend: dropBackend,
  DecommissionBackend: decommissionBackend,
  StopBackend: stopBackend,
  StartBackend: startBackend,
  KillBackend: killBackend,
  ShowBackends: LATER,
  ShowComputeGroups: LATER,
  ShowFrontends: LATER,

  // session
  Use: use,
  UseComputeGroup: useComputeGroup,
  SetVariables: setVariables,
  Select: select,
  Explain: LATER,
  Kill: kill,
  Begin: begin,
  Commit: commit,
  Rollback: rollback,
  Savepoint: LATER,
  ReleaseSavepoint: LATER,
  LockTables: LATER,
  UnlockTables: unlockTables,
  Flush: LATER,
  Help: LATER,
  TableMaintenance: LATER,
  Do: doExpressions,
  Shutdown: LATER,
  Empty: empty,
  Unsupported: unsupported,

  // show
  ShowDatabases: LATER,
  ShowTables: LATER,
  ShowColumns: LATER,
  Describe: LATER,
  ShowCreateTable: LATER,
  ShowCreateDatabase: LATER,
  ShowCreateOther: LATER,
  ShowTableStatus: LATER,
  ShowOpenTables: LATER,
  ShowTriggers: LATER,
  ShowEvents: LATER,
  ShowIndex: LATER,
  ShowPartitions: LATER,
  ShowTablets: LATER,
  ShowTablet: LATER,
  ShowData: LATER,
  ShowReplicaStatus: LATER,
  ShowVariables: LATER,
  ShowStatus: LATER,
  ShowWarnings: LATER,
  ShowErrors: LATER,
  ShowProcesslist: LATER,
  ShowEngines: LATER,
  ShowEngineStatus: LATER,
  ShowCollation: LATER,
  ShowCharset: LATER,
  ShowPlugins: LATER,
  ShowPrivileges: LATER,
  ShowProcedureStatus: LATER,
  ShowFunctionStatus: LATER,
  ShowCatalogs: LATER,
  ShowConfig: LATER,
  AdminShowConfig: LATER,
  AdminSetConfig: LATER,
  ShowCompactionStatus: LATER,
  ShowAlterTable: LATER,
  ShowLoad: LATER,
  ShowStreamLoad: LATER,
  ShowTransaction: LATER,
  ShowProc: LATER,
  ShowReplication: LATER,
  ShowProfiles: LATER,

  // storage
  CreateStorageVault: createStorageVault,
  AlterStorageVault: LATER,
  DropStorageVault: dropStorageVault,
  ShowStorageVaults: LATER,
  SetDefaultStorageVault: setDefaultStorageVault,
  UnsetDefaultStorageVault: LATER,
  CreateResource: LATER,
  AlterResource: LATER,
  DropResource: LATER,
  ShowResources: LATER,
  CreateStoragePolicy: LATER,
  AlterStoragePolicy: LATER,
  DropStoragePolicy: LATER,
  ShowStoragePolicies: LATER,
  ShowStoragePolicyUsing: LATER,
  ShowCooldownJobs: LATER,
  ShowCooldownTablets: LATER,
  CancelCooldownJob: LATER,
  AdminCooldownTable: LATER,
  AdminSetCooldownLeader: LATER,
  CheckCooldownTable: LATER,

  // tables
  CreateDatabase: createDatabase,
  DropDatabase: dropDatabase,
  CreateTable: createTable,
  CreateTableLike: createTableLike,
  DropTable: dropTable,
  TruncateTable: truncateTable,
  AlterTable: alterTable,
  Insert: insert,

  // warm-up
  WarmUp: warmUp,
  ExplainWarmUp: explainWarmUp,
  WarmUpSelect: LATER,
  ShowWarmUpJobs: LATER,
  ShowWarmUpJobRuns: LATER,
  ShowWarmUpJobFailures: LATER,
  CancelWarmUpJob: cancelWarmUpJob,
  PauseWarmUpJob: LATER,
  ResumeWarmUpJob: LATER,
  RetryWarmUpJob: LATER,
  AlterWarmUpJob: LATER,
  WaitForWarmUpJob: LATER,
  ShowCacheHotspot: LATER,
};

/** Throws NOT_SUPPORTED for what has no executor yet, and what the executor throws. */
export async function executeStatement(
  statement: Statement,
  context: ExecContext,
): Promise<StatementResult> {
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
