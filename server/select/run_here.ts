/** A spelled statement on a connection of the main thread, from the first row to the last. */
import type { ColumnType, RowsResult, SqlRow } from '../../base/values.ts';
import { beginVariables, takeCounted, variablesNow } from './function_library.ts';
import { type TableRows, keepResult, recentResult } from './recent_results.ts';
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
  /** Throws ResultTooLarge when there are more; default: any number. */
  readonly rowsFit?: number;
  /** `db.table` by the name inside SQLite. */
  readonly tables: ReadonlyMap<string, string>;
  /** What is in its tables, by the statement's references. */
  readonly inputs: readonly TableRows[];
}

/** Nothing has been kept or told of the statement, so it can be run elsewhere. */
export class ResultTooLarge extends Error {
  constructor() {
    super('the result is too large for the main thread');
    this.name = 'ResultTooLarge';
  }
}

/** The answer of the last time to the same statement over the same rows; undefined: none. */
export function answeredBefore(run: Omit<HereRun, 'text' | 'tables'>): RowsResult | undefined {
  const known = recentResult(run);
  if (known === undefined) return undefined;
  warnOf(known.counted, run.session);
  return known.result;
}

/** Throws SqlErrors. */
export function runHere(db: Connection, run: HereRun): RowsResult {
  const { text, spelled, session, rowsMax, tables } = run;
  const { sql = spelled.sql, rowsFit = Infinity } = run;
  // One row more than fits says that there are more.
  const last = Math.min(rowsMax > 0 ? rowsMax : Infinity, rowsFit + 1);
  const limit = Number.isFinite(last) ? last : 0;
  const types = staticTypes(spelled);
  const statement = { sql, params: spelled.params, types, rowsMax: limit };
  const rows: SqlRow[] = [];
  let found: readonly ColumnType[] = [];
  takeCounted();
  beginVariables(spelled.variables);
  try {
    for (const batch of runStatement(db, statement)) {
      found = batch.types ?? found;
      rows.push(...batch.rows);
    }
  } catch (error) {
    throw sqlErrorOf(error, { text, firstClause: spelled.firstClause, tables });
  }
  const counted = takeCounted();
  if (rows.length > rowsFit) throw new ResultTooLarge();
  warnOf(counted, session);
  if (spelled.variables.size > 0) keepVariables(variablesNow(), session);
  const columns = resultColumns(spelled.columns, found);
  const result: RowsResult = { kind: 'rows', columns, rows };
  keepResult(run, { result, counted });
  return result;
}
