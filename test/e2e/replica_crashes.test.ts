/**
 * kill -9 of a server with its backends while INSERTs go on: what was acknowledged is there, once,
 * what was not is there as a whole or not at all, and all replicas come to the same rowsets.
 */
import Database from 'better-sqlite3';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { ServerProcess, until } from './server_process.ts';
import { backendsOf } from './warm_up_steps.ts';

const ROUNDS = 4;
const CLIENTS = 4;
/** Acknowledged INSERTs of a round before the kill. */
const ACKNOWLEDGED = [12, 5, 23, 8];
/** Each INSERT has two rows that fall into different tablets, mostly. */
const ROWS = 2;

let server: ServerProcess;

beforeAll(async () => {
  server = await ServerProcess.start({ args: ['--embedded', 'g=3'] });
  await server.sql('CREATE DATABASE d');
  await server.sql(`CREATE TABLE d.t (k INT, n INT) DUPLICATE KEY(k)
    DISTRIBUTED BY HASH(k, n) BUCKETS 3 PROPERTIES("replication_num"="3")`);
});

afterAll(async () => {
  await server.stop();
});

async function backendIds(): Promise<string[]> {
  return (await backendsOf(server, 'g')).map((row) => String(row['BackendId']));
}

interface Disk {
  /** `tablet [start-end] rowset`, of all visible rowsets. */
  readonly rowsets: readonly string[];
  readonly prepared: number;
  readonly files: number;
  readonly segments: number;
}

function diskOf(backendId: string): Disk {
  const dir = join(server.dataDir, 'backends', backendId);
  const database = new Database(join(dir, 'agent.db'), { readonly: true });
  try {
    const rowsets = database
      .prepare(
        `SELECT tablet_id || ' [' || start_version || '-' || end_version || '] ' || rowset_id AS name,
           json_array_length(segments) AS segments
         FROM rowset ORDER BY tablet_id, start_version`,
      )
      .all() as { readonly name: string; readonly segments: number }[];
    const [{ n }] = database.prepare('SELECT COUNT(*) AS n FROM prepared').all() as [{ n: number }];
    return {
      rowsets: rowsets.map(({ name }) => name),
      prepared: n,
      files: filesUnder(join(dir, 'storage')),
      segments: rowsets.reduce((sum, { segments }) => sum + segments, 0),
    };
  } finally {
    database.close();
  }
}

function filesUnder(path: string): number {
  try {
    const names = readdirSync(path, { recursive: true, encoding: 'utf8' });
    return names.filter((name) => name.endsWith('.dat')).length;
  } catch (error) {
    // A directory went meanwhile: it is asked again.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return -1;
    throw error;
  }
}

interface Inserted {
  readonly acknowledged: readonly number[];
  /** The server said that they failed: a busy machine can have its backends look dead. */
  readonly failed: readonly number[];
}

/** INSERTs of keys from `first` on until the server dies. */
async function insertUntilKilled(first: number, enough: number): Promise<Inserted> {
  const acknowledged: number[] = [];
  const failed: number[] = [];
  let next = first;
  let isKilled = false;
  const killed = Promise.withResolvers<'killed'>();
  const client = async (): Promise<void> => {
    const connection = await server.connect();
    for (;;) {
      const key = next;
      next += 1;
      const insert = connection.query(`INSERT INTO d.t VALUES (${key}, 1), (${key}, 2)`);
      const ended = await Promise.race([insert.catch(String), killed.promise]);
      if (isKilled) return;
      if (typeof ended !== 'string') acknowledged.push(key);
      else if (/no alive backend|could be written on/.test(ended)) failed.push(key);
      else throw new Error(ended);
    }
  };
  const clients = Array.from({ length: CLIENTS }, client);
  await until('some are acknowledged', () => acknowledged.length >= enough);
  isKilled = true;
  await server.kill9();
  killed.resolve('killed');
  await Promise.all(clients);
  return { acknowledged, failed };
}

it('loses nothing that was acknowledged, and has replicas that agree', async () => {
  const acknowledged: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const enough = ACKNOWLEDGED[round] ?? 1;
    const inserted = await insertUntilKilled((round + 1) * 100_000, enough);
    acknowledged.push(...inserted.acknowledged);
    await server.launch();
    const rows = await server.sql('SELECT k, COUNT(*) AS n FROM d.t GROUP BY k');
    const found = new Map(rows.map((row) => [Number(row['k']), Number(row['n'])]));
    for (const key of acknowledged) expect([key, found.get(key)]).toEqual([key, ROWS]);
    for (const key of inserted.failed) expect(found.has(key)).toBe(false);
    // At most one INSERT of each client and round was on its way.
    expect(found.size).toBeLessThanOrEqual(acknowledged.length + CLIENTS * (round + 1));
    expect([...found.values()].every((n) => n === ROWS)).toBe(true);
  }
  const ids = await backendIds();
  await until('all replicas agree', () => {
    const [first, ...others] = ids.map(diskOf);
    return others.every(
      (disk) => disk.prepared === 0 && disk.rowsets.join() === first?.rowsets.join(),
    );
  });
  for (const backendId of ids) {
    await until(`no leftovers on ${backendId}`, () => {
      const { files, segments } = diskOf(backendId);
      return files === segments;
    });
  }
});
