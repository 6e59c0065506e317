import { describe, expect, it } from '@jest/globals';
import {
  PASSWORD_BYTES_MAX,
  fastAuthDigest,
  isAuthString,
  makeCachingSha2,
  makeNative,
  tameBytes,
  verifyCachingSha2,
  verifyFastAuth,
  verifyNative,
} from '../../../server/mysql/passwords.ts';
import { sha256Crypt } from '../../../server/mysql/sha256_crypt.ts';
import { nativeResponse, sha2Response } from './raw_client.ts';

const SALT = Buffer.from('01234567890123456789');

describe('SHA-256-crypt', () => {
  // From the test program of Drepper's specification, and `openssl passwd -5`.
  it.each([
    ['Hello world!', 'saltstring', 5000, '5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5'],
    ['Hello world!', 'saltstringsaltst', 10_000, '3xv.VbSHBb41AL9AvLeujZkZRBAwqFMz2.opqey6IcA'],
  ])('%s with salt %s and %d rounds', async (password, salt, rounds, digest) => {
    const made = await sha256Crypt(Buffer.from(password), Buffer.from(salt), rounds);
    expect(made).toBe(digest);
  });
});

describe('stored passwords', () => {
  it('makes the hash of mysql_native_password', () => {
    expect(makeNative('hashcat')).toBe('*FCF7C1B8749CF99D88E5F34271D636178FB5D130');
    expect(makeNative('')).toBe('');
  });

  it("accepts a hash that a real MySQL made (hashcat's example of mode 7401)", async () => {
    const salt = Buffer.from('F9CC98CE08892924F50A213B6BC571A2C11778C5', 'hex');
    const hex =
      '625479393559393965414D45316477456B484F41316E64484742577A2E3162785353526B7554584647562F';
    const stored = `$A$005$${salt.toString('latin1')}${Buffer.from(hex, 'hex').toString('latin1')}`;
    expect(await verifyCachingSha2(stored, Buffer.from('hashcat'))).toBe(true);
    expect(await verifyCachingSha2(stored, Buffer.from('hashcaT'))).toBe(false);
  });

  it('makes what it accepts, in the format of MySQL', async () => {
    const stored = await makeCachingSha2('pässword', SALT);
    expect(stored).toMatch(/^\$A\$005\$.{63}$/);
    expect(stored.slice(7, 27)).toBe(SALT.toString());
    expect(isAuthString('caching_sha2_password', stored)).toBe(true);
    expect(await verifyCachingSha2(stored, Buffer.from('pässword'))).toBe(true);
    expect(await verifyCachingSha2(stored, Buffer.from('passw\u00f6rd'))).toBe(false);
  });

  it('accepts nothing for a text that is no hash, and refuses passwords over 256 bytes', async () => {
    expect(await verifyCachingSha2('-', Buffer.from('x'))).toBe(false);
    expect(await verifyCachingSha2('-', Buffer.alloc(1000))).toBe(false);
    expect(isAuthString('caching_sha2_password', '$A$005$short')).toBe(false);
    expect(isAuthString('mysql_native_password', '*12')).toBe(false);
    await expect(makeCachingSha2('x'.repeat(PASSWORD_BYTES_MAX + 1), SALT)).rejects.toThrow(
      'too long',
    );
  });

  it('makes salts 7-bit, without NUL and $', () => {
    const all = tameBytes(Uint8Array.from({ length: 256 }, (_, byte) => byte));
    expect([...all].every((byte) => byte > 0 && byte < 0x80 && byte !== 0x24)).toBe(true);
  });
});

describe('challenge and response', () => {
  it('mysql_native_password', () => {
    const stored = makeNative('secret');
    expect(verifyNative(stored, SALT, nativeResponse('secret', SALT))).toBe(true);
    expect(verifyNative(stored, SALT, nativeResponse('Secret', SALT))).toBe(false);
    expect(verifyNative(stored, SALT, Buffer.alloc(0))).toBe(false);
    expect(verifyNative(stored, SALT, Buffer.alloc(20))).toBe(false);
    expect(verifyNative('', SALT, Buffer.alloc(0))).toBe(true);
    expect(verifyNative('', SALT, nativeResponse('secret', SALT))).toBe(false);
    expect(verifyNative('*not hex', SALT, Buffer.alloc(20))).toBe(false);
  });

  it('the fast path of caching_sha2_password', () => {
    const digest = fastAuthDigest(Buffer.from('secret'));
    expect(verifyFastAuth(digest, SALT, sha2Response('secret', SALT))).toBe(true);
    expect(verifyFastAuth(digest, SALT, sha2Response('Secret', SALT))).toBe(false);
    expect(verifyFastAuth(digest, SALT, Buffer.alloc(31))).toBe(false);
  });
});
