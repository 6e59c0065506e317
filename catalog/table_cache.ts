/** Table definitions in memory. Follows commits; an entry is never older than the last one. */
import type { DatabaseId, PartitionId, TableId } from '../base/ids.ts';
import type { TableDef } from '../base/schema.ts';

/** Definitions kept; past it the oldest goes. */
const TABLES_MAX = 50_000;

/** What was created, changed or dropped: one table, or a database with all its tables. */
export type TableChange = { readonly tableId: TableId } | { readonly databaseId: DatabaseId };

export class TableCache {
  readonly #byId = new Map<TableId, TableDef>();
  readonly #byName = new Map<string, TableId>();
  /** Grows with every commit that touches a table. */
  #generation = 0;
  readonly #listeners = new Set<(change: TableChange) => void>();

  /** Calls `listener` right after each commit that touches a definition; loads do not. */
  onChange(listener: (change: TableChange) => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  get generation(): number {
    return this.#generation;
  }

  byId(tableId: TableId): TableDef | undefined {
    return this.#byId.get(tableId);
  }

  byName(database: string, table: string): TableDef | undefined {
    const tableId = this.#byName.get(nameKey(database, table));
    return tableId === undefined ? undefined : this.#byId.get(tableId);
  }

  /** Ignored when a commit came between the read, begun at `generation`, and now. */
  put(table: TableDef, generation: number): void {
    if (generation !== this.#generation) return;
    if (this.#byId.size >= TABLES_MAX) this.#dropOldest();
    this.#byId.set(table.tableId, table);
    this.#byName.set(nameKey(table.databaseName, table.name), table.tableId);
  }

  forget(tableId: TableId): void {
    this.#generation += 1;
    this.#remove(tableId);
    this.#tell({ tableId });
  }

  forgetDatabase(databaseId: DatabaseId): void {
    this.#generation += 1;
    for (const table of this.#byId.values()) {
      if (table.databaseId === databaseId) this.#remove(table.tableId);
    }
    this.#tell({ databaseId });
  }

  /** After a load: the partitions' new visible versions, and when that was. */
  setVersions(
    tableId: TableId,
    versions: ReadonlyMap<PartitionId, number>,
    visibleMs: number,
  ): void {
    this.#generation += 1;
    const table = this.#byId.get(tableId);
    if (table === undefined) return;
    const partitions = table.partitions.map((partition) => {
      const visibleVersion = versions.get(partition.partitionId);
      return visibleVersion === undefined ? partition : { ...partition, visibleVersion, visibleMs };
    });
    this.#byId.set(tableId, { ...table, partitions });
  }

  #tell(change: TableChange): void {
    for (const listener of this.#listeners) listener(change);
  }

  #remove(tableId: TableId): void {
    const table = this.#byId.get(tableId);
    if (table === undefined) return;
    this.#byId.delete(tableId);
    this.#byName.delete(nameKey(table.databaseName, table.name));
  }

  #dropOldest(): void {
    for (const tableId of this.#byId.keys()) {
      this.#remove(tableId);
      return;
    }
  }
}

/** Names cannot have NUL in them (`names.ts`). */
function nameKey(database: string, table: string): string {
  return `${database}\0${table}`;
}
