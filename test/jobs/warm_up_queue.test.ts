import { describe, expect, it } from '@jest/globals';
import type { JobId } from '../../base/ids.ts';
import { id } from '../../base/ids.ts';
import { StepQueue, bySlotTurn } from '../../jobs/warm_up_queue.ts';

const job = (
  jobId: number,
  syncMode: 'ONCE' | 'PERIODIC',
  startMs: number | null,
  createMs = 0,
) => ({
  jobId: id<JobId>(jobId),
  syncMode,
  startMs,
  createMs,
});

describe('the turn for a slot', () => {
  const order = (...jobs: ReturnType<typeof job>[]): number[] =>
    jobs.toSorted(bySlotTurn).map((one) => one.jobId);

  it('is first that of one-time jobs that have never run, oldest first', () => {
    expect(
      order(
        job(1, 'PERIODIC', null),
        job(2, 'PERIODIC', 5),
        job(3, 'ONCE', null, 9),
        job(4, 'ONCE', null, 8),
      ),
    ).toEqual([4, 3, 1, 2]);
  });

  it('is then that of the job that ran the longest time ago', () => {
    expect(order(job(1, 'PERIODIC', 30), job(2, 'ONCE', 20), job(3, 'PERIODIC', 10))).toEqual([
      3, 2, 1,
    ]);
  });

  it('is that of the older job among equals', () => {
    expect(
      order(job(9, 'PERIODIC', 10, 2), job(8, 'PERIODIC', 10, 2), job(7, 'PERIODIC', 10, 3)),
    ).toEqual([8, 9, 7]);
  });
});

describe('the queue of steps', () => {
  class Jobs {
    readonly turns: number[] = [];
    max = 2;
    readonly queue = new StepQueue(() => this.max);
    readonly #ends = new Map<number, () => void>();

    offer(...jobs: readonly (readonly [number, 'once' | 'other'])[]): void {
      this.queue.offer(
        jobs.map(([jobId, mode]) => ({
          jobId: id<JobId>(jobId),
          isNewOnce: mode === 'once',
          run: async () => {
            this.turns.push(jobId);
            await new Promise<void>((resolve) => this.#ends.set(jobId, resolve));
          },
        })),
      );
    }

    async end(...jobIds: readonly number[]): Promise<void> {
      for (const jobId of jobIds) this.#ends.get(jobId)?.();
      await new Promise((resolve) => {
        setImmediate(resolve);
      });
    }
  }

  it('gives two places to four jobs in the order 4,1,2,3,4,1,2,3', async () => {
    const jobs = new Jobs();
    const all = [
      [1, 'other'],
      [2, 'other'],
      [3, 'other'],
      [4, 'once'],
    ] as const;
    for (let round = 0; round < 2; round += 1) {
      jobs.offer(...all);
      await jobs.end(1, 4);
      await jobs.end(2, 3);
    }
    expect(jobs.turns).toEqual([4, 1, 2, 3, 4, 1, 2, 3]);
  });

  it('starts the next step when one ends, without a further round', async () => {
    const jobs = new Jobs();
    jobs.offer([1, 'other'], [2, 'other'], [3, 'other']);
    expect(jobs.turns).toEqual([1, 2]);
    expect(jobs.queue.waiting).toEqual([3]);
    await jobs.end(2);
    expect(jobs.turns).toEqual([1, 2, 3]);
    expect(jobs.queue.waiting).toEqual([]);
  });

  it('never gives a job two steps at once', () => {
    const jobs = new Jobs();
    jobs.offer([1, 'other']);
    jobs.offer([1, 'other']);
    expect(jobs.turns).toEqual([1]);
    expect(jobs.queue.waiting).toEqual([]);
  });

  it('has as many places as the setting says now', () => {
    const jobs = new Jobs();
    jobs.max = 1;
    jobs.offer([1, 'other'], [2, 'other'], [3, 'other']);
    expect(jobs.turns).toEqual([1]);
    jobs.max = 3;
    jobs.offer([1, 'other'], [2, 'other'], [3, 'other']);
    expect(jobs.turns).toEqual([1, 2, 3]);
  });

  it('starts nothing after its end', async () => {
    const jobs = new Jobs();
    jobs.max = 1;
    jobs.offer([1, 'other'], [2, 'other']);
    jobs.queue.close();
    await jobs.end(1);
    expect(jobs.turns).toEqual([1]);
  });
});
