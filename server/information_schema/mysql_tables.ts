/**
 * The tables of accounts that tools look for in database `mysql`, in MySQL's columns. They are in
 * information_schema, but not in SHOW TABLES: a dump of all databases goes by that, and it could
 * not create them again.
 */
import { ANY, type Privilege, type PrivilegeScope } from '../../base/privileges.ts';
import { timeText } from '../../base/units.ts';
import type { Account } from '../../catalog/accounts.ts';
import type { Rights } from '../access/rights.ts';
import { type NamedRow, type VirtualTable, emptyTable, namedTable } from './virtual_table.ts';

export interface MysqlTablesSource {
  readonly accounts: readonly Account[];
  readonly rightsOf: (account: Account) => Rights;
  /** Hashes of passwords are for administrators. */
  readonly showsHashes: boolean;
}

/** What a column of MySQL's says about: the privilege that stands for it here. */
const PRIVILEGE_COLUMNS: readonly (readonly [string, Privilege])[] = [
  ['Select_priv', 'SELECT'],
  ['Insert_priv', 'LOAD'],
  ['Update_priv', 'LOAD'],
  ['Delete_priv', 'LOAD'],
  ['Create_priv', 'CREATE'],
  ['Drop_priv', 'DROP'],
  ['Grant_priv', 'GRANT'],
  ['References_priv', 'ADMIN'],
  ['Index_priv', 'ALTER'],
  ['Alter_priv', 'ALTER'],
];
/** Of `mysql.user` alone. */
const ADMIN_COLUMNS = [
  'Reload_priv',
  'Shutdown_priv',
  'Process_priv',
  'File_priv',
  'Show_db_priv',
  'Super_priv',
  'Create_tmp_table_priv',
  'Lock_tables_priv',
  'Execute_priv',
  'Repl_slave_priv',
  'Repl_client_priv',
  'Create_view_priv',
  'Show_view_priv',
  'Create_routine_priv',
  'Alter_routine_priv',
  'Create_user_priv',
  'Event_priv',
  'Trigger_priv',
  'Create_tablespace_priv',
];

const names = (columns: readonly (readonly [string, Privilege])[]): string =>
  columns.map(([name]) => name).join(' ');

function flags(privileges: ReadonlySet<Privilege>): NamedRow {
  return Object.fromEntries(
    PRIVILEGE_COLUMNS.map(([name, privilege]) => [name, privileges.has(privilege) ? 'Y' : 'N']),
  );
}

function userRow(account: Account, { showsHashes, rightsOf }: MysqlTablesSource): NamedRow {
  const rights = rightsOf(account);
  const has = new Set(
    PRIVILEGE_COLUMNS.map(([, privilege]) => privilege).filter((one) => rights.hasGlobal(one)),
  );
  const admin = rights.isAdmin ? 'Y' : 'N';
  return {
    Host: account.host,
    User: account.user,
    ...flags(has),
    ...Object.fromEntries(ADMIN_COLUMNS.map((name) => [name, admin])),
    ssl_type: account.requireTls ? 'ANY' : '',
    ssl_cipher: '',
    x509_issuer: '',
    x509_subject: '',
    max_questions: BigInt(account.queriesPerHour),
    max_updates: BigInt(account.updatesPerHour),
    max_connections: BigInt(account.connectionsPerHour),
    max_user_connections: BigInt(account.userConnections),
    plugin: account.plugin,
    authentication_string: showsHashes ? account.authString : '',
    password_expired: account.passwordExpired ? 'Y' : 'N',
    password_last_changed: timeText(account.passwordChangedMs).slice(0, 19),
    password_lifetime:
      account.passwordLifetimeDays === undefined ? null : BigInt(account.passwordLifetimeDays),
    account_locked: account.locked ? 'Y' : 'N',
  };
}

function scopedRows(
  { accounts, rightsOf }: MysqlTablesSource,
  belongs: (scope: PrivilegeScope) => boolean,
  row: (account: Account, scope: PrivilegeScope, privileges: ReadonlySet<Privilege>) => NamedRow,
): NamedRow[] {
  return accounts.flatMap((account) => {
    const own = rightsOf(account).list.filter(
      ({ scope }) => scope.kind === 'TABLE' && scope.db !== ANY && belongs(scope),
    );
    const scopes = Map.groupBy(own, ({ scope }) => JSON.stringify(scope));
    return [...scopes.values()].flatMap((list) => {
      const [first] = list;
      const privileges = new Set(list.map(({ privilege }) => privilege));
      return first === undefined ? [] : [row(account, first.scope, privileges)];
    });
  });
}

const TABLE_WORDS: readonly (readonly [Privilege, string])[] = [
  ['SELECT', 'Select'],
  ['LOAD', 'Insert'],
  ['CREATE', 'Create'],
  ['DROP', 'Drop'],
  ['GRANT', 'Grant'],
  ['ALTER', 'Alter'],
];

export const MYSQL_TABLES: readonly VirtualTable<MysqlTablesSource>[] = [
  namedTable(
    'user',
    `Host User ${names(PRIVILEGE_COLUMNS)} ${ADMIN_COLUMNS.join(' ')} ssl_type ssl_cipher x509_issuer
     x509_subject max_questions# max_updates# max_connections# max_user_connections# plugin
     authentication_string~? password_expired password_last_changed@? password_lifetime#? account_locked`,
    (source) => source.accounts.map((account) => userRow(account, source)),
  ),
  namedTable('db', `Host Db User ${names(PRIVILEGE_COLUMNS)}`, (source) =>
    scopedRows(
      source,
      ({ name }) => name === ANY,
      ({ host, user }, { db }, privileges) => ({
        Host: host,
        Db: db,
        User: user,
        ...flags(privileges),
      }),
    ),
  ),
  namedTable(
    'tables_priv',
    'Host Db User Table_name Grantor Timestamp@? Table_priv Column_priv',
    (source) =>
      scopedRows(
        source,
        ({ name }) => name !== ANY,
        ({ host, user }, { db, name }, privileges) => ({
          Host: host,
          Db: db,
          User: user,
          Table_name: name,
          Grantor: '',
          Table_priv: TABLE_WORDS.filter(([one]) => privileges.has(one))
            .map(([, word]) => word)
            .join(','),
          Column_priv: '',
        }),
      ),
  ),
  // As if it was never filled: mycli completes names out of it.
  emptyTable('help_topic', 'help_topic_id# name help_category_id# description~ example~ url~'),
  // Logs that are written nowhere here: dumps of all databases ask how they are made.
  emptyTable('general_log', 'event_time@ user_host~ thread_id# server_id# command_type argument~'),
  emptyTable(
    'slow_log',
    `start_time@ user_host~ query_time@ lock_time@ rows_sent# rows_examined# db last_insert_id# insert_id#
     server_id# sql_text~ thread_id#`,
  ),
];

export function mysqlTable(name: string): VirtualTable<MysqlTablesSource> | undefined {
  return MYSQL_TABLES.find((table) => table.name === name.toLowerCase());
}
