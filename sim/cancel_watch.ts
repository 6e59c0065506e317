/**
 * Watches downloads for jobs that were cancelled or paused. A second after it they must have
 * stopped; where the network, a hang or a crash kept the message away, when the lease is over.
 */
import type { JobId } from '../base/ids.ts';
import type { JobView } from './observed.ts';
import type { SimOptions } from './options.ts';
import type { KnownJob, SimBackend } from './sim_backend.ts';
import type { SimServer } from './sim_server.ts';
import type { VirtualTime } from './virtual_time.ts';

/** How long downloads may still begin after a cancellation, milliseconds. */
const GRACE_MS = 1000;

export class CancelWatch {
  readonly #server: SimServer;
  readonly #time: VirtualTime;
  readonly #leaseMs: number;
  /** Whether messages always come through at once. */
  readonly #goodNetwork: boolean;
  readonly #stoppedMs = new Map<JobId, number>();
  #serverCrashMs = Number.NEGATIVE_INFINITY;

  constructor(server: SimServer, options: SimOptions, time: VirtualTime) {
    this.#server = server;
    this.#time = time;
    this.#leaseMs = Number(options.serverConfig['warm_up_lease_ms']);
    const { drop, slow } = options.network;
    this.#goodNetwork = drop === 0 && slow === 0 && options.faults.partitionMs === 0;
  }

  serverCrashed(): void {
    this.#serverCrashMs = this.#time.nowMs;
  }

  note(jobs: ReadonlyMap<JobId, JobView>, before: ReadonlyMap<JobId, JobView>): void {
    for (const { jobId, state } of jobs.values()) {
      const isStopped = state === 'CANCELLED' || state === 'PAUSED';
      if (!isStopped) this.#stoppedMs.delete(jobId);
      else if (before.get(jobId)?.state !== state) this.#stoppedMs.set(jobId, this.#time.nowMs);
    }
  }

  /** What is wrong with a download that begins now; undefined: nothing. */
  onDownload(backend: SimBackend, key: string): string | undefined {
    const late: string[] = [];
    for (const [jobId, known] of backend.jobs) {
      if (!known.keys.has(key)) continue;
      const problem = this.#lateFor(backend, jobId, known);
      // Somebody else's work, or still in time.
      if (problem === undefined) return undefined;
      late.push(problem);
    }
    return late.length === 0 ? undefined : `${backend.name} downloads ${key}: ${late.join('; ')}`;
  }

  #lateFor(backend: SimBackend, jobId: JobId, known: KnownJob): string | undefined {
    const stoppedMs = this.#stoppedMs.get(jobId);
    const nowMs = this.#time.nowMs;
    if (stoppedMs === undefined || nowMs <= stoppedMs + GRACE_MS) return undefined;
    const resumedMs = backend.process?.resumedMs ?? Number.NEGATIVE_INFINITY;
    if (nowMs <= resumedMs + GRACE_MS) return undefined;
    const ago = (ms: number): string => `${Math.round(nowMs - ms)} ms ago`;
    const what = `job ${jobId} was stopped ${ago(stoppedMs)}`;
    const { cancelledMs, contactMs } = known;
    if (cancelledMs !== undefined && cancelledMs >= contactMs && nowMs > cancelledMs + GRACE_MS) {
      return `${what}, and the backend heard of it ${ago(cancelledMs)}`;
    }
    const serverLived = this.#serverCrashMs < stoppedMs && this.#server.isReady;
    const heardAll = this.#goodNetwork && serverLived && resumedMs < stoppedMs;
    if (heardAll && contactMs < stoppedMs) return `${what}, and nothing kept the message away`;
    if (nowMs > Math.max(contactMs, stoppedMs) + this.#leaseMs + GRACE_MS) {
      return `${what}, and the lease ended ${ago(contactMs + this.#leaseMs)}`;
    }
    return undefined;
  }
}
