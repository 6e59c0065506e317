/** A socket whose bytes travel plain first and in compressed frames later, for tests. */
import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import zlib from 'node:zlib';
import { packetBytes } from './raw_client.ts';

export type Kind = 'zlib' | 'zstd';

/** A frame of the compressed protocol; `length` is what its header says of the expanded bytes. */
export function frame(body: Buffer, length: number, sequence = 0): Buffer {
  const tail = Buffer.alloc(3);
  tail.writeUIntLE(length, 0, 3);
  return Buffer.concat([packetBytes(Buffer.alloc(0), 0), tail, body]).fill(
    Buffer.concat([sizeBytes(body.length), Buffer.of(sequence)]),
    0,
    4,
  );
}

function sizeBytes(size: number): Buffer {
  const bytes = Buffer.alloc(3);
  bytes.writeUIntLE(size, 0, 3);
  return bytes;
}

export function pack(bytes: Buffer, kind: Kind): Buffer {
  return kind === 'zlib' ? zlib.deflateSync(bytes) : zlib.zstdCompressSync(bytes);
}

export class FramedSocket extends EventEmitter {
  readonly #socket: Socket;
  #kind: Kind | undefined;
  #held = Buffer.alloc(0);
  /** Bytes received in frames that were compressed, and what they expanded to. */
  packed = 0;
  expanded = 0;

  constructor(socket: Socket) {
    super();
    this.#socket = socket;
    socket.on('data', (chunk) => {
      this.#receive(chunk);
    });
    socket.on('close', () => this.emit('close'));
    socket.on('error', () => undefined);
  }

  /** From now on both sides send frames. */
  compress(kind: Kind): void {
    this.#kind = kind;
  }

  write(bytes: Buffer): boolean {
    const kind = this.#kind;
    if (kind === undefined) return this.#socket.write(bytes);
    if (bytes.length < 50) return this.#socket.write(frame(bytes, 0));
    return this.#socket.write(frame(pack(bytes, kind), bytes.length));
  }

  /** As it is, whatever it is. */
  writeRaw(bytes: Buffer): void {
    this.#socket.write(bytes);
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #receive(chunk: Buffer): void {
    if (this.#kind === undefined) {
      this.emit('data', chunk);
      return;
    }
    this.#held = Buffer.concat([this.#held, chunk]);
    while (this.#held.length >= 7) {
      const size = this.#held.readUIntLE(0, 3);
      const length = this.#held.readUIntLE(4, 3);
      if (this.#held.length < 7 + size) return;
      const body = Buffer.from(this.#held.subarray(7, 7 + size));
      this.#held = this.#held.subarray(7 + size);
      if (length === 0) {
        this.emit('data', body);
        continue;
      }
      const bytes = this.#kind === 'zlib' ? zlib.inflateSync(body) : zlib.zstdDecompressSync(body);
      if (bytes.length !== length) throw new Error(`a frame of ${bytes.length}, not ${length}`);
      this.packed += size;
      this.expanded += length;
      this.emit('data', bytes);
    }
  }
}
