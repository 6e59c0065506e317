/**
 * Runs one scenario again and again, each time with other choices: which message comes first, who
 * dies where, what becomes of a call. A run is the list of its choices; choice 0 is that nothing
 * goes wrong. All runs with up to a given number of other choices are made, those with fewer
 * first, so a failure is found with the fewest of them. A run ends where another one has been
 * before it: what comes from there on is known.
 */
import type { Failure } from '../simulation.ts';
import type { Otherwise } from './choice_time.ts';
import type { Chains, RunState } from './run_state.ts';

export interface ExploredRun {
  readonly failure: Failure | undefined;
  /** The state that it came to; undefined: it met another run. */
  readonly end: string | undefined;
}

/** Says what happens in a run. */
export interface Guide {
  /** One of the options; 0 is what happens when nothing goes wrong. Throws Merged. */
  choose(labels: readonly string[], at: RunState, others: readonly Otherwise[]): number;
  /** Nothing is to be chosen here. Throws Merged. */
  pass(at: RunState): void;
}

/** Runs the scenario from its beginning. */
export type Scenario = (guide: Guide) => Promise<ExploredRun>;

/** The run has come to a state in which another one was. */
export class Merged extends Error {
  override readonly name = 'Merged';
}

export interface Bounds {
  /** Most choices other than 0 in one run. */
  readonly deviationsMax: number;
  /** Absent: as many as there are. */
  readonly runsMax?: number;
  /** Does not stop when an invariant does not hold. */
  readonly isGoingOn?: boolean;
  /** False: every run goes on to its end. */
  readonly isMerging?: boolean;
  /** Goes on where others were, and compares what comes; see `Audit`. */
  readonly isAudited?: boolean;
  readonly onProgress?: (progress: Progress) => void;
  /** What an exploration of the same scenario had when it was stopped. */
  readonly from?: Saved | undefined;
  /** Gets that from time to time, and in the end. */
  readonly save?: (saved: Saved) => void;
}

/** All that an exploration has; made to be written to a file as it is. */
export interface Saved {
  readonly deviations: number;
  /** Of `level`. */
  readonly made: number;
  readonly level: readonly (Deviation | undefined)[];
  readonly next: readonly Deviation[];
  readonly visited: ReadonlySet<string>;
  readonly peeked: ReadonlySet<string>;
  readonly ends: ReadonlySet<string>;
  readonly runs: number;
  readonly merged: number;
  readonly choices: number;
  /** The end of the run in which nothing went wrong: tells whether the code is the same. */
  readonly plainEnd: string | undefined;
}

/** So many runs are made between two that are saved. */
const SAVE_RUNS = 2000;

export interface Progress {
  readonly deviations: number;
  readonly runs: number;
  readonly states: number;
  /** Runs of this number of deviations: made, and all. */
  readonly made: number;
  readonly of: number;
}

export interface Explored {
  readonly runs: number;
  /** States in which something could be chosen. */
  readonly states: number;
  /** Runs that met another one. */
  readonly merged: number;
  /** States in which runs ended. */
  readonly ends: ReadonlySet<string>;
  /** Invariants that did not hold. */
  readonly violated: ReadonlySet<string>;
  /** All runs with up to this many deviations were made. */
  readonly completeUpTo: number;
  /** Choices of the run in which nothing went wrong. */
  readonly choices: number;
  readonly failure: (Failure & { readonly script: string }) | undefined;
}

/** At choice number `at` the option `taken`, after those of `before`. */
interface Deviation {
  readonly before: Deviation | undefined;
  readonly at: number;
  readonly taken: number;
  readonly label: string;
  /** Of the state in which it is chosen. */
  readonly chains: Chains;
}

export async function explore(scenario: Scenario, bounds: Bounds): Promise<Explored> {
  const exploration = new Exploration(scenario, bounds);
  const { stackTraceLimit } = Error;
  // Thousands of errors are part of life, and nobody reads where they were made.
  Error.stackTraceLimit = 0;
  try {
    return await exploration.run();
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
}

class Exploration {
  readonly #scenario: Scenario;
  readonly #bounds: Bounds;
  readonly #visited: Set<string>;
  readonly #peeked: Set<string>;
  readonly #ends: Set<string>;
  readonly #violated = new Set<string>();
  readonly #audit = new Audit();
  #runs: number;
  #merged: number;
  #choices: number;
  #deviations: number;
  #made: number;
  #level: (Deviation | undefined)[];
  #next: Deviation[];
  #plainEnd: string | undefined;

  constructor(scenario: Scenario, bounds: Bounds) {
    this.#scenario = scenario;
    this.#bounds = bounds;
    const from = bounds.from ?? NOTHING;
    this.#visited = new Set(from.visited);
    this.#peeked = new Set(from.peeked);
    this.#ends = new Set(from.ends);
    this.#runs = from.runs;
    this.#merged = from.merged;
    this.#choices = from.choices;
    this.#deviations = from.deviations;
    this.#made = from.made;
    this.#level = [...from.level];
    this.#next = [...from.next];
    this.#plainEnd = from.plainEnd;
  }

  async run(): Promise<Explored> {
    const { deviationsMax, runsMax = Number.POSITIVE_INFINITY, save } = this.#bounds;
    for (; this.#deviations <= deviationsMax; this.#deviations += 1) {
      for (; this.#made < this.#level.length; this.#made += 1) {
        if (this.#runs >= runsMax) return this.#result();
        this.#progress();
        const script = this.#level[this.#made];
        const failure = await this.#one(script);
        if (failure !== undefined) {
          this.#violated.add(failure.invariant);
          if (this.#bounds.isGoingOn !== true) return this.#result(failure, script);
        }
        if (this.#runs % SAVE_RUNS === 0) save?.(this.#saved(1));
      }
      this.#progress();
      if (this.#deviations === deviationsMax) break;
      this.#level = this.#next;
      this.#next = [];
      this.#made = 0;
    }
    return this.#result();
  }

  /** `more`: of the level that are made by now. */
  #saved(more: number): Saved {
    return {
      deviations: this.#deviations,
      made: this.#made + more,
      level: this.#level,
      next: this.#next,
      visited: this.#visited,
      peeked: this.#peeked,
      ends: this.#ends,
      runs: this.#runs,
      merged: this.#merged,
      choices: this.#choices,
      plainEnd: this.#plainEnd,
    };
  }

  async #one(script: Deviation | undefined): Promise<Failure | undefined> {
    const { isMerging = true, isAudited = false, deviationsMax, save } = this.#bounds;
    // An exploration that is saved may go further another time.
    const isLast = this.#deviations === deviationsMax && save === undefined;
    this.#audit.begin();
    const guide = new ExploringGuide(script, {
      visited: isMerging ? this.#visited : undefined,
      audit: isAudited ? this.#audit : undefined,
      peeked: this.#peeked,
      next: isLast ? undefined : this.#next,
    });
    const { failure, end } = await this.#scenario(guide);
    this.#runs += 1;
    if (script === undefined) {
      this.#choices = guide.choices;
      this.#plainEnd = end;
    }
    if (end === undefined) this.#merged += 1;
    else this.#ends.add(end);
    return failure;
  }

  #progress(): void {
    this.#bounds.onProgress?.({
      deviations: this.#deviations,
      made: this.#made,
      of: this.#level.length,
      runs: this.#runs,
      states: this.#visited.size,
    });
  }

  #result(failure?: Failure, script?: Deviation): Explored {
    if (failure === undefined) this.#bounds.save?.(this.#saved(0));
    const found = failure === undefined ? undefined : { ...failure, script: inWords(script) };
    return {
      runs: this.#runs,
      states: this.#visited.size,
      merged: this.#merged,
      ends: this.#ends,
      violated: this.#violated,
      completeUpTo: this.#made < this.#level.length ? this.#deviations - 1 : this.#deviations,
      choices: this.#choices,
      failure: found,
    };
  }
}

const NOTHING: Saved = {
  deviations: 0,
  made: 0,
  level: [undefined],
  next: [],
  visited: new Set(),
  peeked: new Set(),
  ends: new Set(),
  runs: 0,
  merged: 0,
  choices: 0,
  plainEnd: undefined,
};

interface Exploring {
  /** undefined: nothing is merged. */
  readonly visited: Set<string> | undefined;
  readonly audit: Audit | undefined;
  /** States that scripts of the next level begin with. */
  readonly peeked: Set<string>;
  /** Gets the scripts with one deviation more. */
  readonly next: Deviation[] | undefined;
}

class ExploringGuide implements Guide {
  readonly #script: Deviation | undefined;
  readonly #planned: ReadonlyMap<number, number>;
  readonly #exploring: Exploring;
  choices = 0;
  #isMerged = false;

  constructor(script: Deviation | undefined, exploring: Exploring) {
    this.#script = script;
    this.#planned = plannedOf(script);
    this.#exploring = exploring;
  }

  choose(labels: readonly string[], at: RunState, others: readonly Otherwise[]): number {
    const index = this.choices;
    this.choices += 1;
    const script = this.#script;
    if (script !== undefined && index < script.at) return this.#planned.get(index) ?? 0;
    const { audit, next } = this.#exploring;
    if (script !== undefined && index === script.at) {
      at.begin(script.chains);
      audit?.came(at, labels, script.taken, others[script.taken - 1]);
      return script.taken;
    }
    if (index === 0) at.begin(new Map());
    audit?.came(at, labels, 0);
    if (!this.#isNew(at)) return 0;
    if (next !== undefined) {
      const chains = at.chains();
      for (const [one, other] of others.entries()) {
        const { label } = other;
        if (this.#isSeen(at, other)) continue;
        next.push({ before: script, at: index, taken: one + 1, label, chains });
      }
    }
    return 0;
  }

  /** It would come to a state that is known: no need to run that far again. */
  #isSeen(at: RunState, { peek }: Otherwise): boolean {
    const { visited, audit, peeked } = this.#exploring;
    if (visited === undefined || audit !== undefined || peek === undefined) return false;
    const key = peek(() => at.key());
    if (visited.has(key) || peeked.has(key)) return true;
    peeked.add(key);
    return false;
  }

  pass(at: RunState): void {
    this.#exploring.audit?.came(at, [], 0);
    this.#isNew(at);
  }

  #isNew(at: RunState): boolean {
    const { visited, audit } = this.#exploring;
    // Told in any case: what a process remembers is looked at with each key.
    const key = at.key();
    if (visited === undefined) return true;
    if (!visited.has(key)) {
      visited.add(key);
      return !this.#isMerged;
    }
    if (audit === undefined) throw new Merged();
    this.#isMerged = true;
    return false;
  }
}

/**
 * Whether equal states are equal: the same choice in equal states has to lead to equal states, and
 * there have to be the same choices.
 */
class Audit {
  readonly #labels = new Map<string, string>();
  readonly #next = new Map<string, readonly string[]>();
  #from: string | undefined;
  #text = '';

  came(at: RunState, labels: readonly string[], taken: number, other?: Otherwise): void {
    const key = at.key();
    const text = labels.join('; ');
    const known = this.#labels.get(key) ?? text;
    this.#labels.set(key, text);
    if (known !== text) throw new Error(`equal states with the choices ${known} and ${text}`);
    if (this.#from !== undefined) {
      const parts = at.parts();
      const next = this.#next.get(this.#from) ?? parts;
      this.#next.set(this.#from, next);
      const other = parts.findIndex((part, index) => part !== next[index]);
      if (other >= 0 || parts.length !== next.length) {
        const both = `${next[other]}\n---\n${parts[other]}`;
        throw new Error(`equal states that go on otherwise:\n${this.#text}\n${both}`);
      }
    }
    this.#from = other?.peek?.(() => at.key()) ?? `${key}/${taken}`;
    this.#text = labels[taken] ?? '';
  }

  /** Another run. */
  begin(): void {
    this.#from = undefined;
  }
}

/** One run by the text of a script, as a failure names it. */
export async function rerun(scenario: Scenario, script: string): Promise<ExploredRun> {
  const found = [...script.matchAll(/(\d+)\/(\d+): /g)];
  const planned = new Map(found.map(([, at, taken]) => [Number(at), Number(taken)]));
  let choices = 0;
  return await scenario({
    choose: (labels) => {
      const taken = planned.get(choices) ?? 0;
      choices += 1;
      return Math.min(taken, labels.length - 1);
    },
    pass: () => undefined,
  });
}

function plannedOf(script: Deviation | undefined): ReadonlyMap<number, number> {
  const planned = new Map<number, number>();
  for (let one = script; one !== undefined; one = one.before) planned.set(one.at, one.taken);
  return planned;
}

function inWords(script: Deviation | undefined): string {
  const words: string[] = [];
  for (let one = script; one !== undefined; one = one.before) {
    words.unshift(`${one.at}/${one.taken}: ${one.label}`);
  }
  return words.join('; ');
}
