import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { BackendDef } from '../../../base/schema.ts';
import { ShowFixture } from './fixture.ts';

const DAY_MS = 86_400_000;
const RULE = `"dynamic_partition.time_unit" = "DAY", "dynamic_partition.end" = "1", "dynamic_partition.prefix" = "p"`;

/** The fixture's clock stands at noon of January 10, 2026. */
let fixture: ShowFixture;
beforeEach(async () => {
  fixture = await ShowFixture.open();
  await fixture.run('CREATE DATABASE dyn');
  await fixture.run('USE dyn');
});
afterEach(async () => {
  await fixture.close();
});

const create = (properties: string, column = 'dt DATE'): string =>
  `CREATE TABLE t (${column}, v INT) DUPLICATE KEY(dt) PARTITION BY RANGE(dt) ()
   DISTRIBUTED BY HASH(dt) BUCKETS 2 PROPERTIES (${properties})`;

async function partitions(table = 't'): Promise<string[]> {
  const rows = await fixture.objects(`SHOW PARTITIONS FROM ${table}`);
  return rows.map(
    ({ PartitionName: name, Buckets: buckets }) => `${String(name)} ${String(buckets)}`,
  );
}

async function status(): Promise<Record<string, unknown>> {
  const [row] = await fixture.objects('SHOW DYNAMIC PARTITION TABLES');
  return row ?? {};
}

describe('a table with dynamic partitions', () => {
  it('has its first ones at once, and says what it was told', async () => {
    await fixture.run(create(`${RULE}, "dynamic_partition.buckets" = "3"`));
    expect(await partitions()).toEqual(['p20260110 3', 'p20260111 3']);
    expect(await status()).toMatchObject({
      TableName: 't',
      Enable: 'true',
      TimeUnit: 'DAY',
      Start: '-2147483648',
      End: '1',
      Prefix: 'p',
      Buckets: '3',
      StartOf: 'N/A',
      State: 'NORMAL',
      LastSchedulerTime: null,
      ReservedHistoryPeriods: 'NULL',
    });
    const [shown] = await fixture.objects('SHOW CREATE TABLE t');
    expect(shown?.['Create Table']).toContain('"dynamic_partition.time_unit" = "DAY"');
  });

  it('gets and loses partitions as days go by', async () => {
    await fixture.run(create(`${RULE}, "dynamic_partition.start" = "-1"`));
    fixture.clock.ms += 2 * DAY_MS;
    await fixture.services.dynamicPartitions.round();
    expect(await partitions()).toEqual(['p20260111 2', 'p20260112 2', 'p20260113 2']);
    expect(await status()).toMatchObject({
      LastUpdateTime: '2026-01-12 12:00:00',
      LastSchedulerTime: '2026-01-12 12:00:00',
    });
    fixture.clock.ms += 3_600_000;
    await fixture.services.dynamicPartitions.round();
    expect(await partitions()).toHaveLength(3);
    expect(await status()).toMatchObject({
      LastUpdateTime: '2026-01-12 12:00:00',
      LastSchedulerTime: '2026-01-12 13:00:00',
    });
  });

  it('is changed by ALTER TABLE, at once', async () => {
    await fixture.run(create(RULE));
    await fixture.run('ALTER TABLE t SET ("dynamic_partition.end" = "3")');
    expect(await partitions()).toHaveLength(4);
    await fixture.run(
      'ALTER TABLE t SET ("dynamic_partition.create_history_partition" = "true", "dynamic_partition.start" = "-2")',
    );
    expect((await partitions())[4]).toBe('p20260108 2');
    expect(await fixture.error('ALTER TABLE t SET ("dynamic_partition.end" = "0")')).toMatch(
      /^1105 .*dynamic_partition\.end.*1 to/,
    );
  });

  it('takes no partition from people, and gives none, until it is switched off', async () => {
    await fixture.run(create(RULE));
    const add = `ALTER TABLE t ADD PARTITION old VALUES [("2020-01-01"), ("2020-01-02"))`;
    const refused = 'ALTER TABLE t SET ("dynamic_partition.enable" = "false")';
    expect(await fixture.error(add)).toContain(refused.replace('TABLE t', 'TABLE t'));
    expect(await fixture.error('ALTER TABLE t DROP PARTITION p20260110')).toContain(refused);
    await fixture.run(refused);
    await fixture.run(add);
    await fixture.run('ALTER TABLE t DROP PARTITION p20260110');
    fixture.clock.ms += DAY_MS;
    await fixture.services.dynamicPartitions.round();
    expect(await partitions()).toEqual(['p20260111 2', 'old 2']);
    expect(await status()).toMatchObject({ Enable: 'false' });
    await fixture.run('ALTER TABLE t SET ("dynamic_partition.enable" = "true")');
    expect(await partitions()).toEqual(['p20260111 2', 'old 2', 'p20260112 2']);
  });

  it('can become one later, also when it has partitions', async () => {
    await fixture.run(`CREATE TABLE t (dt DATETIME, v INT) PARTITION BY RANGE(dt)
      (PARTITION a VALUES [("2026-01-01"), ("2026-01-11"))) DISTRIBUTED BY HASH(v) BUCKETS 1`);
    expect(await fixture.error('ALTER TABLE t SET ("dynamic_partition.enable" = "true")')).toMatch(
      /Must assign dynamic_partition.time_unit properties/,
    );
    await fixture.run(`ALTER TABLE t SET (${RULE})`);
    expect(await partitions()).toEqual(['a 1', 'p20260111 1']);
  });

  it('says why partitions could not be made, and goes on', async () => {
    await fixture.run(`CREATE TABLE t (dt DATE, v INT) PARTITION BY RANGE(dt)
      (PARTITION p20260112 VALUES [("2020-01-01"), ("2020-01-02"))) DISTRIBUTED BY HASH(v) BUCKETS 1
      PROPERTIES (${RULE})`);
    fixture.clock.ms += DAY_MS;
    await fixture.services.dynamicPartitions.round();
    expect(await status()).toMatchObject({
      State: 'ERROR',
      LastCreatePartitionMsg: 'Duplicate partition name p20260112',
    });
  });

  it('shows to who may see it, in information_schema too', async () => {
    await fixture.run(create(RULE));
    const sql = 'SELECT DbName, TableName, `End` FROM information_schema.dynamic_partition_tables';
    expect(await fixture.text(sql)).toEqual(['DbName | TableName | End', 'dyn | t | 1']);
    await fixture.run('CREATE DATABASE other');
    expect(await fixture.text('SHOW DYNAMIC PARTITION TABLES FROM other')).toHaveLength(1);
    expect(await fixture.error('SHOW DYNAMIC PARTITION TABLES FROM nowhere')).toMatch(/^1049 /);
  });
});

describe('a replicated table with dynamic partitions', () => {
  let backends: readonly BackendDef[];
  beforeEach(async () => {
    backends = await fixture.group('g', [1, 2]);
    await fixture.run(`CREATE RESOURCE r PROPERTIES("type" = "local",
      "local.root.path" = "${fixture.dir}/bucket");
      CREATE STORAGE POLICY hot PROPERTIES("storage_resource" = "r", "cooldown_ttl" = "60")`);
  });

  it('gives them replicas and a policy', async () => {
    await fixture.run(
      create(`${RULE}, "replication_num" = "1", "dynamic_partition.storage_policy" = "hot",
        "dynamic_partition.replication_allocation" = "tag.location.default: 2"`),
    );
    fixture.clock.ms += DAY_MS;
    fixture.beat(backends);
    await fixture.services.dynamicPartitions.round();
    const rows = await fixture.objects('SHOW PARTITIONS FROM t');
    expect(rows.map((row) => [row['ReplicationNum'], row['RemoteStoragePolicy']])).toEqual([
      ['2', 'hot'],
      ['2', 'hot'],
      ['2', 'hot'],
    ]);
    expect(await status()).toMatchObject({
      ReplicationNum: '2',
      ReplicaAllocation: 'tag.location.g: 2',
    });
    const unknown = 'ALTER TABLE t SET ("dynamic_partition.storage_policy" = "none")';
    expect(await fixture.error(unknown)).toMatch(/none/);
  });

  it('gets them when its backends are there again', async () => {
    await fixture.run(create(`${RULE}, "replication_num" = "2"`));
    fixture.clock.ms += DAY_MS;
    await fixture.services.dynamicPartitions.round();
    expect(await partitions()).toHaveLength(2);
    expect(await status()).toMatchObject({ State: 'ERROR', LastDropPartitionMsg: 'N/A' });
    fixture.beat(backends);
    await fixture.services.dynamicPartitions.round();
    expect(await partitions()).toHaveLength(3);
    expect(await status()).toMatchObject({ State: 'NORMAL', LastCreatePartitionMsg: 'N/A' });
  });

  it('has its own policy in all of them', async () => {
    await fixture.run(create(`${RULE}, "replication_num" = "1", "storage_policy" = "hot"`));
    fixture.clock.ms += DAY_MS;
    fixture.beat(backends);
    await fixture.services.dynamicPartitions.round();
    const rows = await fixture.objects('SHOW PARTITIONS FROM t');
    expect(rows.map((row) => row['RemoteStoragePolicy'])).toEqual(['hot', 'hot', 'hot']);
  });
});

describe('CREATE TABLE refuses', () => {
  it.each([
    [
      '"dynamic_partition.time_unit" = "DAY", "dynamic_partition.prefix" = "p"',
      /Must assign dynamic_partition.end properties/,
    ],
    [`${RULE}, "dynamic_partition.start" = "1"`, /dynamic_partition\.start/],
    [`${RULE}, "dynamic_partition.time_zone" = "Nowhere"`, /time_zone.*Europe\/Berlin/],
    [`${RULE}, "dynamic_partition.strat" = "-1"`, /did you mean 'dynamic_partition.start'/],
    [
      `${RULE}, "dynamic_partition.create_history_partition" = "true"`,
      /Provide start or history_partition_num/,
    ],
    [
      `${RULE}, "dynamic_partition.create_history_partition" = "true", "dynamic_partition.start" = "-1000"`,
      /Too many dynamic partitions: 1002. Limit: 500/,
    ],
    [`${RULE}, "dynamic_partition.reserved_history_periods" = "x"`, /reserved_history_periods/],
    [RULE.replace('DAY', 'HOUR'), /HOUR needs a DATETIME column, 'dt' is DATE/],
    [RULE.replace('DAY', 'DECADE'), /HOUR, DAY, WEEK, MONTH, YEAR/],
  ])('%s', async (properties, message) => {
    expect(await fixture.error(create(properties))).toMatch(message);
    expect(await fixture.text('SHOW TABLES')).toHaveLength(1);
  });

  it('tables that are not ranges of one column', async () => {
    const text = `CREATE TABLE t (a INT) DISTRIBUTED BY HASH(a) BUCKETS 1 PROPERTIES (${RULE})`;
    expect(await fixture.error(text)).toMatch(/only support single-column range partition/);
  });
});
