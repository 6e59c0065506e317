/** Access counts of partitions per backend and day: `__internal_schema.cloud_cache_hotspot`. */
import { id } from '../base/ids.ts';
import type { BackendId, ComputeGroupId, IndexId, PartitionId, TableId } from '../base/ids.ts';
import type { CatalogRows } from './rows.ts';
import type { Session, WriteSession } from './session.ts';
import { upsert } from './upsert.ts';

/** Days that are kept, and over which `query_per_week` sums. */
const HOTSPOT_DAYS = 7;
const DAY_MS = 86_400_000;
/** Rows of one transaction while counts are added or expired. */
const ROWS_PER_TRANSACTION = 500;

/** One partition's accesses on one backend on one day (UTC, `YYYY-MM-DD`). */
export interface HotspotCount {
  readonly tableId: TableId;
  readonly indexId: IndexId;
  readonly partitionId: PartitionId;
  readonly day: string;
  /** `db.table` */
  readonly tableName: string;
  readonly indexName: string;
  readonly partitionName: string;
  /** Added to what is stored. */
  readonly accesses: number;
  readonly lastAccessMs: number;
  /** Bytes of the partition. */
  readonly fileCacheSize: number;
}

export interface HotspotReport {
  readonly computeGroupId: ComputeGroupId;
  readonly computeGroupName: string;
  readonly backendId: BackendId;
  /** Names the backend's reply: a reply that is stored already changes nothing. */
  readonly token: string;
  readonly counts: readonly HotspotCount[];
}

export interface HotspotRow extends Omit<HotspotCount, 'accesses'> {
  readonly computeGroupId: ComputeGroupId;
  readonly computeGroupName: string;
  readonly backendId: BackendId;
  readonly queryPerDay: number;
  /** Of this row's day and the six before it. */
  readonly queryPerWeek: number;
}

export interface HotPartitionWeight {
  readonly tableId: TableId;
  readonly indexId: IndexId;
  readonly partitionId: PartitionId;
  readonly tableName: string;
  readonly partitionName: string;
  /** Accesses, halved for every day of age, summed over the group's backends. */
  readonly weight: number;
  readonly lastAccessMs: number;
}

export class HotspotStore {
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  /** The token of the last report stored for a backend: what to confirm to it. */
  async token(backendId: BackendId): Promise<string | null> {
    const row = await this.#session.db
      .selectFrom('hotspot_token')
      .select('token')
      .where('backend_id', '=', backendId)
      .executeTakeFirst();
    return row?.token ?? null;
  }

  /**
   * Adds the counts once per token, in one transaction; false when the token was stored before.
   * `counts` should be at most ~1,000 partitions.
   */
  async add(report: HotspotReport): Promise<boolean> {
    return this.#session.write(async (tx) => {
      const { backendId, token } = report;
      if ((await new HotspotStore(tx).token(backendId)) === token) return false;
      for (const count of report.counts) await addCount(tx, report, count);
      await upsert(
        tx.db.updateTable('hotspot_token').set({ token }).where('backend_id', '=', backendId),
        tx.db.insertInto('hotspot_token').values({ backend_id: backendId, token }),
      );
      return true;
    });
  }

  /** All rows in key order. */
  async list(): Promise<HotspotRow[]> {
    const rows = await this.#session.db
      .selectFrom('cloud_cache_hotspot')
      .selectAll()
      .orderBy('cluster_id')
      .orderBy('backend_id')
      .orderBy('table_id')
      .orderBy('index_id')
      .orderBy('partition_id')
      .orderBy('insert_day')
      .execute();
    return rows.map(toHotspot);
  }

  /** The hottest partitions of a group by decayed weight, hottest first. */
  async top(computeGroupId: ComputeGroupId, limit: number): Promise<HotPartitionWeight[]> {
    const rows = await this.#session.db
      .selectFrom('cloud_cache_hotspot')
      .selectAll()
      .where('cluster_id', '=', computeGroupId)
      .execute();
    const today = Math.floor(this.#session.clock.now() / DAY_MS);
    const byPartition = new Map<string, HotPartitionWeight>();
    for (const row of rows) {
      const age = Math.max(0, today - dayNumber(row.insert_day));
      if (age >= HOTSPOT_DAYS) continue;
      const key = `${row.index_id}/${row.partition_id}`;
      const known = byPartition.get(key);
      byPartition.set(key, {
        tableId: id<TableId>(row.table_id),
        indexId: id<IndexId>(row.index_id),
        partitionId: id<PartitionId>(row.partition_id),
        tableName: row.table_name,
        partitionName: row.partition_name,
        weight: (known?.weight ?? 0) + row.query_per_day * 0.5 ** age,
        lastAccessMs: Math.max(known?.lastAccessMs ?? 0, row.last_access_ms),
      });
    }
    return [...byPartition.values()].sort(byHeat).slice(0, limit);
  }

  /** TRUNCATE TABLE __internal_schema.cloud_cache_hotspot. The tokens stay: old replies are old. */
  async truncate(): Promise<void> {
    while ((await this.#deleteSome('9999-12-31')) > 0);
  }

  /** Deletes days older than `HOTSPOT_DAYS`, in small steps; how many rows. */
  async expire(): Promise<number> {
    const oldest = dayText(this.#session.clock.now() - (HOTSPOT_DAYS - 1) * DAY_MS);
    let deleted = 0;
    for (;;) {
      const step = await this.#deleteSome(oldest);
      if (step === 0) return deleted;
      deleted += step;
    }
  }

  /** Rows of days before `day`. */
  async #deleteSome(day: string): Promise<number> {
    return this.#session.write(async (tx) => {
      const rows = await tx.db
        .selectFrom('cloud_cache_hotspot')
        .select(['cluster_id', 'backend_id', 'table_id', 'index_id', 'partition_id', 'insert_day'])
        .where('insert_day', '<', day)
        .limit(ROWS_PER_TRANSACTION)
        .execute();
      for (const row of rows) {
        tx.bulk.run(
          `DELETE FROM cloud_cache_hotspot WHERE cluster_id = ? AND backend_id = ?
           AND table_id = ? AND index_id = ? AND partition_id = ? AND insert_day = ?`,
          [
            row.cluster_id,
            row.backend_id,
            row.table_id,
            row.index_id,
            row.partition_id,
            row.insert_day,
          ],
        );
      }
      return rows.length;
    });
  }
}

/** Hottest first; the later access wins a tie, then the lower id, so that the order is stable. */
function byHeat(a: HotPartitionWeight, b: HotPartitionWeight): number {
  return b.weight - a.weight || b.lastAccessMs - a.lastAccessMs || a.partitionId - b.partitionId;
}

async function addCount(
  tx: WriteSession,
  report: HotspotReport,
  count: HotspotCount,
): Promise<void> {
  const { db } = tx;
  const partition = (eb: typeof db) =>
    eb
      .selectFrom('cloud_cache_hotspot')
      .where('cluster_id', '=', report.computeGroupId)
      .where('backend_id', '=', report.backendId)
      .where('table_id', '=', count.tableId)
      .where('index_id', '=', count.indexId)
      .where('partition_id', '=', count.partitionId);
  const firstDay = dayText((dayNumber(count.day) - HOTSPOT_DAYS + 1) * DAY_MS);
  const days = await partition(db)
    .select(['insert_day', 'query_per_day', 'last_access_ms'])
    .where('insert_day', '>=', firstDay)
    .where('insert_day', '<=', count.day)
    .execute();
  const today = days.find((row) => row.insert_day === count.day);
  const week = days.reduce((sum, row) => sum + row.query_per_day, 0) + count.accesses;
  const columns = {
    cluster_name: report.computeGroupName,
    table_name: count.tableName,
    index_name: count.indexName,
    partition_name: count.partitionName,
    file_cache_size: count.fileCacheSize,
    query_per_day: (today?.query_per_day ?? 0) + count.accesses,
    query_per_week: week,
    last_access_ms: Math.max(today?.last_access_ms ?? 0, count.lastAccessMs),
  };
  const key = {
    cluster_id: report.computeGroupId,
    backend_id: report.backendId,
    table_id: count.tableId,
    index_id: count.indexId,
    partition_id: count.partitionId,
    insert_day: count.day,
  };
  await upsert(
    db
      .updateTable('cloud_cache_hotspot')
      .set(columns)
      .where('cluster_id', '=', key.cluster_id)
      .where('backend_id', '=', key.backend_id)
      .where('table_id', '=', key.table_id)
      .where('index_id', '=', key.index_id)
      .where('partition_id', '=', key.partition_id)
      .where('insert_day', '=', key.insert_day),
    db.insertInto('cloud_cache_hotspot').values({ ...key, ...columns }),
  );
}

function dayNumber(day: string): number {
  return Math.floor(Date.parse(`${day}T00:00:00Z`) / DAY_MS);
}

function dayText(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}

function toHotspot(row: CatalogRows['cloud_cache_hotspot']): HotspotRow {
  return {
    computeGroupId: id<ComputeGroupId>(row.cluster_id),
    computeGroupName: row.cluster_name,
    backendId: id<BackendId>(row.backend_id),
    tableId: id<TableId>(row.table_id),
    indexId: id<IndexId>(row.index_id),
    partitionId: id<PartitionId>(row.partition_id),
    day: row.insert_day,
    tableName: row.table_name,
    indexName: row.index_name,
    partitionName: row.partition_name,
    lastAccessMs: row.last_access_ms,
    fileCacheSize: row.file_cache_size,
    queryPerDay: row.query_per_day,
    queryPerWeek: row.query_per_week,
  };
}
