/** Asks, for one statement of one session, whether it may; each question throws when not. */
import { SqlError } from '../../base/errors.ts';
import type { JobId } from '../../base/ids.ts';
import { id } from '../../base/ids.ts';
import type { Privilege, ScopeKind } from '../../base/privileges.ts';
import { jobIdOf } from '../../parser/job_ref.ts';
import type { JobRef, TableName } from '../../parser/statement.ts';
import { type ExecContext, databaseOf, rightsOf, tableNameOf } from '../executors/executor.ts';
import type { Rights } from './rights.ts';

/** Words of the privileges in messages: MySQL's where it has one. */
const WORDS: Readonly<Record<Privilege, string>> = {
  ADMIN: 'ADMIN_PRIV',
  NODE: 'NODE_PRIV',
  GRANT: 'GRANT_PRIV',
  SELECT: 'SELECT',
  LOAD: 'INSERT',
  ALTER: 'ALTER',
  CREATE: 'CREATE',
  DROP: 'DROP',
  USAGE: 'USAGE_PRIV',
};

export class Ask {
  readonly context: ExecContext;
  readonly rights: Rights;

  constructor(context: ExecContext) {
    this.context = context;
    this.rights = rightsOf(context);
  }

  /** One of them, everywhere. Throws PRIVILEGE_NEEDED. */
  global(...privileges: readonly Privilege[]): void {
    if (privileges.some((privilege) => this.rights.hasGlobal(privilege))) return;
    throw privilegeNeeded(...privileges);
  }

  /** On all of a database. Throws NO_DB, DB_ACCESS_DENIED. */
  database(privilege: Privilege, name: string | undefined): void {
    const db = databaseOf(name, this.context.session);
    if (!this.rights.onDatabase(privilege, db)) throw databaseDenied(this.context, db);
  }

  /** Throws NO_DB, TABLE_ACCESS_DENIED. */
  table(privilege: Privilege, name: TableName, command: string = WORDS[privilege]): void {
    const { db, table } = tableNameOf(name, this.context.session);
    if (!this.rights.onTable(privilege, db, table)) {
      throw tableDenied(this.context, command, table);
    }
  }

  /** Throws NO_DB, DB_ACCESS_DENIED. */
  seesDatabase(name: string | undefined): void {
    expectSeenDatabase(this.context, databaseOf(name, this.context.session));
  }

  /** Throws NO_DB, TABLE_ACCESS_DENIED. */
  seesTable(name: TableName): void {
    const { db, table } = tableNameOf(name, this.context.session);
    if (isOpen(db) || this.rights.seesTable(db, table)) return;
    throw tableDenied(this.context, WORDS.SELECT, table);
  }

  /** USAGE. Throws PRIVILEGE_NEEDED. */
  use(kind: Exclude<ScopeKind, 'TABLE'>, name: string): void {
    expectUsage(this.context, kind, name);
  }

  /** USAGE of both groups of a warm-up job, and what it names may be read. */
  async warmUpJob(ref: JobRef): Promise<void> {
    const { catalog } = this.context.services;
    const jobId = id<JobId>(jobIdOf(ref));
    const job = await catalog.warmUpJobs.find(jobId);
    // The executor says that there is no such job.
    if (job === undefined) return;
    this.use('COMPUTE_GROUP', job.dstGroup);
    if (job.srcGroup !== null) this.use('COMPUTE_GROUP', job.srcGroup);
    for (const { db, table } of job.tables) this.table('SELECT', { db, name: table });
  }
}

/** The server's own views, whose rows are limited to what the user may see. */
function isOpen(db: string): boolean {
  return ['information_schema', 'performance_schema'].includes(db.toLowerCase());
}

export function privilegeNeeded(...privileges: readonly Privilege[]): SqlError {
  const words = privileges.map((privilege) => WORDS[privilege]).join(', ');
  return new SqlError('PRIVILEGE_NEEDED', { privilege: words });
}

export function tableDenied({ session }: ExecContext, command: string, name: string): SqlError {
  const { user, host } = session;
  return new SqlError('TABLE_ACCESS_DENIED', { command, user, host, name });
}

export function databaseDenied({ session }: ExecContext, name: string): SqlError {
  const { user, host } = session;
  return new SqlError('DB_ACCESS_DENIED', { user, host, name });
}

/** Throws DB_ACCESS_DENIED, whether there is such a database or not. */
export function expectSeenDatabase(context: ExecContext, name: string): void {
  if (!rightsOf(context).seesDatabase(name)) throw databaseDenied(context, name);
}

/** Throws PRIVILEGE_NEEDED, whether there is such a thing or not. */
export function expectUsage(
  context: ExecContext,
  kind: Exclude<ScopeKind, 'TABLE'>,
  name: string,
): void {
  if (!rightsOf(context).mayUse(kind, name)) throw privilegeNeeded('USAGE');
}
