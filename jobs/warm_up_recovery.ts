/**
 * What a server does before its first round. The rows of the jobs are the truth: RUNNING jobs own
 * their slots, and backends that may not have heard of a stop hear of it. All else goes on by
 * itself, as after any other round.
 */
import type { Clock } from '../base/ports.ts';
import type { Config } from '../base/config.ts';
import type { Catalog } from '../catalog/catalog.ts';
import { type WarmUpChanges, isFinal, usesSlot } from './warm_up_changes.ts';
import type { WarmUpStops } from './warm_up_stops.ts';

export interface RecoveryDeps {
  readonly catalog: Catalog;
  readonly changes: WarmUpChanges;
  readonly stops: WarmUpStops;
  readonly clock: Clock;
  readonly config: Config;
}

export async function recoverWarmUps(deps: RecoveryDeps): Promise<void> {
  await ownSlotsAgain(deps);
  await stopAgain(deps);
}

async function ownSlotsAgain({ catalog, changes }: RecoveryDeps): Promise<void> {
  const jobs = await catalog.warmUpJobs.active();
  const running = jobs.filter((job) => job.state === 'RUNNING' && usesSlot(job));
  await catalog.transaction(async (tx) => {
    const owners = new Set(running.map((job) => job.jobId));
    for (const holder of (await tx.warmUpJobs.slots()).values()) {
      if (!owners.has(holder)) await tx.warmUpJobs.releaseSlot(holder);
    }
    for (const { jobId, dstGroup } of running) {
      if (await tx.warmUpJobs.takeSlot(dstGroup, jobId)) continue;
      const job = await tx.warmUpJobs.find(jobId);
      if (job === undefined) continue;
      // Cannot come about here; a slot has one owner all the same.
      const detail = `another job holds the slot of ${dstGroup}`;
      await changes.transition(tx, job, 'interrupted', { detail });
    }
  });
}

/** The server before may have died between a cancellation and its messages. */
async function stopAgain({ catalog, stops, clock, config }: RecoveryDeps): Promise<void> {
  const leasesSinceMs = clock.now() - config.get('warm_up_lease_ms');
  for (const { jobId, run } of await catalog.warmUpBatches.runsWithWork()) {
    const job = await catalog.warmUpJobs.find(jobId);
    if (job === undefined || (job.state === 'RUNNING' && job.run === run)) continue;
    if (isFinal(job) && (job.finishMs ?? 0) < leasesSinceMs) continue;
    const open = await catalog.warmUpBatches.ofRun(jobId, run, 'open');
    const sent = open.filter((batch) => batch.state === 'SENT').map((batch) => batch.backendId);
    stops.stop(jobId, run, new Set(sent));
  }
}
