/**
 * A run drawn from a seed: tables, loads, changes of leaders and tables, and faults of every kind
 * at once; then no more faults, and everything must come right.
 */
import type { Failure } from '../simulation.ts';
import { promiseJobs } from '../quiet.ts';
import { SeededRandom } from '../seeded_random.ts';
import type { SimEvent, SimProcess } from '../virtual_time.ts';
import type { BucketCall, Fate } from './bucket.ts';
import type { CoolBackend } from './cool_backend.ts';
import { ModelWorld } from './model_world.ts';
import { People, type PeopleOptions, drawPeople } from './people.ts';
import { RealWorld } from './real_world.ts';
import { COOL_PLANTS, type CoolPlantName } from './plants.ts';

export interface CoolRunOptions {
  readonly backends: number;
  readonly tablets: number;
  readonly events: number;
  /** Mean pause between two events, milliseconds. */
  readonly pauseMs: number;
  readonly ttlSeconds: number;
  readonly skewMsMax: number;
  readonly serverSkewMsMax: number;
  readonly hasMd5Etags: boolean;
  readonly compacts: boolean;
  /** Only with the real control plane. */
  readonly people: PeopleOptions;
  /** Tables that get no policy at first. */
  readonly unbound: number;
  /** Whether the bucket has conditional writes. */
  readonly hasConditions: boolean;
  readonly drops: boolean;
  /** Probabilities per call of the bucket. */
  readonly fates: Readonly<Partial<Record<Fate, number>>>;
  /** Probabilities per message. */
  readonly network: {
    readonly drop: number;
    readonly duplicate: number;
    readonly replyLost: number;
    readonly slow: number;
  };
  /** Mean milliseconds between two faults of a kind; 0: none. */
  readonly faults: {
    readonly crashMs: number;
    readonly pauseMs: number;
    readonly cutMs: number;
    readonly diskMs: number;
    readonly serverMs: number;
    readonly serverPauseMs: number;
    readonly twinMs: number;
  };
}

/** Who elects: the real control plane, or the model of one, which is quicker. */
export type ControlKind = 'real' | 'model';

export interface CoolRunResult {
  readonly seed: number;
  readonly options: CoolRunOptions;
  readonly failure: Failure | undefined;
  readonly digest: string;
  readonly lastLines: readonly string[];
  readonly counts: Readonly<Record<string, number>>;
}

export interface CoolRunRequest {
  readonly seed: number;
  readonly events?: number;
  readonly plant: CoolPlantName;
  readonly control: ControlKind;
  readonly print?: (line: string) => void;
}

/** Longest that the phase without faults may take, virtual milliseconds. */
const SETTLE_MS = 1_500_000;
const PROMISE_JOBS_BITS_MAX = 8;
/** Makes another stream of chance out of the same seed. */
const PEOPLE = 0x7065_6f70;

/** `people` draws what came later to the runs, so that seeds that found something still find it. */
export function drawCoolOptions(
  random: SeededRandom,
  people: SeededRandom,
  events?: number,
): CoolRunOptions {
  const maybe = <T>(value: T, otherwise: T): T => (random.chance(0.5) ? value : otherwise);
  const drawn = random.between(10, 30);
  return {
    backends: random.between(2, 4),
    tablets: random.between(1, 3),
    events: events ?? drawn,
    pauseMs: random.one([300, 1500, 4000]),
    ttlSeconds: random.one([0, 2, 6]),
    skewMsMax: maybe(random.one([500, 60_000]), 0),
    hasMd5Etags: random.chance(0.5),
    compacts: random.chance(0.6),
    people: drawPeople(people),
    serverSkewMsMax: people.chance(0.3) ? people.one([500, 60_000]) : 0,
    unbound: people.chance(0.2) ? 1 : 0,
    hasConditions: people.chance(0.8),
    drops: random.chance(0.3),
    fates: {
      'reply-lost': maybe(random.one([0.02, 0.1]), 0),
      '5xx': maybe(random.one([0.02, 0.1]), 0),
      'not-applied': maybe(random.one([0.02, 0.1]), 0),
      '412-own': maybe(0.05, 0),
      '409': maybe(0.05, 0),
      'half-written': random.chance(0.3) ? 0.05 : 0,
    },
    network: {
      drop: maybe(random.one([0.02, 0.1]), 0),
      duplicate: maybe(random.one([0.05, 0.2]), 0),
      replyLost: maybe(random.one([0.02, 0.1]), 0),
      slow: maybe(random.one([0.05, 0.2]), 0),
    },
    faults: {
      crashMs: maybe(random.one([4000, 15_000]), 0),
      pauseMs: maybe(random.one([5000, 20_000]), 0),
      cutMs: maybe(random.one([5000, 20_000]), 0),
      diskMs: random.chance(0.3) ? 20_000 : 0,
      serverMs: maybe(random.one([5000, 20_000]), 0),
      serverPauseMs: people.chance(0.3) ? people.one([5000, 20_000]) : 0,
      twinMs: random.chance(0.15) ? 20_000 : 0,
    },
  };
}

export async function simulateCooldown(request: CoolRunRequest): Promise<CoolRunResult> {
  const { seed, events, plant, print, control } = request;
  const random = new SeededRandom(seed);
  const people = new SeededRandom(seed ^ PEOPLE);
  const drawn = drawCoolOptions(random.fork(), people, events);
  const options = COOL_PLANTS[plant].holdsFrom === 'lookup' ? drawn : muchRead(drawn);
  const World = control === 'real' ? RealWorld : ModelWorld;
  const world = new World({
    seed: random.int(2 ** 31),
    backends: options.backends,
    tablets: options.tablets,
    unbound: options.unbound,
    ttlSeconds: options.ttlSeconds,
    skewMsMax: options.skewMsMax,
    serverSkewMsMax: options.serverSkewMsMax,
    plant: COOL_PLANTS[plant],
    agentConfig: agentConfig(options, random),
    ...(print === undefined ? {} : { print }),
  });
  world.bucket.hasMd5Etags = options.hasMd5Etags;
  world.bucket.hasConditions = options.hasConditions || control === 'model';
  try {
    const run = new RandomRun(world, options, random, people);
    const failure = await run.run();
    return {
      seed,
      options,
      failure,
      digest: world.trace.digest(),
      lastLines: world.trace.last,
      counts: {
        ...run.counts,
        ...world.queries.ends,
        rows: world.queries.rows,
        virtualMs: Math.round(world.time.nowMs),
        checks: [...world.watch.checks.values()].reduce((sum, count) => sum + count, 0),
      },
    };
  } finally {
    world.close();
  }
}

/** Where a defect shows only to queries, there are many, and something to be collected. */
function muchRead(drawn: CoolRunOptions): CoolRunOptions {
  const people = { ...drawn.people, readMs: 500, readPauseMs: 10_000 };
  return { ...drawn, tablets: 1, compacts: true, ttlSeconds: 0, people };
}

function agentConfig(
  { compacts }: CoolRunOptions,
  random: SeededRandom,
): Readonly<Record<string, string>> {
  return {
    cold_data_compaction_thread_num: compacts ? '1' : '0',
    cold_data_compaction_interval_sec: random.one(['2', '10']),
    cold_data_compaction_score_threshold: random.one(['2', '4']),
    cooldown_thread_num: random.one(['1', '5']),
    object_store_retries: random.one(['0', '1', '3']),
    cooldown_garbage_grace_seconds: random.one(['5', '10', '20']),
  };
}

class RandomRun {
  readonly counts: Record<string, number> = { loads: 0, faults: 0 };
  readonly #world: RealWorld | ModelWorld;
  readonly #options: CoolRunOptions;
  readonly #random: SeededRandom;
  readonly #people: People | undefined;
  readonly #twins = new Set<number>();
  #isCalm = true;
  /** A backend dies so many promise jobs after its next event. */
  #armed: { readonly backend: CoolBackend; readonly jobs: number } | undefined;

  constructor(
    world: RealWorld | ModelWorld,
    options: CoolRunOptions,
    random: SeededRandom,
    people: SeededRandom,
  ) {
    this.#world = world;
    this.#options = options;
    this.#random = random.fork();
    this.#people =
      world instanceof RealWorld ? new People(world, options.people, people.fork()) : undefined;
  }

  async run(): Promise<Failure | undefined> {
    const world = this.#world;
    await world.setUp();
    world.afterEvent = async (event) => {
      await this.#dieInTheMiddle(event);
    };
    this.#faultsBegin();
    this.#people?.begin();
    for (let event = 0; event < this.#options.events; event += 1) {
      await world.go(this.#random.around(this.#options.pauseMs));
      if (world.problem !== undefined) return world.problem;
      this.#event();
    }
    await world.go(this.#random.around(5000));
    this.#faultsEnd();
    const expected = {
      isAllCold: true,
      isCollected: true,
      isFaultless: false,
      uploadFactorMax: 1,
    };
    return (
      world.problem ??
      (await this.#people?.end()) ??
      (await world.settled(expected, SETTLE_MS)) ??
      (await this.#people?.readAll())
    );
  }

  // -- what people do

  #event(): void {
    // A second process of a replica that is gone may upload whenever it likes.
    const { tablets, drops, faults } = this.#options;
    const random = this.#random;
    const at = random.int(tablets);
    const what = random.int(20);
    if (what < 13) {
      this.counts['loads'] = (this.counts['loads'] ?? 0) + 1;
      this.#world.startLoad(random.one([0, 1, 2, 5]), at);
    } else if (what < 17) this.#lead(at);
    else if (what === 17) {
      const backend = random.pick(this.#world.backends);
      backend?.cooldown?.coolNow([this.#world.tabletId(at)]);
    } else if (drops && faults.twinMs === 0 && at > 0)
      this.#world.server.drop(this.#world.tabletId(at));
  }

  #lead(at: number): void {
    const { server } = this.#world;
    const tabletId = this.#world.tabletId(at);
    const complete = server.replicas(tabletId).filter(({ isComplete }) => isComplete);
    const chosen = this.#random.pick(complete);
    if (chosen === undefined || server.visibleVersion(tabletId) === undefined) return;
    void server.lead(tabletId, chosen.replicaId);
  }

  // -- what goes wrong

  #faultsBegin(): void {
    const { faults, network, hasConditions } = this.#options;
    this.#isCalm = false;
    Object.assign(this.#world.network.faults, network);
    this.#world.fate = (call) => this.#fate(call);
    this.#every(faults.crashMs, () => {
      this.#crash();
    });
    this.#every(faults.pauseMs, () => {
      this.#pause(this.#backend()?.process);
    });
    this.#every(faults.cutMs, () => {
      this.#cut();
    });
    this.#every(faults.diskMs, () => {
      this.#loseDisk();
    });
    this.#every(faults.serverMs, () => {
      this.#crashServer();
    });
    this.#every(faults.serverPauseMs, () => {
      this.#pause(this.#world.server.process);
    });
    // Without conditional writes nothing in the bucket keeps two processes of one replica apart.
    this.#every(hasConditions ? faults.twinMs : 0, () => {
      this.#twin();
    });
  }

  #faultsEnd(): void {
    const world = this.#world;
    this.#isCalm = true;
    this.#armed = undefined;
    Object.assign(world.network.faults, { drop: 0, duplicate: 0, replyLost: 0, slow: 0 });
    world.fate = (): Fate => 'ok';
    world.network.healAll();
    world.killTwins();
    for (const backend of world.backends) {
      backend.process?.resume();
      if (world.isMember(backend)) backend.start();
    }
    world.server.process?.resume();
    world.server.start();
    world.trace.note(world.time.nowMs, 'no more faults');
  }

  #every(meanMs: number, act: () => void): void {
    if (meanMs === 0) return;
    this.#world.time.schedule(this.#random.around(meanMs), 'fault', () => {
      if (this.#isCalm) return;
      this.counts['faults'] = (this.counts['faults'] ?? 0) + 1;
      act();
      this.#every(meanMs, act);
    });
  }

  #fate({ name, conditional, key }: BucketCall): Fate {
    for (const [fate, probability] of Object.entries(this.#options.fates)) {
      if (!this.#random.chance(probability)) continue;
      if (fate === '412-own' && !conditional) continue;
      if (fate === '409' && !conditional) continue;
      if (fate === 'half-written' && (name !== 'put' || !key.endsWith('.dat'))) continue;
      return fate as Fate;
    }
    return 'ok';
  }

  #backend(): CoolBackend | undefined {
    return this.#random.pick(this.#world.backends.filter(({ isRunning }) => isRunning));
  }

  #crash(): void {
    const backend = this.#backend();
    if (backend === undefined) return;
    if (this.#random.chance(0.3)) this.#kill(backend);
    else {
      const jobs = this.#random.int(2 ** this.#random.int(PROMISE_JOBS_BITS_MAX + 1));
      this.#armed = { backend, jobs };
    }
  }

  async #dieInTheMiddle({ owner }: SimEvent): Promise<void> {
    const armed = this.#armed;
    if (armed === undefined || owner === undefined || owner !== armed.backend.process) return;
    await promiseJobs(armed.jobs);
    this.#armed = undefined;
    this.#kill(armed.backend);
  }

  #kill(backend: CoolBackend): void {
    backend.kill();
    this.#startLater(backend);
  }

  #startLater(backend: CoolBackend): void {
    this.#world.time.schedule(this.#random.around(5000), 'backend restart', () => {
      if (this.#world.isMember(backend)) backend.start();
    });
  }

  /** Longer than it takes to be counted dead, or than a lease goes on. */
  #pause(process: SimProcess | undefined): void {
    if (process?.state !== 'running') return;
    this.#world.trace.note(this.#world.time.nowMs, `${process.name} stands still`);
    process.hang();
    this.#world.time.schedule(this.#random.around(8000), 'goes on', () => {
      process.resume();
    });
  }

  #cut(): void {
    const backend = this.#backend();
    if (backend === undefined) return;
    this.#world.network.cut(backend.name);
    this.#world.time.schedule(this.#random.around(6000), 'healed', () => {
      this.#world.network.heal(backend.name);
    });
  }

  /** One disk at a time, and only while all that it has is on another one too. */
  #loseDisk(): void {
    const backend = this.#backend();
    const { server } = this.#world;
    if (backend === undefined) return;
    for (const { tabletId, version } of backend.list()) {
      const visible = server.visibleVersion(tabletId);
      const others = this.#world.backends.filter((one) => {
        const state = one.get(tabletId);
        return one !== backend && state !== undefined && state.version >= version;
      });
      const complete = others.filter((one) =>
        server.replicas(tabletId).some((place) => {
          const isIts = place.replicaId === one.get(tabletId)?.replicaId;
          return isIts && place.isComplete && one.get(tabletId)?.version === visible;
        }),
      );
      if (visible !== undefined && complete.length === 0) return;
    }
    backend.loseDisk();
    this.#startLater(backend);
  }

  #crashServer(): void {
    this.#world.server.crash();
    this.#world.time.schedule(this.#random.around(2000), 'server restart', () => {
      this.#world.server.start();
    });
  }

  #twin(): void {
    const place = this.#random.int(this.#options.backends);
    if (this.#world.backend(place).isRunning && !this.#twins.has(place)) {
      this.#twins.add(place);
      this.#world.twin(place);
    }
  }
}
