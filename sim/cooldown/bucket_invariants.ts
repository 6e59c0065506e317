/** What must be true of every change of the bucket, and of every call before it is made. */
import type { TabletId } from '../../base/ids.ts';
import { segmentKey } from '../../base/schema.ts';
import { START_MS } from '../virtual_time.ts';
import type { BucketCall, BucketChange } from './bucket.ts';
import {
  type Head,
  type KeyParts,
  type Manifest,
  headOf,
  objectProblem,
  publishedManifest,
  readJson,
} from './remote_objects.ts';
import { type Seen, cooledOf, liveReplicas } from './seen.ts';

export interface BucketInvariant {
  readonly name: string;
  readonly claim: string;
  /** What is wrong; undefined: nothing. Called after the change. */
  check(seen: Seen, change: BucketChange, parts: KeyParts): string | undefined;
}

export const BUCKET_INVARIANTS: readonly BucketInvariant[] = [
  {
    name: 'I3-one-publisher',
    claim:
      'HEAD goes up in (term, seq), each (tablet, term) is written by its replica only. Without conditional writes this holds of each term by itself.',
    check: (seen, { after, before, key }, parts) => {
      if ((parts.kind !== 'head' && parts.kind !== 'term') || after === undefined) return undefined;
      const { tabletId } = parts;
      const head = readJson<Head>(after);
      if (head === undefined) return `HEAD of tablet ${tabletId} is not JSON`;
      const owner = seen.history.replicaOfTerm.get(`${tabletId}/${head.term}`);
      if (owner !== head.replica) {
        return `HEAD of tablet ${tabletId} has term ${head.term} of replica ${head.replica}, the term is of replica ${owner ?? 'nobody'}`;
      }
      if (parts.kind === 'term' && (head.term !== parts.term || owner !== parts.replicaId)) {
        return `${key} says term ${head.term} of replica ${head.replica}`;
      }
      const last = before === undefined ? undefined : readJson<Head>(before);
      if (last === undefined || isAfter(head, last)) return undefined;
      // Sent again, since the answer was lost: nothing else tells what became of it.
      const isAgain = before !== undefined && Buffer.compare(before.body, after.body) === 0;
      if (parts.kind === 'term' && isAgain) return undefined;
      return `HEAD of tablet ${tabletId} went from ${last.term}.${last.seq} to ${head.term}.${head.seq}`;
    },
  },
  {
    name: 'I13-cooled-only-grows',
    claim:
      'The cooled version that HEAD names never goes down. Without conditional writes this holds of each term by itself.',
    check: (_seen, { after, before }, parts) => {
      if (parts.kind !== 'head' && parts.kind !== 'term') return undefined;
      if (after === undefined || before === undefined) return undefined;
      const [was, is] = [readJson<Head>(before), readJson<Head>(after)];
      if ((is?.cooledVersion ?? -1) >= (was?.cooledVersion ?? -1)) return undefined;
      return `HEAD of tablet ${parts.tabletId} went from version ${was?.cooledVersion} to ${is?.cooledVersion}`;
    },
  },
  {
    name: 'I6-head-is-whole',
    claim: 'The manifest that HEAD names is there, and every object that it names, unchanged.',
    check: (seen, _change, parts) => {
      if (parts.kind === 'other') return undefined;
      if (seen.control.visibleVersion(parts.tabletId) === undefined) return undefined;
      return headProblem(seen, parts.tabletId);
    },
  },
  {
    name: 'I7-readers-find-all',
    claim: 'Every object that a replica reads from the bucket is there.',
    check: (seen, { after, isHalf }, parts) => {
      if (parts.kind !== 'data' || (after !== undefined && !isHalf)) return undefined;
      return readersProblem(seen, parts.tabletId);
    },
  },
  {
    name: 'I8-only-garbage-goes',
    claim:
      'What is deleted is in no manifest of HEAD, read by no replica and no query, not being uploaded, older than the grace period.',
    check: (seen, { after, before, key, actor }, parts) => {
      if (after !== undefined || parts.kind !== 'data') return undefined;
      const { tabletId, rowsetId } = parts;
      const query = seen.queries.readerOf(tabletId, rowsetId);
      if (query !== undefined) return `${key} is read by query ${query.number}`;
      if (seen.control.visibleVersion(tabletId) === undefined) return undefined;
      const manifest = publishedManifest(seen.bucket, tabletId);
      if (typeof manifest === 'object' && names(manifest, key)) return `${key} is in HEAD's list`;
      for (const { disk, state } of liveReplicas(seen, tabletId)) {
        const isRead = cooledOf(state.rowsets).some((rowset) => rowset.rowsetId === rowsetId);
        if (isRead) return `${key} is read by replica ${state.replicaId} on ${disk.name}`;
        const isOther = disk.name !== actor.disk;
        const isLeader = state.lead?.replicaId === state.replicaId;
        const isNewest = state.lead?.term === seen.history.termMax.get(tabletId);
        if (!isOther || !isLeader || !isNewest) continue;
        const pending = disk.uploads(tabletId).some((upload) => upload.rowsetId === rowsetId);
        if (pending) return `${key} is being uploaded by ${disk.name}`;
      }
      const ageMs = START_MS + seen.nowMs - (before?.meta.modifiedMs ?? 0);
      return ageMs < seen.graceMs ? `${key} was ${ageMs} ms old` : undefined;
    },
  },
  {
    name: 'I9-manifest-well-formed',
    claim: 'Manifests say who wrote them, start at version 0, have no gap and no overlap.',
    check: (_seen, { after, isHalf, key }, parts) => {
      if (parts.kind !== 'manifest' && parts.kind !== 'term') return undefined;
      if (after === undefined || isHalf) return undefined;
      const manifest = readJson<Manifest>(after);
      if (manifest === undefined) return `${key} is not JSON`;
      const problem = manifestProblem(manifest, parts);
      return problem === undefined ? undefined : `${key}: ${problem}`;
    },
  },
  {
    name: 'I15-objects-immutable',
    claim: 'No data object or manifest is written twice with different bytes.',
    check: (_seen, { after, before, key }, parts) => {
      if (parts.kind !== 'data' && parts.kind !== 'manifest') return undefined;
      if (after === undefined || before === undefined) return undefined;
      if (Buffer.compare(before.body, after.body) === 0) return undefined;
      // What a fault of the run cut off may be made whole.
      const wasPart = Buffer.compare(before.body, after.body.subarray(0, before.body.length)) === 0;
      return wasPart ? undefined : `${key} was replaced by other bytes`;
    },
  },
  {
    name: 'I18-drop-after-all-replicas',
    claim: "A dropped tablet's objects go only when no backend has a replica of it any more.",
    check: (seen, { after, key }, parts) => {
      if (after !== undefined || parts.kind === 'other') return undefined;
      const { tabletId } = parts;
      if (seen.control.visibleVersion(tabletId) !== undefined) return undefined;
      const holder = seen.disks().find((disk) => !disk.isTwin && disk.get(tabletId) !== undefined);
      return holder === undefined ? undefined : `${key} was deleted, ${holder.name} has a replica`;
    },
  },
];

export interface CallInvariant {
  readonly name: string;
  readonly claim: string;
  check(seen: Seen, call: BucketCall, parts: KeyParts): string | undefined;
}

export const CALL_INVARIANTS: readonly CallInvariant[] = [
  {
    name: 'I4-only-the-leader-writes',
    claim: 'Nobody uploads or publishes who does not know that he is the leader.',
    check: (seen, { name, actor, key }, parts) => {
      if (name !== 'put' || parts.kind === 'other' || actor.disk === undefined) {
        return undefined;
      }
      const disk = seen.disks().find((one) => one.name === actor.disk);
      const state = disk?.get(parts.tabletId);
      if (state?.lead !== undefined && state.lead.replicaId === state.replicaId) return undefined;
      return `${actor.name} writes ${key}, its leader is ${state?.lead?.replicaId ?? 'nobody'}`;
    },
  },
];

/** By term first, then by number within the term. */
export function isAfter(a: Pick<Head, 'term' | 'seq'>, b: Pick<Head, 'term' | 'seq'>): boolean {
  return a.term > b.term || (a.term === b.term && a.seq > b.seq);
}

/** What is wrong with what HEAD of a tablet leads to. */
export function headProblem(seen: Seen, tabletId: TabletId): string | undefined {
  const manifest = publishedManifest(seen.bucket, tabletId);
  if (manifest === undefined) return undefined;
  if (typeof manifest === 'string') return manifest;
  const head = headOf(seen.bucket, tabletId);
  if (head?.metaId !== manifest.metaId) {
    return `HEAD of tablet ${tabletId} has meta id ${head?.metaId}, its manifest ${manifest.metaId}`;
  }
  for (const rowset of manifest.rowsets) {
    const problem = objectProblem(seen.bucket, tabletId, rowset);
    if (problem !== undefined) return `HEAD of tablet ${tabletId} leads to a gap: ${problem}`;
  }
  return undefined;
}

export function readersProblem(seen: Seen, tabletId: TabletId): string | undefined {
  if (seen.control.visibleVersion(tabletId) === undefined) return undefined;
  for (const { disk, state } of liveReplicas(seen, tabletId)) {
    for (const rowset of cooledOf(state.rowsets)) {
      const problem = objectProblem(seen.bucket, tabletId, rowset);
      if (problem !== undefined) return `replica ${state.replicaId} on ${disk.name}: ${problem}`;
    }
  }
  return undefined;
}

function names({ tablet, rowsets }: Manifest, key: string): boolean {
  return rowsets.some(({ rowsetId, segments }) =>
    segments.some(({ segment }) => segmentKey(tablet, rowsetId, segment) === key),
  );
}

function manifestProblem(
  manifest: Manifest,
  parts: Extract<KeyParts, { kind: 'manifest' | 'term' }>,
): string | undefined {
  const { tablet, replica, term, seq, rowsets, cooledVersion, metaId } = manifest;
  const isItsKey =
    tablet === parts.tabletId &&
    replica === parts.replicaId &&
    term === parts.term &&
    (parts.kind === 'term' || seq === parts.seq);
  if (!isItsKey) return `it says tablet ${tablet}, replica ${replica}, ${term}.${seq}`;
  if (!/^[0-9a-f]{32}$/.test(metaId)) return `its meta id is ${metaId}`;
  let last = -1;
  for (const { startVersion, endVersion } of rowsets) {
    if (startVersion !== last + 1 || endVersion < startVersion) {
      return `[${startVersion}-${endVersion}] comes after version ${last}`;
    }
    last = endVersion;
  }
  return last === cooledVersion ? undefined : `it ends at ${last} and says ${cooledVersion}`;
}
