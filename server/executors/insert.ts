/** INSERT: rows of VALUES or of a query to a backend, visible when the statement answers. */
import { SqlError } from '../../base/errors.ts';
import type { TableDef } from '../../base/schema.ts';
import type { OkResult, SqlValue } from '../../base/values.ts';
import type { Expr, Insert, InsertSelect } from '../../parser/statement.ts';
import { isSystemDatabase } from '../information_schema/system_databases.ts';
import { literalValue } from '../table_definition.ts';
import { type ExecContext, type Executor, computeGroupOf, tableNameOf } from './executor.ts';

/** Tries of an INSERT whose table is altered while its rows are written. */
const TRIES_MAX = 5;

/** Values of these columns, in their order. */
export type InsertValues = readonly (readonly SqlValue[])[];

export const insert: Executor<'Insert'> = async (statement, context) =>
  await insertInto(statement, context, (table, columns) =>
    readRows(statement, table, columns, context.services.clock.now()),
  );

/**
 * A table that is altered meanwhile is inserted into again, with rows that are asked for anew.
 * Throws SYSTEM_DB_ACCESS, what finds the table, UNKNOWN_COLUMN, FIELD_SPECIFIED_TWICE, and what
 * `rowsFor` and the load throw.
 */
export async function insertInto(
  statement: Insert | InsertSelect,
  context: ExecContext,
  rowsFor: (table: TableDef, columns: readonly string[]) => InsertValues | Promise<InsertValues>,
): Promise<OkResult> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await insertOnce(statement, context, rowsFor);
    } catch (error) {
      const isAltered = error instanceof SqlError && error.code === 'LOAD_TABLE_ALTERED';
      if (!isAltered || attempt === TRIES_MAX) throw error;
    }
  }
}

async function insertOnce(
  statement: Insert | InsertSelect,
  context: ExecContext,
  rowsFor: (table: TableDef, columns: readonly string[]) => InsertValues | Promise<InsertValues>,
): Promise<OkResult> {
  const { services, session, signal } = context;
  const { db, table: name } = tableNameOf(statement.table, session);
  if (isSystemDatabase(db)) {
    throw new SqlError('SYSTEM_DB_ACCESS', { user: session.user, name: db });
  }
  const table = await services.catalog.tables.get(db, name);
  if (statement.partitions.length > 0) {
    throw new SqlError('NOT_SUPPORTED', { what: 'INSERT ... PARTITION' });
  }
  const columns = statement.columns ?? table.columns.map((column) => column.name);
  checkColumns(table, columns);
  const values = await rowsFor(table, columns);
  if (values.length === 0) return { kind: 'ok', affectedRows: 0 };
  const { label, txnId, rows } = await services.loads.insert({
    table,
    columns,
    rows: values,
    label: statement.label ?? '',
    computeGroupName: await computeGroupOf(context),
    signal,
  });
  const info = `{'label':'${label}', 'status':'VISIBLE', 'txnId':'${txnId}'}`;
  return { kind: 'ok', affectedRows: rows, info };
}

function checkColumns(table: TableDef, columns: readonly string[]): void {
  const seen = new Set<string>();
  for (const name of columns) {
    const known = table.columns.some((c) => c.name.toLowerCase() === name.toLowerCase());
    if (!known) throw new SqlError('UNKNOWN_COLUMN', { name, where: 'field list' });
    if (seen.has(name.toLowerCase())) throw new SqlError('FIELD_SPECIFIED_TWICE', { name });
    seen.add(name.toLowerCase());
  }
}

function readRows(
  statement: Insert,
  table: TableDef,
  columns: readonly string[],
  nowMs: number,
): InsertValues {
  const defaults = columns.map((name) => defaultOf(table, name, nowMs));
  return statement.rows.map((row, index) => {
    if (row.length !== columns.length) {
      throw new SqlError('WRONG_VALUE_COUNT', { row: index + 1 });
    }
    return row.map((expr, at) => valueOf(expr, () => defaults[at]?.() ?? null, nowMs));
  });
}

function valueOf(expr: Expr, defaultValue: () => SqlValue, nowMs: number): SqlValue {
  switch (expr.kind) {
    case 'Number':
      return expr.text;
    case 'String':
      return expr.value;
    case 'Null':
      return null;
    case 'Default':
      return defaultValue();
    case 'Call':
      if (isNow(expr)) return timestamp(nowMs);
      return literalValue(expr, 'value of INSERT');
    case 'Bool':
    case 'Bytes':
    case 'Column':
    case 'UserVar':
    case 'SystemVar':
    case 'Unary':
    case 'Binary':
    case 'In':
    case 'Between':
    case 'Like':
    case 'Regexp':
    case 'Is':
    case 'Case':
    case 'Cast':
    case 'Subquery':
      return literalValue(expr, 'value of INSERT');
  }
}

const NOW_FUNCTIONS: ReadonlySet<string> = new Set([
  'NOW',
  'CURRENT_TIMESTAMP',
  'LOCALTIME',
  'LOCALTIMESTAMP',
  'SYSDATE',
  'CURDATE',
  'CURRENT_DATE',
]);

function isNow(expr: Extract<Expr, { readonly kind: 'Call' }>): boolean {
  return NOW_FUNCTIONS.has(expr.name.toUpperCase()) && expr.args.length <= 1;
}

function timestamp(nowMs: number): string {
  return new Date(nowMs).toISOString().replace('T', ' ').slice(0, 23);
}

/** DEFAULT of a column; an error only when a row really asks for it. */
function defaultOf(table: TableDef, name: string, nowMs: number): () => SqlValue {
  const column = table.columns.find((c) => c.name.toLowerCase() === name.toLowerCase());
  return () => {
    const value = column?.defaultValue;
    if (value === undefined) {
      if (column?.nullable === true) return null;
      throw new SqlError('NO_DEFAULT', { column: name });
    }
    return typeof value === 'object' && value !== null ? timestamp(nowMs) : value;
  };
}
