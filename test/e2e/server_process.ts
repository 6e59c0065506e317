/**
 * A real server process in a temporary directory, and the clients that tests need. The kernel ends
 * the process when the test run dies (PR_SET_PDEATHSIG through setpriv), so nothing survives it.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import {
  type Connection,
  type ConnectionOptions,
  type RowDataPacket,
  createConnection,
} from 'mysql2/promise';
import { programPath } from '../clients/programs.ts';

const PROGRAM = fileURLToPath(new URL('../../bin/thermocline.js', import.meta.url));
const START_TIMEOUT_MS = 30_000;
const STOP_TIMEOUT_MS = 20_000;
const POLL_MS = 10;
const UNTIL_TIMEOUT_MS = 30_000;
/** Kept of stderr; a server that says more than this is broken. */
const STDERR_CHARS_MAX = 4 * 2 ** 20;

export type Row = RowDataPacket;

export interface ServerOptions {
  /** Default: a new temporary directory, removed by `stop`. */
  readonly dataDir?: string;
  /** More arguments of `serve`. */
  readonly args?: readonly string[];
  /** As `--set key=value`. */
  readonly settings?: Readonly<Record<string, string>>;
  readonly env?: Readonly<Record<string, string>>;
}

export interface Ended {
  readonly code: number | null;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A command of the program, from its start to its end. */
export class ProgramRun {
  stdout = '';
  stderr = '';
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;

  constructor(args: readonly string[], options: RunOptions = {}) {
    const env: NodeJS.ProcessEnv = { ...process.env, ...options.env };
    // What Jest needs is not what the server is started with.
    delete env['NODE_OPTIONS'];
    const command = [process.execPath, PROGRAM, ...args];
    const setpriv = programPath('setpriv');
    const [file = '', ...rest] =
      setpriv === undefined
        ? command
        : [setpriv, '--pdeathsig', 'KILL', ...(options.setpriv ?? []), ...command];
    this.child = spawn(file, rest, {
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    });
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text;
    });
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      if (this.stderr.length < STDERR_CHARS_MAX) this.stderr += text;
    });
    const { promise, resolve, reject } = Promise.withResolvers<Ended>();
    this.child.once('error', reject);
    this.child.once('close', (code, signal) => {
      resolve({ code, signal, stdout: this.stdout, stderr: this.stderr });
    });
    this.ended = promise;
    // Whoever awaits it gets the failure.
    promise.catch(() => undefined);
  }

  get running(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** More options of setpriv, such as another user. */
  readonly setpriv?: readonly string[];
}

/** Runs a command that is expected to end by itself. */
export async function runProgram(
  args: readonly string[],
  options: RunOptions = {},
): Promise<Ended> {
  const run = new ProgramRun(args, options);
  const timer = new AbortController();
  const late = sleep(START_TIMEOUT_MS, 'late' as const, { signal: timer.signal });
  late.catch(() => undefined);
  const first = await Promise.race([run.ended, late]);
  timer.abort();
  if (first !== 'late') return first;
  run.child.kill('SIGKILL');
  await run.ended;
  throw new Error(`the program did not end: ${args.join(' ')}\n${run.stdout}\n${run.stderr}`);
}

export class ServerProcess {
  readonly dataDir: string;
  readonly #options: ServerOptions;
  readonly #connections = new Set<Connection>();
  #run: ProgramRun | undefined;
  #mysqlPort = 0;
  #httpPort = 0;
  #stderrBefore = '';
  #session: Connection | undefined;

  static async start(options: ServerOptions = {}): Promise<ServerProcess> {
    const dataDir = options.dataDir ?? (await mkdtemp(join(tmpdir(), 'thermocline-e2e-')));
    const server = new ServerProcess(options, dataDir);
    try {
      await server.launch();
    } catch (error) {
      await server.stop();
      throw error;
    }
    return server;
  }

  private constructor(options: ServerOptions, dataDir: string) {
    this.#options = options;
    this.dataDir = dataDir;
  }

  get mysqlPort(): number {
    return this.#mysqlPort;
  }

  get httpPort(): number {
    return this.#httpPort;
  }

  /** Everything the server wrote to stderr, over all its lives. */
  get stderr(): string {
    return this.#stderrBefore + (this.#run?.stderr ?? '');
  }

  /** Of the process that runs now. */
  get pid(): number {
    const pid = this.#run?.child.pid;
    if (pid === undefined) throw new Error('the server does not run');
    return pid;
  }

  /** Starts the process on the directory and waits for its ready line. */
  async launch(on: { readonly httpPort?: number } = {}): Promise<void> {
    const ports = ['--mysql-port', '0', '--http-port', String(on.httpPort ?? 0)];
    const { args = [], settings = {}, env = {} } = this.#options;
    const set = Object.entries(settings).flatMap(([key, value]) => ['--set', `${key}=${value}`]);
    const run = new ProgramRun(['serve', '--data-dir', this.dataDir, ...ports, ...args, ...set], {
      env,
    });
    this.#run = run;
    const line = /^ready mysql=[^:]+:(\d+) http=[^:]+:(\d+) data=(.+)$/m;
    await until('the ready line', () => {
      if (!run.running) throw new Error(`the server ended: ${run.stderr}`);
      return line.test(run.stdout);
    });
    const [, mysqlPort, httpPort] = line.exec(run.stdout) ?? [];
    this.#mysqlPort = Number(mysqlPort);
    this.#httpPort = Number(httpPort);
  }

  async connect(options: ConnectionOptions = {}): Promise<Connection> {
    const connection = await createConnection({
      host: '127.0.0.1',
      port: this.#mysqlPort,
      user: 'root',
      supportBigNumbers: true,
      ...options,
    });
    // A connection that breaks because the server was killed is no failure of the test.
    connection.on('error', () => undefined);
    this.#connections.add(connection);
    return connection;
  }

  /** One statement on a session that all calls share; its rows, or none. */
  async sql(text: string): Promise<Row[]> {
    this.#session ??= await this.connect();
    const [rows] = await this.#session.query(text);
    return Array.isArray(rows) ? (rows as Row[]) : [];
  }

  /** The only row. */
  async row(text: string): Promise<Row> {
    const rows = await this.sql(text);
    const [row] = rows;
    if (row === undefined || rows.length > 1) throw new Error(`${rows.length} rows: ${text}`);
    return row;
  }

  /** The error that the statement must end with. */
  async error(text: string): Promise<{ errno: number; sqlState: string; message: string }> {
    try {
      await this.sql(text);
    } catch (error) {
      const { errno, sqlState, message } = error as Record<string, unknown>;
      if (typeof errno === 'number' && typeof sqlState === 'string') {
        return { errno, sqlState, message: String(message) };
      }
      throw error;
    }
    throw new Error(`no error: ${text}`);
  }

  async kill9(): Promise<void> {
    this.#forgetConnections();
    const run = this.#run;
    if (run === undefined) return;
    run.child.kill('SIGKILL');
    await run.ended;
    this.#keepStderr();
  }

  /** SIGTERM, and the exit code it ended with. */
  async terminate(): Promise<number | null> {
    this.#forgetConnections();
    const run = this.#run;
    if (run === undefined) return null;
    run.child.kill('SIGTERM');
    const timer = new AbortController();
    const late = sleep(STOP_TIMEOUT_MS, 'late' as const, { signal: timer.signal });
    late.catch(() => undefined);
    const first = await Promise.race([run.ended, late]);
    timer.abort();
    if (first === 'late') {
      await this.kill9();
      throw new Error(`the server did not stop: ${this.stderr.slice(-2000)}`);
    }
    this.#keepStderr();
    return first.code;
  }

  /** In order, then again on the same directory. */
  async restart(): Promise<void> {
    const code = await this.terminate();
    if (code !== 0) throw new Error(`exit code ${code}: ${this.stderr.slice(-2000)}`);
    await this.launch();
  }

  /** Ends the process without ceremony and removes the directory. */
  async stop(): Promise<void> {
    await this.kill9();
    if (this.#options.dataDir !== undefined) return;
    await rm(this.dataDir, { recursive: true, force: true, maxRetries: 5 });
  }

  #forgetConnections(): void {
    for (const connection of this.#connections) connection.destroy();
    this.#connections.clear();
    this.#session = undefined;
  }

  #keepStderr(): void {
    this.#stderrBefore += this.#run?.stderr ?? '';
    this.#run = undefined;
  }
}

/** Asks until the answer is yes; an exception ends the wait at once. */
export async function until(
  what: string,
  ready: () => boolean | Promise<boolean>,
  timeoutMs = UNTIL_TIMEOUT_MS,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await ready())) {
    if (performance.now() > deadline) throw new Error(`waited too long for ${what}`);
    await sleep(POLL_MS);
  }
}
