/** The schema: golden text, migrations, and files of other programs. */
import Database from 'better-sqlite3';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { MIGRATIONS, migrate } from '../../catalog/migrator.ts';
import { SqliteConnection } from '../../catalog/sqlite_connection.ts';
import { CatalogFixture } from './fixture.ts';

const GOLDEN = join(import.meta.dirname, '../golden/catalog/schema.sql');
const COLUMNS = 'SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY type DESC, name';

describe('schema', () => {
  let fixture: CatalogFixture;
  beforeEach(() => {
    fixture = new CatalogFixture();
  });
  afterEach(() => fixture.remove());

  it('is what the golden file says (UPDATE_GOLDEN=1 writes it)', async () => {
    await fixture.open();
    const rows = fixture.raw((db) => db.prepare(COLUMNS).all() as { sql: string }[]);
    const text = rows.map((row) => `${row.sql.replaceAll(/\n {2}/g, '\n')};\n`).join('\n');
    if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(GOLDEN, text);
    expect(text).toBe(readFileSync(GOLDEN, 'utf8'));
  });

  it('gives every table a primary key', async () => {
    await fixture.open();
    const keyless = fixture.raw((db) =>
      (
        db.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").all() as {
          name: string;
        }[]
      )
        .map((row) => row.name)
        .filter((name) => {
          const columns = db.pragma(`table_info(${name})`) as { pk: number }[];
          return columns.every((column) => column.pk === 0);
        }),
    );
    expect(keyless).toEqual([]);
  });

  it('numbers its migrations 1, 2, 3, ...', () => {
    expect(MIGRATIONS.map((migration) => migration.version)).toEqual(
      MIGRATIONS.map((_, i) => i + 1),
    );
  });

  it('migrates twice and from many connections as once', () => {
    const file = join(fixture.dir, 'catalog.db');
    const connections = Array.from({ length: 5 }, () => new SqliteConnection(file, 'write'));
    try {
      for (const connection of [...connections, ...connections]) migrate(connection, file, 1);
      const versions = connections[4]?.all('SELECT version, name FROM schema_version', []);
      expect(versions).toEqual(MIGRATIONS.map(({ version, name }) => [version, name]));
    } finally {
      for (const connection of connections) connection.close();
    }
  });

  it('applies only what is missing, and nothing of a migration that fails', () => {
    const file = join(fixture.dir, 'catalog.db');
    const connection = new SqliteConnection(file, 'write');
    try {
      migrate(connection, file, 1);
      const broken = {
        version: MIGRATIONS.length + 1,
        name: 'broken',
        statements: ['CREATE TABLE half (id INTEGER PRIMARY KEY) STRICT', 'CREATE NONSENSE'],
      };
      expect(() => migrate(connection, file, 2, [...MIGRATIONS, broken])).toThrow(/syntax error/);
      expect(connection.all("SELECT name FROM sqlite_master WHERE name = 'half'", [])).toEqual([]);
      const fixed = { ...broken, statements: broken.statements.slice(0, 1) };
      migrate(connection, file, 3, [...MIGRATIONS, fixed]);
      expect(connection.all('SELECT version, applied_ms FROM schema_version', [])).toEqual([
        ...MIGRATIONS.map(({ version }) => [version, 1]),
        [MIGRATIONS.length + 1, 3],
      ]);
    } finally {
      connection.close();
    }
  });

  it('refuses a newer file, changes nothing in it, and lets go of the directory', async () => {
    await fixture.close(await fixture.open());
    fixture.raw((db) => db.exec("INSERT INTO schema_version VALUES (99, 'future', 0)"));
    const lease = () => fixture.raw((db) => db.prepare('SELECT * FROM lease').get());
    const before = lease();
    await expect(fixture.open()).rejects.toMatchObject({
      code: 'CATALOG_NEWER',
      message: `catalog ${join(fixture.dir, 'catalog.db')} has schema version 99, this program knows versions up to ${MIGRATIONS.length}; start a newer program`,
    });
    expect(lease()).toEqual(before);
    fixture.raw((db) => db.exec('DELETE FROM schema_version WHERE version = 99'));
    await fixture.open();
  });

  it('says clearly that a file is no catalog', async () => {
    writeFileSync(join(fixture.dir, 'catalog.db'), 'this is a shopping list\n'.repeat(100));
    await expect(fixture.open()).rejects.toMatchObject({ code: 'CATALOG_DAMAGED' });
  });

  it('writes through a WAL, durably, with foreign keys', async () => {
    await fixture.open();
    const mode = fixture.raw((db) => db.pragma('journal_mode', { simple: true }));
    expect(mode).toBe('wal');
    const connection = new SqliteConnection(join(fixture.dir, 'catalog.db'), 'write');
    try {
      expect(connection.all('PRAGMA synchronous', [])).toEqual([[2]]);
      expect(connection.all('PRAGMA foreign_keys', [])).toEqual([[1]]);
    } finally {
      connection.close();
    }
  });

  it('keeps other programs that only read out of nobody’s way', async () => {
    const catalog = await fixture.open();
    const other = new Database(join(fixture.dir, 'catalog.db'), { readonly: true });
    other.exec('BEGIN');
    other.prepare('SELECT * FROM lease').get();
    await catalog.databases.create('d');
    other.close();
    expect((await catalog.databases.list()).map((database) => database.name)).toEqual(['d']);
  });
});
