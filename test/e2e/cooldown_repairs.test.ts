/**
 * What is wrong in a real bucket and how it comes right again: HEAD lost or unreadable, parts of
 * uploads that nobody will end.
 */
import {
  DeleteObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  type S3Client,
} from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createHash } from 'node:crypto';
import { type S3Server, s3ServerMissing, startS3Server } from '../s3_server.ts';
import { type Row, ServerProcess, until } from './server_process.ts';
import { loadRows } from './warm_up_steps.ts';

const BUCKET = 'cold';
const SETTINGS = {
  generate_cooldown_task_interval_sec: '1',
  report_tablet_interval_seconds: '1',
  heartbeat_interval_ms: '200',
  // A slow machine is no dead backend.
  max_backend_heartbeat_failure_tolerance_count: '50',
  remove_unused_remote_files_interval_sec: '100000',
  cooldown_garbage_grace_seconds: '0',
  garbage_grace_ms: '0',
};
const SLOW_MS = 60_000;
/** Larger than a part, so that it is uploaded in parts. */
const LARGE_ROWS = 400;
const LARGE_ROW_BYTES = 60_000;

const missing = s3ServerMissing();
(missing === undefined ? describe : describe.skip)('a bucket', () => {
  let s3: S3Server;
  let client: S3Client;
  let server: ServerProcess;

  beforeAll(async () => {
    s3 = await startS3Server();
    await s3.createBucket(BUCKET);
    client = s3.client();
    server = await ServerProcess.start({ args: ['--embedded', 'g=3'], settings: SETTINGS });
    await server.sql(`CREATE RESOURCE r PROPERTIES${s3.resource(BUCKET, 'x')}`);
    await server.sql(
      'CREATE STORAGE POLICY later PROPERTIES("storage_resource"="r", "cooldown_ttl"="10d")',
    );
    await server.sql('CREATE DATABASE d');
  }, SLOW_MS);
  afterAll(async () => {
    await server?.stop();
    client?.destroy();
    await s3?.stop();
  });

  async function table(name: string): Promise<string> {
    await server.sql(
      `CREATE TABLE d.${name} (a INT, b STRING) DISTRIBUTED BY HASH(a) BUCKETS 1
       PROPERTIES("replication_num"="3", "storage_policy"="later")`,
    );
    const [tablet] = await server.sql(`SHOW TABLETS FROM d.${name}`);
    return `x/data/${tablet?.['TabletId']}/`;
  }

  async function cooled(name: string): Promise<void> {
    let last: Row | undefined;
    await until(
      `${name} to be cooled`,
      async () => {
        await server.sql(`ADMIN COOLDOWN TABLE d.${name}`);
        last = await server.row(`SHOW COOLDOWN FROM d.${name}`);
        const isAll = last['CooledVersion'] === last['VisibleVersion'];
        return last['State'] === 'COOLED' && isAll && last['Replicas'] === last['SettledReplicas'];
      },
      SLOW_MS,
    ).catch((error: unknown) => {
      throw new Error(`${String(error)}: ${JSON.stringify(last)}`);
    });
  }

  async function keys(Prefix: string): Promise<string[]> {
    const { Contents = [] } = await client.send(
      new ListObjectsV2Command({ Bucket: BUCKET, Prefix }),
    );
    return Contents.map(({ Key = '' }) => Key);
  }

  async function unfinished(): Promise<string[]> {
    const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket: BUCKET }));
    return Uploads.map(({ Key = '' }) => Key);
  }

  it(
    'without HEAD, and with one that is none, is repaired; followers take what is published then',
    async () => {
      const prefix = await table('t');
      // Several manifests, so that followers have seen a number that is not the first.
      for (const a of [1, 2, 3]) {
        await server.sql(`INSERT INTO d.t VALUES (${a}, 'x')`);
        await cooled('t');
      }
      const Key = `${prefix}HEAD`;
      const damages = [
        async () => await client.send(new DeleteObjectCommand({ Bucket: BUCKET, Key })),
        async () => await client.send(new PutObjectCommand({ Bucket: BUCKET, Key, Body: '{' })),
      ];
      for (const [at, damage] of damages.entries()) {
        await damage();
        const found = await server.sql('CHECK COOLDOWN TABLE d.t REPAIR');
        const heads = found.filter((row) => row['Problem'] === 'head');
        expect(heads).toMatchObject([{ Object: expect.stringMatching(/HEAD$/), Repaired: 'true' }]);
        await server.sql(`INSERT INTO d.t VALUES (${4 + at}, 'x')`);
        await cooled('t');
      }
      const sum = await server.row('SELECT COUNT(*) AS n, SUM(a) AS s FROM d.t');
      expect([Number(sum['n']), Number(sum['s'])]).toEqual([5, 15]);
    },
    2 * SLOW_MS,
  );

  it(
    'has no parts left of an upload that was killed, when its table is dropped',
    async () => {
      const prefix = await table('large');
      const limit = 'cooldown_upload_rate_limit_bytes_per_second';
      await server.sql(`ADMIN SET FRONTEND CONFIG ("${limit}" = "2MB")`);
      const text = Array.from({ length: LARGE_ROWS }, (_, at) => `${at},${noise(at)}`).join('\n');
      await loadRows(server, 'd.large', { text, headers: { column_separator: ',' } });
      await until('a leader', async () => {
        await server.sql('ADMIN COOLDOWN TABLE d.large');
        return (await unfinished()).length > 0;
      });
      await server.kill9();
      expect((await unfinished()).every((key) => key.startsWith(prefix))).toBe(true);
      await server.launch();
      await server.sql('DROP TABLE d.large FORCE');
      await until(
        'an empty prefix',
        async () => [...(await keys(prefix)), ...(await unfinished())].length === 0,
        SLOW_MS,
      );
    },
    2 * SLOW_MS,
  );
});

/** Text that does not shrink. */
function noise(seed: number): string {
  let text = '';
  for (let at = 0; text.length < LARGE_ROW_BYTES; at += 1) {
    text += createHash('sha512').update(`${seed} ${at}`).digest('base64');
  }
  return text;
}
