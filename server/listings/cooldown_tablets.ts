/**
 * SHOW COOLDOWN FROM a table and information_schema.cooldown_tablets: per tablet who uploads, how
 * far that is, and what it waits for. Of replicated tables only; what backends know is as old as
 * their last report.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { timeTextOrNull } from '../../base/units.ts';
import type { TabletInfo } from '../../catalog/tablet_index.ts';
import type { PartitionDef, TableDef } from '../../base/schema.ts';
import { isReplicated } from '../../base/schema.ts';
import { type SqlRow, type SqlValue, bigintColumn, textColumn } from '../../base/values.ts';
import type { CooldownState, ReplicaReport } from '../../base/replica.ts';
import type { ReplicaDef } from '../../catalog/replicas.ts';
import type { Services } from '../services.ts';
import { type Listing, everyRow, ofTable } from './listing.ts';

type Source = Pick<Services, 'catalog' | 'cooldown' | 'board' | 'registry'>;

export interface TableCooldown {
  readonly services: Source;
  readonly table: TableDef;
}

/** Tablets between two turns of the event loop, some 5 ms. */
const TABLETS_PER_TURN = 500;
/** Longest text of waits and errors in a cell. */
const TEXT_MAX = 500;

const COLUMNS = [
  bigintColumn('TabletId'),
  ...['PartitionName', 'IndexName', 'StoragePolicy'].map(textColumn),
  ...['LeaderReplicaId', 'LeaderBackendId', 'Term'].map(bigintColumn),
  textColumn('MetaId'),
  ...['CooledVersion', 'VisibleVersion'].map(bigintColumn),
  ...['DueTime', 'State', 'WaitingFor', 'LastError'].map(textColumn),
  // Local: of all replicas together. Remote: once, as it lies in the resource.
  ...['LocalDataSize', 'RemoteDataSize', 'Replicas', 'SettledReplicas', 'JobId'].map(bigintColumn),
];

export const TABLE_COOLDOWN: Listing<TableCooldown> = {
  columns: COLUMNS,
  likeColumns: ['PartitionName', 'State'],
  seen: everyRow,
  rows: async ({ services, table }) => await rowsOf(services, table),
};

export const COOLDOWN_TABLETS: Listing<Source> = {
  columns: [...['DbName', 'TableName'].map(textColumn), ...COLUMNS],
  likeColumns: ['TableName'],
  seen: ofTable('DbName', 'TableName'),
  rows: async (services) => {
    const { catalog } = services;
    const rows: SqlRow[] = [];
    for (const { tableId } of await catalog.tables.list()) {
      const table = await catalog.tables.byId(tableId);
      if (table === undefined) continue;
      const { databaseName, name } = table;
      for (const row of await rowsOf(services, table)) rows.push([databaseName, name, ...row]);
    }
    return rows;
  },
};

async function rowsOf(services: Source, table: TableDef): Promise<SqlRow[]> {
  if (!isReplicated(table)) return [];
  const policies = new Map(
    (await services.catalog.storagePolicies.list()).map((policy) => [policy.policyId, policy.name]),
  );
  const indexes = new Map(table.indexes.map(({ indexId, name }) => [indexId, name]));
  const rows: SqlRow[] = [];
  for (const partition of table.partitions) {
    const { storagePolicyId: policyId } = partition;
    const policy = policyId === undefined ? null : (policies.get(policyId) ?? null);
    for (const tablet of services.catalog.tablets.ofPartition(partition.partitionId)) {
      const names = { index: indexes.get(tablet.indexId) ?? null, policy };
      rows.push(rowOf(services, partition, tablet, names));
      if (rows.length % TABLETS_PER_TURN === 0) await nextTurn();
    }
  }
  return rows;
}

interface Known extends ReplicaDef {
  readonly isAlive: boolean;
  readonly report: ReplicaReport | undefined;
}

function rowOf(
  { catalog, cooldown, board, registry }: Source,
  partition: PartitionDef,
  { tabletId }: TabletInfo,
  names: { readonly index: string | null; readonly policy: string | null },
): SqlRow {
  const lead = catalog.cooldown.lead(tabletId);
  const replicas = catalog.replicas.ofTablet(tabletId).map((replica): Known => ({
    ...replica,
    isAlive: registry.isAlive(replica.backendId),
    report: board.get(replica.backendId, tabletId, replica.replicaId),
  }));
  const leader = replicas.find(({ replicaId }) => replicaId === lead?.replicaId);
  const report = leader?.report;
  const unsettled = replicas.filter((one) => !isSettled(one, leader, lead?.term));
  const waits = cooldown.scheduler.waitsFor(tabletId);
  const job = cooldown.scheduler.jobOf(tabletId);
  return [
    BigInt(tabletId),
    partition.name,
    names.index,
    names.policy,
    number(lead?.replicaId),
    number(leader?.backendId),
    number(lead?.term),
    report?.metaId ?? null,
    number(report?.cooledVersion),
    BigInt(partition.visibleVersion),
    timeTextOrNull(report?.dueMs ?? null),
    stateOf(names.policy, leader, unsettled),
    replicas.length === 0
      ? 'a replica: none is left, ADMIN REPAIR TABLE makes one of what is cooled'
      : waitingFor(waits, names.policy, leader, unsettled),
    errorOf(report, unsettled),
    BigInt(replicas.reduce((sum, one) => sum + (one.report?.localBytes ?? 0), 0)),
    BigInt(Math.max(0, ...replicas.map((one) => one.report?.remoteBytes ?? 0))),
    BigInt(replicas.length),
    BigInt(replicas.length - unsettled.length),
    number(job?.jobId),
  ];
}

/** It has the leader's term and its list of what is cooled. */
function isSettled(
  { report }: Known,
  leader: Known | undefined,
  term: number | undefined,
): boolean {
  if (report === undefined || leader?.report === undefined) return false;
  return report.lead?.term === term && report.metaId === leader.report.metaId;
}

function stateOf(
  policy: string | null,
  leader: Known | undefined,
  unsettled: readonly Known[],
): CooldownState {
  const report = leader?.report;
  if (policy === null) return report?.cooldownState ?? 'NONE';
  // What it has reported last is older than its policy.
  if (report === undefined || report.cooldownState === 'NONE') return 'WAITING';
  // What it said it was doing, it does no more.
  if (leader?.isAlive === false && report.cooldownState === 'COOLING') return 'WAITING';
  if (report.cooldownState !== 'COOLED' || unsettled.length === 0) return report.cooldownState;
  return unsettled.some((one) => one.report?.cooldownState === 'FAILED') ? 'FAILED' : 'WAITING';
}

function waitingFor(
  ofServer: string,
  policy: string | null,
  leader: Known | undefined,
  unsettled: readonly Known[],
): string {
  if (ofServer !== '') return cut(ofServer);
  const report = leader?.report;
  if (policy === null) return cut(report?.cooldownWaits ?? '');
  if (leader === undefined) return 'a leader to be elected';
  if (!leader.isAlive) return `backend ${leader.backendId} of the leader, which is not alive`;
  if (report === undefined) return 'a report of the leader';
  if (report.cooldownState === 'NONE')
    return 'a report of the leader that knows its storage policy';
  // A tablet that is empty as a whole is left alone, however old it is.
  const isEmpty = report.localBytes + report.remoteBytes === 0;
  if (report.cooldownState === 'HOT' && isEmpty) return 'rows: the tablet is empty';
  if (report.cooldownWaits !== '') return cut(report.cooldownWaits);
  if (report.cooldownState !== 'COOLED') return '';
  const who = unsettled.map((one) => {
    const why = one.report?.cooldownWaits ?? 'no report';
    return `replica ${one.replicaId} on backend ${one.backendId}${why === '' ? '' : `: ${why}`}`;
  });
  return cut(who.length === 0 ? '' : `followers: ${who.join('; ')}`);
}

function errorOf(report: ReplicaReport | undefined, unsettled: readonly Known[]): string {
  const own = report?.cooldownError ?? '';
  if (own !== '') return cut(own);
  const other = unsettled.find((one) => (one.report?.cooldownError ?? '') !== '');
  return cut(
    other === undefined ? '' : `replica ${other.replicaId}: ${other.report?.cooldownError}`,
  );
}

function cut(text: string): string {
  return text.slice(0, TEXT_MAX);
}

function number(value: number | undefined): SqlValue {
  return value === undefined ? null : BigInt(value);
}
