/**
 * The blocks on disk: policy, index and files together. Whatever fails here only makes the cache
 * smaller: callers hear "not there" or "not kept" and go to the object store.
 */
import type { Clock, Log } from '../../base/ports.ts';
import { crc32 } from 'node:zlib';
import { CACHE_FIXED_BYTES, blockFileBytes, blockChargeBytes } from '../../base/cache_charge.ts';
import { BLOCK_BYTES } from '../../base/schema.ts';
import { blockPath, encodeTail, objectHash, verifiedData } from './block_file.ts';
import { readBlockFile } from './block_files.ts';
import type { BlockIo } from './block_files.ts';
import { BlockIndex } from './block_index.ts';
import type { BlockOwner, IndexedObject } from './block_index.ts';
import { BlockPlaces } from './block_places.ts';
import { BlockStorage } from './block_storage.ts';
import { blockLength, objectName, queueName, queueOf } from './cache_object.ts';
import type { CacheObject, QueueNumber } from './cache_object.ts';
import { CacheQueues } from './queues.ts';
import type { AdmitRule, Shares } from './queues.ts';
import { placesOf } from './slabs.ts';
import type { Slabs } from './slabs.ts';

export type Kept =
  | { readonly kept: true }
  | { readonly kept: false; readonly why: 'NO_ROOM' | 'DISK' | 'DROPPED'; readonly text: string };

const KEPT: Kept = { kept: true };
const DROPPED: Kept = { kept: false, why: 'DROPPED', text: 'dropped while it was written' };

/** A block to be written, and the slot that `reserve` gave for it. */
export interface BlockWrite {
  readonly block: number;
  readonly slot: number;
  readonly data: Uint8Array;
}

export interface BlockDiskOptions {
  readonly dir: string;
  readonly capacityBytes: number;
  readonly shares: Shares;
  readonly io: BlockIo;
  readonly clock: Clock;
  readonly log: Log;
  /** Bytes of recently verified blocks kept in memory; 0: none. */
  readonly windowBytes: number;
}

/** Reads of blocks that somebody else counts, and brings in now and then. */
export interface OutsideReads {
  /** Brings them in, before anybody looks at counts or order. */
  settle(): void;
  /** A block is about to be forgotten. */
  beforeLoss(): void;
}

export class BlockDisk {
  readonly dir: string;
  readonly io: BlockIo;
  readonly queues: CacheQueues;
  readonly index: BlockIndex;
  readonly places = new BlockPlaces();
  /** Per queue: blocks served from it to queries. */
  readonly hits: [number, number, number, number] = [0, 0, 0, 0];
  damagedBlocks = 0;
  outsideReads: OutsideReads = { settle: () => undefined, beforeLoss: () => undefined };
  /** Bumped by every change of order or content; says whether a snapshot is due. */
  changes = 0;
  readonly #storage: BlockStorage;
  readonly #clock: Clock;
  readonly #windowBytes: number;
  #capacity: number;
  /** Verified data by slot, least recently used first. */
  readonly #window = new Map<number, Uint8Array>();
  #windowUsed = 0;
  readonly #loads = new Map<number, Promise<Uint8Array | undefined>>();
  /** Slots whose block is forgotten but which a reader still pins. */
  readonly #zombies = new Set<number>();

  constructor(options: BlockDiskOptions) {
    this.dir = options.dir;
    this.io = options.io;
    this.#clock = options.clock;
    this.#windowBytes = options.windowBytes;
    this.#capacity = options.capacityBytes;
    this.queues = new CacheQueues(this.#blockCapacity(), options.shares);
    this.index = new BlockIndex(this.queues);
    this.#storage = new BlockStorage({
      ...options,
      capacityBytes: this.#blockCapacity(),
      move: async (slot, from, to) => await this.#move(slot, from, to),
      onStuck: () => {
        this.#applyCapacity();
      },
    });
  }

  get slabs(): Slabs {
    return this.#storage.slabs;
  }

  get writeErrors(): number {
    return this.#storage.writeErrors;
  }

  get capacityBytes(): number {
    return this.#capacity;
  }

  /** Charges what a rebuild put into the index and evicts what is too much. */
  async started(): Promise<void> {
    this.#storage.charge(this.queues.usedBytes());
    this.#trim();
    await this.#storage.settled();
  }

  find(object: CacheObject): IndexedObject | undefined {
    const known = this.index.find(objectName(object.vaultId, object.key));
    if (known === undefined || known.size === object.size) return known;
    // Objects are immutable: another size means that the blocks are of something else.
    this.dropObject(known);
    return undefined;
  }

  /** Slot of a cached block; undefined: not there. */
  slotOf(object: CacheObject, block: number): number | undefined {
    const known = this.find(object);
    return known === undefined ? undefined : this.index.slotOf(known, block);
  }

  /** Marks as used just now, and puts it into the queue it belongs to by now. */
  touch(object: CacheObject, block: number, slot: number): void {
    this.changes += 1;
    const wanted = queueOf(object, block, this.#clock.now());
    if (this.queues.queueOf(slot) === wanted) this.queues.touch(slot);
    else this.queues.move(slot, wanted, expirySec(object));
  }

  /** A query read the block from the cache. */
  hit(slot: number): void {
    this.queried(slot);
    const queue = this.queues.queueOf(slot);
    if (queue !== undefined) this.hits[queue] += 1;
  }

  /** A query read the block, here or on its way in. */
  queried(slot: number): void {
    this.queues.markQueried(slot, Math.floor(this.#clock.now() / 1000));
  }

  /** Takes room for a block that will be written; give the slot to `write` or `giveUp`. */
  reserve(object: CacheObject, block: number, rule: AdmitRule): number | Kept {
    if (this.#storage.isBroken) return this.#trouble();
    const queue = queueOf(object, block, this.#clock.now());
    const keyBytes = Buffer.byteLength(object.key);
    const bytes = blockChargeBytes(blockLength(object.size, block), keyBytes);
    this.outsideReads.settle();
    const admission = this.queues.admit(queue, bytes, expirySec(object), rule);
    if (admission === undefined) return this.#noRoom(queue, bytes, rule);
    for (const victim of admission.victims) this.#retire(victim);
    return admission.slot;
  }

  giveUp(slot: number): void {
    this.queues.remove(slot);
    this.#unpin(slot);
    this.queues.free(slot);
  }

  /**
   * Writes blocks of one object, neighbours at once where that is possible; what became of each.
   * `wanted` is asked again before a block becomes visible: it may have been dropped.
   */
  async write(
    object: CacheObject,
    writes: readonly BlockWrite[],
    wanted: () => boolean,
  ): Promise<readonly Kept[]> {
    // Drops what is left of an object of another size, before its name is used again.
    this.find(object);
    const kept = new Map<BlockWrite, Kept>();
    const whole = writes.filter(({ data }) => data.length === BLOCK_BYTES);
    await Promise.all([
      this.#writeWhole(object, whole, wanted, kept),
      ...writes.map(async (write) => {
        if (write.data.length === BLOCK_BYTES) return;
        kept.set(write, await this.#writeFile(object, write, wanted));
      }),
    ]);
    this.#trim();
    return writes.map((write) => kept.get(write) ?? this.#trouble());
  }

  async #writeWhole(
    object: CacheObject,
    writes: readonly BlockWrite[],
    wanted: () => boolean,
    kept: Map<BlockWrite, Kept>,
  ): Promise<void> {
    if (writes.length === 0) return;
    let rest = (await this.#storage.acquireSlots(writes.length)) ? writes : [];
    if (rest.length === 0) for (const { slot } of writes) this.giveUp(slot);
    while (rest.length > 0) {
      const run = await this.#storage.takeSlots(rest.length);
      if (run === undefined) {
        this.#storage.releaseSlots(rest.length);
        break;
      }
      const part = rest.slice(0, run.count);
      rest = rest.slice(run.count);
      const crcs = part.map(({ data }) => crc32(data));
      const tails = part.map((write, step) => this.#tail(object, write, crcs[step] ?? 0));
      const data = part.map((write) => write.data);
      const written = await this.#storage.writeSlots(run, data, tails);
      for (const [step, place] of placesOf(run).entries()) {
        const write = part[step];
        if (write === undefined) continue;
        const failure = written ? this.#attach(object, write, wanted) : this.#trouble();
        kept.set(write, failure ?? KEPT);
        if (failure === undefined) {
          this.places.inSlab(write.slot, place, crcs[step] ?? 0);
          this.slabs.setLive(place, write.slot);
          this.#unpin(write.slot);
        } else {
          this.giveUp(write.slot);
          this.#storage.removeSlot(place);
        }
      }
    }
    for (const { slot } of rest) this.giveUp(slot);
  }

  async #writeFile(object: CacheObject, write: BlockWrite, wanted: () => boolean): Promise<Kept> {
    const { block, slot, data } = write;
    const path = this.#path(object, block);
    const charge = this.queues.bytesOf(slot);
    const parts = [data, this.#tail(object, write, crc32(data))];
    if (!(await this.#storage.writeFile(path, charge, parts))) {
      this.giveUp(slot);
      return this.#trouble();
    }
    const failure = this.#attach(object, write, wanted);
    if (failure !== undefined) {
      this.giveUp(slot);
      this.#storage.removeFile(path, charge);
      return failure;
    }
    this.places.inFile(slot);
    this.#unpin(slot);
    return KEPT;
  }

  /** Makes a written block visible, unless it must not become it. */
  #attach(
    object: CacheObject,
    { block, slot }: BlockWrite,
    wanted: () => boolean,
  ): Kept | undefined {
    const known = this.index.entry(objectName(object.vaultId, object.key), object);
    if (!wanted() || known.size !== object.size) {
      this.index.forgetIfEmpty(known);
      return DROPPED;
    }
    this.index.attach(known, block, slot);
    this.changes += 1;
    return undefined;
  }

  /** Verified data of a cached block; undefined: it was damaged and is dropped. Do not keep it. */
  async load(slot: number): Promise<Uint8Array | undefined> {
    const recent = this.#window.get(slot);
    if (recent !== undefined) {
      this.#window.delete(slot);
      this.#window.set(slot, recent);
      return recent;
    }
    const running = this.#loads.get(slot);
    if (running !== undefined) return await running;
    const loading = this.#load(slot, this.index.owner(slot));
    this.#loads.set(slot, loading);
    return await loading;
  }

  async #load(slot: number, owner: BlockOwner): Promise<Uint8Array | undefined> {
    const { object, block } = owner;
    this.queues.pin(slot);
    let data: Uint8Array | undefined;
    const place = this.places.placeOf(slot);
    const path = this.#path(object, block);
    try {
      data =
        place === undefined
          ? await this.#readFile(object, block)
          : await this.#readSlot(slot, place);
    } catch (error) {
      this.#storage.warn('a cached block cannot be read', path, error);
    }
    this.#loads.delete(slot);
    if (this.index.slotOf(object, block) === slot) {
      if (data !== undefined) {
        this.#remember(slot, data);
      } else {
        this.damagedBlocks += 1;
        const event = 'a cached block was damaged and is dropped';
        this.#storage.warn(event, path, 'length or checksum');
        this.#retire(slot);
      }
    }
    this.#unpin(slot);
    return data;
  }

  async #readFile(object: IndexedObject, block: number): Promise<Uint8Array | undefined> {
    const size = blockFileBytes(blockLength(object.size, block), object.keyBytes);
    const file = await readBlockFile(this.io, this.#path(object, block), size);
    if (file === undefined) return undefined;
    return verifiedData(file, object.vaultId, object.key, block);
  }

  async #readSlot(slot: number, place: number): Promise<Uint8Array | undefined> {
    // Not from Buffer's shared pool: the result may be kept in the window of recent blocks.
    const data = Buffer.allocUnsafeSlow(BLOCK_BYTES);
    if (!(await this.slabs.read(place, data))) return undefined;
    return crc32(data) === this.places.crcOf(slot) ? data : undefined;
  }

  dropObject(object: IndexedObject): void {
    for (const slot of object.slots) if (slot >= 0) this.#retire(slot);
  }

  /** Forgets everything that is not being written; bytes that were dropped. */
  dropSome(limit: number): number {
    let dropped = 0;
    let count = 0;
    for (const object of this.index.objects()) {
      if (count >= limit) break;
      for (const slot of object.slots) {
        if (slot < 0) continue;
        dropped += this.queues.bytesOf(slot);
        count += 1;
        this.#retire(slot);
      }
    }
    return dropped;
  }

  setCapacity(bytes: number): void {
    this.#capacity = bytes;
    this.#applyCapacity();
  }

  /** Resolves when the disk holds no more than the capacity. */
  async settled(): Promise<void> {
    await this.#storage.settled();
  }

  /** Resolves when what was dropped takes up no disk. */
  async giveBackIdle(): Promise<void> {
    await this.#storage.giveBackIdle();
  }

  /** After it the disk is left alone; writers must have ended. */
  async close(): Promise<void> {
    await Promise.all(this.#loads.values());
    await this.#storage.close();
  }

  /** Called about four times a second. */
  maintain(): void {
    const sweep = 65_536;
    if (this.queues.demoteExpired(Math.floor(this.#clock.now() / 1000), sweep) > 0) {
      this.changes += 1;
    }
    this.#trim();
    this.#storage.maintain();
  }

  #blockCapacity(): number {
    return Math.max(0, this.#capacity - CACHE_FIXED_BYTES);
  }

  #applyCapacity(): void {
    this.#storage.setCapacity(this.#blockCapacity());
    this.queues.setCapacity(Math.max(0, this.#blockCapacity() - this.#storage.stuckBytes));
    this.#trim();
  }

  #trim(): void {
    if (this.queues.usedBytes() <= this.queues.capacity) return;
    this.outsideReads.settle();
    for (const victim of this.queues.trim()) this.#retire(victim);
  }

  /** Forgets a block and removes it from the disk. */
  #retire(slot: number): void {
    this.outsideReads.beforeLoss();
    const { object, block } = this.index.detach(slot);
    this.queues.remove(slot);
    const recent = this.#window.get(slot);
    if (recent !== undefined) {
      this.#window.delete(slot);
      this.#windowUsed -= recent.length;
    }
    this.changes += 1;
    if (this.places.placeOf(slot) === undefined) {
      this.#storage.removeFile(this.#path(object, block), this.queues.bytesOf(slot));
    }
    if (this.queues.isPinned(slot)) this.#zombies.add(slot);
    else this.#free(slot);
  }

  #unpin(slot: number): void {
    this.queues.unpin(slot);
    if (this.queues.isPinned(slot) || !this.#zombies.delete(slot)) return;
    this.#free(slot);
  }

  /** Nobody reads it any more: its place in a slab may be used for another block. */
  #free(slot: number): void {
    const place = this.places.placeOf(slot);
    this.places.inFile(slot);
    this.queues.free(slot);
    if (place !== undefined) this.#storage.removeSlot(place);
  }

  /** See `MoveBlock`. Pinned meanwhile, so that neither place is used for something else. */
  async #move(slot: number, from: number, to: number): Promise<boolean> {
    const isThere = (): boolean =>
      this.index.ownerIfAny(slot) !== undefined && this.places.placeOf(slot) === from;
    if (!isThere()) return false;
    this.queues.pin(slot);
    try {
      await this.slabs.copy(from, to);
      if (!isThere()) {
        await this.slabs.erase(to);
        return false;
      }
      this.places.inSlab(slot, to, this.places.crcOf(slot));
      this.slabs.moved(slot, from, to);
      await this.#loads.get(slot);
      await this.#eraseMoved(from);
      return true;
    } finally {
      this.#unpin(slot);
    }
  }

  /** A row that stays says the same as the one at the new place. */
  async #eraseMoved(place: number): Promise<void> {
    try {
      await this.slabs.erase(place);
    } catch (error) {
      this.#storage.failed('delete', `slab place ${place}`, error);
    }
  }

  #remember(slot: number, data: Uint8Array): void {
    if (data.length > this.#windowBytes) return;
    this.#window.set(slot, data);
    this.#windowUsed += data.length;
    for (const [oldest, bytes] of this.#window) {
      if (this.#windowUsed <= this.#windowBytes) return;
      this.#window.delete(oldest);
      this.#windowUsed -= bytes.length;
    }
  }

  #path(object: { readonly vaultId: number; readonly key: string }, block: number): string {
    return blockPath(this.dir, objectHash(object.vaultId, object.key), block);
  }

  #tail(object: CacheObject, { block, slot, data }: BlockWrite, crc: number): Uint8Array {
    const { vaultId, key, size, indexOffset, tabletId, partitionId } = object;
    // The slot may have left its queue's rules behind meanwhile; what was admitted counts.
    const queue = this.queues.queueOf(slot) ?? queueOf(object, block, this.#clock.now());
    const expiry = this.queues.expiryOf(slot);
    const identity = { vaultId, key, size, indexOffset, tabletId, partitionId };
    return encodeTail({ ...identity, block, queue, expirySec: expiry }, data.length, crc);
  }

  #trouble(): Kept {
    return {
      kept: false,
      why: 'DISK',
      text: `the cache disk cannot be written: ${this.#storage.lastError}`,
    };
  }

  #noRoom(queue: QueueNumber, bytes: number, rule: AdmitRule): Kept {
    const { queues } = this;
    const text =
      `no room in the cache: ${bytes} bytes needed in queue ${queueName(queue)}, ` +
      `which has ${queues.queueUsed(queue)} of its share of ${queues.share(queue)}; ` +
      `${queues.usedBytes()} of ${queues.capacity} bytes are used` +
      (rule.spareTtl ? '; without FORCE, TTL blocks and what queries read lately stay' : '');
    return { kept: false, why: 'NO_ROOM', text };
  }
}

function expirySec(object: CacheObject): number {
  return Math.min(0xffff_ffff, Math.ceil(object.expiresMs / 1000));
}
