/** Statements about cooldown, on what backends have reported. */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { BackendId, TabletId } from '../../../base/ids.ts';
import type { ReplicaReport } from '../../../base/replica.ts';
import { reportSum } from '../../../base/report_sum.ts';
import type { TableDef } from '../../../base/schema.ts';
import { ShowFixture } from './fixture.ts';

let fixture: ShowFixture;
let table: TableDef;
let backends: readonly BackendId[];
let seq: number;

beforeEach(async () => {
  fixture = await ShowFixture.open();
  seq = 0;
  backends = (await fixture.group('g', [1, 2])).map(({ backendId }) => backendId);
  await fixture.run(`CREATE RESOURCE r PROPERTIES("type" = "local",
    "local.root.path" = "${fixture.dir}/bucket");
    CREATE STORAGE POLICY p PROPERTIES("storage_resource" = "r", "cooldown_ttl" = "60");
    CREATE DATABASE d;
    CREATE TABLE d.t (k INT) DISTRIBUTED BY HASH(k) BUCKETS 2
      PROPERTIES("replication_num" = "2", "storage_policy" = "p");
    CREATE TABLE d.plain (k INT) DISTRIBUTED BY HASH(k) BUCKETS 1
      PROPERTIES("replication_num" = "2");
    CREATE TABLE d.shared (k INT) DISTRIBUTED BY HASH(k) BUCKETS 1`);
  table = await fixture.table('d', 't');
});
afterEach(async () => {
  await fixture.services.cooldown.close();
  await fixture.close();
});

const tablets = (): TabletId[] =>
  fixture.catalog.tablets.ofTable(table.tableId).map(({ tabletId }) => tabletId);

function firstTablet(): TabletId {
  const [tablet] = tablets();
  if (tablet === undefined) throw new Error('no tablet');
  return tablet;
}

/** Every replica says this of itself, besides who leads it. */
function report(
  change: (backendId: BackendId, tabletId: TabletId) => Partial<ReplicaReport>,
): void {
  seq += 1;
  for (const backendId of backends) {
    const replicas = tablets().flatMap((tabletId) =>
      fixture.catalog.replicas
        .ofTablet(tabletId)
        .filter((replica) => replica.backendId === backendId)
        .map((replica): ReplicaReport => {
          const lead = fixture.catalog.cooldown.lead(tabletId);
          return {
            tabletId,
            replicaId: replica.replicaId,
            partitionId: table.partitions[0]?.partitionId as never,
            version: 1,
            rows: 0,
            localBytes: 100,
            remoteBytes: 0,
            rowsets: 1,
            isBad: false,
            cooldownState: 'HOT',
            cooldownWaits: '',
            cooldownError: '',
            busy: false,
            ...(lead === undefined ? {} : { lead }),
            ...change(backendId, tabletId),
          };
        }),
    );
    fixture.services.cooldown.reports.receive({
      backendId,
      incarnation: fixture.registry.status(backendId)?.incarnation ?? '',
      seq,
      kind: 'FULL',
      isLast: true,
      replicas,
      gone: [],
      sums: replicas.slice(0, 1).map(({ partitionId }) => ({
        partitionId,
        replicas: replicas.length,
        sum: reportSum(replicas),
      })),
      policies: [],
      resources: [],
    });
  }
}

async function round(): Promise<void> {
  const { scheduler } = fixture.services.cooldown;
  scheduler.wake();
  await scheduler.idle();
}

describe('SHOW COOLDOWN JOB', () => {
  it('shows an election from its beginning to its end', async () => {
    await round();
    const [job, ...others] = await fixture.objects('SHOW COOLDOWN JOB');
    expect(others).toEqual([]);
    expect(job).toMatchObject({
      State: 'RUNNING',
      Tablets: 2n,
      Elected: 2n,
      Unconfirmed: 4n,
      FinishTime: null,
      TimeoutSecond: 600n,
      Reason: 'there was no leader',
      ErrMsg: '',
    });
    report(() => ({}));
    await round();
    const done = await fixture.objects("SHOW COOLDOWN JOB WHERE State = 'FINISHED'");
    expect(done).toMatchObject([{ JobId: job?.['JobId'], Unconfirmed: null }]);
    expect(await fixture.objects("SHOW COOLDOWN JOB WHERE State = 'RUNNING'")).toEqual([]);
    expect(await fixture.objects("SHOW COOLDOWN JOB LIKE 'FIN%'")).toHaveLength(1);
    expect(await fixture.objects('SHOW COOLDOWN JOB ORDER BY JobId DESC LIMIT 0')).toEqual([]);
    expect(await fixture.error('SHOW COOLDOWN JOB WHERE Nothing = 1')).toMatch(/^1054 /);
  });

  it('that is not there is no row and one warning', async () => {
    await round();
    const [job] = await fixture.objects('SHOW COOLDOWN JOB');
    expect(fixture.warnings()).toEqual([]);
    expect(await fixture.objects('SHOW COOLDOWN JOB WHERE id = 7')).toEqual([]);
    expect(fixture.warnings()).toEqual(['Warning 1105 cooldown job 7 does not exist']);
    const known = `SHOW COOLDOWN JOB WHERE JobId = ${String(job?.['JobId'])}`;
    expect(await fixture.objects(`${known} AND State = 'FINISHED'`)).toEqual([]);
    expect(await fixture.objects(known)).toHaveLength(1);
    expect(fixture.warnings()).toEqual([]);
  });

  it('is a row of the list of processes as long as it runs', async () => {
    await round();
    const list = "SHOW FULL PROCESSLIST WHERE Info LIKE 'COOLDOWN JOB %'";
    const [job] = await fixture.objects('SHOW COOLDOWN JOB');
    const [row, ...others] = await fixture.objects(list);
    expect(others).toEqual([]);
    expect(row).toMatchObject({
      User: 'system user',
      Command: 'Daemon',
      State: '4 replicas have not confirmed',
      Info: `COOLDOWN JOB ${String(job?.['JobId'])}: 2 elected of 2 tablets, there was no leader`,
    });
    expect(await fixture.error(`KILL ${String(row?.['Id'])}`)).toMatch(
      new RegExp(`^1094 .*CANCEL COOLDOWN JOB ${String(job?.['JobId'])}`),
    );
    report(() => ({}));
    await round();
    expect(await fixture.objects(list)).toEqual([]);
  });

  it('is cancelled by its id, once', async () => {
    await round();
    const [job] = await fixture.objects('SHOW COOLDOWN JOB');
    const id = String(job?.['JobId']);
    expect(await fixture.error(`CANCEL COOLDOWN JOB WHERE id = ${id}`)).toBe('no error');
    expect(await fixture.objects('SHOW COOLDOWN JOB')).toMatchObject([
      { State: 'CANCELLED', ErrMsg: 'user cancel' },
    ]);
    expect(await fixture.error(`CANCEL COOLDOWN JOB WHERE id = ${id}`)).toBe(
      `1105 cooldown job ${id} does not exist, or has ended`,
    );
    expect(await fixture.error('CANCEL COOLDOWN JOB WHERE id = 1')).toMatch(
      /^1105 cooldown job 1 /,
    );
    expect(await fixture.error('CANCEL COOLDOWN JOB')).toMatch(/Missing job id/);
  });
});

describe('SHOW COOLDOWN FROM', () => {
  it('says per tablet who uploads, how far, and what it waits for', async () => {
    const columns = `TabletId PartitionName IndexName StoragePolicy LeaderReplicaId LeaderBackendId
      Term MetaId CooledVersion VisibleVersion DueTime State WaitingFor LastError LocalDataSize
      RemoteDataSize Replicas SettledReplicas JobId`;
    const { names } = await fixture.rows('SHOW COOLDOWN FROM d.t');
    expect(names).toEqual(columns.split(/\s+/));
    await round();
    const [before] = await fixture.objects('SHOW COOLDOWN FROM d.t');
    expect(before).toMatchObject({
      State: 'WAITING',
      Term: 1n,
      MetaId: null,
      CooledVersion: null,
      SettledReplicas: 0n,
    });
    expect(String(before?.['WaitingFor'])).toMatch(/^cooldown job \d+ \(RUNNING\)$/);
    report(() => ({ dueMs: Date.UTC(2026, 0, 1, 12) }));
    await round();
    const hot = await fixture.objects('SHOW COOLDOWN FROM d.t');
    expect(hot).toMatchObject(
      Array.from({ length: 2 }, () => ({
        State: 'HOT',
        StoragePolicy: 'p',
        DueTime: '2026-01-01 12:00:00.000',
        WaitingFor: '',
        LocalDataSize: 200n,
        SettledReplicas: 2n,
        JobId: null,
      })),
    );
  });

  it('tells a leader that failed from followers that are late', async () => {
    await round();
    const leaderOf = (tabletId: TabletId): unknown => {
      const lead = fixture.catalog.cooldown.lead(tabletId);
      const replicas = fixture.catalog.replicas.ofTablet(tabletId);
      return replicas.find(({ replicaId }) => replicaId === lead?.replicaId)?.backendId;
    };
    const cooled = { cooldownState: 'COOLED', metaId: 'm', cooledVersion: 1 } as const;
    report((backendId, tabletId) =>
      leaderOf(tabletId) === backendId
        ? { ...cooled, localBytes: 0, remoteBytes: 70 }
        : { cooldownState: 'WAITING', cooldownWaits: 'for its turn' },
    );
    await round();
    const [late] = await fixture.objects('SHOW COOLDOWN FROM d.t');
    expect(late).toMatchObject({
      State: 'WAITING',
      MetaId: 'm',
      CooledVersion: 1n,
      RemoteDataSize: 70n,
      LocalDataSize: 100n,
      SettledReplicas: 1n,
    });
    expect(late?.['WaitingFor']).toMatch(/^followers: replica \d+ on backend \d+: for its turn$/);
    report((backendId, tabletId) =>
      leaderOf(tabletId) === backendId
        ? { cooldownState: 'FAILED', cooldownError: 'HTTP 503', cooldownWaits: 'for a retry' }
        : {},
    );
    expect(await fixture.objects('SHOW COOLDOWN FROM d.t LIMIT 1')).toMatchObject([
      { State: 'FAILED', LastError: 'HTTP 503', WaitingFor: 'for a retry' },
    ]);
  });

  it('has no rows for a shared table, and no policy for one without', async () => {
    expect(await fixture.objects('SHOW COOLDOWN FROM d.shared')).toEqual([]);
    expect(await fixture.objects('SHOW COOLDOWN FROM d.plain')).toMatchObject([
      { StoragePolicy: null, State: 'NONE', LeaderReplicaId: null, Term: null },
    ]);
    expect(await fixture.error('SHOW COOLDOWN FROM d.nope')).toMatch(/^1146 /);
  });
});

describe('ADMIN COOLDOWN TABLE', () => {
  it.each([
    ['d.shared', '1105 nothing of table d.shared can be cooled: it is not replicated'],
    [
      'd.plain',
      '1105 nothing of table d.plain can be cooled: none of its partitions has a storage policy',
    ],
    ['d.nope', "1146 Table 'd.nope' doesn't exist"],
    ['d.t', 'no error'],
    ['d.t PARTITION (t)', 'no error'],
  ])('%s: %s', async (name, message) => {
    expect(await fixture.error(`ADMIN COOLDOWN TABLE ${name}`)).toBe(message);
  });

  it('names a partition that is not there', async () => {
    expect(await fixture.error('ADMIN COOLDOWN TABLE d.t PARTITION (nope)')).toContain('nope');
  });
});

describe('ADMIN SET COOLDOWN LEADER', () => {
  it('gives the replica the next term', async () => {
    report(() => ({}));
    await round();
    const tablet = firstTablet();
    const lead = fixture.catalog.cooldown.lead(tablet);
    const other = fixture.catalog.replicas
      .ofTablet(tablet)
      .find(({ replicaId }) => replicaId !== lead?.replicaId);
    const set = `ADMIN SET COOLDOWN LEADER FOR TABLET ${tablet} TO REPLICA`;
    expect(await fixture.error(`${set} ${other?.replicaId}`)).toBe('no error');
    expect(fixture.catalog.cooldown.lead(tablet)).toEqual({
      replicaId: other?.replicaId,
      term: 2,
    });
    expect(await fixture.error(`${set} 1`)).toBe(
      `1105 replica 1 cannot lead tablet ${tablet}: the tablet has no such replica`,
    );
    expect(await fixture.error('ADMIN SET COOLDOWN LEADER FOR TABLET 1 TO REPLICA 1')).toContain(
      'there is no such tablet of a replicated table',
    );
  });
});

it('CHECK COOLDOWN TABLE says which tablets nobody could look at', async () => {
  const found = await fixture.objects('CHECK COOLDOWN TABLE d.t');
  expect(found.map((row) => [row['TabletId'], row['Problem'], row['Repaired']])).toEqual(
    tablets().map((tabletId) => [BigInt(tabletId), 'unchecked', null]),
  );
  expect(await fixture.error('CHECK COOLDOWN TABLE d.shared')).toContain('it is not replicated');
});

it('SHOW DATA SKEW counts what one replica has, wherever that is', async () => {
  report((backendId, tabletId) => ({
    rows: 7,
    localBytes: tabletId === firstTablet() ? 0 : backendId === backends[0] ? 100 : 200,
    remoteBytes: tabletId === firstTablet() ? 50 : 0,
  }));
  expect((await fixture.rows('SHOW DATA SKEW FROM d.t')).rows).toEqual([
    ['t', 0n, 7n, 50n, '>'.repeat(25), '25.00%'],
    ['t', 1n, 7n, 150n, '>'.repeat(75), '75.00%'],
  ]);
});

it('ADMIN SHOW REPLICA STATUS says of each replica what is wrong with it', async () => {
  const [first, second] = backends;
  report((backendId, tabletId) => ({
    isBad: backendId === first && tabletId === firstTablet(),
  }));
  const status = async (): Promise<unknown[][]> =>
    (await fixture.objects("ADMIN SHOW REPLICA STATUS FROM d.t WHERE Status != 'OK'")).map(
      ({ BackendId: id, Status, WaitReason }) => [id, Status, WaitReason],
    );
  if (first === undefined || second === undefined) throw new Error('no backends');
  const bad = [BigInt(first), 'BAD', 'it is damaged, and to be replaced'];
  expect(await status()).toEqual([bad]);
  fixture.registry.forget(second);
  const dead = [BigInt(second), 'DEAD', `backend ${second} is not alive`];
  expect(await status()).toEqual([bad, dead, dead]);
});

it('ADMIN SHOW REPLICA STATUS has a row for each replica that is not there', async () => {
  report(() => ({}));
  const [, gone] = fixture.catalog.replicas.ofTablet(firstTablet());
  if (gone === undefined) throw new Error('no replica');
  await fixture.catalog.replicas.remove([gone]);
  const sql = "ADMIN SHOW REPLICA STATUS FROM d.t WHERE Status != 'OK'";
  const numbers = Array.from({ length: 8 }, () => -1n);
  expect((await fixture.rows(sql)).rows).toEqual([
    [BigInt(firstTablet()), ...numbers, null, null, null, 'MISSING', 'it is to be made'],
  ]);
});

it('SHOW COOLDOWN FROM waits for a leader whose backend is not alive', async () => {
  await round();
  report((_, tabletId) =>
    tabletId === firstTablet()
      ? { cooldownState: 'COOLED', metaId: 'm', cooledVersion: 1, localBytes: 0, remoteBytes: 9 }
      : { cooldownState: 'COOLING', cooldownWaits: 'an upload' },
  );
  await round();
  for (const backendId of backends) fixture.registry.forget(backendId);
  const rows = await fixture.objects('SHOW COOLDOWN FROM d.t');
  const leaders = rows.map((row) => String(row['LeaderBackendId']));
  expect(rows.map((row) => [row['State'], row['WaitingFor']])).toEqual([
    ['COOLED', `backend ${leaders[0]} of the leader, which is not alive`],
    ['WAITING', `backend ${leaders[1]} of the leader, which is not alive`],
  ]);
});

describe('SHOW PROC of replicas', () => {
  it('is where SHOW TABLET leads to', async () => {
    report((_, tabletId) =>
      tabletId === firstTablet() ? { remoteBytes: 70, localBytes: 0, metaId: 'm1' } : {},
    );
    const [tablet] = await fixture.objects(`SHOW TABLET ${firstTablet()}`);
    const ids = ['DbId', 'TableId', 'PartitionId', 'IndexId'].map((name) => String(tablet?.[name]));
    const [db, of, ...within] = ids;
    const path = ['/dbs', db, of, 'partitions', ...within, firstTablet()].join('/');
    expect(tablet?.['DetailCmd']).toBe(`SHOW PROC '${path}';`);
    const rows = await fixture.objects(`SHOW PROC '${path}';`);
    expect(rows.map(({ BackendId: id }) => id)).toEqual(backends.map(BigInt));
    expect(Object.keys(rows[0] ?? {}).join(' ')).toBe(
      'ReplicaId BackendId Version LstSuccessVersion LstFailedVersion LstFailedTime SchemaHash ' +
        'LocalDataSize RemoteDataSize RowCount State IsBad IsUserDrop VisibleVersionCount ' +
        'VersionCount PathHash Path MetaUrl CompactionStatus CooldownReplicaId CooldownMetaId QueryHits',
    );
    for (const row of rows) {
      expect(row).toMatchObject({ LocalDataSize: 0n, RemoteDataSize: 70n, CooldownMetaId: 'm1' });
    }
  });

  it('counts tablets that are not healthy', async () => {
    report((backendId, tabletId) => ({
      isBad: backendId === backends[0] && tabletId === firstTablet(),
    }));
    const [one, total] = await fixture.objects("SHOW PROC '/statistic'");
    const counts = { TableNum: '3', PartitionNum: '3', IndexNum: '3', TabletNum: '4' };
    const states = { UnhealthyTabletNum: '1', CloningTabletNum: '0', BadTabletNum: '1' };
    expect(one).toMatchObject({ DbName: 'd', ...counts, ReplicaNum: '7', ...states });
    expect(total).toEqual({ ...one, DbId: 'Total', DbName: '1' });
    const ids = await fixture.objects(`SHOW PROC '/statistic/${String(one?.['DbId'])}'`);
    const bad = String(firstTablet());
    expect(ids).toEqual([
      { UnhealthyTablets: bad, InconsistentTablets: '', CloningTablets: '', BadTablets: bad },
    ]);
    const [second] = backends;
    if (second !== undefined) fixture.registry.forget(second);
    const [after] = await fixture.objects("SHOW PROC '/statistic'");
    expect(after).toMatchObject({ UnhealthyTabletNum: '3' });
  });
});
