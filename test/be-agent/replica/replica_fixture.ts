/** Replicas, rowsets and stores for the tests of be-agent/replica. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type RowsetId, type TabletId, type TxnId, id, rowsetId } from '../../../base/ids.ts';
import type {
  NewReplica,
  PreparedRowset,
  ReplicaRowset,
  TxnOutcome,
} from '../../../base/replica.ts';
import type { SegmentMeta } from '../../../base/schema.ts';

export const TABLET: TabletId = id(10);

export function tempDir(): string {
  return mkdtempSync(join(tmpdir(), 'replica-test-'));
}

export function removeDir(dir: string): void {
  rmSync(dir, { recursive: true, force: true });
}

/** Replica ids are tablet × 10 + 1; partition 5 has all tablets. */
export function newReplica(
  tabletId: TabletId = TABLET,
  more: Partial<NewReplica> = {},
): NewReplica {
  const replicaId = id<NewReplica['replicaId']>(tabletId * 10 + 1);
  return { tabletId, replicaId, tableId: id(1), partitionId: id(5), indexId: id(3), ...more };
}

export function rowsetName(n: number): RowsetId {
  return rowsetId(`a${n.toString(16).padStart(31, '0')}`);
}

export function segmentMeta(segment = 0, bytes = 100): SegmentMeta {
  return { segment, bytes, rows: 10, indexOffset: 50, crc32: 1234 };
}

export function preparedRowset(n: number, more: Partial<PreparedRowset> = {}): PreparedRowset {
  return {
    tabletId: TABLET,
    replicaId: newReplica().replicaId,
    rowsetId: rowsetName(n),
    rows: 10,
    bytes: 100,
    segments: [segmentMeta()],
    newestWriteMs: 1000 + n,
    ...more,
  };
}

export function visibleRowset(
  n: number,
  [startVersion, endVersion]: readonly [number, number],
  more: Partial<ReplicaRowset> = {},
): ReplicaRowset {
  return {
    rowsetId: rowsetName(n),
    startVersion,
    endVersion,
    rows: 10,
    bytes: 100,
    segments: [segmentMeta()],
    createdMs: 1000,
    newestWriteMs: 1000,
    place: { kind: 'local' },
    ...more,
  };
}

export function txn(n: number): TxnId {
  return id(n);
}

export function visible(n: number, version: number): TxnOutcome {
  return { txnId: txn(n), state: 'VISIBLE', versions: [{ partitionId: id(5), version }] };
}
