/**
 * Who reads rowsets holds them: an object that a snapshot refers to stays in the vault until the
 * snapshot's hold is released, also when a compaction, a rewrite or a DROP has made it garbage.
 *
 * A hold must be taken BEFORE the rowsets are read from the catalog: what was replaced before that
 * is not in the snapshot, what is replaced afterwards is younger than the hold.
 */

/** Ends the hold; a second call does nothing. */
export type ReleaseHold = () => void;

export class SnapshotHolds {
  /** Open holds by number, the oldest first: a Set keeps the order in which they came. */
  readonly #open = new Set<number>();
  #next = 1;

  /** Call it before reading rowsets, and the result at the end, whatever the end is. */
  take(): ReleaseHold {
    const hold = this.#next;
    this.#next += 1;
    this.#open.add(hold);
    return () => {
      this.#open.delete(hold);
    };
  }

  /** Holds `fn`'s snapshots for as long as it runs. */
  async during<T>(fn: () => Promise<T>): Promise<T> {
    const release = this.take();
    try {
      return await fn();
    } finally {
      release();
    }
  }

  /** How many are open. */
  get size(): number {
    return this.#open.size;
  }

  /** Holds taken from now on are younger than this mark, all others older. */
  mark(): number {
    return this.#next;
  }

  /** Whether every hold that is older than the mark has been released. */
  isPast(mark: number): boolean {
    const oldest = this.#open.values().next();
    return oldest.done === true || oldest.value >= mark;
  }
}

/** Marks that wait at most; two rounds of the collector may share one. */
const MARKS_MAX = 1000;

/**
 * Up to which garbage item nobody can refer to the objects any more. Items are numbered in the
 * order of their commits; neither clock matters, which may step back.
 */
export class GarbageHorizon {
  readonly #holds: SnapshotHolds;
  /** Items that were committed when the mark was set, both ascending. */
  readonly #marks: { readonly mark: number; readonly garbageId: number }[] = [];
  #past = 0;

  constructor(holds: SnapshotHolds) {
    this.#holds = holds;
  }

  /**
   * `newest`: the newest committed item. Answers the newest one that is older than every open hold.
   */
  advance(newest: number): number {
    const last = this.#marks.at(-1);
    if (newest > (last?.garbageId ?? this.#past)) {
      // A later mark is only more careful: it stands for the items before, too.
      if (this.#marks.length >= MARKS_MAX) this.#marks.pop();
      this.#marks.push({ mark: this.#holds.mark(), garbageId: newest });
    }
    for (;;) {
      const [first] = this.#marks;
      if (first === undefined || !this.#holds.isPast(first.mark)) return this.#past;
      this.#past = first.garbageId;
      this.#marks.shift();
    }
  }
}
