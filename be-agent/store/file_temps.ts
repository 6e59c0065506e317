/**
 * Unfinished puts of a directory store: whole and durable files under temporary names, on the same
 * file system as the objects, waiting for their name.
 */
import { dirname, join } from 'node:path';
import { ObjectStoreError } from '../../base/ports.ts';
import type { Clock, Random } from '../../base/ports.ts';
import type { FileCalls, OpenFile } from './file_calls.ts';
import { errnoOf } from './file_errors.ts';
import { fileMeta } from './file_listing.ts';

/** No key may start with it. */
export const TEMP_DIRECTORY = '.thermocline-tmp';
/** Of processes that replace objects by compare-and-set; lives as long as the directory. */
export const LOCK_NAME = 'compare-and-set.lock';
/** A temporary file of this age has no writer any more. */
const TEMP_AGE_MAX_MS = 24 * 3600 * 1000;

export interface FileTempsOptions {
  readonly files: FileCalls;
  /** Absolute, without symbolic links. */
  readonly root: string;
  readonly clock: Clock;
  readonly random: Random;
  /** Throws when the root is gone: an unmounted disk must not come back as an empty one. */
  readonly requireRoot: () => Promise<void>;
}

/** Writes the body of an object into an open file, from its start. */
export type WriteBody = (handle: OpenFile) => Promise<void>;

export class FileTemps {
  readonly #options: FileTempsOptions;
  readonly #directory: string;
  /** Microseconds; the modification time of the last put, see `#stamp`. */
  #lastStamp = 0;

  constructor(options: FileTempsOptions) {
    this.#options = options;
    this.#directory = join(options.root, TEMP_DIRECTORY);
  }

  /** A name that nobody has. */
  newPath(): string {
    return join(this.#directory, Buffer.from(this.#options.random.bytes(16)).toString('hex'));
  }

  /** The new object, whole and durable, under its temporary name; its etag. */
  async write(temp: string, key: string, size: number, body: WriteBody): Promise<string> {
    const handle = await this.#open(temp);
    try {
      await body(handle);
      const mtime = this.#stamp();
      await handle.utimes(mtime, mtime);
      const meta = fileMeta(key, await handle.stat());
      await handle.sync();
      if (meta === undefined || meta.size !== size) {
        const what = 'put: the file has another length than what was written';
        throw new ObjectStoreError('DISK', key, `${this.#options.root}: ${what}: '${key}'`);
      }
      return meta.etag;
    } finally {
      await handle.close();
    }
  }

  async remove(temp: string): Promise<void> {
    try {
      await this.#options.files.unlink(temp);
    } catch {
      // Renamed away, the usual case; what cannot be removed now is removed by a later open.
    }
  }

  /** What crashed writers left. */
  async removeOld(): Promise<void> {
    const { files, clock } = this.#options;
    for (const name of await files.readdir(this.#directory)) {
      // Removed, another process would lock a file that nobody else sees.
      if (name.startsWith(LOCK_NAME)) continue;
      const path = join(this.#directory, name);
      try {
        const { mtimeMs } = await files.lstat(path);
        if (clock.now() - Number(mtimeMs) > TEMP_AGE_MAX_MS) await files.unlink(path);
      } catch (error) {
        if (errnoOf(error) !== 'ENOENT') throw error;
      }
    }
  }

  async #open(temp: string): Promise<OpenFile> {
    const { files, requireRoot } = this.#options;
    try {
      return await files.open(temp, 'wx');
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error;
      // Somebody tidied up. Only the last directory is made again.
      await requireRoot();
      await files.mkdir(dirname(temp));
      return await files.open(temp, 'wx');
    }
  }

  /**
   * Seconds for a new file's modification time: the clock's, but strictly increasing by whole
   * microseconds within this store and with chance below the millisecond. With size and inode it
   * makes the etag, which so never repeats even where file systems round times to 4 ms and use an
   * inode number again at once. The half keeps rounding of the double within the microsecond.
   */
  #stamp(): number {
    const { clock, random } = this.#options;
    const now = clock.now() * 1000 + random.int(1000);
    this.#lastStamp = Math.max(this.#lastStamp + 1, now);
    return (this.#lastStamp + 0.5) / 1e6;
  }
}
