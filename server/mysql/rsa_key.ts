/** The key pair for passwords of caching_sha2_password over an open connection. */
import { constants, generateKeyPair, privateDecrypt } from 'node:crypto';
import { promisify } from 'node:util';

const MODULUS_BITS = 2048;
const generate = promisify(generateKeyPair);

interface KeyPair {
  readonly publicKey: string;
  readonly privateKey: string;
}

/**
 * The key pair that protects a password of a full caching_sha2_password login without TLS. Made
 * by the first login that needs it, off the main thread: a start would pay some 100 ms for it.
 */
export class RsaKey {
  #pair: Promise<KeyPair> | undefined;

  async publicPem(): Promise<string> {
    return (await this.#get()).publicKey;
  }

  /**
   * The password a client encrypted: OAEP over (password + NUL) XOR the scramble repeated.
   * undefined when it is not that.
   */
  async decryptPassword(encrypted: Buffer, scramble: Buffer): Promise<Buffer | undefined> {
    if (encrypted.length !== MODULUS_BITS / 8) return undefined;
    const { privateKey } = await this.#get();
    try {
      const padding = constants.RSA_PKCS1_OAEP_PADDING;
      const masked = privateDecrypt({ key: privateKey, padding }, encrypted);
      const clear = masked.map((byte, index) => byte ^ (scramble[index % scramble.length] ?? 0));
      return clear.at(-1) === 0 ? Buffer.from(clear.subarray(0, -1)) : undefined;
    } catch {
      return undefined; // not encrypted for this key: a wrong password like any other
    }
  }

  #get(): Promise<KeyPair> {
    this.#pair ??= generate('rsa', {
      modulusLength: MODULUS_BITS,
      publicKeyEncoding: { type: 'spki', format: 'pem' },
      privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    });
    return this.#pair;
  }
}
