import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { BareCommits } from '../../bench/bare_commits.ts';
import type { Catalog } from '../../catalog/catalog.ts';
import { CatalogFixture } from '../catalog/fixture.ts';

let fixture: CatalogFixture;
let catalog: Catalog;
beforeEach(async () => {
  fixture = new CatalogFixture();
  catalog = await fixture.open();
});
afterEach(() => fixture.remove());

it('bare commits write a row of a job each, with the settings of the catalog', async () => {
  await catalog.warmUpJobs.create({
    kind: 'TABLE',
    srcGroup: null,
    dstGroup: 'read_group',
    syncMode: 'ONCE',
    syncIntervalS: null,
    syncEvent: null,
    tableFilter: null,
    force: false,
    tables: [{ db: 'd', table: 't' }],
    epoch: 1,
  });
  const bare = new BareCommits(fixture.dir);
  expect(bare.run(3).every((ms) => ms > 0)).toBe(true);
  expect(bare.settings()).toEqual({ journalMode: 'wal', synchronous: 2 });
  bare.close();
  const database = new Database(join(fixture.dir, 'bare.db'), { readonly: true });
  const rows = database.prepare('SELECT state, dst_group FROM warm_up_job').all();
  database.close();
  expect(rows).toEqual(
    Array.from({ length: 3 }, () => ({ state: 'PENDING', dst_group: 'read_group' })),
  );
});

it('there must be a job whose row they can copy', () => {
  expect(() => new BareCommits(fixture.dir)).toThrow('no warm-up job');
});
