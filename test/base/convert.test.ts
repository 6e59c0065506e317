import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { DAY_MAX, DAY_MIN, civilText, dayText, parseCivil } from '../../base/civil_time.ts';
import { type InputValue, convertValue, defaultValue, makeConverter } from '../../base/convert.ts';
import { SqlError } from '../../base/errors.ts';
import type { ColumnDef } from '../../base/schema.ts';
import type { ColumnType, SqlValue } from '../../base/values.ts';
import { systemClock } from '../../base/system_ports.ts';

function columnOf(type: ColumnType, more: Partial<ColumnDef> = {}): ColumnDef {
  return { name: 'c', type, nullable: true, isKey: false, comment: '', ...more };
}

function errorOf(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (error instanceof SqlError) return `${error.errno} ${error.message}`;
    throw error;
  }
  return 'no error';
}

const INT: ColumnType = { kind: 'INT' };
const BIGINT: ColumnType = { kind: 'BIGINT' };
const DEC: ColumnType = { kind: 'DECIMAL', precision: 5, scale: 2 };
const DATE: ColumnType = { kind: 'DATE' };
const DT0: ColumnType = { kind: 'DATETIME', precision: 0 };
const DT3: ColumnType = { kind: 'DATETIME', precision: 3 };
const VC3: ColumnType = { kind: 'VARCHAR', length: 3 };
const BOOL: ColumnType = { kind: 'BOOLEAN' };
const FLOAT: ColumnType = { kind: 'FLOAT' };
const DOUBLE: ColumnType = { kind: 'DOUBLE' };

// prettier-ignore
const GOOD: readonly (readonly [ColumnType, InputValue, SqlValue])[] = [
  [INT, 5, 5], [INT, '5', 5], [INT, ' -5 ', -5], [INT, 7n, 7], [INT, true, 1],
  [INT, '2147483647', 2147483647], [INT, -2147483648n, -2147483648],
  [INT, '2.5', 3], [INT, '-2.5', -3], [INT, 2.4, 2], [INT, '1e3', 1000], [INT, '-0', 0], [INT, -0, 0],
  [INT, '0.49999999999999999999', 0], [INT, '1e-999999', 0],
  [BIGINT, '9223372036854775807', 9223372036854775807n], [BIGINT, 5, 5n],
  [{ kind: 'LARGEINT' }, '-170141183460469231731687303715884105728', -(2n ** 127n)],
  [DEC, '1', '1.00'], [DEC, 1.005, '1.01'], [DEC, '-1.005', '-1.01'], [DEC, '999.994', '999.99'],
  [DEC, '.5', '0.50'], [DEC, '-0.001', '0.00'], [DEC, 12n, '12.00'], [DEC, '-1.23', '-1.23'],
  [DEC, '007.10', '7.10'], [DEC, '1.23e2', '123.00'], [DEC, '-0.00', '0.00'],
  [{ kind: 'DECIMAL', precision: 38, scale: 0 }, '9'.repeat(38), '9'.repeat(38)],
  [{ kind: 'DECIMAL', precision: 2, scale: 2 }, '0.99', '0.99'],
  [DOUBLE, '1e308', 1e308], [DOUBLE, '.5', 0.5], [DOUBLE, 3n, 3], [DOUBLE, '-0', 0],
  [FLOAT, '0.1', Math.fround(0.1)],
  [BOOL, 'TRUE', 1], [BOOL, false, 0], [BOOL, '1', 1], [BOOL, 0, 0],
  [DATE, '2024-1-5', '2024-01-05'], [DATE, '20240105', '2024-01-05'], [DATE, 20240105, '2024-01-05'],
  [DATE, '2024-02-29', '2024-02-29'], [DATE, '2024/01/05 10:00', '2024-01-05'], [DATE, '700102', '1970-01-02'],
  [DT0, '2024-01-05T10:11:12Z', '2024-01-05 10:11:12'], [DT0, '2024-01-05', '2024-01-05 00:00:00'],
  [DT0, '2024-01-05 23:59:59.5', '2024-01-06 00:00:00'], [DT0, 20240105101112, '2024-01-05 10:11:12'],
  [DT3, '2024-01-05 10:11:12.1239', '2024-01-05 10:11:12.124'],
  [DT3, '2024-01-05T01:00:00+02:00', '2024-01-04 23:00:00.000'],
  [VC3, 'abc', 'abc'], [VC3, 'ab   ', 'ab '], [VC3, '\u{1f600}\u{1f600}\u{1f600}', '\u{1f600}\u{1f600}\u{1f600}'],
  [VC3, 'a\0b', 'a\0b'], [VC3, 12, '12'], [{ kind: 'JSON' }, '{"a": 1}', '{"a": 1}'], [{ kind: 'JSON' }, true, 'true'],
  [INT, null, null],
];

// prettier-ignore
const BAD: readonly (readonly [ColumnType, InputValue, string])[] = [
  [INT, '2147483648', "1264 Out of range value for column 'c' at row 7 (value '2147483648')"],
  [{ kind: 'TINYINT' }, 128, "1264 Out of range value for column 'c' at row 7 (value '128')"],
  [INT, '1e99999', "1264 Out of range value for column 'c' at row 7 (value '1e99999')"],
  [INT, '3abc', "1366 Incorrect integer value: '3abc' for column 'c' at row 7"],
  [INT, '', "1366 Incorrect integer value: '' for column 'c' at row 7"],
  [BIGINT, '9223372036854775808', "1264 Out of range value for column 'c' at row 7 (value '9223372036854775808')"],
  [DEC, '999.995', "1264 Out of range value for column 'c' at row 7 (value '999.995')"],
  [DEC, '.', "1366 Incorrect decimal value: '.' for column 'c' at row 7"],
  [DOUBLE, '1e309', "1264 Out of range value for column 'c' at row 7 (value '1e309')"],
  [DOUBLE, 'NaN', "1366 Incorrect double value: 'NaN' for column 'c' at row 7"],
  [DOUBLE, '0x10', "1366 Incorrect double value: '0x10' for column 'c' at row 7"],
  [FLOAT, 1e39, "1264 Out of range value for column 'c' at row 7 (value '1e+39')"],
  [BOOL, 'yes', "1366 Incorrect integer value: 'yes' for column 'c' at row 7"],
  [BOOL, 2, "1264 Out of range value for column 'c' at row 7 (value '2')"],
  [DATE, '2023-02-29', "1292 Incorrect date value: '2023-02-29' for column 'c' at row 7"],
  [DATE, '0000-00-00', "1292 Incorrect date value: '0000-00-00' for column 'c' at row 7"],
  [DATE, 'tomorrow', "1292 Incorrect date value: 'tomorrow' for column 'c' at row 7"],
  [DT0, '2024-01-05 24:00:00', "1292 Incorrect datetime value: '2024-01-05 24:00:00' for column 'c' at row 7"],
  [DT0, '9999-12-31 23:59:59.9', "1292 Incorrect datetime value: '9999-12-31 23:59:59.9' for column 'c' at row 7"],
  [VC3, 'abcd', "1406 Data too long for column 'c' at row 7 (value 'abcd')"],
  [VC3, 'x'.repeat(90), `1406 Data too long for column 'c' at row 7 (value '${'x'.repeat(80)}...')`],
  [VC3, '\ud800', "1366 Incorrect string value: '\ufffd' for column 'c' at row 7"],
  [{ kind: 'JSON' }, '{', "1366 Incorrect json value: '{' for column 'c' at row 7"],
];

describe('convertValue', () => {
  it.each(GOOD)('%j takes %p as %p', (type, value, expected) => {
    expect(convertValue(value, columnOf(type), 7)).toEqual(expected);
  });

  it.each(BAD)('%j refuses %p: %s', (type, value, expected) => {
    expect(errorOf(() => convertValue(value, columnOf(type), 7))).toBe(expected);
  });

  it('refuses NULL where it is not allowed', () => {
    const column = columnOf(INT, { nullable: false });
    expect(errorOf(() => convertValue(null, column, 7))).toBe(
      "1048 Column 'c' cannot be null (row 7)",
    );
  });

  it('rounds decimals half away from zero, exactly', () => {
    const property = fc.property(
      fc.bigInt({ min: -(10n ** 30n), max: 10n ** 30n }),
      fc.integer({ min: 0, max: 12 }),
      (unscaled, scale) => {
        const text = `${unscaled}e-${scale}`;
        const column = columnOf({ kind: 'DECIMAL', precision: 38, scale: 4 });
        const got = BigInt(String(convertValue(text, column, 1)).replace('.', ''));
        // |got × 10^scale − unscaled × 10^4| ≤ half a unit, and a tie goes outwards.
        const [left, right] = [got * 10n ** BigInt(scale), unscaled * 10n ** 4n];
        const off = left < right ? right - left : left - right;
        expect(off * 2n <= 10n ** BigInt(scale)).toBe(true);
        if (off * 2n === 10n ** BigInt(scale)) {
          expect(left < 0n ? left <= right : left >= right).toBe(true);
        }
      },
    );
    fc.assert(property);
  });

  it('gives back what it made', () => {
    const types: ColumnType[] = [INT, BIGINT, DEC, DATE, DT0, DT3, DOUBLE, FLOAT];
    for (const [type, value] of GOOD.filter(([candidate]) => types.includes(candidate))) {
      const convert = makeConverter(columnOf(type));
      const once = convert(value, 1);
      expect(convert(once, 1)).toEqual(once);
    }
  });
});

describe('defaultValue', () => {
  it('is the default, NULL, or error 1364', () => {
    const clock = systemClock;
    expect(defaultValue(columnOf(DEC, { defaultValue: '1.5' }), clock)).toBe('1.50');
    expect(defaultValue(columnOf(INT), clock)).toBeNull();
    expect(errorOf(() => defaultValue(columnOf(INT, { nullable: false }), clock))).toBe(
      "1364 Field 'c' doesn't have a default value",
    );
  });

  it('takes CURRENT_TIMESTAMP from the clock, in UTC', () => {
    const clock = { ...systemClock, now: () => Date.UTC(2024, 0, 5, 10, 11, 12, 345) };
    const column = columnOf(DT3, { defaultValue: { fn: 'CURRENT_TIMESTAMP' } });
    expect(defaultValue(column, clock)).toBe('2024-01-05 10:11:12.345');
  });
});

describe('civil time', () => {
  it('agrees with Date on every day number', () => {
    const property = fc.property(fc.integer({ min: DAY_MIN, max: DAY_MAX }), (days) => {
      expect(dayText(days)).toBe(new Date(days * 86_400_000).toISOString().slice(0, 10));
      const text = `${dayText(days)} 01:02:03.000004`;
      expect(civilText(parseCivil(text) ?? { seconds: 0, micros: 0 }, 6)).toBe(text);
    });
    fc.assert(property, { numRuns: 1000 });
  });
});
