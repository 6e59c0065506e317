/**
 * Where deliveries to one backend come from: the log of its source, or the catalog itself (catching
 * up). A scan hands out pages in order and knows how far everything is acknowledged: its cursor
 * moves over the pages that are done without a gap.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { TabletId } from '../base/ids.ts';
import type { RowsetMeta } from '../base/schema.ts';
import type { RowsetPlace } from '../catalog/rowset_events.ts';
import type { RowsetSource } from './event_delivery_source.ts';

/** Rowsets after which a page, one batch to a backend, ends; an event may go a little beyond. */
export const ROWSETS_PER_PAGE_MAX = 500;
/** Bytes of one page, unless its first rowset alone has more. */
export const BYTES_PER_PAGE_MAX = 256 * 2 ** 20;
/** Events, or rows of the catalog, that one call looks at. */
const EVENTS_PER_CALL_MAX = 500;
const ROWS_PER_CALL = 500;

/** One rowset on its way to one backend. */
export interface Delivery {
  readonly rowset: RowsetMeta;
  /** 0: NORMAL queue. */
  readonly ttlSeconds: number;
  /** Wall clock of the commit. */
  readonly triggerMs: number;
  /** Number of the event; 0: it comes from the catalog. */
  readonly seq: number;
}

export interface Page {
  readonly deliveries: readonly Delivery[];
  /** When the page is done the scan's cursor is here. */
  readonly upTo: number;
}

export interface ScanRule {
  /** Whether the tablet's rowsets go to this backend. */
  readonly accepts: (tabletId: TabletId) => boolean;
  /** ON TABLES. */
  readonly matches: (tableName: string) => boolean;
}

export type ScanKind =
  /** Follows the log for ever. */
  | 'log'
  /** A part of the log on behalf of another backend that is dead or gone. */
  | 'takeOver'
  /** Rowsets that the catalog has. */
  | 'catchUp';

/** Pages in order, and the cursor behind those that are done. */
export abstract class EventScan {
  readonly kind: ScanKind;
  /** Everything up to here is done: a number of the log, or a transaction. */
  acked: number;
  readonly #open: { readonly upTo: number; done: boolean }[] = [];

  constructor(kind: ScanKind, acked: number) {
    this.kind = kind;
    this.acked = acked;
  }

  /** Pages handed out and not done. */
  get openPages(): number {
    return this.#open.length;
  }

  /** Nothing will come any more, and everything is done. */
  abstract get isOver(): boolean;

  /** The next page, perhaps without deliveries; undefined: there is nothing now. */
  abstract next(): Promise<Page | undefined>;

  /** The page was handed out; the result is called when it is done. */
  open(page: Page): () => void {
    const entry = { upTo: page.upTo, done: false };
    this.#open.push(entry);
    return () => {
      entry.done = true;
      while (this.#open[0]?.done === true) {
        this.acked = this.#open[0].upTo;
        this.#open.shift();
      }
    };
  }
}

export class LogScan extends EventScan {
  readonly #source: RowsetSource;
  readonly #sourceGroup: string;
  readonly #rule: ScanRule;
  /** Events behind this one are not wanted; Infinity: it follows the log for ever. */
  readonly #end: number;
  /** Events up to this one were read wholly. */
  position: number;
  /** Where it is inside the event behind `position`. */
  #place: RowsetPlace | undefined;

  constructor(
    source: RowsetSource,
    log: { readonly sourceGroup: string; readonly after: number; readonly end: number },
    rule: ScanRule,
  ) {
    super(log.end === Infinity ? 'log' : 'takeOver', log.after);
    this.#source = source;
    this.#sourceGroup = log.sourceGroup;
    this.#rule = rule;
    this.#end = log.end;
    this.position = log.after;
  }

  get isOver(): boolean {
    return this.position >= this.#end && this.openPages === 0;
  }

  async next(): Promise<Page | undefined> {
    const events = this.#source.events(this.#sourceGroup, this.position, EVENTS_PER_CALL_MAX);
    const deliveries: Delivery[] = [];
    let bytes = 0;
    const isFull = (): boolean =>
      deliveries.length >= ROWSETS_PER_PAGE_MAX || bytes >= BYTES_PER_PAGE_MAX;
    const before = this.position;
    for (const event of events) {
      if (event.seq > this.#end || isFull()) break;
      if (this.#rule.matches(event.tableName)) {
        do {
          const page = this.#source.rowsetsOf(event, this.#place);
          for (const rowset of page.rowsets) {
            if (!this.#rule.accepts(rowset.tabletId)) continue;
            const ttlSeconds = await this.#source.ttlSeconds(rowset.tabletId);
            const { seq, createdMs } = event;
            deliveries.push({ rowset, ttlSeconds, triggerMs: createdMs, seq });
            bytes += rowset.bytes;
          }
          this.#place = page.next;
          if (this.#place !== undefined) await nextTurn();
        } while (this.#place !== undefined && !isFull());
        if (this.#place !== undefined) break;
      }
      this.position = event.seq;
    }
    if (deliveries.length === 0 && this.position === before) return undefined;
    return { deliveries, upTo: this.position };
  }
}

export class CatalogScan extends EventScan {
  readonly #source: RowsetSource;
  readonly #sourceGroup: string;
  readonly #rule: ScanRule;
  readonly #lastTxn: number;
  #place: RowsetPlace | undefined;

  /** Rowsets of transactions behind `after`, up to `lastTxn`. */
  constructor(
    source: RowsetSource,
    from: { readonly sourceGroup: string; readonly after: number; readonly lastTxn: number },
    rule: ScanRule,
  ) {
    super('catchUp', from.after);
    this.#source = source;
    this.#sourceGroup = from.sourceGroup;
    this.#rule = rule;
    this.#lastTxn = from.lastTxn;
    this.#place = { txnId: from.after + 1, tabletId: 0, rowsetId: '' };
  }

  get lastTxn(): number {
    return this.#lastTxn;
  }

  get isOver(): boolean {
    return this.#place === undefined && this.openPages === 0;
  }

  async next(): Promise<Page | undefined> {
    if (this.#place === undefined) return undefined;
    const { rowsets, next } = this.#source.committed(
      this.#place,
      this.#lastTxn,
      ROWS_PER_CALL,
      this.#sourceGroup,
    );
    this.#place = next;
    const deliveries: Delivery[] = [];
    for (const rowset of rowsets) {
      if (!this.#rule.accepts(rowset.tabletId)) continue;
      const table = await this.#source.tableOf(rowset.tabletId);
      if (table === undefined || !this.#rule.matches(table.fullName)) continue;
      const { ttlSeconds } = table;
      deliveries.push({ rowset, ttlSeconds, triggerMs: rowset.createdMs, seq: 0 });
    }
    // Transactions before that of the next page are complete.
    return { deliveries, upTo: next === undefined ? this.#lastTxn : next.txnId - 1 };
  }
}
