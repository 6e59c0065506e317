/** Running a spelled statement on a connection: rows in canonical values, in batches. */
import type Database from 'better-sqlite3';
import type { ColumnType, SqlValue } from '../../base/values.ts';
import type { Connection } from './sqlite_connection.ts';
import { fromSqlite, inferType, type SqliteValue } from './value_storage.ts';

export interface StatementRun {
  readonly sql: string;
  readonly params: readonly SqlValue[];
  /** The type of each column where it is known before the rows are seen. */
  readonly types: readonly (ColumnType | undefined)[];
  /** Stop after so many rows; 0: no limit. */
  readonly rowsMax: number;
}

export interface RunBatch {
  /** With the first batch only: the type of every column. */
  readonly types: readonly ColumnType[] | undefined;
  readonly rows: readonly (readonly SqlValue[])[];
  readonly done: boolean;
}

/** A batch ends at so many rows or so many characters, whichever comes first. */
const BATCH_ROWS_MAX = 2000;
const BATCH_CHARACTERS_MAX = 512 * 1024;
/** Prepared statements kept per connection. */
const PREPARED_MAX = 200;

type Bindings = Readonly<Record<string, SqlValue>>;
type Prepared = Database.Statement<[Bindings], SqliteValue[]>;

const prepared = new WeakMap<Connection, Map<string, Prepared>>();

function prepare(db: Connection, sql: string): Prepared {
  let cache = prepared.get(db);
  if (cache === undefined) {
    cache = new Map();
    prepared.set(db, cache);
  }
  const known = cache.get(sql);
  if (known !== undefined && !known.busy) return known;
  const statement = db.prepare<[Bindings], SqliteValue[]>(sql).raw(true);
  if (cache.size >= PREPARED_MAX) cache.clear();
  cache.set(sql, statement);
  return statement;
}

const INT64_MIN = -(2n ** 63n);
const INT64_MAX = 2n ** 63n - 1n;

/** Numbers bind as REAL, so whole ones go in as bigint; those beyond 64 bits as text. */
function bindable(value: SqlValue): SqlValue {
  if (typeof value === 'bigint' && (value < INT64_MIN || value > INT64_MAX)) return String(value);
  return typeof value === 'number' && Number.isInteger(value) ? BigInt(value) : value;
}

/** At least one batch, the last with `done`. Throws SQLite's errors as they are. */
export function* runStatement(db: Connection, run: StatementRun): Generator<RunBatch> {
  const statement = prepare(db, run.sql);
  const params = run.params.map((value, at) => [`p${at + 1}`, bindable(value)] as const);
  const rows = statement.iterate(Object.fromEntries(params));
  let types: readonly ColumnType[] | undefined;
  let batch: SqliteValue[][] = [];
  let characters = 0;
  let count = 0;
  const flush = (done: boolean): RunBatch => {
    const first = types === undefined;
    const known = types ?? decideTypes(run.types, batch);
    types = known;
    const converted = batch.map((row) => convertRow(row, known));
    batch = [];
    characters = 0;
    return { types: first ? known : undefined, rows: converted, done };
  };
  for (const row of rows) {
    batch.push(row);
    count += 1;
    for (const value of row) characters += typeof value === 'string' ? value.length : 8;
    if (run.rowsMax > 0 && count >= run.rowsMax) break;
    if (batch.length >= BATCH_ROWS_MAX || characters >= BATCH_CHARACTERS_MAX) yield flush(false);
  }
  yield flush(true);
}

function convertRow(row: readonly SqliteValue[], types: readonly ColumnType[]): SqlValue[] {
  return row.map((value, at) => fromSqlite(value, types[at] ?? { kind: 'STRING' }));
}

function decideTypes(
  known: readonly (ColumnType | undefined)[],
  rows: readonly (readonly SqliteValue[])[],
): readonly ColumnType[] {
  const width = rows[0]?.length ?? known.length;
  return Array.from(
    { length: width },
    (_, at) => known[at] ?? inferType(rows.map((row) => row[at] ?? null)),
  );
}
