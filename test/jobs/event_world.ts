/**
 * A small world for event deliveries: a real catalog, a real EventDelivery, and backends with real
 * WarmUpBatches whose caches are sets of object keys. Messages can be lost, objects can fail.
 */
import type {
  AgentCallName,
  AgentCalls,
  AgentTransport,
  BatchProgress,
  WarmUpFailure,
  WarmUpRequest,
} from '../../base/agent_messages.ts';
import { Config } from '../../base/config.ts';
import { SqlError } from '../../base/errors.ts';
import { rowsetId } from '../../base/ids.ts';
import type { BackendId, JobId, TxnId } from '../../base/ids.ts';
import { servingBackend } from '../../base/placement.ts';
import { SILENT_LOG } from '../../base/ports.ts';
import { type NewRowset, type TableDef, segmentKey } from '../../base/schema.ts';
import { WarmUpBatches, type WarmUpRun } from '../../be-agent/warm_up_batches.ts';
import type { Catalog } from '../../catalog/catalog.ts';
import type { WarmUpJob } from '../../catalog/warm_up_jobs.ts';
import { BackendRegistry } from '../../jobs/backend_registry.ts';
import { EventDelivery } from '../../jobs/event_delivery.ts';
import { SnapshotHolds } from '../../jobs/snapshot_holds.ts';
import { SyncStats } from '../../jobs/sync_stats.ts';
import { CatalogFixture, createTable } from '../catalog/fixture.ts';
import { ManualClock } from '../manual_clock.ts';
import { heartbeatOf } from './heartbeat.ts';

export class EventBackend {
  readonly backendId: BackendId;
  /** Object keys: the disk, which survives a restart. */
  readonly cache = new Set<string>();
  /** Requests that reached it. */
  readonly dispatched: WarmUpRequest[] = [];
  /** Object key → what becomes of its download. */
  readonly broken = new Map<string, { readonly reason: string; readonly transient: boolean }>();
  /** Messages to it get lost, and it sends no heartbeats. */
  isDown = false;
  /** It does what it is told, but its answers get lost. */
  losesReplies = false;
  /** Downloads wait until this is false. */
  isSlow = false;
  /** Downloads of objects that were not cached. */
  downloads = 0;
  #life = 0;
  #batches: WarmUpBatches;
  readonly #clock: ManualClock;
  readonly #report: (progress: BatchProgress) => void;

  constructor(backendId: BackendId, clock: ManualClock, report: (progress: BatchProgress) => void) {
    this.backendId = backendId;
    this.#clock = clock;
    this.#report = report;
    this.#batches = this.#start();
  }

  get incarnation(): string {
    return `life-${this.#life}`;
  }

  get running(): number {
    return this.#batches.running;
  }

  restart(): void {
    this.#batches.close();
    this.#batches = this.#start();
  }

  close(): void {
    this.#batches.close();
  }

  call(name: AgentCallName, request: unknown): unknown {
    if (name === 'warmUp') {
      this.dispatched.push(request as WarmUpRequest);
      return this.#batches.dispatch(request as WarmUpRequest);
    }
    if (name === 'renewWarmUp') {
      return this.#batches.renew(request as AgentCalls['renewWarmUp']['request']);
    }
    if (name === 'cancelWarmUp') {
      const { jobId, epoch, run } = request as AgentCalls['cancelWarmUp']['request'];
      this.#batches.cancel(jobId, epoch, run);
    }
    return {};
  }

  #start(): WarmUpBatches {
    this.#life += 1;
    return new WarmUpBatches({
      backendId: this.backendId,
      incarnation: this.incarnation,
      clock: this.#clock,
      log: SILENT_LOG,
      throttled: () => false,
      run: async (run) => {
        await this.#download(run);
      },
      report: this.#report,
    });
  }

  async #download(run: WarmUpRun): Promise<void> {
    while (this.isSlow) {
      await new Promise((resolve) => {
        setImmediate(resolve);
      });
      run.signal.throwIfAborted();
    }
    const { counts } = run;
    for (const { tabletId, rowsets } of run.tablets) {
      let failed = false;
      for (const rowset of rowsets) {
        for (const { segment } of rowset.segments) {
          const item = segmentKey(tabletId, rowset.rowsetId, segment);
          const broken = this.broken.get(item);
          if (broken !== undefined) {
            const failure: WarmUpFailure = { tabletId, item, ...broken };
            counts.failures.push(failure);
            failed = true;
          } else if (!this.cache.has(item)) {
            this.cache.add(item);
            this.downloads += 1;
          }
        }
      }
      if (failed) counts.failedTablets += 1;
      else counts.doneTablets += 1;
    }
  }
}

export class EventWorld {
  readonly fixture = new CatalogFixture();
  readonly clock = new ManualClock();
  readonly config = new Config();
  readonly backends = new Map<BackendId, EventBackend>();
  catalog!: Catalog;
  registry!: BackendRegistry;
  stats!: SyncStats;
  holds!: SnapshotHolds;
  delivery!: EventDelivery;
  #loads = 0;
  #reports: Promise<unknown>[] = [];

  /** Groups `src` and `dst` with two backends each, table `d.t` with 8 tablets. */
  static async create(): Promise<EventWorld> {
    const world = new EventWorld();
    await world.#open();
    for (const name of ['src', 'dst']) {
      await world.catalog.computeGroups.create(name);
      await world.addBackend(name);
      await world.addBackend(name);
    }
    await createTable(world.catalog, 't', 2, 4);
    return world;
  }

  async #open(): Promise<void> {
    this.catalog = await this.fixture.open();
    this.registry = new BackendRegistry(this.clock, this.config);
    this.stats = new SyncStats(this.clock);
    this.holds = new SnapshotHolds();
    const { catalog, registry, stats, holds, clock, config } = this;
    const transport = this.#transport();
    const shared = { catalog, registry, stats, holds, clock, config, transport };
    this.delivery = new EventDelivery({ ...shared, log: SILENT_LOG });
  }

  /** The server dies and starts again; the backends live on. `kind` crash: nothing is stored. */
  async restartServer(): Promise<void> {
    await this.delivery.close();
    await this.fixture.close(this.catalog);
    await this.#open();
    this.heartbeats();
  }

  async remove(): Promise<void> {
    await this.delivery.close();
    for (const backend of this.backends.values()) backend.close();
    await this.fixture.remove();
  }

  async addBackend(computeGroupName: string): Promise<EventBackend> {
    const { backendId } = await this.catalog.backends.create({
      computeGroupName,
      kind: 'embedded',
      host: '127.0.0.1',
      httpPort: 0,
    });
    const backend = new EventBackend(backendId, this.clock, (progress) => {
      if (!backend.losesReplies) this.#reports.push(this.delivery.onProgress(progress));
    });
    this.backends.set(backendId, backend);
    this.heartbeats();
    return backend;
  }

  async dropBackend(backend: EventBackend): Promise<void> {
    this.registry.forget(backend.backendId);
    this.backends.delete(backend.backendId);
    backend.close();
    await this.catalog.backends.drop(backend.backendId);
  }

  down(backend: EventBackend): void {
    backend.isDown = true;
    this.registry.forget(backend.backendId);
  }

  up(backend: EventBackend): void {
    backend.isDown = false;
    backend.restart();
    this.heartbeats();
  }

  heartbeats(): void {
    for (const { backendId, incarnation, isDown } of this.backends.values()) {
      if (isDown) continue;
      this.registry.heartbeat(heartbeatOf(backendId, { incarnation }));
    }
  }

  async membersOf(group: string): Promise<EventBackend[]> {
    const all = await this.catalog.backends.list();
    return all
      .filter((backend) => backend.computeGroupName === group)
      .flatMap((backend) => this.backends.get(backend.backendId) ?? []);
  }

  /** RUNNING, and set up by its first tick. */
  async job(options: { readonly filter?: string; readonly dst?: string } = {}): Promise<JobId> {
    const job = await this.catalog.warmUpJobs.create({
      kind: options.filter === undefined ? 'CLUSTER' : 'TABLES',
      srcGroup: 'src',
      dstGroup: options.dst ?? 'dst',
      syncMode: 'EVENT_DRIVEN',
      syncIntervalS: null,
      syncEvent: 'load',
      tableFilter: options.filter ?? null,
      force: false,
      tables: [],
      epoch: this.catalog.epoch,
    });
    await this.move(job.jobId, 'RUNNING');
    await this.tick();
    return job.jobId;
  }

  async move(jobId: JobId, state: WarmUpJob['state']): Promise<WarmUpJob> {
    const job = await this.find(jobId);
    return await this.catalog.warmUpJobs.update(jobId, job.version, { state });
  }

  async find(jobId: JobId): Promise<WarmUpJob> {
    const job = await this.catalog.warmUpJobs.find(jobId);
    if (job === undefined) throw new Error(`no job ${jobId}`);
    return job;
  }

  /** One rowset in every tablet of a table, written by a backend of `group`. */
  async load(tableName = 't', group = 'src'): Promise<TxnId> {
    const [writer] = await this.membersOf(group);
    const table = await this.catalog.tables.get('d', tableName);
    return await this.loadAs(table, writer?.backendId);
  }

  async loadAs(table: TableDef, writer: BackendId | undefined): Promise<TxnId> {
    this.#loads += 1;
    const label = `l${this.#loads}`;
    const { databaseId, tableId } = table;
    const begun = await this.catalog.loads.begin({ databaseId, tableId, label, timeoutMs: 1000 });
    const rowsets = this.catalog.tablets
      .ofTable(tableId)
      .map(({ tabletId, partitionId }): NewRowset => ({
        rowsetId: rowsetId(
          `${begun.txn.txnId}`.padStart(16, '0') + `${tabletId}`.padStart(16, '0'),
        ),
        tabletId,
        partitionId,
        rows: 1,
        bytes: 10,
        segments: [{ segment: 0, bytes: 10, rows: 1, indexOffset: 8, crc32: 0 }],
      }));
    const counts = { loadedRows: 1, filteredRows: 0, loadBytes: 1 };
    const { txnId } = begun.txn;
    await this.catalog.commitLoad(txnId, rowsets, counts, writer);
    return txnId;
  }

  /** Keys of visible objects that the backends serving them in `dst` do not have. */
  async missing(tableName = 't', group = 'dst'): Promise<string[]> {
    const table = await this.catalog.tables.get('d', tableName);
    const ids = this.catalog.tablets.ofTable(table.tableId).map((tablet) => tablet.tabletId);
    const members = (await this.membersOf(group)).map((backend) => backend.backendId);
    const alive = this.registry.alive(members);
    const missing: string[] = [];
    for (const [tabletId, rowsets] of await this.catalog.rowsets.visible(ids)) {
      const backend = this.backends.get(servingBackend(tabletId, alive) ?? (0 as BackendId));
      for (const rowset of rowsets) {
        const key = segmentKey(tabletId, rowset.rowsetId, 0);
        if (backend?.cache.has(key) !== true) missing.push(key);
      }
    }
    return missing;
  }

  /** A second, a heartbeat, and a tick of every RUNNING job; the WaitReason of the last one. */
  async tick(): Promise<string> {
    this.clock.advance(1000);
    this.heartbeats();
    let reason = '';
    for (const job of await this.catalog.warmUpJobs.active()) {
      if (job.state === 'RUNNING') reason = await this.delivery.tick(job);
    }
    await this.settle();
    return reason;
  }

  /** Ticks until `done`. Bounded. */
  async until(done: () => boolean | Promise<boolean>, ticks = 200): Promise<void> {
    for (let count = 0; count < ticks; count += 1) {
      await this.settle();
      if (await done()) return;
      await this.tick();
    }
    throw new Error(`it did not come to that within ${ticks} ticks`);
  }

  async untilWarm(tableName = 't', group = 'dst'): Promise<void> {
    await this.until(async () => (await this.missing(tableName, group)).length === 0);
  }

  /** Lets everything go on that needs no time. */
  async settle(): Promise<void> {
    for (let round = 0; round < 30; round += 1) {
      await Promise.all(this.#reports.splice(0));
      await new Promise((resolve) => {
        setImmediate(resolve);
      });
    }
  }

  #transport(): AgentTransport {
    return {
      call: async (backendId, name, request, { timeoutMs }) => {
        await Promise.resolve();
        const backend = this.backends.get(backendId);
        const lost = new SqlError('AGENT_LOST', {
          backend: backendId,
          what: name,
          why: `nothing within ${timeoutMs} ms`,
        });
        if (backend === undefined || backend.isDown) throw lost;
        const reply = backend.call(name, request);
        if (backend.losesReplies) throw lost;
        return reply as never;
      },
    };
  }
}
