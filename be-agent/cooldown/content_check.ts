/** Checksums of bodies that come in pieces, and what of them a store's etag tells. */
import { type Hash, createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { ObjectStore } from '../../base/ports.ts';
import type { SegmentMeta } from '../../base/schema.ts';
import { PIECE_BYTES } from '../store/body_pieces.ts';

/** S3's etags: MD5 of the body, or of the MD5s of its parts and their number. */
const MD5_ETAG = /^[0-9a-f]{32}(-[1-9]\d*)?$/;

/** Fed with a body from its start, piece by piece as the store gets them. */
export class ContentSums {
  readonly #parts: Buffer[] = [];
  #crc = 0;
  #bytes = 0;

  add(piece: Uint8Array): void {
    this.#crc = crc32(piece, this.#crc);
    this.#bytes += piece.byteLength;
    this.#parts.push(createHash('md5').update(piece).digest());
  }

  /** Why it is not the segment's content; undefined: it is. */
  problem(segment: SegmentMeta): string | undefined {
    if (this.#bytes !== segment.bytes) return `it has ${this.#bytes} of ${segment.bytes} bytes`;
    return this.#crc === segment.crc32 ? undefined : 'it has another checksum';
  }

  /** Whether a store that got exactly this content, in these pieces, would say so. */
  isTold(etag: string, isMultipart: boolean): boolean {
    if (!MD5_ETAG.test(etag)) return false;
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
