/** Keys of decimals: their byte order is the order of the numbers, and they come back whole. */
import { describe, expect, it } from '@jest/globals';
import { decimalKey, decimalOfKey } from '../../../server/select/exact_decimal.ts';

/** In ascending order, all different. */
const ASCENDING = [
  `-${'9'.repeat(38)}`,
  '-100',
  '-99.51',
  '-99.5',
  '-99',
  '-5.1',
  '-5',
  '-0.11',
  '-0.1',
  '-0.0001',
  '0',
  '0.0001',
  '0.1',
  '0.11',
  '5',
  '5.0001',
  '5.1',
  '10',
  '99.9999',
  '1234567890123456.7891',
  '1234567890123456.7892',
  '9'.repeat(38),
];

describe('decimal keys', () => {
  it('sort as the numbers do', () => {
    const keys = ASCENDING.map((plain) => decimalKey(plain) ?? '');
    expect(keys.toSorted()).toEqual(keys);
    expect(new Set(keys).size).toBe(ASCENDING.length);
  });

  it.each(ASCENDING)('give %s back', (plain) => {
    expect(decimalOfKey(decimalKey(plain) ?? '', 0)).toBe(plain);
  });

  it('are one key per number, however it is written', () => {
    expect(decimalKey('5.00')).toBe(decimalKey('+005'));
    expect(decimalKey('-0.000')).toBe(decimalKey('0'));
    expect(decimalOfKey(decimalKey('-12.5') ?? '', 4)).toBe('-12.5000');
  });

  it.each(['', '-', '.', 'five', '1e5', ' 5', '--5', '2024-01-01'])(
    'there is none of %j',
    (text) => {
      expect(decimalKey(text)).toBeUndefined();
    },
  );
});
