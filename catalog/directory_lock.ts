/**
 * One server per data directory. `server.lock` is an empty SQLite file whose exclusive lock is
 * held: the kernel frees it when the process ends, kill -9 included, so there is no stale lock
 * and no guessing by pid. `server.pid` only says who it is.
 */
import Database from 'better-sqlite3';
import { accessSync, constants, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SqlError } from '../base/errors.ts';
import { driverCode } from './driver_errors.ts';

/** Password hashes and data are nobody else's to read. */
const DIRECTORY_MODE = 0o700;

export class DirectoryLock {
  readonly #database: Database.Database;
  readonly #pidFile: string;

  private constructor(database: Database.Database, pidFile: string) {
    this.#database = database;
    this.#pidFile = pidFile;
  }

  /** Makes the directory. Throws CATALOG_NOT_WRITABLE, CATALOG_LOCKED. */
  static take(dir: string, holder: string): DirectoryLock {
    prepare(dir);
    const pidFile = join(dir, 'server.pid');
    const database = lock(dir, pidFile);
    try {
      writeFileSync(pidFile, `${JSON.stringify({ pid: process.pid, holder })}\n`);
    } catch (cause) {
      database.close();
      throw notWritable(dir, cause);
    }
    return new DirectoryLock(database, pidFile);
  }

  release(): void {
    rmSync(this.#pidFile, { force: true });
    this.#database.close();
  }
}

function prepare(dir: string): void {
  try {
    mkdirSync(dir, { recursive: true, mode: DIRECTORY_MODE });
    accessSync(dir, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (cause) {
    throw notWritable(dir, cause);
  }
}

function lock(dir: string, pidFile: string): Database.Database {
  let database: Database.Database | undefined;
  try {
    database = new Database(join(dir, 'server.lock'), { timeout: 0 });
    database.exec('BEGIN EXCLUSIVE');
    return database;
  } catch (cause) {
    database?.close();
    if (driverCode(cause)?.startsWith('SQLITE_BUSY') === true) {
      throw new SqlError('CATALOG_LOCKED', { dir, holder: whoHolds(pidFile) }, { cause });
    }
    throw notWritable(dir, cause);
  }
}

function whoHolds(pidFile: string): string {
  try {
    const text = JSON.parse(readFileSync(pidFile, 'utf8')) as { pid: number; holder: string };
    return `process ${text.pid}, ${text.holder}`;
  } catch {
    return 'which has just started';
  }
}

function notWritable(dir: string, cause: unknown): SqlError {
  const what = String((cause as { message?: unknown }).message);
  return new SqlError('CATALOG_NOT_WRITABLE', { dir, what }, { cause });
}
