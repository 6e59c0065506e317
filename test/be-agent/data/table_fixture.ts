/** Tables, services and scans for the tests of be-agent/data. */
import { createHash } from 'node:crypto';
import type { LoadTarget, OpenScanRequest, ScanPredicate } from '../../../base/agent_messages.ts';
import { Config } from '../../../base/config.ts';
import { id } from '../../../base/ids.ts';
import { type ObjectStore, type Random, SILENT_LOG } from '../../../base/ports.ts';
import {
  type ColumnDef,
  type NewRowset,
  type PartitionDef,
  type RowsetMeta,
  type TableDef,
  segmentKey,
} from '../../../base/schema.ts';
import { systemClock } from '../../../base/system_ports.ts';
import type { ColumnType, SqlRow } from '../../../base/values.ts';
import { FooterCache, type ReadObject } from '../../../be-agent/data/footer_cache.ts';
import { type LoadReport, type LoadServices, runLoad } from '../../../be-agent/data/load.ts';
import type { RowBatch, SourceRow } from '../../../be-agent/data/row_batch.ts';
import { type OpenObject, Scan } from '../../../be-agent/data/scan.ts';
import { MemoryStore } from '../../../be-agent/store/memory_store.ts';

export function column(
  name: string,
  type: ColumnType | 'INT' | 'BIGINT' | 'DOUBLE' | 'STRING' | 'DATE',
  more: Partial<ColumnDef> = {},
): ColumnDef {
  const full: ColumnType = typeof type === 'string' ? { kind: type } : type;
  return { name, type: full, nullable: true, isKey: false, comment: '', ...more };
}

export interface TableOptions {
  readonly buckets?: number;
  readonly partitionKind?: TableDef['partitionKind'];
  readonly partitionColumns?: readonly string[];
  readonly partitions?: readonly Pick<PartitionDef, 'name' | 'values'>[];
}

/** Tablet ids are 1000 × partition index + bucket + 1. */
export function target(columns: readonly ColumnDef[], options: TableOptions = {}): LoadTarget {
  const buckets = options.buckets ?? 1;
  const named = options.partitions ?? [{ name: 't', values: { kind: 'NONE' } }];
  const partitions = named.map(({ name, values }, index) => ({
    partitionId: id<PartitionDef['partitionId']>(index + 1),
    name,
    values,
    buckets,
    visibleVersion: 1,
  }));
  const table: TableDef = {
    databaseId: id(1),
    databaseName: 'db',
    tableId: id(1),
    name: 't',
    keysType: 'DUPLICATE',
    columns,
    partitionKind: options.partitionKind ?? 'NONE',
    partitionColumns: options.partitionColumns ?? [],
    distributionColumns: [columns[0]?.name ?? ''],
    buckets,
    vaultId: id(1),
    ttlSeconds: 0,
    properties: {},
    comment: '',
    createdMs: 0,
    schemaVersion: 1,
    partitions,
    indexes: [],
  };
  const tablets = partitions.map((_, p) =>
    Array.from({ length: buckets }, (__, b) => id<NewRowset['tabletId']>(1000 * p + b + 1)),
  );
  return { table, tablets, rollups: [] };
}

export function services(
  store: ObjectStore = memoryStore(),
  config: Readonly<Record<string, string>> = {},
): LoadServices {
  return {
    store,
    clock: systemClock,
    random: countingRandom(),
    config: new Config(config),
    log: SILENT_LOG,
  };
}

export function memoryStore(): MemoryStore {
  const limits = () => ({ retries: 0, timeoutMs: 1000 });
  return new MemoryStore({ clock: systemClock, random: countingRandom(), limits });
}

/** The same ids in every run. */
function countingRandom(): Random {
  let calls = 0;
  return {
    bytes: (count) => {
      calls += 1;
      return createHash('sha512').update(String(calls)).digest().subarray(0, count);
    },
    int: () => 0,
  };
}

export async function load(
  into: LoadTarget,
  rows: readonly SourceRow[],
  using: LoadServices,
): Promise<LoadReport> {
  const columns = into.table.columns.map(({ name }) => name);
  return runLoad(into, [{ rows, bytes: 0 }], { columns }, using);
}

export function batches(rows: readonly SourceRow[], size: number): RowBatch[] {
  const result: RowBatch[] = [];
  for (let i = 0; i < rows.length; i += size) {
    result.push({ rows: rows.slice(i, i + size), bytes: 0 });
  }
  return result;
}

/** As the catalog would describe it after the commit. */
export function scanRequest(
  outcome: LoadReport,
  columns: readonly ColumnDef[],
  predicates: readonly ScanPredicate[] = [],
): OpenScanRequest {
  const tablets = outcome.rowsets.map((rowset) => {
    const meta: RowsetMeta = {
      ...rowset,
      startVersion: 2,
      endVersion: 2,
      vaultId: id(1),
      txnId: id(1),
      createdMs: 0,
    };
    return { tabletId: rowset.tabletId, partitionId: rowset.partitionId, rowsets: [meta] };
  });
  const table = { tableId: id<TableDef['tableId']>(1), tableName: 'db.t' };
  return { ...table, indexId: id(1), ttlSeconds: 0, columns, predicates, tablets };
}

export interface ReadCounts {
  reads: number;
  bytes: number;
  readonly ranges: { readonly key: string; readonly offset: number; readonly length: number }[];
}

export function readCounts(): ReadCounts {
  return { reads: 0, bytes: 0, ranges: [] };
}

/** Reads from the store directly, counting. */
export function opener(store: ObjectStore, counts: ReadCounts = readCounts()): OpenObject {
  return ({ tablet, rowset, segment }): ReadObject => {
    const key = segmentKey(tablet.tabletId, rowset.rowsetId, segment.segment);
    return {
      key,
      size: segment.bytes,
      indexOffset: segment.indexOffset,
      read: async (offset, length) => {
        counts.reads += 1;
        counts.bytes += length;
        counts.ranges.push({ key, offset, length });
        return store.get(key, { offset, length });
      },
    };
  };
}

export async function scanAll(
  request: OpenScanRequest,
  open: OpenObject,
  footers: FooterCache = new FooterCache(),
): Promise<SqlRow[]> {
  const scan = new Scan(request, open, footers);
  const rows: SqlRow[] = [];
  for (;;) {
    const batch = await scan.nextBatch();
    for (let row = 0; row < batch.rows; row += 1) {
      rows.push(batch.columns.map((values) => values[row] ?? null));
    }
    if (batch.done) return rows;
  }
}
