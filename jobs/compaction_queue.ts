/**
 * Tablets that wait for a compaction: tables take turns, so that a table with many busy tablets does
 * not keep the others waiting; within a table the first comes first. A tablet waits once.
 */
import type { TableId, TabletId } from '../base/ids.ts';
import type { CompactionMode } from './compaction_policy.ts';

/** What was asked for by a statement comes before what is only worthwhile. */
const RANK: Readonly<Record<CompactionMode, number>> = { AUTO: 0, CUMULATIVE: 1, BASE: 2, FULL: 3 };

export interface WaitingTablet {
  readonly tableId: TableId;
  readonly tabletId: TabletId;
  readonly mode: CompactionMode;
}

export class CompactionQueue {
  readonly #countMax: number;
  /** Tables in the order of their turns; within each the tablets in theirs. */
  readonly #tables = new Map<TableId, Map<TabletId, CompactionMode>>();
  #size = 0;

  /** What comes automatically when `countMax` wait is dropped: the next load brings it again. */
  constructor(countMax: number) {
    this.#countMax = countMax;
  }

  get size(): number {
    return this.#size;
  }

  /** undefined: it does not wait. */
  modeOf({ tableId, tabletId }: Omit<WaitingTablet, 'mode'>): CompactionMode | undefined {
    return this.#tables.get(tableId)?.get(tabletId);
  }

  add({ tableId, tabletId, mode }: WaitingTablet): void {
    const tablets = this.#tables.get(tableId) ?? new Map<TabletId, CompactionMode>();
    const known = tablets.get(tabletId);
    if (known === undefined && mode === 'AUTO' && this.#size >= this.#countMax) return;
    if (known === undefined) this.#size += 1;
    if (known === undefined || RANK[mode] > RANK[known]) tablets.set(tabletId, mode);
    this.#tables.set(tableId, tablets);
  }

  /** The next one; its table goes to the end. */
  take(): WaitingTablet | undefined {
    const turn = this.#tables.entries().next();
    if (turn.done === true) return undefined;
    const [tableId, tablets] = turn.value;
    const first = tablets.entries().next();
    this.#tables.delete(tableId);
    if (first.done === true) return this.take();
    const [tabletId, mode] = first.value;
    tablets.delete(tabletId);
    this.#size -= 1;
    if (tablets.size > 0) this.#tables.set(tableId, tablets);
    return { tableId, tabletId, mode };
  }
}
