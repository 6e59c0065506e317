/**
 * A directory as object store: the built-in vault. An object is a file whose path below the root
 * is its key, so what lies there can be looked at and copied with ordinary tools.
 *
 * Limits that a bucket does not have: `a` and `a/b` cannot both exist. Create-only puts are atomic
 * among all processes. Compare-and-set (`ifMatch`) is atomic among all compare-and-sets of one
 * machine; a delete or a plain put of the same key by another FileStore may come in between, so a
 * key that is compared and set is never written otherwise.
 */
import { constants } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { ObjectStoreError } from '../../base/ports.ts';
import type {
  BodySource,
  CallOptions,
  GetOptions,
  ObjectMeta,
  ObjectStore,
  PutOptions,
  UploadOptions,
} from '../../base/ports.ts';
import { pieces } from './body_pieces.ts';
import { DirectorySync } from './directory_sync.ts';
import { systemFiles } from './file_calls.ts';
import type { FileCalls, OpenFile } from './file_calls.ts';
import { errnoOf, fileError } from './file_errors.ts';
import { fileMeta, listFiles } from './file_listing.ts';
import type { ListStep } from './file_listing.ts';
import { FileTemps, LOCK_NAME, TEMP_DIRECTORY } from './file_temps.ts';
import type { WriteBody } from './file_temps.ts';
import { KeyLocks } from './key_locks.ts';
import { checkKey, checkPrefix, checkRange, checkRoom, rangeBytes } from './object_key.ts';
import { LockTimeout, ProcessLock } from './process_lock.ts';
import { throwIfAborted, withRetries } from './retry.ts';
import type { StoreDeps } from './retry.ts';

/** How often a put makes its directory again when deletes prune it away at the same time. */
const PRUNE_RACES_MAX = 100;
/** Files removed at once by one delete. */
const DELETE_CONCURRENCY = 16;

const READ_FLAGS = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0);

export class FileStore implements ObjectStore {
  readonly url: string;
  readonly #root: string;
  readonly #deps: StoreDeps;
  readonly #files: FileCalls;
  readonly #sync: DirectorySync;
  readonly #locks = new KeyLocks();
  readonly #temps: FileTemps;
  readonly #swaps: ProcessLock;
  readonly #resource: string | undefined;

  private constructor(
    root: string,
    deps: StoreDeps,
    files: FileCalls,
    resource: string | undefined,
  ) {
    this.#root = root;
    this.#resource = resource;
    this.#deps = deps;
    this.#files = files;
    this.#sync = new DirectorySync(files, root);
    this.url = pathToFileURL(root).href;
    const { clock, random } = deps;
    const requireRoot = async (): Promise<void> => {
      await this.#requireRoot();
    };
    this.#temps = new FileTemps({ files, root, clock, random, requireRoot });
    const path = join(root, TEMP_DIRECTORY, LOCK_NAME);
    this.#swaps = new ProcessLock({
      path,
      clock,
      random,
      timeoutMs: () => deps.limits().timeoutMs,
    });
  }

  /**
   * Makes the directory when it is missing, unless it is that of a resource, and removes what crashed
   * writers left. Throws ObjectStoreError DISK or ACCESS_DENIED when the directory cannot be used,
   * BUCKET_MISSING when that of the resource is not there.
   */
  static async open(
    path: string,
    deps: StoreDeps,
    files = systemFiles,
    resource?: string,
  ): Promise<FileStore> {
    const wanted = resolve(path);
    try {
      if (resource !== undefined) await expectRoot(files, wanted, resource);
      const made = await files.mkdir(join(wanted, TEMP_DIRECTORY));
      const root = await files.realpath(wanted);
      const store = new FileStore(root, deps, files, resource);
      if (made !== undefined) {
        // The new root must survive a power cut as well as what is put into it.
        await new DirectorySync(files, dirname(resolve(made))).upToRoot(wanted);
      }
      await store.#temps.removeOld();
      return store;
    } catch (error) {
      throw fileError(pathToFileURL(wanted).href, 'open', '', error);
    }
  }

  async get(key: string, options: GetOptions = {}): Promise<Uint8Array> {
    this.#checkKey(key);
    const range = checkRange(options);
    const { signal, into } = options;
    return await this.#run('get', key, signal, async () => {
      const handle = await this.#openObject(key);
      try {
        const stats = await handle.stat();
        if (!stats.isFile()) throw this.#error('NOT_FOUND', key, 'get: no such object');
        const count = rangeBytes(range, Number(stats.size));
        if (count === undefined) {
          throw this.#error('RANGE', key, `get: ${range.offset} is beyond the end ${stats.size}`);
        }
        if (into !== undefined) checkRoom(into, count);
        const target = into?.subarray(0, count) ?? new Uint8Array(count);
        await this.#read(handle, key, target, range.offset, signal);
        return target;
      } finally {
        await handle.close();
      }
    });
  }

  async head(key: string, options: CallOptions = {}): Promise<ObjectMeta | undefined> {
    this.#checkKey(key);
    return await this.#run('head', key, options.signal, async () => {
      try {
        await this.#refuseSymlinks(key);
        return fileMeta(key, await this.#files.lstat(this.#path(key)));
      } catch (error) {
        if (!isMissing(error)) throw error;
        await this.#requireRoot();
        return undefined;
      }
    });
  }

  async put(key: string, body: Uint8Array, options: PutOptions = {}): Promise<{ etag: string }> {
    this.#checkKey(key);
    const write: WriteBody = async (handle) => {
      await handle.writeFile(body);
    };
    return await this.#run('put', key, options.signal, async () => {
      return await this.#putFile(key, body.byteLength, write, options);
    });
  }

  async upload(
    key: string,
    source: BodySource,
    options: UploadOptions = {},
  ): Promise<{ etag: string }> {
    this.#checkKey(key);
    const write: WriteBody = async (handle) => {
      for await (const piece of pieces(source, key, options.signal)) await handle.writeFile(piece);
      source.check?.();
    };
    throwIfAborted(key, options.signal);
    try {
      return await this.#putFile(key, source.size, write, options);
    } catch (error) {
      throw fileError(this.url, 'put', key, error);
    }
  }

  async *list(prefix: string, options: CallOptions = {}): AsyncGenerator<readonly ObjectMeta[]> {
    checkPrefix(prefix);
    // Each step is retried by itself: a generator that has thrown cannot go on.
    const step: ListStep = async (call) => await this.#run('list', prefix, options.signal, call);
    const slash = prefix.lastIndexOf('/');
    if (slash >= 0 && !(await step(async () => await this.#isPlainDirectory(prefix)))) return;
    yield* listFiles(this.#files, step, this.#root, prefix, TEMP_DIRECTORY);
  }

  async delete(keys: readonly string[], options: CallOptions = {}): Promise<void> {
    for (const key of keys) this.#checkKey(key);
    const directories = new Set<string>();
    const rest = keys.values();
    const worker = async (): Promise<void> => {
      for (const key of rest) {
        await this.#run('delete', key, options.signal, async () => {
          await this.#locks.hold(key, async () => {
            await this.#unlink(key, directories);
          });
        });
      }
    };
    const workers = Array.from({ length: DELETE_CONCURRENCY }, worker);
    const failed = (await Promise.allSettled(workers)).find((each) => each.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
    // Deletes are made durable by the next put's sync or by the kernel: after a crash a deleted
    // object may be back, which a second delete repairs; nothing relies on it being gone.
    for (const directory of directories) await this.#prune(directory);
  }

  async close(): Promise<void> {
    this.#swaps.close();
  }

  #checkKey(key: string): void {
    checkKey(key);
    if (key === TEMP_DIRECTORY || key.startsWith(`${TEMP_DIRECTORY}/`)) {
      throw new TypeError(`bad object key '${key}': ${TEMP_DIRECTORY} is the store's own`);
    }
  }

  #path(key: string): string {
    return join(this.#root, ...key.split('/'));
  }

  async #openObject(key: string): Promise<OpenFile> {
    try {
      await this.#refuseSymlinks(key);
      return await this.#files.open(this.#path(key), READ_FLAGS);
    } catch (error) {
      if (isMissing(error)) await this.#requireRoot();
      throw error;
    }
  }

  /** A symbolic link in the vault must not lead out of it: no directory of a key may be one. */
  async #refuseSymlinks(key: string): Promise<void> {
    const directory = dirname(this.#path(key));
    if (directory === this.#root) return;
    if ((await this.#files.realpath(directory)) !== directory) {
      throw this.#error('ACCESS_DENIED', key, 'a directory of the key is a symbolic link');
    }
  }

  /** Whether the directory part of `prefix` exists; throws when it is a symbolic link. */
  async #isPlainDirectory(prefix: string): Promise<boolean> {
    try {
      await this.#refuseSymlinks(`${prefix}x`);
      return true;
    } catch (error) {
      if (!isMissing(error)) throw error;
      await this.#requireRoot();
      return false;
    }
  }

  /** A missing file means a missing object only while the root is there. */
  async #requireRoot(): Promise<void> {
    await expectRoot(this.#files, this.#root, this.#resource);
  }

  async #read(
    handle: OpenFile,
    key: string,
    target: Uint8Array,
    offset: number,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    for (let done = 0; done < target.byteLength;) {
      throwIfAborted(key, signal);
      const left = target.byteLength - done;
      const { bytesRead } = await handle.read(target, done, left, offset + done);
      if (bytesRead === 0) throw this.#error('TRUNCATED', key, 'get: the file became shorter');
      done += bytesRead;
    }
  }

  async #putFile(
    key: string,
    size: number,
    write: WriteBody,
    options: PutOptions,
  ): Promise<{ etag: string }> {
    const temp = this.#temps.newPath();
    try {
      const etag = await this.#temps.write(temp, key, size, write);
      throwIfAborted(key, options.signal);
      await this.#locks.hold(key, async () => {
        if (options.ifMatch === undefined) await this.#publish(temp, key, options);
        else await this.#swap(temp, key, options);
      });
      await this.#makeDurable(key, options);
      return { etag };
    } finally {
      await this.#temps.remove(temp);
    }
  }

  /** Nobody else on this machine compares and sets between our comparing and setting. */
  async #swap(temp: string, key: string, options: PutOptions): Promise<void> {
    try {
      await this.#swaps.hold(async () => {
        await this.#publish(temp, key, options);
      });
    } catch (error) {
      if (error instanceof LockTimeout) {
        throw this.#error('UNAVAILABLE', key, 'put: another process holds the lock');
      }
      const { code } = error as { code?: unknown };
      if (typeof code !== 'string' || !code.startsWith('SQLITE_')) throw error;
      throw this.#error('DISK', key, `put: cannot lock the directory (${code})`);
    }
  }

  async #makeDurable(key: string, options: PutOptions): Promise<void> {
    try {
      await this.#sync.upToRoot(dirname(this.#path(key)));
    } catch (error) {
      const failure = fileError(this.url, 'put', key, error);
      if (options.ifMatch === undefined && options.ifNoneMatch === undefined) throw failure;
      // The object is visible, but may be gone after a crash.
      const what = `${this.url}: put: cannot make it durable: '${key}'`;
      throw new ObjectStoreError('UNKNOWN_OUTCOME', key, what, failure);
    }
  }

  /** Gives the temporary file its name, under the condition asked for. */
  async #publish(temp: string, key: string, options: PutOptions): Promise<void> {
    const path = this.#path(key);
    for (let race = 0; ; race += 1) {
      await this.#files.mkdir(dirname(path));
      try {
        await this.#refuseSymlinks(key);
        if (options.ifMatch !== undefined) await this.#requireEtag(key, options.ifMatch);
        // link(2) fails when the name exists, so creation is atomic among all processes.
        if (options.ifNoneMatch === undefined) await this.#files.rename(temp, path);
        else await this.#files.link(temp, path);
        return;
      } catch (error) {
        const errno = errnoOf(error);
        if (errno === 'EEXIST' && options.ifNoneMatch !== undefined) {
          throw this.#error('PRECONDITION', key, 'put: the object exists already');
        }
        // A delete pruned the directory after mkdir.
        if (errno !== 'ENOENT' || race >= PRUNE_RACES_MAX) throw error;
      }
    }
  }

  async #requireEtag(key: string, etag: string): Promise<void> {
    let current: string | undefined;
    try {
      current = fileMeta(key, await this.#files.lstat(this.#path(key)))?.etag;
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error;
    }
    if (current !== etag) {
      throw this.#error('PRECONDITION', key, 'put: the object is another version');
    }
  }

  async #unlink(key: string, directories: Set<string>): Promise<void> {
    const path = this.#path(key);
    try {
      await this.#refuseSymlinks(key);
      await this.#files.unlink(path);
      directories.add(dirname(path));
    } catch (error) {
      if (isMissing(error)) {
        await this.#requireRoot();
        return;
      }
      const errno = errnoOf(error);
      // The key names a directory, so there is no such object. Linux says EISDIR, others EPERM.
      if (errno === 'EISDIR' || errno === 'EPERM') {
        if ((await this.#files.lstat(path)).isDirectory()) return;
      }
      throw error;
    }
  }

  /** Removes `directory` and its parents while they are empty; rmdir refuses the others. */
  async #prune(directory: string): Promise<void> {
    for (let at = directory; at !== this.#root; at = dirname(at)) {
      try {
        await this.#files.rmdir(at);
      } catch {
        // Not empty, gone already, or not ours to remove: an empty directory left over is harmless.
        return;
      }
    }
  }

  async #run<T>(
    operation: string,
    key: string,
    signal: AbortSignal | undefined,
    call: () => Promise<T>,
  ): Promise<T> {
    return await withRetries(this.#deps, key, signal, async () => {
      try {
        return await call();
      } catch (error) {
        throw fileError(this.url, operation, key, error);
      }
    });
  }

  #error(kind: ObjectStoreError['kind'], key: string, what: string): ObjectStoreError {
    return new ObjectStoreError(kind, key, `${this.url}: ${what}: '${key}'`);
  }
}

function isMissing(error: unknown): boolean {
  const errno = errnoOf(error);
  return errno === 'ENOENT' || errno === 'ENOTDIR';
}

/** Throws BUCKET_MISSING. */
async function expectRoot(
  files: FileCalls,
  root: string,
  resource: string | undefined,
): Promise<void> {
  try {
    await files.lstat(root);
  } catch (error) {
    const url = pathToFileURL(root).href;
    if (errnoOf(error) !== 'ENOENT') throw fileError(url, 'open', '', error);
    const of = resource === undefined ? '' : ` of resource ${resource}`;
    const what = `${url}: the directory${of} is missing; is it mounted?`;
    throw new ObjectStoreError('BUCKET_MISSING', '', what, error);
  }
}
