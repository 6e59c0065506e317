/**
 * What an alter job does to the catalog beside its own row: the tablets of the new indexes, the
 * rowsets written into them, and the switch. Everything before the switch is invisible and is found
 * again by rows: tablets by their index, rowsets that a backend may be writing by `alter_write`.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { id, rowsetId } from '../base/ids.ts';
import type {
  IndexId,
  JobId,
  PartitionId,
  RowsetId,
  TableId,
  TabletId,
  TxnId,
} from '../base/ids.ts';
import type { NewRowset, RowsetMeta } from '../base/schema.ts';
import { tabletPrefix } from '../base/schema.ts';
import { type AlterJob, AlterJobStore } from './alter_jobs.ts';
import { fromJson, toJson } from './json_text.ts';
import { recordRowsetEvent } from './rowset_events.ts';
import { addTabletSize, insertRowset } from './rowsets.ts';
import type { Session, WriteSession } from './session.ts';
import { expectOne } from './stale_row.ts';
import { type TableBody, type TableMemory, alterTable, liveTable } from './tables.ts';
import type { TabletInfo } from './tablet_index.ts';

/** Rows of one transaction. */
const ROWS_PER_TRANSACTION = 1500;
/** Tablets of one transaction, each with its rowsets. */
const TABLETS_PER_TURN = 200;

/** A tablet of an old index, and the one that gets its rows. */
export interface TabletPair {
  readonly source: TabletId;
  readonly target: TabletId;
  readonly indexId: IndexId;
}

/** A rowset that was rewritten, as far as one must know to tell what is missing. */
export interface RewrittenRowset {
  readonly rowsetId: RowsetId;
  readonly startVersion: number;
  readonly endVersion: number;
  readonly rows: number;
}

/** What a backend is about to write. */
export interface PlannedWrite {
  readonly tabletId: TabletId;
  readonly rowsetId: RowsetId;
}

export interface Rewritten {
  readonly source: RowsetMeta;
  readonly rowset: NewRowset;
}

/** Everything that the new indexes have, partition by partition. */
export interface SwitchPlan {
  /** Visible versions up to which all rowsets are rewritten; of all partitions. */
  readonly versions: ReadonlyMap<PartitionId, number>;
  /** Per partition and index, in ascending order of id. */
  readonly tablets: readonly (readonly TabletInfo[])[];
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

  /** What a new tablet has so far, by version. */
  rewritten(tabletId: TabletId): RewrittenRowset[] {
    const rows = this.#session.bulk.all<[string, number, number, number]>(
      `SELECT rowset_id, start_version, end_version, row_count FROM rowset WHERE tablet_id = ?
       ORDER BY start_version`,
      [tabletId],
    );
    return rows.map(([rowset, startVersion, endVersion, count]) => ({
      rowsetId: rowsetId(rowset),
      startVersion,
      endVersion,
      rows: count,
    }));
  }

  /** To be done before a backend is told to write: then nothing of it is ever forgotten. */
  async planWrites(job: AlterJob, writes: readonly PlannedWrite[]): Promise<void> {
    await this.#session.write(async (tx) => {
      for (const { tabletId, rowsetId: rowset } of writes) {
        tx.bulk.run('INSERT INTO alter_write (rowset_id, job_id, tablet_id) VALUES (?, ?, ?)', [
          rowset,
          job.jobId,
          tabletId,
        ]);
      }
    });
  }

  /**
   * Rowsets of new tablets, invisible until the switch. A tablet that went with its partition has
   * no place for them: they are garbage then.
   */
  async addRewritten(job: AlterJob, rewritten: readonly Rewritten[], txnId: TxnId): Promise<void> {
    await this.#session.write(async (tx) => {
      for (const { source, rowset } of rewritten) {
        forgetWrite(tx, rowset);
        if (!hasTablet(tx, rowset.tabletId)) {
          addGarbage(tx, source.vaultId, rowset, 0);
          continue;
        }
        const { sourceGroup } = job;
        const { startVersion, endVersion: version, vaultId, createdMs } = source;
        const place = { startVersion, version, vaultId, createdMs, txnId, sourceGroup };
        insertRowset(tx, rowset, place);
      }
    });
  }

  /** What was written, or may still be, by calls that failed: garbage after `graceMs`. */
  async dropWrites(job: AlterJob, writes: readonly PlannedWrite[], graceMs: number): Promise<void> {
    if (writes.length === 0) return;
    await this.#session.write(async (tx) => {
      const table = await tx.db
        .selectFrom('table_def')
        .select('vault_id')
        .where('table_id', '=', job.tableId)
        .executeTakeFirst();
      for (const write of writes) {
        forgetWrite(tx, write);
        if (table !== undefined) addGarbage(tx, table.vault_id, write, graceMs);
      }
    });
  }

  /** Writes that were planned and of which nobody has told how they ended. */
  plannedWrites(jobId: JobId): PlannedWrite[] {
    const rows = this.#session.bulk.all<[number, string]>(
      'SELECT tablet_id, rowset_id FROM alter_write WHERE job_id = ?',
      [jobId],
    );
    return rows.map(([tabletId, rowset]) => ({
      tabletId: id<TabletId>(tabletId),
      rowsetId: rowsetId(rowset),
    }));
  }

  /** Rewritten rowsets that do not fit what there is to rewrite now (a compaction came between). */
  async discard(tabletId: TabletId, rowsets: readonly RewrittenRowset[]): Promise<void> {
    await this.#session.write(async (tx) => {
      for (const { rowsetId: rowset } of rowsets) {
        const [row] = tx.bulk.all<[number, number, number]>(
          'SELECT bytes, row_count, vault_id FROM rowset WHERE tablet_id = ? AND rowset_id = ?',
          [tabletId, rowset],
        );
        if (row === undefined) continue;
        const [bytes, count, vaultId] = row;
        tx.bulk.run('DELETE FROM rowset WHERE tablet_id = ? AND rowset_id = ?', [tabletId, rowset]);
        addTabletSize(tx, tabletId, -bytes, -count);
        addGarbage(tx, vaultId, { tabletId, rowsetId: rowset }, 0);
      }
    });
  }

  /**
   * Puts a new transaction id on all rowsets of the new tablets: who looks for new rowsets by id
   * must find them behind everything that was there when the job began.
   */
  async stamp(job: AlterJob, partitionIds: Iterable<PartitionId>): Promise<TxnId> {
    const txnId = id<TxnId>(await this.#deps.reserveIds(1));
    for (const partitionId of partitionIds) {
      const tablets = job.indexes.flatMap(({ indexId }) => this.#tabletsOf(partitionId, indexId));
      for (let at = 0; at < tablets.length; at += TABLETS_PER_TURN) {
        await this.#session.write(async (tx) => {
          for (const { tabletId } of tablets.slice(at, at + TABLETS_PER_TURN)) {
            tx.bulk.run('UPDATE rowset SET txn_id = ? WHERE tablet_id = ?', [txnId, tabletId]);
          }
        });
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
    const tablets: TabletInfo[][] = [];
    for (const partitionId of versions.keys()) {
      for (const { indexId } of job.indexes) {
        const own = this.#tabletsOf(partitionId, indexId);
        tablets.push(own.map((tablet) => ({ ...tablet, tableId })));
      }
      await nextTurn();
    }
    const bytes = tablets.flat().reduce((sum, tablet) => sum + tablet.bytes, 0);
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
    for (const own of plan.tablets) tablets.add(own);
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
        if (!isNormal(tx, partitionId)) continue;
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

function isNormal(tx: WriteSession, partitionId: PartitionId): boolean {
  const rows = tx.bulk.all(
    "SELECT partition_id FROM partition_def WHERE partition_id = ? AND state = 'NORMAL'",
    [partitionId],
  );
  return rows.length > 0;
}

/** Whether it is there and will not be purged: not with its partition, and not with its index. */
function hasTablet(tx: WriteSession, tabletId: TabletId): boolean {
  const rows = tx.bulk.all(
    `SELECT tablet_id FROM tablet
     INNER JOIN partition_def ON partition_def.partition_id = tablet.partition_id
     INNER JOIN index_def ON index_def.table_id = tablet.table_id
       AND index_def.index_id = tablet.index_id
     INNER JOIN table_def ON table_def.table_id = tablet.table_id
     WHERE tablet_id = ? AND partition_def.state = 'NORMAL' AND index_def.state = 'CREATING'
       AND table_def.state = 'NORMAL'`,
    [tabletId],
  );
  return rows.length > 0;
}

function forgetWrite(tx: WriteSession, { rowsetId: rowset }: PlannedWrite): void {
  tx.bulk.run('DELETE FROM alter_write WHERE rowset_id = ?', [rowset]);
}

function addGarbage(
  tx: WriteSession,
  vaultId: number,
  { tabletId, rowsetId: rowset }: PlannedWrite,
  graceMs: number,
): void {
  tx.bulk.run(
    `INSERT INTO garbage (garbage_id, vault_id, prefix, reason, not_before_ms, attempts)
     VALUES (?, ?, ?, 'rewrite failed', ?, 0)`,
    [tx.ids.next(), vaultId, `${tabletPrefix(tabletId)}${rowset}_`, tx.clock.now() + graceMs],
  );
}
