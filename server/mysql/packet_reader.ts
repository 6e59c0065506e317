/** Bytes of the socket → packets: pieces joined, sequence numbers checked, sizes limited. */
import { SqlError } from '../../base/errors.ts';

/** Payload bytes of a full packet; a payload of this length goes on in the next packet. */
export const PACKET_PAYLOAD_MAX = 0xff_ff_ff;

/** Bytes and pieces read ahead of the running command before the socket is paused. */
const HELD_BYTES_MAX = 64 * 1024;
const HELD_CHUNKS_MAX = 64;
/** First allocation for a payload that arrives in pieces; it doubles with what really comes. */
const PARTIAL_BYTES_MIN = 16 * 1024;

/** What the reader needs of a socket. */
export interface ByteSource {
  pause(): unknown;
  resume(): unknown;
}

/**
 * Bytes → packets. Bytes are only looked at when somebody asks for a packet: what a client sends
 * ahead is held, up to a bound, and goes away with the connection when a login before it fails.
 * The socket keeps being read while a command runs (up to the bound), since that is how a client
 * that went away is noticed.
 *
 * A payload in pieces is copied into one buffer that doubles as bytes really arrive: linear work,
 * and a length field alone allocates nothing.
 */
export class PacketReader {
  #source: ByteSource;
  #held: Buffer[] = [];
  #heldBytes = 0;
  /** Bytes of held[0] that are used already. */
  #offset = 0;
  #paused = false;
  #ended = false;

  #headerFilled = 0;
  #headerBits = 0;
  /** Bytes still missing of the current piece; -1: the next thing is a header. */
  #bodyLeft = -1;
  #lastPiece = true;
  #sequence = 0;
  #partial: Buffer | undefined;
  #partialLength = 0;

  #limit = 0;
  #waiter: { resolve: (payload?: Buffer) => void; reject: (error: unknown) => void } | undefined;

  constructor(source: ByteSource) {
    this.#source = source;
  }

  /** Bytes from the socket. */
  push(chunk: Buffer): void {
    if (this.#ended || chunk.length === 0) return;
    this.#held.push(chunk);
    this.#heldBytes += chunk.length;
    this.#serve();
    if (this.#waiter === undefined && this.#isFull()) {
      this.#paused = true;
      this.#source.pause();
    }
  }

  /** Goes on with another source, TLS over the one before. */
  moveTo(source: ByteSource): void {
    this.#paused = false;
    this.#source = source;
  }

  /** What came behind the last packet, which is no part of the protocol then. */
  takeAhead(): Buffer {
    const ahead = Buffer.concat(this.#held).subarray(this.#offset);
    this.#held = [];
    this.#heldBytes = 0;
    this.#offset = 0;
    return ahead;
  }

  /** Nothing more will come: a waiting or later `read` gets undefined. */
  end(): void {
    this.#ended = true;
    this.#held = [];
    this.#heldBytes = 0;
    this.#partial = undefined;
    this.#settle(undefined);
  }

  /** Bytes waiting; for tests and limits. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** The number after that of the last packet read, which an answer starts with. */
  get nextSequence(): number {
    return this.#sequence;
  }

  /**
   * The payload of the next packet, whose first piece must carry `sequence`; undefined when the client is gone.
   * Throws PACKETS_OUT_OF_ORDER, or PACKET_TOO_LARGE when the payload is longer than `limit`
   * bytes; the stream is unusable after either. One call at a time.
   */
  read(sequence: number, limit: number): Promise<Buffer | undefined> {
    this.#sequence = sequence;
    this.#limit = limit;
    return new Promise((resolve, reject) => {
      this.#waiter = { resolve, reject };
      if (this.#ended) this.#settle(undefined);
      else this.#serve();
    });
  }

  #serve(): void {
    if (this.#waiter === undefined) return;
    try {
      const payload = this.#parse();
      if (payload !== undefined) this.#settle(payload);
    } catch (error) {
      const { reject } = this.#waiter;
      this.#waiter = undefined;
      reject(error);
      return;
    }
    if (this.#paused && !this.#isFull()) {
      this.#paused = false;
      this.#source.resume();
    }
  }

  #settle(payload: Buffer | undefined): void {
    const waiter = this.#waiter;
    this.#waiter = undefined;
    waiter?.resolve(payload);
  }

  #isFull(): boolean {
    return this.#heldBytes >= HELD_BYTES_MAX || this.#held.length >= HELD_CHUNKS_MAX;
  }

  /** Uses held bytes until a packet is whole or nothing is left. */
  #parse(): Buffer | undefined {
    for (;;) {
      const chunk = this.#held[0];
      if (chunk === undefined) return undefined;
      if (this.#bodyLeft < 0 && !this.#header(chunk)) {
        this.#drop(chunk);
        continue;
      }
      const take = Math.min(this.#bodyLeft, chunk.length - this.#offset);
      const piece = chunk.subarray(this.#offset, this.#offset + take);
      this.#offset += take;
      this.#bodyLeft -= take;
      const whole = this.#bodyLeft === 0 && this.#lastPiece;
      const direct = whole && this.#partial === undefined;
      if (!direct) this.#append(piece);
      if (this.#offset === chunk.length) this.#drop(chunk);
      if (this.#bodyLeft === 0) this.#bodyLeft = -1;
      if (whole) return direct ? piece : this.#takePartial();
    }
  }

  /** Reads header bytes; true when the header is complete. */
  #header(chunk: Buffer): boolean {
    while (this.#headerFilled < 4) {
      const byte = chunk[this.#offset];
      if (byte === undefined) return false;
      this.#offset += 1;
      this.#headerBits = (this.#headerBits | (byte << (8 * this.#headerFilled))) >>> 0;
      this.#headerFilled += 1;
    }
    const length = this.#headerBits & PACKET_PAYLOAD_MAX;
    const sequence = this.#headerBits >>> 24;
    this.#headerFilled = 0;
    this.#headerBits = 0;
    if (sequence !== this.#sequence) throw new SqlError('PACKETS_OUT_OF_ORDER');
    this.#sequence = (sequence + 1) & 0xff;
    if (this.#partialLength + length > this.#limit) {
      throw new SqlError('PACKET_TOO_LARGE', { limit: this.#limit });
    }
    this.#bodyLeft = length;
    this.#lastPiece = length < PACKET_PAYLOAD_MAX;
    return true;
  }

  #drop(chunk: Buffer): void {
    this.#held.shift();
    this.#heldBytes -= chunk.length;
    this.#offset = 0;
  }

  #append(piece: Buffer): void {
    const needed = this.#partialLength + piece.length;
    let target = this.#partial;
    if (target === undefined || target.length < needed) {
      const larger = Buffer.allocUnsafe(Math.max(needed, PARTIAL_BYTES_MIN, needed * 2));
      target?.copy(larger, 0, 0, this.#partialLength);
      target = larger;
      this.#partial = larger;
    }
    piece.copy(target, this.#partialLength);
    this.#partialLength = needed;
  }

  #takePartial(): Buffer {
    const payload = this.#partial?.subarray(0, this.#partialLength) ?? Buffer.alloc(0);
    this.#partial = undefined;
    this.#partialLength = 0;
    return payload;
  }
}
