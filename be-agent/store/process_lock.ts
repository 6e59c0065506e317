/**
 * A lock among all processes of a machine that use one directory, held for microseconds: a database
 * file that is only ever locked. The kernel gives the lock up when its holder dies, so there is no
 * stale lock to judge; SQLite also keeps apart the holders within one process, which POSIX locks
 * alone do not (several embedded backends have their own store of the same directory).
 *
 * Tried instead: a file made with O_EXCL that names its holder's pid and start time. Whoever takes
 * it over from a dead holder races with others who judged the same holder, and pids of a container
 * mean nothing in another one with the same directory.
 */
import { statSync } from 'node:fs';
import Database from 'better-sqlite3';
import type { Clock, Random } from '../../base/ports.ts';

/** Pause of one who waits, milliseconds; half of it is left to chance. */
const PAUSE_MS = 4;

export interface ProcessLockOptions {
  readonly path: string;
  readonly clock: Clock;
  readonly random: Random;
  /** Longest wait, milliseconds. */
  readonly timeoutMs: () => number;
}

/** The lock was not free in time. */
export class LockTimeout extends Error {}

export class ProcessLock {
  readonly #options: ProcessLockOptions;
  #database: Database.Database | undefined;
  #inode = 0n;
  /** Holders of this store take turns before they ask the others. */
  #tail: Promise<unknown> = Promise.resolve();

  constructor(options: ProcessLockOptions) {
    this.#options = options;
  }

  /** Throws LockTimeout, or what opening the file throws, without having called `work`. */
  async hold<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#tail.then(async () => await this.#locked(work));
    this.#tail = turn.catch(() => undefined);
    return await turn;
  }

  close(): void {
    this.#database?.close();
    this.#database = undefined;
  }

  async #locked<T>(work: () => Promise<T>): Promise<T> {
    const database = await this.#acquire();
    try {
      return await work();
    } finally {
      // Nothing was written: this only lets the lock go.
      if (database.open) database.exec('ROLLBACK');
    }
  }

  async #acquire(): Promise<Database.Database> {
    const { clock, random, timeoutMs } = this.#options;
    const giveUpAt = clock.monotonic() + timeoutMs();
    for (;;) {
      const database = this.#open();
      if (tryBegin(database)) {
        if (this.#isCurrent()) return database;
        // Somebody removed the directory of temporary files, and with it this lock.
        database.exec('ROLLBACK');
        this.close();
      } else {
        if (clock.monotonic() >= giveUpAt) throw new LockTimeout(this.#options.path);
        await clock.sleep(PAUSE_MS / 2 + random.int(PAUSE_MS));
      }
    }
  }

  #open(): Database.Database {
    if (this.#database !== undefined && this.#isCurrent()) return this.#database;
    this.close();
    const database = new Database(this.#options.path, { timeout: 0 });
    this.#inode = inodeOf(this.#options.path) ?? 0n;
    this.#database = database;
    return database;
  }

  #isCurrent(): boolean {
    return inodeOf(this.#options.path) === this.#inode;
  }
}

function tryBegin(database: Database.Database): boolean {
  try {
    database.exec('BEGIN EXCLUSIVE');
    return true;
  } catch (error) {
    if ((error as { code?: unknown }).code === 'SQLITE_BUSY') return false;
    throw error;
  }
}

function inodeOf(path: string): bigint | undefined {
  return statSync(path, { bigint: true, throwIfNoEntry: false })?.ino;
}
