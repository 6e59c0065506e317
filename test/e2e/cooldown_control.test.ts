/**
 * Who cools what, end to end, on a directory as resource and with the settings that a new server
 * has (reports once a minute): elections, their jobs, changes by statements, crashes of the server.
 */
import { readdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type Row, ServerProcess, until } from './server_process.ts';

const SETTINGS = {
  generate_cooldown_task_interval_sec: '1',
  cooldown_leader_dead_seconds: '2',
  heartbeat_interval_ms: '200',
  // A backend that is stopped or killed is dead at once; silence is only a slow machine here.
  max_backend_heartbeat_failure_tolerance_count: '25',
};
const SLOW_MS = 60_000;

let server: ServerProcess;
let bucket: string;

beforeAll(async () => {
  server = await ServerProcess.start({ args: ['--embedded', 'g=3'], settings: SETTINGS });
  bucket = join(server.dataDir, 'bucket');
  await server.sql(
    `CREATE RESOURCE r PROPERTIES("type" = "local", "local.root.path" = "${bucket}")`,
  );
  await server.sql('CREATE DATABASE d');
}, SLOW_MS);
afterAll(async () => {
  await server?.stop();
});

async function policy(name: string, ttl: string): Promise<void> {
  await server.sql(
    `CREATE STORAGE POLICY ${name} PROPERTIES("storage_resource" = "r", "cooldown_ttl" = "${ttl}")`,
  );
}

async function table(name: string, of: string, buckets: number): Promise<void> {
  await server.sql(
    `CREATE TABLE d.${name} (a INT, b INT) DISTRIBUTED BY HASH(a) BUCKETS ${buckets}
     PROPERTIES("replication_num" = "3", "storage_policy" = "${of}")`,
  );
}

const cooldown = async (name: string): Promise<Row[]> =>
  await server.sql(`SHOW COOLDOWN FROM d.${name}`);

async function one(name: string): Promise<Row> {
  const [row] = await cooldown(name);
  if (row === undefined) throw new Error(`${name} has no tablet`);
  return row;
}

async function untilCooled(name: string): Promise<void> {
  let last: Row[] = [];
  await until(
    `${name} to be cooled`,
    async () => {
      last = await cooldown(name);
      return last.every(
        (row) =>
          row['State'] === 'COOLED' &&
          row['CooledVersion'] === row['VisibleVersion'] &&
          row['Replicas'] === row['SettledReplicas'],
      );
    },
    SLOW_MS,
  ).catch((error: unknown) => {
    throw new Error(`${String(error)}: ${JSON.stringify(last)}`);
  });
}

async function objectsOf(tabletId: unknown): Promise<string[]> {
  const names = await readdir(join(bucket, 'data', String(tabletId)), { recursive: true });
  return names.filter((name) => name.endsWith('.dat'));
}

describe('elections', () => {
  it(
    '300 tablets have leaders in seconds, in jobs of at most 100, spread over the backends',
    async () => {
      await policy('never', '3650d');
      await table('many', 'never', 300);
      await until('all leaders', async () => {
        const rows = await cooldown('many');
        return rows.every(
          (row) => row['Term'] === 1 && row['SettledReplicas'] === 3 && row['State'] === 'HOT',
        );
      });
      const rows = await cooldown('many');
      expect(rows).toHaveLength(300);
      const leads = Map.groupBy(rows, (row) => row['LeaderBackendId']);
      expect([...leads.values()].map((own) => own.length)).toEqual([100, 100, 100]);
      const jobs = await server.sql("SHOW COOLDOWN JOB WHERE State = 'FINISHED'");
      expect(jobs.reduce((sum, job) => sum + Number(job['Elected']), 0)).toBe(300);
      expect(Math.max(...jobs.map((job) => Number(job['Tablets'])))).toBeLessThanOrEqual(100);
      expect(await server.sql('SELECT * FROM information_schema.cooldown_jobs')).toEqual(
        await server.sql('SHOW COOLDOWN JOB'),
      );
      const listed = await server.row(
        "SELECT COUNT(*) AS n FROM information_schema.cooldown_tablets WHERE TableName = 'many'",
      );
      expect(listed['n']).toBe(300);
    },
    SLOW_MS,
  );

  it(
    'a leader that was asked for uploads from its term on; the old one follows',
    async () => {
      await policy('soon', '1');
      await table('moves', 'soon', 1);
      await server.sql('INSERT INTO d.moves VALUES (1, 1)');
      await untilCooled('moves');
      const before = await one('moves');
      const replicas = await server.sql('SHOW TABLETS FROM d.moves');
      const next = replicas.find((row) => row['ReplicaId'] !== before['LeaderReplicaId']);
      const { TabletId: tablet } = before;
      await server.sql(
        `ADMIN SET COOLDOWN LEADER FOR TABLET ${tablet} TO REPLICA ${next?.['ReplicaId']}`,
      );
      await server.sql('INSERT INTO d.moves VALUES (2, 2)');
      await untilCooled('moves');
      const after = await one('moves');
      expect(after).toMatchObject({
        Term: Number(before['Term']) + 1,
        LeaderReplicaId: next?.['ReplicaId'],
      });
      // What the first one has uploaded is not uploaded again.
      expect(await objectsOf(tablet)).toHaveLength(2);
      expect(await server.sql('SELECT a FROM d.moves ORDER BY a')).toEqual([{ a: 1 }, { a: 2 }]);
    },
    2 * SLOW_MS,
  );

  it(
    'terms and jobs survive kill -9 of the server, at whatever moment, and never fall',
    async () => {
      await server.sql('DROP TABLE d.many FORCE');
      const terms = new Map<unknown, number>();
      for (let round = 0; round < 3; round += 1) {
        await table(`crash${round}`, 'never', 200);
        await server.kill9();
        await server.launch();
        for (let of = 0; of <= round; of += 1) {
          let open: Row[] = [];
          await until(
            'all leaders',
            async () => {
              const rows = await cooldown(`crash${of}`);
              open = rows.filter((row) => row['Term'] === null || row['SettledReplicas'] !== 3);
              return open.length === 0;
            },
            SLOW_MS,
          ).catch((error: unknown) => {
            throw new Error(
              `${String(error)}: ${open.length}, ${JSON.stringify(open.slice(0, 2))}`,
            );
          });
          for (const row of await cooldown(`crash${of}`)) {
            const { TabletId: tablet, Term: term } = row;
            expect(Number(term)).toBeGreaterThanOrEqual(terms.get(tablet) ?? 1);
            terms.set(tablet, Number(term));
          }
        }
      }
      await until('no job under way', async () => {
        const jobs = await server.sql('SHOW COOLDOWN JOB');
        return jobs.every((job) => job['State'] === 'FINISHED');
      });
      expect(server.stderr).not.toContain('corruption');
    },
    3 * SLOW_MS,
  );
});

describe('statements', () => {
  it(
    'ALTER STORAGE POLICY takes effect without waiting for a report',
    async () => {
      await policy('changes', '10d');
      await table('altered', 'changes', 2);
      await server.sql('INSERT INTO d.altered VALUES (1, 1), (2, 2), (3, 3), (4, 4)');
      await until('a due time', async () => (await one('altered'))['DueTime'] !== null, SLOW_MS);
      expect(await one('altered')).toMatchObject({ State: 'HOT', CooledVersion: null });
      await server.sql('ALTER STORAGE POLICY changes PROPERTIES("cooldown_ttl" = "1")');
      await untilCooled('altered');
    },
    2 * SLOW_MS,
  );

  it(
    'a policy bound and taken away again: what is cooled stays readable',
    async () => {
      await server.sql(
        `CREATE TABLE d.bound (a INT) DISTRIBUTED BY HASH(a) BUCKETS 1
         PROPERTIES("replication_num" = "3")`,
      );
      await server.sql('INSERT INTO d.bound VALUES (1)');
      expect(await one('bound')).toMatchObject({ State: 'NONE', Term: null });
      expect((await server.error('ADMIN COOLDOWN TABLE d.bound')).message).toContain(
        'has a storage policy',
      );
      await server.sql('ALTER TABLE d.bound SET ("storage_policy" = "soon")');
      await untilCooled('bound');
      await server.sql('ALTER TABLE d.bound SET ("storage_policy" = "")');
      await server.sql('INSERT INTO d.bound VALUES (2)');
      expect(await server.sql('SELECT a FROM d.bound ORDER BY a')).toEqual([{ a: 1 }, { a: 2 }]);
      expect(await one('bound')).toMatchObject({ StoragePolicy: null, CooledVersion: 2 });
    },
    2 * SLOW_MS,
  );

  it(
    'ADMIN COOLDOWN TABLE cools one partition now, and leaves the others',
    async () => {
      await server.sql(
        `CREATE TABLE d.parts (a INT NOT NULL) PARTITION BY RANGE(a)
           (PARTITION p1 VALUES LESS THAN (10), PARTITION p2 VALUES LESS THAN (20))
         DISTRIBUTED BY HASH(a) BUCKETS 1
         PROPERTIES("replication_num" = "3", "storage_policy" = "never")`,
      );
      await server.sql('INSERT INTO d.parts VALUES (1), (11)');
      await server.sql('ADMIN COOLDOWN TABLE d.parts PARTITION (p1)');
      await until(
        'p1 to be cooled',
        async () => (await one('parts'))['State'] === 'COOLED',
        SLOW_MS,
      );
      const [p1, p2] = await cooldown('parts');
      expect(p1).toMatchObject({ PartitionName: 'p1', CooledVersion: 2 });
      expect(p2).toMatchObject({ PartitionName: 'p2', CooledVersion: null, State: 'HOT' });
    },
    2 * SLOW_MS,
  );

  it(
    'a dead backend keeps nobody from a leader, and hears of it when it is back',
    async () => {
      const [backend] = await server.sql('SHOW BACKENDS');
      const stopped = backend?.['BackendId'];
      await server.sql(`ALTER SYSTEM KILL BACKEND ${stopped}`);
      await table('waits', 'never', 3);
      await until('leaders', async () => (await one('waits'))['Term'] !== null, SLOW_MS);
      await server.sql(`ALTER SYSTEM START BACKEND ${stopped}`);
      await until(
        'all replicas',
        async () => (await cooldown('waits')).every((row) => row['SettledReplicas'] === 3),
        SLOW_MS,
      );
    },
    2 * SLOW_MS,
  );

  it(
    'CHECK COOLDOWN TABLE finds nothing, also after all that',
    async () => {
      await until(
        'a clean bucket',
        async () => (await server.sql('CHECK COOLDOWN TABLE d.moves')).every(isYoung),
        SLOW_MS,
      );
      expect(await server.sql('CHECK COOLDOWN TABLE d.altered REPAIR')).toEqual([]);
    },
    2 * SLOW_MS,
  );

  it(
    'another resource may follow a policy that was taken away and has left nothing',
    async () => {
      await server.sql(
        `CREATE RESOURCE r2 PROPERTIES("type" = "local", "local.root.path" = "${bucket}2")`,
      );
      await server.sql(
        'CREATE STORAGE POLICY elsewhere PROPERTIES("storage_resource" = "r2", "cooldown_ttl" = "1")',
      );
      const set = async (name: string, to: string): Promise<string> =>
        await server.sql(`ALTER TABLE d.${name} SET ("storage_policy" = "${to}")`).then(
          () => 'done',
          (error: unknown) => (error as Error).message,
        );
      await table('switches', 'never', 1);
      await server.sql('INSERT INTO d.switches VALUES (1, 1)');
      expect(await set('switches', 'elsewhere')).toMatch(/with different resource$/);
      expect(await set('switches', '')).toBe('done');
      await until('all replicas to have heard', async () => {
        return (await set('switches', 'elsewhere')) === 'done';
      });
      await untilCooled('switches');
      expect(await server.sql('SELECT a FROM d.switches')).toEqual([{ a: 1 }]);
      // What is cooled in r2 stays there, and keeps others away.
      expect(await set('switches', '')).toBe('done');
      expect(await set('switches', 'never')).toMatch(
        /with different resource \(partition switches: 2 cooled rowsets of 1 tablets, \d+ objects with \S+ \S+, lie in resource r2; TRUNCATE or DROP frees it\)$/,
      );
      await server.sql('TRUNCATE TABLE d.switches');
      expect(await set('switches', 'never')).toBe('done');
    },
    2 * SLOW_MS,
  );

  it(
    'a directory that is not mounted is named with its resource, and nothing is made in its place',
    async () => {
      const away = `${bucket}.away`;
      await rename(bucket, away);
      try {
        for (const { BackendId } of await server.sql('SHOW BACKENDS')) {
          await server.sql(`ALTER SYSTEM STOP BACKEND ${BackendId}`);
          await server.sql(`ALTER SYSTEM START BACKEND ${BackendId}`);
        }
        const [problem] = await server.sql('CHECK COOLDOWN TABLE d.moves');
        expect(problem).toMatchObject({ Problem: 'unchecked' });
        expect(problem?.['Detail']).toContain(`${bucket}: the directory of resource r is missing`);
        expect(await readdir(server.dataDir)).not.toContain('bucket');
      } finally {
        await rename(away, bucket);
      }
      await until(
        'a clean bucket',
        async () => (await server.sql('CHECK COOLDOWN TABLE d.moves')).every(isYoung),
        SLOW_MS,
      );
    },
    2 * SLOW_MS,
  );
});

/** Lists of before, which stay for the grace period of an hour. */
function isYoung(row: Row): boolean {
  return row['Problem'] === 'orphan' && /\/m\/.*\.meta$/.test(String(row['Object']));
}
