/**
 * One connection to the catalog's SQLite file, for Kysely and for bulk statements. Kysely's own
 * SQLite driver prepares every statement anew and queues on one connection; this one keeps
 * prepared statements and leaves transactions to `Writer`.
 */
import Database from 'better-sqlite3';
import {
  Kysely,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
  type CompiledQuery,
  type DatabaseConnection,
  type Driver,
  type QueryResult,
} from 'kysely';
import type { Clock } from '../base/ports.ts';
import { toCatalogError } from './driver_errors.ts';
import type { CatalogRows } from './rows.ts';
import type { Bulk, BulkValue } from './session.ts';

/** How long a statement waits for another process's lock; it blocks the thread meanwhile. */
const BUSY_TIMEOUT_MS = 2000;
/** Until what another process has committed is noticed; none does but by hand. */
const FOREIGN_MS = 5;
/** Prepared statements kept; IN lists of many lengths must not fill the memory. */
const STATEMENTS_MAX = 500;

interface Followed {
  readonly commits: () => number;
  readonly clock: Clock;
  seen: number;
  askedMs: number;
  version: number;
}

export class SqliteConnection implements Bulk {
  readonly db: Kysely<CatalogRows>;
  readonly #database: Database.Database;
  readonly #statements = new Map<string, Database.Statement>();
  readonly #rawStatements = new Map<string, Database.Statement>();
  #followed: Followed | undefined;

  /** Driver errors come out as `SqlError`s (`toCatalogError`), here and in every method. */
  constructor(file: string, mode: 'write' | 'read') {
    this.#database = mapped(() => open(file, mode));
    this.db = new Kysely<CatalogRows>({
      dialect: {
        createAdapter: () => new SqliteAdapter(),
        createDriver: () => new OneConnectionDriver(this),
        createIntrospector: (db) => new SqliteIntrospector(db),
        createQueryCompiler: () => new SqliteQueryCompiler(),
      },
    });
  }

  get inTransaction(): boolean {
    return this.#database.inTransaction;
  }

  /** Statements without values or rows: BEGIN, COMMIT, migrations. */
  exec(sql: string): void {
    mapped(() => this.#database.exec(sql));
  }

  run(sql: string, values: readonly BulkValue[]): number {
    return mapped(() => this.#prepare(this.#statements, sql).run(values).changes);
  }

  all<Row extends readonly BulkValue[]>(sql: string, values: readonly BulkValue[]): Row[] {
    return mapped(() => this.#prepareRaw(sql).all(values) as Row[]);
  }

  /**
   * From now on `dataVersion` knows by `commits`, a number that grows with each, when this process
   * has committed, and asks SQLite for what others did at most every FOREIGN_MS: asking costs 2.3
   * microseconds, and every statement over jobs or tables asked once or twice.
   */
  follow(commits: () => number, clock: Clock): void {
    this.#followed = { commits, clock, seen: -1, askedMs: 0, version: 0 };
  }

  dataVersion(): number {
    const followed = this.#followed;
    if (followed === undefined) return this.#askVersion();
    const [commits, nowMs] = [followed.commits(), followed.clock.monotonic()];
    if (commits !== followed.seen || nowMs - followed.askedMs >= FOREIGN_MS) {
      followed.seen = commits;
      followed.askedMs = nowMs;
      followed.version = this.#askVersion();
    }
    return followed.version;
  }

  #askVersion(): number {
    return this.all<[number]>('PRAGMA data_version', [])[0]?.[0] ?? 0;
  }

  /** For Kysely: rows as objects, or the number of rows changed. */
  query<Row>(sql: string, values: readonly unknown[]): QueryResult<Row> {
    return mapped(() => {
      const statement = this.#prepare(this.#statements, sql);
      if (statement.reader) return { rows: statement.all(values) as Row[] };
      return { rows: [], numAffectedRows: BigInt(statement.run(values).changes) };
    });
  }

  /** Moves the WAL into the file, so that a copy of the file alone is complete. */
  checkpoint(): void {
    mapped(() => this.#database.pragma('wal_checkpoint(TRUNCATE)'));
  }

  close(): void {
    this.#database.close();
  }

  #prepareRaw(sql: string): Database.Statement {
    const known = this.#rawStatements.get(sql);
    return known ?? this.#prepare(this.#rawStatements, sql).raw(true);
  }

  #prepare(cache: Map<string, Database.Statement>, sql: string): Database.Statement {
    const known = cache.get(sql);
    if (known !== undefined) return known;
    if (cache.size >= STATEMENTS_MAX) cache.clear();
    const statement = this.#database.prepare(sql);
    cache.set(sql, statement);
    return statement;
  }
}

function open(file: string, mode: 'write' | 'read'): Database.Database {
  const database = new Database(file, { readonly: mode === 'read', timeout: BUSY_TIMEOUT_MS });
  try {
    if (mode === 'write') {
      database.pragma('journal_mode = WAL');
      database.pragma('synchronous = FULL');
      database.pragma('foreign_keys = ON');
    }
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

function mapped<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw toCatalogError(error);
  }
}

class OneConnectionDriver implements Driver {
  readonly #connection: DatabaseConnection;

  constructor(sqlite: SqliteConnection) {
    this.#connection = {
      executeQuery: async <Row>(query: CompiledQuery): Promise<QueryResult<Row>> =>
        sqlite.query<Row>(query.sql, query.parameters),
      streamQuery: () => {
        throw new Error('the catalog reads in pages, not in streams');
      },
    };
  }

  async init(): Promise<void> {}

  async acquireConnection(): Promise<DatabaseConnection> {
    return this.#connection;
  }

  async beginTransaction(): Promise<void> {
    throw new Error('transactions of the catalog begin at Catalog.transaction');
  }

  async commitTransaction(): Promise<void> {}

  async rollbackTransaction(): Promise<void> {}

  async releaseConnection(): Promise<void> {}

  async destroy(): Promise<void> {}
}
