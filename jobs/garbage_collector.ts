/**
 * Deletes from the vaults what nothing refers to any more: dropped tables, aborted commits, rowsets
 * that were replaced. What a snapshot still refers to waits for its hold (`snapshot_holds.ts`).
 */
import type { AgentTransport } from '../base/agent_messages.ts';
import type { Config } from '../base/config.ts';
import type { BackendId, VaultId } from '../base/ids.ts';
import type { Clock, Log } from '../base/ports.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { GarbageItem } from '../catalog/garbage.ts';
import type { BackendRegistry } from './backend_registry.ts';
import { Periodic } from './periodic.ts';
import { GarbageHorizon, type SnapshotHolds } from './snapshot_holds.ts';

const TICK_MS = 2000;
const ITEMS_PER_TICK = 200;
/** Claims of an earlier server released with one transaction. */
const CLAIMS_AT_ONCE = 1000;
const CALL_TIMEOUT_MS = 120_000;
const LEASE_MS = 300_000;
/** Pause after a failure, doubling with every attempt up to an hour. */
const RETRY_MS_MIN = 5000;
const RETRY_MS_MAX = 3_600_000;

export interface GarbageCollectorDeps {
  readonly catalog: Catalog;
  readonly transport: AgentTransport;
  readonly registry: BackendRegistry;
  readonly holds: SnapshotHolds;
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Log;
}

export class GarbageCollector {
  readonly #deps: GarbageCollectorDeps;
  readonly #rounds: Periodic;
  readonly #stop = new AbortController();
  readonly #horizon: GarbageHorizon;
  #endGrace: () => void = () => undefined;
  #turn = 0;
  #isReleased = false;
  /** Newest item whose blocks the caches were told to drop. */
  #droppedTo = 0;

  constructor(deps: GarbageCollectorDeps) {
    this.#deps = deps;
    this.#horizon = new GarbageHorizon(deps.holds);
    this.#rounds = new Periodic({
      ...deps,
      what: 'collecting garbage',
      pauseMs: () => TICK_MS,
      round: async () => {
        await this.#releaseClaims();
        while (!this.#stop.signal.aborted && (await this.collect()) === ITEMS_PER_TICK);
      },
    });
  }

  start(): void {
    const { holds, clock, config } = this.#deps;
    // Stands for the holds of the server before this one, whose backends may still be reading.
    this.#endGrace = clock.after(config.get('garbage_grace_ms'), holds.take());
    this.#rounds.start();
  }

  async close(): Promise<void> {
    this.#stop.abort();
    this.#endGrace();
    await this.#rounds.close();
  }

  /** Once: what the server before had claimed when it ended would be left alone for the lease. */
  async #releaseClaims(): Promise<void> {
    while (!this.#isReleased && !this.#stop.signal.aborted) {
      this.#isReleased = (await this.#deps.catalog.garbage.releaseClaims(CLAIMS_AT_ONCE)) === 0;
    }
  }

  /** One round; how many items were deleted. */
  async collect(): Promise<number> {
    const { catalog, registry } = this.#deps;
    const backends = (await catalog.backends.list()).map((backend) => backend.backendId);
    const alive = registry.alive(backends);
    if (alive.length === 0) return 0;
    const newest = this.#horizon.advance(catalog.garbage.newestId());
    await this.#dropCached(newest, alive);
    const items = await catalog.garbage.claim(ITEMS_PER_TICK, LEASE_MS, newest);
    let deleted = 0;
    for (const [vaultId, group] of byVault(items)) {
      if (this.#stop.signal.aborted) break;
      if (await this.#delete(vaultId, group, alive)) deleted += group.length;
    }
    return deleted;
  }

  /**
   * Nobody refers to these any more: their blocks leave the caches at once, while the objects stay
   * for their grace. Backends that are away now hear of it when the objects are deleted.
   */
  async #dropCached(newest: number, alive: readonly BackendId[]): Promise<void> {
    const { catalog, transport } = this.#deps;
    const options = { timeoutMs: CALL_TIMEOUT_MS, signal: this.#stop.signal };
    while (!this.#stop.signal.aborted) {
      const items = catalog.garbage.between(this.#droppedTo, newest, ITEMS_PER_TICK);
      const last = items.at(-1);
      if (last === undefined) break;
      for (const [vaultId, group] of byVault(items)) {
        const prefixes = group.map((item) => item.prefix);
        await Promise.allSettled(
          alive.map((backend) =>
            transport.call(backend, 'dropCached', { vaultId, prefixes }, options),
          ),
        );
      }
      this.#droppedTo = last.garbageId;
    }
  }

  async #delete(
    vaultId: VaultId,
    items: readonly GarbageItem[],
    alive: readonly BackendId[],
  ): Promise<boolean> {
    const { catalog, transport, clock, log } = this.#deps;
    this.#turn += 1;
    const backendId = alive[this.#turn % alive.length];
    if (backendId === undefined) return false;
    const ids = items.map((item) => item.garbageId);
    const prefixes = items.map((item) => item.prefix);
    const options = { timeoutMs: CALL_TIMEOUT_MS, signal: this.#stop.signal };
    try {
      await transport.call(backendId, 'deleteObjects', { vaultId, prefixes }, options);
      await catalog.garbage.done(ids);
      await Promise.allSettled(
        alive.map((other) => transport.call(other, 'dropCached', { vaultId, prefixes }, options)),
      );
      return true;
    } catch (error) {
      const attempts = Math.max(...items.map((item) => item.attempts));
      const pauseMs = Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** Math.min(attempts, 20));
      const text = error instanceof Error ? error.message : String(error);
      log.warn('garbage could not be deleted', { vaultId, items: items.length, error: text });
      await catalog.garbage.retry(ids, clock.now() + pauseMs, text);
      return false;
    }
  }
}

function byVault<Item extends Pick<GarbageItem, 'vaultId'>>(
  items: readonly Item[],
): Map<VaultId, Item[]> {
  const groups = new Map<VaultId, Item[]>();
  for (const item of items) {
    const group = groups.get(item.vaultId);
    if (group === undefined) groups.set(item.vaultId, [item]);
    else group.push(item);
  }
  return groups;
}
