/**
 * What replicas had before a merge, in memory: a query that began before it still wants a version
 * in the middle of the merged rowset. The server has the replaced objects kept until such queries
 * have ended (`jobs/unused_files.ts`), so cooled rowsets can be read; local files are gone.
 */
import type { RowsetId, TabletId } from '../../base/ids.ts';
import type { Clock } from '../../base/ports.ts';
import type { ReplicaRowset } from '../../base/replica.ts';
import type { ReplicaState } from './replica_store.ts';

/** Milliseconds that a list is kept, longer than queries take by default. */
const KEPT_MS = 3_600_000;
/** Lists of one tablet, and tablets; the oldest are forgotten. */
const LISTS_MAX = 20;
const TABLETS_MAX = 10_000;

interface StaleList {
  /** Monotonic milliseconds. */
  readonly sinceMs: number;
  readonly before: ReplicaState;
}

export class StaleRowsets {
  readonly #clock: Clock;
  /** The one that was merged last comes last. */
  readonly #lists = new Map<TabletId, readonly StaleList[]>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Tablets of which something is kept. */
  get size(): number {
    return this.#lists.size;
  }

  /** `add` has taken the place of what is not in the replica any more. */
  replaced(before: ReplicaState, add: readonly ReplicaRowset[]): void {
    const sinceMs = this.#clock.monotonic();
    this.#forgetOld(sinceMs);
    if (!before.rowsets.some((rowset) => add.some((each) => isMergedInto(rowset, each)))) return;
    const { tabletId } = before;
    const known = this.#lists.get(tabletId) ?? [];
    this.#lists.delete(tabletId);
    this.#lists.set(tabletId, [...known.slice(1 - LISTS_MAX), { sinceMs, before }]);
  }

  /** Rowsets with exactly the versions 0 to `version`; undefined: they cannot be read any more. */
  upTo(now: ReplicaState, version: number): readonly ReplicaRowset[] | undefined {
    const local = new Set<RowsetId>();
    for (const { rowsetId, place } of now.rowsets) if (place.kind === 'local') local.add(rowsetId);
    for (const { before } of this.#lists.get(now.tabletId)?.toReversed() ?? []) {
      if (before.replicaId !== now.replicaId || before.version < version) continue;
      const rowsets = before.rowsets.filter(({ endVersion }) => endVersion <= version);
      if (rowsets.at(-1)?.endVersion !== version) continue;
      const isThere = ({ rowsetId, place }: ReplicaRowset): boolean =>
        place.kind === 'remote' || local.has(rowsetId);
      if (rowsets.every(isThere)) return rowsets;
    }
    return undefined;
  }

  #forgetOld(nowMs: number): void {
    for (const [tabletId, lists] of this.#lists) {
      const isOld = nowMs - (lists.at(-1)?.sinceMs ?? 0) >= KEPT_MS;
      if (!isOld && this.#lists.size < TABLETS_MAX) return;
      this.#lists.delete(tabletId);
    }
  }
}

function isMergedInto(rowset: ReplicaRowset, into: ReplicaRowset): boolean {
  const isWithin = into.startVersion <= rowset.startVersion && rowset.endVersion <= into.endVersion;
  return isWithin && rowset.endVersion < into.endVersion;
}
