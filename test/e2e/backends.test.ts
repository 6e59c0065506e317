/** Backends that stop, die, join and leave while people read and load. */
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { ServerProcess, until } from './server_process.ts';
import {
  backendsOf,
  csvLines,
  finished,
  groupMetric,
  loadRows,
  streamLoad,
  warmUp,
} from './warm_up_steps.ts';

const CSV = { column_separator: ',' };
const QUERY = 'SELECT COUNT(*) AS n, COUNT(DISTINCT name) AS d FROM d.t';

let server: ServerProcess;

beforeAll(async () => {
  server = await ServerProcess.start({ args: ['--set', 'heartbeat_interval_ms=100'] });
  await server.sql('CREATE DATABASE d');
  await server.sql(
    'CREATE TABLE d.t (id INT, name STRING) DUPLICATE KEY(id) DISTRIBUTED BY HASH(id) BUCKETS 8',
  );
  await loadRows(server, 'd.t', { text: csvLines(0, 3000, 40), headers: CSV });
});
afterAll(async () => {
  await server.stop();
});

async function ids(group: string): Promise<string[]> {
  return (await backendsOf(server, group)).map((row) => String(row['BackendId']));
}

async function alive(group: string): Promise<unknown[]> {
  return (await backendsOf(server, group)).map((row) => row['Alive']);
}

describe('reads go on', () => {
  it.each(['KILL', 'STOP'])(
    'right after %s of one of two backends, and after its start',
    async (verb) => {
      await server.sql('USE @read_group');
      expect(await server.sql(QUERY)).toEqual([{ n: 3000, d: 3000 }]);
      const [id] = await ids('read_group');
      await server.sql(`ALTER SYSTEM ${verb} BACKEND "${id}"`);
      expect(await server.sql(QUERY)).toEqual([{ n: 3000, d: 3000 }]);
      expect(await alive('read_group')).toEqual(['false', 'true']);
      await server.sql(`ALTER SYSTEM START BACKEND "${id}"`);
      expect(await server.sql(QUERY)).toEqual([{ n: 3000, d: 3000 }]);
      expect(await alive('read_group')).toEqual(['true', 'true']);
      expect((await server.error(`ALTER SYSTEM START BACKEND "${id}"`)).message).toMatch(
        /is running/,
      );
    },
  );

  it('of many clients while backends come and go', async () => {
    const stop = new AbortController();
    const failures: string[] = [];
    let reads = 0;
    const reading = Array.from({ length: 3 }, async () => {
      const connection = await server.connect();
      await connection.query('USE @read_group');
      while (!stop.signal.aborted) {
        try {
          const [rows] = await connection.query(QUERY);
          expect(rows).toEqual([{ n: 3000, d: 3000 }]);
          reads += 1;
        } catch (error) {
          failures.push(String(error));
        }
      }
    });
    const [first, second] = await ids('read_group');
    for (const id of [first, second]) {
      await server.sql(`ALTER SYSTEM STOP BACKEND "${id}"`);
      await server.sql(`ALTER SYSTEM START BACKEND "${id}"`);
    }
    await server.sql('ALTER SYSTEM ADD BACKEND "embedded" TO COMPUTE GROUP read_group');
    const enough = reads + 10;
    await until('more reads', () => reads >= enough);
    const third = (await ids('read_group'))[2];
    await server.sql(`ALTER SYSTEM DROP BACKEND "${third}"`);
    stop.abort();
    await Promise.all(reading);
    // A scan whose backend is stopped under it may fail, clearly, and only then.
    for (const failure of failures) expect(failure).toMatch(/Backend \d+/);
    expect(failures.length).toBeLessThanOrEqual(9);
  });
});

describe('a group without backends', () => {
  it('says so to readers, loads and warm-ups, and works again after a start', async () => {
    const all = await ids('write_group');
    for (const id of all) await server.sql(`ALTER SYSTEM STOP BACKEND "${id}"`);
    await server.sql('USE @write_group');
    const message = 'Compute group write_group has no alive backend';
    expect((await server.error(QUERY)).message).toContain(message);
    expect((await server.error("INSERT INTO d.t VALUES (1, 'x')")).message).toContain(message);
    await expect(streamLoad(server, 'd.t', { text: '1,a\n', headers: CSV })).rejects.toThrow(
      message,
    );
    const toIt = 'WARM UP COMPUTE GROUP write_group WITH TABLE d.t';
    expect((await server.error(toIt)).message).toContain(message);
    // Stopped is for good, over a restart; the other group is not concerned.
    await server.restart();
    expect(await alive('write_group')).toEqual(['false', 'false']);
    await server.sql('USE @read_group');
    expect(await server.sql(QUERY)).toEqual([{ n: 3000, d: 3000 }]);
    for (const id of all) await server.sql(`ALTER SYSTEM START BACKEND "${id}"`);
    await server.sql('USE @write_group');
    await server.sql("INSERT INTO d.t VALUES (-1, 'after')");
    expect(await server.sql(QUERY)).toEqual([{ n: 3001, d: 3001 }]);
    await finished(server, await warmUp(server, toIt));
  });

  it('a killed backend comes back with the server, with its id and its cache', async () => {
    const before = await backendsOf(server, 'write_group');
    const used = async (): Promise<number> =>
      await groupMetric(server, 'write_group', 'file_cache_used_bytes', 'queue="NORMAL"');
    const usedBefore = await used();
    expect(usedBefore).toBeGreaterThan(0);
    await server.sql(`ALTER SYSTEM KILL BACKEND "${String(before[0]?.['BackendId'])}"`);
    await server.restart();
    const after = await backendsOf(server, 'write_group');
    expect(after.map((row) => row['Alive'])).toEqual(['true', 'true']);
    expect(after.map((row) => row['BackendId'])).toEqual(before.map((row) => row['BackendId']));
    expect(await used()).toBe(usedBefore);
  });
});
