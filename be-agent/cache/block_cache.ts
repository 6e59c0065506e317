/**
 * The block cache of a backend: objects of the store are read through it in blocks of 1 MiB that
 * are kept on the local disk (DESIGN section 2, reference/warm-up 1.13).
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { CacheStats, QueueStats } from '../../base/agent_messages.ts';
import type { Clock, Log } from '../../base/ports.ts';
import { ObjectStoreError } from '../../base/ports.ts';
import { BLOCK_BYTES } from '../../base/schema.ts';
import type { CacheQueue } from '../../base/schema.ts';
import { BlockDisk, type OutsideReads } from './block_disk.ts';
import { errorCode, systemBlockIo } from './block_files.ts';
import type { BlockIo } from './block_files.ts';
import { SharedBufferPool } from './buffer_pool.ts';
import { blockCount, blockLength, objectName, queueName } from './cache_object.ts';
import type { CacheObject, QueueNumber } from './cache_object.ts';
import { Downloads } from './downloads.ts';
import { ADMIT_QUERY } from './queues.ts';
import type { Shares } from './queues.ts';
import { RangeWarmer } from './range_warmer.ts';
import type { WarmRangeOptions, WarmRangeResult } from './range_warmer.ts';
import { Reading, joinBlocks } from './reading.ts';
import type { ReadOptions } from './reading.ts';
import { rebuild } from './rebuild.ts';
import type { RebuildResult } from './rebuild.ts';
import { writeSnapshot } from './snapshot.ts';

const MAINTENANCE_MS = 250;
const SNAPSHOT_INTERVAL_MS = 10_000;
/** Bytes of downloads for queries that are on their way or not yet written. */
const QUERY_BUFFER_BYTES = 64 * 2 ** 20;
/** A block found damaged is fetched anew; that often in one read only when the disk is broken. */
const READ_ATTEMPTS = 4;
/** Blocks dropped between two turns of the event loop. */
const CLEAR_STEP_BLOCKS = 512;
const QUEUES: readonly QueueNumber[] = [0, 1, 2, 3];

export interface BlockCacheOptions {
  readonly dir: string;
  /** Bytes of disk; never exceeded. */
  readonly capacityBytes: number;
  /** Percent per queue; see `parseShares`. */
  readonly shares: Shares;
  readonly clock: Clock;
  readonly log: Log;
  /** Longest range asked of the store at once; asked anew for every read. */
  readonly rangeBytes: () => number;
  /** Memory for recently verified blocks; 0: none. Default 16 MiB. */
  readonly windowBytes?: number;
  readonly io?: BlockIo;
}

export interface CachedBlockInfo {
  readonly vaultId: number;
  readonly key: string;
  readonly tabletId: number;
  /** bytes from the object's start */
  readonly offset: number;
  /** bytes of data */
  readonly size: number;
  readonly queue: CacheQueue;
}

export class BlockCache {
  readonly rebuilt: RebuildResult;
  readonly #disk: BlockDisk;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #rangeBytes: () => number;
  readonly #queryBuffers = new SharedBufferPool(BLOCK_BYTES, QUERY_BUFFER_BYTES);
  readonly #downloads: Downloads;
  readonly #warmer: RangeWarmer;
  readonly #counts = { hits: 0, hitBytes: 0, misses: 0, missBytes: 0 };
  /** Range downloads for warm-ups. */
  readonly warmUpDownloads: Downloads['warmUps'];
  /** Objects with cached blocks that the server said are gone. */
  readonly recycled = { requested: 0, finished: 0 };
  #closed = false;
  #stopMaintenance: () => void = () => undefined;
  #snapshotChanges = 0;
  #snapshotAt: number;
  #snapshotting: Promise<void> | undefined;

  /** Rebuilds the index from the directory, which is made if need be. Rejects if it cannot. */
  static async open(options: BlockCacheOptions): Promise<BlockCache> {
    const io = options.io ?? systemBlockIo;
    const disk = new BlockDisk({ windowBytes: 16 * 2 ** 20, ...options, io });
    await io.mkdir(options.dir);
    const startedAt = options.clock.monotonic();
    const rebuilt = await rebuild({
      io,
      dir: options.dir,
      queues: disk.queues,
      index: disk.index,
      places: disk.places,
      slabs: disk.slabs,
      log: options.log,
    });
    await disk.started();
    const milliseconds = Math.round(options.clock.monotonic() - startedAt);
    options.log.debug('block cache opened', { path: options.dir, ...rebuilt, milliseconds });
    return new BlockCache(options, disk, rebuilt);
  }

  private constructor(options: BlockCacheOptions, disk: BlockDisk, rebuilt: RebuildResult) {
    this.rebuilt = rebuilt;
    this.#disk = disk;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#rangeBytes = options.rangeBytes;
    this.#downloads = new Downloads(disk);
    this.warmUpDownloads = this.#downloads.warmUps;
    this.#warmer = new RangeWarmer(disk, this.#downloads, options.rangeBytes);
    this.#snapshotAt = options.clock.monotonic();
    this.#scheduleMaintenance();
  }

  /**
   * Reads `length` bytes at `offset`. What is cached comes from the disk, checked; what is not is
   * downloaded, once for all who want it, and kept if there is room.
   * Rejects with `RangeError`, an `ObjectStoreError`, or the signal's reason.
   */
  async read(
    object: CacheObject,
    offset: number,
    length: number,
    options: ReadOptions = {},
  ): Promise<Uint8Array> {
    if (!(offset >= 0 && length >= 0 && offset + length <= object.size)) {
      const range = `${offset}..${offset + length}`;
      throw new RangeError(`bytes ${range} are not in ${object.key} of ${object.size} bytes`);
    }
    options.signal?.throwIfAborted();
    const into = new Uint8Array(length);
    if (length === 0) return into;
    const reading = new Reading(object, offset, into, options);
    let blocks = reading.blocks();
    for (let attempt = 1; blocks.length > 0; attempt += 1) {
      if (attempt > READ_ATTEMPTS) {
        throw new ObjectStoreError('DISK', object.key, `the cache disk damages ${object.key}`);
      }
      blocks = await this.#readBlocks(reading, blocks);
    }
    return into;
  }

  /** One pass; returns the blocks that turned out damaged and are no longer cached. */
  async #readBlocks(reading: Reading, blocks: readonly number[]): Promise<number[]> {
    const { object, options } = reading;
    const damaged: number[] = [];
    const parts: Promise<void>[] = [];
    const missing: number[] = [];
    for (const block of blocks) {
      const slot = this.#disk.slotOf(object, block);
      const download = this.#downloads.of(object, block);
      if (slot !== undefined) {
        parts.push(this.#readCached(reading, block, slot, damaged));
      } else if (download === undefined) {
        missing.push(block);
      } else {
        this.#countMiss(reading, block);
        const consume = (range: Uint8Array): void => {
          reading.copy(block, download.blockOf(range, block));
        };
        parts.push(download.take(consume, options.signal));
      }
    }
    for (const { first, count } of joinBlocks(missing, this.#rangeBytes())) {
      parts.push(this.#readMissing(reading, first, count));
    }
    await Promise.all(parts);
    return damaged;
  }

  async #readCached(
    reading: Reading,
    block: number,
    slot: number,
    damaged: number[],
  ): Promise<void> {
    const { object, options } = reading;
    // What is read to be replaced is not used more for it.
    if (options.purpose !== 'other') this.#disk.touch(object, block, slot);
    const data = await this.#disk.load(slot);
    if (data === undefined) {
      damaged.push(block);
      return;
    }
    reading.copy(block, data);
    options.signal?.throwIfAborted();
    if (!reading.isQuery) return;
    this.#disk.hit(slot);
    this.#counts.hits += 1;
    this.#counts.hitBytes += reading.bytesOf(block);
  }

  async #readMissing(reading: Reading, first: number, count: number): Promise<void> {
    const download = this.#downloads.start(reading.object, first, count, {
      rule: ADMIT_QUERY,
      buffers: this.#queryBuffers,
      slots: undefined,
      isQuery: reading.isQuery,
      onRequest: undefined,
    });
    for (let block = first; block < first + count; block += 1) this.#countMiss(reading, block);
    await download.take((range) => {
      for (let block = first; block < first + count; block += 1) {
        reading.copy(block, download.blockOf(range, block));
      }
    }, reading.options.signal);
  }

  #countMiss(reading: Reading, block: number): void {
    if (!reading.isQuery) return;
    this.#counts.misses += 1;
    this.#counts.missBytes += reading.bytesOf(block);
  }

  // -------------------------------------------------------------------------------------------
  // For warm-ups

  /** Blocks used from now on are of this era: a batch does not evict what it brought in. */
  beginBatch(): number {
    return this.#disk.queues.beginEra();
  }

  isCached(object: CacheObject, block: number): boolean {
    return this.#disk.slotOf(object, block) !== undefined;
  }

  /** Makes the object's cached blocks the most recently used ones. */
  touch(object: CacheObject): void {
    const known = this.#disk.find(object);
    if (known === undefined) return;
    for (const [block, slot] of known.slots.entries()) {
      if (slot >= 0) this.#disk.touch(object, block, slot);
    }
  }

  /**
   * Brings neighbouring blocks into the cache: waits for those that are on their way to somebody
   * else and downloads what is then missing. Resolves when everything is written or refused.
   */
  async warmRange(
    object: CacheObject,
    first: number,
    count: number,
    options: WarmRangeOptions,
  ): Promise<WarmRangeResult> {
    return await this.#warmer.warm(object, first, count, options);
  }

  // -------------------------------------------------------------------------------------------
  // What is there

  /** Whether every block of the object is in the cache now. */
  hasBlocks(object: CacheObject): boolean {
    const known = this.#disk.find(object);
    return object.size === 0 || known?.cached === blockCount(object.size);
  }

  /** Whether a read of these bytes would find all of them here. */
  hasRange(object: CacheObject, offset: number, length: number): boolean {
    const known = this.#disk.find(object);
    if (known === undefined) return length === 0;
    const last = Math.floor((offset + length - 1) / BLOCK_BYTES);
    for (let block = Math.floor(offset / BLOCK_BYTES); block <= last; block += 1) {
      if (this.#disk.index.slotOf(known, block) === undefined) return false;
    }
    return true;
  }

  /** Counts a query that needs these bytes again and still has them; `hasRange` must be true. */
  countHits(object: CacheObject, offset: number, length: number): void {
    const end = offset + length;
    for (let block = Math.floor(offset / BLOCK_BYTES); block * BLOCK_BYTES < end; block += 1) {
      const slot = this.#disk.slotOf(object, block);
      if (slot === undefined) continue;
      this.#disk.touch(object, block, slot);
      this.#disk.hit(slot);
      this.#counts.hits += 1;
      const from = Math.max(offset, block * BLOCK_BYTES);
      this.#counts.hitBytes += Math.min(end, (block + 1) * BLOCK_BYTES) - from;
    }
  }

  /** bytes of data of the object's blocks that are not in the cache now */
  missingBytes(object: CacheObject): number {
    const known = this.#disk.find(object);
    if (known === undefined) return object.size;
    if (known.cached === known.slots.length) return 0;
    let missing = 0;
    for (const [block, slot] of known.slots.entries()) {
      if (slot < 0) missing += blockLength(object.size, block);
    }
    return missing;
  }

  /** From now on others count reads, too; they bring them in with `countHits`. */
  followOutsideReads(reads: OutsideReads): void {
    this.#disk.outsideReads = reads;
  }

  stats(): CacheStats {
    this.#disk.outsideReads.settle();
    const { queues } = this.#disk;
    return {
      path: this.#disk.dir,
      capacityBytes: this.#disk.capacityBytes,
      usedBytes: queues.usedBytes(),
      queues: QUEUES.map((queue): QueueStats => {
        const evicted = queues.evicted(queue);
        return {
          queue: queueName(queue),
          capacityBytes: queues.share(queue),
          usedBytes: queues.queueUsed(queue),
          blocks: queues.queueBlocks(queue),
          evictedBlocks: evicted.blocks,
          evictedBytes: evicted.bytes,
          hits: this.#disk.hits[queue],
        };
      }),
      ...this.#counts,
      ...this.#downloads.counts,
      damagedBlocks: this.#disk.damagedBlocks,
      writeErrors: this.#disk.writeErrors,
    };
  }

  /** Cached blocks of objects whose key contains `part`, e.g. `<rowset>_<segment>.dat`. */
  list(part: string, limit: number): CachedBlockInfo[] {
    const found: CachedBlockInfo[] = [];
    for (const object of this.#disk.index.objects()) {
      if (!object.key.includes(part)) continue;
      for (const [block, slot] of object.slots.entries()) {
        const queue = slot < 0 ? undefined : this.#disk.queues.queueOf(slot);
        if (queue === undefined) continue;
        if (found.length >= limit) return found;
        const { vaultId, key, tabletId } = object;
        const size = blockLength(object.size, block);
        const offset = block * BLOCK_BYTES;
        found.push({ vaultId, key, tabletId, offset, size, queue: queueName(queue) });
      }
    }
    return found;
  }

  // -------------------------------------------------------------------------------------------
  // What an operator asks for

  /** Drops all blocks and their files; bytes of disk that were freed. */
  async clear(): Promise<number> {
    let cleared = 0;
    this.#downloads.discard(() => true);
    for (;;) {
      const dropped = this.#disk.dropSome(CLEAR_STEP_BLOCKS);
      if (dropped === 0) break;
      cleared += dropped;
      await nextTurn();
    }
    await this.#disk.giveBackIdle();
    return cleared;
  }

  /** Changes the capacity and evicts what is too much; resolves when the files are gone. */
  async resetCapacity(bytes: number): Promise<void> {
    this.#disk.setCapacity(bytes);
    await this.#disk.settled();
  }

  /** The object was deleted from the store. */
  dropObject(vaultId: number, key: string): void {
    this.#downloads.discard((object) => object.vaultId === vaultId && object.key === key);
    const known = this.#disk.index.find(objectName(vaultId, key));
    if (known !== undefined) this.#disk.dropObject(known);
  }

  /** All objects of the vault under the prefix were deleted from the store. */
  async dropPrefix(vaultId: number, prefix: string): Promise<void> {
    const isUnder = (object: { readonly vaultId: number; readonly key: string }): boolean =>
      object.vaultId === vaultId && object.key.startsWith(prefix);
    this.#downloads.discard(isUnder);
    let seen = 0;
    for (const object of this.#disk.index.objects()) {
      seen += 1;
      if (seen % (8 * CLEAR_STEP_BLOCKS) === 0) await nextTurn();
      if (isUnder(object)) {
        this.recycled.requested += 1;
        this.#disk.dropObject(object);
        this.recycled.finished += 1;
      }
    }
  }

  /** Ends running downloads and writes the order of the blocks; blocks being written are kept. */
  async close(): Promise<void> {
    if (this.#closed) return;
    await this.abandon();
    await this.#snapshot();
  }

  /**
   * Stops as a killed process would, without saving the order. Waits until the files are left
   * alone: the directory may be opened again in the same process.
   */
  async abandon(): Promise<void> {
    this.#closed = true;
    this.#stopMaintenance();
    await this.#downloads.close();
    await this.#snapshotting;
    await this.#disk.close();
  }

  // -------------------------------------------------------------------------------------------
  // Maintenance

  #scheduleMaintenance(): void {
    this.#stopMaintenance = this.#clock.after(MAINTENANCE_MS, () => {
      if (this.#closed) return;
      this.#disk.outsideReads.settle();
      this.#disk.maintain();
      const now = this.#clock.monotonic();
      if (now - this.#snapshotAt >= SNAPSHOT_INTERVAL_MS && this.#snapshotting === undefined) {
        this.#snapshotAt = now;
        this.#snapshotting = this.#snapshot().finally(() => {
          this.#snapshotting = undefined;
        });
      }
      this.#scheduleMaintenance();
    });
  }

  /** Never rejects: without it a restart only knows the order of ten seconds earlier. */
  async #snapshot(): Promise<void> {
    const { io, dir, queues, index, changes } = this.#disk;
    if (changes === this.#snapshotChanges) return;
    try {
      await writeSnapshot(io, dir, queues, index);
      this.#snapshotChanges = changes;
    } catch (error) {
      this.#log.debug('the order of the cache was not saved', { error: errorCode(error) });
    }
  }
}
