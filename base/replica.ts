/**
 * Replicated tables: what backends keep on their own disks, report, and are told.
 *
 * A tablet of a replicated table has n replicas on different backends. The server knows which
 * replicas there are and up to which version a partition is visible; which rowsets a replica has,
 * on its disk or cooled in a resource, is the backend's own knowledge (`agent.db`).
 * A load writes the same rowsets, with the same ids, to all replicas.
 */
import type {
  BackendId,
  IndexId,
  PartitionId,
  ReplicaId,
  ResourceId,
  RowsetId,
  StoragePolicyId,
  TableId,
  TabletId,
  TxnId,
} from './ids.ts';
import { rowsetId } from './ids.ts';
import type { CooldownTime, SegmentMeta } from './schema.ts';

/** The version of a partition without data, as in Doris: replicas begin with an empty rowset [0-1]. */
export const FIRST_VERSION = 1;

/** The empty rowset [0-1] of a tablet has the same id on all replicas; no drawn id is like it. */
export function initialRowsetId(tabletId: TabletId): RowsetId {
  return rowsetId(tabletId.toString(16).padStart(32, '0'));
}

/** Where a rowset's segments lie: under `segmentKey` on the replica's disk, or in a resource. */
export type RowsetPlace =
  | { readonly kind: 'local' }
  | { readonly kind: 'remote'; readonly resourceId: ResourceId };

export interface ReplicaRowset {
  readonly rowsetId: RowsetId;
  readonly startVersion: number;
  /** ≥ startVersion; 0 ≤ start. */
  readonly endVersion: number;
  readonly rows: number;
  /** Sum over the segments. */
  readonly bytes: number;
  /** None: the rowset is empty, which a load that had no rows for the tablet leaves. */
  readonly segments: readonly SegmentMeta[];
  /** When it was first written, milliseconds. */
  readonly createdMs: number;
  /** When its newest row was loaded, milliseconds: what a time to live counts from. */
  readonly newestWriteMs: number;
  readonly place: RowsetPlace;
}

/** Who uploads a tablet's data. Terms start at 1; a (tablet, term) has one replica for ever. */
export interface CooldownLead {
  readonly replicaId: ReplicaId;
  readonly term: number;
}

export interface CooldownConf extends CooldownLead {
  readonly tabletId: TabletId;
}

/** A replica to be made: empty, with the rowset [0-1] whose id is `initialRowsetId(tabletId)`. */
export interface NewReplica {
  readonly tabletId: TabletId;
  readonly replicaId: ReplicaId;
  readonly tableId: TableId;
  readonly partitionId: PartitionId;
  readonly indexId: IndexId;
  readonly policyId?: StoragePolicyId;
}

/** A policy as backends know it; newer versions replace older ones. */
export interface AgentPolicy {
  readonly policyId: StoragePolicyId;
  readonly version: number;
  readonly resourceId: ResourceId;
  readonly cooldown: CooldownTime;
}

/** Why a replica does not cool further; '' in reports when nothing is due. */
export type CooldownState =
  /** No policy. */
  | 'NONE'
  /** A policy, and nothing of it due yet. */
  | 'HOT'
  /** Something is due, and it waits for its turn or for what `cooldownWaits` says. */
  | 'WAITING'
  /** Uploading, publishing or following right now. */
  | 'COOLING'
  /** All that is due is in the resource. */
  | 'COOLED'
  /** The last try failed: `cooldownError`. */
  | 'FAILED';

/** What a backend says of one of its replicas. */
export interface ReplicaReport {
  readonly tabletId: TabletId;
  readonly replicaId: ReplicaId;
  readonly partitionId: PartitionId;
  /** All versions from 0 to this are there without a gap. */
  readonly version: number;
  readonly rows: number;
  readonly localBytes: number;
  readonly remoteBytes: number;
  readonly rowsets: number;
  /** Damaged: a local segment is missing or has a wrong checksum. */
  readonly isBad: boolean;
  readonly policyId?: StoragePolicyId;
  /** Accepted and persisted; absent: none yet. */
  readonly lead?: CooldownLead;
  /** Identity of the exact list of cooled rowsets; absent: nothing is cooled. */
  readonly metaId?: string;
  /** End version of the last cooled rowset; absent: nothing is cooled. */
  readonly cooledVersion?: number;
  readonly cooldownState: CooldownState;
  /** When the next local rowset is due, wall clock milliseconds; absent: never, or no policy. */
  readonly dueMs?: number;
  /** What cooling waits for, in words; '' for nothing. */
  readonly cooldownWaits: string;
  /** The last failure, in words without secrets; '' when the last try went well. */
  readonly cooldownError: string;
  /** An upload, publish, follow or clone is on its way: no collection for this tablet. */
  readonly busy: boolean;
}

/** Of all replicas of one partition on one backend: equal sums mean equal reports. */
export interface PartitionSum {
  readonly partitionId: PartitionId;
  readonly replicas: number;
  /** `reportSum` over the partition's reports: 16 hex digits. */
  readonly sum: string;
}

/**
 * FULL: everything, in parts. CHANGES: what changed since the last confirmed report, with the sums
 * of all partitions, so that a lost message is noticed.
 */
export interface TabletsReport {
  readonly backendId: BackendId;
  readonly incarnation: string;
  /** Rises by one with every report of an incarnation. */
  readonly seq: number;
  readonly kind: 'FULL' | 'CHANGES';
  /** The last message of this report. */
  readonly isLast: boolean;
  readonly replicas: readonly ReplicaReport[];
  /** Replicas that are gone since the last report. Only in CHANGES. */
  readonly gone: readonly { readonly tabletId: TabletId; readonly replicaId: ReplicaId }[];
  /** Only in the last message of a report. */
  readonly sums: readonly PartitionSum[];
  readonly policies: readonly { readonly policyId: StoragePolicyId; readonly version: number }[];
  readonly resources: readonly { readonly resourceId: ResourceId; readonly version: number }[];
}

export interface TabletsReportReply {
  /** Reported again with the next report, all replicas of each; the sums differ. */
  readonly again: readonly PartitionId[];
  /** The server has no full report of this incarnation: send one. */
  readonly sendFull: boolean;
}

/** Most replicas in one message of a report. */
export const REPORT_REPLICAS_MAX = 5000;

// ---------------------------------------------------------------------------------------------
// Loading into replicas

/** How to reach a backend's inner HTTP interface. */
export interface BackendAddress {
  readonly backendId: BackendId;
  readonly host: string;
  readonly httpPort: number;
}

export interface ReplicaTarget {
  readonly replicaId: ReplicaId;
  readonly backendId: BackendId;
}

/** For each tablet of a load (also those that get no rows): where its replicas are. */
export interface LoadReplicas {
  /** Alive backends that hold replicas of the table. Others get nothing and will miss the version. */
  readonly backends: readonly BackendAddress[];
  /** By tablet: all replicas that should get the load; `required` of them must have it. */
  readonly tablets: readonly {
    readonly tabletId: TabletId;
    readonly partitionId: PartitionId;
    readonly replicas: readonly ReplicaTarget[];
    /** Majority of the replication number. */
    readonly required: number;
  }[];
}

/** What a load left durable on a replica: rowset and segments, fsynced; visible with a publish. */
export interface PreparedReplicas {
  readonly tabletId: TabletId;
  readonly replicaIds: readonly ReplicaId[];
}

/** A rowset as it is prepared for a transaction; it gets its version with the publish. */
export interface PreparedRowset {
  readonly tabletId: TabletId;
  readonly replicaId: ReplicaId;
  readonly rowsetId: RowsetId;
  readonly rows: number;
  readonly bytes: number;
  readonly segments: readonly SegmentMeta[];
  readonly newestWriteMs: number;
}

export interface PublishedVersion {
  readonly partitionId: PartitionId;
  readonly version: number;
}

export type TxnOutcome =
  | {
      readonly txnId: TxnId;
      readonly state: 'VISIBLE';
      readonly versions: readonly PublishedVersion[];
    }
  /** What was prepared for it is deleted. UNKNOWN: it is forgotten, which can only be an aborted or a very old one. */
  | { readonly txnId: TxnId; readonly state: 'ABORTED' | 'UNKNOWN' }
  | { readonly txnId: TxnId; readonly state: 'RUNNING' };

/** What CHECK COOLDOWN TABLE finds. */
export type CooldownProblemKind =
  /** HEAD is missing though something is cooled, or cannot be read. */
  | 'HEAD'
  /** The manifest that HEAD names is missing or not what HEAD says. */
  | 'MANIFEST'
  /** An object that a list names is not there. */
  | 'MISSING'
  /** An object has another size or checksum than the list says. */
  | 'DAMAGED'
  /** Nothing refers to the object. */
  | 'ORPHAN'
  /** As ORPHAN, and its content is that of an object that is in use. */
  | 'DOUBLE'
  /** A replica has another list than HEAD names. */
  | 'REPLICA';

export interface CooldownProblem {
  readonly kind: CooldownProblemKind;
  /** The object's key; '' where it is not about one. */
  readonly key: string;
  /** Of the object, 0 where there is none. */
  readonly bytes: number;
  /** In words, for operators. */
  readonly what: string;
}

/** A tablet's lists and objects, compared. */
export interface CooldownCheck {
  readonly tabletId: TabletId;
  /** What is published; absent: nothing, or it cannot be read. */
  readonly head?: CooldownLead & { readonly metaId: string; readonly cooledVersion: number };
  /** In the bucket, of any kind. */
  readonly objects: number;
  readonly bytes: number;
  readonly problems: readonly CooldownProblem[];
}

/** All a replica has, for a clone, CHECK COOLDOWN TABLE and tests. */
export interface ReplicaSnapshot {
  readonly tabletId: TabletId;
  readonly replicaId: ReplicaId;
  /** Contiguous versions from 0 to `version`, in order. */
  readonly rowsets: readonly ReplicaRowset[];
  readonly version: number;
  /** How many rowsets it has after a gap, which are not in `rowsets`; absent: none. */
  readonly later?: number;
  readonly lead?: CooldownLead;
  readonly metaId?: string;
}

/** What is published of a tablet, as a backend sees it that need not have a replica of it. */
export interface CooledTablet {
  readonly tabletId: TabletId;
  /** Absent: nothing is published in any of the resources. */
  readonly head?: CooldownLead & {
    readonly resourceId: ResourceId;
    readonly metaId: string;
    readonly cooledVersion: number;
    readonly rows: number;
  };
  /** Why it cannot be used as it is, in words; '': all that it names is there. */
  readonly problem: string;
}

/** What of a tablet lies in a resource, as one backend knows it. */
export interface LeftInResource {
  readonly tabletId: TabletId;
  /** Its replica here has a policy, and may cool there what is due. */
  readonly mayCool: boolean;
  /** Of its replica here, that are cooled there. */
  readonly rowsets: number;
  readonly bytes: number;
  /** In the bucket, of any kind. */
  readonly objects: number;
  readonly objectBytes: number;
}
