import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { TableFilter } from '../../base/table_filter.ts';
import { readTableFilter, tableFilterText } from '../../base/table_filter.ts';
import { compileTableFilter, matching } from '../../jobs/table_filter.ts';

function matches(pattern: string, name: string): boolean {
  return compileTableFilter({ include: [pattern], exclude: [] }).matches(name);
}

/** The definition, word by word: which ends of prefixes of the name the pattern can reach. */
function referenceMatches(pattern: string, name: string): boolean {
  const characters = Array.from(name);
  let reached = new Set([0]);
  for (const sign of pattern) {
    const next = new Set<number>();
    for (const at of reached) {
      if (sign === '*') for (let to = at; to <= characters.length; to += 1) next.add(to);
      else if (at < characters.length && (sign === '?' || sign === characters[at])) {
        next.add(at + 1);
      }
    }
    reached = next;
  }
  return reached.has(characters.length);
}

// Few characters, so that patterns and names meet often; one of them takes two units.
const letters = fc.constantFrom('a', 'b', '.', 'ä', '😀', '🐢');
const names = fc.array(letters, { maxLength: 12 }).map((list) => list.join(''));
const patterns = fc
  .array(fc.oneof(letters, fc.constantFrom('*', '?')), { maxLength: 10 })
  .map((list) => list.join(''));

describe('patterns of ON TABLES', () => {
  // prettier-ignore
  it.each([
    ['ods.*',        'ods.orders',      true],
    ['ods.*',        'ods.',            true],
    ['ods.*',        'xods.orders',     false],
    ['ods.*',        'odsXorders',      false],
    ['ods.orders',   'ods.orders',      true],
    ['ods.orders',   'ods.orders2',     false],
    ['ods.orders',   'Ods.orders',      false],
    ['ods.tmp_?',    'ods.tmp_1',       true],
    ['ods.tmp_?',    'ods.tmp_',        false],
    ['ods.tmp_?',    'ods.tmp_12',      false],
    ['ods.tmp_?',    'ods.tmp_😀',      true],
    ['ods.tmp_??',   'ods.tmp_😀',      false],
    ['?.a',          '😀.a',            true],
    ['*.?',          'x.😀',            true],
    ['*?.a',         '😀.a',            true],
    ['*.*',          'a.b',             true],
    ['*.*',          'ab',              false],
    ['*a*',          'x.bab',           true],
    ['*ab*ab*',      'x.abab',          true],
    ['*ab*ab*',      'x.aba',           false],
    ['a*a',          'a',               false],
    ['a*.b*b',       'a.b',             false],
    ['a*.b*b',       'a.bb',            true],
    ['**a?.c**',     'zab.cd',          true],
    ['d.[ab]+',      'd.a',             false],
    ['d.[ab]+',      'd.[ab]+',         true],
    ['d.^x$|(y){2}', 'd.^x$|(y){2}',    true],
    ['d.\\d',        'd.1',             false],
    ['d.\\d',        'd.\\d',           true],
    ['d.a%_',        'd.abc',           false],
    ['d*e.t',        'd.x.e.t',         true],
  ])('%s on %s: %s', (pattern, name, expected) => {
    expect(matches(pattern, name)).toBe(expected);
    expect(referenceMatches(pattern, name)).toBe(expected);
  });

  it('do what the definition says, whatever the pattern', () => {
    fc.assert(
      fc.property(patterns, names, (pattern, name) => {
        expect(matches(pattern, name)).toBe(referenceMatches(pattern, name));
      }),
      { numRuns: 5000 },
    );
  });

  it('match what they were made from', () => {
    const wild = fc.array(fc.tuple(letters, fc.constantFrom('same', '?', '*')), { maxLength: 12 });
    fc.assert(
      fc.property(wild, (list) => {
        const name = list.map(([letter]) => letter).join('');
        const pattern = list.map(([letter, how]) => (how === 'same' ? letter : how)).join('');
        expect(matches(pattern, name)).toBe(true);
      }),
      { numRuns: 1000 },
    );
  });

  it('many stars cost nothing', () => {
    // A backtracking matcher needs more steps than there are atoms for one of these.
    const name = `db.${'a'.repeat(120)}`;
    const stars = compileTableFilter({ include: [`*${'a*'.repeat(60)}b`], exclude: [] });
    const holes = compileTableFilter({ include: [`*${'a?*'.repeat(50)}b.*`], exclude: [] });
    for (let i = 0; i < 10_000; i += 1) {
      expect(stars.matches(name)).toBe(false);
      expect(holes.matches(name)).toBe(false);
    }
  });
});

describe('filters', () => {
  it('exclude wins, and nothing is included by itself', () => {
    const filter: TableFilter = { include: ['ods.*', 'dwd.x'], exclude: ['ods.tmp_*'] };
    const matcher = compileTableFilter(filter);
    const wanted = (name: string): boolean => matcher.matches(name);
    expect(['ods.a', 'ods.tmp_1', 'dwd.x', 'dwd.y'].filter(wanted)).toEqual(['ods.a', 'dwd.x']);
    expect(compileTableFilter({ include: [], exclude: ['a.*'] }).matches('b.b')).toBe(false);
    expect(compileTableFilter({ include: [], exclude: [] }).matches('b.b')).toBe(false);
  });

  it('are the same when their texts are', () => {
    const text = '{"include":["a.*","b.\\"\\\\"],"exclude":["a.t"]}';
    const filter = { include: ['a.*', 'b."\\'], exclude: ['a.t'] };
    expect(tableFilterText(filter)).toBe(text);
    expect(readTableFilter(text)).toEqual(filter);
    expect(tableFilterText({ include: [], exclude: [] })).toBe('{"include":[]}');
    expect(readTableFilter('{"include":["x.y"]}')).toEqual({ include: ['x.y'], exclude: [] });
    expect(() => readTableFilter('{"include":[1]}')).toThrow(TypeError);
  });

  it('finds names in a long list and lets others run meanwhile', async () => {
    const numbers = Array.from({ length: 50_000 }, (_, i) => i);
    let turns = 0;
    let counting = true;
    const count = (): void => {
      turns += 1;
      if (counting) setImmediate(count);
    };
    setImmediate(count);
    const matcher = compileTableFilter({ include: ['db.t*7'], exclude: ['db.t17'] });
    const found = await matching(matcher, numbers, (i) => `db.t${i}`);
    counting = false;
    expect(found).toEqual(numbers.filter((i) => i % 10 === 7 && i !== 17));
    expect(turns).toBeGreaterThanOrEqual(9);
  });
});
