/**
 * Cooldown while everything dies: three backend processes, a server and an S3 server; a seed says
 * who is killed -9 and when, while rows are loaded, cooled, merged and collected. At the end every
 * row that was acknowledged is there once, all replicas agree, and the bucket has what it should.
 */
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { type Connection, createConnection } from 'mysql2/promise';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type S3Server, s3ServerMissing, startS3Server } from '../s3_server.ts';
import { seededRandom } from '../be-agent/store/test_ports.ts';
import { BackendProcess } from './backend_process.ts';
import { ServerProcess, until } from './server_process.ts';

const BUCKET = 'cold';
const SEED = Number(process.env['CHAOS_SEED'] ?? 7);
const STEPS = Number(process.env['CHAOS_STEPS'] ?? 14);
const SLOW_MS = 120_000;
const SETTINGS = [
  'generate_cooldown_task_interval_sec=1',
  'report_tablet_interval_seconds=1',
  'cooldown_leader_dead_seconds=1',
  'heartbeat_interval_ms=100',
  'tablet_schedule_interval_ms=100',
  'tablet_repair_delay_seconds=600',
  'cold_data_compaction_interval_sec=1',
  'cold_data_compaction_score_threshold=4',
  'remove_unused_remote_files_interval_sec=1',
  'confirm_unused_remote_files_interval_sec=1',
  'cooldown_garbage_grace_seconds=2',
  'object_store_retries=1',
];

const missing = s3ServerMissing();
(missing === undefined ? describe : describe.skip)(`chaos with seed ${SEED}`, () => {
  const random = seededRandom(SEED);
  const backends: BackendProcess[] = [];
  const story: string[] = [];
  /** Rows whose INSERT was acknowledged, and those whose answer was lost. */
  const acknowledged = new Set<number>();
  const unknown = new Set<number>();
  let s3: S3Server;
  let server: ServerProcess;
  let next = 1;

  beforeAll(async () => {
    s3 = await startS3Server();
    await s3.createBucket(BUCKET);
    // Backends come back to the server by its port.
    const args = ['--embedded', 'none', '--http-port', String(await freePort())];
    server = await ServerProcess.start({
      args: [...args, ...SETTINGS.flatMap((setting) => ['--set', setting])],
    });
    await server.sql('CREATE COMPUTE GROUP g');
    for (let i = 0; i < 3; i += 1) {
      const backend = await BackendProcess.start({ server, args: ['--compute-group', 'g'] });
      await backend.alive();
      backends.push(backend);
    }
    await server.sql(`CREATE RESOURCE r PROPERTIES${s3.resource(BUCKET, 'x')}`);
    await server.sql(
      'CREATE STORAGE POLICY p PROPERTIES("storage_resource"="r", "cooldown_ttl"="1")',
    );
    await server.sql('CREATE DATABASE d');
    await server.sql(
      `CREATE TABLE d.t (a INT, b VARCHAR(40)) DISTRIBUTED BY HASH(a) BUCKETS 2
       PROPERTIES("replication_num"="3", "storage_policy"="p")`,
    );
  }, SLOW_MS);
  afterAll(async () => {
    await Promise.all(backends.map(async (backend) => await backend.stop()));
    await server?.stop();
    await s3?.stop();
  }, SLOW_MS);

  async function load(count = 1 + random.int(4)): Promise<void> {
    const rows = Array.from({ length: count }, () => next++);
    const values = rows.map((a) => `(${a}, 'row ${a}')`).join(', ');
    let client: Connection | undefined;
    try {
      // Of its own, so that it ends with the server and not before.
      client = await createConnection({ port: server.mysqlPort, user: 'root' });
      client.on('error', () => undefined);
      await client.query(`INSERT INTO d.t VALUES ${values}`);
      for (const a of rows) acknowledged.add(a);
    } catch (error) {
      for (const a of rows) unknown.add(a);
      story.push(`  the load failed: ${String(error)}`);
    } finally {
      client?.destroy();
    }
  }

  async function kill(backend: BackendProcess): Promise<void> {
    story.push(`kill -9 backend ${backend.backendId}`);
    await backend.kill9();
  }

  async function revive(): Promise<void> {
    for (const backend of backends) {
      if (backend.running) continue;
      story.push(`start backend ${backend.backendId}`);
      await backend.launch();
    }
  }

  async function restartServer(): Promise<void> {
    story.push('kill -9 server');
    await server.kill9();
    await server.launch();
  }

  /** Two of three backends, which a load needs. */
  async function majority(): Promise<void> {
    if (backends.filter(({ running }) => running).length < 2) await revive();
    await until('two backends', async () => {
      const rows = await server.sql('SHOW BACKENDS');
      return rows.filter((row) => row['Alive'] === 'true').length >= 2;
    });
  }

  /** A load that is on its way when somebody dies. */
  async function loadDuring(disaster: () => Promise<void>): Promise<void> {
    const loading = load();
    await disaster();
    await loading;
  }

  async function step(): Promise<void> {
    const [dead] = backends.filter(({ running }) => !running);
    const backend = backends[random.int(backends.length)];
    switch (random.int(8)) {
      case 0:
      case 1:
        story.push('load');
        await majority();
        await load();
        return;
      case 2:
        if (dead === undefined && backend !== undefined) {
          await loadDuring(async () => {
            await kill(backend);
          });
        } else await revive();
        return;
      case 3:
        await loadDuring(restartServer);
        return;
      case 4:
        // Two of three: no majority until they are back.
        if (backend !== undefined) await kill(backend);
        await revive();
        return;
      case 5:
        story.push('ADMIN COOLDOWN');
        await server.sql('ADMIN COOLDOWN TABLE d.t').catch(() => undefined);
        return;
      case 6:
        if (dead === undefined && backend !== undefined) {
          const [leader] = await server.sql('SHOW COOLDOWN FROM d.t');
          const led = backends.find(
            ({ backendId }) => backendId === Number(leader?.['LeaderBackendId']),
          );
          await kill(led ?? backend);
        } else await revive();
        return;
      default:
        story.push('wait');
        await until('a turn of everything', () => performance.now() > deadline(500));
    }
  }

  let waitUntilMs = 0;
  function deadline(ms: number): number {
    if (waitUntilMs < performance.now() - ms) waitUntilMs = performance.now() + ms;
    return waitUntilMs;
  }

  it(
    'loses nothing',
    async () => {
      // So many that no tablet is empty.
      await load(16);
      for (let i = 0; i < STEPS; i += 1) await step();
      await revive();
      await majority();
      await load();
      await settled().catch((error: unknown) => {
        const lines = backends.map(({ stderr }) => stderr.slice(-3000)).join('\n---\n');
        throw new Error(
          `${String(error)}\n${story.join('\n')}\n${server.stderr.slice(-3000)}\n${lines}`,
        );
      });
      const rows = await server.sql('SELECT a, COUNT(*) AS n, MIN(b) AS b FROM d.t GROUP BY a');
      const seen = new Map(rows.map((row) => [Number(row['a']), row]));
      const lost = [...acknowledged].filter((a) => !seen.has(a));
      const doubled = rows.filter((row) => Number(row['n']) !== 1);
      const strange = [...seen.keys()].filter((a) => !acknowledged.has(a) && !unknown.has(a));
      expect({ lost, doubled, strange, story: lost.length > 0 ? story : [] }).toEqual({
        lost: [],
        doubled: [],
        strange: [],
        story: [],
      });
      await until(
        'a clean bucket',
        async () => (await server.sql('CHECK COOLDOWN TABLE d.t')).length === 0,
        SLOW_MS,
      ).catch(async (error: unknown) => {
        const found = await server.sql('CHECK COOLDOWN TABLE d.t');
        throw new Error(`${String(error)}: ${JSON.stringify(found)}\n${story.join('\n')}`);
      });
      // The caches are emptied: what is read now is what the bucket has.
      for (const { httpPort } of backends) {
        await fetch(`http://127.0.0.1:${httpPort}/api/file_cache?op=clear&sync=true`);
      }
      const again = await server.row('SELECT COUNT(*) AS n, COUNT(DISTINCT a) AS d FROM d.t');
      expect(again).toEqual({ n: seen.size, d: seen.size });
    },
    4 * SLOW_MS,
  );

  async function settled(): Promise<void> {
    let last: unknown;
    await until(
      'all replicas to agree',
      async () => {
        const rows = await server.sql('SHOW COOLDOWN FROM d.t');
        last = rows;
        const status = await server.sql('ADMIN SHOW REPLICA STATUS FROM d.t');
        return (
          rows.every(
            (row) =>
              row['State'] === 'COOLED' &&
              row['CooledVersion'] === row['VisibleVersion'] &&
              row['Replicas'] === row['SettledReplicas'],
          ) && status.every((row) => row['Status'] === 'OK')
        );
      },
      SLOW_MS,
    ).catch((error: unknown) => {
      throw new Error(`${String(error)}: ${JSON.stringify(last)}`);
    });
  }
});

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  return port;
}
