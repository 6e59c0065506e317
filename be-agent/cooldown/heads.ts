/**
 * Publishing and reading the list of a tablet's cooled rowsets, on stores with conditional writes:
 * immutable manifests, and HEAD that changes only by compare-and-set (DESIGN 5.5).
 */
import type { TabletId } from '../../base/ids.ts';
import { type ObjectStore, ObjectStoreError } from '../../base/ports.ts';
import type { CooldownLead } from '../../base/replica.ts';
import { CooldownFailure } from './failure.ts';
import {
  type Head,
  type Manifest,
  type ManifestRowset,
  damaged,
  decodeHead,
  decodeManifest,
  encode,
  headKey,
  manifestKey,
  newManifest,
  requireOwner,
  sha256Of,
} from './manifest.ts';

/** What is published, and the version of HEAD that says so. */
export interface Published {
  readonly head: Head;
  readonly etag: string;
}

/** What a new list takes the place of, as far as that matters. */
export interface Replaced {
  readonly head: Pick<Head, 'seq'>;
  /** Absent: there is no HEAD, and none must come meanwhile. */
  readonly etag?: string;
}

/** Where a tablet's list stands. All throw ObjectStoreError and CooldownFailure. */
export interface Publications {
  /**
   * undefined: nothing was ever published. `lead`: what the replica knows. `known`: returned as it
   * is when nothing has changed since, which saves a request.
   */
  read(tabletId: TabletId, lead: CooldownLead, known?: Published): Promise<Published | undefined>;
  /** What `head` names: whole, well formed, of this tablet. */
  manifest(tabletId: TabletId, head: Head): Promise<Manifest>;
  /** Puts the own term on what is published, unchanged. HEAD_MOVED: read again. */
  claim(tabletId: TabletId, before: Published, lead: CooldownLead): Promise<Published>;
  /** Replaces `before` by a new list. HEAD_MOVED: read again; it may have been published. */
  publish(
    tabletId: TabletId,
    before: Replaced | undefined,
    lead: CooldownLead,
    rowsets: readonly ManifestRowset[],
  ): Promise<Published>;
}

/** Manifests of attempts that did not get to HEAD are skipped; so many in a row are too many. */
const SEQ_TRIES_MAX = 1000;
/** A conditional write whose answer was lost and that has no effect yet is sent again so often. */
const SENDS_MAX = 3;

export class Heads implements Publications {
  readonly #store: ObjectStore;
  readonly #owner: { readonly cluster?: string };

  /** `clusterId`: HEADs of others are refused; undefined: nobody else is here. */
  constructor(store: ObjectStore, clusterId?: string) {
    this.#store = store;
    this.#owner = clusterId === undefined ? {} : { cluster: clusterId };
  }

  /** The etag is read first: when HEAD changes in between, it fits no more and no swap succeeds. */
  async read(
    tabletId: TabletId,
    _lead?: CooldownLead,
    known?: Published,
  ): Promise<Published | undefined> {
    const key = headKey(tabletId);
    const meta = await this.#store.head(key);
    if (meta === undefined) return undefined;
    if (known !== undefined && known.etag === meta.etag) return known;
    const body = await getOrNone(this.#store, key);
    if (body === undefined) return undefined;
    const head = decodeHead(key, body);
    requireOwner(key, head, this.#owner.cluster);
    return { head, etag: meta.etag };
  }

  async manifest(tabletId: TabletId, head: Head): Promise<Manifest> {
    const key = head.manifestKey;
    const body = await getOrNone(this.#store, key);
    if (body === undefined) throw damaged(key, 'HEAD names it, and it is missing');
    if (sha256Of(body) !== head.sha256) throw damaged(key, 'HEAD names another sha256');
    const manifest = decodeManifest(key, body);
    if (manifest.tablet !== tabletId) throw damaged(key, `it is of tablet ${manifest.tablet}`);
    const isSame = manifest.metaId === head.metaId && manifest.cooledVersion === head.cooledVersion;
    if (!isSame) throw damaged(key, 'it is another list than HEAD says');
    return manifest;
  }

  async claim(tabletId: TabletId, before: Published, lead: CooldownLead): Promise<Published> {
    const { term, replicaId: replica } = lead;
    return await this.#swap(tabletId, before, {
      ...before.head,
      ...this.#owner,
      term,
      replica,
      seq: 0,
    });
  }

  async publish(
    tabletId: TabletId,
    before: Replaced | undefined,
    lead: CooldownLead,
    rowsets: readonly ManifestRowset[],
  ): Promise<Published> {
    const firstSeq = (before?.head.seq ?? 0) + 1;
    for (let seq = firstSeq; seq < firstSeq + SEQ_TRIES_MAX; seq += 1) {
      const manifest = newManifest(tabletId, lead, seq, rowsets);
      const body = encode(manifest);
      const key = manifestKey(tabletId, lead, seq);
      if (!(await this.#create(key, body))) continue;
      const { metaId, cooledVersion } = manifest;
      return await this.#swap(tabletId, before, {
        term: lead.term,
        replica: lead.replicaId,
        seq,
        manifestKey: key,
        metaId,
        cooledVersion,
        sha256: sha256Of(body),
        ...this.#owner,
      });
    }
    throw new CooldownFailure('REMOTE_DAMAGED', `${SEQ_TRIES_MAX} manifests without a HEAD`);
  }

  /** False: there is another one of this name, of an attempt that did not get to HEAD. */
  async #create(key: string, body: Uint8Array): Promise<boolean> {
    for (let send = 1; ; send += 1) {
      try {
        await this.#store.put(key, body, { ifNoneMatch: '*' });
        return true;
      } catch (error) {
        if (!isUndecided(error)) throw error;
        const there = await getOrNone(this.#store, key);
        if (there !== undefined) return Buffer.compare(there, body) === 0;
        if (send >= SENDS_MAX) throw error;
      }
    }
  }

  async #swap(tabletId: TabletId, before: Replaced | undefined, next: Head): Promise<Published> {
    const key = headKey(tabletId);
    const condition =
      before?.etag === undefined ? { ifNoneMatch: '*' as const } : { ifMatch: before.etag };
    for (let send = 1; ; send += 1) {
      try {
        const { etag } = await this.#store.put(key, encode(next), condition);
        return { head: next, etag };
      } catch (error) {
        if (!isUndecided(error)) throw error;
        const now = await this.read(tabletId);
        if (now !== undefined && sameHead(now.head, next)) return now;
        const isUnchanged = now?.etag === before?.etag;
        if (isKind(error, 'UNKNOWN_OUTCOME') && isUnchanged && send < SENDS_MAX) continue;
        throw moved(tabletId, now, next, error);
      }
    }
  }
}

function moved(
  tabletId: TabletId,
  now: Published | undefined,
  wanted: Head,
  cause: unknown,
): CooldownFailure {
  const found = now === undefined ? 'is gone' : `is of term ${now.head.term} now`;
  const what = `HEAD of tablet ${tabletId} ${found}, when ${wanted.term}.${wanted.seq} was to be set`;
  return new CooldownFailure('HEAD_MOVED', what, cause);
}

export function sameHead(a: Head, b: Head): boolean {
  return (
    a.term === b.term &&
    a.replica === b.replica &&
    a.seq === b.seq &&
    a.metaId === b.metaId &&
    a.manifestKey === b.manifestKey &&
    a.sha256 === b.sha256
  );
}

/** Refused or unknown: only looking tells what is there now. */
function isUndecided(error: unknown): boolean {
  return isKind(error, 'PRECONDITION') || isKind(error, 'UNKNOWN_OUTCOME');
}

export function isKind(error: unknown, kind: ObjectStoreError['kind']): boolean {
  return error instanceof ObjectStoreError && error.kind === kind;
}

/** undefined: there is no such object. */
export async function getOrNone(store: ObjectStore, key: string): Promise<Uint8Array | undefined> {
  try {
    return await store.get(key);
  } catch (error) {
    if (isKind(error, 'NOT_FOUND')) return undefined;
    throw error;
  }
}
