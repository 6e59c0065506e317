/** SHOW CREATE USER, in the form of MySQL. */
import { SqlError } from '../../base/errors.ts';
import { accountText } from '../../base/privileges.ts';
import { textColumn } from '../../base/values.ts';
import { type Account, LOCK_UNBOUNDED } from '../../catalog/accounts.ts';
import { nameOf } from './accounts.ts';
import { type Executor, rightsOf } from './executor.ts';

const DAY_SECONDS = 86_400;

/** Throws NO_SUCH_GRANT. */
export const showCreateUser: Executor<'ShowCreateUser'> = ({ account: ref }, context) => {
  const { access } = context.services;
  const name = nameOf(ref, context);
  const account = access.find(name);
  if (account === undefined) throw new SqlError('NO_SUCH_GRANT', { ...name });
  const columns = [textColumn(`CREATE USER for ${name.user}@${name.host}`)];
  const text = createUserText(account, access.rolesOf(name), rightsOf(context).isAdmin);
  return { kind: 'rows', columns, rows: [[text]] };
};

function createUserText(account: Account, roles: readonly string[], showsHash: boolean): string {
  const { plugin, authString, requireTls, locked, comment } = account;
  const hash = authString === '' ? '' : ` AS ${quoted(showsHash ? authString : '******')}`;
  const [role] = roles;
  return [
    `CREATE USER ${accountText(account)} IDENTIFIED WITH '${plugin}'${hash}`,
    ...(role === undefined ? [] : [`DEFAULT ROLE ${quoted(role)}`]),
    `REQUIRE ${requireTls ? 'SSL' : 'NONE'}`,
    ...limitsText(account),
    `PASSWORD EXPIRE${expiryText(account)}`,
    ...lockLimitsText(account),
    `ACCOUNT ${locked ? 'LOCK' : 'UNLOCK'}`,
    ...(comment === '' ? [] : [`COMMENT ${quoted(comment)}`]),
  ].join(' ');
}

function limitsText(account: Account): string[] {
  const limits = [
    ['MAX_QUERIES_PER_HOUR', account.queriesPerHour],
    ['MAX_UPDATES_PER_HOUR', account.updatesPerHour],
    ['MAX_CONNECTIONS_PER_HOUR', account.connectionsPerHour],
    ['MAX_USER_CONNECTIONS', account.userConnections],
  ] as const;
  const written = limits.filter(([, count]) => count > 0);
  if (written.length === 0) return [];
  return [`WITH ${written.map(([name, count]) => `${name} ${count}`).join(' ')}`];
}

function expiryText({ passwordExpired, passwordLifetimeDays: days }: Account): string {
  if (passwordExpired) return '';
  if (days === undefined) return ' DEFAULT';
  return days === 0 ? ' NEVER' : ` INTERVAL ${days} DAY`;
}

function lockLimitsText({
  failedLoginAttempts: attempts,
  passwordLockSecond: seconds,
}: Account): string[] {
  const time = seconds === LOCK_UNBOUNDED ? 'UNBOUNDED' : lockTimeText(seconds ?? 0);
  return [
    ...(attempts === undefined ? [] : [`FAILED_LOGIN_ATTEMPTS ${attempts}`]),
    ...(seconds === undefined ? [] : [`PASSWORD_LOCK_TIME ${time}`]),
  ];
}

/** Whole days as MySQL has them, else with Doris's unit. */
function lockTimeText(seconds: number): string {
  return seconds % DAY_SECONDS === 0 ? String(seconds / DAY_SECONDS) : `${seconds} SECOND`;
}

function quoted(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`;
}
