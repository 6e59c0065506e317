/**
 * `thermocline demo`: the main job from end to end on a real dataset, seen from outside: statements
 * through the MySQL port, files through stream load, requests to the object store as the backends
 * count them. Ends with exit code 1 when the second read touched the object store.
 */
import { createReadStream } from 'node:fs';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { SingleBar } from 'cli-progress';
import { type Connection, type RowDataPacket, createConnection } from 'mysql2/promise';
import { request } from 'undici';
import { Config } from '../base/config.ts';
import { SILENT_LOG } from '../base/ports.ts';
import { systemClock, systemRandom } from '../base/system_ports.ts';
import { MIB } from '../base/units.ts';
import { ThermoclineServer } from './server.ts';

const POLL_MS = 50;
/** A demo that takes longer than this is broken. */
const WARM_UP_TIMEOUT_S = 120;

const DATASETS = [
  {
    table: 'airports',
    file: 'airports.csv',
    headers: { format: 'csv_with_names', column_separator: ',', enclose: '"' },
    ddl: `CREATE TABLE airports (iata VARCHAR(8), name VARCHAR(64), city VARCHAR(64), state VARCHAR(8),
      country VARCHAR(64), latitude DOUBLE, longitude DOUBLE)
      DUPLICATE KEY(iata) DISTRIBUTED BY HASH(iata) BUCKETS 2`,
  },
  {
    table: 'flights',
    file: 'flights-200k.json',
    headers: { format: 'json', strip_outer_array: 'true' },
    ddl: `CREATE TABLE flights (delay INT, distance INT, time DOUBLE)
      DUPLICATE KEY(delay, distance) DISTRIBUTED BY HASH(distance) BUCKETS 8`,
  },
] as const;

const QUERIES = [
  `SELECT state, COUNT(*) AS airports FROM demo.airports GROUP BY state ORDER BY airports DESC, state LIMIT 3`,
  `SELECT COUNT(*) AS flights, MAX(delay) AS worst_delay, SUM(distance) AS miles FROM demo.flights`,
] as const;

/** Returns the exit code. */
export async function runDemo(): Promise<number> {
  const dataDir = await mkdtemp(join(tmpdir(), 'thermocline-demo-'));
  const screen = new Screen();
  let server: ThermoclineServer | undefined;
  let client: Connection | undefined;
  try {
    server = await screen.step('start two compute groups with two backends each', async () =>
      startServer(dataDir),
    );
    const { mysql } = server;
    client = await createConnection({ host: mysql.host, port: mysql.port, user: 'root' });
    return await new Demo(client, server, screen).run();
  } finally {
    await client?.end();
    await server?.close(0);
    await rm(dataDir, { recursive: true, force: true });
  }
}

async function startServer(dataDir: string): Promise<ThermoclineServer> {
  return await ThermoclineServer.start({
    dataDir,
    host: '127.0.0.1',
    mysqlPort: 0,
    httpPort: 0,
    embedded: new Map([
      ['write_group', 2],
      ['read_group', 2],
    ]),
    // Its first read is to be a cold one, for comparison.
    config: new Config({ log_level: 'silent', file_cache_fill_on_load: 'false' }),
    clock: systemClock,
    random: systemRandom,
    log: SILENT_LOG,
  });
}

class Demo {
  readonly #client: Connection;
  readonly #server: ThermoclineServer;
  readonly #screen: Screen;

  constructor(client: Connection, server: ThermoclineServer, screen: Screen) {
    this.#client = client;
    this.#server = server;
    this.#screen = screen;
  }

  async run(): Promise<number> {
    const screen = this.#screen;
    await this.#client.query('CREATE DATABASE demo');
    await this.#client.query('USE demo');
    for (const dataset of DATASETS) {
      await this.#client.query(dataset.ddl);
      await screen.step(`load ${dataset.file} into demo.${dataset.table}`, async () =>
        this.#load(dataset),
      );
    }
    const first = await this.#queries('write_group', 'read on write_group (cold cache)');
    await screen.step('WARM UP COMPUTE GROUP read_group WITH COMPUTE GROUP write_group', async () =>
      this.#warmUp(),
    );
    const second = await this.#queries('read_group', 'read on read_group (never read before)');
    if (JSON.stringify(first.rows) !== JSON.stringify(second.rows)) {
      screen.line('FAILED: the two groups gave different answers');
      return 1;
    }
    screen.line('');
    screen.line(`requests to the object store: before ${first.requests}, after ${second.requests}`);
    if (second.requests === 0) return 0;
    screen.line('FAILED: read_group had to go to the object store');
    return 1;
  }

  async #load(dataset: (typeof DATASETS)[number]): Promise<void> {
    const main = createRequire(import.meta.url).resolve('vega-datasets');
    const path = join(dirname(main), '..', 'data', dataset.file);
    const { size } = await stat(path);
    const bar = this.#screen.bar(size, 'bytes');
    const authorization = `Basic ${Buffer.from('root:').toString('base64')}`;
    const { http } = this.#server;
    const url = `http://${http.host}:${http.port}/api/demo/${dataset.table}/_stream_load`;
    // The server answers with the address of a backend; the body goes there.
    const asked = await request(url, { method: 'PUT', headers: { authorization } });
    await asked.body.dump();
    const body = createReadStream(path);
    let sent = 0;
    body.on('data', (chunk) => {
      sent += chunk.length;
      bar.update(sent);
    });
    const answer = await request(String(asked.headers['location']), {
      method: 'PUT',
      headers: { authorization, ...dataset.headers, 'content-length': String(size) },
      body,
    });
    const result = (await answer.body.json()) as Record<string, string | number>;
    bar.stop();
    if (result['Status'] !== 'Success') throw new Error(`load: ${String(result['Message'])}`);
    this.#screen.detail(`${result['NumberLoadedRows']} rows from ${mib(size)}`);
  }

  async #queries(group: string, title: string): Promise<{ rows: unknown; requests: number }> {
    await this.#client.query(`USE @${group}`);
    const before = await this.#storeRequests(group);
    const rows: unknown[] = [];
    await this.#screen.step(title, async () => {
      for (const sql of QUERIES) {
        const [answer] = await this.#client.query<RowDataPacket[]>(sql);
        rows.push(answer);
        for (const row of answer) this.#screen.detail(rowText(row));
      }
    });
    const requests = (await this.#storeRequests(group)) - before;
    this.#screen.detail(`requests to the object store: ${requests}`);
    return { rows, requests };
  }

  async #warmUp(): Promise<void> {
    const [[created]] = await this.#client.query<RowDataPacket[]>(
      'WARM UP COMPUTE GROUP read_group WITH COMPUTE GROUP write_group',
    );
    const jobId = String(created?.['JobId']);
    const bar = this.#screen.bar(1, 'bytes');
    const deadline = systemClock.monotonic() + WARM_UP_TIMEOUT_S * 1000;
    for (;;) {
      const [[job]] = await this.#client.query<RowDataPacket[]>(
        `SHOW WARM UP JOB WHERE ID = ${jobId}`,
      );
      const status = String(job?.['Status']);
      const done = Number(job?.['FinishBytes']);
      const all = Number(job?.['AllBytes']);
      bar.setTotal(Math.max(1, all));
      bar.update(done);
      if (status === 'FINISHED') {
        bar.stop();
        const bytes = `${mib(done)} of ${mib(all)}`;
        this.#screen.detail(`job ${jobId} FINISHED: ${bytes} in the caches of read_group`);
        return;
      }
      if (status === 'CANCELLED') throw new Error(`warm-up ended: ${String(job?.['ErrMsg'])}`);
      if (systemClock.monotonic() > deadline) throw new Error(`warm-up is still ${status}`);
      await systemClock.sleep(POLL_MS);
    }
  }

  /** What the group's backends asked of the object store so far, by their /metrics. */
  async #storeRequests(group: string): Promise<number> {
    const [backends] = await this.#client.query<RowDataPacket[]>(
      `SHOW BACKENDS WHERE ComputeGroup = '${group}'`,
    );
    let requests = 0;
    for (const backend of backends) {
      const url = `http://${String(backend['Host'])}:${String(backend['HttpPort'])}/metrics`;
      const answer = await request(url);
      const text = await answer.body.text();
      const match = /^object_store_requests_total\{[^}]*operation="get"[^}]*\} (\d+)/m.exec(text);
      if (match === null) throw new Error(`no count of requests at ${url}`);
      requests += Number(match[1]);
    }
    return requests;
  }
}

function rowText(row: RowDataPacket): string {
  return Object.entries(row)
    .map(([name, value]) => `${name} ${String(value)}`)
    .join(', ');
}

function mib(bytes: number): string {
  return `${(bytes / MIB).toFixed(2)} MiB`;
}

interface Bar {
  setTotal(total: number): void;
  update(value: number): void;
  stop(): void;
}

const NO_BAR: Bar = { setTotal: () => undefined, update: () => undefined, stop: () => undefined };

/** Plain lines, and a progress bar where a person looks at a terminal. */
class Screen {
  #step = 0;
  readonly #terminal = process.stdout.isTTY;

  line(text: string): void {
    process.stdout.write(`${text}\n`);
  }

  detail(text: string): void {
    this.line(`     ${text}`);
  }

  async step<T>(title: string, run: () => Promise<T>): Promise<T> {
    this.#step += 1;
    const startedMs = systemClock.monotonic();
    this.line(`${String(this.#step).padStart(2)}.  ${title}`);
    const result = await run();
    const seconds = (systemClock.monotonic() - startedMs) / 1000;
    this.detail(`${seconds.toFixed(2)} s`);
    return result;
  }

  bar(total: number, unit: string): Bar {
    if (!this.#terminal) return NO_BAR;
    const bar = new SingleBar({
      format: `     {bar} {percentage}% | {value}/{total} ${unit}`,
      clearOnComplete: true,
      hideCursor: true,
      barsize: 30,
    });
    bar.start(total, 0);
    return bar;
  }
}
