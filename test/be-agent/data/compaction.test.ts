import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { CompactRequest } from '../../../base/agent_messages.ts';
import { type RowsetId, type VaultId, id, rowsetId } from '../../../base/ids.ts';
import { SILENT_LOG } from '../../../base/ports.ts';
import type { ColumnDef, NewRowset, RowsetMeta } from '../../../base/schema.ts';
import type { SqlRow } from '../../../base/values.ts';
import { runCompaction } from '../../../be-agent/data/compaction.ts';
import { Compactions } from '../../../be-agent/data/compactions.ts';
import type { LoadServices } from '../../../be-agent/data/load.ts';
import { ManualClock } from '../../manual_clock.ts';
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

const COLUMNS = [column('k', 'INT', { isKey: true }), column('v', 'STRING'), column('n', 'BIGINT')];
const OUTPUT = rowsetId('c'.repeat(32));
const NEVER = new AbortController().signal;

function visible(rowset: NewRowset, version: number): RowsetMeta {
  const place = { startVersion: version, endVersion: version, vaultId: id<VaultId>(1) };
  return { ...rowset, ...place, txnId: id(1), createdMs: 0 };
}

async function loads(
  using: LoadServices,
  batches: readonly (readonly SqlRow[])[],
  columns: readonly ColumnDef[] = COLUMNS,
): Promise<RowsetMeta[]> {
  const rowsets: RowsetMeta[] = [];
  for (const rows of batches) {
    const { rowsets: written } = await load(target(columns), rows, using);
    for (const rowset of written) rowsets.push(visible(rowset, rowsets.length + 2));
  }
  return rowsets;
}

function request(
  inputs: readonly RowsetMeta[],
  more: Partial<CompactRequest> = {},
): CompactRequest {
  const [first] = inputs;
  if (first === undefined) throw new Error('nothing to compact');
  return {
    compactionId: 1,
    timeoutMs: 1000,
    tableName: 'db.t',
    tabletId: first.tabletId,
    partitionId: first.partitionId,
    columns: COLUMNS,
    schemaVersion: 3,
    inputs,
    vaultId: id<VaultId>(1),
    rowsetId: OUTPUT,
    ...more,
  };
}

async function compact(using: LoadServices, asked: CompactRequest, signal = NEVER) {
  const { store, clock, config } = using;
  const using2 = { store, openObject: opener(store), clock, config, log: SILENT_LOG };
  return (await runCompaction(asked, using2, signal)).rowset;
}

async function rowsOf(
  using: LoadServices,
  rowsets: readonly NewRowset[],
  columns: readonly ColumnDef[] = COLUMNS,
): Promise<SqlRow[]> {
  const outcome = {
    rowsets,
    loadedRows: 0,
    filteredRows: 0,
    unselectedRows: 0,
    loadBytes: 0,
    rowErrors: [],
  };
  return scanAll(scanRequest(outcome, columns), opener(using.store));
}

const asText = (rows: readonly SqlRow[]): string[] =>
  rows.map((row) => row.map(String).join('|')).toSorted();

async function keysUnder(using: LoadServices, rowset: RowsetId): Promise<string[]> {
  const keys: string[] = [];
  for await (const page of using.store.list('data/')) {
    for (const { key } of page) if (key.includes(rowset)) keys.push(key);
  }
  return keys;
}

describe('runCompaction', () => {
  it('has the same rows, sorted by the key, in one rowset', async () => {
    const row = fc.tuple(
      fc.option(fc.integer({ min: -50, max: 50 })),
      fc.option(fc.string({ maxLength: 10 })),
      fc.option(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })),
    );
    const batch = fc.array(row, { minLength: 1, maxLength: 30 });
    await fc.assert(
      fc.asyncProperty(fc.array(batch, { minLength: 2, maxLength: 6 }), async (batches) => {
        const using = services();
        const inputs = await loads(using, batches);
        const output = await compact(using, request(inputs));
        expect(output).toMatchObject({ rowsetId: OUTPUT, rows: batches.flat().length });
        const rows = await rowsOf(using, [output]);
        expect(asText(rows)).toEqual(asText(await rowsOf(using, inputs)));
        const keys = rows.map(([key]) => (key === null ? -Infinity : Number(key)));
        expect(keys).toEqual(keys.toSorted((a, b) => a - b));
      }),
      { numRuns: 30 },
    );
  });

  it('writes several segments when the rows are many', async () => {
    const using = services(memoryStore(), { segment_max_bytes: '64KB', load_memory_bytes: '1MB' });
    const batches = Array.from({ length: 4 }, (_, b) =>
      Array.from({ length: 2000 }, (__, i): SqlRow => [i, `value ${b} of ${i}`, BigInt(i)]),
    );
    const inputs = await loads(using, batches);
    const output = await compact(using, request(inputs));
    expect(output.segments.length).toBeGreaterThan(3);
    expect(output.segments.map(({ segment }) => segment)).toEqual(output.segments.map((_, i) => i));
    expect(output.rows).toBe(8000);
    expect(asText(await rowsOf(using, [output]))).toEqual(asText(batches.flat()));
    expect(await keysUnder(using, OUTPUT)).toHaveLength(output.segments.length);
  });

  it('gives rows from before a column was added its default', async () => {
    const using = services();
    const old = await loads(using, [[[1, 'a', 1n]], [[2, 'b', 2n]]]);
    const wider = [...COLUMNS, column('added', 'INT', { defaultValue: 7 })];
    const output = await compact(using, request(old, { columns: wider }));
    expect(await rowsOf(using, [output], wider)).toEqual([
      [1, 'a', 1n, 7],
      [2, 'b', 2n, 7],
    ]);
  });

  it('refuses inputs that have other rows than the catalog says, and leaves nothing', async () => {
    const using = services();
    const inputs = await loads(using, [[[1, 'a', 1n]], [[2, 'b', 2n]]]);
    const wrong = inputs.map((input) => ({ ...input, rows: 2 }));
    await expect(compact(using, request(wrong))).rejects.toMatchObject({ code: 'CORRUPT_OBJECT' });
    expect(await keysUnder(using, OUTPUT)).toEqual([]);
  });

  it('deletes what it wrote when an input is gone, or it is stopped', async () => {
    const using = services(memoryStore(), { segment_max_bytes: '64KB' });
    const many = Array.from({ length: 3000 }, (_, i): SqlRow => [i, 'x'.repeat(40), BigInt(i)]);
    const inputs = await loads(using, [many, many, [[1, 'last', 1n]]]);
    const last = inputs.at(-1);
    if (last === undefined) throw new Error('no input');
    const stop = new AbortController();
    const { store, clock, config } = using;
    const open = opener(store);
    const stopping = {
      openObject: (source: Parameters<typeof open>[0]) => {
        if (source.rowset.rowsetId === last.rowsetId) stop.abort(new Error('stopped'));
        return open(source);
      },
    };
    const aside = { store, clock, config, log: SILENT_LOG, ...stopping };
    await expect(runCompaction(request(inputs), aside, stop.signal)).rejects.toThrow('stopped');
    expect(await keysUnder(using, OUTPUT)).toEqual([]);
    await store.delete([`data/${last.tabletId}/${last.rowsetId}_0.dat`]);
    await expect(compact(using, request(inputs))).rejects.toMatchObject({ code: 'STORE_FAILED' });
    expect(await keysUnder(using, OUTPUT)).toEqual([]);
  });

  it('reads each input once', async () => {
    const using = services();
    const inputs = await loads(using, [[[1, 'a', 1n]], [[2, 'b', 2n]], [[3, 'c', 3n]]]);
    const counts = readCounts();
    const { store, clock, config } = using;
    const counting = { store, openObject: opener(store, counts), clock, config, log: SILENT_LOG };
    await runCompaction(request(inputs), counting, NEVER);
    // Footer and columns.
    expect(counts.reads).toBe(2 * inputs.length);
  });
});

describe('Compactions', () => {
  it('joins a repeat, counts, and gives up with the server', async () => {
    const using = services();
    const inputs = await loads(using, [[[1, 'a', 1n]], [[2, 'b', 2n]]]);
    const clock = new ManualClock();
    let started = 0;
    const gate = Promise.withResolvers<undefined>();
    const compactions = new Compactions({
      backendId: id(1),
      clock,
      run: async (asked, signal) => {
        started += 1;
        await Promise.race([
          gate.promise,
          new Promise((_, reject) => {
            signal.addEventListener('abort', () => {
              reject(signal.reason as Error);
            });
          }),
        ]);
        return { rowset: await compact(using, asked, signal) };
      },
    });
    const both = [request(inputs), request(inputs)].map((r) => compactions.compact(r, NEVER));
    const late = compactions.compact(request(inputs, { compactionId: 2, timeoutMs: 50 }), NEVER);
    const isLate = expect(late).rejects.toMatchObject({ code: 'AGENT_LOST' });
    expect(compactions.running).toBe(2);
    clock.advance(50);
    await isLate;
    gate.resolve(undefined);
    const [first, second] = await Promise.all(both);
    expect(first).toEqual(second);
    expect(started).toBe(2);
    expect(clock.pending).toBe(0);
    expect(compactions.running).toBe(0);
    expect(compactions.counts).toMatchObject({ succeeded: 1, failed: 1 });
    expect(compactions.counts.writtenBytes).toBe(first?.rowset.bytes);
  });
});
