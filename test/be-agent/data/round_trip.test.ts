import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { civilOfMicros, civilText, dayText } from '../../../base/civil_time.ts';
import { decimalText } from '../../../base/convert.ts';
import type { ColumnType, SqlValue } from '../../../base/values.ts';
import { typeText } from '../../../base/values.ts';
import {
  column,
  load,
  memoryStore,
  opener,
  scanAll,
  scanRequest,
  services,
  target,
} from './table_fixture.ts';

/** Canonical values of a type, the extremes among them. */
function valuesOf(type: ColumnType): fc.Arbitrary<SqlValue> {
  switch (type.kind) {
    case 'BOOLEAN':
      return fc.constantFrom(0, 1);
    case 'TINYINT':
      return fc.integer({ min: -128, max: 127 });
    case 'SMALLINT':
      return fc.integer({ min: -32_768, max: 32_767 });
    case 'INT':
      return edged(fc.integer(), [-2_147_483_648, 2_147_483_647]);
    case 'BIGINT':
      return edged(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), [
        -(2n ** 63n),
        2n ** 63n - 1n,
      ]);
    case 'LARGEINT':
      return edged(fc.bigInt({ min: -(2n ** 127n), max: 2n ** 127n - 1n }), [
        -(2n ** 127n),
        2n ** 127n - 1n,
      ]);
    case 'FLOAT':
      return fc.float({ noNaN: true, noDefaultInfinity: true }).map((value) => value || 0);
    case 'DOUBLE':
      return edged(
        fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => value || 0),
        [Number.MAX_VALUE, Number.MIN_VALUE],
      );
    case 'DECIMAL': {
      const max = 10n ** BigInt(type.precision) - 1n;
      const unscaled = edgedBigint(fc.bigInt({ min: -max, max }), [max, -max, 0n, 1n, -1n]);
      return unscaled.map((value) => decimalText(value, type.scale));
    }
    case 'DATE':
      return fc.integer({ min: -719_528, max: 2_932_896 }).map((days) => dayText(days) ?? null);
    case 'DATETIME': {
      const unit = 10n ** BigInt(6 - type.precision);
      const micros = fc.bigInt({ min: -62_167_219_200_000_000n, max: 253_402_300_799_999_999n });
      return micros.map((value) => {
        const whole = value - (((value % unit) + unit) % unit);
        return civilText(civilOfMicros(whole), type.precision) ?? null;
      });
    }
    case 'CHAR':
    case 'VARCHAR':
      return fc.string({ unit: 'binary', maxLength: type.length });
    case 'STRING':
      return edged(fc.string({ unit: 'binary' }), [
        '',
        '\u0000',
        '\ufeffbom',
        '\u{1f600}',
        '\\N',
        'null',
      ]);
    case 'JSON':
      return fc.json();
  }
}

function edged(values: fc.Arbitrary<SqlValue>, edges: readonly SqlValue[]): fc.Arbitrary<SqlValue> {
  return fc.oneof(values, fc.constantFrom(...edges));
}

function edgedBigint(values: fc.Arbitrary<bigint>, edges: readonly bigint[]): fc.Arbitrary<bigint> {
  return fc.oneof(values, fc.constantFrom(...edges));
}

const TYPES: readonly ColumnType[] = [
  { kind: 'BOOLEAN' },
  { kind: 'TINYINT' },
  { kind: 'SMALLINT' },
  { kind: 'INT' },
  { kind: 'BIGINT' },
  { kind: 'LARGEINT' },
  { kind: 'FLOAT' },
  { kind: 'DOUBLE' },
  { kind: 'DECIMAL', precision: 1, scale: 1 },
  { kind: 'DECIMAL', precision: 9, scale: 2 },
  { kind: 'DECIMAL', precision: 18, scale: 18 },
  { kind: 'DECIMAL', precision: 38, scale: 0 },
  { kind: 'DECIMAL', precision: 38, scale: 20 },
  { kind: 'DATE' },
  { kind: 'DATETIME', precision: 0 },
  { kind: 'DATETIME', precision: 3 },
  { kind: 'DATETIME', precision: 6 },
  { kind: 'CHAR', length: 5 },
  { kind: 'VARCHAR', length: 40 },
  { kind: 'STRING' },
  { kind: 'JSON' },
];

describe('every type through a Parquet segment', () => {
  it.each(TYPES.map((type) => [typeText(type), type] as const))('%s', async (_, type) => {
    const columns = [
      column('k', 'INT'),
      column('required', type, { nullable: false }),
      column('optional.with-dot', type),
    ];
    const row = fc.tuple(valuesOf(type), fc.option(valuesOf(type), { freq: 4 }));
    const property = fc.asyncProperty(
      fc.array(row, { minLength: 1, maxLength: 60 }),
      async (rows) => {
        const store = memoryStore();
        const written = rows.map(([required, optional], i) => [i, required, optional]);
        const outcome = await load(target(columns), written, services(store));
        const read = await scanAll(scanRequest(outcome, columns), opener(store));
        expect(read).toEqual(written);
      },
    );
    await fc.assert(property, { numRuns: 30 });
  });
});
