/**
 * The phase without faults: repairs what only people can repair, and says what has not ended yet.
 */
import { type CatalogView, FINAL_STATES } from './observed.ts';
import type { Seen } from './invariants.ts';
import type { SimServer } from './sim_server.ts';

export interface RecoveryDeps {
  readonly server: SimServer;
  readonly catalog: CatalogView;
  readonly warmth: Seen['warmth'];
  readonly say: (sql: string) => void;
}

/** What still goes on; empty: everything has ended. Asks for what is missing on the way. */
export async function unfinished({ server, catalog, say }: RecoveryDeps): Promise<string> {
  if (!server.isReady) return 'the server is starting';
  const groups = new Set(catalog.groups());
  const backends = catalog.backends();
  for (const { backendId, state } of backends) {
    const backend = [...server.backends.values()].find((one) => one.backendId === backendId);
    if (state === 'STOPPED') {
      say(`ALTER SYSTEM START BACKEND ${backendId}`);
      return `backend ${backendId} is stopped`;
    }
    if (backend?.isRunning !== true) {
      await Promise.resolve();
      void backend?.start();
      return `backend ${backendId} is starting`;
    }
  }
  for (const job of catalog.jobs().values()) {
    if (FINAL_STATES.has(job.state)) continue;
    const isLost =
      !groups.has(job.dstGroup) || !backends.some((backend) => backend.group === job.dstGroup);
    if (isLost || job.syncMode !== 'ONCE') {
      say(`CANCEL WARM UP JOB WHERE ID = ${job.jobId}`);
      return `job ${job.jobId} is being cancelled`;
    }
    if (job.state === 'PAUSED') say(`RESUME WARM UP JOB ${job.jobId}`);
    return `job ${job.jobId} is ${job.state}`;
  }
  return '';
}
