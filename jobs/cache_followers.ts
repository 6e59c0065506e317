/**
 * A compaction replaces rowsets that other compute groups may have in their caches: a group that was
 * warmed once would be cold again. So the serving backend of every other group is told what replaces
 * what; it brings the result into its cache when it had most of the inputs. Best effort.
 */
import type { AgentTransport } from '../base/agent_messages.ts';
import type { Config } from '../base/config.ts';
import type { BackendId } from '../base/ids.ts';
import { servingBackend } from '../base/placement.ts';
import type { Log } from '../base/ports.ts';
import type { RowsetMeta } from '../base/schema.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { BackendRegistry } from './backend_registry.ts';
import { GroupsNow } from './groups_now.ts';

const CALL_TIMEOUT_MS = 5000;

export interface CacheFollowersDeps {
  readonly catalog: Catalog;
  readonly transport: AgentTransport;
  readonly registry: BackendRegistry;
  readonly config: Config;
  readonly log: Log;
}

export interface Merge {
  readonly ttlSeconds: number;
  readonly inputs: readonly RowsetMeta[];
  readonly output: RowsetMeta;
  /** Whose cache gets the output anyway. */
  readonly writer: BackendId;
}

/** Resolves when every group was told; never rejects. */
export async function tellFollowers(deps: CacheFollowersDeps, merge: Merge): Promise<void> {
  const { catalog, transport, registry, config, log } = deps;
  if (!config.get('file_cache_follow_compaction')) return;
  const { ttlSeconds, inputs, output, writer } = merge;
  const { tabletId, partitionId } = output;
  const tablet = { tabletId, partitionId, ttlSeconds, rowsets: [output], replaces: inputs };
  const groups = await GroupsNow.read(catalog, registry);
  // Loads fill the cache of their own group (source_cache.ts), compactions too.
  const others = groups.names.filter((group) => group !== groups.groupOf(writer));
  const calls = others.map(async (group) => {
    const backendId = servingBackend(tabletId, groups.servers(group));
    if (backendId === undefined) return;
    const options = { timeoutMs: CALL_TIMEOUT_MS };
    try {
      await transport.call(backendId, 'cacheRowsets', { tablets: [tablet] }, options);
    } catch (error) {
      log.debug('a merged rowset was not cached', { backendId, error: String(error) });
    }
  });
  await Promise.all(calls);
}
