/**
 * `npm run sim -- [--seed N] [--runs N] [--events N] [--trace] [--plant BUG]`: see
 * docs/simulation.md. Exit code 1: an invariant did not hold; the command that repeats it is
 * printed.
 */
import { randomInt } from 'node:crypto';
import { Command, InvalidArgumentError } from 'commander';
import { PLANTS, type PlantName, isPlantName } from './plants.ts';
import { SEEDS } from './seeded_random.ts';
import { type RunResult, simulate } from './simulation.ts';

interface Arguments {
  readonly seed?: number;
  readonly runs: number;
  readonly events?: number;
  readonly trace: boolean;
  readonly plant: PlantName;
  readonly quiet: boolean;
}

function whole(text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value >= SEEDS) throw new InvalidArgumentError('a whole number');
  return value;
}

function plantName(text: string): PlantName {
  if (isPlantName(text)) return text;
  throw new InvalidArgumentError(`one of ${Object.keys(PLANTS).join(', ')}`);
}

const program = new Command('sim')
  .description('Runs the deterministic simulation of warm-up jobs.')
  .option('--seed <n>', 'the first seed; the following runs take the following ones', whole)
  .option('--runs <n>', 'how many runs', whole, 1)
  .option('--events <n>', 'things that people do in a run', whole)
  .option('--trace', 'print what happens', false)
  .option('--quiet', 'print one line per run', false)
  .option('--plant <bug>', 'put a known bug in', plantName, 'none')
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

const first = options.seed ?? randomInt(SEEDS);
say(`seed ${first}, runs ${options.runs}`);
for (let run = 0; run < options.runs; run += 1) {
  const seed = (first + run) % SEEDS;
  const result = await simulate({
    seed,
    plant: options.plant,
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
