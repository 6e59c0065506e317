import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { id, rowsetId } from '../../base/ids.ts';
import type { RowsetMeta } from '../../base/schema.ts';
import type { RewrittenRowset } from '../../catalog/alter_writes.ts';
import { ALTER } from '../../jobs/alter_lifecycle.ts';
import { missingRowsets } from '../../jobs/alter_missing.ts';

let ids = 0;
const newId = () => {
  ids += 1;
  return rowsetId(ids.toString(16).padStart(32, '0'));
};

const source = (startVersion: number, endVersion: number, rows: number): RowsetMeta => ({
  rowsetId: newId(),
  tabletId: id(1),
  partitionId: id(1),
  rows,
  bytes: rows,
  segments: [],
  startVersion,
  endVersion,
  vaultId: id(1),
  txnId: id(1),
  createdMs: 0,
});
const done = (startVersion: number, endVersion: number, rows: number): RewrittenRowset => ({
  rowsetId: newId(),
  startVersion,
  endVersion,
  rows,
});

describe('missing rowsets', () => {
  it('a rowset that was merged of rewritten ones is not rewritten again', () => {
    const merged = source(2, 5, 30);
    const parts = [done(2, 2, 10), done(5, 5, 20)];
    expect(missingRowsets([merged], parts)).toEqual({ missing: [], stale: [] });
  });

  it('a rowset that was merged of some rewritten ones is rewritten in their place', () => {
    const merged = source(2, 5, 30);
    const part = done(2, 2, 10);
    expect(missingRowsets([merged, source(6, 6, 1)], [part, done(6, 6, 1)])).toEqual({
      missing: [merged],
      stale: [part],
    });
  });

  it('after any loads, merges and rewrites in any order, nothing is missing or twice', () => {
    const action = fc.record({ kind: fc.constantFrom('load', 'merge', 'rewrite'), n: fc.nat(9) });
    fc.assert(
      fc.property(fc.array(action, { maxLength: 40 }), (actions) => {
        let sources: RowsetMeta[] = [];
        let target: RewrittenRowset[] = [];
        let version = 1;
        const rewrite = (count: number): void => {
          const { missing, stale } = missingRowsets(sources, target);
          const added = missing
            .slice(0, count)
            .map((rowset) => done(rowset.startVersion, rowset.endVersion, rowset.rows));
          target = [...target.filter((rowset) => !stale.includes(rowset)), ...added].toSorted(
            (a, b) => a.startVersion - b.startVersion,
          );
        };
        for (const { kind, n } of actions) {
          if (kind === 'load') {
            version += 1;
            // A tablet gets no rowset from a load without rows for it.
            if (n > 3) sources.push(source(version, version, n));
          } else if (kind === 'rewrite') {
            rewrite(n);
          } else {
            const [from, to] = [n % 3, 2 + (n % 4)];
            const inputs = sources.slice(from, from + to);
            const [head] = inputs;
            const last = inputs.at(-1);
            if (head === undefined || last === undefined) continue;
            const rows = inputs.reduce((sum, input) => sum + input.rows, 0);
            const merged = source(head.startVersion, last.endVersion, rows);
            sources = [...sources.slice(0, from), merged, ...sources.slice(from + to)];
          }
        }
        rewrite(Number.MAX_SAFE_INTEGER);
        const total = (rowsets: readonly { readonly rows: number }[]): number =>
          rowsets.reduce((sum, { rows }) => sum + rows, 0);
        expect(total(target)).toBe(total(sources));
        expect(missingRowsets(sources, target)).toEqual({ missing: [], stale: [] });
      }),
    );
  });
});

describe('the lifecycle of alter jobs', () => {
  it('reaches a final state from everywhere, and leaves none', () => {
    for (const state of ALTER.states) {
      const cells = ALTER.events.map((event) => ALTER.cell(state, event));
      if (ALTER.final.has(state)) expect(cells.every(({ kind }) => kind === 'late')).toBe(true);
      else expect(cells.some((cell) => cell.kind === 'move' && cell.to === 'CANCELLED')).toBe(true);
    }
  });
});
