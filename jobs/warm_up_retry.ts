/** What a one-time job that did not finish has left undone. */
import type { TabletId } from '../base/ids.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { WarmUpBatch } from '../catalog/warm_up_batches.ts';
import type { WarmUpJob } from '../catalog/warm_up_jobs.ts';

/** Failed items looked at; where more failed, whole batches are tried again. */
const FAILURES_READ_MAX = 2000;

/** In the order of the job's batches; tablets that are gone are left out. */
export async function leftOver(catalog: Catalog, job: WarmUpJob): Promise<TabletId[]> {
  const { jobId, run } = job;
  const named = await catalog.warmUpRuns.failures({ jobId, limit: FAILURES_READ_MAX });
  const failed = new Set(named.map((failure) => failure.tabletId));
  const left = new Set<TabletId>();
  for (const batch of await catalog.warmUpBatches.ofRun(jobId, run, 'all')) {
    if (batch.state === 'DONE' && batch.failedTablets === 0) continue;
    const tabletIds = await catalog.warmUpBatches.tablets(batch);
    for (const tabletId of ofBatch(batch, tabletIds, failed)) left.add(tabletId);
  }
  return [...left].filter((tabletId) => catalog.tablets.get(tabletId) !== undefined);
}

/** A backend names only some of what failed: then the whole batch is in doubt. */
function ofBatch(
  batch: WarmUpBatch,
  tabletIds: readonly TabletId[],
  failed: ReadonlySet<TabletId>,
): readonly TabletId[] {
  const known = tabletIds.filter((tabletId) => failed.has(tabletId));
  return batch.state === 'DONE' && known.length >= batch.failedTablets ? known : tabletIds;
}
