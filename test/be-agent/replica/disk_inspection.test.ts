import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { type TabletId, id } from '../../../base/ids.ts';
import {
  Cluster,
  createTable,
  load,
  loadTarget,
  settle,
  until,
  visibleAs,
} from './replica_cluster.ts';

const TABLETS: readonly TabletId[] = [id(1), id(2), id(3)];
const HOURS_MS = 3_600_000;

let cluster: Cluster;

beforeEach(async () => {
  cluster = new Cluster();
  await cluster.start(1);
  const table = loadTarget(3, [1]);
  await createTable(cluster, table);
  const rows = Array.from({ length: 20 }, (_, n) => [n, `row ${n}`]);
  await load(cluster, table, 1, rows);
  await settle(cluster, visibleAs(1, 2));
});

afterEach(() => {
  cluster.close();
});

it('finds lost and cut files at the start, before anybody reads', async () => {
  rmSync(cluster.file(1, id(1), 2));
  truncateSync(cluster.file(1, id(3), 2), 40);
  const { store } = await cluster.restart(1);
  await until(
    'both are found',
    () => TABLETS.filter((each) => store.get(each)?.isBad).length === 2,
  );
  expect(TABLETS.map((each) => store.get(each)?.isBad)).toEqual([true, false, true]);
  expect(store.badReason(id(1))).toMatch(/_0\.dat: it is missing/);
  expect(store.badReason(id(3))).toMatch(/it has 40 bytes instead of \d+/);
});

it('takes a replica for whole again when its files are back, and only then', async () => {
  const [lost, cut] = [cluster.file(1, id(1), 2), cluster.file(1, id(3), 2)];
  // As when the disk is not mounted yet.
  renameSync(lost, `${lost}.away`);
  const bytes = readFileSync(cut);
  const changed = Uint8Array.from(bytes, (byte, at) => (at === 40 ? byte ^ 1 : byte));
  truncateSync(cut, 40);
  let { store } = await cluster.restart(1);
  const bad = (): (boolean | undefined)[] => TABLETS.map((each) => store.get(each)?.isBad);
  await until('both are found', () => bad().join() === 'true,false,true');
  writeFileSync(cut, changed);
  renameSync(`${lost}.away`, lost);
  ({ store } = await cluster.restart(1));
  await until('the first is whole', () => bad().join() === 'false,false,true');
  expect(store.badReason(id(1))).toBeUndefined();
  writeFileSync(cut, bytes);
  await until('all are whole', () => {
    cluster.clock.advance(HOURS_MS);
    return bad().join() === 'false,false,false';
  });
});

it('looks again later, and takes nothing away that is being written', async () => {
  const { store, local } = cluster.host(1);
  const files = await cluster.files(1);
  const [{ rowsetId } = { rowsetId: undefined }] = store.get(id(2))?.rowsets ?? [];
  if (rowsetId === undefined) throw new Error('no rowset');
  const body = new Uint8Array(10);
  await local.put(id(9), rowsetId, 0, body);
  rmSync(cluster.file(1, id(1), 2));
  await until('it is found', () => {
    cluster.clock.advance(HOURS_MS);
    return store.get(id(1))?.isBad === true;
  });
  // Nobody has prepared what was written for two runs: it goes in the end.
  const left = files.filter((name) => !name.includes('data/1/'));
  let found: readonly string[] = [];
  for (let turns = 0; turns < 1000 && found.join() !== left.join(); turns += 1) {
    cluster.clock.advance(HOURS_MS);
    found = await cluster.files(1);
  }
  expect(found).toEqual(left);
});
