/**
 * When what says what is cooled was lost in the resource: HEAD, or the list it names, or HEAD was put
 * back to an older one by somebody. The leader knows its list from its own disk and publishes it
 * again, when all that it names is there, unchanged, and no other replica has more.
 */
import type { Clock } from '../../base/ports.ts';
import type { ReplicaSnapshot } from '../../base/replica.ts';
import { segmentKey } from '../../base/schema.ts';
import type { ReplicaState, ReplicaStore } from '../replica/replica_store.ts';
import { readBack } from './content_check.ts';
import { isFailure } from './failure.ts';
import type { Published, Replaced } from './heads.ts';
import {
  type ManifestRowset,
  headKey,
  manifestPrefix,
  seqOfManifestKey,
  termKey,
} from './manifest.ts';
import { cooledRowsets, cooledVersionOf } from './pick.ts';
import type { TurnOf } from './tablet_cooling.ts';

export interface RepublishDeps {
  readonly store: ReplicaStore;
  readonly clock: Clock;
}

/** In a turn of the leader. Keys of what was written. Throws ObjectStoreError or CooldownFailure. */
export async function republish(
  { store, clock }: RepublishDeps,
  turn: TurnOf,
  others: readonly ReplicaSnapshot[],
): Promise<readonly string[]> {
  const { tabletId, lead, resource } = turn;
  const replica = store.get(tabletId);
  if (replica?.metaId === undefined) return [];
  const found = await readPublished(turn);
  if (!(await isLost(turn, replica, found))) return [];
  const cooled = cooledRowsets(replica.rowsets);
  const own = cooledVersionOf(replica.rowsets);
  const isBehind = others.some(
    (other) => other.tabletId === tabletId && cooledVersionOf(other.rowsets) > own,
  );
  if (isBehind || (await hasLostObjects(turn, cooled))) return [];
  const before = await replacedOf(turn, found, clock.now());
  await resource.publications.publish(tabletId, before, lead, cooled);
  return [resource.isConditional ? headKey(tabletId) : termKey(tabletId, lead)];
}

/** 'UNREADABLE': something is there. */
async function readPublished(turn: TurnOf): Promise<Published | 'UNREADABLE' | undefined> {
  const { tabletId, lead, resource } = turn;
  return await orUnreadable(async () => await resource.publications.read(tabletId, lead));
}

async function orUnreadable<T>(read: () => Promise<T>): Promise<T | 'UNREADABLE'> {
  try {
    return await read();
  } catch (error) {
    if (isFailure(error, 'REMOTE_DAMAGED')) return 'UNREADABLE';
    throw error;
  }
}

async function isLost(
  { tabletId, lead, resource }: TurnOf,
  replica: ReplicaState,
  found: Published | 'UNREADABLE' | undefined,
): Promise<boolean> {
  if (found === undefined || found === 'UNREADABLE') return true;
  const { head } = found;
  // Whoever leads now looks after it.
  if (head.term > lead.term) return false;
  // What is here was HEAD's list before it was this replica's.
  if (head.cooledVersion < cooledVersionOf(replica.rowsets)) return true;
  const list = await orUnreadable(async () => await resource.publications.manifest(tabletId, head));
  return list === 'UNREADABLE';
}

async function hasLostObjects(
  { tabletId, resource, signal }: TurnOf,
  rowsets: readonly ManifestRowset[],
): Promise<boolean> {
  for (const { rowsetId, segments } of rowsets) {
    for (const segment of segments) {
      const key = segmentKey(tabletId, rowsetId, segment.segment);
      const meta = await resource.store.head(key, { signal });
      if (meta?.size !== segment.bytes) return true;
      if ((await readBack(resource.store, key, segment, signal)) !== undefined) return true;
    }
  }
  return false;
}

/**
 * Followers refuse a HEAD older than the one they have seen, and nobody knows any more which that
 * was: its number is above those of all lists that are there, and above any that was counted up.
 */
async function replacedOf(
  { tabletId, lead, resource, signal }: TurnOf,
  found: Published | 'UNREADABLE' | undefined,
  nowMs: number,
): Promise<Replaced> {
  let seq = Math.floor(nowMs / 1000);
  for await (const page of resource.store.list(manifestPrefix(tabletId), { signal })) {
    for (const { key } of page) seq = Math.max(seq, seqOfManifestKey(key) ?? 0);
  }
  if (found === undefined) return { head: { seq } };
  if (found !== 'UNREADABLE') {
    return { head: { seq: Math.max(seq, found.head.seq) }, etag: found.etag };
  }
  const key = resource.isConditional ? headKey(tabletId) : termKey(tabletId, lead);
  const etag = (await resource.store.head(key, { signal }))?.etag;
  return { head: { seq }, ...(etag === undefined ? {} : { etag }) };
}
