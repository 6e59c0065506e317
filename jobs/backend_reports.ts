/**
 * What one backend has last said of its replicas: numbers in two typed arrays, and texts only where
 * there are some. 100,000 replicas took 20 MB.
 */
import { type PartitionId, type ReplicaId, type TabletId, id } from '../base/ids.ts';
import type { StoragePolicyId } from '../base/ids.ts';
import type { CooldownState, ReplicaReport } from '../base/replica.ts';
import { type ReportHash, minus, plus, NO_REPORTS, reportHash } from '../base/report_sum.ts';
import { SlotMap } from '../base/slot_map.ts';

const CAPACITY_MIN = 256;
/** Different texts that are kept once instead of once per replica. */
const TEXTS_MAX = 1000;
const NONE = -1;

// Fields of a replica in the array of doubles.
const TABLET = 0;
const REPLICA = 1;
const PARTITION = 2;
const VERSION = 3;
const ROWS = 4;
const LOCAL_BYTES = 5;
const REMOTE_BYTES = 6;
const ROWSETS = 7;
const POLICY = 8;
const LEADER = 9;
const TERM = 10;
const COOLED_VERSION = 11;
const DUE_MS = 12;
const DOUBLES = 13;

// Fields in the array of words.
const FLAGS = 0;
const HASH_HIGH = 1;
const HASH_LOW = 2;
const ROUND = 3;
/** Four words. */
const META = 4;
const WORDS = 8;

const BAD = 1;
const BUSY = 2;
const HAS_META = 4;
const STATE_SHIFT = 4;

const STATES: readonly CooldownState[] = ['NONE', 'HOT', 'WAITING', 'COOLING', 'COOLED', 'FAILED'];
const META_ID = /^[0-9a-f]{32}$/;

export class BackendReports {
  readonly #slotOf = new SlotMap();
  readonly #free: number[] = [];
  #used = 0;
  #doubles = new Float64Array(CAPACITY_MIN * DOUBLES);
  #words = new Uint32Array(CAPACITY_MIN * WORDS);
  readonly #waits = new Map<number, string>();
  readonly #errors = new Map<number, string>();
  /** Meta ids that are not 32 hex digits. */
  readonly #oddMetaIds = new Map<number, string>();
  readonly #sums = new Map<PartitionId, { replicas: number; sum: ReportHash }>();
  readonly #texts = new Map<string, string>();

  /** Replicas there are. */
  get size(): number {
    return this.#slotOf.size;
  }

  get(tabletId: TabletId): ReplicaReport | undefined {
    const slot = this.#slotOf.get(tabletId);
    return slot === -1 ? undefined : this.#report(slot);
  }

  *all(): Generator<ReplicaReport> {
    for (let slot = 0; slot < this.#used; slot += 1) {
      if (this.#double(slot, TABLET) !== 0) yield this.#report(slot);
    }
  }

  partitions(): Iterable<PartitionId> {
    return this.#sums.keys();
  }

  /** Over the last report of each of the partition's replicas. */
  sumOf(partitionId: PartitionId): { readonly replicas: number; readonly sum: ReportHash } {
    return this.#sums.get(partitionId) ?? { replicas: 0, sum: NO_REPORTS };
  }

  /** `round` is the number of the report it came with. False: it says what was known. */
  put(report: ReplicaReport, round: number): boolean {
    const hash = reportHash(report);
    const known = this.#slotOf.get(report.tabletId);
    if (known !== -1 && this.#isSame(known, report, hash)) {
      this.#words[known * WORDS + ROUND] = round;
      return false;
    }
    if (known !== -1) this.#count(known, 'out');
    const slot = known === -1 ? this.#take(report.tabletId) : known;
    this.#write(slot, report, hash, round);
    this.#count(slot, 'in');
    return true;
  }

  /** False: there is no such replica. */
  remove(tabletId: TabletId, replicaId?: ReplicaId): boolean {
    const slot = this.#slotOf.get(tabletId);
    if (slot === -1) return false;
    if (replicaId !== undefined && this.#double(slot, REPLICA) !== replicaId) return false;
    this.#count(slot, 'out');
    this.#slotOf.delete(tabletId);
    for (const texts of [this.#waits, this.#errors, this.#oddMetaIds]) texts.delete(slot);
    this.#doubles.fill(0, slot * DOUBLES, (slot + 1) * DOUBLES);
    this.#free.push(slot);
    return true;
  }

  /** Of these partitions, what came with report `round`, and the tablets that did not. */
  cameWith(
    round: number,
    partitions: ReadonlySet<PartitionId>,
  ): Map<PartitionId, { replicas: number; sum: ReportHash; others: TabletId[] }> {
    const found = new Map(
      [...partitions].map((partitionId) => [
        partitionId,
        { replicas: 0, sum: NO_REPORTS, others: [] as TabletId[] },
      ]),
    );
    for (let slot = 0; slot < this.#used; slot += 1) {
      const tabletId = this.#double(slot, TABLET);
      const of = found.get(id<PartitionId>(this.#double(slot, PARTITION)));
      if (tabletId === 0 || of === undefined) continue;
      if (this.#word(slot, ROUND) === round) {
        of.replicas += 1;
        of.sum = plus(of.sum, this.#hash(slot));
      } else {
        of.others.push(id<TabletId>(tabletId));
      }
    }
    return found;
  }

  #report(slot: number): ReplicaReport {
    const flags = this.#word(slot, FLAGS);
    const term = this.#double(slot, TERM);
    const policyId = this.#double(slot, POLICY);
    const cooledVersion = this.#double(slot, COOLED_VERSION);
    const dueMs = this.#double(slot, DUE_MS);
    const metaId = (flags & HAS_META) === 0 ? undefined : this.#metaId(slot);
    const lead = { replicaId: id<ReplicaId>(this.#double(slot, LEADER)), term };
    return {
      tabletId: id<TabletId>(this.#double(slot, TABLET)),
      replicaId: id<ReplicaId>(this.#double(slot, REPLICA)),
      partitionId: id<PartitionId>(this.#double(slot, PARTITION)),
      version: this.#double(slot, VERSION),
      rows: this.#double(slot, ROWS),
      localBytes: this.#double(slot, LOCAL_BYTES),
      remoteBytes: this.#double(slot, REMOTE_BYTES),
      rowsets: this.#double(slot, ROWSETS),
      isBad: (flags & BAD) !== 0,
      ...(policyId === NONE ? {} : { policyId: id<StoragePolicyId>(policyId) }),
      ...(term === NONE ? {} : { lead }),
      ...(metaId === undefined ? {} : { metaId }),
      ...(cooledVersion === NONE ? {} : { cooledVersion }),
      cooldownState: STATES[flags >>> STATE_SHIFT] ?? 'NONE',
      ...(dueMs === NONE ? {} : { dueMs }),
      cooldownWaits: this.#waits.get(slot) ?? '',
      cooldownError: this.#errors.get(slot) ?? '',
      busy: (flags & BUSY) !== 0,
    };
  }

  #write(slot: number, report: ReplicaReport, hash: ReportHash, round: number): void {
    const { metaId } = report;
    this.#doubles.set(
      [
        report.tabletId,
        report.replicaId,
        report.partitionId,
        report.version,
        report.rows,
        report.localBytes,
        report.remoteBytes,
        report.rowsets,
        report.policyId ?? NONE,
        report.lead?.replicaId ?? NONE,
        report.lead?.term ?? NONE,
        report.cooledVersion ?? NONE,
        report.dueMs ?? NONE,
      ],
      slot * DOUBLES,
    );
    const flags =
      (report.isBad ? BAD : 0) |
      (report.busy ? BUSY : 0) |
      (metaId === undefined ? 0 : HAS_META) |
      (STATES.indexOf(report.cooldownState) << STATE_SHIFT);
    this.#words.set([flags, hash.high, hash.low, round, ...metaWords(metaId)], slot * WORDS);
    this.#keepText(this.#waits, slot, report.cooldownWaits);
    this.#keepText(this.#errors, slot, report.cooldownError);
    const isOdd = metaId !== undefined && !META_ID.test(metaId);
    this.#keepText(this.#oddMetaIds, slot, isOdd ? metaId : '');
  }

  #keepText(texts: Map<number, string>, slot: number, text: string): void {
    if (text === '') {
      texts.delete(slot);
      return;
    }
    const once = this.#texts.get(text) ?? text;
    if (this.#texts.size < TEXTS_MAX) this.#texts.set(once, once);
    texts.set(slot, once);
  }

  #isSame(slot: number, { replicaId }: ReplicaReport, hash: ReportHash): boolean {
    const { high, low } = this.#hash(slot);
    return high === hash.high && low === hash.low && this.#double(slot, REPLICA) === replicaId;
  }

  #count(slot: number, way: 'in' | 'out'): void {
    const partitionId = id<PartitionId>(this.#double(slot, PARTITION));
    const { replicas, sum } = this.sumOf(partitionId);
    const hash = this.#hash(slot);
    const after =
      way === 'in'
        ? { replicas: replicas + 1, sum: plus(sum, hash) }
        : { replicas: replicas - 1, sum: minus(sum, hash) };
    if (after.replicas === 0) this.#sums.delete(partitionId);
    else this.#sums.set(partitionId, after);
  }

  #take(tabletId: TabletId): number {
    const slot = this.#free.pop() ?? this.#used;
    if (slot === this.#used) {
      this.#used += 1;
      if (this.#used * DOUBLES > this.#doubles.length) this.#grow();
    }
    this.#slotOf.set(tabletId, slot);
    return slot;
  }

  #grow(): void {
    const capacity = Math.ceil(this.#used * 1.5);
    const doubles = new Float64Array(capacity * DOUBLES);
    doubles.set(this.#doubles);
    this.#doubles = doubles;
    const words = new Uint32Array(capacity * WORDS);
    words.set(this.#words);
    this.#words = words;
  }

  #metaId(slot: number): string {
    const odd = this.#oddMetaIds.get(slot);
    if (odd !== undefined) return odd;
    const words = this.#words.subarray(slot * WORDS + META, slot * WORDS + META + 4);
    return [...words].map((word) => word.toString(16).padStart(8, '0')).join('');
  }

  #hash(slot: number): ReportHash {
    return { high: this.#word(slot, HASH_HIGH), low: this.#word(slot, HASH_LOW) };
  }

  #double(slot: number, field: number): number {
    return this.#doubles[slot * DOUBLES + field] ?? 0;
  }

  #word(slot: number, field: number): number {
    return this.#words[slot * WORDS + field] ?? 0;
  }
}

function metaWords(metaId: string | undefined): number[] {
  if (metaId === undefined || !META_ID.test(metaId)) return [0, 0, 0, 0];
  return [0, 8, 16, 24].map((at) => Number.parseInt(metaId.slice(at, at + 8), 16));
}
