/**
 * A backend ("BE"): its block cache, its loads, scans and warm-up batches, its HTTP port and its
 * heartbeats. It does what the server says through `handle` and asks the server through `frontend`.
 */
import { mkdir, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { agentLost } from '../base/agent_lost.ts';
import type {
  AgentCallName,
  AgentCalls,
  CompactReply,
  CompactRequest,
  FrontendPort,
  LoadOutcome,
  LoadRequest,
  Nothing,
  OpenScanRequest,
  RewriteRequest,
  WarmUpTablet,
} from '../base/agent_messages.ts';
import type { Config } from '../base/config.ts';
import { SqlError } from '../base/errors.ts';
import { HttpServer } from '../base/http_server.ts';
import { type BackendId, type VaultId, id } from '../base/ids.ts';
import type { Clock, Log, Random } from '../base/ports.ts';
import { ObjectStoreError } from '../base/ports.ts';
import {
  type NewRowset,
  type RowsetMeta,
  type SegmentMeta,
  type TabletRef,
  segmentKey,
} from '../base/schema.ts';
import { AccessCounts } from './access_counts.ts';
import type { AgentMetrics } from './agent_metrics.ts';
import { agentRoutes } from './agent_routes.ts';
import { readAside } from './aside_reads.ts';
import { BlockCache } from './cache/block_cache.ts';
import type { BufferPool } from './cache/buffer_pool.ts';
import type { CacheObject } from './cache/cache_object.ts';
import { type WarmTablet, WarmUpDownloader } from './cache/downloader.ts';
import { parseShares } from './cache/queues.ts';
import { Cooldown } from './cooldown/cooldown.ts';
import { ownerOf } from './cooldown/owner.ts';
import { Compactions } from './data/compactions.ts';
import type { FooterCache, ReadObject } from './data/footer_cache.ts';
import { RunningLoads } from './data/running_loads.ts';
import type { OpenObject, Scan, SegmentSource } from './data/scan.ts';
import { DownloadRate } from './download_rate.ts';
import { NewRowsetCaching } from './new_rowset_caching.ts';
import { type OpenedScan, OpenScans } from './open_scans.ts';
import { ScanTickets, ScanTrace } from './scan_tickets.ts';
import type { OwnPeers, Peers } from './replica/peers.ts';
import { HttpPeers } from './peer/http_peers.ts';
import { ReplicaHost } from './replica/replica_host.ts';
import { loadOutput } from './replica/load_output.ts';
import { discardUploads } from './store/unfinished_uploads.ts';
import { VaultStores } from './vault_stores.ts';
import { WarmUpBatches, type WarmUpRun } from './warm_up_batches.ts';
import { WarmUpTraffic } from './warm_up_traffic.ts';

const HEARTBEAT_TIMEOUT_MS = 5000;
const REPORT_TIMEOUT_MS = 10_000;
/** Keys deleted with one call to the object store. */
const DELETE_BATCH = 1000;

export interface AgentOptions {
  readonly backendId: BackendId;
  /** `<data dir>/backends/<id>` */
  readonly dir: string;
  readonly host: string;
  /** 0 = any free port. */
  readonly httpPort: number;
  /** See `StartAgent`. */
  readonly otherPortWillDo: boolean;
  /** See `StartAgent`. */
  readonly clusterToken: string;
  /** See `StartAgent`. */
  readonly clusterId: string;
  /** Where the server is; absent: it is this process. */
  readonly serverHost?: string;
  readonly config: Config;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly frontend: FrontendPort;
  /** Warm-up buffers, shared by all backends of the process. */
  readonly buffers: BufferPool;
  /** Backends of the process, to which replicas are written directly. */
  readonly ownPeers?: OwnPeers;
}

/** What is there before the agent is. */
interface Opened {
  readonly cache: BlockCache;
  readonly incarnation: string;
  readonly stores: VaultStores;
  readonly replicas: ReplicaHost;
  /** To backends of other processes. */
  readonly peers: HttpPeers;
}

type Handlers = {
  readonly [Name in AgentCallName]: (
    request: AgentCalls[Name]['request'],
    signal: AbortSignal,
  ) => AgentCalls[Name]['reply'] | Promise<AgentCalls[Name]['reply']>;
};

const NOTHING: Nothing = {};

export class Agent {
  readonly incarnation: string;
  readonly startedMs: number;
  readonly cache: BlockCache;
  readonly stores: VaultStores;
  readonly replicas: ReplicaHost;
  readonly cooldown: Cooldown;
  readonly #options: AgentOptions;
  readonly #scans: OpenScans;
  readonly #tickets: ScanTickets;
  /** Loaded by the first scan, as all that reads or writes Parquet is when it is needed. */
  #scanning: Promise<Scanning> | undefined;
  readonly #loads = new RunningLoads();
  readonly #accesses: AccessCounts;
  readonly #traffic: WarmUpTraffic;
  readonly #batches: WarmUpBatches;
  readonly #newRowsets: NewRowsetCaching;
  readonly #compactions: Compactions;
  readonly #http: HttpServer;
  readonly #peers: HttpPeers;
  readonly #handlers: Handlers;
  #httpPort = 0;
  /** When the last heartbeat that was answered had been sent, monotonic milliseconds. */
  #heardMs = Number.NEGATIVE_INFINITY;
  /** While the next one is waited for. */
  #stopHeartbeat: (() => void) | undefined;
  readonly #stopListening: () => void;
  #closed = false;

  /** Opens cache and replicas, listens, and sends the first heartbeat. Fails with what went wrong. */
  static async start(options: AgentOptions): Promise<Agent> {
    const { dir, config, clock, log, host, httpPort } = options;
    await mkdir(join(dir, 'storage'), { recursive: true });
    const cache = await BlockCache.open({
      dir: join(dir, 'file_cache'),
      capacityBytes: config.get('file_cache_capacity_bytes'),
      shares: parseShares(config.get('file_cache_shares')),
      clock,
      log,
      rangeBytes: () => config.get('file_cache_download_range_bytes'),
    });
    const { frontend, random } = options;
    const incarnation = Buffer.from(random.bytes(8)).toString('hex');
    const stores = new VaultStores(frontend, dir, { config, clock, random, log });
    const peers = new HttpPeers(options.clusterToken, options.serverHost);
    const remotePeers: Peers = (address) => peers.peer(address);
    const replicas = await ReplicaHost.open({ ...options, incarnation, stores, remotePeers });
    const agent = new Agent(options, { cache, incarnation, stores, replicas, peers });
    try {
      agent.#httpPort = await agent.#listen();
    } catch (error) {
      replicas.close();
      await cache.close();
      const { code } = error as NodeJS.ErrnoException;
      const what = `cannot listen on ${host}:${httpPort}: ${code ?? String(error)}`;
      throw new SqlError('BACKEND_STATE', { name: options.backendId, state: 'not started', what });
    }
    void agent.#heartbeat();
    replicas.start();
    agent.cooldown.start();
    return agent;
  }

  private constructor(options: AgentOptions, opened: Opened) {
    const { cache, incarnation, stores, replicas, peers } = opened;
    const { clock, random, log, config, frontend, backendId } = options;
    this.#options = options;
    this.cache = cache;
    this.incarnation = incarnation;
    this.startedMs = clock.now();
    this.stores = stores;
    this.replicas = replicas;
    this.cooldown = new Cooldown({
      ...options,
      store: replicas.store,
      local: replicas.local,
      resource: async (resourceId) => await stores.get(id<VaultId>(resourceId)),
      // A leader falls silent well before the server would name another one.
      leaseLeftMs: () =>
        this.#heardMs + config.get('cooldown_leader_dead_seconds') * 500 - clock.monotonic(),
      merge: async (request, output, signal) => {
        const { parquetMerge } = await import('./cooldown/cold_merge.ts');
        const openObject = (ends: AbortSignal): OpenObject => this.#openAside(ends);
        return await parquetMerge({ openObject, clock, config, log })(request, output, signal);
      },
    });
    replicas.attachCooldown(this.cooldown);
    this.#accesses = new AccessCounts(clock, random);
    const newScan = (request: OpenScanRequest): Promise<OpenedScan> => this.#newScan(request);
    const tickets = new ScanTickets(random, options.serverHost === undefined);
    this.#scans = new OpenScans(clock, random, newScan, options.backendId, tickets);
    cache.followOutsideReads(tickets);
    this.#tickets = tickets;
    this.#traffic = new WarmUpTraffic({
      clock,
      log,
      slowMs: () => config.get('warm_up_rowset_slow_log_ms'),
    });
    const rate = new DownloadRate(clock, () =>
      config.get('file_cache_warmup_download_rate_limit_bytes_per_second'),
    );
    const downloader = new WarmUpDownloader({
      cache,
      clock,
      buffers: options.buffers,
      concurrency: () => config.get('file_cache_download_concurrency'),
      rangeBytes: () => config.get('file_cache_download_range_bytes'),
      limiter: rate,
      spareQueriedSeconds: () => config.get('file_cache_warm_up_spare_queried_second'),
    });
    this.#batches = new WarmUpBatches({
      backendId,
      incarnation: this.incarnation,
      clock,
      log,
      run: async (run) => {
        await this.#warm(downloader, run);
      },
      throttled: () => rate.throttled,
      report: (progress) => {
        frontend
          .call('warmUpProgress', progress, { timeoutMs: REPORT_TIMEOUT_MS })
          .catch((error: unknown) => {
            log.warn('a finished batch could not be reported', { error: String(error) });
          });
      },
    });
    this.#newRowsets = new NewRowsetCaching({
      cache: this.cache,
      log,
      rangeBytes: () => config.get('file_cache_download_range_bytes'),
      open: async (tablet) => (await this.#objectsOf(tablet)).objects,
    });
    this.#compactions = new Compactions({
      backendId,
      clock,
      run: async (request, signal) => await this.#compact(request, signal),
    });
    const batches = this.#batches;
    const traffic = this.#traffic;
    const compactions = this.#compactions;
    const { engine } = this.cooldown;
    const cooldown = { counts: engine.counts, running: engine.running.bind(engine) };
    const measured = { cooldown, replicas, cache, stores, traffic, batches, rate, compactions };
    let loaded: Promise<AgentMetrics> | undefined;
    const metrics = async (): Promise<AgentMetrics> => {
      loaded ??= import('./agent_metrics.ts').then(
        (module) => new module.AgentMetrics({ backendId, ...measured }),
      );
      return await loaded;
    };
    this.#peers = peers;
    this.#http = new HttpServer(
      agentRoutes({ ...options, cache, stores, replicas, metrics, traffic }),
      clock,
      log,
    );
    this.#handlers = this.#makeHandlers();
    this.#stopListening = config.onChange((key) => {
      if (key !== 'heartbeat_interval_ms' || this.#stopHeartbeat === undefined) return;
      this.#stopHeartbeat();
      this.#planHeartbeat();
    });
  }

  async #listen(): Promise<number> {
    const { host, httpPort, otherPortWillDo, log } = this.#options;
    try {
      return await this.#http.listen(host, httpPort);
    } catch (error) {
      const isTaken = (error as NodeJS.ErrnoException).code === 'EADDRINUSE';
      if (!isTaken || !otherPortWillDo) throw error;
      const port = await this.#http.listen(host, 0);
      log.warn('the port of last time is in use, took another', { wanted: httpPort, port });
      return port;
    }
  }

  get httpPort(): number {
    return this.#httpPort;
  }

  async handle(name: AgentCallName, request: unknown, signal: AbortSignal): Promise<unknown> {
    if (this.#closed) {
      const { backendId } = this.#options;
      throw agentLost(backendId, name, 'it stops');
    }
    return await this.#handlers[name](request as never, signal);
  }

  /** Orderly: running requests get `graceMs` to end, the cache's order is saved. */
  async stop(graceMs: number): Promise<void> {
    // What is being published is finished: the next start would find it, but why make it look.
    const { clock } = this.#options;
    await Promise.race([this.cooldown.close(), clock.sleep(graceMs)]);
    this.#end();
    await this.#http.close(graceMs);
    this.replicas.close();
    await this.#peers.close();
    await this.cache.close();
    await this.stores.close();
  }

  /** As a crash: connections break and nothing is saved. */
  async kill(): Promise<void> {
    void this.cooldown.close();
    this.#end();
    this.replicas.close();
    await this.#http.close(0);
    await this.#peers.close();
    await this.cache.abandon();
    await this.stores.close();
  }

  #end(): void {
    this.#closed = true;
    this.#stopHeartbeat?.();
    this.#stopListening();
    this.#batches.close();
    this.#newRowsets.close();
    this.#compactions.close();
    this.#scans.closeAll();
    this.replicas.quiesce();
  }

  #makeHandlers(): Handlers {
    return {
      ...this.replicas.handlers,
      ping: () => ({ incarnation: this.incarnation }),
      load: async (request, signal) =>
        await this.#loads.run(request.txnId, async () => await this.#load(request, signal)),
      rewriteRowsets: async (request, signal) => ({
        rowsets: await this.#rewrite(request, signal),
      }),
      compact: async (request, signal) => await this.#compactions.compact(request, signal),
      openScan: async (request) => await this.#scans.openAndRead(request),
      repeatScans: async (request) => await this.#scans.repeat(request),
      nextBatch: async ({ scanId, batch }) => await this.#scans.nextBatch(scanId, batch),
      closeScan: ({ scanId }) => {
        this.#scans.close(scanId);
        return NOTHING;
      },
      warmUp: (request) => this.#batches.dispatch(request),
      renewWarmUp: (request) => this.#batches.renew(request),
      cancelWarmUp: ({ jobId, epoch, run }) => {
        this.#batches.cancel(jobId, epoch, run);
        if (run === undefined) this.#traffic.forget(jobId);
        return NOTHING;
      },
      cacheRowsets: ({ tablets }) => {
        this.#newRowsets.add(tablets);
        return NOTHING;
      },
      eventsTriggered: ({ events }) => {
        this.#traffic.triggered(events);
        return NOTHING;
      },
      cacheStats: () => this.cache.stats(),
      clearCache: async () => ({ clearedBytes: await this.cache.clear() }),
      hotspots: ({ confirm }) => {
        this.#tickets.settle();
        return this.#accesses.handOut(confirm);
      },
      deleteObjects: async ({ vaultId, prefixes }, signal) => ({
        deleted: await this.#deleteObjects(vaultId, prefixes, signal),
      }),
      dropCached: async ({ vaultId, prefixes }) => {
        for (const prefix of prefixes) await this.cache.dropPrefix(vaultId, prefix);
        return NOTHING;
      },
      configure: ({ values }) => {
        this.#options.config.replace(values);
        return NOTHING;
      },
    };
  }

  // -------------------------------------------------------------------------------------------
  // Loads and scans

  async #load(request: LoadRequest, signal: AbortSignal): Promise<LoadOutcome> {
    const { clock, random, config, log } = this.#options;
    const { txnId, target } = request;
    const output = await loadOutput(this.stores, this.replicas, txnId, target, signal);
    const bytes = request.rows.length * request.columns.length;
    const { runLoad } = await import('./data/load.ts');
    const { rowErrors: _, ...outcome } = await runLoad(
      target,
      [{ rows: request.rows, bytes }],
      { columns: request.columns, signal },
      { ...output, clock, random, config, log },
    );
    return outcome;
  }

  async #rewrite(request: RewriteRequest, signal: AbortSignal): Promise<NewRowset[]> {
    const { clock, random, config, log } = this.#options;
    const store = await this.stores.get(request.vaultId);
    const services = { store, clock, random, config, log };
    const { rewriteRowsets } = await import('./data/rewrite.ts');
    return await rewriteRowsets(request, this.#openAside(signal), services, signal);
  }

  async #compact(request: CompactRequest, signal: AbortSignal): Promise<CompactReply> {
    const { clock, config, log } = this.#options;
    const store = await this.stores.get(request.vaultId);
    const openObject = this.#openAside(signal);
    const { runCompaction } = await import('./data/compaction.ts');
    return await runCompaction(request, { store, openObject, clock, config, log }, signal);
  }

  /** For what is read to be replaced; see `readAside`. */
  #openAside(signal: AbortSignal): OpenObject {
    return ({ tablet, rowset, segment }): ReadObject => {
      const key = segmentKey(tablet.tabletId, rowset.rowsetId, segment.segment);
      const { bytes: size, indexOffset } = segment;
      const source = this.stores.get(rowset.vaultId);
      source.catch(() => undefined);
      return {
        key,
        size,
        indexOffset,
        read: async (offset, length) => {
          const object = cacheObject(await source, { ...tablet, ttlSeconds: 0 }, rowset, segment);
          return await readAside(this.cache, object, offset, length, signal);
        },
      };
    };
  }

  async #newScan(request: OpenScanRequest): Promise<OpenedScan> {
    const planned = await this.replicas.scans.plan(request);
    const countScan = (): void => {
      const { tableId, indexId } = request;
      for (const { partitionId } of request.tablets) {
        this.#accesses.add({ tableId, indexId, partitionId }, 1);
      }
    };
    countScan();
    const hasReplicas = request.tablets.some(({ replica }) => replica !== undefined);
    const isSame = hasReplicas ? planned.isSame : undefined;
    const trace = new ScanTrace(this.cache, countScan, isSame);
    const open = (source: SegmentSource) =>
      planned.open(source) ?? this.#openObject(request, source, trace);
    this.#scanning ??= loadScanning();
    const { Scan, footers } = await this.#scanning;
    return {
      scan: new Scan(planned.request, open, footers),
      release: planned.release,
      repeatable: () => (trace.isShort ? trace : undefined),
    };
  }

  #openObject(
    request: OpenScanRequest,
    { tablet, rowset, segment }: SegmentSource,
    trace: ScanTrace,
  ) {
    const key = segmentKey(tablet.tabletId, rowset.rowsetId, segment.segment);
    const { bytes: size, indexOffset } = segment;
    const open = this.stores
      .get(rowset.vaultId)
      .then((store) =>
        cacheObject(store, { ...tablet, ttlSeconds: request.ttlSeconds }, rowset, segment),
      );
    // Whoever reads gets the failure; without a reader it must not end the process.
    open.catch(() => undefined);
    return {
      key,
      size,
      indexOffset,
      read: async (offset: number, length: number): Promise<Uint8Array> => {
        const object = await open;
        const bytes = await this.cache.read(object, offset, length, { purpose: 'query' });
        trace.add(object, offset, length);
        return bytes;
      },
    };
  }

  // -------------------------------------------------------------------------------------------
  // Warm-up

  async #warm(downloader: WarmUpDownloader, run: WarmUpRun): Promise<void> {
    const tablets: WarmTablet[] = [];
    for (const tablet of run.tablets) tablets.push(await this.#objectsOf(tablet));
    const { force, signal, counts } = run;
    const progress = Object.assign(counts, { requests: 0 });
    const traffic = this.#traffic.begin(run, tablets);
    try {
      await downloader.run(tablets, {
        force,
        signal,
        progress,
        onSettled: (object, outcome) => {
          traffic.settled(object, outcome);
        },
      });
    } finally {
      traffic.end();
    }
  }

  async #objectsOf(tablet: WarmUpTablet): Promise<WarmTablet> {
    const objects: CacheObject[] = [];
    for (const rowset of tablet.rowsets) {
      const store = await this.stores.get(rowset.vaultId);
      for (const segment of rowset.segments) {
        objects.push(cacheObject(store, tablet, rowset, segment));
      }
    }
    return { tabletId: tablet.tabletId, objects };
  }

  // -------------------------------------------------------------------------------------------
  // Garbage

  async #deleteObjects(
    vaultId: RowsetMeta['vaultId'],
    prefixes: readonly string[],
    signal: AbortSignal,
  ): Promise<number> {
    const store = await this.stores.get(vaultId);
    let deleted = 0;
    for (const prefix of prefixes) {
      const keys: string[] = [];
      try {
        // First: what comes to its end before this is in the listing.
        await discardUploads(store, prefix, { signal });
        for await (const page of store.list(prefix, { signal })) {
          for (const { key } of page) keys.push(key);
        }
        const owner = await ownerOf(store, keys);
        if (owner !== undefined && owner !== this.#options.clusterId) {
          this.#options.log.error('objects of another cluster are not deleted', { prefix, owner });
          continue;
        }
        for (let from = 0; from < keys.length; from += DELETE_BATCH) {
          const some = keys.slice(from, from + DELETE_BATCH);
          await store.delete(some, { signal });
          deleted += some.length;
        }
      } catch (error) {
        if (error instanceof ObjectStoreError) {
          throw new SqlError('STORE_FAILED', { what: error.message }, { cause: error });
        }
        throw error;
      }
    }
    return deleted;
  }

  // -------------------------------------------------------------------------------------------
  // Heartbeats

  async #heartbeat(): Promise<void> {
    const { frontend, backendId, config, clock, log, dir } = this.#options;
    const stats = this.cache.stats();
    const sentMs = clock.monotonic();
    try {
      const disk = await statfs(dir);
      const reply = await frontend.call(
        'heartbeat',
        {
          backendId,
          incarnation: this.incarnation,
          startedMs: this.startedMs,
          httpPort: this.#httpPort,
          cacheCapacityBytes: stats.capacityBytes,
          cacheUsedBytes: stats.usedBytes,
          diskAvailableBytes: disk.bavail * disk.bsize,
          diskTotalBytes: disk.blocks * disk.bsize,
        },
        { timeoutMs: HEARTBEAT_TIMEOUT_MS },
      );
      config.replace(reply.config);
      this.#heardMs = sentMs;
      this.replicas.reports.heard();
    } catch (error) {
      if (!this.#closed) log.warn('heartbeat failed', { error: String(error) });
    }
    this.#planHeartbeat();
  }

  #planHeartbeat(): void {
    if (this.#closed) return;
    const { clock, config } = this.#options;
    this.#stopHeartbeat = clock.after(config.get('heartbeat_interval_ms'), () => {
      this.#stopHeartbeat = undefined;
      void this.#heartbeat();
    });
  }
}

interface Scanning {
  readonly Scan: typeof Scan;
  readonly footers: FooterCache;
}

async function loadScanning(): Promise<Scanning> {
  const [scan, footers] = await Promise.all([
    import('./data/scan.ts'),
    import('./data/footer_cache.ts'),
  ]);
  return { Scan: scan.Scan, footers: new footers.FooterCache() };
}

type TabletOfObject = Pick<TabletRef, 'tabletId' | 'partitionId'> &
  Pick<WarmUpTablet, 'ttlSeconds'>;

function cacheObject(
  store: CacheObject['store'],
  tablet: TabletOfObject,
  rowset: RowsetMeta,
  segment: SegmentMeta,
): CacheObject {
  return {
    store,
    vaultId: rowset.vaultId,
    key: segmentKey(tablet.tabletId, rowset.rowsetId, segment.segment),
    size: segment.bytes,
    indexOffset: segment.indexOffset,
    tabletId: tablet.tabletId,
    partitionId: tablet.partitionId,
    expiresMs: tablet.ttlSeconds === 0 ? 0 : rowset.createdMs + tablet.ttlSeconds * 1000,
  };
}
