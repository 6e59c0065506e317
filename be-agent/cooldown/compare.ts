/** What is published of a tablet, its replicas and the bucket's listing, compared. Pure. */
import type { TabletId } from '../../base/ids.ts';
import type { ObjectMeta } from '../../base/ports.ts';
import type {
  CooldownCheck,
  CooldownProblem,
  CooldownProblemKind,
  ReplicaRowset,
  ReplicaSnapshot,
} from '../../base/replica.ts';
import { type SegmentMeta, rowsetOfKey, segmentKey } from '../../base/schema.ts';
import {
  type Head,
  type Manifest,
  headKey,
  leadOfTermKey,
  metaIdOf,
  termOfManifestKey,
} from './manifest.ts';
import { cooledRowsets } from './pick.ts';

/** What one backend has found out about a tablet. */
export interface Findings {
  readonly tabletId: TabletId;
  /** undefined: there is none, or `headProblem`. */
  readonly head: Head | undefined;
  readonly headProblem: string | undefined;
  readonly manifest: Manifest | undefined;
  readonly manifestProblem: string | undefined;
  /** Everything under the tablet's prefix. */
  readonly listing: readonly ObjectMeta[];
  readonly replicas: readonly ReplicaSnapshot[];
  /** Rowsets that are being uploaded. */
  readonly pending: ReadonlySet<string>;
  /** Wall clock, milliseconds: lists that were written later stay, though another one is current. */
  readonly keptSinceMs: number;
  /** Why the content of an object is not what its list says; only of those that were read. */
  readonly contents: ReadonlyMap<string, string>;
  /** Unused objects that were read and have the content of a used one: its key, by theirs. */
  readonly copies: ReadonlyMap<string, string>;
}

/** A segment that a list names. */
interface Named {
  readonly segment: SegmentMeta;
  /** Who names it. */
  readonly by: string;
}

export function compare(found: Findings): CooldownCheck {
  const { tabletId, head, listing } = found;
  const problems: CooldownProblem[] = [];
  const add = (kind: CooldownProblemKind, key: string, what: string, bytes = 0): void => {
    problems.push({ kind, key, what, bytes });
  };
  publishedProblems(found, add);
  const named = namedObjects(found);
  objectProblems(named, found, add);
  for (const replica of found.replicas) replicaProblems(replica, head, tabletId, add);
  for (const meta of listing) {
    const unused = unusedProblem(meta, named, found);
    if (unused !== undefined) add(unused.kind, meta.key, unused.what, meta.size);
  }
  const published = head === undefined ? {} : { head: headOf(head) };
  const bytes = listing.reduce((sum, { size }) => sum + size, 0);
  return { tabletId, ...published, objects: listing.length, bytes, problems };
}

type Add = (kind: CooldownProblemKind, key: string, what: string, bytes?: number) => void;

function headOf({ replica, term, metaId, cooledVersion }: Head) {
  return { replicaId: replica, term, metaId, cooledVersion };
}

function publishedProblems(found: Findings, add: Add): void {
  const { tabletId, head, headProblem, manifestProblem, replicas } = found;
  const isCooled = replicas.some(({ metaId }) => metaId !== undefined);
  if (headProblem !== undefined) add('HEAD', headKey(tabletId), headProblem);
  else if (head === undefined && isCooled) {
    add('HEAD', headKey(tabletId), 'it is missing, and replicas have cooled data');
  }
  if (head !== undefined && manifestProblem !== undefined) {
    add('MANIFEST', head.manifestKey, manifestProblem);
  }
}

/** Of the manifest and of all replicas, by key. */
function namedObjects({ tabletId, manifest, replicas }: Findings): Map<string, Named> {
  const named = new Map<string, Named>();
  const addAll = (rowsets: readonly Pick<ReplicaRowset, 'rowsetId' | 'segments'>[], by: string) => {
    for (const { rowsetId, segments } of rowsets) {
      for (const segment of segments) {
        const key = segmentKey(tabletId, rowsetId, segment.segment);
        if (!named.has(key)) named.set(key, { segment, by });
      }
    }
  };
  addAll(manifest?.rowsets ?? [], 'the published list');
  for (const { replicaId, rowsets } of replicas) {
    addAll(cooledRowsets(rowsets), `replica ${replicaId}`);
  }
  return named;
}

function objectProblems(
  named: ReadonlyMap<string, Named>,
  { listing, contents }: Findings,
  add: Add,
): void {
  const sizes = new Map(listing.map(({ key, size }) => [key, size]));
  for (const [key, { segment, by }] of named) {
    const size = sizes.get(key);
    const content = contents.get(key);
    if (size === undefined) add('MISSING', key, `${by} names it`);
    else if (size !== segment.bytes) {
      add('DAMAGED', key, `it has ${size} of ${segment.bytes} bytes`, size);
    } else if (content !== undefined) add('DAMAGED', key, content, size);
  }
}

function replicaProblems(
  { replicaId, metaId, rowsets }: ReplicaSnapshot,
  head: Head | undefined,
  tabletId: TabletId,
  add: Add,
): void {
  const cooled = cooledRowsets(rowsets);
  if (metaId === undefined) {
    if (head !== undefined) add('REPLICA', '', `replica ${replicaId} has not taken the list over`);
    return;
  }
  if (metaId !== metaIdOf(tabletId, cooled)) {
    add('REPLICA', '', `replica ${replicaId} has other cooled rowsets than its list ${metaId}`);
  } else if (head !== undefined && metaId !== head.metaId) {
    add('REPLICA', '', `replica ${replicaId} has list ${metaId}, HEAD names ${head.metaId}`);
  }
}

/** undefined: the object is in use, or will be. */
function unusedProblem(
  { key, size, etag, modifiedMs }: ObjectMeta,
  named: ReadonlyMap<string, Named>,
  { tabletId, head, listing, replicas, pending, copies, keptSinceMs }: Findings,
): { readonly kind: 'ORPHAN' | 'DOUBLE'; readonly what: string } | undefined {
  if (key === headKey(tabletId) || key === head?.manifestKey || named.has(key)) return undefined;
  const rowset = rowsetOfKey(key);
  if (rowset === undefined) {
    const isList = key.endsWith('.meta');
    // Nothing is wrong with what will be collected when its time has come.
    if (modifiedMs > keptSinceMs && isFormerList(key, head)) return undefined;
    return {
      kind: 'ORPHAN',
      what: isList ? 'a list that is not current' : 'no object of a tablet',
    };
  }
  // Uploaded and not published yet: it is used when its rowset is cooled.
  const isLocal = replicas.some(({ rowsets }) => rowsets.some((each) => each.rowsetId === rowset));
  if (pending.has(rowset) || isLocal) return undefined;
  const twin = listing.find((other) => {
    return other.key !== key && other.size === size && other.etag === etag && named.has(other.key);
  });
  // Etags of directories tell nothing of the content.
  const used = twin?.key ?? copies.get(key);
  if (used === undefined) return { kind: 'ORPHAN', what: 'nothing refers to it' };
  return { kind: 'DOUBLE', what: `nothing refers to it, and ${used} has the same content` };
}

/** Of this term or one before: followers may still read it. */
function isFormerList(key: string, head: Head | undefined): boolean {
  const term = termOfManifestKey(key) ?? leadOfTermKey(key)?.term;
  return term !== undefined && head !== undefined && term <= head.term;
}
