/**
 * One-time jobs by what they do. With 5,000 jobs waiting, a look at all of them for the twin of
 * each new one took 50 times as long as writing it. The catalog stays the truth: what is found here
 * is read again in the transaction that asks, and all jobs of this server are created through it.
 */
import type { JobId } from '../base/ids.ts';
import type { CatalogTransaction } from '../catalog/catalog.ts';
import type { NewWarmUpJob, WarmUpItem, WarmUpJob } from '../catalog/warm_up_jobs.ts';

export type OnceWork = Pick<NewWarmUpJob, 'kind' | 'srcGroup' | 'dstGroup' | 'force' | 'tables'>;

export class OnceTwins {
  /** Undefined until the jobs of before this start were read. */
  #jobs: Map<string, Set<JobId>> | undefined;

  /** Jobs with the same work, whatever their state. */
  async of(tx: CatalogTransaction, work: OnceWork): Promise<WarmUpJob[]> {
    this.#jobs ??= await readAll(tx);
    const found: WarmUpJob[] = [];
    for (const jobId of this.#jobs.get(workKey(work)) ?? []) {
      const job = await tx.warmUpJobs.find(jobId);
      if (job !== undefined) found.push(job);
    }
    return found;
  }

  /** After the commit that created it. */
  add(job: WarmUpJob): void {
    if (this.#jobs !== undefined && job.syncMode === 'ONCE') put(this.#jobs, job);
  }

  /** It has reached a final state. */
  forget(job: WarmUpJob): void {
    const key = workKey(job);
    const twins = this.#jobs?.get(key);
    twins?.delete(job.jobId);
    if (twins?.size === 0) this.#jobs?.delete(key);
  }
}

/** Neither the order of the items nor their repetition makes other work. */
export function workKey({ kind, srcGroup, dstGroup, force, tables }: OnceWork): string {
  return JSON.stringify([kind, srcGroup, dstGroup, force, itemSet(tables)]);
}

function itemSet(items: readonly WarmUpItem[]): readonly string[] {
  const names = items.map(({ db, table, partition }) => JSON.stringify([db, table, partition]));
  return [...new Set(names)].toSorted();
}

async function readAll(tx: CatalogTransaction): Promise<Map<string, Set<JobId>>> {
  const jobs = new Map<string, Set<JobId>>();
  for (const job of await tx.warmUpJobs.active()) {
    if (job.syncMode === 'ONCE') put(jobs, job);
  }
  return jobs;
}

function put(jobs: Map<string, Set<JobId>>, job: WarmUpJob): void {
  const key = workKey(job);
  const twins = jobs.get(key);
  if (twins === undefined) jobs.set(key, new Set([job.jobId]));
  else twins.add(job.jobId);
}
