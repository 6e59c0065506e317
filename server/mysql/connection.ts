/** One client connection, from its greeting to its end. */
import type { Socket } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Config } from '../../base/config.ts';
import { SqlError } from '../../base/errors.ts';
import type { Clock, Log, Random } from '../../base/ports.ts';
import type { AuthChannel, Authenticator } from './authenticator.ts';
import type { BufferPool } from './buffer_pool.ts';
import { CAPABILITY, STATUS, has } from './capabilities.ts';
import { charsetOfCollation } from './charset.ts';
import type { ClientCharset } from './charset.ts';
import { ClientStream } from './client_stream.ts';
import { findCommand } from './command_table.ts';
import type { CommandTarget } from './command_table.ts';
import type { ConnectionEntry, KillKind, LiveConnection } from './connection_registry.ts';
import type { FrontDoor, SessionHandler } from './handler.ts';
import {
  SCRAMBLE_BYTES,
  encodeGreeting,
  isTlsRequest,
  parseChangeUser,
  parseLogin,
} from './handshake.ts';
import type { Claim, LoginRequest } from './handshake.ts';
import { IdleTimer } from './idle_timer.ts';
import type { PacketEncoder } from './packet_encoder.ts';
import { SessionTracker } from './session_tracker.ts';
import { type PacketWriter, clientGone } from './packet_writer.ts';
import { tameBytes } from './passwords.ts';
import { type PreparedCount, PreparedStatements } from './prepared_statements.ts';
import { encodeError, encodeOk } from './replies.ts';
import type { ReplyState } from './replies.ts';
import type { TlsContexts } from './tls_contexts.ts';

/** Longest packet before the login has succeeded, bytes: attributes may be 64 KiB. */
const LOGIN_PACKET_BYTES_MAX = 96 * 1024;
/** How long a connection that was told goodbye may take to hang up, milliseconds. */
const LINGER_MS = 1000;
/** How long a stopped statement may take to answer before the socket is closed, milliseconds. */
const ABORT_GRACE_MS = 1000;

/** Commands of one client answered in a row before the event loop gets its turn. */
const TURN_COMMANDS = 32;
/** As whom a client that has not logged in is listed; MySQL's words. */
const NOBODY = 'unauthenticated user';

export interface ConnectionServices {
  readonly config: Config;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly frontDoor: FrontDoor;
  readonly authenticator: Authenticator;
  readonly pool: BufferPool;
  readonly tls: TlsContexts;
  /** Prepared statements of all connections. */
  readonly preparedCount: PreparedCount;
  /** Whether connections from there may begin with a PROXY header. */
  isProxy(address: string): boolean;
  /** Takes one of the max_connections places; throws TOO_MANY_CONNECTIONS. */
  admit(connection: Connection, user: string): void;
}

/** Where the connection is; the only field that says so. */
type Phase = 'login' | 'idle' | 'busy' | 'ended';

export class Connection implements LiveConnection, CommandTarget, AuthChannel {
  readonly id: number;
  readonly out: PacketWriter;
  readonly scramble: Buffer;
  readonly prepared: PreparedStatements;
  multiStatements = false;
  database = '';
  statement: string | undefined;
  /** The client said that it goes. */
  hasQuit = false;

  readonly #services: ConnectionServices;
  readonly #stream: ClientStream;
  readonly #tracker = new SessionTracker();
  readonly #idle: IdleTimer;
  #phase: Phase = 'login';
  #command = 'Connect';
  #sinceMs: number;
  #login: LoginRequest | undefined;
  #session: SessionHandler | undefined;
  #user = NOBODY;
  #attributes: Readonly<Record<string, string>> = {};
  #charset: ClientCharset = 'utf8mb4';
  /** Made when the running command asks for its signal. */
  #abort: AbortController | undefined;
  /** Why the running command was stopped. */
  #abortReason: Error | undefined;
  /** The connection is to end after the running command's answer. */
  #goodbye = false;
  #stopTimer: (() => void) | undefined;

  constructor(id: number, socket: Socket, services: ConnectionServices) {
    const { clock, config, pool } = services;
    this.id = id;
    this.scramble = tameBytes(services.random.bytes(SCRAMBLE_BYTES));
    this.prepared = new PreparedStatements(services.preparedCount);
    this.#services = services;
    this.#sinceMs = clock.now();
    this.#stream = new ClientStream(socket, {
      pool,
      clock,
      writeTimeoutMs: () => config.get('net_write_timeout_ms'),
      isProxy: (address) => services.isProxy(address),
      fail: (error) => {
        this.#fail(error);
      },
      onClose: () => {
        this.#onClose();
      },
    });
    this.out = this.#stream.out;
    this.#idle = new IdleTimer(clock, () => {
      if (this.#phase === 'idle') this.#end(new SqlError('IDLE_TIMEOUT'), 0);
    });
  }

  /** Resolves when the socket is closed. */
  get closed(): Promise<void> {
    return this.#stream.closed;
  }

  /** Who has logged in. */
  get user(): string {
    return this.#user;
  }

  /** Peer address without port; `localhost` for a unix socket. */
  get host(): string {
    return this.#stream.host;
  }

  get port(): number {
    return this.#stream.port;
  }

  get bytes(): { readonly received: number; readonly sent: number } {
    return this.#stream.bytes;
  }

  /** Nobody but the client can read what is sent: passwords may go in clear. */
  get isPrivate(): boolean {
    return this.#stream.isPrivate;
  }

  get loggedIn(): boolean {
    return this.#session !== undefined;
  }

  get session(): SessionHandler {
    if (this.#session === undefined) throw new Error('a command ran before the login');
    return this.#session;
  }

  get signal(): AbortSignal {
    if (this.#abort === undefined) {
      this.#abort = new AbortController();
      if (this.#abortReason !== undefined) this.#abort.abort(this.#abortReason);
    }
    return this.#abort.signal;
  }

  get packetBytesMax(): number {
    return this.#services.config.get('max_allowed_packet');
  }

  get clientCharset(): ClientCharset {
    return this.#session?.charsets?.client ?? this.#charset;
  }

  get #tracksSession(): boolean {
    return has(this.#login?.capabilities ?? 0, CAPABILITY.SESSION_TRACK);
  }

  get queryAttributes(): boolean {
    return has(this.#login?.capabilities ?? 0, CAPABILITY.QUERY_ATTRIBUTES);
  }

  get canSwitch(): boolean {
    return has(this.#login?.capabilities ?? 0, CAPABILITY.PLUGIN_AUTH);
  }

  entry(): ConnectionEntry {
    return {
      id: this.id,
      user: this.#user,
      host: this.host,
      port: this.port,
      database: this.#session?.currentDatabase ?? this.database,
      command: this.#command,
      state: this.#phase === 'login' ? 'login' : this.#phase === 'busy' ? 'executing' : '',
      sinceMs: this.#sinceMs,
      statement: this.statement,
      attributes: this.#attributes,
    };
  }

  /** Serves the client to the end. Never rejects. */
  async run(): Promise<void> {
    const stopTimer = this.#limitLogin();
    try {
      await this.#logIn();
      stopTimer();
      for (let count = 1; await this.#serveCommand(); count += 1) {
        // Commands that wait in memory need no event of the loop: let the others have theirs.
        const pipelined = this.#stream.heldBytes > 0;
        if (pipelined && count % TURN_COMMANDS === 0) await nextTurn();
      }
    } catch (error) {
      if (!isClientGone(error)) this.#fail(this.#sqlError(error));
    } finally {
      stopTimer();
    }
  }

  /** Ends the connection with this error instead of a greeting. */
  refuse(error: SqlError): void {
    this.#end(error, 0);
  }

  kill(kind: KillKind): void {
    if (kind === 'CONNECTION') this.#stop(new SqlError('CONNECTION_KILLED'));
    else if (this.#phase === 'busy') this.#abortWith(new SqlError('QUERY_INTERRUPTED'));
  }

  /** Ends an idle connection now and a busy one after its answer, at the latest after `graceMs`. */
  shutDown(graceMs: number): void {
    const error = new SqlError('SERVER_SHUTDOWN');
    if (this.#phase !== 'busy' || graceMs === 0) {
      this.#stop(error);
      return;
    }
    this.#goodbye = true;
    this.#stopTimer?.();
    this.#stopTimer = this.#services.clock.after(graceMs, () => {
      this.#stop(error);
    });
  }

  destroy(): void {
    this.#stream.destroy();
  }

  // -------------------------------------------------------------------------------------------
  // Login

  send(encode: (packets: PacketEncoder) => void): void {
    encode(this.out.packets);
    this.out.flush();
  }

  sendLater(encode: (packets: PacketEncoder) => void): void {
    encode(this.out.packets);
  }

  async receive(): Promise<Buffer> {
    const { packets } = this.out;
    const payload = await this.#read(packets.sequence, LOGIN_PACKET_BYTES_MAX);
    if (payload === undefined) throw clientGone();
    return payload;
  }

  async #logIn(): Promise<void> {
    const { config, tls } = this.#services;
    const version = config.get('server_version');
    const { id: connectionId, scramble } = this;
    this.send((packets) => {
      encodeGreeting(packets, { version, connectionId, scramble, tls: tls.on });
    });
    let payload = await this.receive();
    if (tls.on && isTlsRequest(payload)) {
      const context = await tls.context();
      if (this.#isEnded()) throw clientGone();
      await this.#stream.startTls(context);
      payload = await this.receive();
    }
    const login = parseLogin(payload);
    this.#login = login;
    if (this.#stream.tls === undefined && config.get('require_secure_transport')) {
      throw new SqlError('SECURE_TRANSPORT_REQUIRED');
    }
    this.multiStatements = has(login.capabilities, CAPABILITY.MULTI_STATEMENTS);
    await this.#authenticate(login);
    encodeOk(this.out.packets, this.replyState());
    this.out.flush();
    this.#stream.startCompression(login, () => this.packetBytesMax);
  }

  /** Proves the claim and opens its session; the connection has no session until then. */
  async #authenticate(claim: Claim): Promise<void> {
    this.#charset = charsetOfCollation(claim.collationId);
    await this.#services.authenticator.authenticate(this, claim);
    if (this.#isEnded()) throw clientGone();
    if (this.#phase === 'login') this.#services.admit(this, claim.user);
    this.#user = claim.user;
    this.database = claim.database;
    const { id: connectionId, host, port } = this;
    const { user, database, collationId, attributes } = claim;
    const session = await this.#services.frontDoor.openSession(
      {
        connectionId,
        host,
        port,
        user,
        database,
        collationId,
        attributes,
        tls: this.#stream.tls,
        canChangePassword: has(
          this.#login?.capabilities ?? 0,
          CAPABILITY.CAN_HANDLE_EXPIRED_PASSWORDS,
        ),
      },
      {
        kill: (kind) => {
          this.#killSelf(kind);
        },
      },
    );
    if (this.#isEnded()) {
      session.close();
      throw clientGone();
    }
    this.#attributes = attributes;
    this.#session = session;
    if (this.#tracksSession) this.#tracker.begin(session);
  }

  async changeUser(body: Buffer): Promise<void> {
    const login = this.#login;
    if (login === undefined) throw new Error('a command ran before the login');
    this.#closeSession();
    this.#user = NOBODY;
    const stopTimer = this.#limitLogin();
    try {
      await this.#authenticate(parseChangeUser(body, login));
    } catch (error) {
      if (!isClientGone(error)) this.#fail(this.#sqlError(error));
      throw clientGone();
    } finally {
      stopTimer();
    }
    this.multiStatements = has(login.capabilities, CAPABILITY.MULTI_STATEMENTS);
    encodeOk(this.out.packets, this.replyState());
  }

  // -------------------------------------------------------------------------------------------
  // Commands

  /** Waits for one command and answers it; false when the connection is over. */
  async #serveCommand(): Promise<boolean> {
    if (this.#isEnded()) return false;
    this.#become('idle', 'Sleep');
    this.#idle.start(this.session.idleTimeoutSeconds * 1000);
    const payload = await this.#read(0, this.packetBytesMax);
    if (payload === undefined || this.#isEnded()) return false;
    const [byte] = payload;
    if (byte === undefined) throw new SqlError('MALFORMED_PACKET', { what: 'it is empty' });
    const command = findCommand(byte);
    this.#become('busy', command.name);
    try {
      await command.run(this, payload.subarray(1));
    } catch (error) {
      if (this.#isEnded() || isClientGone(error)) return false;
      this.out.packets.abandon();
      encodeError(this.out.packets, this.#sqlError(error), this.replyState().charset);
    }
    if (this.#isEnded()) return false;
    this.statement = undefined;
    this.out.flush();
    if (this.out.backlogged) await this.out.drained();
    this.#abort = undefined;
    this.#abortReason = undefined;
    if (this.#goodbye) this.#end();
    return true;
  }

  /** One packet's payload; the answer to it goes on with the sequence number after it. */
  async #read(sequence: number, limit: number): Promise<Buffer | undefined> {
    try {
      return await this.#stream.read(sequence, limit);
    } finally {
      if (!this.#isEnded()) this.out.packets.sequence = this.#stream.nextSequence;
    }
  }

  replyState(): ReplyState {
    const session = this.#session;
    const results = session?.charsets?.results;
    return {
      capabilities: this.#login?.capabilities ?? 0,
      status:
        ((session?.autocommit ?? true) ? STATUS.AUTOCOMMIT : 0) |
        (session?.inTransaction === true ? STATUS.IN_TRANS : 0) |
        (session?.noBackslashEscapes === true ? STATUS.NO_BACKSLASH_ESCAPES : 0),
      charset: results === undefined ? this.#charset : (results ?? 'utf8mb4'),
      changes: this.#tracksSession ? () => this.#tracker.take(this.#session) : undefined,
    };
  }

  // -------------------------------------------------------------------------------------------
  // The end

  quit(): void {
    this.hasQuit = true;
    this.#end();
    // With nothing on its way to the client there is nothing to wait for.
    if (this.#stream.isIdle) this.destroy();
  }

  #limitLogin(): () => void {
    return this.#services.clock.after(this.#services.config.get('handshake_timeout_ms'), () => {
      this.#end(new SqlError('HANDSHAKE_TIMEOUT'));
    });
  }

  #become(phase: 'idle' | 'busy', command: string): void {
    this.#phase = phase;
    this.#command = command;
    this.#sinceMs = this.#services.clock.now();
  }

  /** A method, since the phase changes behind the back of a function that awaits. */
  #isEnded(): boolean {
    return this.#phase === 'ended';
  }

  #killSelf(kind: KillKind): void {
    if (kind === 'CONNECTION' && this.#phase === 'busy') this.#goodbye = true;
    else this.kill(kind);
  }

  #abortWith(reason: Error): void {
    this.#abortReason ??= reason;
    this.#abort?.abort(this.#abortReason);
  }

  /** Ends the connection: now when it is idle, else with the error of the statement it stops. */
  #stop(reason: SqlError): void {
    this.#command = 'Killed';
    if (this.#phase !== 'busy') {
      this.#end(reason, this.#phase === 'idle' ? 0 : undefined);
      return;
    }
    this.#goodbye = true;
    this.#abortWith(reason);
    this.#stopTimer?.();
    this.#stopTimer = this.#services.clock.after(ABORT_GRACE_MS, () => {
      this.destroy();
    });
  }

  /** Ends the connection because of what the client did. */
  #fail(error: SqlError): void {
    const { id, host } = this;
    const { errno, message } = error;
    this.#services.log.info('MySQL connection ended with an error', { id, host, errno, message });
    this.#end(error);
  }

  /** Says goodbye, with `error` in packet number `sequence` (default: the next one). */
  #end(error?: SqlError, sequence?: number): void {
    if (this.#phase === 'ended') return;
    this.#phase = 'ended';
    this.#clearTimers();
    const { packets } = this.out;
    if (sequence !== undefined) packets.sequence = sequence;
    if (error !== undefined) {
      packets.abandon();
      encodeError(packets, error, this.replyState().charset);
    }
    this.out.flush();
    this.#closeSession();
    this.#stream.end();
    this.#stopTimer = this.#services.clock.after(LINGER_MS, () => {
      this.destroy();
    });
  }

  #onClose(): void {
    this.#phase = 'ended';
    this.#clearTimers();
    this.#abortWith(clientGone());
    this.#closeSession();
  }

  #clearTimers(): void {
    this.#idle.stop();
    this.#stopTimer?.();
    this.#stopTimer = undefined;
  }

  #closeSession(): void {
    const session = this.#session;
    this.#session = undefined;
    this.prepared.closeAll();
    try {
      session?.close();
    } catch (error) {
      this.#sqlError(error);
    }
  }

  /** The error as the client gets it; one nobody foresaw is logged under an id. */
  #sqlError(error: unknown): SqlError {
    if (error instanceof SqlError) return error;
    if (this.#abortReason instanceof SqlError) return this.#abortReason;
    const id = Buffer.from(this.#services.random.bytes(INTERNAL_ID_BYTES)).toString('hex');
    const stack = (error as Partial<Error> | null | undefined)?.stack;
    this.#services.log.error('unexpected exception of a session', {
      id,
      connectionId: this.id,
      stack: stack ?? String(error),
    });
    return new SqlError('INTERNAL', { id }, { cause: error });
  }
}

const INTERNAL_ID_BYTES = 8;

function isClientGone(error: unknown): boolean {
  return error instanceof Error && error.name === 'ClientGone';
}
