import { describe, expect, it } from '@jest/globals';
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import type { ScanPredicate } from '../../../base/agent_messages.ts';
import { SqlError } from '../../../base/errors.ts';
import type { SqlValue } from '../../../base/values.ts';
import { FooterCache } from '../../../be-agent/data/footer_cache.ts';
import { Scan } from '../../../be-agent/data/scan.ts';
import { ROW_GROUP_ROWS_MAX } from '../../../be-agent/data/segment_writer.ts';
import {
  column,
  load,
  memoryStore,
  opener,
  readCounts,
  scanAll,
  scanRequest,
  services,
  target,
} from './table_fixture.ts';

const WIDE = Array.from({ length: 20 }, (_, i) => column(`c${i}`, 'STRING'));

/** Texts that do not compress, 100 characters each. */
function noise(row: number, at: number): string {
  return createHash('sha512').update(`${row}/${at}`).digest('base64').padEnd(100, `${row}`);
}

async function wideTable() {
  const store = memoryStore();
  const rows = Array.from({ length: 1000 }, (_, row) => WIDE.map((__, at) => noise(row, at)));
  const outcome = await load(target(WIDE), rows, services(store));
  return { store, rows, outcome };
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    if (error instanceof SqlError) return error.message;
    throw error;
  }
  return 'no error';
}

describe('Scan', () => {
  it('reads only the ranges of the wanted columns', async () => {
    const { store, rows, outcome } = await wideTable();
    const [segment] = outcome.rowsets[0]?.segments ?? [];
    const wanted = WIDE.slice(7, 8);
    const counts = readCounts();
    const read = await scanAll(scanRequest(outcome, wanted), opener(store, counts));
    expect(read).toEqual(rows.map((row) => [row[7]]));
    const footer = (segment?.bytes ?? 0) - (segment?.indexOffset ?? 0);
    expect(counts.reads).toBe(2);
    // One of twenty equally long columns, and the footer.
    expect(counts.bytes - footer).toBeLessThan((segment?.bytes ?? 0) / 18);
  });

  it('joins neighbouring columns into one read', async () => {
    const { store, outcome } = await wideTable();
    const counts = readCounts();
    await scanAll(scanRequest(outcome, WIDE.slice(3, 9)), opener(store, counts));
    expect(counts.reads).toBe(2);
  });

  it('reads nothing to count rows', async () => {
    const { store, outcome } = await wideTable();
    const counts = readCounts();
    const scan = new Scan(scanRequest(outcome, []), opener(store, counts), new FooterCache());
    expect(await scan.nextBatch()).toEqual({ rows: 1000, columns: [], done: true });
    expect(await scan.nextBatch()).toEqual({ rows: 0, columns: [], done: true });
    expect(counts.reads).toBe(0);
  });

  it('parses a footer once', async () => {
    const { store, outcome } = await wideTable();
    const footers = new FooterCache();
    const request = scanRequest(outcome, WIDE.slice(0, 1));
    await scanAll(request, opener(store), footers);
    const counts = readCounts();
    await scanAll(request, opener(store, counts), footers);
    expect(counts.reads).toBe(1);
  });

  it('keeps the footers it holds below the limit', async () => {
    const store = memoryStore();
    const columns = [column('k', 'INT')];
    const into = target(columns, { buckets: 20 });
    const rows = Array.from({ length: 500 }, (_, i) => [i]);
    const outcome = await load(into, rows, services(store));
    expect(outcome.rowsets).toHaveLength(20);
    const footers = new FooterCache(4096);
    const read = await scanAll(scanRequest(outcome, columns), opener(store), footers);
    expect(read.map(([k]) => Number(k)).sort((a, b) => a - b)).toEqual(rows.flat());
    expect(footers.bytes).toBeLessThanOrEqual(4096);
    expect(footers.bytes).toBeGreaterThan(0);
  });

  it('hands out batches that are neither tiny nor large', async () => {
    const store = memoryStore();
    const columns = [column('k', 'INT')];
    const outcome = await load(
      target(columns, { buckets: 7 }),
      Array.from({ length: 60_000 }, (_, i) => [i]),
      services(store),
    );
    const scan = new Scan(scanRequest(outcome, columns), opener(store), new FooterCache());
    const sizes: number[] = [];
    for (;;) {
      const batch = await scan.nextBatch();
      sizes.push(batch.rows);
      if (batch.done) break;
    }
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(60_000);
    for (const size of sizes) expect(size).toBeLessThanOrEqual(4096);
    for (const size of sizes.slice(0, -1)) expect(size).toBeGreaterThanOrEqual(2048);
  });

  it('stops when it is closed', async () => {
    const { store, outcome } = await wideTable();
    const scan = new Scan(scanRequest(outcome, WIDE), opener(store), new FooterCache());
    scan.close();
    expect(await scan.nextBatch()).toMatchObject({ rows: 0, done: true });
  });

  it('gives older rows the default of a column added later, and converts a changed type', async () => {
    const store = memoryStore();
    const old = [column('k', 'INT'), column('n', 'INT')];
    const outcome = await load(
      target(old),
      [
        [1, 10],
        [2, null],
      ],
      services(store),
    );
    const now = [
      column('n', 'STRING'),
      column('added', 'BIGINT', { defaultValue: 5n, nullable: false }),
      column('k', 'BIGINT'),
      column('empty', 'DATE'),
    ];
    const rows = await scanAll(scanRequest(outcome, now), opener(store));
    expect(rows).toEqual([
      ['10', 5n, 1n, null],
      [null, 5n, 2n, null],
    ]);
  });
});

describe('skipping row groups', () => {
  const KEYED = [column('k', 'INT', { isKey: true }), column('v', 'STRING')];

  it('reads only the row group that may match a key', async () => {
    const store = memoryStore();
    const count = 3 * ROW_GROUP_ROWS_MAX;
    // Backwards: the segment is sorted by its key.
    const keys = Array.from({ length: count }, (_, i) => [count - 1 - i, 'x']);
    const outcome = await load(target(KEYED), keys, services(store));
    const footers = new FooterCache();
    const at = (op: ScanPredicate['op'], ...values: SqlValue[]) => ({ column: 'k', op, values });
    const keysRead = async (...predicates: ScanPredicate[]) => {
      const request = scanRequest(outcome, KEYED, predicates);
      const scan = new Scan(request, opener(store), footers);
      let rows = 0;
      let first: SqlValue | undefined;
      for (;;) {
        const batch = await scan.nextBatch();
        first ??= batch.columns[0]?.[0];
        rows += batch.rows;
        if (batch.done) return [rows / ROW_GROUP_ROWS_MAX, first];
      }
    };
    expect(await keysRead()).toEqual([3, 0]);
    expect(await keysRead(at('=', 70_000))).toEqual([1, 65_536]);
    expect(await keysRead(at('=', '70000'))).toEqual([1, 65_536]);
    expect(await keysRead(at('in', 1, 140_000))).toEqual([2, 0]);
    expect(await keysRead(at('>=', 131_072), at('<=', 131_073))).toEqual([1, 131_072]);
    expect(await keysRead(at('<', -1))).toEqual([0, undefined]);
    expect(await keysRead(at('=', 'seventy'))).toEqual([3, 0]);
    expect(await keysRead({ column: 'v', op: '=', values: ['y'] })).toEqual([0, undefined]);
    expect(await keysRead({ column: 'gone', op: '=', values: ['y'] })).toEqual([3, 0]);
  });

  it('never skips a row that matches', async () => {
    const types = [
      column('a', 'INT'),
      column('b', { kind: 'DECIMAL', precision: 20, scale: 3 }),
      column('c', 'STRING'),
      column('d', { kind: 'DATETIME', precision: 0 }),
      column('e', 'DOUBLE'),
    ];
    const row = fc.tuple(
      fc.option(fc.integer({ min: -5, max: 5 })),
      fc.option(fc.integer({ min: -5, max: 5 }).map((n) => `${n}.250`)),
      fc.option(fc.string({ unit: 'binary', maxLength: 20 })),
      fc.option(
        fc.constantFrom('2024-01-01 00:00:00', '2024-01-01 10:00:00', '1999-12-31 23:59:59'),
      ),
      fc.option(fc.constantFrom(-1.5, 0, 0.1, 7)),
    );
    const ops = fc.constantFrom<ScanPredicate['op']>('=', '<', '<=', '>', '>=', 'in');
    const property = fc.asyncProperty(
      fc.array(row, { minLength: 1, maxLength: 6 }),
      fc.integer({ min: 0, max: 4 }),
      ops,
      row,
      async (rows, at, op, probe) => {
        const value = probe[at] ?? null;
        const name = types[at]?.name ?? '';
        const store = memoryStore();
        const outcome = await load(target(types), rows, services(store));
        const request = scanRequest(outcome, types, [{ column: name, op, values: [value] }]);
        const read = await scanAll(request, opener(store));
        const matching = rows.filter((candidate) => matches(candidate[at] ?? null, op, value, at));
        if (matching.length > 0) expect(read).toEqual(rows);
      },
    );
    await fc.assert(property, { numRuns: 60 });
  });
});

/** What the engine would answer. */
function matches(left: SqlValue, op: ScanPredicate['op'], right: SqlValue, at: number): boolean {
  if (left === null || right === null) return false;
  const order =
    at === 2
      ? Buffer.compare(Buffer.from(String(left)), Buffer.from(String(right)))
      : at === 3
        ? Number(String(left) > String(right)) - Number(String(left) < String(right))
        : Number(left) - Number(right);
  switch (op) {
    case '=':
    case 'in':
      return order === 0;
    case '<':
      return order < 0;
    case '<=':
      return order <= 0;
    case '>':
      return order > 0;
    case '>=':
      return order >= 0;
  }
}

describe('damaged objects', () => {
  it.each<[string, (body: Uint8Array, indexOffset: number) => Uint8Array, RegExp]>([
    [
      'cut off',
      (body) => body.slice(0, body.length - 100),
      /is damaged: it is shorter than it should be/,
    ],
    [
      'no magic number',
      (body) => body.fill(0, -4),
      /is damaged: it does not end with the Parquet magic/,
    ],
    [
      'a footer length of nonsense',
      (body) => body.fill(0xff, -8, -4),
      /its footer begins before the index/,
    ],
    ['rubbish in the footer', (body, at) => body.fill(0xfe, at, -8), /is damaged: /],
    ['rubbish in the pages', (body, at) => body.fill(0xff, 4, at), /is damaged: /],
    ['zeros in the pages', (body, at) => body.fill(0, 4, at), /is damaged: /],
  ])('%s', async (_, damage, message) => {
    const store = memoryStore();
    const columns = [column('k', 'INT'), column('v', 'STRING')];
    const rows = Array.from({ length: 100 }, (__, i) => [i, `text ${i}`]);
    const outcome = await load(target(columns), rows, services(store));
    const [rowset] = outcome.rowsets;
    const key = `data/1/${rowset?.rowsetId}_0.dat`;
    const body = Uint8Array.from(await store.get(key));
    await store.put(key, damage(body, rowset?.segments[0]?.indexOffset ?? 0));
    const damaged = await store.get(key);
    const open = opener({
      ...bind(store),
      get: async (_key, { offset = 0, length = 0 } = {}) =>
        Promise.resolve(damaged.subarray(offset, offset + length)),
    });
    const answer = await codeOf(scanAll(scanRequest(outcome, columns), open));
    expect(answer).toContain(`object ${key} is damaged`);
    expect(answer).toMatch(message);
  });

  it('says that an object is missing', async () => {
    const store = memoryStore();
    const columns = [column('k', 'INT')];
    const outcome = await load(target(columns), [[1]], services(store));
    await store.delete([`data/1/${outcome.rowsets[0]?.rowsetId}_0.dat`]);
    expect(await codeOf(scanAll(scanRequest(outcome, columns), opener(store)))).toMatch(
      /^object store: /,
    );
  });
});

function bind(store: ReturnType<typeof memoryStore>) {
  return {
    url: store.url,
    head: store.head.bind(store),
    put: store.put.bind(store),
    upload: store.upload.bind(store),
    list: store.list.bind(store),
    delete: store.delete.bind(store),
    close: store.close.bind(store),
  };
}
