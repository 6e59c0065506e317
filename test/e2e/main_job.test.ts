/** The main job: create, load real files, read, warm up, read elsewhere without the object store. */
import { execFile } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { missingPrograms, programPath } from '../clients/programs.ts';
import { ServerProcess } from './server_process.ts';
import {
  datasetPath,
  finished,
  groupMetric,
  loadRows,
  storeReads,
  vaultObjects,
  warmUp,
} from './warm_up_steps.ts';

const AIRPORTS = `CREATE TABLE demo.airports (iata VARCHAR(8), name VARCHAR(64), city VARCHAR(64),
  state VARCHAR(8), country VARCHAR(64), latitude DOUBLE, longitude DOUBLE)
  DUPLICATE KEY(iata) DISTRIBUTED BY HASH(iata) BUCKETS 2`;
const FLIGHTS = `CREATE TABLE demo.flights (delay INT, distance INT, time DOUBLE)
  DUPLICATE KEY(delay, distance) DISTRIBUTED BY HASH(distance) BUCKETS 8`;
const QUERIES = [
  'SELECT state, COUNT(*) AS n FROM demo.airports GROUP BY state ORDER BY n DESC, state LIMIT 3',
  'SELECT COUNT(*) AS n, MIN(delay) AS least, MAX(delay) AS most, SUM(distance) AS miles FROM demo.flights',
  "SELECT iata, city FROM demo.airports WHERE name LIKE '%International' AND state = 'AK' ORDER BY iata",
];
/** Long reads touch every block of every column. */
const EVERYTHING = [
  'SELECT * FROM demo.airports ORDER BY iata, name',
  'SELECT COUNT(*) AS n, SUM(delay) AS d, SUM(distance) AS m, MAX(time) AS t FROM demo.flights',
];

let server: ServerProcess;

beforeAll(async () => {
  // The reads of the source are to be cold.
  server = await ServerProcess.start({ args: ['--set', 'file_cache_fill_on_load=false'] });
  await server.sql('CREATE DATABASE demo');
  await server.sql(AIRPORTS);
  await server.sql(FLIGHTS);
});
afterAll(async () => {
  await server.stop();
});

async function answers(group: string): Promise<unknown[]> {
  await server.sql(`USE @${group}`);
  const all: unknown[] = [];
  for (const query of [...QUERIES, ...EVERYTHING]) all.push(await server.sql(query));
  return all;
}

describe('the main job', () => {
  it('loads files that people have', async () => {
    const airports = await loadRows(server, 'demo.airports', {
      path: datasetPath('airports.csv'),
      headers: { format: 'csv_with_names', column_separator: ',', enclose: '"', label: 'a1' },
    });
    expect(airports).toMatchObject({ NumberLoadedRows: 3376, NumberFilteredRows: 0, Label: 'a1' });
    const flights = await loadRows(server, 'demo.flights', {
      path: datasetPath('flights-200k.json'),
      headers: { format: 'json', strip_outer_array: 'true' },
    });
    expect(flights).toMatchObject({ NumberLoadedRows: 200_000, NumberFilteredRows: 0 });
    expect(await server.sql('SELECT COUNT(*) AS n FROM demo.airports')).toEqual([{ n: 3376 }]);
  });

  it('warms what the source group read, and the target reads without the object store', async () => {
    const before = await storeReads(server, 'write_group');
    const first = await answers('write_group');
    expect(await storeReads(server, 'write_group')).toBeGreaterThan(before);
    expect(await storeReads(server, 'read_group')).toBe(0);

    const { bytes } = await vaultObjects(`${server.dataDir}/vault`);
    const jobId = await warmUp(
      server,
      'WARM UP COMPUTE GROUP read_group WITH COMPUTE GROUP write_group',
    );
    const job = await finished(server, jobId);
    expect(job).toMatchObject({
      Type: 'CLUSTER',
      SyncMode: 'ONCE',
      SrcComputeGroup: 'write_group',
      DstComputeGroup: 'read_group',
      Progress: '100.00%',
      FinishBytes: bytes,
      AllBytes: bytes,
      SkippedTablets: 0,
      FailedTablets: 0,
      ErrMsg: '',
    });
    expect(await groupMetric(server, 'read_group', 'file_cache_warm_up_bytes_total')).toBe(bytes);

    const warmed = await storeReads(server, 'read_group');
    expect(warmed).toBeGreaterThan(0);
    expect(await answers('read_group')).toEqual(first);
    expect(await storeReads(server, 'read_group')).toBe(warmed);
  });

  it('warms a table by name, and downloads nothing a second time', async () => {
    await loadRows(server, 'demo.airports', {
      path: datasetPath('airports.csv'),
      headers: { format: 'csv_with_names', column_separator: ',', enclose: '"', label: 'a2' },
    });
    const downloaded = await groupMetric(server, 'read_group', 'file_cache_warm_up_bytes_total');
    const before = await vaultObjects(`${server.dataDir}/vault`);
    await server.sql('USE demo');
    const jobId = await warmUp(
      server,
      'WARM UP CLUSTER read_group WITH TABLE airports AND TABLE demo.flights',
    );
    const job = await finished(server, jobId);
    expect(job).toMatchObject({ Type: 'TABLE', SrcComputeGroup: null, FinishBytes: before.bytes });
    expect(job['Tables']).toBe('demo.airports, demo.flights');
    const now = await groupMetric(server, 'read_group', 'file_cache_warm_up_bytes_total');
    // Only the second load of the airports was missing.
    expect(now).toBe(before.bytes);
    expect(now).toBeGreaterThan(downloaded);

    const again = await finished(
      server,
      await warmUp(
        server,
        'WARM UP CLUSTER read_group WITH TABLE demo.airports AND TABLE demo.flights',
      ),
    );
    expect(again).toMatchObject({ FinishBytes: before.bytes, CachedBytes: before.bytes });
    expect(await groupMetric(server, 'read_group', 'file_cache_warm_up_bytes_total')).toBe(now);

    const reads = await storeReads(server, 'read_group');
    await server.sql('USE @read_group');
    expect(
      await server.sql('SELECT COUNT(*) AS n, COUNT(DISTINCT iata) AS d FROM demo.airports'),
    ).toEqual([{ n: 6752, d: 3376 }]);
    expect(await storeReads(server, 'read_group')).toBe(reads);
  });
});

const clientMissing = missingPrograms(['mysql']);

interface ClientRun {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** The mysql program with a script on its input. */
async function client(args: readonly string[], script: string): Promise<ClientRun> {
  const options = ['-h127.0.0.1', `-P${server.mysqlPort}`, '-uroot', ...args];
  return await new Promise((resolve) => {
    const child = execFile(
      programPath('mysql') ?? 'mysql',
      options,
      { timeout: 30_000 },
      (error, stdout, stderr) => {
        resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
      },
    );
    child.stdin?.end(script);
  });
}

(clientMissing === undefined ? describe : describe.skip)('the mysql program', () => {
  const columns = 'JobId, SrcComputeGroup, DstComputeGroup, Status, Type, SyncMode, FinishBatch';

  it('prints tab separated values in a batch', async () => {
    const run = await client(
      [],
      `SELECT state, COUNT(*) AS n FROM demo.airports WHERE state IN ('AK', 'TX') GROUP BY state ORDER BY n;
       SELECT 'tab\\there', NULL, 1.50;`,
    );
    expect(run).toEqual({
      code: 0,
      stdout: 'state\tn\nTX\t418\nAK\t526\ntab\there\tNULL\t1.50\ntab\\there\tNULL\t1.50\n',
      stderr: '',
    });
  });

  it('draws a table', async () => {
    const run = await client(
      ['--table'],
      "SELECT iata, city, latitude FROM demo.airports WHERE iata = 'SFO' LIMIT 1; SHOW WARM UP JOB WHERE ID = 0;",
    );
    expect(run.code).toBe(0);
    expect(run.stdout).toBe(
      [
        '+------+---------------+-------------+',
        '| iata | city          | latitude    |',
        '+------+---------------+-------------+',
        '| SFO  | San Francisco | 37.61900194 |',
        '+------+---------------+-------------+',
        '',
      ].join('\n'),
    );
  });

  it('stops at the statement that fails, with exit code 1', async () => {
    const run = await client(
      [],
      `CREATE DATABASE before_it;
       WARM UP COMPUTE GROUP nowhere WITH COMPUTE GROUP write_group;
       CREATE DATABASE after_it;`,
    );
    expect(run.code).toBe(1);
    expect(run.stderr).toContain(
      "ERROR 1105 (HY000) at line 2: The dstClusterName nowhere doesn't exist",
    );
    const names = (await server.sql('SHOW DATABASES')).map((row) => String(row['Database']));
    expect(names).toContain('before_it');
    expect(names).not.toContain('after_it');
  });

  it('shows jobs by the columns that scripts use', async () => {
    const run = await client(['--batch'], 'SHOW WARM UP JOB ORDER BY JobId LIMIT 1;');
    expect(run.code).toBe(0);
    const [head = '', row = ''] = run.stdout.split('\n');
    expect(head.startsWith(columns.split(', ').slice(0, 6).join('\t'))).toBe(true);
    const cells = row.split('\t');
    expect(cells.slice(1, 6)).toEqual(['write_group', 'read_group', 'FINISHED', 'CLUSTER', 'ONCE']);
    expect(cells).toHaveLength(26);
  });
});
