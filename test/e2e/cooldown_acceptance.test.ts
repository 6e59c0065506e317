/**
 * Acceptance cases of cooldown as a user of Doris reads them: by the positions of columns, the
 * backends' HTTP, and what lies in the bucket. What is refused is in test/golden/e2e/cooldown_*.txt.
 */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { request } from 'undici';
import { type Row, ServerProcess, until } from './server_process.ts';

const SETTINGS = {
  generate_cooldown_task_interval_sec: '1',
  heartbeat_interval_ms: '200',
  // A slow machine is no dead backend.
  max_backend_heartbeat_failure_tolerance_count: '50',
  garbage_grace_ms: '0',
};
const SLOW_MS = 60_000;
/** Positions that Doris's own suites use. */
const LOCAL_SIZE = 8;
const REMOTE_SIZE = 9;
const META_URL = 17;
const COMPACTION = 18;
const LEADER = 19;
const META_ID = 20;
const REMOTE_POLICY = 12;

/** What `/api/compaction/show` answers. */
interface Rowsets {
  readonly rowsets: readonly string[];
  readonly missing_rowsets: readonly string[];
}

let server: ServerProcess;
let bucket: string;

beforeAll(async () => {
  server = await ServerProcess.start({ args: ['--embedded', 'g=3'], settings: SETTINGS });
  bucket = join(server.dataDir, 'bucket');
  await server.sql(
    `CREATE RESOURCE r PROPERTIES("type" = "local", "local.root.path" = "${bucket}")`,
  );
  for (const [name, ttl] of Object.entries({ soon: '1', never: '3650d', late: '1day' })) {
    await server.sql(
      `CREATE STORAGE POLICY ${name} PROPERTIES("storage_resource" = "r", "cooldown_ttl" = "${ttl}")`,
    );
  }
  await server.sql('CREATE DATABASE d');
}, SLOW_MS);
afterAll(async () => {
  await server?.stop();
});

async function create(name: string, properties: string, partitions = ''): Promise<void> {
  await server.sql(
    `CREATE TABLE d.${name} (k INT, v INT) ${partitions} DISTRIBUTED BY HASH(k) BUCKETS 1
     PROPERTIES(${properties})`,
  );
}

/** Rows by position, as scripts read them. */
async function cells(statement: string): Promise<(string | number | null)[][]> {
  const rows = await server.sql(statement);
  return rows.map((row) => Object.values(row));
}

async function untilCooled(name: string): Promise<(string | number | null)[][]> {
  let rows: (string | number | null)[][] = [];
  await until(
    `${name} to be cooled on all replicas`,
    async () => {
      rows = await cells(`SHOW TABLETS FROM d.${name}`);
      const [metaId] = rows.map((row) => row[META_ID]);
      return rows.every(
        (row) => row[LOCAL_SIZE] === 0 && Number(row[REMOTE_SIZE]) > 0 && row[META_ID] === metaId,
      );
    },
    SLOW_MS,
  );
  return rows;
}

async function objects(tabletId: unknown): Promise<string[]> {
  const names = await readdir(join(bucket, 'data', String(tabletId)), { recursive: true });
  return names.filter((name) => name === 'HEAD' || name.includes('.')).toSorted();
}

async function created(name: string): Promise<string> {
  return String((await server.row(`SHOW CREATE TABLE d.${name}`))['Create Table']);
}

describe('SHOW CREATE TABLE', () => {
  it('makes the same table again', async () => {
    const partitions = `PARTITION BY RANGE(k) (
      PARTITION a VALUES LESS THAN ("10") ("storage_policy" = "never"),
      PARTITION b VALUES LESS THAN ("20") ("storage_policy" = "late", "replication_num" = "1"),
      PARTITION c VALUES LESS THAN ("30"))`;
    await create('whole', '"replication_num" = "2", "storage_policy" = "never"');
    await create('parts', '"replication_allocation" = "tag.location.default: 3"', partitions);
    await create('small', '"resource_group" = "g", "file_cache_ttl_seconds" = "60"');
    await server.sql('ALTER TABLE d.parts MODIFY PARTITION c SET ("storage_policy" = "late")');
    await server.sql('USE d');
    for (const name of ['whole', 'parts', 'small']) {
      const text = await created(name);
      const shown = `SHOW PARTITIONS FROM d.${name}`;
      const facts = (row: Row): unknown => [
        row['PartitionName'],
        row['Range'],
        row['ReplicationNum'],
        row['RemoteStoragePolicy'],
      ];
      const before = (await server.sql(shown)).map(facts);
      await server.sql(`DROP TABLE d.${name} FORCE`);
      await server.sql(text);
      expect(await created(name)).toBe(text);
      expect((await server.sql(shown)).map(facts)).toEqual(before);
    }
    for (const name of ['whole', 'parts', 'small']) await server.sql(`DROP TABLE d.${name} FORCE`);
  });
});

describe('a table that cools', () => {
  it(
    'A41, A51, A62: local first, then remote; what scripts and the HTTP of backends say of it',
    async () => {
      await create('t', '"replication_num" = "2", "storage_policy" = "never"');
      for (let i = 1; i <= 5; i += 1) await server.sql(`INSERT INTO d.t VALUES (${i}, ${i})`);
      await until('the loads to be reported', async () => {
        const rows = await cells('SHOW TABLETS FROM d.t');
        return rows.every((row) => Number(row[LOCAL_SIZE]) > 0 && row[REMOTE_SIZE] === 0);
      });
      const [partition] = await cells('SHOW PARTITIONS FROM d.t');
      expect(partition?.[REMOTE_POLICY]).toBe('never');
      const { Id: id } = await server.row("SHOW STORAGE POLICY LIKE 'never'");
      const [replica] = await cells('SHOW TABLETS FROM d.t');
      const { body } = await request(String(replica?.[META_URL]));
      expect(await body.json()).toMatchObject({
        storage_policy_id: Number(id),
        version: 6,
        rs_metas: expect.arrayContaining([expect.objectContaining({ resource_id: '' })]),
      });
      const shown = await request(String(replica?.[COMPACTION]));
      const { rowsets, missing_rowsets: missing } = (await shown.body.json()) as Rowsets;
      expect(missing).toEqual([]);
      expect(rowsets.map((text) => text.replace(/ [0-9a-f]{32} .*$/, ''))).toEqual([
        '[0-1] 0 DATA NONOVERLAPPING',
        ...[2, 3, 4, 5, 6].map((version) => `[${version}-${version}] 1 DATA NONOVERLAPPING`),
      ]);
      expect(await server.sql('SHOW COMPACTION STATUS')).toEqual([]);
      // Another policy of the same resource: all of it is due.
      await server.sql('ALTER TABLE d.t SET ("storage_policy" = "soon")');
      const rows = await untilCooled('t');
      expect(rows).toHaveLength(2);
      const replicas = rows.map((row) => row[1]);
      expect(replicas).toContain(rows[0]?.[LEADER]);
      expect(rows[0]?.[META_ID]).toMatch(/^[0-9a-f]{32}$/);
      const names = await objects(rows[0]?.[0]);
      expect(names.filter((name) => name.endsWith('.dat'))).toHaveLength(5);
      expect(names).toContain('HEAD');
      const [data] = await server.sql('SHOW DATA FROM d.t');
      expect(data).toMatchObject({ Size: '0.000 B', RowCount: '5' });
      expect(data?.['RemoteSize']).not.toBe('0.000 B');
      expect(await server.sql('SELECT k FROM d.t ORDER BY k')).toHaveLength(5);
      expect(await server.sql('CHECK COOLDOWN TABLE d.t')).toEqual([]);
      expect(await server.row('SHOW COOLDOWN FROM d.t')).toMatchObject({
        State: 'COOLED',
        CooledVersion: 6,
        WaitingFor: '',
        LastError: '',
        Replicas: 2,
        SettledReplicas: 2,
      });
    },
    SLOW_MS,
  );

  it(
    'N19: is read right after a restart, by what its backends have on their disks',
    async () => {
      await server.restart();
      expect(await server.sql('SELECT k FROM d.t ORDER BY k')).toHaveLength(5);
    },
    SLOW_MS,
  );

  it(
    'a leader may be named while loads go on',
    async () => {
      const rows = await cells('SHOW TABLETS FROM d.t');
      const next = rows.find((row) => row[1] !== row[LEADER]);
      await server.sql('INSERT INTO d.t VALUES (6, 6)');
      await server.sql(`ADMIN SET COOLDOWN LEADER FOR TABLET ${next?.[0]} TO REPLICA ${next?.[1]}`);
      await server.sql('INSERT INTO d.t VALUES (7, 7)');
      await until('the new leader', async () => {
        const [row] = await cells('SHOW TABLETS FROM d.t');
        return row?.[LEADER] === next?.[1];
      });
      await untilCooled('t');
      expect(await server.row('SELECT COUNT(*) AS n FROM d.t')).toEqual({ n: 7 });
    },
    SLOW_MS,
  );

  it(
    'A59, A60: with another number of replicas',
    async () => {
      for (const number of [1, 3, 2]) {
        await server.sql(`ALTER TABLE d.t SET ("replication_num" = "${number}")`);
        await until(
          `${number} replicas`,
          async () => {
            const rows = await server.sql('ADMIN SHOW REPLICA STATUS FROM d.t');
            return rows.length === number && rows.every((row) => row['Status'] === 'OK');
          },
          SLOW_MS,
        );
        expect(await server.row('SELECT COUNT(*) AS n FROM d.t')).toEqual({ n: 7 });
        await untilCooled('t');
      }
      const bad = 'ADMIN SHOW REPLICA STATUS FROM d.t WHERE STATUS != "OK"';
      expect(await server.sql(bad)).toEqual([]);
    },
    2 * SLOW_MS,
  );

  it(
    'keeps its place and its resource when its policy is taken away',
    async () => {
      await server.sql('ALTER TABLE d.t SET ("storage_policy" = "")');
      const fixed = `ALTER RESOURCE r PROPERTIES("local.root.path" = "${bucket}2")`;
      for (const statement of [fixed, 'DROP RESOURCE r']) {
        expect((await server.error(statement)).errno).toBe(1105);
      }
      expect(await server.row('SELECT COUNT(*) AS n FROM d.t')).toEqual({ n: 7 });
      await until('the end of cooling to be reported', async () => {
        const row = await server.row('SHOW COOLDOWN FROM d.t');
        return row['State'] === 'NONE' && row['WaitingFor'] === '';
      });
      await server.sql('INSERT INTO d.t VALUES (8, 8)');
      await until('the load to stay local', async () => {
        const rows = await cells('SHOW TABLETS FROM d.t');
        return rows.every((row) => Number(row[LOCAL_SIZE]) > 0 && Number(row[REMOTE_SIZE]) > 0);
      });
      await server.sql('ALTER TABLE d.t SET ("storage_policy" = "soon")');
      await untilCooled('t');
    },
    SLOW_MS,
  );

  it(
    'TRUNCATE, DROP TABLE and DROP DATABASE leave nothing in the bucket',
    async () => {
      await server.sql('TRUNCATE TABLE d.t');
      await server.sql('INSERT INTO d.t VALUES (9, 9)');
      await untilCooled('t');
      expect(await server.sql('SELECT * FROM d.t')).toEqual([{ k: 9, v: 9 }]);
      await create('u', '"replication_num" = "1", "storage_policy" = "soon"');
      await server.sql('INSERT INTO d.u SELECT k, v FROM d.t');
      await untilCooled('u');
      await server.sql('RENAME TABLE d.u TO d.w');
      expect(await server.sql('SELECT * FROM d.w')).toEqual([{ k: 9, v: 9 }]);
      await server.sql('DROP TABLE d.t FORCE');
      await server.sql('DROP DATABASE d');
      await until(
        'an empty bucket',
        async () => {
          const names = await readdir(bucket, { recursive: true });
          return names.every((name) => !name.endsWith('.dat') && !name.endsWith('.meta'));
        },
        SLOW_MS,
      );
      for (const name of ['soon', 'never', 'late']) {
        await server.sql(`DROP STORAGE POLICY ${name}`);
      }
      await server.sql('DROP RESOURCE r');
    },
    2 * SLOW_MS,
  );
});
