import { describe, expect, it } from '@jest/globals';
import { id } from '../../base/ids.ts';
import { partitionRouter } from '../../base/partition_routing.ts';
import type { PartitionValues, TableDef } from '../../base/schema.ts';
import { compareText } from '../../base/value_order.ts';
import type { ColumnType } from '../../base/values.ts';

function tableOf(
  partitionKind: TableDef['partitionKind'],
  types: readonly ColumnType[],
  values: readonly PartitionValues[],
): TableDef {
  const columns = types.map((type, i) => ({
    name: `c${i}`,
    type,
    nullable: true,
    isKey: true,
    comment: '',
  }));
  return {
    databaseId: id(1),
    databaseName: 'db',
    tableId: id(2),
    name: 't',
    keysType: 'DUPLICATE',
    columns,
    partitionKind,
    partitionColumns: columns.map(({ name }) => name),
    distributionColumns: ['c0'],
    buckets: 1,
    vaultId: id(3),
    ttlSeconds: 0,
    properties: {},
    comment: '',
    createdMs: 0,
    schemaVersion: 1,
    partitions: values.map((value, i) => ({
      partitionId: id(10 + i),
      name: `p${i}`,
      values: value,
      buckets: 1,
      visibleVersion: 1,
    })),
    indexes: [],
  };
}

const MAX = { max: true } as const;

describe('partitionRouter', () => {
  it('finds the range, whatever the order of definition', () => {
    const route = partitionRouter(
      tableOf(
        'RANGE',
        [{ kind: 'INT' }],
        [
          { kind: 'RANGE', lower: [{ value: 20 }], upper: [{ value: 30 }] },
          { kind: 'RANGE', upper: [{ value: 10 }] },
          { kind: 'RANGE', lower: [{ value: 10 }], upper: [{ value: 15 }] },
        ],
      ),
    );
    const values = [null, -5, 9, 10, 14, 15, 19, 20, 29, 30];
    expect(values.map((value) => route([value]))).toEqual([1, 1, 1, 2, 2, -1, -1, 0, 0, -1]);
  });

  it('takes everything above under MAXVALUE', () => {
    const route = partitionRouter(
      tableOf(
        'RANGE',
        [{ kind: 'DATE' }],
        [
          { kind: 'RANGE', upper: [{ value: '2024-01-01' }] },
          { kind: 'RANGE', lower: [{ value: '2024-01-01' }], upper: [MAX] },
        ],
      ),
    );
    expect([null, '2023-12-31', '2024-01-01', '9999-12-31'].map((day) => route([day]))).toEqual([
      0, 0, 1, 1,
    ]);
  });

  it('compares tuples column by column', () => {
    const types: ColumnType[] = [{ kind: 'DECIMAL', precision: 4, scale: 1 }, { kind: 'STRING' }];
    const route = partitionRouter(
      tableOf('RANGE', types, [
        { kind: 'RANGE', upper: [{ value: '9.5' }, { value: 'm' }] },
        {
          kind: 'RANGE',
          lower: [{ value: '9.5' }, { value: 'm' }],
          upper: [{ value: '10.0' }, MAX],
        },
      ]),
    );
    expect(route(['9.5', 'l'])).toBe(0);
    expect(route(['9.5', 'm'])).toBe(1);
    expect(route(['10.0', 'zzz'])).toBe(1);
    expect(route(['10.1', ''])).toBe(-1);
    expect(route(['-100.0', 'z'])).toBe(0);
  });

  it('finds list members, NULL and tuples among them', () => {
    const route = partitionRouter(
      tableOf(
        'LIST',
        [{ kind: 'STRING' }, { kind: 'INT' }],
        [
          {
            kind: 'LIST',
            tuples: [
              ['a', 1],
              ['b', null],
            ],
          },
          { kind: 'LIST', tuples: [['a,1', 1]] },
        ],
      ),
    );
    expect(route(['a', 1])).toBe(0);
    expect(route(['b', null])).toBe(0);
    expect(route(['a,1', 1])).toBe(1);
    expect(route(['b', 1])).toBe(-1);
  });
});

describe('compareText', () => {
  it('has the order of UTF-8 bytes', () => {
    const texts = ['', 'a', 'ab', 'b', 'ä', '\uffff', '\u{1f600}', '\u{10ffff}', '\ue000'];
    const byBytes = [...texts].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    expect([...texts].sort(compareText)).toEqual(byBytes);
  });
});
