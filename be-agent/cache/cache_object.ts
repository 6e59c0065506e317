/** What the block cache caches: immutable objects of a store, cut into aligned blocks. */
import type { PartitionId, TabletId, VaultId } from '../../base/ids.ts';
import type { ObjectStore } from '../../base/ports.ts';
import { BLOCK_BYTES, CACHE_QUEUES } from '../../base/schema.ts';
import type { CacheQueue } from '../../base/schema.ts';

/** An object as readers and warm-ups name it. Objects never change: (vaultId, key) is content. */
export interface CacheObject {
  readonly store: ObjectStore;
  readonly vaultId: VaultId;
  readonly key: string;
  /** bytes of the object */
  readonly size: number;
  /** Blocks that begin at or after this offset are INDEX data. */
  readonly indexOffset: number;
  readonly tabletId: TabletId;
  readonly partitionId: PartitionId;
  /** Milliseconds since the epoch until which the data belongs to the TTL queue; 0: no TTL. */
  readonly expiresMs: number;
}

/** Position in `CACHE_QUEUES`: what the policy and the files store. */
export type QueueNumber = 0 | 1 | 2 | 3;

export const NORMAL: QueueNumber = 1;
export const INDEX: QueueNumber = 2;
export const TTL: QueueNumber = 3;

export function queueName(queue: QueueNumber): CacheQueue {
  return CACHE_QUEUES[queue];
}

export function isQueueNumber(value: number): value is QueueNumber {
  return Number.isInteger(value) && value >= 0 && value < CACHE_QUEUES.length;
}

/** Names an object within one cache. */
export function objectName(vaultId: number, key: string): string {
  return `${vaultId}/${key}`;
}

export function blockCount(size: number): number {
  return Math.ceil(size / BLOCK_BYTES);
}

/** Bytes of block `block` of an object of `size` bytes: 1 MiB, or less for the last. */
export function blockLength(size: number, block: number): number {
  return Math.min(BLOCK_BYTES, size - block * BLOCK_BYTES);
}

/** The queue a block belongs to now. */
export function queueOf(object: CacheObject, block: number, nowMs: number): QueueNumber {
  // The first block is data even when the object is so small that its index begins in it at 0.
  if (block > 0 && block * BLOCK_BYTES >= object.indexOffset) return INDEX;
  return object.expiresMs > nowMs ? TTL : NORMAL;
}
