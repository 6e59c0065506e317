/**
 * From the start of the process to the first answered statement, on an empty catalog and on one
 * with 100,000 tablets. CPU time is what the process used until then, all threads together.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Bench, BenchContext, Figure } from './bench.ts';
import { type ServerOptions, ServerProcess } from './server_process.ts';
import { median } from './statistics.ts';

const PARTITIONS = 100;
const BUCKETS = 1000;
const ROUNDS = 7;
const ROUNDS_QUICK = 3;
const GOAL_EMPTY_CPU_S = 0.5;
const GOAL_FILLED_CPU_S = 1.5;
const DIST = fileURLToPath(new URL('../dist/server/main.js', import.meta.url));

type How = Pick<ServerOptions, 'env' | 'nodeArgs'>;

interface Sample {
  readonly wallSeconds: number;
  readonly cpuSeconds: number;
  readonly memoryMib: number;
}

export const START_UP: Bench = {
  name: 'start-up',
  about: 'process start to the first answered statement, empty catalog and 100,000 tablets',
  run: async (context) => {
    const empty = join(await context.directory(), 'empty');
    const filled = join(await context.directory(), 'filled');
    // The first start of all compiles and, from source, strips the types.
    const cold = await sample(context, empty, { env: { NODE_DISABLE_COMPILE_CACHE: '1' } });
    const figures: Figure[] = [
      ...figuresOf('empty, no compile cache', [cold]),
      ...figuresOf('empty catalog', await samples(context, empty), GOAL_EMPTY_CPU_S),
    ];
    await fill(context, filled);
    const full = await samples(context, filled);
    figures.push(...figuresOf('100,000 tablets', full, GOAL_FILLED_CPU_S));
    if (existsSync(DIST)) {
      const built = await samples(context, empty, { nodeArgs: ['--no-experimental-strip-types'] });
      figures.push(...figuresOf('empty catalog, dist', built, GOAL_EMPTY_CPU_S));
    } else {
      context.say('no dist: `npm run build` first to measure it as well');
    }
    return figures;
  },
};

async function samples(
  context: BenchContext,
  dataDir: string,
  how: How = {},
): Promise<readonly Sample[]> {
  // One that is not counted fills the compile cache.
  await sample(context, dataDir, how);
  const taken: Sample[] = [];
  for (let round = 0; round < (context.quick ? ROUNDS_QUICK : ROUNDS); round += 1) {
    taken.push(await sample(context, dataDir, how));
  }
  return taken;
}

async function sample(context: BenchContext, dataDir: string, how: How): Promise<Sample> {
  const startMs = performance.now();
  const server = await ServerProcess.start(context, { dataDir, ...how });
  const client = await server.connect();
  await client.query('SELECT 1');
  const wallSeconds = (performance.now() - startMs) / 1000;
  const cpuSeconds = await server.cpuSeconds();
  const memoryMib = await server.peakMemoryMib();
  client.destroy();
  await server.stop();
  return { wallSeconds, cpuSeconds, memoryMib };
}

function figuresOf(
  what: string,
  taken: readonly Sample[],
  goalCpuSeconds?: number,
): readonly Figure[] {
  const note = taken.length > 1 ? `median of ${taken.length} starts` : 'one start';
  const of = (pick: (one: Sample) => number): number => median(taken.map(pick));
  const cpu = of(({ cpuSeconds }) => cpuSeconds);
  return [
    {
      name: `${what}: CPU`,
      value: cpu,
      unit: 's',
      note,
      ...(goalCpuSeconds === undefined ? {} : { goal: { is: 'below', value: goalCpuSeconds } }),
    },
    { name: `${what}: wall`, value: of(({ wallSeconds }) => wallSeconds), unit: 's' },
    { name: `${what}: memory peak`, value: of(({ memoryMib }) => memoryMib), unit: 'MiB' },
  ];
}

async function fill(context: BenchContext, dataDir: string): Promise<void> {
  const server = await ServerProcess.start(context, { dataDir });
  const client = await server.connect();
  await client.query('CREATE DATABASE bench');
  const partitions = Array.from(
    { length: PARTITIONS },
    (_, place) => `PARTITION p${place} VALUES LESS THAN ('${place + 1}')`,
  );
  await client.query(
    `CREATE TABLE bench.wide (id INT NOT NULL, name VARCHAR(100)) PARTITION BY RANGE (id) (${partitions.join(', ')}) ` +
      `DISTRIBUTED BY HASH (id) BUCKETS ${BUCKETS}`,
  );
  await client.end();
  await server.stop();
}
