/**
 * Small tables in a SQLite connection of the main thread. Its tables stay from one statement to the
 * next, so that statements stay prepared. So do a table's rows: a statement whose own rows are the
 * very same ones, compared value by value, uses them; for any other they are deleted first.
 */
import type Database from 'better-sqlite3';
import type { ColumnType, RowsResult } from '../../base/values.ts';
import { type TableRows, charactersOf, sameRows } from './recent_results.ts';
import { ResultTooLarge, answeredBefore, runHere } from './run_here.ts';
import { SMALL_CELLS_MAX } from './small_bound.ts';
import { quoteName } from './spelled.ts';
import type { SpelledStatement } from './speller.ts';
import { openMemoryConnection, type Connection } from './sqlite_connection.ts';
import { sqlErrorOf } from './sqlite_errors.ts';
import type { SelectSession } from './table_provider.ts';
import { sqliteType, toSqlite, type SqliteValue } from './value_storage.ts';

export interface SmallTable {
  /** `db.table`, for messages. */
  readonly fullName: string;
  /** Those that were read. */
  readonly columns: readonly { readonly name: string; readonly type: ColumnType }[];
  readonly nocase: boolean;
  /** All there is. */
  readonly batches: TableRows;
}

export interface SmallRun {
  readonly text: string;
  readonly spelled: SpelledStatement;
  /** In the order of the statement's references. */
  readonly tables: readonly SmallTable[];
  readonly session: SelectSession;
  /** 0: no limit. */
  readonly rowsMax: number;
}

/** Tables with different columns that are kept; with one more, all are made anew. */
const KEPT_MAX = 100;

/**
 * Characters of a table whose rows stay; all that stay have at most KEPT_MAX times as many, here
 * and in SQLite.
 */
const HELD_CHARACTERS_MAX = 32 * 1024;

/** A table that stays: its name, and the statements that fill and empty it. */
interface Kept {
  readonly name: string;
  readonly insert: Database.Statement<SqliteValue[]>;
  readonly empty: Database.Statement<[]>;
  /** The rows that are in it. */
  held: TableRows | undefined;
}

export class SmallTables {
  /** Of all tables of a statement; 0: none runs here. */
  readonly rowsMax: number;
  readonly #kept = new Map<string, Kept>();
  #db: Connection | undefined;
  #runs = 0;

  constructor(rowsMax: number) {
    this.rowsMax = rowsMax;
  }

  get isOpen(): boolean {
    return this.rowsMax > 0;
  }

  /** Statements that have run here to their end. */
  get runs(): number {
    return this.#runs;
  }

  /** The answer of the last time, when the rows of its tables are those of the last time. */
  again(
    spelled: SpelledStatement,
    inputs: readonly TableRows[],
    { session, rowsMax }: Pick<SmallRun, 'session' | 'rowsMax'>,
  ): RowsResult | undefined {
    const before = answeredBefore({ spelled, session, rowsMax, inputs });
    if (before !== undefined) this.#runs += 1;
    return before;
  }

  /**
   * undefined: it must run elsewhere, because its result is too large, or names in it look like
   * those that it has inside SQLite. Throws SqlErrors.
   */
  run({ text, spelled, tables, session, rowsMax }: SmallRun): RowsResult | undefined {
    const inputs = tables.map(({ batches }) => batches);
    const before = this.again(spelled, inputs, { session, rowsMax });
    if (before !== undefined) return before;
    if (this.#kept.size + tables.length > KEPT_MAX) this.close();
    this.#db ??= openMemoryConnection();
    const db = this.#db;
    const places = tables.map((table, at) => this.#place(db, table, at));
    const sql = renamed(spelled, places);
    if (sql === undefined) return undefined;
    const rowsFit = Math.floor(SMALL_CELLS_MAX / Math.max(1, spelled.columns.length));
    const names = new Map(places.map(({ name }, at) => [name, tables[at]?.fullName ?? '']));
    let isFilled = false;
    try {
      for (const [at, place] of places.entries()) {
        const table = tables[at];
        if (table !== undefined) fill(place, table);
      }
      isFilled = true;
      const run = { text, spelled, sql, session, rowsMax, rowsFit, tables: names, inputs };
      const result = runHere(db, run);
      this.#runs += 1;
      return result;
    } catch (error) {
      if (error instanceof ResultTooLarge) return undefined;
      throw sqlErrorOf(error, { text, firstClause: spelled.firstClause, tables: names });
    } finally {
      for (const place of places) if (!isFilled || !mayStay(place)) clear(place);
    }
  }

  close(): void {
    this.#db?.close();
    this.#db = undefined;
    this.#kept.clear();
  }

  /** A table of this shape that no other reference of the same statement has. */
  #place(db: Connection, { columns, nocase }: SmallTable, at: number): Kept {
    const collation = nocase ? ' COLLATE NOCASE' : '';
    const declared = columns.map(({ name, type }) => {
      const kind = sqliteType(type);
      return `${quoteName(name)} ${kind}${kind === 'TEXT' ? collation : ''}`;
    });
    const shape = `(${declared.join(', ') || '"no columns"'})`;
    const key = `${at} ${shape}`;
    const known = this.#kept.get(key);
    if (known !== undefined) return known;
    const name = `kept ${this.#kept.size + 1}`;
    db.exec(`CREATE TABLE ${quoteName(name)} ${shape}`);
    const marks = columns.map(() => '?').join(', ') || '?';
    const kept: Kept = {
      name,
      held: undefined,
      insert: db.prepare<SqliteValue[]>(`INSERT INTO ${quoteName(name)} VALUES (${marks})`),
      empty: db.prepare<[]>(`DELETE FROM ${quoteName(name)}`),
    };
    this.#kept.set(key, kept);
    return kept;
  }
}

function fill(place: Kept, { columns, batches }: SmallTable): void {
  if (place.held !== undefined && sameRows(place.held, batches)) return;
  clear(place);
  // From now on, so that what is there after an error is taken away.
  place.held = batches;
  const row: SqliteValue[] = columns.length === 0 ? [null] : columns.map(() => null);
  for (const batch of batches) {
    for (let at = 0; at < batch.rows; at += 1) {
      for (const [column, { type }] of columns.entries()) {
        row[column] = toSqlite(batch.columns[column]?.[at] ?? null, type);
      }
      place.insert.run(...row);
    }
  }
}

function clear(place: Kept): void {
  if (place.held === undefined) return;
  place.empty.run();
  place.held = undefined;
}

function mayStay({ held = [] }: Kept): boolean {
  return charactersOf(held) <= HELD_CHARACTERS_MAX;
}

/** The statement with other names for its tables. */
function renamed(
  { sql, references }: SpelledStatement,
  places: readonly Kept[],
): string | undefined {
  let result = sql;
  for (const [at, { sqlName, count }] of references.entries()) {
    const parts = result.split(quoteName(sqlName));
    if (parts.length !== count + 1) return undefined;
    result = parts.join(quoteName(places[at]?.name ?? ''));
  }
  return result;
}
