/**
 * Whatever comes over the wire, the server lives, answers others, and keeps nothing of who is gone.
 *
 * FUZZ_CASES=n runs more cases, FUZZ_SEED=n begins elsewhere, so that
 * `FUZZ_SEED=<seed of the message> FUZZ_CASES=1` runs a failed one again. `npm run fuzz` runs them
 * for as long as one likes, against the whole server, too.
 */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { RawClient } from './raw_client.ts';
import { type TestServer, startServer, until } from './scripted_front_door.ts';
import { FUZZED_SETTINGS, answerAnything, fuzz, fuzzTarget } from './wire_fuzzer.ts';

/** One seed of every outcome that longer runs have seen. */
const KEPT_SEEDS = JSON.parse(
  readFileSync(new URL('fuzz_seeds.json', import.meta.url), 'utf8'),
) as readonly number[];
const CASES = Number(process.env['FUZZ_CASES'] ?? '300');
const FIRST_SEED = Number(process.env['FUZZ_SEED'] ?? '1');
const AT_ONCE = 8;

let server: TestServer;

beforeAll(async () => {
  server = await startServer(FUZZED_SETTINGS);
  server.door.onQuery = answerAnything;
});
afterAll(async () => {
  await server.close();
});

async function run(seeds: readonly number[]): Promise<void> {
  const target = fuzzTarget(server);
  const queue = [...seeds];
  const lane = async (): Promise<void> => {
    for (let seed = queue.shift(); seed !== undefined; seed = queue.shift()) {
      try {
        await fuzz(seed, target);
      } catch (error) {
        throw new Error(`seed ${seed}`, { cause: error });
      }
      expect({ seed, errors: server.errors }).toEqual({ seed, errors: [] });
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
}

describe('whatever comes over the wire', () => {
  it('which ended in every way known', async () => {
    await run(KEPT_SEEDS);
  });

  it('leaves a server that answers and keeps nothing', async () => {
    await run(Array.from({ length: CASES }, (_, at) => FIRST_SEED + at));
    await until(() => server.listener.connections.size === 0);
    expect(server.door.sessions.map(({ closeCount }) => closeCount).filter((n) => n !== 1)).toEqual(
      [],
    );
    expect(server.door.sessions.length).toBeGreaterThan(0);
    const client = await RawClient.loggedIn(server.port);
    expect((await client.queryOne('SELECT 1')).kind).not.toBe('error');
    client.destroy();
  }, 1_200_000);
});
