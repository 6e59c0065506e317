/** Grants, roles and their members, and locks after failed logins. */
import { SqlError } from '../base/errors.ts';
import type { AccountName, Privilege, PrivilegeScope } from '../base/privileges.ts';
import type { CatalogRows } from './rows.ts';
import type { Session } from './session.ts';

export type GranteeName =
  | { readonly kind: 'USER'; readonly user: string; readonly host: string }
  | { readonly kind: 'ROLE'; readonly role: string };

export interface GrantEntry {
  readonly grantee: GranteeName;
  readonly scope: PrivilegeScope;
  readonly privilege: Privilege;
}

export interface RoleName extends AccountName {
  readonly role: string;
}

export interface RoleMember extends RoleName {
  /** Active from the login on. */
  readonly isDefault: boolean;
}

/** Logins of a user from an address are refused until then, wall clock. */
export interface LoginLock {
  readonly user: string;
  readonly address: string;
  readonly untilMs: number;
}

export class GrantStore {
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  async list(): Promise<GrantEntry[]> {
    const rows = await this.#session.db.selectFrom('privilege_grant').selectAll().execute();
    return rows.map(toEntry);
  }

  /** What is there already stays. */
  async add(entries: readonly GrantEntry[]): Promise<void> {
    await this.#session.write(async (tx) => {
      for (const entry of entries) {
        const row = keyOf(entry);
        let known = tx.db.selectFrom('privilege_grant').select('privilege');
        for (const name of KEY) known = known.where(name, '=', row[name]);
        if ((await known.executeTakeFirst()) !== undefined) continue;
        const added = { ...row, created_ms: tx.clock.now() };
        await tx.db.insertInto('privilege_grant').values(added).execute();
      }
    });
  }

  /** How many of them were there. */
  async remove(entries: readonly GrantEntry[]): Promise<number> {
    return await this.#session.write(async (tx) => {
      let removed = 0n;
      for (const entry of entries) {
        const row = keyOf(entry);
        let query = tx.db.deleteFrom('privilege_grant');
        for (const name of KEY) query = query.where(name, '=', row[name]);
        removed += (await query.executeTakeFirst()).numDeletedRows;
      }
      return Number(removed);
    });
  }

  /** Everything a user or a role was given, and its memberships. */
  async removeAll(grantee: GranteeName): Promise<void> {
    await this.#session.write(async (tx) => {
      const { kind, name, host } = granteeColumns(grantee);
      await tx.db
        .deleteFrom('privilege_grant')
        .where('grantee_kind', '=', kind)
        .where('grantee', '=', name)
        .where('host', '=', host)
        .execute();
      let members = tx.db.deleteFrom('role_member');
      members =
        kind === 'ROLE'
          ? members.where('role_name', '=', name)
          : members.where('user_name', '=', name).where('host', '=', host);
      await members.execute();
    });
  }

  /** What an account was given is given to its new name, which has nothing (drops take it away). */
  async renameUser(from: AccountName, to: AccountName): Promise<void> {
    await this.#session.write(async (tx) => {
      await tx.db
        .updateTable('privilege_grant')
        .set({ grantee: to.user, host: to.host })
        .where('grantee_kind', '=', 'USER')
        .where('grantee', '=', from.user)
        .where('host', '=', from.host)
        .execute();
      await tx.db
        .updateTable('role_member')
        .set({ user_name: to.user, host: to.host })
        .where('user_name', '=', from.user)
        .where('host', '=', from.host)
        .execute();
    });
  }

  /** By name. */
  async roles(): Promise<string[]> {
    const rows = await this.#session.db
      .selectFrom('role')
      .select('role_name')
      .orderBy('role_name')
      .execute();
    return rows.map((row) => row.role_name);
  }

  /** Throws ROLE_EXISTS. */
  async createRole(role: string): Promise<void> {
    await this.#session.write(async (tx) => {
      if ((await new GrantStore(tx).roles()).includes(role)) {
        throw new SqlError('ROLE_EXISTS', { role });
      }
      await tx.db
        .insertInto('role')
        .values({ role_name: role, created_ms: tx.clock.now() })
        .execute();
    });
  }

  /** With its grants and members. Throws UNKNOWN_ROLE. */
  async dropRole(role: string): Promise<void> {
    await this.#session.write(async (tx) => {
      const gone = await tx.db.deleteFrom('role').where('role_name', '=', role).executeTakeFirst();
      if (gone.numDeletedRows !== 1n) throw new SqlError('UNKNOWN_ROLE', { role });
      await new GrantStore(tx).removeAll({ kind: 'ROLE', role });
    });
  }

  async members(): Promise<RoleMember[]> {
    const rows = await this.#session.db.selectFrom('role_member').selectAll().execute();
    return rows.map((row) => ({
      role: row.role_name,
      user: row.user_name,
      host: row.host,
      isDefault: row.is_default === 1,
    }));
  }

  /** A member already: nothing happens. */
  async addMember({ role, user, host }: RoleName): Promise<void> {
    await this.#session.write(async (tx) => {
      const row = { role_name: role, user_name: user, host };
      const known = (await new GrantStore(tx).members()).some(
        (member) => member.role === role && member.user === user && member.host === host,
      );
      if (!known) await tx.db.insertInto('role_member').values(row).execute();
    });
  }

  /** SET DEFAULT ROLE: those of the account's roles that are named, and no others. */
  async setDefaultRoles({ user, host }: AccountName, roles: readonly string[]): Promise<void> {
    await this.#session.write(async (tx) => {
      const members = tx.db
        .updateTable('role_member')
        .where('user_name', '=', user)
        .where('host', '=', host);
      await members.set({ is_default: 0 }).execute();
      if (roles.length > 0) {
        await members.set({ is_default: 1 }).where('role_name', 'in', roles).execute();
      }
    });
  }

  /** False: it was none. */
  async removeMember({ role, user, host }: RoleName): Promise<boolean> {
    return await this.#session.write(async (tx) => {
      const gone = await tx.db
        .deleteFrom('role_member')
        .where('role_name', '=', role)
        .where('user_name', '=', user)
        .where('host', '=', host)
        .executeTakeFirst();
      return gone.numDeletedRows === 1n;
    });
  }

  async loginLocks(): Promise<LoginLock[]> {
    const rows = await this.#session.db.selectFrom('login_lock').selectAll().execute();
    return rows.map((row) => ({
      user: row.user_name,
      address: row.address,
      untilMs: row.until_ms,
    }));
  }

  /** Replaces an earlier one of the same user and address, and removes those that are over. */
  async addLoginLock({ user, address, untilMs }: LoginLock): Promise<void> {
    await this.#session.write(async (tx) => {
      await tx.db.deleteFrom('login_lock').where('until_ms', '<=', tx.clock.now()).execute();
      await tx.db
        .deleteFrom('login_lock')
        .where('user_name', '=', user)
        .where('address', '=', address)
        .execute();
      await tx.db
        .insertInto('login_lock')
        .values({ user_name: user, address, until_ms: untilMs })
        .execute();
    });
  }

  async removeLoginLocks(user: string): Promise<void> {
    await this.#session.write(async (tx) => {
      await tx.db.deleteFrom('login_lock').where('user_name', '=', user).execute();
    });
  }
}

const KEY = [
  'grantee_kind',
  'grantee',
  'host',
  'scope_kind',
  'scope_db',
  'scope_name',
  'privilege',
] as const;

function granteeColumns(grantee: GranteeName): {
  readonly kind: 'USER' | 'ROLE';
  readonly name: string;
  readonly host: string;
} {
  return grantee.kind === 'ROLE'
    ? { kind: 'ROLE', name: grantee.role, host: '' }
    : { kind: 'USER', name: grantee.user, host: grantee.host };
}

function keyOf({ grantee, scope, privilege }: GrantEntry) {
  const { kind, name, host } = granteeColumns(grantee);
  return {
    grantee_kind: kind,
    grantee: name,
    host,
    scope_kind: scope.kind,
    scope_db: scope.db,
    scope_name: scope.name,
    privilege,
  };
}

function toEntry(row: CatalogRows['privilege_grant']): GrantEntry {
  const grantee: GranteeName =
    row.grantee_kind === 'ROLE'
      ? { kind: 'ROLE', role: row.grantee }
      : { kind: 'USER', user: row.grantee, host: row.host };
  const scope = { kind: row.scope_kind, db: row.scope_db, name: row.scope_name };
  return { grantee, scope, privilege: row.privilege };
}
