/** What jobs do on backends, as rows of the list of processes: merges, schema changes, copies. */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { ReplicaId, TabletId } from '../../base/ids.ts';
import { id, rowsetId } from '../../base/ids.ts';
import type { BackendDef, TableDef } from '../../base/schema.ts';
import type { RunningClone } from '../../jobs/replica_clones.ts';
import { Rights } from '../../server/access/rights.ts';
import { JobProcesses } from '../../server/job_processes.ts';
import { ShowFixture } from './executors/fixture.ts';

let show: ShowFixture;
let table: TableDef;
let backend: BackendDef;
let tabletId: TabletId;

const LIST = "SHOW FULL PROCESSLIST WHERE Command = 'Daemon'";

beforeEach(async () => {
  show = await ShowFixture.open();
  const [first] = await show.group('g', [7001]);
  if (first === undefined) throw new Error('no backend');
  backend = first;
  await show.run(
    'CREATE DATABASE d; CREATE TABLE d.t (k INT, v INT) DISTRIBUTED BY HASH(k) BUCKETS 1',
  );
  table = await show.table('d', 't');
  tabletId = show.catalog.tablets.ofTable(table.tableId)[0]?.tabletId ?? id<TabletId>(0);
});
afterEach(async () => {
  await show.close();
});

describe('a compaction', () => {
  const begin = async (): Promise<void> => {
    await show.catalog.compactions.begin({
      tabletId,
      tableId: table.tableId,
      vaultId: table.vaultId,
      rowsetId: rowsetId('f'.repeat(32)),
      kind: 'CUMULATIVE',
      backendId: backend.backendId,
      inputRowsets: 2,
      inputBytes: 200,
    });
  };

  it('is a row with what is merged, where, and since when', async () => {
    await begin();
    show.clock.ms += 3500;
    const [row, ...others] = await show.objects(LIST);
    expect(others).toEqual([]);
    expect(row).toMatchObject({
      User: 'system user',
      Host: '127.0.0.1:7001',
      db: 'd',
      State: 'merging 2 rowsets, 200 bytes',
      Info: `CUMULATIVE COMPACTION of tablet ${tabletId} of d.t on backend ${backend.backendId}`,
    });
    expect(Number(row?.['Time'])).toBe(3);
    const again = await show.objects(LIST);
    expect(again[0]?.['Id']).toBe(row?.['Id']);
    expect(await show.error(`KILL ${String(row?.['Id'])}`)).toMatch(
      /^1094 .*disable_auto_compaction/,
    );
  });

  it('shows to those who may see the table', async () => {
    await begin();
    const { jobProcesses } = show.services;
    const scope = { kind: 'TABLE', db: 'd', name: 't' } as const;
    expect(await jobProcesses.list(new Rights([{ scope, privilege: 'SELECT' }]))).toHaveLength(1);
    const other = { ...scope, name: 'u' };
    expect(await jobProcesses.list(new Rights([{ scope: other, privilege: 'SELECT' }]))).toEqual(
      [],
    );
    expect(await jobProcesses.list(new Rights([]))).toEqual([]);
  });
});

describe('a schema change', () => {
  it('is a row until it is cancelled', async () => {
    await show.run('ALTER TABLE d.t MODIFY COLUMN v BIGINT');
    const [row] = await show.objects(LIST);
    expect(row).toMatchObject({ db: 'd', User: 'system user' });
    expect(row?.['Info']).toMatch(/^ALTER TABLE COLUMN JOB \d+: d\.t by backends of g$/);
    expect(await show.error(`KILL ${String(row?.['Id'])}`)).toMatch(
      /^1094 .*CANCEL ALTER TABLE COLUMN FROM d\.t/,
    );
    await show.run('CANCEL ALTER TABLE COLUMN FROM d.t');
    expect(await show.objects(LIST)).toEqual([]);
  });
});

describe('a copy of a replica', () => {
  it('is a row with where from and where to', async () => {
    const clone: RunningClone = {
      tabletId,
      replicaId: id<ReplicaId>(42),
      target: backend.backendId,
      source: backend.backendId,
      sinceMs: show.clock.now() - 2000,
    };
    const processes = new JobProcesses({
      ...show.services,
      replicaRepair: { runningClones: [clone] },
    });
    const scope = { kind: 'TABLE', db: 'd', name: 't' } as const;
    const rights = new Rights([{ scope, privilege: 'SELECT' }]);
    const [row] = await processes.list(rights);
    expect(row).toMatchObject({
      host: '127.0.0.1:7001',
      database: 'd',
      seconds: 2,
      state: `copying from backend ${backend.backendId}`,
      info: `REPLICA 42 of tablet ${tabletId} of d.t on backend ${backend.backendId}`,
    });
    expect(await processes.list(new Rights([]))).toEqual([]);
  });
});
