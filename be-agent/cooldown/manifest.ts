/**
 * What of a tablet is cooled, as it lies in the resource.
 *
 * A manifest lists the cooled rowsets of a tablet, from version 0 without a gap; it is written once
 * and never changed. HEAD names the current one and its sha256. The metaId is a digest of the list:
 * equal ids are equal lists, whoever wrote them.
 */
import { createHash } from 'node:crypto';
import type { ReplicaId, ResourceId, RowsetId, TabletId } from '../../base/ids.ts';
import { rowsetId as checkedRowsetId } from '../../base/ids.ts';
import type { CooldownLead, ReplicaRowset } from '../../base/replica.ts';
import { type SegmentMeta, tabletPrefix } from '../../base/schema.ts';
import { CooldownFailure } from './failure.ts';

/** Of the JSON below; a reader refuses others. */
const FORMAT = 1;

/** On what is published; absent: by a version that did not say it. */
interface Owned {
  /** The installation whose tablet it is: ids of tablets are its own. */
  readonly cluster?: string;
}

export interface Head extends Owned {
  readonly term: number;
  readonly replica: ReplicaId;
  /** Rises with every change within a term; 0: the term's claim. */
  readonly seq: number;
  readonly manifestKey: string;
  readonly metaId: string;
  readonly cooledVersion: number;
  /** Of the manifest's bytes, hex. */
  readonly sha256: string;
}

/** A cooled rowset, without its place, which is where the manifest lies. */
export type ManifestRowset = Omit<ReplicaRowset, 'place'>;

export interface Manifest extends Owned {
  readonly format: typeof FORMAT;
  readonly tablet: TabletId;
  readonly replica: ReplicaId;
  readonly term: number;
  readonly seq: number;
  readonly metaId: string;
  /** End of the last rowset. */
  readonly cooledVersion: number;
  readonly rowsets: readonly ManifestRowset[];
}

export function headKey(tabletId: TabletId): string {
  return `${tabletPrefix(tabletId)}HEAD`;
}

export function manifestPrefix(tabletId: TabletId): string {
  return `${tabletPrefix(tabletId)}m/`;
}

export function manifestKey(tabletId: TabletId, lead: CooldownLead, seq: number): string {
  return `${manifestPrefix(tabletId)}${lead.term}.${seq}.${lead.replicaId}.meta`;
}

/** Of stores without conditional writes: one object per leader and term, replaced by it alone. */
export function termKey(tabletId: TabletId, { replicaId, term }: CooldownLead): string {
  return `${tabletPrefix(tabletId)}${replicaId}.${term}.meta`;
}

export function leadOfTermKey(key: string): CooldownLead | undefined {
  const found = /^data\/\d+\/(\d+)\.(\d+)\.meta$/.exec(key);
  if (found === null) return undefined;
  return { replicaId: Number(found[1]) as ReplicaId, term: Number(found[2]) };
}

/** The term in a manifest's name; undefined: it is no such name. */
export function termOfManifestKey(key: string): number | undefined {
  const found = /^data\/\d+\/m\/(\d+)\.\d+\.\d+\.meta$/.exec(key);
  return found === null ? undefined : Number(found[1]);
}

/** The number within its term in a manifest's name; undefined: it is no such name. */
export function seqOfManifestKey(key: string): number | undefined {
  const found = /^data\/\d+\/m\/\d+\.(\d+)\.\d+\.meta$/.exec(key);
  return found === null ? undefined : Number(found[1]);
}

/** Throws CONFLICT when another cluster has written it; `own` undefined: nobody asks. */
export function requireOwner(key: string, { cluster }: Owned, own: string | undefined): void {
  if (own === undefined || cluster === undefined || cluster === own) return;
  const what = `${key} is of another cluster (${cluster}), which must have a root path of its own`;
  throw new CooldownFailure('CONFLICT', what);
}

/** 32 hex digits; of equal lists equal, whatever wrote them. */
export function metaIdOf(tabletId: TabletId, rowsets: readonly ManifestRowset[]): string {
  const hash = createHash('sha256').update(`${FORMAT} ${tabletId}`);
  for (const { rowsetId, startVersion, endVersion } of rowsets) {
    hash.update(` ${rowsetId} ${startVersion} ${endVersion}`);
  }
  return hash.digest('hex').slice(0, 32);
}

export function newManifest(
  tabletId: TabletId,
  lead: CooldownLead,
  seq: number,
  rowsets: readonly ManifestRowset[],
): Manifest {
  const manifest: Manifest = {
    format: FORMAT,
    tablet: tabletId,
    replica: lead.replicaId,
    term: lead.term,
    seq,
    metaId: metaIdOf(tabletId, rowsets),
    cooledVersion: rowsets.at(-1)?.endVersion ?? -1,
    rowsets: rowsets.map(plainRowset),
  };
  const problem = problemOf(manifest);
  if (problem !== undefined) throw new Error(`tablet ${tabletId}: a manifest that ${problem}`);
  return manifest;
}

/** In a fixed order of fields, so that equal manifests are equal bytes. */
function plainRowset(rowset: ManifestRowset): ManifestRowset {
  const { rowsetId, startVersion, endVersion, rows, bytes, createdMs, newestWriteMs } = rowset;
  const segments = rowset.segments.map((segment) => {
    const { segment: number, bytes: size, rows: count, indexOffset, crc32 } = segment;
    return { segment: number, bytes: size, rows: count, indexOffset, crc32 };
  });
  return { rowsetId, startVersion, endVersion, rows, bytes, createdMs, newestWriteMs, segments };
}

export function encode(value: Head | Manifest): Uint8Array {
  return new TextEncoder().encode(`${JSON.stringify(value)}\n`);
}

export function sha256Of(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** Throws REMOTE_DAMAGED. */
export function decodeHead(key: string, bytes: Uint8Array): Head {
  const value = parse(key, bytes) as Partial<Head>;
  const { term, replica, seq, manifestKey: named, metaId, cooledVersion, sha256 } = value;
  const isGood =
    isCount(term, 1) &&
    isCount(replica, 1) &&
    isCount(seq, 0) &&
    typeof named === 'string' &&
    isHex(metaId, 32) &&
    isCount(cooledVersion, 0) &&
    (value.cluster === undefined || typeof value.cluster === 'string') &&
    isHex(sha256, 64);
  if (!isGood) throw damaged(key, 'it is not a HEAD');
  return value as Head;
}

/** Checks everything that can be checked without the data objects. Throws REMOTE_DAMAGED. */
export function decodeManifest(key: string, bytes: Uint8Array): Manifest {
  const value = parse(key, bytes) as Manifest;
  if ((value.format as number) !== FORMAT) {
    throw damaged(key, `its format is not ${FORMAT}`);
  }
  const problem = problemOf(value);
  if (problem !== undefined) throw damaged(key, `it ${problem}`);
  return value;
}

export function remoteRowset(rowset: ManifestRowset, resourceId: ResourceId): ReplicaRowset {
  return { ...plainRowset(rowset), place: { kind: 'remote', resourceId } };
}

export function damaged(key: string, what: string): CooldownFailure {
  return new CooldownFailure('REMOTE_DAMAGED', `object ${key} is damaged: ${what}`);
}

function parse(key: string, bytes: Uint8Array): object {
  try {
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    if (typeof value === 'object' && value !== null) return value;
  } catch {
    // Said below.
  }
  throw damaged(key, 'it is not JSON');
}

/** What is wrong with it, as the end of a sentence about it. */
function problemOf(manifest: Manifest): string | undefined {
  const { tablet, replica, term, seq, metaId, cooledVersion, rowsets } = manifest;
  const isGood = isCount(tablet, 1) && isCount(replica, 1) && isCount(term, 1) && isCount(seq, 0);
  if (!isGood || !Array.isArray(rowsets)) return 'lacks something';
  let version = -1;
  const ids = new Set<RowsetId>();
  for (const rowset of rowsets as readonly ManifestRowset[]) {
    const problem = rowsetProblem(rowset);
    if (problem !== undefined) return problem;
    const { rowsetId, startVersion, endVersion } = rowset;
    if (startVersion !== version + 1) {
      return `has rowset [${startVersion}-${endVersion}] after version ${version}`;
    }
    if (ids.has(rowsetId)) return `has rowset ${rowsetId} twice`;
    ids.add(rowsetId);
    version = endVersion;
  }
  if (version < 0) return 'has no rowset';
  if (cooledVersion !== version) return `ends at ${version} and not at ${cooledVersion}`;
  return metaId === metaIdOf(tablet, rowsets) ? undefined : 'has another meta id than its list';
}

function rowsetProblem(rowset: ManifestRowset): string | undefined {
  const { rowsetId, startVersion, endVersion, rows, bytes, segments } = rowset;
  try {
    checkedRowsetId(rowsetId);
  } catch {
    return 'names a rowset that is none';
  }
  const isGood =
    isCount(startVersion, 0) &&
    isCount(endVersion, startVersion) &&
    isCount(rows, 0) &&
    isCount(bytes, 0) &&
    Number.isFinite(rowset.createdMs) &&
    Number.isFinite(rowset.newestWriteMs) &&
    Array.isArray(segments) &&
    segments.every(isSegment);
  if (!isGood) return `describes rowset ${rowsetId} wrongly`;
  const sum = (pick: (segment: SegmentMeta) => number): number =>
    segments.reduce((total, segment) => total + pick(segment), 0);
  const isSum = sum((each) => each.bytes) === bytes && sum((each) => each.rows) === rows;
  return isSum ? undefined : `describes rowset ${rowsetId} with other sums than its segments`;
}

function isSegment({ segment, bytes, rows, indexOffset, crc32 }: SegmentMeta): boolean {
  const isPlaced = isCount(segment, 0) && isCount(bytes, 1) && isCount(indexOffset, 0);
  return isPlaced && isCount(rows, 0) && isCount(crc32, 0) && indexOffset <= bytes;
}

function isCount(value: unknown, from: number): value is number {
  return Number.isSafeInteger(value) && (value as number) >= from;
}

function isHex(value: unknown, digits: number): value is string {
  return typeof value === 'string' && value.length === digits && /^[0-9a-f]+$/.test(value);
}
