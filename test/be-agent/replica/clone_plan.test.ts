import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { type RowsetId, id } from '../../../base/ids.ts';
import type { ReplicaRowset } from '../../../base/replica.ts';
import { planClone } from '../../../be-agent/replica/clone_plan.ts';
import { contiguousVersion, sortedRowsets } from '../../../be-agent/replica/versions.ts';
import { rowsetName, visibleRowset } from './replica_fixture.ts';

const REMOTE = { place: { kind: 'remote', resourceId: id<never>(7) } } as const;

/** `3:2-4` local rowset number 3 of the versions 2 to 4, `3:2-4r` cooled. */
function rowsets(text: string): ReplicaRowset[] {
  return text
    .split(' ')
    .filter((part) => part !== '')
    .map((part) => {
      const [, n, start, end, remote] = /^(\d+):(\d+)-(\d+)(r?)$/.exec(part) ?? [];
      const versions = [Number(start), Number(end)] as const;
      return visibleRowset(Number(n), versions, remote === 'r' ? REMOTE : {});
    });
}

function text(list: readonly ReplicaRowset[]): string {
  return list
    .map(({ rowsetId, startVersion, endVersion, place }) => {
      const n = Number.parseInt(rowsetId.slice(1), 16);
      return `${n}:${startVersion}-${endVersion}${place.kind === 'remote' ? 'r' : ''}`;
    })
    .join(' ');
}

function has(list: readonly ReplicaRowset[], metaId?: string) {
  const version = contiguousVersion(list);
  return { rowsets: list, version, ...(metaId === undefined ? {} : { metaId }) };
}

/** The replica's rowsets after the clone, with the meta id; or why there is none. */
function cloned(own: string, source: string, damaged: readonly number[] = []): string {
  const mine = rowsets(own);
  const other = rowsets(source);
  const bad = new Set(damaged.map(rowsetName));
  const meta = (list: string, name: string) => (list.includes('r') ? name : undefined);
  const plan = planClone(has(mine, meta(own, 'm1')), has(other, meta(source, 'm2')), bad);
  switch (plan.kind) {
    case 'NOTHING':
      return 'nothing';
    case 'STUCK':
      return plan.why;
    case 'CHANGE': {
      const removed = new Set<RowsetId>(plan.remove);
      const kept = mine.filter(({ rowsetId }) => !removed.has(rowsetId));
      const result = text(sortedRowsets([...kept, ...plan.add]));
      return plan.metaId === undefined ? result : `${result} ${plan.metaId}`;
    }
  }
}

describe('a clone takes', () => {
  it.each([
    // nothing when it has all
    ['0:0-1 1:2-2', '0:0-1 1:2-2', 'nothing'],
    ['0:0-1 1:2-2 2:3-3', '0:0-1 1:2-2', 'nothing'],
    // everything when it is new
    ['0:0-1', '0:0-1 1:2-2 2:3-3', '0:0-1 1:2-2 2:3-3'],
    ['', '0:0-1 1:2-2', '0:0-1 1:2-2'],
    // what is missing, and keeps what came after the gap
    ['0:0-1 1:2-2 4:5-5', '0:0-1 1:2-2 2:3-3 3:4-4 4:5-5', '0:0-1 1:2-2 2:3-3 3:4-4 4:5-5'],
    ['0:0-1 4:5-5', '0:0-1 1:2-2 2:3-3 3:4-4', '0:0-1 1:2-2 2:3-3 3:4-4 4:5-5'],
    // no cooled rowsets as long as their versions are here
    ['0:0-1 1:2-2', '0:0-1r 1:2-2r 2:3-3', '0:0-1 1:2-2 2:3-3'],
    // all cooled rowsets when one of them is missing, whatever it has of these versions
    ['0:0-1 1:2-2', '0:0-1r 1:2-2r 2:3-3r 3:4-4', '0:0-1r 1:2-2r 2:3-3r 3:4-4 m2'],
    ['0:0-1 1:2-2 2:3-3', '9:0-3r 3:4-4r', '9:0-3r 3:4-4r m2'],
    ['0:0-1r 1:2-2', '9:0-3r 3:4-4r 4:5-5', '9:0-3r 3:4-4r 4:5-5 m2'],
    // the list of cooled rowsets stays when it does not have to be another one
    ['0:0-1r 1:2-2r', '0:0-1r 1:2-2 2:3-3', '0:0-1r 1:2-2r 2:3-3'],
    // rowsets that were merged differently, as a whole
    ['0:0-1 8:2-4', '0:0-1 1:2-2 2:3-3 3:4-4 4:5-5', '0:0-1 8:2-4 4:5-5'],
    ['0:0-1 1:2-2', '0:0-1 8:2-4', '0:0-1 8:2-4'],
    ['0:0-1 8:2-4 4:6-6', '0:0-1 1:2-3 2:4-5 4:6-6', '0:0-1 1:2-3 2:4-5 4:6-6'],
  ])('%s from %s: %s', (own, source, result) => {
    expect(cloned(own, source)).toBe(result);
  });

  it.each([
    ['0:0-1 1:2-2 2:3-3', '0:0-1 1:2-2 2:3-3', [1], '0:0-1 1:2-2 2:3-3'],
    ['0:0-1 1:2-2', '0:0-1r 1:2-2r', [1], '0:0-1r 1:2-2r m2'],
    ['0:0-1 1:2-2 2:3-3', '0:0-1 1:2-2', [2], 'versions 3 to 3 are not all in the source'],
  ])('what is damaged: %s from %s (%s): %s', (own, source, damaged, result) => {
    expect(cloned(own, source, damaged)).toBe(result);
  });

  it('nothing that would lose versions which the source has not', () => {
    expect(cloned('0:0-1 8:5-7', '0:0-1 1:2-3 2:4-5')).toMatch(/5 to 7 would get lost/);
  });
});

/** A history of loads, of which a replica has some, cut at places of its own, cooled up to one. */
const replicas = fc.record({
  versions: fc.integer({ min: 1, max: 8 }),
  hasAll: fc.boolean(),
  loads: fc.array(fc.boolean(), { minLength: 9, maxLength: 9 }),
});

it('ends with all versions, each once, and with one of the two lists of cooled rowsets', () => {
  fc.assert(
    fc.property(replicas, replicas, fc.integer({ min: 0, max: 9 }), (mine, other, cooled) => {
      const list = (versions: number, loads: readonly boolean[], upTo: number): ReplicaRowset[] =>
        rowsets('0:0-1')
          .concat(
            Array.from({ length: versions }, (_, n) => visibleRowset(n + 1, [n + 2, n + 2])).filter(
              (_, n) => loads[n] ?? true,
            ),
          )
          .map((rowset) => (rowset.endVersion <= upTo ? { ...rowset, ...REMOTE } : rowset));
      const source = list(other.versions, [], cooled);
      const gaps = list(mine.versions, mine.hasAll ? [] : mine.loads, 0);
      const meta = cooled > 0 ? 'm2' : undefined;
      const plan = planClone(has(gaps), has(source, meta));
      if (plan.kind === 'NOTHING') {
        expect(contiguousVersion(gaps)).toBeGreaterThanOrEqual(contiguousVersion(source));
        return;
      }
      if (plan.kind === 'STUCK') throw new Error(plan.why);
      const removed = new Set(plan.remove);
      const kept = gaps.filter(({ rowsetId }) => !removed.has(rowsetId));
      const result = sortedRowsets([...kept, ...plan.add]);
      expect(contiguousVersion(result)).toBeGreaterThanOrEqual(contiguousVersion(source));
      const versionsOf = (all: readonly ReplicaRowset[]) => new Set(all.map((r) => r.endVersion));
      for (const version of versionsOf(gaps)) expect(versionsOf(result)).toContain(version);
      const remote = (all: readonly ReplicaRowset[]) =>
        all.filter(({ place }) => place.kind === 'remote').length;
      expect(remote(result)).toBe(plan.metaId === undefined ? 0 : remote(source));
    }),
    { numRuns: 300 },
  );
});
