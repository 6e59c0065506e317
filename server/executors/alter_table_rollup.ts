/** ADD ROLLUP, checked: which columns of the table a rollup gets, and which of them sort it. Pure. */
import { SqlError } from '../../base/errors.ts';
import {
  type ColumnDef,
  type IndexDef,
  type RollupShape,
  type TableDef,
  baseIndexOf,
  columnsOfIndex,
  rollupColumns,
  storedName,
} from '../../base/schema.ts';
import type { AlterIndex } from '../../catalog/alter_jobs.ts';
import { NOT_KEYS, checkName, implicitKeyCount } from '../table_definition.ts';
import { isNamed } from './alter_table_columns.ts';

/**
 * Its sort key are its leading columns, as for a table that names no key. Throws UNKNOWN_COLUMN,
 * DUP_FIELDNAME, WRONG_TABLE_NAME.
 */
export function rollupShape(
  name: string,
  names: readonly string[],
  columns: readonly ColumnDef[],
): RollupShape {
  checkName(name, 'WRONG_TABLE_NAME');
  const chosen = names.map((wanted) => {
    const column = columns.find((known) => isNamed(known, wanted));
    if (column === undefined) throw new SqlError('UNKNOWN_COLUMN', { name: wanted, where: name });
    return column;
  });
  const twice = chosen.find((column, at) => chosen.indexOf(column) !== at);
  if (twice !== undefined) throw new SqlError('DUP_FIELDNAME', { name: twice.name });
  const keyColumns = implicitKeyCount(chosen);
  const [first] = chosen;
  if (keyColumns === 0 && first !== undefined && NOT_KEYS.has(first.type.kind)) {
    const what = `rollup ${name}: column '${first.name}' of type ${first.type.kind} cannot be its first column`;
    throw new SqlError('INVALID_TABLE', { what });
  }
  return { columns: chosen.map(storedName), keyColumns };
}

/** What a job is to build. Throws DUP_KEYNAME, UNKNOWN_COLUMN, CANT_DROP_FIELD besides. */
export function planRollup(
  table: TableDef,
  name: string,
  names: readonly string[],
  from: string | undefined,
): Omit<AlterIndex, 'indexId'> {
  if (table.indexes.some((index) => index.name === name)) {
    throw new SqlError('DUP_KEYNAME', { name });
  }
  const origin = from === undefined ? baseIndexOf(table) : indexNamed(table, from);
  const sources = columnsOfIndex(table, origin.indexId);
  const shape = rollupShape(name, names, sources);
  const columns = rollupColumns(table.columns, shape).map((column) => {
    const source = sources.find((known) => storedName(known) === storedName(column));
    if (source === undefined) throw new Error(`rollup ${name} lost column ${column.name}`);
    return { column, source };
  });
  return { originIndexId: origin.indexId, name, kind: 'ROLLUP', shape, columns };
}

/** Throws ALTER_REFUSED. */
function indexNamed(table: TableDef, name: string): IndexDef {
  const index = table.indexes.find((known) => known.name === name);
  if (index !== undefined) return index;
  const existing = table.indexes.map((known) => known.name).join(', ');
  const what = `it has no index '${name}'; there are: ${existing}`;
  throw new SqlError('ALTER_REFUSED', { table: table.name, what });
}

/** Throws CANT_DROP_FIELD, also for the base index: it goes with its table. */
export function rollupNamed(table: TableDef, name: string): IndexDef {
  const index = table.indexes.find((known) => known.name === name && known.kind === 'ROLLUP');
  if (index === undefined) throw new SqlError('CANT_DROP_FIELD', { name });
  return index;
}
