/**
 * Which bucket of a partition a row belongs to: a hash of its distribution columns. Rows that were
 * loaded once are found by it for ever, so neither the bytes hashed nor the hash may ever change
 * (test/base/bucket.test.ts holds golden values).
 *
 * Hashed, per column: a tag byte (0 NULL, 1 value), then the canonical value's text as UTF-8, and
 * an end byte 0xff, which no UTF-8 text has. FNV-1a over 32 bits, then murmur3's finaliser,
 * because FNV's low bits alone spread short numbers badly over 2^n buckets.
 */
import type { SqlValue } from './values.ts';

const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;
const TAG_NULL = 0;
const TAG_VALUE = 1;
const END = 0xff;

/** `values`: canonical values of the distribution columns in their order. Result 0..buckets-1. */
export function bucketOf(values: readonly SqlValue[], buckets: number): number {
  let hash = FNV_OFFSET;
  for (const value of values) hash = hashValue(hash, value);
  hash ^= hash >>> 16;
  hash = Math.imul(hash, 0x85ebca6b);
  hash ^= hash >>> 13;
  hash = Math.imul(hash, 0xc2b2ae35);
  hash ^= hash >>> 16;
  return (hash >>> 0) % buckets;
}

function hashValue(seed: number, value: SqlValue): number {
  if (value === null) return step(step(seed, TAG_NULL), END);
  const text = String(value);
  let hash = step(seed, TAG_VALUE);
  for (let i = 0; i < text.length; i += 1) {
    const unit = text.charCodeAt(i);
    if (unit < 0x80) hash = step(hash, unit);
    else {
      // The rest as UTF-8 bytes; a text in one piece hashes as if encoded at once.
      for (const byte of Buffer.from(text.slice(i), 'utf8')) hash = step(hash, byte);
      break;
    }
  }
  return step(hash, END);
}

function step(hash: number, byte: number): number {
  return Math.imul(hash ^ byte, FNV_PRIME);
}
