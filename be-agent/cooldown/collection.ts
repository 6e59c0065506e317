/**
 * Deletes objects of cooled tablets that nothing refers to: inputs of compactions, uploads and
 * manifests of attempts that did not get to HEAD (DESIGN 5.7). Garbage is preferred to loss:
 *
 * 1. in the tablet's turn: pending uploads, then HEAD and its manifest, then the listing;
 * 2. the server confirms that all replicas are alive with the same term and list, none of them busy;
 * 3. in another turn: HEAD must be the same version as before, the replica as well; then they go.
 *
 * A candidate is older than the grace period, by its own time and by how long this backend has
 * known it: clocks may be wrong.
 */
import type { FrontendPort, UnusedFilesQuestion } from '../../base/agent_messages.ts';
import type { Config } from '../../base/config.ts';
import type { RowsetId, TabletId } from '../../base/ids.ts';
import type { Clock, Log, ObjectMeta } from '../../base/ports.ts';
import { rowsetOfKey, tabletPrefix } from '../../base/schema.ts';
import type { LocalSegments } from '../replica/local_segments.ts';
import type { ReplicaState, ReplicaStore } from '../replica/replica_store.ts';
import { discardUploads } from '../store/unfinished_uploads.ts';
import type { CooldownEngine } from './cooldown_engine.ts';
import { isFailure } from './failure.ts';
import { isKind } from './heads.ts';
import { type Manifest, headKey, leadOfTermKey, termOfManifestKey } from './manifest.ts';
import type { TurnOf } from './tablet_cooling.ts';

const CONFIRM_TIMEOUT_MS = 10_000;
/** Questions in one call. */
const QUESTIONS_MAX = 100;
/** Objects deleted with one call. */
const DELETE_MAX = 1000;

export interface CollectionOptions {
  readonly engine: CooldownEngine;
  readonly store: ReplicaStore;
  readonly local: Pick<LocalSegments, 'isPinned'>;
  readonly frontend: FrontendPort;
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Log;
}

/** Tablets of which something stays that is unused. */
export interface Uncollected {
  /** The server did not agree, or something has changed or failed. */
  readonly refused: readonly TabletId[];
  /** Within the grace period. */
  readonly young: readonly TabletId[];
}

/** What may be deleted when the server confirms it and nothing has changed since. */
interface Unused {
  readonly question: UnusedFilesQuestion;
  /** Version of HEAD when the objects were listed. */
  readonly etag: string;
  readonly keys: readonly string[];
}

export class Collection {
  readonly #options: CollectionOptions;
  /** When an object was first found unused, monotonic milliseconds, by tablet and key. */
  readonly #known = new Map<TabletId, Map<string, number>>();
  #isRunning = false;

  constructor(options: CollectionOptions) {
    this.#options = options;
  }

  /** Looks at these tablets; by default at all that this backend leads. */
  async collect(
    tabletIds: readonly TabletId[] = this.#ledTablets(),
    onDeleted: (keys: readonly string[]) => void = () => undefined,
  ): Promise<Uncollected> {
    const refused: TabletId[] = [];
    const young: TabletId[] = [];
    if (this.#isRunning) return { refused: tabletIds, young };
    this.#isRunning = true;
    try {
      for (let at = 0; at < tabletIds.length; at += QUESTIONS_MAX) {
        const some = await this.#collectSome(tabletIds.slice(at, at + QUESTIONS_MAX), onDeleted);
        refused.push(...some.refused);
        young.push(...some.young);
      }
    } finally {
      this.#isRunning = false;
    }
    return { refused, young };
  }

  #ledTablets(): TabletId[] {
    const { store, engine } = this.#options;
    return store.list().flatMap((replica) => {
      const isLed = replica.metaId !== undefined && engine.leads(replica);
      return isLed ? [replica.tabletId] : [];
    });
  }

  async #collectSome(
    tabletIds: readonly TabletId[],
    onDeleted: (keys: readonly string[]) => void,
  ): Promise<Uncollected> {
    const { engine, frontend, log } = this.#options;
    const found = new Map<TabletId, Unused>();
    const refused: TabletId[] = [];
    const young: TabletId[] = [];
    for (const tabletId of tabletIds) {
      if (engine.isBusy(tabletId)) {
        refused.push(tabletId);
        continue;
      }
      try {
        const unused = await engine.leaderTurn(tabletId, async (turn) => await this.#find(turn));
        if (unused === 'YOUNG') young.push(tabletId);
        else if (unused !== undefined) found.set(tabletId, unused);
      } catch (error) {
        const what = 'looking for unused objects failed';
        const why = { tabletId, error: String(error) };
        // A drop or a new leader was more important.
        if (isFailure(error, 'NOT_READY') || isKind(error, 'ABORTED')) log.debug(what, why);
        else log.warn(what, why);
        refused.push(tabletId);
      }
    }
    if (found.size === 0) return { refused, young };
    let confirmed: readonly TabletId[] = [];
    try {
      const questions = [...found.values()].map(({ question }) => question);
      const options = { timeoutMs: CONFIRM_TIMEOUT_MS };
      const reply = await frontend.call('confirmUnusedRemoteFiles', { questions }, options);
      ({ confirmed } = reply);
    } catch (error) {
      log.warn('the server did not say which objects are unused', { error: String(error) });
    }
    for (const [tabletId, unused] of found) {
      const keys = confirmed.includes(tabletId) ? await this.#deleteOf(tabletId, unused) : [];
      if (keys.length > 0) onDeleted(keys);
      if (keys.length < unused.keys.length) refused.push(tabletId);
    }
    return { refused, young };
  }

  async #deleteOf(tabletId: TabletId, unused: Unused): Promise<readonly string[]> {
    const { engine, log } = this.#options;
    try {
      const turn = async (each: TurnOf): Promise<readonly string[]> => {
        return await this.#delete(each, unused);
      };
      return (await engine.leaderTurn(tabletId, turn)) ?? [];
    } catch (error) {
      log.warn('unused objects could not be deleted', { tabletId, error: String(error) });
      return [];
    }
  }

  /** undefined: nothing is unused, or this replica cannot tell. */
  async #find(turn: TurnOf): Promise<Unused | 'YOUNG' | undefined> {
    const { tabletId, lead, resource } = turn;
    const { store, clock, config } = this.#options;
    // Before the references: what is uploaded from now on is younger than the listing.
    const pending = new Set(store.uploads(tabletId).map(({ rowsetId }) => rowsetId));
    const published = await resource.publications.read(tabletId, lead);
    const replica = store.get(tabletId);
    if (published === undefined || replica === undefined) return undefined;
    const { head, etag } = published;
    const isOwn = head.term === lead.term && head.replica === lead.replicaId;
    if (!isOwn || head.metaId !== replica.metaId) return undefined;
    const manifest = await resource.publications.manifest(tabletId, head);
    const spared = this.#spared(replica, manifest, pending);
    const graceMs = config.get('cooldown_garbage_grace_seconds') * 1000;
    await this.#discardUploads(turn, clock.now() - graceMs);
    const before = this.#known.get(tabletId);
    const known = new Map<string, number>();
    const keys: string[] = [];
    const isUsed = (meta: ObjectMeta): boolean =>
      isUsedKey(meta.key, { tabletId, term: lead.term, current: head.manifestKey, spared });
    for await (const page of resource.store.list(tabletPrefix(tabletId), { signal: turn.signal })) {
      for (const meta of page) {
        if (isUsed(meta)) continue;
        const sinceMs = before?.get(meta.key) ?? clock.monotonic();
        known.set(meta.key, sinceMs);
        const isOld =
          clock.now() - meta.modifiedMs >= graceMs && clock.monotonic() - sinceMs >= graceMs;
        if (isOld) keys.push(meta.key);
      }
    }
    if (known.size === 0) this.#known.delete(tabletId);
    else this.#known.set(tabletId, known);
    if (keys.length === 0) return known.size === 0 ? undefined : 'YOUNG';
    const { replicaId, term } = lead;
    return { question: { tabletId, replicaId, term, metaId: head.metaId }, etag, keys };
  }

  /**
   * Parts of large uploads whose writers died. This backend uploads nothing in a turn of collection,
   * and nobody else may: a leader of the past fails at its next part, a later one sends again.
   */
  async #discardUploads(turn: TurnOf, beganBeforeMs: number): Promise<void> {
    const { tabletId, resource, signal } = turn;
    const { log } = this.#options;
    const prefix = tabletPrefix(tabletId);
    const uploads = await discardUploads(resource.store, prefix, { beganBeforeMs, signal });
    if (uploads > 0) log.info('discarded uploads that had not ended', { tabletId, uploads });
  }

  /** Rowsets whose objects are needed, or may be soon. */
  #spared(
    replica: ReplicaState,
    manifest: Manifest,
    pending: ReadonlySet<RowsetId>,
  ): ReadonlySet<RowsetId> {
    return new Set([
      ...pending,
      ...manifest.rowsets.map(({ rowsetId }) => rowsetId),
      // Local ones too: what an earlier leader has uploaded of them is used when they are cooled.
      ...replica.rowsets.map(({ rowsetId }) => rowsetId),
    ]);
  }

  /** What was deleted. */
  async #delete(turn: TurnOf, { question, etag, keys }: Unused): Promise<readonly string[]> {
    const { tabletId, lead, resource, signal } = turn;
    const { store, engine, local, log } = this.#options;
    const pending = new Set(store.uploads(tabletId).map(({ rowsetId }) => rowsetId));
    const now = await resource.publications.read(tabletId, lead);
    signal.throwIfAborted();
    const replica = store.get(tabletId);
    const isSame =
      now?.etag === etag &&
      lead.term === question.term &&
      lead.replicaId === question.replicaId &&
      replica?.metaId === question.metaId;
    if (!isSame) return [];
    const own = new Set(replica.rowsets.map(({ rowsetId }) => rowsetId));
    const free = keys.filter((key) => {
      const rowset = rowsetOfKey(key);
      if (rowset === undefined) return true;
      // Prepared ones as well: another leader may have cooled what is not settled here yet.
      const isOwn = own.has(rowset) || store.hasLocal(tabletId, rowset);
      return !pending.has(rowset) && !isOwn && !local.isPinned(rowset);
    });
    for (let at = 0; at < free.length; at += DELETE_MAX) {
      signal.throwIfAborted();
      await resource.store.delete(free.slice(at, at + DELETE_MAX));
    }
    engine.counts.deletedObjects += free.length;
    log.info('deleted unused objects of a tablet', { tabletId, objects: free.length });
    return free;
  }
}

interface Used {
  readonly tabletId: TabletId;
  readonly term: number;
  /** The current manifest. */
  readonly current: string;
  readonly spared: ReadonlySet<RowsetId>;
}

/** What is not of this project, or of a higher term, is nobody's garbage here. */
function isUsedKey(key: string, { tabletId, term, current, spared }: Used): boolean {
  if (key === headKey(tabletId) || key === current) return true;
  const rowset = rowsetOfKey(key);
  if (rowset !== undefined) return spared.has(rowset);
  const published = termOfManifestKey(key) ?? leadOfTermKey(key)?.term;
  return published === undefined || published > term;
}
