/** Rows of cooled rowsets in real segments, merged without knowing their table. */
import { describe, expect, it } from '@jest/globals';
import { id, rowsetId } from '../../../base/ids.ts';
import { SILENT_LOG } from '../../../base/ports.ts';
import type { ReplicaRowset } from '../../../base/replica.ts';
import type { ColumnDef } from '../../../base/schema.ts';
import type { SqlRow } from '../../../base/values.ts';
import { parquetMerge } from '../../../be-agent/cooldown/cold_merge.ts';
import {
  column,
  load,
  memoryStore,
  opener,
  scanAll,
  scanRequest,
  services,
  target,
} from '../data/table_fixture.ts';

const COLUMNS = [
  column('k', 'INT', { isKey: true, nullable: false }),
  column('v', 'STRING'),
  column('d', { kind: 'DECIMAL', precision: 10, scale: 2 }),
];
const OUTPUT = rowsetId('d'.repeat(32));

async function inputsOf(
  loads: readonly { readonly columns: readonly ColumnDef[]; readonly rows: readonly SqlRow[] }[],
) {
  const store = memoryStore();
  const using = services(store);
  const inputs: ReplicaRowset[] = [];
  for (const { columns, rows } of loads) {
    const { rowsets } = await load(target(columns), rows, using);
    const [first] = rowsets;
    const version = inputs.length + 2;
    inputs.push({
      rowsetId: first?.rowsetId ?? rowsetId(String(version).padStart(32, '0')),
      startVersion: version,
      endVersion: version,
      rows: first?.rows ?? 0,
      bytes: first?.bytes ?? 0,
      segments: first?.segments ?? [],
      createdMs: 0,
      newestWriteMs: 0,
      place: { kind: 'remote', resourceId: id(1) },
    });
  }
  const { clock, config } = using;
  const options = { openObject: () => opener(store), clock, config, log: SILENT_LOG };
  const identity = { tabletId: id<never>(1), partitionId: id<never>(1) };
  const merge = async () => {
    const request = { ...identity, inputs, rowsetId: OUTPUT };
    return await parquetMerge(options)(request, store, new AbortController().signal);
  };
  return { store, merge, identity };
}

describe('parquetMerge', () => {
  it('has all rows, sorted by the key that the files name, with their types', async () => {
    const loads = [
      {
        columns: COLUMNS,
        rows: [
          [3, 'c', '1.50'],
          [1, 'a', null],
        ],
      },
      { columns: COLUMNS, rows: [] },
      {
        columns: COLUMNS,
        rows: [
          [2, null, '-0.01'],
          [1, 'A', '2.00'],
        ],
      },
    ];
    const { store, merge, identity } = await inputsOf(loads);
    const merged = await merge();
    expect(merged.rows).toBe(4);
    const rowsets = [{ ...identity, rowsetId: OUTPUT, ...merged }];
    const outcome = { rowsets, loadedRows: 0, filteredRows: 0, unselectedRows: 0, loadBytes: 0 };
    const request = scanRequest({ ...outcome, rowErrors: [] }, COLUMNS);
    expect(await scanAll(request, opener(store))).toEqual([
      [1, 'a', null],
      [1, 'A', '2.00'],
      [2, null, '-0.01'],
      [3, 'c', '1.50'],
    ]);
  });

  it('refuses segments of different columns', async () => {
    const { merge } = await inputsOf([
      { columns: COLUMNS, rows: [[1, 'a', null]] },
      { columns: [column('k', 'INT'), column('w', 'STRING')], rows: [[2, 'b']] },
    ]);
    await expect(merge()).rejects.toThrow(/has other columns/);
  });
});
