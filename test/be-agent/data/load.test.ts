import { describe, expect, it } from '@jest/globals';
import { crc32 } from 'node:zlib';
import { bucketOf } from '../../../base/bucket.ts';
import { SqlError } from '../../../base/errors.ts';
import { type ObjectStore, ObjectStoreError } from '../../../base/ports.ts';
import { segmentKey } from '../../../base/schema.ts';
import { runLoad } from '../../../be-agent/data/load.ts';
import type { RowBatch } from '../../../be-agent/data/row_batch.ts';
import {
  batches,
  column,
  load,
  memoryStore,
  opener,
  scanAll,
  scanRequest,
  services,
  target,
} from './table_fixture.ts';

const KV = [column('k', 'INT', { isKey: true }), column('v', 'STRING')];

async function keysOf(store: ObjectStore): Promise<string[]> {
  const keys: string[] = [];
  for await (const page of store.list('')) keys.push(...page.map(({ key }) => key));
  return keys;
}

async function failureOf(work: Promise<unknown>): Promise<SqlError> {
  try {
    await work;
  } catch (error) {
    if (error instanceof SqlError) return error;
    throw error;
  }
  throw new Error('it did not fail');
}

/** A store whose put does what `act` says; the rest is the memory store's. */
function storeWithPut(
  store: ReturnType<typeof memoryStore>,
  put: (call: number, real: () => Promise<{ etag: string }>) => Promise<{ etag: string }>,
): ObjectStore {
  let calls = 0;
  return {
    url: store.url,
    get: store.get.bind(store),
    head: store.head.bind(store),
    upload: store.upload.bind(store),
    list: store.list.bind(store),
    delete: store.delete.bind(store),
    close: store.close.bind(store),
    put: async (key, body, options) => {
      calls += 1;
      return put(calls, async () => store.put(key, body, options));
    },
  };
}

describe('runLoad', () => {
  it('puts every row into the tablet of its partition and bucket', async () => {
    const into = target(KV, {
      buckets: 3,
      partitionKind: 'RANGE',
      partitionColumns: ['k'],
      partitions: [
        { name: 'low', values: { kind: 'RANGE', upper: [{ value: 100 }] } },
        {
          name: 'high',
          values: { kind: 'RANGE', lower: [{ value: 100 }], upper: [{ max: true }] },
        },
      ],
    });
    const store = memoryStore();
    const rows = Array.from({ length: 300 }, (_, i) => [i, `v${i}`]);
    const outcome = await load(into, rows, services(store));
    expect(outcome.loadedRows).toBe(300);
    expect(outcome.rowsets).toHaveLength(6);
    for (const rowset of outcome.rowsets) {
      const request = scanRequest({ ...outcome, rowsets: [rowset] }, KV);
      const read = await scanAll(request, opener(store));
      expect(read).toHaveLength(rowset.rows);
      for (const [k] of read) {
        const partition = Number(k) < 100 ? 0 : 1;
        expect(rowset.partitionId).toBe(partition + 1);
        expect(rowset.tabletId).toBe(1000 * partition + bucketOf([k ?? null], 3) + 1);
      }
    }
  });

  it('describes the object it wrote', async () => {
    const store = memoryStore();
    const outcome = await load(
      target(KV),
      [
        [2, 'b'],
        [1, 'a'],
      ],
      services(store),
    );
    const [rowset] = outcome.rowsets;
    const [segment] = rowset?.segments ?? [];
    if (rowset === undefined || segment === undefined) throw new Error('nothing was written');
    const body = await store.get(segmentKey(rowset.tabletId, rowset.rowsetId, 0));
    expect(segment).toMatchObject({ segment: 0, rows: 2, bytes: body.length, crc32: crc32(body) });
    expect(Buffer.from(body.subarray(0, 4)).toString()).toBe('PAR1');
    expect(Buffer.from(body.subarray(-4)).toString()).toBe('PAR1');
    const footer = new DataView(body.buffer, body.byteOffset).getUint32(body.length - 8, true);
    expect(segment.indexOffset).toBe(body.length - 8 - footer);
    expect(rowset).toMatchObject({ rows: 2, bytes: body.length });
  });

  it('stays below its memory by writing the largest tablets', async () => {
    const store = memoryStore();
    const into = target(KV, { buckets: 4 });
    const config = { segment_max_bytes: '65536', load_memory_bytes: '1048576' };
    const text = 'x'.repeat(1000);
    // About 40 MB of rows, made as they are asked for.
    function* rows(): Generator<RowBatch> {
      for (let batch = 0; batch < 400; batch += 1) {
        const values = Array.from({ length: 100 }, (_, i) => [batch * 100 + i, text]);
        yield { rows: values, bytes: 0 };
      }
    }
    const outcome = await runLoad(into, rows(), { columns: ['k', 'v'] }, services(store, config));
    expect(outcome.loadedRows).toBe(40_000);
    const segments = outcome.rowsets.flatMap((rowset) => rowset.segments);
    // No segment has more than segment_max_bytes of raw rows: 1,000 characters and some each.
    for (const segment of segments) expect(segment.rows).toBeLessThanOrEqual(65);
    expect(segments.reduce((sum, segment) => sum + segment.rows, 0)).toBe(40_000);
    const read = await scanAll(scanRequest(outcome, KV.slice(0, 1)), opener(store));
    expect(new Set(read.map(([k]) => k)).size).toBe(40_000);
  });

  it('keeps many small tablets within load_memory_bytes', async () => {
    const store = memoryStore();
    const into = target(KV, { buckets: 64 });
    const config = { load_memory_bytes: '1048576' };
    const rows = Array.from({ length: 5000 }, (_, i) => [i, 'y'.repeat(1000)]);
    const outcome = await runLoad(
      into,
      batches(rows, 100),
      { columns: ['k', 'v'] },
      services(store, config),
    );
    const segments = outcome.rowsets.flatMap((rowset) => rowset.segments);
    // 5 MB through 1 MB: each tablet had to be written more than once.
    expect(segments.length).toBeGreaterThan(64 * 2);
    expect(await scanAll(scanRequest(outcome, KV), opener(store))).toHaveLength(5000);
  });

  it('writes nothing for no rows', async () => {
    const store = memoryStore();
    const outcome = await load(target(KV), [], services(store));
    expect(outcome).toMatchObject({ rowsets: [], loadedRows: 0 });
    expect(await keysOf(store)).toEqual([]);
  });

  it('deletes what it wrote when a later row is bad', async () => {
    const store = memoryStore();
    const config = { segment_max_bytes: '65536' };
    const good = Array.from({ length: 1000 }, (_, i) => [i, 'z'.repeat(1000)]);
    let puts = 0;
    const counting = storeWithPut(store, async (call, real) => {
      puts = call;
      return real();
    });
    const work = runLoad(
      target(KV),
      batches([...good, ['x', 'y']], 10),
      { columns: ['k', 'v'] },
      services(counting, config),
    );
    expect((await failureOf(work)).message).toBe(
      "Incorrect integer value: 'x' for column 'k' at row 1001",
    );
    expect(puts).toBeGreaterThan(5);
    expect(await keysOf(store)).toEqual([]);
  });

  it('deletes what it wrote when the n-th put fails, for every n', async () => {
    const rows = Array.from({ length: 100 }, (_, i) => [i, 'v']);
    for (let n = 1; ; n += 1) {
      const store = memoryStore();
      const failing = storeWithPut(store, async (call, real) => {
        if (call === n) throw new ObjectStoreError('DISK', 'k', 'memory: no space left');
        return real();
      });
      try {
        const outcome = await load(target(KV, { buckets: 5 }), rows, services(failing));
        expect(outcome.rowsets).toHaveLength(5);
        expect(n).toBe(6);
        return;
      } catch (error) {
        if (!(error instanceof SqlError)) throw error;
        expect(error.message).toBe('object store: memory: no space left');
        expect(await keysOf(store)).toEqual([]);
      }
    }
  });

  it('takes an object for its own when the answer of the put was lost', async () => {
    const store = memoryStore();
    const losing = storeWithPut(store, async (call, real) => {
      if (call === 1) await real();
      if (call === 1)
        throw new ObjectStoreError('UNKNOWN_OUTCOME', 'k', 'memory: connection reset');
      return real();
    });
    const outcome = await load(target(KV), [[1, 'a']], services(losing));
    expect(await scanAll(scanRequest(outcome, KV), opener(store))).toEqual([[1, 'a']]);
  });

  it('never takes over an object that was there before', async () => {
    const store = memoryStore();
    const first = await load(target(KV), [[1, 'a']], services(store));
    // The same random ids again.
    const error = await failureOf(
      load(
        target(KV),
        [
          [2, 'b'],
          [3, 'c'],
        ],
        services(store),
      ),
    );
    expect(error.code).toBe('STORE_FAILED');
    expect(await scanAll(scanRequest(first, KV), opener(store))).toEqual([[1, 'a']]);
  });

  it('stops when the signal says so and leaves nothing', async () => {
    const store = memoryStore();
    const controller = new AbortController();
    function* rows(): Generator<RowBatch> {
      yield { rows: [[1, 'a']], bytes: 0 };
      controller.abort(new SqlError('LOAD_FAILED', { why: 'timeout' }));
      yield { rows: [[2, 'b']], bytes: 0 };
    }
    const options = { columns: ['k', 'v'], signal: controller.signal };
    const error = await failureOf(runLoad(target(KV), rows(), options, services(store)));
    expect(error.message).toBe('load failed: timeout');
    expect(await keysOf(store)).toEqual([]);
  });

  it('names value and row when no partition takes it', async () => {
    const into = target(KV, {
      partitionKind: 'LIST',
      partitionColumns: ['v'],
      partitions: [{ name: 'p', values: { kind: 'LIST', tuples: [['a'], ['b']] } }],
    });
    const store = memoryStore();
    const error = await failureOf(
      load(
        into,
        [
          [1, 'a'],
          [2, 'q'],
        ],
        services(store),
      ),
    );
    expect(error.message).toBe("Table has no partition for value 'q' (row 2)");
    expect(error.errno).toBe(1526);
    const only = { columns: ['k', 'v'], partitions: ['P'] };
    const batch = [{ rows: [[1, 'a']], bytes: 0 }];
    expect(await runLoad(into, batch, only, services(store))).toMatchObject({ loadedRows: 1 });
  });

  it('takes columns in any order and fills the others with defaults', async () => {
    const columns = [
      column('k', 'INT', { nullable: false }),
      column('v', 'STRING', { defaultValue: 'none', nullable: false }),
    ];
    const store = memoryStore();
    const batch = [{ rows: [[5]], bytes: 0 }];
    const outcome = await runLoad(target(columns), batch, { columns: ['K'] }, services(store));
    expect(await scanAll(scanRequest(outcome, columns), opener(store))).toEqual([[5, 'none']]);
    const missing = runLoad(target(columns), [], { columns: ['v'] }, services(store));
    expect((await failureOf(missing)).errno).toBe(1364);
    const unknown = runLoad(target(columns), [], { columns: ['k', 'value'] }, services(store));
    expect((await failureOf(unknown)).errno).toBe(1054);
    const short = runLoad(target(columns), batch, { columns: ['k', 'v'] }, services(store));
    expect((await failureOf(short)).message).toBe(
      "Column count doesn't match value count at row 1",
    );
  });
});
