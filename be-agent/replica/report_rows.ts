/**
 * The rows of a backend's reports and their sums per partition, kept as replicas change, so that a
 * report without changes costs next to nothing whatever the number of replicas.
 */
import type { PartitionId, ReplicaId, TabletId } from '../../base/ids.ts';
import type { CooldownState, PartitionSum, ReplicaReport } from '../../base/replica.ts';
import { type ReportHash, minus, plus, reportHash, sumText } from '../../base/report_sum.ts';
import type { ReplicaState, ReplicaStore } from './replica_store.ts';

/** What cooldown says of a tablet, for its report. */
export interface CooldownStatus {
  readonly state: CooldownState;
  /** When the next local rowset is due, wall clock milliseconds; absent: never. */
  readonly dueMs?: number;
  /** What cooling waits for, in words; '' for nothing. */
  readonly waits: string;
  /** '' when the last try went well. */
  readonly error: string;
  readonly busy: boolean;
}

/** undefined: it does not know the tablet (yet). */
export type CooldownStatusOf = (tabletId: TabletId) => CooldownStatus | undefined;

/** Of the last row that was made of a replica. */
interface Made {
  readonly replicaId: ReplicaId;
  readonly partitionId: PartitionId;
  readonly hash: ReportHash;
  /** What of it the server wants to know soon. */
  readonly mark: string;
  /** Wall clock milliseconds when time alone changes it; Infinity: never. */
  readonly changesMs: number;
}

interface Sum {
  replicas: number;
  hash: ReportHash;
}

/** States that change by themselves, so that rows with them are made again for each report. */
const RESTLESS: Readonly<Record<CooldownState, boolean>> = {
  NONE: false,
  HOT: false,
  WAITING: true,
  COOLING: true,
  COOLED: false,
  FAILED: true,
};

export class ReportRows {
  readonly #store: ReplicaStore;
  readonly #cooldown: CooldownStatusOf;
  readonly #made = new Map<TabletId, Made>();
  readonly #sums = new Map<PartitionId, Sum>();

  constructor(store: ReplicaStore, cooldown: CooldownStatusOf) {
    this.#store = store;
    this.#cooldown = cooldown;
  }

  /** Nothing has been reported. */
  clear(): void {
    this.#made.clear();
    this.#sums.clear();
  }

  /**
   * The row of the tablet now; `isChanged` says whether it is another one than last time. 'gone'
   * names the replica that was reported and is not there any more, 'none': neither was nor is.
   */
  make(
    tabletId: TabletId,
  ):
    | { readonly kind: 'row'; readonly row: ReplicaReport; readonly isChanged: boolean }
    | { readonly kind: 'gone'; readonly replicaId: ReplicaId }
    | { readonly kind: 'none' } {
    const before = this.#made.get(tabletId);
    const state = this.#store.get(tabletId);
    if (state === undefined) {
      if (before === undefined) return { kind: 'none' };
      this.#made.delete(tabletId);
      this.#subtract(before);
      return { kind: 'gone', replicaId: before.replicaId };
    }
    const status = this.#cooldown(tabletId);
    const row = reportOf(state, status);
    const hash = reportHash(row);
    if (before !== undefined && equal(before.hash, hash)) {
      return { kind: 'row', row, isChanged: false };
    }
    if (before !== undefined) this.#subtract(before);
    const { replicaId, partitionId } = state;
    const isRestless = status !== undefined && (RESTLESS[status.state] || status.busy);
    const changesMs = isRestless ? 0 : (status?.dueMs ?? Number.POSITIVE_INFINITY);
    const mark = markOf(state);
    this.#made.set(tabletId, { replicaId, partitionId, hash, mark, changesMs });
    const sum = this.#sums.get(partitionId);
    if (sum === undefined) this.#sums.set(partitionId, { replicas: 1, hash });
    else {
      sum.replicas += 1;
      sum.hash = plus(sum.hash, hash);
    }
    return { kind: 'row', row, isChanged: true };
  }

  /** Made, dropped, damaged, repaired, cooled, or given another lead since its last row. */
  isImportant(tabletId: TabletId): boolean {
    const state = this.#store.get(tabletId);
    const mark = state === undefined ? undefined : markOf(state);
    return mark !== this.#made.get(tabletId)?.mark;
  }

  /** Tablets whose rows may have changed by time alone. */
  *restless(nowMs: number): Generator<TabletId> {
    for (const [tabletId, { changesMs }] of this.#made) {
      if (changesMs <= nowMs) yield tabletId;
    }
  }

  get partitions(): number {
    return this.#sums.size;
  }

  sums(): PartitionSum[] {
    return [...this.#sums].map(([partitionId, { replicas, hash }]) => ({
      partitionId,
      replicas,
      sum: sumText(hash),
    }));
  }

  #subtract({ partitionId, hash }: Made): void {
    const sum = this.#sums.get(partitionId);
    if (sum === undefined) return;
    if (sum.replicas === 1) {
      this.#sums.delete(partitionId);
      return;
    }
    sum.replicas -= 1;
    sum.hash = minus(sum.hash, hash);
  }
}

function markOf({ replicaId, lead, metaId, isBad }: ReplicaState): string {
  return `${replicaId} ${lead?.term ?? ''} ${metaId ?? ''} ${isBad}`;
}

function equal(a: ReportHash, b: ReportHash): boolean {
  return a.high === b.high && a.low === b.low;
}

/** What is said of a replica; versions after a gap count in rows and bytes, not in `version`. */
export function reportOf(state: ReplicaState, status: CooldownStatus | undefined): ReplicaReport {
  let rows = 0;
  let localBytes = 0;
  let remoteBytes = 0;
  let cooledVersion: number | undefined;
  for (const rowset of state.rowsets) {
    rows += rowset.rows;
    if (rowset.place.kind === 'local') {
      localBytes += rowset.bytes;
    } else {
      remoteBytes += rowset.bytes;
      cooledVersion = rowset.endVersion;
    }
  }
  const { tabletId, replicaId, partitionId, version, isBad, policyId, lead, metaId } = state;
  const dueMs = status?.dueMs;
  return {
    tabletId,
    replicaId,
    partitionId,
    version,
    rows,
    localBytes,
    remoteBytes,
    rowsets: state.rowsets.length,
    isBad,
    ...(policyId === undefined ? {} : { policyId }),
    ...(lead === undefined ? {} : { lead }),
    ...(metaId === undefined ? {} : { metaId }),
    ...(cooledVersion === undefined ? {} : { cooledVersion }),
    cooldownState: status?.state ?? (policyId === undefined ? 'NONE' : 'HOT'),
    ...(dueMs === undefined ? {} : { dueMs }),
    cooldownWaits: status?.waits ?? '',
    cooldownError: status?.error ?? '',
    busy: status?.busy ?? false,
  };
}
