/**
 * What an alter job does to the catalog beside its own row: the tablets of the new indexes, and the
 * switch. Everything before the switch is invisible, and is found again by the index's state.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { id } from '../base/ids.ts';
import type { IndexId, PartitionId, TableId, TabletId, TxnId } from '../base/ids.ts';
import { type AlterJob, AlterJobStore } from './alter_jobs.ts';
import { fromJson, toJson } from './json_text.ts';
import { recordRowsetEvent } from './rowset_events.ts';
import type { Session, WriteSession } from './session.ts';
import { expectOne } from './stale_row.ts';
import { type TableBody, type TableMemory, alterTable, liveTable } from './tables.ts';
import type { TabletInfo } from './tablet_index.ts';

/** Rows of one transaction. */
const ROWS_PER_TRANSACTION = 1500;
/** Tablets whose rowsets one transaction changes, when they have few. */
const TABLETS_PER_TRANSACTION = 500;

/** A tablet of an old index, and the one that gets its rows. */
export interface TabletPair {
  readonly source: TabletId;
  readonly target: TabletId;
  readonly indexId: IndexId;
}

/** Everything that the new indexes have, partition by partition. */
export interface SwitchPlan {
  /** Visible versions up to which all rowsets are rewritten; of all partitions. */
  readonly versions: ReadonlyMap<PartitionId, number>;
  /** Of all partitions and indexes, in ascending order of id. */
  readonly tablets: readonly TabletInfo[];
  /** Of the rowset rows now. */
  readonly txnId: TxnId;
  readonly rowsets: number;
  readonly bytes: number;
}

export interface AlterTablesDeps {
  readonly session: Session;
  readonly memory: TableMemory;
  readonly reserveIds: (count: number) => Promise<number>;
  /** Runs work while no load of the table commits. */
  readonly exclusive: <T>(tableId: TableId, work: () => Promise<T>) => Promise<T>;
}

interface PartitionRow {
  readonly partitionId: PartitionId;
  readonly buckets: number;
}

export class AlterTables {
  readonly #session: Session;
  readonly #memory: TableMemory;
  readonly #deps: AlterTablesDeps;

  constructor(deps: AlterTablesDeps) {
    this.#session = deps.session;
    this.#memory = deps.memory;
    this.#deps = deps;
  }

  /** Runs `work` while no load of the table commits. */
  async exclusive<T>(tableId: TableId, work: () => Promise<T>): Promise<T> {
    return this.#deps.exclusive(tableId, work);
  }

  /** The table's partitions with their visible versions, at one moment. */
  versions(job: AlterJob): Map<PartitionId, number> {
    const rows = this.#session.bulk.all<[number, number]>(
      `SELECT partition_id, visible_version FROM partition_def
       WHERE table_id = ? AND state = 'NORMAL' ORDER BY position`,
      [job.tableId],
    );
    return new Map(rows.map(([partitionId, version]) => [id<PartitionId>(partitionId), version]));
  }

  /** Makes the tablets of the new indexes that are missing, in partitions that are there now. */
  async addTablets(job: AlterJob): Promise<void> {
    const rows = this.#session.bulk.all<[number, number]>(
      `SELECT partition_id, buckets FROM partition_def
       WHERE table_id = ? AND state = 'NORMAL' ORDER BY position`,
      [job.tableId],
    );
    const missing: (PartitionRow & { readonly indexId: IndexId })[] = [];
    for (const [partition, buckets] of rows) {
      const partitionId = id<PartitionId>(partition);
      for (const { indexId } of job.indexes) {
        if (this.#tabletsOf(partitionId, indexId).length > 0) continue;
        missing.push({ partitionId, indexId, buckets });
      }
    }
    let some: typeof missing = [];
    let count = 0;
    for (const place of missing) {
      if (count + place.buckets > ROWS_PER_TRANSACTION) {
        await this.#insertTablets(job, some);
        [some, count] = [[], 0];
      }
      some.push(place);
      count += place.buckets;
    }
    await this.#insertTablets(job, some);
  }

  /** Of one partition: old tablets and new ones, over all indexes; none when it was dropped. */
  pairs(job: AlterJob, partitionId: PartitionId): TabletPair[] {
    return job.indexes.flatMap(({ indexId, originIndexId }) => {
      const sources = this.#memory.tablets.buckets(partitionId, originIndexId);
      return this.#tabletsOf(partitionId, indexId).flatMap(({ tabletId, bucket }) => {
        const source = sources[bucket];
        return source === undefined ? [] : [{ source, target: tabletId, indexId }];
      });
    });
  }

  /**
   * Puts a new transaction id on all rowsets of the new tablets: who looks for new rowsets by id
   * must find them behind everything that was there when the job began.
   */
  async stamp(job: AlterJob, partitionIds: Iterable<PartitionId>): Promise<TxnId> {
    // Not reserved: reserved ids run ahead of the others, and whoever catches up by transaction
    // ids would take this one for a later one.
    const txnId = await this.#session.write(async (tx) => tx.ids.next<TxnId>());
    for (const partitionId of partitionIds) {
      const tablets = job.indexes.flatMap(({ indexId }) => this.#tabletsOf(partitionId, indexId));
      for (let at = 0; at < tablets.length;) {
        const from = at;
        at = await this.#session.write(async (tx) => stampSome(tx, tablets, from, txnId));
        await nextTurn();
      }
    }
    return txnId;
  }

  /** What the switch is to show: read before its transaction. */
  async switchPlan(
    job: AlterJob,
    versions: ReadonlyMap<PartitionId, number>,
    txnId: TxnId,
  ): Promise<SwitchPlan> {
    const { tableId } = job;
    const tablets: TabletInfo[] = [];
    for (const partitionId of versions.keys()) {
      for (const { indexId } of job.indexes) {
        const own = this.#tabletsOf(partitionId, indexId);
        tablets.push(...own.map((tablet) => ({ ...tablet, tableId })));
      }
      await nextTurn();
    }
    tablets.sort((a, b) => a.tabletId - b.tabletId);
    const bytes = tablets.reduce((sum, tablet) => sum + tablet.bytes, 0);
    const [counted] = this.#session.bulk.all<[number]>(
      'SELECT count(*) FROM rowset WHERE txn_id = ?',
      [txnId],
    );
    return { versions, tablets, txnId, rowsets: counted?.[0] ?? 0, bytes };
  }

  /**
   * Readers and loads see the new indexes from here on; the old ones are dropped. The job is
   * FINISHED in the same transaction. False: loads became visible, or partitions came or went,
   * since the plan was made; nothing has changed then. Only within `exclusive`.
   */
  async switch(job: AlterJob, plan: SwitchPlan): Promise<boolean> {
    return this.#session.write(async (tx) => {
      const table = await liveTable(tx, job.tableId);
      const now = tx.bulk.all<[PartitionId, number]>(
        `SELECT partition_id, visible_version FROM partition_def
           WHERE table_id = ? AND state = 'NORMAL'`,
        [job.tableId],
      );
      const isSame =
        now.length === plan.versions.size &&
        now.every(([partitionId, version]) => plan.versions.get(partitionId) === version);
      if (!isSame) return false;
      for (const index of job.indexes) {
        await showIndex(tx, job, index.indexId);
        if (job.kind === 'SCHEMA_CHANGE') await hideIndex(tx, job, index.originIndexId);
      }
      const body = fromJson<TableBody>(table.definition);
      const definition = toJson({ ...body, columns: job.columns });
      await alterTable(tx, table, { definition });
      await new AlterJobStore(tx).move(job, 'FINISHED');
      await recordRowsetEvent(tx, {
        sourceGroup: job.sourceGroup,
        txnId: plan.txnId,
        tableId: job.tableId,
        kind: job.kind,
        rowsets: plan.rowsets,
        bytes: plan.bytes,
      });
      tx.onCommit(() => {
        this.#show(job, plan);
      });
      return true;
    });
  }

  /** The job ends CANCELLED; what it built becomes garbage in the background. */
  async cancel(job: AlterJob, msg: string): Promise<void> {
    await this.#session.write(async (tx) => {
      await new AlterJobStore(tx).move(job, 'CANCELLED', msg);
      tx.bulk.run(
        `UPDATE index_def SET state = 'DROPPED'
         WHERE table_id = ? AND state = 'CREATING'
           AND index_id IN (SELECT index_id FROM alter_index WHERE job_id = ?)`,
        [job.tableId, job.jobId],
      );
      tx.bulk.run('DELETE FROM alter_write WHERE job_id = ?', [job.jobId]);
      tx.onCommit(() => {
        this.#memory.dropped();
      });
    });
  }

  #show(job: AlterJob, plan: SwitchPlan): void {
    const { tablets, cache, dropped } = this.#memory;
    if (job.kind === 'SCHEMA_CHANGE') {
      for (const partitionId of plan.versions.keys()) {
        for (const index of job.indexes) tablets.removeIndex(partitionId, index.originIndexId);
      }
    }
    tablets.add(plan.tablets);
    cache.forget(job.tableId);
    dropped();
  }

  /** From the catalog: new tablets are not in memory. In ascending order of id. */
  #tabletsOf(partitionId: PartitionId, indexId: IndexId): Omit<TabletInfo, 'tableId'>[] {
    const rows = this.#session.bulk.all<[number, number, number, number]>(
      `SELECT tablet_id, bucket, bytes, row_count FROM tablet
       WHERE partition_id = ? AND index_id = ? ORDER BY tablet_id`,
      [partitionId, indexId],
    );
    return rows.map(([tabletId, bucket, bytes, count]) => ({
      tabletId: id<TabletId>(tabletId),
      partitionId,
      indexId,
      bucket,
      bytes,
      rows: count,
    }));
  }

  async #insertTablets(
    job: AlterJob,
    places: readonly (PartitionRow & { readonly indexId: IndexId })[],
  ): Promise<void> {
    const count = places.reduce((sum, { buckets }) => sum + buckets, 0);
    if (count === 0) return;
    let next = await this.#deps.reserveIds(count);
    await this.#session.write(async (tx) => {
      for (const { partitionId, indexId, buckets } of places) {
        const first = next;
        next += buckets;
        if (!isWanted(tx, partitionId, indexId)) continue;
        for (let bucket = 0; bucket < buckets; bucket += 1) {
          tx.bulk.run(
            `INSERT INTO tablet (tablet_id, table_id, partition_id, index_id, bucket, bytes,
               row_count) VALUES (?, ?, ?, ?, ?, 0, 0)`,
            [first + bucket, job.tableId, partitionId, indexId, bucket],
          );
        }
      }
    });
    await nextTurn();
  }
}

/** Where the next transaction goes on. */
function stampSome(
  tx: WriteSession,
  tablets: readonly { readonly tabletId: TabletId }[],
  from: number,
  txnId: TxnId,
): number {
  let changed = 0;
  let at = from;
  for (const { tabletId } of tablets.slice(from, from + TABLETS_PER_TRANSACTION)) {
    changed += tx.bulk.run('UPDATE rowset SET txn_id = ? WHERE tablet_id = ?', [txnId, tabletId]);
    at += 1;
    if (changed >= ROWS_PER_TRANSACTION) break;
  }
  return at;
}

async function showIndex(tx: WriteSession, job: AlterJob, indexId: IndexId): Promise<void> {
  await moveIndex(tx, job, indexId, 'CREATING', 'NORMAL');
}

async function hideIndex(tx: WriteSession, job: AlterJob, indexId: IndexId): Promise<void> {
  await moveIndex(tx, job, indexId, 'NORMAL', 'DROPPED');
}

async function moveIndex(
  tx: WriteSession,
  { tableId }: Pick<AlterJob, 'tableId'>,
  indexId: IndexId,
  from: 'CREATING' | 'NORMAL',
  to: 'NORMAL' | 'DROPPED',
): Promise<void> {
  const result = await tx.db
    .updateTable('index_def')
    .set({ state: to })
    .where('table_id', '=', tableId)
    .where('index_id', '=', indexId)
    .where('state', '=', from)
    .executeTakeFirst();
  expectOne(result.numUpdatedRows, `index ${indexId}`);
}

/** The partition is there, and the job that builds the index has not ended. */
function isWanted(tx: WriteSession, partitionId: PartitionId, indexId: IndexId): boolean {
  const rows = tx.bulk.all(
    `SELECT index_id FROM index_def
     INNER JOIN partition_def ON partition_def.table_id = index_def.table_id
     WHERE partition_id = ? AND partition_def.state = 'NORMAL'
       AND index_id = ? AND index_def.state = 'CREATING'`,
    [partitionId, indexId],
  );
  return rows.length > 0;
}
