/** What the parts of the warm-up jobs are made with. */
import type { AgentTransport, BatchProgress } from '../base/agent_messages.ts';
import type { Config } from '../base/config.ts';
import type { JobId } from '../base/ids.ts';
import type { Clock, Log } from '../base/ports.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { WarmUpJob } from '../catalog/warm_up_jobs.ts';
import type { BackendRegistry } from './backend_registry.ts';
import type { HotspotCollector } from './hotspot_collector.ts';
import type { SnapshotHolds } from './snapshot_holds.ts';

/** Why an event-driven job stops delivering: for a while, or for good. */
export type StopReason = 'paused' | 'ended';

/** What EVENT_DRIVEN jobs do; the scheduler only says when (jobs/event_delivery.ts). */
export interface RowsetEventDelivery {
  /** Sends what is due; answers the WaitReason, empty when there is none. */
  tick(job: WarmUpJob): Promise<string>;
  /** After the transition was committed. 'ended' deletes the job's cursors. */
  stop(job: WarmUpJob, why: StopReason): Promise<void>;
  /** false: not a batch of events. */
  onProgress(progress: BatchProgress): Promise<boolean>;
  /** Right after the commit: events are judged by the job's new filter from now on. */
  altered(job: WarmUpJob): void;
  /** Failed items again; how many. */
  retryFailed(jobId: JobId): Promise<number>;
  /** The newest event of the job's source: what was committed until now. */
  newestSeq(job: WarmUpJob): number;
  /** Whether all targets of the job are done with the events up to `seq`. */
  isPast(jobId: JobId, seq: number): boolean;
}

export interface WarmUpJobsDeps {
  readonly catalog: Catalog;
  readonly transport: AgentTransport;
  readonly registry: BackendRegistry;
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Log;
  readonly hotspots: Pick<HotspotCollector, 'collect'>;
  readonly holds: SnapshotHolds;
  readonly events: RowsetEventDelivery;
}
