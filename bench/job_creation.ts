/**
 * How fast warm-up jobs are created: by the job layer on a real catalog file, with few and with
 * many jobs that are not final, and by WARM UP statements over the MySQL port. Beside it bare
 * commits of the same row on the same disk; they take turns, so that the ratio is of one run.
 */
import type { Connection } from 'mysql2/promise';
import { Config } from '../base/config.ts';
import { id } from '../base/ids.ts';
import type { WarmUpItem } from '../catalog/warm_up_jobs.ts';
import { BareCommits } from './bare_commits.ts';
import type { Bench, BenchContext, Figure } from './bench.ts';
import { ServerProcess } from './server_process.ts';
import { median, percentile } from './statistics.ts';
import { partitionPair, rowsOf } from './tables.ts';
import { startOwnServer } from './own_server.ts';

const ROUNDS = 5;
const ROUNDS_QUICK = 2;
const PER_ROUND = 300;
const MANY_JOBS = 5000;
const MANY_JOBS_QUICK = 1000;
const PARTITIONS = 100;
const CONNECTIONS = [1, 8] as const;
/** Jobs made at once while the catalog is being filled; not measured. */
const FILL_AT_ONCE = 50;

export const JOB_CREATION: Bench = {
  name: 'job-creation',
  about: 'warm-up jobs created a second against bare commits of SQLite',
  run: async (context) => [...(await jobLayer(context)), ...(await overMysql(context))],
};

/** What one round measured: the bare commits stand before and after the creations. */
interface Round {
  readonly bareMs: readonly number[];
  readonly createMs: readonly number[];
  /** Creations a second. */
  readonly perSecond: number;
  /** Milliseconds of CPU per creation, of all threads of the server's process. */
  readonly cpuMs: number;
}

// ---------------------------------------------------------------------------------------------
// The job layer

async function jobLayer(context: BenchContext): Promise<Figure[]> {
  const dataDir = await context.directory();
  const server = await startOwnServer(context, {
    dataDir,
    embedded: new Map(),
    config: new Config({ log_level: 'silent' }),
  });
  const { catalog, warmUps } = server.services;
  // Without backends: the jobs stay PENDING, and nothing but the scheduler's rounds runs beside.
  for (const name of ['read_group', 'write_group']) await catalog.computeGroups.create(name);
  const items = distinctItems();
  const create = async (): Promise<void> => {
    const tables = items.next().value;
    if (tables === undefined) throw new Error('no more different jobs');
    const plan = {
      batches: [{ backendId: id<never>(1), batch: 1, tabletIds: [id<never>(2)], bytes: 1000 }],
      totalBytes: 1000,
      totalTablets: 1,
      neededBytes: 1000,
      capacityBytes: 1000,
      leftOut: 0,
    };
    const job = {
      kind: 'TABLE',
      srcGroup: null,
      dstGroup: 'read_group',
      syncMode: 'ONCE',
      syncIntervalS: null,
      syncEvent: null,
      tableFilter: null,
      force: false,
      tables,
    } as const;
    const { existing } = await warmUps.create(job, plan);
    if (existing) throw new Error('a job was there already');
  };
  await create();
  const bare = new BareCommits(dataDir);
  context.defer(() => {
    bare.close();
  });
  const few = await inRounds(context, bare, 'few jobs', async () => await timesOf(create));
  const many = context.quick ? MANY_JOBS_QUICK : MANY_JOBS;
  for (let made = 1 + few.length * PER_ROUND; made < many; made += FILL_AT_ONCE) {
    await Promise.all(Array.from({ length: FILL_AT_ONCE }, create));
  }
  const rounds = await inRounds(context, bare, `${many} jobs`, async () => await timesOf(create));
  await server.close(0);
  return [
    ...bareFigures(few),
    ...figuresOf('job layer', few, 'ONCE WITH TABLE, few jobs before'),
    ...figuresOf(`job layer, ${many} active`, rounds, `${many} PENDING jobs before`),
  ];
}

/** One after another. */
async function timesOf(create: () => Promise<void>): Promise<Round> {
  const createMs: number[] = [];
  const startMs = performance.now();
  const cpu = process.cpuUsage();
  for (let i = 0; i < PER_ROUND; i += 1) {
    const from = performance.now();
    await create();
    createMs.push(performance.now() - from);
  }
  const seconds = (performance.now() - startMs) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  const cpuMs = (user + system) / 1000 / PER_ROUND;
  return { bareMs: [], createMs, perSecond: PER_ROUND / seconds, cpuMs };
}

/** No two the same: pairs of partitions of tables. */
function* distinctItems(): Generator<readonly WarmUpItem[]> {
  for (let table = 0; ; table += 1) {
    for (let place = 0; place < (PARTITIONS * (PARTITIONS - 1)) / 2; place += 1) {
      yield partitionPair(place).map((n) => ({
        db: 'bench',
        table: `t${table}`,
        partition: `p${n}`,
      }));
    }
  }
}

// ---------------------------------------------------------------------------------------------
// Over the MySQL port

async function overMysql(context: BenchContext): Promise<Figure[]> {
  const dataDir = await context.directory();
  const server = await ServerProcess.start(context, {
    dataDir,
    args: ['--embedded', 'write_group=1,read_group=1'],
    // The first job holds the slot of its target group: the others are created and wait.
    set: ['file_cache_warmup_download_rate_limit_bytes_per_second=1'],
  });
  const client = await server.connect();
  await makeTable(client);
  await client.query('WARM UP COMPUTE GROUP read_group WITH TABLE bench.t');
  const bare = new BareCommits(dataDir);
  context.defer(() => {
    bare.close();
  });
  const pairs = Array.from({ length: (PARTITIONS * (PARTITIONS - 1)) / 2 }, (_, n) => n).values();
  const figures: Figure[] = [];
  for (const count of CONNECTIONS) {
    const clients = await Promise.all(Array.from({ length: count }, () => server.connect()));
    const name = `MySQL, ${count} connection${count === 1 ? '' : 's'}`;
    const rounds = await inRounds(context, bare, name, async () => {
      const cpu = await server.cpuSeconds();
      const round = await statements(clients, pairs);
      const cpuMs = (((await server.cpuSeconds()) - cpu) * 1000) / PER_ROUND;
      return { ...round, cpuMs };
    });
    figures.push(...figuresOf(name, rounds, 'WARM UP ... WITH TABLE, two partitions'));
    for (const one of clients) await one.end();
  }
  const waiting = await rowsOf(client, "SHOW WARM UP JOB WHERE Status = 'FINISHED'");
  if (waiting.length > 0) throw new Error('jobs ran while others were created');
  await client.end();
  await server.stop();
  return figures;
}

async function makeTable(client: Connection): Promise<void> {
  const ids = Array.from({ length: PARTITIONS }, (_, n) => n);
  const partitions = ids.map((n) => `PARTITION p${n} VALUES LESS THAN ("${n + 1}")`);
  await client.query('CREATE DATABASE bench');
  await client.query(
    `CREATE TABLE bench.t (id INT NOT NULL) PARTITION BY RANGE (id) (${partitions.join(', ')}) ` +
      'DISTRIBUTED BY HASH (id) BUCKETS 1',
  );
  await client.query(`INSERT INTO bench.t VALUES ${ids.map((n) => `(${n})`).join(', ')}`);
}

/** Each connection asks for the next job when its last one was answered. */
async function statements(
  clients: readonly Connection[],
  pairs: IterableIterator<number>,
): Promise<Omit<Round, 'cpuMs'>> {
  const createMs: number[] = [];
  let left = PER_ROUND;
  const startMs = performance.now();
  const one = async (client: Connection): Promise<void> => {
    while (left > 0) {
      left -= 1;
      const items = partitionPair(pairs.next().value ?? 0).map(
        (n) => `TABLE bench.t PARTITION p${n}`,
      );
      const from = performance.now();
      await client.query(`WARM UP COMPUTE GROUP read_group WITH ${items.join(' AND ')}`);
      createMs.push(performance.now() - from);
    }
  };
  await Promise.all(clients.map(one));
  const seconds = (performance.now() - startMs) / 1000;
  return { bareMs: [], createMs, perSecond: PER_ROUND / seconds };
}

// ---------------------------------------------------------------------------------------------

async function inRounds(
  context: BenchContext,
  bare: BareCommits,
  name: string,
  create: () => Promise<Round>,
): Promise<readonly Round[]> {
  const rounds: Round[] = [];
  for (let i = 0; i < (context.quick ? ROUNDS_QUICK : ROUNDS); i += 1) {
    const before = bare.run(PER_ROUND);
    const round = await create();
    rounds.push({ ...round, bareMs: [...before, ...bare.run(PER_ROUND)] });
  }
  context.say(`${name}: ${median(rounds.map(({ perSecond }) => perSecond)).toFixed(0)} jobs/s`);
  return rounds;
}

function bareRate({ bareMs }: Round): number {
  return (1000 * bareMs.length) / bareMs.reduce((sum, ms) => sum + ms, 0);
}

function bareFigures(rounds: readonly Round[]): Figure[] {
  const all = rounds.flatMap(({ bareMs }) => bareMs);
  const value = median(rounds.map(bareRate));
  return [
    { name: 'bare commits', value, unit: '1/s', note: 'one insert of a job row each' },
    { name: 'bare commits: p50', value: percentile(all, 50), unit: 'ms' },
    { name: 'bare commits: p99', value: percentile(all, 99), unit: 'ms' },
  ];
}

function figuresOf(name: string, rounds: readonly Round[], note: string): Figure[] {
  const all = rounds.flatMap(({ createMs }) => createMs);
  const of = (pick: (round: Round) => number): number => median(rounds.map(pick));
  return [
    { name, value: of(({ perSecond }) => perSecond), unit: '1/s', note },
    { name: `${name} / bare commits`, value: of((one) => one.perSecond / bareRate(one)), unit: '' },
    { name: `${name}: p50`, value: percentile(all, 50), unit: 'ms' },
    { name: `${name}: p99`, value: percentile(all, 99), unit: 'ms' },
    { name: `${name}: CPU`, value: of(({ cpuMs }) => cpuMs), unit: 'ms', note: 'of the server' },
  ];
}
