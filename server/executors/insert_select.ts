/** INSERT ... SELECT: the query's rows are collected, and then loaded as those of VALUES. */
import { SqlError } from '../../base/errors.ts';
import type { SqlRow, SqlValue } from '../../base/values.ts';
import type { ExecContext, Executor } from './executor.ts';
import { insertInto } from './insert.ts';

/** Bytes that a number or NULL counts. */
const CELL_BYTES = 8;

/** Throws what the query throws, WRONG_VALUE_COUNT, INSERT_SELECT_SIZE, and what INSERT throws. */
export const insertSelect: Executor<'InsertSelect'> = async (statement, context) =>
  await insertInto(
    statement,
    context,
    async (_table, columns) => await collect(statement.query, columns.length, context),
  );

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
