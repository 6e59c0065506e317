/** Warm-ups in a cache that is too small for everything: what queries read stays, unless FORCE. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { ServerProcess } from './server_process.ts';
import { csvLines, finished, jobEnd, loadRows, storeReads, warmUp } from './warm_up_steps.ts';

const ROWS = { asked: 5000, other: 9000 };

let server: ServerProcess;

beforeAll(async () => {
  server = await ServerProcess.start({
    args: [
      '--embedded',
      'write_group=1,read_group=1',
      '--set',
      'file_cache_capacity_bytes=12MB',
      '--set',
      'disable_auto_compaction=true',
    ],
  });
  await server.sql('CREATE DATABASE d');
  for (const [table, rows] of Object.entries(ROWS)) {
    await server.sql(
      `CREATE TABLE d.${table} (id INT, text STRING) DUPLICATE KEY(id) DISTRIBUTED BY HASH(id) BUCKETS 1`,
    );
    const text = csvLines(0, rows, 1000);
    await loadRows(server, `d.${table}`, { text, headers: { column_separator: ',' } });
  }
});
afterAll(async () => {
  await server.stop();
});

/** Reads all of a table on the target; how many requests its backend sent to the store. */
async function readsOf(table: keyof typeof ROWS): Promise<number> {
  const before = await storeReads(server, 'read_group');
  await server.sql('USE @read_group');
  const row = await server.row(`SELECT COUNT(*) AS n, COUNT(DISTINCT text) AS d FROM d.${table}`);
  expect(row).toEqual({ n: ROWS[table], d: ROWS[table] });
  return (await storeReads(server, 'read_group')) - before;
}

const warm = async (table: string, force = ''): Promise<string> =>
  await warmUp(server, `WARM UP COMPUTE GROUP read_group WITH TABLE d.${table} ${force}`);

describe('a warm-up that does not fit beside what queries read', () => {
  it('says so and leaves it alone, takes its place with FORCE, and any that nobody reads', async () => {
    await finished(server, await warm('asked'));
    expect(await readsOf('asked')).toBe(0);

    const refused = await jobEnd(server, await warm('other'));
    expect(refused['Status']).toBe('CANCELLED');
    expect(refused['ErrMsg']).toMatch(/no room in the cache.*without FORCE.*queries read lately/);
    expect(await readsOf('asked')).toBe(0);

    await finished(server, await warm('other', 'FORCE'));
    // `other` was not read yet: it gives way, to a warm-up as to a query.
    await finished(server, await warm('asked'));
    expect(await readsOf('asked')).toBe(0);
  });
});
