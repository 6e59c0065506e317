/**
 * SHOW WARM UP JOB with 20 rows over 1, 8 and 64 connections, against MariaDB returning the same
 * rows from a table: same client in its own process on one core, each server alone on the other.
 */
import { execFile } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Connection } from 'mysql2/promise';
import type { Bench, BenchContext, Figure } from './bench.ts';
import { pinned } from './child_program.ts';
import { type MariaDb, startMariaDb } from './mariadb.ts';
import type { QueryClientOptions, QueryClientResult } from './query_client.ts';
import { ServerProcess } from './server_process.ts';
import { rowsOf, warmUp } from './tables.ts';

const JOBS = 20;
/** Columns of Doris that the comparison is about; ours come after them. */
const COLUMNS = 12;
const CONNECTIONS = [1, 8, 64] as const;
const SERVER_CORE = 0;
const CLIENT_CORE = 1;
const WARM_UP_MS = 1000;
const MEASURE_MS = 2500;
const MEASURE_MS_QUICK = 1000;
const SHOW = 'SHOW WARM UP JOB';
const QUERY_CLIENT = fileURLToPath(new URL('query_client.ts', import.meta.url));

const run = promisify(execFile);

export const SHOW_JOBS: Bench = {
  name: 'show-jobs',
  about: 'SHOW WARM UP JOB with 20 rows against MariaDB with the same rows',
  run: async (context) => {
    if (availableParallelism() < 2) throw new Error('needs two cores: server and client apart');
    const dataDir = await context.directory();
    const server = await ServerProcess.start(context, { dataDir, core: SERVER_CORE });
    const client = await server.connect();
    await makeJobs(client);
    const jobs = await rowsOf(client, SHOW);
    await client.end();
    const mariaDb = await startMariaDb(context, SERVER_CORE);
    if (mariaDb === undefined)
      context.say('MariaDB is not installed (mariadb-server): not compared');
    const all = Object.keys(jobs[0] ?? {});
    if (mariaDb !== undefined) {
      await copyRows(mariaDb, 'narrow', jobs, all.slice(0, COLUMNS));
      await copyRows(mariaDb, 'wide', jobs, all);
    }
    const figures: Figure[] = [];
    for (const connections of CONNECTIONS) {
      const name = `${connections} connection${connections === 1 ? '' : 's'}`;
      const ours = await ask(context, server.mysqlPort, SHOW, connections);
      figures.push(
        ...figuresOf(`Thermocline, ${name}`, ours, `${JOBS} rows × ${all.length} columns`),
      );
      if (mariaDb === undefined) continue;
      for (const [table, columns] of [
        ['narrow', COLUMNS],
        ['wide', all.length],
      ] as const) {
        const sql = `SELECT * FROM bench.${table}`;
        const theirs = await ask(context, mariaDb.port, sql, connections);
        const note = `${mariaDb.version}, ${JOBS} rows × ${columns} columns`;
        figures.push(...figuresOf(`MariaDB ${table}, ${name}`, theirs, note), {
          name: `Thermocline / MariaDB ${table}, ${name}`,
          value: ours.perSecond / theirs.perSecond,
          unit: '',
        });
      }
    }
    return figures;
  },
};

async function makeJobs(client: Connection): Promise<void> {
  await client.query('CREATE DATABASE bench');
  await client.query('CREATE TABLE bench.t (id INT) DISTRIBUTED BY HASH (id) BUCKETS 1');
  await client.query('INSERT INTO bench.t VALUES (1), (2), (3)');
  for (let job = 0; job < JOBS; job += 1) {
    await warmUp(client, 'WARM UP COMPUTE GROUP read_group WITH TABLE bench.t');
  }
}

async function copyRows(
  mariaDb: MariaDb,
  table: string,
  jobs: readonly Readonly<Record<string, unknown>>[],
  columns: readonly string[],
): Promise<void> {
  const client = await mariaDb.connect();
  await client.query('CREATE DATABASE IF NOT EXISTS bench CHARACTER SET utf8mb4');
  const definitions = columns.map((column) => `\`${column}\` VARCHAR(255)`);
  await client.query(`CREATE TABLE bench.${table} (${definitions.join(', ')})`);
  const rows = jobs.map((job) => columns.map((column) => job[column]));
  await client.query(`INSERT INTO bench.${table} VALUES ?`, [rows]);
  await client.end();
}

async function ask(
  context: BenchContext,
  port: number,
  sql: string,
  connections: number,
): Promise<QueryClientResult> {
  const measureMs = context.quick ? MEASURE_MS_QUICK : MEASURE_MS;
  const warmUpMs = context.quick ? WARM_UP_MS / 2 : WARM_UP_MS;
  const options: QueryClientOptions = { port, sql, connections, warmUpMs, measureMs, rows: JOBS };
  const command = [process.execPath, QUERY_CLIENT, JSON.stringify(options)];
  const [program = '', ...args] = pinned(CLIENT_CORE, command);
  const { stdout } = await run(program, args);
  return JSON.parse(stdout) as QueryClientResult;
}

function figuresOf(name: string, result: QueryClientResult, note: string): readonly Figure[] {
  return [
    { name, value: result.perSecond, unit: '1/s', note },
    { name: `${name}: p99`, value: result.p99Ms, unit: 'ms' },
  ];
}
