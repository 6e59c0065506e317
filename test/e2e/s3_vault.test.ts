/** Vaults on a real S3 server: what CREATE refuses, the main job, and buckets that lose things. */
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { DeleteObjectCommand, ListObjectsV2Command, type S3Client } from '@aws-sdk/client-s3';
import { type S3Server, s3ServerMissing, startS3Server } from '../s3_server.ts';
import { GateProxy } from './gate_proxy.ts';
import { ServerProcess, until } from './server_process.ts';
import {
  backendsOf,
  csvLines,
  finished,
  jobEnd,
  jobRow,
  loadRows,
  storeReads,
  warmUp,
} from './warm_up_steps.ts';

const missing = s3ServerMissing();
const WRONG_SECRET = 'thisIsNotTheSecretKeyOfThatUser0123456789';

(missing === undefined ? describe : describe.skip)('an S3 vault', () => {
  let s3: S3Server;
  let gate: GateProxy;
  let server: ServerProcess;
  let client: S3Client;

  beforeAll(async () => {
    s3 = await startS3Server();
    await s3.createBucket('kept');
    await s3.createBucket('vanishing');
    gate = await GateProxy.start(s3.endpoint);
    client = s3.client();
    server = await ServerProcess.start({
      args: [
        'object_store_retries=2',
        'file_cache_download_concurrency=1',
        'file_cache_fill_on_load=false',
      ].flatMap((setting) => ['--set', setting]),
    });
    await server.sql('CREATE DATABASE d');
  });

  afterEach(() => {
    gate.open();
  });

  afterAll(async () => {
    await server?.stop();
    client?.destroy();
    await gate?.stop();
    await s3?.stop();
  });

  function createVault(name: string, changes: Readonly<Record<string, string>> = {}): string {
    const properties: Record<string, string> = {
      type: 's3',
      's3.endpoint': s3.endpoint,
      's3.region': s3.region,
      's3.bucket': 'kept',
      's3.root.path': `/${name}/`,
      's3.access_key': s3.accessKey,
      's3.secret_key': s3.secretKey,
      use_path_style: 'true',
      ...changes,
    };
    const list = Object.entries(properties).map(([key, value]) => `"${key}" = "${value}"`);
    return `CREATE STORAGE VAULT ${name} PROPERTIES(${list.join(', ')})`;
  }

  async function vaultNames(): Promise<unknown[]> {
    return (await server.sql('SHOW STORAGE VAULT')).map((row) => Object.values(row)[0]);
  }

  async function keys(bucket: string, prefix: string): Promise<string[]> {
    const command = new ListObjectsV2Command({ Bucket: bucket, Prefix: prefix });
    const { Contents = [] } = await client.send(command);
    return Contents.map(({ Key = '' }) => Key);
  }

  async function makeTable(name: string, vault: string): Promise<void> {
    await server.sql(`CREATE TABLE d.${name} (id INT, name STRING) DUPLICATE KEY(id)
      DISTRIBUTED BY HASH(id) BUCKETS 4 PROPERTIES("storage_vault_name" = "${vault}")`);
    const text = csvLines(0, 4000, 100);
    await loadRows(server, `d.${name}`, { text, headers: { column_separator: ',' } });
  }

  it.each<[string, Readonly<Record<string, string>>, RegExp]>([
    ['a wrong secret key', { 's3.secret_key': WRONG_SECRET }, /denied|signature|secret|key/i],
    ['an unknown access key', { 's3.access_key': 'NOBODY' }, /denied|access key|InvalidAccessKey/i],
    ['a bucket that is not there', { 's3.bucket': 'nosuch' }, /bucket/i],
    [
      'an endpoint nobody listens on',
      { 's3.endpoint': 'http://127.0.0.1:1' },
      /endpoint refused the connection/,
    ],
    ['an endpoint that is no URL', { 's3.endpoint': 'not a url' }, /not a url|endpoint/i],
  ])('is refused with %s', async (_, changes, text) => {
    const error = await server.error(createVault('bad', changes));
    expect(error.errno).toBe(1105);
    expect(error.message).toMatch(/^Storage vault bad cannot be used: /);
    expect(error.message).toMatch(text);
    expect(await vaultNames()).not.toContain('bad');
    expect(await keys('kept', 'bad')).toEqual([]);
  });

  it.each<[string, Readonly<Record<string, string>>, RegExp]>([
    ['no bucket', { 's3.bucket': '' }, /Property 's3\.bucket' is required/],
    [
      'an unknown type',
      { type: 's4' },
      /Invalid value 's4' for property 'type'; allowed: s3, file/,
    ],
    [
      'a property nobody knows',
      { 's3.buckett': 'x' },
      /Unknown property 's3\.buckett'; did you mean/,
    ],
    ['a wrong flag', { use_path_style: 'perhaps' }, /Invalid value 'perhaps' for .*use_path_style/],
  ])('is refused with %s before anything is asked of a store', async (_, changes, text) => {
    const error = await server.error(createVault('bad', changes));
    expect(error.errno).toBe(1105);
    expect(error.message).toMatch(text);
    expect(await vaultNames()).not.toContain('bad');
  });

  it('does the main job when it is the default', async () => {
    await server.sql(createVault('good'));
    expect((await server.error(createVault('good'))).message).toBe(
      'Storage vault good already exists',
    );
    expect(await keys('kept', 'good')).toEqual([]);
    await server.sql('SET good AS DEFAULT STORAGE VAULT');
    await server.sql(`CREATE TABLE d.t (id INT, name STRING) DUPLICATE KEY(id)
      DISTRIBUTED BY HASH(id) BUCKETS 4`);
    const text = csvLines(0, 4000, 100);
    await loadRows(server, 'd.t', { text, headers: { column_separator: ',' } });
    await server.sql("INSERT INTO d.t VALUES (-1, 'by hand'), (-2, NULL)");
    const objects = await keys('kept', 'good/data/');
    expect(objects.length).toBeGreaterThan(4);
    expect(objects.every((key) => /^good\/data\/\d+\/[0-9a-f]{32}_0\.dat$/.test(key))).toBe(true);

    const query = 'SELECT COUNT(*) AS n, COUNT(name) AS names, MIN(name) AS first FROM d.t';
    await server.sql('USE @write_group');
    const answer = await server.sql(query);
    expect(answer).toMatchObject([{ n: 4002, names: 4001 }]);
    const job = await finished(
      server,
      await warmUp(server, 'WARM UP COMPUTE GROUP read_group WITH COMPUTE GROUP write_group'),
    );
    const sizes = await client.send(
      new ListObjectsV2Command({ Bucket: 'kept', Prefix: 'good/data/' }),
    );
    const bytes = (sizes.Contents ?? []).reduce((sum, { Size = 0 }) => sum + Size, 0);
    expect(job).toMatchObject({ FinishBytes: bytes, AllBytes: bytes });
    const reads = await storeReads(server, 'read_group');
    await server.sql('USE @read_group');
    expect(await server.sql(query)).toEqual(answer);
    expect(await storeReads(server, 'read_group')).toBe(reads);
    const drop = await server.error('DROP STORAGE VAULT good');
    expect(drop).toMatchObject({ errno: 1105 });
    expect(drop.message).toMatch(/still used by/);
  });

  it('keeps its secrets to itself', async () => {
    const shown = JSON.stringify([
      await server.sql('SHOW STORAGE VAULT'),
      await server.sql('SHOW FULL PROCESSLIST'),
      await server.sql('SHOW CREATE TABLE d.t'),
      await server.sql('SELECT * FROM information_schema.processlist'),
    ]);
    const texts = [shown, server.stderr];
    for (const entry of await readdir(server.dataDir, { recursive: true, withFileTypes: true })) {
      if (entry.isFile() && !entry.name.endsWith('.dat')) {
        texts.push(await readFile(join(entry.parentPath, entry.name), 'latin1'));
      }
    }
    expect(texts.length).toBeGreaterThan(3);
    for (const secret of [s3.secretKey, WRONG_SECRET]) {
      expect(texts.filter((text) => text.includes(secret))).toEqual([]);
    }
    // A statement with a secret that fails for another reason.
    const error = await server.error(createVault('good').replace('PROPERTIES', 'PROPERTEIS'));
    expect(error.errno).toBe(1064);
    const warnings = JSON.stringify(await server.sql('SHOW WARNINGS'));
    expect(error.message + warnings).not.toContain(s3.secretKey);
  });

  it('survives a restart with its credentials', async () => {
    await server.restart();
    expect(await vaultNames()).toContain('good');
    await server.sql("INSERT INTO d.t VALUES (-3, 'after the restart')");
    expect(await server.sql('SELECT name FROM d.t WHERE id = -3')).toEqual([
      { name: 'after the restart' },
    ]);
  });

  it('that misses an object fails that tablet by name, and the others are warm', async () => {
    await server.sql(createVault('holes'));
    await makeTable('holes', 'holes');
    const [lost = '', ...others] = await keys('kept', 'holes/data/');
    expect(others).toHaveLength(3);
    await client.send(new DeleteObjectCommand({ Bucket: 'kept', Key: lost }));
    const jobId = await warmUp(server, 'WARM UP COMPUTE GROUP read_group WITH TABLE d.holes');
    const job = await jobEnd(server, jobId);
    expect(job).toMatchObject({ Status: 'CANCELLED', FailedTablets: 1, SkippedTablets: 0 });
    expect(job['ErrMsg']).toMatch(/^1 of 4 tablets failed: /);
    expect(job['ErrMsg']).toContain(lost.replace('holes/', ''));
    expect(Number(job['FinishBytes'])).toBeLessThan(Number(job['AllBytes']));
    const cached = await cachedKeys('read_group');
    for (const key of others) expect(cached).toContain(key.replace('holes/', ''));
    // A read that needs the object says which one it misses.
    const error = await server.error('SELECT MAX(name) FROM d.holes');
    expect(error.errno).toBe(1105);
    expect(error.message).toContain(lost.replace('holes/', ''));
  });

  it('whose bucket vanishes in the middle ends the job, saying so', async () => {
    await server.sql(
      createVault('vanishing', { 's3.endpoint': gate.endpoint, 's3.bucket': 'vanishing' }),
    );
    await makeTable('gone', 'vanishing');
    // Four tablets, two backends, one download at a time: one of them has another one to ask for.
    gate.holdAfter(1);
    const jobId = await warmUp(server, 'WARM UP COMPUTE GROUP read_group WITH TABLE d.gone');
    await until('the gate', () => gate.held > 0);
    expect((await jobRow(server, jobId))['Status']).toBe('RUNNING');
    await s3.deleteBucket('vanishing');
    gate.open();
    const job = await jobEnd(server, jobId);
    expect(job['Status']).toBe('CANCELLED');
    expect(job['ErrMsg']).toMatch(
      /^[1-4] of 4 tablets failed: data\/\d+\/[0-9a-f]{32}_0\.dat: .*bucket/i,
    );
    // Everything else goes on.
    expect(await server.sql('SELECT COUNT(*) AS n FROM d.t')).toEqual([{ n: 4003 }]);
  });

  it('whose server is away for a moment is asked again', async () => {
    await clearCaches('read_group');
    await s3.stopGateway();
    const jobId = await warmUp(server, 'WARM UP COMPUTE GROUP read_group WITH TABLE d.t');
    await until('failed requests', async () => {
      const backends = await backendsOf(server, 'read_group');
      const texts = await Promise.all(
        backends.map(async (backend) => {
          const url = `http://127.0.0.1:${String(backend['HttpPort'])}/metrics`;
          return await (await fetch(url)).text();
        }),
      );
      return texts.some((text) =>
        /^object_store_errors_total\{[^}]*"get"[^}]*\} [1-9]/m.test(text),
      );
    });
    expect((await jobRow(server, jobId))['Status']).toBe('RUNNING');
    await s3.startGateway();
    expect(await finished(server, jobId)).toMatchObject({ FailedTablets: 0, ErrMsg: '' });
  });

  async function clearCaches(group: string): Promise<void> {
    for (const backend of await backendsOf(server, group)) {
      const url = `http://127.0.0.1:${String(backend['HttpPort'])}/api/file_cache`;
      await fetch(`${url}?op=clear&sync=true`);
    }
  }

  async function cachedKeys(group: string): Promise<string> {
    let text = '';
    for (const backend of await backendsOf(server, group)) {
      const url = `http://127.0.0.1:${String(backend['HttpPort'])}/api/file_cache`;
      text += await (await fetch(`${url}?op=list_cache&value=data/`)).text();
    }
    return text;
  }
});
