/** Sizes of tablets of replicated tables follow reports. */
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { CooldownWorld } from './cooldown_world.ts';

let world: CooldownWorld;
beforeEach(async () => {
  world = await CooldownWorld.make();
});
afterEach(async () => {
  await world.remove();
});

it('the replica that has come farthest says how large a tablet is', async () => {
  const table = await world.table();
  const [tablet] = world.tablets(table);
  if (tablet === undefined) throw new Error('no tablet');
  const size = (): unknown => {
    const { bytes, rows } = world.catalog.tablets.get(tablet) ?? {};
    return [bytes, rows];
  };
  world.heartbeats();
  const [first, second, third] = world.replicasOf(tablet).map(({ backend }) => backend);
  first?.change(tablet, { version: 3, rows: 30, localBytes: 300, remoteBytes: 5 });
  second?.change(tablet, { version: 2, rows: 20, localBytes: 200 });
  third?.change(tablet, { version: 3, rows: 30, localBytes: 301, remoteBytes: 5 });
  if (second !== undefined) world.report(second);
  expect(size()).toEqual([200, 20]);
  world.reportAll();
  expect(size()).toEqual([305, 30]);
  expect(world.catalog.tablets.tableSize(table.tableId)).toMatchObject({ bytes: 305, rows: 30 });
  await world.catalog.tables.drop(table.tableId);
  first?.change(tablet, { version: 4 });
  world.reportAll();
  expect(world.catalog.tablets.get(tablet)).toBeUndefined();
});
