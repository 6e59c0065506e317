/** Which lists a replica may take over, and what is due on it. */
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { type ResourceId, type TabletId, id, rowsetId } from '../../../base/ids.ts';
import type { ReplicaRowset } from '../../../base/replica.ts';
import { align } from '../../../be-agent/cooldown/align.ts';
import { newManifest } from '../../../be-agent/cooldown/manifest.ts';
import { nextDueMs, pickDue } from '../../../be-agent/cooldown/pick.ts';
import { contiguousVersion, sortedRowsets } from '../../../be-agent/replica/versions.ts';

const RESOURCE = id<ResourceId>(9);
const TABLET = id<TabletId>(1);
const LEAD = { replicaId: id<never>(1), term: 1 };

interface Shape {
  readonly range: readonly [number, number];
  readonly name?: number;
  readonly rows?: number;
  readonly cold?: boolean;
  readonly writtenMs?: number;
}

function rowset({ range, name, rows = 0, cold = false, writtenMs = 0 }: Shape): ReplicaRowset {
  const [startVersion, endVersion] = range;
  const bytes = rows === 0 ? 0 : rows + 10;
  const segment = { segment: 0, bytes, rows, indexOffset: 0, crc32: rows };
  return {
    rowsetId: rowsetId((name ?? startVersion + 1).toString(16).padStart(32, '0')),
    startVersion,
    endVersion,
    rows,
    bytes,
    segments: rows === 0 ? [] : [segment],
    createdMs: 0,
    newestWriteMs: writtenMs,
    place: cold ? { kind: 'remote', resourceId: RESOURCE } : { kind: 'local' },
  };
}

function replica(shapes: readonly Shape[]) {
  const rowsets = sortedRowsets(shapes.map(rowset));
  return { rowsets, version: contiguousVersion(rowsets) };
}

const list = (shapes: readonly Shape[]) => newManifest(TABLET, LEAD, 1, shapes.map(rowset));
const outcome = (own: readonly Shape[], published: readonly Shape[]) =>
  align(replica(own), list(published), RESOURCE);

const FIRST: Shape = { range: [0, 1] };
const at = (version: number, more: Partial<Shape> = {}): Shape => ({
  range: [version, version],
  rows: 5,
  ...more,
});

describe('align', () => {
  it.each<[string, readonly Shape[], readonly Shape[], readonly number[], readonly number[]]>([
    ['all that is local', [FIRST, at(2), at(3)], [FIRST, at(2)], [0, 2], [0, 2]],
    [
      'only what is new',
      [{ ...FIRST, cold: true }, at(2, { cold: true }), at(3), at(4)],
      [FIRST, at(2), at(3)],
      [3],
      [3],
    ],
    [
      'a merged rowset',
      [{ ...FIRST, cold: true }, at(2, { cold: true }), at(3), at(4)],
      [{ range: [0, 3], rows: 10, name: 99 }],
      [0, 2, 3],
      [0],
    ],
    ['versions that it lacks', [FIRST, at(2)], [FIRST, at(2), at(3), at(4)], [0, 2], [0, 2, 3, 4]],
    ['versions in a gap', [FIRST, at(2), at(4)], [FIRST, at(2), at(3)], [0, 2], [0, 2, 3]],
  ])('takes over %s', (_, own, published, removed, added) => {
    const found = outcome(own, published);
    if (found.kind !== 'CHANGE') throw new Error(found.why);
    expect(found.remove.map(({ startVersion }) => startVersion)).toEqual(removed);
    expect(found.add.map(({ startVersion }) => startVersion)).toEqual(added);
    for (const { place } of found.add)
      expect(place).toEqual({ kind: 'remote', resourceId: RESOURCE });
  });

  it.each<[string, readonly Shape[], readonly Shape[], RegExp]>([
    [
      'a rowset cut in two',
      [FIRST, { range: [2, 5], rows: 9 }],
      [FIRST, at(2)],
      /\[2-5\] goes beyond/,
    ],
    [
      'cooled data beyond its end',
      [{ ...FIRST, cold: true }, at(2, { cold: true }), at(3, { cold: true })],
      [FIRST, at(2)],
      /ends at 2, this replica has cooled data to 3/,
    ],
    [
      'other rows of a version',
      [FIRST, at(2)],
      [FIRST, at(2, { rows: 6, name: 77 })],
      /5 rows here and 6/,
    ],
    [
      'another load in the place of a version',
      [FIRST, at(2)],
      [FIRST, at(2, { name: 77 })],
      /version 2 is rowset 0{31}3 here and 0{30}4d in the manifest/,
    ],
    [
      'other rows of all versions',
      [FIRST, { range: [2, 3], rows: 9 }],
      [{ range: [0, 2], rows: 5, name: 77 }, at(3)],
      /\[0-3\] have 9 rows here and 10/,
    ],
  ])('refuses %s', (_, own, published, why) => {
    const found = outcome(own, published);
    expect(found.kind).toBe('REFUSED');
    expect(found.kind === 'REFUSED' && found.why).toMatch(why);
  });

  it('refuses the same id with other segments, and another resource', () => {
    const own = replica([FIRST, at(2)]);
    const other = [FIRST, at(2)].map(rowset);
    const changed = other.map((each) => ({
      ...each,
      segments: each.segments.map((segment) => ({ ...segment, crc32: 1 })),
    }));
    const found = align(own, newManifest(TABLET, LEAD, 1, changed), RESOURCE);
    expect(found).toMatchObject({ kind: 'REFUSED', why: expect.stringMatching(/other segments/) });
    const cold = replica([{ ...FIRST, cold: true }, at(2, { cold: true }), at(3)]);
    const elsewhere = align(cold, list([FIRST, at(2), at(3)]), id<ResourceId>(10));
    expect(elsewhere).toMatchObject({ kind: 'REFUSED', why: expect.stringMatching(/resource 9/) });
  });

  it('never loses a version or a row, whatever the lists are', () => {
    // Version 2 to 9 have as many rows as their number says; lists cut them as they like.
    const cuts = fc.array(fc.boolean(), { minLength: 8, maxLength: 8 });
    const shapesOf = (cut: readonly boolean[], end: number, salt: number): Shape[] => {
      const shapes: Shape[] = [];
      let start = 0;
      for (let version = 1; version <= end; version += 1) {
        if (version < end && cut[version - 1] !== true) continue;
        let rows = 0;
        for (let each = start; each <= version; each += 1) rows += each;
        const name = start * 100 + version + 1 + (start === version ? 0 : salt * 10_000);
        shapes.push({ range: [start, version], rows, name });
        start = version + 1;
      }
      return shapes;
    };
    const run = fc.record({ own: cuts, published: cuts, end: fc.integer({ min: 1, max: 8 }) });
    fc.assert(
      fc.property(run, ({ own, published, end }) => {
        const before = replica(shapesOf(own, 8, 1));
        const found = align(before, list(shapesOf(published, end, 2)), RESOURCE);
        if (found.kind === 'REFUSED') {
          expect(found.why).toMatch(/goes beyond/);
          return;
        }
        const removed = new Set(found.remove.map(({ rowsetId: name }) => name));
        const kept = before.rowsets.filter(({ rowsetId: name }) => !removed.has(name));
        const after = sortedRowsets([...kept, ...found.add]);
        expect(contiguousVersion(after)).toBe(8);
        const sum = (rowsets: readonly ReplicaRowset[]): number =>
          rowsets.reduce((total, { rows }) => total + rows, 0);
        expect(sum(after)).toBe(sum(before.rowsets));
      }),
    );
  });
});

describe('what is due', () => {
  const TTL = { time: { kind: 'ttl', seconds: 1 } as const, forcedVersion: -1 };
  const written = (version: number, writtenMs: number, rows = 5): Shape =>
    at(version, { writtenMs, rows });
  const versions = (shapes: readonly Shape[], nowMs: number, coldness = TTL): number[] =>
    pickDue(replica(shapes), coldness, nowMs).map(({ endVersion }) => endVersion);

  it.each<[string, readonly Shape[], number, readonly number[]]>([
    ['nothing at its time', [FIRST, written(2, 0)], 1000, []],
    ['what is past its time, with the first rowset', [FIRST, written(2, 0)], 1001, [1, 2]],
    ['only the older ones', [FIRST, written(2, 0), written(3, 500)], 1400, [1, 2]],
    ['nothing of an empty tablet', [FIRST, written(2, 0, 0)], 9000, []],
    ['empty ones before data', [FIRST, written(2, 0, 0), written(3, 0)], 9000, [1, 2, 3]],
    ['empty ones after what is cooled', [{ ...FIRST, cold: true }, written(2, 0, 0)], 9000, [2]],
    ['in the order of versions', [FIRST, written(2, 9000), written(3, 0)], 5000, []],
    ['nothing behind a gap', [FIRST, written(2, 0), written(4, 0)], 9000, [1, 2]],
  ])('is %s', (_, shapes, nowMs, wanted) => {
    expect(versions(shapes, nowMs)).toEqual(wanted);
  });

  it('is said before it is', () => {
    const due = (shapes: readonly Shape[], coldness = TTL) => nextDueMs(replica(shapes), coldness);
    expect(due([FIRST, written(2, 300)])).toBe(1300);
    expect(due([FIRST, written(2, 0, 0)])).toBeUndefined();
    expect(due([FIRST, written(2, 900), written(3, 0)])).toBe(1900);
    expect(due([{ ...FIRST, cold: true }])).toBeUndefined();
    const never = { time: undefined, forcedVersion: -1 } as never;
    expect(due([FIRST, written(2, 0)], never)).toBe(Number.POSITIVE_INFINITY);
    expect(due([FIRST, written(2, 0)], { ...TTL, forcedVersion: 2 })).toBe(
      Number.NEGATIVE_INFINITY,
    );
    expect(
      versions([FIRST, written(2, 0), written(3, 0)], -5000, { ...TTL, forcedVersion: 2 }),
    ).toEqual([1, 2]);
  });

  it('says when something can be picked, and only then', () => {
    const shapes = fc.array(
      fc.record({ rows: fc.integer({ min: 0, max: 2 }), writtenMs: fc.nat(3000) }),
      { minLength: 1, maxLength: 6 },
    );
    fc.assert(
      fc.property(shapes, fc.nat(5000), fc.boolean(), (loads, nowMs, cold) => {
        const all = [
          { ...FIRST, cold },
          ...loads.map(({ rows, writtenMs }, n) => written(n + 2, writtenMs, rows)),
        ];
        const due = nextDueMs(replica(all), TTL);
        const isDue = due !== undefined && due < nowMs;
        expect(versions(all, nowMs).length > 0).toBe(isDue);
      }),
    );
  });

  it('is no more than a batch', () => {
    const many = Array.from({ length: 250 }, (_, n) => written(n + 2, 0));
    const picked = versions([FIRST, ...many], 9000);
    expect(picked).toHaveLength(100);
    expect(picked.at(-1)).toBe(100);
  });
});
