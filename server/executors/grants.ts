/** GRANT and REVOKE of privileges and roles, CREATE and DROP ROLE. */
import { SqlError } from '../../base/errors.ts';
import {
  ANY,
  type AccountName,
  type Privilege,
  type PrivilegeScope,
  type ScopeKind,
  accountText,
  isRoot,
} from '../../base/privileges.ts';
import { OK } from '../../base/values.ts';
import type { GrantEntry, GranteeName } from '../../catalog/grants.ts';
import type { AccountRef, Grant, GrantScope, Grantee } from '../../parser/statement.ts';
import { databaseDenied, privilegeNeeded, tableDenied } from '../access/ask.ts';
import { privilegesOf, scopeText } from '../access/privilege_words.ts';
import { expectMayChange, expectMayGive, findAccount, nameOf, unknownUser } from './accounts.ts';
import { type ExecContext, type Executor, databaseOf, rightsOf } from './executor.ts';

const ROLE_LENGTH_MAX = 64;

export const grant: Executor<'Grant'> = async (statement, context) => {
  const scope = scopeOf(statement.on, context);
  const option: readonly Privilege[] = statement.withGrantOption ? ['GRANT'] : [];
  const privileges = new Set([...privilegesNamed(statement.privileges, scope), ...option]);
  if (scope.kind !== 'TABLE' && statement.withGrantOption) {
    throw new SqlError('NOT_SUPPORTED', { what: `WITH GRANT OPTION on ${scopeText(scope)}` });
  }
  expectMayPass(scope, privileges, context);
  const grantees = statement.to.map((to) => granteeOf(to, context));
  await context.services.access.change(async (tx) => {
    await tx.grants.add(entriesOf(grantees, scope, privileges));
  });
  return OK;
};

/** Throws NO_SUCH_GRANT when a grantee has nothing of it. */
export const revoke: Executor<'Revoke'> = async (statement, context) => {
  const scope = scopeOf(statement.on, context);
  const privileges = new Set(privilegesNamed(statement.privileges, scope));
  expectMayPass(scope, privileges, context);
  const grantees = statement.from.map((from) => granteeOf(from, context));
  for (const grantee of grantees) {
    if (grantee.kind === 'USER' && isRoot(grantee)) {
      throw new SqlError('ROOT_IS_FIXED', { what: 'deprived of a privilege' });
    }
  }
  await context.services.access.change(async (tx) => {
    for (const grantee of grantees) {
      const removed = await tx.grants.remove(entriesOf([grantee], scope, privileges));
      if (removed > 0 || privileges.size === 0) continue;
      const name = grantee.kind === 'ROLE' ? { user: grantee.role, host: ANY_HOST } : grantee;
      throw new SqlError('NO_SUCH_GRANT', { user: name.user, host: name.host });
    }
  });
  return OK;
};

const ANY_HOST = '%';

function privilegesNamed(named: Grant['privileges'], scope: PrivilegeScope): readonly Privilege[] {
  return named.flatMap(({ name, columns }) => {
    if (columns.length > 0) throw new SqlError('NOT_SUPPORTED', { what: 'privileges on columns' });
    return privilegesOf(name, scope);
  });
}

const KINDS = {
  computeGroup: 'COMPUTE_GROUP',
  resource: 'RESOURCE',
  storageVault: 'STORAGE_VAULT',
} as const satisfies Record<string, ScopeKind>;

/** Throws NO_DB; NOT_SUPPORTED for a table of every database. */
function scopeOf(on: GrantScope, { session }: ExecContext): PrivilegeScope {
  switch (on.kind) {
    case 'table':
      if (on.db === ANY && on.table !== ANY) {
        throw new SqlError('NOT_SUPPORTED', { what: `a grant on *.${on.table}` });
      }
      return { kind: 'TABLE', db: on.db, name: on.table };
    case 'localTable':
      return { kind: 'TABLE', db: databaseOf(undefined, session), name: on.table };
    case 'computeGroup':
    case 'resource':
    case 'storageVault':
      // Doris writes '%' for all of them, too.
      return { kind: KINDS[on.kind], db: '', name: on.name === ANY_HOST ? ANY : on.name };
  }
}

/** The right to give there, and what is given. Throws PRIVILEGE_NEEDED and MySQL's relatives. */
function expectMayPass(
  scope: PrivilegeScope,
  privileges: ReadonlySet<Privilege>,
  context: ExecContext,
): void {
  const rights = rightsOf(context);
  const mayGive = scope.kind === 'TABLE' ? rights.has('GRANT', scope) : rights.hasGlobal('GRANT');
  const missing = [...privileges].filter((privilege) => !rights.has(privilege, scope));
  if (mayGive && missing.length === 0) return;
  if (scope.kind !== 'TABLE' || scope.db === ANY) {
    throw privilegeNeeded(...(mayGive ? missing : (['GRANT'] as const)));
  }
  if (scope.name === ANY) throw databaseDenied(context, scope.db);
  throw tableDenied(context, 'GRANT', scope.name);
}

/** Throws NO_CREATE_BY_GRANT, UNKNOWN_ROLE. */
function granteeOf(grantee: Grantee, context: ExecContext): GranteeName {
  if (grantee.kind === 'role') {
    const role = grantee.name;
    const { access } = context.services;
    if (access.roleRights(role) === undefined) throw new SqlError('UNKNOWN_ROLE', { role });
    return { kind: 'ROLE', role };
  }
  const account = nameOf(grantee.account, context);
  if (context.services.access.find(account) === undefined) {
    throw new SqlError('NO_CREATE_BY_GRANT', { account: accountText(account) });
  }
  return { kind: 'USER', ...account };
}

function entriesOf(
  grantees: readonly GranteeName[],
  scope: PrivilegeScope,
  privileges: ReadonlySet<Privilege>,
): GrantEntry[] {
  return grantees.flatMap((grantee) =>
    [...privileges].map((privilege) => ({ grantee, scope, privilege })),
  );
}

// ---------------------------------------------------------------------------------------------
// Roles

export const createRole: Executor<'CreateRole'> = async ({ roles, ifNotExists }, context) => {
  const { access } = context.services;
  const added = roles.filter((role) => {
    expectRoleName(role);
    if (access.roleRights(role) === undefined) return true;
    if (!ifNotExists) throw new SqlError('ROLE_EXISTS', { role });
    const message = `Authorization ID '${role}'@'%' already exists.`;
    context.session.warn({ level: 'Note', code: 3163, message });
    return false;
  });
  await access.change(async (tx) => {
    for (const role of added) await tx.grants.createRole(role);
  });
  return OK;
};

/** Throws WRONG_NAME. */
function expectRoleName(name: string): void {
  const fault =
    name === ''
      ? 'it is empty'
      : Array.from(name).length > ROLE_LENGTH_MAX
        ? `it is longer than ${ROLE_LENGTH_MAX} characters`
        : /[\p{Cc}]/u.test(name)
          ? 'it has a control character in it'
          : undefined;
  if (fault !== undefined) throw new SqlError('WRONG_NAME', { kind: 'role', name, why: fault });
}

export const dropRole: Executor<'DropRole'> = async ({ roles, ifExists }, context) => {
  const { access } = context.services;
  const found = roles.filter((role) => {
    if (access.roleRights(role) !== undefined) {
      expectMayGive(role, context);
      return true;
    }
    if (!ifExists) throw new SqlError('UNKNOWN_ROLE', { role });
    const message = `Unknown authorization ID \`${role}\`@\`%\``;
    context.session.warn({ level: 'Note', code: 3523, message });
    return false;
  });
  await access.change(async (tx) => {
    for (const role of found) await tx.grants.dropRole(role);
  });
  return OK;
};

function accountsOf(
  refs: readonly AccountRef[],
  what: string,
  context: ExecContext,
): AccountName[] {
  return refs.map((ref) => {
    const account = findAccount(ref, context);
    if (account === undefined) throw unknownUser(ref, what, context);
    return { user: account.user, host: account.host };
  });
}

export const grantRole: Executor<'GrantRole'> = async ({ roles, to }, context) => {
  for (const role of roles) expectMayGive(role, context);
  const accounts = accountsOf(to, 'GRANT', context);
  await context.services.access.change(async (tx) => {
    for (const role of roles) {
      for (const account of accounts) await tx.grants.addMember({ role, ...account });
    }
  });
  return OK;
};

/** Also `REVOKE ALL PRIVILEGES, GRANT OPTION FROM account`, which names no role. */
export const revokeRole: Executor<'RevokeRole'> = async ({ roles, from }, context) => {
  const accounts = accountsOf(from, 'REVOKE', context);
  if (isEverything(roles)) {
    await revokeEverything(accounts, context);
    return OK;
  }
  for (const role of roles) expectMayGive(role, context);
  await context.services.access.change(async (tx) => {
    for (const role of roles) {
      for (const account of accounts) {
        if (!(await tx.grants.removeMember({ role, ...account }))) {
          throw new SqlError('NO_SUCH_GRANT', { ...account });
        }
      }
    }
  });
  return OK;
};

function isEverything(words: readonly string[]): boolean {
  const [first = '', second = '', ...rest] = words.map((word) => word.toUpperCase());
  return /^ALL( PRIVILEGES)?$/.test(first) && second === 'GRANT OPTION' && rest.length === 0;
}

async function revokeEverything(
  accounts: readonly AccountName[],
  context: ExecContext,
): Promise<void> {
  const { access } = context.services;
  for (const account of accounts) {
    if (isRoot(account)) throw new SqlError('ROOT_IS_FIXED', { what: 'deprived of a privilege' });
    expectMayChange(account, context);
  }
  await access.change(async (tx) => {
    for (const account of accounts) {
      const grantee: GranteeName = { kind: 'USER', ...account };
      await tx.grants.remove(access.ownRights(account).map((right) => ({ grantee, ...right })));
    }
  });
}
