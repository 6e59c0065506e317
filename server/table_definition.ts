/**
 * CREATE TABLE, checked: from the statement to the definition that the catalog stores. Pure, so
 * that every rule has a place and a test. Rules are Doris's for the DUPLICATE KEY model.
 */
import { convertValue } from '../base/convert.ts';
import { SqlError } from '../base/errors.ts';
import {
  BUCKETS_MAX,
  COLUMNS_MAX,
  type ColumnDef,
  IDENTIFIER_LENGTH_MAX,
  PARTITIONS_MAX,
  type PartitionValues,
  type RangeValue,
} from '../base/schema.ts';
import type { ColumnKind, SqlValue } from '../base/values.ts';
import type {
  ColumnSpec,
  CreateTable,
  Expr,
  PartitionBound,
  PartitionSpec,
} from '../parser/statement.ts';
import { PartitionPlaces } from './partition_places.ts';

/** Buckets when the statement names none (Doris's `BUCKETS AUTO` starts at this too). */
export const BUCKETS_DEFAULT = 10;

/** Sort columns taken when no key is named: Doris takes the first three. */
const IMPLICIT_KEY_COLUMNS = 3;

/** What the statement says, apart from names of vaults and ids. */
export interface TableDefinition {
  readonly columns: readonly ColumnDef[];
  readonly partitionKind: 'NONE' | 'RANGE' | 'LIST';
  readonly partitionColumns: readonly string[];
  readonly distributionColumns: readonly string[];
  readonly buckets: number;
  readonly partitions: readonly NewPartition[];
  readonly comment: string;
}

export interface NewPartition {
  readonly name: string;
  readonly values: PartitionValues;
}

/** Types that cannot be sorted by. */
export const NOT_KEYS: ReadonlySet<ColumnKind> = new Set(['FLOAT', 'DOUBLE', 'STRING', 'JSON']);
const NOT_HASHED: ReadonlySet<ColumnKind> = new Set(['FLOAT', 'DOUBLE', 'JSON']);
const RANGED: ReadonlySet<ColumnKind> = new Set([
  'TINYINT',
  'SMALLINT',
  'INT',
  'BIGINT',
  'LARGEINT',
  'DATE',
  'DATETIME',
]);
const LISTED: ReadonlySet<ColumnKind> = new Set([...RANGED, 'BOOLEAN', 'CHAR', 'VARCHAR']);

export function defineTable(statement: CreateTable): TableDefinition {
  refuseUnsupported(statement);
  const columns = defineColumns(statement);
  const partitioning = statement.partitioning;
  const partitionColumns = (partitioning?.columns ?? []).map((name) => nameOf(columns, name));
  const partitionDefs = partitionColumns.map((name) => columnOf(columns, name));
  checkPartitionColumns(partitioning?.kind, partitionDefs);
  return {
    columns,
    partitionKind: partitioning?.kind ?? 'NONE',
    partitionColumns,
    ...defineDistribution(statement, columns),
    partitions:
      partitioning === undefined
        ? [{ name: statement.table.name, values: { kind: 'NONE' } }]
        : addPartitions([], partitioning.partitions, partitionDefs),
    comment: statement.comment ?? '',
  };
}

function refuseUnsupported(statement: CreateTable): void {
  const what =
    (statement.temporary && 'CREATE TEMPORARY TABLE') ||
    (statement.primaryKey.length > 0 && 'PRIMARY KEY (use DUPLICATE KEY)') ||
    (statement.columns.some((c) => c.primary) && 'PRIMARY KEY (use DUPLICATE KEY)') ||
    (statement.columns.some((c) => c.autoIncrement) && 'AUTO_INCREMENT') ||
    (statement.columns.some((c) => c.aggregation !== undefined) && 'AGGREGATE KEY tables') ||
    (statement.keys !== undefined &&
      statement.keys.type !== 'DUPLICATE' &&
      `${statement.keys.type} KEY tables (use DUPLICATE KEY)`) ||
    (statement.indexes.length > 0 && 'secondary indexes') ||
    (statement.distribution?.columns.length === 0 &&
      'DISTRIBUTED BY RANDOM (use DISTRIBUTED BY HASH)');
  if (typeof what === 'string') throw new SqlError('NOT_SUPPORTED', { what });
  const engine = statement.engine?.toUpperCase() ?? 'OLAP';
  if (engine !== 'OLAP') {
    throw new SqlError('NOT_SUPPORTED', { what: `ENGINE=${statement.engine ?? ''} (use OLAP)` });
  }
}

function defineColumns(statement: CreateTable): ColumnDef[] {
  const specs = statement.columns;
  if (specs.length === 0) throw new SqlError('NO_COLUMNS');
  if (specs.length > COLUMNS_MAX) {
    const what = `${specs.length} columns, at most ${COLUMNS_MAX} are allowed`;
    throw new SqlError('INVALID_TABLE', { what });
  }
  const seen = new Set<string>();
  for (const { name } of specs) {
    checkName(name, 'WRONG_COLUMN_NAME');
    if (seen.has(name.toLowerCase())) throw new SqlError('DUP_FIELDNAME', { name });
    seen.add(name.toLowerCase());
  }
  const keys = keyCount(statement);
  return specs.map((spec, index) => defineColumn(spec, index < keys));
}

/** How many leading columns are the sort key when none is named. */
export function implicitKeyCount(columns: readonly Pick<ColumnDef, 'type'>[]): number {
  const limit = columns.findIndex((column) => NOT_KEYS.has(column.type.kind));
  const usable = limit < 0 ? columns.length : limit;
  return Math.min(IMPLICIT_KEY_COLUMNS, usable);
}

/** How many leading columns are the sort key. */
function keyCount({ columns, keys }: CreateTable): number {
  if (keys === undefined) {
    const marked = columns.findLastIndex((column) => column.key) + 1;
    return marked > 0 ? marked : implicitKeyCount(columns);
  }
  for (const [index, name] of keys.columns.entries()) {
    const position = columns.findIndex((c) => c.name.toLowerCase() === name.toLowerCase());
    const column = columns[position];
    if (column === undefined) throw new SqlError('KEY_COLUMN_MISSING', { name });
    if (position !== index) {
      const what = `key columns must be the first columns of the table in the same order, but '${name}' is column ${position + 1}`;
      throw new SqlError('INVALID_TABLE', { what });
    }
    if (NOT_KEYS.has(column.type.kind)) {
      const what = `column '${name}' of type ${column.type.kind} cannot be a key column`;
      throw new SqlError('INVALID_TABLE', { what });
    }
  }
  return keys.columns.length;
}

/** A column as the statement says it; throws BAD_NULL, INVALID_TABLE, and base/convert's errors. */
export function defineColumn(spec: ColumnSpec, isKey: boolean): ColumnDef {
  const bare: ColumnDef = {
    name: spec.name,
    type: spec.type,
    nullable: spec.nullable ?? true,
    isKey,
    comment: spec.comment ?? '',
  };
  const { defaultValue } = spec;
  if (defaultValue === undefined) return bare;
  if (defaultValue.kind === 'Call') {
    if (spec.type.kind !== 'DATETIME' && spec.type.kind !== 'DATE') {
      const what = `default CURRENT_TIMESTAMP needs a DATE or DATETIME column, '${spec.name}' is ${spec.type.kind}`;
      throw new SqlError('INVALID_TABLE', { what });
    }
    return { ...bare, defaultValue: { fn: 'CURRENT_TIMESTAMP' } };
  }
  const value = literalValue(defaultValue, `default of column '${spec.name}'`);
  if (value === null) {
    if (!bare.nullable) throw new SqlError('BAD_NULL', { column: spec.name });
    return { ...bare, defaultValue: null };
  }
  return { ...bare, defaultValue: convertValue(value, bare, 1) };
}

function defineDistribution(
  statement: CreateTable,
  columns: readonly ColumnDef[],
): { distributionColumns: readonly string[]; buckets: number } {
  const asked = statement.distribution;
  const first = columns.find((column) => !NOT_HASHED.has(column.type.kind));
  const wanted = asked?.columns ?? (first === undefined ? [] : [first.name]);
  if (wanted.length === 0) {
    const what = 'no column can be hashed; name one with DISTRIBUTED BY HASH (...)';
    throw new SqlError('INVALID_TABLE', { what });
  }
  const distributionColumns = wanted.map((name) => {
    const column = columnOf(columns, name);
    if (NOT_HASHED.has(column.type.kind)) {
      const what = `column '${name}' of type ${column.type.kind} cannot be a distribution column`;
      throw new SqlError('INVALID_TABLE', { what });
    }
    return column.name;
  });
  const buckets =
    asked?.buckets === undefined || asked.buckets === 'AUTO' ? BUCKETS_DEFAULT : asked.buckets;
  if (buckets < 1 || buckets > BUCKETS_MAX) {
    const what = `${buckets} buckets, allowed are 1 to ${BUCKETS_MAX}`;
    throw new SqlError('INVALID_TABLE', { what });
  }
  return { distributionColumns, buckets };
}

function checkPartitionColumns(
  kind: 'RANGE' | 'LIST' | undefined,
  columns: readonly ColumnDef[],
): void {
  const allowed = kind === 'RANGE' ? RANGED : LISTED;
  for (const column of columns) {
    if (allowed.has(column.type.kind)) continue;
    const what = `column '${column.name}' of type ${column.type.kind} cannot be a ${kind ?? ''} partition column`;
    throw new SqlError('INVALID_TABLE', { what });
  }
}

interface NamedPartition {
  readonly name: string;
  readonly values: PartitionValues;
}

/** The partitions to add to those that exist: names free, ranges and lists disjoint. */
export function addPartitions(
  existing: readonly NamedPartition[],
  specs: readonly PartitionSpec[],
  columns: readonly ColumnDef[],
): NewPartition[] {
  if (existing.length + specs.length > PARTITIONS_MAX) {
    const what = `${existing.length + specs.length} partitions, at most ${PARTITIONS_MAX} are allowed`;
    throw new SqlError('INVALID_TABLE', { what });
  }
  const places = new PartitionPlaces(columns);
  for (const { name, values } of existing) places.add(name, values);
  const names = new Set(existing.map((partition) => partition.name.toLowerCase()));
  const added: NewPartition[] = [];
  for (const spec of specs) {
    checkName(spec.name, 'WRONG_TABLE_NAME');
    if (names.has(spec.name.toLowerCase())) {
      if (spec.ifNotExists) continue;
      throw new SqlError('PARTITION_EXISTS', { name: spec.name });
    }
    const values = partitionValues(spec, places, columns);
    const other = places.overlapped(values);
    if (other !== undefined) {
      const hint = `it overlaps partition ${other}`;
      throw new SqlError('PARTITION_OVERLAP', { name: spec.name }, { hint });
    }
    names.add(spec.name.toLowerCase());
    places.add(spec.name, values);
    added.push({ name: spec.name, values });
  }
  return added;
}

function partitionValues(
  spec: PartitionSpec,
  places: PartitionPlaces,
  columns: readonly ColumnDef[],
): PartitionValues {
  const { values } = spec;
  if (values.kind === 'in') {
    const tuples = values.tuples.map((tuple) => listTuple(spec.name, tuple, columns));
    return { kind: 'LIST', tuples };
  }
  const upper = rangeBound(spec.name, values.upper, columns);
  if (values.kind === 'range') {
    const lower = rangeBound(spec.name, values.lower, columns);
    if (places.compare(lower, upper) >= 0) {
      throw new SqlError('PARTITION_OVERLAP', { name: spec.name });
    }
    return { kind: 'RANGE', lower, upper };
  }
  // VALUES LESS THAN: from the upper bound of the highest partition below it.
  const lower = places.highest;
  if (lower !== undefined && places.compare(lower, upper) >= 0) {
    throw new SqlError('PARTITION_OVERLAP', { name: spec.name });
  }
  return lower === undefined ? { kind: 'RANGE', upper } : { kind: 'RANGE', lower, upper };
}

function rangeBound(
  partition: string,
  bound: readonly PartitionBound[],
  columns: readonly ColumnDef[],
): RangeValue[] {
  if (bound.length > columns.length || bound.length === 0) {
    const what = `partition ${partition} has ${bound.length} values for ${columns.length} partition columns`;
    throw new SqlError('INVALID_TABLE', { what });
  }
  return bound.map((part, index): RangeValue => {
    if (part.max) return { max: true };
    const value = literalValue(part.value, `bound of partition ${partition}`);
    const column = columns[index];
    if (column === undefined) throw new Error('bound without a column');
    return { value: convertValue(value, column, 1) };
  });
}

function listTuple(
  partition: string,
  tuple: readonly Expr[],
  columns: readonly ColumnDef[],
): SqlValue[] {
  if (tuple.length !== columns.length) {
    const what = `partition ${partition} has ${tuple.length} values for ${columns.length} partition columns`;
    throw new SqlError('INVALID_TABLE', { what });
  }
  return tuple.map((part, index) => {
    const column = columns[index];
    if (column === undefined) throw new Error('value without a column');
    return convertValue(literalValue(part, `value of partition ${partition}`), column, 1);
  });
}

/** The value of a literal, also with a sign; anything else is an error that names the place. */
export function literalValue(expr: Expr, place: string): SqlValue {
  switch (expr.kind) {
    case 'Null':
      return null;
    case 'Bool':
      return expr.value ? 1 : 0;
    case 'String':
      return expr.value;
    case 'Number':
      return expr.text;
    case 'Bytes':
      return Buffer.from(expr.hex, 'hex').toString('utf8');
    case 'Unary':
      if ((expr.op === '-' || expr.op === '+') && expr.operand.kind === 'Number') {
        return expr.op === '-' ? `-${expr.operand.text}` : expr.operand.text;
      }
      break;
    case 'Default':
    case 'Column':
    case 'UserVar':
    case 'SystemVar':
    case 'Binary':
    case 'In':
    case 'Between':
    case 'Like':
    case 'Regexp':
    case 'Is':
    case 'Call':
    case 'Case':
    case 'Cast':
    case 'Subquery':
      break;
  }
  throw new SqlError('NOT_SUPPORTED', { what: `an expression as ${place}; write a literal` });
}

/** Names of databases, tables, columns, partitions, groups and vaults: 1 to 64 characters. */
export function checkName(
  name: string,
  error: 'WRONG_DB_NAME' | 'WRONG_TABLE_NAME' | 'WRONG_COLUMN_NAME',
): void {
  if (name.length > IDENTIFIER_LENGTH_MAX) {
    throw new SqlError('IDENT_TOO_LONG', { name, limit: IDENTIFIER_LENGTH_MAX });
  }
  // oxlint-disable-next-line no-control-regex -- control characters are what is refused
  if (name === '' || name.endsWith(' ') || /[\u0000-\u001f/\\\u007f]/.test(name)) {
    throw new SqlError(error, { name });
  }
}

function columnOf(columns: readonly ColumnDef[], name: string): ColumnDef {
  const column = columns.find((c) => c.name.toLowerCase() === name.toLowerCase());
  if (column === undefined) throw new SqlError('KEY_COLUMN_MISSING', { name });
  return column;
}

function nameOf(columns: readonly ColumnDef[], name: string): string {
  return columnOf(columns, name).name;
}
