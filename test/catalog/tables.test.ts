/** Databases and tables: names, definitions, changes in many transactions, and what is left. */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { id } from '../../base/ids.ts';
import type { TableId } from '../../base/ids.ts';
import type { Catalog } from '../../catalog/catalog.ts';
import { TableCache } from '../../catalog/table_cache.ts';
import { CatalogFixture, createTable, load, newTable, tabletIdsOf } from './fixture.ts';

let fixture: CatalogFixture;
let catalog: Catalog;
beforeEach(async () => {
  fixture = new CatalogFixture();
  catalog = await fixture.open();
});
afterEach(() => fixture.remove());

describe('databases', () => {
  it('are created, listed by name, found case-sensitively and dropped', async () => {
    await catalog.databases.create('b');
    await catalog.databases.create('a');
    await catalog.databases.create('A');
    expect((await catalog.databases.list()).map((db) => db.name)).toEqual(['A', 'a', 'b']);
    await expect(catalog.databases.create('a')).rejects.toMatchObject({ errno: 1007 });
    await catalog.databases.drop('a');
    expect(await catalog.databases.find('a')).toBeUndefined();
    await expect(catalog.databases.drop('a')).rejects.toMatchObject({ errno: 1008 });
    await expect(catalog.databases.get('a')).rejects.toMatchObject({ errno: 1049 });
  });

  it.each(['information_schema', 'mysql', '__internal_schema'])('reserve %s', async (name) => {
    await expect(catalog.databases.create(name)).rejects.toMatchObject({ errno: 1007 });
    await expect(catalog.databases.drop(name)).rejects.toMatchObject({ errno: 1044 });
  });

  it.each([
    ['', 1102],
    ['a\0b', 1102],
    ['a\nb', 1102],
    ['\ud800', 1102],
    ['trailing ', 1102],
    ['x'.repeat(65), 1059],
  ])('refuse the name %j', async (name, errno) => {
    await expect(catalog.databases.create(name)).rejects.toMatchObject({ errno });
  });

  it('take 64 characters outside the first plane', async () => {
    await catalog.databases.create('😀'.repeat(64));
  });

  it('take their tables with them, and the name is free at once', async () => {
    const table = await createTable(catalog, 't');
    await load(catalog, table, 1);
    await catalog.databases.drop('d');
    expect(await catalog.tables.find('d', 't')).toBeUndefined();
    expect(await catalog.tables.byId(table.tableId)).toBeUndefined();
    expect(await catalog.tables.list()).toEqual([]);
    await createTable(catalog, 't');
    await catalog.purged();
    expect(await catalog.garbage.count()).toBe(6);
    expect(catalog.tablets.size).toBe(6);
    expect(fixture.number('count(*) FROM table_def')).toBe(1);
  });
});

describe('tables', () => {
  it('come back as they were created, also after a restart', async () => {
    const table = await createTable(catalog, 't');
    expect(table).toMatchObject({
      databaseName: 'd',
      name: 't',
      keysType: 'DUPLICATE',
      comment: 'a table',
      schemaVersion: 0,
      properties: { replication: 'none' },
    });
    expect(table.columns[1]?.defaultValue).toBe(9007199254740993n);
    expect(table.partitions.map((part) => [part.name, part.visibleVersion, part.buckets])).toEqual([
      ['p0', 1, 3],
      ['p1', 1, 3],
    ]);
    expect(table.indexes.map((index) => [index.name, index.kind])).toEqual([['t', 'BASE']]);
    const target = catalog.tables.loadTarget(table);
    expect(target.tablets.map((tablets) => tablets.length)).toEqual([3, 3]);
    catalog = await fixture.reopen(catalog);
    const again = await catalog.tables.get('d', 't');
    expect(again).toEqual(table);
    expect(catalog.tables.loadTarget(again).tablets).toEqual(target.tablets);
  });

  it('have errors with MySQL’s numbers', async () => {
    await createTable(catalog, 't');
    const table = await newTable(catalog, 't', 1, 1);
    await expect(catalog.tables.get('x', 't')).rejects.toMatchObject({ errno: 1049 });
    await expect(catalog.tables.get('d', 'x')).rejects.toMatchObject({ errno: 1146 });
    await expect(catalog.tableChanges.create(table)).rejects.toMatchObject({ errno: 1050 });
    const wrong = [
      [{ ...table, name: 'n', databaseName: 'x' }, 1049],
      [{ ...table, name: 'a\0b' }, 1103],
      [{ ...table, name: 'n', columns: [] }, 1113],
      [{ ...table, name: 'n', partitions: [...table.partitions, ...table.partitions] }, 1517],
      [
        {
          ...table,
          name: 'n',
          partitions: [{ name: 'p', values: { kind: 'NONE' }, buckets: 1025 }],
        },
        1105,
      ],
    ] as const;
    for (const [definition, errno] of wrong) {
      await expect(catalog.tableChanges.create(definition)).rejects.toMatchObject({ errno });
    }
    await expect(catalog.tables.drop(id<TableId>(1))).rejects.toMatchObject({ errno: 1051 });
    expect(fixture.number('count(*) FROM table_def')).toBe(1);
  });

  it('created twice at the same time exist once, and nothing is left of the other', async () => {
    await catalog.databases.create('d');
    const table = await newTable(catalog, 't', 2, 1000);
    const outcomes = await Promise.allSettled([
      catalog.tableChanges.create(table),
      catalog.tableChanges.create(table),
    ]);
    expect(outcomes.map((outcome) => outcome.status).sort()).toEqual(['fulfilled', 'rejected']);
    expect(fixture.number('count(*) FROM tablet')).toBe(2000);
    expect(fixture.number('count(*) FROM partition_def')).toBe(2);
    expect(await catalog.garbage.count()).toBe(0);
    expect(catalog.tablets.size).toBe(2000);
  });

  it('may have 100,000 tablets made by one statement, and not one more', async () => {
    const table = await createTable(catalog, 'wide', 100, 1000);
    expect(catalog.tablets.size).toBe(100_000);
    const tablets = catalog.tables.loadTarget(table).tablets;
    catalog = await fixture.reopen(catalog);
    expect(catalog.tables.loadTarget(await catalog.tables.get('d', 'wide')).tablets).toEqual(
      tablets,
    );
    const wider = await newTable(catalog, 'wider', 1001, 100);
    await expect(catalog.tableChanges.create(wider)).rejects.toMatchObject({
      message: 'Invalid table definition: 100100 tablets in one statement, at most 100000',
    });
  });

  it('half created at a crash are gone after the next start', async () => {
    await catalog.databases.create('d');
    const creating = catalog.tableChanges.create(await newTable(catalog, 't', 10, 1000));
    while (fixture.number('count(*) FROM tablet') < 3000) await nextTurn();
    expect(await catalog.tables.find('d', 't')).toBeUndefined();
    expect(catalog.tablets.size).toBe(0);
    const image = fixture.crashImage();
    await creating;
    expect(catalog.tablets.size).toBe(10_000);
    const after = await image.open();
    expect(await after.tables.list()).toEqual([]);
    for (const table of ['tablet', 'partition_def', 'index_def', 'table_def', 'garbage']) {
      expect([table, image.number(`count(*) FROM ${table}`)]).toEqual([table, 0]);
    }
    await createTable(after, 't');
  });

  it('dropped are invisible at once, also when the crash comes before the purge', async () => {
    const table = await createTable(catalog, 't', 2, 700);
    await catalog.tables.drop(table.tableId);
    const image = fixture.crashImage();
    expect(await catalog.tables.find('d', 't')).toBeUndefined();
    expect(catalog.tablets.size).toBe(0);
    await createTable(catalog, 't');
    await catalog.purged();
    expect(fixture.number('count(*) FROM tablet')).toBe(6);
    expect(await catalog.garbage.count()).toBe(1400);
    const after = await image.open();
    expect(after.tablets.size).toBe(0);
    expect(await after.tables.find('d', 't')).toBeUndefined();
    await after.purged();
    expect(await after.garbage.count()).toBe(1400);
    expect(image.number('count(*) FROM tablet')).toBe(0);
  });

  it('are renamed and set, and each change raises the schema version', async () => {
    const { tableId } = await createTable(catalog, 't');
    await createTable(catalog, 'u');
    await catalog.tables.rename(tableId, 'v');
    expect(await catalog.tables.find('d', 't')).toBeUndefined();
    expect((await catalog.tables.get('d', 'v')).schemaVersion).toBe(1);
    await expect(catalog.tables.rename(tableId, 'u')).rejects.toMatchObject({ errno: 1050 });
    await catalog.tables.set(tableId, { properties: { a: 'b' }, ttlSeconds: 60 });
    expect(await catalog.tables.get('d', 'v')).toMatchObject({
      schemaVersion: 2,
      properties: { a: 'b' },
      ttlSeconds: 60,
      comment: 'a table',
    });
    expect((await catalog.tables.list()).map((table) => table.name)).toEqual(['u', 'v']);
  });

  it('read inside a transaction that is rolled back do not stay in the cache', async () => {
    const { tableId } = await createTable(catalog, 't');
    const rolledBack = catalog.transaction(async (tx) => {
      await tx.tables.set(tableId, { comment: 'never' });
      expect((await tx.tables.get('d', 't')).comment).toBe('never');
      expect((await catalog.tables.get('d', 't')).comment).toBe('a table');
      throw new Error('no');
    });
    await expect(rolledBack).rejects.toThrow('no');
    expect((await catalog.tables.get('d', 't')).comment).toBe('a table');
  });
});

it('when a version became visible is the same after a restart', async () => {
  const table = await createTable(catalog, 't');
  fixture.clock.ms += 5000;
  await load(catalog, table, 1);
  const loaded = await catalog.tables.get('d', 't');
  expect(loaded.partitions.map(({ visibleMs }) => visibleMs)).toEqual([
    fixture.clock.ms,
    fixture.clock.ms,
  ]);
  fixture.clock.ms += 5000;
  catalog = await fixture.reopen(catalog);
  expect((await catalog.tables.get('d', 't')).partitions).toEqual(loaded.partitions);
});

describe('the cache of table definitions', () => {
  it('ignores what was read before the last commit', async () => {
    const table = await createTable(catalog, 't');
    const cache = new TableCache();
    const { generation } = cache;
    cache.forget(table.tableId);
    cache.put(table, generation);
    expect(cache.byId(table.tableId)).toBeUndefined();
    cache.put(table, cache.generation);
    expect(cache.byName('d', 't')).toBe(table);
    const [partition] = table.partitions;
    const versions = new Map(partition === undefined ? [] : [[partition.partitionId, 5]]);
    cache.setVersions(table.tableId, versions, 7);
    expect(cache.byId(table.tableId)?.partitions.map((part) => part.visibleVersion)).toEqual([
      5, 1,
    ]);
    cache.forgetDatabase(table.databaseId);
    expect(cache.byName('d', 't')).toBeUndefined();
  });
});

describe('partitions', () => {
  it('are added, dropped and truncated', async () => {
    const table = await createTable(catalog, 't');
    await load(catalog, table, 1);
    await catalog.tableChanges.addPartitions(table, [
      { name: 'p2', buckets: 2, values: { kind: 'RANGE', upper: [{ max: true }] } },
    ]);
    const added = await catalog.tables.get('d', 't');
    expect(added.partitions.map((part) => part.name)).toEqual(['p0', 'p1', 'p2']);
    expect(catalog.tablets.tableSize(table.tableId)).toEqual({ tablets: 8, bytes: 600, rows: 60 });
    await catalog.tableChanges.truncate(added, ['p0']);
    const truncated = await catalog.tables.get('d', 't');
    expect(truncated.partitions.map((part) => [part.name, part.visibleVersion])).toEqual([
      ['p0', 1],
      ['p1', 2],
      ['p2', 1],
    ]);
    expect(truncated.partitions[0]?.partitionId).not.toBe(table.partitions[0]?.partitionId);
    expect(catalog.tablets.tableSize(table.tableId)).toEqual({ tablets: 8, bytes: 300, rows: 30 });
    await catalog.tables.dropPartition(table.tableId, 'p1');
    await catalog.purged();
    expect(await catalog.garbage.count()).toBe(6);
    expect(fixture.number('count(*) FROM rowset')).toBe(0);
    const last = await catalog.tables.get('d', 't');
    expect(last.schemaVersion).toBe(3);
    expect(last.partitions.map((part) => part.name)).toEqual(['p0', 'p2']);
    expect(tabletIdsOf(catalog, last)).toHaveLength(5);
  });

  it('have errors that name them, and leave nothing behind', async () => {
    const table = await createTable(catalog, 't');
    const twice = { name: 'p1', buckets: 1, values: { kind: 'NONE' } } as const;
    await expect(catalog.tableChanges.addPartitions(table, [twice])).rejects.toMatchObject({
      message: 'Duplicate partition name p1',
    });
    await expect(catalog.tables.dropPartition(table.tableId, 'x')).rejects.toMatchObject({
      message: "Unknown partition 'x' in table 't'",
    });
    await expect(catalog.tableChanges.truncate(table, ['x'])).rejects.toMatchObject({
      errno: 1735,
    });
    expect(fixture.number('count(*) FROM tablet')).toBe(6);
  });
});
