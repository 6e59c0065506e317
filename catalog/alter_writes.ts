/**
 * Rowsets of an alter job's new tablets. What a backend is told to write is known here before its
 * first object is there (`alter_write`), so that whatever comes to nothing leaves a garbage item.
 */
import { id, rowsetId } from '../base/ids.ts';
import type { JobId, RowsetId, TabletId, TxnId } from '../base/ids.ts';
import type { NewRowset, RowsetMeta } from '../base/schema.ts';
import { tabletPrefix } from '../base/schema.ts';
import type { AlterJob } from './alter_jobs.ts';
import { addTabletSize, insertRowset } from './rowsets.ts';
import type { Session, WriteSession } from './session.ts';

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

export class AlterWrites {
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
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

  /**
   * Writes of jobs that have ended, which only a crash at the wrong moment leaves: garbage after
   * `graceMs`. At most `limit`; how many.
   */
  async dropStrays(graceMs: number, limit: number): Promise<number> {
    const rows = this.#session.bulk.all<[number, string, number | null]>(
      `SELECT alter_write.tablet_id, alter_write.rowset_id, table_def.vault_id FROM alter_write
       LEFT JOIN alter_job ON alter_job.job_id = alter_write.job_id
       LEFT JOIN table_def ON table_def.table_id = alter_job.table_id
       WHERE alter_job.state IS NULL OR alter_job.state IN ('FINISHED', 'CANCELLED') LIMIT ?`,
      [limit],
    );
    if (rows.length === 0) return 0;
    await this.#session.write(async (tx) => {
      for (const [tablet, rowset, vaultId] of rows) {
        const write = { tabletId: id<TabletId>(tablet), rowsetId: rowsetId(rowset) };
        forgetWrite(tx, write);
        if (vaultId !== null) addGarbage(tx, vaultId, write, graceMs);
      }
    });
    return rows.length;
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
