/** Password hashes as MySQL stores them, and the checks of both authentication plugins. */
import { hash, timingSafeEqual } from 'node:crypto';
import { sha256Crypt } from './sha256_crypt.ts';

/** Salt of a caching_sha2_password hash, bytes. */
export const SALT_BYTES = 20;
/** MySQL's limit for caching_sha2_password, bytes; the hash's cost grows with the length. */
export const PASSWORD_BYTES_MAX = 256;
const ROUNDS = 5000;
const DIGEST_CHARS = 43;

function sha1(bytes: Uint8Array): Buffer {
  return hash('sha1', bytes, 'buffer');
}

function sha256(bytes: Uint8Array): Buffer {
  return hash('sha256', bytes, 'buffer');
}

function xor(left: Uint8Array, right: Uint8Array): Buffer {
  return Buffer.from(left.map((byte, index) => byte ^ (right[index] ?? 0)));
}

function equal(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && timingSafeEqual(left, right);
}

/** `*` and SHA1(SHA1(password)) in upper-case hex; empty for the empty password. */
export function makeNative(password: string): string {
  if (password === '') return '';
  return `*${sha1(sha1(Buffer.from(password)))
    .toString('hex')
    .toUpperCase()}`;
}

/**
 * `$A$005$` + salt + 43 characters; empty for the empty password. `salt`: SALT_BYTES random bytes,
 * made 7-bit without NUL and `$` as MySQL does. Throws RangeError when the password is longer than
 * PASSWORD_BYTES_MAX bytes.
 */
export async function makeCachingSha2(password: string, salt: Uint8Array): Promise<string> {
  if (password === '') return '';
  const bytes = Buffer.from(password);
  if (bytes.length > PASSWORD_BYTES_MAX) throw new RangeError('the password is too long');
  if (salt.length !== SALT_BYTES) throw new RangeError(`the salt must have ${SALT_BYTES} bytes`);
  const tame = tameBytes(salt);
  return `$A$005$${tame.toString('latin1')}${await sha256Crypt(bytes, tame, ROUNDS)}`;
}

/** Random bytes as clients can take them: 7-bit, no NUL and no `$` (Connector/J stumbles on it). */
export function tameBytes(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.map((byte) => TAME[byte & 0x7f] ?? 1));
}
const TAME = Array.from({ length: 128 }, (_, byte) =>
  byte === 0 || byte === 0x24 ? byte + 1 : byte,
);

interface CachingSha2Parts {
  readonly rounds: number;
  readonly salt: Buffer;
  readonly digest: string;
}

function parseCachingSha2(authString: string): CachingSha2Parts | undefined {
  const match = /^\$A\$([0-9A-Fa-f]{3})\$/.exec(authString);
  const rounds = Number.parseInt(match?.[1] ?? '', 16) * 1000;
  const body = authString.slice(7);
  if (match === null || rounds === 0 || body.length !== SALT_BYTES + DIGEST_CHARS) return undefined;
  const salt = Buffer.from(body.slice(0, SALT_BYTES), 'latin1');
  return { rounds, salt, digest: body.slice(SALT_BYTES) };
}

/** Whether the text is one the plugin can check; empty (no password) is. */
export function isAuthString(plugin: string, authString: string): boolean {
  if (authString === '') return true;
  return plugin === 'mysql_native_password'
    ? /^\*[0-9A-F]{40}$/.test(authString)
    : parseCachingSha2(authString) !== undefined;
}

/** `verifyCachingSha2`, handed in where logins are checked. */
export type VerifySlowly = (authString: string, password: Buffer) => Promise<boolean>;

/**
 * Does the password hash to this `$A$...` text? A text of another form: no, after the same work.
 * `crypt`: the slow hash, for tests that count it.
 */
export async function verifyCachingSha2(
  authString: string,
  password: Buffer,
  crypt: typeof sha256Crypt = sha256Crypt,
): Promise<boolean> {
  const parts = parseCachingSha2(authString) ?? NOBODY;
  const tooLong = password.length > PASSWORD_BYTES_MAX;
  const digest = await crypt(tooLong ? Buffer.alloc(1) : password, parts.salt, parts.rounds);
  const same = equal(Buffer.from(digest), Buffer.from(parts.digest, 'latin1'));
  return same && !tooLong && parts !== NOBODY;
}
const NOBODY: CachingSha2Parts = {
  rounds: ROUNDS,
  salt: Buffer.alloc(SALT_BYTES, 0x2e),
  digest: '.'.repeat(DIGEST_CHARS),
};

/**
 * mysql_native_password: `response` is SHA1(pw) XOR SHA1(scramble + SHA1(SHA1(pw))). An empty
 * response means no password.
 */
export function verifyNative(authString: string, scramble: Buffer, response: Buffer): boolean {
  if (response.length === 0) return authString === '';
  const stored = Buffer.from(authString.slice(1), 'hex');
  if (response.length !== 20 || stored.length !== 20) return false;
  const stage1 = xor(response, sha1(Buffer.concat([scramble, stored])));
  return equal(sha1(stage1), stored);
}

/** What the fast path of caching_sha2_password remembers: SHA256(SHA256(password)). */
export function fastAuthDigest(password: Buffer): Buffer {
  return sha256(sha256(password));
}

/** The fast path: `response` is SHA256(pw) XOR SHA256(SHA256(SHA256(pw)) + scramble). */
export function verifyFastAuth(digest: Buffer, scramble: Buffer, response: Buffer): boolean {
  if (response.length !== 32) return false;
  const stage1 = xor(response, sha256(Buffer.concat([digest, scramble])));
  return equal(sha256(stage1), digest);
}
