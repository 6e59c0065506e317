/** The rules of ON TABLES as a value and as text (reference/warm-up 1.4). */

/** Globs over `db.table`; sorted, each once. The matching is in `jobs/table_filter.ts`. */
export interface TableFilter {
  readonly include: readonly string[];
  readonly exclude: readonly string[];
}

/** The canonical form: two filters are the same when their texts are. */
export function tableFilterText({ include, exclude }: TableFilter): string {
  return JSON.stringify(exclude.length === 0 ? { include } : { include, exclude });
}

/** What `tableFilterText` wrote. Throws on any other text. */
export function readTableFilter(text: string): TableFilter {
  const value = JSON.parse(text) as { include?: unknown; exclude?: unknown };
  return { include: patterns(value.include ?? []), exclude: patterns(value.exclude ?? []) };
}

function patterns(value: unknown): readonly string[] {
  if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value;
  throw new TypeError(`no list of patterns: ${JSON.stringify(value)}`);
}
