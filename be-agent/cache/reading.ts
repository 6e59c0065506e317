/** A read in terms of blocks. */
import { BLOCK_BYTES } from '../../base/schema.ts';
import type { CacheObject } from './cache_object.ts';

export interface ReadOptions {
  readonly signal?: AbortSignal;
  /** Only queries count in the hit statistics. Default query. */
  readonly purpose?: 'query' | 'warmup' | 'other';
}

/** One call of `read`: where the bytes of each block go. */
export class Reading {
  readonly object: CacheObject;
  readonly options: ReadOptions;
  readonly isQuery: boolean;
  readonly #offset: number;
  readonly #into: Uint8Array;

  constructor(object: CacheObject, offset: number, into: Uint8Array, options: ReadOptions) {
    this.object = object;
    this.options = options;
    this.isQuery = options.purpose === undefined || options.purpose === 'query';
    this.#offset = offset;
    this.#into = into;
  }

  blocks(): number[] {
    const first = Math.floor(this.#offset / BLOCK_BYTES);
    const last = Math.floor((this.#offset + this.#into.length - 1) / BLOCK_BYTES);
    return Array.from({ length: last - first + 1 }, (_, place) => first + place);
  }

  /** Bytes of the block that were asked for. */
  bytesOf(block: number): number {
    const { start, end } = this.#span(block);
    return end - start;
  }

  copy(block: number, data: Uint8Array): void {
    const { start, end } = this.#span(block);
    const at = block * BLOCK_BYTES;
    this.#into.set(data.subarray(start - at, end - at), start - this.#offset);
  }

  #span(block: number): { readonly start: number; readonly end: number } {
    const start = Math.max(this.#offset, block * BLOCK_BYTES);
    const end = Math.min(this.#offset + this.#into.length, (block + 1) * BLOCK_BYTES);
    return { start, end };
  }
}

export interface BlockRange {
  readonly first: number;
  readonly count: number;
}

/** Joins neighbours (ascending) into ranges of at most `rangeBytes`, at least one block each. */
export function joinBlocks(blocks: readonly number[], rangeBytes: number): BlockRange[] {
  const limit = Math.max(1, Math.floor(rangeBytes / BLOCK_BYTES));
  const ranges: { first: number; count: number }[] = [];
  for (const block of blocks) {
    const last = ranges.at(-1);
    if (last !== undefined && last.first + last.count === block && last.count < limit) {
      last.count += 1;
    } else {
      ranges.push({ first: block, count: 1 });
    }
  }
  return ranges;
}
