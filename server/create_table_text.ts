/**
 * A table's definition as the CREATE TABLE that makes it again: Doris's layout, read back by our
 * own parser. Buckets of single partitions that differ from the table's have no place in it.
 */
import type { StoragePolicyId } from '../base/ids.ts';
import { stringText } from '../grammar/literals.ts';
import {
  type ColumnDef,
  type PartitionDef,
  type RangeValue,
  type TableDef,
  columnsOfIndex,
} from '../base/schema.ts';
import { type SqlValue, typeText } from '../base/values.ts';

/** What a definition has only the ids of. */
export interface CreateTableNames {
  /** undefined when the table is in the default vault and nobody has to say so. */
  readonly vault?: string | undefined;
  /** Of a replicated table: where its backends are. */
  readonly computeGroup?: string | undefined;
  readonly policies?: ReadonlyMap<StoragePolicyId, string>;
}

export function createTableText(table: TableDef, names: CreateTableNames = {}): string {
  const keys = table.columns.filter((column) => column.isKey).map((column) => column.name);
  const properties = { ...table.properties, ...placeProperties(table, names) };
  const lines = [
    `CREATE TABLE ${quoted(table.name)} (`,
    table.columns.map((column) => `  ${columnText(column)}`).join(',\n'),
    ') ENGINE=OLAP',
    ...(keys.length === 0 ? [] : [`${table.keysType} KEY(${list(keys)})`]),
    ...(table.comment === '' ? [] : [`COMMENT ${stringText(table.comment)}`]),
    ...partitionLines(table, names),
    `DISTRIBUTED BY HASH(${list(table.distributionColumns)}) BUCKETS ${table.buckets}`,
    ...rollupLines(table),
    ...propertyLines(properties),
  ];
  return `${lines.join('\n')};`;
}

function columnText({ name, type, nullable, defaultValue, comment }: ColumnDef): string {
  return [
    quoted(name),
    typeText(type),
    nullable ? 'NULL' : 'NOT NULL',
    ...(defaultValue === undefined ? [] : [`DEFAULT ${defaultText(defaultValue)}`]),
    ...(comment === '' ? [] : [`COMMENT ${stringText(comment)}`]),
  ].join(' ');
}

function defaultText(value: Exclude<ColumnDef['defaultValue'], undefined>): string {
  if (typeof value === 'object' && value !== null) return value.fn;
  // Single quotes, unlike Doris: clients read defaults out of this text (SQLAlchemy).
  return typeof value === 'string' ? stringText(value) : literal(value);
}

/** Where the data is, and where it goes. */
function placeProperties(
  { replication, storagePolicyId, partitionKind, partitions }: TableDef,
  { vault, computeGroup, policies }: CreateTableNames,
): Record<string, string> {
  // A table without partitions has one, whose policy is what counts.
  const policyId = partitionKind === 'NONE' ? partitions[0]?.storagePolicyId : storagePolicyId;
  const policy = policyId === undefined ? undefined : policies?.get(policyId);
  return {
    ...(vault === undefined || replication !== undefined ? {} : { storage_vault_name: vault }),
    ...(replication === undefined ? {} : { replication_num: String(replication.replicationNum) }),
    ...(replication === undefined || computeGroup === undefined
      ? {}
      : { resource_group: computeGroup }),
    ...(policy === undefined ? {} : { storage_policy: policy }),
  };
}

function partitionLines(table: TableDef, names: CreateTableNames): string[] {
  const { partitionKind, partitionColumns, partitions } = table;
  if (partitionKind === 'NONE') return [];
  const parts = partitions.map((partition) => {
    const own = ownProperties(table, partition, names).map(propertyText);
    const properties = own.length === 0 ? '' : ` (${own.join(', ')})`;
    return `PARTITION ${quoted(partition.name)} ${valuesText(partition)}${properties}`;
  });
  return [`PARTITION BY ${partitionKind}(${list(partitionColumns)})`, `(${parts.join(',\n')})`];
}

/**
 * Where a partition differs from its table. Beside a table's policy only "own_storage_policy" makes
 * the partition's count, as in a table that MODIFY PARTITION has changed.
 */
function ownProperties(
  { replication, storagePolicyId }: TableDef,
  partition: PartitionDef,
  { policies }: CreateTableNames,
): [string, string][] {
  const { replicationNum, storagePolicyId: policyId } = partition;
  const own: [string, string][] = [];
  if (replicationNum !== undefined && replicationNum !== replication?.replicationNum) {
    own.push(['replication_num', String(replicationNum)]);
  }
  if (policyId === storagePolicyId) return own;
  own.push(['storage_policy', policyId === undefined ? '' : (policies?.get(policyId) ?? '')]);
  if (storagePolicyId !== undefined) own.push(['own_storage_policy', 'true']);
  return own;
}

function valuesText({ values }: PartitionDef): string {
  switch (values.kind) {
    case 'NONE':
      return '';
    case 'RANGE': {
      const upper = boundText(values.upper);
      return values.lower === undefined
        ? `VALUES LESS THAN ${upper}`
        : `VALUES [${boundText(values.lower)}, ${upper})`;
    }
    case 'LIST': {
      const tuples = values.tuples.map((tuple) => tuple.map(literal).join(', '));
      const single = values.tuples.every((tuple) => tuple.length === 1);
      return `VALUES IN (${tuples.map((text) => (single ? text : `(${text})`)).join(', ')})`;
    }
  }
}

function boundText(bound: readonly RangeValue[]): string {
  return `(${bound.map((part) => ('max' in part ? 'MAXVALUE' : literal(part.value))).join(', ')})`;
}

/** A rollup's sort key follows from its columns. */
function rollupLines(table: TableDef): string[] {
  const rollups = table.indexes.filter((index) => index.kind === 'ROLLUP');
  if (rollups.length === 0) return [];
  const texts = rollups.map(({ indexId, name }) => {
    const names = columnsOfIndex(table, indexId).map((column) => column.name);
    return `${quoted(name)} (${list(names)})`;
  });
  return [`ROLLUP (\n${texts.join(',\n')}\n)`];
}

function propertyLines(properties: Readonly<Record<string, string>>): string[] {
  const pairs = Object.entries(properties);
  if (pairs.length === 0) return [];
  const lines = pairs.map(propertyText);
  return [`PROPERTIES (\n${lines.join(',\n')}\n)`];
}

function propertyText([key, value]: readonly [string, string]): string {
  return `${doubleText(key)} = ${doubleText(value)}`;
}

function list(names: readonly string[]): string {
  return names.map(quoted).join(', ');
}

/** Always in backticks, as MySQL and Doris print names. */
export function quoted(name: string): string {
  return `\`${name.replaceAll('`', '``')}\``;
}

/** In quotes whatever the type is, as Doris prints them; the column's type reads it back. */
function literal(value: SqlValue): string {
  return value === null ? 'NULL' : doubleText(String(value));
}

function doubleText(text: string): string {
  const body = stringText(text).slice(1, -1);
  return `"${body.replaceAll("''", "'").replaceAll('"', '""')}"`;
}
