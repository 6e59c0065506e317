/** Rowsets: what a reader of a tablet has to read. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { id, rowsetId } from '../base/ids.ts';
import type { PartitionId, RowsetId, TabletId, TxnId, VaultId } from '../base/ids.ts';
import type { NewRowset, RowsetMeta, SegmentMeta } from '../base/schema.ts';
import type { Session, WriteSession } from './session.ts';
import type { TabletIndex } from './tablet_index.ts';

/** Tablets read before the event loop gets its turn. */
const TABLETS_PER_TURN = 500;

export type RowsetColumns = [
  rowsetId: string,
  partitionId: number,
  startVersion: number,
  endVersion: number,
  rows: number,
  bytes: number,
  segments: string,
  vaultId: number,
  txnId: number,
  createdMs: number,
];

export class RowsetStore {
  readonly #session: Session;
  readonly #tablets: TabletIndex;

  constructor(session: Session, tablets: TabletIndex) {
    this.#session = session;
    this.#tablets = tablets;
  }

  /**
   * Another number whenever somebody has committed anything: what was read from the catalog at the
   * same number before is still what there is.
   */
  get dataVersion(): number {
    return this.#session.bulk.dataVersion();
  }

  /**
   * The visible rowsets of each tablet, by version. A consistent snapshot over all partitions: the
   * visible versions are taken at once. Tablets that do not exist (dropped meanwhile) have no
   * entry; empty ones have an empty list.
   */
  async visible(tabletIds: readonly TabletId[]): Promise<Map<TabletId, RowsetMeta[]>> {
    for (let perTurn = TABLETS_PER_TURN; ; perTurn *= 8) {
      const result = await this.#snapshot(tabletIds, perTurn);
      if (result !== undefined) return result;
    }
  }

  /**
   * undefined: while the loop had its turn, a compaction merged rowsets of the snapshot with later
   * ones, so that what there was at its versions cannot be read any more. The next try takes newer
   * versions and more tablets per turn, so that one of them succeeds.
   */
  async #snapshot(
    tabletIds: readonly TabletId[],
    perTurn: number,
  ): Promise<Map<TabletId, RowsetMeta[]> | undefined> {
    const versions = this.#visibleVersions(tabletIds);
    const result = new Map<TabletId, RowsetMeta[]>();
    let sinceTurn = 0;
    for (const tabletId of tabletIds) {
      const partitionId = this.#tablets.get(tabletId)?.partitionId;
      const version = partitionId === undefined ? undefined : versions.get(partitionId);
      if (version === undefined) continue;
      const rowsets = this.#ofTablet(tabletId, version);
      if (rowsets.some((rowset) => rowset.endVersion > version)) return undefined;
      result.set(tabletId, rowsets);
      sinceTurn += 1;
      if (sinceTurn % perTurn === 0) await nextTurn();
    }
    return result;
  }

  /** Whether the catalog has the rowset: it was not replaced, and its tablet not dropped. */
  isThere(tabletId: TabletId, rowset: RowsetId): boolean {
    const found = this.#session.bulk.all(
      'SELECT rowset_id FROM rowset WHERE tablet_id = ? AND rowset_id = ?',
      [tabletId, rowset],
    );
    return found.length > 0;
  }

  /** One synchronous pass over the partitions touched. */
  #visibleVersions(tabletIds: readonly TabletId[]): Map<PartitionId, number> {
    const versions = new Map<PartitionId, number>();
    for (const tabletId of tabletIds) {
      const partitionId = this.#tablets.get(tabletId)?.partitionId;
      if (partitionId === undefined || versions.has(partitionId)) continue;
      const [row] = this.#session.bulk.all<[number]>(
        "SELECT visible_version FROM partition_def WHERE partition_id = ? AND state = 'NORMAL'",
        [partitionId],
      );
      if (row !== undefined) versions.set(partitionId, row[0]);
    }
    return versions;
  }

  #ofTablet(tabletId: TabletId, version: number): RowsetMeta[] {
    const rows = this.#session.bulk.all<RowsetColumns>(
      `SELECT rowset_id, partition_id, start_version, end_version, row_count, bytes, segments,
              vault_id, txn_id, created_ms
       FROM rowset WHERE tablet_id = ? AND start_version <= ?`,
      [tabletId, version],
    );
    return rows
      .map((row) => toRowset(tabletId, row))
      .sort((a, b) => a.startVersion - b.startVersion);
  }
}

/** Inserts a rowset above the visible version and counts it in its tablet's row. */
export function insertRowset(
  tx: WriteSession,
  rowset: NewRowset,
  place: {
    readonly version: number;
    /** Of the first version merged into it; default: `version`. */
    readonly startVersion?: number;
    readonly vaultId: VaultId;
    readonly txnId: TxnId;
    /** Compute group whose backend wrote it; empty: unknown. */
    readonly sourceGroup: string;
    /** Wall clock of the newest rows' load; default: now. */
    readonly createdMs?: number;
  },
): void {
  tx.bulk.run(
    `INSERT INTO rowset (tablet_id, rowset_id, partition_id, start_version, end_version,
       row_count, bytes, segments, vault_id, txn_id, created_ms, source_group)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    [
      rowset.tabletId,
      rowset.rowsetId,
      rowset.partitionId,
      place.startVersion ?? place.version,
      place.version,
      rowset.rows,
      rowset.bytes,
      JSON.stringify(rowset.segments),
      place.vaultId,
      place.txnId,
      place.createdMs ?? tx.clock.now(),
      place.sourceGroup,
    ],
  );
  addTabletSize(tx, rowset.tabletId, rowset.bytes, rowset.rows);
}

/** A tablet's row always says the sum over its rowset rows. */
export function addTabletSize(
  tx: WriteSession,
  tabletId: number,
  bytes: number,
  rows: number,
): void {
  tx.bulk.run(
    'UPDATE tablet SET bytes = bytes + ?, row_count = row_count + ? WHERE tablet_id = ?',
    [bytes, rows, tabletId],
  );
}

export function toRowset(
  tabletId: TabletId,
  row: readonly [...RowsetColumns, ...unknown[]],
): RowsetMeta {
  return {
    rowsetId: rowsetId(row[0]),
    tabletId,
    partitionId: id<PartitionId>(row[1]),
    startVersion: row[2],
    endVersion: row[3],
    rows: row[4],
    bytes: row[5],
    segments: JSON.parse(row[6]) as SegmentMeta[],
    vaultId: id<VaultId>(row[7]),
    txnId: id<TxnId>(row[8]),
    createdMs: row[9],
  };
}
