/**
 * Small scopes: a few replicas, versions and terms, and all runs with up to a number of things that
 * go otherwise: a message overtakes others, a call has another fate, a process dies or stands still
 * at an await, an operator gives the tablet another leader.
 */
import type { SimProcess } from '../virtual_time.ts';
import { type BucketCall, FATES, type Fate } from './bucket.ts';
import { type ChosenFault, ChoiceTime } from './choice_time.ts';
import type { ExploredRun, Scenario } from './explorer.ts';
import type { Expected } from './liveness.ts';
import { ModelWorld } from './model_world.ts';
import type { WorldOptions } from './world_core.ts';
import { type CoolPlant, NOTHING_PLANTED } from './plants.ts';

const FAULT_KINDS = ['crash', 'pause', 'lead', 'server', 'fate', 'disk'] as const;
export type FaultKind = (typeof FAULT_KINDS)[number];

export interface Scope {
  readonly backends: number;
  /** Rows of each load before data is cold; 0: an empty rowset. */
  readonly loads: readonly number[];
  /** Rows of each load after the first cooling; more versions. */
  readonly later: readonly number[];
  readonly faults: readonly FaultKind[];
  readonly agentConfig?: Readonly<Record<string, string>>;
}

/** A process that dies or stands still comes back after the server has taken it for dead. */
const AWAY_MS = 8000;
/** How long things may go otherwise, and how long they have to come right, milliseconds. */
const EXPLORED_MS = 12_000;
const SETTLE_MS = 700_000;
/** Most changes of leaders by an operator: with the first term three. */
const LEADS_MAX = 2;

const COMPACTING = {
  cold_data_compaction_thread_num: '1',
  cold_data_compaction_interval_sec: '2',
  cold_data_compaction_score_threshold: '2',
} as const;

export const SCOPES = {
  'two-replicas': {
    backends: 2,
    loads: [3, 0],
    later: [2],
    faults: ['crash', 'pause', 'lead', 'fate'],
  },
  'three-replicas': { backends: 3, loads: [2], later: [1], faults: ['crash', 'lead', 'fate'] },
  compaction: {
    backends: 2,
    loads: [2, 1],
    later: [1],
    faults: ['crash', 'pause', 'lead', 'fate'],
    agentConfig: COMPACTING,
  },
  'server-failover': { backends: 2, loads: [2], later: [1], faults: ['server', 'crash'] },
  'one-replica': { backends: 1, loads: [1, 0, 2], later: [1], faults: ['crash', 'fate'] },
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
  return async (choose) => {
    const time = new ChoiceTime();
    const isOpen = { value: false };
    const fate = (call: BucketCall): Fate => {
      if (!isOpen.value || !scope.faults.includes('fate')) return 'ok';
      const fates = fatesOf(call);
      return fates.length === 1 ? 'ok' : (fates[choose(fates)] ?? 'ok');
    };
    const { backends, agentConfig = {} } = scope;
    const options: WorldOptions = { seed: 1, backends, tablets: 1, time, fate, plant, agentConfig };
    const world = new ModelWorld(print === undefined ? options : { ...options, print });
    try {
      await world.setUp();
      for (const rows of scope.loads) await world.load(rows);
      const chosen = new ScopeFaults(world, scope);
      time.choose = choose;
      time.faults = (next) => (isOpen.value ? chosen.of(next.owner, next.label) : []);
      isOpen.value = true;
      await world.go(EXPLORED_MS / 2);
      for (const rows of scope.later) await world.load(rows);
      await world.go(EXPLORED_MS / 2);
      isOpen.value = false;
      time.choose = (): number => 0;
      chosen.heal();
      const failure = world.problem ?? (await world.settled(IN_THE_END, SETTLE_MS));
      return { failure, fingerprint: world.trace.digest() } satisfies ExploredRun;
    } finally {
      world.close();
    }
  };
}

/** What may happen to a call; reads have fewer fates. */
function fatesOf({ name, key, conditional }: BucketCall): readonly Fate[] {
  if (name === 'list' || name === 'head') return ['ok'];
  if (name === 'get') return ['ok', '5xx'];
  if (name === 'delete') return ['ok', 'reply-lost', 'not-applied'];
  if (!key.endsWith('.dat')) {
    return conditional ? ['ok', 'reply-lost', 'not-applied', '412-own', '409'] : ['ok'];
  }
  return FATES;
}

class ScopeFaults {
  readonly #world: ModelWorld;
  readonly #scope: Scope;
  #leads = 0;

  constructor(world: ModelWorld, scope: Scope) {
    this.#world = world;
    this.#scope = scope;
  }

  /** Instead of the next event: only what makes a difference just there. */
  of(owner: SimProcess | undefined, label: string): readonly ChosenFault[] {
    const { faults } = this.#scope;
    const chosen: ChosenFault[] = [];
    for (const [at, backend] of this.#world.backends.entries()) {
      const process = backend.process;
      if (process === undefined || process.state !== 'running') continue;
      if (owner !== process && !label.startsWith(`${process.name} `)) continue;
      if (label.endsWith('heartbeat timer')) continue;
      if (faults.includes('crash')) {
        chosen.push({ label: `${backend.name} dies before ${label}`, act: () => this.#crash(at) });
      }
      if (faults.includes('disk')) {
        const act = (): void => {
          backend.loseDisk();
          this.#crash(at);
        };
        chosen.push({ label: `${backend.name} loses its disk before ${label}`, act });
      }
      if (faults.includes('pause')) {
        const act = (): void => {
          process.hang();
          this.#world.time.schedule(AWAY_MS, 'goes on', () => {
            process.resume();
          });
        };
        chosen.push({ label: `${backend.name} stands still before ${label}`, act });
      }
      if (faults.includes('lead') && this.#leads < LEADS_MAX) {
        const act = (): void => this.#lead((at + 1) % this.#world.backends.length);
        chosen.push({ label: `another leader than ${backend.name} before ${label}`, act });
      }
    }
    const { process } = this.#world.server;
    if (faults.includes('server') && owner === process && process?.state === 'running') {
      const act = (): void => {
        this.#world.server.crash();
        this.#world.time.schedule(2000, 'server starts', () => {
          this.#world.server.start();
        });
      };
      chosen.push({ label: `the server dies before ${label}`, act });
    }
    return chosen;
  }

  /** Who is away comes back. */
  heal(): void {
    for (const backend of this.#world.backends) {
      backend.process?.resume();
      backend.start();
    }
    this.#world.server.start();
  }

  #crash(at: number): void {
    const backend = this.#world.backend(at);
    backend.kill();
    this.#world.time.schedule(AWAY_MS, 'starts again', () => {
      backend.start();
    });
  }

  #lead(at: number): void {
    this.#leads += 1;
    void this.#world.server.lead(this.#world.tabletId(), this.#world.replicaId(at));
  }
}
