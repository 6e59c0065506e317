/**
 * The whole control plane: the real catalog on real SQLite, the real jobs, executors and parser in
 * several lives, and backends with replicas. What people do, they say in SQL.
 */
import type { AgentTransport } from '../../base/agent_messages.ts';
import { type ErrorName, SqlError } from '../../base/errors.ts';
import type { BackendId, ReplicaId, TabletId } from '../../base/ids.ts';
import type { SqlRow, StatementResult } from '../../base/values.ts';
import { SnapshotHolds } from '../../jobs/snapshot_holds.ts';
import { whileHeld } from '../../server/held_rows.ts';
import { RecentScans } from '../../server/recent_scans.ts';
import type { ScanRows } from '../../server/select/table_provider.ts';
import { userTable } from '../../server/user_tables.ts';
import type { Plant } from '../plants.ts';
import { PLANTS } from '../plants.ts';
import type { SimBackend } from '../sim_backend.ts';
import { SimServer } from '../sim_server.ts';
import type { Failure } from '../simulation.ts';
import { CatalogControl } from './catalog_control.ts';
import { LIVENESS, type LivenessClaim } from './control_invariants.ts';
import type { CoolBackend } from './cool_backend.ts';
import { NOTHING_PLANTED } from './plants.ts';
import type { Query, QueryPlan } from './queries.ts';
import type { ControlSeen } from './seen.ts';
import type { FrontendCalls } from '../../base/agent_messages.ts';
import { SECRET, WorldCore, type WorldOptions } from './world_core.ts';

/** Short times, so that a run is over in some virtual minutes. */
const SERVER_CONFIG: Readonly<Record<string, string>> = {
  cooldown_leader_dead_seconds: '3',
  tablet_repair_delay_seconds: '60',
  tablet_schedule_interval_ms: '1000',
  push_cooldown_conf_timeout_second: '30',
  max_backend_heartbeat_failure_tolerance_count: '3',
  replica_write_lag_ms: '1000',
  garbage_grace_ms: '2000',
  shutdown_grace_ms: '1000',
};
const START_MS_MAX = 60_000;
const CALL_MS_MAX = 30_000;
const READ_MS_MAX = 60_000;
/** A backend that died or cannot be reached, a store that does not answer, a table that is gone. */
const MAY_END_A_QUERY: ReadonlySet<ErrorName> = new Set<ErrorName>([
  'AGENT_LOST',
  'NO_SUCH_TABLE',
  'QUERY_INTERRUPTED',
  'REPLICA_NONE_READABLE',
  'SERVER_SHUTDOWN',
  'STORE_FAILED',
]);

/** The server as it is, and those who watch what it says. */
class WatchedServer extends SimServer {
  onConfirmed: (
    request: FrontendCalls['confirmUnusedRemoteFiles']['request'],
    reply: FrontendCalls['confirmUnusedRemoteFiles']['reply'],
  ) => void = () => undefined;

  nextSkewMs: () => number = () => 0;

  protected override skewMs(): number {
    return this.nextSkewMs();
  }

  override async start(): Promise<void> {
    if (this.isRunning) return;
    await super.start();
    if (this.isReady) this.services?.replicaRepair.start();
  }

  override async handle(name: string, message: unknown): Promise<unknown> {
    const reply = await super.handle(name, message);
    if (name === 'confirmUnusedRemoteFiles') {
      const { request } = message as { readonly request: never };
      this.onConfirmed(request, reply as never);
    }
    return reply;
  }
}

export class RealWorld extends WorldCore {
  readonly server: RealServer;
  readonly #sim: WatchedServer;
  #control: CatalogControl | undefined;
  #keys = 0;
  /** How often a secret was changed. */
  secrets = 0;

  constructor(options: WorldOptions) {
    super(options);
    this.#sim = new WatchedServer(this.dir, (backendId) =>
      asSimBackend(this.makeBackend(backendId, this.#sim)),
    );
    this.server = new RealServer(this.#sim, this);
    const { serverSkewMsMax = 0 } = options;
    const skews = this.random.fork();
    this.#sim.nextSkewMs = (): number =>
      serverSkewMsMax === 0 ? 0 : skews.int(2 * serverSkewMsMax) - serverSkewMsMax;
    const serverConfig = { ...this.agentConfig, ...SERVER_CONFIG };
    this.#sim.onConfirmed = ({ questions }, { confirmed }): void => {
      this.watch.confirmed(questions, confirmed);
    };
    this.#sim.connect({
      options: { serverConfig, embedded: false } as never,
      time: this.time,
      trace: this.trace,
      network: this.network,
      bucket: undefined as never,
      random: this.random.fork(),
      plant: this.#watching(),
      server: this.#sim,
      logFor: (process) => this.logFor(process),
      onDownload: () => undefined,
    });
  }

  protected override control(): ControlSeen {
    return this.#control ?? NO_CONTROL;
  }

  /** Reads what was committed, before anybody hears of it. */
  protected override stepped(): void {
    const control = this.#control;
    if (control?.changed() !== true) return;
    for (const tabletId of control.tablets()) this.history.tablets.add(tabletId);
    for (const { version, txnId, tablets } of control.newVersions()) {
      for (const tabletId of tablets) this.content.committed(txnId, tabletId, version);
    }
    this.watch.controlChanged();
  }

  protected override stuck(): Failure | undefined {
    const jobs = this.#control?.openJobs() ?? 0;
    const found = ({ name, claim }: LivenessClaim, problem: string): Failure => {
      return { invariant: name, claim, problem };
    };
    if (jobs > 0) return found(LIVENESS.L4, `${jobs} cooldown jobs have not ended`);
    const problem = this.#control?.replicasProblem();
    return problem === undefined ? undefined : found(LIVENESS.L6, problem);
  }

  /** What the catalog says of each backend; empty while there is no catalog. */
  backendStates(): ReadonlyMap<BackendId, string> {
    return this.#control?.backends() ?? new Map();
  }

  override isMember({ backendId }: CoolBackend): boolean {
    return this.#control === undefined || this.backendStates().has(backendId);
  }

  override close(): void {
    this.#sim.crash();
    this.#control?.close();
    super.close();
  }

  /** A calm start: a group, its backends, a resource, a policy and tables. */
  async setUp(): Promise<void> {
    const { backends, tablets, unbound = 0, ttlSeconds = 3 } = this.options;
    void this.#sim.start();
    await this.until(() => this.#sim.isReady, START_MS_MAX);
    this.#control = new CatalogControl(this.#sim.catalogFile);
    await this.#must('CREATE DATABASE d');
    await this.#must('CREATE COMPUTE GROUP g');
    for (let at = 0; at < backends; at += 1) {
      await this.#must('ALTER SYSTEM ADD BACKEND "embedded" TO COMPUTE GROUP g');
    }
    await this.until(() => this.backends.length === backends, START_MS_MAX);
    await this.go(3000);
    for (const name of ['r', 'r2']) await this.finish(this.createResource(name));
    const ttl = `"storage_resource"="r", "cooldown_ttl"="${ttlSeconds}"`;
    const later = `"storage_resource"="r", "cooldown_ttl"="${ttlSeconds + 20}"`;
    const elsewhere = `"storage_resource"="r2", "cooldown_ttl"="${ttlSeconds}"`;
    await this.#must(`CREATE STORAGE POLICY p PROPERTIES(${ttl})`);
    await this.#must(`CREATE STORAGE POLICY q PROPERTIES(${later})`);
    await this.#must(`CREATE STORAGE POLICY o PROPERTIES(${elsewhere})`);
    for (let at = 0; at < tablets; at += 1) {
      const columns = '(k BIGINT NOT NULL, v BIGINT) DUPLICATE KEY(k)';
      const policy = at >= tablets - unbound ? '' : ', "storage_policy"="p"';
      const placed = `"replication_num"="${Math.min(3, backends)}"${policy}`;
      const layout = `DISTRIBUTED BY HASH(k) BUCKETS 1 PROPERTIES(${placed})`;
      await this.#must(`CREATE TABLE d.t${at} ${columns} ${layout}`);
    }
    await this.go(3000);
  }

  /** Without trying out its store, which is none of this process; it may be there already. */
  async createResource(name: string): Promise<unknown> {
    const { services, process } = this.#sim;
    if (services === undefined || process === undefined || !this.#sim.isReady) {
      return new SqlError('SERVER_SHUTDOWN');
    }
    const { resources } = services.catalog;
    const create = async (): Promise<unknown> =>
      (await resources.find(name)) ??
      (await resources.create(name, {
        store: {
          kind: 's3',
          endpoint: 'http://sim',
          region: 'sim',
          bucket: 'sim',
          rootPath: '',
          accessKey: 'known',
          secretKey: this.secret,
          usePathStyle: true,
        },
        validityCheck: false,
        conditionalWrites: this.bucket.hasConditions ? 'true' : 'false',
      }));
    return await process.guard(create());
  }

  /** The present one of the resources. */
  get secret(): string {
    return `${SECRET}${this.secrets}`;
  }

  /** The tablet of table number `at`; tables have one each. */
  tabletId(at = 0): TabletId {
    return this.tabletIds[at] ?? (0 as TabletId);
  }

  /** By table number, dropped ones included. */
  get tabletIds(): readonly TabletId[] {
    return [...this.history.tablets].sort((a, b) => a - b);
  }

  startLoad(rows: number, at: number): void {
    const values = Array.from({ length: Math.max(1, rows) }, () => {
      this.#keys += 1;
      return `(${this.#keys}, 1)`;
    });
    this.say(`INSERT INTO d.t${at} VALUES ${values.join(', ')}`);
  }

  /** A SELECT of all rows of a table that may fail; nobody waits for it. */
  startRead(at: number, plan: QueryPlan): void {
    void this.#read(at, plan);
  }

  /** Why not all rows of a table can be read now; undefined: they can. */
  async whyUnreadable(at: number): Promise<string | undefined> {
    const plan = { waitMs: 0, pauseMs: 0, batchesMax: Number.POSITIVE_INFINITY };
    const end = await this.finish(this.#read(at, plan), READ_MS_MAX);
    if (end === 'whole') return undefined;
    return end === undefined ? 'no answer' : String(end);
  }

  /**
   * As a session does it: the version is decided on and held, some time later the table is scanned,
   * and rows are taken as slowly as the client is.
   */
  async #read(at: number, plan: QueryPlan): Promise<'whole' | 'left' | Error> {
    const { process } = this.#sim;
    const query = this.queries.begin(() => process?.isDead === false);
    this.trace.note(this.time.nowMs, `> query ${query.number}: SELECT k FROM d.t${at}`);
    let end: 'whole' | 'left' | Error;
    try {
      end = await this.#readAs(query, at, plan);
    } catch (error) {
      if (!(error instanceof SqlError) || !MAY_END_A_QUERY.has(error.code)) {
        const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
        this.fail(`query ${query.number}: ${text}`);
      }
      end = error instanceof Error ? error : new Error(String(error));
    }
    query.end();
    const outcome = end instanceof Error ? 'failed' : end;
    this.queries.ends[outcome] += 1;
    this.trace.note(this.time.nowMs, `< query ${query.number} ${String(end)}`);
    return end;
  }

  async #readAs(query: Query, at: number, plan: QueryPlan): Promise<'whole' | 'left'> {
    const { services, process } = this.#sim;
    if (services === undefined || process === undefined || !this.#sim.isReady) {
      throw new SqlError('SERVER_SHUTDOWN');
    }
    const { holdsFrom } = this.options.plant ?? NOTHING_PLANTED;
    // Where no collection looks.
    const nowhere = new SnapshotHolds();
    const holds = holdsFrom === 'never' ? nowhere : services.holds;
    const { catalog, clock } = services;
    let tabletId = 0 as TabletId;
    let version = 0;
    const result = await whileHeld(holdsFrom === 'lookup' ? holds : nowhere, async () => {
      const table = await catalog.tables.get('d', `t${at}`);
      tabletId = catalog.tablets.ofTable(table.tableId)[0]?.tabletId ?? tabletId;
      version = table.partitions[0]?.visibleVersion ?? 0;
      await clock.sleep(plan.waitMs);
      const scans = new RecentScans({ ...services, transport: ofQuery(services.transport, query) });
      const readable = userTable({ ...services, holds, scans }, table, 'g');
      const rows = oneColumn(readable.scan(['k'], [], new AbortController().signal));
      return { kind: 'rows', columns: [], rows };
    });
    const rows: string[] = [];
    let batches = 0;
    for await (const batch of result.rows as AsyncIterable<readonly SqlRow[]>) {
      rows.push(...batch.map(([name]) => String(name)));
      batches += 1;
      if (batches >= plan.batchesMax) return 'left';
      await clock.sleep(plan.pauseMs);
    }
    this.watch.wasRead(tabletId, version, rows);
    this.queries.rows += rows.length;
    return 'whole';
  }

  /** Runs a statement that may fail; nobody waits for it. */
  say(sql: string): void {
    void this.tell(sql);
  }

  async #must(sql: string): Promise<void> {
    const outcome = await this.finish(this.tell(sql), START_MS_MAX);
    if (outcome === undefined || outcome instanceof Error) {
      throw new Error(`${sql}: ${String(outcome)}`);
    }
  }

  /** What the server answers, or why it does not. */
  async tell(sql: string): Promise<StatementResult | Error> {
    this.trace.note(this.time.nowMs, `> ${sql}`);
    try {
      const result = await this.#sim.execute(sql, 'g');
      this.watch.said(JSON.stringify(result, bigintText), SECRET);
      this.trace.note(this.time.nowMs, `< ${result.kind}: ${sql}`);
      return result;
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      this.watch.said(text, SECRET);
      this.trace.note(this.time.nowMs, `< ${text}: ${sql}`);
      const isKnown = error instanceof SqlError;
      if (!isKnown) this.fail(error instanceof Error ? (error.stack ?? text) : text);
      return error instanceof Error ? error : new Error(text);
    }
  }

  /** No bug: it only looks at what goes by. */
  #watching(): Plant {
    return {
      ...PLANTS.none,
      transport: (honest) => ({
        call: async (backendId, name, request, options) => {
          if (name === 'pushCooldownConf') {
            this.stepped();
            const { confs } = request as { readonly confs: never };
            this.watch.pushed(confs);
          }
          // A connection that gives no sign of life is closed long before a clone's time is over.
          const timeoutMs = Math.min(options.timeoutMs, CALL_MS_MAX);
          return await honest.call(backendId, name, request, { ...options, timeoutMs });
        },
      }),
    };
  }
}

/** The server as runs use it. */
export class RealServer {
  readonly #sim: WatchedServer;
  readonly #world: RealWorld;

  constructor(sim: WatchedServer, world: RealWorld) {
    this.#sim = sim;
    this.#world = world;
  }

  get process(): WatchedServer['process'] {
    return this.#sim.process;
  }

  start(): void {
    void this.#sim.start();
  }

  crash(): void {
    this.#sim.crash();
  }

  replicas(tabletId: TabletId): ReturnType<ControlSeen['replicas']> {
    return this.#world.seen().control.replicas(tabletId);
  }

  visibleVersion(tabletId: TabletId): number | undefined {
    return this.#world.seen().control.visibleVersion(tabletId);
  }

  lead(tabletId: TabletId, replicaId: ReplicaId): void {
    this.#world.say(`ADMIN SET COOLDOWN LEADER FOR TABLET ${tabletId} TO REPLICA ${replicaId}`);
  }

  drop(tabletId: TabletId): void {
    const at = [...this.#world.history.tablets].sort((a, b) => a - b).indexOf(tabletId);
    this.#world.say(`DROP TABLE d.t${at} FORCE`);
  }
}

/** Calls of backends that say which query they are for. */
function ofQuery(honest: AgentTransport, { number: query }: Query): AgentTransport {
  return {
    call: async (backendId, name, request, options) =>
      await honest.call(backendId, name, { ...request, query }, options),
  };
}

async function* oneColumn(batches: AsyncIterable<ScanRows>): AsyncGenerator<readonly SqlRow[]> {
  for await (const { columns } of batches) yield (columns[0] ?? []).map((value) => [value]);
}

const NO_CONTROL: ControlSeen = {
  leads: () => new Map(),
  replicas: () => [],
  visibleVersion: () => undefined,
  hasResource: () => true,
  hasPolicy: () => true,
};

function bigintText(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value;
}

/** What the server asks of a backend's process. */
function asSimBackend(backend: CoolBackend): SimBackend {
  const host = {
    backendId: backend.backendId,
    name: backend.name,
    get process() {
      return backend.process;
    },
    get isRunning() {
      return backend.isRunning;
    },
    start: async (): Promise<void> => {
      backend.start();
      await Promise.resolve();
    },
    stop: async (): Promise<void> => {
      backend.kill();
      await Promise.resolve();
    },
    kill: (): void => {
      backend.kill();
    },
    handle: async (name: string, request: unknown): Promise<unknown> =>
      await backend.handle(name, request),
  };
  return host as unknown as SimBackend;
}
