import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { RewriteColumn } from '../../../base/agent_messages.ts';
import { convertValue } from '../../../base/convert.ts';
import { id, rowsetId } from '../../../base/ids.ts';
import {
  type ColumnDef,
  type NewRowset,
  type RowsetMeta,
  segmentKey,
  storedName,
} from '../../../base/schema.ts';
import type { ColumnType, SqlRow, SqlValue } from '../../../base/values.ts';
import { FooterCache } from '../../../be-agent/data/footer_cache.ts';
import { rewriteRowsets } from '../../../be-agent/data/rewrite.ts';
import { Scan } from '../../../be-agent/data/scan.ts';
import { column, load, memoryStore, opener, services, target } from './table_fixture.ts';

const K = column('k', 'INT', { isKey: true, nullable: false });
const TARGET_TABLET = id<NewRowset['tabletId']>(77);

const meta = (rowset: NewRowset): RowsetMeta => ({
  ...rowset,
  startVersion: 2,
  endVersion: 2,
  vaultId: id(1),
  txnId: id(1),
  createdMs: 0,
});

/** One tablet with these rows, as a rowset. */
async function written(
  store: ReturnType<typeof memoryStore>,
  columns: ColumnDef[],
  rows: SqlRow[],
) {
  const outcome = await load(target(columns), rows, services(store));
  const [rowset] = outcome.rowsets;
  if (rowset === undefined) throw new Error('no rowset');
  return meta(rowset);
}

let calls = 0;
async function rewritten(
  store: ReturnType<typeof memoryStore>,
  source: RowsetMeta,
  columns: readonly RewriteColumn[],
  config: Record<string, string> = {},
): Promise<RowsetMeta> {
  calls += 1;
  const [rowset] = await rewriteRowsets(
    {
      tableName: 'db.t',
      vaultId: id(1),
      schemaVersion: 2,
      nowMs: Date.UTC(2026, 0, 2, 3, 4, 5),
      columns,
      items: [
        {
          source,
          tabletId: TARGET_TABLET,
          rowsetId: rowsetId(calls.toString(16).padStart(32, '0')),
        },
      ],
    },
    opener(store),
    services(store, config),
    new AbortController().signal,
  );
  if (rowset === undefined) throw new Error('no rowset');
  return meta(rowset);
}

async function read(
  store: ReturnType<typeof memoryStore>,
  rowset: RowsetMeta,
  columns: readonly ColumnDef[],
): Promise<SqlValue[][]> {
  const { tabletId, partitionId } = rowset;
  const scan = new Scan(
    {
      tableId: id(1),
      tableName: 'db.t',
      indexId: id(1),
      ttlSeconds: 0,
      columns,
      predicates: [],
      tablets: [{ tabletId, partitionId, rowsets: [rowset] }],
    },
    opener(store),
    new FooterCache(),
  );
  const rows: SqlValue[][] = [];
  for (;;) {
    const batch = await scan.nextBatch();
    for (let at = 0; at < batch.rows; at += 1) {
      rows.push(batch.columns.map((values) => values[at] ?? null));
    }
    if (batch.done) return rows;
  }
}

const text = (rows: readonly SqlRow[]): string[] =>
  rows.map((row) => row.map((value) => `${typeof value}:${String(value)}`).join('|')).toSorted();

/** What a step of the model does to the columns and to every row. */
interface Step {
  readonly kind: 'add' | 'drop' | 'widen' | 'rename' | 'move';
  readonly at: number;
  readonly to: number;
  readonly value: number | null;
}

const WIDER: Readonly<Record<string, ColumnType>> = {
  INT: { kind: 'BIGINT' },
  BIGINT: { kind: 'LARGEINT' },
  LARGEINT: { kind: 'STRING' },
};

interface Model {
  columns: RewriteColumn[];
  rows: SqlValue[][];
  names: number;
}

function step(model: Model, { kind, at, to, value }: Step): void {
  const { columns, rows } = model;
  const place = 1 + (at % columns.length);
  const known = columns[place];
  switch (kind) {
    case 'add': {
      const stored = new Set(columns.map((c) => storedName(c.column)));
      // A name that a renamed column may have in the segments still.
      const name = `c${at % 3}`;
      if (columns.some((c) => c.column.name === name) || stored.has(name)) return;
      const added = column(name, 'INT', { defaultValue: value });
      columns.splice(place, 0, { column: added });
      for (const row of rows) row.splice(place, 0, value);
      return;
    }
    case 'drop':
      if (known === undefined) return;
      columns.splice(place, 1);
      for (const row of rows) row.splice(place, 1);
      return;
    case 'widen': {
      const type = known === undefined ? undefined : WIDER[known.column.type.kind];
      if (known === undefined || type === undefined) return;
      const wider = { ...known.column, type };
      columns[place] = { ...known, column: wider };
      for (const row of rows) row[place] = convertValue(row[place] ?? null, wider, 1);
      return;
    }
    case 'rename': {
      if (known === undefined) return;
      model.names += 1;
      const renamed = {
        ...known.column,
        name: `n${model.names}`,
        storedName: storedName(known.column),
      };
      columns[place] = { ...known, column: renamed };
      return;
    }
    case 'move': {
      if (known === undefined) return;
      const other = 1 + (to % (columns.length - 1));
      columns.splice(place, 1);
      columns.splice(other, 0, known);
      for (const row of rows) {
        const [moved = null] = row.splice(place, 1);
        row.splice(other, 0, moved);
      }
    }
  }
}

const STEP = fc.record({
  kind: fc.constantFrom('add', 'drop', 'widen', 'rename', 'move'),
  at: fc.nat(20),
  to: fc.nat(20),
  value: fc.option(fc.integer({ min: -9, max: 9 })),
}) as fc.Arbitrary<Step>;

describe('rewriting rowsets', () => {
  it('any changes of columns on any rows give what the same changes give on paper', async () => {
    const row = fc.tuple(
      fc.integer({ min: -5, max: 5 }),
      fc.option(fc.integer({ min: -1000, max: 1000 })),
      fc.option(fc.integer({ min: -1000, max: 1000 })),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(row, { minLength: 1, maxLength: 40 }),
        fc.array(fc.array(STEP, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 4 }),
        async (rows, jobs) => {
          const store = memoryStore();
          const first = [K, column('c0', 'INT'), column('c1', 'INT')];
          let rowset = await written(store, first, rows);
          let columns = first;
          const data = rows.map((values): SqlValue[] => [...values]);
          for (const steps of jobs) {
            const model: Model = {
              columns: columns.map((known) => ({ column: known, source: known })),
              rows: data,
              names: calls * 100,
            };
            for (const one of steps) step(model, one);
            rowset = await rewritten(store, rowset, model.columns);
            columns = model.columns.map((known) => known.column);
            expect(text(await read(store, rowset, columns))).toEqual(text(data));
          }
          expect(rowset.rows).toBe(rows.length);
        },
      ),
      { numRuns: 60 },
    );
  });

  it('large rowsets are cut into segments, each sorted by the new key', async () => {
    const store = memoryStore();
    const v = column('v', 'STRING');
    const rows = Array.from({ length: 9000 }, (_, i): SqlRow => [(i * 7919) % 9000, `v${i}`]);
    const source = await written(store, [K, v], rows);
    const key = { ...v, type: { kind: 'VARCHAR', length: 20 } as const, isKey: true };
    const result = await rewritten(
      store,
      source,
      [
        { column: key, source: v },
        { column: { ...K, isKey: false }, source: K },
      ],
      { segment_max_bytes: '262144' },
    );
    expect(result.segments.length).toBeGreaterThan(1);
    expect(result.segments.reduce((sum, segment) => sum + segment.rows, 0)).toBe(9000);
    const found = await read(store, result, [key, K]);
    const first = found.slice(0, result.segments[0]?.rows).map(([name]) => String(name));
    expect(first).toEqual(first.toSorted());
    expect(new Set(found.map(([, k]) => k)).size).toBe(9000);
  });

  it('what does not fit is named, and nothing stays in the store', async () => {
    const store = memoryStore();
    const v = column('v', 'STRING');
    const source = await written(
      store,
      [K, v],
      [
        [1, '1'],
        [2, 'two'],
        [3, null],
      ],
    );
    const change = rewritten(store, source, [
      { column: K, source: K },
      { column: column('v', 'INT'), source: v },
    ]);
    await expect(change).rejects.toMatchObject({
      code: 'BAD_VALUE',
      args: { column: 'v', value: 'two', row: 2 },
    });
    const left: string[] = [];
    for await (const page of store.list(`data/${TARGET_TABLET}/`)) {
      left.push(...page.map((object) => object.key));
    }
    expect(left).toEqual([]);
  });

  it('new columns get their defaults: a constant, the time of the change, NULL, or an error', async () => {
    const store = memoryStore();
    const source = await written(store, [K], [[1], [2]]);
    const result = await rewritten(store, source, [
      {
        column: column(
          'at',
          { kind: 'DATETIME', precision: 0 },
          { defaultValue: { fn: 'CURRENT_TIMESTAMP' } },
        ),
      },
      { column: K, source: K },
      { column: column('none', 'INT') },
    ]);
    const columns = [column('at', { kind: 'DATETIME', precision: 0 }), K, column('none', 'INT')];
    expect(await read(store, result, columns)).toEqual([
      ['2026-01-02 03:04:05', 1, null],
      ['2026-01-02 03:04:05', 2, null],
    ]);
    const refused = rewritten(store, source, [{ column: column('x', 'INT', { nullable: false }) }]);
    await expect(refused).rejects.toMatchObject({ code: 'NO_DEFAULT' });
  });

  it('a FLOAT becomes the text that it is shown as', async () => {
    const store = memoryStore();
    const f = column('f', { kind: 'FLOAT' });
    const source = await written(
      store,
      [K, f],
      [
        [1, 0.1],
        [2, 16_777_216],
        [3, 3.4e38],
      ],
    );
    const result = await rewritten(store, source, [
      { column: K, source: K },
      { column: column('f', 'STRING'), source: f },
    ]);
    const texts = (await read(store, result, [column('f', 'STRING')])).flat();
    expect(texts).toEqual(['0.1', '16777216', '3.4e+38']);
  });

  it('a source whose rows are fewer than the catalog says is damage', async () => {
    const store = memoryStore();
    const source = await written(store, [K], [[1], [2]]);
    const wrong = { ...source, rows: 3 };
    await expect(rewritten(store, wrong, [{ column: K, source: K }])).rejects.toMatchObject({
      code: 'CORRUPT_OBJECT',
    });
  });
});

describe('loads into a table with rollups', () => {
  it('write every row into every index, in its own columns and order', async () => {
    const store = memoryStore();
    const columns = [K, column('v', 'INT'), column('w', 'STRING')];
    const base = target(columns);
    const rollup = { indexId: id<(typeof base.table.indexes)[number]['indexId']>(9) };
    const into = {
      ...base,
      table: {
        ...base.table,
        indexes: [
          { ...rollup, name: 'r', kind: 'ROLLUP' as const, columns: ['w', 'k'], keyColumns: 1 },
        ],
      },
      rollups: [{ ...rollup, tablets: [[TARGET_TABLET]] }],
    };
    const rows: SqlRow[] = [
      [1, 10, 'b'],
      [2, 20, 'a'],
      [3, null, null],
    ];
    const outcome = await load(into, rows, services(store));
    expect(outcome.loadedRows).toBe(3);
    expect(outcome.rowsets.map(({ tabletId, rows: count }) => [tabletId, count])).toEqual([
      [1, 3],
      [TARGET_TABLET, 3],
    ]);
    const [, written2] = outcome.rowsets;
    if (written2 === undefined) throw new Error('no rollup');
    const [, , w] = columns;
    if (w === undefined) throw new Error('no column');
    expect(await read(store, meta(written2), [w, K])).toEqual([
      [null, 3],
      ['a', 2],
      ['b', 1],
    ]);
    const key = segmentKey(TARGET_TABLET, written2.rowsetId, 0);
    expect((await store.head(key))?.size).toBe(written2.bytes);
  });
});
