/** What connections cost in memory: those that do nothing, and one that does not read. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { BenchContext, Figure } from './bench.ts';
import { ServerProcess, type ServerOptions } from './server_process.ts';
import { backendPorts, rowsOf, streamLoad } from './tables.ts';
import type { WireClient } from './wire_client.ts';

const IDLE_CONNECTIONS = 5000;
const IDLE_CONNECTIONS_QUICK = 500;
const POLL_MS = 200;
/** Memory that has not changed for so long will not change without a reason. */
const STILL_MS = 3000;
const KB = 1000;
const MIB_IN_MB = 2 ** 20 / 1e6;
const DATASETS = fileURLToPath(new URL('../node_modules/vega-datasets/data/', import.meta.url));
const FLIGHTS = 'flights-3m.parquet';

/** Growth of the resident set of a fresh server by connections that have logged in and wait. */
export async function connectionMemory(
  context: BenchContext,
  options: ServerOptions,
  client: WireClient,
): Promise<readonly Figure[]> {
  const figures: Figure[] = [];
  const count = context.quick ? IDLE_CONNECTIONS_QUICK : IDLE_CONNECTIONS;
  for (const tls of [false, true]) {
    const server = await ServerProcess.start(context, options);
    const before = await settled(server);
    const held = await client.hold({ port: server.mysqlPort, connections: count, tls });
    const after = await settled(server);
    await held.release();
    await server.stop();
    const bytes = ((after - before) * 2 ** 20) / count;
    figures.push({
      name: `memory per idle connection${tls ? ' with TLS' : ''}`,
      value: bytes / KB,
      unit: 'kB',
      ...(tls ? {} : { goal: { is: 'below', value: 25 } }),
      note: `${count} of them, from ${before.toFixed(0)} to ${after.toFixed(0)} MiB resident`,
    });
  }
  return figures;
}

interface Unread {
  readonly name: string;
  readonly sql: string;
}

const NUMBERS =
  'WITH RECURSIVE n AS (SELECT 1 AS x UNION ALL SELECT x + 1 FROM n WHERE x < 1000000)';
const UNREAD: readonly Unread[] = [
  { name: 'a million computed rows', sql: `${NUMBERS} SELECT x, REPEAT('x', 100) FROM n` },
  { name: 'a million rows of a table', sql: 'SELECT * FROM bench.flights LIMIT 1000000' },
];

/** Peaks of a fresh server whose client asks for a million rows and reads none. */
export async function unreadMemory(
  context: BenchContext,
  options: ServerOptions,
  client: WireClient,
): Promise<readonly Figure[]> {
  const loader = await ServerProcess.start(context, options);
  await loadFlights(loader);
  await loader.stop();
  const figures: Figure[] = [];
  for (const { name, sql } of UNREAD) {
    const server = await ServerProcess.start(context, options);
    const before = await settled(server);
    const held = await client.hold({ port: server.mysqlPort, connections: 1, tls: false, sql });
    await settled(server);
    const peak = await server.peakMemoryMib();
    const query = await server.childPeakMemoryMib();
    const own = await server.childOwnMemoryMib();
    await held.release();
    await server.stop();
    const unread = `${name}, not read`;
    figures.push(
      {
        name: `${unread}: growth of the server to its peak`,
        value: (peak - before) * MIB_IN_MB,
        unit: 'MB',
        goal: { is: 'below', value: 150 },
        note: `from ${(before * MIB_IN_MB).toFixed(0)} to ${(peak * MIB_IN_MB).toFixed(0)} MB`,
      },
      { name: `${unread}: peak of its query process`, value: query * MIB_IN_MB, unit: 'MB' },
      {
        name: `${unread}: both together`,
        value: (peak - before + own) * MIB_IN_MB,
        unit: 'MB',
        goal: { is: 'below', value: 150 },
        note: `${(own * MIB_IN_MB).toFixed(0)} MB of the query process are its own`,
      },
    );
  }
  return figures;
}

async function loadFlights(server: ServerProcess): Promise<void> {
  const client = await server.connect();
  await client.query('CREATE DATABASE bench');
  await client.query(
    'CREATE TABLE bench.flights (date DATETIME, delay INT, distance INT, origin VARCHAR(8), ' +
      'destination VARCHAR(8)) DISTRIBUTED BY HASH(distance) BUCKETS 8',
  );
  const [port = 0] = await backendPorts(client, 'write_group');
  const load = { db: 'bench', table: 'flights', label: 'flights', headers: { format: 'parquet' } };
  await streamLoad(port, { ...load, body: await readFile(join(DATASETS, FLIGHTS)) });
  await rowsOf(client, 'SELECT COUNT(*) FROM bench.flights');
  await client.end();
}

/** Resident set when it does not change any more, MiB. */
async function settled(server: ServerProcess): Promise<number> {
  let last = await server.memoryMib();
  for (let stillMs = 0; stillMs < STILL_MS; stillMs += POLL_MS) {
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    const now = await server.memoryMib();
    if (Math.abs(now - last) > 1) stillMs = 0;
    last = now;
  }
  return last;
}
