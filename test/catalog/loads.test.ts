/** Loads: labels, versions, and that a reader sees all of a load or nothing. */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { id } from '../../base/ids.ts';
import type { TxnId } from '../../base/ids.ts';
import type { TableDef } from '../../base/schema.ts';
import type { Catalog } from '../../catalog/catalog.ts';
import {
  COUNTS,
  CatalogFixture,
  beginLoad,
  createTable,
  load,
  rowsetsFor,
  tabletIdsOf,
} from './fixture.ts';

let fixture: CatalogFixture;
let catalog: Catalog;
let table: TableDef;
beforeEach(async () => {
  fixture = new CatalogFixture();
  catalog = await fixture.open();
  table = await createTable(catalog, 't');
});
afterEach(() => fixture.remove());

/** Rowsets seen per tablet. */
async function seen(of: Catalog, what: TableDef): Promise<number[]> {
  const visible = await of.rowsets.visible(tabletIdsOf(of, what));
  return [...visible.values()].map((rowsets) => rowsets.length);
}

describe('labels', () => {
  it('are taken by running and visible loads, and free after an abort', async () => {
    const { databaseId, tableId } = table;
    const wish = { databaseId, tableId, label: 'l', timeoutMs: 1000 };
    const first = await catalog.loads.begin(wish);
    expect(first).toMatchObject({ status: 'BEGUN', txn: { state: 'PREPARE' } });
    expect(await catalog.loads.begin(wish)).toEqual({ ...first, status: 'LABEL_EXISTS' });
    await catalog.loads.abort(first.txn.txnId, 'the client went away');
    await catalog.loads.abort(first.txn.txnId, 'twice is no error');
    const second = await catalog.loads.begin(wish);
    expect(second.status).toBe('BEGUN');
    await catalog.commitLoad(second.txn.txnId, rowsetsFor(catalog, table, 1), COUNTS);
    expect(await catalog.loads.begin(wish)).toMatchObject({
      status: 'LABEL_EXISTS',
      txn: { txnId: second.txn.txnId, state: 'VISIBLE', rows: 60, filteredRows: 1, bytes: 500 },
    });
    const states = (await catalog.loads.list(databaseId, 10)).map((txn) => [txn.state, txn.reason]);
    expect(states).toEqual([
      ['VISIBLE', ''],
      ['ABORTED', 'the client went away'],
    ]);
  });

  it.each(['', 'a b', 'x'.repeat(129), 'a\0', "'; drop"])('refuse %j', async (label) => {
    await expect(beginLoad(catalog, table, label)).rejects.toMatchObject({ code: 'BAD_LABEL' });
  });

  it('of loads that were running are free after a restart', async () => {
    const txnId = await beginLoad(catalog, table, 'l');
    catalog = await fixture.reopen(catalog);
    const aborted = { state: 'ABORTED', reason: 'the server was restarted' };
    expect(await catalog.loads.find(txnId)).toMatchObject(aborted);
    await expect(catalog.commitLoad(txnId, [], COUNTS)).rejects.toMatchObject({
      code: 'LOAD_TXN_UNKNOWN',
    });
    await beginLoad(catalog, table, 'l');
  });

  it('are forgotten after their time, and running loads time out', async () => {
    await load(catalog, table, 1);
    const slow = await beginLoad(catalog, table, 'slow');
    expect(await catalog.loads.timedOut(10)).toEqual([]);
    fixture.clock.ms += 1000;
    expect((await catalog.loads.timedOut(10)).map((txn) => txn.txnId)).toEqual([slow]);
    expect(await catalog.loads.expire(fixture.clock.ms, 10)).toBe(1);
    expect(await catalog.loads.expire(fixture.clock.ms, 10)).toBe(0);
    await beginLoad(catalog, table, 'label-1');
    expect(fixture.number('count(*) FROM load_label')).toBe(2);
  });
});

describe('commit', () => {
  it('shows one version per load, in order, also after a restart', async () => {
    await load(catalog, table, 1);
    await load(catalog, table, 2);
    const tabletIds = tabletIdsOf(catalog, table);
    const visible = await catalog.rowsets.visible(tabletIds);
    expect([...visible.keys()]).toEqual(tabletIds);
    const [first] = tabletIds;
    const rowsets = first === undefined ? [] : (visible.get(first) ?? []);
    expect(rowsets.map((rowset) => [rowset.startVersion, rowset.endVersion, rowset.rows])).toEqual([
      [2, 2, 10],
      [3, 3, 10],
    ]);
    expect(rowsets[0]?.segments).toEqual(rowsetsFor(catalog, table, 1)[0]?.segments);
    const { partitions } = await catalog.tables.get('d', 't');
    expect(partitions.map((part) => part.visibleVersion)).toEqual([3, 3]);
    const sizes = catalog.tablets.tableSize(table.tableId);
    expect(sizes).toEqual({ tablets: 6, bytes: 1200, rows: 120 });
    catalog = await fixture.reopen(catalog);
    expect(catalog.tablets.tableSize(table.tableId)).toEqual(sizes);
    expect(await catalog.rowsets.visible(tabletIds)).toEqual(visible);
    expect((await catalog.tables.get('d', 't')).partitions).toEqual(partitions);
  });

  it('answers a repeat the same and loads nothing twice', async () => {
    const txnId = await beginLoad(catalog, table, 'l');
    const rowsets = rowsetsFor(catalog, table, 1);
    const [one, two] = await Promise.all([
      catalog.commitLoad(txnId, rowsets, COUNTS),
      catalog.commitLoad(txnId, rowsets, COUNTS),
    ]);
    expect(one).toEqual(two);
    expect(await seen(catalog, table)).toEqual([1, 1, 1, 1, 1, 1]);
    await expect(catalog.loads.abort(txnId, 'late')).rejects.toMatchObject({
      message: `transaction ${txnId} not found or already VISIBLE`,
    });
  });

  it('of many loads at once gives each its own version', async () => {
    const txns = await Promise.all(
      Array.from({ length: 10 }, (_, i) => beginLoad(catalog, table, `l${i}`)),
    );
    await Promise.all(
      txns.map((txnId, i) => catalog.commitLoad(txnId, rowsetsFor(catalog, table, i), COUNTS)),
    );
    const visible = await catalog.rowsets.visible(tabletIdsOf(catalog, table));
    for (const rowsets of visible.values()) {
      const versions = rowsets.map((rowset) => rowset.endVersion);
      expect(versions).toEqual([2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    }
  });

  it('without a row is visible and raises no version', async () => {
    const txnId = await beginLoad(catalog, table, 'empty');
    expect((await catalog.commitLoad(txnId, [], COUNTS)).state).toBe('VISIBLE');
    const { partitions } = await catalog.tables.get('d', 't');
    expect(partitions.map((part) => part.visibleVersion)).toEqual([1, 1]);
  });

  it('refuses unknown and aborted transactions', async () => {
    const unknown = catalog.commitLoad(id<TxnId>(1), [], COUNTS);
    await expect(unknown).rejects.toMatchObject({ code: 'LOAD_TXN_UNKNOWN' });
    const txnId = await beginLoad(catalog, table, 'l');
    await catalog.loads.abort(txnId, 'why not');
    await expect(catalog.commitLoad(txnId, [], COUNTS)).rejects.toMatchObject({
      message: `transaction ${txnId} not found or already ABORTED`,
    });
  });

  it('after a partition was dropped aborts all of it, and its objects are garbage', async () => {
    const txnId = await beginLoad(catalog, table, 'l');
    const rowsets = rowsetsFor(catalog, table, 1);
    await catalog.tables.dropPartition(table.tableId, 'p1');
    await catalog.purged();
    const before = await catalog.garbage.count();
    await expect(catalog.commitLoad(txnId, rowsets, COUNTS)).rejects.toMatchObject({
      code: 'LOAD_FAILED',
    });
    expect((await catalog.loads.find(txnId))?.state).toBe('ABORTED');
    expect(await seen(catalog, table)).toEqual([0, 0, 0]);
    expect((await catalog.garbage.count()) - before).toBe(6);
  });

  it('of rowsets that another load committed fails, and does not make them garbage', async () => {
    await load(catalog, table, 1);
    const txnId = await beginLoad(catalog, table, 'thief');
    const stolen = rowsetsFor(catalog, table, 1);
    await expect(catalog.commitLoad(txnId, stolen, COUNTS)).rejects.toMatchObject({
      message: 'load failed: a rowset was committed before',
    });
    expect(await catalog.garbage.count()).toBe(0);
    expect(await seen(catalog, table)).toEqual([1, 1, 1, 1, 1, 1]);
    expect((await catalog.loads.find(txnId))?.state).toBe('ABORTED');
  });
});

describe('a commit in many transactions', () => {
  const big = (): Promise<TableDef> => createTable(catalog, 'big', 4, 1000);

  it('is invisible until its last one', async () => {
    const wide = await big();
    const txnId = await beginLoad(catalog, wide, 'l');
    const committing = catalog.commitLoad(txnId, rowsetsFor(catalog, wide, 1), COUNTS);
    const counts = new Set<number>();
    const state = { isDone: false };
    const watched = committing.finally(() => {
      state.isDone = true;
    });
    while (!state.isDone) {
      counts.add((await seen(catalog, wide)).reduce((sum, n) => sum + n, 0));
      await nextTurn();
    }
    await watched;
    expect([...counts].filter((count) => count !== 0 && count !== 4000)).toEqual([]);
    expect(counts.has(0)).toBe(true);
    expect(catalog.tablets.tableSize(wide.tableId)).toMatchObject({ bytes: 400_000 });
  });

  it('waits for another of the same table, and both are visible', async () => {
    const wide = await big();
    const txns = [await beginLoad(catalog, wide, 'a'), await beginLoad(catalog, wide, 'b')];
    const loads = txns.map((txnId, i) =>
      catalog.commitLoad(txnId, rowsetsFor(catalog, wide, i), COUNTS),
    );
    expect((await Promise.all(loads)).map((txn) => txn.state)).toEqual(['VISIBLE', 'VISIBLE']);
    const { partitions } = await catalog.tables.get('d', 'big');
    expect(partitions.map((part) => part.visibleVersion)).toEqual([3, 3, 3, 3]);
    expect(new Set(await seen(catalog, wide))).toEqual(new Set([2]));
  });

  it('is rolled back after a crash, and its objects are garbage', async () => {
    const wide = await big();
    const txnId = await beginLoad(catalog, wide, 'l');
    const committing = catalog.commitLoad(txnId, rowsetsFor(catalog, wide, 1), COUNTS);
    while (fixture.number('count(*) FROM rowset') < 1600) await nextTurn();
    const image = fixture.crashImage();
    await committing;
    const inserted = image.number('count(*) FROM rowset');
    const after = await image.open();
    expect(image.number('count(*) FROM rowset')).toBe(0);
    expect(image.number('sum(bytes) + sum(row_count) FROM tablet')).toBe(0);
    expect(await after.loads.find(txnId)).toMatchObject({
      state: 'ABORTED',
      reason: 'the server was stopped during the commit',
    });
    const [item] = await after.garbage.claim(1, 1000);
    expect(item?.prefix).toMatch(/^data\/\d+\/[0-9a-f]{32}_$/);
    expect(await after.garbage.count()).toBe(inserted);
    const again = await after.tables.get('d', 'big');
    expect(again.partitions.map((part) => part.visibleVersion)).toEqual([1, 1, 1, 1]);
    await beginLoad(after, again, 'l');
  });

  it('of a table that is dropped meanwhile fails and leaves nothing', async () => {
    const wide = await big();
    const txnId = await beginLoad(catalog, wide, 'l');
    const committing = catalog.commitLoad(txnId, rowsetsFor(catalog, wide, 1), COUNTS);
    const outcome = committing.catch((error: unknown) => error);
    while (fixture.number('count(*) FROM rowset') < 800) await nextTurn();
    await catalog.tables.drop(wide.tableId);
    expect(await outcome).toMatchObject({ code: 'LOAD_FAILED' });
    await catalog.purged();
    expect((await catalog.loads.find(txnId))?.state).toBe('ABORTED');
    expect(fixture.number('count(*) FROM rowset')).toBe(0);
    expect(fixture.number('count(*) FROM tablet WHERE table_id = ' + String(wide.tableId))).toBe(0);
  });
});
