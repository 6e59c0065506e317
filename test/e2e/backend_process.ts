/** A real backend process in a directory, linked to a real server. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ProgramRun, type ServerProcess, until } from './server_process.ts';

export interface BackendOptions {
  readonly server: ServerProcess;
  /** Default: a new temporary directory, removed by `stop`. */
  readonly dataDir?: string;
  /** Default: any free one, and the same again after a restart. */
  readonly httpPort?: number;
  readonly args?: readonly string[];
  /** Default: the server's. */
  readonly tokenFile?: string;
}

export class BackendProcess {
  readonly dataDir: string;
  readonly #options: BackendOptions;
  #run: ProgramRun | undefined;
  #stderrBefore = '';
  #backendId = 0;
  #httpPort: number;

  static async start(options: BackendOptions): Promise<BackendProcess> {
    const dataDir = options.dataDir ?? (await mkdtemp(join(tmpdir(), 'thermocline-be-')));
    const backend = new BackendProcess(options, dataDir);
    try {
      await backend.launch();
    } catch (error) {
      await backend.stop();
      throw error;
    }
    return backend;
  }

  /** Starts it without waiting for anything. */
  static async spawned(options: BackendOptions): Promise<BackendProcess> {
    const dataDir = options.dataDir ?? (await mkdtemp(join(tmpdir(), 'thermocline-be-')));
    const backend = new BackendProcess(options, dataDir);
    backend.spawn();
    return backend;
  }

  private constructor(options: BackendOptions, dataDir: string) {
    this.#options = options;
    this.#httpPort = options.httpPort ?? 0;
    this.dataDir = dataDir;
  }

  get backendId(): number {
    return this.#backendId;
  }

  get httpPort(): number {
    return this.#httpPort;
  }

  get stderr(): string {
    return this.#stderrBefore + (this.#run?.stderr ?? '');
  }

  get running(): boolean {
    return this.#run?.running === true;
  }

  get pid(): number {
    const pid = this.#run?.child.pid;
    if (pid === undefined) throw new Error('the backend does not run');
    return pid;
  }

  /** Starts the process; what it says of itself is looked at by `ready`. */
  private spawn(): ProgramRun {
    const { server, args = [], tokenFile } = this.#options;
    this.#run = new ProgramRun([
      'backend',
      '--server',
      `http://127.0.0.1:${server.httpPort}`,
      '--data-dir',
      this.dataDir,
      '--token-file',
      tokenFile ?? join(server.dataDir, 'cluster.token'),
      '--http-port',
      String(this.#httpPort),
      ...args,
    ]);
    return this.#run;
  }

  /** Starts the process on the directory and waits for its ready line. */
  async launch(): Promise<void> {
    const run = this.spawn();
    const line = /^ready backend=(\d+) http=[^:]+:(\d+) data=(.+)$/m;
    await until("the backend's ready line", () => {
      if (!run.running) throw new Error(`the backend ended: ${run.stderr}`);
      return line.test(run.stdout);
    });
    const [, backendId, httpPort] = line.exec(run.stdout) ?? [];
    this.#backendId = Number(backendId);
    this.#httpPort = Number(httpPort);
  }

  /** Until the server counts it as alive. */
  async alive(): Promise<void> {
    await until(`backend ${this.#backendId} to be alive`, async () => {
      const rows = await this.#options.server.sql('SHOW BACKENDS');
      return rows.some(
        (row) => Number(row['BackendId']) === this.#backendId && row['Alive'] === 'true',
      );
    });
  }

  /** Until the server counts it as dead: before, it still sends loads there. */
  async dead(): Promise<void> {
    await until(`backend ${this.#backendId} to be dead`, async () => {
      const rows = await this.#options.server.sql('SHOW BACKENDS');
      const row = rows.find((each) => Number(each['BackendId']) === this.#backendId);
      return row?.['Alive'] !== 'true';
    });
  }

  async kill9(): Promise<void> {
    const run = this.#run;
    if (run === undefined) return;
    run.child.kill('SIGKILL');
    await run.ended;
    this.#stderrBefore += run.stderr;
    this.#run = undefined;
  }

  /** SIGTERM, and the exit code it ended with. */
  async terminate(): Promise<number | null> {
    const run = this.#run;
    if (run === undefined) return null;
    run.child.kill('SIGTERM');
    const { code } = await run.ended;
    this.#stderrBefore += run.stderr;
    this.#run = undefined;
    return code;
  }

  async stop(): Promise<void> {
    await this.kill9();
    if (this.#options.dataDir !== undefined) return;
    await rm(this.dataDir, { recursive: true, force: true, maxRetries: 5 });
  }
}
