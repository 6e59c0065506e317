/**
 * A listing: the rows behind a SHOW statement and behind the information_schema table of the same
 * thing, so that both always say the same.
 */
import type { ResultColumn, SqlRow } from '../../base/values.ts';

export interface Listing<Source> {
  readonly columns: readonly ResultColumn[];
  /** Names of the columns that `LIKE 'pattern'` looks at; any match counts. */
  readonly likeColumns: readonly string[];
  /** Those of them that list several things, `a, b`: one that matches is enough. */
  readonly likeLists?: readonly string[];
  rows(source: Source): Promise<readonly SqlRow[]> | readonly SqlRow[];
}
