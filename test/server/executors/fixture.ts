/**
 * A session on a real catalog in a temporary directory: SQL in, text out. Backends run only where
 * a test starts them; those of the catalog count as alive when `group` sent their heartbeat.
 */
import { join } from 'node:path';
import type { AgentCallName, AgentCalls, AgentTransport } from '../../../base/agent_messages.ts';
import type { BackendId, ComputeGroupId, JobId } from '../../../base/ids.ts';
import { Config } from '../../../base/config.ts';
import { SqlError } from '../../../base/errors.ts';
import { SILENT_LOG } from '../../../base/ports.ts';
import type { BackendDef, TableDef } from '../../../base/schema.ts';
import { systemRandom } from '../../../base/system_ports.ts';
import type { RowsResult, SqlRow, StatementResult } from '../../../base/values.ts';
import type { Catalog } from '../../../catalog/catalog.ts';
import { AlterJobs } from '../../../jobs/alter_jobs.ts';
import { BackendRegistry } from '../../../jobs/backend_registry.ts';
import { CompactionScheduler } from '../../../jobs/compaction.ts';
import { Cooldown } from '../../../jobs/cooldown.ts';
import { EventDelivery } from '../../../jobs/event_delivery.ts';
import { DynamicPartitions } from '../../../jobs/dynamic_partitions.ts';
import { HotspotCollector } from '../../../jobs/hotspot_collector.ts';
import { LoadCoordinator } from '../../../jobs/loads.ts';
import { MatchedTables } from '../../../jobs/matched_tables.ts';
import { ReplicaBoard } from '../../../jobs/replica_board.ts';
import { BackendLiveness } from '../../../jobs/backend_liveness.ts';
import { ReplicaRepair } from '../../../jobs/replica_repair.ts';
import { ReplicaUpkeep } from '../../../jobs/replica_upkeep.ts';
import { SnapshotHolds } from '../../../jobs/snapshot_holds.ts';
import { SyncStats } from '../../../jobs/sync_stats.ts';
import { WarmUpJobs } from '../../../jobs/warm_up_jobs.ts';
import { parseStatements } from '../../../parser/parse.ts';
import { AccessControl } from '../../../server/access/access_control.ts';
import { AccountUse } from '../../../server/access/account_use.ts';
import { NamedLocks } from '../../../server/named_locks.ts';
import { JobProcesses } from '../../../server/job_processes.ts';
import { LoginGuard } from '../../../server/access/login_guard.ts';
import { AuditLog } from '../../../server/audit/audit_log.ts';
import { BackendControl } from '../../../server/backend_control.ts';
import { CacheStatsBoard } from '../../../server/cache_stats_board.ts';
import { EmbeddedAgents } from '../../../server/embedded_agents.ts';
import type { ExecContext } from '../../../server/executors/executor.ts';
import { executeStatement } from '../../../server/executors/table.ts';
import { ConnectionRegistry } from '../../../server/mysql/connection_registry.ts';
import { Selects } from '../../../server/selects.ts';
import type { Services } from '../../../server/services.ts';
import { SessionState } from '../../../server/session_state.ts';
import { GlobalVariables, SessionVariables } from '../../../server/variables.ts';
import { CatalogFixture } from '../../catalog/fixture.ts';
import { StatementCounts } from '../../../server/statement_counts.ts';

const LIMITS = { maxBytes: 2 ** 20, insertMaxBytes: 2 ** 20, allowMulti: true };

const REPLICA_CALLS = ['createReplicas', 'dropReplicas', 'setPolicies'] as const;
type ReplicaCallName = (typeof REPLICA_CALLS)[number];

export interface ReplicaCall {
  readonly backendId: BackendId;
  readonly name: ReplicaCallName;
  readonly request: AgentCalls[ReplicaCallName]['request'];
}

function isReplicaCall(name: AgentCallName): name is ReplicaCallName {
  return REPLICA_CALLS.some((known) => known === name);
}

export class ShowFixture {
  readonly #files: CatalogFixture;
  readonly catalog: Catalog;
  readonly config = new Config();
  readonly registry: BackendRegistry;
  readonly services: Services;
  readonly session: SessionState;
  readonly agents: EmbeddedAgents;
  /** What backends were told of their replicas: they agree to everything. */
  readonly replicaCalls: ReplicaCall[] = [];
  readonly #selects: Selects;
  readonly #events: EventDelivery;

  private constructor(files: CatalogFixture, catalog: Catalog) {
    const { clock } = files;
    this.#files = files;
    this.catalog = catalog;
    this.registry = new BackendRegistry(clock, this.config);
    this.agents = new EmbeddedAgents({
      clock,
      log: SILENT_LOG,
      logLevel: 'silent',
      frontend: () => {
        throw new SqlError('SERVER_SHUTDOWN');
      },
      onCrash: () => undefined,
    });
    const shared = {
      catalog,
      config: this.config,
      clock,
      random: systemRandom,
      log: SILENT_LOG,
      registry: this.registry,
      holds: new SnapshotHolds(),
      board: new ReplicaBoard(),
      transport: this.#transport(),
      syncStats: new SyncStats(clock),
    };
    const hotspots = new HotspotCollector(shared);
    this.#events = new EventDelivery({ ...shared, stats: shared.syncStats });
    const warmUps = new WarmUpJobs({ ...shared, hotspots, events: this.#events });
    const alters = new AlterJobs(shared);
    const cooldown = new Cooldown(shared);
    const replicaRepair = new ReplicaRepair({
      ...shared,
      liveness: new BackendLiveness(shared.registry, clock),
      onEmptied: async (backend) => {
        await catalog.backends.drop(backend.backendId);
      },
    });
    this.services = {
      ...shared,
      access: new AccessControl(catalog),
      audit: new AuditLog({ ...shared, dir: join(files.dir, 'log') }),
      logins: new LoginGuard(shared),
      accountUse: new AccountUse(clock),
      backends: new BackendControl({
        ...shared,
        agents: this.agents,
        clusterToken: '',
        clusterId: '',
        dataDir: files.dir,
        host: '127.0.0.1',
      }),
      warmUps,
      jobProcesses: new JobProcesses({ ...shared, warmUps, alters, replicaRepair, cooldown }),
      matchedTables: new MatchedTables(shared),
      hotspots,
      dynamicPartitions: new DynamicPartitions(shared),
      loads: new LoadCoordinator(shared),
      replicaUpkeep: new ReplicaUpkeep(shared),
      replicaRepair,
      cooldown,
      compactions: new CompactionScheduler(shared),
      alters,
      cacheStats: new CacheStatsBoard(this.agents, clock),
      connections: new ConnectionRegistry(),
      locks: new NamedLocks(clock),
      statements: new StatementCounts(),
      metrics: async () => await Promise.resolve([]),
      startedMs: clock.now() - 5000,
    };
    this.#selects = new Selects(this.services);
    this.session = new SessionState({
      connectionId: 7,
      user: 'root',
      host: '127.0.0.1',
      database: '',
      variables: new SessionVariables(new GlobalVariables({ port: 9030n })),
    });
  }

  static async open(): Promise<ShowFixture> {
    const files = new CatalogFixture();
    const fixture = new ShowFixture(files, await files.open());
    await fixture.services.access.load();
    fixture.services.matchedTables.start();
    return fixture;
  }

  #transport(): AgentTransport {
    return {
      call: async (backendId, name, request, options) => {
        if (!isReplicaCall(name)) return await this.agents.call(backendId, name, request, options);
        if (!this.registry.isAlive(backendId)) {
          throw new SqlError('AGENT_LOST', { backend: backendId, what: name, why: 'for a test' });
        }
        this.replicaCalls.push({ backendId, name, request: request as ReplicaCall['request'] });
        return {};
      },
    };
  }

  async close(): Promise<void> {
    this.#selects.close();
    await this.services.warmUps.close();
    await this.#events.close();
    await this.services.matchedTables.close();
    await this.agents.close(0);
    await this.#files.remove();
  }

  get clock(): CatalogFixture['clock'] {
    return this.#files.clock;
  }

  /** The data directory. */
  get dir(): string {
    return this.#files.dir;
  }

  get context(): ExecContext {
    const { services, session } = this;
    const { signal } = new AbortController();
    return { services, session, selects: this.#selects, signal };
  }

  /** A session of another account; its database is `database`. */
  as(user: string, database = ''): ExecContext {
    const session = new SessionState({
      connectionId: 8,
      user,
      host: '127.0.0.1',
      database,
      variables: new SessionVariables(new GlobalVariables({ port: 9030n })),
    });
    return { ...this.context, session };
  }

  /** Runs all statements; the result of the last one. */
  async run(sql: string): Promise<StatementResult> {
    let result: StatementResult = { kind: 'ok', affectedRows: 0 };
    for (const { statement } of parseStatements(sql, LIMITS)) {
      result = await executeStatement(statement, this.context);
    }
    return result;
  }

  async rows(sql: string): Promise<{ readonly names: string[]; readonly rows: readonly SqlRow[] }> {
    const { columns, rows } = (await this.run(sql)) as RowsResult;
    for (const row of rows as readonly SqlRow[]) {
      if (row.length !== columns.length) throw new Error('a row of another length');
    }
    return { names: columns.map(({ name }) => name), rows: rows as readonly SqlRow[] };
  }

  /** Names and rows, one a line, cells joined by ` | `. */
  async text(sql: string): Promise<string[]> {
    const { names, rows } = await this.rows(sql);
    return [names, ...rows].map((row) => row.map(String).join(' | '));
  }

  /** Rows as objects by column name. */
  async objects(sql: string): Promise<Record<string, unknown>[]> {
    const { names, rows } = await this.rows(sql);
    return rows.map((row) => Object.fromEntries(names.map((name, at) => [name, row[at]])));
  }

  /** The SqlError's number and text. */
  async error(sql: string): Promise<string> {
    try {
      await this.run(sql);
    } catch (error) {
      if (error instanceof SqlError) return `${error.errno} ${error.message}`;
      throw error;
    }
    return 'no error';
  }

  warnings(): string[] {
    const texts = this.session.warnings.map(
      ({ level, code, message }) => `${level} ${code} ${message}`,
    );
    this.session.clearWarnings();
    return texts;
  }

  async table(db: string, name: string): Promise<TableDef> {
    return await this.catalog.tables.get(db, name);
  }

  /** A group with backends that are alive. */
  async group(name: string, ports: readonly number[]): Promise<readonly BackendDef[]> {
    await this.catalog.computeGroups.create(name);
    const backends: BackendDef[] = [];
    for (const httpPort of ports) {
      const host = '127.0.0.1';
      const backend = { computeGroupName: name, kind: 'embedded' as const, host, httpPort };
      backends.push(await this.catalog.backends.create(backend));
    }
    this.beat(backends);
    return backends;
  }

  /** They are alive now. */
  beat(backends: readonly BackendDef[]): void {
    for (const { backendId, httpPort } of backends) {
      this.registry.heartbeat({
        backendId,
        incarnation: 'one',
        startedMs: this.services.clock.now(),
        httpPort,
        cacheCapacityBytes: 1024,
        cacheUsedBytes: 512,
        diskAvailableBytes: 2048,
        diskTotalBytes: 4096,
      });
    }
  }

  /** Starts a backend of the catalog for real, in the thread of the embedded ones. */
  async start({ backendId }: BackendDef, config: Readonly<Record<string, string>>): Promise<void> {
    const dir = join(this.#files.dir, 'backends', String(backendId));
    const cluster = { clusterToken: '', clusterId: '' };
    const address = { host: '127.0.0.1', httpPort: 0, otherPortWillDo: false, ...cluster };
    await this.agents.start({ backendId, dir, ...address, config });
  }

  /** A ONCE job of one table, as WARM UP makes it. */
  async warmUpJob(dstGroup: string, table: string): Promise<JobId> {
    const job = await this.catalog.warmUpJobs.create({
      kind: 'TABLE',
      srcGroup: null,
      dstGroup,
      syncMode: 'ONCE',
      syncIntervalS: null,
      syncEvent: null,
      tableFilter: null,
      force: false,
      tables: [{ db: 'd', table }],
      epoch: this.catalog.epoch,
    });
    return job.jobId;
  }

  /** Accesses of partitions on one backend, as it would report them. */
  async accesses(
    backend: BackendDef,
    table: TableDef,
    counts: Readonly<Record<string, number>>,
  ): Promise<void> {
    const { backendId, computeGroupName } = backend;
    const computeGroupId: ComputeGroupId = backend.computeGroupId;
    const now = this.services.clock.now();
    await this.catalog.hotspots.add({
      computeGroupId,
      computeGroupName,
      backendId,
      token: `${table.tableId}-${now}`,
      counts: table.partitions.flatMap((partition) => {
        const accesses = counts[partition.name];
        const [index] = table.indexes;
        if (accesses === undefined || index === undefined) return [];
        return [
          {
            tableId: table.tableId,
            indexId: index.indexId,
            partitionId: partition.partitionId,
            day: new Date(now).toISOString().slice(0, 10),
            tableName: `${table.databaseName}.${table.name}`,
            indexName: index.name,
            partitionName: partition.name,
            accesses,
            lastAccessMs: now,
            fileCacheSize: 100,
          },
        ];
      }),
    });
  }
}
