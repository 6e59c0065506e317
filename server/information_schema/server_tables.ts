/** The server's own state under MySQL's names, and MySQL's tables that are empty here. */
import { ANY, type PrivilegeScope, accountText } from '../../base/privileges.ts';
import { shownPrivileges } from '../access/privilege_words.ts';
import type { InformationSchemaSource } from './source.ts';
import { emptyTable, namedTable, type NamedRow, type VirtualTable } from './virtual_table.ts';

type ServerTable = VirtualTable<InformationSchemaSource>;

/** Rows of the tables of privileges: MySQL's words, one a row. */
function privilegeRows(
  source: InformationSchemaSource,
  belongs: (scope: PrivilegeScope) => boolean,
  columns: (scope: PrivilegeScope) => NamedRow,
): readonly NamedRow[] {
  return source.grantees().flatMap((grantee) => {
    const { scope, privileges } = grantee;
    if (!belongs(scope)) return [];
    const { words, grantable } = shownPrivileges(privileges);
    // As in MySQL: an account without a privilege is there all the same.
    return (words.length === 0 ? ['USAGE'] : words).map((word) => ({
      GRANTEE: accountText(grantee),
      TABLE_CATALOG: 'def',
      ...columns(scope),
      PRIVILEGE_TYPE: word,
      IS_GRANTABLE: grantable ? 'YES' : 'NO',
    }));
  });
}

const isTable = ({ kind }: PrivilegeScope): boolean => kind === 'TABLE';

const pairs = (rows: readonly (readonly [string, string])[]): readonly NamedRow[] =>
  rows.map(([name, value]) => ({ VARIABLE_NAME: name, VARIABLE_VALUE: value }));
const PAIR = 'VARIABLE_NAME VARIABLE_VALUE~?';

// prettier-ignore
export const SERVER_TABLES: readonly ServerTable[] = [
  namedTable('ENGINES', 'ENGINE SUPPORT COMMENT TRANSACTIONS XA SAVEPOINTS', () => [
    { ENGINE: 'OLAP', SUPPORT: 'DEFAULT', COMMENT: 'Parquet segments in object storage', TRANSACTIONS: 'NO', XA: 'NO', SAVEPOINTS: 'NO' },
    { ENGINE: 'MEMORY', SUPPORT: 'YES', COMMENT: 'Tables of information_schema', TRANSACTIONS: 'NO', XA: 'NO', SAVEPOINTS: 'NO' },
  ]),
  namedTable('PROCESSLIST', 'ID# USER HOST DB? COMMAND TIME# STATE? INFO~? PROGRESS%', (source) =>
    source.processes().map((row) => ({
      ID: BigInt(row.id), USER: row.user, HOST: row.host, DB: row.database === '' ? null : row.database, COMMAND: row.command,
      TIME: BigInt(Math.floor(row.seconds)), STATE: row.state, INFO: row.info === '' ? null : row.info, PROGRESS: 0,
    }))),
  namedTable('SESSION_VARIABLES', PAIR, (source) => pairs(source.variables('session'))),
  namedTable('GLOBAL_VARIABLES', PAIR, (source) => pairs(source.variables('global'))),
  namedTable('SESSION_STATUS', PAIR, (source) => pairs(source.status())),
  namedTable('GLOBAL_STATUS', PAIR, (source) => pairs(source.status())),
  namedTable('USER_PRIVILEGES', 'GRANTEE TABLE_CATALOG PRIVILEGE_TYPE IS_GRANTABLE', (source) =>
    privilegeRows(source, (scope) => isTable(scope) && scope.db === ANY, () => ({}))),
  namedTable('SCHEMA_PRIVILEGES', 'GRANTEE TABLE_CATALOG TABLE_SCHEMA PRIVILEGE_TYPE IS_GRANTABLE', (source) =>
    privilegeRows(source, (scope) => isTable(scope) && scope.db !== ANY && scope.name === ANY, ({ db }) => ({ TABLE_SCHEMA: db }))),
  namedTable('TABLE_PRIVILEGES', 'GRANTEE TABLE_CATALOG TABLE_SCHEMA TABLE_NAME PRIVILEGE_TYPE IS_GRANTABLE', (source) =>
    privilegeRows(source, (scope) => isTable(scope) && scope.name !== ANY, ({ db, name }) => ({ TABLE_SCHEMA: db, TABLE_NAME: name }))),
  emptyTable('COLUMN_PRIVILEGES', 'GRANTEE TABLE_CATALOG TABLE_SCHEMA TABLE_NAME COLUMN_NAME PRIVILEGE_TYPE IS_GRANTABLE'),
  emptyTable('REFERENTIAL_CONSTRAINTS', 'CONSTRAINT_CATALOG CONSTRAINT_SCHEMA CONSTRAINT_NAME UNIQUE_CONSTRAINT_CATALOG UNIQUE_CONSTRAINT_SCHEMA UNIQUE_CONSTRAINT_NAME? MATCH_OPTION UPDATE_RULE DELETE_RULE TABLE_NAME REFERENCED_TABLE_NAME'),
  emptyTable('CHECK_CONSTRAINTS', 'CONSTRAINT_CATALOG CONSTRAINT_SCHEMA CONSTRAINT_NAME CHECK_CLAUSE~'),
  emptyTable('VIEWS', 'TABLE_CATALOG TABLE_SCHEMA TABLE_NAME VIEW_DEFINITION~ CHECK_OPTION IS_UPDATABLE DEFINER SECURITY_TYPE CHARACTER_SET_CLIENT COLLATION_CONNECTION'),
  emptyTable('ROUTINES', `SPECIFIC_NAME ROUTINE_CATALOG ROUTINE_SCHEMA ROUTINE_NAME ROUTINE_TYPE DATA_TYPE CHARACTER_MAXIMUM_LENGTH#? CHARACTER_OCTET_LENGTH#?
    NUMERIC_PRECISION#? NUMERIC_SCALE#? DATETIME_PRECISION#? CHARACTER_SET_NAME? COLLATION_NAME? DTD_IDENTIFIER~? ROUTINE_BODY ROUTINE_DEFINITION~? EXTERNAL_NAME?
    EXTERNAL_LANGUAGE PARAMETER_STYLE IS_DETERMINISTIC SQL_DATA_ACCESS SQL_PATH? SECURITY_TYPE CREATED@ LAST_ALTERED@ SQL_MODE ROUTINE_COMMENT~ DEFINER
    CHARACTER_SET_CLIENT COLLATION_CONNECTION DATABASE_COLLATION`),
  emptyTable('PARAMETERS', `SPECIFIC_CATALOG SPECIFIC_SCHEMA SPECIFIC_NAME ORDINAL_POSITION# PARAMETER_MODE? PARAMETER_NAME? DATA_TYPE CHARACTER_MAXIMUM_LENGTH#?
    CHARACTER_OCTET_LENGTH#? NUMERIC_PRECISION#? NUMERIC_SCALE#? DATETIME_PRECISION#? CHARACTER_SET_NAME? COLLATION_NAME? DTD_IDENTIFIER~ ROUTINE_TYPE`),
  emptyTable('TRIGGERS', `TRIGGER_CATALOG TRIGGER_SCHEMA TRIGGER_NAME EVENT_MANIPULATION EVENT_OBJECT_CATALOG EVENT_OBJECT_SCHEMA EVENT_OBJECT_TABLE ACTION_ORDER#
    ACTION_CONDITION~? ACTION_STATEMENT~ ACTION_ORIENTATION ACTION_TIMING ACTION_REFERENCE_OLD_TABLE? ACTION_REFERENCE_NEW_TABLE? ACTION_REFERENCE_OLD_ROW
    ACTION_REFERENCE_NEW_ROW CREATED@? SQL_MODE DEFINER CHARACTER_SET_CLIENT COLLATION_CONNECTION DATABASE_COLLATION`),
  emptyTable('EVENTS', `EVENT_CATALOG EVENT_SCHEMA EVENT_NAME DEFINER TIME_ZONE EVENT_BODY EVENT_DEFINITION~ EVENT_TYPE EXECUTE_AT@? INTERVAL_VALUE? INTERVAL_FIELD?
    SQL_MODE STARTS@? ENDS@? STATUS ON_COMPLETION CREATED@ LAST_ALTERED@ LAST_EXECUTED@? EVENT_COMMENT ORIGINATOR# CHARACTER_SET_CLIENT COLLATION_CONNECTION DATABASE_COLLATION`),
  emptyTable('FILES', `FILE_ID#? FILE_NAME? FILE_TYPE TABLESPACE_NAME? TABLE_CATALOG TABLE_SCHEMA? TABLE_NAME? LOGFILE_GROUP_NAME? LOGFILE_GROUP_NUMBER#? ENGINE
    FULLTEXT_KEYS? DELETED_ROWS#? UPDATE_COUNT#? FREE_EXTENTS#? TOTAL_EXTENTS#? EXTENT_SIZE# INITIAL_SIZE#? MAXIMUM_SIZE#? AUTOEXTEND_SIZE#? CREATION_TIME@?
    LAST_UPDATE_TIME@? LAST_ACCESS_TIME@? RECOVER_TIME#? TRANSACTION_COUNTER#? VERSION#? ROW_FORMAT? TABLE_ROWS#? AVG_ROW_LENGTH#? DATA_LENGTH#? MAX_DATA_LENGTH#?
    INDEX_LENGTH#? DATA_FREE#? CREATE_TIME@? UPDATE_TIME@? CHECK_TIME@? CHECKSUM#? STATUS EXTRA?`),
  emptyTable('PLUGINS', 'PLUGIN_NAME PLUGIN_VERSION PLUGIN_STATUS PLUGIN_TYPE PLUGIN_TYPE_VERSION PLUGIN_LIBRARY? PLUGIN_LIBRARY_VERSION? PLUGIN_AUTHOR? PLUGIN_DESCRIPTION~? PLUGIN_LICENSE? LOAD_OPTION'),
  emptyTable('TABLESPACES', 'TABLESPACE_NAME ENGINE TABLESPACE_TYPE? LOGFILE_GROUP_NAME? EXTENT_SIZE#? AUTOEXTEND_SIZE#? MAXIMUM_SIZE#? NODEGROUP_ID#? TABLESPACE_COMMENT?'),
  namedTable('KEYWORDS', 'WORD RESERVED#', () => RESERVED_WORDS.map((word) => ({ WORD: word, RESERVED: 1n }))),
];

/** Words that need backticks as names in SELECT (server/select/words.ts) and in our statements. */
// prettier-ignore
const RESERVED_WORDS = [
  'ALL', 'ALTER', 'AND', 'AS', 'ASC', 'BETWEEN', 'BY', 'CASE', 'COLLATE', 'CREATE', 'CROSS', 'DELETE', 'DESC', 'DESCRIBE', 'DISTINCT', 'DIV', 'DROP', 'ELSE',
  'EXCEPT', 'EXISTS', 'EXPLAIN', 'FETCH', 'FOR', 'FORCE', 'FROM', 'GRANT', 'GROUP', 'HAVING', 'IGNORE', 'IN', 'INDEX', 'INNER', 'INSERT', 'INTERSECT', 'INTERVAL', 'INTO', 'IS',
  'JOIN', 'KEY', 'KEYS', 'KILL', 'LATERAL', 'LEFT', 'LIKE', 'LIMIT', 'LOAD', 'LOCK', 'MOD', 'NATURAL', 'NOT', 'NULL', 'ON', 'OR', 'ORDER', 'OUTER', 'OVER',
  'PARTITION', 'PROCEDURE', 'REGEXP', 'RENAME', 'REPLACE', 'REVOKE', 'RIGHT', 'RLIKE', 'SCHEMAS', 'SELECT', 'SEPARATOR', 'SET', 'SHOW', 'STRAIGHT_JOIN', 'TABLE', 'THEN', 'TO', 'UNION', 'UNLOCK',
  'UPDATE', 'USE', 'USING', 'VALUES', 'WHEN', 'WHERE', 'WINDOW', 'WITH', 'XOR',
];
