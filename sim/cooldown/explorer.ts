/**
 * Runs one scenario again and again, each time with other choices: which message comes first, who
 * dies where, what becomes of a call. A run is the list of its choices; choice 0 is that nothing
 * goes wrong. All runs with up to a given number of other choices are made, breadth first, so a
 * failure is found with the fewest of them.
 */
import type { Failure } from '../simulation.ts';
import type { Choose } from './choice_time.ts';

export interface ExploredRun {
  readonly failure: Failure | undefined;
  /** What the run came to; equal ones came to the same end in the same way. */
  readonly fingerprint: string;
}

/** Runs the scenario from its beginning with these choices. */
export type Scenario = (choose: Choose) => Promise<ExploredRun>;

export interface Bounds {
  /** Most choices other than 0 in one run. */
  readonly deviationsMax: number;
  readonly runsMax: number;
}

export interface Explored {
  readonly runs: number;
  /** Runs that differed from each other in what happened. */
  readonly distinct: number;
  /** All runs with up to this many deviations were made. */
  readonly completeUpTo: number;
  /** Choices of the run in which nothing went wrong. */
  readonly choices: number;
  readonly failure: (Failure & { readonly script: string }) | undefined;
}

/** At choice number `at` the option `taken`. */
interface Deviation {
  readonly at: number;
  readonly taken: number;
  readonly label: string;
}

export async function explore(scenario: Scenario, bounds: Bounds): Promise<Explored> {
  const fingerprints = new Set<string>();
  let runs = 0;
  let choices = 0;
  let completeUpTo = -1;
  let level: (readonly Deviation[])[] = [[]];
  for (let deviations = 0; deviations <= bounds.deviationsMax; deviations += 1) {
    const next: (readonly Deviation[])[] = [];
    for (const script of level) {
      if (runs >= bounds.runsMax) {
        return { runs, distinct: fingerprints.size, completeUpTo, choices, failure: undefined };
      }
      runs += 1;
      const { run, options } = await replay(scenario, script);
      if (runs === 1) choices = options.length;
      const { failure, fingerprint } = run;
      const isNew = !fingerprints.has(fingerprint);
      fingerprints.add(fingerprint);
      if (failure !== undefined) {
        const words = script.map(({ at, taken, label }) => `${at}/${taken}: ${label}`).join('; ');
        const found = { ...failure, script: words };
        return { runs, distinct: fingerprints.size, completeUpTo, choices, failure: found };
      }
      // What came to the same end on the same way has the same continuations.
      if (isNew) next.push(...extensions(script, options));
    }
    completeUpTo = deviations;
    level = next;
  }
  return { runs, distinct: fingerprints.size, completeUpTo, choices, failure: undefined };
}

/** One run by the text of a script, as a failure names it. */
export async function rerun(scenario: Scenario, script: string): Promise<ExploredRun> {
  const deviations = [...script.matchAll(/(\d+)\/(\d+): /g)].map(([, at, taken]) => ({
    at: Number(at),
    taken: Number(taken),
    label: '',
  }));
  return (await replay(scenario, deviations)).run;
}

async function replay(
  scenario: Scenario,
  script: readonly Deviation[],
): Promise<{ run: ExploredRun; options: (readonly string[])[] }> {
  const options: (readonly string[])[] = [];
  const planned = new Map(script.map(({ at, taken }) => [at, taken]));
  const run = await scenario((labels) => {
    const taken = planned.get(options.length) ?? 0;
    options.push(labels);
    return Math.min(taken, labels.length - 1);
  });
  return { run, options };
}

/** The script with one more deviation, after the last one. */
function extensions(
  script: readonly Deviation[],
  options: readonly (readonly string[])[],
): (readonly Deviation[])[] {
  const from = (script.at(-1)?.at ?? -1) + 1;
  const scripts: (readonly Deviation[])[] = [];
  for (let at = from; at < options.length; at += 1) {
    for (const [taken, label] of (options[at] ?? []).entries()) {
      if (taken > 0) scripts.push([...script, { at, taken, label }]);
    }
  }
  return scripts;
}
