import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { RowsetId, TabletId } from '../../base/ids.ts';
import { id, rowsetId } from '../../base/ids.ts';
import type { BackendId } from '../../base/ids.ts';
import type { RowsetMeta, TableDef } from '../../base/schema.ts';
import type { Catalog } from '../../catalog/catalog.ts';
import type { Compaction, CompactionResult } from '../../catalog/compactions.ts';
import {
  COUNTS,
  CatalogFixture,
  beginLoad,
  createTable,
  load,
  rowsetsFor,
  tabletIdsOf,
} from './fixture.ts';

const OUTPUT = rowsetId('f'.repeat(32));
const GARBAGE_MS = Date.UTC(2026, 0, 10, 13);

describe('CompactionStore', () => {
  let fixture: CatalogFixture;
  let catalog: Catalog;
  let table: TableDef;
  let tabletId: TabletId;
  let backendId: BackendId;

  beforeEach(async () => {
    fixture = new CatalogFixture();
    catalog = await fixture.open();
    await catalog.computeGroups.create('g');
    const place = { kind: 'embedded', host: '127.0.0.1', httpPort: 0 } as const;
    ({ backendId } = await catalog.backends.create({ computeGroupName: 'g', ...place }));
    table = await createTable(catalog, 't', 2, 3);
    tabletId = tabletIdsOf(catalog, table)[0] ?? id<TabletId>(0);
    for (const salt of [1, 2, 3, 4]) await load(catalog, table, salt);
  });

  afterEach(async () => {
    await fixture.remove();
  });

  async function rowsetsOf(tablet = tabletId): Promise<readonly RowsetMeta[]> {
    return (await catalog.rowsets.visible([tablet])).get(tablet) ?? [];
  }

  async function begin(tablet = tabletId, rowset = OUTPUT): Promise<Compaction | undefined> {
    return catalog.compactions.begin({
      tabletId: tablet,
      tableId: table.tableId,
      vaultId: table.vaultId,
      rowsetId: rowset,
      kind: 'CUMULATIVE',
      backendId,
      inputRowsets: 2,
      inputBytes: 200,
    });
  }

  async function begun(): Promise<Compaction> {
    const compaction = await begin();
    if (compaction === undefined) throw new Error('it did not begin');
    return compaction;
  }

  function merged(
    { tabletId: tablet, rowsetId: output }: Compaction,
    inputs: readonly RowsetMeta[],
    rows = inputs.length * 10,
  ): CompactionResult {
    const partitionId = inputs[0]?.partitionId ?? id(0);
    const segments = [{ segment: 0, bytes: 120, rows, indexOffset: 100, crc32: 1 }];
    return {
      inputs: inputs.map((input) => input.rowsetId),
      output: { rowsetId: output, tabletId: tablet, partitionId, rows, bytes: 120, segments },
      bytesRead: 100 * inputs.length,
      inputsGarbageMs: GARBAGE_MS,
    };
  }

  async function garbagePrefixes(): Promise<readonly string[]> {
    fixture.clock.ms = GARBAGE_MS;
    return (await catalog.garbage.claim(100, 1)).map((item) => item.prefix).toSorted();
  }

  const prefixOf = (rowset: RowsetId, tablet = tabletId): string => `data/${tablet}/${rowset}_`;

  it('replaces neighbours by one rowset, with sizes, a txn of its own and garbage', async () => {
    const [first, second, third, fourth] = await rowsetsOf();
    if (first === undefined || second === undefined || third === undefined) throw new Error();
    const compaction = await begun();
    fixture.clock.ms += 1000;
    expect(await catalog.compactions.commit(compaction, merged(compaction, [second, third]))).toBe(
      true,
    );
    const after = await rowsetsOf();
    expect(after.map((rowset) => rowset.rowsetId)).toEqual([
      first.rowsetId,
      OUTPUT,
      fourth?.rowsetId,
    ]);
    expect(after[1]).toMatchObject({ startVersion: 3, endVersion: 4, rows: 20, bytes: 120 });
    // TTL counts from the newest load, not from the merge.
    expect(after[1]?.createdMs).toBe(third.createdMs);
    expect(after[1]?.txnId).toBeGreaterThan(fourth?.txnId ?? Infinity);
    expect(catalog.tablets.get(tabletId)).toMatchObject({ bytes: 320, rows: 40 });
    expect(fixture.number(`bytes FROM tablet WHERE tablet_id = ${tabletId}`)).toBe(320);
    expect(fixture.number(`row_count FROM tablet WHERE tablet_id = ${tabletId}`)).toBe(40);
    expect(catalog.compactions.sourceGroupOf(tabletId, OUTPUT)).toBe('g');
    expect(catalog.compactions.lastOf(tabletId)).toMatchObject({
      kind: 'CUMULATIVE',
      error: '',
      compactions: 1,
      bytesRead: 200,
      bytesWritten: 120,
    });
    expect(await catalog.compactions.running()).toEqual([]);
    expect(await garbagePrefixes()).toEqual(
      [prefixOf(second.rowsetId), prefixOf(third.rowsetId)].toSorted(),
    );
  });

  it('runs one compaction of a tablet at a time', async () => {
    const compaction = await begun();
    expect(await begin(tabletId, rowsetId('e'.repeat(32)))).toBeUndefined();
    const other = await begin(tabletIdsOf(catalog, table)[1], rowsetId('d'.repeat(32)));
    expect(other).toBeDefined();
    expect(await catalog.compactions.running()).toHaveLength(2);
    await catalog.compactions.giveUp(compaction, 'disk full', GARBAGE_MS);
    await catalog.compactions.giveUp(compaction, 'again', GARBAGE_MS);
    expect(catalog.compactions.lastOf(tabletId)).toMatchObject({
      error: 'disk full',
      successMs: null,
      compactions: 0,
    });
    expect(await garbagePrefixes()).toEqual([prefixOf(OUTPUT)]);
    expect(await begin(tabletId, rowsetId('e'.repeat(32)))).toBeDefined();
  });

  it('does not commit when an input is gone, or another rowset lies between', async () => {
    const [first, second, third] = await rowsetsOf();
    if (first === undefined || second === undefined || third === undefined) throw new Error();
    const compaction = await begun();
    const gapped = merged(compaction, [first, third]);
    expect(await catalog.compactions.commit(compaction, gapped)).toBe(false);
    const unknown = { ...first, rowsetId: rowsetId('a'.repeat(32)) };
    const withUnknown = merged(compaction, [unknown, second]);
    expect(await catalog.compactions.commit(compaction, withUnknown)).toBe(false);
    expect(await rowsetsOf()).toHaveLength(4);
    await catalog.compactions.giveUp(compaction, '', GARBAGE_MS);
    const tooLate = merged(compaction, [first, second]);
    expect(await catalog.compactions.commit(compaction, tooLate)).toBe(false);
    expect(await garbagePrefixes()).toEqual([prefixOf(OUTPUT)]);
    expect(catalog.compactions.lastOf(tabletId)).toBeUndefined();
  });

  it('refuses an output with other rows than its inputs', async () => {
    const rowsets = await rowsetsOf();
    const compaction = await begun();
    await expect(
      catalog.compactions.commit(compaction, merged(compaction, rowsets, 39)),
    ).rejects.toMatchObject({ code: 'CORRUPT_OBJECT' });
    expect(await rowsetsOf()).toHaveLength(4);
    expect(await catalog.compactions.running()).toHaveLength(1);
  });

  it.each([
    ['dropped', async () => catalog.tables.drop(table.tableId)],
    ['truncated', async () => catalog.tableChanges.truncate(table)],
    ['without the partition', async () => catalog.tables.dropPartition(table.tableId, 'p0')],
  ])('does not commit into a table that is %s', async (_what, change) => {
    const rowsets = await rowsetsOf();
    const compaction = await begun();
    await change();
    await catalog.purged();
    expect(await catalog.compactions.commit(compaction, merged(compaction, rowsets))).toBe(false);
    await catalog.compactions.giveUp(compaction, '', GARBAGE_MS);
    expect(await garbagePrefixes()).toContain(prefixOf(OUTPUT));
    expect(fixture.number(`count(*) FROM rowset WHERE tablet_id = ${tabletId}`)).toBe(0);
  });

  it('commits beside loads: they come behind what was merged', async () => {
    const rowsets = await rowsetsOf();
    const compaction = await begun();
    await load(catalog, table, 5);
    expect(await catalog.compactions.commit(compaction, merged(compaction, rowsets))).toBe(true);
    await load(catalog, table, 6);
    const versions = (await rowsetsOf()).map((r) => [r.startVersion, r.endVersion]);
    expect(versions).toEqual([
      [2, 5],
      [6, 6],
      [7, 7],
    ]);
    expect(catalog.tablets.get(tabletId)).toMatchObject({ rows: 60, bytes: 320 });
  });

  it('leaves garbage of what ran when the server ended', async () => {
    await begin();
    const after = await fixture.reopen(catalog);
    catalog = after;
    expect(await after.compactions.abandonAll(GARBAGE_MS)).toEqual([tabletId]);
    expect(await after.compactions.running()).toEqual([]);
    expect(await garbagePrefixes()).toEqual([prefixOf(OUTPUT)]);
    expect(await rowsetsOf()).toHaveLength(4);
  });

  it('finds crowded tablets in steps of any size', async () => {
    const all = tabletIdsOf(catalog, table);
    for (const limit of [1, 3, 4, 5, 7, 23, 24, 100]) {
      const found: TabletId[] = [];
      let from: number | undefined = 0;
      while (from !== undefined) {
        const { tablets, next } = catalog.compactions.crowded(from, limit, Math.min(4, limit));
        found.push(...tablets);
        from = next;
      }
      expect(found).toEqual(all);
    }
    expect(catalog.compactions.crowded(0, 100, 5).tablets).toEqual([]);
  });

  it('gives a reader of many tablets one version, though rowsets are merged meanwhile', async () => {
    const many = await createTable(catalog, 'many', 1, 1024);
    for (const salt of [11, 12]) await load(catalog, many, salt);
    const ids = tabletIdsOf(catalog, many);
    const last = ids.at(-1) ?? tabletId;
    const txnId = await beginLoad(catalog, many, 'third');
    const third = rowsetsFor(catalog, many, 13).filter((rowset) => rowset.tabletId === last);
    const compaction = await begin(last);
    if (compaction === undefined) throw new Error('it did not begin');
    // The reader has taken its versions and read some tablets; before it comes to the last one
    // there is a third version of it, merged with the two that the reader wants.
    const reading = catalog.rowsets.visible(ids);
    await catalog.commitLoad(txnId, third, COUNTS);
    const inputs = await rowsetsOf(last);
    expect(inputs).toHaveLength(3);
    await catalog.compactions.commit(compaction, merged(compaction, inputs));
    const seen = await reading;
    expect(seen.get(last)).toMatchObject([{ startVersion: 2, endVersion: 4, rows: 30 }]);
    const others = [...seen].filter(([tablet]) => tablet !== last);
    expect(others.every(([, rowsets]) => rowsets.length === 2)).toBe(true);
    expect(seen.size).toBe(1024);
  });
});
