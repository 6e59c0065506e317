/**
 * The server: one life after the other on the same catalog file. Each is put together as
 * `server/server.ts` does it, without the sockets; statements come in as text. A crash takes the
 * catalog's files away from it at once, and nothing that it had begun goes on.
 */
import { join } from 'node:path';
import type { AgentTransport, FrontendCallName, FrontendPort } from '../base/agent_messages.ts';
import { Config } from '../base/config.ts';
import { SqlError } from '../base/errors.ts';
import type { BackendId } from '../base/ids.ts';
import type { StatementResult } from '../base/values.ts';
import { Catalog } from '../catalog/catalog.ts';
import { AlterJobs } from '../jobs/alter_jobs.ts';
import { BackendRegistry } from '../jobs/backend_registry.ts';
import { CompactionScheduler } from '../jobs/compaction.ts';
import { Cooldown } from '../jobs/cooldown.ts';
import { EventDelivery } from '../jobs/event_delivery.ts';
import { GarbageCollector } from '../jobs/garbage_collector.ts';
import { DynamicPartitions } from '../jobs/dynamic_partitions.ts';
import { HotspotCollector } from '../jobs/hotspot_collector.ts';
import { LoadCoordinator } from '../jobs/loads.ts';
import { MatchedTables } from '../jobs/matched_tables.ts';
import { ReplicaBoard } from '../jobs/replica_board.ts';
import { BackendLiveness } from '../jobs/backend_liveness.ts';
import { ReplicaRepair } from '../jobs/replica_repair.ts';
import { ReplicaUpkeep } from '../jobs/replica_upkeep.ts';
import { SnapshotHolds } from '../jobs/snapshot_holds.ts';
import { SourceCache } from '../jobs/source_cache.ts';
import { SyncStats } from '../jobs/sync_stats.ts';
import { WarmUpJobs } from '../jobs/warm_up_jobs.ts';
import { StatementReader } from '../parser/parse.ts';
import { AccessControl } from '../server/access/access_control.ts';
import { NamedLocks } from '../server/named_locks.ts';
import { JobProcesses } from '../server/job_processes.ts';
import { AccountUse } from '../server/access/account_use.ts';
import { LoginGuard } from '../server/access/login_guard.ts';
import { BackendControl } from '../server/backend_control.ts';
import { CacheStatsBoard } from '../server/cache_stats_board.ts';
import type { EmbeddedAgents } from '../server/embedded_agents.ts';
import { executeStatement } from '../server/executors/table.ts';
import { frontendPorts } from '../server/frontend_calls.ts';
import { PasswordCheck } from '../server/password_check.ts';
import type { Services } from '../server/services.ts';
import { SessionState } from '../server/session_state.ts';
import { GlobalVariables, SessionVariables } from '../server/variables.ts';
import type { BackendWorld } from './sim_backend.ts';
import { SimBackend } from './sim_backend.ts';
import type { Endpoint } from './sim_network.ts';
import { SimProcess } from './virtual_time.ts';
import { StatementCounts } from '../server/statement_counts.ts';

const LIMITS = { maxBytes: 2 ** 20, insertMaxBytes: 2 ** 20, allowMulti: false };

interface Life {
  readonly process: SimProcess;
  readonly catalog: Catalog;
  readonly services: Services;
  readonly ports: (from: BackendId) => FrontendPort;
  /** What works by itself, to be started in this order. */
  readonly workers: readonly { start(): void | Promise<void> }[];
}

export class SimServer implements Endpoint {
  readonly name = 'server';
  readonly dir: string;
  readonly backends = new Map<BackendId, SimBackend>();
  readonly #makeBackend: (backendId: BackendId) => SimBackend;
  #world: BackendWorld | undefined;
  #process: SimProcess | undefined;
  #life: Life | undefined;
  #catalog: Catalog | undefined;
  #lives = 0;

  /** `makeBackend`: of another kind than those of warm-up jobs. */
  constructor(dir: string, makeBackend?: (backendId: BackendId) => SimBackend) {
    this.dir = dir;
    this.#makeBackend = makeBackend ?? ((backendId) => new SimBackend(backendId, this.world));
  }

  /** The server and the backends know each other: said once, before the first start. */
  connect(world: BackendWorld): void {
    this.#world = world;
  }

  get process(): SimProcess | undefined {
    return this.#process;
  }

  get isRunning(): boolean {
    return this.#process !== undefined && !this.#process.isDead;
  }

  /** Of the present life, once it is ready; of the last one while there is none. */
  get services(): Services | undefined {
    return this.#life?.services;
  }

  /** Whether statements are taken. */
  get isReady(): boolean {
    return this.isRunning && this.#life?.process === this.#process;
  }

  get catalogFile(): string {
    return join(this.dir, 'catalog.db');
  }

  get world(): BackendWorld {
    if (this.#world === undefined) throw new Error('the server was not connected');
    return this.#world;
  }

  async start(): Promise<void> {
    if (this.isRunning) return;
    const { time, trace, plant } = this.world;
    this.#lives += 1;
    const process = new SimProcess(`server.${this.#lives}`, time, this.skewMs());
    this.#process = process;
    if (this.#lives > 1) plant.beforeRestart(this.catalogFile);
    trace.note(time.nowMs, `${process.name} starts`);
    const life = await process.guard(this.#open(process));
    this.#life = life;
    await process.guard(life.services.backends.startAll());
    trace.note(time.nowMs, `${process.name} is ready, epoch ${life.catalog.epoch}`);
    for (const worker of life.workers) void worker.start();
  }

  /** How far the wall clock of the next life is off, milliseconds. */
  protected skewMs(): number {
    return 0;
  }

  /** As kill -9 in the middle of whatever it does. */
  crash(): void {
    const process = this.#process;
    if (process === undefined || process.isDead) return;
    const { time, trace, options } = this.world;
    trace.note(time.nowMs, `${process.name} is killed`);
    process.kill();
    this.#catalog?.abandon();
    this.#catalog = undefined;
    if (options.embedded) for (const backend of this.backends.values()) backend.kill();
  }

  /** Runs a statement in a session that uses this compute group. */
  async execute(sql: string, computeGroup = ''): Promise<StatementResult> {
    const life = this.#life;
    if (life === undefined || !this.isReady) throw new SqlError('SERVER_SHUTDOWN');
    const parsed = new StatementReader(sql, LIMITS).next();
    if (parsed === undefined) throw new Error(`nothing in the statement: ${sql}`);
    const session = new SessionState({
      connectionId: 1,
      user: 'root',
      host: '127.0.0.1',
      database: 'd',
      variables: new SessionVariables(new GlobalVariables()),
    });
    session.computeGroup = computeGroup;
    const context = {
      services: life.services,
      session,
      selects: {
        run: async () => await Promise.reject(new SqlError('NOT_SUPPORTED', { what: 'SELECT' })),
        explain: async () =>
          await Promise.reject(new SqlError('NOT_SUPPORTED', { what: 'EXPLAIN' })),
      },
      signal: new AbortController().signal,
    };
    return await life.process.guard(Promise.resolve(executeStatement(parsed.statement, context)));
  }

  async handle(name: string, request: unknown): Promise<unknown> {
    const life = this.#life;
    if (life === undefined || !this.isReady) throw new SqlError('SERVER_SHUTDOWN');
    const call = request as { readonly from: BackendId; readonly request: unknown };
    return await life.ports(call.from).call(name as FrontendCallName, call.request as never, {
      timeoutMs: 10_000,
    });
  }

  async #open(process: SimProcess): Promise<Life> {
    const { options, random, logFor, plant } = this.world;
    const { clock } = process;
    const log = logFor(process);
    const catalog = await Catalog.open({
      dir: this.dir,
      clock,
      random,
      log,
      holder: process.name,
      dropGraceMs: 1000,
    });
    // Killed while it opened: nobody else would close it.
    if (process.isDead) catalog.abandon();
    else this.#catalog = catalog;
    const config = new Config(options.serverConfig);
    const registry = new BackendRegistry(clock, config);
    const agents = this.#agents(process);
    const isDown = (backendId: number): boolean =>
      this.backends.get(backendId as BackendId)?.isRunning !== true;
    const transport = plant.transport(agents, isDown);
    const holds = new SnapshotHolds();
    const board = new ReplicaBoard();
    const syncStats = new SyncStats(clock);
    const basis = {
      catalog,
      config,
      clock,
      random,
      log,
      registry,
      transport,
      holds,
      board,
      syncStats,
    };
    const hotspots = new HotspotCollector(basis);
    const events = new EventDelivery({ ...basis, stats: syncStats });
    // Listens to the catalog from its first moment on.
    void new SourceCache(basis);
    const compactions = new CompactionScheduler(basis);
    const warmUps = new WarmUpJobs({ ...basis, hotspots, events });
    const matchedTables = new MatchedTables(basis);
    const loads = new LoadCoordinator(basis);
    const replicaUpkeep = new ReplicaUpkeep(basis);
    const cooldown = new Cooldown(basis);
    const replicaRepair = new ReplicaRepair({
      ...basis,
      liveness: new BackendLiveness(basis.registry, clock),
      onEmptied: async (backend) => {
        await backends.drop(backend);
      },
    });
    const alters = new AlterJobs(basis);
    const access = new AccessControl(catalog);
    const logins = new LoginGuard(basis);
    const passwords = new PasswordCheck(access, logins, basis);
    await access.load();
    const backends = new BackendControl({
      ...basis,
      agents,
      clusterToken: '',
      clusterId: '',
      dataDir: this.dir,
      host: 'sim',
    });
    const services: Services = {
      ...basis,
      access,
      logins,
      // Sessions and their statements are no part of the simulation.
      audit: undefined as never,
      accountUse: new AccountUse(clock),
      backends,
      warmUps,
      matchedTables,
      hotspots,
      dynamicPartitions: new DynamicPartitions(basis),
      loads,
      replicaUpkeep,
      replicaRepair,
      cooldown,
      alters,
      compactions,
      cacheStats: new CacheStatsBoard(transport, clock),
      locks: new NamedLocks(clock),
      jobProcesses: new JobProcesses({
        catalog,
        clock,
        warmUps,
        alters,
        replicaRepair,
        cooldown,
      }),
      // No statement of the workload asks for connections.
      connections: undefined as never,
      statements: new StatementCounts(),
      metrics: async () => await Promise.resolve([]),
      startedMs: clock.now(),
    };
    const ports = frontendPorts({ ...basis, access, loads, warmUps, cooldown, passwords });
    const garbage = new GarbageCollector(basis);
    const workers = [
      warmUps,
      loads,
      replicaUpkeep,
      cooldown,
      alters,
      hotspots,
      garbage,
      compactions,
      matchedTables,
    ];
    return { process, catalog, services, ports, workers };
  }

  /** Stands for the host of the embedded backends, and carries messages to them. */
  #agents(process: SimProcess): EmbeddedAgents {
    const { network } = this.world;
    const transport: AgentTransport = {
      call: async (backendId, name, request, { timeoutMs, signal }) =>
        (await network.call({
          from: process,
          to: this.#backend(backendId),
          line: `be-${backendId}`,
          name,
          request,
          timeoutMs,
          signal,
          lost: () =>
            new SqlError('AGENT_LOST', {
              backend: backendId,
              what: name,
              why: `nothing within ${timeoutMs} ms`,
            }),
        })) as never,
    };
    const host = {
      ...transport,
      isRunning: (backendId: BackendId): boolean => this.#backend(backendId).isRunning,
      start: async ({ backendId }: { readonly backendId: BackendId }) => {
        await process.guard(this.#backend(backendId).start());
        return { httpPort: backendId };
      },
      stop: async (backendId: BackendId) => {
        await process.guard(this.#backend(backendId).stop());
      },
      kill: async (backendId: BackendId) => {
        this.#backend(backendId).kill();
        await Promise.resolve();
      },
    };
    // The class has private members; these are all its users call.
    return host as unknown as EmbeddedAgents;
  }

  #backend(backendId: BackendId): SimBackend {
    const known = this.backends.get(backendId) ?? this.#makeBackend(backendId);
    this.backends.set(backendId, known);
    return known;
  }
}
