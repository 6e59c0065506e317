/**
 * Warm-up jobs, from the statement to the last batch. `create*` plans and persists; the tick takes
 * slots and keeps one lane per backend going; events go through `#apply`, one transaction each.
 * There is no recovery code: after a crash the tick reads the rows and goes on.
 */
import {
  type AgentTransport,
  type BatchProgress,
  WARM_UP_FAILURES_MAX,
  type WarmUpFailure,
  type WarmUpTablet,
} from '../base/agent_messages.ts';
import type { Config } from '../base/config.ts';
import { SqlError } from '../base/errors.ts';
import type { BackendId, JobId, TabletId } from '../base/ids.ts';
import { servingBackend } from '../base/placement.ts';
import type { Clock, Log } from '../base/ports.ts';
import type { BackendDef } from '../base/schema.ts';
import type { Catalog, CatalogTransaction } from '../catalog/catalog.ts';
import type { NewBatch, WarmUpBatch } from '../catalog/warm_up_batches.ts';
import type { NewWarmUpJob, WarmUpJob, WarmUpJobChange } from '../catalog/warm_up_jobs.ts';
import type { BackendRegistry } from './backend_registry.ts';
import { ProgressBoard } from './progress_board.ts';
import { WARM_UP_ONCE, type WarmUpEvent } from './warm_up_lifecycle.ts';
import { cutIntoBatches, type Plan, type PlanTablet } from './warm_up_planner.ts';

/** Messages to a backend are answered at once or lost; the next tick asks again. */
const CALL_TIMEOUT_MS = 10_000;
/** How often a job follows tablets that moved to other backends before it gives up. */
const MOVES_MAX = 20;
/** Expired jobs deleted per tick. */
const EXPIRE_PER_TICK = 20;

export interface WarmUpJobsDeps {
  readonly catalog: Catalog;
  readonly transport: AgentTransport;
  readonly registry: BackendRegistry;
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Log;
}

export interface CreatedJob {
  readonly jobId: JobId;
  /** An identical job was still PENDING: this is its id (DESIGN 4.3). */
  readonly existing: boolean;
}

export interface WarmUpAlteration {
  readonly syncIntervalS?: number;
  /** ON TABLES rules as canonical text. */
  readonly tableFilter?: string;
}

export interface WaitOptions {
  /** Absent: as long as it takes. */
  readonly timeoutMs?: number;
  readonly signal: AbortSignal;
}

/** What `#follow` found: everything in place, tablets moved (and followed), or moved too often. */
type Placement = 'inPlace' | 'followed' | { readonly givenUp: number };

export class WarmUpJobs {
  readonly board: ProgressBoard;
  readonly #deps: WarmUpJobsDeps;
  /** `job/backend` of lanes with a message under way. */
  readonly #lanes = new Set<string>();
  /** Events that changed nothing because the job had moved on: counted, for the metrics. */
  lateEvents = 0;
  #stopTimer: () => void = () => undefined;
  #ticking: Promise<void> | undefined;
  #tickAgain = false;
  #closed = false;
  readonly #endListeners = new Map<JobId, Set<() => void>>();

  constructor(deps: WarmUpJobsDeps) {
    this.#deps = deps;
    this.board = new ProgressBoard(deps.clock);
  }

  start(): void {
    this.wake();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#stopTimer();
    await this.#ticking;
  }

  /** Persists a planned job as PENDING, with its batches, in one transaction. */
  async create(job: Omit<NewWarmUpJob, 'epoch'>, planned: Plan | undefined): Promise<CreatedJob> {
    const { catalog } = this.#deps;
    const plan = planned ?? { batches: [], totalBytes: 0, totalTablets: 0 };
    const created = await catalog.transaction(async (tx): Promise<CreatedJob> => {
      const twin = (await tx.warmUpJobs.active()).find(
        (other) => other.state === 'PENDING' && sameWork(other, job),
      );
      if (twin !== undefined) return { jobId: twin.jobId, existing: true };
      const row = await tx.warmUpJobs.create(
        { ...job, epoch: catalog.epoch },
        {
          allBatch: plan.batches.length,
          allBytes: plan.totalBytes,
          allTablets: plan.totalTablets,
        },
      );
      await tx.warmUpBatches.create(
        row.jobId,
        row.run,
        plan.batches.map((batch): NewBatch => {
          const { backendId, tabletIds, bytes } = batch;
          return { backendId, batch: batch.batch, totalBytes: bytes, tabletIds };
        }),
      );
      return { jobId: row.jobId, existing: false };
    });
    this.wake();
    return created;
  }

  /** Throws WARM_UP_UNKNOWN_JOB, WARM_UP_FINAL. Never waits for a backend. */
  async cancel(jobId: JobId, reason = 'user cancel'): Promise<void> {
    const job = await this.#deps.catalog.warmUpJobs.find(jobId);
    if (job === undefined) throw new SqlError('WARM_UP_UNKNOWN_JOB', { id: jobId });
    if (WARM_UP_ONCE.final.has(job.state)) {
      throw new SqlError('WARM_UP_FINAL', { state: job.state });
    }
    const after = await this.#apply(jobId, 'cancelAsked', { errMsg: reason });
    if (after === undefined) {
      const now = await this.#deps.catalog.warmUpJobs.find(jobId);
      throw new SqlError('WARM_UP_FINAL', { state: now?.state ?? 'FINISHED' });
    }
  }

  /** Stops what runs and keeps what is done. Throws WARM_UP_UNKNOWN_JOB, WARM_UP_STATE. */
  async pause(jobId: JobId): Promise<void> {
    throw new SqlError('NOT_SUPPORTED', { what: `PAUSE WARM UP JOB ${jobId}` });
  }

  /** Throws WARM_UP_UNKNOWN_JOB, WARM_UP_STATE when it is not PAUSED. */
  async resume(jobId: JobId): Promise<void> {
    throw new SqlError('NOT_SUPPORTED', { what: `RESUME WARM UP JOB ${jobId}` });
  }

  /**
   * ONCE that did not finish: a new job for what failed or was not done. PERIODIC: the next cycle
   * now. EVENT_DRIVEN: failed items again. Answers the id of the job that does it.
   * Throws WARM_UP_UNKNOWN_JOB, WARM_UP_STATE.
   */
  async retry(jobId: JobId): Promise<JobId> {
    throw new SqlError('NOT_SUPPORTED', { what: `RETRY WARM UP JOB ${jobId}` });
  }

  /** Throws WARM_UP_UNKNOWN_JOB, WARM_UP_STATE, WARM_UP_ALTER, WARM_UP_TWIN, WARM_UP_CONFLICT. */
  async alter(jobId: JobId, _change: WarmUpAlteration): Promise<void> {
    throw new SqlError('NOT_SUPPORTED', { what: `ALTER WARM UP JOB ${jobId}` });
  }

  /**
   * ONCE: until it ended. PERIODIC: until the run that is on, or comes next, ended. EVENT_DRIVEN:
   * until nothing is undelivered that was committed before. Throws WARM_UP_UNKNOWN_JOB,
   * WARM_UP_WAIT_FAILED, WARM_UP_WAIT_CANCELLED, WARM_UP_WAIT_TIMEOUT, and the signal's reason.
   */
  async waitFor(jobId: JobId, _options: WaitOptions): Promise<WarmUpJob> {
    throw new SqlError('NOT_SUPPORTED', { what: `WAIT FOR WARM UP JOB ${jobId}` });
  }

  /** When the next cycle of a periodic job is due, wall clock; undefined for other jobs. */
  nextStartMs(_job: WarmUpJob): number | undefined {
    return undefined;
  }

  /** A compute group has another name: jobs are bound to names (DESIGN 4.1), so some wait now. */
  async groupRenamed(_from: string, _to: string): Promise<void> {
    this.wake();
  }

  /** A compute group was dropped: its jobs, as target or source, end (DESIGN 4.1). */
  async groupDropped(name: string): Promise<void> {
    for (const job of await this.#deps.catalog.warmUpJobs.active()) {
      if (job.dstGroup !== name && job.srcGroup !== name) continue;
      const errMsg = `system cancel: compute group '${name}' was dropped`;
      await this.#apply(job.jobId, 'groupDropped', { errMsg });
    }
  }

  /** A backend says how far it is; unasked, repeated or late is all the same. */
  async onProgress(progress: BatchProgress): Promise<void> {
    if (progress.epoch !== this.#deps.catalog.epoch) {
      this.lateEvents += 1;
      return;
    }
    if (progress.state === 'DONE') {
      await this.#batchDone(progress);
      this.wake();
    } else if (progress.state === 'RUNNING') {
      this.board.note(progress);
    }
  }

  /** Calls `fn` once when the job has reached a final state; the returned function takes it back. */
  onEnd(jobId: JobId, fn: () => void): () => void {
    const listeners = this.#endListeners.get(jobId) ?? new Set();
    listeners.add(fn);
    this.#endListeners.set(jobId, listeners);
    return () => {
      listeners.delete(fn);
    };
  }

  /** Runs a tick soon. */
  wake(): void {
    if (this.#closed) return;
    if (this.#ticking !== undefined) {
      this.#tickAgain = true;
      return;
    }
    this.#stopTimer();
    this.#ticking = this.#tickLoop();
  }

  async #tickLoop(): Promise<void> {
    try {
      do {
        this.#tickAgain = false;
        await this.tick();
      } while (this.#tickAgain && !this.#closed);
    } catch (error) {
      const stack = error instanceof Error ? error.stack : String(error);
      this.#deps.log.error('warm-up tick failed', { stack });
    } finally {
      this.#ticking = undefined;
      if (!this.#closed) this.#arm();
    }
  }

  #arm(): void {
    const ms = this.#deps.config.get('cloud_warm_up_job_scheduler_interval_millisecond');
    this.#stopTimer();
    this.#stopTimer = this.#deps.clock.after(ms, () => {
      this.wake();
    });
  }

  /** One round over all jobs that are not final. Short: messages go on in their lanes. */
  async tick(): Promise<void> {
    const { catalog, clock, config } = this.#deps;
    const jobs = await catalog.warmUpJobs.active();
    const backends = await catalog.backends.list();
    const groups = new Set((await catalog.computeGroups.list()).map((group) => group.name));
    let steps = jobs.filter((job) => this.#busy(job.jobId)).length;
    for (const job of jobs) {
      if (!groups.has(job.dstGroup)) {
        const reason = `compute group '${job.dstGroup}' does not exist`;
        this.board.setWaitReason(job.jobId, reason);
        if (job.state === 'PENDING' || !this.#timedOut(job)) continue;
      }
      const running = job.state === 'RUNNING' ? job : await this.#take(job);
      if (running === undefined) continue;
      if (this.#timedOut(running)) {
        await this.#apply(running.jobId, 'timedOut', { errMsg: 'Timeout' });
        continue;
      }
      if (!this.#busy(running.jobId)) {
        if (steps >= config.get('max_active_cloud_warm_up_job')) {
          this.board.setWaitReason(running.jobId, 'max_active_cloud_warm_up_job steps are running');
          continue;
        }
        steps += 1;
      }
      await this.#step(running, backends);
    }
    const keepMs = config.get('history_cloud_warm_up_job_keep_max_second') * 1000;
    await catalog.warmUpJobs.expire(clock.now() - keepMs, EXPIRE_PER_TICK);
  }

  /** PENDING → RUNNING when the slot of the target group is free. */
  async #take(job: WarmUpJob): Promise<WarmUpJob | undefined> {
    const { catalog, clock } = this.#deps;
    const holder = (await catalog.warmUpJobs.slots()).get(job.dstGroup);
    if (holder !== undefined && holder !== job.jobId) {
      this.board.setWaitReason(job.jobId, `slot held by job ${holder}`);
      return undefined;
    }
    const change = { startMs: clock.now(), epoch: catalog.epoch };
    const after = await this.#apply(job.jobId, 'started', change, async (tx) => {
      if (!(await tx.warmUpJobs.takeSlot(job.dstGroup, job.jobId))) {
        throw new Error(`slot of ${job.dstGroup} was taken behind the scheduler's back`);
      }
    });
    this.board.setWaitReason(job.jobId, '');
    return after;
  }

  #timedOut(job: WarmUpJob): boolean {
    if (job.startMs === null) return false;
    const limitMs = this.#deps.config.get('cloud_warm_up_timeout_second') * 1000;
    return this.#deps.clock.now() - job.startMs > limitMs;
  }

  #busy(jobId: JobId): boolean {
    for (const lane of this.#lanes) if (lane.startsWith(`${jobId}/`)) return true;
    return false;
  }

  /** Moves batches of lost backends, then gives every backend with open work its lane. */
  async #step(job: WarmUpJob, backends: readonly BackendDef[]): Promise<void> {
    const { catalog, registry } = this.#deps;
    const open = await catalog.warmUpBatches.ofRun(job.jobId, job.run, 'open');
    if (open.length === 0) {
      await this.#settle(job.jobId);
      return;
    }
    const alive = this.#servers(job.dstGroup, backends);
    if (alive.length === 0) {
      const reason = `compute group '${job.dstGroup}' has no alive backend`;
      this.board.setWaitReason(job.jobId, reason);
      return;
    }
    this.board.setWaitReason(job.jobId, '');
    this.#sample(job);
    const first = new Map<BackendId, WarmUpBatch>();
    for (const batch of open) if (!first.has(batch.backendId)) first.set(batch.backendId, batch);
    for (const [backendId, batch] of first) {
      if (alive.includes(backendId)) {
        this.#lane(job, batch);
      } else if (!this.#maySpeakAgain(backendId, job.dstGroup, backends)) {
        await this.#moveBatches(
          job,
          open.filter((other) => other.backendId === backendId),
          alive,
        );
      } else {
        const silent = registry.status(backendId)?.error ?? 'no heartbeat yet';
        this.board.setWaitReason(job.jobId, `backend ${backendId}: ${silent}`);
      }
    }
  }

  /** Backends that serve the group's readers now. */
  #servers(group: string, backends: readonly BackendDef[]): BackendId[] {
    return backends
      .filter((backend) => backend.computeGroupName === group)
      .map((backend) => backend.backendId)
      .filter((backendId) => this.#deps.registry.isAlive(backendId));
  }

  /**
   * Right after a start of the server nobody has spoken yet: an ENABLED backend that has never
   * been heard of keeps its batches until the others had time to speak, too.
   */
  #maySpeakAgain(backendId: BackendId, group: string, backends: readonly BackendDef[]): boolean {
    const backend = backends.find((other) => other.backendId === backendId);
    if (backend === undefined || backend.computeGroupName !== group) return false;
    if (backend.adminState !== 'ENABLED') return false;
    return this.#deps.registry.mayBeStarting(backendId);
  }

  #sample(job: WarmUpJob): void {
    this.board.sample(job.jobId, job.finishBytes + this.board.live(job.jobId).doneBytes);
  }

  /** Sends or renews one batch of one backend, unless a message to it is under way. */
  #lane(job: WarmUpJob, batch: WarmUpBatch): void {
    const lane = `${job.jobId}/${batch.backendId}`;
    if (this.#lanes.has(lane)) return;
    this.#lanes.add(lane);
    void this.#talk(job, batch)
      .catch((error: unknown) => {
        const detail = { jobId: job.jobId, backendId: batch.backendId, error: String(error) };
        this.#deps.log.warn('warm-up batch: backend did not answer', detail);
      })
      .finally(() => {
        this.#lanes.delete(lane);
      });
  }

  async #talk(job: WarmUpJob, batch: WarmUpBatch): Promise<void> {
    const sent = batch.state === 'PENDING' ? undefined : await this.#renew(batch);
    const progress =
      sent === undefined || sent.state === 'UNKNOWN' ? await this.#send(job, batch) : sent;
    if (progress === undefined) return;
    if (progress.state === 'STALE') {
      this.#deps.log.warn('backend refused the batch: it obeys a newer server', { ...progress });
      return;
    }
    await this.onProgress(progress);
  }

  async #renew(batch: WarmUpBatch): Promise<BatchProgress> {
    const { transport, catalog, config } = this.#deps;
    const { jobId, run, backendId } = batch;
    return await transport.call(
      backendId,
      'renewWarmUp',
      {
        jobId,
        run,
        batch: batch.batch,
        epoch: catalog.epoch,
        leaseMs: config.get('warm_up_lease_ms'),
      },
      { timeoutMs: CALL_TIMEOUT_MS },
    );
  }

  /** Hands out a batch; the row says SENT before the message goes. */
  async #send(job: WarmUpJob, batch: WarmUpBatch): Promise<BatchProgress | undefined> {
    const { transport, catalog, config } = this.#deps;
    const { jobId, run, backendId } = batch;
    const current = await catalog.warmUpJobs.find(jobId);
    if (current?.state !== 'RUNNING') return undefined;
    const attempts = batch.attempts + 1;
    await catalog.warmUpBatches.update(batch, batch.version, { state: 'SENT', attempts });
    const tablets = await this.#load(await catalog.warmUpBatches.tablets(batch));
    return await transport.call(
      backendId,
      'warmUp',
      {
        jobId,
        run,
        batch: batch.batch,
        epoch: catalog.epoch,
        leaseMs: config.get('warm_up_lease_ms'),
        force: job.force,
        tablets,
      },
      { timeoutMs: CALL_TIMEOUT_MS },
    );
  }

  /** Tablets with what is visible of them now; those that are gone are left out. */
  async #load(tabletIds: readonly TabletId[]): Promise<WarmUpTablet[]> {
    const { catalog } = this.#deps;
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

  /** The last word on a batch: numbers into the catalog, then maybe the end of the job. */
  async #batchDone(progress: BatchProgress): Promise<void> {
    const { catalog } = this.#deps;
    const key = { ...progress };
    const applied = await catalog.transaction(async (tx): Promise<boolean> => {
      const job = await tx.warmUpJobs.find(progress.jobId);
      const batch = await tx.warmUpBatches.find(key);
      const expected = job?.state === 'RUNNING' && batch?.state === 'SENT';
      if (job === undefined || batch === undefined || !expected || job.run !== progress.run) {
        return false;
      }
      const { failures, counts } = this.#judge(progress, batch.totalTablets);
      await tx.warmUpBatches.update(key, batch.version, { state: 'DONE', ...counts });
      await tx.warmUpBatches.addFailures(job.jobId, job.run, failures);
      await this.#transition(tx, job, 'batchDone', {
        finishBatch: job.finishBatch + 1,
        allBytes: job.allBytes - batch.totalBytes + counts.totalBytes,
        finishBytes: job.finishBytes + counts.doneBytes,
        cachedBytes: job.cachedBytes + counts.cachedBytes,
        doneTablets: job.doneTablets + counts.doneTablets,
        skippedTablets: job.skippedTablets + counts.skippedTablets,
        failedTablets: job.failedTablets + counts.failedTablets,
      });
      return true;
    });
    const { jobId, backendId, run, batch } = progress;
    this.board.clear(jobId, backendId, run, batch);
    if (!applied) this.lateEvents += 1;
  }

  /** A failure of a tablet that was dropped meanwhile is no failure: it is skipped. */
  #judge(progress: BatchProgress, totalTablets: number) {
    const gone = new Set<TabletId>();
    const failures: WarmUpFailure[] = [];
    for (const failure of progress.failures) {
      if (this.#deps.catalog.tablets.get(failure.tabletId) === undefined) {
        gone.add(failure.tabletId);
      } else {
        failures.push(failure);
      }
    }
    const notSent = totalTablets - progress.totalTablets;
    return {
      failures: failures.slice(0, WARM_UP_FAILURES_MAX),
      counts: {
        totalBytes: progress.totalBytes,
        doneBytes: progress.doneBytes,
        cachedBytes: progress.cachedBytes,
        doneTablets: progress.doneTablets,
        skippedTablets: progress.skippedTablets + notSent + gone.size,
        failedTablets: Math.max(0, progress.failedTablets - gone.size),
      },
    };
  }

  /** All batches are done: follow tablets that moved, else end the job. */
  async #settle(jobId: JobId): Promise<void> {
    const { catalog } = this.#deps;
    const backends = await catalog.backends.list();
    await catalog.transaction(async (tx): Promise<void> => {
      const job = await tx.warmUpJobs.find(jobId);
      if (job?.state !== 'RUNNING') return;
      const batches = await tx.warmUpBatches.ofRun(jobId, job.run, 'all');
      if (batches.some((batch) => batch.state !== 'DONE')) return;
      const placement = await this.#follow(tx, job, batches, backends);
      if (placement === 'followed') return;
      if (placement === 'inPlace') {
        await this.#end(tx, job);
        return;
      }
      const errMsg = `${placement.givenUp} tablets kept moving between backends`;
      const failedTablets = job.failedTablets + placement.givenUp;
      await this.#transition(tx, job, 'lastBatchFailed', { errMsg, failedTablets });
    });
  }

  async #end(tx: CatalogTransaction, job: WarmUpJob): Promise<void> {
    if (job.failedTablets === 0) {
      await this.#transition(tx, job, 'lastBatchDone', {});
      return;
    }
    const some = await tx.warmUpBatches.failures(job.jobId, job.run, 3);
    const named = some.map((failure) => `${failure.item}: ${failure.reason}`).join('; ');
    const errMsg = `${job.failedTablets} of ${job.allTablets} tablets failed: ${named}`;
    await this.#transition(tx, job, 'lastBatchFailed', { errMsg });
  }

  /**
   * FINISHED must be true for those who read now: a tablet that another backend serves by now
   * (one died, or joined) is warmed there, too.
   */
  async #follow(
    tx: CatalogTransaction,
    job: WarmUpJob,
    batches: readonly WarmUpBatch[],
    backends: readonly BackendDef[],
  ): Promise<Placement> {
    const alive = this.#servers(job.dstGroup, backends);
    const warmedBy = new Map<TabletId, Set<BackendId>>();
    for (const batch of batches) {
      for (const tabletId of await tx.warmUpBatches.tablets(batch)) {
        const known = warmedBy.get(tabletId) ?? new Set();
        known.add(batch.backendId);
        warmedBy.set(tabletId, known);
      }
    }
    const moved = [...warmedBy].filter(([tabletId, by]) => {
      const serving = servingBackend(tabletId, alive);
      const exists = this.#deps.catalog.tablets.get(tabletId) !== undefined;
      return exists && serving !== undefined && !by.has(serving);
    });
    if (moved.length === 0) return 'inPlace';
    const history = await tx.warmUpJobs.transitions(job.jobId);
    const moves = history.filter((transition) => transition.event === 'tabletsMoved').length;
    if (moves >= MOVES_MAX) return { givenUp: moved.length };
    const tabletIds = moved.map(([tabletId]) => tabletId);
    const parts = this.#cut(tabletIds, alive, batches);
    await tx.warmUpBatches.create(job.jobId, job.run, parts);
    const detail = `${moved.length} tablets are served by other backends now`;
    const bytes = parts.reduce((sum, part) => sum + part.totalBytes, 0);
    await this.#transition(tx, job, 'tabletsMoved', {
      allBatch: job.allBatch + parts.length,
      allBytes: job.allBytes + bytes,
      allTablets: job.allTablets + moved.length,
      detail,
    });
    return 'followed';
  }

  /** Open batches of a backend that will not come back go to those who serve the tablets now. */
  async #moveBatches(
    job: WarmUpJob,
    lost: readonly WarmUpBatch[],
    alive: readonly BackendId[],
  ): Promise<void> {
    const { catalog } = this.#deps;
    await catalog.transaction(async (tx) => {
      const current = await tx.warmUpJobs.find(job.jobId);
      if (current?.state !== 'RUNNING') return;
      let allBatch = current.allBatch;
      for (const batch of lost) {
        const all = await tx.warmUpBatches.ofRun(job.jobId, job.run, 'all');
        if (!all.some((other) => sameBatch(other, batch) && other.state !== 'DONE')) continue;
        const parts = this.#cut(await tx.warmUpBatches.tablets(batch), alive, all);
        await tx.warmUpBatches.move(batch, parts);
        this.board.clear(batch.jobId, batch.backendId, batch.run, batch.batch);
        allBatch += parts.length - 1;
      }
      const detail = `batches of lost backend ${lost[0]?.backendId ?? ''} moved`;
      await this.#transition(tx, current, 'tabletsMoved', { allBatch, detail });
    });
    this.wake();
  }

  #cut(
    tabletIds: readonly TabletId[],
    alive: readonly BackendId[],
    existing: readonly WarmUpBatch[],
  ): NewBatch[] {
    const { catalog, config } = this.#deps;
    const byBackend = new Map<BackendId, Pick<PlanTablet, 'tabletId' | 'bytes'>[]>();
    for (const tabletId of tabletIds) {
      const backendId = servingBackend(tabletId, alive);
      if (backendId === undefined) continue;
      const list = byBackend.get(backendId) ?? [];
      list.push({ tabletId, bytes: catalog.tablets.get(tabletId)?.bytes ?? 0 });
      byBackend.set(backendId, list);
    }
    const maxBytes = config.get('cloud_warm_up_job_max_bytes_per_batch');
    return [...byBackend].flatMap(([backendId, tablets]) => {
      const numbers = existing.filter((b) => b.backendId === backendId).map((b) => b.batch);
      const next = Math.max(-1, ...numbers) + 1;
      return cutIntoBatches(backendId, tablets, maxBytes).map((batch): NewBatch => {
        const { bytes, tabletIds: ids } = batch;
        return { backendId, batch: next + batch.batch, totalBytes: bytes, tabletIds: ids };
      });
    });
  }

  /** One event of one job in one transaction; undefined when it came too late. */
  async #apply(
    jobId: JobId,
    event: WarmUpEvent,
    change: WarmUpJobChange,
    also?: (tx: CatalogTransaction) => Promise<void>,
  ): Promise<WarmUpJob | undefined> {
    return await this.#deps.catalog.transaction(async (tx) => {
      const job = await tx.warmUpJobs.find(jobId);
      if (job === undefined) return undefined;
      const after = await this.#transition(tx, job, event, change);
      if (after !== undefined) await also?.(tx);
      return after;
    });
  }

  /** The lifecycle table decides; what it says besides the state happens after the commit. */
  async #transition(
    tx: CatalogTransaction,
    job: WarmUpJob,
    event: WarmUpEvent,
    change: WarmUpJobChange,
  ): Promise<WarmUpJob | undefined> {
    const cell = WARM_UP_ONCE.cell(job.state, event);
    if (cell.kind === 'bug')
      throw new Error(`event ${event} in state ${job.state} of ${job.jobId}`);
    if (cell.kind === 'late') {
      this.lateEvents += 1;
      return undefined;
    }
    const final = WARM_UP_ONCE.final.has(cell.to);
    const after = await tx.warmUpJobs.update(job.jobId, job.version, {
      ...change,
      event,
      state: cell.to,
      ...(final ? { finishMs: this.#deps.clock.now() } : {}),
    });
    if (final) await tx.warmUpJobs.releaseSlot(job.jobId);
    tx.onCommit(() => {
      if (cell.effect === 'stop') void this.#stop(job);
      if (final) this.#ended(job.jobId);
    });
    return after;
  }

  #ended(jobId: JobId): void {
    this.board.forget(jobId);
    const listeners = this.#endListeners.get(jobId);
    this.#endListeners.delete(jobId);
    for (const listener of listeners ?? []) listener();
    this.wake();
  }

  /** Tells all backends of the job to stop; who does not hear it stops when the lease is over. */
  async #stop(job: WarmUpJob): Promise<void> {
    const { catalog, transport, log } = this.#deps;
    const batches = await catalog.warmUpBatches.ofRun(job.jobId, job.run, 'open');
    for (const backendId of new Set(batches.map((batch) => batch.backendId))) {
      const request = { jobId: job.jobId, epoch: catalog.epoch };
      transport
        .call(backendId, 'cancelWarmUp', request, { timeoutMs: CALL_TIMEOUT_MS })
        .catch((error: unknown) => {
          log.warn('cancel did not reach a backend', { backendId, error: String(error) });
        });
    }
  }
}

function sameWork(a: Omit<NewWarmUpJob, 'epoch'>, b: Omit<NewWarmUpJob, 'epoch'>): boolean {
  const text = (job: Omit<NewWarmUpJob, 'epoch'>): string =>
    JSON.stringify([job.kind, job.srcGroup, job.dstGroup, job.syncMode, job.force, job.tables]);
  return text(a) === text(b);
}

function sameBatch(a: WarmUpBatch, b: WarmUpBatch): boolean {
  return a.backendId === b.backendId && a.batch === b.batch && a.run === b.run;
}
