/** The nouns of the catalog as readonly data: what tables, partitions, tablets and rowsets are. */
import type {
  BackendId,
  ComputeGroupId,
  DatabaseId,
  IndexId,
  PartitionId,
  ResourceId,
  RowsetId,
  StoragePolicyId,
  TableId,
  TabletId,
  TxnId,
  VaultId,
} from './ids.ts';
import { rowsetId } from './ids.ts';
import type { ColumnType, SqlValue } from './values.ts';

/** Longest database, table, column, group or vault name, in characters (MySQL's limit). */
export const IDENTIFIER_LENGTH_MAX = 64;
/** Most buckets of a partition (Doris: no hard limit; ours keeps one load's fan-out bounded). */
export const BUCKETS_MAX = 1024;
export const COLUMNS_MAX = 1024;
export const PARTITIONS_MAX = 4096;

export type KeysType = 'DUPLICATE' | 'UNIQUE' | 'AGGREGATE';

export interface ColumnDef {
  readonly name: string;
  readonly type: ColumnType;
  readonly nullable: boolean;
  readonly isKey: boolean;
  /** undefined: no default (a missing value is NULL, or an error when not nullable). */
  readonly defaultValue?: SqlValue | { readonly fn: 'CURRENT_TIMESTAMP' };
  readonly comment: string;
  /** Its name in the segments when it is another one: the column was renamed since. */
  readonly storedName?: string;
}

/** The column's identity: its name in the segments, which RENAME COLUMN does not change. */
export function storedName(column: Pick<ColumnDef, 'name' | 'storedName'>): string {
  return column.storedName ?? column.name;
}

/**
 * RANGE: `[lower, upper)` tuples over the partition columns, `undefined` lower = from the start.
 * LIST: the tuples that belong. NONE: the one partition of an unpartitioned table.
 */
export type PartitionValues =
  | { readonly kind: 'NONE' }
  | {
      readonly kind: 'RANGE';
      readonly lower?: readonly RangeValue[];
      readonly upper: readonly RangeValue[];
    }
  | { readonly kind: 'LIST'; readonly tuples: readonly (readonly SqlValue[])[] };

export type RangeValue = { readonly value: SqlValue } | { readonly max: true };

export interface PartitionDef {
  readonly partitionId: PartitionId;
  readonly name: string;
  readonly values: PartitionValues;
  readonly buckets: number;
  /** Readers see rowsets with endVersion ≤ this. Starts at 1 (empty), as in Doris. */
  readonly visibleVersion: number;
  /** When that version became visible, milliseconds since 1970; undefined: it is not known. */
  readonly visibleMs?: number;
  /** undefined: its data stays where it is. */
  readonly storagePolicyId?: StoragePolicyId;
  /** Replicas that each tablet should have. Of replicated tables only. */
  readonly replicationNum?: number;
}

/** What makes a table replicated: its rowsets lie on the disks of a compute group's backends. */
export interface Replication {
  /** Of partitions that are added; those that are there have their own. */
  readonly replicationNum: number;
  readonly computeGroupId: ComputeGroupId;
}

/** Most replicas of a tablet (Doris's default of `max_replication_num_per_tablet`). */
export const REPLICATION_NUM_MAX = 32767;

interface IndexIdentity {
  readonly indexId: IndexId;
  readonly name: string;
}

/** What a rollup keeps of its table's rows: some of the columns, in an order of its own. */
export interface RollupShape {
  /** Stored names of its columns, in order. */
  readonly columns: readonly string[];
  /** How many of its leading columns are its sort key. */
  readonly keyColumns: number;
}

/** A materialized index. Each has its own tablets; bucket n of all of them has the same rows. */
export type IndexDef =
  | (IndexIdentity & { readonly kind: 'BASE' })
  | (IndexIdentity & { readonly kind: 'ROLLUP' } & RollupShape);

export interface TableDef {
  readonly databaseId: DatabaseId;
  readonly databaseName: string;
  readonly tableId: TableId;
  readonly name: string;
  readonly keysType: KeysType;
  readonly columns: readonly ColumnDef[];
  readonly partitionKind: 'NONE' | 'RANGE' | 'LIST';
  readonly partitionColumns: readonly string[];
  readonly distributionColumns: readonly string[];
  readonly buckets: number;
  readonly vaultId: VaultId;
  /** 0: blocks go to the NORMAL queue; else to TTL and expire this long after the load. */
  readonly ttlSeconds: number;
  /** Of partitions that are added; those that are there have their own. */
  readonly storagePolicyId?: StoragePolicyId;
  /** undefined: the table is shared. */
  readonly replication?: Replication;
  /** Properties as given, for SHOW CREATE TABLE. */
  readonly properties: Readonly<Record<string, string>>;
  readonly comment: string;
  readonly createdMs: number;
  /** Bumped by every ALTER. */
  readonly schemaVersion: number;
  readonly partitions: readonly PartitionDef[];
  readonly indexes: readonly IndexDef[];
}

/** Whether its rowsets lie on backends and not in a vault. */
export function isReplicated<Table extends Pick<TableDef, 'replication'>>(
  table: Table,
): table is Table & { readonly replication: Replication } {
  return table.replication !== undefined;
}

/** Throws when the definition is broken: every table has one. */
export function baseIndexOf(table: Pick<TableDef, 'tableId' | 'indexes'>): IndexDef {
  const base = table.indexes.find((index) => index.kind === 'BASE');
  if (base === undefined) throw new Error(`table ${table.tableId} has no base index`);
  return base;
}

/** What the index's segments hold, in order; throws RangeError for an index that is not there. */
export function columnsOfIndex(
  table: Pick<TableDef, 'tableId' | 'indexes' | 'columns'>,
  indexId: IndexId,
): readonly ColumnDef[] {
  const index = table.indexes.find((candidate) => candidate.indexId === indexId);
  if (index === undefined) throw new RangeError(`table ${table.tableId} has no index ${indexId}`);
  return index.kind === 'BASE' ? table.columns : rollupColumns(table.columns, index);
}

/** Columns of a rollup, as columns of its segments: its own order and its own sort key. */
export function rollupColumns(
  columns: readonly ColumnDef[],
  { columns: names, keyColumns }: RollupShape,
): ColumnDef[] {
  return names.map((name, at) => {
    const column = columns.find((candidate) => storedName(candidate) === name);
    if (column === undefined) throw new RangeError(`a rollup has column ${name}, its table not`);
    return { ...column, isKey: at < keyColumns };
  });
}

export interface TabletRef {
  readonly tabletId: TabletId;
  readonly tableId: TableId;
  readonly partitionId: PartitionId;
  readonly indexId: IndexId;
  /** 0..buckets-1 */
  readonly bucket: number;
}

/** One immutable Parquet object of a rowset. */
export interface SegmentMeta {
  readonly segment: number;
  /** bytes of the object */
  readonly bytes: number;
  readonly rows: number;
  /** Where index data begins (page and column indexes, footer): blocks from here on are INDEX. */
  readonly indexOffset: number;
  /** CRC-32 (zlib) of the whole object. */
  readonly crc32: number;
}

/** What a backend wrote; versions are given at commit. */
export interface NewRowset {
  readonly rowsetId: RowsetId;
  readonly tabletId: TabletId;
  readonly partitionId: PartitionId;
  readonly rows: number;
  /** Sum over the segments. */
  readonly bytes: number;
  readonly segments: readonly SegmentMeta[];
}

export interface RowsetMeta extends NewRowset {
  readonly startVersion: number;
  readonly endVersion: number;
  readonly vaultId: VaultId;
  readonly txnId: TxnId;
  readonly createdMs: number;
}

/** A rowset's object in the bucket (DESIGN section 3). */
export function segmentKey(tabletId: TabletId, rowsetId: RowsetId, segment: number): string {
  return `data/${tabletId}/${rowsetId}_${segment}.dat`;
}

/** The rowset that a segment's key names; undefined: it is no such key. */
export function rowsetOfKey(key: string): RowsetId | undefined {
  const [, rowset] = /^data\/\d+\/([0-9a-f]{32})_\d+\.dat$/.exec(key) ?? [];
  return rowset === undefined ? undefined : rowsetId(rowset);
}

/** Everything of a tablet lies under this prefix. */
export function tabletPrefix(tabletId: TabletId): string {
  return `data/${tabletId}/`;
}

export interface ComputeGroupDef {
  readonly computeGroupId: ComputeGroupId;
  readonly name: string;
  readonly createdMs: number;
}

/** What an operator asked of a backend; whether it is alive is a matter of its heartbeats. */
export type BackendAdminState = 'ENABLED' | 'STOPPED' | 'DECOMMISSIONED';

export interface BackendDef {
  readonly backendId: BackendId;
  readonly computeGroupId: ComputeGroupId;
  readonly computeGroupName: string;
  readonly kind: 'embedded' | 'remote';
  readonly host: string;
  /** 0 until an embedded backend with port 0 has started once. */
  readonly httpPort: number;
  readonly adminState: BackendAdminState;
  readonly createdMs: number;
}

/** A directory as object store. */
export interface FileStoreSpec {
  readonly kind: 'file';
  /** Absolute directory. */
  readonly path: string;
  /**
   * The resource whose directory it is, for messages. CREATE RESOURCE has made it: when it is missing
   * it is not mounted, or lost, and is not made again.
   */
  readonly resource?: string;
}

/** How long and how widely a bucket is asked; the server's settings apply where it is silent. */
export interface S3StoreLimits {
  /** Sockets at most. */
  readonly connectionsMax: number;
  /** Longest time without progress of a request, milliseconds. */
  readonly requestTimeoutMs: number;
  /** Milliseconds. */
  readonly connectTimeoutMs: number;
}

export interface S3StoreSpec {
  readonly kind: 's3';
  /** URL, or host[:port] (then https). */
  readonly endpoint: string;
  readonly region: string;
  readonly bucket: string;
  /** Without leading or trailing `/`; may be empty. */
  readonly rootPath: string;
  readonly accessKey: string;
  readonly secretKey: string;
  /** Of temporary credentials. */
  readonly sessionToken?: string;
  readonly usePathStyle: boolean;
  readonly limits?: S3StoreLimits;
}

/** Where objects lie, with all that is needed to reach them. */
export type StoreSpec = FileStoreSpec | S3StoreSpec;

interface VaultIdentity {
  readonly vaultId: VaultId;
  readonly name: string;
}

export type VaultSpec = (VaultIdentity & FileStoreSpec) | (VaultIdentity & S3StoreSpec);

/**
 * Whether a store lets one writer create an object and replaces only the version that it is told:
 * tried out, or `unknown` where nobody has.
 */
export type ConditionalWrites = 'true' | 'false' | 'unknown';

/** Where a storage policy puts cooled data. */
export interface ResourceDef {
  readonly resourceId: ResourceId;
  readonly name: string;
  /** Bumped by every ALTER; starts at 0. */
  readonly version: number;
  /** With credentials: for stores, never for SHOW. */
  readonly store: StoreSpec;
  /** Whether CREATE and ALTER try the store out. */
  readonly validityCheck: boolean;
  readonly conditionalWrites: ConditionalWrites;
  readonly createdMs: number;
}

/** When data is cold: at a moment, or so long after it was written. */
export type CooldownTime =
  | { readonly kind: 'datetime'; readonly atMs: number }
  | { readonly kind: 'ttl'; readonly seconds: number };

export interface StoragePolicyDef {
  readonly policyId: StoragePolicyId;
  readonly name: string;
  /** Bumped by every ALTER; starts at 0. */
  readonly version: number;
  readonly resourceId: ResourceId;
  readonly resourceName: string;
  readonly cooldown: CooldownTime;
}

/** The block cache's queues, by eviction order; default shares as in Doris (reference 1.13). */
export const CACHE_QUEUES = ['DISPOSABLE', 'NORMAL', 'INDEX', 'TTL'] as const;
export type CacheQueue = (typeof CACHE_QUEUES)[number];

/** Bytes of a cache block; blocks are aligned to it, the last of an object may be shorter. */
export const BLOCK_BYTES = 1024 * 1024;
