/** The bytes of one client: TCP or a unix socket, and what travels over it. */
import type { Socket } from 'node:net';
import type { SecureContext } from 'node:tls';
import type { SqlError } from '../../base/errors.ts';
import { isLoopback } from '../../base/http_access.ts';
import type { Clock } from '../../base/ports.ts';
import type { BufferPool } from './buffer_pool.ts';
import { CAPABILITY, has } from './capabilities.ts';
import { CompressedStream } from './compression.ts';
import type { TlsInfo } from './handler.ts';
import { PacketReader } from './packet_reader.ts';
import { PacketWriter } from './packet_writer.ts';
import { ProxyHeader } from './proxy_header.ts';
import { startTls } from './start_tls.ts';

export interface ClientStreamOptions {
  readonly pool: BufferPool;
  readonly clock: Clock;
  /** Milliseconds that a client may leave an answer unread. */
  readonly writeTimeoutMs: () => number;
  /** Whether connections from there may begin with a PROXY header. */
  isProxy(address: string): boolean;
  /** What came is no PROXY header, or no frame: the connection is of no use any more. */
  readonly fail: (error: SqlError) => void;
  /** The socket is closed. */
  readonly onClose: () => void;
}

/**
 * A socket whose layers come one after the other: a PROXY header in front of everything, TLS in the
 * middle of the handshake, compression behind the login. Packets are read and written at its top.
 */
export class ClientStream {
  readonly out: PacketWriter;
  /** Resolves when the socket is closed. */
  readonly closed: Promise<void>;
  readonly #options: ClientStreamOptions;
  readonly #reader: PacketReader;
  /** The client's bytes: TCP, or TLS over it. */
  #socket: Socket;
  #tls: TlsInfo | undefined;
  #isCompressed = false;
  #host: string;
  #port: number;
  /** Takes the socket's bytes: the reader, or what stands before it. */
  #input: (chunk: Buffer) => void;

  constructor(socket: Socket, options: ClientStreamOptions) {
    const { pool, clock, writeTimeoutMs, onClose } = options;
    this.#options = options;
    this.#socket = socket;
    // A unix socket has no address.
    this.#host = (socket.remoteAddress ?? 'localhost').replace(/^::ffff:/, '');
    this.#port = socket.remotePort ?? 0;
    this.out = new PacketWriter(socket, pool, clock, writeTimeoutMs);
    this.#reader = new PacketReader(socket);
    const toReader = (chunk: Buffer): void => this.#reader.push(chunk);
    this.#input = options.isProxy(this.#host) ? this.#proxied(toReader) : toReader;
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        this.#reader.end();
        onClose();
        resolve();
      });
    });
    this.#listen(socket);
  }

  #listen(socket: Socket): void {
    socket.on('data', (chunk) => {
      this.#input(chunk);
    });
    socket.on('end', () => {
      socket.destroy();
    });
    socket.on('error', () => undefined); // 'close' follows and says all there is to say
  }

  /** A balancer may say first whose connection this is. */
  #proxied(deliver: (chunk: Buffer) => void): (chunk: Buffer) => void {
    const header = new ProxyHeader({
      deliver,
      onAddress: ({ host, port }) => {
        this.#host = host;
        this.#port = port;
      },
      fail: this.#options.fail,
    });
    return (chunk) => header.push(chunk);
  }

  /** Peer address without port; `localhost` for a unix socket. */
  get host(): string {
    return this.#host;
  }

  get port(): number {
    return this.#port;
  }

  /** Of the socket so far, packet headers and the login included. */
  get bytes(): { readonly received: number; readonly sent: number } {
    return { received: this.#socket.bytesRead, sent: this.#socket.bytesWritten };
  }

  get tls(): TlsInfo | undefined {
    return this.#tls;
  }

  /** Nobody but the client can read what is sent: passwords may go in clear. */
  get isPrivate(): boolean {
    return this.#tls !== undefined || isLoopback(this.#host);
  }

  /** The kernel has all that was written, and there is no layer that has something to say yet. */
  get isIdle(): boolean {
    const isPlain = this.#tls === undefined && !this.#isCompressed;
    return isPlain && this.out.bufferedBytes === 0;
  }

  /** Bytes that have come and that nobody has asked for. */
  get heldBytes(): number {
    return this.#reader.heldBytes;
  }

  /** One packet's payload, see `PacketReader.read`. */
  async read(sequence: number, limit: number): Promise<Buffer | undefined> {
    return await this.#reader.read(sequence, limit);
  }

  /** The number that an answer to the last packet starts with. */
  get nextSequence(): number {
    return this.#reader.nextSequence;
  }

  /**
   * What the client sent behind its request in clear is read as TLS, never as a command. Rejects
   * when the handshake fails.
   */
  async startTls(context: SecureContext): Promise<void> {
    const plain = this.#socket;
    plain.removeAllListeners('data');
    plain.removeAllListeners('end');
    const { socket, secured } = startTls(plain, this.#reader.takeAhead(), context);
    this.#socket = socket;
    this.out.moveTo(socket);
    this.#reader.moveTo(socket);
    this.#listen(socket);
    await secured;
    this.#tls = { version: socket.getProtocol() ?? '', cipher: socket.getCipher().standardName };
  }

  /** Everything from here on is compressed, when the client asked for it. */
  startCompression(
    { capabilities, zstdLevel }: { readonly capabilities: number; readonly zstdLevel: number },
    packetBytesMax: () => number,
  ): void {
    const zlib = has(capabilities, CAPABILITY.COMPRESS);
    if (!zlib && !has(capabilities, CAPABILITY.ZSTD_COMPRESSION)) return;
    this.#isCompressed = true;
    const stream = new CompressedStream(this.#socket, {
      kind: zlib ? 'zlib' : 'zstd',
      level: zstdLevel,
      packetBytesMax,
      deliver: (bytes) => {
        this.#reader.push(bytes);
      },
      fail: this.#options.fail,
    });
    const ahead = this.#reader.takeAhead();
    this.#reader.moveTo(stream);
    this.out.moveTo(stream);
    this.#input = (chunk) => stream.push(chunk);
    stream.push(ahead);
  }

  /**
   * Nothing more is read for anybody, but until the client hangs up its bytes are taken: closing
   * with unread bytes would reset the connection, and the client might never see the last error.
   */
  end(): void {
    this.#reader.end();
    this.#socket.resume();
    this.#socket.end();
  }

  destroy(): void {
    this.#socket.destroy();
  }
}
