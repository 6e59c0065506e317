/** What disks do to replicas: bits flip, files and whole disks get lost; SQL does not notice. */
import { readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { ServerProcess, until } from './server_process.ts';
import { backendsOf } from './warm_up_steps.ts';

let server: ServerProcess;

beforeAll(async () => {
  server = await ServerProcess.start({ args: ['--embedded', 'g=3'] });
  await server.sql('CREATE DATABASE d');
  await server.sql(`CREATE TABLE d.t (k INT, v VARCHAR(20)) DUPLICATE KEY(k)
    DISTRIBUTED BY HASH(k) BUCKETS 2 PROPERTIES("replication_num"="3")`);
  for (const values of ["(1, 'a'), (2, 'b'), (3, 'c')", "(4, 'd')", "(5, 'e'), (6, 'f')"]) {
    await server.sql(`INSERT INTO d.t VALUES ${values}`);
  }
});

afterAll(async () => {
  await server.stop();
});

async function backendIds(): Promise<string[]> {
  return (await backendsOf(server, 'g')).map((row) => String(row['BackendId']));
}

function storageOf(backendId: string): string {
  return join(server.dataDir, 'backends', backendId, 'storage', 'data');
}

/** Local segments with their bytes, by key. */
function segmentsOf(backendId: string): Map<string, string> {
  try {
    const names = readdirSync(storageOf(backendId), { recursive: true, encoding: 'utf8' });
    const files = names.filter((name) => name.endsWith('.dat')).toSorted();
    return new Map(
      files.map((name) => [name, readFileSync(join(storageOf(backendId), name)).toString('hex')]),
    );
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return new Map();
    throw error;
  }
}

async function rows(): Promise<string> {
  const found = await server.sql('SELECT k, v FROM d.t ORDER BY k');
  return found.map((row) => `${row['k']}${row['v']}`).join(' ');
}

async function expectRepaired(backendId: string, expected: Map<string, string>): Promise<void> {
  await until(`backend ${backendId} has its files back`, async () => {
    expect(await rows()).toBe('1a 2b 3c 4d 5e 6f');
    const found = segmentsOf(backendId);
    return JSON.stringify([...found]) === JSON.stringify([...expected]);
  });
}

describe('a replica', () => {
  it('with damaged and missing segments is not read, and repaired', async () => {
    const [one = '', two = ''] = await backendIds();
    const expected = segmentsOf(one);
    expect(expected.size).toBeGreaterThan(2);
    expect(segmentsOf(two)).toEqual(expected);
    await server.kill9();
    for (const name of expected.keys()) {
      const path = join(storageOf(one), name);
      const bytes = readFileSync(path);
      bytes[10] = (bytes[10] ?? 0) ^ 4;
      writeFileSync(path, bytes);
    }
    for (const name of [...expected.keys()].slice(1)) rmSync(join(storageOf(two), name));
    await server.launch();
    // Each query may be the first to meet the damage.
    for (let queries = 0; queries < 5; queries += 1) {
      expect(await rows()).toBe('1a 2b 3c 4d 5e 6f');
    }
    await expectRepaired(one, expected);
    await expectRepaired(two, expected);
  });

  it('whose disk is lost is made again from the others', async () => {
    const [one = ''] = await backendIds();
    const expected = segmentsOf(one);
    await server.kill9();
    rmSync(join(server.dataDir, 'backends', one), { recursive: true });
    await server.launch();
    expect(await rows()).toBe('1a 2b 3c 4d 5e 6f');
    await expectRepaired(one, expected);
    await server.sql("INSERT INTO d.t VALUES (7, 'g')");
    expect(await rows()).toBe('1a 2b 3c 4d 5e 6f 7g');
  });
});
