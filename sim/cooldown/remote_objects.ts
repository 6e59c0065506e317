/**
 * HEAD and manifests as somebody reads them who has only the bucket: a reader of its own, so that
 * what the engine writes is not judged by what the engine reads.
 */
import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { ReplicaId, RowsetId, TabletId } from '../../base/ids.ts';
import { type SegmentMeta, segmentKey, tabletPrefix } from '../../base/schema.ts';
import type { Bucket, StoredObject } from './bucket.ts';

export interface Head {
  readonly term: number;
  readonly replica: ReplicaId;
  readonly seq: number;
  /** Absent: a claim before anything was cooled. */
  readonly manifestKey?: string;
  readonly metaId?: string;
  readonly cooledVersion?: number;
  readonly sha256?: string;
}

export interface ManifestRowset {
  readonly rowsetId: RowsetId;
  readonly startVersion: number;
  readonly endVersion: number;
  readonly rows: number;
  readonly bytes: number;
  readonly segments: readonly SegmentMeta[];
}

export interface Manifest {
  readonly tablet: TabletId;
  readonly replica: ReplicaId;
  readonly term: number;
  readonly seq: number;
  readonly metaId: string;
  readonly cooledVersion: number;
  readonly rowsets: readonly ManifestRowset[];
}

export function headKey(tabletId: TabletId): string {
  return `${tabletPrefix(tabletId)}HEAD`;
}

export type KeyParts =
  | { readonly kind: 'head'; readonly tabletId: TabletId }
  /** What a leader has published in a bucket without conditional writes. */
  | {
      readonly kind: 'term';
      readonly tabletId: TabletId;
      readonly term: number;
      readonly replicaId: ReplicaId;
    }
  | {
      readonly kind: 'manifest';
      readonly tabletId: TabletId;
      readonly term: number;
      readonly seq: number;
      readonly replicaId: ReplicaId;
    }
  | { readonly kind: 'data'; readonly tabletId: TabletId; readonly rowsetId: RowsetId }
  | { readonly kind: 'other' };

export function partsOfKey(key: string): KeyParts {
  const [, tablet, rest = ''] = /^data\/(\d+)\/(.*)$/.exec(key) ?? [];
  const tabletId = Number(tablet) as TabletId;
  if (tablet === undefined) return { kind: 'other' };
  if (rest === 'HEAD') return { kind: 'head', tabletId };
  const [, rowset] = /^([0-9a-f]{32})_\d+\.dat$/.exec(rest) ?? [];
  if (rowset !== undefined) return { kind: 'data', tabletId, rowsetId: rowset as RowsetId };
  const [, leader, ofTerm] = /^(\d+)\.(\d+)\.meta$/.exec(rest) ?? [];
  if (ofTerm !== undefined) {
    const replicaId = Number(leader) as ReplicaId;
    return { kind: 'term', tabletId, term: Number(ofTerm), replicaId };
  }
  const [, term, seq, replica] = /^m\/(\d+)\.(\d+)\.(\d+)\.meta$/.exec(rest) ?? [];
  if (replica === undefined) return { kind: 'other' };
  const replicaId = Number(replica) as ReplicaId;
  return { kind: 'manifest', tabletId, term: Number(term), seq: Number(seq), replicaId };
}

export function readJson<T>(stored: StoredObject): T | undefined {
  try {
    return JSON.parse(Buffer.from(stored.body).toString('utf8')) as T;
  } catch {
    return undefined;
  }
}

/** Without conditional writes there is no HEAD: what the highest term has published counts. */
export function headOf(bucket: Bucket, tabletId: TabletId): Head | undefined {
  if (!bucket.hasConditions) return headOfHighestTerm(bucket, tabletId);
  const stored = bucket.objects.get(headKey(tabletId));
  return stored === undefined ? undefined : readJson<Head>(stored);
}

function headOfHighestTerm(bucket: Bucket, tabletId: TabletId): Head | undefined {
  let head: Head | undefined;
  for (const key of bucket.keys(tabletPrefix(tabletId))) {
    const parts = partsOfKey(key);
    const stored = bucket.objects.get(key);
    if (parts.kind !== 'term' || stored === undefined || parts.term <= (head?.term ?? 0)) continue;
    head = headOfTerm(key, stored);
  }
  return head;
}

/** A published list as a HEAD that names it. */
function headOfTerm(manifestKey: string, stored: StoredObject): Head | undefined {
  const manifest = readJson<Manifest>(stored);
  if (manifest === undefined) return undefined;
  const { term, replica, seq, metaId, cooledVersion } = manifest;
  const sha256 = createHash('sha256').update(stored.body).digest('hex');
  return { term, replica, seq, manifestKey, metaId, cooledVersion, sha256 };
}

/** What HEAD names now; undefined: nothing is cooled; a string: what is wrong with it. */
export function publishedManifest(
  bucket: Bucket,
  tabletId: TabletId,
): Manifest | string | undefined {
  const head = headOf(bucket, tabletId);
  if (head?.manifestKey === undefined) return undefined;
  const stored = bucket.objects.get(head.manifestKey);
  if (stored === undefined) return `HEAD names ${head.manifestKey}, which is not there`;
  const sum = createHash('sha256').update(stored.body).digest('hex');
  if (head.sha256 !== sum) return `${head.manifestKey} has not the checksum that HEAD names`;
  return readJson<Manifest>(stored) ?? `${head.manifestKey} is not JSON`;
}

/** What is wrong with a rowset's objects; undefined: they are there, whole and unchanged. */
export function objectProblem(
  bucket: Bucket,
  tabletId: TabletId,
  { rowsetId, segments }: Pick<ManifestRowset, 'rowsetId' | 'segments'>,
): string | undefined {
  for (const { segment, bytes, crc32: sum } of segments) {
    const key = segmentKey(tabletId, rowsetId, segment);
    const stored = bucket.objects.get(key);
    if (stored === undefined) return `${key} is not there`;
    if (stored.body.length !== bytes) return `${key} has ${stored.body.length} of ${bytes} bytes`;
    if (crc32(stored.body) !== sum) return `${key} has another checksum`;
  }
  return undefined;
}
