/**
 * Delivers rowset events of all event-driven jobs to their targets (DESIGN 4.9): woken by every
 * commit, at least once, acknowledged. What is delivered is in the catalog's cursors, so after a
 * crash of the server the scheduler's next tick goes on from there.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { BatchProgress, TriggeredEvents } from '../base/agent_messages.ts';
import type { BackendId, JobId } from '../base/ids.ts';
import type { NewRowsets } from '../catalog/rowset_event_hub.ts';
import type { WarmUpJob } from '../catalog/warm_up_jobs.ts';
import { skipBacklog } from './event_delivery_cursors.ts';
import { type EventDeliveryDeps, JobDelivery } from './event_delivery_job.ts';
import { RowsetSource } from './event_delivery_source.ts';
import type { RowsetEventDelivery, StopReason } from './warm_up_deps.ts';
import { WarmUpStops } from './warm_up_stops.ts';

/** Cursors are stored this often, milliseconds: what a crash makes us deliver once more. */
const STORE_MS = 500;
/** Events deleted in one transaction. */
const TRUNCATE_AT_ONCE = 1000;
/** Events of one source between two looks at targets that nobody serves (paused jobs). */
const BACKLOG_LOOK_EVERY = 500;
/** Commits whose backends were not told yet; more are not told at all. */
const TRIGGERS_MAX = 1000;
const CALL_TIMEOUT_MS = 5000;
/** Runs of the messages: `epoch * RUNS_PER_EPOCH + n`; each stop of a job begins the next. */
const RUNS_PER_EPOCH = 1_000_000;

export class EventDelivery implements RowsetEventDelivery {
  readonly #deps: EventDeliveryDeps;
  readonly #source: RowsetSource;
  readonly #stops: WarmUpStops;
  readonly #jobs = new Map<JobId, JobDelivery>();
  readonly #opening = new Map<JobId, Promise<JobDelivery | undefined>>();
  readonly #stopListening: () => void;
  /** Stops of each job in this life of the server. */
  readonly #runs = new Map<JobId, number>();
  readonly #triggers: NewRowsets[] = [];
  readonly #busy = new Set<Promise<unknown>>();
  #pumping = false;
  #stopTimer: (() => void) | undefined;
  #storing: Promise<void> | undefined;
  #closed = false;

  constructor(deps: EventDeliveryDeps) {
    this.#deps = deps;
    this.#source = new RowsetSource(deps.catalog);
    this.#stops = new WarmUpStops({ ...deps, epoch: deps.catalog.epoch });
    this.#stopListening = deps.catalog.rowsetEvents.onCommit((event) => {
      this.#onCommit(event);
    });
    // What ended while the server was down, or was half ended when it died, is tidied up.
    this.#armTimer();
  }

  async tick(job: WarmUpJob): Promise<string> {
    const delivery = await this.#open(job);
    return delivery === undefined ? '' : await delivery.tick(job);
  }

  async stop(job: WarmUpJob, why: StopReason): Promise<void> {
    const { jobId } = job;
    const run = this.#runOf(jobId);
    this.#runs.set(jobId, (this.#runs.get(jobId) ?? 0) + 1);
    const delivery = (await this.#opening.get(jobId)) ?? this.#jobs.get(jobId);
    if (delivery !== undefined) {
      delivery.close();
      this.#jobs.delete(jobId);
      this.#stops.stop(jobId, run, delivery.backends);
    }
    if (why === 'ended') await this.#forget(jobId);
    else if (delivery !== undefined) await this.#store([delivery]);
  }

  altered(job: WarmUpJob): void {
    this.#jobs.get(job.jobId)?.altered(job);
    const opening = this.#opening.get(job.jobId);
    if (opening === undefined) return;
    const done = opening.then(
      (delivery) => delivery?.altered(job),
      () => undefined,
    );
    this.#busy.add(done);
    void done.finally(() => this.#busy.delete(done));
  }

  async onProgress(progress: BatchProgress): Promise<boolean> {
    const delivery = this.#jobs.get(progress.jobId);
    if (delivery === undefined) return progress.run >= RUNS_PER_EPOCH;
    await delivery.onProgress(progress);
    return true;
  }

  /** Failed items are delivered once more, and are off the list until they fail again. */
  async retryFailed(jobId: JobId): Promise<number> {
    const delivery = this.#jobs.get(jobId);
    if (delivery === undefined) return 0;
    const { count, firstTxn } = this.#deps.catalog.eventCursors.failed(jobId);
    if (count === 0) return 0;
    if (firstTxn !== undefined) await delivery.repeatFrom(firstTxn);
    await this.#deps.catalog.eventCursors.forgetFailed(jobId);
    return count;
  }

  /** The newest event of the job's source: what was committed until now. */
  newestSeq(job: WarmUpJob): number {
    return job.srcGroup === null ? 0 : this.#source.lastSeq(job.srcGroup);
  }

  /** Whether all targets of the job are done with the events up to `seq`, and have caught up. */
  isPast(jobId: JobId, seq: number): boolean {
    return this.#jobs.get(jobId)?.isPast(seq) ?? false;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#stopListening();
    this.#stopTimer?.();
    this.#stops.close();
    for (const delivery of this.#jobs.values()) delivery.close();
    await Promise.allSettled([...this.#busy, ...this.#opening.values()]);
    await this.#storing;
    await this.#store([...this.#jobs.values()]).catch((error: unknown) => {
      this.#deps.log.warn('event cursors not stored', { error: String(error) });
    });
    this.#jobs.clear();
  }

  #runOf(jobId: JobId): number {
    return this.#deps.catalog.epoch * RUNS_PER_EPOCH + (this.#runs.get(jobId) ?? 0);
  }

  async #open(job: WarmUpJob): Promise<JobDelivery | undefined> {
    const { jobId } = job;
    const known = this.#jobs.get(jobId) ?? this.#opening.get(jobId);
    if (known !== undefined) return await known;
    const run = this.#runOf(jobId);
    const moved = (): void => {
      this.#armTimer();
    };
    const deps = { ...this.#deps, source: this.#source, run, moved };
    const opening = JobDelivery.open(job, deps).then((delivery) => {
      // Stopped meanwhile: whoever stopped it has waited for this.
      if (!this.#closed) this.#jobs.set(jobId, delivery);
      return this.#closed ? undefined : delivery;
    });
    this.#opening.set(jobId, opening);
    try {
      return await opening;
    } finally {
      this.#opening.delete(jobId);
    }
  }

  // -------------------------------------------------------------------------------------------
  // After a commit

  #onCommit(event: NewRowsets): void {
    const { seq, writer } = event;
    if (seq === undefined || this.#closed) return;
    if (writer !== undefined && this.#triggers.length < TRIGGERS_MAX) this.#triggers.push(event);
    if (seq % BACKLOG_LOOK_EVERY === 0) this.#armTimer();
    if (this.#pumping) return;
    this.#pumping = true;
    this.#track(this.#pump());
  }

  /** In a turn of its own, so that the commit's answer is on its way first. */
  async #pump(): Promise<void> {
    await nextTurn();
    this.#pumping = false;
    if (this.#closed) return;
    for (const delivery of this.#jobs.values()) delivery.pump();
    await this.#tellWriters(this.#triggers.splice(0));
  }

  /** What a backend's commits set off, for its metrics; may get lost. */
  async #tellWriters(commits: readonly NewRowsets[]): Promise<void> {
    const { transport } = this.#deps;
    const byWriter = new Map<BackendId, TriggeredEvents[]>();
    for (const commit of commits) {
      const { writer, sourceGroup, tableName } = commit;
      if (writer === undefined) continue;
      const jobs = [...this.#jobs.values()].filter(
        (delivery) => delivery.sourceGroup === sourceGroup && delivery.matches(tableName),
      );
      if (jobs.length === 0) continue;
      const events = byWriter.get(writer) ?? [];
      byWriter.set(writer, events);
      const jobIds = jobs.map(({ jobId }) => jobId);
      events.push({ jobIds, triggerMs: commit.atMs, ...(await this.#source.countsOf(commit)) });
    }
    for (const [writer, events] of byWriter) {
      const options = { timeoutMs: CALL_TIMEOUT_MS };
      transport.call(writer, 'eventsTriggered', { events }, options).catch(() => undefined);
    }
  }

  #track(work: Promise<unknown>): void {
    const settled = work.catch((error: unknown) => {
      const stack = error instanceof Error ? error.stack : String(error);
      this.#deps.log.error('delivery of rowset events failed', { stack });
    });
    this.#busy.add(settled);
    void settled.finally(() => this.#busy.delete(settled));
  }

  // -------------------------------------------------------------------------------------------
  // Cursors

  #armTimer(): void {
    if (this.#closed || this.#stopTimer !== undefined) return;
    this.#stopTimer = this.#deps.clock.after(STORE_MS, () => {
      this.#stopTimer = undefined;
      if (this.#storing !== undefined) {
        this.#armTimer();
        return;
      }
      this.#storing = this.#storeAll()
        .catch((error: unknown) => {
          this.#deps.log.warn('event cursors not stored', { error: String(error) });
        })
        .finally(() => {
          this.#storing = undefined;
        });
    });
  }

  async #storeAll(): Promise<void> {
    await this.#store([...this.#jobs.values()]);
    const { catalog } = this.#deps;
    for (const jobId of catalog.eventCursors.orphans()) await this.#forget(jobId);
    for (const source of catalog.eventCursors.sources()) {
      if (this.#closed) return;
      await this.#limitPaused(source);
      await this.#truncate(source);
    }
  }

  /** One transaction for all that moved. */
  async #store(deliveries: readonly JobDelivery[]): Promise<void> {
    const moves = deliveries.map((delivery) => ({ delivery, targets: delivery.moved() }));
    const targets = moves.flatMap((move) => move.targets);
    if (targets.length === 0) return;
    await this.#deps.catalog.eventCursors.save(targets);
    for (const move of moves) move.delivery.stored(move.targets);
  }

  /** Jobs that nobody delivers for now do not make the log grow without end. */
  async #limitPaused(source: string): Promise<void> {
    const { catalog, config } = this.#deps;
    const lastSeq = catalog.rowsetEvents.lastSeq(source);
    const limit = config.get('warm_up_event_backlog_max');
    const [first] = catalog.rowsetEvents.after(source, 0, 1);
    if (first === undefined || lastSeq - first.seq < limit) return;
    // Jobs whose target is not there yet: once they have begun, they need no log.
    for (const job of await catalog.warmUpJobs.activeOf('EVENT_DRIVEN', source)) {
      await catalog.eventCursors.begin(job.jobId, source, job.createMs);
    }
    const behind = catalog.eventCursors
      .laggards(source, lastSeq - limit)
      .filter((target) => !this.#jobs.has(target.jobId) && !this.#opening.has(target.jobId));
    if (behind.length === 0) return;
    const lastTxn = await catalog.eventCursors.newestTxn();
    const skipped = behind
      .filter((target) => !this.#jobs.has(target.jobId) && !this.#opening.has(target.jobId))
      .map((target) => skipBacklog(target, lastSeq, lastTxn, catalog));
    await catalog.eventCursors.save(skipped);
  }

  async #truncate(source: string): Promise<void> {
    const { rowsetEvents, eventCursors } = this.#deps.catalog;
    const seq = eventCursors.unneededSeq(source);
    while ((await rowsetEvents.truncate(source, seq, TRUNCATE_AT_ONCE)) === TRUNCATE_AT_ONCE) {
      if (this.#closed) return;
    }
  }

  async #forget(jobId: JobId): Promise<void> {
    const { catalog } = this.#deps;
    const start = catalog.eventCursors.start(jobId);
    await catalog.eventCursors.end(jobId);
    this.#runs.delete(jobId);
    if (start !== undefined) await this.#truncate(start.sourceGroup);
  }
}
