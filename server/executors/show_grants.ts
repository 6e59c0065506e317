/** SHOW GRANTS, SHOW ALL GRANTS and SHOW ROLES. */
import { SqlError } from '../../base/errors.ts';
import {
  type AccountName,
  GLOBAL,
  type Privilege,
  type PrivilegeScope,
  accountText,
} from '../../base/privileges.ts';
import { type SqlRow, textColumn } from '../../base/values.ts';
import type { Account } from '../../catalog/accounts.ts';
import { grantText, scopeText } from '../access/privilege_words.ts';
import type { Right, Rights } from '../access/rights.ts';
import { nameOf } from './accounts.ts';
import { type ExecContext, type Executor, rightsOf } from './executor.ts';
import { filtered } from './filtered.ts';

/**
 * MySQL's form, with what comes from roles: statements that give what the account may do.
 * `SHOW ALL GRANTS` has Doris's columns, one row per account.
 */
export const showGrants: Executor<'ShowGrants'> = ({ account: ref, all, filter }, context) => {
  if (all) {
    const heading = { columns: ALL_GRANTS_COLUMNS, likeColumns: ['UserIdentity'] };
    return filtered(heading, grantRows(context), filter, context);
  }
  const { access } = context.services;
  const account = nameOf(ref ?? { kind: 'current' }, context);
  if (access.find(account) === undefined) throw new SqlError('NO_SUCH_GRANT', { ...account });
  const name = accountText(account);
  const scopes = byScope(access.rightsWithAllRoles(account).list);
  if (!scopes.has(scopeText(GLOBAL))) scopes.set(scopeText(GLOBAL), [GLOBAL, new Set()]);
  const rows = [...scopes]
    .toSorted(([a], [b]) => order(a) - order(b) || (a < b ? -1 : 1))
    .map(([, [scope, privileges]]) => [grantText(scope, privileges, name)]);
  const roles = access.rolesOf(account).map((role) => [`GRANT '${role}' TO ${name}`]);
  const columns = [textColumn(`Grants for ${account.user}@${account.host}`)];
  const likeColumns = columns.map((column) => column.name);
  return filtered({ columns, likeColumns }, [...rows, ...roles], filter, context);
};

type Scopes = Map<string, [PrivilegeScope, Set<Privilege>]>;

export function byScope(rights: readonly Right[]): Scopes {
  const scopes: Scopes = new Map();
  for (const { scope, privilege } of rights) {
    const key = scopeText(scope);
    const [, privileges] = scopes.get(key) ?? [scope, new Set<Privilege>()];
    scopes.set(key, [scope, privileges.add(privilege)]);
  }
  return scopes;
}

/** What is given everywhere comes first, then tables, then the rest. */
function order(scope: string): number {
  return scope === '*.*' ? 0 : scope.startsWith('`') ? 1 : 2;
}

/** Accounts that the session may know of: its own, or with GRANT on *.* all. */
export function accountsSeen(context: ExecContext): readonly Account[] {
  const { services, session } = context;
  const all = services.access.accounts();
  if (rightsOf(context).hasGlobal('GRANT')) return all;
  const own = session.account;
  return all.filter(({ user, host }) => user === own.user && host === own.host);
}

const ALL_GRANTS = [
  'UserIdentity',
  'Comment',
  'Password',
  'Roles',
  'GlobalPrivs',
  'CatalogPrivs',
  'DatabasePrivs',
  'TablePrivs',
  'ColPrivs',
  'ResourcePrivs',
  'CloudClusterPrivs',
  'StorageVaultPrivs',
];

export const ALL_GRANTS_COLUMNS = ALL_GRANTS.map(textColumn);

/** One row for each account that the user may see. */
export function grantRows(context: ExecContext): readonly SqlRow[] {
  const { access } = context.services;
  return accountsSeen(context).map((account): SqlRow => {
    const rights = access.rightsWithAllRoles(account);
    return [
      accountText(account),
      account.comment,
      account.authString === '' ? 'No' : 'Yes',
      access.rolesOf(account).join(','),
      ...privilegeCells(rights),
    ];
  });
}

/** Doris's words, one cell for each kind of scope. */
function privilegeCells({ list }: Rights): readonly (string | null)[] {
  const scopes = [...byScope(list).values()];
  const cell = (belongs: (scope: PrivilegeScope) => boolean, named = true): string | null => {
    const texts = scopes.flatMap(([scope, privileges]) => {
      if (!belongs(scope)) return [];
      const words = [...privileges].map(dorisWord).join(',');
      return [named ? `${scopeName(scope)}: ${words}` : words];
    });
    return texts.length === 0 ? null : texts.join('; ');
  };
  return [
    cell(({ kind, db }) => kind === 'TABLE' && db === '*', false),
    null,
    cell(({ kind, db, name }) => kind === 'TABLE' && db !== '*' && name === '*'),
    cell(({ kind, name, db }) => kind === 'TABLE' && db !== '*' && name !== '*'),
    null,
    cell(({ kind }) => kind === 'RESOURCE'),
    cell(({ kind }) => kind === 'COMPUTE_GROUP'),
    cell(({ kind }) => kind === 'STORAGE_VAULT'),
  ];
}

function scopeName({ kind, db, name }: PrivilegeScope): string {
  if (kind !== 'TABLE') return name;
  return name === '*' ? `internal.${db}` : `internal.${db}.${name}`;
}

/** `Select_priv`. */
function dorisWord(privilege: Privilege): string {
  return `${privilege.slice(0, 1)}${privilege.slice(1).toLowerCase()}_priv`;
}

const ROLES = ['Name', 'Comment', 'Users', 'GlobalPrivs', 'CatalogPrivs', 'DatabasePrivs'];

export const ROLES_COLUMNS = [...ROLES, ...ALL_GRANTS.slice(7)].map(textColumn);

/** Doris's columns. Without GRANT on *.* one's own roles. */
export const showRoles: Executor<'ShowRoles'> = ({ filter }, context) =>
  filtered({ columns: ROLES_COLUMNS, likeColumns: ['Name'] }, roleRows(context), filter, context);

export function roleRows(context: ExecContext): readonly SqlRow[] {
  const { access } = context.services;
  const { account } = context.session;
  const all = rightsOf(context).hasGlobal('GRANT');
  const roles = all ? access.roles() : access.rolesOf(account);
  return roles.map((role): SqlRow => {
    const members: readonly AccountName[] = all ? access.membersOf(role) : [account];
    const rights = access.roleRights(role);
    return [
      role,
      '',
      members.map(accountText).join(', '),
      ...(rights === undefined ? ROLES_COLUMNS.slice(3).map(() => null) : privilegeCells(rights)),
    ];
  });
}
