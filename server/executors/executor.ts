/** One function per kind of statement; `executors/table.ts` lists them all. */
import type { ComputeGroupDef } from '../../base/schema.ts';
import type { StatementResult } from '../../base/values.ts';
import { SqlError } from '../../base/errors.ts';
import type { StatementKind, StatementOf, TableName } from '../../parser/statement.ts';
import { defaultGroup } from '../access/default_group.ts';
import type { SelectResult } from '../select/select_result.ts';
import type { QueryPlan } from '../select/query_plan.ts';
import type { Rights } from '../access/rights.ts';
import type { Services } from '../services.ts';
import type { SessionState } from '../session_state.ts';

/** Runs a SELECT for a session; see `server/selects.ts`. */
export interface SelectRunner {
  run(sql: string, context: ExecContext): Promise<SelectResult>;
  explain(sql: string, context: ExecContext): Promise<QueryPlan>;
}

export interface ExecContext {
  readonly services: Services;
  readonly session: SessionState;
  /** The SELECT engine. */
  readonly selects: SelectRunner;
  /** Aborts when the client is gone, at KILL, at the statement's timeout and at shutdown. */
  readonly signal: AbortSignal;
}

export type Executor<Kind extends StatementKind> = (
  statement: StatementOf<Kind>,
  context: ExecContext,
) => Promise<StatementResult> | StatementResult;

/** The database meant: the one named, else the session's. Throws NO_DB. */
export function databaseOf(name: string | undefined, session: SessionState): string {
  const database = name ?? session.database;
  if (database === '') throw new SqlError('NO_DB');
  return database;
}

/** Database and table meant. Throws NO_DB. */
export function tableNameOf(
  { db, name }: TableName,
  session: SessionState,
): { readonly db: string; readonly table: string } {
  return { db: databaseOf(db, session), table: name };
}

/** What the session's account may do now. */
export function rightsOf({ services, session }: ExecContext): Rights {
  return services.access.rightsOf(session.account, session.activeRoles);
}

/**
 * The session's compute group: what USE @group chose, else the first of the catalog that the user
 * was given USAGE of, else the first.
 */
export async function computeGroupOf(context: ExecContext): Promise<string> {
  const { computeGroup } = context.session;
  if (computeGroup !== '') return computeGroup;
  return groupAmong(await context.services.catalog.computeGroups.list(), context);
}

/** The same at once; undefined: the groups have to be read. */
export function knownComputeGroupOf(context: ExecContext): string | undefined {
  const groups = context.services.catalog.computeGroups.known();
  return groups === undefined ? undefined : groupAmong(groups, context);
}

function groupAmong(groups: readonly ComputeGroupDef[], context: ExecContext): string {
  const { computeGroup } = context.session;
  if (computeGroup !== '') return computeGroup;
  const first = defaultGroup(groups, rightsOf(context));
  if (first === undefined) {
    throw new SqlError('UNKNOWN_COMPUTE_GROUP', { name: '(default)', existing: 'none' });
  }
  return first;
}
