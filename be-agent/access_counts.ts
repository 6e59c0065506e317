/**
 * How often each partition was read on this backend: what the hotspot table is made of
 * (reference/warm-up 1.7). Counts are kept until the server has confirmed that it stored them.
 */
import type { HotPartition } from '../base/agent_messages.ts';
import type { IndexId, PartitionId, TableId } from '../base/ids.ts';
import type { Clock, Random } from '../base/ports.ts';

/** Partitions counted at most; past it the least read ones of the oldest day are forgotten. */
const PARTITIONS_MAX = 100_000;

interface Count {
  readonly tableId: TableId;
  readonly indexId: IndexId;
  readonly partitionId: PartitionId;
  readonly day: string;
  accesses: number;
  lastAccessMs: number;
}

export interface Access {
  readonly tableId: TableId;
  readonly indexId: IndexId;
  readonly partitionId: PartitionId;
}

export class AccessCounts {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #counts = new Map<string, Count>();
  /** What the last answer held, until it is confirmed. */
  #handedOut: { readonly token: string; readonly counts: Map<string, number> } | undefined;

  constructor(clock: Clock, random: Random) {
    this.#clock = clock;
    this.#random = random;
  }

  /** Counts `accesses` tablets read. */
  add(access: Access, accesses: number): void {
    const now = this.#clock.now();
    const day = new Date(now).toISOString().slice(0, 10);
    const key = `${access.partitionId}/${access.indexId}/${day}`;
    const known = this.#counts.get(key);
    if (known !== undefined) {
      known.accesses += accesses;
      known.lastAccessMs = now;
      return;
    }
    if (this.#counts.size >= PARTITIONS_MAX) this.#forgetColdest();
    this.#counts.set(key, { ...access, day, accesses, lastAccessMs: now });
  }

  /** Everything not yet confirmed. `confirm` is the token of an earlier answer that was stored. */
  handOut(confirm: string | null): { token: string; partitions: HotPartition[] } {
    if (confirm !== null && this.#handedOut?.token === confirm) {
      for (const [key, accesses] of this.#handedOut.counts) this.#subtract(key, accesses);
      this.#handedOut = undefined;
    }
    const token = Buffer.from(this.#random.bytes(8)).toString('hex');
    const counts = new Map([...this.#counts].map(([key, count]) => [key, count.accesses]));
    this.#handedOut = { token, counts };
    return { token, partitions: [...this.#counts.values()].map((count) => ({ ...count })) };
  }

  #subtract(key: string, accesses: number): void {
    const count = this.#counts.get(key);
    if (count === undefined) return;
    count.accesses -= accesses;
    if (count.accesses <= 0) this.#counts.delete(key);
  }

  #forgetColdest(): void {
    const coldest = [...this.#counts].sort(([, a], [, b]) => a.accesses - b.accesses);
    for (const [key] of coldest.slice(0, PARTITIONS_MAX / 10)) this.#counts.delete(key);
  }
}
