/** Reused download buffers with a bound on their sum; one pool serves all backends of a process. */
export interface BufferPool {
  /** A buffer of at least `bytes`; waits while the others hold too much. */
  acquire(bytes: number, signal?: AbortSignal): Promise<Uint8Array>;
  release(buffer: Uint8Array): void;
}

interface Waiter {
  readonly bytes: number;
  readonly give: (buffer: Uint8Array) => void;
}

/**
 * Buffers are of the unit size, or larger for a caller that asks for more; `bytesMax` bounds
 * those handed out and those kept together. A single request above the bound is served alone.
 */
export class SharedBufferPool implements BufferPool {
  readonly #unitBytes: number;
  readonly #bytesMax: number;
  #handedOut = 0;
  readonly #idle: Uint8Array[] = [];
  readonly #waiting: Waiter[] = [];

  constructor(unitBytes: number, bytesMax: number) {
    this.#unitBytes = unitBytes;
    this.#bytesMax = bytesMax;
  }

  get handedOutBytes(): number {
    return this.#handedOut;
  }

  async acquire(bytes: number, signal?: AbortSignal): Promise<Uint8Array> {
    signal?.throwIfAborted();
    if (this.#waiting.length === 0) {
      const buffer = this.#take(bytes);
      if (buffer !== undefined) return buffer;
    }
    return await new Promise<Uint8Array>((resolve, reject) => {
      const leave = (): void => {
        const place = this.#waiting.indexOf(waiter);
        if (place >= 0) this.#waiting.splice(place, 1);
        reject(signal?.reason as Error);
        this.#serve();
      };
      const waiter: Waiter = {
        bytes,
        give: (buffer) => {
          signal?.removeEventListener('abort', leave);
          resolve(buffer);
        },
      };
      signal?.addEventListener('abort', leave, { once: true });
      this.#waiting.push(waiter);
    });
  }

  release(buffer: Uint8Array): void {
    this.#handedOut -= buffer.length;
    if (buffer.length === this.#unitBytes) this.#idle.push(buffer);
    this.#serve();
  }

  #serve(): void {
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      const buffer = this.#take(first.bytes);
      if (buffer === undefined) return;
      this.#waiting.shift();
      first.give(buffer);
    }
  }

  #take(bytes: number): Uint8Array | undefined {
    const size = Math.max(bytes, this.#unitBytes);
    if (size === this.#unitBytes) {
      const idle = this.#idle.pop();
      if (idle !== undefined) {
        this.#handedOut += size;
        return idle;
      }
    }
    if (this.#handedOut > 0 && this.#handedOut + size > this.#bytesMax) return undefined;
    // Idle buffers of the unit size give way to a larger one.
    while (this.#handedOut + this.#idle.length * this.#unitBytes + size > this.#bytesMax) {
      if (this.#idle.pop() === undefined) break;
    }
    this.#handedOut += size;
    return Buffer.allocUnsafeSlow(size);
  }
}
