/**
 * What FileStore asks of the file system. The real thing is node:fs/promises; tests hand in one
 * that fails the n-th call.
 */
import {
  link,
  lstat,
  mkdir,
  open,
  opendir,
  readdir,
  realpath,
  rename,
  rmdir,
  unlink,
  stat,
} from 'node:fs/promises';
import { dirname } from 'node:path';
import type { BigIntStats, Dirent } from 'node:fs';
import { errnoOf } from './file_errors.ts';

export interface OpenFile {
  readonly read: (
    into: Uint8Array,
    offset: number,
    length: number,
    position: number,
  ) => Promise<{ readonly bytesRead: number }>;
  readonly writeFile: (body: Uint8Array) => Promise<void>;
  readonly utimes: (atimeSeconds: number, mtimeSeconds: number) => Promise<void>;
  readonly stat: () => Promise<BigIntStats>;
  readonly sync: () => Promise<void>;
  readonly close: () => Promise<void>;
}

export interface FileCalls {
  readonly open: (path: string, flags: string | number) => Promise<OpenFile>;
  readonly lstat: (path: string) => Promise<BigIntStats>;
  /** Makes missing parents too; the first directory made, or undefined when all were there. */
  readonly mkdir: (path: string) => Promise<string | undefined>;
  readonly rename: (from: string, to: string) => Promise<void>;
  readonly link: (from: string, to: string) => Promise<void>;
  readonly unlink: (path: string) => Promise<void>;
  readonly rmdir: (path: string) => Promise<void>;
  /** Entries one by one, in no order. */
  readonly opendir: (path: string) => Promise<AsyncIterable<Dirent>>;
  readonly readdir: (path: string) => Promise<string[]>;
  readonly realpath: (path: string) => Promise<string>;
}

/** How often a directory is made again whose parent another caller removes at the same time. */
const PARENT_RACES_MAX = 100;

/**
 * Not node's `recursive`: where the parent exists and making a directory in it is ENOENT all the
 * same (/proc), node tries again for ever and holds a whole core meanwhile (seen with 24.21).
 */
async function makeDirectories(path: string): Promise<string | undefined> {
  let made: string | undefined;
  for (let race = 0; ; race += 1) {
    try {
      await mkdir(path);
      return made ?? path;
    } catch (error) {
      const errno = errnoOf(error);
      if (errno === 'EEXIST' && (await stat(path)).isDirectory()) return made;
      if (errno !== 'ENOENT' || race >= PARENT_RACES_MAX || dirname(path) === path) throw error;
      made = (await makeDirectories(dirname(path))) ?? made;
    }
  }
}

export const systemFiles: FileCalls = {
  open: async (path, flags) => {
    const handle = await open(path, flags, 0o644);
    return {
      read: async (into, offset, length, position) =>
        await handle.read(into, offset, length, position),
      writeFile: async (body) => {
        await handle.writeFile(body);
      },
      utimes: async (atime, mtime) => {
        await handle.utimes(atime, mtime);
      },
      stat: async () => await handle.stat({ bigint: true }),
      sync: async () => {
        await handle.sync();
      },
      close: async () => {
        await handle.close();
      },
    };
  },
  lstat: async (path) => await lstat(path, { bigint: true }),
  mkdir: makeDirectories,
  rename,
  link,
  unlink,
  rmdir: async (path) => {
    await rmdir(path);
  },
  opendir: async (path) => await opendir(path),
  readdir: async (path) => await readdir(path),
  realpath: async (path) => await realpath(path),
};
