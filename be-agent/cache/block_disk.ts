/**
 * The blocks on disk: policy, index and files together. Whatever fails here only makes the cache
 * smaller: callers hear "not there" or "not kept" and go to the object store.
 */
import type { Clock, Log } from '../../base/ports.ts';
import { CACHE_FIXED_BYTES, blockFileBytes, blockChargeBytes } from '../../base/cache_charge.ts';
import { blockPath, encodeTail, objectHash, verifiedData } from './block_file.ts';
import { createBlockFile, errorCode, readBlockFile } from './block_files.ts';
import type { BlockIo } from './block_files.ts';
import { BlockIndex } from './block_index.ts';
import type { BlockOwner, IndexedObject } from './block_index.ts';
import { blockLength, objectName, queueName, queueOf } from './cache_object.ts';
import type { CacheObject, QueueNumber } from './cache_object.ts';
import { Deletions } from './deletions.ts';
import { DiskRoom } from './disk_room.ts';
import { CacheQueues } from './queues.ts';
import type { AdmitRule, Shares } from './queues.ts';

/** After a failed write or deletion nothing is written for this long. */
const BACK_OFF_MS = 10_000;
const LOG_INTERVAL_MS = 60_000;
const STUCK_RETRY_MAX = 16;
/** Block files written at once. */
const CREATING_MAX = 2;

export type Kept =
  | { readonly kept: true }
  | { readonly kept: false; readonly why: 'NO_ROOM' | 'DISK' | 'DROPPED'; readonly text: string };

const KEPT: Kept = { kept: true };
const DROPPED: Kept = { kept: false, why: 'DROPPED', text: 'dropped while it was written' };

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

export class BlockDisk {
  readonly dir: string;
  readonly io: BlockIo;
  readonly queues: CacheQueues;
  readonly index: BlockIndex;
  /** Per queue: blocks served from it to queries. */
  readonly hits: [number, number, number, number] = [0, 0, 0, 0];
  damagedBlocks = 0;
  writeErrors = 0;
  /** Bumped by every change of order or content; says whether a snapshot is due. */
  changes = 0;
  readonly #room: DiskRoom;
  /** Files being written, and those that wait for a turn. */
  #creating = 0;
  readonly #createQueue: (() => void)[] = [];
  readonly #deletions: Deletions;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #windowBytes: number;
  #capacity: number;
  /** Verified data by slot, least recently used first. */
  readonly #window = new Map<number, Uint8Array>();
  #windowUsed = 0;
  readonly #loads = new Map<number, Promise<Uint8Array | undefined>>();
  /** Slots whose file is gone but which a reader still pins. */
  readonly #zombies = new Set<number>();
  /** Files that could not be deleted, with the bytes they are charged with. */
  readonly #stuck = new Map<string, number>();
  #stuckBytes = 0;
  #brokenUntil = Number.NEGATIVE_INFINITY;
  #lastError = '';
  #loggedAt = Number.NEGATIVE_INFINITY;

  constructor(options: BlockDiskOptions) {
    this.dir = options.dir;
    this.io = options.io;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#windowBytes = options.windowBytes;
    this.#capacity = options.capacityBytes;
    this.queues = new CacheQueues(this.#blockCapacity(), options.shares);
    this.index = new BlockIndex(this.queues);
    this.#room = new DiskRoom(this.#blockCapacity());
    this.#deletions = new Deletions(options.io);
  }

  get capacityBytes(): number {
    return this.#capacity;
  }

  /** Charges what a rebuild put into the index and evicts what is too much. */
  async started(): Promise<void> {
    this.#room.charge(this.queues.usedBytes());
    this.#trim();
    await this.#deletions.allSettled();
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
    if (this.#clock.monotonic() < this.#brokenUntil) return this.#trouble();
    const queue = queueOf(object, block, this.#clock.now());
    const keyBytes = Buffer.byteLength(object.key);
    const bytes = blockChargeBytes(blockLength(object.size, block), keyBytes);
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

  /** `wanted` is asked again before the block becomes visible: it may have been dropped. */
  async write(
    object: CacheObject,
    block: number,
    slot: number,
    data: Uint8Array,
    wanted: () => boolean,
  ): Promise<Kept> {
    // Drops what is left of an object of another size, before its name is used again.
    this.find(object);
    const path = this.#path(object, block);
    const charge = this.queues.bytesOf(slot);
    await this.#deletions.settled(path);
    if (this.#stuck.has(path) || !(await this.#room.acquire(charge))) {
      this.giveUp(slot);
      return this.#trouble();
    }
    let failure: Kept | undefined;
    try {
      await this.#create(path, [data, this.#tail(object, block, slot, data)]);
    } catch (error) {
      this.#failed('write', path, error);
      failure = this.#trouble();
    }
    const known = this.index.entry(objectName(object.vaultId, object.key), object);
    if (failure === undefined && (!wanted() || known.size !== object.size)) failure = DROPPED;
    if (failure !== undefined) {
      this.index.forgetIfEmpty(known);
      this.giveUp(slot);
      this.#remove(path, charge);
      return failure;
    }
    this.index.attach(known, block, slot);
    this.#unpin(slot);
    this.changes += 1;
    this.#trim();
    return KEPT;
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
    const path = blockPath(this.dir, objectHash(object.vaultId, object.key), block);
    let data: Uint8Array | undefined;
    try {
      const size = blockFileBytes(blockLength(object.size, block), object.keyBytes);
      const file = await readBlockFile(this.io, path, size);
      if (file !== undefined) data = verifiedData(file, object.vaultId, object.key, block);
    } catch (error) {
      this.#warn('a cached block cannot be read', path, error);
    }
    this.#loads.delete(slot);
    if (this.index.slotOf(object, block) === slot) {
      if (data !== undefined) {
        this.#remember(slot, data);
      } else {
        this.damagedBlocks += 1;
        this.#warn('a cached block was damaged and is dropped', path, 'length or checksum');
        this.#retire(slot);
      }
    }
    this.#unpin(slot);
    return data;
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

  async deletionsSettled(): Promise<void> {
    await this.#deletions.allSettled();
  }

  /** Called about four times a second. */
  maintain(): void {
    const sweep = 65_536;
    if (this.queues.demoteExpired(Math.floor(this.#clock.now() / 1000), sweep) > 0) {
      this.changes += 1;
    }
    this.#trim();
    if (this.#stuck.size === 0 || this.#clock.monotonic() < this.#brokenUntil) return;
    let tries = 0;
    for (const [path, charge] of this.#stuck) {
      tries += 1;
      if (tries > STUCK_RETRY_MAX) break;
      this.#stuck.delete(path);
      this.#stuckBytes -= charge;
      this.#remove(path, charge);
    }
    this.#applyCapacity();
  }

  #blockCapacity(): number {
    return Math.max(0, this.#capacity - CACHE_FIXED_BYTES);
  }

  #applyCapacity(): void {
    this.#room.setCapacity(this.#blockCapacity());
    this.queues.setCapacity(Math.max(0, this.#blockCapacity() - this.#stuckBytes));
    this.#trim();
  }

  #trim(): void {
    if (this.queues.usedBytes() <= this.queues.capacity) return;
    for (const victim of this.queues.trim()) this.#retire(victim);
  }

  /** Forgets a block and removes its file. */
  #retire(slot: number): void {
    const { object, block } = this.index.detach(slot);
    this.queues.remove(slot);
    const recent = this.#window.get(slot);
    if (recent !== undefined) {
      this.#window.delete(slot);
      this.#windowUsed -= recent.length;
    }
    this.changes += 1;
    this.#remove(this.#path(object, block), this.queues.bytesOf(slot));
    if (this.queues.isPinned(slot)) this.#zombies.add(slot);
    else this.queues.free(slot);
  }

  #unpin(slot: number): void {
    this.queues.unpin(slot);
    if (this.queues.isPinned(slot) || !this.#zombies.delete(slot)) return;
    this.queues.free(slot);
  }

  #remove(path: string, charge: number): void {
    this.#deletions.add(path, (error) => {
      if (error === undefined) {
        this.#room.release(charge);
        return;
      }
      this.#stuck.set(path, charge);
      this.#stuckBytes += charge;
      this.#failed('delete', path, error);
      this.#room.refuseWaiting();
      this.#applyCapacity();
    });
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

  /** A few at a time: more only wait for each other inside the file system, and spin meanwhile. */
  async #create(path: string, parts: readonly Uint8Array[]): Promise<void> {
    if (this.#creating >= CREATING_MAX) {
      await new Promise<void>((resolve) => {
        this.#createQueue.push(resolve);
      });
    } else {
      this.#creating += 1;
    }
    try {
      await createBlockFile(this.io, path, parts);
    } finally {
      const next = this.#createQueue.shift();
      if (next === undefined) this.#creating -= 1;
      else next();
    }
  }

  #path(object: { readonly vaultId: number; readonly key: string }, block: number): string {
    return blockPath(this.dir, objectHash(object.vaultId, object.key), block);
  }

  #tail(object: CacheObject, block: number, slot: number, data: Uint8Array): Uint8Array {
    const { vaultId, key, size, indexOffset, tabletId, partitionId } = object;
    // The slot may have left its queue's rules behind meanwhile; what was admitted counts.
    const queue = this.queues.queueOf(slot) ?? queueOf(object, block, this.#clock.now());
    const expiry = this.queues.expiryOf(slot);
    const identity = { vaultId, key, size, indexOffset, tabletId, partitionId };
    return encodeTail({ ...identity, block, queue, expirySec: expiry }, data);
  }

  #failed(operation: string, path: string, error: unknown): void {
    this.writeErrors += 1;
    this.#brokenUntil = this.#clock.monotonic() + BACK_OFF_MS;
    this.#lastError = errorCode(error);
    this.#warn(`the cache cannot ${operation} a block; reads go to the store`, path, error);
  }

  /** At most one line a minute: a broken disk fails thousands of times a second. */
  #warn(event: string, path: string, error: unknown): void {
    const now = this.#clock.monotonic();
    if (now - this.#loggedAt < LOG_INTERVAL_MS) return;
    this.#loggedAt = now;
    this.#log.warn(event, { path, error: errorCode(error) });
  }

  #trouble(): Kept {
    return {
      kept: false,
      why: 'DISK',
      text: `the cache disk cannot be written: ${this.#lastError}`,
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
