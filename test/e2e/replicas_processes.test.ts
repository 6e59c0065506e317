/**
 * Replicated tables on backends that are processes: a kill -9 during a load, repair after the
 * return and elsewhere, decommissioning, more and fewer replicas, disks that are lost.
 */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { request } from 'undici';
import { BackendProcess } from './backend_process.ts';
import { type Row, ServerProcess, until } from './server_process.ts';
import { type LoadAnswer, backendsOf, csvLines, loadRows, streamLoad } from './warm_up_steps.ts';

const CSV = { column_separator: ',' };
const BUCKETS = 4;
const SETTINGS = [
  'heartbeat_interval_ms=100',
  'tablet_repair_delay_seconds=3',
  'tablet_schedule_interval_ms=100',
  'report_tablet_interval_seconds=1',
];

let server: ServerProcess;
const backends: BackendProcess[] = [];

beforeAll(async () => {
  server = await ServerProcess.start({
    args: ['--embedded', 'none', ...SETTINGS.flatMap((setting) => ['--set', setting])],
  });
  await server.sql('CREATE COMPUTE GROUP g');
  for (let i = 0; i < 3; i += 1) backends.push(await joined());
  await server.sql('CREATE DATABASE d');
  await server.sql(
    `CREATE TABLE d.t (id INT, name STRING) DUPLICATE KEY(id)
     DISTRIBUTED BY HASH(id) BUCKETS ${BUCKETS} PROPERTIES ("replication_num" = "3")`,
  );
});
afterAll(async () => {
  await Promise.all(backends.map(async (backend) => backend.stop()));
  await server.stop();
});

async function joined(): Promise<BackendProcess> {
  const backend = await BackendProcess.start({ server, args: ['--compute-group', 'g'] });
  await backend.alive();
  return backend;
}

async function load(from: number, count: number): Promise<void> {
  await loadRows(server, 'd.t', { text: csvLines(from, count, 40), headers: CSV });
}

async function counted(): Promise<unknown> {
  return await server.row('SELECT COUNT(*) AS n, COUNT(DISTINCT id) AS d FROM d.t');
}

async function status(where = ''): Promise<Row[]> {
  return await server.sql(`ADMIN SHOW REPLICA STATUS FROM d.t ${where}`);
}

/** `n` replicas, all of them good, spread over backends as they should be. */
async function healthy(n: number): Promise<void> {
  let rows: Row[] = [];
  await until(`${n} good replicas`, async () => {
    rows = await status();
    return rows.length === n && rows.every((row) => row['Status'] === 'OK');
  }).catch((error: unknown) => {
    throw new Error(`${String(error)}: ${JSON.stringify(rows)}`);
  });
}

function holders(rows: readonly Row[]): Set<string> {
  return new Set(rows.map((row) => String(row['BackendId'])));
}

describe('a replicated table on three processes', () => {
  it('has every row on every backend', async () => {
    await load(0, 1000);
    expect(await counted()).toEqual({ n: 1000, d: 1000 });
    await healthy(3 * BUCKETS);
    expect(holders(await status()).size).toBe(3);
  });

  it("shows its replicas in Doris's columns, and so do the backends", async () => {
    let rows: Row[] = [];
    await until('the reports', async () => {
      rows = await server.sql('SHOW TABLETS FROM d.t');
      return rows.every((row) => Number(row['Version']) === Number(row['VersionCount']));
    });
    const [row] = rows;
    const names = Object.keys(row ?? {});
    expect(names.slice(0, 21).join(' ')).toBe(
      'TabletId ReplicaId BackendId SchemaHash Version LstSuccessVersion LstFailedVersion ' +
        'LstFailedTime LocalDataSize RemoteDataSize RowCount State LstConsistencyCheckTime ' +
        'CheckVersion VersionCount QueryHits PathHash MetaUrl CompactionStatus ' +
        'CooldownReplicaId CooldownMetaId',
    );
    expect(rows).toHaveLength(3 * BUCKETS);
    expect(row).toMatchObject({
      State: 'NORMAL',
      RemoteDataSize: 0,
      CooldownReplicaId: -1,
      CooldownMetaId: '',
    });
    const one = rows.filter((other) => other['BackendId'] === row?.['BackendId']);
    expect(one.reduce((sum, { RowCount }) => sum + Number(RowCount), 0)).toBe(1000);
    const header = await request(String(row?.['MetaUrl']));
    expect(await header.body.json()).toMatchObject({
      tablet_id: row?.['TabletId'],
      replica_id: row?.['ReplicaId'],
      version: 2,
      rs_metas: [
        { start_version: 0, end_version: 1 },
        { start_version: 2, end_version: 2 },
      ],
    });
    const sizes = await request(String(row?.['MetaUrl']).replace('meta/header', 'data_size'));
    expect(await sizes.body.json()).toEqual({
      local_data_size: row?.['LocalDataSize'],
      remote_data_size: 0,
    });
    const [detail] = await server.sql(`SHOW TABLET ${String(row?.['TabletId'])}`);
    const replicas = await server.sql(String(detail?.['DetailCmd']));
    const own = rows.filter(({ TabletId }) => TabletId === row?.['TabletId']);
    const shared = [
      'ReplicaId',
      'BackendId',
      'LocalDataSize',
      'RowCount',
      'VersionCount',
      'MetaUrl',
    ];
    const picked = (all: typeof rows) => all.map((one) => shared.map((name) => one[name]));
    expect(picked(replicas)).toEqual(picked(own));
    const local = rows.reduce((sum, { LocalDataSize }) => sum + Number(LocalDataSize), 0);
    const [data] = await server.sql('SHOW DATA FROM d.t');
    expect(data).toMatchObject({ ReplicaCount: String(3 * BUCKETS), RowCount: '1000' });
    expect(Number.parseFloat(String(data?.['Size']))).toBeCloseTo(local / 1024, 1);
    const [backend] = await backendsOf(server, 'g');
    expect(backend).toMatchObject({ TabletNum: String(BUCKETS), RemoteUsedCapacity: '0.000 B' });
  });

  it('takes loads while a backend is killed, and repairs it when it is back', async () => {
    const [, second] = backends;
    const loads = [1, 2, 3, 4, 5, 6].map(async (part) => {
      if (part === 2) await second?.kill9();
      return await streamLoad(server, 'd.t', {
        text: csvLines(part * 1000, 1000, 40),
        headers: { ...CSV, label: `part${part}` },
      });
    });
    await Promise.allSettled(loads);
    // Those that went to the dead backend, or were lost with it, are sent again under their label.
    for (const part of [1, 2, 3, 4, 5, 6]) {
      await until(`load ${part}`, async () => {
        const answer = await streamLoad(server, 'd.t', {
          text: csvLines(part * 1000, 1000, 40),
          headers: { ...CSV, label: `part${part}` },
        }).catch((): LoadAnswer => ({ Status: 'away' }));
        if (answer['Status'] === 'Success') return true;
        const isThere = answer['Status'] === 'Label Already Exists';
        return isThere && answer['ExistingJobStatus'] === 'FINISHED';
      });
    }
    expect(await counted()).toEqual({ n: 7000, d: 7000 });
    await second?.launch();
    await healthy(3 * BUCKETS);
    expect(await counted()).toEqual({ n: 7000, d: 7000 });
  });

  it('reads what was repaired when it is the only one left', async () => {
    const [first, second, third] = backends;
    await first?.kill9();
    await third?.kill9();
    await until('the rows from one backend', async () => {
      return await counted().then(
        (row) => (row as Row)['n'] === 7000,
        () => false,
      );
    });
    expect(second?.running).toBe(true);
    await first?.launch();
    await third?.launch();
    await healthy(3 * BUCKETS);
  });

  it('copies anew what a lost disk had', async () => {
    const [first] = backends;
    await first?.kill9();
    await rm(join(first?.dataDir ?? '', 'storage'), { recursive: true });
    await rm(join(first?.dataDir ?? '', 'agent.db'));
    await rm(join(first?.dataDir ?? '', 'agent.db-wal'), { force: true });
    await rm(join(first?.dataDir ?? '', 'agent.db-shm'), { force: true });
    await first?.launch();
    await until('the loss to be seen', async () => {
      return (await status("WHERE STATUS IN ('MISSING', 'VERSION_ERROR')")).length > 0;
    });
    await healthy(3 * BUCKETS);
    expect(await counted()).toEqual({ n: 7000, d: 7000 });
  });

  it('has fewer or more replicas when it is told to', async () => {
    await server.sql('ALTER TABLE d.t SET ("replication_num" = "1")');
    await healthy(BUCKETS);
    expect(await counted()).toEqual({ n: 7000, d: 7000 });
    await server.sql('ALTER TABLE d.t MODIFY PARTITION (*) SET ("replication_num" = "2")');
    await healthy(2 * BUCKETS);
    expect(await counted()).toEqual({ n: 7000, d: 7000 });
    const error = await server.error('ALTER TABLE d.t SET ("replication_num" = "9")');
    expect(error.message).toMatch(/9 replicas wanted/);
  });

  it('stays when the decommissioning is cancelled', async () => {
    const [first] = backends;
    const clones = async (most: number): Promise<void> => {
      await server.sql(`ADMIN SET FRONTEND CONFIG ("max_concurrent_replica_clones" = "${most}")`);
    };
    await clones(0);
    await server.sql(`ALTER SYSTEM DECOMMISSION BACKEND "${first?.backendId}"`);
    await until('replicas that are to go', async () =>
      (await status()).some((row) => row['State'] === 'DECOMMISSIONING'),
    );
    const shown = async (): Promise<unknown> =>
      (await backendsOf(server, 'g')).find(
        (row) => Number(row['BackendId']) === first?.backendId,
      )?.['SystemDecommissioned'];
    expect(await shown()).toBe('true');
    await server.sql(`CANCEL DECOMMISSION BACKEND "${first?.backendId}"`);
    expect(await shown()).toBe('false');
    await clones(64);
    await healthy(2 * BUCKETS);
    expect(await counted()).toEqual({ n: 7000, d: 7000 });
    const error = await server.error(`CANCEL DECOMMISSION BACKEND "${first?.backendId}"`);
    expect(error.message).toMatch(/is not being decommissioned/);
  });

  it('moves away from a backend that is decommissioned, and from one that stays dead', async () => {
    const [first, second] = backends;
    await server.sql(`ALTER SYSTEM DECOMMISSION BACKEND "${first?.backendId}"`);
    await until('its end', async () => (await backendsOf(server, 'g')).length === 2);
    await healthy(2 * BUCKETS);
    expect(await counted()).toEqual({ n: 7000, d: 7000 });
    const error = await server.error(`ALTER SYSTEM DECOMMISSION BACKEND "${second?.backendId}"`);
    expect(error.message).toMatch(/2 replicas wanted/);
    const fourth = await joined();
    backends.push(fourth);
    await second?.kill9();
    await until('its replicas elsewhere', async () =>
      holders(await status('WHERE STATUS = "OK"')).has(String(fourth.backendId)),
    );
    await until('all of them', async () => {
      return (await status('WHERE STATUS = "OK"')).length === 2 * BUCKETS;
    });
    expect(await counted()).toEqual({ n: 7000, d: 7000 });
    await server.sql(`ALTER SYSTEM DROP BACKEND "${second?.backendId}"`);
    await healthy(2 * BUCKETS);
    const needed = backends[2];
    await fourth.kill9();
    await server.sql(`ALTER SYSTEM DROP BACKEND "${fourth.backendId}"`);
    const last = await server.error(`ALTER SYSTEM DROP BACKEND "${needed?.backendId}"`);
    expect(last.message).toMatch(/no other has a complete replica/);
    expect(await counted()).toEqual({ n: 7000, d: 7000 });
  });
});
