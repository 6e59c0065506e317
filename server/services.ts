/** What sessions, HTTP and the workers of the server share. Made once, in `server/server.ts`. */
import type { AgentTransport } from '../base/agent_messages.ts';
import type { Config } from '../base/config.ts';
import type { Clock, Log, Random } from '../base/ports.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { AlterJobs } from '../jobs/alter_jobs.ts';
import type { BackendRegistry } from '../jobs/backend_registry.ts';
import type { CompactionScheduler } from '../jobs/compaction.ts';
import type { Cooldown } from '../jobs/cooldown.ts';
import type { DynamicPartitions } from '../jobs/dynamic_partitions.ts';
import type { HotspotCollector } from '../jobs/hotspot_collector.ts';
import type { LoadCoordinator } from '../jobs/loads.ts';
import type { MatchedTables } from '../jobs/matched_tables.ts';
import type { ReplicaRepair } from '../jobs/replica_repair.ts';
import type { ReplicaBoard } from '../jobs/replica_board.ts';
import type { ReplicaUpkeep } from '../jobs/replica_upkeep.ts';
import type { SnapshotHolds } from '../jobs/snapshot_holds.ts';
import type { SyncStats } from '../jobs/sync_stats.ts';
import type { WarmUpJobs } from '../jobs/warm_up_jobs.ts';
import type { AccessControl } from './access/access_control.ts';
import type { AccountUse } from './access/account_use.ts';
import type { LoginGuard } from './access/login_guard.ts';
import type { AuditLog } from './audit/audit_log.ts';
import type { BackendControl } from './backend_control.ts';
import type { CacheStatsBoard } from './cache_stats_board.ts';
import type { JobProcesses } from './job_processes.ts';
import type { ConnectionRegistry } from './mysql/connection_registry.ts';
import type { NamedLocks } from './named_locks.ts';
import type { MetricSample } from './server_metrics.ts';
import type { StatementCounts } from './statement_counts.ts';

export interface Services {
  readonly config: Config;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly catalog: Catalog;
  /** Accounts, and what they may do. */
  readonly access: AccessControl;
  readonly audit: AuditLog;
  readonly logins: LoginGuard;
  /** What accounts use of their limits. */
  readonly accountUse: AccountUse;
  readonly transport: AgentTransport;
  readonly registry: BackendRegistry;
  /** Taken before rowsets are read from the catalog, released when they are not needed any more. */
  readonly holds: SnapshotHolds;
  /** Makes backends follow the catalog's replicas and their policies. */
  readonly replicaUpkeep: ReplicaUpkeep;
  readonly replicaRepair: ReplicaRepair;
  /** Who uploads which tablet; reports of backends, and what they are told of policies. */
  readonly cooldown: Cooldown;
  /** What backends have last said of their replicas. */
  readonly board: ReplicaBoard;
  readonly backends: BackendControl;
  readonly warmUps: WarmUpJobs;
  readonly matchedTables: MatchedTables;
  readonly syncStats: SyncStats;
  readonly hotspots: HotspotCollector;
  readonly dynamicPartitions: DynamicPartitions;
  readonly loads: LoadCoordinator;
  readonly compactions: CompactionScheduler;
  readonly alters: AlterJobs;
  readonly cacheStats: CacheStatsBoard;
  /** What jobs do, for the list of processes. */
  readonly jobProcesses: JobProcesses;
  readonly connections: ConnectionRegistry;
  /** GET_LOCK. */
  readonly locks: NamedLocks;
  /** Begins a graceful shutdown; undefined: nobody may but the operating system. */
  readonly shutDown?: (() => void) | undefined;
  /** Statements executed so far. */
  readonly statements: StatementCounts;
  /** What `/metrics` tells. */
  readonly metrics: () => Promise<readonly MetricSample[]>;
  /** Wall clock at which the process was ready, milliseconds. */
  readonly startedMs: number;
}
