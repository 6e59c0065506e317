/** The object stores of a backend, one per vault, opened when first needed and asked of the server. */
import type { FrontendPort } from '../base/agent_messages.ts';
import { type ResourceId, type VaultId, id } from '../base/ids.ts';
import { isInsideDirectory } from '../base/inside_directory.ts';
import { type ObjectStore, ObjectStoreError } from '../base/ports.ts';
import { MeteredStore, type StoreCounts } from './store/metered_store.ts';
import { type OpenStoreDeps, openStore } from './store/open_store.ts';

const VAULT_CALL_TIMEOUT_MS = 10_000;

export class VaultStores {
  readonly #frontend: FrontendPort;
  readonly #deps: OpenStoreDeps;
  readonly #dir: string;
  readonly #open = new Map<VaultId, Promise<MeteredStore>>();
  readonly #stores = new Set<MeteredStore>();

  /** `dir`: what the backend has for itself, where no store may be. */
  constructor(frontend: FrontendPort, dir: string, deps: OpenStoreDeps) {
    this.#frontend = frontend;
    this.#dir = dir;
    this.#deps = deps;
  }

  /** Its description has changed: who asks for it from now on gets a new one. */
  reopen(vaultId: VaultId | ResourceId): void {
    this.#open.delete(id<VaultId>(vaultId));
  }

  /** Throws UNKNOWN_VAULT, an ObjectStoreError for a path inside `dir`, or what opening the store throws; a failure is not remembered. */
  async get(vaultId: VaultId): Promise<ObjectStore> {
    const known = this.#open.get(vaultId);
    if (known !== undefined) return await known;
    const opening = this.#openVault(vaultId);
    this.#open.set(vaultId, opening);
    opening.catch(() => {
      if (this.#open.get(vaultId) === opening) this.#open.delete(vaultId);
    });
    return await opening;
  }

  /** Counts of all stores together. */
  counts(): readonly StoreCounts[] {
    return [...this.#stores].map((store) => store.counts());
  }

  async close(): Promise<void> {
    await Promise.allSettled([...this.#stores].map((store) => store.close()));
  }

  async #openVault(vaultId: VaultId): Promise<MeteredStore> {
    const options = { timeoutMs: VAULT_CALL_TIMEOUT_MS };
    const spec = await this.#frontend.call('vault', { vaultId }, options);
    if (spec.kind === 'file' && isInsideDirectory(spec.path, this.#dir)) {
      const what = `${spec.path} is inside the data directory of a backend, which deletes there what it does not know`;
      throw new ObjectStoreError('ACCESS_DENIED', '', what);
    }
    const store = new MeteredStore(await openStore(spec, this.#deps));
    this.#stores.add(store);
    return store;
  }
}
