/** Lists a directory tree in key order, holding one directory's names per level. */
import { join } from 'node:path';
import type { BigIntStats } from 'node:fs';
import type { ObjectMeta } from '../../base/ports.ts';
import type { FileCalls } from './file_calls.ts';
import { errnoOf } from './file_errors.ts';
import { LIST_PAGE_KEYS, compareKeys } from './object_key.ts';

/** Files looked at (lstat) at once; more only queues in the thread pool. */
const STAT_CONCURRENCY = 16;

/** undefined when the path is no plain file (a directory, a symbolic link). */
export function fileMeta(key: string, stats: BigIntStats): ObjectMeta | undefined {
  if (!stats.isFile()) return undefined;
  const etag = [stats.ino, stats.size, stats.mtimeNs].map((part) => part.toString(36)).join('-');
  return { key, size: Number(stats.size), etag, modifiedMs: Number(stats.mtimeMs) };
}

/** Runs one step of a listing, with retries and with errors turned into ObjectStoreErrors. */
export type ListStep = <T>(step: () => Promise<T>) => Promise<T>;

/** Pages of at most 1000 files below `root` whose keys start with `prefix`, without `hidden`. */
export async function* listFiles(
  files: FileCalls,
  step: ListStep,
  root: string,
  prefix: string,
  hidden: string,
): AsyncGenerator<readonly ObjectMeta[], undefined> {
  const namesIn = async (directory: string): Promise<string[]> =>
    await step(async () => await namesOf(files, root, directory));
  const slash = prefix.lastIndexOf('/') + 1;
  let keys: string[] = [];
  for await (const key of walk(namesIn, prefix.slice(0, slash), prefix, hidden)) {
    keys.push(key);
    if (keys.length < LIST_PAGE_KEYS) continue;
    const full = keys;
    keys = [];
    const page = await step(async () => await statAll(files, root, full));
    if (page.length > 0) yield page;
  }
  const page = await step(async () => await statAll(files, root, keys));
  if (page.length > 0) yield page;
  return undefined;
}

/** `directory`: '' or a key part ending in `/`. */
async function* walk(
  namesIn: (directory: string) => Promise<string[]>,
  directory: string,
  prefix: string,
  hidden: string,
): AsyncGenerator<string, undefined> {
  for (const name of await namesIn(directory)) {
    const key = directory + name;
    if (key === `${hidden}/`) continue;
    if (key.endsWith('/')) {
      // Either the whole directory has the prefix, or the prefix leads into it.
      if (key.startsWith(prefix) || prefix.startsWith(key)) {
        yield* walk(namesIn, key, prefix, hidden);
      }
    } else if (key.startsWith(prefix)) {
      yield key;
    }
  }
  return undefined;
}

/** Names in key order; a directory's ends in `/`, which is how its keys compare to its siblings. */
async function namesOf(files: FileCalls, root: string, directory: string): Promise<string[]> {
  const names: string[] = [];
  try {
    for await (const entry of await files.opendir(join(root, ...directory.split('/')))) {
      if (entry.isDirectory()) names.push(`${entry.name}/`);
      else if (entry.isFile()) names.push(entry.name);
    }
  } catch (error) {
    const errno = errnoOf(error);
    // Pruned meanwhile; a root that is not there is an error.
    if ((errno !== 'ENOENT' && errno !== 'ENOTDIR') || directory === '') throw error;
  }
  return names.sort(compareKeys);
}

/** Without those that were deleted meanwhile. */
async function statAll(
  files: FileCalls,
  root: string,
  keys: readonly string[],
): Promise<ObjectMeta[]> {
  const metas: ObjectMeta[] = [];
  for (let at = 0; at < keys.length; at += STAT_CONCURRENCY) {
    const some = keys.slice(at, at + STAT_CONCURRENCY).map(async (key) => {
      try {
        return fileMeta(key, await files.lstat(join(root, ...key.split('/'))));
      } catch (error) {
        if (errnoOf(error) === 'ENOENT') return undefined;
        throw error;
      }
    });
    for (const meta of await Promise.all(some)) if (meta !== undefined) metas.push(meta);
  }
  return metas;
}
