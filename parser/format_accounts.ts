/** Accounts, credentials, roles and grants as text; see `format.ts`. */
import { isReserved } from '../grammar/keywords.ts';
import { nameText, stringText } from '../grammar/literals.ts';
import type {
  AccountRef,
  Credential,
  Grantee,
  GrantScope,
  PasswordExpiry,
  RoleChoice,
} from '../grammar/nodes/accounts.ts';
import type { StatementOf } from '../grammar/nodes/statement.ts';
import { names, secretText, words, type FormatOptions } from './format_clauses.ts';

export function accountText(ref: AccountRef): string {
  if (ref.kind === 'current') return 'CURRENT_USER()';
  return `${stringText(ref.user)}@\`${ref.host.replaceAll('`', '``')}\``;
}

function credentialText(
  credential: Credential | undefined,
  options: FormatOptions,
): string | undefined {
  if (credential === undefined) return undefined;
  const { plugin, password } = credential;
  const by = password?.kind === 'hash' ? 'AS' : 'BY';
  return words(
    'IDENTIFIED',
    plugin !== undefined && `WITH ${stringText(plugin)}`,
    password !== undefined && `${by} ${secretText(password.text, options)}`,
  );
}

export const usersText = (
  list: StatementOf<'CreateUser'>['users'],
  options: FormatOptions,
): string =>
  list
    .map((user) => words(accountText(user.account), credentialText(user.credential, options)))
    .join(', ');

export function accountOptionsText(options: StatementOf<'AlterUser'>['options']): string {
  const { requireTls, expire, lock, comment } = options;
  const limits = [
    ['MAX_QUERIES_PER_HOUR', options.queriesPerHour],
    ['MAX_UPDATES_PER_HOUR', options.updatesPerHour],
    ['MAX_CONNECTIONS_PER_HOUR', options.connectionsPerHour],
    ['MAX_USER_CONNECTIONS', options.userConnections],
  ].flatMap(([name, count]) => (count === undefined ? [] : [`${name} ${count}`]));
  return words(
    requireTls !== undefined && `REQUIRE ${requireTls ? 'SSL' : 'NONE'}`,
    limits.length > 0 && `WITH ${limits.join(' ')}`,
    expire !== undefined && words('PASSWORD EXPIRE', expiryText(expire)),
    options.failedLoginAttempts !== undefined &&
      `FAILED_LOGIN_ATTEMPTS ${options.failedLoginAttempts}`,
    options.passwordLockSecond !== undefined && lockTimeText(options.passwordLockSecond),
    lock !== undefined && `ACCOUNT ${lock ? 'LOCK' : 'UNLOCK'}`,
    comment !== undefined && `COMMENT ${stringText(comment)}`,
  );
}

function lockTimeText(seconds: number | 'UNBOUNDED'): string {
  return `PASSWORD_LOCK_TIME ${seconds === 'UNBOUNDED' ? seconds : `${seconds} SECOND`}`;
}

function expiryText(expire: PasswordExpiry): string | false {
  if (typeof expire === 'number') return `INTERVAL ${expire} DAY`;
  return expire !== 'NOW' && expire;
}

export const strings = (list: readonly string[]): string => list.map(stringText).join(', ');

export function roleChoiceText(choice: RoleChoice): string {
  switch (choice.kind) {
    case 'none':
      return 'NONE';
    case 'all':
      return words('ALL', choice.except.length > 0 && `EXCEPT ${strings(choice.except)}`);
    case 'default':
      return 'DEFAULT';
    case 'some':
      return strings(choice.roles);
  }
}

export const granteeText = (one: Grantee): string =>
  one.kind === 'role' ? `ROLE ${stringText(one.name)}` : accountText(one.account);

const star = (name: string): string => (name === '*' ? '*' : nameText(name));

export function scopeText(scope: GrantScope): string {
  switch (scope.kind) {
    case 'table':
      return `${star(scope.db)}.${star(scope.table)}`;
    case 'localTable':
      return `TABLE ${star(scope.table)}`;
    case 'computeGroup':
      return `COMPUTE GROUP ${stringText(scope.name)}`;
    case 'resource':
      return `RESOURCE ${stringText(scope.name)}`;
    case 'storageVault':
      return `STORAGE VAULT ${stringText(scope.name)}`;
  }
}

export const privilegesText = (list: StatementOf<'Grant'>['privileges']): string =>
  list
    .map(({ name, columns }) =>
      words(privilegeName(name), columns.length > 0 && `(${names(columns)})`),
    )
    .join(', ');

/** Words stand as they are, whatever else (a name with odd characters) in quotes. */
function privilegeName(name: string): string {
  const plain = /^[A-Za-z_]+$/.test(name) && (!isReserved(name) || RESERVED_PRIVILEGES.test(name));
  return plain ? name : stringText(name);
}

const RESERVED_PRIVILEGES = /^(?:ALL|ALTER|CREATE|DELETE|DROP|INDEX|INSERT|SELECT|SHOW|UPDATE)$/i;

export function passwordText(
  { kind, text }: StatementOf<'SetPassword'>['password'],
  options: FormatOptions,
): string {
  return kind === 'clear' ? `PASSWORD(${secretText(text, options)})` : secretText(text, options);
}
