import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { ShowFixture } from './fixture.ts';

let show: ShowFixture;
beforeEach(async () => {
  show = await ShowFixture.open();
  await show.run('CREATE DATABASE d; USE d');
});
afterEach(async () => {
  await show.close();
});

describe('SHOW WARM UP JOB', () => {
  it('lists jobs and finds one', async () => {
    const first = await show.warmUpJob('g1', 'a');
    const second = await show.warmUpJob('g2', 'b');
    const all = await show.objects('SHOW WARM UP JOB');
    expect(all.map(({ JobId }) => JobId)).toEqual([String(second), String(first)]);
    for (const where of [`ID = ${first}`, `id = '${first}'`, `JobId = ${first}`]) {
      const [one, ...others] = await show.objects(`SHOW WARM UP JOB WHERE ${where}`);
      expect(one).toMatchObject({ JobId: String(first), DstComputeGroup: 'g1', Tables: 'd.a' });
      expect(others).toEqual([]);
    }
    expect(show.warnings()).toEqual([]);
    const { names } = await show.rows('SHOW WARM UP JOB');
    expect(names.slice(0, 16).join(' ')).toBe(
      'JobId SrcComputeGroup DstComputeGroup Status Type SyncMode CreateTime StartTime ' +
        'FinishBatch AllBatch FinishTime ErrMsg Tables TableFilter MatchedTables SyncStats',
    );
  });

  it('warns of an unknown id', async () => {
    expect(await show.objects('SHOW WARM UP JOB WHERE id = 99')).toEqual([]);
    expect(show.warnings()).toEqual(['Warning 1105 cloud warm up with job 99 does not exist']);
  });

  it('takes any other condition', async () => {
    const first = await show.warmUpJob('g1', 'a');
    await show.warmUpJob('g2', 'b');
    const wanted = async (filter: string): Promise<unknown[]> =>
      (await show.objects(`SHOW WARM UP JOB ${filter}`)).map(({ Tables }) => Tables);
    expect(await wanted("LIKE 'g2'")).toEqual(['d.b']);
    expect(await wanted("LIKE 'd.%'")).toEqual(['d.b', 'd.a']);
    expect(await wanted("WHERE Status = 'PENDING' AND DstComputeGroup IN ('g1')")).toEqual(['d.a']);
    expect(await wanted(`WHERE id = ${first} AND Status = 'FINISHED'`)).toEqual([]);
    expect(await wanted('WHERE id > 0 ORDER BY JobId LIMIT 1')).toEqual(['d.a']);
    expect(await wanted(`WHERE id = ${first} LIMIT 0`)).toEqual([]);
    expect(show.warnings()).toEqual([]);
    expect(await show.error('SHOW WARM UP JOB WHERE nope = 1')).toMatch(/^1054 /);
  });
});

describe('SHOW CACHE HOTSPOT', () => {
  it('goes from groups over tables to partitions, hottest first', async () => {
    const [backend] = await show.group('used', [8041]);
    await show.group('unused', [8042]);
    const ddl = (name: string): string => `CREATE TABLE ${name} (k INT) PARTITION BY RANGE (k)
      (PARTITION p1 VALUES LESS THAN (10), PARTITION p2 VALUES LESS THAN (20),
       PARTITION p3 VALUES LESS THAN (30)) DISTRIBUTED BY HASH (k) BUCKETS 1`;
    await show.run(`${ddl('customer')}; ${ddl('supplier')}; ${ddl('never')}`);
    const customer = await show.table('d', 'customer');
    const supplier = await show.table('d', 'supplier');
    if (backend === undefined) throw new Error('no backend');
    // One partition of supplier is the hottest of all, but customer as a whole is hotter.
    await show.accesses(backend, customer, { p1: 50, p3: 70 });
    await show.accesses(backend, supplier, { p2: 80 });
    expect(await show.text("SHOW CACHE HOTSPOT '/'")).toEqual([
      'ComputeGroupId | ComputeGroupName | TableId | TableName',
      `${backend.computeGroupId} | used | ${customer.tableId} | d.customer`,
    ]);
    const perTable = await show.rows("SHOW CACHE HOTSPOT '/used'");
    expect(perTable.rows.map((row) => [row[1], row[3]])).toEqual([
      ['d.customer', 'p3'],
      ['d.supplier', 'p2'],
    ]);
    expect((await show.rows("SHOW CACHE HOTSPOT '/used/d.customer'")).rows).toEqual([
      [String(customer.partitions[2]?.partitionId), 'p3'],
      [String(customer.partitions[0]?.partitionId), 'p1'],
    ]);
    expect((await show.rows("SHOW CACHE HOTSPOT '/unused'")).rows).toEqual([]);
    expect((await show.rows("SHOW CACHE HOTSPOT '/used/d.never'")).rows).toEqual([]);
    await show.run('DROP TABLE customer');
    expect((await show.rows("SHOW CACHE HOTSPOT '/'")).rows).toHaveLength(1);
  });

  it('says what is wrong with a path', async () => {
    expect(await show.error("SHOW CACHE HOTSPOT '/nope'")).toMatch(/^1105 Compute group nope/);
    expect(await show.error("SHOW CACHE HOTSPOT 'g'")).toMatch(/^1105 Invalid path 'g'/);
    expect(await show.error("SHOW CACHE HOTSPOT '/g/d.t/x'")).toMatch(/^1105 Invalid path/);
  });
});
