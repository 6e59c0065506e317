/** ADMIN COOLDOWN TABLE: tablets that are to be cooled now, as soon as their leader knows that. */
import type { AgentTransport } from '../base/agent_messages.ts';
import type { BackendId, TabletId } from '../base/ids.ts';
import type { Clock, Log } from '../base/ports.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { BackendLiveness } from './backend_liveness.ts';
import type { ReplicaBoard } from './replica_board.ts';

/** A tablet that has no leader for so long is forgotten; its data cools when it is due. */
const GIVE_UP_MS = 600_000;
const CALL_TIMEOUT_MS = 5000;
/** Tablets in one call. */
const TABLETS_PER_CALL = 1000;

export interface CooldownNowDeps {
  readonly catalog: Catalog;
  readonly clock: Clock;
  readonly log: Log;
  readonly transport: AgentTransport;
  readonly board: ReplicaBoard;
  readonly liveness: BackendLiveness;
}

export class CooldownNow {
  readonly #deps: CooldownNowDeps;
  /** Tablet → when it was asked for, on the monotonic clock. */
  readonly #asked = new Map<TabletId, number>();

  constructor(deps: CooldownNowDeps) {
    this.#deps = deps;
  }

  add(tablets: readonly TabletId[]): void {
    const now = this.#deps.clock.monotonic();
    for (const tabletId of tablets) this.#asked.set(tabletId, now);
  }

  /** Tells the backends of those tablets that have a leader who knows it. */
  send(): void {
    const { catalog, clock } = this.#deps;
    const calls = new Map<BackendId, TabletId[]>();
    for (const [tabletId, askedMs] of this.#asked) {
      const isOver = clock.monotonic() - askedMs > GIVE_UP_MS;
      const isGone = catalog.tablets.get(tabletId) === undefined;
      const backends = isOver || isGone ? [] : this.#backendsOf(tabletId);
      if (backends.length === 0 && !isOver && !isGone) continue;
      this.#asked.delete(tabletId);
      for (const backendId of backends) {
        calls.set(backendId, [...(calls.get(backendId) ?? []), tabletId]);
      }
    }
    for (const [backendId, tablets] of calls) {
      for (let at = 0; at < tablets.length; at += TABLETS_PER_CALL) {
        void this.#call(backendId, tablets.slice(at, at + TABLETS_PER_CALL));
      }
    }
  }

  /** All that are alive: the leader uploads, the others follow. Empty: there is no leader yet. */
  #backendsOf(tabletId: TabletId): BackendId[] {
    const { catalog, board, liveness } = this.#deps;
    const lead = catalog.cooldown.lead(tabletId);
    const replicas = catalog.replicas.ofTablet(tabletId);
    const leader = replicas.find(({ replicaId }) => replicaId === lead?.replicaId);
    if (lead === undefined || leader === undefined || !liveness.isAlive(leader.backendId))
      return [];
    if (board.leadOf(leader.backendId, tabletId)?.term !== lead.term) return [];
    const backends = replicas.map(({ backendId }) => backendId);
    return backends.filter((backendId) => liveness.isAlive(backendId));
  }

  async #call(backendId: BackendId, tabletIds: readonly TabletId[]): Promise<void> {
    const { log, transport } = this.#deps;
    try {
      const options = { timeoutMs: CALL_TIMEOUT_MS };
      await transport.call(backendId, 'cooldownNow', { tabletIds }, options);
    } catch (error) {
      log.warn('a backend was not told to cool down now; it will when its data is due', {
        backendId,
        tablets: tabletIds.length,
        error: String(error),
      });
    }
  }
}
