/**
 * Rendezvous hashing: which backend of a group serves a tablet. Every tablet ranks all backends by
 * a hash of (tablet, backend) and takes the first that is alive, so adding or losing one backend of
 * n moves about 1/n of the tablets and no others (Thaler & Ravishankar, 1998).
 */
import type { BackendId, TabletId } from './ids.ts';

/** The serving backend of a tablet, or undefined when there is none. Order of input is irrelevant. */
export function servingBackend(
  tabletId: TabletId,
  alive: readonly BackendId[],
): BackendId | undefined {
  let best: BackendId | undefined;
  let bestWeight = -1;
  for (const backend of alive) {
    const weight = mix(tabletId, backend);
    if (weight > bestWeight || (weight === bestWeight && backend > (best ?? 0))) {
      best = backend;
      bestWeight = weight;
    }
  }
  return best;
}

/** 32-bit avalanche (murmur3's finaliser) over both ids, low and high halves. */
function mix(tabletId: number, backendId: number): number {
  let h = Math.imul(tabletId | 0, 0x9e3779b1) ^ Math.imul(backendId | 0, 0x85ebca77);
  h ^= Math.imul(Math.floor(tabletId / 0x1_0000_0000), 0xc2b2ae3d);
  h ^= h >>> 16;
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  h ^= h >>> 16;
  return h >>> 0;
}
