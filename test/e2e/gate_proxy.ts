/**
 * A TCP proxy in front of an object store that lets through only so many bytes of answers: what is
 * behind it stands still at a chosen point for as long as a test wants.
 */
import { once } from 'node:events';
import { type AddressInfo, type Server, type Socket, connect, createServer } from 'node:net';

export class GateProxy {
  /** Bytes of answers that went through. */
  bytesDown = 0;
  readonly #target: { readonly host: string; readonly port: number };
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #waiting = new Set<() => void>();
  #limit = Number.POSITIVE_INFINITY;

  static async start(endpoint: string): Promise<GateProxy> {
    const { hostname, port } = new URL(endpoint);
    const proxy = new GateProxy({ host: hostname, port: Number(port) });
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  private constructor(target: { readonly host: string; readonly port: number }) {
    this.#target = target;
    this.#server = createServer((client) => {
      this.#serve(client);
    });
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Answers that stand still now. */
  get held(): number {
    return this.#waiting.size;
  }

  /** From now on so many bytes of answers go through, then nothing until `open`. */
  holdAfter(bytes: number): void {
    this.#limit = this.bytesDown + bytes;
  }

  open(): void {
    this.#limit = Number.POSITIVE_INFINITY;
    for (const go of this.#waiting) go();
    this.#waiting.clear();
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #serve(client: Socket): void {
    const upstream = connect(this.#target);
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      this.#sockets.add(socket);
      socket.on('error', () => {
        other.destroy();
      });
      socket.on('close', () => {
        this.#sockets.delete(socket);
        other.destroy();
      });
    }
    client.pipe(upstream);
    upstream.on('data', (chunk: Buffer) => {
      const pass = (): void => {
        this.bytesDown += chunk.length;
        if (!client.destroyed) client.write(chunk);
      };
      if (this.bytesDown < this.#limit) {
        pass();
        return;
      }
      upstream.pause();
      this.#waiting.add(() => {
        pass();
        upstream.resume();
      });
    });
  }
}
