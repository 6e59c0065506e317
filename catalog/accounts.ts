/** Accounts: who may log in, from where, and how the password is checked. */
import type { Selectable, Updateable } from 'kysely';
import { SqlError } from '../base/errors.ts';
import type { AccountName } from '../base/privileges.ts';
import { GrantStore } from './grants.ts';
import type { CatalogRows } from './rows.ts';
import type { Session } from './session.ts';

/** What an account may use; 0: as much as it likes. */
export interface AccountLimits {
  readonly queriesPerHour: number;
  readonly updatesPerHour: number;
  readonly connectionsPerHour: number;
  readonly userConnections: number;
}

/** PASSWORD_LOCK_TIME UNBOUNDED. */
export const LOCK_UNBOUNDED = -1;

/** When failed logins in a row shut an account out; undefined: as the settings of the server say. */
export interface LoginLockLimits {
  /** FAILED_LOGIN_ATTEMPTS; 0: never. */
  readonly failedLoginAttempts: number | undefined;
  /** PASSWORD_LOCK_TIME, seconds, or LOCK_UNBOUNDED: until it is unlocked. */
  readonly passwordLockSecond: number | undefined;
}

export interface Account extends AccountLimits, LoginLockLimits {
  readonly user: string;
  /** Host pattern as in MySQL: `%`, `10.0.0.%`, an address. */
  readonly host: string;
  /** `caching_sha2_password` or `mysql_native_password`. */
  readonly plugin: string;
  /** The plugin's hash; empty: no password. Never a password in clear. */
  readonly authString: string;
  readonly createdMs: number;
  /** ACCOUNT LOCK: nobody logs in with it. */
  readonly locked: boolean;
  readonly comment: string;
  /** REQUIRE SSL: it logs in over TLS only. */
  readonly requireTls: boolean;
  /** When the password it has was set. */
  readonly passwordChangedMs: number;
  /** PASSWORD EXPIRE: it must be changed before anything else. */
  readonly passwordExpired: boolean;
  /** Days; undefined: setting default_password_lifetime, 0: for ever. */
  readonly passwordLifetimeDays: number | undefined;
}

/** What CREATE and ALTER USER may set besides the password. */
export type AccountOptions = AccountLimits &
  LoginLockLimits &
  Pick<Account, 'locked' | 'comment' | 'requireTls' | 'passwordExpired' | 'passwordLifetimeDays'>;

export type NewAccount = Pick<Account, 'user' | 'host' | 'plugin' | 'authString'> &
  Partial<AccountOptions>;

export class AccountStore {
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  /** By user, then host pattern. */
  async list(): Promise<Account[]> {
    const rows = await this.#session.db
      .selectFrom('account')
      .selectAll()
      .orderBy('user_name')
      .orderBy('host')
      .execute();
    return rows.map(toAccount);
  }

  /** All accounts of a user; which host pattern applies is the server's matter. */
  async ofUser(user: string): Promise<Account[]> {
    const rows = await this.#session.db
      .selectFrom('account')
      .selectAll()
      .where('user_name', '=', user)
      .orderBy('host')
      .execute();
    return rows.map(toAccount);
  }

  async find(user: string, host: string): Promise<Account | undefined> {
    return (await this.ofUser(user)).find((account) => account.host === host);
  }

  /** Throws USER_EXISTS. */
  async create(account: NewAccount): Promise<Account> {
    return this.#session.write(async (tx) => {
      const { user, host } = account;
      const taken = await new AccountStore(tx).find(user, host);
      if (taken !== undefined)
        throw new SqlError('USER_EXISTS', { what: 'CREATE USER', user, host });
      const row = {
        user_name: user,
        host,
        plugin: account.plugin,
        auth_string: account.authString,
        created_ms: tx.clock.now(),
        ...columnsOf(account),
      };
      await tx.db.insertInto('account').values(row).execute();
      return toAccount({ ...NEW, ...row });
    });
  }

  /** Throws UNKNOWN_USER. */
  async setAuth(user: string, host: string, plugin: string, authString: string): Promise<void> {
    const password_changed_ms = this.#session.clock.now();
    await this.#update(user, host, {
      plugin,
      auth_string: authString,
      password_changed_ms,
      password_expired: 0,
    });
  }

  /** Those that are named. Throws UNKNOWN_USER. */
  async setOptions(user: string, host: string, options: Partial<AccountOptions>): Promise<void> {
    const change = columnsOf(options);
    if (Object.keys(change).length > 0) await this.#update(user, host, change);
  }

  async #update(
    user: string,
    host: string,
    change: Updateable<CatalogRows['account']>,
  ): Promise<void> {
    await this.#session.write(async (tx) => {
      const result = await tx.db
        .updateTable('account')
        .set(change)
        .where('user_name', '=', user)
        .where('host', '=', host)
        .executeTakeFirst();
      if (result.numUpdatedRows !== 1n) {
        throw new SqlError('UNKNOWN_USER', { what: 'ALTER USER', user, host });
      }
    });
  }

  /** With what it was given; addresses shut out are let in again. Throws UNKNOWN_USER, USER_EXISTS. */
  async rename(from: AccountName, to: AccountName): Promise<void> {
    await this.#session.write(async (tx) => {
      const taken = await new AccountStore(tx).find(to.user, to.host);
      if (taken !== undefined) throw new SqlError('USER_EXISTS', { what: 'RENAME USER', ...to });
      const name = { user_name: to.user, host: to.host };
      const result = await tx.db
        .updateTable('account')
        .set(name)
        .where('user_name', '=', from.user)
        .where('host', '=', from.host)
        .executeTakeFirst();
      if (result.numUpdatedRows !== 1n) {
        throw new SqlError('UNKNOWN_USER', { what: 'RENAME USER', ...from });
      }
      await new GrantStore(tx).renameUser(from, to);
      await new GrantStore(tx).removeLoginLocks(from.user);
    });
  }

  /** With what it was given. Throws UNKNOWN_USER. */
  async drop(user: string, host: string): Promise<void> {
    await this.#session.write(async (tx) => {
      const result = await tx.db
        .deleteFrom('account')
        .where('user_name', '=', user)
        .where('host', '=', host)
        .executeTakeFirst();
      if (result.numDeletedRows !== 1n) {
        throw new SqlError('UNKNOWN_USER', { what: 'DROP USER', user, host });
      }
      await new GrantStore(tx).removeAll({ kind: 'USER', user, host });
      await new GrantStore(tx).removeLoginLocks(user);
    });
  }
}

type OptionColumns = Partial<Pick<Selectable<CatalogRows['account']>, keyof typeof NEW>>;

/** A row's columns that nobody named. */
const NEW = {
  locked: 0,
  comment: '',
  password_changed_ms: null,
  queries_per_hour: 0,
  updates_per_hour: 0,
  connections_per_hour: 0,
  user_connections: 0,
  require_tls: 0,
  password_expired: 0,
  password_lifetime_days: null,
  failed_login_attempts: null,
  password_lock_second: null,
} as const;

/** What is not named is left out: `passwordLifetimeDays` is named when the key is there. */
function columnsOf(options: Partial<AccountOptions>): OptionColumns {
  const { locked, comment, requireTls, passwordExpired } = options;
  const { queriesPerHour, updatesPerHour, connectionsPerHour, userConnections } = options;
  const { failedLoginAttempts, passwordLockSecond } = options;
  return {
    ...(locked === undefined ? {} : { locked: locked ? 1 : 0 }),
    ...(comment === undefined ? {} : { comment }),
    ...(requireTls === undefined ? {} : { require_tls: requireTls ? 1 : 0 }),
    ...(passwordExpired === undefined ? {} : { password_expired: passwordExpired ? 1 : 0 }),
    ...('passwordLifetimeDays' in options
      ? { password_lifetime_days: options.passwordLifetimeDays ?? null }
      : {}),
    ...(queriesPerHour === undefined ? {} : { queries_per_hour: queriesPerHour }),
    ...(updatesPerHour === undefined ? {} : { updates_per_hour: updatesPerHour }),
    ...(connectionsPerHour === undefined ? {} : { connections_per_hour: connectionsPerHour }),
    ...(userConnections === undefined ? {} : { user_connections: userConnections }),
    ...(failedLoginAttempts === undefined ? {} : { failed_login_attempts: failedLoginAttempts }),
    ...(passwordLockSecond === undefined ? {} : { password_lock_second: passwordLockSecond }),
  };
}

function toAccount(row: Selectable<CatalogRows['account']>): Account {
  return {
    user: row.user_name,
    host: row.host,
    plugin: row.plugin,
    authString: row.auth_string,
    createdMs: row.created_ms,
    locked: row.locked === 1,
    comment: row.comment,
    queriesPerHour: row.queries_per_hour,
    updatesPerHour: row.updates_per_hour,
    connectionsPerHour: row.connections_per_hour,
    userConnections: row.user_connections,
    requireTls: row.require_tls === 1,
    passwordChangedMs: row.password_changed_ms ?? row.created_ms,
    passwordExpired: row.password_expired === 1,
    passwordLifetimeDays: row.password_lifetime_days ?? undefined,
    failedLoginAttempts: row.failed_login_attempts ?? undefined,
    passwordLockSecond: row.password_lock_second ?? undefined,
  };
}
