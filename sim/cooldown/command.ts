/** What `npm run sim -- --world cooldown` does: seeds, small scopes and named schedules. */
import { SEEDS } from '../seeded_random.ts';
import { explore, rerun } from './explorer.ts';
import { COOL_PLANTS, type CoolPlantName, isCoolPlantName } from './plants.ts';
import { type ControlKind, simulateCooldown } from './random_run.ts';
import { SCHEDULES, isScheduleName, runSchedule } from './schedules.ts';
import { SCOPES, type ScopeName, scopeScenario } from './scopes.ts';

export interface ScopeRequest {
  readonly scope: ScopeName;
  readonly deviations: number;
  readonly runsMax: number;
  readonly plant: CoolPlantName;
  /** Choices of one run, as a failure names them; then only that run is made. */
  readonly script?: string;
  readonly trace: boolean;
}

/** True: no invariant failed. */
export async function runScope(
  request: ScopeRequest,
  say: (line: string) => void,
): Promise<boolean> {
  const { scope, deviations, runsMax, script, trace } = request;
  const plant = COOL_PLANTS[request.plant];
  const scenario = scopeScenario(SCOPES[scope], plant, trace ? say : undefined);
  if (script !== undefined) {
    const { failure, fingerprint } = await rerun(scenario, script);
    say(`scope ${scope} digest ${fingerprint}`);
    if (failure === undefined) return true;
    say(`invariant '${failure.invariant}' does not hold`);
    say(`  ${failure.claim}`);
    say(`  ${failure.problem}`);
    return false;
  }
  const explored = await explore(scenario, { deviationsMax: deviations, runsMax });
  const { runs, choices, completeUpTo, failure } = explored;
  const bound = `all with up to ${completeUpTo} deviations`;
  say(`scope ${scope}: ${runs} runs, ${bound}, ${choices} choices in the plain one`);
  if (failure === undefined) return true;
  say(`invariant '${failure.invariant}' does not hold in scope ${scope}`);
  say(`  ${failure.claim}`);
  say(`  ${failure.problem}`);
  say(`  when ${failure.script}`);
  const planted = request.plant === 'none' ? '' : ` --plant ${request.plant}`;
  const choicesText = [...failure.script.matchAll(/\d+\/\d+: /g)].map(([text]) => text).join('');
  const again = `--world cooldown --scope ${scope}${planted} --script "${choicesText}"`;
  say(`again: npm run sim -- ${again} --trace`);
  return false;
}

/**
 * Named schedules, `name` or `name:plant` each; none: all of them. True: every invariant held, or
 * failed where a defect was planted.
 */
export async function runSchedules(
  wanted: readonly string[],
  trace: boolean,
  say: (line: string) => void,
): Promise<boolean> {
  let isGood = true;
  const all = wanted.length === 0 ? Object.keys(SCHEDULES) : wanted;
  for (const text of all) {
    const [name = '', plant = 'none'] = text.split(':');
    if (!isScheduleName(name)) {
      throw new Error(`a schedule is one of ${Object.keys(SCHEDULES).join(', ')}`);
    }
    if (!isCoolPlantName(plant)) {
      throw new Error(`a plant is one of ${Object.keys(COOL_PLANTS).join(', ')}`);
    }
    const { failure, digest } = await runSchedule(name, plant, trace ? say : undefined);
    const outcome = failure === undefined ? 'ok' : `FAILED ${failure.invariant}`;
    say(`schedule ${name} plant ${plant} ${outcome} digest ${digest}`);
    if (failure !== undefined) say(`  ${failure.problem}`);
    if ((failure === undefined) !== (plant === 'none')) isGood = false;
  }
  return isGood;
}

export interface SeedsRequest {
  readonly first: number;
  readonly runs: number;
  readonly events?: number;
  readonly plant: CoolPlantName;
  readonly control: ControlKind;
  readonly trace: boolean;
  readonly quiet: boolean;
}

/** Runs one seed after the other; stops at the first that fails. True: none did. */
export async function runSeeds(
  { first, runs, events, plant, control, trace, quiet }: SeedsRequest,
  say: (line: string) => void,
): Promise<boolean> {
  say(`seed ${first}, runs ${runs}`);
  for (let run = 0; run < runs; run += 1) {
    const seed = (first + run) % SEEDS;
    const result = await simulateCooldown({
      seed,
      plant,
      control,
      ...(events === undefined ? {} : { events }),
      ...(trace ? { print: say } : {}),
    });
    const { failure, options, digest, counts, lastLines } = result;
    if (!quiet) say(`seed ${seed} options ${JSON.stringify(options)}`);
    const outcome = failure === undefined ? 'ok' : `FAILED ${failure.invariant}`;
    say(`seed ${seed} ${outcome} digest ${digest} ${JSON.stringify(counts)}`);
    if (failure === undefined) continue;
    say(`invariant '${failure.invariant}' does not hold in seed ${seed}`);
    say(`  ${failure.claim}`);
    say(`  ${failure.problem}`);
    if (!trace) for (const line of lastLines) say(`  ${line}`);
    const length = events === undefined ? '' : ` --events ${events}`;
    const planted = plant === 'none' ? '' : ` --plant ${plant}`;
    const model = control === 'model' ? ' --control model' : '';
    const again = `--world cooldown${model} --seed ${seed}${length}${planted}`;
    say(`again: npm run sim -- ${again} --trace`);
    return false;
  }
  return true;
}
