/** What must be true of every durable change of a replica. */
import type { RowsetId, TabletId } from '../../base/ids.ts';
import { type ReplicaRowset, initialRowsetId } from '../../base/replica.ts';
import { segmentKey } from '../../base/schema.ts';
import type { ReplicaState } from '../../be-agent/replica/replica_store.ts';
import { rowsOfBody } from './content.ts';
import { objectProblem } from './remote_objects.ts';
import { type DiskSeen, type Seen, cooledOf, cooledVersion, listKey } from './seen.ts';

export interface ReplicaChange {
  readonly disk: DiskSeen;
  readonly tabletId: TabletId;
  /** undefined: it was not there. */
  readonly before: ReplicaState | undefined;
  /** undefined: it was dropped. */
  readonly after: ReplicaState | undefined;
}

export interface ReplicaInvariant {
  readonly name: string;
  readonly claim: string;
  check(seen: Seen, change: ReplicaChange, after: ReplicaState): string | undefined;
}

export const REPLICA_INVARIANTS: readonly ReplicaInvariant[] = [
  {
    name: 'I2-accepted-terms-grow',
    claim: 'The term that a replica accepted never goes down and is one of the catalog.',
    check: (seen, { before, tabletId, disk }, { lead, replicaId }) => {
      const known = before?.replicaId === replicaId ? before.lead : undefined;
      if (lead === undefined) return known === undefined ? undefined : 'it forgot its leader';
      if (known !== undefined && known.term > lead.term) {
        return `${disk.name} went from term ${known.term} to ${lead.term}`;
      }
      if (known?.term === lead.term && known.replicaId !== lead.replicaId) {
        return `${disk.name} changed who has term ${lead.term}`;
      }
      if (seen.control.visibleVersion(tabletId) === undefined) return undefined;
      const owner = seen.history.replicaOfTerm.get(`${tabletId}/${lead.term}`);
      if (owner === lead.replicaId) return undefined;
      return `${disk.name} accepted replica ${lead.replicaId} for term ${lead.term} of tablet ${tabletId}, which is of ${owner ?? 'nobody'}`;
    },
  },
  {
    name: 'I5-durable-before-local-goes',
    claim: 'A rowset is remote only when its objects are whole and HEAD leads or led to it.',
    check: (seen, { before, tabletId, disk }, after) => {
      for (const rowset of newOnes(before, after)) {
        if (rowset.place.kind !== 'remote') continue;
        const what = `${disk.name}: rowset ${rowset.rowsetId} of tablet ${tabletId}`;
        if (!wasPublished(seen, tabletId, rowset)) return `${what} was never published`;
        const problem = objectProblem(seen.bucket, tabletId, rowset);
        if (problem !== undefined) return `${what}: ${problem}`;
      }
      return undefined;
    },
  },
  {
    name: 'I10-versions-whole',
    claim: 'A replica has every version from 0 to its own once.',
    check: (_seen, { tabletId, disk }, { rowsets, version }) => {
      let last = -1;
      for (const { startVersion, endVersion } of rowsets) {
        if (startVersion <= last || endVersion < startVersion) {
          return `${disk.name} tablet ${tabletId}: [${startVersion}-${endVersion}] overlaps`;
        }
        if (startVersion > last + 1 && last < version) {
          return `${disk.name} tablet ${tabletId}: nothing has version ${last + 1} of ${version}`;
        }
        last = endVersion;
      }
      return last < version ? `${disk.name} tablet ${tabletId}: it ends at ${last}` : undefined;
    },
  },
  {
    name: 'I11-no-version-lost',
    claim: 'A replica never loses a version, and each version has the rows that were loaded.',
    check: (seen, { before, disk, tabletId }, after) => {
      if (before?.replicaId === after.replicaId && after.version < before.version) {
        return `${disk.name} tablet ${tabletId} fell from version ${before.version} to ${after.version}`;
      }
      for (const rowset of newOnes(before, after)) {
        const problem = rowsProblem(seen, disk, tabletId, rowset);
        if (problem !== undefined) return `${disk.name} tablet ${tabletId}: ${problem}`;
      }
      return undefined;
    },
  },
  {
    name: 'I12-meta-id-is-the-list',
    claim: 'Equal meta ids mean equal lists of cooled rowsets, and equal lists equal meta ids.',
    check: (seen, { tabletId, disk }, { rowsets, metaId }) => {
      const cooled = cooledOf(rowsets);
      if (cooled.length === 0) {
        return metaId === undefined ? undefined : `${disk.name} has a meta id and nothing cooled`;
      }
      if (metaId === undefined) return `${disk.name} has cooled rowsets and no meta id`;
      return metaProblem(seen, metaId, listKey(tabletId, cooled));
    },
  },
  {
    name: 'I13-cooled-only-grows',
    claim: 'What is cooled never becomes less, except by the list of a higher term.',
    check: (seen, { before, tabletId, disk }, after) => {
      if (before?.replicaId !== after.replicaId) return undefined;
      const [was, is] = [cooledVersion(before.rowsets), cooledVersion(after.rowsets)];
      if (is >= was) return undefined;
      const termOf = (metaId: string | undefined): number =>
        seen.history.published.get(`${tabletId}/${metaId}`)?.term ?? 0;
      if (termOf(after.metaId) > termOf(before.metaId)) return undefined;
      return `${disk.name} tablet ${tabletId} is cooled up to ${is} only, it was ${was}`;
    },
  },
];

/** A list has one meta id, and a meta id one list, for ever. */
export function metaProblem(seen: Seen, metaId: string, list: string): string | undefined {
  const { listOfMeta, metaOfList } = seen.history;
  const known = listOfMeta.get(metaId) ?? list;
  if (known !== list) return `meta id ${metaId} is of [${known}] and of [${list}]`;
  const other = metaOfList.get(list) ?? metaId;
  if (other !== metaId) return `the list [${list}] has the meta ids ${other} and ${metaId}`;
  listOfMeta.set(metaId, list);
  metaOfList.set(list, metaId);
  return undefined;
}

function newOnes(before: ReplicaState | undefined, after: ReplicaState): readonly ReplicaRowset[] {
  const known = new Set(
    before?.replicaId === after.replicaId
      ? before.rowsets.map(({ rowsetId, place }) => `${rowsetId} ${place.kind}`)
      : [],
  );
  return after.rowsets.filter(({ rowsetId, place }) => !known.has(`${rowsetId} ${place.kind}`));
}

function wasPublished(seen: Seen, tabletId: TabletId, rowset: ReplicaRowset): boolean {
  for (const [key, manifest] of seen.history.published) {
    if (!key.startsWith(`${tabletId}/`)) continue;
    const isIn = manifest.rowsets.some(
      ({ rowsetId, startVersion, endVersion }) =>
        rowsetId === rowset.rowsetId &&
        startVersion === rowset.startVersion &&
        endVersion === rowset.endVersion,
    );
    if (isIn) return true;
  }
  return false;
}

/** The rows of a rowset as they lie on the disk or in the bucket, against the model. */
export function rowsProblem(
  seen: Seen,
  disk: DiskSeen,
  tabletId: TabletId,
  rowset: ReplicaRowset,
): string | undefined {
  const { rowsetId, startVersion, endVersion, segments, place } = rowset;
  const rows: string[] = [];
  for (const { segment } of segments) {
    const key = segmentKey(tabletId, rowsetId, segment);
    const body =
      place.kind === 'local' ? disk.disk.files.get(key) : seen.bucket.objects.get(key)?.body;
    if (body === undefined) return `${key} is not there (${place.kind})`;
    const found = rowsOfBody(body);
    if (found === undefined) return `${key} is damaged (${place.kind})`;
    rows.push(...found);
  }
  const expected = seen.content.expected(tabletId, startVersion, endVersion);
  if (rows.sort().join(' ') === expected.join(' ')) return undefined;
  if (isInitial(tabletId, rowsetId) && rows.length === 0) return undefined;
  return `[${startVersion}-${endVersion}] has ${rows.length} rows (${rows.slice(0, 3).join(' ')}), loaded were ${expected.length} (${expected.slice(0, 3).join(' ')})`;
}

function isInitial(tabletId: TabletId, rowsetId: RowsetId): boolean {
  return rowsetId === initialRowsetId(tabletId);
}
