/** Replicated tables on a real server with embedded backends, some of which die. */
import Database from 'better-sqlite3';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { ServerProcess, until } from './server_process.ts';
import { backendsOf, loadRows } from './warm_up_steps.ts';

/** A slow machine is no dead backend. */
const PATIENT = ['--set', 'max_backend_heartbeat_failure_tolerance_count=50'];

const TWO_PARTITIONS = `PARTITION BY RANGE(k)
  (PARTITION p1 VALUES LESS THAN ("100"), PARTITION p2 VALUES LESS THAN ("1000"))
  DISTRIBUTED BY HASH(k) BUCKETS 3`;

let server: ServerProcess;

beforeAll(async () => {
  server = await ServerProcess.start({
    args: ['--embedded', 'g=3,h=1', '--set', 'heartbeat_interval_ms=100', ...PATIENT],
  });
  await server.sql('CREATE DATABASE d');
});

afterAll(async () => {
  await server.stop();
});

async function backendIds(): Promise<string[]> {
  return (await backendsOf(server, 'g')).map((row) => String(row['BackendId']));
}

async function keys(table: string): Promise<number[]> {
  return (await server.sql(`SELECT k FROM ${table} ORDER BY k`)).map((row) => Number(row['k']));
}

async function alive(backendId: string): Promise<boolean> {
  const rows = await server.sql(`SHOW BACKENDS WHERE BackendId = ${backendId}`);
  return String(rows[0]?.['Alive']) === 'true';
}

/** Directories of tablets that backends have, by backend. */
function localTablets(backendId: string): string[] {
  try {
    return readdirSync(join(server.dataDir, 'backends', backendId, 'storage', 'data'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

function replicaRows(): { readonly state: string; readonly missing_from: number | null }[] {
  const database = new Database(join(server.dataDir, 'catalog.db'), { readonly: true });
  try {
    const found = database.prepare('SELECT state, missing_from FROM replica').all();
    return found as { state: string; missing_from: number | null }[];
  } finally {
    database.close();
  }
}

describe('a table with three replicas', () => {
  it('has loads by INSERT and stream load, and answers SELECT from any group', async () => {
    await server.sql(`CREATE TABLE d.t (k INT, v VARCHAR(20)) DUPLICATE KEY(k)
      ${TWO_PARTITIONS} PROPERTIES("replication_num"="3")`);
    await server.sql("INSERT INTO d.t VALUES (1, 'a'), (2, 'b'), (200, 'c')");
    const text = Array.from({ length: 50 }, (_, at) => `${at + 300},x${at}`).join('\n');
    const headers = { column_separator: ',', label: 'once' };
    await loadRows(server, 'd.t', { text, headers });
    await expect(loadRows(server, 'd.t', { text, headers })).rejects.toThrow(
      'Label Already Exists',
    );
    expect(await keys('d.t')).toHaveLength(53);
    await server.sql('USE @h');
    const [row] = await server.sql('SELECT COUNT(*) AS n, MAX(v) AS m FROM d.t WHERE k < 300');
    expect(row).toEqual({ n: 3, m: 'c' });
    await server.sql('USE @g');
  });

  it('says in SHOW CREATE TABLE what makes it again', async () => {
    const row = await server.row('SHOW CREATE TABLE d.t');
    const text = String(row['Create Table']);
    expect(text).toContain('"replication_num" = "3"');
    expect(text).toContain('"resource_group" = "g"');
    await server.sql('USE d');
    await server.sql(text.replace('`t`', '`again`'));
    const again = String((await server.row('SHOW CREATE TABLE d.again'))['Create Table']);
    expect(again.replace('`again`', '`t`')).toBe(text);
    await server.sql('DROP TABLE d.again FORCE');
    const partitions = await server.sql('SHOW PARTITIONS FROM d.t');
    expect(partitions.map((one) => String(one['ReplicationNum']))).toEqual(['3', '3']);
  });

  it('goes on with two backends, and does not load with one', async () => {
    const [first = '', second = ''] = await backendIds();
    await server.sql(`ALTER SYSTEM KILL BACKEND '${first}'`);
    expect(await keys('d.t')).toHaveLength(53);
    await server.sql("INSERT INTO d.t VALUES (3, 'd')");
    expect(await keys('d.t')).toContain(3);
    expect(replicaRows().some((row) => row.missing_from === 3)).toBe(true);
    await server.sql(`ALTER SYSTEM KILL BACKEND '${second}'`);
    expect(await keys('d.t')).toHaveLength(54);
    const error = await server.error("INSERT INTO d.t VALUES (4, 'e')");
    expect(error.message).toMatch(/could be written on 1 of 3 replicas, 2 are needed/);
    expect(await keys('d.t')).not.toContain(4);
  });

  it('has everything after a restart, and all of its backends have no leftovers', async () => {
    await server.kill9();
    await server.launch();
    expect(await keys('d.t')).toHaveLength(54);
    await until('all backends', async () =>
      (await Promise.all((await backendIds()).map(alive))).every(Boolean),
    );
    await server.sql("INSERT INTO d.t VALUES (5, 'f')");
    expect(await keys('d.t')).toHaveLength(55);
  });

  it('loses partitions on all backends with TRUNCATE, DROP PARTITION and DROP TABLE', async () => {
    await server.sql('TRUNCATE TABLE d.t PARTITION(p2)');
    expect(await keys('d.t')).toEqual([1, 2, 3, 5]);
    await server.sql("INSERT INTO d.t VALUES (222, 'g')");
    expect(await keys('d.t')).toEqual([1, 2, 3, 5, 222]);
    await server.sql('ALTER TABLE d.t ADD PARTITION p3 VALUES LESS THAN ("2000")');
    await server.sql("INSERT INTO d.t VALUES (1500, 'h')");
    await server.sql('ALTER TABLE d.t DROP PARTITION p1');
    expect(await keys('d.t')).toEqual([222, 1500]);
    await server.sql('DROP TABLE d.t FORCE');
    await until('no replica', () => replicaRows().length === 0);
    for (const backendId of await backendIds()) {
      await until('no local files', () => localTablets(backendId).length === 0);
    }
  });
});

describe('replicas', () => {
  it('need as many backends', async () => {
    const create = `CREATE TABLE d.wide (k INT) DISTRIBUTED BY HASH(k) BUCKETS 1`;
    const error = await server.error(`${create} PROPERTIES("replication_num"="4")`);
    expect(error.message).toBe(
      'Failed to find enough backend, please check the replication num: ' +
        '4 replicas wanted, compute group g has 3 enabled backends',
    );
    const other = `${create} PROPERTIES("replication_num"="2", "resource_group"="h")`;
    expect((await server.error(other)).message).toContain('compute group h has 1 enabled backends');
    expect((await server.error('SHOW CREATE TABLE d.wide')).errno).toBe(1146);
    await until('no replica', () => replicaRows().length === 0);
  });

  it('default to three, or to as many as there are backends', async () => {
    const create = `CREATE TABLE d.small (k INT) DISTRIBUTED BY HASH(k) BUCKETS 1`;
    await server.sql(`${create} PROPERTIES("resource_group"="h")`);
    const text = String((await server.row('SHOW CREATE TABLE d.small'))['Create Table']);
    expect(text).toContain('"replication_num" = "1"');
    expect(text).toContain('"resource_group" = "h"');
    await server.sql('INSERT INTO d.small VALUES (1)');
    expect(await keys('d.small')).toEqual([1]);
    await server.sql('DROP TABLE d.small');
  });

  it('can be allocated in the words of Doris, per partition too', async () => {
    await server.sql(`CREATE TABLE d.a (k INT) PARTITION BY RANGE(k)
      (PARTITION p1 VALUES LESS THAN ("10") ("replication_num"="1"),
       PARTITION p2 VALUES LESS THAN ("20"))
      DISTRIBUTED BY HASH(k) BUCKETS 1
      PROPERTIES("replication_allocation"="tag.location.default: 2")`);
    const shown = async (): Promise<string[]> =>
      (await server.sql('SHOW PARTITIONS FROM d.a')).map((row) => String(row['ReplicationNum']));
    expect(await shown()).toEqual(['1', '2']);
    await server.sql(`ALTER TABLE d.a ADD PARTITION p3 VALUES LESS THAN ("30")
      ("replication_num"="3")`);
    expect(await shown()).toEqual(['1', '2', '3']);
    await server.sql('ALTER TABLE d.a SET ("default.replication_num"="1")');
    await server.sql('ALTER TABLE d.a ADD PARTITION p4 VALUES LESS THAN ("40")');
    expect(await shown()).toEqual(['1', '2', '3', '1']);
    await server.sql('CREATE TABLE d.b LIKE d.a');
    await server.sql('INSERT INTO d.b VALUES (1), (11), (21)');
    expect(await keys('d.b')).toEqual([1, 11, 21]);
    await server.sql('DROP TABLE d.a, d.b');
  });

  it('do not have what rewrites or merges rowsets', async () => {
    await server.sql(`CREATE TABLE d.n (k INT, v INT) DISTRIBUTED BY HASH(k) BUCKETS 1
      PROPERTIES("replication_num"="2")`);
    for (const statement of [
      'ALTER TABLE d.n ADD COLUMN w INT',
      'ALTER TABLE d.n ADD ROLLUP r (k)',
      'ALTER TABLE d.n COMPACT',
      'WARM UP COMPUTE GROUP h WITH TABLE d.n',
    ]) {
      expect((await server.error(statement)).errno).toBe(1235);
    }
    await server.sql('ALTER TABLE d.n RENAME COLUMN v u');
    await server.sql('INSERT INTO d.n VALUES (1, 2)');
    expect(await server.sql('SELECT k, u FROM d.n')).toEqual([{ k: 1, u: 2 }]);
    await server.sql('DROP TABLE d.n');
  });
});

describe('storage policies of tables', () => {
  const policyOf = async (): Promise<string[]> =>
    (await server.sql('SHOW PARTITIONS FROM d.c')).map((row) => String(row['RemoteStoragePolicy']));

  beforeAll(async () => {
    for (const name of ['r', 'other']) {
      const path = join(server.dataDir, name);
      mkdirSync(path);
      await server.sql(`CREATE RESOURCE ${name}
        PROPERTIES("type"="local", "local.root.path"="${path}")`);
    }
    for (const [name, resource] of [
      ['p', 'r'],
      ['q', 'r'],
      ['far', 'other'],
    ]) {
      await server.sql(`CREATE STORAGE POLICY ${name}
        PROPERTIES("storage_resource"="${resource}", "cooldown_ttl"="1d")`);
    }
  });

  it('are bound by CREATE TABLE, the table before its partitions', async () => {
    const create = (table: string, partition: string): string =>
      `CREATE TABLE d.c (k INT) PARTITION BY RANGE(k)
        (PARTITION p1 VALUES LESS THAN ("10") ${partition}, PARTITION p2 VALUES LESS THAN ("20"))
        DISTRIBUTED BY HASH(k) BUCKETS 1 PROPERTIES("replication_num"="2"${table})`;
    const missing = ', "storage_policy"="nosuch"';
    const unknown = 'Storage policy does not exist. name: nosuch';
    expect((await server.error(create(missing, ''))).message).toBe(unknown);
    expect((await server.error(create('', '("storage_policy"="nosuch")'))).message).toBe(unknown);
    await server.sql(create('', '("storage_policy"="p")'));
    expect(await policyOf()).toEqual(['p', '']);
    await server.sql('DROP TABLE d.c');
    await server.sql(create(', "storage_policy"="p"', '("storage_policy"="q")'));
    expect(await policyOf()).toEqual(['p', 'p']);
  });

  it('change within a resource, and are taken away', async () => {
    await server.sql('ALTER TABLE d.c MODIFY PARTITION (p1) SET ("storage_policy"="q")');
    expect(await policyOf()).toEqual(['q', 'p']);
    await server.sql('TRUNCATE TABLE d.c');
    await server.sql('ALTER TABLE d.c ADD PARTITION p3 VALUES LESS THAN ("30")');
    expect(await policyOf()).toEqual(['q', 'p', 'p']);
    expect((await server.error('ALTER TABLE d.c SET ("storage_policy"="far")')).message).toBe(
      'currently do not support change origin storage policy to another one with different resource',
    );
    await server.sql('ALTER TABLE d.c MODIFY PARTITION (*) SET ("storage_policy"="q")');
    expect(await policyOf()).toEqual(['q', 'q', 'q']);
    expect((await server.error('DROP STORAGE POLICY q')).message).toContain('is used by table: c');
    await server.sql('ALTER TABLE d.c SET ("storage_policy"="")');
    expect(await policyOf()).toEqual(['', '', '']);
  });

  it('are gone with their resource only when no data can lie there', async () => {
    await server.sql('DROP STORAGE POLICY p');
    await server.sql('DROP STORAGE POLICY q');
    expect((await server.error('DROP RESOURCE r')).message).toMatch(
      /^cooled data lies in resource r: of partition p\d of table c$/,
    );
    // The data of a dropped table is deleted later, and the resource is gone with it.
    await server.sql('DROP TABLE d.c FORCE');
    await server.sql('DROP RESOURCE r');
    expect(await server.sql('SHOW RESOURCES WHERE NAME = "r"')).toEqual([]);
  });
});
