/**
 * A small world for warm-up jobs: a real catalog, backends whose batches are real (WarmUpBatches)
 * and whose downloads a test finishes by hand, and a transport that can lose messages.
 */
import type {
  AgentCallName,
  AgentCalls,
  AgentTransport,
  BatchProgress,
  WarmUpRequest,
} from '../../base/agent_messages.ts';
import { Config } from '../../base/config.ts';
import { SqlError } from '../../base/errors.ts';
import type { BackendId, JobId } from '../../base/ids.ts';
import { SILENT_LOG } from '../../base/ports.ts';
import { WarmUpBatches, type WarmUpRun } from '../../be-agent/warm_up_batches.ts';
import type { Catalog } from '../../catalog/catalog.ts';
import type { WarmUpJob } from '../../catalog/warm_up_jobs.ts';
import { planTablets } from '../../jobs/cache_need.ts';
import { BackendRegistry } from '../../jobs/backend_registry.ts';
import { SnapshotHolds } from '../../jobs/snapshot_holds.ts';
import type { RowsetEventDelivery, StopReason } from '../../jobs/warm_up_deps.ts';
import { WarmUpJobs } from '../../jobs/warm_up_jobs.ts';
import { planWarmUp } from '../../jobs/warm_up_planner.ts';
import { planFromTablets } from '../../jobs/warm_up_plans.ts';
import { CatalogFixture, createTable, load } from '../catalog/fixture.ts';
import { ManualClock } from '../manual_clock.ts';
import { heartbeatOf } from './heartbeat.ts';

const CAPACITY_BYTES = 1_000_000;

export interface HeldFailure {
  readonly item: string;
  readonly reason: string;
  /** Default: false. */
  readonly transient?: boolean;
}

const NEW_JOB = {
  kind: 'CLUSTER',
  srcGroup: 'src',
  dstGroup: 'dst',
  syncMode: 'ONCE',
  syncIntervalS: null,
  syncEvent: null,
  tableFilter: null,
  force: false,
  tables: [],
} as const;

/** One download that waits for the test to end it. */
export interface HeldRun {
  readonly run: WarmUpRun;
  /** Ends it: everything downloaded, unless `failures` says otherwise. */
  finish(failures?: readonly HeldFailure[]): void;
}

export class FakeBackend {
  readonly backendId: BackendId;
  readonly held: HeldRun[] = [];
  readonly dispatched: WarmUpRequest[] = [];
  /** Messages to it are lost. */
  unreachable = false;
  /** Messages that arrived. */
  renewals = 0;
  cancels = 0;
  batches: WarmUpBatches;
  #life = 0;
  readonly #clock: ManualClock;
  readonly #report: (progress: BatchProgress) => void;

  constructor(backendId: BackendId, clock: ManualClock, report: (progress: BatchProgress) => void) {
    this.backendId = backendId;
    this.#clock = clock;
    this.#report = report;
    this.batches = this.#start();
  }

  get incarnation(): string {
    return `life-${this.#life}`;
  }

  /** Everything in memory is gone; the cache on disk would stay. */
  restart(): void {
    this.batches.close();
    this.held.length = 0;
    this.batches = this.#start();
  }

  call(name: AgentCallName, request: unknown): unknown {
    if (name === 'warmUp') {
      this.dispatched.push(request as WarmUpRequest);
      return this.batches.dispatch(request as WarmUpRequest);
    }
    if (name === 'renewWarmUp') {
      this.renewals += 1;
      return this.batches.renew(request as AgentCalls['renewWarmUp']['request']);
    }
    if (name !== 'cancelWarmUp') throw new Error(`unexpected call ${name}`);
    const { jobId, epoch, run } = request as AgentCalls['cancelWarmUp']['request'];
    this.cancels += 1;
    this.batches.cancel(jobId, epoch, run);
    return {};
  }

  #start(): WarmUpBatches {
    this.#life += 1;
    return new WarmUpBatches({
      backendId: this.backendId,
      incarnation: this.incarnation,
      clock: this.#clock,
      log: SILENT_LOG,
      run: async (run) => {
        await this.#hold(run);
      },
      report: this.#report,
      throttled: () => false,
    });
  }

  async #hold(run: WarmUpRun): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<undefined>();
    for (const { rowsets } of run.tablets) {
      for (const rowset of rowsets) run.counts.totalBytes += rowset.bytes;
    }
    this.held.push({
      run,
      finish: (failures = []) => {
        const { counts, tablets } = run;
        const tabletId = tablets[0]?.tabletId;
        for (const failure of failures) {
          if (tabletId !== undefined) {
            counts.failures.push({ tabletId, transient: false, ...failure });
          }
        }
        counts.failedTablets = failures.length > 0 ? 1 : 0;
        counts.doneTablets = tablets.length - counts.failedTablets;
        counts.doneBytes = counts.totalBytes;
        resolve(undefined);
      },
    });
    run.signal.addEventListener('abort', () => {
      resolve(undefined);
    });
    await promise;
  }
}

/** Event-driven jobs deliver nothing here; what they are told is written down. */
export class FakeDelivery implements RowsetEventDelivery {
  readonly calls: string[] = [];
  ticks = 0;
  newest = 0;
  delivered = 0;
  waitReason = '';

  tick = async (_job: WarmUpJob): Promise<string> => {
    this.ticks += 1;
    return this.waitReason;
  };
  stop = async ({ jobId }: WarmUpJob, why: StopReason): Promise<void> => {
    this.calls.push(`stop ${jobId} ${why}`);
  };
  altered = ({ jobId, tableFilter }: WarmUpJob): void => {
    this.calls.push(`altered ${jobId} ${tableFilter ?? ''}`);
  };
  onProgress = async (): Promise<boolean> => false;
  newestSeq = (): number => this.newest;
  isPast = (_jobId: JobId, seq: number): boolean => this.delivered >= seq;
  retryFailed = async (jobId: JobId): Promise<number> => {
    this.calls.push(`retry ${jobId}`);
    return 1;
  };
}

export class WarmUpWorld {
  readonly fixture = new CatalogFixture();
  readonly clock = new ManualClock();
  readonly config = new Config();
  readonly backends = new Map<BackendId, FakeBackend>();
  readonly holds = new SnapshotHolds();
  readonly events = new FakeDelivery();
  /** Access counts are fetched, then a plan is made: what a test does meanwhile. */
  collect: () => Promise<void> = async () => undefined;
  catalog!: Catalog;
  registry!: BackendRegistry;
  jobs!: WarmUpJobs;
  /** Reports of finished batches get lost while this is set. */
  loseReports = false;
  #reports: Promise<void>[] = [];

  static async create(): Promise<WarmUpWorld> {
    const world = new WarmUpWorld();
    // One time for the catalog's rows and for the jobs.
    world.fixture.clock.now = () => world.clock.now();
    await world.#open();
    for (const name of ['src', 'dst']) {
      await world.catalog.computeGroups.create(name);
      await world.addBackend(name);
      await world.addBackend(name);
    }
    const table = await createTable(world.catalog, 't', 2, 4);
    await load(world.catalog, table, 1);
    return world;
  }

  /** The server dies and starts again; backends live on. */
  async restartServer(): Promise<void> {
    await this.jobs.close();
    await this.fixture.close(this.catalog);
    await this.#open();
    this.heartbeats();
  }

  async remove(): Promise<void> {
    await this.jobs.close();
    for (const backend of this.backends.values()) backend.batches.close();
    await this.fixture.remove();
  }

  async addBackend(computeGroupName: string): Promise<FakeBackend> {
    const kind = 'embedded';
    const created = await this.catalog.backends.create({
      computeGroupName,
      kind,
      host: '127.0.0.1',
      httpPort: 0,
    });
    const backend = new FakeBackend(created.backendId, this.clock, (progress) => {
      if (!this.loseReports) this.#reports.push(this.jobs.onProgress(progress));
    });
    this.backends.set(created.backendId, backend);
    this.heartbeats();
    return backend;
  }

  heartbeats(): void {
    for (const { backendId, incarnation, unreachable } of this.backends.values()) {
      if (unreachable) continue;
      this.registry.heartbeat(
        heartbeatOf(backendId, { incarnation, cacheCapacityBytes: CAPACITY_BYTES }),
      );
    }
  }

  /** Backends of a group that hold a batch now. */
  async membersOf(group: string): Promise<FakeBackend[]> {
    const all = await this.catalog.backends.list();
    return all
      .filter((backend) => backend.computeGroupName === group)
      .flatMap((backend) => this.backends.get(backend.backendId) ?? []);
  }

  /** WARM UP COMPUTE GROUP dst WITH TABLE d.t. */
  async warmTable(force = false): Promise<JobId> {
    const table = await this.catalog.tables.get('d', 't');
    const ids = this.catalog.tablets.ofTable(table.tableId).map((tablet) => tablet.tabletId);
    const tablets = await planTablets(this.catalog, ids);
    const members = await this.membersOf('dst');
    const plan = planWarmUp(tablets, {
      backends: members.map(({ backendId }) => ({
        backendId,
        cacheCapacityBytes: CAPACITY_BYTES,
      })),
      maxBatchBytes: this.config.get('cloud_warm_up_job_max_bytes_per_batch'),
      order: 'given',
    });
    const job = {
      kind: 'TABLE',
      srcGroup: null,
      dstGroup: 'dst',
      syncMode: 'ONCE',
      syncIntervalS: null,
      syncEvent: null,
      tableFilter: null,
      force,
      tables: [{ db: 'd', table: 't' }],
    } as const;
    return (await this.jobs.create(job, plan)).jobId;
  }

  /** ... WITH COMPUTE GROUP src, once: a plan of `count` tablets; all of them when made anew. */
  async warmGroup(count: number, force = false): Promise<JobId> {
    this.config.setLive('cloud_warm_up_force_all_partitions', 'true');
    const table = await this.catalog.tables.get('d', 't');
    const ids = this.catalog.tablets.ofTable(table.tableId).map((tablet) => tablet.tabletId);
    const plan = await planFromTablets(this, 'dst', ids.slice(0, count));
    return (await this.jobs.create({ ...NEW_JOB, force }, plan)).jobId;
  }

  /** WARM UP COMPUTE GROUP dst WITH COMPUTE GROUP src, periodic; warms all tablets. */
  async periodic(syncIntervalS: number, srcGroup = 'src', dstGroup = 'dst'): Promise<JobId> {
    this.config.setLive('cloud_warm_up_force_all_partitions', 'true');
    const job = { ...NEW_JOB, syncMode: 'PERIODIC', srcGroup, dstGroup, syncIntervalS } as const;
    return (await this.jobs.create(job, undefined)).jobId;
  }

  /** ... event-driven, with ON TABLES rules unless `tableFilter` is null. */
  async eventDriven(
    tableFilter: string | null = null,
    srcGroup = 'src',
    dstGroup = 'dst',
  ): Promise<JobId> {
    const kind = tableFilter === null ? 'CLUSTER' : 'TABLES';
    const mode = { syncMode: 'EVENT_DRIVEN', syncEvent: 'LOAD' } as const;
    const job = { ...NEW_JOB, ...mode, kind, srcGroup, dstGroup, tableFilter } as const;
    return (await this.jobs.create(job, undefined)).jobId;
  }

  /** A group with backends of its own. */
  async addGroup(name: string, backends = 1): Promise<void> {
    await this.catalog.computeGroups.create(name);
    for (let i = 0; i < backends; i += 1) await this.addBackend(name);
  }

  /** Backends of a group with downloads that wait for their end. */
  async held(group = 'dst'): Promise<FakeBackend[]> {
    return (await this.membersOf(group)).filter((backend) => backend.held.length > 0);
  }

  async untilHeld(count: number, group = 'dst'): Promise<FakeBackend[]> {
    await this.until(async () => (await this.held(group)).length === count);
    return await this.held(group);
  }

  async untilState(jobId: JobId, state: string): Promise<void> {
    await this.until(async () => (await this.job(jobId)).state === state);
  }

  /** Ends the downloads that a group's backends have in hand. */
  async finish(group = 'dst'): Promise<void> {
    for (const backend of await this.held(group)) {
      for (const run of backend.held.splice(0)) run.finish();
    }
    await this.settle();
  }

  /** One whole run of a job on `dst`, from its start to its end. */
  async oneRun(count = 2, group = 'dst'): Promise<void> {
    await this.untilHeld(count, group);
    await this.finish(group);
  }

  async job(jobId: JobId): Promise<WarmUpJob> {
    const job = await this.catalog.warmUpJobs.find(jobId);
    if (job === undefined) throw new Error(`no job ${jobId}`);
    return job;
  }

  /** Ticks until `done`; every tick is a second and a heartbeat. Bounded. */
  async until(done: () => boolean | Promise<boolean>): Promise<void> {
    for (let round = 0; round < 100; round += 1) {
      await this.settle();
      if (await done()) return;
      this.clock.advance(1000);
      this.heartbeats();
    }
    throw new Error('it did not come to that within 100 ticks');
  }

  /** Lets everything that can go on without time go on. */
  async settle(): Promise<void> {
    for (let round = 0; round < 50; round += 1) {
      const reports = this.#reports;
      this.#reports = [];
      await Promise.all(reports);
      await new Promise((resolve) => {
        setImmediate(resolve);
      });
    }
  }

  async #open(): Promise<void> {
    this.catalog = await this.fixture.open();
    this.registry = new BackendRegistry(this.clock, this.config);
    this.jobs = new WarmUpJobs({
      catalog: this.catalog,
      transport: this.#transport(),
      registry: this.registry,
      config: this.config,
      clock: this.clock,
      log: SILENT_LOG,
      hotspots: {
        collect: async () => {
          await this.collect();
        },
      },
      holds: this.holds,
      events: this.events,
    });
  }

  #transport(): AgentTransport {
    return {
      call: async (backendId, name, request, { timeoutMs }) => {
        await Promise.resolve();
        const backend = this.backends.get(backendId);
        if (backend === undefined || backend.unreachable) {
          throw new SqlError('AGENT_LOST', {
            backend: backendId,
            what: name,
            why: `nothing within ${timeoutMs} ms`,
          });
        }
        return backend.call(name, request) as never;
      },
    };
  }
}
