/**
 * Removes what is invisible: dropped tables and partitions, leaving garbage items for their
 * objects, and what an interrupted CREATE wrote, which has no objects. In small transactions;
 * whatever is left at a crash is found again by its state.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { id } from '../base/ids.ts';
import type { IndexId, PartitionId, TableId, TabletId } from '../base/ids.ts';
import type { Log } from '../base/ports.ts';
import { tabletPrefix } from '../base/schema.ts';
import { dropReplicas } from './replicas.ts';
import type { PresenceState } from './rows.ts';
import type { Session, WriteSession } from './session.ts';
import { type TableMemory, moveTable } from './tables.ts';

/** Tablets of one transaction: per tablet a garbage row and its rowsets. */
const TABLETS_PER_TRANSACTION = 300;
/** Rowset rows after which a transaction ends before its tablets do. */
const ROWSETS_PER_TRANSACTION = 1000;
/** Tables of a dropped database that one transaction marks. */
const TABLES_PER_TRANSACTION = 300;

export class Purger {
  readonly #session: Session;
  readonly #memory: Pick<TableMemory, 'tablets' | 'replicas'>;
  readonly #log: Log;
  /** Readers that took a tablet's rowsets before the drop get this long, milliseconds. */
  readonly #graceMs: number;
  #isStopped = false;
  #isAsked = false;
  #running: Promise<void> | undefined;

  constructor(
    session: Session,
    memory: Pick<TableMemory, 'tablets' | 'replicas'>,
    log: Log,
    graceMs: number,
  ) {
    this.#session = session;
    this.#memory = memory;
    this.#log = log;
    this.#graceMs = graceMs;
  }

  /** Starts a pass in the background, or another one after the one that runs. */
  start(): void {
    this.#isAsked = true;
    if (this.#isStopped) return;
    this.#running ??= this.#loop();
  }

  /** Resolves when nothing is being purged. */
  async idle(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
  }

  /** Ends after the transaction that runs; the rest is for the next start. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#running;
  }

  /** For `Catalog.open`: nobody creates anything yet, so what is CREATING never gets ready. */
  async abandonAll(): Promise<void> {
    for (const table of await this.#inState('table_def', 'CREATING')) {
      await this.abandonTable(id<TableId>(table));
    }
    const partitions = await this.#inState('partition_def', 'CREATING');
    await this.abandonPartitions(partitions.map((partition) => id<PartitionId>(partition)));
  }

  /** Removes a table that was never visible. */
  async abandonTable(tableId: TableId): Promise<void> {
    await this.#purgeTable(tableId, 'CREATING');
  }

  /** Removes partitions that were never visible. */
  async abandonPartitions(partitionIds: readonly PartitionId[]): Promise<void> {
    for (const partitionId of partitionIds) await this.#purgePartition(partitionId, 'CREATING');
  }

  async #loop(): Promise<void> {
    // What asks, asks from within a commit: begin when that is over.
    await nextTurn();
    try {
      while (this.#isAsked && !this.#isStopped) {
        this.#isAsked = false;
        await this.#pass();
      }
    } catch (error) {
      this.#log.error('purging dropped tables failed; it goes on with the next drop or start', {
        error,
      });
    } finally {
      this.#running = undefined;
    }
    if (this.#isAsked && !this.#isStopped) this.start();
  }

  async #pass(): Promise<void> {
    while (!this.#isStopped && (await this.#markOrphans()));
    for (const table of await this.#inState('table_def', 'DROPPED')) {
      await this.#purgeTable(id<TableId>(table), 'DROPPED');
    }
    for (const partition of await this.#inState('partition_def', 'DROPPED')) {
      await this.#purgePartition(id<PartitionId>(partition), 'DROPPED');
    }
    const indexes = this.#session.bulk.all<[TableId, IndexId]>(
      "SELECT table_id, index_id FROM index_def WHERE state = 'DROPPED' ORDER BY table_id",
      [],
    );
    for (const [tableId, indexId] of indexes) await this.#purgeIndex(tableId, indexId);
  }

  /** In every state. */
  async #partitionsOf(tableId: TableId): Promise<readonly PartitionId[]> {
    const rows = await this.#session.db
      .selectFrom('partition_def')
      .select('partition_id')
      .where('table_id', '=', tableId)
      .execute();
    return rows.map((row) => id<PartitionId>(row.partition_id));
  }

  /** An index that was dropped or replaced, or an alter job gave up; its table stays. */
  async #purgeIndex(tableId: TableId, indexId: IndexId): Promise<void> {
    for (const partitionId of await this.#partitionsOf(tableId)) {
      await this.#purgePartition(partitionId, 'DROPPED', indexId);
    }
    if (this.#isStopped) return;
    await this.#session.write(async (tx) => {
      await tx.db
        .deleteFrom('index_def')
        .where('table_id', '=', tableId)
        .where('index_id', '=', indexId)
        .where('state', '=', 'DROPPED')
        .execute();
    });
  }

  async #inState(table: 'table_def' | 'partition_def', state: PresenceState): Promise<number[]> {
    const column = table === 'table_def' ? 'table_id' : 'partition_id';
    const rows = this.#session.bulk.all<[number]>(
      `SELECT ${column} FROM ${table} WHERE state = ? ORDER BY ${column}`,
      [state],
    );
    return rows.map(([found]) => found);
  }

  /** Some tables of dropped databases; false when there was none. */
  async #markOrphans(): Promise<boolean> {
    const orphans = await this.#session.db
      .selectFrom('table_def')
      .selectAll()
      .where('state', '=', 'NORMAL')
      .where('database_id', 'not in', (eb) => eb.selectFrom('database_def').select('database_id'))
      .limit(TABLES_PER_TRANSACTION)
      .execute();
    if (orphans.length === 0) return false;
    await this.#session.write(async (tx) => {
      for (const row of orphans) {
        await moveTable(tx, row, 'DROPPED');
        tx.onCommit(() => {
          this.#memory.tablets.removeTable(id<TableId>(row.table_id));
        });
        tx.bulk.run('DELETE FROM table_name WHERE database_id = ? AND name = ?', [
          row.database_id,
          row.name,
        ]);
      }
    });
    return true;
  }

  async #purgeTable(tableId: TableId, state: PresenceState): Promise<void> {
    for (const partitionId of await this.#partitionsOf(tableId)) {
      await this.#purgePartition(partitionId, state);
    }
    if (this.#isStopped) return;
    await this.#session.write(async (tx) => {
      await tx.db.deleteFrom('index_def').where('table_id', '=', tableId).execute();
      await tx.db
        .deleteFrom('table_def')
        .where('table_id', '=', tableId)
        .where('state', '=', state)
        .execute();
    });
  }

  /** With `indexId` only that index's tablets. */
  async #purgePartition(
    partitionId: PartitionId,
    state: PresenceState,
    indexId?: IndexId,
  ): Promise<void> {
    for (;;) {
      if (this.#isStopped) return;
      const isDone = await this.#session.write(async (tx) =>
        this.#purgeTablets(tx, partitionId, state === 'DROPPED', indexId),
      );
      // Also after the last one: a table may have thousands of small partitions.
      await nextTurn();
      if (isDone) return;
    }
  }

  /** True when the partition, or the index's share of it, is gone. */
  async #purgeTablets(
    tx: WriteSession,
    partitionId: PartitionId,
    hasObjects: boolean,
    indexId: IndexId | undefined,
  ): Promise<boolean> {
    const tablets = tx.bulk.all<[tabletId: TabletId, vaultId: number, replicas: number | null]>(
      `SELECT tablet.tablet_id, table_def.vault_id, partition_def.replication_num
       FROM tablet INNER JOIN table_def ON table_def.table_id = tablet.table_id
       INNER JOIN partition_def ON partition_def.partition_id = tablet.partition_id
       WHERE tablet.partition_id = ? AND (? IS NULL OR tablet.index_id = ?)
       LIMIT ${TABLETS_PER_TRANSACTION}`,
      [partitionId, indexId ?? null, indexId ?? null],
    );
    const notBeforeMs = tx.clock.now() + this.#graceMs;
    let rowsets = 0;
    for (const [tabletId, vaultId, replicationNum] of tablets) {
      if (rowsets >= ROWSETS_PER_TRANSACTION) return false;
      if (replicationNum !== null) {
        this.#purgeReplicated(tx, partitionId, tabletId);
        rowsets += replicationNum;
      } else if (hasObjects) {
        tx.bulk.run(
          `INSERT INTO garbage (garbage_id, vault_id, prefix, reason, not_before_ms, attempts)
           VALUES (?, ?, ?, 'dropped', ?, 0)`,
          [tx.ids.next(), vaultId, tabletPrefix(tabletId), notBeforeMs],
        );
        rowsets += tx.bulk.run('DELETE FROM rowset WHERE tablet_id = ?', [tabletId]);
      }
      tx.bulk.run('DELETE FROM tablet_compaction WHERE tablet_id = ?', [tabletId]);
      tx.bulk.run('DELETE FROM tablet WHERE tablet_id = ?', [tabletId]);
    }
    if (tablets.length === TABLETS_PER_TRANSACTION) return false;
    if (indexId !== undefined) return true;
    tx.bulk.run('DELETE FROM partition_def WHERE partition_id = ?', [partitionId]);
    tx.bulk.run('DELETE FROM partition_resource WHERE partition_id = ?', [partitionId]);
    tx.bulk.run('DELETE FROM replica_version WHERE partition_id = ?', [partitionId]);
    return true;
  }

  /**
   * Its replicas are on backends, which may be away: their rows stay until they are dropped there,
   * and only then the cooled objects go, since a replica could still write some.
   */
  #purgeReplicated(tx: WriteSession, partitionId: PartitionId, tabletId: TabletId): void {
    tx.bulk.run(
      `INSERT INTO dropped_tablet (tablet_id, resource_id)
       SELECT ?, resource_id FROM partition_resource WHERE partition_id = ?`,
      [tabletId, partitionId],
    );
    dropReplicas(tx, this.#memory.replicas, tabletId);
  }
}
