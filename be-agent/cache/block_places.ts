/** Where the data of blocks lies that are in slabs, and its checksum: 8 bytes a block. */
const IN_FILE = -1;

export class BlockPlaces {
  #place = new Int32Array(0);
  #crc = new Uint32Array(0);

  /** undefined: the block of this slot has a file of its own. */
  placeOf(slot: number): number | undefined {
    const place = this.#place[slot];
    return place === undefined || place === IN_FILE ? undefined : place;
  }

  crcOf(slot: number): number {
    return this.#crc[slot] ?? 0;
  }

  inSlab(slot: number, place: number, crc: number): void {
    this.#grow(slot);
    this.#place[slot] = place;
    this.#crc[slot] = crc;
  }

  inFile(slot: number): void {
    this.#grow(slot);
    this.#place[slot] = IN_FILE;
  }

  #grow(slot: number): void {
    if (slot < this.#place.length) return;
    const slots = Math.max(1024, 2 * slot);
    const place = new Int32Array(slots).fill(IN_FILE);
    place.set(this.#place);
    this.#place = place;
    const crc = new Uint32Array(slots);
    crc.set(this.#crc);
    this.#crc = crc;
  }
}
