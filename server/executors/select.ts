/** SELECT, and the statements that need its engine: SET, DO. */
import { SqlError } from '../../base/errors.ts';
import { OK, type SqlValue } from '../../base/values.ts';
import { formatExpr } from '../../parser/format_expr.ts';
import type { Expr } from '../../parser/statement.ts';
import type { ExecContext, Executor } from './executor.ts';
import { assignVariables } from './session.ts';

export const select: Executor<'Select'> = async ({ text }, context) =>
  await context.selects.run(text, context);

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
