/** What people do while a warm-up job runs, and loads while the server dies. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { type S3Server, s3ServerMissing, startS3Server } from '../s3_server.ts';
import { GateProxy } from './gate_proxy.ts';
import { ServerProcess, until } from './server_process.ts';
import {
  backendsOf,
  csvLines,
  finished,
  jobEnd,
  jobRow,
  loadRows,
  storeReads,
  streamLoad,
  warmUp,
} from './warm_up_steps.ts';

const missing = s3ServerMissing();
const WARM_UP = 'WARM UP COMPUTE GROUP read_group WITH TABLE d.t';
const CSV = { column_separator: ',' };

(missing === undefined ? describe : describe.skip)('while a job runs', () => {
  let s3: S3Server;
  let gate: GateProxy;
  let server: ServerProcess;

  beforeAll(async () => {
    s3 = await startS3Server();
    await s3.createBucket('meanwhile');
    gate = await GateProxy.start(s3.endpoint);
    server = await ServerProcess.start({ args: ['--set', 'file_cache_download_concurrency=1'] });
    await server.sql(`CREATE STORAGE VAULT s PROPERTIES("type"="s3", "s3.endpoint"="${gate.endpoint}",
      "s3.region"="${s3.region}", "s3.bucket"="meanwhile", "s3.root.path"="here",
      "s3.access_key"="${s3.accessKey}", "s3.secret_key"="${s3.secretKey}")`);
    await server.sql('SET s AS DEFAULT STORAGE VAULT');
    await server.sql('CREATE DATABASE d');
  });

  beforeEach(async () => {
    await server.sql('DROP TABLE IF EXISTS d.t');
    await server.sql(`CREATE TABLE d.t (id INT, name STRING) DUPLICATE KEY(id)
      PARTITION BY RANGE(id) (PARTITION p1 VALUES LESS THAN (2000), PARTITION p2 VALUES LESS THAN (4000))
      DISTRIBUTED BY HASH(id) BUCKETS 4`);
    await loadRows(server, 'd.t', { text: csvLines(0, 4000, 100), headers: CSV });
  });

  afterEach(() => {
    gate.open();
  });

  afterAll(async () => {
    await server?.stop();
    await gate?.stop();
    await s3?.stop();
  });

  async function heldJob(statement = WARM_UP): Promise<string> {
    gate.holdAfter(100_000);
    const jobId = await warmUp(server, statement);
    await until('the gate', () => gate.held > 0);
    return jobId;
  }

  it('its table is dropped: the job ends well, with what is gone skipped', async () => {
    const jobId = await heldJob();
    await server.sql('DROP TABLE d.t');
    gate.open();
    const job = await finished(server, jobId);
    expect(job).toMatchObject({ FailedTablets: 0, ErrMsg: '' });
  });

  it('a partition is truncated and loaded anew: the job ends well', async () => {
    const jobId = await heldJob();
    await server.sql('TRUNCATE TABLE d.t');
    // A load's answers come through the gate, too.
    gate.open();
    await loadRows(server, 'd.t', { text: csvLines(0, 100, 10), headers: CSV });
    expect(await finished(server, jobId)).toMatchObject({ FailedTablets: 0, ErrMsg: '' });
    expect(await server.sql('SELECT COUNT(*) AS n FROM d.t')).toEqual([{ n: 100 }]);
  });

  it('rows are loaded and read on the target', async () => {
    const jobId = await heldJob();
    // Statements that need nothing of the object store are answered.
    expect(await server.sql('SHOW TABLES FROM d')).toHaveLength(1);
    gate.open();
    await loadRows(server, 'd.t', { text: csvLines(0, 100, 10), headers: CSV });
    await server.sql('USE @read_group');
    expect(await server.sql('SELECT COUNT(*) AS n FROM d.t')).toEqual([{ n: 4100 }]);
    await server.sql('USE @write_group');
    expect(await finished(server, jobId)).toMatchObject({ FailedTablets: 0, ErrMsg: '' });
  });

  it('its group is renamed away: it waits and says so; renamed back: it goes on', async () => {
    const jobId = await heldJob();
    await server.sql('ALTER SYSTEM RENAME COMPUTE GROUP read_group other');
    await until('the reason', async () => {
      return String((await jobRow(server, jobId))['WaitReason']).includes('read_group');
    });
    // Its run has ended, so that it holds no slot while it waits.
    expect(await jobRow(server, jobId)).toMatchObject({
      Status: 'PENDING',
      DstComputeGroup: 'read_group',
      WaitReason: "compute group 'read_group' does not exist",
    });
    expect(await server.error(WARM_UP)).toMatchObject({
      message: "The dstClusterName read_group doesn't exist",
    });
    await server.sql('ALTER SYSTEM RENAME COMPUTE GROUP other read_group');
    gate.open();
    expect(await finished(server, jobId)).toMatchObject({ FailedTablets: 0, WaitReason: '' });
    const runs = await server.sql(`SHOW WARM UP JOB ${jobId} RUNS ORDER BY Run`);
    expect(runs).toMatchObject([
      { Outcome: 'PAUSED', Reason: "compute group 'read_group' does not exist" },
      { Outcome: 'FINISHED', Reason: '' },
    ]);
    await server.sql('USE @read_group');
    const reads = await storeReads(server, 'read_group');
    expect(await server.sql('SELECT COUNT(*) AS n, COUNT(name) AS m FROM d.t')).toEqual([
      { n: 4000, m: 4000 },
    ]);
    expect(await storeReads(server, 'read_group')).toBe(reads);
    await server.sql('USE @write_group');
  });

  it('its group is dropped: system cancel', async () => {
    await server.sql('CREATE COMPUTE GROUP short');
    await server.sql('ALTER SYSTEM ADD BACKEND "embedded" TO COMPUTE GROUP short');
    const jobId = await heldJob('WARM UP COMPUTE GROUP short WITH TABLE d.t');
    expect((await server.error('DROP COMPUTE GROUP short')).message).toMatch(
      /still has 1 backends/,
    );
    await server.sql('DROP COMPUTE GROUP short FORCE');
    expect(await jobEnd(server, jobId)).toMatchObject({
      Status: 'CANCELLED',
      ErrMsg: "system cancel: compute group 'short' was dropped",
    });
    expect(await backendsOf(server, 'short')).toEqual([]);
  });

  it('its time is over: Timeout, and the slot is free', async () => {
    const jobId = await heldJob();
    await server.sql('ADMIN SET FRONTEND CONFIG ("cloud_warm_up_timeout_second" = "1")');
    expect(await jobEnd(server, jobId)).toMatchObject({ Status: 'CANCELLED', ErrMsg: 'Timeout' });
    await server.sql('ADMIN SET FRONTEND CONFIG ("cloud_warm_up_timeout_second" = "1000")');
    gate.open();
    await finished(server, await warmUp(server, WARM_UP));
  });

  it('other jobs wait in the order they came', async () => {
    const first = await heldJob(`${WARM_UP} PARTITION p1`);
    const queued = [
      await warmUp(server, `${WARM_UP} PARTITION p2`),
      await warmUp(server, WARM_UP),
      await warmUp(server, `${WARM_UP} FORCE`),
    ];
    const cancelled = queued[1] ?? '';
    await server.sql(`CANCEL WARM UP JOB WHERE ID = ${cancelled}`);
    expect(await jobRow(server, cancelled)).toMatchObject({ Status: 'CANCELLED', StartTime: null });
    gate.open();
    const ends = [await finished(server, first)];
    for (const jobId of queued) if (jobId !== cancelled) ends.push(await finished(server, jobId));
    const starts = ends.map((job) => String(job['StartTime']));
    expect(starts).toEqual(starts.toSorted());
    const running = await server.sql(
      "SHOW WARM UP JOB WHERE Status = 'RUNNING' OR Status = 'PENDING'",
    );
    expect(running).toEqual([]);
  });
});

describe('loads and a server that dies', () => {
  it('every load that was acknowledged is there, once, and no other half', async () => {
    const server = await ServerProcess.start();
    try {
      await server.sql('CREATE DATABASE d');
      await server.sql(`CREATE TABLE d.t (id INT, name STRING) DUPLICATE KEY(id)
        DISTRIBUTED BY HASH(id) BUCKETS 3`);
      const acknowledged = new Set<number>();
      const sent = new Set<number>();
      const rows = 200;
      let next = 0;
      for (let life = 0; life < 3; life += 1) {
        const stop = new AbortController();
        const loading = Array.from({ length: 3 }, async () => {
          while (!stop.signal.aborted) {
            const load = next;
            next += 1;
            sent.add(load);
            const text = csvLines(load * rows, rows, 20);
            const headers = { ...CSV, label: `load_${load}` };
            try {
              const answer = await streamLoad(server, 'd.t', { text, headers });
              if (answer['Status'] === 'Success') acknowledged.add(load);
            } catch {
              return;
            }
          }
        });
        const enough = 10 * (life + 1);
        await until('some loads', () => acknowledged.size >= enough);
        await server.kill9();
        stop.abort();
        await Promise.all(loading);
        await server.launch();
        const found = await server.sql(
          `SELECT id DIV ${rows} AS load, COUNT(*) AS n FROM d.t GROUP BY id DIV ${rows}`,
        );
        for (const row of found) expect(row).toMatchObject({ n: rows });
        const loads = new Set(found.map((row) => Number(row['load'])));
        for (const load of acknowledged) expect(loads).toContain(load);
        for (const load of loads) expect(sent).toContain(load);
        // What is visible has its label, what is not may be loaded again.
        for (const load of [...sent].slice(-6)) {
          const text = csvLines(load * rows, rows, 20);
          const headers = { ...CSV, label: `load_${load}` };
          const answer = await streamLoad(server, 'd.t', { text, headers });
          const expected = loads.has(load) ? 'Label Already Exists' : 'Success';
          expect(answer).toMatchObject({ Status: expected });
          acknowledged.add(load);
        }
      }
      const total = await server.row('SELECT COUNT(*) AS n, COUNT(DISTINCT id) AS d FROM d.t');
      expect(total['n']).toBe(total['d']);
    } finally {
      await server.stop();
    }
  });
});
