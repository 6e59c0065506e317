/** Accounts: who there is, and their passwords. */
import { SqlError } from '../../base/errors.ts';
import { type AccountName, accountText, isRoot } from '../../base/privileges.ts';
import { OK } from '../../base/values.ts';
import { type Account, type AccountOptions, LOCK_UNBOUNDED } from '../../catalog/accounts.ts';
import type {
  AccountRef,
  Credential,
  PasswordExpiry,
  StatementOf,
} from '../../parser/statement.ts';
import { privilegeNeeded } from '../access/ask.ts';
import { hostPatternFault } from '../access/host_pattern.ts';
import { expectGoodPassword } from '../access/password_policy.ts';
import type { AuthPlugin } from '../mysql/handler.ts';
import {
  PASSWORD_BYTES_MAX,
  SALT_BYTES,
  isAuthString,
  makeCachingSha2,
  makeNative,
} from '../mysql/passwords.ts';
import { type ExecContext, type Executor, rightsOf } from './executor.ts';

/** For passwords given in clear without a plugin: the safer of the two. */
const DEFAULT_PLUGIN: AuthPlugin = 'caching_sha2_password';
const PLUGINS: readonly AuthPlugin[] = ['caching_sha2_password', 'mysql_native_password'];
const USER_LENGTH_MAX = 64;
/** Of FAILED_LOGIN_ATTEMPTS, and of the days of PASSWORD_LOCK_TIME, as in MySQL. */
const LOCK_LIMIT_MAX = 32_767;
const DAY_SECONDS = 86_400;

/** All of them or none. Without IF NOT EXISTS throws USER_EXISTS. */
export const createUser: Executor<'CreateUser'> = async (statement, context) => {
  const { users, ifNotExists, defaultRole, options } = statement;
  const { access } = context.services;
  if (defaultRole !== undefined) expectMayGive(defaultRole, context);
  const added: (AccountName & Auth)[] = [];
  for (const { account: ref, credential } of users) {
    const account = nameOf(ref, context);
    const taken = added.some((one) => one.user === account.user && one.host === account.host);
    if (taken || access.find(account) !== undefined) {
      if (!ifNotExists) throw new SqlError('USER_EXISTS', { what: 'CREATE USER', ...account });
      const message = `Authorization ID ${accountText(account)} already exists.`;
      context.session.warn({ level: 'Note', code: 3163, message });
      continue;
    }
    expectAccountName(account);
    added.push({ ...account, ...(await authOf(account.user, credential ?? NO_PASSWORD, context)) });
  }
  await access.change(async (tx) => {
    for (const account of added) {
      await tx.accounts.create({ ...account, ...changed(options) });
      if (defaultRole === undefined) continue;
      await tx.grants.addMember({ role: defaultRole, user: account.user, host: account.host });
    }
  });
  return OK;
};

const NO_PASSWORD: Credential = { plugin: undefined, password: { kind: 'clear', text: '' } };

/** Throws WRONG_NAME. */
function expectAccountName({ user, host }: AccountName): void {
  const length = Array.from(user).length;
  const fault =
    user === ''
      ? 'it is empty'
      : length > USER_LENGTH_MAX
        ? `it is longer than ${USER_LENGTH_MAX} characters`
        : /[\p{Cc}]/u.test(user)
          ? 'it has a control character in it'
          : undefined;
  if (fault !== undefined)
    throw new SqlError('WRONG_NAME', { kind: 'user', name: user, why: fault });
  const why = hostPatternFault(host);
  if (why !== undefined) throw new SqlError('WRONG_NAME', { kind: 'host', name: host, why });
}

/** SET PASSWORD. Throws UNKNOWN_USER, BAD_PASSWORD_HASH, PASSWORD_TOO_LONG, WEAK_PASSWORD. */
export const setPassword: Executor<'SetPassword'> = async ({ account: ref, password }, context) => {
  const account = findAccount(ref ?? { kind: 'current' }, context);
  if (account === undefined) throw unknownUser(ref ?? { kind: 'current' }, 'SET PASSWORD', context);
  expectMayChange(account, context);
  const auth = await authOf(account.user, { plugin: undefined, password }, context);
  await context.services.access.change(async (tx) => {
    await tx.accounts.setAuth(account.user, account.host, auth.plugin, auth.authString);
    await tx.grants.removeLoginLocks(account.user);
  });
  context.services.logins.forget(account.user);
  passwordChanged(account, context);
  return OK;
};

interface AccountChange {
  readonly account: Account;
  readonly auth: Auth | undefined;
}

/** ALTER USER: all accounts named, or with a missing one none of them. */
export const alterUser: Executor<'AlterUser'> = async (statement, context) => {
  const { users, ifExists, options } = statement;
  const { lock } = options;
  const changes: AccountChange[] = [];
  for (const { account: ref, credential } of users) {
    const account = findAccount(ref, context);
    if (account === undefined) {
      if (!ifExists) throw unknownUser(ref, 'ALTER USER', context);
      const message = unknownUser(ref, 'ALTER USER', context).message;
      context.session.warn({ level: 'Note', code: 3162, message });
      continue;
    }
    expectMayChange(account, context);
    if (lock === true && isRoot(account)) throw new SqlError('ROOT_IS_FIXED', { what: 'locked' });
    const auth =
      credential === undefined ? undefined : await authOf(account.user, credential, context);
    changes.push({ account, auth });
  }
  await context.services.access.change(async (tx) => {
    for (const { account, auth } of changes) {
      const { user, host } = account;
      if (auth !== undefined) await tx.accounts.setAuth(user, host, auth.plugin, auth.authString);
      await tx.accounts.setOptions(user, host, changed(options));
      if (auth !== undefined || lock === false) await tx.grants.removeLoginLocks(user);
    }
  });
  for (const { account, auth } of changes) {
    if (auth !== undefined || lock === false) context.services.logins.forget(account.user);
    if (auth !== undefined) passwordChanged(account, context);
  }
  return OK;
};

/** A session whose password had expired may go on. */
function passwordChanged({ user, host }: AccountName, { session }: ExecContext): void {
  const own = session.account.user === user && session.account.host === host;
  if (own) session.mustChangePassword = false;
}

/** What the words of CREATE and ALTER USER set; what was not written is left out. */
function changed(options: StatementOf<'AlterUser'>['options']): Partial<AccountOptions> {
  const { requireTls, expire, lock, comment } = options;
  const { queriesPerHour, updatesPerHour, connectionsPerHour, userConnections } = options;
  return {
    ...(requireTls === undefined ? {} : { requireTls }),
    ...(lock === undefined ? {} : { locked: lock }),
    ...(comment === undefined ? {} : { comment }),
    ...(queriesPerHour === undefined ? {} : { queriesPerHour }),
    ...(updatesPerHour === undefined ? {} : { updatesPerHour }),
    ...(connectionsPerHour === undefined ? {} : { connectionsPerHour }),
    ...(userConnections === undefined ? {} : { userConnections }),
    ...expiryOf(expire),
    ...lockLimitsOf(options),
  };
}

function lockLimitsOf(options: StatementOf<'AlterUser'>['options']): Partial<AccountOptions> {
  const { failedLoginAttempts, passwordLockSecond: seconds } = options;
  if ((failedLoginAttempts ?? 0) > LOCK_LIMIT_MAX) {
    throw new SqlError('WRONG_ARGUMENTS', {
      what: `FAILED_LOGIN_ATTEMPTS (limit ${LOCK_LIMIT_MAX})`,
    });
  }
  if (typeof seconds === 'number' && seconds > LOCK_LIMIT_MAX * DAY_SECONDS) {
    throw new SqlError('WRONG_ARGUMENTS', {
      what: `PASSWORD_LOCK_TIME (limit ${LOCK_LIMIT_MAX} days)`,
    });
  }
  return {
    ...(failedLoginAttempts === undefined ? {} : { failedLoginAttempts }),
    ...(seconds === undefined
      ? {}
      : { passwordLockSecond: seconds === 'UNBOUNDED' ? LOCK_UNBOUNDED : seconds }),
  };
}

function expiryOf(expire: PasswordExpiry | undefined): Partial<AccountOptions> {
  if (expire === undefined) return {};
  if (expire === 'NOW') return { passwordExpired: true };
  if (expire === 'DEFAULT') return { passwordLifetimeDays: undefined };
  return { passwordLifetimeDays: expire === 'NEVER' ? 0 : expire };
}

/** All of them or none; what they were given goes with them. Their sessions may do nothing then. */
export const dropUser: Executor<'DropUser'> = async ({ accounts, ifExists }, context) => {
  const found: Account[] = [];
  for (const ref of accounts) {
    const account = findAccount(ref, context);
    if (account === undefined) {
      if (!ifExists) throw unknownUser(ref, 'DROP USER', context);
      const message = unknownUser(ref, 'DROP USER', context).message;
      context.session.warn({ level: 'Note', code: 3162, message });
      continue;
    }
    if (isRoot(account)) throw new SqlError('ROOT_IS_FIXED', { what: 'dropped' });
    expectMayChange(account, context);
    if (!found.includes(account)) found.push(account);
  }
  await context.services.access.change(async (tx) => {
    for (const { user, host } of found) await tx.accounts.drop(user, host);
  });
  return OK;
};

/**
 * All of them or none, one after another, so that two can change places. What they were given goes
 * with them; sessions that run under an old name may do nothing more.
 */
export const renameUser: Executor<'RenameUser'> = async ({ renames }, context) => {
  const { access, logins } = context.services;
  const pairs = renames.map(({ from, to }) => {
    const names = { from: nameOf(from, context), to: nameOf(to, context) };
    if (isRoot(names.from)) throw new SqlError('ROOT_IS_FIXED', { what: 'renamed' });
    if (access.find(names.from) !== undefined) expectMayChange(names.from, context);
    expectAccountName(names.to);
    return names;
  });
  await access.change(async (tx) => {
    for (const { from, to } of pairs) await tx.accounts.rename(from, to);
  });
  for (const { from, to } of pairs) {
    logins.forget(from.user);
    logins.forget(to.user);
  }
  return OK;
};

/** Nobody takes over an account that may do more than he may himself. Throws PRIVILEGE_NEEDED. */
export function expectMayChange(account: AccountName, context: ExecContext): void {
  const { services, session } = context;
  const own = session.account.user === account.user && session.account.host === account.host;
  if (own || rightsOf(context).covers(services.access.rightsWithAllRoles(account))) return;
  throw privilegeNeeded('ADMIN');
}

/** Throws UNKNOWN_ROLE, PRIVILEGE_NEEDED. */
export function expectMayGive(role: string, context: ExecContext): void {
  const rights = context.services.access.roleRights(role);
  if (rights === undefined) throw new SqlError('UNKNOWN_ROLE', { role });
  if (!rightsOf(context).covers(rights)) throw privilegeNeeded('ADMIN');
}

interface Auth {
  readonly plugin: AuthPlugin;
  readonly authString: string;
}

async function authOf(
  user: string,
  credential: Credential,
  { services }: ExecContext,
): Promise<Auth> {
  const named = credential.plugin?.toLowerCase();
  const plugin = PLUGINS.find((known) => known === named);
  if (named !== undefined && plugin === undefined) {
    throw new SqlError('PLUGIN_NOT_LOADED', { name: credential.plugin ?? '' });
  }
  const { password } = credential;
  if (password === undefined) {
    throw new SqlError('NOT_SUPPORTED', { what: 'IDENTIFIED WITH a plugin and no BY or AS' });
  }
  if (password.kind === 'hash') return hashAuth(password.text, plugin);
  const bytes = Buffer.byteLength(password.text);
  if (bytes > PASSWORD_BYTES_MAX) {
    throw new SqlError('PASSWORD_TOO_LONG', { bytes, limit: PASSWORD_BYTES_MAX });
  }
  expectGoodPassword(services.config, user, password.text);
  switch (plugin ?? DEFAULT_PLUGIN) {
    case 'mysql_native_password':
      return { plugin: 'mysql_native_password', authString: makeNative(password.text) };
    case 'caching_sha2_password': {
      const salt = services.random.bytes(SALT_BYTES);
      const authString = await makeCachingSha2(password.text, salt);
      return { plugin: 'caching_sha2_password', authString };
    }
  }
}

/** Without a plugin the form of the hash says which one it is. */
function hashAuth(text: string, named: AuthPlugin | undefined): Auth {
  const plugins = named === undefined ? PLUGINS : [named];
  const plugin = plugins.find((candidate) => isAuthString(candidate, text));
  if (plugin === undefined) throw new SqlError('BAD_PASSWORD_HASH');
  return { plugin, authString: text };
}

export function nameOf(ref: AccountRef, { session }: ExecContext): AccountName {
  return ref.kind === 'account' ? { user: ref.user, host: ref.host } : session.account;
}

export function findAccount(ref: AccountRef, context: ExecContext): Account | undefined {
  return context.services.access.find(nameOf(ref, context));
}

export function unknownUser(ref: AccountRef, what: string, context: ExecContext): SqlError {
  return new SqlError('UNKNOWN_USER', { what, ...nameOf(ref, context) });
}
