/** Which tables ON TABLES filters match: after creation, changes, the interval and a restart. */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Config } from '../../base/config.ts';
import type { JobId } from '../../base/ids.ts';
import { SILENT_LOG } from '../../base/ports.ts';
import type { Catalog } from '../../catalog/catalog.ts';
import { MatchedTables, matchedTablesText } from '../../jobs/matched_tables.ts';
import { CatalogFixture, FixedClock, createTable } from '../catalog/fixture.ts';

/** Timers run when the test says so. */
class ManualClock extends FixedClock {
  readonly timers = new Map<() => void, number>();
  override after = (ms?: number, fn: () => void = () => undefined): (() => void) => {
    this.timers.set(fn, ms ?? 0);
    return () => {
      this.timers.delete(fn);
    };
  };

  fire(): void {
    const due = [...this.timers.keys()];
    this.timers.clear();
    for (const fn of due) fn();
  }
}

let fixture: CatalogFixture;
let catalog: Catalog;
let clock: ManualClock;
let config: Config;
let matched: MatchedTables;

function openMatched(): MatchedTables {
  const opened = new MatchedTables({ catalog, config, clock, log: SILENT_LOG });
  opened.start();
  return opened;
}

beforeEach(async () => {
  fixture = new CatalogFixture();
  catalog = await fixture.open();
  clock = new ManualClock();
  config = new Config();
  matched = openMatched();
});
afterEach(async () => {
  await matched.close();
  await fixture.remove();
});

async function filterJob(tableFilter: string): Promise<JobId> {
  const job = await catalog.warmUpJobs.create({
    kind: 'CLUSTER',
    srcGroup: 's',
    dstGroup: 'd',
    syncMode: 'EVENT_DRIVEN',
    syncIntervalS: null,
    syncEvent: 'LOAD',
    tableFilter,
    force: false,
    tables: [],
    epoch: catalog.epoch,
  });
  matched.jobsChanged();
  await matched.settled();
  return job.jobId;
}

async function names(jobId: JobId): Promise<readonly string[]> {
  await matched.settled();
  const text = matched.text(jobId);
  return text === '' ? [] : text.split(', ');
}

describe('tables of a filter', () => {
  it('are those there are when the job is made', async () => {
    await createTable(catalog, 'orders', 1, 1);
    await createTable(catalog, 'tmp_1', 1, 1);
    await createTable(catalog, 'customers', 1, 1);
    const filter = { include: ['d.*'], exclude: ['d.tmp_?'] };
    expect(await matched.matchNow(filter)).toEqual({
      count: 2,
      first: ['d.customers', 'd.orders'],
    });
    const jobId = await filterJob('{"include":["d.*"],"exclude":["d.tmp_?"]}');
    expect(await names(jobId)).toEqual(['d.customers', 'd.orders']);
    expect(matched.text(jobId)).toBe('d.customers, d.orders');
    const none = await matched.matchNow({ include: ['nope.*'], exclude: [] });
    expect(none).toEqual({ count: 0, first: [] });
  });

  it('come and go with CREATE, DROP, RENAME and DROP DATABASE', async () => {
    const orders = await createTable(catalog, 'orders', 1, 1);
    const jobId = await filterJob('{"include":["d.or*"]}');
    const other = await filterJob('{"include":["*.*x"]}');
    expect(matched.isEmpty(other)).toBe(true);
    await createTable(catalog, 'order_x', 1, 1);
    expect(await names(jobId)).toEqual(['d.order_x', 'd.orders']);
    expect(await names(other)).toEqual(['d.order_x']);
    await catalog.tables.rename(orders.tableId, 'archive');
    expect(await names(jobId)).toEqual(['d.order_x']);
    await catalog.tables.rename(orders.tableId, 'orders2');
    expect(await names(jobId)).toEqual(['d.order_x', 'd.orders2']);
    await catalog.tables.drop(orders.tableId);
    expect(await names(jobId)).toEqual(['d.order_x']);
    await catalog.databases.drop('d');
    expect(await names(jobId)).toEqual([]);
    expect(matched.isEmpty(jobId)).toBe(true);
    expect(matched.text(jobId)).toBe('');
    await createTable(catalog, 'orders', 1, 1);
    expect(await names(jobId)).toEqual(['d.orders']);
  });

  it('do not cost what is not asked: without jobs no name is read', async () => {
    await createTable(catalog, 'orders', 1, 1);
    await matched.settled();
    const jobId = await filterJob('{"include":["d.*"]}');
    const row = await catalog.warmUpJobs.find(jobId);
    await catalog.warmUpJobs.update(jobId, row?.version ?? 0, { state: 'CANCELLED' });
    matched.jobsChanged();
    expect(await names(jobId)).toEqual([]);
    expect(matched.isEmpty(jobId)).toBe(false);
    expect(matched.text(jobId)).toBe('');
  });

  it('are evaluated again at the interval, which changes live', async () => {
    const jobId = await filterJob('{"include":["e.*"]}');
    expect([...clock.timers.values()]).toEqual([60_000]);
    config.setLive('cloud_warm_up_table_filter_refresh_interval_ms', '500');
    expect([...clock.timers.values()]).toEqual([500]);
    // Another program's commit: nobody tells of it.
    fixture.raw((db) => {
      db.exec(`INSERT INTO database_def (database_id, name, created_ms) VALUES (7, 'e', 0);
        INSERT INTO table_def (table_id, database_id, name, state, version, schema_version,
          vault_id, definition, created_ms) SELECT 8, 7, 't', 'NORMAL', 1, 0, vault_id, '{}', 0 FROM vault`);
    });
    expect(await names(jobId)).toEqual([]);
    clock.fire();
    expect(await names(jobId)).toEqual(['e.t']);
  });

  it('are there again after a restart', async () => {
    await createTable(catalog, 'orders', 1, 1);
    const jobId = await filterJob('{"include":["d.*"]}');
    await matched.close();
    catalog = await fixture.reopen(catalog);
    matched = openMatched();
    expect(await names(jobId)).toEqual(['d.orders']);
    await createTable(catalog, 'more', 1, 1);
    expect(await names(jobId)).toEqual(['d.more', 'd.orders']);
  });

  it('are known although others come all the time', async () => {
    const jobId = await filterJob('{"include":["d.*"]}');
    await createTable(catalog, 'first', 1, 1);
    const stop = new AbortController();
    const churn = (async () => {
      for (let i = 0; !stop.signal.aborted; i += 1) {
        const table = await createTable(catalog, `churn_${i}`, 1, 1);
        await catalog.tables.drop(table.tableId);
      }
    })();
    await createTable(catalog, 'wanted', 1, 1);
    expect(await names(jobId)).toContain('d.wanted');
    stop.abort();
    await churn;
    expect(await names(jobId)).toEqual(['d.first', 'd.wanted']);
  });

  it('are read in pages, and what changes meanwhile is not lost', async () => {
    fixture.raw((db) => {
      db.exec("INSERT INTO database_def (database_id, name, created_ms) VALUES (7, 'e', 0)");
      const insert = db.prepare(`INSERT INTO table_def (table_id, database_id, name, state,
        version, schema_version, vault_id, definition, created_ms)
        SELECT ?, 7, ?, 'NORMAL', 1, 0, vault_id, '{}', 0 FROM vault`);
      db.transaction(() => {
        for (let i = 0; i < 5000; i += 1) insert.run(1_000_000 + i, `t${i}`);
      })();
    });
    const first = await createTable(catalog, 'x9', 1, 1);
    matched.jobsChanged();
    const pending = filterJob('{"include":["*.*9"]}');
    await catalog.tables.rename(first.tableId, 'y');
    await createTable(catalog, 'z9', 1, 1);
    config.setLive('cloud_warm_up_matched_tables_display_limit', '100000');
    const found = await names(await pending);
    expect(found).toHaveLength(501);
    expect(found).toEqual(found.toSorted());
    config.setLive('cloud_warm_up_matched_tables_display_limit', '2');
    expect(matched.text(await pending)).toBe('d.z9, e.t1009 ... and 499 more');
    expect(found).toContain('d.z9');
    expect(found).not.toContain('d.x9');
  });
});

describe('what MatchedTables shows', () => {
  it('says how many more there are', () => {
    const first = ['a.a', 'a.b'];
    expect(matchedTablesText({ count: 2, first })).toBe('a.a, a.b');
    expect(matchedTablesText({ count: 3, first })).toBe('a.a, a.b ... and 1 more');
    expect(matchedTablesText({ count: 0, first: [] })).toBe('');
  });
});
