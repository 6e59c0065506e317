/**
 * Catalogs and buckets that are not what the backends expect: the catalog is an older copy, another
 * cluster has its data under the same root path.
 */
import { cp, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from '@jest/globals';
import { type Row, ServerProcess, until } from './server_process.ts';

const SETTINGS = {
  generate_cooldown_task_interval_sec: '1',
  report_tablet_interval_seconds: '1',
  heartbeat_interval_ms: '200',
  // A slow machine is no dead backend.
  max_backend_heartbeat_failure_tolerance_count: '50',
  garbage_grace_ms: '0',
};
const SLOW_MS = 60_000;
/** With what SQLite keeps beside it. */
const CATALOG = ['catalog.db', 'catalog.db-wal', 'catalog.db-shm'];

const servers: ServerProcess[] = [];

async function start(bucketOf?: ServerProcess): Promise<ServerProcess> {
  const server = await ServerProcess.start({ args: ['--embedded', 'g=2'], settings: SETTINGS });
  servers.push(server);
  const bucket = join((bucketOf ?? server).dataDir, 'bucket');
  await server.sql(
    `CREATE RESOURCE r PROPERTIES("type" = "local", "local.root.path" = "${bucket}")`,
  );
  await server.sql(
    'CREATE STORAGE POLICY soon PROPERTIES("storage_resource" = "r", "cooldown_ttl" = "1")',
  );
  await server.sql('CREATE DATABASE d');
  return server;
}

afterEach(async () => {
  await Promise.all(servers.splice(0).map(async (server) => await server.stop()));
});

async function table(server: ServerProcess, name: string): Promise<number> {
  await server.sql(
    `CREATE TABLE d.${name} (a INT) DISTRIBUTED BY HASH(a) BUCKETS 1
     PROPERTIES("replication_num" = "2", "storage_policy" = "soon")`,
  );
  const [tablet] = await server.sql(`SHOW TABLETS FROM d.${name}`);
  return Number(tablet?.['TabletId']);
}

async function insert(server: ServerProcess, name: string, ...rows: number[]): Promise<void> {
  for (const a of rows) await server.sql(`INSERT INTO d.${name} VALUES (${a})`);
}

async function rows(server: ServerProcess, name: string): Promise<number[]> {
  const found = await server.sql(`SELECT a FROM d.${name} ORDER BY a`);
  return found.map((row) => Number(row['a']));
}

async function cooled(server: ServerProcess, name: string): Promise<Row> {
  let last: Row = {} as Row;
  await until(
    `${name} to be cooled`,
    async () => {
      last = await server.row(`SHOW COOLDOWN FROM d.${name}`);
      const isAll = last['CooledVersion'] === last['VisibleVersion'];
      return last['State'] === 'COOLED' && isAll && last['Replicas'] === last['SettledReplicas'];
    },
    SLOW_MS,
  ).catch((error: unknown) => {
    throw new Error(`${String(error)}: ${JSON.stringify(last)}`);
  });
  return last;
}

/** Another replica than the one that leads now. */
async function leadByAnother(server: ServerProcess, name: string): Promise<void> {
  const replicas = await server.sql(`SHOW TABLETS FROM d.${name}`);
  const next = replicas.find((row) => row['ReplicaId'] !== row['CooldownReplicaId']);
  await server.sql(
    `ADMIN SET COOLDOWN LEADER FOR TABLET ${next?.['TabletId']} TO REPLICA ${next?.['ReplicaId']}`,
  );
}

describe('an older catalog', () => {
  it(
    'with newer backends and a newer bucket loses nothing, and gives nothing twice',
    async () => {
      const server = await start();
      const tablet = await table(server, 't');
      await insert(server, 't', 1);
      const before = await cooled(server, 't');
      const copyOf = (name: string): string => join(server.dataDir, `copy-${name}`);
      expect(await server.terminate()).toBe(0);
      for (const name of CATALOG) {
        await cp(join(server.dataDir, name), copyOf(name)).catch(() => undefined);
      }
      await server.launch();
      // Two terms, some versions and a table that the copy does not know.
      for (const a of [2, 3]) {
        await leadByAnother(server, 't');
        await insert(server, 't', a);
        await cooled(server, 't');
      }
      const later = await table(server, 'later');
      await insert(server, 'later', 7);
      expect(await server.terminate()).toBe(0);
      for (const name of CATALOG) {
        await rm(join(server.dataDir, name), { force: true });
        await cp(copyOf(name), join(server.dataDir, name)).catch(() => undefined);
      }
      await server.launch();
      await insert(server, 't', 4);
      expect(await rows(server, 't')).toEqual([1, 2, 3, 4]);
      const after = await cooled(server, 't');
      expect(Number(after['Term'])).toBeGreaterThanOrEqual(Number(before['Term']) + 3);
      // The replicas of the table that is lost stay, and its ids are not given again.
      await until('them to be noticed', () => server.stderr.includes('they are kept'));
      const fresh = await table(server, 'fresh');
      expect([tablet, later]).not.toContain(fresh);
      await insert(server, 'fresh', 5);
      await cooled(server, 'fresh');
      expect(await rows(server, 'fresh')).toEqual([5]);
      expect(await rows(server, 't')).toEqual([1, 2, 3, 4]);
    },
    2 * SLOW_MS,
  );
});

describe('a root path that two clusters share', () => {
  it(
    'is told, and neither reads nor deletes what is the other’s',
    async () => {
      const one = await start();
      const other = await start(one);
      const tablet = await table(one, 't');
      // The ids of a new server are the same: that is the danger.
      expect(await table(other, 't')).toBe(tablet);
      await insert(one, 't', 1);
      await cooled(one, 't');
      await insert(other, 't', 2);
      await until('the reason to be shown', async () => {
        const { LastError: error } = await other.row('SHOW COOLDOWN FROM d.t');
        return /of another cluster .* root path of its own/.test(String(error));
      });
      expect(await rows(other, 't')).toEqual([2]);
      const data = join(one.dataDir, 'bucket', 'data', String(tablet));
      const objects = await readdir(data, { recursive: true });
      await other.sql('DROP TABLE d.t FORCE');
      await until('the refusal to delete', () =>
        other.stderr.includes('objects of another cluster are not deleted'),
      );
      expect(await readdir(data, { recursive: true })).toEqual(expect.arrayContaining(objects));
      await one.restart();
      expect(await rows(one, 't')).toEqual([1]);
      await one.sql('DROP TABLE d.t FORCE');
      await until('an empty prefix', async () => {
        const left = await readdir(data, { recursive: true }).catch(() => []);
        return left.every((name) => !/\.(dat|meta)$|HEAD$/.test(name));
      });
    },
    2 * SLOW_MS,
  );
});
