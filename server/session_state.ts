/** What a session remembers between statements. Executors read and change it. */
import type { AccountName } from '../base/privileges.ts';
import type { Warning } from '../base/values.ts';
import type { TlsInfo } from './mysql/handler.ts';
import type { PreparedText } from './prepared_text.ts';
import type { SessionVariables } from './variables.ts';

/** Warnings kept for SHOW WARNINGS (MySQL: max_error_count); the rest only count. */
const WARNINGS_MAX = 64;

export class SessionState {
  readonly connectionId: number;
  readonly user: string;
  readonly host: string;
  /** The account that the login matched. */
  readonly account: AccountName;
  readonly variables: SessionVariables;
  readonly tls: TlsInfo | undefined;
  /** Empty: none selected. */
  database: string;
  /** Set by `USE @group`; empty: the first group of the catalog. */
  computeGroup = '';
  affectedRows = 0n;
  /** undefined while a result is read. */
  foundRows: bigint | undefined = 0n;
  /** BEGIN was said, and neither COMMIT nor what commits by itself: what clients go by. */
  inTransaction = false;
  /** Since BEGIN rows were written, which no ROLLBACK takes back. */
  hasWritten = false;
  /** The password has expired: nothing else is done before it is changed. */
  mustChangePassword = false;
  /** SET ROLE; undefined: the account's default ones. */
  activeRoles: readonly string[] | undefined;
  /** Ends the connection when the running statement is answered. */
  endConnection: () => void = () => undefined;
  /** Of PREPARE, by name in lower case. */
  readonly prepared = new Map<string, PreparedText>();
  readonly #warnings: Warning[] = [];
  #warningCount = 0;

  constructor(login: {
    readonly connectionId: number;
    readonly user: string;
    readonly host: string;
    /** Default: of the user's name, for any host. */
    readonly account?: AccountName;
    readonly database: string;
    readonly variables: SessionVariables;
    readonly tls?: TlsInfo | undefined;
  }) {
    this.connectionId = login.connectionId;
    this.user = login.user;
    this.host = login.host;
    this.account = login.account ?? { user: login.user, host: '%' };
    this.database = login.database;
    this.variables = login.variables;
    this.tls = login.tls;
  }

  get warnings(): readonly Warning[] {
    return this.#warnings;
  }

  get warningCount(): number {
    return this.#warningCount;
  }

  warn(warning: Warning): void {
    this.#warningCount += 1;
    if (this.#warnings.length < WARNINGS_MAX) this.#warnings.push(warning);
  }

  endTransaction(chain = false): void {
    this.inTransaction = chain;
    this.hasWritten = false;
  }

  /** A statement begins (not one of those that look at the warnings of the last). */
  clearWarnings(): void {
    this.#warnings.length = 0;
    this.#warningCount = 0;
  }
}
