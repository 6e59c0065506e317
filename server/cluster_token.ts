/**
 * The secret that the server and its backends share: `cluster.token` in the server's data
 * directory, made at the first start. It opens the inner routes (`/api/_backend`, `/api/_replica`)
 * and nothing else; it is not `http_bearer_token`, which people and scrapers have.
 */
import { closeSync, fsyncSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { Random } from '../base/ports.ts';

const TOKEN_BYTES = 32;
const FILE_MODE = 0o600;

/** Reads `<dir>/cluster.token`, or makes it. Throws an Error that says what is wrong with it. */
export function ensureClusterToken(dir: string, random: Random): string {
  const file = join(dir, 'cluster.token');
  try {
    return readClusterToken(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  const token = Buffer.from(random.bytes(TOKEN_BYTES)).toString('hex');
  const handle = openSync(file, 'wx', FILE_MODE);
  try {
    writeSync(handle, `${token}\n`);
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
  return token;
}

/** Throws the system's error, or an Error when the file holds something else. */
export function readClusterToken(file: string): string {
  const token = readFileSync(file, 'utf8').trim();
  if (/^[\da-f]{64}$/.test(token)) return token;
  throw new Error(`${file} is not a cluster token: ${TOKEN_BYTES} bytes as hex digits expected`);
}
