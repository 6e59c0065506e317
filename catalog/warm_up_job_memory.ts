/**
 * Warm-up jobs as a session read them last. Of 500 jobs a moment changes a few: the version of each
 * is read, and the rows of those that moved on. Every change of a job raises its version
 * (`WarmUpJobStore.update` is the one door). A transaction has a memory of its own, so what is
 * rolled back is forgotten with it.
 */
import type { Bulk, BulkValue } from './session.ts';
import { type JobRow, toJob } from './warm_up_job_rows.ts';
import type { WarmUpJob } from './warm_up_jobs.ts';

/** Jobs kept; past it all are read again. Expired ones are among them. */
const JOBS_MAX = 20_000;

/** Total: a new column does not compile until it is here. */
const COLUMNS: Readonly<Record<keyof JobRow, true>> = {
  job_id: true,
  kind: true,
  src_group: true,
  dst_group: true,
  sync_mode: true,
  sync_interval_s: true,
  sync_event: true,
  table_filter: true,
  state: true,
  force: true,
  tables: true,
  run: true,
  epoch: true,
  version: true,
  create_ms: true,
  start_ms: true,
  finish_ms: true,
  err_msg: true,
  all_batch: true,
  finish_batch: true,
  all_bytes: true,
  finish_bytes: true,
  cached_bytes: true,
  all_tablets: true,
  done_tablets: true,
  skipped_tablets: true,
  failed_tablets: true,
  start_asked: true,
};
const NAMES = Object.keys(COLUMNS);
const READ_ONE = `SELECT ${NAMES.join(', ')} FROM warm_up_job WHERE job_id = ?`;

export class WarmUpJobMemory {
  readonly #bulk: Bulk;
  readonly #jobs = new Map<number, WarmUpJob>();

  constructor(bulk: Bulk) {
    this.#bulk = bulk;
  }

  /** `which`: WHERE, ORDER BY and LIMIT. A job that did not change is the same object as before. */
  read(which: string, values: readonly BulkValue[]): WarmUpJob[] {
    const found = this.#bulk.all<[number, number]>(
      `SELECT job_id, version FROM warm_up_job ${which}`,
      values,
    );
    const jobs: WarmUpJob[] = [];
    for (const [jobId, version] of found) {
      const known = this.#jobs.get(jobId);
      const job = known?.version === version ? known : this.#readOne(jobId);
      if (job !== undefined) jobs.push(job);
    }
    return jobs;
  }

  #readOne(jobId: number): WarmUpJob | undefined {
    const [row] = this.#bulk.all(READ_ONE, [jobId]);
    if (row === undefined) return undefined;
    const cells = NAMES.map((name, place): [string, unknown] => [name, row[place]]);
    const job = toJob(Object.fromEntries(cells) as JobRow);
    if (this.#jobs.size >= JOBS_MAX) this.#jobs.clear();
    this.#jobs.set(jobId, job);
    return job;
  }
}
