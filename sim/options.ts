/** Everything a run may vary, drawn from its seed: topology, sizes, workload, fault rates. */
import type { SeededRandom } from './seeded_random.ts';
import type { DiskFaults } from './sim_disk.ts';
import type { NetworkFaults } from './sim_network.ts';
import type { StoreFaults } from './sim_store.ts';

export interface SimOptions {
  /** Backends of each compute group at the start. */
  readonly groups: readonly number[];
  readonly tables: number;
  readonly partitions: number;
  readonly buckets: number;
  /** Event-driven jobs that are there from the start. */
  readonly eventJobs: number;
  /** Largest ordinary segment, bytes. */
  readonly segmentBytesMax: number;
  /** Whether some segments are larger than a block. */
  readonly largeSegments: boolean;
  /** Statements and other things that people do in phase one. */
  readonly events: number;
  /** Mean pause between two of them, milliseconds. */
  readonly pauseMs: number;
  /** Agents die and start with the server, as embedded ones do. */
  readonly embedded: boolean;
  /** Wall clocks of agents are up to this ahead, milliseconds. */
  readonly skewMsMax: number;
  readonly serverConfig: Readonly<Record<string, string>>;
  readonly agentConfig: Readonly<Record<string, string>>;
  readonly network: NetworkFaults;
  readonly store: StoreFaults;
  readonly disk: DiskFaults;
  /** Mean milliseconds between two faults of a kind; 0: none. */
  readonly faults: FaultRates;
}

export interface FaultRates {
  readonly serverCrashMs: number;
  readonly agentCrashMs: number;
  readonly agentHangMs: number;
  readonly partitionMs: number;
  /** Backends that come back with an empty disk. */
  readonly diskLossMs: number;
}

/** Workload events of a run unless somebody asks for another number. */
const EVENTS_MAX = 60;

export function drawOptions(random: SeededRandom, events?: number): SimOptions {
  const maybe = <T>(value: T, otherwise: T): T => (random.chance(0.5) ? value : otherwise);
  const groups = Array.from({ length: random.between(2, 3) }, () => random.between(1, 3));
  const smallCaches = random.chance(0.2);
  const capacityBytes = smallCaches ? 2 ** 20 : 256 * 2 ** 20;
  const intervalMs = random.one([200, 500, 1000]);
  const agentConfig = {
    file_cache_capacity_bytes: String(capacityBytes),
    file_cache_download_concurrency: String(random.one([1, 2, 4, 8])),
    file_cache_download_range_bytes: String(random.one([1, 4]) * 2 ** 20),
    object_store_retries: String(random.one([0, 2, 4])),
    heartbeat_interval_ms: String(random.one([500, 1000])),
  };
  return {
    groups,
    tables: random.between(1, 4),
    partitions: random.between(1, 3),
    buckets: random.between(1, 4),
    eventJobs: maybe(random.between(1, 3), 0),
    segmentBytesMax: random.one([500, 5000, 40_000]),
    largeSegments: random.chance(0.3),
    events: either(events, random.between(20, EVENTS_MAX)),
    pauseMs: random.one([200, 1000, 3000]),
    embedded: random.chance(0.3),
    skewMsMax: maybe(random.one([100, 60_000]), 0),
    agentConfig,
    serverConfig: {
      ...agentConfig,
      cloud_warm_up_job_scheduler_interval_millisecond: String(intervalMs),
      warm_up_lease_ms: String(random.one([5000, 15_000, 30_000])),
      cloud_warm_up_job_max_bytes_per_batch: String(random.one([3000, 50_000, 20 * 2 ** 30])),
      max_active_cloud_warm_up_job: String(random.one([1, 2, 10])),
      cloud_warm_up_timeout_second: String(random.one([20, 100_000, 100_000])),
      cloud_warm_up_force_all_partitions: String(random.chance(0.5)),
      cumulative_compaction_min_deltas: String(random.one([2, 5])),
      cumulative_compaction_quiet_second: String(random.one([0, 5])),
      disable_auto_compaction: String(random.chance(0.5)),
      cloud_warm_up_table_filter_refresh_interval_ms: String(random.one([1000, 60_000])),
      warm_up_event_backlog_max: String(random.one([100, 100_000])),
      file_cache_fill_on_load: String(random.chance(0.5)),
      fetch_cluster_cache_hotspot_interval_ms: String(random.one([5000, 60_000])),
      shutdown_grace_ms: '1000',
    },
    network: {
      drop: maybe(random.one([0.02, 0.1]), 0),
      duplicate: maybe(random.one([0.05, 0.2]), 0),
      replyLost: maybe(random.one([0.02, 0.1]), 0),
      delayMs: random.one([1, 5, 30]),
      slow: maybe(random.one([0.05, 0.2]), 0),
      slowMs: random.one([300, 3000]),
    },
    store: {
      unavailable: maybe(random.one([0.02, 0.2]), 0),
      replyLost: maybe(0.02, 0),
      truncated: maybe(0.02, 0),
      slow: maybe(random.one([0.05, 0.2]), 0),
      slowMs: random.one([200, 3000]),
      latencyMs: random.one([5, 20, 100]),
      bytesPerMs: random.one([20_000, 200_000]),
    },
    disk: {
      writeError: random.chance(0.15) ? 0.01 : 0,
      writeMs: random.one([0.1, 1, 10]),
    },
    faults: {
      serverCrashMs: maybe(random.one([8000, 30_000]), 0),
      agentCrashMs: maybe(random.one([8000, 30_000]), 0),
      agentHangMs: maybe(random.one([10_000, 40_000]), 0),
      partitionMs: maybe(random.one([10_000, 40_000]), 0),
      diskLossMs: random.chance(0.15) ? 40_000 : 0,
    },
  };
}

/** Drawn all the same: a run of another length is like the whole one until it ends. */
function either(given: number | undefined, drawn: number): number {
  return given ?? drawn;
}
