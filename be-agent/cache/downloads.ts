/** Downloads of a block cache: each block comes once for all who want it, and is kept if there is room. */
import { ObjectStoreError } from '../../base/ports.ts';
import { BLOCK_BYTES } from '../../base/schema.ts';
import type { BlockDisk, BlockWrite, Kept } from './block_disk.ts';
import type { BufferPool } from './buffer_pool.ts';
import type { CacheObject } from './cache_object.ts';
import type { AdmitRule } from './queues.ts';
import { RangeDownload } from './range_download.ts';

/** How a range is downloaded, and for whom. */
export interface Fetch {
  readonly rule: AdmitRule;
  readonly buffers: BufferPool;
  /** Slots taken before the download (warm-up), or undefined: taken when the bytes are there. */
  readonly slots: readonly number[] | undefined;
  readonly isQuery: boolean;
  readonly onRequest: (() => void) | undefined;
}

export class Downloads {
  /** Since the cache was opened. */
  readonly counts = { remoteRequests: 0, remoteBytes: 0, warmUpRequests: 0, warmUpBytes: 0 };
  /** Range downloads for warm-ups. */
  readonly warmUps = { submitted: 0, finished: 0, failed: 0 };
  readonly #disk: BlockDisk;
  /** By block name, until their blocks are written. */
  readonly #arriving = new Map<string, RangeDownload>();
  readonly #running = new Set<RangeDownload>();
  #closed = false;

  constructor(disk: BlockDisk) {
    this.#disk = disk;
  }

  /** The download that brings this block. */
  of(object: CacheObject, block: number): RangeDownload | undefined {
    return this.#arriving.get(blockName(object, block));
  }

  /** Throws an `ObjectStoreError` (ABORTED) once the cache is closed. */
  start(object: CacheObject, first: number, count: number, fetch: Fetch): RangeDownload {
    if (this.#closed) throw new ObjectStoreError('ABORTED', object.key, 'the cache is closed');
    const download = new RangeDownload(object, first, count, () => {
      this.#unregister(download);
    });
    this.#running.add(download);
    for (const block of blocksOf(first, count)) {
      this.#arriving.set(blockName(object, block), download);
    }
    void this.#run(download, fetch);
    return download;
  }

  /** What is on its way of these objects is given to who waits for it, but not kept. */
  discard(matches: (object: CacheObject) => boolean): void {
    for (const download of this.#running) {
      if (matches(download.object)) download.discarded = true;
    }
  }

  /** Ends what runs and lets nothing start; resolves when blocks being written are written. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const download of this.#running) download.abort();
    for (const download of this.#running) await download.written;
  }

  async #run(download: RangeDownload, fetch: Fetch): Promise<void> {
    const { length, signal } = download;
    const warmUps = fetch.slots === undefined ? undefined : this.warmUps;
    if (warmUps !== undefined) warmUps.submitted += 1;
    let kept: Kept[] = [];
    let range: Uint8Array | undefined;
    let buffer: Uint8Array | undefined;
    try {
      buffer = await fetch.buffers.acquire(length, signal);
      range = await this.#get(download, buffer, fetch);
      if (warmUps !== undefined) warmUps.finished += 1;
    } catch (error) {
      if (warmUps !== undefined) warmUps.failed += 1;
      for (const slot of fetch.slots ?? []) this.#disk.giveUp(slot);
      this.#unregister(download);
      download.failed(error);
    }
    if (range !== undefined) {
      download.arrived(range);
      kept = await this.#keep(download, range, fetch);
    }
    this.#unregister(download);
    download.ended(kept);
    this.#running.delete(download);
    if (buffer !== undefined) fetch.buffers.release(buffer);
  }

  async #get(download: RangeDownload, into: Uint8Array, fetch: Fetch): Promise<Uint8Array> {
    const { object, offset, length, signal } = download;
    const isWarmUp = fetch.slots !== undefined;
    fetch.onRequest?.();
    this.counts.remoteRequests += 1;
    if (isWarmUp) this.counts.warmUpRequests += 1;
    const range = await object.store.get(object.key, { offset, length, into, signal });
    this.counts.remoteBytes += range.length;
    if (isWarmUp) this.counts.warmUpBytes += range.length;
    // Given up by all while the store did not listen: the blocks may be on their way again.
    signal.throwIfAborted();
    if (range.length === length) return range;
    const ends = `ends at byte ${offset + range.length}, not at ${object.size}`;
    throw new ObjectStoreError('RANGE', object.key, `object ${object.key} ${ends}`);
  }

  /** Writes the blocks of a range; never rejects. */
  async #keep(download: RangeDownload, range: Uint8Array, fetch: Fetch): Promise<Kept[]> {
    const { object, first, count } = download;
    const slots = blocksOf(first, count).map(
      (block, place) => fetch.slots?.[place] ?? this.#disk.reserve(object, block, fetch.rule),
    );
    const writes: BlockWrite[] = [];
    for (const [place, slot] of slots.entries()) {
      if (typeof slot !== 'number') continue;
      if (fetch.isQuery) this.#disk.queried(slot);
      const block = first + place;
      writes.push({ block, slot, data: download.blockOf(range, block) });
    }
    const outcomes = await this.#disk.write(object, writes, () => !download.discarded);
    return [...outcomes, ...slots.filter((slot) => typeof slot !== 'number')];
  }

  #unregister(download: RangeDownload): void {
    const { object, first, count } = download;
    for (const block of blocksOf(first, count)) {
      const name = blockName(object, block);
      if (this.#arriving.get(name) === download) this.#arriving.delete(name);
    }
  }
}

/** Numbers of neighbouring blocks. */
export function blocksOf(first: number, count: number): number[] {
  return Array.from({ length: count }, (_, place) => first + place);
}

/** bytes of data of neighbouring blocks */
export function rangeLength(object: CacheObject, first: number, count: number): number {
  return Math.min(object.size, (first + count) * BLOCK_BYTES) - first * BLOCK_BYTES;
}

function blockName(object: CacheObject, block: number): string {
  return `${object.vaultId}/${object.key}#${block}`;
}
