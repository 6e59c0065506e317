/** Brings the file to the newest schema, and takes the lease. */
import { SqlError } from '../base/errors.ts';
import { INITIAL } from './migrations/0001_initial.ts';
import { WARM_UP_RUNS } from './migrations/0002_warm_up_runs.ts';
import { ROWSET_EVENTS } from './migrations/0003_rowset_events.ts';
import { COMPACTION } from './migrations/0004_compaction.ts';
import { ALTER_JOBS } from './migrations/0005_alter_jobs.ts';
import { PRIVILEGES } from './migrations/0006_privileges.ts';
import { COOLDOWN } from './migrations/0007_cooldown.ts';
import { REPLICAS } from './migrations/0008_replicas.ts';
import { COOLDOWN_JOBS } from './migrations/0009_cooldown_jobs.ts';
import { REMOTE_BACKENDS } from './migrations/0010_remote_backends.ts';
import { REPLICA_REPAIR } from './migrations/0011_replica_repair.ts';
import { ACCOUNT_LIMITS } from './migrations/0012_account_limits.ts';
import { LOGIN_LOCK_LIMITS } from './migrations/0013_login_lock_limits.ts';
import { LOST_VERSIONS } from './migrations/0014_lost_versions.ts';
import { VISIBLE_TIMES } from './migrations/0015_visible_times.ts';
import type { Migration } from './migrations/migration.ts';
import type { SqliteConnection } from './sqlite_connection.ts';

/** In order; their versions are 1, 2, 3, ... */
export const MIGRATIONS: readonly Migration[] = [
  INITIAL,
  WARM_UP_RUNS,
  ROWSET_EVENTS,
  COMPACTION,
  ALTER_JOBS,
  PRIVILEGES,
  COOLDOWN,
  REPLICAS,
  COOLDOWN_JOBS,
  REMOTE_BACKENDS,
  REPLICA_REPAIR,
  ACCOUNT_LIMITS,
  LOGIN_LOCK_LIMITS,
  LOST_VERSIONS,
  VISIBLE_TIMES,
];

/**
 * Applies what is missing, each migration in one transaction; safe from many connections at once.
 * Throws CATALOG_NEWER, before anything was written, when the file is newer than this program.
 */
export function migrate(
  connection: SqliteConnection,
  file: string,
  nowMs: number,
  migrations: readonly Migration[] = MIGRATIONS,
): void {
  const known = migrations.length;
  for (;;) {
    const before = schemaVersion(connection);
    if (before > known) throw new SqlError('CATALOG_NEWER', { file, found: before, known });
    if (before === known) return;
    inTransaction(connection, () => {
      const found = schemaVersion(connection);
      const migration = migrations[found];
      if (migration === undefined || found !== before) return;
      if (found === 0) connection.exec(VERSION_TABLE);
      for (const statement of migration.statements) connection.exec(statement);
      connection.run('INSERT INTO schema_version (version, name, applied_ms) VALUES (?, ?, ?)', [
        migration.version,
        migration.name,
        nowMs,
      ]);
    });
  }
}

const VERSION_TABLE = `CREATE TABLE schema_version (
    version INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    applied_ms INTEGER NOT NULL
  ) STRICT`;

/** 0: an empty file. */
function schemaVersion(connection: SqliteConnection): number {
  const tables = connection.all(
    "SELECT name FROM sqlite_master WHERE type = 'table' AND name = 'schema_version'",
    [],
  );
  if (tables.length === 0) return 0;
  const [row] = connection.all<[number | null]>('SELECT max(version) FROM schema_version', []);
  return row?.[0] ?? 0;
}

/** The next epoch is ours: transactions of whoever had the one before fail from now on. */
export function takeLease(connection: SqliteConnection, holder: string, nowMs: number): number {
  return inTransaction(connection, () => {
    const [row] = connection.all<[number]>('SELECT epoch FROM lease WHERE id = 1', []);
    if (row === undefined) throw new SqlError('CATALOG_DAMAGED', { what: 'the lease has no row' });
    const epoch = row[0] + 1;
    connection.run(
      'UPDATE lease SET epoch = ?, seq = 0, holder = ?, taken_ms = ? WHERE id = 1 AND epoch = ?',
      [epoch, holder, nowMs, row[0]],
    );
    return epoch;
  });
}

function inTransaction<T>(connection: SqliteConnection, work: () => T): T {
  connection.exec('BEGIN IMMEDIATE');
  try {
    const result = work();
    connection.exec('COMMIT');
    return result;
  } catch (error) {
    if (connection.inTransaction) connection.exec('ROLLBACK');
    throw error;
  }
}
