/**
 * Remembers which rowsets every event-driven job has to bring to its target: those that a backend
 * of its source made visible while the job was there, of tables that its filter matches by the
 * name that they had then. It looks at the tables of rowsets, not at the log of events.
 */
import type { JobId, RowsetId } from '../base/ids.ts';
import { readTableFilter } from '../base/table_filter.ts';
import { compileTableFilter } from '../jobs/table_filter.ts';
import { type Seen, coldRowset } from './invariants.ts';
import { type CatalogView, FINAL_STATES, type JobView, type RowsetView } from './observed.ts';

export class EventWatch {
  /** When each rowset became visible, milliseconds of the run. */
  readonly #visibleMs = new Map<RowsetId, number>();
  #mark = '';
  readonly #owed = new Map<JobId, Set<RowsetId>>();
  /** Rowsets that were owed to somebody, superseded ones included. */
  owedRowsets = 0;

  readonly #say: (text: string) => void;

  constructor(say: (text: string) => void) {
    this.#say = say;
  }

  /**
   * After a step that changed the catalog. `before`: the jobs before it; a job that was made in the
   * same step as a rowset may or may not want it.
   */
  note(
    nowMs: number,
    catalog: CatalogView,
    jobs: ReadonlyMap<JobId, JobView>,
    before: ReadonlyMap<JobId, JobView>,
  ): void {
    const mark = catalog.rowsetMark();
    if (mark === this.#mark) return;
    this.#mark = mark;
    for (const rowset of catalog.visibleRowsets()) {
      if (this.#visibleMs.has(rowset.rowsetId)) continue;
      this.#visibleMs.set(rowset.rowsetId, nowMs);
      const { rowsetId, tabletId, sourceGroup } = rowset;
      this.#say(`rowset ${rowsetId} of tablet ${tabletId} is visible, from ${sourceGroup}`);
      for (const job of jobs.values()) {
        if (!before.has(job.jobId) || !wants(job, rowset)) continue;
        const owed = this.#owed.get(job.jobId) ?? new Set<RowsetId>();
        this.#owed.set(job.jobId, owed);
        owed.add(rowset.rowsetId);
        this.owedRowsets += 1;
      }
    }
  }

  visibleMs(rowsetId: RowsetId): number {
    return this.#visibleMs.get(rowsetId) ?? Number.POSITIVE_INFINITY;
  }

  /** A rowset that the job owes and that is cold on the target, without a recorded failure. */
  async missing(
    job: JobView,
    seen: Pick<Seen, 'catalog' | 'server' | 'warmth'>,
  ): Promise<string | undefined> {
    const owed = this.#owed.get(job.jobId);
    if (owed === undefined) return undefined;
    const failed = seen.catalog.failedItems(job.jobId);
    for (const rowset of seen.catalog.visibleRowsets()) {
      const { rowsetId } = rowset;
      if (!owed.has(rowsetId) || failed.some((item) => item.includes(rowsetId))) continue;
      const problem = await coldRowset(seen, job.dstGroup, [rowset], this.visibleMs(rowsetId));
      if (problem !== undefined) return problem;
    }
    return undefined;
  }
}

function wants(job: JobView, rowset: RowsetView): boolean {
  if (job.syncMode !== 'EVENT_DRIVEN' || FINAL_STATES.has(job.state)) return false;
  if (job.srcGroup !== rowset.sourceGroup) return false;
  if (job.tableFilter === null) return true;
  return compileTableFilter(readTableFilter(job.tableFilter)).matches(rowset.tableName);
}
