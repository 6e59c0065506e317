/** SET ROLE and SET DEFAULT ROLE: which of its roles an account uses, now and from its logins on. */
import { SqlError } from '../../base/errors.ts';
import type { AccountName } from '../../base/privileges.ts';
import { OK } from '../../base/values.ts';
import type { RoleChoice } from '../../parser/statement.ts';
import { expectMayChange, findAccount, unknownUser } from './accounts.ts';
import type { ExecContext, Executor } from './executor.ts';

/** Holds until the next SET ROLE, or the connection's end or reset. Throws ROLE_NOT_GRANTED. */
export const setRole: Executor<'SetRole'> = ({ choice }, context) => {
  const { session } = context;
  session.activeRoles = chosen(choice, session.account, context);
  return OK;
};

/** All accounts named, or none. Throws UNKNOWN_USER, ROLE_NOT_GRANTED, PRIVILEGE_NEEDED. */
export const setDefaultRole: Executor<'SetDefaultRole'> = async ({ choice, to }, context) => {
  const { access } = context.services;
  const changes = to.map((ref) => {
    const account = findAccount(ref, context);
    if (account === undefined) throw unknownUser(ref, 'SET DEFAULT ROLE', context);
    expectMayChange(account, context);
    const roles = chosen(choice, account, context) ?? access.defaultRolesOf(account);
    return { account, roles };
  });
  await access.change(async (tx) => {
    for (const { account, roles } of changes) await tx.grants.setDefaultRoles(account, roles);
  });
  return OK;
};

/** undefined: the default ones. */
function chosen(
  choice: RoleChoice,
  account: AccountName,
  { services }: ExecContext,
): readonly string[] | undefined {
  const granted = services.access.rolesOf(account);
  const expectGranted = (role: string): void => {
    const { user, host } = account;
    if (!granted.includes(role)) throw new SqlError('ROLE_NOT_GRANTED', { role, user, host });
  };
  switch (choice.kind) {
    case 'none':
      return [];
    case 'default':
      return undefined;
    case 'all':
      choice.except.forEach(expectGranted);
      return granted.filter((role) => !choice.except.includes(role));
    case 'some':
      choice.roles.forEach(expectGranted);
      return [...new Set(choice.roles)].toSorted();
  }
}
