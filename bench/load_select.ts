/** Loads and SELECTs of real data that ships with vega-datasets, through HTTP and SQL. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Connection } from 'mysql2/promise';
import type { Bench, Figure } from './bench.ts';
import { ServerProcess } from './server_process.ts';
import { median } from './statistics.ts';
import { backendPorts, clearCaches, rowsOf, streamLoad } from './tables.ts';

const MIB = 2 ** 20;
const ROUNDS = 3;
const DATASETS = fileURLToPath(new URL('../node_modules/vega-datasets/data/', import.meta.url));

interface Dataset {
  readonly table: string;
  readonly file: string;
  readonly rows: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly ddl: string;
  readonly queries: Readonly<Record<string, string>>;
}

const SMALL: Dataset = {
  table: 'flights_200k',
  file: 'flights-200k.json',
  rows: 200_000,
  headers: { format: 'json', strip_outer_array: 'true' },
  ddl: 'delay INT, distance INT, time DOUBLE) DISTRIBUTED BY HASH(distance) BUCKETS 8',
  queries: {
    count: 'SELECT COUNT(*) FROM bench.flights_200k',
    'group by': 'SELECT distance, COUNT(*), MAX(delay) FROM bench.flights_200k GROUP BY distance',
  },
};

const LARGE: Dataset = {
  table: 'flights_3m',
  file: 'flights-3m.parquet',
  rows: 3_000_000,
  headers: { format: 'parquet' },
  ddl:
    'date DATETIME, delay INT, distance INT, origin VARCHAR(8), destination VARCHAR(8)) ' +
    'DISTRIBUTED BY HASH(distance) BUCKETS 8',
  queries: {
    count: 'SELECT COUNT(*) FROM bench.flights_3m',
    'group by': 'SELECT origin, COUNT(*), MAX(delay) FROM bench.flights_3m GROUP BY origin',
  },
};

export const LOAD_SELECT: Bench = {
  name: 'load-select',
  about: 'stream load and SELECT of the flights of vega-datasets',
  run: async (context) => {
    const server = await ServerProcess.start(context, { dataDir: await context.directory() });
    const client = await server.connect();
    await client.query('CREATE DATABASE bench');
    const [port = 0] = await backendPorts(client, 'write_group');
    const figures: Figure[] = [];
    for (const dataset of context.quick ? [SMALL] : [SMALL, LARGE]) {
      figures.push(await load(client, port, dataset));
      await client.query('USE @read_group');
      figures.push(...(await select(client, dataset)));
    }
    const memoryMib = await server.peakMemoryMib();
    await client.end();
    return [...figures, { name: 'server: memory peak', value: memoryMib, unit: 'MiB' }];
  },
};

async function load(client: Connection, port: number, dataset: Dataset): Promise<Figure> {
  const { table, file, rows, headers, ddl } = dataset;
  await client.query(`CREATE TABLE bench.${table} (${ddl}`);
  const body = await readFile(join(DATASETS, file));
  const startMs = performance.now();
  await streamLoad(port, { db: 'bench', table, label: table, headers, body });
  const seconds = (performance.now() - startMs) / 1000;
  const [loaded] = await rowsOf(client, `SELECT COUNT(*) AS n FROM bench.${table}`);
  if (Number(loaded?.['n']) !== rows) throw new Error(`${String(loaded?.['n'])} of ${rows} rows`);
  const note = `${file}, ${(body.byteLength / MIB).toFixed(1)} MiB in ${seconds.toFixed(2)} s`;
  return { name: `load ${table}`, value: rows / seconds, unit: 'rows/s', note };
}

/** First with an empty cache, then the median of some more. */
async function select(client: Connection, { table, queries }: Dataset): Promise<readonly Figure[]> {
  const figures: Figure[] = [];
  for (const [what, sql] of Object.entries(queries)) {
    await clearCaches(client, 'read_group');
    const cold = await secondsOf(client, sql);
    const warm: number[] = [];
    for (let round = 0; round < ROUNDS; round += 1) warm.push(await secondsOf(client, sql));
    figures.push(
      { name: `${what} ${table}, empty cache`, value: cold, unit: 's' },
      { name: `${what} ${table}, cached`, value: median(warm), unit: 's' },
    );
  }
  return figures;
}

async function secondsOf(client: Connection, sql: string): Promise<number> {
  const startMs = performance.now();
  await client.query(sql);
  return (performance.now() - startMs) / 1000;
}
