/**
 * Which tablet belongs where, in memory: typed arrays sorted by tablet id, 34 bytes a tablet, so
 * that 10 million fit in 340 MB. The catalog's rows are the truth; this follows every commit.
 */
import { id } from '../base/ids.ts';
import type { IndexId, PartitionId, TableId, TabletId } from '../base/ids.ts';
import type { TabletRef } from '../base/schema.ts';

export interface TabletInfo extends TabletRef {
  /** Of all visible rowsets. */
  readonly bytes: number;
  readonly rows: number;
}

export interface SizeSum {
  readonly tablets: number;
  readonly bytes: number;
  readonly rows: number;
}

/** Tablets with consecutive positions that belong to one partition and index. */
interface Run {
  readonly firstTabletId: number;
  readonly count: number;
}

interface PartitionSlot {
  readonly partitionId: PartitionId;
  readonly tableId: TableId;
  readonly runs: Run[];
}

/** Slot number of a tablet that was removed; its place is reclaimed by and by. */
const REMOVED = 0xff_ff_ff_ff;
/** Share of removed places at which the arrays are compacted. */
const REMOVED_SHARE_MAX = 0.25;
const CAPACITY_MIN = 1024;

export class TabletIndex {
  #count = 0;
  #removed = 0;
  #tabletIds = new Float64Array(CAPACITY_MIN);
  /** Index into #partitions. */
  #slots = new Uint32Array(CAPACITY_MIN);
  /** Index into #indexIds. */
  #indexes = new Uint32Array(CAPACITY_MIN);
  #buckets = new Uint16Array(CAPACITY_MIN);
  #bytes = new Float64Array(CAPACITY_MIN);
  #rows = new Float64Array(CAPACITY_MIN);

  readonly #partitions: (PartitionSlot | undefined)[] = [];
  readonly #slotOf = new Map<PartitionId, number>();
  readonly #partitionsOf = new Map<TableId, Set<PartitionId>>();
  readonly #indexIds: IndexId[] = [];
  readonly #indexOf = new Map<IndexId, number>();

  /** Tablets there are. */
  get size(): number {
    return this.#count - this.#removed;
  }

  get(tabletId: TabletId): TabletInfo | undefined {
    const at = this.#find(tabletId);
    return at === -1 ? undefined : this.#info(at);
  }

  /** By tablet id. Empty when there is no such table. */
  ofTable(tableId: TableId): TabletInfo[] {
    const partitions = [...(this.#partitionsOf.get(tableId) ?? [])];
    const tablets = partitions.flatMap((partitionId) => this.ofPartition(partitionId));
    return tablets.sort((a, b) => a.tabletId - b.tabletId);
  }

  /** By tablet id, which within one index is by bucket. */
  ofPartition(partitionId: PartitionId): TabletInfo[] {
    const tablets: TabletInfo[] = [];
    this.#eachPlace(partitionId, (at) => tablets.push(this.#info(at)));
    return tablets;
  }

  /** `result[bucket]` of one index of a partition. */
  buckets(partitionId: PartitionId, indexId: IndexId): TabletId[] {
    const index = this.#indexOf.get(indexId);
    const tablets: TabletId[] = [];
    this.#eachPlace(partitionId, (at) => {
      if (this.#indexes[at] !== index) return;
      tablets[this.#buckets[at] ?? 0] = id<TabletId>(this.#tabletIds[at] ?? 0);
    });
    return tablets;
  }

  /** How many indexes have tablets in the partition. */
  indexesOf(partitionId: PartitionId): number {
    const indexes = new Set<number>();
    this.#eachPlace(partitionId, (at) => indexes.add(this.#indexes[at] ?? 0));
    return indexes.size;
  }

  /** Of all its indexes, or of one. The rows of all are those of the base, counted again. */
  partitionSize(partitionId: PartitionId, indexId?: IndexId): SizeSum {
    const index = indexId === undefined ? undefined : (this.#indexOf.get(indexId) ?? -1);
    let tablets = 0;
    let bytes = 0;
    let rows = 0;
    this.#eachPlace(partitionId, (at) => {
      if (index !== undefined && this.#indexes[at] !== index) return;
      tablets += 1;
      bytes += this.#bytes[at] ?? 0;
      rows += this.#rows[at] ?? 0;
    });
    return { tablets, bytes, rows };
  }

  tableSize(tableId: TableId): SizeSum {
    let sum: SizeSum = { tablets: 0, bytes: 0, rows: 0 };
    for (const partitionId of this.#partitionsOf.get(tableId) ?? []) {
      const size = this.partitionSize(partitionId);
      sum = {
        tablets: sum.tablets + size.tablets,
        bytes: sum.bytes + size.bytes,
        rows: sum.rows + size.rows,
      };
    }
    return sum;
  }

  /**
   * Adds tablets in ascending order of id; catalog only. Cheapest above all that are there; else
   * what is behind moves once for every stretch of them that nothing lies between.
   */
  add(tablets: readonly TabletInfo[]): void {
    this.#reserve(this.#count + tablets.length);
    let from = 0;
    for (let first = tablets[from]; first !== undefined; first = tablets[from]) {
      const at = this.#lowerBound(first.tabletId);
      const next = at < this.#count ? (this.#tabletIds[at] ?? Infinity) : Infinity;
      let to = from + 1;
      while (to < tablets.length && (tablets[to]?.tabletId ?? Infinity) < next) to += 1;
      this.#insertAt(at, from === 0 && to === tablets.length ? tablets : tablets.slice(from, to));
      from = to;
    }
  }

  /** Adds one tablet above all that are there, as loading in order of id does; catalog only. */
  append(
    tabletId: number,
    tableId: number,
    partitionId: number,
    indexId: number,
    bucket: number,
    bytes: number,
    rows: number,
  ): void {
    this.#reserve(this.#count + 1);
    const at = this.#count;
    this.#count += 1;
    const slot = this.#slot(id<PartitionId>(partitionId), id<TableId>(tableId));
    this.#put(at, tabletId, slot, indexId, bucket, bytes, rows);
  }

  /** After a load: what became visible; catalog only. */
  addSize(tabletId: TabletId, bytes: number, rows: number): void {
    const at = this.#find(tabletId);
    if (at === -1) return;
    this.#bytes[at] = (this.#bytes[at] ?? 0) + bytes;
    this.#rows[at] = (this.#rows[at] ?? 0) + rows;
  }

  /** Of a replicated table, whose backends know and report it; the catalog's rows do not. */
  setSize(tabletId: TabletId, bytes: number, rows: number): void {
    const at = this.#find(tabletId);
    if (at === -1) return;
    this.#bytes[at] = bytes;
    this.#rows[at] = rows;
  }

  /** Catalog only. */
  removePartition(partitionId: PartitionId): void {
    const slot = this.#slotOf.get(partitionId);
    const partition = slot === undefined ? undefined : this.#partitions[slot];
    if (slot === undefined || partition === undefined) return;
    this.#eachPlace(partitionId, (at) => {
      this.#slots[at] = REMOVED;
      this.#removed += 1;
    });
    this.#partitions[slot] = undefined;
    this.#slotOf.delete(partitionId);
    const siblings = this.#partitionsOf.get(partition.tableId);
    siblings?.delete(partitionId);
    if (siblings?.size === 0) this.#partitionsOf.delete(partition.tableId);
    if (this.#removed > this.#count * REMOVED_SHARE_MAX) this.#compact();
  }

  /** One index of a partition; the others stay. Catalog only. */
  removeIndex(partitionId: PartitionId, indexId: IndexId): void {
    const slot = this.#slotOf.get(partitionId);
    const partition = slot === undefined ? undefined : this.#partitions[slot];
    const index = this.#indexOf.get(indexId);
    if (partition === undefined || index === undefined) return;
    const kept: Run[] = [];
    this.#eachPlace(partitionId, (at) => {
      if (this.#indexes[at] === index) {
        this.#slots[at] = REMOVED;
        this.#removed += 1;
      } else {
        extendRuns(kept, this.#tabletIds[at] ?? 0);
      }
    });
    partition.runs.splice(0, partition.runs.length, ...kept);
    if (this.#removed > this.#count * REMOVED_SHARE_MAX) this.#compact();
  }

  /** One index in all partitions of its table. Catalog only. */
  removeIndexOf(tableId: TableId, indexId: IndexId): void {
    for (const partitionId of this.#partitionsOf.get(tableId) ?? []) {
      this.removeIndex(partitionId, indexId);
    }
  }

  /** Catalog only. */
  removeTable(tableId: TableId): void {
    for (const partitionId of this.#partitionsOf.get(tableId) ?? []) {
      this.removePartition(partitionId);
    }
  }

  #info(at: number): TabletInfo {
    const partition = this.#partitions[this.#slots[at] ?? REMOVED];
    const indexId = this.#indexIds[this.#indexes[at] ?? 0];
    if (partition === undefined || indexId === undefined) throw new Error('tablet index is broken');
    return {
      tabletId: id<TabletId>(this.#tabletIds[at] ?? 0),
      tableId: partition.tableId,
      partitionId: partition.partitionId,
      indexId,
      bucket: this.#buckets[at] ?? 0,
      bytes: this.#bytes[at] ?? 0,
      rows: this.#rows[at] ?? 0,
    };
  }

  #eachPlace(partitionId: PartitionId, visit: (at: number) => void): void {
    const slot = this.#slotOf.get(partitionId);
    const partition = slot === undefined ? undefined : this.#partitions[slot];
    if (partition === undefined) return;
    for (const run of partition.runs) {
      const first = this.#lowerBound(run.firstTabletId);
      for (let at = first; at < first + run.count; at += 1) visit(at);
    }
  }

  #insertAt(at: number, tablets: readonly TabletInfo[]): void {
    this.#reserve(this.#count + tablets.length);
    for (const array of this.#arrays()) array.copyWithin(at + tablets.length, at, this.#count);
    this.#count += tablets.length;
    tablets.forEach((tablet, i) => {
      const slot = this.#slot(tablet.partitionId, tablet.tableId);
      const { tabletId, indexId, bucket, bytes, rows } = tablet;
      this.#put(at + i, tabletId, slot, indexId, bucket, bytes, rows);
    });
  }

  #put(
    at: number,
    tabletId: number,
    slot: number,
    indexId: number,
    bucket: number,
    bytes: number,
    rows: number,
  ): void {
    this.#tabletIds[at] = tabletId;
    this.#slots[at] = slot;
    this.#indexes[at] = this.#index(id<IndexId>(indexId));
    this.#buckets[at] = bucket;
    this.#bytes[at] = bytes;
    this.#rows[at] = rows;
    extendRuns(this.#partitions[slot]?.runs ?? [], tabletId);
  }

  #slot(partitionId: PartitionId, tableId: TableId): number {
    const known = this.#slotOf.get(partitionId);
    if (known !== undefined) return known;
    const slot = this.#partitions.push({ partitionId, tableId, runs: [] }) - 1;
    this.#slotOf.set(partitionId, slot);
    const siblings = this.#partitionsOf.get(tableId);
    if (siblings === undefined) this.#partitionsOf.set(tableId, new Set([partitionId]));
    else siblings.add(partitionId);
    return slot;
  }

  #index(indexId: IndexId): number {
    const known = this.#indexOf.get(indexId);
    if (known !== undefined) return known;
    const index = this.#indexIds.push(indexId) - 1;
    this.#indexOf.set(indexId, index);
    return index;
  }

  #find(tabletId: number): number {
    const at = this.#lowerBound(tabletId);
    const isThere =
      at < this.#count && this.#tabletIds[at] === tabletId && this.#slots[at] !== REMOVED;
    return isThere ? at : -1;
  }

  #lowerBound(tabletId: number): number {
    let low = 0;
    let high = this.#count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#tabletIds[middle] ?? 0) < tabletId) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #arrays() {
    return [
      this.#tabletIds,
      this.#slots,
      this.#indexes,
      this.#buckets,
      this.#bytes,
      this.#rows,
    ] as const;
  }

  #reserve(count: number): void {
    if (count <= this.#tabletIds.length) return;
    const capacity = Math.max(count, Math.ceil(this.#tabletIds.length * 1.5));
    const grown = <A extends Float64Array | Uint32Array | Uint16Array>(to: A, from: A): A => {
      to.set(from);
      return to;
    };
    this.#tabletIds = grown(new Float64Array(capacity), this.#tabletIds);
    this.#slots = grown(new Uint32Array(capacity), this.#slots);
    this.#indexes = grown(new Uint32Array(capacity), this.#indexes);
    this.#buckets = grown(new Uint16Array(capacity), this.#buckets);
    this.#bytes = grown(new Float64Array(capacity), this.#bytes);
    this.#rows = grown(new Float64Array(capacity), this.#rows);
  }

  /** Moves what is left together, in place. */
  #compact(): void {
    let to = 0;
    for (let from = 0; from < this.#count; from += 1) {
      if (this.#slots[from] === REMOVED) continue;
      for (const array of this.#arrays()) array[to] = array[from] ?? 0;
      to += 1;
    }
    this.#count = to;
    this.#removed = 0;
  }
}

/** A run may only grow by the next id: then nothing can ever be inserted into its middle. */
function extendRuns(runs: Run[], tabletId: number): void {
  const run = runs.at(-1);
  if (run !== undefined && run.firstTabletId + run.count === tabletId) {
    runs[runs.length - 1] = { firstTabletId: run.firstTabletId, count: run.count + 1 };
    return;
  }
  runs.push({ firstTabletId: tabletId, count: 1 });
  const isInOrder = run === undefined || run.firstTabletId < tabletId;
  if (!isInOrder) runs.sort((a, b) => a.firstTabletId - b.firstTabletId);
}
