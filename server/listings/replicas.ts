/**
 * SHOW TABLETS FROM a replicated table, the SHOW PROC that SHOW TABLET names, and ADMIN SHOW REPLICA
 * STATUS: one row per replica. Versions are what the catalog knows; sizes and cooled lists what the
 * backend has reported last.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { BackendId, TabletId } from '../../base/ids.ts';
import type { ReplicaReport } from '../../base/replica.ts';
import type { BackendDef, PartitionDef, TableDef } from '../../base/schema.ts';
import { type SqlRow, bigintColumn, textColumn } from '../../base/values.ts';
import type { ReplicaDef } from '../../catalog/replicas.ts';
import type { TabletInfo } from '../../catalog/tablet_index.ts';
import type { Services } from '../services.ts';
import { type Listing, everyRow } from './listing.ts';

export interface ReplicasSource {
  readonly services: Pick<Services, 'board' | 'catalog' | 'registry' | 'replicaRepair'>;
  readonly table: TableDef;
  /** Those of the table that are wanted. */
  readonly partitions: readonly PartitionDef[];
  /** Absent: all tablets of the partitions. */
  readonly tabletId?: TabletId;
}

interface Place {
  readonly source: ReplicasSource;
  readonly partition: PartitionDef;
  readonly tablet: TabletInfo;
  readonly replica: ReplicaDef;
  /** undefined: it was dropped. */
  readonly backend: BackendDef | undefined;
  /** undefined: it has not reported this replica. */
  readonly report: ReplicaReport | undefined;
}

const NONE = -1n;
/** Tablets between two turns of the event loop, some 5 ms. */
const TABLETS_PER_TURN = 500;

/** Doris's columns in Doris's order (reference/cooldown 5), then ours. */
export const REPLICATED_TABLETS: Listing<ReplicasSource> = {
  columns: [
    ...['TabletId', 'ReplicaId', 'BackendId', 'SchemaHash', 'Version'].map(bigintColumn),
    ...['LstSuccessVersion', 'LstFailedVersion'].map(bigintColumn),
    textColumn('LstFailedTime'),
    ...['LocalDataSize', 'RemoteDataSize', 'RowCount'].map(bigintColumn),
    ...['State', 'LstConsistencyCheckTime'].map(textColumn),
    ...['CheckVersion', 'VersionCount', 'QueryHits', 'PathHash'].map(bigintColumn),
    ...['MetaUrl', 'CompactionStatus'].map(textColumn),
    bigintColumn('CooldownReplicaId'),
    ...['CooldownMetaId', 'PartitionName'].map(textColumn),
    bigintColumn('Bucket'),
    ...['IndexName', 'IsBad'].map(textColumn),
  ],
  likeColumns: ['PartitionName'],
  seen: everyRow,
  rows: async (source) => await rowsOf(source, tabletRow),
};

/** Doris's columns of SHOW PROC '/dbs/.../<tablet>' in Doris's order. */
export const TABLET_REPLICAS: Listing<ReplicasSource> = {
  columns: [
    ...['ReplicaId', 'BackendId', 'Version', 'LstSuccessVersion'].map(bigintColumn),
    bigintColumn('LstFailedVersion'),
    textColumn('LstFailedTime'),
    ...['SchemaHash', 'LocalDataSize', 'RemoteDataSize', 'RowCount'].map(bigintColumn),
    ...['State', 'IsBad', 'IsUserDrop'].map(textColumn),
    ...['VisibleVersionCount', 'VersionCount', 'PathHash'].map(bigintColumn),
    ...['Path', 'MetaUrl', 'CompactionStatus'].map(textColumn),
    bigintColumn('CooldownReplicaId'),
    textColumn('CooldownMetaId'),
    bigintColumn('QueryHits'),
  ],
  likeColumns: ['State'],
  seen: everyRow,
  rows: async (source) => await rowsOf(source, replicaRow),
};

export const REPLICA_STATUS: Listing<ReplicasSource> = {
  columns: [
    ...['TabletId', 'ReplicaId', 'BackendId', 'Version', 'LastFailedVersion'].map(bigintColumn),
    ...['LastSuccessVersion', 'CommittedVersion', 'SchemaHash', 'VersionNum'].map(bigintColumn),
    ...['IsBad', 'IsUserDrop', 'State', 'Status', 'WaitReason'].map(textColumn),
  ],
  likeColumns: ['Status'],
  seen: everyRow,
  rows: async (source) => await rowsOf(source, statusRow, missingRows),
};

/** `moreOf`: rows of a tablet besides those of its replicas. */
async function rowsOf(
  source: ReplicasSource,
  rowOf: (place: Place) => SqlRow,
  moreOf: (
    source: ReplicasSource,
    partition: PartitionDef,
    tabletId: TabletId,
  ) => SqlRow[] = () => [],
): Promise<SqlRow[]> {
  const { board, catalog } = source.services;
  const backends = new Map<BackendId, BackendDef>(
    (await catalog.backends.list()).map((backend) => [backend.backendId, backend]),
  );
  const rows: SqlRow[] = [];
  let tablets = 0;
  for (const partition of source.partitions) {
    for (const tablet of catalog.tablets.ofPartition(partition.partitionId)) {
      if (source.tabletId !== undefined && tablet.tabletId !== source.tabletId) continue;
      for (const replica of catalog.replicas.ofTablet(tablet.tabletId)) {
        const { backendId, tabletId, replicaId } = replica;
        const backend = backends.get(backendId);
        const report = board.get(backendId, tabletId, replicaId);
        rows.push(rowOf({ source, partition, tablet, replica, backend, report }));
      }
      for (const row of moreOf(source, partition, tablet.tabletId)) rows.push(row);
      tablets += 1;
      if (tablets % TABLETS_PER_TURN === 0) await nextTurn();
    }
  }
  return rows;
}

function tabletRow(place: Place): SqlRow {
  const { source, partition, tablet, replica, report } = place;
  const { services, table } = source;
  const { tabletId, replicaId, backendId, state, missing } = replica;
  const version = versionOf(place);
  return [
    BigInt(tabletId),
    BigInt(replicaId),
    BigInt(backendId),
    BigInt(table.schemaVersion),
    version,
    version,
    missing === undefined ? NONE : BigInt(missing.to),
    null,
    BigInt(report?.localBytes ?? 0),
    BigInt(report?.remoteBytes ?? 0),
    BigInt(report?.rows ?? 0),
    state,
    null,
    NONE,
    BigInt(report?.rowsets ?? 0),
    0n,
    NONE,
    ...urls(place),
    BigInt(services.catalog.cooldown.lead(tabletId)?.replicaId ?? -1),
    report?.metaId ?? '',
    partition.name,
    BigInt(tablet.bucket),
    table.indexes.find(({ indexId }) => indexId === tablet.indexId)?.name ?? null,
    String(report?.isBad ?? false),
  ];
}

function replicaRow(place: Place): SqlRow {
  const { source, replica, report } = place;
  const { services, table } = source;
  const { tabletId, replicaId, backendId, state, missing } = replica;
  const version = versionOf(place);
  const rowsets = BigInt(report?.rowsets ?? 0);
  return [
    BigInt(replicaId),
    BigInt(backendId),
    version,
    version,
    missing === undefined ? NONE : BigInt(missing.to),
    null,
    BigInt(table.schemaVersion),
    BigInt(report?.localBytes ?? 0),
    BigInt(report?.remoteBytes ?? 0),
    BigInt(report?.rows ?? 0),
    state,
    String(report?.isBad ?? false),
    String(false),
    rowsets,
    rowsets,
    NONE,
    // Where on its disk a backend has it is not reported.
    null,
    ...urls(place),
    BigInt(services.catalog.cooldown.lead(tabletId)?.replicaId ?? -1),
    report?.metaId ?? '',
    0n,
  ];
}

/** MetaUrl and CompactionStatus. */
function urls({ backend, replica }: Place): readonly [string | null, string | null] {
  if (backend === undefined) return [null, null];
  const api = `http://${backend.host}:${backend.httpPort}/api`;
  const { tabletId } = replica;
  return [`${api}/meta/header/${tabletId}`, `${api}/compaction/show?tablet_id=${tabletId}`];
}

function statusRow(place: Place): SqlRow {
  const { source, partition, replica, report } = place;
  const { replicaRepair } = source.services;
  const { tabletId, replicaId, backendId, state, missing } = replica;
  const version = versionOf(place);
  const status = statusOf(source.services, replica, report);
  const waits = [
    ownWait(replica, status),
    replicaRepair.waitsOf(tabletId),
    replicaRepair.cloneError(replicaId),
  ];
  return [
    BigInt(tabletId),
    BigInt(replicaId),
    BigInt(backendId),
    version,
    missing === undefined ? NONE : BigInt(missing.to),
    version,
    BigInt(partition.visibleVersion),
    BigInt(source.table.schemaVersion),
    BigInt(report?.rowsets ?? 0),
    String(report?.isBad ?? false),
    String(false),
    state,
    status,
    status === 'OK' ? '' : waits.filter((text) => text !== '').join('; '),
  ];
}

/** One that missed nothing has all; its last report may be older than the last load. */
function versionOf({ partition, replica, report }: Place): bigint {
  const { missing } = replica;
  if (missing === undefined) return BigInt(partition.visibleVersion);
  return BigInt(Math.max(0, Math.min(report?.version ?? 0, missing.from - 1)));
}

/** One for each replica that the tablet should have and has not, as in Doris: -1 for all numbers. */
function missingRows(
  { services }: ReplicasSource,
  { replicationNum = 0 }: PartitionDef,
  tabletId: TabletId,
): SqlRow[] {
  const there = services.catalog.replicas.ofTablet(tabletId).length;
  const waits = services.replicaRepair.waitsOf(tabletId);
  const why = waits === '' ? 'it is to be made' : waits;
  const numbers = REPLICA_STATUS.columns.slice(1, 9).map(() => NONE);
  const row = [BigInt(tabletId), ...numbers, null, null, null, 'MISSING', why];
  return Array.from({ length: Math.max(0, replicationNum - there) }, () => row);
}

/** Of this replica, whatever is known of its tablet: a round of repair may not have looked yet. */
function ownWait({ backendId, missing, state }: ReplicaDef, status: Status): string {
  const isCopied = state === 'CREATING' || state === 'CLONING';
  switch (status) {
    case 'OK':
      return '';
    case 'DEAD':
      return `backend ${backendId} is not alive`;
    case 'BAD':
      return 'it is damaged, and to be replaced';
    case 'MISSING':
      return `backend ${backendId} does not have it any more`;
    case 'VERSION_ERROR':
      if (isCopied || missing === undefined) return 'it is being copied';
      return `versions ${missing.from} to ${missing.to} are to be copied`;
  }
}

/** Doris's words. */
type Status = 'OK' | 'DEAD' | 'BAD' | 'MISSING' | 'VERSION_ERROR';

export function statusOf(
  { board, registry }: Pick<Services, 'board' | 'registry'>,
  { backendId, missing, state }: ReplicaDef,
  report: ReplicaReport | undefined,
): Status {
  if (!registry.isAlive(backendId)) return 'DEAD';
  if (report?.isBad === true) return 'BAD';
  if (state === 'CREATING' || state === 'CLONING') return 'VERSION_ERROR';
  // A new replica is not in a report yet; one that is lost has become one that lacks everything.
  if (missing === undefined) return 'OK';
  return report === undefined && board.isComplete(backendId) ? 'MISSING' : 'VERSION_ERROR';
}
