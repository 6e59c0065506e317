/** Databases, tables, columns, keys and partitions, under MySQL's names and in its order. */
import { RESERVED_DATABASES } from '../../catalog/names.ts';
import type { ColumnDef, PartitionDef, TableDef } from '../../base/schema.ts';
import { timeText } from '../../base/units.ts';
import { columnFacts, defaultText } from './column_facts.ts';
import type { InformationSchemaSource, SchemaTable } from './source.ts';
import type { SelectColumn } from '../select/table_provider.ts';
import { namedTable, type NamedRow, type VirtualTable } from './virtual_table.ts';

export type CatalogTable = VirtualTable<InformationSchemaSource>;

export const INFORMATION_SCHEMA = 'information_schema';
const CATALOG = 'def';
const COLLATION = 'utf8mb4_general_ci';
const CHARSET = 'utf8mb4';

/** The virtual tables themselves are tables too; who knows them hands them in. */
export type VirtualTables = () => readonly {
  readonly database: string;
  readonly name: string;
  readonly columns: readonly SelectColumn[];
}[];

/** Those that show to the asking user. */
function systemDatabases(source: InformationSchemaSource): readonly string[] {
  return [...RESERVED_DATABASES].filter((name) => source.sees(name));
}

function seen(virtual: VirtualTables, source: InformationSchemaSource): ReturnType<VirtualTables> {
  return virtual().filter(({ database }) => source.sees(database));
}

export function catalogTables(virtual: VirtualTables): readonly CatalogTable[] {
  return [
    namedTable(
      'SCHEMATA',
      'CATALOG_NAME SCHEMA_NAME DEFAULT_CHARACTER_SET_NAME DEFAULT_COLLATION_NAME SQL_PATH? DEFAULT_ENCRYPTION',
      async (source) =>
        [...systemDatabases(source), ...(await source.databases())].toSorted().map(schemaRow),
    ),
    namedTable(
      'TABLES',
      `TABLE_CATALOG TABLE_SCHEMA TABLE_NAME TABLE_TYPE ENGINE? VERSION#? ROW_FORMAT? TABLE_ROWS#?
       AVG_ROW_LENGTH#? DATA_LENGTH#? MAX_DATA_LENGTH#? INDEX_LENGTH#? DATA_FREE#? AUTO_INCREMENT#?
       CREATE_TIME@? UPDATE_TIME@? CHECK_TIME@? TABLE_COLLATION? CHECKSUM#? CREATE_OPTIONS? TABLE_COMMENT
       MAX_INDEX_LENGTH#? TEMPORARY?`,
      async (source) => [
        ...seen(virtual, source).map((table) => systemTableRow(table.database, table.name)),
        ...(await source.tables(undefined)).map(tableRow),
      ],
    ),
    namedTable(
      'COLUMNS',
      `TABLE_CATALOG TABLE_SCHEMA TABLE_NAME COLUMN_NAME ORDINAL_POSITION# COLUMN_DEFAULT~? IS_NULLABLE
       DATA_TYPE CHARACTER_MAXIMUM_LENGTH#? CHARACTER_OCTET_LENGTH#? NUMERIC_PRECISION#? NUMERIC_SCALE#?
       DATETIME_PRECISION#? CHARACTER_SET_NAME? COLLATION_NAME? COLUMN_TYPE~ COLUMN_KEY EXTRA PRIVILEGES
       COLUMN_COMMENT GENERATION_EXPRESSION~ SRS_ID#?`,
      async (source) => [
        ...seen(virtual, source).flatMap((table) =>
          table.columns.map((column, at) =>
            columnRow(table.database, table.name, { ...column, isKey: false, comment: '' }, at, ''),
          ),
        ),
        ...(await source.tables(undefined)).flatMap(({ def }) =>
          def.columns.map((column, at) =>
            columnRow(def.databaseName, def.name, column, at, columnKey(def, column)),
          ),
        ),
      ],
    ),
    namedTable(
      'STATISTICS',
      `TABLE_CATALOG TABLE_SCHEMA TABLE_NAME NON_UNIQUE# INDEX_SCHEMA INDEX_NAME SEQ_IN_INDEX# COLUMN_NAME
       COLLATION? CARDINALITY#? SUB_PART#? PACKED? NULLABLE INDEX_TYPE COMMENT INDEX_COMMENT IS_VISIBLE EXPRESSION~? IGNORED`,
      async (source) => (await source.tables(undefined)).flatMap(statisticsRows),
    ),
    namedTable(
      'KEY_COLUMN_USAGE',
      `CONSTRAINT_CATALOG CONSTRAINT_SCHEMA CONSTRAINT_NAME TABLE_CATALOG TABLE_SCHEMA TABLE_NAME COLUMN_NAME
       ORDINAL_POSITION# POSITION_IN_UNIQUE_CONSTRAINT#? REFERENCED_TABLE_SCHEMA? REFERENCED_TABLE_NAME? REFERENCED_COLUMN_NAME?`,
      async (source) => (await uniqueTables(source)).flatMap(keyColumnRows),
    ),
    namedTable(
      'TABLE_CONSTRAINTS',
      'CONSTRAINT_CATALOG CONSTRAINT_SCHEMA CONSTRAINT_NAME TABLE_SCHEMA TABLE_NAME CONSTRAINT_TYPE ENFORCED',
      async (source) => (await uniqueTables(source)).map(constraintRow),
    ),
    namedTable(
      'PARTITIONS',
      `TABLE_CATALOG TABLE_SCHEMA TABLE_NAME PARTITION_NAME? SUBPARTITION_NAME? PARTITION_ORDINAL_POSITION#?
       SUBPARTITION_ORDINAL_POSITION#? PARTITION_METHOD? SUBPARTITION_METHOD? PARTITION_EXPRESSION~? SUBPARTITION_EXPRESSION~?
       PARTITION_DESCRIPTION~? TABLE_ROWS#? AVG_ROW_LENGTH#? DATA_LENGTH#? MAX_DATA_LENGTH#? INDEX_LENGTH#? DATA_FREE#?
       CREATE_TIME@? UPDATE_TIME@? CHECK_TIME@? CHECKSUM#? PARTITION_COMMENT NODEGROUP TABLESPACE_NAME?`,
      async (source) =>
        (await source.tables(undefined)).flatMap(({ def }) =>
          def.partitions.map((partition, at) => partitionRow(def, partition, at)),
        ),
    ),
  ];
}

function schemaRow(name: string): NamedRow {
  return {
    CATALOG_NAME: CATALOG,
    SCHEMA_NAME: name,
    DEFAULT_CHARACTER_SET_NAME: CHARSET,
    DEFAULT_COLLATION_NAME: COLLATION,
    DEFAULT_ENCRYPTION: 'NO',
  };
}

function systemTableRow(database: string, name: string): NamedRow {
  return {
    TABLE_CATALOG: CATALOG,
    TABLE_SCHEMA: database,
    TABLE_NAME: name,
    TABLE_TYPE: 'SYSTEM VIEW',
    ENGINE: 'MEMORY',
    TABLE_COLLATION: COLLATION,
    CREATE_OPTIONS: '',
    TABLE_COMMENT: '',
    MAX_INDEX_LENGTH: null,
    TEMPORARY: 'N',
  };
}

const big = (value: number | undefined): bigint | null =>
  value === undefined ? null : BigInt(Math.round(value));
const seconds = (ms: number): string => timeText(ms).slice(0, 19);

function tableRow({ def, rows, bytes }: SchemaTable): NamedRow {
  const average = rows === undefined || bytes === undefined || rows === 0 ? 0 : bytes / rows;
  return {
    TABLE_CATALOG: CATALOG,
    TABLE_SCHEMA: def.databaseName,
    TABLE_NAME: def.name,
    TABLE_TYPE: 'BASE TABLE',
    ENGINE: 'OLAP',
    VERSION: 10n,
    ROW_FORMAT: 'Dynamic',
    TABLE_ROWS: big(rows),
    AVG_ROW_LENGTH: big(average),
    DATA_LENGTH: big(bytes),
    MAX_DATA_LENGTH: 0n,
    INDEX_LENGTH: 0n,
    DATA_FREE: 0n,
    CREATE_TIME: seconds(def.createdMs),
    TABLE_COLLATION: COLLATION,
    CREATE_OPTIONS: def.partitionKind === 'NONE' ? '' : 'partitioned',
    TABLE_COMMENT: def.comment,
    MAX_INDEX_LENGTH: 0n,
    TEMPORARY: 'N',
  };
}

/** Only UNIQUE tables have a key in MySQL's sense; key columns of others may repeat. */
function columnKey(def: TableDef, column: ColumnDef): string {
  if (!column.isKey) return '';
  return def.keysType === 'UNIQUE' ? 'PRI' : 'MUL';
}

function columnRow(
  database: string,
  table: string,
  column: ColumnDef,
  at: number,
  key: string,
): NamedRow {
  const facts = columnFacts(column.type);
  return {
    TABLE_CATALOG: CATALOG,
    TABLE_SCHEMA: database,
    TABLE_NAME: table,
    COLUMN_NAME: column.name,
    ORDINAL_POSITION: BigInt(at + 1),
    COLUMN_DEFAULT: defaultText(column),
    IS_NULLABLE: column.nullable ? 'YES' : 'NO',
    DATA_TYPE: facts.dataType,
    CHARACTER_MAXIMUM_LENGTH: facts.characters,
    CHARACTER_OCTET_LENGTH: facts.bytes,
    NUMERIC_PRECISION: facts.precision,
    NUMERIC_SCALE: facts.scale,
    DATETIME_PRECISION: facts.datetimePrecision,
    CHARACTER_SET_NAME: facts.isText ? CHARSET : null,
    COLLATION_NAME: facts.isText ? COLLATION : null,
    COLUMN_TYPE: facts.columnType,
    COLUMN_KEY: key,
    EXTRA: '',
    PRIVILEGES: 'select,insert,update,references',
    COLUMN_COMMENT: column.comment,
    GENERATION_EXPRESSION: '',
  };
}

const keysOf = (def: TableDef): readonly ColumnDef[] =>
  def.columns.filter((column) => column.isKey);

function statisticsRows({ def, rows }: SchemaTable): readonly NamedRow[] {
  const unique = def.keysType === 'UNIQUE';
  return keysOf(def).map((column, at) => ({
    TABLE_CATALOG: CATALOG,
    TABLE_SCHEMA: def.databaseName,
    TABLE_NAME: def.name,
    NON_UNIQUE: unique ? 0n : 1n,
    INDEX_SCHEMA: def.databaseName,
    INDEX_NAME: unique ? 'PRIMARY' : `${def.keysType.toLowerCase()}_key`,
    SEQ_IN_INDEX: BigInt(at + 1),
    COLUMN_NAME: column.name,
    COLLATION: 'A',
    CARDINALITY: big(rows),
    NULLABLE: column.nullable ? 'YES' : '',
    INDEX_TYPE: 'BTREE',
    COMMENT: '',
    INDEX_COMMENT: '',
    IS_VISIBLE: 'YES',
    IGNORED: 'NO',
  }));
}

async function uniqueTables(source: InformationSchemaSource): Promise<readonly TableDef[]> {
  const tables = await source.tables(undefined);
  return tables.map(({ def }) => def).filter((def) => def.keysType === 'UNIQUE');
}

function keyColumnRows(def: TableDef): readonly NamedRow[] {
  return keysOf(def).map((column, at) => ({
    CONSTRAINT_CATALOG: CATALOG,
    CONSTRAINT_SCHEMA: def.databaseName,
    CONSTRAINT_NAME: 'PRIMARY',
    TABLE_CATALOG: CATALOG,
    TABLE_SCHEMA: def.databaseName,
    TABLE_NAME: def.name,
    COLUMN_NAME: column.name,
    ORDINAL_POSITION: BigInt(at + 1),
  }));
}

function constraintRow(def: TableDef): NamedRow {
  return {
    CONSTRAINT_CATALOG: CATALOG,
    CONSTRAINT_SCHEMA: def.databaseName,
    CONSTRAINT_NAME: 'PRIMARY',
    TABLE_SCHEMA: def.databaseName,
    TABLE_NAME: def.name,
    CONSTRAINT_TYPE: 'PRIMARY KEY',
    ENFORCED: 'YES',
  };
}

function partitionRow(def: TableDef, partition: PartitionDef, at: number): NamedRow {
  const partitioned = def.partitionKind !== 'NONE';
  return {
    TABLE_CATALOG: CATALOG,
    TABLE_SCHEMA: def.databaseName,
    TABLE_NAME: def.name,
    PARTITION_NAME: partitioned ? partition.name : null,
    PARTITION_ORDINAL_POSITION: partitioned ? BigInt(at + 1) : null,
    PARTITION_METHOD: partitioned ? def.partitionKind : null,
    PARTITION_EXPRESSION: partitioned ? def.partitionColumns.join(', ') : null,
    PARTITION_DESCRIPTION: partitioned ? boundsText(partition) : null,
    PARTITION_COMMENT: '',
    NODEGROUP: '',
  };
}

/** The upper bound of a RANGE partition, the values of a LIST partition. */
function boundsText({ values }: PartitionDef): string | null {
  if (values.kind === 'RANGE') {
    return values.upper
      .map((bound) => ('max' in bound ? 'MAXVALUE' : String(bound.value)))
      .join(', ');
  }
  return values.kind === 'LIST' ? values.tuples.map((tuple) => tuple.join(', ')).join('; ') : null;
}
