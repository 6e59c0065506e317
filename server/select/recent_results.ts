/**
 * What a small statement answered the last time. Dashboards send the same text again and again over
 * rows that have not changed: then SQLite is not asked, and the very same rows go out, whose packets
 * are kept, too (mysql/recent_rows.ts).
 *
 * It is the answer to one spelled text, with its parameters, and to rows that each statement has read
 * for itself, within its own privileges: these are compared value by value first.
 */
import type { RowsResult, SqlRow } from '../../base/values.ts';
import type { Counted } from './function_library.ts';
import type { SpelledStatement } from './speller.ts';
import type { ScanRows } from './table_provider.ts';

/** All rows of one table, in the order in which they came. */
export type TableRows = readonly ScanRows[];

/** What a result is made of, apart from the session that is told of warnings. */
export interface ResultSource {
  readonly spelled: SpelledStatement;
  /** By the statement's references. */
  readonly inputs: readonly TableRows[];
  /** sql_select_limit; 0: no limit. */
  readonly rowsMax: number;
}

export interface RecentResult {
  readonly result: RowsResult;
  /** What the session is warned of each time. */
  readonly counted: Counted;
}

/** Characters of a result, and of the rows it was made of, that are kept; numbers count as 8. */
const KEPT_CHARACTERS_MAX = 32 * 1024;

/** Of statements whose spelling is kept (spellings.ts): at most as many as these. */
const recent = new WeakMap<SpelledStatement, RecentResult & Omit<ResultSource, 'spelled'>>();

/** Another value, or something done, each time: as SQLite and our library call it. */
const EACH_TIME = /\b(?:random|randomblob|mysql_sleep|mysql_assign|mysql_variable)\s*\(/;

/** undefined: there is none of just these rows. */
export function recentResult({ spelled, inputs, rowsMax }: ResultSource): RecentResult | undefined {
  const known = recent.get(spelled);
  if (known === undefined || known.rowsMax !== rowsMax) return undefined;
  return sameInputs(known.inputs, inputs) ? known : undefined;
}

/** Whether there is one of some rows. */
export function hasRecentResult({ spelled, rowsMax }: Omit<ResultSource, 'inputs'>): boolean {
  return recent.get(spelled)?.rowsMax === rowsMax;
}

export function keepResult({ spelled, inputs, rowsMax }: ResultSource, made: RecentResult): void {
  const { rows } = made.result;
  if (!Array.isArray(rows) || !isSteady(spelled)) return;
  const size = inputs.reduce((sum, input) => sum + charactersOf(input), sizeOfRows(rows));
  if (size <= KEPT_CHARACTERS_MAX) recent.set(spelled, { ...made, inputs, rowsMax });
  else recent.delete(spelled);
}

/** The same rows give the same answer. */
function isSteady({ sql, variables, lockCalls }: SpelledStatement): boolean {
  return variables.size === 0 && lockCalls.length === 0 && !EACH_TIME.test(sql);
}

function sameInputs(before: readonly TableRows[], now: readonly TableRows[]): boolean {
  if (before.length !== now.length) return false;
  for (let at = 0; at < now.length; at += 1) {
    if (!sameRows(before[at] ?? [], now[at] ?? [])) return false;
  }
  return true;
}

/** Value by value; batches that are the same object are not looked into. */
export function sameRows(before: TableRows, now: TableRows): boolean {
  if (before.length !== now.length) return false;
  for (let at = 0; at < now.length; at += 1) {
    const [one, other] = [before[at], now[at]];
    if (one === other) continue;
    if (one === undefined || other === undefined || !sameBatch(one, other)) return false;
  }
  return true;
}

function sameBatch(before: ScanRows, now: ScanRows): boolean {
  if (before.rows !== now.rows || before.columns.length !== now.columns.length) return false;
  for (let at = 0; at < now.columns.length; at += 1) {
    const [values = [], others = []] = [before.columns[at], now.columns[at]];
    if (values === others) continue;
    for (let row = 0; row < now.rows; row += 1) {
      if (!Object.is(values[row], others[row])) return false;
    }
  }
  return true;
}

/** Characters of rows; numbers count as 8, and a row as 1 more. */
export function charactersOf(input: TableRows): number {
  let characters = 0;
  for (const batch of input) characters += batch.rows + charactersOfBatch(batch);
  return characters;
}

/** Of batches that come again and again. */
const counted = new WeakMap<ScanRows, number>();

export function charactersOfBatch(batch: ScanRows): number {
  const known = counted.get(batch);
  if (known !== undefined) return known;
  let characters = 0;
  for (const values of batch.columns) {
    for (const value of values) characters += typeof value === 'string' ? value.length : 8;
  }
  counted.set(batch, characters);
  return characters;
}

function sizeOfRows(rows: readonly SqlRow[]): number {
  let characters = rows.length;
  for (const row of rows) {
    for (const value of row) characters += typeof value === 'string' ? value.length : 8;
  }
  return characters;
}
