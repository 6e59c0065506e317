/**
 * Accounts, roles and grants in memory: nothing is read from the catalog when a statement is
 * checked. Whoever changes them does it through `change`, and what was changed holds when that
 * resolves: for the next statement of every session, and for the next login.
 */
import { type AccountName, isRoot } from '../../base/privileges.ts';
import type { Account } from '../../catalog/accounts.ts';
import type { Catalog, CatalogTransaction } from '../../catalog/catalog.ts';
import type { GrantEntry, GranteeName, RoleMember } from '../../catalog/grants.ts';
import { hostMatches, moreSpecificFirst } from './host_pattern.ts';
import { ALL_RIGHTS, NO_RIGHTS, type Right, Rights } from './rights.ts';

interface Snapshot {
  /** By user name; the most specific host first. */
  readonly accounts: ReadonlyMap<string, readonly Account[]>;
  readonly roles: ReadonlyMap<string, Rights>;
  readonly members: readonly RoleMember[];
  /** What each account was given itself, without its roles. */
  readonly own: ReadonlyMap<string, readonly Right[]>;
}

/** Combinations of account and roles whose rights are remembered. */
const RIGHTS_KEPT_MAX = 10_000;

const EMPTY: Snapshot = { accounts: new Map(), roles: new Map(), members: [], own: new Map() };

export class AccessControl {
  readonly #catalog: Catalog;
  #now: Snapshot = EMPTY;
  readonly #rights = new Map<string, Rights>();
  #reading: Promise<void> = Promise.resolve();

  constructor(catalog: Catalog) {
    this.#catalog = catalog;
  }

  /** Reads everything; to be awaited before the first login. */
  async load(): Promise<void> {
    const reading = this.#reading.then(async () => {
      await this.#read();
    });
    this.#reading = reading.catch(() => undefined);
    await reading;
  }

  /** One transaction, all of it or nothing; it holds when this resolves. */
  async change(work: (tx: CatalogTransaction) => Promise<void>): Promise<void> {
    await this.#catalog.transaction(work);
    await this.load();
  }

  /** By user, then host pattern. */
  accounts(): readonly Account[] {
    const all = [...this.#now.accounts.values()].flat();
    return all.sort((a, b) => compare(a.user, b.user) || compare(a.host, b.host));
  }

  find({ user, host }: AccountName): Account | undefined {
    return this.#now.accounts.get(user)?.find((account) => account.host === host);
  }

  /** The account of a user who comes from an address: the one with the most specific host. */
  match(user: string, address: string): Account | undefined {
    return this.#now.accounts.get(user)?.find((account) => hostMatches(account.host, address));
  }

  /** By name. */
  roles(): readonly string[] {
    return [...this.#now.roles.keys()].toSorted();
  }

  /** undefined: there is no such role. */
  roleRights(role: string): Rights | undefined {
    return this.#now.roles.get(role);
  }

  rolesOf({ user, host }: AccountName): readonly string[] {
    const { members } = this.#now;
    const own = members.filter((member) => member.user === user && member.host === host);
    return own.map(({ role }) => role).toSorted();
  }

  /** Those of its roles that are active from the login on. */
  defaultRolesOf({ user, host }: AccountName): readonly string[] {
    const { members } = this.#now;
    const own = members.filter((one) => one.isDefault && one.user === user && one.host === host);
    return own.map(({ role }) => role).toSorted();
  }

  membersOf(role: string): readonly AccountName[] {
    return this.#now.members.filter((member) => member.role === role);
  }

  /** Given to the account itself, not to its roles. */
  ownRights(account: AccountName): readonly Right[] {
    if (isRoot(account)) return ALL_RIGHTS.list;
    return this.#now.own.get(keyOf(account)) ?? [];
  }

  /**
   * With those of its roles: the ones named (SET ROLE) as far as it has them, else its default ones.
   * An account that was dropped has none.
   */
  rightsOf(account: AccountName, active?: readonly string[]): Rights {
    if (isRoot(account)) return ALL_RIGHTS;
    const key = active === undefined ? keyOf(account) : `${keyOf(account)}\0${active.join('\0')}`;
    let rights = this.#rights.get(key);
    if (rights === undefined) {
      rights = this.#makeRights(account, active);
      if (this.#rights.size >= RIGHTS_KEPT_MAX) this.#rights.clear();
      this.#rights.set(key, rights);
    }
    return rights;
  }

  /** With those of all its roles, active or not: what it could do. */
  rightsWithAllRoles(account: AccountName): Rights {
    return this.rightsOf(account, this.rolesOf(account));
  }

  #makeRights(account: AccountName, active: readonly string[] | undefined): Rights {
    if (this.find(account) === undefined) return NO_RIGHTS;
    const granted = active === undefined ? this.defaultRolesOf(account) : this.rolesOf(account);
    const roles = active === undefined ? granted : granted.filter((role) => active.includes(role));
    const ofRoles = roles.flatMap((role) => this.roleRights(role)?.list ?? []);
    return new Rights([...this.ownRights(account), ...ofRoles]);
  }

  async #read(): Promise<void> {
    const { accounts, grants } = this.#catalog;
    const byUser = Map.groupBy(await accounts.list(), ({ user }) => user);
    for (const list of byUser.values()) list.sort((a, b) => moreSpecificFirst(a.host, b.host));
    const byGrantee = Map.groupBy(await grants.list(), ({ grantee }) => granteeKey(grantee));
    const rightsOf = (key: string): readonly Right[] => (byGrantee.get(key) ?? []).map(toRight);
    const roles = (await grants.roles()).map((role): [string, Rights] => [
      role,
      new Rights(rightsOf(granteeKey({ kind: 'ROLE', role }))),
    ]);
    const members = await grants.members();
    const users = [...byUser.values()].flat();
    this.#now = {
      accounts: byUser,
      roles: new Map(roles),
      members,
      own: new Map(users.map((user) => [keyOf(user), rightsOf(keyOf(user))])),
    };
    this.#rights.clear();
  }
}

function keyOf({ user, host }: AccountName): string {
  return granteeKey({ kind: 'USER', user, host });
}

function granteeKey(grantee: GranteeName): string {
  return grantee.kind === 'ROLE'
    ? `ROLE\0${grantee.role}`
    : `USER\0${grantee.user}\0${grantee.host}`;
}

function toRight({ scope, privilege }: GrantEntry): Right {
  return { scope, privilege };
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
