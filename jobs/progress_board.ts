/**
 * What the backends said last about the batches they have in hand: memory only, for SHOW. The rows
 * of the catalog change when a batch ends; between two such moments this has the newer numbers.
 */
import type { BatchProgress } from '../base/agent_messages.ts';
import type { BackendId, JobId } from '../base/ids.ts';
import type { Clock } from '../base/ports.ts';

/** Over how long BytesPerSec is measured. */
const RATE_WINDOW_MS = 60_000;
/**
 * Fewer samples give no ETA: a wrong one is worse than none. Those that say the same as the one
 * before do not count: bytes come in ranges of megabytes, and one of them is no trend.
 */
const ETA_SAMPLES_MIN = 3;
/** Closer samples are one. */
const SAMPLE_DISTANCE_MS = 500;

interface Sample {
  readonly atMonotonic: number;
  readonly bytes: number;
}

interface JobBoard {
  readonly batches: Map<string, BatchProgress>;
  samples: Sample[];
  waitReason: string;
}

export interface LiveCounts {
  readonly doneBytes: number;
  readonly cachedBytes: number;
  readonly doneTablets: number;
  readonly skippedTablets: number;
  readonly failedTablets: number;
}

export class ProgressBoard {
  readonly #clock: Clock;
  readonly #jobs = new Map<JobId, JobBoard>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A batch goes on: remember what its backend says. */
  note(progress: BatchProgress): void {
    this.#board(progress.jobId).batches.set(batchKey(progress), progress);
  }

  /** The batch's numbers are in the catalog now, or its backend lost it. */
  clear(jobId: JobId, backendId: BackendId, run: number, batch: number): void {
    this.#jobs.get(jobId)?.batches.delete(batchKey({ backendId, run, batch }));
  }

  /** The job ended. */
  forget(jobId: JobId): void {
    this.#jobs.delete(jobId);
  }

  /** The run is over: rate and live numbers begin anew with the next one. */
  endRun(jobId: JobId): void {
    const board = this.#jobs.get(jobId);
    if (board === undefined) return;
    board.batches.clear();
    board.samples = [];
  }

  /** A backend that has no room for the batch now: it is asked again later. */
  busyBackend(jobId: JobId): BackendId | undefined {
    for (const progress of this.#jobs.get(jobId)?.batches.values() ?? []) {
      if (progress.state === 'BUSY') return progress.backendId;
    }
    return undefined;
  }

  /** What its backend said last of a batch; undefined: nothing yet, or it is over. */
  batch(
    jobId: JobId,
    key: Pick<BatchProgress, 'backendId' | 'run' | 'batch'>,
  ): BatchProgress | undefined {
    return this.#jobs.get(jobId)?.batches.get(batchKey(key));
  }

  setWaitReason(jobId: JobId, reason: string): void {
    this.#board(jobId).waitReason = reason;
  }

  waitReason(jobId: JobId): string {
    return this.#jobs.get(jobId)?.waitReason ?? '';
  }

  /** Whether a backend says that the rate limit is what holds it up. */
  throttled(jobId: JobId): boolean {
    for (const progress of this.#jobs.get(jobId)?.batches.values() ?? []) {
      if (progress.throttled) return true;
    }
    return false;
  }

  /** Sum over the batches in hand. */
  live(jobId: JobId): LiveCounts {
    const sum = {
      doneBytes: 0,
      cachedBytes: 0,
      doneTablets: 0,
      skippedTablets: 0,
      failedTablets: 0,
    };
    for (const progress of this.#jobs.get(jobId)?.batches.values() ?? []) {
      sum.doneBytes += progress.doneBytes;
      sum.cachedBytes += progress.cachedBytes;
      sum.doneTablets += progress.doneTablets;
      sum.skippedTablets += progress.skippedTablets;
      sum.failedTablets += progress.failedTablets;
    }
    return sum;
  }

  /** One sample of all bytes the job has in the cache by now. */
  sample(jobId: JobId, bytes: number): void {
    const board = this.#board(jobId);
    const atMonotonic = this.#clock.monotonic();
    const last = board.samples.at(-1);
    if (last !== undefined && atMonotonic - last.atMonotonic < SAMPLE_DISTANCE_MS) return;
    const oldest = atMonotonic - RATE_WINDOW_MS;
    board.samples = board.samples.filter((sample) => sample.atMonotonic >= oldest);
    board.samples.push({ atMonotonic, bytes });
  }

  /** Bytes per second over the last minute; undefined with fewer than two samples. */
  rate(jobId: JobId): number | undefined {
    const samples = this.#jobs.get(jobId)?.samples ?? [];
    const first = samples[0];
    const last = samples.at(-1);
    if (first === undefined || last === undefined || first === last) return undefined;
    const seconds = (last.atMonotonic - first.atMonotonic) / 1000;
    return seconds <= 0 ? undefined : Math.max(0, (last.bytes - first.bytes) / seconds);
  }

  /** Milliseconds to go; undefined while there are too few samples or nothing moves. */
  etaMs(jobId: JobId, bytesLeft: number): number | undefined {
    const all = this.#jobs.get(jobId)?.samples ?? [];
    const samples = all.filter(({ bytes }, place) => bytes !== all[place - 1]?.bytes).length;
    const rate = this.rate(jobId);
    if (samples < ETA_SAMPLES_MIN || rate === undefined || rate === 0) return undefined;
    return (bytesLeft / rate) * 1000;
  }

  #board(jobId: JobId): JobBoard {
    let board = this.#jobs.get(jobId);
    if (board === undefined) {
      board = { batches: new Map(), samples: [], waitReason: '' };
      this.#jobs.set(jobId, board);
    }
    return board;
  }
}

function batchKey(of: { backendId: BackendId; run: number; batch: number }): string {
  return `${of.backendId}/${of.run}/${of.batch}`;
}
