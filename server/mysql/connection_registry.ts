/** The connections that there are, and what those that were have come to. */
import { ConnectionCounts } from './connection_counts.ts';

/** A live connection, for SHOW PROCESSLIST. */
export interface ConnectionEntry {
  readonly id: number;
  /** `unauthenticated user` until the login has succeeded, as in MySQL. */
  readonly user: string;
  readonly host: string;
  readonly port: number;
  /** Empty: none. */
  readonly database: string;
  /** Name of the running command, `Sleep` when idle, `Connect` at login, `Killed` till it is gone. */
  readonly command: string;
  readonly state: string;
  /** Wall clock, milliseconds since the epoch, of the last change of `command`. */
  readonly sinceMs: number;
  /** Text of the running COM_QUERY. */
  readonly statement: string | undefined;
  /** What the client told of itself at login. */
  readonly attributes: Readonly<Record<string, string>>;
}

export type KillKind = 'QUERY' | 'CONNECTION';

export interface LiveConnection {
  readonly id: number;
  readonly loggedIn: boolean;
  /** Of its socket, so far. */
  readonly bytes: { readonly received: number; readonly sent: number };
  entry(): ConnectionEntry;
  kill(kind: KillKind): void;
}

/** The live connections of a listener, in the order of their ids. */
export class ConnectionRegistry {
  /** Of all connections that there ever were; bytes of the live ones are not in it yet. */
  readonly counts: ConnectionCounts = new ConnectionCounts();
  readonly #live = new Map<number, LiveConnection>();
  #lastId = 0;

  /** Open sockets, logged in or not. */
  get size(): number {
    return this.#live.size;
  }

  /** Bytes of all connections, closed or not. */
  bytes(): { readonly received: number; readonly sent: number } {
    let { bytesReceived: received, bytesSent: sent } = this.counts;
    for (const { bytes } of this.#live.values()) {
      received += bytes.received;
      sent += bytes.sent;
    }
    return { received, sent };
  }

  list(): ConnectionEntry[] {
    return Array.from(this.#live.values(), (connection) => connection.entry());
  }

  get(id: number): ConnectionEntry | undefined {
    return this.#live.get(id)?.entry();
  }

  /** False when there is no such connection. Takes effect at once; does not wait for it. */
  kill(id: number, kind: KillKind): boolean {
    const connection = this.#live.get(id);
    connection?.kill(kind);
    return connection !== undefined;
  }

  /** An unused 32-bit id. */
  nextId(): number {
    do {
      this.#lastId = this.#lastId === 0xffff_ffff ? 1 : this.#lastId + 1;
    } while (this.#live.has(this.#lastId));
    return this.#lastId;
  }

  add(connection: LiveConnection): void {
    this.#live.set(connection.id, connection);
  }

  remove(id: number): void {
    this.#live.delete(id);
  }
}
