/** Loads of tables that change in the moment in which the load begins. */
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { Config } from '../../base/config.ts';
import { SILENT_LOG } from '../../base/ports.ts';
import type { TableDef } from '../../base/schema.ts';
import { systemRandom } from '../../base/system_ports.ts';
import type { Catalog } from '../../catalog/catalog.ts';
import { BackendRegistry } from '../../jobs/backend_registry.ts';
import { LoadCoordinator } from '../../jobs/loads.ts';
import { CatalogFixture, createTable } from '../catalog/fixture.ts';
import { ManualClock } from '../manual_clock.ts';

let fixture: CatalogFixture;
let catalog: Catalog;
let table: TableDef;
let loads: LoadCoordinator;
beforeEach(async () => {
  fixture = new CatalogFixture();
  catalog = await fixture.open();
  table = await createTable(catalog, 't');
  const clock = new ManualClock();
  const config = new Config();
  loads = new LoadCoordinator({
    catalog,
    transport: {
      call: async () => {
        throw new Error('no backend is asked');
      },
    },
    registry: new BackendRegistry(clock, config),
    config,
    clock,
    random: systemRandom,
    log: SILENT_LOG,
  });
});
afterEach(async () => {
  await fixture.remove();
});

/** Does this right after the next load has its transaction. */
function meanwhile(change: () => Promise<void>): void {
  const begin = catalog.loads.begin.bind(catalog.loads);
  catalog.loads.begin = async (wish) => {
    const begun = await begin(wish);
    await change();
    return begun;
  };
}

it('a truncated table is loaded as it is now', async () => {
  meanwhile(async () => {
    await catalog.tableChanges.truncate(table);
  });
  const begun = await loads.begin('d', 't', 'l', 1000);
  const now = await catalog.tables.get('d', 't');
  expect(now.partitions[0]?.partitionId).not.toBe(table.partitions[0]?.partitionId);
  expect(begun).toMatchObject({ status: 'BEGUN', target: catalog.tables.loadTarget(now) });
});

it('a dropped table is not loaded, and the transaction ends', async () => {
  meanwhile(async () => {
    await catalog.tables.drop(table.tableId);
  });
  const why = 'load failed: table d.t was dropped or truncated meanwhile';
  await expect(loads.begin('d', 't', 'l', 1000)).rejects.toThrow(why);
  expect(fixture.number("count(*) FROM load_txn WHERE state = 'PREPARE'")).toBe(0);
  expect(fixture.number('count(*) FROM load_txn')).toBe(1);
});
