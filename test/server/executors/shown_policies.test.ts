/** What SHOW CREATE TABLE says of policies makes the same table again. */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { ShowFixture } from './fixture.ts';

let fixture: ShowFixture;
beforeEach(async () => {
  fixture = await ShowFixture.open();
  await fixture.group('g', [1, 2]);
  await fixture.run('CREATE DATABASE d');
  await fixture.run(`CREATE RESOURCE r PROPERTIES("type" = "s3",
    "s3.endpoint" = "http://127.0.0.1:1", "s3.region" = "bj", "s3.root.path" = "root",
    "s3.access_key" = "a", "s3.secret_key" = "s", "s3.bucket" = "b",
    "s3_validity_check" = "false")`);
  for (const name of ['p', 'q']) {
    await fixture.run(`CREATE STORAGE POLICY ${name}
      PROPERTIES("storage_resource" = "r", "cooldown_ttl" = "1d")`);
  }
});
afterEach(async () => {
  await fixture.close();
});

async function createTable(name: string, ofTable: string, ofPartition = ''): Promise<string> {
  return await fixture.error(`CREATE TABLE d.${name} (k INT) PARTITION BY RANGE(k)
    (PARTITION p1 VALUES LESS THAN ("10")${ofPartition}, PARTITION p2 VALUES LESS THAN ("20"))
    DISTRIBUTED BY HASH(k) BUCKETS 1 PROPERTIES("replication_num" = "1"${ofTable})`);
}

const shown = async (name: string): Promise<string> =>
  String((await fixture.rows(`SHOW CREATE TABLE d.${name}`)).rows[0]?.[1]);

/** Of the partitions, by SHOW PARTITIONS. */
async function policies(name: string): Promise<unknown[]> {
  const rows = await fixture.objects(`SHOW PARTITIONS FROM d.${name}`);
  return rows.map((row) => row['RemoteStoragePolicy']);
}

/** The table is made again of its text; what is shown then, and the policies. */
async function again(name: string): Promise<{ text: string; of: unknown[] }> {
  const text = await shown(name);
  await fixture.run(`DROP TABLE d.${name}`);
  await fixture.run(text.replace('CREATE TABLE ', 'CREATE TABLE d.'));
  return { text: await shown(name), of: await policies(name) };
}

describe('a policy that differs from the table’s', () => {
  it('is shown in the clause of its partition, and counts when that is read', async () => {
    await createTable('mixed', ', "storage_policy" = "p"');
    await fixture.run('ALTER TABLE d.mixed MODIFY PARTITION p2 SET ("storage_policy" = "q")');
    const text = await shown('mixed');
    expect(text).toContain(
      'VALUES [("10"), ("20")) ("storage_policy" = "q", "own_storage_policy" = "true")',
    );
    expect(await again('mixed')).toEqual({ text, of: ['p', 'q'] });
    await fixture.run('ALTER TABLE d.mixed ADD PARTITION p3 VALUES LESS THAN ("30")');
    expect(await policies('mixed')).toEqual(['p', 'q', 'p']);
  });

  it('may be none', async () => {
    await createTable('bare', ', "storage_policy" = "p"');
    await fixture.run('ALTER TABLE d.bare MODIFY PARTITION p1 SET ("storage_policy" = "")');
    const text = await shown('bare');
    expect(text).toContain('("storage_policy" = "", "own_storage_policy" = "true")');
    expect(await again('bare')).toEqual({ text, of: ['', 'p'] });
  });

  it('needs no more words when the table has none', async () => {
    await createTable('only', '', ' ("storage_policy" = "q")');
    const text = await shown('only');
    expect(text).toContain('("storage_policy" = "q")');
    expect(text).not.toContain('own_storage_policy');
    expect(await again('only')).toEqual({ text, of: ['q', ''] });
  });

  it('is the table’s in a table without partitions', async () => {
    await fixture.run(`CREATE TABLE d.whole (k INT) DISTRIBUTED BY HASH(k) BUCKETS 1
      PROPERTIES("replication_num" = "1", "storage_policy" = "p")`);
    await fixture.run('ALTER TABLE d.whole MODIFY PARTITION (*) SET ("storage_policy" = "q")');
    const text = await shown('whole');
    expect(text).toContain('"storage_policy" = "q"');
    expect(await again('whole')).toEqual({ text, of: ['q'] });
  });

  it('is copied by CREATE TABLE LIKE', async () => {
    await createTable('mixed', ', "storage_policy" = "p"');
    await fixture.run('ALTER TABLE d.mixed MODIFY PARTITION p2 SET ("storage_policy" = "q")');
    await fixture.run('CREATE TABLE d.copy LIKE d.mixed');
    expect(await policies('copy')).toEqual(['p', 'q']);
  });

  it('is the table’s without those words, as in Doris', async () => {
    await createTable('doris', ', "storage_policy" = "p"', ' ("storage_policy" = "q")');
    expect(await policies('doris')).toEqual(['p', 'p']);
  });

  it('is said with words that are understood, and only where they mean something', async () => {
    const odd = ' ("storage_policy" = "q", "own_storage_policy" = "yes")';
    expect(await createTable('odd', ', "storage_policy" = "p"', odd)).toMatch(/own_storage_policy/);
    const add = `ALTER TABLE d.mixed ADD PARTITION p3 VALUES LESS THAN ("30")
      ("own_storage_policy" = "true")`;
    await createTable('mixed', ', "storage_policy" = "p"');
    expect(await fixture.error(add)).toMatch(/own_storage_policy/);
  });
});
