/**
 * What accounts use of what their limits give them: connections at once, and connections, statements
 * and changes in an hour. As in MySQL an hour begins with an account's first use, the count is of
 * the account and not of the session, and FLUSH USER_RESOURCES begins anew.
 */
import { SqlError } from '../../base/errors.ts';
import type { AccountName } from '../../base/privileges.ts';
import type { Clock } from '../../base/ports.ts';
import type { AccountLimits } from '../../catalog/accounts.ts';

const HOUR_MS = 3_600_000;

interface Use {
  open: number;
  connections: number;
  queries: number;
  updates: number;
  /** Monotonic, milliseconds. */
  sinceMs: number;
}

export class AccountUse {
  readonly #clock: Clock;
  /** Of accounts that have limits, or connections. */
  readonly #uses = new Map<string, Use>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A connection begins; the function ends it. Throws ACCOUNT_LIMIT. */
  open(account: AccountName, limits: AccountLimits): () => void {
    const use = this.#use(account);
    const { user } = account;
    const { userConnections, connectionsPerHour } = limits;
    if (userConnections > 0 && use.open >= userConnections) {
      throw limitReached(user, 'max_user_connections', use.open);
    }
    if (connectionsPerHour > 0 && use.connections >= connectionsPerHour) {
      throw limitReached(user, 'max_connections_per_hour', use.connections);
    }
    use.open += 1;
    use.connections += 1;
    let ended = false;
    return () => {
      if (ended) return;
      ended = true;
      use.open -= 1;
    };
  }

  /** A statement begins. Throws ACCOUNT_LIMIT. */
  statement(account: AccountName, limits: AccountLimits, changes: boolean): void {
    const { queriesPerHour, updatesPerHour } = limits;
    if (queriesPerHour === 0 && updatesPerHour === 0) return;
    const use = this.#use(account);
    if (queriesPerHour > 0 && use.queries >= queriesPerHour) {
      throw limitReached(account.user, 'max_questions', use.queries);
    }
    use.queries += 1;
    if (!changes) return;
    if (updatesPerHour > 0 && use.updates >= updatesPerHour) {
      throw limitReached(account.user, 'max_updates', use.updates);
    }
    use.updates += 1;
  }

  /** FLUSH USER_RESOURCES. */
  reset(): void {
    for (const use of this.#uses.values()) use.sinceMs = -HOUR_MS;
  }

  #use({ user, host }: AccountName): Use {
    const key = `${user}\0${host}`;
    const now = this.#clock.monotonic();
    let use = this.#uses.get(key);
    if (use === undefined) {
      use = { open: 0, connections: 0, queries: 0, updates: 0, sinceMs: now };
      this.#uses.set(key, use);
    } else if (use.sinceMs < 0 || now - use.sinceMs >= HOUR_MS) {
      use.connections = 0;
      use.queries = 0;
      use.updates = 0;
      use.sinceMs = now;
    }
    return use;
  }
}

function limitReached(user: string, limit: string, value: number): SqlError {
  return new SqlError('ACCOUNT_LIMIT', { user, limit, value });
}
