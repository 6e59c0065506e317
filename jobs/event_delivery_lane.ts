/**
 * Deliveries of one job to one backend: a few batches at a time, each tried until everything of it
 * is in the cache, superseded, or failed for good. The cursors move only then.
 */
import type {
  AgentTransport,
  BatchProgress,
  WarmUpFailure,
  WarmUpRequest,
  WarmUpTablet,
} from '../base/agent_messages.ts';
import { WARM_UP_FAILURES_MAX } from '../base/agent_messages.ts';
import type { BackendId, JobId, TabletId } from '../base/ids.ts';
import type { Clock, Log } from '../base/ports.ts';
import { type RowsetMeta, segmentKey } from '../base/schema.ts';
import { syncCountsOf } from '../base/sync_windows.ts';
import { CatalogScan, type Delivery, type EventScan, type LogScan } from './event_delivery_scan.ts';
import type { RowsetSource } from './event_delivery_source.ts';
import type { DeliveryStats } from './event_delivery_stats.ts';
import type { ReleaseHold, SnapshotHolds } from './snapshot_holds.ts';

/** Batches with a backend at once: while they are under way, new events gather for the next. */
const IN_FLIGHT_MAX = 4;
/** Part of them that catching up may take: what is new goes first. */
const CATCH_UP_IN_FLIGHT_MAX = 2;
/** Batches that wait for their next try; with more of them nothing new is read. */
const PARKED_MAX = 32;
/** Pause after a failure that may pass, milliseconds, doubling. */
const RETRY_MS_MIN = 1000;
const RETRY_MS_MAX = 60_000;
const CALL_TIMEOUT_MS = 10_000;

export interface LaneDeps {
  readonly transport: AgentTransport;
  readonly clock: Clock;
  readonly log: Log;
  readonly holds: SnapshotHolds;
  readonly source: RowsetSource;
  readonly stats: DeliveryStats;
  readonly epoch: number;
  readonly leaseMs: () => number;
  readonly isAlive: () => boolean;
  /** Whether the backend is the tablet's home, so that its deliveries are the ones counted. */
  readonly isHome: (tabletId: TabletId) => boolean;
  readonly force: () => boolean;
  /** Number for a batch, never used before by this server for this job. */
  readonly nextBatch: () => number;
  /** Counts what the log has: no delivery may be finished before it was asked for. */
  readonly countTo: (seq: number) => Promise<void>;
  /** For good: listed as failed items of the job. */
  readonly failed: (failures: readonly WarmUpFailure[]) => Promise<void>;
  /** Cursors moved. */
  readonly moved: () => void;
}

export interface LaneTarget {
  readonly jobId: JobId;
  readonly backendId: BackendId;
  /** Of the messages; see `JobDelivery`. */
  readonly run: number;
}

interface Batch {
  /** A new one for every try: the backend remembers what became of the one before. */
  number: number;
  readonly scan: EventScan;
  readonly done: () => void;
  /** Not yet in the cache. */
  deliveries: readonly Delivery[];
  /**
   * SENDING: a message is under way. SENT: the backend has it. JUDGED: the backend is done with it,
   * and what failed is being written down. PARKED: it waits for its next try.
   */
  state: 'SENDING' | 'SENT' | 'JUDGED' | 'PARKED';
  failures: number;
  /** Monotonic; PARKED only. */
  dueAt: number;
  release: ReleaseHold;
}

export class DeliveryLane {
  readonly target: LaneTarget;
  readonly log: LogScan;
  readonly #deps: LaneDeps;
  readonly #scans: EventScan[];
  readonly #batches = new Map<number, Batch>();
  #pumping = false;
  #pumpAgain = false;
  #closed = false;
  /** A running batch waits for the backend's rate limit. */
  throttled = false;

  constructor(target: LaneTarget, deps: LaneDeps, log: LogScan, others: readonly EventScan[]) {
    this.target = target;
    this.#deps = deps;
    this.log = log;
    this.#scans = [log, ...others];
  }

  /** What is to be stored as acknowledged: also what it took over is behind it. */
  get ackedSeq(): number {
    let seq = this.log.acked;
    for (const scan of this.#scans) if (scan.kind === 'takeOver') seq = Math.min(seq, scan.acked);
    return seq;
  }

  get catchUp(): CatalogScan | undefined {
    return this.#scans.find((scan) => scan instanceof CatalogScan);
  }

  /** Batches under way or waiting. */
  get open(): number {
    return this.#batches.size;
  }

  /** Everything up to `seq` is done, and all that it had to catch up. */
  isPast(seq: number): boolean {
    return this.ackedSeq >= seq && this.catchUp === undefined;
  }

  add(scan: EventScan): void {
    this.#scans.push(scan);
    this.pump();
  }

  /** Sends what is due; returns at once. */
  pump(): void {
    if (this.#closed) return;
    this.#pumpAgain = true;
    if (this.#pumping) return;
    this.#pumping = true;
    void this.#pumpLoop();
  }

  /** No more messages; what is under way is the business of whoever stops the backend. */
  close(): void {
    this.#closed = true;
    for (const batch of this.#batches.values()) batch.release();
    this.#batches.clear();
  }

  /** Asks for everything that is with the backend, and tries again what is due. */
  async renew(): Promise<void> {
    const { clock, isAlive } = this.#deps;
    if (!isAlive()) return;
    const now = clock.monotonic();
    const talks: Promise<void>[] = [];
    for (const batch of this.#batches.values()) {
      if (batch.state === 'SENT') talks.push(this.#ask(batch));
      else if (batch.state === 'PARKED' && batch.dueAt <= now) talks.push(this.#again(batch));
    }
    await Promise.all(talks);
  }

  /** The backend's word on a batch; false: it is not one of this lane's. */
  async onProgress(progress: BatchProgress): Promise<boolean> {
    const { run, batch: number, state } = progress;
    const batch = run === this.target.run ? this.#batches.get(number) : undefined;
    if (batch === undefined) return false;
    if (batch.state === 'PARKED' || batch.state === 'JUDGED') return true;
    this.throttled = progress.throttled;
    switch (state) {
      case 'DONE':
        await this.#done(batch, progress);
        break;
      case 'UNKNOWN':
        await this.#again(batch);
        break;
      case 'BUSY':
      case 'STALE':
      case 'STOPPED':
        this.#park(batch);
        break;
      case 'RUNNING':
        break;
    }
    return true;
  }

  async #pumpLoop(): Promise<void> {
    try {
      while (this.#pumpAgain && !this.#closed) {
        this.#pumpAgain = false;
        while (this.#mayRead() && (await this.#readOne()));
      }
    } catch (error) {
      const stack = error instanceof Error ? error.stack : String(error);
      this.#deps.log.error('rowset events could not be read', { ...this.target, stack });
    } finally {
      this.#pumping = false;
    }
  }

  #mayRead(): boolean {
    if (this.#closed || !this.#deps.isAlive()) return false;
    let parked = 0;
    for (const { state } of this.#batches.values()) if (state === 'PARKED') parked += 1;
    return parked < PARKED_MAX && this.#batches.size - parked < IN_FLIGHT_MAX;
  }

  /** One page of the first scan that has one; false: there is nothing. */
  async #readOne(): Promise<boolean> {
    const { holds, stats, isHome, nextBatch } = this.#deps;
    for (const scan of this.#scans) {
      if (scan.kind === 'catchUp' && scan.openPages >= CATCH_UP_IN_FLIGHT_MAX) continue;
      const release = holds.take();
      const page = await scan.next();
      const newest = page?.deliveries.at(-1)?.seq ?? 0;
      if (newest > 0) await this.#deps.countTo(newest);
      if (page === undefined || this.#closed) {
        release();
        if (page !== undefined) return false;
        continue;
      }
      const done = scan.open(page);
      const { deliveries } = page;
      if (deliveries.length === 0) {
        release();
        done();
        this.#settled(scan);
        return true;
      }
      if (scan.kind === 'catchUp') {
        for (const { rowset, triggerMs } of deliveries) {
          if (isHome(rowset.tabletId)) stats.requested(0, syncCountsOf(rowset), triggerMs);
        }
      }
      const number = nextBatch();
      const state = 'SENDING';
      const batch: Batch = {
        number,
        scan,
        done,
        deliveries,
        state,
        failures: 0,
        dueAt: 0,
        release,
      };
      this.#batches.set(number, batch);
      void this.#send(batch);
      return true;
    }
    return false;
  }

  #settled(scan: EventScan): void {
    if (scan.isOver) this.#scans.splice(this.#scans.indexOf(scan), 1);
    this.#deps.moved();
  }

  async #send(batch: Batch): Promise<void> {
    const { transport, log } = this.#deps;
    const { backendId } = this.target;
    batch.state = 'SENDING';
    try {
      const progress = await transport.call(backendId, 'warmUp', this.#request(batch), {
        timeoutMs: CALL_TIMEOUT_MS,
      });
      if (this.#batches.get(batch.number) !== batch) return;
      if (batch.state === 'SENDING') batch.state = 'SENT';
      await this.onProgress(progress);
    } catch (error) {
      log.debug('rowset events not delivered yet', { ...this.target, error: String(error) });
      // Whether it was received is unknown: the next tick asks.
      if (batch.state === 'SENDING') batch.state = 'SENT';
    }
  }

  async #ask(batch: Batch): Promise<void> {
    const { transport, leaseMs, epoch, log } = this.#deps;
    const { jobId, backendId, run } = this.target;
    const key = { jobId, run, batch: batch.number, epoch, leaseMs: leaseMs() };
    try {
      const options = { timeoutMs: CALL_TIMEOUT_MS };
      await this.onProgress(await transport.call(backendId, 'renewWarmUp', key, options));
    } catch (error) {
      log.debug('no answer about rowset events', { ...this.target, error: String(error) });
    }
  }

  /** What is left of a batch, once more; superseded rowsets are left out. */
  async #again(batch: Batch): Promise<void> {
    const { holds, source, stats, isHome, nextBatch } = this.#deps;
    if (batch.state === 'SENDING') return;
    batch.state = 'SENDING';
    this.#batches.delete(batch.number);
    batch.number = nextBatch();
    this.#batches.set(batch.number, batch);
    batch.release();
    batch.release = holds.take();
    const visible = await source.visible(batch.deliveries.map((delivery) => delivery.rowset));
    if (this.#batches.get(batch.number) !== batch) return;
    const left: Delivery[] = [];
    for (const delivery of batch.deliveries) {
      if (visible.has(delivery.rowset.rowsetId)) left.push(delivery);
      else if (isHome(delivery.rowset.tabletId)) stats.superseded(delivery);
    }
    batch.deliveries = left;
    if (left.length === 0) this.#finish(batch);
    else await this.#send(batch);
  }

  async #done(batch: Batch, progress: BatchProgress): Promise<void> {
    const { source, stats, isHome } = this.#deps;
    batch.state = 'JUDGED';
    const outcome = judge(batch.deliveries, progress);
    const home = ({ rowset }: Delivery): boolean => isHome(rowset.tabletId);
    if (outcome.failed.length > 0) {
      const visible = await source.visible(outcome.failed.map(({ delivery }) => delivery.rowset));
      const lost = outcome.failed.filter(({ delivery }) => visible.has(delivery.rowset.rowsetId));
      if (this.#batches.get(batch.number) !== batch) return;
      // First the list of failures, then the cursor: a crash in between repeats, and loses nothing.
      await this.#deps.failed(lost.map(({ failure }) => failure));
      if (this.#batches.get(batch.number) !== batch) return;
      for (const { delivery } of outcome.failed) {
        if (!home(delivery)) continue;
        if (visible.has(delivery.rowset.rowsetId)) stats.failed(delivery);
        else stats.superseded(delivery);
      }
    }
    for (const delivery of outcome.finished) if (home(delivery)) stats.finished(delivery);
    batch.deliveries = outcome.again;
    if (outcome.again.length === 0) this.#finish(batch);
    else this.#park(batch);
  }

  #park(batch: Batch): void {
    const { clock } = this.#deps;
    batch.release();
    const ms = Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** Math.min(batch.failures, 10));
    batch.failures += 1;
    batch.state = 'PARKED';
    batch.dueAt = clock.monotonic() + ms;
    this.pump();
  }

  #finish(batch: Batch): void {
    this.#batches.delete(batch.number);
    batch.release();
    batch.done();
    this.#settled(batch.scan);
    this.pump();
  }

  #request(batch: Batch): WarmUpRequest {
    const { epoch, leaseMs, force } = this.#deps;
    const { jobId, run } = this.target;
    const tablets = new Map<TabletId, { tablet: WarmUpTablet; list: Delivery[] }>();
    for (const delivery of batch.deliveries) {
      const { rowset, ttlSeconds } = delivery;
      const { tabletId, partitionId } = rowset;
      const known = tablets.get(tabletId);
      if (known !== undefined) known.list.push(delivery);
      else {
        const tablet = { tabletId, partitionId, ttlSeconds, rowsets: [] };
        tablets.set(tabletId, { tablet, list: [delivery] });
      }
    }
    const all = [...tablets.values()];
    return {
      jobId,
      run,
      batch: batch.number,
      epoch,
      leaseMs: leaseMs(),
      force: force(),
      tablets: all.map(({ tablet, list }) => ({
        ...tablet,
        rowsets: list.map((delivery) => delivery.rowset),
      })),
      event: { triggersMs: all.flatMap(({ list }) => list.map(({ triggerMs }) => triggerMs)) },
    };
  }
}

interface Outcome {
  readonly finished: readonly Delivery[];
  /** To be tried again after a pause. */
  readonly again: readonly Delivery[];
  /** For good, each with the first thing that failed. */
  readonly failed: readonly { readonly delivery: Delivery; readonly failure: WarmUpFailure }[];
}

/** What became of each rowset of a batch that the backend says is DONE. */
export function judge(deliveries: readonly Delivery[], progress: BatchProgress): Outcome {
  const byItem = new Map(progress.failures.map((failure) => [failure.item, failure]));
  const finished: Delivery[] = [];
  const again: Delivery[] = [];
  const failed: { delivery: Delivery; failure: WarmUpFailure }[] = [];
  for (const delivery of deliveries) {
    const failures = failuresOf(delivery.rowset, byItem);
    const lasting = failures.find((failure) => failure.transient !== true);
    if (lasting !== undefined) failed.push({ delivery, failure: lasting });
    else if (failures.length > 0) again.push(delivery);
    else finished.push(delivery);
  }
  const isWhole =
    progress.failures.length < WARM_UP_FAILURES_MAX &&
    (progress.failedTablets === 0 || again.length + failed.length > 0);
  // Not everything that failed has a name: whatever is not known to have failed is asked for again.
  if (!isWhole) return { finished: [], again: [...finished, ...again], failed };
  return { finished, again, failed };
}

function failuresOf(
  rowset: RowsetMeta,
  byItem: ReadonlyMap<string, WarmUpFailure>,
): WarmUpFailure[] {
  if (byItem.size === 0) return [];
  return rowset.segments.flatMap(({ segment }) => {
    const failure = byItem.get(segmentKey(rowset.tabletId, rowset.rowsetId, segment));
    return failure ?? [];
  });
}
