/**
 * Scans that the server has read whole and keeps the rows of, each by a ticket. What a scan reads
 * never changes, so when it is asked for again only one thing is open: whether everything it would
 * read is still here. Then it counts as read, block by block, and no row goes over the wire; else the
 * server opens it again, and what is missing comes from the store as it always does.
 */
import type { ScanRepeats } from '../base/agent_messages.ts';
import type { Random } from '../base/ports.ts';
import type { BlockCache } from './cache/block_cache.ts';
import type { CacheObject } from './cache/cache_object.ts';

/** Tickets kept; past it the one that was not used for longest is forgotten. */
const TICKETS_MAX = 1000;
/** Reads of a scan that gets a ticket. */
const READS_MAX = 256;

export interface RepeatableScan {
  /** Whether it would read what it read the first time, and all of that is here. */
  isHere(): Promise<boolean>;
  /** Counts it as read once more; only right after `isHere`, without a pause. */
  count(): void;
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
  readonly #reads: Read[] = [];

  /**
   * `countScan`: what counts besides blocks. `isSame`: whether it would still read the same rowsets,
   * and those on the local disk are there.
   */
  constructor(cache: BlockCache, countScan: () => void, isSame: () => Promise<boolean>) {
    this.#cache = cache;
    this.#countScan = countScan;
    this.#isSame = isSame;
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

export class ScanTickets {
  readonly #random: Random;
  /** The one used last is the last. */
  readonly #known = new Map<string, RepeatableScan>();

  constructor(random: Random) {
    this.#random = random;
  }

  issue(scan: RepeatableScan): string {
    const ticket = Buffer.from(this.#random.bytes(16)).toString('hex');
    this.#known.set(ticket, scan);
    if (this.#known.size <= TICKETS_MAX) return ticket;
    for (const oldest of this.#known.keys()) {
      this.#known.delete(oldest);
      break;
    }
    return ticket;
  }

  async repeat({ scans }: ScanRepeats): Promise<readonly boolean[]> {
    const same: boolean[] = [];
    for (const { ticket, times } of scans) same.push(await this.#repeat(ticket, times));
    return same;
  }

  async #repeat(ticket: string, times: number): Promise<boolean> {
    const scan = this.#known.get(ticket);
    if (scan === undefined) return false;
    const isHere = await scan.isHere();
    this.#known.delete(ticket);
    // Whoever opens it again gets another ticket.
    if (!isHere) return false;
    for (let time = 0; time < times; time += 1) scan.count();
    this.#known.set(ticket, scan);
    return true;
  }
}
