/**
 * SHOW PROC '/statistic': per database how many tablets there are and how many of them are not as they
 * should be, which is what people look at while replicas move; `/statistic/<id>`: which ones.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { DatabaseId } from '../../base/ids.ts';
import type { PartitionDef, TableDef } from '../../base/schema.ts';
import { isReplicated } from '../../base/schema.ts';
import { type RowsResult, type SqlRow, textColumn } from '../../base/values.ts';
import type { TabletInfo } from '../../catalog/tablet_index.ts';
import { statusOf } from '../listings/replicas.ts';
import type { Services } from '../services.ts';

type Source = Pick<Services, 'board' | 'catalog' | 'registry'>;

/** Tablets between two turns of the event loop, some 5 ms. */
const TABLETS_PER_TURN = 500;

/** Of a database, or of all. Tablets of shared tables have one replica, which is always well. */
class Statistic {
  tables = 0;
  partitions = 0;
  indexes = 0;
  tablets = 0;
  replicas = 0;
  /** Ids of tablets: too many or too few replicas, or one that is not OK. */
  readonly unhealthy: number[] = [];
  readonly cloning: number[] = [];
  readonly bad: number[] = [];

  async count(services: Source, databaseId: DatabaseId): Promise<void> {
    const { catalog } = services;
    for (const { tableId } of await catalog.tables.list(databaseId)) {
      const table = await catalog.tables.byId(tableId);
      if (table !== undefined) await this.#countTable(services, table);
    }
  }

  add(other: Statistic): void {
    this.tables += other.tables;
    this.partitions += other.partitions;
    this.indexes += other.indexes;
    this.tablets += other.tablets;
    this.replicas += other.replicas;
    // One by one: there may be more of them than a call takes arguments.
    for (const tabletId of other.unhealthy) this.unhealthy.push(tabletId);
    for (const tabletId of other.cloning) this.cloning.push(tabletId);
    for (const tabletId of other.bad) this.bad.push(tabletId);
  }

  /** Nothing compares replicas with one another, so that none is known to be inconsistent. */
  row(id: string, name: string): SqlRow {
    const { tables, partitions, indexes, tablets, replicas, unhealthy, cloning, bad } = this;
    const counts = [tables, partitions, indexes, tablets, replicas, unhealthy.length];
    return [id, name, ...[...counts, 0, cloning.length, bad.length].map(String)];
  }

  async #countTable(services: Source, table: TableDef): Promise<void> {
    this.tables += 1;
    for (const partition of table.partitions) {
      this.partitions += 1;
      this.indexes += table.indexes.length;
      for (const tablet of services.catalog.tablets.ofPartition(partition.partitionId)) {
        this.tablets += 1;
        if (isReplicated(table)) this.#countReplicas(services, partition, tablet);
        else this.replicas += 1;
        if (this.tablets % TABLETS_PER_TURN === 0) await nextTurn();
      }
    }
  }

  #countReplicas(
    services: Source,
    { replicationNum }: PartitionDef,
    { tabletId }: TabletInfo,
  ): void {
    const { board, catalog } = services;
    const replicas = catalog.replicas.ofTablet(tabletId);
    const states = replicas.map((replica) => {
      const report = board.get(replica.backendId, tabletId, replica.replicaId);
      return { state: replica.state, status: statusOf(services, replica, report) };
    });
    this.replicas += replicas.length;
    const isHealthy =
      replicas.length === replicationNum &&
      states.every(({ state, status }) => status === 'OK' && state === 'NORMAL');
    if (!isHealthy) this.unhealthy.push(tabletId);
    if (states.some(({ state }) => state === 'CLONING')) this.cloning.push(tabletId);
    if (states.some(({ status }) => status === 'BAD')) this.bad.push(tabletId);
  }
}

/** Doris's columns; the last row is the sum, with the number of databases as its name. */
export async function statistic(services: Source): Promise<RowsResult> {
  // prettier-ignore
  const columns = [
    'DbId', 'DbName', 'TableNum', 'PartitionNum', 'IndexNum', 'TabletNum', 'ReplicaNum',
    'UnhealthyTabletNum', 'InconsistentTabletNum', 'CloningTabletNum', 'BadTabletNum',
  ].map(textColumn);
  const total = new Statistic();
  const rows: SqlRow[] = [];
  for (const { databaseId, name } of await services.catalog.databases.list()) {
    const one = new Statistic();
    await one.count(services, databaseId);
    rows.push(one.row(String(databaseId), name));
    total.add(one);
  }
  rows.push(total.row('Total', String(rows.length)));
  return { kind: 'rows', columns, rows };
}

/** undefined: there is no such database. */
export async function unhealthyTablets(
  id: string,
  services: Source,
): Promise<RowsResult | undefined> {
  const databases = await services.catalog.databases.list();
  const database = databases.find(({ databaseId }) => String(databaseId) === id);
  if (database === undefined) return undefined;
  const found = new Statistic();
  await found.count(services, database.databaseId);
  const columns = ['UnhealthyTablets', 'InconsistentTablets', 'CloningTablets', 'BadTablets'];
  const { unhealthy, cloning, bad } = found;
  const row = [unhealthy, [], cloning, bad].map((ids) => ids.join(','));
  return { kind: 'rows', columns: columns.map(textColumn), rows: [row] };
}
