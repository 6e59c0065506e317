/** A Thermocline server as its users start it: its own process, watched through /proc. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { createConnection } from 'mysql2/promise';
import type { Connection } from 'mysql2/promise';
import type { BenchContext } from './bench.ts';
import { pinned, stopChild } from './child_program.ts';

const PROGRAM = fileURLToPath(new URL('../bin/thermocline.js', import.meta.url));
const READY_TIMEOUT_MS = 60_000;
/** USER_HZ of every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;

export interface ServerOptions {
  readonly dataDir: string;
  /** Core that the process and all its threads are pinned to. */
  readonly core?: number;
  /** Node's own flags. */
  readonly nodeArgs?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** More arguments of `thermocline serve`. */
  readonly args?: readonly string[];
  /** `key=value` of the server's config. */
  readonly set?: readonly string[];
}

export class ServerProcess {
  readonly mysqlPort: number;
  readonly httpPort: number;
  readonly #child: ChildProcess;

  /** Resolves when the ready line is out. The server stops with the bench at the latest. */
  static async start(context: BenchContext, options: ServerOptions): Promise<ServerProcess> {
    const { dataDir, core, nodeArgs = [], env = {}, args: more = [], set = [] } = options;
    const ports = ['--mysql-port', '0', '--http-port', '0'];
    const settings = ['log_level=warn', ...set].flatMap((one) => ['--set', one]);
    const serve = [
      ...nodeArgs,
      PROGRAM,
      'serve',
      '--data-dir',
      dataDir,
      ...ports,
      ...more,
      ...settings,
    ];
    const [command = '', ...args] = pinned(core, [process.execPath, ...serve]);
    const child = spawn(command, args, {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, ...env },
    });
    const stop = async (): Promise<void> => {
      await stopChild(child);
    };
    context.defer(stop);
    return new ServerProcess(child, await readyLine(child));
  }

  private constructor(child: ChildProcess, ready: string) {
    this.#child = child;
    const [, mysql, http] = /^ready mysql=\S+:(\d+) http=\S+:(\d+) /.exec(ready) ?? [];
    if (mysql === undefined) throw new Error(`not a ready line: ${ready}`);
    this.mysqlPort = Number(mysql);
    this.httpPort = Number(http);
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  async connect(): Promise<Connection> {
    return await createConnection({ host: '127.0.0.1', port: this.mysqlPort, user: 'root' });
  }

  /** User and system time of all its threads since it was started, seconds (in steps of 0.01). */
  async cpuSeconds(): Promise<number> {
    const stat = await readFile(`/proc/${this.#child.pid}/stat`, 'utf8');
    // The second field is the name in parentheses; user and system time are the 14th and 15th.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
  }

  /** Highest resident set so far, MiB. */
  async peakMemoryMib(): Promise<number> {
    return await memoryMib(this.#child.pid, 'VmHWM');
  }

  /** Resident set now, MiB. */
  async memoryMib(): Promise<number> {
    return await memoryMib(this.#child.pid, 'VmRSS');
  }

  /** Highest resident sets so far of the processes it has started and that live, added up, MiB. */
  async childPeakMemoryMib(): Promise<number> {
    const children = await this.#children();
    const peaks = children.map(async (child) => await memoryMib(child, 'VmHWM'));
    return (await Promise.all(peaks)).reduce((sum, peak) => sum + peak, 0);
  }

  /** Memory of these that they share with no other process (the program's code is shared), MiB. */
  async childOwnMemoryMib(): Promise<number> {
    const own = (await this.#children()).map(async (child) => {
      const text = await readFile(`/proc/${child}/smaps_rollup`, 'utf8');
      const parts = text.matchAll(/^Private_(?:Clean|Dirty):\s+(\d+) kB/gm);
      return Array.from(parts, ([, kib]) => Number(kib) / 1024).reduce((a, b) => a + b, 0);
    });
    return (await Promise.all(own)).reduce((sum, mib) => sum + mib, 0);
  }

  async #children(): Promise<readonly number[]> {
    const { pid } = this.#child;
    const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8');
    return children
      .split(' ')
      .filter((word) => /^\d+$/.test(word))
      .map(Number);
  }

  async stop(): Promise<void> {
    await stopChild(this.#child);
  }
}

async function memoryMib(pid: number | undefined, line: 'VmHWM' | 'VmRSS'): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(new RegExp(`^${line}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) / 1024;
}

async function readyLine(child: ChildProcess): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let text = '';
  child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
    const ready = /^ready .*$/m.exec(text)?.[0];
    if (ready !== undefined) resolve(ready);
  });
  child.once('error', reject).once('exit', (code) => {
    reject(new Error(`the server ended with code ${code} before it was ready`));
  });
  const timer = setTimeout(() => {
    reject(new Error('the server was not ready in time'));
  }, READY_TIMEOUT_MS);
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
  }
}
