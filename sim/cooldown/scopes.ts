/**
 * Small scopes: a few replicas, versions and terms, and all runs with up to a number of things that
 * go otherwise: a message comes after all others or a second late, a call has another fate, a
 * process dies or stands still at an await, an operator gives the tablet another leader.
 */
import type { SimProcess } from '../virtual_time.ts';
import { type BucketCall, FATES, type Fate } from './bucket.ts';
import { ChoiceTime, type Otherwise, type PendingEvent } from './choice_time.ts';
import { type ExploredRun, type Guide, Merged, type Scenario } from './explorer.ts';
import { FixedRandom } from './fixed_random.ts';
import type { Expected } from './liveness.ts';
import { ModelWorld } from './model_world.ts';
import { type CoolPlant, NOTHING_PLANTED } from './plants.ts';
import { RunState } from './run_state.ts';
import type { WorldOptions } from './world_core.ts';

/** What may go otherwise; `order` is that something comes later than it could. */
const FAULT_KINDS = ['order', 'crash', 'pause', 'lead', 'server', 'fate'] as const;
export type FaultKind = (typeof FAULT_KINDS)[number];

export interface Scope {
  readonly backends: number;
  /** Rows of each load before data is cold; 0: an empty rowset. */
  readonly loads: readonly number[];
  /** Rows of each load in the middle; more versions. */
  readonly later: readonly number[];
  readonly faults: readonly FaultKind[];
  /** How long things may go otherwise, milliseconds. */
  readonly exploredMs: number;
  readonly agentConfig?: Readonly<Record<string, string>>;
}

/** When a backend is taken for dead; one that dies or stands still comes back after that. */
const DEAD_MS = 2000;
const AWAY_MS = 6000;
/** A server that dies is replaced by another one sooner. */
const SERVER_AWAY_MS = 2000;
/** When data comes that is loaded later. */
const LATER_MS = 1000;
/** How late a message may be. */
const LATE_MS = 1000;
/** How long things have to come right, milliseconds. */
const SETTLE_MS = 700_000;
/** Most changes of leaders by an operator: with the first term three. */
const LEADS_MAX = 2;

/** Everything that happens by itself happens with each step, or soon. */
const SOON = {
  remove_unused_remote_files_interval_sec: '3',
  confirm_unused_remote_files_interval_sec: '1',
  cooldown_garbage_grace_seconds: '2',
} as const;

const COMPACTING = {
  cold_data_compaction_thread_num: '1',
  cold_data_compaction_interval_sec: '1',
  cold_data_compaction_score_threshold: '2',
} as const;

export const SCOPES = {
  /** So small that it can be explored without merging. */
  smallest: {
    backends: 2,
    loads: [1],
    later: [],
    faults: ['order', 'crash', 'pause', 'fate'],
    exploredMs: 2000,
  },
  'two-replicas': {
    backends: 2,
    loads: [3, 0],
    later: [2],
    faults: ['order', 'crash', 'pause', 'lead', 'fate'],
    exploredMs: 5000,
  },
  'three-replicas': {
    backends: 3,
    loads: [2],
    later: [1],
    faults: ['crash', 'lead', 'fate'],
    exploredMs: 5000,
  },
  compaction: {
    backends: 2,
    loads: [2, 1],
    later: [1],
    faults: ['order', 'crash', 'lead', 'fate'],
    exploredMs: 4000,
    agentConfig: COMPACTING,
  },
  'server-failover': {
    backends: 2,
    loads: [2],
    later: [1],
    faults: ['order', 'server', 'crash', 'lead'],
    exploredMs: 5000,
  },
  'one-replica': {
    backends: 1,
    loads: [1, 0, 2],
    later: [1],
    faults: ['order', 'crash', 'fate'],
    exploredMs: 5000,
  },
} as const satisfies Record<string, Scope>;

export type ScopeName = keyof typeof SCOPES;

export function isScopeName(name: string): name is ScopeName {
  return Object.hasOwn(SCOPES, name);
}

const IN_THE_END: Expected = {
  isAllCold: true,
  isCollected: true,
  isFaultless: false,
  uploadFactorMax: 1,
};

export function scopeScenario(
  scope: Scope,
  plant: CoolPlant = NOTHING_PLANTED,
  print?: (line: string) => void,
): Scenario {
  return async (guide) => {
    const run = new ScopeRun(scope, plant, guide, print);
    try {
      return await run.run();
    } catch (error) {
      if (error instanceof Merged) return { failure: undefined, end: undefined };
      throw error;
    } finally {
      run.close();
    }
  };
}

type Phase = 'before' | 'explored' | 'settling';

class ScopeRun {
  readonly #scope: Scope;
  readonly #guide: Guide;
  readonly #time = new ChoiceTime();
  readonly #world: ModelWorld;
  readonly #state: RunState;
  #phase: Phase = 'before';
  #leads = 0;
  /** Of the call that arrives next. */
  #fate: Fate = 'ok';
  #lastMs = 0;

  constructor(scope: Scope, plant: CoolPlant, guide: Guide, print?: (line: string) => void) {
    this.#scope = scope;
    this.#guide = guide;
    const options: WorldOptions = {
      seed: 1,
      backends: scope.backends,
      tablets: 1,
      time: this.#time,
      random: new FixedRandom(),
      fate: () => this.#takeFate(),
      plant,
      agentConfig: { ...SOON, ...scope.agentConfig },
      deadMs: DEAD_MS,
      ttlSeconds: 1,
    };
    this.#world = new ModelWorld(print === undefined ? options : { ...options, print });
    // Else they would tell in which order objects of others were written.
    this.#world.bucket.hasMd5Etags = true;
    this.#state = new RunState(this.#world, this.#time, () => [this.#phase, this.#leads]);
    this.#time.otherwise = (next) => this.#otherwise(next);
    this.#time.choose = (labels, others) => guide.choose(labels, this.#state, others);
  }

  async run(): Promise<ExploredRun> {
    const { loads, later, exploredMs } = this.#scope;
    const world = this.#world;
    await world.setUp();
    for (const rows of loads) await world.load(rows);
    this.#phase = 'explored';
    for (const [at, rows] of later.entries()) {
      this.#time.schedule(LATER_MS, `load ${at}`, () => {
        this.#state.input(world.server.process, `load ${at}`);
        world.startLoad(rows, 0);
      });
    }
    await world.go(exploredMs);
    // Who is away comes back when it is time.
    this.#phase = 'settling';
    const failure = world.problem ?? (await world.settled(IN_THE_END, SETTLE_MS));
    return { failure, end: this.#state.key() };
  }

  close(): void {
    this.#world.close();
  }

  #takeFate(): Fate {
    const fate = this.#fate;
    this.#fate = 'ok';
    return fate;
  }

  #otherwise(next: PendingEvent): readonly Otherwise[] {
    this.#state.settle();
    if (this.#phase === 'before') return [];
    if (this.#phase === 'settling') {
      // Once an instant: nothing is chosen any more, but others may have been here.
      if (this.#lastMs !== this.#time.nowMs) this.#guide.pass(this.#state);
      this.#lastMs = this.#time.nowMs;
      return [];
    }
    if (next.label.includes('heartbeat')) return this.#pauses(next);
    return [...this.#orders(next), ...this.#fates(next), ...this.#deaths(next)];
  }

  /** Messages and calls may be late, and come after what comes later. */
  #orders(next: PendingEvent): readonly Otherwise[] {
    if (!this.#scope.faults.includes('order')) return [];
    const { label } = next;
    const isCall = next.call !== undefined && !/ (timeout|answer) of /.test(label);
    if (!isCall && !label.endsWith(' timer')) return [];
    const time = this.#time;
    const found: Otherwise[] = [];
    if (!time.isAlone(next) && !label.startsWith('arrives ')) {
      const act = (): (() => void) => time.putOff(next);
      found.push({ label: `${label}, after all else`, act, peek: peeked(act) });
    }
    if (isCall && !label.includes(' reads ')) {
      const act = (): (() => void) => time.delay(next, LATE_MS);
      found.push({ label: `${label}, late`, act, peek: peeked(act) });
    }
    return found;
  }

  #fates(next: PendingEvent): readonly Otherwise[] {
    if (!this.#scope.faults.includes('fate') || !next.label.endsWith(' arrives')) return [];
    const { call } = (next.call?.content ?? {}) as { readonly call?: BucketCall };
    if (call === undefined) return [];
    return fatesOf(call).map((fate) => {
      const act = (): void => {
        this.#fate = fate;
      };
      return { label: `${next.label}: ${fate}`, act, fires: true };
    });
  }

  /**
   * Only before events of those whom it concerns: before the events of others it comes to the same.
   */
  #deaths(next: PendingEvent): readonly Otherwise[] {
    const { owner, label } = next;
    const { faults } = this.#scope;
    const chosen: Otherwise[] = [];
    const { backends, server } = this.#world;
    for (const [at, backend] of backends.entries()) {
      const { process, name } = backend;
      if (process?.state !== 'running') continue;
      if (owner !== process) continue;
      if (faults.includes('crash')) {
        const act = (): void => {
          backend.kill();
          this.#comesBack(at);
        };
        const peek = (): string => this.#peekDeath(process, () => this.#comesBack(at));
        chosen.push({ label: `${name} dies before ${label}`, act, peek });
      }
    }
    chosen.push(...this.#pauses(next));
    const { process } = server;
    if (process?.state !== 'running' || owner !== process) return chosen;
    if (faults.includes('lead') && this.#leads < LEADS_MAX) {
      for (const at of backends.keys()) {
        const what = `${this.#world.backend(at).name} is to lead before ${label}`;
        const act = (): void => {
          this.#lead(at);
        };
        if (!this.#isLeader(at)) chosen.push({ label: what, act });
      }
    }
    if (!faults.includes('server')) return chosen;
    const act = (): void => {
      server.crash();
      this.#serverComesBack();
    };
    const peek = (): string => this.#peekDeath(process, () => this.#serverComesBack());
    return [...chosen, { label: `the server dies before ${label}`, act, peek }];
  }

  /** In the middle of something, and before the first timer of an instant, which beats its heart. */
  #pauses({ owner, label }: PendingEvent): readonly Otherwise[] {
    if (!this.#scope.faults.includes('pause') || owner?.name.startsWith('be-') !== true) return [];
    if (label.endsWith(`${owner.name} timer`)) return [];
    const act = (): (() => void) => this.#pause(owner);
    return [{ label: `${owner.name} stands still before ${label}`, act, peek: peeked(act) }];
  }

  #pause(process: SimProcess): () => void {
    process.hang();
    const forget = this.#time.schedule(AWAY_MS, `${process.name} goes on`, () => {
      process.resume();
    });
    return () => {
      forget();
      process.resume();
    };
  }

  #comesBack(at: number): () => void {
    const { name } = this.#world.backend(at);
    return this.#time.schedule(AWAY_MS, `${name} starts again`, () => {
      this.#startBackend(at);
    });
  }

  #serverComesBack(): () => void {
    return this.#time.schedule(SERVER_AWAY_MS, 'server starts', () => {
      this.#startServer();
    });
  }

  #peekDeath(process: SimProcess, comesBack: () => () => void): string {
    const undo = comesBack();
    const key = this.#state.keyWithout(process);
    undo();
    return key;
  }

  #isLeader(at: number): boolean {
    const lead = this.#world.server.leads().get(this.#world.tabletId());
    return lead?.replicaId === this.#world.replicaId(at);
  }

  #lead(at: number): void {
    const { server } = this.#world;
    this.#leads += 1;
    this.#state.input(server.process, `lead ${at}`);
    void server.lead(this.#world.tabletId(), this.#world.replicaId(at));
  }

  #startBackend(at: number): void {
    const backend = this.#world.backend(at);
    if (backend.isRunning) return;
    backend.start();
    this.#state.started(backend.process, [backend.durable, [...backend.disk.files.keys()]]);
  }

  #startServer(): void {
    const { server, journal } = this.#world;
    if (server.isRunning) return;
    server.start();
    this.#state.started(server.process, journal);
  }
}

/** What there is to be said while `act` is done, which is undone. */
function peeked(act: () => () => void): (state: () => string) => string {
  return (state) => {
    const undo = act();
    const text = state();
    undo();
    return text;
  };
}

/** What may happen to a call; reads have fewer fates. */
function fatesOf({ name, key, conditional }: BucketCall): readonly Fate[] {
  if (name === 'list' || name === 'head') return [];
  if (name === 'get') return ['5xx'];
  if (name === 'delete') return ['reply-lost', 'not-applied'];
  if (!key.endsWith('.dat')) {
    return conditional ? ['reply-lost', 'not-applied', '412-own', '409'] : [];
  }
  return FATES.filter((fate) => fate !== 'ok');
}
