/** INSERT ... SELECT: the query's rows are collected, and then loaded as those of VALUES. */
import { SqlError } from '../../base/errors.ts';
import type { OkResult, SqlRow, SqlValue } from '../../base/values.ts';
import type { InsertSelect } from '../../parser/statement.ts';
import { isSystemDatabase } from '../information_schema/system_databases.ts';
import { type ExecContext, type Executor, computeGroupOf, tableNameOf } from './executor.ts';
import { TRIES_MAX, checkColumns } from './insert.ts';

/** Bytes that a number or NULL counts. */
const CELL_BYTES = 8;

/**
 * Throws what the query throws, WRONG_VALUE_COUNT, INSERT_SELECT_SIZE, and what INSERT throws. A
 * table that is altered meanwhile is inserted into again.
 */
export const insertSelect: Executor<'InsertSelect'> = async (statement, context) => {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await insertOnce(statement, context);
    } catch (error) {
      const isAltered = error instanceof SqlError && error.code === 'LOAD_TABLE_ALTERED';
      if (!isAltered || attempt === TRIES_MAX) throw error;
    }
  }
};

async function insertOnce(statement: InsertSelect, context: ExecContext): Promise<OkResult> {
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
  const rows = await collect(statement.query, columns.length, context);
  if (rows.length === 0) return { kind: 'ok', affectedRows: 0 };
  const {
    label,
    txnId,
    rows: affectedRows,
  } = await services.loads.insert({
    table,
    columns,
    rows,
    label: statement.label ?? '',
    computeGroupName: await computeGroupOf(context),
    signal,
  });
  const info = `{'label':'${label}', 'status':'VISIBLE', 'txnId':'${txnId}'}`;
  return { kind: 'ok', affectedRows, info };
}

async function collect(query: string, width: number, context: ExecContext): Promise<SqlRow[]> {
  const limit = context.services.config.get('max_allowed_packet');
  const { columns, rows } = await context.selects.run(query, context);
  if (columns.length !== width) throw new SqlError('WRONG_VALUE_COUNT', { row: 1 });
  const all: SqlRow[] = [];
  let bytes = 0;
  for await (const batch of Array.isArray(rows) ? [rows] : rows) {
    for (const row of batch as readonly SqlRow[]) {
      for (const value of row) bytes += sizeOf(value);
      if (bytes > limit) throw new SqlError('INSERT_SELECT_SIZE', { limit });
      all.push(row);
    }
  }
  return all;
}

function sizeOf(value: SqlValue): number {
  return typeof value === 'string' ? Buffer.byteLength(value) : CELL_BYTES;
}
