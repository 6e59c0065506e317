/**
 * A backend with replicas: a disk that lasts (the real replica store and segments, in memory), and one life after the other on it, put together from the real parts: what
 * `be-agent/replica` answers and reports, and the cooldown cooldown.
 */
import type {
  AgentCalls,
  FrontendPort,
  LoadOutcome,
  LoadRequest,
  OpenScanRequest,
} from '../../base/agent_messages.ts';
import { Config } from '../../base/config.ts';
import { SqlError } from '../../base/errors.ts';
import type { BackendId, RowsetId, TabletId } from '../../base/ids.ts';
import type { Clock, Log, ObjectStore } from '../../base/ports.ts';
import type { BackendAddress } from '../../base/replica.ts';
import { type NewRowset, segmentKey } from '../../base/schema.ts';
import { Cooldown } from '../../be-agent/cooldown/cooldown.ts';
import { OpenScans, type OpenedScan } from '../../be-agent/open_scans.ts';
import { LocalSegments } from '../../be-agent/replica/local_segments.ts';
import type { ReplicaPeer } from '../../be-agent/replica/peers.ts';
import type { ReplicaCallName } from '../../be-agent/replica/replica_calls.ts';
import { ReplicaHost } from '../../be-agent/replica/replica_host.ts';
import {
  type PendingUpload,
  type ReplicaState,
  ReplicaStore,
} from '../../be-agent/replica/replica_store.ts';
import type { SeededRandom } from '../seeded_random.ts';
import { simFrontend } from '../sim_frontend.ts';
import type { Endpoint, SimNetwork } from '../sim_network.ts';
import type { Trace } from '../trace.ts';
import { SimProcess, type VirtualTime } from '../virtual_time.ts';
import type { Bucket, BucketCall, Fate } from './bucket.ts';
import { BucketView } from './bucket_view.ts';
import { type Content, rowsOfBody, segmentBody, segmentMeta } from './content.ts';
import { whileAlive } from './life_guard.ts';
import { LocalDisk } from './local_disk.ts';
import { rowMerge } from './row_merge.ts';
import { RowScan } from './row_scan.ts';
import type { CoolPlant } from './plants.ts';
import type { OfQuery, Queries } from './queries.ts';
import { type ReplicaFile, closeReplicaFile, openReplicaFile } from './replica_files.ts';
import type { DiskSeen } from './seen.ts';
import type { CooldownWatch } from './watch.ts';

/** What the backends of one run have in common. */
export interface CoolWorld {
  readonly time: VirtualTime;
  readonly trace: Trace;
  readonly network: SimNetwork;
  readonly bucket: Bucket;
  readonly random: SeededRandom;
  readonly plant: CoolPlant;
  readonly server: Endpoint;
  readonly watch: CooldownWatch;
  readonly content: Content;
  readonly queries: Queries;
  readonly agentConfig: Readonly<Record<string, string>>;
  readonly logFor: (process: SimProcess) => Log;
  readonly fate: (call: BucketCall) => Fate;
  readonly latencyMs: () => number;
  readonly writeMs: () => number;
  /** Largest amount that a wall clock is off, milliseconds. */
  readonly skewMsMax: number;
  /** The other backends. */
  readonly backend: (backendId: BackendId) => Endpoint | undefined;
}

interface Life {
  readonly process: SimProcess;
  readonly host: ReplicaHost;
  readonly cooldown: Cooldown;
  /** When the heartbeat was sent that was answered last, monotonic milliseconds. */
  readonly lease: { heardMs: number };
  readonly scans: OpenScans;
  readonly config: Config;
  readonly frontend: FrontendPort;
  readonly incarnation: string;
  readonly view: ObjectStore;
  readonly store: ReplicaStore;
  readonly random: SeededRandom;
}

const CALL_TIMEOUT_MS = 5000;

export class CoolBackend implements Endpoint, DiskSeen {
  readonly backendId: BackendId;
  readonly name: string;
  readonly isTwin: boolean;
  readonly disk = new LocalDisk();
  readonly #world: CoolWorld;
  readonly #random: SeededRandom;
  /** What is in it outlives the processes. */
  #file: ReplicaFile;
  #store: ReplicaStore;
  #life: Life | undefined;
  #process: SimProcess | undefined;
  #lives = 0;
  #disks = 0;
  #writes = 0;

  /** `image`: of the replica store of another backend, of which this is the twin; see `twin`. */
  constructor(backendId: BackendId, world: CoolWorld, image?: Buffer) {
    this.backendId = backendId;
    this.isTwin = image !== undefined;
    this.name = `be-${backendId}${this.isTwin ? '-twin' : ''}`;
    this.#world = world;
    this.#random = world.random.fork();
    this.#file = openReplicaFile(image);
    this.#store = this.#open();
    this.disk.onDelete = (key) => {
      world.watch.localDeleted(this, key);
    };
  }

  get process(): SimProcess | undefined {
    return this.#process;
  }

  get isRunning(): boolean {
    return this.#process !== undefined && !this.#process.isDead;
  }

  get cooldown(): Cooldown | undefined {
    return this.isRunning ? this.#life?.cooldown : undefined;
  }

  get(tabletId: TabletId): ReplicaState | undefined {
    return this.#store.get(tabletId);
  }

  list(): readonly ReplicaState[] {
    return this.#store.list();
  }

  uploads(tabletId: TabletId): readonly PendingUpload[] {
    return this.#store.uploads(tabletId);
  }

  /** All that its process has in memory; for comparing states. */
  get memory(): readonly unknown[] {
    return [this.#life?.host, this.#life?.cooldown, this.#life?.random];
  }

  get incarnation(): string | undefined {
    return this.#life?.incarnation;
  }

  /** Number of its last report. */
  get reportSeq(): number | undefined {
    const reports = this.#life?.host.reports as unknown as { private_seq?: number } | undefined;
    return reports?.private_seq;
  }

  /** Parts of that which are on the disk, belong to others, or never change. */
  get outsideMemory(): readonly unknown[] {
    const { process, config, frontend, view, store } = this.#life ?? {};
    return [process, config, frontend, view, store, this.#world];
  }

  /** Grows with each change of that file. */
  get writes(): number {
    return this.#writes;
  }

  /** Everything in the file of its replica store. */
  get durable(): readonly unknown[] {
    const store = this.#store;
    const uploads = store.list().map(({ tabletId }) => store.uploads(tabletId));
    const versions = [store.policies(), store.resources()];
    return [store.list(), uploads, store.prepared(), versions];
  }

  /** A new life on the same disk, without what the last one had in memory. */
  start(): void {
    if (this.isRunning) return;
    const { time, trace, skewMsMax, random } = this.#world;
    this.#lives += 1;
    const skewMs = skewMsMax === 0 ? 0 : random.int(2 * skewMsMax) - skewMsMax;
    const process = new SimProcess(`${this.name}.${this.#lives}`, time, skewMs);
    this.#process = process;
    trace.note(time.nowMs, `${process.name} starts`);
    // It reads what is on the disk, nothing else; before the first life nobody has.
    if (this.#lives > 1) this.#store = this.#open();
    const life = this.#begin(process);
    this.#life = life;
    life.host.start();
    life.cooldown.start();
    void this.#heartbeat(life);
  }

  /** As kill -9. */
  kill(): void {
    if (!this.isRunning) return;
    this.#world.trace.note(this.#world.time.nowMs, `${this.name} is killed`);
    this.#process?.kill();
    this.#life = undefined;
  }

  /** The disk is replaced by an empty one. */
  loseDisk(): void {
    this.kill();
    this.#world.trace.note(this.#world.time.nowMs, `${this.name} lost its disk`);
    this.#world.watch.diskLost(this);
    this.disk.wipe();
    this.#disks += 1;
    closeReplicaFile(this.#file);
    this.#file = openReplicaFile();
    this.#store = this.#open();
  }

  /**
   * Another process on a copy of this disk, as when a machine is started again elsewhere while the
   * old one still runs: the same backend, the same replicas. Nobody sends it anything.
   */
  twin(): CoolBackend {
    const image = this.#file.database.serialize();
    const twin = new CoolBackend(this.backendId, this.#world, image);
    for (const [key, body] of this.disk.files) twin.disk.files.set(key, body);
    return twin;
  }

  /** Makes one of the last two local rowsets with data, as a backend could that merges by itself. */
  mergeTail(tabletId: TabletId): void {
    const state = this.#store.get(tabletId);
    const inputs = (state?.rowsets ?? []).filter(({ segments }) => segments.length > 0).slice(-2);
    const [first, last] = inputs;
    if (state === undefined || first === undefined || last === undefined) return;
    const rows = inputs.flatMap(({ rowsetId, segments }) =>
      segments.flatMap(({ segment }) => {
        const body = this.disk.files.get(segmentKey(tabletId, rowsetId, segment));
        return rowsOfBody(body ?? new Uint8Array()) ?? [];
      }),
    );
    const body = segmentBody(rows);
    const rowsetId = 'ffffffffffffffffffffffffffffffff' as RowsetId;
    this.disk.files.set(segmentKey(tabletId, rowsetId, 0), body);
    const merged = {
      ...first,
      rowsetId,
      endVersion: last.endVersion,
      newestWriteMs: last.newestWriteMs,
      rows: rows.length,
      bytes: body.length,
      segments: [segmentMeta(0, body, rows.length)],
    };
    const remove = inputs.map((input) => input.rowsetId);
    this.#store.replace(tabletId, { replicaId: state.replicaId, remove, add: [merged] });
    for (const input of inputs) {
      for (const { segment } of input.segments) {
        this.disk.files.delete(segmentKey(tabletId, input.rowsetId, segment));
      }
    }
  }

  close(): void {
    this.#process?.kill();
    closeReplicaFile(this.#file);
  }

  async handle(name: string, request: unknown): Promise<unknown> {
    const life = this.#life;
    if (life === undefined) {
      throw new SqlError('AGENT_LOST', { backend: this.backendId, what: name, why: 'for a test' });
    }
    const honest = async (): Promise<unknown> => await this.#answer(life, name, request);
    const parts = { store: this.#store, view: life.view };
    return await this.#world.plant.answer(name, request, honest, parts);
  }

  async #answer(life: Life, name: string, request: unknown): Promise<unknown> {
    if (name.startsWith('peer:')) {
      const args = request as readonly unknown[];
      // One that comes twice may make a file again that was deleted: a leftover of a load.
      if (name === 'peer:putSegment') this.#world.watch.written(this, args[1] as RowsetId);
      const method = Reflect.get(life.host.own, name.slice('peer:'.length)) as PeerMethod;
      return await Reflect.apply(method, life.host.own, [...args, NEVER]);
    }
    const handler = life.host.handlers[name as ReplicaCallName] as
      | ((request: unknown, signal: AbortSignal) => unknown)
      | undefined;
    if (handler !== undefined) return await handler(request, NEVER);
    switch (name) {
      case 'ping':
        return { incarnation: life.incarnation };
      case 'configure':
        life.config.replace((request as AgentCalls['configure']['request']).values);
        return {};
      case 'load':
        return await this.#load(life, request as LoadRequest);
      case 'openScan':
        return await life.scans.openAndRead(request as OpenScanRequest);
      case 'nextBatch':
        return await nextBatch(life.scans, request as AgentCalls['nextBatch']['request']);
      case 'closeScan':
        life.scans.close((request as AgentCalls['closeScan']['request']).scanId);
        return {};
      case 'deleteObjects':
        return await this.#deleteObjects(life, request as AgentCalls['deleteObjects']['request']);
      case 'dropCached':
        return {};
      default:
        throw new SqlError('NOT_SUPPORTED', { what: name });
    }
  }

  /** Rows go to the buckets of the first partition by their number; what they hold is their key. */
  async #load(life: Life, { txnId, target, rows }: LoadRequest): Promise<LoadOutcome> {
    const [partition] = target.table.partitions;
    const buckets = target.tablets[0] ?? [];
    const sink = life.host.sink(txnId, target, NEVER);
    if (sink === undefined || partition === undefined) throw new Error('not a replicated table');
    const byTablet = new Map<TabletId, string[]>();
    for (const [at, [key]] of rows.entries()) {
      const tabletId = buckets[at % buckets.length];
      if (tabletId === undefined) continue;
      byTablet.set(tabletId, [...(byTablet.get(tabletId) ?? []), `k${String(key)}`]);
    }
    const rowsets: NewRowset[] = [];
    try {
      for (const [tabletId, names] of byTablet) {
        const rowsetId = Buffer.from(this.#random.bytes(16)).toString('hex') as RowsetId;
        const body = segmentBody(names);
        const meta = segmentMeta(0, body, names.length);
        this.#world.content.loaded(txnId, tabletId, names, body.length);
        await sink.add({ tabletId, rowsetId }, { meta, body });
        const { partitionId } = partition;
        const sums = { rows: names.length, bytes: body.length, segments: [meta] };
        rowsets.push({ rowsetId, tabletId, partitionId, ...sums });
      }
      const done = await sink.finish(rowsets);
      const loadedRows = rows.length;
      return { ...done, loadedRows, filteredRows: 0, unselectedRows: 0, loadBytes: loadedRows };
    } catch (error) {
      await sink.discard();
      throw error;
    }
  }

  async #deleteObjects(
    { view }: Life,
    { prefixes }: AgentCalls['deleteObjects']['request'],
  ): Promise<AgentCalls['deleteObjects']['reply']> {
    let deleted = 0;
    for (const prefix of prefixes) {
      for await (const page of view.list(prefix)) {
        await view.delete(page.map(({ key }) => key));
        deleted += page.length;
      }
    }
    return { deleted };
  }

  #open(): ReplicaStore {
    const store = ReplicaStore.over(this.#file.tables, this.backendId);
    const batch = store.batch.bind(store);
    store.batch = (work) => {
      this.#writes += 1;
      return batch(work);
    };
    store.onChange((tabletId) => {
      this.#world.watch.replicaChanged(this, tabletId);
    });
    return store;
  }

  #begin(process: SimProcess): Life {
    const { time, agentConfig, logFor, plant, writeMs } = this.#world;
    const { backendId } = this;
    const config = new Config(agentConfig);
    const log = logFor(process);
    const store = plant.store(whileAlive(process, this.#store), this);
    const local = new LocalSegments(this.disk.view(process, time, writeMs), log);
    const frontend = plant.frontend(simFrontend(this.#world, process, this), this);
    const clock = wholeTimers(process.clock);
    const incarnation = `${this.isTwin ? 'twin.' : ''}${this.#disks}.${this.#lives}`;
    const view = plant.bucket(this.#bucketView(process), this);
    const random = this.#random.fork();
    const shared = { backendId, config, clock, random, log, frontend };
    const host = ReplicaHost.over(
      {
        ...shared,
        dir: '',
        incarnation,
        stores: { reopen: () => undefined },
        remotePeers: (address) => this.#peer(process, address),
      },
      store,
      local,
    );
    const resource = async (): Promise<ObjectStore> => await Promise.resolve(view);
    const { bucket } = this.#world;
    const isConditional = async (): Promise<boolean> => await Promise.resolve(bucket.hasConditions);
    // As the agent has it: only what the server has answered counts.
    const lease = { heardMs: Number.NEGATIVE_INFINITY };
    const leaseLeftMs = (): number =>
      lease.heardMs + config.get('cooldown_leader_dead_seconds') * 500 - clock.monotonic();
    const cooling = { resource, isConditional, leaseLeftMs, merge: rowMerge(view) };
    const cooldown = new Cooldown({ ...shared, store, local, ...cooling });
    host.attachCooldown(cooldown);
    const opening = async (request: OpenScanRequest): Promise<OpenedScan> =>
      await this.#openScan(process, host, view, request);
    const scans = new OpenScans(clock, this.#random.fork(), opening, backendId);
    const outside = { config, frontend, view, store, random };
    return { process, host, cooldown, lease, scans, incarnation, ...outside };
  }

  /** As the agent does it, with another reader of segments. */
  async #openScan(
    process: SimProcess,
    host: ReplicaHost,
    remote: ObjectStore,
    request: OpenScanRequest,
  ): Promise<OpenedScan> {
    const { queries, watch, writeMs } = this.#world;
    const planned = await host.scans.plan(request);
    const query = queries.get((request as OfQuery).query ?? 0);
    const scan = new RowScan({
      planned,
      remote,
      clock: wholeTimers(process.clock),
      segmentMs: writeMs,
      onMissing: (key) => {
        watch.missed(query, this, key);
      },
    });
    for (const { tabletId, rowsetId } of scan.remoteRowsets) query?.opened(tabletId, rowsetId);
    return { scan, release: planned.release };
  }

  #bucketView(process: SimProcess): BucketView {
    const { bucket, time, trace, random, fate, latencyMs, agentConfig } = this.#world;
    return new BucketView({
      bucket,
      time,
      process,
      actor: { name: process.name, disk: this.name },
      random: random.fork(),
      retries: Number(agentConfig['object_store_retries'] ?? 2),
      latencyMs,
      fate,
      note: (text) => {
        trace.note(time.nowMs, text);
      },
    });
  }

  /** Another backend, over the network: every method of the port is a message. */
  #peer(process: SimProcess, { backendId }: BackendAddress): ReplicaPeer {
    const { network, backend } = this.#world;
    const call = async (name: string, args: readonly unknown[]): Promise<unknown> => {
      const to = backend(backendId);
      const why = `nothing within ${CALL_TIMEOUT_MS} ms`;
      const what = { backend: backendId, what: name, why };
      const lost = (): SqlError => new SqlError('AGENT_LOST', what);
      if (to === undefined) throw lost();
      const signal = args.at(-1) instanceof AbortSignal ? (args.at(-1) as AbortSignal) : undefined;
      const request = args.filter((arg) => !(arg instanceof AbortSignal));
      const line = `${this.name}-${to.name}`;
      const message = { from: process, to, line, name, request, signal, lost };
      return await network.call({ ...message, timeoutMs: CALL_TIMEOUT_MS });
    };
    return new Proxy({} as ReplicaPeer, {
      get:
        (_target, name) =>
        async (...args: readonly unknown[]): Promise<unknown> =>
          await call(`peer:${String(name)}`, args),
    });
  }

  async #heartbeat(life: Life): Promise<void> {
    const { process, config, incarnation, frontend, lease, host } = life;
    const request = {
      backendId: this.backendId,
      incarnation,
      startedMs: process.clock.now(),
      httpPort: 1,
      cacheCapacityBytes: 0,
      cacheUsedBytes: 0,
      diskAvailableBytes: 2 ** 40,
      diskTotalBytes: 2 ** 41,
    };
    const sentMs = process.clock.monotonic();
    try {
      const reply = await frontend.call('heartbeat', request, { timeoutMs: CALL_TIMEOUT_MS });
      lease.heardMs = sentMs;
      host.reports.heard();
      if (Object.keys(reply.config).length > 0) config.replace(reply.config);
    } catch {
      // The next one comes all the same.
    }
    process.schedule(config.get('heartbeat_interval_ms'), 'heartbeat timer', () => {
      void this.#heartbeat(life);
    });
  }
}

async function nextBatch(
  scans: OpenScans,
  { scanId, batch }: AgentCalls['nextBatch']['request'],
): Promise<AgentCalls['nextBatch']['reply']> {
  return await scans.nextBatch(scanId, batch);
}

/** Timers of a real process never take less than a millisecond. */
function wholeTimers(clock: Clock): Clock {
  return {
    ...clock,
    after: (ms, fn) => clock.after(Math.max(1, Math.ceil(ms)), fn),
  };
}

/** What comes over the network is not taken back: its sender has stopped listening. */
const NEVER = new AbortController().signal;

type PeerMethod = (...args: readonly unknown[]) => Promise<unknown>;
