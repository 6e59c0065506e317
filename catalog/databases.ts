/** Databases. Names are case-sensitive, as in Doris; those of the server itself are no rows. */
import { SqlError } from '../base/errors.ts';
import { id } from '../base/ids.ts';
import type { DatabaseId } from '../base/ids.ts';
import { RESERVED_DATABASES, checkName } from './names.ts';
import type { CatalogRows } from './rows.ts';
import type { Session } from './session.ts';

export interface DatabaseDef {
  readonly databaseId: DatabaseId;
  readonly name: string;
  readonly createdMs: number;
}

export class DatabaseStore {
  readonly #session: Session;
  readonly #forget: (databaseId: DatabaseId) => void;

  /** `forget` is called when a dropped database's tables must vanish from the memory. */
  constructor(session: Session, forget: (databaseId: DatabaseId) => void) {
    this.#session = session;
    this.#forget = forget;
  }

  /** By name; without the reserved ones. */
  async list(): Promise<DatabaseDef[]> {
    const rows = await this.#session.db
      .selectFrom('database_def')
      .selectAll()
      .orderBy('name')
      .execute();
    return rows.map(toDatabase);
  }

  async find(name: string): Promise<DatabaseDef | undefined> {
    const row = await this.#session.db
      .selectFrom('database_def')
      .selectAll()
      .where('name', '=', name)
      .executeTakeFirst();
    return row === undefined ? undefined : toDatabase(row);
  }

  /** Throws BAD_DB. */
  async get(name: string): Promise<DatabaseDef> {
    const database = await this.find(name);
    if (database === undefined) throw new SqlError('BAD_DB', { name });
    return database;
  }

  /** Throws DB_CREATE_EXISTS (for a reserved name too), WRONG_DB_NAME, IDENT_TOO_LONG. */
  async create(name: string): Promise<DatabaseDef> {
    checkName('database', name);
    return this.#session.write(async (tx) => {
      const taken = await new DatabaseStore(tx, this.#forget).find(name);
      if (taken !== undefined || RESERVED_DATABASES.has(name)) {
        throw new SqlError('DB_CREATE_EXISTS', { name });
      }
      const row = { database_id: tx.ids.next<DatabaseId>(), name, created_ms: tx.clock.now() };
      await tx.db.insertInto('database_def').values(row).execute();
      return toDatabase(row);
    });
  }

  /**
   * With all its tables, which are invisible at once and purged in the background.
   * Throws DB_DROP_EXISTS; a reserved name throws SYSTEM_DB_ACCESS.
   */
  async drop(name: string, user = 'root'): Promise<void> {
    if (RESERVED_DATABASES.has(name)) throw new SqlError('SYSTEM_DB_ACCESS', { user, name });
    await this.#session.write(async (tx) => {
      const database = await new DatabaseStore(tx, this.#forget).find(name);
      if (database === undefined) throw new SqlError('DB_DROP_EXISTS', { name });
      await tx.db
        .deleteFrom('database_def')
        .where('database_id', '=', database.databaseId)
        .execute();
      tx.onCommit(() => {
        this.#forget(database.databaseId);
      });
    });
  }
}

function toDatabase(row: CatalogRows['database_def']): DatabaseDef {
  return {
    databaseId: id<DatabaseId>(row.database_id),
    name: row.name,
    createdMs: row.created_ms,
  };
}
