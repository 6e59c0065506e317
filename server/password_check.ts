/**
 * Who may log in, the same for the MySQL port and for HTTP. An account without a password is
 * accepted from loopback only (root on a fresh data directory has none).
 */
import type { LoadCredentials } from '../base/agent_messages.ts';
import { SqlError } from '../base/errors.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { Account, AuthPlugin } from './mysql/handler.ts';
import { makeNative, verifyCachingSha2 } from './mysql/passwords.ts';

export class PasswordCheck {
  readonly #catalog: Catalog;

  constructor(catalog: Catalog) {
    this.#catalog = catalog;
  }

  /** The account that applies to a user coming from an address; undefined: none does. */
  async find(user: string, host: string): Promise<Account | undefined> {
    const accounts = await this.#catalog.accounts.ofUser(user);
    const account = accounts
      .toSorted((a, b) => b.host.replaceAll('%', '').length - a.host.replaceAll('%', '').length)
      .find((candidate) => hostMatches(candidate.host, host));
    if (account === undefined) return undefined;
    if (account.authString === '' && !isLoopback(host)) return undefined;
    return { plugin: account.plugin as AuthPlugin, authString: account.authString };
  }

  /** Throws ACCESS_DENIED; does not tell an unknown user from a wrong password. */
  async expect({ user, password, peer }: LoadCredentials): Promise<void> {
    const account = await this.find(user, peer);
    if (account !== undefined && (await matches(account, password))) return;
    const using = password === '' ? 'NO' : 'YES';
    throw new SqlError('ACCESS_DENIED', { user, host: peer, using });
  }
}

async function matches(account: Account, password: string): Promise<boolean> {
  if (account.authString === '' || password === '') return account.authString === password;
  switch (account.plugin) {
    case 'mysql_native_password':
      return makeNative(password) === account.authString;
    case 'caching_sha2_password':
      return await verifyCachingSha2(account.authString, Buffer.from(password));
  }
}

/** IPv4, IPv6 and IPv4-mapped forms of this machine. */
export function isLoopback(host: string): boolean {
  return /^(::ffff:)?127\.\d+\.\d+\.\d+$/.test(host) || host === '::1' || host === 'localhost';
}

/** `%` stands for any run of characters, `_` for one, as in MySQL's host patterns. */
function hostMatches(pattern: string, host: string): boolean {
  if (pattern === '%' || pattern === host) return true;
  if (pattern === 'localhost') return isLoopback(host);
  const source = pattern
    .replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`)
    .replaceAll('%', '.*')
    .replaceAll('_', '.');
  return new RegExp(`^${source}$`, 'i').test(host);
}
