/**
 * Who may log in, the same for the MySQL port and for HTTP. An account without a password is
 * accepted from loopback only (root on a fresh data directory has none).
 */
import { timingSafeEqual } from 'node:crypto';
import type { Config } from '../base/config.ts';
import type { Clock } from '../base/ports.ts';
import type { LoadCredentials } from '../base/agent_messages.ts';
import { SqlError } from '../base/errors.ts';
import { type HttpCaller, isLoopback } from '../base/http_access.ts';
import { type AccountName, ROOT } from '../base/privileges.ts';
import type { AccessControl } from './access/access_control.ts';
import { isPasswordExpired } from './access/password_expiry.ts';
import type { LoginGuard } from './access/login_guard.ts';
import type { Account, AuthPlugin } from './mysql/handler.ts';
import { FastAuthCache } from './mysql/fast_auth_cache.ts';
import {
  type VerifySlowly,
  fastAuthDigest,
  makeNative,
  verifyCachingSha2,
} from './mysql/passwords.ts';

/** A hash that nothing matches, after the same work as for one that something does. */
const NOBODY: Account = { plugin: 'caching_sha2_password', authString: '-' };

interface PasswordSettings {
  readonly config: Config;
  readonly clock: Clock;
  /** Default: the real one. */
  readonly verify?: VerifySlowly;
}

export class PasswordCheck {
  readonly #access: AccessControl;
  readonly #guard: LoginGuard;
  readonly #settings: PasswordSettings;
  readonly #verify: VerifySlowly;
  readonly #digests = new FastAuthCache();

  constructor(access: AccessControl, guard: LoginGuard, settings: PasswordSettings) {
    this.#settings = settings;
    this.#verify = settings.verify ?? verifyCachingSha2;
    this.#access = access;
    this.#guard = guard;
  }

  /** The account that applies to a user coming from an address; undefined: none does, for now. */
  find(user: string, host: string): Account | undefined {
    const account = this.#access.match(user, host);
    if (account === undefined || this.#guard.isLocked(user, host)) return undefined;
    if (account.authString === '' && !isLoopback(host)) return undefined;
    return { plugin: account.plugin as AuthPlugin, authString: account.authString };
  }

  /** The password was wrong, or there is no such account. */
  failed(user: string, host: string): void {
    this.#guard.failed(user, host, this.#access.match(user, host));
  }

  /** The password was right: whose it is. Throws ACCOUNT_LOCKED, ACCESS_DENIED (REQUIRE SSL). */
  admit(user: string, host: string, isEncrypted: boolean): AccountName {
    const account = this.#access.match(user, host);
    // It was dropped since its password was checked, or others that tried at the same time failed
    // too often: many guesses at once are not more guesses.
    if (account === undefined || this.#guard.isLocked(user, host)) {
      throw new SqlError('ACCESS_DENIED', { user, host, using: 'YES' });
    }
    if (account.requireTls && !isEncrypted) {
      throw new SqlError('ACCESS_DENIED', { user, host, using: 'YES' });
    }
    if (account.locked) throw new SqlError('ACCOUNT_LOCKED', { user, host });
    this.#guard.succeeded(user, host);
    return { user: account.user, host: account.host };
  }

  /** Its password must be changed before anything else is done. */
  isExpired(name: AccountName): boolean {
    const account = this.#access.find(name);
    const { config, clock } = this.#settings;
    return account !== undefined && isPasswordExpired(account, config, clock.now());
  }

  /** HTTP is not encrypted, and passwords cannot be changed there. */
  #admitHttp(user: string, peer: string): AccountName {
    const account = this.admit(user, peer, false);
    if (this.isExpired(account)) throw new SqlError('PASSWORD_EXPIRED');
    return account;
  }

  /**
   * Who asks over HTTP without the token. Without credentials it is root, as long as root has no
   * password and the request comes from this machine. Throws what `expect` throws.
   */
  async expectCaller(caller: HttpCaller, peer: string): Promise<AccountName> {
    if (caller.kind === 'user') return await this.expect({ ...caller, peer });
    const { user } = ROOT;
    const isOpen = caller.kind === 'anonymous' && this.find(user, peer)?.authString === '';
    if (isOpen) return this.#admitHttp(user, peer);
    throw new SqlError('ACCESS_DENIED', { user: '', host: peer, using: 'NO' });
  }

  /**
   * Throws ACCESS_DENIED, which does not tell an unknown user from a wrong password or from too
   * many of them; ACCOUNT_LOCKED.
   */
  async expect({ user, password, peer }: LoadCredentials): Promise<AccountName> {
    const account = this.find(user, peer) ?? NOBODY;
    if (await this.#matches(user, account, password)) return this.#admitHttp(user, peer);
    this.failed(user, peer);
    if (account.plugin === 'mysql_native_password') {
      // As long as for a user that does not exist.
      await this.#verify(NOBODY.authString, Buffer.from(password));
    }
    const using = password === '' ? 'NO' : 'YES';
    throw new SqlError('ACCESS_DENIED', { user, host: peer, using });
  }

  /** Every load asks twice: a password that was right once is compared by its digest. */
  async #matches(user: string, account: Account, password: string): Promise<boolean> {
    const { authString } = account;
    if (authString === '' || password === '') return authString === password;
    switch (account.plugin) {
      case 'mysql_native_password':
        return makeNative(password) === authString;
      case 'caching_sha2_password': {
        const bytes = Buffer.from(password);
        const digest = fastAuthDigest(bytes);
        const known = this.#digests.get(user, authString);
        if (known !== undefined && timingSafeEqual(known, digest)) return true;
        const isRight = await this.#verify(authString, bytes);
        if (isRight) this.#digests.set(user, authString, digest);
        return isRight;
      }
    }
  }
}
