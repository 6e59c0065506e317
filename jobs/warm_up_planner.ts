/**
 * Pure planning of a warm-up: which tablets go to which backend in which batch.
 * Rules: reference/warm-up 1.4, DESIGN 4.11 (the hottest are loaded last, so that they stay newest).
 */
import { CACHE_FIXED_BYTES } from '../base/cache_charge.ts';
import type { BackendId, TabletId } from '../base/ids.ts';
import { servingBackend } from '../base/placement.ts';

export interface PlanTablet {
  readonly tabletId: TabletId;
  /** Visible bytes of the tablet, as stored. */
  readonly bytes: number;
  /** Bytes of the cache's capacity that they take (base/cache_charge.ts). */
  readonly needBytes: number;
}

export interface PlanBackend {
  readonly backendId: BackendId;
  readonly cacheCapacityBytes: number;
}

export interface PlannedBatch {
  readonly backendId: BackendId;
  /** 0-based, per backend. */
  readonly batch: number;
  readonly tabletIds: readonly TabletId[];
  readonly bytes: number;
}

export interface Plan {
  readonly batches: readonly PlannedBatch[];
  readonly totalBytes: number;
  readonly totalTablets: number;
  /** Capacity that all tablets together need, those left out too. */
  readonly neededBytes: number;
  readonly capacityBytes: number;
  /** Tablets left out because the caches are full. */
  readonly leftOut: number;
}

export interface PlanOptions {
  readonly backends: readonly PlanBackend[];
  readonly maxBatchBytes: number;
  /**
   * given: keep the order of the list, take what fits from its start (WITH TABLE).
   * hottestFirst: the list is hottest first; take what fits, load in reverse (WITH COMPUTE GROUP).
   */
  readonly order: 'given' | 'hottestFirst';
}

/**
 * Takes tablets from the start of the list while each one's serving backend has room for it.
 * A tablet that does not fit ends the taking for its backend: a colder one never replaces it.
 */
export function planWarmUp(tablets: readonly PlanTablet[], options: PlanOptions): Plan {
  const ids = options.backends.map((backend) => backend.backendId);
  const room = new Map(
    options.backends.map((b) => [b.backendId, b.cacheCapacityBytes - CACHE_FIXED_BYTES]),
  );
  const full = new Set<BackendId>();
  const taken = new Map<BackendId, PlanTablet[]>();
  let neededBytes = 0;
  let leftOut = 0;
  for (const tablet of tablets) {
    neededBytes += tablet.needBytes;
    const backend = servingBackend(tablet.tabletId, ids);
    const left = backend === undefined ? -1 : (room.get(backend) ?? 0) - tablet.needBytes;
    if (backend === undefined || left < 0 || full.has(backend)) {
      if (backend !== undefined) full.add(backend);
      leftOut += 1;
      continue;
    }
    room.set(backend, left);
    const list = taken.get(backend);
    if (list === undefined) taken.set(backend, [tablet]);
    else list.push(tablet);
  }
  const batches = [...taken].flatMap(([backendId, list]) => {
    const ordered = options.order === 'hottestFirst' ? list.toReversed() : list;
    return cutIntoBatches(backendId, ordered, options.maxBatchBytes);
  });
  return {
    batches,
    totalBytes: batches.reduce((sum, batch) => sum + batch.bytes, 0),
    totalTablets: tablets.length - leftOut,
    neededBytes,
    capacityBytes: options.backends.reduce((sum, b) => sum + b.cacheCapacityBytes, 0),
    leftOut,
  };
}

/** Consecutive tablets up to `maxBytes` a batch; one larger tablet is a batch of its own. */
export function cutIntoBatches(
  backendId: BackendId,
  tablets: readonly Pick<PlanTablet, 'tabletId' | 'bytes'>[],
  maxBytes: number,
): PlannedBatch[] {
  const batches: PlannedBatch[] = [];
  let tabletIds: TabletId[] = [];
  let bytes = 0;
  const flush = (): void => {
    if (tabletIds.length === 0) return;
    batches.push({ backendId, batch: batches.length, tabletIds, bytes });
    tabletIds = [];
    bytes = 0;
  };
  for (const tablet of tablets) {
    if (bytes + tablet.bytes > maxBytes || tabletIds.length >= BATCH_TABLETS_MAX) flush();
    tabletIds.push(tablet.tabletId);
    bytes += tablet.bytes;
  }
  flush();
  return batches;
}

/** Tablets in one batch at most: bounds the size of a dispatch message. */
export const BATCH_TABLETS_MAX = 2000;
