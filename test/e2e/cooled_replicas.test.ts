/**
 * Cooled replicas on backends that are processes: the leader's backend is killed and decommissioned,
 * a disk is lost, replicas are added; the data is uploaded once and never lost.
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BackendProcess } from './backend_process.ts';
import { type Row, ServerProcess, until } from './server_process.ts';
import { backendsOf, csvLines, loadRows, vaultObjects } from './warm_up_steps.ts';

const CSV = { column_separator: ',' };
const BUCKETS = 2;
const SETTINGS = [
  'heartbeat_interval_ms=200',
  'tablet_repair_delay_seconds=600',
  'tablet_schedule_interval_ms=100',
  'report_tablet_interval_seconds=1',
  'generate_cooldown_task_interval_sec=1',
  'cooldown_leader_dead_seconds=3',
];
const PATIENCE_MS = 60_000;

let server: ServerProcess;
let resource = '';
let loaded = 0;
const backends: BackendProcess[] = [];

beforeAll(async () => {
  resource = await mkdtemp(join(tmpdir(), 'thermocline-resource-'));
  server = await ServerProcess.start({
    args: ['--embedded', 'none', ...SETTINGS.flatMap((setting) => ['--set', setting])],
  });
  await server.sql('CREATE COMPUTE GROUP g');
  for (let i = 0; i < 4; i += 1) {
    const backend = await BackendProcess.start({ server, args: ['--compute-group', 'g'] });
    backends.push(backend);
    await backend.alive();
  }
  await server.sql(
    `CREATE RESOURCE "r" PROPERTIES ("type" = "local", "local.root.path" = "${resource}")`,
  );
  await server.sql(
    'CREATE STORAGE POLICY p PROPERTIES ("storage_resource" = "r", "cooldown_ttl" = "1")',
  );
  await server.sql('CREATE DATABASE d');
  await server.sql(
    `CREATE TABLE d.t (id INT, name STRING) DUPLICATE KEY(id)
     DISTRIBUTED BY HASH(id) BUCKETS ${BUCKETS}
     PROPERTIES ("replication_num" = "3", "storage_policy" = "p")`,
  );
});
afterAll(async () => {
  await Promise.all(backends.map(async (backend) => backend.stop()));
  await server.stop();
  await rm(resource, { recursive: true, force: true });
});

async function load(count: number): Promise<void> {
  await loadRows(server, 'd.t', { text: csvLines(loaded, count, 40), headers: CSV });
  loaded += count;
}

async function expectAllRows(): Promise<void> {
  expect(await server.row('SELECT COUNT(*) AS n, COUNT(DISTINCT id) AS d FROM d.t')).toEqual({
    n: loaded,
    d: loaded,
  });
}

/** All replicas complete and cooled, with the same list of cooled rowsets. */
async function cooled(replicas: number): Promise<Row[]> {
  let rows: Row[] = [];
  await until(
    'cooled replicas',
    async () => {
      rows = await server.sql('SHOW TABLETS FROM d.t');
      const lists = new Set(rows.map((row) => `${row['TabletId']} ${row['CooldownMetaId']}`));
      return (
        rows.length === replicas &&
        lists.size === BUCKETS &&
        rows.every((row) => Number(row['LocalDataSize']) === 0) &&
        rows.every((row) => Number(row['RemoteDataSize']) > 0 && row['State'] === 'NORMAL') &&
        (await server.sql('ADMIN SHOW REPLICA STATUS FROM d.t WHERE STATUS != "OK"')).length === 0
      );
    },
    PATIENCE_MS,
  ).catch((error: unknown) => {
    throw new Error(`${String(error)}: ${JSON.stringify(rows)}`);
  });
  return rows;
}

/** The process that has the leader of the first tablet. */
function leaderOf(rows: readonly Row[]): BackendProcess {
  const row = rows.find((one) => one['ReplicaId'] === one['CooldownReplicaId']);
  const found = backends.find(({ backendId }) => backendId === Number(row?.['BackendId']));
  if (found === undefined) throw new Error(`no leader: ${JSON.stringify(rows)}`);
  return found;
}

async function dataObjects(): Promise<number> {
  return (await vaultObjects(resource)).paths.length;
}

describe('cooled replicas on processes', () => {
  it('are uploaded once', async () => {
    await load(1000);
    await cooled(3 * BUCKETS);
    await expectAllRows();
    expect(await dataObjects()).toBe(BUCKETS);
  });

  it('go on when the leader dies, and adopt what it left', async () => {
    const leader = leaderOf(await cooled(3 * BUCKETS));
    await load(1000);
    await leader.kill9();
    await leader.dead();
    await load(1000);
    await expectAllRows();
    await until(
      'another leader',
      async () => {
        const rows = await server.sql('SHOW TABLETS FROM d.t');
        return leaderOf(rows) !== leader;
      },
      PATIENCE_MS,
    );
    await leader.launch();
    await cooled(3 * BUCKETS);
    await expectAllRows();
  });

  it('are copied by their lists when a disk is lost', async () => {
    const rows = await cooled(3 * BUCKETS);
    const leader = leaderOf(rows);
    const follower = backends.find(
      (one) => one !== leader && rows.some((row) => Number(row['BackendId']) === one.backendId),
    );
    await follower?.kill9();
    for (const file of ['storage', 'agent.db', 'agent.db-wal', 'agent.db-shm']) {
      await rm(join(follower?.dataDir ?? '', file), { recursive: true, force: true });
    }
    const objects = await dataObjects();
    await follower?.launch();
    await until('the loss to be seen', async () => {
      const where = "WHERE STATUS IN ('MISSING', 'VERSION_ERROR')";
      return (await server.sql(`ADMIN SHOW REPLICA STATUS FROM d.t ${where}`)).length > 0;
    });
    await cooled(3 * BUCKETS);
    await expectAllRows();
    expect(await dataObjects()).toBe(objects);
  });

  it('leave the backend of the leader when it is decommissioned', async () => {
    const leader = leaderOf(await cooled(3 * BUCKETS));
    const objects = await dataObjects();
    await server.sql(`ALTER SYSTEM DECOMMISSION BACKEND "${leader.backendId}"`);
    const [row] = (await backendsOf(server, 'g')).filter(
      ({ BackendId }) => Number(BackendId) === leader.backendId,
    );
    expect(row?.['SystemDecommissioned'] ?? 'true').toBe('true');
    await until('its end', async () => (await backendsOf(server, 'g')).length === 3, PATIENCE_MS);
    await leader.stop();
    const rows = await cooled(3 * BUCKETS);
    expect(rows.map((one) => Number(one['BackendId']))).not.toContain(leader.backendId);
    await expectAllRows();
    expect(await dataObjects()).toBe(objects);
    await load(1000);
    await cooled(3 * BUCKETS);
    await expectAllRows();
  });

  it('leave nothing behind when the table is dropped', async () => {
    await server.sql('DROP TABLE d.t FORCE');
    await until('an empty resource', async () => (await dataObjects()) === 0, PATIENCE_MS);
  });
});
