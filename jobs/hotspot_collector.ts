/**
 * Fetches from the backends how often partitions were read, and stores it in
 * `__internal_schema.cloud_cache_hotspot` (reference/warm-up 1.7). Besides the interval it runs
 * whenever somebody needs the numbers: a warm-up planned on counts of an hour ago misses the point.
 */
import type { AgentTransport, HotPartition } from '../base/agent_messages.ts';
import { type BackendDef, baseIndexOf } from '../base/schema.ts';
import type { Config } from '../base/config.ts';
import type { Clock, Log } from '../base/ports.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { HotspotCount } from '../catalog/hotspots.ts';
import type { BackendRegistry } from './backend_registry.ts';
import { Periodic } from './periodic.ts';

/** Longest that somebody waits for one backend's counts. */
const FETCH_TIMEOUT_MS = 5000;

export interface HotspotCollectorDeps {
  readonly catalog: Catalog;
  readonly transport: AgentTransport;
  readonly registry: BackendRegistry;
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Log;
}

export class HotspotCollector {
  readonly #deps: HotspotCollectorDeps;
  readonly #rounds: Periodic;

  constructor(deps: HotspotCollectorDeps) {
    this.#deps = deps;
    this.#rounds = new Periodic({
      ...deps,
      what: 'collecting access counts',
      pauseMs: () => deps.config.get('fetch_cluster_cache_hotspot_interval_ms'),
      round: async () => {
        if (deps.config.get('enable_fetch_cluster_cache_hotspot')) await this.collect();
        await deps.catalog.hotspots.expire();
      },
    });
  }

  start(): void {
    this.#rounds.start();
  }

  async close(): Promise<void> {
    await this.#rounds.close();
  }

  /** Fetches from all alive backends of a group, or of all. A silent backend is left out. */
  async collect(computeGroupName?: string): Promise<void> {
    const { catalog, registry, log } = this.#deps;
    const backends = (await catalog.backends.list()).filter(
      (backend) =>
        (computeGroupName === undefined || backend.computeGroupName === computeGroupName) &&
        registry.isAlive(backend.backendId),
    );
    await Promise.all(
      backends.map(async (backend) => {
        try {
          await this.#fetch(backend);
        } catch (error) {
          const { backendId } = backend;
          log.warn('access counts could not be fetched', { backendId, error: String(error) });
        }
      }),
    );
  }

  async #fetch(backend: BackendDef): Promise<void> {
    const { catalog, transport } = this.#deps;
    const { backendId, computeGroupId, computeGroupName } = backend;
    const confirm = await catalog.hotspots.token(backendId);
    const reply = await transport.call(
      backendId,
      'hotspots',
      { confirm },
      { timeoutMs: FETCH_TIMEOUT_MS },
    );
    // Nothing to store, nothing to confirm: a cycle of a periodic job every second is no write.
    if (reply.partitions.length === 0) return;
    const named = await Promise.all(reply.partitions.map((hot) => this.#named(hot)));
    const counts = named.flat();
    const { token } = reply;
    await catalog.hotspots.add({ computeGroupId, computeGroupName, backendId, token, counts });
  }

  /** Names for ids; a partition that was dropped meanwhile is left out. */
  async #named(hot: HotPartition): Promise<HotspotCount[]> {
    const { catalog } = this.#deps;
    const table = await catalog.tables.byId(hot.tableId);
    const partition = table?.partitions.find((p) => p.partitionId === hot.partitionId);
    if (table === undefined || partition === undefined) return [];
    // A schema change has replaced it since: what was read was the base index, or is one with it.
    const index = table.indexes.find((i) => i.indexId === hot.indexId) ?? baseIndexOf(table);
    return [
      {
        ...hot,
        indexId: index.indexId,
        tableName: `${table.databaseName}.${table.name}`,
        indexName: index.name,
        partitionName: partition.name,
        fileCacheSize: catalog.tablets.partitionSize(hot.partitionId).bytes,
      },
    ];
  }
}
