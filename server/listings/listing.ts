/**
 * A listing: the rows behind a SHOW statement and behind the information_schema table of the same
 * thing, so that both always say the same, and to everybody only what he may see.
 */
import type { ResultColumn, SqlRow, SqlValue } from '../../base/values.ts';
import type { Rights } from '../access/rights.ts';

/** Whether a row shows; `cell` reads a column of it by name. */
export type RowTest = (cell: (column: string) => SqlValue) => boolean;

export interface Listing<Source> {
  readonly columns: readonly ResultColumn[];
  /** Names of the columns that `LIKE 'pattern'` looks at; any match counts. */
  readonly likeColumns: readonly string[];
  /** Those of them that list several things, `a, b`: one that matches is enough. */
  readonly likeLists?: readonly string[];
  /** Which rows show to somebody who may not do everything. */
  seen(rights: Rights, source: Source): RowTest | Promise<RowTest>;
  /** Columns that are NULL for who does not see all tables, since they name some. */
  readonly namesTables?: readonly string[];
  rows(source: Source): Promise<readonly SqlRow[]> | readonly SqlRow[];
  /** The same at once; undefined, or absent: somebody has to be waited for. */
  rowsNow?(source: Source): readonly SqlRow[] | undefined;
}

/** For listings that nobody gets to whose statement was not checked already. */
export const everyRow = (): RowTest => () => true;

/** For what only they see who may do everything. */
export const nobody = (): RowTest => () => false;

/** `db.table` in two. */
export function splitTable(name: string): [db: string, table: string] {
  const dot = name.indexOf('.');
  return [name.slice(0, dot), name.slice(dot + 1)];
}

/** Rows of tables: those that the user sees. */
export const ofTable =
  (database: string, table: string) =>
  (rights: Rights): RowTest =>
  (cell) =>
    rights.seesTable(String(cell(database)), String(cell(table)));

/** Rows of compute groups: those that the user was given USAGE of. */
export const ofGroup =
  (column: string) =>
  (rights: Rights): RowTest =>
  (cell) =>
    rights.mayUse('COMPUTE_GROUP', String(cell(column)));

/** As `seenRows`, at once, for who may see everything; undefined: not possible. */
export function seenRowsNow<Source>(
  listing: Pick<Listing<Source>, 'rowsNow'>,
  source: Source,
  rights: Rights,
): readonly SqlRow[] | undefined {
  return rights.isAdmin ? listing.rowsNow?.(source) : undefined;
}

/** The listing as this user sees it. */
export async function seenRows<Source>(
  listing: Pick<Listing<Source>, 'columns' | 'namesTables' | 'rows' | 'seen'>,
  source: Source,
  rights: Rights,
): Promise<readonly SqlRow[]> {
  const rows = await listing.rows(source);
  if (rights.isAdmin) return rows;
  const { columns, namesTables = [] } = listing;
  const places = new Map(columns.map(({ name }, at) => [name, at]));
  const test = await listing.seen(rights, source);
  const shown = rows.filter((row) => test((name) => row[places.get(name) ?? -1] ?? null));
  if (rights.seesAllTables || namesTables.length === 0) return shown;
  const hidden = new Set(namesTables.map((name) => places.get(name)));
  return shown.map((row) => row.map((cell, at) => (hidden.has(at) ? null : cell)));
}
