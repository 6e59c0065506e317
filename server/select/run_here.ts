/** A spelled statement on a connection of the main thread, from the first row to the last. */
import type { ColumnType, RowsResult, SqlRow } from '../../base/values.ts';
import { beginVariables, takeCounted, variablesNow } from './function_library.ts';
import { runStatement } from './run_statement.ts';
import { keepVariables, resultColumns, staticTypes, warnOf } from './select_result.ts';
import type { SpelledStatement } from './speller.ts';
import type { Connection } from './sqlite_connection.ts';
import { sqlErrorOf } from './sqlite_errors.ts';
import type { SelectSession } from './table_provider.ts';

export interface HereRun {
  /** As the client sent it. */
  readonly text: string;
  readonly spelled: SpelledStatement;
  /** What SQLite is given in place of the spelled text. */
  readonly sql?: string;
  readonly session: SelectSession;
  /** 0: no limit. */
  readonly rowsMax: number;
  /** `db.table` by the name inside SQLite. */
  readonly tables: ReadonlyMap<string, string>;
}

/** Throws SqlErrors. */
export function runHere(db: Connection, run: HereRun): RowsResult {
  const { text, spelled, session, rowsMax, tables } = run;
  const { sql = spelled.sql } = run;
  const statement = { sql, params: spelled.params, types: staticTypes(spelled), rowsMax };
  const rows: SqlRow[] = [];
  let types: readonly ColumnType[] = [];
  takeCounted();
  beginVariables(spelled.variables);
  try {
    for (const batch of runStatement(db, statement)) {
      types = batch.types ?? types;
      rows.push(...batch.rows);
    }
  } catch (error) {
    throw sqlErrorOf(error, { text, firstClause: spelled.firstClause, tables });
  }
  warnOf(takeCounted(), session);
  if (spelled.variables.size > 0) keepVariables(variablesNow(), session);
  return { kind: 'rows', columns: resultColumns(spelled.columns, types), rows };
}
