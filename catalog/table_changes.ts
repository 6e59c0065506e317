/**
 * Changes of tables that need many rows: written in small transactions, invisible until the last
 * one. What a crash leaves half done is removed when the catalog is opened (`purger.ts`).
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { SqlError } from '../base/errors.ts';
import { id } from '../base/ids.ts';
import type {
  DatabaseId,
  IndexId,
  PartitionId,
  StoragePolicyId,
  ReplicaId,
  TableId,
  TabletId,
  VaultId,
} from '../base/ids.ts';
import type { BackendId } from '../base/ids.ts';
import type { NewReplica } from '../base/replica.ts';
import { BUCKETS_MAX, COLUMNS_MAX, PARTITIONS_MAX } from '../base/schema.ts';
import type { PartitionValues, RollupShape, TableDef } from '../base/schema.ts';
import { checkName } from './names.ts';
import {
  creatingTable,
  dropPartition,
  expectDatabase,
  expectPartitionsFree,
  insertPartition,
  insertTable,
  insertTablet,
  showPartitions,
} from './new_table_rows.ts';
import type { Purger } from './purger.ts';
import { insertReplica } from './replicas.ts';
import type { Session, WriteSession } from './session.ts';
import { StaleRow } from './stale_row.ts';
import {
  type TableBody,
  type TableMemory,
  alterTable,
  expectNameFree,
  liveTable,
  moveTable,
} from './tables.ts';
import type { TabletInfo } from './tablet_index.ts';

/** Rows of one transaction. */
const ROWS_PER_TRANSACTION = 1500;
/** How often a change follows indexes that are switched while it is planned. */
const SWITCH_TRIES_MAX = 3;
/** Most tablets one statement may make. */
const TABLETS_PER_STATEMENT_MAX = 100_000;

export interface NewPartition {
  readonly name: string;
  readonly values: PartitionValues;
  readonly buckets: number;
  /** Its own; the table's wins. Default: none. */
  readonly storagePolicyId?: StoragePolicyId | undefined;
  /** Its policy is this one, or none, whatever the table's is. Of new tables only. */
  readonly hasOwnPolicy?: boolean;
  /** Of replicated tables, and only of these. */
  readonly replicationNum?: number | undefined;
}

/** Where replicas of new tablets come into being; given for replicated tables. */
export interface ReplicaMaker {
  /** The backends of one more tablet, all different. Throws REPLICA_NO_ROOM. */
  place(replicationNum: number): readonly BackendId[];
  /** Resolves when a majority of each tablet's replicas is there. Throws REPLICA_NOT_MADE. */
  make(replicas: readonly PlacedReplica[]): Promise<void>;
}

export interface PlacedReplica extends NewReplica {
  readonly backendId: BackendId;
}

export interface NewRollup {
  readonly name: string;
  readonly shape: RollupShape;
}

export interface NewTable extends TableBody {
  readonly databaseName: string;
  readonly name: string;
  readonly vaultId: VaultId;
  /** Default: none. */
  readonly rollups?: readonly NewRollup[];
  /** At least one for `partitionKind: 'NONE'`. */
  readonly partitions: readonly NewPartition[];
  /** Of the table and all its partitions. Default: none. */
  readonly storagePolicyId?: StoragePolicyId | undefined;
}

/** A partition with the ids it will have. */
export interface PlannedPartition extends NewPartition {
  readonly partitionId: PartitionId;
  readonly position: number;
  readonly tablets: readonly TabletInfo[];
  readonly replicas: readonly PlacedReplica[];
  /** The partition that it replaces. */
  readonly replaces?: PartitionId | undefined;
}

export class TableChanges {
  readonly #session: Session;
  readonly #memory: TableMemory;
  readonly #purger: Purger;
  readonly #reserveIds: (count: number) => Promise<number>;

  constructor(
    session: Session,
    memory: TableMemory,
    purger: Purger,
    reserveIds: (count: number) => Promise<number>,
  ) {
    this.#session = session;
    this.#memory = memory;
    this.#purger = purger;
    this.#reserveIds = reserveIds;
  }

  /**
   * Throws BAD_DB, TABLE_EXISTS, WRONG_TABLE_NAME, IDENT_TOO_LONG, INVALID_TABLE, NO_COLUMNS,
   * UNKNOWN_POLICY, and what `maker` throws. The base index has the table's name.
   */
  async create(table: NewTable, maker?: ReplicaMaker): Promise<TableId> {
    checkTable(table);
    const databaseId = await this.#expectNewName(table);
    const indexes = 1 + (table.rollups?.length ?? 0);
    const tableId = id<TableId>(await this.#reserveIds(1 + indexes));
    const indexIds = Array.from({ length: indexes }, (_, at) => id<IndexId>(tableId + 1 + at));
    const planned = table.partitions.map((partition) => ({
      ...partition,
      storagePolicyId:
        partition.hasOwnPolicy === true
          ? partition.storagePolicyId
          : (table.storagePolicyId ?? partition.storagePolicyId),
    }));
    const partitions = await this.#plan(tableId, indexIds, planned, 0, maker);
    try {
      await this.#session.write((tx) => insertTable(tx, table, databaseId, tableId, indexIds));
      await this.#insertPartitions(tableId, partitions);
      await maker?.make(partitions.flatMap(({ replicas }) => replicas));
      await this.#session.write(async (tx) => {
        await expectDatabase(tx, table.databaseName, databaseId);
        await expectNameFree(tx, databaseId, table.name);
        const row = await creatingTable(tx, tableId);
        await showPartitions(tx, row.storage_policy_id, partitions);
        await moveTable(tx, row, 'NORMAL');
        await tx.db
          .insertInto('table_name')
          .values({ database_id: databaseId, name: table.name, table_id: tableId })
          .execute();
        this.#showOnCommit(tx, tableId, partitions);
      });
    } catch (error) {
      await this.#purger.abandonTable(tableId);
      throw error;
    }
    return tableId;
  }

  /**
   * Adds partitions behind those that are there. Whether their values overlap is the caller's
   * matter. The table's policy is theirs, if it has one when they become visible. Throws BAD_TABLE,
   * PARTITION_EXISTS, INVALID_TABLE, UNKNOWN_POLICY, and what `maker` throws.
   */
  async addPartitions(
    table: TableDef,
    added: readonly NewPartition[],
    maker?: ReplicaMaker,
  ): Promise<void> {
    checkPartitions(table.partitions.length, added);
    await this.#withIndexes(table.tableId, maker, async (indexIds) => {
      const first = await this.#nextPosition(table.tableId);
      return await this.#plan(table.tableId, indexIds, added, first, maker);
    });
  }

  /**
   * Replaces partitions by empty ones of the same names and with the same policies, all at once;
   * all without names. Throws BAD_TABLE, UNKNOWN_PARTITION, and what `maker` throws; `StaleRow` when
   * one was changed meanwhile.
   */
  async truncate(table: TableDef, names?: readonly string[], maker?: ReplicaMaker): Promise<void> {
    const unknown = names?.find((name) => table.partitions.every((part) => part.name !== name));
    if (unknown !== undefined) {
      throw new SqlError('UNKNOWN_PARTITION', { partition: unknown, table: table.name });
    }
    const old = table.partitions.filter((part) => names === undefined || names.includes(part.name));
    await this.#withIndexes(table.tableId, maker, async (indexIds) => {
      const positions = await this.#positions(table.tableId);
      const planned = await this.#plan(table.tableId, indexIds, old, 0, maker);
      return planned.map((part, i) => {
        const replaces = old[i]?.partitionId;
        return { ...part, replaces, position: positions.get(replaces ?? 0) ?? part.position };
      });
    });
  }

  /** Plans and switches; again when an alter job has switched the table's indexes meanwhile. */
  async #withIndexes(
    tableId: TableId,
    maker: ReplicaMaker | undefined,
    plan: (indexIds: readonly IndexId[]) => Promise<readonly PlannedPartition[]>,
  ): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      const indexIds = indexIdsOf(this.#session, tableId);
      if (await this.#switch(tableId, indexIds, await plan(indexIds), maker)) return;
      if (attempt === SWITCH_TRIES_MAX) throw new StaleRow(`indexes of table ${tableId}`);
    }
  }

  /**
   * Writes the new partitions, then shows them and drops the old ones in one transaction. False:
   * the table has other indexes by now, and nothing was changed.
   */
  async #switch(
    tableId: TableId,
    indexIds: readonly IndexId[],
    partitions: readonly PlannedPartition[],
    maker: ReplicaMaker | undefined,
  ): Promise<boolean> {
    const old = partitions.flatMap(({ replaces }) => replaces ?? []);
    try {
      await this.#insertPartitions(tableId, partitions);
      await maker?.make(partitions.flatMap(({ replicas }) => replicas));
      const isDone = await this.#session.write(async (tx) => {
        const row = await liveTable(tx, tableId);
        if (String(indexIdsOf(tx, tableId)) !== String(indexIds)) return false;
        for (const partitionId of old) await dropPartition(tx, partitionId);
        await expectPartitionsFree(tx, tableId, partitions);
        await showPartitions(tx, row.storage_policy_id, partitions);
        await alterTable(tx, row, {});
        this.#showOnCommit(tx, tableId, partitions);
        tx.onCommit(() => {
          for (const partitionId of old) this.#memory.tablets.removePartition(partitionId);
          if (old.length > 0) this.#memory.dropped();
        });
        return true;
      });
      if (isDone) return true;
      await this.#purger.abandonPartitions(partitions.map((part) => part.partitionId));
      return false;
    } catch (error) {
      await this.#purger.abandonPartitions(partitions.map((part) => part.partitionId));
      throw error;
    }
  }

  async #expectNewName(table: NewTable): Promise<DatabaseId> {
    const database = await this.#session.db
      .selectFrom('database_def')
      .select('database_id')
      .where('name', '=', table.databaseName)
      .executeTakeFirst();
    if (database === undefined) throw new SqlError('BAD_DB', { name: table.databaseName });
    await expectNameFree(this.#session, database.database_id, table.name);
    return id<DatabaseId>(database.database_id);
  }

  /**
   * Gives ids: per partition its own, then its tablets', index by index, bucket by bucket, then
   * those of their replicas.
   */
  async #plan(
    tableId: TableId,
    indexIds: readonly IndexId[],
    partitions: readonly NewPartition[],
    firstPosition: number,
    maker: ReplicaMaker | undefined,
  ): Promise<PlannedPartition[]> {
    const tablets = partitions.reduce((sum, part) => sum + part.buckets * indexIds.length, 0);
    if (tablets > TABLETS_PER_STATEMENT_MAX) {
      const what = `${tablets} tablets in one statement, at most ${TABLETS_PER_STATEMENT_MAX}`;
      throw new SqlError('INVALID_TABLE', { what });
    }
    const replicaCount = partitions.reduce(
      (sum, part) => sum + part.buckets * indexIds.length * (part.replicationNum ?? 0),
      0,
    );
    let next = await this.#reserveIds(partitions.length + tablets + replicaCount);
    return partitions.map((part, i): PlannedPartition => {
      const partitionId = id<PartitionId>(next);
      next += 1;
      const infos: TabletInfo[] = [];
      for (const indexId of indexIds) {
        for (let bucket = 0; bucket < part.buckets; bucket += 1) {
          const tabletId = id<TabletId>(next);
          next += 1;
          infos.push({ tabletId, tableId, partitionId, indexId, bucket, bytes: 0, rows: 0 });
        }
      }
      const { name, values, buckets, storagePolicyId, hasOwnPolicy, replicationNum } = part;
      const replicas: PlacedReplica[] = [];
      for (const { tabletId, indexId } of infos) {
        for (const backendId of placed(maker, replicationNum)) {
          const replicaId = id<ReplicaId>(next);
          next += 1;
          const policy = storagePolicyId === undefined ? {} : { policyId: storagePolicyId };
          const where = { tableId, partitionId, indexId, backendId };
          replicas.push({ tabletId, replicaId, ...where, ...policy });
        }
      }
      return {
        name,
        values,
        buckets,
        storagePolicyId,
        ...(hasOwnPolicy === undefined ? {} : { hasOwnPolicy }),
        replicationNum,
        partitionId,
        position: firstPosition + i,
        tablets: infos,
        replicas,
      };
    });
  }

  async #insertPartitions(
    tableId: TableId,
    partitions: readonly PlannedPartition[],
  ): Promise<void> {
    for (const part of chunks(partitions)) {
      await this.#session.write(async (tx) => {
        for (const partition of part) insertPartition(tx, tableId, partition);
      });
      await nextTurn();
    }
    for (const part of chunks(partitions.flatMap((partition) => partition.tablets))) {
      await this.#session.write(async (tx) => {
        for (const tablet of part) insertTablet(tx, tablet);
      });
      await nextTurn();
    }
    for (const part of chunks(partitions.flatMap(({ replicas }) => replicas))) {
      await this.#session.write(async (tx) => {
        for (const { replicaId, tabletId, backendId } of part) {
          const replica = { replicaId, tabletId, backendId, state: 'CREATING' } as const;
          insertReplica(tx, this.#memory.replicas, replica);
        }
      });
      await nextTurn();
    }
  }

  #showOnCommit(tx: WriteSession, tableId: TableId, partitions: readonly PlannedPartition[]): void {
    tx.onCommit(() => {
      for (const partition of partitions) this.#memory.tablets.add(partition.tablets);
      this.#memory.cache.forget(tableId);
    });
  }

  async #positions(tableId: TableId): Promise<Map<number, number>> {
    const rows = await this.#session.db
      .selectFrom('partition_def')
      .select(['partition_id', 'position'])
      .where('table_id', '=', tableId)
      .execute();
    return new Map(rows.map((row) => [row.partition_id, row.position]));
  }

  async #nextPosition(tableId: TableId): Promise<number> {
    return Math.max(-1, ...(await this.#positions(tableId)).values()) + 1;
  }
}

/** The table's indexes that readers and loads see, in order. */
function indexIdsOf(session: Session, tableId: TableId): IndexId[] {
  const rows = session.bulk.all<[number]>(
    "SELECT index_id FROM index_def WHERE table_id = ? AND state = 'NORMAL' ORDER BY index_id",
    [tableId],
  );
  return rows.map(([indexId]) => id<IndexId>(indexId));
}

function checkTable(table: NewTable): void {
  checkName('table', table.name);
  if (table.columns.length === 0) throw new SqlError('NO_COLUMNS');
  if (table.columns.length > COLUMNS_MAX) {
    throw new SqlError('INVALID_TABLE', { what: `more than ${COLUMNS_MAX} columns` });
  }
  if (table.partitionKind === 'NONE' && table.partitions.length !== 1) {
    throw new SqlError('INVALID_TABLE', { what: 'a table without partitions has exactly one' });
  }
  checkPartitions(0, table.partitions);
}

function checkPartitions(there: number, added: readonly NewPartition[]): void {
  if (there + added.length > PARTITIONS_MAX) {
    throw new SqlError('INVALID_TABLE', { what: `more than ${PARTITIONS_MAX} partitions` });
  }
  const names = new Set<string>();
  for (const { name, buckets } of added) {
    checkName('partition', name);
    if (names.has(name)) throw new SqlError('PARTITION_EXISTS', { name });
    names.add(name);
    if (!Number.isInteger(buckets) || buckets < 1 || buckets > BUCKETS_MAX) {
      throw new SqlError('INVALID_TABLE', {
        what: `${buckets} buckets, allowed 1 to ${BUCKETS_MAX}`,
      });
    }
  }
}

function placed(
  maker: ReplicaMaker | undefined,
  replicationNum: number | undefined,
): readonly BackendId[] {
  if (replicationNum === undefined) return [];
  if (maker === undefined) throw new Error('nobody makes the replicas of a replicated table');
  return maker.place(replicationNum);
}

function* chunks<T>(items: readonly T[]): Generator<readonly T[]> {
  for (let at = 0; at < items.length; at += ROWS_PER_TRANSACTION) {
    yield items.slice(at, at + ROWS_PER_TRANSACTION);
  }
}
