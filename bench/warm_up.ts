/**
 * A warm-up of 1 GiB in objects of 8 MiB from a real S3 server, through SQL and a real server
 * process, against a bare downloader of the same objects. The two take turns, and turns at who goes
 * first; each removes what it wrote the last time right before it writes. The ratio is the median
 * of the rounds' ratios.
 */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Connection } from 'mysql2/promise';
import type { S3Server } from '../test/s3_server.ts';
import type { BareOptions, BareResult } from './bare_downloader.ts';
import type { Bench, BenchContext, Figure } from './bench.ts';
import { startOwnS3 } from './own_s3.ts';
import { ServerProcess } from './server_process.ts';
import { median } from './statistics.ts';
import { type WarmUpTime, backendPorts, clearCaches, streamLoad, warmUp } from './tables.ts';

const MIB = 2 ** 20;
const BUCKET = 'bench';
const ROOT_PATH = 'vault';
const OBJECT_BYTES = 8 * MIB;
const LOAD_BYTES = 64 * MIB;
const LOADS = 16;
const LOADS_QUICK = 3;
const ROUNDS = 10;
const ROUNDS_QUICK = 4;
/** Characters of one row's text; base64 of random bytes, which Snappy cannot shorten. */
const ROW_BYTES = 1024;
/** The defaults of file_cache_download_concurrency and file_cache_download_range_bytes. */
const CONCURRENCY = 8;
const RANGE_BYTES = 8 * MIB;
const GOAL_RATIO = 0.8;
const GOAL_MEMORY_MIB = 300e6 / MIB;

const run = promisify(execFile);
const BARE_DOWNLOADER = fileURLToPath(new URL('bare_downloader.ts', import.meta.url));

interface Warm extends WarmUpTime {
  readonly cpuSeconds: number;
}

interface Round {
  readonly ratio: number;
  readonly warm: Warm;
  readonly bare: BareResult;
}

export const WARM_UP: Bench = {
  name: 'warm-up',
  about: 'warm-up of 1 GiB from S3 against a bare downloader',
  run: async (context) => {
    const s3 = await startOwnS3(context, BUCKET);
    const dataDir = await context.directory();
    const loadSeconds = await fill(context, s3, dataDir);
    const objects = await list(s3);
    const bytes = objects.reduce((sum, { size }) => sum + size, 0);
    const mib = bytes / MIB;
    const largest = Math.max(...objects.map(({ size }) => size));
    context.say(
      `${objects.length} objects, ${mib.toFixed(0)} MiB, the largest ${(largest / MIB).toFixed(2)} MiB`,
    );
    // A new process: its peak of memory is that of warming up, not of the loads before.
    const server = await start(context, dataDir);
    const client = await server.connect();
    const bare: BareOptions = {
      ...s3,
      endpoint: s3.endpoint,
      bucket: BUCKET,
      objects,
      directory: join(await context.directory(), 'bare'),
      concurrency: CONCURRENCY,
      rangeBytes: RANGE_BYTES,
    };
    const rounds: Round[] = [];
    // The first of each makes its files and directories; the others write over what they removed.
    await oneRound(server, client, bare, 'bare');
    for (let i = 0; i < (context.quick ? ROUNDS_QUICK : ROUNDS); i += 1) {
      const first = i % 2 === 0 ? 'warm-up' : 'bare';
      const round = await oneRound(server, client, bare, first);
      const { warm, ratio } = round;
      const rate = (warm.bytes / MIB / warm.seconds).toFixed(0);
      context.say(`${first} first: ${rate} MiB/s, ${ratio.toFixed(2)} of the bare downloader`);
      rounds.push(round);
    }
    const memoryMib = await server.peakMemoryMib();
    await client.end();
    return [
      ...figuresOf(rounds, mib, memoryMib),
      {
        name: 'load into S3',
        value: mib / loadSeconds,
        unit: 'MiB/s',
        note: `CSV, ${mib.toFixed(0)} MiB`,
      },
    ];
  },
};

async function start(context: BenchContext, dataDir: string): Promise<ServerProcess> {
  return await ServerProcess.start(context, {
    dataDir,
    args: ['--embedded', 'write_group=1,read_group=1'],
    set: [
      `segment_max_bytes=${OBJECT_BYTES}`,
      // The objects stay the ones that the bare downloader was told.
      'disable_auto_compaction=true',
      // The bare downloader has no limit either.
      'file_cache_warmup_download_rate_limit_bytes_per_second=0',
    ],
  });
}

/** Seconds that the loads took. */
async function fill(context: BenchContext, s3: S3Server, dataDir: string): Promise<number> {
  const server = await start(context, dataDir);
  const client = await server.connect();
  await client.query(
    `CREATE STORAGE VAULT bench PROPERTIES ("type"="s3", "s3.endpoint"="${s3.endpoint}", ` +
      `"s3.region"="${s3.region}", "s3.bucket"="${BUCKET}", "s3.root.path"="${ROOT_PATH}", ` +
      `"s3.access_key"="${s3.accessKey}", "s3.secret_key"="${s3.secretKey}", "use_path_style"="true")`,
  );
  await client.query('CREATE DATABASE bench');
  await client.query(
    'CREATE TABLE bench.random (id INT NOT NULL, text STRING) DISTRIBUTED BY HASH (id) BUCKETS 1 ' +
      'PROPERTIES ("storage_vault_name" = "bench")',
  );
  const [port = 0] = await backendPorts(client, 'write_group');
  const body = csv();
  const startMs = performance.now();
  const loads = context.quick ? LOADS_QUICK : LOADS;
  for (let i = 0; i < loads; i += 1) {
    const headers = { format: 'csv', column_separator: ',' };
    await streamLoad(port, { db: 'bench', table: 'random', label: `l${i}`, headers, body });
  }
  const seconds = (performance.now() - startMs) / 1000;
  await client.end();
  await server.stop();
  return seconds;
}

function csv(): Buffer {
  const rows = LOAD_BYTES / ROW_BYTES;
  const text = randomBytes((LOAD_BYTES * 3) / 4).toString('base64');
  const lines = Array.from(
    { length: rows },
    (_, id) => `${id},${text.slice(id * ROW_BYTES, (id + 1) * ROW_BYTES)}\n`,
  );
  return Buffer.from(lines.join(''));
}

async function list(s3: S3Server): Promise<BareOptions['objects']> {
  const { S3Client, paginateListObjectsV2 } = await import('@aws-sdk/client-s3');
  const { endpoint, region, accessKey, secretKey } = s3;
  const credentials = { accessKeyId: accessKey, secretAccessKey: secretKey };
  const client = new S3Client({ endpoint, region, forcePathStyle: true, credentials });
  const objects: { key: string; size: number }[] = [];
  const input = { Bucket: BUCKET, Prefix: `${ROOT_PATH}/data/` };
  for await (const page of paginateListObjectsV2({ client }, input)) {
    for (const { Key = '', Size = 0 } of page.Contents ?? [])
      objects.push({ key: Key, size: Size });
  }
  client.destroy();
  return objects;
}

/** Both begin with empty memory of their own: each removes what it wrote last right before. */
async function oneRound(
  server: ServerProcess,
  client: Connection,
  options: BareOptions,
  first: 'warm-up' | 'bare',
): Promise<Round> {
  const bareFirst = first === 'bare' ? await downloadBare(options) : undefined;
  const warm = await warmUpOnce(server, client);
  const bare = bareFirst ?? (await downloadBare(options));
  if (warm.bytes !== bare.bytes) throw new Error(`${warm.bytes} of ${bare.bytes} bytes`);
  return { ratio: bare.seconds / warm.seconds, warm, bare };
}

async function warmUpOnce(server: ServerProcess, client: Connection): Promise<Warm> {
  // What was written before must still reach the disk; that is not this measurement's affair.
  await run('sync');
  await clearCaches(client, 'read_group');
  const cpuBefore = await server.cpuSeconds();
  const time = await warmUp(client, 'WARM UP COMPUTE GROUP read_group WITH TABLE bench.random');
  return { ...time, cpuSeconds: (await server.cpuSeconds()) - cpuBefore };
}

async function downloadBare(options: BareOptions): Promise<BareResult> {
  await run('sync');
  const { stdout } = await run(process.execPath, [BARE_DOWNLOADER, JSON.stringify(options)]);
  return JSON.parse(stdout) as BareResult;
}

function figuresOf(rounds: readonly Round[], mib: number, memoryMib: number): readonly Figure[] {
  const of = (pick: (round: Round) => number): number => median(rounds.map(pick));
  const warm = of(({ warm: { bytes, seconds } }) => bytes / MIB / seconds);
  const bare = of(({ bare: { bytes, seconds } }) => bytes / MIB / seconds);
  const ratios = rounds.map(({ ratio }) => ratio);
  const spread = `${Math.min(...ratios).toFixed(2)} to ${Math.max(...ratios).toFixed(2)}`;
  const note = `${mib.toFixed(0)} MiB, median of ${rounds.length} rounds (${spread})`;
  const goal: Figure['goal'] = { is: 'at least', value: GOAL_RATIO };
  const limit: Figure['goal'] = { is: 'below', value: GOAL_MEMORY_MIB };
  return [
    { name: 'warm-up / bare downloader', value: median(ratios), unit: '', goal, note },
    { name: 'warm-up', value: warm, unit: 'MiB/s' },
    { name: 'bare downloader', value: bare, unit: 'MiB/s' },
    { name: 'warm-up: CPU', value: of(({ warm: { cpuSeconds } }) => cpuSeconds), unit: 's' },
    {
      name: 'bare downloader: CPU',
      value: of(({ bare: { cpuSeconds } }) => cpuSeconds),
      unit: 's',
    },
    { name: 'server: memory peak', value: memoryMib, unit: 'MiB', goal: limit, note: '300 MB' },
    {
      name: 'bare downloader: memory peak',
      value: of(({ bare: { peakMemoryMib } }) => peakMemoryMib),
      unit: 'MiB',
    },
  ];
}
