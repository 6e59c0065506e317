/**
 * The warm-up batches an agent holds. A dispatch is idempotent by (job, run, batch): a repeat
 * answers with the progress so far; an older epoch is refused; a batch nobody asks about for its
 * lease is dropped, so that an orphan of a vanished server ends by itself (DESIGN 4.7).
 */
import {
  type BatchKey,
  type BatchProgress,
  WARM_UP_FAILURES_MAX,
  type WarmUpFailure,
  type WarmUpRequest,
  type WarmUpTablet,
} from '../base/agent_messages.ts';
import type { BackendId, JobId } from '../base/ids.ts';
import type { Clock, Log } from '../base/ports.ts';

/** What the downloads of one batch have come to; the runner updates it in place. */
export interface WarmUpCounts {
  totalBytes: number;
  doneBytes: number;
  cachedBytes: number;
  doneTablets: number;
  skippedTablets: number;
  failedTablets: number;
  readonly failures: WarmUpFailure[];
}

export interface WarmUpRun {
  readonly jobId: JobId;
  readonly tablets: readonly WarmUpTablet[];
  /** undefined: a part of a plan. */
  readonly event: WarmUpRequest['event'];
  readonly force: boolean;
  readonly signal: AbortSignal;
  readonly counts: WarmUpCounts;
}

/** Downloads the tablets; resolves when every item was tried. Never rejects for a failed item. */
export type WarmUpRunner = (run: WarmUpRun) => Promise<void>;

interface Batch {
  key: BatchKey;
  readonly totalTablets: number;
  readonly counts: WarmUpCounts;
  readonly controller: AbortController;
  state: 'RUNNING' | 'DONE' | 'STOPPED';
  leaseMs: number;
  stopLease: () => void;
}

/** Ended batches and cancelled jobs remembered, to answer late repeats. */
const REMEMBERED_MAX = 1000;
/** Batches that run at once; more are refused, and the server sends them later. */
export const RUNNING_MAX = 256;
export const RUNNING_OF_JOB_MAX = 16;
/** Tablets of running batches; a single batch may have more. */
export const RUNNING_TABLETS_MAX = 200_000;

export interface WarmUpBatchesDeps {
  readonly backendId: BackendId;
  readonly incarnation: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly run: WarmUpRunner;
  /** Whether downloads wait for the rate limit. */
  readonly throttled: () => boolean;
  /** Tells the server that a batch ended; may be lost, the server asks again anyway. */
  readonly report: (progress: BatchProgress) => void;
}

export class WarmUpBatches {
  readonly #deps: WarmUpBatchesDeps;
  readonly #batches = new Map<string, Batch>();
  /** Job → last run that was cancelled: a dispatch of it that arrives later must not start. */
  readonly #cancelled = new Map<JobId, number>();
  #epochSeen = 0;

  constructor(deps: WarmUpBatchesDeps) {
    this.#deps = deps;
  }

  /** Batches going on now. */
  get running(): number {
    let count = 0;
    for (const batch of this.#batches.values()) if (batch.state === 'RUNNING') count += 1;
    return count;
  }

  /** Jobs that have batches going on now. */
  get runningJobs(): ReadonlySet<JobId> {
    const jobs = new Set<JobId>();
    for (const { state, key } of this.#batches.values())
      if (state === 'RUNNING') jobs.add(key.jobId);
    return jobs;
  }

  dispatch(request: WarmUpRequest): BatchProgress {
    if (this.#refuses(request)) return this.#absent(request, 'STALE');
    if (request.run <= (this.#cancelled.get(request.jobId) ?? 0)) {
      return this.#absent(request, 'STOPPED');
    }
    const known = this.#batches.get(batchName(request));
    if (known !== undefined && known.state !== 'STOPPED') {
      this.#adopt(known, request, request.leaseMs);
      return this.#progress(known);
    }
    if (this.#isFull(request)) return this.#absent(request, 'BUSY');
    const batch: Batch = {
      key: keyOf(request),
      totalTablets: request.tablets.length,
      counts: newCounts(),
      controller: new AbortController(),
      state: 'RUNNING',
      leaseMs: request.leaseMs,
      stopLease: () => undefined,
    };
    this.#batches.set(batchName(request), batch);
    this.#armLease(batch);
    void this.#run(batch, request);
    this.#forgetOldest();
    return this.#progress(batch);
  }

  renew(request: BatchKey & { readonly leaseMs: number }): BatchProgress {
    if (this.#refuses(request)) return this.#absent(request, 'STALE');
    const batch = this.#batches.get(batchName(request));
    if (batch === undefined) return this.#absent(request, 'UNKNOWN');
    this.#adopt(batch, request, request.leaseMs);
    return this.#progress(batch);
  }

  /** Stops all batches of a job up to `run`; running downloads end at once. */
  cancel(jobId: JobId, epoch: number, run: number = Number.MAX_SAFE_INTEGER): void {
    if (epoch < this.#epochSeen) return;
    this.#epochSeen = epoch;
    this.#cancelled.set(jobId, Math.max(run, this.#cancelled.get(jobId) ?? 0));
    for (const batch of this.#batches.values()) {
      if (batch.key.jobId === jobId && batch.key.run <= run) this.#stop(batch);
    }
    if (this.#cancelled.size > REMEMBERED_MAX) {
      const oldest = this.#cancelled.keys().next();
      if (oldest.done !== true) this.#cancelled.delete(oldest.value);
    }
  }

  /** Stops everything: the agent ends. */
  close(): void {
    for (const batch of this.#batches.values()) this.#stop(batch);
  }

  async #run(batch: Batch, request: WarmUpRequest): Promise<void> {
    const { counts, controller } = batch;
    try {
      const { jobId, tablets, force, event } = request;
      await this.#deps.run({ jobId, tablets, force, event, signal: controller.signal, counts });
    } catch (error) {
      if (batch.state !== 'RUNNING') return;
      this.#deps.log.error('warm-up batch failed', { ...batch.key, error: String(error) });
      counts.failedTablets = batch.totalTablets - counts.doneTablets - counts.skippedTablets;
      const tabletId = request.tablets[0]?.tabletId;
      if (counts.failures.length < WARM_UP_FAILURES_MAX && tabletId !== undefined) {
        const reason = error instanceof Error ? error.message : String(error);
        counts.failures.push({ tabletId, item: 'batch', reason, transient: true });
      }
    }
    if (batch.state !== 'RUNNING') return;
    batch.state = 'DONE';
    batch.stopLease();
    this.#deps.report(this.#progress(batch));
  }

  /** Memory is bounded, whatever the servers send. */
  #isFull({ jobId, tablets }: WarmUpRequest): boolean {
    let [all, ofJob, held] = [0, 0, 0];
    for (const { state, key, totalTablets } of this.#batches.values()) {
      if (state !== 'RUNNING') continue;
      all += 1;
      held += totalTablets;
      if (key.jobId === jobId) ofJob += 1;
    }
    if (all === 0) return false;
    const isTooLarge = held + tablets.length > RUNNING_TABLETS_MAX;
    return all >= RUNNING_MAX || ofJob >= RUNNING_OF_JOB_MAX || isTooLarge;
  }

  #refuses(request: BatchKey): boolean {
    if (request.epoch < this.#epochSeen) return true;
    this.#epochSeen = request.epoch;
    return false;
  }

  #adopt(batch: Batch, key: BatchKey, leaseMs: number): void {
    batch.key = keyOf(key);
    batch.leaseMs = leaseMs;
    if (batch.state === 'RUNNING') this.#armLease(batch);
  }

  #armLease(batch: Batch): void {
    batch.stopLease();
    batch.stopLease = this.#deps.clock.after(batch.leaseMs, () => {
      this.#deps.log.warn('warm-up batch dropped: its lease is over', { ...batch.key });
      this.#stop(batch);
      this.#batches.delete(batchName(batch.key));
    });
  }

  #stop(batch: Batch): void {
    batch.stopLease();
    if (batch.state !== 'RUNNING') return;
    batch.state = 'STOPPED';
    batch.controller.abort();
  }

  #forgetOldest(): void {
    if (this.#batches.size <= REMEMBERED_MAX) return;
    for (const [name, batch] of this.#batches) {
      if (batch.state !== 'RUNNING') {
        this.#batches.delete(name);
        return;
      }
    }
  }

  #progress(batch: Batch): BatchProgress {
    const { backendId, incarnation } = this.#deps;
    const { counts, key, totalTablets, state } = batch;
    const failures = [...counts.failures];
    const throttled = state === 'RUNNING' && this.#deps.throttled();
    return { ...key, ...counts, failures, totalTablets, backendId, incarnation, state, throttled };
  }

  #absent(request: BatchKey, state: BatchProgress['state']): BatchProgress {
    const { backendId, incarnation } = this.#deps;
    const nothing = { ...newCounts(), totalTablets: 0, throttled: false };
    return { ...keyOf(request), ...nothing, backendId, incarnation, state };
  }
}

function newCounts(): WarmUpCounts {
  return {
    totalBytes: 0,
    doneBytes: 0,
    cachedBytes: 0,
    doneTablets: 0,
    skippedTablets: 0,
    failedTablets: 0,
    failures: [],
  };
}

function keyOf(key: BatchKey): BatchKey {
  return { jobId: key.jobId, run: key.run, batch: key.batch, epoch: key.epoch };
}

function batchName(key: BatchKey): string {
  return `${key.jobId}/${key.run}/${key.batch}`;
}
