/**
 * The properties `dynamic_partition.*` of CREATE TABLE and ALTER TABLE ... SET, checked. Names,
 * defaults and rules are Doris's; what is stored is what was given, in one spelling.
 */
import {
  DYNAMIC_PREFIX,
  type DynamicPartition,
  TIME_UNITS,
  dynamicPartitionOf,
  reservedPeriods,
  wallTime,
} from '../base/dynamic_partition.ts';
import { SqlError } from '../base/errors.ts';
import {
  BUCKETS_MAX,
  type ColumnDef,
  PARTITIONS_MAX,
  REPLICATION_NUM_MAX,
  type TableDef,
} from '../base/schema.ts';
import { badProperty, readProperties } from '../parser/properties.ts';
import type { Properties } from '../parser/statement.ts';
import { readAllocation } from './table_replication.ts';

type Property = Properties[number];

const INT_MIN = -2_147_483_648;
const INT_MAX = 2_147_483_647;

const SCHEMA = {
  'dynamic_partition.enable': { kind: 'bool' },
  'dynamic_partition.time_unit': { kind: 'choice', choices: TIME_UNITS },
  'dynamic_partition.time_zone': { kind: 'text' },
  'dynamic_partition.start': { kind: 'int', min: INT_MIN, max: -1 },
  'dynamic_partition.end': { kind: 'int', min: 1, max: INT_MAX },
  'dynamic_partition.prefix': {
    kind: 'text',
    pattern: /^[A-Za-z_][A-Za-z0-9_]{0,47}$/,
    allowed: 'a letter or _ and up to 47 letters, digits and _',
  },
  'dynamic_partition.buckets': { kind: 'int', min: 1, max: BUCKETS_MAX },
  'dynamic_partition.replication_num': { kind: 'int', min: 1, max: REPLICATION_NUM_MAX },
  'dynamic_partition.start_day_of_week': { kind: 'int', min: 1, max: 7 },
  'dynamic_partition.start_day_of_month': { kind: 'int', min: 1, max: 28 },
  'dynamic_partition.create_history_partition': { kind: 'bool' },
  'dynamic_partition.history_partition_num': { kind: 'int', min: -1, max: PARTITIONS_MAX },
  'dynamic_partition.hot_partition_num': { kind: 'int', min: 0, max: INT_MAX },
  'dynamic_partition.reserved_history_periods': { kind: 'text' },
  'dynamic_partition.storage_policy': { kind: 'text' },
  'dynamic_partition.storage_medium': { kind: 'choice', choices: ['HDD', 'SSD'] },
} as const;

/** About disks that backends here do not tell apart. */
const WITHOUT_EFFECT: ReadonlySet<string> = new Set([
  'dynamic_partition.hot_partition_num',
  'dynamic_partition.storage_medium',
]);

const REQUIRED = ['time_unit', 'end', 'prefix'] as const;

export function isDynamicKey({ key }: Property): boolean {
  return key.startsWith(DYNAMIC_PREFIX);
}

export function withoutDynamic(properties: Properties): Properties {
  return properties.filter((property) => !isDynamicKey(property));
}

/** What the table says that matters here. */
export type Partitioned = Pick<TableDef, 'columns' | 'partitionKind' | 'partitionColumns'>;

export interface DynamicProperties {
  /** All of them, also those that were there before. */
  readonly stored: Readonly<Record<string, string>>;
  readonly rule: DynamicPartition;
  /** The column that the partitions are ranges of. */
  readonly column: ColumnDef;
  /** Given and accepted, but meaning nothing here. */
  readonly withoutEffect: readonly string[];
}

/**
 * undefined: nothing of it was given. Throws UNKNOWN_PROPERTY, BAD_PROPERTY, DUPLICATE_PROPERTY,
 * INVALID_TABLE when something is missing, the table is not fit for it or too many partitions are asked for.
 */
export function readDynamicProperties(
  given: Properties,
  before: Readonly<Record<string, string>>,
  table: Partitioned,
  partitionsMax: number,
): DynamicProperties | undefined {
  const own = given.filter(isDynamicKey).map(withoutAllocation);
  if (own.length === 0) return undefined;
  const values = readProperties(own, SCHEMA);
  for (const property of own) checkText(property);
  const stored = {
    ...Object.fromEntries(Object.entries(before).filter(([key]) => key.startsWith(DYNAMIC_PREFIX))),
    ...Object.fromEntries(
      Object.entries(values).flatMap(([key, value]) =>
        value === undefined ? [] : [[key, String(value)]],
      ),
    ),
  };
  for (const name of REQUIRED) {
    if (stored[DYNAMIC_PREFIX + name] !== undefined) continue;
    throw invalid(`Must assign ${DYNAMIC_PREFIX}${name} properties`);
  }
  const rule = dynamicPartitionOf(stored);
  if (rule === undefined) throw new Error('checked properties are no rule');
  const column = rangeColumn(table, rule);
  checkHistory(stored, rule);
  checkCount(rule, partitionsMax);
  const withoutEffect = own.map(({ key }) => key).filter((key) => WITHOUT_EFFECT.has(key));
  return { stored, rule, column, withoutEffect };
}

/** `tag.location.default: 3` is 3: partitions are in the compute group of their table. */
function withoutAllocation(property: Property): Property {
  if (property.key !== 'dynamic_partition.replication_allocation') return property;
  const value = String(readAllocation(property).num);
  return { ...property, key: 'dynamic_partition.replication_num', value };
}

function checkText(property: Property): void {
  const { key, value } = property;
  if (key === 'dynamic_partition.time_zone') {
    try {
      wallTime(0, value);
    } catch {
      throw badProperty(property, 'a name like Europe/Berlin or an offset like +08:00');
    }
  }
  const isPeriods = key === 'dynamic_partition.reserved_history_periods';
  if (isPeriods && reservedPeriods(value) === undefined) {
    throw badProperty(property, '[2020-06-01,2020-06-20],[...] or NULL');
  }
}

function rangeColumn(table: Partitioned, { unit }: DynamicPartition): ColumnDef {
  const [name, more] = table.partitionColumns;
  const column = table.columns.find((one) => one.name === name);
  if (table.partitionKind !== 'RANGE' || more !== undefined || column === undefined) {
    throw invalid('Dynamic partition only support single-column range partition');
  }
  const { kind } = column.type;
  if (unit === 'HOUR' && kind !== 'DATETIME') {
    throw invalid(
      `dynamic_partition.time_unit HOUR needs a DATETIME column, '${column.name}' is ${kind}`,
    );
  }
  if (kind === 'TINYINT' || kind === 'SMALLINT') {
    throw invalid(`days do not fit into column '${column.name}' of type ${kind}`);
  }
  return column;
}

function checkHistory(stored: Readonly<Record<string, string>>, rule: DynamicPartition): void {
  if (stored['dynamic_partition.create_history_partition'] !== 'true') return;
  const num = Number(stored['dynamic_partition.history_partition_num'] ?? -1);
  if (rule.start !== undefined || num >= 0) return;
  throw invalid('Provide start or history_partition_num property when creating history partition');
}

function checkCount({ history, end }: DynamicPartition, most: number): void {
  const count = history + end + 1;
  if (count <= most) return;
  throw invalid(
    `Too many dynamic partitions: ${count}. Limit: ${most} (max_dynamic_partition_num)`,
  );
}

function invalid(what: string): SqlError {
  return new SqlError('INVALID_TABLE', { what });
}

/** By hand only while it is switched off, as in Doris. Throws DYNAMIC_PARTITIONS. */
export function expectNotDynamic({ properties, name }: TableDef): void {
  if (dynamicPartitionOf(properties)?.enabled !== true) return;
  throw new SqlError('DYNAMIC_PARTITIONS', { table: name });
}
