/**
 * The rules for keys, prefixes and ranges that every object store shares (base/ports.ts), and the
 * order in which keys are listed.
 */
import type { GetOptions } from '../../base/ports.ts';

/** S3's limit for a key, bytes of UTF-8. */
const KEY_BYTES_MAX = 1024;
/** What file systems allow for one name, bytes of UTF-8. */
const KEY_PART_BYTES_MAX = 255;

/** Control characters, `\` (a separator on Windows) and the two characters XML cannot carry. */
const FORBIDDEN = /[\p{Cc}\\\uFFFE\uFFFF]/u;

/** Throws `TypeError` unless `key` is a key by the port's rules. */
export function checkKey(key: string): void {
  const problem = keyProblem(key, key.split('/'));
  if (problem !== undefined) throw new TypeError(`bad object key ${quoted(key)}: ${problem}`);
}

/** A prefix is the beginning of a key, or empty; it may end in the middle of a part. */
export function checkPrefix(prefix: string): void {
  if (prefix === '') return;
  const parts = prefix.split('/');
  // The last part is unfinished: `a/` and `a/.` begin good keys such as `a/.b`.
  const whole = parts.slice(0, -1);
  const problem =
    keyProblem(prefix, whole) ??
    (Buffer.byteLength(parts.at(-1) ?? '') > KEY_PART_BYTES_MAX ? 'a part is too long' : undefined);
  if (problem !== undefined) {
    throw new TypeError(`bad object key prefix ${quoted(prefix)}: ${problem}`);
  }
}

function keyProblem(text: string, parts: readonly string[]): string | undefined {
  const bytes = Buffer.byteLength(text);
  if (bytes < 1 || bytes > KEY_BYTES_MAX) return `it must have 1 to ${KEY_BYTES_MAX} bytes`;
  if (!text.isWellFormed()) return 'it is not valid Unicode';
  if (FORBIDDEN.test(text)) return 'it contains a control character or a backslash';
  for (const part of parts) {
    if (part === '') return 'a part is empty';
    if (part === '.' || part === '..') return `a part is '${part}'`;
    if (Buffer.byteLength(part) > KEY_PART_BYTES_MAX) {
      return `a part has more than ${KEY_PART_BYTES_MAX} bytes`;
    }
  }
  return undefined;
}

function quoted(text: string): string {
  return JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}...` : text);
}

/** Order of UTF-8 bytes, which is S3's; JavaScript's own order differs above U+FFFF. */
export function compareKeys(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let at = 0; at < length; at += 1) {
    const left = a.charCodeAt(at);
    const right = b.charCodeAt(at);
    if (left !== right) return codeUnitRank(left) - codeUnitRank(right);
  }
  return a.length - b.length;
}

/** Surrogates stand for code points above all others, so they rank above U+E000..U+FFFF. */
function codeUnitRank(unit: number): number {
  if (unit < 0xd800) return unit;
  return unit >= 0xe000 ? unit - 0x800 : unit + 0x2000;
}

export interface Range {
  readonly offset: number;
  /** undefined: to the end. */
  readonly length: number | undefined;
}

/** Throws `TypeError` when offset, length or `into` cannot be right whatever the object is. */
export function checkRange(options: GetOptions): Range {
  const { offset = 0, length, into } = options;
  if (!Number.isSafeInteger(offset) || offset < 0) {
    throw new TypeError(`offset must be a whole number from 0, not ${offset}`);
  }
  if (length !== undefined && (!Number.isSafeInteger(length) || length < 1)) {
    throw new TypeError(`length must be a whole number from 1, not ${length}`);
  }
  if (into !== undefined && length !== undefined) checkRoom(into, length);
  return { offset, length };
}

/** Throws `TypeError` when `into` is smaller than what is to be put into it. */
export function checkRoom(into: Uint8Array, bytes: number): void {
  if (into.byteLength < bytes) {
    throw new TypeError(`the buffer has ${into.byteLength} bytes, ${bytes} are asked for`);
  }
}

/**
 * Bytes to read of an object of `size` bytes, or undefined when the range starts at or beyond its
 * end. An empty object read from 0 is empty, as it is when read whole.
 */
export function rangeBytes(range: Range, size: number): number | undefined {
  if (range.offset === 0 && size === 0) return 0;
  if (range.offset >= size) return undefined;
  return Math.min(range.length ?? size, size - range.offset);
}

/** Keys per page of `list`, S3's own limit. */
export const LIST_PAGE_KEYS = 1000;
