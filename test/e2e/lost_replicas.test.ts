/**
 * Tablets that lose all their replicas, with backends that are processes and a real S3 server: what
 * is cooled comes back, what was only on the lost disks is named, and nothing is done while a
 * backend that may have it is only away.
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { cp, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type S3Server, s3ServerMissing, startS3Server } from '../s3_server.ts';
import { BackendProcess } from './backend_process.ts';
import { type Row, ServerProcess, until } from './server_process.ts';

const SETTINGS = [
  'heartbeat_interval_ms=200',
  'tablet_repair_delay_seconds=600',
  'tablet_schedule_interval_ms=100',
  'report_tablet_interval_seconds=1',
  'generate_cooldown_task_interval_sec=1',
  'cooldown_leader_dead_seconds=2',
];
const PATIENCE_MS = 60_000;
const REPLICA_FILES = ['storage', 'agent.db', 'agent.db-wal', 'agent.db-shm'];

const missing = s3ServerMissing();
(missing === undefined ? describe : describe.skip)('tablets that lose all replicas', () => {
  let s3: S3Server;
  let server: ServerProcess;
  let saved: string;
  const backends: BackendProcess[] = [];

  beforeAll(async () => {
    s3 = await startS3Server();
    await s3.createBucket('cold');
    saved = await mkdtemp(join(tmpdir(), 'thermocline-saved-'));
    const args = ['--embedded', 'none', ...SETTINGS.flatMap((setting) => ['--set', setting])];
    server = await ServerProcess.start({ args });
    await server.sql('CREATE COMPUTE GROUP g');
    for (let i = 0; i < 2; i += 1) await addBackend();
    await server.sql(`CREATE RESOURCE r PROPERTIES${s3.resource('cold', 'root')}`);
    for (const [name, ttl] of [
      ['soon', '1'],
      ['later', '10d'],
    ]) {
      await server.sql(
        `CREATE STORAGE POLICY ${name} PROPERTIES("storage_resource"="r", "cooldown_ttl"="${ttl}")`,
      );
    }
    await server.sql('CREATE DATABASE d');
    await server.sql('USE d');
  }, PATIENCE_MS);
  afterAll(async () => {
    await Promise.all(backends.map(async (backend) => await backend.stop()));
    await server?.stop();
    await s3?.stop();
    await rm(saved, { recursive: true, force: true });
  });

  async function addBackend(): Promise<void> {
    const backend = await BackendProcess.start({ server, args: ['--compute-group', 'g'] });
    backends.push(backend);
    await backend.alive();
  }

  async function createTable(name: string, replicas: number, policy: string): Promise<void> {
    await server.sql(
      `CREATE TABLE ${name} (a INT, b VARCHAR(100)) DISTRIBUTED BY HASH(a) BUCKETS 1
       PROPERTIES("replication_num"="${replicas}", "storage_policy"="${policy}")`,
    );
  }

  async function load(name: string, from: number, count: number): Promise<void> {
    for (let a = from; a < from + count; a += 1) {
      await server.sql(`INSERT INTO ${name} VALUES (${a}, 'row ${a}')`);
    }
  }

  const keys = async (name: string): Promise<unknown[]> =>
    (await server.sql(`SELECT a FROM ${name} ORDER BY a`)).map((row) => row['a']);
  const replicas = async (name: string): Promise<Row[]> =>
    await server.sql(`SHOW TABLETS FROM ${name}`);
  const repair = async (name: string): Promise<Row[]> =>
    await server.sql(`ADMIN REPAIR TABLE ${name}`);

  async function untilCooled(name: string): Promise<void> {
    let row: Row | undefined;
    await until(
      `${name} to be cooled`,
      async () => {
        row = await server.row(`SHOW COOLDOWN FROM ${name}`);
        const isAll = row['CooledVersion'] === row['VisibleVersion'];
        return isAll && row['State'] === 'COOLED' && row['Replicas'] === row['SettledReplicas'];
      },
      PATIENCE_MS,
    ).catch((error: unknown) => {
      throw new Error(`${String(error)}: ${JSON.stringify(row)}`);
    });
  }

  async function homesOf(name: string): Promise<BackendProcess[]> {
    const ids = (await replicas(name)).map((row) => Number(row['BackendId']));
    return backends.filter(({ backendId }) => ids.includes(backendId));
  }

  /** Everything that it knows of replicas is gone; who it is, it still knows. */
  async function loseDisk(backend: BackendProcess): Promise<void> {
    await backend.kill9();
    for (const file of REPLICA_FILES) {
      await rm(join(backend.dataDir, file), { recursive: true, force: true });
    }
    await backend.launch();
    await backend.alive();
  }

  async function isReadable(name: string, wanted: readonly number[]): Promise<boolean> {
    try {
      return (await keys(name)).join() === wanted.join();
    } catch {
      return false;
    }
  }

  it(
    'come back by themselves when all is cooled, and go on',
    async () => {
      await createTable('whole', 2, 'soon');
      await load('whole', 1, 5);
      await untilCooled('whole');
      const before = await replicas('whole');
      // One after the other, both before anything can be copied.
      for (const backend of await homesOf('whole')) await backend.kill9();
      for (const backend of await homesOf('whole')) await loseDisk(backend);
      await until(
        'the rows to be there again',
        async () => await isReadable('whole', [1, 2, 3, 4, 5]),
        PATIENCE_MS,
      );
      await until(
        'two replicas',
        async () => {
          const states = (await replicas('whole')).map((row) => row['State']);
          return states.join() === 'NORMAL,NORMAL';
        },
        PATIENCE_MS,
      );
      const old = new Set(before.map((row) => row['ReplicaId']));
      for (const row of await replicas('whole')) expect(old.has(row['ReplicaId'])).toBe(false);
      expect(await repair('whole')).toEqual([]);
      await load('whole', 6, 2);
      expect(await keys('whole')).toEqual([1, 2, 3, 4, 5, 6, 7]);
      await untilCooled('whole');
      expect(await server.sql('CHECK COOLDOWN TABLE whole')).toEqual([]);
      expect(await server.sql('SELECT * FROM information_schema.lost_versions')).toEqual([]);
    },
    PATIENCE_MS * 2,
  );

  it(
    'lose what was not cooled, loudly, and the old disk changes nothing',
    async () => {
      await createTable('half', 1, 'soon');
      await load('half', 1, 3);
      await untilCooled('half');
      await server.sql('ALTER TABLE half SET ("storage_policy" = "later")');
      await load('half', 4, 2);
      const [home] = await homesOf('half');
      if (home === undefined) throw new Error('no backend has it');
      await home.kill9();
      await home.dead();
      expect(await repair('half')).toMatchObject([
        { Result: 'refused', Detail: expect.stringMatching(/is not alive and may have replica/) },
      ]);
      for (const file of REPLICA_FILES) {
        await cp(join(home.dataDir, file), join(saved, file), { recursive: true }).catch(() => {
          // A log that is not there.
        });
      }
      await loseDisk(home);
      await until('the loss to be noticed', async () => {
        const [row] = await server.sql('ADMIN SHOW REPLICA STATUS FROM half');
        return row?.['Status'] === 'MISSING' && String(row['WaitReason']).includes('ADMIN REPAIR');
      });
      await expect(keys('half')).rejects.toThrow(/no replica of tablet \d+ can be read/);
      const [row] = await repair('half');
      expect(row).toMatchObject({
        Result: 'lossy',
        VisibleVersion: 6,
        CooledVersion: 4,
        LostVersions: '5-6',
        RowCount: 3,
        Detail: 'made of its cooled data; what is lost is empty now',
      });
      expect(await server.sql('SHOW WARNINGS')).toMatchObject([
        {
          Level: 'Warning',
          Message: `versions 5-6 of tablet ${String(row?.['TabletId'])} are lost`,
        },
      ]);
      expect(await keys('half')).toEqual([1, 2, 3]);
      expect(
        await server.sql(
          'SELECT TableName, FromVersion, ToVersion FROM information_schema.lost_versions',
        ),
      ).toEqual([{ TableName: 'half', FromVersion: 5, ToVersion: 6 }]);
      await load('half', 7, 1);
      expect(await keys('half')).toEqual([1, 2, 3, 7]);
      await server.sql('ALTER TABLE half SET ("storage_policy" = "soon")');
      await untilCooled('half');

      // The disk is found again: what lies there is of a replica that nobody knows any more.
      const [lost] = await replicas('half');
      await home.kill9();
      for (const file of REPLICA_FILES) {
        await rm(join(home.dataDir, file), { recursive: true, force: true });
        await cp(join(saved, file), join(home.dataDir, file), { recursive: true }).catch(() => {
          // A log that is not there.
        });
      }
      await home.launch();
      await home.alive();
      await until(
        'the rows to be there again',
        async () => await isReadable('half', [1, 2, 3, 7]),
        PATIENCE_MS,
      );
      const [now] = await replicas('half');
      if (Number(lost?.['BackendId']) === home.backendId) {
        expect(now?.['ReplicaId']).not.toBe(lost?.['ReplicaId']);
      }
      await load('half', 8, 1);
      await untilCooled('half');
      expect(await keys('half')).toEqual([1, 2, 3, 7, 8]);
      const problems = await server.sql('CHECK COOLDOWN TABLE half');
      expect(problems.filter((problem) => problem['Problem'] !== 'orphan')).toEqual([]);
    },
    PATIENCE_MS * 2,
  );

  it(
    'are made anew, empty, only when that was said in so many words',
    async () => {
      await createTable('hot', 1, 'later');
      await load('hot', 1, 2);
      for (const backend of await homesOf('hot')) await loseDisk(backend);
      expect(await repair('hot')).toMatchObject([
        {
          Result: 'refused',
          LostVersions: '2-3',
          Detail: expect.stringMatching(/nothing of it is cooled/),
        },
      ]);
      await server.sql('ADMIN SET FRONTEND CONFIG ("recover_with_empty_tablet" = "true")');
      expect(await repair('hot')).toMatchObject([
        { Result: 'lossy', LostVersions: '2-3', RowCount: 0 },
      ]);
      await server.sql('ADMIN SET FRONTEND CONFIG ("recover_with_empty_tablet" = "false")');
      expect(await keys('hot')).toEqual([]);
      await load('hot', 3, 1);
      expect(await keys('hot')).toEqual([3]);
    },
    PATIENCE_MS,
  );

  it(
    'keep what is whole of a replica that is damaged',
    async () => {
      await createTable('bits', 1, 'later');
      await load('bits', 1, 3);
      const [home] = await homesOf('bits');
      const [tablet] = await replicas('bits');
      const dir = join(home?.dataDir ?? '', 'storage', 'data', String(tablet?.['TabletId']));
      const [name = ''] = (await readdir(dir)).filter((file) => file.endsWith('.dat'));
      await home?.kill9();
      const bytes = await readFile(join(dir, name));
      await writeFile(join(dir, name), bytes.fill(0, 10, 20));
      await home?.launch();
      await home?.alive();
      await until('the damage to be found', async () => {
        await keys('bits').catch(() => undefined);
        const [row] = await server.sql('ADMIN SHOW REPLICA STATUS FROM bits');
        return row?.['Status'] === 'BAD' && String(row['WaitReason']).includes('ADMIN REPAIR');
      });
      const [row] = await repair('bits');
      expect(row).toMatchObject({ Result: 'lossy', VisibleVersion: 4, RowCount: 2 });
      expect(row?.['LostVersions']).toMatch(/^[234]$/);
      const lost = Number(row?.['LostVersions']) - 1;
      expect(await keys('bits')).toEqual([1, 2, 3].filter((key) => key !== lost));
      await load('bits', 4, 1);
      expect(await keys('bits')).toHaveLength(3);
      await until('all to be well', async () => {
        const [status] = await server.sql('ADMIN SHOW REPLICA STATUS FROM bits');
        return status?.['Status'] === 'OK';
      });
    },
    PATIENCE_MS,
  );

  it(
    'survive the DROPP of the last backend that had one',
    async () => {
      await createTable('dropped', 1, 'soon');
      await load('dropped', 1, 3);
      await untilCooled('dropped');
      const [home] = await homesOf('dropped');
      await server.sql(`ALTER SYSTEM DROPP BACKEND "${String(home?.backendId)}"`);
      await until(
        'the rows to be there again',
        async () => await isReadable('dropped', [1, 2, 3]),
        PATIENCE_MS,
      );
      expect(await replicas('dropped')).toHaveLength(1);
      await load('dropped', 4, 1);
      expect(await keys('dropped')).toEqual([1, 2, 3, 4]);
    },
    PATIENCE_MS,
  );
});
