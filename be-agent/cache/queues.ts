/**
 * Which blocks stay: four LRU queues with shares, borrowing and Doris's eviction order. Pure
 * memory, no I/O and no clock; everything about a block is a row ("slot") of typed arrays, so that
 * a cache of 1 TiB (a million blocks) costs 31 bytes a block here.
 */
import { NORMAL, TTL } from './cache_object.ts';
import type { QueueNumber } from './cache_object.ts';

const NONE = -1;
const SLOTS_MIN = 1024;
/** Blocks that queries read lately and a warm-up passes over at most, to find older ones. */
const SPARED_MAX = 8192;
/** DISPOSABLE, NORMAL, INDEX, TTL: whose blocks go first. */
const EVICTION_ORDER: readonly QueueNumber[] = [0, 1, 2, 3];

/** Percent of the capacity per queue, DISPOSABLE/NORMAL/INDEX/TTL; they add up to 100. */
export type Shares = readonly [number, number, number, number];

/** Reads config `file_cache_shares`. */
export function parseShares(text: string): Shares {
  const [disposable = NaN, normal = NaN, index = NaN, ttl = NaN] = text.split('/').map(Number);
  if (disposable + normal + index + ttl !== 100) {
    throw new TypeError(`shares of the cache queues must add up to 100: ${text}`);
  }
  return [disposable, normal, index, ttl];
}

/**
 * What may be evicted for a block. A query's block may take the place of any. A warm-up without
 * FORCE counts as colder than what queries of this backend read lately, be it part of a plan or a
 * new rowset that an event brings: it takes the place only of blocks that no query read within
 * `file_cache_warm_up_spare_queried_second`, the least recently used ones first (a warm-up refreshes
 * that order too, but a block is "read" by queries alone), and never of unexpired TTL blocks for a
 * block of another queue. With FORCE it evicts as a query does. No batch evicts what it brought in
 * itself. After a restart no block counts as read until a query reads it.
 */
export interface AdmitRule {
  /** Blocks used in this era or later are not evicted; Infinity: all may be. */
  readonly keepFromEra: number;
  /** Unexpired TTL blocks are not evicted for a block of another queue. */
  readonly spareTtl: boolean;
  /** Blocks that a query read then or later are not evicted, seconds; Infinity: all may be. */
  readonly spareQueriedSec: number;
}

/** A query's admission: the plain policy. */
export const ADMIT_QUERY: AdmitRule = {
  keepFromEra: Infinity,
  spareTtl: false,
  spareQueriedSec: Infinity,
};

export interface Admission {
  readonly slot: number;
  /** Taken out of their queues; their slots stay valid until `free`. */
  readonly victims: readonly number[];
}

/**
 * Slots move through: admitted (in a queue, pinned once by its writer) → in a queue → removed
 * (evicted or dropped, not in a queue) → free. `used` counts what is in a queue.
 */
export class CacheQueues {
  #capacity: number;
  readonly #shares: Shares;
  #prev = new Int32Array(SLOTS_MIN);
  #next = new Int32Array(SLOTS_MIN);
  #bytes = new Uint32Array(SLOTS_MIN);
  #era = new Uint32Array(SLOTS_MIN);
  /** Seconds since the epoch; 0 = never. */
  #expiry = new Uint32Array(SLOTS_MIN);
  /** When a query last read the block, seconds since the epoch; 0 = not since it is here. */
  #queried = new Uint32Array(SLOTS_MIN);
  /** QueueNumber, or QUEUES for a slot that is in no queue. */
  #queue = new Uint8Array(SLOTS_MIN);
  #pins = new Uint16Array(SLOTS_MIN);
  /** Slots ever used; above it none is valid. */
  #slots = 0;
  /** Free slots, chained by #next. */
  #freeHead = NONE;
  #currentEra = 1;
  readonly #coldest: [number, number, number, number] = [NONE, NONE, NONE, NONE];
  readonly #hottest: [number, number, number, number] = [NONE, NONE, NONE, NONE];
  readonly #used: [number, number, number, number] = [0, 0, 0, 0];
  readonly #count: [number, number, number, number] = [0, 0, 0, 0];
  /** A walk in progress per queue: the next slot it will give (see `walk`). */
  readonly #cursor: [number, number, number, number] = [NONE, NONE, NONE, NONE];
  #sweep = 0;
  readonly #evictedBlocks: [number, number, number, number] = [0, 0, 0, 0];
  readonly #evictedBytes: [number, number, number, number] = [0, 0, 0, 0];

  constructor(capacityBytes: number, shares: Shares) {
    this.#capacity = capacityBytes;
    this.#shares = shares;
  }

  get capacity(): number {
    return this.#capacity;
  }

  /** Rows that the arrays must have: every slot is below this. */
  get slotLimit(): number {
    return this.#slots;
  }

  usedBytes(): number {
    return this.#used[0] + this.#used[1] + this.#used[2] + this.#used[3];
  }

  queueUsed(queue: QueueNumber): number {
    return this.#used[queue];
  }

  queueBlocks(queue: QueueNumber): number {
    return this.#count[queue];
  }

  /** Since the start, by `admit` and `trim`. */
  evicted(queue: QueueNumber): { readonly blocks: number; readonly bytes: number } {
    return { blocks: this.#evictedBlocks[queue], bytes: this.#evictedBytes[queue] };
  }

  /** Bytes of the capacity that belong to the queue when others want them. */
  share(queue: QueueNumber): number {
    return Math.floor((this.#capacity * this.#shares[queue]) / 100);
  }

  /** undefined: in no queue. */
  queueOf(slot: number): QueueNumber | undefined {
    const queue = this.#queue[slot];
    return queue === 0 || queue === 1 || queue === 2 || queue === 3 ? queue : undefined;
  }

  bytesOf(slot: number): number {
    return at(this.#bytes, slot);
  }

  /** Seconds since the epoch; 0 = never. */
  expiryOf(slot: number): number {
    return at(this.#expiry, slot);
  }

  /** From now on used blocks belong to a new era; a warm-up batch keeps its own era's blocks. */
  beginEra(): number {
    this.#currentEra += 1;
    return this.#currentEra;
  }

  /**
   * Makes room for a block and puts it at the hot end of its queue, pinned. undefined: refused,
   * and nothing has changed. O(victims + pinned blocks at the cold ends).
   */
  admit(
    queue: QueueNumber,
    bytes: number,
    expirySec: number,
    rule: AdmitRule,
  ): Admission | undefined {
    if (bytes > this.#capacity) return undefined;
    const victims = this.#victims(queue, bytes, rule);
    if (victims === undefined) return undefined;
    for (const victim of victims) this.#evict(victim);
    const slot = this.#allocate(bytes, expirySec);
    this.#pins[slot] = 1;
    this.#linkHot(queue, slot);
    return { slot, victims };
  }

  /** Puts a block found on disk at the cold end; does not look at the capacity (see `trim`). */
  insertCold(queue: QueueNumber, bytes: number, expirySec: number): number {
    const slot = this.#allocate(bytes, expirySec);
    this.#linkCold(queue, slot);
    return slot;
  }

  /** Moves to the hot end. */
  touch(slot: number): void {
    const queue = this.queueOf(slot);
    if (queue === undefined) return;
    if (this.#hottest[queue] !== slot) {
      this.#unlink(queue, slot);
      this.#linkHot(queue, slot);
    }
    this.#era[slot] = this.#currentEra;
  }

  /** A query read the block. */
  markQueried(slot: number, nowSec: number): void {
    this.#queried[slot] = nowSec;
  }

  /** Moves to the hot end of another queue (TTL expired, or the table's TTL was changed). */
  move(slot: number, queue: QueueNumber, expirySec: number): void {
    const from = this.queueOf(slot);
    if (from === undefined) return;
    this.#unlink(from, slot);
    this.#expiry[slot] = expirySec;
    this.#linkHot(queue, slot);
  }

  pin(slot: number): void {
    this.#pins[slot] = at(this.#pins, slot) + 1;
  }

  unpin(slot: number): void {
    const pins = at(this.#pins, slot);
    if (pins === 0) throw new Error(`cache slot ${slot} is not pinned`);
    this.#pins[slot] = pins - 1;
  }

  isPinned(slot: number): boolean {
    return at(this.#pins, slot) > 0;
  }

  /** Takes the block out of its queue; the slot stays valid until `free`. */
  remove(slot: number): void {
    const queue = this.queueOf(slot);
    if (queue !== undefined) this.#unlink(queue, slot);
  }

  /** Gives the slot back; it must be in no queue. */
  free(slot: number): void {
    if (this.queueOf(slot) !== undefined) throw new Error(`cache slot ${slot} is in use`);
    this.#next[slot] = this.#freeHead;
    this.#freeHead = slot;
  }

  setCapacity(bytes: number): void {
    this.#capacity = bytes;
  }

  /** Evicts until the capacity holds or only pinned blocks are left; returns who went. */
  trim(): number[] {
    const victims: number[] = [];
    let excess = this.usedBytes() - this.#capacity;
    for (const queue of EVICTION_ORDER) {
      if (excess <= 0) break;
      const above = Math.min(excess, this.#used[queue] - this.share(queue));
      const taken = this.#collect(queue, above, ADMIT_QUERY, victims);
      excess -= taken;
    }
    for (const victim of victims) this.#evict(victim);
    return victims;
  }

  /**
   * Demotes expired TTL blocks among the next `slots` slots to NORMAL; call it again and again.
   * A scan of the typed array costs about 2 ns a slot, so no list by expiry is kept.
   */
  demoteExpired(nowSec: number, slots: number): number {
    let demoted = 0;
    for (let step = Math.min(slots, this.#slots); step > 0; step -= 1) {
      if (this.#sweep >= this.#slots) this.#sweep = 0;
      const slot = this.#sweep;
      this.#sweep += 1;
      if (this.#queue[slot] !== TTL || at(this.#expiry, slot) > nowSec) continue;
      this.move(slot, NORMAL, 0);
      demoted += 1;
    }
    return demoted;
  }

  /**
   * Visits a queue from cold to hot, up to `limit` slots, and goes on where the last call of the
   * walk ended (`restart` begins anew). The walk survives changes between two calls: what is
   * touched meanwhile may come a second time. False: the end was reached.
   */
  walk(
    queue: QueueNumber,
    restart: boolean,
    limit: number,
    visit: (slot: number) => void,
  ): boolean {
    if (restart) this.#cursor[queue] = this.#coldest[queue];
    for (let step = 0; step < limit; step += 1) {
      const slot = this.#cursor[queue];
      if (slot === NONE) return false;
      this.#cursor[queue] = at(this.#next, slot);
      visit(slot);
    }
    return this.#cursor[queue] !== NONE;
  }

  #victims(queue: QueueNumber, bytes: number, rule: AdmitRule): number[] | undefined {
    const victims: number[] = [];
    let missing = bytes - (this.#capacity - this.usedBytes());
    if (missing <= 0) return victims;
    if (this.#used[queue] + bytes <= this.share(queue)) {
      for (const other of EVICTION_ORDER) {
        if (other === queue || (other === TTL && rule.spareTtl)) continue;
        const above = Math.min(missing, this.#used[other] - this.share(other));
        missing -= this.#collect(other, above, rule, victims);
        if (missing <= 0) return victims;
      }
    }
    missing -= this.#collect(queue, missing, rule, victims);
    return missing <= 0 ? victims : undefined;
  }

  /** Appends unpinned blocks from the cold end until `wanted` bytes are reached. */
  #collect(queue: QueueNumber, wanted: number, rule: AdmitRule, victims: number[]): number {
    let taken = 0;
    let spared = 0;
    let slot = this.#coldest[queue];
    // Eras never decrease from cold to hot, so the first kept one ends the search.
    while (taken < wanted && slot !== NONE && at(this.#era, slot) < rule.keepFromEra) {
      if (at(this.#queried, slot) >= rule.spareQueriedSec) {
        spared += 1;
        if (spared > SPARED_MAX) break;
      } else if (at(this.#pins, slot) === 0) {
        victims.push(slot);
        taken += at(this.#bytes, slot);
      }
      slot = at(this.#next, slot);
    }
    return taken;
  }

  #evict(slot: number): void {
    const queue = this.queueOf(slot);
    if (queue === undefined) return;
    this.#evictedBlocks[queue] += 1;
    this.#evictedBytes[queue] += at(this.#bytes, slot);
    this.#unlink(queue, slot);
  }

  #allocate(bytes: number, expirySec: number): number {
    let slot = this.#freeHead;
    if (slot === NONE) {
      if (this.#slots === this.#bytes.length) this.#grow();
      slot = this.#slots;
      this.#slots += 1;
    } else {
      this.#freeHead = at(this.#next, slot);
    }
    this.#bytes[slot] = bytes;
    this.#expiry[slot] = expirySec;
    this.#pins[slot] = 0;
    this.#era[slot] = 0;
    this.#queried[slot] = 0;
    this.#queue[slot] = NO_QUEUE;
    return slot;
  }

  #grow(): void {
    const slots = this.#bytes.length * 2;
    this.#prev = grown(this.#prev, new Int32Array(slots));
    this.#next = grown(this.#next, new Int32Array(slots));
    this.#bytes = grown(this.#bytes, new Uint32Array(slots));
    this.#era = grown(this.#era, new Uint32Array(slots));
    this.#expiry = grown(this.#expiry, new Uint32Array(slots));
    this.#queried = grown(this.#queried, new Uint32Array(slots));
    this.#queue = grown(this.#queue, new Uint8Array(slots));
    this.#pins = grown(this.#pins, new Uint16Array(slots));
  }

  #linkHot(queue: QueueNumber, slot: number): void {
    const last = this.#hottest[queue];
    this.#prev[slot] = last;
    this.#next[slot] = NONE;
    if (last === NONE) this.#coldest[queue] = slot;
    else this.#next[last] = slot;
    this.#hottest[queue] = slot;
    this.#era[slot] = this.#currentEra;
    this.#joined(queue, slot);
  }

  #linkCold(queue: QueueNumber, slot: number): void {
    const first = this.#coldest[queue];
    this.#prev[slot] = NONE;
    this.#next[slot] = first;
    if (first === NONE) this.#hottest[queue] = slot;
    else this.#prev[first] = slot;
    this.#coldest[queue] = slot;
    this.#joined(queue, slot);
  }

  #joined(queue: QueueNumber, slot: number): void {
    this.#queue[slot] = queue;
    this.#used[queue] += at(this.#bytes, slot);
    this.#count[queue] += 1;
  }

  #unlink(queue: QueueNumber, slot: number): void {
    const before = at(this.#prev, slot);
    const after = at(this.#next, slot);
    if (this.#cursor[queue] === slot) this.#cursor[queue] = after;
    if (before === NONE) this.#coldest[queue] = after;
    else this.#next[before] = after;
    if (after === NONE) this.#hottest[queue] = before;
    else this.#prev[after] = before;
    this.#queue[slot] = NO_QUEUE;
    this.#used[queue] -= at(this.#bytes, slot);
    this.#count[queue] -= 1;
  }
}

const NO_QUEUE = EVICTION_ORDER.length;

type Column = Int32Array | Uint32Array | Uint16Array | Uint8Array;

function at(column: Column, slot: number): number {
  const value = column[slot];
  if (value === undefined) throw new RangeError(`cache slot ${slot} does not exist`);
  return value;
}

function grown<T extends Column>(from: T, into: T): T {
  into.set(from);
  return into;
}
