/** WARM UP and the statements about its jobs: every rule and text of reference/warm-up 1.8. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { id } from '../../../base/ids.ts';
import type { TabletId } from '../../../base/ids.ts';
import { ShowFixture } from './fixture.ts';

let show: ShowFixture;

async function openShow(): Promise<ShowFixture> {
  const opened = await ShowFixture.open();
  await opened.run('CREATE DATABASE d; CREATE DATABASE other; USE d');
  for (const table of ['d.orders', 'd.customers', 'd.tmp_1', 'other.logs']) {
    await opened.run(`CREATE TABLE ${table} (k INT) DISTRIBUTED BY HASH (k) BUCKETS 1`);
  }
  await opened.group('src', [8041, 8042]);
  await opened.group('dst', [8043]);
  return opened;
}

function freshEachTime(): void {
  beforeEach(async () => {
    show = await openShow();
  });
  afterEach(async () => {
    await show.close();
  });
}

const PAIR = 'WARM UP COMPUTE GROUP dst WITH COMPUTE GROUP src';
const PERIODIC = '"sync_mode"="periodic", "sync_interval_sec"="10"';
const EVENT = '"sync_mode"="event_driven", "sync_event"="load"';

async function made(sql: string): Promise<string> {
  const { names, rows } = await show.rows(sql);
  expect(names).toEqual(['JobId']);
  expect(rows).toHaveLength(1);
  expect(rows[0]?.[0]).toMatch(/^\d+$/);
  return String(rows[0]?.[0]);
}

describe('WARM UP refuses', () => {
  // Nothing is made, so all can share one server.
  beforeAll(async () => {
    show = await openShow();
  });
  afterAll(async () => {
    await show.close();
  });

  // prettier-ignore
  it.each([
    // groups and tables
    ['WARM UP CLUSTER nope WITH CLUSTER src', "1105 The dstClusterName nope doesn't exist"],
    [`WARM UP CLUSTER nope WITH CLUSTER src PROPERTIES (${PERIODIC})`, "1105 The dstClusterName nope doesn't exist"],
    [`WARM UP CLUSTER nope WITH CLUSTER src PROPERTIES (${EVENT})`, "1105 The dstClusterName nope doesn't exist"],
    ['WARM UP CLUSTER nope WITH TABLE orders', "1105 The dstClusterName nope doesn't exist"],
    ['WARM UP CLUSTER dst WITH CLUSTER nope', "1105 The srcClusterName doesn't exist: nope"],
    [`WARM UP CLUSTER dst WITH CLUSTER nope PROPERTIES (${PERIODIC})`, "1105 The srcClusterName doesn't exist: nope"],
    [`WARM UP CLUSTER dst WITH CLUSTER nope PROPERTIES (${EVENT})`, "1105 The srcClusterName doesn't exist: nope"],
    ['WARM UP CLUSTER dst WITH CLUSTER dst', '1105 The dstClusterName: dst is same with srcClusterName: dst'],
    [`WARM UP CLUSTER dst WITH CLUSTER dst PROPERTIES (${PERIODIC})`, '1105 The dstClusterName: dst is same with srcClusterName: dst'],
    [`WARM UP CLUSTER dst WITH CLUSTER dst PROPERTIES (${EVENT})`, '1105 The dstClusterName: dst is same with srcClusterName: dst'],
    ['WARM UP CLUSTER dst WITH TABLE nope.t', "1049 Unknown database 'nope'"],
    ['WARM UP CLUSTER dst WITH TABLE nope', "1051 Unknown table 'd.nope'"],
    ['WARM UP CLUSTER dst WITH TABLE orders AND TABLE other.nope', "1051 Unknown table 'other.nope'"],
    ['WARM UP CLUSTER dst WITH TABLE orders PARTITION p5', "1105 The partition p5 doesn't exist"],
    // modes
    [`${PAIR} PROPERTIES ("sync_mode"="periodic")`, '1105 No sync_interval_sec is provided'],
    [`${PAIR} PROPERTIES ("sync_mode"="periodic", "sync_interval_sec"="0")`, '1105 Illegal sync_interval_sec: 0; allowed: a whole number of seconds from 1 to 2147483647'],
    [`${PAIR} PROPERTIES ("sync_mode"="periodic", "sync_interval_sec"="-1")`, '1105 Illegal sync_interval_sec: -1; allowed: a whole number of seconds from 1 to 2147483647'],
    [`${PAIR} PROPERTIES ("sync_mode"="periodic", "sync_interval_sec"="1.5")`, '1105 Illegal sync_interval_sec: 1.5; allowed: a whole number of seconds from 1 to 2147483647'],
    [`${PAIR} PROPERTIES ("sync_mode"="periodic", "sync_interval_sec"="")`, '1105 Illegal sync_interval_sec: ; allowed: a whole number of seconds from 1 to 2147483647'],
    [`${PAIR} PROPERTIES ("sync_mode"="periodic", "sync_interval_sec"="abc")`, '1105 Illegal sync_interval_sec: abc; allowed: a whole number of seconds from 1 to 2147483647'],
    [`${PAIR} PROPERTIES ("sync_mode"="event_driven")`, '1105 No sync_event is provided'],
    [`${PAIR} PROPERTIES ("sync_mode"="event_driven", "sync_event"="query")`, '1105 Illegal sync_event: query; allowed: load'],
    [`${PAIR} PROPERTIES ("sync_mode"="event_driven", "sync_event"="")`, '1105 Illegal sync_event: ; allowed: load'],
    // properties
    [`${PAIR} PROPERTIES ("sync_mode"="sometimes")`, "1105 Invalid value 'sometimes' for property 'sync_mode'; allowed: once, periodic, event_driven"],
    [`${PAIR} PROPERTIES ("sync_mod"="once")`, "1105 Unknown property 'sync_mod'; did you mean 'sync_mode'?; allowed: sync_mode, sync_interval_sec, sync_event"],
    [`${PAIR} PROPERTIES ("sync_mode"="once", "sync_interval_sec"="1")`, "1105 Property 'sync_interval_sec' means nothing with sync_mode=once"],
    [`${PAIR} PROPERTIES ("sync_interval_sec"="1")`, "1105 Property 'sync_interval_sec' means nothing with sync_mode=once"],
    [`${PAIR} PROPERTIES (${PERIODIC}, "sync_event"="load")`, "1105 Property 'sync_event' means nothing with sync_mode=periodic"],
    [`${PAIR} PROPERTIES (${EVENT}, "sync_interval_sec"="1")`, "1105 Property 'sync_interval_sec' means nothing with sync_mode=event_driven"],
    [`${PAIR} PROPERTIES ("sync_mode"="once", "sync_mode"="once")`, "1105 Property 'sync_mode' is given twice"],
    [`WARM UP CLUSTER dst WITH TABLE orders PROPERTIES (${PERIODIC})`, "1105 Invalid value 'periodic' for property 'sync_mode'; allowed: once (a WITH TABLE job runs once)"],
    // ON TABLES
    [`${PAIR} ON TABLES (EXCLUDE 'd.*') PROPERTIES (${EVENT})`, '1105 ON TABLES clause must contain at least one INCLUDE rule'],
    [`${PAIR} ON TABLES (INCLUDE 'orders') PROPERTIES (${EVENT})`, "1105 ON TABLES pattern must be in 'db.table' format: 'orders'"],
    [`${PAIR} ON TABLES (INCLUDE 'd.*', EXCLUDE '*') PROPERTIES (${EVENT})`, "1105 ON TABLES pattern must be in 'db.table' format: '*'"],
    [`${PAIR} ON TABLES (INCLUDE 'd.*')`, '1105 ON TABLES clause is only supported with event_driven sync_mode'],
    [`${PAIR} ON TABLES (INCLUDE 'd.*') PROPERTIES ("sync_mode"="once")`, '1105 ON TABLES clause is only supported with event_driven sync_mode'],
    [`${PAIR} ON TABLES (INCLUDE 'd.*') PROPERTIES (${PERIODIC})`, '1105 ON TABLES clause is only supported with event_driven sync_mode'],
    ["WARM UP CLUSTER dst WITH TABLE orders ON TABLES (INCLUDE 'd.*')", '1105 ON TABLES clause cannot be used with WITH TABLE'],
    [`${PAIR} ON TABLES (INCLUDE 'd.*', EXCLUDE 'd.*') PROPERTIES (${EVENT})`, '1105 No tables matched the ON TABLES filter'],
    [`${PAIR} ON TABLES (INCLUDE 'D.*') PROPERTIES (${EVENT})`, '1105 No tables matched the ON TABLES filter'],
    [`${PAIR} ON TABLES (INCLUDE 'information_schema.*', INCLUDE '__internal_schema.*') PROPERTIES (${EVENT})`, '1105 No tables matched the ON TABLES filter'],
  ])('%s', async (sql, error) => {
    expect(await show.error(sql)).toBe(error);
    // What WARM UP refuses, EXPLAIN refuses too; and nothing was made.
    expect(await show.error(`EXPLAIN ${sql}`)).toBe(error);
    expect(await show.objects('SHOW WARM UP JOB')).toEqual([]);
  });

  it('a table without a database', async () => {
    show.session.database = '';
    const sql = 'WARM UP CLUSTER dst WITH TABLE orders';
    expect(await show.error(sql)).toBe('1046 No database selected');
    show.session.database = 'd';
  });

  it('more rules than there may be', async () => {
    const rules = Array.from({ length: 1001 }, (_, i) => `INCLUDE 'd.t${i}'`).join(', ');
    const sql = `${PAIR} ON TABLES (${rules}) PROPERTIES (${EVENT})`;
    const text = '1105 ON TABLES clause has 1001 rules, at most 1000 are allowed';
    expect(await show.error(sql)).toBe(text);
  });

  it('a group without alive backends when it has to plan, and only then', async () => {
    await show.run('CREATE COMPUTE GROUP empty');
    const sql = 'WARM UP CLUSTER empty WITH CLUSTER src';
    expect(await show.error(sql)).toBe('1105 Compute group empty has no alive backend');
    await made(`${sql} PROPERTIES (${PERIODIC})`);
    await made(`${sql} PROPERTIES (${EVENT})`);
  });
});

describe('the row of a job', () => {
  freshEachTime();

  async function rowOf(sql: string): Promise<Record<string, unknown>> {
    const [row] = await show.objects(`SHOW WARM UP JOB WHERE id = ${await made(sql)}`);
    return row ?? {};
  }

  it('of each mode has its type, mode and source', async () => {
    expect(await rowOf(PAIR)).toMatchObject({
      SrcComputeGroup: 'src',
      DstComputeGroup: 'dst',
      ComputeGroup: 'dst',
      Type: 'CLUSTER',
      SyncMode: 'ONCE',
      Tables: '',
      TableFilter: '',
      MatchedTables: '',
      SyncStats: '',
    });
    expect(await rowOf('WARM UP CLUSTER dst WITH TABLE orders AND TABLE other.logs')).toMatchObject(
      {
        SrcComputeGroup: null,
        Type: 'TABLE',
        SyncMode: 'ONCE',
        Tables: 'd.orders, other.logs',
        TableFilter: '',
        MatchedTables: '',
        SyncStats: '',
      },
    );
    expect(await rowOf(`${PAIR} PROPERTIES (${PERIODIC})`)).toMatchObject({
      Type: 'CLUSTER',
      SyncMode: 'PERIODIC (10s)',
      TableFilter: '',
      MatchedTables: '',
      SyncStats: '',
    });
    const event = await rowOf(
      `${PAIR} PROPERTIES ("sync_mode"="event_driven","sync_event"="LOAD")`,
    );
    expect(event).toMatchObject({
      Type: 'CLUSTER',
      SyncMode: 'EVENT_DRIVEN (LOAD)',
      Progress: null,
      TableFilter: '',
      MatchedTables: '',
    });
  });

  it('with ON TABLES has the canonical filter and the tables of now', async () => {
    const rules = "EXCLUDE 'd.tmp_*', INCLUDE 'd.*', INCLUDE 'd.*'";
    const id = await made(`${PAIR} ON TABLES (${rules}) PROPERTIES (${EVENT})`);
    const row = async (): Promise<Record<string, unknown>> => {
      const [one] = await show.objects(`SHOW WARM UP JOB WHERE id = ${id}`);
      return one ?? {};
    };
    expect(await row()).toMatchObject({
      Type: 'TABLES',
      SyncMode: 'EVENT_DRIVEN (LOAD)',
      TableFilter: '{"include":["d.*"],"exclude":["d.tmp_*"]}',
      MatchedTables: 'd.customers, d.orders',
    });
    await show.run('CREATE TABLE b (k INT) DISTRIBUTED BY HASH (k) BUCKETS 1');
    await show.run('ALTER TABLE orders RENAME a; DROP TABLE customers');
    expect(await row()).toMatchObject({ MatchedTables: 'd.a, d.b' });
    await show.run('ADMIN SET FRONTEND CONFIG ("cloud_warm_up_matched_tables_display_limit"="1")');
    expect(await row()).toMatchObject({ MatchedTables: 'd.a ... and 1 more' });
    await show.run('DROP TABLE a; DROP TABLE b');
    expect(await row()).toMatchObject({
      MatchedTables: '',
      WaitReason: 'no table matches the ON TABLES filter',
    });
  });

  it('is found by LIKE: by a group, or by one of its tables', async () => {
    const table = await made('WARM UP CLUSTER dst WITH TABLE orders AND TABLE other.logs');
    const filter = await made(`${PAIR} ON TABLES (INCLUDE 'd.*') PROPERTIES (${EVENT})`);
    const found = async (pattern: string): Promise<unknown[]> =>
      (await show.objects(`SHOW WARM UP JOB LIKE '${pattern}' ORDER BY JobId`)).map(
        ({ JobId }) => JobId,
      );
    expect(await found('d.orders')).toEqual([table, filter]);
    expect(await found('other.%')).toEqual([table]);
    expect(await found('d.cust%')).toEqual([filter]);
    expect(await found('d_t')).toEqual([table, filter]);
    expect(await found('src')).toEqual([filter]);
    expect(await found('orders')).toEqual([]);
  });

  it('has SyncStats in two forms', async () => {
    const id = await made(`${PAIR} PROPERTIES (${EVENT})`);
    const stats = async (filter: string): Promise<Record<string, unknown>> => {
      const [row] = await show.objects(`SHOW WARM UP JOB ${filter}`);
      return JSON.parse(String(row?.['SyncStats'])) as Record<string, unknown>;
    };
    const compact = ['window', 'src_size', 'dst_size', 'gap_size', 'trigger_gap_ms'];
    const kinds = ['seg_num', 'seg_size', 'idx_num', 'idx_size'];
    const moments = ['last_trigger_ts', 'last_finish_ts', 'progress_trigger_ts', 'trigger_gap_ms'];
    for (const filter of ['', "WHERE Type = 'CLUSTER'", `WHERE id IN (${id})`, "LIKE 'dst'"]) {
      expect(Object.keys(await stats(filter))).toEqual(compact);
    }
    for (const filter of [id, `WHERE id = ${id}`, `WHERE JobId = ${id} AND Status <> 'X'`]) {
      const detailed = await stats(filter);
      expect(Object.keys(detailed)).toEqual([...kinds, ...moments]);
      expect(Object.keys(detailed['seg_num'] as object)).toHaveLength(12);
    }
    const [inTable] = await show.objects(
      `SELECT SyncStats FROM information_schema.warm_up_jobs WHERE JobId = '${id}'`,
    );
    expect(Object.keys(JSON.parse(String(inTable?.['SyncStats'])) as object)).toEqual(compact);
  });

  it('has 26 columns, the first 16 where scripts of Doris look', async () => {
    const { names } = await show.rows('SHOW WARM UP JOB');
    expect(names.slice(0, 16).join(' ')).toBe(
      'JobId SrcComputeGroup DstComputeGroup Status Type SyncMode CreateTime StartTime ' +
        'FinishBatch AllBatch FinishTime ErrMsg Tables TableFilter MatchedTables SyncStats',
    );
    expect(names.slice(16).join(' ')).toBe(
      'ComputeGroup Progress FinishBytes AllBytes BytesPerSec Eta SkippedTablets ' +
        'FailedTablets WaitReason NextStartTime',
    );
  });
});

describe('EXPLAIN WARM UP', () => {
  freshEachTime();

  it('of a run has its batches', async () => {
    const columns = 'BackendId | Batch | Tablets | Bytes';
    expect(await show.text(`EXPLAIN ${PAIR} PROPERTIES (${PERIODIC})`)).toEqual([columns]);
    expect(await show.text('EXPLAIN WARM UP CLUSTER dst WITH TABLE orders')).toEqual([columns]);
    expect(await show.objects('SHOW WARM UP JOB')).toEqual([]);
  });

  it('of an event-driven job has who serves whom', async () => {
    const facts = await show.text(
      `EXPLAIN ${PAIR} ON TABLES (INCLUDE '*.*s', EXCLUDE 'x.y') PROPERTIES (${EVENT})`,
    );
    expect(facts.map((line) => line.replace(/\d+ \(/, 'ID ('))).toEqual([
      'Item | Value',
      'sync mode | EVENT_DRIVEN (LOAD)',
      'source group | src',
      'source backend | ID (127.0.0.1:8041), alive',
      'source backend | ID (127.0.0.1:8042), alive',
      'target group | dst',
      'target backend | ID (127.0.0.1:8043), alive',
      'table filter | {"include":["*.*s"],"exclude":["x.y"]}',
      'matched table | d.customers',
      'matched table | d.orders',
      'matched table | other.logs',
    ]);
    await show.run('ADMIN SET FRONTEND CONFIG ("cloud_warm_up_matched_tables_display_limit"="1")');
    const few = await show.text(`EXPLAIN ${PAIR} ON TABLES (INCLUDE '*.*s') PROPERTIES (${EVENT})`);
    expect(few.slice(-2)).toEqual([
      'matched table | d.customers',
      'matched table | ... and 2 more',
    ]);
    const all = await show.text(`EXPLAIN ${PAIR} PROPERTIES (${EVENT})`);
    expect(all.at(-1)).toBe('table filter | none: every table');
    expect(await show.objects('SHOW WARM UP JOB')).toEqual([]);
  });
});

describe('statements about one job', () => {
  freshEachTime();

  const VERBS = ['CANCEL', 'PAUSE', 'RESUME', 'RETRY', 'WAIT FOR'];
  const WHERE = '1105 Where clause should looks like one of them: id = 123';

  it.each(VERBS)('%s says which condition it wants', async (verb) => {
    for (const where of [
      "id = '17'",
      'id > 17',
      'id IN (17)',
      'Status = 17',
      '17 = id',
      'id = 17 AND id = 18',
      'id = -1',
      'id = 1.5',
      'id IS NULL',
    ]) {
      expect(await show.error(`${verb} WARM UP JOB WHERE ${where}`)).toBe(WHERE);
    }
    expect(await show.error(`${verb} WARM UP JOB`)).toBe('1105 Missing job id');
  });

  it.each([...VERBS, 'ALTER'])('%s knows no job that is not there', async (verb) => {
    const set = verb === 'ALTER' ? 'SET ("sync_interval_sec"="5")' : '';
    for (const which of ['99', 'WHERE id = 99', 'WHERE JobId = 99']) {
      const error = await show.error(`${verb} WARM UP JOB ${which} ${set}`);
      expect(error).toBe('1105 job id: 99 does not exist.');
    }
    const huge = await show.error(`${verb} WARM UP JOB WHERE id = 99999999999999999999 ${set}`);
    expect(huge).toBe('1105 job id: 99999999999999999999 does not exist.');
  });

  it('ALTER names what may be set', async () => {
    const alter = async (what: string): Promise<string> =>
      await show.error(`ALTER WARM UP JOB 99 ${what}`);
    expect(await alter('SET ("sync_mode"="once")')).toBe(
      "1105 Property 'sync_mode' means nothing in ALTER WARM UP JOB: " +
        'a job keeps its mode; cancel it and create another',
    );
    expect(await alter('SET ("sync_event"="load")')).toMatch(/^1105 Property 'sync_event' means/);
    expect(await alter('SET ("interval"="1")')).toBe(
      "1105 Unknown property 'interval'; allowed: sync_interval_sec",
    );
    expect(await alter('SET ("sync_interval_sec"="0")')).toMatch(/^1105 Illegal sync_interval_sec/);
    expect(await alter("ON TABLES (EXCLUDE 'a.b')")).toMatch(/at least one INCLUDE rule$/);
    expect(await alter("ON TABLES (INCLUDE 'a')")).toMatch(/must be in 'db.table' format: 'a'$/);
    expect(await alter("ON TABLES (INCLUDE 'no.*')")).toMatch(/^1105 No tables matched/);
    expect(await alter("ON TABLES (INCLUDE 'd.*')")).toBe('1105 job id: 99 does not exist.');
  });

  it('CANCEL ends a job once', async () => {
    const id = await made(`${PAIR} PROPERTIES (${PERIODIC})`);
    await show.run(`CANCEL WARM UP JOB WHERE id = ${id}`);
    const [row] = await show.objects(`SHOW WARM UP JOB ${id}`);
    expect(row).toMatchObject({ Status: 'CANCELLED', ErrMsg: 'user cancel', WaitReason: '' });
    expect(row?.['FinishTime']).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}$/);
    const again = await show.error(`CANCEL WARM UP JOB ${id}`);
    expect(again).toBe('1105 job can not be cancelled. State: CANCELLED');
    await made(`${PAIR} PROPERTIES (${PERIODIC})`);
  });
});

describe('SHOW WARM UP JOB RUNS and FAILURES', () => {
  freshEachTime();

  it('list what there is, with WHERE, LIKE, ORDER BY and LIMIT', async () => {
    const { names } = await show.rows('SHOW WARM UP JOB RUNS');
    expect(names.join(' ')).toBe(
      'JobId Run StartTime EndTime Outcome FinishBytes AllBytes DoneTablets AllTablets ' +
        'SkippedTablets FailedTablets Reason',
    );
    const job = await show.catalog.warmUpJobs.find(await show.warmUpJob('dst', 'orders'));
    if (job === undefined) throw new Error('no job');
    const startMs = Date.UTC(2026, 0, 10, 12);
    await show.catalog.warmUpRuns.begin({ ...job, startMs });
    const counts = { ...job, failedTablets: 1, allTablets: 3 };
    const end = { endMs: startMs + 5, outcome: 'FAILED', reason: 'why', counts } as const;
    await show.catalog.warmUpRuns.end(job, end);
    await show.catalog.warmUpRuns.begin({ ...job, run: 2, startMs: startMs + 1000, allBytes: 7 });
    const id = String(job.jobId);
    const runs = async (rest: string): Promise<unknown[]> =>
      (await show.objects(`SHOW WARM UP JOB ${rest}`)).map(({ Run }) => Run);
    expect(await runs('RUNS')).toEqual([2n, 1n]);
    expect(await runs(`${id} RUNS`)).toEqual([2n, 1n]);
    expect(await runs(`RUNS WHERE id = ${id} AND Outcome = 'FAILED'`)).toEqual([1n]);
    expect(await runs("RUNS LIKE 'wh%'")).toEqual([1n]);
    expect(await runs('RUNS ORDER BY Run LIMIT 1')).toEqual([1n]);
    expect(await runs(`${id} RUNS WHERE FailedTablets > 0`)).toEqual([1n]);
    expect(show.warnings()).toEqual([]);
    const [, old] = await show.text(`SHOW WARM UP JOB ${id} RUNS WHERE Run = 1`);
    expect(old).toBe(
      `${id} | 1 | 2026-01-10 12:00:00.000 | 2026-01-10 12:00:00.005 | FAILED | ` +
        '0 | 0 | 0 | 3 | 0 | 1 | why',
    );
    const sql = "SELECT Run, EndTime FROM information_schema.warm_up_job_runs WHERE Reason = ''";
    expect(await show.text(sql)).toEqual(['Run | EndTime', '2 | null']);
  });

  it('name the table of a failed item, and none when it was dropped', async () => {
    const table = await show.table('d', 'orders');
    const [tablet] = show.catalog.tablets.ofTable(table.tableId);
    const jobId = await show.warmUpJob('dst', 'orders');
    if (tablet === undefined) throw new Error('no tablet');
    const { tabletId } = tablet;
    await show.catalog.warmUpBatches.addFailures(jobId, 1, [
      { tabletId, item: 'data/1/x_0.dat', reason: 'object is gone' },
    ]);
    const sql = `SHOW WARM UP JOB ${jobId} FAILURES`;
    const columns = 'JobId | Run | TabletId | TableName | Item | Reason | Time';
    const line = (name: string): string =>
      `${jobId} | 1 | ${tabletId} | ${name} | data/1/x_0.dat | object is gone | 2026-01-10 12:00:00.000`;
    expect(await show.text(sql)).toEqual([columns, line('d.orders')]);
    expect(await show.text("SHOW WARM UP JOB FAILURES LIKE 'd.cust%'")).toEqual([columns]);
    expect(await show.text("SHOW WARM UP JOB FAILURES LIKE 'd.ord%'")).toHaveLength(2);
    const inTable = 'SELECT * FROM information_schema.warm_up_job_failures';
    expect(await show.text(inTable)).toEqual([columns, line('d.orders')]);
    await show.run('DROP TABLE orders');
    expect(await show.text(sql)).toEqual([columns, line('null')]);
  });

  it('say so when there may be more than they list', async () => {
    const jobId = await show.warmUpJob('dst', 'orders');
    const tabletId = id<TabletId>(1);
    const failures = Array.from({ length: 2001 }, (_, n) => ({
      tabletId,
      item: `${n}`,
      reason: '',
    }));
    await show.catalog.warmUpBatches.addFailures(jobId, 1, failures.slice(2));
    expect(await show.objects(`SHOW WARM UP JOB ${jobId} FAILURES`)).toHaveLength(1999);
    expect(show.warnings()).toEqual([]);
    await show.catalog.warmUpBatches.addFailures(jobId, 1, failures.slice(0, 2));
    for (const sql of [`SHOW WARM UP JOB ${jobId} FAILURES`, 'SHOW WARM UP JOB FAILURES']) {
      expect(await show.objects(`${sql} WHERE Item = '1'`)).toEqual([]);
      expect(show.warnings()).toEqual([
        'Warning 1105 only the newest 2000 rows were looked at; there may be more of older runs',
      ]);
    }
  });

  it('warn of an unknown id', async () => {
    for (const sql of ['99 RUNS', '99 FAILURES', 'RUNS WHERE id = 99', 'FAILURES WHERE id = 99']) {
      expect(await show.objects(`SHOW WARM UP JOB ${sql}`)).toEqual([]);
      expect(show.warnings()).toEqual(['Warning 1105 cloud warm up with job 99 does not exist']);
    }
  });
});
