/** The compressed protocol: packets of both directions travel inside frames, zlib or zstd. */
import type { Socket } from 'node:net';
import { promisify } from 'node:util';
import zlib from 'node:zlib';
import { SqlError } from '../../base/errors.ts';
import { malformed } from './payload_reader.ts';

export type CompressionKind = 'zlib' | 'zstd';

/** Node has zstd from 22.15 on. */
export const KNOWS_ZSTD: boolean = typeof zlib.zstdCompressSync === 'function';

const HEADER_BYTES = 7;
/** Shorter pieces travel as they are, as MySQL has it. */
const COMPRESSED_BYTES_MIN = 50;
/** Up to here bytes are expanded on the spot; longer ones in a thread of the pool. */
const EXPANDED_HERE_BYTES_MAX = 64 * 1024;
/** Compressed bytes held beyond the frame that is being expanded before the socket is paused. */
const HELD_BYTES_MAX = 64 * 1024;
/** A frame may hold several packets, so it may be longer than the longest packet. */
const FRAME_BYTES_MIN = 64 * 1024;
const FRAME_SLACK_BYTES = 4096;
/** Fast rather than small: answers of an admin server are short. */
const ZLIB_LEVEL = 3;
const ZSTD_LEVEL_MAX = 6;

interface Codec {
  compress(bytes: Uint8Array): Buffer;
  /** Exactly `length` bytes; throws when there are more or fewer, or when it is no such frame. */
  expand(bytes: Buffer, length: number): Promise<Buffer> | Buffer;
}

const inflate = promisify<Uint8Array, zlib.ZlibOptions, Buffer>(zlib.inflate);

function zlibCodec(): Codec {
  return {
    compress: (bytes) => zlib.deflateSync(bytes, { level: ZLIB_LEVEL }),
    expand: (bytes, length) => {
      const options = { maxOutputLength: length };
      const here = length <= EXPANDED_HERE_BYTES_MAX;
      return here ? zlib.inflateSync(bytes, options) : inflate(bytes, options);
    },
  };
}

function zstdCodec(level: number): Codec {
  const expandZstd = promisify<Uint8Array, zlib.ZstdOptions, Buffer>(zlib.zstdDecompress);
  const wanted = Math.min(Math.max(level, 1), ZSTD_LEVEL_MAX);
  const params = { [zlib.constants.ZSTD_c_compressionLevel]: wanted };
  return {
    compress: (bytes) => zlib.zstdCompressSync(bytes, { params }),
    expand: (bytes, length) => {
      const options = { maxOutputLength: length };
      const here = length <= EXPANDED_HERE_BYTES_MAX;
      return here ? zlib.zstdDecompressSync(bytes, options) : expandZstd(bytes, options);
    },
  };
}

export interface CompressionOptions {
  readonly kind: CompressionKind;
  /** Of zstd, as the client asked for. */
  readonly level: number;
  /** Longest packet accepted, bytes (max_allowed_packet). */
  readonly packetBytesMax: () => number;
  /** Takes expanded bytes. */
  readonly deliver: (bytes: Buffer) => void;
  /** What the client sent is no frame, or is too long: the connection is of no use any more. */
  readonly fail: (error: SqlError) => void;
}

/**
 * Stands between a socket and the packets: to the writer it is the socket, the reader gets what
 * is delivered. A frame tells how long it is expanded; more is never made of it, so that a bomb
 * costs no more memory than the longest packet.
 */
export class CompressedStream {
  readonly #socket: Socket;
  readonly #options: CompressionOptions;
  readonly #codec: Codec;
  #held: Buffer[] = [];
  #heldBytes = 0;
  #paused = false;
  #socketPaused = false;
  #busy = false;
  #broken = false;
  /** Number of the next frame to the client. */
  #sequence = 0;

  constructor(socket: Socket, options: CompressionOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#codec = options.kind === 'zlib' ? zlibCodec() : zstdCodec(options.level);
  }

  // To the reader -----------------------------------------------------------------------------

  /** Bytes of the socket. */
  push(chunk: Buffer): void {
    if (this.#broken || chunk.length === 0) return;
    this.#held.push(chunk);
    this.#heldBytes += chunk.length;
    void this.#expand();
  }

  pause(): void {
    this.#paused = true;
    this.#pauseSocket();
  }

  resume(): void {
    this.#paused = false;
    void this.#expand();
  }

  async #expand(): Promise<void> {
    if (!this.#busy) {
      this.#busy = true;
      try {
        while (!this.#paused && !this.#broken) {
          const frame = this.#frame();
          if (frame === undefined) break;
          const { body, length } = frame;
          const expanded = length === 0 ? body : this.#codec.expand(body, length);
          const bytes = Buffer.isBuffer(expanded) ? expanded : await expanded;
          if (length !== 0 && bytes.length !== length) throw malformed('a frame of another length');
          this.#options.deliver(bytes);
        }
      } catch (error) {
        this.#break(error);
      } finally {
        this.#busy = false;
      }
    }
    const waits = this.#paused || this.#busy;
    if (waits && this.#heldBytes > HELD_BYTES_MAX) this.#pauseSocket();
    else if (!waits) this.#resumeSocket();
  }

  /** The next whole frame; `length` 0: it is not compressed. */
  #frame(): { readonly body: Buffer; readonly length: number } | undefined {
    if (this.#heldBytes < HEADER_BYTES) return undefined;
    const header = this.#peek(HEADER_BYTES);
    const packed = header.readUIntLE(0, 3);
    const length = header.readUIntLE(4, 3);
    const slack = this.#options.packetBytesMax() + FRAME_SLACK_BYTES;
    const limit = Math.max(FRAME_BYTES_MIN, slack);
    if (packed > limit || length > limit) throw new SqlError('PACKET_TOO_LARGE', { limit });
    if (this.#heldBytes < HEADER_BYTES + packed) return undefined;
    const all = this.#peek(HEADER_BYTES + packed);
    const rest = all.subarray(HEADER_BYTES + packed);
    this.#held = rest.length === 0 ? [] : [rest];
    this.#heldBytes = rest.length;
    this.#sequence = ((all[3] ?? 0) + 1) & 0xff;
    return { body: all.subarray(HEADER_BYTES, HEADER_BYTES + packed), length };
  }

  /** Held bytes in one piece of at least `count`; pieces are joined only when they are needed. */
  #peek(count: number): Buffer {
    const [first] = this.#held;
    if (first !== undefined && first.length >= count) {
      return this.#held.length === 1 ? first : this.#joined();
    }
    return this.#joined();
  }

  #joined(): Buffer {
    const joined = Buffer.concat(this.#held);
    this.#held = [joined];
    return joined;
  }

  #break(error: unknown): void {
    this.#broken = true;
    this.#held = [];
    this.#heldBytes = 0;
    const known = error instanceof SqlError ? error : malformed('it cannot be decompressed');
    this.#options.fail(known);
  }

  #pauseSocket(): void {
    if (this.#socketPaused) return;
    this.#socketPaused = true;
    this.#socket.pause();
  }

  #resumeSocket(): void {
    if (!this.#socketPaused) return;
    this.#socketPaused = false;
    this.#socket.resume();
  }

  // From the writer ---------------------------------------------------------------------------

  /** The bytes are copied or compressed before it returns. */
  write(bytes: Uint8Array, done?: () => void): boolean {
    const packed = bytes.length < COMPRESSED_BYTES_MIN ? undefined : this.#codec.compress(bytes);
    const isSmaller = packed !== undefined && packed.length < bytes.length;
    const body = isSmaller ? packed : bytes;
    const frame = Buffer.allocUnsafe(HEADER_BYTES + body.length);
    frame.writeUIntLE(body.length, 0, 3);
    frame[3] = this.#sequence;
    frame.writeUIntLE(isSmaller ? bytes.length : 0, 4, 3);
    frame.set(body, HEADER_BYTES);
    this.#sequence = (this.#sequence + 1) & 0xff;
    const goesOn = this.#socket.write(frame);
    done?.();
    return goesOn;
  }

  get writable(): boolean {
    return this.#socket.writable;
  }

  get writableLength(): number {
    return this.#socket.writableLength;
  }

  get writableNeedDrain(): boolean {
    return this.#socket.writableNeedDrain;
  }

  get destroyed(): boolean {
    return this.#socket.destroyed;
  }

  destroy(): void {
    this.#socket.destroy();
  }

  on(event: 'drain' | 'close', listener: () => void): void {
    this.#socket.on(event, listener);
  }
}
