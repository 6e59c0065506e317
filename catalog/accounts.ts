/** Accounts: who may log in, from where, and how the password is checked. */
import type { Selectable, Updateable } from 'kysely';
import { SqlError } from '../base/errors.ts';
import { GrantStore } from './grants.ts';
import type { CatalogRows } from './rows.ts';
import type { Session } from './session.ts';

export interface Account {
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
}

export type NewAccount = Pick<Account, 'user' | 'host' | 'plugin' | 'authString'> &
  Partial<Pick<Account, 'comment'>>;

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
      if (taken !== undefined) throw new SqlError('USER_EXISTS', { user, host });
      const row = {
        user_name: user,
        host,
        plugin: account.plugin,
        auth_string: account.authString,
        created_ms: tx.clock.now(),
        locked: 0 as const,
        comment: account.comment ?? '',
        password_changed_ms: null,
      };
      await tx.db.insertInto('account').values(row).execute();
      return toAccount(row);
    });
  }

  /** Throws UNKNOWN_USER. */
  async setAuth(user: string, host: string, plugin: string, authString: string): Promise<void> {
    const password_changed_ms = this.#session.clock.now();
    await this.#update(user, host, { plugin, auth_string: authString, password_changed_ms });
  }

  /** ACCOUNT LOCK and UNLOCK. Throws UNKNOWN_USER. */
  async setLocked(user: string, host: string, locked: boolean): Promise<void> {
    await this.#update(user, host, { locked: locked ? 1 : 0 });
  }

  /** Throws UNKNOWN_USER. */
  async setComment(user: string, host: string, comment: string): Promise<void> {
    await this.#update(user, host, { comment });
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

function toAccount(row: Selectable<CatalogRows['account']>): Account {
  return {
    user: row.user_name,
    host: row.host,
    plugin: row.plugin,
    authString: row.auth_string,
    createdMs: row.created_ms,
    locked: row.locked === 1,
    comment: row.comment,
  };
}
