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
} from 'node:fs/promises';
import type { BigIntStats, Dirent } from 'node:fs';

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
  mkdir: async (path) => await mkdir(path, { recursive: true }),
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
