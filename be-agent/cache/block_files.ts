/** Files of cached blocks: the I/O port and the few operations that the cache needs. */
import fs from 'node:fs';
import { dirname } from 'node:path';
import { promisify } from 'node:util';

/**
 * What is asked of the disk, one system call each, so that a test can fail the n-th of them.
 * Numbers are file descriptors. Errors are those of `node:fs` (`code`: ENOSPC, EIO, ...).
 */
export interface BlockIo {
  /** 'rw': made when it is missing, and not emptied. */
  open(path: string, flags: 'r' | 'w' | 'rw'): Promise<number>;
  /** At `position`, or where the last one ended. */
  writev(fd: number, parts: readonly Uint8Array[], position?: number): Promise<number>;
  /** Reads at `position` until `into` is full or the file ends; bytes read. */
  read(fd: number, into: Uint8Array, position: number): Promise<number>;
  truncate(fd: number, bytes: number): Promise<void>;
  close(fd: number): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  unlink(path: string): Promise<void>;
  /** With parents. */
  mkdir(path: string): Promise<void>;
  /** Names in a directory; empty when there is none. */
  readdir(path: string): Promise<readonly string[]>;
  /** Size of a file in bytes; undefined when it is not a regular file. Synchronous: see rebuild. */
  size(path: string): number | undefined;
}

// promisify(fs.writev) resolves to an object with both results; ours wants the count.
const openFile = promisify(fs.open);
const closeFile = promisify(fs.close);
const READ_WRITE = fs.constants.O_RDWR | fs.constants.O_CREAT;

export const systemBlockIo: BlockIo = {
  open: (path, flags) => openFile(path, flags === 'rw' ? READ_WRITE : flags),
  writev: (fd, parts, position) =>
    new Promise((resolve, reject) => {
      fs.writev(fd, parts, position ?? null, (error, written) => {
        if (error === null) resolve(written);
        else reject(error);
      });
    }),
  read: (fd, into, position) =>
    new Promise((resolve, reject) => {
      fs.read(fd, into, 0, into.length, position, (error, count) => {
        if (error === null) resolve(count);
        else reject(error);
      });
    }),
  truncate: promisify(fs.ftruncate),
  close: (fd) => closeFile(fd),
  rename: promisify(fs.rename),
  unlink: promisify(fs.unlink),
  mkdir: async (path) => {
    await fs.promises.mkdir(path, { recursive: true });
  },
  // Synchronous inside: only a start asks, in small steps, and promises cost it twice the CPU.
  readdir: (path) => {
    try {
      return Promise.resolve(fs.readdirSync(path));
    } catch (error) {
      if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') {
        return Promise.resolve([]);
      }
      return Promise.reject(error);
    }
  },
  size: (path) => {
    const stat = fs.lstatSync(path, { throwIfNoEntry: false });
    return stat?.isFile() === true ? stat.size : undefined;
  },
};

/** `code` of a system error, else its text: what a message says of it. */
export function errorCode(error: unknown): string {
  if (typeof error === 'object' && error !== null && 'code' in error) return String(error.code);
  return String(error);
}

/** A directory may be removed between its creation and the file's: then it is made again. */
const CREATE_ATTEMPTS = 4;

export async function createBlockFile(
  io: BlockIo,
  path: string,
  parts: readonly Uint8Array[],
): Promise<void> {
  const fd = await createIn(io, path);
  let failure: unknown;
  try {
    await writeAll(io, fd, parts);
  } catch (error) {
    failure = error;
  }
  try {
    await io.close(fd);
  } catch (error) {
    // A delayed write error: the file cannot be trusted.
    failure ??= error;
  }
  if (failure !== undefined) throw failure;
}

async function createIn(io: BlockIo, path: string): Promise<number> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await io.open(path, 'w');
    } catch (error) {
      if (errorCode(error) !== 'ENOENT' || attempt === CREATE_ATTEMPTS) throw error;
      await io.mkdir(dirname(path));
    }
  }
}

/** writev may write less than asked (a nearly full disk, a signal): goes on with the rest. */
export async function writeAll(
  io: BlockIo,
  fd: number,
  parts: readonly Uint8Array[],
  position?: number,
): Promise<void> {
  let rest = parts;
  let at = position;
  while (rest.length > 0) {
    let written = await io.writev(fd, rest, at);
    if (written === 0) throw new Error('wrote nothing');
    if (at !== undefined) at += written;
    const left: Uint8Array[] = [];
    for (const part of rest) {
      if (written < part.length) left.push(part.subarray(written));
      written = Math.max(0, written - part.length);
    }
    rest = left;
  }
}

/** Reads a whole file of exactly `size` bytes; undefined when it is shorter. */
export async function readBlockFile(
  io: BlockIo,
  path: string,
  size: number,
): Promise<Uint8Array | undefined> {
  // Not from Buffer's shared pool: the result may be kept in the window of recent blocks.
  const into = Buffer.allocUnsafeSlow(size);
  const fd = await io.open(path, 'r');
  try {
    return (await readFully(io, fd, into, 0)) ? into : undefined;
  } finally {
    await io.close(fd);
  }
}

/** Fills `into` from `position` on; false: the file ends before. */
export async function readFully(
  io: BlockIo,
  fd: number,
  into: Uint8Array,
  position: number,
): Promise<boolean> {
  let filled = 0;
  while (filled < into.length) {
    const count = await io.read(fd, into.subarray(filled), position + filled);
    if (count === 0) return false;
    filled += count;
  }
  return true;
}

/** The last `bytes` of a file of `size` bytes; undefined when it is shorter meanwhile. */
export async function readFileEnd(
  io: BlockIo,
  path: string,
  size: number,
  bytes: number,
): Promise<Uint8Array | undefined> {
  const into = Buffer.allocUnsafeSlow(Math.min(bytes, size));
  const fd = await io.open(path, 'r');
  try {
    const count = await io.read(fd, into, size - into.length);
    return count === into.length ? into : undefined;
  } finally {
    await io.close(fd);
  }
}

/** Missing is as good as removed. */
export async function removeBlockFile(io: BlockIo, path: string): Promise<void> {
  try {
    await io.unlink(path);
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error;
  }
}
