/**
 * `npm run fuzz -- [--minutes 10] [--seed n] [--keep FILE]`: fuzzing of the wire for as long as one
 * likes, against the listener alone and against a whole server process, in turns of one second
 * each. Afterwards nothing may be left: connections, sessions, descriptors, memory. `--keep` writes
 * one seed of every outcome, as `fuzz_seeds.json` has them.
 */
import { readFileSync, readdirSync, readlinkSync, writeFileSync } from 'node:fs';
import { Command } from 'commander';
import { ServerProcess } from '../../e2e/server_process.ts';
import { RawClient } from './raw_client.ts';
import { type TestServer, startServer } from './scripted_front_door.ts';
import {
  FUZZED_SETTINGS,
  type FuzzTarget,
  answerAnything,
  fuzz,
  fuzzTarget,
} from './wire_fuzzer.ts';

const AT_ONCE = 8;
/** A case that takes longer than this is a hung connection, milliseconds. */
const CASE_MS_MAX = 30_000;
/** How long what is left behind may take to go, milliseconds. */
const REST_MS_MAX = 30_000;
/** Silence of the whole server after which we hang up, milliseconds. */
const SETTLE_MS = 10;
/** Sockets that the whole server may have more than in the beginning: two query processes. */
const MORE_SOCKETS_MAX = 2 * 4;
const SAY_MS = 30_000;
/** Sessions written down before those that are over are forgotten. */
const SESSIONS_MAX = 1000;
const MIB = 2 ** 20;

interface Flags {
  readonly minutes: string;
  readonly seed: string;
  readonly keep?: string;
}

interface Found {
  sessions: number;
  cases: number;
  readonly outcomes: Map<string, number>;
  readonly problems: string[];
}

await new Command('fuzz')
  .option('--minutes <n>', 'how long', '10')
  .option('--seed <n>', 'first seed', '1')
  .option('--keep <file>', 'write one seed per outcome')
  .action(main)
  .parseAsync();

async function main(flags: Flags): Promise<void> {
  const endMs = performance.now() + Number(flags.minutes) * 60_000;
  const found: Found = { sessions: 0, cases: 0, outcomes: new Map(), problems: [] };
  for (const event of ['unhandledRejection', 'uncaughtException'] as const) {
    process.on(event, (error: unknown) => {
      found.problems.push(`${event}: ${String((error as Partial<Error>).stack ?? error)}`);
    });
  }
  const door = await startServer(FUZZED_SETTINGS);
  door.door.onQuery = answerAnything;
  const settings = Object.entries(FUZZED_SETTINGS).flatMap(([key, value]) => [
    '--set',
    `${key}=${value}`,
  ]);
  // Wrong answers to challenges must not keep everybody out for a minute.
  const more = ['log_level=warn', 'failed_login_attempts=0'].flatMap((one) => ['--set', one]);
  const whole = await ServerProcess.start({ args: [...settings, ...more] });
  try {
    const before = await socketsOf(whole);
    await run(
      [doorTarget(door, found), wholeTarget(whole)],
      Number(flags.seed),
      endMs,
      found,
      () => [Math.round(ownMib()), residentMib(whole.pid)],
    );
    await leftOfDoor(door, found);
    await leftOfWhole(whole, before, found);
  } catch (error) {
    found.problems.push(String(error));
  } finally {
    await door.close();
    await whole.stop();
  }
  say(`${found.cases} cases, ${found.outcomes.size} outcomes, ${found.problems.length} problems`);
  for (const problem of found.problems.slice(0, 20)) say(problem);
  if (flags.keep !== undefined) {
    const seeds = [...found.outcomes.values()].sort((a, b) => a - b);
    writeFileSync(flags.keep, `${JSON.stringify(seeds, undefined, 2)}\n`);
  }
  process.exitCode = found.problems.length === 0 ? 0 : 1;
}

/** What it has written down goes when it is over: a long run has millions of sessions. */
function doorTarget(server: TestServer, found: Found): FuzzTarget {
  const target = fuzzTarget(server);
  return {
    port: target.port,
    settled: async (localPort, heard) => {
      await target.settled(localPort, heard);
      server.door.calls.length = 0;
      const { sessions } = server.door;
      if (sessions.length < SESSIONS_MAX) return;
      const rest = sessions.splice(0).filter(({ closeCount }) => closeCount !== 1);
      found.sessions += SESSIONS_MAX - rest.length;
      sessions.push(...rest);
      if (rest.length > SESSIONS_MAX / 2) found.problems.push('sessions are not closed');
    },
  };
}

/** What happens inside cannot be seen; in the end nobody may be connected. */
function wholeTarget(server: ServerProcess): FuzzTarget {
  return {
    port: server.mysqlPort,
    settled: async (_localPort, heard) => {
      for (let last = -1; last !== heard();) {
        last = heard();
        await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
      }
    },
  };
}

async function run(
  targets: readonly FuzzTarget[],
  firstSeed: number,
  endMs: number,
  found: Found,
  memory: () => readonly number[],
): Promise<void> {
  let seed = firstSeed;
  let nextSayMs = performance.now() + SAY_MS;
  const lane = async (): Promise<void> => {
    while (performance.now() < endMs && found.problems.length === 0) {
      const mine = seed;
      seed += 1;
      for (const [at, target] of targets.entries()) await one(mine, target, at === 0, found);
      if (performance.now() < nextSayMs) continue;
      nextSayMs += SAY_MS;
      say(`seed ${mine}, ${found.outcomes.size} outcomes, MiB ${memory().join(' and ')}`);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
}

async function one(seed: number, target: FuzzTarget, keeps: boolean, found: Found): Promise<void> {
  found.cases += 1;
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    reject(new Error(`hangs for ${CASE_MS_MAX} ms`));
  }, CASE_MS_MAX);
  try {
    const { signature } = await Promise.race([fuzz(seed, target), late]);
    if (keeps && !found.outcomes.has(signature)) found.outcomes.set(signature, seed);
  } catch (error) {
    found.problems.push(`seed ${seed}, port ${target.port}: ${String(error)}`);
  } finally {
    clearTimeout(timer);
  }
}

async function leftOfDoor(server: TestServer, found: Found): Promise<void> {
  await until(() => server.listener.connections.size === 0);
  const { sessions } = server.door;
  const unclosed = sessions.filter(({ closeCount }) => closeCount !== 1).length;
  if (server.listener.connections.size > 0) {
    found.problems.push(`${server.listener.connections.size} connections are left`);
  }
  if (unclosed > 0) found.problems.push(`${unclosed} sessions were not closed once`);
  for (const error of server.errors) found.problems.push(JSON.stringify(error));
  say(
    `listener: ${found.sessions + sessions.length} sessions, own process ${Math.round(ownMib())} MiB`,
  );
}

/** The server's own word, and the kernel's. */
async function leftOfWhole(server: ServerProcess, before: number, found: Found): Promise<void> {
  let others = -1;
  await until(async () => {
    const client = await RawClient.loggedIn(server.mysqlPort);
    const { rows } = await client.queryOne('SHOW PROCESSLIST');
    client.destroy();
    others = rows.length - 1;
    return others === 0;
  });
  if (others !== 0) found.problems.push(`${others} connections are left in the whole server`);
  const log = server.stderr.split('\n').filter((line) => line.includes('"level":50'));
  for (const line of log) found.problems.push(line);
  const after = await socketsOf(server);
  if (after > before + MORE_SOCKETS_MAX) found.problems.push(`${after} sockets, before ${before}`);
  say(`whole server: ${residentMib(server.pid)} MiB, ${after} sockets, before ${before}`);
}

/** Sockets of the process beside the connection that is needed to know that it is idle. */
async function socketsOf({ pid, mysqlPort }: ServerProcess): Promise<number> {
  const client = await RawClient.loggedIn(mysqlPort);
  await client.queryOne('SHOW PROCESSLIST');
  const links = readdirSync(`/proc/${pid}/fd`).map((name) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${name}`);
    } catch {
      return '';
    }
  });
  client.destroy();
  return links.filter((link) => link.startsWith('socket:')).length - 1;
}

function residentMib(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Math.round(Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) / 1024);
}

function ownMib(): number {
  return process.memoryUsage().rss / MIB;
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const endMs = performance.now() + REST_MS_MAX;
  while (performance.now() < endMs && !(await condition())) {
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}
