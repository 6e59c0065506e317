/**
 * Positive ids → slot numbers, for columns in typed arrays where there are millions of ids: 24 to
 * 48 bytes an id. Open addressing with linear probing; what is deleted leaves no gap.
 */
const CAPACITY_MIN = 16;
/** Share of used places at which the map grows. */
const FULL_SHARE_MAX = 0.5;
/** Multiplicative hashing (Knuth): 2^32 divided by the golden ratio. */
const GOLDEN = 0x9e_37_79_b1;

export class SlotMap {
  /** 0: free. */
  #keys = new Float64Array(CAPACITY_MIN);
  #slots = new Uint32Array(CAPACITY_MIN);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** -1: not there. */
  get(key: number): number {
    const at = this.#place(key);
    return this.#keys[at] === key ? (this.#slots[at] ?? 0) : -1;
  }

  /** `key` is a safe integer above 0. */
  set(key: number, slot: number): void {
    let at = this.#place(key);
    if (this.#keys[at] !== key) {
      if (this.#size + 1 > this.#keys.length * FULL_SHARE_MAX) {
        this.#grow();
        at = this.#place(key);
      }
      this.#size += 1;
    }
    this.#keys[at] = key;
    this.#slots[at] = slot;
  }

  delete(key: number): boolean {
    let gap = this.#place(key);
    if (this.#keys[gap] !== key) return false;
    const mask = this.#keys.length - 1;
    // What stands behind may have been pushed there by this one: it moves up.
    for (let at = (gap + 1) & mask; this.#keys[at] !== 0; at = (at + 1) & mask) {
      const home = this.#home(this.#keys[at] ?? 0);
      if (((at - home) & mask) < ((at - gap) & mask)) continue;
      this.#keys[gap] = this.#keys[at] ?? 0;
      this.#slots[gap] = this.#slots[at] ?? 0;
      gap = at;
    }
    this.#keys[gap] = 0;
    this.#size -= 1;
    return true;
  }

  *keys(): Generator<number> {
    for (const key of this.#keys) if (key !== 0) yield key;
  }

  #home(key: number): number {
    const mixed = Math.imul((key >>> 0) ^ Math.floor(key / 2 ** 32), GOLDEN);
    return (mixed ^ (mixed >>> 15)) & (this.#keys.length - 1);
  }

  /** Where the key is, or where it would go. */
  #place(key: number): number {
    const mask = this.#keys.length - 1;
    let at = this.#home(key);
    while (this.#keys[at] !== 0 && this.#keys[at] !== key) at = (at + 1) & mask;
    return at;
  }

  #grow(): void {
    const [keys, slots] = [this.#keys, this.#slots];
    this.#keys = new Float64Array(keys.length * 2);
    this.#slots = new Uint32Array(keys.length * 2);
    keys.forEach((key, at) => {
      if (key === 0) return;
      const place = this.#place(key);
      this.#keys[place] = key;
      this.#slots[place] = slots[at] ?? 0;
    });
  }
}
