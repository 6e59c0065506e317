/**
 * The front door against MariaDB: the same answers, logins, and what connections cost in memory.
 * Each server alone on one core, a client in C on the other; the two servers take turns.
 */
import { availableParallelism } from 'node:os';
import type { Connection } from 'mysql2/promise';
import type { Bench, BenchContext, Figure, Goal } from './bench.ts';
import { connectionMemory, unreadMemory } from './front_door_memory.ts';
import { type MariaDb, startMariaDb } from './mariadb.ts';
import { ServerProcess } from './server_process.ts';
import { median } from './statistics.ts';
import { rowsOf, warmUp } from './tables.ts';
import { WireClient, type WireLoad, type WireResult } from './wire_client.ts';

const SERVER_CORE = 0;
const CLIENT_CORE = 1;
const ROWS = 20;
/** Columns of the comparison: the first of SHOW WARM UP JOB, which are Doris's. */
const COLUMNS = 12;
const CONNECTIONS = [1, 8, 64, 1000] as const;
/** Where the ratio has a goal. */
const GOAL_CONNECTIONS = 8;
const ROUNDS = 3;
const MAX_CONNECTIONS = 6000;
const USER = 'bench';
/** Logs in with caching_sha2_password, which MariaDB does not have. */
const SHA2_USER = 'bench_sha2';
const PASSWORD = 'wire-client-1';
const LOGIN = {
  mode: 'login',
  connections: 8,
  password: PASSWORD,
  warmUpMs: 0,
  sql: '',
  rows: 0,
} as const;

const AT_LEAST_ONE: Goal = { is: 'at least', value: 1 };

interface Side {
  readonly port: number;
  readonly pid: number;
  readonly sql: string;
}

interface Case {
  readonly name: string;
  readonly load: Pick<WireLoad, 'mode' | 'connections' | 'tls'> & { readonly user?: string };
  readonly ours: Side;
  readonly theirs: readonly (Side & { readonly name: string })[];
  readonly goal?: Goal;
}

export const FRONT_DOOR: Bench = {
  name: 'front-door',
  about: 'answers of 20 rows, logins and memory of the MySQL port, against MariaDB',
  run: async (context) => {
    const client = await compileClient(context);
    const dataDir = await context.directory();
    const server = await ServerProcess.start(context, { dataDir, core: SERVER_CORE, set: SET });
    const figures = [...(await answers(context, dataDir, server, client, allCases))];
    await server.stop();
    const memory = { dataDir: await context.directory(), core: SERVER_CORE, set: SET };
    figures.push(
      ...(await connectionMemory(context, memory, client)),
      ...(await unreadMemory(context, memory, client)),
    );
    return figures;
  },
};

/** Its SELECTs alone. */
export const FRONT_DOOR_SELECTS: Bench = {
  name: 'front-door-selects',
  about: 'SELECTs of 20 rows from a table and from information_schema, against MariaDB',
  run: async (context) => {
    const client = await compileClient(context);
    const dataDir = await context.directory();
    const server = await ServerProcess.start(context, { dataDir, core: SERVER_CORE, set: SET });
    return await answers(context, dataDir, server, client, selectCases);
  },
};

/** What connections cost in memory, alone. */
export const FRONT_DOOR_MEMORY: Bench = {
  name: 'front-door-memory',
  about: 'memory of connections that wait, and of a million rows that nobody reads',
  run: async (context) => {
    const client = await compileClient(context);
    const memory = { dataDir: await context.directory(), core: SERVER_CORE, set: SET };
    return [
      ...(await connectionMemory(context, memory, client)),
      ...(await unreadMemory(context, memory, client)),
    ];
  },
};

const SET = [`max_connections=${MAX_CONNECTIONS}`];

async function compileClient(context: BenchContext): Promise<WireClient> {
  if (availableParallelism() < 2) throw new Error('needs two cores: server and client apart');
  return await WireClient.compile(context, CLIENT_CORE);
}

type Cases = (
  ours: Pick<Side, 'port' | 'pid'>,
  mariaDb: MariaDb | undefined,
  columns: readonly string[],
) => readonly Case[];

async function answers(
  context: BenchContext,
  dataDir: string,
  server: ServerProcess,
  client: WireClient,
  cases: Cases,
): Promise<readonly Figure[]> {
  const setUp = await server.connect();
  const native = 'IDENTIFIED WITH mysql_native_password';
  await setUp.query(`CREATE USER ${USER} ${native} BY '${PASSWORD}'`);
  await setUp.query(`GRANT ALL ON *.* TO ${USER}`);
  await setUp.query(`CREATE USER ${SHA2_USER} IDENTIFIED BY '${PASSWORD}'`);
  await makeJobs(setUp);
  const jobs = await rowsOf(setUp, 'SHOW WARM UP JOB');
  const columns = Object.keys(jobs[0] ?? {});
  await makeTable(setUp, 'narrow', jobs, columns.slice(0, COLUMNS), OURS);
  // The same certificate, made by the first login over TLS.
  const { mysqlPort: port, pid } = server;
  await client.load({ ...LOGIN, port, pid, user: USER, tls: true, measureMs: 100 });
  const tls = [`--ssl-cert=${dataDir}/tls/server.pem`, `--ssl-key=${dataDir}/tls/key.pem`];
  const mariaDb = await startMariaDb(context, SERVER_CORE, ['--max-connections=2000', ...tls]);
  if (mariaDb === undefined) context.say('MariaDB is not installed: no ratios');
  else await copyJobs(mariaDb, jobs, columns);
  await setUp.end();
  const figures: Figure[] = [];
  for (const one of cases({ port, pid }, mariaDb, columns)) {
    figures.push(...(await compare(context, client, one)));
  }
  return figures;
}

const theirsOf =
  (mariaDb: MariaDb | undefined) =>
  (name: string, sql: string): Case['theirs'] =>
    mariaDb === undefined ? [] : [{ name, port: mariaDb.port, pid: mariaDb.pid, sql }];

const NARROW = 'SELECT * FROM bench.narrow';

/** The same 20 rows of 12 columns from a table, and from information_schema. */
const selectCases: Cases = (ours, mariaDb, columns) => {
  const theirs = theirsOf(mariaDb)(`${COLUMNS} columns`, NARROW);
  const narrow = columns.slice(0, COLUMNS).join(', ');
  const selects = {
    'SELECT from information_schema': `SELECT ${narrow} FROM information_schema.warm_up_jobs`,
    'SELECT from a table': NARROW,
  };
  return Object.entries(selects).flatMap(([name, sql]) =>
    [1, GOAL_CONNECTIONS].map((connections): Case => ({
      name: `${name}, text, ${connections}`,
      load: { mode: 'text', connections, tls: false },
      ours: { ...ours, sql },
      theirs,
    })),
  );
};

const allCases: Cases = (ours, mariaDb, columns) => {
  const theirs = theirsOf(mariaDb);
  const show = { ...ours, sql: 'SHOW WARM UP JOB' };
  const answersOf = CONNECTIONS.flatMap((connections) =>
    [false, true].flatMap((tls) =>
      (['text', 'prepared'] as const).map((mode): Case => {
        const name = `${mode}${tls ? ' TLS' : ''}, ${connections}`;
        const load = { mode, connections, tls };
        const both = [
          ...theirs(`${columns.length} columns`, 'SELECT * FROM bench.wide'),
          ...theirs(`${COLUMNS} columns`, NARROW),
        ];
        const goal = connections === GOAL_CONNECTIONS ? { goal: AT_LEAST_ONE } : {};
        return { name: `SHOW, ${name}`, load, ours: show, theirs: both, ...goal };
      }),
    ),
  );
  const logins = [false, true].flatMap((tls): readonly Case[] => {
    const load = { mode: 'login', connections: LOGIN.connections, tls } as const;
    const name = `${tls ? ' TLS' : ''}, ${LOGIN.connections}`;
    const own = { ...ours, sql: '' };
    return [
      { name: `logins${name}`, load, ours: own, theirs: theirs('', '') },
      { name: `logins, sha2${name}`, load: { ...load, user: SHA2_USER }, ours: own, theirs: [] },
    ];
  });
  return [...answersOf, ...selectCases(ours, mariaDb, columns), ...logins];
};

async function makeJobs(client: Connection): Promise<void> {
  await client.query('CREATE DATABASE bench');
  await client.query('CREATE TABLE bench.t (id INT) DISTRIBUTED BY HASH (id) BUCKETS 1');
  await client.query('INSERT INTO bench.t VALUES (1), (2), (3)');
  for (let job = 0; job < ROWS; job += 1) {
    await warmUp(client, 'WARM UP COMPUTE GROUP read_group WITH TABLE bench.t');
  }
}

/** The same values, as text, since SHOW answers text. */
async function copyJobs(
  mariaDb: MariaDb,
  jobs: readonly Readonly<Record<string, unknown>>[],
  columns: readonly string[],
): Promise<void> {
  const client = await mariaDb.connect();
  await client.query(`CREATE USER ${USER} IDENTIFIED BY '${PASSWORD}'`);
  await client.query(`GRANT ALL ON *.* TO ${USER}`);
  await client.query('CREATE DATABASE bench CHARACTER SET utf8mb4');
  await makeTable(client, 'wide', jobs, columns, '');
  await makeTable(client, 'narrow', jobs, columns.slice(0, COLUMNS), '');
  await client.end();
}

/** What a table of ours needs behind its columns. */
const OURS = ' DISTRIBUTED BY HASH (JobId) BUCKETS 1';

async function makeTable(
  client: Connection,
  table: string,
  jobs: readonly Readonly<Record<string, unknown>>[],
  names: readonly string[],
  tail: string,
): Promise<void> {
  const definitions = names.map((name) => `\`${name}\` VARCHAR(255)`);
  await client.query(`CREATE TABLE bench.${table} (${definitions.join(', ')})${tail}`);
  const rows = jobs.map((job) => names.map((name) => job[name]));
  await client.query(`INSERT INTO bench.${table} VALUES ?`, [rows]);
}

/** In turns, so that whatever else the machine does hits all of them; medians of the rounds. */
async function compare(
  context: BenchContext,
  client: WireClient,
  { name, load, ours, theirs, goal }: Case,
): Promise<readonly Figure[]> {
  const rounds = context.quick ? 1 : ROUNDS;
  const results = new Map<Side, WireResult[]>([ours, ...theirs].map((side) => [side, []]));
  for (let round = 0; round < rounds; round += 1) {
    for (const [side, list] of results) list.push(await ask(context, client, load, side));
  }
  const of = (side: Side): readonly WireResult[] => results.get(side) ?? [];
  const middle = (side: Side, pick: (result: WireResult) => number): number =>
    median(of(side).map(pick));
  const busy = Math.max(...[...results.values()].flat().map((result) => result.busy));
  const figures: Figure[] = [
    {
      name,
      value: middle(ours, ({ perSecond }) => perSecond),
      unit: '1/s',
      note: `the client used at most ${busy.toFixed(2)} of its core`,
    },
    { name: `${name}: p99`, value: middle(ours, ({ p99Ms }) => p99Ms), unit: 'ms' },
  ];
  for (const side of theirs) {
    const rates = of(side).map(({ perSecond }) => perSecond);
    const ratios = of(ours).map(({ perSecond }, at) => perSecond / (rates[at] ?? Number.NaN));
    const range = `${Math.min(...ratios).toFixed(2)} to ${Math.max(...ratios).toFixed(2)}`;
    const p99 = middle(side, ({ p99Ms }) => p99Ms).toFixed(2);
    const against = `${name} / MariaDB${side.name === '' ? '' : `, ${side.name}`}`;
    figures.push({
      name: against,
      value: median(ratios),
      unit: '',
      ...(goal === undefined ? {} : { goal }),
      note: `rounds ${range}; MariaDB ${Math.round(median(rates))}/s, p99 ${p99} ms`,
    });
    const perCpu = of(ours).map((own, at) => perCpuSecond(own) / perCpuSecond(of(side)[at]));
    figures.push({
      name: `${against}, per CPU second`,
      value: median(perCpu),
      unit: '',
      ...(goal === undefined ? {} : { goal }),
      note: `rounds ${Math.min(...perCpu).toFixed(2)} to ${Math.max(...perCpu).toFixed(2)}`,
    });
  }
  for (const { name: figure, value } of figures) context.say(`${figure}: ${value.toFixed(3)}`);
  return figures;
}

/** What the rate would be if nothing else ran on the server's core and it never waited. */
function perCpuSecond(result: WireResult | undefined): number {
  return result === undefined ? Number.NaN : result.perSecond / result.serverBusy;
}

async function ask(
  context: BenchContext,
  client: WireClient,
  load: Case['load'],
  { port, pid, sql }: Side,
): Promise<WireResult> {
  return await client.load({
    user: USER,
    ...load,
    port,
    pid,
    sql,
    password: PASSWORD,
    rows: ROWS,
    warmUpMs: context.quick ? 300 : 700,
    measureMs: context.quick ? 500 : 1500,
  });
}
