/**
 * What people do to tables, policies, resources and backends while data cools: drawn statements, of
 * which many are refused; and in the end what they leave behind, so that it is known what must come
 * of it.
 */
import { SqlError } from '../../base/errors.ts';
import type { Failure } from '../simulation.ts';
import type { SeededRandom } from '../seeded_random.ts';
import { START_MS } from '../virtual_time.ts';
import type { RealWorld } from './real_world.ts';

/** Mean milliseconds between two things of a kind; 0: never. */
export interface PeopleOptions {
  readonly readMs: number;
  readonly policyMs: number;
  readonly replicaMs: number;
  /** Mean time that the client of a query takes for a batch, milliseconds. */
  readonly readPauseMs: number;
}

/** `o` has another resource than the others. */
const POLICIES: readonly [string, ...string[]] = ['p', 'q', 'o'];
const RESOURCE_OF: Readonly<Record<string, string>> = { p: 'r', q: 'r', o: 'r2' };
/** Seconds; what is cold with the last ones only in the end. */
const TTLS: readonly [number, ...number[]] = [1, 3, 10, 60, 3600];
/** Of the last policy of a table: all is cold soon. */
const LAST_TTL_S = 2;
const BACKENDS_MAX = 6;
/** Tries of a statement that must succeed when there are no faults any more. */
const TRIES_MAX = 60;

export function drawPeople(random: SeededRandom): PeopleOptions {
  const maybe = (probability: number, means: readonly [number, ...number[]]): number =>
    random.chance(probability) ? random.one(means) : 0;
  return {
    readMs: maybe(0.6, [1000, 4000]),
    readPauseMs: random.one([50, 2000, 10_000]),
    policyMs: maybe(0.5, [2000, 8000]),
    replicaMs: maybe(0.4, [5000, 15_000]),
  };
}

export class People {
  readonly #world: RealWorld;
  readonly #options: PeopleOptions;
  readonly #random: SeededRandom;
  #isOver = false;

  constructor(world: RealWorld, options: PeopleOptions, random: SeededRandom) {
    this.#world = world;
    this.#options = options;
    this.#random = random;
  }

  begin(): void {
    const { readMs, policyMs, replicaMs } = this.#options;
    this.#everyNow(readMs, 'query', () => {
      this.#read();
    });
    this.#everyNow(policyMs, 'policy', () => {
      this.#world.say(this.#aboutPolicies());
    });
    this.#everyNow(replicaMs, 'replicas', () => {
      this.#world.say(this.#aboutReplicas());
    });
  }

  /** Every table gets a policy with which its data is soon cold, but for a few that have none. */
  async end(): Promise<Failure | undefined> {
    this.#isOver = true;
    const { policyMs, replicaMs } = this.#options;
    return (
      (policyMs === 0 ? undefined : await this.#bindAll()) ??
      (replicaMs === 0 ? undefined : await this.#placeAll())
    );
  }

  /** Every table that is there can be read, as soon as the server has heard of its backends. */
  async readAll(): Promise<Failure | undefined> {
    const world = this.#world;
    for (const [at, tabletId] of world.tabletIds.entries()) {
      if (world.server.visibleVersion(tabletId) === undefined) continue;
      const untilMs = world.time.nowMs + READABLE_MS;
      let why = await world.whyUnreadable(at);
      while (why !== undefined && world.problem === undefined && world.time.nowMs < untilMs) {
        await world.go(READ_AGAIN_MS);
        why = await world.whyUnreadable(at);
      }
      if (world.problem !== undefined) return world.problem;
      if (why !== undefined) return { ...READABLE, problem: `table t${at}: ${why}` };
    }
    return undefined;
  }

  #everyNow(meanMs: number, what: string, act: () => void): void {
    if (meanMs === 0) return;
    this.#world.time.schedule(this.#random.around(meanMs), what, () => {
      if (this.#isOver) return;
      act();
      this.#everyNow(meanMs, what, act);
    });
  }

  #read(): void {
    const random = this.#random;
    this.#world.startRead(random.int(this.#world.tabletIds.length), {
      waitMs: random.one([0, 0, 5, 5000, 30_000]),
      pauseMs: random.around(this.#options.readPauseMs),
      batchesMax: random.chance(0.2) ? random.between(1, 3) : Number.POSITIVE_INFINITY,
    });
  }

  // -- policies and resources

  #aboutPolicies(): string {
    const random = this.#random;
    const policy = random.one(POLICIES);
    const resource = RESOURCE_OF[policy] ?? '';
    const table = `d.t${random.int(this.#world.tabletIds.length)}`;
    const bound = `("storage_policy"="${random.chance(0.3) ? '' : policy}")`;
    switch (random.int(12)) {
      case 0:
        return `DROP STORAGE POLICY ${policy}`;
      case 1:
        return `DROP RESOURCE ${resource}`;
      case 2: {
        const time = `"cooldown_ttl"="${random.one(TTLS)}"`;
        const properties = `"storage_resource"="${resource}", ${time}`;
        return `CREATE STORAGE POLICY IF NOT EXISTS ${policy} PROPERTIES(${properties})`;
      }
      case 3: {
        this.#world.secrets += 1;
        const key = `"s3.secret_key"="${this.#world.secret}"`;
        return `ALTER RESOURCE "${resource}" PROPERTIES(${key}, "s3_validity_check"="false")`;
      }
      case 4:
      case 5:
      case 6:
      case 7:
        return `ALTER STORAGE POLICY ${policy} PROPERTIES(${this.#time()})`;
      case 8:
      case 9:
        return `ALTER TABLE ${table} SET ${bound}`;
      default:
        return `ALTER TABLE ${table} MODIFY PARTITION (*) SET ${bound}`;
    }
  }

  /** A time to live, or a moment up to half a minute ago or ahead. */
  #time(): string {
    const random = this.#random;
    if (random.chance(0.6)) {
      return `"cooldown_ttl"="${random.one(TTLS)}", "cooldown_datetime"=""`;
    }
    const atMs = START_MS + this.#world.time.nowMs + random.between(-30_000, 30_000);
    const at = new Date(atMs).toISOString().slice(0, 19).replace('T', ' ');
    return `"cooldown_ttl"="", "cooldown_datetime"="${at}"`;
  }

  async #bindAll(): Promise<Failure | undefined> {
    const world = this.#world;
    for (const policy of POLICIES) {
      const resource = RESOURCE_OF[policy] ?? '';
      const problem =
        (await this.#must(async () => await world.createResource(resource))) ??
        (await this.#mustSay(
          `CREATE STORAGE POLICY IF NOT EXISTS ${policy} PROPERTIES("storage_resource"="${resource}", "cooldown_ttl"="1")`,
        )) ??
        (await this.#mustSay(
          `ALTER STORAGE POLICY ${policy} PROPERTIES("cooldown_ttl"="${LAST_TTL_S}", "cooldown_datetime"="")`,
        ));
      if (problem !== undefined) return problem;
    }
    for (const at of world.tabletIds.keys()) {
      const isUnbound = this.#random.chance(0.2);
      const problem =
        (await this.#mustSay(`ALTER TABLE d.t${at} SET ("storage_policy"="")`)) ??
        (isUnbound ? undefined : await this.#bind(at));
      if (problem !== undefined) return problem;
    }
    return undefined;
  }

  /** Where its data may lie already it has to stay. */
  async #bind(at: number): Promise<Failure | undefined> {
    const set = (policy: string): string =>
      `ALTER TABLE d.t${at} SET ("storage_policy"="${policy}")`;
    const first = await this.#mustSay(set('q'));
    return first === undefined ? undefined : await this.#mustSay(set('o'));
  }

  async #mustSay(sql: string): Promise<Failure | undefined> {
    return await this.#must(async () => await this.#world.tell(sql));
  }

  /** The server may only just have started; a table may be gone. */
  async #must(act: () => Promise<unknown>): Promise<Failure | undefined> {
    const world = this.#world;
    let outcome: unknown;
    for (let attempt = 0; attempt < TRIES_MAX; attempt += 1) {
      outcome = await world.finish(act());
      if (world.problem !== undefined) return world.problem;
      if (!(outcome instanceof Error) && outcome !== undefined) return undefined;
      if (outcome instanceof SqlError && GONE.has(outcome.code)) return undefined;
      if (outcome instanceof SqlError && outcome.code === 'POLICY_OTHER_RESOURCE') break;
      await world.go(1000);
    }
    return { ...TAKEN, problem: String(outcome) };
  }

  // -- replicas and backends

  #aboutReplicas(): string {
    const random = this.#random;
    const { backends, tabletIds } = this.#world;
    const table = `d.t${random.int(tabletIds.length)}`;
    const backend = random.pick(backends)?.backendId ?? 0;
    const wanted = random.between(1, Math.min(3, backends.length));
    const properties = `("replication_num"="${wanted}")`;
    switch (random.int(8)) {
      case 0:
      case 1:
        return `ALTER TABLE ${table} SET ${properties}`;
      case 2:
        return `ALTER TABLE ${table} MODIFY PARTITION (*) SET ${properties}`;
      case 3:
      case 4:
      case 5:
        return `ALTER SYSTEM DECOMMISSION BACKEND "${backend}"`;
      case 6:
        return `CANCEL DECOMMISSION BACKEND "${backend}"`;
      default:
        if (backends.length >= BACKENDS_MAX) return `CANCEL DECOMMISSION BACKEND "${backend}"`;
        return 'ALTER SYSTEM ADD BACKEND "embedded" TO COMPUTE GROUP g';
    }
  }

  /** Some of the backends that are leaving stay after all; there is room for all replicas. */
  async #placeAll(): Promise<Failure | undefined> {
    const world = this.#world;
    for (const [backendId, state] of world.backendStates()) {
      if (state !== 'DECOMMISSIONED' || !this.#random.chance(0.3)) continue;
      const problem = await this.#mustSay(`CANCEL DECOMMISSION BACKEND "${backendId}"`);
      if (problem !== undefined) return problem;
    }
    const states = [...world.backendStates().values()];
    const enabled = states.filter((state) => state === 'ENABLED').length;
    for (const at of world.tabletIds.keys()) {
      const wanted = this.#random.between(1, Math.min(3, enabled));
      const properties = `("replication_num"="${wanted}")`;
      const problem = await this.#mustSay(`ALTER TABLE d.t${at} SET ${properties}`);
      if (problem !== undefined) return problem;
    }
    return undefined;
  }
}

/** What was to be changed is not there any more. */
const GONE: ReadonlySet<string> = new Set(['BACKEND_STATE', 'NO_SUCH_TABLE', 'UNKNOWN_BACKEND']);

/** Longest that a table cannot be read when the faults are over, and between two tries. */
const READABLE_MS = 60_000;
const READ_AGAIN_MS = 500;

const READABLE = {
  invariant: 'I7-readers-find-all',
  claim: 'Without faults every table can be read within a minute.',
};

const TAKEN = {
  invariant: 'L4-nothing-is-stuck',
  claim: 'Without faults statements are carried out.',
};
