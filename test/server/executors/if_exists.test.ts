/** IF EXISTS, IF NOT EXISTS and errors of statements, when another session is faster. */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { ShowFixture } from './fixture.ts';

/** One that is not tried out. */
const S3 = `PROPERTIES("type"="s3", "s3.endpoint"="http://127.0.0.1:1", "s3.region"="r", "s3.bucket"="b",
  "s3.root.path"="p", "s3.access_key"="a", "s3.secret_key"="s", "s3_validity_check"="false")`;

let show: ShowFixture;
beforeEach(async () => {
  show = await ShowFixture.open();
  await show.group('g', [1]);
  await show.run(`CREATE DATABASE d; USE d;
    CREATE RESOURCE r PROPERTIES("type" = "local", "local.root.path" = "${show.dir}/bucket")`);
});
afterEach(async () => {
  await show.services.cooldown.close();
  await show.close();
});

/** Both begin before either has done anything. */
async function twice(sql: string, other = sql): Promise<string[]> {
  return (await Promise.all([show.error(sql), show.error(other)])).toSorted();
}

describe('two sessions at once', () => {
  it.each([
    ['DATABASE', 'e', '', 1007, 1008],
    ['TABLE', 'd.t', '(k INT) DISTRIBUTED BY HASH(k) BUCKETS 1', 1050, 1051],
    ['RESOURCE', 'q', S3, 1105, 1105],
    ['STORAGE POLICY', 'p', 'PROPERTIES("storage_resource"="r", "cooldown_ttl"="1")', 1105, 1105],
  ])('create and drop a %s, and the clause holds for the slower one', async (...of) => {
    const [kind, name, rest, exists, unknown] = of;
    const body = `${name} ${rest}`;
    expect(await twice(`CREATE ${kind} IF NOT EXISTS ${body}`)).toEqual(['no error', 'no error']);
    expect(show.warnings()).toEqual([expect.stringContaining(`Note ${exists} `)]);
    expect(await twice(`DROP ${kind} IF EXISTS ${name}`)).toEqual(['no error', 'no error']);
    expect(show.warnings()).toEqual([expect.stringContaining(`Note ${unknown} `)]);
    expect((await twice(`CREATE ${kind} ${body}`))[0]).toMatch(new RegExp(`^${exists} `));
    const [, first] = (await twice(`DROP ${kind} ${name}`)).toReversed();
    expect(first).toMatch(new RegExp(`^${unknown} `));
    expect(first).toContain(name);
  });

  it('create a table like another', async () => {
    await show.run('CREATE TABLE t (k INT) DISTRIBUTED BY HASH(k) BUCKETS 1');
    const sql = 'CREATE TABLE IF NOT EXISTS u LIKE t';
    expect(await twice(sql)).toEqual(['no error', 'no error']);
    expect(show.warnings()).toEqual(["Note 1050 Table 'u' already exists"]);
  });

  it('truncate the same table', async () => {
    await show.run(`CREATE TABLE t (k INT) PARTITION BY RANGE(k) (PARTITION a VALUES LESS THAN (1))
      DISTRIBUTED BY HASH(k) BUCKETS 1`);
    expect(await twice('TRUNCATE TABLE t')).toEqual(['no error', 'no error']);
    expect(await show.error('TRUNCATE TABLE t PARTITION (b)')).toMatch(
      /^1735 Unknown partition 'b'/,
    );
  });

  it('truncate a table and drop it', async () => {
    await show.run('CREATE TABLE t (k INT) DISTRIBUTED BY HASH(k) BUCKETS 1');
    expect(await twice('DROP TABLE t', 'TRUNCATE TABLE t')).toEqual([
      "1051 Unknown table 'd.t'",
      'no error',
    ]);
  });
});
