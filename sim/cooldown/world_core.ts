/**
 * What every world of cooldown has: time, network, bucket, backends and those who watch them. Who
 * the control plane is, the worlds say themselves.
 */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BackendId } from '../../base/ids.ts';
import type { Log } from '../../base/ports.ts';
import { untilQuiet } from '../quiet.ts';
import { SeededRandom } from '../seeded_random.ts';
import { type Endpoint, SimNetwork } from '../sim_network.ts';
import type { Failure } from '../simulation.ts';
import { Trace } from '../trace.ts';
import { type SimEvent, type SimProcess, VirtualTime } from '../virtual_time.ts';
import { Bucket, type BucketCall, type Fate } from './bucket.ts';
import { Content } from './content.ts';
import { CoolBackend } from './cool_backend.ts';
import { LIFE_IS_OVER } from './life_guard.ts';
import { type Expected, unsettled } from './liveness.ts';
import { type CoolPlant, NOTHING_PLANTED } from './plants.ts';
import { Queries } from './queries.ts';
import { type ControlSeen, type DiskSeen, History, type Seen } from './seen.ts';
import { CooldownWatch } from './watch.ts';

/** A run that takes more goes round in circles. */
const STEPS_MAX = 400_000;
/** In no line of a log and in no answer. */
export const SECRET = 'dontSayThisKeyToAnybody';
/** better-sqlite3's words for a catalog that a crash has closed. */
const CLOSED_UNDER_IT = 'The database connection is not open';

export interface WorldOptions {
  readonly seed: number;
  readonly backends: number;
  readonly tablets: number;
  /** Of these the last ones that get no policy at first. */
  readonly unbound?: number;
  readonly time?: VirtualTime;
  /** Absent: drawn from the seed. */
  readonly random?: SeededRandom;
  readonly plant?: CoolPlant;
  readonly print?: (line: string) => void;
  readonly fate?: (call: BucketCall) => Fate;
  readonly agentConfig?: Readonly<Record<string, string>>;
  /** Without a heartbeat for so long a backend is taken for dead, by the model of a server. */
  readonly deadMs?: number;
  /** Seconds after which data is cold. */
  readonly ttlSeconds?: number;
  /** Largest amount that a backend's wall clock is off, milliseconds. */
  readonly skewMsMax?: number;
  /** The same, of the server's. */
  readonly serverSkewMsMax?: number;
}

/** Short times, so that a scenario is over in a virtual minute. */
const AGENT_CONFIG: Readonly<Record<string, string>> = {
  generate_cooldown_task_interval_sec: '1',
  report_tablet_interval_seconds: '1',
  remove_unused_remote_files_interval_sec: '15',
  confirm_unused_remote_files_interval_sec: '2',
  cooldown_garbage_grace_seconds: '10',
  cold_data_compaction_thread_num: '0',
  heartbeat_interval_ms: '1000',
  object_store_retries: '1',
};

export abstract class WorldCore {
  readonly time: VirtualTime;
  readonly trace: Trace;
  readonly bucket = new Bucket();
  readonly backends: CoolBackend[] = [];
  readonly network: SimNetwork;
  readonly watch: CooldownWatch;
  readonly history = new History();
  readonly content = new Content();
  readonly queries = new Queries();
  /** Called after an event was fired and before anything settles: where crashes at an await are. */
  afterEvent: (event: SimEvent) => Promise<void> = async () => {
    await Promise.resolve();
  };
  /** What becomes of a call of the bucket. */
  fate: (call: BucketCall) => Fate;
  protected readonly options: WorldOptions;
  #dir: string | undefined;
  protected readonly random: SeededRandom;
  protected readonly agentConfig: Readonly<Record<string, string>>;
  /** How long a durable step takes, and one way to the bucket; milliseconds. */
  protected readonly writeMs: () => number;
  protected readonly latencyMs: () => number;
  readonly #twins: CoolBackend[] = [];
  #unheard: string | undefined;
  #steps = 0;
  readonly #onUnhandled = (error: unknown): void => {
    const over = [LIFE_IS_OVER, CLOSED_UNDER_IT];
    // What a dead process had begun: it would not be there to meet this.
    if (error instanceof Error && over.includes(error.message)) return;
    this.fail(error instanceof Error ? (error.stack ?? error.message) : String(error));
  };

  constructor(options: WorldOptions) {
    this.options = options;
    this.fate = options.fate ?? ((): Fate => 'ok');
    this.random = options.random ?? new SeededRandom(options.seed);
    this.time = options.time ?? new VirtualTime();
    this.trace = new Trace(options.print);
    const quiet = { drop: 0, duplicate: 0, replyLost: 0, delayMs: 2, slow: 0, slowMs: 500 };
    this.network = new SimNetwork(this.time, this.random.fork(), this.trace, quiet);
    this.watch = new CooldownWatch(this.bucket, () => this.seen());
    const draws = this.random.fork();
    this.agentConfig = { ...AGENT_CONFIG, ...options.agentConfig };
    this.writeMs = (): number => 0.5 + draws.fraction();
    this.latencyMs = (): number => 1 + draws.around(3);
    options.plant?.bucketRules(this.bucket);
    process.on('unhandledRejection', this.#onUnhandled);
  }

  /** For the files of the control plane. */
  protected get dir(): string {
    const root = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
    this.#dir ??= mkdtempSync(join(root, 'thermocline-cool-'));
    return this.#dir;
  }

  /** What the control plane has on its disk. */
  protected abstract control(): ControlSeen;

  /** Called after each step; what is durable may have changed. */
  protected stepped(): void {
    // Nothing to look at.
  }

  close(): void {
    process.off('unhandledRejection', this.#onUnhandled);
    for (const backend of [...this.backends, ...this.#twins]) backend.close();
    if (this.#dir !== undefined) rmSync(this.#dir, { recursive: true, force: true });
  }

  seen(): Seen {
    return {
      nowMs: this.time.nowMs,
      bucket: this.bucket,
      control: this.control(),
      disks: (): readonly DiskSeen[] => [...this.backends, ...this.#twins],
      content: this.content,
      history: this.history,
      queries: this.queries,
      graceMs: Number(this.agentConfig['cooldown_garbage_grace_seconds']) * 1000,
    };
  }

  get problem(): Failure | undefined {
    if (this.#unheard === undefined) return this.watch.problem;
    return {
      invariant: 'nothing-fails-inside',
      claim: 'No promise is rejected unheard, no part meets an error that it did not expect.',
      problem: this.#unheard,
    };
  }

  // -- time

  /** Until `done`, or a problem, or `msMax` have passed. True: `done`. */
  async until(done: () => boolean, msMax: number): Promise<boolean> {
    const endMs = this.time.nowMs + msMax;
    await untilQuiet();
    while (!done()) {
      if (this.problem !== undefined || this.time.nowMs >= endMs) return false;
      this.#steps += 1;
      if (this.#steps > STEPS_MAX) this.fail(`${STEPS_MAX} steps, and no end`);
      const event = this.time.step(endMs);
      if (event !== undefined) {
        this.trace.tick(event.atMs, event.label);
        await this.afterEvent(event);
      }
      if (!(await untilQuiet())) this.fail('something goes round in circles');
      this.stepped();
    }
    return true;
  }

  async go(ms: number): Promise<void> {
    await this.until(() => false, ms);
  }

  /** Lets something that was begun come to its end; undefined: it did not, in time. */
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
    const isSettled = (): boolean =>
      unsettled(this.seen(), expected) === undefined && this.stuck() === undefined;
    await this.until(isSettled, msMax);
    return this.problem ?? unsettled(this.seen(), expected) ?? this.stuck();
  }

  /** What of the control plane has not come to its end. */
  protected stuck(): Failure | undefined {
    return undefined;
  }

  // -- backends

  backend(at: number): CoolBackend {
    const found = this.backends[at];
    if (found === undefined) throw new RangeError(`no backend ${at}`);
    return found;
  }

  /** Whether the control plane still knows it. */
  isMember(_backend: CoolBackend): boolean {
    return true;
  }

  /** A second process on a copy of a backend's disk. */
  twin(at: number): CoolBackend {
    const twin = this.backend(at).twin();
    this.#twins.push(twin);
    twin.start();
    return twin;
  }

  killTwins(): void {
    for (const twin of this.#twins.splice(0)) twin.close();
  }

  protected makeBackend(backendId: BackendId, server: Endpoint): CoolBackend {
    const backend = new CoolBackend(backendId, {
      time: this.time,
      trace: this.trace,
      network: this.network,
      bucket: this.bucket,
      random: this.random.fork(),
      plant: this.options.plant ?? NOTHING_PLANTED,
      server,
      watch: this.watch,
      content: this.content,
      queries: this.queries,
      agentConfig: this.agentConfig,
      logFor: (process) => this.logFor(process),
      fate: (call) => this.fate(call),
      latencyMs: this.latencyMs,
      writeMs: this.writeMs,
      skewMsMax: this.options.skewMsMax ?? 0,
      backend: (one) => this.backends.find((each) => each.backendId === one),
    });
    this.backends.push(backend);
    return backend;
  }

  /** A warning is part of life; an error is something that a part did not expect. */
  protected logFor(process: SimProcess): Log {
    const say =
      (level: string) =>
      (event: string, fields?: object): void => {
        if (process.isDead) return;
        const text = `${process.name}: ${event} ${JSON.stringify(fields ?? {})}`;
        this.watch.said(text, SECRET);
        this.trace.note(this.time.nowMs, text);
        if (level === 'error') this.fail(text);
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

  protected fail(problem: string): void {
    this.#unheard ??= problem;
  }
}
