/** Query processes: started when needed, kept warm, killed when a statement must end at once. */
import { spawn, type ChildProcess } from 'node:child_process';
import { extname } from 'node:path';
import type { Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { SqlError } from '../../base/errors.ts';
import type { Clock, Log } from '../../base/ports.ts';
import {
  FRAME_BYTES_MAX,
  MEMORY_SIGNAL,
  decodeBody,
  encodeFrame,
  frameLength,
  type QueryReply,
  type QueryRequest,
} from './query_messages.ts';

/** The same ending as this file has: source or build. */
const PROGRAM = fileURLToPath(new URL(`query_process${extname(import.meta.url)}`, import.meta.url));
/** Of the server's environment; what it has compiled takes 35 MB and 0.1 s of CPU to compile. */
const ENVIRONMENT = ['PATH', 'TMPDIR', 'NODE_COMPILE_CACHE', 'NODE_DISABLE_COMPILE_CACHE'];
const HEADER_BYTES = 4;
/** JavaScript heap of a process, MiB; SQLite's memory is outside it. */
const HEAP_MIB = 256;
/**
 * Its young objects, MiB, twice over: V8 would let them grow to 64. Rows that pass through are
 * garbage at once, and the longer it waits the more memory it holds: GROUP BY of three million rows
 * had its peak at 187 MB instead of 315, for a tenth more CPU.
 */
const YOUNG_MIB = 4;

/** One process. It runs one statement at a time. */
export class QueryProcess {
  readonly #child: ChildProcess;
  readonly #input: Writable;
  readonly #chunks: AsyncIterator<Buffer>;
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  #alive = true;
  /** With the signal that ended it. */
  readonly #exited: Promise<NodeJS.Signals | null>;
  /** Bytes that the running statement may take. */
  #memoryMax = 0;
  /** Bytes that it had when its statement ended. */
  #memory = 0;

  constructor(log: Log) {
    const heap = [`--max-old-space-size=${HEAP_MIB}`, `--max-semi-space-size=${YOUNG_MIB}`];
    const flags = ['--disable-warning=ExperimentalWarning', ...heap];
    this.#child = spawn(process.execPath, [...flags, PROGRAM], {
      stdio: ['pipe', 'pipe', 'pipe', 'pipe'],
      env: Object.fromEntries(ENVIRONMENT.map((name) => [name, process.env[name]])),
    });
    const [input, output, errors, lifeline] = this.#child.stdio;
    if (!input || !output || !errors || !lifeline) throw new Error('no pipes to the query process');
    this.#input = input;
    this.#chunks = output[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
    for (const pipe of [input, output, errors, lifeline]) pipe.on('error', () => this.kill());
    this.#child.on('error', () => this.kill());
    this.#exited = new Promise((resolve) => {
      this.#child.on('exit', (_, signal) => {
        this.#alive = false;
        resolve(signal);
      });
    });
    errors.on('data', (chunk: Buffer) => log.warn('query process', { stderr: chunk.toString() }));
    this.#hold(false);
  }

  get alive(): boolean {
    return this.#alive;
  }

  /** Whether the process keeps the server's event loop alive: only while it works. */
  #hold(busy: boolean): void {
    const pipes = this.#child.stdio as unknown as readonly { ref(): void; unref(): void }[];
    for (const handle of [this.#child, ...pipes]) {
      if (busy) handle.ref();
      else handle.unref();
    }
  }

  begin(): void {
    this.#hold(true);
  }

  end(): void {
    this.#hold(false);
  }

  /** Resolves when the process has room for more. `packed`: the rows of the request, as bytes. */
  async send(request: QueryRequest, packed?: Uint8Array): Promise<void> {
    if (!this.#alive) throw await this.#gone();
    if (request.kind === 'run') this.#memoryMax = request.memoryMax;
    let hasRoom = this.#input.write(encodeFrame(request));
    if (packed !== undefined) hasRoom = this.#input.write(packed);
    if (hasRoom) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        this.#input.off('drain', done);
        this.#input.off('close', done);
        resolve();
      };
      this.#input.on('drain', done);
      this.#input.on('close', done);
    });
  }

  /** The next reply; not read ahead of, so that an unread result holds the statement back. */
  async receive(): Promise<QueryReply> {
    const length = frameLength(await this.#take(HEADER_BYTES));
    if (length > FRAME_BYTES_MAX) throw processGone();
    const reply = decodeBody<QueryReply>(await this.#take(length));
    if (reply.kind === 'batch') this.#memory = reply.memory ?? this.#memory;
    return reply;
  }

  async #take(bytes: number): Promise<Buffer> {
    while (this.#pendingBytes < bytes) {
      const { value, done } = await this.#chunks.next();
      if (done === true) throw await this.#gone();
      this.#pending.push(value);
      this.#pendingBytes += value.length;
    }
    const all =
      this.#pending.length === 1
        ? (this.#pending[0] ?? Buffer.alloc(0))
        : Buffer.concat(this.#pending);
    const rest = all.subarray(bytes);
    this.#pending = rest.length > 0 ? [rest] : [];
    this.#pendingBytes = rest.length;
    return all.subarray(0, bytes);
  }

  /** It has grown so much that the next statement is better off with a new one. */
  get isWorn(): boolean {
    return this.#memory > WORN_BYTES;
  }

  /** Why there is nobody to talk to. V8 aborts when its heap is full. */
  async #gone(): Promise<SqlError> {
    const signal = await this.#exited;
    const isMemory = signal === MEMORY_SIGNAL || signal === 'SIGABRT' || signal === 'SIGTRAP';
    return isMemory ? new SqlError('QUERY_MEMORY', { bytes: this.#memoryMax }) : processGone();
  }

  kill(): void {
    this.#alive = false;
    this.#child.kill('SIGKILL');
  }
}

function processGone(): SqlError {
  return new SqlError('QUERY_FAILED', { why: 'the query process ended' });
}

/** A process at rest has 100 MiB. */
const WORN_BYTES = 256 * 2 ** 20;

/** Most statements running at once; further ones wait their turn. */
export const QUERY_PROCESSES_MAX = 8;
/** Idle processes kept for the next statement for good. */
const IDLE_MAX = 2;
/**
 * How long more of them are kept, milliseconds: a start costs 40 ms of CPU, which with 8
 * connections asking and all but two processes killed after every statement left 54 SELECTs a
 * second; kept, there are 20 times as many.
 */
const IDLE_MS = 10_000;

interface IdleProcess {
  readonly process: QueryProcess;
  readonly stopTimer: () => void;
}

export class QueryPool {
  readonly #log: Log;
  readonly #clock: Clock;
  /** The one used last is the next to be used, so that the others can grow old. */
  readonly #idle: IdleProcess[] = [];
  readonly #busy = new Set<QueryProcess>();
  readonly #waiting: (() => void)[] = [];
  #closed = false;

  constructor(log: Log, clock: Clock) {
    this.#log = log;
    this.#clock = clock;
  }

  /** A process for one statement. Rejects with the signal's reason while it waits. */
  async acquire(signal: AbortSignal): Promise<QueryProcess> {
    while (this.#busy.size >= QUERY_PROCESSES_MAX) await this.#turn(signal);
    if (this.#closed) throw new SqlError('SERVER_SHUTDOWN');
    let process = this.#takeIdle();
    while (process !== undefined && !process.alive) process = this.#takeIdle();
    process ??= new QueryProcess(this.#log);
    this.#busy.add(process);
    process.begin();
    return process;
  }

  #turn(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    return new Promise((resolve, reject) => {
      const aborted = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(go), 1);
        reject(signal.reason as Error);
      };
      const go = (): void => {
        signal.removeEventListener('abort', aborted);
        resolve();
      };
      signal.addEventListener('abort', aborted, { once: true });
      this.#waiting.push(go);
    });
  }

  /** `clean`: its statement ended by itself; otherwise the process is killed. */
  release(process: QueryProcess, clean: boolean): void {
    if (!this.#busy.delete(process)) return;
    process.end();
    if (clean && process.alive && !process.isWorn && !this.#closed) this.#keep(process);
    else process.kill();
    this.#waiting.shift()?.();
  }

  #takeIdle(): QueryProcess | undefined {
    const idle = this.#idle.pop();
    idle?.stopTimer();
    return idle?.process;
  }

  #keep(process: QueryProcess): void {
    const stopTimer = this.#clock.after(IDLE_MS, () => {
      if (this.#idle.length <= IDLE_MAX) return;
      const at = this.#idle.findIndex((idle) => idle.process === process);
      if (at < 0) return;
      this.#idle.splice(at, 1);
      process.kill();
    });
    this.#idle.push({ process, stopTimer });
  }

  close(): void {
    this.#closed = true;
    for (let idle = this.#takeIdle(); idle !== undefined; idle = this.#takeIdle()) {
      idle.kill();
    }
    for (const process of this.#busy) process.kill();
    for (const go of this.#waiting.splice(0)) go();
  }
}
