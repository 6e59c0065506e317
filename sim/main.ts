/**
 * `npm run sim -- [--world W] [--seed N] [--runs N] [--events N] [--trace] [--plant BUG]`: see
 * docs/simulation.md. Exit code 1: an invariant did not hold; the command that repeats it is
 * printed.
 */
import { randomInt } from 'node:crypto';
import { Command, InvalidArgumentError } from 'commander';
import type { Merging } from './cooldown/command.ts';
import { openFields } from './cooldown/open_fields.ts';
import type { ControlKind } from './cooldown/random_run.ts';
import { SEEDS } from './seeded_random.ts';
import type { RunResult } from './simulation.ts';

interface Arguments {
  readonly world: World;
  readonly control: ControlKind;
  readonly scope?: string;
  readonly deviations: number;
  readonly runsMax?: number;
  readonly resume?: string;
  readonly merging?: Merging;
  readonly script?: string;
  readonly schedules?: string;
  readonly seed?: number;
  readonly runs: number;
  readonly events?: number;
  readonly trace: boolean;
  readonly plant: string;
  readonly quiet: boolean;
}

function whole(text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value >= SEEDS) throw new InvalidArgumentError('a whole number');
  return value;
}

type World = 'warm-up' | 'cooldown';

function worldName(text: string): World {
  if (text === 'warm-up' || text === 'cooldown') return text;
  throw new InvalidArgumentError('warm-up or cooldown');
}

function controlKind(text: string): ControlKind {
  if (text === 'real' || text === 'model') return text;
  throw new InvalidArgumentError('real or model');
}

function mergingKind(text: string): Merging {
  if (text === 'on' || text === 'off' || text === 'audit') return text;
  throw new InvalidArgumentError('on, off or audit');
}

const program = new Command('sim')
  .description('Runs the deterministic simulation of warm-up jobs, or of cooldown.')
  .option('--world <world>', 'warm-up or cooldown', worldName, 'warm-up')
  .option('--control <kind>', 'cooldown: real or model control plane', controlKind, 'real')
  .option('--scope <name>', 'cooldown: explore a small scope, or all')
  .option('--deviations <n>', 'of a scope: most things that go otherwise in a run', whole, 2)
  .option('--runs-max <n>', 'of a scope: most runs', whole)
  .option('--resume <file>', 'of a scope: go on from what is there, and write it')
  .option('--merging <how>', 'of a scope: on, off or audit; goes on after failures', mergingKind)
  .option('--schedules <list>', 'cooldown: named schedules, name or name:plant each, or all')
  .option('--script <choices>', 'of a scope: one run, by its choices')
  .option('--seed <n>', 'the first seed; the following runs take the following ones', whole)
  .option('--runs <n>', 'how many runs', whole, 1)
  .option('--events <n>', 'things that people do in a run', whole)
  .option('--trace', 'print what happens', false)
  .option('--quiet', 'print one line per run', false)
  .option('--plant <bug>', 'put a known bug in', 'none')
  .parse();
const options = program.opts<Arguments>();

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

function report(result: RunResult): void {
  const { seed, failure, lastLines } = result;
  if (failure === undefined) return;
  say(`invariant '${failure.invariant}' does not hold in seed ${seed}`);
  say(`  ${failure.claim}`);
  say(`  ${failure.problem}`);
  if (!options.trace) {
    say('the last lines of the trace:');
    for (const line of lastLines) say(`  ${line}`);
  }
  const events = options.events === undefined ? '' : ` --events ${options.events}`;
  const plant = options.plant === 'none' ? '' : ` --plant ${options.plant}`;
  say(`again: npm run sim -- --seed ${seed}${events}${plant} --trace`);
}

async function scopes(scope: string): Promise<void> {
  const { deviations, runsMax, script, resume, merging, trace, plant, quiet } = options;
  // Before what it opens is loaded.
  openFields();
  const { runScopes } = await import('./cooldown/command.ts');
  const isGood = await runScopes(
    {
      scope,
      deviations,
      plant,
      trace,
      quiet,
      ...(runsMax === undefined ? {} : { runsMax }),
      ...(script === undefined ? {} : { script }),
      ...(resume === undefined ? {} : { resume }),
      ...(merging === undefined ? {} : { merging }),
    },
    say,
  );
  if (!isGood) process.exitCode = 1;
}

async function warmUpRuns(): Promise<void> {
  const { simulate } = await import('./simulation.ts');
  const { PLANTS, isPlantName } = await import('./plants.ts');
  const { plant } = options;
  if (!isPlantName(plant)) {
    throw new Error(`a plant is one of ${Object.keys(PLANTS).join(', ')}`);
  }
  const first = options.seed ?? randomInt(SEEDS);
  say(`seed ${first}, runs ${options.runs}`);
  for (let run = 0; run < options.runs; run += 1) {
    const seed = (first + run) % SEEDS;
    const result = await simulate({
      seed,
      plant,
      ...(options.events === undefined ? {} : { events: options.events }),
      ...(options.trace ? { print: say } : {}),
    });
    if (!options.quiet) say(`seed ${seed} options ${JSON.stringify(result.options)}`);
    const outcome = result.failure === undefined ? 'ok' : `FAILED ${result.failure.invariant}`;
    say(`seed ${seed} ${outcome} digest ${result.digest} ${JSON.stringify(result.counts)}`);
    report(result);
    if (result.failure !== undefined) {
      process.exitCode = 1;
      break;
    }
  }
}

async function namedSchedules(list: string): Promise<void> {
  const { runSchedules } = await import('./cooldown/command.ts');
  const wanted = list === 'all' ? [] : list.split(',');
  if (!(await runSchedules(wanted, options.trace, say))) process.exitCode = 1;
}

async function cooldownRuns(): Promise<void> {
  const { runSeeds } = await import('./cooldown/command.ts');
  const { plant, trace, events, quiet, control } = options;
  const start = options.seed ?? randomInt(SEEDS);
  const length = events === undefined ? {} : { events };
  const basics = { first: start, runs: options.runs, plant, control, trace, quiet };
  const request = { ...length, ...basics };
  if (!(await runSeeds(request, say))) process.exitCode = 1;
}

if (options.schedules !== undefined) await namedSchedules(options.schedules);
else if (options.scope !== undefined) await scopes(options.scope);
else if (options.world === 'cooldown') await cooldownRuns();
else await warmUpRuns();
