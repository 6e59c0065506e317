/**
 * The phase without faults: repairs what only people can repair, and says what has not ended yet.
 */
import type { JobId } from '../base/ids.ts';
import type { EventWatch } from './event_watch.ts';
import { type Seen, aliveIn } from './invariants.ts';
import { type BackendView, type CatalogView, FINAL_STATES, type JobView } from './observed.ts';
import type { SimServer } from './sim_server.ts';
import { START_MS } from './virtual_time.ts';

export interface RecoveryDeps {
  readonly server: SimServer;
  readonly catalog: CatalogView;
  readonly warmth: Seen['warmth'];
  readonly events: EventWatch;
  readonly say: (sql: string) => void;
}

/** What is left to do; `lost`: something that was promised is not there. */
export interface Recovered {
  /** Empty: everything has ended. */
  readonly left: string;
  readonly lost?: string;
}

export class Recovery {
  readonly #deps: RecoveryDeps;
  /** Where the phase began, wall clock of the server. */
  readonly #beganMs: number;
  /** Jobs that did what they must do in this phase and were told to end. */
  readonly #done = new Set<JobId>();

  constructor(deps: RecoveryDeps, nowMs: number) {
    this.#deps = deps;
    this.#beganMs = START_MS + nowMs;
  }

  /** One look around; asks for what is missing on the way. */
  async look(): Promise<Recovered> {
    const { server, catalog, say } = this.#deps;
    if (!server.isReady) return { left: 'the server is starting' };
    const backends = catalog.backends();
    const down = this.#startOne(backends);
    if (down !== undefined) return { left: down };
    for (const job of catalog.jobs().values()) {
      if (FINAL_STATES.has(job.state)) continue;
      if (this.#isOrphan(job, backends) || this.#done.has(job.jobId)) {
        say(`CANCEL WARM UP JOB WHERE ID = ${job.jobId}`);
        return { left: `job ${job.jobId} is being cancelled` };
      }
      if (job.state === 'PAUSED') {
        say(`RESUME WARM UP JOB ${job.jobId}`);
        return { left: `job ${job.jobId} is paused` };
      }
      const found = await this.#lookAt(job);
      if (found !== undefined) return found;
      this.#done.add(job.jobId);
    }
    const open = [...catalog.jobs().values()].find((job) => !FINAL_STATES.has(job.state));
    return { left: open === undefined ? '' : `job ${open.jobId} is to be cancelled` };
  }

  /** undefined: the job has nothing more to show. */
  async #lookAt(job: JobView): Promise<Recovered | undefined> {
    const { catalog, events } = this.#deps;
    const what = `job ${job.jobId} (${job.syncMode}) is ${job.state}`;
    switch (job.syncMode) {
      case 'ONCE':
        return { left: what };
      case 'PERIODIC': {
        const cycles = catalog.runs().filter((run) => run.jobId === job.jobId);
        const isBack = cycles.some((run) => run.startMs > this.#beganMs && run.endMs !== null);
        return isBack ? undefined : { left: `${what}, and no cycle has ended` };
      }
      case 'EVENT_DRIVEN': {
        const members = catalog.backends().filter((backend) => backend.group === job.dstGroup);
        if (aliveIn(catalog, this.#deps.server, job.dstGroup).length < members.length) {
          return { left: `${what}, and its target is not complete` };
        }
        if (job.state !== 'RUNNING' || !catalog.isDelivered(job)) {
          return { left: `${what}, and has events to deliver` };
        }
        const lost = await events.missing(job, this.#deps);
        return lost === undefined ? undefined : { left: what, lost: `${what}, but ${lost}` };
      }
    }
  }

  /** Nothing can come of a job without its groups. */
  #isOrphan({ srcGroup, dstGroup }: JobView, backends: readonly BackendView[]): boolean {
    const groups = this.#deps.catalog.groups();
    if (srcGroup !== null && !groups.includes(srcGroup)) return true;
    return !backends.some((backend) => backend.group === dstGroup);
  }

  #startOne(backends: readonly BackendView[]): string | undefined {
    const { server, say } = this.#deps;
    for (const { backendId, state } of backends) {
      const backend = [...server.backends.values()].find((one) => one.backendId === backendId);
      if (state === 'STOPPED') {
        // A start that came too late to be told of the STOP.
        if (backend?.isRunning === true) backend.kill();
        say(`ALTER SYSTEM START BACKEND ${backendId}`);
        return `backend ${backendId} is stopped`;
      }
      if (backend?.isRunning !== true) {
        void backend?.start();
        return `backend ${backendId} is starting`;
      }
    }
    return undefined;
  }
}
