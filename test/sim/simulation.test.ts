/**
 * The simulator runs as people run it, in a process of its own: a seed then gives the same trace
 * here and on the command line (docs/simulation.md).
 */
import { randomInt } from 'node:crypto';
import { spawnSync } from 'node:child_process';
import { describe, expect, it } from '@jest/globals';
import { CANARIES, KNOWN_SEEDS } from './seeds.ts';

const ROOT = new URL('../..', import.meta.url).pathname;
const FIXED_FIRST = 1;
const FIXED_RUNS = 25;
/** Short runs: a fresh seed of every commit finds more than a long run of the same one. */
const SHORT = ['--quiet', '--events', '25'];
const FRESH_RUNS = 100;
const OUTPUT_BYTES_MAX = 64 * 2 ** 20;

interface Outcome {
  readonly exitCode: number | null;
  readonly output: string;
}

function sim(...args: readonly string[]): Outcome {
  const run = spawnSync(process.execPath, ['sim/main.ts', ...args], {
    cwd: ROOT,
    encoding: 'utf8',
    maxBuffer: OUTPUT_BYTES_MAX,
  });
  return { exitCode: run.status, output: run.stdout + run.stderr };
}

/** Fails with what the simulator said: the seed and the command that repeats it are in it. */
function expectHeld({ exitCode, output }: Outcome): void {
  if (exitCode !== 0) throw new Error(output);
}

describe('the simulation of warm-up jobs', () => {
  it('gives the same trace twice for the same seed', () => {
    const args = ['--seed', '11', '--runs', '3', '--trace'];
    const [once, again] = [sim(...args), sim(...args)];
    expectHeld(once);
    expect(again.output).toBe(once.output);
    expect(once.output).toMatch(/^seed 11 ok digest [0-9a-f]{16}/m);
  });

  it('gives other seeds other traces', () => {
    const { output } = sim('--seed', '11', '--runs', '3', '--quiet');
    const digests = [...output.matchAll(/digest ([0-9a-f]{16})/g)].map(([, digest]) => digest);
    expect(new Set(digests).size).toBe(3);
  });

  it(`holds in the seeds ${FIXED_FIRST} to ${FIXED_FIRST + FIXED_RUNS - 1}`, () => {
    expectHeld(sim(...SHORT, '--seed', String(FIXED_FIRST), '--runs', String(FIXED_RUNS)));
  });

  it.each(KNOWN_SEEDS)('holds in seed $seed, where $found', ({ seed }) => {
    expectHeld(sim('--quiet', '--seed', String(seed)));
  });

  it.each(CANARIES)('finds the planted bug $plant', ({ plant, firstSeed, runs, invariants }) => {
    const seeds = ['--seed', String(firstSeed), '--runs', String(runs)];
    const { exitCode, output } = sim('--quiet', '--plant', plant, ...seeds);
    const found = /^invariant '([a-z-]+)' does not hold in seed (\d+)$/m.exec(output);
    expect(invariants).toContain(found?.[1]);
    expect(output).toContain(`again: npm run sim -- --seed ${found?.[2]} --plant ${plant} --trace`);
    expect(exitCode).toBe(1);
  });

  it('says what is wrong with its arguments', () => {
    const { exitCode, output } = sim('--plant', 'nothing-known');
    expect(output).toContain('slot-not-re-owned');
    expect(exitCode).not.toBe(0);
  });

  const fresh = randomInt(2 ** 31);
  it(`holds in ${FRESH_RUNS} fresh seeds from ${fresh} on`, () => {
    process.stdout.write(`simulation: fresh seeds ${fresh} to ${fresh + FRESH_RUNS - 1}\n`);
    expectHeld(sim(...SHORT, '--seed', String(fresh), '--runs', String(FRESH_RUNS)));
  });
});
