/**
 * Warm-up jobs whose server or backends stop in the middle. The object store is a real S3 server
 * behind a gate, so that the middle is a place the test chooses.
 */
import Database from 'better-sqlite3';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { type S3Server, s3ServerMissing, startS3Server } from '../s3_server.ts';
import { GateProxy } from './gate_proxy.ts';
import { type Row, ServerProcess, until } from './server_process.ts';
import {
  backendsOf,
  csvLines,
  finished,
  groupMetric,
  jobEnd,
  jobRow,
  loadRows,
  storeReads,
  warmUp,
} from './warm_up_steps.ts';

/** A slow machine is no dead backend. */
const PATIENT = ['--set', 'max_backend_heartbeat_failure_tolerance_count=50'];

const missing = s3ServerMissing();
const BUCKET = 'recovery';
const LOADS = 3;
const ROWS = 8000;
const TEXT_CHARS = 150;
/** Half of the answers' bytes of a warm-up, more or less. */
const MIDDLE_BYTES = 1_500_000;
const WARM_UP = 'WARM UP COMPUTE GROUP read_group WITH TABLE d.t';

(missing === undefined ? describe : describe.skip)('a warm-up job', () => {
  let s3: S3Server;
  let gate: GateProxy;
  let server: ServerProcess;
  let allBytes = 0;
  let answer: Row[] = [];

  beforeAll(async () => {
    s3 = await startS3Server();
    await s3.createBucket(BUCKET);
    gate = await GateProxy.start(s3.endpoint);
    server = await ServerProcess.start({
      args: [
        '--set',
        'file_cache_download_concurrency=1',
        '--set',
        'heartbeat_interval_ms=100',
        ...PATIENT,
      ],
    });
    await server.sql(`CREATE STORAGE VAULT s PROPERTIES("type"="s3", "s3.endpoint"="${gate.endpoint}",
      "s3.region"="${s3.region}", "s3.bucket"="${BUCKET}", "s3.root.path"="here",
      "s3.access_key"="${s3.accessKey}", "s3.secret_key"="${s3.secretKey}")`);
    await server.sql('CREATE DATABASE d');
    await server.sql(`CREATE TABLE d.t (id INT, name STRING) DUPLICATE KEY(id)
      DISTRIBUTED BY HASH(id) BUCKETS 8 PROPERTIES("storage_vault_name"="s")`);
    for (let load = 0; load < LOADS; load += 1) {
      const text = csvLines(load * ROWS, ROWS, TEXT_CHARS);
      await loadRows(server, 'd.t', { text, headers: { column_separator: ',' } });
    }
    await server.sql('USE @write_group');
    answer = await read();
    const plan = await server.sql(`EXPLAIN ${WARM_UP}`);
    allBytes = plan.reduce((sum, row) => sum + Number(row['Bytes']), 0);
  });

  afterEach(async () => {
    gate.open();
    await clear();
  });

  afterAll(async () => {
    await server?.stop();
    await gate?.stop();
    await s3?.stop();
  });

  async function read(): Promise<Row[]> {
    return await server.sql(
      'SELECT COUNT(*) AS n, COUNT(DISTINCT name) AS d, MAX(name) AS m FROM d.t',
    );
  }

  /** Empties the caches of the target group. */
  async function clear(): Promise<void> {
    for (const backend of await backendsOf(server, 'read_group')) {
      if (backend['Alive'] !== 'true') continue;
      await fetch(
        `http://127.0.0.1:${String(backend['HttpPort'])}/api/file_cache?op=clear&sync=true`,
      );
    }
  }

  /** A job that stands still after so many bytes. */
  async function heldJob(bytes: number): Promise<string> {
    gate.holdAfter(bytes);
    const jobId = await warmUp(server, WARM_UP);
    await until('the gate', () => gate.held > 0);
    await until('RUNNING', async () => (await jobRow(server, jobId))['Status'] === 'RUNNING');
    return jobId;
  }

  /** Reads on the target come from its cache alone. */
  async function expectWarm(): Promise<void> {
    await server.sql('USE @read_group');
    const before = await storeReads(server, 'read_group');
    expect(await read()).toEqual(answer);
    expect(await storeReads(server, 'read_group')).toBe(before);
  }

  function expectWhole(row: Row): void {
    expect(row).toMatchObject({
      Status: 'FINISHED',
      FinishBytes: allBytes,
      AllBytes: allBytes,
      FailedTablets: 0,
      SkippedTablets: 0,
      ErrMsg: '',
    });
  }

  /** Bytes that batches downloaded which had ended when the server died, by its catalog. */
  function endedBatchBytes(jobId: string): number {
    const catalog = new Database(join(server.dataDir, 'catalog.db'));
    try {
      const sum = catalog.prepare(
        `SELECT COALESCE(SUM(done_bytes - cached_bytes), 0) FROM warm_up_batch
         WHERE job_id = ? AND state = 'DONE'`,
      );
      return sum.pluck().get(Number(jobId)) as number;
    } finally {
      catalog.close();
    }
  }

  it.each([0, 400_000, MIDDLE_BYTES, 2_500_000])(
    'goes on after kill -9 of the server behind %d bytes',
    async (bytes) => {
      const jobId = await heldJob(bytes);
      const started = (await jobRow(server, jobId))['StartTime'];
      await server.kill9();
      const ended = endedBatchBytes(jobId);
      gate.open();
      await server.launch();
      const row = await finished(server, jobId);
      expectWhole(row);
      expect(row['StartTime']).toBe(started);
      // What was in the caches before was not downloaded again: what unfinished batches found there,
      // and what a backend had finished, which the new process does not ask for at all.
      const downloaded = await groupMetric(server, 'read_group', 'file_cache_warm_up_bytes_total');
      const before = Number(row['CachedBytes']) + ended;
      expect({ downloaded, ended, cached: row['CachedBytes'] }).toEqual({
        downloaded: allBytes - before,
        ended,
        cached: row['CachedBytes'],
      });
      if (bytes >= MIDDLE_BYTES) expect(before).toBeGreaterThan(0);
      await expectWarm();
    },
  );

  it('keeps its slot over a restart: a second job waits', async () => {
    const first = await heldJob(MIDDLE_BYTES);
    const second = await warmUp(server, `${WARM_UP} FORCE`);
    expect(second).not.toBe(first);
    await until(
      'the reason to wait',
      async () => (await jobRow(server, second))['WaitReason'] !== '',
    );
    expect(await jobRow(server, second)).toMatchObject({
      Status: 'PENDING',
      StartTime: null,
      WaitReason: `slot held by job ${first}`,
    });
    // The same work while it is still PENDING: no third job.
    expect(await warmUp(server, `${WARM_UP} FORCE`)).toBe(second);
    expect(await server.sql('SHOW WARNINGS')).toMatchObject([
      { Level: 'Warning', Code: 1105, Message: expect.stringContaining(second) },
    ]);
    // With the same work RUNNING a new job is made.
    const third = await warmUp(server, WARM_UP);
    expect([first, second]).not.toContain(third);

    await server.kill9();
    await server.launch();
    await until('RUNNING again', async () => {
      return gate.held > 0 && (await jobRow(server, first))['Status'] === 'RUNNING';
    });
    expect(await jobRow(server, second)).toMatchObject({ Status: 'PENDING', StartTime: null });
    gate.open();
    expectWhole(await finished(server, first));
    expectWhole(await finished(server, second));
    expectWhole(await finished(server, third));
    const { CachedBytes } = await jobRow(server, third);
    expect(CachedBytes).toBe(allBytes);
  });

  it('goes on after an orderly restart, and the caches stay warm over one', async () => {
    const jobId = await heldJob(MIDDLE_BYTES);
    const code = server.terminate();
    gate.open();
    expect(await code).toBe(0);
    await server.launch();
    expectWhole(await finished(server, jobId));
    await server.restart();
    expect(await storeReads(server, 'read_group')).toBe(0);
    await expectWarm();
    expect(await storeReads(server, 'read_group')).toBe(0);
    expect(await jobRow(server, jobId)).toMatchObject({ Status: 'FINISHED', Progress: '100.00%' });
  });

  it('goes on when a backend is killed and started again', async () => {
    const jobId = await heldJob(MIDDLE_BYTES);
    const [backend] = await backendsOf(server, 'read_group');
    const id = String(backend?.['BackendId']);
    await server.sql(`ALTER SYSTEM KILL BACKEND "${id}"`);
    await server.sql(`ALTER SYSTEM START BACKEND "${id}"`);
    gate.open();
    expectWhole(await finished(server, jobId));
    await expectWarm();
  });

  it('follows its tablets when a backend is stopped, and when one joins', async () => {
    const jobId = await heldJob(MIDDLE_BYTES);
    const [backend] = await backendsOf(server, 'read_group');
    const id = String(backend?.['BackendId']);
    await server.sql(`ALTER SYSTEM STOP BACKEND "${id}"`);
    gate.open();
    const row = await finished(server, jobId);
    expectWhole(row);
    await expectWarm();
    await server.sql(`ALTER SYSTEM START BACKEND "${id}"`);
    await clear();

    const joined = await heldJob(MIDDLE_BYTES);
    await server.sql('ALTER SYSTEM ADD BACKEND "embedded" TO COMPUTE GROUP read_group');
    gate.open();
    const row2 = await finished(server, joined);
    expect(row2).toMatchObject({ FailedTablets: 0, SkippedTablets: 0, ErrMsg: '' });
    expect(row2['FinishBytes']).toBe(row2['AllBytes']);
    await expectWarm();
    const backends = await backendsOf(server, 'read_group');
    expect(backends).toHaveLength(3);
    await server.sql(`ALTER SYSTEM DROP BACKEND "${String(backends[2]?.['BackendId'])}"`);
  });

  it('is cancelled at once: nothing more is downloaded', async () => {
    const jobId = await heldJob(MIDDLE_BYTES);
    expect(await requestsInFlight()).toBeGreaterThan(0);
    await server.sql(`CANCEL WARM UP JOB WHERE ID = ${jobId}`);
    expect(await jobRow(server, jobId)).toMatchObject({
      Status: 'CANCELLED',
      ErrMsg: 'user cancel',
    });
    // DESIGN 4.8: what stands at the gate is given up within a second.
    await until('the end of the downloads', async () => (await requestsInFlight()) === 0, 1000);
    const at = await groupMetric(server, 'read_group', 'file_cache_warm_up_bytes_total');
    gate.open();
    const reads = await storeReads(server, 'read_group');
    // A second job on the same target runs: the slot is free and the first brings nothing any more.
    const next = await warmUp(server, WARM_UP);
    const row = await finished(server, next);
    expectWhole(row);
    const downloaded = await groupMetric(server, 'read_group', 'file_cache_warm_up_bytes_total');
    // Less when bytes that had arrived before the cancellation were still being written.
    expect(downloaded - at).toBeLessThanOrEqual(allBytes - Number(row['CachedBytes']));
    expect(downloaded - at).toBeGreaterThan(0);
    expect(await storeReads(server, 'read_group')).toBeGreaterThan(reads);
    expect((await server.error(`CANCEL WARM UP JOB WHERE ID = ${jobId}`)).message).toBe(
      'job can not be cancelled. State: CANCELLED',
    );
  });

  it('is cancelled with a dead backend, too', async () => {
    const jobId = await heldJob(0);
    for (const backend of await backendsOf(server, 'read_group')) {
      await server.sql(`ALTER SYSTEM KILL BACKEND "${String(backend['BackendId'])}"`);
    }
    await server.sql(`CANCEL WARM UP JOB WHERE ID = ${jobId}`);
    expect(await jobEnd(server, jobId)).toMatchObject({
      Status: 'CANCELLED',
      ErrMsg: 'user cancel',
    });
    for (const backend of await backendsOf(server, 'read_group')) {
      await server.sql(`ALTER SYSTEM START BACKEND "${String(backend['BackendId'])}"`);
    }
  });

  async function requestsInFlight(): Promise<number> {
    return await groupMetric(server, 'read_group', 'object_store_requests_in_flight');
  }
});
