/** Resources, and which tables and partitions have which storage policy. */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { StoragePolicyDef, StoreSpec } from '../../base/schema.ts';
import type { Catalog } from '../../catalog/catalog.ts';
import { CatalogFixture, createTable } from './fixture.ts';

const STORE: StoreSpec = {
  kind: 's3',
  endpoint: 'http://s',
  region: 'r',
  bucket: 'b',
  rootPath: 'root',
  accessKey: 'access-of-a-test',
  secretKey: 'secret-of-a-test',
  sessionToken: 'token-of-a-test',
  usePathStyle: true,
};
const BODY = { store: STORE, validityCheck: true, conditionalWrites: 'true' } as const;

let fixture: CatalogFixture;
let catalog: Catalog;
beforeEach(async () => {
  fixture = new CatalogFixture();
  catalog = await fixture.open();
});
afterEach(() => fixture.remove());

describe('resources', () => {
  it('are as they were after a restart', async () => {
    const created = await catalog.resources.create('r', BODY);
    expect(created).toMatchObject({ name: 'r', version: 0, ...BODY });
    await catalog.resources.alter(created, { ...BODY, conditionalWrites: 'false' }, undefined);
    catalog = await fixture.reopen(catalog);
    expect(await catalog.resources.list()).toEqual([
      { ...created, version: 1, conditionalWrites: 'false' },
    ]);
  });

  it('have no credentials in clear text in the file, nor somebody else’s', async () => {
    await catalog.resources.create('r', BODY);
    await catalog.resources.create('q', BODY);
    const text = fixture.raw((db) => JSON.stringify(db.prepare('SELECT * FROM resource').all()));
    expect(text).not.toMatch(/of-a-test/);
    fixture.raw((db) => {
      db.exec(`UPDATE resource SET credentials =
        (SELECT credentials FROM resource WHERE name = 'r') WHERE name = 'q'`);
    });
    await expect(catalog.resources.get('q')).rejects.toMatchObject({ code: 'CATALOG_KEY' });
  });

  it('are not changed by who has read an older version', async () => {
    const before = await catalog.resources.create('r', BODY);
    await catalog.resources.alter(before, BODY, undefined);
    await expect(catalog.resources.alter(before, BODY, undefined)).rejects.toMatchObject({
      code: 'STALE_ROW',
    });
  });

  it('are not moved by an ALTER that was decided before a policy came', async () => {
    const before = await catalog.resources.create('r', BODY);
    await catalog.storagePolicies.create('p', 'r', { kind: 'ttl', seconds: 1 });
    await expect(catalog.resources.alter(before, BODY, 's3.bucket')).rejects.toMatchObject({
      code: 'RESOURCE_FIXED',
    });
    await catalog.resources.alter(before, BODY, undefined);
  });
});

describe('policies of tables', () => {
  let policies: Record<'p' | 'q' | 'elsewhere', StoragePolicyDef>;

  beforeEach(async () => {
    await catalog.resources.create('r', BODY);
    await catalog.resources.create('other', BODY);
    const { storagePolicies } = catalog;
    policies = {
      p: await storagePolicies.create('p', 'r', { kind: 'ttl', seconds: 1 }),
      q: await storagePolicies.create('q', 'r', { kind: 'datetime', atMs: 5000 }),
      elsewhere: await storagePolicies.create('elsewhere', 'other', { kind: 'ttl', seconds: 1 }),
    };
  });

  /** Of the table, then of its partitions. */
  async function policiesOf(name: string): Promise<(number | undefined)[]> {
    const table = await catalog.tables.get('d', name);
    return [table, ...table.partitions].map(({ storagePolicyId }) => storagePolicyId);
  }

  it('are those of all partitions, and of one', async () => {
    const { tableId } = await createTable(catalog, 't', 3);
    const [p, q] = [policies.p.policyId, policies.q.policyId];
    expect(await policiesOf('t')).toEqual([undefined, undefined, undefined, undefined]);
    await catalog.storagePolicies.bind(tableId, 'table', policies.p);
    expect(await policiesOf('t')).toEqual([p, p, p, p]);
    await catalog.storagePolicies.bind(tableId, ['p1'], policies.q);
    expect(await policiesOf('t')).toEqual([p, p, q, p]);
    await catalog.storagePolicies.bind(tableId, ['p0'], undefined);
    catalog = await fixture.reopen(catalog);
    expect(await policiesOf('t')).toEqual([p, undefined, q, p]);
    await catalog.storagePolicies.bind(tableId, 'table', undefined);
    expect(await policiesOf('t')).toEqual([undefined, undefined, undefined, undefined]);
    const unknown = catalog.storagePolicies.bind(tableId, ['p1', 'p9'], policies.q);
    await expect(unknown).rejects.toMatchObject({ code: 'UNKNOWN_PARTITION' });
    expect(await policiesOf('t')).toEqual([undefined, undefined, undefined, undefined]);
  });

  it('stay with partitions that are truncated', async () => {
    const table = await createTable(catalog, 't', 2);
    await catalog.storagePolicies.bind(table.tableId, ['p1'], policies.p);
    await catalog.tableChanges.truncate(await catalog.tables.get('d', 't'));
    expect(await policiesOf('t')).toEqual([undefined, undefined, policies.p.policyId]);
    expect(await catalog.storagePolicies.usages()).toEqual([
      { policy: 'p', database: 'd', table: 't', partitions: ['p1'] },
    ]);
  });

  it('change only within a resource', async () => {
    const { tableId } = await createTable(catalog, 't', 2);
    const { storagePolicies } = catalog;
    await storagePolicies.bind(tableId, ['p0'], policies.p);
    for (const target of ['table', ['p0']] as const) {
      await expect(storagePolicies.bind(tableId, target, policies.elsewhere)).rejects.toMatchObject(
        { code: 'POLICY_OTHER_RESOURCE' },
      );
    }
    await storagePolicies.bind(tableId, ['p1'], policies.elsewhere);
    await storagePolicies.bind(tableId, ['p0'], policies.q);
    expect(await policiesOf('t')).toEqual([
      undefined,
      policies.q.policyId,
      policies.elsewhere.policyId,
    ]);
  });

  it('change to another resource when nothing was left in the one before', async () => {
    const { tableId, partitions } = await createTable(catalog, 't', 2);
    const { storagePolicies } = catalog;
    const partitionId = partitions[0]?.partitionId ?? (0 as never);
    const { resourceId } = policies.p;
    const freed = () => ({
      tableVersion: storagePolicies.tableVersion(tableId) ?? 0,
      resources: [{ partitionId, resourceId }],
    });
    const other = { code: 'POLICY_OTHER_RESOURCE' };
    const { elsewhere } = policies;
    await storagePolicies.bind(tableId, ['p0'], policies.p);
    // It still has the policy.
    await expect(storagePolicies.bind(tableId, ['p0'], elsewhere, freed())).rejects.toMatchObject(
      other,
    );
    await storagePolicies.bind(tableId, ['p0'], undefined);
    await expect(storagePolicies.bind(tableId, ['p0'], elsewhere)).rejects.toMatchObject(other);
    const early = freed();
    await storagePolicies.bind(tableId, ['p0'], policies.q);
    await storagePolicies.bind(tableId, ['p0'], undefined);
    await expect(storagePolicies.bind(tableId, ['p0'], elsewhere, early)).rejects.toMatchObject({
      code: 'STALE_ROW',
    });
    expect(catalog.resources.ofPartition(partitionId)).toEqual([resourceId]);
    await storagePolicies.bind(tableId, ['p0'], elsewhere, freed());
    expect(catalog.resources.ofPartition(partitionId)).toEqual([elsewhere.resourceId]);
  });

  it('are not those that were dropped meanwhile', async () => {
    const { tableId } = await createTable(catalog, 't');
    await catalog.storagePolicies.drop('p');
    await expect(catalog.storagePolicies.bind(tableId, 'table', policies.p)).rejects.toMatchObject({
      code: 'UNKNOWN_POLICY',
    });
    await catalog.storagePolicies.create('p', 'r', { kind: 'ttl', seconds: 1 });
    await expect(catalog.storagePolicies.bind(tableId, 'table', policies.p)).rejects.toMatchObject({
      code: 'UNKNOWN_POLICY',
    });
  });

  it('are in use until the last table is dropped', async () => {
    const { storagePolicies } = catalog;
    const whole = await createTable(catalog, 'whole', 0);
    const part = await createTable(catalog, 'part', 2);
    await storagePolicies.bind(whole.tableId, 'table', policies.p);
    await storagePolicies.bind(part.tableId, ['p1'], policies.p);
    expect(await storagePolicies.usages('p')).toEqual([
      { policy: 'p', database: 'd', table: 'part', partitions: ['p1'] },
      { policy: 'p', database: 'd', table: 'whole', partitions: 'all' },
    ]);
    expect(await storagePolicies.usages('q')).toEqual([]);
    expect(await storagePolicies.usages('nosuch')).toEqual([]);
    for (const { tableId, name } of [part, whole]) {
      await expect(storagePolicies.drop('p')).rejects.toMatchObject({
        code: 'POLICY_IN_USE',
        args: { table: name },
      });
      await catalog.tables.drop(tableId);
    }
    expect(await storagePolicies.usages()).toEqual([]);
    await storagePolicies.drop('p');
  });

  it('are listed of more partitions than one page has', async () => {
    const { storagePolicies } = catalog;
    const tables = ['a', 'b', 'c'];
    for (const name of tables) {
      const { tableId } = await createTable(catalog, name, 1800, 1);
      await storagePolicies.bind(tableId, 'table', policies.p);
      await storagePolicies.bind(tableId, ['p1799'], undefined);
    }
    const usages = await storagePolicies.usages();
    expect(usages.map(({ table, partitions }) => [table, partitions.length])).toEqual(
      tables.map((name) => [name, 1799]),
    );
    const [first] = usages;
    expect(first?.partitions.slice(0, 3)).toEqual(['p0', 'p1', 'p2']);
  });
});
