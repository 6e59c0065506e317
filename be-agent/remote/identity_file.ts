/** `backend.json` in a backend's data directory: which backend of which cluster it is. */
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type { BackendId } from '../../base/ids.ts';

const FILE = 'backend.json';
const DIRECTORY_MODE = 0o700;

export interface Identity {
  readonly clusterId: string;
  readonly backendId: BackendId;
  /** Rises with each start of a process on the directory. */
  readonly generation: number;
}

/** undefined: the directory is new. Throws an Error when the file is damaged. */
export function readIdentity(dir: string): Identity | undefined {
  const file = join(dir, FILE);
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  const { clusterId, backendId, generation } = parse(text, file) as Partial<Identity>;
  if (typeof clusterId === 'string' && isCount(backendId) && isCount(generation)) {
    return { clusterId, backendId, generation };
  }
  throw new Error(`${file} does not say which backend this is`);
}

/** Durable when it returns. */
export function writeIdentity(dir: string, identity: Identity): void {
  mkdirSync(dir, { recursive: true, mode: DIRECTORY_MODE });
  const file = join(dir, FILE);
  const text = `${JSON.stringify(identity)}\n`;
  writeFileSync(`${file}.tmp`, text, { flush: true });
  renameSync(`${file}.tmp`, file);
  syncDirectory(dir);
}

function parse(text: string, file: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : {};
  } catch (cause) {
    throw new Error(`${file} is damaged`, { cause });
  }
}

function isCount(value: unknown): value is number & BackendId {
  return Number.isSafeInteger(value) && (value as number) >= 1;
}

function syncDirectory(dir: string): void {
  // Windows cannot open a directory; NTFS journals its entries by itself.
  if (process.platform === 'win32') return;
  const handle = openSync(dir, 'r');
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}
