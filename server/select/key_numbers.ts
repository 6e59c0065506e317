/** Queries whose columns are keys (exact_decimal.ts), for readers that want numbers. */
import { numberOfKey } from './exact_decimal.ts';
import { quoteName } from './spelled.ts';
import type { ScopeColumn, SpelledQuery, SpellerContext } from './speller_context.ts';

/** Whether the column's values are keys. */
export function holdsKeys(column: ScopeColumn | undefined): boolean {
  return column?.keyed === true;
}

/** The query with numbers instead of keys, except where `keyedAt` says that keys are wanted. */
export function numbersFor(
  ctx: SpellerContext,
  query: SpelledQuery,
  keyedAt: readonly boolean[] = [],
): string {
  const { columns } = query;
  if (!columns.some((column, at) => holdsKeys(column) && keyedAt[at] !== true)) return query.sql;
  ctx.derivedTables += 1;
  const inner = quoteName(`numbers ${ctx.derivedTables}`);
  const names = columns.map((_, at) => quoteName(`c${at + 1}`));
  const items = columns.map((column, at) => {
    const name = names[at] ?? '';
    const value =
      holdsKeys(column) && keyedAt[at] !== true ? numberOfKey(name, column.type()) : name;
    return `${value} AS ${quoteName(column.name)}`;
  });
  const list = items.join(', ');
  return `SELECT * FROM (WITH ${inner} (${names.join(', ')}) AS (${query.sql}) SELECT ${list} FROM ${inner})`;
}
