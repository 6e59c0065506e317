/** Transactions: one at a time, all or nothing, and what the driver's errors become. */
import Database from 'better-sqlite3';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { closeSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { id } from '../../base/ids.ts';
import type { DatabaseId, VaultId } from '../../base/ids.ts';
import type { Catalog } from '../../catalog/catalog.ts';
import { isDuplicateKey, toCatalogError } from '../../catalog/driver_errors.ts';
import { migrate, takeLease } from '../../catalog/migrator.ts';
import { SqliteConnection } from '../../catalog/sqlite_connection.ts';
import { Writer } from '../../catalog/writer.ts';
import { CatalogFixture, FixedClock } from './fixture.ts';

let fixture: CatalogFixture;
let catalog: Catalog;
beforeEach(async () => {
  fixture = new CatalogFixture();
  catalog = await fixture.open();
});
afterEach(() => fixture.remove());

describe('transactions', () => {
  it('do not interleave, and run in the order they were asked for', async () => {
    const events: string[] = [];
    const one = async (name: string): Promise<void> =>
      catalog.transaction(async (tx) => {
        events.push(`${name} begins`);
        await tx.databases.create(name);
        events.push(`${name} ends`);
      });
    await Promise.all(['a', 'b', 'c'].map(one));
    expect(events).toEqual(['a', 'b', 'c'].flatMap((name) => [`${name} begins`, `${name} ends`]));
  });

  it('leave turns of the event loop to others when many follow each other', async () => {
    let turns = 0;
    const turn = (): void => {
      turns += 1;
      immediate = setImmediate(turn);
    };
    let immediate = setImmediate(turn);
    const turnsAt: number[] = [];
    const one = async (name: string): Promise<void> =>
      catalog.transaction(async (tx) => {
        await tx.databases.create(name);
        turnsAt.push(turns);
        // As slow as the disk is.
        fixture.clock.ms += 2;
      });
    await Promise.all(['a', 'b', 'c', 'd', 'e', 'f'].map(one));
    clearImmediate(immediate);
    expect(turnsAt[1]).toBe(turnsAt[0]);
    expect(turnsAt[2]).toBeGreaterThan(turnsAt[1] ?? 0);
    expect(turnsAt[5]).toBeGreaterThan(turnsAt[3] ?? 0);
  });

  it('leave nothing when they throw, and the next one goes on', async () => {
    const hooks: string[] = [];
    const failed = catalog.transaction(async (tx) => {
      await tx.databases.create('d');
      await tx.computeGroups.create('g');
      tx.onCommit(() => hooks.push('never'));
      throw new Error('changed my mind');
    });
    await expect(failed).rejects.toThrow('changed my mind');
    await catalog.transaction(async (tx) => {
      expect(await tx.databases.list()).toEqual([]);
      await tx.computeGroups.create('g');
      tx.onCommit(() => hooks.push('once'));
    });
    expect(hooks).toEqual(['once']);
    expect((await catalog.computeGroups.list()).map((group) => group.name)).toEqual(['g']);
  });

  it('are not seen by others before they end', async () => {
    await catalog.transaction(async (tx) => {
      await tx.databases.create('d');
      expect(await tx.databases.find('d')).toBeDefined();
      expect(await catalog.databases.find('d')).toBeUndefined();
    });
    expect(await catalog.databases.find('d')).toBeDefined();
  });

  it('inside one another are a mistake that is told, not a deadlock', async () => {
    const nested = catalog.transaction(async () => catalog.databases.create('d'));
    await expect(nested).rejects.toThrow(/a transaction inside a transaction/);
    await catalog.databases.create('d');
  });

  it('may be started by what a commit hook does', async () => {
    const { promise, resolve } = Promise.withResolvers<unknown>();
    await catalog.transaction(async (tx) => {
      await tx.databases.create('d');
      tx.onCommit(() => {
        resolve(catalog.databases.create('e'));
      });
    });
    await promise;
    expect((await catalog.databases.list()).map((database) => database.name)).toEqual(['d', 'e']);
  });

  it('end with a clear error after the catalog was closed', async () => {
    await fixture.close(catalog);
    await expect(catalog.databases.create('d')).rejects.toMatchObject({ code: 'CATALOG_CLOSED' });
  });

  it('never take an id twice, not even after a rollback', async () => {
    const taken: number[] = [];
    for (let i = 0; i < 5; i += 1) {
      const failed = catalog.transaction(async (tx) => {
        taken.push((await tx.computeGroups.create(`g${i}`)).computeGroupId);
        throw new Error('no');
      });
      await expect(failed).rejects.toThrow('no');
      taken.push((await catalog.computeGroups.create(`g${i}`)).computeGroupId);
      catalog = await fixture.reopen(catalog);
    }
    expect(taken[0]).toBeGreaterThanOrEqual(10_001);
    expect(taken).toEqual([...new Set(taken)].sort((a, b) => a - b));
  });
});

describe('ids', () => {
  it('are enough for a large transaction, and go on after a restart', async () => {
    const items = Array.from({ length: 900 }, (_, i) => ({
      vaultId: id<VaultId>(1),
      prefix: `data/${i}/`,
    }));
    for (let life = 0; life < 3; life += 1) {
      for (let i = 0; i < 3; i += 1) await catalog.garbage.add(items, 'test', 0);
      catalog = await fixture.reopen(catalog);
    }
    expect(fixture.number('count(DISTINCT garbage_id) FROM garbage')).toBe(9 * 900);
  });

  it('that were not put in hand are refused', async () => {
    const greedy = catalog.garbage.add(
      Array.from({ length: 5000 }, () => ({ vaultId: id<VaultId>(1), prefix: 'data/1/' })),
      'test',
      0,
    );
    await expect(greedy).rejects.toThrow('a transaction took more than 1000 ids');
    expect(await catalog.garbage.count()).toBe(0);
  });
});

describe('driver errors', () => {
  it('of a full disk change nothing, say so, and end when there is space', async () => {
    const file = join(fixture.dir, 'small.db');
    const connection = new SqliteConnection(file, 'write');
    try {
      migrate(connection, file, 1);
      const writer = new Writer(connection, new FixedClock(), takeLease(connection, 'h', 1));
      const insert = async (name: string): Promise<void> =>
        writer.transaction(async (tx) => {
          const row = { database_id: id<DatabaseId>(name.length), name, created_ms: 1 };
          await tx.db.insertInto('database_def').values(row).execute();
        });
      await insert('a');
      const [pages] = connection.all<[number]>('PRAGMA page_count', []);
      connection.exec(`PRAGMA max_page_count = ${pages?.[0]}`);
      await expect(insert('x'.repeat(100_000))).rejects.toMatchObject({
        code: 'CATALOG_FULL',
        errno: 1021,
        message: expect.stringMatching(/^disk full .* nothing was changed .*SQLITE_FULL/),
      });
      expect(connection.all('SELECT count(*) FROM database_def', [])).toEqual([[1]]);
      await insert('ab');
      connection.exec('PRAGMA max_page_count = 1000000');
      await insert('x'.repeat(100_000));
    } finally {
      connection.close();
    }
  });

  it('of a damaged file are told', async () => {
    await catalog.databases.create('d');
    await fixture.close(catalog);
    const handle = openSync(join(fixture.dir, 'catalog.db'), 'r+');
    for (let page = 1; page < 30; page += 1) {
      writeSync(handle, Buffer.alloc(4000, 0x5a), 0, 4000, page * 4096);
    }
    closeSync(handle);
    await expect(fixture.open()).rejects.toMatchObject({ code: 'CATALOG_DAMAGED' });
  });

  it('of another program that holds the lock are told', async () => {
    const other = new Database(join(fixture.dir, 'catalog.db'));
    other.exec('BEGIN IMMEDIATE');
    await expect(catalog.databases.create('d')).rejects.toMatchObject({
      code: 'CATALOG_BUSY',
      errno: 1205,
    });
    other.exec('ROLLBACK');
    other.close();
    await catalog.databases.create('d');
  });

  it('are recognised by their code alone', () => {
    const error = (code: string): object => ({ code, message: 'm' });
    expect(toCatalogError(error('SQLITE_IOERR_FSYNC'))).toMatchObject({ code: 'CATALOG_IO' });
    expect(toCatalogError(error('SQLITE_READONLY_DIRECTORY'))).toMatchObject({ errno: 1036 });
    expect(isDuplicateKey(error('SQLITE_CONSTRAINT_PRIMARYKEY'))).toBe(true);
    expect(isDuplicateKey(error('SQLITE_CONSTRAINT_NOTNULL'))).toBe(false);
    const other = new Error('not the driver');
    expect(toCatalogError(other)).toBe(other);
  });
});
