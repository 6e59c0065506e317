/**
 * Queries that read a replicated table while everything else goes on: what each holds, from before
 * its table is looked up until its end, and which rows it must see.
 */
import type { RowsetId, TabletId } from '../../base/ids.ts';

/** How a query is made: drawn, or written down. */
export interface QueryPlan {
  /** Between the look-up of the table and the first scan, as in a join of many tables; milliseconds. */
  readonly waitMs: number;
  /** The client takes so long for a batch, milliseconds. */
  readonly pauseMs: number;
  /** Batches after which the client has enough. */
  readonly batchesMax: number;
}

export class Query {
  readonly number: number;
  /** Whether the server that runs it still lives. */
  readonly #isServed: () => boolean;
  /** Cooled rowsets that it has been given to read, as `tablet/rowset`. */
  readonly #reads = new Set<string>();
  #isOver = false;

  constructor(number: number, isServed: () => boolean) {
    this.number = number;
    this.#isServed = isServed;
  }

  /** What it reads must stay. */
  get isOpen(): boolean {
    return !this.#isOver && this.#isServed();
  }

  opened(tabletId: TabletId, rowsetId: RowsetId): void {
    this.#reads.add(`${tabletId}/${rowsetId}`);
  }

  reads(tabletId: TabletId, rowsetId: RowsetId): boolean {
    return this.isOpen && this.#reads.has(`${tabletId}/${rowsetId}`);
  }

  end(): void {
    this.#isOver = true;
    this.#reads.clear();
  }
}

export class Queries {
  readonly #all = new Map<number, Query>();
  /** Queries that came to their end, by what it was. */
  readonly ends: Record<'whole' | 'left' | 'failed', number> = { whole: 0, left: 0, failed: 0 };
  /** Rows that were compared. */
  rows = 0;

  begin(isServed: () => boolean): Query {
    const query = new Query(this.#all.size + 1, isServed);
    this.#all.set(query.number, query);
    return query;
  }

  get(number: number): Query | undefined {
    return this.#all.get(number);
  }

  get open(): readonly Query[] {
    return [...this.#all.values()].filter(({ isOpen }) => isOpen);
  }

  /** Of those that still read it. */
  readerOf(tabletId: TabletId, rowsetId: RowsetId): Query | undefined {
    return this.open.find((query) => query.reads(tabletId, rowsetId));
  }
}

/** What goes over the wire besides the request of a scan, so that a backend's part is known. */
export interface OfQuery {
  readonly query?: number;
}
