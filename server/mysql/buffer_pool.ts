/** Bytes of a buffer to encode into: a SHOW of 20 × 26 cells fits with its column block. */
const LARGE_BYTES = 64 * 1024;
/** Bytes of a buffer that a short answer waits in until its stream has taken it. */
const SMALL_BYTES = 8 * 1024;
/** Free buffers kept of each size, 4 and 8 MiB at most, whatever the number of connections. */
const FREE_MAX: Readonly<Record<number, number>> = { [LARGE_BYTES]: 64, [SMALL_BYTES]: 1024 };

/**
 * Output buffers shared by all connections of a listener. A connection holds one only while it
 * encodes and its stream writes, so an idle connection costs none.
 */
export class BufferPool {
  readonly #free: Readonly<Record<number, Buffer[]>> = { [LARGE_BYTES]: [], [SMALL_BYTES]: [] };

  /** A large one. */
  acquire(): Buffer {
    return this.#take(LARGE_BYTES);
  }

  /** A small one for so many bytes; undefined: they are too many. */
  acquireFor(bytes: number): Buffer | undefined {
    return bytes <= SMALL_BYTES ? this.#take(SMALL_BYTES) : undefined;
  }

  /** Gives a buffer back that nobody else refers to; one of another size is left to the GC. */
  release(buffer: Buffer): void {
    const free = this.#free[buffer.length];
    if (free !== undefined && free.length < (FREE_MAX[buffer.length] ?? 0)) free.push(buffer);
  }

  #take(bytes: number): Buffer {
    return this.#free[bytes]?.pop() ?? Buffer.allocUnsafeSlow(bytes);
  }
}
