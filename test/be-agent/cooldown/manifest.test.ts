import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { type ReplicaId, type TabletId, id, rowsetId } from '../../../base/ids.ts';
import {
  type Manifest,
  type ManifestRowset,
  decodeHead,
  decodeManifest,
  encode,
  headKey,
  leadOfTermKey,
  manifestKey,
  metaIdOf,
  newManifest,
  sha256Of,
  termKey,
  termOfManifestKey,
} from '../../../be-agent/cooldown/manifest.ts';

const TABLET = id<TabletId>(12);
const LEAD = { replicaId: id<ReplicaId>(34), term: 5 };
const KEY = 'data/12/m/5.1.34.meta';

function rowset(n: number, [startVersion, endVersion]: readonly [number, number]): ManifestRowset {
  const segment = { segment: 0, bytes: 100 + n, rows: n, indexOffset: 50, crc32: 7 };
  const isEmpty = n === 0;
  return {
    rowsetId: rowsetId(n.toString(16).padStart(32, '0')),
    startVersion,
    endVersion,
    rows: isEmpty ? 0 : n,
    bytes: isEmpty ? 0 : 100 + n,
    segments: isEmpty ? [] : [segment],
    createdMs: 1,
    newestWriteMs: 2,
  };
}

const LIST = [rowset(0, [0, 1]), rowset(1, [2, 2]), rowset(2, [3, 5])];
const manifest = (): Manifest => newManifest(TABLET, LEAD, 1, LIST);
const json = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

describe('a manifest', () => {
  it('is read as it was written, and equal lists are equal bytes', () => {
    expect(decodeManifest(KEY, encode(manifest()))).toEqual(manifest());
    const shuffled = LIST.map((each) => Object.fromEntries(Object.entries(each).reverse()));
    const again = newManifest(TABLET, LEAD, 1, shuffled as unknown as ManifestRowset[]);
    expect(sha256Of(encode(again))).toBe(sha256Of(encode(manifest())));
  });

  it('leaves out where its rowsets lie', () => {
    const placed = LIST.map((each) => ({ ...each, place: { kind: 'local' as const } }));
    expect(newManifest(TABLET, LEAD, 1, placed)).toEqual(manifest());
  });

  it.each<[string, (of: Manifest) => unknown, RegExp]>([
    ['another format', (of) => ({ ...of, format: 2 }), /format is not 1/],
    ['no list', (of) => ({ ...of, rowsets: undefined }), /lacks something/],
    ['an empty list', (of) => ({ ...of, rowsets: [] }), /has no rowset/],
    [
      'a start after 0',
      (of) => ({ ...of, rowsets: of.rowsets.slice(1) }),
      /\[2-2\] after version -1/,
    ],
    [
      'a gap',
      (of) => ({ ...of, rowsets: [of.rowsets[0], of.rowsets[2]] }),
      /\[3-5\] after version 1/,
    ],
    [
      'an overlap',
      (of) => ({ ...of, rowsets: [...of.rowsets, rowset(3, [5, 6])] }),
      /\[5-6\] after/,
    ],
    ['the wrong order', (of) => ({ ...of, rowsets: of.rowsets.toReversed() }), /after version -1/],
    ['another end', (of) => ({ ...of, cooledVersion: 6 }), /ends at 5 and not at 6/],
    ['another meta id', (of) => ({ ...of, metaId: '0'.repeat(32) }), /another meta id/],
    ['another tablet', (of) => ({ ...of, tablet: 13 }), /another meta id/],
    ['a term of 0', (of) => ({ ...of, term: 0 }), /lacks something/],
    [
      'a rowset twice',
      (of) => ({ ...of, rowsets: [...of.rowsets, { ...rowset(2, [6, 6]) }] }),
      /has rowset 0+2 twice/,
    ],
    [
      'an id that leads elsewhere',
      (of) => ({ ...of, rowsets: [{ ...of.rowsets[0], rowsetId: '../../etc/passwd' }] }),
      /names a rowset that is none/,
    ],
    [
      'sums that are wrong',
      (of) => ({ ...of, rowsets: [of.rowsets[0], { ...of.rowsets[1], rows: 9 }, of.rowsets[2]] }),
      /other sums than its segments/,
    ],
    [
      'an index beyond the end',
      (of) => {
        const [first, second] = of.rowsets;
        const segments = [{ ...second?.segments[0], indexOffset: 1000 }];
        return { ...of, rowsets: [first, { ...second, segments }, of.rowsets[2]] };
      },
      /describes rowset 0+1 wrongly/,
    ],
  ])('is refused with %s', (_, change, message) => {
    expect(() => decodeManifest(KEY, json(change(manifest())))).toThrow(message);
  });

  it('is refused, and nothing else happens, whatever the bytes are', () => {
    const bytes = encode(manifest());
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 0, max: 255 }), (at, value) => {
        const changed = Uint8Array.from(bytes);
        changed[at] = value;
        try {
          const read = decodeManifest(KEY, changed);
          // What the checks cannot see is in the sha256 of HEAD.
          expect(read.rowsets).toHaveLength(3);
        } catch (error) {
          expect((error as Error).name).toBe('CooldownFailure');
        }
      }),
      { numRuns: 500 },
    );
    fc.assert(
      fc.property(fc.json(), (text) => {
        expect(() => decodeManifest(KEY, new TextEncoder().encode(text))).toThrow(/is damaged/);
        expect(() => decodeHead(KEY, new TextEncoder().encode(text))).toThrow(/is damaged/);
      }),
    );
  });

  it('is not made of a list that is none', () => {
    expect(() => newManifest(TABLET, LEAD, 1, LIST.slice(1))).toThrow(/after version -1/);
    expect(() => newManifest(TABLET, LEAD, 1, [])).toThrow(/no rowset/);
  });
});

describe('a meta id', () => {
  it('is equal for equal lists of one tablet only', () => {
    expect(metaIdOf(TABLET, LIST)).toBe(metaIdOf(TABLET, [...LIST]));
    expect(metaIdOf(TABLET, LIST)).toMatch(/^[0-9a-f]{32}$/);
    const others = [
      metaIdOf(id(13), LIST),
      metaIdOf(TABLET, LIST.slice(0, 2)),
      metaIdOf(TABLET, [rowset(0, [0, 1]), rowset(1, [2, 5])]),
      metaIdOf(TABLET, [rowset(0, [0, 1]), rowset(3, [2, 2]), rowset(2, [3, 5])]),
    ];
    expect(new Set([...others, metaIdOf(TABLET, LIST)]).size).toBe(5);
  });
});

describe('names', () => {
  it('of manifests say term, number and replica', () => {
    expect(headKey(TABLET)).toBe('data/12/HEAD');
    expect(manifestKey(TABLET, LEAD, 1)).toBe(KEY);
    expect(termOfManifestKey(KEY)).toBe(5);
    expect(termOfManifestKey('data/12/HEAD')).toBeUndefined();
    expect(termKey(TABLET, LEAD)).toBe('data/12/34.5.meta');
    expect(leadOfTermKey(termKey(TABLET, LEAD))).toEqual(LEAD);
    expect(leadOfTermKey(KEY)).toBeUndefined();
  });
});

describe('HEAD', () => {
  const head = {
    term: 5,
    replica: id<ReplicaId>(34),
    seq: 0,
    manifestKey: KEY,
    metaId: 'a'.repeat(32),
    cooledVersion: 5,
    sha256: 'b'.repeat(64),
  };

  it('is read as it was written', () => {
    expect(decodeHead('data/12/HEAD', encode(head))).toEqual(head);
  });

  it.each<[string, Partial<Record<keyof typeof head, unknown>>]>([
    ['a term of 0', { term: 0 }],
    ['a term that is a text', { term: '5' }],
    ['a number below 0', { seq: -1 }],
    ['no replica', { replica: null }],
    ['no manifest', { manifestKey: undefined }],
    ['a short meta id', { metaId: 'a' }],
    ['a sha256 that is none', { sha256: 'g'.repeat(64) }],
    ['half a version', { cooledVersion: 1.5 }],
  ])('is refused with %s', (_, change) => {
    expect(() => decodeHead('data/12/HEAD', json({ ...head, ...change }))).toThrow(/not a HEAD/);
  });
});
