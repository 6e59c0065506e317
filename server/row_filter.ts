/**
 * WHERE, LIKE, ORDER BY and LIMIT of SHOW statements, on rows that are in memory. Conditions are
 * compiled to closures once per statement and run on the main thread: SHOW lists few rows, often.
 * Semantics are MySQL's: three-valued logic, text without case, numbers compared as numbers.
 */
import type { ResultColumn, SqlRow, SqlValue } from '../base/values.ts';
import type { ShowFilter } from '../parser/statement.ts';
import { RowConditions, compareValues, isTrue, type ConditionOptions } from './row_condition.ts';
import { likeMatcher } from './select/patterns.ts';
import { shownQuantity } from './shown_quantity.ts';

export interface FilterOptions extends ConditionOptions {
  /** The columns that `LIKE 'pattern'` looks at; any match counts. */
  readonly likeColumns: readonly string[];
  /** Those of them that are lists, `a, b`: whole, or one of their items. */
  readonly likeLists: readonly string[];
}

/** The rows that remain, in order. Throws UNKNOWN_COLUMN, UNKNOWN_FUNCTION, NOT_SUPPORTED. */
export function filterRows(
  columns: readonly ResultColumn[],
  rows: readonly SqlRow[],
  filter: ShowFilter,
  options: FilterOptions,
): readonly SqlRow[] {
  let kept = rows;
  if (filter.like !== undefined) {
    const matches = compileLike(columns, filter.like, options);
    kept = kept.filter(matches);
  }
  if (filter.where !== undefined) {
    const condition = new RowConditions(columns, options, 'WHERE').compile(filter.where);
    kept = kept.filter((row) => isTrue(condition(row)));
  }
  if (filter.orderBy.length > 0) kept = sortRows(columns, kept, filter, options);
  const { limit } = filter;
  if (limit === undefined) return kept;
  const start = clampIndex(limit.offset, kept.length);
  return kept.slice(start, clampIndex(limit.offset + limit.count, kept.length));
}

function clampIndex(value: bigint, max: number): number {
  return value > BigInt(max) ? max : Number(value);
}

function compileLike(
  columns: readonly ResultColumn[],
  pattern: string,
  { likeColumns, likeLists }: FilterOptions,
): (row: SqlRow) => boolean {
  const matcher = likeMatcher(pattern, '\\', true);
  const places = likeColumns.map((name) => ({
    place: columns.findIndex((column) => column.name === name),
    isList: likeLists.includes(name),
  }));
  return (row) =>
    places.some(({ place, isList }) => {
      const value = row[place];
      if (value === null || value === undefined) return false;
      const text = String(value);
      return matcher(text) || (isList && text.split(', ').some(matcher));
    });
}

function sortRows(
  columns: readonly ResultColumn[],
  rows: readonly SqlRow[],
  { orderBy }: ShowFilter,
  options: FilterOptions,
): readonly SqlRow[] {
  const compiler = new RowConditions(columns, options, 'ORDER BY');
  const keys = orderBy.map(({ expr, descending }) => ({
    cell: compiler.compileOrder(expr),
    sign: descending ? -1 : 1,
  }));
  const decorated = rows.map((row) => ({ row, values: keys.map(({ cell }) => cell(row)) }));
  for (const at of keys.keys()) useQuantities(decorated, at);
  decorated.sort((a, b) => {
    for (const [at, { sign }] of keys.entries()) {
      const order = sortOrder(a.values[at] ?? null, b.values[at] ?? null);
      if (order !== 0) return order * sign;
    }
    return 0;
  });
  return decorated.map(({ row }) => row);
}

/**
 * Doris has numbers and sizes in columns of text, and orders them as what they are: `9` before `10`,
 * `900 B` before `1 KB`. Only where all are that: an order has to hold among all of them.
 */
function useQuantities(rows: readonly { readonly values: SqlValue[] }[], at: number): void {
  const quantities: SqlValue[] = [];
  for (const { values } of rows) {
    const value = values[at] ?? null;
    const quantity = typeof value === 'string' ? shownQuantity(value) : value;
    if (quantity === undefined) return;
    quantities.push(quantity);
  }
  for (const [row, { values }] of rows.entries()) values[at] = quantities[row] ?? null;
}

/** NULL first, then by value. */
function sortOrder(a: SqlValue, b: SqlValue): number {
  if (a === null || b === null) return a === b ? 0 : a === null ? -1 : 1;
  return compareValues(a, b);
}
