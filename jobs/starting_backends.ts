/**
 * A server that has just started has heard of no backend yet. Who needs one waits for the first
 * heartbeats, a few seconds at most, instead of failing.
 */
import type { BackendId } from '../base/ids.ts';
import type { Clock } from '../base/ports.ts';
import type { BackendRegistry } from './backend_registry.ts';

const LOOK_MS = 50;
const LOOKS_MAX = 200;

/** Resolves when it is enough, or when none of the backends can still be starting. */
export async function untilStarted(
  { registry, clock }: { readonly registry: BackendRegistry; readonly clock: Clock },
  backends: readonly BackendId[],
  isEnough: () => boolean,
): Promise<void> {
  for (let look = 0; look < LOOKS_MAX && !isEnough(); look += 1) {
    if (!backends.some((backendId) => registry.mayBeStarting(backendId))) return;
    await clock.sleep(LOOK_MS);
  }
}
