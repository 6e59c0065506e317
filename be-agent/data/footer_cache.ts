/**
 * Parsed footers by object key, so that repeated queries parse each once. Objects are immutable,
 * so an entry never goes stale; the least recently used go when the footers' bytes exceed the
 * limit (a parsed footer takes a small multiple of its bytes).
 */
import { type ParquetFile, TAIL_BYTES, footerLength, parseFooter } from './parquet_file.ts';

const FOOTER_CACHE_BYTES_MAX = 16 * 1024 * 1024;

/** An immutable object, read by ranges; the block cache provides it. */
export interface ReadObject {
  readonly key: string;
  /** bytes */
  readonly size: number;
  /** Where indexes and footer begin. */
  readonly indexOffset: number;
  /** Exactly `length` bytes from `offset`. */
  read(offset: number, length: number): Promise<Uint8Array>;
}

interface Entry {
  readonly file: ParquetFile;
  readonly bytes: number;
}

export class FooterCache {
  readonly #bytesMax: number;
  readonly #entries = new Map<string, Entry>();
  #bytes = 0;

  constructor(bytesMax: number = FOOTER_CACHE_BYTES_MAX) {
    this.#bytesMax = bytesMax;
  }

  /** Bytes of the footers held. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Reads and parses at a miss; throws what `read` throws, or an Error saying what is damaged. */
  async open(object: ReadObject): Promise<ParquetFile> {
    const known = this.#entries.get(object.key);
    if (known !== undefined) {
      this.#entries.delete(object.key);
      this.#entries.set(object.key, known);
      return known.file;
    }
    const tail = await readTail(object);
    const entry = { file: parseFooter(tail), bytes: tail.byteLength };
    this.#add(object.key, entry);
    return entry.file;
  }

  #add(key: string, entry: Entry): void {
    if (entry.bytes > this.#bytesMax || this.#entries.has(key)) return;
    this.#entries.set(key, entry);
    this.#bytes += entry.bytes;
    for (const [oldest, { bytes }] of this.#entries) {
      if (this.#bytes <= this.#bytesMax) break;
      this.#entries.delete(oldest);
      this.#bytes -= bytes;
    }
  }
}

/** Footer with its tail. The page indexes before it are not read: row groups are small enough. */
async function readTail(object: ReadObject): Promise<Uint8Array> {
  const { size, indexOffset } = object;
  if (size < TAIL_BYTES || indexOffset < 0 || indexOffset > size - TAIL_BYTES) {
    throw new Error(`index offset ${indexOffset} does not fit ${size} bytes`);
  }
  const tail = await object.read(indexOffset, size - indexOffset);
  if (tail.byteLength !== size - indexOffset) throw new Error('it is shorter than it should be');
  if (footerLength(tail) > tail.byteLength - TAIL_BYTES) {
    throw new Error('its footer begins before the index offset');
  }
  return tail;
}
