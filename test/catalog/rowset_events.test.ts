import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { id, rowsetId } from '../../base/ids.ts';
import type { BackendId, TabletId, TxnId } from '../../base/ids.ts';
import type { NewRowset, TableDef } from '../../base/schema.ts';
import type { Catalog } from '../../catalog/catalog.ts';
import type { NewRowsets } from '../../catalog/rowset_event_hub.ts';
import type { WarmUpJob } from '../../catalog/warm_up_jobs.ts';
import { CatalogFixture, createTable } from './fixture.ts';

describe('the log of rowset events', () => {
  const fixture = new CatalogFixture();
  let catalog: Catalog;
  let table: TableDef;
  let writer: BackendId;
  const heard: NewRowsets[] = [];
  let drawn = 0;

  beforeEach(async () => {
    heard.length = 0;
    catalog = await fixture.open();
    catalog.rowsetEvents.onCommit((event) => heard.push(event));
    await catalog.computeGroups.create('src');
    const backend = await catalog.backends.create({
      computeGroupName: 'src',
      kind: 'embedded',
      host: '127.0.0.1',
      httpPort: 0,
    });
    writer = backend.backendId;
    table = await createTable(catalog, 't', 1, 3);
  });
  afterEach(async () => {
    await fixture.remove();
  });

  const listen = async (srcGroup = 'src'): Promise<WarmUpJob> =>
    await catalog.warmUpJobs.create({
      kind: 'CLUSTER',
      srcGroup,
      dstGroup: 'dst',
      syncMode: 'EVENT_DRIVEN',
      syncIntervalS: null,
      syncEvent: 'load',
      tableFilter: null,
      force: false,
      tables: [],
      epoch: catalog.epoch,
    });

  /** One rowset for each tablet. */
  const load = async (bytes = 10, by: BackendId | undefined = writer): Promise<TxnId> => {
    drawn += 1;
    const begun = await catalog.loads.begin({
      databaseId: table.databaseId,
      tableId: table.tableId,
      label: `l${drawn}`,
      timeoutMs: 1000,
    });
    const rowsets = catalog.tablets
      .ofTable(table.tableId)
      .map(({ tabletId, partitionId }, place): NewRowset => ({
        rowsetId: rowsetId(`${drawn}${place}`.padStart(32, '0')),
        tabletId,
        partitionId,
        rows: 1,
        bytes,
        segments: [{ segment: 0, bytes, rows: 1, indexOffset: bytes, crc32: 0 }],
      }));
    const counts = { loadedRows: 3, filteredRows: 0, loadBytes: 1 };
    await catalog.commitLoad(begun.txn.txnId, rowsets, counts, by);
    return begun.txn.txnId;
  };

  it('stays empty while nobody listens, yet everybody hears of the commit', async () => {
    const txnId = await load();
    expect(catalog.rowsetEvents.lastSeq('src')).toBe(0);
    expect(catalog.rowsetEvents.after('src', 0, 10)).toEqual([]);
    expect(heard).toMatchObject([{ sourceGroup: 'src', txnId, rowsets: 3, seq: undefined }]);
  });

  it('has one event per commit, numbered, with the names of that moment', async () => {
    await listen();
    const first = await load();
    await catalog.tables.rename(table.tableId, 'renamed');
    await catalog.computeGroups.rename('src', 'other');
    await load();
    await catalog.computeGroups.rename('other', 'src');
    const second = await load();
    expect(catalog.rowsetEvents.after('src', 0, 10)).toMatchObject([
      { seq: 1, txnId: first, tableName: 'd.t', kind: 'LOAD', rowsets: 3, bytes: 30 },
      { seq: 2, txnId: second, tableName: 'd.renamed' },
    ]);
    expect(catalog.rowsetEvents.after('src', 1, 10).map((event) => event.seq)).toEqual([2]);
    expect(heard.map((event) => event.seq)).toEqual([1, undefined, 2]);
  });

  it('ends with the last job that listens, and goes on counting with the next', async () => {
    const job = await listen();
    await load();
    await catalog.warmUpJobs.update(job.jobId, job.version, { state: 'CANCELLED' });
    await load();
    expect(catalog.rowsetEvents.lastSeq('src')).toBe(1);
    await listen();
    catalog = await fixture.reopen(catalog);
    await load();
    expect(catalog.rowsetEvents.lastSeq('src')).toBe(2);
  });

  it('knows neither commits of unknown writers nor of other groups', async () => {
    await listen('somebody else');
    await load();
    await load(10, id<BackendId>(999_999));
    expect(catalog.rowsetEvents.after('src', 0, 10)).toEqual([]);
    expect(heard).toHaveLength(1);
  });

  it('reads the rowsets of transactions page by page, with those left out that are gone', async () => {
    const first = await load();
    const last = await load();
    const start = { txnId: first, tabletId: 0, rowsetId: '' };
    const one = catalog.rowsetEvents.rowsets(start, last, 4, 'src');
    expect(one.rowsets.map((rowset) => rowset.txnId)).toEqual([first, first, first, last]);
    const two = catalog.rowsetEvents.rowsets(one.next ?? start, last, 4, 'src');
    expect(two.rowsets.map((rowset) => rowset.txnId)).toEqual([last, last]);
    expect(two.next).toBeUndefined();
    expect(catalog.rowsetEvents.rowsets(start, last, 100, 'dst').rowsets).toEqual([]);
    const gone: TabletId | undefined = one.rowsets[0]?.tabletId;
    fixture.raw((db) => db.prepare('DELETE FROM rowset WHERE tablet_id = ?').run(gone));
    expect(catalog.rowsetEvents.rowsets(start, last, 100).rowsets).toHaveLength(4);
    await catalog.tables.drop(table.tableId);
    expect(catalog.rowsetEvents.rowsets(start, last, 100).rowsets).toEqual([]);
  });

  it('is cut from its beginning, in steps', async () => {
    await listen();
    for (let count = 0; count < 5; count += 1) await load();
    expect(await catalog.rowsetEvents.truncate('src', 3, 2)).toBe(2);
    expect(await catalog.rowsetEvents.truncate('src', 3, 2)).toBe(1);
    expect(await catalog.rowsetEvents.truncate('src', 3, 2)).toBe(0);
    expect(catalog.rowsetEvents.after('src', 0, 10).map((event) => event.seq)).toEqual([4, 5]);
    expect(catalog.rowsetEvents.lastSeq('src')).toBe(5);
  });
});
