/** `npm run bench -- [name ...] [--quick] [--json FILE]`: see docs/benchmarks.md. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import type { Bench, BenchContext } from './bench.ts';
import { BLOCK_CACHE } from './block_cache.ts';
import { COOLDOWN_ELECTION } from './cooldown_election.ts';
import { COOLDOWN_UPLOAD } from './cooldown_upload.ts';
import { EVENT_LAG } from './event_lag.ts';
import { FRONT_DOOR, FRONT_DOOR_MEMORY, FRONT_DOOR_SELECTS } from './front_door.ts';
import { JOB_CREATION } from './job_creation.ts';
import { LOAD_SELECT } from './load_select.ts';
import { PARSER } from './parser.ts';
import { type BenchResult, type Machine, jsonText, meets, tableText } from './report.ts';
import { SHOW_500 } from './show_500.ts';
import { SHOW_JOBS } from './show_jobs.ts';
import { START_UP } from './start_up.ts';
import { TABLET_REPORTS } from './tablet_reports.ts';
import { WARM_UP } from './warm_up.ts';

const BENCHES: readonly Bench[] = [
  START_UP,
  PARSER,
  WARM_UP,
  SHOW_JOBS,
  FRONT_DOOR,
  FRONT_DOOR_SELECTS,
  FRONT_DOOR_MEMORY,
  BLOCK_CACHE,
  LOAD_SELECT,
  EVENT_LAG,
  JOB_CREATION,
  SHOW_500,
  TABLET_REPORTS,
  COOLDOWN_ELECTION,
  COOLDOWN_UPLOAD,
];
const SIGNAL_EXIT = 130;

interface Flags {
  readonly quick?: boolean;
  readonly json?: string;
}

const names = BENCHES.map(({ name, about }) => `  ${name.padEnd(18)} ${about}`).join('\n');
const program = new Command('bench')
  .argument('[name...]', 'benches to run; all without a name')
  .option('--quick', 'smaller sizes and fewer rounds')
  .option('--json <file>', 'write the figures to a file')
  .addHelpText('after', `\nBenches:\n${names}`)
  .action(main);
await program.parseAsync();

async function main(wanted: readonly string[], flags: Flags): Promise<void> {
  const unknown = wanted.filter((name) => !BENCHES.some((bench) => bench.name === name));
  if (unknown.length > 0)
    program.error(`no such bench: ${unknown.join(', ')}\nThere are:\n${names}`);
  const quick = flags.quick === true;
  const results: BenchResult[] = [];
  for (const bench of BENCHES) {
    if (wanted.length > 0 && !wanted.includes(bench.name)) continue;
    results.push(await runBench(bench, quick));
  }
  process.stdout.write(tableText(results));
  if (flags.json !== undefined) await writeFile(flags.json, jsonText(machine(quick), results));
  if (results.some(({ failure }) => failure !== undefined)) process.exitCode = 1;
  const missed = results.flatMap(({ figures }) =>
    figures.filter(({ goal, value }) => goal !== undefined && !meets(goal, value)),
  );
  if (missed.length > 0) say(`goals missed: ${missed.map(({ name }) => name).join(', ')}`);
}

/** A bench that fails says so in the table; the others run all the same. */
async function runBench(bench: Bench, quick: boolean): Promise<BenchResult> {
  const stops: (() => Promise<void> | void)[] = [];
  const stopAll = async (): Promise<void> => {
    for (let stop = stops.pop(); stop !== undefined; stop = stops.pop()) await stop();
  };
  const onSignal = (): void => {
    void stopAll().finally(() => process.exit(SIGNAL_EXIT));
  };
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  const context: BenchContext = {
    quick,
    directory: async () => {
      const path = await mkdtemp(join(tmpdir(), 'thermocline-bench-'));
      stops.push(async () => {
        await rm(path, { recursive: true, force: true, maxRetries: 5 });
      });
      return path;
    },
    defer: (stop) => {
      stops.push(stop);
    },
    say: (text) => {
      say(`${bench.name}: ${text}`);
    },
  };
  const startedMs = performance.now();
  const seconds = (): number => Math.round((performance.now() - startedMs) / 100) / 10;
  try {
    const figures = await bench.run(context);
    return { bench: bench.name, seconds: seconds(), figures };
  } catch (error) {
    say(error instanceof Error ? (error.stack ?? error.message) : String(error));
    return { bench: bench.name, seconds: seconds(), figures: [], failure: String(error) };
  } finally {
    await stopAll();
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
  }
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

function machine(quick: boolean): Machine {
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    memoryGib: Math.round(totalmem() / 2 ** 30),
    node: process.version,
    quick,
  };
}
