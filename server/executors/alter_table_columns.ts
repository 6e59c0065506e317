/**
 * ADD, DROP, MODIFY COLUMN and ORDER BY, checked: from the actions to what the indexes of the table
 * have to become. Pure. Rules are Doris's for the DUPLICATE KEY model.
 */
import type { RewriteColumn } from '../../base/agent_messages.ts';
import { SqlError } from '../../base/errors.ts';
import {
  COLUMNS_MAX,
  type ColumnDef,
  type IndexDef,
  type RollupShape,
  type TableDef,
  baseIndexOf,
  columnsOfIndex,
  storedName,
} from '../../base/schema.ts';
import { typeText } from '../../base/values.ts';
import type { AlterIndex } from '../../catalog/alter_jobs.ts';
import type { AlterTableAction, ColumnPosition, ColumnSpec } from '../../parser/statement.ts';
import { NOT_KEYS, checkName, defineColumn } from '../table_definition.ts';
import { refusedTypeChange } from './alter_table_types.ts';

export type ColumnAction = Extract<
  AlterTableAction,
  { readonly kind: 'AddColumn' | 'AddColumns' | 'DropColumn' | 'ModifyColumn' | 'OrderColumns' }
>;

export interface ColumnPlan {
  /** The table's columns afterwards. */
  readonly columns: readonly ColumnDef[];
  /** Indexes to be rewritten; none: segments stay as they are (a comment, a default). */
  readonly indexes: readonly Omit<AlterIndex, 'indexId'>[];
}

export function isColumnAction(action: AlterTableAction): action is ColumnAction {
  switch (action.kind) {
    case 'AddColumn':
    case 'AddColumns':
    case 'DropColumn':
    case 'ModifyColumn':
    case 'OrderColumns':
      return true;
    case 'RenameColumn':
    case 'AddPartition':
    case 'DropPartition':
    case 'RenamePartition':
    case 'ModifyPartition':
    case 'AddRollup':
    case 'DropRollup':
    case 'RenameRollup':
    case 'Rename':
    case 'SetProperties':
    case 'Compact':
    case 'Comment':
      return false;
  }
}

/**
 * Throws UNKNOWN_COLUMN, DUP_FIELDNAME, CANT_DROP_FIELD, NO_DEFAULT,
 * ALTER_TYPE, ALTER_REFUSED, NOT_SUPPORTED, and what `defineColumn` throws.
 */
export function planColumns(table: TableDef, actions: readonly ColumnAction[]): ColumnPlan {
  const draft = new Draft(table);
  for (const action of actions) draft.apply(action);
  return draft.plan();
}

class Draft {
  readonly #table: TableDef;
  #columns: RewriteColumn[];

  constructor(table: TableDef) {
    this.#table = table;
    this.#columns = table.columns.map((column) => ({ column, source: column }));
  }

  apply(action: ColumnAction): void {
    if (action.rollup !== undefined && action.rollup !== this.#table.name) {
      throw new SqlError('NOT_SUPPORTED', { what: 'changing the columns of a rollup' });
    }
    switch (action.kind) {
      case 'AddColumn':
        this.#add(action.column, action.position);
        return;
      case 'AddColumns':
        for (const column of action.columns) this.#add(column, undefined);
        return;
      case 'DropColumn':
        this.#drop(action.name);
        return;
      case 'ModifyColumn':
        this.#modify(action.column, action.position);
        return;
      case 'OrderColumns':
        this.#order(action.columns);
    }
  }

  plan(): ColumnPlan {
    this.#checkOrder();
    if (this.#columns.length > COLUMNS_MAX) {
      throw this.#refused(`it would have more than ${COLUMNS_MAX} columns`);
    }
    const columns = withStoredNames(this.#columns);
    const base = baseIndexOf(this.#table);
    const isSame =
      columns.length === this.#table.columns.length &&
      columns.every(({ column, source }, at) => {
        return source === this.#table.columns[at] && isStoredAlike(column, source);
      });
    const rollups = this.#table.indexes.flatMap((index) =>
      index.kind === 'ROLLUP' ? this.#rollup(index, columns) : [],
    );
    const { indexId: originIndexId, name } = base;
    return {
      columns: columns.map(({ column }) => column),
      indexes: isSame ? [] : [{ originIndexId, name, kind: 'BASE', columns }, ...rollups],
    };
  }

  #add(spec: ColumnSpec, position: ColumnPosition | undefined): void {
    checkSpec(spec);
    checkName(spec.name, 'WRONG_COLUMN_NAME');
    if (this.#find(spec.name) >= 0) throw new SqlError('DUP_FIELDNAME', { name: spec.name });
    const column = defineColumn(spec, spec.key);
    this.#checkKey(column);
    if (!column.nullable && (column.defaultValue ?? null) === null) {
      const hint = 'the rows that are there need a value: add DEFAULT, or allow NULL';
      throw new SqlError('NO_DEFAULT', { column: spec.name }, { hint });
    }
    const keys = this.#columns.filter((known) => known.column.isKey).length;
    const end = column.isKey ? keys : this.#columns.length;
    this.#columns.splice(this.#place(position, end), 0, { column });
  }

  #drop(name: string): void {
    const at = this.#find(name);
    if (at < 0) throw new SqlError('CANT_DROP_FIELD', { name });
    this.#checkRole(name, 'dropped');
    this.#columns.splice(at, 1);
    if (this.#columns.every(({ column }) => !column.isKey)) {
      throw this.#refused(`'${name}' is its last key column`);
    }
  }

  #modify(spec: ColumnSpec, position: ColumnPosition | undefined): void {
    checkSpec(spec);
    const at = this.#find(spec.name);
    const known = this.#columns[at];
    if (known === undefined) throw this.#unknown(spec.name);
    this.#checkRole(spec.name, 'modified');
    const before = known.column;
    if (spec.key && !before.isKey) throw this.#refused(`'${spec.name}' is no key column`);
    const column: ColumnDef = {
      ...defineColumn(spec, before.isKey),
      name: before.name,
      ...(before.storedName === undefined ? {} : { storedName: before.storedName }),
    };
    this.#checkKey(column);
    const allowed = refusedTypeChange(before.type, column.type);
    if (allowed !== undefined) {
      const [from, to] = [typeText(before.type), typeText(column.type)];
      throw new SqlError('ALTER_TYPE', { column: before.name, from, to, allowed });
    }
    if (before.nullable && !column.nullable) {
      throw this.#refused(`'${before.name}' may be NULL and cannot become NOT NULL`);
    }
    const { source } = known;
    const changed = source === undefined ? { column } : { column, source };
    if (position === undefined) {
      this.#columns.splice(at, 1, changed);
      return;
    }
    this.#columns.splice(at, 1);
    this.#columns.splice(this.#place(position, at), 0, changed);
  }

  #order(names: readonly string[]): void {
    const ordered = names.map((name) => {
      const known = this.#columns[this.#find(name)];
      if (known === undefined) throw this.#unknown(name);
      return known;
    });
    const twice = ordered.find((known, at) => ordered.indexOf(known) !== at);
    if (twice !== undefined) throw new SqlError('DUP_FIELDNAME', { name: twice.column.name });
    const left = this.#columns.find((known) => !ordered.includes(known));
    if (left !== undefined) {
      throw this.#refused(`ORDER BY names all columns, '${left.column.name}' is missing`);
    }
    this.#columns = ordered;
  }

  /** A rollup, when it is not left as it is. */
  #rollup(
    index: Extract<IndexDef, { readonly kind: 'ROLLUP' }>,
    columns: readonly RewriteColumn[],
  ): Omit<AlterIndex, 'indexId'>[] {
    const old = columnsOfIndex(this.#table, index.indexId);
    const kept = old.flatMap((source): RewriteColumn[] => {
      const found = columns.find(
        (known) => known.source !== undefined && storedName(known.source) === storedName(source),
      );
      return found === undefined
        ? []
        : [{ column: { ...found.column, isKey: source.isKey }, source }];
    });
    const isSame =
      kept.length === old.length &&
      kept.every(({ column, source }) => isStoredAlike(column, source));
    if (isSame) return [];
    const keyColumns = kept.filter(({ column }) => column.isKey).length;
    const { indexId: originIndexId, name } = index;
    if (kept.length === 0 || (keyColumns === 0 && index.keyColumns > 0)) {
      throw this.#refused(`rollup ${name} would have no key column left; drop it first`);
    }
    for (const { column } of kept) this.#checkKey(column);
    const shape: RollupShape = {
      columns: kept.map(({ column }) => storedName(column)),
      keyColumns,
    };
    return [{ originIndexId, name, kind: 'ROLLUP', shape, columns: kept }];
  }

  #find(name: string): number {
    return this.#columns.findIndex(({ column }) => isNamed(column, name));
  }

  #place(position: ColumnPosition | undefined, otherwise: number): number {
    if (position === undefined) return otherwise;
    if (position.kind === 'first') return 0;
    const at = this.#find(position.column);
    if (at < 0) throw this.#unknown(position.column);
    return at + 1;
  }

  /** Rows are placed by these columns; changing them would move rows. */
  #checkRole(name: string, done: 'dropped' | 'modified'): void {
    const { partitionColumns, distributionColumns } = this.#table;
    const isOne = (names: readonly string[]): boolean =>
      names.some((known) => known.toLowerCase() === name.toLowerCase());
    if (isOne(partitionColumns))
      throw this.#refused(`partition column '${name}' cannot be ${done}`);
    if (isOne(distributionColumns)) {
      throw this.#refused(`distribution column '${name}' cannot be ${done}`);
    }
  }

  #checkKey({ name, isKey, type }: ColumnDef): void {
    if (!isKey || !NOT_KEYS.has(type.kind)) return;
    throw this.#refused(`column '${name}' of type ${typeText(type)} cannot be a key column`);
  }

  #checkOrder(): void {
    const firstValue = this.#columns.findIndex(({ column }) => !column.isKey);
    const lastKey = this.#columns.findLastIndex(({ column }) => column.isKey);
    if (firstValue < 0 || lastKey < firstValue) return;
    const [value, key] = [this.#columns[firstValue], this.#columns[lastKey]];
    const names = `'${value?.column.name ?? ''}' is before '${key?.column.name ?? ''}'`;
    throw this.#refused(`key columns come before the others, but ${names}`);
  }

  #unknown(name: string): SqlError {
    return new SqlError('UNKNOWN_COLUMN', { name, where: this.#table.name });
  }

  #refused(what: string): SqlError {
    return new SqlError('ALTER_REFUSED', { table: this.#table.name, what });
  }
}

function checkSpec(spec: ColumnSpec): void {
  const what =
    (spec.primary && 'PRIMARY KEY (use DUPLICATE KEY)') ||
    (spec.autoIncrement && 'AUTO_INCREMENT') ||
    (spec.aggregation !== undefined && 'AGGREGATE KEY tables');
  if (typeof what === 'string') throw new SqlError('NOT_SUPPORTED', { what });
}

export function isNamed(column: ColumnDef, name: string): boolean {
  return column.name.toLowerCase() === name.toLowerCase();
}

/** Whether segments hold both in the same way. */
function isStoredAlike(column: ColumnDef, source: ColumnDef | undefined): boolean {
  return (
    source !== undefined &&
    typeText(column.type) === typeText(source.type) &&
    column.nullable === source.nullable &&
    column.isKey === source.isKey
  );
}

/** A new column may have the name that an older one, renamed since, still has in the segments. */
function withStoredNames(columns: readonly RewriteColumn[]): RewriteColumn[] {
  const taken = new Set(
    columns.flatMap(({ column, source }) => (source === undefined ? [] : storedName(column))),
  );
  return columns.map((known) => {
    if (known.source !== undefined) return known;
    const { name } = known.column;
    let stored = name;
    for (let n = 2; taken.has(stored); n += 1) stored = `${name}#${n}`;
    taken.add(stored);
    return stored === name ? known : { column: { ...known.column, storedName: stored } };
  });
}
