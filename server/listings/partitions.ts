/** SHOW PARTITIONS: Doris's columns in Doris's order. What this server does not know is NULL. */
import {
  type PartitionDef,
  type RangeValue,
  type StoragePolicyDef,
  type TableDef,
  baseIndexOf,
} from '../../base/schema.ts';
import { bytesText, timeText } from '../../base/units.ts';
import { type SqlValue, textColumn } from '../../base/values.ts';
import type { Services } from '../services.ts';
import { type Listing, everyRow } from './listing.ts';

export interface PartitionsSource {
  readonly services: Pick<Services, 'catalog'>;
  readonly table: TableDef;
}

/** The data of a shared table is once in its vault; the vault keeps it safe. */
const COPIES = '1';
/** Doris's for data that no moment moves. */
const NEVER = '9999-12-31 23:59:59';

export const PARTITIONS: Listing<PartitionsSource> = {
  columns: [
    'PartitionId',
    'PartitionName',
    'VisibleVersion',
    'VisibleVersionTime',
    'State',
    'PartitionKey',
    'Range',
    'DistributionKey',
    'Buckets',
    'ReplicationNum',
    'StorageMedium',
    'CooldownTime',
    'RemoteStoragePolicy',
    'LastConsistencyCheckTime',
    'DataSize',
    'IsInMemory',
    'ReplicaAllocation',
    'IsMutable',
    'SyncWithBaseTables',
    'UnsyncTables',
    'CommittedVersion',
    'RowCount',
  ].map(textColumn),
  likeColumns: ['PartitionName'],
  seen: everyRow,
  rows: async ({ services, table }) => {
    const policies = await services.catalog.storagePolicies.list();
    const byId = new Map(policies.map((policy) => [policy.policyId, policy]));
    const groups = await services.catalog.computeGroups.list();
    const groupId = table.replication?.computeGroupId;
    const group = groups.find(({ computeGroupId }) => computeGroupId === groupId)?.name ?? '';
    const base = baseIndexOf(table).indexId;
    return table.partitions.map((partition) => {
      const { tablets } = services.catalog;
      const { storagePolicyId: policyId, replicationNum } = partition;
      const policy = policyId === undefined ? undefined : byId.get(policyId);
      const size = tablets.partitionSize(partition.partitionId);
      const { rows } = tablets.partitionSize(partition.partitionId, base);
      return [
        String(partition.partitionId),
        partition.name,
        String(partition.visibleVersion),
        partition.visibleMs === undefined ? null : timeText(partition.visibleMs).slice(0, 19),
        'NORMAL',
        table.partitionColumns.join(', '),
        rangeText(table, partition),
        table.distributionColumns.join(', '),
        String(partition.buckets),
        String(replicationNum ?? COPIES),
        replicationNum === undefined ? 'REMOTE' : 'HDD',
        replicationNum === undefined ? null : coolsAt(policy),
        policy?.name ?? '',
        null,
        bytesText(size.bytes),
        'false',
        replicationNum === undefined ? null : `tag.location.${group}: ${replicationNum}`,
        'true',
        'true',
        null,
        String(partition.visibleVersion),
        String(rows),
      ];
    });
  },
};

/** A time to live is no moment: it counts from the newest row. */
function coolsAt(policy: StoragePolicyDef | undefined): string {
  return policy?.cooldown.kind === 'datetime' ? timeText(policy.cooldown.atMs).slice(0, 19) : NEVER;
}

/** Doris's way to write bounds: `[types: [INT]; keys: [0]; ..types: [INT]; keys: [10]; )`. */
function rangeText(table: TableDef, { values }: PartitionDef): string {
  const types = table.partitionColumns
    .map((name) => table.columns.find((column) => column.name === name)?.type.kind ?? '')
    .join(', ');
  const keys = (texts: readonly string[]): string =>
    `types: [${types}]; keys: [${texts.join(', ')}];`;
  switch (values.kind) {
    case 'NONE':
      return '';
    case 'RANGE': {
      const lower = values.lower === undefined ? ['MINVALUE'] : values.lower.map(boundText);
      return `[${keys(lower)} ..${keys(values.upper.map(boundText))} )`;
    }
    case 'LIST':
      return `[${values.tuples.map((tuple) => keys(tuple.map(valueText))).join(', ')} ]`;
  }
}

function boundText(bound: RangeValue): string {
  return 'max' in bound ? 'MAXVALUE' : valueText(bound.value);
}

function valueText(value: SqlValue): string {
  return value === null ? 'NULL' : String(value);
}
