/**
 * Memory that a backend and the server share while they are one process: by it the server sees that
 * nothing which a scan has read is gone, and counts the scan, without a message to the backend's
 * thread. It is a row of 32-bit numbers:
 *
 * 0: the era. It grows before anything leaves the backend's cache, and when the backend stops.
 * 1: not 0 when somebody has counted since the backend looked last.
 * 2 and up: how often each leased scan was read since then, by slot.
 */
const ERA = 0;
const PENDING = 1;
const FIRST_SLOT = 2;

/** What the server gets with the ticket of a scan. */
export interface ScanLease {
  readonly memory: SharedArrayBuffer;
  readonly slot: number;
}

/** The server's side. */
export class LeasedScan {
  readonly #numbers: Int32Array;
  readonly #slot: number;
  /** In which all was there; undefined: the backend has not been asked yet. */
  #era: number | undefined;

  constructor({ memory, slot }: ScanLease) {
    this.#numbers = new Int32Array(memory);
    this.#slot = FIRST_SLOT + slot;
  }

  /** To be read before the backend is asked. */
  get era(): number {
    return Atomics.load(this.#numbers, ERA);
  }

  /** The backend has said that it has everything; the era was this one before it was asked. */
  renew(era: number): void {
    this.#era = era;
  }

  get isValid(): boolean {
    return Atomics.load(this.#numbers, ERA) === this.#era;
  }

  /** Counts a read, if nothing has gone since; false: nothing was counted, the backend is asked. */
  count(): boolean {
    if (!this.isValid) return false;
    Atomics.add(this.#numbers, this.#slot, 1);
    Atomics.store(this.#numbers, PENDING, 1);
    return true;
  }
}

/** The backend's side. */
export class LeaseMemory {
  readonly memory: SharedArrayBuffer;
  readonly #numbers: Int32Array;

  constructor(slots: number) {
    const { BYTES_PER_ELEMENT: bytes } = Int32Array;
    this.memory = new SharedArrayBuffer((FIRST_SLOT + slots) * bytes);
    this.#numbers = new Int32Array(this.memory);
  }

  endEra(): void {
    Atomics.add(this.#numbers, ERA, 1);
  }

  /** Whether anything was counted since it was asked last. */
  takePending(): boolean {
    return Atomics.exchange(this.#numbers, PENDING, 0) !== 0;
  }

  /** How often the scan was read since it was asked last. */
  takeCount(slot: number): number {
    return Atomics.exchange(this.#numbers, FIRST_SLOT + slot, 0);
  }
}
