/** What `npm run sim -- --world cooldown` does: seeds, small scopes and named schedules. */
import { SEEDS } from '../seeded_random.ts';
import { type Explored, type Progress, explore, rerun } from './explorer.ts';
import { plainEnd, readSaved, writeSaved } from './explored_file.ts';
import { COOL_PLANTS, type CoolPlantName, isCoolPlantName } from './plants.ts';
import { type ControlKind, simulateCooldown } from './random_run.ts';
import { SCHEDULES, isScheduleName, runSchedule } from './schedules.ts';
import { SCOPES, type ScopeName, isScopeName, scopeScenario } from './scopes.ts';

export interface ScopeRequest {
  /** `all`, or the name of one. */
  readonly scope: string;
  readonly deviations: number;
  /** Absent: as many as there are. */
  readonly runsMax?: number;
  readonly plant: string;
  /** Choices of one run, as a failure names them; then only that run is made. */
  readonly script?: string;
  /** Goes on from this file, if it is there, and writes it. */
  readonly resume?: string;
  /** Goes on after failures and tells all ends, for tests of the merging of equal states. */
  readonly merging?: Merging;
  readonly trace: boolean;
  readonly quiet: boolean;
}

/** `off`: nothing is merged. `audit`: what comes after equal states is compared. */
export type Merging = 'on' | 'off' | 'audit';

/** Runs between two lines of progress. */
const PROGRESS_RUNS = 1000;

/** True: no invariant failed. */
export async function runScopes(
  request: ScopeRequest,
  say: (line: string) => void,
): Promise<boolean> {
  const { scope, plant } = request;
  if (!isCoolPlantName(plant)) throw new Error(`${plant} is of another world`);
  const all = Object.keys(SCOPES).filter(isScopeName);
  const wanted = all.filter((name) => scope === 'all' || name === scope);
  if (wanted.length === 0) throw new Error(`a scope is one of ${all.join(', ')}, or all`);
  let [runs, states, isComplete] = [0, 0, true];
  for (const name of wanted) {
    if (request.script !== undefined) return await runScript(name, plant, request, say);
    const explored = await exploreScope(name, plant, request, say);
    if (explored.failure !== undefined) return false;
    runs += explored.runs;
    states += explored.states;
    isComplete &&= explored.completeUpTo >= request.deviations;
  }
  const how = isComplete ? `complete with ${request.deviations} deviations` : 'not complete';
  say(`${how}: ${runs} runs, ${states} states`);
  return true;
}

async function runScript(
  scope: ScopeName,
  plant: CoolPlantName,
  { script = '', trace }: ScopeRequest,
  say: (line: string) => void,
): Promise<boolean> {
  const scenario = scopeScenario(SCOPES[scope], COOL_PLANTS[plant], trace ? say : undefined);
  const { failure, end } = await rerun(scenario, script);
  say(`scope ${scope} end ${end}`);
  if (failure === undefined) return true;
  say(`invariant '${failure.invariant}' does not hold`);
  say(`  ${failure.claim}`);
  say(`  ${failure.problem}`);
  return false;
}

async function exploreScope(
  scope: ScopeName,
  plant: CoolPlantName,
  { deviations, runsMax, resume, merging, quiet }: ScopeRequest,
  say: (line: string) => void,
): Promise<Explored> {
  const scenario = scopeScenario(SCOPES[scope], COOL_PLANTS[plant]);
  const file = resume === undefined ? undefined : `${resume}.${scope}.${plant}`;
  const from = file === undefined ? undefined : readSaved(file, await plainEnd(scenario));
  const onProgress = ({ deviations: level, runs, made, of, states }: Progress): void => {
    if (quiet || runs === 0 || runs % PROGRESS_RUNS > 0) return;
    const more = `${made} of ${of} with ${level} deviations`;
    say(`scope ${scope}: ${runs} runs, ${states} states; ${more}`);
  };
  const explored = await explore(scenario, {
    deviationsMax: deviations,
    ...(runsMax === undefined ? {} : { runsMax }),
    isMerging: merging !== 'off',
    isGoingOn: merging !== undefined,
    isAudited: merging === 'audit',
    onProgress,
    ...(file === undefined ? {} : { from, save: (saved) => writeSaved(file, saved) }),
  });
  const { runs, states, merged, ends, violated, choices, completeUpTo, failure } = explored;
  const bound = `all with up to ${completeUpTo} deviations`;
  const counts = `${states} states, ${merged} merged, ${ends.size} ends`;
  say(`scope ${scope}: ${runs} runs, ${bound}, ${counts}, ${choices} choices in the plain one`);
  if (merging !== undefined) {
    say(`ends of ${scope}: ${[...ends].sort().join(' ')}`);
    say(`violated in ${scope}: ${[...violated].sort().join(' ')}`);
  }
  if (failure === undefined) return explored;
  say(`invariant '${failure.invariant}' does not hold in scope ${scope}`);
  say(`  ${failure.claim}`);
  say(`  ${failure.problem}`);
  say(`  when ${failure.script}`);
  const planted = plant === 'none' ? '' : ` --plant ${plant}`;
  const choicesText = [...failure.script.matchAll(/\d+\/\d+: /g)].map(([text]) => text).join('');
  const again = `--world cooldown --scope ${scope}${planted} --script "${choicesText}"`;
  say(`again: npm run sim -- ${again} --trace`);
  return explored;
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
  readonly plant: string;
  readonly control: ControlKind;
  readonly trace: boolean;
  readonly quiet: boolean;
}

/** Runs one seed after the other; stops at the first that fails. True: none did. */
export async function runSeeds(
  { first, runs, events, plant, control, trace, quiet }: SeedsRequest,
  say: (line: string) => void,
): Promise<boolean> {
  if (!isCoolPlantName(plant)) throw new Error(`${plant} is of another world`);
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
