/** CHECK COOLDOWN TABLE on a backend: looks at the bucket, and repairs what it can without risk. */
import type { Config } from '../../base/config.ts';
import type { RowsetId, TabletId } from '../../base/ids.ts';
import type { Clock, Log, ObjectMeta } from '../../base/ports.ts';
import type { CooldownCheck, CooldownLead, ReplicaSnapshot } from '../../base/replica.ts';
import { type SegmentMeta, rowsetOfKey, segmentKey, tabletPrefix } from '../../base/schema.ts';
import type { ReplicaState, ReplicaStore } from '../replica/replica_store.ts';
import type { Collection } from './collection.ts';
import { compare } from './compare.ts';
import { readBack } from './content_check.ts';
import type { CooldownEngine } from './cooldown_engine.ts';
import type { CooldownResource } from './cooldown_resources.ts';
import { type Published, isKind } from './heads.ts';
import type { Manifest, ManifestRowset } from './manifest.ts';
import { republish } from './republish.ts';

export interface CooldownCheckerOptions {
  readonly engine: CooldownEngine;
  readonly store: ReplicaStore;
  readonly collection: Collection;
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Log;
}

/** An unused object is compared with so many used ones of its size. */
const ALIKE_MAX = 8;

/** What was read, or why it could not be. */
interface Read<T> {
  readonly value: T | undefined;
  readonly problem: string | undefined;
}

/** Reads of a replica that nobody has named a leader for: there is no other term. */
const NO_LEAD = { term: Number.MAX_SAFE_INTEGER };

export class CooldownChecker {
  readonly #options: CooldownCheckerOptions;

  constructor(options: CooldownCheckerOptions) {
    this.#options = options;
  }

  /** undefined: no replica here, or nowhere to look. Throws ObjectStoreError or the reason. */
  async check(
    tabletId: TabletId,
    others: readonly ReplicaSnapshot[],
    { checksum, signal }: { readonly checksum: boolean; readonly signal: AbortSignal },
  ): Promise<CooldownCheck | undefined> {
    const { store, engine, config, clock } = this.#options;
    const keptSinceMs = clock.now() - config.get('cooldown_garbage_grace_seconds') * 1000;
    const replica = store.get(tabletId);
    const resource = await this.#resourceOf(replica);
    if (replica === undefined || resource === undefined) return undefined;
    const lead: CooldownLead = replica.lead ?? { ...NO_LEAD, replicaId: replica.replicaId };
    const head = await attempt(async () => await resource.publications.read(tabletId, lead));
    const published = head.value;
    const manifest = await attempt(async () =>
      published === undefined
        ? undefined
        : await resource.publications.manifest(tabletId, published.head),
    );
    const listing: ObjectMeta[] = [];
    for await (const page of resource.store.list(tabletPrefix(tabletId), { signal })) {
      listing.push(...page);
    }
    const contents = checksum
      ? await readContents(resource, tabletId, manifest.value, signal)
      : new Map<string, string>();
    const copies = checksum
      ? await readCopies(resource, { tabletId, manifest: manifest.value, listing }, signal)
      : new Map<string, string>();
    // Now, after the listing: what has been cooled since is in use.
    const now = store.get(tabletId) ?? replica;
    const pending = new Set(store.uploads(tabletId).map(({ rowsetId }) => rowsetId));
    const found = {
      tabletId,
      head: published?.head,
      headProblem: head.problem,
      manifest: manifest.value,
      manifestProblem: manifest.problem,
      listing,
      replicas: [snapshotOf(now), ...others.filter((each) => each.tabletId === tabletId)],
      pending,
      keptSinceMs,
      contents,
      copies,
    };
    const isChanged = now.metaId !== replica.metaId || engine.isBusy(tabletId);
    // What a turn is about to publish would look wrong.
    if (!isChanged) return compare(found);
    return compare({ ...found, replicas: found.replicas.slice(1) });
  }

  /** Keys of what was written or deleted. Throws ObjectStoreError or the reason. */
  async repair(tabletId: TabletId, others: readonly ReplicaSnapshot[]): Promise<readonly string[]> {
    const { engine, store, collection, clock, log } = this.#options;
    const done: string[] = [];
    const isLed = await engine.leaderTurn(tabletId, async (turn) => {
      done.push(...(await republish({ store, clock }, turn, others)));
      return true;
    });
    done.push(...(await this.#rewrite(tabletId)));
    if (isLed === true) {
      await collection.collect([tabletId], (keys) => done.push(...keys));
    }
    if (done.length > 0) log.warn('repaired cooled data', { tabletId, objects: done.length });
    engine.lookAgain(tabletId);
    return done;
  }

  /** Objects of the published list that are missing or damaged, and of which there is a copy here. */
  async #rewrite(tabletId: TabletId): Promise<readonly string[]> {
    const { engine, store } = this.#options;
    return await engine.turns.hold(tabletId, async (signal) => {
      const replica = store.get(tabletId);
      const resource = await this.#resourceOf(replica);
      if (replica?.lead === undefined || resource === undefined) return [];
      const { lead } = replica;
      const { value: manifest } = await attempt(async () => {
        const published = await resource.publications.read(tabletId, lead);
        if (published === undefined) return undefined;
        return await resource.publications.manifest(tabletId, published.head);
      });
      if (manifest === undefined) return [];
      const local = new Set(
        replica.rowsets.flatMap(({ rowsetId, place }) =>
          place.kind === 'local' ? [rowsetId] : [],
        ),
      );
      const done: string[] = [];
      for (const rowset of manifest.rowsets) {
        if (!local.has(rowset.rowsetId)) continue;
        done.push(...(await this.#rewriteRowset(resource, tabletId, rowset, signal)));
      }
      return done;
    });
  }

  async #rewriteRowset(
    resource: CooldownResource,
    tabletId: TabletId,
    { rowsetId, segments }: { readonly rowsetId: RowsetId } & Pick<ManifestRowset, 'segments'>,
    signal: AbortSignal,
  ): Promise<readonly string[]> {
    const done: string[] = [];
    for (const segment of segments) {
      const key = segmentKey(tabletId, rowsetId, segment.segment);
      const meta = await resource.store.head(key, { signal });
      const isThere = meta?.size === segment.bytes;
      if (isThere && (await readBack(resource.store, key, segment, signal)) === undefined) continue;
      const one = [{ rowsetId, segments: [segment] }];
      await this.#options.engine.uploads.upload(resource, tabletId, one, signal);
      done.push(key);
    }
    return done;
  }

  async #resourceOf(replica: ReplicaState | undefined): Promise<CooldownResource | undefined> {
    const { engine } = this.#options;
    const resourceId = replica === undefined ? undefined : engine.resourceOf(replica);
    return resourceId === undefined ? undefined : await engine.resources.get(resourceId);
  }
}

/** Damage is an answer here; that the store cannot be reached is not. */
async function attempt<T extends Published | Manifest>(
  read: () => Promise<T | undefined>,
): Promise<Read<T>> {
  try {
    return { value: await read(), problem: undefined };
  } catch (error) {
    const { name, message } = error as Error;
    if (name !== 'CooldownFailure') throw error;
    return { value: undefined, problem: message };
  }
}

async function readContents(
  resource: CooldownResource,
  tabletId: TabletId,
  manifest: Manifest | undefined,
  signal: AbortSignal,
): Promise<Map<string, string>> {
  const problems = new Map<string, string>();
  for (const { rowsetId, segments } of manifest?.rowsets ?? []) {
    for (const segment of segments) {
      const key = segmentKey(tabletId, rowsetId, segment.segment);
      const meta = await resource.store.head(key, { signal });
      if (meta?.size !== segment.bytes) continue;
      const problem = await readBack(resource.store, key, segment, signal);
      if (problem !== undefined) problems.set(key, problem);
    }
  }
  return problems;
}

/** Objects that the manifest does not name, and that have the content of one that it names. */
async function readCopies(
  { store }: CooldownResource,
  {
    tabletId,
    manifest,
    listing,
  }: {
    readonly tabletId: TabletId;
    readonly manifest: Manifest | undefined;
    readonly listing: readonly ObjectMeta[];
  },
  signal: AbortSignal,
): Promise<Map<string, string>> {
  const named = new Map<string, SegmentMeta>();
  for (const { rowsetId, segments } of manifest?.rowsets ?? []) {
    for (const each of segments) named.set(segmentKey(tabletId, rowsetId, each.segment), each);
  }
  const copies = new Map<string, string>();
  for (const { key, size } of listing) {
    if (named.has(key) || rowsetOfKey(key) === undefined) continue;
    const alike = [...named].filter(([, { bytes }]) => bytes === size).slice(0, ALIKE_MAX);
    for (const [used, segment] of alike) {
      if ((await readBackOrGone(store, key, segment, signal)) !== undefined) continue;
      copies.set(key, used);
      break;
    }
  }
  return copies;
}

/** It may be collected meanwhile. */
async function readBackOrGone(...what: Parameters<typeof readBack>): Promise<string | undefined> {
  try {
    return await readBack(...what);
  } catch (error) {
    if (isKind(error, 'NOT_FOUND')) return 'it is gone';
    throw error;
  }
}

function snapshotOf({
  tabletId,
  replicaId,
  rowsets,
  version,
  lead,
  metaId,
}: ReplicaState): ReplicaSnapshot {
  const more = {
    ...(lead === undefined ? {} : { lead }),
    ...(metaId === undefined ? {} : { metaId }),
  };
  return { tabletId, replicaId, rowsets, version, ...more };
}
