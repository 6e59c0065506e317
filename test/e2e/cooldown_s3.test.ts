/**
 * Cooldown end to end: a server with three backends and a real S3 server. What is looked at is what
 * operators see: SHOW statements, the bucket's listing, and SELECT.
 */
import {
  DeleteObjectsCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  type S3Client,
} from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type S3Server, s3ServerMissing, startS3Server } from '../s3_server.ts';
import { type Row, ServerProcess, until } from './server_process.ts';

const BUCKET = 'cold';
const ROOT = 'cooled';
const SETTINGS = {
  generate_cooldown_task_interval_sec: '1',
  report_tablet_interval_seconds: '1',
  cooldown_leader_dead_seconds: '1',
  heartbeat_interval_ms: '200',
  // A backend that is stopped or killed is dead at once; silence is only a slow machine here.
  max_backend_heartbeat_failure_tolerance_count: '25',
  cold_data_compaction_interval_sec: '1',
  // None is merged until a test wants it.
  cold_data_compaction_score_threshold: '100000',
  remove_unused_remote_files_interval_sec: '1',
  cooldown_garbage_grace_seconds: '1',
  confirm_unused_remote_files_interval_sec: '1',
  object_store_retries: '1',
  garbage_grace_ms: '1000',
};
const SLOW_MS = 60_000;

const missing = s3ServerMissing();
(missing === undefined ? describe : describe.skip)('cooldown to a bucket', () => {
  let s3: S3Server;
  let client: S3Client;
  let server: ServerProcess;

  beforeAll(async () => {
    s3 = await startS3Server();
    await s3.createBucket(BUCKET);
    client = s3.client();
    server = await ServerProcess.start({ args: ['--embedded', 'g=3'], settings: SETTINGS });
    await server.sql(`CREATE RESOURCE r PROPERTIES${s3.resource(BUCKET, ROOT)}`);
    await server.sql(
      'CREATE STORAGE POLICY soon PROPERTIES("storage_resource"="r", "cooldown_ttl"="1")',
    );
    await server.sql(
      'CREATE STORAGE POLICY later PROPERTIES("storage_resource"="r", "cooldown_ttl"="10d")',
    );
    await server.sql('CREATE DATABASE d');
    await server.sql('USE d');
  }, SLOW_MS);
  afterAll(async () => {
    await server?.stop();
    client?.destroy();
    await s3?.stop();
  });

  // -- what is there

  interface Stored {
    readonly key: string;
    readonly bytes: number;
  }

  async function objects(tabletId: unknown): Promise<Stored[]> {
    const Prefix = `${ROOT}/data/${String(tabletId)}/`;
    const { Contents = [] } = await client.send(
      new ListObjectsV2Command({ Bucket: BUCKET, Prefix }),
    );
    return Contents.map(({ Key = '', Size = 0 }) => ({
      key: Key.slice(Prefix.length),
      bytes: Size,
    }));
  }

  async function data(tabletId: unknown): Promise<Stored[]> {
    return (await objects(tabletId)).filter(({ key }) => key.endsWith('.dat'));
  }

  async function createTable(name: string, replicas: number, policy: string): Promise<unknown> {
    await server.sql(
      `CREATE TABLE ${name} (a INT, b VARCHAR(100)) DISTRIBUTED BY HASH(a) BUCKETS 1
       PROPERTIES("replication_num"="${replicas}", "storage_policy"="${policy}")`,
    );
    const [tablet] = await server.sql(`SHOW TABLETS FROM ${name}`);
    return tablet?.['TabletId'];
  }

  async function load(name: string, from: number, count: number): Promise<void> {
    for (let a = from; a < from + count; a += 1) {
      await server.sql(`INSERT INTO ${name} VALUES (${a}, 'row ${a}')`);
    }
  }

  const cooldown = async (name: string): Promise<Row> =>
    await server.row(`SHOW COOLDOWN FROM ${name}`);
  const replicas = async (name: string): Promise<Row[]> =>
    await server.sql(`SHOW TABLETS FROM ${name}`);

  /** All replicas have dropped their local copies, and agree. */
  async function untilCooled(name: string, version: number): Promise<Row> {
    let last: Row | undefined;
    await until(
      `${name} at version ${version}`,
      async () => {
        last = await cooldown(name);
        if (last['State'] !== 'COOLED' || last['CooledVersion'] !== version) return false;
        return last['Replicas'] === last['SettledReplicas'];
      },
      SLOW_MS,
    ).catch((error: unknown) => {
      throw new Error(`${String(error)}: ${JSON.stringify(last)}`);
    });
    return await cooldown(name);
  }

  /** Sent by all backends since they started. */
  async function uploadedBytes(): Promise<number> {
    let sum = 0;
    for (const backend of await server.sql('SHOW BACKENDS')) {
      const url = `http://127.0.0.1:${String(backend['HttpPort'])}/metrics`;
      const text = await (await fetch(url)).text();
      sum += Number(
        /cooldown_uploaded_bytes_total(?:\{[^}]*\})? (\d+)/.exec(text)?.[1] ?? Number.NaN,
      );
    }
    return sum;
  }

  async function rowsOf(name: string): Promise<number[]> {
    const rows = await server.sql(`SELECT a FROM ${name} ORDER BY a`);
    return rows.map((row) => Number(row['a']));
  }

  const upTo = (count: number): number[] => Array.from({ length: count }, (_, at) => at + 1);

  // -- cases

  it(
    'five loads of one replica are five objects, then one, then none',
    async () => {
      const tabletId = await createTable('one', 1, 'soon');
      await load('one', 1, 5);
      const [fresh] = await replicas('one');
      expect(fresh).toMatchObject({ CooldownReplicaId: expect.anything() });
      await untilCooled('one', 6);
      const [cooled] = await replicas('one');
      expect(cooled).toMatchObject({ LocalDataSize: 0 });
      expect(Number(cooled?.['RemoteDataSize'])).toBeGreaterThan(0);
      expect(cooled?.['CooldownReplicaId']).toBe(cooled?.['ReplicaId']);
      expect(await data(tabletId)).toHaveLength(5);
      const others = (await objects(tabletId)).filter(({ key }) => !key.endsWith('.dat'));
      expect(others.every(({ key }) => key === 'HEAD' || key.startsWith('m/'))).toBe(true);
      // Every byte was sent once.
      const bytes = (await data(tabletId)).reduce((sum, object) => sum + object.bytes, 0);
      expect(Number(cooled?.['RemoteDataSize'])).toBe(bytes);

      const merge = (inputs: number): string =>
        `ADMIN SET FRONTEND CONFIG ("cold_data_compaction_score_threshold" = "${inputs}")`;
      await server.sql(merge(2));
      await until('one object', async () => (await data(tabletId)).length === 1, SLOW_MS);
      await server.sql(merge(100_000));
      expect(await rowsOf('one')).toEqual(upTo(5));
      await server.sql('DROP TABLE one FORCE');
      await until('an empty prefix', async () => (await objects(tabletId)).length === 0, SLOW_MS);
    },
    3 * SLOW_MS,
  );

  it(
    'one of three replicas uploads, each byte once, and the others follow',
    async () => {
      const sentBefore = await uploadedBytes();
      const tabletId = await createTable('three', 3, 'soon');
      await load('three', 1, 3);
      await untilCooled('three', 4);
      const seen = await replicas('three');
      expect(seen).toHaveLength(3);
      expect(new Set(seen.map((row) => row['CooldownReplicaId'])).size).toBe(1);
      expect(new Set(seen.map((row) => row['CooldownMetaId'])).size).toBe(1);
      expect(seen.map((row) => Number(row['LocalDataSize']))).toEqual([0, 0, 0]);
      const bytes = (await data(tabletId)).reduce((sum, object) => sum + object.bytes, 0);
      expect(new Set(seen.map((row) => Number(row['RemoteDataSize'])))).toEqual(new Set([bytes]));
      expect((await uploadedBytes()) - sentBefore).toBe(bytes);
      expect(await rowsOf('three')).toEqual(upTo(3));
      const jobs = await server.sql('SHOW COOLDOWN JOB');
      expect(jobs.map((job) => job['State'])).not.toContain('CANCELLED');
    },
    2 * SLOW_MS,
  );

  it(
    'a leader whose backend dies is replaced, and follows when it is back',
    async () => {
      const before = await cooldown('three');
      const dead = String(before['LeaderBackendId']);
      await server.sql(`ALTER SYSTEM KILL BACKEND ${dead}`);
      await until(
        'another leader',
        async () => (await cooldown('three'))['LeaderBackendId'] !== before['LeaderBackendId'],
        SLOW_MS,
      );
      const after = await cooldown('three');
      expect(Number(after['Term'])).toBe(Number(before['Term']) + 1);
      await load('three', 4, 2);
      await until(
        'version 6 in the bucket',
        async () => (await cooldown('three'))['CooledVersion'] === 6,
        SLOW_MS,
      );
      expect(await rowsOf('three')).toEqual(upTo(5));
      await server.sql(`ALTER SYSTEM START BACKEND ${dead}`);
      await untilCooled('three', 6);
      const metaIds = (await replicas('three')).map((row) => row['CooldownMetaId']);
      expect(new Set(metaIds).size).toBe(1);
    },
    3 * SLOW_MS,
  );

  it(
    'nothing is lost while the bucket is away',
    async () => {
      const tabletId = await createTable('away', 2, 'later');
      await load('away', 1, 2);
      await s3.stopGateway();
      await server.sql('ADMIN COOLDOWN TABLE away');
      await until(
        'the failure to be shown',
        async () => String((await cooldown('away'))['LastError']) !== '',
        SLOW_MS,
      );
      expect(String((await cooldown('away'))['LastError'])).not.toContain(s3.secretKey);
      expect(await rowsOf('away')).toEqual(upTo(2));
      await s3.startGateway();
      await untilCooled('away', 3);
      expect(await data(tabletId)).toHaveLength(2);
      expect(await rowsOf('away')).toEqual(upTo(2));
    },
    3 * SLOW_MS,
  );

  it(
    'keys of a resource in use change while backends run, its place does not',
    async () => {
      await createTable('rekeyed', 2, 'later');
      await load('rekeyed', 1, 2);
      const alter = async (secret: string, check: string): Promise<void> => {
        await server.sql(
          `ALTER RESOURCE r PROPERTIES("s3.secret_key"="${secret}", "s3_validity_check"="${check}")`,
        );
      };
      for (const place of ['s3.endpoint', 's3.region', 's3.bucket', 's3.root.path']) {
        const { message } = await server.error(`ALTER RESOURCE r PROPERTIES("${place}"="other")`);
        expect(message).toBe(`current not support modify property : ${place}`);
      }
      await expect(alter('wrong', 'true')).rejects.toThrow(/Resource\(r\) cannot be used/);
      await alter('wrong', 'false');
      await server.sql('ADMIN COOLDOWN TABLE rekeyed');
      await until(
        'the failure to be shown',
        async () => String((await cooldown('rekeyed'))['LastError']) !== '',
        SLOW_MS,
      );
      await alter(s3.secretKey, 'true');
      await untilCooled('rekeyed', 3);
      expect(await rowsOf('rekeyed')).toEqual(upTo(2));
    },
    3 * SLOW_MS,
  );

  it(
    'survives kill -9 of everything at once',
    async () => {
      await createTable('crash', 3, 'soon');
      for (let round = 0; round < 3; round += 1) {
        await load('crash', round * 3 + 1, 3);
        await server.kill9();
        await server.launch();
        await server.sql('USE d');
        expect(await rowsOf('three')).toEqual(upTo(5));
        expect(await rowsOf('crash')).toEqual(upTo(round * 3 + 3));
      }
      await untilCooled('crash', 10);
      expect(await rowsOf('crash')).toEqual(upTo(9));
    },
    3 * SLOW_MS,
  );

  it(
    'CHECK COOLDOWN TABLE finds what is missing, damaged and nobody’s',
    async () => {
      const [tablet] = await replicas('crash');
      const tabletId = tablet?.['TabletId'];
      await until(
        'old lists to be collected',
        async () => (await server.sql('CHECK COOLDOWN TABLE crash')).length === 0,
        SLOW_MS,
      );
      const [first, second] = await data(tabletId);
      const Key = (name = ''): string => `${ROOT}/data/${String(tabletId)}/${name}`;
      const saved = await client.send(
        new GetObjectCommand({ Bucket: BUCKET, Key: Key(first?.key) }),
      );
      const body = (await saved.Body?.transformToByteArray()) ?? new Uint8Array();
      await client.send(
        new DeleteObjectsCommand({
          Bucket: BUCKET,
          Delete: { Objects: [{ Key: Key(first?.key) }] },
        }),
      );
      const damaged = Buffer.alloc(second?.bytes ?? 0, 1);
      await client.send(
        new PutObjectCommand({ Bucket: BUCKET, Key: Key(second?.key), Body: damaged }),
      );
      const orphan = `${'0'.repeat(32)}_0.dat`;
      await client.send(
        new PutObjectCommand({ Bucket: BUCKET, Key: Key(orphan), Body: Buffer.from('x') }),
      );
      const found = await server.sql('CHECK COOLDOWN TABLE crash');
      const problems = found.map((row) => `${String(row['Problem'])} ${String(row['Object'])}`);
      expect(problems.join('\n').toLowerCase()).toContain('missing');
      expect(problems.join('\n').toLowerCase()).toContain('damaged');
      expect(problems.join('\n').toLowerCase()).toContain('orphan');
      await client.send(new PutObjectCommand({ Bucket: BUCKET, Key: Key(first?.key), Body: body }));
    },
    2 * SLOW_MS,
  );

  it('shows its secret nowhere', () => {
    expect(server.stderr).not.toContain(s3.secretKey);
  });
});
