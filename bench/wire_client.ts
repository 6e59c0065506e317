/** The load generator of `front-door`: a small C program, compiled when a bench asks for it. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { BenchContext } from './bench.ts';
import { pinned, stopChild } from './child_program.ts';

const SOURCE = fileURLToPath(new URL('wire_client.c', import.meta.url));
const FLAGS = ['-O2', '-Wall', '-Wextra', '-Werror'];
const LIBRARIES = ['-lssl', '-lcrypto'];

const run = promisify(execFile);

/** What it does over and over; see wire_client.c. */
export type WireMode = 'text' | 'prepared' | 'login';

export interface WireLoad {
  readonly mode: WireMode;
  readonly port: number;
  /** Process of the server. */
  readonly pid: number;
  readonly user: string;
  readonly password: string;
  readonly connections: number;
  readonly tls: boolean;
  readonly warmUpMs: number;
  readonly measureMs: number;
  readonly sql: string;
  /** Of every answer. */
  readonly rows: number;
}

export interface WireResult {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Share of its core that the client itself used, 0..1: at 1 it would be what limits. */
  readonly busy: number;
  /** Share of its core that the server got. */
  readonly serverBusy: number;
}

export interface Hold extends Pick<WireLoad, 'port' | 'connections' | 'tls'> {
  readonly sql?: string;
}

export interface Held {
  /** Hangs up all its connections. */
  release(): Promise<void>;
}

export class WireClient {
  readonly #context: BenchContext;
  readonly #program: string;
  readonly #core: number;

  /** Throws when there is no C compiler, or no OpenSSL to compile with. */
  static async compile(context: BenchContext, core: number): Promise<WireClient> {
    const program = join(await context.directory(), 'wire_client');
    try {
      await run('cc', [...FLAGS, '-o', program, SOURCE, ...LIBRARIES]);
    } catch (error) {
      throw new Error('the client needs a C compiler and OpenSSL (gcc, libssl-dev)', {
        cause: error,
      });
    }
    return new WireClient(context, program, core);
  }

  private constructor(context: BenchContext, program: string, core: number) {
    this.#context = context;
    this.#program = program;
    this.#core = core;
  }

  async load(load: WireLoad): Promise<WireResult> {
    const { mode, port, pid, user, password, connections, tls, warmUpMs, measureMs, sql, rows } =
      load;
    const [command = '', ...args] = this.#command(mode, {
      port,
      pid,
      user,
      password,
      connections,
      tls: Number(tls),
      warm_up_ms: warmUpMs,
      measure_ms: measureMs,
      rows,
      sql,
    });
    const { stdout } = await run(command, args);
    return JSON.parse(stdout) as WireResult;
  }

  /** Logs in on many connections, asks `sql` on each if there is one, and reads nothing more. */
  async hold({ port, connections, tls, sql = '' }: Hold): Promise<Held> {
    const options = { port, connections, tls: Number(tls), sql };
    const [command = '', ...args] = this.#command('hold', options);
    const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#context.defer(async () => {
      await stopChild(child);
    });
    await firstLine(child);
    return {
      release: async () => {
        const ended = once(child, 'exit');
        child.stdin?.end();
        await ended;
      },
    };
  }

  #command(mode: string, options: Readonly<Record<string, string | number>>): readonly string[] {
    const pairs = Object.entries(options).map(([key, value]) => `${key}=${value}`);
    return pinned(this.#core, [this.#program, mode, ...pairs]);
  }
}

async function firstLine(child: ChildProcess): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  child.stdout?.once('data', () => {
    resolve();
  });
  child.once('error', reject).once('exit', (code) => {
    reject(new Error(`the client ended with code ${code}`));
  });
  await promise;
}
