/** HTTP of a backend (DESIGN section 3): metrics, health, the cache's admin calls, stream load. */
import { httpCaller, metricsAreOpen, refusal } from '../base/http_access.ts';
import type { HttpAnswer, HttpRequest, Route } from '../base/http_server.ts';
import { parseBytes } from '../base/units.ts';
import type { AgentMetrics } from './agent_metrics.ts';
import type { BlockCache } from './cache/block_cache.ts';
import { eventDrivenStats } from './event_driven_stats.ts';
import { type StreamLoadDeps, streamLoad } from './stream_load_route.ts';
import { loadOutput } from './replica/load_output.ts';
import { peerRoutes } from './peer/peer_routes.ts';
import type { ReplicaHost } from './replica/replica_host.ts';
import { type Guard, replicaRoutes } from './replica_routes.ts';
import type { VaultStores } from './vault_stores.ts';
import type { WarmUpTraffic } from './warm_up_traffic.ts';

/** Blocks that `op=list_cache` names at most. */
const LIST_MAX = 100_000;
const CAPACITY_BYTES_MIN = 2 ** 20;
/** Milliseconds for the server to say who may. */
const CALL_TIMEOUT_MS = 10_000;

export interface AgentRoutesDeps extends Omit<StreamLoadDeps, 'output'> {
  readonly cache: BlockCache;
  readonly stores: VaultStores;
  readonly replicas: ReplicaHost;
  /** Loaded when they are asked for. */
  readonly metrics: () => Promise<AgentMetrics>;
  readonly traffic: WarmUpTraffic;
  /** Opens the routes for other backends. */
  readonly clusterToken: string;
}

export function agentRoutes(deps: AgentRoutesDeps): readonly Route[] {
  const loadDeps: StreamLoadDeps = {
    ...deps,
    output: async (txnId, target, signal) =>
      await loadOutput(deps.stores, deps.replicas, txnId, target, signal),
  };
  const guard: Guard = async (request, run) => await guarded(deps, request, run);
  return [
    ...peerRoutes({ ...deps, replicas: deps.replicas.own }),
    ...replicaRoutes(deps.replicas.store, guard),
    {
      method: 'GET',
      path: '/metrics',
      run: async (request) =>
        metricsAreOpen(request, deps.config.get('http_open_metrics'))
          ? await metricsText(deps)
          : await guarded(deps, request, async () => await metricsText(deps)),
    },
    {
      method: 'GET',
      path: '/api/health',
      run: () => ({ body: { status: 'OK', msg: 'backend is up' } }),
    },
    {
      method: 'GET',
      path: '/api/warmup_event_driven_stats',
      run: async (request) =>
        await guarded(deps, request, () => ({
          body: { data: eventDrivenStats(deps.traffic, deps.clock) },
        })),
    },
    {
      method: 'GET',
      path: '/api/file_cache',
      run: async (request) =>
        await guarded(deps, request, async () => await fileCache(deps, request)),
    },
    {
      method: 'POST',
      path: '/api/file_cache',
      run: async (request) =>
        await guarded(deps, request, async () => await fileCache(deps, request)),
    },
    {
      method: 'PUT',
      path: '/api/{db}/{table}/_stream_load',
      readsBody: true,
      run: async (request) => await streamLoad(loadDeps, request),
    },
  ];
}

async function metricsText(deps: AgentRoutesDeps): Promise<HttpAnswer> {
  const metrics = await deps.metrics();
  return { headers: { 'content-type': metrics.contentType }, body: await metrics.text() };
}

/** For who has the token, or may administrate: the server knows who that is. */
async function guarded(
  { config, frontend }: AgentRoutesDeps,
  { message, peer, signal }: HttpRequest,
  run: () => HttpAnswer | Promise<HttpAnswer>,
): Promise<HttpAnswer> {
  const caller = httpCaller(message.headers, config.get('http_bearer_token'));
  if (caller.kind !== 'token') {
    try {
      await frontend.call('authorize', { caller, peer }, { timeoutMs: CALL_TIMEOUT_MS, signal });
    } catch (error) {
      return refusal(error);
    }
  }
  return await run();
}

/** `op=clear[&sync=true]`, `op=reset&capacity=<bytes>`, `op=list_cache&value=<part of a key>`. */
async function fileCache(deps: AgentRoutesDeps, { query }: HttpRequest): Promise<HttpAnswer> {
  const { cache } = deps;
  const op = query.get('op') ?? '';
  switch (op) {
    case 'clear': {
      const clearing = cache.clear();
      if (query.get('sync') === 'false') {
        clearing.catch((error: unknown) => {
          deps.log.error('clearing the cache failed', { error: String(error) });
        });
        return { body: { status: 'OK', msg: 'clearing' } };
      }
      return { body: { status: 'OK', msg: '', cleared_bytes: await clearing } };
    }
    case 'reset': {
      const bytes = parseBytes(query.get('capacity') ?? '');
      if (bytes === undefined || bytes < CAPACITY_BYTES_MIN) {
        return bad(`capacity must be a number of bytes, ${CAPACITY_BYTES_MIN} or more`);
      }
      await cache.resetCapacity(bytes);
      return { body: { status: 'OK', msg: '', capacity: bytes } };
    }
    case 'list_cache': {
      const value = query.get('value') ?? '';
      const blocks = cache.list(value, LIST_MAX);
      return { body: blocks };
    }
    default:
      return bad(`op must be clear, reset or list_cache, not '${op}'`);
  }
}

function bad(msg: string): HttpAnswer {
  return { status: 400, body: { status: 'FAILED', msg } };
}
