/** Versions of rowsets: which are there without a gap. */
import type { ReplicaRowset } from '../../base/replica.ts';

type Versions = Pick<ReplicaRowset, 'rowsetId' | 'startVersion' | 'endVersion'>;

/** By version. Throws when two of them have a version in common, or the same id. */
export function sortedRowsets<Rowset extends Versions>(rowsets: readonly Rowset[]): Rowset[] {
  const sorted = [...rowsets].sort((a, b) => a.startVersion - b.startVersion);
  const ids = new Set<string>();
  let last = -1;
  for (const { rowsetId, startVersion, endVersion } of sorted) {
    const name = `${rowsetId} [${startVersion}-${endVersion}]`;
    if (endVersion < startVersion) throw new Error(`rowset ${name} ends before it starts`);
    if (startVersion <= last) throw new Error(`rowset ${name} overlaps the one before it`);
    if (ids.has(rowsetId)) throw new Error(`rowset ${name} is there twice`);
    ids.add(rowsetId);
    last = endVersion;
  }
  return sorted;
}

/** All versions from 0 to it are there; -1: not even version 0. */
export function contiguousVersion(sorted: readonly Versions[]): number {
  let version = -1;
  for (const { startVersion, endVersion } of sorted) {
    if (startVersion !== version + 1) break;
    version = endVersion;
  }
  return version;
}
