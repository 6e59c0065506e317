import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { SqlError } from '../../base/errors.ts';
import { type TableId, type TabletId, id } from '../../base/ids.ts';
import type { TableDef } from '../../base/schema.ts';
import { CompactionQueue } from '../../jobs/compaction_queue.ts';
import { createTable, tabletIdsOf } from '../catalog/fixture.ts';
import { CompactionWorld } from './compaction_world.ts';

const FAILED = new SqlError('STORE_FAILED', { what: 'the bucket is away' });

describe('CompactionScheduler', () => {
  let world: CompactionWorld;
  let table: TableDef;
  let tabletId: TabletId;

  beforeEach(async () => {
    world = await CompactionWorld.create();
    await makeTable('t', 1);
  });

  afterEach(async () => {
    await world.remove();
  });

  async function makeTable(name: string, buckets: number): Promise<TableDef> {
    const made = await createTable(world.catalog, name, 1, buckets);
    if (name === 't') {
      table = made;
      tabletId = tabletIdsOf(world.catalog, made)[0] ?? id<TabletId>(0);
    }
    return made;
  }

  const stateOf = (): string => world.compactions.stateOf(table.tableId, tabletId);

  it('merges what loads left, once there is enough of it', async () => {
    await world.load(table, 4);
    await world.pass();
    expect(world.requests).toEqual([]);
    expect(world.compactions.candidates(tabletId)).toEqual({ rowsets: 4, merge: 0 });
    await world.load(table, 1);
    await world.pass();
    expect(await world.rowsets(tabletId)).toMatchObject([
      { startVersion: 2, endVersion: 6, rows: 50, bytes: 500 },
    ]);
    expect(stateOf()).toBe('IDLE');
    expect(world.compactions.counters()).toEqual({
      running: 0,
      waiting: 0,
      succeeded: 1,
      failed: 0,
      superseded: 0,
      readBytes: 500,
      writtenBytes: 500,
    });
    expect(world.holds.size).toBe(0);
  });

  it('has the group of the newest rows do it, or another one that is alive', async () => {
    world.isHolding = true;
    await world.load(table, 4);
    await world.load(table, 1, 'readers');
    await world.pass();
    expect(await world.membersOf('readers')).toContain(world.held[0]?.backendId);
    world.held[0]?.end();
    await world.pass();
    const [merged] = await world.rowsets(tabletId);
    expect(merged).toBeDefined();
    if (merged === undefined) return;
    expect(world.catalog.compactions.sourceGroupOf(tabletId, merged.rowsetId)).toBe('readers');
    await world.heartbeats(['writers']);
    await world.load(table, 9, 'readers');
    await world.pass();
    expect(await world.membersOf('writers')).toContain(world.held[1]?.backendId);
    world.held[1]?.end();
    await world.pass();
  });

  it('does nothing by itself where it is switched off, but what it is asked for', async () => {
    world.config.setLive('disable_auto_compaction', 'true');
    await world.load(table, 9);
    await world.pass();
    expect(world.requests).toEqual([]);
    world.config.setLive('disable_auto_compaction', 'false');
    await world.pass();
    expect(await world.rowsets(tabletId)).toHaveLength(1);
    const properties = { disable_auto_compaction: 'true' };
    await world.catalog.tables.set(table.tableId, { properties });
    await world.load(table, 9);
    await world.pass();
    expect(await world.rowsets(tabletId)).toHaveLength(10);
    const back = { disable_auto_compaction: 'false' };
    await world.catalog.tables.set(table.tableId, { properties: back });
    await world.pass();
    expect(await world.rowsets(tabletId)).toHaveLength(1);
    await world.catalog.tables.set(table.tableId, { properties });
    await world.load(table, 2);
    world.compactions.request(table.tableId, [tabletId], 'FULL');
    await world.pass();
    expect(await world.rowsets(tabletId)).toHaveLength(1);
    expect(world.catalog.compactions.lastOf(tabletId)?.kind).toBe('FULL');
  });

  it('runs one of a tablet, and so many of all, at once', async () => {
    world.isHolding = true;
    const wide = await makeTable('wide', 6);
    await world.load(wide, 5);
    await world.load(table, 5);
    await world.pass();
    expect(world.held).toHaveLength(2);
    // Tables take turns.
    expect(new Set(world.held.map(({ request }) => request.tableName)).size).toBe(2);
    expect(world.compactions.counters()).toMatchObject({ running: 2, waiting: 5 });
    world.compactions.request(table.tableId, [tabletId], 'FULL');
    await world.pass();
    expect(world.held).toHaveLength(2);
    world.config.setLive('max_concurrent_compactions', '100');
    await world.pass();
    expect(world.held).toHaveLength(7);
    const of = (held: (typeof world.held)[number]): TabletId => held.request.tabletId;
    expect(new Set(world.held.map(of)).size).toBe(7);
    await world.load(table, 1);
    for (const held of world.held.splice(0)) held.end();
    await world.pass();
    // FULL was asked for while it ran.
    expect(world.held.map(of)).toEqual([tabletId]);
    world.held[0]?.end();
    await world.pass();
    expect(await world.rowsets(tabletId)).toHaveLength(1);
  });

  it('tries again after a pause when it failed, and says why', async () => {
    world.isHolding = true;
    await world.load(table, 5);
    await world.pass();
    world.held[0]?.end(FAILED);
    await world.pass();
    expect(stateOf()).toBe('RETRYING');
    expect(world.catalog.compactions.lastOf(tabletId)).toMatchObject({
      error: 'object store: the bucket is away',
      compactions: 0,
    });
    await world.load(table, 1);
    await world.pass();
    expect(world.held).toHaveLength(1);
    await world.pass(5000);
    expect(world.held).toHaveLength(2);
    world.held[1]?.end();
    await world.pass();
    expect(world.catalog.compactions.lastOf(tabletId)).toMatchObject({ error: '', compactions: 1 });
    expect(await world.rowsets(tabletId)).toHaveLength(1);
    expect(stateOf()).toBe('IDLE');
  });

  it('pauses altogether while one after the other fails', async () => {
    world.isHolding = true;
    const wide = await makeTable('wide', 20);
    await world.load(wide, 5);
    for (let i = 0; i < 20; i += 1) {
      await world.pass(200);
      for (const held of world.held.splice(0)) held.end(FAILED);
      await world.settle();
    }
    expect(world.compactions.counters().failed).toBeLessThan(16);
    expect(world.compactions.counters().failed).toBeGreaterThanOrEqual(5);
  });

  it.each([
    ['dropped', async () => world.catalog.tables.drop(table.tableId)],
    ['truncated', async () => world.catalog.tableChanges.truncate(table)],
  ])('leaves garbage and nothing else when the table is %s meanwhile', async (_what, change) => {
    world.isHolding = true;
    await world.load(table, 5);
    await world.pass();
    const [held] = world.held;
    await change();
    await world.catalog.purged();
    held?.end();
    await world.pass();
    expect(world.compactions.counters()).toMatchObject({ superseded: 1, failed: 0, succeeded: 0 });
    expect(world.fixture.number('count(*) FROM rowset')).toBe(0);
    expect(world.fixture.number('count(*) FROM compaction')).toBe(0);
    const prefix = `data/${tabletId}/${held?.request.rowsetId ?? ''}_`;
    expect(world.fixture.number(`count(*) FROM garbage WHERE prefix = '${prefix}'`)).toBe(1);
  });

  it('commits beside a load that goes on all the while', async () => {
    world.isHolding = true;
    await world.load(table, 5);
    await world.pass();
    await world.load(table, 3);
    world.held[0]?.end();
    await world.load(table, 1);
    await world.pass();
    const rowsets = await world.rowsets(tabletId);
    expect(rowsets.map(({ startVersion, endVersion }) => [startVersion, endVersion])).toEqual([
      [2, 6],
      [7, 7],
      [8, 8],
      [9, 9],
      [10, 10],
    ]);
    expect(world.catalog.tablets.get(tabletId)).toMatchObject({ rows: 90, bytes: 900 });
    // By now there are five neighbours of a size again.
    expect(world.held).toHaveLength(2);
    world.held[1]?.end();
    await world.pass();
    expect(await world.rowsets(tabletId)).toHaveLength(1);
  });

  it('gives up what runs when it is closed, and finds it again after a start', async () => {
    world.isHolding = true;
    await world.load(table, 5);
    await world.pass();
    expect(stateOf()).toBe('RUNNING');
    await world.restart();
    expect(world.catalog.compactions.lastOf(tabletId)).toBeUndefined();
    expect(world.fixture.number('count(*) FROM compaction')).toBe(0);
    expect(world.fixture.number("count(*) FROM garbage WHERE reason = 'compaction failed'")).toBe(
      1,
    );
    world.isHolding = false;
    await world.pass();
    expect(await world.rowsets(tabletId)).toHaveLength(1);
  });

  it('does not merge while the table is being altered', async () => {
    world.fixture.raw((database) => {
      database.exec(`INSERT INTO alter_job (job_id, kind, database_id, table_id, table_name, state,
        version, columns, source_group, txn_id, schema_version, timeout_ms, create_ms, finish_ms, msg)
        VALUES (1, 'ROLLUP', 1, ${table.tableId}, 't', 'RUNNING', 1, '[]', '', 1, 1, 1, 1, NULL, '')`);
    });
    await world.load(table, 9);
    await world.pass();
    expect(world.requests).toEqual([]);
    world.fixture.raw((database) => {
      database.exec("UPDATE alter_job SET state = 'FINISHED'");
    });
    await world.load(table, 1);
    await world.pass();
    expect(await world.rowsets(tabletId)).toHaveLength(1);
  });

  it('keeps the inputs for a reader that has them, whatever the time', async () => {
    await world.load(table, 4);
    const release = world.holds.take();
    const before = await world.rowsets(tabletId);
    await world.load(table, 1);
    await world.pass();
    expect(await world.rowsets(tabletId)).toHaveLength(1);
    // The catalog's clock stands still and is ahead by the grace period now.
    world.fixture.clock.ms = world.clock.now() + 3_600_000;
    expect(await world.garbage.collect()).toBe(0);
    expect(world.deleted).toEqual([]);
    release();
    expect(await world.garbage.collect()).toBe(5);
    const prefixes = before.map(({ rowsetId }) => `data/${tabletId}/${rowsetId}_`);
    expect(world.deleted).toEqual(expect.arrayContaining(prefixes));
    // On each of the four backends: when nobody reads them, and when the objects are deleted.
    expect(world.dropped).toHaveLength(2 * 5 * 4);
  });

  it('leaves a tablet alone until its loads are over, unless it has many rowsets', async () => {
    world.config.setLive('cumulative_compaction_quiet_second', '10');
    await world.load(table, 6);
    await world.pass(8000);
    await world.load(table, 1);
    await world.pass(8000);
    expect(world.requests).toEqual([]);
    await world.pass(3000);
    expect(await world.rowsets(tabletId)).toHaveLength(1);
    await world.load(table, 20);
    await world.pass(1000);
    expect(world.requests).toHaveLength(2);
  });
});

describe('CompactionQueue', () => {
  const t = (n: number): TableId => id<TableId>(n);
  const b = (n: number): TabletId => id<TabletId>(n);

  it('gives tables turns, tablets one place, and statements precedence over the policy', () => {
    const queue = new CompactionQueue(5);
    for (const n of [1, 2, 3]) queue.add({ tableId: t(1), tabletId: b(n), mode: 'AUTO' });
    queue.add({ tableId: t(2), tabletId: b(9), mode: 'AUTO' });
    queue.add({ tableId: t(1), tabletId: b(2), mode: 'FULL' });
    queue.add({ tableId: t(1), tabletId: b(2), mode: 'AUTO' });
    expect(queue.size).toBe(4);
    expect(queue.modeOf({ tableId: t(1), tabletId: b(2) })).toBe('FULL');
    const order = Array.from({ length: 5 }, () => queue.take()?.tabletId);
    expect(order).toEqual([1, 9, 2, 3, undefined]);
    expect(queue.size).toBe(0);
  });

  it('is bounded for what comes automatically', () => {
    const queue = new CompactionQueue(2);
    for (const n of [1, 2, 3]) queue.add({ tableId: t(1), tabletId: b(n), mode: 'AUTO' });
    expect(queue.size).toBe(2);
    queue.add({ tableId: t(1), tabletId: b(4), mode: 'FULL' });
    expect(queue.size).toBe(3);
  });
});
