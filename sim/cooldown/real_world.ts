/**
 * The whole control plane: the real catalog on real SQLite, the real jobs, executors and parser in
 * several lives, and backends with replicas. What people do, they say in SQL.
 */
import { SqlError } from '../../base/errors.ts';
import type { ReplicaId, TabletId } from '../../base/ids.ts';
import type { StatementResult } from '../../base/values.ts';
import type { Plant } from '../plants.ts';
import { PLANTS } from '../plants.ts';
import type { SimBackend } from '../sim_backend.ts';
import { SimServer } from '../sim_server.ts';
import type { Failure } from '../simulation.ts';
import { CatalogControl } from './catalog_control.ts';
import { LIVENESS } from './control_invariants.ts';
import type { CoolBackend } from './cool_backend.ts';
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

/** The server as it is, and those who watch what it says. */
class WatchedServer extends SimServer {
  onConfirmed: (
    request: FrontendCalls['confirmUnusedRemoteFiles']['request'],
    reply: FrontendCalls['confirmUnusedRemoteFiles']['reply'],
  ) => void = () => undefined;

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

  constructor(options: WorldOptions) {
    super(options);
    this.#sim = new WatchedServer(this.dir, (backendId) =>
      asSimBackend(this.makeBackend(backendId, this.#sim)),
    );
    this.server = new RealServer(this.#sim, this);
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
    if (jobs === 0) return undefined;
    const { name, claim } = LIVENESS.L4;
    return { invariant: name, claim, problem: `${jobs} cooldown jobs have not ended` };
  }

  override close(): void {
    this.#sim.crash();
    this.#control?.close();
    super.close();
  }

  /** A calm start: a group, its backends, a resource, a policy and tables. */
  async setUp(): Promise<void> {
    const { backends, tablets, ttlSeconds = 3 } = this.options;
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
    const created = this.#sim.services?.catalog.resources.create('r', {
      store: {
        kind: 's3',
        endpoint: 'http://sim',
        region: 'sim',
        bucket: 'sim',
        rootPath: '',
        accessKey: 'known',
        secretKey: SECRET,
        usePathStyle: true,
      },
      validityCheck: false,
      conditionalWrites: 'true',
    });
    if (created !== undefined) await this.finish(created);
    const ttl = `"storage_resource"="r", "cooldown_ttl"="${ttlSeconds}"`;
    await this.#must(`CREATE STORAGE POLICY p PROPERTIES(${ttl})`);
    for (let at = 0; at < tablets; at += 1) {
      const columns = '(k BIGINT NOT NULL, v BIGINT) DUPLICATE KEY(k)';
      const placed = `"replication_num"="${Math.min(3, backends)}", "storage_policy"="p"`;
      const layout = `DISTRIBUTED BY HASH(k) BUCKETS 1 PROPERTIES(${placed})`;
      await this.#must(`CREATE TABLE d.t${at} ${columns} ${layout}`);
    }
    await this.go(3000);
  }

  /** The tablet of table number `at`; tables have one each. */
  tabletId(at = 0): TabletId {
    const tablets = [...this.history.tablets].sort((a, b) => a - b);
    return tablets[at] ?? (0 as TabletId);
  }

  startLoad(rows: number, at: number): void {
    const values = Array.from({ length: Math.max(1, rows) }, () => {
      this.#keys += 1;
      return `(${this.#keys}, 1)`;
    });
    this.say(`INSERT INTO d.t${at} VALUES ${values.join(', ')}`);
  }

  /** Runs a statement that may fail; nobody waits for it. */
  say(sql: string): void {
    void this.#said(sql);
  }

  async #must(sql: string): Promise<void> {
    const outcome = await this.finish(this.#said(sql), START_MS_MAX);
    if (outcome === undefined || outcome instanceof Error) {
      throw new Error(`${sql}: ${String(outcome)}`);
    }
  }

  async #said(sql: string): Promise<StatementResult | Error> {
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

const NO_CONTROL: ControlSeen = {
  leads: () => new Map(),
  replicas: () => [],
  visibleVersion: () => undefined,
  hasResource: () => true,
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
