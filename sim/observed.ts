/**
 * What the catalog's file says, read with the simulator's own connection and its own SQL: the
 * stores under test are not asked about themselves.
 */
import type { JobId, RowsetId, TabletId, VaultId } from '../base/ids.ts';
import type { SegmentMeta } from '../base/schema.ts';
import { SqliteConnection } from '../catalog/sqlite_connection.ts';

export interface JobView {
  readonly jobId: JobId;
  readonly srcGroup: string | null;
  readonly dstGroup: string;
  readonly syncMode: 'ONCE' | 'PERIODIC' | 'EVENT_DRIVEN';
  readonly intervalS: number | null;
  readonly tableFilter: string | null;
  readonly state: string;
  readonly run: number;
  readonly createMs: number;
  readonly startMs: number | null;
  readonly errMsg: string;
  readonly allBatch: number;
  readonly finishBatch: number;
  readonly finishBytes: number;
  readonly doneTablets: number;
  readonly skippedTablets: number;
  readonly failedTablets: number;
  /** How often somebody asked for the next cycle now. */
  readonly startsAsked: number;
  /** Batches that were taken back, because the backend that did them may have lost blocks. */
  readonly reopened: number;
}

export interface RunView {
  readonly jobId: JobId;
  readonly run: number;
  readonly startMs: number;
  readonly endMs: number | null;
  readonly outcome: string;
}

export interface RowsetView {
  readonly tabletId: TabletId;
  readonly partitionId: number;
  readonly rowsetId: RowsetId;
  readonly vaultId: VaultId;
  readonly createdMs: number;
  /** Compute group of the backend that wrote it, as it was called then. */
  readonly sourceGroup: string;
  /** `db.table`, as it is called now. */
  readonly tableName: string;
  readonly ttlSeconds: number;
  readonly segments: readonly SegmentMeta[];
}

export interface BackendView {
  readonly backendId: number;
  readonly group: string;
  readonly state: string;
}

export interface TransitionView {
  readonly from: string;
  readonly event: string;
  readonly to: string;
}

export interface TableView {
  readonly tableId: number;
  readonly name: string;
  readonly indexId: number;
  readonly partitions: readonly { readonly partitionId: number; readonly name: string }[];
}

export const FINAL_STATES: ReadonlySet<string> = new Set(['FINISHED', 'CANCELLED']);

/** Visible: its version is visible, and its index, partition, table and database are there. */
const VISIBLE_ROWSETS = `
  SELECT r.tablet_id, r.partition_id, r.rowset_id, r.vault_id, r.created_ms, r.segments,
    r.source_group, d.name || '.' || t.name, t.definition
  FROM rowset r
  INNER JOIN tablet ON tablet.tablet_id = r.tablet_id
  INNER JOIN index_def i ON i.table_id = tablet.table_id AND i.index_id = tablet.index_id
  INNER JOIN partition_def p ON p.partition_id = r.partition_id
  INNER JOIN table_def t ON t.table_id = p.table_id
  INNER JOIN database_def d ON d.database_id = t.database_id
  WHERE r.end_version <= p.visible_version AND p.state = 'NORMAL'
    AND i.state = 'NORMAL' AND t.state = 'NORMAL'`;

export class CatalogView {
  readonly #connection: SqliteConnection;
  #dataVersion = -1;

  constructor(file: string) {
    this.#connection = new SqliteConnection(file, 'read');
  }

  close(): void {
    this.#connection.close();
  }

  /** Whether somebody has committed since the last time that this was asked. */
  changed(): boolean {
    const version = this.#connection.dataVersion();
    const isNew = version !== this.#dataVersion;
    this.#dataVersion = version;
    return isNew;
  }

  jobs(): Map<JobId, JobView> {
    const rows = this.#connection.all<JobRow>(
      `SELECT job_id, src_group, dst_group, sync_mode, sync_interval_s, table_filter, state, run,
        create_ms, start_ms, err_msg, all_batch, finish_batch, finish_bytes, done_tablets,
        skipped_tablets, failed_tablets,
        (SELECT count(*) FROM job_transition t
         WHERE t.job_id = j.job_id AND t.event = 'startAsked'),
        (SELECT count(*) FROM job_transition t
         WHERE t.job_id = j.job_id AND t.event = 'batchReopened')
       FROM warm_up_job j ORDER BY job_id`,
      [],
    );
    return new Map(rows.map((row) => [row[0], toJob(row)]));
  }

  /** Target group → job. */
  slots(): Map<string, JobId> {
    return new Map(
      this.#connection.all<[string, JobId]>('SELECT dst_group, job_id FROM warm_up_slot', []),
    );
  }

  runs(): RunView[] {
    return this.#connection
      .all<[JobId, number, number, number | null, string]>(
        `SELECT job_id, run, start_ms, end_ms, outcome FROM warm_up_run ORDER BY job_id, run`,
        [],
      )
      .map(([jobId, run, startMs, endMs, outcome]) => ({ jobId, run, startMs, endMs, outcome }));
  }

  transitions(jobId: JobId): TransitionView[] {
    return this.#connection
      .all<[string, string, string]>(
        'SELECT from_state, event, to_state FROM job_transition WHERE job_id = ? ORDER BY seq',
        [jobId],
      )
      .map(([from, event, to]) => ({ from, event, to }));
  }

  /** Tablets of all batches of a run. */
  tabletsOfRun(jobId: JobId, run: number): Set<TabletId> {
    const rows = this.#connection.all<[Uint8Array]>(
      'SELECT tablet_ids FROM warm_up_batch_tablet WHERE job_id = ? AND run = ?',
      [jobId, run],
    );
    const tablets = new Set<TabletId>();
    for (const [bytes] of rows) {
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      for (let at = 0; at < view.byteLength; at += 8) {
        tablets.add(Number(view.getBigUint64(at, true)) as TabletId);
      }
    }
    return tablets;
  }

  visibleRowsets(): RowsetView[] {
    return this.#connection.all<RowsetRow>(VISIBLE_ROWSETS, []).map((row) => ({
      tabletId: row[0],
      partitionId: row[1],
      rowsetId: row[2],
      vaultId: row[3],
      createdMs: row[4],
      segments: JSON.parse(row[5]) as SegmentMeta[],
      sourceGroup: row[6],
      tableName: row[7],
      ttlSeconds: (JSON.parse(row[8]) as { ttlSeconds?: number }).ttlSeconds ?? 0,
    }));
  }

  /** Changes with every commit, compaction, schema change and drop. */
  rowsetMark(): string {
    const [row] = this.#connection.all<[number, number | null, number | null]>(
      `SELECT count(*), max(txn_id),
        (SELECT sum(index_id) FROM index_def WHERE state = 'NORMAL') FROM rowset`,
      [],
    );
    return String(row);
  }

  /** Items of an event-driven job that failed for good. */
  failedItems(jobId: JobId): string[] {
    return this.#connection
      .all<[string]>('SELECT item FROM warm_up_failure WHERE job_id = ?', [jobId])
      .map(([item]) => item);
  }

  /** Whether every target of an event-driven job has acknowledged everything. */
  isDelivered({ jobId, srcGroup, dstGroup }: JobView): boolean {
    const [last] = this.#connection.all<[number]>(
      'SELECT last_seq FROM rowset_event_counter WHERE source_group = ?',
      [srcGroup],
    );
    const targets = new Map(
      this.#connection
        .all<[number, number, string]>(
          'SELECT backend_id, acked_seq, state FROM warm_up_target WHERE job_id = ?',
          [jobId],
        )
        .map(([backendId, ackedSeq, state]) => [backendId, { ackedSeq, state }]),
    );
    return this.backends()
      .filter((backend) => backend.group === dstGroup)
      .every(({ backendId }) => {
        const target = targets.get(backendId);
        return target?.state === 'LIVE' && target.ackedSeq >= (last?.[0] ?? 0);
      });
  }

  groups(): string[] {
    return this.#connection
      .all<[string]>('SELECT name FROM compute_group ORDER BY compute_group_id', [])
      .map(([name]) => name);
  }

  backends(): BackendView[] {
    return this.#connection
      .all<[number, string, string]>(
        `SELECT backend_id, compute_group.name, state FROM backend
         INNER JOIN compute_group ON compute_group.compute_group_id = backend.compute_group_id
         ORDER BY backend_id`,
        [],
      )
      .map(([backendId, group, state]) => ({ backendId, group, state }));
  }

  tables(): TableView[] {
    const rows = this.#connection.all<[number, string, number]>(
      `SELECT t.table_id, t.name, i.index_id FROM table_def t
       INNER JOIN index_def i ON i.table_id = t.table_id AND i.kind = 'BASE'
       WHERE t.state = 'NORMAL' ORDER BY t.table_id`,
      [],
    );
    return rows.map(([tableId, name, indexId]) => ({
      tableId,
      name,
      indexId,
      partitions: this.#connection
        .all<[number, string]>(
          `SELECT partition_id, name FROM partition_def
           WHERE table_id = ? AND state = 'NORMAL' ORDER BY position`,
          [tableId],
        )
        .map(([partitionId, partition]) => ({ partitionId, name: partition })),
    }));
  }
}

type RowsetRow = [
  tabletId: TabletId,
  partitionId: number,
  rowsetId: RowsetId,
  vaultId: VaultId,
  createdMs: number,
  segments: string,
  sourceGroup: string,
  tableName: string,
  definition: string,
];

type JobRow = [
  jobId: JobId,
  srcGroup: string | null,
  dstGroup: string,
  syncMode: JobView['syncMode'],
  intervalS: number | null,
  tableFilter: string | null,
  state: string,
  run: number,
  createMs: number,
  startMs: number | null,
  errMsg: string,
  allBatch: number,
  finishBatch: number,
  finishBytes: number,
  doneTablets: number,
  skippedTablets: number,
  failedTablets: number,
  startsAsked: number,
  reopened: number,
];

function toJob(row: JobRow): JobView {
  return {
    jobId: row[0],
    srcGroup: row[1],
    dstGroup: row[2],
    syncMode: row[3],
    intervalS: row[4],
    tableFilter: row[5],
    state: row[6],
    run: row[7],
    createMs: row[8],
    startMs: row[9],
    errMsg: row[10],
    allBatch: row[11],
    finishBatch: row[12],
    finishBytes: row[13],
    doneTablets: row[14],
    skippedTablets: row[15],
    failedTablets: row[16],
    startsAsked: row[17],
    reopened: row[18],
  };
}
