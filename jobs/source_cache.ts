/**
 * After every commit the backends that serve the new rowsets in the group that wrote them get them
 * into their caches, as a load of Doris fills the file cache of its own cluster. Best effort, in
 * the background: no load waits for it, nothing is kept for later, what is too much is left out.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { AgentTransport, WarmUpTablet } from '../base/agent_messages.ts';
import type { Config } from '../base/config.ts';
import type { BackendId, TxnId } from '../base/ids.ts';
import { servingBackend } from '../base/placement.ts';
import type { Log } from '../base/ports.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { NewRowsets } from '../catalog/rowset_event_hub.ts';
import type { BackendRegistry } from './backend_registry.ts';
import { RowsetSource } from './event_delivery_source.ts';

/** Commits that wait at most; later ones are left out. */
const WAITING_MAX = 1000;
/** Rowsets of one commit, at most: a load that is larger than that fills a cache by itself. */
const ROWSETS_PER_COMMIT_MAX = 1000;
/** Commits looked at in one round: one message per backend. */
const COMMITS_PER_ROUND = 50;
const CALL_TIMEOUT_MS = 5000;

export interface SourceCacheDeps {
  readonly catalog: Catalog;
  readonly transport: AgentTransport;
  readonly registry: BackendRegistry;
  readonly config: Config;
  readonly log: Log;
}

export class SourceCache {
  readonly #deps: SourceCacheDeps;
  readonly #source: RowsetSource;
  readonly #waiting: NewRowsets[] = [];
  readonly #stopListening: () => void;
  #working: Promise<void> | undefined;
  #closed = false;
  /** Commits left out because too many were waiting. */
  leftOut = 0;

  constructor(deps: SourceCacheDeps) {
    this.#deps = deps;
    this.#source = new RowsetSource(deps.catalog);
    this.#stopListening = deps.catalog.rowsetEvents.onCommit((event) => {
      this.#add(event);
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#stopListening();
    this.#waiting.length = 0;
    await this.#working;
  }

  #add(event: NewRowsets): void {
    if (this.#closed || !this.#deps.config.get('file_cache_fill_on_load')) return;
    if (this.#waiting.length >= WAITING_MAX) {
      this.leftOut += 1;
      return;
    }
    this.#waiting.push(event);
    this.#working ??= this.#work();
  }

  async #work(): Promise<void> {
    try {
      while (this.#waiting.length > 0) {
        // The answer to whoever committed goes first.
        await nextTurn();
        await this.#round(this.#waiting.splice(0, COMMITS_PER_ROUND));
      }
    } catch (error) {
      this.#deps.log.warn('new rowsets were not cached', { error: String(error) });
    } finally {
      this.#working = undefined;
    }
  }

  async #round(commits: readonly NewRowsets[]): Promise<void> {
    const { catalog, registry, transport, log } = this.#deps;
    const backends = await catalog.backends.list();
    const wanted = new Map<BackendId, WarmUpTablet[]>();
    for (const { sourceGroup, txnId } of commits) {
      const members = backends.filter((backend) => backend.computeGroupName === sourceGroup);
      const alive = registry.alive(members.map((backend) => backend.backendId));
      for (const tablet of await this.#tabletsOf(txnId)) {
        const backendId = servingBackend(tablet.tabletId, alive);
        if (backendId === undefined) continue;
        const list = wanted.get(backendId);
        if (list === undefined) wanted.set(backendId, [tablet]);
        else list.push(tablet);
      }
    }
    const options = { timeoutMs: CALL_TIMEOUT_MS };
    const calls = [...wanted].map(async ([backendId, tablets]) => {
      try {
        await transport.call(backendId, 'cacheRowsets', { tablets }, options);
      } catch (error) {
        log.debug('new rowsets were not cached', { backendId, error: String(error) });
      }
    });
    await Promise.all(calls);
  }

  /** One entry per rowset. */
  async #tabletsOf(txnId: TxnId): Promise<WarmUpTablet[]> {
    const tablets: WarmUpTablet[] = [];
    let place: Parameters<RowsetSource['rowsetsOf']>[1];
    do {
      const page = this.#source.rowsetsOf({ txnId }, place);
      for (const rowset of page.rowsets) {
        const { tabletId, partitionId } = rowset;
        const ttlSeconds = await this.#source.ttlSeconds(tabletId);
        tablets.push({ tabletId, partitionId, ttlSeconds, rowsets: [rowset] });
      }
      place = page.next;
    } while (place !== undefined && tablets.length < ROWSETS_PER_COMMIT_MAX);
    return tablets;
  }
}
