/**
 * SHOW WARM UP JOB (all, one by id, RUNS) while 500 jobs run, against the same SHOW of the same
 * jobs while all are paused, in turns: half of the jobs are periodic, half event-driven with loads
 * going on. Clients are a process of their own; the server is in this one, so that the delay of its
 * main loop can be measured, also without anybody asking.
 */
import { execFile } from 'node:child_process';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { type Connection, createConnection } from 'mysql2/promise';
import { Config } from '../base/config.ts';
import { systemClock } from '../base/system_ports.ts';
import type { ThermoclineServer } from '../server/server.ts';
import type { Bench, BenchContext, Figure } from './bench.ts';
import type { QueryClientOptions, QueryClientResult } from './query_client.ts';
import { median } from './statistics.ts';
import { rowsOf } from './tables.ts';
import { startOwnServer } from './own_server.ts';

/** Target groups with a backend each; every one has periodic jobs from all others. */
const TARGETS = 16;
/** Each has an event-driven job per target, but for the last ones of the 500. */
const TABLES = 16;
const JOBS = 500;
/** A run of each periodic job in so many seconds: about 51 runs a second. */
const INTERVAL_SECONDS = 5;
/** Each is an event for 15 or 16 targets. */
const LOADS_PER_SECOND = 10;
const ROUNDS = 3;
const CONNECTIONS = 2;
const WARM_UP_MS = 500;
const MEASURE_MS = 2500;
const MEASURE_MS_QUICK = 1500;
const LOOP_RESOLUTION_MS = 1;
const QUERY_CLIENT = fileURLToPath(new URL('query_client.ts', import.meta.url));

const run = promisify(execFile);

export const SHOW_500: Bench = {
  name: 'show-500',
  about: 'SHOW WARM UP JOB while 500 jobs run, against the same jobs paused',
  run: async (context) => {
    const server = await startOwnServer(context, {
      dataDir: await context.directory(),
      embedded: new Map(['write_group', ...targets()].map((group) => [group, 1])),
      config: new Config({ log_level: 'silent', disable_auto_compaction: 'true' }),
    });
    const client = await connect(server);
    const jobIds = await makeJobs(client);
    context.say(`${jobIds.length} jobs`);
    const statements = [
      ['all', 'SHOW WARM UP JOB'],
      ['by id', `SHOW WARM UP JOB WHERE ID = ${jobIds[0] ?? ''}`],
      ['RUNS', 'SHOW WARM UP JOB RUNS LIMIT 500'],
    ] as const;
    const phases: Phase[] = [];
    for (let i = 0; i < (context.quick ? 1 : ROUNDS); i += 1) {
      for (const jobs of ['run', 'paused'] as const) {
        const statement = jobs === 'run' ? 'RESUME' : 'PAUSE';
        // They were made running.
        if (i > 0 || jobs === 'paused') await tell(client, statement, jobIds);
        phases.push(await measure(context, server, jobs, statements));
      }
    }
    await client.end();
    return figuresOf(phases);
  },
};

interface Phase {
  readonly jobs: 'run' | 'paused';
  /** p99 delay of the server's main loop while nobody asks, milliseconds. */
  readonly loopP99Ms: number;
  readonly loopMaxMs: number;
  /** Share of one core that the server used while nobody asked. */
  readonly cpuShare: number;
  readonly shows: readonly (QueryClientResult & { readonly name: string })[];
}

async function measure(
  context: BenchContext,
  server: ThermoclineServer,
  jobs: Phase['jobs'],
  statements: readonly (readonly [name: string, sql: string])[],
): Promise<Phase> {
  const measureMs = context.quick ? MEASURE_MS_QUICK : MEASURE_MS;
  const loads = new Loads(server);
  if (jobs === 'run') loads.start();
  await systemClock.sleep(WARM_UP_MS);
  const loop = monitorEventLoopDelay({ resolution: LOOP_RESOLUTION_MS });
  loop.enable();
  const cpu = process.cpuUsage();
  await systemClock.sleep(measureMs);
  loop.disable();
  const { user, system } = process.cpuUsage(cpu);
  const shows: (QueryClientResult & { readonly name: string })[] = [];
  for (const [name, sql] of statements) {
    const { port } = server.mysql;
    const options: QueryClientOptions = {
      port,
      sql,
      connections: CONNECTIONS,
      warmUpMs: WARM_UP_MS,
      measureMs,
    };
    const { stdout } = await run(process.execPath, [QUERY_CLIENT, JSON.stringify(options)]);
    shows.push({ name, ...(JSON.parse(stdout) as QueryClientResult) });
  }
  await loads.stop();
  const phase: Phase = {
    jobs,
    loopP99Ms: loop.percentile(99) / 1e6,
    loopMaxMs: loop.max / 1e6,
    cpuShare: (user + system) / 1000 / measureMs,
    shows,
  };
  const rates = shows.map(({ name, perSecond }) => `${name} ${perSecond.toFixed(0)}/s`).join(', ');
  context.say(`jobs ${jobs}: loop p99 ${phase.loopP99Ms.toFixed(1)} ms, ${rates}`);
  return phase;
}

/** INSERTs of one row into one table after the other. */
class Loads {
  readonly #server: ThermoclineServer;
  #stopped = false;
  #done: Promise<void> = Promise.resolve();

  constructor(server: ThermoclineServer) {
    this.#server = server;
  }

  start(): void {
    this.#done = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#done;
  }

  async #run(): Promise<void> {
    const { loads, catalog } = this.#server.services;
    const signal = new AbortController().signal;
    const start = performance.now();
    for (let load = 0; !this.#stopped; load += 1) {
      const atMs = start + (load * 1000) / LOADS_PER_SECOND;
      await systemClock.sleep(Math.max(0, atMs - performance.now()));
      await loads.insert({
        table: await catalog.tables.get('bench', `t${load % TABLES}`),
        columns: ['id'],
        rows: [[String(load)]],
        label: '',
        computeGroupName: 'write_group',
        signal,
      });
    }
  }
}

/** Periodic jobs between all pairs of groups, and event-driven ones of single tables. */
async function makeJobs(client: Connection): Promise<readonly string[]> {
  const groups = ['write_group', ...targets()];
  const tables = Array.from({ length: TABLES }, (_, n) => `t${n}`);
  await client.query('CREATE DATABASE bench');
  for (const table of tables) {
    await client.query(`CREATE TABLE bench.${table} (id INT) DISTRIBUTED BY HASH (id) BUCKETS 1`);
    await client.query(`INSERT INTO bench.${table} VALUES (1)`);
  }
  // What was read is hot, and what a periodic job loads.
  for (const group of groups) {
    await client.query(`USE @${group}`);
    for (const table of tables.slice(0, 3)) await rowsOf(client, `SELECT * FROM bench.${table}`);
  }
  const ids: string[] = [];
  const add = async (sql: string): Promise<void> => {
    const [row] = await rowsOf(client, sql);
    ids.push(String(row?.['JobId']));
  };
  for (const target of targets()) {
    for (const source of groups) {
      if (source === target) continue;
      await add(
        `WARM UP COMPUTE GROUP ${target} WITH COMPUTE GROUP ${source} ` +
          `PROPERTIES ("sync_mode" = "periodic", "sync_interval_sec" = "${INTERVAL_SECONDS}")`,
      );
    }
  }
  for (const table of tables) {
    for (const target of targets()) {
      if (ids.length === JOBS) return ids;
      await add(
        `WARM UP COMPUTE GROUP ${target} WITH COMPUTE GROUP write_group ` +
          `ON TABLES (INCLUDE 'bench.${table}') ` +
          'PROPERTIES ("sync_mode" = "event_driven", "sync_event" = "load")',
      );
    }
  }
  return ids;
}

async function tell(
  client: Connection,
  what: 'PAUSE' | 'RESUME',
  jobIds: readonly string[],
): Promise<void> {
  for (const jobId of jobIds) await client.query(`${what} WARM UP JOB WHERE ID = ${jobId}`);
}

function targets(): readonly string[] {
  return Array.from({ length: TARGETS }, (_, n) => `target_${n}`);
}

async function connect({ mysql }: ThermoclineServer): Promise<Connection> {
  return await createConnection({ host: '127.0.0.1', port: mysql.port, user: 'root' });
}

function figuresOf(phases: readonly Phase[]): readonly Figure[] {
  const of = (jobs: Phase['jobs'], pick: (phase: Phase) => number): number =>
    median(phases.filter((phase) => phase.jobs === jobs).map(pick));
  const names = phases[0]?.shows.map(({ name }) => name) ?? [];
  const shows = names.flatMap((name, place): Figure[] => {
    const show = (pick: (result: QueryClientResult) => number) => (phase: Phase) => {
      const result = phase.shows[place];
      return result === undefined ? Number.NaN : pick(result);
    };
    const rate = show(({ perSecond }) => perSecond);
    const p50 = show(({ p50Ms }) => p50Ms);
    const p99 = show(({ p99Ms }) => p99Ms);
    return [
      { name: `${name}, jobs run`, value: of('run', rate), unit: '1/s' },
      { name: `${name}, jobs run / paused`, value: of('run', rate) / of('paused', rate), unit: '' },
      { name: `${name}, jobs run: p50`, value: of('run', p50), unit: 'ms' },
      { name: `${name}, jobs run: p99`, value: of('run', p99), unit: 'ms' },
      { name: `${name}, jobs paused: p50`, value: of('paused', p50), unit: 'ms' },
      { name: `${name}, jobs paused: p99`, value: of('paused', p99), unit: 'ms' },
    ];
  });
  const note = `${JOBS} jobs, ${LOADS_PER_SECOND} loads/s, nobody asks`;
  const loops = (['run', 'paused'] as const).flatMap((jobs): Figure[] => [
    { name: `loop p99, jobs ${jobs}`, value: of(jobs, (p) => p.loopP99Ms), unit: 'ms', note },
    { name: `loop max, jobs ${jobs}`, value: of(jobs, (p) => p.loopMaxMs), unit: 'ms' },
    { name: `CPU, jobs ${jobs}`, value: of(jobs, (p) => p.cpuShare), unit: 'cores' },
  ]);
  return [...shows, ...loops];
}
