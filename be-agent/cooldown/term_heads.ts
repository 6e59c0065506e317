/**
 * Publishing on stores without conditional writes: each (replica, term) has one object of its own,
 * `data/{tablet}/{replica}.{term}.meta`, which it alone replaces. Who reads knows from the server
 * which one counts, so a leader of an older term overwrites nothing that anybody reads. What the
 * store cannot refuse is kept apart by the lease: a leader publishes only while it hears from the
 * server.
 */
import type { TabletId } from '../../base/ids.ts';
import type { ObjectStore } from '../../base/ports.ts';
import type { CooldownLead } from '../../base/replica.ts';
import { tabletPrefix } from '../../base/schema.ts';
import { CooldownFailure } from './failure.ts';
import { type Published, type Publications, type Replaced, getOrNone } from './heads.ts';
import {
  type Head,
  type Manifest,
  type ManifestRowset,
  damaged,
  decodeManifest,
  encode,
  leadOfTermKey,
  newManifest,
  requireOwner,
  sha256Of,
  termKey,
} from './manifest.ts';

export interface TermHeadsOptions {
  readonly store: ObjectStore;
  /** Milliseconds that the lease goes on; 0 or less: it is over. */
  readonly leaseLeftMs: () => number;
  /** Lists of others are refused; absent: nobody else is here. */
  readonly clusterId?: string;
}

export class TermHeads implements Publications {
  readonly #options: TermHeadsOptions;

  constructor(options: TermHeadsOptions) {
    this.#options = options;
  }

  /** The leader's object, or the one of the last term before it. */
  async read(tabletId: TabletId, lead: CooldownLead): Promise<Published | undefined> {
    const own = await this.#at(tabletId, termKey(tabletId, lead));
    if (own !== undefined) return own;
    let last: { readonly key: string; readonly term: number } | undefined;
    for await (const page of this.#options.store.list(tabletPrefix(tabletId))) {
      for (const { key } of page) {
        const term = leadOfTermKey(key)?.term ?? 0;
        if (term < lead.term && term > (last?.term ?? 0)) last = { key, term };
      }
    }
    return last === undefined ? undefined : await this.#at(tabletId, last.key);
  }

  async manifest(tabletId: TabletId, head: Head): Promise<Manifest> {
    const found = await this.#load(tabletId, head.manifestKey);
    if (found?.manifest.metaId === head.metaId) return found.manifest;
    // Its writer has replaced it since.
    throw new CooldownFailure('HEAD_MOVED', `${head.manifestKey} was replaced meanwhile`);
  }

  async claim(tabletId: TabletId, before: Published, lead: CooldownLead): Promise<Published> {
    const { rowsets } = await this.manifest(tabletId, before.head);
    return await this.#write(tabletId, newManifest(tabletId, lead, 0, rowsets));
  }

  async publish(
    tabletId: TabletId,
    before: Replaced | undefined,
    lead: CooldownLead,
    rowsets: readonly ManifestRowset[],
  ): Promise<Published> {
    const seq = (before?.head.seq ?? 0) + 1;
    return await this.#write(tabletId, newManifest(tabletId, lead, seq, rowsets));
  }

  async #write(tabletId: TabletId, manifest: Manifest): Promise<Published> {
    const lead = { replicaId: manifest.replica, term: manifest.term };
    if (this.#options.leaseLeftMs() <= 0) {
      const what = 'the server has not been heard for too long to publish without conditions';
      throw new CooldownFailure('NOT_READY', what);
    }
    const key = termKey(tabletId, lead);
    const { clusterId } = this.#options;
    const body = encode(clusterId === undefined ? manifest : { ...manifest, cluster: clusterId });
    const { etag } = await this.#options.store.put(key, body);
    return { head: headOf(key, manifest, body), etag };
  }

  async #at(tabletId: TabletId, key: string): Promise<Published | undefined> {
    const found = await this.#load(tabletId, key);
    if (found === undefined) return undefined;
    const head = headOf(key, found.manifest, found.body);
    return { head, etag: head.sha256 };
  }

  async #load(
    tabletId: TabletId,
    key: string,
  ): Promise<{ readonly manifest: Manifest; readonly body: Uint8Array } | undefined> {
    const body = await getOrNone(this.#options.store, key);
    if (body === undefined) return undefined;
    const manifest = decodeManifest(key, body);
    requireOwner(key, manifest, this.#options.clusterId);
    if (manifest.tablet !== tabletId) throw damaged(key, `it is of tablet ${manifest.tablet}`);
    return { manifest, body };
  }
}

function headOf(key: string, manifest: Manifest, body: Uint8Array): Head {
  const { term, replica, seq, metaId, cooledVersion } = manifest;
  return { term, replica, seq, manifestKey: key, metaId, cooledVersion, sha256: sha256Of(body) };
}
