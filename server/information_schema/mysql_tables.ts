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
  /** All roles of an account, and those that are active from the login on. */
  readonly rolesOf: (account: Account) => readonly string[];
  readonly defaultRolesOf: (account: Account) => readonly string[];
  /** Hashes of passwords are for administrators. */
  readonly showsHashes: boolean;
}

/** Roles have no host here. MySQL's default is this. */
const ANY_HOST = '%';

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
/** Of `mysql.user` and, for a database, `mysql.db`; they are an administrator's here. */
const MORE_COLUMNS = [
  'Create_tmp_table_priv',
  'Lock_tables_priv',
  'Create_view_priv',
  'Show_view_priv',
  'Create_routine_priv',
  'Alter_routine_priv',
  'Execute_priv',
  'Event_priv',
  'Trigger_priv',
];
/** Of `mysql.user` alone. */
const ADMIN_COLUMNS = [
  'Reload_priv',
  'Shutdown_priv',
  'Process_priv',
  'File_priv',
  'Show_db_priv',
  'Super_priv',
  'Repl_slave_priv',
  'Repl_client_priv',
  'Create_user_priv',
  'Create_tablespace_priv',
  'Create_role_priv',
  'Drop_role_priv',
  ...MORE_COLUMNS,
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

/** Time zones that SET time_zone and CONVERT_TZ know by name: the runtime's. */
function zones(): readonly string[] {
  return ['UTC', ...Intl.supportedValuesOf('timeZone')];
}

/** Routines and events of MySQL 5.7: drivers of its time list procedures out of them. */
const PROC = `db name type specific_name language sql_data_access is_deterministic security_type
  param_list~ returns~ body~ definer created@ modified@ sql_mode comment~ character_set_client?
  collation_connection? db_collation? body_utf8~?`;
const EVENT = `db name body~ definer execute_at@? interval_value#? interval_field? created@ modified@
  last_executed@? starts@? ends@? status on_completion sql_mode comment originator# time_zone
  character_set_client? collation_connection? db_collation? body_utf8~?`;
const INNODB_TABLE_STATS =
  'database_name table_name last_update@ n_rows# clustered_index_size# sum_of_other_index_sizes#';
const INNODB_INDEX_STATS = `database_name table_name index_name last_update@ stat_name stat_value#
  sample_size#? stat_description`;

export const MYSQL_TABLES: readonly VirtualTable<MysqlTablesSource>[] = [
  namedTable(
    'user',
    `Host User ${names(PRIVILEGE_COLUMNS)} ${ADMIN_COLUMNS.join(' ')} ssl_type ssl_cipher x509_issuer
     x509_subject max_questions# max_updates# max_connections# max_user_connections# plugin
     authentication_string~? password_expired password_last_changed@? password_lifetime#? account_locked Password_reuse_history#?
     Password_reuse_time#? Password_require_current? User_attributes~?`,
    (source) => source.accounts.map((account) => userRow(account, source)),
  ),
  namedTable('db', `Host Db User ${names(PRIVILEGE_COLUMNS)} ${MORE_COLUMNS.join(' ')}`, (source) =>
    scopedRows(
      source,
      ({ name }) => name === ANY,
      ({ host, user }, { db }, privileges) => ({
        Host: host,
        Db: db,
        User: user,
        ...flags(privileges),
        ...Object.fromEntries(MORE_COLUMNS.map((name) => [name, 'N'])),
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
  namedTable('role_edges', 'FROM_HOST FROM_USER TO_HOST TO_USER WITH_ADMIN_OPTION', (source) =>
    source.accounts.flatMap((account) =>
      source.rolesOf(account).map((role) => ({
        FROM_HOST: ANY_HOST,
        FROM_USER: role,
        TO_HOST: account.host,
        TO_USER: account.user,
        WITH_ADMIN_OPTION: 'N',
      })),
    ),
  ),
  namedTable('default_roles', 'HOST USER DEFAULT_ROLE_HOST DEFAULT_ROLE_USER', (source) =>
    source.accounts.flatMap((account) =>
      source.defaultRolesOf(account).map((role) => ({
        HOST: account.host,
        USER: account.user,
        DEFAULT_ROLE_HOST: ANY_HOST,
        DEFAULT_ROLE_USER: role,
      })),
    ),
  ),
  // What MySQL keeps there and this server has nothing of; mycli completes names out of help_topic.
  emptyTable('columns_priv', 'Host Db User Table_name Column_name Timestamp@? Column_priv'),
  emptyTable('procs_priv', 'Host Db User Routine_name Routine_type Grantor Proc_priv Timestamp@?'),
  emptyTable('proxies_priv', 'Host User Proxied_host Proxied_user With_grant# Grantor Timestamp@?'),
  emptyTable('global_grants', 'USER HOST PRIV WITH_GRANT_OPTION'),
  emptyTable('password_history', 'Host User Password_timestamp@ Password~?'),
  emptyTable('plugin', 'name dl'),
  emptyTable('component', 'component_id# component_group_id# component_urn~'),
  emptyTable('func', 'name ret# dl type'),
  emptyTable('proc', PROC),
  emptyTable('event', EVENT),
  emptyTable('servers', 'Server_name Host Db Username Password Port# Socket Wrapper Owner'),
  emptyTable('help_topic', 'help_topic_id# name help_category_id# description~ example~ url~'),
  emptyTable('help_category', 'help_category_id# name parent_category_id#? url~'),
  emptyTable('help_keyword', 'help_keyword_id# name'),
  emptyTable('help_relation', 'help_topic_id# help_keyword_id#'),
  // Full ones say that CONVERT_TZ knows names (Django looks).
  namedTable('time_zone', 'Time_zone_id# Use_leap_seconds', () =>
    zones().map((_, at) => ({ Time_zone_id: BigInt(at + 1), Use_leap_seconds: 'N' })),
  ),
  namedTable('time_zone_name', 'Name Time_zone_id#', () =>
    zones().map((name, at) => ({ Name: name, Time_zone_id: BigInt(at + 1) })),
  ),
  emptyTable('time_zone_leap_second', 'Transition_time# Correction#'),
  emptyTable('time_zone_transition', 'Time_zone_id# Transition_time# Transition_type_id#'),
  emptyTable(
    'time_zone_transition_type',
    'Time_zone_id# Transition_type_id# Offset# Is_DST# Abbreviation',
  ),
  emptyTable('gtid_executed', 'source_uuid interval_start# interval_end#'),
  emptyTable('innodb_table_stats', INNODB_TABLE_STATS),
  emptyTable('innodb_index_stats', INNODB_INDEX_STATS),
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
