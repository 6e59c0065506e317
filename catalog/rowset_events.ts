/**
 * The outbox of rowset events: one row for every commit that makes rowsets visible, written in the
 * same transaction, numbered per source compute group. Nothing is written when nobody listens.
 */
import { id } from '../base/ids.ts';
import type { BackendId, PartitionId, TableId, TabletId, TxnId } from '../base/ids.ts';
import type { RowsetMeta } from '../base/schema.ts';
import type { NewRowsetEvent, NewRowsets } from './rowset_event_hub.ts';
import type { RowsetEventKind } from './rows.ts';
import { type RowsetColumns, toRowset } from './rowsets.ts';
import type { Session, WriteSession } from './session.ts';
import type { TabletIndex } from './tablet_index.ts';

export interface RowsetEvent extends NewRowsetEvent {
  /** From 1, without gaps, in the order of the commits of one source. */
  readonly seq: number;
  /** `db.t`, at the commit. */
  readonly tableName: string;
  readonly createdMs: number;
}

/** Where a reader of rowsets is, in the order (txn, tablet, rowset). */
export interface RowsetPlace {
  readonly txnId: number;
  readonly tabletId: number;
  readonly rowsetId: string;
}

export interface RowsetPage {
  /** Visible ones only, in order. */
  readonly rowsets: readonly RowsetMeta[];
  /** Where the next page begins; undefined: that was the last one. */
  readonly next: RowsetPlace | undefined;
}

/** States of a job that still wants events: `warm_up_job.state`. */
const LISTENING = "('PENDING', 'RUNNING', 'PAUSED')";

/**
 * To be called by everybody who makes rowsets visible, in that transaction. Writes the event when
 * an event-driven job has the source, and after the commit wakes who waits for new rowsets.
 * Costs one indexed look-up when nobody listens.
 */
export async function recordRowsetEvent(tx: WriteSession, event: NewRowsetEvent): Promise<void> {
  const { sourceGroup } = event;
  if (sourceGroup === '' || event.rowsets === 0) return;
  const atMs = tx.clock.now();
  const heard = hasListeners(tx, sourceGroup) ? writeEvent(tx, event, atMs) : NOBODY;
  tx.onCommit(() => {
    tx.newRowsets.notify({ ...event, ...heard, atMs });
  });
}

const NOBODY: Pick<NewRowsets, 'seq' | 'tableName'> = { seq: undefined, tableName: '' };

function hasListeners(tx: WriteSession, sourceGroup: string): boolean {
  const found = tx.bulk.all(
    `SELECT job_id FROM warm_up_job
     WHERE sync_mode = 'EVENT_DRIVEN' AND src_group = ? AND state IN ${LISTENING} LIMIT 1`,
    [sourceGroup],
  );
  return found.length > 0;
}

function writeEvent(
  tx: WriteSession,
  event: NewRowsetEvent,
  atMs: number,
): Pick<NewRowsets, 'seq' | 'tableName'> {
  const { sourceGroup, txnId, tableId, kind, rowsets, bytes } = event;
  const tableName = tableNameOf(tx, tableId);
  if (tableName === undefined) return NOBODY;
  const [counter] = tx.bulk.all<[number]>(
    'SELECT last_seq FROM rowset_event_counter WHERE source_group = ?',
    [sourceGroup],
  );
  const seq = (counter?.[0] ?? 0) + 1;
  tx.bulk.run(
    counter === undefined
      ? 'INSERT INTO rowset_event_counter (last_seq, source_group) VALUES (?, ?)'
      : 'UPDATE rowset_event_counter SET last_seq = ? WHERE source_group = ?',
    [seq, sourceGroup],
  );
  tx.bulk.run(
    `INSERT INTO rowset_event (source_group, seq, txn_id, table_id, table_name, kind, rowsets,
       bytes, created_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    [sourceGroup, seq, txnId, tableId, tableName, kind, rowsets, bytes, atMs],
  );
  return { seq, tableName };
}

/** undefined: the table is dropped, nobody will read its rowsets. */
function tableNameOf(tx: WriteSession, tableId: TableId): string | undefined {
  const [row] = tx.bulk.all<[string, string]>(
    `SELECT database_def.name, table_def.name FROM table_def
     INNER JOIN database_def ON database_def.database_id = table_def.database_id
     WHERE table_def.table_id = ?`,
    [tableId],
  );
  return row === undefined ? undefined : `${row[0]}.${row[1]}`;
}

/** The name of a backend's compute group now; empty when there is no such backend. */
export function groupOfBackend(session: Session, backendId: BackendId): string {
  const [row] = session.bulk.all<[string]>(
    `SELECT compute_group.name FROM backend
     INNER JOIN compute_group ON compute_group.compute_group_id = backend.compute_group_id
     WHERE backend.backend_id = ?`,
    [backendId],
  );
  return row?.[0] ?? '';
}

export class RowsetEventStore {
  readonly #session: Session;
  readonly #tablets: TabletIndex;

  constructor(session: Session, tablets: TabletIndex) {
    this.#session = session;
    this.#tablets = tablets;
  }

  /** Hears of every commit that made rowsets visible, whether anybody's job listens or not. */
  onCommit(fn: (event: NewRowsets) => void): () => void {
    return this.#session.newRowsets.on(fn);
  }

  /** See `recordRowsetEvent`. */
  async record(event: NewRowsetEvent): Promise<void> {
    await this.#session.write((tx) => recordRowsetEvent(tx, event));
  }

  /** Number of the newest event of a source; 0: there never was one. */
  lastSeq(sourceGroup: string): number {
    const [row] = this.#session.bulk.all<[number]>(
      'SELECT last_seq FROM rowset_event_counter WHERE source_group = ?',
      [sourceGroup],
    );
    return row?.[0] ?? 0;
  }

  /** Events behind `seq`, in order, at most `limit`. */
  after(sourceGroup: string, seq: number, limit: number): RowsetEvent[] {
    const rows = this.#session.bulk.all<
      [number, number, number, string, RowsetEventKind, number, number, number]
    >(
      `SELECT seq, txn_id, table_id, table_name, kind, rowsets, bytes, created_ms
       FROM rowset_event WHERE source_group = ? AND seq > ? ORDER BY seq LIMIT ?`,
      [sourceGroup, seq, limit],
    );
    return rows.map(([number, txnId, tableId, tableName, kind, rowsets, bytes, createdMs]) => ({
      sourceGroup,
      seq: number,
      txnId: id<TxnId>(txnId),
      tableId: id<TableId>(tableId),
      tableName,
      kind,
      rowsets,
      bytes,
      createdMs,
    }));
  }

  /**
   * Rowsets of the transactions behind `after`, up to and with `lastTxn`, that are visible now:
   * what was superseded meanwhile, or dropped, is left out. Looks at `limit` rows. With
   * `sourceGroup`, only those that its backends wrote.
   */
  rowsets(after: RowsetPlace, lastTxn: number, limit: number, sourceGroup?: string): RowsetPage {
    const rows = this.#session.bulk.all<[...RowsetColumns, number, string]>(
      `SELECT rowset_id, partition_id, start_version, end_version, row_count, bytes, segments,
              vault_id, txn_id, created_ms, tablet_id, source_group
       FROM rowset
       WHERE txn_id >= ? AND txn_id <= ? AND (txn_id, tablet_id, rowset_id) > (?, ?, ?)
       ORDER BY txn_id, tablet_id, rowset_id LIMIT ?`,
      [after.txnId, lastTxn, after.txnId, after.tabletId, after.rowsetId, limit],
    );
    const versions = new Map<number, number>();
    const rowsets: RowsetMeta[] = [];
    for (const row of rows) {
      const [, partitionId, , endVersion, , , , , , , tablet, writtenBy] = row;
      const tabletId = id<TabletId>(tablet);
      if (sourceGroup !== undefined && writtenBy !== sourceGroup) continue;
      if (endVersion > this.#visibleVersion(partitionId, versions)) continue;
      if (this.#tablets.get(tabletId) === undefined) continue;
      rowsets.push(toRowset(tabletId, row));
    }
    const last = rows.length < limit ? undefined : rows.at(-1);
    const next =
      last === undefined ? undefined : { txnId: last[8], tabletId: last[10], rowsetId: last[0] };
    return { rowsets, next };
  }

  /** Forgets events of a source up to and with `seq`, at most `limit`; how many. */
  async truncate(sourceGroup: string, seq: number, limit: number): Promise<number> {
    const [first] = this.#session.bulk.all<[number | null]>(
      'SELECT min(seq) FROM rowset_event WHERE source_group = ?',
      [sourceGroup],
    );
    const from = first?.[0] ?? null;
    if (from === null || from > seq) return 0;
    const to = Math.min(seq, from + limit - 1);
    return this.#session.write(async (tx) =>
      tx.bulk.run('DELETE FROM rowset_event WHERE source_group = ? AND seq <= ?', [
        sourceGroup,
        to,
      ]),
    );
  }

  /** 0: the partition is gone. */
  #visibleVersion(partitionId: number, known: Map<number, number>): number {
    let version = known.get(partitionId);
    if (version === undefined) {
      const [row] = this.#session.bulk.all<[number]>(
        "SELECT visible_version FROM partition_def WHERE partition_id = ? AND state = 'NORMAL'",
        [id<PartitionId>(partitionId)],
      );
      version = row?.[0] ?? 0;
      known.set(partitionId, version);
    }
    return version;
  }
}
