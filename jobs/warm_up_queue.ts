/** Whose turn it is: for the slot of a target group, and for one of the steps that run at once. */
import type { JobId } from '../base/ids.ts';
import type { WarmUpJob } from '../catalog/warm_up_jobs.ts';

type Waiting = Pick<WarmUpJob, 'jobId' | 'syncMode' | 'startMs' | 'createMs'>;

/** A one-time job that has never run: it goes first (DESIGN 4.5). */
export function isNewOnce(job: Pick<WarmUpJob, 'syncMode' | 'startMs'>): boolean {
  return job.syncMode === 'ONCE' && job.startMs === null;
}

/** Sorts those who want one slot: never-run ONCE first, then the least recently run. */
export function bySlotTurn(a: Waiting, b: Waiting): number {
  const newFirst = Number(isNewOnce(b)) - Number(isNewOnce(a));
  if (newFirst !== 0) return newFirst;
  const neverRun = -Infinity;
  const [ranA, ranB] = [a.startMs ?? neverRun, b.startMs ?? neverRun];
  if (ranA !== ranB) return ranA < ranB ? -1 : 1;
  return a.createMs - b.createMs || a.jobId - b.jobId;
}

/** One turn of a job: short, and it never rejects. */
export interface Step {
  readonly jobId: JobId;
  /** A never-run ONCE job takes the first turn. */
  readonly isNewOnce: boolean;
  readonly run: () => Promise<void>;
}

/**
 * At most `max` steps at once; when one ends, the job comes next that had its turn the longest
 * time ago, so that nobody starves (reference/warm-up 1.5). A job has one step at a time.
 */
export class StepQueue {
  readonly #max: () => number;
  readonly #running = new Set<JobId>();
  readonly #lastTurn = new Map<JobId, number>();
  #waiting: Step[] = [];
  #turns = 0;
  #closed = false;

  /** `max` is asked whenever a step may start. */
  constructor(max: () => number) {
    this.#max = max;
  }

  /** These want a turn, instead of all that waited; those in the middle of one are left out. */
  offer(steps: readonly Step[]): void {
    this.#waiting = steps
      .filter((step) => !this.#running.has(step.jobId))
      .toSorted((a, b) => this.#order(a, b));
    this.#start();
  }

  /** Jobs that want a turn and have to wait for it. */
  get waiting(): readonly JobId[] {
    return this.#waiting.map((step) => step.jobId);
  }

  isRunning(jobId: JobId): boolean {
    return this.#running.has(jobId);
  }

  forget(jobId: JobId): void {
    this.#lastTurn.delete(jobId);
  }

  /** Starts no more steps. */
  close(): void {
    this.#closed = true;
    this.#waiting = [];
  }

  #start(): void {
    while (!this.#closed && this.#running.size < this.#max()) {
      const step = this.#waiting.shift();
      if (step === undefined) return;
      this.#turns += 1;
      this.#lastTurn.set(step.jobId, this.#turns);
      this.#running.add(step.jobId);
      void step.run().finally(() => {
        this.#running.delete(step.jobId);
        this.#start();
      });
    }
  }

  #order(a: Step, b: Step): number {
    const [turnA, turnB] = [this.#lastTurn.get(a.jobId), this.#lastTurn.get(b.jobId)];
    const firstA = a.isNewOnce && turnA === undefined;
    const firstB = b.isNewOnce && turnB === undefined;
    if (firstA !== firstB) return firstA ? -1 : 1;
    return (turnA ?? 0) - (turnB ?? 0) || a.jobId - b.jobId;
  }
}
