/**
 * One turn of one tablet: what a leader and what a follower does. The order for a rowset is upload,
 * verify, manifest, HEAD, the swap in agent.db in one durable step, and then the local files go
 * (DESIGN 5.6). A crash between any two of them leaves something that the next turn goes on with.
 */
import type { RowsetId, TabletId } from '../../base/ids.ts';
import type { Clock, Log } from '../../base/ports.ts';
import type { CooldownLead, ReplicaRowset } from '../../base/replica.ts';
import { segmentKey } from '../../base/schema.ts';
import type { LocalSegments } from '../replica/local_segments.ts';
import type { ReplicaState, ReplicaStore } from '../replica/replica_store.ts';
import { align } from './align.ts';
import type { CooldownResource } from './cooldown_resources.ts';
import type { CooldownCounts } from './counts.ts';
import { CooldownFailure } from './failure.ts';
import type { Published } from './heads.ts';
import { type Head, damaged, remoteRowset } from './manifest.ts';
import { type Coldness, cooledRowsets, pickDue } from './pick.ts';
import { type SegmentUploads, isLocalDamage } from './segment_uploads.ts';

/** HEAD is read again at once so often when somebody changed it in between. */
const MOVES_MAX = 5;
/** Manifests published in one turn; then others may have theirs. */
const BATCHES_MAX = 20;
/** Objects asked for at once when a manifest is taken over. */
const HEADS_AT_ONCE = 8;

export interface TabletCoolingOptions {
  readonly store: ReplicaStore;
  readonly local: LocalSegments;
  readonly uploads: SegmentUploads;
  readonly clock: Clock;
  readonly log: Log;
  readonly counts: CooldownCounts;
}

/** What a turn works with; the replica is read anew from the store. */
export interface TurnOf {
  readonly tabletId: TabletId;
  readonly lead: CooldownLead;
  readonly resource: CooldownResource;
  readonly signal: AbortSignal;
}

export class TabletCooling {
  readonly #options: TabletCoolingOptions;

  constructor(options: TabletCoolingOptions) {
    this.#options = options;
  }

  /**
   * Claims what is published, takes it over, and cools what is due. True: there may be more. Throws
   * CooldownFailure (FENCED: somebody else leads), ObjectStoreError, or the signal's reason.
   */
  async lead(turn: TurnOf, coldness: Coldness): Promise<boolean> {
    let published = await this.takeOver(turn);
    for (let batch = 0; batch < BATCHES_MAX; batch += 1) {
      const replica = this.#leader(turn);
      const picked = pickDue(replica, coldness, this.#options.clock.now());
      if (picked.length === 0) return false;
      if (replica.isBad) {
        throw new CooldownFailure('NOT_READY', 'this replica is damaged and uploads nothing');
      }
      const reused = await this.#upload(turn, picked);
      try {
        published = await this.#publish(turn, published, picked, reused);
      } catch (error) {
        if (!isMoved(error)) throw error;
        published = await this.takeOver(turn);
      }
    }
    return true;
  }

  /** HEAD has the own term and the replica its list, which is what may be built upon. */
  async takeOver(turn: TurnOf): Promise<Published | undefined> {
    for (let moves = 0; ; moves += 1) {
      const { tabletId, lead, resource, signal } = turn;
      signal.throwIfAborted();
      try {
        const found = await resource.publications.read(tabletId, lead);
        const published = found === undefined ? undefined : await this.#claim(turn, found);
        await this.#adopt(turn, published);
        return published;
      } catch (error) {
        if (!isMoved(error) || moves >= MOVES_MAX) throw error;
      }
    }
  }

  /**
   * Takes over what is published, whoever did it, and returns it; undefined: nothing. `seen`: what
   * it returned the last time, which is not newer.
   */
  async follow(turn: TurnOf, seen: Published | undefined): Promise<Published | undefined> {
    const { tabletId, lead, resource } = turn;
    const published = await resource.publications.read(tabletId, lead, seen);
    if (published !== undefined && seen !== undefined && isOlder(published.head, seen.head)) {
      const [before, now] = [seen.head, published.head];
      const what = `HEAD went back from ${before.term}.${before.seq} to ${now.term}.${now.seq}`;
      throw damaged(`data/${tabletId}/HEAD`, what);
    }
    await this.#adopt(turn, published);
    return published;
  }

  /** Publishes `rowsets` in place of the cooled ones that they replace; used by compactions. */
  async replaceCooled(
    turn: TurnOf,
    published: Published,
    remove: readonly ReplicaRowset[],
    add: readonly ReplicaRowset[],
  ): Promise<void> {
    const replica = this.#leader(turn);
    const removed = new Set(remove.map(({ rowsetId }) => rowsetId));
    const kept = cooledRowsets(replica.rowsets).filter(({ rowsetId }) => !removed.has(rowsetId));
    const list = [...kept, ...add].sort((a, b) => a.startVersion - b.startVersion);
    await this.#publishList(turn, published, list, { remove, add });
  }

  async #claim(turn: TurnOf, found: Published): Promise<Published> {
    const { tabletId, lead, resource } = turn;
    const { counts, log } = this.#options;
    const { term, replica } = found.head;
    if (term > lead.term) {
      counts.fenced += 1;
      log.warn('a higher term leads this tablet: stepped down', { tabletId, own: lead.term, term });
      const what = `replica ${replica} leads with term ${term}, this one had ${lead.term}`;
      throw new CooldownFailure('FENCED', what);
    }
    if (term === lead.term) {
      if (replica === lead.replicaId) return found;
      const what = `replicas ${replica} and ${lead.replicaId} both have term ${term}`;
      throw new CooldownFailure('CONFLICT', what);
    }
    this.#leader(turn);
    const claimed = await resource.publications.claim(tabletId, found, lead);
    counts.claimed += 1;
    log.info('claimed the cooled data of a tablet', { tabletId, term: lead.term, before: term });
    return claimed;
  }

  async #adopt(turn: TurnOf, published: Published | undefined): Promise<void> {
    const { tabletId, resource, signal } = turn;
    const { store, local, counts, log } = this.#options;
    const before = this.#replica(turn);
    if (published === undefined) {
      if (before.metaId === undefined) return;
      const where = resource.store.url;
      throw damaged(
        `data/${tabletId}/HEAD`,
        `it is missing in ${where}, where this replica has cooled data`,
      );
    }
    const { head } = published;
    if (head.metaId === before.metaId) return;
    const manifest = await resource.publications.manifest(tabletId, head);
    // What is there now, not before the await: a load may have added a version.
    const planned = this.#alignment(turn, manifest);
    await this.#requireObjects(turn, planned.add);
    signal.throwIfAborted();
    const change = this.#alignment(turn, manifest);
    const remove = change.remove.map(({ rowsetId }) => rowsetId);
    const { replicaId } = this.#replica(turn);
    const { metaId } = manifest;
    const isDone = store.batch(() => {
      for (const rowsetId of remove) store.endUpload(rowsetId);
      if (!store.replace(tabletId, { replicaId, remove, add: change.add, metaId })) return false;
      // Whatever was damaged of it is not read any more.
      if (localOnes(this.#replica(turn).rowsets).every(isEmpty)) store.clearBad(tabletId);
      return true;
    });
    if (!isDone) throw new CooldownFailure('NOT_READY', 'its rowsets changed meanwhile');
    counts.followed += 1;
    const { cooledVersion } = manifest;
    log.info('took over the cooled rowsets of a tablet', { tabletId, metaId, cooledVersion });
    await local.delete(tabletId, localOnes(change.remove));
  }

  #alignment(turn: TurnOf, manifest: Parameters<typeof align>[1]) {
    const alignment = align(this.#replica(turn), manifest, turn.resource.resourceId);
    if (alignment.kind === 'CHANGE') return alignment;
    throw new CooldownFailure('NOT_ALIGNED', alignment.why);
  }

  /**
   * A local copy goes only when the objects that replace it are there, in their size. What is not,
   * the leader writes again from its own copy; a follower keeps its copy and waits for that.
   */
  async #requireObjects(turn: TurnOf, rowsets: readonly ReplicaRowset[]): Promise<void> {
    const { tabletId, resource, signal } = turn;
    const objects = rowsets.flatMap(({ rowsetId, segments }) =>
      segments.map((segment) => ({
        key: segmentKey(tabletId, rowsetId, segment.segment),
        rowsetId,
        segment,
      })),
    );
    for (let at = 0; at < objects.length; at += HEADS_AT_ONCE) {
      const part = objects.slice(at, at + HEADS_AT_ONCE);
      const metas = await Promise.all(
        part.map(async ({ key }) => await resource.store.head(key, { signal })),
      );
      for (const [index, { key, rowsetId, segment }] of part.entries()) {
        const size = metas[index]?.size;
        if (size === segment.bytes) continue;
        const problem =
          size === undefined
            ? damaged(key, 'a manifest names it, and it is missing')
            : damaged(key, `it has ${size} of ${segment.bytes} bytes`);
        if (!this.#hasCopyAsLeader(turn, rowsetId)) throw problem;
        this.#options.log.warn('a published object is written again', {
          key,
          why: problem.message,
        });
        await this.#options.uploads.upload(
          resource,
          tabletId,
          [{ rowsetId, segments: [segment] }],
          signal,
        );
      }
    }
  }

  #hasCopyAsLeader(turn: TurnOf, wanted: RowsetId): boolean {
    const { replicaId, rowsets } = this.#replica(turn);
    if (replicaId !== turn.lead.replicaId) return false;
    return localOnes(rowsets).some(({ rowsetId }) => rowsetId === wanted);
  }

  /** Rowsets of which something was in the resource already. */
  async #upload(turn: TurnOf, rowsets: readonly ReplicaRowset[]): Promise<ReadonlySet<RowsetId>> {
    const { tabletId, resource, signal } = turn;
    const { store, uploads, clock } = this.#options;
    const { resourceId } = resource;
    const begun = new Set(store.uploads(tabletId).map(({ rowsetId }) => rowsetId));
    const sent = rowsets.map(({ rowsetId, segments }) => {
      return { rowsetId, segments, isRetry: begun.has(rowsetId) };
    });
    store.batch(() => {
      for (const { rowsetId, segments } of sent) {
        if (segments.length === 0) continue;
        store.beginUpload({ tabletId, rowsetId, resourceId, startedMs: clock.now() });
      }
    });
    try {
      return await uploads.upload(resource, tabletId, sent, signal);
    } catch (error) {
      if (isLocalDamage(error)) store.markBad(tabletId, (error as Error).message);
      throw error;
    }
  }

  async #publish(
    turn: TurnOf,
    published: Published | undefined,
    picked: readonly ReplicaRowset[],
    reused: ReadonlySet<RowsetId>,
  ): Promise<Published> {
    const { resourceId } = turn.resource;
    const add = picked.map((rowset) => remoteRowset(rowset, resourceId));
    const list = [...cooledRowsets(this.#leader(turn).rowsets), ...add];
    const next = await this.#publishList(turn, published, list, { remove: picked, add, reused });
    this.#options.counts.cooledRowsets += picked.length;
    return next;
  }

  async #publishList(
    turn: TurnOf,
    published: Published | undefined,
    list: readonly ReplicaRowset[],
    change: {
      readonly remove: readonly ReplicaRowset[];
      readonly add: readonly ReplicaRowset[];
      readonly reused?: ReadonlySet<RowsetId>;
    },
  ): Promise<Published> {
    const { tabletId, lead, resource, signal } = turn;
    const { store, local, counts, log } = this.#options;
    signal.throwIfAborted();
    this.#leader(turn);
    // From here on nothing is interrupted: a HEAD on its way is waited for.
    const next = await resource.publications.publish(tabletId, published, lead, list);
    counts.published += 1;
    // What was nobody's until now may have been collected by a leader of an older term that stood
    // still before its deletion. From here on it is named, and the local copy is still there.
    await this.#requireObjects(
      turn,
      change.add.filter(({ rowsetId }) => change.reused?.has(rowsetId)),
    );
    const { metaId, cooledVersion } = next.head;
    const replicaId = lead.replicaId;
    const remove = change.remove.map(({ rowsetId }) => rowsetId);
    const isDone = store.batch(() => {
      for (const { rowsetId } of change.add) store.endUpload(rowsetId);
      return store.replace(tabletId, { replicaId, remove, add: change.add, metaId });
    });
    if (!isDone) throw new CooldownFailure('NOT_READY', 'its rowsets changed meanwhile');
    log.info('cooled rowsets of a tablet', {
      tabletId,
      rowsets: change.add.length,
      metaId,
      cooledVersion,
    });
    await local.delete(tabletId, localOnes(change.remove));
    return next;
  }

  #replica({ tabletId, lead }: TurnOf): ReplicaState {
    const replica = this.#options.store.get(tabletId);
    if (replica === undefined) throw new CooldownFailure('NOT_READY', 'the replica was dropped');
    if (replica.lead?.term !== lead.term || replica.lead.replicaId !== lead.replicaId) {
      throw new CooldownFailure('NOT_READY', 'another replica leads now');
    }
    return replica;
  }

  /** Asked before everything that only a leader may do. */
  #leader(turn: TurnOf): ReplicaState {
    const replica = this.#replica(turn);
    if (replica.replicaId === turn.lead.replicaId) return replica;
    throw new CooldownFailure('NOT_READY', `replica ${turn.lead.replicaId} leads, not this one`);
  }
}

function isEmpty({ segments }: ReplicaRowset): boolean {
  return segments.length === 0;
}

function isOlder(head: Head, than: Head): boolean {
  return head.term < than.term || (head.term === than.term && head.seq < than.seq);
}

function localOnes(rowsets: readonly ReplicaRowset[]): ReplicaRowset[] {
  return rowsets.filter(({ place }) => place.kind === 'local');
}

function isMoved(error: unknown): boolean {
  return error instanceof CooldownFailure && error.kind === 'HEAD_MOVED';
}
