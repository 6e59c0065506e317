/**
 * Tells the other replicas of a tablet at once that its leader has published, instead of leaving
 * them to find out at their next look (`generate_cooldown_task_interval_sec`). Only that: what they
 * take over they read from the resource, and a message that is lost costs nothing but time.
 */
import type { AgentTransport } from '../base/agent_messages.ts';
import type { BackendId, TabletId } from '../base/ids.ts';
import type { Clock, Log } from '../base/ports.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { BackendRegistry } from './backend_registry.ts';
import type { ReplicaBoard } from './replica_board.ts';

/** Tablets that are published together are told together. */
const PAUSE_MS = 200;
const CALL_TIMEOUT_MS = 5000;
/** Tablets of one message, and those that wait for one backend: more find out by themselves. */
const TABLETS_PER_CALL = 1000;
const WAITING_MAX = 10_000;

export interface CooldownFollowDeps {
  readonly catalog: Catalog;
  readonly board: ReplicaBoard;
  readonly registry: Pick<BackendRegistry, 'isAlive'>;
  readonly transport: AgentTransport;
  readonly clock: Clock;
  readonly log: Log;
}

export class CooldownFollow {
  readonly #deps: CooldownFollowDeps;
  readonly #waiting = new Map<BackendId, Set<TabletId>>();
  readonly #stopListening: () => void;
  #stopTimer: (() => void) | undefined;
  #sending = false;
  #isClosed = false;

  constructor(deps: CooldownFollowDeps) {
    this.#deps = deps;
    this.#stopListening = deps.board.onChange(({ backendId, tablets }) => {
      for (const tabletId of tablets) this.#reported(backendId, tabletId);
    });
  }

  close(): void {
    this.#isClosed = true;
    this.#stopListening();
    this.#stopTimer?.();
  }

  #reported(backendId: BackendId, tabletId: TabletId): void {
    const { catalog, board } = this.#deps;
    const lead = catalog.cooldown.lead(tabletId);
    if (lead === undefined) return;
    const published = board.get(backendId, tabletId, lead.replicaId);
    if (published?.metaId === undefined || published.lead?.term !== lead.term) return;
    for (const { backendId: other, replicaId } of catalog.replicas.ofTablet(tabletId)) {
      if (replicaId === lead.replicaId) continue;
      const report = board.get(other, tabletId, replicaId);
      if (report !== undefined && report.metaId !== published.metaId) this.#add(other, tabletId);
    }
  }

  #add(backendId: BackendId, tabletId: TabletId): void {
    const waiting = this.#waiting.get(backendId) ?? new Set();
    this.#waiting.set(backendId, waiting);
    if (waiting.size < WAITING_MAX) waiting.add(tabletId);
    if (this.#isClosed || this.#sending) return;
    this.#stopTimer ??= this.#deps.clock.after(PAUSE_MS, () => {
      this.#stopTimer = undefined;
      void this.#send();
    });
  }

  async #send(): Promise<void> {
    this.#sending = true;
    while (this.#waiting.size > 0 && !this.#isClosed) {
      const all = [...this.#waiting];
      this.#waiting.clear();
      await Promise.all(
        all.map(async ([backendId, tablets]) => {
          await this.#tell(backendId, [...tablets]);
        }),
      );
    }
    this.#sending = false;
  }

  async #tell(backendId: BackendId, tablets: readonly TabletId[]): Promise<void> {
    const { registry, transport, log } = this.#deps;
    const options = { timeoutMs: CALL_TIMEOUT_MS };
    for (let at = 0; at < tablets.length; at += TABLETS_PER_CALL) {
      if (!registry.isAlive(backendId)) return;
      const tabletIds = tablets.slice(at, at + TABLETS_PER_CALL);
      try {
        await transport.call(backendId, 'followNow', { tabletIds }, options);
      } catch (error) {
        log.debug('replicas were not told what is published', { backendId, error: String(error) });
        return;
      }
    }
  }
}
