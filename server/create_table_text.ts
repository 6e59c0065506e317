/**
 * A table's definition as the CREATE TABLE that makes it again: Doris's layout, read back by our
 * own parser. Buckets of single partitions that differ from the table's have no place in it.
 */
import { stringText } from '../grammar/literals.ts';
import {
  type ColumnDef,
  type PartitionDef,
  type RangeValue,
  type TableDef,
  columnsOfIndex,
} from '../base/schema.ts';
import { type SqlValue, typeText } from '../base/values.ts';

/** `vaultName`: undefined when the table is in the default vault and nobody has to say so. */
export function createTableText(table: TableDef, vaultName: string | undefined): string {
  const keys = table.columns.filter((column) => column.isKey).map((column) => column.name);
  const properties = { ...table.properties };
  if (vaultName !== undefined) properties['storage_vault_name'] = vaultName;
  const lines = [
    `CREATE TABLE ${quoted(table.name)} (`,
    table.columns.map((column) => `  ${columnText(column)}`).join(',\n'),
    ') ENGINE=OLAP',
    ...(keys.length === 0 ? [] : [`${table.keysType} KEY(${list(keys)})`]),
    ...(table.comment === '' ? [] : [`COMMENT ${stringText(table.comment)}`]),
    ...partitionLines(table),
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
  return typeof value === 'object' && value !== null ? value.fn : literal(value);
}

function partitionLines({ partitionKind, partitionColumns, partitions }: TableDef): string[] {
  if (partitionKind === 'NONE') return [];
  const parts = partitions.map(
    (partition) => `PARTITION ${quoted(partition.name)} ${valuesText(partition)}`,
  );
  return [`PARTITION BY ${partitionKind}(${list(partitionColumns)})`, `(${parts.join(',\n')})`];
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
  const lines = pairs.map(([key, value]) => `${doubleText(key)} = ${doubleText(value)}`);
  return [`PROPERTIES (\n${lines.join(',\n')}\n)`];
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
