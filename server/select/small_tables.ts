/**
 * Small tables in a SQLite connection of the main thread. Its tables stay, empty, from one statement
 * to the next, so that statements stay prepared; rows are there only while their statement runs.
 */
import type Database from 'better-sqlite3';
import type { ColumnType, RowsResult } from '../../base/values.ts';
import { runHere } from './run_here.ts';
import { quoteName } from './spelled.ts';
import type { SpelledStatement } from './speller.ts';
import { openMemoryConnection, type Connection } from './sqlite_connection.ts';
import type { ScanRows, SelectSession } from './table_provider.ts';
import { sqliteType, toSqlite, type SqliteValue } from './value_storage.ts';

export interface SmallTable {
  /** `db.table`, for messages. */
  readonly fullName: string;
  /** Those that were read. */
  readonly columns: readonly { readonly name: string; readonly type: ColumnType }[];
  readonly nocase: boolean;
  /** All there is. */
  readonly batches: readonly ScanRows[];
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

/** A table that stays: its name, and the statements that fill and empty it. */
interface Kept {
  readonly name: string;
  readonly insert: Database.Statement<SqliteValue[]>;
  readonly empty: Database.Statement<[]>;
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

  /** Statements that have run here. */
  get runs(): number {
    return this.#runs;
  }

  /**
   * undefined: names of the statement look like those it has inside SQLite, so it must run
   * elsewhere. Throws SqlErrors.
   */
  run({ text, spelled, tables, session, rowsMax }: SmallRun): RowsResult | undefined {
    if (this.#kept.size + tables.length > KEPT_MAX) this.close();
    this.#db ??= openMemoryConnection();
    const db = this.#db;
    const places = tables.map((table, at) => this.#place(db, table, at));
    const sql = renamed(spelled, places);
    if (sql === undefined) return undefined;
    this.#runs += 1;
    try {
      for (const [at, table] of tables.entries()) fill(places[at], table);
      return runHere(db, {
        text,
        spelled: { ...spelled, sql },
        session,
        rowsMax,
        tables: new Map(places.map(({ name }, at) => [name, tables[at]?.fullName ?? ''])),
      });
    } finally {
      for (const { empty } of places) empty.run();
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
    const kept = {
      name,
      insert: db.prepare<SqliteValue[]>(`INSERT INTO ${quoteName(name)} VALUES (${marks})`),
      empty: db.prepare<[]>(`DELETE FROM ${quoteName(name)}`),
    };
    this.#kept.set(key, kept);
    return kept;
  }
}

function fill(place: Kept | undefined, { columns, batches }: SmallTable): void {
  const row: SqliteValue[] = columns.length === 0 ? [null] : columns.map(() => null);
  for (const batch of batches) {
    for (let at = 0; at < batch.rows; at += 1) {
      for (const [column, { type }] of columns.entries()) {
        row[column] = toSqlite(batch.columns[column]?.[at] ?? null, type);
      }
      place?.insert.run(...row);
    }
  }
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
