/** Tables: definitions, names, and what one small transaction can change of them. */
import type { Selectable } from 'kysely';
import type { LoadTarget } from '../base/agent_messages.ts';
import { DYNAMIC_PREFIX } from '../base/dynamic_partition.ts';
import { SqlError } from '../base/errors.ts';
import { id } from '../base/ids.ts';
import type {
  DatabaseId,
  IndexId,
  PartitionId,
  StoragePolicyId,
  TableId,
  VaultId,
} from '../base/ids.ts';
import type {
  IndexDef,
  PartitionDef,
  PartitionValues,
  RollupShape,
  TableDef,
} from '../base/schema.ts';
import { baseIndexOf } from '../base/schema.ts';
import { fromJson, toJson } from './json_text.ts';
import { checkName } from './names.ts';
import type { CatalogRows } from './rows.ts';
import type { Session, WriteSession } from './session.ts';
import { expectOne } from './stale_row.ts';
import type { TableCache } from './table_cache.ts';
import type { ReplicaIndex } from './replica_index.ts';
import type { TabletIndex } from './tablet_index.ts';

/** What of a table lies in `table_def.definition`. */
export type TableBody = Pick<
  TableDef,
  | 'keysType'
  | 'columns'
  | 'partitionKind'
  | 'partitionColumns'
  | 'distributionColumns'
  | 'buckets'
  | 'ttlSeconds'
  | 'properties'
  | 'comment'
  | 'replication'
>;

export interface TableSummary {
  readonly tableId: TableId;
  readonly databaseId: DatabaseId;
  readonly name: string;
  readonly createdMs: number;
}

/** A table by the name that warm-up filters know, `db.t`. */
export interface TableName {
  readonly tableId: TableId;
  readonly databaseId: DatabaseId;
  readonly name: string;
}

/** What ALTER TABLE SET and MODIFY COMMENT change; what is absent stays. */
export interface TableSettings {
  /** Replaces all properties. */
  readonly properties?: Readonly<Record<string, string>>;
  readonly ttlSeconds?: number;
  readonly comment?: string;
}

/** What the stores share about tables in memory. */
export interface TableMemory {
  readonly cache: TableCache;
  readonly tablets: TabletIndex;
  readonly replicas: ReplicaIndex;
  /** Something was dropped: there is work for the purger. */
  readonly dropped: () => void;
}

type TableRow = Selectable<CatalogRows['table_def']>;
type PartitionRow = Selectable<CatalogRows['partition_def']>;

export class TableStore {
  readonly #session: Session;
  readonly #memory: TableMemory;
  /** Not inside a transaction: what it reads may be rolled back, what is cached be changed by it. */
  readonly #cache: TableCache | undefined;

  constructor(session: Session, memory: TableMemory) {
    this.#session = session;
    this.#memory = memory;
    this.#cache = session.isTransaction ? undefined : memory.cache;
  }

  async find(database: string, table: string): Promise<TableDef | undefined> {
    const cached = this.#cache?.byName(database, table);
    if (cached !== undefined) return cached;
    const row = await this.#session.db
      .selectFrom('table_name')
      .innerJoin('database_def', 'database_def.database_id', 'table_name.database_id')
      .select('table_name.table_id')
      .where('database_def.name', '=', database)
      .where('table_name.name', '=', table)
      .executeTakeFirst();
    return row === undefined ? undefined : this.byId(id<TableId>(row.table_id));
  }

  /** As `find`, at once; undefined: it has to be looked for. */
  known(database: string, table: string): TableDef | undefined {
    return this.#cache?.byName(database, table);
  }

  /** Throws BAD_DB, NO_SUCH_TABLE. */
  async get(database: string, table: string): Promise<TableDef> {
    const found = await this.find(database, table);
    if (found !== undefined) return found;
    const row = await this.#session.db
      .selectFrom('database_def')
      .select('database_id')
      .where('name', '=', database)
      .executeTakeFirst();
    if (row === undefined) throw new SqlError('BAD_DB', { name: database });
    throw new SqlError('NO_SUCH_TABLE', { name: `${database}.${table}` });
  }

  /** undefined when it was dropped or is not there yet. */
  async byId(tableId: TableId): Promise<TableDef | undefined> {
    const cached = this.#cache?.byId(tableId);
    if (cached !== undefined) return cached;
    const generation = this.#cache?.generation ?? 0;
    const table = await this.#read(tableId);
    if (table !== undefined) this.#cache?.put(table, generation);
    return table;
  }

  /** By name; all databases without an id. */
  async list(databaseId?: DatabaseId): Promise<TableSummary[]> {
    let query = this.#session.db
      .selectFrom('table_name')
      .innerJoin('table_def', 'table_def.table_id', 'table_name.table_id')
      .innerJoin('database_def', 'database_def.database_id', 'table_name.database_id')
      .select([
        'table_name.table_id',
        'table_name.database_id',
        'table_name.name',
        'table_def.created_ms',
      ]);
    if (databaseId !== undefined) query = query.where('table_name.database_id', '=', databaseId);
    const rows = await query.orderBy('table_name.name').execute();
    return rows.map((row) => ({
      tableId: id<TableId>(row.table_id),
      databaseId: id<DatabaseId>(row.database_id),
      name: row.name,
      createdMs: row.created_ms,
    }));
  }

  /** undefined when the table was dropped or is not there yet. */
  async nameOf(tableId: TableId): Promise<TableName | undefined> {
    return this.#names('table_def.table_id = ?', tableId, 1)[0];
  }

  /** Tables in the order of their ids, from the first behind `after`; 0 begins. */
  async names(after: number, limit: number): Promise<readonly TableName[]> {
    return this.#names('table_def.table_id > ?', after, limit);
  }

  #names(where: string, value: number, limit: number): readonly TableName[] {
    const rows = this.#session.bulk.all<[number, number, string, string]>(
      `SELECT table_def.table_id, table_def.database_id, database_def.name, table_def.name
       FROM table_def INNER JOIN database_def ON database_def.database_id = table_def.database_id
       WHERE ${where} AND table_def.state = 'NORMAL' ORDER BY table_def.table_id LIMIT ?`,
      [value, limit],
    );
    return rows.map(([tableId, databaseId, database, table]) => ({
      tableId: id<TableId>(tableId),
      databaseId: id<DatabaseId>(databaseId),
      name: `${database}.${table}`,
    }));
  }

  /** Tables with properties `dynamic_partition.*`, in the order of their ids. */
  async withDynamicPartitions(): Promise<readonly TableId[]> {
    const rows = this.#session.bulk.all<[number]>(
      `SELECT table_id FROM table_def
       WHERE state = 'NORMAL' AND instr(definition, '"${DYNAMIC_PREFIX}') > 0 ORDER BY table_id`,
      [],
    );
    return rows.map(([tableId]) => id<TableId>(tableId));
  }

  /** The tablets of all indexes, as a load needs them. */
  loadTarget(table: TableDef): LoadTarget {
    const tabletsOf = (indexId: IndexId) =>
      table.partitions.map((partition) =>
        this.#memory.tablets.buckets(partition.partitionId, indexId),
      );
    const rollups = table.indexes
      .filter((index) => index.kind === 'ROLLUP')
      .map(({ indexId }) => ({ indexId, tablets: tabletsOf(indexId) }));
    return { table, tablets: tabletsOf(baseIndexOf(table).indexId), rollups };
  }

  /**
   * Invisible at once and its name is free; tablets and rowsets become garbage in the background.
   * Throws BAD_TABLE when it is gone.
   */
  async drop(tableId: TableId): Promise<void> {
    await this.#session.write(async (tx) => {
      const before = await liveTable(tx, tableId);
      await moveTable(tx, before, 'DROPPED');
      await tx.db
        .deleteFrom('table_name')
        .where('table_id', '=', tableId)
        .where('database_id', '=', before.database_id)
        .execute();
      tx.onCommit(() => {
        this.#memory.cache.forget(tableId);
        this.#memory.tablets.removeTable(tableId);
        this.#memory.dropped();
      });
    });
  }

  /** Within its database. Throws BAD_TABLE, TABLE_EXISTS, WRONG_TABLE_NAME. */
  async rename(tableId: TableId, name: string): Promise<void> {
    checkName('table', name);
    await this.#session.write(async (tx) => {
      const before = await liveTable(tx, tableId);
      if (before.name === name) return;
      await expectNameFree(tx, before.database_id, name);
      await tx.db
        .deleteFrom('table_name')
        .where('table_id', '=', tableId)
        .where('database_id', '=', before.database_id)
        .execute();
      await tx.db
        .insertInto('table_name')
        .values({ database_id: before.database_id, name, table_id: tableId })
        .execute();
      // A base index has its table's name.
      await tx.db
        .updateTable('index_def')
        .set({ name })
        .where('table_id', '=', tableId)
        .where('kind', '=', 'BASE')
        .execute();
      await alterTable(tx, before, { name });
      this.#forgetOnCommit(tx, tableId);
    });
  }

  /** Throws BAD_TABLE. */
  async set(tableId: TableId, settings: TableSettings): Promise<void> {
    await this.#session.write(async (tx) => {
      const before = await liveTable(tx, tableId);
      const body: TableBody = { ...fromJson<TableBody>(before.definition), ...settings };
      await alterTable(tx, before, { definition: toJson(body) });
      this.#forgetOnCommit(tx, tableId);
    });
  }

  /**
   * How many replicas tablets should have: of all partitions and those to come, of these only, or
   * of partitions by name. Replicas are added and removed afterwards. Of a replicated table. Throws BAD_TABLE,
   * UNKNOWN_PARTITION.
   */
  async setReplicationNum(
    tableId: TableId,
    target: 'table' | 'default' | readonly string[],
    replicationNum: number,
  ): Promise<void> {
    await this.#session.write(async (tx) => {
      const before = await liveTable(tx, tableId);
      const body = fromJson<TableBody>(before.definition);
      if (body.replication === undefined) throw new Error(`table ${tableId} is shared`);
      const there = tx.bulk.all<[number, string]>(
        "SELECT partition_id, name FROM partition_def WHERE table_id = ? AND state = 'NORMAL'",
        [tableId],
      );
      const named =
        target === 'table' ? there.map(([, name]) => name) : target === 'default' ? [] : target;
      const unknown = named.find((name) => there.every((row) => row[1] !== name));
      if (unknown !== undefined) {
        throw new SqlError('UNKNOWN_PARTITION', { partition: unknown, table: before.name });
      }
      const replication =
        typeof target === 'string' ? { ...body.replication, replicationNum } : body.replication;
      await alterTable(tx, before, { definition: toJson({ ...body, replication }) });
      for (const [partitionId, name] of there) {
        if (!named.includes(name)) continue;
        tx.bulk.run('UPDATE partition_def SET replication_num = ? WHERE partition_id = ?', [
          replicationNum,
          partitionId,
        ]);
      }
      this.#forgetOnCommit(tx, tableId);
    });
  }

  /** Throws BAD_TABLE, UNKNOWN_PARTITION. */
  async dropPartition(tableId: TableId, name: string): Promise<void> {
    await this.#session.write(async (tx) => {
      const before = await liveTable(tx, tableId);
      const partition = await tx.db
        .selectFrom('partition_def')
        .selectAll()
        .where('table_id', '=', tableId)
        .where('name', '=', name)
        .where('state', '=', 'NORMAL')
        .executeTakeFirst();
      if (partition === undefined) {
        throw new SqlError('UNKNOWN_PARTITION', { partition: name, table: before.name });
      }
      await movePartition(tx, partition, 'DROPPED');
      await alterTable(tx, before, {});
      this.#forgetOnCommit(tx, tableId);
      tx.onCommit(() => {
        this.#memory.tablets.removePartition(id<PartitionId>(partition.partition_id));
        this.#memory.dropped();
      });
    });
  }

  #forgetOnCommit(tx: WriteSession, tableId: TableId): void {
    tx.onCommit(() => {
      this.#memory.cache.forget(tableId);
    });
  }

  async #read(tableId: TableId): Promise<TableDef | undefined> {
    const { db } = this.#session;
    const row = await db
      .selectFrom('table_def')
      .innerJoin('database_def', 'database_def.database_id', 'table_def.database_id')
      .selectAll('table_def')
      .select('database_def.name as database_name')
      .where('table_id', '=', tableId)
      .where('state', '=', 'NORMAL')
      .executeTakeFirst();
    if (row === undefined) return undefined;
    const indexes = await db
      .selectFrom('index_def')
      .selectAll()
      .where('table_id', '=', tableId)
      .where('state', '=', 'NORMAL')
      .orderBy('kind')
      .orderBy('index_id')
      .execute();
    const partitions = await db
      .selectFrom('partition_def')
      .selectAll()
      .where('table_id', '=', tableId)
      .where('state', '=', 'NORMAL')
      .orderBy('position')
      .execute();
    return {
      databaseId: id<DatabaseId>(row.database_id),
      databaseName: row.database_name,
      tableId,
      name: row.name,
      ...fromJson<TableBody>(row.definition),
      vaultId: id<VaultId>(row.vault_id),
      createdMs: row.created_ms,
      schemaVersion: row.schema_version,
      ...policyOf(row),
      partitions: partitions.map(toPartition),
      indexes: indexes.map(toIndex),
    };
  }
}

/** Throws BAD_TABLE when the table is not there, or no longer. */
export async function liveTable(tx: WriteSession, tableId: TableId): Promise<TableRow> {
  const row = await tx.db
    .selectFrom('table_def')
    .innerJoin('database_def', 'database_def.database_id', 'table_def.database_id')
    .selectAll('table_def')
    .where('table_id', '=', tableId)
    .where('state', '=', 'NORMAL')
    .executeTakeFirst();
  if (row === undefined) throw new SqlError('BAD_TABLE', { name: await lastName(tx, tableId) });
  return row;
}

/** `db.table` of one that was dropped; its id when its database is gone, or all of it. */
async function lastName(tx: WriteSession, tableId: TableId): Promise<string> {
  const row = await tx.db
    .selectFrom('table_def')
    .innerJoin('database_def', 'database_def.database_id', 'table_def.database_id')
    .select(['table_def.name as table', 'database_def.name as database'])
    .where('table_id', '=', tableId)
    .executeTakeFirst();
  return row === undefined ? String(tableId) : `${row.database}.${row.table}`;
}

/** Throws TABLE_EXISTS. */
export async function expectNameFree(tx: Session, databaseId: number, name: string): Promise<void> {
  const taken = await tx.db
    .selectFrom('table_name')
    .select('table_id')
    .where('database_id', '=', databaseId)
    .where('name', '=', name)
    .executeTakeFirst();
  if (taken !== undefined) throw new SqlError('TABLE_EXISTS', { name });
}

export async function moveTable(
  tx: WriteSession,
  before: TableRow,
  state: TableRow['state'],
): Promise<void> {
  await changeTable(tx, before, { state });
}

/** Every ALTER bumps the schema version. */
export async function alterTable(
  tx: WriteSession,
  before: TableRow,
  columns: Partial<Pick<TableRow, 'name' | 'definition' | 'storage_policy_id'>>,
): Promise<void> {
  await changeTable(tx, before, { ...columns, schema_version: before.schema_version + 1 });
}

/** The guarded change of a table's row; throws `StaleRow`. */
async function changeTable(
  tx: WriteSession,
  before: TableRow,
  columns: Partial<TableRow>,
): Promise<void> {
  const result = await tx.db
    .updateTable('table_def')
    .set({ ...columns, version: before.version + 1 })
    .where('table_id', '=', before.table_id)
    .where('state', '=', before.state)
    .where('version', '=', before.version)
    .executeTakeFirst();
  expectOne(result.numUpdatedRows, `table ${before.name}`);
}

export async function movePartition(
  tx: WriteSession,
  before: PartitionRow,
  state: TableRow['state'],
): Promise<void> {
  const result = await tx.db
    .updateTable('partition_def')
    .set({ state, version: before.version + 1 })
    .where('partition_id', '=', before.partition_id)
    .where('state', '=', before.state)
    .where('version', '=', before.version)
    .executeTakeFirst();
  expectOne(result.numUpdatedRows, `partition ${before.name}`);
}

function toIndex(row: Selectable<CatalogRows['index_def']>): IndexDef {
  const known = { indexId: id<IndexId>(row.index_id), name: row.name };
  if (row.shape === null) return { ...known, kind: 'BASE' };
  return { ...known, kind: 'ROLLUP', ...fromJson<RollupShape>(row.shape) };
}

function policyOf({
  storage_policy_id: policyId,
}: Pick<TableRow, 'storage_policy_id'>): Pick<TableDef, 'storagePolicyId'> {
  return policyId === null ? {} : { storagePolicyId: id<StoragePolicyId>(policyId) };
}

function toPartition(row: PartitionRow): PartitionDef {
  return {
    partitionId: id<PartitionId>(row.partition_id),
    name: row.name,
    values: fromJson<PartitionValues>(row.bounds),
    buckets: row.buckets,
    visibleVersion: row.visible_version,
    ...(row.visible_ms === null ? {} : { visibleMs: row.visible_ms }),
    ...policyOf(row),
    ...(row.replication_num === null ? {} : { replicationNum: row.replication_num }),
  };
}
