/** A MariaDB server of our own in a directory of ours, to compare with; never the system's. */
import { execFile } from 'node:child_process';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type Connection, createConnection } from 'mysql2/promise';
import { programPath } from '../test/clients/programs.ts';
import type { BenchContext } from './bench.ts';
import { freePort, pinned, startDaemon } from './child_program.ts';
import { rowsOf } from './tables.ts';

const INSTALL = 'mariadb-install-db';
const DAEMON = 'mariadbd';
const START_TIMEOUT_MS = 30_000;
const POLL_MS = 50;

const run = promisify(execFile);

export interface MariaDb {
  readonly port: number;
  readonly pid: number;
  /** Of the server itself, for what is shown beside its figures. */
  readonly version: string;
  connect(): Promise<Connection>;
}

/** Undefined when MariaDB is not installed (Debian: mariadb-server). `more`: its options. */
export async function startMariaDb(
  context: BenchContext,
  core: number,
  more: readonly string[] = [],
): Promise<MariaDb | undefined> {
  const install = programPath(INSTALL);
  const daemon = programPath(DAEMON);
  if (install === undefined || daemon === undefined) return undefined;
  const directory = await context.directory();
  const data = join(directory, 'data');
  await mkdir(data);
  // As root it refuses to run unless told that this is meant.
  const user = process.getuid?.() === 0 ? ['--user=root'] : [];
  const where = ['--no-defaults', `--datadir=${data}`, ...user];
  const quick = [
    '--auth-root-authentication-method=normal',
    '--skip-test-db',
    '--skip-name-resolve',
  ];
  await run(install, [...where, ...quick]);
  const port = await freePort();
  const files = [`--socket=${join(directory, 'sock')}`, `--pid-file=${join(directory, 'pid')}`];
  const network = ['--bind-address=127.0.0.1', `--port=${port}`, '--skip-name-resolve'];
  const logFile = join(directory, 'log');
  const child = startDaemon(
    context,
    pinned(core, [daemon, ...where, ...files, ...network, ...more]),
    logFile,
  );
  const connect = async (): Promise<Connection> =>
    await createConnection({ host: '127.0.0.1', port, user: 'root' });
  const version = await untilAnswers(connect, logFile);
  return { port, pid: child.pid ?? 0, version, connect };
}

async function untilAnswers(connect: () => Promise<Connection>, logFile: string): Promise<string> {
  const deadlineMs = performance.now() + START_TIMEOUT_MS;
  for (;;) {
    try {
      const client = await connect();
      const [row] = await rowsOf(client, 'SELECT VERSION() AS version');
      await client.end();
      return String(row?.['version']);
    } catch (error) {
      if (performance.now() < deadlineMs) {
        await new Promise((resolve) => setTimeout(resolve, POLL_MS));
        continue;
      }
      const log = await readFile(logFile, 'utf8');
      throw new Error(`MariaDB does not answer: ${log.slice(-2000)}`, { cause: error });
    }
  }
}
