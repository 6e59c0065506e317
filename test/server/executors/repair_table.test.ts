/** ADMIN REPAIR TABLE as a statement, and SHOW REPLICA DISTRIBUTION. */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { ShowFixture } from './fixture.ts';

let fixture: ShowFixture;
beforeEach(async () => {
  fixture = await ShowFixture.open();
  await fixture.group('g', [1, 2, 3]);
  const table = (name: string): string => `CREATE TABLE d.${name} (k INT) PARTITION BY RANGE(k)
    (PARTITION p1 VALUES LESS THAN ("10"), PARTITION p2 VALUES LESS THAN ("20"))
    DISTRIBUTED BY HASH(k) BUCKETS 1`;
  await fixture.run(`CREATE DATABASE d; ${table('shared')};
    ${table('t')} PROPERTIES("replication_num" = "2")`);
});
afterEach(async () => {
  await fixture.close();
});

describe('ADMIN REPAIR TABLE', () => {
  it('says nothing of tablets that nobody has lost, nor of shared tables', async () => {
    const { names, rows } = await fixture.rows('ADMIN REPAIR TABLE d.shared');
    expect(names.join(' ')).toBe(
      'TabletId PartitionName Result ReplicaId BackendId VisibleVersion CooledVersion ' +
        'LostVersions RowCount Detail',
    );
    expect(rows).toEqual([]);
    expect(await fixture.error('ADMIN CANCEL REPAIR TABLE d.t PARTITION (p1)')).toBe('no error');
  });

  it('says why a tablet is not rebuilt, of the partitions that are named', async () => {
    const { catalog } = fixture;
    const { tableId, partitions } = await catalog.tables.get('d', 't');
    const [tablet] = catalog.tablets.ofPartition(partitions[0]?.partitionId ?? (0 as never));
    for (const one of [...catalog.replicas.byTable(tableId).values()].flat()) {
      await catalog.replicas.markMissing(one, { from: 0, to: 1 });
    }
    for (const { backendId } of await catalog.backends.list()) fixture.registry.forget(backendId);
    const rows = await fixture.objects('ADMIN REPAIR TABLE d.t PARTITION (p1)');
    expect(rows).toMatchObject([
      { TabletId: BigInt(tablet?.tabletId ?? 0), PartitionName: 'p1', Result: 'refused' },
    ]);
    expect(rows[0]?.['Detail']).toMatch(/^backend \d+ .* is not alive and may have replica \d+/);
  });

  it('knows its table and partitions', async () => {
    expect(await fixture.error('ADMIN REPAIR TABLE d.nosuch')).toMatch(/^1146 /);
    expect(await fixture.error('ADMIN REPAIR TABLE d.t PARTITION (p9)')).toMatch(/p9/);
  });
});

describe('SHOW REPLICA DISTRIBUTION', () => {
  it.each(['SHOW', 'ADMIN SHOW'])('%s ... counts replicas of each backend', async (show) => {
    const { names, rows } = await fixture.rows(`${show} REPLICA DISTRIBUTION FROM d.t`);
    expect(names.slice(0, 4)).toEqual(['BackendId', 'ReplicaNum', 'Graph', 'Percent']);
    expect(rows).toHaveLength(3);
    const counts = rows.map((row) => Number(row[1])).toSorted((a, b) => a - b);
    expect(counts).toEqual([1, 1, 2]);
    const half = rows.find((row) => Number(row[1]) === 2);
    expect(half?.slice(2, 4)).toEqual(['>'.repeat(50), '50.00 %']);
  });

  it('of one partition, and of what has no replicas', async () => {
    const sum = async (what: string): Promise<number> => {
      const rows = await fixture.objects(`SHOW REPLICA DISTRIBUTION FROM ${what}`);
      return rows.reduce((total, row) => total + Number(row['ReplicaNum']), 0);
    };
    expect(await sum('d.t PARTITION (p2)')).toBe(2);
    expect(await sum("d.t WHERE ReplicaNum > '1'")).toBe(2);
    expect(await fixture.objects('SHOW REPLICA DISTRIBUTION FROM d.shared')).toEqual([]);
  });
});
