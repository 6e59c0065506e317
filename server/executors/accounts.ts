/** Passwords of accounts, and what they may do. Making accounts and giving rights comes later. */
import { SqlError } from '../../base/errors.ts';
import { OK, textColumn } from '../../base/values.ts';
import type { Account } from '../../catalog/accounts.ts';
import type { AccountRef, Credential } from '../../parser/statement.ts';
import type { AuthPlugin } from '../mysql/handler.ts';
import {
  PASSWORD_BYTES_MAX,
  SALT_BYTES,
  isAuthString,
  makeCachingSha2,
  makeNative,
} from '../mysql/passwords.ts';
import type { ExecContext, Executor } from './executor.ts';

/** For passwords given in clear without a plugin: the safer of the two. */
const DEFAULT_PLUGIN: AuthPlugin = 'caching_sha2_password';
const PLUGINS: readonly AuthPlugin[] = ['caching_sha2_password', 'mysql_native_password'];

/** SET PASSWORD. Throws UNKNOWN_USER, BAD_PASSWORD_HASH, PASSWORD_TOO_LONG. */
export const setPassword: Executor<'SetPassword'> = async ({ account, password }, context) => {
  const found = await accountOf(account ?? { kind: 'current' }, 'SET PASSWORD', context);
  const { plugin, authString } = await authOf({ plugin: undefined, password }, context);
  await context.services.catalog.accounts.setAuth(found.user, found.host, plugin, authString);
  return OK;
};

/** ALTER USER ... IDENTIFIED: all accounts named, or with a missing one none of them. */
export const alterUser: Executor<'AlterUser'> = async (statement, context) => {
  const { users, ifExists, lock, comment } = statement;
  if (lock !== undefined) throw new SqlError('NOT_SUPPORTED', { what: 'ACCOUNT LOCK and UNLOCK' });
  if (comment !== undefined) throw new SqlError('NOT_SUPPORTED', { what: 'COMMENT of a user' });
  const changes: { readonly account: Account; readonly auth: Auth }[] = [];
  for (const { account: ref, credential } of users) {
    const account = await findAccount(ref, context);
    if (account === undefined) {
      if (!ifExists) throw unknownUser(ref, 'ALTER USER', context);
      const message = unknownUser(ref, 'ALTER USER', context).message;
      context.session.warn({ level: 'Note', code: 3162, message });
    } else if (credential !== undefined) {
      changes.push({ account, auth: await authOf(credential, context) });
    }
  }
  await context.services.catalog.transaction(async (tx) => {
    for (const { account, auth } of changes) {
      await tx.accounts.setAuth(account.user, account.host, auth.plugin, auth.authString);
    }
  });
  return OK;
};

interface Auth {
  readonly plugin: AuthPlugin;
  readonly authString: string;
}

async function authOf(credential: Credential, { services }: ExecContext): Promise<Auth> {
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

async function findAccount(ref: AccountRef, context: ExecContext): Promise<Account | undefined> {
  const { accounts } = context.services.catalog;
  if (ref.kind === 'account') return await accounts.find(ref.user, ref.host);
  const { user, host } = context.session;
  return (await accounts.find(user, host)) ?? (await accounts.find(user, '%'));
}

/** Throws UNKNOWN_USER. */
async function accountOf(ref: AccountRef, what: string, context: ExecContext): Promise<Account> {
  const account = await findAccount(ref, context);
  if (account === undefined) throw unknownUser(ref, what, context);
  return account;
}

function unknownUser(ref: AccountRef, what: string, { session }: ExecContext): SqlError {
  const { user, host } = ref.kind === 'account' ? ref : session;
  return new SqlError('UNKNOWN_USER', { what, user, host });
}

/**
 * MySQL's text: every account may do everything until there are grants. `SHOW ALL GRANTS` has
 * the first of Doris's columns, one row per account.
 */
export const showGrants: Executor<'ShowGrants'> = async ({ account: ref, all }, context) => {
  if (all) {
    const accounts = await context.services.catalog.accounts.list();
    return {
      kind: 'rows',
      columns: ['UserIdentity', 'Comment', 'Password', 'Roles', 'GlobalPrivs'].map(textColumn),
      rows: accounts.map(({ user, host, authString }) => {
        const identity = `'${user}'@'${host}'`;
        return [identity, '', authString === '' ? 'No' : 'Yes', '', 'Admin_priv'];
      }),
    };
  }
  const account = await findAccount(ref ?? { kind: 'current' }, context);
  if (account === undefined) {
    const { user, host } = ref?.kind === 'account' ? ref : context.session;
    throw new SqlError('NO_SUCH_GRANT', { user, host });
  }
  const { user, host } = account;
  const text = `GRANT ALL PRIVILEGES ON *.* TO '${user}'@'${host}' WITH GRANT OPTION`;
  const columns = [textColumn(`Grants for ${user}@${host}`)];
  return { kind: 'rows', columns, rows: [[text]] };
};
