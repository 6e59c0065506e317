/** Reads the fields of one packet; never beyond its end. */
import { SqlError } from '../../base/errors.ts';

/**
 * Reads the fields of one packet's payload in order. Every read checks the bounds and throws
 * MALFORMED_PACKET, so a parser over it cannot be driven outside the payload.
 */
export class PayloadReader {
  readonly #bytes: Buffer;
  #at: number;

  constructor(bytes: Buffer, at = 0) {
    this.#bytes = bytes;
    this.#at = at;
  }

  get remaining(): number {
    return this.#bytes.length - this.#at;
  }

  u8(): number {
    return this.#bytes.readUInt8(this.#step(1));
  }

  u16(): number {
    return this.#bytes.readUInt16LE(this.#step(2));
  }

  u32(): number {
    return this.#bytes.readUInt32LE(this.#step(4));
  }

  /** A length-encoded integer; NULL (0xfb), 0xff and more than 2^32 are malformed here. */
  lenenc(): number {
    const first = this.u8();
    if (first < 0xfb) return first;
    if (first === 0xfc) return this.u16();
    if (first === 0xfd) return this.#bytes.readUIntLE(this.#step(3), 3);
    if (first === 0xfe) {
      const low = this.u32();
      if (this.u32() === 0) return low;
    }
    throw malformed('a length that is none');
  }

  bytes(count: number): Buffer {
    const from = this.#step(count);
    return this.#bytes.subarray(from, this.#at);
  }

  lenencBytes(): Buffer {
    return this.bytes(this.lenenc());
  }

  rest(): Buffer {
    return this.bytes(this.remaining);
  }

  /** Bytes up to a NUL, which is consumed. */
  nulBytes(): Buffer {
    const end = this.#bytes.indexOf(0, this.#at);
    if (end < 0) throw malformed('a string without its end');
    const text = this.#bytes.subarray(this.#at, end);
    this.#at = end + 1;
    return text;
  }

  /** Like nulBytes, but the end of the payload ends the string as well. */
  nulBytesOrRest(): Buffer {
    return this.#bytes.includes(0, this.#at) ? this.nulBytes() : this.rest();
  }

  /** Takes a step and returns where it began. */
  #step(count: number): number {
    const from = this.#at;
    if (count > this.#bytes.length - from) throw malformed('it ends too early');
    this.#at = from + count;
    return from;
  }
}

export function malformed(what: string): SqlError {
  return new SqlError('MALFORMED_PACKET', { what });
}
