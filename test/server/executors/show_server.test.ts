import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { LiveConnection } from '../../../server/mysql/connection_registry.ts';
import { OUR_TABLES, SCHEMA, SchemaSource } from '../../../server/schema_source.ts';
import { ShowFixture } from './fixture.ts';

let show: ShowFixture;
beforeEach(async () => {
  show = await ShowFixture.open();
});
afterEach(async () => {
  await show.close();
});

describe('SHOW VARIABLES and SHOW STATUS', () => {
  it('shows variables of the session and of the server', async () => {
    show.session.variables.set('wait_timeout', 60n);
    expect(await show.text("SHOW VARIABLES LIKE 'wait_timeout'")).toEqual([
      'Variable_name | Value',
      'wait_timeout | 60',
    ]);
    const global = "SHOW GLOBAL VARIABLES WHERE Variable_name = 'wait_timeout' AND Value > 60";
    expect(await show.text(global)).toEqual(['Variable_name | Value', 'wait_timeout | 28800']);
  });

  it('takes user variables in conditions', async () => {
    show.session.variables.setUserVariable('v', 'autocommit');
    expect(await show.objects('SHOW VARIABLES WHERE Variable_name = @v')).toHaveLength(1);
  });

  it('counts what there is', async () => {
    expect(await show.text("SHOW STATUS LIKE 'Uptime'")).toEqual([
      'Variable_name | Value',
      'Uptime | 5',
    ]);
    show.services.connections.add(connection(1));
    show.services.connections.add(connection(2));
    const { counts } = show.services.connections;
    Object.assign(counts, { connections: 9, abortedConnects: 3, mostUsed: 4, bytesSent: 7 });
    const statements = show.services.statements;
    for (const kind of ['Select', 'Describe', 'ShowColumns', 'WarmUp'] as const) {
      statements.add(kind);
    }
    const status = await show.objects('SHOW GLOBAL STATUS');
    const values = new Map(status.map((row) => [row['Variable_name'], row['Value']]));
    const seen = {
      Threads_connected: '2',
      Threads_running: '2',
      Connections: '9',
      Aborted_connects: '3',
      Aborted_clients: '0',
      Max_used_connections: '4',
      // Of those that are closed and of the live ones.
      Bytes_received: '200',
      Bytes_sent: '407',
      Questions: '4',
      Com_select: '1',
      Com_show_fields: '2',
      Com_warm_up: '1',
      // What monitors make quotients of, although there is no such thing here.
      Com_update: '0',
      Key_read_requests: '0',
      Handler_read_rnd_next: '0',
    };
    expect(Object.fromEntries(Object.keys(seen).map((name) => [name, values.get(name)]))).toEqual(
      seen,
    );
    const names = [...values.keys()].map(String);
    expect(names).toEqual(names.toSorted((a, b) => (a < b ? -1 : 1)));
  });
});

const LONG = `SELECT '${'x'.repeat(200)}'`;

function connection(id: number, statement = LONG): LiveConnection {
  return {
    id,
    loggedIn: true,
    bytes: { received: 100, sent: 200 },
    entry: () => ({
      id,
      user: 'root',
      host: '127.0.0.1',
      port: 5000 + id,
      database: '',
      command: 'Query',
      state: '',
      sinceMs: show.services.clock.now() - 2500,
      statement,
      attributes: {},
    }),
    kill: () => undefined,
  };
}

describe('SHOW PROCESSLIST', () => {
  it('cuts statements without FULL', async () => {
    show.services.connections.add(connection(3));
    expect(await show.text('SHOW PROCESSLIST')).toEqual([
      'Id | User | Host | db | Command | Time | State | Info | Progress',
      `3 | root | 127.0.0.1:5003 | null | Query | 2 |  | ${LONG.slice(0, 100)} | 0`,
    ]);
    const [row] = await show.objects('SHOW FULL PROCESSLIST');
    expect(row?.['Info']).toBe(LONG);
  });

  it('shows no secrets', async () => {
    const secret = "ALTER USER root IDENTIFIED BY 'hunter2'";
    show.services.connections.add(connection(3, secret));
    for (const statement of ['SHOW PROCESSLIST', 'SHOW FULL PROCESSLIST']) {
      const shown = (await show.text(statement)).join('\n');
      expect(shown).toContain('******');
      expect(shown).not.toContain('hunter2');
    }
  });
});

describe('SHOW WARNINGS', () => {
  beforeEach(() => {
    show.session.warn({ level: 'Note', code: 1050, message: 'there' });
    show.session.warn({ level: 'Error', code: 1064, message: 'bad' });
  });

  it('shows and counts, and leaves them', async () => {
    expect(await show.text('SHOW WARNINGS')).toEqual([
      'Level | Code | Message',
      'Note | 1050 | there',
      'Error | 1064 | bad',
    ]);
    expect(await show.text('SHOW WARNINGS LIMIT 1, 5')).toHaveLength(2);
    expect(await show.text("SHOW WARNINGS WHERE Level = 'Error'")).toHaveLength(2);
    expect(await show.text('SHOW WARNINGS ORDER BY Code DESC LIMIT 1')).toHaveLength(2);
    expect(await show.text('SHOW ERRORS')).toEqual([
      'Level | Code | Message',
      'Error | 1064 | bad',
    ]);
    expect(await show.text('SHOW COUNT(*) WARNINGS')).toEqual(['@@session.warning_count', '2']);
    expect(await show.text('SHOW COUNT(*) ERRORS')).toEqual(['@@session.error_count', '1']);
  });
});

describe('fixed lists', () => {
  it('has engines, charsets and collations', async () => {
    const [engine] = await show.objects("SHOW ENGINES WHERE Support = 'DEFAULT'");
    expect(engine?.['Engine']).toBe('OLAP');
    expect(await show.text("SHOW CHARSET LIKE 'utf8mb4'")).toEqual([
      'Charset | Description | Default collation | Maxlen',
      'utf8mb4 | UTF-8 Unicode | utf8mb4_general_ci | 4',
    ]);
    expect(await show.objects("SHOW COLLATION WHERE `Default` = 'Yes' AND Id = 45")).toHaveLength(
      1,
    );
    expect(await show.objects("SHOW PRIVILEGES LIKE 'sel%'")).toHaveLength(1);
    const catalogs = await show.objects('SHOW CATALOGS');
    expect(catalogs).toMatchObject([{ CatalogId: '0', CatalogName: 'internal', IsCurrent: 'Yes' }]);
  });
});

describe('the cluster', () => {
  beforeEach(async () => {
    await show.group('a_group', [8041]);
    await show.group('b_group', [8042, 8043]);
  });

  it('shows groups, backends, vaults and this server', async () => {
    expect(await show.text('SHOW COMPUTE GROUPS')).toEqual([
      'Name | IsCurrent | Users | BackendNum | AliveBackendNum',
      'a_group | TRUE |  | 1 | 1',
      'b_group | FALSE |  | 2 | 2',
    ]);
    show.session.computeGroup = 'b_group';
    const current = await show.objects("SHOW CLUSTERS WHERE IsCurrent = 'TRUE'");
    expect(current).toMatchObject([{ Name: 'b_group' }]);
    const alive = await show.objects(
      "SHOW BACKENDS WHERE ComputeGroup = 'b_group' AND Alive = 'true' ORDER BY HttpPort DESC",
    );
    expect(alive.map(({ HttpPort }) => HttpPort)).toEqual(['8043', '8042']);
    expect(await show.objects('SHOW STORAGE VAULT')).toMatchObject([{ IsDefault: 'true' }]);
    const frontends = await show.objects('SHOW FRONTENDS');
    expect(frontends).toMatchObject([{ QueryPort: '9030', IsMaster: 'true', Alive: 'true' }]);
    expect(await show.error('SHOW BACKENDS WHERE Aliv = 1')).toMatch(
      /^1054 .*did you mean 'Alive'/,
    );
  });

  it('has no current group before there is one', async () => {
    await show.close();
    show = await ShowFixture.open();
    expect(await show.objects('SHOW COMPUTE GROUPS')).toEqual([]);
  });
});

describe('tables of information_schema', () => {
  it('have rows as wide as their columns', async () => {
    await show.group('g', [8041]);
    await show.run('CREATE DATABASE d; CREATE TABLE d.t (a INT) DISTRIBUTED BY HASH (a) BUCKETS 1');
    await show.warmUpJob('g', 't');
    const source = new SchemaSource(show.context);
    const counts: Record<string, number> = {};
    for (const table of OUR_TABLES) {
      const rows = await table.rows(source);
      counts[table.name] = rows.length;
      for (const row of rows) expect(row).toHaveLength(table.columns.length);
    }
    expect(counts).toMatchObject({
      warm_up_jobs: 1,
      backends: 1,
      compute_groups: 1,
      storage_vaults: 1,
      cloud_cache_hotspot: 0,
      // No backend ever answered.
      file_cache_statistics: 0,
    });
    expect(source.grantees()).toMatchObject([{ user: 'root', host: '%' }]);
    expect(await source.databases()).toEqual(['d']);
  });
});

describe('SHOW and its table of information_schema', () => {
  beforeEach(async () => {
    await show.group('g', [8041]);
    await show.run(
      `CREATE DATABASE d;
       CREATE TABLE d.t (a INT) PARTITION BY RANGE(a) (PARTITION p VALUES LESS THAN (9)) DISTRIBUTED BY HASH (a) BUCKETS 3;
       CREATE USER u; CREATE ROLE r; GRANT 'r' TO u`,
    );
  });

  it.each([
    ["SHOW ALL GRANTS WHERE UserIdentity LIKE '%u%' LIMIT 1", 'grants'],
    ["SHOW ROLES LIKE 'r' ORDER BY Name DESC", 'roles'],
    ['SHOW FRONTENDS WHERE IsMaster = "true" LIMIT 1', 'frontends'],
    ['SHOW CATALOGS ORDER BY CatalogId LIMIT 1', 'catalogs'],
    ["SHOW PRIVILEGES WHERE Context LIKE 'Tables%' LIMIT 1", 'privileges'],
    ['SHOW PARTITIONS FROM d.t ORDER BY PartitionId LIMIT 1', 'table_partitions'],
    ['SHOW TABLETS FROM d.t WHERE Bucket = 1', 'tablets'],
  ])('%s says what %s has', async (statement, table) => {
    const shown = await show.objects(statement);
    expect(shown).toHaveLength(1);
    const listed = await show.objects(`SELECT * FROM information_schema.${table}`);
    expect(listed.some((row) => isWithin(shown[0] ?? {}, row))).toBe(true);
    const [count] = await show.objects(`SELECT COUNT(*) AS n FROM information_schema.${table}`);
    expect(Number(count?.['n'])).toBe(listed.length);
  });

  it('SHOW PROC has the places that scripts look at', async () => {
    const places = await show.objects("SHOW PROC '/'");
    expect(places.map(({ name }) => name)).toEqual([
      'backends',
      'dbs',
      'frontends',
      'resources',
      'statistic',
    ]);
    expect(await show.objects("SHOW PROC '/backends'")).toEqual(
      await show.objects('SHOW BACKENDS'),
    );
    const [database] = await show.objects("SHOW PROC '/dbs'");
    expect(database).toMatchObject({ DbName: 'd', TableNum: 1n });
    const [table] = await show.objects(`SHOW PROC '/dbs/${String(database?.['DbId'])}/'`);
    expect(table).toMatchObject({ TableName: 't', PartitionNum: 1n, PartitionType: 'RANGE' });
    const db = `/dbs/${String(database?.['DbId'])}`;
    const at = `${db}/${String(table?.['TableId'])}`;
    expect(await show.objects(`SHOW PROC '${at}'`)).toEqual([{ Nodes: 'partitions' }]);
    const [partition] = await show.objects(`SHOW PROC '${at}/partitions'`);
    expect(partition).toEqual((await show.objects('SHOW PARTITIONS FROM d.t'))[0]);
    const within = `${at}/partitions/${String(partition?.['PartitionId'])}`;
    const [index] = await show.objects(`SHOW PROC '${within}'`);
    expect(index).toMatchObject({ IndexName: 't', State: 'NORMAL' });
    const tablets = await show.objects(`SHOW PROC '${within}/${String(index?.['IndexId'])}'`);
    expect(tablets).toEqual(await show.objects('SHOW TABLETS FROM d.t'));
    const bad = ['', 'backends', '/x', '/dbs/1', '/backends/1', '/dbs/1/2', '/statistic/1'];
    const deep = [`${db}/1`, `${at}/x`, `${at}/partitions/1`, `${within}/1`, `${within}/1/1/1/1`];
    for (const path of [...bad, ...deep, '/statistic/1/2']) {
      expect(await show.error(`SHOW PROC '${path}'`)).toMatch(/^1105 Proc path '/);
    }
  });

  it('takes filters in SHOW GRANTS and SHOW CACHE HOTSPOT as well', async () => {
    expect(await show.objects("SHOW GRANTS FOR u LIKE '%USAGE%'")).toHaveLength(1);
    expect(await show.objects("SHOW GRANTS FOR u LIKE 'no%'")).toEqual([]);
    expect(await show.objects("SHOW CACHE HOTSPOT '/' WHERE TableName = 'x' LIMIT 1")).toEqual([]);
  });
});

/** Whether one row has all that the other has; the times are of different moments. */
function isWithin(
  part: Readonly<Record<string, unknown>>,
  whole: Readonly<Record<string, unknown>>,
) {
  return Object.entries(part).every(
    ([name, value]) => name === 'LastHeartbeat' || String(whole[name]) === String(value),
  );
}

describe('file_cache_statistics', () => {
  const read = async (): Promise<Map<string, readonly unknown[]>> => {
    const source = new SchemaSource(show.context);
    const rows = await SCHEMA.table('FILE_CACHE_STATISTICS')?.rows(source);
    return new Map((rows ?? []).map((row) => [String(row[3]), row]));
  };

  it('asks the backends, and marks what is old', async () => {
    const [backend] = await show.group('g', [8041]);
    if (backend === undefined) throw new Error('no backend');
    expect((await read()).size).toBe(0);
    await show.start(backend, { file_cache_capacity_bytes: '8388608' });
    const fresh = await read();
    const [id, host, path, , capacity, stale] = fresh.get('capacity_bytes') ?? [];
    expect([id, host, capacity, stale]).toEqual([
      BigInt(backend.backendId),
      '127.0.0.1',
      8388608,
      0,
    ]);
    expect(path).toContain('file_cache');
    expect(fresh.get('ttl_queue_curr_elements')?.[4]).toBe(0);
    await show.agents.stop(backend.backendId, 0);
    expect((await read()).get('capacity_bytes')?.slice(4)).toEqual([8388608, 1]);
  });
});
