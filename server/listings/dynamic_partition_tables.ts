/** SHOW DYNAMIC PARTITION TABLES: Doris's columns behind the database. */
import { type DynamicPartition, dynamicPartitionOf } from '../../base/dynamic_partition.ts';
import type { TableDef } from '../../base/schema.ts';
import { timeText } from '../../base/units.ts';
import { type SqlRow, type SqlValue, textColumn } from '../../base/values.ts';
import type { Services } from '../services.ts';
import { type Listing, ofTable } from './listing.ts';

const WEEK_DAYS = ['MONDAY', 'TUESDAY', 'WEDNESDAY', 'THURSDAY', 'FRIDAY', 'SATURDAY', 'SUNDAY'];
/** Doris's for what is never dropped. */
const START_UNLIMITED = '-2147483648';
const UNKNOWN = 'N/A';

type Source = Pick<Services, 'catalog' | 'dynamicPartitions'>;

export const DYNAMIC_PARTITION_TABLES: Listing<Source> = {
  columns: [
    'DbName',
    'TableName',
    'Enable',
    'TimeUnit',
    'Start',
    'End',
    'Prefix',
    'Buckets',
    'ReplicationNum',
    'ReplicaAllocation',
    'StartOf',
    'LastUpdateTime',
    'LastSchedulerTime',
    'State',
    'LastCreatePartitionMsg',
    'LastDropPartitionMsg',
    'ReservedHistoryPeriods',
  ].map(textColumn),
  likeColumns: ['TableName'],
  seen: ofTable('DbName', 'TableName'),
  rows: async (source) => {
    const { tables, computeGroups } = source.catalog;
    const groups = await computeGroups.list();
    const names = new Map(groups.map(({ computeGroupId, name }) => [computeGroupId, name]));
    const rows: SqlRow[] = [];
    for (const tableId of await tables.withDynamicPartitions()) {
      const table = await tables.byId(tableId);
      const rule = table && dynamicPartitionOf(table.properties);
      if (table === undefined || rule === undefined) continue;
      const group = table.replication && names.get(table.replication.computeGroupId);
      rows.push([...ruleCells(table, rule, group), ...statusCells(table, source), reserved(table)]);
    }
    return rows;
  },
};

function ruleCells(
  { databaseName, name, buckets, replication }: TableDef,
  rule: DynamicPartition,
  group: string | undefined,
): SqlValue[] {
  // Data of a shared table is once in its vault.
  const copies = String(rule.replicationNum ?? replication?.replicationNum ?? 1);
  return [
    databaseName,
    name,
    String(rule.enabled),
    rule.unit,
    rule.start === undefined ? START_UNLIMITED : String(rule.start),
    String(rule.end),
    rule.prefix,
    String(rule.buckets ?? buckets),
    copies,
    group === undefined ? null : `tag.location.${group}: ${copies}`,
    startOf(rule),
  ];
}

function startOf({ unit, startDayOfWeek, startDayOfMonth }: DynamicPartition): string {
  switch (unit) {
    case 'WEEK':
      return WEEK_DAYS[startDayOfWeek - 1] ?? UNKNOWN;
    case 'MONTH':
      return ordinal(startDayOfMonth);
    case 'HOUR':
    case 'DAY':
    case 'YEAR':
      return UNKNOWN;
  }
}

/** `1st` */
function ordinal(day: number): string {
  const isTeen = day > 10 && day < 14;
  const ending = (isTeen ? undefined : ['st', 'nd', 'rd'][(day % 10) - 1]) ?? 'th';
  return `${day}${ending}`;
}

function statusCells({ tableId }: TableDef, { dynamicPartitions }: Source): SqlValue[] {
  const status = dynamicPartitions.statusOf(tableId);
  const { lookedMs, changedMs, createError, dropError } = status ?? {};
  return [
    changedMs === undefined ? null : timeText(changedMs).slice(0, 19),
    lookedMs === undefined ? null : timeText(lookedMs).slice(0, 19),
    createError === undefined && dropError === undefined ? 'NORMAL' : 'ERROR',
    createError ?? UNKNOWN,
    dropError ?? UNKNOWN,
  ];
}

function reserved({ properties }: TableDef): SqlValue {
  return properties['dynamic_partition.reserved_history_periods'] ?? 'NULL';
}
