/** `*` and `t.*`. */
import { numberOfKey } from './exact_decimal.ts';
import { holdsKeys } from './key_numbers.ts';
import { quoteName } from './spelled.ts';
import type { Scope, ScopeColumn, ScopeTable, SpellerContext } from './speller_context.ts';

interface Star {
  readonly sql: string;
  readonly columns: readonly ScopeColumn[];
}

export function spellStar(ctx: SpellerContext, scope: Scope, qualifier: string | undefined): Star {
  const columns = starColumns(scope, qualifier);
  if (ctx.keyless && columns.some(holdsKeys)) return spellNumbers(scope, qualifier);
  return { sql: qualifier === undefined ? '*' : `${quoteName(qualifier)}.*`, columns };
}

function tablesOf(scope: Scope, qualifier: string | undefined): readonly ScopeTable[] {
  const wanted = qualifier?.toLowerCase();
  return scope.tables.filter(
    (table) => wanted === undefined || table.alias.toLowerCase() === wanted,
  );
}

/** What the star stands for; a bare one shows a column of USING or NATURAL JOIN once. */
function starColumns(scope: Scope, qualifier: string | undefined): readonly ScopeColumn[] {
  return tablesOf(scope, qualifier).flatMap((table) => columnsOf(table, qualifier));
}

function columnsOf(table: ScopeTable, qualifier: string | undefined): readonly ScopeColumn[] {
  const columns = table.columns() ?? [];
  if (qualifier !== undefined) return columns;
  return columns.filter((column) => table.merged?.has(column.name.toLowerCase()) !== true);
}

/** Every column by its name, with numbers instead of keys. */
function spellNumbers(scope: Scope, qualifier: string | undefined): Star {
  const items: string[] = [];
  const found: ScopeColumn[] = [];
  for (const table of tablesOf(scope, qualifier)) {
    if (table.columns() === undefined) items.push(`${quoteName(table.alias)}.*`);
    for (const column of columnsOf(table, qualifier)) {
      const name = `${quoteName(table.alias)}.${quoteName(column.name)}`;
      const value = holdsKeys(column) ? numberOfKey(name, column.type()) : name;
      items.push(`${value} AS ${quoteName(column.name)}`);
      found.push({ ...column, keyed: false });
    }
  }
  return { sql: items.join(', '), columns: found };
}
