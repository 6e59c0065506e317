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
  /** Rowsets that are being written and that nothing refers to yet: spared as leftovers. */
  #claimed = new Set<RowsetId>();
  /** Those that were claimed before the last clearing of leftovers. */
  #claimedBefore = new Set<RowsetId>();

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

  isPinned(rowset: RowsetId): boolean {
    return this.#pins.has(rowset);
  }

  /** Durable when it resolves. A deletion of the same rowset that waits for readers is off. */
  async put(
    tabletId: TabletId,
    rowsetId: RowsetId,
    segment: number,
    body: Uint8Array,
    options: CallOptions = {},
  ): Promise<void> {
    await this.#claim(rowsetId);
    await this.store.put(segmentKey(tabletId, rowsetId, segment), body, options);
  }

  /** As `ObjectStore.get`. */
  async get(
    tabletId: TabletId,
    rowset: RowsetId,
    segment: number,
    range: { readonly offset: number; readonly length: number },
    signal?: AbortSignal,
  ): Promise<Uint8Array> {
    const options = signal === undefined ? range : { ...range, signal };
    return await this.store.get(segmentKey(tabletId, rowset, segment), options);
  }

  /**
   * Whether all segments are there in their length: a load may have written them before a crash,
   * after which they are taken for leftovers unless they are claimed.
   */
  async has(
    tabletId: TabletId,
    rowset: RowsetId,
    segments: readonly Pick<SegmentMeta, 'segment' | 'bytes'>[],
  ): Promise<boolean> {
    await this.#claim(rowset);
    for (const { segment, bytes } of segments) {
      const meta = await this.store.head(segmentKey(tabletId, rowset, segment));
      if (meta?.size !== bytes) return false;
    }
    return true;
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

  /** `agent.db` refers to it: it is a leftover when that ends. */
  unclaim(rowset: RowsetId): void {
    this.#claimed.delete(rowset);
    this.#claimedBefore.delete(rowset);
  }

  /**
   * Removes files of rowsets that `isWanted` does not know: what a crash left, and what was written
   * for a load that went on without this backend. It may run beside loads: what was claimed since
   * the last run but one is spared. Returns the number of files.
   */
  async removeLeftovers(
    isWanted: (tablet: TabletId, rowset: RowsetId) => boolean,
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
      this.#claimedBefore = this.#claimed;
      this.#claimed = new Set();
    }
    return removed;
  }

  /** The rowset is wanted from now on, whatever was to be deleted of it before. */
  async #claim(rowset: RowsetId): Promise<void> {
    this.#claimed.add(rowset);
    this.#doomed.delete(rowset);
    await this.#deleting.get(rowset);
  }

  #leftover(
    key: string,
    isWanted: (tablet: TabletId, rowset: RowsetId) => boolean,
  ): RowsetId | undefined {
    const found = /^data\/(\d+)\/([0-9a-f]{32})_\d+\.dat$/.exec(key);
    if (found === null) return undefined;
    const rowset = rowsetId(found[2] ?? '');
    const isClaimed = this.#claimed.has(rowset) || this.#claimedBefore.has(rowset);
    const isSpared = isClaimed || this.#pins.has(rowset);
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
