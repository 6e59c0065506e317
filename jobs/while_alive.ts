/**
 * A call to a backend, for as long as the backend is alive: a process that was killed never answers,
 * and a load or a scan may take longer than anybody wants to wait to find that out.
 */
import { agentLost } from '../base/agent_lost.ts';
import type { BackendId } from '../base/ids.ts';
import type { Clock } from '../base/ports.ts';
import type { BackendRegistry } from './backend_registry.ts';

/** Between two looks whether it is alive. */
const LOOK_MS = 500;

export interface WhileAliveDeps {
  readonly registry: Pick<BackendRegistry, 'isAlive'>;
  readonly clock: Clock;
}

/**
 * What `call` answers. `call` is given a signal that aborts together with `signal`, and when the
 * backend is found dead; then AGENT_LOST is thrown, which says nothing about what it has done.
 */
export async function whileAlive<T>(
  { registry, clock }: WhileAliveDeps,
  backendId: BackendId,
  what: string,
  signal: AbortSignal,
  call: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const dead = new AbortController();
  const lost = Promise.withResolvers<never>();
  const startedMs = clock.monotonic();
  let stopTimer = (): void => undefined;
  const look = (): void => {
    stopTimer = clock.after(LOOK_MS, () => {
      if (registry.isAlive(backendId)) {
        look();
        return;
      }
      const afterMs = Math.round(clock.monotonic() - startedMs);
      const error = agentLost(backendId, what, `it was found dead after ${afterMs} ms`);
      lost.reject(error);
      dead.abort(error);
    });
  };
  look();
  try {
    return await Promise.race([call(AbortSignal.any([signal, dead.signal])), lost.promise]);
  } finally {
    stopTimer();
  }
}
