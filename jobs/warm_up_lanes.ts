/**
 * Messages with backends about batches: one lane per (job, backend), so that a fast backend never
 * waits for a slow one (DESIGN 4.7). A lane sends its next batch or renews the lease of the one it
 * has sent; what backends answer goes to `WarmUpBatchEnds`.
 */
import type { BatchProgress, WarmUpTablet } from '../base/agent_messages.ts';
import type { BackendId, JobId, TabletId } from '../base/ids.ts';
import { StaleRow } from '../catalog/stale_row.ts';
import type { BatchId, WarmUpBatch } from '../catalog/warm_up_batches.ts';
import type { WarmUpJob } from '../catalog/warm_up_jobs.ts';
import type { ReleaseHold } from './snapshot_holds.ts';
import type { WarmUpJobsDeps } from './warm_up_deps.ts';

/** Messages to a backend are answered at once or lost; the next turn asks again. */
const CALL_TIMEOUT_MS = 10_000;
/** How often a backend is asked how far it is, unless its lease is so short that it is sooner. */
const ASK_EVERY_MS = 1000;
/** Timers fire a little early or late; a turn that is this close to its time is on time. */
const ON_TIME = 0.9;
/** A lease is renewed this many times before it would be over. */
const RENEWALS_PER_LEASE = 3;

type LaneDeps = Pick<
  WarmUpJobsDeps,
  'catalog' | 'transport' | 'config' | 'clock' | 'log' | 'holds'
>;

interface Lane {
  isBusy: boolean;
  /** Monotonic moment of the last message, and which batch it was about. */
  spokenAt: number;
  batch: number;
  run: number;
}

export class WarmUpLanes {
  readonly #deps: LaneDeps;
  readonly #heard: (progress: BatchProgress) => Promise<void>;
  readonly #lanes = new Map<JobId, Map<BackendId, Lane>>();
  /** Objects of batches that are out stay in the vault until the batch is over. */
  readonly #holds = new Map<JobId, Map<string, ReleaseHold>>();

  /** `heard` gets every answer about a batch. */
  constructor(deps: LaneDeps, heard: (progress: BatchProgress) => Promise<void>) {
    this.#deps = deps;
    this.#heard = heard;
  }

  /** How long a batch that is out may stay unasked, milliseconds. */
  askEveryMs(): number {
    return Math.min(ASK_EVERY_MS, this.#deps.config.get('warm_up_lease_ms') / RENEWALS_PER_LEASE);
  }

  /**
   * Sends or renews one batch; nothing when a message to that backend is under way, or the batch
   * was asked for just now. Resolves when the answer is there or lost; never rejects.
   */
  async talk(job: WarmUpJob, batch: WarmUpBatch): Promise<void> {
    const lane = this.#lane(job.jobId, batch.backendId);
    if (lane.isBusy || !this.#isDue(lane, batch)) return;
    lane.isBusy = true;
    lane.spokenAt = this.#deps.clock.monotonic();
    lane.batch = batch.batch;
    lane.run = batch.run;
    try {
      await this.#exchange(job, batch);
    } catch (error) {
      // Somebody was faster: the next turn reads the batch anew.
      if (error instanceof StaleRow) return;
      const detail = { jobId: job.jobId, backendId: batch.backendId, error: String(error) };
      this.#deps.log.warn('warm-up batch: backend did not answer', detail);
    } finally {
      lane.isBusy = false;
    }
  }

  /** The batch is over, or goes to somebody else: its objects may go. */
  release(key: BatchId): void {
    const holds = this.#holds.get(key.jobId);
    const name = holdName(key);
    holds?.get(name)?.();
    holds?.delete(name);
  }

  /** The job's run is over. */
  forget(jobId: JobId): void {
    this.#lanes.delete(jobId);
    for (const release of this.#holds.get(jobId)?.values() ?? []) release();
    this.#holds.delete(jobId);
  }

  #lane(jobId: JobId, backendId: BackendId): Lane {
    let lanes = this.#lanes.get(jobId);
    if (lanes === undefined) {
      lanes = new Map();
      this.#lanes.set(jobId, lanes);
    }
    let lane = lanes.get(backendId);
    if (lane === undefined) {
      lane = { isBusy: false, spokenAt: -Infinity, batch: -1, run: -1 };
      lanes.set(backendId, lane);
    }
    return lane;
  }

  #isDue(lane: Lane, batch: WarmUpBatch): boolean {
    if (batch.state === 'PENDING' || lane.batch !== batch.batch || lane.run !== batch.run) {
      return true;
    }
    return this.#deps.clock.monotonic() - lane.spokenAt >= this.askEveryMs() * ON_TIME;
  }

  async #exchange(job: WarmUpJob, batch: WarmUpBatch): Promise<void> {
    const sent = batch.state === 'PENDING' ? undefined : await this.#renew(batch);
    const progress =
      sent === undefined || sent.state === 'UNKNOWN' ? await this.#send(job, batch) : sent;
    if (progress === undefined) return;
    if (progress.state === 'STALE') {
      this.#deps.log.warn('backend refused the batch: it obeys a newer server', { ...progress });
      return;
    }
    await this.#heard(progress);
  }

  async #renew(batch: WarmUpBatch): Promise<BatchProgress> {
    const { transport, catalog, config } = this.#deps;
    const { jobId, run, backendId } = batch;
    const leaseMs = config.get('warm_up_lease_ms');
    return await transport.call(
      backendId,
      'renewWarmUp',
      { jobId, run, batch: batch.batch, epoch: catalog.epoch, leaseMs },
      { timeoutMs: CALL_TIMEOUT_MS },
    );
  }

  /** Hands out a batch; the row says SENT before the message goes. */
  async #send(job: WarmUpJob, batch: WarmUpBatch): Promise<BatchProgress | undefined> {
    const { transport, catalog, config } = this.#deps;
    const { jobId, run, backendId } = batch;
    const marked = await catalog.transaction(async (tx): Promise<boolean> => {
      const current = await tx.warmUpJobs.find(jobId);
      if (current?.state !== 'RUNNING' || current.run !== run) return false;
      const attempts = batch.attempts + 1;
      await tx.warmUpBatches.update(batch, batch.version, { state: 'SENT', attempts });
      return true;
    });
    if (!marked) return undefined;
    const tablets = await this.#load(batch);
    // A cancellation that came meanwhile saves the message; the backend would refuse it anyway.
    if ((await catalog.warmUpJobs.find(jobId))?.state !== 'RUNNING') return undefined;
    const leaseMs = config.get('warm_up_lease_ms');
    const { force } = job;
    return await transport.call(
      backendId,
      'warmUp',
      { jobId, run, batch: batch.batch, epoch: catalog.epoch, leaseMs, force, tablets },
      { timeoutMs: CALL_TIMEOUT_MS },
    );
  }

  /** Tablets with what is visible of them now; those that are gone are left out. */
  async #load(batch: WarmUpBatch): Promise<WarmUpTablet[]> {
    const { catalog } = this.#deps;
    this.#hold(batch);
    const tabletIds: readonly TabletId[] = await catalog.warmUpBatches.tablets(batch);
    const rowsets = await catalog.rowsets.visible(tabletIds);
    const tablets: WarmUpTablet[] = [];
    for (const tabletId of tabletIds) {
      const ref = catalog.tablets.get(tabletId);
      const table = ref === undefined ? undefined : await catalog.tables.byId(ref.tableId);
      if (ref === undefined || table === undefined) continue;
      const { partitionId } = ref;
      const { ttlSeconds } = table;
      tablets.push({ tabletId, partitionId, ttlSeconds, rowsets: rowsets.get(tabletId) ?? [] });
    }
    return tablets;
  }

  /** When a batch is sent again, the older hold stands for both snapshots. */
  #hold(key: BatchId): void {
    let holds = this.#holds.get(key.jobId);
    if (holds === undefined) {
      holds = new Map();
      this.#holds.set(key.jobId, holds);
    }
    const name = holdName(key);
    if (!holds.has(name)) holds.set(name, this.#deps.holds.take());
  }
}

function holdName({ run, backendId, batch }: BatchId): string {
  return `${run}/${backendId}/${batch}`;
}
