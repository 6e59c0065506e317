/** The one way a SHOW statement turns rows into its answer: LIKE, WHERE, ORDER BY and LIMIT. */
import type { ResultColumn, RowsResult, SqlRow } from '../../base/values.ts';
import type { ShowFilter } from '../../parser/statement.ts';
import { filterRows } from '../row_filter.ts';
import type { SchemaSource } from '../schema_source.ts';
import { type Listing, seenRows } from '../listings/listing.ts';
import { type ExecContext, rightsOf } from './executor.ts';

/** Columns of a listing, apart from where its rows come from. */
export type Heading = Pick<Listing<never>, 'columns' | 'likeColumns' | 'likeLists'>;

export const NO_FILTER: ShowFilter = {
  like: undefined,
  where: undefined,
  orderBy: [],
  limit: undefined,
};

/** Throws UNKNOWN_COLUMN for a column that the listing does not have. */
export function filtered(
  { columns, likeColumns, likeLists = [] }: Heading,
  rows: readonly SqlRow[],
  filter: ShowFilter,
  { session }: ExecContext,
): RowsResult {
  const { variables } = session;
  const kept = filterRows(columns, rows, filter, {
    likeColumns,
    likeLists,
    variable: (expr) =>
      expr.kind === 'UserVar'
        ? variables.userVariable(expr.name)
        : variables.get(expr.name, expr.scope === 'GLOBAL' ? 'global' : undefined).value,
  });
  return { kind: 'rows', columns, rows: kept };
}

/** A SHOW that is a listing and nothing else. */
export async function showListing<Source>(
  listing: Listing<Source>,
  source: Source,
  filter: ShowFilter,
  context: ExecContext,
): Promise<RowsResult> {
  const rows = await seenRows(listing, source, rightsOf(context));
  return filtered(listing, rows, filter, context);
}

/** A SHOW statement over a table of information_schema: its columns under other names. */
export interface SchemaView {
  readonly table: string;
  /** Pairs of name in the result and column of the table, in the order of the result. */
  readonly columns: readonly (readonly [name: string, column: string])[];
  /** The result's column that LIKE looks at. */
  readonly like: string;
}

/**
 * `keep` is asked with a function that reads a column of the table's row by name, so that a view
 * of one database leaves the others out.
 */
export async function showView(
  view: SchemaView,
  source: SchemaSource,
  filter: ShowFilter,
  keep: (cell: (column: string) => unknown) => boolean = () => true,
): Promise<RowsResult> {
  const table = source.table(view.table);
  if (table === undefined) throw new Error(`information_schema has no table ${view.table}`);
  const placeOf = (name: string): number => table.columns.findIndex((c) => c.name === name);
  const places = view.columns.map(([, column]) => placeOf(column));
  const columns = view.columns.map(([name], at): ResultColumn => {
    const column = table.columns[places[at] ?? -1];
    if (column === undefined) throw new Error(`no column for ${name} in ${view.table}`);
    return { name, type: column.type, nullable: column.nullable };
  });
  const rows = (await table.rows(source))
    .filter((row) => keep((name) => row[placeOf(name)]))
    .map((row) => places.map((place) => row[place] ?? null));
  return filtered({ columns, likeColumns: [view.like] }, rows, filter, source.context);
}
