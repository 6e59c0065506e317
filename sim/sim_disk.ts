/**
 * The disk of one backend, in memory, behind the block cache's own I/O port. It outlives its
 * agent: what was written stays, a write that was under way when the agent died is torn.
 */
import { dirname } from 'node:path';
import type { BlockIo } from '../be-agent/cache/block_files.ts';
import type { SeededRandom } from './seeded_random.ts';
import type { SimProcess } from './virtual_time.ts';

export interface DiskFaults {
  /** Probability that a write fails with EIO. */
  writeError: number;
  /** Mean of a write, milliseconds. */
  writeMs: number;
}

interface File {
  bytes: Uint8Array;
}

interface OpenFile {
  readonly file: File;
  at: number;
}

export class SimDisk {
  readonly faults: DiskFaults;
  readonly #files: Map<string, File>;
  readonly #directories: Set<string>;

  constructor(
    faults: DiskFaults,
    files = new Map<string, File>(),
    directories = new Set<string>(),
  ) {
    this.faults = faults;
    this.#files = files;
    this.#directories = directories;
  }

  /** What a start would find if the agent were killed now, and no fault came after that. */
  image(): SimDisk {
    const files = new Map<string, File>();
    for (const [path, { bytes }] of this.#files) files.set(path, { bytes });
    const faults = { writeError: 0, writeMs: 0 };
    return new SimDisk(faults, files, new Set(this.#directories));
  }

  /** The disk was replaced by an empty one. */
  wipe(): void {
    this.#files.clear();
    this.#directories.clear();
  }

  /** The port of one life. Without a process everything is done at once. */
  io(random: SeededRandom, process?: SimProcess): BlockIo {
    const open = new Map<number, OpenFile>();
    const flying = new Set<() => void>();
    let lastFd = 2;
    process?.onDeath(() => {
      for (const tear of flying) tear();
    });
    const opened = (fd: number): OpenFile => {
      const found = open.get(fd);
      if (found === undefined) throw systemError('EBADF', `fd ${fd}`);
      return found;
    };
    const settled = async <T>(work: () => T): Promise<T> => {
      if (process?.isDead === true) return await new Promise<never>(() => undefined);
      return work();
    };
    return {
      open: (path, flags) =>
        settled(() => {
          lastFd += 1;
          open.set(lastFd, { file: this.#open(path, flags), at: 0 });
          return lastFd;
        }),
      writev: (fd, parts, position) => {
        const target = opened(fd);
        const bytes = joined(parts);
        const at = position ?? target.at;
        if (position === undefined) target.at += bytes.length;
        return this.#write({ file: target.file, at }, bytes, random, process, flying);
      },
      truncate: (fd, length) =>
        settled(() => {
          const { file } = opened(fd);
          const bytes = new Uint8Array(length);
          bytes.set(file.bytes.subarray(0, length));
          file.bytes = bytes;
        }),
      read: (fd, into, position) =>
        settled(() => {
          const { bytes } = opened(fd).file;
          const part = bytes.subarray(position, position + into.length);
          into.set(part);
          return part.length;
        }),
      close: (fd) =>
        settled(() => {
          opened(fd);
          open.delete(fd);
        }),
      rename: (from, to) =>
        settled(() => {
          this.#files.set(to, this.#existing(from));
          this.#files.delete(from);
        }),
      unlink: (path) =>
        settled(() => {
          this.#existing(path);
          this.#files.delete(path);
        }),
      mkdir: (path) =>
        settled(() => {
          for (let dir = path; dir !== dirname(dir); dir = dirname(dir)) this.#directories.add(dir);
        }),
      readdir: (path) => settled(() => this.#list(path)),
      size: (path) => this.#files.get(path)?.bytes.length,
    };
  }

  async #write(
    { file, at }: Readonly<OpenFile>,
    bytes: Uint8Array,
    random: SeededRandom,
    process: SimProcess | undefined,
    flying: Set<() => void>,
  ): Promise<number> {
    if (process === undefined) {
      put(file, at, bytes);
      return bytes.length;
    }
    if (process.isDead) return await new Promise<never>(() => undefined);
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    const tear = (): void => {
      put(file, at, bytes.subarray(0, random.int(bytes.length + 1)));
    };
    flying.add(tear);
    process.schedule(random.around(this.faults.writeMs), 'disk write', () => {
      flying.delete(tear);
      if (random.chance(this.faults.writeError)) {
        tear();
        reject(systemError('EIO', 'write'));
        return;
      }
      put(file, at, bytes);
      resolve(bytes.length);
    });
    return await promise;
  }

  #open(path: string, flags: 'r' | 'w' | 'rw'): File {
    const known = this.#files.get(path);
    if (flags === 'rw' && known !== undefined) return known;
    if (flags === 'r') return this.#existing(path);
    if (!this.#directories.has(dirname(path))) throw systemError('ENOENT', path);
    const file: File = { bytes: new Uint8Array(0) };
    this.#files.set(path, file);
    return file;
  }

  #existing(path: string): File {
    const file = this.#files.get(path);
    if (file === undefined) throw systemError('ENOENT', path);
    return file;
  }

  #list(path: string): string[] {
    const prefix = `${path}/`;
    const names = new Set<string>();
    for (const known of [...this.#files.keys(), ...this.#directories]) {
      if (!known.startsWith(prefix)) continue;
      const [name] = known.slice(prefix.length).split('/', 1);
      if (name !== undefined && name !== '') names.add(name);
    }
    return [...names].sort();
  }
}

/** Files are replaced, never changed in place: an image may share their bytes. */
function put(file: File, at: number, bytes: Uint8Array): void {
  const grown = new Uint8Array(Math.max(file.bytes.length, at + bytes.length));
  grown.set(file.bytes);
  grown.set(bytes, at);
  file.bytes = grown;
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function systemError(code: string, what: string): Error {
  return Object.assign(new Error(`${code}: ${what}`), { code });
}
