/**
 * Scans that the server has read whole and keeps the rows of, each by a ticket. What a scan reads
 * never changes, so when it is asked for again only one thing is open: whether everything it would
 * read is still here. Then it counts as read, block by block, and no row goes over the wire; else the
 * server opens it again, and what is missing comes from the store as it always does.
 */
import type { OpenedScan, ScanRepeats } from '../base/agent_messages.ts';
import type { Random } from '../base/ports.ts';
import { LeaseMemory } from '../base/scan_lease.ts';
import type { BlockCache } from './cache/block_cache.ts';
import type { CacheObject } from './cache/cache_object.ts';

/** Tickets kept; past it the one that was not used for longest is forgotten. */
const TICKETS_MAX = 1000;
/** Leases: so many tickets have one and as many that were forgotten, before all leases end once. */
const SLOTS = 2 * TICKETS_MAX;
/** Reads of a scan that gets a ticket. */
const READS_MAX = 256;

export interface RepeatableScan {
  /** Whether it would read what it read the first time, and all of that is here. */
  isHere(): Promise<boolean>;
  /** Counts it as read once more. */
  count(): void;
  /** What it reads lies in the cache alone, so that the cache knows when something of it goes. */
  readonly isLeasable: boolean;
}

interface Read {
  readonly object: CacheObject;
  readonly offset: number;
  readonly length: number;
}

/** What one scan reads through the cache, and how it is counted. */
export class ScanTrace implements RepeatableScan {
  readonly #cache: BlockCache;
  readonly #countScan: () => void;
  readonly #isSame: () => Promise<boolean>;
  readonly isLeasable: boolean;
  readonly #reads: Read[] = [];

  /**
   * `countScan`: what counts besides blocks. `isSame`: whether it would still read the same rowsets,
   * and those on the local disk are there; undefined: nothing but the cache has to be asked.
   */
  constructor(
    cache: BlockCache,
    countScan: () => void,
    isSame: (() => Promise<boolean>) | undefined,
  ) {
    this.#cache = cache;
    this.#countScan = countScan;
    this.#isSame = isSame ?? (async () => await Promise.resolve(true));
    this.isLeasable = isSame === undefined;
  }

  /** A read has succeeded. Footers are parsed once and kept: a repeat would not read them either. */
  add(object: CacheObject, offset: number, length: number): void {
    if (offset >= object.indexOffset || this.#reads.length > READS_MAX) return;
    this.#reads.push({ object, offset, length });
  }

  get isShort(): boolean {
    return this.#reads.length <= READS_MAX;
  }

  async isHere(): Promise<boolean> {
    if (!(await this.#isSame())) return false;
    return this.#reads.every(({ object, offset, length }) =>
      this.#cache.hasRange(object, offset, length),
    );
  }

  count(): void {
    this.#countScan();
    for (const { object, offset, length } of this.#reads) {
      this.#cache.countHits(object, offset, length);
    }
  }
}

interface Ticket {
  readonly scan: RepeatableScan;
  /** In the leases' memory; undefined: it has none. */
  readonly slot: number | undefined;
}

export class ScanTickets {
  readonly #random: Random;
  /** The one used last is the last. */
  readonly #known = new Map<string, Ticket>();
  readonly #memory: LeaseMemory | undefined;
  readonly #freeSlots: number[];
  /** Forgotten, while the server may still count by their leases. */
  #retired: Ticket[] = [];
  #isSettling = false;

  /** `sharesMemory`: with the server, whose process this is. */
  constructor(random: Random, sharesMemory = false) {
    this.#random = random;
    this.#memory = sharesMemory ? new LeaseMemory(SLOTS) : undefined;
    this.#freeSlots = Array.from({ length: SLOTS }, (_, at) => SLOTS - 1 - at);
  }

  issue(scan: RepeatableScan): Pick<OpenedScan, 'ticket' | 'lease'> {
    const ticket = Buffer.from(this.#random.bytes(16)).toString('hex');
    if (this.#known.size >= TICKETS_MAX) this.#forgetOldest();
    const memory = scan.isLeasable ? this.#memory?.memory : undefined;
    if (memory !== undefined && this.#freeSlots.length === 0) this.endLeases();
    const slot = memory === undefined ? undefined : this.#freeSlots.pop();
    this.#known.set(ticket, { scan, slot });
    return memory === undefined || slot === undefined
      ? { ticket }
      : { ticket, lease: { memory, slot } };
  }

  async repeat({ scans }: ScanRepeats): Promise<readonly boolean[]> {
    const same: boolean[] = [];
    for (const { ticket, times } of scans) same.push(await this.#repeat(ticket, times));
    return same;
  }

  async #repeat(ticket: string, times: number): Promise<boolean> {
    const known = this.#known.get(ticket);
    if (known === undefined) return false;
    const { scan } = known;
    if (!(await scan.isHere())) {
      // Whoever opens it again gets another ticket.
      this.#forget(ticket);
      return false;
    }
    for (let time = 0; time < times; time += 1) scan.count();
    if (this.#known.delete(ticket)) this.#known.set(ticket, known);
    return true;
  }

  /** Counts what the server has counted by its leases; those it used are those used last. */
  settle(): void {
    // What is counted is touched, and what is touched may be found to be of something else and go.
    if (this.#isSettling || this.#memory?.takePending() !== true) return;
    this.#isSettling = true;
    for (const ticket of this.#retired) this.#count(ticket);
    const used: [string, Ticket][] = [];
    for (const entry of this.#known) if (this.#count(entry[1])) used.push(entry);
    for (const [name, ticket] of used) {
      this.#known.delete(name);
      this.#known.set(name, ticket);
    }
    this.#isSettling = false;
  }

  /** Something goes from the cache, or the backend stops: all leases end before that. */
  endLeases(): void {
    this.#memory?.endEra();
    if (this.#isSettling) return;
    this.settle();
    for (const { slot } of this.#retired) if (slot !== undefined) this.#freeSlots.push(slot);
    this.#retired = [];
  }

  /** As `OutsideReads` of the cache. */
  beforeLoss(): void {
    this.endLeases();
  }

  /** Whether there was anything to count. */
  #count({ scan, slot }: Ticket): boolean {
    const times = slot === undefined ? 0 : (this.#memory?.takeCount(slot) ?? 0);
    for (let time = 0; time < times; time += 1) scan.count();
    return times > 0;
  }

  #forgetOldest(): void {
    this.settle();
    const [oldest] = this.#known.keys();
    if (oldest !== undefined) this.#forget(oldest);
  }

  #forget(ticket: string): void {
    const known = this.#known.get(ticket);
    if (known === undefined) return;
    this.#known.delete(ticket);
    if (known.slot !== undefined) this.#retired.push(known);
  }
}
