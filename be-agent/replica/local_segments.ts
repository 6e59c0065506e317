/**
 * Segments of replicas on the backend's own disk. Deleting waits for readers: whoever reads a
 * rowset pins it first, in the same turn of the event loop in which he found it in the replica.
 */
import { type RowsetId, type TabletId, id, rowsetId } from '../../base/ids.ts';
import type { CallOptions, Log, ObjectStore } from '../../base/ports.ts';
import { type SegmentMeta, segmentKey } from '../../base/schema.ts';

export interface DeletableRowset {
  readonly rowsetId: RowsetId;
  readonly segments: readonly Pick<SegmentMeta, 'segment'>[];
}

export class LocalSegments {
  /** Keys are `segmentKey`; puts are atomic and durable. */
  readonly store: ObjectStore;
  readonly #log: Log;
  readonly #pins = new Map<RowsetId, number>();
  /** To be deleted when the last pin is gone. */
  readonly #doomed = new Map<RowsetId, readonly string[]>();
  readonly #deleting = new Map<RowsetId, Promise<void>>();
  /** Rowsets that were written since the start, until the leftovers are cleared. */
  #written: Set<RowsetId> | undefined = new Set();

  constructor(store: ObjectStore, log: Log) {
    this.store = store;
    this.#log = log;
  }

  /** Its files stay until the returned function is called. */
  pin(rowsetId: RowsetId): () => void {
    this.#pins.set(rowsetId, (this.#pins.get(rowsetId) ?? 0) + 1);
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      const rest = (this.#pins.get(rowsetId) ?? 1) - 1;
      if (rest > 0) this.#pins.set(rowsetId, rest);
      else this.#released(rowsetId);
    };
  }

  /** Durable when it resolves. A deletion of the same rowset that waits for readers is off. */
  async put(
    tabletId: TabletId,
    rowsetId: RowsetId,
    segment: number,
    body: Uint8Array,
    options: CallOptions = {},
  ): Promise<void> {
    this.#written?.add(rowsetId);
    this.#doomed.delete(rowsetId);
    await this.#deleting.get(rowsetId);
    await this.store.put(segmentKey(tabletId, rowsetId, segment), body, options);
  }

  /**
   * Resolves when those that nobody has pinned are deleted; the others follow with their last pin.
   * What cannot be deleted is logged and removed after the next start.
   */
  async delete(tabletId: TabletId, rowsets: readonly DeletableRowset[]): Promise<void> {
    const deletions: Promise<void>[] = [];
    for (const { rowsetId, segments } of rowsets) {
      const keys = segments.map(({ segment }) => segmentKey(tabletId, rowsetId, segment));
      if (keys.length === 0) continue;
      if (this.#pins.has(rowsetId)) this.#doomed.set(rowsetId, keys);
      else deletions.push(this.#delete(rowsetId, keys));
    }
    await Promise.all(deletions);
  }

  /**
   * Removes files of rowsets that `isWanted` does not know: what a crash left. Rowsets that were
   * written since the start are spared, so it may run beside loads; once per start.
   */
  async removeLeftovers(
    isWanted: (tabletId: TabletId, rowsetId: RowsetId) => boolean,
  ): Promise<number> {
    let removed = 0;
    try {
      for await (const page of this.store.list('data/')) {
        const leftovers = new Map<RowsetId, string[]>();
        for (const { key } of page) {
          const rowsetId = this.#leftover(key, isWanted);
          if (rowsetId === undefined) continue;
          const keys = leftovers.get(rowsetId) ?? [];
          keys.push(key);
          leftovers.set(rowsetId, keys);
          removed += 1;
        }
        await Promise.all([...leftovers].map(([rowset, keys]) => this.#delete(rowset, keys)));
      }
    } finally {
      this.#written = undefined;
    }
    return removed;
  }

  #leftover(
    key: string,
    isWanted: (tablet: TabletId, rowset: RowsetId) => boolean,
  ): RowsetId | undefined {
    const found = /^data\/(\d+)\/([0-9a-f]{32})_\d+\.dat$/.exec(key);
    if (found === null) return undefined;
    const rowset = rowsetId(found[2] ?? '');
    const isSpared = this.#written?.has(rowset) !== false || this.#pins.has(rowset);
    return isSpared || isWanted(id(Number(found[1])), rowset) ? undefined : rowset;
  }

  #released(rowsetId: RowsetId): void {
    this.#pins.delete(rowsetId);
    const keys = this.#doomed.get(rowsetId);
    if (keys === undefined) return;
    this.#doomed.delete(rowsetId);
    void this.#delete(rowsetId, keys);
  }

  async #delete(rowsetId: RowsetId, keys: readonly string[]): Promise<void> {
    const deletion = this.store.delete(keys).catch((error: unknown) => {
      this.#log.warn('local segments could not be deleted', { rowsetId, error: String(error) });
    });
    this.#deleting.set(rowsetId, deletion);
    await deletion;
    if (this.#deleting.get(rowsetId) === deletion) this.#deleting.delete(rowsetId);
  }
}
