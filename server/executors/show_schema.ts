/** SHOW of databases, tables, columns and keys: MySQL's columns over information_schema's rows. */
import { SqlError } from '../../base/errors.ts';
import { type RowsResult, textColumn } from '../../base/values.ts';
import type { ShowFilter, TableName } from '../../parser/statement.ts';
import { columnsOfIndex } from '../../base/schema.ts';
import { RESERVED_DATABASES } from '../../catalog/names.ts';
import { ACCOUNTS_DATABASE } from '../access/rights.ts';
import { InformationSchema } from '../information_schema/information_schema.ts';
import {
  PERFORMANCE_SCHEMA,
  PERFORMANCE_TABLES,
  performanceTable,
} from '../information_schema/performance_tables.ts';
import { MYSQL_TABLES, mysqlTable } from '../information_schema/mysql_tables.ts';
import { isSystemDatabase } from '../information_schema/system_databases.ts';
import { SCHEMA, SchemaSource } from '../schema_source.ts';
import type { SelectColumn } from '../select/table_provider.ts';
import { expectDatabase } from './databases.ts';
import { type ExecContext, type Executor, databaseOf, rightsOf, tableNameOf } from './executor.ts';
import { NO_FILTER, type SchemaView, filtered, showView } from './filtered.ts';

/** The database whose tables `information_schema` has too, and the one table it has. */
const INTERNAL_SCHEMA = '__internal_schema';
const INTERNAL_TABLE = 'cloud_cache_hotspot';

/** MySQL puts the pattern into the name of the first column. */
function listName(name: string, { like }: ShowFilter): string {
  return like === undefined ? name : `${name} (${like})`;
}

export const showDatabases: Executor<'ShowDatabases'> = async ({ filter }, context) => {
  const source = new SchemaSource(context);
  const system = [...RESERVED_DATABASES].filter((database) => source.sees(database));
  const names = [...system, ...(await source.databases())].toSorted();
  const name = listName('Database', filter);
  const heading = { columns: [textColumn(name)], likeColumns: [name] };
  const rows = names.map((database) => [database]);
  return filtered(heading, rows, filter, context);
};

export const showTables: Executor<'ShowTables'> = async ({ db, full, filter }, context) => {
  const database = databaseOf(db, context.session);
  const tables = await tablesOf(database, context);
  const name = listName(`Tables_in_${database}`, filter);
  const columns = [textColumn(name), ...(full ? [textColumn('Table_type')] : [])];
  // Dumps of all databases say SHOW TABLES alone, and they could not make those again; who looks
  // around says FROM (phpMyAdmin's page of accounts goes by it).
  const listed = full || db !== undefined || !isUndumped(database) ? tables : [];
  const rows = listed.map((table) => (full ? [table.name, table.type] : [table.name]));
  return filtered({ columns, likeColumns: [name] }, rows, filter, context);
};

/** Databases of the server that dumps do not leave out by themselves. */
function isUndumped(database: string): boolean {
  return database === INTERNAL_SCHEMA || database === ACCOUNTS_DATABASE;
}

interface NamedTable {
  readonly name: string;
  readonly type: 'BASE TABLE' | 'SYSTEM VIEW';
}

/** By name. Throws BAD_DB. */
async function tablesOf(database: string, context: ExecContext): Promise<readonly NamedTable[]> {
  const { catalog } = context.services;
  if (InformationSchema.isName(database)) {
    const tables = SCHEMA.tables.map(({ name }) => name);
    return tables.toSorted().map((name) => ({ name, type: 'SYSTEM VIEW' }));
  }
  if (database.toLowerCase() === PERFORMANCE_SCHEMA) {
    return PERFORMANCE_TABLES.map(({ name }) => ({ name, type: 'BASE TABLE' }));
  }
  if (isSystemDatabase(database)) {
    if (database === INTERNAL_SCHEMA) return [{ name: INTERNAL_TABLE, type: 'SYSTEM VIEW' }];
    const tables = database === ACCOUNTS_DATABASE ? MYSQL_TABLES : [];
    return tables.map(({ name }) => ({ name, type: 'SYSTEM VIEW' }));
  }
  const known = await catalog.databases.find(database);
  if (known === undefined) throw new SqlError('BAD_DB', { name: database });
  const rights = rightsOf(context);
  const tables = (await catalog.tables.list(known.databaseId)).filter((table) =>
    rights.seesTable(database, table.name),
  );
  return tables.map(({ name }) => ({ name, type: 'BASE TABLE' }));
}

// prettier-ignore
const TABLE_STATUS: SchemaView = {
  table: 'TABLES',
  like: 'Name',
  columns: [
    ['Name', 'TABLE_NAME'], ['Engine', 'ENGINE'], ['Version', 'VERSION'], ['Row_format', 'ROW_FORMAT'], ['Rows', 'TABLE_ROWS'],
    ['Avg_row_length', 'AVG_ROW_LENGTH'], ['Data_length', 'DATA_LENGTH'], ['Max_data_length', 'MAX_DATA_LENGTH'],
    ['Index_length', 'INDEX_LENGTH'], ['Data_free', 'DATA_FREE'], ['Auto_increment', 'AUTO_INCREMENT'],
    ['Create_time', 'CREATE_TIME'], ['Update_time', 'UPDATE_TIME'], ['Check_time', 'CHECK_TIME'], ['Collation', 'TABLE_COLLATION'],
    ['Checksum', 'CHECKSUM'], ['Create_options', 'CREATE_OPTIONS'], ['Comment', 'TABLE_COMMENT'],
    ['Max_index_length', 'MAX_INDEX_LENGTH'], ['Temporary', 'TEMPORARY'],
  ],
};

export const showTableStatus: Executor<'ShowTableStatus'> = async ({ db, filter }, context) => {
  const database = databaseOf(db, context.session);
  await expectDatabase(context.services, database);
  const place = schemaPlace(database);
  const source = new SchemaSource(context, { database: place });
  return await showView(TABLE_STATUS, source, filter, (cell) => {
    const inDatabase = cell('TABLE_SCHEMA') === place;
    return inDatabase && (database !== INTERNAL_SCHEMA || cell('TABLE_NAME') === INTERNAL_TABLE);
  });
};

/** Where information_schema's own tables list a database's tables. */
function schemaPlace(database: string): string {
  const virtual = InformationSchema.isName(database) || database === INTERNAL_SCHEMA;
  return virtual ? 'information_schema' : database;
}

// ---------------------------------------------------------------------------------------------
// Columns and keys of one table

const PLAIN_COLUMNS = [
  ['Field', 'COLUMN_NAME'],
  ['Type', 'COLUMN_TYPE'],
  ['Null', 'IS_NULLABLE'],
  // As information_schema has it: PRI for UNIQUE tables, MUL for the sort key of the others (its
  // values may repeat), which is what MySQL's clients and BI tools understand.
  ['Key', 'COLUMN_KEY'],
  ['Default', 'COLUMN_DEFAULT'],
  ['Extra', 'EXTRA'],
] as const;
const FULL_COLUMNS = [
  ...PLAIN_COLUMNS.slice(0, 2),
  ['Collation', 'COLLATION_NAME'] as const,
  ...PLAIN_COLUMNS.slice(2),
  ['Privileges', 'PRIVILEGES'] as const,
  ['Comment', 'COLUMN_COMMENT'] as const,
];

export const showColumns: Executor<'ShowColumns'> = async ({ table, full, filter }, context) => {
  const columns = full ? FULL_COLUMNS : PLAIN_COLUMNS;
  return await showOfTable({ table: 'COLUMNS', like: 'Field', columns }, table, filter, context);
};

/** `DESC t`, `DESC t column`, `DESC t 'pattern'`; `DESC t ALL` names the index of each column. */
export const describe: Executor<'Describe'> = async ({ table, column, all }, context) => {
  const filter = { ...NO_FILTER, like: column };
  const view = { table: 'COLUMNS', like: 'Field', columns: PLAIN_COLUMNS };
  const result = await showOfTable(view, table, filter, context);
  if (!all) return result;
  return await describeAll(table, result, context);
};

/** Doris's first two columns in front: which index has the columns, and its kind of key. */
async function describeAll(
  name: TableName,
  { columns, rows }: RowsResult,
  context: ExecContext,
): Promise<RowsResult> {
  const { db, table } = tableNameOf(name, context.session);
  const known = await context.services.catalog.tables.find(db, table);
  if (known === undefined || !Array.isArray(rows)) return { kind: 'rows', columns, rows };
  const described = rows as readonly (readonly (string | null)[])[];
  const keyAt = columns.findIndex((column) => column.name === 'Key');
  const indexed = known.indexes.flatMap((index) =>
    columnsOfIndex(known, index.indexId)
      .flatMap((column) => {
        const row = described.find(([field]) => field === column.name);
        const isHidden = row === undefined;
        return isHidden ? [] : [row.with(keyAt, column.isKey ? 'MUL' : '')];
      })
      .map((row, at) => [
        at === 0 ? index.name : '',
        at === 0 ? `${known.keysType.slice(0, 3)}_KEYS` : '',
        ...row,
      ]),
  );
  return {
    kind: 'rows',
    columns: [textColumn('IndexName'), textColumn('IndexKeysType'), ...columns],
    rows: indexed,
  };
}

// prettier-ignore
const INDEX: SchemaView = {
  table: 'STATISTICS',
  like: 'Key_name',
  columns: [
    ['Table', 'TABLE_NAME'], ['Non_unique', 'NON_UNIQUE'], ['Key_name', 'INDEX_NAME'], ['Seq_in_index', 'SEQ_IN_INDEX'],
    ['Column_name', 'COLUMN_NAME'], ['Collation', 'COLLATION'], ['Cardinality', 'CARDINALITY'], ['Sub_part', 'SUB_PART'],
    ['Packed', 'PACKED'], ['Null', 'NULLABLE'], ['Index_type', 'INDEX_TYPE'], ['Comment', 'COMMENT'],
    ['Index_comment', 'INDEX_COMMENT'], ['Ignored', 'IGNORED'],
  ],
};

export const showIndex: Executor<'ShowIndex'> = async ({ table, filter }, context) =>
  await showOfTable(INDEX, table, filter, context);

/** The rows of one table. Throws BAD_DB, NO_SUCH_TABLE. */
async function showOfTable(
  view: SchemaView,
  name: TableName,
  filter: ShowFilter,
  context: ExecContext,
): Promise<RowsResult> {
  const { db, table } = tableNameOf(name, context.session);
  if (isSystemDatabase(db)) {
    const known = systemTable(db, table)?.name;
    if (known === undefined) throw new SqlError('NO_SUCH_TABLE', { name: `${db}.${table}` });
    const source = new SchemaSource(context, { database: db, table });
    return await showView(
      view,
      source,
      filter,
      (cell) => cell('TABLE_SCHEMA') === schemaPlace(db) && cell('TABLE_NAME') === known,
    );
  }
  await context.services.catalog.tables.get(db, table);
  const source = new SchemaSource(context, { database: db, table });
  return await showView(view, source, filter, (cell) => cell('TABLE_SCHEMA') === db);
}

/** A table that the server makes itself, its name as it is listed. */
export function systemTable(
  db: string,
  table: string,
): { readonly name: string; readonly columns: readonly SelectColumn[] } | undefined {
  if (InformationSchema.isName(db)) return SCHEMA.table(table);
  if (db.toLowerCase() === PERFORMANCE_SCHEMA) return performanceTable(table);
  if (db === ACCOUNTS_DATABASE) return mysqlTable(table);
  return db === INTERNAL_SCHEMA && table === INTERNAL_TABLE ? SCHEMA.table(table) : undefined;
}

// ---------------------------------------------------------------------------------------------
// What MySQL has and this server does not: no rows, MySQL's columns

// prettier-ignore
const TRIGGERS: SchemaView = {
  table: 'TRIGGERS',
  like: 'Table',
  columns: [
    ['Trigger', 'TRIGGER_NAME'], ['Event', 'EVENT_MANIPULATION'], ['Table', 'EVENT_OBJECT_TABLE'], ['Statement', 'ACTION_STATEMENT'],
    ['Timing', 'ACTION_TIMING'], ['Created', 'CREATED'], ['sql_mode', 'SQL_MODE'], ['Definer', 'DEFINER'],
    ['character_set_client', 'CHARACTER_SET_CLIENT'], ['collation_connection', 'COLLATION_CONNECTION'], ['Database Collation', 'DATABASE_COLLATION'],
  ],
};
// prettier-ignore
const EVENTS: SchemaView = {
  table: 'EVENTS',
  like: 'Name',
  columns: [
    ['Db', 'EVENT_SCHEMA'], ['Name', 'EVENT_NAME'], ['Definer', 'DEFINER'], ['Time zone', 'TIME_ZONE'], ['Type', 'EVENT_TYPE'],
    ['Execute at', 'EXECUTE_AT'], ['Interval value', 'INTERVAL_VALUE'], ['Interval field', 'INTERVAL_FIELD'], ['Starts', 'STARTS'],
    ['Ends', 'ENDS'], ['Status', 'STATUS'], ['Originator', 'ORIGINATOR'], ['character_set_client', 'CHARACTER_SET_CLIENT'],
    ['collation_connection', 'COLLATION_CONNECTION'], ['Database Collation', 'DATABASE_COLLATION'],
  ],
};

export const showTriggers: Executor<'ShowTriggers'> = async ({ db, filter }, context) => {
  await expectDatabase(context.services, databaseOf(db, context.session));
  return await showView(TRIGGERS, new SchemaSource(context), filter);
};

export const showEvents: Executor<'ShowEvents'> = async ({ db, filter }, context) => {
  await expectDatabase(context.services, databaseOf(db, context.session));
  return await showView(EVENTS, new SchemaSource(context), filter);
};

/** There is no table cache that could have tables open. */
export const showOpenTables: Executor<'ShowOpenTables'> = ({ filter }, context) => {
  const columns = ['Database', 'Table', 'In_use', 'Name_locked'].map(textColumn);
  return filtered({ columns, likeColumns: ['Table'] }, [], filter, context);
};
