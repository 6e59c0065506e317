/**
 * Dynamic partitions, as Doris has them: a table with one RANGE column of time gets its partitions
 * made ahead and dropped after a while, by `dynamic_partition.*` properties. Pure: which partitions
 * there should be at a moment.
 */
import { compareBounds } from './partition_routing.ts';
import type { ColumnDef, PartitionDef, RangeValue } from './schema.ts';
import { valueOrder } from './value_order.ts';
import { convertValue } from './convert.ts';

export const DYNAMIC_PREFIX = 'dynamic_partition.';

export type TimeUnit = 'HOUR' | 'DAY' | 'WEEK' | 'MONTH' | 'YEAR';
export const TIME_UNITS: readonly TimeUnit[] = ['HOUR', 'DAY', 'WEEK', 'MONTH', 'YEAR'];

export interface DynamicPartition {
  readonly enabled: boolean;
  readonly unit: TimeUnit;
  /** IANA name or offset; what the clock on the wall says there decides. */
  readonly timeZone: string;
  /** Periods before the present one that are kept, as a negative number; undefined: all. */
  readonly start: number | undefined;
  /** Periods that are made ahead. */
  readonly end: number;
  readonly prefix: string;
  /** undefined: as the table has. */
  readonly buckets: number | undefined;
  readonly replicationNum: number | undefined;
  /** 1 (Monday) to 7. */
  readonly startDayOfWeek: number;
  /** 1 to 28 */
  readonly startDayOfMonth: number;
  /** Periods in the past that are made too; 0: none. */
  readonly history: number;
  /** Days, from and to (included), whose partitions are never dropped. */
  readonly reserved: readonly (readonly [from: string, to: string])[];
  readonly storagePolicy: string | undefined;
}

/** Without more words: what Doris takes. */
export const START_DAY_OF_WEEK_DEFAULT = 1;
export const START_DAY_OF_MONTH_DEFAULT = 1;

/** What Doris writes where history is never dropped. */
const START_UNLIMITED = -2_147_483_648;

/** What a table's properties say, which were checked when they were set; undefined: nothing of it. */
export function dynamicPartitionOf(
  properties: Readonly<Record<string, string>>,
): DynamicPartition | undefined {
  const text = (key: string): string | undefined => properties[DYNAMIC_PREFIX + key];
  const number = (key: string): number | undefined => {
    const value = text(key);
    return value === undefined || value === '' ? undefined : Number(value);
  };
  const unit = TIME_UNITS.find((one) => one === text('time_unit')?.trim().toUpperCase());
  const end = number('end');
  const prefix = text('prefix');
  if (unit === undefined || end === undefined || prefix === undefined) return undefined;
  const start = number('start') ?? START_UNLIMITED;
  return {
    enabled: text('enable')?.toLowerCase() !== 'false',
    unit,
    timeZone: text('time_zone') ?? 'UTC',
    start: start === START_UNLIMITED ? undefined : start,
    end,
    prefix,
    buckets: number('buckets'),
    replicationNum: number('replication_num'),
    startDayOfWeek: number('start_day_of_week') ?? START_DAY_OF_WEEK_DEFAULT,
    startDayOfMonth: number('start_day_of_month') ?? START_DAY_OF_MONTH_DEFAULT,
    history: historyOf(
      text('create_history_partition'),
      number('history_partition_num') ?? -1,
      start,
    ),
    reserved: reservedPeriods(text('reserved_history_periods')) ?? [],
    storagePolicy: text('storage_policy'),
  };
}

/** As far back as both say. Doris demands one of them; without any there is none. */
function historyOf(create: string | undefined, num: number, start: number): number {
  if (create?.toLowerCase() !== 'true') return 0;
  const kept = start === START_UNLIMITED ? Infinity : -start;
  const asked = num < 0 ? Infinity : num;
  const history = Math.min(kept, asked);
  return history === Infinity ? 0 : history;
}

const DAY_OR_TIME = /^\d{4}-\d{2}-\d{2}(?: \d{2}:\d{2}:\d{2})?$/;

/** `[2020-06-01,2020-06-20],[2020-10-31,2020-11-15]` or `NULL`; undefined when it is neither. */
export function reservedPeriods(
  text: string | undefined,
): readonly (readonly [from: string, to: string])[] | undefined {
  const bare = (text ?? '').trim();
  if (bare === '' || bare.toUpperCase() === 'NULL') return [];
  if (!/^(?:\[[^[\]]*\])(?:\s*,\s*\[[^[\]]*\])*$/.test(bare)) return undefined;
  const periods: [string, string][] = [];
  for (const [, inner = ''] of bare.matchAll(/\[([^[\]]*)\]/g)) {
    const [from = '', to = '', ...more] = inner.split(',').map((part) => part.trim());
    const areTimes = DAY_OR_TIME.test(from) && DAY_OR_TIME.test(to) && from <= to;
    if (more.length > 0 || !areTimes) return undefined;
    periods.push([from, to]);
  }
  return periods;
}

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/**
 * What the clock on the wall says in a zone, as the milliseconds at which a clock in UTC says the
 * same. Throws RangeError when there is no such zone.
 */
export function wallTime(ms: number, timeZone: string): number {
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone,
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
  });
  const parts = new Map(format.formatToParts(ms).map(({ type, value }) => [type, Number(value)]));
  const part = (type: Intl.DateTimeFormatPartTypes): number => parts.get(type) ?? 0;
  return Date.UTC(
    part('year'),
    part('month') - 1,
    part('day'),
    part('hour'),
    part('minute'),
    part('second'),
  );
}

/** `2020-06-01` has no time. */
const DAY_LENGTH = 10;

function civilMs(text: string): number {
  const time = text.length > DAY_LENGTH ? text.slice(DAY_LENGTH + 1) : '00:00:00';
  return Date.parse(`${text.slice(0, DAY_LENGTH)}T${time}Z`);
}

/** Begin of the period `offset` periods after the one that `wallMs` is in. */
function periodStart(wallMs: number, offset: number, rule: DynamicPartition): number {
  const wall = new Date(wallMs);
  const day = Math.floor(wallMs / DAY_MS) * DAY_MS;
  switch (rule.unit) {
    case 'HOUR':
      return (Math.floor(wallMs / HOUR_MS) + offset) * HOUR_MS;
    case 'DAY':
      return day + offset * DAY_MS;
    case 'WEEK': {
      // Sunday is 0 here and 7 there. A week that has begun is the present one, whatever its first day.
      const sinceStart = (wall.getUTCDay() - rule.startDayOfWeek + 7) % 7;
      return day + (7 * offset - sinceStart) * DAY_MS;
    }
    case 'MONTH': {
      const before = wall.getUTCDate() < rule.startDayOfMonth ? 1 : 0;
      const month = wall.getUTCMonth() + offset - before;
      return Date.UTC(wall.getUTCFullYear(), month, rule.startDayOfMonth);
    }
    case 'YEAR':
      return Date.UTC(wall.getUTCFullYear() + offset, 0, 1);
  }
}

/** Name of a partition by the begin of its period, as Doris names it. */
function partitionName(startMs: number, { unit, prefix }: DynamicPartition): string {
  const digits = new Date(startMs).toISOString().replaceAll(/[-T:]/g, '');
  switch (unit) {
    case 'HOUR':
      return prefix + digits.slice(0, 10);
    case 'DAY':
      return prefix + digits.slice(0, 8);
    case 'WEEK':
      return prefix + weekText(startMs);
    case 'MONTH':
      return prefix + digits.slice(0, 6);
    case 'YEAR':
      return prefix + digits.slice(0, 4);
  }
}

/** `2024_07`: weeks begin on Sunday, the first has January 1; one at the end of a year is its 53rd. */
function weekText(ms: number): string {
  const year = new Date(ms).getUTCFullYear();
  const first = Date.UTC(year, 0, 1);
  const days = (ms - first) / DAY_MS + new Date(first).getUTCDay();
  return `${year}_${String(Math.floor(days / 7) + 1).padStart(2, '0')}`;
}

/** The bound of a partition that begins or ends at this moment, for a column of this type. */
function boundText(wallMs: number, unit: TimeUnit, kind: ColumnDef['type']['kind']): string {
  const iso = new Date(wallMs).toISOString();
  if (kind === 'DATE') return iso.slice(0, 10);
  if (kind === 'DATETIME') return `${iso.slice(0, 10)} ${iso.slice(11, 19)}`;
  const digits = iso.replaceAll('-', '');
  return digits.slice(0, unit === 'YEAR' ? 4 : unit === 'MONTH' ? 6 : 8);
}

export interface PlannedRange {
  readonly name: string;
  readonly lower: readonly RangeValue[];
  readonly upper: readonly RangeValue[];
}

export interface PartitionPlan {
  readonly added: readonly PlannedRange[];
  readonly dropped: readonly string[];
}

type Known = Pick<PartitionDef, 'name' | 'values'>;

/** Which partitions to make and which to drop, at a moment. A partition that reaches into a period is enough for it. */
export function planPartitions(
  rule: DynamicPartition,
  column: ColumnDef,
  existing: readonly Known[],
  nowMs: number,
): PartitionPlan {
  const wallMs = wallTime(nowMs, rule.timeZone);
  const orders = [valueOrder(column.type)];
  const bound = (ms: number): readonly RangeValue[] => [
    { value: convertValue(boundText(ms, rule.unit, column.type.kind), column, 1) },
  ];
  const ranges = existing.flatMap(({ name, values }) =>
    values.kind === 'RANGE' ? [{ name, lower: values.lower, upper: values.upper }] : [],
  );
  const isBelow = (a: readonly RangeValue[], b: readonly RangeValue[]): boolean =>
    compareBounds(a, b, orders) < 0;
  const meets = (
    range: { readonly lower?: readonly RangeValue[] | undefined; upper: readonly RangeValue[] },
    lower: readonly RangeValue[],
    upper: readonly RangeValue[],
  ): boolean =>
    isBelow(lower, range.upper) && (range.lower === undefined || isBelow(range.lower, upper));

  const added: PlannedRange[] = [];
  for (let offset = -rule.history; offset <= rule.end; offset += 1) {
    const startMs = periodStart(wallMs, offset, rule);
    const lower = bound(startMs);
    const upper = bound(periodStart(wallMs, offset + 1, rule));
    if (ranges.some((range) => meets(range, lower, upper))) continue;
    added.push({ name: partitionName(startMs, rule), lower, upper });
  }
  if (rule.start === undefined) return { added, dropped: [] };
  const oldest = bound(periodStart(wallMs, rule.start, rule));
  const reserved = rule.reserved.map(([from, to]) => ({
    lower: bound(civilMs(from)),
    // The last day, or second, belongs to it.
    upper: bound(civilMs(to) + (to.length > DAY_LENGTH ? 1000 : DAY_MS)),
  }));
  const dropped = ranges.filter(
    (range) =>
      !isBelow(oldest, range.upper) &&
      reserved.every(({ lower, upper }) => !meets(range, lower, upper)),
  );
  return { added, dropped: dropped.map(({ name }) => name) };
}
