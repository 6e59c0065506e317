/**
 * Counts failed logins by user and address, and refuses further ones for a while when there were
 * too many in a row. Nobody is told: a refused login is like one with a wrong password, and
 * users who do not exist are counted and refused like all others.
 */
import type { Config } from '../../base/config.ts';
import type { Clock, Log } from '../../base/ports.ts';
import { LOCK_UNBOUNDED, type LoginLockLimits } from '../../catalog/accounts.ts';
import type { Catalog } from '../../catalog/catalog.ts';

/** Pairs of user and address remembered; the ones that failed longest ago go first. */
const PAIRS_MAX = 10_000;

/** The last moment that a Date can hold. */
const FOR_EVER_MS = 8.64e15;

export interface LoginGuardDeps {
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Log;
  readonly catalog: Pick<Catalog, 'grants'>;
}

interface Pair {
  readonly failures: number;
  /** Wall clock, milliseconds; 0: not locked. */
  readonly lockedUntilMs: number;
}

export class LoginGuard {
  readonly #deps: LoginGuardDeps;
  readonly #pairs = new Map<string, Pair>();

  constructor(deps: LoginGuardDeps) {
    this.#deps = deps;
  }

  /** Locks outlive a restart. */
  async load(): Promise<void> {
    const { clock, catalog } = this.#deps;
    for (const { user, address, untilMs } of await catalog.grants.loginLocks()) {
      if (untilMs > clock.now()) this.#set(user, address, { failures: 0, lockedUntilMs: untilMs });
    }
  }

  isLocked(user: string, address: string): boolean {
    const pair = this.#pairs.get(keyOf(user, address));
    return pair !== undefined && pair.lockedUntilMs > this.#deps.clock.now();
  }

  succeeded(user: string, address: string): void {
    this.#pairs.delete(keyOf(user, address));
  }

  /** `account`: the one that applies, if there is one. Locks of others are not worth a row. */
  failed(user: string, address: string, account: LoginLockLimits | undefined): void {
    const { config, clock, log } = this.#deps;
    const limit = account?.failedLoginAttempts ?? config.get('failed_login_attempts');
    if (limit === 0 || this.isLocked(user, address)) return;
    const failures = (this.#pairs.get(keyOf(user, address))?.failures ?? 0) + 1;
    if (failures < limit) {
      this.#set(user, address, { failures, lockedUntilMs: 0 });
      return;
    }
    const seconds = account?.passwordLockSecond ?? config.get('failed_login_lock_second');
    const lockedUntilMs = seconds === LOCK_UNBOUNDED ? FOR_EVER_MS : clock.now() + seconds * 1000;
    this.#set(user, address, { failures: 0, lockedUntilMs });
    log.warn('too many failed logins: refused for a while', { user, address, failures });
    if (account !== undefined) this.#store(user, address, lockedUntilMs);
  }

  /** The user got another password, or was unlocked. */
  forget(user: string): void {
    for (const key of this.#pairs.keys()) {
      if (key.startsWith(`${user}\0`)) this.#pairs.delete(key);
    }
  }

  #set(user: string, address: string, pair: Pair): void {
    const key = keyOf(user, address);
    this.#pairs.delete(key);
    this.#pairs.set(key, pair);
    if (this.#pairs.size <= PAIRS_MAX) return;
    for (const oldest of this.#pairs.keys()) {
      this.#pairs.delete(oldest);
      break;
    }
  }

  #store(user: string, address: string, untilMs: number): void {
    const { catalog, log } = this.#deps;
    catalog.grants.addLoginLock({ user, address, untilMs }).catch((error: unknown) => {
      log.warn('a lock after failed logins is not stored', { error: String(error) });
    });
  }
}

function keyOf(user: string, address: string): string {
  return `${user}\0${address.replace(/^::ffff:/, '')}`;
}
