/**
 * How long after a commit its rowset is in the target's cache, at 100 loads of one row a second:
 * from the commit's hook to the target's acknowledgement, in a server in this process, as a ratio
 * to one GET and one write of an object of that size. And what INSERT costs with and without it.
 */
import { readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type RowDataPacket, createConnection } from 'mysql2/promise';
import { Config } from '../base/config.ts';
import { systemClock } from '../base/system_ports.ts';
import type { ThermoclineServer } from '../server/server.ts';
import type { Bench, BenchContext, Figure } from './bench.ts';
import { median, percentile } from './statistics.ts';
import { startOwnServer } from './own_server.ts';

const GROUPS: ReadonlyMap<string, number> = new Map([
  ['write_group', 2],
  ['read_group', 2],
]);

const LOADS_PER_SECOND = 100;
const ROUNDS = 3;
const SECONDS = 4;
const SECONDS_QUICK = 2;
const BARE_ROUNDS = 200;
const DELIVERED_TIMEOUT_MS = 20_000;

interface Phase {
  /** Milliseconds of each INSERT, from its start to its answer. */
  readonly inserts: readonly number[];
  /** Milliseconds from each commit to the last acknowledgement of it. */
  readonly lags: readonly number[];
  /** Milliseconds of CPU, of all threads, per load. */
  readonly cpuMs: number;
}

export const EVENT_LAG: Bench = {
  name: 'event-lag',
  about: 'commit to block on the target at 100 loads a second',
  run: async (context) => {
    const config = new Config({ log_level: 'silent', disable_auto_compaction: 'true' });
    const dataDir = await context.directory();
    const server = await startOwnServer(context, { dataDir, embedded: GROUPS, config });
    await statement(server, 'CREATE DATABASE bench');
    await statement(
      server,
      'CREATE TABLE bench.t (id INT, name STRING) DISTRIBUTED BY HASH(id) BUCKETS 8',
    );
    await runLoads(context, server);
    const rounds: Round[] = [];
    for (let i = 0; i < (context.quick ? 1 : ROUNDS); i += 1) {
      rounds.push(await oneRound(context, server, config, dataDir));
    }
    return figures(rounds);
  },
};

interface Round {
  readonly alone: Phase;
  readonly filling: Phase;
  readonly events: Phase;
  /** Milliseconds of one GET and one write. */
  readonly bare: number;
}

/** The three take turns, so that what else the machine does meets them all. */
async function oneRound(
  context: BenchContext,
  server: ThermoclineServer,
  config: Config,
  dataDir: string,
): Promise<Round> {
  config.setLive('file_cache_fill_on_load', 'false');
  const alone = await runLoads(context, server);
  config.setLive('file_cache_fill_on_load', 'true');
  const filling = await runLoads(context, server);
  config.setLive('file_cache_fill_on_load', 'false');
  const jobId = await statement(
    server,
    'WARM UP COMPUTE GROUP read_group WITH COMPUTE GROUP write_group ' +
      'PROPERTIES("sync_mode" = "event_driven", "sync_event" = "load")',
  );
  const events = await runLoads(context, server);
  await statement(server, `CANCEL WARM UP JOB WHERE ID = ${jobId}`);
  return { alone, filling, events, bare: await bareMs(dataDir, await context.directory()) };
}

function figures(rounds: readonly Round[]): Figure[] {
  const lags = rounds.flatMap(({ events }) => events.lags);
  const ratio = (of: (round: Round) => number): number => median(rounds.map(of));
  const insert = (phase: Phase, percent: number): number => percentile(phase.inserts, percent);
  const lag = (round: Round, percent: number): number =>
    percentile(round.events.lags, percent) / round.bare;
  const note = 'to alone';
  return [
    { name: 'lag p50', value: percentile(lags, 50), unit: 'ms', note: `${lags.length} loads` },
    { name: 'lag p99', value: percentile(lags, 99), unit: 'ms' },
    { name: 'one GET and one write', value: ratio(({ bare }) => bare), unit: 'ms' },
    { name: 'lag p50 to GET and write', value: ratio((round) => lag(round, 50)), unit: '' },
    { name: 'lag p99 to GET and write', value: ratio((round) => lag(round, 99)), unit: '' },
    { name: 'CPU of a load', value: ratio(({ alone }) => alone.cpuMs), unit: 'ms' },
    {
      name: 'CPU with own cache',
      value: ratio(({ alone, filling }) => filling.cpuMs / alone.cpuMs),
      unit: '',
      note,
    },
    {
      name: 'CPU with events',
      value: ratio(({ alone, events }) => events.cpuMs / alone.cpuMs),
      unit: '',
      note,
    },
    { name: 'INSERT p50', value: ratio(({ alone }) => insert(alone, 50)), unit: 'ms' },
    {
      name: 'INSERT p50 with own cache',
      value: ratio(({ alone, filling }) => insert(filling, 50) / insert(alone, 50)),
      unit: '',
      note,
    },
    {
      name: 'INSERT p50 with events',
      value: ratio(({ alone, events }) => insert(events, 50) / insert(alone, 50)),
      unit: '',
      note,
    },
  ];
}

/** INSERTs at the rate, each beginning at its time whether or not the one before has ended. */
async function runLoads(context: BenchContext, server: ThermoclineServer): Promise<Phase> {
  const { loads, catalog, syncStats } = server.services;
  const table = await catalog.tables.get('bench', 't');
  const count = LOADS_PER_SECOND * (context.quick ? SECONDS_QUICK : SECONDS);
  const commits = new Map<number, number>();
  const lags = new Map<number, number>();
  const stopListening = catalog.rowsetEvents.onCommit(({ atMs, seq }) => {
    if (seq !== undefined && !commits.has(atMs)) commits.set(atMs, performance.now());
  });
  const finished = syncStats.finished.bind(syncStats);
  syncStats.finished = (jobId, counts, triggeredMs) => {
    finished(jobId, counts, triggeredMs);
    const from = commits.get(triggeredMs);
    if (from !== undefined) lags.set(triggeredMs, performance.now() - from);
  };
  const inserts: number[] = [];
  const running: Promise<void>[] = [];
  const start = performance.now();
  const cpu = process.cpuUsage();
  for (let load = 0; load < count; load += 1) {
    await systemClock.sleep(
      Math.max(0, start + (load * 1000) / LOADS_PER_SECOND - performance.now()),
    );
    running.push(
      (async () => {
        const from = performance.now();
        await loads.insert({
          table,
          columns: ['id', 'name'],
          rows: [[String(load), `row ${load}`]],
          label: '',
          computeGroupName: 'write_group',
          signal: new AbortController().signal,
        });
        inserts.push(performance.now() - from);
      })(),
    );
  }
  await Promise.all(running);
  const deadline = performance.now() + DELIVERED_TIMEOUT_MS;
  while (lags.size < commits.size) {
    if (performance.now() > deadline)
      throw new Error(`only ${lags.size} of ${commits.size} were delivered`);
    await systemClock.sleep(10);
  }
  stopListening();
  syncStats.finished = finished;
  const { user, system } = process.cpuUsage(cpu);
  const phase = { inserts, lags: [...lags.values()], cpuMs: (user + system) / 1000 / count };
  context.say(
    `INSERT p50 ${percentile(inserts, 50).toFixed(2)} ms, CPU ${phase.cpuMs.toFixed(2)} ms a load`,
  );
  return phase;
}

/** One object of such a load read from the vault's directory and written to another. */
async function bareMs(dataDir: string, to: string): Promise<number> {
  const data = join(dataDir, 'vault', 'data');
  const entries = await readdir(data, { recursive: true, withFileTypes: true });
  const paths = entries
    .filter((entry) => entry.isFile())
    .slice(0, BARE_ROUNDS)
    .map((entry) => join(entry.parentPath, entry.name));
  const times: number[] = [];
  for (const [place, path] of paths.entries()) {
    const from = performance.now();
    await writeFile(join(to, String(place)), await readFile(path));
    times.push(performance.now() - from);
  }
  await rm(to, { recursive: true, force: true });
  return median(times);
}

/** The first cell of what it returns. */
async function statement(server: ThermoclineServer, text: string): Promise<string> {
  const { port } = server.mysql;
  const client = await createConnection({ host: '127.0.0.1', port, user: 'root' });
  try {
    const [rows] = await client.query<(RowDataPacket & (string | number)[])[]>({
      sql: text,
      rowsAsArray: true,
    });
    return String((Array.isArray(rows) ? rows[0]?.[0] : undefined) ?? '');
  } finally {
    await client.end();
  }
}
