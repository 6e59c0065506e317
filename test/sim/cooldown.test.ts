/**
 * The cooldown world of the simulator (docs/simulation.md), in processes of its own: named
 * schedules, small scopes, and every defect of the first version of the mechanism with the
 * invariant that finds it.
 */
import { randomInt } from 'node:crypto';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { CANARIES, NOT_EXPRESSED, SCOPES } from './cooldown_defects.ts';
import { KNOWN_SEEDS, PLANTED_RUNS } from './cooldown_seeds.ts';

const ROOT = new URL('../..', import.meta.url).pathname;
const OUTPUT_BYTES_MAX = 64 * 2 ** 20;

interface Outcome {
  readonly exitCode: number | null;
  readonly output: string;
}

function sim(...args: readonly string[]): Outcome {
  const run = spawnSync(process.execPath, ['sim/main.ts', '--world', 'cooldown', ...args], {
    cwd: ROOT,
    encoding: 'utf8',
    maxBuffer: OUTPUT_BYTES_MAX,
  });
  return { exitCode: run.status, output: run.stdout + run.stderr };
}

/** Fails with what the simulator said: the command that repeats it is in it. */
function expectHeld({ exitCode, output }: Outcome): string {
  if (exitCode !== 0) throw new Error(output);
  return output;
}

describe('the simulation of cooldown', () => {
  it('holds in all named schedules, and gives the same trace twice', () => {
    const once = expectHeld(sim('--schedules', 'all'));
    const lines = once.split('\n').filter((line) => line !== '');
    expect(lines.length).toBeGreaterThan(15);
    for (const line of lines) expect(line).toMatch(/^schedule [a-z0-9-]+ plant none ok digest/);
    const again = expectHeld(sim('--schedules', 'calm,two-processes-one-replica'));
    for (const line of again.trim().split('\n')) expect(lines).toContain(line);
  });

  const planted = new Map<string, string>();
  it('finds every planted defect', () => {
    const list = CANARIES.map(({ plant, schedule }) => `${schedule}:${plant}`);
    for (const line of expectHeld(sim('--schedules', list.join(','))).split('\n')) {
      const [, plant, invariant] = /plant (\S+) FAILED (\S+) /.exec(line) ?? [];
      if (plant !== undefined && invariant !== undefined) planted.set(plant, invariant);
    }
    expect(planted.size).toBe(CANARIES.length);
  });

  it.each(CANARIES)('$defect is found by $invariant', ({ plant, invariant }) => {
    expect(planted.get(plant)).toBe(invariant);
  });

  const inScopes = CANARIES.flatMap(({ defect, plant, scope }) =>
    scope === undefined ? [] : [{ defect, plant, scope }],
  );
  it.each(inScopes)('$defect is found in the scope $scope', ({ plant, scope }) => {
    const { exitCode, output } = sim('--scope', scope, '--deviations', '1', '--plant', plant);
    expect(output).toMatch(/^invariant '\S+' does not hold in scope/m);
    expect(exitCode).toBe(1);
  });

  it('has a plant or a reason for every defect of the first version', () => {
    const named = [...CANARIES, ...NOT_EXPRESSED].map(({ defect }) => defect).join(' ');
    for (let number = 1; number <= 30; number += 1) {
      expect(named).toMatch(new RegExp(`#${number}\\b`));
    }
    for (const { reason } of NOT_EXPRESSED) expect(reason).not.toBe('');
  });

  it.each(SCOPES)(
    'holds in the scope $scope with one thing that goes otherwise, anywhere',
    ({ scope, runsMin }) => {
      const output = expectHeld(sim('--scope', scope, '--deviations', '1'));
      const [, runs, upTo] = /: (\d+) runs, all with up to (-?\d+) deviations/.exec(output) ?? [];
      expect(Number(upTo)).toBe(1);
      expect(Number(runs)).toBeGreaterThan(runsMin);
    },
  );

  // Without a defect, and with one that shows in some runs only.
  it.each([
    { plant: 'none', violated: '' },
    { plant: 'manifest-of-no-term', violated: 'I9-manifest-well-formed' },
  ])('comes to the same ends whether equal states are merged or not: $plant', (known) => {
    const { plant, violated } = known;
    const tell = (merging: string): readonly string[] => {
      const args = ['--scope', 'smallest', '--deviations', '1', '--plant', plant];
      const { output } = sim(...args, '--merging', merging, '--quiet');
      return output.split('\n').filter((line) => /^(ends|violated) /.test(line));
    };
    const merged = tell('on');
    expect(merged).toHaveLength(2);
    expect(merged[0]?.split(' ').length).toBeGreaterThan(20);
    expect(merged[1]).toContain(violated);
    expect(tell('off')).toEqual(merged);
    // Goes on where others have been: what comes then has to be what came there.
    expect(tell('audit')).toEqual(merged);
  });

  it('goes on with an exploration where it was stopped', () => {
    const dir = mkdtempSync(join(tmpdir(), 'thermocline-scope-'));
    try {
      const args = ['--scope', 'smallest', '--deviations', '1'];
      const whole = expectHeld(sim(...args));
      const file = ['--resume', join(dir, 'explored')];
      expect(expectHeld(sim(...args, ...file, '--runs-max', '20'))).toMatch(
        /^not complete: 20 runs/m,
      );
      expect(expectHeld(sim(...args, ...file))).toBe(whole);
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  });

  it('finds a stale leader by itself that nothing fences', () => {
    const args = ['--scope', 'two-replicas', '--deviations', '1', '--plant', 'no-fencing'];
    const { exitCode, output } = sim(...args);
    expect(output).toMatch(/invariant 'I3-one-publisher' does not hold/);
    const [, again] = /^again: npm run sim -- (.*) --trace$/m.exec(output) ?? [];
    const script = /--script "([^"]*)"/.exec(again ?? '')?.[1] ?? '';
    expect(sim(...args, '--script', script).output).toContain("invariant 'I3-one-publisher'");
    expect(exitCode).toBe(1);
  });

  it.each(KNOWN_SEEDS)('holds in seed $seed, where $found', ({ seed, control }) => {
    expectHeld(sim('--quiet', '--control', control, '--seed', String(seed)));
  });

  it.each(PLANTED_RUNS)('finds $plant in a run', ({ plant, firstSeed, runs, invariant }) => {
    const seeds = ['--seed', String(firstSeed), '--runs', String(runs)];
    const { output, exitCode } = sim('--quiet', '--plant', plant, ...seeds);
    expect(output).toContain(`invariant '${invariant}' does not hold`);
    expect(exitCode).toBe(1);
  });

  it('gives the same trace twice for the same seed', () => {
    const args = ['--seed', '8', '--events', '8', '--trace'];
    const [once, again] = [sim(...args), sim(...args)];
    expectHeld(once);
    expect(again.output).toBe(once.output);
  });

  const first = randomInt(2 ** 31);
  it.each([
    { control: 'real', seed: 1, runs: 2 },
    { control: 'model', seed: 1, runs: 15 },
    { control: 'real', seed: first, runs: 5 },
    { control: 'model', seed: first, runs: 20 },
  ])('holds in $runs seeds from $seed on, $control control plane', ({ control, seed, runs }) => {
    process.stdout.write(`cooldown: ${control} seeds ${seed} to ${seed + runs - 1}\n`);
    const seeds = ['--seed', String(seed), '--runs', String(runs)];
    expectHeld(sim('--quiet', '--control', control, '--events', '12', ...seeds));
  });
});
