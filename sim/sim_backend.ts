/**
 * A backend: a disk that lasts, and one life after the other of an agent on it. The agent is put
 * together as `be-agent/agent.ts` does it, from the real block cache, downloader and batches; only
 * disk, store, network and time are the simulator's, and loads write bytes of no format.
 */
import type {
  AgentCallName,
  AgentCalls,
  CompactRequest,
  LoadRequest,
  RewriteRequest,
  WarmUpRequest,
} from '../base/agent_messages.ts';
import { Config } from '../base/config.ts';
import { SqlError } from '../base/errors.ts';
import type { BackendId, JobId } from '../base/ids.ts';
import { type Log, ObjectStoreError } from '../base/ports.ts';
import { type RowsetMeta, segmentKey } from '../base/schema.ts';
import { AccessCounts } from '../be-agent/access_counts.ts';
import { BlockCache } from '../be-agent/cache/block_cache.ts';
import { SharedBufferPool } from '../be-agent/cache/buffer_pool.ts';
import type { CacheObject } from '../be-agent/cache/cache_object.ts';
import { type WarmTablet, WarmUpDownloader } from '../be-agent/cache/downloader.ts';
import { parseShares } from '../be-agent/cache/queues.ts';
import { DownloadRate } from '../be-agent/download_rate.ts';
import { NewRowsetCaching } from '../be-agent/new_rowset_caching.ts';
import { WarmUpBatches, type WarmUpRun } from '../be-agent/warm_up_batches.ts';
import type { SimOptions } from './options.ts';
import type { Plant } from './plants.ts';
import { SeededRandom } from './seeded_random.ts';
import { SimData } from './sim_data.ts';
import { SimDisk } from './sim_disk.ts';
import { simFrontend } from './sim_frontend.ts';
import type { Endpoint, SimNetwork } from './sim_network.ts';
import { type SimBucket, SimStoreView } from './sim_store.ts';
import type { Trace } from './trace.ts';
import { SimProcess, type VirtualTime } from './virtual_time.ts';

const CACHE_DIR = '/cache';
const HEARTBEAT_TIMEOUT_MS = 5000;
const REPORT_TIMEOUT_MS = 10_000;
const BUFFER_UNIT_BYTES = 2 ** 20;
const BUFFER_BYTES_MAX = 64 * 2 ** 20;

/** What backends of one run have in common. */
export interface BackendWorld {
  readonly options: SimOptions;
  readonly time: VirtualTime;
  readonly trace: Trace;
  readonly network: SimNetwork;
  readonly bucket: SimBucket;
  readonly random: SeededRandom;
  readonly plant: Plant;
  /** Where agents send what they have to say. */
  readonly server: Endpoint;
  readonly logFor: (process: SimProcess) => Log;
  /** A download for a warm-up begins. */
  readonly onDownload: (backend: SimBackend, key: string) => void;
}

/** What this life was told of a job. */
export interface KnownJob {
  /** Objects of its batches. */
  readonly keys: Set<string>;
  /** The last dispatch or renewal, milliseconds of the run. */
  contactMs: number;
  /** The first cancellation since the last dispatch; undefined: none. */
  cancelledMs: number | undefined;
}

interface Life {
  readonly process: SimProcess;
  readonly incarnation: string;
  readonly config: Config;
  readonly cache: BlockCache;
  readonly batches: WarmUpBatches;
  readonly accesses: AccessCounts;
  readonly queryStore: SimStoreView;
  readonly data: SimData;
  /** Batches whose downloads go on. */
  readonly busy: { batches: number };
  readonly newRowsets: NewRowsetCaching;
}

export class SimBackend implements Endpoint {
  readonly backendId: BackendId;
  readonly disk: SimDisk;
  /** Jobs the present life knows of. */
  jobs = new Map<JobId, KnownJob>();
  /** When blocks last left its cache for other reasons than a replacement, ms of the run. */
  forgotMs = Number.NEGATIVE_INFINITY;
  readonly #world: BackendWorld;
  readonly #random: SeededRandom;
  #process: SimProcess | undefined;
  #life: Life | undefined;
  #lives = 0;
  #evictedBlocks = 0;

  constructor(backendId: BackendId, world: BackendWorld) {
    this.backendId = backendId;
    this.#world = world;
    this.#random = world.random.fork();
    this.disk = new SimDisk({ ...world.options.disk });
  }

  get name(): string {
    return `be-${this.backendId}`;
  }

  get process(): SimProcess | undefined {
    return this.#process;
  }

  get isRunning(): boolean {
    return this.#process !== undefined && !this.#process.isDead;
  }

  /** The cache of the present life; undefined while there is none. */
  get cache(): BlockCache | undefined {
    return this.isRunning ? this.#life?.cache : undefined;
  }

  /** A new life on the same disk; resolves when it speaks. */
  async start(): Promise<void> {
    if (this.isRunning) return;
    const { options, time, trace, random } = this.#world;
    this.#lives += 1;
    const skewMs = options.skewMsMax === 0 ? 0 : random.int(options.skewMsMax);
    const process = new SimProcess(`${this.name}.${this.#lives}`, time, skewMs);
    this.#process = process;
    this.#life = undefined;
    this.jobs = new Map();
    this.#evictedBlocks = 0;
    trace.note(time.nowMs, `${process.name} starts`);
    const life = await process.guard(this.#open(process));
    this.#life = life;
    void this.#heartbeat(life);
  }

  /** As kill -9: what was written stays on the disk. */
  kill(): void {
    this.#process?.kill();
    this.#life = undefined;
  }

  /** In order: the cache saves its order. */
  async stop(): Promise<void> {
    const life = this.#life;
    if (life !== undefined && this.isRunning) {
      life.batches.close();
      life.newRowsets.close();
      await life.cache.close();
    }
    this.kill();
  }

  /** Blocks that were cached may be gone from now on (evicted, cleared, disk replaced). */
  forget(): void {
    this.forgotMs = this.#world.time.nowMs;
  }

  /** Notices evictions; called after every step. */
  noticeEvictions(): void {
    const cache = this.cache;
    if (cache === undefined) return;
    let evicted = 0;
    for (const queue of cache.stats().queues) evicted += queue.evictedBlocks;
    if (evicted !== this.#evictedBlocks) this.forget();
    this.#evictedBlocks = evicted;
  }

  /** Somebody reads a partition here: blocks come into the cache, accesses are counted. */
  async query(access: Parameters<AccessCounts['add']>[0], objects: readonly CacheObject[]) {
    const life = this.#life;
    if (life === undefined || !this.isRunning) return;
    life.accesses.add(access, 1);
    for (const object of objects) {
      const through = { ...object, store: life.queryStore };
      await life.cache.read(through, 0, object.size, { purpose: 'query' });
    }
  }

  async handle(name: string, request: unknown): Promise<unknown> {
    const life = this.#life;
    if (life === undefined) {
      throw new SqlError('AGENT_LOST', { backend: this.backendId, what: name, why: 'for a test' });
    }
    try {
      return await this.#answer(life, name as AgentCallName, request);
    } catch (error) {
      if (!(error instanceof ObjectStoreError)) throw error;
      throw new SqlError('STORE_FAILED', { what: error.message }, { cause: error });
    }
  }

  async #answer(life: Life, name: AgentCallName, request: unknown): Promise<unknown> {
    switch (name) {
      case 'ping':
        return { incarnation: life.incarnation };
      case 'load':
        return await life.data.load(request as LoadRequest);
      case 'warmUp':
        this.#noteDispatch(request as WarmUpRequest);
        return life.batches.dispatch(request as WarmUpRequest);
      case 'renewWarmUp': {
        const renewal = request as AgentCalls['renewWarmUp']['request'];
        const known = this.jobs.get(renewal.jobId);
        if (known !== undefined) known.contactMs = this.#world.time.nowMs;
        return life.batches.renew(renewal);
      }
      case 'cancelWarmUp': {
        const { jobId, epoch, run } = request as AgentCalls['cancelWarmUp']['request'];
        const known = this.jobs.get(jobId);
        if (known !== undefined) known.cancelledMs ??= this.#world.time.nowMs;
        const stop = (): void => {
          life.batches.cancel(jobId, epoch, run);
        };
        this.#world.plant.cancel(stop, life.busy.batches > 0);
        return {};
      }
      case 'rewriteRowsets':
        return await life.data.rewrite(request as RewriteRequest);
      case 'cacheRowsets':
        life.newRowsets.add((request as AgentCalls['cacheRowsets']['request']).tablets);
        return {};
      case 'eventsTriggered':
        return {};
      case 'cacheStats':
        return life.cache.stats();
      case 'clearCache':
        this.forget();
        return { clearedBytes: await life.cache.clear() };
      case 'hotspots': {
        const { confirm } = request as AgentCalls['hotspots']['request'];
        return life.accesses.handOut(confirm);
      }
      case 'deleteObjects':
        return await life.data.delete(request as AgentCalls['deleteObjects']['request']);
      case 'dropCached': {
        const { vaultId, prefixes } = request as AgentCalls['dropCached']['request'];
        for (const prefix of prefixes) await life.cache.dropPrefix(vaultId, prefix);
        return {};
      }
      case 'configure':
        life.config.replace((request as AgentCalls['configure']['request']).values);
        return {};
      case 'compact':
        return await life.data.compact(request as CompactRequest);
      case 'openScan':
      case 'repeatScans':
      case 'nextBatch':
      case 'closeScan':
      case 'createReplicas':
      case 'dropReplicas':
      case 'settleTxns':
      case 'cloneReplica':
      case 'setPolicies':
      case 'pushStoragePolicies':
      case 'pushCooldownConf':
      case 'cooldownNow':
      case 'followNow':
      case 'checkCooldown':
      case 'repairCooldown':
      case 'readCooled':
      case 'rebuildReplica':
      case 'leftInResource':
      case 'replicaSnapshots':
      case 'reportNow':
        throw new SqlError('NOT_SUPPORTED', { what: name });
    }
  }

  async #open(process: SimProcess): Promise<Life> {
    const { options, bucket, plant, logFor, onDownload } = this.#world;
    const random = this.#random;
    const { clock } = process;
    const config = new Config(options.agentConfig);
    const log = logFor(process);
    const retries = config.get('object_store_retries');
    const cache = await BlockCache.open({
      dir: CACHE_DIR,
      capacityBytes: config.get('file_cache_capacity_bytes'),
      shares: parseShares(config.get('file_cache_shares')),
      clock,
      log,
      rangeBytes: () => config.get('file_cache_download_range_bytes'),
      windowBytes: 0,
      io: this.disk.io(random, process),
    });
    const view = (onGet: (key: string) => void): SimStoreView =>
      new SimStoreView({ bucket, process, random, retries, onGet });
    const warmStore = view((key) => {
      onDownload(this, key);
    });
    const rate = new DownloadRate(clock, () =>
      config.get('file_cache_warmup_download_rate_limit_bytes_per_second'),
    );
    const rangeBytes = (): number => config.get('file_cache_download_range_bytes');
    const downloader = new WarmUpDownloader({
      cache,
      clock,
      buffers: new SharedBufferPool(BUFFER_UNIT_BYTES, BUFFER_BYTES_MAX),
      concurrency: () => config.get('file_cache_download_concurrency'),
      rangeBytes,
      limiter: rate,
      spareQueriedSeconds: () => config.get('file_cache_warm_up_spare_queried_second'),
    });
    const busy = { batches: 0 };
    const incarnation = Buffer.from(random.bytes(8)).toString('hex');
    const frontend = simFrontend(this.#world, process, this);
    const batches = new WarmUpBatches({
      backendId: this.backendId,
      incarnation,
      clock,
      log,
      run: plant.runner(async (run) => {
        busy.batches += 1;
        try {
          await warm(downloader, warmStore, run);
        } finally {
          busy.batches -= 1;
        }
      }),
      throttled: () => rate.throttled,
      report: (progress) => {
        frontend
          .call('warmUpProgress', progress, { timeoutMs: REPORT_TIMEOUT_MS })
          .catch(() => undefined);
      },
    });
    const accesses = new AccessCounts(clock, random);
    const queryStore = view(() => undefined);
    const data = new SimData(queryStore, random, options);
    const newRowsets = new NewRowsetCaching({
      cache,
      log,
      rangeBytes,
      open: async (tablet) =>
        await Promise.resolve(tablet.rowsets.flatMap((one) => objectsOf(queryStore, tablet, one))),
    });
    const parts = { config, cache, batches, accesses, queryStore, data, newRowsets };
    return { process, incarnation, busy, ...parts };
  }

  async #heartbeat(life: Life): Promise<void> {
    const { process, config, cache, incarnation } = life;
    const stats = cache.stats();
    const request = {
      backendId: this.backendId,
      incarnation,
      startedMs: process.clock.now(),
      httpPort: 1,
      cacheCapacityBytes: stats.capacityBytes,
      cacheUsedBytes: stats.usedBytes,
      diskAvailableBytes: 2 ** 40,
      diskTotalBytes: 2 ** 41,
    };
    try {
      const options = { timeoutMs: HEARTBEAT_TIMEOUT_MS };
      const reply = await simFrontend(this.#world, process, this).call(
        'heartbeat',
        request,
        options,
      );
      config.replace(reply.config);
    } catch {
      // The next one comes all the same.
    }
    process.schedule(config.get('heartbeat_interval_ms'), 'heartbeat', () => {
      void this.#heartbeat(life);
    });
  }

  #noteDispatch({ jobId, tablets }: WarmUpRequest): void {
    const known: KnownJob = this.jobs.get(jobId) ?? {
      keys: new Set(),
      contactMs: 0,
      cancelledMs: undefined,
    };
    known.contactMs = this.#world.time.nowMs;
    this.jobs.set(jobId, known);
    for (const { tabletId, rowsets } of tablets) {
      for (const rowset of rowsets) {
        for (const { segment } of rowset.segments) {
          known.keys.add(segmentKey(tabletId, rowset.rowsetId, segment));
        }
      }
    }
  }
}

async function warm(
  downloader: WarmUpDownloader,
  store: SimStoreView,
  run: WarmUpRun,
): Promise<void> {
  const tablets = run.tablets.map(({ tabletId, partitionId, ttlSeconds, rowsets }): WarmTablet => {
    const place = { tabletId, partitionId, ttlSeconds };
    return { tabletId, objects: rowsets.flatMap((rowset) => objectsOf(store, place, rowset)) };
  });
  const { force, signal, counts } = run;
  const progress = Object.assign(counts, { requests: 0 });
  await downloader.run(tablets, { force, signal, progress });
}

/** The cache's view of a rowset's segments. */
export function objectsOf(
  store: CacheObject['store'],
  {
    tabletId,
    partitionId,
    ttlSeconds,
  }: Pick<CacheObject, 'tabletId' | 'partitionId'> & { readonly ttlSeconds: number },
  rowset: Pick<RowsetMeta, 'rowsetId' | 'vaultId' | 'createdMs' | 'segments'>,
): CacheObject[] {
  return rowset.segments.map((segment) => ({
    store,
    vaultId: rowset.vaultId,
    key: segmentKey(tabletId, rowset.rowsetId, segment.segment),
    size: segment.bytes,
    indexOffset: segment.indexOffset,
    tabletId,
    partitionId,
    expiresMs: ttlSeconds === 0 ? 0 : rowset.createdMs + ttlSeconds * 1000,
  }));
}

/** The cache that a start would rebuild from a disk as it is now; close it after use. */
export async function cacheOn(disk: SimDisk, capacityBytes: number, log: Log): Promise<BlockCache> {
  const { clock, random } = STILL;
  return await BlockCache.open({
    dir: CACHE_DIR,
    capacityBytes,
    shares: parseShares('5/40/5/50'),
    clock,
    log,
    rangeBytes: () => 2 ** 20,
    windowBytes: 0,
    io: disk.io(random),
  });
}

/** For looking at a disk outside of virtual time. */
const STILL = {
  clock: {
    now: () => 0,
    monotonic: () => 0,
    sleep: async () => await new Promise<never>(() => undefined),
    after: () => () => undefined,
  },
  random: new SeededRandom(0),
} as const;
