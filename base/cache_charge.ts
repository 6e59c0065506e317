/**
 * What a block costs in a cache. The server plans with it and the backend charges it: a plan that
 * counted bytes of objects only would not fit into the cache it filled to the brim.
 */
import { BLOCK_BYTES } from './schema.ts';

const DISK_UNIT_BYTES = 4096;
/**
 * Behind the data of a block's file stand its key and this. Those of a block of 1 MiB lie in the row
 * of its slot instead (be-agent/cache/slabs.ts), which takes no more than the unit charged for them.
 */
export const CACHE_TRAILER_BYTES = 80;
/** The directories of a cache while they are small, and what a snapshot has besides its blocks. */
export const CACHE_FIXED_BYTES = 128 * 1024;
/**
 * What a block costs besides its file: its name in a directory, and its share of two index
 * snapshots (with its object's record, which other blocks share in the good case). Charged in
 * full, so that the disk never holds more than the capacity.
 */
const OVERHEAD_BYTES = 768;

/** bytes of the file of a block with `dataBytes` bytes of data */
export function blockFileBytes(dataBytes: number, keyBytes: number): number {
  return dataBytes + keyBytes + CACHE_TRAILER_BYTES;
}

/** Bytes of disk that a block is charged with: its file in 4 KiB units, and its overhead. */
export function blockChargeBytes(dataBytes: number, keyBytes: number): number {
  const units = Math.ceil(blockFileBytes(dataBytes, keyBytes) / DISK_UNIT_BYTES);
  return units * DISK_UNIT_BYTES + OVERHEAD_BYTES;
}

/** Bytes of disk that all blocks of an object are charged with. */
export function objectChargeBytes(size: number, keyBytes: number): number {
  const last = size % BLOCK_BYTES;
  const whole = Math.floor(size / BLOCK_BYTES) * blockChargeBytes(BLOCK_BYTES, keyBytes);
  return whole + (last === 0 ? 0 : blockChargeBytes(last, keyBytes));
}
