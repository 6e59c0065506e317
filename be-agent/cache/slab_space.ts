/**
 * Which slots of one slab file are free. Pure memory. A slot is
 * FREE → TAKEN (being written) → LIVE → TAKEN (its row is being erased) → FREE,
 * or FREE → TARGET (a block is being moved there) → LIVE.
 */
const FREE = 0;
const TAKEN = 1;
const LIVE = 2;
const TARGET = 3;
const SLOTS_MIN = 64;
const NO_OWNER = -1;

export interface SlotRun {
  readonly first: number;
  readonly count: number;
}

export class SlabSpace {
  #state = new Uint8Array(SLOTS_MIN);
  /** Per live slot: row of the block in the cache's queues. */
  #owner = new Int32Array(SLOTS_MIN);
  /** Slots that the file has. */
  #high = 0;
  #free = 0;
  #targets = 0;
  /** No slot below it is free. */
  #lowest = 0;
  /** Writes under way. */
  writers = 0;
  /** While it is made smaller nothing new goes into it. */
  locked = false;

  get high(): number {
    return this.#high;
  }

  get free(): number {
    return this.#free;
  }

  /** Slots that take up disk and hold no block. */
  get idle(): number {
    return this.#free + this.#targets;
  }

  /** The lowest free slot and up to `limit` in all that follow it; undefined: none is free. */
  takeFree(limit: number): SlotRun | undefined {
    if (this.#free === 0) return undefined;
    const first = this.#lowestFree();
    let count = 0;
    while (count < limit && first + count < this.#high && this.#state[first + count] === FREE) {
      this.#state[first + count] = TAKEN;
      count += 1;
    }
    this.#free -= count;
    this.#lowest = first + count;
    return { first, count };
  }

  /** New slots at the end. */
  extend(count: number): SlotRun {
    const first = this.#high;
    this.#high += count;
    this.#grow();
    this.#state.fill(TAKEN, first, this.#high);
    return { first, count };
  }

  setLive(slot: number, owner: number): void {
    if (this.#state[slot] === TARGET) this.#targets -= 1;
    this.#state[slot] = LIVE;
    this.#owner[slot] = owner;
  }

  /** The block is forgotten; `release` follows when its row is erased. */
  retire(slot: number): void {
    this.#state[slot] = TAKEN;
  }

  release(slot: number): void {
    if (this.#state[slot] === FREE) throw new Error(`slab slot ${slot} is free already`);
    if (this.#state[slot] === TARGET) this.#targets -= 1;
    this.#state[slot] = FREE;
    this.#free += 1;
    this.#lowest = Math.min(this.#lowest, slot);
  }

  /** Free slots at the end of the file. */
  trailingFree(): number {
    let end = this.#high;
    while (end > 0 && this.#state[end - 1] === FREE) end -= 1;
    return this.#high - end;
  }

  /** The file has become shorter by this many free slots. */
  cut(count: number): void {
    this.#high -= count;
    this.#free -= count;
    this.#lowest = Math.min(this.#lowest, this.#high);
  }

  /** The last slot's block and the lowest free slot, reserved for it; undefined: cannot move now. */
  beginMove(): { readonly from: number; readonly to: number; readonly owner: number } | undefined {
    const from = this.#high - 1;
    if (this.#free === 0 || this.#state[from] !== LIVE) return undefined;
    const to = this.#lowestFree();
    this.#state[to] = TARGET;
    this.#free -= 1;
    this.#targets += 1;
    return { from, to, owner: this.#owner[from] ?? NO_OWNER };
  }

  /** At start: so many slots, all free; `restore` says which are not. */
  found(slots: number): void {
    this.#high = slots;
    this.#grow();
    this.#free = slots;
  }

  restore(slot: number, owner: number): void {
    if (this.#state[slot] !== FREE) throw new Error(`slab slot ${slot} is not free`);
    this.#free -= 1;
    this.setLive(slot, owner);
  }

  #lowestFree(): number {
    let slot = this.#lowest;
    while (slot < this.#high && this.#state[slot] !== FREE) slot += 1;
    this.#lowest = slot;
    return slot;
  }

  #grow(): void {
    if (this.#high <= this.#state.length) return;
    const slots = Math.max(this.#high, 2 * this.#state.length);
    const state = new Uint8Array(slots);
    state.set(this.#state);
    this.#state = state;
    const owner = new Int32Array(slots);
    owner.set(this.#owner);
    this.#owner = owner;
  }
}
