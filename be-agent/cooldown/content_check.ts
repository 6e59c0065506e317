/** Checksums of bodies that come in pieces, and what of them a store's etag tells. */
import { type Hash, createHash } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { crc32 } from 'node:zlib';
import type { ObjectStore } from '../../base/ports.ts';
import type { SegmentMeta } from '../../base/schema.ts';
import { PIECE_BYTES } from '../store/body_pieces.ts';

/** S3's etags: MD5 of the body, or of the MD5s of its parts and their number. */
const MD5_ETAG = /^[0-9a-f]{32}(-[1-9]\d*)?$/;

/** Bytes hashed before other work of the thread (heartbeats, reads) gets its turn, some 4 ms. */
const BYTES_WITHOUT_PAUSE = 2 * 2 ** 20;

/** Fed with a body from its start, piece by piece as the store gets them. */
export class ContentSums {
  readonly #hasMd5: boolean;
  readonly #parts: Buffer[] = [];
  #crc = 0;
  #bytes = 0;

  /** `hasMd5`: whether `isTold` may be asked; it costs more than all else. */
  constructor(hasMd5: boolean) {
    this.#hasMd5 = hasMd5;
  }

  async add(piece: Uint8Array): Promise<void> {
    const md5 = this.#hasMd5 ? createHash('md5') : undefined;
    for (let at = 0; at < piece.byteLength; at += BYTES_WITHOUT_PAUSE) {
      if (at > 0) await setImmediate();
      const part = piece.subarray(at, at + BYTES_WITHOUT_PAUSE);
      this.#crc = crc32(part, this.#crc);
      md5?.update(part);
    }
    this.#bytes += piece.byteLength;
    if (md5 !== undefined) this.#parts.push(md5.digest());
  }

  /** Why it is not the segment's content; undefined: it is. */
  problem(segment: SegmentMeta): string | undefined {
    if (this.#bytes !== segment.bytes) return `it has ${this.#bytes} of ${segment.bytes} bytes`;
    return this.#crc === segment.crc32 ? undefined : 'it has another checksum';
  }

  /** Whether an etag could be one that tells the content. */
  static isDigest(etag: string): boolean {
    return MD5_ETAG.test(etag);
  }

  /** Whether a store that got exactly this content, in these pieces, would say so. */
  isTold(etag: string, isMultipart: boolean): boolean {
    if (!this.#hasMd5 || !MD5_ETAG.test(etag)) return false;
    const [only] = this.#parts;
    if (!isMultipart) return this.#parts.length === 1 && only?.toString('hex') === etag;
    const hash: Hash = createHash('md5');
    for (const part of this.#parts) hash.update(part);
    return `${hash.digest('hex')}-${this.#parts.length}` === etag;
  }
}

/** Reads an object with bounded memory. Why it is not the segment; undefined: it is. */
export async function readBack(
  store: ObjectStore,
  key: string,
  segment: SegmentMeta,
  signal: AbortSignal,
): Promise<string | undefined> {
  const buffer = new Uint8Array(Math.min(PIECE_BYTES, segment.bytes));
  let crc = 0;
  for (let offset = 0; offset < segment.bytes; offset += buffer.byteLength) {
    const length = Math.min(buffer.byteLength, segment.bytes - offset);
    const piece = await store.get(key, { offset, length, into: buffer, signal });
    if (piece.byteLength !== length) return `it ends before ${segment.bytes} bytes`;
    crc = crc32(piece, crc);
  }
  return crc === segment.crc32 ? undefined : 'it has another checksum';
}
