/** SELECT, and the statements that need its engine: SET, DO. */
import { SqlError } from '../../base/errors.ts';
import {
  OK,
  type OkResult,
  type RowsResult,
  type SqlRow,
  type SqlValue,
} from '../../base/values.ts';
import { formatExpr } from '../../parser/format_expr.ts';
import type { Expr } from '../../parser/statement.ts';
import type { ExecContext, Executor } from './executor.ts';
import { assignVariables } from './session.ts';

export const select: Executor<'Select'> = async ({ text }, context) => {
  const result = await context.selects.run(text, context);
  return result.into === undefined ? result : await into(result, result.into, context);
};

/**
 * SELECT ... INTO @a, @b: one row at most; without one the variables stay as they are. Throws
 * WRONG_COLUMN_COUNT, TOO_MANY_ROWS.
 */
async function into(
  { columns, rows }: RowsResult,
  names: readonly string[],
  { session }: ExecContext,
): Promise<OkResult> {
  if (names.length !== columns.length) throw new SqlError('WRONG_COLUMN_COUNT');
  let found: SqlRow | undefined;
  for await (const batch of Array.isArray(rows) ? [rows] : rows) {
    for (const row of batch as readonly SqlRow[]) {
      if (found !== undefined) throw new SqlError('TOO_MANY_ROWS');
      found = row;
    }
  }
  if (found === undefined) {
    const message = 'No data - zero rows fetched, selected, or processed';
    session.warn({ level: 'Warning', code: 1329, message });
    return OK;
  }
  for (const [at, name] of names.entries()) {
    session.variables.setUserVariable(name, found[at] ?? null);
  }
  return { ...OK, affectedRows: 1 };
}

export const setVariables: Executor<'SetVariables'> = async ({ assignments }, context) =>
  await assignVariables(assignments, context, evaluate);

export const doExpressions: Executor<'Do'> = async ({ exprs }, context) => {
  for (const expr of exprs) await evaluate(expr, context);
  return OK;
};

/** The one value of an expression; literals are looked at directly. */
async function evaluate(expr: Expr, context: ExecContext): Promise<SqlValue> {
  if (expr.kind === 'String') return expr.value;
  if (expr.kind === 'Number') return expr.text;
  if (expr.kind === 'Null') return null;
  if (expr.kind === 'Bool') return expr.value ? 1 : 0;
  const { rows } = await context.selects.run(`SELECT ${formatExpr(expr)}`, context);
  for await (const batch of Array.isArray(rows) ? [rows] : rows) {
    const [row] = batch as readonly (readonly SqlValue[])[];
    if (row !== undefined) return row[0] ?? null;
  }
  throw new SqlError('INTERNAL', { id: 'an expression without a value' });
}
