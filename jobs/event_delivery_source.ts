/**
 * What the deliveries of all jobs read: events and their rowsets. Several backends and jobs want
 * the same new rowsets at about the same time, so the last ones are kept.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { TabletId, TxnId } from '../base/ids.ts';
import type { RowsetMeta } from '../base/schema.ts';
import { type SyncCounts, syncCountsOf } from '../base/sync_windows.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { RowsetEvent, RowsetPage, RowsetPlace } from '../catalog/rowset_events.ts';

/** Rowsets of one page of an event; smaller events are kept. */
const ROWSETS_PER_PAGE = 250;
/** Events whose rowsets are kept. */
const KEPT_MAX = 300;
/** Pages of events that are kept, for the readers that are at the same place. */
const EVENT_PAGES_MAX = 16;

export interface TableOfTablet {
  /** `db.t`, now. */
  readonly fullName: string;
  readonly ttlSeconds: number;
}

export interface EventCounts {
  readonly rowsets: number;
  readonly counts: SyncCounts;
}

interface EventPage {
  readonly lastSeq: number;
  readonly events: readonly RowsetEvent[];
}

export class RowsetSource {
  readonly #catalog: Catalog;
  readonly #kept = new Map<TxnId, RowsetPage>();
  readonly #pages = new Map<string, EventPage>();

  constructor(catalog: Catalog) {
    this.#catalog = catalog;
  }

  lastSeq(sourceGroup: string): number {
    return this.#catalog.rowsetEvents.lastSeq(sourceGroup);
  }

  /** Events behind `seq`, at most `limit`. */
  events(sourceGroup: string, seq: number, limit: number): readonly RowsetEvent[] {
    const lastSeq = this.lastSeq(sourceGroup);
    if (seq >= lastSeq) return [];
    const name = `${sourceGroup}/${seq}/${limit}`;
    const known = this.#pages.get(name);
    if (known?.lastSeq === lastSeq) return known.events;
    const events = this.#catalog.rowsetEvents.after(sourceGroup, seq, limit);
    keep(this.#pages, name, { lastSeq, events }, EVENT_PAGES_MAX);
    return events;
  }

  /**
   * Rowsets of an event, from `place` on. What was superseded since is mostly left out; it may be
   * contained still, and is looked at again before it is sent a second time.
   */
  rowsetsOf(event: Pick<RowsetEvent, 'txnId'>, place: RowsetPlace | undefined): RowsetPage {
    const { txnId } = event;
    const start = place ?? { txnId, tabletId: 0, rowsetId: '' };
    const known = place === undefined ? this.#kept.get(txnId) : undefined;
    if (known !== undefined) return known;
    const page = this.#catalog.rowsetEvents.rowsets(start, txnId, ROWSETS_PER_PAGE);
    if (place === undefined) keep(this.#kept, txnId, page, KEPT_MAX);
    return page;
  }

  /** What the segments of an event's rowsets come to, and how many rowsets there are. */
  async countsOf(event: Pick<RowsetEvent, 'txnId'>): Promise<EventCounts> {
    const counts = { segNum: 0, segBytes: 0, idxNum: 0, idxBytes: 0 };
    let rowsets = 0;
    let place: RowsetPlace | undefined;
    for (;;) {
      const page = this.rowsetsOf(event, place);
      for (const rowset of page.rowsets) {
        const of = syncCountsOf(rowset);
        counts.segNum += of.segNum;
        counts.segBytes += of.segBytes;
        counts.idxNum += of.idxNum;
        counts.idxBytes += of.idxBytes;
      }
      rowsets += page.rowsets.length;
      place = page.next;
      if (place === undefined) return { rowsets, counts };
      await nextTurn();
    }
  }

  /** Visible rowsets that a source's backends wrote, by transaction. */
  committed(after: RowsetPlace, lastTxn: number, limit: number, sourceGroup: string): RowsetPage {
    return this.#catalog.rowsetEvents.rowsets(after, lastTxn, limit, sourceGroup);
  }

  /** Which of them are visible now. */
  async visible(rowsets: readonly RowsetMeta[]): Promise<Set<string>> {
    const tabletIds = [...new Set(rowsets.map((rowset) => rowset.tabletId))];
    const found = await this.#catalog.rowsets.visible(tabletIds);
    const names = new Set<string>();
    for (const list of found.values()) for (const rowset of list) names.add(rowset.rowsetId);
    return names;
  }

  /** undefined: the tablet is gone. */
  async tableOf(tabletId: TabletId): Promise<TableOfTablet | undefined> {
    const ref = this.#catalog.tablets.get(tabletId);
    const table = ref === undefined ? undefined : await this.#catalog.tables.byId(ref.tableId);
    if (table === undefined) return undefined;
    const { databaseName, name, ttlSeconds } = table;
    return { fullName: `${databaseName}.${name}`, ttlSeconds };
  }

  async ttlSeconds(tabletId: TabletId): Promise<number> {
    return (await this.tableOf(tabletId))?.ttlSeconds ?? 0;
  }
}

function keep<Key, Value>(map: Map<Key, Value>, key: Key, value: Value, max: number): void {
  map.delete(key);
  map.set(key, value);
  if (map.size <= max) return;
  const oldest = map.keys().next();
  if (oldest.done !== true) map.delete(oldest.value);
}
