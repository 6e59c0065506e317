/**
 * What the control plane ("FE") and a backend ("BE") say to each other.
 *
 * `AgentTransport` (FE → BE) and `FrontendPort` (BE → FE) carry request and reply. Their promise is
 * weak on purpose: a request may arrive twice, late, or never, and a rejected call (AGENT_LOST)
 * says nothing about whether it was executed. So every request is idempotent by the ids in it.
 * Messages are plain data (structured clone, JSON with bigint as string on a future HTTP transport).
 * Failures are `SqlError`s and cross as `WireError`.
 */
import type { HttpCaller } from './http_access.ts';
import type {
  BackendId,
  IndexId,
  JobId,
  PartitionId,
  ReplicaId,
  ResourceId,
  RowsetId,
  StoragePolicyId,
  TableId,
  TabletId,
  TxnId,
  VaultId,
} from './ids.ts';
import type { CacheQueue, NewRowset, RowsetMeta, TableDef, VaultSpec } from './schema.ts';
import type { ScanLease } from './scan_lease.ts';
import type { ColumnDef } from './schema.ts';
import type {
  AgentPolicy,
  BackendAddress,
  CooldownCheck,
  CooldownConf,
  CooldownLead,
  CooledTablet,
  LeftInResource,
  LoadReplicas,
  NewReplica,
  PreparedReplicas,
  ReplicaSnapshot,
  TabletsReport,
  TabletsReportReply,
  TxnOutcome,
} from './replica.ts';
import type { SyncCounts } from './sync_windows.ts';
import type { SqlValue } from './values.ts';

/** A request or reply without content. */
export type Nothing = Readonly<Record<string, never>>;

// ---------------------------------------------------------------------------------------------
// Loading

/** A table as a load sees it: definition plus the tablets of its indexes. */
export interface LoadTarget {
  readonly table: TableDef;
  /** Tablet of (partition, bucket): `tablets[partition index in table.partitions][bucket]`. */
  readonly tablets: readonly (readonly TabletId[])[];
  /** Every row goes into them too, at the same place. */
  readonly rollups: readonly LoadRollup[];
  /** Only of a replicated table: rowsets go to the disks of these, not to the vault. */
  readonly replicas?: LoadReplicas;
}

export interface LoadRollup {
  readonly indexId: IndexId;
  /** As in `LoadTarget`. */
  readonly tablets: readonly (readonly TabletId[])[];
}

export interface LoadRequest {
  readonly txnId: TxnId;
  readonly target: LoadTarget;
  /** Column names the rows have, in order; the others take their defaults. */
  readonly columns: readonly string[];
  /** Values as the parser gave them, not yet converted to the column types. */
  readonly rows: readonly (readonly SqlValue[])[];
}

export interface LoadOutcome {
  readonly rowsets: readonly NewRowset[];
  readonly loadedRows: number;
  /** Rows refused for their content (only within max_filter_ratio). */
  readonly filteredRows: number;
  /** Rows outside the load's WHERE (stream load header `where`). */
  readonly unselectedRows: number;
  readonly loadBytes: number;
  /** Only of a replicated table: who has it durably, for every tablet of `target.replicas` whose partition got rows. */
  readonly prepared?: readonly PreparedReplicas[];
}

// ---------------------------------------------------------------------------------------------
// Reading

/** `column op value`, AND-ed; used only to skip data, the engine filters again. */
export interface ScanPredicate {
  readonly column: string;
  readonly op: '=' | '<' | '<=' | '>' | '>=' | 'in';
  readonly values: readonly SqlValue[];
}

export interface ScanTablet {
  readonly tabletId: TabletId;
  readonly partitionId: PartitionId;
  readonly rowsets: readonly RowsetMeta[];
  /**
   * Of a replicated table, and then `rowsets` is empty: the backend's replica, read up to this
   * version. REPLICA_BEHIND when it has not got there: another replica may have.
   */
  readonly replica?: { readonly replicaId: ReplicaId; readonly version: number };
}

export interface OpenScanRequest {
  readonly tableId: TableId;
  /** `db.table`, for access counts and messages. */
  readonly tableName: string;
  readonly indexId: IndexId;
  readonly ttlSeconds: number;
  /** Wanted columns with their types, in output order; empty = only the number of rows. */
  readonly columns: readonly ColumnDef[];
  readonly predicates: readonly ScanPredicate[];
  readonly tablets: readonly ScanTablet[];
}

export interface ScanBatch {
  readonly rows: number;
  /** One array of `rows` values per wanted column. */
  readonly columns: readonly (readonly SqlValue[])[];
  /**
   * The columns as bytes (`packed_columns.ts`), and `columns` is empty. Only from backends of the
   * server's own process, and not for the first batch, which the server often looks at.
   */
  readonly packed?: Uint8Array;
  readonly done: boolean;
}

export interface OpenedScan {
  readonly scanId: string;
  /** Batch 0, when it was there soon; else it is asked for as any other. */
  readonly first?: ScanBatch;
  /** `first` was all there is; by this name the backend knows the scan when it comes again. */
  readonly ticket?: string;
  /** With the ticket, from backends of the server's own process: saves most questions. */
  readonly lease?: ScanLease;
}

/** Scans that were read whole before, and how often each is to be read now. */
export interface ScanRepeats {
  readonly scans: readonly { readonly ticket: string; readonly times: number }[];
}

// ---------------------------------------------------------------------------------------------
// Rewriting rowsets into another schema

export interface RewriteColumn {
  /** As it is written. */
  readonly column: ColumnDef;
  /** As it was stored; undefined: new, every row gets the default. */
  readonly source?: ColumnDef;
}

export interface RewriteItem {
  readonly source: RowsetMeta;
  /** What is to be written: known to the server before the first object is there. */
  readonly tabletId: TabletId;
  readonly rowsetId: RowsetId;
}

export interface RewriteRequest {
  /** `db.table`, for messages. */
  readonly tableName: string;
  readonly vaultId: VaultId;
  readonly schemaVersion: number;
  /** What CURRENT_TIMESTAMP is for all rows of the change, milliseconds. */
  readonly nowMs: number;
  readonly columns: readonly RewriteColumn[];
  readonly items: readonly RewriteItem[];
}

// ---------------------------------------------------------------------------------------------
// Compaction

export interface CompactRequest {
  /** A repeat joins the one that runs. */
  readonly compactionId: number;
  /** After this the agent gives up by itself, as the server has by then. */
  readonly timeoutMs: number;
  /** `db.table`, for messages. */
  readonly tableName: string;
  readonly tabletId: TabletId;
  readonly partitionId: PartitionId;
  /** The tablet's index's, in order. */
  readonly columns: readonly ColumnDef[];
  readonly schemaVersion: number;
  /** Neighbours, by version. */
  readonly inputs: readonly RowsetMeta[];
  /** What is to be written: known to the server before the first object is there. */
  readonly vaultId: VaultId;
  readonly rowsetId: RowsetId;
}

export interface CompactReply {
  /** With all rows of the inputs. */
  readonly rowset: NewRowset;
}

// ---------------------------------------------------------------------------------------------
// Warming

export interface WarmUpTablet {
  readonly tabletId: TabletId;
  readonly partitionId: PartitionId;
  /** 0: NORMAL queue. */
  readonly ttlSeconds: number;
  readonly rowsets: readonly RowsetMeta[];
}

/** Rowsets of a tablet that were just written. */
export interface NewlyWritten extends WarmUpTablet {
  /** Only if most bytes of these, which they stand for now, are in the cache. */
  readonly replaces?: readonly RowsetMeta[];
}

/** Identifies a dispatch; agents treat a repeat as done already and refuse an older epoch. */
export interface BatchKey {
  readonly jobId: JobId;
  /** 1 for the first (or only) run of a job. */
  readonly run: number;
  /** Per backend, in the order of the work; never used twice in a run. */
  readonly batch: number;
  /** The control plane's lease epoch. */
  readonly epoch: number;
}

export interface WarmUpRequest extends BatchKey {
  /** The agent drops the batch when it hears nothing of it for this long. */
  readonly leaseMs: number;
  /** Evict what is cached to make room. */
  readonly force: boolean;
  readonly tablets: readonly WarmUpTablet[];
  /** Set when the batch delivers rowset events; absent: it is a part of a plan. */
  readonly event?: {
    /**
     * Wall clock of the commit of each rowset, milliseconds, in the order of the rowsets in
     * `tablets`.
     */
    readonly triggersMs: readonly number[];
  };
}

export interface WarmUpFailure {
  readonly tabletId: TabletId;
  /** Object key. */
  readonly item: string;
  readonly reason: string;
  /** Trying the same again later can help: the store was busy or away, somebody gave up. */
  readonly transient?: boolean;
}

/** What a commit of a backend's rowsets set off; for that backend's metrics. */
export interface TriggeredEvents {
  /** Event-driven jobs that deliver these rowsets. */
  readonly jobIds: readonly JobId[];
  /** Wall clock of the commit, milliseconds. */
  readonly triggerMs: number;
  readonly rowsets: number;
  readonly counts: SyncCounts;
}

/** How many failures a batch reports by name; the rest only count. */
export const WARM_UP_FAILURES_MAX = 100;

export interface BatchProgress extends BatchKey {
  readonly backendId: BackendId;
  /** Which life of the agent says so; changes with every start. */
  readonly incarnation: string;
  /**
   * RUNNING: going on. DONE: every block was tried; what is not in `failures` is in the cache.
   * UNKNOWN: this agent has no such batch (restarted, expired): dispatch it again.
   * STALE: the request was of an older epoch, run or batch.
   * STOPPED: cancelled.
   * BUSY: not taken, this agent holds as many batches as it can: dispatch it again later.
   */
  readonly state: 'RUNNING' | 'DONE' | 'UNKNOWN' | 'STALE' | 'STOPPED' | 'BUSY';
  /** Bytes of all items of the batch. */
  readonly totalBytes: number;
  /** Bytes now in the cache for this batch: downloaded by it, or found there. */
  readonly doneBytes: number;
  /** Part of doneBytes that was in the cache before. */
  readonly cachedBytes: number;
  readonly totalTablets: number;
  readonly doneTablets: number;
  /** Tablets whose objects are gone because the table was dropped meanwhile. */
  readonly skippedTablets: number;
  readonly failedTablets: number;
  readonly failures: readonly WarmUpFailure[];
  /** It goes on, and within the last seconds a download waited for the backend's rate limit. */
  readonly throttled: boolean;
}

// ---------------------------------------------------------------------------------------------
// Cache and hot spots

export interface QueueStats {
  readonly queue: CacheQueue;
  readonly capacityBytes: number;
  readonly usedBytes: number;
  readonly blocks: number;
  readonly evictedBlocks: number;
  readonly evictedBytes: number;
  readonly hits: number;
}

export interface CacheStats {
  readonly path: string;
  /** Never exceeded on disk. */
  readonly capacityBytes: number;
  readonly usedBytes: number;
  readonly queues: readonly QueueStats[];
  /** Of queries only; warm-up reads do not count. */
  readonly hitBytes: number;
  readonly missBytes: number;
  readonly hits: number;
  readonly misses: number;
  /** Requests and bytes asked of object stores, by everyone and by warm-up. */
  readonly remoteRequests: number;
  readonly remoteBytes: number;
  readonly warmUpRequests: number;
  readonly warmUpBytes: number;
  /** Blocks dropped because length or checksum was wrong. */
  readonly damagedBlocks: number;
  /** Writes that failed (disk full, I/O error); the reads were served remotely. */
  readonly writeErrors: number;
}

/** Accesses of one partition on one backend since the last time it was asked. */
export interface HotPartition {
  readonly tableId: TableId;
  readonly indexId: IndexId;
  readonly partitionId: PartitionId;
  /** `YYYY-MM-DD`, UTC. */
  readonly day: string;
  readonly accesses: number;
  readonly lastAccessMs: number;
}

// ---------------------------------------------------------------------------------------------
// Replicas and cooldown (data in replica.ts)

export interface CloneRequest {
  /** A repeat joins the one that runs. */
  readonly tabletId: TabletId;
  /** The replica to be filled; made when it is not there. */
  readonly replica: NewReplica;
  readonly source: BackendAddress & { readonly replicaId: ReplicaId };
  /** After this the agent gives up by itself. */
  readonly timeoutMs: number;
}

/** What became of a pushed conf; see `ReplicaReport.lead` for what counts in the end. */
export interface ConfOutcome {
  readonly tabletId: TabletId;
  /**
   * SAME: it had it. STALE: it knows a higher term, `lead`. CONFLICT: it knows this term with
   * another replica, which must never be. MISSING: no such tablet here.
   */
  readonly outcome: 'ACCEPTED' | 'SAME' | 'STALE' | 'CONFLICT' | 'MISSING';
  /** What it has now. */
  readonly lead?: { readonly replicaId: ReplicaId; readonly term: number };
}

/** Both inclusive. */
export interface VersionRange {
  readonly from: number;
  readonly to: number;
}

/** Of a tablet that need not have a replica on the backend that is asked. */
export interface CooledQuestion {
  readonly tabletId: TabletId;
  /** Where something may be published. */
  readonly resourceIds: readonly ResourceId[];
  /** The last one that was elected; absent: nobody ever was. */
  readonly lead?: CooldownLead;
}

/** A tablet of which no replica has all versions becomes a replica again. */
export interface RebuildRequest {
  /** Made when it is not there; it leads the tablet in `term`. */
  readonly replica: NewReplica;
  readonly term: number;
  /** What is published there is taken over; absent: nothing is. */
  readonly resourceId?: ResourceId;
  /** It has all versions up to this one afterwards. */
  readonly version: number;
  /** Versions that are nowhere become empty ones; otherwise they are an error. */
  readonly isLossAllowed: boolean;
}

/** Asked before a leader deletes objects of a tablet that nothing refers to (DESIGN 5.7). */
export interface UnusedFilesQuestion {
  readonly tabletId: TabletId;
  readonly replicaId: ReplicaId;
  readonly term: number;
  readonly metaId: string;
}

// ---------------------------------------------------------------------------------------------
// The calls

/** FE → BE. */
export interface AgentCalls {
  ping: { request: Nothing; reply: { readonly incarnation: string } };
  load: { request: LoadRequest; reply: LoadOutcome };
  /** All items or none; answers in their order, with as many rows as the sources have. */
  rewriteRowsets: {
    request: RewriteRequest;
    reply: { readonly rowsets: readonly NewRowset[] };
  };
  compact: { request: CompactRequest; reply: CompactReply };
  openScan: { request: OpenScanRequest; reply: OpenedScan };
  /**
   * By scan: true when everything it would read is still here, in the cache or on the disk. Then it
   * counts as read, and its rows are those of the first time, which never change. False: nothing
   * has been counted, and the ticket is void; open it again.
   */
  repeatScans: { request: ScanRepeats; reply: { readonly same: readonly boolean[] } };
  /**
   * `batch`: how many were asked for before it. A repeat is answered as the first was, until the
   * next one is asked for; a lost reply fails the query, not the data.
   */
  nextBatch: {
    request: { readonly scanId: string; readonly batch: number };
    reply: ScanBatch;
  };
  closeScan: { request: { readonly scanId: string }; reply: Nothing };
  warmUp: { request: WarmUpRequest; reply: BatchProgress };
  /** Renews the batch's lease and asks how far it is. */
  renewWarmUp: { request: BatchKey & { readonly leaseMs: number }; reply: BatchProgress };
  /**
   * Stops the job's downloads and refuses those of its batches that are still on their way; up to
   * `run` when it is given: later runs may start.
   */
  cancelWarmUp: {
    request: { readonly jobId: JobId; readonly epoch: number; readonly run?: number };
    reply: Nothing;
  };
  /** New rowsets to be cached if there is room: no warm-up. */
  cacheRowsets: { request: { readonly tablets: readonly NewlyWritten[] }; reply: Nothing };
  /** Commits of this backend's rowsets that event-driven jobs deliver. May get lost. */
  eventsTriggered: { request: { readonly events: readonly TriggeredEvents[] }; reply: Nothing };
  cacheStats: { request: Nothing; reply: CacheStats };
  clearCache: { request: Nothing; reply: { readonly clearedBytes: number } };
  /** Counts since the last confirmed call; `confirm` names the reply that was stored. */
  hotspots: {
    request: { readonly confirm: string | null };
    reply: { readonly token: string; readonly partitions: readonly HotPartition[] };
  };
  deleteObjects: {
    request: { readonly vaultId: VaultId; readonly prefixes: readonly string[] };
    reply: { readonly deleted: number };
  };
  /** These objects are gone from the vault: their cached blocks are of no use. */
  dropCached: {
    request: { readonly vaultId: VaultId; readonly prefixes: readonly string[] };
    reply: Nothing;
  };
  /** Idempotent; a replica of the same tablet with another id is CONFUSED_REPLICA. */
  createReplicas: { request: { readonly replicas: readonly NewReplica[] }; reply: Nothing };
  /** Its local files go, nothing in a resource. Idempotent. */
  dropReplicas: {
    request: {
      readonly replicas: readonly { readonly tabletId: TabletId; readonly replicaId: ReplicaId }[];
    };
    reply: Nothing;
  };
  /** Outcomes of transactions of which this backend has prepared rowsets. Idempotent. */
  settleTxns: { request: { readonly txns: readonly TxnOutcome[] }; reply: Nothing };
  /** Copies what is missing from another replica; answers up to which version it has all. */
  cloneReplica: { request: CloneRequest; reply: { readonly version: number } };
  /**
   * All replicas of these tablets get their policy; undefined: none. Of one that had a policy when
   * others cooled, `resourceId` says where their list is, which all replicas follow.
   */
  setPolicies: {
    request: {
      readonly replicas: readonly {
        readonly tabletId: TabletId;
        readonly policyId?: StoragePolicyId;
        readonly resourceId?: ResourceId;
      }[];
    };
    reply: Nothing;
  };
  /** Newer versions replace older ones; `dropped` policies are forgotten. */
  pushStoragePolicies: {
    request: {
      readonly policies: readonly AgentPolicy[];
      readonly resources: readonly { readonly resourceId: ResourceId; readonly version: number }[];
      readonly dropped: readonly StoragePolicyId[];
    };
    reply: Nothing;
  };
  /** Persisted before the reply. */
  pushCooldownConf: {
    request: { readonly confs: readonly CooldownConf[] };
    reply: { readonly outcomes: readonly ConfOutcome[] };
  };
  /** Cools these tablets now, whatever is due when (ADMIN COOLDOWN TABLE). Answers at once. */
  cooldownNow: { request: { readonly tabletIds: readonly TabletId[] }; reply: Nothing };
  /** The leaders of these tablets have published something: it is taken over now. Answers at once. */
  followNow: { request: { readonly tabletIds: readonly TabletId[] }; reply: Nothing };
  /**
   * Compares what is published of these tablets with the bucket and with replicas: those here, and
   * `others` of other backends. `checksum`: reads all objects that are in use. Tablets without a
   * replica here, or without a resource, are left out.
   */
  checkCooldown: {
    request: {
      readonly tabletIds: readonly TabletId[];
      readonly others: readonly ReplicaSnapshot[];
      readonly checksum: boolean;
    };
    reply: { readonly tablets: readonly CooldownCheck[] };
  };
  /**
   * Writes anew, from local copies whose content is checked, objects that a published list names
   * and that are missing or damaged; as the leader, HEAD when it is missing and all it would name is
   * there; and deletes what is unused, as collections do. Answers what was done.
   */
  repairCooldown: {
    request: {
      readonly tabletIds: readonly TabletId[];
      /** Replicas of other backends. */
      readonly others: readonly ReplicaSnapshot[];
    };
    reply: { readonly repaired: readonly { readonly tabletId: TabletId; readonly key: string }[] };
  };
  /** Reads what is published and looks whether its objects are there; changes nothing. */
  readCooled: {
    request: { readonly tablets: readonly CooledQuestion[] };
    reply: { readonly tablets: readonly CooledTablet[] };
  };
  /**
   * What of these tablets is cooled in a resource; waits for what is being done to them. Tablets
   * without a replica here only have objects.
   */
  leftInResource: {
    request: { readonly tabletIds: readonly TabletId[]; readonly resourceId: ResourceId };
    reply: { readonly tablets: readonly LeftInResource[] };
  };
  /** Idempotent. REBUILD_FAILED: nothing that anybody reads has changed. */
  rebuildReplica: {
    request: RebuildRequest;
    reply: {
      /** What was not there and is empty now. */
      readonly emptied: readonly VersionRange[];
      /** End of what was taken over; -1: nothing. */
      readonly cooledVersion: number;
      /** That it has now. */
      readonly rows: number;
    };
  };
  /** What the replicas have; tablets without a replica here are left out. */
  replicaSnapshots: {
    request: { readonly tabletIds: readonly TabletId[] };
    reply: { readonly replicas: readonly ReplicaSnapshot[] };
  };
  /** Sends a report now instead of at its time. */
  reportNow: { request: Nothing; reply: Nothing };
  /** Live configuration of the agent, complete each time. */
  configure: {
    request: { readonly values: Readonly<Record<string, string>> };
    reply: Nothing;
  };
}

export type AgentCallName = keyof AgentCalls;

export interface AgentCallOptions {
  /** After this the call rejects with AGENT_LOST. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

export interface AgentTransport {
  call<Name extends AgentCallName>(
    backendId: BackendId,
    name: Name,
    request: AgentCalls[Name]['request'],
    options: AgentCallOptions,
  ): Promise<AgentCalls[Name]['reply']>;
}

export interface Heartbeat {
  readonly backendId: BackendId;
  readonly incarnation: string;
  readonly startedMs: number;
  readonly httpPort: number;
  readonly cacheCapacityBytes: number;
  readonly cacheUsedBytes: number;
  /** Free bytes of the disk the agent is on. */
  readonly diskAvailableBytes: number;
  readonly diskTotalBytes: number;
}

/** How a stream load's user proved who he is: HTTP basic authentication. */
export interface LoadCredentials {
  readonly user: string;
  readonly password: string;
  /** Address of the peer, for the privilege check and the log. */
  readonly peer: string;
}

export type BeginLoadReply =
  | { readonly status: 'BEGUN'; readonly txnId: TxnId; readonly target: LoadTarget }
  | {
      readonly status: 'LABEL_EXISTS';
      readonly txnId: TxnId;
      readonly existingStatus: 'RUNNING' | 'FINISHED';
    };

/** BE → FE. */
export interface FrontendCalls {
  heartbeat: {
    request: Heartbeat;
    reply: { readonly computeGroupName: string; readonly config: Readonly<Record<string, string>> };
  };
  vault: { request: { readonly vaultId: VaultId }; reply: VaultSpec };
  beginLoad: {
    request: {
      readonly backendId: BackendId;
      readonly database: string;
      readonly table: string;
      readonly label: string;
      readonly credentials: LoadCredentials;
      readonly timeoutMs: number;
    };
    reply: BeginLoadReply;
  };
  commitLoad: {
    request: { readonly txnId: TxnId; readonly outcome: LoadOutcome };
    reply: { readonly status: 'VISIBLE' };
  };
  abortLoad: {
    request: { readonly txnId: TxnId; readonly reason: string };
    reply: Nothing;
  };
  warmUpProgress: { request: BatchProgress; reply: Nothing };
  reportTablets: { request: TabletsReport; reply: TabletsReportReply };
  /** What became of transactions that this backend has prepared rowsets of. */
  txnOutcomes: {
    request: { readonly txnIds: readonly TxnId[] };
    reply: { readonly txns: readonly TxnOutcome[] };
  };
  /** Only what may be deleted: all replicas alive, same term and meta id, none busy. */
  confirmUnusedRemoteFiles: {
    request: { readonly questions: readonly UnusedFilesQuestion[] };
    reply: { readonly confirmed: readonly TabletId[] };
  };
  /** A request to the backend's HTTP port that only administrators may make. */
  authorize: {
    request: { readonly caller: HttpCaller; readonly peer: string };
    reply: Nothing;
  };
}

export type FrontendCallName = keyof FrontendCalls;

export interface FrontendPort {
  call<Name extends FrontendCallName>(
    name: Name,
    request: FrontendCalls[Name]['request'],
    options: AgentCallOptions,
  ): Promise<FrontendCalls[Name]['reply']>;
}
