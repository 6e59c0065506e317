import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { load } from '../../catalog/fixture.ts';
import { ShowFixture } from './fixture.ts';

const EVENTS = `CREATE TABLE events (
  id BIGINT NOT NULL COMMENT 'the key',
  kind VARCHAR(20) DEFAULT 'none',
  at DATETIME(3) DEFAULT CURRENT_TIMESTAMP,
  price DECIMAL(10,2)
) DUPLICATE KEY (id) COMMENT 'what happened'
PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN ('10'), PARTITION p1 VALUES LESS THAN (MAXVALUE))
DISTRIBUTED BY HASH (id) BUCKETS 2`;

let show: ShowFixture;
beforeEach(async () => {
  show = await ShowFixture.open();
  await show.run(`CREATE DATABASE d; USE d; ${EVENTS}; CREATE DATABASE empty`);
  await show.run('CREATE TABLE d.plain (a INT, b STRING) DISTRIBUTED BY HASH (a) BUCKETS 1');
});
afterEach(async () => {
  await show.close();
});

describe('SHOW DATABASES and SHOW TABLES', () => {
  it('lists the system databases with the others', async () => {
    expect(await show.text('SHOW DATABASES')).toEqual([
      'Database',
      '__internal_schema',
      'd',
      'empty',
      'information_schema',
      'mysql',
      'performance_schema',
    ]);
  });

  it('has the pattern in the column name, as MySQL', async () => {
    expect(await show.text("SHOW DATABASES LIKE 'e%'")).toEqual(['Database (e%)', 'empty']);
    expect(await show.text("SHOW TABLES LIKE '%ain'")).toEqual(['Tables_in_d (%ain)', 'plain']);
  });

  it('lists the tables of a database, of the session or named', async () => {
    expect(await show.text('SHOW TABLES')).toEqual(['Tables_in_d', 'events', 'plain']);
    expect(await show.text('SHOW TABLES FROM empty')).toEqual(['Tables_in_empty']);
    expect(await show.text('SHOW FULL TABLES FROM d')).toEqual([
      'Tables_in_d | Table_type',
      'events | BASE TABLE',
      'plain | BASE TABLE',
    ]);
    // What dumps go by does not have what could not be made again.
    for (const [at, database] of ['__internal_schema', 'mysql'].entries()) {
      await show.run(`USE ${database}`);
      expect(await show.text('SHOW TABLES')).toEqual([`Tables_in_${database}`]);
      const tables = await show.text(`SHOW TABLES FROM ${database}`);
      expect(tables).toContain(['cloud_cache_hotspot', 'tables_priv'][at]);
    }
    await show.run('USE d');
    expect(await show.text('SHOW FULL TABLES FROM __internal_schema')).toEqual([
      'Tables_in___internal_schema | Table_type',
      'cloud_cache_hotspot | SYSTEM VIEW',
    ]);
    expect(await show.text("SHOW FULL TABLES FROM mysql LIKE 'user'")).toEqual([
      'Tables_in_mysql (user) | Table_type',
      'user | SYSTEM VIEW',
    ]);
    expect(await show.text('SHOW CREATE TABLE mysql.db')).toEqual([
      'Table | Create Table',
      expect.stringMatching(/^db \| CREATE TABLE `db` \(\n {2}`Host` varchar\(512\) NOT NULL,/),
    ]);
    expect(await show.text("SHOW FULL TABLES FROM information_schema LIKE 'warm%'")).toEqual([
      'Tables_in_information_schema (warm%) | Table_type',
      'warm_up_job_failures | SYSTEM VIEW',
      'warm_up_job_runs | SYSTEM VIEW',
      'warm_up_jobs | SYSTEM VIEW',
    ]);
    expect(await show.error('SHOW TABLES FROM nowhere')).toBe("1049 Unknown database 'nowhere'");
    show.session.database = '';
    expect(await show.error('SHOW TABLES')).toBe('1046 No database selected');
  });

  it('understands WHERE, ORDER BY and LIMIT', async () => {
    expect(await show.text("SHOW TABLES WHERE Tables_in_d = 'plain'")).toHaveLength(2);
    const byName = 'SHOW DATABASES WHERE `Database` IN ("d", "mysql") ORDER BY 1 DESC LIMIT 1';
    expect(await show.text(byName)).toEqual(['Database', 'mysql']);
    expect(await show.error('SHOW DATABASES WHERE nope = 1')).toMatch(
      /^1054 Unknown column 'nope'/,
    );
  });
});

describe('SHOW COLUMNS, DESCRIBE and SHOW INDEX', () => {
  it('has six columns', async () => {
    const expected = [
      'Field | Type | Null | Key | Default | Extra',
      'id | bigint | NO | MUL | null | ',
      'kind | varchar(20) | YES |  | none | ',
      'at | datetime(3) | YES |  | CURRENT_TIMESTAMP | ',
      'price | decimal(10,2) | YES |  | null | ',
    ];
    expect(await show.text('SHOW COLUMNS FROM events')).toEqual(expected);
    expect(await show.text('DESC d.events')).toEqual(expected);
  });

  it('has nine with FULL, and filters', async () => {
    expect(await show.text("SHOW FULL COLUMNS FROM events WHERE Field = 'id'")).toEqual([
      'Field | Type | Collation | Null | Key | Default | Extra | Privileges | Comment',
      'id | bigint | null | NO | MUL | null |  | select,insert,update,references | the key',
    ]);
    expect(await show.text('DESC events price')).toHaveLength(2);
    expect(await show.text("SHOW COLUMNS FROM plain FROM d LIKE 'b'")).toEqual([
      'Field | Type | Null | Key | Default | Extra',
      'b | text | YES |  | null | ',
    ]);
  });

  it('describes the system tables', async () => {
    const [, first] = await show.text('DESC information_schema.WARM_UP_JOBS');
    expect(first).toBe('JobId | text | YES |  | null | ');
    const hotspot = await show.text('SHOW COLUMNS FROM __internal_schema.cloud_cache_hotspot');
    expect(hotspot).toHaveLength(15);
  });

  it('says what is not there', async () => {
    expect(await show.error('DESC nope')).toBe("1146 Table 'd.nope' doesn't exist");
    expect(await show.error('DESC x.y')).toBe("1049 Unknown database 'x'");
    expect(await show.error('DESC information_schema.nope')).toMatch(/^1146 /);
    expect(await show.error('DESC mysql.no')).toMatch(/^1146 /);
  });

  it('names the index with ALL', async () => {
    const [names, first] = await show.text('DESC plain ALL');
    expect(names).toBe('IndexName | IndexKeysType | Field | Type | Null | Key | Default | Extra');
    expect(first).toBe('plain | DUP_KEYS | a | int | YES | MUL | null | ');
  });

  it('shows the sort key as an index', async () => {
    const [key] = await show.objects('SHOW INDEX FROM events');
    expect(key).toMatchObject({
      Table: 'events',
      Non_unique: 1n,
      Key_name: 'duplicate_key',
      Seq_in_index: 1n,
      Column_name: 'id',
    });
  });
});

describe('SHOW TABLE STATUS', () => {
  it('knows rows and bytes of one database', async () => {
    await load(show.catalog, await show.table('d', 'events'), 1);
    const rows = await show.objects('SHOW TABLE STATUS FROM d');
    expect(rows.map(({ Name }) => Name)).toEqual(['events', 'plain']);
    expect(rows[0]).toMatchObject({ Engine: 'OLAP', Rows: 40n, Data_length: 400n });
    expect(rows[0]).toMatchObject({ Create_options: 'partitioned', Comment: 'what happened' });
    expect(await show.objects("SHOW TABLE STATUS LIKE 'pl%'")).toHaveLength(1);
    expect(await show.objects('SHOW TABLE STATUS FROM empty')).toEqual([]);
    expect(await show.objects('SHOW TABLE STATUS FROM __internal_schema')).toHaveLength(1);
  });
});

describe('what MySQL has and this server does not', () => {
  it.each([
    ['SHOW TRIGGERS', 'Trigger'],
    ['SHOW EVENTS', 'Db'],
    ['SHOW OPEN TABLES', 'Database'],
    ['SHOW PROCEDURE STATUS', 'Db'],
    ['SHOW FUNCTION STATUS', 'Db'],
    ['SHOW PLUGINS', 'Name'],
  ])('%s has no rows', async (sql, first) => {
    const { names, rows } = await show.rows(sql);
    expect(names[0]).toBe(first);
    expect(rows).toEqual([]);
  });
});
