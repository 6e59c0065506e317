import { describe, expect, it } from '@jest/globals';
import {
  type PlannedRange,
  dynamicPartitionOf,
  planPartitions,
  reservedPeriods,
  wallTime,
} from '../../base/dynamic_partition.ts';
import type { ColumnDef, PartitionDef } from '../../base/schema.ts';

/** A Saturday. */
const NOW = Date.UTC(2026, 0, 10, 12, 34);

const column = (kind: 'DATE' | 'DATETIME' | 'INT' = 'DATE'): ColumnDef => ({
  name: 'k',
  type: kind === 'DATETIME' ? { kind, precision: 0 } : { kind },
  nullable: false,
  isKey: true,
  comment: '',
});

function rule(properties: Readonly<Record<string, string>>) {
  const all = { time_unit: 'DAY', end: '1', prefix: 'p', ...properties };
  const found = dynamicPartitionOf(
    Object.fromEntries(
      Object.entries(all).map(([key, value]) => [`dynamic_partition.${key}`, value]),
    ),
  );
  if (found === undefined) throw new Error('no rule');
  return found;
}

const bounds = ({ lower, upper }: Pick<PlannedRange, 'lower' | 'upper'>): string =>
  [lower, upper]
    .map(([bound]) => JSON.stringify(bound && 'value' in bound && bound.value))
    .join(' ');

interface Given {
  readonly kind?: 'DATE' | 'DATETIME' | 'INT';
  readonly nowMs?: number;
  readonly existing?: readonly PlannedRange[];
}

function plan(
  properties: Readonly<Record<string, string>>,
  { kind = 'DATE', nowMs = NOW, existing = [] }: Given = {},
) {
  const known = existing.map(({ name, lower, upper }): Pick<PartitionDef, 'name' | 'values'> => ({
    name,
    values: { kind: 'RANGE', lower, upper },
  }));
  return planPartitions(rule(properties), column(kind), known, nowMs);
}

const shown = (planned: readonly PlannedRange[]): string[] =>
  planned.map((one) => `${one.name} ${bounds(one)}`);

describe('partitions that time makes', () => {
  it('are of the present period and as many ahead as asked for', () => {
    expect(shown(plan({ end: '2' }).added)).toEqual([
      'p20260110 "2026-01-10" "2026-01-11"',
      'p20260111 "2026-01-11" "2026-01-12"',
      'p20260112 "2026-01-12" "2026-01-13"',
    ]);
  });

  it('have the bounds and names of their unit and column', () => {
    const first = (unit: string, kind: 'DATE' | 'DATETIME' | 'INT' = 'DATE', more = {}) =>
      shown(plan({ time_unit: unit, ...more }, { kind }).added)[0];
    expect(first('hour', 'DATETIME')).toBe(
      'p2026011012 "2026-01-10 12:00:00" "2026-01-10 13:00:00"',
    );
    expect(first('DAY', 'DATETIME')).toBe('p20260110 "2026-01-10 00:00:00" "2026-01-11 00:00:00"');
    expect(first('DAY', 'INT')).toBe('p20260110 20260110 20260111');
    expect(first('MONTH', 'INT')).toBe('p202601 202601 202602');
    expect(first('YEAR', 'INT')).toBe('p2026 2026 2027');
    expect(first('WEEK')).toBe('p2026_02 "2026-01-05" "2026-01-12"');
    expect(first('WEEK', 'DATE', { start_day_of_week: '7' })).toBe(
      'p2026_02 "2026-01-04" "2026-01-11"',
    );
    expect(first('MONTH', 'DATE', { start_day_of_month: '11' })).toBe(
      'p202512 "2025-12-11" "2026-01-11"',
    );
    expect(first('MONTH', 'DATE', { start_day_of_month: '10' })).toBe(
      'p202601 "2026-01-10" "2026-02-10"',
    );
  });

  it('are of the 53rd week at the end of a year, as in Doris', () => {
    const nowMs = Date.UTC(2019, 11, 31);
    expect(shown(plan({ time_unit: 'WEEK' }, { nowMs }).added)).toEqual([
      'p2019_53 "2019-12-30" "2020-01-06"',
      'p2020_02 "2020-01-06" "2020-01-13"',
    ]);
  });

  it('begin when the day begins where the table says', () => {
    const nowMs = Date.UTC(2026, 0, 10, 20);
    expect(shown(plan({ time_zone: '+08:00' }, { nowMs }).added)[0]).toMatch(/^p20260111 /);
    expect(
      shown(plan({ time_zone: 'America/New_York' }, { nowMs: Date.UTC(2026, 0, 10, 3) }).added)[0],
    ).toMatch(/^p20260109 /);
    expect(new Date(wallTime(Date.UTC(2026, 6, 1), 'Europe/Berlin')).toISOString()).toBe(
      '2026-07-01T02:00:00.000Z',
    );
    expect(() => wallTime(0, 'Nowhere/Land')).toThrow(RangeError);
  });

  it('reach into the past as far as both limits let them', () => {
    const count = (properties: Readonly<Record<string, string>>): number =>
      plan({ create_history_partition: 'true', ...properties }).added.length;
    expect(count({ start: '-3' })).toBe(5);
    expect(count({ start: '-3', history_partition_num: '1' })).toBe(3);
    expect(count({ start: '-3', history_partition_num: '9' })).toBe(5);
    expect(count({ history_partition_num: '4' })).toBe(6);
    expect(plan({ start: '-3' }).added).toHaveLength(2);
  });

  it('are not made where a partition is already, whatever its name', () => {
    const [first] = plan({}).added;
    if (first === undefined) throw new Error('none planned');
    const existing = [{ ...first, name: 'mine' }];
    expect(plan({}, { existing }).added.map(({ name }) => name)).toEqual(['p20260111']);
  });
});

describe('partitions that time drops', () => {
  const existing = plan({ create_history_partition: 'true', start: '-9', end: '1' }).added;
  const dropped = (properties: Readonly<Record<string, string>>): readonly string[] =>
    plan(properties, { existing }).dropped;

  it('are those that end before the oldest kept period begins', () => {
    expect(dropped({ start: '-8' })).toEqual(['p20260101']);
    expect(dropped({ start: '-7' })).toEqual(['p20260101', 'p20260102']);
    expect(dropped({ start: '-9' })).toEqual([]);
  });

  it('are none without a start', () => {
    expect(dropped({})).toEqual([]);
    expect(dropped({ start: '-2147483648' })).toEqual([]);
  });

  it('are not those of reserved periods, whose last day counts', () => {
    expect(dropped({ start: '-5', reserved_history_periods: '[2026-01-02,2026-01-03]' })).toEqual([
      'p20260101',
      'p20260104',
    ]);
  });

  it('are never one that goes on for ever', () => {
    const [first] = existing;
    if (first === undefined) throw new Error('none planned');
    const open = [{ name: 'rest', lower: first.lower, upper: [{ max: true as const }] }];
    expect(plan({ start: '-1' }, { existing: open }).dropped).toEqual([]);
  });
});

describe('reserved periods', () => {
  it('are pairs of days or times', () => {
    expect(reservedPeriods('NULL')).toEqual([]);
    expect(
      reservedPeriods('[2020-06-01,2020-06-20], [2020-10-31 00:00:00,2020-11-15 23:59:59]'),
    ).toEqual([
      ['2020-06-01', '2020-06-20'],
      ['2020-10-31 00:00:00', '2020-11-15 23:59:59'],
    ]);
  });

  it.each([
    '2020-06-01,2020-06-20',
    '[2020-06-01]',
    '[2020-06-20,2020-06-01]',
    '[a,b]',
    '[2020-06-01,2020-06-20]x',
  ])('are not %s', (text) => {
    expect(reservedPeriods(text)).toBeUndefined();
  });
});
