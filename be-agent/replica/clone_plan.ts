/**
 * What a replica takes from another one to have all of its versions: as little as possible, whole
 * rowsets, and never half of its list of cooled ones.
 */
import type { RowsetId } from '../../base/ids.ts';
import type { ReplicaRowset, ReplicaSnapshot } from '../../base/replica.ts';
import type { ReplicaState } from './replica_store.ts';
import { contiguousVersion, sortedRowsets } from './versions.ts';

export type ClonePlan =
  | {
      readonly kind: 'CHANGE';
      /** Of the replica's own. */
      readonly remove: readonly RowsetId[];
      /** The source's; segments of local ones have to be copied. */
      readonly add: readonly ReplicaRowset[];
      /** The new identity of the list of cooled rowsets; absent: it stays. */
      readonly metaId?: string;
    }
  /** It has all that the source has. */
  | { readonly kind: 'NOTHING' }
  /** The rowsets of both do not fit into each other. */
  | { readonly kind: 'STUCK'; readonly why: string };

/** `damaged`: local rowsets of `own` that have to be replaced. */
export function planClone(
  own: Pick<ReplicaState, 'rowsets' | 'version' | 'metaId'>,
  source: Pick<ReplicaSnapshot, 'rowsets' | 'version' | 'metaId'>,
  damaged: ReadonlySet<RowsetId> = new Set(),
): ClonePlan {
  const whole = own.rowsets.filter(({ rowsetId }) => !damaged.has(rowsetId));
  const adopted = new Set(source.rowsets.filter((rowset) => !isCovered(rowset, whole)));
  // The list of cooled rowsets is taken as a whole or not at all: its meta id stands for all of it.
  if ([...adopted].some(isRemote)) {
    for (const rowset of source.rowsets) {
      if (isRemote(rowset) && !whole.some((each) => isSame(each, rowset))) adopted.add(rowset);
    }
  }
  const removed = new Set(own.rowsets.filter(({ rowsetId }) => damaged.has(rowsetId)));
  // What overlaps goes, and then all of its versions have to come from the source.
  for (let size = -1; size !== adopted.size;) {
    size = adopted.size;
    for (const rowset of whole) {
      if (removed.has(rowset) || ![...adopted].some((each) => overlaps(each, rowset))) continue;
      removed.add(rowset);
      for (const each of source.rowsets) if (overlaps(each, rowset)) adopted.add(each);
    }
  }
  if (adopted.size === 0 && removed.size === 0) return { kind: 'NOTHING' };
  return outcome(own, source, removed, adopted);
}

function outcome(
  own: Pick<ReplicaState, 'rowsets' | 'version' | 'metaId'>,
  source: Pick<ReplicaSnapshot, 'rowsets' | 'version' | 'metaId'>,
  removed: ReadonlySet<ReplicaRowset>,
  adopted: ReadonlySet<ReplicaRowset>,
): ClonePlan {
  const kept = own.rowsets.filter((rowset) => !removed.has(rowset));
  const result = sortedRowsets([...kept, ...adopted]);
  const version = contiguousVersion(result);
  const needed = Math.max(own.version, source.version);
  if (version < needed) {
    const why = `versions ${version + 1} to ${needed} are not all in the source`;
    return { kind: 'STUCK', why };
  }
  for (const rowset of removed) {
    if (isCovered(rowset, result)) continue;
    const versions = `${rowset.startVersion} to ${rowset.endVersion}`;
    return { kind: 'STUCK', why: `versions ${versions} would get lost, which the source has not` };
  }
  const change = {
    kind: 'CHANGE',
    remove: [...removed].map(({ rowsetId }) => rowsetId),
    add: [...adopted],
  } as const;
  const cooled = cooledList(result);
  if (cooled === cooledList(own.rowsets)) return change;
  if (cooled === cooledList(source.rowsets) && source.metaId !== undefined) {
    return { ...change, metaId: source.metaId };
  }
  return { kind: 'STUCK', why: 'the lists of cooled rowsets do not fit into each other' };
}

/** Whether all its versions are in `rowsets`, which are in order. */
function isCovered({ startVersion, endVersion }: ReplicaRowset, rowsets: readonly ReplicaRowset[]) {
  let next = startVersion;
  for (const rowset of rowsets) {
    if (rowset.startVersion <= next && next <= rowset.endVersion) next = rowset.endVersion + 1;
  }
  return next > endVersion;
}

function overlaps(a: ReplicaRowset, b: ReplicaRowset): boolean {
  return a.startVersion <= b.endVersion && b.startVersion <= a.endVersion;
}

function isRemote({ place }: ReplicaRowset): boolean {
  return place.kind === 'remote';
}

/** At the same place, too. */
function isSame(a: ReplicaRowset, b: ReplicaRowset): boolean {
  return a.rowsetId === b.rowsetId && isRemote(a) === isRemote(b);
}

function cooledList(rowsets: readonly ReplicaRowset[]): string {
  return rowsets
    .filter(isRemote)
    .map(({ rowsetId }) => rowsetId)
    .join();
}
