/** The small stores: groups, backends, vaults, accounts, config, garbage, hotspots. */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { id } from '../../base/ids.ts';
import type { BackendId, IndexId, PartitionId, TableId, VaultId } from '../../base/ids.ts';
import type { Catalog } from '../../catalog/catalog.ts';
import type { HotspotCount } from '../../catalog/hotspots.ts';
import type { NewVault } from '../../catalog/vaults.ts';
import { CatalogFixture, createTable } from './fixture.ts';

let fixture: CatalogFixture;
let catalog: Catalog;
beforeEach(async () => {
  fixture = new CatalogFixture();
  catalog = await fixture.open();
});
afterEach(() => fixture.remove());

describe('compute groups and backends', () => {
  it('are created, renamed and dropped, with Doris’s errors', async () => {
    const groups = catalog.computeGroups;
    const read = await groups.create('read_group');
    await groups.create('write_group');
    expect(await groups.find('read_group')).toEqual(read);
    expect(await groups.byId(read.computeGroupId)).toEqual(read);
    await expect(groups.create('read_group')).rejects.toMatchObject({
      code: 'COMPUTE_GROUP_EXISTS',
    });
    await expect(groups.create('a/b')).rejects.toMatchObject({ code: 'WRONG_NAME' });
    await expect(groups.get('x')).rejects.toMatchObject({
      message: 'Compute group x does not exist; existing: read_group, write_group',
    });
    await expect(groups.rename('read_group', 'write_group')).rejects.toMatchObject({
      code: 'COMPUTE_GROUP_EXISTS',
    });
    expect(await groups.rename('read_group', 'r')).toEqual({ ...read, name: 'r' });
    const backend = await catalog.backends.create({
      computeGroupName: 'r',
      kind: 'embedded',
      host: '127.0.0.1',
      httpPort: 0,
    });
    expect(backend).toMatchObject({ computeGroupName: 'r', adminState: 'ENABLED', httpPort: 0 });
    await expect(groups.drop('r')).rejects.toMatchObject({ code: 'COMPUTE_GROUP_IN_USE' });
    await catalog.backends.drop(backend.backendId);
    await groups.drop('r');
    expect((await groups.list()).map((group) => group.name)).toEqual(['write_group']);
  });

  it('backends have unique addresses, states and ports', async () => {
    await catalog.computeGroups.create('g');
    const wish = { computeGroupName: 'g', kind: 'embedded', host: '127.0.0.1' } as const;
    const one = await catalog.backends.create({ ...wish, httpPort: 0 });
    const two = await catalog.backends.create({ ...wish, httpPort: 0 });
    await catalog.backends.setHttpPort(one.backendId, 8040);
    await expect(catalog.backends.setHttpPort(two.backendId, 8040)).rejects.toMatchObject({
      message: 'Backend 127.0.0.1:8040 already exists',
    });
    await expect(catalog.backends.create({ ...wish, httpPort: 8040 })).rejects.toMatchObject({
      code: 'BACKEND_EXISTS',
    });
    await catalog.backends.setAdminState(one.backendId, 'STOPPED');
    expect(await catalog.backends.findByAddress('127.0.0.1', 8040)).toEqual({
      ...one,
      httpPort: 8040,
      adminState: 'STOPPED',
    });
    expect((await catalog.backends.ofGroup(one.computeGroupId)).length).toBe(2);
    const unknown = catalog.backends.setAdminState(id<BackendId>(1), 'ENABLED');
    await expect(unknown).rejects.toMatchObject({ code: 'UNKNOWN_BACKEND' });
  });
});

describe('vaults', () => {
  const S3: NewVault = {
    kind: 's3',
    name: 'v',
    endpoint: 'http://127.0.0.1:7480',
    region: 'us-east-1',
    bucket: 'b',
    rootPath: 'root',
    accessKey: 'ACCESS-2f6e81',
    secretKey: 'SECRET-9c07ab',
    usePathStyle: true,
  };

  it('begin with the built-in one as the default', async () => {
    const [vault] = await catalog.vaults.list();
    expect(vault).toMatchObject({
      isDefault: true,
      spec: { kind: 'file', name: 'built_in_storage_vault', path: join(fixture.dir, 'vault') },
    });
  });

  it('keep credentials across a restart, and never in clear on disk', async () => {
    const created = await catalog.vaults.create(S3);
    expect(created.spec).toMatchObject(S3);
    catalog = await fixture.reopen(catalog);
    expect((await catalog.vaults.get('v')).spec).toEqual(created.spec);
    await fixture.close(catalog);
    for (const name of readdirSync(fixture.dir)) {
      const bytes = readFileSync(join(fixture.dir, name));
      expect([name, bytes.includes('ACCESS-2f6e81'), bytes.includes('SECRET-9c07ab')]).toEqual([
        name,
        false,
        false,
      ]);
    }
    expect(readFileSync(join(fixture.dir, 'catalog.db')).includes('us-east-1')).toBe(true);
    expect(statSync(join(fixture.dir, 'secret.key')).mode & 0o777).toBe(0o600);
  });

  it('say clearly that the key file is another one, or none', async () => {
    await catalog.vaults.create(S3);
    await fixture.close(catalog);
    writeFileSync(join(fixture.dir, 'secret.key'), 'ab'.repeat(32));
    catalog = await fixture.open();
    await expect(catalog.vaults.get('v')).rejects.toMatchObject({ code: 'CATALOG_KEY' });
    await fixture.close(catalog);
    writeFileSync(join(fixture.dir, 'secret.key'), 'not a key');
    await expect(fixture.open()).rejects.toMatchObject({ code: 'CATALOG_KEY' });
  });

  it('cannot open the credentials of one as those of another', async () => {
    await catalog.vaults.create(S3);
    await catalog.vaults.create({ ...S3, name: 'w' });
    fixture.raw((db) =>
      db.exec(`UPDATE vault SET credentials = (SELECT credentials FROM vault WHERE name = 'v')
               WHERE name = 'w'`),
    );
    await expect(catalog.vaults.get('w')).rejects.toMatchObject({ code: 'CATALOG_KEY' });
  });

  it('are renamed, made the default, and dropped when nothing needs them', async () => {
    await catalog.vaults.create(S3);
    await expect(catalog.vaults.create(S3)).rejects.toMatchObject({ code: 'VAULT_EXISTS' });
    await catalog.vaults.rename('v', 'w');
    await catalog.vaults.setDefault('w');
    expect((await catalog.vaults.default())?.spec.name).toBe('w');
    await expect(catalog.vaults.drop('w')).rejects.toMatchObject({ code: 'VAULT_IN_USE' });
    const table = await createTable(catalog, 't');
    await catalog.vaults.setDefault('built_in_storage_vault');
    await expect(catalog.vaults.drop('w')).rejects.toMatchObject({
      message: 'Storage vault w is still used by table t',
    });
    await catalog.tables.drop(table.tableId);
    await catalog.purged();
    await expect(catalog.vaults.drop('w')).rejects.toMatchObject({ code: 'VAULT_IN_USE' });
    const items = await catalog.garbage.claim(100, 1000);
    await catalog.garbage.done(items.map((item) => item.garbageId));
    await catalog.vaults.drop('w');
    await expect(catalog.vaults.get('w')).rejects.toMatchObject({ code: 'UNKNOWN_VAULT' });
  });
});

describe('accounts', () => {
  it('begin with root, and an own password survives a restart', async () => {
    expect(await catalog.accounts.list()).toMatchObject([
      { user: 'root', host: '%', authString: '' },
    ]);
    await catalog.accounts.setAuth('root', '%', 'caching_sha2_password', '$A$005$x');
    await catalog.accounts.create({ user: 'u', host: '10.%', plugin: 'p', authString: 'h' });
    catalog = await fixture.reopen(catalog);
    expect(await catalog.accounts.find('root', '%')).toMatchObject({ authString: '$A$005$x' });
    expect((await catalog.accounts.ofUser('u')).map((account) => account.host)).toEqual(['10.%']);
    const again = catalog.accounts.create({ user: 'u', host: '10.%', plugin: '', authString: '' });
    await expect(again).rejects.toMatchObject({ errno: 1396 });
    await catalog.accounts.drop('u', '10.%');
    await expect(catalog.accounts.drop('u', '10.%')).rejects.toMatchObject({ errno: 1396 });
    await expect(catalog.accounts.setAuth('u', '%', '', '')).rejects.toMatchObject({ errno: 1396 });
  });
});

describe('config overrides', () => {
  it('are set, replaced and removed', async () => {
    await catalog.configOverrides.set('wait_timeout', '1');
    await catalog.configOverrides.set('wait_timeout', '2');
    await catalog.configOverrides.set('log_level', 'info');
    expect(await catalog.configOverrides.all()).toEqual({ log_level: 'info', wait_timeout: '2' });
    await catalog.configOverrides.remove('log_level');
    await catalog.configOverrides.remove('log_level');
    expect(await catalog.configOverrides.all()).toEqual({ wait_timeout: '2' });
  });
});

describe('garbage', () => {
  it('is claimed when due, done, tried again, and due again when a claim is lost', async () => {
    const vaultId = id<VaultId>(5);
    const now = fixture.clock.ms;
    const prefixes = ['data/1/', 'data/2/', 'data/3/'];
    await catalog.garbage.add(
      prefixes.map((prefix) => ({ vaultId, prefix })),
      'dropped',
      now + 10,
    );
    expect(await catalog.garbage.claim(10, 100)).toEqual([]);
    fixture.clock.ms = now + 10;
    const [first, second] = await catalog.garbage.claim(2, 100);
    expect([first, second]).toMatchObject([
      { vaultId, prefix: 'data/1/', reason: 'dropped', attempts: 1, lastError: null },
      { prefix: 'data/2/' },
    ]);
    await catalog.garbage.done([first?.garbageId ?? 0]);
    await catalog.garbage.retry([second?.garbageId ?? 0], now + 50, 'bucket is away');
    expect((await catalog.garbage.claim(10, 100)).map((item) => item.prefix)).toEqual(['data/3/']);
    fixture.clock.ms = now + 50;
    expect(await catalog.garbage.claim(10, 100)).toMatchObject([
      { prefix: 'data/2/', attempts: 2, lastError: 'bucket is away' },
    ]);
    fixture.clock.ms = now + 110;
    expect(await catalog.garbage.claim(10, 100)).toMatchObject([
      { prefix: 'data/3/', attempts: 2 },
    ]);
    expect(await catalog.garbage.count()).toBe(2);
    // A server that starts does not wait for the leases of the one before.
    expect(await catalog.garbage.claim(10, 100)).toEqual([]);
    expect(await catalog.garbage.releaseClaims(1)).toBe(1);
    expect(await catalog.garbage.releaseClaims(10)).toBe(1);
    expect(await catalog.garbage.releaseClaims(10)).toBe(0);
    expect(await catalog.garbage.claim(10, 100)).toHaveLength(2);
  });
});

describe('hotspots', () => {
  const count = (partition: number, day: string, accesses: number): HotspotCount => ({
    tableId: id<TableId>(1),
    indexId: id<IndexId>(2),
    partitionId: id<PartitionId>(partition),
    day,
    tableName: 'd.t',
    indexName: 't',
    partitionName: `p${partition}`,
    accesses,
    lastAccessMs: Date.parse(day),
    fileCacheSize: 10,
  });

  it('are added once per token, weighed by age, expired and truncated', async () => {
    const group = await catalog.computeGroups.create('g');
    const add = (backend: number, token: string, counts: HotspotCount[]) =>
      catalog.hotspots.add({
        computeGroupId: group.computeGroupId,
        computeGroupName: 'g',
        backendId: id<BackendId>(backend),
        token,
        counts,
      });
    const old = [count(1, '2026-01-03', 7), count(1, '2026-01-07', 80), count(2, '2026-01-10', 3)];
    expect(await add(1, 'a', old)).toBe(true);
    expect(await add(1, 'a', old)).toBe(false);
    expect(await catalog.hotspots.token(id<BackendId>(1))).toBe('a');
    expect(await add(1, 'b', [count(2, '2026-01-10', 4)])).toBe(true);
    expect(await add(2, 'a', [count(2, '2026-01-10', 5), count(1, '2026-01-10', 1)])).toBe(true);
    const rows = await catalog.hotspots.list();
    expect(rows.map((row) => [row.backendId, row.partitionName, row.day, row.queryPerDay])).toEqual(
      [
        [1, 'p1', '2026-01-03', 7],
        [1, 'p1', '2026-01-07', 80],
        [1, 'p2', '2026-01-10', 7],
        [2, 'p1', '2026-01-10', 1],
        [2, 'p2', '2026-01-10', 5],
      ],
    );
    expect(rows.map((row) => row.queryPerWeek)).toEqual([7, 87, 7, 1, 5]);
    // The 10th is today: 80 accesses of three days ago weigh 10, those of seven days ago nothing.
    const top = await catalog.hotspots.top(group.computeGroupId, 10);
    expect(top.map((hot) => [hot.partitionName, hot.weight])).toEqual([
      ['p2', 12],
      ['p1', 11],
    ]);
    expect(await catalog.hotspots.top(group.computeGroupId, 1)).toHaveLength(1);
    expect(await catalog.hotspots.expire()).toBe(1);
    expect(await catalog.hotspots.list()).toHaveLength(4);
    await catalog.hotspots.truncate();
    expect(await catalog.hotspots.list()).toEqual([]);
    expect(await add(1, 'b', old)).toBe(false);
  });
});
