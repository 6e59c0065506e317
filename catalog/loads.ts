/** Load transactions and their labels. `load_commit.ts` makes a load visible. */
import { SqlError } from '../base/errors.ts';
import { id } from '../base/ids.ts';
import type { DatabaseId, TableId, TxnId } from '../base/ids.ts';
import type { CatalogRows, LoadState } from './rows.ts';
import type { Session, WriteSession } from './session.ts';
import { expectOne } from './stale_row.ts';
import { upsert } from './upsert.ts';

/** Longest reason kept with an aborted load, characters. */
const REASON_MAX = 2000;
const LABEL = /^[-_A-Za-z0-9.:]{1,128}$/;

export interface LoadTxn {
  readonly txnId: TxnId;
  readonly databaseId: DatabaseId;
  readonly tableId: TableId;
  readonly label: string;
  readonly state: LoadState;
  /** Why it was aborted; else empty. */
  readonly reason: string;
  readonly rows: number;
  readonly filteredRows: number;
  readonly bytes: number;
  readonly createdMs: number;
  readonly finishedMs: number | null;
  /** From createdMs on; then an unfinished load is aborted. */
  readonly timeoutMs: number;
}

export interface NewLoad {
  readonly databaseId: DatabaseId;
  readonly tableId: TableId;
  /** 1..128 of letters, digits, `-_.:`; unique among the database's loads that did not fail. */
  readonly label: string;
  readonly timeoutMs: number;
}

export type BeginLoad =
  | { readonly status: 'BEGUN'; readonly txn: LoadTxn }
  /** The label belongs to a load that is running or visible. */
  | { readonly status: 'LABEL_EXISTS'; readonly txn: LoadTxn };

type LoadRow = CatalogRows['load_txn'];

export class LoadStore {
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  /** The label of an aborted load may be used again. Throws BAD_LABEL. */
  async begin(load: NewLoad): Promise<BeginLoad> {
    const { label, databaseId } = load;
    if (!LABEL.test(label)) {
      throw new SqlError('BAD_LABEL', { label: label.slice(0, 128).replaceAll(/\p{Cc}/gu, '?') });
    }
    return this.#session.write(async (tx): Promise<BeginLoad> => {
      const known = await new LoadStore(tx).findLabel(databaseId, label);
      if (known !== undefined && known.state !== 'ABORTED') {
        return { status: 'LABEL_EXISTS', txn: known };
      }
      const row = newRow(tx, load);
      await tx.db.insertInto('load_txn').values(row).execute();
      await upsert(
        tx.db
          .updateTable('load_label')
          .set({ txn_id: row.txn_id })
          .where('database_id', '=', databaseId)
          .where('label', '=', label),
        tx.db
          .insertInto('load_label')
          .values({ database_id: databaseId, label, txn_id: row.txn_id }),
      );
      return { status: 'BEGUN', txn: toLoad(row) };
    });
  }

  async find(txnId: TxnId): Promise<LoadTxn | undefined> {
    const row = await this.#session.db
      .selectFrom('load_txn')
      .selectAll()
      .where('txn_id', '=', txnId)
      .executeTakeFirst();
    return row === undefined ? undefined : toLoad(row);
  }

  /** The load that has the label now. */
  async findLabel(databaseId: DatabaseId, label: string): Promise<LoadTxn | undefined> {
    const row = await this.#session.db
      .selectFrom('load_label')
      .innerJoin('load_txn', 'load_txn.txn_id', 'load_label.txn_id')
      .selectAll('load_txn')
      .where('load_label.database_id', '=', databaseId)
      .where('load_label.label', '=', label)
      .executeTakeFirst();
    return row === undefined ? undefined : toLoad(row);
  }

  /** Newest first. */
  async list(databaseId: DatabaseId, limit: number): Promise<LoadTxn[]> {
    const rows = await this.#session.db
      .selectFrom('load_txn')
      .selectAll()
      .where('database_id', '=', databaseId)
      .orderBy('created_ms', 'desc')
      .orderBy('txn_id', 'desc')
      .limit(limit)
      .execute();
    return rows.map(toLoad);
  }

  /** PREPARE loads whose time is over. */
  async timedOut(limit: number): Promise<LoadTxn[]> {
    const now = this.#session.clock.now();
    const rows = await this.#session.db
      .selectFrom('load_txn')
      .selectAll()
      .where('state', '=', 'PREPARE')
      .where(({ eb }) => eb(eb('created_ms', '+', eb.ref('timeout_ms')), '<=', now))
      .limit(limit)
      .execute();
    return rows.map(toLoad);
  }

  /**
   * PREPARE → ABORTED. Aborting an aborted load is no error; LOAD_TXN_UNKNOWN for an unknown one
   * or one that is being committed or visible.
   */
  async abort(txnId: TxnId, reason: string): Promise<void> {
    await this.#session.write(async (tx) => {
      const row = await tx.db
        .selectFrom('load_txn')
        .selectAll()
        .where('txn_id', '=', txnId)
        .executeTakeFirst();
      if (row?.state === 'ABORTED') return;
      if (row?.state !== 'PREPARE') {
        throw new SqlError('LOAD_TXN_UNKNOWN', { txnId, state: row?.state ?? 'forgotten' });
      }
      await moveLoad(tx, row, 'ABORTED', {
        reason: reason.slice(0, REASON_MAX),
        finished_ms: tx.clock.now(),
      });
    });
  }

  /** Forgets up to `limit` loads, labels included, that ended before `beforeMs`; how many. */
  async expire(beforeMs: number, limit: number): Promise<number> {
    return this.#session.write(async (tx) => {
      const rows = await tx.db
        .selectFrom('load_txn')
        .select(['txn_id', 'database_id', 'label'])
        .where('state', 'in', ['VISIBLE', 'ABORTED'])
        .where('finished_ms', '<', beforeMs)
        .limit(limit)
        .execute();
      for (const row of rows) {
        tx.bulk.run('DELETE FROM load_label WHERE database_id = ? AND label = ? AND txn_id = ?', [
          row.database_id,
          row.label,
          row.txn_id,
        ]);
        tx.bulk.run('DELETE FROM load_txn WHERE txn_id = ?', [row.txn_id]);
      }
      return rows.length;
    });
  }
}

/** The guarded change of a load's state; throws `StaleRow`. */
export async function moveLoad(
  tx: WriteSession,
  before: LoadRow,
  state: LoadState,
  columns: Partial<LoadRow>,
): Promise<void> {
  const result = await tx.db
    .updateTable('load_txn')
    .set({ ...columns, state, version: before.version + 1 })
    .where('txn_id', '=', before.txn_id)
    .where('state', '=', before.state)
    .where('version', '=', before.version)
    .executeTakeFirst();
  expectOne(result.numUpdatedRows, `load transaction ${before.txn_id}`);
}

function newRow(tx: WriteSession, load: NewLoad): LoadRow {
  return {
    txn_id: tx.ids.next<TxnId>(),
    database_id: load.databaseId,
    table_id: load.tableId,
    label: load.label,
    state: 'PREPARE',
    version: 1,
    reason: '',
    row_count: 0,
    filtered_rows: 0,
    bytes: 0,
    created_ms: tx.clock.now(),
    finished_ms: null,
    timeout_ms: load.timeoutMs,
  };
}

export function toLoad(row: LoadRow): LoadTxn {
  return {
    txnId: id<TxnId>(row.txn_id),
    databaseId: id<DatabaseId>(row.database_id),
    tableId: id<TableId>(row.table_id),
    label: row.label,
    state: row.state,
    reason: row.reason,
    rows: row.row_count,
    filteredRows: row.filtered_rows,
    bytes: row.bytes,
    createdMs: row.created_ms,
    finishedMs: row.finished_ms,
    timeoutMs: row.timeout_ms,
  };
}
