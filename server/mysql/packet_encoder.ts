/** Payloads and whole packets, written into pooled memory. */
import type { BufferPool } from './buffer_pool.ts';
import { PACKET_PAYLOAD_MAX } from './packet_reader.ts';

const NONE: Buffer = Buffer.alloc(0);
const HEADER_BYTES = 4;
/** Up to here a string is written byte by byte in JS while it is ASCII: no call into native code. */
const ASCII_LOOP_CHARS = 40;
/** A string of this many UTF-16 units is at most 249 bytes of UTF-8: a one-byte length. */
const ONE_BYTE_LENGTH_CHARS = 83;
/** From 251 units to this many the length in UTF-8 takes exactly three bytes. */
const THREE_BYTE_LENGTH_CHARS = 21_845;
const UTF8_BYTES_PER_CHAR_MAX = 3;

/** Builds packets in memory, one after the other in one buffer: begin, fields, end. */
export class PacketEncoder {
  /** Number of the next packet; the caller sets it when a command starts. */
  sequence = 0;
  readonly #pool: BufferPool | undefined;
  #buffer: Buffer = NONE;
  #at = 0;
  #start = 0;
  #open = false;
  /** The buffer of the last `take`. */
  #taken: Buffer = NONE;

  constructor(pool?: BufferPool) {
    this.#pool = pool;
  }

  /** Bytes encoded and not taken yet. */
  get size(): number {
    return this.#at;
  }

  begin(): void {
    this.#reserve(HEADER_BYTES);
    this.#start = this.#at;
    this.#at += HEADER_BYTES;
    this.#open = true;
  }

  /** Ends the packet: writes its header, in several pieces from 16 MiB - 1 on. */
  end(): void {
    const length = this.#at - this.#start - HEADER_BYTES;
    if (length >= PACKET_PAYLOAD_MAX) this.#split(length);
    else this.#writeHeader(this.#start, length);
    this.#open = false;
  }

  /** Takes back what was written of a packet that is not ended. */
  abandon(): void {
    if (this.#open) this.#at = this.#start;
    this.#open = false;
  }

  u8(value: number): void {
    this.#reserve(1);
    this.#buffer[this.#at++] = value;
  }

  u16(value: number): void {
    this.#reserve(2);
    this.#at = this.#buffer.writeUInt16LE(value, this.#at);
  }

  u32(value: number): void {
    this.#reserve(4);
    this.#at = this.#buffer.writeUInt32LE(value >>> 0, this.#at);
  }

  i64(value: bigint): void {
    this.#reserve(8);
    this.#at = this.#buffer.writeBigInt64LE(BigInt.asIntN(64, value), this.#at);
  }

  f32(value: number): void {
    this.#reserve(4);
    this.#at = this.#buffer.writeFloatLE(value, this.#at);
  }

  f64(value: number): void {
    this.#reserve(8);
    this.#at = this.#buffer.writeDoubleLE(value, this.#at);
  }

  zeros(count: number): void {
    this.#reserve(count);
    this.#buffer.fill(0, this.#at, this.#at + count);
    this.#at += count;
  }

  /** A length-encoded integer, 0..2^53. */
  lenenc(value: number): void {
    this.#reserve(9);
    const buffer = this.#buffer;
    if (value < 0xfb) {
      buffer[this.#at++] = value;
    } else if (value <= 0xff_ff) {
      buffer[this.#at++] = 0xfc;
      this.#at = buffer.writeUInt16LE(value, this.#at);
    } else if (value <= 0xff_ff_ff) {
      buffer[this.#at++] = 0xfd;
      this.#at = buffer.writeUIntLE(value, this.#at, 3);
    } else {
      buffer[this.#at++] = 0xfe;
      this.#at = buffer.writeBigUInt64LE(BigInt(value), this.#at);
    }
  }

  bytes(value: Uint8Array): void {
    this.#reserve(value.length);
    this.#buffer.set(value, this.#at);
    this.#at += value.length;
  }

  lenencBytes(value: Uint8Array): void {
    this.lenenc(value.length);
    this.bytes(value);
  }

  /** UTF-8 without a length. */
  plain(text: string): void {
    this.#reserve(text.length * UTF8_BYTES_PER_CHAR_MAX);
    this.#at += this.#buffer.write(text, this.#at, 'utf8');
  }

  nulText(text: string): void {
    this.plain(text);
    this.u8(0);
  }

  /** A length-encoded UTF-8 string. The hot path of result sets. */
  text(text: string): void {
    const chars = text.length;
    if (chars <= ONE_BYTE_LENGTH_CHARS) this.#shortText(text, chars);
    else if (chars >= 0xfb && chars <= THREE_BYTE_LENGTH_CHARS) this.#mediumText(text, chars);
    else this.#longText(text);
  }

  #shortText(text: string, chars: number): void {
    this.#reserve(1 + chars * UTF8_BYTES_PER_CHAR_MAX);
    const buffer = this.#buffer;
    const from = this.#at;
    if (chars <= ASCII_LOOP_CHARS) {
      let index = 0;
      for (; index < chars; index += 1) {
        const code = text.charCodeAt(index);
        if (code > 0x7f) break;
        buffer[from + 1 + index] = code;
      }
      if (index === chars) {
        buffer[from] = chars;
        this.#at = from + 1 + chars;
        return;
      }
    }
    const written = buffer.write(text, from + 1, 'utf8');
    buffer[from] = written;
    this.#at = from + 1 + written;
  }

  #mediumText(text: string, chars: number): void {
    this.#reserve(3 + chars * UTF8_BYTES_PER_CHAR_MAX);
    const from = this.#at;
    const written = this.#buffer.write(text, from + 3, 'utf8');
    this.#buffer[from] = 0xfc;
    this.#buffer.writeUInt16LE(written, from + 1);
    this.#at = from + 3 + written;
  }

  #longText(text: string): void {
    const length = Buffer.byteLength(text, 'utf8');
    this.lenenc(length);
    this.#reserve(length);
    this.#at += this.#buffer.write(text, this.#at, 'utf8');
  }

  /**
   * Copies whole packets that were encoded from sequence 1 on and renumbers them when this
   * command is further along.
   */
  appendPackets(block: Buffer, count: number): void {
    const from = this.#at;
    this.bytes(block);
    if (this.sequence !== 1) {
      let at = from;
      for (let index = 0; index < count; index += 1) {
        this.#buffer[at + 3] = (this.sequence + index) & 0xff;
        at += HEADER_BYTES + this.#buffer.readUIntLE(at, 3);
      }
    }
    this.sequence = (this.sequence + count) & 0xff;
  }

  /** Copies whole packets that carry the right numbers already. */
  numberedPackets(block: Buffer, count: number): void {
    this.bytes(block);
    this.sequence = (this.sequence + count) & 0xff;
  }

  /** What was encoded from there on, for somebody to keep. */
  copyFrom(from: number): Buffer {
    return Buffer.from(this.#buffer.subarray(from, this.#at));
  }

  /** What was encoded; the encoder starts anew. `recycle` gives the buffer back. */
  take(): Buffer {
    const taken = this.#buffer.subarray(0, this.#at);
    this.#at = 0;
    this.#taken = this.#buffer;
    this.#buffer = NONE;
    return taken;
  }

  /** Says that nobody refers to the bytes of the last `take` any more. */
  recycle(): void {
    const taken = this.lend();
    if (taken !== NONE) this.#pool?.release(taken);
  }

  /** Leaves the bytes of the last `take` to whoever holds them; what to give the pool afterwards. */
  lend(): Buffer {
    const taken = this.#taken;
    this.#taken = NONE;
    return taken;
  }

  #reserve(count: number): void {
    if (this.#buffer.length - this.#at < count) this.#grow(count);
  }

  #grow(count: number): void {
    const needed = this.#at + count;
    if (this.#buffer === NONE && this.#pool !== undefined) {
      this.#buffer = this.#pool.acquire();
      if (this.#buffer.length >= needed) return;
    }
    const larger = Buffer.allocUnsafeSlow(Math.max(1024, needed, this.#buffer.length * 2));
    this.#buffer.copy(larger, 0, 0, this.#at);
    this.#buffer = larger;
  }

  #writeHeader(at: number, length: number): void {
    const buffer = this.#buffer;
    buffer[at] = length;
    buffer[at + 1] = length >>> 8;
    buffer[at + 2] = length >>> 16;
    buffer[at + 3] = this.sequence;
    this.sequence = (this.sequence + 1) & 0xff;
  }

  /** Makes room for the headers inside a long payload, from its end to its start. */
  #split(length: number): void {
    const extra = Math.floor(length / PACKET_PAYLOAD_MAX);
    this.#reserve(extra * HEADER_BYTES);
    const from = this.#start + HEADER_BYTES;
    for (let piece = extra; piece >= 1; piece -= 1) {
      const source = from + piece * PACKET_PAYLOAD_MAX;
      const end = Math.min(source + PACKET_PAYLOAD_MAX, from + length);
      this.#buffer.copyWithin(source + piece * HEADER_BYTES, source, end);
    }
    for (let piece = 0; piece <= extra; piece += 1) {
      const at = this.#start + piece * (PACKET_PAYLOAD_MAX + HEADER_BYTES);
      const left = length - piece * PACKET_PAYLOAD_MAX;
      this.#writeHeader(at, Math.min(left, PACKET_PAYLOAD_MAX));
    }
    this.#at += extra * HEADER_BYTES;
  }
}
