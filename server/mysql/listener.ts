/** Accepts MySQL connections, keeps their number within limits, and takes them down in order. */
import { createServer } from 'node:net';
import type { BlockList, Server, Socket } from 'node:net';
import type { Config } from '../../base/config.ts';
import { SqlError } from '../../base/errors.ts';
import type { Clock, Log, Random } from '../../base/ports.ts';
import { Authenticator } from './authenticator.ts';
import { BufferPool } from './buffer_pool.ts';
import { Connection } from './connection.ts';
import type { ConnectionServices } from './connection.ts';
import { ConnectionRegistry } from './connection_registry.ts';
import type { FrontDoor } from './handler.ts';
import { isInNetworks, parseNetworks } from './proxy_header.ts';
import { listenUnix } from './unix_socket.ts';
import type { TlsContexts } from './tls_contexts.ts';
import { PreparedCount } from './prepared_statements.ts';

/** Silence after which TCP asks whether the client is still there, milliseconds. */
const KEEP_ALIVE_MS = 60_000;
const BACKLOG = 1024;
/** Fewest connections that may be logging in at once, however small max_connections is. */
const HALF_OPEN_MIN = 512;
/** One connection more than max_connections is for this account, to see what is going on. */
const SPARE_USER = 'root';

export interface MysqlListenerOptions {
  readonly config: Config;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly frontDoor: FrontDoor;
  readonly tls: TlsContexts;
}

/** The MySQL front door: accepts connections and keeps their number within its limits. */
export class MysqlListener {
  readonly connections: ConnectionRegistry = new ConnectionRegistry();
  readonly #config: Config;
  readonly #log: Log;
  readonly #server: Server;
  /** Made when a unix socket is asked for. */
  #unix: Server | undefined;
  #networks: { readonly text: string; readonly list: BlockList | undefined } = {
    text: '',
    list: undefined,
  };
  readonly #services: ConnectionServices;
  readonly #live = new Set<Connection>();
  /** Connections that have not logged in, oldest first. */
  readonly #halfOpen = new Set<Connection>();
  readonly #admitted = new Set<Connection>();

  constructor(options: MysqlListenerOptions) {
    this.#config = options.config;
    this.#log = options.log;
    this.#services = {
      ...options,
      authenticator: new Authenticator(options.frontDoor),
      pool: new BufferPool(),
      preparedCount: new PreparedCount(() => options.config.get('max_prepared_stmt_count')),
      isProxy: (address) => this.#isProxy(address),
      admit: (connection, user) => {
        this.#admit(connection, user);
      },
    };
    const tcp = { noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS };
    this.#server = createServer(tcp, (socket) => {
      this.#accept(socket);
    });
  }

  /**
   * Starts listening; port 0 picks a free one. Rejects with an Error whose message says which
   * address could not be used and why (`code` is Node's, e.g. EADDRINUSE).
   */
  listen(host: string, port: number): Promise<{ readonly host: string; readonly port: number }> {
    const server = this.#server;
    return new Promise((resolve, reject) => {
      const onError = (error: NodeJS.ErrnoException): void => {
        reject(listenError(host, port, error));
      };
      server.once('error', onError);
      server.listen({ host, port, backlog: BACKLOG }, () => {
        server.off('error', onError);
        server.on('error', (error) => {
          this.#log.warn('accepting a MySQL connection failed', { error: error.message });
        });
        const address = server.address();
        const bound = typeof address === 'object' && address !== null ? address.port : port;
        resolve({ host, port: bound });
      });
    });
  }

  /** Listens on a unix socket as well, for clients of this machine. Rejects as `listen` does. */
  async listenUnix(path: string, mode: number): Promise<void> {
    const unix = createServer((socket) => {
      this.#accept(socket);
    });
    await listenUnix(unix, path, mode);
    // Only now: one that could not be opened must not make us forget the one that is.
    this.#unix = unix;
  }

  #isProxy(address: string): boolean {
    const text = this.#config.get('proxy_protocol_networks');
    if (text === '') return false;
    if (text !== this.#networks.text) this.#networks = { text, list: parseNetworks(text) };
    const { list } = this.#networks;
    return list !== undefined && isInNetworks(list, address);
  }

  /**
   * Stops accepting; ends idle connections at once, busy ones after their answer, and stops what
   * still runs after `graceMs`. Resolves when every socket is closed.
   */
  async close(graceMs: number): Promise<void> {
    const stopped = [this.#server, this.#unix].map(
      async (server) =>
        await new Promise<void>((resolve) => {
          if (server === undefined) resolve();
          else server.close(() => resolve());
        }),
    );
    const ends = Array.from(this.#live, (connection) => {
      connection.shutDown(graceMs);
      return connection.closed;
    });
    await Promise.all([...ends, ...stopped]);
  }

  #accept(socket: Socket): void {
    const connection = new Connection(this.connections.nextId(), socket, this.#services);
    this.#makeRoom();
    this.#live.add(connection);
    this.#halfOpen.add(connection);
    this.connections.add(connection);
    this.connections.counts.connections += 1;
    void connection.closed.then(() => {
      this.#count(connection);
      this.#live.delete(connection);
      this.#halfOpen.delete(connection);
      this.#admitted.delete(connection);
      this.connections.remove(connection.id);
    });
    if (this.#admitted.size > this.#config.get('max_connections')) {
      connection.refuse(this.#tooMany());
    } else {
      void connection.run();
    }
  }

  /** What a closed connection adds to SHOW STATUS. */
  #count(connection: Connection): void {
    const { counts } = this.connections;
    counts.bytesReceived += connection.bytes.received;
    counts.bytesSent += connection.bytes.sent;
    if (!this.#admitted.has(connection)) counts.abortedConnects += 1;
    else if (!connection.hasQuit) counts.abortedClients += 1;
  }

  /**
   * Connections that are logging in are limited on their own: a flood of them pushes out its own
   * oldest, while real logins, which take milliseconds, still come through.
   */
  #makeRoom(): void {
    const limit = Math.max(HALF_OPEN_MIN, this.#config.get('max_connections'));
    if (this.#halfOpen.size < limit) return;
    const [oldest] = this.#halfOpen;
    oldest?.destroy();
    if (oldest !== undefined) this.#halfOpen.delete(oldest);
  }

  #admit(connection: Connection, user: string): void {
    const spare = user === SPARE_USER ? 1 : 0;
    if (this.#admitted.size >= this.#config.get('max_connections') + spare) throw this.#tooMany();
    if (user !== SPARE_USER) this.#expectRoomFor(user);
    this.#halfOpen.delete(connection);
    this.#admitted.add(connection);
    const { counts } = this.connections;
    if (this.#admitted.size <= counts.mostUsed) return;
    counts.mostUsed = this.#admitted.size;
    counts.mostUsedAtMs = this.#services.clock.now();
  }

  /** Counted only where there is a limit: it takes a look at every connection. */
  #expectRoomFor(user: string): void {
    const limit = this.#config.get('max_user_connections');
    if (limit === 0) return;
    let count = 0;
    for (const admitted of this.#admitted) if (admitted.user === user) count += 1;
    if (count >= limit) throw new SqlError('TOO_MANY_OF_USER', { user, limit });
  }

  #tooMany(): SqlError {
    return new SqlError('TOO_MANY_CONNECTIONS', { limit: this.#config.get('max_connections') });
  }
}

function listenError(host: string, port: number, error: NodeJS.ErrnoException): Error {
  const why: Readonly<Record<string, string>> = {
    EADDRINUSE: 'another program uses this port',
    EACCES: 'this port needs more rights',
    EADDRNOTAVAIL: 'this machine does not have this address',
    ENOTFOUND: 'there is no such host',
  };
  const code = error.code ?? '';
  const message = `cannot listen on ${host}:${port}: ${why[code] ?? error.message}`;
  return Object.assign(new Error(message, { cause: error }), { code });
}
