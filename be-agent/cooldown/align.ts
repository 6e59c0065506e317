/** Whether a replica may take over a manifest, and what changes on it. Pure. */
import type { ResourceId } from '../../base/ids.ts';
import type { ReplicaRowset } from '../../base/replica.ts';
import { type Manifest, type ManifestRowset, remoteRowset } from './manifest.ts';
import { type Coolable, cooledVersionOf } from './pick.ts';

export type Alignment =
  | {
      readonly kind: 'CHANGE';
      readonly remove: readonly ReplicaRowset[];
      readonly add: readonly ReplicaRowset[];
    }
  /** The replica keeps what it has. */
  | { readonly kind: 'REFUSED'; readonly why: string };

/**
 * All versions up to the manifest's end come from it, those above stay. Refused when that would
 * lose a version, cut a rowset in two, or change how many rows a version has. A replica that lacks
 * versions which are cooled gets them with the manifest.
 */
export function align(replica: Coolable, manifest: Manifest, resourceId: ResourceId): Alignment {
  const why = refusal(replica, manifest, resourceId);
  if (why !== undefined) return { kind: 'REFUSED', why };
  const covered = replica.rowsets.filter((each) => each.endVersion <= manifest.cooledVersion);
  const same = new Set<string>();
  for (const rowset of covered) {
    const { place } = rowset;
    if (place.kind === 'remote' && sameRange(manifest, rowset)?.rowsetId === rowset.rowsetId) {
      same.add(rowset.rowsetId);
    }
  }
  return {
    kind: 'CHANGE',
    remove: covered.filter(({ rowsetId }) => !same.has(rowsetId)),
    add: manifest.rowsets
      .filter(({ rowsetId }) => !same.has(rowsetId))
      .map((rowset) => remoteRowset(rowset, resourceId)),
  };
}

function refusal(
  replica: Coolable,
  manifest: Manifest,
  resourceId: ResourceId,
): string | undefined {
  const { cooledVersion } = manifest;
  for (const rowset of replica.rowsets) {
    const { startVersion, endVersion, place } = rowset;
    const range = `[${startVersion}-${endVersion}]`;
    if (startVersion <= cooledVersion && endVersion > cooledVersion) {
      return `rowset ${range} goes beyond the cooled version ${cooledVersion}`;
    }
    if (place.kind === 'local') continue;
    if (startVersion > cooledVersion) {
      const own = cooledVersionOf(replica.rowsets);
      return `the manifest ends at ${cooledVersion}, this replica has cooled data to ${own}`;
    }
    if (place.resourceId !== resourceId) {
      return `rowset ${range} is cooled in resource ${place.resourceId}, not ${resourceId}`;
    }
  }
  return changedRows(replica.rowsets, manifest);
}

/** Says which versions have other rows in the manifest than here, as far as that can be told. */
function changedRows(rowsets: readonly ReplicaRowset[], manifest: Manifest): string | undefined {
  for (const published of [...manifest.rowsets, whole(manifest)]) {
    const { startVersion, endVersion, rows } = published;
    const own = rowsIn(rowsets, startVersion, endVersion);
    if (own !== undefined && own !== rows) {
      const versions = `versions [${startVersion}-${endVersion}]`;
      return `${versions} have ${own} rows here and ${rows} in the manifest`;
    }
  }
  for (const rowset of rowsets) {
    const published = sameRange(manifest, rowset);
    if (published === undefined) continue;
    const { rowsetId } = rowset;
    if (published.rowsetId === rowsetId) {
      if (sameSegments(published, rowset)) continue;
      return `rowset ${rowsetId} has other segments here than in the manifest`;
    }
    if (isOfOneLoad(rowset) && isOfOneLoad(published)) {
      const { rowsetId: other } = published;
      return `version ${rowset.endVersion} is rowset ${rowsetId} here and ${other} in the manifest`;
    }
  }
  return undefined;
}

/** Written by a load, under the same id on all replicas, and merged with nothing since. */
function isOfOneLoad({ startVersion, endVersion, segments }: ManifestRowset): boolean {
  return startVersion === endVersion && segments.length > 0;
}

function whole(manifest: Manifest): Pick<ManifestRowset, 'startVersion' | 'endVersion' | 'rows'> {
  const rows = manifest.rowsets.reduce((sum, rowset) => sum + rowset.rows, 0);
  return { startVersion: 0, endVersion: manifest.cooledVersion, rows };
}

/** Rows of exactly these versions; undefined: some are missing, or in a rowset with others. */
function rowsIn(rowsets: readonly ReplicaRowset[], start: number, end: number): number | undefined {
  let next = start;
  let rows = 0;
  for (const rowset of rowsets) {
    if (rowset.endVersion < start || rowset.startVersion > end) continue;
    if (rowset.startVersion !== next || rowset.endVersion > end) return undefined;
    rows += rowset.rows;
    next = rowset.endVersion + 1;
  }
  return next === end + 1 ? rows : undefined;
}

function sameRange(manifest: Manifest, rowset: ReplicaRowset): ManifestRowset | undefined {
  return manifest.rowsets.find(
    ({ startVersion, endVersion }) =>
      startVersion === rowset.startVersion && endVersion === rowset.endVersion,
  );
}

function sameSegments(a: ManifestRowset, b: ReplicaRowset): boolean {
  if (a.segments.length !== b.segments.length) return false;
  return a.segments.every((segment, at) => {
    const other = b.segments[at];
    return (
      segment.segment === other?.segment &&
      segment.bytes === other.bytes &&
      segment.crc32 === other.crc32
    );
  });
}
