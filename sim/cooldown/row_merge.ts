/** Merges cooled rowsets whose segments are lists of row names, as the real one merges Parquet. */
import type { ObjectStore } from '../../base/ports.ts';
import { segmentKey } from '../../base/schema.ts';
import type { ColdMerge } from '../../be-agent/cooldown/cold_merge.ts';
import { rowsOfBody, segmentBody, segmentMeta } from './content.ts';

export function rowMerge(remote: ObjectStore): ColdMerge {
  return async ({ tabletId, inputs, rowsetId }, output, signal) => {
    const rows: string[] = [];
    for (const input of inputs) {
      for (const { segment } of input.segments) {
        const key = segmentKey(tabletId, input.rowsetId, segment);
        const found = rowsOfBody(await remote.get(key, { signal }));
        if (found === undefined) throw new Error(`${key} is damaged`);
        rows.push(...found);
      }
    }
    const body = segmentBody(rows);
    await output.put(segmentKey(tabletId, rowsetId, 0), body, { signal });
    const segments = [segmentMeta(0, body, rows.length)];
    return { rows: rows.length, bytes: body.length, segments };
  };
}
