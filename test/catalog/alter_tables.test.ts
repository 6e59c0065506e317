import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { id, rowsetId } from '../../base/ids.ts';
import { type NewRowset, type TableDef, baseIndexOf, columnsOfIndex } from '../../base/schema.ts';
import type { AlterJob } from '../../catalog/alter_jobs.ts';
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
  table = await createTable(catalog, 't', 2, 2);
});
afterEach(async () => {
  await fixture.remove();
});

const added = {
  name: 'w',
  type: { kind: 'INT' },
  nullable: true,
  isKey: false,
  comment: '',
} as const;

async function schemaChange(of: TableDef = table): Promise<AlterJob> {
  const columns = [...of.columns, added];
  const base = baseIndexOf(of);
  return catalog.alterJobs.create({
    kind: 'SCHEMA_CHANGE',
    tableId: of.tableId,
    schemaVersion: of.schemaVersion,
    columns,
    indexes: [
      {
        originIndexId: base.indexId,
        name: base.name,
        kind: 'BASE',
        columns: columns.map((column) =>
          column === added ? { column } : { column, source: column },
        ),
      },
    ],
    sourceGroup: 'g',
    timeoutMs: 1000,
  });
}

async function rollup(of: TableDef = table): Promise<AlterJob> {
  const [k] = of.columns;
  if (k === undefined) throw new Error('no column');
  return catalog.alterJobs.create({
    kind: 'ROLLUP',
    tableId: of.tableId,
    schemaVersion: of.schemaVersion,
    columns: of.columns,
    indexes: [
      {
        originIndexId: baseIndexOf(of).indexId,
        name: 'r',
        kind: 'ROLLUP',
        shape: { columns: ['k'], keyColumns: 1 },
        columns: [{ column: k, source: k }],
      },
    ],
    sourceGroup: 'g',
    timeoutMs: 1000,
  });
}

let salt = 0;
/** Rewrites what there is, as a backend would, and answers the job as it is then. */
async function rewriteAll(job: AlterJob): Promise<AlterJob> {
  const { alterTables, alterWrites } = catalog;
  await alterTables.addTablets(job);
  for (const partitionId of alterTables.versions(job).keys()) {
    const pairs = alterTables.pairs(job, partitionId);
    const visible = await catalog.rowsets.visible(pairs.map(({ source }) => source));
    for (const { source, target } of pairs) {
      const done = new Set(alterWrites.rewritten(target).map(({ startVersion }) => startVersion));
      for (const rowset of visible.get(source) ?? []) {
        if (done.has(rowset.startVersion)) continue;
        salt += 1;
        const write = { tabletId: target, rowsetId: rowsetId(salt.toString(16).padStart(32, 'e')) };
        await alterWrites.planWrites(job, [write]);
        const { rows, bytes, segments } = rowset;
        const written: NewRowset = { ...write, partitionId, rows, bytes: bytes + 1, segments };
        await alterWrites.addRewritten(job, [{ source: rowset, rowset: written }], job.txnId);
      }
    }
  }
  return job;
}

async function run(job: AlterJob): Promise<AlterJob> {
  let now = job;
  if (now.state === 'PENDING') now = await catalog.alterJobs.move(now, 'WAITING_TXN');
  if (now.state === 'WAITING_TXN') now = await catalog.alterJobs.move(now, 'RUNNING');
  return rewriteAll(now);
}

async function doSwitch(job: AlterJob): Promise<boolean> {
  const { alterTables } = catalog;
  const versions = alterTables.versions(job);
  const txnId = await alterTables.stamp(job, versions.keys());
  return alterTables.exclusive(job.tableId, async () => {
    const plan = await alterTables.switchPlan(job, versions, txnId);
    return alterTables.switch(job, plan);
  });
}

/** Every partition has a tablet for every bucket of every index. */
async function expectWhole(of: TableDef): Promise<TableDef> {
  const now = await catalog.tables.get('d', of.name);
  for (const partition of now.partitions) {
    for (const { indexId } of now.indexes) {
      const tablets = catalog.tablets.buckets(partition.partitionId, indexId);
      expect(tablets).toHaveLength(partition.buckets);
      expect(tablets.every((tabletId) => catalog.tablets.get(tabletId) !== undefined)).toBe(true);
    }
    const size = partition.buckets * now.indexes.length;
    expect(catalog.tablets.ofPartition(partition.partitionId)).toHaveLength(size);
  }
  return now;
}

describe('a schema change', () => {
  it('is invisible until the switch, then all there is, also after a restart', async () => {
    await load(catalog, table, 1);
    const before = tabletIdsOf(catalog, table);
    const job = await run(await schemaChange());
    expect(tabletIdsOf(catalog, table)).toEqual(before);
    expect((await catalog.tables.get('d', 't')).columns).toHaveLength(2);
    catalog = await fixture.reopen(catalog);
    expect(tabletIdsOf(catalog, table)).toEqual(before);
    const [known] = await catalog.alterJobs.active();
    expect(known).toEqual(job);

    expect(await doSwitch(job)).toBe(true);
    const now = await expectWhole(table);
    expect(now.columns.map(({ name }) => name)).toEqual(['k', 'v', 'w']);
    expect(baseIndexOf(now).indexId).toBe(job.indexes[0]?.indexId);
    const after = tabletIdsOf(catalog, now);
    expect(after.filter((tabletId) => before.includes(tabletId))).toEqual([]);
    const rowsets = [...(await catalog.rowsets.visible(after)).values()].flat();
    expect(
      rowsets.map(({ rows, startVersion, endVersion }) => [rows, startVersion, endVersion]),
    ).toEqual(Array.from({ length: 4 }, () => [10, 2, 2]));
    expect(catalog.tablets.tableSize(table.tableId)).toMatchObject({ rows: 40, bytes: 404 });
    await catalog.purged();
    expect(fixture.number('count(*) FROM garbage')).toBe(before.length);
    expect(fixture.number('count(*) FROM index_def')).toBe(1);
    catalog = await fixture.reopen(catalog);
    expect(tabletIdsOf(catalog, now)).toEqual(after);
    expect(await catalog.alterJobs.find(job.jobId)).toMatchObject({ state: 'FINISHED', msg: '' });
  });

  it('does not switch when a load came between, and refuses one that wrote the old tablets', async () => {
    const job = await run(await schemaChange());
    const txnId = await beginLoad(catalog, table, 'late');
    const rowsets = rowsetsFor(catalog, table, 2);
    const { alterTables } = catalog;
    const versions = alterTables.versions(job);
    await load(catalog, table, 1);
    const plan = await alterTables.switchPlan(job, versions, job.txnId);
    expect(await alterTables.switch(job, plan)).toBe(false);
    expect((await catalog.tables.get('d', 't')).columns).toHaveLength(2);
    expect(await doSwitch(await run(job))).toBe(true);
    await expect(catalog.commitLoad(txnId, rowsets, COUNTS)).rejects.toMatchObject({
      code: 'LOAD_TABLE_ALTERED',
      errno: 1412,
    });
    expect(await catalog.loads.find(txnId)).toMatchObject({ state: 'ABORTED' });
    expect(catalog.tablets.tableSize(table.tableId).rows).toBe(40);
    await load(catalog, await catalog.tables.get('d', 't'), 3);
    expect(catalog.tablets.tableSize(table.tableId).rows).toBe(80);
  });

  it('a table has one job; a cancelled one leaves garbage and room for the next', async () => {
    await load(catalog, table, 1);
    const job = await run(await schemaChange());
    await expect(schemaChange()).rejects.toMatchObject({
      code: 'ALTER_JOB_ACTIVE',
      args: { table: 't', kind: 'SCHEMA_CHANGE', id: job.jobId },
    });
    const change = catalog.alterDefinition.redefine(table.tableId, 1, { columns: [] });
    await expect(change).rejects.toMatchObject({ code: 'ALTER_JOB_ACTIVE' });
    await catalog.alterWrites.planWrites(job, [
      { tabletId: id(1), rowsetId: rowsetId('f'.repeat(32)) },
    ]);
    await catalog.alterTables.cancel(job, 'because');
    await catalog.purged();
    expect(await catalog.alterJobs.find(job.jobId)).toMatchObject({
      state: 'CANCELLED',
      msg: 'because',
    });
    expect(fixture.number('count(*) FROM garbage')).toBe(4);
    expect(fixture.number('count(*) FROM tablet')).toBe(4);
    expect(fixture.number('count(*) FROM alter_write')).toBe(0);
    // A backend was told to write while the job was cancelled, and the server died.
    await catalog.alterWrites.planWrites(job, [
      { tabletId: id(1), rowsetId: rowsetId('d'.repeat(32)) },
    ]);
    expect(await catalog.alterWrites.dropStrays(1000, 10)).toBe(1);
    expect(fixture.number('count(*) FROM alter_write')).toBe(0);
    expect(fixture.number('count(*) FROM garbage')).toBe(5);
    expect(await doSwitch(await run(await schemaChange()))).toBe(true);
    await expectWhole(table);
  });

  it('partitions may come, go and be emptied meanwhile', async () => {
    await load(catalog, table, 1);
    const job = await run(await schemaChange());
    await catalog.tableChanges.addPartitions(await catalog.tables.get('d', 't'), [
      {
        name: 'p9',
        buckets: 3,
        values: { kind: 'RANGE', lower: [{ value: 90 }], upper: [{ value: 99 }] },
      },
    ]);
    await catalog.tables.dropPartition(table.tableId, 'p0');
    await catalog.tableChanges.truncate(await catalog.tables.get('d', 't'), ['p1']);
    await load(catalog, await catalog.tables.get('d', 't'), 2);
    expect(await doSwitch(await run(job))).toBe(true);
    const now = await expectWhole(table);
    expect(now.partitions.map(({ name, buckets }) => [name, buckets])).toEqual([
      ['p1', 2],
      ['p9', 3],
    ]);
    expect(catalog.tablets.tableSize(table.tableId).rows).toBe(50);
    await catalog.purged();
    expect(fixture.number('count(*) FROM tablet')).toBe(5);
  });

  it('finds its place among tablets of other tables', async () => {
    const job = await run(await schemaChange());
    const other = await createTable(catalog, 'other', 1, 2);
    await catalog.tableChanges.addPartitions(await catalog.tables.get('d', 't'), [
      {
        name: 'p9',
        buckets: 2,
        values: { kind: 'RANGE', lower: [{ value: 90 }], upper: [{ value: 99 }] },
      },
    ]);
    await load(catalog, await catalog.tables.get('d', 't'), 2);
    expect(await doSwitch(await run(job))).toBe(true);
    await expectWhole(table);
    await expectWhole(other);
    const ids = [...tabletIdsOf(catalog, table), ...tabletIdsOf(catalog, other)];
    expect(new Set(ids).size).toBe(8);
    expect(catalog.tablets.size).toBe(8);
    expect(catalog.tablets.tableSize(table.tableId).rows).toBe(60);
  });

  it('and while it switches', async () => {
    const job = await run(await schemaChange());
    const before = await catalog.tables.get('d', 't');
    const [isDone] = await Promise.all([
      doSwitch(job),
      catalog.tableChanges.addPartitions(before, [
        {
          name: 'p9',
          buckets: 3,
          values: { kind: 'RANGE', lower: [{ value: 90 }], upper: [{ value: 99 }] },
        },
      ]),
      catalog.tableChanges.truncate(before, ['p0']),
    ]);
    if (!isDone) expect(await doSwitch(await run(job))).toBe(true);
    const now = await expectWhole(table);
    expect(now.partitions.map(({ name }) => name)).toEqual(['p0', 'p1', 'p9']);
    await catalog.purged();
    expect(fixture.number('count(*) FROM tablet')).toBe(7);
  });

  it('of a dropped table builds nothing any more', async () => {
    await load(catalog, table, 1);
    const job = await run(await schemaChange());
    const { alterTables, alterWrites } = catalog;
    const [pair] = alterTables.versions(job).keys();
    if (pair === undefined) throw new Error('no partition');
    const [tablets] = alterTables.pairs(job, pair);
    if (tablets === undefined) throw new Error('no tablet');
    const [source] = (await catalog.rowsets.visible([tablets.source])).get(tablets.source) ?? [];
    if (source === undefined) throw new Error('no rowset');
    await catalog.tables.drop(table.tableId);
    await catalog.purged();
    const { rows, bytes, segments, partitionId } = source;
    const rowset = {
      tabletId: tablets.target,
      rowsetId: source.rowsetId,
      rows,
      bytes,
      segments,
      partitionId,
    };
    await alterWrites.addRewritten(job, [{ source, rowset }], job.txnId);
    expect(fixture.number('count(*) FROM rowset')).toBe(0);
    expect(fixture.number('count(*) FROM tablet')).toBe(0);
    expect(fixture.number('count(*) FROM index_def')).toBe(0);
    // The prefixes of eight tablets, and what was written when they were gone.
    expect(fixture.number('count(*) FROM garbage')).toBe(9);
  });
});

describe('a rollup', () => {
  it('gets every later load; one that began without it is refused', async () => {
    await load(catalog, table, 1);
    const txnId = await beginLoad(catalog, table, 'late');
    const late = rowsetsFor(catalog, table, 2);
    expect(await doSwitch(await run(await rollup()))).toBe(true);
    const now = await expectWhole(table);
    expect(now.indexes.map(({ name, kind }) => [name, kind])).toEqual([
      ['t', 'BASE'],
      ['r', 'ROLLUP'],
    ]);
    const [base, other] = now.indexes;
    if (base === undefined || other === undefined) throw new Error('no index');
    expect(columnsOfIndex(now, other.indexId).map(({ name }) => name)).toEqual(['k']);
    await expect(catalog.commitLoad(txnId, late, COUNTS)).rejects.toMatchObject({
      code: 'LOAD_TABLE_ALTERED',
    });
    const target = catalog.tables.loadTarget(now);
    expect(target.rollups.map(({ indexId }) => indexId)).toEqual([other.indexId]);
    await load(catalog, now, 3);
    for (const { partitionId } of now.partitions) {
      const rows = [base, other].map(
        ({ indexId }) => catalog.tablets.partitionSize(partitionId, indexId).rows,
      );
      expect(rows).toEqual([40, 40]);
    }
    // Different rows in two indexes are not possible.
    const odd = rowsetsFor(catalog, now, 4).map((rowset, at) => ({
      ...rowset,
      rows: 10 + (at === 0 ? 1 : 0),
    }));
    const oddTxn = await beginLoad(catalog, now, 'odd');
    await expect(catalog.commitLoad(oddTxn, odd, COUNTS)).rejects.toMatchObject({
      code: 'LOAD_FAILED',
    });
  });

  it('is renamed and dropped at once', async () => {
    await load(catalog, table, 1);
    await doSwitch(await run(await rollup()));
    const now = await catalog.tables.get('d', 't');
    const other = now.indexes.find(({ kind }) => kind === 'ROLLUP');
    if (other === undefined) throw new Error('no rollup');
    const { alterDefinition } = catalog;
    await expect(
      alterDefinition.renameRollup(now.tableId, other.indexId, 't'),
    ).rejects.toMatchObject({
      code: 'DUP_KEYNAME',
    });
    await alterDefinition.renameRollup(now.tableId, other.indexId, 's');
    expect((await catalog.tables.get('d', 't')).indexes[1]?.name).toBe('s');
    // The base index goes by the table's name.
    await catalog.tables.rename(now.tableId, 'u');
    expect((await catalog.tables.get('d', 'u')).indexes.map(({ name }) => name)).toEqual([
      'u',
      's',
    ]);
    await catalog.tables.rename(now.tableId, 't');
    await alterDefinition.dropRollups(now.tableId, [other.indexId]);
    expect((await expectWhole(table)).indexes).toHaveLength(1);
    await catalog.purged();
    expect(fixture.number('count(*) FROM tablet')).toBe(4);
    expect(fixture.number('count(*) FROM garbage')).toBe(4);
    await load(catalog, await catalog.tables.get('d', 't'), 5);
  });
});
