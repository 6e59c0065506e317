/** `/metrics` of a backend, by prom-client; values are read when they are asked for. */
import { Registry } from 'prom-client';
import type { CacheStats } from '../base/agent_messages.ts';
import type { BackendId } from '../base/ids.ts';
import { type MetricDoc, type Sample, counter, describe, gauge } from '../base/read_metrics.ts';
import type { BlockCache } from './cache/block_cache.ts';
import { registerCompactionMetrics } from './compaction_metrics.ts';
import { type CooldownNumbers, registerCooldownMetrics } from './cooldown_metrics.ts';
import type { Compactions } from './data/compactions.ts';
import { type ReplicaNumbers, registerReplicaMetrics } from './replica_metrics.ts';
import type { StoreCounts } from './store/metered_store.ts';
import type { VaultStores } from './vault_stores.ts';
import { type WarmUpMetricsDeps, registerWarmUpMetrics } from './warm_up_metrics.ts';

export interface AgentMetricsDeps extends WarmUpMetricsDeps {
  readonly backendId: BackendId;
  readonly stores: VaultStores;
  readonly compactions: Compactions;
  readonly cooldown: CooldownNumbers;
  readonly replicas: ReplicaNumbers;
}

type Operation = Exclude<keyof StoreCounts, 'inFlight'>;
const OPERATIONS: readonly Operation[] = ['get', 'put', 'head', 'list', 'delete'];

export class AgentMetrics {
  readonly #registry = new Registry();

  constructor(deps: AgentMetricsDeps) {
    this.#registry.setDefaultLabels({ backend_id: String(deps.backendId) });
    this.#cacheGauges(deps.cache);
    this.#cacheCounters(deps.cache);
    registerWarmUpMetrics(this.#registry, deps);
    registerCompactionMetrics(this.#registry, deps.compactions);
    registerCooldownMetrics(this.#registry, deps.cooldown);
    registerReplicaMetrics(this.#registry, deps.replicas);
    this.#storeCounters(deps.stores);
  }

  /** What is registered, for docs/metrics.md. */
  described(): readonly MetricDoc[] {
    return describe(this.#registry);
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  async text(): Promise<string> {
    return await this.#registry.metrics();
  }

  #cacheGauges(cache: BlockCache): void {
    gauge(
      this.#registry,
      { name: 'file_cache_capacity_bytes', help: 'Bytes of disk the cache may use.' },
      () => [[{}, cache.stats().capacityBytes]],
    );
    gauge(
      this.#registry,
      {
        name: 'file_cache_used_bytes',
        help: 'Bytes of disk in use, per queue.',
        labels: ['queue'],
      },
      () => cache.stats().queues.map((q) => [{ queue: q.queue }, q.usedBytes]),
    );
    gauge(
      this.#registry,
      { name: 'file_cache_blocks', help: 'Blocks in the cache, per queue.', labels: ['queue'] },
      () => cache.stats().queues.map((q) => [{ queue: q.queue }, q.blocks]),
    );
    gauge(
      this.#registry,
      { name: 'ttl_cache_size', help: 'Bytes of disk in use by the TTL queue.' },
      () => [[{}, cache.stats().queues.find((q) => q.queue === 'TTL')?.usedBytes ?? 0]],
    );
  }

  #cacheCounters(cache: BlockCache): void {
    const of = (name: string, help: string, value: (stats: CacheStats) => number): void => {
      counter(this.#registry, { name, help }, () => [[{}, value(cache.stats())]]);
    };
    of('file_cache_hit_bytes_total', 'Bytes queries read from the cache.', (s) => s.hitBytes);
    of('file_cache_miss_bytes_total', 'Bytes queries had to download.', (s) => s.missBytes);
    of('file_cache_hits_total', 'Blocks queries found in the cache.', (s) => s.hits);
    of('file_cache_misses_total', 'Blocks queries did not find.', (s) => s.misses);
    of('file_cache_warm_up_bytes_total', 'Bytes downloaded by warm-up jobs.', (s) => s.warmUpBytes);
    of(
      'file_cache_warm_up_requests_total',
      'Range requests sent by warm-up jobs.',
      (s) => s.warmUpRequests,
    );
    of(
      'file_cache_damaged_blocks_total',
      'Blocks dropped because length or checksum was wrong.',
      (s) => s.damagedBlocks,
    );
    of(
      'file_cache_write_errors_total',
      'Blocks that could not be written; they were served remotely.',
      (s) => s.writeErrors,
    );
    counter(
      this.#registry,
      {
        name: 'file_cache_evicted_bytes_total',
        help: 'Bytes evicted, per queue.',
        labels: ['queue'],
      },
      () => cache.stats().queues.map((q) => [{ queue: q.queue }, q.evictedBytes]),
    );
  }

  #storeCounters(stores: VaultStores): void {
    const sum = (pick: (counts: StoreCounts[Operation]) => number): Sample[] =>
      OPERATIONS.map((operation) => [
        { operation },
        stores.counts().reduce((total, counts) => total + pick(counts[operation]), 0),
      ]);
    counter(
      this.#registry,
      {
        name: 'object_store_requests_total',
        help: 'Calls to the object stores.',
        labels: ['operation'],
      },
      () => sum((counts) => counts.requests),
    );
    counter(
      this.#registry,
      {
        name: 'object_store_bytes_total',
        help: 'Bytes got from and put to them.',
        labels: ['operation'],
      },
      () => sum((counts) => counts.bytes),
    );
    counter(
      this.#registry,
      { name: 'object_store_errors_total', help: 'Calls that failed.', labels: ['operation'] },
      () => sum((counts) => counts.errors),
    );
    gauge(
      this.#registry,
      { name: 'object_store_requests_in_flight', help: 'Calls that are going on.' },
      () => [[{}, stores.counts().reduce((total, counts) => total + counts.inFlight, 0)]],
    );
  }
}
