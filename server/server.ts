/** The composition root: makes every part, in order, and takes them down in the reverse order. */
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { Config } from '../base/config.ts';
import { isConfigKey } from '../base/config.ts';
import { isLoopback } from '../base/http_access.ts';
import { ROOT } from '../base/privileges.ts';
import { SqlError } from '../base/errors.ts';
import { NamedLocks } from './named_locks.ts';
import { JobProcesses } from './job_processes.ts';
import { HttpServer } from '../base/http_server.ts';
import type { BackendId } from '../base/ids.ts';
import type { LogLevel } from '../base/json_log.ts';
import type { Clock, Log, Random } from '../base/ports.ts';
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
import { BackendLiveness } from '../jobs/backend_liveness.ts';
import { ReplicaRepair } from '../jobs/replica_repair.ts';
import { ReplicaBoard } from '../jobs/replica_board.ts';
import { ReplicaUpkeep } from '../jobs/replica_upkeep.ts';
import { SnapshotHolds } from '../jobs/snapshot_holds.ts';
import { SourceCache } from '../jobs/source_cache.ts';
import { SyncStats } from '../jobs/sync_stats.ts';
import { WarmUpJobs } from '../jobs/warm_up_jobs.ts';
import { AccessControl } from './access/access_control.ts';
import { AccountUse } from './access/account_use.ts';
import { LoginGuard } from './access/login_guard.ts';
import { AuditLog } from './audit/audit_log.ts';
import { AgentConfig } from './agent_config.ts';
import { AgentGateway } from './agent_gateway.ts';
import { AgentRouter } from './agent_router.ts';
import { BackendControl } from './backend_control.ts';
import { CacheStatsBoard } from './cache_stats_board.ts';
import { ensureClusterToken } from './cluster_token.ts';
import { EmbeddedAgents } from './embedded_agents.ts';
import { frontendPorts } from './frontend_calls.ts';
import { httpRoutes } from './http.ts';
import { SALT_BYTES, isAuthString, makeCachingSha2 } from './mysql/passwords.ts';
import { MysqlListener } from './mysql/listener.ts';
import { PasswordCheck } from './password_check.ts';
import { admitBackend } from './remote_backends.ts';
import { Selects } from './selects.ts';
import type { ServerMetrics } from './server_metrics.ts';
import type { Services } from './services.ts';
import { Sessions } from './sessions.ts';
import { TlsCertificate } from './tls_certificate.ts';
import { followSettings } from './setting_variables.ts';
import { GlobalVariables } from './variables.ts';
import { StatementCounts } from './statement_counts.ts';

export interface ServerOptions {
  readonly dataDir: string;
  /** Address that the MySQL port, HTTP and embedded backends listen on. */
  readonly host: string;
  /** 0 = any free port. */
  readonly mysqlPort: number;
  readonly httpPort: number;
  /** Compute groups of an empty data directory, and how many embedded backends each gets. */
  readonly embedded: ReadonlyMap<string, number>;
  readonly config: Config;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Another server has taken over the data directory: this one must go. */
  readonly onLeaseLost?: () => void;
  /** SHUTDOWN: what SIGTERM does; absent: the statement is not supported. */
  readonly onShutdown?: () => void;
}

export interface Address {
  readonly host: string;
  readonly port: number;
}

export class ThermoclineServer {
  readonly mysql: Address;
  readonly http: Address;
  readonly services: Services;
  readonly #parts: Parts;

  /** Resolves when clients can connect and the backends are up; leaves nothing behind on failure. */
  static async start(options: ServerOptions): Promise<ThermoclineServer> {
    const { clock, random, log, dataDir, host, mysqlPort } = options;
    const holder = `${host}:${mysqlPort}`;
    const lease = options.onLeaseLost === undefined ? {} : { onLeaseLost: options.onLeaseLost };
    const catalog = await Catalog.open({ dir: dataDir, clock, random, log, holder, ...lease });
    const parts = await makeParts(options, catalog);
    try {
      await applyOverrides(options.config, catalog, log);
      await secureRoot(options, parts.services);
      await firstGroups(options, parts);
      // Whoever asks first shall not read that a filter matches nothing.
      parts.matchedTables.start();
      const http = await listenHttp(parts.httpServer, host, options.httpPort);
      const mysql = await parts.listener.listen(host, mysqlPort);
      parts.globals.write('port', mysql.port);
      const socket = options.config.get('socket');
      if (socket !== '') {
        const mode = Number.parseInt(options.config.get('socket_mode'), 8);
        await parts.listener.listenUnix(socket, mode);
      }
      await parts.backends.startAll();
      parts.warmUps.start();
      parts.loads.start();
      parts.replicaUpkeep.start();
      parts.replicaRepair.start();
      parts.cooldown.start();
      parts.alters.start();
      parts.hotspots.start();
      parts.services.dynamicPartitions.start();
      parts.garbage.start();
      await parts.compactions.start();
      return new ThermoclineServer(parts, mysql, http);
    } catch (error) {
      await closeParts(parts, 0);
      throw error;
    }
  }

  private constructor(parts: Parts, mysql: Address, http: Address) {
    this.#parts = parts;
    this.services = parts.services;
    this.mysql = mysql;
    this.http = http;
  }

  /** Running statements get `graceMs` to end; then everything stops. */
  async close(graceMs: number): Promise<void> {
    await closeParts(this.#parts, graceMs);
  }
}

interface Parts {
  readonly catalog: Catalog;
  readonly agents: EmbeddedAgents;
  readonly gateway: AgentGateway;
  readonly backends: BackendControl;
  readonly warmUps: WarmUpJobs;
  readonly loads: LoadCoordinator;
  readonly replicaUpkeep: ReplicaUpkeep;
  readonly replicaRepair: ReplicaRepair;
  readonly cooldown: Cooldown;
  readonly alters: AlterJobs;
  readonly hotspots: HotspotCollector;
  readonly garbage: GarbageCollector;
  readonly compactions: CompactionScheduler;
  readonly events: EventDelivery;
  readonly sourceCache: SourceCache;
  readonly matchedTables: MatchedTables;
  readonly selects: Selects;
  readonly listener: MysqlListener;
  readonly httpServer: HttpServer;
  readonly globals: GlobalVariables;
  readonly services: Services;
}

async function makeParts(options: ServerOptions, catalog: Catalog): Promise<Parts> {
  const { config, clock, random, log, dataDir, host } = options;
  const registry = new BackendRegistry(clock, config);
  const access = new AccessControl(catalog);
  const logins = new LoginGuard({ config, clock, log, catalog });
  const passwords = new PasswordCheck(access, logins, { config, clock });
  await access.load();
  await logins.load();
  const agents: EmbeddedAgents = new EmbeddedAgents({
    clock,
    log,
    logLevel: config.get('log_level') as LogLevel,
    frontend: (backendId) => portOf(backendId),
    onCrash: (error) => {
      backends.crashed(error);
    },
  });
  const clusterToken = ensureClusterToken(dataDir, random);
  const clusterId = await catalog.clusterIdentity.ensure(freshClusterId(random));
  const gateway: AgentGateway = new AgentGateway({
    clock,
    random,
    log,
    clusterToken,
    admit: async (request, peer) => {
      const isAlive = (backendId: BackendId): boolean =>
        gateway.hasSession(backendId) && registry.isAlive(backendId);
      return await admitBackend({ catalog, config, log, clusterId, isAlive }, request, peer);
    },
    frontend: (backendId) => portOf(backendId),
    onLeave: (backendId) => {
      registry.forget(backendId);
    },
  });
  const holds = new SnapshotHolds();
  const board = new ReplicaBoard();
  const syncStats = new SyncStats(clock);
  const audit = new AuditLog({ dir: join(dataDir, 'log'), config, clock, log });
  const shared = {
    catalog,
    access,
    audit,
    logins,
    config,
    clock,
    random,
    log,
    registry,
    holds,
    board,
    syncStats,
    transport: new AgentRouter(agents, gateway),
  };
  const hotspots = new HotspotCollector(shared);
  const dynamicPartitions = new DynamicPartitions(shared);
  const events = new EventDelivery({ ...shared, stats: syncStats });
  const sourceCache = new SourceCache(shared);
  void new AgentConfig(shared);
  const warmUps = new WarmUpJobs({ ...shared, hotspots, events });
  const loads = new LoadCoordinator(shared);
  const replicaUpkeep = new ReplicaUpkeep(shared);
  const cooldown = new Cooldown(shared);
  const alters = new AlterJobs(shared);
  const garbage = new GarbageCollector(shared);
  const compactions = new CompactionScheduler(shared);
  const matchedTables = new MatchedTables(shared);
  const cluster = { clusterToken, clusterId };
  const backends = new BackendControl({ ...shared, ...cluster, agents, gateway, dataDir, host });
  const replicaRepair = new ReplicaRepair({
    ...shared,
    liveness: new BackendLiveness(registry, clock),
    onEmptied: async (backend) => {
      log.info('a decommissioned backend is empty and is dropped', { backend: backend.backendId });
      await backends.drop(backend);
    },
  });
  const portOf = frontendPorts({ ...shared, loads, warmUps, cooldown, passwords });
  const globals = globalVariables(config, dataDir);
  // The listener needs the sessions, the sessions need the services, and these the listener's list
  // of connections: the sessions come last and are reached through a function.
  const front: { sessions?: Sessions } = {};
  const listener = new MysqlListener({
    config,
    clock,
    random,
    log,
    tls: new TlsCertificate({ config, clock, log, dataDir }),
    frontDoor: {
      findAccount: async (user, from) => await Promise.resolve(passwords.find(user, from)),
      loginFailed: (user, from) => {
        sessionsOf(front).loginFailed(user, from);
      },
      openSession: async (login, control) => await sessionsOf(front).openSession(login, control),
    },
  });
  const services: Services = {
    ...shared,
    accountUse: new AccountUse(clock),
    backends,
    warmUps,
    matchedTables,
    hotspots,
    dynamicPartitions,
    loads,
    replicaUpkeep,
    replicaRepair,
    cooldown,
    compactions,
    alters,
    cacheStats: new CacheStatsBoard(shared.transport, clock),
    jobProcesses: new JobProcesses({ ...shared, warmUps, alters, replicaRepair, cooldown }),
    connections: listener.connections,
    locks: new NamedLocks(clock),
    shutDown: options.onShutdown,
    statements: new StatementCounts(),
    metrics: async () => (await metrics()).samples(),
    startedMs: clock.now(),
  };
  const selects = new Selects(services);
  const sessions = new Sessions({ services, passwords, globals, selects });
  front.sessions = sessions;
  let loaded: Promise<ServerMetrics> | undefined;
  const metrics = async (): Promise<ServerMetrics> => {
    loaded ??= import('./server_metrics.ts').then((module) => new module.ServerMetrics(services));
    return await loaded;
  };
  const routes = [...httpRoutes({ services, passwords, metrics }), ...gateway.routes()];
  const httpServer = new HttpServer(routes, clock, log);
  return {
    catalog,
    agents,
    gateway,
    backends,
    warmUps,
    loads,
    replicaUpkeep,
    replicaRepair,
    cooldown,
    alters,
    hotspots,
    garbage,
    compactions,
    events,
    sourceCache,
    matchedTables,
    selects,
    listener,
    httpServer,
    globals,
    services,
  };
}

const CLUSTER_ID_BYTES = 16;

function freshClusterId(random: Random): string {
  return Buffer.from(random.bytes(CLUSTER_ID_BYTES)).toString('hex');
}

function sessionsOf(front: { readonly sessions?: Sessions }): Sessions {
  if (front.sessions === undefined) throw new SqlError('SERVER_SHUTDOWN');
  return front.sessions;
}

function globalVariables(config: Config, dataDir: string): GlobalVariables {
  const globals = new GlobalVariables({
    version: config.get('server_version'),
    datadir: dataDir,
    socket: config.get('socket'),
    hostname: hostname(),
    interactive_timeout: config.get('wait_timeout'),
    version_compile_os: process.platform,
    version_compile_machine: process.arch,
  });
  followSettings(globals, config);
  return globals;
}

/** What ADMIN SET ... "persist" stored; the command line and the file win over it. */
async function applyOverrides(config: Config, catalog: Catalog, log: Log): Promise<void> {
  for (const [key, value] of Object.entries(await catalog.configOverrides.all())) {
    if (isConfigKey(key) && config.isSet(key)) continue;
    try {
      config.setLive(key, value);
    } catch (error) {
      log.warn('a stored setting is not used', { key, error: String(error) });
    }
  }
}

async function firstGroups({ embedded, host }: ServerOptions, { catalog }: Parts): Promise<void> {
  if ((await catalog.computeGroups.list()).length > 0) return;
  await catalog.transaction(async (tx) => {
    for (const [name, count] of embedded) {
      await tx.computeGroups.create(name);
      for (let i = 0; i < count; i += 1) {
        await tx.backends.create({
          computeGroupName: name,
          kind: 'embedded',
          host,
          httpPort: 0,
        });
      }
    }
  });
}

/**
 * Root without a password comes in from this machine only. A server that others reach must have
 * one, or be told that it is meant so. Throws an Error whose message says what to do.
 */
async function secureRoot({ host, config, log }: ServerOptions, services: Services): Promise<void> {
  const { access, random } = services;
  const isOpen = (): boolean => access.find(ROOT)?.authString === '';
  const password = config.get('initial_root_password');
  if (isOpen() && password !== '') {
    const isHash = isAuthString('mysql_native_password', password);
    const plugin = isHash ? 'mysql_native_password' : 'caching_sha2_password';
    const salt = random.bytes(SALT_BYTES);
    const authString = isHash ? password : await makeCachingSha2(password, salt);
    await access.change(async (tx) => {
      await tx.accounts.setAuth(ROOT.user, ROOT.host, plugin, authString);
    });
    log.info('root got its first password');
  }
  if (!isOpen()) return;
  if (!isLoopback(host) && !config.get('allow_empty_root_password')) {
    throw new Error(
      `root has no password, and ${host} can be reached from other machines: ` +
        'set initial_root_password (or allow_empty_root_password=true)',
    );
  }
  log.warn("root has no password; it may log in from this machine only (SET PASSWORD = '...')");
}

async function listenHttp(server: HttpServer, host: string, port: number): Promise<Address> {
  try {
    return { host, port: await server.listen(host, port) };
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const why = code === 'EADDRINUSE' ? 'the port is in use' : message;
    throw new Error(`cannot listen for HTTP on ${host}:${port}: ${why}`, { cause: error });
  }
}

/** One grace period for all: what the front door took of it, the backends do not get again. */
async function closeParts(parts: Parts, graceMs: number): Promise<void> {
  const { clock } = parts.services;
  const deadline = clock.monotonic() + graceMs;
  await parts.listener.close(graceMs);
  await parts.services.audit.flush();
  parts.backends.close();
  await Promise.all([
    parts.loads.close(),
    parts.replicaUpkeep.close(),
    parts.replicaRepair.close(),
    parts.cooldown.close(),
    parts.alters.close(),
    parts.hotspots.close(),
    parts.services.dynamicPartitions.close(),
    parts.garbage.close(),
    parts.compactions.close(),
    parts.matchedTables.close(),
    parts.warmUps.close(),
    parts.sourceCache.close(),
  ]);
  await parts.events.close();
  parts.selects.close();
  await parts.agents.close(Math.max(0, deadline - clock.monotonic()));
  // Remote backends ask by HTTP, so it is needed as long as they are.
  parts.gateway.close();
  await parts.httpServer.close(Math.max(0, deadline - clock.monotonic()));
  await parts.catalog.close();
}
