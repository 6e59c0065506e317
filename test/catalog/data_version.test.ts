/** By what readers know that what they keep is still right. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { SqliteConnection } from '../../catalog/sqlite_connection.ts';
import { ManualClock } from '../manual_clock.ts';

let dir: string;
let clock: ManualClock;
let own: SqliteConnection;
let other: SqliteConnection;
let reader: SqliteConnection;
let commits: number;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'thermocline-version-'));
  const file = join(dir, 'catalog.db');
  own = new SqliteConnection(file, 'write');
  own.exec('CREATE TABLE t (a INTEGER PRIMARY KEY)');
  other = new SqliteConnection(file, 'write');
  reader = new SqliteConnection(file, 'read');
  clock = new ManualClock();
  commits = 0;
});

afterEach(() => {
  for (const connection of [reader, other, own]) connection.close();
  rmSync(dir, { recursive: true });
});

function commit(connection: SqliteConnection): void {
  connection.exec('BEGIN IMMEDIATE');
  connection.run('INSERT INTO t DEFAULT VALUES', []);
  connection.exec('COMMIT');
  if (connection === own) commits += 1;
}

it('is another one after each commit', () => {
  const seen = new Set([reader.dataVersion()]);
  for (const connection of [own, other, own]) {
    commit(connection);
    seen.add(reader.dataVersion());
    expect(reader.dataVersion()).toBe([...seen].at(-1));
  }
  expect(seen.size).toBe(4);
});

it('that is followed is another one at once, and after a moment for commits of others', () => {
  reader.follow(() => commits, clock);
  const first = reader.dataVersion();
  expect(reader.dataVersion()).toBe(first);
  commit(own);
  const second = reader.dataVersion();
  expect(second).not.toBe(first);
  commit(own);
  commit(own);
  const third = reader.dataVersion();
  expect(third).not.toBe(second);
  commit(other);
  clock.advance(5);
  const fourth = reader.dataVersion();
  expect(fourth).not.toBe(third);
  clock.advance(5);
  expect(reader.dataVersion()).toBe(fourth);
  // Both at once count, too.
  commit(other);
  commit(own);
  expect(reader.dataVersion()).not.toBe(fourth);
});
