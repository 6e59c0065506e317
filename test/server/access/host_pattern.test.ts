/** Host patterns of accounts: which addresses they match, and which one wins. */
import { describe, expect, it } from '@jest/globals';
import {
  hostMatches,
  hostPatternFault,
  moreSpecificFirst,
} from '../../../server/access/host_pattern.ts';

// prettier-ignore
const CASES = [
  ['%', '10.1.2.3', true],
  ['10.%', '10.1.2.3', true],
  ['10.%', '110.1.2.3', false],
  ['10.1.2.3', '10.1.2.3', true],
  ['10.1.2.3', '::ffff:10.1.2.3', true],
  ['10.1.2._', '10.1.2.3', true],
  ['10.1.2._', '10.1.2.33', false],
  ['10.0.0.0/8', '10.1.2.3', true],
  ['10.0.0.0/8', '11.1.2.3', false],
  ['10.0.0.0/255.0.0.0', '10.1.2.3', true],
  ['192.168.1.0/255.255.255.0', '192.168.2.1', false],
  ['fe80::/16', 'fe80::1', true],
  ['fe80::/16', '10.0.0.1', false],
  ['localhost', '127.0.0.1', true],
  ['localhost', '::1', true],
  ['localhost', '10.0.0.1', false],
  ['example.org', '10.0.0.1', false],
  ['10.1.2.3', '10x1y2z3', false],
] as const;

describe('a host pattern', () => {
  it.each(CASES)('%s and %s: %s', (pattern, address, expected) => {
    expect(hostMatches(pattern, address)).toBe(expected);
  });

  it('takes no time for a hostile one', () => {
    const hostile = `${'%a'.repeat(120)}b`;
    expect(hostMatches(hostile, 'a'.repeat(60))).toBe(false);
  });

  it('the most specific comes first', () => {
    const patterns = ['%', '10.%', 'localhost', '10.0.0.0/8', '10.1.%', '10.1.0.0/16', '10.1.2.3'];
    expect(patterns.toSorted(moreSpecificFirst)).toEqual([
      '10.1.2.3',
      'localhost',
      '10.1.0.0/16',
      '10.0.0.0/8',
      '10.1.%',
      '10.%',
      '%',
    ]);
  });

  it('is checked when an account is made', () => {
    expect(hostPatternFault('10.0.0.0/8')).toBeUndefined();
    expect(hostPatternFault('db-1.example.org')).toBeUndefined();
    for (const bad of ['', '10.0.0.0/33', '10.0.0.0/255.0.255.0', 'a b', "a'b", 'x'.repeat(256)]) {
      expect(hostPatternFault(bad)).toBeDefined();
    }
  });
});
