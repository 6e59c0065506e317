/**
 * Keeps what is really on the disk within the capacity. The queues promise room at once, but the
 * files of evicted blocks go a little later: a writer waits here until its bytes are free.
 */
export class DiskRoom {
  #capacity: number;
  #used = 0;
  readonly #waiting: { readonly bytes: number; readonly go: (granted: boolean) => void }[] = [];

  constructor(capacityBytes: number) {
    this.#capacity = capacityBytes;
  }

  get capacityBytes(): number {
    return this.#capacity;
  }

  /** Bytes of files that exist, are being written or are being deleted. */
  get usedBytes(): number {
    return this.#used;
  }

  /**
   * Charges a file and resolves to true when it may be written; first come, first served. False:
   * a deletion failed, so the room that was promised may never come.
   */
  async acquire(bytes: number): Promise<boolean> {
    if (this.#waiting.length === 0 && this.#used + bytes <= this.#capacity) {
      this.#used += bytes;
      return true;
    }
    return await new Promise<boolean>((go) => {
      this.#waiting.push({ bytes, go });
    });
  }

  /** Charges a file that is there already (found at start). */
  charge(bytes: number): void {
    this.#used += bytes;
  }

  /** The file is gone. */
  release(bytes: number): void {
    this.#used -= bytes;
    this.#admit();
  }

  refuseWaiting(): void {
    for (const { go } of this.#waiting.splice(0)) go(false);
  }

  setCapacity(bytes: number): void {
    this.#capacity = bytes;
    this.#admit();
  }

  #admit(): void {
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      // A smaller capacity may never have room for one that was promised under the old one;
      // alone on an empty disk it goes through rather than waiting for ever.
      if (this.#used > 0 && this.#used + first.bytes > this.#capacity) return;
      this.#waiting.shift();
      this.#used += first.bytes;
      first.go(true);
    }
  }
}
