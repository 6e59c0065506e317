/** The resources of a backend's policies, as cooldown uses them: store, and how lists are published. */
import type { ResourceId } from '../../base/ids.ts';
import type { ObjectStore, Random } from '../../base/ports.ts';
import { probeStore } from '../store/probe.ts';
import { type Publications, Heads } from './heads.ts';
import { TermHeads } from './term_heads.ts';

export interface CooldownResource {
  readonly resourceId: ResourceId;
  readonly store: ObjectStore;
  /** Whether the store keeps the conditions of puts, found out by trying. */
  readonly isConditional: boolean;
  readonly publications: Publications;
}

export interface CooldownResourcesOptions {
  /** May give another store for the same resource when that has changed. */
  readonly open: (resourceId: ResourceId) => Promise<ObjectStore>;
  readonly random: Random;
  /** Of leaders on stores without conditional writes; see TermHeads. */
  readonly leaseLeftMs: () => number;
  /** Whose backend this is; absent: what others have published is taken for its own. */
  readonly clusterId?: string;
  /** Whether a store keeps the conditions of puts; without it every store is tried once. */
  readonly isConditional?: (store: ObjectStore) => Promise<boolean>;
}

export class CooldownResources {
  readonly #options: CooldownResourcesOptions;
  /** By resource and place: what a store can does not change with its credentials. */
  readonly #tried = new Map<string, Promise<boolean>>();

  constructor(options: CooldownResourcesOptions) {
    this.#options = options;
  }

  /** Throws what opening or trying the store throws; a failure is not remembered. */
  async get(resourceId: ResourceId): Promise<CooldownResource> {
    const { open, leaseLeftMs, clusterId } = this.#options;
    const store = await open(resourceId);
    const isConditional = await this.#isConditional(`${resourceId} ${store.url}`, store);
    const owner = clusterId === undefined ? {} : { clusterId };
    const publications = isConditional
      ? new Heads(store, clusterId)
      : new TermHeads({ store, leaseLeftMs, ...owner });
    return { resourceId, store, isConditional, publications };
  }

  async #isConditional(place: string, store: ObjectStore): Promise<boolean> {
    const known = this.#tried.get(place);
    if (known !== undefined) return await known;
    const trying = this.#try(store);
    this.#tried.set(place, trying);
    trying.catch(() => this.#tried.delete(place));
    return await trying;
  }

  async #try(store: ObjectStore): Promise<boolean> {
    const { isConditional, random } = this.#options;
    if (isConditional !== undefined) return await isConditional(store);
    const { conditionalCreate, compareAndSet } = await probeStore(store, random);
    return conditionalCreate && compareAndSet;
  }
}
