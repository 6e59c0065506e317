/**
 * Merges cooled rowsets of a tablet into one, on the local disk, from where it is uploaded as a
 * load's rowset is. What the segments hold is read from their own footers: a backend does not know
 * tables.
 */
import type { CompactRequest } from '../../base/agent_messages.ts';
import type { Config } from '../../base/config.ts';
import {
  type PartitionId,
  type RowsetId,
  type TabletId,
  type VaultId,
  id,
} from '../../base/ids.ts';
import type { Clock, Log, ObjectStore } from '../../base/ports.ts';
import type { ReplicaRowset } from '../../base/replica.ts';
import type { ColumnDef, RowsetMeta, SegmentMeta } from '../../base/schema.ts';
import { runCompaction } from '../data/compaction.ts';
import { FooterCache } from '../data/footer_cache.ts';
import type { ParquetFile } from '../data/parquet_file.ts';
import type { OpenObject } from '../data/scan.ts';
import { FILE_KEYS, type FileColumn } from '../data/segment_writer.ts';

export interface MergeRequest {
  readonly tabletId: TabletId;
  readonly partitionId: PartitionId;
  /** Neighbours in version order, at least one of them with data. */
  readonly inputs: readonly ReplicaRowset[];
  /** What is written. */
  readonly rowsetId: RowsetId;
}

export interface Merged {
  readonly rows: number;
  readonly bytes: number;
  readonly segments: readonly SegmentMeta[];
}

/** Writes the rows of `inputs`, which are all in one resource, into segments of `output`. */
export type ColdMerge = (
  request: MergeRequest,
  output: ObjectStore,
  signal: AbortSignal,
) => Promise<Merged>;

export interface ColdMergeOptions {
  /** The inputs' objects; their `vaultId` is the resource. */
  readonly openObject: (signal: AbortSignal) => OpenObject;
  readonly clock: Clock;
  readonly config: Config;
  readonly log: Log;
}

/** Only a few footers are looked at twice. */
const FOOTER_BYTES_MAX = 2 ** 20;

export function parquetMerge({ openObject, clock, config, log }: ColdMergeOptions): ColdMerge {
  return async ({ tabletId, partitionId, inputs, rowsetId }, store, signal) => {
    const open = openObject(signal);
    const metas = inputs.map((input) => metaOf(tabletId, partitionId, input));
    const { columns, schemaVersion } = await schemaOf(metas, open);
    const request: CompactRequest = {
      compactionId: 0,
      timeoutMs: 0,
      tableName: `tablet ${tabletId}`,
      tabletId,
      partitionId,
      columns,
      schemaVersion,
      inputs: metas,
      vaultId: id(0),
      rowsetId,
    };
    const services = { store, openObject: open, clock, config, log };
    const { rowset } = await runCompaction(request, services, signal);
    return rowset;
  };
}

function metaOf(tabletId: TabletId, partitionId: PartitionId, rowset: ReplicaRowset): RowsetMeta {
  const { place, newestWriteMs: _, ...rest } = rowset;
  if (place.kind !== 'remote') throw new Error(`rowset ${rowset.rowsetId} is not cooled`);
  return { ...rest, tabletId, partitionId, vaultId: id<VaultId>(place.resourceId), txnId: id(0) };
}

/** The newest segment's columns; all others must have the same ones. */
async function schemaOf(
  inputs: readonly RowsetMeta[],
  open: OpenObject,
): Promise<{ readonly columns: readonly ColumnDef[]; readonly schemaVersion: number }> {
  const footers = new FooterCache(FOOTER_BYTES_MAX);
  let newest:
    | { readonly columns: readonly ColumnDef[]; readonly schemaVersion: number }
    | undefined;
  for (const rowset of inputs.toReversed()) {
    const { tabletId, partitionId } = rowset;
    for (const segment of rowset.segments) {
      const source = { tablet: { tabletId, partitionId, rowsets: inputs }, rowset, segment };
      const file = await footers.open(open(source));
      const columns = columnsOf(file);
      newest ??= { columns, schemaVersion: Number(file.keys.get(FILE_KEYS.schemaVersion) ?? 0) };
      const names = (list: readonly ColumnDef[]): string => JSON.stringify(list.map((c) => c.name));
      if (names(columns) === names(newest.columns)) continue;
      throw new Error(`segment ${rowset.rowsetId}_${segment.segment} has other columns`);
    }
  }
  if (newest === undefined) throw new Error('nothing to merge has data');
  return newest;
}

function columnsOf(file: ParquetFile): ColumnDef[] {
  const described = JSON.parse(file.keys.get(FILE_KEYS.columns) ?? '[]') as FileColumn[];
  return described.map(({ name, type, isKey = false }) => {
    const nullable = file.leaves.get(name)?.repetition_type !== 'REQUIRED';
    return { name, type, nullable, isKey, comment: '' };
  });
}
