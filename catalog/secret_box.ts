/** Encrypts credentials at rest: AES-256-GCM with a key file beside the catalog. */
import { createCipheriv, createDecipheriv } from 'node:crypto';
import { closeSync, fsyncSync, openSync, readFileSync, writeSync } from 'node:fs';
import { SqlError } from '../base/errors.ts';
import type { Random } from '../base/ports.ts';

const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const CIPHER = 'aes-256-gcm';
/** Names the form, so that another one can follow it. */
const FORM = 'v1:';

export class SecretBox {
  readonly #key: Buffer;
  readonly #random: Random;
  readonly #file: string;

  private constructor(key: Buffer, random: Random, file: string) {
    this.#key = key;
    this.#random = random;
    this.#file = file;
  }

  /** Reads the key file, or makes it (0600). Throws CATALOG_KEY when it is not a key. */
  static open(file: string, random: Random): SecretBox {
    const key = readKey(file) ?? createKey(file, random);
    if (key.length !== KEY_BYTES) {
      throw new SqlError('CATALOG_KEY', { file, what: `it is not ${KEY_BYTES} bytes of hex` });
    }
    return new SecretBox(key, random, file);
  }

  /** `context` says what the text belongs to: a box of one row cannot be opened as another's. */
  seal(text: string, context: string): string {
    const nonce = this.#random.bytes(NONCE_BYTES);
    const cipher = createCipheriv(CIPHER, this.#key, nonce);
    cipher.setAAD(Buffer.from(context, 'utf8'));
    const sealed = [cipher.update(text, 'utf8'), cipher.final()];
    return FORM + Buffer.concat([nonce, cipher.getAuthTag(), ...sealed]).toString('base64');
  }

  /** Throws CATALOG_KEY when the key is another one or the text was tampered with. */
  open(sealed: string, context: string): string {
    try {
      if (!sealed.startsWith(FORM)) throw new Error('unknown form');
      const bytes = Buffer.from(sealed.slice(FORM.length), 'base64');
      const decipher = createDecipheriv(CIPHER, this.#key, bytes.subarray(0, NONCE_BYTES), {
        authTagLength: TAG_BYTES,
      });
      decipher.setAAD(Buffer.from(context, 'utf8'));
      decipher.setAuthTag(bytes.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES));
      const body = bytes.subarray(NONCE_BYTES + TAG_BYTES);
      return Buffer.concat([decipher.update(body), decipher.final()]).toString('utf8');
    } catch (cause) {
      const what = 'they were encrypted with another key, or were changed';
      throw new SqlError('CATALOG_KEY', { file: this.#file, what }, { cause });
    }
  }
}

function readKey(file: string): Buffer | undefined {
  try {
    return Buffer.from(readFileSync(file, 'utf8').trim(), 'hex');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** The directory's lock is held, so that nobody else makes one at the same time. */
function createKey(file: string, random: Random): Buffer {
  const key = Buffer.from(random.bytes(KEY_BYTES));
  const handle = openSync(file, 'wx', 0o600);
  try {
    writeSync(handle, `${key.toString('hex')}\n`);
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
  return key;
}
