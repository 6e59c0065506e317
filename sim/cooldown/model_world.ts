/**
 * A small world: the model of a control plane, real replica stores and real cooldown engines, one
 * bucket. Scenarios are written with it as plain code, and explored or run with drawn faults.
 */
import { mkdtempSync, rmSync, existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type {
  BackendId,
  ReplicaId,
  ResourceId,
  StoragePolicyId,
  TabletId,
} from '../../base/ids.ts';
import { id } from '../../base/ids.ts';
import type { Log } from '../../base/ports.ts';
import type { Failure } from '../simulation.ts';
import { untilQuiet } from '../quiet.ts';
import { SeededRandom } from '../seeded_random.ts';
import { SimNetwork } from '../sim_network.ts';
import { Trace } from '../trace.ts';
import { type SimEvent, type SimProcess, VirtualTime } from '../virtual_time.ts';
import { Bucket, type BucketCall, type Fate } from './bucket.ts';
import { BucketView } from './bucket_view.ts';
import { Content } from './content.ts';
import { CoolBackend } from './cool_backend.ts';
import { LIFE_IS_OVER } from './life_guard.ts';
import { type Expected, unsettled } from './liveness.ts';
import { type Journal, ModelServer, type ModelTablet, RULES } from './model_server.ts';
import { type CoolPlant, NOTHING_PLANTED } from './plants.ts';
import { type DiskSeen, History, type Seen } from './seen.ts';
import { CooldownWatch } from './watch.ts';

export const RESOURCE = id<ResourceId>(900);
const POLICY = id<StoragePolicyId>(901);
const FIRST_TABLET = 1000;
/** A run that takes more goes round in circles. */
const STEPS_MAX = 200_000;

export interface ModelOptions {
  readonly seed: number;
  readonly backends: number;
  readonly tablets: number;
  readonly time?: VirtualTime;
  readonly plant?: CoolPlant;
  readonly print?: (line: string) => void;
  readonly fate?: (call: BucketCall) => Fate;
  readonly agentConfig?: Readonly<Record<string, string>>;
  /** Seconds after which data is cold. */
  readonly ttlSeconds?: number;
  /** Largest amount that a backend's wall clock is off, milliseconds. */
  readonly skewMsMax?: number;
}

/** Short times, so that a scenario is over in a virtual minute. */
const AGENT_CONFIG = {
  generate_cooldown_task_interval_sec: '1',
  report_tablet_interval_seconds: '1',
  remove_unused_remote_files_interval_sec: '15',
  confirm_unused_remote_files_interval_sec: '2',
  cooldown_garbage_grace_seconds: '10',
  cold_data_compaction_thread_num: '0',
  heartbeat_interval_ms: '1000',
  object_store_retries: '1',
} as const;

export class ModelWorld {
  readonly time: VirtualTime;
  readonly trace: Trace;
  readonly bucket = new Bucket();
  readonly server: ModelServer;
  readonly backends: CoolBackend[] = [];
  readonly network: SimNetwork;
  readonly watch: CooldownWatch;
  readonly history = new History();
  readonly content = new Content();
  readonly journal: Journal;
  readonly #twins: CoolBackend[] = [];
  readonly #dir: string;
  readonly #options: ModelOptions;
  readonly #graceMs: number;
  #unheard: string | undefined;
  #steps = 0;
  #loads = 0;
  readonly #onUnhandled = (error: unknown): void => {
    if (error instanceof Error && error.message === LIFE_IS_OVER) return;
    this.#unheard ??= error instanceof Error ? (error.stack ?? error.message) : String(error);
  };

  /** Called after an event was fired and before anything settles: where crashes at an await are. */
  afterEvent: (event: SimEvent) => Promise<void> = async () => {
    await Promise.resolve();
  };
  /** What becomes of a call of the bucket. */
  fate: (call: BucketCall) => Fate;

  constructor(options: ModelOptions) {
    this.#options = options;
    this.fate = options.fate ?? ((): Fate => 'ok');
    this.#dir = mkdtempSync(
      join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'thermocline-cool-'),
    );
    const random = new SeededRandom(options.seed);
    this.time = options.time ?? new VirtualTime();
    this.trace = new Trace(options.print);
    const quiet = { drop: 0, duplicate: 0, replyLost: 0, delayMs: 2, slow: 0, slowMs: 500 };
    this.network = new SimNetwork(this.time, random.fork(), this.trace, quiet);
    this.watch = new CooldownWatch(this.bucket, () => this.seen());
    const ttl = options.ttlSeconds ?? 3;
    this.journal = {
      tablets: new Map(),
      leads: new Map(),
      outcomes: new Map(),
      policy: {
        policyId: POLICY,
        version: 1,
        resourceId: RESOURCE,
        cooldown: { kind: 'ttl', seconds: ttl },
      },
      nextId: 1,
    };
    const draws = random.fork();
    const agentConfig = { ...AGENT_CONFIG, ...options.agentConfig };
    this.#graceMs = Number(agentConfig.cooldown_garbage_grace_seconds) * 1000;
    const writeMs = (): number => 0.5 + draws.fraction();
    const latencyMs = (): number => 1 + draws.around(3);
    this.server = new ModelServer({
      time: this.time,
      trace: this.trace,
      network: this.network,
      random: random.fork(),
      content: this.content,
      watch: this.watch,
      backends: () => this.backends,
      journal: this.journal,
      writeMs,
      deletePrefix: async (process, prefix) => {
        await this.#deletePrefix(process, prefix, latencyMs);
      },
      rules: { ...RULES, ...options.plant?.rules },
      deadMs: 5000,
      tickMs: 1000,
    });
    for (let at = 1; at <= options.backends; at += 1) {
      const backend = new CoolBackend(id<BackendId>(at), {
        dir: this.#dir,
        time: this.time,
        trace: this.trace,
        network: this.network,
        bucket: this.bucket,
        random: random.fork(),
        plant: options.plant ?? NOTHING_PLANTED,
        server: this.server,
        watch: this.watch,
        agentConfig,
        logFor: (process) => this.#logFor(process),
        fate: (call) => this.fate(call),
        latencyMs,
        writeMs,
        skewMsMax: options.skewMsMax ?? 0,
        backend: (backendId) => this.backends.find((one) => one.backendId === backendId),
      });
      this.backends.push(backend);
    }
    options.plant?.bucketRules(this.bucket);
    process.on('unhandledRejection', this.#onUnhandled);
  }

  close(): void {
    process.off('unhandledRejection', this.#onUnhandled);
    this.server.crash();
    for (const backend of [...this.backends, ...this.#twins]) backend.close();
    rmSync(this.#dir, { recursive: true, force: true });
  }

  seen(): Seen {
    return {
      nowMs: this.time.nowMs,
      bucket: this.bucket,
      control: this.server,
      disks: (): readonly DiskSeen[] => [...this.backends, ...this.#twins],
      content: this.content,
      history: this.history,
      graceMs: this.#graceMs,
    };
  }

  get problem(): Failure | undefined {
    if (this.#unheard !== undefined) {
      return {
        invariant: 'nothing-fails-inside',
        claim: 'No promise is rejected unheard, no part meets an error that it did not expect.',
        problem: this.#unheard,
      };
    }
    return this.watch.problem;
  }

  // -- time

  /** Until `done`, or a problem, or `msMax` have passed. True: `done`. */
  async until(done: () => boolean, msMax: number): Promise<boolean> {
    const endMs = this.time.nowMs + msMax;
    await untilQuiet();
    while (!done()) {
      if (this.problem !== undefined || this.time.nowMs >= endMs) return false;
      this.#steps += 1;
      if (this.#steps > STEPS_MAX) this.#unheard ??= `${STEPS_MAX} steps, and no end`;
      const event = this.time.step(endMs);
      if (event !== undefined) {
        this.trace.tick(event.atMs, event.label);
        await this.afterEvent(event);
      }
      if (!(await untilQuiet())) this.#unheard ??= 'something goes round in circles';
    }
    return true;
  }

  async go(ms: number): Promise<void> {
    await this.until(() => false, ms);
  }

  /** Lets something that was begun come to its end. */
  async finish<T>(work: Promise<T>, msMax = 20_000): Promise<T | undefined> {
    let result: { readonly value: T } | undefined;
    void work.then((value) => {
      result = { value };
    });
    await this.until(() => result !== undefined, msMax);
    return result?.value;
  }

  /** All is well in the end; else the first thing that is not. */
  async settled(expected: Expected, msMax: number): Promise<Failure | undefined> {
    await this.until(() => unsettled(this.seen(), expected) === undefined, msMax);
    return this.problem ?? unsettled(this.seen(), expected);
  }

  // -- things to do

  /** Servers and backends start, tablets are made with a replica on each backend. */
  async setUp(): Promise<void> {
    this.server.start();
    for (const backend of this.backends) backend.start();
    for (let at = 0; at < this.#options.tablets; at += 1) await this.#makeTablet(at);
    const { policy } = this.journal;
    for (const backend of this.backends) {
      const resources = [{ resourceId: RESOURCE, version: 1 }];
      await backend.handle('pushStoragePolicies', { policies: [policy], resources, dropped: [] });
    }
    await this.until(() => this.backends.every((each) => this.server.knows(each.backendId)), 5000);
  }

  tabletId(at = 0): TabletId {
    return id<TabletId>(FIRST_TABLET + at);
  }

  replicaId(backendAt: number, tabletAt = 0): ReplicaId {
    return id<ReplicaId>(10_000 + tabletAt * 100 + backendAt + 1);
  }

  backend(at: number): CoolBackend {
    const found = this.backends[at];
    if (found === undefined) throw new RangeError(`no backend ${at}`);
    return found;
  }

  async load(rows: number, at = 0): Promise<boolean> {
    return (await this.finish(this.#load(rows, at))) ?? false;
  }

  /** A load that nobody waits for. */
  startLoad(rows: number, at: number): void {
    void this.#load(rows, at);
  }

  async #load(rows: number, at: number): Promise<boolean> {
    this.#loads += 1;
    const names = Array.from({ length: rows }, (_, row) => `t${at}l${this.#loads}r${row}`);
    return await this.server.load(this.tabletId(at), names);
  }

  killTwins(): void {
    for (const twin of this.#twins.splice(0)) twin.close();
  }

  /** A second process on a copy of a backend's disk. */
  twin(at: number): CoolBackend {
    const twin = this.backend(at).twin();
    this.#twins.push(twin);
    twin.start();
    return twin;
  }

  async #makeTablet(at: number): Promise<void> {
    const tabletId = this.tabletId(at);
    const partitionId = id<ModelTablet['partitionId']>(2000 + at);
    const replicas = this.backends.map(({ backendId }, place) => ({
      replicaId: this.replicaId(place, at),
      backendId,
    }));
    this.journal.tablets.set(tabletId, {
      tabletId,
      partitionId,
      replicas,
      visibleVersion: 1,
      isDropped: false,
    });
    this.history.tablets.add(tabletId);
    for (const [place, backend] of this.backends.entries()) {
      const replica = {
        tabletId,
        replicaId: this.replicaId(place, at),
        tableId: 3000,
        partitionId,
        indexId: 4000,
        policyId: POLICY,
      };
      await backend.handle('createReplicas', { replicas: [replica] });
    }
  }

  async #deletePrefix(process: SimProcess, prefix: string, latencyMs: () => number): Promise<void> {
    const { bucket, time } = this;
    const view = new BucketView({
      bucket,
      time,
      process,
      actor: { name: process.name, disk: undefined },
      random: new SeededRandom(1),
      retries: 1,
      latencyMs,
      fate: () => 'ok',
      note: () => undefined,
    });
    for await (const page of view.list(prefix)) await view.delete(page.map(({ key }) => key));
  }

  #logFor(process: SimProcess): Log {
    const say =
      (level: string) =>
      (event: string, fields?: object): void => {
        if (process.isDead) return;
        const text = `${process.name}: ${event} ${JSON.stringify(fields ?? {})}`;
        this.trace.note(this.time.nowMs, text);
        if (level === 'error') this.#unheard ??= text;
      };
    const log: Log = {
      debug: () => undefined,
      info: say('info'),
      warn: say('warn'),
      error: say('error'),
      child: () => log,
    };
    return log;
  }
}
