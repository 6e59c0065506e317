/**
 * One round over all jobs that are not final: who may start, who has a step to do, who waits and
 * for what. Reads rows and decides; what a job does is in the registry of kinds below. There is no
 * recovery code but for the slots: after a crash the round reads the rows and goes on.
 */
import type { BackendId, JobId } from '../base/ids.ts';
import { timeText } from '../base/units.ts';
import type { WarmUpBatch } from '../catalog/warm_up_batches.ts';
import type { WarmUpJob } from '../catalog/warm_up_jobs.ts';
import { GroupsNow } from './groups_now.ts';
import type { ProgressBoard } from './progress_board.ts';
import { type WarmUpChanges, isFinal, usesSlot } from './warm_up_changes.ts';
import type { WarmUpCycles } from './warm_up_cycles.ts';
import type { WarmUpJobsDeps } from './warm_up_deps.ts';
import type { WarmUpHistory } from './warm_up_history.ts';
import type { WarmUpLanes } from './warm_up_lanes.ts';
import { type Step, StepQueue, bySlotTurn, isNewOnce } from './warm_up_queue.ts';
import type { WarmUpSettle } from './warm_up_settle.ts';
import { recoverWarmUps } from './warm_up_recovery.ts';
import type { WarmUpStarts } from './warm_up_starts.ts';
import type { WarmUpStops } from './warm_up_stops.ts';

/** Timers fire a little early or late; a turn that is this close to its time is on time. */
const ON_TIME = 0.9;
/** Stops of event-driven jobs that are remembered: more than have a turn at one time. */
const STOPS_REMEMBERED = 10_000;
/** A step waits this long for answers; then others have their turn, and the lanes go on alone. */
const STEP_MAX_MS = 1000;

export interface SchedulerDeps extends WarmUpJobsDeps {
  readonly board: ProgressBoard;
  readonly changes: WarmUpChanges;
  readonly cycles: WarmUpCycles;
  readonly history: WarmUpHistory;
  readonly lanes: WarmUpLanes;
  readonly settle: WarmUpSettle;
  readonly starts: WarmUpStarts;
  readonly stops: WarmUpStops;
}

/** What the scheduler has a job of one mode do. */
interface WarmUpKind {
  /** PENDING: why it cannot start now; empty: it can. */
  readonly waitsFor: (job: WarmUpJob, groups: GroupsNow) => string;
  /** PENDING → RUNNING; may take a while. */
  readonly start: (job: WarmUpJob) => Promise<void>;
  /** RUNNING: what is due now. `stopsRead`: stops counted before the job's row was read. */
  readonly step: (job: WarmUpJob, groups: GroupsNow, stopsRead: number) => Promise<void>;
  /** RUNNING, but a compute group of the job has no bearer of its name. */
  readonly groupGone: (job: WarmUpJob, why: string) => Promise<void>;
}

export class WarmUpScheduler {
  readonly #deps: SchedulerDeps;
  readonly #steps: StepQueue;
  readonly #kinds: Readonly<Record<WarmUpJob['syncMode'], WarmUpKind>>;
  /** Target group → the job whose start is being prepared. */
  readonly #starting = new Map<string, JobId>();
  /** Event-driven jobs that were told to stop until their groups are back. */
  readonly #suspended = new Set<JobId>();
  /** Stops of event-driven jobs, counted, and the last one of each job. */
  #stops = 0;
  readonly #stoppedAt = new Map<JobId, number>();
  /** `#stops` when the rows of this round were read. */
  #stopsRead = 0;
  /** Monotonic moment of the last turn of an event-driven job. */
  readonly #deliveredAt = new Map<JobId, number>();
  #isRecovered = false;
  #closed = false;
  /** Whether a lease must be renewed, or a cycle started, before the next regular round. */
  #nextRoundMs = Infinity;

  constructor(deps: SchedulerDeps) {
    this.#deps = deps;
    this.#steps = new StepQueue(() => deps.config.get('max_active_cloud_warm_up_job'));
    const run: WarmUpKind = {
      waitsFor: (job, groups) => this.#waitOfRun(job, groups),
      start: async (job) => {
        await deps.starts.start(job);
      },
      step: async (job, groups) => {
        await this.#stepOfRun(job, groups);
      },
      groupGone: async ({ jobId, syncMode }, why) => {
        const errMsg = syncMode === 'PERIODIC' ? { errMsg: why } : {};
        await deps.changes.apply(jobId, 'interrupted', { detail: why, ...errMsg });
      },
    };
    this.#kinds = {
      ONCE: run,
      PERIODIC: run,
      EVENT_DRIVEN: {
        waitsFor: () => '',
        start: async ({ jobId }) => {
          const { catalog, clock, changes } = deps;
          const { epoch } = catalog;
          await changes.apply(jobId, 'started', { startMs: clock.now(), finishMs: null, epoch });
        },
        step: async (job, _, stopsRead) => {
          await this.#deliver(job, stopsRead);
        },
        groupGone: async (job) => {
          if (this.#suspended.has(job.jobId)) return;
          this.stopped(job.jobId);
          this.#suspended.add(job.jobId);
          await deps.events.stop(job, 'paused');
        },
      },
    };
  }

  /** When the next round should come at the latest, from the last one, milliseconds. */
  get nextRoundMs(): number {
    const interval = this.#deps.config.get('cloud_warm_up_job_scheduler_interval_millisecond');
    return Math.max(1, Math.min(interval, this.#nextRoundMs));
  }

  /** Short: what takes time goes on in steps. */
  async round(): Promise<void> {
    const { catalog, registry } = this.#deps;
    if (!this.#isRecovered) {
      await recoverWarmUps(this.#deps);
      this.#isRecovered = true;
    }
    this.#nextRoundMs = Infinity;
    this.#stopsRead = this.#stops;
    const jobs = await catalog.warmUpJobs.active();
    const groups = await GroupsNow.read(catalog, registry);
    const steps: Step[] = [];
    const waiting: WarmUpJob[] = [];
    for (const job of jobs) {
      if (job.state === 'RUNNING') await this.#running(job, groups, steps);
      else if (job.state === 'PENDING') this.#pending(job, groups, steps, waiting);
      else this.#deps.board.setWaitReason(job.jobId, '');
    }
    await this.#giveSlots(waiting, steps);
    this.#steps.offer(steps);
    for (const jobId of this.#steps.waiting) {
      const { board } = this.#deps;
      if (board.waitReason(jobId) !== '') continue;
      board.setWaitReason(jobId, 'max_active_cloud_warm_up_job steps are running');
    }
    await this.#deps.history.sweep();
  }

  /** An event-driven job is being stopped: a turn that was promised to it before is void. */
  stopped(jobId: JobId): void {
    this.#stops += 1;
    this.#stoppedAt.delete(jobId);
    this.#stoppedAt.set(jobId, this.#stops);
    if (this.#stoppedAt.size <= STOPS_REMEMBERED) return;
    const oldest = this.#stoppedAt.keys().next();
    if (oldest.done !== true) this.#stoppedAt.delete(oldest.value);
  }

  /** The job has reached a final state. */
  forget(jobId: JobId): void {
    this.#steps.forget(jobId);
    this.#suspended.delete(jobId);
    this.#deliveredAt.delete(jobId);
  }

  close(): void {
    this.#closed = true;
    this.#steps.close();
  }

  async #running(job: WarmUpJob, groups: GroupsNow, steps: Step[]): Promise<void> {
    const { board, changes } = this.#deps;
    const kind = this.#kinds[job.syncMode];
    const gone = missingGroup(job, groups);
    if (gone !== '') {
      board.setWaitReason(job.jobId, gone);
      await kind.groupGone(job, gone);
      return;
    }
    if (this.#timedOut(job)) {
      await changes.apply(job.jobId, 'timedOut', { errMsg: 'Timeout' });
      return;
    }
    this.#roundWithin(this.#deps.lanes.askEveryMs());
    if (usesSlot(job) || this.#mayDeliver(job)) {
      const stopsRead = this.#stopsRead;
      steps.push(this.#step(job, () => kind.step(job, groups, stopsRead)));
    }
  }

  /** Commits wake the delivery by themselves: a turn of it is for backends, leases and limits. */
  #mayDeliver({ jobId }: WarmUpJob): boolean {
    const { clock, lanes, config } = this.#deps;
    const interval = config.get('cloud_warm_up_job_scheduler_interval_millisecond');
    const everyMs = Math.min(interval, lanes.askEveryMs()) * ON_TIME;
    return clock.monotonic() - (this.#deliveredAt.get(jobId) ?? -Infinity) >= everyMs;
  }

  /** A job that was stopped since its row was read must not begin again by this turn. */
  async #deliver(job: WarmUpJob, stopsRead: number): Promise<void> {
    const { board, events, clock, catalog } = this.#deps;
    const { jobId } = job;
    const isStopped = (): boolean => (this.#stoppedAt.get(jobId) ?? 0) > stopsRead;
    if (isStopped()) return;
    this.#suspended.delete(jobId);
    this.#deliveredAt.set(jobId, clock.monotonic());
    const reason = await events.tick(job);
    if (!isStopped()) {
      board.setWaitReason(jobId, reason);
      return;
    }
    const now = await catalog.warmUpJobs.find(jobId);
    await events.stop(job, now === undefined || isFinal(now) ? 'ended' : 'paused');
  }

  #pending(job: WarmUpJob, groups: GroupsNow, steps: Step[], waiting: WarmUpJob[]): void {
    const kind = this.#kinds[job.syncMode];
    const reason = missingGroup(job, groups) || kind.waitsFor(job, groups);
    if (reason !== '') this.#deps.board.setWaitReason(job.jobId, reason);
    else if (usesSlot(job)) waiting.push(job);
    else steps.push(this.#step(job, () => kind.start(job)));
  }

  /** The first of each free slot's queue begins its run; the others hear who is before them. */
  async #giveSlots(waiting: readonly WarmUpJob[], steps: Step[]): Promise<void> {
    if (waiting.length === 0) return;
    const { catalog, board } = this.#deps;
    const holders = await catalog.warmUpJobs.slots();
    for (const [dstGroup, jobId] of this.#starting) holders.set(dstGroup, jobId);
    for (const job of waiting.toSorted(bySlotTurn)) {
      const holder = holders.get(job.dstGroup);
      if (holder !== undefined) {
        if (holder !== job.jobId) board.setWaitReason(job.jobId, `slot held by job ${holder}`);
        continue;
      }
      holders.set(job.dstGroup, job.jobId);
      board.setWaitReason(job.jobId, '');
      steps.push(this.#startStep(job));
    }
  }

  /** The slot is promised from when the step begins: planning takes time. */
  #startStep(job: WarmUpJob): Step {
    return this.#step(job, async () => {
      const { dstGroup, jobId } = job;
      if (this.#starting.has(dstGroup)) return;
      this.#starting.set(dstGroup, jobId);
      try {
        const holder = (await this.#deps.catalog.warmUpJobs.slots()).get(dstGroup);
        if (holder === undefined) await this.#kinds[job.syncMode].start(job);
      } finally {
        this.#starting.delete(dstGroup);
      }
    });
  }

  #step(job: WarmUpJob, work: () => Promise<void>): Step {
    const { jobId } = job;
    const run = async (): Promise<void> => {
      try {
        await work();
      } catch (error) {
        // The catalog may be closed before a backend has answered.
        if (this.#closed) return;
        const stack = error instanceof Error ? error.stack : String(error);
        this.#deps.log.error('a step of a warm-up job failed', { jobId, stack });
      }
    };
    return { jobId, isNewOnce: isNewOnce(job), run };
  }

  #timedOut(job: WarmUpJob): boolean {
    if (!usesSlot(job)) return false;
    const limitMs = this.#deps.config.get('cloud_warm_up_timeout_second') * 1000;
    return (this.#deps.cycles.elapsedMs(job) ?? 0) > limitMs;
  }

  #waitOfRun(job: WarmUpJob, groups: GroupsNow): string {
    const { cycles } = this.#deps;
    const nextStartMs = cycles.nextStartMs(job);
    if (nextStartMs !== undefined) {
      this.#roundWithin(cycles.untilDueMs(job));
      return `next start at ${timeText(nextStartMs)}`;
    }
    // A plan is made for the backends that are there.
    if (groups.servers(job.dstGroup).length === 0) return noBackend(job);
    const silent = groups.mayStillSpeak(job.dstGroup);
    return silent === undefined ? '' : `backend ${silent}: no heartbeat yet`;
  }

  /** Moves batches of lost backends, then gives every backend with open work its lane. */
  async #stepOfRun(job: WarmUpJob, groups: GroupsNow): Promise<void> {
    const { catalog, board, lanes, settle } = this.#deps;
    const alive = groups.servers(job.dstGroup);
    if (alive.length === 0) {
      board.setWaitReason(job.jobId, noBackend(job));
      return;
    }
    const open = await catalog.warmUpBatches.ofRun(job.jobId, job.run, 'open');
    if (open.length === 0) {
      await settle.settle(job, groups);
      return;
    }
    board.setWaitReason(job.jobId, this.#whatHoldsUp(job.jobId));
    board.sample(job.jobId, job.finishBytes + board.live(job.jobId).doneBytes);
    const talks: Promise<void>[] = [];
    for (const [backendId, batches] of byBackend(open)) {
      const [first] = batches;
      if (first !== undefined && alive.includes(backendId)) talks.push(lanes.talk(job, first));
      else await this.#silent(job, backendId, batches, groups);
    }
    await this.#atMost(STEP_MAX_MS, Promise.all(talks));
  }

  #whatHoldsUp(jobId: JobId): string {
    const { board } = this.#deps;
    if (board.throttled(jobId)) return 'throttled';
    const busy = board.busyBackend(jobId);
    return busy === undefined ? '' : `backend ${busy} has no room for another batch`;
  }

  /** A backend with open batches that does not serve the group now. */
  async #silent(
    job: WarmUpJob,
    backendId: BackendId,
    batches: readonly WarmUpBatch[],
    groups: GroupsNow,
  ): Promise<void> {
    const { registry, board, settle, stops, lanes } = this.#deps;
    if (groups.maySpeakAgain(backendId, job.dstGroup)) {
      const silent = registry.status(backendId)?.error ?? 'no heartbeat yet';
      board.setWaitReason(job.jobId, `backend ${backendId}: ${silent}`);
      return;
    }
    await settle.moveBatches(job, batches, groups.servers(job.dstGroup));
    for (const batch of batches) lanes.release(batch);
    // Who serves another group now must not go on by himself. (Who is only silent may: what he
    // loads is his group's, and a stop would make him refuse this run when he is back.)
    const isOut = !groups.isMember(backendId, job.dstGroup);
    const hasWork = batches.some((batch) => batch.state === 'SENT');
    if (isOut && hasWork) stops.stop(job.jobId, job.run, [backendId]);
  }

  #roundWithin(ms: number): void {
    this.#nextRoundMs = Math.min(this.#nextRoundMs, ms);
  }

  async #atMost(ms: number, work: Promise<unknown>): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<undefined>();
    const stopTimer = this.#deps.clock.after(ms, () => {
      resolve(undefined);
    });
    await Promise.race([work, promise]);
    stopTimer();
  }
}

/** Jobs are bound to names (DESIGN 4.1): without a bearer of the name nothing is done. */
function missingGroup(job: WarmUpJob, groups: GroupsNow): string {
  for (const name of [job.dstGroup, job.srcGroup]) {
    if (name !== null && !groups.has(name)) return `compute group '${name}' does not exist`;
  }
  return '';
}

function noBackend({ dstGroup }: WarmUpJob): string {
  return `compute group '${dstGroup}' has no alive backend`;
}

function byBackend(batches: readonly WarmUpBatch[]): Map<BackendId, WarmUpBatch[]> {
  const lists = new Map<BackendId, WarmUpBatch[]>();
  for (const batch of batches) {
    const list = lists.get(batch.backendId);
    if (list === undefined) lists.set(batch.backendId, [batch]);
    else list.push(batch);
  }
  return lists;
}
