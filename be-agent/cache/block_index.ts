/** Which block of which object is in which slot. Only whole, written blocks are in here. */
import { blockCount, blockLength } from './cache_object.ts';
import type { CacheQueues } from './queues.ts';
import { blockChargeBytes } from '../../base/cache_charge.ts';

const NO_SLOT = -1;

/** An object with at least one cached block, or one that is being read from disk at start. */
export interface IndexedObject {
  /** Place in the index; reused after the object is gone. */
  readonly place: number;
  /** `<vaultId>/<key>` */
  readonly name: string;
  readonly vaultId: number;
  readonly key: string;
  readonly keyBytes: number;
  /** bytes of the object */
  readonly size: number;
  readonly indexOffset: number;
  readonly tabletId: number;
  readonly partitionId: number;
  /**
   * Slot by block number; `NO_SLOT` when it is not cached. A plain array: a typed one costs four
   * times as much for the many objects of one block.
   */
  readonly slots: number[];
  cached: number;
}

export interface ObjectIdentity {
  readonly vaultId: number;
  readonly key: string;
  readonly size: number;
  readonly indexOffset: number;
  readonly tabletId: number;
  readonly partitionId: number;
}

export interface BlockOwner {
  readonly object: IndexedObject;
  readonly block: number;
}

export class BlockIndex {
  readonly #queues: CacheQueues;
  readonly #byName = new Map<string, IndexedObject>();
  readonly #byPlace: (IndexedObject | undefined)[] = [];
  readonly #freePlaces: number[] = [];
  /** Per slot: place of its object, and block number. */
  #object = new Int32Array(1024);
  #block = new Uint32Array(1024);

  constructor(queues: CacheQueues) {
    this.#queues = queues;
  }

  get objectCount(): number {
    return this.#byName.size;
  }

  objects(): IterableIterator<IndexedObject> {
    return this.#byName.values();
  }

  find(name: string): IndexedObject | undefined {
    return this.#byName.get(name);
  }

  /** Finds or adds. */
  entry(name: string, identity: ObjectIdentity): IndexedObject {
    const known = this.#byName.get(name);
    if (known !== undefined) return known;
    const place = this.#freePlaces.pop() ?? this.#byPlace.length;
    const object: IndexedObject = {
      place,
      name,
      vaultId: identity.vaultId,
      key: identity.key,
      keyBytes: Buffer.byteLength(identity.key),
      size: identity.size,
      indexOffset: identity.indexOffset,
      tabletId: identity.tabletId,
      partitionId: identity.partitionId,
      slots: Array.from({ length: blockCount(identity.size) }, () => NO_SLOT),
      cached: 0,
    };
    this.#byPlace[place] = object;
    this.#byName.set(name, object);
    return object;
  }

  /** undefined: not cached. */
  slotOf(object: IndexedObject, block: number): number | undefined {
    const slot = object.slots[block];
    return slot === undefined || slot === NO_SLOT ? undefined : slot;
  }

  attach(object: IndexedObject, block: number, slot: number): void {
    if (object.slots[block] !== NO_SLOT) {
      throw new Error(`block ${block} of ${object.name} is already cached`);
    }
    if (slot >= this.#object.length) this.#grow();
    this.#object[slot] = object.place;
    this.#block[slot] = block;
    object.slots[block] = slot;
    object.cached += 1;
  }

  /** Forgets the block, and the object with its last one. Returns what it was. */
  detach(slot: number): BlockOwner {
    const { object, block } = this.owner(slot);
    object.slots[block] = NO_SLOT;
    object.cached -= 1;
    this.forgetIfEmpty(object);
    return { object, block };
  }

  owner(slot: number): BlockOwner {
    const owner = this.ownerIfAny(slot);
    if (owner === undefined) throw new Error(`cache slot ${slot} belongs to no block`);
    return owner;
  }

  /** undefined while the slot's block is being written. */
  ownerIfAny(slot: number): BlockOwner | undefined {
    const object = this.#byPlace[this.#object[slot] ?? NO_SLOT];
    const block = this.#block[slot];
    if (object === undefined || block === undefined || object.slots[block] !== slot) {
      return undefined;
    }
    return { object, block };
  }

  forgetIfEmpty(object: IndexedObject): void {
    if (object.cached > 0 || this.#byName.get(object.name) !== object) return;
    this.#byName.delete(object.name);
    this.#byPlace[object.place] = undefined;
    this.#freePlaces.push(object.place);
  }

  #grow(): void {
    const slots = Math.max(this.#object.length * 2, this.#queues.slotLimit);
    const object = new Int32Array(slots);
    object.set(this.#object);
    this.#object = object;
    const block = new Uint32Array(slots);
    block.set(this.#block);
    this.#block = block;
  }
}

/** What a cached block of this object is charged with. */
export function blockCharge(object: IndexedObject, block: number): number {
  return blockChargeBytes(blockLength(object.size, block), object.keyBytes);
}
