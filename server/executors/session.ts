/** Statements about the session itself: SET, KILL, transactions, and other small things. */
import { SqlError } from '../../base/errors.ts';
import { OK, type SqlValue, textColumn } from '../../base/values.ts';
import type { Assignment, Expr, SetScope } from '../../parser/statement.ts';
import { setPassword } from './accounts.ts';
import { isSystemDatabase } from '../information_schema/system_databases.ts';
import { isJobProcess } from '../job_processes.ts';
import { SETTING_VARIABLES, type SettingVariable, settingOf } from '../setting_variables.ts';
import { type ExecContext, type Executor, databaseOf, rightsOf } from './executor.ts';

/** Throws NO_SUCH_THREAD, and NOT_A_CONNECTION for work of a job. */
export const kill: Executor<'Kill'> = async ({ what, connectionId: id }, context) => {
  const { services } = context;
  if (services.connections.kill(id, what)) return OK;
  const jobs = isJobProcess(id) ? await services.jobProcesses.list(rightsOf(context)) : [];
  const job = jobs.find((one) => one.id === id);
  if (job === undefined) throw new SqlError('NO_SUCH_THREAD', { id });
  throw new SqlError('NOT_A_CONNECTION', { id, what: job.info, how: job.endedBy });
};

/**
 * There are no transactions over statements: each is its own. Clients that ask are told OK, and that
 * they are in one: PDO throws at commit() otherwise.
 */
export const begin: Executor<'Begin'> = (_, { session }) => {
  session.endTransaction(true);
  return OK;
};
/** AND CHAIN begins another one; RELEASE hangs up. */
export const commit: Executor<'Commit'> = ({ chain, release }, { session }) => {
  session.endTransaction(chain);
  if (release) session.endConnection();
  return OK;
};
/** Warns as MySQL does of tables without transactions. */
export const rollback: Executor<'Rollback'> = ({ savepoint, chain, release }, { session }) => {
  if (session.hasWritten) session.warn(NOT_ROLLED_BACK);
  if (savepoint === undefined) session.endTransaction(chain);
  if (release) session.endConnection();
  return OK;
};

const NOT_ROLLED_BACK = {
  level: 'Warning',
  code: 1196,
  message: "Some non-transactional changed tables couldn't be rolled back",
} as const;

export const savepoint: Executor<'Savepoint'> = () => OK;
export const releaseSavepoint: Executor<'ReleaseSavepoint'> = () => OK;

/**
 * Dumps lock what they read: here every statement reads one snapshot anyway. WRITE keeps nobody
 * out, and says so.
 */
export const lockTables: Executor<'LockTables'> = async ({ tables }, { services, session }) => {
  for (const { db, name } of tables) {
    const database = databaseOf(db, session);
    // Dumps of all databases lock what the server makes itself, too.
    if (!isSystemDatabase(database)) await services.catalog.tables.get(database, name);
  }
  if (tables.some(({ mode }) => mode === 'WRITE' || mode === 'LOW_PRIORITY WRITE')) {
    const message = 'LOCK TABLES ... WRITE keeps nobody from writing';
    session.warn({ level: 'Note', code: 1235, message });
  }
  return OK;
};

/** mysqladmin's flush-*: there is nothing that waits to be written, or that is kept too long. */
export const flush: Executor<'Flush'> = ({ options }, { services }) => {
  if (options.includes('USER_RESOURCES')) services.accountUse.reset();
  return OK;
};

const HELP_COLUMNS = [textColumn('name'), textColumn('is_it_category')];

/** As a server whose help tables were never filled. */
export const help: Executor<'Help'> = () => ({ kind: 'rows', columns: HELP_COLUMNS, rows: [] });

/** Keys are the order of the rows themselves: there is nothing that could be made later. */
export const tableKeys: Executor<'TableKeys'> = async ({ table }, { services, session }) => {
  await services.catalog.tables.get(databaseOf(table.db, session), table.name);
  return OK;
};

/** Answered before the connection ends; running statements get their grace period. */
export const shutdown: Executor<'Shutdown'> = (_, { services }) => {
  const { shutDown } = services;
  if (shutDown === undefined) throw new SqlError('NOT_SUPPORTED', { what: 'SHUTDOWN' });
  shutDown();
  return OK;
};

export const unlockTables: Executor<'UnlockTables'> = () => OK;
export const empty: Executor<'Empty'> = () => OK;

export const unsupported: Executor<'Unsupported'> = ({ what, text }, { session }) => {
  if (/^LOAD\s+(DATA|XML)\s+([A-Z_]+\s+)?LOCAL\b/i.test(text)) throw new SqlError('LOCAL_INFILE');
  if (what === 'CALL') throw unknownProcedure(text, session.database);
  throw new SqlError('NOT_SUPPORTED', { what });
};

/** There are no stored routines, so none of that name. */
function unknownProcedure(text: string, database: string): SqlError {
  const name = /^\s*CALL\s+([^\s(;]+)/i.exec(text)?.[1]?.replaceAll('`', '') ?? '';
  if (name.includes('.')) return new SqlError('UNKNOWN_PROCEDURE', { name });
  if (database === '') return new SqlError('NO_DB');
  return new SqlError('UNKNOWN_PROCEDURE', { name: `${database}.${name}` });
}

/** A number stays one in a user variable: `SET @a = 5` is an integer. */
function numberOf(expr: Expr): SqlValue | undefined {
  if (expr.kind !== 'Number') return undefined;
  if (/^\d+$/.test(expr.text)) return BigInt(expr.text);
  const value = Number(expr.text);
  return Number.isFinite(value) ? value : undefined;
}

/** Evaluates an expression of SET: through the SELECT engine, which knows functions and @@x. */
export type Evaluate = (expr: Expr, context: ExecContext) => Promise<SqlValue>;

/** All assignments or none: values are worked out first. */
export async function assignVariables(
  assignments: readonly Assignment[],
  context: ExecContext,
  evaluate: Evaluate,
): Promise<typeof OK> {
  const { variables } = context.session;
  const changes: (() => void)[] = [];
  const later: (() => Promise<void>)[] = [];
  for (const assignment of assignments) {
    switch (assignment.kind) {
      case 'userVar': {
        const value = numberOf(assignment.value) ?? (await evaluate(assignment.value, context));
        changes.push(() => {
          variables.setUserVariable(assignment.name, value);
        });
        break;
      }
      case 'systemVar': {
        const { name, value: expr, scope = 'SESSION' } = assignment;
        const ofServer = scope !== 'SESSION';
        const setting = ofServer ? settingBehind(name, scope) : undefined;
        const value = await assigned(expr, context, evaluate);
        changes.push(() => {
          variables.set(name, value, ofServer ? 'global' : 'session');
        });
        if (setting !== undefined) {
          later.push(async () => {
            await changeSetting(setting, scope, context);
          });
        }
        break;
      }
      case 'names':
        changes.push(() => {
          variables.setNames(assignment.charset, assignment.collation);
        });
        break;
      case 'charset':
        changes.push(() => {
          variables.setNames(assignment.charset, undefined);
        });
        break;
      case 'password': {
        const { account, password } = assignment;
        later.push(async () => {
          await setPassword({ kind: 'SetPassword', account, password }, context);
        });
        break;
      }
      case 'transaction':
        changes.push(() => {
          setTransaction(assignment, context);
        });
        break;
    }
  }
  const undo = variables.snapshot();
  try {
    for (const change of changes) change();
    for (const change of later) await change();
  } catch (error) {
    undo();
    throw error;
  }
  return OK;
}

/** The setting that a variable of the server stands for, if any. Throws NOT_SUPPORTED for PERSIST. */
function settingBehind(variable: string, scope: SetScope): SettingVariable | undefined {
  const setting = settingOf(variable);
  if (scope === 'PERSIST_ONLY' || (scope === 'PERSIST' && setting === undefined)) {
    const what = `SET ${scope} ${variable}`;
    const hint = `SET PERSIST keeps ${SETTING_VARIABLES.join(', ')}`;
    throw new SqlError('NOT_SUPPORTED', { what }, { hint });
  }
  return setting;
}

/** The variable has its value already, in bounds. PERSIST keeps it as ADMIN SET ... "persist" does. */
async function changeSetting(
  setting: SettingVariable,
  scope: SetScope,
  { services, session }: ExecContext,
): Promise<void> {
  const text = String(session.variables.get(setting, 'global').value);
  if (scope === 'PERSIST') await services.catalog.configOverrides.set(setting, text);
  services.config.setLive(setting, text);
}

/** Values stay what they are until the next start, as in MySQL. Throws NOT_PERSISTED. */
export const resetPersist: Executor<'ResetPersist'> = async ({ name, ifExists }, context) => {
  const { catalog } = context.services;
  const kept = await catalog.configOverrides.all();
  if (name === undefined) {
    await catalog.transaction(async (tx) => {
      for (const setting of SETTING_VARIABLES) await tx.configOverrides.remove(setting);
    });
    return OK;
  }
  const setting = settingOf(name);
  if (setting === undefined || !Object.hasOwn(kept, setting)) {
    const error = new SqlError('NOT_PERSISTED', { name });
    if (!ifExists) throw error;
    context.session.warn({ level: 'Warning', code: error.errno, message: error.message });
    return OK;
  }
  await catalog.configOverrides.remove(setting);
  return OK;
};

/** A bare word is its own text (SET sql_mode = ANSI, SET autocommit = ON); DEFAULT is undefined. */
async function assigned(
  expr: Expr,
  context: ExecContext,
  evaluate: Evaluate,
): Promise<SqlValue | undefined> {
  if (expr.kind === 'Default') return undefined;
  if (expr.kind === 'Column' && expr.path.length === 1) return expr.path[0] ?? '';
  return await evaluate(expr, context);
}

function setTransaction(
  { isolation, readOnly, scope }: Extract<Assignment, { readonly kind: 'transaction' }>,
  { session }: ExecContext,
): void {
  const where = scope === 'GLOBAL' ? 'global' : 'session';
  if (isolation !== undefined) {
    session.variables.set('transaction_isolation', isolation.replaceAll(' ', '-'), where);
  }
  if (readOnly !== undefined) {
    session.variables.set('transaction_read_only', readOnly ? 1 : 0, where);
  }
}
