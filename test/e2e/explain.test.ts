/** EXPLAIN of queries, as tools read it. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { ServerProcess } from './server_process.ts';
import { csvLines, loadRows } from './warm_up_steps.ts';

let server: ServerProcess;

beforeAll(async () => {
  server = await ServerProcess.start();
  await server.sql('CREATE DATABASE d');
  await server.sql(`CREATE TABLE d.t (id INT, name STRING) DUPLICATE KEY(id)
    PARTITION BY RANGE(id) (PARTITION p1 VALUES LESS THAN (2000), PARTITION p2 VALUES LESS THAN (4000))
    DISTRIBUTED BY HASH(id) BUCKETS 4`);
  await loadRows(server, 'd.t', {
    text: csvLines(0, 1000, 10),
    headers: { column_separator: ',' },
  });
  await server.sql('USE d');
});
afterAll(async () => {
  await server.stop();
});

const COLUMNS =
  'id select_type table partitions type possible_keys key key_len ref rows filtered Extra';

describe('EXPLAIN', () => {
  it('has the columns of MySQL, and says what is read from where', async () => {
    const [row, ...others] = await server.sql(
      'EXPLAIN SELECT name FROM t WHERE id = 7 ORDER BY name',
    );
    expect(others).toEqual([]);
    expect(Object.keys(row ?? {})).toEqual(COLUMNS.split(' '));
    expect(row).toMatchObject({ id: 1, select_type: 'SIMPLE', table: 't', type: 'ALL', key: null });
    // One bucket of the one partition that has rows.
    expect(row?.['partitions']).toBe('p1');
    expect(Number(row?.['rows'])).toBeLessThan(1000);
    expect(row?.['Extra']).toMatch(
      /^Using where; Using filesort; tablets=1\/8; bytes=[\d.]+ \w+; compute group=write_group; backends=\d+@[\d.]+:\d+\(1\); columns=id, name; predicates=id = 7; streamed$/,
    );
  });

  it('explains DESC, joins, tables of the server and queries without tables', async () => {
    const joined = await server.sql(
      'DESC SELECT a.id FROM t a JOIN t b ON a.id = b.id GROUP BY a.id',
    );
    expect(joined.map((row) => [row['table'], row['rows']])).toEqual([['t', 1000]]);
    expect(String(joined[0]?.['Extra'])).toContain('; copied');
    const [schema] = await server.sql('EXPLAIN SELECT * FROM information_schema.tables');
    expect(schema).toMatchObject({ table: 'TABLES', rows: null, Extra: 'rows made in memory' });
    const [constant] = await server.sql('EXPLAIN SELECT 1');
    expect(constant).toMatchObject({ table: null, Extra: 'No tables used' });
  });

  it('has the other formats', async () => {
    const [tree] = await server.sql('EXPLAIN FORMAT=TREE SELECT COUNT(*) FROM t');
    expect(tree?.['EXPLAIN']).toMatch(/^-> SCAN d\.t\n-> Scan d\.t\n/);
    const [json] = await server.sql('EXPLAIN FORMAT=JSON SELECT id FROM t WHERE id < 5');
    const { query_block: block } = JSON.parse(String(json?.['EXPLAIN'])) as {
      query_block: { select_id: number; table: { table_name: string; attached_condition: string } };
    };
    expect(block).toMatchObject({
      select_id: 1,
      table: { table_name: 't', attached_condition: 'id < 5', rows_examined_per_scan: 1000 },
    });
    const [analyzed] = await server.sql('EXPLAIN ANALYZE SELECT id FROM t LIMIT 3');
    expect(analyzed?.['EXPLAIN']).toMatch(/^-> 3 rows in [\d.]+ ms\n/);
    await expect(server.sql('EXPLAIN FORMAT=XML SELECT 1')).rejects.toMatchObject({ errno: 1791 });
  });

  it('fails as the query would', async () => {
    await expect(server.sql('EXPLAIN SELECT x FROM t')).rejects.toMatchObject({ errno: 1054 });
    await expect(server.sql('EXPLAIN SELECT 1 FROM no')).rejects.toMatchObject({ errno: 1146 });
  });

  it('of a table is DESCRIBE', async () => {
    const rows = await server.sql('EXPLAIN t');
    expect(rows.map((row) => row['Field'])).toEqual(['id', 'name']);
    expect(await server.sql('DESC t id')).toHaveLength(1);
  });
});
