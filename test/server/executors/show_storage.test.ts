import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { load } from '../../catalog/fixture.ts';
import type { TableDef } from '../../../base/schema.ts';
import { ShowFixture } from './fixture.ts';

let show: ShowFixture;
beforeEach(async () => {
  show = await ShowFixture.open();
  await show.run('CREATE DATABASE d; USE d');
});
afterEach(async () => {
  await show.close();
});

/** What of a definition is the same for a table that was made again. */
function definition(table: TableDef): unknown {
  const { tableId, createdMs, schemaVersion, indexes, partitions, ...rest } = table;
  expect([tableId, createdMs, schemaVersion, indexes.length].every(Number.isFinite)).toBe(true);
  return {
    ...rest,
    partitions: partitions.map(({ name, values, buckets }) => ({ name, values, buckets })),
  };
}

async function createText(name: string): Promise<string> {
  const [row] = await show.objects(`SHOW CREATE TABLE ${name}`);
  return String(row?.['Create Table']);
}

describe('SHOW CREATE TABLE', () => {
  it("has Doris's layout", async () => {
    await show.run(`CREATE TABLE t (k BIGINT NOT NULL COMMENT 'it''s', v VARCHAR(9) DEFAULT 'a"b')
      DUPLICATE KEY (k) COMMENT 'c' PARTITION BY RANGE (k)
      (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES [(10), (MAXVALUE)))
      DISTRIBUTED BY HASH (k) BUCKETS 3 PROPERTIES ("file_cache_ttl_seconds" = "60")`);
    expect(await createText('t')).toBe(`CREATE TABLE \`t\` (
  \`k\` bigint NOT NULL COMMENT 'it''s',
  \`v\` varchar(9) NULL DEFAULT 'a"b'
) ENGINE=OLAP
DUPLICATE KEY(\`k\`)
COMMENT 'c'
PARTITION BY RANGE(\`k\`)
(PARTITION \`p0\` VALUES LESS THAN ("10"),
PARTITION \`p1\` VALUES [("10"), (MAXVALUE)))
DISTRIBUTED BY HASH(\`k\`) BUCKETS 3
PROPERTIES (
"file_cache_ttl_seconds" = "60"
);`);
  });

  it.each([
    'CREATE TABLE t (a INT)',
    'CREATE TABLE t (`a b` INT NOT NULL, `c``d` STRING COMMENT "x\\\\y\\nz") COMMENT \'50\\% "q"\'',
    `CREATE TABLE t (b BOOLEAN DEFAULT '1', s SMALLINT DEFAULT '-3', l LARGEINT, d DOUBLE DEFAULT '1e30', f FLOAT,
      c CHAR(3) DEFAULT '', n INT DEFAULT NULL, j JSON, dt DATE DEFAULT CURRENT_TIMESTAMP,
      ts DATETIME(6) DEFAULT '2026-01-02 03:04:05.123456', m DECIMAL(38, 10) DEFAULT '1.5')`,
    'CREATE TABLE t (d DOUBLE, k INT) DISTRIBUTED BY HASH (k) BUCKETS 7',
    `CREATE TABLE t (a INT, b DATE) PARTITION BY RANGE (a, b)
      (PARTITION p1 VALUES LESS THAN (5, '2026-01-01'), PARTITION p2 VALUES LESS THAN (5, MAXVALUE))`,
    `CREATE TABLE t (a VARCHAR(9), b INT) PARTITION BY LIST (a)
      (PARTITION p1 VALUES IN ('x', NULL), PARTITION p2 VALUES IN ('y''s'))`,
    `CREATE TABLE t (a VARCHAR(9), b INT) PARTITION BY LIST (a, b)
      (PARTITION p1 VALUES IN (('x', 1), ('y', 2)))`,
    'CREATE TABLE t (a INT) PARTITION BY RANGE (a) ()',
    'CREATE TABLE t (a INT) PROPERTIES ("storage_vault_name" = "built_in_storage_vault")',
  ])('makes the same table again: %s', async (sql) => {
    await show.run(sql);
    const before = definition(await show.table('d', 't'));
    const text = await createText('t');
    await show.run(`DROP TABLE t; ${text}`);
    expect(definition(await show.table('d', 't'))).toEqual(before);
    expect(await createText('t')).toBe(text);
  });

  it('names the vault when it is not the default', async () => {
    await show.run('CREATE TABLE t (a INT)');
    const path = '/nowhere';
    await show.catalog.vaults.create({ kind: 'file', name: 'other', path });
    await show.catalog.vaults.setDefault('other');
    expect(await createText('t')).toContain('"storage_vault_name" = "built_in_storage_vault"');
  });

  it('says what it cannot show', async () => {
    expect(await show.error('SHOW CREATE TABLE nope')).toBe("1146 Table 'd.nope' doesn't exist");
    expect(await show.error('SHOW CREATE TABLE information_schema.no')).toMatch(/^1146 /);
    expect(await show.text('SHOW CREATE DATABASE d')).toEqual([
      'Database | Create Database',
      'd | CREATE DATABASE `d`',
    ]);
    expect(await show.error('SHOW CREATE DATABASE x')).toBe("1049 Unknown database 'x'");
  });
});

describe('SHOW PARTITIONS, TABLETS and DATA', () => {
  beforeEach(async () => {
    await show.group('g', [8041, 8042]);
    await show.run(`CREATE TABLE t (k INT, v STRING) PARTITION BY RANGE (k)
      (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN (20))
      DISTRIBUTED BY HASH (k) BUCKETS 2`);
    await load(show.catalog, await show.table('d', 't'), 1);
  });

  it("has Doris's columns, in order", async () => {
    const { names } = await show.rows('SHOW PARTITIONS FROM t');
    expect(names.slice(0, 15).join(' ')).toBe(
      'PartitionId PartitionName VisibleVersion VisibleVersionTime State PartitionKey Range ' +
        'DistributionKey Buckets ReplicationNum StorageMedium CooldownTime RemoteStoragePolicy ' +
        'LastConsistencyCheckTime DataSize',
    );
    const rows = await show.objects("SHOW PARTITIONS FROM t WHERE PartitionName = 'p1'");
    expect(rows).toHaveLength(1);
    expect(rows[0]).toMatchObject({
      VisibleVersion: '2',
      Range: '[types: [INT]; keys: [10]; ..types: [INT]; keys: [20]; )',
      Buckets: '2',
      DataSize: '200.000 B',
      RowCount: '20',
    });
  });

  it('says when a version became visible', async () => {
    const times = async (): Promise<unknown[]> =>
      (await show.objects('SHOW PARTITIONS FROM t')).map((row) => row['VisibleVersionTime']);
    expect(await times()).toEqual(['2026-01-10 12:00:00', '2026-01-10 12:00:00']);
    show.clock.ms += 61_000;
    await load(show.catalog, await show.table('d', 't'), 2);
    expect(await times()).toEqual(['2026-01-10 12:01:01', '2026-01-10 12:01:01']);
    show.clock.ms += 60_000;
    await show.run('TRUNCATE TABLE t PARTITION (p1)');
    expect(await times()).toEqual(['2026-01-10 12:01:01', '2026-01-10 12:02:01']);
  });

  it('lists tablets with the backend that serves each', async () => {
    const all = await show.objects('SHOW TABLETS FROM t');
    expect(all.map(({ PartitionName, Bucket }) => [PartitionName, Bucket].join('/'))).toEqual([
      'p0/0',
      'p0/1',
      'p1/0',
      'p1/1',
    ]);
    const backends = (await show.catalog.backends.list()).map(({ backendId }) => BigInt(backendId));
    for (const { BackendId, Version, RowCount, ComputeGroup } of all) {
      expect(backends).toContain(BackendId);
      expect([Version, RowCount, ComputeGroup]).toEqual([2n, 10n, 'g']);
    }
    expect(await show.objects('SHOW TABLETS FROM t PARTITION (p1)')).toHaveLength(2);
    expect(await show.error('SHOW TABLETS FROM t PARTITION (p9)')).toMatch(/^1735 /);
    const [row] = await show.objects(`SHOW TABLET ${String(all[3]?.['TabletId'])}`);
    expect(row).toMatchObject({ DbName: 'd', TableName: 't', PartitionName: 'p1', Order: 1n });
    const [again] = await show.objects(String(row?.['DetailCmd']));
    expect(again).toEqual(all[3]);
    expect(await show.objects('SHOW TABLET 999999')).toEqual([]);
  });

  it('sums what matches, and orders by size', async () => {
    for (const [name, loads] of [
      ['big', 12],
      ['none', 0],
    ] as const) {
      await show.run(`CREATE TABLE ${name} (k INT) DISTRIBUTED BY HASH (k) BUCKETS 1`);
      const table = await show.table('d', name);
      for (let salt = 1; salt <= loads; salt += 1) await load(show.catalog, table, 100 + salt);
    }
    const rows = async (rest: string): Promise<unknown[][]> =>
      (await show.rows(`SHOW DATA ${rest}`)).rows.map(([name, size]) => [name, size]);
    const [big, t] = [
      ['big', '1.172 KB'],
      ['t', '400.000 B'],
    ];
    expect(await rows('ORDER BY Size DESC')).toEqual([
      big,
      t,
      ['none', '0.000 B'],
      ['Total', '1.563 KB'],
    ]);
    expect(await rows('ORDER BY Size DESC LIMIT 1')).toEqual([big, ['Total', '1.563 KB']]);
    expect(await rows("WHERE TableName = 't'")).toEqual([t, ['Total', '400.000 B']]);
    expect(await rows("LIKE 'b%'")).toEqual([big, ['Total', '1.172 KB']]);
  });

  it('tells how data is spread over buckets', async () => {
    const { names, rows } = await show.rows('SHOW DATA SKEW FROM d.t PARTITION (p0)');
    expect(names.join(' ')).toBe('PartitionName BucketIdx AvgRowCount AvgDataSize Graph Percent');
    const half = ['>'.repeat(50), '50.00%'];
    expect(rows).toEqual([
      ['p0', 0n, 10n, 100n, ...half],
      ['p0', 1n, 10n, 100n, ...half],
    ]);
    expect((await show.rows('SHOW DATA SKEW FROM t WHERE BucketIdx = 1')).rows).toHaveLength(2);
    await show.run('TRUNCATE TABLE t');
    const [empty] = (await show.rows('SHOW DATA SKEW FROM t')).rows;
    expect(empty).toEqual(['p0', 0n, 0n, 0n, '', '0.00%']);
    expect(await show.error('SHOW DATA SKEW FROM t PARTITION (p9)')).toMatch(/^1735 /);
  });

  it('knows no serving backend when none is alive', async () => {
    for (const { backendId } of await show.catalog.backends.list()) show.registry.forget(backendId);
    const [first] = await show.objects('SHOW TABLETS FROM t LIMIT 1');
    expect(first?.['BackendId']).toBeNull();
  });

  it('sums sizes', async () => {
    await show.run('CREATE TABLE empty (a INT) DISTRIBUTED BY HASH (a) BUCKETS 1');
    expect(await show.text('SHOW DATA')).toEqual([
      'TableName | Size | ReplicaCount | RemoteSize',
      'empty | 0.000 B | 1 | 0.000 B',
      't | 400.000 B | 4 | 400.000 B',
      'Total | 400.000 B | 5 | 400.000 B',
    ]);
    expect(await show.text('SHOW DATA FROM t')).toEqual([
      'TableName | IndexName | Size | ReplicaCount | RowCount | RemoteSize',
      't | t | 400.000 B | 4 | 40 | 400.000 B',
      ' | Total | 400.000 B | 4 |  | 400.000 B',
    ]);
  });
});
