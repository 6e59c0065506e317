/**
 * Reads of what is about to be replaced (compactions, schema changes): what the cache has is taken
 * from it, and what it has not is not put there. Neither the order of the cache nor its hit ratio
 * changes.
 */
import { BLOCK_BYTES } from '../base/schema.ts';
import type { BlockCache } from './cache/block_cache.ts';
import type { CacheObject } from './cache/cache_object.ts';

/** Exactly `length` bytes from `offset`. Rejects with an ObjectStoreError or the signal's reason. */
export async function readAside(
  cache: BlockCache,
  object: CacheObject,
  offset: number,
  length: number,
  signal: AbortSignal,
): Promise<Uint8Array> {
  if (isCached(cache, object, offset, length)) {
    return await cache.read(object, offset, length, { purpose: 'other', signal });
  }
  return await object.store.get(object.key, { offset, length, signal });
}

function isCached(cache: BlockCache, object: CacheObject, offset: number, length: number): boolean {
  const last = Math.floor((offset + length - 1) / BLOCK_BYTES);
  for (let block = Math.floor(offset / BLOCK_BYTES); block <= last; block += 1) {
    if (!cache.isCached(object, block)) return false;
  }
  return true;
}
