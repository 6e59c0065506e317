/** CREATE TABLE, ALTER TABLE and INSERT → text. */
import { columnTypeText } from '../grammar/column_types.ts';
import { nameText, stringText } from '../grammar/literals.ts';
import type {
  AlterTableAction,
  ColumnPosition,
  ColumnSpec,
  CreateTable,
  Distribution,
  IndexSpec,
  Insert,
  InsertSelect,
  PartitionBound,
  Partitioning,
  PartitionSpec,
  PartitionSpecValues,
  RollupSpec,
} from '../grammar/nodes/tables.ts';
import {
  names,
  partitionsText,
  properties,
  propertyList,
  tableText,
  words,
  type FormatOptions,
} from './format_clauses.ts';
import { formatExpr } from './format_expr.ts';

export function createTableText(table: CreateTable, options: FormatOptions): string {
  const elements = [
    ...table.columns.map(columnText),
    ...(table.primaryKey.length > 0 ? [`PRIMARY KEY (${names(table.primaryKey)})`] : []),
    ...table.indexes.map((index) => indexText(index, options)),
  ];
  const { keys, engine, charset, collation } = table;
  const rollups = table.rollups.map((rollup) => rollupText(rollup, options)).join(', ');
  return words(
    'CREATE',
    table.temporary && 'TEMPORARY',
    'TABLE',
    table.ifNotExists && 'IF NOT EXISTS',
    tableText(table.table),
    `(${elements.join(', ')})`,
    engine !== undefined && `ENGINE = ${nameText(engine)}`,
    charset !== undefined && `CHARSET = ${nameText(charset)}`,
    collation !== undefined && `COLLATE = ${nameText(collation)}`,
    keys !== undefined && `${keys.type} KEY (${names(keys.columns)})`,
    commentText(table.comment),
    table.partitioning !== undefined && partitioningText(table.partitioning, options),
    table.distribution !== undefined && distributionText(table.distribution),
    rollups !== '' && `ROLLUP (${rollups})`,
    properties(table.properties, options),
  );
}

function commentText(comment: string | undefined): string | undefined {
  return comment === undefined ? undefined : `COMMENT ${stringText(comment)}`;
}

function columnText(column: ColumnSpec): string {
  const { nullable, defaultValue } = column;
  return words(
    nameText(column.name),
    columnTypeText(column.type),
    column.key && 'KEY',
    column.aggregation,
    nullable !== undefined && (nullable ? 'NULL' : 'NOT NULL'),
    column.autoIncrement && 'AUTO_INCREMENT',
    defaultValue !== undefined &&
      `DEFAULT ${unaryText(formatExpr(defaultValue), defaultValue.kind)}`,
    column.primary && 'PRIMARY KEY',
    commentText(column.comment),
  );
}

/** What the grammar reads as one operand needs parentheses when it is more. */
function unaryText(text: string, kind: string): string {
  const compound = ['Binary', 'In', 'Between', 'Like', 'Regexp', 'Is'].includes(kind);
  return compound || text.startsWith('NOT ') ? `(${text})` : text;
}

function indexText(index: IndexSpec, options: FormatOptions): string {
  return words(
    index.unique && 'UNIQUE',
    'INDEX',
    index.name !== undefined && nameText(index.name),
    `(${names(index.columns)})`,
    index.using !== undefined && `USING ${nameText(index.using)}`,
    properties(index.properties, options),
    commentText(index.comment),
  );
}

function rollupText(rollup: RollupSpec, options: FormatOptions): string {
  return words(
    nameText(rollup.name),
    `(${names(rollup.columns)})`,
    properties(rollup.properties, options),
  );
}

function partitioningText(partitioning: Partitioning, options: FormatOptions): string {
  const { kind, columns, partitions } = partitioning;
  const list = partitions.map((one) => partitionText(one, options)).join(', ');
  return `PARTITION BY ${kind} (${names(columns)}) (${list})`;
}

function partitionText(partition: PartitionSpec, options: FormatOptions): string {
  return words(
    'PARTITION',
    partition.ifNotExists && 'IF NOT EXISTS',
    nameText(partition.name),
    valuesText(partition.values),
    partition.properties.length > 0 && propertyList(partition.properties, options),
  );
}

function valuesText(values: PartitionSpecValues): string {
  switch (values.kind) {
    case 'lessThan':
      return `VALUES LESS THAN ${boundsText(values.upper)}`;
    case 'range':
      return `VALUES [${boundsText(values.lower)}, ${boundsText(values.upper)})`;
    case 'in':
      return `VALUES IN (${values.tuples.map(tupleText).join(', ')})`;
  }
}

function tupleText(tuple: readonly { readonly kind: string }[]): string {
  return `(${tuple.map((value) => operandText(value as Parameters<typeof formatExpr>[0])).join(', ')})`;
}

function operandText(value: Parameters<typeof formatExpr>[0]): string {
  return unaryText(formatExpr(value), value.kind);
}

function boundsText(bounds: readonly PartitionBound[]): string {
  return `(${bounds.map((bound) => (bound.max ? 'MAXVALUE' : operandText(bound.value))).join(', ')})`;
}

function distributionText({ columns, buckets }: Distribution): string {
  return words(
    'DISTRIBUTED BY',
    columns.length === 0 ? 'RANDOM' : `HASH (${names(columns)})`,
    buckets !== undefined && `BUCKETS ${buckets}`,
  );
}

const to = (rollup: string | undefined): string | undefined =>
  rollup === undefined ? undefined : `TO ${nameText(rollup)}`;
const from = (rollup: string | undefined): string | undefined =>
  rollup === undefined ? undefined : `FROM ${nameText(rollup)}`;

function positionText(position: ColumnPosition | undefined): string | undefined {
  if (position === undefined) return undefined;
  return position.kind === 'first' ? 'FIRST' : `AFTER ${nameText(position.column)}`;
}

export function alterActionText(action: AlterTableAction, options: FormatOptions): string {
  switch (action.kind) {
    case 'AddColumn':
      return words(
        'ADD COLUMN',
        columnText(action.column),
        positionText(action.position),
        to(action.rollup),
      );
    case 'AddColumns': {
      const columns = action.columns.map(columnText).join(', ');
      return words('ADD COLUMN', `(${columns})`, to(action.rollup));
    }
    case 'DropColumn':
      return words('DROP COLUMN', nameText(action.name), from(action.rollup));
    case 'ModifyColumn':
      return words(
        'MODIFY COLUMN',
        columnText(action.column),
        positionText(action.position),
        from(action.rollup),
      );
    case 'RenameColumn':
    case 'RenamePartition':
    case 'RenameRollup': {
      const what = action.kind.slice('Rename'.length).toUpperCase();
      return `RENAME ${what} ${nameText(action.name)} ${nameText(action.newName)}`;
    }
    case 'OrderColumns':
      return words(`ORDER BY (${names(action.columns)})`, from(action.rollup));
    case 'AddPartition':
      return words(
        'ADD',
        partitionText(action.partition, options),
        action.distribution !== undefined && distributionText(action.distribution),
      );
    case 'DropPartition':
      return words(
        'DROP PARTITION',
        action.ifExists && 'IF EXISTS',
        nameText(action.name),
        action.force && 'FORCE',
      );
    case 'ModifyPartition': {
      const which = action.partitions === 'all' ? '*' : names(action.partitions);
      return `MODIFY PARTITION (${which}) SET ${propertyList(action.properties, options)}`;
    }
    case 'AddRollup':
      return words(
        'ADD ROLLUP',
        nameText(action.rollup.name),
        `(${names(action.rollup.columns)})`,
        from(action.from),
        properties(action.rollup.properties, options),
      );
    case 'DropRollup':
      return `DROP ROLLUP ${names(action.names)}`;
    case 'Rename':
      return `RENAME TO ${nameText(action.newName)}`;
    case 'SetProperties':
      return `SET ${propertyList(action.properties, options)}`;
    case 'Compact':
      return words('COMPACT', partitionsText(action.partitions), action.type);
    case 'Comment':
      return `MODIFY COMMENT ${stringText(action.comment)}`;
  }
}

export function insertText(insert: Insert): string {
  const rows = insert.rows.map((row) => `(${row.map(formatExpr).join(', ')})`).join(', ');
  return words(insertHeadText(insert), `VALUES ${rows}`);
}

export function insertSelectText(insert: InsertSelect): string {
  return words(insertHeadText(insert), insert.query);
}

function insertHeadText(insert: Omit<Insert, 'kind' | 'rows'>): string {
  return words(
    'INSERT INTO',
    tableText(insert.table),
    partitionsText(insert.partitions),
    insert.label !== undefined && `WITH LABEL ${nameText(insert.label)}`,
    insert.columns !== undefined && `(${names(insert.columns)})`,
  );
}
