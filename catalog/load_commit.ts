/**
 * Makes a load visible: rowsets are inserted above the visible versions, in chunks when they are
 * many; the last transaction raises the versions of all partitions touched, and the load's state.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { SqlError } from '../base/errors.ts';
import { id } from '../base/ids.ts';
import type {
  BackendId,
  PartitionId,
  ReplicaId,
  TableId,
  TabletId,
  TxnId,
  VaultId,
} from '../base/ids.ts';
import type { PreparedReplicas } from '../base/replica.ts';
import type { NewRowset } from '../base/schema.ts';
import { isDuplicateKey } from './driver_errors.ts';
import { KeyedMutex } from './keyed_mutex.ts';
import { type LoadTxn, moveLoad, toLoad } from './loads.ts';
import { publishReplicated } from './replica_commit.ts';
import { missVersions } from './replicas.ts';
import { groupOfBackend, recordRowsetEvent } from './rowset_events.ts';
import { addTabletSize, insertRowset } from './rowsets.ts';
import type { CatalogRows } from './rows.ts';
import type { Session, WriteSession } from './session.ts';
import type { TableMemory } from './tables.ts';
import { partitionGone, raiseVisibleVersion, recoverVisibleVersion } from './visible_versions.ts';

/** Rowsets of one transaction: two rows each. */
const ROWSETS_PER_TRANSACTION = 800;

type LoadRow = CatalogRows['load_txn'];

export interface CommitCounts {
  readonly loadedRows: number;
  readonly filteredRows: number;
  /** Bytes the client sent. */
  readonly loadBytes: number;
}

/** The last version that a replica has without a gap. */
export interface ReplicaVersion {
  readonly replicaId: ReplicaId;
  readonly version: number;
}

/** What a backend has written. */
export interface Written extends CommitCounts {
  readonly rowsets: readonly NewRowset[];
  /** Of a replicated table, and then always: who has it. */
  readonly prepared?: readonly PreparedReplicas[];
}

interface Plan {
  readonly txnId: TxnId;
  readonly tableId: TableId;
  readonly vaultId: VaultId;
  /** Compute group of the backend that wrote the rowsets, when its commit began. */
  readonly sourceGroup: string;
  readonly writer: BackendId | undefined;
  readonly rowsets: readonly NewRowset[];
  /** Of the partitions touched, before this load. */
  readonly versions: ReadonlyMap<PartitionId, number>;
}

export class LoadCommit {
  readonly #session: Session;
  readonly #memory: TableMemory;
  /** Loads of one table commit one after the other: their versions follow each other. */
  readonly #tables = new KeyedMutex<number>();

  constructor(session: Session, memory: TableMemory) {
    this.#session = session;
    this.#memory = memory;
  }

  /**
   * All of it or nothing. A repeat of a commit that succeeded answers the same again. Throws
   * LOAD_TXN_UNKNOWN; LOAD_FAILED when a partition was dropped meanwhile, LOAD_TABLE_ALTERED when
   * the table has other indexes now, LOAD_NO_MAJORITY (the load is ABORTED then, its objects
   * garbage).
   */
  async commit(txnId: TxnId, written: Written, writer?: BackendId): Promise<LoadTxn> {
    const load = await readLoad(this.#session, txnId);
    if (load === undefined) throw new SqlError('LOAD_TXN_UNKNOWN', { txnId, state: 'forgotten' });
    return this.#tables.run(load.table_id, async () => {
      const now = await this.#session.write(async (tx) => readLoad(tx, txnId));
      if (now?.state === 'VISIBLE') return toLoad(now);
      // Nobody commits it, or we would not have the table: an earlier try could not roll back.
      if (now?.state === 'COMMITTING') await this.#rollBack(txnId, 'the commit failed before');
      if (now?.state !== 'PREPARE') {
        throw new SqlError('LOAD_TXN_UNKNOWN', { txnId, state: now?.state ?? 'forgotten' });
      }
      try {
        return await this.#commit(now, written, writer);
      } catch (error) {
        // Backends that have prepared it ask what became of it, or are told.
        const ownRowsets = written.prepared === undefined ? written.rowsets : [];
        throw await this.#fail(txnId, ownRowsets, error);
      }
    });
  }

  /** See `Catalog.recoverVersion`. */
  async recover(
    tableId: TableId,
    partitionId: PartitionId,
    version: number,
    behind: readonly ReplicaVersion[],
  ): Promise<boolean> {
    return await this.#tables.run(tableId, async () =>
      this.#session.write(async (tx) => {
        if (!recoverVisibleVersion(tx, partitionId, version)) return false;
        for (const { replicaId, version: has } of behind) {
          missVersions(tx, this.#memory.replicas, replicaId, { from: has + 1, to: version });
        }
        this.#showOnCommit(tx, tableId, new Map([[partitionId, version]]), []);
        return true;
      }),
    );
  }

  /** Runs `work` while no load of the table commits. */
  async exclusive<T>(tableId: TableId, work: () => Promise<T>): Promise<T> {
    return this.#tables.run(tableId, work);
  }

  /**
   * For `Catalog.open`: loads that ran when the process ended. COMMITTING ones are rolled back;
   * PREPARE ones are aborted, so that their labels are free: who still writes one gets
   * LOAD_TXN_UNKNOWN at its commit. Answers how many of both.
   */
  async rollBackAll(): Promise<number> {
    const rows = this.#session.bulk.all<[number]>(
      "SELECT txn_id FROM load_txn WHERE state = 'COMMITTING'",
      [],
    );
    for (const [txnId] of rows) {
      await this.#rollBack(id<TxnId>(txnId), 'the server was stopped during the commit');
    }
    let count = rows.length;
    const running = "SELECT txn_id FROM load_txn WHERE state = 'PREPARE' LIMIT 1";
    while (this.#session.bulk.all(running, []).length > 0) {
      count += await this.#session.write(abortSomeRunning);
    }
    return count;
  }

  async #commit(load: LoadRow, written: Written, writer: BackendId | undefined): Promise<LoadTxn> {
    const { rowsets, prepared } = written;
    if (prepared !== undefined) return this.#commitReplicated(load, { ...written, prepared });
    const isSmall = rowsets.length <= ROWSETS_PER_TRANSACTION;
    if (isSmall) {
      return this.#session.write(async (tx) => {
        const plan = await this.#plan(tx, load, rowsets, writer);
        for (const rowset of rowsets) insert(tx, plan, rowset);
        return this.#publish(tx, load, plan, written);
      });
    }
    const plan = await this.#session.write(async (tx) => {
      await moveLoad(tx, load, 'COMMITTING', {});
      return this.#plan(tx, load, rowsets, writer);
    });
    for (let at = 0; at < rowsets.length; at += ROWSETS_PER_TRANSACTION) {
      await this.#session.write(async (tx) => {
        for (const rowset of rowsets.slice(at, at + ROWSETS_PER_TRANSACTION)) {
          insert(tx, plan, rowset);
        }
      });
      await nextTurn();
    }
    const committing: LoadRow = { ...load, state: 'COMMITTING', version: load.version + 1 };
    return this.#session.write(async (tx) => this.#publish(tx, committing, plan, written));
  }

  async #commitReplicated(
    load: LoadRow,
    written: Written & Required<Pick<Written, 'prepared'>>,
  ): Promise<LoadTxn> {
    const { rowsets, prepared } = written;
    const { txn_id: txnId, table_id: tableId } = load;
    return this.#session.write(async (tx) => {
      const raised = publishReplicated(tx, this.#memory, { txnId, tableId, rowsets, prepared });
      const columns = finished(tx, written);
      await moveLoad(tx, load, 'VISIBLE', columns);
      this.#showOnCommit(tx, id<TableId>(tableId), raised, rowsets);
      return toLoad({ ...load, ...columns, state: 'VISIBLE' });
    });
  }

  #showOnCommit(
    tx: WriteSession,
    tableId: TableId,
    raised: ReadonlyMap<PartitionId, number>,
    rowsets: readonly NewRowset[],
  ): void {
    const visibleMs = tx.clock.now();
    tx.onCommit(() => {
      this.#memory.cache.setVersions(tableId, raised, visibleMs);
      for (const { tabletId, bytes, rows } of rowsets) {
        this.#memory.tablets.addSize(tabletId, bytes, rows);
      }
    });
  }

  async #plan(
    tx: WriteSession,
    load: LoadRow,
    rowsets: readonly NewRowset[],
    writer: BackendId | undefined,
  ): Promise<Plan> {
    const table = await tx.db
      .selectFrom('table_def')
      .select('vault_id')
      .where('table_id', '=', load.table_id)
      .where('state', '=', 'NORMAL')
      .executeTakeFirst();
    if (table === undefined) throw new SqlError('LOAD_FAILED', { why: 'the table was dropped' });
    const versions = new Map<PartitionId, number>();
    for (const { partitionId } of rowsets) {
      if (versions.has(partitionId)) continue;
      const [row] = tx.bulk.all<[number, number | null]>(
        `SELECT visible_version, replication_num FROM partition_def
         WHERE partition_id = ? AND state = 'NORMAL'`,
        [partitionId],
      );
      if (row === undefined) throw partitionGone(partitionId);
      if (row[1] !== null) throw new SqlError('LOAD_FAILED', { why: 'its replicas are not named' });
      versions.set(partitionId, row[0]);
    }
    this.#expectAllIndexes(load, rowsets);
    const vaultId = id<VaultId>(table.vault_id);
    return {
      txnId: id<TxnId>(load.txn_id),
      tableId: id<TableId>(load.table_id),
      vaultId,
      sourceGroup: writer === undefined ? '' : groupOfBackend(tx, writer),
      writer,
      rowsets,
      versions,
    };
  }

  /**
   * The indexes of a table have the same rows: what a load wrote before an ALTER replaced one or
   * added one must not become visible behind it.
   */
  #expectAllIndexes(load: LoadRow, rowsets: readonly NewRowset[]): void {
    const { tablets } = this.#memory;
    const rowsOf = new Map<string, number>();
    const written = new Map<PartitionId, Map<number, Set<number>>>();
    for (const { tabletId, partitionId, rows } of rowsets) {
      const tablet = tablets.get(tabletId);
      if (tablet === undefined) throw new SqlError('LOAD_TABLE_ALTERED');
      if (tablet.partitionId !== partitionId || tablet.tableId !== load.table_id) {
        throw new SqlError('LOAD_FAILED', { why: `tablet ${tabletId} is not the table's` });
      }
      const place = `${partitionId}/${tablet.bucket}`;
      if ((rowsOf.get(place) ?? rows) !== rows) {
        throw new SqlError('LOAD_FAILED', { why: `indexes got different rows (${place})` });
      }
      rowsOf.set(place, rows);
      const buckets = written.get(partitionId) ?? new Map<number, Set<number>>();
      const indexes = buckets.get(tablet.bucket) ?? new Set<number>();
      written.set(partitionId, buckets.set(tablet.bucket, indexes.add(tablet.indexId)));
    }
    for (const [partitionId, buckets] of written) {
      const expected = tablets.indexesOf(partitionId);
      for (const indexes of buckets.values()) {
        if (indexes.size !== expected) throw new SqlError('LOAD_TABLE_ALTERED');
      }
    }
  }

  async #publish(
    tx: WriteSession,
    load: LoadRow,
    plan: Plan,
    counts: CommitCounts,
  ): Promise<LoadTxn> {
    const raised = new Map<PartitionId, number>();
    for (const [partitionId, version] of plan.versions) {
      raiseVisibleVersion(tx, partitionId, version);
      raised.set(partitionId, version + 1);
    }
    const columns = finished(tx, counts);
    await moveLoad(tx, load, 'VISIBLE', columns);
    await recordRowsetEvent(tx, {
      sourceGroup: plan.sourceGroup,
      txnId: plan.txnId,
      tableId: plan.tableId,
      kind: 'LOAD',
      rowsets: plan.rowsets.length,
      bytes: plan.rowsets.reduce((sum, rowset) => sum + rowset.bytes, 0),
      ...(plan.writer === undefined ? {} : { writer: plan.writer }),
    });
    this.#showOnCommit(tx, plan.tableId, raised, plan.rowsets);
    return toLoad({ ...load, ...columns, state: 'VISIBLE' });
  }

  /** What to throw. The load is aborted when the cause is the load's own. */
  async #fail(txnId: TxnId, rowsets: readonly NewRowset[], error: unknown): Promise<unknown> {
    const cause = isDuplicateKey(error)
      ? new SqlError('LOAD_FAILED', { why: 'a rowset was committed before' }, { cause: error })
      : error;
    const reason = cause instanceof Error ? cause.message : String(cause);
    const load = await readLoad(this.#session, txnId);
    if (load?.state === 'COMMITTING') {
      await this.#rollBack(txnId, reason);
      await this.#discard(load.table_id, rowsets);
    } else if (load?.state === 'PREPARE' && cause instanceof SqlError && isFinal(cause)) {
      await this.#session.write((tx) =>
        moveLoad(tx, load, 'ABORTED', { reason, finished_ms: tx.clock.now() }),
      );
      await this.#discard(load.table_id, rowsets);
    }
    return cause;
  }

  /** Objects of a load that failed, unless a rowset in the catalog owns them. */
  async #discard(tableId: number, rowsets: readonly NewRowset[]): Promise<void> {
    const vaultId = await this.#vaultOf(tableId);
    if (vaultId === undefined) return;
    for (let at = 0; at < rowsets.length; at += ROWSETS_PER_TRANSACTION) {
      await this.#session.write(async (tx) => {
        for (const { tabletId, rowsetId } of rowsets.slice(at, at + ROWSETS_PER_TRANSACTION)) {
          const owners = tx.bulk.all(
            'SELECT txn_id FROM rowset WHERE tablet_id = ? AND rowset_id = ?',
            [tabletId, rowsetId],
          );
          if (owners.length === 0) addGarbage(tx, vaultId, tabletId, rowsetId);
        }
      });
    }
  }

  /** undefined when the table is purged: its tablets' prefixes are garbage then. */
  async #vaultOf(tableId: number): Promise<number | undefined> {
    const row = await this.#session.db
      .selectFrom('table_def')
      .select('vault_id')
      .where('table_id', '=', tableId)
      .executeTakeFirst();
    return row?.vault_id;
  }

  async #rollBack(txnId: TxnId, reason: string): Promise<void> {
    for (;;) {
      const isDone = await this.#session.write(async (tx) => {
        const rows = tx.bulk.all<[number, string, number, number, number]>(
          `SELECT tablet_id, rowset_id, bytes, row_count, vault_id FROM rowset
           WHERE txn_id = ? LIMIT ${ROWSETS_PER_TRANSACTION / 2}`,
          [txnId],
        );
        for (const [tabletId, rowsetId, bytes, count, vaultId] of rows) {
          tx.bulk.run('DELETE FROM rowset WHERE tablet_id = ? AND rowset_id = ?', [
            tabletId,
            rowsetId,
          ]);
          addTabletSize(tx, tabletId, -bytes, -count);
          addGarbage(tx, vaultId, tabletId, rowsetId);
        }
        if (rows.length > 0) return false;
        const load = await readLoad(tx, txnId);
        if (load === undefined) throw new Error(`load ${txnId} vanished`);
        await moveLoad(tx, load, 'ABORTED', { reason, finished_ms: tx.clock.now() });
        return true;
      });
      if (isDone) return;
      await nextTurn();
    }
  }
}

/** PREPARE → ABORTED for some loads; how many. */
async function abortSomeRunning(tx: WriteSession): Promise<number> {
  const rows = await tx.db
    .selectFrom('load_txn')
    .selectAll()
    .where('state', '=', 'PREPARE')
    .limit(ROWSETS_PER_TRANSACTION)
    .execute();
  const columns = { reason: 'the server was restarted', finished_ms: tx.clock.now() };
  for (const row of rows) await moveLoad(tx, row, 'ABORTED', columns);
  return rows.length;
}

/** Errors after which a repeat cannot succeed; after others the backend may try again. */
function isFinal(error: SqlError): boolean {
  const { code } = error;
  return code === 'LOAD_FAILED' || code === 'LOAD_TABLE_ALTERED' || code === 'LOAD_NO_MAJORITY';
}

function finished(tx: WriteSession, counts: CommitCounts) {
  return {
    row_count: counts.loadedRows,
    filtered_rows: counts.filteredRows,
    bytes: counts.loadBytes,
    finished_ms: tx.clock.now(),
  };
}

function insert(tx: WriteSession, plan: Plan, rowset: NewRowset): void {
  const before = plan.versions.get(rowset.partitionId);
  if (before === undefined) throw new Error(`no version for partition ${rowset.partitionId}`);
  const { vaultId, txnId, sourceGroup } = plan;
  insertRowset(tx, rowset, { version: before + 1, vaultId, txnId, sourceGroup });
}

function addGarbage(tx: WriteSession, vaultId: number, tabletId: number, rowset: string): void {
  tx.bulk.run(
    `INSERT INTO garbage (garbage_id, vault_id, prefix, reason, not_before_ms, attempts)
     VALUES (?, ?, ?, 'load aborted', ?, 0)`,
    [tx.ids.next(), vaultId, `data/${id<TabletId>(tabletId)}/${rowset}_`, tx.clock.now()],
  );
}

async function readLoad(session: Session, txnId: TxnId): Promise<LoadRow | undefined> {
  return session.db
    .selectFrom('load_txn')
    .selectAll()
    .where('txn_id', '=', txnId)
    .executeTakeFirst();
}
