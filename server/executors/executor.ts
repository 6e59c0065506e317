/** One function per kind of statement; `executors/table.ts` lists them all. */
import type { RowsResult, StatementResult } from '../../base/values.ts';
import { SqlError } from '../../base/errors.ts';
import type { StatementKind, StatementOf, TableName } from '../../parser/statement.ts';
import type { Services } from '../services.ts';
import type { SessionState } from '../session_state.ts';

/** Runs a SELECT for a session; see `server/selects.ts`. */
export interface SelectRunner {
  run(sql: string, context: ExecContext): Promise<RowsResult>;
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

/** The session's compute group: what USE @group chose, else the first of the catalog. */
export async function computeGroupOf({ services, session }: ExecContext): Promise<string> {
  if (session.computeGroup !== '') return session.computeGroup;
  const groups = await services.catalog.computeGroups.list();
  const first = groups.toSorted((a, b) => a.computeGroupId - b.computeGroupId)[0];
  if (first === undefined) {
    throw new SqlError('UNKNOWN_COMPUTE_GROUP', { name: '(default)', existing: 'none' });
  }
  return first.name;
}
