/** Which rowsets of a tablet are still to be rewritten; pure. */
import type { RowsetMeta } from '../base/schema.ts';
import type { RewrittenRowset } from '../catalog/alter_writes.ts';

export interface Missing {
  readonly missing: readonly RowsetMeta[];
  /** Rewritten rowsets that what is missing will have in it: to be discarded first. */
  readonly stale: readonly RewrittenRowset[];
}

/**
 * `sources`: visible rowsets of the old tablet; `done`: of the new one. Both by version, without
 * overlap. A compaction may have merged sources that were rewritten one by one. Every rowset has
 * rows, and rewriting keeps their number, so equal sums over the same versions mean the same rows.
 */
export function missingRowsets(
  sources: readonly RowsetMeta[],
  done: readonly RewrittenRowset[],
): Missing {
  const missing: RowsetMeta[] = [];
  const stale: RewrittenRowset[] = [];
  let next = 0;
  for (const source of sources) {
    const inside: RewrittenRowset[] = [];
    for (let known = done[next]; known !== undefined; known = done[next]) {
      if (known.startVersion > source.endVersion) break;
      next += 1;
      const fits =
        known.startVersion >= source.startVersion && known.endVersion <= source.endVersion;
      if (fits) inside.push(known);
      else stale.push(known);
    }
    if (inside.reduce((sum, { rows }) => sum + rows, 0) === source.rows) continue;
    stale.push(...inside);
    missing.push(source);
  }
  stale.push(...done.slice(next));
  return { missing, stale };
}
