/**
 * Compactions: the rowset one will write is known before its first object is, the commit replaces
 * the inputs by it in one transaction, and what comes to nothing leaves a garbage item.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { SqlError } from '../base/errors.ts';
import { id, rowsetId } from '../base/ids.ts';
import type { BackendId, RowsetId, TableId, TabletId, TxnId, VaultId } from '../base/ids.ts';
import type { NewRowset } from '../base/schema.ts';
import { isDuplicateKey } from './driver_errors.ts';
import { groupOfBackend, recordRowsetEvent } from './rowset_events.ts';
import { addTabletSize, insertRowset } from './rowsets.ts';
import type { CatalogRows, CompactionKind } from './rows.ts';
import type { Session, WriteSession } from './session.ts';
import type { TabletIndex } from './tablet_index.ts';
import { upsert } from './upsert.ts';

/** Inputs of one compaction at most: two rows each in the transaction that commits it. */
export const COMPACTION_INPUTS_MAX = 900;
/** Longest error kept with a tablet, characters. */
const ERROR_MAX = 500;
/** Compactions that one transaction gives up. */
const ABANDONED_PER_TRANSACTION = 200;

export interface NewCompaction {
  readonly tabletId: TabletId;
  readonly tableId: TableId;
  readonly vaultId: VaultId;
  /** The output's. */
  readonly rowsetId: RowsetId;
  readonly kind: CompactionKind;
  readonly backendId: BackendId;
  readonly inputRowsets: number;
  readonly inputBytes: number;
}

export interface Compaction extends NewCompaction {
  readonly compactionId: number;
  readonly startMs: number;
}

export interface CompactionResult {
  /** In the order of their versions, without gaps among the tablet's rowsets. */
  readonly inputs: readonly RowsetId[];
  readonly output: NewRowset;
  /** Bytes of the inputs' objects that were read. */
  readonly bytesRead: number;
  /** Wall clock from which on the inputs' objects may be deleted. */
  readonly inputsGarbageMs: number;
}

/** What became of a tablet's compactions. */
export interface TabletCompaction {
  readonly tabletId: TabletId;
  /** Of the last one. */
  readonly kind: CompactionKind;
  /** When the last one ended, well or not. */
  readonly endMs: number;
  /** null: none has succeeded. */
  readonly successMs: number | null;
  /** Why the last one failed; empty: it did not. */
  readonly error: string;
  /** That succeeded, and the bytes they read and wrote. */
  readonly compactions: number;
  readonly bytesRead: number;
  readonly bytesWritten: number;
}

/** A rowset as far as it matters for choosing what to merge. */
export interface RowsetSize {
  readonly rowsetId: RowsetId;
  readonly startVersion: number;
  readonly endVersion: number;
  readonly bytes: number;
  readonly rows: number;
}

/** Thrown inside the commit: somebody else changed the tablet; nothing is wrong. */
class Superseded extends Error {}

export class CompactionStore {
  readonly #session: Session;
  readonly #tablets: TabletIndex;

  constructor(session: Session, tablets: TabletIndex) {
    this.#session = session;
    this.#tablets = tablets;
  }

  /** undefined: one of the tablet is running, the tablet is gone, or its table is being altered. */
  async begin(compaction: NewCompaction): Promise<Compaction | undefined> {
    const { tabletId, tableId, vaultId, kind, backendId, inputRowsets, inputBytes } = compaction;
    try {
      return await this.#session.write(async (tx) => {
        if (!mayCompact(tx, tabletId)) return undefined;
        const row: CatalogRows['compaction'] = {
          compaction_id: tx.ids.next<TxnId>(),
          tablet_id: tabletId,
          table_id: tableId,
          vault_id: vaultId,
          rowset_id: compaction.rowsetId,
          kind,
          backend_id: backendId,
          input_rowsets: inputRowsets,
          input_bytes: inputBytes,
          start_ms: tx.clock.now(),
        };
        await tx.db.insertInto('compaction').values(row).execute();
        return toCompaction(row);
      });
    } catch (error) {
      if (isDuplicateKey(error)) return undefined;
      throw error;
    }
  }

  /** Those that run, by tablet. */
  async running(): Promise<Compaction[]> {
    const rows = await this.#session.db
      .selectFrom('compaction')
      .selectAll()
      .orderBy('tablet_id')
      .execute();
    return rows.map(toCompaction);
  }

  /**
   * Replaces the inputs by the output, for readers at once. False when it came too late: the
   * compaction was given up, its table is gone or being altered, or an input is gone. Then the
   * caller gives it up.
   */
  async commit(compaction: Compaction, result: CompactionResult): Promise<boolean> {
    try {
      await this.#session.write((tx) => this.#commit(tx, compaction, result));
      return true;
    } catch (error) {
      if (error instanceof Superseded) return false;
      throw error;
    }
  }

  /**
   * Ends a compaction that did not commit: its objects become garbage at `garbageMs`. `error`
   * stays to be seen with the tablet; empty: nothing went wrong. No error when it has ended.
   */
  async giveUp(compaction: Compaction, error: string, garbageMs: number): Promise<void> {
    await this.#session.write(async (tx) => {
      if (!removeRunning(tx, compaction.compactionId)) return;
      addGarbage(tx, compaction, compaction.rowsetId, 'compaction failed', garbageMs);
      if (error !== '' && exists(tx, compaction.tabletId)) {
        await this.#remember(tx, compaction, { error: error.slice(0, ERROR_MAX) });
      }
    });
  }

  /** For the start: those of the server before. Answers their tablets. */
  async abandonAll(garbageMs: number): Promise<TabletId[]> {
    const tablets: TabletId[] = [];
    for (;;) {
      const some = (await this.running()).slice(0, ABANDONED_PER_TRANSACTION);
      if (some.length === 0) return tablets;
      await this.#session.write(async (tx) => {
        for (const compaction of some) {
          removeRunning(tx, compaction.compactionId);
          addGarbage(tx, compaction, compaction.rowsetId, 'compaction interrupted', garbageMs);
        }
      });
      tablets.push(...some.map(({ tabletId }) => tabletId));
      await nextTurn();
    }
  }

  /** undefined: none of the tablet has ended yet. */
  lastOf(tabletId: TabletId): TabletCompaction | undefined {
    const [row] = this.#session.bulk.all<
      [CompactionKind, number, number | null, string, number, number, number]
    >(
      `SELECT kind, end_ms, success_ms, error, compactions, bytes_read, bytes_written
       FROM tablet_compaction WHERE tablet_id = ?`,
      [tabletId],
    );
    if (row === undefined) return undefined;
    const [kind, endMs, successMs, error, compactions, bytesRead, bytesWritten] = row;
    return { tabletId, kind, endMs, successMs, error, compactions, bytesRead, bytesWritten };
  }

  /** The tablet's visible rowsets by version; empty when it is gone. */
  sizes(tabletId: TabletId): RowsetSize[] {
    const rows = this.#session.bulk.all<[string, number, number, number, number]>(
      `SELECT rowset.rowset_id, start_version, end_version, bytes, row_count
       FROM rowset INNER JOIN partition_def ON partition_def.partition_id = rowset.partition_id
       WHERE tablet_id = ? AND partition_def.state = 'NORMAL' AND end_version <= visible_version
       ORDER BY start_version`,
      [tabletId],
    );
    return rows.map(([rowset, startVersion, endVersion, bytes, count]) => ({
      rowsetId: rowsetId(rowset),
      startVersion,
      endVersion,
      bytes,
      rows: count,
    }));
  }

  /** Rowset rows of the tablet, visible or not; cheap. */
  rowsetCount(tabletId: TabletId): number {
    const [row] = this.#session.bulk.all<[number]>(
      'SELECT count(*) FROM rowset WHERE tablet_id = ?',
      [tabletId],
    );
    return row?.[0] ?? 0;
  }

  /** The compute group whose backend wrote the rowset; empty: unknown, or it is gone. */
  sourceGroupOf(tabletId: TabletId, rowset: RowsetId): string {
    const [row] = this.#session.bulk.all<[string]>(
      'SELECT source_group FROM rowset WHERE tablet_id = ? AND rowset_id = ?',
      [tabletId, rowset],
    );
    return row?.[0] ?? '';
  }

  /** Tablets in which a transaction made rowsets, by id, behind `after`, at most `limit`. */
  tabletsOfTxn(txnId: TxnId, after: number, limit: number): TabletId[] {
    const rows = this.#session.bulk.all<[number]>(
      'SELECT tablet_id FROM rowset WHERE txn_id = ? AND tablet_id > ? ORDER BY tablet_id LIMIT ?',
      [txnId, after, limit],
    );
    return rows.map(([tabletId]) => id<TabletId>(tabletId));
  }

  /**
   * Looks at `limit` rowset rows from a tablet on: the tablets with at least `min` of them, and
   * where to go on; undefined: that was the end.
   */
  crowded(
    from: number,
    limit: number,
    min: number,
  ): { readonly tablets: readonly TabletId[]; readonly next: number | undefined } {
    const rows = this.#session.bulk.all<[number, number]>(
      `SELECT tablet_id, count(*) FROM
         (SELECT tablet_id FROM rowset WHERE tablet_id >= ? ORDER BY tablet_id LIMIT ?)
       GROUP BY tablet_id ORDER BY tablet_id`,
      [from, limit],
    );
    const looked = rows.reduce((sum, [, count]) => sum + count, 0);
    const last = rows.at(-1);
    const isEnd = looked < limit || last === undefined;
    // The last one may go on behind the limit: it comes again, unless it is the only one.
    const whole = isEnd || rows.length === 1 ? rows : rows.slice(0, -1);
    const tablets = whole.flatMap(([tablet, count]) =>
      count >= min ? [id<TabletId>(tablet)] : [],
    );
    if (isEnd) return { tablets, next: undefined };
    return { tablets, next: rows.length === 1 ? last[0] + 1 : last[0] };
  }

  async #commit(
    tx: WriteSession,
    compaction: Compaction,
    { inputs, output, bytesRead, inputsGarbageMs }: CompactionResult,
  ): Promise<void> {
    const { tabletId, tableId, vaultId, backendId: writer } = compaction;
    if (inputs.length > COMPACTION_INPUTS_MAX) throw new RangeError(`${inputs.length} inputs`);
    if (!removeRunning(tx, compaction.compactionId)) throw new Superseded();
    if (!mayCompact(tx, tabletId)) throw new Superseded();
    const replaced = takeInputs(tx, tabletId, inputs);
    if (replaced.rows !== output.rows) {
      const what = `compaction wrote ${output.rows} rows of ${replaced.rows}`;
      throw new SqlError('CORRUPT_OBJECT', { key: output.rowsetId, what });
    }
    addTabletSize(tx, tabletId, -replaced.bytes, -replaced.rows);
    const txnId = tx.ids.next<TxnId>();
    const sourceGroup = groupOfBackend(tx, writer);
    const { startVersion, endVersion: version, createdMs } = replaced;
    const place = { startVersion, version, createdMs, vaultId, txnId, sourceGroup };
    insertRowset(tx, output, place);
    for (const input of inputs) addGarbage(tx, compaction, input, 'compacted', inputsGarbageMs);
    const before = this.lastOf(tabletId);
    await this.#remember(tx, compaction, {
      error: '',
      success_ms: tx.clock.now(),
      compactions: (before?.compactions ?? 0) + 1,
      bytes_read: (before?.bytesRead ?? 0) + bytesRead,
      bytes_written: (before?.bytesWritten ?? 0) + output.bytes,
    });
    const { bytes } = output;
    await recordRowsetEvent(tx, {
      sourceGroup,
      txnId,
      tableId,
      kind: 'COMPACTION',
      rowsets: 1,
      bytes,
      writer,
    });
    tx.onCommit(() => {
      this.#tablets.addSize(tabletId, bytes - replaced.bytes, 0);
    });
  }

  async #remember(
    tx: WriteSession,
    { tabletId, kind }: Compaction,
    change: Partial<CatalogRows['tablet_compaction']> & { readonly error: string },
  ): Promise<void> {
    const ended = { ...change, kind, end_ms: tx.clock.now() };
    await upsert(
      tx.db.updateTable('tablet_compaction').set(ended).where('tablet_id', '=', tabletId),
      tx.db.insertInto('tablet_compaction').values({
        success_ms: null,
        compactions: 0,
        bytes_read: 0,
        bytes_written: 0,
        ...ended,
        tablet_id: tabletId,
      }),
    );
  }
}

interface Replaced {
  readonly startVersion: number;
  readonly endVersion: number;
  readonly rows: number;
  readonly bytes: number;
  /** Of the newest: how long its blocks are worth the TTL queue. */
  readonly createdMs: number;
}

/** Deletes the inputs' rows, or throws `Superseded` when one is not there or they have a gap. */
function takeInputs(tx: WriteSession, tabletId: TabletId, inputs: readonly RowsetId[]): Replaced {
  let [rows, bytes, createdMs] = [0, 0, 0];
  let [startVersion, endVersion] = [Infinity, 0];
  for (const input of inputs) {
    const [row] = tx.bulk.all<[number, number, number, number, number]>(
      `SELECT start_version, end_version, row_count, bytes, created_ms FROM rowset
       WHERE tablet_id = ? AND rowset_id = ?`,
      [tabletId, input],
    );
    if (row === undefined) throw new Superseded();
    startVersion = Math.min(startVersion, row[0]);
    endVersion = Math.max(endVersion, row[1]);
    rows += row[2];
    bytes += row[3];
    createdMs = Math.max(createdMs, row[4]);
    tx.bulk.run('DELETE FROM rowset WHERE tablet_id = ? AND rowset_id = ?', [tabletId, input]);
  }
  // What is left within the range was not merged: readers would see its versions twice.
  const between = tx.bulk.all(
    `SELECT rowset_id FROM rowset
     WHERE tablet_id = ? AND end_version >= ? AND start_version <= ? LIMIT 1`,
    [tabletId, startVersion, endVersion],
  );
  if (between.length > 0) throw new Superseded();
  return { startVersion, endVersion, rows, bytes, createdMs };
}

/**
 * Whether the tablet is read, and nobody is about to replace it: an ALTER that rewrites the table's
 * rowsets sees each of them once, so none may be merged while it runs.
 */
function mayCompact(tx: Session, tabletId: TabletId): boolean {
  const found = tx.bulk.all(
    `SELECT tablet.tablet_id FROM tablet
     INNER JOIN partition_def ON partition_def.partition_id = tablet.partition_id
     INNER JOIN table_def ON table_def.table_id = tablet.table_id
     INNER JOIN index_def ON index_def.table_id = tablet.table_id
       AND index_def.index_id = tablet.index_id
     WHERE tablet.tablet_id = ? AND partition_def.state = 'NORMAL'
       AND table_def.state = 'NORMAL' AND index_def.state = 'NORMAL'
       AND NOT EXISTS (SELECT 1 FROM alter_job WHERE alter_job.table_id = tablet.table_id
         AND alter_job.state IN ('PENDING', 'WAITING_TXN', 'RUNNING'))`,
    [tabletId],
  );
  return found.length > 0;
}

function exists(tx: Session, tabletId: TabletId): boolean {
  return tx.bulk.all('SELECT tablet_id FROM tablet WHERE tablet_id = ?', [tabletId]).length > 0;
}

function removeRunning(tx: WriteSession, compactionId: number): boolean {
  return tx.bulk.run('DELETE FROM compaction WHERE compaction_id = ?', [compactionId]) === 1;
}

function addGarbage(
  tx: WriteSession,
  { vaultId, tabletId }: Pick<NewCompaction, 'vaultId' | 'tabletId'>,
  rowset: RowsetId,
  reason: string,
  notBeforeMs: number,
): void {
  tx.bulk.run(
    `INSERT INTO garbage (garbage_id, vault_id, prefix, reason, not_before_ms, attempts)
     VALUES (?, ?, ?, ?, ?, 0)`,
    [tx.ids.next(), vaultId, `data/${tabletId}/${rowset}_`, reason, notBeforeMs],
  );
}

function toCompaction(row: CatalogRows['compaction']): Compaction {
  return {
    compactionId: row.compaction_id,
    tabletId: id<TabletId>(row.tablet_id),
    tableId: id<TableId>(row.table_id),
    vaultId: id<VaultId>(row.vault_id),
    rowsetId: rowsetId(row.rowset_id),
    kind: row.kind,
    backendId: id<BackendId>(row.backend_id),
    inputRowsets: row.input_rowsets,
    inputBytes: row.input_bytes,
    startMs: row.start_ms,
  };
}
