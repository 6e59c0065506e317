/** The front door of the MySQL listener: who may come in, and a session for each who did. */
import { ERRORS, SqlError } from '../base/errors.ts';
import type { AccountName } from '../base/privileges.ts';
import { privilegeNeeded } from './access/ask.ts';
import { splitDatabase } from './database_name.ts';
import { expectDatabase } from './executors/databases.ts';
import { charsetOfCollation } from './mysql/charset.ts';
import type {
  Account,
  ConnectionControl,
  FrontDoor,
  LoginInfo,
  SessionHandler,
} from './mysql/handler.ts';
import type { PasswordCheck } from './password_check.ts';
import type { Selects } from './selects.ts';
import type { Services } from './services.ts';
import { Session } from './session.ts';
import { SessionState } from './session_state.ts';
import { type GlobalVariables, SessionVariables } from './variables.ts';

export interface SessionsDeps {
  readonly services: Services;
  readonly passwords: PasswordCheck;
  readonly globals: GlobalVariables;
  readonly selects: Selects;
}

/** Logins in the audit log. */
const CONNECT = {
  connectionId: 0,
  database: '',
  kind: 'Connect',
  text: '',
  errno: 0,
  error: '',
  rows: 0,
  durationMs: 0,
  jobId: '',
} as const;

export class Sessions implements FrontDoor {
  readonly #deps: SessionsDeps;

  constructor(deps: SessionsDeps) {
    this.#deps = deps;
  }

  async findAccount(user: string, host: string): Promise<Account | undefined> {
    return await Promise.resolve(this.#deps.passwords.find(user, host));
  }

  loginFailed(user: string, host: string): void {
    this.#deps.passwords.failed(user, host);
    const { clock, audit } = this.#deps.services;
    const { errno } = ERRORS.ACCESS_DENIED;
    audit.record({ ...CONNECT, atMs: clock.now(), user, host, errno, error: 'Access denied' });
  }

  async openSession(login: LoginInfo, control: ConnectionControl): Promise<SessionHandler> {
    const { clock, audit } = this.#deps.services;
    const { connectionId, user, host, database } = login;
    const entry = { ...CONNECT, atMs: clock.now(), connectionId, user, host, database };
    try {
      const session = await this.#open(login, control);
      audit.record(entry);
      return session;
    } catch (error) {
      if (error instanceof SqlError) {
        audit.record({ ...entry, errno: error.errno, error: error.message });
      }
      throw error;
    }
  }

  async #open(login: LoginInfo, control: ConnectionControl): Promise<SessionHandler> {
    const { services, globals, selects, passwords } = this.#deps;
    const account = passwords.admit(login.user, login.host, login.tls !== undefined);
    const mustChangePassword = this.#expired(account, login);
    const rights = services.access.rightsOf(account);
    const { database, computeGroup } = splitDatabase(login.database);
    if (database !== '') {
      if (!rights.seesDatabase(database)) {
        const { user, host } = login;
        throw new SqlError('DB_ACCESS_DENIED', { user, host, name: database });
      }
      await expectDatabase(services, database);
    }
    const variables = new SessionVariables(globals);
    // The login says what the client speaks, as SET NAMES would.
    const charset = charsetOfCollation(login.collationId);
    if (charset !== 'utf8mb4') variables.setNames(charset, undefined);
    const state = new SessionState({ ...login, account, database, variables });
    state.mustChangePassword = mustChangePassword;
    state.endConnection = () => {
      control.kill('CONNECTION');
    };
    if (computeGroup !== undefined) {
      if (!rights.mayUse('COMPUTE_GROUP', computeGroup)) throw privilegeNeeded('USAGE');
      const known = await services.catalog.computeGroups.find(computeGroup);
      if (known === undefined) throw new SqlError('BAD_DB', { name: login.database });
      state.computeGroup = known.name;
    }
    const limits = services.access.find(account);
    const release =
      limits === undefined ? () => undefined : services.accountUse.open(account, limits);
    return new Session({
      services,
      selects,
      state,
      onStatement: (kind) => {
        services.statements.add(kind);
      },
      onClose: release,
    });
  }

  /** Whether all it may do is change its password. Throws PASSWORD_EXPIRED. */
  #expired(account: AccountName, login: LoginInfo): boolean {
    const { passwords, services } = this.#deps;
    if (!passwords.isExpired(account)) return false;
    if (!login.canChangePassword && services.config.get('disconnect_on_expired_password')) {
      throw new SqlError('PASSWORD_EXPIRED');
    }
    return true;
  }
}
