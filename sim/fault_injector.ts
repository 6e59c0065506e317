/** Crashes, hangs, cut lines and lost disks, at times drawn from the seed; and their repair. */
import type { SimOptions } from './options.ts';
import { promiseJobs } from './quiet.ts';
import type { SeededRandom } from './seeded_random.ts';
import type { SimBackend } from './sim_backend.ts';
import type { SimNetwork } from './sim_network.ts';
import type { SimServer } from './sim_server.ts';
import type { SimBucket } from './sim_store.ts';
import type { SimEvent, VirtualTime } from './virtual_time.ts';

export interface FaultInjectorDeps {
  readonly options: SimOptions;
  readonly random: SeededRandom;
  readonly time: VirtualTime;
  readonly server: SimServer;
  readonly network: SimNetwork;
  readonly bucket: SimBucket;
  readonly note: (text: string) => void;
  /** Whether somebody would start it again. */
  readonly isEnabled: (backend: SimBackend) => boolean;
  readonly onServerCrash: () => void;
  readonly onServerStart: () => void;
}

/** A crash in the middle of what an event starts comes after up to 2^n promise jobs. */
const PROMISE_JOBS_BITS_MAX = 11;
const DOWN_MS = 3000;

export class FaultInjector {
  readonly #deps: FaultInjectorDeps;
  #stopped = false;
  /** The next event of the server is its last; so many promise jobs after it. */
  #armed: number | undefined;
  /** The same for a backend. */
  #armedBackend: { readonly backend: SimBackend; readonly jobs: number } | undefined;

  constructor(deps: FaultInjectorDeps) {
    this.#deps = deps;
  }

  start(): void {
    const { faults } = this.#deps.options;
    this.#every(faults.serverCrashMs, () => this.#crashServer());
    this.#every(faults.agentCrashMs, () => this.#crashAgent(false));
    this.#every(faults.diskLossMs, () => this.#crashAgent(true));
    this.#every(faults.agentHangMs, () => this.#hangAgent());
    this.#every(faults.partitionMs, () => this.#cutLine());
  }

  stop(): void {
    this.#stopped = true;
    this.#armed = undefined;
    this.#armedBackend = undefined;
  }

  /** Called after an event was fired and before anything settles: where crashes at an await are. */
  async afterEvent({ owner }: SimEvent): Promise<void> {
    if (owner === undefined) return;
    const { server } = this.#deps;
    if (this.#armed !== undefined && owner === server.process) {
      await promiseJobs(this.#armed);
      this.#armed = undefined;
      this.#killServer();
    }
    const armed = this.#armedBackend;
    if (armed !== undefined && owner === armed.backend.process) {
      await promiseJobs(armed.jobs);
      this.#armedBackend = undefined;
      this.#killBackend(armed.backend, false);
    }
  }

  /** No fault from now on, everything that is down comes up, backends have their groups. */
  healAll(): void {
    const { network, bucket, server } = this.#deps;
    Object.assign(network.faults, { drop: 0, duplicate: 0, replyLost: 0, slow: 0 });
    Object.assign(bucket.faults, { unavailable: 0, replyLost: 0, truncated: 0, slow: 0 });
    network.healAll();
    for (const backend of server.backends.values()) {
      backend.disk.faults.writeError = 0;
      backend.process?.resume();
    }
    server.process?.resume();
    this.#startServer();
  }

  #every(meanMs: number, act: () => void): void {
    if (meanMs === 0) return;
    const { random, time } = this.#deps;
    time.schedule(random.around(meanMs), 'fault', () => {
      if (this.#stopped) return;
      act();
      this.#every(meanMs, act);
    });
  }

  /** Between two events, or in the middle of what the next one starts. */
  #crashServer(): void {
    const { random, server } = this.#deps;
    if (!server.isRunning) return;
    if (random.chance(0.2)) this.#killServer();
    else this.#armed = random.int(2 ** random.int(PROMISE_JOBS_BITS_MAX + 1));
  }

  #killServer(): void {
    const { random, server, time, onServerCrash } = this.#deps;
    onServerCrash();
    server.crash();
    time.schedule(random.around(DOWN_MS), 'server restart', () => {
      this.#startServer();
    });
  }

  #startServer(): void {
    const { server, onServerStart } = this.#deps;
    if (server.isRunning) return;
    onServerStart();
    void server.start();
  }

  #crashAgent(disk: boolean): void {
    const { random } = this.#deps;
    const backend = this.#backend();
    if (backend === undefined) return;
    if (disk || random.chance(0.3)) this.#killBackend(backend, disk);
    else {
      const jobs = random.int(2 ** random.int(PROMISE_JOBS_BITS_MAX + 1));
      this.#armedBackend = { backend, jobs };
    }
  }

  #killBackend(backend: SimBackend, loseDisk: boolean): void {
    const { random, time, note, isEnabled } = this.#deps;
    if (!backend.isRunning) return;
    note(`${backend.name} is killed${loseDisk ? ', its disk is lost' : ''}`);
    backend.kill();
    if (loseDisk) {
      backend.disk.wipe();
      backend.forget();
    }
    time.schedule(random.around(DOWN_MS), 'backend restart', () => {
      if (!backend.isRunning && isEnabled(backend)) void backend.start();
    });
  }

  #hangAgent(): void {
    const { random, time, note } = this.#deps;
    const backend = this.#backend();
    const process = backend?.process;
    if (backend === undefined || process?.state !== 'running') return;
    note(`${backend.name} hangs`);
    process.hang();
    time.schedule(random.around(2 * DOWN_MS), 'backend goes on', () => {
      if (process.state === 'hung') note(`${backend.name} goes on`);
      process.resume();
    });
  }

  #cutLine(): void {
    const { random, time, network, note } = this.#deps;
    const backend = this.#backend();
    if (backend === undefined) return;
    note(`line to ${backend.name} is cut`);
    network.cut(backend.name);
    time.schedule(random.around(2 * DOWN_MS), 'line is healed', () => {
      note(`line to ${backend.name} is healed`);
      network.heal(backend.name);
    });
  }

  #backend(): SimBackend | undefined {
    const { random, server } = this.#deps;
    return random.pick([...server.backends.values()].filter((backend) => backend.isRunning));
  }
}
