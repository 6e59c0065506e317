/** Bytes of a pooled output buffer: a SHOW of 20 × 26 cells fits with its column block. */
const POOLED_BYTES = 64 * 1024;
/** Free buffers kept: 4 MiB at most, whatever the number of connections. */
const FREE_MAX = 64;

/**
 * Output buffers shared by all connections of a listener. A connection holds one only while it
 * encodes, so an idle connection costs none.
 */
export class BufferPool {
  readonly #free: Buffer[] = [];

  acquire(): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(POOLED_BYTES);
  }

  /** Gives a buffer back that nobody else refers to; one of another size is left to the GC. */
  release(buffer: Buffer): void {
    if (buffer.length === POOLED_BYTES && this.#free.length < FREE_MAX) this.#free.push(buffer);
  }
}
