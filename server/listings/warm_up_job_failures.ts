/** SHOW WARM UP JOB FAILURES: the items that could not be warmed, and why. */
import type { JobId, TableId } from '../../base/ids.ts';
import { type SqlRow, bigintColumn, textColumn } from '../../base/values.ts';
import { timeTextOrNull } from '../../base/units.ts';
import type { Services } from '../services.ts';
import type { Listing } from './listing.ts';
import { seenJobs } from './warm_up_jobs.ts';

export const WARM_UP_JOB_FAILURES: Listing<Services> = {
  columns: [
    textColumn('JobId'),
    ...['Run', 'TabletId'].map(bigintColumn),
    ...['TableName', 'Item', 'Reason', 'Time'].map(textColumn),
  ],
  likeColumns: ['TableName', 'Item', 'Reason'],
  seen: seenJobs,
  namesTables: ['TableName', 'Item', 'Reason'],
  rows: async (services) => await warmUpFailureRows(services, undefined),
};

/** Of one job, or of all. The table's name is that of now; NULL when it was dropped. */
export async function warmUpFailureRows(
  { catalog }: Services,
  jobId: JobId | undefined,
): Promise<readonly SqlRow[]> {
  const failures = await catalog.warmUpRuns.failures(jobId === undefined ? {} : { jobId });
  const names = new Map<TableId, string | null>();
  const rows: SqlRow[] = [];
  for (const failure of failures) {
    const tableId = catalog.tablets.get(failure.tabletId)?.tableId;
    if (tableId !== undefined && !names.has(tableId)) {
      names.set(tableId, (await catalog.tables.nameOf(tableId))?.name ?? null);
    }
    rows.push([
      String(failure.jobId),
      BigInt(failure.run),
      BigInt(failure.tabletId),
      tableId === undefined ? null : (names.get(tableId) ?? null),
      failure.item,
      failure.reason,
      timeTextOrNull(failure.atMs),
    ]);
  }
  return rows;
}
