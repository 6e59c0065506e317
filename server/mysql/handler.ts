/**
 * What the MySQL listener asks of the rest of the server: a handful of callbacks and no SQL.
 * The protocol layer (`server/mysql/`) knows this file; sessions implement it.
 */
import type { ResultColumn, StatementResult } from '../../base/values.ts';
import type { ClientCharset } from './charset.ts';
import type { ParameterValue } from './parameters.ts';
import type { TrackedState } from './session_tracker.ts';

export type AuthPlugin = 'mysql_native_password' | 'caching_sha2_password';

/** An account as the authentication needs it. */
export interface Account {
  readonly plugin: AuthPlugin;
  /**
   * Empty: no password. mysql_native_password: `*` + 40 upper-case hex digits of SHA1(SHA1(pw)).
   * caching_sha2_password: `$A$005$` + 20 bytes salt + 43 characters, MySQL's own format.
   */
  readonly authString: string;
}

interface ConnectionInfo {
  /** 32-bit, unique while the server lives; what CONNECTION_ID() and KILL use. */
  readonly connectionId: number;
  /** Peer address without port, e.g. `127.0.0.1`. */
  readonly host: string;
  readonly port: number;
}

export interface LoginInfo extends ConnectionInfo {
  readonly user: string;
  /** Empty when none was asked for. */
  readonly database: string;
  /** MySQL collation id of the client. */
  readonly collationId: number;
  readonly attributes: Readonly<Record<string, string>>;
  /** The client can be let in with an expired password, to change it. */
  readonly canChangePassword: boolean;
  /** undefined: the connection is not encrypted. */
  readonly tls: TlsInfo | undefined;
}

/** How a connection is encrypted, in OpenSSL's names: `TLSv1.3`, `TLS_AES_256_GCM_SHA384`. */
export interface TlsInfo {
  readonly version: string;
  readonly cipher: string;
}

export interface FieldListing {
  readonly table: string;
  /** Wildcard as in LIKE; empty = all. */
  readonly pattern: string;
}

/** One statement's outcome inside a COM_QUERY; `more` sets SERVER_MORE_RESULTS_EXISTS. */
export interface QueryStep {
  readonly result: StatementResult;
  /** Read after the rows were, so it may be a getter over what was counted meanwhile. */
  readonly warnings: number;
  readonly more: boolean;
}

/**
 * One logged-in connection. The listener calls one method at a time and waits for it; a rejected
 * call is sent as an ERR packet (an `SqlError` as it is, anything else as INTERNAL) and the
 * connection goes on. `close` is called once, whatever happened, and stops running work.
 */
export interface SessionHandler {
  /**
   * Runs the statements of one COM_QUERY in order. `allowMulti` is the client's MULTI_STATEMENTS
   * capability or option. The signal aborts when the client is gone, at KILL and at shutdown.
   */
  query(sql: string, options: QueryOptions): AsyncIterable<QueryStep>;
  /**
   * Reads one statement with `?` placeholders without running it; rejects with what is wrong
   * with it (a syntax error, an unknown table).
   */
  prepare(sql: string, options: Pick<QueryOptions, 'signal'>): Promise<PreparedQuery>;
  /** COM_INIT_DB. */
  useDatabase(name: string): Promise<void>;
  /** COM_FIELD_LIST: the columns of a table; rows are ignored. */
  fieldList(listing: FieldListing): Promise<StatementResult>;
  /** COM_STATISTICS: one line of text. */
  statistics(): string;
  /** COM_RESET_CONNECTION: back to the state after login. */
  reset(): Promise<void>;
  /** Session status for OK packets: current database and charset of results. */
  readonly inTransaction: boolean;
  /** Session variable autocommit; true when absent. */
  readonly autocommit?: boolean;
  /** sql_mode NO_BACKSLASH_ESCAPES: how clients have to escape; false when absent. */
  readonly noBackslashEscapes?: boolean;
  /** For the list of connections; absent: the one of the login or the last COM_INIT_DB. */
  readonly currentDatabase?: string;
  /** What SET NAMES chose; absent: what the login's collation says. Read for every command. */
  readonly charsets?: SessionCharsets;
  /** For clients that want to be told what changes; absent: nothing is told. */
  readonly tracked?: TrackedState;
  /** Seconds; session variable wait_timeout. */
  readonly idleTimeoutSeconds: number;
  close(): void;
}

/** A statement that was prepared: it may be run many times, with other values each time. */
export interface PreparedQuery {
  /** `?` placeholders. */
  readonly parameters: number;
  /** Of the result, as far as they are known before it ran; the execution tells them again. */
  readonly columns: readonly ResultColumn[];
  /** The text, for the list of connections. */
  readonly text: string;
  run(
    values: readonly ParameterValue[],
    options: Pick<QueryOptions, 'signal'>,
  ): AsyncIterable<QueryStep>;
}

export interface SessionCharsets {
  /** character_set_client: how statements and names are decoded. */
  readonly client: ClientCharset;
  /** character_set_results: how results and errors are encoded; null is sent as UTF-8. */
  readonly results: ClientCharset | null;
}

export interface QueryOptions {
  readonly allowMulti: boolean;
  readonly signal: AbortSignal;
}

export interface FrontDoor {
  /** undefined: no such account. Takes equal time either way as far as it can. */
  findAccount(user: string, host: string): Promise<Account | undefined>;
  /** The client did not prove who it is; called for users that do not exist, too. */
  loginFailed?(user: string, host: string): void;
  /** Called after authentication succeeded; rejects when the database does not exist. */
  openSession(login: LoginInfo, control: ConnectionControl): Promise<SessionHandler>;
}

/** What a session may do to its own connection. */
export interface ConnectionControl {
  /** Ends the connection after the running command's answer (KILL of oneself), or at once. */
  kill(kind: 'QUERY' | 'CONNECTION'): void;
}
